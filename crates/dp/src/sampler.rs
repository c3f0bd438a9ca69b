//! Exact discrete noise.
//!
//! # Mechanisms
//! | | discrete Laplace | discrete Gaussian |
//! |---|---|---|
//! | mass at x | proportional to exp(-abs(x)/scale) | proportional to exp(-x²/(2 sigma²)) |
//! | the compiler checks | scale and variance are non-negative rationals, outputs integers | the same |
//! | the caller checks | added to integers of L1 sensitivity D | added to an integer vector of L2 sensitivity D, an independent draw each |
//! | then | (D/scale)-differential privacy | (D²/(2 sigma²))-zCDP (Canonne, Kamath, Steinke 2020, theorem 14) |
//! | rounding | none: both masses are exact | none |
//!
//! A scale or variance of zero means no noise: only right for a sensitivity of zero.
//! # Not defended
//! Running time depends on the draw (rejection), not on data: a draw is made after the data
//! are aggregated, and answers leave the room when all draws are made.
//! # Reference
//! Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020),
//! algorithms 1 to 3.

use num_bigint::{BigInt, BigUint, Sign};
use num_traits::{One, Zero};

use crate::{NoiseStream, Ratio};

/// Draws from the discrete Laplace distribution with this scale (algorithm 2).
#[must_use]
pub fn discrete_laplace(scale: &Ratio, stream: &mut NoiseStream) -> BigInt {
    let (t, s) = (scale.numerator(), scale.denominator());
    if t.is_zero() {
        return BigInt::zero();
    }
    let one = Ratio::whole(1u8);
    loop {
        let low = stream.below(t);
        let keep = Ratio::new(low.clone(), t.clone()).is_some_and(|x| stream.bernoulli_exp(&x));
        if !keep {
            continue;
        }
        let mut rounds = BigUint::zero();
        while stream.bernoulli_exp(&one) {
            rounds += 1u8;
        }
        let magnitude = (low + t * rounds) / s;
        let negative = stream.coin();
        if negative && magnitude.is_zero() {
            continue;
        }
        let sign = if negative { Sign::Minus } else { Sign::Plus };
        return BigInt::from_biguint(sign, magnitude);
    }
}

/// Draws from the discrete Gaussian distribution with this sigma² (algorithm 3).
#[must_use]
pub fn discrete_gaussian(sigma2: &Ratio, stream: &mut NoiseStream) -> BigInt {
    let (n, d) = (sigma2.numerator(), sigma2.denominator());
    if n.is_zero() {
        return BigInt::zero();
    }
    let t = sigma2.floor().sqrt() + BigUint::one();
    let scale = Ratio::whole(t.clone());
    // (|y| - sigma²/t)² / (2 sigma²) with sigma² = n/d, over one denominator.
    let denominator = BigUint::from(2u8) * n * d * &t * &t;
    loop {
        let y = discrete_laplace(&scale, stream);
        let away = BigInt::from(y.magnitude() * &t * d) - BigInt::from(n.clone());
        let square = away.magnitude() * away.magnitude();
        let accept = Ratio::new(square, denominator.clone());
        if accept.is_some_and(|x| stream.bernoulli_exp(&x)) {
            return y;
        }
    }
}

#[cfg(test)]
mod tests;
