//! What stands in a store of links, and look-ups in one that answers what it likes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use incamera_group::EncodedPoint;
use incamera_keys::{Secret32, aead};
use incamera_matching::links::{Edge, Entry, LinkTerms, Lookups, MAX_EDGES, Passed, Resolved};
use incamera_oprf::suite::{Output, finalize};
use incamera_types::{
    AgreementId, Date, Digest as _, LinkLabel, MatchingEpoch, PartyName, Pseudonym,
};

use crate::parts::{array, take};
use crate::providers::{instead, rng};
use crate::reach::reached;

fn link_terms() -> LinkTerms {
    LinkTerms {
        agreement_id: AgreementId::from_bytes([1; 32]),
        epoch: MatchingEpoch(3),
        from: "cookie".parse().unwrap(),
        to: "email".parse().unwrap(),
        purposes: ["ads".parse().unwrap()].into_iter().collect(),
    }
}

fn evaluated_of(id: &[u8]) -> Output {
    finalize(id, &EncodedPoint::from_bytes([8; 32])).unwrap()
}

fn evaluated() -> Output {
    evaluated_of(b"c77")
}

/// The key of a value, made as its format says.
fn value_key(entry: &Entry) -> Secret32 {
    let name = "incamera-link-value/1";
    let mac = Hmac::<sha2::Sha256>::new_from_slice(evaluated().as_bytes()).unwrap();
    let mac = mac.chain_update([name.len() as u8]).chain_update(name);
    let mac = mac.chain_update(entry.label);
    Secret32::from_bytes(mac.finalize().into_bytes().into())
}

/// A link that a store changed (an even first byte: the day, then the value), or that its source
/// made of anything (an odd one).
pub fn link(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let terms = link_terms();
    let (purpose, source) = ("ads".parse().unwrap(), "shop".parse().unwrap());
    let edge = Edge {
        pseudonym: Pseudonym::from_bytes([6; 16]),
        recorded: Date::from_days(20_000),
        consent: ["ads".parse().unwrap()].into_iter().collect(),
        expires: Date::from_days(20_100),
    };
    let made = terms.entries(&evaluated(), &source, &[edge], &mut rng(6));
    let honest = made.unwrap().remove(0);
    let mut entry = honest.clone();
    let mut rest = rest;
    if let Some((days, after)) = rest.split_first_chunk::<4>() {
        entry.expires = Date::from_days(i32::from_be_bytes(*days));
        rest = after;
    }
    let by_source = how & 1 == 1;
    entry.value = match by_source {
        false => instead(&honest.value, how >> 1, rest),
        true => {
            let days = entry.expires.days().to_be_bytes();
            let bound = [entry.label.as_bytes().as_slice(), &days].concat();
            aead::seal(&value_key(&entry), &bound, rest, &mut rng(7))
        }
    };
    let asked = (&purpose, &source, 0);
    let today = Date::from_days(20_050);
    let opened = terms.open(&evaluated(), asked, &entry, today);
    if opened.is_ok() {
        assert!(entry.expires >= today);
        assert!(by_source || entry == honest, "the store made a link");
        reached(if by_source { "made" } else { "stored" });
    }
    assert!(
        terms
            .open(&evaluated(), (&purpose, &source, 1), &entry, today)
            .is_err()
    );
    while let Some(label) = take(&mut rest) {
        if let Ok(label) = <[u8; 32]>::try_from(label) {
            let other = Entry {
                label: LinkLabel::from_bytes(label),
                ..honest.clone()
            };
            let opened = terms.open(&evaluated(), asked, &other, today);
            assert!(opened.is_err() || other == honest);
        }
    }
}

/// Ids of the look-ups: one link, two that differ, none.
const IDS: [&[u8]; 3] = [b"c77", b"c78", b"c79"];

/// What the store has: of each label its entry.
struct Stored {
    terms: LinkTerms,
    source: PartyName,
    evaluated: Vec<Output>,
    entries: BTreeMap<LinkLabel, Entry>,
}

static STORED: LazyLock<Stored> = LazyLock::new(|| {
    let terms = LinkTerms {
        purposes: ["ads", "mail"]
            .map(|p| p.parse().unwrap())
            .into_iter()
            .collect(),
        ..link_terms()
    };
    let source: PartyName = "shop".parse().unwrap();
    let edge = |pseudonym: u8, days: i32| Edge {
        pseudonym: Pseudonym::from_bytes([pseudonym; 16]),
        recorded: Date::from_days(20_000),
        consent: terms.purposes.clone(),
        expires: Date::from_days(days),
    };
    let edges = [
        vec![edge(1, 20_100), edge(9, 20_010)],
        vec![edge(2, 20_100), edge(3, 20_090)],
        vec![],
    ];
    let evaluated: Vec<Output> = IDS.map(evaluated_of).into();
    let made = evaluated
        .iter()
        .zip(&edges)
        .flat_map(|(of, edges)| terms.entries(of, &source, edges, &mut rng(6)).unwrap());
    let entries = made.map(|entry| (entry.label, entry)).collect();
    Stored {
        terms,
        source,
        evaluated,
        entries,
    }
});

/// What an instruction makes of the answer to a label.
fn answered(kind: u8, label: LinkLabel, rest: &mut &[u8]) -> Option<Entry> {
    let stored = STORED.entries.get(&label).cloned();
    match kind % 5 {
        0 => stored,
        1 => None,
        2 => {
            let [which] = array(rest);
            let others = STORED.entries.values();
            others.cycle().nth(usize::from(which)).cloned()
        }
        3 => {
            let ([which], mut entry) = (array(rest), stored?);
            let other = STORED.entries.values().cycle().nth(usize::from(which))?;
            entry.value.clone_from(&other.value);
            Some(entry)
        }
        _ => {
            let mut entry = stored?;
            entry.value = instead(&entry.value, 0, rest.get(..3)?);
            entry.expires = Date::from_days(i32::from_be_bytes(array(rest)));
            Some(entry)
        }
    }
}

/// An instruction for each label of each round. A store can leave out, and nothing else, also
/// where it is the only one that is asked: what is found is what its source stored of that id,
/// and without instructions all of it.
pub fn lookups(data: &[u8]) {
    let (mut rest, mut rng, today) = (data, rng(8), Date::from_days(20_050));
    let provider: PartyName = "alpha".parse().unwrap();
    let mut lookups = Lookups::new(
        &STORED.terms,
        &STORED.evaluated,
        std::slice::from_ref(&STORED.source),
    );
    let mut honest = true;
    for number in 0.. {
        let mut labels = lookups.round(&mut rng);
        labels.sort_unstable();
        if labels.is_empty() {
            break;
        }
        assert!(number < MAX_EDGES && labels.len() <= IDS.len() * 2);
        let mut entries = Vec::new();
        for label in labels {
            let [kind] = array(&mut rest);
            let answer = answered(kind, label, &mut rest);
            honest &= answer.as_ref() == STORED.entries.get(&label);
            entries.extend(answer);
        }
        lookups.answered([(provider.clone(), entries)], 1, today);
    }
    let (resolved, passed) = lookups.finish();
    assert!(!honest || passed == Passed::default());
    found(&resolved, honest);
}

fn found(resolved: &[Resolved], honest: bool) {
    let one = |number: u8, days: i32| {
        Resolved::One(Pseudonym::from_bytes([number; 16]), Date::from_days(days))
    };
    let first = one(1, 20_100);
    assert!([Resolved::None, first].contains(&resolved[0]));
    let second = [one(2, 20_100), one(3, 20_090)];
    let fewer = [Resolved::None, Resolved::Ambiguous];
    assert!(second.contains(&resolved[1]) || fewer.contains(&resolved[1]));
    assert_eq!(resolved[2], Resolved::None);
    if honest {
        assert_eq!(resolved[..2], [first, Resolved::Ambiguous]);
        reached("all found");
    }
}
