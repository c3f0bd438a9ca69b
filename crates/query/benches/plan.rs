//! What a query costs beside its rows, by wall clock: parse the agreement, check the query and
//! bound it, plan it, and draw the noise of its answer. Prints one JSON object a line.
//!
//! *plan_ms* is the slowest one's median of [`RUNS`], of three queries over sealed data and of
//! every template; each one's own stands beside it. Noise is drawn for each declared group and
//! measure, however many rows there are. Of the three, adding rows up is not counted; of a
//! template it is, with the engine's own plan, over the made-up rows of one person: its figure
//! is an upper end. *check_NAME_ms* is the part of it that parses, checks and bounds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout,
    dead_code,
    missing_docs
)]

#[path = "query/data.rs"]
mod data;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use incamera_agreement::{Agreement, QueryTemplate, query_templates};
use incamera_query::{Limits, Practice, RoomData, check, compute, practice, release};
use incamera_seal::part_path;
use incamera_types::{DatasetName, FileId, Params, Value};

use data::{DATASETS, Order, Size, World};

const RUNS: usize = 21;
const SIZE: Size = Size { rows: 5_000 };

/// Milliseconds that one answer takes beside its rows.
fn once(world: &World, name: &str) -> f64 {
    let grants = Arc::new(world.grants(world.query(name)));
    let manifests = world.manifests();
    let path = |name: &DatasetName, id: &FileId| part_path(&world.folder.join(name.as_str()), id);
    let data = RoomData::new(&manifests, &path);
    let limits = Limits::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let start = Instant::now();
    let agreement = SIZE.agreement();
    let mut queries = agreement.queries.values();
    let query = queries.find(|query| query.name.as_str() == name).unwrap();
    let checked = check(&agreement, query, &Params::default()).unwrap();
    let checked = checked.asked_by(grants.request());
    data.fits(&checked, &limits).unwrap();
    let planned = start.elapsed();

    let raw = runtime.block_on(compute(&checked, &data, &grants, &limits));
    let raw = raw.unwrap();
    let start = Instant::now();
    release(raw, &grants).unwrap();
    (planned + start.elapsed()).as_secs_f64() * 1e3
}

/// An agreement with a template's section in it, filled in with its own examples.
fn with_section(template: &QueryTemplate) -> String {
    let parties = include_str!("../src/tests/agreement.toml");
    let (parties, _) = parties.split_once("[datasets.customers]").unwrap();
    let base = format!("{parties}{}", include_str!("../src/tests/templates.toml"));
    let agreement = Agreement::parse(base.as_bytes()).unwrap();
    let blanks = template.blanks();
    let example = |name: &str, example: &str| (name.to_owned(), example.to_owned());
    let values: Vec<_> = blanks
        .iter()
        .map(|blank| example(blank.name, blank.example))
        .collect();
    let filled = template.fill(&values, Some(&*agreement)).unwrap();
    format!("{base}\n{}", filled.text)
}

/// Milliseconds that a template takes: parsed and checked, and with an answer of one person's
/// made-up rows.
fn of_template(text: &str) -> (f64, f64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Some examples are of sizes that this machine's half memory is too small for.
    let limits = Limits {
        memory_bytes: u64::MAX,
        ..Limits::default()
    };
    let data = RoomData::new(&BTreeMap::new(), &|_, _| PathBuf::new());
    let days = [("from", "2026-01-01"), ("until", "2026-12-31")];
    let practised = Practice { people: 1, seed: 1 };

    let start = Instant::now();
    let agreement = Agreement::parse(text.as_bytes()).unwrap();
    let query = agreement.queries.values().next().unwrap();
    let asked = days
        .iter()
        .filter(|(name, _)| query.params.contains_key(*name));
    let asked = asked.map(|(name, day)| {
        let day = Value::Date(day.parse().unwrap());
        (name.parse().unwrap(), day)
    });
    let checked = check(&agreement, query, &asked.collect::<Params>()).unwrap();
    data.fits(&checked, &limits).unwrap();
    let planned = start.elapsed().as_secs_f64() * 1e3;
    let answered = practice(&checked, &practised);
    runtime.block_on(answered).unwrap();
    (planned, start.elapsed().as_secs_f64() * 1e3)
}

/// The median of what is measured several times.
fn median(measure: impl FnMut(usize) -> f64) -> f64 {
    let mut times: Vec<f64> = (0..RUNS).map(measure).collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn figure(name: &str, value: f64) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.2}, \"unit\": \"ms\"}}");
}

fn main() {
    let keep = tempfile::tempdir().unwrap();
    let mut world = World::new(keep.path(), SIZE);
    for table in DATASETS {
        world.seal(table, Order::Even);
    }
    let names = world.agreement.queries.keys();
    let queries = names.map(|name| {
        let time = median(|_| once(&world, name.as_str()));
        (name.to_string(), time)
    });
    let templates = query_templates().map(|template| {
        let text = with_section(template);
        let planned = median(|_| of_template(&text).0);
        figure(
            &format!("check_{}_ms", template.name.replace('-', "_")),
            planned,
        );
        let time = median(|_| of_template(&text).1);
        (template.name.to_owned(), time)
    });
    let mut most = 0.0;
    for (name, time) in queries.chain(templates) {
        figure(&format!("plan_{}_ms", name.replace('-', "_")), time);
        most = f64::max(most, time);
    }
    figure("plan_ms", most);
}
