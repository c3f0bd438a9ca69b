//! From an answer to its table.

use incamera_agreement::{Agreement, Query, Ratio};
use incamera_dp::half_width_95;
use incamera_dp::interval::{Interval, Noisy, digits, ratio, shown};
use incamera_types::Params;
use incamera_wire::v1 as wire;

use super::notes::notes;
use super::{Cell, Row, Table, TableError};
use crate::after::{self, Datum, NORMAL_95, Observed, Range, Ranks, power_of_ten};
use crate::check::{CheckedQuery, check};
use crate::measure::Function;

/// Renders an answer to a request with these parameters.
///
/// # Errors
/// [`TableError`] if the answer is not one of the query.
pub fn table(
    answer: &wire::Answer,
    agreement: &Agreement,
    query: &Query,
    params: &Params,
) -> Result<Table, TableError> {
    let checked = check(agreement, query, params).map_err(|_| TableError)?;
    let reader = Reader::new(answer, &checked)?;
    let rows = reader.rows()?;
    Ok(Table {
        columns: reader.columns(),
        comparisons: reader.comparisons()?,
        quantiles: reader.quantiles(),
        sampling: checked.query.sampling,
        notes: notes(answer, agreement, &reader, &rows),
        accounted: checked.accounted(),
        rows,
        simulated: answer.simulated,
    })
}

/// What a table compares, without the rest of it: the exact accounting takes most of the time,
/// and a test of how often ranges hold the truth has no need of it.
#[cfg(test)]
pub(crate) fn comparisons(
    answer: &wire::Answer,
    checked: &CheckedQuery,
) -> Result<Vec<super::Comparison>, TableError> {
    Reader::new(answer, checked)?.comparisons()
}

pub(super) struct Reader<'a> {
    pub(super) answer: &'a wire::Answer,
    pub(super) checked: &'a CheckedQuery,
    pub(super) query: &'a Query,
}

/// A group that is shown, as expressions see it.
pub(super) struct Group<'a> {
    pub(super) group: &'a wire::Group,
    key: Vec<Datum>,
    pub(super) totals: Vec<Observed>,
}

impl<'a> Reader<'a> {
    fn new(answer: &'a wire::Answer, checked: &'a CheckedQuery) -> Result<Self, TableError> {
        let query = &checked.query;
        let measures = answer.measures.iter().map(|measure| &measure.name);
        let expected = checked.measures.iter().map(|measure| &measure.name);
        let keys = query.groups.iter().map(|group| &group.name);
        let fits = answer.query == query.name.as_str()
            && measures.eq(expected)
            && answer.keys.iter().eq(keys);
        fits.then_some(Self {
            answer,
            checked,
            query,
        })
        .ok_or(TableError)
    }

    fn columns(&self) -> Vec<String> {
        let outputs = self.checked.outputs.iter().map(|output| &output.name);
        let ratios = self.query.ratios.iter().map(|ratio| &ratio.name);
        let keys = self.answer.keys.iter();
        keys.chain(outputs).chain(ratios).cloned().collect()
    }

    /// The columns of which the rank has a range.
    fn quantiles(&self) -> Vec<String> {
        let outputs = self.checked.outputs.iter();
        let ranked = outputs.filter(|output| output.term.ranked(&self.checked.made));
        ranked.map(|output| output.name.clone()).collect()
    }

    /// The rows, after HAVING, ORDER BY and LIMIT. Where there are such, groups that are
    /// withheld have no part in them.
    fn rows(&self) -> Result<Vec<Row>, TableError> {
        let mut rows = Vec::new();
        for group in &self.answer.groups {
            let values = group.withheld || group.values.len() == self.answer.measures.len();
            if !values || group.key.len() != self.answer.keys.len() {
                return Err(TableError);
            }
        }
        let steps = &self.checked.steps;
        if steps.is_empty() {
            for group in &self.answer.groups {
                rows.push(self.row(group)?);
            }
            return Ok(rows);
        }
        let shown = self.answer.groups.iter().filter(|group| !group.withheld);
        let groups: Vec<Group<'_>> = shown.map(|group| self.group(group)).collect();
        for group in after::run(steps, groups, |group| self.seen(group)) {
            rows.push(self.row(group.group)?);
        }
        Ok(rows)
    }

    pub(super) fn group<'g>(&self, group: &'g wire::Group) -> Group<'g> {
        let measures = self.answer.measures.iter().zip(&group.values);
        let keys = self.checked.keys.iter();
        Group {
            group,
            key: keys.map(|key| key.datum(group)).collect(),
            totals: measures
                .enumerate()
                .map(|(at, (measure, value))| self.observed(at, measure, *value, &group.values))
                .collect(),
        }
    }

    /// A total of a group whose released values are `all`.
    fn observed(&self, at: usize, measure: &wire::Measure, value: i64, all: &[i64]) -> Observed {
        let unit = power_of_ten(measure.scale);
        let ranks = (measure.ranks > 0.0).then(|| {
            let mut made = self.checked.made.iter();
            let made = made.find(|made| made.first == at);
            let counted = made.and_then(|made| made.counted);
            let counted = counted.or(self.checked.people).and_then(|at| all.get(at));
            let values = counted.map_or(0.0, |count| float(*count));
            let end = made.is_some_and(|made| matches!(made.function, Function::Extreme { .. }));
            Ranks::new(measure.quantile, measure.ranks, values, end)
        });
        Observed {
            value: float(value) / unit,
            half_width: half_width(measure) / unit,
            unit: (!measure.unit.is_empty()).then(|| measure.unit.clone()),
            ranks,
        }
    }

    fn seen<'g>(&'g self, group: &'g Group<'_>) -> after::Row<'g> {
        after::Row {
            key: &group.key,
            totals: &group.totals,
            made: &self.checked.made,
        }
    }

    fn row(&self, group: &wire::Group) -> Result<Row, TableError> {
        let mut cells = Vec::new();
        if !group.withheld {
            let group = self.group(group);
            let seen = self.seen(&group);
            for output in &self.checked.outputs {
                let cell = cell(&output.name, &seen.eval(&output.term), &group.totals);
                cells.push(match self.sampled_average(&output.term) {
                    Some(made) => {
                        let estimate = self.mean_estimate(made, &group)?;
                        let bounds = made.each.map(|each| each.ends(made.scale));
                        self.with_sampling(cell, estimate, 1.0, bounds)
                    }
                    None => cell,
                });
            }
            for ratio in &self.query.ratios {
                cells.push(self.ratio(group.group, ratio)?);
            }
        }
        Ok(Row {
            key: group.key.clone(),
            withheld: group.withheld,
            cells,
        })
    }

    /// A measure of a group.
    pub(super) fn noisy(
        &self,
        group: &wire::Group,
        name: &str,
    ) -> Result<(Noisy, &wire::Measure), TableError> {
        let mut pairs = self.answer.measures.iter().zip(&group.values);
        let (measure, value) = pairs
            .find(|(measure, _)| measure.name == name)
            .ok_or(TableError)?;
        let unit = power_of_ten(measure.scale);
        let noisy = Noisy {
            value: float(*value) / unit,
            sigma: normal_sigma(measure) / unit,
        };
        Ok((noisy, measure))
    }

    fn ratio(&self, group: &wire::Group, wanted: &Ratio) -> Result<Cell, TableError> {
        let (top, above) = self.noisy(group, &wanted.numerator)?;
        let (bottom, below) = self.noisy(group, &wanted.denominator)?;
        let share = counts_people(above) && counts_people(below);
        let (factor, unit) = if share {
            (100.0, "%")
        } else {
            (1.0, above.unit.as_str())
        };
        let Some(range) = ratio(top, bottom) else {
            return Ok(open(&wanted.name, unit));
        };
        let value = top.value / bottom.value * factor;
        let range = Interval {
            low: range.low * factor,
            high: range.high * factor,
        };
        let cell = ranged(&wanted.name, value, range, unit, share);
        if !self.is_share(wanted) {
            return Ok(cell);
        }
        let estimate = self.ratio_estimate(group, wanted)?;
        Ok(self.with_sampling(cell, estimate, factor, None))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "released numbers are for showing"
)]
fn float(value: i64) -> f64 {
    value as f64
}

fn counts_people(measure: &wire::Measure) -> bool {
    measure.clamp_low == "0" && measure.clamp_high == "1" && measure.scale == 0
}

/// Half the width of the noise's 95 % range.
fn half_width(measure: &wire::Measure) -> f64 {
    match measure.noise.is_empty() {
        true => half_width_95(measure.sigma),
        false => measure.half_width,
    }
}

/// The standard deviation of normal noise with that range.
fn normal_sigma(measure: &wire::Measure) -> f64 {
    match measure.noise.is_empty() {
        true => measure.sigma,
        false => measure.half_width / NORMAL_95,
    }
}

/// A column's value in a row.
fn cell(name: &str, value: &Datum, totals: &[Observed]) -> Cell {
    let plain = |value, unit: &str, text| Cell {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        text,
        ..Cell::default()
    };
    let number = match value {
        Datum::Null => return plain(None, "", "none".into()),
        Datum::Bool(truth) => return plain(None, "", truth.to_string()),
        Datum::Text(text) => return plain(None, "", text.clone()),
        Datum::Number(number) => number,
    };
    let (value, unit) = (number.value(), number.unit().unwrap_or_default());
    match number.range(totals) {
        Range::Within(range) => ranged(name, value, range, unit, unit.is_empty()),
        Range::Open => open(name, unit),
        Range::Exact => plain(Some(value), unit, in_unit(&figures(value), unit)),
        Range::Ranks(ranks) => {
            let text = format!("{}, {}", in_unit(&figures(value), unit), ranked(&ranks));
            let rank = Interval {
                low: ranks.range.low * 100.0,
                high: ranks.range.high * 100.0,
            };
            Cell {
                rank: Some(rank.into()),
                ..plain(Some(value), unit, text)
            }
        }
        Range::Unknown => {
            let text = format!("{} (no range)", in_unit(&figures(value), unit));
            plain(Some(value), unit, text)
        }
    }
}

/// Said of a quantile of which so little is known that it may mislead.
pub(super) const HARDLY_KNOWN: &str = "hardly known";

/// The rank of a quantile, and where it may lie: `rank 50 % (48 .. 52 %)`.
fn ranked(ranks: &Ranks) -> String {
    let Interval { low, high } = ranks.range;
    let places = digits((high - low) * 50.0).max(0);
    let end = |share: f64| shown(share * 100.0, places);
    let wide = match ranks.wide() {
        true => format!(": {HARDLY_KNOWN}"),
        false => String::new(),
    };
    format!(
        "rank {} % ({} .. {} %){wide}",
        figures(ranks.share * 100.0),
        end(low),
        end(high)
    )
}

pub(super) fn in_unit(number: &str, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("{number}{space}{unit}")
}

/// A number without a range: six digits, no zeros at the end.
fn figures(value: f64) -> String {
    let places = digits(value.abs() / 1e5).clamp(0, 12);
    let text = shown(value, places);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number that its noise hides.
fn open(name: &str, unit: &str) -> Cell {
    Cell {
        name: name.to_owned(),
        unit: unit.to_owned(),
        text: "hidden by the noise: the range is open".to_owned(),
        ..Cell::default()
    }
}

/// A number with its range: `13.4 % +- 0.1` or `18.20 EUR (17.97 .. 18.43)`, the second also
/// where the number does not stand in the middle.
fn ranged(name: &str, value: f64, range: Interval, unit: &str, plus_minus: bool) -> Cell {
    let width = range.half_width();
    let places = digits(width);
    let off_middle = ((range.low + range.high) / 2.0 - value).abs() > width / 20.0;
    let number = in_unit(&shown(value, places), unit);
    let text = if plus_minus && !off_middle {
        format!("{number} +- {}", shown(width, places))
    } else {
        format!(
            "{number} ({} .. {})",
            shown(range.low, places),
            shown(range.high, places)
        )
    };
    Cell {
        name: name.to_owned(),
        value: Some(value),
        low: Some(range.low),
        high: Some(range.high),
        unit: unit.to_owned(),
        text,
        ..Cell::default()
    }
}
