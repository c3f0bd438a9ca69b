#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod backends;
mod batch;
mod combine;
#[cfg(target_arch = "x86_64")]
mod constant_time;
mod vectors;
