//! What a blank is filled with: read as what it is, before anything is written.

use incamera_types::{
    AnalystRef, ColumnName, ColumnType, DatasetName, DatasetSpec, Decimal, PartyName, PurposeName,
    QueryName,
};

use super::{Blank, BlankKind, TypeOf};
use crate::model::Terms;

/// The longest text.
const MAX_TEXT_CHARS: usize = 200;
/// The most members of a list.
const MAX_LIST: usize = 1_000;
/// The pseudonym column where neither the value nor an agreement names it.
const PERSON: &str = "person";
/// The word for groups that the data name.
const DISCOVERED: &str = "discovered";

/// A value, checked.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A name or a number, which TOML and SQL write alike.
    Plain(String),
    /// Names in a TOML list.
    Names(Vec<String>),
    Datasets(Vec<Dataset>),
    /// A column, or none.
    Column(Option<Column>),
    Text(String),
    Texts(Vec<String>),
    Discovered,
    UpTo(u64),
    Borders(Vec<String>),
}

/// A data set, and the column that says whose row it is; none in a public one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dataset {
    pub(super) name: DatasetName,
    pub(super) person: Option<ColumnName>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its data set, where the value names it.
    pub(super) dataset: Option<DatasetName>,
    pub(super) name: ColumnName,
}

/// Reads a value as what the blank is filled with; says what is wrong with it.
pub(super) fn read(blank: &Blank, text: &str, terms: Option<&Terms>) -> Result<Value, String> {
    let names = || list(text, 1, MAX_LIST);
    Ok(match blank.kind {
        BlankKind::Query => Value::Plain(parsed::<QueryName>(text)?),
        BlankKind::Purpose => Value::Plain(parsed::<PurposeName>(text)?),
        BlankKind::Analysts => Value::Names(each(names()?, parsed::<AnalystRef>)?),
        BlankKind::Parties => Value::Names(each(names()?, parsed::<PartyName>)?),
        BlankKind::Dataset { .. } => Value::Datasets(vec![dataset(text, false, terms)?]),
        BlankKind::Registers => {
            let names = list(text, 0, MAX_LIST)?;
            Value::Datasets(each(names, |name| dataset(name, false, terms))?)
        }
        BlankKind::Lookup { .. } => {
            let names = list(text, 0, 1)?;
            Value::Datasets(each(names, |name| dataset(name, true, terms))?)
        }
        BlankKind::Column { .. } if text.is_empty() && blank.default == Some("") => {
            Value::Column(None)
        }
        BlankKind::Column { .. } => Value::Column(Some(column(text)?)),
        BlankKind::Whole { least, most } => Value::Plain(whole(text, least, most)?),
        BlankKind::Number => Value::Plain(parsed::<Decimal>(text)?),
        BlankKind::Text => Value::Text(plain(text)?),
        BlankKind::Texts { least, most } => Value::Texts(each(list(text, least, most)?, plain)?),
        BlankKind::UpTo { most } => {
            let number = whole(text, 1, most)?;
            Value::UpTo(number.parse().unwrap_or(most))
        }
        BlankKind::Borders => Value::Borders(rising(text)?),
        BlankKind::Groups if text == DISCOVERED => Value::Discovered,
        BlankKind::Groups => Value::Texts(each(names()?, plain)?),
    })
}

fn parsed<T: std::str::FromStr<Err: ToString> + ToString>(text: &str) -> Result<String, String> {
    let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(value.to_string())
}

fn each<T>(items: Vec<&str>, read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    items.into_iter().map(read).collect()
}

/// The members of a list with commas, each once.
fn list(text: &str, least: usize, most: usize) -> Result<Vec<&str>, String> {
    let items: Vec<&str> = match text.trim().is_empty() {
        true => Vec::new(),
        false => text.split(',').map(str::trim).collect(),
    };
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = items.iter().find(|item| !seen.insert(**item)) {
        return Err(format!("`{twice}` stands there twice"));
    }
    match items.len() {
        count if count < least => Err(format!("it has fewer than {least} values")),
        count if count > most => Err(format!("it has more than {most} values")),
        _ => Ok(items),
    }
}

fn whole(text: &str, least: u64, most: u64) -> Result<String, String> {
    let number = text.replace('_', "").parse::<u64>().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number
        .map(|number| number.to_string())
        .ok_or_else(|| format!("it is no whole number from {least} to {most}"))
}

/// A text that TOML and SQL can write as it is.
fn plain(text: &str) -> Result<String, String> {
    let odd = |c: &char| matches!(c, '\'' | '"' | '\\' | '`') || c.is_control();
    if text.is_empty() {
        return Err("a value is empty".to_owned());
    }
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!(
            "a value is longer than {MAX_TEXT_CHARS} characters"
        ));
    }
    match text.chars().find(odd) {
        Some(_) => Err(
            "a value holds a quotation mark, a backslash or a control character: fill the section in without it, and write it in by hand"
                .to_owned(),
        ),
        None => Ok(text.to_owned()),
    }
}

/// Rising numbers.
fn rising(text: &str) -> Result<Vec<String>, String> {
    let numbers = each(list(text, 1, MAX_LIST)?, |number| {
        number.parse::<Decimal>().map_err(|error| error.to_string())
    })?;
    let scale = numbers.iter().map(|number| number.scale()).max();
    let scaled = numbers
        .iter()
        .map(|number| number.rescale(scale.unwrap_or(0)));
    let scaled: Result<Vec<Decimal>, _> = scaled.collect();
    let scaled = scaled.map_err(|_| "a number has too many digits".to_owned())?;
    let mut pairs = scaled.iter().zip(scaled.iter().skip(1));
    if pairs.any(|(a, b)| a.unscaled() >= b.unscaled()) {
        return Err("the numbers do not rise".to_owned());
    }
    Ok(numbers.iter().map(ToString::to_string).collect())
}

fn column(text: &str) -> Result<Column, String> {
    let (dataset, name) = match text.split_once('.') {
        Some((dataset, name)) => (Some(dataset), name),
        None => (None, text),
    };
    let dataset = dataset.map(str::parse::<DatasetName>).transpose();
    Ok(Column {
        dataset: dataset.map_err(|error| error.to_string())?,
        name: name.parse().map_err(|error| format!("{error}"))?,
    })
}

/// A data set. Where an agreement is known, it is one of its own, and the agreement says which
/// column is its pseudonym.
fn dataset(text: &str, public: bool, terms: Option<&Terms>) -> Result<Dataset, String> {
    let Column { dataset, name } = column(text)?;
    let (name, person) = match dataset {
        Some(dataset) => (dataset, Some(name)),
        None => (
            name.as_str().parse().map_err(|error| format!("{error}"))?,
            None,
        ),
    };
    let spec = match terms {
        Some(terms) => Some(known(&name, public, terms)?),
        None => None,
    };
    if public {
        return Ok(Dataset { name, person: None });
    }
    let of_spec = spec.map(|spec| {
        let column = spec.person_column().map(|column| column.name.clone());
        column.ok_or_else(|| format!("data set `{name}` has no pseudonym column"))
    });
    let person = match (person, of_spec) {
        (None, None) => PERSON.parse().map_err(|error| format!("{error}"))?,
        (None, Some(person)) | (Some(_), Some(person @ Err(_))) => person?,
        (Some(person), None) => person,
        (Some(said), Some(Ok(person))) if said == person => person,
        (Some(said), Some(Ok(person))) => {
            return Err(format!(
                "the pseudonym column of `{name}` is `{person}`, not `{said}`"
            ));
        }
    };
    Ok(Dataset {
        name,
        person: Some(person),
    })
}

/// The data set in an agreement.
fn known<'t>(
    name: &DatasetName,
    public: bool,
    terms: &'t Terms,
) -> Result<&'t DatasetSpec, String> {
    let spec = terms.datasets.get(name).ok_or_else(|| {
        let known: Vec<String> = terms.datasets.keys().map(ToString::to_string).collect();
        format!(
            "the agreement has no data set `{name}`; it has {}",
            known.join(", ")
        )
    })?;
    match (spec.public, public) {
        (true, false) => Err(format!(
            "data set `{name}` is public, and has nobody's rows"
        )),
        (false, true) => Err(format!("data set `{name}` is not public")),
        _ => Ok(spec),
    }
}

/// Whether a column of an agreement is what a blank can be filled with; says why not.
pub(super) fn fits(
    dataset: &DatasetName,
    column: &ColumnName,
    types: &[TypeOf],
    terms: &Terms,
) -> Result<(), String> {
    let spec = terms.datasets.get(dataset);
    let spec = spec.ok_or_else(|| format!("the agreement has no data set `{dataset}`"))?;
    let found = spec.column(column).ok_or_else(|| {
        let known: Vec<String> = spec.stored_columns().map(|c| c.name.to_string()).collect();
        format!(
            "data set `{dataset}` has no column `{column}`; it has {}",
            known.join(", ")
        )
    })?;
    let ty = TypeOf::of(found.ty);
    match ty.is_some_and(|ty| types.contains(&ty)) {
        true => Ok(()),
        false => Err(format!(
            "column `{dataset}.{column}` is of type {}; it must be {}",
            found.ty,
            words(types)
        )),
    }
}

/// `int or text`.
pub(super) fn words(types: &[TypeOf]) -> String {
    let words: Vec<&str> = types.iter().map(|ty| ty.word()).collect();
    words.join(" or ")
}

impl TypeOf {
    fn of(ty: ColumnType) -> Option<Self> {
        Some(match ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int => Self::Int,
            ColumnType::Decimal { .. } => Self::Decimal,
            ColumnType::Text => Self::Text,
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp => Self::Timestamp,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}
