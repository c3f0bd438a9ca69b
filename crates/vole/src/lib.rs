//! An oblivious pseudorandom function for large sets, of vector oblivious linear evaluation.
//!
//! A *receiver* holds ids, a *sender* a key. Afterwards the receiver has the function's value
//! for each of its ids and learns nothing of the key; the sender learns nothing of the ids but
//! their number, and can evaluate the function anywhere.
//!
//! | module     | holds                                                                      |
//! |------------|----------------------------------------------------------------------------|
//! | [`params`] | sizes that both sides derive from the number of ids alone                   |
//! | `prg`      | AES in counter mode, and what a side draws its secrets from                 |
//! | `ot`       | oblivious transfer of random keys                                           |
//! | `base`     | a small `a = b + c delta` from transfers, and its check                     |
//! | `pprf`     | trees of keys of which one side lacks a leaf                                |
//! | `code`     | the code that makes noise look random                                       |
//! | `silent`   | these together: long vectors with `a = b + c delta`                         |
//! | [`toss`]   | random bytes that neither side chose: the domain of a run                   |
//! | [`hash`]   | ids to rows and values                                                      |
//! | [`okvs`]   | the store that carries the receiver's ids                                   |
//! | [`oprf`]   | the function: a receiver and a sender, message by message                   |
//!
//! Ids' hashes, factors, vectors and values are wiped when dropped, and the generator that they
//! were drawn from with the last draw. States that hold them are handed on by pointers. Copies of
//! single elements that a computation leaves on the stack or in registers are not followed.
//!
//! Nothing here does IO, reads a clock or draws randomness of its own. No length, error or
//! branch but those named in each module depends on an id or a key.

mod base;
mod code;
mod fault;
pub mod hash;
pub mod okvs;
pub mod oprf;
mod ot;
pub mod params;
#[cfg(feature = "test-util")]
pub mod parts;
mod pprf;
mod prg;
mod silent;
pub mod toss;
#[cfg(test)]
mod vectors;

pub use fault::PeerFault;
pub use silent::{
    AnsweredReceiver, CheckingSender, CorrectedReceiver, Elements, Factor, GrownReceiver,
    GrownSender, SilentReceiver, SilentSender, VoleR, VoleS, VoleShape,
};
