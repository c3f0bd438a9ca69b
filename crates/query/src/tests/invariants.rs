//! I6, I7 and I8, as far as this crate can break them.

use arrow::array::{Date32Array, Decimal128Array, Int64Array, StringArray};
use incamera_types::Value;

use super::*;
use crate::OtherRequest;
use crate::source::{Batches, SourceError};
use crate::{check, prove};

/// True if the type implements the trait: an inherent constant wins over the trait's.
macro_rules! implements {
    ($ty:ty: $($bound:tt)+) => {{
        #[allow(dead_code)]
        trait Fallback {
            const IS: bool = false;
        }
        impl<T: ?Sized> Fallback for T {}
        struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const IS: bool = true;
        }
        <Probe<$ty>>::IS
    }};
}

#[test]
fn i6_an_exact_answer_cannot_be_shown_or_sent() {
    assert!(implements!(String: serde::Serialize), "the probe works");
    assert!(!implements!(RawAggregate: serde::Serialize));
    assert!(!implements!(RawAggregate: std::fmt::Display));
    assert!(!implements!(RawAggregate: std::fmt::Debug));
    assert!(!implements!(RawAggregate: Clone));
    assert!(!implements!(RawAggregate: PartialEq));
}

const PURCHASES: &str = "[\"purchases.person\", \"purchases.day\", \"purchases.amount\", \"purchases.items\", \"purchases.points\", \"purchases.category\"]";

/// Everything that the list of expressions allows, over hostile values.
const HOSTILE: &str = "SELECT COUNT(DISTINCT person) AS people,
  SUM(amount * items + amount) AS worth, SUM(points) AS points, SUM(-items) AS minus, COUNT(*) AS n
FROM purchases
WHERE category NOT IN ('x', '') AND (points > 0 OR points IS NULL OR points BETWEEN -5 AND 5 OR points < 0)
  AND CASE WHEN day < DATE '0001-01-01' THEN items + 1 WHEN day IS NULL THEN 2 ELSE 0 END >= 0";

fn hostile() -> CheckedQuery {
    let agreement = agreement(
        HOSTILE,
        &[
            ("reads", PURCHASES),
            ("rows", "{ purchases = 5 }"),
            (
                "per_person",
                "{ groups = 1, worth = [-100, 100], points = [-9, 9], minus = [-50, 50], n = [0, 5] }",
            ),
        ],
    );
    prove(&agreement, query(&agreement)).unwrap()
}

/// Person, day, amount, items, points, category.
type Purchase<'a> = (
    Person,
    Option<i32>,
    Option<i128>,
    Option<i64>,
    Option<i64>,
    Option<&'a str>,
);

fn purchases(rows: Vec<Purchase<'_>>) -> Memory {
    let amounts: Decimal128Array = rows.iter().map(|row| row.2).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("person", people(rows.iter().map(|row| row.0))),
        (
            "day",
            Arc::new(rows.iter().map(|row| row.1).collect::<Date32Array>()),
        ),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "items",
            Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
        ),
        (
            "points",
            Arc::new(rows.iter().map(|row| row.4).collect::<Int64Array>()),
        ),
        (
            "category",
            Arc::new(rows.iter().map(|row| row.5).collect::<StringArray>()),
        ),
    ];
    let parts = [((dataset("purchases"), 0), vec![vec![batch(columns)]])];
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

#[test]
fn i7_no_value_makes_an_error() {
    let long = "x".repeat(100_000);
    let days = [None, Some(i32::MIN), Some(i32::MAX), Some(0)];
    let amounts = [
        None,
        Some(i128::MAX),
        Some(i128::MIN),
        Some(0),
        Some(10i128.pow(10)),
    ];
    let numbers = [None, Some(i64::MIN), Some(i64::MAX), Some(0), Some(-1)];
    let texts = [
        None,
        Some(""),
        Some("\0"),
        Some("'; --"),
        Some(long.as_str()),
    ];
    let checked = hostile();
    let (mut rows, mut number) = (Vec::new(), 0u8);
    for day in days {
        for amount in amounts {
            for (items, points) in numbers.iter().zip(numbers.iter().rev()) {
                for text in texts {
                    number = number.wrapping_add(1);
                    rows.push((person(number), day, amount, *items, *points, text));
                }
            }
        }
    }
    rows.sort_by_key(|row| row.0);
    let totals = totals(&checked, purchases(rows), 1);
    // 256 people at most, each clamped.
    assert!((0..=256).contains(&totals[0]));
    assert!(totals[1].abs() <= 256 * 10_000 && totals[2].abs() <= 256 * 9);
}

#[test]
fn i7_refusals_know_no_rows() {
    // A check has no source of rows to look at: only the agreement and the parameters.
    let agreement = agreement(
        "SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE items = $n",
        &[
            ("reads", "[\"purchases.person\", \"purchases.items\"]"),
            ("rows", "{ purchases = 1 }"),
            ("params", "{ n = { type = \"int\" } }"),
        ],
    );
    let check = |pairs: &[(&str, Value)]| {
        check(&agreement, query(&agreement), &params(pairs))
            .map(|_| ())
            .map_err(|r| r.kind().word())
    };
    assert_eq!(check(&[("n", Value::Int(3))]), Ok(()));
    assert_eq!(check(&[]), Err("params"));
    assert_eq!(check(&[("n", Value::Bool(true))]), Err("params"));
    assert_eq!(
        check(&[("n", Value::Int(3)), ("m", Value::Int(3))]),
        Err("params")
    );
}

struct Broken(SourceError);

impl PartSource for Broken {
    fn partitions(&self, _: &DatasetName) -> Result<u32, SourceError> {
        Ok(3)
    }
    fn open(
        &self,
        _: &DatasetName,
        _: u32,
        _: &[incamera_types::ColumnName],
        _: &incamera_seal::Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        Err(self.0.clone())
    }
}

#[test]
fn i7_errors_are_of_parts_or_opaque() {
    let error = SourceError::Missing {
        dataset: dataset("purchases"),
    };
    let found = try_raw(&hostile(), Arc::new(Broken(error.clone())), 1)
        .err()
        .unwrap();
    assert_eq!(found, QueryError::Source(error));
    // Columns of other types than agreed: an owner's fault, and no word about a value.
    let mut odd = purchases(vec![(person(1), None, None, None, None, None)]);
    for batches in odd.parts.values_mut().flatten() {
        let people = batches[0].column(0).clone();
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["secret"]));
        let columns =
            ["day", "amount", "items", "points", "category"].map(|name| (name, texts.clone()));
        *batches = vec![batch(
            [("person", people)].into_iter().chain(columns).collect(),
        )];
    }
    let found = try_raw(&hostile(), Arc::new(odd), 1).err().unwrap();
    assert!(!found.to_string().contains("secret"));
    let unsealed = SourceError::Unsealed {
        dataset: dataset("purchases"),
    };
    assert_eq!(found, QueryError::Source(unsealed));
}

#[test]
fn people_out_of_order_or_place_are_refused() {
    let row = |number| (person(number), None, Some(1), Some(1), Some(1), Some("a"));
    let mut sorted = [person(1), person(2)];
    sorted.sort();
    let falling = vec![row(1), row(2)]
        .into_iter()
        .map(|mut r| {
            r.0 = if r.0 == sorted[0] {
                sorted[1]
            } else {
                sorted[0]
            };
            r
        })
        .collect();
    let unsealed = QueryError::Source(SourceError::Unsealed {
        dataset: dataset("purchases"),
    });
    assert_eq!(
        try_raw(&hostile(), Arc::new(purchases(falling)), 1).err(),
        Some(unsealed.clone())
    );
    // The same person in two slices would count twice.
    let mut twice = purchases(vec![row(1)]);
    twice.partitions = 2;
    let copy = twice.parts[&(dataset("purchases"), 0)].clone();
    twice.parts.insert((dataset("purchases"), 1), copy);
    assert_eq!(
        try_raw(&hostile(), Arc::new(twice), 1).err(),
        Some(unsealed)
    );
}

#[test]
fn i8_the_same_seeds_give_the_same_bytes() {
    use incamera_wire::encode;
    let row = |number| {
        (
            person(number),
            None,
            Some(i128::from(number)),
            Some(1),
            Some(1),
            Some("a"),
        )
    };
    let bytes = |key: u8| {
        let mut rows: Vec<_> = (0..200).map(row).collect();
        rows.sort_by_key(|row| row.0);
        let checked = hostile();
        let raw = try_raw(&checked, Arc::new(purchases(rows)), key).unwrap();
        encode(&answer(raw, key))
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

/// How many threads a machine has, and how many rows it takes at a time, is no part of a
/// request: neither shows in its answer.
#[test]
fn i8_threads_and_batches_do_not_show() {
    use incamera_wire::encode;
    let row = |at: u8| super::rows::Row {
        person: at % 40,
        amount: Some(i128::from(at) * 31),
        items: Some(i64::from(at % 7)),
        points: Some(i64::from(at % 19) - 9),
        category: Some("a"),
        ..Default::default()
    };
    // Six rows a person, of which five are kept.
    let rows: Vec<_> = (0..240).map(row).collect();
    let checked = Arc::new(hostile());
    let bytes = |threads: usize, step: usize| {
        let source = Arc::new(super::rows::memory(&rows, 8, step));
        let key = NoiseKey::from_bytes([1; 32]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let raw = runtime.block_on(compute_over(&checked, source, noise(&key), threads));
        encode(&answer(raw.unwrap(), 1))
    };
    let one = bytes(1, 1_000);
    for (threads, step) in [(1, 3), (2, 1_000), (5, 7), (64, 1)] {
        assert_eq!(bytes(threads, step), one, "{threads} {step}");
    }
}

/// Another request's noise on these sums, and these sums with their own: the difference of the
/// two answers would be exact.
#[test]
fn i6_an_exact_answer_gets_the_noise_of_its_own_request() {
    use incamera_types::{Digest as _, RequestDigest};
    let rows = vec![(person(1), None, Some(1), Some(1), Some(1), Some("a"))];
    let raw = || try_raw(&hostile(), Arc::new(purchases(rows.clone())), 1).unwrap();
    let key = NoiseKey::from_bytes([1; 32]);
    let own = noise(&key);
    let other = Noise {
        request: RequestDigest::from_bytes([2; 32]),
        ..own
    };
    assert!(release_with(raw(), own, true).is_ok());
    assert_eq!(release_with(raw(), other, true).err(), Some(OtherRequest));
}

#[test]
fn small_groups_are_withheld_by_the_noisy_count() {
    let agreement = agreement(
        "SELECT category AS category, COUNT(DISTINCT person) AS people, SUM(items) AS items FROM purchases GROUP BY category",
        &[
            (
                "reads",
                "[\"purchases.person\", \"purchases.category\", \"purchases.items\"]",
            ),
            ("rows", "{ purchases = 5 }"),
            ("groups", "{ category = [\"full\", \"empty\"] }"),
            ("per_person", "{ groups = 1, items = [0, 3] }"),
            ("min_people", "100"),
        ],
    );
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let mut rows: Vec<_> = (0..250)
        .map(|n| (person(n), None, None, Some(7), None, Some("full")))
        .collect();
    rows.sort_by_key(|row| row.0);
    let raw = try_raw(&checked, Arc::new(purchases(rows)), 1).unwrap();
    assert_eq!(exact(&raw), [250, 750, 0, 0]);
    let answer = super::answer(raw, 1);
    let withheld: Vec<bool> = answer.groups.iter().map(|group| group.withheld).collect();
    assert_eq!(
        withheld,
        [false, true],
        "an empty declared group has its row"
    );
    assert_eq!(
        (answer.groups[0].values.len(), answer.groups[1].values.len()),
        (2, 0)
    );
}

/// The deepest SQL that is let through is planned and run on any thread; deeper is refused.
#[test]
fn nothing_nests_too_deep() {
    let chains: [fn(usize) -> String; 4] = [
        |n| format!("items{} > 0", "+1".repeat(n)),
        |n| format!("items = 0{}", " OR items = 1".repeat(n)),
        |n| format!("{}items > 0{}", "NOT (".repeat(n), ")".repeat(n)),
        |n| {
            format!(
                "{}items > 0{}",
                "CASE WHEN ".repeat(n),
                " THEN true END".repeat(n)
            )
        },
    ];
    let settings = [
        ("reads", "[\"purchases.person\", \"purchases.items\"]"),
        ("rows", "{ purchases = 1 }"),
    ];
    for chain in chains {
        let planned = |n: usize| {
            let sql = format!(
                "SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE {}",
                chain(n)
            );
            let agreement = agreement(&sql, &settings);
            prove(&agreement, query(&agreement)).ok()
        };
        let mut depths = (1..400).map_while(|n| planned(n).map(|checked| (n, checked)));
        let (deepest, checked) = depths.by_ref().last().unwrap();
        assert!((10..70).contains(&deepest), "{deepest}");
        totals(
            &checked,
            purchases(vec![(person(1), None, None, Some(1), None, None)]),
            1,
        );
        assert!(planned(100_000 / 20).is_none());
    }
}
