//! Whole exchanges: what a correct run gives.

use std::collections::{BTreeSet, HashSet};

use incamera_group::Backend;
use incamera_matching::exchange::Tuning;
use incamera_matching::{MatchError, Reveals};
use incamera_types::{AgreementDigest, AgreementId, Digest, MatchingEpoch};
use incamera_wire::v1::match_message::Message;
use proptest::prelude::*;

use crate::side::{Plan, mailer, matched, numbered, shop};

const BOTH: [Reveals; 2] = [Reveals::Nothing, Reveals::OwnMatches];

#[test]
fn the_same_id_has_the_same_pseudonym_on_both_sides() {
    for reveals in BOTH {
        let (a, b) = matched(
            &mailer(reveals, &["x", "y", "z"]),
            &shop(reveals, &["y", "z", "w"]),
        );
        let (a, b) = (a.crosswalk(), b.crosswalk());
        assert_eq!((a["y"], a["z"]), (b["y"], b["z"]));
        let all: BTreeSet<_> = a.values().chain(b.values()).collect();
        assert_eq!(all.len(), 4);
    }
}

/// The exchange makes the pseudonyms that the protocol before it made: crosswalks live on.
#[test]
fn pseudonyms_are_those_of_the_first_version() {
    let (a, _) = matched(
        &mailer(Reveals::Nothing, &["x", "y"]),
        &shop(Reveals::Nothing, &["y"]),
    );
    let crosswalk = a.crosswalk();
    let found = ["x", "y"].map(|id| hex::encode(crosswalk[id].as_bytes()));
    let before = [
        "ecb63ae9db476d395d22d5b4ef29d7f7",
        "cc07ce5193f64aace4ffe9a1fcf53b04",
    ];
    assert_eq!(found, before);
}

/// Another run, with other blinding and other people beside: a known id keeps its pseudonym.
#[test]
fn a_second_run_gives_the_same_pseudonyms() {
    for reveals in BOTH {
        let (first, _) = matched(&mailer(reveals, &["x", "y"]), &shop(reveals, &["y"]));
        let mut again = [
            mailer(reveals, &["y", "new"]),
            shop(reveals, &["other", "y"]),
        ];
        again.iter_mut().for_each(|plan| plan.seed += 50);
        let (second, _) = matched(&again[0], &again[1]);
        assert_eq!(first.crosswalk()["y"], second.crosswalk()["y"]);
    }
}

#[test]
fn either_key_changes_every_pseudonym() {
    for reveals in BOTH {
        let with = |ours, theirs| {
            let (mut a, mut b) = (mailer(reveals, &["x"]), shop(reveals, &["x"]));
            (a.key, b.key) = (ours, theirs);
            matched(&a, &b).0.crosswalk()["x"]
        };
        let base = with(3, 4);
        assert_ne!(base, with(5, 4));
        assert_ne!(base, with(3, 5));
    }
}

/// The peer's view of our set is new in every run: nothing links two of them.
#[test]
fn i2_blinded_points_do_not_repeat_between_runs() {
    let points = |seed| {
        let mut a = mailer(Reveals::Nothing, &["x", "y", "z", "w"]);
        a.seed = seed;
        first_points(&a)
    };
    assert_eq!(points(1).len(), 4);
    assert!(points(1).is_disjoint(&points(2)));
    assert_eq!(points(1), points(1));
}

/// The points that a side sends first.
fn first_points(plan: &Plan) -> HashSet<[u8; 32]> {
    let (mut a, mut b) = (plan.start(), shop(Reveals::Nothing, &["x"]).start());
    loop {
        let message = a.exchange.outgoing().unwrap();
        if let Some(Message::Blinded(points)) = &message.message {
            return points.points.as_chunks().0.iter().copied().collect();
        }
        b.incoming(message).unwrap();
        while let Some(message) = b.exchange.outgoing() {
            a.incoming(message).unwrap();
        }
    }
}

/// Any sizes, the one far from the other; sizes that no chunk divides.
#[test]
fn any_sizes() {
    let sizes = [
        (0, 0),
        (0, 9),
        (9, 0),
        (1, 1),
        (1, 400),
        (400, 1),
        (16, 17),
        (33, 5),
    ];
    for reveals in BOTH {
        for (left, right) in sizes {
            let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
            a.ids = numbered(0..left);
            b.ids = numbered(0..right);
            let (a, b) = matched(&a, &b);
            let common = left.min(right);
            let (crosswalk, other) = (a.crosswalk(), b.crosswalk());
            assert_eq!((crosswalk.len(), other.len()), (left, right));
            let same = |id: &&String| crosswalk[*id] == other[*id];
            let shared = a.plan.ids.iter().filter(|id| other.contains_key(*id));
            assert_eq!(shared.filter(same).count(), common, "{left} {right}");
            if reveals == Reveals::OwnMatches {
                assert_eq!((a.matches().len(), b.matches().len()), (common, common));
            }
        }
    }
}

/// One id against ten thousand: the side of one answers in the chunks of the other.
#[test]
fn one_id_against_many() {
    for reveals in BOTH {
        let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &["id 7777"]));
        a.ids = numbered(0..10_000);
        (a.tuning, b.tuning) = (Tuning::default(), Tuning::default());
        let (a, b) = matched(&a, &b);
        assert_eq!(a.crosswalk()["id 7777"], b.crosswalk()["id 7777"]);
        let multiplied = b.exchange.progress().multiplied;
        assert_eq!((multiplied.blinded, multiplied.raised), (1, 10_000));
    }
}

/// One id against a million, in chunks as large as the protocol's.
#[test]
#[ignore = "half a minute with AVX-512 IFMA at rest, minutes without: see docs/matching.md"]
fn one_id_against_a_million() {
    const MANY: usize = 1_000_000;
    let (mut a, mut b) = (
        mailer(Reveals::Nothing, &[]),
        shop(Reveals::Nothing, &["id 777777"]),
    );
    a.ids = numbered(0..MANY);
    (a.tuning, b.tuning) = (Tuning::default(), Tuning::default());
    (a.terms.max_ids, b.terms.max_ids) = (MANY as u64, MANY as u64);
    let (a, b) = matched(&a, &b);
    let (ours, theirs) = (a.crosswalk(), b.crosswalk());
    assert_eq!((ours.len(), theirs.len()), (MANY, 1));
    let shared = ours
        .iter()
        .filter(|(_, pseudonym)| **pseudonym == theirs["id 777777"]);
    assert!(shared.map(|(id, _)| id).eq(["id 777777"]));
    let multiplied = b.exchange.progress().multiplied;
    assert_eq!((multiplied.blinded, multiplied.raised), (1, MANY as u64));
}

/// `own-matches` shows each side which of its own ids the other has; no value of the peer's
/// other rows is a pseudonym that crossed the wire.
#[test]
fn own_matches_are_the_intersection() {
    let (a, b) = matched(
        &mailer(Reveals::OwnMatches, &["x", "y", "z"]),
        &shop(Reveals::OwnMatches, &["y", "z", "w"]),
    );
    assert_eq!(a.matches(), ["y", "z"]);
    assert_eq!(b.matches(), ["y", "z"]);
    let pseudonyms: BTreeSet<[u8; 16]> = a.crosswalk().values().map(|p| *p.as_bytes()).collect();
    assert!(a.journal.own.iter().all(|tag| !pseudonyms.contains(tag)));
}

/// Under `nothing`, no value that a side holds tells of a match.
#[test]
fn nothing_shows_no_match() {
    let ids = ["x", "y", "z"];
    let (a, b) = matched(
        &mailer(Reveals::Nothing, &ids),
        &shop(Reveals::Nothing, &ids),
    );
    assert!(a.matches().is_empty() && b.matches().is_empty());
    assert_eq!(a.crosswalk(), b.crosswalk());
}

#[test]
fn pseudonyms_hang_on_agreement_id_epoch_kind_and_reveals() {
    let with = |reveals, alter: &dyn Fn(&mut incamera_matching::Terms)| {
        let mut plans = [mailer(reveals, &["x"]), shop(reveals, &["x"])];
        plans.iter_mut().for_each(|plan| alter(&mut plan.terms));
        let [a, b] = plans;
        let (a, b) = matched(&a, &b);
        assert_eq!(a.crosswalk(), b.crosswalk());
        a.crosswalk()["x"]
    };
    for reveals in BOTH {
        let all = [
            with(reveals, &|_| ()),
            with(reveals, &|terms| {
                terms.agreement_id = AgreementId::from_bytes([9; 32])
            }),
            with(reveals, &|terms| terms.epoch = MatchingEpoch(2)),
            with(reveals, &|terms| terms.id_kind = "phone".parse().unwrap()),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
        let version = with(reveals, &|terms| {
            terms.agreement_digest = AgreementDigest::from_bytes([9; 32]);
        });
        assert_eq!(version, all[0]);
    }
    let [nothing, own] = BOTH.map(|reveals| with(reveals, &|_| ()));
    assert_ne!(nothing, own);
}

/// Every way of multiplying gives the same run.
#[test]
fn backends_agree() {
    let crosswalks = Backend::all().map(|backend| {
        let mut a = mailer(Reveals::Nothing, &["x", "y"]);
        a.backend = backend;
        matched(&a, &shop(Reveals::Nothing, &["y"])).0.journal
    });
    let crosswalks: Vec<_> = crosswalks.collect();
    assert!(crosswalks.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_run_that_is_not_finished_gives_nothing() {
    let a = mailer(Reveals::Nothing, &["x"]).start();
    assert!(matches!(
        a.exchange.finish(),
        Err(MatchError::EndedEarly { .. })
    ));
    let (a, b) = matched(
        &mailer(Reveals::Nothing, &["x"]),
        &shop(Reveals::Nothing, &["x", "y"]),
    );
    let (a, b) = (a.exchange.finish().unwrap(), b.exchange.finish().unwrap());
    assert_eq!(a.run, b.run);
    assert_eq!((a.own, a.theirs, b.own, b.theirs), (1, 2, 2, 1));
    assert_eq!(
        (
            a.multiplied.blinded,
            a.multiplied.raised,
            a.multiplied.completed
        ),
        (1, 2, 1)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Equal ids have equal pseudonyms, others do not; `own-matches` shows the intersection.
    #[test]
    fn matching_is_symmetric(
        left in prop::collection::btree_set("[a-e]{1,2}", 0..24),
        right in prop::collection::btree_set("[a-e]{1,2}", 0..24),
        own in any::<bool>(),
        chunk in 1_usize..6,
        ahead in 0_usize..10,
    ) {
        let reveals = BOTH[usize::from(own)];
        let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
        a.ids = left.iter().cloned().collect();
        b.ids = right.iter().cloned().collect();
        a.tuning = Tuning::new(chunk, chunk + ahead).unwrap();
        let (a, b) = matched(&a, &b);
        let shared: Vec<&str> = left.intersection(&right).map(String::as_str).collect();
        let (first, second) = (a.crosswalk(), b.crosswalk());
        let values: BTreeSet<_> = first.values().chain(second.values()).collect();
        prop_assert_eq!(values.len(), left.len() + right.len() - shared.len());
        prop_assert!(shared.iter().all(|id| first[*id] == second[*id]));
        if own {
            prop_assert_eq!(a.matches(), shared.clone());
            prop_assert_eq!(b.matches(), shared);
        }
    }
}
