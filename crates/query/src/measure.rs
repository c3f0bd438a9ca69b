//! The aggregates of a query: what they count, how one person's share is clamped, and the
//! noise that hides it.

use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr};
use incamera_agreement::{Agreement, Query};
use incamera_dp::{Calibration, Sensitivity, half_width_95, split};
use incamera_types::{ColumnRef, Decimal, Delta, Rho};

use crate::check::Output;
use crate::lineage::{Field, Unit, bare};
use crate::refusal::{Refusal, RefusalKind};
use crate::shape::{Scope, Shape};

/// What a measure adds up for one person in one group, before the clamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1 if the person has a row that counts: COUNT(DISTINCT person).
    People,
    /// The person's rows: COUNT(*).
    Rows,
    /// The sum of a column over the person's rows: SUM.
    Sum,
}

/// A measure with its clamp and its noise.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Its name in the answer.
    pub name: String,
    /// What it adds up.
    pub kind: Kind,
    /// The unit of a sum's column, such as `EUR`.
    pub unit: Option<String>,
    /// Digits after the point: values are whole numbers of 10^-scale.
    pub scale: u8,
    /// The least that one person adds to a group in which they are.
    pub low: i128,
    /// The most that one person adds to a group.
    pub high: i128,
    /// This measure's share of the loss.
    pub share: Rho,
    pub(crate) calibration: Calibration,
}

impl Measure {
    /// The standard deviation of the noise, in units of 10^-scale.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.calibration.sigma()
    }

    /// Half the width of the 95 % range of the noise, in units of the measure.
    #[must_use]
    pub fn half_width(&self) -> f64 {
        half_width_95(self.sigma()) / 10f64.powi(self.scale.into())
    }

    /// A number of the measure, in words.
    pub(crate) fn text(&self, value: i128) -> String {
        Decimal::new(value, self.scale).map_or_else(String::new, |number| number.to_string())
    }
}

/// A measure as the SQL says it.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it counts all people of the group.
    pub(crate) people: bool,
    /// What is added up; nothing where the row's presence is enough.
    pub(crate) value: Option<Expr>,
    scale: u8,
    unit: Option<String>,
}

fn refuse(what: impl Into<String>, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Measures, what, why, instead)
}

/// Reads the aggregates, in order of the SELECT.
pub(crate) fn drafts(
    outputs: &[Output],
    aggregate: &Aggregate,
    scope: &Scope<'_>,
    agreement: &Agreement,
) -> Result<Vec<Draft>, Refusal> {
    let mut drafts: Vec<Draft> = Vec::new();
    for output in outputs {
        let Some(at) = output.at.checked_sub(aggregate.group_expr.len()) else {
            continue;
        };
        let Some(Expr::AggregateFunction(function)) = aggregate.aggr_expr.get(at).map(bare) else {
            return Err(refuse(
                format!("`{}`", output.name),
                "it is no aggregate",
                ALLOWED,
            ));
        };
        let draft = draft(&output.name, function, scope, agreement);
        drafts.push(draft.map_err(|refusal| refusal.or_at_text(&output.name))?);
    }
    match drafts.is_empty() {
        true => Err(refuse(
            "no aggregate",
            "there is nothing to answer",
            ALLOWED,
        )),
        false => Ok(drafts),
    }
}

const ALLOWED: &str = "use COUNT(DISTINCT person), COUNT(*) or SUM(number)";

fn draft(
    name: &str,
    function: &AggregateFunction,
    scope: &Scope<'_>,
    agreement: &Agreement,
) -> Result<Draft, Refusal> {
    let params = &function.params;
    if params.filter.is_some() || !params.order_by.is_empty() || params.null_treatment.is_some() {
        return Err(refuse(
            format!("a clause inside the aggregate `{name}`"),
            "FILTER, ORDER BY and NULL clauses are not on the list",
            "write SUM(CASE WHEN ... THEN x ELSE 0 END)",
        ));
    }
    match (
        function.func.name(),
        params.distinct,
        params.args.as_slice(),
    ) {
        ("count", true, [arg]) => people(name, arg, scope),
        ("count", false, [Expr::Literal(value, _)]) if !value.is_null() => Ok(Draft {
            name: name.to_owned(),
            kind: Kind::Rows,
            people: false,
            value: None,
            scale: 0,
            unit: None,
        }),
        ("count", false, _) => Err(refuse(
            format!("COUNT of a column in `{name}`"),
            "COUNT(*) counts rows and COUNT(DISTINCT person) people",
            "write SUM(CASE WHEN x IS NOT NULL THEN 1 ELSE 0 END)",
        )),
        ("sum", false, [arg]) => sum(name, arg, scope, agreement),
        _ => Err(refuse(
            format!("the aggregate `{name}`"),
            "it is not on the list",
            ALLOWED,
        )),
    }
}

fn column<'s>(expr: &Expr, scope: &'s Scope<'_>) -> Option<&'s Field> {
    match bare(expr) {
        Expr::Column(column) => scope.field(column).ok(),
        _ => None,
    }
}

fn people(name: &str, arg: &Expr, scope: &Scope<'_>) -> Result<Draft, Refusal> {
    let field = column(arg, scope).filter(|field| field.unit != Unit::No);
    let field = field.ok_or_else(|| {
        refuse(
            format!("COUNT(DISTINCT ...) in `{name}`"),
            "only people are counted apart, by the pseudonym that the data sets are joined on",
            "write COUNT(DISTINCT person)",
        )
    })?;
    let certain = field.unit == Unit::Certain;
    Ok(Draft {
        name: name.to_owned(),
        kind: Kind::People,
        people: certain,
        value: (!certain).then(|| arg.clone().is_not_null()),
        scale: 0,
        unit: None,
    })
}

fn sum(name: &str, arg: &Expr, scope: &Scope<'_>, agreement: &Agreement) -> Result<Draft, Refusal> {
    let scale = match scope.shape(arg)? {
        Shape::Number { .. } => scale_of(arg, scope),
        _ => None,
    };
    let scale = scale.ok_or_else(|| {
        refuse(
            format!("SUM in `{name}`"),
            "its argument is no number of at most 18 digits after the point",
            "add up an int or decimal column",
        )
    })?;
    let origin = column(arg, scope).and_then(|field| field.origin.clone());
    let spec = origin
        .and_then(|(dataset, column)| agreement.column(&ColumnRef { dataset, column }).cloned());
    Ok(Draft {
        name: name.to_owned(),
        kind: Kind::Sum,
        people: false,
        value: Some(arg.clone()),
        scale,
        unit: spec.and_then(|spec| spec.unit),
    })
}

/// The digits after the point in which the engine adds up.
fn scale_of(arg: &Expr, scope: &Scope<'_>) -> Option<u8> {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::ExprSchemable;
    let scale = match arg.get_type(scope.schema).ok()? {
        DataType::Int64 => 0,
        DataType::Decimal128(_, scale) => u8::try_from(scale).ok()?,
        _ => return None,
    };
    (scale <= Decimal::MAX_SCALE).then_some(scale)
}

/// Gives each measure its clamp and its share of the noise.
pub(crate) fn calibrate(
    drafts: &[Draft],
    query: &Query,
    agreement: &Agreement,
) -> Result<Vec<Measure>, Refusal> {
    if query.delta == Delta::ZERO {
        return Err(privacy(
            "delta = 0",
            "Gaussian noise gives no pure epsilon",
            "give the query a delta, such as 1e-8",
        ));
    }
    let weights: Vec<u32> = drafts
        .iter()
        .map(|draft| query.weight(&draft.name))
        .collect();
    let shares = split(agreement.cost(query).rho, &weights).map_err(|error| {
        privacy(
            &format!("weights: {error}"),
            "every measure needs noise",
            "give each a weight of at least 1",
        )
    })?;
    let pairs = drafts.iter().zip(shares);
    let measure = |(draft, share)| {
        measure(draft, share, query).map_err(|refusal| refusal.or_at_text(&draft.name))
    };
    pairs.map(measure).collect()
}

fn privacy(what: &str, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Privacy, what, why, instead)
}

fn measure(draft: &Draft, share: Rho, query: &Query) -> Result<Measure, Refusal> {
    let (low, high) = clamp(draft, query)?;
    let noise = Sensitivity::of_clamp(low, high, query.per_person.groups)
        .and_then(|sensitivity| Calibration::gaussian(&sensitivity, share));
    let calibration = noise.map_err(|error| {
        privacy(
            &error.to_string(),
            "there would be no noise",
            "check bounds and weights",
        )
    })?;
    Ok(Measure {
        name: draft.name.clone(),
        kind: draft.kind,
        unit: draft.unit.clone(),
        scale: draft.scale,
        low,
        high,
        share,
        calibration,
    })
}

/// The clamp of a measure, in units of its scale.
fn clamp(draft: &Draft, query: &Query) -> Result<(i128, i128), Refusal> {
    let declared = query.per_person.measures.get(&draft.name);
    let (low, high) = match (declared, draft.kind) {
        (None, Kind::People) => return Ok((0, 1)),
        (None, _) => {
            return Err(refuse(
                format!("`{}` without bounds", draft.name),
                "one person could add anything",
                "declare per_person = { ..., NAME = [least, most] } for it",
            ));
        }
        (Some(bounds), _) => *bounds,
    };
    let unscaled = |number: Decimal| number.rescale(draft.scale).ok().map(Decimal::unscaled);
    let (Some(low), Some(high)) = (unscaled(low), unscaled(high)) else {
        return Err(refuse(
            format!("the bounds of `{}`", draft.name),
            "they have more digits after the point than the column",
            "round them to the column's digits",
        ));
    };
    if draft.kind == Kind::People && (low, high) != (0, 1) {
        return Err(refuse(
            format!("the bounds of `{}`", draft.name),
            "a person counts as one person",
            "leave them out, or write [0, 1]",
        ));
    }
    Ok((low, high))
}

/// Every measure that the agreement speaks of is in the SELECT.
pub(crate) fn check_names(measures: &[Measure], query: &Query) -> Result<(), Refusal> {
    let per_person = query.per_person.measures.keys();
    let ratios = query
        .ratios
        .iter()
        .flat_map(|ratio| [&ratio.numerator, &ratio.denominator]);
    let mut named = per_person.chain(query.weights.keys()).chain(ratios);
    let known = |name: &&String| measures.iter().any(|measure| &measure.name == *name);
    match named.find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(refuse(
            format!("measure `{name}`"),
            "the agreement names it, and the SELECT has no aggregate of this name",
            "name an aggregate so with AS, or take it out of per_person, weights and ratios",
        )),
    }
}
