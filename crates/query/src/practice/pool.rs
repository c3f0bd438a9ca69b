//! Values that a query speaks of: made-up rows have them, so that its conditions hold for some.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use incamera_types::Date;

use crate::check::CheckedQuery;

/// Days on both sides of those that a query names.
const MARGIN: i32 = 30;
/// 2026-01-01 and 2026-12-31, for a query that names no day.
const YEAR: (i32, i32) = (20_454, 20_818);

/// Texts and days of a query.
pub(super) struct Pool {
    pub(super) texts: Vec<String>,
    /// The first and the last day.
    pub(super) days: (i32, i32),
}

impl Pool {
    pub(super) fn new(checked: &CheckedQuery) -> Self {
        let mut found = Found::default();
        // A plan that cannot be walked leaves the pool emptier; rows are made nevertheless.
        let _ = checked.plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| expr.apply(|part| Ok(found.look(part))))
        });
        let groups = checked.query.groups.iter();
        let declared = groups.filter_map(|group| group.declared());
        found.texts.extend(declared.flatten().cloned());
        let (first, last) = match (found.days.first(), found.days.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => YEAR,
        };
        Self {
            texts: found.texts.into_iter().collect(),
            days: (first.saturating_sub(MARGIN), last.saturating_add(MARGIN)),
        }
    }
}

#[derive(Default)]
struct Found {
    texts: BTreeSet<String>,
    days: BTreeSet<i32>,
}

impl Found {
    fn look(&mut self, expr: &Expr) -> TreeNodeRecursion {
        let Expr::Literal(value, _) = expr else {
            return TreeNodeRecursion::Continue;
        };
        match value {
            ScalarValue::Date32(Some(day)) => drop(self.days.insert(*day)),
            ScalarValue::TimestampMicrosecond(Some(at), _) => self.moment(*at, 1_000_000),
            ScalarValue::TimestampNanosecond(Some(at), _) => self.moment(*at, 1_000_000_000),
            other => {
                if let Some(Some(text)) = other.try_as_str() {
                    self.text(text);
                }
            }
        }
        TreeNodeRecursion::Continue
    }

    fn moment(&mut self, at: i64, second: i64) {
        let days = at.div_euclid(second).div_euclid(86_400);
        self.days.extend(i32::try_from(days));
    }

    /// A text, or a day that is written as one. The wildcards of LIKE stand for nothing.
    fn text(&mut self, text: &str) {
        if let Ok(day) = text.get(..10).unwrap_or(text).parse::<Date>() {
            self.days.insert(day.days());
            return;
        }
        let text = text.replace(['%', '_'], "");
        if !text.is_empty() {
            self.texts.insert(text);
        }
    }
}
