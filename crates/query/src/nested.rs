//! What stands below the top aggregate, made ready to be checked: what is checked is what runs.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{Optimizer, OptimizerContext};

use crate::functions::divisions;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The plan with quotients and averages below its top aggregate exact. Above, and in it, they
/// are of released values.
pub(crate) fn exact(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = match plan {
        LogicalPlan::Aggregate(mut top) => {
            top.input = Arc::new(divisions(Arc::unwrap_or_clone(top.input))?);
            LogicalPlan::Aggregate(top)
        }
        above => {
            let below = |node| exact(node).map(Transformed::yes);
            above.map_children(below)?.data
        }
    };
    plan.recompute_schema()
}

/// What is made of each person's rows before the top aggregate, in words, in order.
pub(crate) fn told(plan: &LogicalPlan) -> Vec<String> {
    let mut told: Vec<String> = plan.inputs().into_iter().flat_map(told).collect();
    let list = |exprs: &[Expr]| {
        let all = exprs.iter().map(|expr| expr.human_display().to_string());
        all.collect::<Vec<_>>().join(", ")
    };
    let here = match plan {
        LogicalPlan::Aggregate(made) => {
            let (keys, values) = (list(&made.group_expr), list(&made.aggr_expr));
            Some(match values.is_empty() {
                true => format!("keep each {keys} once"),
                false => format!("make a row for each {keys}, with {values}"),
            })
        }
        LogicalPlan::Distinct(_) => Some("keep each row of a person once".to_owned()),
        LogicalPlan::Window(made) => Some(format!(
            "give each row, among its person's, {}",
            list(&made.window_expr)
        )),
        LogicalPlan::Union(_) => Some("put the rows of all sides after each other".to_owned()),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi => Some("keep rows of those who have such rows there".to_owned()),
            JoinType::LeftAnti => Some("drop rows of those who have such rows there".to_owned()),
            _ => None,
        },
        _ => None,
    };
    told.extend(here);
    told
}

/// The plan with conditions of EXISTS and IN (SELECT ...) as joins.
pub(crate) fn joined(plan: LogicalPlan) -> Result<LogicalPlan> {
    let nested =
        |expr: &Expr| expr.exists(|part| Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_))));
    let mut any = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            any |= nested(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !any {
        return Ok(plan);
    }
    let rules = Optimizer::with_rules(vec![Arc::new(DecorrelatePredicateSubquery::new())]);
    rules.optimize(plan, &OptimizerContext::new(), |_, _| {})
}
