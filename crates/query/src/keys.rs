//! Group keys: what may be one, and which values one can have.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Case, Expr};
use incamera_agreement::{Agreement, GroupKey};
use incamera_types::Date;

use crate::lineage::bare;
use crate::refusal::{Refusal, RefusalKind};
use crate::shape::{Scope, Shape};

pub(crate) fn groups(what: String, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Groups, what, why, instead)
}

/// Refuses keys that no declared or discovered value can be compared with.
pub(crate) fn key_shape(key: &Expr, name: &str, scope: &Scope<'_>) -> Result<(), Refusal> {
    match scope.shape(key)? {
        Shape::Text | Shape::Bool | Shape::Date | Shape::Null => Ok(()),
        Shape::Number { scale: 0, .. } => Ok(()),
        _ => Err(groups(
            format!("grouping by `{name}`"),
            "a key is a text, a whole number, a date, or true or false",
            "name ranges by CASE WHEN ... THEN 'name' ... END",
        )
        .or_at_text(name)),
    }
}

/// Refuses a declared value that the key never has: its group would be charged, and be noise
/// and nothing else.
pub(crate) fn possible(
    key: &Expr,
    group: &GroupKey,
    scope: &Scope<'_>,
    agreement: &Agreement,
) -> Result<(), Refusal> {
    let can = can_be(key, scope, agreement)?;
    let values = group.declared().unwrap_or_default();
    let Some(never) = values.iter().find(|value| !can.holds(value)) else {
        return Ok(());
    };
    Err(groups(
        format!("the value `{never}` of the group `{}`", group.name),
        "the key never has it, and its row would be noise alone",
        &format!("write {}, or take it out", can.told()),
    ))
}

/// What a key can be, as far as the query itself says so.
enum CanBe {
    Anything,
    Flag,
    Whole,
    Day,
    FirstOf { unit: String, end: &'static str },
    OneOf(Vec<String>),
}

impl CanBe {
    fn holds(&self, value: &str) -> bool {
        let day = || {
            value
                .parse::<Date>()
                .is_ok_and(|day| day.to_string() == value)
        };
        match self {
            Self::Anything => true,
            Self::Flag => matches!(value, "true" | "false"),
            Self::Whole => value.parse::<i64>().is_ok_and(|n| n.to_string() == value),
            Self::Day => day(),
            Self::FirstOf { end, .. } => day() && value.ends_with(end),
            Self::OneOf(texts) => texts.iter().any(|text| text == value),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Anything => "any text".into(),
            Self::Flag => "true or false".into(),
            Self::Whole => "a whole number".into(),
            Self::Day => "a day, as 2026-03-01".into(),
            Self::FirstOf { unit, .. } => format!("the first day of a {unit}, as 2026-01-01"),
            Self::OneOf(texts) => {
                let texts: Vec<_> = texts.iter().map(|text| format!("`{text}`")).collect();
                format!("one of {}", texts.join(", "))
            }
        }
    }
}

fn can_be(key: &Expr, scope: &Scope<'_>, agreement: &Agreement) -> Result<CanBe, Refusal> {
    Ok(match scope.shape(key)? {
        Shape::Bool => CanBe::Flag,
        Shape::Number { scale: 0, .. } => CanBe::Whole,
        Shape::Date => first_of(key).unwrap_or(CanBe::Day),
        Shape::Text => texts(key, scope, agreement).map_or(CanBe::Anything, CanBe::OneOf),
        _ => CanBe::Anything,
    })
}

/// The first days of months and years, where the key is such a day.
fn first_of(key: &Expr) -> Option<CanBe> {
    let Expr::ScalarFunction(call) = bare(key) else {
        return None;
    };
    let unit = call.args.first().and_then(literal)?.to_ascii_lowercase();
    let end = match (call.name(), unit.as_str()) {
        ("date_trunc", "month") => "-01",
        ("date_trunc", "year") => "-01-01",
        _ => return None,
    };
    Some(CanBe::FirstOf { unit, end })
}

/// The texts that a key can be: the branches of a CASE, a column's declared values.
fn texts(key: &Expr, scope: &Scope<'_>, agreement: &Agreement) -> Option<Vec<String>> {
    match bare(key) {
        Expr::Case(case) => branches(case)
            .map(|branch| match branch {
                Expr::Literal(value, _) if value.is_null() => Some(Vec::new()),
                other => texts(other, scope, agreement),
            })
            .collect::<Option<Vec<_>>>()
            .map(|all| all.concat()),
        Expr::Cast(cast) => texts(&cast.expr, scope, agreement),
        Expr::Column(column) => {
            let (dataset, column) = scope.field(column).ok()?.origin.as_ref()?;
            agreement
                .datasets
                .get(dataset)?
                .column(column)?
                .values
                .clone()
        }
        other => literal(other).map(|text| vec![text]),
    }
}

fn branches(case: &Case) -> impl Iterator<Item = &Expr> {
    let then = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    then.chain(case.else_expr.as_deref())
}

fn literal(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
            _,
        ) => text.clone(),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}
