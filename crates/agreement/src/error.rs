//! What is wrong with an agreement, and where.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// How many problems one reading notes: a person mends no more at once, and a hostile file
/// shall not make us count lines for ever.
const MAX_PROBLEMS: usize = 100;

/// A range of bytes in the agreement file.
pub type Span = Range<usize>;

/// One thing that is wrong, and the place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The bytes it is about.
    pub span: Span,
    /// The line of the first byte, from 1.
    pub line: usize,
    /// The column of the first byte in characters, from 1.
    pub column: usize,
    /// What is wrong, and why.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// `line 60, column 19`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.what, self.help)
    }
}

/// Why a file is not an agreement: every problem found, in order of place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementError(Box<Found>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    first: Problem,
    more: Vec<Problem>,
}

impl AgreementError {
    /// The error of these problems; `None` if there are none.
    pub(crate) fn of(problems: Vec<Problem>) -> Option<Self> {
        let mut problems = problems.into_iter();
        let first = problems.next()?;
        let more = problems.collect();
        Some(Self(Box::new(Found { first, more })))
    }

    /// The error of one problem.
    pub(crate) fn one(first: Problem) -> Self {
        let more = Vec::new();
        Self(Box::new(Found { first, more }))
    }

    /// Every problem, in order of place in the file.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.0.first).chain(&self.0.more)
    }

    /// The first problem.
    #[must_use]
    pub fn first(&self) -> &Problem {
        &self.0.first
    }
}

impl fmt::Display for AgreementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.first.fmt(f)?;
        match self.0.more.len() {
            0 => Ok(()),
            1 => f.write_str(" (and one more problem)"),
            many => write!(f, " (and {many} more problems)"),
        }
    }
}

impl std::error::Error for AgreementError {}

/// Line and column (both from 1, columns in characters) of a byte offset.
pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Collects problems while a file is read.
pub(crate) struct Problems<'d> {
    text: &'d str,
    what: &'static str,
    found: RefCell<Vec<Problem>>,
}

impl<'d> Problems<'d> {
    /// Problems of a text that should be `what`: an agreement, a proposal.
    pub(crate) fn new(text: &'d str, what: &'static str) -> Self {
        Self {
            text,
            what,
            found: RefCell::default(),
        }
    }

    /// What the text should be, with its article.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// The text that is read.
    pub(crate) fn text(&self) -> &'d str {
        self.text
    }

    /// Notes a problem, up to [`MAX_PROBLEMS`].
    pub(crate) fn add(&self, span: &Span, what: impl fmt::Display, help: impl fmt::Display) {
        if self.count() >= MAX_PROBLEMS {
            return;
        }
        let problem = self.problem(span, what, help);
        self.found.borrow_mut().push(problem);
    }

    /// A problem that is not noted (a warning, say).
    pub(crate) fn problem(
        &self,
        span: &Span,
        what: impl fmt::Display,
        help: impl fmt::Display,
    ) -> Problem {
        let (line, column) = line_column(self.text, span.start);
        Problem {
            span: span.clone(),
            line,
            column,
            what: what.to_string(),
            help: help.to_string(),
        }
    }

    /// How many problems have been noted.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// The problems found, in order of place.
    pub(crate) fn finish(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|problem| problem.span.start);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let text = "ä = 1\r\nöö x\n";
        assert_eq!(line_column(text, 0), (1, 1));
        assert_eq!(line_column(text, text.find('x').unwrap()), (2, 4));
        assert_eq!(
            line_column(text, 1),
            (1, 1),
            "inside a character: its start"
        );
        assert_eq!(line_column(text, 999), (3, 1));
    }
}
