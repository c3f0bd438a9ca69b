//! What is proposed from files, and what never stands in a proposal: a value of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int8Type;
use incamera_seal::{Hints, Proposal, ProposeError, SourceError, propose};
use incamera_types::ColumnType;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

fn csv(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn read(path: &Path) -> Result<Proposal, ProposeError> {
    propose(path, &Hints::default(), &mut |_| {})
}

/// The proposal of a CSV text.
fn of(text: &str) -> Proposal {
    let folder = tempfile::tempdir().unwrap();
    read(&csv(folder.path(), "visits.csv", text)).unwrap()
}

/// Each column as `name: type`, with what else is said in short.
fn short(proposal: &Proposal) -> Vec<String> {
    let columns = proposal.columns.iter();
    let column = columns.map(|column| {
        let ty = column.ty.map_or("out".to_owned(), |ty| ty.to_string());
        let bounds = column
            .bounds
            .as_ref()
            .map(|(low, high)| format!(" {low}..{high}"));
        let kind = column.id_kind.as_ref().map(|kind| format!(" from {kind}"));
        let flags = [
            (column.nullable, " nullable"),
            (column.without_offset, " clocks"),
        ];
        let flags: String = flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| *word)
            .collect();
        format!(
            "{}: {ty}{}{}{flags}",
            column.name,
            bounds.unwrap_or_default(),
            kind.unwrap_or_default()
        )
    });
    column.collect()
}

const VISITS: &str = "\
email,day,amount,category,age,postcode,consent,seen,at,yes,flag,phone,signed,nothing
ann@mail.example,2026-03-01,487.31,sushi,41,01234,ads;measurement,2026-03-01T10:11:12,2026-03-01T10:11:12Z,true,1,+49301234567,-17,
bob@mail.example,2026-03-02,12.5,ramen,77,98765,ads,2026-03-02 10:11:13,2026-03-01T10:11:12+01:00,no,0,+49301234568,3,
cleo@mail.example,2026-03-03,,tempura,93,87654,,2026-03-03T10:11:14,2026-03-01T10:11:12Z,true,0,+49301234569,5,
";

#[test]
fn types_follow_from_all_values() {
    let expected = [
        "email: pseudonym from email",
        "day: date",
        "amount: decimal(10,2) 0.00..500.00 nullable",
        "category: text",
        "age: int 0..100",
        "postcode: text",
        "consent: purposes",
        "seen: timestamp clocks",
        "at: timestamp",
        "yes: bool",
        "flag: bool",
        "phone: out",
        "signed: int -20..10",
        "nothing: text nullable",
    ];
    assert_eq!(short(&of(VISITS)), expected);
    let wide = of("n,m\n1,0.5\n9223372036854775807,12345678901234567.25\n");
    assert_eq!(
        short(&wide),
        ["n: text", "m: text"],
        "what cannot be added up is no number"
    );
    // One value of another kind, and the column is text.
    let other = of(&format!(
        "{VISITS}dora@mail.example,x,y,z,w,1,ads,q,r,s,t,u,v,1\n"
    ));
    assert_eq!(other.columns[2].ty, Some(ColumnType::Text));
    assert_eq!(other.columns[1].ty, Some(ColumnType::Text));
}

#[test]
fn consents_are_known_by_their_purposes() {
    let folder = tempfile::tempdir().unwrap();
    let path = csv(
        folder.path(),
        "a.csv",
        "email,allows\na@x.example,ads\nb@x.example,ads;safety\n",
    );
    let with = |names: &[&str]| {
        let purposes = names.iter().map(|name| name.parse().unwrap()).collect();
        propose(&path, &Hints { purposes }, &mut |_| {})
            .unwrap()
            .columns[1]
            .ty
    };
    assert_eq!(with(&["ads", "safety"]), Some(ColumnType::Purposes));
    assert_eq!(with(&["ads"]), Some(ColumnType::Text));
    assert_eq!(with(&[]), Some(ColumnType::Text));
}

#[test]
fn parquet_says_its_types_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("visits.parquet");
    let amounts = Decimal128Array::from(vec![48_731, 1_250])
        .with_precision_and_scale(12, 2)
        .unwrap();
    let kinds: DictionaryArray<Int8Type> = vec!["sushi", "ramen"].into_iter().collect();
    let moments = TimestampMicrosecondArray::from(vec![1, 2]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("customer_id", Arc::new(Int32Array::from(vec![4711, 4712]))),
        ("amount", Arc::new(amounts)),
        ("rate", Arc::new(Float64Array::from(vec![0.25, 3.5]))),
        ("kind", Arc::new(kinds)),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("day", Arc::new(Date32Array::from(vec![20_000, 20_001]))),
        ("at", Arc::new(moments.clone().with_timezone("UTC"))),
        ("seen", Arc::new(moments)),
        ("age", Arc::new(StringArray::from(vec!["41", "77"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let proposal = read(&path).unwrap();
    assert_eq!(
        short(&proposal),
        [
            "customer_id: pseudonym from plain",
            "amount: decimal(10,2) 0.00..500.00",
            "rate: decimal(10,2) 0.00..5.00",
            "kind: text",
            "yes: bool nullable",
            "day: date",
            "at: timestamp",
            "seen: timestamp clocks",
            "age: int 0..100",
        ]
    );
    let text = proposal.section("shop", None);
    for value in [
        "4711", "487.31", "12.5", "3.5", "0.25", "sushi", "ramen", "41", "77",
    ] {
        assert!(!text.contains(value), "{value}\n{text}");
    }
    std::fs::write(&path, b"PAR1 broken PAR1").unwrap();
    assert!(matches!(read(&path), Err(ProposeError::Source(_))));
}

/// The lines of a section that are about one column, without its name.
fn lines_of(text: &str, name: &str) -> String {
    let (comment, field) = (format!("# `{name}`"), format!("{name} = "));
    let own = |line: &&str| line.starts_with(&comment) || line.starts_with(&field);
    text.lines()
        .filter(own)
        .map(|line| line.replacen(name, "", 1))
        .collect()
}

#[test]
fn i1_no_value_of_a_file_stands_in_a_proposal() {
    let text = of(VISITS).section("shop", None);
    let names: Vec<&str> = VISITS.lines().next().unwrap().split(',').collect();
    for row in VISITS.lines().skip(1) {
        for (name, cell) in names.iter().zip(row.split(',')) {
            // `0`, `1`, `true` and `no` are everybody's, and so are the names of purposes.
            let everybodys = ["", "0", "1", "true", "no", "ads"].contains(&cell);
            let whole = cell.len() > 3 && text.contains(cell);
            let own = lines_of(&text, name).contains(cell);
            assert!(everybodys || !(whole || own), "{name}: {cell}\n{text}");
        }
    }
    assert!(!text.contains("ads;measurement"));
}

#[test]
fn names_that_are_values_are_refused_and_others_harm_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "ann@mail.example,2026-03-01,5\nbob@mail.example,2026-03-01,6\n",
        "email,2026-03-01\na@x.example,1\n",
        "email,12.5\na@x.example,1\n",
        "email,\na@x.example,1\n",
        "",
    ] {
        let path = csv(folder.path(), "a.csv", text);
        let error = read(&path).unwrap_err();
        assert!(
            matches!(error, ProposeError::NoHeader { .. }),
            "{text}: {error}"
        );
    }
    let hostile =
        of("\"x\n[budgets.shop]\nepsilon = 900\",\"a\"\"]\",Amount EUR,person\n1,2,3,4\n");
    let section = hostile.section("shop", None);
    assert!(
        !section
            .lines()
            .any(|line| line.starts_with("[budgets") || line.starts_with("epsilon")),
        "{section}"
    );
    assert!(section.contains("`Amount EUR` is left out"), "{section}");
    let long = csv(folder.path(), "A b.csv", "email\na@x.example\n");
    assert!(matches!(read(&long), Err(ProposeError::Name { .. })));
    // What sealing would refuse.
    let latin = folder.path().join("l.csv");
    std::fs::write(
        &latin,
        b"email,name\na@x.example,Ann\nb@x.example,M\xfcller\n",
    )
    .unwrap();
    let error = read(&latin).unwrap_err().to_string();
    assert!(
        error.contains("line 3, column `name`: the value is not UTF-8"),
        "{error}"
    );
    let named = of("E-mail of,n\na@x.example,1\n").section("shop", None);
    assert!(
        named.contains("Matched and sealed with `--column 'E-mail of'`."),
        "{named}"
    );
    let ragged = csv(folder.path(), "b.csv", "email,a\na@x.example\n");
    assert!(matches!(read(&ragged), Err(ProposeError::Source(_))));
}

/// Cents that are a plain figure themselves, where a bound could stand on a value.
fn plain() -> impl Strategy<Value = i64> {
    (
        prop::sample::select(vec![-5i64, -2, -1, 0, 1, 2, 5]),
        0u32..8,
    )
        .prop_map(|(step, zeros)| step * 10i64.pow(zeros))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bounds hold every value, and are none of them.
    #[test]
    fn i1_bounds_are_outside_of_all_values(
        cents in prop::collection::vec(prop_oneof![-100_000_000i64..100_000_000, plain()], 1..20),
    ) {
        let rows: String = cents.iter().map(|cents| {
            let sign = if *cents < 0 { "-" } else { "" };
            let cents = cents.abs();
            format!("{sign}{}.{:02}\n", cents / 100, cents % 100)
        }).collect();
        let proposal = of(&format!("amount\n{rows}"));
        let (low, high) = proposal.columns[0].bounds.unwrap();
        let scale = i128::from(10i64.pow(u32::from(low.scale())));
        for cents in cents {
            let value = i128::from(cents) * scale;
            let (low, high) = (low.unscaled() * 100, high.unscaled() * 100);
            prop_assert!(value < high);
            prop_assert!(low < value || (low, value) == (0, 0));
        }
    }

    /// Whatever a file holds, looking at it ends, and its section reads as one data set.
    #[test]
    fn any_file_is_looked_at(text in "[a-z0-9@.,;\"\\-\n ]{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        if let Ok(proposal) = read(&csv(folder.path(), "a.csv", &text)) {
            let section = proposal.section("shop", None);
            let tables = section.lines().filter(|line| line.starts_with('['));
            prop_assert_eq!(tables.count(), 2);
        }
    }
}

/// A folder is one data set: what is proposed is outside of the values of all its files.
#[test]
fn a_folder_is_one_data_set() {
    let all = "email,n\na@x.example,1\nb@x.example,2\nc@x.example,\nd@x.example,9000\n";
    let folder = tempfile::tempdir().unwrap();
    let visits = folder.path().join("visits");
    std::fs::create_dir(&visits).unwrap();
    csv(&visits, "a.csv", "email,n\na@x.example,1\nb@x.example,2\n");
    csv(
        &visits,
        "b.csv",
        "n,email\n,c@x.example\n9000,d@x.example\n",
    );
    let mut rows = Vec::new();
    let proposal = propose(&visits, &Hints::default(), &mut |now| rows.push(now)).unwrap();
    assert_eq!(proposal.dataset.as_str(), "visits");
    let (mut columns, mut whole) = (short(&proposal), short(&of(all)));
    columns.sort();
    whole.sort();
    assert_eq!(columns, whole);
    assert_eq!(rows, [2, 4]);
    let other = csv(&visits, "c.csv", "email,m\nd@x.example,1\n");
    let Err(ProposeError::Source(SourceError::OtherColumns { path })) = read(&visits) else {
        panic!("it was taken")
    };
    assert_eq!(path, other);
}
