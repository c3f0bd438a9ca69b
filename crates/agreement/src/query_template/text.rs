//! The text of a template with names in the place of its blanks, in one pass.

use std::collections::BTreeMap;

use incamera_types::ColumnRef;

use super::value::Dataset;

/// What stands for what.
#[derive(Default)]
pub(super) struct Names {
    plain: BTreeMap<String, String>,
    /// Of blanks with several values, or perhaps none: what stands for what in each repetition.
    lists: BTreeMap<String, Vec<Item>>,
}

/// One repetition.
type Item = Vec<(&'static str, String)>;

impl Names {
    pub(super) fn set(&mut self, name: &str, text: String) {
        self.plain.insert(name.to_owned(), text);
    }

    pub(super) fn texts(&mut self, name: &str, texts: &[String], list: String) {
        self.set(name, list);
        if let Some(first) = texts.first() {
            self.set(&format!("{name}_first"), format!("'{first}'"));
        }
        let item = |text: &String| {
            vec![
                ("item", format!("'{text}'")),
                ("item_name", output_name(text)),
            ]
        };
        self.lists
            .insert(name.to_owned(), texts.iter().map(item).collect());
    }

    pub(super) fn up_to(&mut self, name: &str, most: u64) {
        self.set(name, most.to_string());
        let item = |number: u64| vec![("item", number.to_string())];
        self.lists
            .insert(name.to_owned(), (1..=most).map(item).collect());
    }

    pub(super) fn borders(
        &mut self,
        name: &str,
        borders: &[String],
        labels: &[String],
        list: String,
    ) {
        self.set(name, list);
        if let Some(last) = labels.last() {
            self.set(&format!("{name}_last"), last.clone());
        }
        let item = |(border, label): (&String, &String)| {
            vec![("item", border.clone()), ("item_label", label.clone())]
        };
        let items = borders.iter().zip(labels).map(item).collect();
        self.lists.insert(name.to_owned(), items);
    }

    pub(super) fn datasets(&mut self, name: &str, datasets: &[Dataset]) {
        let item = |dataset: &Dataset| {
            let mut item = vec![("item", identifier(dataset.name.as_str()))];
            item.extend(
                dataset
                    .person
                    .iter()
                    .map(|column| ("item_person", identifier(column.as_str()))),
            );
            item
        };
        let items: Vec<Item> = datasets.iter().map(item).collect();
        if let [only] = items.as_slice() {
            for (key, text) in only {
                self.set(&key.replace("item", name), text.clone());
            }
        }
        self.lists.insert(name.to_owned(), items);
    }

    pub(super) fn column(&mut self, name: &str, column: Option<&ColumnRef>) {
        let item = |column: &ColumnRef| {
            let (dataset, name) = (column.dataset.as_str(), column.column.as_str());
            let whole = format!("{}.{}", identifier(dataset), identifier(name));
            vec![("item", whole), ("item_column", identifier(name))]
        };
        let items: Vec<Item> = column.map(item).into_iter().collect();
        for (key, text) in items.iter().flatten() {
            self.set(&key.replace("item", name), text.clone());
        }
        self.lists.insert(name.to_owned(), items);
    }
}

/// The template's text with everything filled in.
pub(super) fn expanded(text: &str, names: &Names) -> Result<String, String> {
    let whole = text
        .replace("@head\n", include_str!("text/head.toml"))
        .replace("@tail\n", include_str!("text/tail.toml"));
    let mut out = String::new();
    let mut lines = whole.lines();
    while let Some(line) = lines.next() {
        let Some(each) = line.strip_prefix("@each ") else {
            out.push_str(&filled(line, names, &[])?);
            out.push('\n');
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "@end").collect();
        let (list, from) = each.split_once(" from ").unwrap_or((each, "1"));
        let items = names.lists.get(list);
        let items = items.ok_or_else(|| format!("`@each {list}` of what is no list"))?;
        let from: usize = from.parse().map_err(|_| format!("`@each {each}`"))?;
        for (at, item) in items.iter().enumerate().skip(from.saturating_sub(1)) {
            let mut here = item.clone();
            here.push(("number", (at + 1).to_string()));
            here.push(("before", at.to_string()));
            for line in &block {
                out.push_str(&filled(line, names, &here)?);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

/// One line.
fn filled(line: &str, names: &Names, item: &[(&'static str, String)]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let inside = |c: char| c.is_ascii_lowercase() || c == '_';
        let end = after.find(|c| !inside(c)).unwrap_or(after.len());
        let (name, next) = after.split_at_checked(end).unwrap_or((after, ""));
        let of_item = item.iter().find(|(key, _)| *key == name);
        let value = of_item.map(|(_, text)| text).or(names.plain.get(name));
        out.push_str(value.ok_or_else(|| format!("nothing stands for `@{name}`"))?);
        rest = next;
    }
    out.push_str(rest);
    Ok(out)
}

/// Words that SQL reads as its own where a name could stand.
const RESERVED: [&str; 60] = [
    "all",
    "and",
    "any",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "create",
    "cross",
    "current",
    "date",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "fetch",
    "filter",
    "for",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "right",
    "select",
    "set",
    "table",
    "then",
    "timestamp",
    "true",
    "union",
    "using",
    "values",
    "when",
    "where",
];

/// A name as SQL writes it. Names have lower-case letters, digits, `-` and `_`.
fn identifier(name: &str) -> String {
    match name.contains('-') || RESERVED.contains(&name) {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    }
}

/// A text as a part of the name of an output column.
fn output_name(text: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => '_',
    };
    text.chars().take(40).map(plain).collect()
}
