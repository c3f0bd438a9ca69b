//! CPU of the lift query in the room, keys in hand, from scan to exact answer, against the
//! same SQL on plain DataFusion over plain Parquet files of the same rows.
//!
//! 100,000 people, about 1,000,000 purchases. Both sides use the same number of threads, read
//! rows in the same order and of the same compression, and take turns, so that what else the
//! machine does meets both. That they count the same people is checked first; the plain side
//! bounds nobody's rows, which is part of what is measured. Prints one JSON object a line.
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
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use incamera_agreement::Agreement;
use incamera_dp::NoiseKey;
use incamera_keys::SigningKey;
use incamera_query::{Limits, RoomData, check, compute, release};
use incamera_release::OpenedGrants;
use incamera_seal::{
    Consent, Consents, Inherited, KeyRing, MANIFEST_FILE, MatchingRuns, SealJob, SignedManifest,
    Source, granted_parts, open_manifest, part_path, read_manifest_file, read_part, seal_dataset,
    unwrap_keys,
};
use incamera_testkit::campaign::Campaign;
use incamera_testkit::cpu::cpu_seconds_of;
use incamera_types::{
    ColumnName, DatasetName, Digest, FileId, Pseudonym, RequestDigest, Transcript, UnixTime, Value,
};
use incamera_wire::v1::Answer;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

const RUNS: u32 = 8;
const THREADS: usize = 2;
const DATASETS: [&str; 3] = ["customers", "mailing", "purchases"];

fn pseudonym(email: &str) -> Option<Pseudonym> {
    let email = email.trim().to_lowercase();
    let digest: RequestDigest = Transcript::new("bench").field(&email).finish();
    let bytes = digest.as_bytes().get(..16)?.try_into().ok()?;
    (!email.is_empty()).then_some(Pseudonym::from_bytes(bytes))
}

struct World<'a> {
    folder: &'a Path,
    agreement: Agreement,
    ring: KeyRing,
    signer: SigningKey,
}

impl World<'_> {
    fn seal(&mut self, name: &str, by: Option<&Consents>) -> Option<Consents> {
        let spec = &self.agreement.datasets[&name.parse::<DatasetName>().unwrap()];
        let consent = match (spec.purposes_column(), by) {
            (Some(_), _) => Consent::Column,
            (None, Some(consents)) => Consent::ByPerson(consents),
            (None, None) => Consent::Everyone,
        };
        let job = SealJob {
            spec,
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
            branches: &std::collections::BTreeMap::new(),
            renamed: &std::collections::BTreeMap::new(),
            source: &Source::of(&self.folder.join(format!("{name}.csv"))).unwrap(),
            id_column: Some("email"),
            people: &pseudonym,
            kinds: &incamera_seal::no_kinds,
            consent,
            out: &self.folder.join(name),
            limits: incamera_seal::SealLimits::default(),
            progress: &mut |_| {},
        };
        let report = seal_dataset(
            job,
            &mut self.ring,
            &self.signer,
            UnixTime(1000),
            &mut rand::rng(),
        );
        report.unwrap().consents
    }

    fn manifests(&self) -> BTreeMap<DatasetName, SignedManifest> {
        let open = |name: &str| {
            let signed = read_manifest_file(&self.folder.join(name).join(MANIFEST_FILE)).unwrap();
            (
                name.parse().unwrap(),
                open_manifest(&signed, &self.signer.public()).unwrap(),
            )
        };
        DATASETS.map(open).into()
    }

    fn columns(&self, dataset: &DatasetName) -> Vec<ColumnName> {
        let query = self.agreement.queries.values().next().unwrap();
        let reads = query.reads.iter().filter(|read| &read.dataset == dataset);
        reads.map(|read| read.column.clone()).collect()
    }

    fn grants(&self) -> OpenedGrants {
        let query = self.agreement.queries.values().next().unwrap();
        let keys = |(name, manifest): (DatasetName, SignedManifest)| {
            let columns = self.columns(&name);
            let keys = unwrap_keys(&manifest, &query.purpose, &columns, &self.ring).unwrap();
            (
                name,
                granted_parts(&manifest, &query.purpose, &columns, keys).unwrap(),
            )
        };
        let parts = self.manifests().into_iter().map(keys).collect();
        let loss = self.agreement.cost(query);
        OpenedGrants::for_tests(
            RequestDigest::from_bytes([1; 32]),
            parts,
            NoiseKey::from_bytes([1; 32]),
            loss,
        )
    }

    /// The rows that the query may read, as plain Parquet files.
    fn write_plain(&self, grants: &OpenedGrants) {
        for (name, manifest) in self.manifests() {
            let file = File::create(self.folder.join(format!("{name}.plain.parquet"))).unwrap();
            let level = Compression::ZSTD(ZstdLevel::try_new(3).unwrap());
            let properties = WriterProperties::builder().set_compression(level).build();
            let mut writer = None;
            for part in manifest.parts() {
                let Some(keys) = grants.part_keys(&name, &part.file_id) else {
                    continue;
                };
                let sealed =
                    File::open(part_path(&self.folder.join(name.as_str()), &part.file_id)).unwrap();
                let rows =
                    read_part(sealed, &manifest, part, keys, &self.columns(&name), 65_536).unwrap();
                for batch in rows {
                    let batch = batch.unwrap();
                    let new = || {
                        ArrowWriter::try_new(
                            file.try_clone().unwrap(),
                            batch.schema(),
                            Some(properties.clone()),
                        )
                        .unwrap()
                    };
                    writer.get_or_insert_with(new).write(&batch).unwrap();
                }
            }
            writer.unwrap().close().unwrap();
        }
    }
}

/// People and buyers of each group, by its name.
type Counts = BTreeMap<String, [i64; 2]>;

async fn plain(folder: &Path, sql: &str) -> Counts {
    let config = SessionConfig::new().with_target_partitions(THREADS);
    let context = SessionContext::new_with_config(config);
    for name in DATASETS {
        let path = folder.join(format!("{name}.plain.parquet"));
        let path = path.to_str().unwrap();
        context
            .register_parquet(name, path, ParquetReadOptions::default())
            .await
            .unwrap();
    }
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut counts = Counts::new();
    for batch in &batches {
        let names = cast(batch.column(0), &DataType::Utf8).unwrap();
        let numbers = [1, 2].map(|at| batch.column(at).as_primitive::<Int64Type>().clone());
        for (row, name) in names.as_string::<i32>().iter().enumerate() {
            let found = [0, 1].map(|at| numbers[at].value(row));
            counts.insert(name.unwrap().to_owned(), found);
        }
    }
    counts
}

/// The room's noisy counts must be those of the plain side: within eight standard deviations,
/// which true ones leave once in 10^14 draws.
fn same(answer: &Answer, counts: &Counts) {
    assert_eq!(answer.groups.len(), counts.len());
    for group in &answer.groups {
        let exact = counts[&group.key[0]];
        for (at, measure) in answer.measures.iter().take(2).enumerate() {
            let off = (group.values[at] - exact[at]) as f64;
            assert!(off.abs() <= 8.0 * measure.sigma, "{}", measure.name);
        }
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

fn main() {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path();
    Campaign::new(100_000, 1).write(folder).unwrap();
    let passphrase = "bench".to_owned().into();
    let mut world = World {
        folder,
        agreement: Agreement::parse(include_bytes!("lift.toml")).unwrap(),
        ring: KeyRing::create_with_work_factor(
            &folder.join("ring"),
            &passphrase,
            2,
            &mut rand::rng(),
        )
        .unwrap(),
        signer: SigningKey::generate(&mut rand::rng()),
    };
    let consents = world.seal("customers", None);
    world.seal("mailing", None);
    world.seal("purchases", consents.as_ref());
    let grants = Arc::new(world.grants());
    world.write_plain(&grants);

    let (from, until) = Campaign::window();
    let query = world.agreement.queries.values().next().unwrap();
    let params = [("from", from), ("until", until)]
        .map(|(name, day)| (name.parse().unwrap(), Value::Date(day)));
    let checked = check(&world.agreement, query, &params.into()).unwrap();
    let checked = checked.asked_by(grants.request());
    let path = |name: &DatasetName, id: &FileId| part_path(&folder.join(name.as_str()), id);
    let data = RoomData::new(&world.manifests(), &path);
    let limits = Limits {
        threads: THREADS,
        ..Limits::default()
    };
    data.fits(&checked, &limits).unwrap();
    let sql = query
        .sql
        .replace("$from", &format!("DATE '{from}'"))
        .replace("$until", &format!("DATE '{until}'"));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let in_room = || runtime.block_on(compute(&checked, &data, &grants, &limits));
    let in_plain = || runtime.block_on(plain(folder, &sql));
    // Once unmeasured, to warm both up.
    let answer = release(in_room().unwrap(), &grants).unwrap().answer();
    same(&answer, &in_plain());
    let cpu_of = |run: &dyn Fn()| cpu_seconds_of(run).expect("Linux").0;
    let (mut room, mut engine) = (0.0, 0.0);
    for _ in 0..RUNS {
        room += cpu_of(&|| drop(in_room().unwrap()));
        engine += cpu_of(&|| drop(in_plain()));
    }
    figure("lift_room_cpu_s", room / f64::from(RUNS), "s");
    figure("lift_plain_cpu_s", engine / f64::from(RUNS), "s");
    figure("lift_cpu_ratio", room / engine, "1");
}
