//! Two owners with sealed data, an analyst and a room, all in memory but for the sealed files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use incamera_agreement::{ActiveAgreement, Agreement, SignedAgreement, sign};
use incamera_attest::Binding;
use incamera_attest::simulated::collect;
use incamera_dp::loss_of;
use incamera_keys::hpke::RoomSecretKey;
use incamera_keys::{SecretString, SigningKey};
use incamera_ledger::{Ledger, NewManifest};
use incamera_release::{
    Broker, Challenges, CurrentData, GrantsError, OpenedGrants, Opening, OwnRules, Record, Refusal,
    Request, RequestRefusal, Reserved, VerifiedRequest, issue, open_grants, room_keys,
    verify_request,
};
use incamera_seal::{
    Consent, Consents, Inherited, KeyRing, MANIFEST_FILE, MatchingRuns, SealJob, SealLimits,
    SignedManifest, Source, open_manifest, read_manifest_file, seal_dataset,
};
use incamera_types::{
    AnalystRef, Budget, DatasetName, Date, Delta, Digest as _, Epsilon, ManifestDigest,
    Measurement, Params, PartyName, PrivacyLoss, Pseudonym, RequestDigest, Transcript, UnixTime,
    Value,
};
use incamera_wire::encode;
use incamera_wire::v1::{Answer, BoundEvidence, ReleaseFile, RoomKeys, Signed};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tempfile::TempDir;

pub const NOW: UnixTime = UnixTime(1_800_000_000);
pub const TEMPLATE: &str = include_str!("agreement.toml");
pub const CUSTOMERS: &str = "email,consent\na@x,ads;measurement\nb@x,measurement\nc@x,ads\nd@x,\n";
pub const PURCHASES: &str = "email,day,amount,category\n\
    a@x,2026-03-01,10.50,food\nb@x,2026-03-02,20,home\nc@x,2026-03-03,30,food\n";
pub const MAILING: &str = "email,mailed\na@x,true\nb@x,false\nc@x,true\n";

pub fn measurement(of: u8) -> Measurement {
    Measurement::from_bytes([of; 32])
}

pub fn name<N: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().unwrap()
}

pub fn pseudonym(id: &str) -> Option<Pseudonym> {
    let digest: RequestDigest = Transcript::new("test").field(id).finish();
    Some(Pseudonym::from_bytes(
        digest.as_bytes()[..16].try_into().unwrap(),
    ))
}

pub struct Owner {
    pub ledger: Ledger,
    pub ring: KeyRing,
    pub signer: SigningKey,
    pub challenges: Challenges,
    pub rules: OwnRules,
    pub population: PrivacyLoss,
    pub consents: Option<Consents>,
}

impl Owner {
    pub fn broker(&mut self) -> Broker<'_> {
        Broker {
            ledger: &mut self.ledger,
            ring: &self.ring,
            signer: &self.signer,
            population: self.population,
            rules: &self.rules,
        }
    }
}

pub struct World {
    pub folder: TempDir,
    pub agreement: SignedAgreement,
    pub owners: BTreeMap<PartyName, Owner>,
    pub signs: BTreeMap<PartyName, SigningKey>,
    pub analysts: BTreeMap<AnalystRef, SigningKey>,
    pub manifests: BTreeMap<DatasetName, SignedManifest>,
    pub receipt_key: SigningKey,
    pub rng: ChaCha20Rng,
    /// Who asks, and when the request ends.
    pub analyst: AnalystRef,
    pub expires: UnixTime,
    /// When data sets are sealed.
    pub sealing: UnixTime,
    /// The last day of what is sealed.
    pub last_day: Option<Date>,
    /// What all clocks say.
    pub now: UnixTime,
}

/// One room working on one request.
pub struct Session {
    pub request: VerifiedRequest,
    pub secret: RoomSecretKey,
    pub keys: RoomKeys,
    pub measurement: Measurement,
    pub evidence: Vec<BoundEvidence>,
    pub reserved: BTreeMap<PartyName, Reserved>,
    pub reservations: Vec<Signed>,
    pub grants: Vec<Signed>,
}

impl World {
    pub fn new() -> Self {
        Self::sealed(TEMPLATE)
    }

    /// The same under another agreement about the same data.
    pub fn sealed(template: &str) -> Self {
        let mut world = Self::agreed(template);
        world.seal("customers", CUSTOMERS);
        world.seal("purchases", PURCHASES);
        world.seal("mailing", MAILING);
        world
    }

    /// Owners with an agreement of this text, all keys filled in and signed; no data yet.
    pub fn agreed(template: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut parties: Vec<PartyName> = vec![name("mailer"), name("shop")];
        if template.contains("[parties.alpha]") {
            parties.push(name("alpha"));
        }
        let analysts: [AnalystRef; 2] = [name("mailer/ana"), name("shop/sam")];
        let mut keys = || SigningKey::generate(&mut rng);
        let mut keyed = || -> Vec<_> {
            let parties = parties.iter();
            parties.map(|party| (party.clone(), keys())).collect()
        };
        let (signs, services) = (keyed(), keyed());
        let analysts = analysts.map(|analyst| (analyst, keys()));
        let receipt_key = keys();
        let mut text = template.to_owned();
        let mut fill = |what: String, with: String| {
            text = text.replace(&format!("{{{what}}}"), &with);
        };
        for (party, key) in &signs {
            fill(format!("{party}_signs"), key.public().to_string());
        }
        for (party, key) in &services {
            fill(format!("{party}_service"), key.public().to_string());
        }
        for (analyst, key) in &analysts {
            fill(analyst.analyst.to_string(), key.public().to_string());
        }
        fill("measurement".into(), measurement(1).to_string());
        fill("other_measurement".into(), measurement(2).to_string());
        let signs: BTreeMap<_, _> = signs.into_iter().collect();
        let agreement = signed(&text, &signs);
        let services = services.into_iter();
        let owners = services
            .filter(|(party, _)| agreement.agreement().owners().contains(party))
            .map(|(party, signer)| (party.clone(), owner(&party, signer, &folder, &mut rng)))
            .collect();
        Self {
            folder,
            agreement,
            owners,
            signs,
            analysts: analysts.into(),
            manifests: BTreeMap::new(),
            receipt_key,
            rng,
            analyst: name("mailer/ana"),
            expires: NOW.plus(3600),
            sealing: NOW,
            last_day: None,
            now: NOW,
        }
    }

    pub fn active(&self) -> ActiveAgreement {
        self.agreement.at(self.now).unwrap()
    }

    pub fn owner(&mut self, party: &str) -> &mut Owner {
        self.owners.get_mut(party).unwrap()
    }

    /// Seals the next version of a data set and registers it with its owner.
    pub fn seal(&mut self, dataset: &str, csv: &str) {
        let path = self.folder.path().join(format!("{dataset}.csv"));
        std::fs::write(&path, csv).unwrap();
        self.seal_file(dataset, &path, None);
    }

    /// The same with a file.
    pub fn seal_file(&mut self, dataset: &str, path: &Path, id_column: Option<&str>) {
        let dataset: DatasetName = name(dataset);
        let agreement = self.agreement.agreement().clone();
        let spec = agreement.dataset(&dataset).unwrap();
        let owner = self.owners.get_mut(&spec.owner).unwrap();
        let out = self.folder.path().join(dataset.as_str());
        let before = self.manifests.get(&dataset);
        let consent = match (spec.purposes_column(), &owner.consents) {
            (Some(_), _) => Consent::Column,
            (None, Some(consents)) => Consent::ByPerson(consents),
            (None, None) => Consent::Everyone,
        };
        let job = SealJob {
            spec,
            agreement_id: agreement.id,
            agreement_digest: agreement.digest,
            version: before.map_or(1, |before| before.version() + 1),
            previous: before.map(|before| before.digest()),
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: agreement.matching.epoch,
            matching_runs: MatchingRuns::new(),
            last_day: self.last_day,
            partitions: agreement.matching.partitions,
            purposes: &agreement.leaf_purposes(),
            branches: &std::collections::BTreeMap::new(),
            renamed: &std::collections::BTreeMap::new(),
            source: &Source::of(path).unwrap(),
            id_column,
            people: &pseudonym,
            kinds: &incamera_seal::no_kinds,
            consent,
            out: &out,
            limits: SealLimits {
                class_people: 1,
                ..SealLimits::default()
            },
            progress: &mut |_| {},
        };
        let (ring, at) = (&mut owner.ring, self.sealing);
        let report = seal_dataset(job, ring, &owner.signer, at, &mut self.rng).unwrap();
        if report.consents.is_some() {
            owner.consents = report.consents;
        }
        let signed = read_manifest_file(&out.join(MANIFEST_FILE)).unwrap();
        let manifest = open_manifest(&signed, &owner.signer.public()).unwrap();
        register(&mut owner.ledger, &manifest);
        self.manifests.insert(dataset, manifest);
    }

    /// Gives an owner a new ledger, which knows of its manifests and of nothing else.
    pub fn new_ledger(&mut self, party: &str) {
        self.owner(party).ledger = Ledger::in_memory(&name(party)).unwrap();
        self.register_again(party);
    }

    /// Tells an owner's (new) ledger of its manifests.
    pub fn register_again(&mut self, party: &str) {
        let ledger = &mut self.owners.get_mut(party).unwrap().ledger;
        let own = self
            .manifests
            .values()
            .filter(|own| own.owner().as_str() == party);
        own.for_each(|manifest| register(ledger, manifest));
    }

    pub fn digests(&self) -> BTreeMap<DatasetName, ManifestDigest> {
        let manifests = self.manifests.iter();
        manifests
            .map(|(dataset, manifest)| (dataset.clone(), manifest.digest()))
            .collect()
    }

    pub fn request(&self) -> Request {
        let agreement = self.agreement.agreement();
        let (query, digests) = (name("lift"), self.digests());
        Request::new(
            agreement,
            &query,
            params("2026-03-01"),
            &digests,
            measurement(1),
        )
        .unwrap()
    }

    pub fn sign(&mut self, request: &Request) -> Signed {
        let key = &self.analysts[&self.analyst];
        request
            .sign(&self.analyst, "a test", self.expires, key, &mut self.rng)
            .unwrap()
    }

    pub fn verified(&mut self) -> VerifiedRequest {
        let request = self.request();
        let signed = self.sign(&request);
        verify_request(&signed, &self.active(), self.now).unwrap()
    }

    /// A room that starts on the request, with a key of its own.
    pub fn session(&mut self) -> Session {
        let request = self.verified();
        self.session_of(request)
    }

    pub fn session_of(&mut self, request: VerifiedRequest) -> Session {
        let secret = RoomSecretKey::generate(&mut self.rng);
        let keys = room_keys(secret.public(), b"a TLS key", &self.receipt_key.public());
        Session {
            request,
            secret,
            keys,
            measurement: measurement(1),
            evidence: Vec::new(),
            reserved: BTreeMap::new(),
            reservations: Vec::new(),
            grants: Vec::new(),
        }
    }

    /// Step 0 and the evidence for it.
    pub fn evidence(&mut self, session: &Session, party: &str) -> BoundEvidence {
        let (mut rng, request) = (self.rng.clone(), session.request.digest());
        let now = self.now;
        let challenge = self.owner(party).challenges.issue(now, &mut rng);
        self.rng = rng;
        let agreement = self.agreement.digest;
        let binding = Binding::for_request(challenge, session.keys.clone(), agreement, request);
        binding.with(collect(session.measurement, &binding, now).unwrap())
    }

    /// Steps 1 to 6 at one owner.
    pub fn reserve_with(
        &mut self,
        session: &Session,
        party: &str,
        evidence: &BoundEvidence,
    ) -> Result<Reserved, Refusal> {
        self.reserve_at(session, party, evidence, self.now)
    }

    /// The same, with the data looked at (step 2) at another time.
    pub fn reserve_at(
        &mut self,
        session: &Session,
        party: &str,
        evidence: &BoundEvidence,
        looked: UnixTime,
    ) -> Result<Reserved, Refusal> {
        let active = self.active();
        let owner = self.owners.get_mut(party).unwrap();
        let fresh = owner.challenges.take(&evidence.challenge, self.now);
        let fresh = fresh.ok_or(Refusal::Challenge)?;
        let request = verify_request(session.request.signed(), &active, self.now)?;
        CurrentData::check(request, &owner.ledger, looked)?
            .attested(fresh, evidence, self.now)?
            .permitted(&owner.rules)?
            .openable(&owner.ring)?
            .reserve(&mut owner.broker(), self.now, &mut self.rng)
    }

    pub fn reserve(&mut self, session: &mut Session, party: &str) -> Result<(), Refusal> {
        let evidence = self.evidence(session, party);
        let reserved = self.reserve_with(session, party, &evidence)?;
        session.evidence.push(evidence);
        session.reservations.push(reserved.reservation().clone());
        session.reserved.insert(name(party), reserved);
        Ok(())
    }

    /// The first round at every owner read.
    pub fn reserve_all(&mut self, session: &mut Session) {
        let owners = self.agreement.owners_read(session.request.query());
        for party in owners {
            self.reserve(session, party.as_str()).unwrap();
        }
    }

    /// Steps 7 and 8 at one owner.
    pub fn commit_at(
        &mut self,
        session: &Session,
        party: &str,
        now: UnixTime,
    ) -> Result<Signed, Refusal> {
        let active = self.active();
        let owner = self.owners.get_mut(party).unwrap();
        let signer = owner.signer.duplicate();
        let reserved = &session.reserved[party];
        let (all, mut broker) = (&session.reservations, owner.broker());
        let committed = reserved.commit(&active, all, &mut broker, now)?;
        committed.grant(&signer, &mut self.rng)
    }

    pub fn commit(&mut self, session: &Session, party: &str) -> Result<Signed, Refusal> {
        self.commit_at(session, party, self.now)
    }

    /// Nothing is charged at this moment: the request is just over.
    pub fn is_too_late(&mut self, session: &Session, now: UnixTime) {
        let refusal = self.commit_at(session, "shop", now).unwrap_err();
        let late = RequestRefusal::Expired { late_s: 0 };
        assert!(
            matches!(&refusal, Refusal::Request(found) if *found == late),
            "{refusal:?}"
        );
        assert_eq!(self.spent("shop"), PrivacyLoss::default());
    }

    /// What was opened of a session's grants, and the release of an answer with its receipt.
    pub fn issue(&mut self, session: Session, answer: &Answer) -> (OpenedGrants, ReleaseFile) {
        let (request, evidence) = (session.request.clone(), session.evidence.clone());
        let opened = self.open(session).unwrap();
        let record = Record {
            request: &request,
            grants: &opened,
            manifests: &self.manifests,
            evidence: &evidence,
        };
        let file = issue(&record, answer, &self.receipt_key, &mut self.rng).unwrap();
        (opened, file)
    }

    /// Both rounds at every owner read.
    pub fn granted(&mut self) -> Session {
        let session = self.session();
        self.grant(session)
    }

    pub fn grant(&mut self, mut session: Session) -> Session {
        self.reserve_all(&mut session);
        let owners: Vec<PartyName> = session.reserved.keys().cloned().collect();
        for party in owners {
            let grant = self.commit(&session, party.as_str()).unwrap();
            session.grants.push(grant);
        }
        session
    }

    pub fn open(&self, session: Session) -> Result<OpenedGrants, GrantsError> {
        self.open_at(session, self.now)
    }

    pub fn open_at(&self, session: Session, now: UnixTime) -> Result<OpenedGrants, GrantsError> {
        let opening = Opening {
            request: &session.request,
            reservations: &session.reservations,
            grants: &session.grants,
            manifests: &self.manifests,
            simulated: true,
        };
        open_grants(&opening, session.secret, now)
    }

    pub fn spent(&self, party: &str) -> PrivacyLoss {
        self.owners[party].ledger.spent_in_all().unwrap()
    }

    pub fn cost(&self) -> PrivacyLoss {
        self.agreement.cost(&self.agreement.queries["lift"])
    }
}

fn register(ledger: &mut Ledger, manifest: &SignedManifest) {
    let new = NewManifest {
        agreement: *manifest.agreement_id(),
        dataset: manifest.dataset(),
        version: manifest.version(),
        digest: manifest.digest(),
        previous: manifest.previous(),
        signed: &encode(manifest.signed()),
        agreement_digest: incamera_types::AgreementDigest::from_bytes([7; 32]),
        removals: &[],
    };
    ledger.register_manifest(&new, NOW).unwrap();
}

/// The agreement of a text, signed by all.
pub fn signed(text: &str, signs: &BTreeMap<PartyName, SigningKey>) -> SignedAgreement {
    let agreement = Agreement::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let signatures = signs
        .iter()
        .map(|(party, key)| (party.clone(), sign(text.as_bytes(), key).unwrap()))
        .collect();
    agreement.verify(&signatures).unwrap()
}

pub fn params(from: &str) -> Params {
    let date = |text: &str| Value::Date(name(text));
    [
        (name("from"), date(from)),
        (name("until"), date("2026-05-31")),
    ]
    .into()
}

/// What tells two noise keys apart.
pub fn noise(grants: &OpenedGrants) -> [u8; 32] {
    *grants.noise_key().choice("a test")
}

fn owner(party: &PartyName, signer: SigningKey, folder: &TempDir, rng: &mut ChaCha20Rng) -> Owner {
    let path = folder.path().join(format!("{party}.age"));
    let passphrase = SecretString::from("correct horse");
    let budget = Budget {
        epsilon: Epsilon::from_f64(3.0).unwrap(),
        delta: Delta::from_f64(1e-6).unwrap(),
    };
    Owner {
        ledger: Ledger::in_memory(party).unwrap(),
        ring: KeyRing::create_with_work_factor(&path, &passphrase, 1, rng).unwrap(),
        signer,
        challenges: Challenges::default(),
        rules: OwnRules {
            insecure_accept_simulated: true,
            refused_queries: BTreeSet::new(),
            ..OwnRules::default()
        },
        population: loss_of(&budget),
        consents: None,
    }
}
