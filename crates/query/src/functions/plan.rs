//! How SQL becomes calls of the functions on the list, before the engine gives operators a
//! meaning that can fail.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Placeholder, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawBinaryExpr, RawWindowExpr, TypePlanner,
};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator};

use super::Function::{self, *};
use super::Result;

/// The operators that are functions.
#[derive(Debug)]
pub(crate) struct Operators {
    params: ParamValues,
    filling: Filling,
}

/// What stands for a parameter in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// Its value: such a plan is checked, and run.
    Values,
    /// Its name, of its type: such a plan is for reading alone.
    Names,
}

impl Operators {
    pub(crate) fn new(params: ParamValues, filling: Filling) -> Self {
        Self { params, filling }
    }

    /// A parameter's value, which says of which type it is.
    fn filled(&self, expr: Expr) -> Expr {
        let Expr::Placeholder(placeholder) = &expr else {
            return expr;
        };
        let value = self.params.get_placeholders_with_values(&placeholder.id);
        match (value, self.filling) {
            (Err(_), _) => expr,
            (Ok(value), Filling::Values) => Expr::Literal(value.value, None),
            (Ok(value), Filling::Names) => name(&placeholder.id, &value.value),
        }
    }
}

/// A parameter by its name, of the type that its value has.
fn name(id: &str, value: &ScalarValue) -> Expr {
    let field = Arc::new(Field::new(id, super::wide(&value.data_type()), true));
    Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(field)))
}

/// A plan with each parameter filled in.
pub(crate) fn filled(
    plan: LogicalPlan,
    params: ParamValues,
    filling: Filling,
) -> Result<LogicalPlan> {
    if filling == Filling::Values {
        return plan.with_param_values(params);
    }
    let named = |expr| match &expr {
        Expr::Placeholder(one) => Ok(match params.get_placeholders_with_values(&one.id) {
            Ok(value) => Transformed::yes(name(&one.id, &value.value)),
            Err(_) => Transformed::no(expr),
        }),
        _ => Ok(Transformed::no(expr)),
    };
    let node = |node: LogicalPlan| {
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let kept = names.save(&expr);
            let changed = expr.transform_up(named)?;
            Ok(changed.update_data(|expr| kept.restore(expr)))
        })?;
        changed.map_data(LogicalPlan::recompute_schema)
    };
    plan.transform_up_with_subqueries(node)
        .map(|plan| plan.data)
}

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let (left, right) = (self.filled(left), self.filled(right));
        let ty = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
        let call = operator(&op, (&left, ty(&left)), (&right, ty(&right)));
        Ok(match call {
            Some(call) => PlannerResult::Planned(call),
            None => PlannerResult::Original(RawBinaryExpr { op, left, right }),
        })
    }

    /// Places of rows as whole numbers like others: the engine has them without a sign, and what
    /// is taken from such a number can leave its type.
    fn plan_window(&self, raw: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        if !matches!(raw.func_def.name(), "row_number" | "rank" | "dense_rank") {
            return Ok(PlannerResult::Original(raw));
        }
        let params = WindowFunctionParams {
            args: raw.args,
            partition_by: raw.partition_by,
            order_by: raw.order_by,
            window_frame: raw.window_frame,
            filter: raw.filter,
            null_treatment: raw.null_treatment,
            distinct: raw.distinct,
        };
        let fun = raw.func_def;
        let place = Expr::WindowFunction(Box::new(WindowFunction { fun, params }));
        let place = Cast::new(Box::new(place), DataType::Int64);
        Ok(PlannerResult::Planned(Expr::Cast(place)))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(DatePart.call(args)))
    }
}

/// An operator as a call, where it is one.
fn operator(
    op: &BinaryOperator,
    left: (&Expr, DataType),
    right: (&Expr, DataType),
) -> Option<Expr> {
    use BinaryOperator as Op;
    let ((a, left), (b, right)) = (left, right);
    let two = |function: Function| Some(function.call(vec![a.clone(), b.clone()]));
    let interval = |ty: &DataType| matches!(ty, DataType::Interval(_));
    let days = |ty: &DataType| *ty == DataType::Date32;
    let number = |ty: &DataType| matches!(ty, DataType::Int64 | DataType::UInt64);
    match op {
        Op::Plus if interval(&right) => later(a, b, 1),
        Op::Plus if interval(&left) => later(b, a, 1),
        Op::Minus if interval(&right) => later(a, b, -1),
        Op::Plus if days(&left) && number(&right) => Some(days_later(a, b, 1)),
        Op::Plus if number(&left) && days(&right) => Some(days_later(b, a, 1)),
        Op::Minus if days(&left) && number(&right) => Some(days_later(a, b, -1)),
        Op::Minus if days(&left) && days(&right) => two(DaysBetween),
        // Of aggregates, it is for who aggregates to say: see `divisions`.
        Op::Divide if !aggregates(a) && !aggregates(b) => two(Divide),
        Op::Modulo => two(Modulo),
        Op::StringConcat => two(Join),
        _ => None,
    }
}

fn int(number: i64) -> Expr {
    Expr::Literal(ScalarValue::Int64(Some(number)), None)
}

fn days_later(day: &Expr, days: &Expr, sign: i64) -> Expr {
    DaysLater.call(vec![day.clone(), days.clone(), int(sign)])
}

/// A moment plus or minus a literal interval.
fn later(moment: &Expr, interval: &Expr, sign: i64) -> Option<Expr> {
    let Expr::Literal(interval, _) = interval else {
        return None;
    };
    let (months, days, micros) = match interval {
        ScalarValue::IntervalMonthDayNano(Some(of)) => {
            (of.months.into(), of.days.into(), of.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(of)) => {
            (0, of.days.into(), i64::from(of.milliseconds) * 1_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => ((*months).into(), 0, 0),
        _ => return None,
    };
    let by = [months, days, micros].map(|number: i64| int(number.saturating_mul(sign)));
    let args = std::iter::once(moment.clone()).chain(by);
    Some(Later.call(args.collect()))
}

fn aggregates(expr: &Expr) -> bool {
    let found = expr.exists(|part| Ok(matches!(part, Expr::AggregateFunction(_))));
    found.unwrap_or(true)
}

/// A plan whose rows are one person's each, with quotients of aggregates as calls, and averages
/// of whole numbers as averages of decimals: the engine's would be floats.
pub(crate) fn divisions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let node = |node: LogicalPlan| {
        let schemas = node
            .inputs()
            .into_iter()
            .map(|input| input.schema().as_ref());
        let schema = schemas.fold(DFSchema::empty(), |mut all, one| {
            all.merge(one);
            all
        });
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let kept = names.save(&expr);
            let changed = expr.transform_up(|part| Ok(exact(part, &schema)))?;
            Ok(changed.update_data(|expr| kept.restore(expr)))
        })?;
        changed.map_data(LogicalPlan::recompute_schema)
    };
    plan.transform_up_with_subqueries(node)
        .map(|plan| plan.data)
}

fn exact(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Divide,
            right,
        }) => Transformed::yes(Divide.call(vec![*left, *right])),
        Expr::AggregateFunction(mut function) if averages(&function, schema) => {
            let to = DataType::Decimal128(super::INT_DIGITS, 0);
            let args = std::mem::take(&mut function.params.args).into_iter();
            let args = args.map(|arg| Expr::Cast(Cast::new(Box::new(arg), to.clone())));
            function.params.args = args.collect();
            Transformed::yes(Expr::AggregateFunction(function))
        }
        other => Transformed::no(other),
    }
}

/// Whether it is the average of a whole number.
fn averages(function: &AggregateFunction, schema: &DFSchema) -> bool {
    let arg = function.params.args.first();
    let ty = arg.and_then(|arg| arg.get_type(schema).ok());
    function.func.name() == "avg" && matches!(ty, Some(DataType::Int64 | DataType::UInt64))
}

/// Types as the engine has them here: moments in microseconds, of UTC, and texts with wide
/// offsets.
#[derive(Debug)]
pub(crate) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, ty: &ast::DataType) -> Result<Option<FieldRef>> {
        let ty = match ty {
            ast::DataType::Timestamp(None, ast::TimezoneInfo::None) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            ast::DataType::Text | ast::DataType::Varchar(None) => DataType::LargeUtf8,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", ty, true))))
    }
}
