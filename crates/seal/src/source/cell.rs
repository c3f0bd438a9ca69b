//! One value on its way from a file into a typed column.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Date32Array, Date32Builder, Decimal128Array,
    Decimal128Builder, FixedSizeBinaryArray, Int64Array, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType, Date, Decimal, OtherText, Pseudonym, ValueError};
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

/// Why a value is not taken. Never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CellError {
    /// No value where there must be one.
    #[error("the value is missing, and the agreement does not say `nullable`")]
    Missing,
    /// Not of the column's type.
    #[error("the value is not a {expected}")]
    Form {
        /// The type of the agreement.
        expected: ColumnType,
    },
    /// More digits after the point than the type has.
    #[error(
        "the number has more than {digits} digits after the point: round it, or let the agreement have more"
    )]
    Scale {
        /// The digits allowed.
        digits: u8,
    },
    /// Too large for the type.
    #[error("the number is too large for a {expected}")]
    Range {
        /// The type of the agreement.
        expected: ColumnType,
    },
    /// Not one of the agreement's texts.
    #[error(
        "the text is not among the agreement's `values`: mend the file, or say `other` in the agreement"
    )]
    NotListed,
    /// A text that is too long.
    #[error("the text is longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("the value is not UTF-8: save the file as UTF-8")]
    NotUtf8,
    /// A moment without its offset from UTC.
    #[error(
        "the moment has no offset from UTC: write it with `Z` or an offset such as `+01:00`, or let the agreement say `time_zone`"
    )]
    NoOffset,
    /// A moment, not at midnight, for a date.
    #[error(
        "the moment has a time of day (by UTC, where it has an offset), which a date has not: write the column as dates of the time zone that is meant, or let the agreement say `timestamp`"
    )]
    TimeOfDay,
    /// A consent that names an unknown purpose.
    #[error("a purpose is named that the agreement does not have")]
    UnknownPurpose,
}

/// A value, typed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Unscaled, at the column's scale.
    Decimal(i128),
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// A reading of the clocks of the column's zone.
    Local(DateTime),
}

/// A column of a file that is typed already.
pub(crate) enum Typed<'a> {
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    Decimal(&'a Decimal128Array),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Text(&'a StringArray),
}

/// Reads a field of a text file as a value of `ty`. Nothing between the separators is no value.
pub(crate) fn parse(text: &str, ty: ColumnType) -> Result<Cell<'_>, CellError> {
    if ty == ColumnType::Text {
        return Ok(if text.is_empty() {
            Cell::Null
        } else {
            Cell::Text(text)
        });
    }
    let text = text.trim();
    if text.is_empty() {
        return Ok(Cell::Null);
    }
    let form = CellError::Form { expected: ty };
    match ty {
        ColumnType::Bool => bool_of(text).map(Cell::Bool).ok_or(form),
        ColumnType::Int => int_of(text, ty),
        ColumnType::Decimal { scale, .. } => decimal_of(text, scale, ty),
        ColumnType::Date => text
            .parse::<Date>()
            .map(|date| Cell::Date(date.days()))
            .map_err(|_| form),
        ColumnType::Timestamp => timestamp_of(text),
        _ => Err(form),
    }
}

fn bool_of(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn int_of(text: &str, expected: ColumnType) -> Result<Cell<'static>, CellError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse()
        .map(Cell::Int)
        .map_err(|error: std::num::ParseIntError| match error.kind() {
            NegOverflow | PosOverflow => CellError::Range { expected },
            _ => CellError::Form { expected },
        })
}

fn decimal_of(text: &str, scale: u8, expected: ColumnType) -> Result<Cell<'static>, CellError> {
    match Decimal::parse(text, scale) {
        Ok(number) => Ok(Cell::Decimal(number.unscaled())),
        Err(ValueError::Scale { digits }) => Err(CellError::Scale { digits }),
        Err(ValueError::Range) => Err(CellError::Range { expected }),
        Err(_) => Err(CellError::Form { expected }),
    }
}

fn timestamp_of(text: &str) -> Result<Cell<'static>, CellError> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(Cell::Timestamp(moment.as_microsecond()));
    }
    let expected = ColumnType::Timestamp;
    let local = text.parse().map_err(|_| CellError::Form { expected });
    local.map(Cell::Local)
}

enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    /// Pseudonyms of a kind.
    Keys(Vec<Option<[u8; Pseudonym::BYTES]>>),
}

/// A typed column that grows, with the agreement's rules for its values.
pub(crate) struct ColumnBuilder<'a> {
    spec: &'a ColumnSpec,
    values: Values,
    min: Option<i128>,
    max: Option<i128>,
    allowed: Option<HashSet<&'a str>>,
    pub(crate) changed: Changed,
}

/// How many values of a column were changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Numbers brought into the agreement's range.
    pub(crate) clamped: u64,
    /// Texts outside the agreement's list, made null or replaced; ids that were never matched.
    pub(crate) replaced: u64,
    /// Readings that the zone's clocks showed twice, taken as the first time.
    pub(crate) twice: u64,
    /// Readings that the zone's clocks left out, moved on by as much as these were.
    pub(crate) skipped: u64,
}

impl<'a> ColumnBuilder<'a> {
    /// A builder for a stored column with values; none for one that says whose row it is.
    pub(crate) fn new(spec: &'a ColumnSpec) -> Option<Self> {
        let values = match spec.ty {
            ColumnType::Bool => Values::Bool(BooleanBuilder::new()),
            ColumnType::Int => Values::Int(Int64Builder::new()),
            ColumnType::Decimal { .. } => Values::Decimal(Decimal128Builder::new()),
            ColumnType::Text => Values::Text(StringBuilder::new()),
            ColumnType::Date => Values::Date(Date32Builder::new()),
            ColumnType::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnType::Pseudonym => Values::Keys(Vec::new()),
            _ => return None,
        };
        let (lowest, highest) = natural_range(spec.ty);
        let min = spec.min.map(|min| bound(min, spec.ty.scale(), true));
        let max = spec.max.map(|max| bound(max, spec.ty.scale(), false));
        let values_listed = spec.values.as_ref();
        Some(Self {
            spec,
            values,
            min: min.map(|min| min.clamp(lowest, highest)),
            max: max.map(|max| max.clamp(lowest, highest)),
            allowed: values_listed.map(|list| list.iter().map(String::as_str).collect()),
            changed: Changed::default(),
        })
    }

    /// The column's declaration.
    pub(crate) fn spec(&self) -> &'a ColumnSpec {
        self.spec
    }

    /// Appends a value, after the agreement's rules.
    pub(crate) fn push(&mut self, cell: Cell<'_>) -> Result<(), CellError> {
        match cell {
            Cell::Null => return self.push_null(),
            Cell::Text(text) => return self.push_text(text),
            Cell::Local(reading) => return self.push_local(reading),
            _ => {}
        }
        let form = CellError::Form {
            expected: self.spec.ty,
        };
        match (&self.values, cell) {
            (Values::Int(_), Cell::Int(value)) => {
                let value = self.clamp(i128::from(value))?;
                let value = i64::try_from(value).map_err(|_| form)?;
                self.append(Cell::Int(value))
            }
            (Values::Decimal(_), Cell::Decimal(value)) => {
                let value = self.clamp(value)?;
                self.append(Cell::Decimal(value))
            }
            _ => self.append(cell),
        }
    }

    /// Appends the pseudonym of an id; an id without one is counted, and is as none.
    pub(crate) fn push_key(&mut self, key: Option<Pseudonym>) -> Result<(), CellError> {
        match (key, &mut self.values) {
            (Some(key), Values::Keys(keys)) => keys.push(Some(*key.as_bytes())),
            _ => {
                self.push_null()?;
                self.changed.replaced += 1;
            }
        }
        Ok(())
    }

    /// Appends what is known to keep the rules.
    fn append(&mut self, cell: Cell<'_>) -> Result<(), CellError> {
        match (&mut self.values, cell) {
            (Values::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (Values::Int(builder), Cell::Int(value)) => builder.append_value(value),
            (Values::Decimal(builder), Cell::Decimal(value)) => builder.append_value(value),
            (Values::Text(builder), Cell::Text(value)) => builder.append_value(value),
            (Values::Date(builder), Cell::Date(value)) => builder.append_value(value),
            (Values::Timestamp(builder), Cell::Timestamp(value)) => builder.append_value(value),
            _ => {
                return Err(CellError::Form {
                    expected: self.spec.ty,
                });
            }
        }
        Ok(())
    }

    fn push_null(&mut self) -> Result<(), CellError> {
        if !self.spec.nullable {
            return Err(CellError::Missing);
        }
        match &mut self.values {
            Values::Bool(builder) => builder.append_null(),
            Values::Int(builder) => builder.append_null(),
            Values::Decimal(builder) => builder.append_null(),
            Values::Text(builder) => builder.append_null(),
            Values::Date(builder) => builder.append_null(),
            Values::Timestamp(builder) => builder.append_null(),
            Values::Keys(keys) => keys.push(None),
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Result<(), CellError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CellError::TooLong);
        }
        if self.listed(text) {
            return self.append(Cell::Text(text));
        }
        let spec = self.spec;
        match &spec.other {
            OtherText::Null => self.push_null()?,
            OtherText::Becomes(other) => self.append(Cell::Text(other))?,
            _ => return Err(CellError::NotListed),
        }
        self.changed.replaced += 1;
        Ok(())
    }

    fn listed(&self, text: &str) -> bool {
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|allowed| allowed.contains(text))
    }

    /// A reading of the clocks: of two moments that it may mean the first, and where the clocks
    /// left it out, the moment as far after as they were moved.
    fn push_local(&mut self, reading: DateTime) -> Result<(), CellError> {
        let expected = self.spec.ty;
        let zone = self.spec.time_zone.as_ref().ok_or(CellError::NoOffset)?;
        let moment = zone.zone().to_ambiguous_timestamp(reading);
        let offset = moment.offset();
        let moment = moment.compatible();
        let moment = moment.map_err(|_| CellError::Range { expected })?;
        self.append(Cell::Timestamp(moment.as_microsecond()))?;
        self.changed.twice += u64::from(matches!(offset, AmbiguousOffset::Fold { .. }));
        self.changed.skipped += u64::from(matches!(offset, AmbiguousOffset::Gap { .. }));
        Ok(())
    }

    /// Whether all of these numbers are taken without a change.
    fn takes_all(&self, mut numbers: impl Iterator<Item = i128>) -> bool {
        let (lowest, highest) = natural_range(self.spec.ty);
        let range = self.min.unwrap_or(lowest)..=self.max.unwrap_or(highest);
        numbers.all(|number| range.contains(&number))
    }

    /// The whole of a typed column, if every value of it is taken as it is.
    pub(crate) fn as_it_is(&self, column: &Typed<'_>) -> Option<ArrayRef> {
        let nulls = |array: &dyn Array| array.null_count() == 0 || self.spec.nullable;
        match (column, self.spec.ty) {
            (Typed::Bool(array), ColumnType::Bool) if nulls(*array) => {
                Some(Arc::new((*array).clone()))
            }
            (Typed::Int(array), ColumnType::Int) if nulls(*array) => {
                let free = self.min.is_none() && self.max.is_none();
                let fits = free || self.takes_all(array.iter().flatten().map(i128::from));
                fits.then(|| Arc::new((*array).clone()) as ArrayRef)
            }
            (Typed::Decimal(array), ColumnType::Decimal { precision, scale }) if nulls(*array) => {
                let same = i16::from(scale) == i16::from(array.scale());
                let fits = same && self.takes_all(array.iter().flatten());
                let scale = i8::try_from(scale).ok()?;
                let typed = || (*array).clone().with_precision_and_scale(precision, scale);
                fits.then(typed)?
                    .ok()
                    .map(|array| Arc::new(array) as ArrayRef)
            }
            (Typed::Date(array), ColumnType::Date) if nulls(*array) => {
                Some(Arc::new((*array).clone()))
            }
            (Typed::Timestamp(array), ColumnType::Timestamp) if nulls(*array) => {
                Some(Arc::new((*array).clone().with_timezone("UTC")))
            }
            (Typed::Text(array), ColumnType::Text) if nulls(*array) => {
                // An empty text is no value.
                let fits = |text: &str| (1..=MAX_TEXT_BYTES).contains(&text.len());
                let fits = |text: &str| fits(text) && self.listed(text);
                let all = array.iter().flatten().all(fits);
                all.then(|| Arc::new((*array).clone()) as ArrayRef)
            }
            _ => None,
        }
    }

    fn clamp(&mut self, value: i128) -> Result<i128, CellError> {
        let low = self.min.map_or(value, |min| value.max(min));
        let kept = self.max.map_or(low, |max| low.min(max));
        let (lowest, highest) = natural_range(self.spec.ty);
        if !(lowest..=highest).contains(&kept) {
            return Err(CellError::Range {
                expected: self.spec.ty,
            });
        }
        self.changed.clamped += u64::from(kept != value);
        Ok(kept)
    }

    /// The column as an Arrow array of its type.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match &mut self.values {
            Values::Bool(builder) => Arc::new(builder.finish()),
            Values::Int(builder) => Arc::new(builder.finish()),
            Values::Decimal(builder) => {
                let (precision, scale) = match self.spec.ty {
                    ColumnType::Decimal { precision, scale } => (precision, scale),
                    _ => (1, 0),
                };
                let scale = i8::try_from(scale).unwrap_or_default();
                Arc::new(
                    builder
                        .finish()
                        .with_precision_and_scale(precision, scale)?,
                )
            }
            Values::Text(builder) => Arc::new(builder.finish()),
            Values::Date(builder) => Arc::new(builder.finish()),
            Values::Timestamp(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Values::Keys(keys) => {
                let keys = std::mem::take(keys);
                let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    keys.into_iter(),
                    width,
                )?)
            }
        })
    }
}

/// What a type can hold, unscaled.
fn natural_range(ty: ColumnType) -> (i128, i128) {
    match ty {
        ColumnType::Decimal { precision, .. } => {
            let highest = 10i128.saturating_pow(u32::from(precision)) - 1;
            (-highest, highest)
        }
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    }
}

/// A bound at a column's scale; digits that the column does not have narrow the range.
fn bound(number: Decimal, scale: u8, is_min: bool) -> i128 {
    if scale >= number.scale() {
        let factor = 10i128.saturating_pow(u32::from(scale - number.scale()));
        return number.unscaled().saturating_mul(factor);
    }
    let factor = 10i128.saturating_pow(u32::from(number.scale() - scale));
    let floor = number.unscaled().div_euclid(factor);
    let exact = number.unscaled().rem_euclid(factor) == 0;
    if is_min && !exact { floor + 1 } else { floor }
}

#[cfg(test)]
mod tests {
    use incamera_types::PurposeSet;
    use proptest::prelude::*;

    use super::*;

    fn spec(ty: &str, range: Option<(i64, i64)>, nullable: bool) -> ColumnSpec {
        let number = |number: i64| Decimal::parse(&number.to_string(), 0).unwrap();
        ColumnSpec {
            name: "c".parse().unwrap(),
            ty: ty.parse().unwrap(),
            nullable,
            purposes: PurposeSet::default(),
            unit: None,
            min: range.map(|(min, _)| number(min)),
            max: range.map(|(_, max)| number(max)),
            values: None,
            other: OtherText::Refuse,
            id_kind: None,
            time_zone: None,
        }
    }

    /// The column that its values make one by one, if none is refused or changed.
    fn one_by_one<'c>(
        spec: &ColumnSpec,
        cells: impl Iterator<Item = Option<Cell<'c>>>,
    ) -> Option<ArrayRef> {
        let mut builder = ColumnBuilder::new(spec).unwrap();
        for cell in cells {
            builder.push(cell.unwrap_or(Cell::Null)).ok()?;
        }
        (builder.changed == Changed::default()).then(|| builder.finish().unwrap())
    }

    proptest! {
        /// A column is taken as it is just where each of its numbers would be.
        #[test]
        fn whole_columns_are_taken_as_their_values_would_be(
            numbers in prop::collection::vec(prop::option::weighted(0.95, -1_100i64..1_100), 0..12),
            range in prop::option::of((-1_200i64..0, 0i64..1_200)),
            nullable in any::<bool>(),
        ) {
            let ints = spec("int", range, nullable);
            let array = Int64Array::from(numbers.clone());
            let whole = ColumnBuilder::new(&ints).unwrap().as_it_is(&Typed::Int(&array));
            let cells = numbers.iter().map(|number| number.map(Cell::Int));
            prop_assert_eq!(whole, one_by_one(&ints, cells));
            // Its own range is narrower than what the array could hold.
            let range = range.map(|(low, high)| (low / 10, high / 10));
            let decimals = spec("decimal(3,1)", range, nullable);
            let unscaled = numbers.iter().map(|number| number.map(i128::from));
            let array = Decimal128Array::from_iter(unscaled.clone());
            let array = array.with_precision_and_scale(38, 1).unwrap();
            let whole = ColumnBuilder::new(&decimals).unwrap().as_it_is(&Typed::Decimal(&array));
            let cells = unscaled.map(|number| number.map(Cell::Decimal));
            prop_assert_eq!(whole, one_by_one(&decimals, cells));
        }
    }
}
