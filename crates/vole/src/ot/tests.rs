//! Transfers, honest and not, and their vectors.

use super::*;
use crate::vectors::Vectors;
use incamera_group::PointFault;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const CONTEXT: [u8; 32] = [4; 32];
const CHOICES: [u8; 9] = [0, 1, 1, 0, 1, 0, 0, 0, 1];

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(11)
}

fn sides() -> (Chooser, Vec<u8>, PairSender) {
    let mut rng = rng();
    let transfers = Transfers::new(&CONTEXT, 0);
    let choices = CHOICES.into_iter().map(Choice::from);
    let (chooser, message) = Chooser::new(transfers.clone(), choices, &mut rng);
    (chooser, message, PairSender::new(transfers, &mut rng))
}

#[test]
fn the_chooser_has_one_key_of_each_pair() {
    let (chooser, message, sender) = sides();
    assert_eq!(message.len(), CHOICES.len() * CHOICE_BYTES);
    let keys = chooser.keys(sender.message()).unwrap();
    let pairs = sender.keys(CHOICES.len(), &message).unwrap();
    for ((key, pair), choice) in keys.iter().zip(&*pairs).zip(CHOICES) {
        assert_eq!(key, &pair[usize::from(choice)]);
        assert_ne!(key, &pair[usize::from(1 - choice)]);
    }
    let mut all: Vec<_> = pairs.as_flattened().to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 2 * CHOICES.len());
}

#[test]
fn batches_and_runs_have_keys_of_their_own() {
    let (_, message, sender) = sides();
    let pairs = sender.keys(CHOICES.len(), &message).unwrap();
    for transfers in [Transfers::new(&CONTEXT, 1), Transfers::new(&[5; 32], 0)] {
        let (_, _, mut other) = sides();
        other.transfers = transfers;
        let other = other.keys(CHOICES.len(), &message).unwrap();
        assert!(
            pairs
                .iter()
                .zip(&*other)
                .all(|(a, b)| a[0] != b[0] && a[1] != b[1])
        );
    }
}

/// The points of a choice of 0 and of a choice of 1 trade places, and that is all.
#[test]
fn the_message_is_placed_by_the_choice() {
    let (own, other) = (Point::base().encode(), EncodedPoint::from_bytes([1; 32]));
    assert_eq!(placed_by(Choice::from(0), &own, &other), [own, other]);
    assert_eq!(placed_by(Choice::from(1), &own, &other), [other, own]);
}

#[test]
fn refused_points_are_named_by_their_place() {
    let (_, message, _) = sides();
    let refused = include_str!("../../../group/vectors/rfc9496.txt").lines();
    let refused = refused.filter_map(|line| line.strip_prefix("refuse "));
    let refused = refused.map(|hex| hex::decode(hex).unwrap().try_into().unwrap());
    let refused: Vec<[u8; 32]> = refused.collect();
    assert_eq!(refused.len(), 29);
    for bytes in refused.into_iter().chain([[0; 32]]) {
        let identity = bytes == [0; 32];
        let fault = [PointFault::Malformed, PointFault::Identity][usize::from(identity)];
        let (chooser, _, sender) = sides();
        let error = chooser.keys(&bytes).unwrap_err();
        assert_eq!(error, PeerFault::Point { index: 0, fault }, "{bytes:?}");
        let mut wrong = message.clone();
        wrong[5 * 32..6 * 32].copy_from_slice(&bytes);
        let error = sender.keys(CHOICES.len(), &wrong).unwrap_err();
        assert_eq!(error, PeerFault::Point { index: 5, fault }, "{bytes:?}");
    }
}

#[test]
fn the_same_point_twice_is_refused() {
    let (_, mut message, sender) = sides();
    message.copy_within(4 * 32..5 * 32, 5 * 32);
    let error = sender.keys(CHOICES.len(), &message).unwrap_err();
    assert_eq!(error, PeerFault::SamePoints { index: 2 });
}

#[test]
fn other_lengths_are_refused() {
    let (chooser, message, sender) = sides();
    let found = message.len() - 1;
    let error = sender.keys(CHOICES.len(), &message[..found]).unwrap_err();
    let expected = message.len();
    let message = "choices";
    assert_eq!(
        error,
        PeerFault::Length {
            message,
            found,
            expected
        }
    );
    let error = chooser.keys(&[0; 33]).unwrap_err();
    let (message, found, expected) = ("base", 33, 32);
    assert_eq!(
        error,
        PeerFault::Length {
            message,
            found,
            expected
        }
    );
}

/// A chooser that knows the logarithm of both points still lacks one key: what it would
/// have to know is the logarithm of a hash.
#[test]
fn logarithms_of_both_points_give_one_key() {
    let mut rng = rng();
    let transfers = Transfers::new(&CONTEXT, 0);
    let sender = PairSender::new(transfers, &mut rng);
    let base = sender.base.decode().unwrap();
    let secrets = [Scalar::random(&mut rng), Scalar::random(&mut rng)];
    let pair = secrets.each_ref().map(|s| Point::base_multiply(s).encode());
    let guesses: Vec<_> = secrets
        .iter()
        .zip(0..)
        .map(|(secret, which)| {
            let point = base.multiply(secret).encode();
            let transfers = &sender.transfers;
            transfers.key(&sender.base, &pair, (0, which), &point)
        })
        .collect();
    let pairs = sender.keys(1, &EncodedPoint::join(&pair)).unwrap();
    assert!(guesses.iter().all(|guess| !pairs[0].contains(guess)));
}

/// Against an implementation of its own: `vectors/silent.py`.
#[test]
fn the_transfers_are_those_of_the_vectors() {
    let mut vectors = Vectors::new(include_str!("../../vectors/v1/ot.txt"));
    let transfers = Transfers::new(&vectors.array("context"), vectors.number("batch") as u8);
    let secret = Scalar::from_canonical_bytes(vectors.array("a")).unwrap();
    let sender = PairSender::of(transfers.clone(), secret);
    assert_eq!(*sender.message(), vectors.array("base"));
    let (mut drawn, mut choices) = (Drawn::default(), Zeroizing::new(Vec::new()));
    let (mut expected, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        choices.push(vectors.number("choice") as u8);
        let secret = Scalar::from_canonical_bytes(vectors.array("b"));
        drawn.secrets.push(secret.unwrap());
        drawn.seeds.push(vectors.array("seed"));
        expected.extend(vectors.bytes("pair"));
        keys.push(vectors.array::<32>("keys"));
    }
    let (chooser, message) = Chooser::of(transfers, choices, drawn);
    assert_eq!(message, expected);
    let base = *sender.message();
    let choices = chooser.choices.to_vec();
    let pairs = sender.keys(keys.len(), &message).unwrap();
    assert_eq!(pairs.as_flattened().as_flattened(), keys.as_flattened());
    for ((key, pair), choice) in chooser
        .keys(&base)
        .unwrap()
        .iter()
        .zip(&*pairs)
        .zip(choices)
    {
        assert_eq!(*key, pair[usize::from(choice)]);
    }
    vectors.end();
}
