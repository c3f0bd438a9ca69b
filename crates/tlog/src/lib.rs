//! Merkle tree, checkpoint bodies and proofs.
//!
//! The log of a party is a list of entries that only grows. Its tree gives one hash, the root,
//! that stands for all of them; a checkpoint says root and size; an inclusion proof shows that
//! an entry is under a root, a consistency proof that a later root keeps all of an earlier one.
//!
//! # Claim
//! Under a collision-resistant SHA-256 nobody can prove an entry that is not there, nor
//! consistency with a tree that was changed. Who signed a checkpoint is checked elsewhere (a
//! signed note around it).
//! # Reference
//! RFC 6962, section 2.1 (tree and proofs); RFC 9162, sections 2.1.3 and 2.1.4 (verification);
//! C2SP tlog-checkpoint, <https://c2sp.org/tlog-checkpoint>.

mod checkpoint;
mod hash;
mod proof;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use hash::{Hash, HashError, empty_root, leaf_hash, node_hash};
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use tree::{SizeError, Tree};
