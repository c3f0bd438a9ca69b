#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod at_once;
mod attacks;
mod cut_off;
mod dictionary;
mod drive;
mod known;
mod refusals;
mod row_keys;
mod runs;
mod side;
mod sim;
mod vectors;
mod vectors_v2;
mod whole;
