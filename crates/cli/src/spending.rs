//! What is spent and what is left, in the same words wherever it is said.
//!
//! Epsilon is always that of all runs together, at the delta of the ceiling that it is held
//! against; runs left are counted by [`incamera_agreement::runs`] alone.

use incamera_agreement::{Agreement, Ceiling, Query, WHY_SO_MANY, left, runs, shown, shown_at};
use incamera_release::{GrantReport, ReceiptReport};
use incamera_types::{Budget, Epsilon, PartyName, PrivacyLoss, Rho};
use incamera_wire::v1::Loss;
use serde_json::{Value, json};

/// A loss as it came in a message.
pub fn from_wire(loss: Option<&Loss>) -> PrivacyLoss {
    let loss = loss.copied().unwrap_or_default();
    PrivacyLoss {
        rho: Rho::from_units(loss.rho),
        delta0: incamera_types::Delta::from_units(loss.delta0),
    }
}

/// `0.84 of 8`.
pub fn of(spent: &PrivacyLoss, budget: &Budget) -> String {
    format!("{} of {}", shown_at(spent, budget.delta), budget.epsilon)
}

/// `epsilon 0.84 of 8 (delta 1e-6)`.
pub fn at_delta(spent: &PrivacyLoss, budget: &Budget) -> String {
    format!("epsilon {} (delta {})", of(spent, budget), budget.delta)
}

/// What an owner has spent under an agreement, and what that leaves, for programs.
pub fn document(spent: &PrivacyLoss, ceiling: &Ceiling) -> Value {
    let epsilon: f64 = shown(spent, ceiling).parse().unwrap_or_default();
    json!({
        "rho": spent.rho.units(), "delta0": spent.delta0.units(),
        "epsilon": epsilon, "of": ceiling.budget.epsilon, "delta": ceiling.budget.delta,
    })
}

/// How many runs of each query an owner's ceilings still have room for.
pub fn runs_by_query<'a>(
    agreement: &'a Agreement,
    owner: &PartyName,
    spent: &PrivacyLoss,
    own_left: &PrivacyLoss,
) -> Vec<(&'a Query, u64)> {
    let Some(left) = left(agreement, owner, spent, Some(own_left)) else {
        return Vec::new();
    };
    let queries = agreement.queries.values();
    let read = queries.filter(|query| agreement.owners_read(query).contains(owner));
    read.map(|query| (query, runs(&agreement.cost(query), &left)))
        .collect()
}

/// The sentence that goes with every epsilon spent.
pub fn why() -> String {
    format!("spent is epsilon of all runs together, at the budget's delta. {WHY_SO_MANY}")
}

fn is_free(grant: &GrantReport) -> bool {
    grant.charge == PrivacyLoss::default()
}

/// `1.0`, also for a whole number.
fn point(epsilon: Epsilon) -> String {
    let text = epsilon.to_string();
    match text.contains(['.', 'e']) {
        true => text,
        false => format!("{text}.0"),
    }
}

fn names<'a>(grants: impl Iterator<Item = &'a GrantReport>) -> String {
    grants
        .map(|grant| grant.owner.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// What an answer cost by itself and what that makes of the budgets, each at its own delta, and
/// for how many such runs there is room: one line. `accounted` is the epsilon of one run by exact
/// accounting.
pub fn line(
    report: &ReceiptReport,
    agreement: &Agreement,
    query: &Query,
    accounted: Epsilon,
) -> String {
    let alone = alone(query, accounted);
    let grants = || report.grants.iter();
    let cost = match (grants().any(|grant| !is_free(grant)), grants().any(is_free)) {
        (false, _) => "nothing, it was asked before".to_owned(),
        (true, true) => format!(
            "{alone}, charged to {}; nothing to {}, charged before",
            names(grants().filter(|grant| !is_free(grant))),
            names(grants().filter(|grant| is_free(grant)))
        ),
        (true, false) => format!("{alone}, charged to {}", names(grants())),
    };
    let known: Vec<_> = grants()
        .filter_map(|grant| Some((grant, agreement.budgets.get(&grant.owner)?, grant.spent?)))
        .collect();
    let spent: Vec<String> = known
        .iter()
        .map(|(grant, ceiling, spent)| {
            let budget = &ceiling.budget;
            format!(
                "{} {} (delta {})",
                grant.owner,
                of(spent, budget),
                budget.delta
            )
        })
        .collect();
    let mut line = format!("this run: {cost}");
    if !spent.is_empty() {
        let spent = spent.join(", ");
        line.push_str(&format!("; budget now, all runs together: {spent}"));
    }
    if let Some(room) = runs_left(report, agreement, query) {
        // What an owner's own ceiling over all its agreements leaves, a grant does not tell.
        line.push_str(&format!(
            "; the agreement has room for some {room} such runs, an owner's own ceiling perhaps for fewer"
        ));
    }
    line.push_str("; the same again: free");
    line
}

/// What one run is worth by itself: `epsilon 1.0 by itself (delta 1e-8; 0.944 by exact
/// accounting)`.
fn alone(query: &Query, accounted: Epsilon) -> String {
    let exact = match accounted < query.epsilon {
        true => format!("; {accounted} by exact accounting"),
        false => String::new(),
    };
    let (epsilon, delta) = (point(query.epsilon), query.delta);
    format!("epsilon {epsilon} by itself (delta {delta}{exact})")
}

/// The runs for which every owner's ceiling in the agreement has room; nothing if an owner did
/// not say what it has spent. An owner's own ceiling over all its agreements may be lower: it
/// is its own business, which `status` and `agreement show` tell its own people.
pub fn runs_left(report: &ReceiptReport, agreement: &Agreement, query: &Query) -> Option<u64> {
    let cost = agreement.cost(query);
    let runs_of_each = report.grants.iter().map(|grant| {
        if agreement.ceiling(&grant.owner).is_none() {
            return Some(u64::MAX);
        }
        let left = left(agreement, &grant.owner, &grant.spent?, None)?;
        Some(runs(&cost, &left))
    });
    let runs: Option<Vec<u64>> = runs_of_each.collect();
    runs?.into_iter().min().filter(|runs| *runs < u64::MAX)
}
