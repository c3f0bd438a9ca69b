//! I7 against the owner of a public data set, which knows its rows and may push what it likes:
//! how many of them another owner's row meets must not make a query long or large. And
//! against an owner of more people than it declares.

use arrow::array::{Int64Array, StringArray};
use incamera_types::Pseudonym;

use super::sealed::{Made, Room};
use super::swapped::by_region;
use super::*;
use crate::source::SourceError;
use crate::{memory, prove, public};

/// Purchases by their category with a public data set that may have `rows` rows.
fn joined(on: &str, rows: u64, more: &str) -> CheckedQuery {
    let sql = format!(
        "SELECT COUNT(DISTINCT purchases.person) AS people
FROM purchases {on}
JOIN mailing ON mailing.person = purchases.person WHERE mailing.mailed"
    );
    let rows = format!("{{ purchases = 5, mailing = 1, regions = {rows} }}");
    let reads = format!(
        "[\"purchases.person\", \"purchases.category\", \"regions.category\", \"mailing.person\", \"mailing.mailed\"{more}]"
    );
    let settings = [("reads", reads.as_str()), ("rows", rows.as_str())];
    let agreement = agreement(&sql, &settings);
    prove(&agreement, query(&agreement)).unwrap()
}

const ABOVE: &str = "JOIN regions ON regions.category > purchases.category";
const EQUAL: &str = "JOIN regions ON regions.category = purchases.category";

fn regions(categories: &[Option<&str>]) -> RecordBatch {
    let texts: StringArray = categories.iter().copied().collect();
    let names = StringArray::from(vec!["north"; categories.len()]);
    batch(vec![
        ("category", Arc::new(texts)),
        ("region", Arc::new(names)),
    ])
}

/// Everybody was mailed and bought food; the public rows come in these batches.
fn memory(persons: &[Person], public: Vec<RecordBatch>) -> Memory {
    let food = StringArray::from(vec!["food"; persons.len()]);
    let purchases = batch(vec![
        ("person", people(persons.iter().copied())),
        ("category", Arc::new(food)),
        ("items", Arc::new(Int64Array::from(vec![1; persons.len()]))),
    ]);
    let mailed = arrow::array::BooleanArray::from(vec![true; persons.len()]);
    let mailing = batch(vec![
        ("person", people(persons.iter().copied())),
        ("mailed", Arc::new(mailed)),
    ]);
    let parts = [
        ((dataset("purchases"), 0), vec![vec![purchases]]),
        ((dataset("mailing"), 0), vec![vec![mailing]]),
        ((dataset("regions"), 0), vec![public]),
    ];
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

fn checked_public(checked: &CheckedQuery, source: Memory) -> Result<(), SourceError> {
    let source: Arc<dyn PartSource> = Arc::new(source);
    public::check(checked, &source)
}

fn too_many(most: u64) -> SourceError {
    let dataset = dataset("regions");
    SourceError::TooManyRows { dataset, most }
}

#[test]
fn i7_public_rows_beyond_those_agreed_are_refused_before_and_while_a_query_runs() {
    let checked = joined(ABOVE, 3, "");
    let rows =
        |categories: &[Option<&str>]| vec![regions(&categories[..2]), regions(&categories[2..])];
    let three = rows(&[Some("x"), Some("y"), Some("y")]);
    let four = rows(&[Some("x"), Some("y"), Some("y"), Some("a")]);
    assert_eq!(
        checked_public(&checked, memory(&[person(1)], three.clone())),
        Ok(())
    );
    assert_eq!(totals(&checked, memory(&[person(1)], three), 1), [1]);
    // Whether a person's row is there to meet them or not.
    for persons in [vec![person(1)], vec![]] {
        let source = || memory(&persons, four.clone());
        assert_eq!(checked_public(&checked, source()), Err(too_many(3)));
        let raw = try_raw(&checked, Arc::new(source()), 1);
        assert_eq!(raw.err(), Some(QueryError::Source(too_many(3))));
    }
}

#[test]
fn i7_a_row_meets_one_row_at_most_of_a_public_data_set_with_keys() {
    let found = |checked: &CheckedQuery, categories: &[Option<&str>]| {
        checked_public(checked, memory(&[person(1)], vec![regions(categories)]))
    };
    let checked = joined(EQUAL, 9, "");
    assert_eq!(found(&checked, &[Some("food"), Some("home")]), Ok(()));
    assert_eq!(
        found(&checked, &[Some("food"), None, None]),
        Ok(()),
        "null meets nothing"
    );
    let twice = |columns: &str| {
        let (dataset, columns) = (dataset("regions"), columns.to_owned());
        Err(SourceError::Twice { dataset, columns })
    };
    let double = [Some("food"), Some("home"), Some("food")];
    assert_eq!(found(&checked, &double), twice("`category`"));
    // Both columns are keys: a row is there twice only if it is in both.
    let region = ", \"regions.region\"";
    let both = format!("{EQUAL} AND purchases.category = regions.region");
    assert_eq!(
        found(&joined(&both, 9, region), &double),
        twice("`category` and `region`")
    );
    // No key: an expression of both sides, and none of the other side's.
    let none = "JOIN regions ON CASE WHEN purchases.category = 'x' THEN regions.category ELSE 'x' END = purchases.category";
    assert_eq!(found(&joined(none, 9, ""), &double), Ok(()));
}

#[test]
fn what_may_meet_many_rows_is_counted_as_many() {
    let of_joins = |on: &str, rows| memory::of_plan(&joined(on, rows, ""));
    assert_eq!(
        of_joins(EQUAL, 1),
        of_joins(EQUAL, 1_000),
        "one row meets one"
    );
    // The engine puts what has no key last, but where the join is a LEFT one.
    let checked = |rows| {
        let sql = ABOVE.replacen("JOIN regions", "LEFT JOIN regions", 1);
        memory::of_plan(&joined(&sql, rows, ""))
    };
    let (few, many) = (checked(1), checked(1_000));
    let rows = 4 * memory::batch_rows(&joined(ABOVE, 1, "")) as u64;
    assert!(many - few > 999 * rows * 48, "{few} {many}");
}

#[test]
fn i7_sealed_public_rows_are_looked_at_before_an_owner_is_asked() {
    let found = |regions: &'static [&'static str]| {
        let made = Made {
            regions,
            ..by_region()
        };
        Room::new(made).check_public()
    };
    assert_eq!(found(&["food", "home"]), Ok(()));
    assert_eq!(found(&["food", "home", "else"]), Err(too_many(2)));
    assert!(matches!(
        found(&["food", "food"]),
        Err(SourceError::Twice { .. })
    ));
}

/// Memory is counted for the people declared.
#[test]
fn more_than_twice_the_people_declared_are_refused() {
    let mut checked = joined(EQUAL, 9, "");
    let declared = checked.declared.clone();
    assert_eq!(
        declared.values().copied().collect::<Vec<_>>(),
        [90_000, 100_000]
    );
    checked
        .declared
        .values_mut()
        .for_each(|people| *people = 100);
    let everybody = |count: u32| -> Vec<Person> {
        let number = |number: u32| {
            let mut person = [7; Pseudonym::BYTES];
            person[..4].copy_from_slice(&number.to_be_bytes());
            person
        };
        (0..count).map(number).collect()
    };
    let run = |count: u32| {
        let source = memory(&everybody(count), vec![regions(&[Some("food")])]);
        try_raw(&checked, Arc::new(source), 1).map(|raw| exact(&raw))
    };
    // Twice a hundred, and a thousand for chance.
    assert_eq!(run(1_200), Ok(vec![1_200]));
    let dataset = dataset("mailing");
    let refused = QueryError::Source(SourceError::TooManyPeople { dataset });
    assert_eq!(run(1_201), Err(refused));
}
