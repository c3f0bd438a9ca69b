//! The sections `[parties]` and `[room]`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use incamera_attest::{Accepted, Policy, TeeKind};
use incamera_keys::{PublicKey, ReceivePublicKey};
use incamera_types::limits::MAX_PARTIES;
use incamera_types::{AnalystName, Measurement, PartyName};

use crate::model::{Analysts, Party, RoomTerms};
use crate::reader::{Item, Named, Table};
use crate::url::ServiceUrl;

const KEY: &str = "write an OpenSSH Ed25519 public key, such as \"ssh-ed25519 AAAA...\"; \
                   `incamera init` makes one and prints it";
const RECEIVES: &str =
    "write the line `x-wing ...` from the party's public.toml, which `incamera init` makes";
const URL: &str = "write an address such as \"https://shop.example:7443\"";
/// The most people a party may declare.
const MAX_PEOPLE: u64 = 10_000_000_000;

/// All parties by name; `None` for one that could not be read.
pub(super) fn parties(root: &Table<'_>) -> BTreeMap<PartyName, Option<Party>> {
    let Some(item) = root.need("parties", super::SECTIONS) else {
        return BTreeMap::new();
    };
    let named = item.table().map(|table| table.named()).unwrap_or_default();
    if !(1..=MAX_PARTIES).contains(&named.len()) {
        item.problem(
            format_args!("an agreement has 1 to {MAX_PARTIES} parties"),
            "write a section such as [parties.shop] for each",
        );
    }
    let mut seen = Seen::default();
    let read = |named: Named<'_, PartyName>| {
        let party = named
            .item
            .table()
            .and_then(|table| party(&table, &mut seen));
        (named.name, party)
    };
    named.into_iter().map(read).collect()
}

/// The keys of the parties that were read.
#[derive(Default)]
struct Seen {
    keys: Vec<PublicKey>,
    receives: Vec<ReceivePublicKey>,
}

fn party(table: &Table<'_>, seen: &mut Seen) -> Option<Party> {
    let signs = table.need("signs", KEY);
    let signs = signs.and_then(|item| own_key(&item, KEY, &mut seen.keys));
    let service = table.need("service", KEY);
    let service = service.and_then(|item| own_key(&item, KEY, &mut seen.keys));
    let receives = match table.get("receives") {
        Some(item) => own_key(&item, RECEIVES, &mut seen.receives).map(Some),
        None => Some(None),
    };
    let url = table.need("url", URL).and_then(|item| item.parsed(URL));
    let people = match table.get("people") {
        Some(item) => item.whole(1, MAX_PEOPLE),
        None => Some(0),
    };
    let analysts = match table.get("analysts") {
        Some(item) => analysts(&item),
        None => Some(Analysts::Named(BTreeMap::new())),
    };
    table.close();
    Some(Party {
        signs: signs?,
        service: service?,
        receives: receives?,
        url: url?,
        people: people?,
        analysts: analysts?,
    })
}

/// A key of a party's own: one job and one party for each key.
fn own_key<K>(item: &Item<'_>, help: &str, seen: &mut Vec<K>) -> Option<K>
where
    K: Clone + PartialEq + FromStr<Err: fmt::Display>,
{
    let key: K = item.parsed(help)?;
    if seen.contains(&key) {
        item.problem(
            format_args!("`{}` is the key of another field", item.path),
            "each party has keys of its own, one for each job: make another",
        );
        return None;
    }
    seen.push(key.clone());
    Some(key)
}

fn analysts(item: &Item<'_>) -> Option<Analysts> {
    const HELP: &str =
        "write analysts = { ana = \"ssh-ed25519 AAAA...\" } or analysts = \"vouched\"";
    if item.is_text() {
        if item.text() == Some("vouched") {
            return Some(Analysts::Vouched);
        }
        item.problem("analysts are people with keys, or \"vouched\"", HELP);
        return None;
    }
    let key = |named: Named<'_, AnalystName>| Some((named.name, named.item.parsed(KEY)?));
    let people: Option<BTreeMap<_, _>> = item.table()?.named().into_iter().map(key).collect();
    Some(Analysts::Named(people?))
}

/// The room's address and the evidence that is accepted from it.
pub(super) fn room(table: &Table<'_>) -> Option<RoomTerms> {
    let url = table
        .need("url", URL)
        .and_then(|item| item.parsed::<ServiceUrl>(URL));
    let accept = table.need(
        "accept",
        "write a block [[room.accept]] with `tee` and `measurements` for each kind of TEE",
    );
    let policy = accept.and_then(|item| policy(&item));
    table.close();
    Some(RoomTerms {
        url: url?,
        policy: policy?,
    })
}

fn policy(item: &Item<'_>) -> Option<Policy> {
    let mut seen = Vec::new();
    let mut accepted = Some(Vec::new());
    for block in item.list_of_some("kind of TEE in a block [[room.accept]]")? {
        let one = block.table().and_then(|table| accept(&table, &mut seen));
        accepted = accepted.zip(one).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    match Policy::new(accepted?) {
        Ok(policy) => Some(policy),
        Err(error) => {
            item.problem(error, "mend the blocks [[room.accept]]");
            None
        }
    }
}

fn kind(item: &Item<'_>, seen: &mut Vec<TeeKind>, help: &str) -> Option<TeeKind> {
    let kind: TeeKind = item.parsed(help)?;
    if seen.contains(&kind) {
        item.problem(
            format_args!("there are two blocks for `{kind}`, and it would be unclear which holds"),
            "write one complete block for each kind of TEE",
        );
        return None;
    }
    seen.push(kind);
    Some(kind)
}

fn accept(table: &Table<'_>, seen: &mut Vec<TeeKind>) -> Option<Accepted> {
    const KINDS: &str =
        "kinds are simulated, sev-snp, tdx, sgx, nitro, confidential-space, azure-vtpm and tpm";
    const DIGEST: &str = "write the 64 hexadecimal digits that the room prints as its measurement";
    let tee = table.need("tee", KINDS);
    let kind = tee.and_then(|item| kind(&item, seen, KINDS));
    let measurements = table.need("measurements", DIGEST);
    let measurements = measurements.and_then(|item| {
        let items = item.list_of_some("measurement: an empty list would accept nothing")?;
        let read: Vec<Option<Measurement>> = items.iter().map(|item| item.parsed(DIGEST)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    let min_tcb = match table.get("min_tcb") {
        Some(item) => floors(&item),
        None => Some(BTreeMap::new()),
    };
    table.close();
    Some(Accepted {
        kind: kind?,
        measurements: measurements?,
        min_tcb: min_tcb?,
    })
}

fn floors(item: &Item<'_>) -> Option<BTreeMap<String, u64>> {
    let floor = |named: Named<'_, String>| Some((named.name, named.item.whole(0, u64::MAX)?));
    let table = item.table()?;
    let floors: Vec<_> = table.named().into_iter().map(floor).collect();
    floors.into_iter().collect()
}
