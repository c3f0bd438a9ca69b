//! The verifier refuses each kind of bad evidence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[cfg(feature = "simulated")]
mod golden;
#[cfg(not(feature = "simulated"))]
mod production;
#[cfg(feature = "simulated")]
mod simulated;
