//! A provider's part in making and refreshing keys.
//!
//! # Messages
//! One command asks all providers, step by step ([`make_keys`](crate::make_keys)); it relays what they
//! send each other.
//!
//! | step   | asked        | answered                                                         |
//! |--------|--------------|------------------------------------------------------------------|
//! | begin  | from when the key is valid | a nonce                                            |
//! | nonces | those of all | own package of round 1, signed                                   |
//! | first  | round 1 of all others | a package of round 2 for each other, sealed to it, signed |
//! | second | round 2 to this one | own signature under the key statement                      |
//! | finish | the statement with all signatures | which statement counts                       |
//!
//! Every package is signed by its sender's service key, over the ceremony's id, which hangs on
//! the nonces of all: whoever relays can change, mix or repeat nothing unseen.
//!
//! What a step leaves is in memory alone, and a crash ends the ceremony, until the share is
//! made. The share is durable beside the old one before this provider signs, and takes the
//! old one's place, which is overwritten, only with the signatures of all.
//!
//! # What is signed may count
//! Whoever relays may have all signatures and show them to some, later, or never. So a share
//! that was signed for waits until a statement of its number or a higher one has all signatures
//! here, whatever other ceremonies are held. "Higher" is one order for all
//! ([`KeyStatement::order`]), of two with one number too. So of the highest statement that any
//! provider goes by all others have the share, and take it when they are given the statement:
//! nobody can part them for good. The exception are first keys, before there is anything to
//! lose: two ceremonies make two keys, and whoever has one takes no other.

mod envelopes;

use std::collections::{BTreeMap, HashMap};

use incamera_matching::statement::{KeyStatement, StatementError};
use incamera_net::agreements::now;
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::ceremony_reply::Reply;
use incamera_net::services::{
    CeremonyBegin, CeremonyCompare, CeremonyFinish, CeremonyFinished, CeremonyFrame, CeremonyNamed,
    CeremonyNonces, CeremonyPackages, CeremonyReply,
};
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_oprf::keygen::{Broadcasts, Ceremony, CeremonyId, First, KeygenError, Made, Second};
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::shares::{PublicKeys, Share};
use incamera_types::{CeremonyDigest, Digest as _, PartyName, Transcript, UnixTime};
use incamera_wire::v1::Signed;
use incamera_wire::{Format, encode};
use rand::Rng as _;

use crate::admit::{Admitted, malformed};
use crate::evaluate::expired;
use crate::service::State;
use crate::store::{Kept, Matter};

/// What tells a ceremony from all others.
const ID_LABEL: &str = "incamera-ceremony-id/1";
/// A package of a key with 16 shares of 16 takes less than a kilobyte, sealed two.
const MAX_PACKAGE_BYTES: usize = 16 << 10;
/// So many shares of a key wait at most: what is begun and never finished fills no disk.
const MAX_WAITING: u64 = 1024;
/// How far clocks of providers may be apart, in seconds.
const CLOCKS_APART_S: u64 = 60 * 60;

/// The ceremonies under way: the newest of each key.
pub(crate) type Ceremonies = HashMap<Matter, Running>;

/// A ceremony under way.
pub(crate) struct Running {
    /// Whose command asks.
    by: PartyName,
    holders: BTreeMap<Place, PartyName>,
    own: Place,
    nonce: [u8; 32],
    valid_from: UnixTime,
    /// In a refresh, what counts now.
    base: Option<KeyStatement>,
    id: CeremonyId,
    /// The packages of round 1, as they were signed.
    heard: Broadcasts,
    stage: Stage,
}

enum Stage {
    Begun,
    First(First),
    Second(Second),
    Made(Made),
}

/// One step: who asks for it, in what matter.
struct Asked<'a> {
    state: &'a State,
    admitted: &'a Admitted,
    matter: Matter,
}

impl State {
    /// Takes a step of a ceremony, on a thread that may wait for a disk.
    pub(crate) fn ceremony_step(
        &self,
        admitted: &Admitted,
        message: CeremonyFrame,
    ) -> Result<CeremonyReply, Problem> {
        let asked = Asked {
            state: self,
            admitted,
            matter: admitted.matter(),
        };
        let step = message.step.ok_or_else(|| malformed("step"))?;
        let mut ceremonies = self
            .ceremonies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let reply = match step {
            Step::Begin(begin) => asked.begin(&mut ceremonies, &begin, message.refresh)?,
            Step::Finish(finish) => asked.finish(&mut ceremonies, &finish)?,
            step => {
                // A step that fails ends the ceremony.
                let running = ceremonies.remove(&asked.matter);
                let running = running.filter(|running| running.by == admitted.party);
                let mut running = running.ok_or_else(no_ceremony)?;
                let reply = asked.go_on(&mut running, step)?;
                ceremonies.insert(asked.matter, running);
                reply
            }
        };
        Ok(CeremonyReply { reply: Some(reply) })
    }
}

impl Asked<'_> {
    /// The key statement that counts here.
    fn current(&self) -> Result<Option<(Kept, KeyStatement)>, Problem> {
        let Some(kept) = self.state.store.lock().share(&self.matter)? else {
            return Ok(None);
        };
        let statement = KeyStatement::open(&kept.statement, &self.admitted.agreed);
        let statement = statement.map_err(|error| Problem::internal(chain(&error)))?;
        Ok(Some((kept, statement)))
    }

    fn begin(
        &self,
        ceremonies: &mut Ceremonies,
        begin: &CeremonyBegin,
        refresh: bool,
    ) -> Result<Reply, Problem> {
        failpoint("begin");
        let names = self.admitted.agreed.providers.keys();
        let base = self.current()?.map(|(_, statement)| statement);
        let holders = match (&base, refresh) {
            (Some(base), true) => base.holders().clone(),
            (None, false) => holders(names)?,
            (Some(base), false) => return Err(key_exists(base.number())),
            (None, true) => return Err(no_key()),
        };
        self.may_wait()?;
        if refresh {
            base.as_ref().map_or(Ok(()), expired)?;
            self.may_refresh()?;
        }
        let valid_from = UnixTime(begin.valid_from);
        let apart = now().since(valid_from).max(valid_from.since(now()));
        if base.is_none() && apart > CLOCKS_APART_S {
            return Err(refused(
                "clocks-apart",
                "the clocks of the providers are more than an hour apart",
            )
            .hint("set them right, and begin anew"));
        }
        let me = &self.state.name;
        let own = holders.iter().find(|(_, name)| *name == me);
        let (own, _) = own.ok_or_else(no_key)?;
        let mut nonce = [0; 32];
        rand::rng().fill_bytes(&mut nonce);
        let running = Running {
            by: self.admitted.party.clone(),
            own: *own,
            holders,
            nonce,
            valid_from,
            base,
            id: CeremonyId::default(),
            heard: Broadcasts::new(),
            stage: Stage::Begun,
        };
        tracing::info!(by = %running.by, refresh, "a ceremony was begun");
        if running.holders.len() == 1 {
            return self.alone(&running);
        }
        ceremonies.insert(self.matter, running);
        Ok(Reply::Nonce(nonce.to_vec()))
    }

    /// Whether there is room for one more share that waits.
    fn may_wait(&self) -> Result<(), Problem> {
        match self.state.store.lock().waiting(&self.matter)? < MAX_WAITING {
            true => Ok(()),
            false => Err(refused(
                "too-many-waiting",
                "so many ceremonies of this key were signed and not finished that no more shares are kept",
            )
            .hint("`incamera provider keys finish` ends what one of the providers has finished")),
        }
    }

    /// Whether new shares may be made already: whoever has them made without end would end every
    /// session of every party.
    fn may_refresh(&self) -> Result<(), Problem> {
        match self.state.store.lock().next_refresh(&self.matter, now())? {
            None => Ok(()),
            Some(next) => Err(refused(
                "refreshed-often",
                format!("shares of this key were made new several times within a day, or were about to be: no more before {next}"),
            )
            .hint("`incamera provider keys finish` hands on what was left of the last time; the shares that count are good until the next one")),
        }
    }

    /// One provider alone draws the key: no ceremony is needed.
    fn alone(&self, running: &Running) -> Result<Reply, Problem> {
        if running.base.is_some() {
            return Err(refused(
                "nothing-to-refresh",
                "one provider alone holds the key: there are no shares to refresh",
            )
            .hint("agree on a new version with a higher `epoch` for another key"));
        }
        let (share, public) = Share::alone(&mut rand::rng());
        self.sign(
            running,
            &share,
            &public,
            CeremonyDigest::from_bytes([0; 32]),
        )
    }

    fn go_on(&self, running: &mut Running, step: Step) -> Result<Reply, Problem> {
        let stage = std::mem::replace(&mut running.stage, Stage::Begun);
        match (step, stage) {
            (Step::Nonces(nonces), Stage::Begun) => self.nonces(running, &nonces),
            (Step::First(packages), Stage::First(first)) => self.first(running, first, &packages),
            (Step::Second(packages), Stage::Second(second)) => {
                self.second(running, second, &packages)
            }
            (Step::Compare(compare), Stage::Made(made)) => {
                let reply = self.compare(running, &made, &compare);
                running.stage = Stage::Made(made);
                reply
            }
            _ => Err(no_ceremony()),
        }
    }

    fn nonces(&self, running: &mut Running, nonces: &CeremonyNonces) -> Result<Reply, Problem> {
        failpoint("nonces");
        let names: Vec<_> = sorted(&running.holders);
        let own = names.iter().position(|name| **name == self.state.name);
        let own = own.and_then(|own| nonces.nonces.get(own));
        if nonces.nonces.len() != names.len() || own.map(Vec::as_slice) != Some(&running.nonce) {
            return Err(malformed("nonces"));
        }
        let base = running.base.as_ref();
        let id: CeremonyDigest = Transcript::new(ID_LABEL)
            .field(self.admitted.agreement.agreement().digest)
            .number(self.matter.epoch.0.into())
            .number(u64::from(base.is_some()))
            .number(running.valid_from.0)
            .number(base.map_or(0, KeyStatement::number))
            .list(nonces.nonces.iter())
            .finish();
        running.id = *id.as_bytes();
        let (first, package) = First::start(self.ceremony(running)?, &mut rand::rng())
            .map_err(|e| fault(running, &e))?;
        let signed = self.signed(running, 1, None, package.as_bytes().to_vec())?;
        running.heard.insert(running.own, encode(&signed));
        running.stage = Stage::First(first);
        Ok(packages(vec![signed]))
    }

    fn ceremony(&self, running: &Running) -> Result<Ceremony, Problem> {
        let places = Places::new(running.holders.keys().copied()).map_err(Problem::internal)?;
        let ceremony = match &running.base {
            None => {
                let threshold = self.admitted.agreed.threshold;
                Ceremony::make(running.id, running.own, places, threshold)
            }
            Some(base) => {
                let share = self.share(running.own)?;
                Ceremony::refresh(running.id, share, base.keys().clone(), places)
            }
        };
        ceremony.map_err(|error| Problem::internal(chain(&error)))
    }

    /// The share that counts.
    fn share(&self, own: Place) -> Result<Share, Problem> {
        let (kept, _) = self.current()?.ok_or_else(no_key)?;
        let shares = &self.state.shares;
        let share = shares.open(&self.matter, kept.number, own, &kept.sealed);
        share.ok_or_else(|| Problem::internal("a share does not open"))
    }

    fn first(
        &self,
        running: &mut Running,
        first: First,
        message: &CeremonyPackages,
    ) -> Result<Reply, Problem> {
        failpoint("first");
        let mut others = Vec::new();
        for signed in &message.packages {
            let (place, package) = self.opened(running, 1, signed)?;
            running.heard.insert(place, encode(signed));
            others.push((place, package.content));
        }
        let (second, values) = first.receive(&others).map_err(|e| fault(running, &e))?;
        let sealed = values.iter().map(|value| self.sealed(running, value));
        let sealed: Vec<_> = sealed.collect::<Result<_, _>>()?;
        running.stage = Stage::Second(second);
        Ok(packages(sealed))
    }

    fn second(
        &self,
        running: &mut Running,
        second: Second,
        message: &CeremonyPackages,
    ) -> Result<Reply, Problem> {
        failpoint("second");
        let mut others = Vec::new();
        for signed in &message.packages {
            let (place, package) = self.opened(running, 2, signed)?;
            others.push((place, self.unsealed(running, place, &package)?));
        }
        let made = second.receive(&others).map_err(|e| fault(running, &e))?;
        let reply = self.sign(running, made.share(), made.public(), made.digest())?;
        running.stage = Stage::Made(made);
        Ok(reply)
    }

    /// Keeps the share beside the one that counts, and only then signs the statement.
    fn sign(
        &self,
        running: &Running,
        share: &Share,
        public: &PublicKeys,
        digest: CeremonyDigest,
    ) -> Result<Reply, Problem> {
        let agreed = &self.admitted.agreed;
        let statement = match &running.base {
            Some(base) => base.refreshed(agreed, public.clone(), digest),
            None => {
                let (holders, from) = (running.holders.clone(), running.valid_from);
                KeyStatement::new(agreed, 1, public.clone(), holders, digest, from)
            }
        };
        let statement = statement.map_err(|error| Problem::internal(chain(&error)))?;
        let number = statement.number();
        let signed = Signed {
            format: Format::ProviderKeys.as_str().to_owned(),
            body: statement.body(),
            signature: statement
                .sign((public, digest), &self.state.service)
                .map_err(|error| Problem::internal(chain(&error)))?,
        };
        let shares = &self.state.shares;
        let kept = Kept {
            number,
            place: running.own.get(),
            sealed: shares.seal(&self.matter, number, share, &mut rand::rng()),
            statement: signed.body.clone(),
        };
        let mut store = self.state.store.lock();
        store.keep_waiting(&self.matter, &kept, now())?;
        drop(store);
        failpoint("signed");
        Ok(Reply::Statement(signed))
    }

    /// With the signatures of all the new share counts, and the old one is overwritten. The
    /// same again changes nothing.
    fn finish(
        &self,
        ceremonies: &mut Ceremonies,
        message: &CeremonyFinish,
    ) -> Result<Reply, Problem> {
        failpoint("finish");
        let file = &message.statement;
        let statement = KeyStatement::open(file, &self.admitted.agreed);
        let statement = statement.map_err(|error| unsigned(&error))?;
        let finished = Reply::Finished(CeremonyFinished {
            number: statement.number(),
        });
        if let Some((_, current)) = self.current()? {
            statement
                .follows(&current)
                .map_err(|error| unsigned(&error))?;
            if statement == current {
                return Ok(finished);
            }
        }
        let mut store = self.state.store.lock();
        if !store.take_over(&self.matter, &statement.body(), file)? {
            return Err(not_waiting());
        }
        drop(store);
        failpoint("kept");
        ceremonies.remove(&self.matter);
        tracing::info!(number = statement.number(), "a new share counts");
        Ok(finished)
    }

    /// What this provider heard in round 1, or, of what another says it heard, who is proved to
    /// have broadcast two things.
    fn compare(
        &self,
        running: &Running,
        made: &Made,
        message: &CeremonyCompare,
    ) -> Result<Reply, Problem> {
        if message.packages.is_empty() {
            let heard = running.heard.values();
            let heard = heard.map(|bytes| incamera_wire::decode(bytes, MAX_PACKAGE_BYTES));
            let heard: Result<_, _> = heard.collect();
            return Ok(packages(heard.map_err(Problem::internal)?));
        }
        let mut theirs = Broadcasts::new();
        for signed in &message.packages {
            // What does not hold proves nothing.
            if let Ok((place, _)) = self.opened(running, 1, signed) {
                theirs.insert(place, encode(signed));
            }
        }
        let open = |place: Place, bytes: &[u8]| {
            let signed = incamera_wire::decode(bytes, MAX_PACKAGE_BYTES).ok()?;
            let (sender, package) = self.opened(running, 1, &signed).ok()?;
            (sender == place).then_some(package.content)
        };
        let named = made.equivocators(&running.heard, &theirs, open);
        let names = named.iter().filter_map(|place| running.holders.get(place));
        Ok(Reply::Named(CeremonyNamed {
            providers: names.map(ToString::to_string).collect(),
        }))
    }
}

fn packages(packages: Vec<Signed>) -> Reply {
    Reply::Packages(CeremonyPackages { packages })
}

/// The holders of a new key: places in order of name.
fn holders<'a>(
    names: impl Iterator<Item = &'a PartyName>,
) -> Result<BTreeMap<Place, PartyName>, Problem> {
    let places = (1..).zip(names).map(|(number, name)| {
        let place = Place::new(number).map_err(Problem::internal)?;
        Ok((place, name.clone()))
    });
    places.collect()
}

/// In order of name, as nonces come.
fn sorted(holders: &BTreeMap<Place, PartyName>) -> Vec<&PartyName> {
    let mut names: Vec<_> = holders.values().collect();
    names.sort_unstable();
    names
}

fn refused(code: &str, what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Refused, code, what)
}

fn no_ceremony() -> Problem {
    let what = "there is no such step to take: the ceremony ended, another one was begun, or the service started anew";
    Problem::new(ProblemKind::Conflict, "no-ceremony", what).hint("begin anew; nothing was changed")
}

fn no_key() -> Problem {
    let what = "there is no key yet under this agreement and matching epoch";
    Problem::new(ProblemKind::NotFound, "no-key", what)
        .hint("make it with `incamera provider keys make`")
}

fn key_exists(number: u64) -> Problem {
    let what = format!(
        "there is a key already under this agreement and matching epoch (key statement {number})"
    );
    Problem::new(ProblemKind::Conflict, "key-exists", what)
        .hint("make new shares of it with `incamera provider keys refresh`; another key needs a new version of the agreement with a higher `epoch`")
}

fn not_waiting() -> Problem {
    let what = "no share waits here for that key statement: this provider has not signed it, or its store is from before";
    Problem::new(ProblemKind::Conflict, "no-ceremony", what).hint("begin anew")
}

fn unsigned(error: &StatementError) -> Problem {
    refused("key-statement", chain(error))
}

/// What a ceremony ended with, by the name of whoever is at fault.
fn fault(running: &Running, error: &KeygenError) -> Problem {
    let named = |place: &Place| match running.holders.get(place) {
        Some(name) => format!("`{name}`"),
        None => format!("the holder at place {place}"),
    };
    match error {
        KeygenError::Holder { place, fault } => refused(
            "provider-at-fault",
            format!("{} does not keep to the ceremony: {fault}", named(place)),
        )
        .hint("begin anew once its people have looked; to others this is no proof"),
        KeygenError::Missing { place } => refused(
            "provider-missing",
            format!("nothing of {} arrived", named(place)),
        ),
        other => Problem::internal(chain(other)),
    }
}

/// Ends the process where a test says, in `INCAMERA_FAILPOINT`. Not in a production build.
fn failpoint(name: &str) {
    #[cfg(feature = "simulated")]
    if std::env::var("INCAMERA_FAILPOINT").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
    #[cfg(not(feature = "simulated"))]
    let _ = name;
}
