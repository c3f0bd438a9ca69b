//! A dictionary undoes hashes, and nothing that leaves a party or is sealed.
//!
//! The attacker has a wordlist with everybody in it, the agreement (so every label), and what a
//! counterparty has: all messages of a run, its own lasting secret and pseudonyms. For each word
//! it makes whatever can be made without the other side's secret, and looks for it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use incamera_group::{HashDomain, Scalar};
use incamera_keys::{MatchingKey, Secret32};
use incamera_matching::alone::Alone;
use incamera_matching::{Reveals, Terms};
use incamera_types::Pseudonym;
use incamera_wire::v1::MatchMessage;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::side::{self, mailer, shop};

/// People whom the attacker tries.
const WORDS: usize = 100_000;
/// People in the party's data: all of them are in the wordlist.
const PEOPLE: usize = 200;
/// What is looked for: the first half of anything longer.
const KEPT: usize = 16;

type Needle = [u8; KEPT];

fn wordlist() -> Vec<String> {
    let hosts = ["mail", "post", "web", "home", "work"];
    let word = |n: usize| format!("person{n}@{}.example", hosts[n % hosts.len()]);
    (0..WORDS).map(word).collect()
}

/// The data: some of the words.
fn people(words: &[String]) -> Vec<String> {
    words
        .iter()
        .step_by(WORDS / PEOPLE)
        .take(PEOPLE)
        .cloned()
        .collect()
}

fn needle(bytes: &[u8]) -> Needle {
    bytes[..KEPT].try_into().unwrap()
}

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// Fields behind their length in one byte, as the documentation of `terms` says.
fn prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let field = |field: &&[u8]| [&[field.len() as u8], *field].concat();
    fields.iter().flat_map(field).collect()
}

/// What is public of the terms behind a label.
fn labelled(terms: &Terms, label: &str, more: bool) -> Vec<u8> {
    let epoch = terms.epoch.0.to_be_bytes();
    let mut fields: Vec<&[u8]> = vec![
        label.as_bytes(),
        terms.agreement_id.as_ref(),
        &epoch,
        terms.id_kind.as_str().as_bytes(),
    ];
    if more {
        fields.push(terms.method.as_str().as_bytes());
        fields.push(terms.reveals.as_str().as_bytes());
    }
    prefixed(&fields)
}

/// What hashing alone makes of an id.
fn plain_hashes(word: &str) -> Vec<Needle> {
    let hash = sha(&[word.as_bytes()]);
    vec![
        needle(&hash),
        needle(hex::encode(hash).as_bytes()),
        needle(&sha(&[&hash])),
    ]
}

/// The pseudonyms, the tags and the points that an id has if the secrets are all of `secrets`.
fn evaluated(terms: &Terms, word: &str, secrets: &[Scalar]) -> Vec<Needle> {
    let domain = HashDomain::new(&labelled(terms, "incamera-matching-hash/1", true)).unwrap();
    let mut point = domain.hash(word.as_bytes());
    for secret in secrets {
        point = point.multiply(secret);
    }
    let point = point.encode();
    let tag_label = labelled(terms, "incamera-matching-tag/1", false);
    let tag = sha(&[&tag_label, point.as_bytes()]);
    let info = labelled(terms, "", false)[1..].to_vec();
    let pseudonym = |material: &[u8]| {
        let extracted = mac(b"incamera-pseudonym/1", material);
        needle(&mac(&extracted, &[&info[..], &[1]].concat()))
    };
    vec![
        needle(point.as_bytes()),
        needle(&tag),
        pseudonym(point.as_bytes()),
        pseudonym(&tag[..KEPT]),
    ]
}

/// The scalar of a party's lasting secret, as `crate::side` makes it of a byte.
fn lasting(terms: &Terms, byte: u8) -> Scalar {
    Scalar::from_secret(
        &labelled(terms, "incamera-matching-secret/1", true),
        &[byte; 32],
    )
}

/// How many of the words something is seen of.
fn undone<'w>(
    words: impl Iterator<Item = &'w String>,
    seen: &HashSet<Needle>,
    guess: impl Fn(&str) -> Vec<Needle>,
) -> usize {
    words
        .filter(|word| guess(word).iter().any(|needle| seen.contains(needle)))
        .count()
}

fn of_pseudonyms<'p>(pseudonyms: impl IntoIterator<Item = &'p Pseudonym>) -> HashSet<Needle> {
    let bytes = |pseudonym: &Pseudonym| *pseudonym.as_bytes();
    pseudonyms.into_iter().map(bytes).collect()
}

/// Every 16 bytes that stand one after the other in something.
fn windows(bytes: &[u8]) -> impl Iterator<Item = Needle> {
    bytes.windows(KEPT).map(needle)
}

#[test]
fn i1_a_dictionary_undoes_a_column_of_hashes_in_a_second() {
    let words = wordlist();
    let column: HashSet<Needle> = people(&words)
        .iter()
        .map(|id| needle(&sha(&[id.as_bytes()])))
        .collect();
    let attack = || {
        let start = Instant::now();
        let hash = |word: &str| vec![needle(&sha(&[word.as_bytes()]))];
        (undone(words.iter(), &column, hash), start.elapsed())
    };
    // The best of a few: the machine does other things too.
    let (undone, time) = (0..5).map(|_| attack()).min_by_key(|run| run.1).unwrap();
    assert_eq!(undone, PEOPLE);
    assert!(time < Duration::from_secs(1), "{time:?}");
}

#[test]
fn i1_no_dictionary_undoes_pseudonyms_that_a_party_makes_alone() {
    let words = wordlist();
    let terms = side::terms(Reveals::Nothing);
    let alone = |byte: u8| {
        let key = MatchingKey::from(Secret32::from_bytes([byte; 32]));
        Alone::new(&key, &terms.agreement_id, terms.epoch, &terms.id_kind)
    };
    let owner = alone(77);
    let pseudonyms: Vec<Pseudonym> = people(&words)
        .iter()
        .map(|id| owner.pseudonym(id))
        .collect();
    let seen = of_pseudonyms(&pseudonyms);
    let with_key = |byte: u8| {
        let guessed = alone(byte);
        undone(words.iter(), &seen, |word| {
            vec![*guessed.pseudonym(word).as_bytes()]
        })
    };
    let label = b"incamera-pseudonym-alone/1";
    let keyless = |word: &str| {
        let mut all = plain_hashes(word);
        all.push(needle(&mac(&[0; 32], word.as_bytes())));
        all.push(needle(&mac(label, word.as_bytes())));
        all.push(needle(&mac(terms.agreement_id.as_ref(), word.as_bytes())));
        all
    };
    assert_eq!(undone(words.iter(), &seen, keyless), 0);
    assert_eq!((with_key(0), with_key(78)), (0, 0));
    // The same search with the owner's key finds everybody: it is no blind one.
    assert_eq!(with_key(77), PEOPLE);
}

/// What the shop has after a run with the mailer: the messages of both, and a journal's worth of
/// values. Its ids are nobody of the mailer's people.
struct Seen {
    frames: HashSet<Needle>,
    pseudonyms: HashSet<Needle>,
}

fn run(reveals: Reveals, people: &[String]) -> Seen {
    let (mut a, b) = (mailer(reveals, &[]), shop(reveals, &["x", "y"]));
    a.ids = people.to_vec();
    let (mut a, mut b) = (a.start(), b.start());
    let mut frames = HashSet::new();
    let mut hear = |message: &MatchMessage| frames.extend(windows(&message.encode_to_vec()));
    loop {
        let mut moved = false;
        while let Some(message) = a.exchange.outgoing() {
            hear(&message);
            b.incoming(message).unwrap();
            moved = true;
        }
        while let Some(message) = b.exchange.outgoing() {
            hear(&message);
            a.incoming(message).unwrap();
            moved = true;
        }
        if !moved {
            break;
        }
    }
    // What the shop's journal keeps about the mailer's points counts as seen too.
    frames.extend(b.journal.theirs.iter().copied());
    Seen {
        frames,
        pseudonyms: of_pseudonyms(a.crosswalk().values()),
    }
}

/// Words enough to hold all people, few enough for points one by one.
fn short_list(words: &[String], people: &[String]) -> Vec<String> {
    let others = words.iter().skip(1).step_by(WORDS / PEOPLE).cloned();
    people.iter().cloned().chain(others).collect()
}

#[test]
fn i1_i2_no_dictionary_undoes_what_a_counterparty_sees() {
    let words = wordlist();
    let people = people(&words);
    let few = short_list(&words, &people);
    for reveals in [Reveals::Nothing, Reveals::OwnMatches] {
        let terms = side::terms(reveals);
        let Seen { frames, pseudonyms } = run(reveals, &people);
        let seen: HashSet<Needle> = frames.union(&pseudonyms).copied().collect();
        assert_eq!(undone(words.iter(), &seen, plain_hashes), 0);
        let (mine, other) = (lasting(&terms, 4), lasting(&terms, 3));
        let with = |secrets: &[Scalar], seen: &HashSet<Needle>| {
            undone(few.iter(), seen, |word| evaluated(&terms, word, secrets))
        };
        assert_eq!(with(&[], &seen), 0, "unblinded points");
        assert_eq!(with(std::slice::from_ref(&mine), &seen), 0, "own secret");
        // With the secrets of both the search finds everybody: it looks for the right things.
        assert_eq!(with(&[mine, other], &pseudonyms), PEOPLE);
    }
}

/// The search sees ids that travel as points that are not blinded: what `r = 1` would send.
#[test]
fn unblinded_points_would_be_found() {
    let words = wordlist();
    let people = people(&words);
    let terms = side::terms(Reveals::Nothing);
    let frame: Vec<u8> = people
        .iter()
        .flat_map(|id| {
            let label = labelled(&terms, "incamera-matching-hash/1", true);
            let point = HashDomain::new(&label).unwrap().hash(id.as_bytes());
            point.encode().as_bytes().to_vec()
        })
        .collect();
    let seen = windows(&frame).collect();
    let few = short_list(&words, &people);
    assert_eq!(
        undone(few.iter(), &seen, |word| evaluated(&terms, word, &[])),
        PEOPLE
    );
}
