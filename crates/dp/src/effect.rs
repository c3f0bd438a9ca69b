//! How groups differ, by released numbers: with the error of the noise, and apart from it the
//! error of having asked these people and not others like them.
//!
//! # Claim
//! Post-processing of released values and public variances. Each number here has two variances
//! that are independent of each other and are never added up unasked: that of its *noise*, and
//! that of *sampling*, as if each group's people had been drawn at random, one by one, from many
//! more like them. Ranges are normal, at 95 %.
//!
//! | number | variance of the noise | variance of sampling |
//! |---|---|---|
//! | share p = x/n | delta method: (σx² + p² σn²)/n² | binomial: p(1-p)/n |
//! | mean c + s/n, s a sum of distances from c | delta method: (σs² + (s/n)² σn²)/n² | v/n, v the people's variance |
//! | a - b | sum of both | sum of both |
//! | a/b - 1, on the scale of log a/b | sum of var/value² (delta method) | the same |
//! | odds ratio, on the scale of its logarithm | delta method | Woolf (1955): sum of 1/cell |
//! | odds ratio over strata, the same scale | delta method | Robins, Breslow and Greenland (1986), formula for log OR_MH |
//!
//! An odds ratio over one stratum by the second formula is the first: there is one function.
//!
//! The variances of sampling of two groups add up where nobody is in both. Whoever compares
//! groups that may have people in common takes [`Effect::without_sampling`].
//!
//! # Where there is none
//! A count that is not above zero beyond its noise has no logarithm worth a range: the answer is
//! that nothing can be computed. The normal range of a share needs [`LEAST_CELL`] people on
//! either side, that of a mean [`LEAST_PEOPLE`] and a variance that noise moves by no more than
//! half of it: with fewer no sampling error is told.

use crate::interval::{Interval, Noisy, Z};

/// People that have what is counted, and people that do not, from which on the normal range of
/// a share or of an odds ratio is told (Cochran's rule of five), by the low end of their noise.
pub const LEAST_CELL: f64 = 5.0;

/// People from which on the normal range of a mean is told, by the low end of their noise.
pub const LEAST_PEOPLE: f64 = 30.0;

/// A number below so many standard deviations of its noise has a logarithm whose range by the
/// delta method misses too often: at 2 of them one range in eight, of those that would be told.
const LOGARITHM: f64 = 5.0;

/// A denominator below so many standard deviations of its noise is too unsteady for the delta
/// method of a difference.
const STEADY: f64 = 10.0;

/// How much the values of people differ, as far as noise lets it be known.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Their variance.
    pub variance: f64,
    /// Half the width of the 95 % range of its noise.
    pub half_width: f64,
}

/// A share, a mean or another quotient in one group.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// The variance of its noise.
    noise: f64,
    /// Its variance under sampling, where that can be told.
    sampling: Option<f64>,
    /// Whether the noise of the denominator is small beside it.
    steady: bool,
}

impl Estimate {
    /// The share of `all` that is `yes`; both count people, the first among the second. Nothing
    /// where noise leaves it open.
    #[must_use]
    pub fn share(yes: Noisy, all: Noisy) -> Option<Self> {
        let quotient = Self::quotient(yes, all)?;
        let share = quotient.value;
        let no = Noisy {
            value: all.value - yes.value,
            sigma: (all.variance() + yes.variance()).sqrt(),
        };
        let enough = yes.low() >= LEAST_CELL && no.low() >= LEAST_CELL;
        Some(Self {
            sampling: enough.then_some(share * (1.0 - share) / all.value),
            ..quotient
        })
    }

    /// The mean of the values of `count` people, from the sum of their distances from `centre`.
    /// Nothing where noise leaves it open.
    #[must_use]
    pub fn mean(count: Noisy, sum: Noisy, centre: f64, spread: Option<Spread>) -> Option<Self> {
        let away = Self::quotient(sum, count)?;
        let known = |spread: &Spread| {
            count.low() >= LEAST_PEOPLE
                && spread.variance > 0.0
                && spread.half_width <= spread.variance / 2.0
        };
        let spread = spread.filter(known);
        Some(Self {
            value: centre + away.value,
            sampling: spread.map(|spread| spread.variance / count.value),
            ..away
        })
    }

    /// A quotient of which nothing is known but its noise. Nothing where noise leaves it open.
    #[must_use]
    pub fn quotient(top: Noisy, bottom: Noisy) -> Option<Self> {
        let value = top.value / bottom.value;
        let noise =
            (top.variance() + value * value * bottom.variance()) / (bottom.value * bottom.value);
        let known = bottom.low() > 0.0 && value.is_finite() && noise.is_finite();
        known.then_some(Self {
            value,
            noise,
            sampling: None,
            steady: bottom.value > STEADY * bottom.sigma,
        })
    }

    /// The 95 % range of sampling alone, where it can be told.
    #[must_use]
    pub fn sampling(&self) -> Option<Interval> {
        let reach = Z * self.sampling?.sqrt();
        Some(Interval {
            low: self.value - reach,
            high: self.value + reach,
        })
    }

    /// Whether the 95 % range of its noise reaches zero.
    #[must_use]
    pub fn reaches_zero(&self) -> bool {
        self.value.abs() <= Z * self.noise.sqrt()
    }

    /// Whether its logarithm has a range that holds.
    fn has_logarithm(&self) -> bool {
        self.value > LOGARITHM * self.noise.sqrt()
    }

    /// Both variances in units of the value: those of its logarithm.
    fn relative(&self) -> (f64, Option<f64>) {
        let square = self.value * self.value;
        (self.noise / square, self.sampling.map(|s| s / square))
    }
}

/// The range of two independent errors together, each with its own around `value`.
#[must_use]
pub fn both(value: f64, one: Interval, other: Interval) -> Interval {
    let joint = |a: f64, b: f64| (a * a + b * b).sqrt();
    Interval {
        low: value - joint(value - one.low, value - other.low),
        high: value + joint(one.high - value, other.high - value),
    }
}

/// A difference between groups with its ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The number.
    pub value: f64,
    /// What it would be if the groups did not differ: 1 of an odds ratio, 0 otherwise.
    pub none: f64,
    /// The range of the noise.
    pub noise: Interval,
    /// The range of sampling, where it can be told.
    pub sampling: Option<Interval>,
    /// The range of both, where it can be told.
    pub both: Option<Interval>,
}

/// What a range says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of the range is above what no difference would give.
    ClearlyAbove,
    /// All of the range is below it.
    ClearlyBelow,
    /// The range holds it.
    NoClearDifference,
}

impl Effect {
    /// From a number on a scale where its errors are normal, and the way back from there.
    fn of(
        scaled: f64,
        none: f64,
        (noise, sampling): (f64, Option<f64>),
        back: impl Fn(f64) -> f64,
    ) -> Option<Self> {
        let range = |variance: f64| {
            let reach = Z * variance.sqrt();
            let (low, high) = (back(scaled - reach), back(scaled + reach));
            (low.is_finite() && high.is_finite()).then_some(Interval { low, high })
        };
        let value = back(scaled);
        value.is_finite().then_some(())?;
        Some(Self {
            value,
            none,
            noise: range(noise)?,
            sampling: sampling.and_then(range),
            both: sampling.and_then(|sampling| range(noise + sampling)),
        })
    }

    /// The same where nothing is known of sampling: of groups that may have people in common,
    /// whose variances do not add up.
    #[must_use]
    pub fn without_sampling(self) -> Self {
        Self {
            sampling: None,
            both: None,
            ..self
        }
    }

    /// What a range of this effect says.
    #[must_use]
    pub fn verdict(&self, range: Interval) -> Verdict {
        if range.low > self.none {
            Verdict::ClearlyAbove
        } else if range.high < self.none {
            Verdict::ClearlyBelow
        } else {
            Verdict::NoClearDifference
        }
    }
}

/// By how much one estimate exceeds another, as a fraction of the other: 0.124 for 12.4 % more.
/// Nothing where one of them is not well above its noise: the delta method's range of the
/// logarithm misses too often there.
#[must_use]
pub fn lift(one: Estimate, other: Estimate) -> Option<Effect> {
    if !(one.has_logarithm() && other.has_logarithm()) {
        return None;
    }
    let ((noise, sampling), (other_noise, other_sampling)) = (one.relative(), other.relative());
    let sampling = sampling.zip(other_sampling).map(|(a, b)| a + b);
    let log = libm::log(one.value / other.value);
    Effect::of(log, 0.0, (noise + other_noise, sampling), |log| {
        libm::exp(log) - 1.0
    })
}

/// One estimate less another. Nothing where the noise of a denominator is more than a tenth of
/// it.
#[must_use]
pub fn difference(one: Estimate, other: Estimate) -> Option<Effect> {
    if !(one.steady && other.steady) {
        return None;
    }
    let sampling = one.sampling.zip(other.sampling).map(|(a, b)| a + b);
    let errors = (one.noise + other.noise, sampling);
    Effect::of(one.value - other.value, 0.0, errors, |same| same)
}

/// Two groups of people, and how many of each have something, as released.
#[derive(Clone, Copy, Debug)]
pub struct TwoByTwo {
    /// Of the first group, those that have it.
    pub yes: Noisy,
    /// The first group.
    pub all: Noisy,
    /// Of the second group, those that have it.
    pub other_yes: Noisy,
    /// The second group.
    pub other_all: Noisy,
}

impl TwoByTwo {
    /// First group with and without, second group with and without.
    fn cells(&self) -> [f64; 4] {
        let (a, c) = (self.yes.value, self.other_yes.value);
        [a, self.all.value - a, c, self.other_all.value - c]
    }

    /// The standard deviation of the noise of each cell.
    fn sigmas(&self) -> [f64; 4] {
        let without = |yes: Noisy, all: Noisy| (yes.variance() + all.variance()).sqrt();
        [
            self.yes.sigma,
            without(self.yes, self.all),
            self.other_yes.sigma,
            without(self.other_yes, self.other_all),
        ]
    }

    fn terms(&self) -> Terms {
        let [a, b, c, d] = self.cells();
        let t = a + b + c + d;
        let (r, s) = (a * d / t, b * c / t);
        let released = [self.yes, self.all, self.other_yes, self.other_all];
        // How R and S move with each released number.
        let of_r = [d / t, -r / t, -a / t, a / t - r / t];
        let of_s = [-c / t, c / t - s / t, b / t, -s / t];
        let moves = released.iter().zip(of_r).zip(of_s);
        Terms {
            r,
            s,
            p: (a + d) / t,
            q: (b + c) / t,
            moves: moves
                .map(|((noisy, r), s)| (noisy.variance(), r, s))
                .collect(),
        }
    }
}

/// A stratum's part in the odds ratio of Mantel and Haenszel.
struct Terms {
    r: f64,
    s: f64,
    p: f64,
    q: f64,
    /// Of each released number: the variance of its noise, and how R and S move with it.
    moves: Vec<(f64, f64, f64)>,
}

/// The odds ratio of Mantel and Haenszel (1959) over strata, sum of R over sum of S with
/// R = ad/t and S = bc/t; of one stratum, ad/bc.
///
/// With P = (a+d)/t and Q = (b+c)/t the variance of its logarithm under sampling is (Robins,
/// Breslow and Greenland 1986, Biometrics 42:311)
/// ΣPR/(2(ΣR)²) + Σ(PS+QR)/(2 ΣR ΣS) + ΣQS/(2(ΣS)²), of one stratum 1/a + 1/b + 1/c + 1/d.
///
/// Nothing where a cell of a stratum is zero or below by its noise, or where a cell added up over
/// the strata is not above zero beyond it: no odds can be computed from such counts.
#[must_use]
pub fn odds_ratio(strata: &[TwoByTwo]) -> Option<Effect> {
    let (mut sums, mut variances) = ([0.0; 4], [0.0; 4]);
    for stratum in strata {
        let cells = stratum.cells();
        if !cells.iter().all(|cell| *cell > 0.0) {
            return None;
        }
        for ((sum, variance), (cell, sigma)) in sums
            .iter_mut()
            .zip(&mut variances)
            .zip(cells.into_iter().zip(stratum.sigmas()))
        {
            *sum += cell;
            *variance += sigma * sigma;
        }
    }
    let lows = sums.iter().zip(variances);
    let low = lows
        .map(|(sum, variance)| sum - Z * variance.sqrt())
        .fold(f64::INFINITY, f64::min);
    if !low.is_finite() || low <= 0.0 {
        return None;
    }
    let terms: Vec<Terms> = strata.iter().map(TwoByTwo::terms).collect();
    let total = |of: fn(&Terms) -> f64| terms.iter().map(of).sum::<f64>();
    let (r, s) = (total(|it| it.r), total(|it| it.s));
    let of_logarithm = |(variance, of_r, of_s): &(f64, f64, f64)| {
        let slope = of_r / r - of_s / s;
        variance * slope * slope
    };
    let noise = terms.iter().flat_map(|it| &it.moves);
    let noise: f64 = noise.map(of_logarithm).sum();
    let sampling = total(|it| it.p * it.r) / (2.0 * r * r)
        + total(|it| it.p * it.s + it.q * it.r) / (2.0 * r * s)
        + total(|it| it.q * it.s) / (2.0 * s * s);
    let sampling = (low >= LEAST_CELL).then_some(sampling);
    Effect::of(libm::log(r / s), 1.0, (noise, sampling), libm::exp)
}

#[cfg(test)]
mod tests;
