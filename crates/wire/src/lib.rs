//! Protobuf messages, format versions and size limits.
//!
//! The messages stand in `proto/incamera/v1.proto`; `cargo xtask codegen` makes
//! [`v1`] from them with a compiler written in Rust, and the result is committed.
//! Nothing here decides anything.

pub mod format;
mod secret;

/// The messages of version 1.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/incamera.v1.rs");
}

pub use format::{Format, FormatError, decode, encode, encoded_bytes};
