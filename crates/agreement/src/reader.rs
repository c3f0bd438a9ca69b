//! A view of a TOML document that knows where everything stands, reports what does not fit,
//! and remembers which fields were read, so that the rest can be refused.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use incamera_types::{Date, Decimal, Moment};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Problems, Span};

/// How a template marks what a person must fill in: the start of a text.
pub(crate) const PLACEHOLDER: &str = "FILL IN";

/// One value and its place.
#[derive(Clone)]
pub(crate) struct Item<'d> {
    pub(crate) span: Span,
    /// What the value is called in messages, such as `queries.lift.epsilon`.
    pub(crate) path: String,
    value: &'d DeValue<'d>,
    problems: &'d Problems<'d>,
}

impl<'d> Item<'d> {
    fn new(path: String, value: &'d Spanned<DeValue<'d>>, problems: &'d Problems<'d>) -> Self {
        Self {
            span: value.span(),
            path,
            value: value.get_ref(),
            problems,
        }
    }

    /// Notes a problem with this value.
    pub(crate) fn problem(&self, what: impl Display, help: impl Display) {
        self.problems.add(&self.span, what, help);
    }

    fn wrong_type<T>(&self, wanted: &str) -> Option<T> {
        if self.to_fill_in() {
            return None;
        }
        let (path, found) = (&self.path, self.value.type_str());
        self.problem(
            format_args!("`{path}` is {wanted}, not a TOML {found}"),
            format_args!("write {wanted}"),
        );
        None
    }

    /// Whether the value is a placeholder of a template; notes that it is.
    fn to_fill_in(&self) -> bool {
        let DeValue::String(text) = self.value else {
            return false;
        };
        let Some(what) = text.strip_prefix(PLACEHOLDER) else {
            return false;
        };
        let what = what.trim_start_matches([':', ' ']);
        self.problem(
            format_args!("`{}` is still to be filled in", self.path),
            format_args!("write {what}"),
        );
        true
    }

    /// The value as text.
    pub(crate) fn text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(_) if self.to_fill_in() => None,
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a text in quotes"),
        }
    }

    /// Whether the value is a text.
    pub(crate) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Whether the value is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// The value as something that is written as a text.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, help: impl Display) -> Option<T> {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(format_args!("`{}`: {error}", self.path), help);
                None
            }
        }
    }

    /// The value as true or false.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => self.wrong_type("true or false"),
        }
    }

    /// The value as a whole number in a range.
    pub(crate) fn whole(&self, low: u64, high: u64) -> Option<u64> {
        let DeValue::Integer(number) = self.value else {
            return self.wrong_type("a whole number");
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            _ => {
                self.problem(
                    format_args!("`{}` is out of range", self.path),
                    format_args!("write a whole number from {low} to {high}"),
                );
                None
            }
        }
    }

    /// [`Item::whole`] for 32 bits.
    pub(crate) fn whole_u32(&self, low: u32, high: u32) -> Option<u32> {
        let number = self.whole(low.into(), high.into())?;
        u32::try_from(number).ok()
    }

    /// The text of a number, as it was written, without underscores.
    pub(crate) fn number(&self) -> Option<&'d str> {
        match self.value {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => self.wrong_type("a decimal number"),
        }
    }

    /// The value as an exact fixed-point number.
    pub(crate) fn decimal(&self) -> Option<Decimal> {
        let text = self.number()?;
        let whole = text.parse::<i64>().ok();
        let whole = whole.and_then(|whole| Decimal::new(whole.into(), 0));
        let number = whole.or_else(|| text.parse().ok());
        if number.is_none() {
            self.problem(
                format_args!("`{}` is not an exact decimal number", self.path),
                "write plain digits without an exponent, at most 18 on each side of the point",
            );
        }
        number
    }

    /// The value as a day.
    pub(crate) fn date(&self) -> Option<Date> {
        let day = match self.value {
            DeValue::Datetime(moment) if moment.time.is_none() => moment.date,
            _ => None,
        };
        match day.and_then(|day| day.to_string().parse().ok()) {
            Some(day) => Some(day),
            None => self.wrong_type("a day without quotes, such as 2027-03-31"),
        }
    }

    /// The value as a moment.
    pub(crate) fn moment(&self) -> Option<Moment> {
        let text = match self.value {
            DeValue::Datetime(moment) => moment.to_string().parse().ok(),
            _ => None,
        };
        match text {
            Some(moment) => Some(moment),
            None => self.wrong_type(
                "a moment with its offset, without quotes, such as 2027-03-31T18:30:00Z",
            ),
        }
    }

    /// The value as a list.
    pub(crate) fn list(&self) -> Option<Vec<Item<'d>>> {
        let DeValue::Array(items) = self.value else {
            return self.wrong_type("a list in square brackets");
        };
        let item = |(at, value)| Item::new(format!("{}[{at}]", self.path), value, self.problems);
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The value as a list with at least one member.
    pub(crate) fn list_of_some(&self, what: &str) -> Option<Vec<Item<'d>>> {
        let items = self.list()?;
        if items.is_empty() {
            self.problem(
                format_args!("`{}` is empty", self.path),
                format_args!("name at least one {what}"),
            );
            return None;
        }
        Some(items)
    }

    /// The value as a table.
    pub(crate) fn table(&self) -> Option<Table<'d>> {
        let DeValue::Table(table) = self.value else {
            return self.wrong_type("a table");
        };
        Some(Table::new(
            self.path.clone(),
            self.span.clone(),
            table,
            self.problems,
        ))
    }

    /// A text, whole number or truth value, as text.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            _ => self.wrong_type("a text, a whole number, true or false"),
        }
    }
}

struct Entry<'d> {
    key: &'d str,
    at: Span,
    value: &'d Spanned<DeValue<'d>>,
}

/// A table, its place, and which of its fields have been read.
pub(crate) struct Table<'d> {
    pub(crate) path: String,
    pub(crate) span: Span,
    /// In order of place in the file.
    entries: Vec<Entry<'d>>,
    read: RefCell<BTreeSet<&'d str>>,
    known: RefCell<Vec<&'static str>>,
    problems: &'d Problems<'d>,
}

/// A member of a table of named things.
pub(crate) struct Named<'d, N> {
    pub(crate) name: N,
    pub(crate) at: Span,
    pub(crate) item: Item<'d>,
}

impl<'d> Table<'d> {
    pub(crate) fn new(
        path: String,
        span: Span,
        table: &'d DeTable<'d>,
        problems: &'d Problems<'d>,
    ) -> Self {
        let entry = |(key, value): (&'d Spanned<_>, &'d Spanned<_>)| Entry {
            key: AsRef::<std::borrow::Cow<'d, str>>::as_ref(key).as_ref(),
            at: key.span(),
            value,
        };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.at.start);
        Self {
            path,
            span,
            entries,
            read: RefCell::default(),
            known: RefCell::default(),
            problems,
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Notes a problem with the whole table.
    pub(crate) fn problem(&self, what: impl Display, help: impl Display) {
        self.problems.add(&self.span, what, help);
    }

    /// Where problems are noted.
    pub(crate) fn problems(&self) -> &'d Problems<'d> {
        self.problems
    }

    /// The field, where there is one.
    pub(crate) fn get(&self, key: &'static str) -> Option<Item<'d>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        self.read.borrow_mut().insert(entry.key);
        Some(Item::new(self.path_of(key), entry.value, self.problems))
    }

    /// The field; a problem if there is none.
    pub(crate) fn need(&self, key: &'static str, help: impl Display) -> Option<Item<'d>> {
        let found = self.get(key);
        if found.is_none() {
            self.problem(format_args!("`{}` is missing", self.path_of(key)), help);
        }
        found
    }

    /// The field as a table; an empty list if there is none.
    pub(crate) fn members<N: FromStr<Err: Display>>(&self, key: &'static str) -> Vec<Named<'d, N>> {
        let table = self.get(key).and_then(|item| item.table());
        table.map(|table| table.named()).unwrap_or_default()
    }

    /// All fields, whose keys are names.
    pub(crate) fn named<N: FromStr<Err: Display>>(&self) -> Vec<Named<'d, N>> {
        let named = |entry: &Entry<'d>| {
            self.read.borrow_mut().insert(entry.key);
            let mut item = Item::new(self.path_of(entry.key), entry.value, self.problems);
            if let DeValue::Table(_) = item.value {
                item.span = entry.at.clone();
            }
            match entry.key.parse() {
                Ok(name) => Some(Named {
                    name,
                    at: entry.at.clone(),
                    item,
                }),
                Err(error) => {
                    self.problems.add(&entry.at, error, "choose another name");
                    None
                }
            }
        };
        self.entries.iter().filter_map(named).collect()
    }

    /// Like [`Table::named`], without the field `key`.
    pub(crate) fn named_but<N: FromStr<Err: Display>>(&self, key: &str) -> Vec<Named<'d, N>> {
        let others = |named: &Named<'d, N>| named.item.path != self.path_of(key);
        self.named().into_iter().filter(others).collect()
    }

    /// Refuses fields that the design has and this version does not.
    pub(crate) fn later(&self, keys: &[&'static str]) {
        for entry in &self.entries {
            if keys.contains(&entry.key) && self.read.borrow_mut().insert(entry.key) {
                self.problems.add(
                    &entry.at,
                    format_args!(
                        "`{}` is not in this version of incamera",
                        self.path_of(entry.key)
                    ),
                    "take it out, or use a version of incamera that has it",
                );
            }
        }
    }

    /// Refuses every field that was not read.
    pub(crate) fn close(&self) {
        let (read, known) = (self.read.borrow(), self.known.borrow());
        for entry in self
            .entries
            .iter()
            .filter(|entry| !read.contains(entry.key))
        {
            let place = if self.path.is_empty() {
                self.problems.what().to_owned()
            } else {
                format!("`{}`", self.path)
            };
            self.problems.add(
                &entry.at,
                format_args!("`{}` is not a field of {place}", entry.key),
                format_args!("fields are {}", known.join(", ")),
            );
        }
    }
}
