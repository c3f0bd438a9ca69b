//! Sealing to a public key, a room's or a receiver's: HPKE, base mode.
//!
//! # Suite
//! KEM X-Wing (X25519 and ML-KEM-768, id 0x647a), KDF HKDF-SHA256, AEAD AES-256-GCM.
//! # Claim
//! Only the holder of the secret key opens, and only with the `info` and `aad` that the sender
//! used. The sender is not authenticated: what travels is signed around it.
//! # Reference
//! RFC 9180; draft-ietf-hpke-pq-03 for X-Wing.

use std::fmt;

use ::hpke::aead::AesGcm256;
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::XWing;
use ::hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use incamera_types::{RoomKeyDigest, Transcript};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

type SecretKey = <XWing as Kem>::PrivateKey;
type OpenKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

/// Why sealing or opening failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HpkeError {
    /// Not a public key of the suite.
    #[error("the bytes are no X-Wing public key")]
    PublicKey,
    /// Not a secret key of the suite.
    #[error("the bytes are no X-Wing secret key")]
    SecretKey,
    /// Nothing could be sealed to the key.
    #[error("nothing can be sealed to this public key")]
    Seal,
    /// The sealed bytes do not open.
    #[error("the sealed bytes do not open: made for another key or request, or changed")]
    Open,
}

/// Bytes sealed to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The encapsulated key (1120 bytes).
    pub encapped_key: Vec<u8>,
    /// The ciphertext and its tag.
    pub ciphertext: Vec<u8>,
}

/// A room's public key of one request.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomPublicKey {
    key: OpenKey,
    bytes: Vec<u8>,
}

impl RoomPublicKey {
    /// Reads the key's 1216 bytes.
    ///
    /// # Errors
    /// [`HpkeError::PublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let key = OpenKey::from_bytes(bytes).map_err(|_| HpkeError::PublicKey)?;
        Ok(Self::of(key))
    }

    fn of(key: OpenKey) -> Self {
        let bytes = key.to_bytes().to_vec();
        Self { key, bytes }
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key's digest.
    #[must_use]
    pub fn digest(&self) -> RoomKeyDigest {
        Transcript::new("incamera-room-key/1")
            .field(&self.bytes)
            .finish()
    }
}

impl fmt::Debug for RoomPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomPublicKey({})", self.digest())
    }
}

/// A room's secret key of one request. Wiped when dropped.
pub struct RoomSecretKey {
    key: SecretKey,
    public: RoomPublicKey,
}

impl RoomSecretKey {
    /// Draws a new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (key, public) = XWing::gen_keypair_with_rng(rng);
        Self {
            key,
            public: RoomPublicKey::of(public),
        }
    }

    /// The key that 32 bytes stand for.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, HpkeError> {
        let key = SecretKey::from_bytes(seed).map_err(|_| HpkeError::SecretKey)?;
        let public = RoomPublicKey::of(XWing::sk_to_pk(&key));
        Ok(Self { key, public })
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &RoomPublicKey {
        &self.public
    }
}

impl fmt::Debug for RoomSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomSecretKey")
    }
}

/// Seals `plaintext` to `to`; `info` and `aad` must be the same at opening.
///
/// # Errors
/// [`HpkeError::Seal`].
pub fn seal(
    to: &RoomPublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Sealed, HpkeError> {
    let (encapped_key, ciphertext) = ::hpke::single_shot_seal_with_rng::<
        AesGcm256,
        HkdfSha256,
        XWing,
    >(&OpModeS::Base, &to.key, info, plaintext, aad, rng)
    .map_err(|_| HpkeError::Seal)?;
    Ok(Sealed {
        encapped_key: encapped_key.to_bytes().to_vec(),
        ciphertext,
    })
}

/// Opens what was sealed to `key` with the same `info` and `aad`.
///
/// # Errors
/// [`HpkeError::Open`].
pub fn open(
    key: &RoomSecretKey,
    info: &[u8],
    aad: &[u8],
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
    let encapped_key =
        EncappedKey::from_bytes(&sealed.encapped_key).map_err(|_| HpkeError::Open)?;
    ::hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
        &OpModeR::Base,
        &key.key,
        &encapped_key,
        info,
        &sealed.ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| HpkeError::Open)
}
