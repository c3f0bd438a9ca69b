#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod config;
mod connections;
mod golden;
mod health;
mod hostile;
#[cfg(feature = "simulated")]
mod key_log;
mod problems;
mod support;
