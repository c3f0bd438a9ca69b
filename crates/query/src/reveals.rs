//! What a query reveals at worst, for an owner who is asked to agree to it.
//!
//! # Claim
//! Every number is a bound that holds whatever the data are and whatever else somebody knows.
//! By what odds grow is [`odds_factor`], a little more than e^epsilon.

use std::fmt;

use incamera_agreement::Agreement;
use incamera_dp::interval::{shown, shown_factor};
use incamera_dp::odds_factor;
use incamera_types::{Budget, Delta, Epsilon, PartyName, PrivacyLoss, printable};
use serde::Serialize;

use crate::check::CheckedQuery;
use crate::exact;
use crate::explain::{self, Runs};
use crate::link::Link;
use crate::measure::{Function, Made};
use crate::memory::Memory;

/// What a query reveals at worst.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reveals {
    /// The query.
    pub query: String,
    /// What it is for.
    pub purpose: String,
    /// Who may ask it.
    pub analysts: Vec<String>,
    /// Who receives the answer.
    pub receivers: Vec<String>,
    /// The owners whose data it reads; each is charged the same.
    pub owners: Vec<PartyName>,
    /// What a run is charged: epsilon.
    pub epsilon: Epsilon,
    /// What a run is charged: delta.
    pub delta: Delta,
    /// Epsilon of one run alone at the same delta, by exact accounting of its noise.
    pub accounted: Epsilon,
    /// What one run can tell about one person.
    pub one_run: Odds,
    /// What all runs can tell, where an owner's ceiling bounds them.
    pub all_runs: Vec<AllRuns>,
    /// Runs that each owner's ceiling has room for.
    pub runs: Vec<Runs>,
    /// How far one person's rows can move the answer, before noise hides it.
    pub one_person: Vec<String>,
    /// Which groups the answer shows.
    pub groups: Vec<String>,
    /// What is no part of these bounds.
    pub besides: Vec<String>,
    /// What a room needs to run it.
    pub memory: Memory,
}

/// How much better somebody who knows everything else can guess about one person.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Odds {
    /// By what the odds of a guess grow at most.
    pub factor: f64,
    /// With which probability they may grow by more.
    pub but: Delta,
    /// What was thought likely with 1 %, in percent, afterwards.
    pub from_1_percent: f64,
    /// What was thought likely with 50 %, in percent, afterwards.
    pub from_50_percent: f64,
}

/// All runs that an owner's ceiling has room for, of whatever queries.
#[derive(Clone, Debug, Serialize)]
pub struct AllRuns {
    /// The owner.
    pub owner: PartyName,
    /// Its ceiling in this agreement: epsilon.
    pub epsilon: Epsilon,
    /// Its ceiling in this agreement: delta.
    pub delta: Delta,
    /// What all of it can tell about one person.
    pub odds: Odds,
}

impl Odds {
    /// Of what is charged for a budget.
    fn of(loss: &PrivacyLoss, budget: &Budget) -> Self {
        let factor = odds_factor(loss, budget);
        let after = |prior: f64| 100.0 / (1.0 + (1.0 - prior) / prior / factor);
        Self {
            factor,
            but: budget.delta,
            from_1_percent: after(0.01),
            from_50_percent: after(0.5),
        }
    }
}

impl CheckedQuery {
    /// What the query reveals at worst.
    #[must_use]
    pub fn reveals(&self, agreement: &Agreement) -> Reveals {
        let query = &self.query;
        Reveals {
            query: query.name.to_string(),
            purpose: query.purpose.to_string(),
            analysts: query.analysts.iter().map(ToString::to_string).collect(),
            receivers: query.receivers.iter().map(ToString::to_string).collect(),
            owners: agreement.owners_read(query).into_iter().collect(),
            epsilon: query.epsilon,
            delta: query.delta,
            accounted: self.accounted(),
            one_run: Odds::of(&self.loss, &query.budget()),
            all_runs: all_runs(self, agreement),
            runs: explain::runs(self, agreement),
            one_person: one_person(self),
            groups: groups(self).iter().map(|said| printable(said)).collect(),
            besides: besides(self),
            memory: self.memory(),
        }
    }
}

fn all_runs(checked: &CheckedQuery, agreement: &Agreement) -> Vec<AllRuns> {
    let owners = agreement.owners_read(&checked.query).into_iter();
    let all = |owner: PartyName| {
        let (loss, ceiling) = (agreement.ceiling(&owner)?, agreement.budgets.get(&owner)?);
        Some(AllRuns {
            owner,
            epsilon: ceiling.budget.epsilon,
            delta: ceiling.budget.delta,
            odds: Odds::of(&loss, &ceiling.budget),
        })
    };
    owners.filter_map(all).collect()
}

/// What one person can move.
fn one_person(checked: &CheckedQuery) -> Vec<String> {
    let moved = checked.made.iter().filter_map(|made| moved(made, checked));
    let linked = checked.link.iter().map(Link::protects);
    moved.chain(linked).collect()
}

/// How far one person's rows can move an aggregate.
fn moved(made: &Made, checked: &CheckedQuery) -> Option<String> {
    let measure = checked.measures.get(made.first)?;
    let name = &made.name;
    let unit = made.unit.as_ref().map(|unit| format!(" {unit}"));
    let unit = unit.unwrap_or_default();
    let number = |value: i128, scale: u8| {
        let text = incamera_types::Decimal::new(value, scale)?.to_string();
        let plain = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        Some(plain.to_owned())
    };
    let place = in_groups(checked);
    if let Some(each) = made.each {
        let (low, high) = (
            number(each.low, made.scale)?,
            number(each.high, made.scale)?,
        );
        let rows = match each.rows {
            1 => "1 value".to_owned(),
            rows => format!("{rows} values"),
        };
        return Some(format!(
            "{name}: by {rows} between {low} and {high}{unit}{place}, whatever its rows say"
        ));
    }
    let most = measure.high.max(0) - measure.low.min(0);
    let most = most.max(measure.high.saturating_sub(measure.low));
    let most = number(most, made.scale)?;
    Some(match made.function {
        Function::People => format!("{name}: by 1{place}"),
        _ => format!("{name}: by {most}{unit} at most{place}"),
    })
}

fn in_groups(checked: &CheckedQuery) -> String {
    match (
        checked.query.groups.is_empty(),
        checked.query.per_person.groups,
    ) {
        (true, _) => String::new(),
        (false, 1) => " in one group; or out of one group and into another".into(),
        (false, many) => format!(" in each of {many} groups; or out of {many} and into others"),
    }
}

fn groups(checked: &CheckedQuery) -> Vec<String> {
    let query = &checked.query;
    let mut said: Vec<String> = Vec::new();
    for group in &query.groups {
        said.push(match group.declared() {
            Some(values) => format!(
                "{}: the {} declared values, whether or not anybody has them: that a value is listed says nothing",
                group.name,
                values.len()
            ),
            None => format!("{}: values that stand in the data", group.name),
        });
    }
    if let Some(threshold) = &checked.threshold {
        said.push(format!(
            "a group that the data name is listed from {} people by the noisy count; one that a single person makes up is listed with probability {} at most",
            threshold.tau().max(query.min_people),
            checked.loss.delta0
        ));
    }
    if checked.people.is_some() {
        said.push(format!(
            "a group below {} people by the noisy count shows no number",
            query.min_people
        ));
    }
    said
}

fn besides(checked: &CheckedQuery) -> Vec<String> {
    let mut besides = vec![
        "what is true of people in general: that a campaign works is learned from an answer with or without any one of them".to_owned(),
        "people whose rows tell of each other, a household say: for so many together the power of the factor".to_owned(),
        "that it was asked, by whom and when, and how many rows sealed parts have".to_owned(),
    ];
    if checked.datasets.values().any(|spec| spec.public) {
        besides.push("public data sets, which are no secret".into());
    }
    besides
}

impl fmt::Display for Odds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "odds about one person grow by a factor of {} at most: what was 1 % likely becomes {} %, what was 50 % likely {} %",
            shown_factor(self.factor),
            percent(self.from_1_percent),
            percent(self.from_50_percent)
        )?;
        match self.but == Delta::ZERO {
            true => Ok(()),
            false => write!(f, "; more with probability {} at most", self.but),
        }
    }
}

/// Rounded up, as a bound is, and never to certainty, which no bound is.
fn percent(percent: f64) -> String {
    match percent {
        sure if sure > 99.9 => "almost 100".to_owned(),
        some => shown((some * 10.0).ceil() / 10.0, 1),
    }
}

fn list(f: &mut fmt::Formatter<'_>, head: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "{head}")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

impl fmt::Display for Reveals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owners: Vec<String> = self.owners.iter().map(ToString::to_string).collect();
        writeln!(f, "what `{}` reveals at worst", self.query)?;
        writeln!(
            f,
            "  asked by {} for `{}`",
            self.analysts.join(", "),
            self.purpose
        )?;
        writeln!(f, "  received by {}", self.receivers.join(", "))?;
        writeln!(
            f,
            "  each of {} is charged epsilon {}, delta {} a run",
            owners.join(", "),
            self.epsilon,
            self.delta
        )?;
        if self.accounted < self.epsilon {
            writeln!(f, "  {}", exact::said(self.accounted))?;
        }
        writeln!(
            f,
            "one run, to somebody who knows everything but one person's rows"
        )?;
        writeln!(f, "  {}", self.one_run)?;
        let ceilings = self
            .runs
            .iter()
            .zip(&owners)
            .map(|(runs, owner)| match runs.runs {
                Some(runs) => format!("{owner}: the ceiling has room for {runs} such runs"),
                None => format!("{owner}: no ceiling in this agreement: only its own over all agreements bounds all runs"),
            });
        let sums = self.all_runs.iter().map(|all| {
            format!(
                "{}: all runs of all queries stop at epsilon {}, delta {}: {}",
                all.owner, all.epsilon, all.delta, all.odds
            )
        });
        list(f, "all runs", &ceilings.chain(sums).collect::<Vec<_>>())?;
        list(
            f,
            "one person can move, before noise hides it",
            &self.one_person,
        )?;
        list(f, "groups", &self.groups)?;
        list(f, "no part of these bounds", &self.besides)
    }
}
