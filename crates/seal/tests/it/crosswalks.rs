//! Crosswalks row by row.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use incamera_seal::{
    Crosswalk, CrosswalkColumns, CrosswalkReader, CrosswalkRow, CrosswalkScope, CrosswalkWriter,
    LocalFileError, keep_rows,
};
use incamera_types::{
    Date, Digest as _, IdForm, IdRules, IdWriting, MatchRunDigest, MatchingEpoch, Pseudonym,
};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::world::agreement_id;

/// Pseudonym, day, matched.
type Rest = (Pseudonym, Option<Date>, Option<bool>);

fn scope() -> CrosswalkScope {
    CrosswalkScope {
        agreement_id: agreement_id(),
        epoch: MatchingEpoch(3),
        id_kind: "email".parse().unwrap(),
        via: None,
    }
}

fn of(n: u64) -> Pseudonym {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    Pseudonym::from_bytes(bytes)
}

fn row(id: &str, rest: Rest) -> CrosswalkRow<'_> {
    let (pseudonym, valid_until, matched) = rest;
    CrosswalkRow {
        id,
        pseudonym,
        valid_until,
        matched,
    }
}

fn plain(id: &str) -> CrosswalkRow<'_> {
    row(id, (of(1), None, None))
}

fn write(
    path: &Path,
    columns: CrosswalkColumns,
    rows: &BTreeMap<String, Rest>,
) -> Result<(), LocalFileError> {
    let mut writer = CrosswalkWriter::create(path, &scope(), columns)?;
    for (id, rest) in rows {
        writer.push(&row(id, *rest))?;
    }
    writer.finish()
}

fn read(path: &Path) -> Result<BTreeMap<String, Rest>, LocalFileError> {
    let mut reader = CrosswalkReader::open(path)?;
    let mut rows = BTreeMap::new();
    while let Some(row) = reader.next()? {
        let rest = (row.pseudonym, row.valid_until, row.matched);
        assert!(rows.insert(row.id.to_owned(), rest).is_none());
    }
    assert!(reader.next()?.is_none());
    Ok(rows)
}

fn format(path: &Path) -> String {
    let file = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let pairs = file.metadata().file_metadata().key_value_metadata();
    let mut pairs = pairs.unwrap().iter();
    let format = pairs.find(|pair| pair.key == "incamera.format").unwrap();
    format.value.clone().unwrap()
}

fn writings() -> impl Strategy<Value = IdWriting> {
    let region = prop::option::of("[A-Z]{2}".prop_map(|text| text.parse().unwrap()));
    (any::<bool>(), any::<bool>(), any::<bool>(), region).prop_map(
        |(published, hashed, given_hashed, region)| IdWriting {
            rules: if published {
                IdRules::Published
            } else {
                IdRules::First
            },
            hashed,
            form: if given_hashed {
                IdForm::Sha256
            } else {
                IdForm::Raw
            },
            region,
        },
    )
}

fn columns() -> impl Strategy<Value = CrosswalkColumns> {
    let plain = Just(CrosswalkColumns::default());
    let run = proptest::option::of(any::<[u8; 32]>().prop_map(MatchRunDigest::from_bytes));
    let more = (writings(), any::<bool>(), any::<bool>(), run);
    let more = more.prop_map(|(writing, valid_until, matched, run)| CrosswalkColumns {
        writing,
        valid_until,
        matched,
        run,
    });
    prop_oneof![1 => plain, 3 => more]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_crosswalk_reads_back_row_by_row(
        rows in prop::collection::btree_map("\\PC{0,12}", (any::<u64>(), prop::option::of(-9_i32..9), prop::option::of(any::<bool>())), 0..60),
        columns in columns(),
    ) {
        let rest = |(n, day, matched): (u64, Option<i32>, Option<bool>)| {
            let day = day.filter(|_| columns.valid_until);
            (of(n), day.map(Date::from_days), matched.filter(|_| columns.matched))
        };
        let rows: BTreeMap<String, Rest> = rows.into_iter().map(|(id, values)| (id, rest(values))).collect();
        let folder = tempdir().unwrap();
        let path = folder.path().join("crosswalk");
        write(&path, columns, &rows).unwrap();
        prop_assert_eq!(read(&path).unwrap(), rows.clone());
        let reader = CrosswalkReader::open(&path).unwrap();
        prop_assert_eq!((reader.scope(), reader.columns()), (&scope(), columns));

        // What sealing looks ids up in reads both versions.
        let whole = Crosswalk::read(&path).unwrap();
        prop_assert_eq!((whole.len(), whole.scope(), whole.writing()), (rows.len(), &scope(), columns.writing));
        prop_assert!(rows.iter().all(|(id, rest)| whole.lookup(id) == Some(rest.0)));
        let version = if columns == CrosswalkColumns::default() { 1 } else { 2 };
        prop_assert_eq!(format(&path), format!("incamera-crosswalk/{version}"));

        // The same rows are the same bytes.
        let again = folder.path().join("again");
        write(&again, columns, &rows).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    }

    #[test]
    fn rows_are_left_out_and_nothing_else(
        rows in prop::collection::btree_map("[a-d]{1,3}", any::<u64>(), 0..60),
        out in prop::collection::btree_set("[a-d]{1,3}", 0..60),
        columns in columns(),
    ) {
        let rest = |n: u64| {
            let day = columns.valid_until.then(|| Date::from_days(n as i32 % 900));
            (of(n), day, columns.matched.then_some(n.is_multiple_of(2)))
        };
        let mut rows: BTreeMap<String, Rest> = rows.into_iter().map(|(id, n)| (id, rest(n))).collect();
        let folder = tempdir().unwrap();
        let path = folder.path().join("crosswalk");
        write(&path, columns, &rows).unwrap();
        let left = keep_rows(&path, &mut |id| !out.contains(id)).unwrap();
        rows.retain(|id, _| !out.contains(id));
        prop_assert_eq!(left, rows.len() as u64);
        prop_assert_eq!(read(&path).unwrap(), rows);
        let reader = CrosswalkReader::open(&path).unwrap();
        prop_assert_eq!((reader.scope(), reader.columns()), (&scope(), columns));
    }
}

/// Several batches, several row groups.
#[test]
fn a_large_crosswalk_goes_in_groups() {
    let rows: BTreeMap<String, Rest> = (0..150_000_u64)
        .map(|n| {
            (
                format!("{n:07}@x"),
                (of(n), None, Some(n.is_multiple_of(3))),
            )
        })
        .collect();
    let columns = CrosswalkColumns {
        matched: true,
        ..CrosswalkColumns::default()
    };
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    write(&path, columns, &rows).unwrap();
    let file = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(file.num_row_groups(), 3);
    assert!(read(&path).unwrap() == rows);
}

#[test]
fn rows_out_of_order_are_not_written() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    for (first, second) in [("b@x", "a@x"), ("a@x", "a@x")] {
        let columns = CrosswalkColumns::default();
        let mut writer = CrosswalkWriter::create(&path, &scope(), columns).unwrap();
        writer.push(&plain(first)).unwrap();
        let pushed = writer.push(&plain(second));
        assert!(matches!(pushed, Err(LocalFileError::Form { .. })));
        let text = pushed.unwrap_err().to_string();
        assert!(text.contains("order") && !text.contains("@x"), "{text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn values_without_a_column_are_not_dropped_in_silence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    let day = (of(1), Some(Date::from_days(1)), None);
    for rest in [day, (of(1), None, Some(true))] {
        let columns = CrosswalkColumns::default();
        let mut writer = CrosswalkWriter::create(&path, &scope(), columns).unwrap();
        let pushed = writer.push(&row("a@x", rest));
        assert!(matches!(pushed, Err(LocalFileError::Form { .. })));
    }
}

#[test]
fn what_counts_no_more_is_left_out_and_counted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk.parquet");
    let rows = [
        ("always", None),
        ("over", Some(99)),
        ("last day", Some(100)),
        ("long", Some(500)),
    ];
    let rows = rows
        .into_iter()
        .zip(1..)
        .map(|((id, day), n)| (id.to_owned(), (of(n), day.map(Date::from_days), None)));
    let columns = CrosswalkColumns {
        valid_until: true,
        ..CrosswalkColumns::default()
    };
    write(&path, columns, &rows.collect()).unwrap();
    let mut crosswalk = Crosswalk::read(&path).unwrap();
    assert_eq!(crosswalk.lookup("over"), Some(of(2)));
    assert_eq!(crosswalk.leave_out_over(Date::from_days(100)), 1);
    assert_eq!(crosswalk.lookup("over"), None);
    for (id, n) in [("always", 1), ("last day", 3), ("long", 4)] {
        assert_eq!(crosswalk.lookup(id), Some(of(n)), "{id}");
    }
    assert_eq!(crosswalk.leave_out_over(Date::from_days(101)), 1);
    assert_eq!(crosswalk.len(), 2);
}

#[test]
fn a_crosswalk_that_is_not_finished_leaves_the_old_one() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    let old = BTreeMap::from([("a@x".to_owned(), (of(1), None, None))]);
    write(&path, CrosswalkColumns::default(), &old).unwrap();
    let columns = CrosswalkColumns::default();
    let mut writer = CrosswalkWriter::create(&path, &scope(), columns).unwrap();
    writer.push(&plain("b@x")).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    #[cfg(unix)]
    for entry in fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(read(&path).unwrap(), old);
}

/// A file as somebody else would write it.
fn foreign(path: &Path, format: &str, ids: &[&str], more: &[(&str, &str)]) {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("pseudonym", DataType::FixedSizeBinary(16), false),
    ]);
    let people: Vec<_> = (0..ids.len() as u64).map(of).collect();
    let people = people.iter().map(Pseudonym::as_bytes);
    let people: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(people).unwrap());
    let ids: ArrayRef = Arc::new(StringArray::from(ids.to_vec()));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![ids, people]).unwrap();
    let pairs = [
        ("incamera.format", format),
        ("incamera.agreement_id", &agreement_id().to_string()),
        ("incamera.matching_epoch", "3"),
        ("incamera.id_kind", "email"),
    ];
    let pairs = pairs.iter().chain(more);
    let pairs = pairs.map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs.collect()));
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn rows_out_of_order_are_not_read() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    foreign(&path, "incamera-crosswalk/1", &["a", "b", "c"], &[]);
    assert_eq!(read(&path).unwrap().len(), 3);
    for ids in [["a", "c", "b"], ["a", "b", "b"]] {
        foreign(&path, "incamera-crosswalk/1", &ids, &[]);
        for error in [
            read(&path).unwrap_err(),
            Crosswalk::read(&path).unwrap_err(),
        ] {
            assert!(matches!(error, LocalFileError::Form { .. }));
            assert!(error.to_string().contains("not in order"), "{error}");
        }
    }
    // Also where batches meet.
    let ids: Vec<String> = (0..9000).map(|n| format!("{n:05}")).collect();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    foreign(&path, "incamera-crosswalk/1", &ids, &[]);
    assert_eq!(read(&path).unwrap().len(), 9000);
    ids[8192] = "00000";
    ids[8193..].fill("00001");
    foreign(&path, "incamera-crosswalk/1", &ids[..8194], &[]);
    assert!(matches!(read(&path), Err(LocalFileError::Form { .. })));
}

#[test]
fn what_is_unknown_in_a_crosswalk_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    let two = "incamera-crosswalk/2";
    foreign(&path, two, &["a"], &[]);
    assert_eq!(read(&path).unwrap().len(), 1);
    let all = [("incamera.hashed", "false"), ("incamera.form", "raw")];
    let with = |rules: &'static str| [all[0], all[1], ("incamera.rules", rules)];
    foreign(&path, two, &["a"], &with("2"));
    assert_eq!(read(&path).unwrap().len(), 1);
    for wrong in [
        &with("3")[..],
        &with("2")[1..],
        &[("incamera.region", "DEU")],
    ] {
        foreign(&path, two, &["a"], wrong);
        let refused = read(&path);
        assert!(
            matches!(refused, Err(LocalFileError::Form { .. })),
            "{wrong:?}"
        );
    }
}
