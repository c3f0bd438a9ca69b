//! Rows that are made of one person's: aggregates, DISTINCT, functions with OVER, and sides of a
//! UNION ALL.
//!
//! # Claim
//! A row that passes is made of the rows of one person, by functions whose result follows from
//! them alone: a certain unit column is among the keys. Numbers are bounded by the most rows a
//! person, which the cut enforces at every reading, times the bound of a row's, and must fit
//! the type in which the engine adds up: nothing wraps around, and nothing fails (I7).
//!
//! | function | bound |
//! |---|---|
//! | COUNT, ROW_NUMBER, RANK, DENSE_RANK | the most rows |
//! | SUM | the most rows times the column's |
//! | MIN, MAX, AVG, FIRST_VALUE | the column's; AVG of decimals alone, with four digits more |
//! | LAG, LEAD | the column's, and the default's |

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::{
    AggregateFunction, NullTreatment, Sort, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use num_bigint::BigUint;

use crate::functions::constant;
use crate::lineage::{Field, Rows, Unit, Walked, bare};
use crate::refusal::{Refusal, RefusalKind};
use crate::shape::{Scope, Shape, holds, overflow, scaled};
use crate::unit::same;

/// The most rows back or ahead.
const MAX_OFFSET: i64 = 1_000;
/// Digits that the engine adds to an average of decimals.
const AVG_DIGITS: u32 = 4;

fn refuse(what: impl Into<String>, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Expression, what, why, instead)
}

/// An aggregate below the top.
pub(crate) fn aggregate(aggregate: &Aggregate, rows: Rows) -> Walked {
    let scope = rows.scope(aggregate.input.schema());
    if let Some(Expr::GroupingSet(_)) = aggregate.group_expr.first() {
        return Err(Refusal::new(
            RefusalKind::Clause,
            "ROLLUP, CUBE or GROUPING SETS",
            "rows of it would be made of several groups",
            "GROUP BY the columns themselves",
        ));
    }
    let keys = aggregate.group_expr.iter().map(|key| scope.passed(key));
    let keys: Vec<Field> = keys.collect::<Result<_, _>>()?;
    if rows.private && !keys.iter().any(|key| key.unit == Unit::Certain) {
        return Err(Refusal::new(
            RefusalKind::UnitLost,
            "an aggregate below the top without the person in its GROUP BY",
            "its rows would be made of several people's",
            "add the pseudonym column to that GROUP BY, or aggregate at the top alone",
        )
        .or_at_text("group"));
    }
    // The pseudonym alone tells the groups of a person apart.
    let one = keys.iter().all(|key| key.unit == Unit::Certain);
    let most = if one { 1 } else { rows.most };
    let values = aggregate.aggr_expr.iter().map(|value| match bare(value) {
        Expr::AggregateFunction(function) => aggregated(&scope, function, value, rows.most)
            .map(|shape| Field::made(shape).counted(scope.known_of(function))),
        other => Err(unknown(&other.to_string())),
    });
    let values: Vec<Field> = values.collect::<Result<_, _>>()?;
    let fields = keys.into_iter().chain(values);
    let fields = fields.collect();
    Ok(rows.made(fields, most))
}

/// Rows, each once.
pub(crate) fn distinct(rows: Rows) -> Walked {
    if rows.private && !rows.certain() {
        return Err(Refusal::new(
            RefusalKind::UnitLost,
            "DISTINCT without the person",
            "its rows would be made of several people's",
            "SELECT DISTINCT the pseudonym column too, or COUNT(DISTINCT ...) at the top",
        )
        .or_at_text("distinct"));
    }
    let (fields, most) = (rows.fields.clone(), rows.most);
    Ok(rows.made(fields, most))
}

fn unknown(name: &str) -> Refusal {
    refuse(
        format!("{name}() below the top aggregate"),
        "it is not on the list of functions",
        "use COUNT, SUM, MIN, MAX and AVG over one person's rows",
    )
    .or_at_text(name)
}

type Checked = Result<Shape, Refusal>;

fn aggregated(scope: &Scope<'_>, function: &AggregateFunction, whole: &Expr, rows: u64) -> Checked {
    let (name, params) = (function.func.name(), &function.params);
    if !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err(refuse(
            format!("{name}() with ORDER BY or NULLS"),
            "it is not on the list of clauses",
            "leave it out",
        ));
    }
    if params.distinct && !matches!(name, "count" | "min" | "max") {
        return Err(refuse(
            format!("{name}(DISTINCT ...)"),
            "it is not on the list of functions",
            "SELECT DISTINCT the rows first",
        ));
    }
    if let Some(filter) = &params.filter {
        scope.condition(filter)?;
    }
    let ty = whole.get_type(scope.schema).map_err(|_| overflow())?;
    folded(scope, name, &params.args, &ty, rows)
}

/// What an aggregate gives of so many rows.
fn folded(scope: &Scope<'_>, name: &str, args: &[Expr], ty: &DataType, rows: u64) -> Checked {
    let rows = BigUint::from(rows);
    let shapes = args.iter().map(|arg| scope.shape(arg));
    let first = shapes.collect::<Result<Vec<_>, _>>()?.into_iter().next();
    let shape = match (name, first) {
        ("count", _) => Shape::Number {
            most: rows,
            scale: 0,
        },
        ("min" | "max" | "first_value", Some(Shape::Pseudonym(_))) => {
            return Err(refuse(
                format!("{name}() of a pseudonym"),
                "it would no longer be known whose it is",
                "name the pseudonym column in GROUP BY or PARTITION BY",
            ));
        }
        ("min" | "max" | "first_value", Some(shape)) => shape,
        ("sum", Some(Shape::Number { most, scale })) => Shape::Number {
            most: most * rows,
            scale,
        },
        ("avg", Some(Shape::Number { most, scale })) => {
            let DataType::Decimal128(..) = ty else {
                return Err(refuse(
                    "AVG of whole numbers",
                    "the engine computes it in floats, whose last digits hang on the order of rows",
                    "write AVG(CAST(... AS DECIMAL(18,4)))",
                ));
            };
            // The sum too must bear the digits that the engine adds before it divides.
            let sum = scaled(most.clone() * rows, AVG_DIGITS);
            if !holds(&DataType::Decimal128(38, 0), &sum, 0) {
                return Err(overflow());
            }
            Shape::Number {
                most: scaled(most, AVG_DIGITS),
                scale: scale + AVG_DIGITS,
            }
        }
        ("sum" | "avg", Some(other)) => {
            return Err(refuse(
                format!("{name}() of {}", other.word()),
                "only numbers are added up",
                "COUNT it, or take its MIN or MAX",
            ));
        }
        _ => return Err(unknown(name)),
    };
    match &shape {
        Shape::Number { most, scale } if !holds(ty, most, *scale) => Err(overflow()),
        _ => Ok(shape),
    }
}

/// Functions with OVER.
pub(crate) fn window(window: &Window, rows: Rows) -> Walked {
    let scope = rows.scope(window.input.schema());
    let over = |expr: &Expr| match bare(expr) {
        Expr::WindowFunction(function) => over(&scope, function, expr, &rows)
            .map(|shape| Field::made(shape).counted(scope.known_over(function))),
        other => Err(unknown(&other.to_string())),
    };
    let made = window.window_expr.iter().map(over);
    let made: Vec<Field> = made.collect::<Result<_, _>>()?;
    let fields = rows.fields.iter().cloned().chain(made).collect();
    let most = rows.most;
    Ok(rows.made(fields, most))
}

fn over(scope: &Scope<'_>, function: &WindowFunction, whole: &Expr, rows: &Rows) -> Checked {
    let (name, params) = (function.fun.name(), &function.params);
    let keys = params.partition_by.iter().map(|key| scope.passed(key));
    let keys: Vec<Field> = keys.collect::<Result<_, _>>()?;
    if rows.private && !keys.iter().any(|key| key.unit == Unit::Certain) {
        return Err(Refusal::new(
            RefusalKind::UnitLost,
            format!("{name}() OVER without the person in its PARTITION BY"),
            "it would mix rows of several people",
            "write OVER (PARTITION BY person ORDER BY ...)",
        )
        .or_at_text("over"));
    }
    params
        .order_by
        .iter()
        .try_for_each(|sort| orders(scope, sort))?;
    if params.distinct || params.null_treatment == Some(NullTreatment::IgnoreNulls) {
        return Err(refuse(
            format!("{name}() OVER with DISTINCT or IGNORE NULLS"),
            "it is not on the list of clauses",
            "drop such rows in a sub-query first",
        ));
    }
    if let Some(filter) = &params.filter {
        scope.condition(filter)?;
    }
    if !frame(&params.window_frame) {
        return Err(refuse(
            format!("{name}() OVER such a frame"),
            "a RANGE of values could leave their type on some row",
            "write ROWS BETWEEN ..., or a RANGE of UNBOUNDED and CURRENT ROW",
        )
        .or_at_text("between"));
    }
    let ty = whole.get_type(scope.schema).map_err(|_| overflow())?;
    let shape = match name {
        "row_number" | "rank" | "dense_rank" => Shape::Number {
            most: rows.most.into(),
            scale: 0,
        },
        "lag" | "lead" => moved(scope, name, params)?,
        "first_value" if params.window_frame.start_bound.is_unbounded() => {
            folded(scope, name, &params.args, &ty, rows.most)?
        }
        "first_value" => {
            return Err(refuse(
                "FIRST_VALUE over a frame that moves",
                "it is not on the list of functions",
                "let the frame start at UNBOUNDED PRECEDING, or use LAG",
            ));
        }
        name => folded(scope, name, &params.args, &ty, rows.most)?,
    };
    match &shape {
        Shape::Number { most, scale } if !holds(&ty, most, *scale) => Err(overflow()),
        _ => Ok(shape),
    }
}

fn orders(scope: &Scope<'_>, sort: &Sort) -> Result<(), Refusal> {
    match scope.shape(&sort.expr)? {
        Shape::Pseudonym(_) => Err(refuse(
            "ORDER BY a pseudonym",
            "pseudonyms have no order that means anything",
            "order a person's rows by a day, a moment or a number",
        )),
        _ => Ok(()),
    }
}

/// LAG and LEAD.
fn moved(scope: &Scope<'_>, name: &str, params: &WindowFunctionParams) -> Checked {
    use datafusion::common::ScalarValue::Int64;
    let mut args = params.args.iter();
    let first = args
        .next()
        .map_or(Ok(Shape::Null), |arg| scope.shape(arg))?;
    let near = |arg: &Expr| matches!(constant(arg), Some(Int64(Some(by))) if (-MAX_OFFSET..=MAX_OFFSET).contains(&by));
    if !args.next().is_none_or(near) {
        return Err(refuse(
            format!("{name}() by so many rows"),
            "it must be a literal of at most 1,000",
            "write a smaller number",
        )
        .or_at_text(name));
    }
    let other = match args.next() {
        Some(arg) if constant(arg).is_none() => {
            return Err(refuse(
                format!("{name}() with a default that is no literal"),
                "the engine takes literals alone",
                "write COALESCE around it, in the query outside",
            )
            .or_at_text(name));
        }
        Some(arg) => scope.shape(arg)?,
        None => Shape::Null,
    };
    scope.either(first, other, name)
}

/// Whether a frame's ends are places of rows.
fn frame(frame: &WindowFrame) -> bool {
    let ends = [&frame.start_bound, &frame.end_bound];
    match frame.units {
        WindowFrameUnits::Rows => true,
        _ => ends
            .iter()
            .all(|end| end.is_unbounded() || matches!(end, WindowFrameBound::CurrentRow)),
    }
}

/// Rows of one side of a UNION ALL, then of another.
pub(crate) fn union(before: Rows, next: Rows, scope: &Scope<'_>) -> Walked {
    let refuse = |what: &str, why: &str, instead: &str| {
        Refusal::new(RefusalKind::UnitLost, what, why, instead).or_at_text("union")
    };
    if before.private != next.private {
        return Err(refuse(
            "a UNION ALL of people's rows with public ones",
            "the public rows would belong to nobody",
            "JOIN the public data set to people's rows instead",
        ));
    }
    let pairs = before.fields.iter().zip(&next.fields);
    let fields = pairs.map(|(a, b)| {
        let unit = match (a.unit, b.unit) {
            (Unit::Certain, Unit::Certain) => Unit::Certain,
            (Unit::No, _) | (_, Unit::No) => Unit::No,
            _ => Unit::Maybe,
        };
        let shape = match unit {
            Unit::No => scope.either(a.shape.clone(), b.shape.clone(), "UNION ALL")?,
            _ if a.shape == b.shape => a.shape.clone(),
            _ => {
                return Err(refuse(
                    "a UNION ALL of pseudonyms of different kinds",
                    "they stand for different kinds of id",
                    "put pseudonyms of one kind at the same place",
                ));
            }
        };
        let counted_in = same(a.counted_in.clone(), b.counted_in.clone());
        Ok(Field {
            unit,
            ..Field::made(shape).counted(counted_in)
        })
    });
    let fields: Vec<Field> = fields.collect::<Result<_, _>>()?;
    let all = before.with(next, fields);
    if all.private && !all.certain() {
        return Err(refuse(
            "a UNION ALL without the person at the same place",
            "it would no longer be known whose the rows are",
            "SELECT the pseudonym column first on every side",
        ));
    }
    Ok(all)
}
