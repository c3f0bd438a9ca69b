//! What a person reads: released values with their ranges, ratios and the comparison.
//!
//! Computed from the answer, the agreement and the request's parameters alone, by whoever holds
//! them: post-processing.

mod notes;
mod read;

use std::fmt;

use incamera_dp::interval::{Verdict, digits, shown};
use serde::Serialize;

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
    /// The comparison that the agreement asks for.
    pub comparison: Option<Comparison>,
    /// What is counted, and what the ranges are.
    pub notes: Vec<String>,
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

/// One number with its range at 95 %.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The measure or ratio.
    pub name: String,
    /// The number; nothing where noise leaves it open.
    pub value: Option<f64>,
    /// The lower end of its range.
    pub low: Option<f64>,
    /// The upper end of its range.
    pub high: Option<f64>,
    /// The unit: `%`, `EUR`, ...
    pub unit: String,
    /// The number and its range as they are shown.
    pub text: String,
}

/// How one group's ratio compares with another's.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The ratio.
    pub ratio: String,
    /// The group that is compared.
    pub group: String,
    /// The group that it is compared with.
    pub against: String,
    /// The difference in percent of the other; nothing where noise leaves it open.
    pub percent: Option<f64>,
    /// The lower end of its range.
    pub low: Option<f64>,
    /// The upper end of its range.
    pub high: Option<f64>,
    /// `clearly above zero`, `clearly below zero`, `no clear difference` or `withheld`.
    pub verdict: &'static str,
    /// All that as it is shown.
    pub text: String,
}

impl Comparison {
    fn fill(&mut self, found: Option<incamera_dp::interval::Lift>) {
        let Some(found) = found else {
            self.verdict = "no clear difference";
            self.text = format!("{} (hidden by the noise: the range is open)", self.verdict);
            return;
        };
        self.verdict = match found.verdict() {
            Verdict::ClearlyAbove => "clearly above zero",
            Verdict::ClearlyBelow => "clearly below zero",
            Verdict::NoClearDifference => "no clear difference",
        };
        let (value, low, high) = (
            found.value * 100.0,
            found.interval.low * 100.0,
            found.interval.high * 100.0,
        );
        (self.percent, self.low, self.high) = (Some(value), Some(low), Some(high));
        let places = digits((high - low) / 2.0);
        let [value, low, high] = [value, low, high].map(|number| signed(number, places));
        self.text = format!("{value} % ({low} .. {high}): {}", self.verdict);
    }
}

fn signed(value: f64, places: i32) -> String {
    let text = shown(value, places);
    if text.starts_with('-') {
        text
    } else {
        format!("+{text}")
    }
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
        if let Some(comparison) = &self.comparison {
            let Comparison {
                ratio,
                group,
                against,
                text,
                ..
            } = comparison;
            writeln!(
                f,
                "lift of {} ({group} over {against}): {text}",
                spaced(ratio)
            )?;
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

/// A key that was found in the data, without what a terminal would obey.
fn printable(key: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    key.chars().map(shown).collect()
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

impl Table {
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_moves_no_cursor() {
        assert_eq!(super::printable("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(super::printable("Zürich, été"), "Zürich, été");
    }
}
