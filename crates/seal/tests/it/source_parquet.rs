//! Parquet files of other programs.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use incamera_seal::{CellError, Place, SealError, Source, SourceError};
use parquet::arrow::ArrowWriter;

use crate::world::{World, all_text, column, column_texts, dataset, purchases};

fn parquet(world: &World, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let path = world.folder.path().join("source.parquet");
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

/// What a column of type `ty` makes of `values`.
fn taken(ty: &str, values: impl Into<ArrayRef>) -> Result<Vec<String>, SourceError> {
    let values: ArrayRef = values.into();
    let mut world = World::new();
    let ids: ArrayRef = Arc::new(Int64Array::from_value(12, values.len()));
    let path = parquet(
        &world,
        vec![("extra", ids.clone()), ("c", values), ("email", ids)],
    );
    let mut c = column("c", ty, &["ads"]);
    c.nullable = true;
    let spec = dataset("one", vec![column("person", "pseudonym", &[]), c]);
    match world.seal(&spec, &Source::of(&path).unwrap()) {
        Ok(report) => assert_eq!(report.ignored, ["extra"]),
        Err(SealError::Source(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    }
    let [(_, batch)] = &world.read("one", "ads", &["c"])[..] else {
        panic!("one part")
    };
    Ok(column_texts(batch, 0))
}

fn array(array: impl arrow::array::Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn numbers() {
    assert_eq!(
        taken("int", array(Int32Array::from(vec![Some(1), None]))).unwrap(),
        ["1", "null"]
    );
    assert_eq!(
        taken("int", array(Float64Array::from(vec![2.0, -3.0, f64::NAN]))).unwrap(),
        ["2", "-3", "null"]
    );
    let money = taken(
        "decimal(10,2)",
        array(Float64Array::from(vec![0.1 + 0.2, 1.999, -0.505, 7.0])),
    );
    assert_eq!(money.unwrap(), ["0.30", "2.00", "-0.51", "7.00"]);
    let exact = Decimal128Array::from(vec![12_500])
        .with_precision_and_scale(10, 3)
        .unwrap();
    assert_eq!(taken("decimal(10,2)", array(exact)).unwrap(), ["12.50"]);
    assert_eq!(
        taken("decimal(10,2)", array(Int64Array::from(vec![4]))).unwrap(),
        ["4.00"]
    );
}

/// The first value that is refused.
fn refused(ty: &str, values: ArrayRef) -> (Place, CellError) {
    match taken(ty, values).unwrap_err() {
        SourceError::Values { columns } => {
            let first = columns.iter().next().unwrap();
            (first.place, first.error.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_that_do_not_fit() {
    let range = |ty: &str| CellError::Range {
        expected: ty.parse().unwrap(),
    };
    let form = |ty: &str| CellError::Form {
        expected: ty.parse().unwrap(),
    };
    assert_eq!(
        refused("int", array(UInt64Array::from(vec![1, u64::MAX]))),
        (Place::Row(2), range("int"))
    );
    assert_eq!(
        refused("int", array(Float64Array::from(vec![1.0, 1.5]))),
        (Place::Row(2), form("int"))
    );
    assert_eq!(
        refused("int", array(Float64Array::from(vec![1e300]))),
        (Place::Row(1), range("int"))
    );
    assert_eq!(
        refused("decimal(4,2)", array(Float64Array::from(vec![100.0]))),
        (Place::Row(1), range("decimal(4,2)"))
    );
    let digits = Decimal128Array::from(vec![12_501])
        .with_precision_and_scale(10, 3)
        .unwrap();
    assert_eq!(
        refused("decimal(10,2)", array(digits)),
        (Place::Row(1), CellError::Scale { digits: 2 })
    );
    assert_eq!(
        refused("bool", array(Int64Array::from(vec![2]))),
        (Place::Row(1), form("bool"))
    );
}

#[test]
fn days_and_moments() {
    assert_eq!(
        taken("date", array(Date32Array::from(vec![Some(0), None]))).unwrap(),
        ["1970-01-01", "null"]
    );
    // The calendar day as stored, before 1970 too; a time of day is never cut off silently.
    let day = 86_400_000;
    let naive = TimestampMillisecondArray::from(vec![0, day, -day]);
    assert_eq!(
        taken("date", array(naive)).unwrap(),
        ["1970-01-01", "1970-01-02", "1969-12-31"]
    );
    for time in [1, day - 1, -1] {
        let naive = TimestampMillisecondArray::from(vec![0, time]);
        let time = (Place::Row(2), CellError::TimeOfDay);
        assert_eq!(refused("date", array(naive)), time);
    }
    let utc = TimestampNanosecondArray::from(vec![1_500_000]).with_timezone("UTC");
    let time = (Place::Row(1), CellError::TimeOfDay);
    assert_eq!(refused("date", array(utc.clone())), time);
    assert_eq!(
        taken("timestamp", array(utc)).unwrap(),
        ["1970-01-01T00:00:00.001500"]
    );
    let naive = TimestampMillisecondArray::from(vec![0]);
    assert!(matches!(
        taken("timestamp", array(naive)),
        Err(SourceError::NoOffset { .. })
    ));
    assert_eq!(
        taken("date", array(StringArray::from(vec!["2026-03-01"]))).unwrap(),
        ["2026-03-01"]
    );
}

#[test]
fn texts_of_every_kind() {
    let words = vec!["a", "b", "a"];
    let kinds: [ArrayRef; 4] = [
        array(StringArray::from(words.clone())),
        array(LargeStringArray::from(words.clone())),
        array(StringViewArray::from(words.clone())),
        array(
            words
                .clone()
                .into_iter()
                .collect::<DictionaryArray<Int32Type>>(),
        ),
    ];
    for kind in kinds {
        assert_eq!(taken("text", kind).unwrap(), words);
    }
    assert_eq!(
        taken("bool", array(BooleanArray::from(vec![true, false]))).unwrap(),
        ["true", "false"]
    );
    assert_eq!(
        taken("bool", array(Int64Array::from(vec![1, 0]))).unwrap(),
        ["true", "false"]
    );
}

#[test]
fn types_that_do_not_fit_are_named() {
    let error = taken("text", array(Int64Array::from(vec![1]))).unwrap_err();
    assert!(matches!(&error, SourceError::Type { column, .. } if column == "c"));
    assert_eq!(
        error.to_string(),
        "column `c` is Int64 in the file and text in the agreement"
    );
    assert!(matches!(
        taken("date", array(Float64Array::from(vec![1.0]))),
        Err(SourceError::Type { .. })
    ));
}

#[test]
fn bad_files_are_refused_without_their_values() {
    let mut world = World::new();
    let path = world.file("source.parquet", b"SECRET, not Parquet");
    let error = world
        .seal(&purchases(), &Source::of(&path).unwrap())
        .unwrap_err();
    assert!(matches!(
        &error,
        SealError::Source(SourceError::NotParquet { .. })
    ));
    assert!(!all_text(&error).contains("SECRET"));

    let text = |value: &str| array(StringArray::from(vec![value]));
    let columns = vec![
        ("email", text("a@x")),
        ("day", text("2026-03-01")),
        ("amount", text("SECRET")),
        ("category", text("food")),
    ];
    let path = parquet(&world, columns);
    let error = world
        .seal(&purchases(), &Source::of(&path).unwrap())
        .unwrap_err();
    let SealError::Source(SourceError::Values { columns }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(columns.iter().next().unwrap().place, Place::Row(1));
    assert!(!all_text(&error).contains("SECRET"));

    let path = parquet(&world, vec![("email", text("a@x"))]);
    let error = world
        .seal(&purchases(), &Source::of(&path).unwrap())
        .unwrap_err();
    assert!(
        matches!(&error, SealError::Source(SourceError::MissingColumns { names, .. }) if names.len() == 3)
    );
}

#[test]
fn ids_alone_read_as_texts() {
    let world = World::new();
    let numbers = array(Int64Array::from(vec![Some(12), None]));
    let texts = array(StringViewArray::from(vec!["a@x", "b@x"]));
    let floats = array(Float64Array::from(vec![1.0, 2.0]));
    let path = parquet(
        &world,
        vec![("n", numbers), ("email", texts), ("f", floats)],
    );
    let source = Source::of(&path).unwrap();
    let read = |column: &str| {
        let mut seen = Vec::new();
        incamera_seal::read_texts(&source, column, &mut |text| seen.push(text.to_owned()))
            .map(|rows| (rows, seen))
    };
    assert_eq!(
        read("n").unwrap(),
        (2, vec!["12".to_owned(), String::new()])
    );
    assert_eq!(
        read("email").unwrap(),
        (2, vec!["a@x".to_owned(), "b@x".to_owned()])
    );
    assert!(matches!(read("f"), Err(SourceError::NotText { .. })));
    assert!(matches!(
        read("phone"),
        Err(SourceError::MissingColumns { .. })
    ));
}
