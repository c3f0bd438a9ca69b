//! One function for each parser of foreign bytes.
//!
//! The fuzzer of `fuzz/` calls them without end; the smoke test of this crate calls them with
//! the seeds of `fuzz/seeds` and some mutations of each. Whatever the bytes, a function returns:
//! it neither panics nor takes long. Where there is more to say than that, it asserts it: what
//! was parsed is written the same again, a message by an honest signer with any content is
//! refused or holds together.
//!
//! # What stands in for the world
//! The golden files of the other crates: an agreement with its keys, one whole release, a
//! sealed data set with its ring. So bodies can be signed again after they were changed, and
//! the code behind a signature check is reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "here a panic is what is looked for"
)]

mod asked;
mod exchange;
mod files;
mod ids;
mod links;
mod messages;
mod pairs;
mod part_file;
mod parts;
mod provided;
mod providers;
#[cfg(feature = "engine")]
mod query;
mod reach;
mod release;
mod resumed;
mod spill;
mod texts;
mod theirs;
mod vole;
mod vole_run;
mod world;

pub use asked::provider_frames;
pub use exchange::exchange;
pub use files::{key_metadata, local, part, ring, source, wrap};
pub use ids::ids;
pub use links::{link, lookups};
pub use messages::{certificate, evidence, messages, proof, signed};
pub use pairs::pairs;
pub use part_file::match_part;
pub use provided::provided;
pub use providers::{ceremony_package, evaluation, key_statement, signed_statement};
#[cfg(feature = "engine")]
pub use query::{parameters, query};
pub use reach::places_reached;
pub use release::{grant, release, request, reservation, sealed_answer, token};
pub use resumed::{honest_history, match_history, match_journal};
pub use spill::match_spill;
pub use texts::{agreement, config, note, proposal, signature, url, values};
pub use theirs::match_theirs;
pub use vole::vole;
pub use vole_run::vole_run;

/// A parser, fed: it must neither panic nor take long, whatever the bytes.
pub type Target = fn(&[u8]);

/// Takes away libFuzzer's hook, which ends the process at a panic before anybody can catch it.
/// For what reads Parquet and Arrow: our readers catch the panics of the library's. One that gets out of
/// a function still ends the process.
pub fn let_guarded_panics_pass() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(std::panic::take_hook()));
}

/// Every function with its name, which is also that of its fuzz target and of its seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("agreement", agreement),
    ("ceremony_package", ceremony_package),
    ("certificate", certificate),
    ("config", config),
    ("evaluation", evaluation),
    ("evidence", evidence),
    ("exchange", exchange),
    ("grant", grant),
    ("ids", ids),
    ("key_metadata", key_metadata),
    ("key_statement", key_statement),
    ("link", link),
    ("local", local),
    ("lookups", lookups),
    ("match_history", match_history),
    ("match_journal", match_journal),
    ("match_part", match_part),
    ("match_spill", match_spill),
    ("match_theirs", match_theirs),
    ("messages", messages),
    ("note", note),
    ("pairs", pairs),
    #[cfg(feature = "engine")]
    ("parameters", parameters),
    ("part", part),
    ("proof", proof),
    ("proposal", proposal),
    ("provided", provided),
    ("provider_frames", provider_frames),
    #[cfg(feature = "engine")]
    ("query", query),
    ("release", release),
    ("request", request),
    ("reservation", reservation),
    ("ring", ring),
    ("sealed_answer", sealed_answer),
    ("signature", signature),
    ("signed", signed),
    ("source", source),
    ("token", token),
    ("url", url),
    ("values", values),
    ("vole", vole),
    ("vole_run", vole_run),
    ("wrap", wrap),
];
