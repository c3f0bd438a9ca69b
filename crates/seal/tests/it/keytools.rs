//! Key metadata for other tools, and files that other tools encrypted. With the real PyArrow
//! it is tested beside the command.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_keys::aead;
use incamera_seal::{
    KeyReference, KeyRing, MANIFEST_FILE, MasterKeyId, NoKey, OwnDataset, OwnKeyError, OwnKeys,
    SealError, Source, SourceError, SourceKeyError, SourceWrap, WrapError, part_path, read_texts,
};
use incamera_types::{AgreementDigest, AgreementId, DatasetName, DatasetSpec, UnixTime};
use parquet::arrow::ArrowWriter;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::WriterProperties;
use rand_core::Rng as _;
use serde_json::{Value, json};

use crate::world::{
    CUSTOMERS_CSV, EPOCH, PURCHASES_CSV, World, agreement_id, column, column_texts, customers,
    dataset, name, passphrase, purchases, purpose, set,
};

/// 1 March 2026, 12:00.
const NOW: UnixTime = UnixTime(1_772_366_400);

fn other_agreement() -> AgreementId {
    AgreementDigest::of_file(b"another agreement").into()
}

/// The owner's keys for a purpose, as the endpoint has them.
fn own_keys(world: &World, to: &str) -> OwnKeys {
    let own = |spec: DatasetSpec, register: Option<&str>| {
        let own = OwnDataset {
            folder: world.out(spec.name.as_str()),
            register: register.map(|name| name.parse().unwrap()),
            spec,
        };
        (own.spec.name.clone(), own)
    };
    OwnKeys {
        ring: KeyRing::open(world.ring.path(), &passphrase()).unwrap(),
        agreement_id: agreement_id(),
        matching_epoch: EPOCH,
        partitions: world.partitions,
        purpose: purpose(to),
        owner: world.signer.public(),
        datasets: [own(customers(), None), own(purchases(), Some("customers"))].into(),
    }
}

/// Where the key of a column of the first part that opens for `to` is found.
fn reference(world: &World, to: &str, of: Option<&str>) -> KeyReference {
    let manifest = world.manifest("purchases");
    let mut parts = manifest.parts().iter();
    let part = parts.find(|part| part.opens_for(&purpose(to))).unwrap();
    KeyReference {
        agreement_id: agreement_id(),
        dataset: "purchases".parse().unwrap(),
        file_id: part.file_id,
        column: of.map(name),
    }
}

#[test]
fn i3_a_reference_leads_to_the_wraps_of_one_purpose() {
    let world = World::sealed();
    let mut ads = own_keys(&world, "ads");
    let mut measurement = own_keys(&world, "measurement");
    for of in [None, Some("person"), Some("category")] {
        assert!(
            ads.open(&reference(&world, "ads", of), NOW).is_ok(),
            "{of:?}"
        );
    }
    // `amount` serves measurement alone.
    let amount = |to| reference(&world, to, Some("amount"));
    assert!(measurement.open(&amount("measurement"), NOW).is_ok());
    let refused = ads.open(&amount("ads"), NOW).unwrap_err();
    assert!(matches!(
        refused,
        OwnKeyError::NoKey(NoKey::NotWrapped { .. })
    ));
    assert!(refused.is_refusal());
    // Parts of people who agreed to measurement alone open for it alone, the footer too.
    let manifest = world.manifest("purchases");
    let mut parts = manifest.parts().iter();
    let part = parts
        .find(|part| part.class == set(&["measurement"]))
        .unwrap();
    for of in [None, Some("category")] {
        let one = KeyReference {
            file_id: part.file_id,
            ..reference(&world, "measurement", of)
        };
        assert!(measurement.open(&one, NOW).is_ok());
        let refused = ads.open(&one, NOW).unwrap_err();
        assert!(
            matches!(refused, OwnKeyError::NotForPurpose { .. }),
            "{refused}"
        );
    }
    let mut safety = own_keys(&world, "safety");
    let refused = safety.open(&amount("measurement"), NOW).unwrap_err();
    assert!(refused.is_refusal(), "{refused}");
}

#[test]
fn only_the_newest_manifest_counts() {
    let mut world = World::sealed();
    let mut keys = own_keys(&world, "measurement");
    let old = reference(&world, "measurement", Some("amount"));
    assert!(keys.open(&old, NOW).is_ok());
    let kept = std::fs::read(world.out("purchases").join(MANIFEST_FILE)).unwrap();
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let refused = keys.open(&old, NOW).unwrap_err();
    assert!(matches!(refused, OwnKeyError::Replaced { .. }), "{refused}");
    assert!(
        keys.open(&reference(&world, "measurement", Some("amount")), NOW)
            .is_ok()
    );
    // The consents that it was sealed by are not the newest any more.
    world.seal_csv(&customers(), CUSTOMERS_CSV).unwrap();
    let refused = keys.open(&reference(&world, "measurement", Some("amount")), NOW);
    assert!(matches!(refused, Err(OwnKeyError::OldConsents { .. })));
    // Another's signature, another data set's manifest, none.
    let path = world.out("purchases").join(MANIFEST_FILE);
    let mut forged = kept.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    std::fs::write(&path, forged).unwrap();
    for bytes in [None, Some(world.out("customers").join(MANIFEST_FILE))] {
        if let Some(other) = bytes {
            std::fs::copy(other, &path).unwrap();
        }
        let refused = keys.open(&old, NOW).unwrap_err();
        assert!(matches!(refused, OwnKeyError::Manifest { .. }), "{refused}");
        assert!(!refused.is_refusal());
    }
    let elsewhere = KeyReference {
        agreement_id: other_agreement(),
        ..old.clone()
    };
    assert!(matches!(
        keys.open(&elsewhere, NOW),
        Err(OwnKeyError::OtherAgreement)
    ));
    let other = KeyReference {
        dataset: "mailing".parse().unwrap(),
        ..old
    };
    assert!(matches!(
        keys.open(&other, NOW),
        Err(OwnKeyError::NoDataset(_))
    ));
}

/// The purchases as the endpoint has them, changed as a newer version of the agreement may.
fn under(world: &World, change: impl FnOnce(&mut OwnKeys, &DatasetName)) -> OwnKeys {
    let mut keys = own_keys(world, "ads");
    change(&mut keys, &"purchases".parse().unwrap());
    keys
}

/// What the endpoint gives is what the newest agreement leaves, not what was sealed before it.
#[test]
fn i3_the_endpoint_keeps_to_the_newest_agreement() {
    let world = World::sealed();
    let one = reference(&world, "ads", Some("category"));
    let mut same = under(&world, |_, _| ());
    assert!(same.open(&one, NOW).is_ok());
    let mut less = under(&world, |keys, purchases| {
        let columns = &mut keys.datasets.get_mut(purchases).unwrap().spec.columns;
        let category = columns.iter_mut().find(|one| one.name == name("category"));
        category.unwrap().purposes = set(&["measurement"]);
    });
    let mut epoch = under(&world, |keys, _| keys.matching_epoch.0 += 1);
    for keys in [&mut less, &mut epoch] {
        let refused = keys.open(&one, NOW).unwrap_err();
        assert!(matches!(refused, OwnKeyError::Unfit { .. }), "{refused}");
        assert!(refused.is_refusal());
    }
}

#[test]
fn past_its_last_day_the_endpoint_gives_no_key() {
    let world = World::sealed();
    let one = reference(&world, "ads", Some("category"));
    let mut keys = under(&world, |keys, name| {
        let own = keys.datasets.get_mut(name).unwrap();
        own.spec.keep_until = Some("2026-03-01".parse().unwrap());
    });
    assert!(keys.open(&one, NOW).is_ok());
    let refused = keys.open(&one, UnixTime(NOW.0 + 86_400)).unwrap_err();
    assert!(matches!(refused, OwnKeyError::NotKept { .. }), "{refused}");
    assert!(refused.is_refusal());
}

/// Sealed for everybody before the agreement had a register, data follow nobody's consents.
#[test]
fn i3_data_sealed_before_there_was_a_register_give_no_key() {
    let mut world = World::sealed();
    world.consents = None;
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    assert!(world.manifest("purchases").register().is_none());
    let one = reference(&world, "ads", Some("category"));
    let mut before = under(&world, |keys, name| {
        keys.datasets.get_mut(name).unwrap().register = None;
    });
    assert!(before.open(&one, NOW).is_ok());
    let refused = own_keys(&world, "ads").open(&one, NOW).unwrap_err();
    let old = matches!(refused, OwnKeyError::OldConsents { .. });
    assert!(old, "{refused}");
}

#[test]
fn a_destroyed_purpose_ends_at_the_endpoint_and_leaves_sources() {
    let mut world = World::sealed();
    let mut keys = own_keys(&world, "ads");
    let one = reference(&world, "ads", Some("category"));
    assert!(keys.open(&one, NOW).is_ok());
    let master: MasterKeyId = "purchases".parse().unwrap();
    let wrap = keys.wrap(&master, &[7; 16], &mut world.rng).unwrap();
    world.ring.destroy_purpose_keys(|_| true).unwrap();
    let refused = keys.open(&one, NOW).unwrap_err();
    assert!(matches!(
        refused,
        OwnKeyError::NoKey(NoKey::NoPurposeKey { .. })
    ));
    world.ring.refresh().unwrap();
    let opened = wrap
        .open(&world.ring, &agreement_id(), "purchases")
        .unwrap();
    assert_eq!(*opened, [7; 16]);
    let dataset = "purchases".parse().unwrap();
    assert!(
        world
            .ring
            .purpose_slots(&agreement_id(), &dataset)
            .is_empty()
    );
}

/// A program that encrypts Parquet files and keeps its keys with the ring.
struct Tool<'a> {
    world: &'a mut World,
    master: &'static str,
    double: bool,
    bytes: usize,
    footer_in_clear: bool,
    columns: &'static [&'static str],
}

impl<'a> Tool<'a> {
    fn new(world: &'a mut World) -> Self {
        Self {
            world,
            master: "one",
            double: false,
            bytes: 16,
            footer_in_clear: false,
            columns: &["email", "c"],
        }
    }

    fn wrapped(&mut self, key: &[u8]) -> String {
        let master: MasterKeyId = self.master.parse().unwrap();
        let (ring, rng) = (&mut self.world.ring, &mut self.world.rng);
        SourceWrap::make(ring, &agreement_id(), &master, key, rng)
            .unwrap()
            .to_base64()
    }

    /// A key and what the file says of it.
    fn key(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut key = vec![0; self.bytes];
        self.world.rng.fill_bytes(&mut key);
        let mut material = json!({
            "keyMaterialType": "PKMT1", "internalStorage": true, "masterKeyID": self.master,
            "doubleWrapping": self.double,
        });
        if self.double {
            let (between, id) = ([9; 32], [1, 2, 3]);
            let inner = incamera_keys::DataKey::from_bytes(between);
            let sealed = aead::seal(&inner, &id, &key, &mut self.world.rng);
            material["keyEncryptionKeyID"] = json!(STANDARD.encode(id));
            material["wrappedKEK"] = json!(self.wrapped(&between));
            material["wrappedDEK"] = json!(STANDARD.encode(sealed));
        } else {
            material["wrappedDEK"] = json!(self.wrapped(&key));
        }
        (key, material.to_string().into_bytes())
    }

    fn write(mut self, change: impl Fn(&mut Value)) -> PathBuf {
        let changed = |metadata: Vec<u8>| {
            let mut value = serde_json::from_slice(&metadata).unwrap();
            change(&mut value);
            value.to_string().into_bytes()
        };
        let (key, metadata) = self.key();
        let mut encryption = FileEncryptionProperties::builder(key)
            .with_footer_key_metadata(changed(metadata))
            .with_plaintext_footer(self.footer_in_clear);
        for column in self.columns {
            let (key, metadata) = self.key();
            encryption = encryption.with_column_key_and_metadata(column, key, changed(metadata));
        }
        let path = self.world.folder.path().join("source.parquet");
        write(&path, encryption);
        path
    }
}

fn write(path: &Path, encryption: parquet::encryption::encrypt::EncryptionPropertiesBuilder) {
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a@x", "b@x", "c@x"]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![11, 12, 13]));
    let batch = RecordBatch::try_from_iter([("email", ids), ("c", numbers)]).unwrap();
    let properties = WriterProperties::builder()
        .with_file_encryption_properties(encryption.build().unwrap())
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn spec() -> DatasetSpec {
    let person = column("person", "pseudonym", &[]);
    dataset("one", vec![person, column("c", "int", &["ads"])])
}

fn unlocked(world: &World, path: &Path) -> Result<Source, SourceError> {
    let one = "one".parse().unwrap();
    Source::of(path)
        .unwrap()
        .unlock(&world.ring, &agreement_id(), Some(&one))
}

fn why(error: SourceError) -> SourceKeyError {
    match error {
        SourceError::Encrypted { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[test]
fn encrypted_sources_are_sealed() {
    for (double, bytes, footer_in_clear, columns) in [
        (false, 16, false, ["email", "c"].as_slice()),
        (false, 32, true, &["email", "c"]),
        (true, 16, true, &["c"]),
        (true, 32, false, &["c"]),
        (false, 32, false, &[]),
    ] {
        let mut world = World::new();
        world.partitions = 1;
        let path = Tool {
            double,
            bytes,
            footer_in_clear,
            columns,
            ..Tool::new(&mut world)
        }
        .write(|_| ());
        // Without its keys it is no file that can be read, and is said to be encrypted.
        let locked = world.seal(&spec(), &Source::of(&path).unwrap());
        let Err(SealError::Source(error)) = locked else {
            panic!("sealed without keys");
        };
        assert!(matches!(why(error), SourceKeyError::Locked));
        let source = unlocked(&world, &path).unwrap();
        world.seal(&spec(), &source).unwrap();
        let [(_, batch)] = &world.read("one", "ads", &["c"])[..] else {
            panic!("one part");
        };
        let mut values = column_texts(batch, 0);
        values.sort();
        assert_eq!(values, ["11", "12", "13"]);
        let mut ids = Vec::new();
        read_texts(&source, "email", &mut |id| ids.push(id.to_owned())).unwrap();
        assert_eq!(ids, ["a@x", "b@x", "c@x"]);
    }
}

#[test]
fn keys_that_are_not_there_are_told_apart() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut world = World::new();
        let path = Tool::new(&mut world).write(change);
        why(unlocked(&world, &path).unwrap_err())
    };
    let foreign = refused(&|material| material["wrappedDEK"] = json!(STANDARD.encode([7; 60])));
    assert!(matches!(foreign, SourceKeyError::Foreign));
    let moved = refused(&|material| material["masterKeyID"] = json!("one/other"));
    assert!(matches!(moved, SourceKeyError::Wrap(WrapError::Changed)));
    let outside = refused(&|material| material["internalStorage"] = json!(false));
    assert!(matches!(outside, SourceKeyError::Material(_)));

    let mut world = World::new();
    let tool = Tool {
        master: "two/c",
        ..Tool::new(&mut world)
    };
    let path = tool.write(|_| ());
    let other = why(unlocked(&world, &path).unwrap_err());
    assert!(matches!(other, SourceKeyError::OtherDataset { .. }));
    // Ids are matched before a data set is named.
    let any = Source::of(&path).unwrap();
    assert!(any.unlock(&world.ring, &agreement_id(), None).is_ok());
    let under = Source::of(&path).unwrap();
    let under = under.unlock(&world.ring, &other_agreement(), None);
    let under = why(under.unwrap_err());
    assert!(matches!(
        under,
        SourceKeyError::Wrap(WrapError::OtherAgreement)
    ));
    let stranger = World::new();
    let any = Source::of(&path).unwrap();
    let theirs = any.unlock(&stranger.ring, &agreement_id(), None);
    assert!(matches!(
        why(theirs.unwrap_err()),
        SourceKeyError::Wrap(WrapError::NoKey(_))
    ));
}

#[test]
fn a_sealed_part_is_no_source_and_a_plain_file_needs_no_keys() {
    let mut world = World::sealed();
    let manifest = world.manifest("purchases");
    let part = part_path(&world.out("purchases"), &manifest.parts()[0].file_id);
    let path = world.file("part.parquet", std::fs::read(part).unwrap());
    assert!(matches!(
        why(unlocked(&world, &path).unwrap_err()),
        SourceKeyError::Sealed
    ));
    let key = [7; 16].to_vec();
    write(&path, FileEncryptionProperties::builder(key));
    let unsaid = why(unlocked(&world, &path).unwrap_err());
    assert!(matches!(unsaid, SourceKeyError::Material(_)));
    let csv = world.file("a.csv", "email,c\na@x,1\n");
    assert_eq!(unlocked(&world, &csv).unwrap(), Source::of(&csv).unwrap());
    let damaged = world.file("damaged.parquet", "PAR1");
    let damaged = unlocked(&world, &damaged).unwrap();
    let Err(SealError::Source(error)) = world.seal(&spec(), &damaged) else {
        panic!("sealed");
    };
    assert!(matches!(error, SourceError::NotParquet { .. }));
}
