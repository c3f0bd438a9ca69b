//! Matching of two identifier sets by double blinding, with `reveals = "nothing"`.
//!
//! # Parties and messages
//! Both parties do the same at the same time, each in the role of A for its own set and of B
//! for the other's. `kA` and `kB` are their lasting secrets, `r` is A's fresh secret of this
//! run, `H` hashes to ristretto255 under a tag of agreement id, epoch, id kind, method and
//! `reveals`.
//!
//! | step | from → to | message                                                         | size         |
//! |------|-----------|-----------------------------------------------------------------|--------------|
//! | 0    | A ↔ B     | `hello`: the terms, the sender's name and the size of its set    | 150 B        |
//! | 1    | A → B     | `blinded`: `H(a)^r` for each of A's ids, in shuffled order       | 32 B × A set |
//! | 2    | B → A     | `raised`: each of these to `kB`, in the order in which they came | 32 B × A set |
//! | 3    | A         | each to `kA/r`: `H(a)^(kA kB)`, whose KDF is the pseudonym       |              |
//! | 4    | A → B     | `done`: all have come back                                       | 10 B         |
//!
//! Three multiplications an identifier, over both parties. Points travel in chunks of at most
//! [`CHUNK_BYTES`]; a side sends only [`WINDOW_POINTS`] points ahead of the answers, so that
//! neither needs more memory than its own set takes.
//!
//! # Claim
//! Semi-honest security under DDH in ristretto255, `H` a random oracle. Beyond it:
//!
//! * a party may put invented identifiers into its set; it gets their pseudonyms, up to
//!   `max_ids` a run and `max_runs` runs (the caller counts those), and what they are worth is
//!   what it learns from joins in the room;
//! * a party may answer with other points than the protocol says: the other's pseudonyms are
//!   then wrong and join nothing. The earlier ids that are mixed in find out whoever does so
//!   to all points after the first run; nothing finds out who does so to a few;
//! * a party learns from malformed points nothing but that they are refused: every encoding is
//!   checked, the group has prime order, and the identity is refused.
//!
//! # What each party learns
//! The size of the other's set, with up to [`KNOWN_IDS`] earlier ids mixed in, and the
//! pseudonyms of its own ids. Never an identifier or a pseudonym of the other, nor who is in
//! both sets: what B sees of A's ids is under `r`, which is new in every run and stays with A.
//! A party that raises the other's blinded points to its own secret (the textbook protocol's
//! last step) holds points under `r`, not pseudonyms.
//!
//! # Reference
//! Huberman, Franklin, Hogg, *Enhancing privacy and trust in electronic communities* (1999), with
//! the blinding of Chaum (1983) around it; hashing to the group: RFC 9496, section 4.3.4 and
//! RFC 9497, section 4.1.

mod set;

use std::collections::VecDeque;

use incamera_group::{
    EncodedPoint, HashDomain, PointError, Scalar, hash_and_multiply_batch, multiply_batch,
};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{AgreementDigest, Digest as _, MatchingEpoch, PartyName, Pseudonym};
use incamera_wire::Format;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchDone, MatchHello, MatchMessage, MatchPoints};
use rand_core::CryptoRng;

use crate::{
    Incompatible, KNOWN_IDS, MatchError, MatchingSecret, Misbehaviour, Misuse, Reveals, Terms,
};
use set::OwnSet;

/// Points that a side sends at once. It accepts up to [`CHUNK_BYTES`].
const CHUNK_POINTS: usize = 4096;
/// Points that a side sends ahead of the answers.
pub const WINDOW_POINTS: usize = 4 * CHUNK_POINTS;

/// How far a run is, in points multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Points done.
    pub done: u64,
    /// Points in all; before the peer's greeting without the peer's.
    pub total: u64,
}

/// One run of the protocol, for one party and one kind of identifier.
///
/// The caller sends what [`outgoing`](Self::outgoing) gives until it gives nothing, hands what
/// it receives to [`incoming`](Self::incoming), and asks `outgoing` again; once
/// [`is_finished`](Self::is_finished) or the stream has ended it calls
/// [`finish`](Self::finish). It must read while it writes: both sides send at once.
pub struct Run {
    terms: Terms,
    me: PartyName,
    peer: PartyName,
    domain: HashDomain,
    /// `k`, which raises the peer's points.
    lasting: Scalar,
    /// `r`, which blinds our own.
    blind: Scalar,
    /// `k/r`, which turns what comes back into points that last.
    finishing: Scalar,
    set: OwnSet,
    outbox: VecDeque<Message>,
    sent: usize,
    pseudonyms: Vec<Pseudonym>,
    peer_size: Option<u64>,
    peer_points: u64,
    peer_done: bool,
    done_queued: bool,
    failed: bool,
}

impl Run {
    /// Starts a run over distinct, normalised `ids`.
    ///
    /// `known` are ids that earlier runs of the same terms gave pseudonyms; up to
    /// [`KNOWN_IDS`] of them, drawn at random, are matched again and compared. Give all there
    /// are: without any, a wrong secret goes unnoticed and matches nobody.
    ///
    /// # Errors
    /// [`Misuse`]: equal parties, ids that repeat or are empty, more than `max_ids`.
    pub fn new(
        terms: Terms,
        me: PartyName,
        peer: PartyName,
        secret: &MatchingSecret,
        ids: Vec<String>,
        known: &[(String, Pseudonym)],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, MatchError> {
        if me == peer {
            return Err(Misuse::SameParty.into());
        }
        if terms.reveals != Reveals::Nothing {
            return Err(Misuse::Reveals.into());
        }
        let (found, limit) = (ids.len() as u64, terms.max_ids);
        if found > limit {
            return Err(Misuse::TooManyIds { found, limit }.into());
        }
        let domain = terms.hash_domain()?;
        let blind = Scalar::random(rng);
        let lasting = secret.scalar(&terms);
        let mut run = Self {
            finishing: lasting.multiply(&blind.invert()),
            set: OwnSet::new(ids, known, rng)?,
            outbox: VecDeque::new(),
            sent: 0,
            pseudonyms: Vec::new(),
            peer_size: None,
            peer_points: 0,
            peer_done: false,
            done_queued: false,
            failed: false,
            terms,
            me,
            peer,
            domain,
            lasting,
            blind,
        };
        let hello = run.hello();
        run.outbox.push_back(Message::Hello(hello));
        Ok(run)
    }

    /// The next message for the peer, if one is due now. Step 1 is computed here.
    pub fn outgoing(&mut self) -> Option<MatchMessage> {
        if self.failed {
            return None;
        }
        let waiting = self.outbox.pop_front();
        let message = waiting.or_else(|| self.blinded()).or_else(|| self.done());
        message.map(|message| MatchMessage {
            message: Some(message),
        })
    }

    /// Takes a message of the peer. Steps 2 and 3 are computed here.
    ///
    /// # Errors
    /// [`MatchError`], after which the run is over.
    pub fn incoming(&mut self, message: MatchMessage) -> Result<(), MatchError> {
        if self.failed {
            return Err(Misuse::AfterFailure.into());
        }
        let taken = self.take(message.message);
        self.failed = taken.is_err();
        taken
    }

    /// Whether nothing is left to send or to receive.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let answered = self.peer_size == Some(self.peer_points);
        self.peer_done && self.done_queued && answered && self.outbox.is_empty() && !self.failed
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let own = self.set.len() as u64;
        Progress {
            done: self.sent as u64 + self.pseudonyms.len() as u64 + self.peer_points,
            total: 2 * own + self.peer_size.unwrap_or_default(),
        }
    }

    /// The size of the peer's set, once it has said so.
    #[must_use]
    pub fn peer_size(&self) -> Option<u64> {
        self.peer_size
    }

    /// The pseudonym of each of our ids, in no particular order.
    ///
    /// # Errors
    /// [`MatchError`]: the run is not finished, the peer repeated a point, or ids matched
    /// before have other pseudonyms now.
    pub fn finish(self) -> Result<Vec<(String, Pseudonym)>, MatchError> {
        if self.failed {
            return Err(Misuse::AfterFailure.into());
        }
        if !self.is_finished() {
            return Err(MatchError::EndedEarly { peer: self.peer });
        }
        let checked =
            check_distinct(&self.pseudonyms).and_then(|()| self.set.check(&self.pseudonyms));
        match checked {
            Ok(true) => Ok(self.set.into_pairs(self.pseudonyms)),
            Ok(false) => Err(MatchError::SecretChanged {
                peer: self.peer,
                epoch: self.terms.epoch,
                id_kind: self.terms.id_kind,
            }),
            Err(source) => Err(misbehaved(&self.peer, source)),
        }
    }
}

/// What goes out.
impl Run {
    /// Step 0.
    fn hello(&self) -> MatchHello {
        MatchHello {
            format: Format::Matching.as_str().to_owned(),
            agreement_digest: self.terms.agreement_digest.as_bytes().to_vec(),
            party: self.me.to_string(),
            epoch: self.terms.epoch.0,
            id_kind: self.terms.id_kind.to_string(),
            method: self.terms.method.to_string(),
            reveals: self.terms.reveals.to_string(),
            set_size: self.set.len() as u64,
            ..MatchHello::default()
        }
    }

    /// Step 1: the next chunk of our ids under `r`, if the window is open.
    fn blinded(&mut self) -> Option<Message> {
        self.peer_size?;
        let ahead = self.sent.saturating_sub(self.pseudonyms.len());
        let ids = self.set.slice(self.sent, CHUNK_POINTS);
        if ids.is_empty() || ahead + ids.len() > WINDOW_POINTS {
            return None;
        }
        let points = hash_and_multiply_batch(&self.domain, ids, &self.blind);
        let message = MatchPoints {
            first: self.sent as u64,
            points: EncodedPoint::join(&points),
        };
        self.sent += points.len();
        Some(Message::Blinded(message))
    }

    /// Step 4, once, when all of our points have come back.
    fn done(&mut self) -> Option<Message> {
        self.peer_size?;
        if self.done_queued || self.pseudonyms.len() < self.set.len() {
            return None;
        }
        self.done_queued = true;
        let received = self.pseudonyms.len() as u64;
        Some(Message::Done(MatchDone { received }))
    }
}

/// What comes in.
impl Run {
    fn take(&mut self, message: Option<Message>) -> Result<(), MatchError> {
        let message = message.ok_or_else(|| self.misbehaved(Misbehaviour::EmptyMessage))?;
        match (message, self.peer_size) {
            (Message::Hello(hello), None) => {
                let size = self
                    .greeted(&hello)
                    .map_err(|source| self.incompatible(source))?;
                self.peer_size = Some(size);
                Ok(())
            }
            (Message::Hello(_), Some(_)) => Err(self.misbehaved(Misbehaviour::SecondHello)),
            (_, None) => Err(self.misbehaved(Misbehaviour::BeforeHello)),
            (Message::Blinded(points), Some(size)) => self.raise(&points, size),
            (Message::Raised(points), Some(_)) => self.complete(&points),
            (Message::Done(done), Some(size)) => self.ended(done, size),
            (Message::Begin(_) | Message::Tags(_) | Message::Proof(_), Some(_)) => {
                Err(self.misbehaved(Misbehaviour::EmptyMessage))
            }
        }
    }

    /// Step 0 of the peer: its terms against ours, and the size of its set.
    fn greeted(&self, hello: &MatchHello) -> Result<u64, Incompatible> {
        Format::Matching.expect(&hello.format)?;
        let ours = &self.terms;
        if AgreementDigest::from_slice(&hello.agreement_digest) != Ok(ours.agreement_digest) {
            return Err(Incompatible::Agreement);
        }
        if hello.party != self.peer.as_str() {
            return Err(Incompatible::Party);
        }
        let theirs = MatchingEpoch(hello.epoch);
        if theirs != ours.epoch {
            return Err(Incompatible::Epoch {
                ours: ours.epoch,
                theirs,
            });
        }
        self.greeted_words(hello)?;
        let limit = ours.max_ids.saturating_add(KNOWN_IDS as u64);
        if hello.set_size > limit {
            return Err(Incompatible::SetTooLarge {
                found: hello.set_size,
                limit,
            });
        }
        Ok(hello.set_size)
    }

    fn greeted_words(&self, hello: &MatchHello) -> Result<(), Incompatible> {
        let ours = &self.terms;
        if hello.id_kind != ours.id_kind.as_str() {
            return Err(Incompatible::IdKind {
                ours: ours.id_kind.clone(),
            });
        }
        if hello.method != ours.method.as_str() {
            return Err(Incompatible::Method { ours: ours.method });
        }
        if hello.reveals != ours.reveals.as_str() {
            return Err(Incompatible::Reveals { ours: ours.reveals });
        }
        Ok(())
    }

    /// Step 2: raises the peer's points to `k`, in their order.
    fn raise(&mut self, message: &MatchPoints, size: u64) -> Result<(), MatchError> {
        let raised = self.multiplied(message, self.peer_points, size, &self.lasting)?;
        self.peer_points += raised.len() as u64;
        self.outbox.push_back(Message::Raised(MatchPoints {
            first: message.first,
            points: EncodedPoint::join(&raised),
        }));
        Ok(())
    }

    /// Step 3: raises what came back to `k/r` and takes the pseudonyms.
    fn complete(&mut self, message: &MatchPoints) -> Result<(), MatchError> {
        let next = self.pseudonyms.len() as u64;
        let points = self.multiplied(message, next, self.sent as u64, &self.finishing)?;
        let makes = self.terms.pseudonyms();
        let pseudonyms = points.iter().map(|point| makes.of_point(point));
        self.pseudonyms.extend(pseudonyms);
        Ok(())
    }

    /// Step 4 of the peer.
    fn ended(&mut self, done: MatchDone, size: u64) -> Result<(), MatchError> {
        if self.peer_done || self.peer_points != size || done.received != size {
            return Err(self.misbehaved(Misbehaviour::WrongCount {
                expected: self.peer_points,
                found: done.received,
            }));
        }
        self.peer_done = true;
        Ok(())
    }

    /// A chunk that starts at `next` and stays within `due`, multiplied by `scalar`.
    fn multiplied(
        &self,
        message: &MatchPoints,
        next: u64,
        due: u64,
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, MatchError> {
        let checked = chunk(message, next, due).and_then(|points| {
            multiply_batch(&points, scalar).map_err(|error| bad_point(next, error))
        });
        checked.map_err(|source| self.misbehaved(source))
    }

    fn misbehaved(&self, source: Misbehaviour) -> MatchError {
        misbehaved(&self.peer, source)
    }

    fn incompatible(&self, source: Incompatible) -> MatchError {
        let peer = self.peer.clone();
        MatchError::PeerIncompatible { peer, source }
    }
}

fn misbehaved(peer: &PartyName, source: Misbehaviour) -> MatchError {
    MatchError::PeerMisbehaved {
        peer: peer.clone(),
        source,
    }
}

fn bad_point(first: u64, error: PointError) -> Misbehaviour {
    Misbehaviour::BadPoint {
        place: first + error.index as u64,
        fault: error.fault,
    }
}

/// The points of a chunk, if it has the right place and size.
fn chunk(message: &MatchPoints, next: u64, due: u64) -> Result<Vec<EncodedPoint>, Misbehaviour> {
    let bytes = message.points.len();
    if message.first != next {
        let (expected, found) = (next, message.first);
        return Err(Misbehaviour::OutOfOrder { expected, found });
    }
    if bytes == 0 || bytes > CHUNK_BYTES {
        return Err(Misbehaviour::ChunkSize { bytes });
    }
    let points = EncodedPoint::split(&message.points).ok_or(Misbehaviour::ChunkSize { bytes })?;
    if points.len() as u64 > due.saturating_sub(next) {
        return Err(Misbehaviour::TooMany { expected: due });
    }
    Ok(points)
}

/// Distinct ids have distinct points, under an honest peer.
fn check_distinct(pseudonyms: &[Pseudonym]) -> Result<(), Misbehaviour> {
    let mut sorted = pseudonyms.to_vec();
    sorted.sort_unstable();
    let before = sorted.len();
    sorted.dedup();
    if sorted.len() < before {
        return Err(Misbehaviour::RepeatedPoint);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
