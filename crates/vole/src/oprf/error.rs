//! Why a direction ended, and whose doing it was. Never an id, a value or a key.

use crate::fault::PeerFault;
use crate::okvs::OkvsFailure;
use crate::params::ParamError;

/// Why a direction ended without values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoleError {
    /// A set is too large.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The ids fit no store: another run's random bytes will do.
    #[error(transparent)]
    Encoding(#[from] OkvsFailure),
    /// The peer sent what no correct program sends.
    #[error("the peer does not keep to the protocol")]
    Peer(#[from] Misbehaviour),
    /// This program called the run wrongly: other ids than declared, or a call after the end.
    #[error("the run was used wrongly")]
    Misuse,
}

/// What a misbehaving peer did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A part of another direction.
    #[error("a part of another direction")]
    Direction,
    /// A part of a step that is not due.
    #[error("a part of step {found}, where step {expected} is due")]
    Step {
        /// The step that is due.
        expected: u32,
        /// The step sent.
        found: u32,
    },
    /// A part that does not follow on the one before.
    #[error("a part from byte {found}, where byte {expected} is due")]
    Offset {
        /// The byte that is due.
        expected: u64,
        /// The byte sent.
        found: u64,
    },
    /// A part of another length than the sizes agreed on give it.
    #[error("a part of {found} bytes, where {expected} are due")]
    Length {
        /// Bytes that are due.
        expected: usize,
        /// Bytes sent.
        found: usize,
    },
    /// A part when nothing is due.
    #[error("a part of step {found}, where nothing is due")]
    NothingDue {
        /// The step sent.
        found: u32,
    },
    /// Something is wrong in the making of the vectors.
    #[error(transparent)]
    Vectors(#[from] PeerFault),
    /// The half of the salt is not the one committed to.
    #[error("what it opened is not what it had committed to")]
    Commitment,
    /// Two tags of one id, which is an id of ours: so the peer is not to be told this apart from
    /// another fault.
    #[error("two of its tags are of one id")]
    RepeatedTag,
    /// A bit for a tag that was not sent.
    #[error("it answers for tags that were not sent")]
    MatchedBeyond,
    /// It saw other steps than we did.
    #[error("it did not see the steps that we saw")]
    Transcript,
}

impl From<PeerFault> for VoleError {
    fn from(fault: PeerFault) -> Self {
        Misbehaviour::from(fault).into()
    }
}
