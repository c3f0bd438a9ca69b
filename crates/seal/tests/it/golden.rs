//! Committed files of each format and version: what was written once must open for ever.
//!
//! `cargo test -p incamera-seal -- --ignored write_golden_files` made them; a format that
//! changes gets a new version and files of its own beside these, which stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use incamera_keys::{DataKey, PublicKey, SigningKey};
use incamera_seal::{
    AgeFile, BackendError, Consents, Crosswalk, CrosswalkColumns, CrosswalkReader, CrosswalkRow,
    CrosswalkScope, CrosswalkWriter, KeyRing, MANIFEST_FILE, MatchingSlot, TokenFile,
    WRAPPED_BYTES, check_part_file, granted_parts, open_manifest, part_path, read_manifest_file,
    read_part, read_public_part, unwrap_keys,
};
use incamera_types::{DatasetSpec, Date, IdForm, IdRules, IdWriting, Pseudonym};
use incamera_wire::{decode, encode, v1 as wire};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::world::{
    EPOCH, World, agreement_id, all_text, column, column_texts, dataset, files_below,
    manifest_digest, names, passphrase, pseudonym, purchases, purpose, rng, set,
};

const CSV: &str = "email,day,amount,category\n\
    a@x,2026-03-01,10.50,food\n\
    a@x,2026-03-02,20,\n\
    b@x,2026-03-03,30,toys\n";
const RING: &str = "ring-1.age";
const SEED: &str = "ring-1.seed";
const CROSSWALK: &str = "crosswalk-1.parquet";
const CROSSWALK_2: &str = "crosswalk-2.parquet";
const CROSSWALK_3: &str = "crosswalk-3.parquet";
const CONSENTS: &str = "consents-1.parquet";
const SEALED: &str = "sealed-1";
const OWNER: &str = "sealed-1.pub";

const RING_2: &str = "ring-2.age";
const RECOVERY_2: &str = "ring-2.recovery.age";
const KEEPER: &str = "ring-2.keeper";
const UNDER_IDENTITY: &str = "ring-2-identity.age";
const IDENTITY: &str = "ring-2.identity";
const UNDER_SSH_KEY: &str = "ring-2-ssh.age";
const TOKEN_RING: &str = "token-ring-1.json";
const TOKEN_KEY: &str = "token-ring-1.key";
const TOKEN_DOCUMENT: &[u8] = b"what a token's ring holds";
const PUBLIC: &str = "public-1";
const DAYS: &str = "day,holiday\n2026-03-01,true\n2026-03-02,false\n";

/// A data set that is sealed for nobody.
fn days() -> DatasetSpec {
    let columns = vec![column("day", "date", &[]), column("holiday", "bool", &[])];
    DatasetSpec {
        public: true,
        ..dataset("days", columns)
    }
}

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

fn scope() -> CrosswalkScope {
    CrosswalkScope {
        agreement_id: agreement_id(),
        epoch: EPOCH,
        id_kind: "email".parse().unwrap(),
        via: None,
    }
}

fn slot() -> MatchingSlot {
    MatchingSlot {
        agreement_id: agreement_id(),
        epoch: EPOCH,
        id_kind: "email".parse().unwrap(),
        method: "commutative".into(),
        reveals: "nothing".into(),
    }
}

fn people() -> Vec<(String, Pseudonym)> {
    let ids = ["a@x", "b@x"];
    ids.map(|id| (id.to_owned(), pseudonym(id).unwrap())).into()
}

fn consents() -> Consents {
    consents_of(|id| if id == "a@x" { &["ads", "safety"] } else { &[] })
}

fn consents_of(class: impl Fn(&str) -> &'static [&'static str]) -> Consents {
    let rows = people()
        .into_iter()
        .map(|(id, person)| (person, set(class(&id))));
    let dataset = "customers".parse().unwrap();
    Consents::new(agreement_id(), EPOCH, dataset, manifest_digest(), rows)
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_files() {
    let mut world = World::new();
    world.partitions = 1;
    world
        .ring
        .matching_secret_or_new(&slot(), &mut world.rng)
        .unwrap();
    world.ring.count_matching_runs(&slot(), 1).unwrap();
    world.consents = Some(consents_of(|_| &["ads", "measurement", "safety"]));
    world.seal_csv(&purchases(), CSV).unwrap();
    world.seal_csv(&days(), DAYS).unwrap();
    keep(&world.out("purchases"), SEALED);
    keep(&world.out("days"), PUBLIC);
    let key = world.signer.public();
    fs::write(golden(OWNER), format!("{key} shop\n")).unwrap();
    fs::copy(world.ring.path(), golden(RING)).unwrap();
    fs::write(golden(SEED), seed_digest(&world.ring) + "\n").unwrap();
    Crosswalk::new(scope(), people())
        .write(&golden(CROSSWALK))
        .unwrap();
    consents().write(&golden(CONSENTS)).unwrap();
}

/// What the ring's seed key gives, so that another reading of the same bytes is found.
fn seed_digest(ring: &KeyRing) -> String {
    hex::encode(ring.seed_key().derive("what this ring holds").expose())
}

/// Keeps a sealed data set's folder.
fn keep(sealed: &Path, as_name: &str) {
    let _ = fs::remove_dir_all(golden(as_name));
    let files = files_below(sealed).into_iter();
    for file in files.filter(|file| !file.ends_with("manifest.lock")) {
        let to = golden(as_name).join(file.strip_prefix(sealed).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
}

fn ring() -> KeyRing {
    KeyRing::open(&golden(RING), &passphrase()).unwrap()
}

#[test]
fn the_ring_of_version_1_opens() {
    let ring = ring();
    let secret = ring.matching_secret(&slot()).unwrap();
    assert_eq!(secret.runs(), 1);
    let dataset = "purchases".parse().unwrap();
    let slots = ring.purpose_slots(&agreement_id(), &dataset);
    let leaves: Vec<_> = slots
        .iter()
        .map(|slot| (slot.key_epoch, slot.purpose.as_str()))
        .collect();
    assert_eq!(leaves, [(1, "ads"), (1, "measurement")]);
    let expected = fs::read_to_string(golden(SEED)).unwrap();
    assert_eq!(seed_digest(&ring), expected.trim());
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_rings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring.age");
    fs::copy(golden(RING), &path).unwrap();
    let mut ring = KeyRing::open(&path, &passphrase()).unwrap();
    let keeper = SigningKey::generate(&mut rng(1));
    fs::write(golden(KEEPER), &*keeper.to_openssh("keeper").unwrap()).unwrap();
    ring.add_recovery(&keeper.public().to_string()).unwrap();
    fs::copy(&path, golden(RING_2)).unwrap();
    fs::copy(ring.recovery_file(), golden(RECOVERY_2)).unwrap();
    let mut kept = None;
    let file = TokenFile::seal([7; 16], TOKEN_DOCUMENT, &mut rng(2), |key, _| {
        kept = Some(hex::encode(key.expose()));
        Ok(vec![8; WRAPPED_BYTES])
    });
    fs::write(golden(TOKEN_RING), file.unwrap()).unwrap();
    fs::write(golden(TOKEN_KEY), kept.unwrap() + "\n").unwrap();
}

/// Version 2 and its recovery file hold what version 1 did, and who may recover it.
#[test]
fn the_ring_of_version_2_opens_and_is_recovered() {
    let before = ring();
    let ring = KeyRing::open(&golden(RING_2), &passphrase()).unwrap();
    let text = fs::read_to_string(golden(KEEPER)).unwrap();
    let keeper = SigningKey::from_openssh(&text, None).unwrap();
    assert_eq!(ring.recovery_recipients(), [keeper.public().to_string()]);
    let folder = tempfile::tempdir().unwrap();
    let (recovered, lost) = KeyRing::recover(
        &golden(RECOVERY_2),
        AgeFile::ssh_key(&keeper).unwrap(),
        &folder.path().join("ring.age"),
        Box::new(AgeFile::passphrase_with_work_factor(&passphrase(), 1).unwrap()),
    )
    .unwrap();
    assert!(lost.is_empty());
    for ring in [&ring, &recovered] {
        assert!(ring.all_purpose_slots().eq(before.all_purpose_slots()));
        assert_eq!(seed_digest(ring), seed_digest(&before));
        assert_eq!(ring.matching_secret(&slot()).unwrap().runs(), 1);
    }
}

/// The rings of version 2 that end in a check: under an identity and under the keeper's key.
fn checked_rings() -> [(&'static str, AgeFile); 2] {
    let identity = fs::read_to_string(golden(IDENTITY)).unwrap();
    let keeper = fs::read_to_string(golden(KEEPER)).unwrap();
    let keeper = SigningKey::from_openssh(&keeper, None).unwrap();
    [
        (UNDER_IDENTITY, AgeFile::identity(&identity).unwrap()),
        (UNDER_SSH_KEY, AgeFile::ssh_key(&keeper).unwrap()),
    ]
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_rings_with_a_check() {
    let identity = age::x25519::Identity::generate().to_string();
    fs::write(golden(IDENTITY), identity.expose_secret().to_owned() + "\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, lock) in checked_rings() {
        let path = folder.path().join(name);
        ring().copy_to(&path, Box::new(lock)).unwrap();
        fs::copy(&path, golden(name)).unwrap();
    }
}

#[test]
fn the_rings_of_version_2_with_a_check_open() {
    let before = ring();
    for (name, lock) in checked_rings() {
        let ring = KeyRing::open_in(&golden(name), Box::new(lock)).unwrap();
        assert!(ring.all_purpose_slots().eq(before.all_purpose_slots()));
        assert_eq!(seed_digest(&ring), seed_digest(&before));
    }
}

#[test]
fn the_token_ring_of_version_1_is_read() {
    let bytes = fs::read(golden(TOKEN_RING)).unwrap();
    let file = TokenFile::parse(&bytes).unwrap();
    assert_eq!((file.ring, file.key), ([7; 16], [8; WRAPPED_BYTES]));
    let key = hex::decode(fs::read_to_string(golden(TOKEN_KEY)).unwrap().trim()).unwrap();
    let key = DataKey::from_slice(&key).unwrap();
    assert_eq!(file.open(&key).unwrap().as_slice(), TOKEN_DOCUMENT);
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        ("incamera-token-ring/1", "incamera-token-ring/2"),
        ("\"ring\": \"0707", "\"ring\": \"07"),
        ("\"key\"", "\"other\""),
        ("{\n", "{\n  \"more\": 1,\n"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let error = TokenFile::parse(changed.as_bytes()).unwrap_err();
        let newer = matches!(&error, BackendError::Version { found } if found == to);
        assert_eq!(newer, to.ends_with("/2"), "{error}");
    }
    // The ring's name is bound to the document.
    let moved = text.replacen("\"ring\": \"0707", "\"ring\": \"0807", 1);
    let moved = TokenFile::parse(moved.as_bytes()).unwrap();
    assert!(matches!(moved.open(&key), Err(BackendError::Damaged)));
}

#[test]
fn the_crosswalk_of_version_1_is_read() {
    let crosswalk = Crosswalk::read(&golden(CROSSWALK)).unwrap();
    assert_eq!(crosswalk.scope(), &scope());
    let rows: Vec<_> = crosswalk
        .iter()
        .map(|(id, of)| (id.to_owned(), of))
        .collect();
    assert_eq!(rows, people());
}

fn columns_2() -> CrosswalkColumns {
    CrosswalkColumns {
        writing: IdWriting {
            rules: IdRules::Published,
            hashed: true,
            form: IdForm::Sha256,
            region: Some("DE".parse().unwrap()),
        },
        valid_until: true,
        matched: true,
        run: None,
    }
}

/// Id, days since 1970, whether the peer has it.
const ROWS_2: [(&str, Option<i32>, Option<bool>); 3] = [
    ("a@x", Some(20_780), Some(true)),
    ("b@x", None, Some(false)),
    ("c@x", Some(20_781), None),
];

/// Ids that got the pseudonyms that links lead to.
fn linked() -> CrosswalkScope {
    CrosswalkScope {
        via: Some("cookie".parse().unwrap()),
        ..scope()
    }
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_later_crosswalks() {
    for (name, scope) in [(CROSSWALK_2, scope()), (CROSSWALK_3, linked())] {
        let path = golden(name);
        let mut writer = CrosswalkWriter::create(&path, &scope, columns_2()).unwrap();
        for (id, day, matched) in ROWS_2 {
            let row = CrosswalkRow {
                id,
                pseudonym: pseudonym(id).unwrap(),
                valid_until: day.map(Date::from_days),
                matched,
            };
            writer.push(&row).unwrap();
        }
        writer.finish().unwrap();
    }
}

fn is_read(name: &str, scope: &CrosswalkScope) {
    let mut file = CrosswalkReader::open(&golden(name)).unwrap();
    assert_eq!((file.scope(), file.columns()), (scope, columns_2()));
    for (id, day, matched) in ROWS_2 {
        let row = file.next().unwrap().unwrap();
        let valid_until = row.valid_until.map(Date::days);
        assert_eq!((row.id, valid_until, row.matched), (id, day, matched));
        assert_eq!(row.pseudonym, pseudonym(id).unwrap());
    }
    assert!(file.next().unwrap().is_none());
    let whole = Crosswalk::read(&golden(name)).unwrap();
    assert_eq!((whole.len(), whole.writing()), (3, columns_2().writing));
    assert_eq!(whole.lookup("b@x"), pseudonym("b@x"));
}

#[test]
fn the_crosswalk_of_version_2_is_read() {
    is_read(CROSSWALK_2, &scope());
}

/// Its ids are of another kind than its pseudonyms, and its format says so: what knows no links
/// refuses it. What is left of it when people are forgotten is still that.
#[test]
fn the_crosswalk_of_version_3_is_read() {
    is_read(CROSSWALK_3, &linked());
    assert_eq!(linked().kind_of_ids().as_str(), "cookie");
    let bytes = fs::read(golden(CROSSWALK_3)).unwrap();
    let says = |text: &[u8]| bytes.windows(text.len()).any(|at| at == text);
    assert!(says(b"incamera-crosswalk/3") && !says(b"incamera-crosswalk/2"));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("crosswalk");
    fs::copy(golden(CROSSWALK_3), &copy).unwrap();
    let left = incamera_seal::keep_rows(&copy, &mut |id| id != "a@x").unwrap();
    let kept = CrosswalkReader::open(&copy).unwrap();
    assert_eq!((left, kept.scope()), (2, &linked()));
}

#[test]
fn the_consents_of_version_1_are_read() {
    let found = Consents::read(&golden(CONSENTS)).unwrap();
    assert_eq!(found.agreement_id(), &agreement_id());
    assert_eq!(
        (found.epoch(), found.dataset().as_str()),
        (EPOCH, "customers")
    );
    assert_eq!(found.register(), manifest_digest());
    assert_eq!(found.len(), 2);
    for (_, person) in people() {
        assert_eq!(found.class(&person), consents().class(&person));
    }
}

/// The manifest, its wraps, the AAD of wraps and pages, the commitments and the part.
#[test]
fn the_sealed_data_set_of_version_1_opens() {
    let folder = golden(SEALED);
    let owner: PublicKey = fs::read_to_string(golden(OWNER)).unwrap().parse().unwrap();
    let signed = read_manifest_file(&folder.join(MANIFEST_FILE)).unwrap();
    let manifest = open_manifest(&signed, &owner).unwrap();
    assert_eq!(
        (manifest.version(), manifest.dataset().as_str()),
        (1, "purchases")
    );
    assert_eq!(manifest.register(), Some(manifest_digest()));
    let (purpose, columns) = (purpose("measurement"), names(&["day", "amount"]));
    let keys = unwrap_keys(&manifest, &purpose, &columns, &ring()).unwrap();
    let keys = granted_parts(&manifest, &purpose, &columns, keys).unwrap();
    let [part] = manifest.parts() else {
        panic!("one part")
    };
    let path = part_path(&folder, &part.file_id);
    check_part_file(&path, &manifest, part).unwrap();
    let file = fs::File::open(path).unwrap();
    let keys = &keys[&part.file_id];
    let reader = read_part(file, &manifest, part, keys, &columns, 100).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let mut rows: Vec<(String, String)> = batches
        .iter()
        .flat_map(|batch| {
            column_texts(batch, 0)
                .into_iter()
                .zip(column_texts(batch, 1))
        })
        .collect();
    rows.sort();
    let expected = [
        ("2026-03-01", "10.50"),
        ("2026-03-02", "20.00"),
        ("2026-03-03", "30.00"),
    ];
    assert_eq!(
        rows,
        expected.map(|(day, amount)| (day.to_owned(), amount.to_owned()))
    );
}

#[test]
fn the_public_data_set_of_version_1_opens() {
    let folder = golden(PUBLIC);
    let owner: PublicKey = fs::read_to_string(golden(OWNER)).unwrap().parse().unwrap();
    let signed = read_manifest_file(&folder.join(MANIFEST_FILE)).unwrap();
    let manifest = open_manifest(&signed, &owner).unwrap();
    let [part] = manifest.parts() else {
        panic!("one part")
    };
    let path = part_path(&folder, &part.file_id);
    check_part_file(&path, &manifest, part).unwrap();
    let (file, columns) = (fs::File::open(path).unwrap(), names(&["holiday"]));
    let reader = read_public_part(file, &manifest, part, &columns, 100).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(column_texts(&batches[0], 0), ["true", "false"]);
}

#[test]
fn the_manifest_of_version_1_is_written_the_same_again() {
    let bytes = fs::read(golden(SEALED).join(MANIFEST_FILE)).unwrap();
    let signed: wire::Signed = decode(&bytes, bytes.len()).unwrap();
    assert_eq!(encode(&signed), bytes);
    let body: wire::Manifest = decode(&signed.body, bytes.len()).unwrap();
    assert_eq!(encode(&body), signed.body);
}

/// A file of a version that is not known yet says what it is and what would read it. (The
/// ring: `ring::an_unknown_version_is_refused`.)
#[test]
fn versions_to_come_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let refusals = [
        ("incamera-crosswalk/4", {
            newer(&path, "incamera-crosswalk/4");
            all_text(&Crosswalk::read(&path).unwrap_err())
        }),
        ("incamera-consents/2", {
            newer(&path, "incamera-consents/2");
            all_text(&Consents::read(&path).unwrap_err())
        }),
        ("incamera-manifest/2", {
            let signed = read_manifest_file(&golden(SEALED).join(MANIFEST_FILE)).unwrap();
            let signed = wire::Signed {
                format: "incamera-manifest/2".into(),
                ..signed
            };
            all_text(&incamera_seal::peek_manifest(&signed).unwrap_err())
        }),
    ];
    for (format, text) in refusals {
        assert!(text.contains(format), "{format}: {text}");
        assert!(
            text.contains("a newer version of incamera"),
            "{format}: {text}"
        );
    }
}

fn newer(path: &Path, format: &str) {
    let width = i32::try_from(Pseudonym::BYTES).unwrap();
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("pseudonym", DataType::FixedSizeBinary(width), false),
    ]);
    let person = pseudonym("a@x").unwrap();
    let pseudonyms = FixedSizeBinaryArray::try_from_iter([person.as_bytes()].into_iter()).unwrap();
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a@x"]));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![ids, Arc::new(pseudonyms)]).unwrap();
    let key = KeyValue::new("incamera.format".to_owned(), format.to_owned());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![key]));
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
