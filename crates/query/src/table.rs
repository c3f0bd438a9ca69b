//! What a person reads: released values with their ranges, ratios and the comparison.
//!
//! Computed from the answer and the agreement alone, by whoever holds them: post-processing.

use std::fmt;

use incamera_agreement::{Agreement, ConsentSource, Query};
use incamera_dp::half_width_95;
use incamera_dp::interval::{Interval, Noisy, Verdict, digits, lift, ratio, shown};
use incamera_wire::v1 as wire;
use serde::Serialize;

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

/// Renders an answer.
///
/// # Errors
/// [`TableError`] if the answer is not one of the query.
pub fn table(
    answer: &wire::Answer,
    agreement: &Agreement,
    query: &Query,
) -> Result<Table, TableError> {
    if answer.query != query.name.as_str() {
        return Err(TableError);
    }
    let reader = Reader { answer, query };
    let measures = answer.measures.iter().map(|measure| &measure.name);
    let ratios = query.ratios.iter().map(|ratio| &ratio.name);
    Ok(Table {
        columns: answer
            .keys
            .iter()
            .chain(measures)
            .chain(ratios)
            .cloned()
            .collect(),
        rows: answer
            .groups
            .iter()
            .map(|group| reader.row(group))
            .collect::<Result<_, _>>()?,
        comparison: reader.comparison()?,
        notes: notes(answer, agreement, query),
        simulated: answer.simulated,
    })
}

struct Reader<'a> {
    answer: &'a wire::Answer,
    query: &'a Query,
}

impl Reader<'_> {
    fn row(&self, group: &wire::Group) -> Result<Row, TableError> {
        let mut cells = Vec::new();
        let complete = group.withheld || group.values.len() == self.answer.measures.len();
        if !complete || group.key.len() != self.answer.keys.len() {
            return Err(TableError);
        }
        if !group.withheld {
            cells.extend(
                self.answer
                    .measures
                    .iter()
                    .zip(&group.values)
                    .map(|(m, v)| value(m, *v)),
            );
            for ratio in &self.query.ratios {
                cells.push(self.ratio(group, ratio)?);
            }
        }
        Ok(Row {
            key: group.key.clone(),
            withheld: group.withheld,
            cells,
        })
    }

    /// A measure of a group.
    fn noisy(
        &self,
        group: &wire::Group,
        name: &str,
    ) -> Result<(Noisy, &wire::Measure), TableError> {
        let mut pairs = self.answer.measures.iter().zip(&group.values);
        let (measure, value) = pairs
            .find(|(measure, _)| measure.name == name)
            .ok_or(TableError)?;
        let unit = unit_of(measure);
        let noisy = Noisy {
            value: float(*value) * unit,
            sigma: measure.sigma * unit,
        };
        Ok((noisy, measure))
    }

    fn ratio(
        &self,
        group: &wire::Group,
        wanted: &incamera_agreement::Ratio,
    ) -> Result<Cell, TableError> {
        let (top, above) = self.noisy(group, &wanted.numerator)?;
        let (bottom, below) = self.noisy(group, &wanted.denominator)?;
        let share = counts_people(above) && counts_people(below);
        let (factor, unit) = if share {
            (100.0, "%")
        } else {
            (1.0, above.unit.as_str())
        };
        let name = wanted.name.clone();
        let Some(range) = ratio(top, bottom) else {
            let text = "hidden by the noise: the range is open".to_owned();
            return Ok(Cell {
                name,
                value: None,
                low: None,
                high: None,
                unit: unit.to_owned(),
                text,
            });
        };
        let value = top.value / bottom.value * factor;
        let range = Interval {
            low: range.low * factor,
            high: range.high * factor,
        };
        Ok(ranged(name, value, range, unit, share))
    }

    fn comparison(&self) -> Result<Option<Comparison>, TableError> {
        let Some(compare) = &self.query.compare else {
            return Ok(None);
        };
        let find = |key: &str| {
            let group = self
                .answer
                .groups
                .iter()
                .find(|group| group.key.iter().eq([key]));
            group.ok_or(TableError)
        };
        let wanted = self
            .query
            .ratios
            .iter()
            .find(|ratio| ratio.name == compare.ratio)
            .ok_or(TableError)?;
        let (group, against) = (find(&compare.group)?, find(&compare.against)?);
        let mut comparison = Comparison {
            ratio: compare.ratio.clone(),
            group: compare.group.clone(),
            against: compare.against.clone(),
            percent: None,
            low: None,
            high: None,
            verdict: "withheld",
            text: "withheld".into(),
        };
        if !group.withheld && !against.withheld {
            let number = |group, name: &str| self.noisy(group, name).map(|(noisy, _)| noisy);
            let (above, below) = (&wanted.numerator, &wanted.denominator);
            let found = lift(
                number(group, above)?,
                number(group, below)?,
                number(against, above)?,
                number(against, below)?,
            );
            comparison.fill(found);
        }
        Ok(Some(comparison))
    }
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

#[allow(clippy::cast_precision_loss)]
fn float(value: i64) -> f64 {
    value as f64
}

/// What 1 in the answer stands for.
fn unit_of(measure: &wire::Measure) -> f64 {
    10f64.powi(-i32::try_from(measure.scale).unwrap_or(0))
}

fn counts_people(measure: &wire::Measure) -> bool {
    measure.clamp_low == "0" && measure.clamp_high == "1" && measure.scale == 0
}

fn value(measure: &wire::Measure, value: i64) -> Cell {
    let unit = unit_of(measure);
    let (value, width) = (float(value) * unit, half_width_95(measure.sigma) * unit);
    let range = Interval {
        low: value - width,
        high: value + width,
    };
    ranged(
        measure.name.clone(),
        value,
        range,
        &measure.unit,
        measure.unit.is_empty(),
    )
}

/// A number with its range: `13.4 % +- 0.1` or `18.20 EUR (17.97 .. 18.43)`.
fn ranged(name: String, value: f64, range: Interval, unit: &str, plus_minus: bool) -> Cell {
    let width = range.half_width();
    let places = digits(width);
    let space = if unit.is_empty() { "" } else { " " };
    let number = format!("{}{space}{unit}", shown(value, places));
    let text = if plus_minus {
        format!("{number} +- {}", shown(width, places))
    } else {
        format!(
            "{number} ({} .. {})",
            shown(range.low, places),
            shown(range.high, places)
        )
    };
    Cell {
        name,
        value: Some(value),
        low: Some(range.low),
        high: Some(range.high),
        unit: unit.to_owned(),
        text,
    }
}

fn notes(answer: &wire::Answer, agreement: &Agreement, query: &Query) -> Vec<String> {
    let mut notes = Vec::new();
    for measure in answer
        .measures
        .iter()
        .filter(|measure| !counts_people(measure))
    {
        let (low, high) = (&measure.clamp_low, &measure.clamp_high);
        let unit = if measure.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", measure.unit)
        };
        let range = match low.parse() {
            Ok(0.0) => format!("up to {}{unit}", trimmed(high)),
            _ => format!("from {} to {}{unit}", trimmed(low), trimmed(high)),
        };
        notes.push(format!("{} {range} a person is counted", measure.name));
    }
    notes.push("ranges are of the noise alone, at 95 %".into());
    notes.push(consents(agreement, query));
    if below_zero(answer) {
        notes.push("a number below zero is noise: the true one is zero or more".into());
    }
    if answer.groups.iter().any(|group| group.withheld) {
        notes.push(format!(
            "withheld: fewer than {} people by the noisy count",
            query.min_people
        ));
    }
    notes
}

/// Who counts, by the consents that the owners read keep.
fn consents(agreement: &Agreement, query: &Query) -> String {
    let names = query.datasets().into_iter();
    let specs = names.filter_map(|name| agreement.datasets.get(name));
    let mut private = specs.filter(|spec| !spec.public);
    let keeps = |spec| matches!(agreement.consent_of(spec), ConsentSource::Dataset(_));
    match private.any(keeps) {
        true => format!(
            "counted are people whose consent covers `{}` at every owner read that keeps consents",
            query.purpose
        ),
        false => "no owner read keeps consents: every person counts".into(),
    }
}

/// Whether a number is shown that only noise can have made negative.
fn below_zero(answer: &wire::Answer) -> bool {
    let cannot = |measure: &wire::Measure| !measure.clamp_low.starts_with('-');
    let shown = answer.groups.iter().filter(|group| !group.withheld);
    shown
        .flat_map(|group| answer.measures.iter().zip(&group.values))
        .any(|(measure, value)| *value < 0 && cannot(measure))
}

/// A decimal without zeros at its end.
fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
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

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

impl Table {
    fn lines(&self) -> Vec<Vec<String>> {
        let mut lines = vec![self.columns.iter().map(|name| spaced(name)).collect()];
        for row in &self.rows {
            let mut line = row.key.clone();
            if row.withheld {
                line.push("withheld".into());
            }
            line.extend(row.cells.iter().map(|cell| cell.text.clone()));
            lines.push(line);
        }
        lines
    }
}
