//! Providers over real sockets and files: ceremonies, sessions, limits, links.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod asking;
mod ceremonies;
mod dump;
mod liars;
mod limits;
mod links;
mod often;
mod receiving;
mod refusals;
mod two_keys;
mod unfinished;
mod world;
