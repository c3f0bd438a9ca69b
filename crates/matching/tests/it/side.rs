//! One side of an exchange in this process: ids in a `Vec`, a journal in another.

use std::collections::BTreeMap;

use incamera_group::Backend;
use incamera_matching::exchange::{Agreed, Alike, Base, Block, Resumable, Setup, Tuning};
use incamera_matching::{
    Exchange, MatchError, MatchInput, MatchingSecret, Method, Mode, Partition, Reveals, Seed,
    Terms, Value,
};
use incamera_types::{AgreementDigest, AgreementId, Digest, MatchingEpoch, Pseudonym};
use incamera_wire::v1::MatchMessage;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::Sha256;

pub type Crosswalk = BTreeMap<String, Pseudonym>;

/// What a side starts from.
#[derive(Clone)]
pub struct Plan {
    pub terms: Terms,
    pub me: &'static str,
    pub peer: &'static str,
    /// Fills the bytes of the lasting key, the seed and the nonce.
    pub key: u8,
    pub seed: u8,
    pub nonce: u64,
    pub ids: Vec<String>,
    pub mode: Mode,
    pub alike: Alike,
    pub numbering: String,
    pub base: Base,
    pub row_keys: bool,
    pub tuning: Tuning,
    pub backend: Backend,
}

pub fn terms(reveals: Reveals) -> Terms {
    Terms {
        agreement_id: AgreementId::from_bytes([1; 32]),
        agreement_digest: AgreementDigest::from_bytes([2; 32]),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        method: Method::Commutative,
        reveals,
        max_ids: 100_000,
    }
}

fn plan(reveals: Reveals, me: &'static str, peer: &'static str, number: u8, ids: &[&str]) -> Plan {
    Plan {
        terms: terms(reveals),
        me,
        peer,
        key: number,
        seed: 100 + number,
        nonce: 200 + u64::from(number),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        mode: Mode::Full,
        alike: Alike {
            rules: 2,
            partition: Partition::WHOLE,
        },
        numbering: String::new(),
        base: Base::default(),
        row_keys: false,
        tuning: Tuning::new(4, 16).unwrap(),
        backend: Backend::best(),
    }
}

pub fn mailer(reveals: Reveals, ids: &[&str]) -> Plan {
    plan(reveals, "mailer", "shop", 3, ids)
}

pub fn shop(reveals: Reveals, ids: &[&str]) -> Plan {
    plan(reveals, "shop", "mailer", 4, ids)
}

pub fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("id {number}")).collect()
}

impl Plan {
    /// SHA-256 of the ids, as an intake makes it.
    fn input(&self) -> [u8; 32] {
        use sha2::Digest as _;
        let mut hash = Sha256::new();
        for id in &self.ids {
            hash.update((id.len() as u64).to_be_bytes());
            hash.update(id);
        }
        hash.finalize().into()
    }

    pub fn try_start(&self, journal: Journal) -> Result<Side, MatchError> {
        let (me, peer) = (self.me.parse().unwrap(), self.peer.parse().unwrap());
        let input = MatchInput {
            terms: &self.terms,
            rules: self.alike.rules,
            mode: self.mode,
            partition: self.alike.partition,
            me: &me,
            peer: &peer,
            ids: self.input(),
            crosswalk: [0; 32],
        };
        let keys = Seed::from_bytes([self.seed; 32]).run(&input.digest());
        let setup = Setup {
            terms: self.terms.clone(),
            secret: &MatchingSecret::from_key(&[self.key; 32]),
            keys: &keys,
            own: self.ids.len() as u64,
            mode: self.mode,
            alike: self.alike.clone(),
            numbering: self.numbering.clone(),
            base: self.base,
            row_keys: self.row_keys,
            tuning: self.tuning,
            backend: self.backend,
            resume: journal.resumable(),
            me,
            peer,
        };
        let exchange = Exchange::new(setup, &mut ChaCha20Rng::seed_from_u64(self.nonce))?;
        Ok(Side {
            plan: self.clone(),
            exchange,
            journal,
            counted: 0,
        })
    }

    /// As a program starts that finds a journal: it goes on only where it greets as before.
    pub fn restart(&self, journal: Journal) -> Side {
        let (greeting, begun) = (journal.greeting, journal.header.is_some());
        let side = self.try_start(journal).unwrap();
        match !begun || side.exchange.greeting() == greeting {
            true => side,
            false => Plan {
                seed: self.seed.wrapping_add(7),
                nonce: self.nonce + 1000,
                ..self.clone()
            }
            .start(),
        }
    }

    pub fn start(&self) -> Side {
        self.try_start(Journal::default()).unwrap()
    }
}

/// What a side would find on its disk.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Journal {
    pub header: Option<([u8; 32], incamera_types::MatchRunDigest)>,
    pub greeting: [u8; 32],
    pub own: Vec<Value>,
    pub theirs: Vec<Value>,
}

impl Journal {
    pub fn resumable(&self) -> Option<Resumable> {
        self.header.map(|(nonce, run)| Resumable {
            nonce,
            run,
            received: self.own.len() as u64,
            raised: self.theirs.len() as u64,
        })
    }
}

pub struct Side {
    pub plan: Plan,
    pub exchange: Exchange,
    pub journal: Journal,
    /// Runs counted.
    pub counted: u32,
}

impl Side {
    /// Counts the run and begins, as soon as both have greeted.
    pub fn begin(&mut self) {
        let Some(agreed) = self.exchange.agreed() else {
            return;
        };
        let Agreed {
            run,
            nonce,
            greeting,
            goes_on,
            ..
        } = *agreed;
        if self.exchange.begin().is_ok() && !goes_on {
            self.counted += 1;
            self.journal.header = Some((nonce, run));
            self.journal.greeting = greeting;
        }
    }

    /// Gives the ids and the values that are asked for.
    pub fn feed(&mut self) {
        while let Some(wanted) = self.exchange.wanted() {
            let mut block = Block::new();
            let range = wanted.start as usize..wanted.end as usize;
            for id in &self.plan.ids[range] {
                block.push(id.as_bytes());
            }
            self.exchange.give(wanted.start, block).unwrap();
        }
        while let Some(asked) = self.exchange.recall() {
            let range = &asked.places;
            let values = &self.journal.theirs[range.start as usize..range.end as usize];
            self.exchange.recalled(&asked, values.to_vec()).unwrap();
        }
    }

    /// Writes what is to be kept.
    pub fn keep(&mut self) {
        while let Some(keep) = self.exchange.to_keep() {
            self.journal.take(&keep);
            self.exchange.kept(keep.mark).unwrap();
        }
    }

    /// Does all work that is due, here and now.
    pub fn work(&mut self) -> Result<(), MatchError> {
        self.begin();
        loop {
            self.keep();
            self.feed();
            let Some(job) = self.exchange.job() else {
                return Ok(());
            };
            self.exchange.done(job.work())?;
        }
    }

    pub fn incoming(&mut self, message: MatchMessage) -> Result<(), MatchError> {
        self.exchange.incoming(message)?;
        self.work()
    }

    /// Each id with its pseudonym.
    pub fn crosswalk(&self) -> Crosswalk {
        assert_eq!(self.journal.own.len(), self.plan.ids.len());
        let pseudonyms = self.plan.terms.pseudonyms();
        let pseudonym = |value: &Value| match self.plan.terms.reveals {
            Reveals::OwnMatches => pseudonyms.of_tag(value),
            _ => Pseudonym::from_bytes(*value),
        };
        let pairs = self.plan.ids.iter().zip(&self.journal.own);
        pairs
            .map(|(id, value)| (id.clone(), pseudonym(value)))
            .collect()
    }

    /// The ids that the other has too, as `own-matches` shows them.
    pub fn matches(&self) -> Vec<&str> {
        let theirs: std::collections::BTreeSet<_> = self.journal.theirs.iter().collect();
        let pairs = self.plan.ids.iter().zip(&self.journal.own);
        let matched = pairs.filter(|(_, tag)| theirs.contains(tag));
        matched.map(|(id, _)| id.as_str()).collect()
    }
}

/// Passes messages until nobody has any; `alter` sees each of the first side's.
pub fn exchange_altered(
    a: &mut Side,
    b: &mut Side,
    alter: &mut dyn FnMut(&mut MatchMessage),
) -> Result<(), MatchError> {
    loop {
        let mut moved = false;
        while let Some(mut message) = a.exchange.outgoing() {
            moved = true;
            alter(&mut message);
            b.incoming(message)?;
        }
        while let Some(message) = b.exchange.outgoing() {
            moved = true;
            a.incoming(message)?;
        }
        if !moved {
            return Ok(());
        }
    }
}

pub fn run(a: &mut Side, b: &mut Side) {
    exchange_altered(a, b, &mut |_| ()).unwrap();
    assert!(a.exchange.is_finished() && b.exchange.is_finished());
}

/// A whole run.
pub fn matched(a: &Plan, b: &Plan) -> (Side, Side) {
    let (mut a, mut b) = (a.start(), b.start());
    run(&mut a, &mut b);
    (a, b)
}
