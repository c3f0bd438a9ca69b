//! What a composition really costs: an accountant by privacy loss distributions.
//!
//! # Use
//! For showing, and for compositions that are fixed beforehand. The hard stop adds up zCDP,
//! which holds for analysts who choose their next query by the last answer; what stands here
//! may report a smaller epsilon than that, and never permits less noise.
//!
//! # Definition
//! The privacy loss distribution of a pair (P, Q) is that of ln(P/Q) under P. A composition's
//! is the convolution of its parts', and `delta(epsilon) = E[(1 - e^(epsilon - loss))^+]`.
//! # Claim
//! The epsilon and delta reported are upper bounds for the composition of mechanisms with
//! the stated parameters. Every step errs to that side:
//!
//! | step | how |
//! |---|---|
//! | many kinds | Gaussians are added up exactly; of very many kinds each is rounded to one that dominates it (`gather`) |
//! | worst pair | noise around the sensitivity against noise around zero dominates every smaller sensitivity; with sampling, both directions are composed apart and the worse one is reported |
//! | grid | connecting the dots; masses rounded by what they can be off (`discrete`) |
//! | tails | what is beyond reach counts as lost without bound |
//! | composition | transforms with a bound on their rounding, added to every mass (`spectrum`) |
//! | report | rounded up to a unit |
//!
//! Parameters are floats: the exact variance of the noise is rational, and its nearest float is
//! off by one part in 10^16, which the margins of the steps above contain.
//! # Precondition that the caller checks
//! Without sampling, neighbours are whatever the sensitivity was derived for. With sampling,
//! they differ by a person added or taken away, and the sample is Poisson: shuffled batches
//! are not.
//! # References
//! Sommer, Meiser, Mohammadi 2019; Koskela, Jälkö, Honkela 2020 and Koskela, Jälkö, Prediger,
//! Honkela 2021 (composition by transforms); Gopi, Lee, Wutschitz 2021 (error bounds);
//! Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022 (connecting the dots); Zhu, Dong, Wang 2022
//! (dominating pairs, sampling in both directions); Lebeda, Regehr, Kamath, Steinke 2024 (why
//! both); Wilson and Keich 2016 (tilting).

mod accountant;
mod discrete;
mod fft;
mod gather;
mod mechanism;
mod plan;
mod spectrum;

pub use accountant::Accountant;
pub use mechanism::Mechanism;

use incamera_types::{Delta, Epsilon};
use num_bigint::BigUint;
use num_traits::ToPrimitive;

use crate::{DpError, Ratio};
use discrete::Side;
use gather::{Parts, add, count, gathered};
use plan::{Aim, Cumulants, Plan, Question};
use spectrum::Spectrum;

/// Added before an epsilon is rounded up to units: more than the roundings of its logarithm.
const EPSILON_MARGIN: f64 = 1e-9;

/// The privacy loss distribution of a composition.
///
/// It is kept as what is composed, so that composing is exact and its order cannot matter;
/// the work is done when a question is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pld {
    parts: Parts,
}

impl Pld {
    /// The loss of one mechanism.
    #[must_use]
    pub fn of(mechanism: &Mechanism) -> Self {
        Self {
            parts: Parts::from([(*mechanism, 1)]),
        }
    }

    /// Discrete Gaussian noise on whole numbers of which one person changes so many, the sum of
    /// the squares of all changes at most `l2_squared`, by whatever numbers.
    ///
    /// # Errors
    /// [`DpError::TooLittleNoise`] if there is so little that the numbers' being whole matters:
    /// then only the numbers one by one tell; [`DpError::BadScale`].
    pub fn of_vector(sigma2: &Ratio, l2_squared: &BigUint, changed: u64) -> Result<Self, DpError> {
        let sigma = sigma2.to_f64().sqrt();
        let l2 = l2_squared.to_f64().unwrap_or(f64::INFINITY).sqrt() * (1.0 + EPSILON_MARGIN);
        let ratio = Mechanism::gaussian(sigma, l2)?;
        let mut parts = Parts::from([(ratio, 1)]);
        add(&mut parts, Mechanism::whole_numbers(sigma, l2)?, changed);
        Ok(Self { parts })
    }

    /// The loss of both.
    #[must_use]
    pub fn compose(&self, other: &Self) -> Self {
        let mut parts = self.parts.clone();
        for (mechanism, &count) in &other.parts {
            add(&mut parts, *mechanism, count);
        }
        Self { parts }
    }

    /// The loss of the same thing `count` times.
    #[must_use]
    pub fn self_compose(&self, count: u64) -> Self {
        let mut parts = Parts::new();
        for (mechanism, &own) in &self.parts {
            add(&mut parts, *mechanism, own.saturating_mul(count));
        }
        Self { parts }
    }

    /// The smallest epsilon that is sure at `delta`, rounded up.
    ///
    /// # Errors
    /// [`DpError::NoDeltaLeft`] if delta is zero or what is lost without bound takes all of it;
    /// [`DpError::TooLittleNoise`] if epsilon is out of range.
    pub fn epsilon_at(&self, delta: Delta) -> Result<Epsilon, DpError> {
        some(delta)?;
        let mut worst = 0.0;
        for &side in sides(&self.parts) {
            worst = f64::max(worst, self.epsilon_on(side, delta.to_f64())?);
        }
        epsilon_up(worst)
    }

    fn epsilon_on(&self, side: Side, delta: f64) -> Result<f64, DpError> {
        let mut aim = Aim::FIRST;
        loop {
            let spectrum = self.spectrum(side, Question::Epsilon(delta), aim)?;
            let found = found(&spectrum, delta)?;
            match aim.again(spectrum.plan(), found) {
                Some(nearer) => aim = nearer,
                None => return Ok(found),
            }
        }
    }

    /// The smallest delta that is sure at `epsilon`, rounded up.
    #[must_use]
    pub fn delta_at(&self, epsilon: Epsilon) -> Delta {
        let epsilon = epsilon.to_f64();
        let question = Question::Delta(epsilon);
        let on = |side: &Side| {
            let spectrum = self.spectrum(*side, question, Aim::FIRST);
            spectrum.map_or(1.0, |spectrum| spectrum.window().delta(epsilon))
        };
        delta_up(sides(&self.parts).iter().map(on).fold(0.0, f64::max))
    }

    fn spectrum(&self, side: Side, question: Question, aim: Aim) -> Result<Spectrum, DpError> {
        let parts = gathered(&self.parts);
        let mut cumulants = Cumulants::none();
        cumulants.add_all(&parts, side);
        let plan = Plan::new(&cumulants, question, aim, count(&parts), 1.0)?;
        let mut spectrum = Spectrum::new(plan);
        spectrum.multiply_all(&parts, side);
        Ok(spectrum)
    }
}

/// The directions that have to be looked at.
fn sides(parts: &Parts) -> &'static [Side] {
    if parts.keys().any(Mechanism::is_sampled) {
        &[Side::Remove, Side::Add]
    } else {
        &[Side::Remove]
    }
}

/// Without any delta nothing is said: what is beyond reach is counted as lost.
fn some(delta: Delta) -> Result<(), DpError> {
    if delta == Delta::ZERO {
        Err(DpError::NoDeltaLeft)
    } else {
        Ok(())
    }
}

fn found(spectrum: &Spectrum, delta: f64) -> Result<f64, DpError> {
    spectrum.window().epsilon(delta).ok_or(DpError::NoDeltaLeft)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn epsilon_up(epsilon: f64) -> Result<Epsilon, DpError> {
    if epsilon <= 0.0 {
        return Ok(Epsilon::ZERO);
    }
    let units = ((epsilon + EPSILON_MARGIN) * Epsilon::UNITS_PER_ONE as f64).ceil();
    if units <= 1000.0 * Epsilon::UNITS_PER_ONE as f64 {
        Ok(Epsilon::from_units(units as u64))
    } else {
        Err(DpError::TooLittleNoise)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn delta_up(delta: f64) -> Delta {
    let units = (delta.min(1.0) * Delta::UNITS_PER_ONE as f64).ceil() as u64;
    Delta::from_units(units.min(Delta::UNITS_PER_ONE))
}

#[cfg(test)]
mod tests;
