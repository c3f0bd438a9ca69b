//! The fuzz functions over their seeds and some mutations of each, without a fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod bound;
mod matching;
mod mutate;
mod reach;
mod seeds;
mod smoke;
