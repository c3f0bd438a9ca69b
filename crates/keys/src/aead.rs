//! Sealing under a secret key: AES-256-GCM with a random nonce.
//!
//! # Format
//! `nonce (12) || ciphertext || tag (16)`. The nonce is drawn by the caller's generator, so
//! one key may seal some 2^32 messages.

use rand_core::CryptoRng;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::secret::Secret32;

/// Bytes that sealing adds.
pub const OVERHEAD_BYTES: usize = NONCE_LEN + 16;

/// The sealed bytes do not open: another key, other associated data, or changed bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open: another key, another place, or they were changed")]
pub struct AeadError;

/// Seals `plaintext` under `key`; `aad` must be the same at opening.
#[must_use]
pub fn seal(
    key: &impl AsRef<Secret32>,
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut body = plaintext.to_vec();
    // INVARIANT: AES-GCM refuses only messages of 64 GiB and more, and keys of another length.
    let tag = cipher(key.as_ref()).and_then(|cipher| {
        let nonce = Nonce::assume_unique_for_key(nonce);
        cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut body)
    });
    match tag {
        Ok(tag) => [nonce.as_slice(), &body, tag.as_ref()].concat(),
        Err(_) => wiped(body),
    }
}

/// Nothing instead of a message that could not be sealed: it opens nowhere.
fn wiped(mut body: Vec<u8>) -> Vec<u8> {
    zeroize::Zeroize::zeroize(&mut body);
    Vec::new()
}

/// Opens what [`seal`] made with the same key and associated data.
///
/// # Errors
/// [`AeadError`].
pub fn open(
    key: &impl AsRef<Secret32>,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    open_with(&cipher(key.as_ref()).map_err(|_| AeadError)?, aad, sealed)
}

fn open_with(
    cipher: &LessSafeKey,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let (nonce, body) = sealed.split_first_chunk().ok_or(AeadError)?;
    let mut body = Zeroizing::new(body.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = cipher.open_in_place(nonce, Aad::from(aad), body.as_mut_slice());
    let bytes = opened.map_err(|_| AeadError)?.len();
    body.truncate(bytes);
    Ok(body)
}

/// Opens what another program sealed under a key of 128 or 256 bits.
///
/// # Errors
/// [`AeadError`], for a key of another length too.
pub fn open_foreign(
    key: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        32 => &AES_256_GCM,
        _ => return Err(AeadError),
    };
    let key = UnboundKey::new(algorithm, key).map_err(|_| AeadError)?;
    open_with(&LessSafeKey::new(key), aad, sealed)
}

fn cipher(key: &Secret32) -> Result<LessSafeKey, ring::error::Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(
        &AES_256_GCM,
        key.expose(),
    )?))
}
