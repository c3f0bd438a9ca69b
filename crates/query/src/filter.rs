//! A query's conditions on one data set, applied while its rows are read.
//!
//! # Claim
//! A row is dropped exactly if a condition of the plan on this data set alone is not true of it:
//! conditions are evaluated by the engine's own expressions, over values that were brought into
//! range ([`clamp`](crate::clamp)). [`Bounds`] say no more than follows from them, so that what
//! they leave out would have been dropped. Both follow from the request alone.
//!
//! # How bounds follow
//! | condition | bound |
//! |---|---|
//! | column = < <= > >= literal, in the column's own type | a range, or a text |
//! | a column of true or false, also IS TRUE; NOT of one, also IS FALSE | 1; 0 |
//! | AND | what keeps to both |
//! | OR of conditions on the same column, IN | what keeps to one |
//! | anything else, IS NULL and <> among it | none |
//!
//! None of these is true of null, and the engine is asked whether that is so. A range that reaches the end of a column's declared range goes
//! on for ever: values beyond the end are clamped to it. A text that clamping would have made
//! null is none at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, new_null_array};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use incamera_seal::{Bound, Bounds};
use incamera_types::{ColumnName, ColumnSpec, ColumnType, DatasetSpec};

use crate::clamp::{ends, is_sound};
use crate::tables::field;

/// The conditions of a plan on one data set.
#[derive(Clone, Default)]
pub(crate) struct Filter {
    conditions: Vec<Expr>,
    bounds: Arc<Bounds>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", self.conditions.len())
    }
}

impl Filter {
    pub(crate) fn new(spec: &DatasetSpec, conditions: &[Expr]) -> Self {
        let all = conditions.iter().flat_map(split_conjunction);
        let mut known = Known::default();
        all.for_each(|one| known.restrict(spec, one));
        Self {
            conditions: conditions.to_vec(),
            bounds: Arc::new(known.bounds(spec)),
        }
    }

    /// What a row group must hold to be worth reading.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The columns that the conditions read.
    pub(crate) fn columns(&self) -> BTreeSet<ColumnName> {
        let columns = self.conditions.iter().flat_map(Expr::column_refs);
        columns
            .filter_map(|column| column.name.parse().ok())
            .collect()
    }

    /// The conditions over batches of this schema; nothing if there are none.
    pub(crate) fn over(&self, schema: &SchemaRef) -> Result<Option<Sieve>, DataFusionError> {
        let Some(all) = conjunction(self.conditions.iter().cloned()) else {
            return Ok(None);
        };
        let schema = DFSchema::try_from(Arc::clone(schema))?;
        let expr =
            create_physical_expr(&all, &schema, &ExecutionProps::new(), &Default::default())?;
        Ok(Some(Sieve(expr)))
    }
}

/// Conditions that are ready to run.
#[derive(Clone)]
pub(crate) struct Sieve(Arc<dyn PhysicalExpr>);

impl Sieve {
    /// For each row, whether all conditions are true of it.
    pub(crate) fn passes(&self, batch: &RecordBatch) -> Option<BooleanArray> {
        let rows = batch.num_rows();
        let found = self.0.evaluate(batch).ok()?.into_array(rows).ok()?;
        let found = found.as_boolean_opt()?;
        Some(match found.null_count() {
            0 => found.clone(),
            _ => prep_null_mask_filter(found),
        })
    }
}

/// The values that a condition on one column is true of.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Numbers(Vec<RangeInclusive<i128>>),
    Texts(BTreeSet<String>),
}

impl Values {
    /// What is in both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Numbers(a), Self::Numbers(b)) => {
                let both = a.iter().flat_map(|a| b.iter().map(|b| meet(a, b)));
                Self::Numbers(both.filter(|range| !range.is_empty()).collect())
            }
            (Self::Texts(a), Self::Texts(b)) => Self::Texts(a.intersection(&b).cloned().collect()),
            // A column has one type.
            (one, _) => one,
        }
    }

    /// What is in one of them; nothing is known if they are of different kinds.
    fn or(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Numbers(mut a), Self::Numbers(b)) => {
                a.extend(b);
                Some(Self::Numbers(a))
            }
            (Self::Texts(mut a), Self::Texts(b)) => {
                a.extend(b);
                Some(Self::Texts(a))
            }
            _ => None,
        }
    }

    /// The same of values before they are brought into the column's range.
    fn before_clamp(self, column: &ColumnSpec) -> Bound {
        match self {
            Self::Numbers(ranges) => {
                let wide = ranges
                    .iter()
                    .filter_map(|range| before_clamp(range, column));
                Bound::Numbers(wide.collect())
            }
            Self::Texts(texts) => {
                let sound = texts.into_iter().filter(|text| is_sound(text, column));
                Bound::Texts(sound.collect())
            }
        }
    }
}

fn meet(a: &RangeInclusive<i128>, b: &RangeInclusive<i128>) -> RangeInclusive<i128> {
    *a.start().max(b.start())..=*a.end().min(b.end())
}

/// The values that are clamped into `range`; nothing if none are.
fn before_clamp(range: &RangeInclusive<i128>, column: &ColumnSpec) -> Option<RangeInclusive<i128>> {
    let (low, high) = ends(column);
    let inside = meet(range, &(low..=high));
    let start = if *inside.start() == low {
        i128::MIN
    } else {
        *inside.start()
    };
    let end = if *inside.end() == high {
        i128::MAX
    } else {
        *inside.end()
    };
    (!inside.is_empty()).then_some(start..=end)
}

/// What is known of the columns of rows that pass.
#[derive(Default)]
struct Known(BTreeMap<ColumnName, Values>);

impl Known {
    fn restrict(&mut self, spec: &DatasetSpec, condition: &Expr) {
        let Some((column, values)) = values(spec, condition) else {
            return;
        };
        // The rules above say so already; if one of them were wrong, one person's value would
        // decide whether rows of others are read.
        if true_of_null(spec, condition) != Some(false) {
            return;
        }
        let values = match self.0.remove(&column) {
            Some(before) => before.and(values),
            None => values,
        };
        self.0.insert(column, values);
    }

    fn bounds(self, spec: &DatasetSpec) -> Bounds {
        let bound = |(name, values): (ColumnName, Values)| {
            let bound = values.before_clamp(spec.column(&name)?);
            Some((name, bound))
        };
        self.0.into_iter().filter_map(bound).collect()
    }
}

/// Whether the engine takes a row of nothing but nulls for one that passes.
fn true_of_null(spec: &DatasetSpec, condition: &Expr) -> Option<bool> {
    let named = |column: &&ColumnSpec| {
        let mut read = condition.column_refs().into_iter();
        read.any(|read| read.name == column.name.as_str())
    };
    let nullable = |column| field(column).with_nullable(true);
    let fields: Vec<Field> = spec.stored_columns().filter(named).map(nullable).collect();
    let nulls = fields
        .iter()
        .map(|field| new_null_array(field.data_type(), 1));
    let (nulls, schema) = (nulls.collect(), Arc::new(Schema::new(fields)));
    let row = RecordBatch::try_new(Arc::clone(&schema), nulls).ok()?;
    let filter = Filter {
        conditions: vec![condition.clone()],
        bounds: Arc::default(),
    };
    let passes = filter.over(&schema).ok()??.passes(&row)?;
    Some(passes.true_count() > 0)
}

type ColumnValues = Option<(ColumnName, Values)>;

/// The column that a condition is on, and the values that it is true of.
fn values(spec: &DatasetSpec, condition: &Expr) -> ColumnValues {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => same_column(values(spec, left)?, values(spec, right)?, |a, b| {
                Some(a.and(b))
            }),
            Operator::Or => same_column(values(spec, left)?, values(spec, right)?, Values::or),
            op => {
                compared(spec, left, *op, right).or_else(|| compared(spec, right, op.swap()?, left))
            }
        },
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let low = compared(spec, expr, Operator::GtEq, low)?;
            let high = compared(spec, expr, Operator::LtEq, high)?;
            same_column(low, high, |a, b| Some(a.and(b)))
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) => {
            let each = list
                .iter()
                .map(|item| compared(spec, expr, Operator::Eq, item));
            let each: Vec<_> = each.collect::<Option<_>>()?;
            let either = |a, b| same_column(a, b, Values::or);
            let mut each = each.into_iter();
            let first = each.next()?;
            each.try_fold(first, either)
        }
        Expr::Column(_) => truth(spec, condition, 1),
        Expr::IsTrue(inner) => truth(spec, inner, 1),
        // Of a column alone: NOT of more can be true of null.
        Expr::Not(inner) | Expr::IsFalse(inner) => truth(spec, inner, 0),
        _ => None,
    }
}

fn same_column(
    (a, left): (ColumnName, Values),
    (b, right): (ColumnName, Values),
    both: impl FnOnce(Values, Values) -> Option<Values>,
) -> ColumnValues {
    (a == b).then_some(())?;
    Some((a, both(left, right)?))
}

fn stored<'s>(spec: &'s DatasetSpec, expr: &Expr) -> Option<&'s ColumnSpec> {
    let Expr::Column(column) = expr else {
        return None;
    };
    spec.column(&column.name.parse().ok()?)
}

/// A column of true or false that must be one of them.
fn truth(spec: &DatasetSpec, expr: &Expr, is: i128) -> ColumnValues {
    let column = stored(spec, expr).filter(|column| column.ty == ColumnType::Bool)?;
    Some((column.name.clone(), Values::Numbers(vec![is..=is])))
}

/// A column on the left of a comparison with a literal of its own type.
fn compared(spec: &DatasetSpec, left: &Expr, op: Operator, right: &Expr) -> ColumnValues {
    let column = stored(spec, left)?;
    let Expr::Literal(literal, _) = right else {
        return None;
    };
    let values = match (column.ty, literal) {
        (ColumnType::Text, ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text))) => {
            (op == Operator::Eq).then(|| Values::Texts([text.clone()].into()))?
        }
        (ty, literal) => Values::Numbers(vec![range(op, number(ty, literal)?)?]),
    };
    Some((column.name.clone(), values))
}

fn number(ty: ColumnType, literal: &ScalarValue) -> Option<i128> {
    match (ty, literal) {
        (ColumnType::Bool, ScalarValue::Boolean(Some(value))) => Some(i128::from(*value)),
        (ColumnType::Int, ScalarValue::Int64(Some(value))) => Some(i128::from(*value)),
        (ColumnType::Date, ScalarValue::Date32(Some(value))) => Some(i128::from(*value)),
        (ColumnType::Timestamp, ScalarValue::TimestampMicrosecond(Some(value), _)) => {
            Some(i128::from(*value))
        }
        (ColumnType::Decimal { scale, .. }, ScalarValue::Decimal128(Some(value), _, digits))
            if i16::from(*digits) == i16::from(scale) =>
        {
            Some(*value)
        }
        _ => None,
    }
}

fn range(op: Operator, value: i128) -> Option<RangeInclusive<i128>> {
    match op {
        Operator::Eq => Some(value..=value),
        Operator::Lt => Some(i128::MIN..=value.checked_sub(1)?),
        Operator::LtEq => Some(i128::MIN..=value),
        Operator::Gt => Some(value.checked_add(1)?..=i128::MAX),
        Operator::GtEq => Some(value..=i128::MAX),
        _ => None,
    }
}
