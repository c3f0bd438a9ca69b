//! The range of every value, which the scan enforces: plans rest on it.
//!
//! # Claim
//! Whatever an owner sealed, a value that the engine sees is one that the agreement declares
//! and that every conversion on the allow-list can take (I7): numbers lie in their declared
//! range, days and moments in the years 1 to 9999, texts are listed, or at most
//! [`MAX_TEXT_BYTES`] long. Values change; rows are neither added nor dropped.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, LargeStringArray, PrimitiveArray,
};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType};

use crate::tables::arrow_type;

/// 0001-01-01, in days since 1970-01-01.
pub(crate) const FIRST_DAY: i32 = -719_162;
/// 9999-12-31, in days since 1970-01-01.
pub(crate) const LAST_DAY: i32 = 2_932_896;
/// Microseconds of a day.
pub(crate) const DAY_US: i64 = 86_400_000_000;

/// The least and the most of a number column, in units of its scale: as declared, and never
/// outside its type.
pub(crate) fn range(column: &ColumnSpec) -> (i128, i128) {
    let most = match column.ty {
        ColumnType::Decimal { precision, .. } => 10i128.pow(u32::from(precision).min(38)) - 1,
        _ => i128::from(i64::MAX),
    };
    let scale = column.ty.scale();
    let bound = |declared: Option<incamera_types::Decimal>, other: i128| {
        let declared = declared.and_then(|number| number.rescale(scale).ok());
        declared.map_or(other, |number| number.unscaled().clamp(-most, most))
    };
    let (low, high) = (bound(column.min, -most), bound(column.max, most));
    (low, high.max(low))
}

/// The least and the most that the engine sees of a column of numbers, days or moments.
pub(crate) fn ends(column: &ColumnSpec) -> (i128, i128) {
    let (first, last) = (i128::from(FIRST_DAY), i128::from(LAST_DAY));
    let day = i128::from(DAY_US);
    match column.ty {
        ColumnType::Bool => (0, 1),
        ColumnType::Date => (first, last),
        ColumnType::Timestamp => (first * day, (last + 1) * day - 1),
        _ => range(column),
    }
}

/// Whether the engine sees a text of a column as it is, and not as null.
pub(crate) fn is_sound(text: &str, column: &ColumnSpec) -> bool {
    match column.values.as_deref() {
        Some(values) => values.iter().any(|value| value == text),
        None => text.len() <= MAX_TEXT_BYTES,
    }
}

/// The longest text of a column that the engine sees, in bytes.
pub(crate) fn longest_text(column: &ColumnSpec) -> usize {
    let listed = column.values.as_deref();
    listed.map_or(MAX_TEXT_BYTES, |values| {
        values.iter().map(String::len).max().unwrap_or(0)
    })
}

/// A stored column as the engine takes it, every value in its range; nothing if it is not of
/// the column's type.
pub(crate) fn in_range(array: &ArrayRef, column: &ColumnSpec) -> Option<ArrayRef> {
    let (low, high) = ends(column);
    let narrow = |bound: i128| i64::try_from(bound).ok();
    let day = |bound: i128| i32::try_from(bound).ok();
    let array = match column.ty {
        ColumnType::Int => clamped::<Int64Type>(array, narrow(low)?, narrow(high)?)?,
        ColumnType::Decimal { .. } => clamped::<Decimal128Type>(array, low, high)?,
        ColumnType::Date => clamped::<Date32Type>(array, day(low)?, day(high)?)?,
        ColumnType::Timestamp => {
            clamped::<TimestampMicrosecondType>(array, narrow(low)?, narrow(high)?)?
        }
        ColumnType::Text => texts(array, column)?,
        _ => Arc::clone(array),
    };
    (array.data_type() == &arrow_type(column.ty)).then_some(array)
}

/// Values in their range; as they are if they are in it already.
fn clamped<T>(array: &ArrayRef, low: T::Native, high: T::Native) -> Option<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Ord,
{
    let values: &PrimitiveArray<T> = array.as_primitive_opt()?;
    let least = min(values).is_none_or(|value| value >= low);
    if least && max(values).is_none_or(|value| value <= high) {
        return Some(Arc::clone(array));
    }
    let clamped = values.unary::<_, T>(|value| value.clamp(low, high));
    Some(Arc::new(clamped.with_data_type(array.data_type().clone())))
}

/// Texts with wide offsets, so that no join can gather more of them than an array holds; those
/// too long, or not listed where there is a list, become null.
fn texts(array: &ArrayRef, column: &ColumnSpec) -> Option<ArrayRef> {
    let narrow = array.as_string_opt::<i32>()?;
    let sound = |text: &str| is_sound(text, column);
    if narrow.iter().flatten().all(sound) {
        return cast(array, &DataType::LargeUtf8).ok();
    }
    let kept = narrow.iter().map(|text| text.filter(|text| sound(text)));
    Some(Arc::new(kept.collect::<LargeStringArray>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use incamera_types::Date;

    #[test]
    fn the_years_are_1_to_9999() {
        let days = |text: &str| text.parse::<Date>().unwrap().days();
        assert_eq!(days("0001-01-01"), FIRST_DAY);
        assert_eq!(days("9999-12-31"), LAST_DAY);
    }
}
