//! Matching by vector oblivious linear evaluation (crate `vole`): a third of the CPU time and
//! half of the bytes of the commutative exchange, and new pseudonyms in each run.
//!
//! [`VoleRun`] is what one party's side of a run does with messages, in the order in which they
//! come. It starts no threads, reads no clock and no files.
//!
//! # Parties and messages
//! Each id is evaluated under a key that the other party made for this run, and that is wiped
//! with it. With `reveals = "nothing"` both parties do so at once, and a pseudonym is made of
//! both values of an id, so that either alone can make none. With `reveals = "own-matches"` the
//! ids of the party first by name are evaluated by the other, which then sends tags of its own.
//!
//! | step | from → to | message                                                       | size       |
//! |------|-----------|---------------------------------------------------------------|------------|
//! | 0    | both      | `hello`: the terms, the size of the set, commitment to a nonce | 250 B      |
//! |      | both      | `nonce`, once both have greeted and the sender counted the run | 34 B       |
//! | 1 to 13 | both   | `vole`: the steps of crate `vole`, of one direction or two     | see there  |
//!
//! If either set is empty there are no steps: nobody has anything evaluated, and pseudonyms are
//! random.
//!
//! # Names
//! A run is named by the digest of both greetings, and its pseudonyms are those of no other run:
//! crosswalks and manifests carry the name. All steps hang on the name and on both nonces, which
//! hang on the terms: sides that differ in any of these do not finish.
//!
//! # Claim
//! That of crate `vole`, malicious security for the values. A peer that does as it likes
//!
//! * may bring ids that it does not have, and have more evaluated than it declares:
//!   [`evaluations`] says how many. `max_ids` bounds these, and not the size declared;
//! * may give values under different keys, tags of other ids, or wrong bits of what matched:
//!   what it makes up joins nothing, and the run ends well. Only who matches sees that nothing
//!   joins;
//! * may stop when it has what it wants, and leave the other side with nothing. The run was
//!   counted before the nonce left, on this side, so that it may do so `max_runs` times.
//!
//! A run that is cut off is not gone on with: a key must not answer twice.
//!
//! # What each party learns
//! The size of the other's set, the pseudonyms of its own ids, and with `own-matches` which of
//! them the other has. Nothing tells ids of two runs to be the same.
//!
//! # Memory
//! All ids' hashes and values at once, and the vectors: about 150 bytes an id of the larger set.

mod greeting;

use std::collections::VecDeque;
use std::fmt;

use incamera_types::{Digest as _, PartyName, Pseudonym};
use incamera_vole::hash::{Domain, IdHash, IdHasher};
use incamera_vole::oprf::{
    self, Direction, Output, Pseudonyms, Receiver, Run, Sender, Value, VoleError,
};
use incamera_vole::params::{MAX_ITEMS, evaluations_bound};
use incamera_vole::toss::{Committed, Toss};
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchHello, MatchMessage, MatchNonce, VolePart};
use rand_core::CryptoRng;

use crate::exchange::{Agreed, Alike};
use crate::{MatchError, Misbehaviour, Misuse, Mode, Reveals, Terms};
use greeting::Greeting;

pub use crate::terms::Security;

/// Why a set does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// More ids than one run takes.
    #[error(
        "{found} ids are more than the {MAX_ITEMS} of one party that method `vole` matches in a run"
    )]
    TooMany {
        /// Distinct ids.
        found: u64,
    },
    /// Too many for what the agreement allows.
    #[error(
        "a party that declares {found} ids may have up to {evaluations} evaluated in a run of method `vole`, whatever it does, and the agreement's `max_ids` is {limit}"
    )]
    Evaluations {
        /// Distinct ids.
        found: u64,
        /// What could be evaluated.
        evaluations: u64,
        /// `max_ids`.
        limit: u64,
    },
}

/// How many ids a party can have evaluated at most in a run, if it declares so many and does
/// whatever it likes: what counting its possible stores allows, with 2^80 hashes during the run.
/// By what is known to work, solving for a store, it is [`evaluations_bound`]: about half.
///
/// By counting it is 2.33 times the store's columns for few ids, and 2.77 times the ids from
/// 2^14 on; and never below 600, so that 2^100 hashes would not do more for the smallest sets.
#[must_use]
pub fn evaluations(declared: u64) -> u64 {
    const LEAST: u64 = 600;
    const MANY: u64 = 1 << 14;
    let of_many = declared.max(MANY).saturating_mul(277).div_ceil(100);
    let columns = evaluations_bound(declared).unwrap_or(of_many);
    columns
        .saturating_mul(7)
        .div_ceil(3)
        .min(of_many)
        .max(LEAST)
}

/// Whether a party may declare so many ids.
///
/// # Errors
/// [`SetError`].
pub fn check_set(declared: u64, max_ids: u64) -> Result<(), SetError> {
    let (found, limit) = (declared, max_ids);
    if found > MAX_ITEMS {
        return Err(SetError::TooMany { found });
    }
    let evaluations = evaluations(found);
    match evaluations <= limit {
        true => Ok(()),
        false => Err(SetError::Evaluations {
            found,
            evaluations,
            limit,
        }),
    }
}

/// What a run is made from.
pub struct Setup {
    /// The terms.
    pub terms: Terms,
    /// How long tags are.
    pub security: Security,
    /// This party.
    pub me: PartyName,
    /// The other one.
    pub peer: PartyName,
    /// Distinct ids.
    pub own: u64,
    /// What must be alike besides the terms.
    pub alike: Alike,
    /// Which numbering plans our phone rule knows, if that is the rule; else empty.
    pub numbering: String,
}

/// How far a run is, in bytes of its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Sent and received.
    pub done: u64,
    /// In all; zero while that is not known.
    pub total: u64,
}

/// What a run gave.
pub struct Outcome {
    /// The pseudonym of each id, in the order in which they were given.
    pub pseudonyms: Vec<Pseudonym>,
    /// With `own-matches`: whether the peer has the id.
    pub matched: Option<Vec<bool>>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome(..)")
    }
}

/// One party's side of a run.
///
/// The caller sends what [`outgoing`](Self::outgoing) gives and hands what it receives to
/// [`incoming`](Self::incoming), in which most of the work is done. Once the run is
/// [agreed on](Self::agreed) it counts it durably and calls [`begin`](Self::begin); once there
/// is a [`hasher`](Self::hasher) it gives the ids' hashes; once the run
/// [is finished](Self::is_finished) it takes what came of it. A run that ended in an error, or
/// early, is over.
pub struct VoleRun {
    setup: Setup,
    hello: MatchHello,
    outgoing: VecDeque<Message>,
    agreed: Option<Agreed>,
    phase: Phase,
}

enum Phase {
    /// The peer's greeting is due.
    Greeting(Toss),
    /// The run is to be counted.
    Counting(Committed),
    /// The peer's nonce is due.
    Tossing(Committed),
    /// Ids are to be given.
    Ids(Domain),
    /// Nothing is evaluated: one of the sets is empty.
    Empty(Outcome),
    Running(Box<Sides>),
    Failed,
}

/// Our sides of the directions that there are.
struct Sides {
    /// The direction in which our ids are evaluated, as parts name it.
    own: u32,
    receiver: Option<Receiver>,
    sender: Option<Sender>,
}

impl VoleRun {
    /// A run that is to greet.
    ///
    /// # Errors
    /// [`MatchError::Misuse`].
    pub fn new(setup: Setup, rng: &mut impl CryptoRng) -> Result<Self, MatchError> {
        if setup.me == setup.peer {
            return Err(Misuse::SameParty.into());
        }
        check_set(setup.own, setup.terms.max_ids).map_err(Misuse::Set)?;
        let terms = setup.terms_digest();
        let toss = Toss::new(*terms.as_bytes(), setup.place(), rng);
        let hello = setup.hello(toss.commitment());
        Ok(Self {
            outgoing: VecDeque::from([Message::Hello(hello.clone())]),
            setup,
            hello,
            agreed: None,
            phase: Phase::Greeting(toss),
        })
    }

    /// The next message for the peer, if one is due now.
    pub fn outgoing(&mut self) -> Option<MatchMessage> {
        let message = self.outgoing.pop_front().or_else(|| match &mut self.phase {
            Phase::Running(sides) => sides.outgoing().map(Message::Vole),
            _ => None,
        });
        message.map(|message| MatchMessage {
            message: Some(message),
        })
    }

    /// Takes a message of the peer. Not to be called while the run is to be counted or ids are
    /// to be given.
    ///
    /// # Errors
    /// [`MatchError`], after which the run is over.
    pub fn incoming(&mut self, message: MatchMessage) -> Result<(), MatchError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        let message = message.message;
        let message = message.ok_or_else(|| self.misbehaved(Misbehaviour::EmptyMessage))?;
        self.phase = match (phase, message) {
            (Phase::Failed, _) => return Err(Misuse::AfterFailure.into()),
            (Phase::Counting(_) | Phase::Ids(_), _) => return Err(Misuse::NotAgreed.into()),
            (Phase::Greeting(toss), Message::Hello(theirs)) => self.greeted(toss, &theirs)?,
            (Phase::Greeting(_), _) => return Err(self.misbehaved(Misbehaviour::BeforeHello)),
            (_, Message::Hello(_)) => return Err(self.misbehaved(Misbehaviour::SecondHello)),
            (Phase::Tossing(committed), Message::Nonce(theirs)) => {
                self.tossed(committed, &theirs)?
            }
            (Phase::Running(mut sides), Message::Vole(part)) => {
                sides.incoming(&part).map_err(|error| self.failed(error))?;
                Phase::Running(sides)
            }
            (_, Message::Nonce(_)) => return Err(self.misbehaved(Misbehaviour::Nonce)),
            (Phase::Tossing(_) | Phase::Empty(_), Message::Vole(part)) => {
                let found = part.step;
                let early = oprf::Misbehaviour::NothingDue { found };
                return Err(self.misbehaved(early.into()));
            }
            _ => return Err(self.misbehaved(Misbehaviour::EmptyMessage)),
        };
        Ok(())
    }

    fn greeted(&mut self, toss: Toss, theirs: &MatchHello) -> Result<Phase, MatchError> {
        let Greeting {
            size,
            numbering,
            commitment,
            run,
        } = self.setup.greeted(&self.hello, theirs)?;
        self.agreed = Some(Agreed {
            run,
            nonce: [0; 32],
            greeting: [0; 32],
            goes_on: false,
            peer_size: size,
            peer_mode: Mode::Full,
            other_numbering: (numbering != self.setup.numbering).then_some(numbering),
            peer_key: None,
            received: 0,
            answered: 0,
        });
        Ok(Phase::Counting(toss.committed(commitment)))
    }

    /// What both greetings came to, once they have.
    #[must_use]
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Whether the run waits for [`begin`](Self::begin).
    #[must_use]
    pub fn is_to_be_counted(&self) -> bool {
        matches!(self.phase, Phase::Counting(_))
    }

    /// The run is counted, durably: our nonce may leave.
    ///
    /// # Errors
    /// [`Misuse::NotAgreed`].
    pub fn begin(&mut self) -> Result<(), MatchError> {
        let Phase::Counting(committed) = std::mem::replace(&mut self.phase, Phase::Failed) else {
            return Err(Misuse::NotAgreed.into());
        };
        let nonce = committed.nonce().to_vec();
        self.outgoing
            .push_back(Message::Nonce(MatchNonce { nonce }));
        self.phase = Phase::Tossing(committed);
        Ok(())
    }

    fn tossed(&self, committed: Committed, theirs: &MatchNonce) -> Result<Phase, MatchError> {
        let nonce = theirs.nonce.as_slice().try_into();
        let nonce = nonce.map_err(|_| self.misbehaved(Misbehaviour::Nonce))?;
        let tossed = committed.join(nonce);
        let tossed = tossed.map_err(|source| self.misbehaved(source.into()))?;
        let agreed = self.agreed.as_ref().ok_or(Misuse::NotAgreed)?;
        Ok(Phase::Ids(greeting::domain(tossed, &agreed.run)))
    }

    /// What hashes ids, once they are to be given.
    #[must_use]
    pub fn hasher(&self) -> Option<IdHasher> {
        match &self.phase {
            Phase::Ids(domain) => Some(domain.id_hasher()),
            _ => None,
        }
    }

    /// Takes the hashes of our ids, which are distinct. All randomness is drawn from `rng` now.
    ///
    /// # Errors
    /// [`Misuse`]: no ids are to be given, or others than were declared.
    pub fn give(&mut self, ids: &[IdHash], rng: &mut impl CryptoRng) -> Result<(), MatchError> {
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        let (Phase::Ids(domain), Some(agreed)) = (phase, &self.agreed) else {
            return Err(Misuse::NotAgreed.into());
        };
        if ids.len() as u64 != self.setup.own {
            return Err(Misuse::NotAsked.into());
        }
        let peer = agreed.peer_size;
        self.phase = match ids.is_empty() || peer == 0 {
            true => Phase::Empty(self.unevaluated(ids.len(), rng)),
            false => {
                let sides = self.sides(domain, peer, ids, rng);
                Phase::Running(Box::new(sides.map_err(|error| self.failed(error))?))
            }
        };
        Ok(())
    }

    /// Pseudonyms that nobody else has.
    fn unevaluated(&self, ids: usize, rng: &mut impl CryptoRng) -> Outcome {
        let mut draw = || {
            let mut bytes = [0; Pseudonym::BYTES];
            rng.fill_bytes(&mut bytes);
            Pseudonym::from_bytes(bytes)
        };
        Outcome {
            pseudonyms: (0..ids).map(|_| draw()).collect(),
            matched: self.reveals_matches().then(|| vec![false; ids]),
        }
    }

    fn sides(
        &self,
        domain: Domain,
        peer: u64,
        ids: &[IdHash],
        rng: &mut impl CryptoRng,
    ) -> Result<Sides, VoleError> {
        let (items, place) = (self.setup.own, self.setup.place());
        let reveals = match self.reveals_matches() {
            true => oprf::Reveals::OwnMatches,
            false => oprf::Reveals::Nothing,
        };
        let run = |direction: Direction, receiver_items, sender_items| Run {
            domain,
            direction,
            reveals,
            security: self.setup.security.tags(),
            receiver_items,
            sender_items,
        };
        let both = !self.reveals_matches();
        let receives = both || place == Direction::First;
        let sends = both || place == Direction::Second;
        let receiver = receives.then(|| Receiver::new(run(place, items, peer), ids, rng));
        let receiver = receiver.transpose()?;
        let sender = sends.then(|| Sender::new(run(place.other(), peer, items), ids, rng));
        let sender = sender.transpose()?;
        let own = u32::from(place == Direction::Second);
        Ok(Sides {
            own,
            receiver,
            sender,
        })
    }

    /// How far the steps are.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Phase::Running(sides) = &self.phase else {
            return Progress::default();
        };
        let receiver = sides.receiver.as_ref().map(Receiver::progress);
        let sender = sides.sender.as_ref().map(Sender::progress);
        let both = receiver.into_iter().chain(sender);
        both.fold(Progress::default(), |sum, one| Progress {
            done: sum.done + one.done,
            total: sum.total + one.total,
        })
    }

    /// Whether nothing is left to send or to receive.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let done = match &self.phase {
            Phase::Running(sides) => sides.is_finished(),
            Phase::Empty(_) => true,
            _ => false,
        };
        done && self.outgoing.is_empty()
    }

    /// What came of the run.
    ///
    /// # Errors
    /// [`Misuse`] before it [is finished](Self::is_finished).
    pub fn finish(self) -> Result<Outcome, MatchError> {
        let terms = &self.setup.terms;
        let epoch = terms.epoch.0.to_be_bytes();
        let pseudonyms = Pseudonyms::new(&[
            terms.agreement_id.as_ref(),
            &epoch,
            terms.id_kind.as_str().as_bytes(),
            terms.reveals.as_str().as_bytes(),
        ]);
        match self.phase {
            Phase::Empty(outcome) => Ok(outcome),
            Phase::Running(sides) if sides.is_finished() => {
                let outcome = sides.finish(self.setup.place(), &pseudonyms);
                outcome.map_err(|_| Misuse::AfterFailure.into())
            }
            _ => Err(Misuse::NotAgreed.into()),
        }
    }

    fn reveals_matches(&self) -> bool {
        self.setup.terms.reveals == Reveals::OwnMatches
    }

    fn misbehaved(&self, source: Misbehaviour) -> MatchError {
        self.setup.misbehaved(source)
    }

    fn failed(&self, error: VoleError) -> MatchError {
        match error {
            VoleError::Peer(source) => self.misbehaved(source.into()),
            VoleError::Encoding(_) => MatchError::Unlucky,
            _ => Misuse::AfterFailure.into(),
        }
    }
}

impl fmt::Debug for VoleRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoleRun(..)")
    }
}

impl Sides {
    fn outgoing(&mut self) -> Option<VolePart> {
        let part = self.receiver.as_mut().and_then(Receiver::outgoing);
        part.or_else(|| self.sender.as_mut().and_then(Sender::outgoing))
    }

    /// Parts of the direction in which our ids are evaluated are for the receiver.
    fn incoming(&mut self, part: &VolePart) -> Result<(), VoleError> {
        match (&mut self.receiver, &mut self.sender) {
            (Some(receiver), _) if part.direction == self.own => receiver.incoming(part),
            (_, Some(sender)) => sender.incoming(part),
            _ => Err(oprf::Misbehaviour::Direction.into()),
        }
    }

    fn is_finished(&self) -> bool {
        let receiver = self.receiver.as_ref().is_none_or(Receiver::is_finished);
        receiver && self.sender.as_ref().is_none_or(Sender::is_finished)
    }

    fn finish(self, place: Direction, pseudonyms: &Pseudonyms) -> Result<Outcome, VoleError> {
        let own = self.receiver.map(Receiver::finish).transpose()?;
        let other = self.sender.map(Sender::finish).transpose()?;
        let (first, second) = match place {
            Direction::First => (own, other),
            Direction::Second => (other, own),
        };
        let first = first.ok_or(VoleError::Misuse)?;
        Ok(outcome(&first, second.as_ref(), pseudonyms))
    }
}

/// Pseudonyms of the values in one direction, or in both.
fn outcome(first: &Output, second: Option<&Output>, pseudonyms: &Pseudonyms) -> Outcome {
    let of = |(at, value): (usize, &Value)| {
        let second = second.and_then(|output| output.values.get(at));
        Pseudonym::from_bytes(pseudonyms.of(value, second))
    };
    Outcome {
        pseudonyms: first.values.iter().enumerate().map(of).collect(),
        matched: first.matched.clone(),
    }
}
