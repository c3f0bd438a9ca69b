//! Rows of a plain Parquet file.
//!
//! | in the agreement | taken from the file's |
//! |---|---|
//! | bool | boolean, integers 0 and 1, text |
//! | int | integers, whole floating-point numbers, text |
//! | decimal | decimals and integers exactly, floating point rounded to the scale, text |
//! | date | dates, moments by calendar day as stored (UTC where they have an offset), text |
//! | timestamp | moments with an offset, text |
//! | text, purposes | text |
//! | pseudonym (raw id) | text, integers |
//!
//! Text is plain, large, view or dictionary, and read as in CSV.

use std::fs::File;
use std::path::Path;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use incamera_types::{ColumnSpec, ColumnType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use super::cell::{Cell, CellError};
use super::rows::{Field, Rows};
use super::{Place, Reading, Source, SourceError, places};
use crate::guard::guarded;
use crate::keytools::{SourceKeyError, SourceKeys, has_locked_columns};
use crate::writer::ENCRYPTED_MAGIC;

const BATCH_ROWS: usize = 8_192;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// Opens the file and gives its columns' names.
pub(super) fn open(
    source: &Source,
) -> Result<(ParquetRecordBatchReaderBuilder<File>, Vec<String>), SourceError> {
    let path = source.path();
    let file = File::open(path).map_err(|source| SourceError::Io {
        path: path.into(),
        source,
    })?;
    let locked = || SourceError::Encrypted {
        path: path.into(),
        why: SourceKeyError::Locked,
    };
    if source.keys().is_none() && has_locked_footer(&file) {
        return Err(locked());
    }
    let keys = source.keys();
    let builder = guarded(|| {
        let options = keys.map_or_else(|| Ok(ArrowReaderOptions::new()), SourceKeys::options)?;
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
    });
    let builder = builder.map_err(|_| SourceError::NotParquet { path: path.into() })?;
    if keys.is_none() && has_locked_columns(builder.metadata()) {
        return Err(locked());
    }
    let fields = builder.schema().fields().iter();
    let names = fields.map(|field| field.name().clone()).collect();
    Ok((builder, names))
}

/// Whether the file ends as one with an encrypted footer.
fn has_locked_footer(file: &File) -> bool {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let end = length.saturating_sub(ENCRYPTED_MAGIC.len() as u64);
    let magic = ChunkReader::get_bytes(file, end, ENCRYPTED_MAGIC.len());
    magic.is_ok_and(|magic| magic == ENCRYPTED_MAGIC.as_slice())
}

/// Reads the file into `rows`; gives the names of columns that nobody asked for.
pub(super) fn read(
    source: &Source,
    reading: &Reading<'_>,
    rows: &mut Rows<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<String>, SourceError> {
    let path = source.path();
    let damaged = || SourceError::NotParquet { path: path.into() };
    let (builder, names) = open(source)?;
    let wanted = reading.names_in_file();
    let (at, ignored) = places(path, &wanted, &names)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), at);
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut reader = guarded(|| builder.build()).map_err(|_| damaged())?;
    while let Some(batch) = guarded(|| reader.next().transpose()).map_err(|_| damaged())? {
        push_batch(&batch, reading, rows)?;
        progress(rows.seen());
    }
    Ok(ignored)
}

fn push_batch(
    batch: &RecordBatch,
    reading: &Reading<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), SourceError> {
    let column = |spec: &ColumnSpec| {
        let name = reading
            .spec
            .column(&spec.name)
            .map(|spec| reading.name_in_file(spec));
        let name = name.unwrap_or_default();
        let array = batch
            .column_by_name(name)
            .ok_or_else(|| SourceError::MissingColumns {
                path: Path::new("").into(),
                names: vec![name.to_owned()],
            })?;
        Column::of(array, spec.ty, name)
    };
    let columns: Vec<Column> = reading
        .spec
        .columns
        .iter()
        .map(column)
        .collect::<Result<_, _>>()?;
    for at in 0..batch.num_rows() {
        let place = Place::Row(rows.seen() + 1);
        rows.push(place, |n| {
            columns
                .get(n)
                .map_or(Ok(Field::Typed(Cell::Null)), |column| column.field(at))
        })?;
    }
    Ok(())
}

/// A column of the file, in the few forms that values are taken from.
enum Column {
    Bool(BooleanArray),
    /// Integers, with the array before the cast: what became null there did not fit.
    Int(Int64Array, ArrayRef, ColumnType),
    Float(Float64Array, ColumnType),
    Decimal(Decimal128Array, i8, ColumnType),
    Text(StringArray),
    Date(arrow::array::Date32Array),
    /// Moments for a date column, as microseconds.
    Day(TimestampMicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
}

impl Column {
    fn of(array: &ArrayRef, ty: ColumnType, name: &str) -> Result<Self, SourceError> {
        use DataType as D;
        let found = array.data_type();
        let wrong = || SourceError::Type {
            column: name.to_owned(),
            found: found.to_string(),
            expected: ty,
        };
        let to = |ty: &DataType| cast(array, ty).map_err(|_| wrong());
        let micros = |zone: Option<&std::sync::Arc<str>>| {
            to(&D::Timestamp(TimeUnit::Microsecond, zone.cloned()))
        };
        if is_text(found) {
            return Ok(Self::Text(to(&D::Utf8)?.as_string::<i32>().clone()));
        }
        let number = ty.is_number();
        let integer = number || matches!(ty, ColumnType::Bool | ColumnType::Pseudonym);
        Ok(match (found, ty) {
            (D::Null, _) => Self::Text(StringArray::new_null(array.len())),
            (D::Boolean, ColumnType::Bool) => Self::Bool(array.as_boolean().clone()),
            (found, _) if integer && found.is_integer() => {
                let integers = to(&D::Int64)?.as_primitive().clone();
                Self::Int(integers, array.clone(), ty)
            }
            (found, _) if number && found.is_floating() => {
                Self::Float(to(&D::Float64)?.as_primitive().clone(), ty)
            }
            (D::Decimal32(_, s) | D::Decimal64(_, s) | D::Decimal128(_, s), _) if number => {
                Self::Decimal(to(&D::Decimal128(38, *s))?.as_primitive().clone(), *s, ty)
            }
            (D::Date32 | D::Date64, ColumnType::Date) => {
                Self::Date(to(&D::Date32)?.as_primitive().clone())
            }
            (D::Timestamp(_, zone), ColumnType::Date) => {
                Self::Day(micros(zone.as_ref())?.as_primitive().clone())
            }
            (D::Timestamp(_, Some(zone)), ColumnType::Timestamp) => {
                Self::Timestamp(micros(Some(zone))?.as_primitive().clone())
            }
            (D::Timestamp(_, None), ColumnType::Timestamp) => {
                return Err(SourceError::NoOffset {
                    column: name.to_owned(),
                });
            }
            _ => return Err(wrong()),
        })
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bool(array) => array,
            Self::Int(_, array, _) => array,
            Self::Float(array, _) => array,
            Self::Decimal(array, _, _) => array,
            Self::Text(array) => array,
            Self::Date(array) => array,
            Self::Day(array) | Self::Timestamp(array) => array,
        }
    }

    fn field(&self, at: usize) -> Result<Field<'_>, CellError> {
        if self.array().is_null(at) {
            return Ok(Field::Typed(Cell::Null));
        }
        Ok(Field::Typed(match self {
            Self::Text(array) => return Ok(Field::Raw(array.value(at))),
            Self::Bool(array) => Cell::Bool(array.value(at)),
            Self::Int(array, _, ty) if array.is_null(at) => {
                return Err(CellError::Range { expected: *ty });
            }
            Self::Int(array, _, ty) => int_cell(array.value(at), *ty)?,
            Self::Float(array, ty) => float_cell(array.value(at), *ty)?,
            Self::Decimal(array, scale, ty) => decimal_cell(array.value(at), *scale, *ty)?,
            Self::Date(array) => Cell::Date(array.value(at)),
            Self::Day(array) => {
                let day = array.value(at).div_euclid(MICROSECONDS_A_DAY);
                let expected = ColumnType::Date;
                Cell::Date(i32::try_from(day).map_err(|_| CellError::Range { expected })?)
            }
            Self::Timestamp(array) => Cell::Timestamp(array.value(at)),
        }))
    }
}

pub(super) fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn int_cell(value: i64, ty: ColumnType) -> Result<Cell<'static>, CellError> {
    match (ty, value) {
        (ColumnType::Bool, 0) => Ok(Cell::Bool(false)),
        (ColumnType::Bool, 1) => Ok(Cell::Bool(true)),
        (ColumnType::Bool, _) => Err(CellError::Form { expected: ty }),
        (ColumnType::Decimal { .. }, _) => decimal_cell(i128::from(value), 0, ty),
        _ => Ok(Cell::Int(value)),
    }
}

/// A floating-point number at the column's scale; whole numbers only for `int`.
fn float_cell(value: f64, ty: ColumnType) -> Result<Cell<'static>, CellError> {
    if value.is_nan() {
        return Ok(Cell::Null);
    }
    if ty == ColumnType::Int && value.fract() != 0.0 {
        return Err(CellError::Form { expected: ty });
    }
    let scaled = (value * 10f64.powi(i32::from(ty.scale()))).round();
    // 2^96 is far outside every type and far inside an i128.
    if scaled.abs() > 2f64.powi(96) {
        return Err(CellError::Range { expected: ty });
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and its size is checked"
    )]
    let whole = scaled as i128;
    if ty == ColumnType::Int {
        let expected = ty;
        return i64::try_from(whole)
            .map(Cell::Int)
            .map_err(|_| CellError::Range { expected });
    }
    Ok(Cell::Decimal(whole))
}

/// A decimal at the column's scale, if no digit is lost.
fn decimal_cell(unscaled: i128, scale: i8, ty: ColumnType) -> Result<Cell<'static>, CellError> {
    let range = CellError::Range { expected: ty };
    let wanted = i32::from(ty.scale());
    let shift = wanted - i32::from(scale);
    let factor = 10i128
        .checked_pow(shift.unsigned_abs())
        .ok_or(range.clone())?;
    let value = if shift >= 0 {
        unscaled.checked_mul(factor).ok_or(range.clone())?
    } else if unscaled % factor == 0 {
        unscaled / factor
    } else {
        return Err(CellError::Scale { digits: ty.scale() });
    };
    match ty {
        ColumnType::Int => i64::try_from(value).map(Cell::Int).map_err(|_| range),
        _ => Ok(Cell::Decimal(value)),
    }
}
