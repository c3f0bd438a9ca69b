//! What a person reads: released values with their ranges, ratios and the comparison.
//!
//! Computed from the answer, the agreement and the request's parameters alone, by whoever holds
//! them: post-processing.

mod compared;
mod estimate;
mod notes;
mod read;

use std::fmt;

use incamera_dp::Interval;
use incamera_types::{Epsilon, printable};
use serde::Serialize;

use crate::exact;

pub use compared::Comparison;
#[cfg(test)]
pub(crate) use read::comparisons;
pub use read::table;

/// The answer is not one of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not fit the agreement's query")]
pub struct TableError;

/// An answer as a table.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// The columns: group keys, measures, ratios.
    pub columns: Vec<String>,
    /// A row a declared group.
    pub rows: Vec<Row>,
    /// The comparisons that the agreement asks for, in its order.
    pub comparisons: Vec<Comparison>,
    /// The columns that are quantiles: noise moves their rank, which has a range.
    pub quantiles: Vec<String>,
    /// Whether people are taken as a sample: numbers then have the error of that too, where it
    /// can be told.
    pub sampling: bool,
    /// What is counted, and what the ranges are.
    pub notes: Vec<String>,
    /// Epsilon of one run alone at the query's delta, by exact accounting of its noise.
    pub accounted: Epsilon,
    /// Whether the room's TEE was simulated.
    pub simulated: bool,
}

/// One group of the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its key.
    pub key: Vec<String>,
    /// Whether it has too few people to be shown.
    pub withheld: bool,
    /// Measures, then ratios; none where withheld.
    pub cells: Vec<Cell>,
}

/// The ends of a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ends {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<Interval> for Ends {
    fn from(range: Interval) -> Self {
        let Interval { low, high } = range;
        Self { low, high }
    }
}

/// One number with its range at 95 %: that of the noise, unless a field says another.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// The measure or ratio.
    pub name: String,
    /// The number; nothing where noise leaves it open.
    pub value: Option<f64>,
    /// The lower end of its range.
    pub low: Option<f64>,
    /// The upper end of its range.
    pub high: Option<f64>,
    /// Of a quantile: the range of its rank, in percent of the values below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<Ends>,
    /// Where people are taken as a sample: the range of that error alone, if it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Ends>,
    /// The range of noise and sampling together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both: Option<Ends>,
    /// The unit: `%`, `EUR`, ...
    pub unit: String,
    /// The number and its range as they are shown.
    pub text: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(at))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
        for line in &lines {
            let padded: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "{}", padded.join("  ").trim_end())?;
        }
        for comparison in &self.comparisons {
            writeln!(f, "{comparison}")?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        if self.simulated {
            writeln!(
                f,
                "  SIMULATED TEE: nothing protected the data from the room's operator"
            )?;
        }
        Ok(())
    }
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

impl Table {
    /// Epsilon of one run alone as it is shown: three digits, rounded up.
    #[must_use]
    pub fn accounted_shown(&self) -> Epsilon {
        exact::shown(self.accounted)
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let mut lines = vec![self.columns.iter().map(|name| spaced(name)).collect()];
        for row in &self.rows {
            let mut line: Vec<String> = row.key.iter().map(|key| printable(key)).collect();
            if row.withheld {
                line.push("withheld".into());
            }
            line.extend(row.cells.iter().map(|cell| cell.text.clone()));
            lines.push(line);
        }
        lines
    }
}
