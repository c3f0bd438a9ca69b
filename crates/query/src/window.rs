//! Ranges that no value can lie in: the ends given the wrong way round.
//!
//! Looks at the query and its parameters alone, never at a row. An answer over an empty range
//! would be charged, and be noise and nothing else.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, LogicalPlan, Operator};

use crate::lineage::bare;
use crate::refusal::{Refusal, RefusalKind};
use crate::said::syntax;

/// One end of a range.
#[derive(Clone, Copy)]
enum End<'a> {
    Low(&'a ScalarValue),
    High(&'a ScalarValue),
}

/// Refuses a plan, parameters filled in, with a condition that holds for no value. Conditions
/// that rows must all meet are looked at, not what stands below a NOT, an OR or a CASE.
pub(crate) fn not_empty(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut empty = None;
    let look = |node: &LogicalPlan| {
        empty = condition(node).and_then(empty_range);
        Ok(match empty {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    };
    plan.apply_with_subqueries(look)
        .map_err(|error| syntax(&error))?;
    match empty {
        Some(subject) => Err(refusal(&subject)),
        None => Ok(()),
    }
}

/// What a step of the plan asks of its rows.
fn condition(node: &LogicalPlan) -> Option<&Expr> {
    match node {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        LogicalPlan::Join(join) => join.filter.as_ref(),
        _ => None,
    }
}

fn refusal(subject: &Expr) -> Refusal {
    let name = match bare(subject) {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    };
    Refusal::new(
        RefusalKind::Params,
        format!("the range of `{name}` is empty"),
        "for these parameters its lower end lies above its upper end, and the answer would be noise alone",
        "give the lower value first; nothing was asked, and nothing spent",
    )
    .or_at_text(&name)
}

/// What a condition bounds from below by more than from above.
fn empty_range(expr: &Expr) -> Option<Expr> {
    let bounds: Vec<_> = split_conjunction(expr)
        .into_iter()
        .flat_map(bounds)
        .collect();
    let lows = bounds.iter().filter_map(|(subject, end)| match end {
        End::Low(low) => Some((*subject, *low)),
        End::High(_) => None,
    });
    let crossed = |(subject, low): &(&Expr, &ScalarValue)| {
        bounds
            .iter()
            .any(|(other, end)| other == subject && matches!(end, End::High(high) if low > high))
    };
    let mut lows = lows;
    lows.find(crossed).map(|(subject, _)| subject.clone())
}

/// The ends that one condition sets.
fn bounds(condition: &Expr) -> Vec<(&Expr, End<'_>)> {
    match condition {
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => {
            let low = literal(low).map(|low| (expr.as_ref(), End::Low(low)));
            let high = literal(high).map(|high| (expr.as_ref(), End::High(high)));
            low.into_iter().chain(high).collect()
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let one = match (literal(left), literal(right)) {
                (None, Some(value)) => end(*op, value).map(|end| (left.as_ref(), end)),
                (Some(value), None) => op
                    .swap()
                    .and_then(|op| end(op, value))
                    .map(|end| (right.as_ref(), end)),
                _ => None,
            };
            one.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The end that `subject op value` sets.
fn end(op: Operator, value: &ScalarValue) -> Option<End<'_>> {
    match op {
        Operator::Gt | Operator::GtEq => Some(End::Low(value)),
        Operator::Lt | Operator::LtEq => Some(End::High(value)),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match bare(expr) {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}
