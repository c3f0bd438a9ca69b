//! A dictionary undoes nothing that a provider is asked.

use std::collections::HashSet;

use incamera_group::Scalar;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::*;

/// What is looked for: the first half of anything longer.
type Needle = [u8; 16];

const PEOPLE: usize = 40;

/// All people, and as many who are in nobody's data.
fn words() -> Vec<String> {
    ids(2 * PEOPLE as u64)
}

fn needle(bytes: &[u8]) -> Needle {
    bytes[..16].try_into().unwrap()
}

/// Each 16 bytes of all that the provider at `place` is sent while the people are matched.
fn sent_to(place: Place) -> HashSet<Needle> {
    let (terms, people) = (terms(), ids(PEOPLE as u64));
    let mut providers = honest(8);
    let mut session = session(&terms, PEOPLE as u64, 0, 1, statement(8, 1));
    let mut sent = Vec::new();
    carry(
        &mut session,
        &people,
        &terms,
        |session, round, hello, to, points| {
            if to == place {
                sent.push([hello.to_message().encode_to_vec(), points.encode_to_vec()].concat());
            }
            let answer = providers.answer(hello, to, points);
            session.answered(round, to, answer).unwrap();
        },
    );
    let windows = |message: &Vec<u8>| message.windows(16).map(needle).collect::<Vec<_>>();
    sent.iter().flat_map(windows).collect()
}

/// What hashing alone makes of an id.
fn hashed(word: &str) -> Vec<Needle> {
    let bytes = [word.as_bytes().to_vec(), input("email", word)];
    let hashes = bytes.map(|bytes| Sha256::digest(bytes).to_vec());
    let texts = hashes.each_ref().map(|hash| hex::encode(hash).into_bytes());
    hashes
        .iter()
        .chain(&texts)
        .map(|hash| needle(hash))
        .collect()
}

/// The point of an id times each of these.
fn multiplied(word: &str, scalars: &[Scalar]) -> Vec<Needle> {
    let point = suite::hash_domain().hash(&input("email", word));
    let of = |scalar| needle(point.multiply(scalar).encode().as_bytes());
    scalars.iter().map(of).collect()
}

fn undone(seen: &HashSet<Needle>, guess: impl Fn(&str) -> Vec<Needle>) -> usize {
    let words = words();
    let found = words
        .iter()
        .filter(|word| guess(word).iter().any(|needle| seen.contains(needle)));
    found.count()
}

/// A provider that knows everybody, its share, the agreement and the other providers' public keys
/// finds nobody in what it is sent; with the run's blinding it finds all, so it looks for the
/// right things.
#[test]
fn i1_no_dictionary_undoes_what_a_provider_is_sent() {
    let place = places()[0];
    let seen = sent_to(place);
    let own = share(place, 8);
    let number = |number: u64| Scalar::from_number(number.try_into().unwrap());
    // The second is its share's weight beside the provider at place 2.
    let [whole, weighed] = [1, 2].map(|weight| own.secret().multiply(&number(weight)));
    let alone = [number(1), whole, weighed];
    assert_eq!(undone(&seen, hashed), 0);
    assert_eq!(undone(&seen, |word| multiplied(word, &alone)), 0);
    let seed = Seed::from_bytes([1; 32]);
    let blind = seed
        .run(&MatchInputDigest::from_bytes([3; 32]))
        .blind(&terms());
    assert_eq!(
        undone(&seen, |word| multiplied(word, std::slice::from_ref(&blind))),
        PEOPLE
    );
}
