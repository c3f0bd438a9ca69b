//! Our own points: blinded, sent, answered.

use std::collections::VecDeque;
use std::ops::Range;

use incamera_group::EncodedPoint;
use incamera_oprf::dleq::Proof;
use incamera_wire::v1::{MatchPoints, MatchProof, MatchTags};

use super::job::{Block, Chunk, Claimed, Work};
use super::keep::{Keeping, Side};
use super::window::{InOrder, Tuning, places};
use crate::{Misbehaviour, Misuse, Value};

/// A value's length.
const VALUE_BYTES: usize = size_of::<Value>();

/// One run's way out, over one link.
pub(super) struct Own {
    size: u64,
    tuning: Tuning,
    /// The place that this link began at.
    first: u64,
    /// The place up to which the peer kept ours before: it may cut its answers there.
    before: u64,
    /// Places that ids were given for.
    given: u64,
    /// Places that left.
    sent: u64,
    /// Places that were answered.
    received: u64,
    /// Places whose values are kept.
    kept: u64,
    blinding: VecDeque<Work>,
    completing: VecDeque<Work>,
    blinded: InOrder<Vec<u8>>,
    completed: InOrder<Vec<Value>>,
    outbox: VecDeque<MatchPoints>,
    proving: Option<Proving>,
}

/// What answers that are to be proven wait for.
#[derive(Default)]
struct Proving {
    /// Points that left, from the first place on that is not answered.
    unanswered: VecDeque<EncodedPoint>,
    /// The proof that came before its answers.
    proof: Option<MatchProof>,
}

impl Proving {
    /// The proof of `count` answers from `first` on, with the points that they answer.
    fn claimed(&mut self, first: u64, count: u64) -> Result<Claimed, Misbehaviour> {
        let fits = |proof: &MatchProof| (proof.first, proof.count) == (first, count);
        let proof = self.proof.take().filter(fits);
        let proof = proof.ok_or(Misbehaviour::UnfitProof)?;
        let bytes = [proof.challenge, proof.response].concat();
        let bytes = bytes.try_into().map_err(|_| Misbehaviour::UnfitProof)?;
        let inputs = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(Claimed {
            inputs: self
                .unanswered
                .drain(..inputs.min(self.unanswered.len()))
                .collect(),
            proof: Proof::from_bytes(bytes),
        })
    }
}

impl Own {
    /// A set of `size` ids, of which those before `held` have their values, and those in it are
    /// kept by the peer; whether answers come with proofs.
    pub(super) fn new(size: u64, held: Range<u64>, tuning: Tuning, proven: bool) -> Self {
        let kept = held.start;
        Self {
            first: kept,
            before: held.end,
            proving: proven.then(Proving::default),
            size,
            tuning,
            given: kept,
            sent: kept,
            received: kept,
            kept,
            blinding: VecDeque::new(),
            completing: VecDeque::new(),
            blinded: InOrder::from(kept),
            completed: InOrder::from(kept),
            outbox: VecDeque::new(),
        }
    }

    /// The next ids, while the window is open.
    pub(super) fn wanted(&self) -> Option<Range<u64>> {
        let end = self.size.min(self.given + self.tuning.chunk() as u64);
        let open = end - self.kept <= self.tuning.window() as u64;
        (self.given < end && open).then_some(self.given..end)
    }

    pub(super) fn give(&mut self, first: u64, ids: Block) -> Result<(), Misuse> {
        let count = ids.len() as u64;
        match self.wanted() {
            Some(wanted) if wanted.start == first && wanted.end - first == count => {
                self.given += count;
                self.blinding.push_back(Work::Blind(first, ids));
                Ok(())
            }
            _ => Err(Misuse::NotAsked),
        }
    }

    pub(super) fn completing(&mut self) -> Option<Work> {
        self.completing.pop_front()
    }

    pub(super) fn blinding(&mut self) -> Option<Work> {
        self.blinding.pop_front()
    }

    /// Points that were made.
    pub(super) fn blinded(&mut self, first: u64, count: u64, points: Vec<u8>) {
        self.blinded.put(first, count, points);
        while let Some((first, points)) = self.blinded.take() {
            self.outbox.push_back(MatchPoints { first, points });
        }
    }

    pub(super) fn outgoing(&mut self) -> Option<MatchPoints> {
        let message = self.outbox.pop_front()?;
        self.sent += (message.points.len() / EncodedPoint::BYTES) as u64;
        if let Some(proving) = &mut self.proving {
            let points = EncodedPoint::split(&message.points);
            proving.unanswered.extend(points.unwrap_or_default());
        }
        Some(message)
    }

    /// The proof of the answers that come next.
    pub(super) fn proof(&mut self, proof: MatchProof) -> Result<(), Misbehaviour> {
        match &mut self.proving {
            Some(proving) if proving.proof.is_none() => {
                proving.proof = Some(proof);
                Ok(())
            }
            _ => Err(Misbehaviour::UnfitProof),
        }
    }

    /// Answers that are points.
    pub(super) fn raised(&mut self, message: &MatchPoints) -> Result<(), Misbehaviour> {
        let (bytes, first) = (message.points.len(), message.first);
        let count = places(bytes, EncodedPoint::BYTES, first, self.received, self.sent)?;
        self.worth_it(first, count)?;
        let points = EncodedPoint::split(&message.points).unwrap_or_default();
        self.received += count;
        if let Some(proving) = &mut self.proving {
            let claimed = proving.claimed(first, count)?;
            self.complete(first, &points, Some(claimed));
            return Ok(());
        }
        let mut at = first;
        for part in points.chunks(self.tuning.chunk()) {
            self.complete(at, part, None);
            at += part.len() as u64;
        }
        Ok(())
    }

    /// Answers are cut where our own chunks end, else only into pieces that are worth their
    /// records.
    fn worth_it(&self, first: u64, count: u64) -> Result<(), Misbehaviour> {
        let end = first + count;
        let at_an_end = (end - self.first).is_multiple_of(self.tuning.chunk() as u64);
        let ends = at_an_end || end == self.size || end == self.before;
        match ends || count >= self.tuning.least() {
            true => Ok(()),
            false => Err(Misbehaviour::SmallChunk { points: count }),
        }
    }

    fn complete(&mut self, first: u64, points: &[EncodedPoint], claimed: Option<Claimed>) {
        let chunk = Chunk {
            first,
            points: points.to_vec(),
            before: None,
        };
        self.completing.push_back(Work::Complete(chunk, claimed));
    }

    /// Answers that are tags.
    pub(super) fn tags(
        &mut self,
        message: &MatchTags,
        keeping: &mut Keeping,
    ) -> Result<(), Misbehaviour> {
        let (bytes, first) = (message.tags.len(), message.first);
        let count = places(bytes, VALUE_BYTES, first, self.received, self.sent)?;
        self.worth_it(first, count)?;
        let (values, _) = message.tags.as_chunks::<VALUE_BYTES>();
        keeping.push(Side::Own, first, values);
        self.received += count;
        Ok(())
    }

    /// Values that were made of answers.
    pub(super) fn completed(
        &mut self,
        first: u64,
        count: u64,
        values: Vec<Value>,
        keeping: &mut Keeping,
    ) {
        self.completed.put(first, count, values);
        while let Some((first, values)) = self.completed.take() {
            keeping.push(Side::Own, first, &values);
        }
    }

    /// How many places were answered, of how many, if that is not all of them.
    pub(super) fn share(&self) -> Option<(u64, u64)> {
        (self.received < self.size).then_some((self.received, self.size))
    }

    pub(super) fn kept(&mut self, end: u64) {
        self.kept = end;
    }

    /// Places whose values are kept.
    pub(super) fn kept_places(&self) -> u64 {
        self.kept
    }

    /// Whether the value of every place is kept.
    pub(super) fn is_complete(&self) -> bool {
        self.kept == self.size
    }
}
