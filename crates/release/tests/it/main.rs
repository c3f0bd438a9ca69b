//! The chain of I4 at two owners and a room: it goes through, and each break ends it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    missing_docs
)]

mod chain;
mod commit;
mod digest;
mod forged;
mod golden;
mod lasting;
mod proposed;
mod receipt;
mod request;
mod reserve;
mod sealed_answer;
mod token;
mod world;
