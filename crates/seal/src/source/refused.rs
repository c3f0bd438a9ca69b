//! The values that a file is refused for: the first of each column, and how many there are.

use std::fmt;
use std::path::PathBuf;

use super::Place;
use super::cell::CellError;

/// Columns whose refused values an error's text names.
const NAMED_COLUMNS: usize = 12;

/// The values of one column that are refused. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedColumn {
    /// The column, as the file names it.
    pub column: String,
    /// The file with the first one, where there are several files.
    pub file: Option<PathBuf>,
    /// Where in it.
    pub place: Place,
    /// What is wrong with the first one.
    pub error: CellError,
    /// How many values are refused, for whatever reason. For the owner's eyes only.
    pub values: u64,
}

impl fmt::Display for RefusedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "`{}`, ", file.display())?;
        }
        write!(
            f,
            "{}, column `{}`: {}",
            self.place, self.column, self.error
        )?;
        match self.values {
            0 | 1 => Ok(()),
            values => write!(f, " (the first of {values} values of the column)"),
        }
    }
}

/// Every column with refused values, in the agreement's order: each must be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedColumns(pub(super) Vec<RefusedColumn>);

impl RefusedColumns {
    /// The columns; never none.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RefusedColumn> {
        self.0.iter()
    }
}

impl fmt::Display for RefusedColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, column) in self.0.iter().take(NAMED_COLUMNS).enumerate() {
            write!(f, "{}{column}", if at == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(NAMED_COLUMNS) {
            0 => Ok(()),
            more => write!(f, "; and in {more} more columns"),
        }
    }
}

/// What is refused so far, by number of the agreement's column.
#[derive(Default)]
pub(crate) struct Refused(Vec<(usize, First)>);

struct First {
    file: usize,
    place: Place,
    error: CellError,
    values: u64,
}

impl Refused {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes a value; places come in order.
    pub(crate) fn note(&mut self, column: usize, file: usize, place: Place, error: CellError) {
        let first = First {
            file,
            place,
            error,
            values: 1,
        };
        self.add(column, first);
    }

    fn add(&mut self, column: usize, first: First) {
        match self.0.iter_mut().find(|(known, _)| *known == column) {
            Some((_, known)) => known.values += first.values,
            None => self.0.push((column, first)),
        }
    }

    /// Notes what is refused further on.
    pub(super) fn append(&mut self, later: Self) {
        for (column, first) in later.0 {
            self.add(column, first);
        }
    }

    /// The columns, by their names; `file` gives a file's path where it must be said.
    pub(crate) fn columns(
        mut self,
        name: impl Fn(usize) -> String,
        file: impl Fn(usize) -> Option<PathBuf>,
    ) -> RefusedColumns {
        self.0.sort_by_key(|(column, _)| *column);
        let column = |(column, first): (usize, First)| RefusedColumn {
            column: name(column),
            file: file(first.file),
            place: first.place,
            error: first.error,
            values: first.values,
        };
        RefusedColumns(self.0.into_iter().map(column).collect())
    }
}
