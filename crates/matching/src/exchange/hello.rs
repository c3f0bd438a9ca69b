//! Greetings: what both sides must have in common, the run's name, and where it goes on.

use incamera_group::EncodedPoint;
use incamera_types::{
    AgreementDigest, Digest as _, MatchRunDigest, MatchingEpoch, PartyName, Transcript,
};
use incamera_wire::v1::{MatchHello, MatchResume};
use incamera_wire::{Format, encode};
use sha2::{Digest as _, Sha256};

use super::Setup;
use super::keep::Resumable;
use crate::{Incompatible, KNOWN_IDS, MatchError, Misbehaviour, Mode, Partition, Terms};

/// Label of a run's name.
const RUN_LABEL: &str = "incamera-matching-run/1";

/// What both sides must say alike, besides the terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alike {
    /// Which rules normalise ids.
    pub rules: u32,
    /// Which part of the ids is matched.
    pub partition: Partition,
}

/// Sizes that were declared, added up, and in how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Ids.
    pub ids: u64,
    /// Runs.
    pub runs: u64,
}

impl Declared {
    /// One more run.
    pub(crate) fn add(&mut self, ids: u64) {
        self.ids = self.ids.saturating_add(ids);
        self.runs += 1;
    }
}

/// What the peer matched before, as our history has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The sizes that it declared since its last full run, that one included, added up.
    pub ids: u64,
    /// Those runs.
    pub runs: u64,
    /// The same of the other parts' runs that belong to this part's last full one.
    pub beside: Declared,
    /// The same of those that would belong to its next one.
    pub beside_next: Declared,
    /// The public key of its lasting secret, where an earlier run had proofs of it.
    pub public_key: Option<[u8; EncodedPoint::BYTES]>,
}

impl Base {
    /// The most ids that may be declared next: `max_ids` since the last full run, itself included,
    /// of all parts together, and in each run a few more, to be compared. A part has its share.
    #[must_use]
    pub fn limit(self, mode: Mode, max_ids: u64, partition: Partition) -> u64 {
        let (before, beside) = match mode {
            Mode::Full => (Declared::default(), self.beside_next),
            Mode::Append => {
                let (ids, runs) = (self.ids, self.runs);
                (Declared { ids, runs }, self.beside)
            }
        };
        let mixed_in = |runs: u64| (KNOWN_IDS as u64).saturating_mul(runs.saturating_add(1));
        let all = max_ids
            .saturating_add(mixed_in(before.runs.saturating_add(beside.runs)))
            .saturating_sub(before.ids.saturating_add(beside.ids));
        let part = partition
            .share(max_ids)
            .saturating_add(mixed_in(before.runs));
        all.min(part.saturating_sub(before.ids))
    }
}

/// What a greeting says of a run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    run: [u8; 32],
    pub(super) received: u64,
    pub(super) raised: u64,
}

/// The peer's greeting, checked.
pub(super) struct Greeting {
    pub(super) size: u64,
    pub(super) mode: Mode,
    pub(super) numbering: String,
    /// With proofs of one key for all rows.
    pub(super) public_key: Option<EncodedPoint>,
    /// As it came, without the run that goes on.
    pub(super) hello: MatchHello,
    pub(super) claim: Option<Claim>,
}

/// Who we are, what we match, and what we expect.
pub(super) struct Hall {
    pub(super) terms: Terms,
    pub(super) me: PartyName,
    pub(super) peer: PartyName,
    pub(super) alike: Alike,
    pub(super) base: Base,
    /// Our greeting, without a run that goes on.
    pub(super) hello: MatchHello,
}

/// What comes of two greetings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Both mean one run, new or not. The peer's part, zeros for a new one.
    Joined { run: MatchRunDigest, theirs: Claim },
    /// The peer does not know the run that we would go on with; whether it greets again too.
    WeStartAnew { peer_too: bool },
    /// We do not know the run that the peer would go on with: it greets again.
    PeerStartsAnew,
}

/// What a greeting must say as ours does, whatever the method.
pub(crate) struct Common<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) peer: &'a PartyName,
    pub(crate) alike: &'a Alike,
}

impl Common<'_> {
    pub(crate) fn check(&self, format: Format, hello: &MatchHello) -> Result<(), Incompatible> {
        let ours = self.terms;
        format.expect(&hello.format)?;
        if AgreementDigest::from_slice(&hello.agreement_digest) != Ok(ours.agreement_digest) {
            return Err(Incompatible::Agreement);
        }
        if hello.party != self.peer.as_str() {
            return Err(Incompatible::Party);
        }
        let theirs = MatchingEpoch(hello.epoch);
        if theirs != ours.epoch {
            let ours = ours.epoch;
            return Err(Incompatible::Epoch { ours, theirs });
        }
        self.words(hello)?;
        self.alike(hello)
    }

    fn words(&self, hello: &MatchHello) -> Result<(), Incompatible> {
        let ours = self.terms;
        if hello.id_kind != ours.id_kind.as_str() {
            let ours = ours.id_kind.clone();
            return Err(Incompatible::IdKind { ours });
        }
        if hello.method != ours.method.as_str() {
            return Err(Incompatible::Method { ours: ours.method });
        }
        if hello.reveals != ours.reveals.as_str() {
            let ours = ours.reveals;
            return Err(Incompatible::Reveals { ours });
        }
        Ok(())
    }

    fn alike(&self, hello: &MatchHello) -> Result<(), Incompatible> {
        let ours = self.alike;
        if hello.rules != ours.rules {
            let (ours, theirs) = (ours.rules, hello.rules);
            return Err(Incompatible::Rules { ours, theirs });
        }
        match Partition::new(hello.partition, hello.partitions) == Some(ours.partition) {
            true => Ok(()),
            false => Err(Incompatible::Partition {
                ours: ours.partition,
            }),
        }
    }
}

/// A run's name: both greetings, in the order of the parties' names, under the method's label.
pub(crate) fn run_name(
    label: &'static str,
    ours: &MatchHello,
    theirs: &MatchHello,
) -> MatchRunDigest {
    let (first, second) = match ours.party < theirs.party {
        true => (ours, theirs),
        false => (theirs, ours),
    };
    Transcript::new(label)
        .field(encode(first))
        .field(encode(second))
        .finish()
}

impl Hall {
    /// SHA-256 of our greeting, without a run that goes on.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(encode(&self.hello)).into()
    }

    /// Our greeting, with the run that goes on.
    pub(super) fn hello(&self, held: Option<&Resumable>) -> MatchHello {
        let resume = held.map(|held| MatchResume {
            run: held.run.as_bytes().to_vec(),
            received: held.received,
            raised: held.raised,
        });
        MatchHello {
            resume,
            ..self.hello.clone()
        }
    }

    /// The peer's greeting against ours.
    pub(super) fn check(&self, mut hello: MatchHello) -> Result<Greeting, MatchError> {
        self.compatible(&hello)
            .map_err(|source| self.incompatible(source))?;
        let mode = hello.mode.parse();
        let mode = mode.map_err(|_| self.incompatible(Incompatible::Mode))?;
        let limit = self
            .base
            .limit(mode, self.terms.max_ids, self.alike.partition);
        if hello.set_size > limit {
            let found = hello.set_size;
            return Err(self.incompatible(Incompatible::SetTooLarge { found, limit }));
        }
        let claim = hello.resume.take().map(|resume| claim(&resume));
        let claim = claim.transpose().map_err(|field| self.malformed(field))?;
        if hello.nonce.len() != 32 {
            return Err(self.malformed("nonce"));
        }
        Ok(Greeting {
            public_key: self.public_key(&hello)?,
            size: hello.set_size,
            mode,
            numbering: hello.numbering.clone(),
            hello,
            claim,
        })
    }

    /// The peer's public key: a point, and the one of earlier runs.
    fn public_key(&self, hello: &MatchHello) -> Result<Option<EncodedPoint>, MatchError> {
        if !hello.row_keys {
            return Ok(None);
        }
        let bytes = <[u8; EncodedPoint::BYTES]>::try_from(hello.public_key.as_slice());
        let key = bytes.ok().map(EncodedPoint::from_bytes);
        let key = key.filter(|key| key.decode().is_ok());
        let key = key.ok_or_else(|| self.malformed("public_key"))?;
        match self
            .base
            .public_key
            .is_none_or(|before| before == *key.as_bytes())
        {
            true => Ok(Some(key)),
            false => Err(self.incompatible(Incompatible::PublicKey)),
        }
    }

    fn compatible(&self, hello: &MatchHello) -> Result<(), Incompatible> {
        let common = Common {
            terms: &self.terms,
            peer: &self.peer,
            alike: &self.alike,
        };
        common.check(Format::Matching, hello)?;
        match hello.row_keys == self.hello.row_keys {
            true => Ok(()),
            false => Err(Incompatible::RowKeys),
        }
    }

    /// What the two greetings come to, if we hold a part of a run or not.
    pub(super) fn meet(
        &self,
        held: Option<&Resumable>,
        peer: &Greeting,
    ) -> Result<Meeting, Misbehaviour> {
        let run = run_name(RUN_LABEL, &self.hello, &peer.hello);
        let names = |claim: &Claim, run: &MatchRunDigest| claim.run == *run.as_bytes();
        let ours = held.is_none_or(|held| held.run == run);
        let theirs = peer.claim.is_none_or(|claim| names(&claim, &run));
        match (ours, theirs) {
            (true, true) => self.join(run, held, peer),
            (true, false) if held.is_none() => Ok(Meeting::PeerStartsAnew),
            (false, _) if !same_claim(held, peer.claim) => {
                Ok(Meeting::WeStartAnew { peer_too: !theirs })
            }
            _ => Err(Misbehaviour::OtherHello),
        }
    }

    /// One run on both sides: what either holds was answered, and kept, by the other.
    fn join(
        &self,
        run: MatchRunDigest,
        held: Option<&Resumable>,
        peer: &Greeting,
    ) -> Result<Meeting, Misbehaviour> {
        let none = Claim {
            run: *run.as_bytes(),
            received: 0,
            raised: 0,
        };
        let theirs = peer.claim.unwrap_or(none);
        let (received, raised) = held.map_or((0, 0), |held| (held.received, held.raised));
        let within = theirs.raised <= self.hello.set_size;
        match within && theirs.received <= raised && received <= theirs.raised {
            true => Ok(Meeting::Joined { run, theirs }),
            false => Err(Misbehaviour::Places),
        }
    }

    pub(super) fn misbehaved(&self, source: Misbehaviour) -> MatchError {
        MatchError::PeerMisbehaved {
            peer: self.peer.clone(),
            source,
        }
    }

    pub(super) fn gets_nowhere(&self) -> MatchError {
        MatchError::GetsNowhere {
            peer: self.peer.clone(),
        }
    }

    fn malformed(&self, field: &'static str) -> MatchError {
        self.misbehaved(Misbehaviour::Hello { field })
    }

    fn incompatible(&self, source: Incompatible) -> MatchError {
        MatchError::PeerIncompatible {
            peer: self.peer.clone(),
            source,
        }
    }
}

/// Our greeting, without a run that goes on.
pub(super) fn hello(
    setup: &Setup<'_>,
    nonce: [u8; 32],
    public_key: Option<&EncodedPoint>,
) -> MatchHello {
    let terms = &setup.terms;
    MatchHello {
        format: Format::Matching.as_str().to_owned(),
        agreement_digest: terms.agreement_digest.as_bytes().to_vec(),
        party: setup.me.to_string(),
        epoch: terms.epoch.0,
        id_kind: terms.id_kind.to_string(),
        method: terms.method.to_string(),
        reveals: terms.reveals.to_string(),
        set_size: setup.own,
        rules: setup.alike.rules,
        nonce: nonce.to_vec(),
        mode: setup.mode.to_string(),
        partition: setup.alike.partition.number(),
        partitions: setup.alike.partition.of(),
        row_keys: public_key.is_some(),
        public_key: public_key.map_or_else(Vec::new, |key| key.as_bytes().to_vec()),
        numbering: setup.numbering.clone(),
        ..MatchHello::default()
    }
}

/// Whether the peer names the run that we hold.
fn same_claim(held: Option<&Resumable>, claim: Option<Claim>) -> bool {
    held.zip(claim)
        .is_some_and(|(held, claim)| claim.run == *held.run.as_bytes())
}

fn claim(resume: &MatchResume) -> Result<Claim, &'static str> {
    let run = <[u8; 32]>::try_from(resume.run.as_slice()).map_err(|_| "resume.run")?;
    Ok(Claim {
        run,
        received: resume.received,
        raised: resume.raised,
    })
}
