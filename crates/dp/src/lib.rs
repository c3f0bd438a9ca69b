//! Exact noise, sensitivities, accounting and intervals.
//!
//! | module | holds | floats |
//! |---|---|---|
//! | [`accounting`] | (epsilon, delta) to rho and back | yes, rounded to the safe side |
//! | [`stream`] | the keyed stream that noise is drawn from | no |
//! | [`sampler`] | Bernoulli(exp(-x)), discrete Laplace, discrete Gaussian | no |
//! | [`calibration`] | sensitivities, and the variance a share of rho asks for | no |
//! | [`noise`] | which noise to take, its tails, thresholds for groups that the data name | yes, rounded to the safe side; draws no |
//! | [`pld`] | what a fixed composition really costs | yes, rounded to the safe side |
//! | [`quantile`] | quantiles of bounded values, and how many ranks they may be off | no, but for the ranks |
//! | [`interval`] | what the noise means for a released number | yes: post-processing |
//! | [`effect`] | how groups differ, with sampling error apart | yes: post-processing |
//!
//! Everything in the noise path is integers and exact rationals: floating-point noise leaks
//! through its low bits (Mironov 2012), and floating-point sums have a larger sensitivity
//! than the textbook says.

pub mod accounting;
mod arithmetic;
pub mod calibration;
pub mod effect;
pub mod interval;
pub mod noise;
pub mod pld;
pub mod quantile;
pub mod sampler;
pub mod stream;

pub use accounting::{epsilon_of, for_thresholds, loss_of, odds_factor, rho_of};
pub use arithmetic::Ratio;
pub use calibration::{Calibration, Sensitivity, split};
pub use interval::{Interval, half_width_95};
pub use noise::{Allowance, Choice, Noise, Threshold, choose};
pub use pld::{Accountant, Mechanism, Pld};
pub use quantile::{Quantile, QuantilePlan, Quantiles};
pub use sampler::{discrete_gaussian, discrete_laplace};
pub use stream::{NoiseKey, NoiseStream};

/// Why an amount of privacy loss or of noise cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DpError {
    /// Thresholds take as much delta as there is.
    #[error("the thresholds' tails take all of delta: give the query a larger delta")]
    NoDeltaLeft,
    /// Too small to be counted in units of 10^-12.
    #[error("epsilon and delta are too small for any noise: give the query a larger epsilon")]
    TooSmall,
    /// A clamp whose lower end lies above its upper end.
    #[error("a clamp's lower end is above its upper end")]
    EmptyClamp,
    /// A share of nothing.
    #[error("a measure's share of rho is zero: give it a larger weight")]
    NoShare,
    /// A scale, variance or sensitivity that is negative, infinite or no number.
    #[error("noise has a positive scale, and a sensitivity is not negative")]
    BadScale,
    /// A probability outside its range.
    #[error("a probability lies between 0 and 1, and sampling is said once")]
    BadProbability,
    /// A domain of values too wide to be counted.
    #[error("the values' range is too wide: clamp them to fewer than 2^62 steps")]
    TooWide,
    /// So little noise that its epsilon is in the hundreds.
    #[error("the noise is too small to protect anybody: give it a larger scale")]
    TooLittleNoise,
}
