//! How much memory a query may need, from public numbers alone.
//!
//! # Claim
//! The estimate follows from the agreement (people, rows a person, types of columns, listed
//! texts, groups), from the lengths of sealed parts that the manifests state, and from the
//! number of threads. No row has a part in it, so neither has a refusal (I7). The engine then
//! runs without a limit of its own: which rows meet in a join cannot end a query.
//!
//! # How it adds up
//! Each thread holds, of one block of people ([`merge`](crate::merge)):
//!
//! | what is held | bytes |
//! |---|---|
//! | the rows read, and what the row cut holds | block rows x their width x [`COPIES`], a reading |
//! | a join's left side, in a hash table | block rows x ([`COPIES`] x its row + [`HASH_BYTES`]) |
//! | an aggregate below the top, DISTINCT | block rows x ([`COPIES`] x its row + [`HASH_BYTES`]), and for each COUNT(DISTINCT) block rows below it x the value and [`HASH_BYTES`] |
//! | functions with OVER, which sort | block rows x 2 x [`COPIES`] x the row |
//! | what each person adds, by group | block rows, or its people x declared groups, x [`COPIES`] x ([`PLACE_BYTES`] + 16 a measure) |
//! | public rows, which every block meets | declared rows x their width x [`COPIES`], a reading |
//! | its parts | of the largest partition what is held of each ([`CheckedPart::most_held`](incamera_seal::CheckedPart::most_held)) x [`PART_FACTOR`] |
//! | its batches and pages | [`BASE_BYTES`] |
//!
//! *Block rows* of a data set are the rows of a block and of a batch, and those of one person
//! more, at most as many as its people may have; its people are no more than these. A join multiplies them by the most rows of a person on the
//! other side, UNION ALL adds them up; nothing else makes more of them.
//!
//! And all threads together, until the end:
//!
//! | what is held | bytes |
//! |---|---|
//! | discovered groups | people x groups x [`COPIES`] x ([`PLACE_BYTES`] + 16 a measure + [`KEY_BYTES`] + the longest key) |
//! | values that are counted apart | people x rows x [`COPIES`] x [`VALUE_BYTES`] a measure |
//!
//! *Rows a person* are those that the query's `rows` allow each data set, at every reading: a
//! join multiplies them, UNION ALL adds them up, an aggregate by the person alone has one.
//! *People* are those of the largest owner read.
//!
//! [`COPIES`] is 2: the engine gathers batches, then copies them into one; a map that grows has
//! its old and its new table. [`HASH_BYTES`] is a bucket (16 bytes, down to half of them in
//! use) and a link (8), [`PLACE_BYTES`] a bucket of the map of people with its places.
//! [`PART_FACTOR`] is 3: a page stands in pieces of the file, and is gathered, decrypted and
//! decompressed. A test runs the engine inside the first lines' number.
//!
//! A public data set multiplies the rows of a left side by those that the agreement allows it,
//! unless a join goes by columns in which no two of its rows are the same
//! ([`public`](crate::public)). An owner who sealed more people than it declares, up to twice as
//! many, makes the last two lines so much larger: by default a room lets a query use half of
//! a small machine's memory.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, TableScan};
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType, DatasetName, DatasetSpec};

use crate::check::CheckedQuery;
use crate::clamp::longest_text;
use crate::cut::MOST_WAITING_ROWS;
use crate::fold::declared_cells;
use crate::lineage::bare;
use crate::measure::Kind;
use crate::merge;
use crate::run::times_read;

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

/// What is held of one partition's parts, of the partition that has most, by data set.
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
    let times = |name: &DatasetName| times(checked, name);
    let specs = || checked.datasets.values();
    let of_parts =
        sum(&mut specs().map(|spec| parts(&spec.name).saturating_mul(times(&spec.name))));
    let of_parts = of_parts.saturating_mul(PART_FACTOR);
    let of_rows =
        sum(&mut specs().map(|spec| read(checked, spec).saturating_mul(times(&spec.name))));
    let of_keys = sum(&mut specs().map(|spec| keys(checked, spec)));
    let (size, gathered) = gathered(checked);
    let of_a_thread = [
        BASE_BYTES,
        of_parts,
        of_rows,
        gathered,
        places(checked, &size),
    ];
    let of_a_thread = sum(&mut of_a_thread.into_iter());
    of_a_thread
        .saturating_mul(threads)
        .saturating_add(people(checked, size.rows))
        .saturating_add(of_keys)
}

/// The bytes of what is kept of a public data set's rows to find those that are there twice.
fn keys(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let keys = checked.public_keys.get(&spec.name).into_iter().flatten();
    let columns = keys.flatten().filter_map(|name| spec.column(name));
    let bytes: u64 = columns.map(|column| HASH_BYTES + width(column)).sum();
    bytes.saturating_mul(checked.most_rows(&spec.name))
}

/// The most rows that a run makes of those that the agreement allows everybody.
pub(crate) fn rows(checked: &CheckedQuery) -> u64 {
    let read = checked.datasets.keys();
    let read = read.map(|name| checked.most_rows(name).saturating_mul(times(checked, name)));
    let read = read.fold(0, u64::saturating_add);
    let (size, _) = gathered(checked);
    let joined = checked.most_people.saturating_mul(size.rows);
    joined.saturating_add(checked.most_people.saturating_mul(read))
}

/// How often a run reads a data set: at least once, whatever the plan wants of it.
pub(crate) fn times(checked: &CheckedQuery, dataset: &DatasetName) -> u64 {
    times_read(&checked.optimized, dataset).max(1) as u64
}

/// The bytes of all that the engine gathers: what it may reserve.
#[cfg(test)]
pub(crate) fn of_plan(checked: &CheckedQuery) -> u64 {
    gathered(checked).1
}

/// What the top of a plan gives, and the bytes of all that is gathered below.
fn gathered(checked: &CheckedQuery) -> (Size, u64) {
    let mut sizes = Sizes { checked, held: 0 };
    let size = sizes.of(&checked.optimized);
    (size, sizes.held)
}

/// The bytes of a reading's rows: those of a block, and those that wait for the cut; of a
/// public data set all.
fn read(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let rows = match spec.public {
        true => checked.most_rows(&spec.name),
        false => block(checked, spec).saturating_add(MOST_WAITING_ROWS),
    };
    rows.saturating_mul(row(checked, spec) * COPIES)
}

/// The most rows of a private data set in a block.
fn block(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let public = checked.datasets.values().filter(|spec| spec.public);
    let public = public.map(|spec| checked.most_rows(&spec.name));
    let rows = merge::block_rows(public.fold(0, u64::saturating_add));
    let person = checked.most_rows(&spec.name);
    let all = checked.most_people.saturating_mul(person);
    merge::most_rows(rows, person).min(all)
}

/// The bytes of a row of the columns read.
fn row(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let reads = checked.query.reads.iter();
    let columns = reads.filter(|read| read.dataset == spec.name);
    let columns = columns.filter_map(|read| spec.column(&read.column));
    columns.map(width).sum()
}

/// How large the rows of a plan are.
struct Size {
    private: bool,
    /// The most rows of a person, or in all if they are nobody's.
    rows: u64,
    /// The most that a person's row meets of them.
    met: u64,
    /// The most rows of a block, or in all if they are nobody's.
    block: u64,
    /// The most people of a block.
    people: u64,
    /// The bytes of each column.
    widths: Vec<u64>,
}

impl Size {
    fn row(&self) -> u64 {
        self.widths
            .iter()
            .fold(0, |sum, width| sum.saturating_add(*width))
    }
}

/// Walks a plan from its tables up.
struct Sizes<'a> {
    checked: &'a CheckedQuery,
    held: u64,
}

impl Sizes<'_> {
    fn of(&mut self, plan: &LogicalPlan) -> Size {
        let mut inputs: Vec<Size> = plan
            .inputs()
            .into_iter()
            .map(|input| self.of(input))
            .collect();
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Join(join) => match (inputs.pop(), inputs.pop()) {
                (Some(right), Some(left)) => self.join(join, left, right),
                _ => self.unknown(plan),
            },
            LogicalPlan::Union(_) => inputs
                .into_iter()
                .reduce(|a, b| Size {
                    rows: a.rows.saturating_add(b.rows),
                    met: a.met.saturating_add(b.met),
                    block: a.block.saturating_add(b.block),
                    people: a.people.saturating_add(b.people),
                    widths: wider(&a.widths, &b.widths),
                    ..a
                })
                .unwrap_or_else(|| self.unknown(plan)),
            _ => match inputs.pop() {
                Some(input) => self.made(plan, input),
                None => self.unknown(plan),
            },
        }
    }

    /// A node with one input.
    fn made(&mut self, plan: &LogicalPlan, input: Size) -> Size {
        let schema = plan.inputs().into_iter().next().map(LogicalPlan::schema);
        let widths = |exprs: &[Expr]| -> Vec<u64> {
            let of = |expr| schema.map_or(MAX_WIDTH, |schema| wide(expr, schema, &input.widths));
            exprs.iter().map(of).collect()
        };
        match plan {
            LogicalPlan::Projection(projection) => Size {
                widths: widths(&projection.expr),
                ..input
            },
            LogicalPlan::Aggregate(aggregate) => {
                let exprs = [&aggregate.group_expr[..], &aggregate.aggr_expr[..]].concat();
                let keys = aggregate.group_expr.iter();
                let person = schema.is_some_and(|schema| {
                    let mut types = keys.map(|key| key.get_type(schema.as_ref()));
                    types.all(|ty| matches!(ty, Ok(DataType::FixedSizeBinary(_))))
                });
                let size = Size {
                    rows: if person { 1 } else { input.rows },
                    met: input.rows,
                    block: input.block,
                    people: input.people,
                    widths: widths(&exprs),
                    private: input.private,
                };
                let apart = aggregate
                    .aggr_expr
                    .iter()
                    .filter(|one| is_distinct(one))
                    .count();
                let row = size.row().saturating_mul(COPIES) + HASH_BYTES;
                self.hold(&size, row);
                let sets = (HASH_BYTES + input.row()).saturating_mul(apart as u64);
                self.hold(&input, sets);
                size
            }
            LogicalPlan::Distinct(_) => {
                self.hold(&input, input.row().saturating_mul(COPIES) + HASH_BYTES);
                input
            }
            LogicalPlan::Window(window) => {
                let mut all = widths(&window.window_expr);
                all.splice(0..0, input.widths.iter().copied());
                let size = Size {
                    widths: all,
                    ..input
                };
                self.hold(&size, size.row().saturating_mul(2 * COPIES));
                size
            }
            _ => input,
        }
    }

    fn scan(&self, scan: &TableScan) -> Size {
        let mut specs = self.checked.datasets.values();
        let name = scan.table_name.table();
        let spec = specs.find(|spec| spec.name.as_str() == name);
        let fields = scan.projected_schema.fields().iter();
        let of = |field: &Arc<Field>| {
            let columns = spec.into_iter().flat_map(|spec| &spec.columns);
            let mut named = columns.filter(|column| column.name.as_str() == field.name());
            named.next().map_or(MAX_WIDTH, width)
        };
        let rows = spec.map_or(1, |spec| self.checked.most_rows(&spec.name));
        let private = spec.filter(|spec| !spec.public);
        let block = private.map_or(rows, |spec| block(self.checked, spec));
        Size {
            private: private.is_some(),
            rows,
            block,
            people: block.min(self.checked.most_people),
            met: spec
                .filter(|spec| spec.public)
                .map_or(rows, |spec| self.checked.public_matches(spec)),
            widths: fields.map(of).collect(),
        }
    }

    /// A join gathers its left side.
    fn join(&mut self, join: &Join, left: Size, right: Size) -> Size {
        self.hold(&left, left.row().saturating_mul(COPIES) + HASH_BYTES);
        if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) {
            return left;
        }
        let (rows, block) = match (left.private, right.private) {
            (true, false) => (
                left.rows.saturating_mul(right.met),
                left.block.saturating_mul(right.met),
            ),
            (false, true) => (
                right.rows.saturating_mul(left.met),
                right.block.saturating_mul(left.met),
            ),
            // Each row meets the other side's rows of its person, and no others; or none.
            (true, true) => {
                let met = right.block.saturating_mul(left.rows);
                let alone = left.block.saturating_add(right.block);
                let block = left.block.saturating_mul(right.rows);
                (
                    left.rows.saturating_mul(right.rows),
                    block.min(met.saturating_add(alone)),
                )
            }
            (false, false) => {
                let rows = left.rows.saturating_mul(right.rows);
                (rows, rows)
            }
        };
        let people = match (left.private, right.private, join.join_type) {
            (true, true, JoinType::Inner) => left.people.min(right.people),
            (true, true, JoinType::Left) => left.people,
            (true, true, _) => left.people.saturating_add(right.people),
            (false, true, _) => right.people,
            _ => left.people,
        };
        Size {
            private: left.private || right.private,
            rows,
            block,
            people,
            met: left.met.saturating_mul(right.met),
            widths: [left.widths, right.widths].concat(),
        }
    }

    /// So many bytes for each row.
    fn hold(&mut self, of: &Size, bytes: u64) {
        self.held = self.held.saturating_add(of.block.saturating_mul(bytes));
    }

    /// A node without rows.
    fn unknown(&self, plan: &LogicalPlan) -> Size {
        let (private, rows, met, block, people) = (false, 1, 1, 1, 1);
        let widths = vec![MAX_WIDTH; plan.schema().fields().len()];
        Size {
            private,
            rows,
            met,
            block,
            people,
            widths,
        }
    }
}

fn wider(a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(a, b)| *a.max(b)).collect()
}

fn is_distinct(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::AggregateFunction(function) if function.params.distinct)
}

/// The longest text, with its length.
const MAX_WIDTH: u64 = 8 + MAX_TEXT_BYTES as u64;

/// The bytes of what an expression gives.
fn wide(expr: &Expr, schema: &DFSchema, widths: &[u64]) -> u64 {
    let of = |expr: &Expr| wide(expr, schema, widths);
    match bare(expr) {
        Expr::Column(column) => {
            let at = schema.maybe_index_of_column(column);
            at.and_then(|at| widths.get(at).copied())
                .unwrap_or(MAX_WIDTH)
        }
        Expr::AggregateFunction(function) if matches!(function.func.name(), "min" | "max") => {
            function
                .params
                .args
                .iter()
                .map(of)
                .max()
                .unwrap_or(MAX_WIDTH)
        }
        Expr::WindowFunction(function) if function.fun.name() == "first_value" => function
            .params
            .args
            .iter()
            .map(of)
            .max()
            .unwrap_or(MAX_WIDTH),
        Expr::Literal(value, _) => match value.data_type() {
            // In an array a text has its own bytes; all else is as wide as its type.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => value.size() as u64,
            ty => typed(&ty),
        },
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then);
            let results = results.chain(&case.else_expr);
            results.map(|result| of(result)).max().unwrap_or(0)
        }
        other => match other.get_type(schema) {
            Ok(ty) => typed(&ty),
            Err(_) => MAX_WIDTH,
        },
    }
}

fn typed(ty: &DataType) -> u64 {
    match ty {
        DataType::Boolean => 1,
        DataType::Date32 => 4,
        DataType::Int64 | DataType::UInt64 | DataType::Timestamp(..) => 8,
        DataType::Decimal128(..) | DataType::FixedSizeBinary(_) | DataType::Null => 16,
        _ => MAX_WIDTH,
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

/// The bytes of what each person of a block adds to each group.
fn places(checked: &CheckedQuery, size: &Size) -> u64 {
    let declared = declared_cells(&checked.query.groups).map(|cells| cells as u64);
    let groups = size.people.saturating_mul(declared.unwrap_or(u64::MAX));
    let places = size.block.min(groups);
    places.saturating_mul(place(checked) * COPIES)
}

fn place(checked: &CheckedQuery) -> u64 {
    PLACE_BYTES + 16 * checked.measures.len() as u64
}

/// The bytes of what is kept of all people, of so many rows each.
fn people(checked: &CheckedQuery, rows: u64) -> u64 {
    let values = checked.most_people.saturating_mul(rows);
    let discovered = match declared_cells(&checked.query.groups) {
        Some(_) => 0,
        None => place(checked) + KEY_BYTES + keys_width(checked),
    };
    let apart = checked.measures.iter();
    let apart = apart
        .filter(|measure| matches!(measure.kind, Kind::Distinct | Kind::Quantile))
        .count() as u64;
    let bytes = (discovered + apart * VALUE_BYTES) * COPIES;
    values.saturating_mul(bytes)
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
