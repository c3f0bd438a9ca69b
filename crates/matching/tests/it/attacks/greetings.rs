//! Greetings, beginnings, and runs that go on.

use super::*;

/// What a shop says of a greeting of the mailer.
fn greeted(alter: impl Fn(&mut MatchHello)) -> MatchError {
    let mut hello = hello_of(&mut mailer(Reveals::Nothing, &["x"]).start());
    alter(&mut hello);
    let mut shop = shop(Reveals::Nothing, &["x"]).start();
    shop.incoming(wrap(Message::Hello(hello))).unwrap_err()
}

fn incompatible(alter: impl Fn(&mut MatchHello)) -> Incompatible {
    match greeted(alter) {
        MatchError::PeerIncompatible { peer, source } => {
            assert_eq!(peer.as_str(), "mailer");
            source
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn second_greetings_and_beginnings() {
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let hello = MatchHello {
        set_size: 4,
        ..hello_of(&mut attack.mailer.plan.start())
    };
    assert_eq!(
        attack.refused(Message::Hello(hello)),
        Misbehaviour::SecondHello
    );
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let run = attack.shop.journal.header.unwrap().1.to_string();
    let begin = MatchBegin {
        run: hex::decode(run).unwrap(),
        ..MatchBegin::default()
    };
    assert_eq!(
        attack.refused(Message::Begin(begin)),
        Misbehaviour::SecondBegin
    );
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let empty = attack.shop.incoming(MatchMessage { message: None });
    let empty_message = Misbehaviour::EmptyMessage;
    assert!(
        matches!(empty, Err(MatchError::PeerMisbehaved { source, .. }) if source == empty_message)
    );
}

/// Whoever is told that its run is not known has greeted, and does not do so again.
#[test]
fn a_second_greeting_where_a_run_is_made_anew() {
    let (plan, journal, _) = cut_off(Reveals::Nothing);
    let mut shop = plan.try_start(journal).unwrap();
    let other = Plan {
        nonce: 9,
        ..mailer(Reveals::Nothing, &["x", "y"])
    };
    let hello = || wrap(Message::Hello(hello_of(&mut other.start())));
    shop.exchange.incoming(hello()).unwrap();
    assert!(shop.exchange.must_start_anew());
    let again = shop.exchange.incoming(hello());
    let second = Misbehaviour::SecondHello;
    assert!(matches!(again, Err(MatchError::PeerMisbehaved { source, .. }) if source == second));
}

/// A recorded greeting gives a run of another name, since our nonce is in it: the recorded
/// beginning does not fit, and no point is raised.
#[test]
fn a_replay_of_an_earlier_run() {
    for reveals in BOTH {
        let plan = mailer(reveals, &["x", "y", "z"]);
        let (mut peer, mut first) = (plan.start(), shop(reveals, &["x"]).start());
        let mut recorded = Vec::new();
        while !first.exchange.is_finished() {
            while let Some(message) = peer.exchange.outgoing() {
                recorded.push(message.clone());
                first.incoming(message).unwrap();
            }
            while let Some(message) = first.exchange.outgoing() {
                peer.incoming(message).unwrap();
            }
        }
        let mut later = shop(reveals, &["x"]);
        later.nonce += 1;
        let mut later = later.start();
        later.incoming(recorded[0].clone()).unwrap();
        let found = later.incoming(recorded[1].clone()).unwrap_err();
        let MatchError::PeerMisbehaved { source, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!(source, Misbehaviour::OtherRun);
        assert_eq!(later.exchange.progress().multiplied.raised, 0);
    }
}

/// The mailer's greeting for the run that was cut off.
fn back(mailer: &Side, received: u64) -> MatchHello {
    let resume = MatchResume {
        run: hex::decode(mailer.journal.header.unwrap().1.to_string()).unwrap(),
        received,
        raised: 0,
    };
    MatchHello {
        resume: Some(resume),
        ..hello_of(&mut mailer.plan.start())
    }
}

fn resumed(reveals: Reveals, alter: impl Fn(&mut MatchHello)) -> Result<(), MatchError> {
    let (plan, journal, mailer) = cut_off(reveals);
    let mut hello = back(&mailer, 4);
    alter(&mut hello);
    plan.try_start(journal)?
        .incoming(wrap(Message::Hello(hello)))
}

#[test]
fn another_greeting_for_a_run_that_was_cut_off() {
    for reveals in BOTH {
        assert_eq!(resumed(reveals, |_| ()), Ok(()));
        let misbehaved = |alter: &dyn Fn(&mut MatchHello)| match resumed(reveals, alter) {
            Err(MatchError::PeerMisbehaved { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        let other = Misbehaviour::OtherHello;
        assert_eq!(misbehaved(&|hello| hello.set_size = 41), other);
        assert_eq!(misbehaved(&|hello| hello.nonce = vec![9; 32]), other);
        assert_eq!(misbehaved(&|hello| hello.mode = "append".into()), other);
        let resume = |hello: &mut MatchHello, received, raised| {
            let resume = hello.resume.as_mut().unwrap();
            (resume.received, resume.raised) = (received, raised);
        };
        // More answers than were kept here, and more of our points than there are.
        assert_eq!(
            misbehaved(&|hello| resume(hello, 13, 0)),
            Misbehaviour::Places
        );
        assert_eq!(
            misbehaved(&|hello| resume(hello, 4, 2)),
            Misbehaviour::Places
        );
        assert_eq!(
            misbehaved(&|hello| hello.resume.as_mut().unwrap().run = vec![7; 32]),
            other
        );
    }
}

/// A peer that says it has forgotten answers of ours that we hold.
#[test]
fn a_peer_that_kept_less_than_it_answered() {
    let mut done = begun(Reveals::Nothing, &["x"]);
    done.shop.journal.own = vec![[1; 16]];
    let mut shop = done.shop.plan.try_start(done.shop.journal.clone()).unwrap();
    let hello = back(&done.mailer, 0);
    let found = shop.incoming(wrap(Message::Hello(hello)));
    let places = Misbehaviour::Places;
    assert!(matches!(found, Err(MatchError::PeerMisbehaved { source, .. }) if source == places));
}

#[test]
fn another_point_at_a_place_that_was_answered() {
    for reveals in BOTH {
        let (plan, journal, mailer) = cut_off(reveals);
        let held = Journal {
            greeting: [0; 32],
            header: mailer.journal.header,
            own: vec![[0; 16]; 4],
            theirs: Vec::new(),
        };
        let again = || {
            let peer = mailer.plan.try_start(held.clone()).unwrap();
            between(peer, plan.try_start(journal.clone()).unwrap())
        };
        // The points of the places from 4 on, in one chunk over the end of what was answered.
        let points = again().points;
        assert_eq!(again().send(blinded(4, points.clone())), Ok(()));
        let mut swapped = points.clone();
        swapped[32 * 3..32 * 4].copy_from_slice(&points[32 * 10..32 * 11]);
        let mut attack = again();
        let found = attack.refused(blinded(4, swapped));
        assert_eq!(found, Misbehaviour::ChangedPoint { place: 7 });
        // Behind that end the places are new.
        let mut swapped = points.clone();
        swapped[32 * 9..32 * 10].copy_from_slice(&points[32 * 10..32 * 11]);
        assert_eq!(again().send(blinded(4, swapped)), Ok(()));
    }
}

#[test]
fn beginnings_of_other_runs_and_places() {
    let begin = |alter: &dyn Fn(&mut MatchBegin)| {
        let mut peer = mailer(Reveals::Nothing, &["x"]).start();
        let mut shop = shop(Reveals::Nothing, &["x"]).start();
        shop.incoming(wrap(Message::Hello(hello_of(&mut peer))))
            .unwrap();
        peer.incoming(shop.exchange.outgoing().unwrap()).unwrap();
        let Some(Message::Begin(mut begin)) = peer.exchange.outgoing().unwrap().message else {
            panic!("no beginning")
        };
        alter(&mut begin);
        match shop.incoming(wrap(Message::Begin(begin))) {
            Err(MatchError::PeerMisbehaved { source, .. }) => Some(source),
            Ok(()) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(begin(&|_| ()), None);
    assert_eq!(
        begin(&|begin| begin.run = vec![1; 32]),
        Some(Misbehaviour::OtherRun)
    );
    assert_eq!(
        begin(&|begin| begin.run.clear()),
        Some(Misbehaviour::OtherRun)
    );
    assert_eq!(
        begin(&|begin| begin.blinded_from = 1),
        Some(Misbehaviour::Places)
    );
    assert_eq!(
        begin(&|begin| begin.raised_from = 1),
        Some(Misbehaviour::Places)
    );
}

#[test]
fn other_terms() {
    let format = incompatible(|hello| hello.format = "incamera-matching/1".into());
    assert!(matches!(format, Incompatible::Format(_)));
    assert!(
        format.to_string().contains("incamera-matching/1"),
        "{format}"
    );
    let agreement = incompatible(|hello| hello.agreement_digest[0] ^= 1);
    assert_eq!(agreement, Incompatible::Agreement);
    assert_eq!(
        incompatible(|hello| hello.party = "stranger".into()),
        Incompatible::Party
    );
    let epoch = Incompatible::Epoch {
        ours: MatchingEpoch(1),
        theirs: MatchingEpoch(2),
    };
    assert_eq!(incompatible(|hello| hello.epoch = 2), epoch);
    let kind = incompatible(|hello| hello.id_kind = "phone".into());
    assert!(matches!(kind, Incompatible::IdKind { .. }));
    let method = incompatible(|hello| hello.method = "vole".into());
    assert!(matches!(method, Incompatible::Method { .. }));
    let reveals = incompatible(|hello| hello.reveals = "own-matches".into());
    assert!(matches!(reveals, Incompatible::Reveals { .. }));
    let rules = Incompatible::Rules { ours: 2, theirs: 1 };
    assert_eq!(incompatible(|hello| hello.rules = 1), rules);
    assert_eq!(
        incompatible(|hello| hello.mode = "half".into()),
        Incompatible::Mode
    );
    let partition = Incompatible::Partition {
        ours: Partition::WHOLE,
    };
    assert_eq!(incompatible(|hello| hello.partitions = 256), partition);
    assert_eq!(incompatible(|hello| hello.partitions = 0), partition);
    assert_eq!(
        incompatible(|hello| hello.row_keys = true),
        Incompatible::RowKeys
    );
}

#[test]
fn greetings_with_malformed_fields() {
    let field = |alter: &dyn Fn(&mut MatchHello)| match greeted(alter) {
        MatchError::PeerMisbehaved {
            source: Misbehaviour::Hello { field },
            ..
        } => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&|hello| hello.nonce.clear()), "nonce");
    assert_eq!(field(&|hello| hello.nonce.push(1)), "nonce");
    let resume = MatchResume {
        run: vec![1; 31],
        ..MatchResume::default()
    };
    assert_eq!(
        field(&|hello| hello.resume = Some(resume.clone())),
        "resume.run"
    );
}

/// A peer may declare `max_ids` and what it mixes in; with appends, over all runs since its
/// last full one.
#[test]
fn sets_beyond_what_is_allowed() {
    let limit = |base: Base, mode: Mode, size: u64| {
        let mut plan = shop(Reveals::Nothing, &["x"]);
        plan.base = base;
        let mut hello = hello_of(&mut mailer(Reveals::Nothing, &["x"]).start());
        hello.set_size = size;
        hello.mode = mode.to_string();
        match plan.start().incoming(wrap(Message::Hello(hello))) {
            Err(MatchError::PeerIncompatible {
                source: Incompatible::SetTooLarge { limit, .. },
                ..
            }) => Some(limit),
            Ok(()) => None,
            other => panic!("{other:?}"),
        }
    };
    let (max, mixed) = (100_000, KNOWN_IDS as u64);
    let base = Base {
        ids: 60_000,
        runs: 2,
        ..Base::default()
    };
    assert_eq!(limit(Base::default(), Mode::Full, max + mixed), None);
    assert_eq!(
        limit(Base::default(), Mode::Full, max + mixed + 1),
        Some(max + mixed)
    );
    assert_eq!(limit(base, Mode::Full, max + mixed), None);
    let left = 40_000 + 3 * mixed;
    assert_eq!(limit(base, Mode::Append, left), None);
    assert_eq!(limit(base, Mode::Append, left + 1), Some(left));
    let full = Base {
        ids: u64::MAX,
        runs: 2,
        ..Base::default()
    };
    assert_eq!(limit(full, Mode::Append, 1), Some(0));
}

#[test]
fn numbering_plans_may_differ() {
    let mut plan = mailer(Reveals::Nothing, &["x"]);
    plan.numbering = "9.0.42".into();
    let (a, b) = matched(&plan, &shop(Reveals::Nothing, &["x"]));
    let other = |side: &Side| side.exchange.agreed().unwrap().other_numbering.clone();
    assert_eq!(
        (other(&a), other(&b)),
        (Some(String::new()), Some("9.0.42".to_owned()))
    );
    let mut same = shop(Reveals::Nothing, &["x"]);
    same.numbering = "9.0.42".into();
    assert_eq!(other(&matched(&plan, &same).0), None);
}

#[test]
fn alike_is_compared_with_both() {
    let mut plan = mailer(Reveals::Nothing, &["x"]);
    plan.alike = Alike {
        rules: 2,
        partition: Partition::new(3, 256).unwrap(),
    };
    let mut other = shop(Reveals::Nothing, &["x"]);
    other.alike = plan.alike.clone();
    let (a, b) = matched(&plan, &other);
    assert_eq!(a.crosswalk(), b.crosswalk());
    other.alike.partition = Partition::new(4, 256).unwrap();
    let hello = hello_of(&mut plan.start());
    assert!(other.start().incoming(wrap(Message::Hello(hello))).is_err());
}
