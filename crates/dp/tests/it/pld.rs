//! The accountant against an independent one, row by row.

use incamera_dp::{Accountant, Mechanism, Pld, Ratio};
use incamera_types::Epsilon;
use num_bigint::BigUint;
use serde_json::Value;

use super::{Row, table};

/// A decimal number of the table, exactly.
pub fn exact(value: &Value) -> Ratio {
    let text = value.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let numerator: BigUint = format!("{whole}{fraction}").parse().unwrap();
    Ratio::new(numerator, BigUint::from(10u8).pow(fraction.len() as u32)).unwrap()
}

pub fn square(ratio: &Ratio) -> Ratio {
    let (n, d) = (ratio.numerator(), ratio.denominator());
    Ratio::new(n * n, d * d).unwrap()
}

fn part(value: &Value) -> (Mechanism, u64) {
    let (scale, sensitivity) = (&value["scale"], &value["sensitivity"]);
    let (plain, shift) = (scale.as_f64().unwrap(), sensitivity.as_f64().unwrap());
    let whole = || BigUint::from(sensitivity.as_u64().unwrap());
    let mechanism = match value["mech"].as_str().unwrap() {
        "gaussian" => Mechanism::gaussian(plain, shift),
        "laplace" => Mechanism::laplace(plain, shift),
        "discrete_gaussian" => Mechanism::discrete_gaussian(&square(&exact(scale)), &whole()),
        "discrete_laplace" => Mechanism::discrete_laplace(&exact(scale), &whole()),
        other => panic!("{other}"),
    };
    let sampled = mechanism.unwrap().sampled(value["q"].as_f64().unwrap());
    (sampled.unwrap(), value["count"].as_u64().unwrap())
}

fn parts(row: &Row) -> Vec<(Mechanism, u64)> {
    row.params.as_array().unwrap().iter().map(part).collect()
}

/// What is wrong with an epsilon for a row, if anything is.
fn wrong(row: &Row, epsilon: f64) -> Option<String> {
    let low = row.low.unwrap().max(row.exact.unwrap_or(0.0)) - 1e-6;
    let inside = (low..=row.high * 1.01).contains(&epsilon);
    let share = 100.0 * (epsilon / row.high - 1.0);
    eprintln!("{}: {epsilon}, {share:.4} % over {}", row.id, row.high);
    (!inside).then(|| format!("{}: {epsilon} outside {low} .. {}", row.id, row.high))
}

fn compositions() -> Vec<Row> {
    let rows = table();
    let skipped = rows.is_empty();
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|r| r.kind == "composition")
        .collect();
    assert!(skipped || rows.len() > 30, "only {} rows", rows.len());
    rows
}

#[test]
fn every_composition_lies_in_its_sandwich() {
    let mut faults = Vec::new();
    for row in compositions() {
        let compose = |all: Pld, (mechanism, count): (Mechanism, u64)| {
            all.compose(&Pld::of(&mechanism).self_compose(count))
        };
        let all = parts(&row).into_iter().fold(Pld::default(), compose);
        let start = std::time::Instant::now();
        let epsilon = all.epsilon_at(row.delta).unwrap();
        eprint!("{:?} ", start.elapsed());
        faults.extend(wrong(&row, epsilon.to_f64()));
        // And back: delta is enough near that epsilon, and not at less.
        let part = |per_mille| Epsilon::from_units(epsilon.units() / 1000 * per_mille);
        let (at, before) = (all.delta_at(part(1002)), all.delta_at(part(990)));
        if at.to_f64() > 1.02 * row.delta.to_f64() || before <= row.delta {
            faults.push(format!("{}: delta {at}, before {before}", row.id));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_running_accountant_lies_in_the_same_sandwich() {
    let mut faults = Vec::new();
    for row in compositions() {
        let mut running = Accountant::new(row.delta);
        for (mechanism, count) in parts(&row) {
            // Half at once, the rest in two steps: the window is held once and outgrown once.
            for some in [count / 2, count.div_ceil(2) - 1, 1] {
                running.add(&mechanism, some);
                running.epsilon().unwrap();
            }
        }
        faults.extend(wrong(&row, running.epsilon().unwrap().to_f64()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
