//! How large the rows are that each step of a plan makes, and what it gathers of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, TableScan};
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType};

use super::{COPIES, HASH_BYTES, block};
use crate::check::CheckedQuery;
use crate::clamp::{FIRST_DAY, LAST_DAY, longest_text, range};
use crate::lineage::bare;

/// How large the rows of a plan are.
pub(super) struct Size {
    private: bool,
    /// The most rows of a person, or in all if they are nobody's.
    pub(super) rows: u64,
    /// The most that a person's row meets of them.
    met: u64,
    /// The most rows of a block, or in all if they are nobody's.
    pub(super) block: u64,
    /// The most people of a block.
    pub(super) people: u64,
    pub(super) columns: Vec<Wide>,
}

impl Size {
    fn row(&self) -> u64 {
        let bytes = self.columns.iter().map(|column| column.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

/// How much there can be of a column.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    /// The bytes of a value, of a text the longest.
    pub(super) bytes: u64,
    /// The most different values.
    pub(super) kinds: u64,
}

impl Wide {
    pub(super) const UNKNOWN: Self = Self {
        bytes: MAX_WIDTH,
        kinds: u64::MAX,
    };

    /// Of either of two.
    fn or(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            kinds: self.kinds.saturating_add(other.kinds),
        }
    }
}

/// What the top of a plan gives, and the bytes of all that is gathered below.
pub(super) fn gathered(checked: &CheckedQuery) -> (Size, u64) {
    let mut sizes = Sizes { checked, held: 0 };
    let size = sizes.of(&checked.optimized);
    (size, sizes.held)
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
                    columns: either(&a.columns, &b.columns),
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
        let widths = |exprs: &[Expr]| -> Vec<Wide> {
            let of =
                |expr| schema.map_or(Wide::UNKNOWN, |schema| wide(expr, schema, &input.columns));
            exprs.iter().map(of).collect()
        };
        match plan {
            LogicalPlan::Projection(projection) => Size {
                columns: widths(&projection.expr),
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
                    columns: widths(&exprs),
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
                all.splice(0..0, input.columns.iter().copied());
                let size = Size {
                    columns: all,
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
            named.next().map_or(Wide::UNKNOWN, width)
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
            columns: fields.map(of).collect(),
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
            columns: [left.columns, right.columns].concat(),
        }
    }

    /// So many bytes for each row.
    fn hold(&mut self, of: &Size, bytes: u64) {
        self.held = self.held.saturating_add(of.block.saturating_mul(bytes));
    }

    /// A node without rows.
    fn unknown(&self, plan: &LogicalPlan) -> Size {
        let (private, rows, met, block, people) = (false, 1, 1, 1, 1);
        let columns = vec![Wide::UNKNOWN; plan.schema().fields().len()];
        Size {
            private,
            rows,
            met,
            block,
            people,
            columns,
        }
    }
}

fn either(a: &[Wide], b: &[Wide]) -> Vec<Wide> {
    a.iter().zip(b).map(|(a, b)| a.or(*b)).collect()
}

fn is_distinct(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::AggregateFunction(function) if function.params.distinct)
}

/// The longest text, with its length.
const MAX_WIDTH: u64 = 8 + MAX_TEXT_BYTES as u64;

/// How much there can be of what an expression gives.
fn wide(expr: &Expr, schema: &DFSchema, columns: &[Wide]) -> Wide {
    let of = |expr: &Expr| wide(expr, schema, columns);
    // Some value of these arguments.
    let some = |args: &[Expr]| {
        args.iter()
            .map(of)
            .reduce(Wide::or)
            .unwrap_or(Wide::UNKNOWN)
    };
    match bare(expr) {
        Expr::Column(column) => {
            let at = schema.maybe_index_of_column(column);
            at.and_then(|at| columns.get(at).copied())
                .unwrap_or(Wide::UNKNOWN)
        }
        Expr::AggregateFunction(function) if matches!(function.func.name(), "min" | "max") => {
            some(&function.params.args)
        }
        Expr::WindowFunction(function) if function.fun.name() == "first_value" => {
            some(&function.params.args)
        }
        Expr::Literal(value, _) => Wide {
            bytes: match value.data_type() {
                // In an array a text has its own bytes; all else is as wide as its type.
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => value.size() as u64,
                ty => typed(&ty).bytes,
            },
            kinds: 1,
        },
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then);
            let results = results.chain(&case.else_expr).map(|result| of(result));
            results.reduce(Wide::or).unwrap_or(Wide::UNKNOWN)
        }
        // From one kind of text to another a text stays what it is.
        Expr::Cast(cast) if is_text(cast.field.data_type()) => match cast.expr.get_type(schema) {
            Ok(ty) if is_text(&ty) => of(&cast.expr),
            Ok(DataType::Boolean | DataType::Date32 | DataType::Int64) => Wide {
                bytes: SHORT_TEXT,
                ..of(&cast.expr)
            },
            _ => Wide::UNKNOWN,
        },
        other => other
            .get_type(schema)
            .map_or(Wide::UNKNOWN, |ty| typed(&ty)),
    }
}

/// A day or a number as a text, with its length.
const SHORT_TEXT: u64 = 48;

pub(super) fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Of what is known by its type alone.
fn typed(ty: &DataType) -> Wide {
    let (bytes, kinds) = match ty {
        DataType::Boolean => (1, 2),
        DataType::Date32 => (4, DAYS),
        DataType::Int64 | DataType::UInt64 | DataType::Timestamp(..) => (8, u64::MAX),
        DataType::Decimal128(..) | DataType::FixedSizeBinary(_) | DataType::Null => (16, u64::MAX),
        _ => (MAX_WIDTH, u64::MAX),
    };
    Wide { bytes, kinds }
}

/// The days that there are.
const DAYS: u64 = LAST_DAY.abs_diff(FIRST_DAY) as u64 + 1;

/// Of a stored column.
pub(super) fn width(column: &ColumnSpec) -> Wide {
    let (bytes, kinds) = match column.ty {
        ColumnType::Bool => (1, 2),
        ColumnType::Date => (4, DAYS),
        ColumnType::Timestamp => (8, u64::MAX),
        ColumnType::Int => (8, whole_numbers(column)),
        ColumnType::Text => {
            let listed = column.values.as_ref();
            let kinds = listed.map_or(u64::MAX, |values| values.len() as u64);
            (8 + longest_text(column) as u64, kinds)
        }
        _ => (16, u64::MAX),
    };
    Wide { bytes, kinds }
}

/// How many whole numbers a column declares.
fn whole_numbers(column: &ColumnSpec) -> u64 {
    let (low, high) = range(column);
    let all = high.saturating_sub(low).saturating_add(1);
    u64::try_from(all).unwrap_or(u64::MAX)
}
