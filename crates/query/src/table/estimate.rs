//! What is known of a number besides its noise: the error of having these people and not others.

use incamera_agreement::Ratio;
use incamera_dp::effect::{Estimate, Spread, both};
use incamera_dp::interval::{Interval, digits, shown};
use incamera_wire::v1 as wire;

use super::read::{Group, Reader};
use super::{Cell, TableError};
use crate::after::{Observed, Range, Term, cut, unscaled, variance};
use crate::measure::{Function, Kind, Made};

/// Said of a number whose sampling error could be told with more people or less noise.
const NOT_TOLD: &str = "sampling not told: too few people, or too much noise, for that";

impl Reader<'_> {
    /// A ratio in a group, as an estimate: a share of all its people, or another quotient.
    pub(super) fn ratio_estimate(
        &self,
        group: &wire::Group,
        wanted: &Ratio,
    ) -> Result<Option<Estimate>, TableError> {
        let (top, _) = self.noisy(group, &wanted.numerator)?;
        let (bottom, _) = self.noisy(group, &wanted.denominator)?;
        Ok(match self.is_share(wanted) {
            true => Estimate::share(top, bottom),
            false => Estimate::quotient(top, bottom),
        })
    }

    /// Whether a ratio is the share of a group's people that a count of people is among them.
    pub(super) fn is_share(&self, ratio: &Ratio) -> bool {
        let checked = self.checked;
        let mut measures = checked.measures.iter();
        let at = |name: &str| checked.measures.iter().position(|m| m.name == name);
        let counted = measures.any(|m| m.name == ratio.numerator && m.kind == Kind::People);
        counted && checked.people.is_some() && at(&ratio.denominator) == checked.people
    }

    /// An average in a group, as an estimate.
    pub(super) fn mean_estimate(
        &self,
        made: &Made,
        group: &Group<'_>,
    ) -> Result<Option<Estimate>, TableError> {
        let measure = |at: usize| {
            let measure = self.checked.measures.get(made.first + at);
            let name = &measure.ok_or(TableError)?.name;
            self.noisy(group.group, name).map(|(noisy, _)| noisy)
        };
        let centre = made.each.map_or(0, |each| each.centre);
        let spread = made.sampled.then(|| spread(made.first, &group.totals));
        Ok(Estimate::mean(
            measure(0)?,
            measure(1)?,
            unscaled(centre, made.scale),
            spread.flatten(),
        ))
    }

    /// The average that a column is, where its sampling error can be told.
    pub(super) fn sampled_average(&self, term: &Term) -> Option<&Made> {
        let Term::Aggregate(at) = term else {
            return None;
        };
        let made = self.checked.made.get(*at)?;
        (made.function == Function::Average && made.sampled).then_some(made)
    }

    /// A cell with the sampling error beside its noise, ranges cut to its bounds; as it is where
    /// none is asked for.
    pub(super) fn with_sampling(
        &self,
        cell: Cell,
        estimate: Option<Estimate>,
        factor: f64,
        bounds: Option<Interval>,
    ) -> Cell {
        let noise = cell.low.zip(cell.high);
        let (Some(value), Some((low, high))) = (cell.value, noise) else {
            return cell;
        };
        if !self.checked.query.sampling {
            return cell;
        }
        let Some(sampling) = estimate.and_then(|estimate| estimate.sampling()) else {
            let text = format!("{}; {NOT_TOLD}", cell.text);
            return Cell { text, ..cell };
        };
        let sampling = Interval {
            low: sampling.low * factor,
            high: sampling.high * factor,
        };
        let width = sampling.half_width();
        let within = |range| bounds.map_or(range, |bounds| cut(range, bounds));
        let sampling = within(sampling);
        let joint = within(both(value, Interval { low, high }, sampling));
        Cell {
            text: format!("{}; sampling +- {}", cell.text, shown(width, digits(width))),
            sampling: Some(sampling.into()),
            both: Some(joint.into()),
            ..cell
        }
    }
}

/// The variance of people's values, with its noise.
fn spread(at: usize, totals: &[Observed]) -> Option<Spread> {
    let found = variance([at, at + 1, at + 2], true, totals)?;
    match found.range(totals) {
        Range::Within(range) => Some(Spread {
            variance: found.value(),
            // The lower end may have been cut at zero.
            half_width: range.high - found.value(),
        }),
        _ => None,
    }
}
