//! The peer's points: taken, raised, answered.

use std::collections::VecDeque;
use std::ops::Range;

use incamera_group::EncodedPoint;
use incamera_oprf::dleq::Proof;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchPoints, MatchProof, MatchTags};

use super::job::{Answer, Chunk, Work};
use super::keep::{Keeping, Side};
use super::window::{InOrder, MAX_WINDOW, Tuning, places};
use crate::{Misbehaviour, Misuse, Value};

/// An answer, or the proof before it, that waits until what was seen at its places is kept.
struct Waiting {
    /// The place behind the last one.
    end: u64,
    /// The places that are answered once this leaves.
    answered: u64,
    message: Message,
}

/// The way in of one run, over one link.
pub(super) struct Theirs {
    size: u64,
    tuning: Tuning,
    /// Places that points came for.
    received: u64,
    /// Places whose answers left.
    answered: u64,
    /// Places that were kept before this link: their points must be the ones kept.
    before: u64,
    /// Places kept.
    kept: u64,
    /// Chunks whose values are still to be recalled.
    recalling: VecDeque<Chunk>,
    raising: VecDeque<Work>,
    raised: InOrder<(Answer, Vec<Value>)>,
    outbox: VecDeque<Waiting>,
}

impl Theirs {
    /// A set of `size` points of which `kept` were kept, to be answered from place `first` on.
    pub(super) fn new(size: u64, first: u64, kept: u64, tuning: Tuning) -> Self {
        Self {
            size,
            tuning,
            received: first,
            answered: first,
            before: kept,
            kept,
            recalling: VecDeque::new(),
            raising: VecDeque::new(),
            raised: InOrder::from(first),
            outbox: VecDeque::new(),
        }
    }

    /// A chunk of the peer's set.
    pub(super) fn blinded(&mut self, message: &MatchPoints) -> Result<(), Misbehaviour> {
        let (bytes, first) = (message.points.len(), message.first);
        let count = places(bytes, EncodedPoint::BYTES, first, self.received, self.size)?;
        let limit = MAX_WINDOW as u64;
        if self.received + count - self.answered > limit {
            return Err(Misbehaviour::TooFarAhead { limit });
        }
        let end = first + count;
        if count < self.tuning.least() && end != self.size && end != self.before {
            return Err(Misbehaviour::SmallChunk { points: count });
        }
        let points = EncodedPoint::split(&message.points).unwrap_or_default();
        let known = usize::try_from(self.before.saturating_sub(first)).unwrap_or(usize::MAX);
        let (old, new) = points.split_at(known.min(points.len()));
        self.queue(old);
        self.queue(new);
        Ok(())
    }

    /// Cuts points into work. All of them were kept before, or none.
    fn queue(&mut self, points: &[EncodedPoint]) {
        for part in points.chunks(self.tuning.chunk()) {
            let chunk = Chunk {
                first: self.received,
                points: part.to_vec(),
                before: None,
            };
            if self.received < self.before {
                self.recalling.push_back(chunk);
            } else {
                self.raising.push_back(Work::Raise(chunk));
            }
            self.received += part.len() as u64;
        }
    }

    /// The places whose values must be read from the journal before work goes on.
    pub(super) fn recall(&self) -> Option<Range<u64>> {
        let chunk = self.recalling.front()?;
        Some(chunk.first..chunk.first + chunk.points.len() as u64)
    }

    pub(super) fn recalled(&mut self, first: u64, values: Vec<Value>) -> Result<(), Misuse> {
        let asked = |chunk: &mut Chunk| chunk.first == first && chunk.points.len() == values.len();
        let chunk = self.recalling.pop_front_if(asked).ok_or(Misuse::NotAsked)?;
        self.raising.push_back(Work::Raise(Chunk {
            before: Some(values),
            ..chunk
        }));
        Ok(())
    }

    pub(super) fn raising(&mut self) -> Option<Work> {
        self.raising.pop_front()
    }

    /// Points that were raised.
    pub(super) fn raised(
        &mut self,
        first: u64,
        count: u64,
        result: (Answer, Vec<Value>),
        keeping: &mut Keeping,
    ) {
        self.raised.put(first, count, result);
        while let Some((first, (answer, values))) = self.raised.take() {
            let end = first + values.len() as u64;
            if first >= self.before {
                keeping.push(Side::Theirs, first, &values);
            }
            let message = match answer {
                Answer::Points(points, proof) => {
                    self.prove(first, end, proof);
                    Message::Raised(MatchPoints { first, points })
                }
                Answer::Tags(tags) => Message::Tags(MatchTags { first, tags }),
            };
            self.outbox.push_back(Waiting {
                end,
                answered: end,
                message,
            });
        }
    }

    /// Queues the proof of the answers up to `end`.
    fn prove(&mut self, first: u64, end: u64, proof: Option<Proof>) {
        let Some(proof) = proof else {
            return;
        };
        let (challenge, response) = proof.as_bytes().split_at(Proof::BYTES / 2);
        let message = Message::Proof(MatchProof {
            first,
            count: end - first,
            challenge: challenge.to_vec(),
            response: response.to_vec(),
        });
        self.outbox.push_back(Waiting {
            end,
            answered: first,
            message,
        });
    }

    /// Points in all.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Points that a side may be ahead.
    pub(super) fn window(&self) -> u64 {
        self.tuning.window() as u64
    }

    /// The next answer whose places are kept, up to place `due`.
    pub(super) fn outgoing(&mut self, due: u64) -> Option<Message> {
        let end = self.kept.min(due);
        let waiting = self.outbox.pop_front_if(|waiting| waiting.end <= end)?;
        self.answered = waiting.answered;
        Some(waiting.message)
    }

    pub(super) fn kept(&mut self, end: u64) {
        self.kept = end;
    }

    /// Places whose answers left.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// Places kept.
    pub(super) fn kept_places(&self) -> u64 {
        self.kept
    }

    /// Whether the whole set was answered.
    pub(super) fn is_complete(&self) -> bool {
        self.answered == self.size
    }
}
