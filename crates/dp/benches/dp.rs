//! What accounting costs, by wall clock. Prints one JSON object a line.
//!
//! * *accountant_10000*: 10,000 mechanisms of 100 kinds, epsilon asked once at the end.
//! * *sampled*: 10,000 steps on a Poisson sample, both directions.
//! * *incremental*: one mechanism of a new kind added to the 10,000 of 100 kinds, and epsilon
//!   asked again; the median of eleven.
//! * *distinct*: 10,000 mechanisms of which no two are the same, whose scales lie within a
//!   factor of four: of one sort of noise, of all sorts in turn (*mixed*), and on Poisson
//!   samples (*sampled*, both directions).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Instant;

use incamera_dp::{Accountant, Mechanism, Pld, Ratio};
use incamera_types::Delta;
use num_bigint::BigUint;

fn figure(name: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

/// Noise of a deviation of which 10,000 cost an epsilon of about 5; each `at` another.
fn kind(at: u32) -> Mechanism {
    Mechanism::gaussian(90.0 + f64::from(at) * 0.01, 1.0).unwrap()
}

/// A mechanism for each of 10,000 numbers, each another.
type Kind = (&'static str, fn(f64) -> Mechanism);

const DISTINCT: [Kind; 6] = [
    ("gaussian", gaussian),
    ("laplace", laplace),
    ("discrete_laplace", discrete_laplace),
    ("discrete_gaussian", discrete_gaussian),
    ("mixed", mixed),
    ("sampled", sampled),
];

/// From 100 to 400.
fn scale(at: f64) -> f64 {
    100.0 + 0.03 * at
}

fn gaussian(at: f64) -> Mechanism {
    Mechanism::gaussian(scale(at), 1.0).unwrap()
}

fn laplace(at: f64) -> Mechanism {
    Mechanism::laplace(scale(at), 1.0).unwrap()
}

/// Of a sensitivity of 1,000, with scales to fit.
fn whole(at: f64) -> (Ratio, BigUint) {
    let thousandths = (scale(at) * 1e6) as u64;
    (
        Ratio::new(thousandths.into(), 1000u32.into()).unwrap(),
        1000u32.into(),
    )
}

fn discrete_laplace(at: f64) -> Mechanism {
    let (scale, sensitivity) = whole(at);
    Mechanism::discrete_laplace(&scale, &sensitivity).unwrap()
}

fn discrete_gaussian(at: f64) -> Mechanism {
    let (scale, sensitivity) = whole(at);
    let (n, d) = (scale.numerator(), scale.denominator());
    let square = Ratio::new(n * n, d * d).unwrap();
    Mechanism::discrete_gaussian(&square, &sensitivity).unwrap()
}

fn mixed(at: f64) -> Mechanism {
    let kinds = [gaussian, laplace, discrete_laplace, discrete_gaussian];
    kinds.get(at as usize % kinds.len()).unwrap()(at)
}

fn sampled(at: f64) -> Mechanism {
    let noise = Mechanism::gaussian(scale(at) / 100.0, 1.0).unwrap();
    noise.sampled(0.01).unwrap()
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

    for (name, kind) in DISTINCT {
        let start = Instant::now();
        let mut distinct = Accountant::new(delta);
        for run in 0..10_000 {
            distinct.add(&kind(f64::from(run)), 1);
        }
        distinct.epsilon().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        figure(&format!("accountant_distinct_{name}_s"), seconds, "s");
    }
}
