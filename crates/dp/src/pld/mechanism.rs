//! Mechanisms whose privacy loss is known exactly, and the masses of that loss.

use std::cmp::Ordering;

use num_bigint::BigUint;
use num_traits::ToPrimitive;

use super::fft::UNIT_ROUNDOFF;
use crate::{DpError, Ratio};

/// How many deviations of Gaussian noise are kept: beyond lies less than 2e-33.
const REACH: f64 = 12.0;
/// Mass that is counted as lost without bound for what is beyond all reaches.
pub(super) const BEYOND: f64 = 1e-30;
/// The largest sensitivity over deviation: beyond, epsilon is several hundred.
pub(super) const MAX_RATIO: f64 = 25.0;
/// The largest epsilon of Laplace noise and of pure mechanisms.
const MAX_PURE: f64 = 500.0;
/// Discrete Gaussian noise of more values than this is taken by intervals, not one by one.
const MAX_ATOMS: f64 = 1_048_576.0;

/// The most that whole numbers may be off from the normal masses.
const MOST_OFF: f64 = 1e-3;

/// One mechanism: noise of a scale on a sensitivity, perhaps on a Poisson sample.
///
/// The pair (A, B) is the noise around the sensitivity and around zero. It dominates every
/// smaller sensitivity, because the noises' logarithms are concave: the best test is "at least
/// t" for some t, and its power grows with the shift.
#[derive(Clone, Copy, Debug)]
pub struct Mechanism {
    pub(super) noise: Noise,
    /// The sampling probability.
    pub(super) sampled: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Noise {
    /// Sensitivity over sigma.
    Gaussian {
        ratio: f64,
    },
    /// Sensitivity over scale.
    Laplace {
        epsilon: f64,
    },
    DiscreteGaussian {
        sigma: f64,
        sensitivity: f64,
    },
    DiscreteLaplace {
        scale: f64,
        sensitivity: f64,
    },
    /// Whatever is epsilon-private: randomised response is the worst of these.
    Pure {
        epsilon: f64,
    },
    /// The logarithms of whose ratios lie in a range of this length: the exponential mechanism.
    Ranged {
        epsilon: f64,
    },
    /// Nothing but a probability of revealing all.
    Lost {
        probability: f64,
    },
    /// What another mechanism's masses may be off by: ln of P's and of Q's, and the mass of
    /// what is beyond reach.
    Off {
        by: f64,
        beyond: f64,
    },
}

/// What A and B give to an interval of loss, and how far both can be off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masses {
    pub a: f64,
    pub b: f64,
    pub a_error: f64,
    pub b_error: f64,
}

/// A value of the loss that has a mass of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    pub loss: f64,
    /// How far the loss can be off.
    pub error: f64,
    pub a: f64,
    pub b: f64,
}

fn positive(value: f64) -> Result<f64, DpError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(DpError::BadScale)
    }
}

fn sensitivity_of(value: f64) -> Result<f64, DpError> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(DpError::BadScale)
    }
}

fn at_most(value: f64, most: f64) -> Result<f64, DpError> {
    if value <= most {
        Ok(value)
    } else {
        Err(DpError::TooLittleNoise)
    }
}

impl Mechanism {
    pub(super) fn of(noise: Noise) -> Self {
        Self {
            noise,
            sampled: 1.0,
        }
    }

    /// Gaussian noise of deviation `sigma` on a vector of this L2 sensitivity.
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn gaussian(sigma: f64, sensitivity: f64) -> Result<Self, DpError> {
        let ratio = sensitivity_of(sensitivity)? / positive(sigma)?;
        let ratio = at_most(ratio, MAX_RATIO)?;
        Ok(Self::of(Noise::Gaussian { ratio }))
    }

    /// Laplace noise of this scale on one number of this sensitivity.
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn laplace(scale: f64, sensitivity: f64) -> Result<Self, DpError> {
        let epsilon = at_most(sensitivity_of(sensitivity)? / positive(scale)?, MAX_PURE)?;
        Ok(Self::of(Noise::Laplace { epsilon }))
    }

    /// Discrete Gaussian noise of this sigma² on one whole number of this sensitivity.
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn discrete_gaussian(sigma2: &Ratio, sensitivity: &BigUint) -> Result<Self, DpError> {
        let sensitivity = sensitivity_of(sensitivity.to_f64().unwrap_or(f64::INFINITY))?;
        let sigma = positive(sigma2.to_f64())?.sqrt();
        at_most(sensitivity / sigma, MAX_RATIO)?;
        Ok(Self::of(Noise::DiscreteGaussian { sigma, sensitivity }))
    }

    /// Discrete Laplace noise of this scale on one whole number of this sensitivity.
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn discrete_laplace(scale: &Ratio, sensitivity: &BigUint) -> Result<Self, DpError> {
        let sensitivity = sensitivity_of(sensitivity.to_f64().unwrap_or(f64::INFINITY))?;
        let scale = positive(scale.to_f64())?;
        at_most(sensitivity / scale, MAX_PURE)?;
        Ok(Self::of(Noise::DiscreteLaplace { scale, sensitivity }))
    }

    /// Anything that is epsilon-private: randomised response, an exponential mechanism, a
    /// vector with Laplace noise.
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn pure(epsilon: f64) -> Result<Self, DpError> {
        let epsilon = at_most(sensitivity_of(epsilon)?, MAX_PURE)?;
        Ok(Self::of(Noise::Pure { epsilon }))
    }

    /// An exponential mechanism, or anything else in which ln(P/Q) lies in a range of length
    /// epsilon, wherever that begins.
    ///
    /// The worst for a range up to t is randomised response with losses t and t - epsilon; over
    /// all t, delta at x is at most (sqrt(E) - sqrt(X))²/(E - 1), with E = e^epsilon and X = e^x
    /// (Dong, Durfee, Rogers 2020). That is convex in X, so some pair has just this delta
    /// everywhere, and dominates (Zhu, Dong, Wang 2022).
    ///
    /// # Errors
    /// [`DpError::BadScale`], [`DpError::TooLittleNoise`].
    pub fn exponential(epsilon: f64) -> Result<Self, DpError> {
        let epsilon = at_most(sensitivity_of(epsilon)?, MAX_PURE)?;
        Ok(Self::of(Noise::Ranged { epsilon }))
    }

    /// Something that reveals all with this probability and nothing otherwise, such as a
    /// threshold that only one person's key can pass.
    ///
    /// # Errors
    /// [`DpError::BadProbability`].
    pub fn lost(probability: f64) -> Result<Self, DpError> {
        if (0.0..=1.0).contains(&probability) {
            Ok(Self::of(Noise::Lost { probability }))
        } else {
            Err(DpError::BadProbability)
        }
    }

    /// The same on a sample that each person is in with this probability, independently and
    /// secretly. Neighbours then differ by a person added or taken away.
    ///
    /// # Errors
    /// [`DpError::BadProbability`] outside (0, 1], or if it is sampled already.
    pub fn sampled(self, probability: f64) -> Result<Self, DpError> {
        let fits = probability > 0.0 && probability <= 1.0 && self.sampled >= 1.0;
        match self.noise {
            _ if !fits => Err(DpError::BadProbability),
            Noise::Lost { probability: all } => Self::lost(all * probability),
            noise => Ok(Self {
                noise,
                sampled: probability,
            }),
        }
    }

    /// Whether A against B and B against A differ.
    pub(super) fn is_sampled(&self) -> bool {
        self.sampled < 1.0
    }

    /// What discrete Gaussian noise on one number is off by from the continuous one.
    pub(super) fn whole_numbers(sigma: f64, most: f64) -> Result<Self, DpError> {
        let by = midpoint_error(sigma, at_most(most / positive(sigma)?, MAX_RATIO)?);
        let by = at_most(by, MOST_OFF)?;
        Ok(Self::of(Noise::Off { by, beyond: BEYOND }))
    }

    /// Sensitivity over sigma, of a Gaussian without sampling; and of one of many whole
    /// numbers, how far its masses are off from the normal ones.
    pub(super) fn as_gaussian(&self) -> Option<(f64, f64)> {
        match self.noise {
            _ if self.is_sampled() => None,
            Noise::Gaussian { ratio } => Some((ratio, 0.0)),
            Noise::DiscreteGaussian { sigma, sensitivity } if !one_by_one(sigma, sensitivity) => {
                let ratio = sensitivity / sigma;
                Some((ratio, midpoint_error(sigma, ratio)))
            }
            _ => None,
        }
    }

    /// A mechanism that dominates this one, of so many for each factor of e in a parameter.
    pub(super) fn coarser(&self, fine: f64) -> Self {
        match self.noise {
            Noise::DiscreteGaussian { .. } => *self,
            _ => self.rough(fine),
        }
    }

    /// One with a little more loss, or of the discrete Gaussian nearly so.
    pub(super) fn rough(&self, fine: f64) -> Self {
        let up = |value: f64, most: f64| {
            let raised = libm::exp((libm::log(value) * fine).ceil() / fine);
            raised.max(value).min(most)
        };
        let down = |value: f64| {
            let lowered = libm::exp((libm::log(value) * fine).floor() / fine);
            lowered.min(value)
        };
        let noise = match self.noise {
            Noise::Gaussian { ratio } => Noise::Gaussian {
                ratio: up(ratio, MAX_RATIO),
            },
            Noise::Laplace { epsilon } => Noise::Laplace {
                epsilon: up(epsilon, MAX_PURE),
            },
            Noise::Pure { epsilon } => Noise::Pure {
                epsilon: up(epsilon, MAX_PURE),
            },
            Noise::DiscreteLaplace { scale, sensitivity } => Noise::DiscreteLaplace {
                scale: down(scale).max(sensitivity / MAX_PURE),
                sensitivity,
            },
            Noise::DiscreteGaussian { sigma, sensitivity } => Noise::DiscreteGaussian {
                sigma: down(sigma).max(sensitivity / MAX_RATIO),
                sensitivity,
            },
            Noise::Ranged { epsilon } => Noise::Ranged {
                epsilon: up(epsilon, MAX_PURE),
            },
            Noise::Lost { .. } | Noise::Off { .. } => self.noise,
        };
        let sampled = up(self.sampled, 1.0);
        Self { noise, sampled }
    }

    /// Which noise, and its numbers: none is negative, so that their bits are in order.
    fn key(&self) -> (u8, [u64; 3]) {
        let (kind, one, other) = match self.noise {
            Noise::Gaussian { ratio } => (0, ratio, 0.0),
            Noise::Laplace { epsilon } => (1, epsilon, 0.0),
            Noise::DiscreteGaussian { sigma, sensitivity } => (2, sigma, sensitivity),
            Noise::DiscreteLaplace { scale, sensitivity } => (3, scale, sensitivity),
            Noise::Pure { epsilon } => (4, epsilon, 0.0),
            Noise::Lost { probability } => (5, probability, 0.0),
            Noise::Off { by, beyond } => (6, by, beyond),
            Noise::Ranged { epsilon } => (7, epsilon, 0.0),
        };
        // Adding zero makes one of the two zeros.
        let bits = |value: f64| (value + 0.0).to_bits();
        (kind, [bits(one), bits(other), bits(self.sampled)])
    }

    /// The probability of revealing all: what is beyond reach, and what is lost.
    pub(super) fn infinity(&self) -> f64 {
        match self.noise {
            Noise::Lost { probability } => probability,
            Noise::Off { beyond, .. } => beyond,
            _ => BEYOND,
        }
    }
}

impl PartialEq for Mechanism {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Mechanism {}

/// An order without a meaning, in which equal mechanisms meet.
impl Ord for Mechanism {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Mechanism {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Noise {
    /// From the smallest to the largest loss.
    pub fn range(&self) -> (f64, f64) {
        match *self {
            Self::Gaussian { ratio } => gaussian_range(ratio),
            Self::DiscreteGaussian { sigma, sensitivity } => gaussian_range(sensitivity / sigma),
            Self::Laplace { epsilon } | Self::Pure { epsilon } | Self::Ranged { epsilon } => {
                (-epsilon, epsilon)
            }
            Self::DiscreteLaplace { scale, sensitivity } => {
                (-sensitivity / scale, sensitivity / scale)
            }
            Self::Lost { .. } => (0.0, 0.0),
            Self::Off { by, .. } => (0.0, 2.0 * by),
        }
    }

    /// Losses with a mass of their own; everything else is [`Self::between`].
    pub fn atoms(&self) -> Vec<Atom> {
        match *self {
            Self::Gaussian { ratio: 0.0 } | Self::Ranged { epsilon: 0.0 } => vec![nothing(1.0)],
            Self::Gaussian { .. } | Self::Ranged { .. } => Vec::new(),
            Self::Laplace { epsilon } => {
                let less = libm::exp(-epsilon) / 2.0;
                ends(epsilon, 0.5, less)
            }
            Self::Pure { epsilon } => {
                let less = 1.0 / (1.0 + libm::exp(epsilon));
                ends(epsilon, 1.0 - less, less)
            }
            Self::DiscreteLaplace {
                sensitivity: 0.0, ..
            } => vec![nothing(1.0)],
            Self::DiscreteLaplace { scale, sensitivity } => {
                let epsilon = sensitivity / scale;
                let more = 1.0 / (1.0 + libm::exp(-1.0 / scale));
                ends(epsilon, more, more * libm::exp(-epsilon))
            }
            Self::DiscreteGaussian {
                sensitivity: 0.0, ..
            } => vec![nothing(1.0)],
            Self::DiscreteGaussian { sigma, sensitivity } => {
                if one_by_one(sigma, sensitivity) {
                    gaussian_atoms(sigma, sensitivity)
                } else {
                    Vec::new()
                }
            }
            Self::Lost { probability } => vec![nothing(1.0 - probability)],
            Self::Off { by, .. } => vec![Atom {
                loss: 2.0 * by,
                error: 0.0,
                a: libm::exp(by),
                b: libm::exp(-by),
            }],
        }
    }

    /// Whether there is anything beside the atoms.
    pub fn has_intervals(&self) -> bool {
        match *self {
            Self::Gaussian { ratio } => ratio > 0.0,
            Self::Laplace { epsilon } | Self::Ranged { epsilon } => epsilon > 0.0,
            Self::DiscreteLaplace { sensitivity, .. } => sensitivity > 1.0,
            Self::DiscreteGaussian { sigma, sensitivity } => {
                sensitivity > 0.0 && !one_by_one(sigma, sensitivity)
            }
            Self::Pure { .. } | Self::Lost { .. } | Self::Off { .. } => false,
        }
    }

    /// Masses of losses above `low` and at most `high`, atoms left out.
    pub fn between(&self, low: f64, high: f64) -> Masses {
        match *self {
            Self::Gaussian { ratio } => {
                let place = |loss: f64| loss / ratio + ratio / 2.0;
                gaussian_between(place(low), place(high), ratio)
            }
            Self::Laplace { epsilon } => {
                laplace_between(low.max(-epsilon), high.min(epsilon), epsilon)
            }
            Self::Ranged { epsilon } => {
                ranged_between(low.max(-epsilon), high.min(epsilon), epsilon)
            }
            Self::DiscreteLaplace { scale, sensitivity } => {
                discrete_laplace_between(low, high, scale, sensitivity)
            }
            Self::DiscreteGaussian { sigma, sensitivity } => {
                discrete_gaussian_between(low, high, sigma, sensitivity)
            }
            Self::Pure { .. } | Self::Lost { .. } | Self::Off { .. } => Masses::default(),
        }
    }
}

fn nothing(mass: f64) -> Atom {
    Atom {
        loss: 0.0,
        error: 0.0,
        a: mass,
        b: mass,
    }
}

/// The two ends of a loss that is bounded by `epsilon`.
fn ends(epsilon: f64, more: f64, less: f64) -> Vec<Atom> {
    let error = 4.0 * UNIT_ROUNDOFF * epsilon;
    let end = |loss, a, b| Atom { loss, error, a, b };
    vec![end(-epsilon, less, more), end(epsilon, more, less)]
}

/// Loss `ratio * z - ratio²/2` for z from -REACH to ratio + REACH.
fn gaussian_range(ratio: f64) -> (f64, f64) {
    let most = ratio * REACH + ratio * ratio / 2.0;
    (-most, most)
}

/// The normal mass from `low` to `high`, and how far it can be off when the places can be by
/// 4u relative to `size`.
fn normal_between(low: f64, high: f64, size: f64) -> (f64, f64) {
    let above = |z: f64| libm::erfc(z * core::f64::consts::FRAC_1_SQRT_2) / 2.0;
    let (mass, largest) = if low >= 0.0 {
        (above(low) - above(high), above(low))
    } else if high <= 0.0 {
        (above(-high) - above(-low), above(-high))
    } else {
        (1.0 - above(-low) - above(high), 1.0)
    };
    let nearest = if low >= 0.0 { low } else { (-high).max(0.0) };
    let error = UNIT_ROUNDOFF * (16.0 + 8.0 * (nearest + 1.0) * (size + 1.0)) * largest;
    (mass.max(0.0), error)
}

fn gaussian_between(low: f64, high: f64, ratio: f64) -> Masses {
    let (low, high) = (low.max(-REACH), high.min(ratio + REACH));
    if low >= high {
        return Masses::default();
    }
    let size = low.abs().max(high.abs()) + ratio;
    let (a, a_error) = normal_between(low - ratio, high - ratio, size);
    let (b, b_error) = normal_between(low, high, size);
    Masses {
        a,
        b,
        a_error,
        b_error,
    }
}

/// Masses that are right but for a few roundings, of exponents up to `exponent` too.
fn relative(a: f64, b: f64, exponent: f64) -> Masses {
    let error = (64.0 + 8.0 * exponent) * UNIT_ROUNDOFF;
    Masses {
        a,
        b,
        a_error: a * error,
        b_error: b * error,
    }
}

fn laplace_between(low: f64, high: f64, epsilon: f64) -> Masses {
    // Half of the density at the middle, on both sides.
    exponential_between(low, high, epsilon, libm::exp(-epsilon / 2.0) / 2.0)
}

/// P(loss > x) = (E - sqrt(E X))/(E - 1) and Q(loss > x) = (sqrt(E/X) - 1)/(E - 1).
fn ranged_between(low: f64, high: f64, epsilon: f64) -> Masses {
    let size = libm::exp(epsilon / 2.0) / libm::expm1(epsilon);
    exponential_between(low, high, epsilon, size)
}

/// `size` (e^(high/2) - e^(low/2)), and the same of -high and -low for B.
fn exponential_between(low: f64, high: f64, epsilon: f64, size: f64) -> Masses {
    if low >= high {
        return Masses::default();
    }
    let half = libm::expm1((high - low) / 2.0) * size;
    let a = libm::exp(low / 2.0) * half;
    let b = libm::exp(-high / 2.0) * half;
    let mut masses = relative(a, b, epsilon);
    // The ends of a narrow interval are off by their own rounding.
    let narrow = 4.0 * UNIT_ROUNDOFF * epsilon.max(1.0) / (high - low);
    masses.a_error += a * narrow;
    masses.b_error += b * narrow;
    masses
}

/// Whole numbers x with `low < (2x - D)/scale <= high` and 0 < x < D.
fn discrete_laplace_between(low: f64, high: f64, scale: f64, sensitivity: f64) -> Masses {
    let place = |loss: f64| ((loss * scale + sensitivity) / 2.0).floor();
    let first = (place(low) + 1.0).max(1.0);
    let last = place(high).min(sensitivity - 1.0);
    if first > last {
        return Masses::default();
    }
    // c e^(-first/b) (1 - e^(-n/b)) / (1 - e^(-1/b)), with c = (1 - e^(-1/b)) / (1 + e^(-1/b)).
    let count = last - first + 1.0;
    let sum = -libm::expm1(-count / scale) / (1.0 + libm::exp(-1.0 / scale));
    let a = libm::exp(-(sensitivity - last) / scale) * sum;
    let b = libm::exp(-first / scale) * sum;
    relative(a, b, sensitivity / scale)
}

fn one_by_one(sigma: f64, sensitivity: f64) -> bool {
    2.0 * REACH * sigma + sensitivity <= MAX_ATOMS
}

fn gaussian_atoms(sigma: f64, sensitivity: f64) -> Vec<Atom> {
    let mass = |x: f64| libm::exp(-(x / sigma) * (x / sigma) / 2.0);
    let reach = (REACH * sigma).ceil() + 1.0;
    let steps = |from: f64, to: f64| {
        std::iter::successors(Some(from), |x| Some(x + 1.0)).take_while(move |&x| x <= to)
    };
    // Small numbers first.
    let tails: f64 = steps(-reach, -1.0).map(mass).sum();
    // No more than the sum, whose terms are each rounded once.
    let total = (1.0 + 2.0 * tails) * (1.0 - 2.0 * UNIT_ROUNDOFF * reach);
    let atom = |x: f64| {
        let size = sensitivity * (2.0 * x.abs() + sensitivity) / (2.0 * sigma * sigma);
        Atom {
            loss: sensitivity * (2.0 * x - sensitivity) / (2.0 * sigma * sigma),
            error: 8.0 * UNIT_ROUNDOFF * size,
            a: mass(x - sensitivity) / total,
            b: mass(x) / total,
        }
    };
    steps(-reach, sensitivity + reach).map(atom).collect()
}

/// How far the normal mass around a whole number can be off from that number's, relatively.
///
/// At x = z sigma, with z at most REACH + ratio, the midpoint rule is off by at most
/// (z² + 1)/(24 sigma²) relatively, and the sum of all masses by exp(-2 pi² sigma²).
fn midpoint_error(sigma: f64, ratio: f64) -> f64 {
    ((REACH + ratio) * (REACH + ratio) + 2.0) / (20.0 * sigma * sigma)
}

/// The whole numbers of an interval as the normal mass between their midpoints.
fn discrete_gaussian_between(low: f64, high: f64, sigma: f64, sensitivity: f64) -> Masses {
    let ratio = sensitivity / sigma;
    let place = |loss: f64| (loss * sigma / ratio + sensitivity / 2.0).floor();
    let edge = |loss: f64| (place(loss) + 0.5) / sigma;
    let mut masses = gaussian_between(edge(low), edge(high), ratio);
    let off = midpoint_error(sigma, ratio);
    masses.a_error += masses.a * off;
    masses.b_error += masses.b * off;
    masses
}
