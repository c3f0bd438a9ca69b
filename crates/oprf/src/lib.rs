//! Oblivious pseudorandom functions, whose key may lie in shares, and proofs that a batch was
//! evaluated by one key.
//!
//! | module       | holds                                                                     |
//! |--------------|---------------------------------------------------------------------------|
//! | [`suite`]    | the function itself: RFC 9497, ristretto255-SHA512, mode OPRF              |
//! | [`client`]   | blinding, the check of answers, unblinding                                 |
//! | [`server`]   | evaluation with a share of a key                                           |
//! | [`dleq`]     | the proof that every point of a batch was multiplied by the same key       |
//! | [`lagrange`] | who is in a set of share holders, and what each one's share counts there   |
//! | [`shares`]   | a share, and the public keys of all shares                                 |
//! | [`session`]  | the greeting of a session with one holder, and what its proofs hang on     |
//! | [`keygen`]   | keys made by all holders together, without a dealer, and shares refreshed  |
//!
//! Bytes in, bytes out: nothing here does IO, reads a clock, signs, seals or draws randomness
//! of its own.

pub mod client;
pub mod dleq;
mod frost;
pub mod keygen;
pub mod lagrange;
pub mod server;
pub mod session;
pub mod shares;
pub mod suite;
