//! Batch arithmetic in ristretto255.
