//! What a query makes of its released values: the part of the plan above the top aggregate.
//!
//! # Claim
//! Post-processing: nothing here has seen anything but released values, group keys that were
//! released, and public numbers. It is evaluated by whoever shows the answer, not in the room
//! ([decision 0034](../../../../docs/decisions/0034-above-the-aggregate.md)), and gives
//! everybody the same table.
//!
//! | of SQL | here |
//! |---|---|
//! | arithmetic, CASE, comparisons, ROUND, COALESCE, ... over aggregates | [`Term`] |
//! | HAVING, WHERE of an outer SELECT, ORDER BY, LIMIT | [`Step`]s, in order |
//! | nested SELECT | its columns are put in the place of their names |

mod functions;
mod quantity;
mod read;
mod term;

use std::cmp::Ordering;

pub(crate) use functions::function;
pub(crate) use quantity::{NORMAL_95, Observed, Range, Ranks, WIDE, cut, variance};
pub(crate) use read::{Above, above};
use term::order;
pub(crate) use term::{Datum, Row, Term, power_of_ten, unscaled};

/// A column of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) term: Term,
}

impl Output {
    /// Whether it is a group key.
    pub(crate) fn is_key(&self) -> bool {
        matches!(self.term, Term::Key(_))
    }
}

/// What becomes of the answer's rows, one step after the other.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Keeps rows that meet a condition.
    Keep(Term),
    /// Sorts rows; those that are equal stay in their order.
    Sort(Vec<By>),
    /// Leaves out the first, and keeps so many.
    Limit { skip: usize, fetch: usize },
}

/// One expression that rows are sorted by.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) term: Term,
    pub(crate) ascending: bool,
    pub(crate) nulls_first: bool,
}

/// Runs the steps over rows, of which `row` gives what expressions see.
pub(crate) fn run<'r, T: 'r>(
    steps: &[Step],
    mut rows: Vec<T>,
    row: impl for<'t> Fn(&'t T) -> Row<'t>,
) -> Vec<T> {
    for step in steps {
        match step {
            Step::Keep(condition) => rows.retain(|it| row(it).truth(condition) == Some(true)),
            Step::Sort(by) => rows.sort_by(|a, b| {
                let each = by.iter().map(|by| by.order(&row(a), &row(b)));
                each.fold(Ordering::Equal, Ordering::then)
            }),
            Step::Limit { skip, fetch } => {
                rows = rows.into_iter().skip(*skip).take(*fetch).collect();
            }
        }
    }
    rows
}

impl By {
    fn order(&self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        let (a, b) = (a.eval(&self.term), b.eval(&self.term));
        let nulls = |first: bool| match first {
            true => Ordering::Less,
            false => Ordering::Greater,
        };
        match (&a, &b) {
            (Datum::Null, Datum::Null) => Ordering::Equal,
            (Datum::Null, _) => nulls(self.nulls_first),
            (_, Datum::Null) => nulls(!self.nulls_first),
            _ => {
                let order = order(&a, &b).unwrap_or(Ordering::Equal);
                if self.ascending {
                    order
                } else {
                    order.reverse()
                }
            }
        }
    }
}
