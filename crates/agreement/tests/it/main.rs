//! Tests of the public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs
)]

mod drift;
mod files;
mod golden;
mod kinds;
mod mutations;
mod proposals;
mod signatures;
mod words;

use incamera_agreement::Agreement;

/// The agreement of the running example, with keys made of seeds: 1 signs for the shop, 3 for
/// the mailer, 5 is ana's.
pub const LIFT: &str = include_str!("../agreements/lift.toml");
/// One party, version 2, every column type.
pub const HOUSE: &str = include_str!("../agreements/version2.toml");

pub fn parse(text: &str) -> Agreement {
    match Agreement::parse(text.as_bytes()) {
        Ok(agreement) => agreement,
        Err(error) => {
            let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
            panic!("{}", problems.join("\n"))
        }
    }
}
