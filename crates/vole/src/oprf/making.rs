//! Each side while its vectors are made: steps 1 to 7.

use rand_core::CryptoRng;

use super::message::{Due, Step};
use crate::fault::PeerFault;
use crate::silent::{
    AnsweredReceiver, CheckingSender, CorrectedReceiver, GrownReceiver, GrownSender,
    SilentReceiver, SilentSender, VoleR, VoleS, VoleShape,
};

/// A step in which vectors are made, and its length.
fn due(shape: VoleShape, step: Step) -> Due {
    let bytes = shape.message_bytes();
    let at = step as usize - Step::Transfers as usize;
    let bytes = bytes.get(at).copied().unwrap_or_default();
    Due { step, bytes }
}

/// What follows on a step of the peer.
pub(super) enum Next<Making, Vectors> {
    /// A step of ours, and others of the peer's after it.
    Step(Making, Step, Vec<u8>),
    /// The end, after a last step of ours if we have one.
    Made(Vectors, Option<(Step, Vec<u8>)>),
}

/// The receiver, and which step of the sender is due.
pub(super) enum MakingR {
    Transfers(SilentReceiver),
    Challenge(CorrectedReceiver),
    Trees(AnsweredReceiver),
    Sum(GrownReceiver),
    /// A dealer made them, as a test has it.
    #[cfg(test)]
    Dealt(VoleR),
}

impl MakingR {
    pub(super) fn due(&self, shape: VoleShape) -> Due {
        let step = match self {
            Self::Transfers(_) => Step::Transfers,
            Self::Challenge(_) => Step::Challenge,
            Self::Trees(_) => Step::Trees,
            Self::Sum(_) => Step::Sum,
            #[cfg(test)]
            Self::Dealt(_) => {
                return Due {
                    step: Step::Transfers,
                    bytes: 0,
                };
            }
        };
        due(shape, step)
    }

    pub(super) fn take(
        self,
        content: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Next<Self, VoleR>, PeerFault> {
        Ok(match self {
            Self::Transfers(state) => {
                let (next, content) = state.opened(content, rng)?;
                Next::Step(Self::Challenge(next), Step::Corrections, content)
            }
            Self::Challenge(state) => {
                let (next, content) = state.challenged(content)?;
                Next::Step(Self::Trees(next), Step::Answer, content)
            }
            Self::Trees(state) => {
                let (next, content) = state.grown(content)?;
                Next::Step(Self::Sum(next), Step::SumChallenge, content)
            }
            Self::Sum(state) => Next::Made(state.answered(content)?, None),
            #[cfg(test)]
            Self::Dealt(vectors) => Next::Made(vectors, None),
        })
    }
}

/// The sender, and which step of the receiver is due.
pub(super) enum MakingS {
    Corrections(Box<SilentSender>),
    Answer(CheckingSender),
    SumChallenge(GrownSender),
}

impl MakingS {
    pub(super) fn due(&self, shape: VoleShape) -> Due {
        let step = match self {
            Self::Corrections(_) => Step::Corrections,
            Self::Answer(_) => Step::Answer,
            Self::SumChallenge(_) => Step::SumChallenge,
        };
        due(shape, step)
    }

    pub(super) fn take(
        self,
        content: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Next<Self, VoleS>, PeerFault> {
        Ok(match self {
            Self::Corrections(state) => {
                let (next, content) = state.corrected(content, rng)?;
                Next::Step(Self::Answer(next), Step::Challenge, content)
            }
            Self::Answer(state) => {
                let (next, content) = state.answered(content, rng)?;
                Next::Step(Self::SumChallenge(next), Step::Trees, content)
            }
            Self::SumChallenge(state) => {
                let (vectors, content) = state.challenged(content)?;
                Next::Made(vectors, Some((Step::Sum, content)))
            }
        })
    }
}
