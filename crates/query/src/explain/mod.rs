//! What a query will do, cost and be off by, before anything is spent.

mod clamps;
mod expected;

use std::fmt;

use incamera_agreement::{Agreement, ConsentSource};
use incamera_types::{
    DatasetSpec, Decimal, Delta, Epsilon, PartyName, PurposeName, and, printable,
};
use serde::Serialize;

use crate::after::Step;
use crate::check::CheckedQuery;
use crate::exact;
use crate::fold::{MAX_DISCOVERED_BYTES, declared_cells};
use crate::link::Link;
use crate::measure::{Draw, Function, Made};
use crate::memory::{self, Memory};

use crate::stack::with_stack;
use crate::words::{Spoken, Told};
use clamps::write_clamps;
pub use clamps::{Choice, Clamps};
#[cfg(test)]
pub(crate) use expected::two_digits;
pub use expected::{Expected, Needed, NoEpsilon};
use expected::{expected, not_foretold, write_expected, write_rule};

/// A bounded plan in words. Computed from the agreement alone.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The query.
    pub query: String,
    /// What the room does, step by step.
    pub steps: Vec<String>,
    /// What each owner read is charged: epsilon.
    pub epsilon: Epsilon,
    /// What each owner read is charged: delta.
    pub delta: Delta,
    /// What each owner read is charged, as it is added up: rho of zCDP.
    pub rho: f64,
    /// Epsilon of one run alone at the same delta, by exact accounting of its noise.
    pub accounted: Epsilon,
    /// Runs that each owner's ceiling in this agreement has room for, from the start.
    pub runs: Vec<Runs>,
    /// The measures, with the noise to expect.
    pub measures: Vec<Expected>,
    /// What else the answer has, of which no noise is foretold: ratios, comparisons, and what is
    /// computed from aggregates.
    pub not_foretold: Vec<String>,
    /// How many people the answer can be about, as declared.
    pub people: u64,
    /// Rows of the answer, where they are declared.
    pub rows: Option<usize>,
    /// What a room needs to run it.
    pub memory: Memory,
    /// What smaller errors would cost, where that was asked.
    pub needed: Vec<Needed>,
    /// The noise at other clamps, where that was asked.
    pub clamps: Vec<Clamps>,
    /// Sections of an agreement that ask for noisy quantiles to choose clamps by, where that was
    /// asked.
    pub bounds: Vec<String>,
}

/// Runs that an owner's ceiling has room for.
#[derive(Clone, Debug, Serialize)]
pub struct Runs {
    /// The owner.
    pub owner: PartyName,
    /// Runs, if nothing else were asked; none where the agreement sets no ceiling.
    pub runs: Option<u64>,
}

impl CheckedQuery {
    /// Explains the query.
    #[must_use]
    pub fn explain(&self, agreement: &Agreement) -> Explanation {
        Explanation {
            query: self.query.name.to_string(),
            steps: steps(self, agreement)
                .iter()
                .map(|s| printable(s))
                .collect(),
            epsilon: self.query.epsilon,
            delta: self.query.delta,
            rho: self.loss.rho.to_f64(),
            accounted: self.accounted(),
            runs: runs(self, agreement),
            measures: self
                .made
                .iter()
                .filter_map(|made| expected(made, self))
                .collect(),
            not_foretold: not_foretold(self),
            people: self.population,
            rows: declared_cells(&self.query.groups),
            memory: self.memory(),
            needed: Vec::new(),
            clamps: Vec::new(),
            bounds: Vec::new(),
        }
    }
}

impl Explanation {
    /// The same with what smaller errors would cost.
    #[must_use]
    pub fn with_needed(self, needed: Vec<Needed>) -> Self {
        Self { needed, ..self }
    }

    /// The same with the noise at other clamps, and with the questions that help to choose one.
    #[must_use]
    pub fn with_clamps(self, clamps: Vec<Clamps>, bounds: Vec<String>) -> Self {
        Self {
            clamps,
            bounds,
            ..self
        }
    }
}

/// How many such runs each owner's ceiling has room for.
pub(crate) fn runs(checked: &CheckedQuery, agreement: &Agreement) -> Vec<Runs> {
    let owners = agreement.owners_read(&checked.query).into_iter();
    let runs = |owner: PartyName| {
        let ceiling = agreement.ceiling(&owner);
        let runs = ceiling.map(|ceiling| incamera_agreement::runs(&checked.loss, &ceiling));
        Runs { owner, runs }
    };
    owners.map(runs).collect()
}

/// Whose rows of a data set are read.
fn whose(spec: &DatasetSpec, agreement: &Agreement, purpose: &PurposeName) -> String {
    if spec.public {
        return "a public data set".to_owned();
    }
    match agreement.consent_of(spec) {
        ConsentSource::Dataset(_) => format!("rows of people who agreed to `{purpose}`"),
        ConsentSource::Everything(_) => "every row: its owner states no consents".to_owned(),
    }
}

fn steps(checked: &CheckedQuery, agreement: &Agreement) -> Vec<String> {
    let query = &checked.query;
    let told = told(checked);
    let mut steps = Vec::new();
    for spec in checked.datasets.values() {
        let columns = query.reads.iter().filter(|read| read.dataset == spec.name);
        let columns: Vec<&str> = columns.map(|read| read.column.as_str()).collect();
        steps.push(format!(
            "read {} of data set `{}` ({}): {}",
            columns.join(", "),
            spec.name,
            spec.owner,
            whose(spec, agreement, &query.purpose)
        ));
        let readings = told.readings.get(spec.name.as_str());
        steps.extend(conditions(readings.map_or(&[], Vec::as_slice)));
        if let Some(rows) = query.rows.get(&spec.name) {
            let rows = count(*rows, "row");
            steps.push(if spec.public {
                format!("refuse to run if it has more than {rows}")
            } else {
                format!("keep at most {rows} of each person's, by lot")
            });
        }
    }
    steps.extend(checked.link.iter().map(Link::said));
    steps.extend(told.steps.iter().cloned());
    steps.extend(grouped(checked, &told));
    if !query.groups.is_empty() {
        let most = count(query.per_person.groups.into(), "group");
        steps.push(format!("keep at most {most} of each person's, by lot"));
    }
    if !told.values.is_empty() {
        let values = told.values.iter();
        let values: Vec<_> = values
            .map(|(name, made)| format!("{name} = {made}"))
            .collect();
        steps.push(format!("ask of them {}", values.join(", ")));
    }
    let pure = query.delta == Delta::ZERO;
    let noise = if pure { "Laplace" } else { "Gaussian" };
    for made in &checked.made {
        let says = clamp(made, checked);
        steps.push(format!("per person{}: {says}", in_group(checked)));
    }
    steps.push(format!(
        "add up, and add discrete {noise} noise that every owner's seed has a share in"
    ));
    if let Some(threshold) = &checked.threshold {
        let least = threshold.tau().max(query.min_people);
        steps.push(format!(
            "list groups with at least {least} people by the noisy count, in order of their keys, and say nothing of others"
        ));
    } else if let Some(people) = checked.people.and_then(|at| checked.measures.get(at)) {
        let least = query.min_people;
        steps.push(format!(
            "withhold rows with noisy {} below {least}",
            people.name
        ));
    }
    if query.sampling {
        steps.push("tell, apart from the noise, the sampling error of shares of people, of averages of one value a person, and of what is compared of them".into());
    }
    let above = checked.steps.iter().map(|step| match step {
        Step::Keep(_) => "keep the rows that meet a condition",
        Step::Sort(_) => "sort them",
        Step::Limit { .. } => "keep the first of them",
    });
    let above: Vec<&str> = above.collect();
    if !above.is_empty() {
        let above = above.join(", ");
        steps.push(format!(
            "of the noisy rows, without looking at data again: {above}"
        ));
    }
    steps
}

/// What rows are grouped by.
fn grouped(checked: &CheckedQuery, told: &Told) -> Vec<String> {
    let groups = checked.query.groups.iter();
    let groups = groups.zip(memory::long_keys(checked));
    let said = groups.map(|(group, long)| {
        let name = format!("{}{}", group.name, made_of(&group.name, told));
        match group.declared() {
            Some(values) => format!(
                "group by {name}: {}; rows of other values are dropped",
                values.join(", ")
            ),
            None if long => format!(
                "group by {name}: whatever values there are; rows of texts above {MAX_DISCOVERED_BYTES} bytes are dropped"
            ),
            None => format!("group by {name}: whatever values there are"),
        }
    });
    said.collect()
}

/// What a reading of a data set asks of its rows before they are cut, by its number where there
/// are several.
fn conditions(readings: &[Option<String>]) -> Vec<String> {
    if let [Some(asked)] = readings {
        return vec![format!("drop those without {asked}")];
    }
    let mut said = Vec::new();
    for (first, asked) in readings.iter().enumerate() {
        let same = readings
            .iter()
            .enumerate()
            .filter(|(_, other)| *other == asked);
        let same: Vec<usize> = same.map(|(at, _)| at).collect();
        // Those that ask the same are said once, and one reading that takes all not at all.
        if same.first() != Some(&first) || readings.len() == 1 {
            continue;
        }
        let s = if same.len() == 1 { "" } else { "s" };
        let which: Vec<_> = same.iter().map(|at| (at + 1).to_string()).collect();
        let what = asked
            .as_ref()
            .map(|asked| format!("drop those without {asked}"));
        let what = what.unwrap_or_else(|| "take all".into());
        said.push(format!("in reading{s} {}, {what}", and(&which)));
    }
    said
}

/// The plan in words.
fn told(checked: &CheckedQuery) -> Told {
    let told = with_stack(|| Ok(checked.spoken.as_ref().and_then(Spoken::told)));
    told.ok().flatten().unwrap_or_else(|| Told {
        steps: vec!["do with their rows what the SQL says: there are no other words for it".into()],
        ..Told::default()
    })
}

/// What a group key is made of, unless it is a column of its name.
fn made_of(name: &str, told: &Told) -> String {
    match told.keys.get(name) {
        Some(key) if key != name && !key.ends_with(&format!(".{name}")) => format!(" = {key}"),
        _ => String::new(),
    }
}

fn in_group(checked: &CheckedQuery) -> &'static str {
    if checked.query.groups.is_empty() {
        ""
    } else {
        " and group"
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What of a person counts in an aggregate.
fn clamp(made: &Made, checked: &CheckedQuery) -> String {
    let name = &made.name;
    let Some(measure) = checked.measures.get(made.first) else {
        return name.clone();
    };
    let unit = made.unit.as_ref().map(|unit| format!(" {unit}"));
    let unit = unit.unwrap_or_default();
    if let Some(each) = made.each {
        let text =
            |value| Decimal::new(value, made.scale).map_or_else(String::new, |n| n.to_string());
        let (low, high, rows) = (text(each.low), text(each.high), each.rows);
        if let Draw::Quantile { per_mille, .. } = &measure.draw {
            return format!(
                "{name} is drawn near the value of rank {} %, of values brought to {low} .. {high}{unit}, at most {rows} of one person, by lot",
                f64::from(*per_mille) / 10.0
            );
        }
        let what = match made.function {
            Function::Spread { .. } => "count, sum and squares",
            _ if made.sampled => "count and sum (and, for the sampling error, squares)",
            _ => "count and sum",
        };
        return format!(
            "{name} is made from {what} of values brought to {low} .. {high}{unit}; who has more than {rows} counts as {rows} of their average"
        );
    }
    let (low, high) = (measure.text(measure.low), measure.text(measure.high));
    match made.function {
        Function::People => format!("{name} is 1 or 0"),
        Function::Rows => format!("{name} counts rows, clamped to {low} .. {high}"),
        Function::Distinct => {
            format!("{name} counts different values, at most {high} of one person, by lot")
        }
        _ => format!("{name} is a sum, clamped to {low} .. {high}{unit}"),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "query `{}`", self.query)?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {step}", at + 1)?;
        }
        writeln!(
            f,
            "cost to each owner read: epsilon {}, delta {} (rho {:.6})",
            self.epsilon, self.delta, self.rho
        )?;
        if self.accounted < self.epsilon {
            writeln!(f, "  {}", exact::said(self.accounted))?;
        }
        for runs in &self.runs {
            match runs.runs {
                Some(count) => writeln!(
                    f,
                    "  {}: its ceiling here has room for {count} such runs in all",
                    runs.owner
                )?,
                None => writeln!(f, "  {}: no ceiling in this agreement", runs.owner)?,
            }
        }
        writeln!(f, "{}", self.memory)?;
        writeln!(f, "noise to expect, 19 times in 20:")?;
        self.measures
            .iter()
            .try_for_each(|measure| write_expected(f, measure))?;
        write_rule(f, self)?;
        self.needed.iter().try_for_each(|needed| {
            let Needed {
                name,
                half_width,
                epsilon,
            } = needed;
            writeln!(f, "{name} +- {half_width} would need epsilon {epsilon}")
        })?;
        write_clamps(f, &self.clamps)?;
        self.bounds.iter().try_for_each(|section| {
            writeln!(
                f,
                "to choose by noisy quantiles, once all parties have agreed on it:\n\n{section}"
            )
        })
    }
}
