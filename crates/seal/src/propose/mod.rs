//! What an agreement could say of a file: columns, types and bounds, proposed from its values.
//!
//! # What a proposal holds
//! It is meant for an agreement, which other organisations read. So it holds no value of a
//! cell: bounds are moved outward to plain figures, distinct texts are counted roughly and never
//! listed, and how many rows there are is not said. Names of columns it does hold: an agreement
//! has to name them.
//!
//! A file is read once, row by row; what is kept is a few numbers a column.

mod figures;
mod seen;
mod words;

use std::io::BufReader;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use csv::ByteRecord;
use incamera_types::limits::MAX_COLUMNS;
use incamera_types::{ColumnType, DatasetName, Decimal, IdKind, PurposeSet};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::ends::Ending;
use crate::guard::guarded;
use crate::source::{Refused, SourceFile, open_text, unreadable};
use crate::{CellError, Place, Source, SourceError};
use seen::Seen;

const BATCH_ROWS: usize = 8_192;
/// Rows between two calls of the progress function.
const PROGRESS_ROWS: u64 = 65_536;

/// Why nothing is proposed. Never holds a value of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// The file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file's name is no name of a data set.
    #[error(
        "`{}` is not named like a data set: rename it to lower-case letters, digits, `-` and `_`, a letter first", path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The first line holds values.
    #[error(
        "`{}` has no line of column names: one of its first line's fields is a number, a day, an address or empty; write the names of the columns into the first line", path.display()
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// Too many columns.
    #[error("`{}` has more than {MAX_COLUMNS} columns: leave out what no query needs", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
    },
}

/// What is known besides the file.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The purposes that consents may name, where they are known.
    pub purposes: PurposeSet,
}

/// What an agreement could say of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proposal {
    /// The data set, named after the file.
    pub dataset: DatasetName,
    /// The columns of the file, in its order.
    pub columns: Vec<ProposedColumn>,
}

impl Proposal {
    /// The kind of id that people are known by in the file, where one was found.
    #[must_use]
    pub fn id_kind(&self) -> Option<&IdKind> {
        self.columns
            .iter()
            .find_map(|column| column.id_kind.as_ref())
    }

    /// Whether a column says what people agreed to.
    #[must_use]
    pub fn has_consents(&self) -> bool {
        let mut columns = self.columns.iter();
        columns.any(|column| column.ty == Some(ColumnType::Purposes))
    }
}

/// What an agreement could say of a column.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProposedColumn {
    /// Its name in the file.
    pub name: String,
    /// Its type; none where it should stay out of the agreement.
    pub ty: Option<ColumnType>,
    /// Whether a value is missing somewhere.
    pub nullable: bool,
    /// Bounds outside of all values, in plain figures.
    pub bounds: Option<(Decimal, Decimal)>,
    /// Of moments: whether they are written without an offset from UTC.
    pub without_offset: bool,
    /// Of the pseudonym: the kind of id.
    pub id_kind: Option<IdKind>,
    /// Why it is proposed so, a clause each; of no value.
    pub why: Vec<String>,
}

/// Proposes what an agreement could say of a CSV or Parquet file, or of a folder of such as one.
///
/// # Errors
/// [`ProposeError`].
pub fn propose(
    path: &Path,
    hints: &Hints,
    progress: &mut dyn FnMut(u64),
) -> Result<Proposal, ProposeError> {
    let shown = Source::shown(path);
    let stem = shown.file_stem().and_then(|stem| stem.to_str());
    let dataset = stem.and_then(|stem| stem.to_ascii_lowercase().parse().ok());
    let dataset = dataset.ok_or_else(|| ProposeError::Name { path: shown })?;
    let source = Source::of(path)?;
    let (mut seen, mut rows, mut before) = (Vec::new(), 0, 0);
    for file in source.files() {
        let first = Some(seen).filter(|seen| !seen.is_empty());
        let names = Names { file, hints, first };
        let progress = &mut |now| {
            rows = before + now;
            progress(rows);
        };
        seen = match source.is_parquet() {
            false => csv_columns(names, progress)?,
            true => parquet_columns(names, progress)?,
        };
        before = rows;
    }
    let mut columns: Vec<ProposedColumn> = seen.into_iter().map(Seen::proposed).collect();
    one_pseudonym(&mut columns);
    Ok(Proposal { dataset, columns })
}

/// One column says who a row is about: the first e-mail address, else the first id. Others that
/// name people stay out: raw ids stay at home.
fn one_pseudonym(columns: &mut [ProposedColumn]) {
    let rank = |column: &ProposedColumn| match column.id_kind.as_ref().map(IdKind::as_str) {
        Some("email") => 0,
        Some("phone") => 1,
        _ => 2,
    };
    let ids = columns.iter().enumerate();
    let ids = ids.filter(|(_, column)| column.ty == Some(ColumnType::Pseudonym));
    let first = ids
        .min_by_key(|(at, column)| (rank(column), *at))
        .map(|(at, _)| at);
    for (at, column) in columns.iter_mut().enumerate() {
        if column.ty == Some(ColumnType::Pseudonym) && Some(at) != first {
            (column.ty, column.id_kind) = (None, None);
            column.why.push(
                "another column says already who a row is about, and raw ids stay at home"
                    .to_owned(),
            );
        }
    }
}

/// A file, and what the files before it say of its columns.
struct Names<'p, 'h> {
    file: &'p SourceFile,
    hints: &'h Hints,
    first: Option<Vec<Seen<'h>>>,
}

/// The columns in the order of another file, if it has the same.
fn reordered<'h>(mut seen: Vec<Seen<'h>>, names: &[String]) -> Option<Vec<Seen<'h>>> {
    let mut column = |name: &String| {
        let at = seen.iter().position(|seen| seen.name == *name)?;
        Some(seen.swap_remove(at))
    };
    let columns = names.iter().map(&mut column).collect::<Option<Vec<_>>>()?;
    seen.is_empty().then_some(columns)
}

/// The columns by their names, which are not to be somebody's values.
fn named<'h>(
    Names { file, hints, first }: Names<'_, 'h>,
    names: Vec<String>,
) -> Result<Vec<Seen<'h>>, ProposeError> {
    let path = file.name();
    if let Some(first) = first {
        let other = || SourceError::OtherColumns { path: path.into() };
        return Ok(reordered(first, &names).ok_or_else(other)?);
    }
    if names.len() > MAX_COLUMNS {
        return Err(ProposeError::Columns { path: path.into() });
    }
    if names.is_empty() || names.iter().any(|name| seen::is_value(name)) {
        return Err(ProposeError::NoHeader { path: path.into() });
    }
    Ok(names
        .into_iter()
        .map(|name| Seen::new(name, hints))
        .collect())
}

fn csv_columns<'h>(
    file: Names<'_, 'h>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Seen<'h>>, ProposeError> {
    let (path, before) = (file.file.name(), file);
    let input = BufReader::with_capacity(1 << 20, open_text(before.file)?);
    let mut reader = csv::Reader::from_reader(input);
    let names = reader.byte_headers().map_err(|error| of_csv(path, error))?;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_start_matches('\u{feff}').trim().to_owned()
    };
    let mut seen = named(before, names.iter().map(text).collect())?;
    let (mut record, mut rows, mut refused) = (ByteRecord::new(), 0u64, Refused::default());
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| of_csv(path, error))?
    {
        let place = Place::Line(record.position().map_or(1, csv::Position::line));
        for (at, (column, bytes)) in seen.iter_mut().zip(record.iter()).enumerate() {
            match std::str::from_utf8(bytes) {
                Ok(text) => column.see(text),
                Err(_) => refused.note(at, 0, place, CellError::NotUtf8),
            }
        }
        rows += 1;
        if rows.is_multiple_of(PROGRESS_ROWS) {
            progress(rows);
        }
    }
    progress(rows);
    // What sealing would refuse is not proposed.
    if !refused.is_empty() {
        let name = |at: usize| {
            seen.get(at)
                .map_or(String::new(), |column| column.name.clone())
        };
        let columns = refused.columns(name, |_| None);
        return Err(SourceError::Values { columns }.into());
    }
    Ok(seen)
}

fn of_csv(path: &Path, error: csv::Error) -> SourceError {
    match error.into_kind() {
        csv::ErrorKind::Io(source) => unreadable(path, source),
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => SourceError::Ragged {
            place: Place::Line(pos.map_or(0, |pos| pos.line())),
            found: len,
            expected: expected_len,
        },
        _ => unreadable(path, std::io::ErrorKind::InvalidData.into()),
    }
}

fn parquet_columns<'h>(
    file: Names<'_, 'h>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Seen<'h>>, ProposeError> {
    let (path, before) = (file.file.name(), file);
    let input = before.file.open()?;
    let watch = input.watch();
    let damaged = || watch.error(path, SourceError::NotParquet { path: path.into() });
    let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(Ending(input)));
    let builder = builder.map_err(|_| damaged())?;
    let fields = builder.schema().fields();
    let names = fields.iter().map(|field| field.name().clone()).collect();
    let mut seen = named(before, names)?;
    watch.expect(builder.metadata(), &ProjectionMask::all());
    let builder = builder.with_batch_size(BATCH_ROWS);
    let mut reader = guarded(|| builder.build()).map_err(|_| damaged())?;
    let mut rows = 0;
    while let Some(batch) = guarded(|| reader.next().transpose()).map_err(|_| damaged())? {
        see_batch(&mut seen, &batch);
        rows += batch.num_rows() as u64;
        progress(rows);
    }
    Ok(seen)
}

fn see_batch(seen: &mut [Seen<'_>], batch: &RecordBatch) {
    for (column, array) in seen.iter_mut().zip(batch.columns()) {
        if see_array(column, array).is_none() {
            column.unknown = true;
        }
    }
}

/// Looks at the values of an array; none for a type that nothing is sealed as.
fn see_array(column: &mut Seen<'_>, array: &ArrayRef) -> Option<()> {
    column.empty |= array.null_count() > 0;
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => column.bools |= array.null_count() < array.len(),
        DataType::Date32 => {
            let days = array.as_primitive_opt::<Date32Type>()?;
            column.days |= days.null_count() < days.len();
        }
        DataType::Timestamp(_, zone) => {
            let any = array.null_count() < array.len();
            column.moments |= any && zone.is_some();
            column.clocks |= any && zone.is_none();
        }
        DataType::Decimal128(_, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            let numbers = array.as_primitive_opt::<Decimal128Type>()?;
            numbers
                .iter()
                .flatten()
                .for_each(|number| column.number(number, scale));
        }
        of if of.is_integer() => {
            let numbers = cast(array, &DataType::Int64).ok()?;
            let numbers = numbers.as_primitive_opt::<Int64Type>()?;
            numbers
                .iter()
                .flatten()
                .for_each(|number| column.number(number.into(), 0));
        }
        of if of.is_floating() => {
            column.floats = true;
            let texts = cast(array, &DataType::Utf8).ok()?;
            see_texts(column, &texts)?;
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let texts = cast(array, &DataType::Utf8).ok()?;
            see_texts(column, &texts)?;
        }
        _ => return None,
    }
    Some(())
}

fn see_texts(column: &mut Seen<'_>, texts: &ArrayRef) -> Option<()> {
    let texts: &StringArray = texts.as_string_opt()?;
    texts.iter().flatten().for_each(|text| column.see(text));
    Some(())
}
