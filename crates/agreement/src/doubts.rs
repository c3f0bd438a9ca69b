//! What is allowed and protects nobody, or serves nothing: said before anybody signs, refused by
//! nobody.

use incamera_types::{Budget, ColumnType, Delta, Epsilon};

use crate::Proposals;
use crate::model::{Agreement, Query};

/// A delta from here on is doubtful, however few the people are.
const MUCH_DELTA: f64 = 1e-3;
/// An epsilon of one run above this is doubtful: odds shift by a factor of more than 50.
const MUCH_A_RUN: f64 = 4.0;
/// An epsilon of a budget above this is doubtful: the odds shift by a factor of millions.
const MUCH_IN_ALL: f64 = 16.0;
/// Fewer people than this are hardly a group.
const FEW_PEOPLE: u64 = 10;

/// What in an agreement protects people less than it looks, in words.
#[must_use]
pub fn doubts(agreement: &Agreement) -> Vec<String> {
    let queries = agreement.queries.values();
    let queries = queries.flat_map(|query| doubts_of(agreement, query));
    let budgets = agreement.budgets.iter().flat_map(|(owner, ceiling)| {
        let whose = format!("the budget of {owner}");
        let budget = ceiling.budget;
        let delta = delta(agreement, &whose, budget.delta);
        delta
            .into_iter()
            .chain(epsilon(&whose, budget.epsilon, MUCH_IN_ALL))
    });
    let proposals = agreement.proposals.iter();
    let proposals = proposals.flat_map(|ceilings| of_proposals(agreement, ceilings));
    let links = links(agreement);
    queries
        .chain(budgets)
        .chain(proposals)
        .chain(links)
        .collect()
}

/// Links that lead to pseudonyms which nobody's rows have.
fn links(agreement: &Agreement) -> impl Iterator<Item = String> {
    let matching = &agreement.matching;
    let links = matching.providers.iter().flat_map(|of| &of.links);
    let unused = links.filter(|link| {
        let mut columns = (agreement.datasets.values()).flat_map(|spec| &spec.columns);
        !columns.any(|column| {
            let kind = column.id_kind.as_ref().or(matching.ids.first());
            column.ty == ColumnType::Pseudonym && kind == Some(&link.to)
        })
    });
    unused.map(|link| {
        format!(
            "links lead from {} to {}, and no data set has a column of pseudonyms of {}: they would serve nothing, and providers would keep them",
            link.from, link.to, link.to
        )
    })
}

/// What in a query protects people less than it looks, in words.
#[must_use]
pub fn doubts_of(agreement: &Agreement, query: &Query) -> Vec<String> {
    let whose = format!("the query {}", query.name);
    of_run(agreement, &whose, query.budget(), query.min_people)
}

fn of_proposals(agreement: &Agreement, ceilings: &Proposals) -> Vec<String> {
    of_run(
        agreement,
        "a proposed query",
        ceilings.budget,
        ceilings.min_people,
    )
}

fn of_run(agreement: &Agreement, whose: &str, budget: Budget, min_people: u64) -> Vec<String> {
    let few = min_people < FEW_PEOPLE;
    let few = few.then(|| {
        format!(
            "{whose} shows groups from {min_people} people on (`min_people`): below {FEW_PEOPLE} a group is hardly more than its members"
        )
    });
    let delta = delta(agreement, whose, budget.delta).into_iter();
    delta
        .chain(epsilon(whose, budget.epsilon, MUCH_A_RUN))
        .chain(few)
        .collect()
}

fn delta(agreement: &Agreement, whose: &str, delta: Delta) -> Option<String> {
    let people = agreement.parties.values().map(|party| party.people).max();
    let people = people.unwrap_or_default().max(1);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of people, compared roughly"
    )]
    let share = 1.0 / people as f64;
    (delta.to_f64() >= MUCH_DELTA.min(share)).then(|| {
        format!(
            "{whose} has delta {delta}: with that probability nothing is promised at all; keep it well below 1 in {people}, the people of the largest party"
        )
    })
}

fn epsilon(whose: &str, epsilon: Epsilon, much: f64) -> Option<String> {
    (epsilon.to_f64() > much).then(|| {
        format!(
            "{whose} has epsilon {epsilon}: an answer may then say much about a single person; 1 a run, and 8 in all, are usual"
        )
    })
}
