//! What a run is made from.

use incamera_group::Backend;
use incamera_types::PartyName;

use super::{Alike, Base, Resumable, Tuning};
use crate::{MatchingSecret, Mode, RunKeys, Terms};

/// What a run is made from.
pub struct Setup<'a> {
    /// The terms.
    pub terms: Terms,
    /// This party.
    pub me: PartyName,
    /// The other one.
    pub peer: PartyName,
    /// Our lasting secret under these terms.
    pub secret: &'a MatchingSecret,
    /// The run's own secrets. A run that goes on has those it began with.
    pub keys: &'a RunKeys,
    /// Ids in all, earlier ones that are mixed in included.
    pub own: u64,
    /// Which ids those are.
    pub mode: Mode,
    /// What must be alike besides the terms.
    pub alike: Alike,
    /// Which numbering plans our phone rule knows, if that is the rule; else empty.
    pub numbering: String,
    /// What the peer matched before.
    pub base: Base,
    /// Whether both sides prove that all rows are raised by one key. With `own-matches` answers
    /// are points then, and twice as long.
    pub row_keys: bool,
    /// How much is under way.
    pub tuning: Tuning,
    /// What points are multiplied with.
    pub backend: Backend,
    /// How far an earlier run over the same input is that was cut off.
    pub resume: Option<Resumable>,
}
