//! The aggregates: what they say before noise is what the engine says, and one person changes
//! them by no more than their noise is made for.

use arrow::array::{Array, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use incamera_dp::Sensitivity;
use incamera_wire::v1 as wire;
use num_bigint::BigUint;
use proptest::prelude::*;

use super::*;
use crate::{Table, prove, table};

const SQL: &str = "SELECT category AS category,
  COUNT(DISTINCT person) AS people,
  COUNT(points) AS pointed,
  COUNT(DISTINCT items) AS kinds,
  SUM(points) FILTER (WHERE items > 50) AS dear,
  COUNT(DISTINCT person) FILTER (WHERE items > 50) AS dear_people,
  AVG(amount) AS mean, VAR_SAMP(amount) AS spread, STDDEV_POP(items) AS width
FROM purchases GROUP BY category";

/// The query with these bounds.
fn aggregates(per_person: &str) -> Agreement {
    agreement(
        SQL,
        &[
            (
                "reads",
                "[\"purchases.person\", \"purchases.amount\", \"purchases.items\", \"purchases.points\", \"purchases.category\"]",
            ),
            ("rows", "{ purchases = 20 }"),
            ("groups", "{ category = [\"a\", \"b\", \"c\"] }"),
            ("per_person", per_person),
        ],
    )
}

const WIDE: &str = "{ groups = 3, pointed = [0, 20], kinds = { distinct = 20 }, dear = [-10_000, 10_000], mean = { value = [0, 500], rows = 20 }, spread = { value = [0, 500], rows = 20 }, width = { value = [0, 100], rows = 20 } }";
const NARROW: &str = "{ groups = 2, pointed = [0, 2], kinds = { distinct = 2 }, dear = [-30, 40], mean = { value = [10, 60], rows = 3 }, spread = { value = [-5, 40.25], rows = 2 }, width = { value = [10, 30], rows = 3 } }";

#[derive(Clone, Debug)]
struct Purchase {
    person: u8,
    category: Option<&'static str>,
    amount: Option<i128>,
    items: i64,
    points: Option<i64>,
}

fn purchase(people: std::ops::Range<u8>) -> impl Strategy<Value = Purchase> {
    let category = prop_oneof![
        Just(None),
        Just(Some("a")),
        Just(Some("b")),
        Just(Some("c"))
    ];
    let amount = prop::option::of(0i128..=50_000);
    (
        people,
        category,
        amount,
        0i64..=100,
        prop::option::of(-300i64..300),
    )
        .prop_map(|(person, category, amount, items, points)| Purchase {
            person,
            category,
            amount,
            items,
            points,
        })
}

fn purchases(mut rows: Vec<Purchase>) -> RecordBatch {
    rows.sort_by_key(|row| person(row.person));
    let amounts: Decimal128Array = rows.iter().map(|row| row.amount).collect();
    let items: Int64Array = rows.iter().map(|row| Some(row.items)).collect();
    let points: Int64Array = rows.iter().map(|row| row.points).collect();
    let categories: StringArray = rows.iter().map(|row| row.category).collect();
    batch(vec![
        ("person", people(rows.iter().map(|row| person(row.person)))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        ("items", Arc::new(items)),
        ("points", Arc::new(points)),
        ("category", Arc::new(categories)),
    ])
}

fn memory(rows: Vec<Purchase>) -> Memory {
    Memory {
        partitions: 1,
        parts: [((dataset("purchases"), 0), vec![vec![purchases(rows)]])].into(),
    }
}

/// An answer as it would be without noise.
fn noiseless(raw: &RawAggregate) -> wire::Answer {
    let checked = &raw.checked;
    let measure = |measure: &crate::Measure| wire::Measure {
        name: measure.name.clone(),
        unit: measure.unit.clone().unwrap_or_default(),
        scale: measure.scale.into(),
        sigma: 0.0,
        clamp_low: measure.low.to_string(),
        clamp_high: measure.high.to_string(),
        ..wire::Measure::default()
    };
    let exact = exact(raw);
    let values = exact.chunks(checked.measures.len());
    let groups = (0..).zip(values).map(|(cell, values)| wire::Group {
        key: declared_key(&checked.query.groups, cell),
        withheld: false,
        values: values
            .iter()
            .map(|value| i64::try_from(*value).unwrap())
            .collect(),
    });
    wire::Answer {
        query: "q".into(),
        keys: checked
            .query
            .groups
            .iter()
            .map(|group| group.name.clone())
            .collect(),
        measures: checked.measures.iter().map(measure).collect(),
        groups: groups.collect(),
        simulated: false,
        threshold: 0,
    }
}

/// The table without noise.
fn shown(agreement: &Agreement, rows: Vec<Purchase>) -> Table {
    let checked = prove(agreement, query(agreement)).unwrap();
    let raw = try_raw(&checked, Arc::new(memory(rows)), 1).unwrap();
    table(
        &noiseless(&raw),
        agreement,
        query(agreement),
        &Params::new(),
    )
    .unwrap()
}

/// What the engine itself says, by group, in order of columns: plain SQL over plain rows.
fn engine(sql: &str, rows: Vec<Purchase>) -> BTreeMap<String, Vec<Option<f64>>> {
    let rows = purchases(rows);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let context = SessionContext::new();
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        context
            .register_table("purchases", Arc::new(table))
            .unwrap();
        context.sql(sql).await.unwrap().collect().await.unwrap()
    });
    let mut found = BTreeMap::new();
    for batch in answer {
        let keys = cast(batch.column(0), &DataType::Utf8).unwrap();
        let keys = keys.as_any().downcast_ref::<StringArray>().unwrap().clone();
        for row in 0..batch.num_rows() {
            let number = |column: &ArrayRef| {
                let column = cast(column, &DataType::Float64).unwrap();
                let numbers = column.as_any().downcast_ref::<Float64Array>().unwrap();
                numbers.is_valid(row).then(|| numbers.value(row))
            };
            if keys.is_valid(row) {
                let values = batch.columns().iter().skip(1).map(number).collect();
                found.insert(keys.value(row).to_owned(), values);
            }
        }
    }
    found
}

/// Whether the engine's decimals, which are cut to some digits, are the number.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 + 1e-9 * a.abs().max(b.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Where nothing is clamped, what noise is added to is what plain SQL says.
    #[test]
    fn the_engine_says_the_same_where_nothing_is_clamped(
        rows in prop::collection::vec(purchase(0..9), 0..60),
    ) {
        // Nobody has more rows than are kept.
        let mut seen = BTreeMap::new();
        let rows: Vec<Purchase> = rows.into_iter().filter(|row| {
            let count: &mut usize = seen.entry(row.person).or_default();
            *count += 1;
            *count <= 20
        }).collect();
        let agreement = aggregates(WIDE);
        let table = shown(&agreement, rows.clone());
        let engine = engine(SQL, rows);
        for row in &table.rows {
            let empty = vec![Some(0.0); 8];
            let plain = engine.get(&row.key[0]).unwrap_or(&empty);
            for (cell, plain) in row.cells.iter().zip(plain) {
                let (found, plain) = match (cell.name.as_str(), cell.value, plain) {
                    // Of nobody, and the variance of one value, there is none.
                    ("mean" | "spread" | "width", None, _) => continue,
                    (_, Some(found), plain) => (found, plain.unwrap_or(0.0)),
                    (name, found, plain) => panic!("{name} {found:?} {plain:?}"),
                };
                prop_assert!(close(found, plain), "{:?} {}: {found} {plain}", row.key, cell.name);
            }
        }
    }

    /// One person's rows, whatever they were and become, change each measure by no more than
    /// its noise is made for.
    #[test]
    fn one_person_changes_no_more_than_noise_hides(
        others in prop::collection::vec(purchase(1..6), 0..30),
        before in prop::collection::vec(purchase(0..1), 0..30),
        after in prop::collection::vec(purchase(0..1), 0..30),
        key in 0u8..4,
    ) {
        let agreement = aggregates(NARROW);
        let checked = prove(&agreement, query(&agreement)).unwrap();
        let with = |mine: Vec<Purchase>| totals(&checked, memory([others.clone(), mine].concat()), key);
        let (a, b) = (with(before), with(after));
        let width = checked.measures.len();
        for (at, measure) in checked.measures.iter().enumerate() {
            let groups = checked.query.per_person.groups;
            let bound = Sensitivity::of_clamp(measure.low, measure.high, groups).unwrap();
            let changes = || a.iter().zip(&b).skip(at).step_by(width).map(|(a, b)| a.abs_diff(*b));
            let (l1, l2): (u128, u128) = (changes().sum(), changes().map(|change| change * change).sum());
            prop_assert!(&BigUint::from(l1) <= bound.l1(), "{}: L1 {l1}", measure.name);
            prop_assert!(&BigUint::from(l2) <= bound.l2_squared(), "{}: L2 {l2}", measure.name);
        }
    }
}

fn bought(person: u8, category: &'static str, amount: i128, items: i64) -> Purchase {
    Purchase {
        person,
        category: Some(category),
        amount: Some(amount),
        items,
        points: Some(1),
    }
}

fn cell<'t>(table: &'t Table, key: &str, name: &str) -> &'t crate::Cell {
    let row = table.rows.iter().find(|row| row.key == [key]).unwrap();
    row.cells.iter().find(|cell| cell.name == name).unwrap()
}

/// Values are brought to their bounds, and who has too many counts as fewer of the same
/// average.
#[test]
fn averages_weigh_people_down() {
    let agreement = aggregates(NARROW);
    // Three of 10.00 to 60.00 count: person 1 has six of 20.00, person 2 one of 500.00.
    let mut rows: Vec<Purchase> = (0..6).map(|_| bought(1, "a", 2_000, 20)).collect();
    rows.push(bought(2, "a", 50_000, 90));
    let found = shown(&agreement, rows);
    assert_eq!(
        cell(&found, "a", "mean").value,
        Some((3.0 * 20.0 + 60.0) / 4.0)
    );
    assert_eq!(cell(&found, "a", "pointed").value, Some(3.0));
    // Items of 10 to 30: three of 20, one of 30.
    let width = cell(&found, "a", "width").value.unwrap();
    assert!((width - 18.75f64.sqrt()).abs() < 1e-9, "{width}");
    assert_eq!(cell(&found, "b", "mean").text, "none");
    assert_eq!(cell(&found, "b", "people").value, Some(0.0));
}

/// At most two different values a person, by a lot that differs from person to person.
#[test]
fn different_values_are_kept_by_lot() {
    let agreement = aggregates(NARROW);
    let of = |people: u8| {
        let rows = (0..people).flat_map(|person| (0..20).map(move |n| bought(person, "a", 1, n)));
        cell(&shown(&agreement, rows.collect()), "a", "kinds")
            .value
            .unwrap()
    };
    assert_eq!(of(1), 2.0);
    let two = of(2);
    assert!((2.0..=4.0).contains(&two), "{two}");
    // 60 people with two of 20 values each: all 20 but with probability 20 * 0.9^60 = 0.04 for
    // a free key.
    assert!(of(60) >= 18.0);
}

#[test]
fn an_explanation_foretells_averages() {
    let agreement = aggregates(NARROW);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let text = checked.explain(&agreement).to_string();
    for part in [
        "mean is made from count and sum of values brought to 10.00 .. 60.00 EUR; who has more than 3 counts as 3 of their average",
        "kinds counts different values, at most 2 of one person, by lot",
        "pointed counts rows, clamped to 0 .. 2",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// The measures of all aggregates together cost what the query costs, and no more.
#[test]
fn shares_sum_to_the_querys_rho() {
    let agreement = aggregates(NARROW);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let names: Vec<&str> = checked.measures.iter().map(|m| m.name.as_str()).collect();
    assert!(
        names.contains(&"spread.squares") && names.contains(&"mean.count"),
        "{names:?}"
    );
    let spent: u64 = checked
        .measures
        .iter()
        .map(|measure| measure.share.units())
        .sum();
    let rho = checked.loss().rho.units();
    assert!(
        spent <= rho && rho - spent < names.len() as u64,
        "{spent} of {rho}"
    );
    // What is drawn is what the shares say: sigma² = L2² / (2 rho).
    for measure in &checked.measures {
        let bound = Sensitivity::of_clamp(measure.low, measure.high, 2).unwrap();
        let l2: f64 = bound.l2_squared().to_string().parse().unwrap();
        let rho = l2 / (2.0 * measure.sigma().powi(2));
        assert!(
            (rho / measure.share.to_f64() - 1.0).abs() < 1e-9,
            "{}",
            measure.name
        );
    }
}
