//! Steps cut into parts, each of a length known beforehand.

use std::collections::VecDeque;

use incamera_wire::v1::VolePart;
use sha2::{Digest, Sha256};

use super::{DIGEST_BYTES, Direction, Misbehaviour, Progress, Run};
use crate::hash::shared;

/// Bytes of a part's content, at most: all but a step's last part have just as many.
pub const PART_BYTES: usize = 512 << 10;
/// Starts the transcript.
const TRANSCRIPT_LABEL: &[u8] = b"incamera-vole/1";

/// A message of one direction, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Sender: what its half of the salt hashes to; its part of the transfers.
    Transfers = 1,
    /// Receiver: its part of them, and the corrections of the base vectors.
    Corrections = 2,
    /// Sender: the challenge of check 1.
    Challenge = 3,
    /// Receiver: the answer.
    Answer = 4,
    /// Sender: sums of the trees' levels.
    Trees = 5,
    /// Receiver: the challenge of check 2.
    SumChallenge = 6,
    /// Sender: the answer.
    Sum = 7,
    /// Receiver: its half of the salt, and its store under the mask.
    Store = 8,
    /// Sender: its half of the salt.
    Opened = 9,
    /// Sender: its ids as tags, in shuffled order.
    Tags = 10,
    /// Receiver: a bit for each tag, whether it has the id.
    Matched = 11,
    /// Sender: a digest of all steps.
    SenderDone = 12,
    /// Receiver: a digest of all steps.
    ReceiverDone = 13,
}

/// What is due next from the peer: a step and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub(crate) step: Step,
    pub(crate) bytes: usize,
}

/// A step that has come whole.
pub struct Received {
    pub(crate) content: Vec<u8>,
    /// The digest of all steps before it.
    pub(crate) before: [u8; DIGEST_BYTES],
}

/// The steps so far, hashed; the same on both sides.
#[derive(Clone)]
pub struct Transcript(Sha256);

impl Transcript {
    pub(crate) fn new(context: &[u8; 32]) -> Self {
        Self(shared(TRANSCRIPT_LABEL, &[context]))
    }

    pub(super) fn add(&mut self, step: Step, content: &[u8]) {
        self.0.update([step as u8]);
        self.0.update((content.len() as u64).to_be_bytes());
        self.0.update(content);
    }

    pub(crate) fn digest(&self) -> [u8; DIGEST_BYTES] {
        self.0.clone().finalize().into()
    }
}

/// Parts on their way, of one direction.
pub struct Mailbox {
    direction: Direction,
    pub(crate) transcript: Transcript,
    outgoing: VecDeque<(Step, Vec<u8>)>,
    /// Bytes sent of the first of them.
    sent: usize,
    /// What has come of the step that is due.
    received: Vec<u8>,
    /// Bytes of the steps that were sent or received whole.
    done: u64,
    counts: bool,
}

impl Mailbox {
    pub(crate) fn new(direction: Direction, context: &[u8; 32]) -> Self {
        Self {
            direction,
            transcript: Transcript::new(context),
            outgoing: VecDeque::new(),
            sent: 0,
            received: Vec::new(),
            done: 0,
            counts: false,
        }
    }

    fn add(&mut self, step: Step, content: &[u8]) {
        self.counts |= step == Step::Store;
        self.transcript.add(step, content);
    }

    /// Puts a step on its way. One without content is not sent.
    pub(crate) fn send(&mut self, step: Step, content: Vec<u8>) {
        self.add(step, &content);
        if !content.is_empty() {
            self.outgoing.push_back((step, content));
        }
    }

    /// Puts a step on its way that is the digest of all steps before it.
    pub(crate) fn send_digest(&mut self, step: Step) {
        let digest = self.transcript.digest();
        self.send(step, digest.to_vec());
    }

    /// Whether the receiver's store is on its way or has come.
    pub(crate) fn counts(&self) -> bool {
        self.counts
    }

    /// The next part to send.
    pub(crate) fn outgoing(&mut self) -> Option<VolePart> {
        let (step, content) = self.outgoing.front()?;
        let rest = content.get(self.sent..).unwrap_or_default();
        let part = rest.get(..PART_BYTES).unwrap_or(rest);
        let message = VolePart {
            direction: self.direction.number(),
            step: *step as u32,
            offset: self.sent as u64,
            content: part.to_vec(),
        };
        self.sent += part.len();
        if self.sent == content.len() {
            self.done += self.sent as u64;
            self.outgoing.pop_front();
            self.sent = 0;
        }
        Some(message)
    }

    /// Whether everything has been sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Takes a part of the step that is due; its content once it is whole.
    pub(crate) fn incoming(
        &mut self,
        due: Due,
        part: &VolePart,
    ) -> Result<Option<Received>, Misbehaviour> {
        if part.direction != self.direction.number() {
            return Err(Misbehaviour::Direction);
        }
        if part.step != due.step as u32 {
            let (expected, found) = (due.step as u32, part.step);
            return Err(Misbehaviour::Step { expected, found });
        }
        let at = self.received.len();
        if part.offset != at as u64 {
            let (expected, found) = (at as u64, part.offset);
            return Err(Misbehaviour::Offset { expected, found });
        }
        let (expected, found) = ((due.bytes - at).min(PART_BYTES), part.content.len());
        if found != expected {
            return Err(Misbehaviour::Length { expected, found });
        }
        if at == 0 {
            self.received.reserve_exact(due.bytes);
        }
        self.received.extend_from_slice(&part.content);
        if self.received.len() < due.bytes {
            return Ok(None);
        }
        let content = std::mem::take(&mut self.received);
        let before = self.transcript.digest();
        self.add(due.step, &content);
        self.done += content.len() as u64;
        Ok(Some(Received { content, before }))
    }

    /// Forgets what is on its way: the run has failed.
    pub(crate) fn clear(&mut self) {
        self.outgoing.clear();
        self.received.clear();
    }

    /// Bytes of steps that were sent or received, so far and in all.
    pub(crate) fn progress(&self, run: &Run) -> Progress {
        let done = self.done + self.sent as u64 + self.received.len() as u64;
        let total = run.bytes().unwrap_or(done);
        Progress { done, total }
    }
}
