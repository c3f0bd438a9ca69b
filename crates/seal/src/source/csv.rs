//! Rows of a CSV file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::cell::CellError;
use super::quotes::Quotes;
use super::rows::{Field, Rows};
use super::{Place, Reading, SourceError, places};

/// Rows between two calls of the progress function.
const PROGRESS_ROWS: u64 = 65_536;

/// What some programs write before the first name.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the file into `rows`; gives the names of columns that nobody asked for.
pub(super) fn read(
    path: &Path,
    reading: &Reading<'_>,
    rows: &mut Rows<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<String>, SourceError> {
    let (mut reader, names) = open(path)?;
    let (at, ignored) = places(path, &reading.names_in_file(), &names)?;
    let mut record = ByteRecord::new();
    while next(path, &mut reader, &mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Place::Line(line), |n| {
            let bytes = at.get(n).and_then(|at| record.get(*at)).unwrap_or_default();
            let text = std::str::from_utf8(bytes).map_err(|_| CellError::NotUtf8)?;
            Ok(Field::Raw(text))
        })?;
        if rows.seen().is_multiple_of(PROGRESS_ROWS) {
            progress(rows.seen());
        }
    }
    progress(rows.seen());
    Ok(ignored)
}

/// A reader of CSV records that knows of quotation marks left open.
type Records = Reader<Quotes<BufReader<File>>>;

/// Opens the file and reads its column names.
fn open(path: &Path) -> Result<(Records, Vec<String>), SourceError> {
    let file = File::open(path).map_err(|source| io(path, source))?;
    let mut reader = ReaderBuilder::new()
        .has_headers(true)
        .from_reader(Quotes::new(BufReader::with_capacity(1 << 20, file)));
    let names = header(path, &mut reader)?;
    Ok((reader, names))
}

/// Hands each field of one column to `each`. Gives the number of rows.
pub(super) fn each_field(
    path: &Path,
    column: &str,
    each: &mut dyn FnMut(&str),
) -> Result<u64, SourceError> {
    let (mut reader, names) = open(path)?;
    let (at, _) = places(path, &[column], &names)?;
    let mut record = ByteRecord::new();
    let mut rows = 0;
    while next(path, &mut reader, &mut record)? {
        let bytes = at
            .first()
            .and_then(|at| record.get(*at))
            .unwrap_or_default();
        let text = std::str::from_utf8(bytes).map_err(|_| SourceError::Cell {
            place: Place::Line(record.position().map_or(0, csv::Position::line)),
            column: column.to_owned(),
            error: CellError::NotUtf8,
        })?;
        each(text);
        rows += 1;
    }
    Ok(rows)
}

fn header(path: &Path, reader: &mut Records) -> Result<Vec<String>, SourceError> {
    let names = reader
        .byte_headers()
        .map_err(|error| refused(path, error))?
        .clone();
    all_closed(reader)?;
    let name = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_start_matches(BYTE_ORDER_MARK).trim().to_owned()
    };
    Ok(names.iter().map(name).collect())
}

fn next(path: &Path, reader: &mut Records, record: &mut ByteRecord) -> Result<bool, SourceError> {
    let read = reader.read_byte_record(record);
    // First: an open mark is the reason of whatever else is wrong with the record.
    all_closed(reader)?;
    read.map_err(|error| refused(path, error))
}

fn all_closed(reader: &Records) -> Result<(), SourceError> {
    match reader.get_ref().open_at_end() {
        Some(line) => Err(SourceError::OpenQuote {
            place: Place::Line(line),
        }),
        None => Ok(()),
    }
}

fn refused(path: &Path, error: csv::Error) -> SourceError {
    match error.into_kind() {
        ErrorKind::Io(source) => io(path, source),
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => SourceError::Ragged {
            place: Place::Line(pos.map_or(0, |pos| pos.line())),
            found: len,
            expected: expected_len,
        },
        _ => io(path, std::io::ErrorKind::InvalidData.into()),
    }
}

fn io(path: &Path, source: std::io::Error) -> SourceError {
    SourceError::Io {
        path: path.into(),
        source,
    }
}
