//! Merkle tree, checkpoint bodies and proofs.
