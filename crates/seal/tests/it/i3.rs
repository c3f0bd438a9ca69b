//! I3: there is no key for a purpose that the column does not serve, or its people refused.

use std::fs;

use incamera_keys::DataKey;
use incamera_seal::{
    GrantedKey, KeyMismatch, NoKey, PartKeys, granted_parts, read_part, unwrap_keys,
};
use incamera_types::{ColumnType, PurposeSet};
use incamera_wire::v1 as wire;

use crate::world::{self, World, contains, files_below, name, names, purpose, set};

fn wraps<'a>(part: &'a wire::Part, column: &str) -> &'a wire::DataKey {
    part.keys.iter().find(|key| key.column == column).unwrap()
}

fn wraps_mut<'a>(part: &'a mut wire::Part, column: &str) -> &'a mut wire::DataKey {
    part.keys
        .iter_mut()
        .find(|key| key.column == column)
        .unwrap()
}

/// A part of the class that has everything.
fn full(manifest: &wire::Manifest) -> usize {
    manifest
        .parts
        .iter()
        .position(|part| part.class.len() == 3)
        .unwrap()
}

#[test]
fn i3_a_purpose_key_opens_no_column_of_another_purpose() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let error =
        unwrap_keys(&manifest, &purpose("ads"), &names(&["amount"]), &world.ring).unwrap_err();
    assert!(matches!(&error, NoKey::NotWrapped { column, .. } if column == &name("amount")));
    // The purpose that the column is for opens it.
    assert!(
        unwrap_keys(
            &manifest,
            &purpose("measurement"),
            &names(&["amount"]),
            &world.ring
        )
        .is_ok()
    );
    // A purpose that no column serves has no wrap at all.
    let error = unwrap_keys(
        &manifest,
        &purpose("safety"),
        &names(&["person"]),
        &world.ring,
    )
    .unwrap_err();
    assert!(matches!(error, NoKey::NotWrapped { .. }));
}

#[test]
fn i3_wraps_are_exactly_those_of_column_and_class() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    assert_eq!(
        manifest.parts().len(),
        3,
        "one person a class, each in one partition"
    );
    for part in manifest.parts() {
        for column in manifest.columns() {
            let own = column.purposes.intersection(&part.class);
            let expected = match column.ty {
                ColumnType::Pseudonym => set(&["ads", "measurement"]).intersection(&part.class),
                _ => own,
            };
            let found: PurposeSet = match part.key(Some(&column.name)) {
                Some(key) => key.wraps.iter().map(|wrap| wrap.purpose.clone()).collect(),
                None => PurposeSet::default(),
            };
            assert_eq!(found, expected, "{} of [{}]", column.name, part.class);
        }
    }
}

#[test]
fn i3_a_persons_class_decides_what_opens() {
    let world = World::sealed();
    // measured@x and all@x agreed to measurement; nobody else.
    assert_eq!(
        world.texts("purchases", "measurement", "amount"),
        ["10.50", "20.00", "40.00"]
    );
    assert_eq!(
        world.texts("purchases", "ads", "category"),
        ["food", "home", "toys"]
    );
    assert_eq!(world.texts("customers", "measurement", "person").len(), 2);
    assert_eq!(world.texts("customers", "ads", "person").len(), 2);
}

#[test]
fn i3_a_column_that_a_class_cannot_open_is_not_in_its_files() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let ads_only = manifest
        .parts()
        .iter()
        .find(|part| part.class == set(&["ads"]))
        .unwrap();
    assert!(ads_only.key(Some(&name("amount"))).is_none());
    let schema = manifest.part_schema(ads_only);
    let stored: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(stored, ["person", "category"]);
    let keys = world.keys(&manifest, "ads", &["person"]);
    let file = world.part_file(&manifest, ads_only);
    let keys = &keys[&ads_only.file_id];
    assert!(read_part(file, &manifest, ads_only, keys, &names(&["person"]), 10).is_ok());
}

#[test]
fn i3_without_consent_rows_are_not_sealed() {
    let mut world = World::sealed();
    let report = world
        .seal_csv(&world::purchases(), world::PURCHASES_CSV)
        .unwrap();
    // safe@x agreed only to what no column serves, none@x to nothing, stranger@x is not asked.
    assert_eq!((report.rows, report.sealed), (8, 4));
    assert_eq!((report.without_consent, report.without_pseudonym), (3, 1));
}

#[test]
fn i3_a_person_with_two_answers_has_given_what_both_allow() {
    let mut world = World::new();
    let csv = "email,consent\na@x,ads;measurement\na@x,measurement;safety\nb@x,ads\nb@x,safety\n";
    let report = world.seal_csv(&world::customers(), csv).unwrap();
    let consents = report.consents.unwrap();
    let class = |id| consents.class(&world::pseudonym(id).unwrap()).cloned();
    assert_eq!(class("a@x"), Some(set(&["measurement"])));
    assert_eq!(class("b@x"), Some(set(&[])));
    assert_eq!(report.without_consent, 2);
    assert_eq!(world.manifest("customers").parts().len(), 1);
}

#[test]
fn i3_no_value_stands_in_clear_in_a_sealed_file() {
    let mark = "MARKEDVALUEMARKEDVALUE";
    let mut world = World::new();
    let csv =
        format!("email,day,amount,category\na@x,2026-03-01,1,{mark}\nb@x,2026-03-01,1,{mark}\n");
    let report = world.seal_csv(&world::purchases(), &csv).unwrap();
    assert_eq!(report.sealed, 2);
    let person = world::pseudonym("a@x").unwrap();
    let files = files_below(&world.out("purchases"));
    assert!(files.len() >= 2);
    for file in &files {
        let bytes = fs::read(file).unwrap();
        assert!(!contains(&bytes, mark.as_bytes()), "{}", file.display());
        assert!(!contains(&bytes, person.as_bytes()), "{}", file.display());
        assert!(!contains(&bytes, b"a@x"), "{}", file.display());
        if file.extension().is_some_and(|ending| ending == "parquet") {
            assert!(bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"));
        }
    }
    // The search would find it: a public data set is written in clear.
    let mut public = world::dataset("open", vec![world::column("category", "text", &[])]);
    public.public = true;
    world
        .seal_csv(&public, format!("category\n{mark}\n"))
        .unwrap();
    let found = files_below(&world.out("open"))
        .iter()
        .any(|file| contains(&fs::read(file).unwrap(), mark.as_bytes()));
    assert!(found, "the control must be found");
}

#[test]
fn i3_without_keys_nothing_opens() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    for part in manifest.parts() {
        let file = world.part_file(&manifest, part);
        assert!(ParquetRecordBatchReaderBuilder::try_new(file).is_err());
    }
}

#[test]
fn i3_a_key_of_one_column_opens_no_other() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let keys = world.keys(&manifest, "measurement", &["category"]);
    let part = manifest.part(keys.keys().next().unwrap()).unwrap();
    let open = |column: &str| {
        let file = world.part_file(&manifest, part);
        read_part(
            file,
            &manifest,
            part,
            &keys[&part.file_id],
            &names(&[column]),
            10,
        )
    };
    assert!(open("category").is_ok());
    assert!(open("amount").is_err());
    assert!(open("person").is_err());
    assert!(open("unknown").is_err());
}

#[test]
fn i3_the_footer_key_counts_no_rows() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let keys = world.keys(&manifest, "measurement", &[]);
    let part = manifest.part(keys.keys().next().unwrap()).unwrap();
    let file = world.part_file(&manifest, part);
    assert!(read_part(file, &manifest, part, &keys[&part.file_id], &[], 10).is_err());
}

type Change = fn(&mut wire::Manifest);

#[test]
fn i3_moved_wraps_open_nothing() {
    let world = World::sealed();
    let moves: [(&str, &str, Change); 6] = [
        ("to another purpose of the same key", "ads", |manifest| {
            let at = full(manifest);
            let key = wraps_mut(&mut manifest.parts[at], "category");
            key.wraps[0].wrapped = key.wraps[1].wrapped.clone();
        }),
        ("to a column of the same part", "measurement", |manifest| {
            let at = full(manifest);
            let amount = wraps(&manifest.parts[at], "amount").wraps[0]
                .wrapped
                .clone();
            wraps_mut(&mut manifest.parts[at], "category").wraps[1].wrapped = amount;
        }),
        (
            "to a column, with its commitment",
            "measurement",
            |manifest| {
                let at = full(manifest);
                let amount = wraps(&manifest.parts[at], "amount").clone();
                let category = wraps_mut(&mut manifest.parts[at], "category");
                category.wraps[1].wrapped = amount.wraps[0].wrapped.clone();
                category.commitment = amount.commitment;
            },
        ),
        ("to another class's part", "measurement", |manifest| {
            let from = manifest
                .parts
                .iter()
                .position(|part| part.class == ["measurement"])
                .unwrap();
            let key = wraps(&manifest.parts[from], "category").clone();
            let at = full(manifest);
            let to = wraps_mut(&mut manifest.parts[at], "category");
            to.wraps[1].wrapped = key.wraps[0].wrapped.clone();
            to.commitment = key.commitment;
        }),
        ("with another file id", "measurement", |manifest| {
            let at = full(manifest);
            manifest.parts[at].file_id = vec![9; 16];
        }),
        (
            "into a manifest that widens the column",
            "ads",
            |manifest| {
                let amount = manifest
                    .columns
                    .iter_mut()
                    .find(|column| column.name == "amount")
                    .unwrap();
                amount.purposes = vec!["ads".to_owned(), "measurement".to_owned()];
                manifest.parts.retain(|part| part.class.len() == 3);
                let amount = wraps_mut(&mut manifest.parts[0], "amount");
                let wrapped = amount.wraps[0].wrapped.clone();
                amount.wraps.insert(
                    0,
                    wire::Wrap {
                        purpose: "ads".to_owned(),
                        wrapped,
                    },
                );
            },
        ),
    ];
    for (what, under, change) in moves {
        let manifest = world.resigned("purchases", change);
        let columns = match what {
            "into a manifest that widens the column" => ["amount"],
            _ => ["category"],
        };
        let error =
            unwrap_keys(&manifest, &purpose(under), &names(&columns), &world.ring).unwrap_err();
        assert!(matches!(error, NoKey::Tampered { .. }), "{what}: {error}");
    }
}

#[test]
fn i3_wraps_of_another_data_set_or_epoch_open_nothing() {
    let world = World::sealed();
    let measurement = purpose("measurement");
    let renamed = world.resigned("purchases", |manifest| {
        manifest.dataset = "customers".to_owned()
    });
    let error = unwrap_keys(&renamed, &measurement, &names(&["amount"]), &world.ring).unwrap_err();
    assert!(matches!(error, NoKey::Tampered { .. }), "{error}");
    let later = world.resigned("purchases", |manifest| manifest.key_epoch = 2);
    let error = unwrap_keys(&later, &measurement, &names(&["amount"]), &world.ring).unwrap_err();
    assert!(
        matches!(error, NoKey::NoPurposeKey { key_epoch: 2, .. }),
        "{error}"
    );
}

#[test]
fn i3_a_changed_class_opens_no_page() {
    let world = World::sealed();
    let manifest = world.manifest("customers");
    let part = manifest
        .parts()
        .iter()
        .find(|part| part.class == set(&["measurement"]))
        .unwrap();
    // The owner's manifest says another class of the same wraps: the AAD prefix is another.
    let id = part.file_id.as_bytes().to_vec();
    let other = world.resigned("customers", |manifest| {
        let part = manifest
            .parts
            .iter_mut()
            .find(|part| part.file_id == id)
            .unwrap();
        part.class = vec!["measurement".to_owned(), "safety".to_owned()];
    });
    let keys = world.keys(&other, "measurement", &["person"]);
    let changed = other.part(&part.file_id).unwrap();
    let file = world.part_file(&manifest, part);
    let columns = names(&["person"]);
    assert!(read_part(file, &other, changed, &keys[&part.file_id], &columns, 10).is_err());
}

#[test]
fn the_room_takes_exactly_the_keys_that_the_manifest_names() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let (measurement, columns) = (purpose("measurement"), names(&["person", "amount"]));
    let keys = || unwrap_keys(&manifest, &measurement, &columns, &world.ring).unwrap();
    let check = |keys: Vec<GrantedKey>| granted_parts(&manifest, &measurement, &columns, keys);
    assert_eq!(check(keys()).unwrap().len(), 2);

    for missing in 0..keys().len() {
        let mut keys = keys();
        keys.remove(missing);
        assert_eq!(check(keys).unwrap_err(), KeyMismatch);
    }
    let mut twice = keys();
    twice.extend(keys().into_iter().take(1));
    assert_eq!(check(twice).unwrap_err(), KeyMismatch);
    let mut wrong = keys();
    wrong[1].key = DataKey::from_bytes([0; 32]);
    assert_eq!(check(wrong).unwrap_err(), KeyMismatch);
    let mut extra = keys();
    extra.extend(
        unwrap_keys(&manifest, &measurement, &names(&["day"]), &world.ring)
            .unwrap()
            .into_iter()
            .filter(|key| key.column.is_some()),
    );
    assert_eq!(check(extra).unwrap_err(), KeyMismatch);
    let mut swapped = keys();
    let file_id = swapped[0].file_id;
    for key in &mut swapped {
        key.file_id = file_id;
    }
    assert_eq!(check(swapped).unwrap_err(), KeyMismatch);
}

#[test]
fn key_holders_print_no_keys() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let columns = names(&["amount"]);
    let granted = unwrap_keys(&manifest, &purpose("measurement"), &columns, &world.ring).unwrap();
    let (key, file_id) = (*granted[0].key.expose(), granted[0].file_id);
    let printed = format!("{granted:?}");
    let of_part = granted
        .into_iter()
        .filter(|granted| granted.file_id == file_id);
    let keys = PartKeys::check(manifest.part(&file_id).unwrap(), of_part).unwrap();
    let printed = [printed, format!("{keys:?}"), format!("{:?}", world.ring)];
    let forms = [
        hex::encode(key),
        format!("{key:?}"),
        format!("{}, {}", key[0], key[1]),
    ];
    for text in printed {
        assert!(forms.iter().all(|form| !text.contains(form)), "{text}");
    }
}
