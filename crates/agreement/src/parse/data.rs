//! The section `[datasets]`.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::limits::{MAX_COLUMNS, MAX_TEXT_BYTES};
use incamera_types::{
    ColumnName, ColumnSpec, ColumnType, DatasetName, DatasetSpec, Date, Decimal, IdKind, OtherText,
    PartyName, PurposeSet,
};

use super::purposes::{leaf_or_branch, leaves, one_line};
use super::{Known, kinds_known, link, listed};
use crate::reader::{Item, Named, Table};

/// All data sets by name; `None` for one that could not be read.
pub(super) fn datasets(
    root: &Table<'_>,
    known: &Known<'_>,
) -> BTreeMap<DatasetName, Option<DatasetSpec>> {
    let mut consents: BTreeMap<PartyName, DatasetName> = BTreeMap::new();
    let mut datasets = BTreeMap::new();
    for named in root.members::<DatasetName>("datasets") {
        let spec = dataset(&named, known);
        if let Some(spec) = &spec
            && spec.purposes_column().is_some()
        {
            let (owner, name) = (spec.owner.clone(), named.name.clone());
            if let Some(first) = consents.insert(owner, name) {
                known.problems.add(
                    &named.at,
                    format_args!(
                        "`{}` and `{first}` both decide the consents of party `{}`",
                        named.name, spec.owner
                    ),
                    "keep one column of type purposes for each owner",
                );
            }
        }
        datasets.insert(named.name, spec);
    }
    datasets
}

fn dataset(named: &Named<'_, DatasetName>, known: &Known<'_>) -> Option<DatasetSpec> {
    let table = named.item.table()?;
    table.later(&["not_for", "ask"]);
    let owner = table.need("owner", "name the party that the data set belongs to");
    let owner = owner.and_then(|item| known.party(&item));
    let public = match table.get("public") {
        Some(item) => item.flag(),
        None => Some(false),
    };
    let keep_until = table
        .get("keep_until")
        .map(|item| keep_until(&item, public, known));
    let help = "write a section such as [datasets.customers.columns]";
    let columns = table.need("columns", help).and_then(|item| item.table());
    let columns = columns.zip(public).and_then(|(columns, public)| {
        let columns = columns.named::<ColumnName>();
        let read: Vec<_> = columns
            .into_iter()
            .map(|named| column(&named, public, known))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    table.close();
    let mut spec = DatasetSpec {
        name: named.name.clone(),
        owner: owner?,
        public: public?,
        keep_until: keep_until.map_or(Some(None), |day| day.map(Some))?,
        columns: columns?,
    };
    link::nullable(&mut spec);
    shape(&table, &spec).then_some(spec)
}

/// The last day of a data set: no later than that of the agreement, with which all ends.
fn keep_until(item: &Item<'_>, public: Option<bool>, known: &Known<'_>) -> Option<Date> {
    let day = item.date()?;
    if public == Some(true) {
        item.problem(
            "a public data set has no `keep_until`: it is sealed for nobody, so no key of it can end",
            "take it out",
        );
        return None;
    }
    if let Some(expires) = known.expires.filter(|expires| day > *expires) {
        item.problem(
            format_args!("`{}` is after the last day of the agreement, {expires}", item.path),
            format_args!("write {expires} or a day before it, or take it out: nothing is released after that day anyway"),
        );
        return None;
    }
    Some(day)
}

/// Whether the columns make a data set; a problem if not.
fn shape(table: &Table<'_>, spec: &DatasetSpec) -> bool {
    let name = &spec.name;
    let of = |ty: ColumnType| {
        spec.columns
            .iter()
            .filter(move |column| column.ty == ty)
            .count()
    };
    let problem = if spec.columns.len() > MAX_COLUMNS {
        Some((
            format!("data set `{name}` has more than {MAX_COLUMNS} columns"),
            "leave out what no query needs",
        ))
    } else if spec.stored_columns().next().is_none() {
        Some((
            format!("data set `{name}` stores no column"),
            "declare its columns",
        ))
    } else if spec.public {
        None
    } else if of(ColumnType::Person) == 0 && of(ColumnType::Pseudonym) != 1 {
        Some((
            format!(
                "data set `{name}` has not exactly one column of type pseudonym, so its rows belong to nobody"
            ),
            "declare one, such as person = { type = \"pseudonym\" }, or write public = true if the data are about no person",
        ))
    } else if of(ColumnType::Person) > 1 {
        Some((
            format!(
                "data set `{name}` has two columns of type person, so its rows belong to two people"
            ),
            "keep one",
        ))
    } else if of(ColumnType::Purposes) > 1 {
        Some((
            format!("data set `{name}` has two columns of type purposes"),
            "keep one",
        ))
    } else if spec
        .stored_columns()
        .all(|column| column.purposes.is_empty())
    {
        Some((
            format!("no column of data set `{name}` has a purpose, so nobody could ever open it"),
            "give the column that says whose row it is its purposes",
        ))
    } else {
        None
    };
    if let Some((what, help)) = &problem {
        table.problem(what, help);
    }
    problem.is_none()
}

fn column(named: &Named<'_, ColumnName>, public: bool, known: &Known<'_>) -> Option<ColumnSpec> {
    const TYPES: &str = "types are bool, int, decimal(precision,scale), text, date, timestamp, pseudonym, person and purposes";
    let table = named.item.table()?;
    table.later(&["keep_until"]);
    let ty = table.need("type", TYPES);
    let ty: ColumnType = ty.and_then(|item| item.parsed(TYPES))?;
    let before = known.problems.count();
    let mut spec = ColumnSpec {
        name: named.name.clone(),
        ty,
        nullable: field(&table, "nullable", can_be_null(ty), Item::flag).unwrap_or_default(),
        purposes: purposes(&table, ty, public, known),
        unit: field(&table, "unit", ty.is_number(), one_line),
        min: field(&table, "min", ty.is_number(), |item| bound(item, ty)),
        max: field(&table, "max", ty.is_number(), |item| bound(item, ty)),
        values: field(&table, "values", ty == ColumnType::Text, values),
        other: OtherText::Refuse,
        id_kind: None,
        time_zone: field(&table, "time_zone", ty == ColumnType::Timestamp, |item| {
            item.parsed("write the IANA name of the zone whose clocks the file was written by, such as \"Europe/Berlin\"")
        }),
    };
    other(&table, &mut spec);
    id_kind(&table, &mut spec, known);
    table.close();
    if public && !can_be_null(ty) {
        named.item.problem(
            format_args!("a public data set has no column of type {ty}: it is about no person"),
            "leave the column out, or do not make the data set public",
        );
    }
    if let (Some(min), Some(max)) = (spec.min, spec.max)
        && min.unscaled() > max.unscaled()
    {
        named.item.problem(
            format_args!("`min` of column `{}` is above `max`", spec.name),
            "exchange them",
        );
    }
    (known.problems.count() == before).then_some(spec)
}

fn can_be_null(ty: ColumnType) -> bool {
    !ty.is_key() && ty != ColumnType::Purposes
}

/// A field that only some types have.
fn field<'d, T>(
    table: &Table<'d>,
    key: &'static str,
    fits: bool,
    read: impl FnOnce(&Item<'d>) -> Option<T>,
) -> Option<T> {
    let item = table.get(key)?;
    if !fits {
        item.problem(
            format_args!("a column of this type has no `{key}`"),
            "take it out, or change the type",
        );
        return None;
    }
    read(&item)
}

fn purposes(table: &Table<'_>, ty: ColumnType, public: bool, known: &Known<'_>) -> PurposeSet {
    let Some(item) = table.get("purposes") else {
        if let Some(not_for) = table.get("not_for") {
            not_for.problem(
                "`not_for` takes away from `purposes`, and there are none",
                "take it out, or name `purposes`",
            );
        }
        if !public && can_be_null(ty) {
            table.problem(
                format_args!(
                    "`{}` has no purposes, so nobody could ever open it",
                    table.path
                ),
                "name its purposes, or leave the column out of the data set",
            );
        }
        return PurposeSet::default();
    };
    if public {
        item.problem(
            "a column of a public data set has no purposes: it is sealed for nobody",
            "take `purposes` out",
        );
        return PurposeSet::default();
    }
    if ty == ColumnType::Purposes {
        item.problem(
            "a column of type purposes has none of its own: it is not stored",
            "take `purposes` out",
        );
        return PurposeSet::default();
    }
    let named = leaves(&item, known).unwrap_or_default();
    match table.get("not_for") {
        Some(not_for) => subtracted(&not_for, &named, ty, known).unwrap_or_default(),
        None => named,
    }
}

/// What `purposes` names without what `not_for` does; a problem if that says less than it seems.
fn subtracted(
    item: &Item<'_>,
    named: &PurposeSet,
    ty: ColumnType,
    known: &Known<'_>,
) -> Option<PurposeSet> {
    if ty.is_key() {
        item.problem(
            "a column of type pseudonym or person opens with any other column of its data set, so `not_for` would not hold",
            "name its own `purposes` without them, and write `not_for` at the other columns",
        );
        return None;
    }
    let mut rest = named.clone();
    for item in item.list_of_some("purpose")? {
        let taken = leaf_or_branch(&item, known)?;
        if taken.intersection(named).is_empty() && !named.is_empty() {
            item.problem(
                format_args!("`{}` is not among the column's purposes", item.path),
                "take it out: what is not in `purposes` needs no `not_for`",
            );
        }
        rest = rest.difference(&taken);
    }
    if rest.is_empty() && !named.is_empty() {
        item.problem(
            format_args!(
                "`{}` leaves no purpose, so nobody could ever open the column",
                item.path
            ),
            "leave a purpose, or leave the column out of the data set",
        );
    }
    Some(rest)
}

/// A bound of a number column, with the column's scale.
fn bound(item: &Item<'_>, ty: ColumnType) -> Option<Decimal> {
    let number = item.decimal()?;
    let (digits, scale) = match ty {
        ColumnType::Decimal { precision, scale } => (precision, scale),
        _ => (19, 0),
    };
    let fits = |number: &Decimal| match ty {
        ColumnType::Int => i64::try_from(number.unscaled()).is_ok(),
        _ => number.unscaled().unsigned_abs() < 10u128.pow(u32::from(digits)),
    };
    let number = number.rescale(scale).ok().filter(fits);
    if number.is_none() {
        item.problem(
            format_args!("`{}` does not fit the type {ty}", item.path),
            "write a bound with the digits of the type, or widen the type",
        );
    }
    number
}

fn values(item: &Item<'_>) -> Option<Vec<String>> {
    let (mut values, mut seen) = (Vec::new(), BTreeSet::new());
    for item in item.list_of_some("value")? {
        let value = item.text()?;
        if value.len() > MAX_TEXT_BYTES || !seen.insert(value) {
            item.problem(
                format_args!("`{}` is too long or stands there twice", item.path),
                format_args!("list each value once, at most {MAX_TEXT_BYTES} bytes long"),
            );
            return None;
        }
        values.push(value.to_owned());
    }
    Some(values)
}

/// What becomes of a text that is not listed. `other = "null"` makes a column nullable.
fn other(table: &Table<'_>, spec: &mut ColumnSpec) {
    let listed_values = spec.values.clone().unwrap_or_default();
    let Some(item) = table.get("other") else {
        return;
    };
    if spec.values.is_none() {
        item.problem(
            "`other` says what becomes of a text that is not in `values`, and there are none",
            "list `values` of the text column, or take `other` out",
        );
        return;
    }
    let Some(word) = item.text() else { return };
    let is_listed = listed_values.iter().any(|value| value == word);
    match word {
        "null" | "refuse" if is_listed => item.problem(
            format_args!("`{word}` is a keyword here and one of the values too"),
            "choose another name for that value",
        ),
        "null" => {
            spec.other = OtherText::Null;
            spec.nullable = true;
        }
        "refuse" => spec.other = OtherText::Refuse,
        _ if is_listed => spec.other = OtherText::Becomes(word.to_owned()),
        _ => item.problem(
            "`other` is \"null\", \"refuse\" or one of the values",
            format_args!("values are {}", listed(&listed_values)),
        ),
    }
}

/// The kind of id that a pseudonym column is made from: the first one unless it says.
fn id_kind(table: &Table<'_>, spec: &mut ColumnSpec, known: &Known<'_>) {
    let said = field(table, "id", spec.ty == ColumnType::Pseudonym, |item| {
        let help = kinds_known(&known.ids);
        let kind: IdKind = item.parsed(&help)?;
        if !known.ids.contains(&kind) {
            item.problem(format_args!("[matching] has no kind of id `{kind}`"), help);
        }
        Some(kind)
    });
    if spec.ty == ColumnType::Pseudonym {
        spec.id_kind = said.or_else(|| known.ids.first().cloned());
    }
}
