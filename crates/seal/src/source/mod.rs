//! An owner's CSV or Parquet file, read against the agreement's declaration.
//!
//! Every value is checked; an error says line and column and never the value. Rows whose person
//! has no pseudonym are counted and left out. All rows of one data set are held in memory as
//! Arrow columns: some 60 bytes a purchase.

mod cell;
mod csv;
mod parquet;
mod quotes;
mod rows;
mod texts;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use arrow::array::ArrayRef;
use incamera_types::{ColumnName, ColumnSpec, ColumnType, DatasetSpec, Pseudonym, PurposeSet};

pub use cell::CellError;
pub use texts::read_texts;

use crate::consents::Classes;
use crate::keytools::{SourceKeyError, SourceKeys};
use rows::Rows;

/// A file that rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Comma-separated, UTF-8, the column names in the first line.
    Csv(PathBuf),
    /// Parquet; an encrypted file is opened by [`Source::unlock`].
    Parquet(PathBuf),
    /// Parquet, encrypted by another tool, with its keys.
    EncryptedParquet(PathBuf, SourceKeys),
}

impl Source {
    /// The kind of file that the ending of `path` says: `.csv` or `.parquet`.
    ///
    /// # Errors
    /// [`SourceError::Ending`].
    pub fn of(path: &Path) -> Result<Self, SourceError> {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv(path.into())),
            Some("parquet") => Ok(Self::Parquet(path.into())),
            _ => Err(SourceError::Ending { path: path.into() }),
        }
    }

    /// The keys of an encrypted file.
    fn keys(&self) -> Option<&SourceKeys> {
        match self {
            Self::EncryptedParquet(_, keys) => Some(keys),
            _ => None,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv(path) | Self::Parquet(path) | Self::EncryptedParquet(path, _) => path,
        }
    }
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A line of a text file, from 1; the header is line 1.
    Line(u64),
    /// A row of a table, from 1.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// Why a file is refused. Never holds a value of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Neither `.csv` nor `.parquet`.
    #[error("`{}` is neither a .csv nor a .parquet file", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not Parquet, or damaged.
    #[error("`{}` is not a readable Parquet file, or it is damaged", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
    },
    /// Encrypted, and not opened.
    #[error("`{}` is encrypted, and was not opened", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        why: SourceKeyError,
    },
    /// Columns that the agreement has and the file has not.
    #[error("`{}` has no column {}: the first line (or the table's schema) must name every column of the data set", path.display(), list(names))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns.
        names: Vec<String>,
    },
    /// One name twice.
    #[error("`{}` has two columns `{name}`", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A line with more or fewer fields than the header.
    #[error(
        "{place}: {found} fields where the header has {expected}: look for a stray separator or quotation mark"
    )]
    Ragged {
        /// Where.
        place: Place,
        /// Fields of the line.
        found: u64,
        /// Fields of the header.
        expected: u64,
    },
    /// A quotation mark that is opened and never closed.
    #[error(
        "{place}: a quotation mark is opened and never closed, so the rest of the file would be one field: close it there or before, and write a mark inside a field twice"
    )]
    OpenQuote {
        /// Where the last one is opened.
        place: Place,
    },
    /// A column of a type that does not fit.
    #[error("column `{column}` is {found} in the file and {expected} in the agreement")]
    Type {
        /// The column.
        column: String,
        /// The type in the file.
        found: String,
        /// The type in the agreement.
        expected: ColumnType,
    },
    /// A column of moments without offset from UTC.
    #[error("column `{column}` has moments without offset from UTC: write them as UTC")]
    NoOffset {
        /// The column.
        column: String,
    },
    /// A value that is not taken.
    #[error("{place}, column `{column}`: {error}")]
    Cell {
        /// Where.
        place: Place,
        /// The column.
        column: String,
        /// Why.
        error: CellError,
    },
    /// More rows than fit one sealing.
    #[error("the file has more than {} rows: split it", u32::MAX)]
    TooManyRows,
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// How to read a file.
pub(crate) struct Reading<'a> {
    pub(crate) spec: &'a DatasetSpec,
    /// The column with raw ids, where it is not named like the id kind.
    pub(crate) id_column: Option<&'a str>,
    pub(crate) people: &'a dyn Fn(&str) -> Option<Pseudonym>,
    /// Every leaf purpose of the agreement.
    pub(crate) purposes: &'a PurposeSet,
}

impl<'a> Reading<'a> {
    /// The name that `column` has in the file.
    fn name_in_file(&self, column: &'a ColumnSpec) -> &'a str {
        if column.ty != ColumnType::Pseudonym {
            return column.name.as_str();
        }
        let kind = column.id_kind.as_ref().map(|kind| kind.as_str());
        self.id_column.or(kind).unwrap_or(column.name.as_str())
    }

    /// The names of all columns in the file, in the agreement's order.
    fn names_in_file(&self) -> Vec<&'a str> {
        let columns = self.spec.columns.iter();
        columns.map(|column| self.name_in_file(column)).collect()
    }
}

/// A file's rows, typed; one entry a row in `people` and `classes` where there are such columns.
pub(crate) struct Table {
    /// In the order of the stored columns; the pseudonym column is in `people` instead.
    pub(crate) columns: Vec<Option<ArrayRef>>,
    pub(crate) people: Vec<Pseudonym>,
    pub(crate) row_classes: Vec<u32>,
    pub(crate) classes: Classes,
    pub(crate) rows: usize,
    pub(crate) counts: Counts,
}

/// What was changed or left out, for the owner's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) without_pseudonym: u64,
    pub(crate) clamped: BTreeMap<ColumnName, u64>,
    pub(crate) replaced: BTreeMap<ColumnName, u64>,
    pub(crate) ignored: Vec<String>,
}

/// Reads all of `source`. `progress` hears of rows now and then.
pub(crate) fn read(
    source: &Source,
    reading: &Reading<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Table, SourceError> {
    let mut rows = Rows::new(reading);
    let ignored = match source {
        Source::Csv(path) => csv::read(path, reading, &mut rows, progress)?,
        Source::Parquet(_) | Source::EncryptedParquet(..) => {
            parquet::read(source, reading, &mut rows, progress)?
        }
    };
    rows.finish(ignored)
}

/// Reads all of `source` as sealing it as `spec` would, and keeps nothing: whether it can be
/// sealed, and how many rows it has. `purposes` are the leaves that a consent may name.
///
/// # Errors
/// [`SourceError`], as sealing the same file would give.
pub fn check_source(
    source: &Source,
    spec: &DatasetSpec,
    purposes: &PurposeSet,
    people: &dyn Fn(&str) -> Option<Pseudonym>,
) -> Result<u64, SourceError> {
    let reading = Reading {
        spec,
        id_column: None,
        people,
        purposes,
    };
    Ok(read(source, &reading, &mut |_| {})?.counts.rows)
}

/// For each of `wanted`, its place among `found`; and the names that nobody wants.
fn places(
    path: &Path,
    wanted: &[&str],
    found: &[String],
) -> Result<(Vec<usize>, Vec<String>), SourceError> {
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for name in wanted {
        let mut hits = found.iter().enumerate().filter(|(_, found)| found == name);
        match (hits.next(), hits.next()) {
            (Some((at, _)), None) => places.push(at),
            (None, _) => missing.push((*name).to_owned()),
            (Some(_), Some(_)) => {
                return Err(SourceError::DuplicateColumn {
                    path: path.into(),
                    name: (*name).to_owned(),
                });
            }
        }
    }
    if !missing.is_empty() {
        return Err(SourceError::MissingColumns {
            path: path.into(),
            names: missing,
        });
    }
    let unwanted = found.iter().filter(|name| !wanted.contains(&name.as_str()));
    Ok((places, unwanted.cloned().collect()))
}
