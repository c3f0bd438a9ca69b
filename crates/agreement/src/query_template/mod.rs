//! Templates of queries: sections `[queries.NAME]` whose blanks people fill in.
//!
//! A template is a text of an agreement, commented line by line, in which `@blank` stands for
//! what only the parties know: their data sets, columns, groups and sizes. [`QueryTemplate::fill`]
//! reads each value as what its blank is and writes it as TOML or SQL writes such a thing, in
//! one pass: a value is never read again as a template, and none is pasted that is not a name,
//! a number or a text without quotes.
//!
//! # How a text is written
//! | in the text | becomes |
//! |---|---|
//! | `@head`, `@tail` | what all templates begin and end with |
//! | `@blank` | the value: of a data set its name, of a column `dataset.column`, of texts a TOML list, of groups a list or `"discovered"` |
//! | `@blank_person` | of a data set: its pseudonym column |
//! | `@blank_column` | of a column: its name alone |
//! | `@reads`, `@rows` | the columns of all blanks; the rows of all data sets |
//! | lines from `@each blank` to `@end` | once for each value, or not at all: in them `@item`, `@item_person`, `@item_name` (as a name of an output column), `@number` (from 1), `@before` (one less) |
//! | `@each blank from 2` | without the first |
//! | `@blank_first`, `@blank_last` | of texts the first, of borders the name of the last band |
//! | `@item_label` | of a border: the name of the band below it |

mod catalogue;
mod fill;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use catalogue::{query_template, query_templates};
pub use fill::{FillError, FilledQuery};

/// A question that many parties have: a query with blanks.
#[derive(Clone, Copy, Debug)]
pub struct QueryTemplate {
    /// What it is called, and its query where no other name is given.
    pub name: &'static str,
    /// What it answers, in one line.
    pub about: &'static str,
    /// What it costs each owner read where nothing else is said, and why so much.
    epsilon: &'static str,
    blanks: &'static [Blank],
    text: &'static str,
}

/// Something that only the parties know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blank {
    /// What it is called: KEY of `KEY=VALUE`.
    pub name: &'static str,
    /// What is filled in.
    pub kind: BlankKind,
    /// What it means, for whoever has to say it.
    pub means: &'static str,
    /// A value.
    pub example: &'static str,
    /// What it is where nothing is said; empty for nothing.
    pub default: Option<&'static str>,
}

/// What a blank is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlankKind {
    /// The query's own name.
    Query,
    /// A leaf purpose.
    Purpose,
    /// Analysts: `party/analyst`, with commas.
    Analysts,
    /// Parties, with commas.
    Parties,
    /// A private data set: `name`, or `name.column` with its pseudonym column.
    Dataset {
        /// How many of a person's rows are read.
        rows: Most,
    },
    /// So many private data sets with a row a person, with commas; perhaps none.
    Registers,
    /// A public data set, or none, that has a column of the name of another blank's column.
    Lookup {
        /// The blank whose column both have.
        by: &'static str,
        /// The blank that says how many rows it has in all.
        rows: &'static str,
    },
    /// A column: `name`, or `dataset.name` of another data set of the query. Perhaps none,
    /// where the default is empty.
    Column {
        /// The blank of its data set.
        of: &'static str,
        /// What it can be.
        types: &'static [TypeOf],
    },
    /// A whole number.
    Whole {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A decimal number.
    Number,
    /// A text.
    Text,
    /// Texts, with commas.
    Texts {
        /// How many at least.
        least: usize,
        /// How many at most.
        most: usize,
    },
    /// A whole number, which stands for the list of all from 1 to it.
    UpTo {
        /// The most.
        most: u64,
    },
    /// Rising numbers, with commas: where one band ends and the next begins.
    Borders,
    /// Values of a group, with commas, or the word `discovered`.
    Groups,
}

/// How many rows of a person are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// One.
    One,
    /// What this blank says.
    Blank(&'static str),
}

/// Types of columns, as far as templates tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeOf {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A decimal number.
    Decimal,
    /// A text.
    Text,
    /// A day.
    Date,
    /// A moment.
    Timestamp,
}

impl QueryTemplate {
    /// All blanks: the template's own, then those that each query has.
    #[must_use]
    pub fn blanks(&self) -> Vec<Blank> {
        let common = catalogue::common(self.name, self.epsilon);
        self.blanks.iter().copied().chain(common).collect()
    }

    /// The blank of this name.
    #[must_use]
    pub fn blank(&self, name: &str) -> Option<Blank> {
        self.blanks().into_iter().find(|blank| blank.name == name)
    }
}
