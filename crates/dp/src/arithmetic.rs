//! Non-negative rationals, and a logarithm that is the same on every machine.

use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::{One, ToPrimitive, Zero};

/// A non-negative rational number in lowest terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: BigUint,
    denominator: BigUint,
}

impl Ratio {
    /// `numerator / denominator`, or `None` for a denominator of zero.
    #[must_use]
    pub fn new(numerator: BigUint, denominator: BigUint) -> Option<Self> {
        if denominator.is_zero() {
            return None;
        }
        let common = numerator.gcd(&denominator);
        Some(Self {
            numerator: numerator / &common,
            denominator: denominator / common,
        })
    }

    /// A whole number.
    #[must_use]
    pub fn whole(number: impl Into<BigUint>) -> Self {
        Self {
            numerator: number.into(),
            denominator: BigUint::one(),
        }
    }

    /// The numerator in lowest terms.
    #[must_use]
    pub fn numerator(&self) -> &BigUint {
        &self.numerator
    }

    /// The denominator in lowest terms; never zero.
    #[must_use]
    pub fn denominator(&self) -> &BigUint {
        &self.denominator
    }

    /// The largest whole number that is not above.
    #[must_use]
    pub fn floor(&self) -> BigUint {
        &self.numerator / &self.denominator
    }

    /// A nearby floating-point number, for showing.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        let top = i64::try_from(self.numerator.bits()).unwrap_or(i64::MAX);
        let bottom = i64::try_from(self.denominator.bits()).unwrap_or(i64::MAX);
        // Keep 64 significant bits of both, so that neither overflows a float.
        let (up, down) = ((top - 64).max(0), (bottom - 64).max(0));
        let part = |n: &BigUint, by: i64| (n >> by.unsigned_abs()).to_f64().unwrap_or(f64::MAX);
        let quotient = part(&self.numerator, up) / part(&self.denominator, down);
        quotient * 2f64.powi(i32::try_from(up - down).unwrap_or(i32::MAX))
    }
}

/// The natural logarithm of a positive finite number, to about 1e-15.
///
/// From the four basic operations only, which IEEE 754 fixes to the bit, so that every owner
/// and every room come to the same rho; `f64::ln` is the platform's and may differ.
#[must_use]
pub(crate) fn ln(x: f64) -> f64 {
    const LN_2: f64 = core::f64::consts::LN_2;
    let (mut mantissa, mut exponent) = (x, 0.0);
    while mantissa > core::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    while mantissa < core::f64::consts::FRAC_1_SQRT_2 {
        mantissa *= 2.0;
        exponent -= 1.0;
    }
    // ln m = 2 artanh((m-1)/(m+1)), with |argument| < 0.172: 12 terms reach 1e-19.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..12)
        .rev()
        .fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent * LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_agrees_with_the_platform() {
        let mut x = 1e-30;
        while x < 1e30 {
            let error = (ln(x) - x.ln()).abs() / x.ln().abs().max(1.0);
            assert!(error < 4e-16, "{x}: {error}");
            x *= 1.0371;
        }
    }

    #[test]
    fn ratios_are_in_lowest_terms() {
        let half = Ratio::new(BigUint::from(50u8), BigUint::from(100u8)).unwrap();
        assert_eq!(
            (half.numerator().clone(), half.denominator().clone()),
            (1u8.into(), 2u8.into())
        );
        assert!(Ratio::new(BigUint::one(), BigUint::zero()).is_none());
    }

    #[test]
    fn huge_ratios_show() {
        let huge = Ratio::new(BigUint::from(3u8) << 4000, BigUint::from(2u8) << 3999).unwrap();
        assert!((huge.to_f64() - 3.0).abs() < 1e-12);
        let quarter = Ratio::new(BigUint::one(), BigUint::from(4u8)).unwrap();
        assert!((quarter.to_f64() - 0.25).abs() < 1e-15);
    }
}
