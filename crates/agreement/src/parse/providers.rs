//! `method = "provider"`: who evaluates, how many together, and for how long.

use std::collections::BTreeSet;

use incamera_types::{IdKind, PartyName};

use super::{Known, kinds_known, listed};
use crate::model::{Analysts, Matching, MatchingMethod, Reveals};
use crate::providers::{IdLink, Providers};
use crate::reader::{Item, Table};

/// The most shares of one key.
const MAX_PROVIDERS: usize = 16;
/// The longest that a key is valid.
const MAX_KEY_DAYS: u32 = 3660;
/// Evaluations a second and party, where nothing is said.
const RATE: u32 = 20_000;
const MAX_RATE: u32 = 100_000_000;
/// Slower than that, a million ids take longer than a quarter of an hour for nothing that is won.
const MIN_RATE: u32 = 1_000;
/// The most pairs of kinds.
const MAX_LINKS: usize = 16;
const NAMES: &str = "name the parties that evaluate, such as providers = [\"alpha\", \"beta\"]";

/// What is said of providers; nothing if it was refused.
pub(super) fn providers(
    table: &Table<'_>,
    method: Option<MatchingMethod>,
    ids: Option<&[IdKind]>,
) -> Option<Option<Providers>> {
    if method == Some(MatchingMethod::Provider) {
        return written(table, ids).map(Some);
    }
    let keys = ["providers", "threshold", "key_days", "rate", "links"];
    let found = keys.into_iter().filter_map(|key| table.get(key)).next();
    if let Some(item) = found.filter(|_| method.is_some()) {
        item.problem(
            format_args!("`{}` is for method provider", item.path),
            "write method = \"provider\", or take it out",
        );
        return None;
    }
    Some(None)
}

fn written(table: &Table<'_>, ids: Option<&[IdKind]>) -> Option<Providers> {
    let names = table.need("providers", NAMES);
    let names = names.and_then(|item| names_of(&item));
    let threshold = table.need(
        "threshold",
        "say how many providers evaluate together, such as threshold = 2",
    );
    let threshold = threshold.and_then(|item| threshold_of(&item, names.as_deref()?.len()));
    let key_days = table.need(
        "key_days",
        "say for how many days a key is valid, such as key_days = 90",
    );
    let key_days = key_days.and_then(|item| item.whole_u32(1, MAX_KEY_DAYS));
    let rate = table.get("rate");
    let rate = rate.map_or(Some(RATE), |item| rate_of(&item));
    let links = match table.get("links") {
        Some(item) => links_of(&item, ids),
        None => Some(Vec::new()),
    };
    Some(Providers {
        names: names?,
        threshold: threshold?,
        key_days: key_days?,
        rate: rate?,
        links: links?,
    })
}

fn rate_of(item: &Item<'_>) -> Option<u32> {
    let rate = item.whole_u32(1, MAX_RATE)?;
    if rate >= MIN_RATE {
        return Some(rate);
    }
    let hours = (1_000_000 / u64::from(rate)).div_ceil(3600);
    item.problem(
        format_args!("at {rate} ids a second a million ids take {hours} hours or nearly so"),
        format_args!(
            "write a rate from {MIN_RATE} on; `max_ids` and `max_runs` bound how much is evaluated"
        ),
    );
    None
}

fn names_of(item: &Item<'_>) -> Option<Vec<PartyName>> {
    let items = item.list_of_some("party")?;
    if items.len() > MAX_PROVIDERS {
        item.problem(
            "there are too many providers",
            format_args!("name at most {MAX_PROVIDERS}"),
        );
        return None;
    }
    let mut names = Vec::new();
    for item in items {
        let name: PartyName = item.parsed(NAMES)?;
        if names.contains(&name) {
            item.problem(
                format_args!("`{name}` stands there twice"),
                "name each provider once",
            );
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn threshold_of(item: &Item<'_>, providers: usize) -> Option<u16> {
    let most = u32::try_from(providers).unwrap_or(u32::MAX);
    let threshold = item.whole_u32(1, most)?;
    if threshold == 1 && most > 1 {
        item.problem(
            "with a threshold of 1 each provider alone knows the key",
            "write threshold = 2 or more, or name one provider alone",
        );
        return None;
    }
    u16::try_from(threshold).ok()
}

fn links_of(item: &Item<'_>, ids: Option<&[IdKind]>) -> Option<Vec<IdLink>> {
    const LINK: &str = "pair of kinds of id, such as { from = \"cookie\", to = \"email\" }";
    let items = item.list_of_some(LINK)?;
    if items.len() > MAX_LINKS {
        item.problem(
            "there are too many links",
            format_args!("name at most {MAX_LINKS}"),
        );
        return None;
    }
    let mut links: Vec<IdLink> = Vec::new();
    for item in items {
        let table = item.table()?;
        let from = table.need("from", LINK);
        let from = from.and_then(|item| kind_of(&item, ids?));
        let to = table.need("to", LINK).and_then(|item| kind_of(&item, ids?));
        table.close();
        let link = IdLink {
            from: from?,
            to: to?,
        };
        if link.from == link.to || links.contains(&link) {
            item.problem(
                "a link leads from one kind to another, and stands there once",
                "name two kinds of `ids`, or take it out",
            );
            return None;
        }
        links.push(link);
    }
    Some(links)
}

fn kind_of(item: &Item<'_>, ids: &[IdKind]) -> Option<IdKind> {
    let kind: IdKind = item.parsed("name one of the kinds in `ids`")?;
    if !ids.contains(&kind) {
        item.problem(format_args!("`{kind}` is none of `ids`"), kinds_known(ids));
        return None;
    }
    Some(kind)
}

/// Providers are parties that bring nothing, ask nothing, and can be told secrets.
pub(super) fn check(root: &Table<'_>, matching: &Matching, known: &Known<'_>) {
    let Some(providers) = &matching.providers else {
        return;
    };
    let Some(table) = root.get("matching").and_then(|item| item.table()) else {
        return;
    };
    if matching.reveals != Reveals::Nothing
        && let Some(item) = table.get("reveals")
    {
        item.problem(
            "through providers no party learns which of its ids others have",
            "write reveals = \"nothing\"",
        );
    }
    if let Some(item) = table.get("links") {
        between_owners(&item, known);
    }
    let Some(items) = table.get("providers").and_then(|item| item.list()) else {
        return;
    };
    for (item, name) in items.iter().zip(&providers.names) {
        if let Some((what, help)) = unfit(name, providers, known) {
            item.problem(what, help);
        }
    }
}

/// One owner tells a link, and another looks it up.
fn between_owners(item: &Item<'_>, known: &Known<'_>) {
    let specs = known.datasets.values();
    // One that could not be read says so itself.
    let Some(specs) = specs.map(Option::as_ref).collect::<Option<Vec<_>>>() else {
        return;
    };
    let private = specs.into_iter().filter(|spec| !spec.public);
    let owners: BTreeSet<_> = private.map(|spec| &spec.owner).collect();
    if owners.len() < 2 {
        item.problem(
            format_args!(
                "links are told by one owner of private data and looked up by another; here are {}",
                listed(&owners)
            ),
            "let another party own data too, or take `links` out",
        );
    }
}

/// Why a party cannot be a provider.
fn unfit(
    name: &PartyName,
    providers: &Providers,
    known: &Known<'_>,
) -> Option<(String, &'static str)> {
    let Some(party) = known.parties.get(name) else {
        return Some((
            format!("there is no party `{name}`"),
            "write a section such as [parties.alpha] with its keys and its address",
        ));
    };
    let mut specs = known.datasets.values().flatten();
    if specs.any(|spec| spec.owner == *name) {
        return Some((
            format!("provider `{name}` owns a data set"),
            "let another party be the provider: who has ids of its own would evaluate them without limit",
        ));
    }
    let party = party.as_ref()?;
    let asks = match &party.analysts {
        Analysts::Named(people) => !people.is_empty(),
        Analysts::Vouched => true,
    };
    if asks {
        return Some((
            format!("provider `{name}` has analysts"),
            "take its analysts out, or let another party be the provider",
        ));
    }
    (providers.names.len() > 1 && party.receives.is_none()).then(|| {
        (
            format!("provider `{name}` has no `receives`, which shares of the key are sealed to"),
            "write the line `x-wing ...` from its public.toml into its section",
        )
    })
}
