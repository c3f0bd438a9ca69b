//! Over sealed parts, with keys as grants hold them.

use std::path::{Path, PathBuf};

use incamera_keys::SigningKey;
use incamera_release::OpenedGrants;
use incamera_seal::{
    Consent, Consents, Inherited, KeyRing, MANIFEST_FILE, MatchingRuns, SealJob, SealLimits,
    SignedManifest, Source, granted_parts, open_manifest, part_path, read_manifest_file,
    seal_dataset, unwrap_keys,
};
use incamera_types::{
    Digest, FileId, PrivacyLoss, Pseudonym, RequestDigest, Rho, Transcript, UnixTime, Value,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::{OtherRequest, RoomData, SourceError, check, compute, release};

const SQL: &str =
    "SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
  COUNT(DISTINCT customers.person) AS people,
  COUNT(DISTINCT purchases.person) AS buyers,
  SUM(purchases.amount) AS spend
FROM customers
JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person AND purchases.day >= $from
GROUP BY 1";

fn lift() -> Agreement {
    agreement(
        SQL,
        &[
            (
                "reads",
                "[\"customers.person\", \"purchases.person\", \"purchases.day\", \"purchases.amount\", \"mailing.person\", \"mailing.mailed\"]",
            ),
            ("params", "{ from = { type = \"date\" } }"),
            (
                "groups",
                "{ campaign_group = [\"mailed\", \"not mailed\"] }",
            ),
            ("rows", "{ purchases = 100, mailing = 1 }"),
            ("per_person", "{ groups = 1, spend = [0, 400] }"),
        ],
    )
}

const PURCHASES: &str = "email,day,amount,items,points,category,at";

/// What differs between rooms.
pub(super) struct Made {
    pub(super) agreement: Agreement,
    pub(super) params: Params,
    /// The mailer's people are called by this letter, the shop's by `p`.
    pub(super) letter: char,
    /// What each purchase costs.
    pub(super) price: &'static str,
    /// The categories of the public data set.
    pub(super) regions: &'static [&'static str],
    /// Where all keys and names of files come from.
    pub(super) seed: u64,
    /// Purchases of everybody who consents, in place of all of the above: person, day, amount,
    /// items, points, category and moment.
    pub(super) purchases: Option<Vec<String>>,
    /// Files in place of all of the above, whose people are named by their keys: data set, first
    /// line, lines.
    pub(super) files: Vec<(&'static str, &'static str, Vec<String>)>,
}

impl Default for Made {
    fn default() -> Self {
        let from = Value::Date("2026-01-01".parse().unwrap());
        Self {
            agreement: lift(),
            params: params(&[("from", from)]),
            letter: 'p',
            price: "10.00",
            regions: &["food"],
            seed: 1,
            purchases: None,
            files: Vec::new(),
        }
    }
}

/// A room's folder with sealed data sets of forty people: every fourth did not consent, every
/// other was mailed, person n bought n times for 10.
pub(super) struct Room {
    pub(super) folder: PathBuf,
    made: Made,
    ring: KeyRing,
    signer: SigningKey,
    rng: StdRng,
    _keep: tempfile::TempDir,
}

fn pseudonym_of(id: &str) -> Option<Pseudonym> {
    let digest: RequestDigest = Transcript::new("test").field(id).finish();
    digest
        .as_bytes()
        .get(..16)?
        .try_into()
        .ok()
        .map(Pseudonym::from_bytes)
}

/// Somebody who is named by their key.
fn named(key: &str) -> Option<Pseudonym> {
    let number = u128::from_str_radix(key, 16).ok()?;
    Some(Pseudonym::from_bytes(number.to_be_bytes()))
}

impl Room {
    pub(super) fn new(made: Made) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = keep.path().to_owned();
        let passphrase = "a passphrase".to_owned().into();
        let ring = folder.join("ring");
        let mut rng = StdRng::seed_from_u64(made.seed);
        let ring = KeyRing::create_with_work_factor(&ring, &passphrase, 2, &mut rng);
        let mut room = Self {
            folder,
            ring: ring.unwrap(),
            signer: SigningKey::generate(&mut rng),
            made,
            rng,
            _keep: keep,
        };
        room.fill();
        room
    }

    fn fill(&mut self) {
        for (name, header, lines) in self.made.files.clone() {
            self.seal(name, header, lines.into_iter(), None);
        }
        if !self.made.files.is_empty() {
            return;
        }
        if let Some(lines) = self.made.purchases.take() {
            self.seal("purchases", PURCHASES, lines.into_iter(), None);
            return;
        }
        let (letter, price) = (self.made.letter, self.made.price);
        let people = (0..40).map(|n| format!("p{n}@x.example"));
        let consent = |n: usize| if n % 4 == 3 { "ads" } else { "ads measurement" };
        let lines = people
            .clone()
            .enumerate()
            .map(|(n, p)| format!("{p},{}", consent(n)));
        let consents = self.seal("customers", "email,consent", lines, None);
        let mailed = (0..40).map(|n| format!("{letter}{n}@x.example"));
        let lines = mailed
            .enumerate()
            .map(|(n, p)| format!("{p},{},spring", n % 2 == 0));
        self.seal("mailing", "email,mailed,campaign", lines, None);
        let purchase = |n: usize, p: &str| {
            (0..n)
                .map(|_| format!("{p},2026-03-01,{price},1,,food,"))
                .collect::<Vec<_>>()
        };
        let lines = people.enumerate().flat_map(|(n, p)| purchase(n, &p));
        self.seal("purchases", PURCHASES, lines, consents.as_ref());
        let lines = self.made.regions.iter().map(|one| format!("{one},north"));
        self.seal("regions", "category,region", lines, None);
    }

    fn seal(
        &mut self,
        name: &str,
        header: &str,
        lines: impl Iterator<Item = String>,
        by: Option<&Consents>,
    ) -> Option<Consents> {
        let csv = self.folder.join(format!("{name}.csv"));
        std::fs::write(
            &csv,
            format!("{header}\n{}\n", lines.collect::<Vec<_>>().join("\n")),
        )
        .unwrap();
        let agreement = &self.made.agreement;
        let spec = &agreement.datasets[&dataset(name)];
        let consent = match (spec.purposes_column(), by) {
            (Some(_), _) => Consent::Column,
            (None, Some(consents)) => Consent::ByPerson(consents),
            (None, None) => Consent::Everyone,
        };
        let own = !self.made.files.is_empty();
        let job = SealJob {
            spec,
            agreement_id: agreement.id,
            agreement_digest: agreement.digest,
            version: 1,
            previous: None,
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: agreement.matching.epoch,
            matching_runs: MatchingRuns::new(),
            last_day: None,
            partitions: agreement.matching.partitions,
            purposes: &agreement.leaf_purposes(),
            branches: &std::collections::BTreeMap::new(),
            renamed: &std::collections::BTreeMap::new(),
            source: &Source::of(&csv).unwrap(),
            id_column: (!spec.public && !own).then_some("email"),
            people: if own { &named } else { &pseudonym_of },
            kinds: &|kind, id| pseudonym_of(&format!("{kind} {id}")),
            consent,
            out: &self.folder.join(name),
            limits: SealLimits {
                class_people: 1,
                ..SealLimits::default()
            },
            progress: &mut |_| {},
        };
        let report = seal_dataset(
            job,
            &mut self.ring,
            &self.signer,
            UnixTime(1000),
            &mut self.rng,
        );
        report.unwrap().consents
    }

    pub(super) fn manifests(&self) -> BTreeMap<DatasetName, SignedManifest> {
        let open = |name: DatasetName| {
            let file = self.folder.join(name.as_str()).join(MANIFEST_FILE);
            let signed = read_manifest_file(&file).unwrap();
            (name, open_manifest(&signed, &self.signer.public()).unwrap())
        };
        let checked = self.checked();
        let read = checked.reads().iter().map(|read| read.dataset.clone());
        read.map(open).collect()
    }

    pub(super) fn checked(&self) -> CheckedQuery {
        let agreement = &self.made.agreement;
        let checked = check(agreement, query(agreement), &self.made.params).unwrap();
        checked.asked_by(RequestDigest::from_bytes([1; 32]))
    }

    fn grants(&self, loss: PrivacyLoss) -> Arc<OpenedGrants> {
        let noise = NoiseKey::from_bytes([1; 32]);
        self.grants_of(&self.checked(), &self.manifests(), loss, noise)
    }

    /// The keys of a query's columns, and the key of its noise.
    pub(super) fn grants_of(
        &self,
        checked: &CheckedQuery,
        manifests: &BTreeMap<DatasetName, SignedManifest>,
        loss: PrivacyLoss,
        noise: NoiseKey,
    ) -> Arc<OpenedGrants> {
        let purpose = "measurement".parse().unwrap();
        let keys = |(name, manifest): (&DatasetName, &SignedManifest)| {
            let columns = checked.reads().iter().filter(|read| &read.dataset == name);
            let columns: Vec<_> = columns.map(|read| read.column.clone()).collect();
            let keys = unwrap_keys(manifest, &purpose, &columns, &self.ring).unwrap();
            (
                name.clone(),
                granted_parts(manifest, &purpose, &columns, keys).unwrap(),
            )
        };
        let private = manifests.iter().filter(|(_, manifest)| !manifest.public());
        let parts = private.map(keys).collect();
        let request = RequestDigest::from_bytes([1; 32]);
        Arc::new(OpenedGrants::for_tests(request, parts, noise, loss))
    }

    pub(super) fn check_public(&self) -> Result<(), SourceError> {
        self.data().check_public(&self.checked())
    }

    pub(super) fn data(&self) -> RoomData {
        let path =
            |name: &DatasetName, id: &FileId| part_path(&self.folder.join(name.as_str()), id);
        RoomData::new(&self.manifests(), &path)
    }

    /// The exact answer.
    pub(super) fn totals(&self) -> Result<Vec<i128>, QueryError> {
        self.run(self.checked().loss()).map(|raw| exact(&raw))
    }

    fn run(&self, loss: PrivacyLoss) -> Result<RawAggregate, QueryError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        runtime.block_on(compute(
            &self.checked(),
            &self.data(),
            &self.grants(loss),
            &limits(),
        ))
    }
}

/// People, buyers and spend of the mailed, then of the others.
fn twin() -> Vec<i128> {
    let mut totals = vec![0; 6];
    for n in (0..40).filter(|n| n % 4 != 3) {
        let at = if n % 2 == 0 { 0 } else { 3 };
        totals[at] += 1;
        totals[at + 1] += i128::from(n > 0);
        totals[at + 2] += (n * 1000).min(40_000);
    }
    totals
}

#[test]
fn sealed_data_give_the_answer_of_those_who_consented() {
    let room = Room::new(Made::default());
    let loss = room.checked().loss();
    let raw = room.run(loss).unwrap();
    assert_eq!(exact(&raw), twin());
    let released = release(raw, &room.grants(loss)).unwrap();
    let answer = released.answer();
    assert!(answer.simulated);
    assert_eq!(answer.groups.len(), 2);
}

/// Purchases are all of March: asked from April on, of their parts only the pseudonyms are
/// read, with the keys of three columns of seven; asked from March on, all three columns.
#[test]
fn i3_parts_outside_the_window_are_left_out_with_the_keys_of_the_query_alone() {
    for (from, buyers, left_out) in [("2026-03-01", true, false), ("2026-03-02", false, true)] {
        let day = Value::Date(from.parse().unwrap());
        let room = Room::new(Made {
            params: params(&[("from", day.clone())]),
            ..Made::default()
        });
        let totals = room.totals().unwrap();
        let expected: Vec<i128> = twin();
        for at in [0, 3] {
            assert_eq!(totals[at], expected[at], "{from}");
            let bought = [expected[at + 1], expected[at + 2]];
            let bought = if buyers { bought } else { [0, 0] };
            assert_eq!(totals[at + 1..at + 3], bought, "{from}");
        }
        let columns: [incamera_types::ColumnName; 3] =
            ["person", "day", "amount"].map(|name| name.parse().unwrap());
        let since = i128::from(from.parse::<incamera_types::Date>().unwrap().days());
        let bound = incamera_seal::Bound::Numbers(vec![since..=i128::MAX]);
        let bounds = [(columns[1].clone(), bound)].into_iter().collect();
        let grants = Some(room.grants(room.checked().loss()));
        let opened = crate::room::Opened {
            data: room.data(),
            grants,
            batch_rows: 8_192,
        };
        let partitions = opened.partitions(&dataset("purchases")).unwrap();
        let parts = (0..partitions).flat_map(|partition| {
            let name = dataset("purchases");
            opened.open(&name, partition, &columns, &bounds).unwrap()
        });
        let batches: Vec<_> = parts.flatten().map(Result::unwrap).collect();
        let width = if left_out { 1 } else { 3 };
        assert!(batches.iter().all(|batch| batch.num_columns() == width));
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, (0..40).filter(|n| n % 4 != 3).sum::<usize>());
    }
}

/// The sums of one request with the noise of another, and that request's own answer: their
/// difference would be exact.
#[test]
fn i6_a_checked_query_takes_the_grants_of_its_own_request_alone() {
    let room = Room::new(Made::default());
    let (own, data) = (room.checked(), room.data());
    let grants = room.grants(own.loss());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = |checked: &CheckedQuery| {
        let raw = runtime.block_on(compute(checked, &data, &grants, &limits()));
        raw.map(|raw| exact(&raw))
    };
    assert_eq!(run(&own), Ok(twin()));
    let refused = Err(QueryError::OtherRequest(OtherRequest));
    let other = own.clone().asked_by(RequestDigest::from_bytes([2; 32]));
    assert_eq!(run(&other), refused);
    let nobodys = CheckedQuery {
        request: None,
        ..own
    };
    assert_eq!(run(&nobodys), refused, "checked for no request");
}

#[test]
fn no_more_is_spent_than_was_charged() {
    let room = Room::new(Made::default());
    let less = PrivacyLoss {
        rho: Rho::from_units(room.checked().loss().rho.units() - 1),
        ..room.checked().loss()
    };
    assert_eq!(room.run(less).err(), Some(QueryError::Engine));
}

/// Whether rows of two owners meet in a join does not decide whether memory suffices: that
/// is said before anything is read, from sizes.
#[test]
fn i7_memory_is_refused_by_sizes_and_not_by_rows() {
    let little = Limits {
        memory_bytes: 1,
        ..limits()
    };
    let seen = |room: &Room| {
        let checked = room.checked();
        let refused = room.data().fits(&checked, &little).unwrap_err();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let grants = room.grants(checked.loss());
        let raw = runtime.block_on(compute(&checked, &room.data(), &grants, &little));
        (refused, raw.map(|raw| exact(&raw).iter().sum::<i128>() > 0))
    };
    let apart = Made {
        letter: 'q',
        ..Made::default()
    };
    let [together, apart] = [Made::default(), apart].map(|made| seen(&Room::new(made)));
    assert_eq!((together.1, apart.1), (Ok(true), Ok(false)));
    assert_eq!(together.0, apart.0);
    // More cores than partitions have nothing to do, and need nothing.
    let room = Room::new(Made::default());
    let many = Limits {
        threads: 1_000,
        ..Limits::default()
    };
    assert_eq!(room.data().fits(&room.checked(), &many), Ok(()));
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("purchases/parts")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_changed_part_is_named_and_a_missing_one_too() {
    let room = Room::new(Made::default());
    let loss = room.checked().loss();
    // Parts of people who did not consent are never opened: change those that are.
    let manifests = room.manifests();
    let manifest = &manifests[&dataset("purchases")];
    let part = manifest
        .parts()
        .iter()
        .find(|part| part.opens_for(&"measurement".parse().unwrap()))
        .unwrap();
    let path = part_path(&room.folder.join("purchases"), &part.file_id);
    assert!(parts(&room.folder).contains(&path));
    let mut bytes = std::fs::read(&path).unwrap();
    let expected = QueryError::Source(SourceError::Part {
        dataset: dataset("purchases"),
        file_id: part.file_id,
    });
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(room.run(loss).err(), Some(expected.clone()));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(room.run(loss).err(), Some(expected));
}
