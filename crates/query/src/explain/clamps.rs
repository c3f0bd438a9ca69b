//! How the noise hangs on each clamp, and the question whose answer helps to choose one.
//!
//! Computed from the agreement alone: for each candidate the same query is checked once more
//! with another clamp. What a clamp would cut off is in the data, and is not looked at.

use std::fmt;

use incamera_agreement::{Agreement, ConsentSource, PersonBounds, Query, query_template};
use incamera_types::{ColumnRef, ColumnType, DatasetSpec, Decimal, Params, QueryName};
use serde::Serialize;

use super::expected::{expected, two_digits};
use crate::check::{CheckedQuery, check};
use crate::measure::Made;

/// The clamps that are looked at, in quarters of the one agreed.
const QUARTERS: [i128; 5] = [1, 2, 4, 8, 16];

/// The noise of one aggregate at several clamps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clamps {
    /// The aggregate.
    pub name: String,
    /// The unit of its noise, such as `EUR`; ranks of a quantile.
    pub unit: Option<String>,
    /// From the narrowest to the widest.
    pub choices: Vec<Choice>,
}

/// One clamp.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// In words: `0 .. 400`, `at most 5 values`.
    pub clamp: String,
    /// Whether it is the one in the agreement.
    pub agreed: bool,
    /// Half the width of the 95 % range.
    pub half_width: f64,
    /// That as a fraction of the value to expect, if everybody added the middle of this clamp.
    pub share: Option<f64>,
}

impl CheckedQuery {
    /// The noise to expect at other clamps than those agreed, everything else as it is; `params`
    /// are those that it was checked with.
    #[must_use]
    pub fn clamps(&self, agreement: &Agreement, params: &Params) -> Vec<Clamps> {
        let bounded = self.made.iter().filter_map(|made| {
            let bounds = self.query.per_person.measures.get(&made.name)?;
            let choices = QUARTERS.iter().filter_map(|quarters| {
                let bounds = scaled(bounds, *quarters, made.scale)?;
                self.choice(agreement, params, made, bounds)
            });
            let mut choices: Vec<Choice> = choices.collect();
            choices.dedup_by(|next, kept| next.clamp == kept.clamp);
            Some(Clamps {
                name: made.name.clone(),
                unit: expected(made, self)?.unit,
                choices,
            })
        });
        bounded.collect()
    }

    fn choice(
        &self,
        agreement: &Agreement,
        params: &Params,
        made: &Made,
        bounds: PersonBounds,
    ) -> Option<Choice> {
        let agreed = self.query.per_person.measures.get(&made.name);
        let clamp = words(&bounds);
        let agreed = agreed.is_some_and(|agreed| words(agreed) == clamp);
        let mut query = self.query.clone();
        query.per_person.measures.insert(made.name.clone(), bounds);
        let other = check(agreement, &query, params).ok()?;
        let made = other.made.iter().find(|other| other.name == made.name)?;
        let expected = expected(made, &other)?;
        Some(Choice {
            clamp,
            agreed,
            half_width: expected.half_width,
            share: expected.share,
        })
    }

    /// The template `bounds`, filled in for each column that the query adds up, as a section
    /// that can be agreed on.
    #[must_use]
    pub fn bounds_to_ask(&self, agreement: &Agreement) -> Vec<(QueryName, String)> {
        let mut columns: Vec<(&ColumnRef, Option<&PersonBounds>)> = Vec::new();
        for made in &self.made {
            if let Some(origin) = &made.origin
                && !columns.iter().any(|(column, _)| *column == origin)
            {
                let bounds = self.query.per_person.measures.get(&made.name);
                columns.push((origin, bounds));
            }
        }
        if columns.is_empty() {
            // Sums of what sub-queries made: of amounts, in all likelihood.
            let amounts = self.query.reads.iter().filter(|read| {
                let column = agreement.column(read);
                column.is_some_and(|column| matches!(column.ty, ColumnType::Decimal { .. }))
            });
            columns.extend(amounts.map(|column| (column, None)));
        }
        let asked = columns.into_iter();
        asked
            .filter_map(|(column, bounds)| ask(agreement, &self.query, column, bounds))
            .collect()
    }
}

/// The same clamp, so many quarters as wide, in whole units of the measure's digits.
fn scaled(bounds: &PersonBounds, quarters: i128, scale: u8) -> Option<PersonBounds> {
    let end = |end: &Decimal| {
        let whole = end.rescale(scale).ok()?.unscaled();
        Decimal::new(whole.checked_mul(quarters)? / 4, scale)
    };
    let count = |number: u32| {
        let scaled = i128::from(number) * quarters / 4;
        u32::try_from(scaled).ok().filter(|number| *number > 0)
    };
    Some(match bounds {
        PersonBounds::Adds(low, high) => PersonBounds::Adds(end(low)?, end(high)?),
        PersonBounds::Values { low, high, rows } => PersonBounds::Values {
            low: end(low)?,
            high: end(high)?,
            rows: *rows,
        },
        PersonBounds::Distinct(most) => PersonBounds::Distinct(count(*most)?),
        _ => return None,
    })
}

/// A number with no more digits than it needs.
fn number(value: &Decimal) -> String {
    value.rescale(0).unwrap_or(*value).to_string()
}

fn words(bounds: &PersonBounds) -> String {
    match bounds {
        PersonBounds::Adds(low, high) => format!("{} .. {}", number(low), number(high)),
        PersonBounds::Values { low, high, rows } => {
            format!("{} .. {}, {rows} a person", number(low), number(high))
        }
        PersonBounds::Distinct(most) => format!("at most {most} values"),
        _ => String::new(),
    }
}

/// How much farther than what is agreed quantiles are looked for.
const FARTHER: u64 = 10;
/// The most rows of one person that the template takes.
const MAX_ROWS: u64 = 1_000_000;

/// The template's section for a column, under a name that the agreement has not.
fn ask(
    agreement: &Agreement,
    query: &Query,
    column: &ColumnRef,
    bounds: Option<&PersonBounds>,
) -> Option<(QueryName, String)> {
    let spec = agreement
        .dataset(&column.dataset)
        .filter(|spec| !spec.public)?;
    let rows = query.rows.get(&spec.name).copied().unwrap_or(1);
    let rows = rows.saturating_mul(FARTHER).min(MAX_ROWS);
    let (least, most) = ends(spec, column, bounds)?;
    let name = free_name(agreement, column);
    let list = |names: Vec<String>| names.join(",");
    let mut values = vec![
        ("name", name),
        ("data", spec.name.to_string()),
        ("amount", column.column.to_string()),
        ("least", least),
        ("most", most),
        ("data_rows", rows.to_string()),
        ("purpose", query.purpose.to_string()),
        (
            "analysts",
            list(query.analysts.iter().map(ToString::to_string).collect()),
        ),
        (
            "receivers",
            list(query.receivers.iter().map(ToString::to_string).collect()),
        ),
    ];
    if let ConsentSource::Dataset(register) = agreement.consent_of(spec)
        && register.name != spec.name
    {
        values.push(("registers", register.name.to_string()));
    }
    let values: Vec<_> = values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let filled = query_template("bounds")?
        .fill(&values, Some(&**agreement))
        .ok()?;
    Some((filled.name, filled.text))
}

/// From where to where a person's sum is looked for: from zero or below to zero or above, ten
/// times what is agreed; where nothing is agreed of the column, ten times what one row may have.
fn ends(
    spec: &DatasetSpec,
    column: &ColumnRef,
    bounds: Option<&PersonBounds>,
) -> Option<(String, String)> {
    let agreed = match bounds {
        Some(PersonBounds::Adds(low, high) | PersonBounds::Values { low, high, .. }) => {
            Some((*low, *high))
        }
        _ => None,
    };
    let declared = || {
        let column = spec.column(&column.column)?;
        Some((column.min?, column.max?))
    };
    let (low, high) = agreed.or_else(declared)?;
    let farther = |end: Decimal, or_zero: fn(i128, i128) -> i128| {
        let end = or_zero(end.unscaled(), 0)
            .checked_mul(FARTHER.into())
            .and_then(|n| Decimal::new(n, end.scale()));
        end.map(|end| number(&end))
    };
    Some((farther(low, i128::min)?, farther(high, i128::max)?))
}

/// `bounds-amount`, or with a number where the agreement has such a query.
fn free_name(agreement: &Agreement, column: &ColumnRef) -> String {
    let plain = format!("bounds-{}", column.column);
    let names = (2..).map(|number: u32| format!("{plain}-{number}"));
    let taken = |name: &String| agreement.queries.keys().any(|query| query.as_str() == name);
    let mut names = std::iter::once(plain.clone()).chain(names);
    names.find(|name| !taken(name)).unwrap_or_default()
}

pub(super) fn write_clamps(f: &mut fmt::Formatter<'_>, clamps: &[Clamps]) -> fmt::Result {
    for of in clamps {
        writeln!(f, "noise of {} by its clamp, 19 times in 20:", of.name)?;
        let width = of.choices.iter().map(|choice| choice.clamp.len()).max();
        let width = width.unwrap_or_default();
        let unit = of
            .unit
            .as_ref()
            .map_or_else(String::new, |unit| format!(" {unit}"));
        for choice in &of.choices {
            let (clamp, half) = (&choice.clamp, two_digits(choice.half_width));
            write!(f, "  {clamp:width$}  +- {half}{unit}")?;
            if choice.agreed {
                write!(f, "   as agreed")?;
            }
            writeln!(f)?;
        }
    }
    if !clamps.is_empty() {
        writeln!(
            f,
            "a narrower clamp has less noise, and cuts off more: what it would cut off is in the data, and was not looked at"
        )?;
    }
    Ok(())
}
