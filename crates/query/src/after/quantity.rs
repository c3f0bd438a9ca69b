//! Numbers made from released values, with what is known of their noise.
//!
//! # Claim
//! Post-processing. A number is known exactly; or it is a quotient of sums of noisy totals (a
//! sum is a quotient by 1), of which the 95 % range follows from the totals' noise; or it has
//! ends that were carried along, through functions that keep order; or nothing is known of
//! its range. Arithmetic goes from one to the other so that no range is claimed that is not
//! one: where a result is none of the first three, it has no range.
//!
//! Only the basic operations and the square root are used, which are the same on every
//! machine: everybody who computes a table from an answer gets the same one.

use std::collections::BTreeMap;

use incamera_dp::interval::{Interval, Noisy, ratio_of};

/// A noisy total as it was released, in units of its measure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observed {
    pub(crate) value: f64,
    /// Half the width of its 95 % range.
    pub(crate) half_width: f64,
    pub(crate) unit: Option<String>,
    pub(crate) ranks: Option<Ranks>,
}

/// Of a quantile: where among all values, in order, it was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ranks {
    /// The share of values below.
    pub(crate) share: f64,
    /// Where it may lie by its noise, at 95 %, as shares of values below.
    pub(crate) range: Interval,
    /// Whether an end was asked for, which a range may reach.
    pub(crate) end: bool,
}

impl Ranks {
    /// Off by so many ranks among so many values at most.
    pub(crate) fn new(share: f64, off: f64, values: f64, end: bool) -> Self {
        // Without values nothing is known of where it lies.
        let off = if values > 0.0 { off / values } else { 1.0 };
        let range = Interval {
            low: (share - off).max(0.0),
            high: (share + off).min(1.0),
        };
        Self { share, range, end }
    }

    /// Whether so little is known that the number may mislead.
    pub(crate) fn wide(&self) -> bool {
        let Interval { low, high } = self.range;
        let reaches = !self.end && (low <= 0.0 || high >= 1.0);
        reaches || high - low > WIDE
    }
}

/// The widest range of ranks, as a share of values, that is shown without a warning.
pub(crate) const WIDE: f64 = 0.2;

/// A sum of noisy totals, each times a number, and a constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    constant: f64,
    of: BTreeMap<usize, f64>,
}

impl Sum {
    fn number(constant: f64) -> Self {
        Self {
            constant,
            of: BTreeMap::new(),
        }
    }

    /// The number that it is, if no total is in it.
    fn known(&self) -> Option<f64> {
        self.of.is_empty().then_some(self.constant)
    }

    fn times(&self, factor: f64) -> Self {
        let of = self.of.iter().map(|(at, weight)| (*at, weight * factor));
        Self {
            constant: self.constant * factor,
            of: of.filter(|(_, weight)| *weight != 0.0).collect(),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut of = self.of.clone();
        for (at, weight) in &other.of {
            *of.entry(*at).or_default() += weight;
        }
        of.retain(|_, weight| *weight != 0.0);
        Self {
            constant: self.constant + other.constant,
            of,
        }
    }

    fn value(&self, totals: &[Observed]) -> f64 {
        let value = |at: &usize| totals.get(*at).map_or(0.0, |total| total.value);
        let parts = self.of.iter().map(|(at, weight)| weight * value(at));
        self.constant + parts.sum::<f64>()
    }

    /// The covariance of the noise of two sums, with the standard deviation that a normal
    /// noise with the same 95 % range would have.
    fn covariance(&self, other: &Self, totals: &[Observed]) -> f64 {
        let sigma = |at: &usize| {
            totals
                .get(*at)
                .map_or(0.0, |total| total.half_width / NORMAL_95)
        };
        let parts = self.of.iter().map(|(at, weight)| {
            let others = other.of.get(at).copied().unwrap_or(0.0);
            weight * others * sigma(at) * sigma(at)
        });
        parts.sum()
    }

    fn noisy(&self, totals: &[Observed]) -> Noisy {
        Noisy {
            value: self.value(totals),
            sigma: self.covariance(self, totals).sqrt(),
        }
    }

    fn half_width(&self, totals: &[Observed]) -> f64 {
        // One total has the range of its own noise, which is exact where that is small.
        if let [(at, weight)] = self.of.iter().collect::<Vec<_>>().as_slice() {
            return totals.get(**at).map_or(0.0, |total| total.half_width) * weight.abs();
        }
        NORMAL_95 * self.covariance(self, totals).sqrt()
    }
}

/// The normal quantile of a two-sided 95 % range.
pub(crate) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// What is known of a number's range.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// A quotient of sums; a sum by 1 where there is no other denominator.
    Quotient(Sum, Sum),
    /// The ends of its 95 % range.
    Ends(Interval),
    /// The noise leaves it open.
    Open,
    /// A quantile, of which the rank has a range.
    Ranks(Ranks),
    /// Nothing.
    Nothing,
}

/// A number made from released values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantity {
    value: f64,
    unit: Option<String>,
    known: Known,
    /// Between which it lies whatever the noise says: it is shown so. What is computed with it
    /// goes by what was released.
    bounds: Option<Interval>,
}

/// The range of a number, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// The number is exact.
    Exact,
    /// At 95 %.
    Within(Interval),
    /// The noise leaves it open, and the number with it.
    Open,
    /// A quantile, of which the rank has a range.
    Ranks(Ranks),
    /// No range can be derived.
    Unknown,
}

impl Quantity {
    /// A number that is known exactly.
    pub(crate) fn exact(value: f64) -> Self {
        Self {
            value,
            unit: None,
            known: Known::Quotient(Sum::number(value), Sum::number(1.0)),
            bounds: None,
        }
    }

    /// A released total.
    pub(crate) fn total(at: usize, totals: &[Observed]) -> Self {
        let sum = Sum {
            constant: 0.0,
            of: [(at, 1.0)].into(),
        };
        if let Some(total) = totals.get(at)
            && let Some(ranks) = total.ranks
        {
            return Self {
                value: total.value,
                unit: total.unit.clone(),
                known: Known::Ranks(ranks),
                bounds: None,
            };
        }
        Self {
            value: sum.value(totals),
            unit: totals.get(at).and_then(|total| total.unit.clone()),
            known: Known::Quotient(sum, Sum::number(1.0)),
            bounds: None,
        }
    }

    /// A number with the ends of its range; without, noise leaves it open.
    pub(crate) fn between(value: f64, ends: Option<Interval>, unit: Option<String>) -> Self {
        let known = ends.map_or(Known::Open, Known::Ends);
        Self {
            value,
            unit,
            known,
            bounds: None,
        }
    }

    pub(crate) fn value(&self) -> f64 {
        match self.bounds {
            Some(Interval { low, high }) => self.value.max(low).min(high),
            None => self.value,
        }
    }

    /// The same, which lies within these bounds.
    pub(crate) fn bounded(self, bounds: Interval) -> Self {
        let bounds = Some(bounds);
        Self { bounds, ..self }
    }

    pub(crate) fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The same in this unit.
    pub(crate) fn in_unit(self, unit: Option<String>) -> Self {
        Self { unit, ..self }
    }

    /// The number, if it is known exactly.
    pub(crate) fn known(&self) -> Option<f64> {
        match &self.known {
            Known::Quotient(top, bottom) => Some(top.known()? / bottom.known()?),
            _ => None,
        }
    }

    /// The range at 95 %, cut to what the number's bounds are.
    pub(crate) fn range(&self, totals: &[Observed]) -> Range {
        match (self.by_noise(totals), self.bounds) {
            (Range::Within(range), Some(bounds)) => Range::Within(cut(range, bounds)),
            (range, _) => range,
        }
    }

    /// The range at 95 %, of the noise alone.
    fn by_noise(&self, totals: &[Observed]) -> Range {
        match &self.known {
            Known::Quotient(top, bottom) => match (top.known(), bottom.known()) {
                (Some(_), Some(_)) => Range::Exact,
                (None, Some(by)) => {
                    let width = top.half_width(totals) / by.abs();
                    Range::Within(Interval {
                        low: self.value - width,
                        high: self.value + width,
                    })
                }
                _ => {
                    let both = top.covariance(bottom, totals);
                    let range = ratio_of(top.noisy(totals), bottom.noisy(totals), both);
                    range.map_or(Range::Open, Range::Within)
                }
            },
            Known::Ends(ends) => Range::Within(*ends),
            Known::Open => Range::Open,
            Known::Ranks(ranks) => Range::Ranks(*ranks),
            Known::Nothing => Range::Unknown,
        }
    }

    /// A number, if it is one: nothing for what has no value, such as a quotient by zero.
    fn new(value: f64, unit: Option<String>, known: Known) -> Option<Self> {
        value.is_finite().then_some(Self {
            value,
            unit,
            known,
            bounds: None,
        })
    }

    /// `-self`.
    pub(crate) fn negative(&self) -> Option<Self> {
        self.times(&Self::exact(-1.0))
    }

    /// `self + other`.
    pub(crate) fn plus(&self, other: &Self) -> Option<Self> {
        let unit = match (&self.unit, &other.unit) {
            (Some(unit), other) if Some(unit) == other.as_ref() => Some(unit),
            (Some(unit), None) if other.known().is_some() => Some(unit),
            (None, Some(unit)) if self.known().is_some() => Some(unit),
            _ => None,
        };
        let value = self.value + other.value;
        Self::new(value, unit.cloned(), sum(self, other))
    }

    /// `self - other`.
    pub(crate) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(&other.negative()?)
    }

    /// `self * other`.
    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        let unit = match (&self.unit, &other.unit) {
            (Some(unit), None) | (None, Some(unit)) => Some(unit.clone()),
            _ => None,
        };
        Self::new(self.value * other.value, unit, product(self, other))
    }

    /// `self / other`, without cutting digits off; nothing for a division by zero.
    pub(crate) fn over(&self, other: &Self) -> Option<Self> {
        let unit = match &other.unit {
            None => self.unit.clone(),
            Some(_) => None,
        };
        Self::new(self.value / other.value, unit, quotient(self, other))
    }

    /// A function that keeps order, of the number and of the ends of its range.
    pub(crate) fn in_order(&self, totals: &[Observed], f: impl Fn(f64) -> f64) -> Option<Self> {
        let value = f(self.value());
        let known = match self.range(totals) {
            Range::Exact => return value.is_finite().then(|| Self::exact(value)),
            Range::Within(ends) => Known::Ends(Interval {
                low: f(ends.low),
                high: f(ends.high),
            }),
            Range::Open => Known::Open,
            Range::Ranks(ranks) => Known::Ranks(ranks),
            Range::Unknown => Known::Nothing,
        };
        Self::new(value, self.unit.clone(), known)
    }

    /// The same without its sign.
    pub(crate) fn absolute(&self, totals: &[Observed]) -> Option<Self> {
        let known = match self.range(totals) {
            Range::Exact => return Some(Self::exact(self.value.abs())),
            Range::Within(Interval { low, high }) => Known::Ends(Interval {
                low: low.max(-high).max(0.0),
                high: high.max(-low),
            }),
            Range::Open => Known::Open,
            Range::Ranks(..) | Range::Unknown => Known::Nothing,
        };
        Self::new(self.value().abs(), self.unit.clone(), known)
    }
}

/// A range within bounds. Of one that lies outside of them, as one in 20 may, its half width
/// stays beside the bound that it is next to.
pub(crate) fn cut(range: Interval, bounds: Interval) -> Interval {
    let Interval { low, high } = bounds;
    let width = range.half_width();
    Interval {
        low: range.low.min(high - width).max(low),
        high: range.high.max(low + width).min(high),
    }
}

fn sum(a: &Quantity, b: &Quantity) -> Known {
    match (&a.known, &b.known) {
        (Known::Quotient(top, bottom), Known::Quotient(other, by)) => {
            let whole = match (bottom.known(), by.known()) {
                _ if bottom == by => Some((top.plus(other), bottom.clone())),
                (Some(c), Some(d)) => Some((
                    top.times(1.0 / c).plus(&other.times(1.0 / d)),
                    Sum::number(1.0),
                )),
                (None, Some(d)) => other
                    .known()
                    .map(|n| (top.plus(&bottom.times(n / d)), bottom.clone())),
                (Some(c), None) => top
                    .known()
                    .map(|n| (other.plus(&by.times(n / c)), by.clone())),
                (None, None) => None,
            };
            whole.map_or(Known::Nothing, |(top, bottom)| Known::Quotient(top, bottom))
        }
        _ => moved(a, b, |end, by| end + by),
    }
}

fn product(a: &Quantity, b: &Quantity) -> Known {
    if let (Known::Quotient(top, bottom), Known::Quotient(other, by)) = (&a.known, &b.known) {
        let whole = if let (Some(n), Some(d)) = (other.known(), by.known()) {
            Some((top.times(n / d), bottom.clone()))
        } else if let (Some(n), Some(d)) = (top.known(), bottom.known()) {
            Some((other.times(n / d), by.clone()))
        } else if bottom == other {
            Some((top.clone(), by.clone()))
        } else if by == top {
            Some((other.clone(), bottom.clone()))
        } else {
            None
        };
        return whole.map_or(Known::Nothing, |(top, bottom)| Known::Quotient(top, bottom));
    }
    moved(a, b, |end, by| end * by)
}

fn quotient(a: &Quantity, b: &Quantity) -> Known {
    match &b.known {
        Known::Quotient(top, bottom) => {
            let inverse = Quantity {
                value: 1.0 / b.value,
                unit: None,
                known: Known::Quotient(bottom.clone(), top.clone()),
                bounds: None,
            };
            // Both denominators are one: it falls out.
            if let Known::Quotient(other, by) = &a.known
                && by == bottom
            {
                return Known::Quotient(other.clone(), top.clone());
            }
            product(a, &inverse)
        }
        _ => Known::Nothing,
    }
}

/// The ends of one number, moved by another that is exact.
fn moved(a: &Quantity, b: &Quantity, by: impl Fn(f64, f64) -> f64) -> Known {
    let (known, number) = match (b.known(), a.known()) {
        (Some(number), _) => (&a.known, number),
        (_, Some(number)) => (&b.known, number),
        _ => return Known::Nothing,
    };
    match known {
        Known::Ends(ends) => {
            let (one, other) = (by(ends.low, number), by(ends.high, number));
            Known::Ends(Interval {
                low: one.min(other),
                high: one.max(other),
            })
        }
        // Its rank may be counted from the other end now.
        Known::Ranks(..) => Known::Nothing,
        other => other.clone(),
    }
}

/// The variance of values, from how many there are, their sum and the sum of their squares,
/// all taken from a middle.
///
/// The range is the delta method's: with m = sum/count and q = squares/count the variance
/// q - m² moves with the count by (2m² - q)/count, with the sum by -2m/count and with the
/// squares by 1/count. That holds while the count's noise is small beside it: where it is more
/// than a tenth of the count, the range is open.
pub(crate) fn variance(
    [count, total, squares]: [usize; 3],
    sample: bool,
    totals: &[Observed],
) -> Option<Quantity> {
    let (n, s, q) = (totals.get(count)?, totals.get(total)?, totals.get(squares)?);
    let (mean, square) = (s.value / n.value, q.value / n.value);
    let factor = match sample {
        true => n.value / (n.value - 1.0),
        false => 1.0,
    };
    let value = (square - mean * mean) * factor;
    if !value.is_finite() || n.value <= 1.0 {
        return None;
    }
    let by = [
        (2.0 * mean * mean - square) / n.value * n.half_width,
        -2.0 * mean / n.value * s.half_width,
        q.half_width / n.value,
    ];
    let width = by.iter().map(|part| part * part).sum::<f64>().sqrt() * factor;
    let clear = n.value > 10.0 * n.half_width / NORMAL_95;
    let ends = clear.then(|| Interval {
        low: (value - width).max(0.0),
        high: (value + width).max(0.0),
    });
    Some(Quantity::between(value.max(0.0), ends, None))
}

#[cfg(test)]
mod tests;
