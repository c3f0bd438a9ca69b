//! How far noise will move an answer, before anything is spent, and what less of it would cost.

use std::fmt;

use incamera_agreement::Agreement;
use incamera_dp::interval::shown;
use incamera_types::{Epsilon, Params};
use serde::Serialize;

use super::{Explanation, clamp};
use crate::after::{Term, WIDE};
use crate::check::{CheckedQuery, check};
use crate::fold::declared_cells;
use crate::measure::{Function, Made, Measure};

/// A half width above this share of the value to expect is warned of: the answer would drown.
const DROWNED: f64 = 0.2;
/// Above this epsilon, in units, none is looked for: it protects nobody.
const MOST: u64 = 1_000_000_000;

/// The noise to expect on a measure.
#[derive(Clone, Debug, Serialize)]
pub struct Expected {
    /// The measure.
    pub name: String,
    /// What it adds up, in words.
    pub says: String,
    /// Half the width of its 95 % range, in units of the measure.
    pub half_width: f64,
    /// The half width divided by a group's people, if all groups were equal: a fraction for
    /// counts of people, an amount a person otherwise.
    pub per_person: Option<f64>,
    /// Whether it counts people.
    #[serde(skip)]
    pub(super) of_people: bool,
    /// The unit, such as `EUR`.
    pub unit: Option<String>,
    /// The half width as a fraction of the value to expect, where one can be told: all people
    /// in equal groups, each adding the middle of what they may.
    pub share: Option<f64>,
    /// Whether that is so much that the answer would drown in its noise.
    pub drowns: bool,
}

/// What a smaller error would cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Needed {
    /// The aggregate.
    pub name: String,
    /// Half the width of the 95 % range that is wanted.
    pub half_width: f64,
    /// The epsilon that the query would need for it, with its own delta and weights.
    pub epsilon: Epsilon,
}

/// Why no epsilon can be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEpsilon {
    /// No such aggregate.
    #[error("the query has no aggregate `{name}`; it has {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Made from aggregates.
    #[error(
        "no error is foretold of `{name}`: it hangs on the numbers that it is made from; ask for that of {known}"
    )]
    Made {
        /// What was asked for.
        name: String,
        /// The aggregates.
        known: String,
    },
    /// Not a number above zero, or so small that no epsilon is large enough.
    #[error("no epsilon gives an error of that size: name a larger one")]
    Size,
}

impl CheckedQuery {
    /// The epsilon that a 95 % range of this half width would need, everything else as it is:
    /// at it the query, checked again, has no wider range, and at 1/4096 less it has. `params`
    /// are those that it was checked with.
    ///
    /// # Errors
    /// [`NoEpsilon`].
    pub fn epsilon_for(
        &self,
        agreement: &Agreement,
        params: &Params,
        name: &str,
        half_width: f64,
    ) -> Result<Needed, NoEpsilon> {
        let mut made = self.made.iter();
        let made = made.find(|made| made.name == name).ok_or_else(|| {
            let known = self.made.iter().map(|made| format!("`{}`", made.name));
            let known = known.collect::<Vec<_>>().join(", ");
            let name = name.to_owned();
            match not_foretold(self).contains(&name) {
                true => NoEpsilon::Made { name, known },
                false => NoEpsilon::Unknown { name, known },
            }
        })?;
        let now = expected(made, self).ok_or(NoEpsilon::Size)?.half_width;
        if !half_width.is_finite() || half_width <= 0.0 {
            return Err(NoEpsilon::Size);
        }
        let reached = |epsilon: u64| {
            let width = self.half_width_at(agreement, params, name, epsilon);
            width.is_some_and(|width| width <= half_width)
        };
        let epsilon = smallest(self.query.epsilon, now / half_width, &reached)?;
        Ok(Needed {
            name: name.to_owned(),
            half_width,
            epsilon,
        })
    }

    /// The noise to expect on an aggregate at another epsilon, in units.
    fn half_width_at(
        &self,
        agreement: &Agreement,
        params: &Params,
        name: &str,
        epsilon: u64,
    ) -> Option<f64> {
        let query = self.query.at_epsilon(Epsilon::from_units(epsilon)).ok()?;
        let other = check(agreement, &query, params).ok()?;
        let made = other.made.iter().find(|made| made.name == name)?;
        Some(expected(made, &other)?.half_width)
    }
}

/// The smallest epsilon that reaches it, found near `now` times `factor`: widths fall with
/// epsilon, not quite in proportion, and in steps where they are of whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "where the search begins; a cast of a float saturates"
)]
fn smallest(
    now: Epsilon,
    factor: f64,
    reached: &dyn Fn(u64) -> bool,
) -> Result<Epsilon, NoEpsilon> {
    let begin = (now.units() as f64 * factor) as u64;
    let mut high = begin.clamp(1, MOST);
    while !reached(high) {
        if high == MOST {
            return Err(NoEpsilon::Size);
        }
        high = high.saturating_mul(2).min(MOST);
    }
    let mut step = high / 16 + 1;
    let mut low = high.saturating_sub(step);
    while low > 0 && reached(low) {
        step *= 2;
        (low, high) = (low.saturating_sub(step), low);
    }
    while high - low > (high / 4096).max(1) {
        let middle = low.midpoint(high);
        match reached(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(Epsilon::from_units(high))
}

/// The noise to expect on an aggregate.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is foretold is for reading"
)]
pub(super) fn expected(made: &Made, checked: &CheckedQuery) -> Option<Expected> {
    let groups = declared_cells(&checked.query.groups).unwrap_or(1).max(1);
    let people = checked.population as f64 / groups as f64;
    let widths: Vec<f64> = checked
        .measures
        .iter()
        .skip(made.first)
        .map(Measure::half_width)
        .collect();
    let (half_width, of_all) = match (made.function, made.each, widths.as_slice()) {
        (Function::Average, Some(each), [count, sum, ..]) => (
            of_average(each.reach(made.scale), *count, *sum, people)?,
            false,
        ),
        (Function::Spread { root, .. }, Some(each), [count, _, squares, ..]) => {
            let reach = each.reach(made.scale);
            (of_spread(reach, *count, *squares, people, root)?, false)
        }
        (_, _, [width, ..]) => (*width, true),
        _ => return None,
    };
    if let Some(ranks) = checked.measures.get(made.first).and_then(Measure::ranks) {
        let share = (people > 0.0).then_some(ranks / people);
        // To either side: the range of ranks is twice as wide.
        let wide = share.is_some_and(|share| 2.0 * share > WIDE);
        return Some(Expected {
            name: made.name.clone(),
            says: clamp(made, checked),
            half_width: ranks,
            per_person: None,
            of_people: false,
            unit: Some("ranks".to_owned()),
            share,
            drowns: wide,
        });
    }
    let share = value(made, checked, people).map(|value| half_width / value);
    Some(Expected {
        share,
        drowns: share.is_some_and(|share| share > DROWNED),
        name: made.name.clone(),
        says: clamp(made, checked),
        half_width,
        per_person: (of_all && people > 0.0).then_some(half_width / people),
        of_people: made.function == Function::People,
        unit: made.unit.clone(),
    })
}

/// The value to expect in a group of so many people, where it can be told and is not zero.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is foretold is for reading"
)]
fn value(made: &Made, checked: &CheckedQuery, people: f64) -> Option<f64> {
    let measure = checked.measures.get(made.first)?;
    let unit = 10f64.powi(made.scale.into());
    let value = match (made.function, made.each) {
        (Function::People, _) => people,
        (Function::Rows | Function::Sum, _) => {
            people * ((measure.low + measure.high) as f64 / 2.0 / unit).abs()
        }
        (Function::Average, Some(each)) => (each.centre as f64 / unit).abs(),
        // Values spread evenly over their bounds.
        (Function::Spread { root, .. }, Some(each)) => {
            let variance = each.reach(made.scale).powi(2) / 3.0;
            if root { variance.sqrt() } else { variance }
        }
        _ => return None,
    };
    (value > 0.0).then_some(value)
}

/// Of an average over one value a person, if it lies at an end of its bounds: what is foretold
/// is the worst.
fn of_average(reach: f64, count: f64, sum: f64, people: f64) -> Option<f64> {
    (people > 0.0).then(|| (sum * sum + reach * reach * count * count).sqrt() / people)
}

/// Of a variance, or its root, if the values lie at the ends of their bounds.
fn of_spread(reach: f64, count: f64, squares: f64, people: f64, root: bool) -> Option<f64> {
    let most = reach * reach;
    let width = (squares * squares + most * most * count * count).sqrt() / people;
    let width = if root { width / (2.0 * reach) } else { width };
    width.is_finite().then_some(width)
}

/// A number in two digits: what is foretold is to be compared, not only read.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the places of a double are few"
)]
pub(crate) fn two_digits(value: f64) -> String {
    let leading = if value > 0.0 {
        value.log10().floor()
    } else {
        0.0
    };
    shown(value, 1 - leading as i32)
}

pub(super) fn write_expected(f: &mut fmt::Formatter<'_>, measure: &Expected) -> fmt::Result {
    let unit = measure
        .unit
        .as_ref()
        .map_or_else(String::new, |unit| format!(" {unit}"));
    let width = two_digits(measure.half_width);
    if measure.drowns {
        write!(f, "  WARNING, this would drown:")?;
    }
    write!(f, "  {} +- {width}{unit}", measure.name)?;
    if let Some(per_person) = measure.per_person.filter(|_| !measure.of_people) {
        write!(f, ", {}{unit} a person", two_digits(per_person))?;
    }
    match measure.share {
        Some(share) if share > 0.0 => writeln!(
            f,
            ", {} % of {}{unit}",
            two_digits(share * 100.0),
            two_digits(measure.half_width / share)
        ),
        _ => writeln!(f),
    }
}

/// Of what the percentages are, the rule of the warning, and what has no number here.
pub(super) fn write_rule(f: &mut fmt::Formatter<'_>, all: &Explanation) -> fmt::Result {
    if all.measures.iter().any(|measure| measure.share.is_some()) {
        let people = shown(all.people as f64, 0);
        let groups = match all.rows {
            Some(0 | 1) => "in one group".to_owned(),
            Some(rows) => format!("in {rows} equal groups"),
            None => "in one group; each of the groups that are found has fewer".to_owned(),
        };
        writeln!(
            f,
            "percentages are of what to expect with {people} people, before conditions, {groups}, each adding the middle of what it may; above {} % (of ranks {} %) an answer is said to drown",
            two_digits(DROWNED * 100.0),
            two_digits(WIDE * 50.0)
        )?;
    }
    match all.not_foretold.as_slice() {
        [] => Ok(()),
        names => writeln!(
            f,
            "no noise is foretold of {}: it hangs on the numbers that they are made from",
            names.join(", ")
        ),
    }
}

/// What the answer has besides group keys and aggregates.
pub(super) fn not_foretold(checked: &CheckedQuery) -> Vec<String> {
    let outputs = checked.outputs.iter();
    let made = outputs.filter(|output| !matches!(output.term, Term::Aggregate(_)));
    let names = made.map(|output| output.name.clone());
    let ratios = checked.query.ratios.iter().map(|ratio| ratio.name.clone());
    let compare = checked.query.compare.iter();
    let compare =
        compare.map(|compare| format!("{} of {}", compare.kind.as_str(), compare.of.name()));
    names.chain(ratios).chain(compare).collect()
}
