use incamera_wire::v1::VolePart;

use super::*;

const SIZES: [(u64, u64); 5] = [(1, 1), (1, 1000), (1000, 1), (300, 500), (40_000, 300)];

fn range(from: u64, items: u64) -> std::ops::Range<u64> {
    from..from + items
}

/// Plays a run to its end; the number of bytes that went across.
pub(super) fn play(receiver: &mut Receiver, sender: &mut Sender) -> Result<u64, VoleError> {
    let mut bytes = 0;
    loop {
        let mut quiet = true;
        while let Some(part) = sender.outgoing() {
            bytes += part.content.len() as u64;
            receiver.incoming(&part)?;
            quiet = false;
        }
        while let Some(part) = receiver.outgoing() {
            bytes += part.content.len() as u64;
            sender.incoming(&part)?;
            quiet = false;
        }
        if quiet {
            return Ok(bytes);
        }
    }
}

#[test]
fn both_have_the_same_value_for_an_id_and_know_what_reveals_says() {
    for (n_x, n_y) in SIZES {
        for reveals in [Reveals::Nothing, Reveals::OwnMatches] {
            for security in [Security::SemiHonest, Security::Malicious] {
                let run = Run {
                    security,
                    ..run(n_x, n_y, reveals)
                };
                // Half of the smaller set is in common.
                let common = n_x.min(n_y) / 2;
                let (x, y) = (range(0, n_x), range(n_x - common, n_y));
                let (mut receiver, mut sender) = sides(run, x.clone(), y.clone(), n_x ^ n_y);
                let bytes = play(&mut receiver, &mut sender).unwrap();
                let made = run.vectors().unwrap().message_bytes();
                let made = if run.is_skipped() {
                    0
                } else {
                    made.iter().sum()
                };
                assert_eq!(bytes + made as u64, run.bytes().unwrap());
                assert!(receiver.is_finished() && sender.is_finished());
                let (theirs, ours) = (receiver.finish().unwrap(), sender.finish().unwrap());
                for (i, id) in x.clone().enumerate() {
                    let place = y.clone().position(|other| other == id);
                    let mut same =
                        (0..ours.values.len()).filter(|j| ours.values[*j] == theirs.values[i]);
                    assert_eq!(same.next(), place);
                    let known = (reveals == Reveals::OwnMatches).then_some(place.is_some());
                    assert_eq!(theirs.matched.as_ref().map(|m| m[i]), known);
                }
                for (j, id) in y.clone().enumerate() {
                    let known = (reveals == Reveals::OwnMatches).then_some(x.contains(&id));
                    assert_eq!(ours.matched.as_ref().map(|m| m[j]), known);
                }
                assert_eq!(
                    (theirs.values.len(), ours.values.len()),
                    (x.count(), y.count())
                );
            }
        }
    }
}

/// From the first transfer to the last digest, with what both know beforehand of its bytes.
#[test]
fn a_whole_run_takes_the_bytes_that_are_known_beforehand() {
    for (n_x, n_y, reveals) in [(1, 3, Reveals::Nothing), (300, 200, Reveals::OwnMatches)] {
        let run = run(n_x, n_y, reveals);
        let (mut receiver, mut sender) = whole(run, 0..n_x, 100..100 + n_y, 5);
        let start = Progress {
            done: 0,
            total: run.bytes().unwrap(),
        };
        assert_eq!((receiver.progress(), sender.progress()), (start, start));
        assert_eq!(play(&mut receiver, &mut sender).unwrap(), start.total);
        let end = Progress {
            done: start.total,
            ..start
        };
        assert_eq!((receiver.progress(), sender.progress()), (end, end));
        let (theirs, ours) = (receiver.finish().unwrap(), sender.finish().unwrap());
        let common = theirs
            .values
            .iter()
            .filter(|value| ours.values.contains(value));
        assert_eq!(common.count() as u64, n_x.saturating_sub(100).min(n_y));
        assert!(
            theirs
                .values
                .iter()
                .skip(100)
                .zip(&*ours.values)
                .all(|(a, b)| a == b)
        );
    }
}

/// With an empty set nothing is sent, no key is made, and nobody has a value of the other's.
#[test]
fn a_run_with_an_empty_set_is_over_before_it_begins() {
    for (n_x, n_y) in [(0, 5), (5, 0), (0, 0)] {
        for reveals in [Reveals::Nothing, Reveals::OwnMatches] {
            let run = run(n_x, n_y, reveals);
            let sides = || whole(run, 0..n_x, 0..n_y, 6);
            let (mut receiver, mut sender) = sides();
            assert!(receiver.outgoing().is_none() && sender.outgoing().is_none());
            assert!(receiver.is_finished() && sender.is_finished());
            assert!(!receiver.counts() && !sender.counts());
            assert_eq!(receiver.progress(), Progress { done: 0, total: 0 });
            let part = VolePart::default();
            let error = sender.incoming(&part).unwrap_err();
            assert_eq!(error, Misbehaviour::NothingDue { found: 0 }.into());
            let outputs = [receiver.finish(), sides().1.finish()].map(Result::unwrap);
            for (output, items) in outputs.iter().zip([n_x, n_y]) {
                let mut values: Vec<_> = output.values.iter().map(|v| v.tag(32)).collect();
                values.sort_unstable();
                values.dedup();
                assert_eq!(values.len() as u64, items);
                let told = (reveals == Reveals::OwnMatches).then(|| vec![false; values.len()]);
                assert_eq!(output.matched, told);
            }
        }
    }
    let wrong = Receiver::new(
        run(0, 5, Reveals::Nothing),
        &hashed(&run(1, 1, Reveals::Nothing).domain, 0..1),
        &mut rng(1),
    );
    assert_eq!(wrong.unwrap_err(), VoleError::Misuse);
}

/// The direction counts once the store is on its way, whatever follows.
#[test]
fn a_run_counts_once_its_store_leaves() {
    let (mut receiver, mut sender) = sides(run(3, 3, Reveals::OwnMatches), 0..3, 0..3, 9);
    let first = sender.outgoing().unwrap();
    assert!(!receiver.counts() && !sender.counts());
    receiver.incoming(&first).unwrap();
    assert!(receiver.counts() && !sender.counts());
    let store = receiver.outgoing().unwrap();
    sender.incoming(&store).unwrap();
    assert!(sender.counts());
    // The receiver says nothing more, or what is refused.
    assert!(sender.incoming(&store).is_err() && sender.counts());
}

/// At the sizes of the issue: 33 bytes an id at most where matches are told, with short tags.
#[test]
fn bytes_of_a_million_ids() {
    let per_id = |reveals, security| {
        let run = Run {
            security,
            ..run(1 << 20, 1 << 20, reveals)
        };
        run.bytes().unwrap() as f64 / f64::from(1 << 20)
    };
    let told = per_id(Reveals::OwnMatches, Security::SemiHonest);
    assert!((32.4..32.6).contains(&told), "{told}");
    let told = per_id(Reveals::OwnMatches, Security::Malicious);
    assert!((38.4..38.6).contains(&told), "{told}");
    let nothing = per_id(Reveals::Nothing, Security::Malicious);
    assert!((22.3..22.5).contains(&nothing), "{nothing}");
}

/// Every part but a step's last is full, whatever the step.
#[test]
fn steps_are_cut_into_parts() {
    let run = run(40_000, 10, Reveals::Nothing);
    let (mut receiver, mut sender) = sides(run, 0..40_000, 0..10, 3);
    receiver.incoming(&sender.outgoing().unwrap()).unwrap();
    let mut lengths = Vec::new();
    while let Some(part) = receiver.outgoing() {
        assert_eq!(part.offset, lengths.iter().sum::<usize>() as u64);
        lengths.push(part.content.len());
    }
    assert_eq!(lengths.iter().sum::<usize>(), run.store_bytes().unwrap());
    let (last, full) = lengths.split_last().unwrap();
    assert!(!full.is_empty() && full.iter().all(|length| *length == PART_BYTES));
    assert!(*last > 0 && *last <= PART_BYTES);
}

#[test]
fn runs_with_other_random_bytes_have_other_values() {
    let values = |run: Run, seed| {
        let (mut receiver, mut sender) = sides(run, 0..10, 0..10, seed);
        play(&mut receiver, &mut sender).unwrap();
        receiver.finish().unwrap().values
    };
    let base = run(10, 10, Reveals::Nothing);
    let first = values(base, 1);
    assert!(first == values(base, 1));
    let other = Run {
        domain: Domain::from_digest([8; 32]),
        ..base
    };
    for others in [values(base, 2), values(other, 1), values(base, 3)] {
        assert!(first.iter().all(|value| !others.contains(value)));
    }
}

/// Tags in the order of their ids would show the receiver which ids stand together.
#[test]
fn tags_are_in_random_order() {
    let mut counts = [0; 3];
    for seed in 0..300 {
        let (mut receiver, mut sender) = sides(run(3, 3, Reveals::OwnMatches), 0..3, 0..3, seed);
        let mut order = Vec::new();
        loop {
            while let Some(part) = receiver.outgoing() {
                sender.incoming(&part).unwrap();
            }
            let Some(part) = sender.outgoing() else { break };
            if part.step == 10 {
                order = part.content.chunks_exact(6).map(<[_]>::to_vec).collect();
            }
            receiver.incoming(&part).unwrap();
        }
        assert!(sender.is_finished());
        let first = sender.finish().unwrap().values[0];
        let place = order.iter().position(|tag| *tag == first.tag(6));
        counts[place.unwrap()] += 1;
    }
    // 100 each, with a deviation of 8.
    assert!(
        counts.iter().all(|count| (60..140).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn directions_have_nothing_in_common() {
    let base = run(10, 10, Reveals::Nothing);
    let other = Run {
        direction: Direction::Second,
        ..base
    };
    assert_ne!(base.context(), other.context());
    assert_ne!(base.commitment(&[1]), other.commitment(&[1]));
}

#[test]
fn tags_are_as_long_as_the_sizes_ask() {
    let bytes = |n_x, n_y| run(n_x, n_y, Reveals::OwnMatches).tag_bytes();
    assert_eq!((bytes(0, 0), bytes(1, 1), bytes(1, 2)), (5, 5, 6));
    assert_eq!(
        (bytes(1 << 20, 1 << 20), bytes((1 << 20) + 1, 1 << 20)),
        (10, 11)
    );
    assert_eq!(bytes(1 << 22, 1 << 22), 11);
    let malicious = Run {
        security: Security::Malicious,
        ..run(1, 1, Reveals::OwnMatches)
    };
    assert_eq!(malicious.tag_bytes(), 16);
}

#[test]
fn pseudonyms_hang_on_both_values_and_every_field() {
    let (mut receiver, mut sender) = sides(run(3, 3, Reveals::Nothing), 0..3, 0..3, 9);
    play(&mut receiver, &mut sender).unwrap();
    let values = receiver.finish().unwrap().values;
    let [a, b, c] = [values[0], values[1], values[2]];
    let pseudonyms = Pseudonyms::new(&[b"id", b"1", b"email"]);
    let first = pseudonyms.of(&a, Some(&b));
    assert_eq!(first, pseudonyms.of(&a, Some(&b)));
    let others = [
        pseudonyms.of(&b, Some(&a)),
        pseudonyms.of(&a, Some(&c)),
        pseudonyms.of(&c, Some(&b)),
        pseudonyms.of(&a, None),
        Pseudonyms::new(&[b"id", b"2", b"email"]).of(&a, Some(&b)),
        Pseudonyms::new(&[b"id1", b"email"]).of(&a, Some(&b)),
    ];
    assert!(others.iter().all(|other| *other != first));
    assert!(a.secret() != a.tag(16) && a.secret().len() == 16);
}

#[test]
fn debug_shows_the_kind_alone() {
    let (mut receiver, mut sender) = sides(run(1, 1, Reveals::Nothing), 0..1, 0..1, 9);
    assert_eq!(
        format!("{receiver:?} {sender:?}"),
        "Receiver(..) Sender(..)"
    );
    play(&mut receiver, &mut sender).unwrap();
    let output = receiver.finish().unwrap();
    assert_eq!(
        format!("{output:?} {:?}", output.values[0]),
        "Output(..) Value(..)"
    );
    assert_eq!(format!("{:?}", Pseudonyms::new(&[])), "Pseudonyms(..)");
}
