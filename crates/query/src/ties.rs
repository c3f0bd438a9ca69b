//! Rows that an ORDER BY leaves equal.
//!
//! # Claim
//! What ROW_NUMBER, LAG, LEAD, FIRST_VALUE and frames of ROWS give to a person's rows follows
//! from these rows alone. The engine sorts a whole stretch of people at once, and which of two
//! equal rows comes first hangs on the others: one person's change could move another's
//! numbers. So such functions order by all columns of their rows, after those that the query
//! names: rows that are still equal are the same, whichever comes first.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext};

use crate::lineage::bare;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The plan with ties broken; as it is if it has no function with OVER.
pub(crate) fn broken(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !plan.exists(|node| Ok(matches!(node, LogicalPlan::Window(_))))? {
        return Ok(plan);
    }
    // Columns that nobody wants tell no rows apart, and would have to be read.
    let pruned = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
    let plan = pruned.optimize(plan, &OptimizerContext::new(), |_, _| {})?;
    let node = |node| match node {
        LogicalPlan::Window(window) => ordered(window).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up(node).map(|plan| plan.data)
}

/// A node whose functions that hang on the order of rows stand in one of their own.
fn ordered(window: Window) -> Result<LogicalPlan> {
    let columns = window.schema.columns();
    let (by_order, free): (Vec<_>, Vec<_>) =
        window.window_expr.into_iter().partition(hangs_on_order);
    let input = window.input.schema().columns();
    let mut plan = LogicalPlanBuilder::from(Arc::clone(&window.input));
    if !free.is_empty() {
        plan = plan.window(free)?;
    }
    if !by_order.is_empty() {
        let broken = by_order.into_iter().map(|expr| {
            let name = expr.schema_name().to_string();
            by_all(expr, &input).alias(name)
        });
        plan = plan.window(broken)?;
    }
    plan.project(columns.into_iter().map(Expr::Column))?.build()
}

fn hangs_on_order(expr: &Expr) -> bool {
    let Expr::WindowFunction(function) = bare(expr) else {
        return false;
    };
    // Ranks and RANGE treat equal rows alike.
    let rows = function.params.window_frame.units == WindowFrameUnits::Rows;
    is_named(function) || (rows && !matches!(function.fun.name(), "rank" | "dense_rank"))
}

/// Whether it is one of the functions that give a row by its place.
fn is_named(function: &WindowFunction) -> bool {
    let name = function.fun.name();
    matches!(name, "row_number" | "lag" | "lead" | "first_value")
}

/// The function over rows ordered by all these columns too.
fn by_all(expr: Expr, columns: &[Column]) -> Expr {
    match expr {
        Expr::Alias(alias) => by_all(*alias.expr, columns),
        Expr::WindowFunction(mut function) => {
            if is_named(&function) {
                function.params.window_frame = whole();
            }
            let params = &mut function.params;
            for column in columns {
                let column = Expr::Column(column.clone());
                let mut named = params.order_by.iter().map(|sort| &sort.expr);
                if !named.any(|one| *one == column) && !params.partition_by.contains(&column) {
                    params.order_by.push(Sort::new(column, true, false));
                }
            }
            Expr::WindowFunction(function)
        }
        other => other,
    }
}

/// All rows of a person: these functions look at no frame but where it starts, and the check
/// lets through no other start.
fn whole() -> WindowFrame {
    let open = || ScalarValue::UInt64(None);
    WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(open()),
        WindowFrameBound::Following(open()),
    )
}
