//! What a query may need, and what it does need.

use arrow::array::{BooleanArray, Date32Array, Decimal128Array};
use datafusion::execution::memory_pool::GreedyMemoryPool;

use super::*;
use crate::merge::block_rows;
use crate::run::{compute_within, public_rows, times_read};
use crate::scan::Reading;
use crate::{memory, prove};

const PEOPLE: u32 = 4_000;
const PURCHASES: usize = 10;

/// A query whose joins have purchases on their left: the largest sides that there are.
fn checked(settings: &[(&str, &str)], columns: &str, more: &str) -> CheckedQuery {
    let sql = format!(
        "SELECT COUNT(DISTINCT purchases.person) AS people, SUM(purchases.amount) AS spend
FROM purchases JOIN mailing ON mailing.person = purchases.person
JOIN customers ON customers.person = purchases.person WHERE mailing.mailed {more}"
    );
    let reads = format!(
        "[\"customers.person\", \"purchases.person\", \"purchases.amount\", \"mailing.person\", \"mailing.mailed\"{columns}]"
    );
    let mut all = vec![
        ("reads", reads.as_str()),
        ("rows", "{ purchases = 10, mailing = 1 }"),
        ("per_person", "{ groups = 1, spend = [0, 400] }"),
    ];
    all.extend(settings);
    let agreement = agreement(&sql, &all);
    prove(&agreement, query(&agreement)).unwrap()
}

/// Everybody is in every data set, with as many rows as may be.
fn everybody() -> Memory {
    let everybody: Vec<Person> = (0..PEOPLE)
        .map(|number| {
            let mut person = [7; 16];
            person[..4].copy_from_slice(&number.to_be_bytes());
            person
        })
        .collect();
    let rows = everybody.len() * PURCHASES;
    let amounts = Decimal128Array::from(vec![100; rows]);
    let bought = everybody.iter().flat_map(|person| [*person; PURCHASES]);
    let purchases = batch(vec![
        ("person", people(bought)),
        ("day", Arc::new(Date32Array::from(vec![1; rows]))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
    ]);
    let mailed = BooleanArray::from(vec![true; everybody.len()]);
    let mailing = batch(vec![
        ("person", people(everybody.clone())),
        ("mailed", Arc::new(mailed)),
    ]);
    let customers = batch(vec![("person", people(everybody))]);
    let parts = [
        ("purchases", purchases),
        ("mailing", mailing),
        ("customers", customers),
    ];
    let parts = parts.map(|(name, rows)| ((dataset(name), 0), vec![vec![rows]]));
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

fn run_within(checked: &CheckedQuery, bytes: u64) -> Result<RawAggregate, QueryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let pool = GreedyMemoryPool::new(usize::try_from(bytes).unwrap());
    runtime.unwrap().block_on(compute_within(
        &Arc::new(checked.clone()),
        Arc::new(everybody()),
        noise(&NoiseKey::from_bytes([1; 32])),
        1,
        Arc::new(pool),
    ))
}

#[test]
fn the_engine_keeps_to_the_estimate() {
    let mut checked = checked(&[], "", "");
    checked.most_people = PEOPLE.into();
    let estimate = memory::of_plan(&checked);
    let raw = run_within(&checked, estimate).unwrap();
    assert_eq!(exact(&raw)[0], PEOPLE.into());
    // Most of it is needed when everybody has all rows: the pool is the engine's.
    let short = run_within(&checked, estimate / 4);
    assert_eq!(short.err(), Some(QueryError::Engine));
}

#[test]
fn the_estimate_follows_what_is_declared() {
    let needed = |checked: &CheckedQuery, part: u64| memory::needed(checked, &|_| part, 2);
    let plain = checked(&[], "", "");
    let base = needed(&plain, 0);
    // 100,000 people, ten purchases each: a block of them on the left of both joins.
    assert!((100 << 20..1 << 30).contains(&base), "{base}");
    let millions = |millions: u64| CheckedQuery {
        most_people: millions * 1_000_000,
        ..plain.clone()
    };
    assert_eq!(
        needed(&millions(100), 0),
        needed(&millions(1), 0),
        "people, of whom a block holds some"
    );
    assert!(needed(&millions(1), 0) < base * 11 / 10);
    let few = CheckedQuery {
        most_people: 100,
        ..plain.clone()
    };
    assert_eq!(
        memory::of_plan(&CheckedQuery {
            most_people: 200,
            ..plain.clone()
        }),
        2 * memory::of_plan(&few),
        "people, of whom a block holds all"
    );
    let rows = "{ purchases = 30_000, mailing = 1 }";
    let more = checked(&[("rows", rows)], "", "");
    let grows = memory::of_plan(&more) - memory::of_plan(&plain);
    let a_row = memory::of_plan(&few) / 1_000;
    assert!(
        (1..2 * 30_000 * a_row).contains(&grows),
        "one person's rows"
    );
    assert_eq!(needed(&plain, 1000), base + 2 * 3 * 3 * 1000, "parts");
    let category = ", \"purchases.category\"";
    let pushed = checked(&[], category, "AND purchases.category = 'food'");
    assert_eq!(
        memory::of_plan(&pushed),
        memory::of_plan(&plain),
        "a text that no join gathers"
    );
    let columns = ", \"purchases.category\", \"mailing.campaign\"";
    let either = "AND (purchases.category = 'food' OR mailing.campaign = 'spring')";
    let gathered = checked(&[], columns, either);
    assert!(needed(&gathered, 0) > 4 << 30, "texts without a list");
    let fits = |bytes| memory::fits(&plain, &|_| 0, 2, bytes);
    assert_eq!(fits(base), Ok(()));
    let text = fits(base - 1).unwrap_err().to_string();
    assert!(
        text.contains("`memory_bytes`") && text.contains("MiB"),
        "{text}"
    );
}

/// Rows made of each person's: numbered, grouped again by their numbers, each kind counted.
#[test]
fn the_engine_keeps_to_the_estimate_of_nested_rows() {
    let numbered = "SELECT person, amount, ROW_NUMBER() OVER (PARTITION BY person ORDER BY amount) AS n FROM purchases";
    for sql in [
        format!("SELECT COUNT(DISTINCT person) AS people, SUM(n) AS spend FROM ({numbered}) t"),
        format!("SELECT COUNT(DISTINCT person) AS people, SUM(s) AS spend FROM
            (SELECT person, n, SUM(amount) AS s, COUNT(DISTINCT amount) AS k FROM ({numbered}) t GROUP BY person, n) u WHERE k > 0"),
        format!("SELECT COUNT(DISTINCT person) AS people, COUNT(*) AS spend FROM (SELECT DISTINCT person, n, amount FROM ({numbered}) t) u"),
        "SELECT COUNT(DISTINCT a.person) AS people, COUNT(*) AS spend FROM purchases a JOIN purchases b ON a.person = b.person
            WHERE EXISTS (SELECT 1 FROM purchases c WHERE c.person = a.person AND c.amount = b.amount)".to_owned(),
        "SELECT COUNT(DISTINCT person) AS people, SUM(k) AS spend FROM (SELECT person, COUNT(DISTINCT amount) AS k FROM
            (SELECT person, amount FROM purchases UNION ALL SELECT person, amount + 1 FROM purchases) u GROUP BY person) t".to_owned(),
    ] {
        let settings = [
            ("reads", "[\"purchases.person\", \"purchases.amount\"]"),
            ("rows", "{ purchases = 10 }"),
            ("per_person", "{ groups = 1, spend = [0, 400] }"),
        ];
        let agreement = agreement(&sql, &settings);
        let mut checked = prove(&agreement, query(&agreement)).unwrap();
        checked.most_people = PEOPLE.into();
        let estimate = memory::of_plan(&checked);
        let raw = run_within(&checked, estimate);
        let raw = raw.unwrap_or_else(|error| panic!("{sql}\n{estimate}: {error}"));
        assert_eq!(exact(&raw)[0], PEOPLE.into(), "{sql}");
        let short = run_within(&checked, estimate / 50);
        assert_eq!(short.err(), Some(QueryError::Engine), "{sql}");
    }
}

/// Blocks grow with public rows: with those of a data set once, however often it is read, as
/// the estimate has it.
#[test]
fn public_rows_count_once() {
    const ROWS: usize = 10_000;
    let sql = "SELECT COUNT(DISTINCT purchases.person) AS people FROM purchases
JOIN regions a ON a.category = purchases.category JOIN regions b ON b.region = purchases.category";
    let settings = [
        (
            "reads",
            "[\"purchases.person\", \"purchases.category\", \"regions.category\", \"regions.region\"]",
        ),
        ("rows", "{ purchases = 5, regions = 10_000 }"),
    ];
    let agreement = agreement(sql, &settings);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let regions = &checked.datasets[&dataset("regions")];
    assert_eq!(times_read(&checked.optimized, &regions.name), 2);
    let names = arrow::array::StringArray::from(vec!["north"; ROWS]);
    let rows = batch(vec![("region", Arc::new(names))]);
    let readings = [Reading::new(regions), Reading::new(regions)];
    for reading in &readings {
        reading.put(vec![rows.clone()]);
    }
    let foretold = block_rows(checked.most_rows(&regions.name));
    assert_eq!(block_rows(public_rows(&readings)), foretold);
    assert!(foretold > block_rows(0));
}
