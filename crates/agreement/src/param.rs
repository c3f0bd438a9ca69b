//! Parameters of a query: a type, and the values that may be asked with.

use std::fmt;

use incamera_types::{ParamType, Value};

/// A parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Param {
    /// Its type.
    pub ty: ParamType,
    /// The values that may be asked with.
    pub domain: Domain,
}

/// The values that a parameter may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Domain {
    /// Every value of the type.
    Any,
    /// Those from the least to the most, where they are said.
    Range {
        /// The least.
        min: Option<Value>,
        /// The most.
        max: Option<Value>,
    },
    /// These, in the agreement's order.
    Values(Vec<Value>),
}

impl Param {
    /// Whether a value is of the type and of the domain.
    #[must_use]
    pub fn allows(&self, value: &Value) -> bool {
        value.ty() == self.ty
            && match &self.domain {
                Domain::Any => true,
                Domain::Range { min, max } => {
                    let number = number(value);
                    let above = min.as_ref().is_none_or(|min| number >= self::number(min));
                    let below = max.as_ref().is_none_or(|max| number <= self::number(max));
                    number.is_some() && above && below
                }
                Domain::Values(values) => values.contains(value),
            }
    }
}

/// A value as the number that it is compared by; all values of one parameter have one scale.
pub(crate) fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some((*number).into()),
        Value::Decimal(number) => Some(number.unscaled()),
        Value::Date(day) => Some(day.days().into()),
        Value::Timestamp(moment) => Some(moment.micros().into()),
        _ => None,
    }
}

impl fmt::Display for Param {
    /// `date`, `date from 2026-01-01 to 2026-12-31`, `text: food or toys`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty)?;
        match &self.domain {
            Domain::Any => Ok(()),
            Domain::Range { min, max } => {
                if let Some(min) = min {
                    write!(f, " from {min}")?;
                }
                max.as_ref().map_or(Ok(()), |max| write!(f, " to {max}"))
            }
            Domain::Values(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, ": {}", values.join(" or "))
            }
        }
    }
}
