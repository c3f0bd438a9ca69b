//! Why a query is not taken: what, why, and what to write instead.

use std::fmt;
use std::ops::Range;

use datafusion::common::{Column, Span, Spans};

/// What kind of rule a query breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Not SQL, or names that are not there.
    Syntax,
    /// Not exactly one SELECT.
    NotOneSelect,
    /// A clause that is not on the list.
    Clause,
    /// A function or an operator that is not on the list.
    Expression,
    /// Numbers that could overflow, or types that do not meet.
    Numbers,
    /// A join that does not keep to one person.
    Join,
    /// Rows that no longer belong to a known person.
    UnitLost,
    /// The columns read are not those declared.
    Reads,
    /// The groups are not those declared.
    Groups,
    /// The measures are not those declared.
    Measures,
    /// Parameters missing, unknown or of another type.
    Params,
    /// Epsilon, delta and weights leave no noise that could be drawn.
    Privacy,
}

impl RefusalKind {
    /// A stable word for machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::NotOneSelect => "not-one-select",
            Self::Clause => "clause",
            Self::Expression => "expression",
            Self::Numbers => "numbers",
            Self::Join => "join",
            Self::UnitLost => "unit-lost",
            Self::Reads => "reads",
            Self::Groups => "groups",
            Self::Measures => "measures",
            Self::Params => "params",
            Self::Privacy => "privacy",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A query that is not taken. It depends on the agreement and the parameters alone, never on
/// a row: nothing is read before a query passes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}; {instead}")]
pub struct Refusal {
    kind: RefusalKind,
    what: String,
    why: String,
    instead: String,
    at: Option<At>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// Line and column of start and end, from 1.
    Lines((u64, u64), (u64, u64)),
    /// The first place of this text.
    Text(String),
    /// Bytes of the SQL.
    Bytes(Range<usize>),
}

impl Refusal {
    pub(crate) fn new(
        kind: RefusalKind,
        what: impl Into<String>,
        why: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            instead: instead.into(),
            at: None,
        }
    }

    /// Points at a column of the SQL.
    #[must_use]
    pub(crate) fn at_column(self, column: &Column) -> Self {
        self.at_spans(&column.spans).or_at_text(&column.name)
    }

    fn at_spans(self, spans: &Spans) -> Self {
        match (&self.at, spans.first()) {
            (None, Some(span)) => self.at_span(span),
            _ => self,
        }
    }

    /// Points at what a planner names.
    #[must_use]
    pub(crate) fn at_span(mut self, span: Span) -> Self {
        let place = |at: datafusion::common::Location| (at.line, at.column);
        self.at = Some(At::Lines(place(span.start), place(span.end)));
        self
    }

    /// Points at the first place of a text, if nothing better is known.
    #[must_use]
    pub(crate) fn or_at_text(mut self, text: &str) -> Self {
        if self.at.is_none() {
            self.at = Some(At::Text(text.to_owned()));
        }
        self
    }

    /// Points from a line and column (from 1) to the end of the word there.
    #[must_use]
    pub(crate) fn at_line(mut self, line: u64, column: u64) -> Self {
        self.at = Some(At::Lines((line, column), (line, column)));
        self
    }

    /// Finds the place in `sql`, now that it is at hand.
    #[must_use]
    pub(crate) fn in_sql(mut self, sql: &str) -> Self {
        let bytes = match self.at.take() {
            Some(At::Bytes(bytes)) => Some(bytes),
            Some(At::Lines(start, end)) => range(sql, start, end),
            Some(At::Text(text)) => find_word(sql, &text),
            None => None,
        };
        self.at = bytes.map(At::Bytes);
        self
    }

    /// The kind of rule.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }
    /// What is refused.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
    /// Why.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
    /// What to write instead.
    #[must_use]
    pub fn instead(&self) -> &str {
        &self.instead
    }
    /// The bytes of the SQL that it is about, where they are known.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match &self.at {
            Some(At::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }
}

fn offset(sql: &str, (line, column): (u64, u64)) -> Option<usize> {
    let lines = usize::try_from(line.checked_sub(1)?).ok()?;
    let columns = usize::try_from(column.checked_sub(1)?).ok()?;
    let start = match lines {
        0 => 0,
        _ => sql.match_indices('\n').nth(lines - 1)?.0 + 1,
    };
    let rest = sql.get(start..)?;
    Some(
        start
            + rest
                .char_indices()
                .nth(columns)
                .map_or(rest.len(), |(at, _)| at),
    )
}

fn range(sql: &str, start: (u64, u64), end: (u64, u64)) -> Option<Range<usize>> {
    let (from, to) = (offset(sql, start)?, offset(sql, end)?);
    if to > from {
        return Some(from..to);
    }
    let word = sql.get(from..)?;
    let length = word.find(|c: char| !is_word(c)).unwrap_or(word.len());
    Some(from..from + length.max(1).min(word.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first place of `text` as a whole word, without regard to case.
fn find_word(sql: &str, text: &str) -> Option<Range<usize>> {
    let (hay, needle) = (sql.to_ascii_lowercase(), text.to_ascii_lowercase());
    let whole = |at: usize| {
        let before = hay.get(..at)?.chars().next_back();
        let after = hay.get(at + needle.len()..)?.chars().next();
        Some(!before.is_some_and(is_word) && !after.is_some_and(is_word))
    };
    let mut places = hay.match_indices(&needle).map(|(at, _)| at);
    let at = places.find(|&at| whole(at) == Some(true))?;
    (!needle.is_empty()).then_some(at..at + needle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bytes() {
        let sql = "SELECT ä,\n  sum(x)\nFROM t";
        assert_eq!(range(sql, (2, 3), (2, 6)).map(|r| &sql[r]), Some("sum"));
        assert_eq!(range(sql, (2, 3), (2, 3)).map(|r| &sql[r]), Some("sum"));
        assert_eq!(range(sql, (1, 9), (1, 9)).map(|r| &sql[r]), Some(","));
        assert_eq!(range(sql, (9, 1), (9, 1)), None);
        assert_eq!(find_word(sql, "FROM").map(|r| &sql[r]), Some("FROM"));
        assert_eq!(find_word(sql, "su"), None);
    }
}
