//! What a peer may not send. Each error names the peer and none holds data.

use incamera_matching::{Incompatible, MatchError, Misbehaviour, Misuse, Run};
use incamera_types::MatchingEpoch;
use incamera_types::limits::CHUNK_BYTES;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchHello, MatchMessage, MatchPoints};
use proptest::prelude::*;
use prost::Message as _;

use crate::drive::{Side, mailer, shop};

fn wrap(message: Message) -> MatchMessage {
    MatchMessage {
        message: Some(message),
    }
}

fn blinded(first: u64, points: Vec<u8>) -> MatchMessage {
    wrap(Message::Blinded(MatchPoints { first, points }))
}

fn raised(first: u64, points: Vec<u8>) -> MatchMessage {
    wrap(Message::Raised(MatchPoints { first, points }))
}

fn done(received: u64) -> MatchMessage {
    wrap(Message::Done(incamera_wire::v1::MatchDone { received }))
}

/// The shop's run over `ids`, greeted by a mailer of three ids; the mailer's messages so far.
fn greeted(ids: &[&str]) -> (Run, Vec<MatchMessage>) {
    let mut a = mailer(Side::new(3, &["x", "y", "z"]));
    let mut b = shop(Side::new(4, ids));
    let hello = a.outgoing().unwrap();
    b.incoming(hello.clone()).unwrap();
    a.incoming(b.outgoing().unwrap()).unwrap();
    (b, vec![hello, a.outgoing().unwrap()])
}

fn misbehaviour(run: &mut Run, message: MatchMessage) -> Misbehaviour {
    match run.incoming(message) {
        Err(MatchError::PeerMisbehaved { peer, source }) => {
            assert_eq!(peer.as_str(), "mailer");
            assert!(run.outgoing().is_none());
            let after = run.incoming(done(0));
            assert_eq!(after, Err(Misuse::AfterFailure.into()));
            source
        }
        other => panic!("{other:?}"),
    }
}

fn points_of(message: &MatchMessage) -> Vec<u8> {
    match &message.message {
        Some(Message::Blinded(points)) => points.points.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_before_the_greeting() {
    let mut run = shop(Side::new(4, &["x"]));
    assert_eq!(
        misbehaviour(&mut run, blinded(0, vec![1; 32])),
        Misbehaviour::BeforeHello
    );
    let mut run = shop(Side::new(4, &["x"]));
    assert_eq!(misbehaviour(&mut run, done(0)), Misbehaviour::BeforeHello);
}

#[test]
fn nothing_goes_out_before_the_peers_greeting_but_ours() {
    let mut run = shop(Side::new(4, &["x"]));
    assert!(matches!(
        run.outgoing().unwrap().message,
        Some(Message::Hello(_))
    ));
    assert!(run.outgoing().is_none());
}

#[test]
fn an_empty_message() {
    let (mut run, _) = greeted(&["x"]);
    assert_eq!(
        misbehaviour(&mut run, MatchMessage { message: None }),
        Misbehaviour::EmptyMessage
    );
}

#[test]
fn a_changed_set_size() {
    let (mut run, sent) = greeted(&["x"]);
    let Some(Message::Hello(mut hello)) = sent[0].message.clone() else {
        panic!()
    };
    hello.set_size += 1;
    assert_eq!(
        misbehaviour(&mut run, wrap(Message::Hello(hello))),
        Misbehaviour::SecondHello
    );
}

#[test]
fn points_out_of_order_or_overlapping() {
    let (mut run, sent) = greeted(&["x"]);
    let late = misbehaviour(&mut run, blinded(1, points_of(&sent[1])));
    assert_eq!(
        late,
        Misbehaviour::OutOfOrder {
            expected: 0,
            found: 1
        }
    );
    let (mut run, sent) = greeted(&["x"]);
    run.incoming(blinded(0, points_of(&sent[1])[..64].to_vec()))
        .unwrap();
    let overlapping = misbehaviour(&mut run, blinded(1, points_of(&sent[1])[32..].to_vec()));
    assert_eq!(
        overlapping,
        Misbehaviour::OutOfOrder {
            expected: 2,
            found: 1
        }
    );
}

#[test]
fn too_many_points() {
    let (mut run, sent) = greeted(&["x"]);
    let four = [points_of(&sent[1]), points_of(&sent[1])[..32].to_vec()].concat();
    assert_eq!(
        misbehaviour(&mut run, blinded(0, four)),
        Misbehaviour::TooMany { expected: 3 }
    );
}

#[test]
fn answers_to_points_that_were_not_sent() {
    let (mut run, sent) = greeted(&["x"]);
    let early = misbehaviour(&mut run, raised(0, points_of(&sent[1])[..32].to_vec()));
    assert_eq!(early, Misbehaviour::TooMany { expected: 0 });
}

#[test]
fn chunks_of_a_wrong_size() {
    for bytes in [0, 1, 31, 33, 95, CHUNK_BYTES + 32] {
        let (mut run, _) = greeted(&["x"]);
        let found = misbehaviour(&mut run, blinded(0, vec![1; bytes]));
        assert_eq!(found, Misbehaviour::ChunkSize { bytes });
    }
}

#[test]
fn malformed_points_and_the_identity_in_both_directions() {
    for (bad, fault) in [([0; 32], "Identity"), ([0xff; 32], "Malformed")] {
        let (mut run, sent) = greeted(&["x"]);
        let mut points = points_of(&sent[1]);
        points[32..64].copy_from_slice(&bad);
        let found = misbehaviour(&mut run, blinded(0, points));
        assert!(
            matches!(found, Misbehaviour::BadPoint { place: 1, .. }),
            "{found:?}"
        );
        assert!(format!("{found:?}").contains(fault));

        let (mut run, _) = greeted(&["x"]);
        assert!(run.outgoing().is_some());
        let found = misbehaviour(&mut run, raised(0, bad.to_vec()));
        assert!(
            matches!(found, Misbehaviour::BadPoint { place: 0, .. }),
            "{found:?}"
        );
    }
}

#[test]
fn an_end_that_does_not_fit() {
    for received in [0, 2, 4, 3] {
        let (mut run, _) = greeted(&["x"]);
        let found = misbehaviour(&mut run, done(received));
        assert_eq!(
            found,
            Misbehaviour::WrongCount {
                expected: 0,
                found: received
            }
        );
    }
    let (mut run, sent) = greeted(&["x"]);
    run.incoming(sent[1].clone()).unwrap();
    assert_eq!(
        misbehaviour(&mut run, done(2)),
        Misbehaviour::WrongCount {
            expected: 3,
            found: 2
        }
    );
}

#[test]
fn a_second_end() {
    let (mut run, sent) = greeted(&["x"]);
    run.incoming(sent[1].clone()).unwrap();
    run.incoming(done(3)).unwrap();
    assert!(matches!(
        misbehaviour(&mut run, done(3)),
        Misbehaviour::WrongCount { .. }
    ));
}

#[test]
fn one_point_for_two_ids() {
    let (mut run, sent) = greeted(&["x", "y"]);
    run.incoming(sent[1].clone()).unwrap();
    while run.outgoing().is_some() {}
    let twice = points_of(&sent[1])[..32].repeat(2);
    run.incoming(raised(0, twice)).unwrap();
    run.incoming(done(3)).unwrap();
    while run.outgoing().is_some() {}
    assert!(run.is_finished());
    let error = run.finish().unwrap_err();
    let MatchError::PeerMisbehaved { peer, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (peer.as_str(), source),
        ("mailer", Misbehaviour::RepeatedPoint)
    );
}

fn greeting(alter: impl Fn(&mut MatchHello)) -> Incompatible {
    let mut run = shop(Side::new(4, &["x"]));
    let Some(Message::Hello(mut hello)) = mailer(Side::new(3, &["x"])).outgoing().unwrap().message
    else {
        panic!()
    };
    alter(&mut hello);
    match run.incoming(wrap(Message::Hello(hello))) {
        Err(MatchError::PeerIncompatible { peer, source }) => {
            assert_eq!(peer.as_str(), "mailer");
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn greetings_under_other_terms() {
    assert!(matches!(
        greeting(|hello| hello.format = "incamera-matching/2".to_owned()),
        Incompatible::Format(_)
    ));
    assert_eq!(
        greeting(|hello| hello.agreement_digest[0] ^= 1),
        Incompatible::Agreement
    );
    assert_eq!(
        greeting(|hello| hello.agreement_digest.clear()),
        Incompatible::Agreement
    );
    assert_eq!(
        greeting(|hello| hello.party = "shop".to_owned()),
        Incompatible::Party
    );
    assert_eq!(
        greeting(|hello| hello.party = "stranger".to_owned()),
        Incompatible::Party
    );
    let epoch = Incompatible::Epoch {
        ours: MatchingEpoch(1),
        theirs: MatchingEpoch(2),
    };
    assert_eq!(greeting(|hello| hello.epoch = 2), epoch);
    assert!(matches!(
        greeting(|hello| hello.id_kind = "phone".to_owned()),
        Incompatible::IdKind { .. }
    ));
    assert!(matches!(
        greeting(|hello| hello.method = "vole".to_owned()),
        Incompatible::Method { .. }
    ));
    assert!(matches!(
        greeting(|hello| hello.reveals = "own-matches".to_owned()),
        Incompatible::Reveals { .. }
    ));
    let large = Incompatible::SetTooLarge {
        found: 100_065,
        limit: 100_064,
    };
    assert_eq!(greeting(|hello| hello.set_size = 100_065), large);
}

#[test]
fn our_own_mistakes() {
    let start = |me: &str, ids: &[&str], max_ids: u64| {
        let mut side = Side::new(3, ids);
        side.terms.max_ids = max_ids;
        let secret = incamera_matching::MatchingSecret::from_key(&[1; 32]);
        let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::seed_from_u64(1);
        let (me, peer) = (me.parse().unwrap(), "shop".parse().unwrap());
        Run::new(side.terms, me, peer, &secret, side.ids, &[], &mut rng).map(|_| ())
    };
    assert_eq!(start("shop", &[], 5), Err(Misuse::SameParty.into()));
    assert_eq!(
        start("mailer", &["a", "a"], 5),
        Err(Misuse::NotPrepared.into())
    );
    let many = Misuse::TooManyIds { found: 3, limit: 2 };
    assert_eq!(start("mailer", &["a", "b", "c"], 2), Err(many.into()));
    assert_eq!(start("mailer", &["a", "b"], 2), Ok(()));
}

/// The sentence a person reads has the peer in it, and no bytes of a point.
#[test]
fn errors_name_the_peer_and_no_data() {
    let (mut run, sent) = greeted(&["x"]);
    let mut points = points_of(&sent[1]);
    points[..32].copy_from_slice(&[0xab; 32]);
    let error = run.incoming(blinded(0, points)).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("mailer"));
    assert!(!text.contains("171") && !text.contains("abab"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any message cut short is no message, is refused, or is followed by a run that does not
    /// finish: never pseudonyms, never a panic.
    #[test]
    fn truncated_messages_give_no_pseudonyms(at in 0_usize..4, cut in 1_usize..200) {
        let (mut a, mut b) = (mailer(Side::new(3, &["x", "y"])), shop(Side::new(4, &["y"])));
        let mut number = 0;
        let mut refused = false;
        'exchange: loop {
            let mut moved = false;
            while let Some(message) = a.outgoing() {
                moved = true;
                let mut bytes = message.encode_to_vec();
                if number == at {
                    bytes.truncate(bytes.len().saturating_sub(cut));
                }
                number += 1;
                let taken = MatchMessage::decode(bytes.as_slice()).map(|message| b.incoming(message));
                if !matches!(taken, Ok(Ok(()))) {
                    refused = true;
                    break 'exchange;
                }
            }
            while let Some(message) = b.outgoing() {
                moved = true;
                prop_assert_eq!(a.incoming(message), Ok(()));
            }
            if !moved {
                break;
            }
        }
        prop_assert!(refused || b.finish().is_err());
    }

    /// Arbitrary bytes in place of any message: an error, never a panic.
    #[test]
    fn arbitrary_points_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut run, _) = greeted(&["x"]);
        let whole = bytes.len() % 32 == 0 && (1..=3).contains(&(bytes.len() / 32));
        let taken = run.incoming(blinded(0, bytes));
        prop_assert!(taken.is_err() || whole);
    }
}
