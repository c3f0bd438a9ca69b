//! The chart of a page: a panel for each number, a point with its range for each group.
//!
//! Points stand on a scale, not bars, so that a range far from zero can be read; colour says
//! nothing that place and words do not say too.

use std::fmt::Write as _;

use incamera_dp::interval::{digits, shown};

use super::page::{keys, spaced, text};
use crate::table::{Cell, Row, Table};

/// Groups that are drawn; the table has all.
const MAX_ROWS: usize = 40;
/// Letters of a group's name that are drawn; its title has all.
const MAX_LETTERS: usize = 28;
const WIDTH: f64 = 760.0;
/// Where the scale begins and ends.
const LEFT: f64 = 230.0;
const RIGHT: f64 = 730.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 40.0;

/// The chart; nothing if the table has no numbers with ranges.
pub(super) fn chart(table: &Table) -> String {
    let keys = keys(table);
    let names = table.columns.iter().skip(keys).enumerate();
    let (panels, bare): (Vec<_>, Vec<_>) = names.partition(|(at, _)| ranged(table, *at));
    let panels: Vec<Panel<'_>> = panels
        .into_iter()
        .filter_map(|(at, name)| Panel::new(table, at, name))
        .collect();
    if panels.is_empty() {
        return String::new();
    }
    let height: f64 = panels.iter().map(Panel::height).sum();
    let mut svg = format!(
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"chart-title chart-desc\">\n<title id=\"chart-title\">{}</title>\n<desc id=\"chart-desc\">{}</desc>\n",
        "The numbers of each group with their 95 % ranges",
        "For each number a panel, for each group a point and a line from the low to the high end of its range; the table below has the same numbers as text."
    );
    let mut top = 0.0;
    for panel in &panels {
        panel.draw(&mut svg, top);
        top += panel.height();
    }
    svg.push_str(
        "</svg>\n<figcaption>A point is the released number, its line the 95 % range of the noise.",
    );
    if table.sampling {
        svg.push_str(" A dashed line, where there is one, is the range of noise and sampling error together.");
    }
    if !bare.is_empty() {
        let names: Vec<String> = bare.iter().map(|(_, name)| text(&spaced(name))).collect();
        let _ = write!(
            svg,
            " Not drawn, as no range of values is known: <bdi>{}</bdi>; the table says what is.",
            names.join(", ")
        );
    }
    if table.rows.len() > MAX_ROWS {
        let _ = write!(
            svg,
            " Drawn are the first {MAX_ROWS} of {} groups; the table has all.",
            table.rows.len()
        );
    }
    svg.push_str("</figcaption>\n</figure>\n");
    svg
}

/// Whether each number of a column has a range: a bare point would look like a sharp one.
fn ranged(table: &Table, at: usize) -> bool {
    let cells = table.rows.iter().filter_map(|row| row.cells.get(at));
    let mut numbers = cells.filter(|cell| cell.value.is_some());
    numbers.all(|cell| cell.low.is_some() && cell.high.is_some())
}

/// One number of all groups.
struct Panel<'a> {
    rows: Vec<(&'a Row, Option<&'a Cell>)>,
    name: String,
    scale: Scale,
}

impl<'a> Panel<'a> {
    fn new(table: &'a Table, at: usize, name: &str) -> Option<Self> {
        let rows: Vec<_> = table.rows.iter().take(MAX_ROWS).collect();
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row, row.cells.get(at)))
            .collect();
        let cells = || rows.iter().filter_map(|(_, cell)| *cell);
        let scale = Scale::of(cells().flat_map(ends))?;
        let unit = cells().map(|cell| &cell.unit).find(|unit| !unit.is_empty());
        let unit = unit.map_or_else(String::new, |unit| format!(" ({unit})"));
        let name = format!("{}{unit}", spaced(name));
        Some(Self { rows, name, scale })
    }

    fn height(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a place on a page")]
        let rows = self.rows.len() as f64;
        HEAD + rows * ROW + FOOT
    }

    fn draw(&self, svg: &mut String, top: f64) {
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top + 22.0,
            text(&self.name)
        );
        let bottom = top + self.height() - FOOT;
        self.axis(svg, top + HEAD, bottom);
        let mut middle = top + HEAD + ROW / 2.0;
        for (row, cell) in &self.rows {
            self.group(svg, middle, row, *cell);
            middle += ROW;
        }
    }

    fn axis(&self, svg: &mut String, top: f64, bottom: f64) {
        for tick in self.scale.ticks() {
            let at = self.scale.place(tick);
            let class = if tick == 0.0 { "zero" } else { "grid" };
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/><text class=\"soft\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                shown(tick, self.scale.places())
            );
        }
    }

    fn group(&self, svg: &mut String, middle: f64, row: &Row, cell: Option<&Cell>) {
        let key = match row.key.join(", ") {
            _ if row.key.is_empty() => "all".to_owned(),
            empty if empty.trim().is_empty() => "(empty)".to_owned(),
            key => key,
        };
        let base = middle + 4.5;
        let said = match (row.withheld, cell) {
            (true, _) => "withheld: too few people",
            (false, Some(cell)) => cell.text.as_str(),
            (false, None) => "no number",
        };
        let _ = writeln!(
            svg,
            "<g><title>{}: {}</title>\n<text x=\"{:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>",
            text(&key),
            text(said),
            LEFT - 14.0,
            text(&short(&key, MAX_LETTERS))
        );
        match cell.and_then(|cell| Some((cell, cell.value.filter(|value| value.is_finite())?))) {
            Some((cell, value)) if !row.withheld => self.number(svg, middle, cell, value),
            _ => {
                let _ = writeln!(
                    svg,
                    "<text class=\"soft\" x=\"{:.1}\" y=\"{base:.1}\">{}</text>",
                    LEFT + 8.0,
                    text(&short(said, 2 * MAX_LETTERS))
                );
            }
        }
        svg.push_str("</g>\n");
    }

    fn number(&self, svg: &mut String, middle: f64, cell: &Cell, value: f64) {
        let at = self.scale.place(value);
        if let Some(both) = cell.both {
            let (low, high) = (self.scale.place(both.low), self.scale.place(both.high));
            let _ = writeln!(
                svg,
                "<path class=\"both\" d=\"M{low:.1} {middle:.1}H{high:.1}\"/>"
            );
        }
        if let (Some(low), Some(high)) = (cell.low, cell.high) {
            let (low, high) = (self.scale.place(low), self.scale.place(high));
            let (above, below) = (middle - 5.0, middle + 5.0);
            let _ = writeln!(
                svg,
                "<path class=\"range\" d=\"M{low:.1} {above:.1}V{below:.1}M{low:.1} {middle:.1}H{high:.1}M{high:.1} {above:.1}V{below:.1}\"/>"
            );
        }
        let _ = writeln!(
            svg,
            "<circle class=\"point\" cx=\"{at:.1}\" cy=\"{middle:.1}\" r=\"4.5\"/>"
        );
    }
}

fn ends(cell: &Cell) -> impl Iterator<Item = f64> {
    let both = cell
        .both
        .map(|both| [both.low, both.high])
        .into_iter()
        .flatten();
    let all = [cell.value, cell.low, cell.high]
        .into_iter()
        .flatten()
        .chain(both);
    let some = if cell.value.is_some() { 5 } else { 0 };
    all.take(some).filter(|number| number.is_finite())
}

/// The beginning of a text that is too long to draw.
fn short(whole: &str, letters: usize) -> String {
    if whole.chars().count() <= letters {
        return whole.to_owned();
    }
    let start: String = whole.chars().take(letters - 1).collect();
    format!("{}…", start.trim_end())
}

/// From numbers to places.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// All of these numbers, and zero where it is near.
    fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for number in numbers {
            (low, high) = (low.min(number), high.max(number));
        }
        if !(low.is_finite() && high.is_finite() && (high - low).is_finite()) {
            return None;
        }
        if low > 0.0 && low < (high - low) * 2.0 {
            low = 0.0;
        }
        if high < 0.0 && -high < (high - low) * 2.0 {
            high = 0.0;
        }
        let span = match high - low {
            none if none <= 0.0 => high.abs().max(1.0) * 0.1,
            span => span,
        };
        let step = step(span / 5.0);
        let low = (low / step).floor() * step;
        let high = ((high / step).ceil() * step).max(low + step);
        Some(Self { low, high, step })
    }

    fn place(&self, number: f64) -> f64 {
        let part = (number - self.low) / (self.high - self.low);
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, step) = (self.low / self.step, self.step);
        let last = self.high + step / 2.0;
        // Whole multiples of the step: a sum of steps would drift off zero.
        let ticks = (0..10u32).map(move |at| (low.round() + f64::from(at)) * step);
        ticks
            .take_while(move |tick| *tick <= last)
            .map(|tick| tick + 0.0)
    }

    /// Digits after the point of a tick.
    fn places(&self) -> i32 {
        let places = digits(self.step);
        // A step of 2.5 needs one more than its first digit.
        match (self.step * 10f64.powi(places)).round() - self.step * 10f64.powi(places) {
            rest if rest.abs() > 1e-6 => places + 1,
            _ if (self.step * 10f64.powi(places - 1)).fract().abs() < 1e-9 => places - 1,
            _ => places,
        }
    }
}

/// A round number near this one.
fn step(about: f64) -> f64 {
    let unit = 10f64.powf(about.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fitting = steps.into_iter().find(|step| step * unit >= about);
    fitting.unwrap_or(10.0) * unit
}
