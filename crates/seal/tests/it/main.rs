#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod absent;
mod append;
mod checked;
mod classes;
mod crash;
mod crosswalks;
mod cut_short;
mod golden;
mod i3;
mod in_clear;
mod keytools;
mod lasting;
mod local_files;
mod manifests;
mod objects;
mod parts;
mod propose;
mod pruning;
mod recovery;
mod registers;
mod replacing;
mod rewriting;
mod ring;
mod runs;
mod source_csv;
mod source_files;
mod source_parquet;
mod spilling;
mod throughput;
#[cfg(feature = "pkcs11")]
mod token;
mod world;
