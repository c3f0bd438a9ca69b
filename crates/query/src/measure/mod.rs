//! The aggregates of a query: what they count, how one person's share is clamped, and the
//! noise that hides it.
//!
//! # What an aggregate is made of
//! | aggregate | measures, each with its own noise | one person's part in a group |
//! |---|---|---|
//! | COUNT(DISTINCT person) | people | 0 or 1 |
//! | COUNT(*), COUNT(x) | rows | the rows, clamped to [least, most] |
//! | SUM(x) | a sum | the sum, clamped to [least, most] |
//! | COUNT(DISTINCT x) | a count of values | at most k values, see [`Kind::Distinct`] |
//! | AVG(x) | count, sum | see below |
//! | VARIANCE(x), STDDEV(x) | count, sum, squares | see below |
//! | MEDIAN, PERCENTILE_CONT, MIN, MAX | one draw a group, of [`incamera_dp::Quantiles`] | at most k values, by lot |
//!
//! With bounds [low, high] of a value and k values a person, c halfway between them and d the
//! distance from c to the farther end: each value is brought into the bounds and c is taken
//! from it, so that it lies in [-d, d]. A person with n values adds n to the count, their sum
//! to the sum and the sum of their squares to the squares; where n is more than k, all three
//! are multiplied by k/n, rounded towards zero: the person counts as k values of the same
//! average. So the count lies in [0, k], the sum in [-kd, kd], the squares in [0, kd²],
//! whatever the person's rows are, and [`incamera_dp::Sensitivity::of_clamp`] holds for each. AVG is then
//! c + sum/count, the variance squares/count - (sum/count)².
//!
//! Where the agreement takes people as a sample, an average of one value a person has squares too:
//! its sampling error follows from them, and they have a tenth of its share. A person with more
//! values adds the square of their average: how one person's values differ says nothing of how
//! people do.

mod draft;
mod parts;

use incamera_agreement::{Agreement, CompareKind, Compared, Query};
use incamera_dp::{Allowance, Interval, Noise, QuantilePlan, Threshold, split};
use incamera_types::{ColumnRef, Decimal, Delta, Epsilon, Rho};

use parts::{Part, parts};

pub(crate) use draft::{Draft, Function, drafts, plainly_named, unnamed};

use crate::after::unscaled;
use crate::refusal::{Refusal, RefusalKind};

/// What a measure adds up for one person in one group, before the clamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// 1 if the person has a row that counts: COUNT(DISTINCT person).
    People,
    /// The person's rows: COUNT(*), COUNT(column).
    Rows,
    /// The sum of a column over the person's rows: SUM.
    Sum,
    /// How many different values there are among those that are kept, at most so many a
    /// person, by a lot that the person and the value decide: COUNT(DISTINCT column).
    ///
    /// No sum over people. Without a person's kept values, at most k values are gone; with
    /// others in their place, at most k come: a group changes by at most k, as if the person
    /// added 0 to k to it. Values that only people with more than k have may be missed.
    Distinct,
    /// How many values: the first measure of an average or a spread.
    Values,
    /// The sum of values, each between its bounds and taken from the middle.
    Centred,
    /// The sum of their squares; for a sampling error the square of the person's average.
    Squares,
    /// A quantile of values, at most so many a person: no sum, but a draw among all values
    /// between the bounds. Which count of a person with more is drawn by lot.
    Quantile,
}

/// A measure with its clamp and its noise.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Its name in the answer: the aggregate's, or `AGGREGATE.count`, `.sum`, `.squares` where
    /// that is made of several.
    pub name: String,
    /// What it adds up.
    pub kind: Kind,
    /// The unit of a sum's column, such as `EUR`.
    pub unit: Option<String>,
    /// Digits after the point: values are whole numbers of 10^-scale.
    pub scale: u8,
    /// The least that one person adds to a group in which they are.
    pub low: i128,
    /// The most that one person adds to a group.
    pub high: i128,
    /// This measure's share of the loss.
    pub share: Rho,
    /// Which value of the bounded plan it adds up.
    pub(crate) input: usize,
    /// Bounds of each value.
    pub(crate) each: Option<Each>,
    pub(crate) draw: Draw,
}

/// How a measure is hidden.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Draw {
    /// By noise that is added to a sum.
    Added(Noise),
    /// By the draw of a quantile.
    Quantile { plan: QuantilePlan, per_mille: u32 },
}

/// Bounds of each value, in units of its column's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Each {
    pub(crate) low: i128,
    pub(crate) high: i128,
    /// The middle, which is taken from each value.
    pub(crate) centre: i128,
    /// How many values of a person count.
    pub(crate) rows: i128,
    /// The measure that counts them. The next adds them up.
    pub(crate) counted_by: usize,
    /// Whether squares are of each person's average, as a sample of people needs them, and not
    /// of each value.
    pub(crate) averaged: bool,
}

impl Each {
    /// How far a value can lie from the middle.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is foretold is for reading"
    )]
    pub(crate) fn reach(&self, scale: u8) -> f64 {
        let reach = (self.high - self.centre).max(self.centre - self.low);
        reach as f64 / 10f64.powi(scale.into())
    }

    /// Between which each value lies, and every average of them.
    pub(crate) fn ends(&self, scale: u8) -> Interval {
        Interval {
            low: unscaled(self.low, scale),
            high: unscaled(self.high, scale),
        }
    }
}

/// How an aggregate is put together from measures.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) function: Function,
    /// Its first measure.
    pub(crate) first: usize,
    pub(crate) each: Option<Each>,
    pub(crate) scale: u8,
    pub(crate) unit: Option<String>,
    /// Of an average: whether squares are its third measure, from which its sampling error
    /// follows.
    pub(crate) sampled: bool,
    /// The stored column that is added up, where it is one as it is.
    pub(crate) origin: Option<ColumnRef>,
    /// Of a quantile: the measure that counts the same values, or fewer of each person.
    pub(crate) counted: Option<usize>,
}

impl Made {
    /// Whether it is a draw among values: its rank has a range.
    pub(crate) fn ranked(&self) -> bool {
        matches!(
            self.function,
            Function::Quantile { .. } | Function::Extreme { .. }
        )
    }
}

impl Measure {
    /// The standard deviation of the noise, in units of 10^-scale.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.noise().map_or(0.0, Noise::deviation)
    }

    /// Half the width of the 95 % range of the noise, in units of the measure.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        let width = self.noise().map_or(0.0, Noise::half_width_95);
        width / 10f64.powi(self.scale.into())
    }

    /// The noise that is added, where some is.
    pub(crate) fn noise(&self) -> Option<&Noise> {
        match &self.draw {
            Draw::Added(noise) => Some(noise),
            Draw::Quantile { .. } => None,
        }
    }

    /// By how many ranks a quantile is off at most, at 95 %.
    pub(crate) fn ranks(&self) -> Option<f64> {
        match &self.draw {
            Draw::Quantile { plan, .. } => Some(plan.ranks_95()),
            Draw::Added(_) => None,
        }
    }

    /// A number of the measure, in words.
    pub(crate) fn text(&self, value: i128) -> String {
        Decimal::new(value, self.scale).map_or_else(String::new, |number| number.to_string())
    }
}

fn refuse(what: impl Into<String>, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Measures, what, why, instead)
}

pub(crate) const ALLOWED: &str = "use COUNT, COUNT(DISTINCT person), SUM, AVG, VARIANCE, STDDEV, MEDIAN, PERCENTILE_CONT, MIN or MAX of numbers";

/// Gives each aggregate its measures, and each measure its clamp and its share of the noise.
pub(crate) fn calibrate(
    drafts: &[Draft],
    query: &Query,
    agreement: &Agreement,
) -> Result<(Vec<Measure>, Vec<Made>), Refusal> {
    let (mut plain, mut made) = (Vec::new(), Vec::new());
    for (input, draft) in drafts.iter().enumerate() {
        let first = plain.len();
        let parts = parts(draft, query, agreement, first)
            .map_err(|refusal| refusal.or_at_text(&draft.name))?;
        made.push(Made {
            name: draft.name.clone(),
            function: draft.function,
            first,
            each: parts.first().and_then(|part| part.each),
            scale: draft.scale,
            unit: draft.unit.clone(),
            origin: draft.origin.clone(),
            counted: None,
            sampled: parts.iter().any(|part| part.for_sampling),
        });
        let weight = query.weight(&draft.name);
        let weights = weights_of(weight, &parts);
        let parts = parts.into_iter().zip(weights);
        plain.extend(parts.map(|(part, weight)| (input, part, weight)));
    }
    let counts = drafts.iter().map(|draft| counted(draft, drafts, &made));
    let counts: Vec<Option<usize>> = counts.collect();
    for (made, count) in made.iter_mut().zip(counts) {
        made.counted = count.filter(|_| made.ranked());
    }
    let weights: Vec<u32> = plain.iter().map(|(_, _, weight)| *weight).collect();
    let shares = shares(query, agreement.cost(query).rho, &weights)?;
    let measures = plain.into_iter().zip(shares);
    let of = Bounded {
        query,
        stability: stability(query, agreement),
    };
    let measures = measures.map(|((input, part, _), share)| part.measure(input, share, &of));
    Ok((measures.collect::<Result<_, _>>()?, made))
}

/// What noise is made for.
pub(crate) struct Bounded<'a> {
    pub(crate) query: &'a Query,
    /// How many joint persons one owner's person can change.
    pub(crate) stability: u32,
}

/// How many joint persons one owner's person can change.
fn stability(query: &Query, agreement: &Agreement) -> u32 {
    agreement
        .linked(query)
        .map_or(1, |linked| linked.stability())
}

/// The measure that counts the values of an aggregate, or of each person no more of them: that
/// of an average or a spread of the same expression.
fn counted(draft: &Draft, drafts: &[Draft], made: &[Made]) -> Option<usize> {
    let rows = |made: &Made| made.each.map(|each| each.rows);
    let mut own = drafts.iter().zip(made);
    let (_, own) = own.find(|(other, _)| other.name == draft.name)?;
    let mut others = drafts.iter().zip(made);
    let counting = others.find(|(other, made)| {
        other.value == draft.value
            && !made.ranked()
            && rows(made).is_some()
            && rows(made) <= rows(own)
    });
    counting.and_then(|(_, made)| Some(made.each?.counted_by))
}

/// An aggregate's weight is split evenly among its measures, of which there are one to three;
/// one that is there for the sampling error alone has a tenth.
const WEIGHT_UNITS: u32 = 60;

/// The weight of each measure of an aggregate.
fn weights_of(weight: u32, parts: &[Part]) -> Vec<u32> {
    let extra = parts.iter().filter(|part| part.for_sampling).count() as u32;
    let tenth = WEIGHT_UNITS / 10;
    let others = (parts.len() as u32).saturating_sub(extra).max(1);
    let each = (WEIGHT_UNITS - extra * tenth) / others;
    let of = |part: &Part| if part.for_sampling { tenth } else { each };
    parts.iter().map(|part| weight * of(part)).collect()
}

/// Splits what the query may spend. Without a delta that is epsilon, which adds up, and each
/// measure has pure noise; otherwise it is rho.
fn shares(query: &Query, rho: Rho, weights: &[u32]) -> Result<Vec<Allowance>, Refusal> {
    let pure = query.delta == Delta::ZERO;
    let all = match pure {
        true => Rho::from_units(query.epsilon.units()),
        false => rho,
    };
    let shares = split(all, weights).map_err(|error| {
        privacy(
            &format!("weights: {error}"),
            "every measure needs noise",
            "give each a weight of at least 1",
        )
    })?;
    let share = |share: Rho| match pure {
        true => Allowance::Alone {
            epsilon: Epsilon::from_units(share.units()),
            delta: Delta::ZERO,
        },
        false => Allowance::Zcdp(share),
    };
    Ok(shares.into_iter().map(share).collect())
}

/// From how many people, by the noisy count, a discovered group is listed.
pub(crate) fn threshold(
    people: &Measure,
    query: &Query,
    agreement: &Agreement,
    most: Delta,
) -> Result<Threshold, Refusal> {
    let noise = people.noise().ok_or_else(|| {
        privacy(
            "the count of people",
            "it has no noise",
            "count people apart",
        )
    })?;
    // A group that one person alone brings has as many people as that one changes.
    let people = stability(query, agreement);
    let groups = query.per_person.groups.saturating_mul(people);
    let threshold = Threshold::smallest(noise, groups, people.into(), most);
    threshold.map_err(|error| {
        privacy(
            &error.to_string(),
            "a group that is listed tells that somebody is in it",
            "give the query a delta, or declare the values of its groups",
        )
    })
}

fn privacy(what: &str, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Privacy, what, why, instead)
}

/// Every name that the agreement speaks of is an aggregate's; a ratio's is of one measure.
pub(crate) fn check_names(
    made: &[Made],
    measures: &[Measure],
    query: &Query,
) -> Result<(), Refusal> {
    let known = |name: &&String| made.iter().any(|made| &made.name == *name);
    let per_person = query.per_person.measures.keys();
    let mut named = per_person.chain(query.weights.keys());
    let unknown = named.find(|name| !known(name)).map(|name| {
        refuse(
            format!("measure `{name}`"),
            "the agreement names it, and the SELECT has no aggregate of this name",
            "name an aggregate so with AS, or take it out of per_person, weights and ratios",
        )
    });
    let is_measure = |name: &&String| measures.iter().any(|measure| &measure.name == *name);
    let ratios = query.ratios.iter();
    let mut of_ratios = ratios.flat_map(|ratio| [&ratio.numerator, &ratio.denominator]);
    let no_measure = of_ratios.find(|name| !is_measure(name)).map(|name| {
        refuse(
            format!("measure `{name}`"),
            "a ratio of the agreement names it, and it is no count or sum of the SELECT",
            "name an aggregate so with AS, or write the quotient in the SELECT",
        )
    });
    unknown.or(no_measure).map_or(Ok(()), Err)
}

/// Every comparison is of an average, or of a ratio that its kind can compare: odds are of a
/// share of all people of a group.
pub(crate) fn check_compared(
    made: &[Made],
    measures: &[Measure],
    people: Option<usize>,
    query: &Query,
) -> Result<(), Refusal> {
    let counts = |name: &String| {
        measures
            .iter()
            .position(|m| &m.name == name && m.kind == Kind::People)
    };
    for compare in &query.compare {
        let name = compare.of.name();
        let of_people = || {
            let ratio = query.ratios.iter().find(|ratio| ratio.name == name);
            ratio.is_some_and(|ratio| {
                counts(&ratio.numerator).is_some()
                    && people.is_some()
                    && counts(&ratio.denominator) == people
            })
        };
        let average = |made: &Made| made.name == name && made.function == Function::Average;
        match (&compare.of, compare.kind) {
            (Compared::Average(_), _) if !made.iter().any(average) => {
                return Err(refuse(
                    format!("the average `{name}`"),
                    "the agreement compares it, and the SELECT has no AVG of this name",
                    "name an AVG so with AS",
                ));
            }
            (Compared::Ratio(_), CompareKind::OddsRatio) if !of_people() => {
                return Err(refuse(
                    format!("the odds ratio of `{name}`"),
                    "odds are of people who have something, among all people of the group",
                    "compare a ratio of COUNT(DISTINCT person) over the count of all people",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
