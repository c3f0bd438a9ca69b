//! Messages under one signature: [`Signed`].
//!
//! # Format
//! Signed are the format's text, a line feed and the body's exact bytes, in the format's
//! namespace: a signature under one version never counts for another. Anybody can check one
//! with `ssh-keygen -Y verify`.

use incamera_wire::v1::Signed;
use incamera_wire::{Format, FormatError};
use prost::Message;

use crate::public::PublicKey;
use crate::signing::{KeyError, SigningKey};
use crate::sshsig::{SignatureError, SshSig};

/// Why a signed message is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedError {
    /// Another format, too large, or not well formed.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A message whose signer is not known yet: nothing in it may be believed.
#[derive(Clone, Debug)]
pub struct Unverified<M> {
    message: M,
    claimed_key: PublicKey,
}

impl<M> Unverified<M> {
    /// The message, to find out who should have signed it.
    #[must_use]
    pub fn unverified(&self) -> &M {
        &self.message
    }

    /// The key that the signature says it is of.
    #[must_use]
    pub fn claimed_key(&self) -> &PublicKey {
        &self.claimed_key
    }
}

/// Signs `body` as a message of `format`.
///
/// # Errors
/// [`KeyError`] if the key cannot sign; never seen.
pub fn sign_message<M: Message>(
    key: &SigningKey,
    format: Format,
    body: &M,
) -> Result<Signed, KeyError> {
    let body = incamera_wire::encode(body);
    let signature = key.sign(format.namespace(), &to_be_signed(format, &body))?;
    Ok(Signed {
        format: format.as_str().to_owned(),
        body,
        signature: signature.to_bytes(),
    })
}

/// Checks format, size and signature of `signed`, then reads its body.
///
/// # Errors
/// [`SignedError`]; the body is not decoded before the signature holds.
pub fn open_signed<M: Message + Default>(
    signed: &Signed,
    format: Format,
    key: &PublicKey,
    limit: usize,
) -> Result<M, SignedError> {
    let signature = check_frame(signed, format, limit)?;
    let message = to_be_signed(format, &signed.body);
    key.verify(format.namespace(), &message, &signature)?;
    Ok(incamera_wire::decode(&signed.body, limit)?)
}

/// Reads the body of `signed` without knowing whose signature it should be.
///
/// # Errors
/// [`SignedError`] for another format, size or form.
pub fn peek_signed<M: Message + Default>(
    signed: &Signed,
    format: Format,
    limit: usize,
) -> Result<Unverified<M>, SignedError> {
    let signature = check_frame(signed, format, limit)?;
    Ok(Unverified {
        message: incamera_wire::decode(&signed.body, limit)?,
        claimed_key: *signature.claimed_key(),
    })
}

fn check_frame(signed: &Signed, format: Format, limit: usize) -> Result<SshSig, SignedError> {
    format.expect(&signed.format)?;
    let found = signed.body.len();
    if found > limit {
        return Err(FormatError::TooLarge { found, limit }.into());
    }
    Ok(SshSig::from_bytes(&signed.signature)?)
}

fn to_be_signed(format: Format, body: &[u8]) -> Vec<u8> {
    [format.as_str().as_bytes(), b"\n", body].concat()
}
