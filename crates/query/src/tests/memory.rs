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
    let needed = |checked: &CheckedQuery, part: u64| memory::need(checked, &|_| part).bytes(2);
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
    // A text that no join gathers: its rows are in smaller blocks, for it could be long.
    assert!(memory::of_plan(&pushed) < memory::of_plan(&plain) / 4);
    assert!(memory::batch_rows(&pushed) < memory::batch_rows(&plain));
    let columns = ", \"purchases.category\", \"mailing.campaign\"";
    let either = "AND (purchases.category = 'food' OR mailing.campaign = 'spring')";
    let gathered = checked(&[], columns, either);
    let gathered = needed(&gathered, 0);
    let pushed = needed(&pushed, 0);
    assert!(
        gathered > pushed * 3 / 2,
        "texts without a list: {gathered} {pushed}"
    );
    let threads = |bytes| memory::threads(&plain, &|_| 0, 2, bytes);
    assert_eq!(threads(base * 9), Ok(2), "no more than there are");
    assert_eq!((threads(base), threads(base - 1)), (Ok(2), Ok(1)));
    let one = memory::need(&plain, &|_| 0).bytes(1);
    assert_eq!(threads(one), Ok(1));
    let text = threads(one - 1).unwrap_err().to_string();
    assert!(
        text.contains("`memory_bytes`") && text.contains("MiB"),
        "{text}"
    );
}

/// The everyday question: people and spend by a category that the data name.
fn by_category(base: &str, rows: &str, groups: &str) -> CheckedQuery {
    let settings = [
        (
            "reads",
            "[\"purchases.person\", \"purchases.amount\", \"purchases.category\"]",
        ),
        ("rows", rows),
        ("groups", "{ category = \"discovered\" }"),
        ("per_person", groups),
    ];
    let sql = "SELECT category, COUNT(DISTINCT person) AS people, SUM(amount) AS spend FROM purchases GROUP BY category";
    let agreement = agreement_of(base, sql, &settings);
    prove(&agreement, query(&agreement)).unwrap()
}

const HUNDRED: &str = "{ purchases = 100 }";
const ONE: &str = "{ groups = 1, spend = [0, 400] }";
const FIVE: &str = "{ groups = 5, spend = [0, 400] }";

#[test]
fn discovered_groups_need_what_people_may_count_in() {
    let all = |checked: &CheckedQuery| memory::need(checked, &|_| 0).bytes(1);
    let [one, five] = [ONE, FIVE].map(|groups| by_category(DATASETS, HUNDRED, groups));
    assert_eq!(
        (one.memory().warning(), five.memory().warning()),
        (None, None)
    );
    let thousand = by_category(DATASETS, "{ purchases = 1_000 }", ONE);
    let more = all(&thousand) - all(&one);
    assert!(more < 30 << 20, "rows of one person in a block: {more}");
    let a_group = (all(&five) - all(&one)) / (4 * 100_000);
    assert!((400..2_000).contains(&a_group), "{a_group}");
    let few = by_category(DATASETS, "{ purchases = 2 }", FIVE);
    let two = by_category(
        DATASETS,
        "{ purchases = 2 }",
        "{ groups = 2, spend = [0, 400] }",
    );
    assert_eq!(all(&few), all(&two), "no more groups than rows");
    // Listed texts: so many groups and no more, and rows no wider than they.
    let listed = DATASETS.replace(
        "category = { type = \"text\", purposes",
        "category = { type = \"text\", values = [\"food\", \"toys\"], purposes",
    );
    let listed = by_category(&listed, HUNDRED, FIVE);
    assert!(all(&listed) < 120 << 20, "{}", all(&listed));
    let millions = CheckedQuery {
        most_people: 1_000_000_000,
        ..listed.clone()
    };
    assert_eq!(all(&millions), all(&listed));
}

#[test]
fn who_is_refused_is_told_what_would_help() {
    let wide = CheckedQuery {
        most_people: 10_000_000,
        ..by_category(DATASETS, HUNDRED, FIVE)
    };
    let memory = wide.memory();
    let said = memory.warning().unwrap();
    for what in [
        "fewer `groups`",
        "`values` of `purchases.category`",
        "`memory_bytes`",
    ] {
        assert!(said.contains(what), "{said}");
    }
    assert!(!said.contains("`rows`"), "that would not help: {said}");
    assert!(memory.to_string().contains("it will refuse"), "{memory}");
    let refused = memory::threads(&wide, &|_| 0, 2, memory.room).unwrap_err();
    assert!(refused.to_string().contains("fewer `groups`"), "{refused}");
    let rows = "{ purchases = 20_000_000 }";
    let rows = by_category(DATASETS, rows, ONE).memory().warning().unwrap();
    assert!(rows.contains("fewer `rows` of `purchases`"), "{rows}");
    let large = by_category(DATASETS, HUNDRED, ONE);
    let parts = memory::threads(&large, &|_| 1 << 40, 2, 4 << 30).unwrap_err();
    assert!(parts.to_string().contains("more `partitions`"), "{parts}");
    let fits = by_category(DATASETS, HUNDRED, ONE).memory();
    assert!(fits.to_string().contains("it has enough"), "{fits}");
}

/// People of the measured run, with so many groups each that nobody else is in, ...
const MEASURED: usize = 20_000;
const EACH: usize = 20;
/// ... and so many of them count.
const COUNT: usize = 5;

/// Rows of these people as the bounded plan gives them: keys as long as they may be.
fn rows_of(people_of: std::ops::Range<usize>) -> arrow::record_batch::RecordBatch {
    let rows = || {
        people_of
            .clone()
            .flat_map(|person| (0..EACH).map(move |at| (person, at)))
    };
    let person = |number: usize| {
        let mut person = [7; 16];
        person[..8].copy_from_slice(&(number as u64).to_be_bytes());
        person
    };
    let name = |(person, at)| format!("{:0256}", person * EACH + at);
    let names: arrow::array::LargeStringArray = rows().map(|row| Some(name(row))).collect();
    let amounts = Decimal128Array::from(vec![100; rows().count()]);
    batch(vec![
        (
            crate::check::UNIT,
            people(rows().map(|(number, _)| person(number))),
        ),
        ("__key0", Arc::new(names)),
        (
            "__value1",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
    ])
}

/// Resident memory now, or the most so far, in bytes.
fn resident(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines().filter_map(|it| it.strip_prefix(line));
    let kib = lines.next().unwrap().trim().trim_end_matches(" kB");
    kib.trim().parse::<u64>().unwrap() << 10
}

/// Everybody counts in as many groups as they may, all of them different, and has rows in three
/// times as many more: run in a process of its own by the test below, since the most memory so
/// far is the process's.
#[test]
#[ignore = "run by `the_fold_keeps_to_the_estimate` in a process of its own"]
fn measured_groups() {
    let mut checked = by_category(DATASETS, HUNDRED, FIVE);
    checked.most_people = MEASURED as u64;
    let key = NoiseKey::from_bytes([1; 32]);
    let rules = || crate::fold::Rules {
        groups: &checked.query.groups,
        measures: &checked.measures,
        groups_a_person: COUNT,
        key: &key,
    };
    let before = resident("VmRSS:");
    let mut folds = [
        crate::fold::Fold::new(rules()),
        crate::fold::Fold::new(rules()),
    ];
    for (at, first) in (0..MEASURED).step_by(500).enumerate() {
        folds[at % 2].push(&rows_of(first..first + 500)).unwrap();
        folds[at % 2].settle();
    }
    let mut totals = crate::fold::Totals::default();
    for fold in folds {
        totals.add(fold.finish());
    }
    assert_eq!(totals.iter().count(), MEASURED * COUNT);
    let grown = resident("VmHWM:") - before;
    let estimate = memory::of_groups(&checked);
    println!("grown {grown} of {estimate}");
    // A block's rows and names besides: 10,000 of some 300 bytes a thread.
    assert!(grown < estimate + (16 << 20), "{grown} of {estimate}");
    assert!(
        grown > estimate / 4,
        "an estimate nobody comes near: {grown} of {estimate}"
    );
}

#[test]
fn the_fold_keeps_to_the_estimate() {
    let name = format!(
        "{}::measured_groups",
        module_path!().split_once("::").unwrap().1
    );
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &name, "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let ran = run.status.success() && said.contains("1 passed");
    assert!(ran, "{said}{}", String::from_utf8_lossy(&run.stderr));
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
    let batch = memory::batch_rows(&checked) as u64;
    assert!(batch < 8_192, "texts without a list");
    let foretold = block_rows(checked.most_rows(&regions.name), batch);
    assert_eq!(block_rows(public_rows(&readings), batch), foretold);
    assert!(foretold > block_rows(0, batch));
}
