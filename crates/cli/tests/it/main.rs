//! Tests of the built binaries: real processes, sockets, files and crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod bad_input;
mod by_hand;
mod demo;
mod help;
mod invariants;
mod world;
