//! Queries in the room, keys in hand, from sealed parts to the exact answer, against plain
//! DataFusion over plain Parquet files of the same rows.
//!
//! `ROWS` exposures and as many purchases (10 million if not said) of a fifth as many people.
//!
//! | query | in the room | on the plain side |
//! |---|---|---|
//! | q1 | people, buyers and spend of those whom each campaign reached, and of those whom none did: three data sets | the same, with COUNT for COUNT(DISTINCT person) |
//! | q2 | count, sum and average of purchases by category, a person's share clamped | an aggregate by person and category, clamped, then by category |
//! | q3 | exposures x purchases: count, people and sum by campaign | an aggregate by campaign and person, then by campaign |
//!
//! COUNT(DISTINCT) of 16 bytes is quadratic in the plain engine (it sizes its whole set up after
//! each batch), so the plain side does without it; `PLAIN_SQL=same` leaves it in.
//!
//! Every measurement is a process of its own with the same number of threads: its CPU seconds
//! from SQL to answer, and the most memory that it ever held. Sides take turns, so that what
//! else the machine does meets all. That they count the same is checked each time, to within
//! the room's noise.
//!
//! The plain side reads files as rows came, and once more files sorted by pseudonym
//! (`qN_sorted_...`); what it costs to make that order when sealing is `order_cpu_s`: sealing
//! both tables as they came less sealing them sorted.
//!
//! With `long`: the room alone, at `ROWS` and ten times as many of everything.
//!
//! With `deadline`: the room alone, at a hundredth, a tenth and all of `ROWS`, and how much of
//! the time until an answer leaves it takes by the clock on the wall; two more queries stand for
//! what costs more a byte.
//!
//! | query | in the room |
//! |---|---|
//! | q4 | each person's first purchase and how long it took to the next: window functions |
//! | q5 | who saw a campaign before buying in a category: two sub-queries joined, EXISTS |
//! Prints one JSON object a line.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod data;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use incamera_query::{Limits, RoomData, check, compute, release};
use incamera_seal::part_path;
use incamera_testkit::cpu::cpu_seconds_of;
use incamera_types::{DatasetName, FileId, Params};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use data::{DATASETS, Order, Size, World, write};

const RUNS: usize = 3;
const THREADS: usize = 2;
/// Counts and sums stand first; an average behind them is made of several numbers.
const COMPARED: usize = 3;
const QUERIES: [&str; 3] = ["q1", "q2", "q3"];

/// What one process says of its run.
#[derive(Serialize, Deserialize)]
struct Said {
    cpu_s: f64,
    /// By the clock on the wall.
    wall_s: f64,
    /// When an answer leaves.
    leaves_s: f64,
    peak_kib: u64,
    /// By group: each value with the deviation of its noise, in units of 10^-2.
    groups: BTreeMap<String, Vec<(f64, f64)>>,
}

/// The plain side's SQL, where it is not the room's.
fn plain_sql(name: &str, sql: &str) -> String {
    let same = std::env::var("PLAIN_SQL").is_ok_and(|said| said == "same");
    match name {
        "q1" | "q3" if same => sql.to_owned(),
        // Each person is there once a campaign: nothing has to be told apart.
        "q1" => sql
            .replace("COUNT(DISTINCT customers.person)", "COUNT(*)")
            .replace("COUNT(DISTINCT bought.person)", "COUNT(bought.person)"),
        "q3" => "SELECT campaign, SUM(n) AS pairs, COUNT(*) AS people, SUM(s) AS spend
             FROM (SELECT exposures.campaign, exposures.person, COUNT(*) AS n, SUM(amount) AS s
                   FROM exposures JOIN purchases ON purchases.person = exposures.person
                   GROUP BY exposures.campaign, exposures.person) AS one
             GROUP BY campaign"
            .to_owned(),
        "q2" => "SELECT category, COUNT(*) AS people, SUM(LEAST(n, 2)) AS purchases,
                    SUM(LEAST(s, 300)) AS spend,
                    SUM(LEAST(s, 300)) / SUM(LEAST(n, 2)) AS price
             FROM (SELECT person, category, COUNT(*) AS n, SUM(amount) AS s
                   FROM purchases GROUP BY person, category) AS one
             GROUP BY category"
            .to_owned(),
        _ => sql.to_owned(),
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(THREADS).enable_all();
    builder.build().unwrap()
}

fn room(world: &World, name: &str) -> Said {
    let query = world.query(name);
    let grants = Arc::new(world.grants(query));
    let manifests = world.manifests();
    let reads = |name: &DatasetName| query.reads.iter().any(|read| &read.dataset == name);
    let manifests = manifests.into_iter().filter(|(name, _)| reads(name));
    let path = |name: &DatasetName, id: &FileId| part_path(&world.folder.join(name.as_str()), id);
    let data = RoomData::new(&manifests.collect(), &path);
    let limits = Limits {
        threads: THREADS,
        ..Limits::default()
    };
    let runtime = runtime();
    let run = || {
        let checked = check(&world.agreement, query, &Params::default()).unwrap();
        let checked = checked.asked_by(grants.request());
        data.fits(&checked, &limits).unwrap();
        let leaves = data.deadline(&checked, &limits).first();
        let begun = Instant::now();
        let raw = runtime.block_on(compute(&checked, &data, &grants, &limits));
        (raw.unwrap(), leaves, begun.elapsed())
    };
    let (cpu_s, (raw, leaves, wall)) = cpu_seconds_of(run).expect("Linux");
    let answer = release(raw, &grants).unwrap().answer();
    let unit = |at: usize| 10f64.powi(2 - answer.measures[at].scale as i32);
    let group = |group: &incamera_wire::v1::Group| {
        let values = group.values.iter().enumerate();
        let values = values.map(|(at, value)| {
            let sigma = answer.measures[at].sigma * unit(at);
            (*value as f64 * unit(at), sigma)
        });
        (group.key[0].clone(), values.collect())
    };
    Said {
        cpu_s,
        wall_s: wall.as_secs_f64(),
        leaves_s: leaves.as_secs_f64(),
        peak_kib: peak_kib(),
        groups: answer.groups.iter().map(group).collect(),
    }
}

async fn plain_rows(world: &World, name: &str, order: Order) -> BTreeMap<String, Vec<(f64, f64)>> {
    let config = SessionConfig::new().with_target_partitions(THREADS);
    let context = SessionContext::new_with_config(config);
    for table in DATASETS {
        let path = world.plain(table, order);
        let options = ParquetReadOptions::default();
        let path = path.to_str().unwrap();
        context
            .register_parquet(table, path, options)
            .await
            .unwrap();
    }
    let sql = plain_sql(name, &world.query(name).sql);
    let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
    let mut groups = BTreeMap::new();
    for batch in &batches {
        let names = cast(batch.column(0), &DataType::Utf8).unwrap();
        let numbers = batch.columns()[1..].iter().map(|column| {
            let column = cast(column, &DataType::Decimal128(38, 2)).unwrap();
            column.as_primitive::<Decimal128Type>().clone()
        });
        let numbers: Vec<_> = numbers.collect();
        for (row, name) in names.as_string::<i32>().iter().enumerate() {
            let values = numbers.iter().map(|all| (all.value(row) as f64, 0.0));
            groups.insert(name.unwrap().to_owned(), values.collect());
        }
    }
    groups
}

fn plain(world: &World, name: &str, order: Order) -> Said {
    let runtime = runtime();
    let run = || runtime.block_on(plain_rows(world, name, order));
    let begun = Instant::now();
    let (cpu_s, groups) = cpu_seconds_of(run).expect("Linux");
    Said {
        cpu_s,
        wall_s: begun.elapsed().as_secs_f64(),
        leaves_s: 0.0,
        peak_kib: peak_kib(),
        groups,
    }
}

/// The most memory that this process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap()
}

/// One side of one query, in a process of its own.
fn side(world: &World, side: &str, query: &str) -> Said {
    let command = Command::new(std::env::current_exe().unwrap())
        .args(["side", side, query, &world.size.rows.to_string()])
        .arg(&world.folder)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&command.stderr);
    assert!(command.status.success(), "{side} {query}: {error}");
    serde_json::from_slice(&command.stdout).unwrap()
}

fn as_side(args: &[String]) {
    let [side, query, rows, folder] = args else {
        panic!("side, query, rows, folder");
    };
    let size = Size {
        rows: rows.parse().unwrap(),
    };
    let world = World::open(Path::new(folder), size);
    let said = match side.as_str() {
        "room" => room(&world, query),
        "sorted" => plain(&world, query, Order::Sorted),
        _ => plain(&world, query, Order::Arrival),
    };
    println!("{}", serde_json::to_string(&said).unwrap());
}

/// The room's noisy numbers must be those of the plain side: within eight standard deviations,
/// which true ones leave once in 10^14 draws.
fn same(room: &Said, plain: &Said) {
    assert_eq!(room.groups.len(), plain.groups.len());
    for (key, exact) in &plain.groups {
        let noisy = &room.groups[key];
        for (exact, (value, sigma)) in exact.iter().zip(noisy).take(COMPARED) {
            let off = (value - exact.0).abs();
            assert!(off <= 8.0 * sigma, "{key}: {value} and {}", exact.0);
        }
    }
}

fn figure(name: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

/// Averages of CPU seconds, and of peaks in MiB.
fn means(said: &[Said]) -> (f64, f64) {
    let runs = said.len() as f64;
    let cpu: f64 = said.iter().map(|said| said.cpu_s).sum();
    let peak: u64 = said.iter().map(|said| said.peak_kib).sum();
    (cpu / runs, peak as f64 / 1024.0 / runs)
}

fn compare(world: &World, query: &str) {
    let sides = ["room", "plain", "sorted"];
    let mut said: [Vec<Said>; 3] = Default::default();
    for _ in 0..RUNS {
        for (list, name) in said.iter_mut().zip(sides) {
            list.push(side(world, name, query));
        }
        let last = said.each_ref().map(|list| list.last().unwrap());
        same(last[0], last[1]);
        same(last[0], last[2]);
    }
    let [room, plain, sorted] = said.each_ref().map(|list| means(list));
    for (name, (cpu, peak)) in sides.iter().zip([room, plain, sorted]) {
        figure(&format!("{query}_{name}_cpu_s"), cpu, "s");
        figure(&format!("{query}_{name}_peak"), peak, "MiB");
    }
    figure(&format!("{query}_cpu_ratio"), room.0 / plain.0, "1");
    figure(&format!("{query}_memory_ratio"), room.1 / plain.1, "1");
    figure(&format!("{query}_sorted_cpu_ratio"), room.0 / sorted.0, "1");
    figure(
        &format!("{query}_sorted_memory_ratio"),
        room.1 / sorted.1,
        "1",
    );
}

fn short(size: Size) {
    let keep = tempfile::tempdir().unwrap();
    let mut world = World::new(keep.path(), size);
    for table in DATASETS {
        for order in [Order::Arrival, Order::Sorted] {
            write(&world.plain(table, order), table, size, order, false);
        }
    }
    let mut cost = [Order::Sorted, Order::Arrival].map(|order| {
        let cost = DATASETS.map(|table| world.seal(table, order));
        cost.iter().sum::<f64>()
    });
    cost[1] -= cost[0];
    figure("seal_sorted_cpu_s", cost[0], "s");
    figure("order_cpu_s", cost[1], "s");
    for query in queries() {
        compare(&world, &query);
    }
}

/// The queries to run: `QUERIES=q1,q3`, or all.
fn queries() -> Vec<String> {
    match std::env::var("QUERIES") {
        Ok(some) => some.split(',').map(str::to_owned).collect(),
        Err(_) => QUERIES.map(str::to_owned).into(),
    }
}

fn long(rows: u64) {
    let mut before: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for size in [rows, 10 * rows].map(|rows| Size { rows }) {
        let keep = tempfile::tempdir().unwrap();
        let mut world = World::new(keep.path(), size);
        for table in DATASETS {
            world.seal(table, Order::Even);
        }
        for query in queries() {
            let runs: Vec<Said> = (0..RUNS).map(|_| side(&world, "room", &query)).collect();
            let (cpu, peak) = means(&runs);
            let millions = size.rows / 1_000_000;
            figure(&format!("{query}_{millions}m_cpu_s"), cpu, "s");
            figure(&format!("{query}_{millions}m_peak"), peak, "MiB");
            if let Some((less_cpu, less_peak)) = before.insert(query.clone(), (cpu, peak)) {
                figure(
                    &format!("{query}_long_cpu_per_row"),
                    cpu / less_cpu / 10.0,
                    "1",
                );
                figure(&format!("{query}_long_memory"), peak / less_peak, "1");
            }
        }
    }
}

/// How much of the time until an answer leaves the work takes: at the slowest of the runs.
fn deadline(rows: u64) {
    for size in [rows / 100, rows / 10, rows].map(|rows| Size { rows }) {
        let keep = tempfile::tempdir().unwrap();
        let mut world = World::new(keep.path(), size);
        for table in DATASETS {
            world.seal(table, Order::Even);
        }
        let manifests = world.manifests();
        let parts = manifests.values().flat_map(|manifest| manifest.parts());
        let bytes: u64 = parts.map(|part| part.bytes).sum();
        let thousands = size.rows / 1000;
        figure(&format!("{thousands}k_sealed"), bytes as f64 / 1e6, "MB");
        for query in ["q1", "q2", "q3", "q4", "q5"] {
            let runs: Vec<Said> = (0..RUNS).map(|_| side(&world, "room", query)).collect();
            let (cpu, _) = means(&runs);
            let wall = runs.iter().map(|said| said.wall_s).fold(0.0, f64::max);
            let leaves = runs[0].leaves_s;
            figure(&format!("{query}_{thousands}k_cpu_s"), cpu, "s");
            figure(&format!("{query}_{thousands}k_wall_s"), wall, "s");
            figure(&format!("{query}_{thousands}k_leaves_s"), leaves, "s");
            figure(&format!("{query}_{thousands}k_margin"), leaves / wall, "1");
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let said = std::env::var("ROWS").ok();
    let rows = said.map_or(10_000_000, |rows| rows.parse().expect("a number"));
    match args.first().map(String::as_str) {
        Some("side") => as_side(&args[1..]),
        _ if args.iter().any(|arg| arg == "long") => long(rows),
        _ if args.iter().any(|arg| arg == "deadline") => deadline(rows),
        _ => short(Size { rows }),
    }
}
