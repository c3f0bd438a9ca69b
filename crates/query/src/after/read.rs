//! From the part of a plan above its top aggregate to expressions over released values.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Case, Expr, LogicalPlan, Operator, SortExpr,
};
use incamera_types::Date;

use super::quantity::Quantity;
use super::term::{Arithmetic, Call, Compare, unscaled};
use super::{By, Datum, Output, Step, Term};
use crate::lineage::bare;
use crate::refusal::{Refusal, RefusalKind};
use crate::refused::not_allowed;

/// A plan, split at its top aggregate.
pub(crate) struct Above<'p> {
    pub(crate) aggregate: &'p Aggregate,
    /// The columns of the answer, in order of the SELECT.
    pub(crate) outputs: Vec<Output>,
    pub(crate) steps: Vec<Step>,
    /// What each aggregate is called, from the inside out.
    pub(crate) names: Vec<Vec<String>>,
}

/// Splits a plan at its top aggregate.
pub(crate) fn above(plan: &LogicalPlan) -> Result<Above<'_>, Refusal> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Ok(bottom(aggregate)),
        LogicalPlan::SubqueryAlias(alias) => above(&alias.input),
        LogicalPlan::Projection(projection) => {
            let mut inner = above(&projection.input)?;
            let schema = projection.input.schema();
            let mut outputs = Vec::new();
            for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
                let term = inner.reader(schema).term(expr)?;
                inner.call(&term, expr, field.name());
                let name = field.name().clone();
                outputs.push(Output { name, term });
            }
            Ok(Above { outputs, ..inner })
        }
        LogicalPlan::Filter(filter) => {
            let mut inner = above(&filter.input)?;
            let term = inner
                .reader(filter.input.schema())
                .term(&filter.predicate)?;
            inner.steps.push(Step::Keep(term));
            Ok(inner)
        }
        LogicalPlan::Sort(sort) => {
            let mut inner = above(&sort.input)?;
            let reader = inner.reader(sort.input.schema());
            let by = sort.expr.iter().map(|by| reader.by(by));
            let by = by.collect::<Result<Vec<_>, _>>()?;
            inner.steps.push(Step::Sort(by));
            if let Some(fetch) = sort.fetch {
                inner.steps.push(Step::Limit { skip: 0, fetch });
            }
            Ok(inner)
        }
        LogicalPlan::Limit(limit) => {
            let mut inner = above(&limit.input)?;
            let skip = count(limit.skip.as_deref())?.unwrap_or(0);
            let fetch = count(limit.fetch.as_deref())?.unwrap_or(usize::MAX);
            inner.steps.push(Step::Limit { skip, fetch });
            Ok(inner)
        }
        other => Err(no_aggregate(other)),
    }
}

fn bottom(aggregate: &Aggregate) -> Above<'_> {
    let keys = aggregate.group_expr.len();
    let fields = aggregate.schema.fields().iter().enumerate();
    let output = |(at, field): (usize, &std::sync::Arc<arrow::datatypes::Field>)| Output {
        name: field.name().clone(),
        term: match at.checked_sub(keys) {
            Some(at) => Term::Aggregate(at),
            None => Term::Key(at),
        },
    };
    Above {
        aggregate,
        outputs: fields.map(output).collect(),
        steps: Vec::new(),
        names: vec![Vec::new(); aggregate.aggr_expr.len()],
    }
}

impl Above<'_> {
    fn reader<'r>(&'r self, schema: &'r DFSchema) -> Reader<'r> {
        Reader {
            schema,
            outputs: &self.outputs,
        }
    }

    /// Notes a name that the SQL gives an aggregate.
    fn call(&mut self, term: &Term, expr: &Expr, name: &str) {
        if let (Term::Aggregate(at), Expr::Alias(_)) = (term, expr)
            && let Some(names) = self.names.get_mut(*at)
        {
            names.push(name.to_owned());
        }
    }
}

/// LIMIT and OFFSET: whole numbers, written down or a parameter's.
fn count(expr: Option<&Expr>) -> Result<Option<usize>, Refusal> {
    let refuse = || {
        Refusal::new(
            RefusalKind::Clause,
            "LIMIT or OFFSET",
            "it takes a whole number that is not below zero",
            "write the number, or a parameter with a declared `min` of 0",
        )
        .or_at_text("limit")
    };
    match expr.map(bare) {
        None => Ok(None),
        Some(Expr::Literal(value, _)) if value.is_null() => Ok(None),
        Some(Expr::Literal(ScalarValue::Int64(Some(number)), _)) => {
            usize::try_from(*number).map(Some).map_err(|_| refuse())
        }
        Some(Expr::Literal(ScalarValue::UInt64(Some(number)), _)) => {
            usize::try_from(*number).map(Some).map_err(|_| refuse())
        }
        _ => Err(refuse()),
    }
}

fn no_aggregate(plan: &LogicalPlan) -> Refusal {
    let rows = matches!(
        plan,
        LogicalPlan::TableScan(_) | LogicalPlan::Join(_) | LogicalPlan::Union(_)
    );
    if !rows {
        return not_allowed(plan);
    }
    Refusal::new(
        RefusalKind::NotOneSelect,
        "a SELECT of rows",
        "rows never leave the room",
        "SELECT COUNT(DISTINCT person), COUNT(*) or SUM(...), with GROUP BY",
    )
}

/// Reads expressions over columns of the answer.
struct Reader<'a> {
    schema: &'a DFSchema,
    outputs: &'a [Output],
}

type Read = Result<Term, Refusal>;

impl Reader<'_> {
    fn boxed(&self, expr: &Expr) -> Result<Box<Term>, Refusal> {
        self.term(expr).map(Box::new)
    }

    fn term(&self, expr: &Expr) -> Read {
        Ok(match expr {
            Expr::Alias(alias) => self.term(&alias.expr)?,
            Expr::Column(column) => {
                let at = self.schema.maybe_index_of_column(column);
                let output = at.and_then(|at| self.outputs.get(at));
                let output = output.ok_or_else(|| refuse(format!("`{}`", column.name)))?;
                output.term.clone()
            }
            Expr::Literal(value, _) => literal(value)?,
            Expr::BinaryExpr(binary) => self.binary(binary)?,
            Expr::Not(inner) => Term::Not(self.boxed(inner)?),
            Expr::Negative(inner) => {
                let zero = Term::Literal(Datum::Number(Quantity::exact(0.0)));
                Term::Arithmetic(Box::new(zero), Arithmetic::Minus, self.boxed(inner)?)
            }
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => Term::IsNull(self.boxed(inner)?),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => {
                not(Term::IsNull(self.boxed(inner)?))
            }
            Expr::IsTrue(inner) => Term::Is(self.boxed(inner)?, true),
            Expr::IsFalse(inner) => Term::Is(self.boxed(inner)?, false),
            Expr::IsNotTrue(inner) => not(Term::Is(self.boxed(inner)?, true)),
            Expr::IsNotFalse(inner) => not(Term::Is(self.boxed(inner)?, false)),
            Expr::Between(between) => self.between(between)?,
            Expr::InList(list) => self.in_list(list)?,
            Expr::Case(case) => self.case(case)?,
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type())?,
            Expr::TryCast(cast) => self.cast(&cast.expr, cast.field.data_type())?,
            Expr::ScalarFunction(function) => self.call(function)?,
            other => {
                return Err(refuse(format!(
                    "{} above the aggregate",
                    other.variant_name()
                )));
            }
        })
    }

    fn binary(&self, binary: &BinaryExpr) -> Read {
        let (left, right) = (self.boxed(&binary.left)?, self.boxed(&binary.right)?);
        let arithmetic = |operator| Term::Arithmetic(left.clone(), operator, right.clone());
        let compare = |operator| Term::Compare(left.clone(), operator, right.clone());
        Ok(match binary.op {
            Operator::Plus => arithmetic(Arithmetic::Plus),
            Operator::Minus => arithmetic(Arithmetic::Minus),
            Operator::Multiply => arithmetic(Arithmetic::Times),
            Operator::Divide => arithmetic(Arithmetic::Over),
            Operator::Eq => compare(Compare::Equal),
            Operator::NotEq => compare(Compare::Unequal),
            Operator::Lt => compare(Compare::Less),
            Operator::LtEq => compare(Compare::AtMost),
            Operator::Gt => compare(Compare::More),
            Operator::GtEq => compare(Compare::AtLeast),
            Operator::And => Term::And(left, right),
            Operator::Or => Term::Or(left, right),
            other => {
                return Err(
                    refuse(format!("`{other}` above the aggregate")).or_at_text(&other.to_string())
                );
            }
        })
    }

    fn between(&self, between: &Between) -> Read {
        let value = self.boxed(&between.expr)?;
        let low = Term::Compare(value.clone(), Compare::AtLeast, self.boxed(&between.low)?);
        let high = Term::Compare(value, Compare::AtMost, self.boxed(&between.high)?);
        let inside = Term::And(Box::new(low), Box::new(high));
        Ok(if between.negated { not(inside) } else { inside })
    }

    fn in_list(&self, list: &InList) -> Read {
        let value = self.boxed(&list.expr)?;
        let mut any = Term::Literal(Datum::Bool(false));
        for item in &list.list {
            let equal = Term::Compare(value.clone(), Compare::Equal, self.boxed(item)?);
            any = Term::Or(Box::new(any), Box::new(equal));
        }
        Ok(if list.negated { not(any) } else { any })
    }

    fn case(&self, case: &Case) -> Read {
        let operand = case.expr.as_deref().map(|expr| self.boxed(expr));
        let operand = operand.transpose()?;
        let mut cases = Vec::new();
        for (when, then) in &case.when_then_expr {
            let when = self.term(when)?;
            let when = match &operand {
                Some(operand) => Term::Compare(operand.clone(), Compare::Equal, Box::new(when)),
                None => when,
            };
            cases.push((when, self.term(then)?));
        }
        let otherwise = case.else_expr.as_deref().map(|expr| self.term(expr));
        let otherwise = otherwise.transpose()?.unwrap_or(Term::Literal(Datum::Null));
        Ok(Term::Case(cases, Box::new(otherwise)))
    }

    fn cast(&self, expr: &Expr, to: &DataType) -> Read {
        if let Expr::Literal(value, _) = bare(expr) {
            let value = value
                .cast_to(to)
                .map_err(|_| refuse(format!("a cast to {to}")))?;
            return literal(&value);
        }
        let term = self.term(expr)?;
        let from = datafusion::logical_expr::ExprSchemable::get_type(expr, self.schema)
            .map_err(|_| refuse(format!("a cast to {to}")))?;
        let text = |ty: &DataType| ty.is_string();
        if text(&from) == text(to) || from == *to {
            return Ok(match to {
                DataType::Decimal128(_, digits) if narrows(&from, *digits) => {
                    Term::Call(Call::Round((*digits).into()), vec![term])
                }
                to if to.is_integer() && !from.is_integer() && from.is_numeric() => {
                    Term::Call(Call::Trunc(0), vec![term])
                }
                to if to.is_numeric() && from == DataType::Boolean => {
                    Term::ToNumber(Box::new(term))
                }
                to if to.is_numeric() != from.is_numeric() => {
                    return Err(refuse(format!("a cast to {to}")));
                }
                _ => term,
            });
        }
        match text(&from) && to.is_numeric() {
            true => Ok(Term::ToNumber(Box::new(term))),
            false => Err(refuse(format!("a cast to {to}"))),
        }
    }

    fn call(&self, function: &ScalarFunction) -> Read {
        let name = function.func.name();
        if let ("/", [above, below]) = (name, function.args.as_slice()) {
            let (above, below) = (self.boxed(above)?, self.boxed(below)?);
            return Ok(Term::Arithmetic(above, Arithmetic::Over, below));
        }
        let (call, arguments) = match (name, function.args.as_slice()) {
            ("round", args) => (Call::Round(digits(args)?), first(args)),
            ("trunc", args) => (Call::Trunc(digits(args)?), first(args)),
            ("floor", args) => (Call::Floor, args),
            ("ceil", args) => (Call::Ceil, args),
            ("sqrt", args) => (Call::Sqrt, args),
            ("abs", args) => (Call::Abs, args),
            ("coalesce", args) => (Call::Coalesce, args),
            ("nullif", args) => (Call::NullIf, args),
            _ => {
                return Err(refuse(format!("{name} above the aggregate")).or_at_text(name));
            }
        };
        let arguments = arguments.iter().map(|argument| self.term(argument));
        Ok(Term::Call(call, arguments.collect::<Result<_, _>>()?))
    }

    fn by(&self, by: &SortExpr) -> Result<By, Refusal> {
        Ok(By {
            term: self.term(&by.expr)?,
            ascending: by.asc,
            nulls_first: by.nulls_first,
        })
    }
}

/// Whether so many digits after the point are fewer than before. The planner's own casts only
/// widen, and what is computed here has more digits than its type says.
fn narrows(from: &DataType, digits: i8) -> bool {
    match from {
        DataType::Decimal128(_, before) => digits < *before,
        other => other.is_floating(),
    }
}

fn first(arguments: &[Expr]) -> &[Expr] {
    arguments.split_at(arguments.len().min(1)).0
}

/// The second argument of ROUND: a whole number, written down.
fn digits(arguments: &[Expr]) -> Result<i32, Refusal> {
    match arguments.get(1).map(bare) {
        None => Ok(0),
        Some(Expr::Literal(ScalarValue::Int64(Some(digits)), _)) => {
            Ok(i32::try_from((*digits).clamp(-30, 30)).unwrap_or(0))
        }
        _ => Err(refuse("ROUND to digits that are not written down".into())),
    }
}

fn not(term: Term) -> Term {
    Term::Not(Box::new(term))
}

fn refuse(what: String) -> Refusal {
    Refusal::new(
        RefusalKind::Expression,
        what,
        "it is not on the list of what is done with released values",
        "use + - * / = <> < <= > >= AND OR NOT BETWEEN IN IS NULL CASE, ROUND, TRUNC, FLOOR, CEIL, ABS, SQRT, COALESCE or NULLIF",
    )
}

fn literal(value: &ScalarValue) -> Read {
    let number = |number| Datum::Number(Quantity::exact(number));
    Ok(Term::Literal(match value {
        value if value.is_null() => Datum::Null,
        ScalarValue::Boolean(Some(truth)) => Datum::Bool(*truth),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Datum::Text(text.clone()),
        ScalarValue::Int64(Some(value)) => number(unscaled((*value).into(), 0)),
        ScalarValue::Float64(Some(value)) => number(*value),
        ScalarValue::Decimal128(Some(value), _, digits) if *digits >= 0 => {
            number(unscaled(*value, digits.unsigned_abs()))
        }
        ScalarValue::Date32(Some(days)) => Datum::Text(Date::from_days(*days).to_string()),
        other => {
            return Err(refuse(format!("a literal of type {}", other.data_type())));
        }
    }))
}
