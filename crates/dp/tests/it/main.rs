//! Accounting against an independent accountant's table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs
)]

use incamera_dp::{epsilon_of, rho_of};
use incamera_types::{Delta, Epsilon, Rho};
use serde_json::Value;

mod pld;
mod threshold;

struct Row {
    id: String,
    kind: String,
    params: Value,
    delta: Delta,
    low: Option<f64>,
    high: f64,
    rdp: Option<f64>,
    exact: Option<f64>,
    tau: Option<u64>,
    attained: Option<f64>,
}

/// The table, or nothing where the checkout has no reference folder beside it.
fn table() -> Vec<Row> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/accounting.csv"
    );
    let Ok(mut reader) = csv::Reader::from_path(path) else {
        eprintln!("SKIPPED: no ../shared/reference/accounting.csv beside the checkout");
        return Vec::new();
    };
    let read = |record: csv::StringRecord| Row {
        id: record[0].into(),
        kind: record[1].into(),
        params: serde_json::from_str(&record[2]).unwrap(),
        delta: record[3].parse().unwrap(),
        low: record[4].parse().ok(),
        high: record[5].parse().unwrap_or(f64::NAN),
        rdp: record[6].parse().ok(),
        exact: record[7].parse().ok(),
        tau: record[8].parse().ok(),
        attained: record[9].parse().ok(),
    };
    let rows: Vec<Row> = reader
        .records()
        .map(|record| read(record.unwrap()))
        .collect();
    assert!(!rows.is_empty());
    rows
}

#[test]
fn conversions_agree_with_the_reference() {
    let rows = table();
    for row in rows.iter().filter(|row| row.kind == "zcdp") {
        let rho = Rho::from_f64(row.params["rho"].as_f64().unwrap()).unwrap();
        let epsilon = epsilon_of(rho, row.delta).to_f64();
        let reference = row.rdp.unwrap();
        // The reference searches fixed orders only, so ours may be a little smaller.
        assert!(
            epsilon <= reference + 2e-6,
            "{}: {epsilon} over {reference}",
            row.id
        );
        assert!(
            epsilon >= reference * 0.999,
            "{}: {epsilon} under {reference}",
            row.id
        );
        assert!(
            epsilon < row.high,
            "{}: worse than the simple bound",
            row.id
        );
        let back = rho_of(
            Epsilon::from_f64(reference).unwrap(),
            row.delta,
            Delta::ZERO,
        )
        .unwrap();
        let share = back.to_f64() / rho.to_f64();
        assert!((0.9999..1.01).contains(&share), "{}: {share}", row.id);
    }
}

/// An accountant that returns less than the exact epsilon of Gaussian noise is unsound.
#[test]
fn never_below_the_exact_epsilon_of_gaussians() {
    let rows = table();
    let composed = rows.iter().filter(|row| row.kind == "composition");
    let mut checked = 0;
    for row in composed {
        let parts = row.params.as_array().unwrap();
        let plain = |part: &Value| part["mech"] == "gaussian" && part["q"] == 1.0;
        let (true, Some(exact)) = (parts.iter().all(plain), row.exact) else {
            continue;
        };
        let number = |part: &Value, name: &str| part[name].as_f64().unwrap();
        let rho: f64 = parts
            .iter()
            .map(|p| {
                number(p, "count") * (number(p, "sensitivity") / number(p, "scale")).powi(2) / 2.0
            })
            .sum();
        let epsilon = epsilon_of(Rho::from_f64(rho).unwrap(), row.delta).to_f64();
        assert!(
            epsilon >= exact - 1e-6,
            "{}: {epsilon} under {exact}",
            row.id
        );
        checked += 1;
    }
    assert!(rows.is_empty() || checked > 3, "only {checked} rows");
}
