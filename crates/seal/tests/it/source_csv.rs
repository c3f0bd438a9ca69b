//! CSV files: what is taken and what is refused, and that no error holds a value.

use incamera_seal::{CellError, Place, RefusedColumn, SealError, SealReport, Source, SourceError};
use incamera_types::{DatasetSpec, OtherText};

use crate::world::{World, all_text, column, customers, dataset, name, purchases};

const HEADER: &str = "email,day,amount,category\n";

fn seal(spec: &DatasetSpec, csv: impl AsRef<[u8]>) -> (World, Result<SealReport, SealError>) {
    let mut world = World::new();
    let report = world.seal_csv(spec, csv);
    (world, report)
}

fn refused(spec: &DatasetSpec, csv: impl AsRef<[u8]>) -> SourceError {
    match seal(spec, csv).1 {
        Err(SealError::Source(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// One column `c` of this type beside the person.
fn one(ty: &str) -> DatasetSpec {
    let mut c = column("c", ty, &["ads"]);
    c.nullable = true;
    dataset("one", vec![column("person", "pseudonym", &[]), c])
}

/// What a column of type `ty` makes of `values`.
fn taken(ty: &str, values: &[&str]) -> Vec<String> {
    let lines: String = values
        .iter()
        .map(|value| format!("a@x,{value}\n"))
        .collect();
    let (world, report) = seal(&one(ty), format!("email,c\n{lines}"));
    report.unwrap();
    let [(_, batch)] = &world.read("one", "ads", &["c"])[..] else {
        panic!("one part")
    };
    crate::world::column_texts(batch, 0)
}

fn cell(ty: &str, value: &str) -> CellError {
    let error = refused(&one(ty), format!("email,c\na@x,{value}\n"));
    first(&error).error.clone()
}

/// The first column with refused values.
fn first(error: &SourceError) -> &RefusedColumn {
    match error {
        SourceError::Values { columns } => columns.iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The error is of this cell, and this one.
fn assert_cell(error: &SourceError, at: Place, of: &str, why: &CellError) {
    let first = first(error);
    let found = (first.place, first.column.as_str(), &first.error);
    assert_eq!(found, (at, of, why));
}

#[test]
fn values_are_read() {
    assert_eq!(
        taken("bool", &["true", "False", "1", "0", "YES", "no", ""]),
        ["true", "false", "true", "false", "true", "false", "null"]
    );
    assert_eq!(
        taken("int", &["5", "-5", " 7 ", ""]),
        ["5", "-5", "7", "null"]
    );
    assert_eq!(
        taken("decimal(10,2)", &["5", "-5.1", "0.25", ""]),
        ["5.00", "-5.10", "0.25", "null"]
    );
    assert_eq!(
        taken("date", &["2026-03-01", "1969-12-31"]),
        ["2026-03-01", "1969-12-31"]
    );
    assert_eq!(
        taken("text", &["a", "\"b,c\"", "d e", "é"]),
        ["a", "b,c", "d e", "é"]
    );
    assert_eq!(
        taken(
            "timestamp",
            &[
                "2026-03-01T10:00:00Z",
                "2026-03-01 10:00:00+02:00",
                "2026-03-01T10:00:00.25Z"
            ]
        ),
        [
            "2026-03-01T10:00:00",
            "2026-03-01T08:00:00",
            "2026-03-01T10:00:00.250"
        ]
    );
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let form = |ty: &str| CellError::Form {
        expected: ty.parse().unwrap(),
    };
    let range = |ty: &str| CellError::Range {
        expected: ty.parse().unwrap(),
    };
    assert_eq!(cell("bool", "2"), form("bool"));
    assert_eq!(cell("int", "5.5"), form("int"));
    assert_eq!(cell("int", "9223372036854775808"), range("int"));
    assert_eq!(cell("decimal(10,2)", "1e3"), form("decimal(10,2)"));
    assert_eq!(
        cell("decimal(10,2)", "1.005"),
        CellError::Scale { digits: 2 }
    );
    assert_eq!(cell("decimal(4,2)", "100"), range("decimal(4,2)"));
    assert_eq!(
        cell("decimal(10,2)", &"9".repeat(30)),
        range("decimal(10,2)")
    );
    assert_eq!(cell("date", "2026-02-30"), form("date"));
    assert_eq!(cell("date", "01.03.2026"), form("date"));
    assert_eq!(cell("timestamp", "yesterday"), form("timestamp"));
    assert_eq!(
        cell("timestamp", "2026-03-01T10:00:00"),
        CellError::NoOffset
    );
    assert_eq!(cell("text", &"x".repeat(4097)), CellError::TooLong);
}

#[test]
fn errors_say_line_and_column_and_never_the_value() {
    let mark = "SECRET";
    let good = "a@x,2026-03-01,5,food\n";
    let cases: [(&str, String, u64, &str); 5] = [
        (
            "amount",
            format!("{HEADER}{good}{good}a@x,2026-03-01,{mark},food\n"),
            4,
            "decimal",
        ),
        ("day", format!("{HEADER}a@x,{mark},5,food\n"), 2, "date"),
        (
            "day",
            format!("{HEADER}{good}a@x,,5,{mark}\n"),
            3,
            "missing",
        ),
        (
            "category",
            format!("{HEADER}{good}a@x,2026-03-01,5,{}\n", mark.repeat(1000)),
            3,
            "longer",
        ),
        (
            "amount",
            format!("{HEADER}\"a@x\",2026-03-01,5,\"fo\nod\"\na@x,2026-03-01,{mark},\n"),
            4,
            "decimal",
        ),
    ];
    for (column, csv, line, word) in cases {
        let error = refused(&purchases(), csv);
        let first = first(&error);
        assert_eq!(
            (first.place, first.column.as_str()),
            (Place::Line(line), column)
        );
        let text = all_text(&error);
        assert!(!text.contains(mark), "{text}");
        assert!(
            text.contains(word) && text.contains(&format!("line {line}")),
            "{text}"
        );
    }
}

#[test]
fn unreadable_files_are_refused() {
    let mark = "SECRET";
    let mut bytes = format!("{HEADER}a@x,2026-03-01,5,{mark}").into_bytes();
    bytes.extend(b"\xff\xfe\n");
    let error = refused(&purchases(), bytes);
    assert_cell(&error, Place::Line(2), "category", &CellError::NotUtf8);
    assert!(!all_text(&error).contains(mark));

    let error = refused(
        &purchases(),
        format!("{HEADER}a@x,2026-03-01,5,food\na@x,{mark}\n"),
    );
    assert!(
        matches!(
            error,
            SourceError::Ragged {
                place: Place::Line(3),
                found: 2,
                expected: 4
            }
        ),
        "{error:?}"
    );
    assert!(!all_text(&error).contains(mark));

    let error = refused(&purchases(), format!("email,day\n{mark},{mark}\n"));
    let SourceError::MissingColumns { names, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(names, &["amount", "category"]);
    // A file without a header: its first row must not be repeated.
    let error = refused(&purchases(), format!("{mark}@x,2026-03-01,5,{mark}\n"));
    assert!(matches!(error, SourceError::MissingColumns { .. }));
    assert!(!all_text(&error).contains(mark));

    assert!(matches!(
        refused(&purchases(), ""),
        SourceError::Empty { .. }
    ));
    let error = refused(&purchases(), "email,day,amount,amount,category\n");
    assert!(matches!(&error, SourceError::DuplicateColumn { name, .. } if name == "amount"));

    let mut world = World::new();
    let gone = Source::of(&world.folder.path().join("gone.csv")).unwrap();
    assert!(matches!(
        world.seal(&purchases(), &gone),
        Err(SealError::Source(SourceError::Io { .. }))
    ));
    assert!(matches!(
        Source::of("data.xlsx".as_ref()),
        Err(SourceError::Ending { .. })
    ));
}

#[test]
fn numbers_out_of_range_are_clamped_and_counted() {
    let csv = format!(
        "{HEADER}a@x,2026-03-01,-5,food\na@x,2026-03-01,500.01,food\na@x,2026-03-01,500,food\n"
    );
    let (world, report) = seal(&purchases(), csv);
    assert_eq!(report.unwrap().clamped, [(name("amount"), 2)].into());
    assert_eq!(
        world.texts("purchases", "measurement", "amount"),
        ["0.00", "500.00", "500.00"]
    );
}

#[test]
fn bounds_with_more_digits_than_the_column_narrow_it() {
    let mut spec = one("int");
    spec.columns[1].min = Some("1.5".parse().unwrap());
    spec.columns[1].max = Some("3.5".parse().unwrap());
    let (world, report) = seal(&spec, "email,c\na@x,1\na@x,3\na@x,4\n");
    assert_eq!(report.unwrap().clamped, [(name("c"), 2)].into());
    assert_eq!(world.texts("one", "ads", "c"), ["2", "3", "3"]);
}

#[test]
fn texts_outside_the_list_follow_the_agreement() {
    let listed = |other| {
        let mut spec = one("text");
        spec.columns[1].values = Some(vec!["a".into(), "b".into()]);
        spec.columns[1].other = other;
        spec
    };
    let csv = "email,c\np@x,a\np@x,SECRET\n";
    let error = refused(&listed(OtherText::Refuse), csv);
    assert_cell(&error, Place::Line(3), "c", &CellError::NotListed);
    assert!(!all_text(&error).contains("SECRET"));
    let (world, report) = seal(&listed(OtherText::Null), csv);
    assert_eq!(report.unwrap().replaced, [(name("c"), 1)].into());
    assert_eq!(world.texts("one", "ads", "c"), ["a", "null"]);
    let (world, report) = seal(&listed(OtherText::Becomes("b".into())), csv);
    assert_eq!(report.unwrap().replaced, [(name("c"), 1)].into());
    assert_eq!(world.texts("one", "ads", "c"), ["a", "b"]);
}

#[test]
fn missing_values_need_nullable() {
    let mut spec = one("int");
    spec.columns[1].nullable = false;
    let error = refused(&spec, "email,c\na@x,\n");
    assert_eq!(first(&error).error, CellError::Missing);
    // Also where the list of values makes it missing.
    let mut spec = one("text");
    spec.columns[1].nullable = false;
    spec.columns[1].values = Some(vec!["a".into()]);
    spec.columns[1].other = OtherText::Null;
    let error = refused(&spec, "email,c\na@x,z\n");
    assert_eq!(first(&error).error, CellError::Missing);
}

#[test]
fn columns_in_any_order_and_more_than_asked_for() {
    let csv = "\u{feff}shoe_size,category,amount,day,email\n42,food,5,2026-03-01,a@x\n";
    let (world, report) = seal(&purchases(), csv);
    assert_eq!(report.unwrap().ignored, ["shoe_size"]);
    assert_eq!(world.texts("purchases", "measurement", "amount"), ["5.00"]);
}

#[test]
fn people_without_pseudonym_are_left_out_and_counted() {
    let csv =
        format!("{HEADER}nobody@x,2026-03-01,5,food\n,2026-03-01,5,food\na@x,2026-03-01,5,food\n");
    let report = seal(&purchases(), csv).1.unwrap();
    assert_eq!(
        (report.rows, report.sealed, report.without_pseudonym),
        (3, 1, 2)
    );
}

#[test]
fn consents_are_lists_of_purposes() {
    let csv = "email,consent\na@x,ads;measurement\nb@x,\"ads,measurement\"\nc@x,ads|measurement\nd@x,ads measurement\ne@x,\n";
    let (world, report) = seal(&customers(), csv);
    let report = report.unwrap();
    assert_eq!((report.sealed, report.without_consent), (4, 1));
    assert_eq!(world.texts("customers", "ads", "person").len(), 4);
    let error = refused(&customers(), "email,consent\na@x,ads\nb@x,ads;SECRET\n");
    assert_cell(
        &error,
        Place::Line(3),
        "consent",
        &CellError::UnknownPurpose,
    );
    assert!(!all_text(&error).contains("SECRET"));
}

#[test]
fn an_empty_file_makes_a_manifest_without_parts() {
    let (world, report) = seal(&purchases(), HEADER);
    let report = report.unwrap();
    assert_eq!((report.rows, report.parts), (0, 0));
    assert!(world.manifest("purchases").parts().is_empty());
    assert!(world.texts("purchases", "measurement", "amount").is_empty());
}

#[test]
fn jobs_that_contradict_the_declaration_are_refused() {
    let no_person = dataset("one", vec![column("c", "int", &["ads"])]);
    assert!(matches!(
        seal(&no_person, "c\n1\n").1,
        Err(SealError::Job { .. })
    ));
    let mut public = purchases();
    public.public = true;
    assert!(matches!(
        seal(&public, HEADER).1,
        Err(SealError::Job { .. })
    ));
    let mut twice = purchases();
    twice.columns.push(column("other", "pseudonym", &[]));
    assert!(matches!(seal(&twice, HEADER).1, Err(SealError::Job { .. })));
}

/// To the CSV reader such files just end: everything after the mark is one field, or gone.
#[test]
fn a_mark_that_is_never_closed_is_refused() {
    let row = "a@x,2026-04-01,1.00,food\n";
    for (csv, line) in [
        (format!("{HEADER}a@x,2026-04-01,\"47.00\n"), 2),
        (
            format!("{HEADER}{row}a@x,2026-04-01,1.00,\"food\n{row}{row}"),
            3,
        ),
        (format!("{HEADER}{row}\"SECRET\n"), 3),
        (format!("{HEADER}\"a@x\",2026-04-01,\"2.00\n{row}"), 2),
        (format!("\"{HEADER}{row}"), 1),
    ] {
        let error = refused(&purchases(), &csv);
        let SourceError::OpenQuote { place } = error else {
            panic!("{error:?} of {csv}")
        };
        assert_eq!(place, Place::Line(line), "{csv}");
        assert!(!all_text(&error).contains("SECRET"));
    }
    let (_, report) = seal(
        &purchases(),
        format!("{HEADER}\"a@x\",2026-04-01,\"2.00\",\"f\"\"\"\n"),
    );
    assert_eq!(report.unwrap().sealed, 1);
}

/// A row without a pseudonym is left out, but what it says must be understood.
#[test]
fn unknown_purposes_are_found_in_any_row() {
    for id in ["nobody@x", "", "a@x"] {
        let csv = format!("email,consent\na@x,ads\n{id},ads;SECRET\n");
        let error = refused(&customers(), csv);
        assert_cell(
            &error,
            Place::Line(3),
            "consent",
            &CellError::UnknownPurpose,
        );
        assert!(!all_text(&error).contains("SECRET"));
    }
    let (_, report) = seal(
        &customers(),
        "email,consent\nnobody@x,measurement\na@x,ads\n",
    );
    let report = report.unwrap();
    assert_eq!((report.sealed, report.without_pseudonym), (1, 1));
    assert_eq!(report.consents.unwrap().len(), 1);
}
