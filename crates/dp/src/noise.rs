//! Noise of either kind on whole numbers, and which of the two to take.
//!
//! # Claim
//! [`choose`] gives noise whose loss is within the allowance, for numbers of this sensitivity,
//! an independent draw each. It decides from public parameters only, the same on every machine.
//!
//! | noise | condition | loss |
//! |---|---|---|
//! | discrete Gaussian | sigma² = L2² / (2 rho) | rho-zCDP |
//! | discrete Laplace, number by number | scale² = L2² / (2 rho) | rho-zCDP |
//! | discrete Laplace, all at once | scale = L1 / epsilon | epsilon, and so epsilon²/2-zCDP |
//!
//! The second: a number that changes by d costs d/scale of pure epsilon, so half its square of
//! zCDP (Bun and Steinke 2016, proposition 1.4), and the squares of all changes sum to L2².
//! It is never more noise than the third at the same zCDP, because L2 <= L1.
//! # What is better
//! The width of the range that holds 95 % of the noise; where both are the same, the smaller
//! variance. Within zCDP that is the Gaussian unless both round to nothing: 1.96 against 3.00 of
//! the same scale. Laplace wins where one number has all of a pure epsilon to itself: Gaussian
//! noise has to pay for delta. That choice is dear afterwards: the hard stop adds up zCDP, and
//! half the square of epsilon is some thirty times the rho of epsilon at a delta of 10^-8.
//! [`Choice::cost`] says which it is.
//! # Rounding
//! Scales are rounded up, costs too.

use incamera_types::{Delta, Epsilon, Rho};
use num_bigint::{BigInt, BigUint};
use num_traits::{One, ToPrimitive, Zero};

use crate::{
    Calibration, DpError, Mechanism, NoiseStream, Pld, Ratio, Sensitivity, discrete_gaussian,
    discrete_laplace, half_width_95, rho_of,
};

/// Bits after the point in a scale that is a square root.
const ROOT_BITS: u32 = 64;
/// Up to this deviation, a tail of the discrete Gaussian is summed value by value.
const SUMMED_DEVIATION: f64 = 20_000.0;
/// More than the roundings of a tail.
const MARGIN: f64 = 1e-9;

/// Exact noise on whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noise {
    /// Mass proportional to exp(-x²/(2 sigma²)).
    Gaussian {
        /// sigma².
        sigma2: Ratio,
    },
    /// Mass proportional to exp(-abs(x)/scale).
    Laplace {
        /// The scale.
        scale: Ratio,
    },
}

impl Noise {
    /// A draw.
    #[must_use]
    pub fn draw(&self, stream: &mut NoiseStream) -> BigInt {
        match self {
            Self::Gaussian { sigma2 } => discrete_gaussian(sigma2, stream),
            Self::Laplace { scale } => discrete_laplace(scale, stream),
        }
    }

    /// The standard deviation, nearly: for showing.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        match self {
            Self::Gaussian { sigma2 } => sigma2.to_f64().sqrt(),
            Self::Laplace { scale } => {
                // 2 a / (1 - a)², with a = exp(-1/scale).
                let inverse = 1.0 / scale.to_f64();
                let a = libm::exp(-inverse);
                (2.0 * a).sqrt() / -libm::expm1(-inverse)
            }
        }
    }

    /// Half the width of a 95 % range: the smallest whole w with P(|noise| <= w) >= 0.95.
    #[must_use]
    pub fn half_width_95(&self) -> f64 {
        match self {
            Self::Gaussian { .. } => half_width_95(self.deviation()),
            Self::Laplace { scale } => {
                // P(|noise| > w) = 2 exp(-(w+1)/scale) / (1 + exp(-1/scale)).
                let scale = scale.to_f64();
                if scale <= 0.0 {
                    return 0.0;
                }
                let beyond = 40.0 / (1.0 + libm::exp(-1.0 / scale));
                ((scale * libm::log(beyond)).ceil() - 1.0).max(0.0)
            }
        }
    }

    /// P(noise >= `at`), rounded up.
    #[must_use]
    pub fn tail(&self, at: u64) -> f64 {
        let k = at as f64;
        let tail = match self {
            Self::Laplace { scale } => laplace_tail(k, scale.to_f64()),
            Self::Gaussian { sigma2 } => gaussian_tail(k, sigma2.to_f64().sqrt()),
        };
        (tail * (1.0 + MARGIN)).min(1.0)
    }

    /// The loss of one number with this noise, for the accountant.
    ///
    /// # Errors
    /// [`DpError::TooLittleNoise`], [`DpError::BadScale`].
    pub fn mechanism(&self, sensitivity: &BigUint) -> Result<Mechanism, DpError> {
        match self {
            Self::Gaussian { sigma2 } => Mechanism::discrete_gaussian(sigma2, sensitivity),
            Self::Laplace { scale } => Mechanism::discrete_laplace(scale, sensitivity),
        }
    }
}

impl Noise {
    /// The loss of numbers with this noise, of which one person changes at most `changed`.
    ///
    /// If all of those can change by the most that one can, that dominates every other change;
    /// otherwise the sum of squares counts, which tells for Gaussian noise alone.
    ///
    /// # Errors
    /// [`DpError::TooLittleNoise`], [`DpError::BadScale`].
    pub fn loss(&self, sensitivity: &Sensitivity, changed: u64) -> Result<Pld, DpError> {
        let most = sensitivity.linf();
        let all_most = most * most * changed <= *sensitivity.l2_squared();
        match self {
            Self::Gaussian { sigma2 } if !all_most => {
                Pld::of_vector(sigma2, sensitivity.l2_squared(), changed)
            }
            _ => Ok(Pld::of(&self.mechanism(most)?).self_compose(changed)),
        }
    }
}

fn laplace_tail(k: f64, scale: f64) -> f64 {
    if scale <= 0.0 {
        return f64::from(u8::from(k <= 0.0));
    }
    libm::exp(-k / scale) / (1.0 + libm::exp(-1.0 / scale))
}

fn gaussian_tail(k: f64, sigma: f64) -> f64 {
    if sigma <= 0.0 {
        return f64::from(u8::from(k <= 0.0));
    }
    let mass = |x: f64| libm::exp(-(x / sigma) * (x / sigma) / 2.0);
    // All masses sum to sigma sqrt(2 pi) or a little more; for a small sigma, to what they are.
    let near = (1..=60u8)
        .rev()
        .map(|x| 2.0 * mass(f64::from(x)))
        .sum::<f64>()
        + 1.0;
    let total = near.max(sigma * core::f64::consts::TAU.sqrt());
    if sigma > SUMMED_DEVIATION {
        // The masses fall from k on: the first, and then no more than the integral.
        let above = libm::erfc(k / sigma * core::f64::consts::FRAC_1_SQRT_2) / 2.0;
        return mass(k) / total + above;
    }
    let terms = std::iter::successors(Some(k), |x| Some(x + 1.0)).map(mass);
    // What is left after a term smaller than this is a fraction of the margin.
    let least = mass(k) * 1e-13 / (sigma + 1.0);
    terms.take_while(|&m| m > least).sum::<f64>() / total
}

/// What may be spent on a set of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// An amount of zCDP: what the hard stop adds up.
    Zcdp(Rho),
    /// All of a pure or approximate budget, for this set of numbers alone.
    Alone {
        /// Epsilon.
        epsilon: Epsilon,
        /// What is left of delta; zero leaves Laplace noise alone.
        delta: Delta,
    },
}

/// Noise, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The noise.
    pub noise: Noise,
    /// What the hard stop adds up for it.
    pub cost: Rho,
}

/// The noise with the smaller error, for numbers of this sensitivity.
///
/// # Errors
/// [`DpError::NoShare`] for an allowance of nothing; [`DpError::TooSmall`] for one that
/// rounds to nothing.
pub fn choose(sensitivity: &Sensitivity, allowance: Allowance) -> Result<Choice, DpError> {
    let choices = match allowance {
        Allowance::Zcdp(rho) => vec![gaussian(sensitivity, rho)?, by_number(sensitivity, rho)?],
        Allowance::Alone { epsilon, delta } => alone(sensitivity, epsilon, delta)?,
    };
    let worse = |a: &Choice, b: &Choice| {
        let width = |c: &Choice| c.noise.half_width_95();
        let deviation = |c: &Choice| c.noise.deviation();
        let widths = width(a).total_cmp(&width(b));
        widths.then_with(|| deviation(a).total_cmp(&deviation(b)))
    };
    choices.into_iter().min_by(worse).ok_or(DpError::NoShare)
}

fn gaussian(sensitivity: &Sensitivity, rho: Rho) -> Result<Choice, DpError> {
    let sigma2 = Calibration::gaussian(sensitivity, rho)?.sigma2().clone();
    let noise = Noise::Gaussian { sigma2 };
    Ok(Choice { noise, cost: rho })
}

/// Laplace noise whose zCDP is counted number by number.
fn by_number(sensitivity: &Sensitivity, rho: Rho) -> Result<Choice, DpError> {
    let square = Calibration::gaussian(sensitivity, rho)?;
    let scale = root_up(square.sigma2()).ok_or(DpError::NoShare)?;
    let noise = Noise::Laplace { scale };
    Ok(Choice { noise, cost: rho })
}

fn alone(
    sensitivity: &Sensitivity,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<Vec<Choice>, DpError> {
    let numerator = sensitivity.l1() * Epsilon::UNITS_PER_ONE;
    let scale = Ratio::new(numerator, epsilon.units().into()).ok_or(DpError::NoShare)?;
    let noise = Noise::Laplace { scale };
    let cost = pure_cost(epsilon);
    let mut choices = vec![Choice { noise, cost }];
    if delta > Delta::ZERO {
        choices.push(gaussian(sensitivity, rho_of(epsilon, delta, Delta::ZERO)?)?);
    }
    Ok(choices)
}

/// epsilon²/2, rounded up: (10^-6)² is 10^-12, the unit of rho.
fn pure_cost(epsilon: Epsilon) -> Rho {
    let square = u128::from(epsilon.units()) * u128::from(epsilon.units());
    Rho::from_units(u64::try_from(square.div_ceil(2)).unwrap_or(u64::MAX))
}

/// A square root, rounded up in the last of [`ROOT_BITS`] bits or more.
fn root_up(square: &Ratio) -> Option<Ratio> {
    // Enough bits before the root that the quotient itself has some.
    let short = square
        .denominator()
        .bits()
        .saturating_sub(square.numerator().bits());
    let bits = ROOT_BITS + u32::try_from(short).ok()?;
    let scaled = square.numerator() << (2 * bits);
    let whole = (scaled + square.denominator() - 1u8) / square.denominator();
    let root = whole.sqrt();
    let root = if &root * &root == whole || whole.is_zero() {
        root
    } else {
        root + 1u8
    };
    Ratio::new(root, BigUint::one() << bits)
}

/// Shows a noisy number only if it is at least `tau`: for groups that the data name.
///
/// # Neighbours
/// A key that stands in one data set and not in its neighbour is there through one person
/// alone, who is in at most `l0` groups and adds at most `linf` to each number. Which keys are
/// shown tells the two apart only if such a key is shown. So beyond the noise's own loss,
/// `delta = 1 - (1 - P(linf + noise >= tau))^l0`. A person who moves brings new keys to the
/// one data set and old ones to the other; each direction has its own `l0`, not twice that.
/// Where one person's coming or going changes what up to s people bring, each with `l0` groups
/// and `linf`, a key can be there through all of them: up to s `l0` keys, and up to s `linf` in
/// each. The caller gives these instead; that both cannot be at once is on the safe side.
/// # Precondition that the caller checks
/// *Shown* is [`Threshold::shows`] and nothing else; the numbers are counts that are zero for
/// an absent key, and keys that are not there are not drawn for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    tau: u64,
    delta: Delta,
}

impl Threshold {
    /// The smallest threshold that keeps to `most`.
    ///
    /// # Errors
    /// [`DpError::NoDeltaLeft`] if `most` is zero; [`DpError::TooSmall`] if no number is large
    /// enough.
    pub fn smallest(noise: &Noise, l0: u32, linf: u64, most: Delta) -> Result<Self, DpError> {
        if most == Delta::ZERO {
            return Err(DpError::NoDeltaLeft);
        }
        let of = |above: u64| shown_alone(noise, l0, above);
        let mut high = 1u64;
        while of(high) > most {
            high = high
                .checked_mul(2)
                .filter(|h| *h < 1 << 52)
                .ok_or(DpError::TooSmall)?;
        }
        let mut low = 0;
        // `high` keeps to it, and nothing below `low` does.
        while low < high {
            let middle = low.midpoint(high);
            if of(middle) > most {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Self {
            tau: linf.checked_add(high).ok_or(DpError::TooSmall)?,
            delta: of(high),
        })
    }

    /// The smallest number that is shown.
    #[must_use]
    pub fn tau(&self) -> u64 {
        self.tau
    }

    /// What the threshold takes of delta, rounded up.
    #[must_use]
    pub fn delta(&self) -> Delta {
        self.delta
    }

    /// Whether a noisy number is shown.
    #[must_use]
    pub fn shows(&self, noisy: &BigInt) -> bool {
        noisy >= &BigInt::from(self.tau)
    }
}

/// The probability that one of `l0` keys passes by noise of at least `above`, rounded up.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn shown_alone(noise: &Noise, l0: u32, above: u64) -> Delta {
    let none = f64::from(l0) * libm::log1p(-noise.tail(above));
    let any = -libm::expm1(none) * (1.0 + MARGIN);
    let units = (any * Delta::UNITS_PER_ONE.to_f64().unwrap_or(f64::MAX)).ceil();
    Delta::from_units((units as u64).min(Delta::UNITS_PER_ONE))
}

#[cfg(test)]
mod tests;
