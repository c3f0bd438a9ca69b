//! Fewer mechanisms that cost no less, so that a composition of many kinds is quick.
//!
//! # Claim
//! What is given back dominates what was given:
//!
//! * Gaussians without sampling are one Gaussian whose ratio is the root of the sum of squares:
//!   the likelihood ratio depends on one sum of the outputs alone (Dong, Roth, Su 2022).
//! * A discrete Gaussian of very many values is a Gaussian whose output is rounded, but for its
//!   masses being off by e^c at most where c is tiny, and for what is beyond all reach. So its
//!   delta at epsilon is at most e^c times the Gaussian's at epsilon - 2c.
//! * Of more than [`MANY`] kinds, each has its parameters rounded to one of [`FINE`] for each
//!   factor of e, to the side of more loss. A larger sensitivity or a smaller scale dominates
//!   (Laplace noise, discrete or not, is that of a smaller scale and something independent of
//!   it: the quotient of their characteristic functions is a mixture of 1 and another one's),
//!   and so does a larger sample, by convexity. For the discrete Gaussian that is not shown:
//!   one of few values stays as it is.

use std::collections::BTreeMap;

use super::fft::UNIT_ROUNDOFF;
use super::mechanism::{BEYOND, MAX_RATIO, Mechanism, Noise};

/// Mechanisms, and how often each is run.
pub(super) type Parts = BTreeMap<Mechanism, u64>;

/// So many kinds are each looked at as they are.
const MANY: usize = 1500;
/// Values of a parameter for each factor of e: epsilon grows by a few thousandths at most.
const FINE: f64 = 600.0;
/// For a plan, which decides nothing but how tight a result is.
const ROUGH_MANY: usize = 64;
const ROUGH: f64 = 40.0;

/// A bound on what masses can be off by: beyond, epsilon is out of range anyway.
const NO_FACTOR: f64 = 500.0;

/// What a composition is computed from.
pub(super) fn gathered(parts: &Parts) -> Parts {
    let merged = merged(parts);
    if merged.len() <= MANY {
        return merged;
    }
    with(&merged, |mechanism| mechanism.coarser(FINE))
}

/// What a composition's plan is made from.
pub(super) fn roughly(parts: &Parts) -> Parts {
    if parts.len() <= ROUGH_MANY {
        return parts.clone();
    }
    with(parts, |mechanism| mechanism.rough(ROUGH))
}

/// Adds a mechanism to others.
pub(super) fn add(parts: &mut Parts, mechanism: Mechanism, count: u64) {
    if count > 0 {
        let times = parts.entry(mechanism).or_default();
        *times = times.saturating_add(count);
    }
}

/// How many runs those are.
pub(super) fn count(parts: &Parts) -> f64 {
    let runs: f64 = parts.values().map(|count| *count as f64).sum();
    runs.max(1.0)
}

fn with(parts: &Parts, change: impl Fn(&Mechanism) -> Mechanism) -> Parts {
    let mut changed = Parts::new();
    for (mechanism, &count) in parts {
        add(&mut changed, change(mechanism), count);
    }
    changed
}

fn merged(parts: &Parts) -> Parts {
    let mut others = Parts::new();
    let (mut squares, mut by, mut beyond, mut terms) = (0.0, 0.0, 0.0, 0.0);
    for (mechanism, &count) in parts {
        let times = count as f64;
        match mechanism.as_gaussian() {
            Some((ratio, off)) => {
                squares += times * ratio * ratio;
                by += times * off;
                beyond += times * BEYOND;
                terms += 1.0;
            }
            None => add(&mut others, *mechanism, count),
        }
    }
    let up = 1.0 + 4.0 * UNIT_ROUNDOFF * (terms + 8.0);
    if terms > 0.0 {
        let (one, count) = shared(squares * up);
        add(&mut others, one, count);
    }
    if by > 0.0 {
        // More than e^NO_FACTOR times a mass says no more.
        let (by, beyond) = ((by * up).min(NO_FACTOR), (beyond * up).min(1.0));
        add(&mut others, Mechanism::of(Noise::Off { by, beyond }), 1);
    }
    others
}

/// A sum of squares as so many equal Gaussians that each is within what one may be.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn shared(squares: f64) -> (Mechanism, u64) {
    let count = (squares / (MAX_RATIO * MAX_RATIO)).ceil().max(1.0);
    let ratio = (squares / count).sqrt() * (1.0 + 8.0 * UNIT_ROUNDOFF);
    (Mechanism::of(Noise::Gaussian { ratio }), count as u64)
}
