//! The changes of a file, in words.
//!
//! Both files are taken apart into facts (a path and a value) without regard to what the
//! paths mean, so that no change of any field can be passed over; known paths get better
//! words, all others the plain ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use incamera_keys::ReceivePublicKey;
use toml::de::{DeTable, DeValue};

use super::meaning::meaning;
use crate::Agreement;

/// A place in the file, such as `queries`, `lift`, `epsilon`.
type Path = Vec<String>;

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
enum Fact {
    Text(String),
    Number(String),
    List(Vec<String>),
    /// A table without fields.
    Empty,
}

/// Every change of the file but of its lineage and of the tree of purposes, a sentence each.
pub(super) fn fields(old: &Agreement, new: &Agreement) -> Vec<String> {
    let mut sentences = Vec::new();
    let (before, after) = (facts(old.bytes()), facts(new.bytes()));
    let whole = |things: &BTreeSet<Path>, path: &Path| tops(path).any(|top| things.contains(top));
    let (gone, come) = (
        things_without(&before, &after),
        things_without(&after, &before),
    );
    let told = |path: &&Path| !is_purpose(path);
    sentences.extend(
        gone.iter()
            .filter(told)
            .map(|path| format!("{} is taken out", subject(path))),
    );
    sentences.extend(come.iter().filter(told).map(|path| added(path, &after)));
    let paths: BTreeSet<&Path> = before.keys().chain(after.keys()).collect();
    for path in paths {
        if whole(&gone, path) || whole(&come, path) || is_told_elsewhere(path) {
            continue;
        }
        sentences.extend(field_words(path, before.get(path), after.get(path)));
    }
    sentences
}

/// What becomes of one field, and what it is about.
fn field_words(path: &Path, old: Option<&Fact>, new: Option<&Fact>) -> Option<String> {
    let words = match (old, new) {
        (Some(old), Some(new)) if old == new => return None,
        (Some(old), Some(new)) => changed(path, old, new),
        (None, Some(new)) => format!("{} gains {}", owner(path), field(path, new)),
        (Some(old), None) => format!("{} loses {}", owner(path), field(path, old)),
        (None, None) => return None,
    };
    Some(match meaning(path) {
        Some(meaning) => format!("{words} ({meaning})"),
        None => words,
    })
}

/// What becomes of whole purposes is told of the tree.
fn is_purpose(path: &[String]) -> bool {
    matches!(path, [section, _] if section == "purposes")
}

/// The lineage stands at the top, and moves in the tree with the purposes.
fn is_told_elsewhere(path: &[String]) -> bool {
    let of_tree = matches!(path, [section, _, field] if section == "purposes" && field == "parent");
    of_tree || is_lineage(path)
}

fn is_lineage(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(path.as_slice(), ["agreement", "version" | "id" | "follows"])
}

/// All facts of a file that has been parsed before.
fn facts(bytes: &[u8]) -> BTreeMap<Path, Fact> {
    let mut facts = BTreeMap::new();
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let (document, _) = DeTable::parse_recoverable(text);
    table_facts(document.get_ref(), &mut Vec::new(), &mut facts);
    facts
}

fn table_facts(table: &DeTable<'_>, path: &mut Path, facts: &mut BTreeMap<Path, Fact>) {
    if table.is_empty() {
        facts.insert(path.clone(), Fact::Empty);
    }
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        value_facts(value.get_ref(), path, facts);
        path.pop();
    }
}

fn value_facts(value: &DeValue<'_>, path: &mut Path, facts: &mut BTreeMap<Path, Fact>) {
    let fact = match value {
        DeValue::Table(table) => return table_facts(table, path, facts),
        DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
            for (at, item) in items.iter().enumerate() {
                let tee = item
                    .get_ref()
                    .get("tee")
                    .and_then(|tee| tee.get_ref().as_str());
                path.push(tee.map_or_else(|| at.to_string(), str::to_owned));
                value_facts(item.get_ref(), path, facts);
                path.pop();
            }
            return;
        }
        DeValue::Array(items) => {
            Fact::List(items.iter().map(|item| scalar(item.get_ref())).collect())
        }
        DeValue::Integer(_) | DeValue::Float(_) => Fact::Number(scalar(value)),
        _ => Fact::Text(scalar(value)),
    };
    facts.insert(path.clone(), fact);
}

/// A value as text; numbers in one spelling.
fn scalar(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text
            .parse::<ReceivePublicKey>()
            .map_or_else(|_| text.to_string(), |key| key.fingerprint()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.to_string(), |number| number.to_string()),
        DeValue::Float(number) => float(number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| scalar(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn float(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number != 0.0 && number.abs() < 0.001 => format!("{number:e}"),
        Ok(number) => number.to_string(),
        Err(_) => text.to_owned(),
    }
}

/// The paths of whole things (a party, a data set, a column, a query, ...) that are in `facts`
/// and not in `others`; of nested ones the outermost.
fn things_without(facts: &BTreeMap<Path, Fact>, others: &BTreeMap<Path, Fact>) -> BTreeSet<Path> {
    let mut things: BTreeSet<Path> = BTreeSet::new();
    for path in facts.keys() {
        if let Some(top) = tops(path)
            .filter(|top| is_thing(top))
            .find(|top| !has(others, top))
        {
            things.insert(top.to_vec());
        }
    }
    things
}

/// The path cut to each length, from the shortest.
fn tops(path: &[String]) -> impl Iterator<Item = &[String]> {
    (1..=path.len()).filter_map(|depth| path.get(..depth))
}

/// Whether some fact stands at `top` or below it.
fn has(facts: &BTreeMap<Path, Fact>, top: &[String]) -> bool {
    let mut from = facts.range::<[String], _>((Bound::Included(top), Bound::Unbounded));
    from.next().is_some_and(|(path, _)| path.starts_with(top))
}

fn is_thing(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        [
            "parties" | "purposes" | "datasets" | "queries" | "budgets",
            _
        ] | ["proposals"]
            | ["room", "accept", _]
            | ["parties", _, "analysts", _]
            | ["datasets", _, "columns", _]
            | ["queries", _, "params", _]
    )
}

/// The words for a thing or the place of a field.
fn subject(path: &[String]) -> String {
    let words: Vec<_> = path.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["agreement", ..] => "the agreement".to_owned(),
        ["parties", party, "analysts", analyst, ..] => format!("analyst `{party}/{analyst}`"),
        ["parties", party, ..] => format!("party `{party}`"),
        ["room", "accept", tee, ..] => format!("the accepted kind of TEE `{tee}`"),
        ["room", ..] => "the room".to_owned(),
        ["matching", ..] => "matching".to_owned(),
        ["purposes", purpose, ..] => format!("purpose `{purpose}`"),
        ["datasets", dataset, "columns", column, ..] => format!("column `{dataset}.{column}`"),
        ["datasets", dataset, ..] => format!("data set `{dataset}`"),
        ["queries", query, "params", param, ..] => {
            format!("parameter `{param}` of query `{query}`")
        }
        ["queries", query, ..] => format!("query `{query}`"),
        ["budgets", party, ..] => format!("the budget of party `{party}`"),
        ["proposals", ..] => "the right to propose queries".to_owned(),
        other => format!("section `{}`", other.join(".")),
    }
}

/// The words for the place of a field.
fn owner(path: &[String]) -> String {
    subject(path.split_last().map_or(path, |(_, front)| front))
}

/// The name of a field inside its subject.
fn name(path: &[String]) -> String {
    let words: Vec<_> = path.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["datasets", _, "columns", _, rest @ ..]
        | ["queries", _, "params", _, rest @ ..]
        | ["room", "accept", _, rest @ ..]
        | [
            "parties" | "purposes" | "datasets" | "queries" | "budgets",
            _,
            rest @ ..,
        ]
        | ["agreement" | "room" | "matching" | "proposals", rest @ ..]
            if !rest.is_empty() =>
        {
            rest.join(".")
        }
        other => other.join("."),
    }
}

fn field(path: &[String], fact: &Fact) -> String {
    format!("`{}`: {}", name(path), show(fact))
}

fn show(fact: &Fact) -> String {
    match fact {
        Fact::Text(text) if text.contains('\n') => format!("{} lines", text.lines().count()),
        Fact::Text(text) => format!("`{text}`"),
        Fact::Number(number) => number.clone(),
        Fact::List(items) => format!("[{}]", items.join(", ")),
        Fact::Empty => "nothing".to_owned(),
    }
}

/// A whole thing is new: its fields in one sentence.
fn added(top: &Path, facts: &BTreeMap<Path, Fact>) -> String {
    let below = facts.iter().filter(|(path, _)| path.starts_with(top));
    let fields: Vec<_> = below
        .map(
            |(path, fact)| match path.get(top.len()..).unwrap_or_default() {
                [] => show(fact),
                rest => format!("{} {}", rest.join("."), show(fact)),
            },
        )
        .collect();
    format!("{} is new: {}", subject(top), fields.join("; "))
}

fn changed(path: &[String], old: &Fact, new: &Fact) -> String {
    let (owner, name) = (owner(path), name(path));
    match (old, new) {
        (Fact::Number(before), Fact::Number(after)) => {
            let verb = match before.parse::<f64>().ok().zip(after.parse::<f64>().ok()) {
                Some((before, after)) if after > before => "rises",
                Some((before, after)) if after < before => "falls",
                _ => "changes",
            };
            format!("{owner}: `{name}` {verb} from {before} to {after}")
        }
        (Fact::List(before), Fact::List(after)) => {
            format!("{owner}: `{name}` {}", members(before, after))
        }
        (Fact::Text(before), Fact::Text(after))
            if before.contains('\n') || after.contains('\n') =>
        {
            format!("{owner}: `{name}` {}", lines(before, after))
        }
        _ => format!(
            "{owner}: `{name}` changes from {} to {}",
            show(old),
            show(new)
        ),
    }
}

/// Members of a list that come and go; bounds and reorderings as they stand.
fn members(before: &[String], after: &[String]) -> String {
    let without = |these: &[String], those: &[String]| -> Vec<String> {
        let gone = these.iter().filter(|item| !those.contains(item));
        gone.map(|item| format!("`{item}`")).collect()
    };
    let (lost, gained) = (without(before, after), without(after, before));
    let numbers = before.iter().all(|item| item.parse::<f64>().is_ok());
    if numbers || (lost.is_empty() && gained.is_empty()) {
        return format!(
            "changes from [{}] to [{}]",
            before.join(", "),
            after.join(", ")
        );
    }
    let lost = (!lost.is_empty()).then(|| format!("loses {}", lost.join(", ")));
    let gained = (!gained.is_empty()).then(|| format!("gains {}", gained.join(", ")));
    [lost, gained]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" and ")
}

/// Lines of a text that come and go.
fn lines(before: &str, after: &str) -> String {
    let list =
        |text: &str| -> Vec<String> { text.lines().map(|line| line.trim().to_owned()).collect() };
    let (before, after) = (list(before), list(after));
    if before == after {
        return "changes in its layout only".to_owned();
    }
    members(&before, &after).replace("changes from [", "changes the order of its lines from [")
}
