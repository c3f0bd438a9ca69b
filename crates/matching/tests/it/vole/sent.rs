//! What is said and sent: what it is bound to, and what it shows.

use std::collections::HashSet;

use incamera_wire::v1::{MatchHello, MatchResume};
use prost::Message as ProstMessage;
use sha2::{Digest as _, Sha256};

use super::*;

/// All steps hang on everything that the greetings said, and not only on what is compared: where a
/// greeting came otherwise than it was sent, the two sides have no run in common.
#[test]
fn a_greeting_that_comes_otherwise_than_it_was_sent_ends_the_run() {
    for reveals in BOTH {
        let numbering = misbehaved(reveals, |mut sent| {
            if let Some(Message::Hello(hello)) = &mut sent.message {
                hello.numbering = "another plan".into();
            }
            vec![sent]
        });
        assert!(numbering.is_some(), "{reveals:?}");
        let size = misbehaved(reveals, |mut sent| {
            if let Some(Message::Hello(hello)) = &mut sent.message {
                hello.set_size += 1;
            }
            vec![sent]
        });
        assert!(size.is_some(), "{reveals:?}");
    }
}

/// Fields of the other method's greeting: a run that goes on, proofs, a nonce in clear; and
/// commitments of other lengths.
#[test]
fn greetings_of_the_other_method_are_refused() {
    let field = |change: fn(&mut MatchHello)| {
        let found = misbehaved(Reveals::Nothing, move |mut sent| {
            if let Some(Message::Hello(hello)) = &mut sent.message {
                change(hello);
            }
            vec![sent]
        });
        match found {
            Some(Misbehaviour::Hello { field }) => field,
            found => panic!("{found:?}"),
        }
    };
    assert_eq!(
        field(|hello| hello.resume = Some(MatchResume::default())),
        "resume"
    );
    assert_eq!(field(|hello| hello.row_keys = true), "resume");
    assert_eq!(field(|hello| hello.nonce = vec![1; 32]), "resume");
    assert_eq!(field(|hello| hello.commitment.clear()), "commitment");
    assert_eq!(field(|hello| hello.commitment.push(0)), "commitment");
}

/// What was declared is what is given, whether anything is evaluated or not.
#[test]
fn other_ids_than_were_declared_are_a_mistake_of_ours() {
    for peer in [0..0, 0..3] {
        for given in [4, 6] {
            let [mut first, mut second] = sides(
                ids(0..5),
                ids(peer.clone()),
                Reveals::Nothing,
                Security::Malicious,
                15,
            );
            let (hello, theirs) = (first.run.outgoing(), second.run.outgoing());
            second.run.incoming(hello.unwrap()).unwrap();
            first.run.incoming(theirs.unwrap()).unwrap();
            first.run.begin().unwrap();
            second.run.begin().unwrap();
            first.run.incoming(second.run.outgoing().unwrap()).unwrap();
            let hasher = first.run.hasher().unwrap();
            let hashes: Vec<IdHash> = (ids(0..given).iter())
                .map(|id| hasher.hash(id.as_bytes()))
                .collect();
            let refused = first.run.give(&hashes, &mut first.rng).unwrap_err();
            assert_eq!(refused, Misuse::NotAsked.into());
        }
    }
}

/// Whoever has a dictionary with everybody in it, and all that it was sent.
#[test]
fn i2_a_dictionary_finds_nobody_in_what_a_party_is_sent() {
    let sides = sides(
        ids(0..40),
        ids(30..60),
        Reveals::Nothing,
        Security::Malicious,
        14,
    );
    let mut sides = sides;
    carry(&mut sides, 14, &mut |message| vec![message]).unwrap();
    let words = ids(0..2_000);
    let [attacker, victim] = sides;
    let sent: Vec<u8> = attacker
        .seen
        .iter()
        .flat_map(ProstMessage::encode_to_vec)
        .collect();
    let windows: HashSet<&[u8]> = sent.windows(16).collect();
    let found = |needle: &[u8]| windows.contains(&needle[..16]);
    for word in &words {
        let hash = Sha256::digest(word.as_bytes());
        assert!(!found(&hash) && !found(word.as_bytes()));
        assert!(!found(hex::encode(hash).as_bytes()));
    }
    // Pseudonyms of the other side are not among what was sent, nor among one's own but for
    // people whom both have: of nobody else the attacker has any.
    let own: HashSet<Pseudonym> = attacker
        .run
        .finish()
        .unwrap()
        .pseudonyms
        .into_iter()
        .collect();
    let theirs = victim.run.finish().unwrap().pseudonyms;
    assert!(theirs.iter().all(|pseudonym| !found(pseudonym.as_bytes())));
    assert_eq!(
        theirs
            .iter()
            .filter(|pseudonym| own.contains(pseudonym))
            .count(),
        10
    );
    // What is looked for is found where it is: the sizes that a greeting says in clear.
    assert!(found(b"incamera-vole/1\x12\x20"[..].get(..16).unwrap()));
}
