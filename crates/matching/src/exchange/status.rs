//! What a run says of itself.

use incamera_types::MatchRunDigest;

#[cfg(doc)]
use super::{Base, Resumable, Setup};
use crate::Mode;

/// What both greetings come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The run's name.
    pub run: MatchRunDigest,
    /// What we greeted with, for [`Resumable`].
    pub nonce: [u8; 32],
    /// SHA-256 of our greeting, for the journal's header.
    pub greeting: [u8; 32],
    /// Whether this run was begun before, and so was counted then.
    pub goes_on: bool,
    /// The size of the peer's set.
    pub peer_size: u64,
    /// What the peer matches.
    pub peer_mode: Mode,
    /// The numbering plans that the peer's phone rule knows, where ours knows others.
    pub other_numbering: Option<String>,
    /// The public key of the peer's lasting secret, with [`Setup::row_keys`]: what
    /// [`Base::public_key`] is of later runs.
    pub peer_key: Option<[u8; 32]>,
    /// Places of ours that are answered already.
    pub received: u64,
    /// Places of the peer's that are answered already: it holds these answers.
    pub answered: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Our places whose values are kept.
    pub own: u64,
    /// Our places.
    pub own_total: u64,
    /// The peer's places that are kept.
    pub theirs: u64,
    /// The peer's places; 0 before its greeting.
    pub theirs_total: u64,
    /// Points multiplied, lost work included, since this process began.
    pub multiplied: Multiplied,
}

/// Points multiplied, by the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Multiplied {
    /// Step 1.
    pub blinded: u64,
    /// Step 2.
    pub raised: u64,
    /// Step 3.
    pub completed: u64,
}

/// A run that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The run's name.
    pub run: MatchRunDigest,
    /// Our places, each of which has a value that is kept.
    pub own: u64,
    /// The peer's places, each of which has a value that is kept.
    pub theirs: u64,
    /// Points multiplied since this process began.
    pub multiplied: Multiplied,
}
