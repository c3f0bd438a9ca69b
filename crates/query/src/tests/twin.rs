//! The bounded lift once more, slow and obvious, over random rows: both must agree exactly.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, Date32Array, Decimal128Array};
use incamera_types::{Date, Pseudonym, Value};
use proptest::prelude::*;

use super::*;
use crate::check;

const SQL: &str =
    "SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
  COUNT(DISTINCT customers.person) AS people,
  COUNT(DISTINCT purchases.person) AS buyers,
  SUM(purchases.amount) AS spend,
  COUNT(*) AS visits
FROM customers
JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person
  AND purchases.day BETWEEN $from AND $until
GROUP BY 1";

/// The query, with at most so many purchases and groups a person.
fn lift(purchases: u64, groups: u32) -> CheckedQuery {
    let rows = format!("{{ purchases = {purchases}, mailing = 2 }}");
    let per_person = format!("{{ groups = {groups}, spend = [-3, 400], visits = [0, 5] }}");
    let agreement = agreement(
        SQL,
        &[
            (
                "reads",
                "[\"customers.person\", \"purchases.person\", \"purchases.day\", \"purchases.amount\", \"mailing.person\", \"mailing.mailed\"]",
            ),
            (
                "params",
                "{ from = { type = \"date\" }, until = { type = \"date\" } }",
            ),
            (
                "groups",
                "{ campaign_group = [\"mailed\", \"not mailed\"] }",
            ),
            ("rows", &rows),
            ("per_person", &per_person),
        ],
    );
    let day = |days| Value::Date(Date::from_days(days));
    check(
        &agreement,
        query(&agreement),
        &params(&[("from", day(10)), ("until", day(20))]),
    )
    .unwrap()
}

type Mailing = (Person, Option<bool>);
type Purchase = (Person, i32, i128);

#[derive(Clone, Debug, Default)]
struct Data {
    customers: Vec<Person>,
    mailing: Vec<Mailing>,
    purchases: Vec<Purchase>,
}

/// People, buyers, spend and visits of the mailed, then of the others.
fn twin(data: &Data) -> Vec<i128> {
    let mut totals = vec![0; 8];
    for customer in &data.customers {
        let mut groups: BTreeMap<usize, Vec<Option<i128>>> = BTreeMap::new();
        for (_, mailed) in data.mailing.iter().filter(|(person, _)| person == customer) {
            let group = groups
                .entry(usize::from(*mailed != Some(true)))
                .or_default();
            let bought = data
                .purchases
                .iter()
                .filter(|(person, day, _)| person == customer && (10..=20).contains(day));
            let amounts: Vec<_> = bought
                .map(|(_, _, amount)| Some((*amount).clamp(0, 50_000)))
                .collect();
            group.extend(if amounts.is_empty() {
                vec![None]
            } else {
                amounts
            });
        }
        for (group, rows) in groups {
            let spend: i128 = rows.iter().flatten().sum();
            totals[group * 4] += 1;
            totals[group * 4 + 1] += i128::from(rows.iter().any(Option::is_some));
            totals[group * 4 + 2] += spend.clamp(-300, 40_000);
            totals[group * 4 + 3] += (rows.len() as i128).min(5);
        }
    }
    totals
}

/// Sorts rows into slices, and cuts each slice into parts and batches at the given places.
fn spread<T: Clone>(
    memory: &mut Memory,
    name: &str,
    rows: &[(Person, T)],
    pieces: &[usize],
    make: impl Fn(&[(Person, T)]) -> RecordBatch,
) {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(person, _)| *person);
    for slice in 0..memory.partitions {
        let inside = |(person, _): &&(Person, T)| {
            Pseudonym::from_bytes(*person).partition(memory.partitions) == slice
        };
        let inside: Vec<_> = rows.iter().filter(inside).cloned().collect();
        // Two parts, as two consent classes or two deliveries would be.
        let (even, odd): (Vec<_>, Vec<_>) = inside
            .iter()
            .cloned()
            .enumerate()
            .partition(|(at, _)| pieces[at % pieces.len()].is_multiple_of(2));
        let parts = [even, odd].map(|part| {
            let part: Vec<_> = part.into_iter().map(|(_, row)| row).collect();
            part.chunks(pieces[0] + 1).map(&make).collect::<Vec<_>>()
        });
        memory.parts.insert((dataset(name), slice), parts.into());
    }
}

fn memory(data: &Data, partitions: u32, pieces: &[usize]) -> Memory {
    let mut memory = Memory {
        partitions,
        ..Memory::default()
    };
    let customers: Vec<_> = data.customers.iter().map(|person| (*person, ())).collect();
    spread(&mut memory, "customers", &customers, pieces, |rows| {
        batch(vec![("person", people(rows.iter().map(|r| r.0)))])
    });
    spread(&mut memory, "mailing", &data.mailing, pieces, |rows| {
        let mailed: BooleanArray = rows.iter().map(|row| row.1).collect();
        batch(vec![
            ("person", people(rows.iter().map(|r| r.0))),
            ("mailed", Arc::new(mailed)),
        ])
    });
    let purchases: Vec<_> = data
        .purchases
        .iter()
        .map(|(person, day, amount)| (*person, (*day, *amount)))
        .collect();
    spread(&mut memory, "purchases", &purchases, pieces, |rows| {
        let days: Date32Array = rows.iter().map(|row| Some(row.1.0)).collect();
        let amounts: Decimal128Array = rows.iter().map(|row| Some(row.1.1)).collect();
        let amounts = amounts.with_precision_and_scale(10, 2).unwrap();
        batch(vec![
            ("person", people(rows.iter().map(|r| r.0))),
            ("day", Arc::new(days)),
            ("amount", Arc::new(amounts)),
        ])
    });
    memory
}

fn someone() -> impl Strategy<Value = Person> {
    (0u8..9).prop_map(person)
}

fn data() -> impl Strategy<Value = Data> {
    let customers = prop::collection::btree_set(someone(), 0..9);
    let mailing = prop::collection::vec((someone(), any::<Option<bool>>()), 0..9);
    // Amounts beyond the declared range too: an owner may seal what it likes.
    let purchases = prop::collection::vec((someone(), 5i32..25, -1_000i128..70_000), 0..40);
    (customers, mailing, purchases).prop_map(|(customers, mut mailing, purchases)| {
        // At most two mailing rows a person, so that the cut keeps all.
        let mut seen: BTreeMap<Person, usize> = BTreeMap::new();
        mailing.retain(|(person, _)| {
            let count = seen.entry(*person).or_default();
            *count += 1;
            *count <= 2
        });
        Data {
            customers: customers.into_iter().collect(),
            mailing,
            purchases,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_engine_agrees_with_the_twin(
        data in data(),
        partitions in 1u32..4,
        pieces in prop::collection::vec(0usize..7, 1..9),
    ) {
        let checked = lift(1000, 2);
        prop_assert_eq!(totals(&checked, memory(&data, partitions, &pieces), 1), twin(&data));
    }

    /// Which rows a cut keeps hangs on the key alone, not on parts, batches or threads; and it
    /// keeps as many as it may.
    #[test]
    fn cuts_keep_the_same_rows_however_they_come(
        data in data(),
        a in prop::collection::vec(0usize..7, 1..9),
    ) {
        let checked = lift(3, 1);
        let one = totals(&checked, memory(&data, 1, &[0]), 7);
        prop_assert_eq!(&one, &totals(&checked, memory(&data, 3, &[0]), 7));
        // The order of rows in a part decides which is which, so parts stay as they are.
        let mut batched = memory(&data, 1, &[0]);
        for parts in batched.parts.values_mut().flatten() {
            let whole = arrow::compute::concat_batches(&parts.first().map_or_else(|| batch(vec![("person", people([]))]).schema(), |b| b.schema()), parts.iter());
            if let (Ok(whole), Some(step)) = (whole, a.first().map(|step| step + 1)) {
                *parts = (0..whole.num_rows()).step_by(step).map(|at| whole.slice(at, step.min(whole.num_rows() - at))).collect();
            }
        }
        prop_assert_eq!(&one, &totals(&checked, batched, 7));
    }
}

/// Twenty purchases of one person, a cap of three: three rows are counted, and which ones
/// changes with the key.
#[test]
fn the_cut_is_by_lot() {
    let me = person(1);
    let data = Data {
        customers: vec![me],
        mailing: vec![(me, Some(true))],
        purchases: (0..20).map(|at| (me, 15, 1 << at)).collect(),
    };
    let checked = lift(3, 1);
    let mut seen = std::collections::BTreeSet::new();
    for key in 0..20 {
        let totals = totals(&checked, memory(&data, 1, &[0]), key);
        assert_eq!(totals[3], 3, "rows kept");
        seen.insert(totals[2]);
    }
    assert!(seen.len() > 5, "{seen:?}");
}

/// Somebody in two groups counts in one, by lot and not always in the same.
#[test]
fn groups_are_cut_by_lot() {
    let everyone: Vec<Person> = (0..60).map(person).collect();
    let data = Data {
        customers: everyone.clone(),
        mailing: everyone
            .iter()
            .flat_map(|p| [(*p, Some(true)), (*p, Some(false))])
            .collect(),
        purchases: Vec::new(),
    };
    let totals = totals(&lift(3, 1), memory(&data, 2, &[0]), 3);
    assert_eq!(totals[0] + totals[4], 60);
    // Binomial(60, 1/2): outside of 10 to 50 with probability below 1e-7 of a free key.
    assert!((10..=50).contains(&totals[0]), "{}", totals[0]);
}
