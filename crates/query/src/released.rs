//! Noise, and what may leave the room.
//!
//! # Claim
//! Each measure of each group has its own discrete Gaussian draw, whatever groups exist, so a
//! value shown is the exact one plus noise of the declared variance, and a group withheld
//! differs from one shown only by post-processing of the noisy count of people.

use incamera_dp::{NoiseKey, discrete_gaussian};
use incamera_wire::v1 as wire;
use num_bigint::BigInt;
use num_traits::ToPrimitive;

use crate::check::CheckedQuery;
use crate::fold::cells;
use crate::measure::Measure;
use crate::run::{Noise, RawAggregate};

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
    let (checked, key) = (&raw.checked, noise.key);
    let width = checked.measures.len().max(1);
    let exact = raw.totals.chunks(width);
    let groups = (0..cells(&checked.query.groups))
        .zip(exact)
        .map(|(cell, exact)| {
            let group = group_key(checked, cell);
            let noisy = |(measure, exact): (&Measure, &i128)| noisy(measure, *exact, &group, key);
            let values: Vec<i64> = checked.measures.iter().zip(exact).map(noisy).collect();
            shown(checked, group.clone(), values)
        });
    let keys = checked.query.groups.iter();
    Ok(Released {
        answer: wire::Answer {
            query: checked.query.name.to_string(),
            keys: keys.map(|group| group.name.clone()).collect(),
            measures: checked.measures.iter().map(described).collect(),
            groups: groups.collect(),
            simulated,
        },
    })
}

fn noisy(measure: &Measure, exact: i128, group: &[String], key: &NoiseKey) -> i64 {
    let mut stream = key.stream(&measure.name, group);
    let noise = discrete_gaussian(measure.calibration.sigma2(), &mut stream);
    let value: BigInt = noise + exact;
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

/// The key of a cell: one value a declared group, the last running fastest.
fn group_key(checked: &CheckedQuery, cell: usize) -> Vec<String> {
    let mut rest = cell;
    let mut key: Vec<String> = Vec::new();
    for group in checked.query.groups.iter().rev() {
        let count = group.values.len().max(1);
        key.push(group.values.get(rest % count).cloned().unwrap_or_default());
        rest /= count;
    }
    key.reverse();
    key
}

fn described(measure: &Measure) -> wire::Measure {
    wire::Measure {
        name: measure.name.clone(),
        unit: measure.unit.clone().unwrap_or_default(),
        scale: measure.scale.into(),
        sigma: measure.sigma(),
        clamp_low: measure.text(measure.low),
        clamp_high: measure.text(measure.high),
    }
}
