//! What each row of a batch adds to a measure.

use std::collections::HashMap;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, LargeStringArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use incamera_types::{Digest as _, RequestDigest, Transcript};

use super::Odd;
use crate::measure::{Each, Kind, Measure};

/// A value of a measure that counts different ones: half of a digest of its text.
pub(crate) type Value = [u8; 16];

/// What each row of a batch adds to one measure.
pub(super) enum Values {
    /// The row itself.
    One,
    /// The row, if it says so.
    Counted(BooleanArray),
    /// Always one person.
    Always,
    /// One person, once a row says so.
    Present(BooleanArray),
    /// A number.
    Numbers(Numbers),
    /// A number between bounds, made into what the measure adds up.
    Each(Numbers, Each, Kind),
    /// Values that are counted apart.
    Different(Vec<Option<Value>>),
    /// Numbers that are kept for a quantile.
    Kept(Numbers),
}

/// Whole numbers of a column's scale.
pub(super) enum Numbers {
    Integers(Int64Array),
    Decimals(Decimal128Array),
}

impl Numbers {
    fn of(column: &ArrayRef) -> Result<Self, Odd> {
        match (column.as_primitive_opt(), column.as_primitive_opt()) {
            (Some(integers), _) => Ok(Self::Integers(integers.clone())),
            (_, Some(decimals)) => Ok(Self::Decimals(decimals.clone())),
            _ => Err(Odd),
        }
    }

    fn at(&self, row: usize) -> Option<i128> {
        match self {
            Self::Integers(numbers) => numbers
                .is_valid(row)
                .then(|| i128::from(numbers.value(row))),
            Self::Decimals(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
        }
    }
}

impl Values {
    pub(super) fn of(measure: &Measure, column: Option<&ArrayRef>) -> Result<Self, Odd> {
        let Some(column) = column else {
            return match measure.kind {
                Kind::Rows => Ok(Self::One),
                Kind::People => Ok(Self::Always),
                _ => Err(Odd),
            };
        };
        let present = || column.as_boolean_opt().cloned().ok_or(Odd);
        match (measure.kind, measure.each) {
            (Kind::People, _) => Ok(Self::Present(present()?)),
            (Kind::Rows, _) => Ok(Self::Counted(present()?)),
            (Kind::Sum, _) => Ok(Self::Numbers(Numbers::of(column)?)),
            (Kind::Distinct, _) => Ok(Self::Different(different(column)?)),
            (Kind::Quantile, _) => Ok(Self::Kept(Numbers::of(column)?)),
            (kind, Some(each)) => Ok(Self::Each(Numbers::of(column)?, each, kind)),
            _ => Err(Odd),
        }
    }

    /// Adds what each row has to the sum of its place: the one at `at` of so many.
    pub(super) fn add(&self, sums: &mut [i128], at: (usize, usize), places: &[Option<usize>]) {
        let adds = |sum: &mut i128, more: i128| *sum = sum.saturating_add(more);
        match self {
            Self::One => each(sums, at, places, |sum, _| adds(sum, 1)),
            Self::Always => each(sums, at, places, |sum, _| *sum = 1),
            Self::Present(present) => each(sums, at, places, |sum, row| {
                if present.is_valid(row) && present.value(row) {
                    *sum = 1;
                }
            }),
            Self::Counted(counted) => each(sums, at, places, |sum, row| {
                adds(sum, (counted.is_valid(row) && counted.value(row)).into());
            }),
            Self::Numbers(numbers) => each(sums, at, places, |sum, row| {
                adds(sum, numbers.at(row).unwrap_or(0));
            }),
            Self::Each(numbers, of, kind) => each(sums, at, places, |sum, row| {
                adds(
                    sum,
                    numbers.at(row).map_or(0, |number| of.adds(*kind, number)),
                );
            }),
            Self::Different(_) | Self::Kept(_) => {}
        }
    }

    /// The number that a row has, of those that are kept.
    pub(super) fn kept(&self, row: usize) -> Option<i128> {
        match self {
            Self::Kept(numbers) => numbers.at(row),
            _ => None,
        }
    }

    /// The value that a row has, of those that are counted apart.
    pub(super) fn different(&self, row: usize) -> Option<Value> {
        match self {
            Self::Different(values) => values.get(row).copied().flatten(),
            _ => None,
        }
    }
}

impl Each {
    /// What one value adds.
    fn adds(&self, kind: Kind, value: i128) -> i128 {
        let away = value.clamp(self.low, self.high) - self.centre;
        match kind {
            Kind::Values => 1,
            Kind::Squares => away.saturating_mul(away),
            _ => away,
        }
    }

    /// What a person adds to the measure at `at`, by what the person's values add to each.
    pub(super) fn part(&self, at: usize, sum: impl Fn(usize) -> i128) -> i128 {
        let weighed = |at| self.weighed(sum(at), sum(self.counted_by));
        match self.averaged {
            true => {
                let average = weighed(self.counted_by + 1);
                average.saturating_mul(average)
            }
            false => weighed(at),
        }
    }

    /// What a person with so many values adds in all: as much as `rows` values of the same
    /// average.
    fn weighed(&self, sum: i128, values: i128) -> i128 {
        match values > self.rows {
            true => sum.saturating_mul(self.rows) / values.max(1),
            false => sum,
        }
    }
}

/// Gives each row that has a place the sum there.
fn each(
    sums: &mut [i128],
    (width, at): (usize, usize),
    places: &[Option<usize>],
    add: impl Fn(&mut i128, usize),
) {
    for (place, row) in places.iter().zip(0..) {
        if let Some(sum) = place.and_then(|place| sums.get_mut(place * width + at)) {
            add(sum, row);
        }
    }
}

/// Each row's value, as half of a digest of its text.
fn different(column: &ArrayRef) -> Result<Vec<Option<Value>>, Odd> {
    let texts = cast(column, &DataType::LargeUtf8).map_err(|_| Odd)?;
    let texts: &LargeStringArray = texts.as_string_opt::<i64>().ok_or(Odd)?;
    let mut known: HashMap<&str, Value> = HashMap::new();
    let mut value = |text| *known.entry(text).or_insert_with(|| digest(text));
    Ok(texts.iter().map(|text| text.map(&mut value)).collect())
}

fn digest(text: &str) -> Value {
    let digest: RequestDigest = Transcript::new("incamera-distinct-value/1")
        .field(text)
        .finish();
    let (half, _) = digest.as_bytes().split_at(16);
    half.try_into().unwrap_or_default()
}
