//! The hashes of the tree: SHA-256, leaves and nodes apart by their first byte.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Bytes are no hash of the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash of the log's tree has 32 bytes, this has {found}")]
pub struct HashError {
    /// The bytes found.
    pub found: usize,
}

/// A hash of the tree: of a leaf, of a node, or the root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// A hash from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A hash from a slice that must be 32 bytes long.
    ///
    /// # Errors
    /// [`HashError`] for any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, HashError> {
        let found = bytes.len();
        let bytes = bytes.try_into().map_err(|_| HashError { found })?;
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The hash of an entry: `SHA-256(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let digest = Sha256::new().chain_update([0]).chain_update(entry);
    Hash(digest.finalize().into())
}

/// The hash of a node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let digest = Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right);
    Hash(digest.finalize().into())
}

/// The root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}
