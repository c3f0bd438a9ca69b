//! From epsilon and delta to rho of zero-concentrated differential privacy, and back.
//!
//! # Claim
//! A mechanism of rho-zCDP is (epsilon, delta)-differentially private for every delta at
//! least `inf over a > 1 of exp((a-1)(a rho - epsilon))/(a-1) · (1-1/a)^a`
//! (Canonne, Kamath, Steinke 2020, corollary 13). Any one order `a` already gives a true
//! statement, so the search for the best needs no proof of convexity.
//! # Rounding
//! [`rho_of`] rounds down (less may be spent), [`epsilon_of`] rounds up (more is owned up
//! to), both by more than floating-point error can amount to. The logarithm is our own, from
//! the basic operations, so that all parties come to the same integer.
//! # Pure epsilon
//! delta = 0 gives rho = epsilon²/2 (Bun and Steinke 2016, proposition 1.4). That is what an
//! epsilon-private mechanism costs; Gaussian noise of this rho is *not* (epsilon, 0)-private.

use incamera_types::{Budget, Delta, Epsilon, PrivacyLoss, Rho};

use crate::DpError;
use crate::arithmetic::ln;

/// Relative and absolute distance kept from what floats say.
const MARGIN: f64 = 1e-9;

/// Rho that epsilon and delta allow, with `delta0` of delta set aside for thresholds.
///
/// # Errors
/// [`DpError::NoDeltaLeft`] if `delta0` is all of `delta` or more; [`DpError::TooSmall`] if
/// nothing is left after rounding down.
pub fn rho_of(epsilon: Epsilon, delta: Delta, delta0: Delta) -> Result<Rho, DpError> {
    let left = delta.checked_sub(delta0).ok_or(DpError::NoDeltaLeft)?;
    if delta == Delta::ZERO {
        return nonzero(pure_rho(epsilon));
    }
    if left == Delta::ZERO {
        return Err(DpError::NoDeltaLeft);
    }
    let (epsilon, ln_delta) = (epsilon.to_f64(), ln(left.to_f64()));
    let best = best_order(|t| rho_at(epsilon, ln_delta, t));
    nonzero(down(best))
}

fn nonzero(units: u64) -> Result<Rho, DpError> {
    if units == 0 {
        Err(DpError::TooSmall)
    } else {
        Ok(Rho::from_units(units))
    }
}

/// epsilon²/2 in integers: (10^-6)² is 10^-12, the unit of rho.
fn pure_rho(epsilon: Epsilon) -> u64 {
    let square = u128::from(epsilon.units()) * u128::from(epsilon.units());
    u64::try_from(square / 2).unwrap_or(u64::MAX)
}

/// The rho that order `1 + t` allows.
fn rho_at(epsilon: f64, ln_delta: f64, t: f64) -> f64 {
    (epsilon + (ln_delta + ln(t) - (1.0 + t) * ln(t / (1.0 + t))) / t) / (1.0 + t)
}

/// The epsilon that order `1 + t` gives.
fn epsilon_at(rho: f64, ln_delta: f64, t: f64) -> f64 {
    (1.0 + t) * rho + ((1.0 + t) * ln(t / (1.0 + t)) - ln(t) - ln_delta) / t
}

/// The largest value of `f` over orders from `1 + 1e-6` to `1 + 1e12`, nearly.
fn best_order(f: impl Fn(f64) -> f64) -> f64 {
    let mut centre = 1e-6;
    let mut t: f64 = 1e-6;
    while t < 1e12 {
        if f(t) > f(centre) {
            centre = t;
        }
        t *= 1.25;
    }
    let mut step: f64 = 1.25;
    while step > 1.0 + 1e-9 {
        let better = [centre / step, centre * step]
            .into_iter()
            .find(|&t| f(t) > f(centre));
        match better {
            Some(t) => centre = t,
            None => step = 1.0 + (step - 1.0) / 2.0,
        }
    }
    f(centre)
}

/// Rounds rho down to units, away from floating-point error.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn down(rho: f64) -> u64 {
    const UNITS: f64 = 1e12;
    let units = rho * UNITS * (1.0 - MARGIN) - 1.0;
    // A cast of a float saturates: what is negative becomes 0.
    units.floor() as u64
}

/// Epsilon of a loss at `delta`, rounded up: for showing. The thresholds' share of delta must
/// be taken off by the caller.
///
/// With `delta` = 0 this is the inverse of [`rho_of`], the square root of 2 rho.
#[must_use]
pub fn epsilon_of(rho: Rho, delta: Delta) -> Epsilon {
    if rho == Rho::ZERO {
        return Epsilon::ZERO;
    }
    let rho = rho.to_f64();
    let epsilon = if delta == Delta::ZERO {
        (2.0 * rho).sqrt()
    } else {
        let ln_delta = ln(delta.to_f64());
        -best_order(|t| -epsilon_at(rho, ln_delta, t))
    };
    up(epsilon.max(0.0))
}

/// Rounds epsilon up to units.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn up(epsilon: f64) -> Epsilon {
    const UNITS: f64 = 1e6;
    Epsilon::from_units((epsilon * UNITS * (1.0 + MARGIN)).ceil() as u64)
}

/// A ceiling, or a query's epsilon and delta, as what is added up.
///
/// A ceiling keeps a part of its delta for thresholds, whether or not a query has some: what
/// fits under it must not change with the queries that come later. Too small a ceiling allows
/// nothing.
#[must_use]
pub fn loss_of(budget: &Budget) -> PrivacyLoss {
    let delta0 = for_thresholds(budget.delta);
    let rho = rho_of(budget.epsilon, budget.delta, delta0);
    rho.map_or_else(
        |_| PrivacyLoss::default(),
        |rho| PrivacyLoss { rho, delta0 },
    )
}

/// The part of a delta that is for thresholds, a hundredth: of a query that has some, and of
/// every ceiling. As many runs then fit by it as by all of delta, and rho is smaller by less
/// than one in a thousand; thresholds grow with its logarithm alone.
#[must_use]
pub fn for_thresholds(delta: Delta) -> Delta {
    Delta::from_units(delta.units() / 100)
}

/// By what factor the odds of a guess about one person grow at most, save with a probability
/// of the budget's delta: what `loss`, which is charged for the budget, promises.
///
/// A loss of rho-zCDP is above `rho + 2 sqrt(rho ln(1/d))` with probability `d` at most (Bun
/// and Steinke 2016), and thresholds fail with probability `delta0`. `e^epsilon` is a little
/// less and no such bound: (epsilon, delta) says nothing of how often the loss is above
/// epsilon. Where no delta is left beside the thresholds' (of a pure epsilon, of none), the
/// factor is `e^epsilon`, always.
#[must_use]
pub fn odds_factor(loss: &PrivacyLoss, budget: &Budget) -> f64 {
    let left = budget.delta.checked_sub(loss.delta0).unwrap_or(Delta::ZERO);
    if left == Delta::ZERO {
        return budget.epsilon.to_f64().exp();
    }
    let rho = loss.rho.to_f64();
    (rho + 2.0 * (rho * (1.0 / left.to_f64()).ln()).sqrt()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rho(epsilon: &str, delta: &str) -> Rho {
        rho_of(
            epsilon.parse().unwrap(),
            delta.parse().unwrap(),
            Delta::ZERO,
        )
        .unwrap()
    }

    /// The claim's bound on delta, by the platform's mathematics and a fine grid of orders.
    fn delta_of(rho: f64, epsilon: f64) -> f64 {
        let mut best = f64::MAX;
        let mut t: f64 = 1e-4;
        while t < 1e9 {
            let a = 1.0 + t;
            let exponent = t * (a * rho - epsilon) - t.ln() + a * (t / a).ln();
            best = best.min(exponent.exp());
            t *= 1.001;
        }
        best
    }

    #[test]
    fn rho_keeps_to_delta_and_wastes_little() {
        for (epsilon, delta) in [
            ("1", "1e-8"),
            ("0.1", "1e-6"),
            ("8", "1e-6"),
            ("0.001", "1e-9"),
            ("100", "1e-12"),
        ] {
            let (e, d): (f64, f64) = (epsilon.parse().unwrap(), delta.parse().unwrap());
            let rho = rho(epsilon, delta).to_f64();
            // The grid misses the best order by a little: 1e-4 of delta.
            assert!(delta_of(rho, e) <= d * 1.0001, "{epsilon} {delta}");
            assert!(delta_of(rho * 1.0001, e) > d, "{epsilon} {delta} is loose");
        }
    }

    #[test]
    fn pure_epsilon_is_half_its_square() {
        assert_eq!(rho("1", "0").units(), 500_000_000_000);
        assert_eq!(rho("0.002", "0").units(), 2_000_000);
        let back = epsilon_of(rho("1", "0"), Delta::ZERO);
        assert!((back.to_f64() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn bad_amounts_are_refused() {
        let one: Epsilon = "1".parse().unwrap();
        let delta: Delta = "1e-8".parse().unwrap();
        assert_eq!(rho_of(one, delta, delta), Err(DpError::NoDeltaLeft));
        assert_eq!(rho_of(one, Delta::ZERO, delta), Err(DpError::NoDeltaLeft));
        assert_eq!(
            rho_of(Epsilon::ZERO, delta, Delta::ZERO),
            Err(DpError::TooSmall)
        );
        assert_eq!(
            rho_of(Epsilon::ZERO, Delta::ZERO, Delta::ZERO),
            Err(DpError::TooSmall)
        );
        assert_eq!(
            loss_of(&Budget {
                epsilon: Epsilon::ZERO,
                delta
            }),
            PrivacyLoss::default()
        );
    }

    #[test]
    fn thresholds_take_from_delta() {
        let (epsilon, delta): (Epsilon, Delta) = ("1".parse().unwrap(), "2e-8".parse().unwrap());
        let half: Delta = "1e-8".parse().unwrap();
        assert_eq!(
            rho_of(epsilon, delta, half),
            rho_of(epsilon, half, Delta::ZERO)
        );
    }

    #[test]
    fn the_integer_is_fixed() {
        // Owners and room compute this apart: it must not move with a platform or a version.
        assert_eq!(rho("1", "1e-8").units(), 17_205_318_021);
        assert_eq!(rho("8", "1e-6").units(), 1_052_358_003_503);
    }

    proptest::proptest! {
        #[test]
        fn rho_grows_with_epsilon_and_delta(e in 10_000u64..20_000_000, d in 1u64..1_000_000_000_000_000) {
            let at = |e, d| rho_of(Epsilon::from_units(e), Delta::from_units(d), Delta::ZERO).unwrap();
            let rho = at(e, d);
            proptest::prop_assert!(at(e + e / 1000, d) > rho);
            proptest::prop_assert!(at(e, d + d / 10 + 1) > rho);
        }

        #[test]
        fn there_and_back_never_gains(e in 10_000u64..20_000_000, d in 1u64..1_000_000_000_000_000) {
            let (epsilon, delta) = (Epsilon::from_units(e), Delta::from_units(d));
            let back = epsilon_of(rho_of(epsilon, delta, Delta::ZERO).unwrap(), delta);
            let ratio = back.to_f64() / epsilon.to_f64();
            proptest::prop_assert!((0.9999..1.0001).contains(&ratio), "{}", ratio);
        }
    }
}
