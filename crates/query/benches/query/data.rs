//! Made-up people, what they saw and what they bought: as plain Parquet files, and sealed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, FixedSizeBinaryArray, RecordBatch, StringArray,
};
use incamera_agreement::{Agreement, Query};
use incamera_dp::NoiseKey;
use incamera_keys::SigningKey;
use incamera_release::OpenedGrants;
use incamera_seal::{
    Consent, Inherited, KeyRing, MANIFEST_FILE, MatchingRuns, SealJob, SealLimits, SignedManifest,
    Source, granted_parts, open_manifest, read_manifest_file, seal_dataset, unwrap_keys,
};
use incamera_testkit::cpu::cpu_seconds_of;
use incamera_types::{ColumnName, DatasetName, Digest as _, Pseudonym, RequestDigest, UnixTime};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub const DATASETS: [&str; 3] = ["customers", "exposures", "purchases"];

const BATCH_ROWS: u64 = 16_384;
const CATEGORIES: [&str; 10] = [
    "food", "home", "toys", "garden", "books", "sport", "music", "shoes", "phones", "travel",
];
const FIRST_DAY: i32 = 20_500;
const DAYS: u64 = 90;

/// How many there are.
#[derive(Clone, Copy)]
pub struct Size {
    /// Exposures, and as many purchases.
    pub rows: u64,
}

impl Size {
    pub fn people(self) -> u64 {
        self.rows / 5
    }

    fn of(self, table: &str) -> u64 {
        match table {
            "customers" => self.people(),
            _ => self.rows,
        }
    }

    /// The agreement with as many people.
    pub fn agreement(self) -> Agreement {
        let text = include_str!("query.toml")
            .replace("people = 2_000_000", &format!("people = {}", self.people()))
            .replace(
                "partitions = 256",
                &format!("partitions = {}", partitions()),
            );
        Agreement::parse(text.as_bytes()).unwrap()
    }
}

/// Slices that data sets are cut into: `PARTITIONS`, or 256. Fewer make larger parts.
fn partitions() -> u32 {
    let said = std::env::var("PARTITIONS").ok();
    said.map_or(256, |said| said.parse().expect("a number"))
}

/// In which order rows stand in a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they came: person after person at random.
    Arrival,
    /// The same rows, by pseudonym.
    Sorted,
    /// As many rows for everybody, by pseudonym: nothing has to be sorted to make them.
    Even,
}

/// Mixes a number: the same for the same `n`.
fn mix(n: u64) -> u64 {
    let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The pseudonym of the `person`-th in order, of `people`.
fn pseudonym(person: u64, people: u64) -> Pseudonym {
    let (high, low) = (person * (u64::MAX / people), mix(person));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    Pseudonym::from_bytes(bytes)
}

/// Whose the row at a place is, of places in order of people. Three in ten saw nothing.
fn person(table: &str, place: u64) -> u64 {
    match table {
        "customers" => place,
        "exposures" => place / 50 * 10 + 3 + place % 50 * 7 / 50,
        _ => place / 5,
    }
}

/// Rows of a table in an order: each one's person, and the number that its values come from.
fn rows(table: &str, size: Size, order: Order) -> Box<dyn Iterator<Item = (u64, u64)> + '_> {
    let count = size.of(table);
    let seed = table.len() as u64 * 0x0123_4567_89ab;
    let at_random = move |row: u64| (person(table, mix(row ^ seed) % count), row);
    match order {
        _ if table == "customers" => Box::new((0..count).map(|row| (row, row))),
        Order::Arrival => Box::new((0..count).map(at_random)),
        Order::Even => Box::new((0..count).map(move |row| (person(table, row), row))),
        Order::Sorted => {
            let mut all: Vec<_> = (0..count).map(at_random).collect();
            all.sort_unstable();
            Box::new(all.into_iter())
        }
    }
}

/// A batch of a table, with the person's pseudonym or, for sealing, with an id.
fn batch(table: &str, people: u64, rows: &[(u64, u64)], id: bool) -> RecordBatch {
    let whose = rows.iter().map(|(person, _)| *person);
    let who: ArrayRef = match id {
        true => Arc::new(StringArray::from_iter_values(
            whose.map(|person| person.to_string()),
        )),
        false => {
            let bytes = whose.map(|person| Some(*pseudonym(person, people).as_bytes()));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16).unwrap())
        }
    };
    let name = if id { "id" } else { "person" };
    let mut columns = vec![(name, who)];
    let values = || rows.iter().map(|(_, row)| mix(row ^ 0xabcd));
    let days = values().map(|n| FIRST_DAY + i32::try_from((n >> 40) % DAYS).unwrap());
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(days));
    match table {
        "customers" => {}
        "exposures" => {
            let names: Vec<String> = (1..=20).map(|at| format!("c{at:02}")).collect();
            let campaigns = values().map(|n| names[(n >> 17) as usize % 20].as_str());
            let campaigns = StringArray::from_iter_values(campaigns);
            columns.extend([("day", days), ("campaign", Arc::new(campaigns) as ArrayRef)]);
        }
        _ => {
            let amounts =
                Decimal128Array::from_iter_values(values().map(|n| i128::from(n % 20_000)));
            let amounts = amounts.with_precision_and_scale(10, 2).unwrap();
            let texts = values().map(|n| CATEGORIES[(n >> 17) as usize % 10]);
            let texts = StringArray::from_iter_values(texts);
            columns.extend([
                ("day", days),
                ("amount", Arc::new(amounts) as ArrayRef),
                ("category", Arc::new(texts)),
            ]);
        }
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Writes a table.
pub fn write(path: &Path, table: &str, size: Size, order: Order, id: bool) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = File::create(path).unwrap();
    let none = batch(table, size.people(), &[], id);
    let mut writer = ArrowWriter::try_new(file, none.schema(), Some(properties)).unwrap();
    let mut all = rows(table, size, order);
    loop {
        let some: Vec<_> = all.by_ref().take(BATCH_ROWS as usize).collect();
        if some.is_empty() {
            break;
        }
        writer
            .write(&batch(table, size.people(), &some, id))
            .unwrap();
    }
    writer.close().unwrap();
}

/// What a side needs to know of the world: its folder says the rest.
pub struct World {
    pub folder: PathBuf,
    pub size: Size,
    pub agreement: Agreement,
    pub ring: KeyRing,
    signer: SigningKey,
}

impl World {
    fn of(folder: &Path, size: Size, ring: KeyRing) -> Self {
        Self {
            folder: folder.into(),
            size,
            agreement: size.agreement(),
            ring,
            signer: SigningKey::generate(&mut StdRng::seed_from_u64(1)),
        }
    }

    pub fn new(folder: &Path, size: Size) -> Self {
        let (path, passphrase) = (folder.join("ring"), "bench".to_owned().into());
        let ring = KeyRing::create_with_work_factor(&path, &passphrase, 2, &mut rand::rng());
        Self::of(folder, size, ring.unwrap())
    }

    pub fn open(folder: &Path, size: Size) -> Self {
        let ring = KeyRing::open(&folder.join("ring"), &"bench".to_owned().into());
        Self::of(folder, size, ring.unwrap())
    }

    /// Seals a table whose rows stand in an order; gives the CPU seconds of it.
    pub fn seal(&mut self, table: &str, order: Order) -> f64 {
        let source = self.folder.join("source.parquet");
        write(&source, table, self.size, order, true);
        let out = self.folder.join(table);
        let _ = std::fs::remove_dir_all(&out);
        let people = self.size.people();
        let known = |id: &str| Some(pseudonym(id.parse().ok()?, people));
        let job = SealJob {
            spec: &self.agreement.datasets[&table.parse::<DatasetName>().unwrap()],
            agreement_id: self.agreement.id,
            agreement_digest: self.agreement.digest,
            version: 1,
            previous: None,
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: self.agreement.matching.epoch,
            matching_runs: MatchingRuns::new(),
            last_day: None,
            partitions: self.agreement.matching.partitions,
            purposes: &self.agreement.leaf_purposes(),
            branches: &BTreeMap::new(),
            renamed: &BTreeMap::new(),
            source: &Source::of(&source).unwrap(),
            id_column: Some("id"),
            people: &known,
            kinds: &incamera_seal::no_kinds,
            consent: Consent::Everyone,
            out: &out,
            limits: SealLimits::default(),
            progress: &mut |_| {},
        };
        let (ring, signer) = (&mut self.ring, &self.signer);
        let seal = || seal_dataset(job, ring, signer, UnixTime(1000), &mut rand::rng());
        let (seconds, report) = cpu_seconds_of(seal).expect("Linux");
        assert_eq!(report.unwrap().sealed, self.size.of(table));
        std::fs::remove_file(source).unwrap();
        seconds
    }

    pub fn plain(&self, table: &str, order: Order) -> PathBuf {
        let order = if order == Order::Arrival {
            "arrival"
        } else {
            "sorted"
        };
        self.folder.join(format!("{table}.{order}.parquet"))
    }

    pub fn query(&self, name: &str) -> &Query {
        let named = |query: &&Query| query.name.to_string() == name;
        self.agreement.queries.values().find(named).unwrap()
    }

    pub fn manifests(&self) -> BTreeMap<DatasetName, SignedManifest> {
        let open = |name: &str| {
            let path = self.folder.join(name).join(MANIFEST_FILE);
            let signed = read_manifest_file(&path).unwrap();
            let manifest = open_manifest(&signed, &self.signer.public()).unwrap();
            (name.parse().unwrap(), manifest)
        };
        DATASETS.map(open).into()
    }

    pub fn grants(&self, query: &Query) -> OpenedGrants {
        let columns = |dataset: &DatasetName| -> Vec<ColumnName> {
            let reads = query.reads.iter().filter(|read| &read.dataset == dataset);
            reads.map(|read| read.column.clone()).collect()
        };
        let keys = |(name, manifest): (DatasetName, SignedManifest)| {
            let columns = columns(&name);
            if columns.is_empty() {
                return None;
            }
            let keys = unwrap_keys(&manifest, &query.purpose, &columns, &self.ring).unwrap();
            let parts = granted_parts(&manifest, &query.purpose, &columns, keys).unwrap();
            Some((name, parts))
        };
        OpenedGrants::for_tests(
            RequestDigest::from_bytes([1; 32]),
            self.manifests().into_iter().filter_map(keys).collect(),
            NoiseKey::from_bytes([1; 32]),
            self.agreement.cost(query),
        )
    }
}
