//! Tests of the built binaries: real processes, sockets, files and crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::single_element_loop,
    clippy::type_complexity,
    missing_docs
)]

mod adbc;
mod alone;
mod bad_input;
mod by_hand;
mod careful;
mod cut_off;
mod demo;
mod dictionary;
mod full_disk;
mod help;
mod intake;
mod invariants;
mod keys;
mod lasting;
mod links;
mod objects;
mod own_matches;
mod parts;
mod planning;
mod propose;
mod provided;
mod providers;
mod pushing;
mod pyarrow;
mod receiving;
mod rewriting;
mod ring_serve;
mod rings;
mod split;
mod templates;
mod told;
mod two_kinds;
mod vole;
mod world;
