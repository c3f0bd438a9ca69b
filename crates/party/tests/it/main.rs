//! The files of a party's folder that people write and pass on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod golden;
mod keys;
mod sealing;
