//! What a query will do, cost and be off by, before anything is spent.

use std::fmt;

use datafusion::logical_expr::LogicalPlan;
use incamera_agreement::{Agreement, ConsentSource};
use incamera_dp::interval::shown;
use incamera_types::{DatasetSpec, Delta, Epsilon, PartyName, PurposeName};
use serde::Serialize;

use crate::check::CheckedQuery;
use crate::fold::cells;
use crate::measure::{Kind, Measure};
use crate::run::optimized;

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
    /// Runs that each owner's ceiling in this agreement has room for, from the start.
    pub runs: Vec<Runs>,
    /// The measures, with the noise to expect.
    pub measures: Vec<Expected>,
    /// How many people the answer can be about, as declared.
    pub people: u64,
    /// Rows of the answer.
    pub rows: usize,
}

/// Runs that an owner's ceiling has room for.
#[derive(Clone, Debug, Serialize)]
pub struct Runs {
    /// The owner.
    pub owner: PartyName,
    /// Runs, if nothing else were asked; none where the agreement sets no ceiling.
    pub runs: Option<u64>,
}

/// The noise to expect on a measure.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// The measure.
    pub name: String,
    /// What it adds up, in words.
    pub says: String,
    /// The standard deviation of the noise, in units of the measure.
    pub sigma: f64,
    /// Half the width of its 95 % range, in units of the measure.
    pub half_width: f64,
    /// The half width divided by a group's people, if all groups were equal: a fraction for
    /// counts of people, an amount a person otherwise.
    pub per_person: Option<f64>,
    /// The unit, such as `EUR`.
    pub unit: Option<String>,
}

impl CheckedQuery {
    /// Explains the query.
    #[must_use]
    pub fn explain(&self, agreement: &Agreement) -> Explanation {
        Explanation {
            query: self.query.name.to_string(),
            steps: steps(self, agreement),
            epsilon: self.query.epsilon,
            delta: self.query.delta,
            rho: self.loss.rho.to_f64(),
            runs: runs(self, agreement),
            measures: self
                .measures
                .iter()
                .map(|measure| expected(measure, self))
                .collect(),
            people: self.population,
            rows: cells(&self.query.groups),
        }
    }
}

fn runs(checked: &CheckedQuery, agreement: &Agreement) -> Vec<Runs> {
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
    let plan = optimized(checked).ok();
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
        steps.extend(conditions(plan.as_ref(), spec));
        if let Some(rows) = query.rows.get(&spec.name) {
            let rows = count(*rows, "row");
            steps.push(if spec.public {
                format!("refuse to run if it has more than {rows}")
            } else {
                format!("keep at most {rows} of each person's, by lot")
            });
        }
    }
    if checked.datasets.len() > 1 {
        steps.push("join them on the person".into());
    }
    for group in &query.groups {
        steps.push(format!(
            "group by {}: {}; rows of other values are dropped",
            group.name,
            group.values.join(", ")
        ));
    }
    if !query.groups.is_empty() {
        let most = count(query.per_person.groups.into(), "group");
        steps.push(format!("keep at most {most} of each person's, by lot"));
    }
    for measure in &checked.measures {
        steps.push(format!(
            "per person{}: {}",
            in_group(checked),
            clamp(measure)
        ));
    }
    steps.push(
        "add up, and add discrete Gaussian noise that every owner's seed has a share in".into(),
    );
    if let Some(people) = checked.people.and_then(|at| checked.measures.get(at)) {
        let least = query.min_people;
        steps.push(format!(
            "withhold rows with noisy {} below {least}",
            people.name
        ));
    }
    steps
}

/// The conditions that drop rows of a data set before they are cut.
fn conditions(plan: Option<&LogicalPlan>, spec: &DatasetSpec) -> Option<String> {
    let mut conditions = Vec::new();
    let mut stack: Vec<&LogicalPlan> = plan.into_iter().collect();
    while let Some(node) = stack.pop() {
        stack.extend(node.inputs());
        let LogicalPlan::TableScan(scan) = node else {
            continue;
        };
        if scan.table_name.table() == spec.name.as_str() {
            let said = scan
                .filters
                .iter()
                .map(|one| one.human_display().to_string());
            conditions.extend(said);
        }
    }
    let all = conditions.join(" AND ");
    (!all.is_empty()).then(|| format!("drop those without {all}"))
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

fn clamp(measure: &Measure) -> String {
    let (low, high) = (measure.text(measure.low), measure.text(measure.high));
    let unit = measure
        .unit
        .as_ref()
        .map_or_else(String::new, |unit| format!(" {unit}"));
    match measure.kind {
        Kind::People => format!("{} is 1 or 0", measure.name),
        Kind::Rows => format!("{} counts rows, clamped to {low} .. {high}", measure.name),
        Kind::Sum => format!(
            "{} is a sum, clamped to {low} .. {high}{unit}",
            measure.name
        ),
    }
}

#[allow(clippy::cast_precision_loss)]
fn expected(measure: &Measure, checked: &CheckedQuery) -> Expected {
    let half_width = measure.half_width();
    let people = checked.population as f64 / cells(&checked.query.groups).max(1) as f64;
    Expected {
        name: measure.name.clone(),
        says: clamp(measure),
        sigma: measure.sigma() / 10f64.powi(measure.scale.into()),
        half_width,
        per_person: (people > 0.0).then_some(half_width / people),
        unit: measure.unit.clone(),
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
        writeln!(f, "noise to expect, 19 times in 20:")?;
        self.measures
            .iter()
            .try_for_each(|measure| write_expected(f, measure, self))
    }
}

/// A number in two digits: what is foretold is to be compared, not only read.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the places of a double are few"
)]
fn two_digits(value: f64) -> String {
    let leading = if value > 0.0 {
        value.log10().floor()
    } else {
        0.0
    };
    shown(value, 1 - leading as i32)
}

fn write_expected(
    f: &mut fmt::Formatter<'_>,
    measure: &Expected,
    all: &Explanation,
) -> fmt::Result {
    let unit = measure
        .unit
        .as_ref()
        .map_or_else(String::new, |unit| format!(" {unit}"));
    let width = two_digits(measure.half_width);
    write!(f, "  {} +- {width}{unit}", measure.name)?;
    let Some(per_person) = measure.per_person else {
        return writeln!(f);
    };
    let groups = format!(
        "with {} people in {} equal groups",
        shown(all.people as f64, 0),
        all.rows
    );
    if unit.is_empty() {
        let percent = per_person * 100.0;
        writeln!(
            f,
            ", {} % of a group's people {groups}",
            two_digits(percent)
        )
    } else {
        writeln!(f, ", {}{unit} a person {groups}", two_digits(per_person))
    }
}
