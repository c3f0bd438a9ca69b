//! The tree as its owner keeps it: all hashes in memory, proofs for any earlier size.

use std::ops::Range;

use crate::hash::{Hash, empty_root, leaf_hash, node_hash};

/// A size or index beyond the tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log has {size} entries: there is no {wanted}")]
pub struct SizeError {
    /// Entries in the tree.
    pub size: u64,
    /// What was asked for.
    pub wanted: String,
}

/// An append-only Merkle tree.
///
/// Keeps the hash of every complete subtree (two hashes an entry), so roots and proofs of any
/// size take a logarithmic number of steps.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `levels[k][i]` is the hash over entries `i * 2^k .. (i + 1) * 2^k`.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of stored leaf hashes, in order.
    #[must_use]
    pub fn from_leaf_hashes(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.push(leaf);
        }
        tree
    }

    /// A tree of entries, in order.
    #[must_use]
    pub fn from_entries<T: AsRef<[u8]>>(entries: impl IntoIterator<Item = T>) -> Self {
        Self::from_leaf_hashes(entries.into_iter().map(|entry| leaf_hash(entry.as_ref())))
    }

    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends an entry; returns its index.
    pub fn append(&mut self, entry: &[u8]) -> u64 {
        self.push(leaf_hash(entry))
    }

    /// Appends an entry by its leaf hash; returns its index.
    pub fn push(&mut self, leaf: Hash) -> u64 {
        let index = self.size();
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else {
                break;
            };
            hashes.push(hash);
            match hashes.as_slice() {
                [.., left, right] if hashes.len() % 2 == 0 => hash = node_hash(left, right),
                _ => break,
            }
        }
        index
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// [`SizeError`] if there are fewer.
    pub fn root(&self, size: u64) -> Result<Hash, SizeError> {
        self.check(size)?;
        Ok(self.hash_of(0..size))
    }

    /// The hashes that lead from entry `index` to the root over the first `size` entries.
    ///
    /// # Errors
    /// [`SizeError`] if the tree is smaller than `size`, or `index` not below it.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, SizeError> {
        self.check(size)?;
        if index >= size {
            return Err(self.no(format!("entry {index} in the first {size}")));
        }
        let mut proof = self.path(index, size);
        proof.reverse();
        Ok(proof)
    }

    /// From the root down: at each split the hash of the side without the entry.
    fn path(&self, index: u64, size: u64) -> Vec<Hash> {
        let mut range = 0..size;
        let mut path = Vec::new();
        while range.end - range.start > 1 {
            let middle = split(&range);
            let (keep, other) = halves(range, middle, index < middle);
            path.push(self.hash_of(other));
            range = keep;
        }
        path
    }

    /// The hashes that show that the first `size` entries start with the first `old_size`.
    /// Empty if the sizes are equal or `old_size` is zero.
    ///
    /// # Errors
    /// [`SizeError`] if the tree is smaller than `size`, or `old_size` is larger.
    pub fn consistency_proof(&self, old_size: u64, size: u64) -> Result<Vec<Hash>, SizeError> {
        self.check(size)?;
        if old_size > size {
            return Err(self.no(format!("size {old_size} before size {size}")));
        }
        if old_size == 0 || old_size == size {
            return Ok(Vec::new());
        }
        let mut range = 0..size;
        let mut path = Vec::new();
        while range.end != old_size {
            let middle = split(&range);
            let (keep, other) = halves(range, middle, old_size <= middle);
            path.push(self.hash_of(other));
            range = keep;
        }
        if range.start > 0 {
            path.push(self.hash_of(range));
        }
        path.reverse();
        Ok(path)
    }

    /// The hash over a range that the recursion of RFC 6962 can reach.
    fn hash_of(&self, range: Range<u64>) -> Hash {
        let len = range.end - range.start;
        if len == 0 {
            return empty_root();
        }
        if let Some(hash) = self.complete(&range) {
            return hash;
        }
        let middle = split(&range);
        let (left, right) = halves(range, middle, true);
        node_hash(&self.hash_of(left), &self.hash_of(right))
    }

    /// The stored hash over a range, if it is a complete subtree.
    fn complete(&self, range: &Range<u64>) -> Option<Hash> {
        let len = range.end - range.start;
        if !len.is_power_of_two() || !range.start.is_multiple_of(len) {
            return None;
        }
        let level = self.levels.get(len.trailing_zeros() as usize)?;
        let index = usize::try_from(range.start / len).ok()?;
        level.get(index).copied()
    }

    fn check(&self, size: u64) -> Result<(), SizeError> {
        if size > self.size() {
            return Err(self.no(format!("size {size}")));
        }
        Ok(())
    }

    fn no(&self, wanted: String) -> SizeError {
        SizeError {
            size: self.size(),
            wanted,
        }
    }
}

/// Where a range of two or more is split: after the largest power of two below its length.
fn split(range: &Range<u64>) -> u64 {
    let len = range.end - range.start;
    range.start + (1 << (len - 1).ilog2())
}

/// The two halves, the left one first if `left`.
fn halves(range: Range<u64>, middle: u64, left: bool) -> (Range<u64>, Range<u64>) {
    let (before, after) = (range.start..middle, middle..range.end);
    if left {
        (before, after)
    } else {
        (after, before)
    }
}
