//! A shop with customers and purchases, sealed into a temporary folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use incamera_keys::{SecretString, SigningKey, sign_message};
use incamera_seal::{
    Consent, Consents, Inherited, KeyRing, LocalFileError, MANIFEST_FILE, Manifest, MatchingRuns,
    Outline, OwnRows, Part, PartKeys, Said, SealError, SealJob, SealLimits, SealReport,
    SignedManifest, Source, granted_parts, open_manifest, own_rows, part_path, read_manifest_file,
    read_part, seal_dataset_keeping, unwrap_keys,
};
use incamera_types::{
    AgreementDigest, AgreementId, ColumnName, ColumnSpec, DatasetSpec, Date, FileId, IdKind,
    ManifestDigest, MatchingEpoch, OtherText, Pseudonym, PurposeName, PurposeSet, Transcript,
    UnixTime,
};
use incamera_types::{Digest as _, RequestDigest};
use incamera_wire::{Format, v1 as wire};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tempfile::TempDir;

pub const EPOCH: MatchingEpoch = MatchingEpoch(1);

pub struct World {
    pub folder: TempDir,
    pub ring: KeyRing,
    pub signer: SigningKey,
    pub rng: ChaCha20Rng,
    pub partitions: u32,
    /// See [`limits`].
    pub limits: SealLimits,
    /// Whether what is sealed is added to the version before.
    pub append: bool,
    /// The matching runs of the pseudonyms.
    pub runs: MatchingRuns,
    /// The last day of the pseudonyms.
    pub last_day: Option<Date>,
    pub consents: Option<Consents>,
}

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn passphrase() -> SecretString {
    SecretString::from("correct horse")
}

pub fn agreement_id() -> AgreementId {
    agreement_digest().into()
}

pub fn agreement_digest() -> AgreementDigest {
    AgreementDigest::of_file(b"an agreement")
}

/// Of some register.
pub fn manifest_digest() -> ManifestDigest {
    Transcript::new("test").field(b"a register").finish()
}

pub fn name(text: &str) -> ColumnName {
    text.parse().unwrap()
}

pub fn purpose(text: &str) -> PurposeName {
    text.parse().unwrap()
}

pub fn set(names: &[&str]) -> PurposeSet {
    names.iter().map(|name| purpose(name)).collect()
}

pub fn purposes() -> PurposeSet {
    set(&["ads", "measurement", "safety"])
}

/// Small classes stay as they are: the tests' have a person or two.
pub fn limits() -> SealLimits {
    SealLimits {
        class_people: 1,
        ..SealLimits::default()
    }
}

/// One branch of the tree, besides the leaves.
pub fn branches() -> BTreeMap<PurposeName, PurposeSet> {
    std::iter::once((purpose("marketing"), set(&["ads", "measurement"]))).collect()
}

/// One leaf had another name before.
pub fn renamed() -> BTreeMap<PurposeName, PurposeName> {
    std::iter::once((purpose("advertising"), purpose("ads"))).collect()
}

/// What stands for matching here. `nobody...` has no pseudonym.
pub fn pseudonym(id: &str) -> Option<Pseudonym> {
    if id.starts_with("nobody") {
        return None;
    }
    let digest: RequestDigest = Transcript::new("test").field(id).finish();
    Some(Pseudonym::from_bytes(
        digest.as_bytes()[..16].try_into().unwrap(),
    ))
}

/// What stands for matching of a kind.
pub fn of_kind(kind: &IdKind, id: &str) -> Option<Pseudonym> {
    pseudonym(id).and_then(|_| pseudonym(&format!("{kind} {id}")))
}

pub fn column(column: &str, ty: &str, purposes: &[&str]) -> ColumnSpec {
    ColumnSpec {
        name: name(column),
        ty: ty.parse().unwrap(),
        nullable: false,
        purposes: set(purposes),
        unit: None,
        min: None,
        max: None,
        values: None,
        other: OtherText::Refuse,
        id_kind: (ty == "pseudonym").then(|| "email".parse().unwrap()),
        time_zone: None,
    }
}

pub fn dataset(dataset: &str, columns: Vec<ColumnSpec>) -> DatasetSpec {
    DatasetSpec {
        name: dataset.parse().unwrap(),
        owner: "shop".parse().unwrap(),
        public: false,
        keep_until: None,
        columns,
    }
}

pub fn customers() -> DatasetSpec {
    let consent = column("consent", "purposes", &[]);
    dataset(
        "customers",
        vec![
            column("person", "pseudonym", &["ads", "measurement"]),
            consent,
        ],
    )
}

pub fn purchases() -> DatasetSpec {
    let mut amount = column("amount", "decimal(10,2)", &["measurement"]);
    amount.min = Some("0".parse().unwrap());
    amount.max = Some("500".parse().unwrap());
    let mut category = column("category", "text", &["ads", "measurement"]);
    category.nullable = true;
    dataset(
        "purchases",
        vec![
            column("person", "pseudonym", &[]),
            column("day", "date", &["measurement"]),
            amount,
            category,
        ],
    )
}

pub const CUSTOMERS_CSV: &str = "email,consent\n\
    all@x,ads;measurement;safety\n\
    ads@x,ads\n\
    measured@x,measurement\n\
    safe@x,safety\n\
    none@x,\n";

pub const PURCHASES_CSV: &str = "email,day,amount,category\n\
    all@x,2026-03-01,10.50,food\n\
    all@x,2026-03-02,20,home\n\
    ads@x,2026-03-03,30,toys\n\
    measured@x,2026-03-04,40,food\n\
    safe@x,2026-03-05,50,food\n\
    none@x,2026-03-06,60,food\n\
    stranger@x,2026-03-07,70,food\n\
    nobody@x,2026-03-08,80,food\n";

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = rng(7);
        let path = folder.path().join("ring.age");
        let ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng).unwrap();
        let signer = SigningKey::generate(&mut rng);
        Self {
            folder,
            ring,
            signer,
            rng,
            partitions: 4,
            limits: limits(),
            append: false,
            runs: MatchingRuns::new(),
            last_day: None,
            consents: None,
        }
    }

    /// A world with both data sets sealed.
    pub fn sealed() -> Self {
        let mut world = Self::new();
        world.seal_both();
        world
    }

    /// Seals both data sets under the ring at hand.
    pub fn seal_both(&mut self) {
        let report = self.seal_csv(&customers(), CUSTOMERS_CSV).unwrap();
        self.consents = report.consents;
        self.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    }

    pub fn out(&self, dataset: &str) -> PathBuf {
        self.folder.path().join("sealed").join(dataset)
    }

    pub fn file(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(file);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn seal_csv(
        &mut self,
        spec: &DatasetSpec,
        csv: impl AsRef<[u8]>,
    ) -> Result<SealReport, SealError> {
        let path = self.file(&format!("{}.csv", spec.name), csv);
        self.seal(spec, &Source::of(&path).unwrap())
    }

    /// Seals the next version.
    pub fn seal(&mut self, spec: &DatasetSpec, source: &Source) -> Result<SealReport, SealError> {
        self.seal_people(spec, source, &pseudonym)
    }

    pub fn seal_people(
        &mut self,
        spec: &DatasetSpec,
        source: &Source,
        people: &(dyn Fn(&str) -> Option<Pseudonym> + Sync),
    ) -> Result<SealReport, SealError> {
        self.seal_if(spec, source, people, |_| true)
    }

    /// The owner's file as the room would see it for a purpose.
    pub fn own_rows(&self, spec: &DatasetSpec, source: &Source, to: &str) -> OwnRows {
        let consent = match &self.consents {
            Some(consents) => Consent::ByPerson(consents),
            None => Consent::Everyone,
        };
        let job = SealJob {
            spec,
            agreement_id: agreement_id(),
            agreement_digest: agreement_digest(),
            version: 1,
            previous: None,
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: EPOCH,
            matching_runs: MatchingRuns::new(),
            last_day: None,
            partitions: 1,
            purposes: &purposes(),
            branches: &branches(),
            renamed: &renamed(),
            source,
            id_column: None,
            people: &pseudonym,
            kinds: &of_kind,
            consent,
            out: Path::new("nowhere"),
            limits: self.limits,
            progress: &mut |_| {},
        };
        own_rows(job, &purpose(to)).unwrap()
    }

    pub fn seal_if(
        &mut self,
        spec: &DatasetSpec,
        source: &Source,
        people: &(dyn Fn(&str) -> Option<Pseudonym> + Sync),
        wanted: impl FnOnce(&Outline) -> bool,
    ) -> Result<SealReport, SealError> {
        self.seal_keeping(spec, source, people, wanted, |_| Ok(()))
    }

    pub fn seal_keeping(
        &mut self,
        spec: &DatasetSpec,
        source: &Source,
        people: &(dyn Fn(&str) -> Option<Pseudonym> + Sync),
        wanted: impl FnOnce(&Outline) -> bool,
        keep: impl FnOnce(&Consents) -> Result<(), LocalFileError>,
    ) -> Result<SealReport, SealError> {
        let out = self.out(spec.name.as_str());
        let before = out
            .join(MANIFEST_FILE)
            .exists()
            .then(|| self.manifest(spec.name.as_str()));
        let consent = match (&self.consents, spec.purposes_column()) {
            (_, Some(_)) => Consent::Column,
            (Some(consents), None) => Consent::ByPerson(consents),
            (None, None) => Consent::Everyone,
        };
        let purposes = purposes();
        let job = SealJob {
            spec,
            agreement_id: agreement_id(),
            agreement_digest: agreement_digest(),
            version: before.as_ref().map_or(1, |before| before.version() + 1),
            previous: before.as_ref().map(|before| before.digest()),
            append_to: before.as_ref().filter(|_| self.append),
            key_epoch: before.as_ref().map_or(1, |before| before.key_epoch()),
            inherits: Inherited::default(),
            matching_epoch: EPOCH,
            matching_runs: self.runs.clone(),
            last_day: self.last_day,
            partitions: self.partitions,
            purposes: &purposes,
            branches: &branches(),
            renamed: &renamed(),
            source,
            id_column: None,
            people,
            kinds: &of_kind,
            consent,
            out: &out,
            limits: self.limits,
            progress: &mut |_| {},
        };
        let now = UnixTime(1_000);
        let (ring, rng) = (&mut self.ring, &mut self.rng);
        let wanted = |outline: &Outline, _: Said<'_>| wanted(outline);
        seal_dataset_keeping(job, ring, &self.signer, now, rng, wanted, keep)
    }

    pub fn manifest(&self, dataset: &str) -> SignedManifest {
        let signed = read_manifest_file(&self.out(dataset).join(MANIFEST_FILE)).unwrap();
        open_manifest(&signed, &self.signer.public()).unwrap()
    }

    /// The manifest as it would be if its owner signed something else.
    pub fn resigned(&self, dataset: &str, change: impl FnOnce(&mut wire::Manifest)) -> Manifest {
        let signed = self.manifest(dataset);
        let mut body: wire::Manifest =
            incamera_wire::decode(&signed.signed().body, usize::MAX).unwrap();
        change(&mut body);
        let signed = sign_message(&self.signer, Format::Manifest, &body).unwrap();
        open_manifest(&signed, &self.signer.public())
            .unwrap()
            .manifest()
            .clone()
    }

    pub fn keys(
        &self,
        manifest: &Manifest,
        purpose_name: &str,
        columns: &[&str],
    ) -> BTreeMap<FileId, PartKeys> {
        let (purpose, columns) = (purpose(purpose_name), names(columns));
        let keys = unwrap_keys(manifest, &purpose, &columns, &self.ring).unwrap();
        granted_parts(manifest, &purpose, &columns, keys).unwrap()
    }

    pub fn part_file(&self, manifest: &Manifest, part: &Part) -> File {
        File::open(part_path(
            &self.out(manifest.dataset().as_str()),
            &part.file_id,
        ))
        .unwrap()
    }

    /// All rows that `purpose` opens, part by part.
    pub fn read(&self, dataset: &str, purpose: &str, columns: &[&str]) -> Vec<(Part, RecordBatch)> {
        let manifest = self.manifest(dataset);
        let keys = self.keys(&manifest, purpose, columns);
        let open = |part: &&Part| keys.contains_key(&part.file_id);
        let parts = manifest.parts().iter().filter(open);
        parts
            .map(|part| {
                let file = self.part_file(&manifest, part);
                let keys = &keys[&part.file_id];
                let reader = read_part(file, &manifest, part, keys, &names(columns), 1000).unwrap();
                let schema = reader.schema();
                let batches: Vec<_> = reader.map(Result::unwrap).collect();
                (part.clone(), concat_batches(&schema, &batches).unwrap())
            })
            .collect()
    }

    /// One column of everything that `purpose` opens, as sorted text.
    pub fn texts(&self, dataset: &str, purpose: &str, column: &str) -> Vec<String> {
        let mut texts: Vec<String> = self
            .read(dataset, purpose, &[column])
            .iter()
            .flat_map(|(_, batch)| column_texts(batch, 0))
            .collect();
        texts.sort();
        texts
    }
}

pub fn names(columns: &[&str]) -> Vec<ColumnName> {
    columns.iter().map(|column| name(column)).collect()
}

pub fn column_texts(batch: &RecordBatch, at: usize) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("null");
    // Without its zone, which is always UTC, a moment prints without a table of zones.
    let column = match batch.column(at).data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            arrow::compute::cast(batch.column(at), &DataType::Int64)
                .and_then(|moments| {
                    arrow::compute::cast(&moments, &DataType::Timestamp(*unit, None))
                })
                .unwrap()
        }
        _ => batch.column(at).clone(),
    };
    let format = arrow::util::display::ArrayFormatter::try_new(&column, &options).unwrap();
    (0..batch.num_rows())
        .map(|row| format.value(row).to_string())
        .collect()
}

/// Every file below `folder`.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// An error with all its causes, and its debug form: all that may reach a log.
pub fn all_text(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(" {error} {error:?}");
        cause = error.source();
    }
    text
}
