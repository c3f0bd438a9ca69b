//! I7 against an owner who seals what it likes: whether its rows meet another owner's must not
//! show in an outcome.

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use incamera_seal::Bounds;
use incamera_types::{ColumnName, Pseudonym};

use super::*;
use crate::prove;
use crate::source::{Batches, SourceError};

/// A purchase: whose, day, moment, category.
#[derive(Clone)]
struct Bought(Person, i32, i64, String);

fn bought(person: Person) -> Bought {
    Bought(person, 20_000, 20_000 * DAY_US, "food".to_owned())
}

const DAY_US: i64 = 86_400_000_000;

fn purchases(rows: &[Bought]) -> RecordBatch {
    let amounts = Decimal128Array::from(vec![100; rows.len()]);
    let moments: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.2)).collect();
    let texts: StringArray = rows.iter().map(|row| Some(row.3.as_str())).collect();
    batch(vec![
        ("person", people(rows.iter().map(|row| row.0))),
        (
            "day",
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Date32Array>()),
        ),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        ("items", Arc::new(Int64Array::from(vec![1; rows.len()]))),
        ("points", Arc::new(Int64Array::from(vec![1; rows.len()]))),
        ("category", Arc::new(texts)),
        ("at", Arc::new(moments.with_timezone("UTC"))),
    ])
}

fn mailing(rows: &[Person]) -> RecordBatch {
    batch(vec![
        ("person", people(rows.iter().copied())),
        (
            "mailed",
            Arc::new(BooleanArray::from(vec![true; rows.len()])),
        ),
    ])
}

/// Two data sets in one slice; the shop's purchases in the batches given.
fn memory(mailed: &[Person], bought: &[&[Bought]]) -> Memory {
    let bought = bought.iter().map(|rows| purchases(rows)).collect();
    let parts = [
        ((dataset("mailing"), 0), vec![vec![mailing(mailed)]]),
        ((dataset("purchases"), 0), vec![bought]),
    ];
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

/// The mailer's people with what they bought, grouped by `key` of the declared `values`;
/// `listed` are the categories that the agreement lists, if it does.
fn by(key: &str, column: &str, values: &str, listed: Option<&str>) -> CheckedQuery {
    let sql = format!(
        "SELECT {key} AS k, COUNT(DISTINCT mailing.person) AS people
FROM mailing JOIN purchases ON purchases.person = mailing.person
WHERE mailing.mailed GROUP BY {key}"
    );
    let reads = format!(
        "[\"mailing.person\", \"mailing.mailed\", \"purchases.person\", \"purchases.{column}\"]"
    );
    let category = "category = { type = \"text\", ";
    let list = |list| format!("{category}values = [\"{list}\"], other = \"null\", ");
    let base = listed.map_or(DATASETS.to_owned(), |one| {
        DATASETS.replacen(category, &list(one), 1)
    });
    let groups = format!("{{ k = {values} }}");
    let settings = [
        ("reads", reads.as_str()),
        ("rows", "{ purchases = 9, mailing = 1 }"),
        ("groups", groups.as_str()),
    ];
    let agreement = agreement_of(&base, &sql, &settings);
    prove(&agreement, query(&agreement)).unwrap()
}

/// Two people, in order of pseudonym.
fn pair() -> [Person; 2] {
    let mut pair = [person(1), person(2)];
    pair.sort();
    pair
}

/// Every value that a type can hold becomes one that the plan can take: whether the person
/// with the odd value is in the mailer's list shows in the counts alone, which get noise.
#[test]
fn i7_odd_values_of_one_owner_do_not_show_whom_the_other_has() {
    let [odd, other] = pair();
    let days = "[\"0001-01-01\", \"9999-12-31\", \"2024-10-04\"]";
    let long = "x".repeat(5_000);
    type Edit = fn(&mut Bought, &str);
    let at = "CAST(purchases.at AS DATE)";
    let cases: [(CheckedQuery, Edit, Option<usize>); 9] = [
        (
            by("purchases.day", "day", days, None),
            |b, _| b.1 = i32::MIN,
            Some(0),
        ),
        (
            by("purchases.day", "day", days, None),
            |b, _| b.1 = i32::MAX,
            Some(1),
        ),
        (by("purchases.day", "day", days, None), |_, _| (), Some(2)),
        (by(at, "at", days, None), |b, _| b.2 = i64::MIN, Some(0)),
        (by(at, "at", days, None), |b, _| b.2 = i64::MAX, Some(1)),
        (by(at, "at", days, None), |_, _| (), Some(2)),
        (
            // Of the column itself the check knows that it is never `secret`.
            by(
                "lower(purchases.category)",
                "category",
                "[\"food\", \"secret\"]",
                Some("food"),
            ),
            |b, _| b.3 = "secret".into(),
            None,
        ),
        (
            by(
                "purchases.category",
                "category",
                "[\"food\", \"secret\"]",
                None,
            ),
            |b, long| b.3 = long.into(),
            None,
        ),
        (
            by(
                "purchases.category",
                "category",
                "[\"food\", \"secret\"]",
                None,
            ),
            |b, _| b.3 = "secret".into(),
            Some(1),
        ),
    ];
    for (at, (checked, edit, group)) in cases.iter().enumerate() {
        let mut row = bought(odd);
        edit(&mut row, &long);
        let rows = [row, bought(other)];
        let with = try_raw(checked, Arc::new(memory(&[odd, other], &[&rows])), 1);
        let without = try_raw(checked, Arc::new(memory(&[other], &[&rows])), 1);
        let (with, mut without) = (exact(&with.unwrap()), exact(&without.unwrap()));
        if let Some(group) = group {
            without[*group] += 1;
        }
        assert_eq!(with, without, "case {at}");
    }
}

/// A part in memory that breaks off with an error.
struct Breaks {
    memory: Memory,
    of: &'static str,
}

fn damage(of: &str, slice: u8) -> SourceError {
    SourceError::Part {
        dataset: dataset(of),
        file_id: incamera_types::FileId::from_bytes([slice; 16]),
    }
}

impl PartSource for Breaks {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        self.memory.partitions(dataset)
    }

    fn open(
        &self,
        name: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let mut parts = self.memory.open(name, partition, columns, bounds)?;
        if name.as_str() == self.of {
            let error = damage(self.of, u8::try_from(partition).unwrap());
            let broken = std::iter::once(Err(error));
            let first = parts.pop().unwrap();
            parts.push(Box::new(first.chain(broken)));
        }
        Ok(parts)
    }
}

/// An engine does not read the other side of a join that has no rows here. Damage there must
/// be found all the same, or the outcome would say whether somebody is in the mailer's list.
#[test]
fn i7_damage_is_found_whatever_a_join_reads() {
    let [one, two] = pair();
    let unsealed = || {
        QueryError::Source(SourceError::Unsealed {
            dataset: dataset("purchases"),
        })
    };
    let days = "[\"2024-10-04\"]";
    let inner = by("purchases.day", "day", days, None);
    for mailed in [vec![one, two], vec![one], vec![two], vec![]] {
        let falling = [bought(two), bought(one)];
        let found = try_raw(&inner, Arc::new(memory(&mailed, &[&falling])), 1);
        assert_eq!(found.err(), Some(unsealed()), "{}", mailed.len());
        // Only the second batch breaks the order.
        let batches: [&[Bought]; 2] = [&[bought(two)], &[bought(one)]];
        let found = try_raw(&inner, Arc::new(memory(&mailed, &batches)), 1);
        assert_eq!(found.err(), Some(unsealed()), "{}", mailed.len());
        for of in ["purchases", "mailing"] {
            let memory = memory(&mailed, &[&[bought(one), bought(two)]]);
            let found = try_raw(&inner, Arc::new(Breaks { memory, of }), 1);
            let expected = QueryError::Source(damage(of, 0));
            assert_eq!(found.err(), Some(expected), "{of} {}", mailed.len());
        }
    }
}

/// The same of sides that a plan reads for their being there alone, or twice.
#[test]
fn i7_damage_is_found_in_every_reading() {
    let [one, two] = pair();
    for condition in [
        "EXISTS (SELECT 1 FROM purchases WHERE purchases.person = mailing.person AND day > DATE '2020-01-01')",
        "person IN (SELECT person FROM purchases GROUP BY person, day HAVING COUNT(*) > 1)",
        "person IN (SELECT a.person FROM purchases a JOIN purchases b ON a.person = b.person AND a.day < b.day)",
        "person IN (SELECT person FROM (SELECT person, RANK() OVER (PARTITION BY person ORDER BY day) AS n FROM purchases) t WHERE n = 2)",
    ] {
        let sql = format!(
            "SELECT COUNT(DISTINCT person) AS people FROM mailing WHERE mailed AND {condition}"
        );
        let settings = [
            (
                "reads",
                "[\"mailing.person\", \"mailing.mailed\", \"purchases.person\", \"purchases.day\"]",
            ),
            ("rows", "{ purchases = 9, mailing = 1 }"),
        ];
        let agreement = agreement(&sql, &settings);
        let checked = prove(&agreement, query(&agreement)).unwrap();
        for mailed in [vec![one, two], vec![one], vec![two], vec![]] {
            for of in ["purchases", "mailing"] {
                let memory = memory(&mailed, &[&[bought(one), bought(two)]]);
                let found = try_raw(&checked, Arc::new(Breaks { memory, of }), 1);
                let expected = QueryError::Source(damage(of, 0));
                assert_eq!(found.err(), Some(expected), "{of} {condition}");
            }
            let sound = memory(&mailed, &[&[bought(one), bought(two)]]);
            assert!(try_raw(&checked, Arc::new(sound), 1).is_ok(), "{condition}");
        }
    }
}

/// With damage in several stretches and data sets, the same one is reported each time.
#[test]
fn i7_one_error_is_reported_whichever_came_first() {
    let everyone: Vec<Person> = (0..=255).map(person).collect();
    let checked = by("purchases.day", "day", "[\"2024-10-04\"]", None);
    let spread = |mailed: bool| {
        let mut memory = Memory {
            partitions: 8,
            ..Memory::default()
        };
        for slice in 0..8 {
            let inside = |person: &&Person| Pseudonym::from_bytes(**person).partition(8) == slice;
            let mut inside: Vec<Person> = everyone.iter().filter(inside).copied().collect();
            inside.sort();
            let rows: Vec<_> = inside.iter().map(|person| bought(*person)).collect();
            let bought = vec![vec![purchases(&rows)]];
            memory.parts.insert((dataset("purchases"), slice), bought);
            let inside = if mailed { &inside[..] } else { &[] };
            let mailing = vec![vec![mailing(inside)]];
            memory.parts.insert((dataset("mailing"), slice), mailing);
        }
        memory
    };
    for at in 0..24 {
        let memory = spread(at % 2 == 0);
        let of = "purchases";
        let found = try_raw(&checked, Arc::new(Breaks { memory, of }), 1);
        let expected = QueryError::Source(damage(of, 0));
        assert_eq!(found.err(), Some(expected), "run {at}");
    }
}
