//! What stands below the top aggregate, made ready to be checked: what is checked is what runs.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
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
