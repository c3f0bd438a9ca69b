//! Conditions on one data set, applied while it is read: against an oracle that filters rows in
//! memory, over a source that leaves out all that bounds allow it to.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use incamera_seal::{Bound, Bounds};
use incamera_types::{ColumnName, Date};
use proptest::prelude::*;

use super::rows::*;
use super::*;
use crate::prove;
use crate::source::{Batches, SourceError};

/// Leaves out every batch without a row within the bounds, as a part whose row groups are these
/// batches and whose statistics say all there is to say.
pub(super) struct Pruning {
    memory: Memory,
    left_out: AtomicUsize,
    read: AtomicUsize,
}

impl Pruning {
    pub(super) fn new(memory: Memory) -> Arc<Self> {
        Arc::new(Self {
            memory,
            left_out: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
        })
    }

    /// Rows left out, and rows read of all columns.
    fn seen(&self) -> (usize, usize) {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        (count(&self.left_out), count(&self.read))
    }
}

impl PartSource for Pruning {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        self.memory.partitions(dataset)
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let parts = self.memory.open(dataset, partition, columns, bounds)?;
        let prune = |batch: RecordBatch| {
            if (0..batch.num_rows()).any(|row| within(&batch, row, columns, bounds)) {
                self.read.fetch_add(batch.num_rows(), Ordering::Relaxed);
                return batch;
            }
            self.left_out.fetch_add(batch.num_rows(), Ordering::Relaxed);
            let person = columns.iter().position(|one| one.as_str() == "person");
            batch.project(&[person.unwrap()]).unwrap()
        };
        let part = |part: Batches| -> Batches {
            let batches: Vec<_> = part.map(|batch| batch.map(prune)).collect();
            Box::new(batches.into_iter())
        };
        Ok(parts.into_iter().map(part).collect())
    }
}

fn within(batch: &RecordBatch, row: usize, columns: &[ColumnName], bounds: &Bounds) -> bool {
    columns.iter().zip(batch.columns()).all(|(name, array)| {
        let Some(bound) = bounds.of(name) else {
            return true;
        };
        if array.is_null(row) {
            return false;
        }
        let number: i128 = match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
            DataType::Date32 => array.as_primitive::<Date32Type>().value(row).into(),
            DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row),
            DataType::Boolean => array.as_boolean().value(row).into(),
            _ => 0,
        };
        match bound {
            Bound::Numbers(ranges) => ranges.iter().any(|range| range.contains(&number)),
            Bound::Texts(texts) => texts.contains(array.as_string::<i32>().value(row)),
        }
    })
}

/// What a condition compares: a column, and a literal as SQL has it and as the oracle has it.
#[derive(Clone, Debug)]
enum Side {
    Number(&'static str, i128),
    Text(&'static str),
}

#[derive(Clone, Debug)]
enum Condition {
    Compare(Side, &'static str),
    Between(Side, Side),
    In(Vec<Side>),
    Null(&'static str, bool),
    Gift,
    /// One with functions, and what it is of a row.
    Made(&'static str, fn(&Row) -> Option<bool>),
    /// The condition is, or is not, one of true, false and unknown.
    Is(Box<Condition>, bool, Option<bool>),
    Both(Box<Condition>, Box<Condition>),
    Either(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

impl Side {
    fn column(&self) -> &'static str {
        match self {
            Self::Number(column, _) => column,
            Self::Text(_) => "category",
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::Number("day", days) => {
                format!("DATE '{}'", Date::from_days(i32::try_from(*days).unwrap()))
            }
            Self::Number("amount", cents) => format!("{}.{:02}", cents / 100, cents % 100),
            Self::Number(_, number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
        }
    }

    /// How the row's value stands to the literal; nothing if it is null.
    fn order(&self, row: &Row) -> Option<std::cmp::Ordering> {
        match self {
            Self::Number(column, number) => Some(seen(row, column)?.cmp(number)),
            Self::Text(text) => Some(category(row)?.cmp(text)),
        }
    }
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Self::Compare(side, op) => format!("{} {op} {}", side.column(), side.sql()),
            Self::Between(low, high) => {
                format!("{} BETWEEN {} AND {}", low.column(), low.sql(), high.sql())
            }
            Self::In(sides) => {
                let list: Vec<_> = sides.iter().map(Side::sql).collect();
                format!("{} IN ({})", sides[0].column(), list.join(", "))
            }
            Self::Null(column, is) => {
                format!("{column} IS {}NULL", if *is { "" } else { "NOT " })
            }
            Self::Gift => "gift".to_owned(),
            Self::Made(sql, _) => (*sql).to_owned(),
            Self::Is(inner, is, what) => {
                let what = match what {
                    Some(true) => "TRUE",
                    Some(false) => "FALSE",
                    None => "UNKNOWN",
                };
                let not = if *is { "" } else { "NOT " };
                format!("({}) IS {not}{what}", inner.sql())
            }
            Self::Both(a, b) => format!("({} AND {})", a.sql(), b.sql()),
            Self::Either(a, b) => format!("({} OR {})", a.sql(), b.sql()),
            Self::Not(inner) => format!("NOT ({})", inner.sql()),
        }
    }

    /// True, false, or unknown.
    fn of(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Compare(side, op) => {
                let order = side.order(row)?;
                Some(match *op {
                    "=" => order.is_eq(),
                    "<>" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Self::Between(low, high) => Some(low.order(row)?.is_ge() && high.order(row)?.is_le()),
            Self::In(sides) => {
                let mut found = false;
                for side in sides {
                    found |= side.order(row)?.is_eq();
                }
                Some(found)
            }
            Self::Null(column, is) => {
                let null = match *column {
                    "category" => category(row).is_none(),
                    "gift" => row.gift.is_none(),
                    column => seen(row, column).is_none(),
                };
                Some(null == *is)
            }
            Self::Gift => row.gift,
            Self::Made(_, of) => of(row),
            Self::Is(inner, is, what) => Some((inner.of(row) == *what) == *is),
            Self::Both(a, b) => match (a.of(row), b.of(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Either(a, b) => match (a.of(row), b.of(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.of(row).map(|is| !is),
        }
    }
}

/// The rows of the purchases for which `condition` is true, at most `cap` of each person.
fn checked(condition: &str, cap: usize) -> CheckedQuery {
    let sql = format!(
        "SELECT COUNT(DISTINCT person) AS people, SUM(points) AS points, COUNT(*) AS n
FROM purchases WHERE {condition}"
    );
    let columns = ["day", "amount", "items", "category", "gift"];
    let read = columns.iter().filter(|column| condition.contains(*column));
    let read: String = read
        .map(|column| format!(", \"purchases.{column}\""))
        .collect();
    let reads = format!("[\"purchases.person\", \"purchases.points\"{read}]");
    let rows = format!("{{ purchases = {cap} }}");
    let settings = [
        ("reads", reads.as_str()),
        ("rows", rows.as_str()),
        (
            "per_person",
            "{ groups = 1, points = [-100000, 100000], n = [0, 1000] }",
        ),
    ];
    let category = "category = { type = \"text\", ";
    let gift = "gift = { type = \"bool\", nullable = true, purposes = [\"measurement\"] }\n";
    let listed = format!("{gift}{category}values = [\"food\", \"home\"], other = \"null\", ");
    let base = DATASETS.replacen(category, &listed, 1);
    let agreement = agreement_of(&base, &sql, &settings);
    prove(&agreement, query(&agreement)).unwrap()
}

/// People, points and rows, at most `cap` rows a person; points only if nobody has more.
fn oracle(rows: &[Row], condition: &Condition, cap: usize) -> (i128, Option<i128>, i128) {
    let mut passing: BTreeMap<u8, Vec<i128>> = BTreeMap::new();
    for row in rows.iter().filter(|row| condition.of(row) == Some(true)) {
        let points = row.points.unwrap_or(0).into();
        passing.entry(row.person).or_default().push(points);
    }
    let counted = passing.values().map(|rows| rows.len().min(cap) as i128);
    let all = passing.values().all(|rows| rows.len() <= cap);
    let points = passing.values().flatten().sum();
    (passing.len() as i128, all.then_some(points), counted.sum())
}

/// Conditions with functions on the list.
const MADE: [Condition; 11] = [
    Condition::Made("abs(points) > 4", |row| Some(row.points?.abs() > 4)),
    Condition::Made("items % 3 = 1", |row| Some(seen(row, "items")? % 3 == 1)),
    Condition::Made("amount / items > 2", |row| {
        let (amount, items) = (seen(row, "amount")?, seen(row, "items")?);
        // Four digits more than cents, the rest cut off.
        Some((amount * 10_000).checked_div(items)? > 2_000_000)
    }),
    Condition::Made("date_part('year', day) = 2024", |row| {
        Some((19_723..=20_088).contains(&seen(row, "day")?))
    }),
    Condition::Made("date_trunc('month', day) < DATE '2024-10-01'", |row| {
        Some(seen(row, "day")? < 19_997)
    }),
    Condition::Made("day + 1 > DATE '2024-10-05'", |row| {
        Some((seen(row, "day")? + 1).min(2_932_896) > 20_001)
    }),
    Condition::Made("category LIKE '%o%e'", |row| Some(category(row)? == "home")),
    Condition::Made("starts_with(upper(category), 'F')", |row| {
        Some(category(row)? == "food")
    }),
    Condition::Made("coalesce(items, 7) < 8", |row| {
        Some(seen(row, "items").unwrap_or(7) < 8)
    }),
    Condition::Made("nullif(items, 0) >= 0", |row| {
        Some(seen(row, "items").filter(|items| *items != 0)? >= 0)
    }),
    Condition::Made(
        "CASE WHEN gift THEN points / 0 ELSE points END > 0",
        |row| {
            let points = if row.gift == Some(true) {
                None
            } else {
                row.points
            };
            Some(points? > 0)
        },
    ),
];

fn side() -> impl Strategy<Value = Side> {
    // A query names days of the years 1 to 9999, and amounts that are not negative.
    prop_oneof![
        one(&DAYS[2..7]).prop_map(|day| Side::Number("day", day.into())),
        one(&CENTS[1..]).prop_map(|cents| Side::Number("amount", cents)),
        one(&ITEMS[2..]).prop_map(|items| Side::Number("items", items.into())),
        (0i128..9).prop_map(|points| Side::Number("points", points)),
        one(&TEXTS).prop_map(Side::Text),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    const OPS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
    let alike = |(a, b): (Side, Side)| match a.column() == b.column() {
        true => vec![a, b],
        false => vec![a],
    };
    let leaf = prop_oneof![
        3 => (side(), one(&OPS)).prop_map(|(side, op)| Condition::Compare(side, op)),
        1 => (side(), side()).prop_map(move |pair| match &alike(pair)[..] {
            [low, high] => Condition::Between(low.clone(), high.clone()),
            sides => Condition::Compare(sides[0].clone(), ">="),
        }),
        1 => prop::collection::vec(side(), 1..5).prop_map(|mut sides| {
            let column = sides[0].column();
            sides.retain(|side| side.column() == column);
            Condition::In(sides)
        }),
        1 => (side(), any::<bool>()).prop_map(|(side, is)| Condition::Null(side.column(), is)),
        2 => Just(Condition::Gift),
        3 => one(&MADE),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let two = (inner.clone().prop_map(Box::new), inner.prop_map(Box::new));
        prop_oneof![
            2 => two.clone().prop_map(|(a, b)| Condition::Both(a, b)),
            2 => two.clone().prop_map(|(a, b)| Condition::Either(a, b)),
            1 => two.0.clone().prop_map(Condition::Not),
            2 => (two.0, any::<bool>(), any::<Option<bool>>())
                .prop_map(|(inner, is, what)| Condition::Is(inner, is, what)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Left out or read, in whatever batches and slices: the rows that pass are counted, up to
    /// the cap of those that pass, and the answer is the same one (I8).
    #[test]
    fn i8_what_is_left_out_changes_no_answer(
        rows in prop::collection::vec(row(), 0..60),
        condition in condition(),
        steps in (1usize..6, 1usize..30),
        cap in prop_oneof![Just(2usize), Just(1000)],
    ) {
        let checked = checked(&condition.sql(), cap);
        let raw = |source: Arc<dyn PartSource>| exact(&try_raw(&checked, source, 5).unwrap());
        let found = raw(Pruning::new(memory(&rows, 1, steps.0)));
        let (people, points, n) = oracle(&rows, &condition, cap);
        prop_assert_eq!((found[0], found[2]), (people, n), "{}", condition.sql());
        prop_assert_eq!(found[1], points.unwrap_or(found[1]));
        prop_assert_eq!(&found, &raw(Pruning::new(memory(&rows, 3, steps.1))));
        prop_assert_eq!(&found, &raw(Arc::new(memory(&rows, 2, steps.1))), "nothing left out");
    }
}

/// What is true of null bounds nothing: one person's value must not decide whether others who
/// have none are read.
#[test]
fn i8_a_condition_that_is_true_of_null_leaves_nothing_out() {
    for (condition, passes) in [
        ("NOT (gift IS TRUE)", false),
        ("(gift IS TRUE) IS FALSE", false),
        ("gift IS NOT TRUE", false),
        ("NOT (gift IS FALSE)", true),
        ("(gift IS FALSE) IS FALSE", true),
    ] {
        for first in [true, false] {
            let mut rows = [1, 2, 3, 4].map(|person| Row {
                person,
                ..Row::default()
            });
            rows[0].gift = Some(first);
            let source = Pruning::new(memory(&rows, 1, 100));
            let found = exact(&try_raw(&checked(condition, 9), source, 5).unwrap());
            assert_eq!(
                found[0],
                3 + i128::from(first == passes),
                "{condition}, {first}"
            );
        }
    }
}

/// Nine people of a hundred days each.
fn a_hundred_days() -> Vec<Row> {
    let row = |(person, day): (u8, i32)| Row {
        person,
        day: Some(20_000 + day),
        points: Some(1),
        category: Some(if day < 90 { "food" } else { "home" }),
        ..Row::default()
    };
    (0..9)
        .flat_map(|person| (0..100).map(move |day| (person, day)))
        .map(row)
        .collect()
}

/// The cut counts the rows that pass: with a cap of four, four of a person's ten late rows.
#[test]
fn rows_that_do_not_pass_take_nobodys_place() {
    let rows = a_hundred_days();
    for (condition, passing, left_out) in [
        ("day >= DATE '2025-01-02'", 4 * 9, 900 - 90),
        ("category = 'home'", 4 * 9, 900 - 90),
        ("category IN ('home', 'toys')", 4 * 9, 900 - 90),
        (
            "day >= DATE '2025-01-02' AND day IS NOT NULL",
            4 * 9,
            900 - 90,
        ),
        ("NOT (day < DATE '2025-01-02')", 4 * 9, 900 - 90),
        (
            "day = DATE '2025-01-11' OR day = DATE '2024-10-04'",
            2 * 9,
            900 - 180,
        ),
        ("day > DATE '2025-01-11'", 0, 900),
        ("day >= DATE '0001-01-01'", 4 * 9, 0),
        ("category = 'toys'", 0, 900),
        ("category <> 'food'", 4 * 9, 0),
        ("category IS NULL", 0, 0),
    ] {
        let source = Pruning::new(memory(&rows, 1, 10));
        let found = try_raw(&checked(condition, 4), source.clone(), 1).unwrap();
        assert_eq!(exact(&found)[2], passing, "{condition}");
        assert_eq!(source.seen(), (left_out, 900 - left_out), "{condition}");
    }
}

/// Whether an owner sealed about too many people, or out of order, does not hang on what an
/// analyst asks for: the pseudonyms of rows that do not pass, or are left out, count.
#[test]
fn i7_conditions_hide_no_error_of_an_owner() {
    let all = "day >= DATE '0001-01-01'";
    let none = "day > DATE '9000-01-01'";
    let of = || dataset("purchases");
    for condition in [all, none] {
        let few = CheckedQuery {
            // Twice as many, and some, are let through.
            declared: [(of(), 0)].into(),
            ..checked(condition, 1)
        };
        let ids: Vec<Person> = (0..1_001u32)
            .map(|number| {
                let mut person = [0; 16];
                person[..4].copy_from_slice(&number.to_be_bytes());
                person
            })
            .collect();
        let rows = |ids: &[Person]| {
            let mut batch = made(&vec![
                Row {
                    day: Some(1),
                    ..Row::default()
                };
                ids.len()
            ]);
            let mut columns = batch.columns().to_vec();
            columns[0] = people(ids.iter().copied());
            batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
            let batches = vec![batch.slice(0, 1), batch.slice(1, ids.len() - 1)];
            let parts = [((of(), 0), vec![batches])].into();
            Pruning::new(Memory {
                partitions: 1,
                parts,
            })
        };
        let error = |ids: &[Person]| try_raw(&few, rows(ids), 1).err();
        assert_eq!(error(&ids[..1_000]), None);
        let many = SourceError::TooManyPeople { dataset: of() };
        assert_eq!(error(&ids), Some(many.into()), "{condition}");
        let falling = [ids[1], ids[0]];
        let unsealed = SourceError::Unsealed { dataset: of() };
        assert_eq!(error(&falling), Some(unsealed.into()), "{condition}");
    }
}
