//! The parameters of a query, each with its type and, where it says so, its domain.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnType, ParamName, ParamType, Value};

use crate::param::{Domain, Param, number};
use crate::reader::{Item, Named, Table};

const TYPES: &str =
    "types of parameters are bool, int, decimal(precision,scale), text, date and timestamp";

pub(super) fn params(item: &Item<'_>) -> Option<BTreeMap<ParamName, Param>> {
    let read = |named: Named<'_, ParamName>| Some((named.name.clone(), param(&named)?));
    let params: Vec<_> = item.table()?.named().into_iter().map(read).collect();
    params.into_iter().collect()
}

fn param(named: &Named<'_, ParamName>) -> Option<Param> {
    let table = named.item.table()?;
    let item = table.need("type", TYPES);
    let ends = (table.get("min"), table.get("max"));
    let values = table.get("values");
    table.close();
    let item = item?;
    let ty = ParamType::of(item.parsed::<ColumnType>(TYPES)?);
    let Some(ty) = ty else {
        item.problem(
            format_args!("`{}` is no type of a parameter", item.path),
            TYPES,
        );
        return None;
    };
    let domain = match (ends, values) {
        ((None, None), None) => Domain::Any,
        ((None, None), Some(values)) => listed(&values, ty)?,
        (ends, None) => range(&table, ends, ty)?,
        (_, Some(values)) => {
            values.problem(
                "a parameter has a list of values or ends, not both",
                "write either `values`, or `min` and `max`",
            );
            return None;
        }
    };
    Some(Param { ty, domain })
}

fn listed(item: &Item<'_>, ty: ParamType) -> Option<Domain> {
    let (mut values, mut seen) = (Vec::new(), BTreeSet::new());
    for item in item.list_of_some("value of the parameter")? {
        let value = value(&item, ty)?;
        if !seen.insert(value.canonical()) {
            item.problem(
                format_args!("`{}` stands there twice", item.path),
                "name each value once",
            );
            return None;
        }
        values.push(value);
    }
    Some(Domain::Values(values))
}

fn range(
    table: &Table<'_>,
    (min, max): (Option<Item<'_>>, Option<Item<'_>>),
    ty: ParamType,
) -> Option<Domain> {
    let end = |item: Option<Item<'_>>| match item {
        None => Some(None),
        Some(item) => {
            let value = value(&item, ty)?;
            if number(&value).is_none() {
                item.problem(
                    format_args!(
                        "`{}`: values of type {ty} have no least and no most",
                        item.path
                    ),
                    "list them: values = [\"...\", ...]",
                );
                return None;
            }
            Some(Some(value))
        }
    };
    let (min, max) = (end(min)?, end(max)?);
    let crossed = min.as_ref().zip(max.as_ref());
    if crossed.is_some_and(|(min, max)| number(min) > number(max)) {
        table.problem(
            format_args!("`{}.min` is above `{}.max`", table.path, table.path),
            "write the least as `min` and the most as `max`",
        );
        return None;
    }
    Some(Domain::Range { min, max })
}

/// A value of a parameter's type, as TOML writes it.
fn value(item: &Item<'_>, ty: ParamType) -> Option<Value> {
    let misfit = || {
        item.problem(
            format_args!("`{}` is no {ty}", item.path),
            "write a value of the parameter's own type",
        );
    };
    match ty {
        ParamType::Date => item.date().map(Value::Date),
        ParamType::Timestamp => item.moment().map(Value::Timestamp),
        ParamType::Decimal { scale } => {
            let number = item.decimal()?.rescale(scale).ok();
            if number.is_none() {
                misfit();
            }
            number.map(Value::Decimal)
        }
        ty => {
            let text = item.scalar()?;
            let long = text.len() > MAX_TEXT_BYTES;
            let value = ty.parse(&text).ok().filter(|_| !long);
            if value.is_none() || (ty == ParamType::Text && !item.is_text()) {
                misfit();
                return None;
            }
            value
        }
    }
}
