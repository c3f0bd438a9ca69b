//! The side with the key.

use incamera_group::{Gf128, mul_add};
use rand_core::{CryptoRng, Rng as _};

use super::making::{MakingS, Turn};
use super::message::{Due, Mailbox, Received, Step};
use super::side::{Next, Phase, Side};
use super::values::{Values, values};
use super::{DIGEST_BYTES, Misbehaviour, Output, Run, VoleError};
use crate::hash::{IdHash, same};
use crate::okvs::BinnedRows;
use crate::prg::{Random, random};
use crate::silent::{SilentSender, VoleS};

/// The sender's side of one direction.
pub type Sender = Side<Sending>;

/// Elements of a store that are worked on at once.
const CHUNK: usize = 256;

/// What the sender waits for.
pub enum Sending {
    /// Steps 2 to 6.
    Vectors {
        own: Own,
        making: MakingS,
    },
    Store {
        own: Own,
        vectors: VoleS,
    },
    Matched {
        values: Values,
        order: Vec<u32>,
    },
    Done {
        output: Output,
    },
}

/// What the sender has beside its key.
pub struct Own {
    rows: BinnedRows,
    /// Places of ids in the order of tags.
    order: Vec<u32>,
    salt: [u8; DIGEST_BYTES],
}

impl Sender {
    /// A side that holds a new key, and ids of its own, which are distinct: a receiver takes
    /// two tags of one id for misbehaviour. All randomness is drawn from `rng` now.
    ///
    /// # Errors
    /// [`VoleError::Param`]; [`VoleError::Misuse`] for another number of ids than the run has.
    pub fn new(run: Run, ids: &[IdHash], rng: &mut impl CryptoRng) -> Result<Self, VoleError> {
        let mut rng = random(rng);
        let own = Own::new(&run, ids, &mut rng)?;
        if run.is_skipped() {
            return Ok(Self::skipped(run, ids.len(), &mut rng));
        }
        let (silent, transfers) = SilentSender::new(run.context(), run.vectors()?, &mut rng);
        let committed = own.committed(&run, &transfers);
        let making = MakingS::Corrections(Box::new(silent), rng);
        let mut side = Self::with(run, Sending::Vectors { own, making });
        side.mail.send(Step::Transfers, committed);
        Ok(side)
    }

    /// With vectors that a dealer made.
    #[cfg(test)]
    pub(super) fn with_vectors(
        run: Run,
        ids: &[IdHash],
        vectors: VoleS,
        mut rng: Random,
    ) -> Result<Self, VoleError> {
        let own = Own::new(&run, ids, &mut rng)?;
        let committed = own.committed(&run, &[]);
        let mut side = Self::with(run, Sending::Store { own, vectors });
        side.mail.send(Step::Transfers, committed);
        Ok(side)
    }
}

impl Own {
    fn new(run: &Run, ids: &[IdHash], rng: &mut Random) -> Result<Self, VoleError> {
        let rows = run.rows(run.sender_items, ids)?;
        let mut salt = [0; DIGEST_BYTES];
        rng.fill_bytes(&mut salt);
        let order = shuffled(run.told(), rng);
        Ok(Self { rows, order, salt })
    }

    /// Step 1.
    fn committed(&self, run: &Run, transfers: &[u8]) -> Vec<u8> {
        [&run.commitment(&self.salt), transfers].concat()
    }

    /// Step 8 taken, step 9 sent; the values of our ids.
    fn evaluate(&self, vectors: VoleS, content: &[u8], mail: &mut Mailbox) -> Values {
        let VoleS { b: mut sum, delta } = vectors;
        let (_, store) = content.split_at_checked(DIGEST_BYTES).unwrap_or_default();
        let (masked, _) = store.as_chunks();
        for (sums, masked) in sum.chunks_mut(CHUNK).zip(masked.chunks(CHUNK)) {
            let mut terms = [Gf128::ZERO; CHUNK];
            let each = terms.iter_mut().zip(masked);
            each.for_each(|(term, masked)| *term = Gf128::from_bytes(*masked));
            mul_add(sums, &terms, *delta);
        }
        mail.send(Step::Opened, self.salt.to_vec());
        values(&sum, Some(&delta), &self.rows, &mail.transcript)
    }

    /// Step 10.
    fn tags(&self, values: &Values, tag_bytes: usize) -> Vec<u8> {
        let mut tags = Vec::with_capacity(self.order.len() * tag_bytes);
        let shuffled = self.order.iter();
        let shuffled = shuffled.filter_map(|place| values.get(*place as usize));
        shuffled.for_each(|value| tags.extend_from_slice(value.tag(tag_bytes)));
        tags
    }
}

impl Phase for Sending {
    const SIDE: &'static str = "Sender";

    fn due(&self, run: &Run) -> Result<Due, VoleError> {
        let (step, bytes) = match self {
            Self::Vectors { making, .. } => return Ok(making.due(run.vectors()?)),
            Self::Store { .. } => (Step::Store, run.store_bytes()?),
            Self::Matched { .. } => (Step::Matched, run.matched_bytes()),
            Self::Done { .. } => (Step::ReceiverDone, DIGEST_BYTES),
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
        Ok(Next::Phase(match self {
            Self::Vectors { own, making } => match making.take(content)? {
                Turn::Step(making, step, content) => {
                    mail.send(step, content);
                    Self::Vectors { own, making }
                }
                Turn::Made(vectors, last) => {
                    last.into_iter()
                        .for_each(|(step, content)| mail.send(step, content));
                    Self::Store { own, vectors }
                }
            },
            Self::Store { own, vectors } => {
                let values = own.evaluate(vectors, content, mail);
                if run.told() == 0 {
                    return Ok(Next::Phase(Self::done(run, mail, values, Vec::new())));
                }
                mail.send(Step::Tags, own.tags(&values, run.tag_bytes()));
                let order = own.order;
                Self::Matched { values, order }
            }
            Self::Matched { values, order } => {
                let matched = matched(&order, content)?;
                Self::done(run, mail, values, matched)
            }
            Self::Done { output } => {
                if !same(&step.before, content) {
                    return Err(Misbehaviour::Transcript.into());
                }
                return Ok(Next::Finished(output));
            }
        }))
    }
}

impl Sending {
    /// Step 12 sent.
    fn done(run: &Run, mail: &mut Mailbox, values: Values, matched: Vec<bool>) -> Self {
        mail.send_digest(Step::SenderDone);
        let matched = run.matched(matched);
        Self::Done {
            output: Output { values, matched },
        }
    }

    /// What a test needs of the sender once its vectors are made.
    #[cfg(test)]
    pub(super) fn made(&self) -> Option<&VoleS> {
        match self {
            Self::Store { vectors, .. } => Some(vectors),
            _ => None,
        }
    }
}

/// Step 11: whether the receiver has each of our ids.
fn matched(order: &[u32], bits: &[u8]) -> Result<Vec<bool>, Misbehaviour> {
    let mut matched = vec![false; order.len()];
    let mut bits = bits
        .iter()
        .flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1));
    for (place, bit) in order.iter().zip(&mut bits) {
        if let Some(matched) = matched.get_mut(*place as usize) {
            *matched = bit;
        }
    }
    if bits.any(|bit| bit) {
        return Err(Misbehaviour::MatchedBeyond);
    }
    Ok(matched)
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
