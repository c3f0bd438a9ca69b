//! A practice room: the same plan, bounds, noise and table over rows that are made up.
//!
//! # Claim
//! Rows follow from the agreement and a seed alone: nobody's data are read, nothing is spent,
//! and no answer of it is one of a room. Everything behind the rows is what a room runs.

mod pool;
mod rows;

use std::sync::Arc;

use incamera_dp::NoiseKey;
use incamera_types::{Digest as _, RequestDigest};
use incamera_wire::v1::Answer;

use crate::check::CheckedQuery;
use crate::released::release_with;
use crate::run::{Limits, Noise, QueryError, compute_over};
#[cfg(test)]
pub(crate) use rows::Made;
pub(crate) use rows::MadeUp;

/// What rows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Practice {
    /// People in the rows at most; never more than an owner declares.
    pub people: u64,
    /// The same seed makes the same rows, and the same answer.
    pub seed: u64,
}

impl Practice {
    /// The most people that rows are made for.
    pub const MAX_PEOPLE: u64 = 1_000_000;
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Practised {
    /// An answer over made-up rows.
    pub answer: Answer,
    /// How many people they are about.
    pub people: u64,
}

/// Runs a query over made-up rows.
///
/// # Errors
/// [`QueryError`], which no query gives that [`check`](crate::check()) accepts.
pub async fn practice(
    checked: &CheckedQuery,
    practice: &Practice,
) -> Result<Practised, QueryError> {
    let source = MadeUp::new(checked, practice);
    let people = source.people();
    let key = key(practice.seed, 1);
    let noise = Noise {
        request: RequestDigest::from_bytes([0; 32]),
        key: &key,
    };
    let threads = Limits::default().threads;
    let checked = Arc::new(checked.clone());
    let raw = compute_over(&checked, Arc::new(source), noise, threads).await?;
    let answer = release_with(raw, noise, false)?.answer();
    Ok(Practised { answer, people })
}

/// A key of a seed: public, for nothing is to be kept from anybody.
fn key(seed: u64, what: u8) -> NoiseKey {
    let mut bytes = [what; 32];
    for (byte, of_seed) in bytes.iter_mut().zip(seed.to_be_bytes()) {
        *byte = of_seed;
    }
    NoiseKey::from_bytes(bytes)
}
