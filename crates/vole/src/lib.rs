//! An oblivious pseudorandom function for large sets, of vector oblivious linear evaluation.
//!
//! A *receiver* holds ids, a *sender* a key. Afterwards the receiver has the function's value
//! for each of its ids and learns nothing of the key; the sender learns nothing of the ids but
//! their number, and can evaluate the function anywhere.
//!
//! | module     | holds                                                                      |
//! |------------|----------------------------------------------------------------------------|
//! | [`params`] | sizes that both sides derive from the number of ids alone                   |
//!
//! Nothing here does IO, reads a clock or draws randomness of its own. No length, error or
//! branch but those named in each module depends on an id or a key.

pub mod params;
