//! The measures of one aggregate, each with its bounds, and what hides them.

use incamera_agreement::{Agreement, PersonBounds, Query};
use incamera_dp::{Allowance, Quantile, Quantiles, Sensitivity, choose};
use incamera_types::{Decimal, Rho};

use super::{Bounded, Draft, Draw, Each, Function, Kind, Measure, privacy, refuse};
use crate::refusal::Refusal;

/// A measure before it has its noise.
pub(super) struct Part {
    pub(super) name: String,
    kind: Kind,
    scale: u8,
    unit: Option<String>,
    low: i128,
    high: i128,
    pub(super) each: Option<Each>,
    /// Thousandths of the values, or the end that is wanted, and the people of a group.
    quantile: Option<(Function, f64)>,
    /// Whether it is there for the sampling error alone.
    pub(super) for_sampling: bool,
}

impl Part {
    /// A quantile. Somebody who moves from g groups to g others changes 2g of them, each by
    /// one draw: each has that part of the share.
    fn of_quantile(
        self,
        (function, people): (Function, f64),
        input: usize,
        share: Allowance,
        of: &Bounded<'_>,
    ) -> Result<Measure, Refusal> {
        let changed = match of.query.groups.is_empty() {
            true => 1,
            false => 2 * u64::from(of.query.per_person.groups),
        };
        let (rho, pure) = match share {
            Allowance::Zcdp(rho) => (rho.units() / changed, false),
            // Each draw is of its own epsilon: epsilon²/8 is what the plan makes it of.
            Allowance::Alone { epsilon, .. } => {
                let epsilon = u128::from(epsilon.units() / changed);
                (
                    u64::try_from(epsilon * epsilon / 8).unwrap_or(u64::MAX),
                    true,
                )
            }
        };
        let rows = self
            .each
            .and_then(|each| u32::try_from(each.rows).ok())
            .unwrap_or(1);
        // As if one person had the values of all who can change at once. In how many groups
        // does not grow with them: a draw costs by how many of them it meets.
        let rows = rows.saturating_mul(of.stability);
        let plan = |per_mille| {
            let wanted = vec![Quantile::new(per_mille, 1000)?];
            let question = Quantiles::new(self.low, self.high, rows, wanted)?;
            match pure {
                true => question.exponential(Rho::from_units(rho)),
                false => question.plan(Rho::from_units(rho)),
            }
        };
        let planned = |per_mille| {
            plan(per_mille).map_err(|error| {
                privacy(
                    &error.to_string(),
                    "a quantile is drawn from all values between its bounds",
                    "check bounds, rows and weights",
                )
            })
        };
        let per_mille = match function {
            Function::Quantile { per_mille } => per_mille,
            Function::Extreme { most } => {
                let away = away_from_end(planned(500)?.ranks_95(), people);
                if most { 1000 - away } else { away }
            }
            _ => 500,
        };
        let draw = Draw::Quantile {
            plan: planned(per_mille)?,
            per_mille,
        };
        let cost = match share {
            Allowance::Zcdp(rho) => rho,
            Allowance::Alone { .. } => Rho::from_units(rho),
        };
        Ok(self.drawn(input, cost, draw))
    }

    pub(super) fn measure(
        self,
        input: usize,
        share: Allowance,
        of: &Bounded<'_>,
    ) -> Result<Measure, Refusal> {
        if let Some(function) = self.quantile {
            return self.of_quantile(function, input, share, of);
        }
        let choice = Sensitivity::of_clamp(self.low, self.high, of.query.per_person.groups)
            .and_then(|one| choose(&one.with_stability(of.stability), share));
        let choice = choice.map_err(|error| {
            privacy(
                &error.to_string(),
                "there would be no noise",
                "check bounds and weights",
            )
        })?;
        Ok(self.drawn(input, choice.cost, Draw::Added(choice.noise)))
    }

    /// The part with its share of the loss and its noise.
    fn drawn(self, input: usize, share: Rho, draw: Draw) -> Measure {
        let Self {
            name,
            kind,
            scale,
            unit,
            low,
            high,
            each,
            quantile: _,
            for_sampling: _,
        } = self;
        Measure {
            name,
            kind,
            unit,
            scale,
            low,
            high,
            share,
            input,
            each,
            draw,
        }
    }
}

/// How far from the end the quantile lies that stands for MIN or MAX, in thousandths of the
/// values of so many people: twice the ranks that the draw may be off, so that it does not fall
/// beyond all values; at least 1, at most 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 1 to 100 before"
)]
fn away_from_end(ranks: f64, people: f64) -> u32 {
    let away = 2000.0 * ranks / people.max(1.0);
    away.ceil().clamp(1.0, 100.0) as u32
}

/// The people of a group, if those of the smallest owner read are in equal groups.
#[expect(
    clippy::cast_precision_loss,
    reason = "declared sizes are round numbers"
)]
fn people_of_a_group(query: &Query, agreement: &Agreement) -> f64 {
    let owners = agreement.owners_read(query).into_iter();
    let people = owners.filter_map(|owner| agreement.parties.get(&owner));
    let people = people
        .map(|party| party.people)
        .filter(|people| *people > 0);
    let groups = crate::fold::declared_cells(&query.groups)
        .unwrap_or(1)
        .max(1);
    people.min().unwrap_or(agreement.matching.max_ids) as f64 / groups as f64
}

/// The measures that an aggregate is made of, `first` the place of the first.
pub(super) fn parts(
    draft: &Draft,
    query: &Query,
    agreement: &Agreement,
    first: usize,
) -> Result<Vec<Part>, Refusal> {
    let bounds = query.per_person.measures.get(&draft.name);
    let one = |kind, (low, high)| Part {
        name: draft.name.clone(),
        kind,
        scale: draft.scale,
        unit: draft.unit.clone(),
        low,
        high,
        each: None,
        quantile: None,
        for_sampling: false,
    };
    match (draft.function, bounds) {
        (Function::People, bounds) => {
            people(draft, bounds).map(|()| vec![one(Kind::People, (0, 1))])
        }
        (Function::Rows, Some(PersonBounds::Adds(low, high))) => {
            Ok(vec![one(Kind::Rows, interval(draft, *low, *high)?)])
        }
        (Function::Sum, Some(PersonBounds::Adds(low, high))) => {
            Ok(vec![one(Kind::Sum, interval(draft, *low, *high)?)])
        }
        (Function::Distinct, Some(PersonBounds::Distinct(most))) => {
            Ok(vec![one(Kind::Distinct, (0, i128::from(*most)))])
        }
        (
            Function::Average | Function::Spread { .. },
            Some(PersonBounds::Values { low, high, rows }),
        ) => {
            let (low, high) = interval(draft, *low, *high)?;
            let each = Each {
                low,
                high,
                centre: low + (high - low) / 2,
                rows: i128::from(*rows),
                counted_by: first,
                averaged: false,
            };
            of_values(draft, each, agreement.matching.max_ids, query.sampling)
        }
        (
            Function::Quantile { .. } | Function::Extreme { .. },
            Some(PersonBounds::Values { low, high, rows }),
        ) => {
            let (low, high) = interval(draft, *low, *high)?;
            let each = Each {
                low,
                high,
                centre: 0,
                rows: i128::from(*rows),
                counted_by: first,
                averaged: false,
            };
            let part = one(Kind::Quantile, (low, high));
            let people = people_of_a_group(query, agreement);
            let quantile = Some((draft.function, people));
            Ok(vec![Part {
                each: Some(each),
                quantile,
                ..part
            }])
        }
        (function, found) => Err(unbounded(draft, function, found.is_some())),
    }
}

/// The measures of an average or a spread. What several values of one person tell of their
/// spread says nothing of how people differ: only with one value a person, `sampling` adds
/// squares to an average.
fn of_values(draft: &Draft, each: Each, people: u64, sampling: bool) -> Result<Vec<Part>, Refusal> {
    let farthest = (each.high - each.centre).max(each.centre - each.low);
    let of_all = |each_adds: Option<i128>| {
        let most = each_adds?.checked_mul(each.rows)?;
        let all = most.checked_mul(i128::from(people))?;
        (all <= i128::from(i64::MAX / 4)).then_some(most)
    };
    let sum = of_all(Some(farthest));
    let squares = of_all(farthest.checked_mul(farthest));
    let spread = matches!(draft.function, Function::Spread { .. });
    let squares = squares.filter(|_| draft.scale * 2 <= Decimal::MAX_SCALE);
    let for_sampling = sampling && !spread && each.rows == 1;
    let squared = spread || for_sampling;
    let (Some(sum), Some(squares)) = (sum, if squared { squares } else { Some(0) }) else {
        return Err(refuse(
            format!("the bounds of `{}`", draft.name),
            "what all people together could add does not fit into 64 bits",
            "declare narrower bounds, or round the column to fewer digits",
        ));
    };
    let part = |suffix: &str, kind, scale, unit: &Option<String>, (low, high)| Part {
        name: format!("{}.{suffix}", draft.name),
        kind,
        scale,
        unit: unit.clone(),
        low,
        high,
        each: Some(each),
        quantile: None,
        for_sampling: false,
    };
    let mut parts = vec![
        part("count", Kind::Values, 0, &None, (0, each.rows)),
        part("sum", Kind::Centred, draft.scale, &draft.unit, (-sum, sum)),
    ];
    if squared {
        let scale = draft.scale * 2;
        let squares = part("squares", Kind::Squares, scale, &None, (0, squares));
        parts.push(Part {
            each: Some(Each {
                averaged: for_sampling,
                ..each
            }),
            for_sampling,
            ..squares
        });
    }
    Ok(parts)
}

fn unbounded(draft: &Draft, function: Function, otherwise: bool) -> Refusal {
    let name = &draft.name;
    let (why, instead) = match function {
        Function::Average
        | Function::Spread { .. }
        | Function::Quantile { .. }
        | Function::Extreme { .. } => (
            "one person could bring any value, any number of times",
            format!(
                "declare per_person = {{ ..., {name} = {{ value = [least, most], rows = ... }} }}: the ends of each value, and how many values of one person count"
            ),
        ),
        Function::Distinct => (
            "one person could bring any number of values",
            format!(
                "declare per_person = {{ ..., {name} = {{ distinct = ... }} }}: how many different values of one person count"
            ),
        ),
        _ => (
            "one person could add anything",
            format!("declare per_person = {{ ..., {name} = [least, most] }} for it"),
        ),
    };
    let what = match otherwise {
        true => format!("the bounds of `{name}`"),
        false => format!("`{name}` without bounds"),
    };
    let why = match otherwise {
        true => "they are of another kind of aggregate",
        false => why,
    };
    refuse(what, why, &instead)
}

/// A person counts as one person.
fn people(draft: &Draft, bounds: Option<&PersonBounds>) -> Result<(), Refusal> {
    let one = match bounds {
        None => true,
        Some(PersonBounds::Adds(low, high)) => interval(draft, *low, *high)? == (0, 1),
        Some(_) => false,
    };
    match one {
        true => Ok(()),
        false => Err(refuse(
            format!("the bounds of `{}`", draft.name),
            "a person counts as one person",
            "leave them out, or write [0, 1]",
        )),
    }
}

/// Declared bounds, in units of the aggregate's scale.
fn interval(draft: &Draft, low: Decimal, high: Decimal) -> Result<(i128, i128), Refusal> {
    let unscaled = |number: Decimal| number.rescale(draft.scale).ok().map(Decimal::unscaled);
    unscaled(low).zip(unscaled(high)).ok_or_else(|| {
        refuse(
            format!("the bounds of `{}`", draft.name),
            "they have more digits after the point than the column",
            "round them to the column's digits",
        )
    })
}
