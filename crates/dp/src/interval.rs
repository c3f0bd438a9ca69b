//! What the noise means for a released number: ranges at 95 %, and how many digits to show.
//!
//! # Claim
//! Post-processing of released values and public variances: no privacy is spent and none
//! can be lost, so floats are fine. The ranges cover the *noise*; sampling error, and how groups
//! differ, are in [`effect`](crate::effect).
//!
//! | range | method |
//! |---|---|
//! | a value | quantile of the noise, exact mass where sigma is small |
//! | a / b | Fieller (1954), independent errors |
//!
use std::fmt;

/// The normal quantile of a two-sided 95 % range.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// A range at 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Half of the range's width.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether the range holds `value`.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Half the width of a 95 % range of discrete Gaussian noise, in the units of `sigma`: the
/// smallest whole number w with P(|noise| <= w) >= 0.95.
#[must_use]
pub fn half_width_95(sigma: f64) -> f64 {
    if sigma > 20.0 {
        return (Z * sigma).ceil();
    }
    if sigma <= 0.0 {
        return 0.0;
    }
    let mass = |x: f64| libm::exp(-x * x / (2.0 * sigma * sigma));
    let total: f64 = 1.0 + (1..=250u8).map(|x| 2.0 * mass(f64::from(x))).sum::<f64>();
    let (mut width, mut inside) = (0.0, 1.0);
    while inside < 0.95 * total {
        width += 1.0;
        inside += 2.0 * mass(width);
    }
    width
}

/// A released number and the standard deviation of its noise.
#[derive(Clone, Copy, Debug)]
pub struct Noisy {
    /// The number.
    pub value: f64,
    /// The standard deviation of its noise.
    pub sigma: f64,
}

impl Noisy {
    pub(crate) fn variance(self) -> f64 {
        self.sigma * self.sigma
    }

    /// The low end of its 95 % range.
    pub(crate) fn low(self) -> f64 {
        self.value - Z * self.sigma
    }
}

/// The range of `top / bottom` (Fieller), or `None` where noise leaves the denominator's sign
/// open and the range would have no end.
#[must_use]
pub fn ratio(top: Noisy, bottom: Noisy) -> Option<Interval> {
    ratio_of(top, bottom, 0.0)
}

/// [`ratio`] of numbers whose noises have this covariance: both may be made from the same
/// draws.
#[must_use]
pub fn ratio_of(top: Noisy, bottom: Noisy, covariance: f64) -> Option<Interval> {
    let quotient = top.value / bottom.value;
    // The ends q solve (top - q bottom)^2 = Z^2 (var(top) - 2 q cov + q^2 var(bottom)).
    let share = |variance: f64| Z * Z * variance / (bottom.value * bottom.value);
    let (of_top, both, of_bottom) = (
        share(top.variance()),
        share(covariance),
        share(bottom.variance()),
    );
    let a = 1.0 - of_bottom;
    if !quotient.is_finite() || a.is_nan() || a <= 0.0 {
        return None;
    }
    let spread = of_top - 2.0 * quotient * both + quotient * quotient * of_bottom + both * both
        - of_top * of_bottom;
    let (middle, reach) = (quotient - both, spread.max(0.0).sqrt());
    Some(Interval {
        low: (middle - reach) / a,
        high: (middle + reach) / a,
    })
}

/// Digits after the point at which a range of this half width begins: negative where whole
/// tens, hundreds, ... are uncertain.
///
/// Two digits of the range are kept if it starts with 1 or 2, one otherwise.
#[must_use]
#[allow(clippy::cast_possible_truncation)]
pub fn digits(half_width: f64) -> i32 {
    if !half_width.is_finite() || half_width <= 0.0 {
        return 0;
    }
    let magnitude = half_width.log10().floor();
    let first = half_width / 10f64.powf(magnitude);
    let kept = if first < 2.95 { 1 } else { 0 };
    kept - magnitude as i32
}

/// A factor that bounds something, rounded up: a bound that is rounded down is none.
#[must_use]
pub fn shown_factor(factor: f64) -> String {
    match factor {
        small if small < 10.0 => shown((small * 100.0).ceil() / 100.0, 2),
        some if some < 1e6 => shown(some.ceil(), 0),
        large => format!("{large:.0e}"),
    }
}

/// `value` rounded to `digits` after the point, negative ones included, thousands in groups.
#[must_use]
pub fn shown(value: f64, digits: i32) -> String {
    let unit = 10f64.powi(-digits.min(0));
    let rounded = if digits < 0 {
        (value / unit).round() * unit
    } else {
        value
    };
    let decimals = usize::try_from(digits).unwrap_or(0);
    let text = format!("{:.decimals$}", rounded.abs());
    let sign = if rounded < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) {
        "-"
    } else {
        ""
    };
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{sign}{}{fraction}", thousands(whole))
}

/// A whole number, which is not negative, with a comma between thousands.
#[must_use]
pub fn thousands(whole: impl fmt::Display) -> String {
    let digits = whole.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use num_traits::ToPrimitive;

    use super::*;
    use crate::{NoiseKey, Ratio, discrete_gaussian};

    fn noisy(value: f64, sigma: f64) -> Noisy {
        Noisy { value, sigma }
    }

    #[test]
    fn thousands_have_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (100_000, "100,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn widths() {
        assert_eq!(half_width_95(0.0), 0.0);
        assert_eq!(half_width_95(0.1), 0.0);
        assert_eq!(half_width_95(1.0), 2.0);
        assert_eq!(half_width_95(100.0), 196.0);
        // No step where the method changes.
        assert!((half_width_95(20.001) - half_width_95(20.0)).abs() <= 1.0);
    }

    #[test]
    fn fieller_by_hand() {
        // An exact denominator: a plain normal range.
        let range = ratio(noisy(10.0, 1.0), noisy(2.0, 0.0)).unwrap();
        assert!((range.low - (10.0 - Z) / 2.0).abs() < 1e-12);
        assert!((range.high - (10.0 + Z) / 2.0).abs() < 1e-12);
        // The ends solve (a - q b)² = Z² (va + q² vb).
        let (a, b) = (noisy(7.0, 1.5), noisy(20.0, 2.0));
        let range = ratio(a, b).unwrap();
        for q in [range.low, range.high] {
            let left = (a.value - q * b.value).powi(2);
            let right = Z * Z * (a.variance() + q * q * b.variance());
            assert!((left - right).abs() < 1e-9);
        }
        assert!(ratio(noisy(1.0, 1.0), noisy(1.0, 1.0)).is_none());
        assert!(ratio(noisy(1.0, 1.0), noisy(0.0, 0.0)).is_none());
    }

    /// 2,000 draws with a fixed seed; 95 % ± 2.5 points is five standard deviations (a false
    /// failure in about 1e-6 of free seeds).
    #[test]
    fn ranges_cover_in_95_of_100() {
        let sigma2 = Ratio::whole(2500u32);
        let mut stream = NoiseKey::from_bytes([3; 32]).stream("cover", &["all"]);
        let mut add = |truth: f64| {
            let noise = discrete_gaussian(&sigma2, &mut stream).to_f64().unwrap();
            noisy(truth + noise, 50.0)
        };
        let (mut plain, mut ratios) = (0, 0);
        for _ in 0..2000 {
            let (a, b) = (add(1200.0), add(3000.0));
            plain += usize::from((a.value - 1200.0).abs() <= half_width_95(50.0));
            ratios += usize::from(ratio(a, b).unwrap().holds(0.4));
        }
        for covered in [plain, ratios] {
            assert!((1850..=1950).contains(&covered), "{covered}");
        }
    }

    #[test]
    fn digits_end_where_the_range_begins() {
        assert_eq!(
            (digits(24.0), digits(0.1), digits(0.23), digits(0.7)),
            (0, 2, 2, 1)
        );
        assert_eq!(
            (digits(8132.0), digits(0.0), digits(f64::INFINITY)),
            (-3, 0, 0)
        );
        assert_eq!(shown(422_599.74, -3), "423,000");
        assert_eq!(shown(41_930.0, 0), "41,930");
        assert_eq!(shown(-0.04, 1), "0.0");
        assert_eq!(shown(-1234.5, 1), "-1,234.5");
        assert_eq!(shown(999.96, 1), "1,000.0");
    }
}
