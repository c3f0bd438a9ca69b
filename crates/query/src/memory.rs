//! How much memory a query may need, from public numbers alone.
//!
//! # Claim
//! The estimate follows from the agreement (people, rows a person, types of columns, listed
//! texts, groups), from the lengths of sealed parts that the manifests state, and from the
//! number of threads. No row has a part in it, so neither has a refusal (I7). The engine then
//! runs without a limit of its own: which rows meet in a join cannot end a query.
//!
//! # How it adds up
//! | what is held | bytes |
//! |---|---|
//! | a join's left side, in a hash table | people x rows a person of the data sets in it x ([`COPIES`] x its row + [`HASH_BYTES`]) |
//! | what each person adds, by group | people x groups x [`COPIES`] x ([`PLACE_BYTES`] + 16 a measure) |
//! | keys of discovered groups | people x groups x [`COPIES`] x ([`KEY_BYTES`] + the longest key) |
//! | values that are counted apart | people x rows x [`COPIES`] x [`VALUE_BYTES`] a measure |
//! | a thread's parts | the largest partition's x [`PART_FACTOR`] |
//! | a thread's batches | [`BASE_BYTES`], and what the row cut holds: the most rows that wait x their width x [`COPIES`] |
//!
//! *People* are those of the largest owner read: an owner that declared what it has knows that
//! a join holds no more of its people than that, whatever the other owners sealed. All
//! partitions are counted, although only some are in memory at a time.
//!
//! [`COPIES`] is 2: the engine gathers batches, then copies them into one; a map that grows has
//! its old and its new table. [`HASH_BYTES`] is a bucket (16 bytes, down to half of them in
//! use) and a link (8), [`PLACE_BYTES`] a bucket of the map of people with its list of places.
//! [`PART_FACTOR`] is 3: a part is read into a buffer that doubles as it grows, and kept in
//! one of its own length. A test runs the engine inside the first line's number.
//!
//! A public data set multiplies the rows of a left side by those that the agreement allows it,
//! unless a join goes by columns in which no two of its rows are the same
//! ([`public`](crate::public)). An owner who sealed more people than it declares, up to twice as
//! many, makes the first two lines so much larger: by default a room lets a query use half of
//! a small machine's memory.

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::LogicalPlan;
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType, DatasetName, DatasetSpec};

use crate::check::CheckedQuery;
use crate::clamp::longest_text;
use crate::cut::MOST_WAITING_ROWS;
use crate::fold::declared_cells;
use crate::measure::Kind;
use crate::run::optimized;

/// Copies of the same rows at a time.
const COPIES: u64 = 2;
/// Of a hash table, a row.
const HASH_BYTES: u64 = 48;
/// Of the map of people, a person and group.
const PLACE_BYTES: u64 = 112;
/// Of a map of discovered groups, a group.
const KEY_BYTES: u64 = 96;
/// Of a value that is counted apart, in a person's set and in the group's.
const VALUE_BYTES: u64 = 160;
/// A part while it is read.
const PART_FACTOR: u64 = 3;
/// Pages and batches of a thread, whatever the query.
const BASE_BYTES: u64 = 64 << 20;

/// A query that the room has too little memory for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the query may need {needed} MiB of memory by the sizes that the agreement and the manifests state, and the room may use {allowed} MiB: give the room more (`memory_bytes`), or agree on fewer rows a person, or list the `values` of texts"
)]
pub struct TooLarge {
    needed: u64,
    allowed: u64,
}

/// The bytes of one partition's parts, of the partition that has most, by data set.
pub(crate) type PartBytes<'a> = &'a dyn Fn(&DatasetName) -> u64;

/// Says whether a query fits into `allowed` bytes.
pub(crate) fn fits(
    checked: &CheckedQuery,
    parts: PartBytes<'_>,
    threads: u64,
    allowed: u64,
) -> Result<(), TooLarge> {
    let needed = needed(checked, parts, threads);
    if needed <= allowed {
        return Ok(());
    }
    let (needed, allowed) = (needed.div_ceil(1 << 20), allowed >> 20);
    Err(TooLarge { needed, allowed })
}

/// The most bytes that a run may hold.
pub(crate) fn needed(checked: &CheckedQuery, parts: PartBytes<'_>, threads: u64) -> u64 {
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
    let of_parts = sum(&mut checked.datasets.keys().map(parts)).saturating_mul(PART_FACTOR);
    let cut_rows = checked.datasets.values().filter(|spec| !spec.public);
    let of_cuts = sum(&mut cut_rows.map(|spec| cut(checked, spec)));
    let of_keys = sum(&mut checked.datasets.values().map(|spec| keys(checked, spec)));
    let of_a_thread = BASE_BYTES.saturating_add(of_parts).saturating_add(of_cuts);
    of_joins(checked)
        .saturating_add(people(checked))
        .saturating_add(of_a_thread.saturating_mul(threads))
        .saturating_add(of_keys)
}

/// The bytes of what is kept of a public data set's rows to find those that are there twice.
fn keys(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let keys = checked.public_keys.get(&spec.name).into_iter().flatten();
    let columns = keys.filter_map(|name| spec.column(name));
    let bytes: u64 = columns.map(|column| HASH_BYTES + width(column)).sum();
    bytes.saturating_mul(checked.most_rows(&spec.name))
}

/// The bytes of all joins: what the engine may reserve.
pub(crate) fn of_joins(checked: &CheckedQuery) -> u64 {
    let plan = optimized(checked).unwrap_or_else(|_| checked.plan.clone());
    let sides = joins(&plan).map(|left| side(checked, left));
    sides.fold(0, u64::saturating_add)
}

/// The bytes of the rows that wait for the cut.
fn cut(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let rows = checked.most_rows(&spec.name);
    let rows = rows.saturating_add(MOST_WAITING_ROWS);
    rows.saturating_mul(row(checked, spec) * COPIES)
}

/// The bytes of a row of the columns read.
fn row(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let reads = checked.query.reads.iter();
    let columns = reads.filter(|read| read.dataset == spec.name);
    let columns = columns.filter_map(|read| spec.column(&read.column));
    columns.map(width).sum()
}

/// The left sides of all joins of a plan: what the engine gathers.
fn joins(plan: &LogicalPlan) -> impl Iterator<Item = &LogicalPlan> {
    let mut stack = vec![plan];
    std::iter::from_fn(move || {
        loop {
            let node = stack.pop()?;
            stack.extend(node.inputs());
            if let LogicalPlan::Join(join) = node {
                return Some(join.left.as_ref());
            }
        }
    })
}

/// The bytes of a join's left side.
fn side(checked: &CheckedQuery, left: &LogicalPlan) -> u64 {
    let rows = rows(checked, left);
    let fields = left.schema().fields().iter();
    let row: u64 = fields.map(|field| gathered(checked, field)).sum();
    rows.saturating_mul(HASH_BYTES + row * COPIES)
}

/// The most rows of a join's side.
fn rows(checked: &CheckedQuery, side: &LogicalPlan) -> u64 {
    let (mut public, mut met, mut private) = (1_u64, 1_u64, None);
    let mut stack = vec![side];
    while let Some(node) = stack.pop() {
        stack.extend(node.inputs());
        let LogicalPlan::TableScan(scan) = node else {
            continue;
        };
        let mut specs = checked.datasets.values();
        let name = scan.table_name.table();
        let Some(spec) = specs.find(|spec| spec.name.as_str() == name) else {
            continue;
        };
        let most = checked.most_rows(&spec.name);
        if spec.public {
            public = public.saturating_mul(most);
            met = met.saturating_mul(checked.public_matches(spec));
        } else {
            let people = private.unwrap_or(checked.most_people);
            private = Some(people.saturating_mul(most));
        }
    }
    private.map_or(public, |private| private.saturating_mul(met))
}

/// The bytes of a value of a join's left side.
fn gathered(checked: &CheckedQuery, field: &Field) -> u64 {
    match field.data_type() {
        DataType::Boolean => 1,
        DataType::Date32 => 4,
        DataType::Int64 | DataType::Timestamp(..) => 8,
        DataType::LargeUtf8 | DataType::Utf8 => {
            let columns = checked.datasets.values().flat_map(|spec| &spec.columns);
            let named = columns.filter(|column| column.name.as_str() == field.name());
            let texts = named.filter(|column| column.ty == ColumnType::Text);
            8 + texts.map(longest_text).max().unwrap_or(MAX_TEXT_BYTES) as u64
        }
        _ => 16,
    }
}

/// The bytes of a value, of a text the longest.
fn width(column: &ColumnSpec) -> u64 {
    match column.ty {
        ColumnType::Bool => 1,
        ColumnType::Date => 4,
        ColumnType::Int | ColumnType::Timestamp => 8,
        ColumnType::Text => 8 + longest_text(column) as u64,
        _ => 16,
    }
}

/// The bytes of what each person adds to each group.
fn people(checked: &CheckedQuery) -> u64 {
    let rows = checked.datasets.values().map(|spec| match spec.public {
        true => checked.public_matches(spec),
        false => checked.most_rows(&spec.name),
    });
    let rows = rows.fold(1, u64::saturating_mul);
    let declared = declared_cells(&checked.query.groups).map(|cells| cells as u64);
    let groups = rows.min(declared.unwrap_or(u64::MAX));
    let discovered = match declared {
        Some(_) => 0,
        None => KEY_BYTES + keys_width(checked),
    };
    let apart = checked.measures.iter();
    let apart = apart
        .filter(|measure| measure.kind == Kind::Distinct)
        .count() as u64;
    let place = PLACE_BYTES + 16 * checked.measures.len() as u64 + discovered;
    let places = checked.most_people.saturating_mul(groups);
    let values = checked.most_people.saturating_mul(rows);
    places
        .saturating_mul(place * COPIES)
        .saturating_add(values.saturating_mul(apart * VALUE_BYTES * COPIES))
}

/// The bytes of the longest key of a discovered group.
fn keys_width(checked: &CheckedQuery) -> u64 {
    let keys = checked.keys.iter();
    keys.map(|key| match key.ty {
        DataType::LargeUtf8 | DataType::Utf8 => (24 + MAX_TEXT_BYTES) as u64,
        _ => 48,
    })
    .sum()
}
