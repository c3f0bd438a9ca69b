//! Numbers: whole ones of 64 bits, decimals of 128.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType, i256};
use datafusion::common::ScalarValue;

use super::Function::{self, *};
use super::{Args, scale};

/// Numbers in units of 10^-scale.
pub(super) enum Numbers {
    Whole(Int64Array),
    Decimal(Decimal128Array, u32),
}

impl Numbers {
    pub(super) fn of(array: &ArrayRef) -> Option<Self> {
        match array.data_type() {
            DataType::Int64 => Some(Self::Whole(array.as_primitive_opt()?.clone())),
            ty @ DataType::Decimal128(..) => {
                Some(Self::Decimal(array.as_primitive_opt()?.clone(), scale(ty)))
            }
            _ => None,
        }
    }

    pub(super) fn scale(&self) -> u32 {
        match self {
            Self::Whole(_) => 0,
            Self::Decimal(_, scale) => *scale,
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<i128> {
        match self {
            Self::Whole(numbers) => numbers.is_valid(row).then(|| numbers.value(row).into()),
            Self::Decimal(numbers, _) => numbers.is_valid(row).then(|| numbers.value(row)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(numbers) => numbers.len(),
            Self::Decimal(numbers, _) => numbers.len(),
        }
    }
}

pub(super) fn run(function: Function, args: &Args<'_>) -> Option<ArrayRef> {
    let first = Numbers::of(&args.array(0)?)?;
    let gives = scale(args.gives);
    let each =
        |of: &dyn Fn(i128) -> i256| made(args, (0..first.len()).map(|row| first.get(row).map(of)));
    match function {
        Divide | Modulo => {
            let second = Numbers::of(&args.array(1)?)?;
            let (a, b) = (first.scale(), second.scale());
            let both = |row| {
                let (x, y) = (first.get(row)?, second.get(row)?);
                match function {
                    // x / 10^a : y / 10^b, in units of 10^-gives.
                    Divide => quotient(up(x, (gives + b).checked_sub(a)?), y.into()),
                    _ => remainder(up(x, gives.checked_sub(a)?), up(y, gives.checked_sub(b)?)),
                }
            };
            made(args, (0..args.rows).map(both))
        }
        Abs => each(&|x| i256::from_i128(x).wrapping_abs()),
        Floor | Ceil => {
            let unit = power(first.scale());
            let up = i256::from_i128(i128::from(function == Ceil));
            each(&|x| {
                let (x, one) = (i256::from_i128(x), i256::ONE);
                let below = floor_div(x, unit);
                let whole = below.wrapping_mul(unit) == x;
                if whole {
                    below
                } else {
                    below.wrapping_add(up.wrapping_mul(one))
                }
            })
        }
        Round => {
            let digits = args.int(1).unwrap_or(0).clamp(-18, 18);
            let drop = i64::from(first.scale()) - digits;
            let drop = u32::try_from(drop.max(0)).ok()?;
            let back = drop.saturating_sub(first.scale() - gives);
            each(&|x| rounded(x.into(), power(drop)).wrapping_mul(power(back)))
        }
        WidthBucket => buckets(args, &first),
        _ => None,
    }
}

/// The numbers as an array of the type that the function gives.
fn made(
    args: &Args<'_>,
    numbers: impl Iterator<Item = Option<impl Into<Wide>>>,
) -> Option<ArrayRef> {
    let narrow = numbers.map(|number| number?.into().0.to_i128());
    match args.gives {
        DataType::Int64 => {
            let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
            let whole = narrow.map(|number| i64::try_from(number?.clamp(least, most)).ok());
            Some(Arc::new(whole.collect::<Int64Array>()))
        }
        ty @ DataType::Decimal128(..) => {
            let decimals: Decimal128Array = narrow.collect();
            Some(Arc::new(decimals.with_data_type(ty.clone())))
        }
        _ => None,
    }
}

/// A number wide enough for what comes between.
struct Wide(i256);

impl From<i256> for Wide {
    fn from(number: i256) -> Self {
        Self(number)
    }
}

fn power(of: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(of)
}

/// 128 bits times 10^38 fit into 256.
fn up(number: i128, digits: u32) -> i256 {
    i256::from_i128(number).wrapping_mul(power(digits.min(38)))
}

fn quotient(a: i256, b: i256) -> Option<i256> {
    (b != i256::ZERO).then(|| a.wrapping_div(b))
}

fn remainder(a: i256, b: i256) -> Option<i256> {
    (b != i256::ZERO).then(|| a.wrapping_rem(b))
}

/// Towards minus infinity.
fn floor_div(a: i256, b: i256) -> i256 {
    let cut = a.wrapping_div(b);
    let exact = cut.wrapping_mul(b) == a;
    if exact || !a.is_negative() {
        cut
    } else {
        cut.wrapping_sub(i256::ONE)
    }
}

/// To the next multiple, halves away from zero, in units of it.
fn rounded(x: i256, unit: i256) -> i256 {
    let half = unit.wrapping_div(i256::from_i128(2));
    let away = if x.is_negative() {
        x.wrapping_sub(half)
    } else {
        x.wrapping_add(half)
    };
    away.wrapping_div(unit)
}

/// A literal number, in units of 10^-scale, with the scale.
pub(super) fn literal(value: &ScalarValue) -> Option<(i128, u32)> {
    match value {
        ScalarValue::Int64(Some(number)) => Some(((*number).into(), 0)),
        ScalarValue::Decimal128(Some(number), _, scale) => {
            Some((*number, u32::try_from(*scale).ok()?))
        }
        _ => None,
    }
}

fn buckets(args: &Args<'_>, numbers: &Numbers) -> Option<ArrayRef> {
    let (low, high) = (literal(args.literal(1)?)?, literal(args.literal(2)?)?);
    let count = args.int(3)?;
    let scale = numbers.scale().max(low.1).max(high.1);
    let same = |(number, of): (i128, u32)| up(number, scale - of);
    let (low, high) = (same(low), same(high));
    let bucket = |row| {
        let x = same((numbers.get(row)?, numbers.scale()));
        Some(match x {
            x if x < low => i256::ZERO,
            x if x >= high => i256::from_i128(i128::from(count) + 1),
            x => {
                let place = x
                    .wrapping_sub(low)
                    .wrapping_mul(i256::from_i128(count.into()));
                let at = place.checked_div(high.wrapping_sub(low))?;
                at.wrapping_add(i256::ONE)
            }
        })
    };
    made(args, (0..numbers.len()).map(bucket))
}
