//! Each side while its vectors are made: steps 1 to 7.

use super::message::{Due, Step};
use crate::fault::PeerFault;
use crate::prg::Random;
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
pub enum Turn<Making, Vectors> {
    /// A step of ours, and others of the peer's after it.
    Step(Making, Step, Vec<u8>),
    /// The end, after a last step of ours if we have one.
    Made(Vectors, Option<(Step, Vec<u8>)>),
}

/// The receiver, and which step of the sender is due. The generator goes with the last draw.
pub enum MakingR {
    Transfers(SilentReceiver, Random),
    Challenge(CorrectedReceiver),
    Trees(AnsweredReceiver),
    Sum(GrownReceiver),
    /// A dealer made them, as a test has it.
    #[cfg(test)]
    Dealt(VoleR),
}

impl MakingR {
    pub(crate) fn due(&self, shape: VoleShape) -> Due {
        let step = match self {
            Self::Transfers(..) => Step::Transfers,
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

    pub(crate) fn take(self, content: &[u8]) -> Result<Turn<Self, VoleR>, PeerFault> {
        Ok(match self {
            Self::Transfers(state, mut rng) => {
                let (next, content) = state.opened(content, &mut rng)?;
                Turn::Step(Self::Challenge(next), Step::Corrections, content)
            }
            Self::Challenge(state) => {
                let (next, content) = state.challenged(content)?;
                Turn::Step(Self::Trees(next), Step::Answer, content)
            }
            Self::Trees(state) => {
                let (next, content) = state.grown(content)?;
                Turn::Step(Self::Sum(next), Step::SumChallenge, content)
            }
            Self::Sum(state) => Turn::Made(state.answered(content)?, None),
            #[cfg(test)]
            Self::Dealt(vectors) => Turn::Made(vectors, None),
        })
    }
}

/// The sender, and which step of the receiver is due. The generator goes with the last draw.
pub enum MakingS {
    Corrections(Box<SilentSender>, Random),
    Answer(CheckingSender, Random),
    SumChallenge(GrownSender),
}

impl MakingS {
    pub(crate) fn due(&self, shape: VoleShape) -> Due {
        let step = match self {
            Self::Corrections(..) => Step::Corrections,
            Self::Answer(..) => Step::Answer,
            Self::SumChallenge(_) => Step::SumChallenge,
        };
        due(shape, step)
    }

    pub(crate) fn take(self, content: &[u8]) -> Result<Turn<Self, VoleS>, PeerFault> {
        Ok(match self {
            Self::Corrections(state, mut rng) => {
                let (next, content) = state.corrected(content, &mut rng)?;
                Turn::Step(Self::Answer(next, rng), Step::Challenge, content)
            }
            Self::Answer(state, mut rng) => {
                let (next, content) = state.answered(content, &mut rng)?;
                Turn::Step(Self::SumChallenge(next), Step::Trees, content)
            }
            Self::SumChallenge(state) => {
                let (vectors, content) = state.challenged(content)?;
                Turn::Made(vectors, Some((Step::Sum, content)))
            }
        })
    }
}
