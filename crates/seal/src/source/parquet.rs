//! Rows of a Parquet file.
//!
//! | in the agreement | taken from the file's |
//! |---|---|
//! | bool | boolean, integers 0 and 1, text |
//! | int | integers, whole floating-point numbers, text |
//! | decimal | decimals and integers exactly, floating point rounded to the scale, text |
//! | date | dates, moments at midnight as stored (UTC where they have an offset), text |
//! | timestamp | moments with an offset, or without if the agreement says `time_zone`; text |
//! | text, purposes | text |
//! | pseudonym (raw id) | text, integers |
//!
//! Text is plain, large, view or dictionary, and read as in CSV.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use incamera_types::{ColumnSpec, ColumnType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::cell::{Cell, CellError, Typed};
use super::files::SourceFile;
use super::input::{Input, Watch};
use super::rows::{Columns, Field, Rows};
use super::{Place, Reading, SourceError, places};
use crate::ends::Ending;
use crate::guard::guarded;
use crate::keytools::{SourceKeyError, SourceKeys, has_locked_columns};
use crate::writer::ENCRYPTED_MAGIC;

const BATCH_ROWS: usize = 16_384;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;
/// The metadata of a field that names the purposes that its values were collected for.
pub(crate) const PURPOSES_KEY: &str = "incamera.purposes";

/// A Parquet file whose schema was read.
pub(super) struct ParquetFile {
    path: PathBuf,
    builder: ParquetRecordBatchReaderBuilder<Ending<Input>>,
    watch: Watch,
    /// The columns' names.
    pub(super) names: Vec<String>,
}

/// Rows of a Parquet file.
pub(super) struct Batch {
    pub(super) batch: RecordBatch,
    /// Rows of the file before it.
    pub(super) before: u64,
}

/// A Parquet file that is read batch by batch.
pub(super) struct Batches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    watch: Watch,
    before: u64,
}

impl ParquetFile {
    /// Opens the file and reads its schema.
    pub(super) fn open(file: &SourceFile, keys: Option<&SourceKeys>) -> Result<Self, SourceError> {
        let (path, input) = (file.name(), file.open()?);
        let watch = input.watch();
        let locked = || SourceError::Encrypted {
            path: path.into(),
            why: SourceKeyError::Locked,
        };
        if keys.is_none() && has_locked_footer(&input) {
            return Err(locked());
        }
        let builder = guarded(|| {
            let options =
                keys.map_or_else(|| Ok(ArrowReaderOptions::new()), SourceKeys::options)?;
            ParquetRecordBatchReaderBuilder::try_new_with_options(Ending(input), options)
        });
        let builder = builder.map_err(|_| watch.error(path, damaged(path)))?;
        if keys.is_none() && has_locked_columns(builder.metadata()) {
            return Err(locked());
        }
        let fields = builder.schema().fields().iter();
        Ok(Self {
            path: path.into(),
            names: fields.map(|field| field.name().clone()).collect(),
            builder,
            watch,
        })
    }

    /// The purposes that columns say they were collected for.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        tags(self.builder.schema())
    }

    /// The columns `wanted`, and the names that nobody wants.
    pub(super) fn read(self, wanted: &[&str]) -> Result<(Batches, Vec<String>), SourceError> {
        let (at, ignored) = places(&self.path, wanted, &self.names)?;
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), at);
        self.watch.expect(self.builder.metadata(), &mask);
        let builder = self.builder.with_projection(mask);
        let builder = builder.with_batch_size(BATCH_ROWS);
        let reader = guarded(|| builder.build());
        let (path, watch) = (self.path, self.watch);
        match reader {
            Ok(reader) => {
                let batches = Batches {
                    path,
                    reader,
                    watch,
                    before: 0,
                };
                Ok((batches, ignored))
            }
            Err(_) => Err(watch.error(&path, damaged(&path))),
        }
    }
}

fn damaged(path: &Path) -> SourceError {
    SourceError::NotParquet { path: path.into() }
}

/// Whether the file ends as one with an encrypted footer.
fn has_locked_footer(input: &Input) -> bool {
    input
        .magic()
        .is_some_and(|magic| magic == ENCRYPTED_MAGIC.as_slice())
}

fn tags(schema: &Schema) -> BTreeMap<String, String> {
    let tag = |field: &arrow::datatypes::FieldRef| {
        let purposes = field.metadata().get(PURPOSES_KEY)?;
        Some((field.name().clone(), purposes.clone()))
    };
    schema.fields().iter().filter_map(tag).collect()
}

impl Batches {
    /// The next rows.
    pub(super) fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        let batch = guarded(|| self.reader.next().transpose());
        let batch = batch.map_err(|_| self.watch.error(&self.path, damaged(&self.path)))?;
        let before = self.before;
        self.before += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Ok(batch.map(|batch| Batch { batch, before }))
    }
}

/// Reads the rows of a batch.
pub(super) fn read_batch(
    path: &Path,
    batch: &Batch,
    reading: &Reading<'_>,
    rows: &mut Rows<'_>,
) -> Result<(), SourceError> {
    let column = |spec: &ColumnSpec| {
        let own = reading.spec.column(&spec.name);
        let name = own.map_or("", |spec| reading.name_in_file(spec));
        let array = batch.batch.column_by_name(name);
        let array = array.ok_or_else(|| SourceError::MissingColumns {
            path: path.into(),
            names: vec![name.to_owned()],
        })?;
        Column::of(array, spec, name)
    };
    let columns = reading.spec.columns.iter().map(column);
    let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
    let place = |at: usize| Place::Row(batch.before + at as u64 + 1);
    rows.push_columns(batch.batch.num_rows(), place, &columns);
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
    Date(Date32Array),
    /// Moments for a date column, as microseconds.
    Day(TimestampMicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    /// Readings of a zone's clocks, as microseconds.
    Local(TimestampMicrosecondArray),
}

impl Column {
    fn of(array: &ArrayRef, spec: &ColumnSpec, name: &str) -> Result<Self, SourceError> {
        use DataType as D;
        let ty = spec.ty;
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
        let integer = number || ty.is_key() || ty == ColumnType::Bool;
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
            (D::Decimal128(_, s), _) if number => {
                // Not cast, which would copy it.
                Self::Decimal(array.as_primitive().clone(), *s, ty)
            }
            (D::Decimal32(_, s) | D::Decimal64(_, s), _) if number => {
                Self::Decimal(to(&D::Decimal128(38, *s))?.as_primitive().clone(), *s, ty)
            }
            (D::Date32, ColumnType::Date) => Self::Date(array.as_primitive().clone()),
            (D::Date64, ColumnType::Date) => Self::Day(micros(None)?.as_primitive().clone()),
            (D::Timestamp(_, zone), ColumnType::Date) => {
                Self::Day(micros(zone.as_ref())?.as_primitive().clone())
            }
            (D::Timestamp(_, Some(zone)), ColumnType::Timestamp) => {
                Self::Timestamp(micros(Some(zone))?.as_primitive().clone())
            }
            (D::Timestamp(_, None), ColumnType::Timestamp) if spec.time_zone.is_some() => {
                Self::Local(micros(None)?.as_primitive().clone())
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
            Self::Day(array) | Self::Timestamp(array) | Self::Local(array) => array,
        }
    }
}

impl<'c> Columns<'c> for Column {
    fn typed(&'c self) -> Option<Typed<'c>> {
        Some(match self {
            Self::Bool(array) => Typed::Bool(array),
            // What became null in the cast did not fit.
            Self::Int(array, source, _) if array.null_count() == source.null_count() => {
                Typed::Int(array)
            }
            Self::Decimal(array, ..) => Typed::Decimal(array),
            Self::Text(array) => Typed::Text(array),
            Self::Date(array) => Typed::Date(array),
            Self::Timestamp(array) => Typed::Timestamp(array),
            _ => return None,
        })
    }

    fn field(&'c self, at: usize) -> Result<Field<'c>, CellError> {
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
                let moment = array.value(at);
                if moment.rem_euclid(MICROSECONDS_A_DAY) != 0 {
                    return Err(CellError::TimeOfDay);
                }
                let day = moment.div_euclid(MICROSECONDS_A_DAY);
                let expected = ColumnType::Date;
                Cell::Date(i32::try_from(day).map_err(|_| CellError::Range { expected })?)
            }
            Self::Timestamp(array) => Cell::Timestamp(array.value(at)),
            Self::Local(array) => Cell::Local(reading(array.value(at))?),
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

/// A reading of the clocks that is stored as if they were those of UTC.
fn reading(microseconds: i64) -> Result<jiff::civil::DateTime, CellError> {
    let expected = ColumnType::Timestamp;
    let moment = jiff::Timestamp::from_microsecond(microseconds);
    let moment = moment.map_err(|_| CellError::Range { expected })?;
    Ok(jiff::tz::Offset::UTC.to_datetime(moment))
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
