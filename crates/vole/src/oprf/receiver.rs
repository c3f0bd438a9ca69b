//! The side whose ids are evaluated.

use rand_core::{CryptoRng, Rng as _};

use super::making::{MakingR, Turn};
use super::message::{Due, Mailbox, Received, Step};
use super::side::{Next, Phase, Side};
use super::tags::compare;
use super::values::{Values, values};
use super::{DIGEST_BYTES, Misbehaviour, Output, Run, VoleError};
use crate::hash::{IdHash, same};
use crate::okvs::{BinnedRows, encode};
use crate::prg::{Random, random};
use crate::silent::{Elements, SilentReceiver, VoleR};

/// The receiver's side of one direction.
pub type Receiver = Side<Receiving>;

/// What the receiver waits for.
pub enum Receiving {
    /// Steps 1 to 7; from step 2 on with what step 1 committed the sender to.
    Vectors {
        asked: Box<Asked>,
        making: MakingR,
        commitment: Option<[u8; DIGEST_BYTES]>,
    },
    Opened {
        rows: BinnedRows,
        a: Elements,
        commitment: [u8; DIGEST_BYTES],
    },
    Tags {
        values: Values,
    },
    Done {
        output: Output,
    },
}

/// What step 8 is made of but for the mask.
///
/// It is there before the first message: how long it takes to find a store for the ids, and
/// whether there is one, is nothing that the sender sees.
pub struct Asked {
    rows: BinnedRows,
    store: Elements,
    salt: [u8; DIGEST_BYTES],
}

impl Receiver {
    /// A side that evaluates the function at these ids, which are distinct. All randomness is
    /// drawn from `rng` now.
    ///
    /// # Errors
    /// [`VoleError::Param`]; [`VoleError::Encoding`]; [`VoleError::Misuse`] for another number
    /// of ids than the run has.
    pub fn new(run: Run, ids: &[IdHash], rng: &mut impl CryptoRng) -> Result<Self, VoleError> {
        let mut rng = random(rng);
        let asked = Asked::new(&run, ids, &mut rng)?;
        if run.is_skipped() {
            return Ok(Self::skipped(run, ids.len(), &mut rng));
        }
        let silent = SilentReceiver::new(run.context(), run.vectors()?, &mut rng);
        let making = MakingR::Transfers(silent, rng);
        Ok(Self::with(run, Receiving::vectors(asked, making)))
    }

    /// With vectors that a dealer made.
    #[cfg(test)]
    pub(super) fn with_vectors(
        run: Run,
        ids: &[IdHash],
        vectors: VoleR,
        mut rng: Random,
    ) -> Result<Self, VoleError> {
        let asked = Asked::new(&run, ids, &mut rng)?;
        let making = MakingR::Dealt(vectors);
        Ok(Self::with(run, Receiving::vectors(asked, making)))
    }
}

impl Asked {
    fn new(run: &Run, ids: &[IdHash], rng: &mut Random) -> Result<Self, VoleError> {
        let rows = run.rows(run.receiver_items, ids)?;
        let store = encode(&rows)?;
        let mut salt = [0; DIGEST_BYTES];
        rng.fill_bytes(&mut salt);
        Ok(Self { rows, store, salt })
    }

    /// Step 8.
    fn under(&self, mask: &Elements) -> Vec<u8> {
        let mut content = Vec::with_capacity(DIGEST_BYTES + 16 * self.store.len());
        content.extend_from_slice(&self.salt);
        for (mask, element) in mask.iter().zip(&*self.store) {
            content.extend_from_slice(&(*mask + *element).to_bytes());
        }
        content
    }
}

impl Phase for Receiving {
    const SIDE: &'static str = "Receiver";

    fn due(&self, run: &Run) -> Result<Due, VoleError> {
        let (step, bytes) = match self {
            Self::Vectors {
                making, commitment, ..
            } => {
                let Due { step, bytes } = making.due(run.vectors()?);
                let committed = commitment.map_or(DIGEST_BYTES, |_| 0);
                (step, committed + bytes)
            }
            Self::Opened { .. } => (Step::Opened, DIGEST_BYTES),
            Self::Tags { .. } => (Step::Tags, run.tags_bytes()),
            Self::Done { .. } => (Step::SenderDone, DIGEST_BYTES),
        };
        Ok(Due { step, bytes })
    }

    fn advance(
        self,
        run: &Run,
        mail: &mut Mailbox,
        step: &Received,
    ) -> Result<Next<Self>, VoleError> {
        let content = &step.content;
        match self {
            Self::Vectors {
                asked,
                making,
                commitment: None,
            } => {
                let (commitment, content) = content.split_first_chunk().ok_or(VoleError::Misuse)?;
                make(mail, asked, making, *commitment, content)
            }
            Self::Vectors {
                asked,
                making,
                commitment: Some(commitment),
            } => make(mail, asked, making, commitment, content),
            Self::Opened {
                rows,
                a,
                commitment,
            } => {
                if !same(&run.commitment(content), &commitment) {
                    return Err(Misbehaviour::Commitment.into());
                }
                let values = values(&a, None, &rows, &mail.transcript);
                if run.told() > 0 {
                    return Ok(Next::Phase(Self::Tags { values }));
                }
                let matched = run.matched(vec![false; values.len()]);
                let output = Output { values, matched };
                Ok(Next::Phase(Self::Done { output }))
            }
            Self::Tags { values } => {
                let (matched, bits) = compare(&values, content, run.tag_bytes())?;
                mail.send(Step::Matched, bits);
                let matched = run.matched(matched);
                let output = Output { values, matched };
                Ok(Next::Phase(Self::Done { output }))
            }
            Self::Done { output } => {
                if !same(&step.before, content) {
                    return Err(Misbehaviour::Transcript.into());
                }
                mail.send_digest(Step::ReceiverDone);
                Ok(Next::Finished(output))
            }
        }
    }
}

impl Receiving {
    fn vectors(asked: Asked, making: MakingR) -> Self {
        Self::Vectors {
            asked: Box::new(asked),
            making,
            commitment: None,
        }
    }

    /// What a test needs of the receiver once its store is on its way.
    #[cfg(test)]
    pub(super) fn a(&self) -> Option<&Elements> {
        match self {
            Self::Opened { a, .. } => Some(a),
            _ => None,
        }
    }
}

/// Steps 1 to 7, and 8.
fn make(
    mail: &mut Mailbox,
    asked: Box<Asked>,
    making: MakingR,
    commitment: [u8; DIGEST_BYTES],
    content: &[u8],
) -> Result<Next<Receiving>, VoleError> {
    Ok(Next::Phase(match making.take(content)? {
        Turn::Step(making, step, content) => {
            mail.send(step, content);
            Receiving::Vectors {
                asked,
                making,
                commitment: Some(commitment),
            }
        }
        Turn::Made(VoleR { a, c }, _) => {
            mail.send(Step::Store, asked.under(&c));
            Receiving::Opened {
                rows: asked.rows,
                a,
                commitment,
            }
        }
    }))
}
