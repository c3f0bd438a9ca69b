//! Typed values: parameters of a query, bounds of a column.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{ColumnType, Date, Moment, ParamName};

/// Why a text is not a value of its type. Never holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a value of the type.
    #[error("not a {expected}")]
    Form {
        /// The type that was wanted.
        expected: ParamType,
    },
    /// A decimal with more digits than its type has.
    #[error("more than {digits} digits after the point")]
    Scale {
        /// The digits allowed.
        digits: u8,
    },
    /// A number that does not fit.
    #[error("the number is too large")]
    Range,
}

/// The type of a parameter: a column type that people can write down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParamType {
    /// True or false.
    Bool,
    /// A 64-bit signed integer.
    Int,
    /// A fixed-point number with this many digits after the point.
    Decimal {
        /// Digits after the point.
        scale: u8,
    },
    /// UTF-8 text.
    Text,
    /// A calendar day.
    Date,
    /// A moment.
    Timestamp,
}

impl ParamType {
    /// The parameter type of a column type, where there is one.
    #[must_use]
    pub fn of(ty: ColumnType) -> Option<Self> {
        match ty {
            ColumnType::Bool => Some(Self::Bool),
            ColumnType::Int => Some(Self::Int),
            ColumnType::Decimal { scale, .. } => Some(Self::Decimal { scale }),
            ColumnType::Text => Some(Self::Text),
            ColumnType::Date => Some(Self::Date),
            ColumnType::Timestamp => Some(Self::Timestamp),
            _ => None,
        }
    }

    /// Reads a value of this type.
    ///
    /// # Errors
    /// [`ValueError`], without the text.
    pub fn parse(self, text: &str) -> Result<Value, ValueError> {
        let form = ValueError::Form { expected: self };
        Ok(match self {
            Self::Bool => Value::Bool(text.parse().map_err(|_| form)?),
            Self::Int => Value::Int(text.parse().map_err(|_| form)?),
            Self::Decimal { scale } => Value::Decimal(Decimal::parse(text, scale)?),
            Self::Text => Value::Text(text.to_owned()),
            Self::Date => Value::Date(text.parse().map_err(|_| form)?),
            Self::Timestamp => Value::Timestamp(text.parse().map_err(|_| form)?),
        })
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Decimal { .. } => f.write_str("decimal"),
            Self::Text => f.write_str("text"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
        }
    }
}

/// A fixed-point number: `unscaled / 10^scale`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    unscaled: i128,
    scale: u8,
}

impl Decimal {
    /// The largest scale.
    pub const MAX_SCALE: u8 = 18;

    /// A number from its integer and its digits after the point (at most 18).
    #[must_use]
    pub fn new(unscaled: i128, scale: u8) -> Option<Self> {
        (scale <= Self::MAX_SCALE).then_some(Self { unscaled, scale })
    }

    /// The integer.
    #[must_use]
    pub fn unscaled(self) -> i128 {
        self.unscaled
    }

    /// Digits after the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// The nearest floating-point number: for showing only.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn to_f64(self) -> f64 {
        self.unscaled as f64 / 10f64.powi(i32::from(self.scale))
    }

    /// The same number with `scale` digits after the point, if it has no more.
    ///
    /// # Errors
    /// [`ValueError::Scale`] if digits would be lost, [`ValueError::Range`] if it does not fit.
    pub fn rescale(self, scale: u8) -> Result<Self, ValueError> {
        if scale >= self.scale {
            let factor = 10i128
                .checked_pow(u32::from(scale - self.scale))
                .ok_or(ValueError::Range)?;
            let unscaled = self.unscaled.checked_mul(factor).ok_or(ValueError::Range)?;
            return Self::new(unscaled, scale).ok_or(ValueError::Range);
        }
        let factor = 10i128.pow(u32::from(self.scale - scale));
        if self.unscaled % factor != 0 {
            return Err(ValueError::Scale { digits: scale });
        }
        Self::new(self.unscaled / factor, scale).ok_or(ValueError::Range)
    }

    /// Reads a number with at most `scale` digits after the point, and gives it that scale.
    ///
    /// Plain digits, an optional sign and one point; at most 18 digits before the point.
    ///
    /// # Errors
    /// [`ValueError`], without the text.
    pub fn parse(text: &str, scale: u8) -> Result<Self, ValueError> {
        let number: Self = text.parse().map_err(|error| match error {
            ValueError::Form { .. } => ValueError::Form {
                expected: ParamType::Decimal { scale },
            },
            other => other,
        })?;
        number.rescale(scale)
    }
}

impl FromStr for Decimal {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let form = || ValueError::Form {
            expected: ParamType::Decimal { scale: 0 },
        };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(form());
        }
        let scale = u8::try_from(fraction.len()).map_err(|_| ValueError::Range)?;
        if scale > Self::MAX_SCALE || whole.len() > 18 {
            return Err(ValueError::Range);
        }
        // At most 36 digits: 128 bits hold them.
        let digits = whole.bytes().chain(fraction.bytes());
        let magnitude = digits.fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let unscaled = if text.starts_with('-') {
            -magnitude
        } else {
            magnitude
        };
        Ok(Self { unscaled, scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let magnitude = self.unscaled.unsigned_abs();
        let factor = 10u128.pow(u32::from(self.scale));
        let (whole, fraction) = (magnitude / factor, magnitude % factor);
        if self.scale == 0 {
            write!(f, "{sign}{whole}")
        } else {
            write!(
                f,
                "{sign}{whole}.{fraction:0width$}",
                width = usize::from(self.scale)
            )
        }
    }
}
impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

/// A value that a request may carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A fixed-point number.
    Decimal(Decimal),
    /// A text.
    Text(String),
    /// A day.
    Date(Date),
    /// A moment.
    Timestamp(Moment),
}

impl Value {
    /// The value's type.
    #[must_use]
    pub fn ty(&self) -> ParamType {
        match self {
            Self::Bool(_) => ParamType::Bool,
            Self::Int(_) => ParamType::Int,
            Self::Decimal(number) => ParamType::Decimal {
                scale: number.scale(),
            },
            Self::Text(_) => ParamType::Text,
            Self::Date(_) => ParamType::Date,
            Self::Timestamp(_) => ParamType::Timestamp,
        }
    }

    /// The canonical bytes that digests take: a type's letter, then the value's text.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let letter = match self {
            Self::Bool(_) => 'b',
            Self::Int(_) => 'i',
            Self::Decimal(_) => 'd',
            Self::Text(_) => 't',
            Self::Date(_) => 'y',
            Self::Timestamp(_) => 'm',
        };
        format!("{letter}{self}").into_bytes()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Date(value) => value.fmt(f),
            Self::Timestamp(value) => value.fmt(f),
        }
    }
}

/// The parameters of a request, by name.
pub type Params = BTreeMap<ParamName, Value>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let number = Decimal::parse("18.2", 2).unwrap();
        assert_eq!(
            (number.unscaled(), number.to_string()),
            (1820, "18.20".into())
        );
        assert_eq!(Decimal::parse("-0.05", 2).unwrap().to_string(), "-0.05");
        assert_eq!(
            Decimal::parse("1.005", 2),
            Err(ValueError::Scale { digits: 2 })
        );
        for bad in ["", ".", "-", "1e3", "1.2.3", "٣", " 1", "1 "] {
            assert!(Decimal::parse(bad, 2).is_err(), "{bad}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(40), 2), Err(ValueError::Range));
    }

    #[test]
    fn values_read_back() {
        for (ty, text) in [
            (ParamType::Bool, "true"),
            (ParamType::Int, "-5"),
            (ParamType::Text, "a b"),
            (ParamType::Date, "2026-01-31"),
            (ParamType::Timestamp, "2026-01-31T08:00:00Z"),
        ] {
            let value = ty.parse(text).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(value.ty(), ty);
        }
        assert_ne!(
            Value::Text("1".into()).canonical(),
            Value::Int(1).canonical()
        );
    }
}
