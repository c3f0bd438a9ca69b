//! Proofs that all rows were raised by one key.

use incamera_group::{Backend, EncodedPoint, Scalar};
use incamera_matching::exchange::Base;
use incamera_matching::{Incompatible, MatchError, Misbehaviour, Reveals};
use incamera_oprf::dleq::{Batch, Context, Proof};
use incamera_types::Digest as _;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchHello, MatchMessage, MatchProof};

use crate::side::{Plan, Side, exchange_altered, mailer, matched, numbered, shop};
use crate::sim::World;

const BOTH: [Reveals; 2] = [Reveals::Nothing, Reveals::OwnMatches];

fn plans(reveals: Reveals) -> (Plan, Plan) {
    let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
    a.ids = numbered(0..21);
    b.ids = numbered(10..45);
    (a.row_keys, b.row_keys) = (true, true);
    (a, b)
}

/// Proofs change neither a pseudonym nor what matches.
#[test]
fn the_same_crosswalks_with_proofs() {
    for reveals in BOTH {
        let (mut a, mut b) = plans(reveals);
        let (first, second) = matched(&a, &b);
        let key = |side: &Side| side.exchange.agreed().unwrap().peer_key;
        assert!(key(&first).is_some() && key(&first) != key(&second));
        (a.row_keys, b.row_keys) = (false, false);
        let (plain, other) = matched(&a, &b);
        assert_eq!(key(&plain), None);
        assert_eq!(first.journal.own, plain.journal.own);
        assert_eq!(second.journal.own, other.journal.own);
        assert_eq!(first.matches(), plain.matches());
        // Another run's name makes another fingerprint key; tags last.
        let same = first.journal.theirs == plain.journal.theirs;
        assert!(same || reveals == Reveals::Nothing);
    }
}

/// Answers larger than what a record of the journal takes, in one proof.
#[test]
fn chunks_larger_than_a_record() {
    let (mut a, mut b) = plans(Reveals::OwnMatches);
    a.ids = numbered(0..9000);
    b.ids = numbered(8999..9001);
    a.tuning = incamera_matching::exchange::Tuning::new(9000, 9000).unwrap();
    b.tuning = a.tuning;
    let (a, b) = matched(&a, &b);
    assert_eq!(
        (a.matches(), b.matches()),
        (vec!["id 8999"], vec!["id 8999"])
    );
}

#[test]
fn killed_with_proofs() {
    for reveals in BOTH {
        let (mut a, mut b) = plans(reveals);
        a.ids = numbered(0..60);
        b.ids = numbered(30..120);
        let (first, second) = matched(&a, &b);
        for seed in 0..4 {
            let mut world = World::new(&a, &b, seed);
            let steps = 50 + world.below(700);
            if world.go(steps).unwrap() {
                world.unplug();
                let at = world.below(2);
                world.kill(at, 3);
                world.rejoin(1 - at);
            }
            assert!(!world.go(100_000).unwrap(), "seed {seed}");
            assert_eq!(world.sides[0].crosswalk(), first.crosswalk(), "seed {seed}");
            assert_eq!(
                world.sides[1].crosswalk(),
                second.crosswalk(),
                "seed {seed}"
            );
        }
    }
}

/// What the shop says of a mailer whose messages are changed on the way.
fn cheated(reveals: Reveals, alter: &mut dyn FnMut(&mut MatchMessage)) -> Misbehaviour {
    let (a, b) = plans(reveals);
    let (mut a, mut b) = (a.start(), b.start());
    match exchange_altered(&mut a, &mut b, alter) {
        Err(MatchError::PeerMisbehaved { peer, source }) => {
            assert_eq!(peer.as_str(), "mailer");
            source
        }
        other => panic!("{other:?}"),
    }
}

/// Changes the chunk of answers that begins at `first`.
fn in_answers(message: &mut MatchMessage, first: u64, alter: impl Fn(&mut Vec<u8>)) {
    if let Some(Message::Raised(chunk)) = &mut message.message
        && chunk.first == first
    {
        alter(&mut chunk.points);
    }
}

fn in_proof(message: &mut MatchMessage, first: u64, alter: impl Fn(&mut MatchProof)) {
    if let Some(Message::Proof(proof)) = &mut message.message
        && proof.first == first
    {
        alter(proof);
    }
}

/// One row under another key, and two rows swapped, which a plain sum would not show: each is
/// found at its batch.
#[test]
fn one_wrong_row() {
    let wrong = Misbehaviour::WrongProof { first: 8 };
    let another_key = |points: &mut Vec<u8>| {
        let row = EncodedPoint::split(&points[32..64]).unwrap();
        let other = Scalar::from_secret(b"another key", &[1; 32]);
        let raised = incamera_group::multiply_batch(&row, &other).unwrap();
        points[32..64].copy_from_slice(raised[0].as_bytes());
    };
    let swap = |points: &mut Vec<u8>| points[..64].rotate_left(32);
    for reveals in BOTH {
        let found = cheated(reveals, &mut |message| in_answers(message, 8, another_key));
        assert_eq!(found, wrong);
        let found = cheated(reveals, &mut |message| in_answers(message, 8, swap));
        assert_eq!(found, wrong);
        let bad = cheated(reveals, &mut |message| {
            in_answers(message, 8, |points| points[32..64].fill(0xff));
        });
        assert!(
            matches!(bad, Misbehaviour::BadPoint { place: 9, .. }),
            "{bad:?}"
        );
    }
}

/// Without proofs nobody notices, which is why they exist: where two answers are swapped each id
/// has the pseudonym of the other, so that its rows join those of the wrong person.
#[test]
fn without_proofs_a_swap_joins_the_wrong_person() {
    for (row_keys, first) in [(false, 0), (true, 8)] {
        let (mut a, mut b) = plans(Reveals::Nothing);
        // All of the shop's ids are in the mailer's set.
        a.ids = numbered(0..60);
        (a.row_keys, b.row_keys) = (row_keys, row_keys);
        let right = matched(&a, &b);
        let (mut a, mut b) = (a.start(), b.start());
        let mut swap = |message: &mut MatchMessage| {
            in_answers(message, first, |points| points[..64].rotate_left(32));
        };
        let ended = exchange_altered(&mut a, &mut b, &mut swap);
        if row_keys {
            let wrong = Misbehaviour::WrongProof { first };
            assert!(
                matches!(ended, Err(MatchError::PeerMisbehaved { source, .. }) if source == wrong)
            );
            continue;
        }
        ended.unwrap();
        assert!(a.exchange.is_finished() && b.exchange.is_finished());
        let (one, two) = (&b.plan.ids[0], &b.plan.ids[1]);
        let (of_a, of_b) = (a.crosswalk(), b.crosswalk());
        assert_eq!(of_a, right.0.crosswalk());
        assert_eq!((of_b[one], of_b[two]), (of_a[two], of_a[one]));
        assert_ne!(of_a[one], of_a[two]);
    }
}

#[test]
fn proofs_that_are_missing_or_of_something_else() {
    for reveals in BOTH {
        let unfit = Misbehaviour::UnfitProof;
        let alter = |alter: &dyn Fn(&mut MatchProof)| {
            cheated(reveals, &mut |message| in_proof(message, 8, alter))
        };
        assert_eq!(alter(&|proof| proof.first = 12), unfit);
        assert_eq!(alter(&|proof| proof.count = 3), unfit);
        assert_eq!(alter(&|proof| proof.response.truncate(31)), unfit);
        assert_eq!(alter(&|proof| proof.challenge.clear()), unfit);
        let wrong = Misbehaviour::WrongProof { first: 8 };
        assert_eq!(alter(&|proof| proof.response[0] ^= 1), wrong);
        assert_eq!(alter(&|proof| proof.challenge = vec![0xff; 32]), wrong);
        // No proof at all: an empty slot in its place.
        let (a, b) = plans(reveals);
        let (mut a, mut b) = (a.start(), b.start());
        let found = loop {
            let Some(message) = a.exchange.outgoing() else {
                a.incoming(b.exchange.outgoing().unwrap()).unwrap();
                continue;
            };
            if matches!(message.message, Some(Message::Proof(_))) {
                continue;
            }
            if let Err(error) = b.incoming(message) {
                break error;
            }
        };
        assert!(matches!(found, MatchError::PeerMisbehaved { source, .. } if source == unfit));
    }
}

/// Two proofs in a row, and a proof where none was agreed on.
#[test]
fn proofs_that_nobody_waits_for() {
    let unfit = Misbehaviour::UnfitProof;
    let refused = |row_keys: bool, times: usize| {
        let (mut a, mut b) = plans(Reveals::Nothing);
        (a.row_keys, b.row_keys) = (row_keys, row_keys);
        let (mut a, mut b) = (a.start(), b.start());
        for _ in 0..2 {
            b.incoming(a.exchange.outgoing().unwrap()).unwrap();
            a.incoming(b.exchange.outgoing().unwrap()).unwrap();
        }
        let proof = MatchMessage {
            message: Some(Message::Proof(MatchProof::default())),
        };
        let mut last = Ok(());
        for _ in 0..times {
            last = b.incoming(proof.clone());
        }
        last
    };
    let is_unfit = |result| matches!(result, Err(MatchError::PeerMisbehaved { source, .. }) if source == unfit);
    assert!(is_unfit(refused(false, 1)));
    assert_eq!(refused(true, 1), Ok(()));
    assert!(is_unfit(refused(true, 2)));
}

/// A proof of one run is none in another: all of a run's answers and proofs, played again.
#[test]
fn a_proof_of_another_run() {
    let (a, b) = plans(Reveals::OwnMatches);
    let (mut first, mut other) = (a.start(), b.start());
    let mut recorded = Vec::new();
    let mut record = |message: &mut MatchMessage| recorded.push(message.clone());
    exchange_altered(&mut first, &mut other, &mut record).unwrap();
    // Under `own-matches` all points are the same in a later run; only the run's name differs.
    let (mut first, mut other) = (
        Plan {
            nonce: 9,
            ..a.clone()
        }
        .start(),
        b.start(),
    );
    let mut replay = |message: &mut MatchMessage| {
        if let Some(Message::Proof(now)) = &message.message {
            let same = |old: &&MatchMessage| matches!(&old.message, Some(Message::Proof(old)) if old.first == now.first);
            *message = recorded.iter().find(same).unwrap().clone();
        }
    };
    let found = exchange_altered(&mut first, &mut other, &mut replay);
    let wrong = Misbehaviour::WrongProof { first: 0 };
    assert!(matches!(found, Err(MatchError::PeerMisbehaved { source, .. }) if source == wrong));
}

/// A proof is of one run, one prover, one place, one key and these very points, in their order:
/// each as it crossed the wire, checked by hand.
#[test]
fn what_a_proof_is_bound_to() {
    let (a, b) = plans(Reveals::Nothing);
    let (mut a, mut b) = (a.start(), b.start());
    let (mut proof, mut outputs) = (None, Vec::new());
    let mut record = |message: &mut MatchMessage| match &message.message {
        Some(Message::Proof(found)) if found.first == 8 => {
            let bytes = [found.challenge.clone(), found.response.clone()].concat();
            proof = Some(Proof::from_bytes(bytes.try_into().unwrap()));
        }
        Some(Message::Raised(found)) if found.first == 8 => {
            outputs = EncodedPoint::split(&found.points).unwrap();
        }
        _ => {}
    };
    let mut inputs = Vec::new();
    let mut sent = |message: &MatchMessage| match &message.message {
        Some(Message::Blinded(found)) if found.first == 8 => {
            inputs = EncodedPoint::split(&found.points).unwrap();
        }
        _ => {}
    };
    loop {
        let (from_a, from_b) = (a.exchange.outgoing(), b.exchange.outgoing());
        if from_a.is_none() && from_b.is_none() {
            break;
        }
        if let Some(mut message) = from_a {
            record(&mut message);
            b.incoming(message).unwrap();
        }
        if let Some(message) = from_b {
            sent(&message);
            a.incoming(message).unwrap();
        }
    }
    let agreed = b.exchange.agreed().unwrap();
    let (run, key) = (*agreed.run.as_bytes(), agreed.peer_key.unwrap());
    let own = EncodedPoint::from_bytes(a.exchange.agreed().unwrap().peer_key.unwrap());
    let (key, proof) = (EncodedPoint::from_bytes(key), proof.unwrap());
    let holds = |session: &[u8], role: &str, first, public_key, inputs: &[_], outputs: &[_]| {
        let context = Context {
            session,
            role,
            first,
        };
        let batch = Batch {
            context,
            public_key,
            inputs,
            outputs,
        };
        batch.verify(Backend::best(), &proof).is_ok()
    };
    assert!(holds(&run, "mailer", 8, &key, &inputs, &outputs));
    let mut turned = inputs.clone();
    turned.rotate_left(1);
    for held in [
        holds(&[7; 32], "mailer", 8, &key, &inputs, &outputs),
        holds(&run, "shop", 8, &key, &inputs, &outputs),
        holds(&run, "mailer", 4, &key, &inputs, &outputs),
        holds(&run, "mailer", 8, &own, &inputs, &outputs),
        holds(&run, "mailer", 8, &key, &turned, &outputs),
    ] {
        assert!(!held);
    }
}

#[test]
fn public_keys() {
    let (a, b) = plans(Reveals::Nothing);
    let hello = |alter: &dyn Fn(&mut MatchHello), base: Option<[u8; 32]>| {
        let mut message = a.start().exchange.outgoing().unwrap();
        if let Some(Message::Hello(hello)) = &mut message.message {
            alter(hello);
        }
        let mut plan = b.clone();
        plan.base = Base {
            public_key: base,
            ..Base::default()
        };
        plan.start().incoming(message)
    };
    let field = |alter: &dyn Fn(&mut MatchHello)| match hello(alter, None) {
        Err(MatchError::PeerMisbehaved {
            source: Misbehaviour::Hello { field },
            ..
        }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(hello(&|_| (), None), Ok(()));
    assert_eq!(field(&|hello| hello.public_key.clear()), "public_key");
    assert_eq!(field(&|hello| hello.public_key = vec![0; 32]), "public_key");
    assert_eq!(
        field(&|hello| hello.public_key = vec![0xff; 32]),
        "public_key"
    );
    let (_, other) = matched(&a, &b);
    let key = other.exchange.agreed().unwrap().peer_key;
    assert_eq!(hello(&|_| (), key), Ok(()));
    let changed = hello(&|_| (), Some([7; 32]));
    let Err(MatchError::PeerIncompatible { source, .. }) = changed else {
        panic!("{changed:?}")
    };
    assert_eq!(source, Incompatible::PublicKey);
}
