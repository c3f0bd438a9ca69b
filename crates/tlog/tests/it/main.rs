#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod checkpoint;
mod golden;
mod naive;
mod properties;
mod vectors;
