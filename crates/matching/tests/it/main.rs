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
mod row_keys;
mod side;
mod sim;
mod vectors;
mod vectors_v2;
mod vole;
mod whole;
