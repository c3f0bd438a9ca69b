//! The side with the key.

use std::fmt;

use incamera_group::{Gf128, mul_add};
use incamera_wire::v1::VolePart;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng as _};

use super::making::{MakingS, Next};
use super::message::{Due, Mailbox, Step};
use super::values::values;
use super::{DIGEST_BYTES, Misbehaviour, Output, Progress, Run, Value, VoleError};
use crate::hash::{IdHash, same};
use crate::okvs::BinnedRows;
use crate::silent::{SilentSender, VoleS};

/// The sender's side of one direction.
///
/// A run that ended early, or in an error, is never gone on with: its key has answered.
pub struct Sender {
    run: Run,
    mail: Mailbox,
    salt: [u8; DIGEST_BYTES],
    rng: ChaCha20Rng,
    /// Places of ids in the order of tags.
    order: Vec<u32>,
    phase: Phase,
}

enum Phase {
    Vectors { rows: BinnedRows, making: MakingS },
    Store { rows: BinnedRows, vectors: VoleS },
    Matched { values: Vec<Value> },
    Done { output: Output },
    Finished { output: Output },
    Failed,
}

impl Sender {
    /// A side that holds a new key, and ids of its own, which are distinct: a receiver takes
    /// two tags of one id for misbehaviour. All randomness is drawn from `rng` now.
    ///
    /// # Errors
    /// [`VoleError::Param`]; [`VoleError::Misuse`] for another number of ids than the run has.
    pub fn new(run: Run, ids: &[IdHash], rng: &mut impl CryptoRng) -> Result<Self, VoleError> {
        let mut rng = ChaCha20Rng::from_rng(rng);
        let (silent, transfers) = SilentSender::new(run.context(), run.vectors()?, &mut rng);
        let rows = run.rows(run.sender_items, ids)?;
        let making = MakingS::Corrections(Box::new(silent));
        Self::start(run, Phase::Vectors { rows, making }, &transfers, rng)
    }

    /// With vectors that a dealer made.
    #[cfg(test)]
    pub(super) fn with_vectors(
        run: Run,
        ids: &[IdHash],
        vectors: VoleS,
        rng: ChaCha20Rng,
    ) -> Result<Self, VoleError> {
        let rows = run.rows(run.sender_items, ids)?;
        Self::start(run, Phase::Store { rows, vectors }, &[], rng)
    }

    fn start(
        run: Run,
        phase: Phase,
        transfers: &[u8],
        mut rng: ChaCha20Rng,
    ) -> Result<Self, VoleError> {
        let mut salt = [0; DIGEST_BYTES];
        rng.fill_bytes(&mut salt);
        let mut mail = Mailbox::new(run.direction, &run.context());
        mail.send(
            Step::Transfers,
            [&run.commitment(&salt), transfers].concat(),
        );
        Ok(Self {
            run,
            mail,
            salt,
            order: shuffled(run.told(), &mut rng),
            rng,
            phase,
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

    /// What is due from the receiver.
    fn due(&self) -> Result<Option<Due>, VoleError> {
        let (step, bytes) = match &self.phase {
            Phase::Vectors { making, .. } => return Ok(Some(making.due(self.run.vectors()?))),
            Phase::Store { .. } => (Step::Store, self.run.store_bytes()?),
            Phase::Matched { .. } => (Step::Matched, self.run.matched_bytes()),
            Phase::Done { .. } => (Step::ReceiverDone, DIGEST_BYTES),
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
            Phase::Vectors { rows, making } => match making.take(content, &mut self.rng)? {
                Next::Step(making, step, content) => {
                    self.mail.send(step, content);
                    Ok(Phase::Vectors { rows, making })
                }
                Next::Made(vectors, last) => {
                    last.into_iter()
                        .for_each(|(step, content)| self.mail.send(step, content));
                    Ok(Phase::Store { rows, vectors })
                }
            },
            Phase::Store { rows, vectors } => {
                let values = self.evaluate(&rows, vectors, content);
                if self.run.told() > 0 {
                    self.send_tags(&values);
                    return Ok(Phase::Matched { values });
                }
                self.send_done();
                let matched = self.run.matched(Vec::new());
                Ok(Phase::Done {
                    output: Output { values, matched },
                })
            }
            Phase::Matched { values } => {
                let matched = self.run.matched(self.matched(content)?);
                self.send_done();
                Ok(Phase::Done {
                    output: Output { values, matched },
                })
            }
            Phase::Done { output } => {
                if !same(&before, content) {
                    return Err(Misbehaviour::Transcript.into());
                }
                Ok(Phase::Finished { output })
            }
            Phase::Finished { .. } | Phase::Failed => Err(VoleError::Misuse),
        }
    }

    /// Step 8 taken, step 9 sent; the values of our ids.
    fn evaluate(&mut self, rows: &BinnedRows, vectors: VoleS, content: &[u8]) -> Vec<Value> {
        let VoleS { b: mut sum, delta } = vectors;
        let (_, store) = content.split_at_checked(DIGEST_BYTES).unwrap_or_default();
        let (masked, _) = store.as_chunks();
        let masked: Vec<_> = masked.iter().copied().map(Gf128::from_bytes).collect();
        mul_add(&mut sum, &masked, *delta);
        self.mail.send(Step::Opened, self.salt.to_vec());
        values(&sum, Some(*delta), rows, &self.mail.transcript)
    }

    /// Step 10.
    fn send_tags(&mut self, values: &[Value]) {
        let bytes = self.run.tag_bytes();
        let mut content = Vec::with_capacity(self.run.tags_bytes());
        let shuffled = self
            .order
            .iter()
            .filter_map(|place| values.get(*place as usize));
        shuffled.for_each(|value| content.extend_from_slice(value.tag(bytes)));
        self.mail.send(Step::Tags, content);
    }

    /// Step 11: whether the receiver has each of our ids.
    fn matched(&self, bits: &[u8]) -> Result<Vec<bool>, Misbehaviour> {
        let mut matched = vec![false; self.order.len()];
        let mut bits = bits
            .iter()
            .flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1));
        for (place, bit) in self.order.iter().zip(&mut bits) {
            if let Some(matched) = matched.get_mut(*place as usize) {
                *matched = bit;
            }
        }
        if bits.any(|bit| bit) {
            return Err(Misbehaviour::MatchedBeyond);
        }
        Ok(matched)
    }

    /// Step 12.
    fn send_done(&mut self) {
        let digest = self.mail.transcript.digest();
        self.mail.send(Step::SenderDone, digest.to_vec());
    }
}

/// The numbers below `length` in random order; the bias of each draw is below 2^-40.
fn shuffled(length: usize, rng: &mut impl CryptoRng) -> Vec<u32> {
    let mut order: Vec<_> = (0..).take(length).collect();
    for last in (1..length).rev() {
        let below = u128::from(rng.next_u64()) * (last as u128 + 1);
        order.swap(last, (below >> u64::BITS) as usize);
    }
    order
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender(..)")
    }
}
