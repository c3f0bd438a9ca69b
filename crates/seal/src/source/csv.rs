//! Rows of a CSV file.

use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use parquet::file::reader::ChunkReader as _;

use super::blocks::{BLOCK_BYTES, Block, BlockError, Blocks};
use super::cell::CellError;
use super::files::SourceFile;
use super::input::{Bytewise, Input, unreadable};
use super::refused::Refused;
use super::rows::{Field, Rows};
use super::texts::RowPlace;
use super::{Place, SourceError, places};

/// What some programs write before the first name.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A CSV file whose header was read.
pub(super) struct CsvFile {
    path: PathBuf,
    blocks: Blocks<Bytewise>,
    /// The first block, until it is given.
    first: Option<Block>,
    /// The columns' names.
    pub(super) names: Vec<String>,
}

/// Where the columns that are read stand in a record.
pub(super) struct Layout {
    /// For each, its field.
    pub(super) at: Vec<usize>,
    /// Fields of a record.
    pub(super) width: usize,
}

/// How files of another kind begin that are sometimes given the ending `.csv`, and what they are.
/// None of these is how a line of names begins.
const OTHER_KINDS: [(&[u8], &str); 11] = [
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x1f\x9d", "compressed by compress"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"\x04\x22\x4d\x18", "compressed by lz4"),
    (b"7z\xbc\xaf\x27\x1c", "compressed by 7-Zip"),
    (b"PK\x03\x04", "a zip file, such as spreadsheets are"),
    (
        b"\xd0\xcf\x11\xe0",
        "a spreadsheet, or another file of an office program",
    ),
    (b"Obj\x01", "an Avro file"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
];
/// What bzip2 writes behind `BZh` and a digit; a name could begin with those.
const BZIP2: &[u8] = b"1AY&SY";
/// Bytes at the beginning of a file that say what it is.
const START_BYTES: u64 = 10;
/// How Parquet files begin and end, encrypted ones too. A line of names could begin so.
const PARQUET_MAGIC: [&[u8]; 2] = [b"PAR1", b"PARE"];

/// Opens a file that should be CSV; `csv` readers take anything for it.
pub(crate) fn open_text(file: &SourceFile) -> Result<Bytewise, SourceError> {
    let input = file.open()?;
    let start = start(&input);
    let ends_so = |magic: &&&[u8]| input.magic().is_some_and(|end| end == **magic);
    let mut magics = PARQUET_MAGIC
        .iter()
        .filter(|magic| start.starts_with(magic));
    let found = match magics.find(ends_so) {
        Some(_) => Some("a Parquet file: name it `.parquet`"),
        None => other_kind(&start),
    };
    match found {
        None => Ok(input.through()),
        Some(found) => Err(SourceError::NotCsv {
            path: file.name().into(),
            found,
        }),
    }
}

/// What a file is that begins so, if that is no text of this kind.
fn other_kind(start: &[u8]) -> Option<&'static str> {
    let mut kinds = OTHER_KINDS.iter();
    let kind = kinds.find(|(magic, _)| start.starts_with(magic));
    match (kind, start) {
        (Some((_, kind)), _) => Some(kind),
        (None, [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]) if rest == BZIP2 => {
            Some("compressed by bzip2")
        }
        // Two letters, of which every other byte is nothing.
        (None, [0, a, 0, b, ..] | [a, 0, b, 0, ..]) if *a != 0 && *b != 0 => Some("text in UTF-16"),
        _ => None,
    }
}

/// The first bytes of a file; none if it does not read, which is found out anyhow.
fn start(input: &Input) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok(bytes) = input.get_read(0) {
        let _ = bytes.take(START_BYTES).read_to_end(&mut start);
    }
    start
}

impl CsvFile {
    /// Opens the file and reads its column names.
    pub(super) fn open(file: &SourceFile) -> Result<Self, SourceError> {
        let path = file.name();
        let mut blocks = Blocks::new(open_text(file)?, BLOCK_BYTES);
        let first = blocks.next().map_err(|error| refused(path, error))?;
        let names = match &first {
            Some(block) => header(path, block)?,
            None => return Err(SourceError::Empty { path: path.into() }),
        };
        Ok(Self {
            path: path.into(),
            blocks,
            first,
            names,
        })
    }

    /// The next block of records.
    pub(super) fn next(&mut self) -> Result<Option<Block>, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        self.blocks
            .next()
            .map_err(|error| refused(&self.path, error))
    }

    /// Where the columns `wanted` stand, and the names that nobody wants.
    pub(super) fn layout(
        &self,
        wanted: &[&str],
    ) -> Result<(Arc<Layout>, Vec<String>), SourceError> {
        let places = places(&self.path, wanted, &self.names);
        let (at, ignored) = places.map_err(|error| separated(error, &self.names))?;
        let width = self.names.len();
        Ok((Arc::new(Layout { at, width }), ignored))
    }
}

/// What other programs write between fields, and what to call it.
const SEPARATORS: [(char, &str); 3] = [
    (
        ';',
        "text whose fields are separated by `;`: save it with commas",
    ),
    (
        '\t',
        "text whose fields are separated by tabs: save it with commas",
    ),
    (
        '|',
        "text whose fields are separated by `|`: save it with commas",
    ),
];

/// Columns that are missing because the line of names has another sign between them, more often
/// than a comma.
fn separated(error: SourceError, names: &[String]) -> SourceError {
    let SourceError::MissingColumns {
        path,
        names: missing,
    } = error
    else {
        return error;
    };
    let commas = names.len().saturating_sub(1);
    let signs = |sign: char| {
        names
            .iter()
            .map(|name| name.matches(sign).count())
            .sum::<usize>()
    };
    let mut found = SEPARATORS.iter().filter(|(sign, _)| signs(*sign) > commas);
    match found.next() {
        Some((_, found)) => SourceError::NotCsv { path, found },
        None => SourceError::MissingColumns {
            path,
            names: missing,
        },
    }
}

fn records(block: &Block) -> Reader<&[u8]> {
    ReaderBuilder::new()
        .has_headers(block.first)
        .flexible(true)
        .buffer_capacity(1 << 16)
        .from_reader(block.bytes.as_slice())
}

fn header(path: &Path, block: &Block) -> Result<Vec<String>, SourceError> {
    let mut reader = records(block);
    let names = reader.byte_headers().map_err(|_| malformed(path))?;
    let name = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_start_matches(BYTE_ORDER_MARK).trim().to_owned()
    };
    Ok(names.iter().map(name).collect())
}

/// A record of a block, and where it stands in the file.
fn next(
    path: &Path,
    block: &Block,
    layout: &Layout,
    reader: &mut Reader<&[u8]>,
    record: &mut ByteRecord,
) -> Result<Option<Place>, SourceError> {
    if !reader
        .read_byte_record(record)
        .map_err(|_| malformed(path))?
    {
        return Ok(None);
    }
    let line = record
        .position()
        .map_or(1, |start| line_of(&block.bytes, start));
    let place = Place::Line(block.line + line - 1);
    if record.len() != layout.width {
        return Err(SourceError::Ragged {
            place,
            found: record.len() as u64,
            expected: layout.width as u64,
        });
    }
    Ok(Some(place))
}

/// The line that a record begins on: to the reader it begins where the one before ended, with
/// the end of that line and with empty lines.
fn line_of(bytes: &[u8], start: &csv::Position) -> u64 {
    let from = usize::try_from(start.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(from..).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    start.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// Reads the rows of a block.
pub(super) fn read_block(
    path: &Path,
    block: &Block,
    layout: &Layout,
    rows: &mut Rows<'_>,
) -> Result<(), SourceError> {
    let (mut reader, mut record) = (records(block), ByteRecord::new());
    while let Some(place) = next(path, block, layout, &mut reader, &mut record)? {
        rows.push(place, |n| {
            let bytes = layout.at.get(n).and_then(|at| record.get(*at));
            let text = std::str::from_utf8(bytes.unwrap_or_default());
            text.map(Field::Raw).map_err(|_| CellError::NotUtf8)
        });
    }
    Ok(())
}

/// The empty lines in front of what `reader` reads next, which it passes over. In a file of one
/// column they are rows without a value.
fn empty_lines(
    path: &Path,
    block: &Block,
    reader: &mut Reader<&[u8]>,
) -> Result<Range<u64>, SourceError> {
    if block.first {
        reader.byte_headers().map_err(|_| malformed(path))?;
    }
    let start = reader.position();
    let from = usize::try_from(start.byte()).unwrap_or(usize::MAX);
    let (before, rest) = block.bytes.split_at_checked(from).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let ends = ends.filter(|byte| **byte == b'\n').count() as u64;
    // Of an end of two bytes the reader may have left the second.
    let cut = before.ends_with(b"\r") && rest.starts_with(b"\n");
    let first = block.line + start.line() - 1;
    Ok(first + u64::from(cut)..first + ends)
}

/// Hands the fields of some columns to `each`, row by row. Gives the number of rows.
pub(super) fn each_row<const N: usize>(
    file: &SourceFile,
    columns: &[&str; N],
    each: &mut dyn FnMut(RowPlace<'_>, [&str; N]),
) -> Result<u64, SourceError> {
    let path = file.name();
    let mut file = CsvFile::open(file)?;
    let (layout, _) = file.layout(columns)?;
    let (mut refused, mut rows) = (Refused::default(), 0);
    while let Some(block) = file.next()? {
        let (mut reader, mut record) = (records(&block), ByteRecord::new());
        loop {
            if layout.width == 1 {
                for line in empty_lines(path, &block, &mut reader)? {
                    let place = Place::Line(line);
                    each(RowPlace { file: path, place }, [""; N]);
                    rows += 1;
                }
            }
            let Some(place) = next(path, &block, &layout, &mut reader, &mut record)? else {
                break;
            };
            let (mut fields, mut whole) = ([""; N], true);
            for (number, (field, at)) in fields.iter_mut().zip(&layout.at).enumerate() {
                match std::str::from_utf8(record.get(*at).unwrap_or_default()) {
                    Ok(text) => *field = text,
                    Err(_) => {
                        refused.note(number, 0, place, CellError::NotUtf8);
                        whole = false;
                    }
                }
            }
            if whole {
                each(RowPlace { file: path, place }, fields);
            }
            rows += 1;
        }
    }
    if refused.is_empty() {
        return Ok(rows);
    }
    let name = |at: usize| columns.get(at).copied().unwrap_or_default().to_owned();
    let columns = refused.columns(name, |_| None);
    Err(SourceError::Values { columns })
}

fn refused(path: &Path, error: BlockError) -> SourceError {
    match error {
        BlockError::Io(source) => unreadable(path, source),
        BlockError::Open(line) => SourceError::OpenQuote {
            place: Place::Line(line),
        },
        BlockError::TooLong(line) => SourceError::TooLongLine {
            place: Place::Line(line),
        },
    }
}

fn malformed(path: &Path) -> SourceError {
    unreadable(path, std::io::ErrorKind::InvalidData.into())
}
