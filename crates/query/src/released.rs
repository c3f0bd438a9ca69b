//! Noise, and what may leave the room.
//!
//! # Claim
//! Each measure of each group has its own draw, whatever groups exist, so a
//! value shown is the exact one plus noise of the declared variance, and a group withheld
//! differs from one shown only by post-processing of the noisy count of people.

use incamera_dp::{Noise as Distribution, NoiseKey, Threshold};
use incamera_wire::v1 as wire;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use crate::check::CheckedQuery;
use crate::fold::{Key, Total, Totals, declared_cells, declared_key};
use crate::measure::{Draw, Measure};
use crate::run::{Noise, RawAggregate};

/// How an answer names noise that is not Gaussian.
pub(crate) const LAPLACE: &str = "laplace";

/// An answer with its noise: the only thing of a query that can be sent (I6).
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    answer: wire::Answer,
}

impl Released {
    /// The answer as a message. Equal requests give equal bytes (I8).
    #[must_use]
    pub fn answer(&self) -> wire::Answer {
        self.answer.clone()
    }
}

/// Grants of another request than the exact answer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grants are of another request than the answer: nothing is released")]
pub struct OtherRequest;

/// Adds noise. The caller holds every owner's grant, from which alone the key comes.
pub(crate) fn release_with(
    raw: RawAggregate,
    noise: Noise<'_>,
    simulated: bool,
) -> Result<Released, OtherRequest> {
    if raw.request != noise.request {
        return Err(OtherRequest);
    }
    let release = Release {
        checked: &raw.checked,
        key: noise.key,
    };
    let checked = release.checked;
    let keys = checked.query.groups.iter();
    Ok(Released {
        answer: wire::Answer {
            query: checked.query.name.to_string(),
            keys: keys.map(|group| group.name.clone()).collect(),
            measures: checked.measures.iter().map(described).collect(),
            groups: release.groups(&raw.totals),
            simulated,
            threshold: checked.threshold.as_ref().map_or(0, Threshold::tau),
        },
    })
}

/// Adds noise to exact totals.
struct Release<'a> {
    checked: &'a CheckedQuery,
    key: &'a NoiseKey,
}

impl Release<'_> {
    /// The groups of the answer: the declared ones, in the agreement's order; where keys are
    /// discovered those that are listed, in order of their keys.
    fn groups(&self, totals: &Totals) -> Vec<wire::Group> {
        let groups = &self.checked.query.groups;
        if let Some(threshold) = &self.checked.threshold {
            let found = totals
                .iter()
                .map(|(key, total)| self.group(key, Some(total)));
            return found
                .filter(|group| self.listed(threshold, group))
                .collect();
        }
        let cells = 0..declared_cells(groups).unwrap_or(0);
        let keys = cells.map(|cell| declared_key(groups, cell));
        keys.map(|key| self.group(&key, totals.get(&key))).collect()
    }

    /// Whether a discovered group is listed. One that is withheld is not: that it exists would
    /// be an answer that no threshold guards.
    fn listed(&self, threshold: &Threshold, group: &wire::Group) -> bool {
        let people = self.checked.people.and_then(|at| group.values.get(at));
        people.is_some_and(|people| threshold.shows(&BigInt::from(*people)))
    }

    /// A group with its noise. Nobody in it is a total of zero.
    fn group(&self, key: &Key, total: Option<&Total>) -> wire::Group {
        let measures = self.checked.measures.iter().enumerate();
        let values = measures.map(|(at, measure)| noisy(measure, at, total, key, self.key));
        shown(self.checked, key.clone(), values.collect())
    }
}

/// What is released of a measure in a group.
fn noisy(
    measure: &Measure,
    at: usize,
    total: Option<&Total>,
    group: &[String],
    key: &NoiseKey,
) -> i64 {
    let value: BigInt = match &measure.draw {
        Draw::Added(noise) => {
            let exact = total.map_or(0, |total| total.of(at));
            noise.draw(&mut key.stream(&measure.name, group)) + exact
        }
        Draw::Quantile { plan, .. } => {
            let values = total.map_or(&[][..], |total| total.values(at));
            let stream = |label: &str| key.stream(&format!("{} {label}", measure.name), group);
            let found = plan.release(values.to_vec(), &stream);
            found.first().copied().unwrap_or_default().into()
        }
    };
    // Out of range: the nearest end, which is post-processing.
    let end = if value.sign() == num_bigint::Sign::Minus {
        i64::MIN
    } else {
        i64::MAX
    };
    value.to_i64().unwrap_or(end)
}

fn shown(checked: &CheckedQuery, key: Vec<String>, values: Vec<i64>) -> wire::Group {
    let people = checked.people.and_then(|at| values.get(at)).copied();
    let least = i64::try_from(checked.query.min_people).unwrap_or(i64::MAX);
    let withheld = people.is_some_and(|people| people < least);
    let values = if withheld { Vec::new() } else { values };
    wire::Group {
        key,
        withheld,
        values,
    }
}

fn described(measure: &Measure) -> wire::Measure {
    wire::Measure {
        name: measure.name.clone(),
        unit: measure.unit.clone().unwrap_or_default(),
        scale: measure.scale.into(),
        sigma: measure.sigma(),
        noise: match measure.noise() {
            Some(Distribution::Laplace { .. }) => LAPLACE.to_owned(),
            _ => String::new(),
        },
        half_width: match measure.noise() {
            Some(noise @ Distribution::Laplace { .. }) => noise.half_width_95(),
            _ => 0.0,
        },
        quantile: match &measure.draw {
            Draw::Quantile { per_mille, .. } => f64::from(*per_mille) / 1000.0,
            Draw::Added(_) => 0.0,
        },
        ranks: measure.ranks().unwrap_or(0.0),
        clamp_low: measure.text(measure.low),
        clamp_high: measure.text(measure.high),
    }
}
