//! The side whose ids are evaluated.

use std::fmt;

use incamera_wire::v1::VolePart;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng as _};

use super::making::{MakingR, Next};
use super::message::{Due, Mailbox, Step};
use super::tags::compare;
use super::values::values;
use super::{DIGEST_BYTES, Misbehaviour, Output, Progress, Run, Value, VoleError};
use crate::hash::{IdHash, same};
use crate::okvs::{BinnedRows, encode};
use crate::silent::{Elements, SilentReceiver, VoleR};

/// The receiver's side of one direction.
///
/// A run that ended early, or in an error, is never gone on with: its key has answered.
pub struct Receiver {
    run: Run,
    mail: Mailbox,
    rng: ChaCha20Rng,
    phase: Phase,
}

enum Phase {
    Transfers {
        rows: BinnedRows,
        making: MakingR,
    },
    Vectors {
        rows: BinnedRows,
        making: MakingR,
        commitment: [u8; DIGEST_BYTES],
    },
    Opened {
        rows: BinnedRows,
        a: Elements,
        commitment: [u8; DIGEST_BYTES],
    },
    Tags {
        values: Vec<Value>,
    },
    Done {
        output: Output,
    },
    Finished {
        output: Output,
    },
    Failed,
}

impl Receiver {
    /// A side that evaluates the function at these ids, which are distinct. All randomness is
    /// drawn from `rng` now.
    ///
    /// # Errors
    /// [`VoleError::Param`]; [`VoleError::Misuse`] for another number of ids than the run has.
    pub fn new(run: Run, ids: &[IdHash], rng: &mut impl CryptoRng) -> Result<Self, VoleError> {
        let mut rng = ChaCha20Rng::from_rng(rng);
        let silent = SilentReceiver::new(run.context(), run.vectors()?, &mut rng);
        Self::with_making(run, ids, MakingR::Transfers(silent), rng)
    }

    pub(super) fn with_making(
        run: Run,
        ids: &[IdHash],
        making: MakingR,
        rng: ChaCha20Rng,
    ) -> Result<Self, VoleError> {
        let rows = run.rows(run.receiver_items, ids)?;
        Ok(Self {
            run,
            mail: Mailbox::new(run.direction, &run.context()),
            rng,
            phase: Phase::Transfers { rows, making },
        })
    }

    /// The next part for the peer, if one is due now.
    pub fn outgoing(&mut self) -> Option<VolePart> {
        self.mail.outgoing()
    }

    /// Takes a part of the peer; computes what follows once a step is whole.
    ///
    /// # Errors
    /// [`VoleError`], after which the run is over.
    pub fn incoming(&mut self, part: &VolePart) -> Result<(), VoleError> {
        let taken = self.take(part);
        if taken.is_err() {
            self.phase = Phase::Failed;
            self.mail.clear();
        }
        taken
    }

    /// Whether nothing is left to send or to receive.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished { .. }) && self.mail.is_idle()
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.mail.progress(&self.run)
    }

    /// The values.
    ///
    /// # Errors
    /// [`VoleError::Misuse`] before the run [is finished](Self::is_finished).
    pub fn finish(self) -> Result<Output, VoleError> {
        match self.phase {
            Phase::Finished { output } if self.mail.is_idle() => Ok(output),
            _ => Err(VoleError::Misuse),
        }
    }

    /// What is due from the sender.
    fn due(&self) -> Result<Option<Due>, VoleError> {
        let (step, bytes) = match &self.phase {
            Phase::Transfers { making, .. } => {
                let Due { step, bytes } = making.due(self.run.vectors()?);
                (step, DIGEST_BYTES + bytes)
            }
            Phase::Vectors { making, .. } => return Ok(Some(making.due(self.run.vectors()?))),
            Phase::Opened { .. } => (Step::Opened, DIGEST_BYTES),
            Phase::Tags { .. } => (Step::Tags, self.run.tags_bytes()),
            Phase::Done { .. } => (Step::SenderDone, DIGEST_BYTES),
            Phase::Finished { .. } => return Ok(None),
            Phase::Failed => return Err(VoleError::Misuse),
        };
        Ok(Some(Due { step, bytes }))
    }

    fn take(&mut self, part: &VolePart) -> Result<(), VoleError> {
        let nothing = Misbehaviour::NothingDue { found: part.step };
        let due = self.due()?.ok_or(nothing)?;
        if let Some(step) = self.mail.incoming(due, part)? {
            let phase = std::mem::replace(&mut self.phase, Phase::Failed);
            self.phase = self.advance(phase, &step.content, step.before)?;
        }
        Ok(())
    }

    fn advance(
        &mut self,
        phase: Phase,
        content: &[u8],
        before: [u8; DIGEST_BYTES],
    ) -> Result<Phase, VoleError> {
        match phase {
            Phase::Transfers { rows, making } => {
                let (commitment, content) = content.split_first_chunk().ok_or(VoleError::Misuse)?;
                self.make(rows, making, *commitment, content)
            }
            Phase::Vectors {
                rows,
                making,
                commitment,
            } => self.make(rows, making, commitment, content),
            Phase::Opened {
                rows,
                a,
                commitment,
            } => {
                if !same(&self.run.commitment(content), &commitment) {
                    return Err(Misbehaviour::Commitment.into());
                }
                let values = values(&a, None, &rows, &self.mail.transcript);
                if self.run.tags_bytes() > 0 {
                    return Ok(Phase::Tags { values });
                }
                let matched = self.run.matched(vec![false; values.len()]);
                Ok(Phase::Done {
                    output: Output { values, matched },
                })
            }
            Phase::Tags { values } => {
                let (matched, bits) = compare(&values, content, self.run.tag_bytes())?;
                self.mail.send(Step::Matched, bits);
                let matched = self.run.matched(matched);
                Ok(Phase::Done {
                    output: Output { values, matched },
                })
            }
            Phase::Done { output } => {
                if !same(&before, content) {
                    return Err(Misbehaviour::Transcript.into());
                }
                let digest = self.mail.transcript.digest();
                self.mail.send(Step::ReceiverDone, digest.to_vec());
                Ok(Phase::Finished { output })
            }
            Phase::Finished { .. } | Phase::Failed => Err(VoleError::Misuse),
        }
    }

    /// Steps 1 to 7.
    fn make(
        &mut self,
        rows: BinnedRows,
        making: MakingR,
        commitment: [u8; DIGEST_BYTES],
        content: &[u8],
    ) -> Result<Phase, VoleError> {
        match making.take(content, &mut self.rng)? {
            Next::Step(making, step, content) => {
                self.mail.send(step, content);
                Ok(Phase::Vectors {
                    rows,
                    making,
                    commitment,
                })
            }
            Next::Made(vectors, _) => {
                let a = self.send_store(&rows, vectors)?;
                Ok(Phase::Opened {
                    rows,
                    a,
                    commitment,
                })
            }
        }
    }

    /// Step 8; what is left of the vectors.
    fn send_store(&mut self, rows: &BinnedRows, vectors: VoleR) -> Result<Elements, VoleError> {
        let store = encode(rows)?;
        let mut content = Vec::with_capacity(self.run.store_bytes()?);
        let mut salt = [0; DIGEST_BYTES];
        self.rng.fill_bytes(&mut salt);
        content.extend_from_slice(&salt);
        for (mask, element) in vectors.c.iter().zip(&store) {
            content.extend_from_slice(&(*mask + *element).to_bytes());
        }
        self.mail.send(Step::Store, content);
        Ok(vectors.a)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver(..)")
    }
}
