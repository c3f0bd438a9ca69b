//! Detached signatures as `ssh-keygen -Y sign` makes them.
//!
//! # Format
//! `SSHSIG`, version 1, public key, namespace, an empty reserved string, the hash `sha512`,
//! an Ed25519 signature. Signed is `SSHSIG`, namespace, reserved, hash, SHA-512 of the message
//! (OpenSSH, PROTOCOL.sshsig). Other keys, hashes and versions are refused; the only encoding
//! accepted is the one written, so a signature has one binary form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};

use crate::blob::{put, take, unnamed};
use crate::public::PublicKey;

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: [u8; 4] = 1u32.to_be_bytes();
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// No signature is longer, armour included.
const MAX_BYTES: usize = 4096;
/// Characters in a line of the armour.
const LINE_CHARS: usize = 70;

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not an SSHSIG signature.
    #[error("this is no signature as `ssh-keygen -Y sign` makes it")]
    Malformed,
    /// A signature of a kind that is not accepted.
    #[error("the signature's {what} is not accepted: sign with an Ed25519 key and sha512")]
    Unsupported {
        /// What about it: version, key or hash.
        what: &'static str,
    },
    /// Made by another key.
    #[error("the signature is of the key {found}, not of {expected}")]
    OtherKey {
        /// Fingerprint of the key that should have signed.
        expected: String,
        /// Fingerprint of the key that did.
        found: String,
    },
    /// Made for something else.
    #[error("the signature is for `{found}`, not for `{expected}`")]
    OtherNamespace {
        /// The namespace wanted.
        expected: String,
        /// The namespace found (cut to 64 characters).
        found: String,
    },
    /// Not over these bytes.
    #[error("the signature does not hold for these bytes: they or the signature were changed")]
    Wrong,
}

/// One SSHSIG signature: key, namespace and the Ed25519 signature.
#[derive(Clone, PartialEq, Eq)]
pub struct SshSig {
    key: PublicKey,
    namespace: String,
    signature: [u8; 64],
}

impl SshSig {
    pub(crate) fn new(key: PublicKey, namespace: &str, signature: [u8; 64]) -> Self {
        Self {
            key,
            namespace: namespace.to_owned(),
            signature,
        }
    }

    /// The key that the signature says it is of. Nothing is checked by asking.
    #[must_use]
    pub fn claimed_key(&self) -> &PublicKey {
        &self.key
    }

    /// The namespace that the signature says it is for.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] or [`SignatureError::Unsupported`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > MAX_BYTES {
            return Err(SignatureError::Malformed);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(SignatureError::Malformed)?;
        let rest = rest
            .strip_prefix(&VERSION)
            .ok_or(SignatureError::Unsupported { what: "version" })?;
        let parsed = Self::from_fields(rest)?;
        if parsed.to_bytes() != bytes {
            return Err(SignatureError::Malformed);
        }
        Ok(parsed)
    }

    fn from_fields(mut rest: &[u8]) -> Result<Self, SignatureError> {
        let mut next = || take(&mut rest).ok_or(SignatureError::Malformed);
        let (key, namespace) = (next()?, next()?);
        let (_reserved, hash, signature) = (next()?, next()?, next()?);
        let unsupported = |what| SignatureError::Unsupported { what };
        let key = unnamed::<32>(key).and_then(|key| PublicKey::from_bytes(&key).ok());
        if hash != HASH {
            return Err(unsupported("hash"));
        }
        Ok(Self {
            key: key.ok_or(unsupported("key"))?,
            namespace: String::from_utf8(namespace.to_vec())
                .map_err(|_| SignatureError::Malformed)?,
            signature: unnamed(signature).ok_or(SignatureError::Malformed)?,
        })
    }

    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = [MAGIC, &VERSION].concat();
        put(&mut out, &self.key.to_blob());
        put(&mut out, self.namespace.as_bytes());
        put(&mut out, b"");
        put(&mut out, HASH);
        put(&mut out, &crate::blob::named(&self.signature));
        out
    }

    /// Reads the text form, as in a `.sig` file.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] or [`SignatureError::Unsupported`].
    pub fn from_armor(text: &str) -> Result<Self, SignatureError> {
        let body = text
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|text| text.strip_suffix(END))
            .filter(|body| body.len() <= MAX_BYTES)
            .ok_or(SignatureError::Malformed)?;
        let joined: String = body.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(joined)
            .map_err(|_| SignatureError::Malformed)?;
        Self::from_bytes(&bytes)
    }

    /// The text form, as `ssh-keygen` writes it to a `.sig` file.
    #[must_use]
    pub fn to_armor(&self) -> String {
        let body = STANDARD.encode(self.to_bytes());
        let mut out = String::from(BEGIN);
        for (at, letter) in body.chars().enumerate() {
            if at % LINE_CHARS == 0 {
                out.push('\n');
            }
            out.push(letter);
        }
        out + "\n" + END + "\n"
    }

    /// Checks key, namespace and signature.
    pub(crate) fn check(
        &self,
        key: &PublicKey,
        namespace: &str,
        message: &[u8],
    ) -> Result<(), SignatureError> {
        if self.key != *key {
            return Err(SignatureError::OtherKey {
                expected: key.fingerprint(),
                found: self.key.fingerprint(),
            });
        }
        if self.namespace != namespace {
            return Err(SignatureError::OtherNamespace {
                expected: namespace.to_owned(),
                found: printable(&self.namespace),
            });
        }
        if !key.verifies(&signed_data(namespace, message), &self.signature) {
            return Err(SignatureError::Wrong);
        }
        Ok(())
    }
}

/// The bytes that the Ed25519 signature is over.
pub(crate) fn signed_data(namespace: &str, message: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put(&mut out, namespace.as_bytes());
    put(&mut out, b"");
    put(&mut out, HASH);
    put(&mut out, &Sha512::digest(message));
    out
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

impl fmt::Debug for SshSig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshSig")
            .field("key", &self.key)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
