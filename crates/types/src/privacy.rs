//! Amounts of privacy loss, in integers so that sums are exact.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why an amount of privacy loss is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivacyError {
    /// Not a finite, non-negative decimal number in range.
    #[error("{what} is a number from 0 to {max}")]
    Range {
        /// The amount.
        what: &'static str,
        /// Its largest value, as text.
        max: &'static str,
    },
    /// A sum went out of range.
    #[error("a sum of privacy losses is out of range")]
    Overflow,
}

macro_rules! amount {
    ($(#[$doc:meta])* $name:ident, $what:literal, per_one = $per_one:literal, max = $max:literal, $max_text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// Units in 1.
            pub const UNITS_PER_ONE: u64 = $per_one;

            /// An amount from its integer units.
            #[must_use]
            pub const fn from_units(units: u64) -> Self {
                Self(units)
            }
            /// The integer units.
            #[must_use]
            pub const fn units(self) -> u64 {
                self.0
            }
            /// The nearest floating-point number: for showing, never for deciding.
            #[must_use]
            #[allow(clippy::cast_precision_loss)]
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / $per_one as f64
            }
            /// The amount nearest to `value`.
            ///
            /// # Errors
            /// [`PrivacyError::Range`] if negative, not finite or too large.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            pub fn from_f64(value: f64) -> Result<Self, PrivacyError> {
                let range = PrivacyError::Range { what: $what, max: $max_text };
                if !value.is_finite() || !(0.0..=$max).contains(&value) {
                    return Err(range);
                }
                Ok(Self((value * $per_one as f64).round() as u64))
            }
            /// The sum.
            ///
            /// # Errors
            /// [`PrivacyError::Overflow`].
            pub fn checked_add(self, other: Self) -> Result<Self, PrivacyError> {
                self.0.checked_add(other.0).map(Self).ok_or(PrivacyError::Overflow)
            }
            /// What is left after `other`, or `None` if there is not enough.
            #[must_use]
            pub fn checked_sub(self, other: Self) -> Option<Self> {
                self.0.checked_sub(other.0).map(Self)
            }
        }
        impl FromStr for $name {
            type Err = PrivacyError;
            fn from_str(text: &str) -> Result<Self, PrivacyError> {
                let range = PrivacyError::Range { what: $what, max: $max_text };
                Self::from_f64(text.parse().map_err(|_| range)?)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_f64();
                if value != 0.0 && value < 0.001 {
                    write!(f, "{value:e}")
                } else {
                    write!(f, "{value}")
                }
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_f64(self.to_f64())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::from_f64(f64::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

amount! {
    /// Epsilon of differential privacy, in millionths (natural logarithm).
    Epsilon, "epsilon", per_one = 1_000_000u64, max = 1_000.0, "1000"
}
amount! {
    /// Delta of differential privacy, in units of 10^-18.
    Delta, "delta", per_one = 1_000_000_000_000_000_000u64, max = 1.0, "1"
}
amount! {
    /// Zero-concentrated privacy loss (zCDP), in units of 10^-12.
    Rho, "rho", per_one = 1_000_000_000_000u64, max = 1_000_000.0, "1000000"
}

/// What a budget is stated in: epsilon and delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The ceiling's epsilon.
    pub epsilon: Epsilon,
    /// The ceiling's delta.
    pub delta: Delta,
}

/// What is charged and added up: rho of zCDP, and the thresholds' share of delta.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrivacyLoss {
    /// Loss under zCDP.
    pub rho: Rho,
    /// The declared tails of thresholds (`delta0` of the design).
    pub delta0: Delta,
}

impl PrivacyLoss {
    /// The sum of two losses (zCDP composes by addition, Bun and Steinke 2016, lemma 2.3).
    ///
    /// # Errors
    /// [`PrivacyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, PrivacyError> {
        Ok(Self {
            rho: self.rho.checked_add(other.rho)?,
            delta0: self.delta0.checked_add(other.delta0)?,
        })
    }

    /// Whether this loss is within `ceiling` in both parts.
    #[must_use]
    pub fn within(&self, ceiling: &Self) -> bool {
        self.rho <= ceiling.rho && self.delta0 <= ceiling.delta0
    }

    /// What `ceiling` leaves after this loss, zero where nothing is left.
    #[must_use]
    pub fn left_of(&self, ceiling: &Self) -> Self {
        Self {
            rho: ceiling.rho.checked_sub(self.rho).unwrap_or_default(),
            delta0: ceiling.delta0.checked_sub(self.delta0).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_agreements_say() {
        assert_eq!("1.0".parse::<Epsilon>().unwrap().units(), 1_000_000);
        assert_eq!("1e-8".parse::<Delta>().unwrap().units(), 10_000_000_000);
        for bad in ["-1", "nan", "inf", "x", "1001"] {
            assert!(bad.parse::<Epsilon>().is_err(), "{bad}");
        }
        assert!("1.1".parse::<Delta>().is_err());
    }

    #[test]
    fn sums_are_exact() {
        let one = "0.1".parse::<Epsilon>().unwrap();
        let sum = (0..10)
            .try_fold(Epsilon::ZERO, |a, _| a.checked_add(one))
            .unwrap();
        assert_eq!(sum, "1".parse().unwrap());
        assert!(Epsilon::from_units(u64::MAX).checked_add(one).is_err());
    }
}
