//! The ledger keeps what it says it keeps, through retries, crashes and bad files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod budget;
#[cfg(feature = "failpoints")]
mod crash;
mod file;
mod fixture;
mod golden;
mod log;
mod manifests;
mod seeds;
