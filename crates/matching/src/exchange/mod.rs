//! Matching of two identifier sets by double blinding, at constant memory.
//!
//! [`Exchange`] is what one party's side of a run does with messages, in the order in which
//! they come. It starts no threads, reads no clock and no files: ids come through
//! [`give`](Exchange::give), points are multiplied wherever the caller lets a [`Job`] run,
//! and what a run that is cut off goes on from leaves through
//! [`to_keep`](Exchange::to_keep). It holds a few windows of points, whatever the sets' sizes.
//!
//! # Parties and messages
//! Both parties do the same at the same time, each in the role of A for its own set and of B
//! for the other's. `kA` and `kB` are their lasting secrets, `r` hangs on a fresh seed of this
//! run and on the digest of A's input, `H` hashes to ristretto255 under a tag of agreement
//! id, epoch, id kind, method and `reveals`.
//!
//! With `reveals = "nothing"`:
//!
//! | step | from → to | message                                                         | size         |
//! |------|-----------|-----------------------------------------------------------------|--------------|
//! | 0    | A ↔ B     | `hello`: the terms, the size of the set, a nonce                 | 200 B        |
//! |      | A ↔ B     | `begin`: the run, which the sender has counted                   | 40 B         |
//! | 1    | A → B     | `blinded`: `H(a)^r` for each of A's ids, in random order         | 32 B × A set |
//! | 2    | B → A     | `raised`: each of these to `kB`, in the order in which they came | 32 B × A set |
//! | 3    | A         | each to `kA/r`: `H(a)^(kA kB)`, whose KDF is the pseudonym       |              |
//! | 4    | A → B     | `done`: all have come back, and their pseudonyms are kept        | 10 B         |
//!
//! With `reveals = "own-matches"` A's points go out under `kA` instead of `r`, step 2 is
//! `tags`, 16 bytes of a hash of `H(a)^(kA kB)` each, and the pseudonym is the KDF of the tag.
//! B keeps the tags it makes: where they meet the tags that it gets, the id is in both sets.
//!
//! A run is named by the digest of both greetings, nonces included. A run that was cut off is
//! gone on with if both greetings are the ones it began with; each side says how many answers
//! it holds, and starts there. What is kept of a chunk is kept before its answers leave, so
//! that no peer gets more points raised than its set has.
//!
//! # Claim
//! Semi-honest security under DDH in ristretto255, `H` a random oracle, SHA-256 and HMAC
//! pseudorandom. A peer that does as it likes
//!
//! * may put invented identifiers into its set: it gets their pseudonyms, up to `max_ids` and 64
//!   more a run, where appending adds up, and `max_runs` runs (the caller counts those, before
//!   `begin`). What they are worth is what it learns from joins in the room, or from
//!   `own-matches`;
//! * may send points of any form, ours too, one made of the answer to another: it gets them
//!   raised to `k`. That nothing follows for points it did not ask for is the one-more
//!   (static) Diffie-Hellman assumption, not DDH. Under `nothing` our
//!   points are under `r`, and what comes of them is no pseudonym; under `own-matches` it gets
//!   tags of `H(b)^(kB kB)`, which are the tags of nothing;
//! * may answer with other points than the protocol says. What it makes up joins nothing; but
//!   it can give two of our ids each other's pseudonyms, without knowing whose, and their rows
//!   join those of the wrong people. The caller compares every id that was matched before: the
//!   64 that are mixed in find a peer which changes a share `f` of its answers with
//!   1-(1-f)^64, which is little for a few, and in a first run nothing finds it. Under `own-matches` it can also make us believe in matches
//!   that are none, if it sends tags of its own ids;
//! * with [`Setup::row_keys`] cannot answer with other points than the protocol says: before
//!   each chunk of answers comes a proof (crate `oprf`, `dleq`) that all were raised by the key
//!   that the sender greeted with, which the caller compares with earlier runs'. Under
//!   `own-matches` answers are the points then, and each side makes its own tags. A wrong row
//!   passes with 2^-128 a try, and a peer may try by hashing alone;
//! * may send one point twice, or one answer for two ids: the caller finds repeated values by
//!   sorting what was kept, before it writes anything;
//! * gains nothing by malformed points, which are refused by place, by another number of
//!   points than it declared, by points out of order or too many at once, by chunks too small
//!   for their records, by losing links on purpose, by earlier runs' greetings, or by other
//!   points at places that were answered before. Earlier runs' points are raised as they were
//!   then; the caller's history recognises a peer that repeats them by accident;
//! * may stop early: of its set it then has a share of answers that is at most one window
//!   larger than ours, since answers wait for the peer's.
//!
//! # What each party learns
//! The size of the other's set in each run, earlier ids mixed in, and the pseudonyms of its own
//! ids. Under `nothing` no more: not an identifier or pseudonym of the other, nor who is in
//! both sets. Under `own-matches` also which of its own ids the other has; each side computes
//! the tags of all the other's rows, and, since secrets last, sees which of the other's
//! rows stay, leave and come from run to run.
//!
//! # Reference
//! Huberman, Franklin, Hogg, *Enhancing privacy and trust in electronic communities* (1999), with
//! the blinding of Chaum (1983) around it; hashing to the group: RFC 9496, section 4.3.4 and
//! RFC 9497, section 4.1.
//!
//! | module   | holds                                                        |
//! |----------|--------------------------------------------------------------|
//! | `hello`  | greetings, the run's name, where a run goes on               |
//! | `incoming` | what comes in                                              |
//! | `patience` | how often a run may begin where it was                     |
//! | `own`    | our points: blinded, sent, answered                          |
//! | `theirs` | the peer's points: taken, raised, answered                   |
//! | `setup`  | what a run is made from                                      |
//! | `job`    | the work on a chunk                                          |
//! | `keep`   | what is kept of a run                                        |
//! | `talk`   | the state of one link                                        |
//! | `status` | what a run says of itself                                    |
//! | `window` | how much is under way, results back in order                 |

pub(crate) mod hello;
mod incoming;
mod job;
mod keep;
mod own;
mod patience;
mod setup;
mod status;
mod talk;
#[cfg(test)]
mod tests;
mod theirs;
mod window;

use std::ops::Range;
use std::sync::Arc;

use incamera_group::EncodedPoint;
use incamera_keys::Secret32;
use incamera_types::Digest as _;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchBegin, MatchMessage};
use rand_core::CryptoRng;

use crate::{KNOWN_IDS, MatchError, Misbehaviour, Misuse, Value};
use hello::{Hall, hello};
use job::{Made, Tools};
use keep::Keeping;
use patience::Patience;
use talk::{Talk, Ways};

pub use hello::{Alike, Base, Declared};
pub use job::{Block, Done, Job};
pub use keep::{Keep, Mark, Recall, Resumable, Side};
pub use setup::Setup;
pub use status::{Agreed, Finished, Multiplied, Progress};
pub use window::{MAX_WINDOW, Tuning};

/// One run of the protocol, for one party and one kind of identifier.
///
/// The caller, again and again and in any order: sends what [`outgoing`](Self::outgoing)
/// gives; hands what it receives to [`incoming`](Self::incoming); reads the ids that are
/// [`wanted`](Self::wanted) and gives them; takes each [`job`](Self::job), lets it work and
/// brings it back to [`done`](Self::done); writes what is [`to_keep`](Self::to_keep), and says
/// so by [`kept`](Self::kept); and reads back what is asked for by [`recall`](Self::recall).
/// Between greetings and points it counts the run, if [`Agreed`] says that it is new, and
/// calls [`begin`](Self::begin).
pub struct Exchange {
    hall: Hall,
    tools: Arc<Tools>,
    tuning: Tuning,
    /// What we greet with.
    nonce: [u8; 32],
    /// Our public key, with proofs.
    public_key: Option<EncodedPoint>,
    /// Makes the nonces of proofs unlike those of any other process.
    hedge: Secret32,
    /// The part of a run that is held: from a journal, or since it was begun here.
    held: Option<Resumable>,
    keeping: Keeping,
    multiplied: Multiplied,
    /// Links so far.
    link: u32,
    patience: Patience,
    /// What is true of this link alone.
    talk: Talk,
    failed: bool,
}

impl Exchange {
    /// Starts a run, or goes on with one.
    ///
    /// # Errors
    /// [`Misuse`]: equal parties, more ids than allowed, more values kept than ids, terms too
    /// long.
    pub fn new(setup: Setup<'_>, rng: &mut impl CryptoRng) -> Result<Self, MatchError> {
        if setup.me == setup.peer {
            return Err(Misuse::SameParty.into());
        }
        let limit = setup.terms.max_ids.saturating_add(KNOWN_IDS as u64);
        if setup.own > limit {
            let found = setup.own;
            return Err(Misuse::TooManyIds { found, limit }.into());
        }
        if setup.resume.is_some_and(|held| held.received > setup.own) {
            return Err(Misuse::Kept.into());
        }
        let tools = Tools::new(&setup.terms, setup.secret, setup.keys, setup.backend)?;
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let nonce = setup.resume.map_or(nonce, |held| held.nonce);
        let public_key = setup.row_keys.then(|| tools.public_key());
        let hello = hello(&setup, nonce, public_key.as_ref());
        let mut exchange = Self {
            hall: Hall {
                terms: setup.terms,
                me: setup.me,
                peer: setup.peer,
                alike: setup.alike,
                base: setup.base,
                hello,
            },
            tools: Arc::new(tools),
            tuning: setup.tuning,
            nonce,
            public_key,
            hedge: Secret32::generate(rng),
            held: setup.resume,
            keeping: Keeping::default(),
            multiplied: Multiplied::default(),
            link: 0,
            patience: Patience::default(),
            talk: Talk::default(),
            failed: false,
        };
        exchange.greet();
        Ok(exchange)
    }

    /// The next message for the peer, if one is due now.
    pub fn outgoing(&mut self) -> Option<MatchMessage> {
        if self.failed {
            return None;
        }
        let message = Some(self.next_message()?);
        Some(MatchMessage { message })
    }

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// [`MatchError`], after which the run is over.
    pub fn incoming(&mut self, message: MatchMessage) -> Result<(), MatchError> {
        self.still_well()?;
        let taken = match message.message {
            Some(message) => self.take(message),
            None => Err(self.hall.misbehaved(Misbehaviour::EmptyMessage)),
        };
        self.note(taken)
    }

    /// SHA-256 of what we greet with: a run that goes on is greeted with as it was begun, which
    /// the caller sees to ([`Header::greets`](crate::journal::Header::greets)).
    #[must_use]
    pub fn greeting(&self) -> [u8; 32] {
        self.hall.digest()
    }

    /// What the greetings came to, once both were said over this link.
    #[must_use]
    pub fn agreed(&self) -> Option<&Agreed> {
        self.talk.agreed.as_ref()
    }

    /// Whether the peer does not go on with the run that we hold a part of: its journal is of
    /// no use any more, and a run is made anew, by [`start_anew`](Self::start_anew).
    #[must_use]
    pub fn must_start_anew(&self) -> bool {
        self.talk.anew.is_some()
    }

    /// Ends a run that the peer does not go on with. What comes back is the peer's greeting,
    /// if that stands: the new run's [`incoming`](Self::incoming) takes it first.
    #[must_use]
    pub fn start_anew(self) -> Option<MatchMessage> {
        let message = Some(Message::Hello(self.talk.anew.flatten()?));
        Some(MatchMessage { message })
    }

    /// Lets points travel: the run is counted, and what it goes on from is kept.
    ///
    /// # Errors
    /// [`Misuse::NotAgreed`].
    pub fn begin(&mut self) -> Result<(), MatchError> {
        self.still_well()?;
        let talk = &mut self.talk;
        let Some(agreed) = talk.agreed.as_ref().filter(|_| !talk.begun) else {
            return Err(Misuse::NotAgreed.into());
        };
        talk.begun = true;
        let begin = MatchBegin {
            run: agreed.run.as_bytes().to_vec(),
            blinded_from: agreed.received,
            raised_from: agreed.answered,
        };
        talk.outbox.push_back(Message::Begin(begin));
        self.held.get_or_insert(Resumable {
            nonce: agreed.nonce,
            run: agreed.run,
            received: 0,
            raised: 0,
        });
        Ok(())
    }

    /// The places of the ids that are due; none while the window is full.
    #[must_use]
    pub fn wanted(&self) -> Option<Range<u64>> {
        self.open_ways()?.own.wanted()
    }

    /// Gives the ids that were [`wanted`](Self::wanted).
    ///
    /// # Errors
    /// [`Misuse::NotAsked`].
    pub fn give(&mut self, first: u64, ids: Block) -> Result<(), MatchError> {
        self.still_well()?;
        let ways = self.open_ways_mut().ok_or(Misuse::NotAsked)?;
        Ok(ways.own.give(first, ids)?)
    }

    /// The places of the peer whose values must be read back, since it sends their points again.
    #[must_use]
    pub fn recall(&self) -> Option<Recall> {
        let link = self.link;
        let places = self.open_ways()?.theirs.recall()?;
        Some(Recall { link, places })
    }

    /// Gives the values that were to be [recalled](Self::recall). Those that were asked for over
    /// a link that was lost are dropped.
    ///
    /// # Errors
    /// [`Misuse::NotAsked`].
    pub fn recalled(&mut self, asked: &Recall, values: Vec<Value>) -> Result<(), MatchError> {
        self.still_well()?;
        if asked.link != self.link {
            return Ok(());
        }
        let ways = self.open_ways_mut().ok_or(Misuse::NotAsked)?;
        Ok(ways.theirs.recalled(asked.places.start, values)?)
    }

    /// Work that is due: the peer's points first, so that it never starves.
    pub fn job(&mut self) -> Option<Job> {
        let ways = self.open_ways_mut()?;
        let work = ways
            .theirs
            .raising()
            .or_else(|| ways.own.completing())
            .or_else(|| ways.own.blinding())?;
        Some(Job {
            work,
            tools: Arc::clone(&self.tools),
            proofs: self.talk.proofs.clone(),
            link: self.link,
        })
    }

    /// Takes a result back, in any order. One of a link that was lost is dropped.
    ///
    /// # Errors
    /// [`MatchError::PeerMisbehaved`]: a point was refused.
    pub fn done(&mut self, done: Done) -> Result<(), MatchError> {
        self.still_well()?;
        let (first, points) = (done.first, done.points);
        match &done.made {
            Ok(Made::Blinded(_)) => self.multiplied.blinded += points,
            Ok(Made::Raised(..)) => self.multiplied.raised += points,
            Ok(Made::Completed(_)) => self.multiplied.completed += points,
            Err(_) => {}
        }
        if done.link != self.link {
            return Ok(());
        }
        let made = done.made.map_err(|source| self.hall.misbehaved(source));
        let made = self.note(made)?;
        let Some(ways) = self.talk.ways.as_mut() else {
            return Ok(());
        };
        let keeping = &mut self.keeping;
        match made {
            Made::Blinded(made) => ways.own.blinded(first, points, made),
            Made::Completed(values) => ways.own.completed(first, points, values, keeping),
            Made::Raised(answer, values) => {
                ways.theirs.raised(first, points, (answer, values), keeping);
            }
        }
        Ok(())
    }

    /// Values to be kept before the run goes on: answers leave, and the window moves on,
    /// once they are.
    pub fn to_keep(&mut self) -> Option<Keep> {
        if self.failed {
            return None;
        }
        self.keeping.hand_out()
    }

    /// Everything that was handed out up to `mark` is kept.
    ///
    /// # Errors
    /// [`Misuse::Kept`]: it was not handed out.
    pub fn kept(&mut self, mark: Mark) -> Result<(), MatchError> {
        self.still_well()?;
        self.keeping.check(mark)?;
        while let Some((side, end)) = self.keeping.kept(mark) {
            if let Some(ways) = &mut self.talk.ways {
                match side {
                    Side::Own => ways.own.kept(end),
                    Side::Theirs => ways.theirs.kept(end),
                }
            }
        }
        Ok(())
    }

    /// The link was lost and there is another: goes back to what is kept, and greets again.
    ///
    /// # Errors
    /// [`Misuse::NotKept`]: say first that all that was handed out is kept.
    /// [`MatchError::GetsNowhere`]: links are lost again and again, and nothing is done.
    pub fn rejoin(&mut self) -> Result<(), MatchError> {
        self.still_well()?;
        if !self.keeping.all_kept() {
            return Err(Misuse::NotKept.into());
        }
        self.keeping.clear();
        let talk = std::mem::take(&mut self.talk);
        if let Some((held, ways)) = self.held.as_mut().zip(talk.ways) {
            held.received = ways.own.kept_places();
            held.raised = ways.theirs.kept_places();
            self.patience.answered(ways.theirs.answered());
        }
        self.link += 1;
        let kept = self.held.map(|held| (held.received, held.raised));
        if !self.patience.lost(kept) {
            return self.note(Err(self.hall.gets_nowhere()));
        }
        self.greet();
        Ok(())
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let ways = self.talk.ways.as_ref();
        let held = self
            .held
            .map_or((0, 0), |held| (held.received, held.raised));
        let agreed = self.talk.agreed.as_ref();
        Progress {
            own: ways.map_or(held.0, |ways| ways.own.kept_places()),
            own_total: self.hall.hello.set_size,
            theirs: ways.map_or(held.1, |ways| ways.theirs.kept_places()),
            theirs_total: agreed.map_or(0, |agreed| agreed.peer_size),
            multiplied: self.multiplied,
        }
    }

    /// Whether the values of all our ids are kept: they may be used, though the peer may still
    /// lack answers.
    #[must_use]
    pub fn has_all(&self) -> bool {
        self.progress().own == self.hall.hello.set_size
    }

    /// Whether nothing is left to send or to receive: the peer has all its answers too.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let complete = |ways: &Ways| ways.own.is_complete() && ways.theirs.is_complete();
        let talk = &self.talk;
        let said = talk.done_sent && talk.peer_done;
        !self.failed && said && talk.ways.as_ref().is_some_and(complete)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// [`MatchError::EndedEarly`]: it is not finished.
    pub fn finish(self) -> Result<Finished, MatchError> {
        self.still_well()?;
        match self.talk.agreed.as_ref().filter(|_| self.is_finished()) {
            Some(agreed) => Ok(Finished {
                run: agreed.run,
                own: self.hall.hello.set_size,
                theirs: agreed.peer_size,
                multiplied: self.multiplied,
            }),
            None => Err(MatchError::EndedEarly {
                peer: self.hall.peer,
            }),
        }
    }
}

/// What goes out.
impl Exchange {
    fn greet(&mut self) {
        let hello = self.hall.hello(self.held.as_ref());
        self.talk.outbox.push_back(Message::Hello(hello));
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some(message) = self.talk.outbox.pop_front() {
            return Some(message);
        }
        let ways = self.talk.ways.as_mut()?;
        let due = ways.due();
        (ways.theirs.outgoing(due))
            .or_else(|| ways.own.outgoing().map(Message::Blinded))
            .or_else(|| self.talk.done(self.hall.hello.set_size))
    }

    /// Both directions, once points may travel.
    fn open_ways(&self) -> Option<&Ways> {
        self.talk.open_ways().filter(|_| !self.failed)
    }

    fn open_ways_mut(&mut self) -> Option<&mut Ways> {
        self.talk.open_ways_mut().filter(|_| !self.failed)
    }

    fn still_well(&self) -> Result<(), Misuse> {
        match self.failed {
            true => Err(Misuse::AfterFailure),
            false => Ok(()),
        }
    }

    fn note<T>(&mut self, result: Result<T, MatchError>) -> Result<T, MatchError> {
        self.failed |= result.is_err();
        result
    }
}
