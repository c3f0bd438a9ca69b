#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod drive;
mod known;
mod refusals;
mod runs;
mod side;
mod vectors;
mod whole;
