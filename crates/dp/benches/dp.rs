//! What accounting costs, by wall clock. Prints one JSON object a line.
//!
//! * *accountant_10000*: 10,000 mechanisms of 100 kinds, epsilon asked once at the end.
//! * *sampled*: 10,000 steps on a Poisson sample, both directions.
//! * *incremental*: one mechanism of a new kind added to the 10,000 of 100 kinds, and epsilon
//!   asked again; the median of eleven.
//! * *distinct*: 1,000 mechanisms of which no two are the same, no part of a target.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use incamera_dp::{Accountant, Mechanism, Pld};
use incamera_types::Delta;

fn figure(name: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

/// Noise of a deviation of which 10,000 cost an epsilon of about 5; each `at` another.
fn kind(at: u32) -> Mechanism {
    Mechanism::gaussian(90.0 + f64::from(at) * 0.01, 1.0).unwrap()
}

fn main() {
    let delta: Delta = "1e-8".parse().unwrap();

    let start = Instant::now();
    let mut running = Accountant::new(delta);
    for run in 0..10_000 {
        running.add(&kind(run % 100), 1);
    }
    let epsilon = running.epsilon().unwrap();
    figure("accountant_10000_s", start.elapsed().as_secs_f64(), "s");
    figure("accountant_10000_epsilon", epsilon.to_f64(), "epsilon");

    let mut times: Vec<f64> = (1000..1011)
        .map(|at| {
            let start = Instant::now();
            running.add(&kind(at), 1);
            running.epsilon().unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    figure("accountant_incremental_ms", median, "ms");

    let start = Instant::now();
    let step = Mechanism::gaussian(1.1, 1.0)
        .unwrap()
        .sampled(0.01)
        .unwrap();
    Pld::of(&step)
        .self_compose(10_000)
        .epsilon_at(delta)
        .unwrap();
    figure(
        "accountant_sampled_10000_s",
        start.elapsed().as_secs_f64(),
        "s",
    );

    let start = Instant::now();
    let mut distinct = Accountant::new(delta);
    for run in 0..1000 {
        distinct.add(&kind(run), 1);
    }
    distinct.epsilon().unwrap();
    figure(
        "accountant_distinct_1000_s",
        start.elapsed().as_secs_f64(),
        "s",
    );
}
