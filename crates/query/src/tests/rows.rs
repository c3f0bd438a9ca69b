//! Rows of purchases, in memory.

use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray};
use incamera_types::Pseudonym;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) person: u8,
    pub(super) day: Option<i32>,
    pub(super) amount: Option<i128>,
    pub(super) items: Option<i64>,
    pub(super) points: Option<i64>,
    pub(super) category: Option<&'static str>,
    pub(super) gift: Option<bool>,
}

pub(super) fn memory(rows: &[Row], partitions: u32, step: usize) -> Memory {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| person(row.person));
    let mut memory = Memory {
        partitions,
        ..Memory::default()
    };
    for slice in 0..partitions {
        let inside =
            |row: &&Row| Pseudonym::from_bytes(person(row.person)).partition(partitions) == slice;
        let inside: Vec<Row> = rows.iter().filter(inside).cloned().collect();
        let batches = inside.chunks(step.max(1)).map(made).collect();
        memory
            .parts
            .insert((dataset("purchases"), slice), vec![batches]);
    }
    memory
}

pub(super) fn made(rows: &[Row]) -> RecordBatch {
    let amounts: Decimal128Array = rows.iter().map(|row| row.amount).collect();
    batch(vec![
        ("person", people(rows.iter().map(|row| person(row.person)))),
        (
            "day",
            Arc::new(rows.iter().map(|row| row.day).collect::<Date32Array>()),
        ),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "items",
            Arc::new(rows.iter().map(|row| row.items).collect::<Int64Array>()),
        ),
        (
            "points",
            Arc::new(rows.iter().map(|row| row.points).collect::<Int64Array>()),
        ),
        (
            "category",
            Arc::new(rows.iter().map(|row| row.category).collect::<StringArray>()),
        ),
        (
            "gift",
            Arc::new(rows.iter().map(|row| row.gift).collect::<BooleanArray>()),
        ),
    ])
}

pub(super) const DAYS: [i32; 9] = [
    i32::MIN,
    -719_163,
    -719_162,
    20_000,
    20_001,
    20_002,
    2_932_896,
    2_932_897,
    i32::MAX,
];
pub(super) const CENTS: [i128; 8] = [-100, 0, 1, 1_250, 49_999, 50_000, 50_001, 70_000];
pub(super) const ITEMS: [i64; 8] = [i64::MIN, -1, 0, 1, 50, 99, 100, 101];
pub(super) const TEXTS: [&str; 4] = ["food", "home", "toys", ""];

pub(super) fn one<T: Clone + std::fmt::Debug + 'static>(
    of: &'static [T],
) -> impl Strategy<Value = T> {
    prop::sample::select(of)
}

pub(super) fn maybe<S: Strategy>(some: S) -> impl Strategy<Value = Option<S::Value>> {
    prop::option::weighted(0.9, some)
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let values = (
        maybe(one(&DAYS)),
        maybe(one(&CENTS)),
        maybe(one(&ITEMS)),
        maybe(-9i64..9),
        maybe(one(&TEXTS)),
        prop::option::weighted(0.5, any::<bool>()),
    );
    (0u8..9, values).prop_map(
        |(person, (day, amount, items, points, category, gift))| Row {
            person,
            day,
            amount,
            items,
            points,
            category,
            gift,
        },
    )
}

/// The number as the agreement declares it.
pub(super) fn seen(row: &Row, column: &str) -> Option<i128> {
    match column {
        "day" => row
            .day
            .map(|day| i128::from(day).clamp(-719_162, 2_932_896)),
        "amount" => row.amount.map(|amount| amount.clamp(0, 50_000)),
        "items" => row.items.map(|items| i128::from(items).clamp(0, 100)),
        _ => row.points.map(i128::from),
    }
}

pub(super) fn category(row: &Row) -> Option<&'static str> {
    row.category.filter(|one| ["food", "home"].contains(one))
}
