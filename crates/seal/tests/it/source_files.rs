//! Folders of files, values refused in many places, local times, and columns that say what they
//! were collected for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use incamera_seal::{
    Anew, CellError, Change, Hints, Movement, Place, SealError, Source, SourceError, propose,
    read_texts, unwrap_keys,
};
use incamera_types::{ConsentClass, DatasetSpec, Pseudonym};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::FileDecryptionProperties;

use crate::rewriting::{Want, remade};
use crate::world::{
    PURCHASES_CSV, World, all_text, column, contains, dataset, files_below, name, purchases, set,
};

const HEADER: &str = "email,day,amount,category\n";

fn refused(world: &mut World, spec: &DatasetSpec, path: &Path) -> SourceError {
    match world.seal(spec, &Source::of(path).unwrap()) {
        Err(SealError::Source(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn folder(world: &World, files: &[(&str, &str)]) -> PathBuf {
    let folder = world.folder.path().join("source");
    fs::create_dir_all(&folder).unwrap();
    for (file, content) in files {
        fs::write(folder.join(file), content).unwrap();
    }
    folder
}

#[test]
fn the_files_of_a_folder_are_one() {
    let mut world = World::sealed();
    let (first, rest) = PURCHASES_CSV.split_at(PURCHASES_CSV.find("measured").unwrap());
    let rest = format!("{HEADER}{rest}");
    let files = [
        ("a.csv", first),
        ("b.csv", rest.as_str()),
        (".c.csv", "hidden"),
    ];
    let path = folder(&world, &files);
    let before = world.texts("purchases", "measurement", "amount");
    let source = Source::of(&path).unwrap();
    let report = world.seal(&purchases(), &source).unwrap();
    assert_eq!(report.rows, 8);
    assert_eq!(world.texts("purchases", "measurement", "amount"), before);
    let mut ids = Vec::new();
    let rows = read_texts(&source, "email", &mut |id| ids.push(id.to_owned())).unwrap();
    assert_eq!(
        (rows, ids[0].as_str(), ids[7].as_str()),
        (8, "all@x", "nobody@x")
    );
}

#[test]
fn errors_say_which_file_of_a_folder() {
    let mut world = World::new();
    let good = format!("{HEADER}a@x,2026-03-01,5,food\n");
    let bad = format!("{HEADER}a@x,2026-03-01,5,food\na@x,SECRET,5,food\n");
    let path = folder(&world, &[("a.csv", &good), ("b.csv", &bad)]);
    let error = refused(&mut world, &purchases(), &path);
    let SourceError::Values { columns } = &error else {
        panic!("{error:?}")
    };
    let first = columns.iter().next().unwrap();
    assert_eq!(
        (&first.file, first.place),
        (&Some(path.join("b.csv")), Place::Line(3))
    );
    let text = all_text(&error);
    assert!(text.contains("b.csv") && !text.contains("SECRET"), "{text}");

    let path = folder(&world, &[("b.csv", &format!("{HEADER}a@x,5\n"))]);
    let text = refused(&mut world, &purchases(), &path).to_string();
    assert!(text.contains("b.csv") && text.contains("line 2"), "{text}");
    let other = format!("more,{HEADER}1,a@x,2026-03-01,5,food\n");
    let path = folder(&world, &[("b.csv", &other)]);
    let error = refused(&mut world, &purchases(), &path);
    assert!(
        matches!(error, SourceError::OtherColumns { .. }),
        "{error:?}"
    );
}

/// Enough rows that several threads read them, one value wrong in some; the first place of
/// each column, and how many.
#[test]
fn every_refused_value_is_counted_and_the_first_is_named() {
    let mut world = World::new();
    for (end, quoted) in [("\n", false), ("\r\n", false), ("\n", true)] {
        let mut csv = HEADER.replace('\n', end);
        let (mut days, mut amounts, mut line) = (Vec::new(), Vec::new(), 2);
        for n in 0..70_000u64 {
            let (mut day, mut amount) = ("2026-03-01", "1.00");
            if n % 9_000 == 8_999 {
                day = "SECRET";
                days.push(line);
            }
            if n > 40_000 && n % 10_000 == 3 {
                amount = "SECRET";
                amounts.push(line);
            }
            let category = if quoted && n % 3 == 0 {
                "\"fo\nod\""
            } else {
                "food"
            };
            write!(csv, "a@x,{day},{amount},{category}{end}").unwrap();
            // Empty lines are no rows.
            if n % 1_000 == 999 {
                csv.push_str(end);
                line += 1;
            }
            line += 1 + category.matches('\n').count() as u64;
        }
        let path = world.file("many.csv", &csv);
        let error = refused(&mut world, &purchases(), &path);
        let SourceError::Values { columns } = &error else {
            panic!("{error:?}")
        };
        let found: Vec<(&str, Place, u64)> = columns
            .iter()
            .map(|refused| (refused.column.as_str(), refused.place, refused.values))
            .collect();
        let expected = [
            ("day", Place::Line(days[0]), days.len() as u64),
            ("amount", Place::Line(amounts[0]), amounts.len() as u64),
        ];
        assert_eq!(found, expected, "{end:?} {quoted}");
        let text = all_text(&error);
        assert!(
            text.contains("the first of 7 values") && !text.contains("SECRET"),
            "{text}"
        );
    }
    assert!(!world.out("purchases").join("manifest").exists());
}

/// In spring 2026 the clocks of Berlin left out 2 to 3 on 29 March, in autumn they showed 2 to 3
/// twice on 25 October.
#[test]
fn local_times_are_read_by_the_clocks_of_the_zone() {
    let mut c = column("c", "timestamp", &["ads"]);
    c.time_zone = Some("Europe/Berlin".parse().unwrap());
    let spec = dataset("one", vec![column("person", "pseudonym", &[]), c]);
    let local = [
        "2026-01-01T12:00:00",
        "2026-03-29 02:30:00",
        "2026-10-25T02:30:00",
        "2026-07-01T12:00:00",
    ];
    let expected = [
        "2026-01-01T11:00:00",
        "2026-03-29T01:30:00",
        "2026-10-25T00:30:00",
        "2026-07-01T10:00:00",
    ];
    let mut sorted = expected.map(str::to_owned).to_vec();
    sorted.sort();
    let mut world = World::new();
    let lines: String = local.iter().map(|local| format!("a@x,{local}\n")).collect();
    let report = world.seal_csv(&spec, format!("email,c\n{lines}")).unwrap();
    assert_eq!(world.texts("one", "ads", "c"), sorted);
    assert_eq!(report.twice, [(name("c"), 1)].into());
    assert_eq!(report.skipped, [(name("c"), 1)].into());
    // A moment with an offset is what it says.
    let report = world
        .seal_csv(&spec, "email,c\na@x,2026-10-25T02:30:00Z\n")
        .unwrap();
    assert_eq!(
        (report.twice.len(), world.texts("one", "ads", "c")),
        (0, vec!["2026-10-25T02:30:00".into()])
    );

    let micros = |text: &str| {
        let moment: jiff::Timestamp = format!("{}Z", text.replace(' ', "T")).parse().unwrap();
        moment.as_microsecond()
    };
    let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
        local.iter().map(|text| micros(text)),
    ));
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a@x"; 4]));
    let path = parquet(&world, vec![("email", ids, None), ("c", values, None)]);
    let report = world.seal(&spec, &Source::of(&path).unwrap()).unwrap();
    assert_eq!(world.texts("one", "ads", "c"), sorted);
    assert_eq!((report.twice.len(), report.skipped.len()), (1, 1));
}

/// A Parquet file whose fields may say what they were collected for.
fn parquet(world: &World, columns: Vec<(&str, ArrayRef, Option<&str>)>) -> PathBuf {
    let path = world.folder.path().join("tagged.parquet");
    let field = |(name, array, tag): &(&str, ArrayRef, Option<&str>)| {
        let field = Field::new(*name, array.data_type().clone(), true);
        let tag = tag.map(|tag| ("incamera.purposes".to_owned(), tag.to_owned()));
        field.with_metadata(tag.into_iter().collect::<HashMap<_, _>>())
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Purchases whose id and amount were collected for these purposes.
fn tagged(world: &World, id: Option<&str>, amount: Option<&str>) -> PathBuf {
    let columns = vec![
        ("email", texts(&["all@x", "measured@x"]), id),
        ("day", texts(&["2026-03-01", "2026-03-02"]), None),
        ("amount", texts(&["1", "2"]), amount),
        ("category", texts(&["food", "home"]), None),
    ];
    parquet(world, columns)
}

#[test]
fn i3_an_agreement_wider_than_what_was_collected_for_is_refused() {
    let mut world = World::sealed();
    let before = fs::read(world.out("purchases").join("manifest")).unwrap();
    for (id, amount, column, wider) in [
        (None, "ads", "amount", "measurement"),
        (None, "research,safety", "amount", "measurement"),
        (Some("measurement"), "measurement", "email", "ads"),
    ] {
        let path = tagged(&world, id, Some(amount));
        let error = refused(&mut world, &purchases(), &path);
        let SourceError::WiderThanTagged {
            column: found,
            wider: purposes,
            ..
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            (found.as_str(), purposes),
            (column, &set(&[wider])),
            "{error}"
        );
        assert!(error.to_string().contains(wider));
        let unknown = error.to_string().contains("no purpose `research`");
        assert_eq!(unknown, amount.contains("research"), "{error}");
    }
    assert!(fs::read(world.out("purchases").join("manifest")).unwrap() == before);
    // A name that nobody knows grants nothing and harms nothing.
    for amount in ["measurement", " ads , measurement", "research,measurement"] {
        let path = tagged(&world, None, Some(amount));
        world
            .seal(&purchases(), &Source::of(&path).unwrap())
            .unwrap();
        assert_eq!(
            world.texts("purchases", "measurement", "amount"),
            ["1.00", "2.00"]
        );
    }
    // What is public is open to every purpose.
    let mut public = purchases();
    public.public = true;
    public.columns.remove(0);
    let path = tagged(&world, None, Some("measurement"));
    let error = refused(&mut world, &public, &path);
    assert!(matches!(error, SourceError::WiderThanTagged { .. }));
}

#[test]
fn i3_a_tag_that_is_no_list_of_purposes_is_refused() {
    let mut world = World::sealed();
    for (amount, says) in [
        ("", "names no purpose"),
        ("  ", "names no purpose"),
        ("measurement,,ads", "a name is missing"),
        ("measurement,ads,", "a name is missing"),
        (",measurement", "a name is missing"),
        ("measurement,Ads", "`Ads` is no name"),
        ("ads measurement", "`ads measurement` is no name"),
    ] {
        let path = tagged(&world, None, Some(amount));
        let error = refused(&mut world, &purchases(), &path);
        assert!(matches!(&error, SourceError::Tag { column, .. } if column == "amount"));
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn another_kind_of_file_that_is_named_csv_is_told_what_it_is() {
    let mut world = World::sealed();
    let parquet = tagged(&world, None, None);
    let parquet = fs::read(parquet).unwrap();
    let mut encrypted = parquet.clone();
    for magic in [0..4, parquet.len() - 4..parquet.len()] {
        encrypted[magic].copy_from_slice(b"PARE");
    }
    let utf16: Vec<u8> = "\u{feff}email"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, says) in [
        (parquet.as_slice(), "a Parquet file: name it `.parquet`"),
        (&encrypted, "a Parquet file: name it `.parquet`"),
        (b"\x1f\x8b\x08\0", "compressed by gzip"),
        (b"PK\x03\x04\0\0", "a zip file"),
        (&utf16, "UTF-16"),
        (&utf16[2..], "UTF-16"),
        (b"\0e\0m\0a\0i\0l", "UTF-16"),
        (b"BZh91AY&SY\x01\x02", "compressed by bzip2"),
        (b"\xfd7zXZ\0\0\x04", "compressed by xz"),
        (b"\x04\x22\x4d\x18\x60", "compressed by lz4"),
        (b"\x1f\x9d\x90e", "compressed by compress"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "compressed by 7-Zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a spreadsheet"),
        (b"Obj\x01\x02\x16", "an Avro file"),
    ] {
        let path = world.file("wrong.csv", bytes);
        let error = refused(&mut world, &purchases(), &path);
        assert!(matches!(error, SourceError::NotCsv { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
        let error = propose(&path, &Hints::default(), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    // Names of columns may begin so.
    for first in ["PAR1", "BZh9", "7z"] {
        let csv = world.file("right.csv", format!("{first},email\n1,a@x\n"));
        let mut ids = Vec::new();
        read_texts(&Source::of(&csv).unwrap(), "email", &mut |id| {
            ids.push(id.to_owned())
        })
        .unwrap();
        assert_eq!(ids, ["a@x"]);
    }
}

/// What spreadsheets of other countries save is told for what it is; nothing of the first line
/// is repeated, which may be one of rows.
#[test]
fn other_separators_and_other_case_are_told() {
    let world = World::sealed();
    let of = |text: &str| {
        let path = world.file("other.csv", text);
        let source = Source::of(&path).unwrap();
        let error = read_texts(&source, "email", &mut |_| ()).unwrap_err();
        let said = error.to_string();
        assert!(!said.contains("secret7731"), "{said}");
        (error, said)
    };
    for (text, says) in [
        ("email;secret7731\na@x;1\n", "separated by `;`"),
        ("secret7731;a@x;1,5\n", "separated by `;`"),
        ("email\tsecret7731\na@x\t1\n", "separated by tabs"),
        ("email|secret7731\na@x|1\n", "separated by `|`"),
    ] {
        let (error, said) = of(text);
        assert!(matches!(error, SourceError::NotCsv { .. }), "{error:?}");
        assert!(said.contains(says), "{said}");
    }
    for text in ["secret7731,Email\n1,a@x\n", "EMAIL\na@x\n"] {
        let (error, said) = of(text);
        assert!(matches!(error, SourceError::OtherCase { .. }), "{error:?}");
        assert!(
            said.contains("no column `email`") && said.contains("case"),
            "{said}"
        );
    }
    for text in ["mail,secret7731\na@x,1\n", "mail,a;b\n", "mail\n"] {
        let (error, _) = of(text);
        assert!(
            matches!(error, SourceError::MissingColumns { .. }),
            "{error:?}"
        );
    }
    // A sign in a name is no matter where the columns are there.
    let path = world.file("names.csv", "a;b,email\n1,a@x\n");
    let rows = read_texts(&Source::of(&path).unwrap(), "email", &mut |_| ());
    assert_eq!(rows.unwrap(), 1);
}

/// A branch has other leaves from one version to the next, and a leaf can become a branch: what
/// people were told then does not grow with it.
#[test]
fn i3_a_tag_names_leaves_alone() {
    let mut world = World::sealed();
    let before = fs::read(world.out("purchases").join("manifest")).unwrap();
    for amount in [
        "marketing",
        "measurement, marketing",
        "ads,measurement,marketing",
    ] {
        let path = tagged(&world, None, Some(amount));
        let error = refused(&mut world, &purchases(), &path);
        let SourceError::TaggedWithBranch {
            column,
            branch,
            leaves,
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((column.as_str(), branch.as_str()), ("amount", "marketing"));
        assert_eq!(leaves, &set(&["ads", "measurement"]));
        assert!(error.to_string().contains("name the leaves"), "{error}");
    }
    assert!(fs::read(world.out("purchases").join("manifest")).unwrap() == before);
}

/// What the parts that `measurement` opens say that `column` was collected for.
fn tags(world: &World, column: &str) -> Vec<Option<String>> {
    let manifest = world.manifest("purchases");
    let columns: Vec<_> = manifest
        .columns()
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let keys = unwrap_keys(
        &manifest,
        &crate::world::purpose("measurement"),
        &columns,
        &world.ring,
    )
    .unwrap();
    let of = |part: &incamera_seal::Part| {
        let key = |column: Option<&str>| {
            let column = column.map(name);
            let mut keys = keys.iter().filter(|key| key.file_id == part.file_id);
            let key = keys.find(|key| key.column == column)?;
            Some(key.key.expose().to_vec())
        };
        let mut properties = FileDecryptionProperties::builder(key(None)?);
        for column in &columns {
            properties = properties.with_column_key(column.as_str(), key(Some(column.as_str()))?);
        }
        let options =
            ArrowReaderOptions::new().with_file_decryption_properties(properties.build().unwrap());
        let file = world.part_file(&manifest, part);
        let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
        let field = metadata.schema().field_with_name(column).unwrap();
        Some(field.metadata().get("incamera.purposes").cloned())
    };
    manifest.parts().iter().filter_map(of).collect()
}

/// What a column was collected for stands in the part's own schema, where no one sees it
/// without the footer's key; and in what is made of the part later.
#[test]
fn what_a_column_was_collected_for_travels_along() {
    let mut world = World::sealed();
    let said = "ads,measurement,none-that-is-known";
    let path = tagged(&world, None, Some(said));
    world
        .seal(&purchases(), &Source::of(&path).unwrap())
        .unwrap();
    // Beside rows that say nothing, and that could be in one part with them.
    let rows = "email,day,amount,category\nall@x,2026-03-03,3,food\n";
    world.append = true;
    world.seal_csv(&purchases(), rows).unwrap();
    let gone = |_: &Pseudonym, class: &ConsentClass| {
        let left = class.iter().filter(|one| one.as_str() != "safety");
        Some(left.cloned().collect())
    };
    let movement = Movement {
        among: None,
        class: &gone,
    };
    let rotated = Want {
        anew: Anew::DataKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    let withdrawn = Want {
        movement: Some(movement),
        change: Change::ConsentRemoved,
        ..Want::default()
    };
    for want in [None, Some(rotated), Some(withdrawn)] {
        let written = want.map(|want| remade(&mut world, "purchases", &want).unwrap());
        assert!(written.is_none_or(|(counts, _)| counts.rewritten > 0));
        let all = tags(&world, "amount");
        let saying = all.iter().filter(|tag| tag.as_deref() == Some(said));
        let silent = all.iter().filter(|tag| tag.is_none());
        assert_eq!(
            (saying.count(), silent.count(), all.len()),
            (2, 1, 3),
            "{all:?}"
        );
        assert!(tags(&world, "day").iter().all(Option::is_none));
        let amounts = world.texts("purchases", "measurement", "amount");
        assert_eq!(amounts, ["1.00", "2.00", "3.00"]);
    }
    for file in files_below(&world.out("purchases")) {
        let content = fs::read(&file).unwrap();
        assert!(
            !contains(&content, b"none-that-is-known"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_lot_of_refused_columns_is_told_shortly() {
    let mut spec = dataset("one", vec![column("person", "pseudonym", &[])]);
    let columns: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
    spec.columns
        .extend(columns.iter().map(|name| column(name, "int", &["ads"])));
    let csv = format!(
        "email,{}\na@x,{}\n",
        columns.join(","),
        vec!["x"; 30].join(",")
    );
    let mut world = World::new();
    let path = world.file("wide.csv", csv);
    let error = refused(&mut world, &spec, &path);
    let text = error.to_string();
    assert!(
        text.ends_with("and in 18 more columns") && text.len() < 1_000,
        "{text}"
    );
    let SourceError::Values { columns } = &error else {
        panic!("{error:?}")
    };
    let form = CellError::Form {
        expected: "int".parse().unwrap(),
    };
    assert!(columns.iter().all(|column| column.error == form));
}
