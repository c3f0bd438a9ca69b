//! The room over sealed data and real grants, in one process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs
)]

mod journey;
#[cfg(feature = "simulated")]
mod program;
#[allow(
    dead_code,
    reason = "shared with the tests of `incamera-release`, which use all of it"
)]
#[path = "../../../release/tests/it/world.rs"]
mod world;
