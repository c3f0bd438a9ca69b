//! Points, answers and ends.

use super::*;

#[test]
fn points_that_are_none_in_both_directions() {
    for reveals in BOTH {
        for (bad, fault) in [
            ([0; 32], "Identity"),
            ([0xff; 32], "Malformed"),
            ([1; 32], "Malformed"),
        ] {
            let mut attack = begun(reveals, &["x"]);
            let mut points = attack.points.clone();
            points[32..64].copy_from_slice(&bad);
            let found = attack.refused(blinded(0, points));
            assert!(
                matches!(found, Misbehaviour::BadPoint { place: 1, .. }),
                "{found:?}"
            );
            assert!(format!("{found:?}").contains(fault));
        }
    }
    for bad in [[0; 32], [0xff; 32]] {
        let mut attack = begun(Reveals::Nothing, &["x"]);
        attack.shop.exchange.outgoing().unwrap();
        let found = attack.refused(raised(0, bad.to_vec()));
        assert!(
            matches!(found, Misbehaviour::BadPoint { place: 0, .. }),
            "{found:?}"
        );
    }
}

/// Who takes and gives nothing has no more than a window, whatever was raised and kept.
#[test]
fn a_peer_that_never_answers() {
    for (reveals, ids) in [(Reveals::Nothing, 5), (Reveals::OwnMatches, 400)] {
        let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
        a.ids = numbered(0..40);
        b.ids = numbered(0..ids);
        b.tuning = Tuning::new(2, 4).unwrap();
        let mut attack = between(a.start(), b.start());
        let points = attack.points.clone();
        let mut answered = 0;
        for (at, chunk) in points.chunks(4 * 32).enumerate() {
            attack.send(blinded(4 * at as u64, chunk.to_vec())).unwrap();
            while let Some(message) = attack.shop.exchange.outgoing() {
                answered += match message.message {
                    Some(Message::Raised(chunk)) => chunk.points.len() / 32,
                    Some(Message::Tags(chunk)) => chunk.tags.len() / 16,
                    _ => 0,
                };
            }
        }
        assert_eq!(answered, 4);
        // As many as a side sends before it is answered.
        assert_eq!(attack.shop.exchange.progress().theirs, 16);
    }
}

#[test]
fn more_or_fewer_points_than_declared() {
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let four = [attack.points.clone(), attack.point(0)].concat();
    assert_eq!(
        attack.refused(blinded(0, four)),
        Misbehaviour::TooMany { expected: 3 }
    );
    // However they are cut: three of three came, and one more of them.
    let mut attack = begun(Reveals::Nothing, &["x"]);
    attack.send(blinded(0, attack.points.clone())).unwrap();
    assert_eq!(
        attack.refused(blinded(3, attack.point(0))),
        Misbehaviour::TooMany { expected: 3 }
    );
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let (two, rest) = (attack.points[..64].to_vec(), attack.points[..64].to_vec());
    attack.send(blinded(0, two)).unwrap();
    assert_eq!(
        attack.refused(blinded(2, rest)),
        Misbehaviour::TooMany { expected: 3 }
    );
    for received in [0, 2, 3, 4] {
        let mut attack = begun(Reveals::Nothing, &["x"]);
        let two = attack.points[..64].to_vec();
        attack.send(blinded(0, two)).unwrap();
        let found = attack.refused(done(received));
        assert_eq!(
            found,
            Misbehaviour::WrongCount {
                expected: 3,
                found: received
            }
        );
    }
    let mut attack = begun(Reveals::Nothing, &["x"]);
    attack
        .send(blinded(0, attack.points[..64].to_vec()))
        .unwrap();
    let ended = attack.shop.exchange.finish();
    assert!(matches!(ended, Err(MatchError::EndedEarly { .. })));
}

/// An end is one only after all answers left, and once.
#[test]
fn ends_that_do_not_fit() {
    for received in [2, 4] {
        let mut attack = begun(Reveals::Nothing, &["x"]);
        attack.send(blinded(0, attack.points.clone())).unwrap();
        while attack.shop.exchange.outgoing().is_some() {}
        let found = attack.refused(done(received));
        assert_eq!(
            found,
            Misbehaviour::WrongCount {
                expected: 3,
                found: received
            }
        );
    }
    let mut attack = begun(Reveals::Nothing, &["x"]);
    attack.send(blinded(0, attack.points.clone())).unwrap();
    while attack.shop.exchange.outgoing().is_some() {}
    attack.send(done(3)).unwrap();
    assert!(matches!(
        attack.refused(done(3)),
        Misbehaviour::WrongCount { .. }
    ));
}

#[test]
fn chunks_out_of_order_twice_empty_or_too_large() {
    for reveals in BOTH {
        let mut attack = begun(reveals, &["x"]);
        let late = attack.refused(blinded(1, attack.point(1)));
        assert_eq!(
            late,
            Misbehaviour::OutOfOrder {
                expected: 0,
                found: 1
            }
        );
        let mut attack = begun(reveals, &["x"]);
        attack.send(blinded(0, attack.point(0))).unwrap();
        let twice = attack.refused(blinded(0, attack.point(0)));
        assert_eq!(
            twice,
            Misbehaviour::OutOfOrder {
                expected: 1,
                found: 0
            }
        );
        for bytes in [0, 1, 31, 33, 95, CHUNK_BYTES + 32] {
            let found = begun(reveals, &["x"]).refused(blinded(0, vec![1; bytes]));
            assert_eq!(found, Misbehaviour::ChunkSize { bytes });
        }
    }
    for bytes in [0, 15, 17, CHUNK_BYTES + 16] {
        let mut attack = begun(Reveals::OwnMatches, &["x"]);
        assert_eq!(
            attack.refused(tags(0, vec![1; bytes])),
            Misbehaviour::ChunkSize { bytes }
        );
    }
}

/// Each chunk is a record of the journal and a piece of work: one point at a time is refused, in
/// both directions, but where a set or what was kept before ends.
#[test]
fn chunks_that_are_small_for_no_reason() {
    let small = |points: u64| Misbehaviour::SmallChunk { points };
    for reveals in BOTH {
        let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
        (a.ids, b.ids) = (numbered(0..600), numbered(0..600));
        b.tuning = Tuning::new(300, 600).unwrap();
        a.tuning = b.tuning;
        let mut attack = between(a.start(), b.start());
        for points in [1, 255] {
            let bytes = attack.points.get(..32 * points).unwrap().to_vec();
            let mut attack = between(a.start(), b.start());
            assert_eq!(attack.refused(blinded(0, bytes)), small(points as u64));
        }
        let (most, last) = attack.points.split_at(32 * 599);
        let (most, last) = (most.to_vec(), last.to_vec());
        let (one, two) = most.split_at(32 * 256);
        attack.send(blinded(0, one.to_vec())).unwrap();
        attack.send(blinded(256, two.to_vec())).unwrap();
        attack.send(blinded(599, last)).unwrap();
        // Answers may end where our own chunks do.
        let answer = |first: u64, count: usize| match reveals {
            Reveals::Nothing => raised(first, attack.points[..32 * count].to_vec()),
            _ => tags(first, vec![1; 16 * count]),
        };
        let answers = |counts: &[usize]| {
            let mut attack = between(a.start(), b.start());
            while attack.shop.exchange.outgoing().is_some() {}
            let (last, most) = counts.split_last().unwrap();
            let mut first = 0;
            for count in most {
                attack.send(answer(first, *count)).unwrap();
                first += *count as u64;
            }
            attack.send(answer(first, *last))
        };
        for counts in [&[300, 300][..], &[256, 44, 300], &[299, 1, 256, 44]] {
            assert_eq!(answers(counts), Ok(()), "{counts:?}");
        }
        for counts in [&[1][..], &[255], &[256, 43], &[300, 255]] {
            let refused = answers(counts);
            let found = small(*counts.last().unwrap() as u64);
            assert!(
                matches!(&refused, Err(MatchError::PeerMisbehaved { source, .. }) if *source == found),
                "{counts:?} {refused:?}"
            );
        }
    }
}

#[test]
fn answers_to_points_that_were_not_sent() {
    for reveals in BOTH {
        let mut attack = begun(reveals, &["x"]);
        let answer = |attack: &Attack| match reveals {
            Reveals::Nothing => raised(0, attack.point(0)),
            _ => tags(0, vec![1; 16]),
        };
        let early = attack.refused(answer(&attack));
        assert_eq!(early, Misbehaviour::TooMany { expected: 0 });
        let mut attack = begun(reveals, &["x"]);
        attack.shop.exchange.outgoing().unwrap();
        attack.send(answer(&attack)).unwrap();
        let again = attack.refused(answer(&attack));
        assert_eq!(
            again,
            Misbehaviour::OutOfOrder {
                expected: 1,
                found: 0
            }
        );
    }
}

#[test]
fn answers_of_the_other_kind() {
    let mut attack = begun(Reveals::Nothing, &["x"]);
    attack.shop.exchange.outgoing().unwrap();
    assert_eq!(
        attack.refused(tags(0, vec![1; 16])),
        Misbehaviour::WrongAnswers
    );
    let mut attack = begun(Reveals::OwnMatches, &["x"]);
    attack.shop.exchange.outgoing().unwrap();
    assert_eq!(
        attack.refused(raised(0, attack.point(0))),
        Misbehaviour::WrongAnswers
    );
}

/// A peer that does not wait for answers fills no memory.
#[test]
fn a_flood_of_points() {
    let (mut flood, shop) = (mailer(Reveals::Nothing, &[]), shop(Reveals::Nothing, &[]));
    flood.ids = numbered(0..MAX_WINDOW + 8192);
    let mut attack = between(flood.start(), shop.start());
    let chunk = attack.point(0).repeat(8192);
    let exchange = &mut attack.shop.exchange;
    let mut first = 0;
    while first < MAX_WINDOW as u64 {
        exchange
            .incoming(wrap(blinded(first, chunk.clone())))
            .unwrap();
        first += 8192;
    }
    let found = exchange.incoming(wrap(blinded(first, attack.points[..32].to_vec())));
    let Err(MatchError::PeerMisbehaved { source, .. }) = found else {
        panic!("{found:?}")
    };
    assert_eq!(
        source,
        Misbehaviour::TooFarAhead {
            limit: MAX_WINDOW as u64
        }
    );
}

#[test]
fn messages_before_their_time() {
    for message in [blinded(0, vec![1; 32]), done(0), tags(0, vec![1; 16])] {
        let mut shop = shop(Reveals::Nothing, &["x"]).start();
        let found = shop.incoming(wrap(message)).unwrap_err();
        let MatchError::PeerMisbehaved { source, .. } = found else {
            panic!("{found:?}")
        };
        assert_eq!(source, Misbehaviour::BeforeHello);
    }
    // The shop has begun, the mailer has not.
    let mut shop = shop(Reveals::Nothing, &["x"]).start();
    let hello = hello_of(&mut mailer(Reveals::Nothing, &["x"]).start());
    shop.incoming(wrap(Message::Hello(hello))).unwrap();
    assert_eq!((shop.counted, shop.exchange.wanted()), (1, None));
    let found = shop.incoming(wrap(blinded(0, vec![1; 32]))).unwrap_err();
    let MatchError::PeerMisbehaved { source, .. } = found else {
        panic!("{found:?}")
    };
    assert_eq!(source, Misbehaviour::BeforeBegin);
}

/// Before this side has counted the run, it raises nothing.
#[test]
fn points_before_the_run_is_counted() {
    let mut shop = shop(Reveals::Nothing, &["x"]).start();
    let mut peer = mailer(Reveals::Nothing, &["x"]).start();
    shop.exchange
        .incoming(wrap(Message::Hello(hello_of(&mut peer))))
        .unwrap();
    let hello = shop.exchange.outgoing().unwrap();
    peer.incoming(hello).unwrap();
    let begin = peer.exchange.outgoing().unwrap();
    shop.exchange.incoming(begin).unwrap();
    assert!(shop.exchange.outgoing().is_none());
    let found = shop.exchange.incoming(wrap(blinded(0, vec![1; 32])));
    let before = Misbehaviour::BeforeBegin;
    assert!(matches!(found, Err(MatchError::PeerMisbehaved { source, .. }) if source == before));
}

/// The sentence a person reads has the peer in it, and no bytes of a point.
#[test]
fn errors_name_the_peer_and_no_data() {
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let mut points = attack.points.clone();
    points[..32].copy_from_slice(&[0xab; 32]);
    let error = attack.send(blinded(0, points)).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("mailer"));
    assert!(!text.contains("171") && !text.contains("abab"), "{text}");
}

#[test]
fn our_own_mistakes() {
    let misuse = |plan: &Plan, journal: Journal| match plan.try_start(journal) {
        Err(MatchError::Misuse(misuse)) => misuse,
        _ => panic!("no mistake"),
    };
    let plan = mailer(Reveals::Nothing, &["x"]);
    let alone = Plan {
        peer: "mailer",
        ..plan.clone()
    };
    assert_eq!(misuse(&alone, Journal::default()), Misuse::SameParty);
    let mut many = plan.clone();
    many.terms.max_ids = 1;
    many.ids = numbered(0..66);
    let found = misuse(&many, Journal::default());
    assert_eq!(
        found,
        Misuse::TooManyIds {
            found: 66,
            limit: 65
        }
    );
    let (_, _, side) = cut_off(Reveals::Nothing);
    let kept = Journal {
        own: vec![[1; 16]; 2],
        ..side.journal
    };
    assert_eq!(misuse(&plan, kept), Misuse::Kept);
    let mut side = plan.start();
    assert_eq!(side.exchange.begin(), Err(Misuse::NotAgreed.into()));
    let given = side
        .exchange
        .give(0, incamera_matching::exchange::Block::new());
    assert_eq!(given, Err(Misuse::NotAsked.into()));
}

/// What was handed out must be kept before a link is given up, and nothing else can be kept.
#[test]
fn marks_that_were_not_handed_out() {
    let mut attack = begun(Reveals::Nothing, &["x"]);
    let points = attack.points.clone();
    let exchange = &mut attack.shop.exchange;
    exchange.incoming(wrap(blinded(0, points))).unwrap();
    let job = exchange.job().unwrap();
    exchange.done(job.work()).unwrap();
    let keep = exchange.to_keep().unwrap();
    assert_eq!(exchange.rejoin(), Err(Misuse::NotKept.into()));
    exchange.kept(keep.mark).unwrap();
    exchange.rejoin().unwrap();
    let mut fresh = begun(Reveals::Nothing, &["x"]).shop.exchange;
    assert_eq!(fresh.kept(keep.mark), Err(Misuse::Kept.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any message cut short is no message, is refused, or is followed by a run that does not
    /// finish: never a crosswalk, never a panic.
    #[test]
    fn truncated_messages_finish_nothing(at in 0_usize..5, cut in 1_usize..200, own in any::<bool>()) {
        let reveals = BOTH[usize::from(own)];
        let (mut a, mut b) = (mailer(reveals, &["x", "y"]).start(), shop(reveals, &["y"]).start());
        let mut number = 0;
        let mut refused = false;
        'exchange: loop {
            let mut moved = false;
            while let Some(message) = a.exchange.outgoing() {
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
            while let Some(message) = b.exchange.outgoing() {
                moved = true;
                if a.incoming(message).is_err() {
                    refused = true;
                    break 'exchange;
                }
            }
            if !moved {
                break;
            }
        }
        prop_assert!(refused || b.exchange.finish().is_err());
    }

    /// Arbitrary bytes in place of points: an error unless they happen to be whole points, never a
    /// panic.
    #[test]
    fn arbitrary_points_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut attack = begun(Reveals::Nothing, &["x"]);
        let whole = bytes.len() % 32 == 0 && (1..=3).contains(&(bytes.len() / 32));
        let taken = attack.send(blinded(0, bytes));
        prop_assert!(taken.is_err() || whole);
    }
}
