//! Ed25519 public keys in OpenSSH form.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use curve25519_dalek::edwards::CompressedEdwardsY;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::blob;
use crate::sshsig::{SignatureError, SshSig};

/// What a DER `SubjectPublicKeyInfo` of an Ed25519 key starts with (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Why something is not a public key that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// Not an OpenSSH line of an Ed25519 key.
    #[error(
        "a public key is one line `ssh-ed25519 AAAA...`, as `ssh-keygen -t ed25519` writes to its .pub file"
    )]
    Text,
    /// Not 32 bytes long.
    #[error("an Ed25519 public key has 32 bytes, this has {found}")]
    Length {
        /// The bytes found.
        found: usize,
    },
    /// Not a point of the curve, or one of small order, for which anybody can sign.
    #[error("the bytes are no usable Ed25519 public key")]
    Weak,
    /// Not the `SubjectPublicKeyInfo` of an Ed25519 key.
    #[error("the certificate's key is not an Ed25519 key")]
    Spki,
}

/// An Ed25519 public key: who signed, who is at the other end.
///
/// Text form is the OpenSSH line without its comment. Keys of small order are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key from its 32 bytes.
    ///
    /// # Errors
    /// [`PublicKeyError::Length`] or [`PublicKeyError::Weak`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        let found = bytes.len();
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| PublicKeyError::Length { found })?;
        let point = CompressedEdwardsY(bytes).decompress();
        if point.is_none_or(|point| point.is_small_order()) {
            return Err(PublicKeyError::Weak);
        }
        Ok(Self(bytes))
    }

    /// A key that was just computed from a secret one.
    pub(crate) fn trusted(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature over `message` in `namespace`.
    ///
    /// # Errors
    /// [`SignatureError`]: made by another key, in another namespace, or not over this message.
    pub fn verify(
        &self,
        namespace: &str,
        message: &[u8],
        signature: &SshSig,
    ) -> Result<(), SignatureError> {
        signature.check(self, namespace, message)
    }

    /// Checks a bare Ed25519 signature.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }

    /// The key as OpenSSH shows it: `SHA256:` and the digest in base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.to_blob());
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// The key as a DER `SubjectPublicKeyInfo`, as in a certificate.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// The key of a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`PublicKeyError::Spki`] for another kind of key, [`PublicKeyError::Weak`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, PublicKeyError> {
        let bytes = spki.strip_prefix(&SPKI_PREFIX);
        let bytes = bytes.filter(|bytes| bytes.len() == 32);
        Self::from_bytes(bytes.ok_or(PublicKeyError::Spki)?)
    }

    /// The key in the SSH wire format.
    pub(crate) fn to_blob(self) -> Vec<u8> {
        blob::named(&self.0)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    /// Reads `ssh-ed25519 AAAA... [comment]`.
    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut words = text.split_ascii_whitespace();
        let (Some("ssh-ed25519"), Some(body)) = (words.next(), words.next()) else {
            return Err(PublicKeyError::Text);
        };
        let bytes = STANDARD.decode(body).map_err(|_| PublicKeyError::Text)?;
        let key = blob::unnamed::<32>(&bytes).ok_or(PublicKeyError::Text)?;
        Self::from_bytes(&key)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = PublicKeyError;
    fn try_from(text: String) -> Result<Self, PublicKeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh-ed25519 {}", STANDARD.encode(self.to_blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}
