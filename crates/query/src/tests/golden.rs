//! Committed releases, read as a person reads them: the golden files of crate `release`, and
//! the tables that they gave.

use std::path::{Path, PathBuf};

use incamera_wire::v1::{Answer, ReleaseFile};

use super::*;
use crate::{frame, prove, table};

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("../release/tests/golden").join(name)
}

/// The agreement of a release, its answer, and the parameters that it was asked with.
fn release(name: &str) -> (Agreement, Answer, Params) {
    let agreement = std::fs::read(golden(&format!("{name}.toml"))).unwrap();
    let agreement = Agreement::parse(&agreement).unwrap();
    let bytes = std::fs::read(golden(&format!("release-1-{name}"))).unwrap();
    let file: ReleaseFile = incamera_wire::decode(&bytes, bytes.len()).unwrap();
    let answer = incamera_wire::decode(&file.answer, file.answer.len()).unwrap();
    let day = |text: &str| incamera_types::Value::Date(text.parse().unwrap());
    let asked = params(&[("from", day("2026-03-01")), ("until", day("2026-05-31"))]);
    (agreement, answer, asked)
}

fn reads_as(name: &str) {
    let (agreement, answer, params) = release(name);
    let query = &agreement.queries["lift"];
    prove(&agreement, query).unwrap_or_else(|refusal| panic!("{refusal}"));
    let table = table(&answer, &agreement, query, &params).unwrap();
    let columns = frame(&answer, &table).unwrap().schema();
    let columns: Vec<&str> = columns
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let document = serde_json::to_string_pretty(&table).unwrap();
    let shown = format!("{table}\n{}\n\n{document}\n", columns.join(" "));
    insta::assert_snapshot!(format!("golden-{name}"), shown);
}

/// Squares for sampling errors, ranks of a quantile, several comparisons, what one run is worth.
#[test]
fn a_release_with_sampling_and_quantiles_reads_as_it_did() {
    reads_as("sampled");
}

/// Groups that the data named, their threshold, and Laplace noise.
#[test]
fn a_release_of_discovered_groups_reads_as_it_did() {
    reads_as("discovered");
}
