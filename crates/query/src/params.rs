//! A request's parameters, as the planner takes them.

use datafusion::common::{ParamValues, ScalarValue};
use incamera_agreement::Query;
use incamera_types::{Date, Decimal, ParamType, Params, Value};

use crate::refusal::{Refusal, RefusalKind};

/// The most digits of a decimal parameter.
const DECIMAL_DIGITS: u8 = 18;

/// The value of a type that lets numbers grow most.
pub(crate) fn worst_value(ty: ParamType) -> Value {
    match ty {
        ParamType::Bool => Value::Bool(true),
        ParamType::Int => Value::Int(i64::MIN),
        ParamType::Decimal { scale } => {
            let most = 10i128.pow(u32::from(DECIMAL_DIGITS)) - 1;
            Decimal::new(most, scale).map_or(Value::Bool(true), Value::Decimal)
        }
        ParamType::Date => Value::Date(Date::from_days(0)),
        _ => Value::Text(String::new()),
    }
}

fn params_refusal(what: String, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Params, what, why, instead)
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
    for (name, ty) in &query.params {
        let value = params.get(name).ok_or_else(|| {
            let what = format!("no value for parameter `{name}`");
            params_refusal(
                what,
                "the query declares it",
                "give every parameter a value",
            )
        })?;
        let scalar = scalar(value, *ty).ok_or_else(|| {
            let what = format!("the value of parameter `{name}`");
            params_refusal(
                what,
                "it is not of the declared type",
                "give a value of that type, a number of at most 18 digits",
            )
        })?;
        values.push((name.as_str(), scalar));
    }
    Ok(ParamValues::from(values))
}

fn scalar(value: &Value, ty: ParamType) -> Option<ScalarValue> {
    Some(match (value, ty) {
        (Value::Bool(value), ParamType::Bool) => ScalarValue::Boolean(Some(*value)),
        (Value::Int(value), ParamType::Int) => ScalarValue::Int64(Some(*value)),
        (Value::Text(value), ParamType::Text) => ScalarValue::Utf8(Some(value.clone())),
        (Value::Date(value), ParamType::Date) => ScalarValue::Date32(Some(value.days())),
        (Value::Decimal(value), ParamType::Decimal { scale }) => {
            let value = value.rescale(scale).ok()?.unscaled();
            let fits = value.unsigned_abs() < 10u128.pow(u32::from(DECIMAL_DIGITS));
            let scale = i8::try_from(scale).ok()?;
            fits.then_some(ScalarValue::Decimal128(Some(value), DECIMAL_DIGITS, scale))?
        }
        _ => return None,
    })
}
