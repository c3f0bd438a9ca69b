//! What a correct run gives.

use std::collections::BTreeSet;

use incamera_matching::commutative::WINDOW_POINTS;
use incamera_matching::{MatchError, Run};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{AgreementDigest, AgreementId, Digest, MatchingEpoch};
use incamera_wire::v1::MatchMessage;
use proptest::prelude::*;

use crate::drive::{self, Side, exchange, mailer, matched, points, shop};

#[test]
fn the_same_id_has_the_same_pseudonym_on_both_sides() {
    let (a, b) = matched(
        Side::new(3, &["x", "y", "z"]),
        Side::new(4, &["y", "z", "w"]),
    );
    assert_eq!(a.keys().collect::<Vec<_>>(), ["x", "y", "z"]);
    assert_eq!(b.keys().collect::<Vec<_>>(), ["w", "y", "z"]);
    assert_eq!((a["y"], a["z"]), (b["y"], b["z"]));
    let all: BTreeSet<_> = a.values().chain(b.values()).collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn a_second_run_gives_the_same_pseudonyms() {
    let (first, _) = matched(Side::new(3, &["x", "y"]), Side::new(4, &["y"]));
    let mut a = Side::new(3, &["y", "new"]).start("mailer", "shop", 99);
    let mut b = Side::new(4, &["other", "y"]).start("shop", "mailer", 98);
    exchange(&mut a, &mut b);
    let second: drive::Crosswalk = a.finish().unwrap().into_iter().collect();
    assert_eq!(first["y"], second["y"]);
}

/// Agreement id, epoch and kind each make other pseudonyms; a new version does not.
#[test]
fn pseudonyms_hang_on_agreement_id_epoch_and_kind() {
    let with = |alter: &dyn Fn(&mut incamera_matching::Terms)| {
        let mut sides = [Side::new(3, &["x"]), Side::new(4, &["x"])];
        for side in &mut sides {
            alter(&mut side.terms);
        }
        let [a, b] = sides;
        let (a, b) = matched(a, b);
        assert_eq!(a, b);
        a["x"]
    };
    let base = with(&|_| ());
    let others = [
        with(&|terms| terms.agreement_id = AgreementId::from_bytes([9; 32])),
        with(&|terms| terms.epoch = MatchingEpoch(2)),
        with(&|terms| terms.id_kind = "phone".parse().unwrap()),
    ];
    assert!(others.iter().all(|other| *other != base));
    assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(
        with(&|terms| terms.agreement_digest = AgreementDigest::from_bytes([9; 32])),
        base
    );
}

#[test]
fn either_key_changes_every_pseudonym() {
    let (base, _) = matched(Side::new(3, &["x"]), Side::new(4, &["x"]));
    let (other_a, _) = matched(Side::new(5, &["x"]), Side::new(4, &["x"]));
    let (other_b, _) = matched(Side::new(3, &["x"]), Side::new(5, &["x"]));
    assert_ne!(base["x"], other_a["x"]);
    assert_ne!(base["x"], other_b["x"]);
}

#[test]
fn empty_sets_are_sets() {
    let (a, b) = matched(Side::new(3, &[]), Side::new(4, &["x"]));
    assert_eq!((a.len(), b.len()), (0, 1));
    let (a, b) = matched(Side::new(3, &["x"]), Side::new(4, &[]));
    assert_eq!((a.len(), b.len()), (1, 0));
    let (a, b) = matched(Side::new(3, &[]), Side::new(4, &[]));
    assert_eq!((a.len(), b.len()), (0, 0));
}

#[test]
fn large_sets_go_in_chunks_within_the_window() {
    let ids = |from: usize, count: usize| (from..from + count).map(|n| format!("id {n}")).collect();
    let mut left = Side::new(3, &[]);
    left.ids = ids(0, WINDOW_POINTS + 5000);
    let mut right = Side::new(4, &[]);
    right.ids = ids(100, 333);
    let (mut a, mut b) = (mailer(left), shop(right));
    let mut ahead = 0;
    let mut count = |message: &mut MatchMessage| {
        if let Some(chunk) = points(message) {
            assert!(chunk.points.len() <= CHUNK_BYTES);
            ahead = ahead.max(chunk.first as usize);
        }
    };
    // Without answers the mailer stops at the window.
    b.incoming(a.outgoing().unwrap()).unwrap();
    a.incoming(b.outgoing().unwrap()).unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| a.outgoing()).collect();
    held.iter_mut().for_each(&mut count);
    assert!(ahead < WINDOW_POINTS);
    for message in held {
        b.incoming(message).unwrap();
    }
    drive::exchange_altered(&mut a, &mut b, &mut |_| ()).unwrap();
    let (total, done) = (a.progress().total, a.progress().done);
    assert_eq!(
        (total, done),
        (2 * (WINDOW_POINTS as u64 + 5000) + 333, total)
    );
    let (a, b) = (a.finish().unwrap(), b.finish().unwrap());
    let a: drive::Crosswalk = a.into_iter().collect();
    assert_eq!((a.len(), b.len()), (WINDOW_POINTS + 5000, 333));
    assert!(b.iter().all(|(id, pseudonym)| a[id] == *pseudonym));
}

/// The order on the wire is neither that of the file nor that of the alphabet.
#[test]
fn ids_travel_shuffled() {
    let ids: Vec<String> = (0..100).map(|n| format!("id {n:03}")).collect();
    let mut side = Side::new(3, &[]);
    side.ids.clone_from(&ids);
    let (mut a, mut b) = (mailer(side), shop(Side::new(4, &[])));
    exchange(&mut a, &mut b);
    let order: Vec<String> = a.finish().unwrap().into_iter().map(|(id, _)| id).collect();
    assert_ne!(order, ids);
    let in_place = order.iter().zip(&ids).filter(|(a, b)| a == b).count();
    assert!(in_place < 20, "{in_place} of 100 ids did not move");
}

#[test]
fn a_stream_that_ends_early_gives_no_pseudonyms() {
    // After each number of messages that falls short of the whole run.
    for kept in 0..6 {
        let (mut a, mut b) = (
            mailer(Side::new(3, &["x", "y"])),
            shop(Side::new(4, &["y"])),
        );
        let mut passed = 0;
        while passed < kept {
            let Some(message) = b.outgoing() else { break };
            a.incoming(message).unwrap();
            passed += 1;
            while let Some(message) = a.outgoing() {
                b.incoming(message).unwrap();
            }
        }
        let finished = a.is_finished();
        let ended = matches!(a.finish(), Err(MatchError::EndedEarly { .. }));
        assert_eq!(ended, !finished, "after {kept} messages");
        assert_eq!(finished, passed == 4, "after {kept} messages");
    }
}

fn started(ids: &BTreeSet<String>, key: u8, me: &str, peer: &str, seed: u64) -> Run {
    let mut side = Side::new(key, &[]);
    side.ids = ids.iter().cloned().collect();
    side.start(me, peer, seed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever plays which part: equal ids have equal pseudonyms, others do not.
    #[test]
    fn matching_is_symmetric(
        left in prop::collection::btree_set("[a-e]{1,2}", 0..12),
        right in prop::collection::btree_set("[a-e]{1,2}", 0..12),
        seed in any::<u64>(),
    ) {
        let mut a = started(&left, 3, "mailer", "shop", seed);
        let mut b = started(&right, 4, "shop", "mailer", seed);
        exchange(&mut a, &mut b);
        let a: drive::Crosswalk = a.finish().unwrap().into_iter().collect();
        let b: drive::Crosswalk = b.finish().unwrap().into_iter().collect();
        prop_assert_eq!(a.keys().cloned().collect::<BTreeSet<_>>(), left.clone());
        prop_assert_eq!(b.keys().cloned().collect::<BTreeSet<_>>(), right.clone());
        let shared = left.intersection(&right).count();
        let values: BTreeSet<_> = a.values().chain(b.values()).collect();
        prop_assert_eq!(values.len(), left.len() + right.len() - shared);
        for id in left.intersection(&right) {
            prop_assert_eq!(a[id], b[id]);
        }
    }
}
