//! The sections `[matching]` and `[budgets]`, and what several sections decide together.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::limits::MAX_PARTITIONS;
use incamera_types::{
    Budget, Delta, Epsilon, IdKind, IdRules, IdWritingError, MatchingEpoch, PartyName,
};

use super::{Known, kinds_known, link, listed, providers, vole};
use crate::Problem;
use crate::model::{Ceiling, Matching, MatchingMethod, Query, Reveals, Terms};
use crate::reader::{Item, Named, Table};

/// The default number of slices of the pseudonym space.
const PARTITIONS: u32 = 4;
/// The most parts that ids are split into for matching.
const MAX_MATCH_PARTITIONS: u32 = 4096;
/// The first matching epoch.
const FIRST_EPOCH: u32 = 1;
/// The most kinds of id.
const MAX_ID_KINDS: usize = 16;
/// What a list of kinds holds.
const KIND: &str = "kind of id, such as \"email\"";
/// What to do about a word that is no kind.
const NAME_A_KIND: &str = "name a kind of id, such as \"email\"";
/// The most ids in one run.
const MAX_IDS: u64 = 10_000_000_000;

pub(super) fn matching(table: &Table<'_>) -> Option<Matching> {
    let method = table.need(
        "method",
        "write method = \"commutative\", or \"none\" for one party",
    );
    let method = method.and_then(|item| method_of(&item));
    let ids = match (table.get("ids"), method) {
        (Some(item), _) => ids(&item),
        (None, Some(MatchingMethod::None)) => "plain".parse().ok().map(|kind| vec![kind]),
        (None, _) => {
            table.need("ids", "name the kinds of id, such as ids = [\"email\"]");
            None
        }
    };
    let rules = match table.get("rules") {
        Some(item) => rules(&item),
        None => Some(IdRules::First),
    };
    let hashed = match table.get("hashed") {
        Some(item) => hashed(&item, rules, ids.as_deref()),
        None => Some(BTreeSet::new()),
    };
    let reveals = match table.get("reveals") {
        Some(item) => reveals_of(&item),
        None => Some(Reveals::Nothing),
    };
    let max_ids = limit(table, "max_ids", method, MAX_IDS, MAX_IDS);
    vole::limits(table, method, max_ids);
    let security = vole::security(table, method);
    let max_runs = limit(table, "max_runs", method, 1_000_000, 1_000_000);
    let partitions = table.get("partitions");
    let partitions = partitions.map_or(Some(PARTITIONS), |item| item.whole_u32(1, MAX_PARTITIONS));
    let match_partitions = match table.get("match_partitions") {
        Some(item) => match_partitions(&item, method, reveals),
        None => Some(1),
    };
    let epoch = table.get("epoch");
    let epoch = epoch.map_or(Some(FIRST_EPOCH), |item| item.whole_u32(1, u32::MAX));
    if let (Some(method), Some(Reveals::OwnMatches)) = (method, reveals) {
        has_matches(table, method);
    }
    let link = link::rule(table, ids.as_deref());
    let providers = providers::providers(table, method, ids.as_deref());
    table.close();
    Some(Matching {
        method: method?,
        ids: ids?,
        rules: rules?,
        hashed: hashed?,
        reveals: reveals?,
        security: security?,
        max_ids: max_ids?,
        max_runs: u32::try_from(max_runs?).ok()?,
        match_partitions: match_partitions?,
        partitions: partitions?,
        epoch: MatchingEpoch(epoch?),
        link: link?,
        providers: providers?,
    })
}

/// Parts that ids are matched in: points of any part are raised alike, so that only this method
/// has runs that belong together.
fn match_partitions(
    item: &Item<'_>,
    method: Option<MatchingMethod>,
    reveals: Option<Reveals>,
) -> Option<u32> {
    let parts = item.whole_u32(1, MAX_MATCH_PARTITIONS)?;
    if parts > 1 && reveals == Some(Reveals::OwnMatches) {
        item.problem(
            "own matches are not revealed part by part in this version of incamera",
            "leave `match_partitions` out, or write reveals = \"nothing\"",
        );
        return None;
    }
    if parts > 1 && method.is_some_and(|method| method != MatchingMethod::Commutative) {
        item.problem(
            "ids are matched part by part by method commutative alone",
            "leave `match_partitions` out, or write method = \"commutative\"",
        );
        return None;
    }
    Some(parts)
}

/// A limit that two parties must agree on, and one alone need not.
fn limit(
    table: &Table<'_>,
    key: &'static str,
    method: Option<MatchingMethod>,
    default: u64,
    most: u64,
) -> Option<u64> {
    match table.get(key) {
        Some(item) => item.whole(1, most),
        None if method == Some(MatchingMethod::None) => Some(default),
        None => {
            table.need(key, "say how much matching is allowed");
            None
        }
    }
}

fn not_yet<T>(item: &Item<'_>, instead: &str) -> Option<T> {
    item.problem(
        format_args!(
            "this value of `{}` is not in this version of incamera",
            item.path
        ),
        format_args!("write \"{instead}\", or use a version of incamera that has it"),
    );
    None
}

fn method_of(item: &Item<'_>) -> Option<MatchingMethod> {
    match item.text()? {
        "commutative" => Some(MatchingMethod::Commutative),
        "none" => Some(MatchingMethod::None),
        "provider" => Some(MatchingMethod::Provider),
        "vole" => Some(MatchingMethod::Vole),
        _ => {
            item.problem(
                "`method` is commutative, vole, provider or none",
                "write method = \"commutative\", or \"none\" for one party",
            );
            None
        }
    }
}

fn reveals_of(item: &Item<'_>) -> Option<Reveals> {
    match item.text()? {
        "nothing" => Some(Reveals::Nothing),
        "own-matches" => Some(Reveals::OwnMatches),
        _ => {
            item.problem(
                "`reveals` is nothing or own-matches",
                "write reveals = \"nothing\", or \"own-matches\" if each party is to learn which of its own ids the other has",
            );
            None
        }
    }
}

/// Where nobody is matched with, there are no matches to reveal.
fn has_matches(table: &Table<'_>, method: MatchingMethod) {
    let why = match method {
        MatchingMethod::None => "method none matches with nobody",
        MatchingMethod::Provider => "by method provider each party asks the providers alone",
        _ => return,
    };
    if let Some(item) = table.get("reveals") {
        item.problem(
            format_args!("{why}, so there are no matches to reveal"),
            "write reveals = \"nothing\", or leave the line out",
        );
    }
}

fn ids(item: &Item<'_>) -> Option<Vec<IdKind>> {
    let mut kinds = Vec::new();
    if item.list()?.len() > MAX_ID_KINDS {
        item.problem(
            "there are too many kinds of id",
            format_args!("name at most {MAX_ID_KINDS}"),
        );
        return None;
    }
    for item in item.list_of_some(KIND)? {
        let kind: IdKind = item.parsed(NAME_A_KIND)?;
        if kinds.contains(&kind) {
            item.problem(
                format_args!("`{kind}` stands there twice"),
                "name each kind once",
            );
            return None;
        }
        kinds.push(kind);
    }
    Some(kinds)
}

/// The number of rules for ids that this version knows.
fn rules(item: &Item<'_>) -> Option<IdRules> {
    let number = item.whole_u32(1, u32::MAX)?;
    let rules = IdRules::try_from(number);
    let refused = |error: &IdWritingError| {
        item.problem(
            error,
            "write rules = 2, the trade's published rules, or leave the line out for rules 1",
        );
    };
    rules.inspect_err(refused).ok()
}

/// The kinds whose ids stand as their SHA-256: some of those that are matched, under rules that
/// know hashes.
fn hashed(
    item: &Item<'_>,
    rules: Option<IdRules>,
    ids: Option<&[IdKind]>,
) -> Option<BTreeSet<IdKind>> {
    if rules? == IdRules::First {
        item.problem(
            "hashes of ids are matched under rules 2",
            "write rules = 2, or leave the line `hashed` out",
        );
        return None;
    }
    let ids = ids?;
    let mut kinds = BTreeSet::new();
    for item in item.list_of_some(KIND)? {
        let kind: IdKind = item.parsed(NAME_A_KIND)?;
        if !ids.contains(&kind) {
            item.problem(format_args!("`{kind}` is none of `ids`"), kinds_known(ids));
            return None;
        }
        if !kinds.insert(kind) {
            item.problem("this kind stands there twice", "name each kind once");
            return None;
        }
    }
    Some(kinds)
}

/// Matching needs the right number of owners of private data.
pub(super) fn check_matching(root: &Table<'_>, matching: &Matching, known: &Known<'_>) {
    let specs = known.datasets.values().flatten();
    let owners: BTreeSet<_> = specs
        .filter(|spec| !spec.public)
        .map(|spec| &spec.owner)
        .collect();
    if known.datasets.values().any(Option::is_none) {
        return;
    }
    let Some(item) = root
        .get("matching")
        .and_then(|item| item.table()?.get("method"))
    else {
        return;
    };
    match (matching.method, owners.len()) {
        (MatchingMethod::Commutative | MatchingMethod::Vole, 2)
        | (MatchingMethod::None, 0 | 1)
        | (MatchingMethod::Provider, 1..) => {}
        (MatchingMethod::None, _) => item.problem(
            format_args!("method none is for one owner of private data; here are {}", listed(owners)),
            "write method = \"commutative\"",
        ),
        (MatchingMethod::Provider, _) => item.problem(
            "method provider is for owners of private data, and there is none",
            "let a party own data sets that are not public",
        ),
        _ => item.problem(
            format_args!(
                "method {} is between two owners of private data; here are {}",
                matching.method,
                listed(owners)
            ),
            "let exactly two parties own data sets that are not public, or write method = \"none\" for one, or \"provider\" for more",
        ),
    }
}

/// An owner of private data declares its people.
pub(super) fn check_people(root: &Table<'_>, known: &Known<'_>) {
    let specs = known
        .datasets
        .values()
        .flatten()
        .filter(|spec| !spec.public);
    let owners: BTreeSet<_> = specs.map(|spec| &spec.owner).collect();
    for named in root.members::<PartyName>("parties") {
        let party = known.parties.get(&named.name);
        let missing = matches!(party, Some(Some(party)) if party.people == 0);
        if missing && owners.contains(&named.name) {
            named.item.problem(
                format_args!(
                    "party `{}` owns private data and declares no `people`",
                    named.name
                ),
                "write about how many people its data are about: it is public and foretells errors",
            );
        }
    }
}

/// All ceilings by party; `None` for one that could not be read.
pub(super) fn budgets(root: &Table<'_>, known: &Known<'_>) -> BTreeMap<PartyName, Option<Ceiling>> {
    let mut budgets = BTreeMap::new();
    for named in root.members::<PartyName>("budgets") {
        if !known.parties.contains_key(&named.name) {
            known.problems.add(
                &named.at,
                format_args!("there is no party `{}`", named.name),
                format_args!("parties are {}", listed(known.parties.keys())),
            );
            continue;
        }
        let ceiling = ceiling(&named);
        budgets.insert(named.name, ceiling);
    }
    budgets
}

fn ceiling(named: &Named<'_, PartyName>) -> Option<Ceiling> {
    let table = named.item.table()?;
    let budget = budget(&table, 1);
    if let Some(item) = table.get("renews")
        && item.text().is_some_and(|text| text != "never")
    {
        not_yet::<()>(&item, "never");
    }
    table.close();
    let budget = budget?;
    Some(Ceiling {
        loss: incamera_dp::loss_of(&budget),
        budget,
    })
}

/// The fields `epsilon` and `delta`, both above zero; a query may do without a delta.
pub(super) fn budget(table: &Table<'_>, least_delta: u64) -> Option<Budget> {
    const EPSILON: &str = "write a number above 0 and at most 1000, such as epsilon = 1.0";
    const DELTA: &str = "write a number above 0 and below 1, such as delta = 1e-8";
    let epsilon = table.need("epsilon", EPSILON).and_then(|item| {
        let epsilon: Option<Epsilon> = item.number()?.parse().ok();
        let epsilon = epsilon.filter(|epsilon| *epsilon > Epsilon::ZERO);
        refuse_none(&item, epsilon, EPSILON)
    });
    let delta = table.need("delta", DELTA).and_then(|item| {
        let inside = |delta: &Delta| (least_delta..Delta::UNITS_PER_ONE).contains(&delta.units());
        let delta = item.number()?.parse().ok().filter(inside);
        refuse_none(&item, delta, DELTA)
    });
    Some(Budget {
        epsilon: epsilon?,
        delta: delta?,
    })
}

fn refuse_none<T>(item: &Item<'_>, value: Option<T>, help: &str) -> Option<T> {
    if value.is_none() {
        item.problem(format_args!("`{}` is out of range", item.path), help);
    }
    value
}

/// What is allowed and probably not meant.
pub(super) fn warnings(root: &Table<'_>, terms: &Terms) -> Vec<Problem> {
    let place = |section: &'static str, name: &str| {
        let named = root.members::<String>(section);
        let place = named.into_iter().find(|named| named.name == name);
        place.map(|named| named.at).unwrap_or_default()
    };
    let mut warnings = Vec::new();
    for (name, query) in &terms.queries {
        for owner in terms.owners_read(query) {
            let (what, help) = match terms.ceiling(&owner) {
                Some(ceiling) if terms.cost(query).within(&ceiling) => continue,
                Some(_) => (
                    format!(
                        "one run of query `{name}` costs more than the whole budget of party `{owner}`, so it can never run"
                    ),
                    "lower the query's epsilon and delta, or raise the budget",
                ),
                None => (
                    format!(
                        "query `{name}` reads data of party `{owner}`, which has no budget in this agreement: only its own configuration limits it"
                    ),
                    "write a section [budgets] for that party",
                ),
            };
            let span = place("queries", name.as_str());
            warnings.push(root.problems().problem(&span, what, help));
        }
        for party in unanswered(query) {
            let span = place("queries", name.as_str());
            let what = format!(
                "analysts of party `{party}` may ask query `{name}`, and get no answer: the party is not in its `receivers`"
            );
            let help = "name the party in `receivers`, or take its analysts out";
            warnings.push(root.problems().problem(&span, what, help));
        }
    }
    warnings
}

/// The parties whose analysts may ask a query, but get no answer.
fn unanswered(query: &Query) -> BTreeSet<&PartyName> {
    let parties = query.analysts.iter().map(|analyst| &analyst.party);
    parties
        .filter(|party| !query.receivers.contains(*party))
        .collect()
}
