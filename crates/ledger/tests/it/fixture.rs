//! One owner's ledger, and short ways to ask it for things.

use std::path::PathBuf;

use incamera_keys::{SeedKey, SigningKey};
use incamera_ledger::{
    Ask, Ceilings, Charged, GrantRecord, Held, Ledger, LedgerError, Logged, NewManifest, Registered,
};
use incamera_types::{
    AgreementDigest, AgreementId, AnalystRef, CommitmentsDigest, DatasetName, Delta, Digest,
    EnvelopeDigest, ManifestDigest, PartyName, PrivacyLoss, ProposalDigest, PurposeName, QueryName,
    RequestDigest, ReservationsDigest, Rho, RoomKeyDigest, UnixTime,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

pub const NOW: UnixTime = UnixTime(1_800_000_000);
pub const LIFETIME_S: u64 = 120;

/// A digest whose bytes are all `of`.
pub fn d<D: Digest>(of: u8) -> D {
    D::from_bytes([of; 32])
}

pub fn rho(units: u64) -> PrivacyLoss {
    PrivacyLoss {
        rho: Rho::from_units(units),
        delta0: Delta::from_units(units / 10),
    }
}

pub fn shop() -> PartyName {
    "shop".parse().unwrap()
}

pub struct Fixture {
    pub ledger: Ledger,
    pub seed_key: SeedKey,
    pub signer: SigningKey,
    pub ceilings: Ceilings,
    pub rng: ChaCha20Rng,
    pub manifests: Vec<(DatasetName, ManifestDigest)>,
    /// Manifests of other owners that requests name.
    pub others: Vec<(DatasetName, ManifestDigest)>,
    /// The signed request that the next commits are for; else each has its own.
    pub envelope: Option<u8>,
    /// The proposal that has the query.
    pub proposal: Option<ProposalDigest>,
    commits: u8,
    folder: Option<tempfile::TempDir>,
}

/// One reservation to ask for.
#[derive(Clone, Copy)]
pub struct Want {
    pub agreement: u8,
    pub request: u8,
    pub room: u8,
    pub cost: u64,
    pub analyst: &'static str,
    pub at: UnixTime,
}

impl Default for Want {
    fn default() -> Self {
        Self {
            agreement: 1,
            request: 10,
            room: 20,
            cost: 100,
            analyst: "mailer/ana",
            at: NOW,
        }
    }
}

impl Fixture {
    /// A ledger in memory with a ceiling of 1000 in all and of 500 an agreement.
    pub fn new() -> Self {
        Self::of(Ledger::in_memory(&shop()).unwrap(), None)
    }

    /// The same in a file.
    pub fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.sqlite"), &shop()).unwrap();
        Self::of(ledger, Some(folder))
    }

    fn of(ledger: Ledger, folder: Option<tempfile::TempDir>) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut fixture = Self {
            ledger,
            seed_key: SeedKey::generate(&mut rng),
            signer: SigningKey::generate(&mut rng),
            ceilings: Ceilings {
                population: rho(1000),
                agreement: rho(500),
            },
            rng,
            manifests: vec![("customers".parse().unwrap(), d(50))],
            others: Vec::new(),
            envelope: None,
            proposal: None,
            commits: 0,
            folder,
        };
        for agreement in [1, 2, 3] {
            assert_eq!(fixture.register(agreement, 1, 50).unwrap(), Registered::New);
        }
        fixture
    }

    pub fn path(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("ledger.sqlite")
    }

    /// Forgets the open ledger, as a crash would, and opens the file again.
    pub fn reopen(&mut self) {
        self.ledger = Ledger::open(&self.path(), &shop()).unwrap();
    }

    pub fn register(
        &mut self,
        agreement: u8,
        version: u64,
        digest: u8,
    ) -> Result<Registered, LedgerError> {
        let dataset: DatasetName = "customers".parse().unwrap();
        let newest = self.ledger.newest_manifest(&d(agreement), &dataset);
        let previous = newest.unwrap().map(|newest| newest.digest);
        let manifest = NewManifest {
            agreement: d::<AgreementId>(agreement),
            dataset: &dataset,
            version,
            digest: d(digest),
            previous,
            signed: b"signed manifest",
            agreement_digest: AgreementDigest::from_bytes([7; 32]),
            removals: &[],
        };
        self.ledger.register_manifest(&manifest, NOW)
    }

    pub fn reserve(&mut self, want: Want) -> Result<Held, LedgerError> {
        let analyst: AnalystRef = want.analyst.parse().unwrap();
        let reads = [self.manifests.clone(), self.others.clone()].concat();
        let ask = Ask {
            agreement: d(want.agreement),
            request: d::<RequestDigest>(want.request),
            room_key: d::<RoomKeyDigest>(want.room),
            analyst: &analyst,
            manifests: &self.manifests,
            reads: &reads,
            cost: rho(want.cost),
            expires: want.at.plus(LIFETIME_S),
        };
        self.ledger
            .reserve(&ask, &self.ceilings, &self.seed_key, want.at, &mut self.rng)
    }

    pub fn commit(
        &mut self,
        held: &Held,
        commitments: u8,
    ) -> Result<(Charged, Logged), LedgerError> {
        self.commit_at(held, commitments, NOW)
    }

    pub fn commit_at(
        &mut self,
        held: &Held,
        commitments: u8,
        now: UnixTime,
    ) -> Result<(Charged, Logged), LedgerError> {
        let analyst: AnalystRef = "mailer/ana".parse().unwrap();
        let query: QueryName = "lift".parse().unwrap();
        let purpose: PurposeName = "measurement".parse().unwrap();
        self.commits += 1;
        let record = GrantRecord {
            agreement: d::<AgreementDigest>(60),
            reservations: d::<ReservationsDigest>(70),
            commitments: d::<CommitmentsDigest>(commitments),
            envelope: d::<EnvelopeDigest>(self.envelope.unwrap_or(100 + self.commits)),
            analyst: &analyst,
            query: &query,
            token: None,
            proposal: self.proposal,
            purpose: &purpose,
            reason: "quarterly report",
            simulated: true,
        };
        self.ledger
            .commit(held, &record, &self.ceilings, &self.signer, now)
    }

    /// Reserves and commits.
    pub fn spend(&mut self, want: Want) -> Result<(Charged, Logged), LedgerError> {
        let held = self.reserve(want)?;
        self.commit_at(&held, 80, want.at)
    }

    pub fn spent(&self) -> PrivacyLoss {
        self.ledger.spent_in_all().unwrap()
    }
}
