//! Checking proofs, without the tree.

use crate::hash::{Hash, empty_root, node_hash};

/// Why a proof does not show what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no such entry in a tree of this size.
    #[error("there is no entry {index} in a log of {size}")]
    Index {
        /// The entry's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The later tree is the smaller one: the log was cut or rolled back.
    #[error("the log shrank from {old_size} to {size} entries: it was rolled back")]
    Shrunk {
        /// Entries before.
        old_size: u64,
        /// Entries now.
        size: u64,
    },
    /// A proof of another length than trees of these sizes have.
    #[error("the proof has another length than a log of this size gives")]
    Length,
    /// The proof leads to another root.
    #[error("the proof does not lead to the log's root")]
    Root,
    /// The proof does not lead to the earlier root: history was changed.
    #[error("the proof does not lead to the log's earlier root: its history was changed")]
    OldRoot,
}

/// Checks that the entry hashed to `leaf` is number `index` under `root` (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            climb_to_right_child(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    finish(last, &hash, root)
}

/// Checks that the tree under `root` starts with the tree under `old_root`
/// (RFC 9162, 2.1.4.2). A tree of any size starts with the empty one.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > size {
        return Err(ProofError::Shrunk { old_size, size });
    }
    if old_size == 0 {
        return consistent_with_nothing(old_root, proof);
    }
    if old_size == size {
        return consistent_with_itself(old_root, root, proof);
    }
    let (mut node, mut last) = (old_size - 1, size - 1);
    climb_to_right_child_or_root(&mut node, &mut last);
    // A complete old tree is itself the first hash; otherwise the proof starts with one.
    let (first, rest) = match proof.split_first() {
        _ if old_size.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::Length),
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            climb_to_right_child(&mut node, &mut last);
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if old != *old_root {
        return Err(ProofError::OldRoot);
    }
    finish(last, &new, root)
}

fn consistent_with_nothing(old_root: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::Length);
    }
    if *old_root != empty_root() {
        return Err(ProofError::OldRoot);
    }
    Ok(())
}

fn consistent_with_itself(old: &Hash, new: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if !proof.is_empty() {
        return Err(ProofError::Length);
    }
    if old != new {
        return Err(ProofError::OldRoot);
    }
    Ok(())
}

/// Skips the levels at which a last node has no sibling.
fn climb_to_right_child(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        (*node, *last) = (*node >> 1, *last >> 1);
    }
}

/// Skips the levels at which the old tree's last node ends a complete subtree.
fn climb_to_right_child_or_root(node: &mut u64, last: &mut u64) {
    while *node & 1 == 1 {
        (*node, *last) = (*node >> 1, *last >> 1);
    }
}

fn finish(last: u64, found: &Hash, root: &Hash) -> Result<(), ProofError> {
    if last != 0 {
        return Err(ProofError::Length);
    }
    if found != root {
        return Err(ProofError::Root);
    }
    Ok(())
}
