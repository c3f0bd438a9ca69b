//! What a query costs beside its rows, by wall clock: parse the agreement, check the query and
//! bound it, plan it, and draw the noise of its answer. Prints one JSON object a line.
//!
//! *plan_ms* is the slowest query's median of [`RUNS`]; each query's own stands beside it. The
//! data set that answers come from is small, and adding it up is not counted: noise is drawn
//! for each declared group and measure, however many rows there are.
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

use std::sync::Arc;
use std::time::Instant;

use incamera_query::{Limits, RoomData, check, compute, release};
use incamera_seal::part_path;
use incamera_types::{DatasetName, FileId, Params};

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
    let medians = names.map(|name| {
        let mut times: Vec<f64> = (0..RUNS).map(|_| once(&world, name.as_str())).collect();
        times.sort_by(f64::total_cmp);
        let median = times[RUNS / 2];
        figure(&format!("plan_{name}_ms"), median);
        median
    });
    let most = medians.fold(0.0, f64::max);
    figure("plan_ms", most);
}
