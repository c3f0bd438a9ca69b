//! What changes between two versions, in words.
use crate::Agreement;
/// What changes from `old` to `new`, a sentence each.
#[must_use]
pub fn diff(_old: &Agreement, _new: &Agreement) -> Vec<String> { Vec::new() }
