//! Tests of the whole crate, over an agreement with rows in memory.

mod above;
mod aggregates;
mod attacks;
mod audit;
mod blocks;
mod bounds_known;
mod clipped;
mod exact;
mod explain;
mod export;
mod filters;
mod fit;
mod functions;
mod generated;
mod golden;
mod groups;
mod hostile;
mod invariants;
mod linked;
mod memory;
mod nested;
mod pages;
mod practice;
mod public;
mod quantiles;
mod real;
mod refusals;
mod rows;
mod sampled;
mod sealed;
mod swapped;
mod tables;
mod templates;
mod tpch;
mod trials;
mod twin;
mod units;
mod windows;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeBinaryBuilder};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use incamera_agreement::{Agreement, Query};
use incamera_dp::NoiseKey;
use incamera_types::{DatasetName, Digest as _, Params, RequestDigest};

use crate::check::CheckedQuery;
use crate::fold::{declared_cells, declared_key};
use crate::released::release_with;
use crate::run::{Limits, Noise, QueryError, RawAggregate, compute_over};
use crate::source::{Memory, PartSource};

/// An agreement with this one query `q`; lines of `settings` replace the defaults.
pub(super) fn agreement(sql: &str, settings: &[(&str, &str)]) -> Agreement {
    agreement_of(DATASETS, sql, settings)
}

/// The parties and data sets of the tests.
pub(super) const DATASETS: &str = include_str!("agreement.toml");

/// The same with other parties and data sets.
pub(super) fn agreement_of(base: &str, sql: &str, settings: &[(&str, &str)]) -> Agreement {
    let mut lines = BTreeMap::from([
        ("purpose", "\"measurement\""),
        ("analysts", "[\"mailer/ana\"]"),
        ("receivers", "[\"shop\"]"),
        ("reads", "[\"customers.person\"]"),
        ("per_person", "{ groups = 1 }"),
        ("epsilon", "1.0"),
        ("delta", "1e-8"),
        ("min_people", "1"),
    ]);
    lines.extend(settings.iter().copied());
    let mut text = base.to_owned();
    text.push_str("\n[queries.q]\n");
    for (name, value) in lines {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text.push_str(&format!("sql = '''\n{sql}\n'''\n"));
    Agreement::parse(text.as_bytes()).unwrap_or_else(|error| {
        let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
        panic!("{}\n{text}", problems.join("\n"))
    })
}

pub(super) fn query(agreement: &Agreement) -> &Query {
    agreement.queries.values().next().unwrap()
}

pub(super) fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

pub(super) type Person = [u8; 16];

/// A person in a slice, by number: spread over the pseudonym space.
pub(super) fn person(number: u8) -> Person {
    let mut bytes = [number; 16];
    bytes[0] = number.wrapping_mul(37);
    bytes
}

pub(super) fn people(rows: impl IntoIterator<Item = Person>) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::new(16);
    for row in rows {
        builder.append_value(row).unwrap();
    }
    Arc::new(builder.finish())
}

pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(
        Arc::new(schema),
        columns.into_iter().map(|(_, array)| array).collect(),
    )
    .unwrap()
}

/// The noise of the one request that tests make.
pub(super) fn noise(key: &NoiseKey) -> Noise<'_> {
    let request = RequestDigest::from_bytes([1; 32]);
    Noise { request, key }
}

/// The answer, with the noise of a key.
pub(super) fn answer(raw: RawAggregate, key: u8) -> incamera_wire::v1::Answer {
    let key = NoiseKey::from_bytes([key; 32]);
    release_with(raw, noise(&key), true).unwrap().answer()
}

pub(super) fn limits() -> Limits {
    Limits {
        threads: 2,
        ..Limits::default()
    }
}

pub(super) fn try_raw(
    checked: &CheckedQuery,
    source: Arc<dyn PartSource>,
    key: u8,
) -> Result<RawAggregate, QueryError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(compute_over(
        &Arc::new(checked.clone()),
        source,
        noise(&NoiseKey::from_bytes([key; 32])),
        limits().threads,
    ))
}

/// The exact totals.
pub(super) fn totals(checked: &CheckedQuery, memory: Memory, key: u8) -> Vec<i128> {
    exact(&try_raw(checked, Arc::new(memory), key).unwrap())
}

/// The exact totals of declared groups, in the agreement's order.
pub(super) fn exact(raw: &RawAggregate) -> Vec<i128> {
    let groups = &raw.checked.query.groups;
    let cells = 0..declared_cells(groups).unwrap();
    let of = |cell| {
        let total = raw.totals.get(&declared_key(groups, cell));
        let measures = 0..raw.checked.measures.len();
        measures.map(move |at| total.map_or(0, |total| total.of(at)))
    };
    cells.flat_map(of).collect()
}

pub(super) fn params(pairs: &[(&str, incamera_types::Value)]) -> Params {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.clone()))
        .collect()
}
