//! Which row groups of a part can hold a row that counts, by the statistics of columns that
//! were opened.
//!
//! # Claim
//! A row group is left out only if its statistics say that no row is within the bounds. The
//! statistics of a column stand under the column's own key: without the key there are none, and
//! nothing is left out for it. They are the owner's word, as its rows are: an owner who writes
//! false ones hides its own rows, as if it had not sealed them.
//!
//! There is no page index, which would leave out single pages: the reader opens it for all
//! columns or for none, and fails where a key is withheld.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use incamera_types::ColumnName;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// What a value must be for its row to count. Null never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// In one of these ranges: a number in units of its column's scale, a day since 1970-01-01,
    /// a moment in microseconds since then, false as 0 and true as 1.
    Numbers(Vec<RangeInclusive<i128>>),
    /// One of these texts.
    Texts(BTreeSet<String>),
}

/// What the values of some columns must be for a row to count: all of them at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds(BTreeMap<ColumnName, Bound>);

impl FromIterator<(ColumnName, Bound)> for Bounds {
    fn from_iter<T: IntoIterator<Item = (ColumnName, Bound)>>(bounds: T) -> Self {
        Self(bounds.into_iter().collect())
    }
}

impl Bounds {
    /// Bounds that every row keeps to.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What is known of a column.
    #[must_use]
    pub fn of(&self, column: &ColumnName) -> Option<&Bound> {
        self.0.get(column)
    }

    /// For each row group, whether a row of it can be within the bounds of `columns`.
    pub(crate) fn may_hold(
        &self,
        metadata: &ParquetMetaData,
        stored: &Schema,
        columns: &[ColumnName],
    ) -> Vec<bool> {
        let mut may = vec![true; metadata.num_row_groups()];
        for (column, bound) in self.0.iter().filter(|(column, _)| columns.contains(column)) {
            // What cannot be read says nothing.
            let Ok(found) = Statistics::read(metadata, stored, column) else {
                continue;
            };
            for (at, may) in may.iter_mut().enumerate() {
                *may = *may && found.may_hold(at, bound);
            }
        }
        may
    }
}

/// What a part says of one column, row group by row group.
struct Statistics {
    least: ArrayRef,
    most: ArrayRef,
    nulls: UInt64Array,
    rows: Vec<u64>,
}

impl Statistics {
    fn read(
        metadata: &ParquetMetaData,
        stored: &Schema,
        column: &ColumnName,
    ) -> Result<Self, ParquetError> {
        let parquet = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(column.as_str(), stored, parquet)?
            .with_missing_null_counts_as_zero(false);
        let groups = metadata.row_groups();
        let rows = groups.iter();
        let rows = rows.map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
        Ok(Self {
            least: converter.row_group_mins(groups)?,
            most: converter.row_group_maxes(groups)?,
            nulls: converter.row_group_null_counts(groups)?,
            rows: rows.collect(),
        })
    }

    fn may_hold(&self, at: usize, bound: &Bound) -> bool {
        let nulls = self.nulls.is_valid(at).then(|| self.nulls.value(at));
        if nulls.is_some() && nulls == self.rows.get(at).copied() {
            return false;
        }
        match bound {
            Bound::Numbers(ranges) => {
                let ends = (number(&self.least, at), number(&self.most, at));
                let (Some(least), Some(most)) = ends else {
                    return true;
                };
                let meets = |range: &RangeInclusive<i128>| {
                    *range.start() <= most && least <= *range.end() && !range.is_empty()
                };
                ranges.iter().any(meets)
            }
            Bound::Texts(texts) => {
                let ends = (text(&self.least, at), text(&self.most, at));
                let (Some(least), Some(most)) = ends else {
                    return true;
                };
                texts
                    .iter()
                    .map(String::as_str)
                    .any(|one| least <= one && one <= most)
            }
        }
    }
}

fn number(values: &ArrayRef, at: usize) -> Option<i128> {
    if at >= values.len() || values.is_null(at) {
        return None;
    }
    match values.data_type() {
        DataType::Boolean => Some(values.as_boolean_opt()?.value(at).into()),
        DataType::Int64 => Some(values.as_primitive_opt::<Int64Type>()?.value(at).into()),
        DataType::Date32 => Some(values.as_primitive_opt::<Date32Type>()?.value(at).into()),
        DataType::Decimal128(..) => Some(values.as_primitive_opt::<Decimal128Type>()?.value(at)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let moments = values.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(moments.value(at).into())
        }
        _ => None,
    }
}

fn text(values: &ArrayRef, at: usize) -> Option<&str> {
    let texts = values.as_string_opt::<i32>()?;
    (at < texts.len() && texts.is_valid(at)).then(|| texts.value(at))
}
