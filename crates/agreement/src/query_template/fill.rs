//! Values into blanks.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{ColumnRef, QueryName};

use super::text::{Names, expanded};
use super::value::{Dataset, Value, fits, read, words};
use super::{Blank, BlankKind, Most, QueryTemplate};
use crate::model::Terms;

/// A section of an agreement, filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilledQuery {
    /// The query's name.
    pub name: QueryName,
    /// The section, as it can stand in an agreement.
    pub text: String,
}

/// Why a template was not filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// No such blank.
    #[error("the template has no blank `{name}`; it has {known}")]
    Unknown {
        /// What was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A blank was given twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// Blanks without a value.
    #[error("{}", missing(.0))]
    Missing(Vec<Blank>),
    /// A value that the blank cannot have.
    #[error("`{}` has no valid value: {why}", .blank.name)]
    Value {
        /// The blank.
        blank: Box<Blank>,
        /// What is wrong with it.
        why: String,
    },
    /// The template itself is wrong.
    #[error("the template has a fault: {0}")]
    Template(String),
}

fn missing(blanks: &[Blank]) -> String {
    let names: Vec<String> = blanks.iter().map(|b| format!("`{}`", b.name)).collect();
    match names.as_slice() {
        [one] => format!("{one} is not filled in"),
        _ => format!("{} are not filled in", names.join(", ")),
    }
}

impl Blank {
    /// What is filled in, in a word or two: `a column (date or timestamp)`.
    #[must_use]
    pub fn form(&self) -> String {
        match self.kind {
            BlankKind::Query => "a name".to_owned(),
            BlankKind::Purpose => "a purpose".to_owned(),
            BlankKind::Analysts => "party/analyst, ...".to_owned(),
            BlankKind::Parties => "party, ...".to_owned(),
            BlankKind::Dataset { .. } => "a data set".to_owned(),
            BlankKind::Registers => "data sets, or none".to_owned(),
            BlankKind::Lookup { .. } => "a public data set, or none".to_owned(),
            BlankKind::Column { types, .. } => {
                let perhaps = if self.default == Some("") {
                    ", or none"
                } else {
                    ""
                };
                format!("a column ({}){perhaps}", words(types))
            }
            BlankKind::Whole { least, most } => format!("a whole number, {least} to {most}"),
            BlankKind::Number => "a number".to_owned(),
            BlankKind::Text => "a text".to_owned(),
            BlankKind::Texts { .. } => "texts, with commas".to_owned(),
            BlankKind::UpTo { most } => format!("a whole number, 1 to {most}"),
            BlankKind::Borders => "rising numbers, with commas".to_owned(),
            BlankKind::Groups => "values, with commas, or `discovered`".to_owned(),
        }
    }
}

impl QueryTemplate {
    /// The section with these values in its blanks. Where the terms of an agreement are given,
    /// data sets and columns are its own and of the types that the template needs; whether the
    /// query is accepted as a whole is for the crate `query` to prove.
    ///
    /// # Errors
    /// [`FillError`].
    pub fn fill(
        &self,
        values: &[(String, String)],
        terms: Option<&Terms>,
    ) -> Result<FilledQuery, FillError> {
        let blanks = self.blanks();
        let given = self.given(values, &blanks)?;
        let text = |blank: &Blank| given.get(blank.name).copied().or(blank.default);
        let unfilled = blanks.iter().filter(|blank| text(blank).is_none());
        let unfilled: Vec<Blank> = unfilled.copied().collect();
        if !unfilled.is_empty() {
            return Err(FillError::Missing(unfilled));
        }
        let mut filled = BTreeMap::new();
        for blank in &blanks {
            let value = read(blank, text(blank).unwrap_or_default(), terms);
            let value = value.map_err(|why| FillError::Value {
                blank: Box::new(*blank),
                why,
            })?;
            filled.insert(blank.name, value);
        }
        let filled = Filled { blanks, filled };
        filled.fits(terms)?;
        let text = expanded(self.text, &filled.names()?).map_err(FillError::Template)?;
        let Some(Value::Plain(name)) = filled.filled.get("name") else {
            return Err(FillError::Template("it has no name".to_owned()));
        };
        let name = name.parse::<QueryName>();
        let name = name.map_err(|error| FillError::Template(error.to_string()))?;
        Ok(FilledQuery { name, text })
    }

    fn given<'v>(
        &self,
        values: &'v [(String, String)],
        blanks: &[Blank],
    ) -> Result<BTreeMap<&'v str, &'v str>, FillError> {
        let mut given = BTreeMap::new();
        for (name, value) in values {
            if !blanks.iter().any(|blank| blank.name == name) {
                let known: Vec<String> = blanks.iter().map(|b| format!("`{}`", b.name)).collect();
                return Err(FillError::Unknown {
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
            if given.insert(name.as_str(), value.as_str()).is_some() {
                return Err(FillError::Twice(name.clone()));
            }
        }
        Ok(given)
    }
}

/// All values, each of its blank's kind.
struct Filled {
    blanks: Vec<Blank>,
    filled: BTreeMap<&'static str, Value>,
}

impl Filled {
    fn datasets(&self, blank: &str) -> &[Dataset] {
        match self.filled.get(blank) {
            Some(Value::Datasets(datasets)) => datasets,
            _ => &[],
        }
    }

    /// Every data set with the blank that names it.
    fn all_datasets(&self) -> impl Iterator<Item = (&Blank, &Dataset)> {
        let of = |blank| move |dataset| (blank, dataset);
        let blanks = self.blanks.iter();
        blanks.flat_map(move |blank| self.datasets(blank.name).iter().map(of(blank)))
    }

    /// The column that a blank is filled with, with its data set.
    fn column(&self, blank: &Blank) -> Result<Option<ColumnRef>, FillError> {
        let (BlankKind::Column { of, .. }, Some(Value::Column(Some(column)))) =
            (blank.kind, self.filled.get(blank.name))
        else {
            return Ok(None);
        };
        let own = self.datasets(of).first().map(|dataset| &dataset.name);
        let dataset = match &column.dataset {
            Some(named) => {
                let mut all = self.all_datasets();
                if !all.any(|(_, dataset)| &dataset.name == named) {
                    return Err(FillError::Value {
                        blank: Box::new(*blank),
                        why: format!("`{named}` is no data set that the query reads"),
                    });
                }
                Some(named)
            }
            None => own,
        };
        let dataset = dataset.cloned();
        let dataset =
            dataset.ok_or_else(|| FillError::Template(format!("no data set of `{of}`")))?;
        Ok(Some(ColumnRef {
            dataset,
            column: column.name.clone(),
        }))
    }

    /// Every column that is filled in, with its blank.
    fn columns(&self) -> Result<Vec<(Blank, ColumnRef)>, FillError> {
        let mut columns = Vec::new();
        for blank in &self.blanks {
            if let Some(column) = self.column(blank)? {
                columns.push((*blank, column));
            }
        }
        Ok(columns)
    }

    /// Checks columns with the agreement.
    fn fits(&self, terms: Option<&Terms>) -> Result<(), FillError> {
        let columns = self.columns()?;
        let Some(terms) = terms else { return Ok(()) };
        for (blank, column) in columns {
            let BlankKind::Column { types, .. } = blank.kind else {
                continue;
            };
            fits(&column.dataset, &column.column, types, terms).map_err(|why| {
                FillError::Value {
                    blank: Box::new(blank),
                    why,
                }
            })?;
        }
        Ok(())
    }

    /// Every column that the query reads.
    fn reads(&self) -> Result<BTreeSet<ColumnRef>, FillError> {
        let columns = self.columns()?;
        let mut reads: BTreeSet<ColumnRef> = columns.iter().map(|(_, c)| c.clone()).collect();
        for (blank, dataset) in self.all_datasets() {
            let person = dataset.person.clone();
            let key = match blank.kind {
                BlankKind::Lookup { by, .. } => {
                    let same = columns.iter().find(|(blank, _)| blank.name == by);
                    same.map(|(_, column)| column.column.clone())
                }
                _ => person,
            };
            reads.extend(key.map(|column| ColumnRef {
                dataset: dataset.name.clone(),
                column,
            }));
        }
        Ok(reads)
    }

    /// The most rows of each data set: `mailing = 1, purchases = 1000`.
    fn rows(&self) -> String {
        let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
        for (blank, dataset) in self.all_datasets() {
            let said = match blank.kind {
                BlankKind::Dataset {
                    rows: Most::Blank(by),
                }
                | BlankKind::Lookup { rows: by, .. } => self.filled.get(by),
                _ => None,
            };
            let most = match said {
                Some(Value::Plain(number)) => number.parse().unwrap_or(1),
                _ => 1,
            };
            let of = rows.entry(dataset.name.as_str()).or_default();
            *of = most.max(*of);
        }
        let rows: Vec<String> = rows.iter().map(|(a, b)| format!("{a} = {b}")).collect();
        rows.join(", ")
    }

    /// What stands for what in the text.
    fn names(&self) -> Result<Names, FillError> {
        let mut names = Names::default();
        let reads = self.reads()?;
        let reads: Vec<String> = reads.iter().map(|read| format!("\"{read}\"")).collect();
        names.set("reads", reads.join(", "));
        names.set("rows", self.rows());
        for blank in &self.blanks {
            match self.filled.get(blank.name) {
                Some(Value::Plain(text)) => names.set(blank.name, text.clone()),
                Some(Value::Names(list)) => names.set(blank.name, quoted(list)),
                Some(Value::Discovered) => names.set(blank.name, "\"discovered\"".to_owned()),
                Some(Value::Text(text)) => names.set(blank.name, format!("'{text}'")),
                Some(Value::Texts(list)) => names.texts(blank.name, list, quoted(list)),
                Some(Value::UpTo(most)) => names.up_to(blank.name, *most),
                Some(Value::Borders(list)) => {
                    let labels = labels(list);
                    names.borders(blank.name, list, &labels, quoted(&labels));
                }
                Some(Value::Datasets(datasets)) => names.datasets(blank.name, datasets),
                Some(Value::Column(_)) => names.column(blank.name, self.column(blank)?.as_ref()),
                None => {}
            }
        }
        Ok(names)
    }
}

/// A TOML list of texts without quotes.
fn quoted(list: &[String]) -> String {
    let list: Vec<String> = list.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", list.join(", "))
}

/// What bands are called: `below 10`, `10 to 50`, `50 or more`.
fn labels(borders: &[String]) -> Vec<String> {
    let between = borders.iter().zip(borders.iter().skip(1));
    let first = borders.first().map(|border| format!("below {border}"));
    let last = borders.last().map(|border| format!("{border} or more"));
    let between = between.map(|(low, high)| format!("{low} to {high}"));
    first.into_iter().chain(between).chain(last).collect()
}
