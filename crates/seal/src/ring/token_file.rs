//! The file of a key ring whose purpose keys lie in a PKCS#11 token.
//!
//! # Format
//! `incamera-token-ring/1`: JSON with
//!
//! | field | what |
//! |---|---|
//! | `format` | `incamera-token-ring/1` |
//! | `ring` | 16 random bytes that tell this ring's keys in the token from another's |
//! | `key` | a key of this file, wrapped in the token under the ring's document key: nonce (12), ciphertext (32), tag (16) of AES-256-GCM; associated data `incamera-token-ring/1 \n key \n` and the 16 bytes |
//! | `document` | the document, AES-256-GCM under that key: nonce (12), ciphertext, tag (16); associated data `incamera-token-ring/1 \n document \n` and the 16 bytes |
//!
//! all bytes in hexadecimal. The key of the file is new at each write. Inside is a document of
//! the same name: that of `incamera-ring/2`, with the CKA_ID of each purpose key in the key's
//! place.

use std::fmt;

use incamera_keys::{DataKey, aead};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::backend::{BackendError, WRAPPED_BYTES};
use super::document::{TOKEN_RING_FORMAT, shown};

/// Tells the keys of one ring from those of another in the same token.
pub type RingId = [u8; 16];

/// The largest file that is read: some hundred thousand keys.
const MAX_FILE_BYTES: usize = 256 << 20;

/// A file as it was read; nothing in it is believed yet.
pub struct TokenFile {
    /// The ring's id.
    pub ring: RingId,
    /// The file's key, wrapped in the token.
    pub key: [u8; WRAPPED_BYTES],
    document: Vec<u8>,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({})", hex::encode(self.ring))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    ring: String,
    key: String,
    document: String,
}

/// Just the format, so that another version is told from damage.
#[derive(Deserialize)]
struct Version {
    format: String,
}

impl TokenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`BackendError::Damaged`] or [`BackendError::Version`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BackendError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(BackendError::Damaged);
        }
        let damaged = |_| BackendError::Damaged;
        let version: Version = serde_json::from_slice(bytes).map_err(damaged)?;
        if version.format != TOKEN_RING_FORMAT {
            return Err(BackendError::Version {
                found: shown(&version.format),
            });
        }
        let text: Text = serde_json::from_slice(bytes).map_err(damaged)?;
        let read = || -> Option<Self> {
            Some(Self {
                ring: hex::decode(&text.ring).ok()?.try_into().ok()?,
                key: hex::decode(&text.key).ok()?.try_into().ok()?,
                document: hex::decode(&text.document).ok()?,
            })
        };
        read().ok_or(BackendError::Damaged)
    }

    /// The document, with the file's key that the token has unwrapped.
    ///
    /// # Errors
    /// [`BackendError::Damaged`]: the file's two halves are not of one write, or were changed.
    pub fn open(&self, key: &DataKey) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let aad = associated("document", &self.ring);
        aead::open(key, &aad, &self.document).map_err(|_| BackendError::Damaged)
    }

    /// The file of `document` under a new key, which `wrap` wraps in the token.
    ///
    /// # Errors
    /// Whatever `wrap` answers.
    pub fn seal(
        ring: RingId,
        document: &[u8],
        rng: &mut impl CryptoRng,
        wrap: impl FnOnce(&DataKey, &[u8]) -> Result<Vec<u8>, BackendError>,
    ) -> Result<Vec<u8>, BackendError> {
        let key = DataKey::generate(rng);
        let sealed = aead::seal(&key, &associated("document", &ring), document, rng);
        let text = Text {
            format: TOKEN_RING_FORMAT.to_owned(),
            ring: hex::encode(ring),
            key: hex::encode(wrap(&key, &associated("key", &ring))?),
            document: hex::encode(sealed),
        };
        let mut json = serde_json::to_vec_pretty(&text).map_err(|_| BackendError::Damaged)?;
        json.push(b'\n');
        Ok(json)
    }

    /// What the file's wrapped key is bound to.
    #[must_use]
    pub fn key_aad(&self) -> Vec<u8> {
        associated("key", &self.ring)
    }
}

fn associated(what: &str, ring: &RingId) -> Vec<u8> {
    let label = format!("{TOKEN_RING_FORMAT}\n{what}\n");
    [label.as_bytes(), ring].concat()
}
