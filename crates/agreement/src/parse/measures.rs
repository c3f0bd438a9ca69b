//! What a query's answer is made of: measures and their bounds, groups, shares, ratios.
//!
//! The names of measures and groups are the output columns of the SQL. This crate does not
//! parse SQL: it refuses a name that does not occur in the text at all (a misspelling), and
//! the crate `query` proves the rest.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::Decimal;

use super::compare::{Speaks, compare};
use crate::model::{Compare, GroupKey, GroupValues, PerPerson, PersonBounds, Ratio};
use crate::reader::{Item, Named, Table};

/// The most rows of an answer.
const MAX_GROUP_ROWS: u64 = 100_000;
/// The most groups that one person is in.
const MAX_GROUPS: u32 = 100_000;
/// The largest share of one measure.
const MAX_WEIGHT: u32 = 1000;

pub(super) struct Measures {
    pub(super) per_person: PerPerson,
    pub(super) groups: Vec<GroupKey>,
    pub(super) weights: BTreeMap<String, u32>,
    pub(super) ratios: Vec<Ratio>,
    pub(super) compare: Vec<Compare>,
    pub(super) sampling: bool,
}

/// The lower-case words of an SQL text; `None` if there is none to look in.
pub(super) type Words = Option<BTreeSet<String>>;

fn words(sql: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    sql.split(word).map(str::to_lowercase).collect()
}

pub(super) fn measures(table: &Table<'_>, sql: Option<&str>) -> Option<Measures> {
    let words: Words = sql.map(words);
    let groups = match table.get("groups") {
        Some(item) => groups(&item, &words),
        None => Some(Vec::new()),
    };
    let per_person = table.need(
        "per_person",
        "write what one person can add, such as per_person = { groups = 1, spend = [0, 400] }",
    );
    let per_person = per_person.and_then(|item| per_person_of(&item, groups.as_ref()?, &words));
    let weights = match table.get("weights") {
        Some(item) => weights(&item, &words),
        None => Some(BTreeMap::new()),
    };
    let ratios = match table.get("ratios") {
        Some(item) => ratios(&item, &words),
        None => Some(Vec::new()),
    };
    let compare = match table.get("compare") {
        Some(item) => groups
            .as_ref()
            .zip(ratios.as_ref())
            .and_then(|(groups, ratios)| {
                let ratios: Vec<_> = ratios.iter().map(|ratio| ratio.name.as_str()).collect();
                let speaks = Speaks {
                    groups,
                    ratios: &ratios,
                    words: &words,
                };
                compare(&item, &speaks)
            }),
        None => Some(Vec::new()),
    };
    let sampling = match table.get("sampling") {
        Some(item) => item.flag(),
        None => Some(false),
    };
    Some(Measures {
        per_person: per_person?,
        groups: groups?,
        weights: weights?,
        ratios: ratios?,
        compare: compare?,
        sampling: sampling?,
    })
}

/// A name of an output column that occurs in the SQL.
pub(super) fn output(item: &Item<'_>, name: &str, words: &Words) -> Option<String> {
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !first || name.len() > 63 || !name.bytes().all(plain) {
        item.problem(
            "a name of a measure, group or ratio has at most 63 lower-case letters, digits and `_` and does not start with a digit",
            "choose another name",
        );
        return None;
    }
    if words.as_ref().is_some_and(|words| !occurs(words, name)) {
        item.problem(
            format_args!("`{name}` does not occur in the query's SQL"),
            format_args!("name an output column of the SQL (... AS {name})"),
        );
        return None;
    }
    Some(name.to_owned())
}

/// Whether a name is a word of the SQL, or that of an aggregate without a name of its own:
/// `sum_amount` of `SUM(amount)`, `count_rows` of `COUNT(*)`.
fn occurs(words: &BTreeSet<String>, name: &str) -> bool {
    let unnamed = name.split_once('_');
    words.contains(name)
        || unnamed.is_some_and(|(function, of)| {
            words.contains(function) && (of == "rows" || words.contains(of))
        })
}

fn groups(item: &Item<'_>, words: &Words) -> Option<Vec<GroupKey>> {
    let read = |named: Named<'_, String>| {
        Some(GroupKey {
            name: output(&named.item, &named.name, words)?,
            values: group_values(&named.item)?,
        })
    };
    let groups: Vec<_> = item.table()?.named().into_iter().map(read).collect();
    let groups = groups.into_iter().collect::<Option<Vec<_>>>()?;
    if group_rows(&groups).is_some_and(|rows| rows > MAX_GROUP_ROWS) {
        item.problem(
            format_args!("the declared groups make more than {MAX_GROUP_ROWS} rows"),
            "declare fewer values",
        );
        return None;
    }
    Some(groups)
}

/// The rows of an answer: each combination of declared values; nothing where keys are
/// discovered.
fn group_rows(groups: &[GroupKey]) -> Option<u64> {
    let mut sizes = groups.iter().map(|group| group.declared().map(<[_]>::len));
    sizes.try_fold(1, |rows: u64, size| Some(rows.saturating_mul(size? as u64)))
}

/// The text in the place of values that says that they are found in the data.
const DISCOVERED: &str = "discovered";

fn group_values(item: &Item<'_>) -> Option<GroupValues> {
    if item.is_text() {
        if item.text()? == DISCOVERED {
            return Some(GroupValues::Discovered);
        }
        item.problem(
            format_args!("`{}` is neither a list of values nor \"{DISCOVERED}\"", item.path),
            format_args!(
                "write [\"value\", ...] for a row each, always, or \"{DISCOVERED}\" for a row for each value with enough people by the noisy count"
            ),
        );
        return None;
    }
    let (mut values, mut seen) = (Vec::new(), BTreeSet::new());
    for item in item.list_of_some("value of the group")? {
        let value = item.scalar()?;
        if !seen.insert(value.clone()) {
            item.problem(
                format_args!("`{}` stands there twice", item.path),
                "name each value once",
            );
            return None;
        }
        values.push(value);
    }
    Some(GroupValues::Declared(values))
}

fn per_person_of(item: &Item<'_>, groups: &[GroupKey], words: &Words) -> Option<PerPerson> {
    let table = item.table()?;
    let rows = group_rows(groups).map_or(u32::MAX, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
    let at_most = table.get("groups");
    let at_most = at_most.map_or(Some(1), |item| {
        let help = "one person cannot be in more groups than there are";
        let number = item.whole_u32(1, MAX_GROUPS)?;
        if number > rows {
            item.problem(
                format_args!(
                    "`{}` is {number}, and {rows} groups are declared",
                    item.path
                ),
                help,
            );
            return None;
        }
        Some(number)
    });
    let bounds = |named: Named<'_, String>| {
        Some((
            output(&named.item, &named.name, words)?,
            bounds_of(&named.item)?,
        ))
    };
    let measures: Vec<_> = table.named_but("groups").into_iter().map(bounds).collect();
    Some(PerPerson {
        groups: at_most?,
        measures: measures.into_iter().collect::<Option<_>>()?,
    })
}

/// The most values of one person that count, of a measure.
const MAX_VALUES: u32 = 1_000_000;

/// What bounds one person's part: `[least, most]`, or a table that says what is bounded.
fn bounds_of(item: &Item<'_>) -> Option<PersonBounds> {
    if !item.is_table() {
        let (low, high) = interval(item)?;
        return Some(PersonBounds::Adds(low, high));
    }
    const HELP: &str =
        "write { value = [least, most], rows = ... }, or { distinct = ... }, or [least, most]";
    let table = item.table()?;
    let (value, rows) = (table.get("value"), table.get("rows"));
    let distinct = table.get("distinct");
    table.close();
    match (value, rows, distinct) {
        (Some(value), rows, None) => {
            let (low, high) = interval(&value)?;
            let rows = rows.map_or(Some(1), |rows| rows.whole_u32(1, MAX_VALUES))?;
            Some(PersonBounds::Values { low, high, rows })
        }
        (None, None, Some(distinct)) => {
            Some(PersonBounds::Distinct(distinct.whole_u32(1, MAX_VALUES)?))
        }
        _ => {
            item.problem(
                format_args!("`{}` does not say what is bounded", item.path),
                HELP,
            );
            None
        }
    }
}

/// Two numbers of equal scale, the first not above the second.
fn interval(item: &Item<'_>) -> Option<(Decimal, Decimal)> {
    let list = item.list()?;
    let [low, high] = list.as_slice() else {
        item.problem(
            format_args!("`{}` is a list of two numbers", item.path),
            "write the least and the most that one person adds, such as [0, 400]",
        );
        return None;
    };
    let (low, high) = (low.decimal()?, high.decimal()?);
    let scale = low.scale().max(high.scale());
    let same = low.rescale(scale).ok().zip(high.rescale(scale).ok());
    match same {
        Some((low, high)) if low.unscaled() <= high.unscaled() => Some((low, high)),
        _ => {
            item.problem(
                format_args!("the first bound of `{}` is above the second", item.path),
                "write the least first, then the most",
            );
            None
        }
    }
}

fn weights(item: &Item<'_>, words: &Words) -> Option<BTreeMap<String, u32>> {
    let read = |named: Named<'_, String>| {
        let name = output(&named.item, &named.name, words)?;
        Some((name, named.item.whole_u32(1, MAX_WEIGHT)?))
    };
    let weights: Vec<_> = item.table()?.named().into_iter().map(read).collect();
    weights.into_iter().collect()
}

fn ratios(item: &Item<'_>, words: &Words) -> Option<Vec<Ratio>> {
    let read = |named: Named<'_, String>| {
        let name = output(&named.item, &named.name, &None)?;
        let text = named.item.text()?;
        let Some((above, below)) = text.split_once('/') else {
            named.item.problem(
                format_args!("`{}` is no quotient of two measures", named.item.path),
                "write it as \"buyers / people\"",
            );
            return None;
        };
        Some(Ratio {
            name,
            numerator: output(&named.item, above.trim(), words)?,
            denominator: output(&named.item, below.trim(), words)?,
        })
    };
    let ratios: Vec<_> = item.table()?.named().into_iter().map(read).collect();
    ratios.into_iter().collect()
}

pub(super) fn one_of(
    table: &Table<'_>,
    key: &'static str,
    choices: &[&str],
    help: &str,
) -> Option<String> {
    let item = table.need(key, help)?;
    let value = item.scalar()?;
    if !choices.contains(&value.as_str()) {
        item.problem(
            format_args!("`{}` is not declared", item.path),
            format_args!("choices are {}", super::listed(choices)),
        );
        return None;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_and_lower_case() {
        let words = words("SELECT SUM(p.amount) AS Spend, \"rate\" FROM people_2");
        for word in ["spend", "rate", "people_2", "amount", "p"] {
            assert!(words.contains(word), "{word}");
        }
        assert!(!words.contains("people"));
    }
}
