//! Why a source is refused.

use std::fmt;
use std::path::PathBuf;

use incamera_types::{ColumnType, PurposeName, PurposeSet};

use super::parquet::PURPOSES_KEY;
use super::{AddressError, ObjectError, RefusedColumns, TagError};
use crate::keytools::SourceKeyError;

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
    /// A CSV file without a byte.
    #[error("the file `{}` is empty: its first line must name its columns", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Columns that the agreement has and the file has not.
    #[error("`{}` has no column {}: the first line (or the table's schema) must name every column of the data set", path.display(), list(names))]
    MissingColumns {
        /// The file.
        path: PathBuf,
        /// The columns.
        names: Vec<String>,
    },
    /// Columns that the file names with other upper and lower case alone.
    #[error("`{}` has no column {}: it is there with other upper and lower case, which counts", path.display(), list(names))]
    OtherCase {
        /// The file.
        path: PathBuf,
        /// The columns, as they must be named.
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
    /// A column of neither text nor whole numbers, where ids or consents are read.
    #[error(
        "column `{column}` is {found} in the file, and ids and consents are text or whole numbers"
    )]
    NotText {
        /// The column.
        column: String,
        /// The type in the file.
        found: String,
    },
    /// A column of moments without offset from UTC.
    #[error(
        "column `{column}` has moments without offset from UTC: write them with one, or let the agreement say `time_zone`"
    )]
    NoOffset {
        /// The column.
        column: String,
    },
    /// Values that are not taken.
    #[error("{columns}")]
    Values {
        /// In which columns, and where.
        columns: RefusedColumns,
    },
    /// A line that nobody would write.
    #[error("the record after {place} is longer than 64 MiB: look for lines that do not end")]
    TooLongLine {
        /// Where it begins, or just before.
        place: Place,
    },
    /// Something is wrong with one file of several.
    #[error("`{}`: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What.
        error: Box<SourceError>,
    },
    /// A folder without files.
    #[error("the folder `{}` has no .csv and no .parquet files", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with files of both kinds.
    #[error("the folder `{}` has .csv and .parquet files: it must be one of them", path.display())]
    MixedFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a folder with other columns than the first.
    #[error("`{}` has other columns than the files before it", path.display())]
    OtherColumns {
        /// The file.
        path: PathBuf,
    },
    /// An address that is not read from.
    #[error("`{}`: {why}", path.display())]
    Address {
        /// The address, without what could be a credential.
        path: PathBuf,
        /// What is wrong with it.
        why: AddressError,
    },
    /// An object of a store does not read.
    #[error("cannot read `{}`", path.display())]
    Object {
        /// Its address, without what could be a credential.
        path: PathBuf,
        /// Why.
        #[source]
        why: ObjectError,
    },
    /// Objects below a name that a table format keeps.
    #[error("`{}` is a table of Delta Lake or Hudi, which keeps rows there that were deleted: write its rows as plain Parquet files elsewhere and seal those", path.display())]
    TableFolder {
        /// The address.
        path: PathBuf,
    },
    /// A file of another kind that is named like CSV.
    #[error("`{}` is no CSV: it is {found}", path.display())]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// What a file says that a column was collected for is no list of purposes.
    #[error(
        "column `{column}`: {why} (`{PURPOSES_KEY}` in the file): write names of purposes with a comma between them, such as `ads,measurement`"
    )]
    Tag {
        /// The column.
        column: String,
        /// What is wrong with it.
        why: TagError,
    },
    /// The agreement uses a column for more than it was collected for.
    #[error(
        "column `{column}` was collected for {tagged} (`{PURPOSES_KEY}` in the file), and the agreement also uses it for {wider}{}",
        unknown_names(unknown)
    )]
    WiderThanTagged {
        /// The column.
        column: String,
        /// What the file says.
        tagged: String,
        /// The purposes, of those that the agreement gives it, that it was not collected for.
        wider: PurposeSet,
        /// The names among them that the agreement does not have.
        unknown: Vec<PurposeName>,
    },
    /// A column was collected for a branch, which stands for other purposes from time to time.
    #[error(
        "column `{column}` was collected for `{branch}` (`{PURPOSES_KEY}` in the file), which is no purpose of its own and stands for {leaves} today: name the leaves that people were told of"
    )]
    TaggedWithBranch {
        /// The column.
        column: String,
        /// The branch.
        branch: PurposeName,
        /// The leaves below it in the agreement.
        leaves: PurposeSet,
    },
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// What a tag's unknown names come to.
fn unknown_names(names: &[PurposeName]) -> String {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("; the agreement has no purpose {}", list(&names)),
    }
}
