//! A request's parameters, as the planner takes them.

use datafusion::common::{ParamValues, ScalarValue};
use incamera_agreement::{Domain, Param, Query};
use incamera_types::{Date, Decimal, Moment, ParamType, Params, Value};

use crate::refusal::{Refusal, RefusalKind};
use crate::sql::placeholders;

/// The most digits of a decimal parameter.
const DECIMAL_DIGITS: u8 = 18;

/// The allowed value that lets numbers grow most.
pub(crate) fn worst_value(param: &Param) -> Value {
    let size = |value: &Value| match value {
        Value::Int(number) => i128::from(*number).unsigned_abs(),
        Value::Decimal(number) => number.unscaled().unsigned_abs(),
        _ => 0,
    };
    let worst = worst_of(param.ty);
    let allowed: Vec<&Value> = match &param.domain {
        Domain::Values(values) => values.iter().collect(),
        Domain::Range { min, max } => [min.as_ref(), max.as_ref(), Some(&worst)]
            .into_iter()
            .flatten()
            .filter(|value| param.allows(value))
            .collect(),
        _ => Vec::new(),
    };
    let largest = allowed.into_iter().max_by_key(|value| size(value));
    largest.cloned().unwrap_or(worst)
}

/// The value of a type that lets numbers grow most.
fn worst_of(ty: ParamType) -> Value {
    match ty {
        ParamType::Bool => Value::Bool(true),
        ParamType::Int => Value::Int(i64::MIN),
        ParamType::Decimal { scale } => {
            let most = 10i128.pow(u32::from(DECIMAL_DIGITS)) - 1;
            Decimal::new(most, scale).map_or(Value::Bool(true), Value::Decimal)
        }
        ParamType::Date => Value::Date(Date::from_days(0)),
        ParamType::Timestamp => Moment::from_micros(0).map_or(Value::Bool(true), Value::Timestamp),
        _ => Value::Text(String::new()),
    }
}

fn params_refusal(what: String, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Params, what, why, instead)
}

/// Refuses parameters that the SQL does not speak of, and the SQL's that are not declared.
pub(crate) fn used(query: &Query) -> Result<(), Refusal> {
    let spoken = placeholders(&query.sql);
    if let Some(name) = query
        .params
        .keys()
        .find(|name| !spoken.contains(name.as_str()))
    {
        return Err(params_refusal(
            format!("parameter `{name}`"),
            "it is declared, and the SQL does not use it",
            &format!(
                "write ${name} in the SQL, without quotation marks, or take it out of `params`"
            ),
        ));
    }
    let declared = |name: &&String| query.params.keys().any(|known| known.as_str() == *name);
    match spoken.iter().find(|name| !declared(name)) {
        None => Ok(()),
        Some(name) => Err(params_refusal(
            format!("parameter `${name}`"),
            "the SQL uses it, and the query does not declare it",
            &format!("declare it: params = {{ {name} = {{ type = \"date\" }} }}"),
        )
        .or_at_text(&format!("${name}"))),
    }
}

/// The parameters as the planner takes them: each declared, each given, each of its type.
pub(crate) fn parameters(query: &Query, params: &Params) -> Result<ParamValues, Refusal> {
    if let Some(name) = params.keys().find(|name| !query.params.contains_key(*name)) {
        let what = format!("parameter `{name}`");
        return Err(params_refusal(
            what,
            "the query does not declare it",
            "leave it out",
        ));
    }
    let mut values = Vec::new();
    for (name, param) in &query.params {
        let value = params.get(name).ok_or_else(|| {
            let what = format!("no value for parameter `{name}`");
            params_refusal(
                what,
                "the query declares it",
                "give every parameter a value",
            )
        })?;
        let what = || format!("the value of parameter `{name}`");
        let scalar = scalar(value, param.ty).ok_or_else(|| {
            params_refusal(
                what(),
                "it is not of the declared type",
                "give a value of that type, a number of at most 18 digits",
            )
        })?;
        if !param.allows(&rescaled(value, param.ty)) {
            let why = "the agreement does not allow it";
            let instead = format!("give a {param}; nothing was asked, and nothing spent");
            return Err(params_refusal(what(), why, &instead));
        }
        values.push((name.as_str(), scalar));
    }
    Ok(ParamValues::from(values))
}

/// A decimal in the digits of its type.
fn rescaled(value: &Value, ty: ParamType) -> Value {
    match (value, ty) {
        (Value::Decimal(number), ParamType::Decimal { scale }) => number
            .rescale(scale)
            .map_or_else(|_| value.clone(), Value::Decimal),
        _ => value.clone(),
    }
}

fn scalar(value: &Value, ty: ParamType) -> Option<ScalarValue> {
    Some(match (value, ty) {
        (Value::Bool(value), ParamType::Bool) => ScalarValue::Boolean(Some(*value)),
        (Value::Int(value), ParamType::Int) => ScalarValue::Int64(Some(*value)),
        (Value::Text(value), ParamType::Text) => ScalarValue::Utf8(Some(value.clone())),
        (Value::Date(value), ParamType::Date) => ScalarValue::Date32(Some(value.days())),
        (Value::Timestamp(value), ParamType::Timestamp) => {
            ScalarValue::TimestampMicrosecond(Some(value.micros()), Some("UTC".into()))
        }
        (Value::Decimal(value), ParamType::Decimal { scale }) => {
            let value = value.rescale(scale).ok()?.unscaled();
            let fits = value.unsigned_abs() < 10u128.pow(u32::from(DECIMAL_DIGITS));
            let scale = i8::try_from(scale).ok()?;
            fits.then_some(ScalarValue::Decimal128(Some(value), DECIMAL_DIGITS, scale))?
        }
        _ => return None,
    })
}
