//! What sealing costs beside plain Parquet: CPU of a scan, size, and CPU of writing.
//!
//! `ROWS` purchases (10 million if not said) of a fifth as many people, five columns: id, day,
//! amount, category, shop. The plain side has the same rows in the same order, in as many files
//! with the same row groups, compression and statistics. Sides take turns, so that what else the
//! machine does meets both. Prints one JSON object a line.
//!
//! * *sealed scan*: every column, each page decrypted, the order of pseudonyms checked, against
//!   the Parquet reader. *Room scan*: the same, and the digest of each file before it.
//! * *seal*: from a Parquet file whose rows are already in order, under ids that say their
//!   pseudonym, so that neither sorting nor looking up is in it, against reading that file and
//!   writing it again.
//! * *retag*: one purpose more for every column of a data set of 4,096 parts, by wall clock.
//! * *seal with sort*: rows in no order, a crosswalk, consents by person, several classes.
#![allow(
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, RecordBatchReader as _,
    StringArray,
};
use incamera_keys::SigningKey;
use incamera_seal::{
    Anew, Change, Consent, Consents, Crosswalk, CrosswalkScope, Inherited, KeyRing, MANIFEST_FILE,
    MatchingRuns, RewriteJob, SealJob, SealReport, SignedManifest, Source, granted_parts,
    open_manifest, open_part, part_path, plan_rewrite, read_manifest_file, read_part,
    rewrite as new_version, seal_dataset, unwrap_keys,
};
use incamera_testkit::cpu::cpu_seconds_of;
use incamera_types::limits::MAX_PARTITIONS;
use incamera_types::{
    AgreementDigest, AgreementId, ColumnName, ColumnSpec, ConsentClass, DatasetSpec, Digest as _,
    ManifestDigest, MatchingEpoch, OtherText, Pseudonym, PurposeSet, UnixTime,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

const RUNS: usize = 5;
const BATCH_ROWS: usize = 16_384;
const PARTITIONS: u32 = 16;
const ROWS_A_PERSON: u64 = 5;
/// Rows of the data set of many parts.
const SOME_ROWS: u64 = 200_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

fn rows() -> u64 {
    let said = std::env::var("ROWS").ok();
    said.map_or(10_000_000, |rows| rows.parse().expect("a number"))
}

/// A mixed number: the same for the same `n`.
fn mix(n: u64) -> u64 {
    let z = (n ^ (n >> 30)).wrapping_mul(SEED);
    z ^ (z >> 27)
}

/// The pseudonym of the `person`-th in order, of `people`.
fn pseudonym(person: u64, people: u64) -> Pseudonym {
    let step = u64::MAX / people;
    let (high, low) = (person * step, mix(person));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    Pseudonym::from_bytes(bytes)
}

fn agreement_id() -> AgreementId {
    agreement_digest().into()
}

fn agreement_digest() -> AgreementDigest {
    AgreementDigest::of_file(b"bench")
}

fn set(names: &[&str]) -> PurposeSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn column(name: &str, ty: &str, purposes: &[&str]) -> ColumnSpec {
    ColumnSpec {
        name: name.parse().unwrap(),
        ty: ty.parse().unwrap(),
        nullable: false,
        purposes: set(purposes),
        unit: None,
        min: None,
        max: None,
        values: None,
        other: OtherText::Refuse,
        id_kind: None,
        time_zone: None,
    }
}

fn purchases() -> DatasetSpec {
    DatasetSpec {
        name: "purchases".parse().unwrap(),
        owner: "shop".parse().unwrap(),
        public: false,
        keep_until: None,
        columns: vec![
            column("person", "pseudonym", &[]),
            column("day", "date", &["measurement"]),
            column("amount", "decimal(10,2)", &["measurement"]),
            column("category", "text", &["ads", "measurement"]),
            column("shop", "int", &["measurement"]),
        ],
    }
}

/// Rows `from` to `until` of the file: whose they are says `person`.
fn batch(from: u64, until: u64, id: &dyn Fn(u64) -> String) -> RecordBatch {
    let rows = || (from..until).map(mix);
    let column = |name: &str, array: ArrayRef| (name.to_owned(), array);
    let amounts = Decimal128Array::from_iter_values(rows().map(|n| i128::from(n % 50_000)));
    let categories = ["food", "home", "toys", "garden", "books"];
    let texts = rows().map(|n| categories[(n >> 17) as usize % categories.len()]);
    RecordBatch::try_from_iter([
        column(
            "person",
            Arc::new(StringArray::from_iter_values((from..until).map(id))),
        ),
        column(
            "day",
            Arc::new(Date32Array::from_iter_values(
                rows().map(|n| 20_500 + (n >> 9) as i32 % 90),
            )),
        ),
        column(
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        column("category", Arc::new(StringArray::from_iter_values(texts))),
        column(
            "shop",
            Arc::new(Int64Array::from_iter_values(
                rows().map(|n| (n >> 33) as i64 % 400),
            )),
        ),
    ])
    .unwrap()
}

/// As sealed parts are written, but for the encryption.
fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(131_072))
        .build()
}

fn write(path: &Path, id: &dyn Fn(u64) -> String) {
    write_rows(path, rows(), id);
}

fn write_rows(path: &Path, rows: u64, id: &dyn Fn(u64) -> String) {
    let mut writer = None;
    for from in (0..rows).step_by(BATCH_ROWS) {
        let batch = batch(from, rows.min(from + BATCH_ROWS as u64), id);
        let new = || {
            let file = File::create(path).unwrap();
            ArrowWriter::try_new(file, batch.schema(), Some(properties())).unwrap()
        };
        writer.get_or_insert_with(new).write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}

/// Reads a plain file and writes it again.
fn rewrite(from: &Path, to: &Path) {
    let file = File::open(from).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let reader = reader.with_batch_size(BATCH_ROWS).build().unwrap();
    let file = File::create(to).unwrap();
    let mut writer = ArrowWriter::try_new(&file, reader.schema(), Some(properties())).unwrap();
    for batch in reader {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
    file.sync_all().unwrap();
}

struct World {
    folder: tempfile::TempDir,
    ring: KeyRing,
    signer: SigningKey,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, passphrase) = (folder.path().join("ring"), "bench".to_owned().into());
        let ring = KeyRing::create_with_work_factor(&path, &passphrase, 2, &mut rand::rng());
        Self {
            folder,
            ring: ring.unwrap(),
            signer: SigningKey::generate(&mut rand::rng()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn seal(
        &mut self,
        source: &Path,
        out: &str,
        partitions: u32,
        people: &(dyn Fn(&str) -> Option<Pseudonym> + Sync),
        consent: Consent<'_>,
    ) -> SealReport {
        let out = self.path(out);
        let _ = std::fs::remove_dir_all(&out);
        let job = SealJob {
            spec: &purchases(),
            agreement_id: agreement_id(),
            agreement_digest: agreement_digest(),
            version: 1,
            previous: None,
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: MatchingEpoch(1),
            matching_runs: MatchingRuns::new(),
            last_day: None,
            partitions,
            purposes: &set(&["ads", "measurement"]),
            branches: &std::collections::BTreeMap::new(),
            renamed: &std::collections::BTreeMap::new(),
            source: &Source::of(source).unwrap(),
            id_column: Some("person"),
            people,
            kinds: &incamera_seal::no_kinds,
            consent,
            out: &out,
            limits: incamera_seal::SealLimits::default(),
            progress: &mut |_| {},
        };
        let (ring, signer) = (&mut self.ring, &self.signer);
        seal_dataset(job, ring, signer, UnixTime(1), &mut rand::rng()).unwrap()
    }

    fn manifest(&self, out: &str) -> SignedManifest {
        let signed = read_manifest_file(&self.path(out).join(MANIFEST_FILE)).unwrap();
        open_manifest(&signed, &self.signer.public()).unwrap()
    }

    /// Reads every column of every part, with the keys in hand; `each` hears of every batch, with
    /// its part's number. A room takes files whose digest it has `checked`, others are read
    /// whole first.
    fn scan(&self, out: &str, checked: bool, mut each: impl FnMut(usize, RecordBatch)) {
        let manifest = self.manifest(out);
        let columns: Vec<ColumnName> = manifest.columns().iter().map(|c| c.name.clone()).collect();
        let purpose = "measurement".parse().unwrap();
        let keys = unwrap_keys(&manifest, &purpose, &columns, &self.ring).unwrap();
        let keys = granted_parts(&manifest, &purpose, &columns, keys).unwrap();
        for (number, part) in manifest.parts().iter().enumerate() {
            let Some(keys) = keys.get(&part.file_id) else {
                continue;
            };
            let path = part_path(&self.path(out), &part.file_id);
            let read = if checked {
                let file = open_part(&path, &manifest, part).unwrap();
                read_part(file, &manifest, part, keys, &columns, BATCH_ROWS)
            } else {
                let bytes = bytes::Bytes::from(std::fs::read(&path).unwrap());
                read_part(bytes, &manifest, part, keys, &columns, BATCH_ROWS)
            };
            let read = read.unwrap();
            read.for_each(|batch| each(number, batch.unwrap()));
        }
    }

    /// The rows of the sealed parts as plain files of the same make; gives their paths.
    fn write_plain(&self, out: &str) -> Vec<PathBuf> {
        let mut files: Vec<(usize, PathBuf, Option<ArrowWriter<File>>)> = Vec::new();
        self.scan(out, false, |number, batch| {
            if files.last().is_none_or(|last| last.0 != number) {
                let path = self.path(&format!("plain-{number}.parquet"));
                let file = File::create(&path).unwrap();
                let writer = ArrowWriter::try_new(file, batch.schema(), Some(properties()));
                files.push((number, path, Some(writer.unwrap())));
            }
            let writer = files.last_mut().and_then(|last| last.2.as_mut());
            writer.unwrap().write(&batch).unwrap();
        });
        let close = |(_, path, writer): (usize, PathBuf, Option<ArrowWriter<File>>)| {
            writer.unwrap().close().unwrap();
            path
        };
        files.into_iter().map(close).collect()
    }
}

fn scan_plain(files: &[PathBuf]) -> usize {
    let rows = |path: &PathBuf| {
        // Read whole into memory first, as a room reads a part.
        let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let reader = reader.with_batch_size(BATCH_ROWS).build().unwrap();
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
    };
    files.iter().map(rows).sum()
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

/// CPU seconds of two things done in turns.
fn in_turns(mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let (mut ones, mut others) = (0.0, 0.0);
    for _ in 0..RUNS {
        ones += cpu_seconds_of(&mut one).expect("Linux").0;
        others += cpu_seconds_of(&mut other).expect("Linux").0;
    }
    (ones / RUNS as f64, others / RUNS as f64)
}

/// The id of the `person`-th of `people`, which says both.
fn id(person: u64, people: u64) -> String {
    format!("{person:010}.{people}")
}

/// The pseudonym that an id says.
fn said(id: &str) -> Option<Pseudonym> {
    let (person, people) = id.split_once('.')?;
    Some(pseudonym(person.parse().ok()?, people.parse().ok()?))
}

fn seal_in_order(world: &mut World, people: u64) {
    let (source, again) = (world.path("ordered.parquet"), world.path("again.parquet"));
    write(&source, &|row| id(row / ROWS_A_PERSON, people));
    let seal = || {
        let report = world.seal(&source, "sealed", PARTITIONS, &said, Consent::Everyone);
        assert_eq!(report.sealed, rows());
    };
    let (sealing, rewriting) = in_turns(seal, || rewrite(&source, &again));
    figure("seal_in_order_cpu_s", sealing, "s");
    figure("rewrite_cpu_s", rewriting, "s");
    figure("seal_cpu_ratio", sealing / rewriting, "1");
}

fn scan_and_size(world: &World) {
    let files = world.write_plain("sealed");
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    let plain: u64 = files.iter().map(size).sum();
    let sealed: u64 = world
        .manifest("sealed")
        .parts()
        .iter()
        .map(|part| part.bytes)
        .sum();
    figure("sealed_size_ratio", sealed as f64 / plain as f64, "1");
    let all = rows() as usize;
    let scan = |checked| {
        let mut read = 0;
        world.scan("sealed", checked, |_, batch| read += batch.num_rows());
        assert_eq!(read, all);
    };
    let scan_plain = || assert_eq!(scan_plain(&files), all);
    let (sealed, plain) = in_turns(|| scan(false), scan_plain);
    figure("sealed_scan_cpu_s", sealed, "s");
    figure("plain_scan_cpu_s", plain, "s");
    figure("sealed_scan_cpu_ratio", sealed / plain, "1");
    let (checked, plain) = in_turns(|| scan(true), scan_plain);
    figure("room_scan_cpu_ratio", checked / plain, "1");
}

fn seal_with_sort(world: &mut World, people: u64) {
    let source = world.path("shuffled.parquet");
    let id = |person: u64| format!("person{person}@mail.example");
    write(&source, &|row| id(mix(row) % people));
    let scope = CrosswalkScope {
        agreement_id: agreement_id(),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        via: None,
    };
    let known = (0..people).map(|person| (id(person), pseudonym(mix(person) % people, people)));
    let crosswalk = Crosswalk::new(scope, known);
    let classes = [
        set(&["ads"]),
        set(&["measurement"]),
        set(&["ads", "measurement"]),
    ];
    let consented = |person: u64| {
        let class: ConsentClass = classes[person as usize % 10 % classes.len()].clone();
        (pseudonym(person, people), class)
    };
    let consents = Consents::new(
        agreement_id(),
        MatchingEpoch(1),
        "customers".parse().unwrap(),
        ManifestDigest::from_bytes([1; 32]),
        (0..people).map(consented),
    );
    let look_up = |id: &str| crosswalk.lookup(id);
    let seal = || {
        let report = world.seal(
            &source,
            "sorted",
            PARTITIONS,
            &look_up,
            Consent::ByPerson(&consents),
        );
        assert!(report.sealed > rows() / 2);
    };
    let (seconds, ()) = cpu_seconds_of(seal).expect("Linux");
    figure("seal_rows_per_cpu_s", rows() as f64 / seconds, "1/s");
}

/// Gives every column one purpose more, in a data set of as many parts as there may be slices.
fn retag(world: &mut World, people: u64) {
    let source = world.path("some.parquet");
    let some = |row: u64| id(row * people / SOME_ROWS, people);
    write_rows(&source, SOME_ROWS, &some);
    world.seal(&source, "many", MAX_PARTITIONS, &said, Consent::Everyone);
    let mut declared = purchases();
    for column in &mut declared.columns {
        column.purposes = set(&["ads", "measurement"]);
    }
    let (manifest, folder) = (world.manifest("many"), world.path("many"));
    let job = RewriteJob {
        manifest: &manifest,
        folder: &folder,
        spec: &declared,
        revoked: PurposeSet::default(),
        renamed: BTreeMap::new(),
        register: None,
        movement: None,
        anew: Anew::Nothing,
        class_people: 1,
        part_rows: u64::MAX,
        change: Change::Retagged,
        progress: &|_| {},
    };
    let start = Instant::now();
    let plan = plan_rewrite(&job, &world.ring).unwrap();
    let (ring, signer) = (&mut world.ring, &world.signer);
    let rng = &mut rand::rng();
    new_version(&job, &plan, ring, signer, UnixTime(2), rng, |_| Ok(())).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let parts = manifest.parts().len();
    assert_eq!(plan.counts().rewrapped, parts);
    figure("retag_parts", parts as f64, "1");
    figure("retag_parts_per_s", parts as f64 / seconds, "1/s");
}

fn main() {
    let people = rows() / ROWS_A_PERSON;
    let mut world = World::new();
    seal_in_order(&mut world, people);
    scan_and_size(&world);
    seal_with_sort(&mut world, people);
    retag(&mut world, people);
}
