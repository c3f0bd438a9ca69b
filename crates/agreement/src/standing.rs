//! How an agreement stands on a day: who has signed, whether it is over, what its budgets still
//! allow.

use incamera_types::{Date, Epsilon, IdKind, IdSort, PartyName, PrivacyLoss, UnixTime};

use crate::explain::shifts;
use crate::model::{Agreement, Ceiling, Query};
use crate::page::Page;
use crate::signatures::SignaturesError;
use incamera_types::and;

/// What each party has spent so far.
pub type Spent = std::collections::BTreeMap<PartyName, PrivacyLoss>;

/// What an explanation knows besides the agreement's text.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Standing {
    /// What those owners have spent of whom it is known; nothing is said to be left of others.
    pub spent: Spent,
    /// What is left of those owners' own ceilings over all their agreements, where it is known.
    pub own_left: Spent,
    /// Whether all have signed; nothing where nobody looked.
    pub signed: Option<Result<(), SignaturesError>>,
    /// Why it opens nothing though all have signed it, where that is known: a later version.
    pub replaced: Option<String>,
    /// The time; without it nothing is said of whether the agreement is over.
    pub now: Option<UnixTime>,
}

/// How many charges of `cost` fit into `left`: integers, as the ledger counts.
#[must_use]
pub fn runs(cost: &PrivacyLoss, left: &PrivacyLoss) -> u64 {
    let by_rho = left.rho.units().checked_div(cost.rho.units());
    let by_delta = left.delta0.units().checked_div(cost.delta0.units());
    by_rho.into_iter().chain(by_delta).min().unwrap_or(u64::MAX)
}

/// What is left to an owner under an agreement: of its ceiling there, and of its own ceiling
/// over all agreements where that is known; the lower wins. Nothing where there is no ceiling.
#[must_use]
pub fn left(
    agreement: &Agreement,
    owner: &PartyName,
    spent: &PrivacyLoss,
    own_left: Option<&PrivacyLoss>,
) -> Option<PrivacyLoss> {
    let here = spent.left_of(&agreement.ceiling(owner)?);
    Some(own_left.map_or(here, |own| PrivacyLoss {
        rho: here.rho.min(own.rho),
        delta0: here.delta0.min(own.delta0),
    }))
}

/// What makes an agreement useless as it stands, in words: it is over, or a data set's days are,
/// or a budget has room for no run of a query, or ids of a kind may meet none because no rules
/// hold for a kind of that name.
#[must_use]
pub fn concerns(agreement: &Agreement, now: Option<UnixTime>) -> Vec<String> {
    let over = now.is_some_and(|now| agreement.expires.end() < now);
    let over = over.then(|| expired(agreement.expires));
    let budgets = agreement.budgets.iter().flat_map(|(owner, ceiling)| {
        let queries = agreement.queries.values();
        queries.filter_map(move |query| no_run(agreement, owner, ceiling, query))
    });
    let ended = now.into_iter().flat_map(|now| ended(agreement, now));
    let ids = agreement.matching.ids.iter().filter_map(no_rules);
    let standing = over.into_iter().chain(ended);
    standing.chain(budgets).chain(ids).collect()
}

/// What to say of a kind that is plain though its name suggests otherwise.
#[must_use]
pub fn no_rules(kind: &IdKind) -> Option<String> {
    let (what, name, apart) = match kind.looks_like()? {
        IdSort::Email => (
            "e-mail addresses",
            "email",
            "`Ana@x.example` and `ana@x.example`",
        ),
        _ => ("phone numbers", "phone", "`030 1234567` and `+49301234567`"),
    };
    Some(format!(
        "NO RULES HOLD for ids of kind `{kind}`, which are matched as they stand, so that {apart} are two people: if they are {what}, name the kind `{name}`"
    ))
}

fn expired(day: Date) -> String {
    format!(
        "EXPIRED: it ended with {day} (UTC), and no key is released for it: sign a new version with a later `expires`"
    )
}

/// The data sets whose last day is over.
fn ended(agreement: &Agreement, now: UnixTime) -> impl Iterator<Item = String> {
    let specs = agreement.datasets.values();
    specs.filter_map(move |spec| {
        let day = spec.keep_until.filter(|day| day.end() < now)?;
        Some(format!(
            "NO LONGER KEPT: the last day of data set {} was {day} (UTC), and no key of it is released: no query that reads it runs",
            spec.name
        ))
    })
}

fn no_run(
    agreement: &Agreement,
    owner: &PartyName,
    ceiling: &Ceiling,
    query: &Query,
) -> Option<String> {
    let read = agreement.owners_read(query).contains(owner);
    let fits = runs(&agreement.cost(query), &ceiling.loss) > 0;
    (read && !fits).then(|| {
        let Ceiling { budget, .. } = ceiling;
        format!(
            "NO RUN FITS: a run of {} costs {owner} epsilon {}, delta {}, and its budget is epsilon {}, delta {}: raise the budget, or lower the query's epsilon",
            query.name, query.epsilon, query.delta, budget.epsilon, budget.delta
        )
    })
}

/// The lines under the title: signed by whom, in force until when, and what is wrong with it.
pub(crate) fn state(page: &mut Page, agreement: &Agreement, standing: &Standing) {
    let over = standing
        .now
        .is_some_and(|now| agreement.expires.end() < now);
    let until = format!("until the end of {} (UTC)", agreement.expires);
    match &standing.signed {
        _ if over => {}
        Some(Ok(())) if standing.replaced.is_some() => page.point(format_args!(
            "State: NOT IN FORCE: {}",
            standing.replaced.as_deref().unwrap_or_default()
        )),
        Some(Ok(())) => page.point(format_args!(
            "State: signed by {}; in force {until}",
            and(agreement.parties.keys())
        )),
        Some(Err(error)) => page.point(format_args!(
            "State: NOT IN FORCE: {}",
            unsigned(error, agreement)
        )),
        None => page.point(format_args!(
            "in force once every party has signed this very file, {until}"
        )),
    }
    for concern in concerns(agreement, standing.now) {
        page.point(concern);
    }
}

fn unsigned(error: &SignaturesError, agreement: &Agreement) -> String {
    let not_yet = |party: &&PartyName| error.missing.contains(party) || error.bad.contains(party);
    let signed: Vec<_> = agreement.parties.keys().filter(|p| !not_yet(p)).collect();
    let mut text = format!("signed by {}", and(signed));
    if !error.missing.is_empty() {
        text.push_str(&format!(
            "; waits for the signature of {}",
            and(&error.missing)
        ));
    }
    if !error.bad.is_empty() {
        text.push_str(&format!(
            "; the signature of {} is not over this file by the key in it",
            and(&error.bad)
        ));
    }
    text
}

/// What each owner's budget allows, and what is left of it where that is known.
pub(crate) fn budgets(page: &mut Page, agreement: &Agreement, standing: &Standing) {
    page.heading("How much may be learned in all");
    page.text("Each answer is charged to every owner whose data it reads, before any key is released. When a budget is used up, no more answers come. Nothing spent comes back.");
    for owner in agreement.owners() {
        let Some(ceiling) = agreement.budgets.get(owner) else {
            page.point(format_args!(
                "{owner}: no ceiling in this agreement; its own configuration limits it"
            ));
            continue;
        };
        ceiling_of(page, agreement, owner, ceiling, standing);
    }
    why_so_many(page, agreement);
    page.text("An owner's own configuration may set a lower ceiling over all of its agreements.");
}

fn ceiling_of(
    page: &mut Page,
    agreement: &Agreement,
    owner: &PartyName,
    ceiling: &Ceiling,
    standing: &Standing,
) {
    let spent = standing.spent.get(owner);
    let own_left = standing.own_left.get(owner);
    let left = spent.and_then(|spent| left(agreement, owner, spent, own_left));
    let budget = ceiling.budget;
    page.point(format_args!(
        "{owner}: epsilon {}, delta {}, never renewed. The worst case for one person: all of it, if it is used, {}",
        budget.epsilon,
        budget.delta,
        shifts(&ceiling.loss, &budget)
    ));
    if let Some(spent) = spent {
        page.sub_point(format_args!(
            "spent so far: epsilon {} of {}, all runs together",
            shown(spent, ceiling),
            budget.epsilon
        ));
    }
    for query in agreement.queries.values() {
        if !agreement.owners_read(query).contains(owner) {
            continue;
        }
        let cost = agreement.cost(query);
        let all = runs(&cost, &ceiling.loss);
        let left = match left {
            Some(left) => format!("{} left", runs(&cost, &left)),
            None => format!("ask {owner} how many are left"),
        };
        page.sub_point(format_args!(
            "room for {all} runs of {} in all, {left}; a single run {}",
            query.name,
            shifts(&query.loss, &query.budget())
        ));
    }
}

/// A loss as epsilon at the delta of the ceiling that it is held against, in two digits after
/// the point, rounded up.
#[must_use]
pub fn shown(spent: &PrivacyLoss, ceiling: &Ceiling) -> String {
    shown_at(spent, ceiling.budget.delta)
}

/// A loss as epsilon at a delta, in two digits after the point, rounded up.
#[must_use]
pub fn shown_at(spent: &PrivacyLoss, delta: incamera_types::Delta) -> String {
    const HUNDREDTH: u64 = Epsilon::UNITS_PER_ONE / 100;
    let left = delta.checked_sub(spent.delta0).unwrap_or_default();
    let epsilon = incamera_dp::epsilon_of(spent.rho, left);
    let hundredths = epsilon.units().div_ceil(HUNDREDTH);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Why more runs fit than dividing epsilons says, in one sentence.
pub const WHY_SO_MANY: &str = "Losses are added up as rho of zero-concentrated privacy (zCDP), in which the noise of many runs costs less together than the sum of their epsilons.";

fn why_so_many(page: &mut Page, agreement: &Agreement) {
    let ceilings = agreement.budgets.iter();
    let more = ceilings.flat_map(|(owner, ceiling)| {
        let queries = agreement.queries.values();
        let read = queries.filter(move |query| agreement.owners_read(query).contains(owner));
        read.filter_map(move |query| {
            let divided = ceiling
                .budget
                .epsilon
                .units()
                .checked_div(query.epsilon.units())?;
            let runs = runs(&agreement.cost(query), &ceiling.loss);
            (runs > divided).then_some((runs, divided))
        })
    });
    if let Some((runs, divided)) = more.max() {
        page.text(format_args!(
            "Why {runs} runs and not {divided}, as epsilon divided by epsilon would say: {WHY_SO_MANY}"
        ));
    }
}
