//! `NAME=VALUE` arguments, typed by the agreement.

use incamera_agreement::{Agreement, Query};
use incamera_types::{ParamName, ParamType, Params, QueryName};

use crate::failure::Failure;

/// The query of this name.
pub fn query<'a>(agreement: &'a Agreement, name: &QueryName) -> Result<&'a Query, Failure> {
    agreement.queries.get(name).ok_or_else(|| {
        let known: Vec<String> = agreement
            .queries
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        Failure::usage(format!("the agreement has no query `{name}`"))
            .hint(format!("it has {}", known.join(", ")))
    })
}

/// Reads the parameters of a query; all must be given, each of its type.
pub fn read(query: &Query, arguments: &[String]) -> Result<Params, Failure> {
    let mut params = Params::new();
    for argument in arguments {
        let (name, value) = pair(query, argument)?;
        if params.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("`{name}` is given twice"))
                .hint("give each parameter one value; nothing was asked, and nothing spent"));
        }
    }
    for (name, param) in &query.params {
        if !params.contains_key(name) {
            return Err(
                Failure::usage(format!("the parameter `{name}` is missing")).hint(format!(
                    "add `{name}=VALUE`, a {param}{}",
                    example(&param.ty)
                )),
            );
        }
    }
    Ok(params)
}

fn pair(query: &Query, argument: &str) -> Result<(ParamName, incamera_types::Value), Failure> {
    let form = || Failure::usage(format!("`{argument}` is no parameter")).hint("write NAME=VALUE");
    let (name, text) = argument.split_once('=').ok_or_else(form)?;
    let name: ParamName = name.parse().map_err(|_| form())?;
    let param = query.params.get(&name).ok_or_else(|| {
        let known: Vec<String> = query
            .params
            .keys()
            .map(|name| format!("`{name}`"))
            .collect();
        Failure::usage(format!("the query has no parameter `{name}`"))
            .hint(format!("it has {}", known.join(", ")))
    })?;
    let ty = &param.ty;
    let value = ty.parse(text).map_err(|error| {
        Failure::usage(format!("`{name}` has no valid value"))
            .because(&error)
            .hint(format!("give it a {param}{}", example(ty)))
    })?;
    if !param.allows(&value) {
        return Err(
            Failure::usage(format!("`{name}` cannot be asked with this value"))
                .why(format!("the agreement allows a {param}"))
                .hint("choose such a value; nothing was asked, and nothing spent"),
        );
    }
    Ok((name, value))
}

/// How a value of the type is written, where that is not plain.
fn example(ty: &ParamType) -> &'static str {
    match ty {
        ParamType::Bool => ": true or false",
        ParamType::Date => ", such as 2026-05-31",
        ParamType::Timestamp => ", such as 2026-05-31T18:30:00Z",
        _ => "",
    }
}
