//! Oblivious pseudorandom functions, and proofs that a batch was evaluated by one key.
//!
//! | module   | holds                                                                |
//! |----------|----------------------------------------------------------------------|
//! | [`dleq`] | the proof that every point of a batch was multiplied by the same key |
//!
//! Bytes in, bytes out: nothing here does IO, reads a clock, signs, seals or draws randomness
//! of its own.

pub mod dleq;
