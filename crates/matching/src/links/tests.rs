use std::collections::BTreeSet;

use incamera_group::Scalar;
use incamera_oprf::suite::{finalize, hash_domain};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

mod alike;

const TODAY: i32 = 20_000;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn purpose(name: &str) -> PurposeName {
    name.parse().unwrap()
}

fn party(name: &str) -> PartyName {
    name.parse().unwrap()
}

fn class(names: &[&str]) -> ConsentClass {
    names.iter().map(|name| purpose(name)).collect()
}

fn terms() -> LinkTerms {
    LinkTerms {
        agreement_id: AgreementId::from_bytes([1; 32]),
        epoch: MatchingEpoch(3),
        from: "cookie".parse().unwrap(),
        to: "email".parse().unwrap(),
        purposes: class(&["ads", "measurement"]),
    }
}

fn key(number: u8) -> Scalar {
    Scalar::from_secret(b"links", &[number; 32])
}

/// `F(x)` under a key.
fn evaluated(key: &Scalar, text: &str) -> Output {
    let point = hash_domain().hash(text.as_bytes()).multiply(key);
    finalize(text.as_bytes(), &point.encode()).unwrap()
}

fn f(text: &str) -> Output {
    evaluated(&key(7), text)
}

fn pseudonym(number: u8) -> Pseudonym {
    Pseudonym::from_bytes([number; 16])
}

fn edge(number: u8, consent: &[&str], expires: i32) -> Edge {
    Edge {
        pseudonym: pseudonym(number),
        recorded: Date::from_days(TODAY - 30),
        consent: class(consent),
        expires: Date::from_days(TODAY + expires),
    }
}

/// What a source stores that goes by each purpose by itself, as one that does not keep to the rule
/// may: the reader looks at all of them.
fn entries(text: &str, edges: &[Edge]) -> Vec<Entry> {
    let mut rng = rng();
    let under = |purpose: &PurposeName| {
        let alone = LinkTerms {
            purposes: [purpose.clone()].into_iter().collect(),
            ..terms()
        };
        let made = alone.entries(&f(text), &party("shop"), edges, &mut rng);
        made.unwrap()
    };
    terms().purposes.iter().flat_map(under).collect()
}

type Asked<'a> = (&'a PurposeName, &'a PartyName, u64);

fn open(text: &str, asked: Asked<'_>, entry: &Entry) -> Result<Linked, LinkError> {
    terms().open(&f(text), asked, entry, Date::from_days(TODAY))
}

/// What a store has after an upload.
fn stored(entries: Vec<Entry>) -> BTreeMap<LinkLabel, Entry> {
    upload(
        entries,
        &terms().purposes,
        &mut ChaCha20Rng::seed_from_u64(2),
    )
}

/// All that a reader finds in a store for one id and purpose.
fn find(store: &BTreeMap<LinkLabel, Entry>, text: &str, for_purpose: &str) -> Vec<Linked> {
    let (asked, source) = (purpose(for_purpose), party("shop"));
    let numbers = 0..MAX_EDGES as u64;
    let stored = numbers.map(|number| {
        let label = terms().label(&f(text), &asked, &source, number);
        let entry = store.get(&label)?;
        Some(open(text, (&asked, &source, number), entry))
    });
    let found = stored.map_while(|found| found);
    found
        .filter(|found| !matches!(found, Err(LinkError::Expired { .. })))
        .map(Result::unwrap)
        .collect()
}

#[test]
fn an_evaluation_finds_what_the_source_stored() {
    let both = ["ads", "measurement"];
    let edges = [edge(1, &both, 5), edge(2, &["ads"], 9)];
    let store = stored(entries("x", &edges));
    let ads: Vec<_> = find(&store, "x", "ads")
        .iter()
        .map(|l| l.pseudonym)
        .collect();
    // What counts longest is first.
    assert_eq!(ads, [pseudonym(2), pseudonym(1)]);
    let measurement = find(&store, "x", "measurement");
    let recorded = Date::from_days(TODAY - 30);
    assert_eq!(
        measurement,
        [Linked {
            pseudonym: pseudonym(1),
            recorded,
            expires: Date::from_days(TODAY + 5),
        }]
    );
    assert!(find(&store, "y", "ads").is_empty());
}

/// What a provider has: an entry for each owner that stored one under a label.
type Stored = Vec<Entry>;

/// All that comes of ids, looked up in rounds at several providers, of whom a threshold is two.
fn asked_of(providers: &[Stored], ids: &[&str]) -> (Vec<Resolved>, Passed, Vec<usize>) {
    let (terms, outputs) = (terms(), ids.iter().map(|x| f(x)).collect::<Vec<_>>());
    let mut lookups = Lookups::new(&terms, &outputs, &[party("mailer"), party("shop")]);
    let mut rounds = Vec::new();
    loop {
        let labels = lookups.round(&mut rng());
        if labels.is_empty() {
            let (found, passed) = lookups.finish();
            return (found, passed, rounds);
        }
        rounds.push(labels.len());
        let named = ["alpha", "beta", "delta", "gamma"].map(party).into_iter();
        let answers = named.zip(providers).map(|(name, stored)| {
            let wanted = stored.iter().filter(|entry| labels.contains(&entry.label));
            (name, wanted.cloned().collect::<Vec<_>>())
        });
        let needed = (providers.len() / 2 + 1).max(2);
        lookups.answered(answers, needed, Date::from_days(TODAY));
    }
}

/// The same where all providers have the same.
fn looked_up(store: &BTreeMap<LinkLabel, Entry>, ids: &[&str]) -> (Vec<Resolved>, Vec<usize>) {
    let stored: Stored = store.values().cloned().collect();
    let (found, passed, rounds) = asked_of(&[stored.clone(), stored.clone(), stored], ids);
    assert_eq!(passed, Passed::default());
    (found, rounds)
}

fn one(number: u8, until: i32) -> Resolved {
    Resolved::One(pseudonym(number), Date::from_days(TODAY + until))
}

/// M6: whoever can compute a label may store under it first, and a store may change what it
/// has. Neither hides the source's own, nor breaks the run.
#[test]
fn foreign_and_spoilt_entries_hide_and_break_nothing() {
    let both = ["ads", "measurement"];
    let edges = [edge(1, &both, 5), edge(2, &both, 9)];
    let honest: Stored = [entries("x", &edges[..1]), entries("y", &edges)].concat();
    let mut stored = honest.clone();
    let (terms, mailer) = (terms(), party("mailer"));
    // The mailer has `x` too, and puts its own first under the shop's labels: what opens for it,
    // and what opens for nobody.
    let false_edge = edge(9, &both, 90);
    for (mine, value) in [(0, true), (1, false)] {
        let shops = honest[mine].clone();
        let value = match value {
            true => seal(&f("x"), shops.label, &false_edge, &mut rng()),
            false => vec![7; VALUE_BYTES],
        };
        let source = mailer.clone();
        stored.insert(
            0,
            Entry {
                source,
                value,
                ..shops
            },
        );
    }
    let threefold = |stored: &Stored| [stored.clone(), stored.clone(), stored.clone()];
    let (found, passed, _) = asked_of(&threefold(&stored), &["x", "y"]);
    assert_eq!(found, [one(1, 5), Resolved::Ambiguous]);
    assert_eq!(
        (passed.foreign, passed.spoilt, passed.at_too_few),
        (6, 0, 0)
    );
    // Everywhere the first edge of `y` is spoilt under one purpose: the second is found behind
    // it, and the id does not become one with one pseudonym by it: both stand under all.
    let mut spoilt = honest.clone();
    let first = terms.label(&f("y"), &purpose("ads"), &party("shop"), 0);
    let at = spoilt
        .iter()
        .position(|entry| entry.label == first)
        .unwrap();
    spoilt[at].value[50] ^= 1;
    let (found, passed, _) = asked_of(&threefold(&spoilt), &["x", "y"]);
    assert_eq!(found, [one(1, 5), one(1, 5)]);
    assert_eq!(
        (passed.foreign, passed.spoilt, passed.at_too_few),
        (0, 1, 0)
    );
    // What nobody asked for.
    let mut lookups_of = honest.clone();
    lookups_of.extend(entries("elsewhere", &edges));
    let outputs = [f("x")];
    let mut lookups = Lookups::new(&terms, &outputs, &[party("shop")]);
    lookups.answered([(party("alpha"), lookups_of)], 1, Date::from_days(TODAY));
    let foreign = lookups.finish().1.foreign;
    assert_eq!(foreign, 4 + 4, "entries of `y` and of `elsewhere`");
}

#[test]
fn one_pseudonym_under_all_purposes_is_a_link() {
    let both = ["ads", "measurement"];
    let mut all = Vec::new();
    for (x, edges) in [
        ("one", vec![edge(1, &both, 5)]),
        ("told twice", vec![edge(2, &both, 5), edge(2, &both, 9)]),
        ("two", vec![edge(3, &both, 5), edge(4, &both, 5)]),
        // I3: to measurement the person did not agree, and the crosswalk serves it too.
        ("in part", vec![edge(5, &["ads"], 5)]),
        (
            "in part and whole",
            vec![edge(6, &["ads"], 5), edge(7, &both, 5)],
        ),
        // The store keeps it until the week ends; who reads it does not take it.
        ("over", vec![edge(8, &both, -1)]),
        ("over and not", vec![edge(9, &both, 3), edge(10, &both, -1)]),
        // Under one purpose longer than under the other.
        (
            "longer in part",
            vec![edge(11, &["ads"], 60), edge(11, &both, 2)],
        ),
    ] {
        all.extend(entries(x, &edges));
    }
    let store = stored(all);
    let asked = [
        "one",
        "told twice",
        "two",
        "in part",
        "in part and whole",
        "over",
        "over and not",
        "longer in part",
        "none",
    ];
    let (found, rounds) = looked_up(&store, &asked);
    assert_eq!(
        found,
        [
            one(1, 5),
            // As long as one of the two stands.
            one(2, 9),
            Resolved::Ambiguous,
            Resolved::None,
            one(7, 5),
            Resolved::None,
            one(9, 3),
            one(11, 2),
            Resolved::None,
        ]
    );
    // All ids, purposes and sources in the first; then what went on: eight chains under ads and
    // seven under measurement; then those with a second entry.
    assert_eq!(rounds, [9 * 2 * 2, 8 + 7, 5 + 3]);
}

#[test]
fn rounds_are_in_no_order_and_take_what_was_asked_alone() {
    let terms = terms();
    let ids: Vec<_> = (0..40).map(|n| f(&n.to_string())).collect();
    let lookups = Lookups::new(&terms, &ids, &[party("shop")]);
    let asked = lookups.round(&mut rng());
    let in_order: Vec<_> = ids
        .iter()
        .flat_map(|x| {
            terms
                .purposes
                .iter()
                .map(|p| terms.label(x, p, &party("shop"), 0))
        })
        .collect();
    assert_ne!(asked, in_order);
    // As many labels of one id stand side by side as by chance: about one in forty.
    let of = |label: &LinkLabel| in_order.iter().position(|l| l == label).unwrap() / 2;
    let beside = asked
        .array_windows()
        .filter(|[a, b]| of(a) == of(b))
        .count();
    assert!(beside < 8, "{beside}");
    let sorted: Vec<_> = asked.iter().collect::<BTreeSet<_>>().into_iter().collect();
    assert_ne!(asked.iter().collect::<Vec<_>>(), sorted);
    let mut lookups = lookups;
    lookups.answered([], 1, Date::from_days(TODAY));
    assert!(lookups.round(&mut rng()).is_empty());
}

/// What came in one upload tells no more of a week and purpose than some multiple.
#[test]
fn uploads_are_padded_for_each_purpose_and_week() {
    let edges = [edge(1, &["ads"], 5), edge(2, &["ads"], 40)];
    let store = stored(entries("x", &edges));
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for entry in store.values() {
        assert_eq!(entry.value.len(), VALUE_BYTES);
        let last = entry.expires.days();
        assert_eq!(last.rem_euclid(7), 6, "the last day of a week");
        *counts.entry((entry.purpose.clone(), last)).or_default() += 1;
    }
    assert_eq!(counts.len(), 2 * 2, "under each purpose in each week");
    assert!(
        counts.values().all(|count| *count == PADDED_TO),
        "{counts:?}"
    );
    let many: Vec<_> = (0..33)
        .map(|n| entries(&n.to_string(), &edges[..1]))
        .collect();
    let store = stored(many.into_iter().flatten().collect());
    assert_eq!(store.len(), 2 * PADDED_TO + PADDED_TO);
    assert!(stored(Vec::new()).is_empty());
    // What counts to a day stays until the week of it ends, and not one day longer.
    for (day, week) in [(0, 6), (6, 6), (7, 13), (-1, -1), (-7, -1), (-8, -8)] {
        assert_eq!(end_of_week(Date::from_days(day)), Date::from_days(week));
    }
}

#[test]
fn i3_no_entry_exists_unless_its_person_agreed_to_every_purpose() {
    let of = |consent: &[&str]| -> Vec<_> {
        let edges = [edge(1, consent, 5), edge(2, &["ads"], 9)];
        let made = terms().entries(&f("x"), &party("shop"), &edges, &mut rng());
        let named = made.unwrap().into_iter();
        named.map(|e| e.purpose.as_str().to_owned()).collect()
    };
    assert_eq!(of(&["ads", "measurement"]), ["ads", "measurement"]);
    assert_eq!(
        of(&["ads", "measurement", "safety"]),
        ["ads", "measurement"]
    );
    // In part: its value would have the pseudonym that serves all purposes. A purpose that the
    // agreement lacks, and none.
    for consent in [&["ads"][..], &["measurement"], &["ads", "safety"], &[]] {
        assert_eq!(of(consent), [""; 0], "{consent:?}");
    }
    // Nor does the entry of one purpose open as that of another.
    let entry = Entry {
        purpose: purpose("measurement"),
        ..entries("x", &[edge(1, &["ads"], 5)]).remove(0)
    };
    let refused = open("x", (&purpose("measurement"), &party("shop"), 0), &entry);
    assert_eq!(refused, Err(LinkError::NotAsked));
}

#[test]
fn what_is_over_leaves_no_gap_when_the_store_drops_it() {
    let edges = [
        edge(1, &["ads"], -1),
        edge(2, &["ads"], 3),
        edge(3, &["ads"], 0),
    ];
    let mut store = stored(entries("x", &edges));
    store.retain(|_, entry| entry.expires >= Date::from_days(TODAY));
    let found: Vec<_> = find(&store, "x", "ads")
        .iter()
        .map(|l| l.pseudonym)
        .collect();
    assert_eq!(found, [pseudonym(2), pseudonym(3)]);
}

#[test]
fn a_reader_believes_nothing_that_was_changed_or_is_over() {
    let (ads, shop) = (purpose("ads"), party("shop"));
    let asked = (&ads, &shop, 0);
    let entry = entries("x", &[edge(1, &["ads"], 5)]).remove(0);
    assert!(open("x", asked, &entry).is_ok());
    let changed = |change: &dyn Fn(&mut Entry)| {
        let mut entry = entry.clone();
        change(&mut entry);
        open("x", asked, &entry).unwrap_err()
    };
    let by_shop = LinkError::Changed { from: shop.clone() };
    // A store that gives out longer what the source bounded.
    let longer = Date::from_days(TODAY + 500);
    assert_eq!(changed(&|entry| entry.expires = longer), by_shop);
    assert_eq!(changed(&|entry| entry.value[40] ^= 1), by_shop);
    assert_eq!(changed(&|entry| entry.value.truncate(20)), by_shop);
    let other = entries("y", &[edge(1, &["ads"], 5)]).remove(0);
    assert_eq!(
        changed(&|entry| entry.value.clone_from(&other.value)),
        by_shop
    );
    assert_eq!(
        changed(&|entry| entry.source = party("mailer")),
        LinkError::NotAsked
    );
    assert_eq!(
        changed(&|entry| entry.label = other.label),
        LinkError::NotAsked
    );
    let refused = open("x", (&ads, &shop, 1), &entry);
    assert_eq!(refused, Err(LinkError::NotAsked));
    let safety = purpose("safety");
    let refused = open("x", (&safety, &shop, 0), &entry);
    assert_eq!(refused, Err(LinkError::Purpose { purpose: safety }));
    let stale = entries("x", &[edge(1, &["ads"], -1)]).remove(0);
    assert!(stale.expires >= Date::from_days(TODAY));
    let expires = Date::from_days(TODAY - 1);
    assert_eq!(
        open("x", asked, &stale),
        Err(LinkError::Expired { expires })
    );
    let last_day = entries("x", &[edge(1, &["ads"], 0)]).remove(0);
    assert!(open("x", asked, &last_day).is_ok());
}

#[test]
fn no_more_edges_than_are_looked_for() {
    let both = ["ads", "measurement"];
    let many = |count: u8| (0..count).map(|n| edge(n, &both, 5)).collect::<Vec<_>>();
    let made = |count| terms().entries(&f("x"), &party("shop"), &many(count), &mut rng());
    assert_eq!(made(8).map(|entries| entries.len()), Ok(2 * 8));
    assert_eq!(made(9), Err(LinkError::TooMany { found: 9 }));
}

#[test]
fn every_term_is_in_the_label() {
    let label = |terms: &LinkTerms| terms.label(&f("x"), &purpose("ads"), &party("shop"), 0);
    let t = terms;
    let others = [
        LinkTerms {
            agreement_id: AgreementId::from_bytes([2; 32]),
            ..t()
        },
        LinkTerms {
            epoch: MatchingEpoch(4),
            ..t()
        },
        LinkTerms {
            from: "phone".parse().unwrap(),
            ..t()
        },
        LinkTerms {
            to: "phone".parse().unwrap(),
            ..t()
        },
    ];
    let mut labels: BTreeSet<_> = others.iter().map(label).collect();
    labels.insert(label(&t()));
    labels.insert(t().label(&f("y"), &purpose("ads"), &party("shop"), 0));
    labels.insert(t().label(&f("x"), &purpose("measurement"), &party("shop"), 0));
    labels.insert(t().label(&f("x"), &purpose("ads"), &party("mailer"), 0));
    labels.insert(t().label(&f("x"), &purpose("ads"), &party("shop"), 1));
    assert_eq!(labels.len(), 9);
}

/// People with three edges each, two of which have one pseudonym, from two sources.
fn dump() -> (Vec<String>, BTreeMap<LinkLabel, Entry>) {
    let people: Vec<_> = (0..120).map(|number| format!("cookie-{number}")).collect();
    let mut rng = rng();
    let mut all = Vec::new();
    for (number, x) in (0_u8..).zip(&people) {
        let both = ["ads", "measurement"];
        // Each id's edges are over on days that few others have: days would join its entries.
        let day = i32::from(number % 30);
        let edges = [
            edge(number, &both, day),
            edge(number, &both, day),
            edge(number + 120, &both, day),
        ];
        for source in ["shop", "mailer"] {
            let made = terms().entries(&f(x), &party(source), &edges, &mut rng);
            all.extend(made.unwrap());
        }
    }
    assert_eq!(all.len(), 120 * 2 * (3 + 3));
    let labels: BTreeSet<_> = all.iter().map(|entry| entry.label).collect();
    assert_eq!(labels.len(), all.len(), "a label stands for one entry");
    let store = stored(all);
    (people, store)
}

/// Everything that one provider stores, in the hands of somebody who knows all ids, all terms
/// and the shares of fewer than `t` providers.
#[test]
fn what_a_provider_stores_links_nothing() {
    let (people, store) = dump();
    // Nothing is in order but labels, all values have one length, and no eight bytes of a
    // label or value occur twice: there is nothing to join two entries by.
    let mut windows = BTreeSet::new();
    let mut all = 0;
    for (label, entry) in &store {
        assert_eq!((label, entry.value.len()), (&entry.label, VALUE_BYTES));
        for window in label.as_bytes().windows(8).chain(entry.value.windows(8)) {
            windows.insert(window);
            all += 1;
        }
    }
    assert_eq!(windows.len(), all);
    // What stands in clear beside them is one of few values, each of many entries: no more than
    // one purpose, source and week of an edge.
    let mut groups: BTreeMap<_, usize> = BTreeMap::new();
    for entry in store.values() {
        *groups
            .entry((&entry.purpose, &entry.source, entry.expires))
            .or_default() += 1;
    }
    assert!(
        groups.values().all(|size| size.is_multiple_of(PADDED_TO)),
        "{groups:?}"
    );
    assert!(groups.len() <= 24, "{groups:?}");
    // No pseudonym, no id and nothing that was evaluated stands in an entry.
    let secrets = (0..240).map(|number| pseudonym(number).as_bytes()[..8].to_vec());
    let ids = people.iter().map(|x| x.as_bytes()[..8].to_vec());
    let outputs = people.iter().flat_map(|x| {
        let output = f(x);
        output
            .as_bytes()
            .chunks(8)
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    });
    for secret in secrets.chain(ids).chain(outputs) {
        assert!(!windows.contains(secret.as_slice()));
    }
    // A dictionary of all ids, with what such a provider may take for the key: its share, the
    // share times what it counts, none. The control: with the key, all is there.
    let two = Scalar::from_number(2.try_into().unwrap());
    let shares = [key(8), key(8).multiply(&two), key(9)];
    for guessed in &shares {
        assert_eq!(found_with(&people, &store, guessed), 0);
        // Nor does a value open with its label, which the store has, and another F.
        let wrong = evaluated(guessed, &people[0]);
        assert!(
            store
                .values()
                .all(|entry| super::open(&wrong, entry).is_none())
        );
    }
    assert_eq!(found_with(&people, &store, &key(7)), 120 * 2 * (3 + 3));
}

/// How many entries a dictionary finds and opens under a key.
fn found_with(people: &[String], store: &BTreeMap<LinkLabel, Entry>, key: &Scalar) -> usize {
    let mut found = 0;
    for x in people {
        let output = evaluated(key, x);
        for source in ["shop", "mailer"].map(party) {
            for purpose in terms().purposes.iter() {
                let labels = (0..MAX_EDGES as u64).map(|number| {
                    let label = terms().label(&output, purpose, &source, number);
                    let entry = store.get(&label)?;
                    let asked = (purpose, &source, number);
                    terms()
                        .open(&output, asked, entry, Date::from_days(TODAY))
                        .ok()
                });
                found += labels.flatten().count();
            }
        }
    }
    found
}
