use incamera_group::PointFault;
use incamera_wire::v1::VolePart;

use super::runs::play;
use super::*;
use crate::fault::PeerFault;
use crate::params::MAX_ITEMS;

const REVEALS: Reveals = Reveals::OwnMatches;

fn pair(seed: u64) -> (Receiver, Sender) {
    sides(run(20, 30, REVEALS), 0..20, 10..40, seed)
}

/// Plays a run in which `change` alters parts; what either side says of it.
fn played_with(
    seed: u64,
    mut change: impl FnMut(&mut VolePart),
) -> Result<(Receiver, Sender), VoleError> {
    let (mut receiver, mut sender) = pair(seed);
    loop {
        let from_sender = sender.outgoing();
        let Some(mut part) = from_sender.clone().or_else(|| receiver.outgoing()) else {
            return Ok((receiver, sender));
        };
        change(&mut part);
        if from_sender.is_some() {
            receiver.incoming(&part)?;
        } else {
            sender.incoming(&part)?;
        }
    }
}

fn fault(result: Result<(Receiver, Sender), VoleError>) -> Misbehaviour {
    match result {
        Err(VoleError::Peer(fault)) => fault,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

/// All parts of a run, which are one a step.
fn parts(seed: u64) -> Vec<VolePart> {
    let mut parts = Vec::new();
    played_with(seed, |part| parts.push(part.clone())).unwrap();
    let steps: Vec<_> = parts.iter().map(|part| part.step).collect();
    assert_eq!(steps, [1, 8, 9, 10, 11, 12, 13]);
    parts
}

#[test]
fn changed_bytes_are_noticed_in_every_step() {
    for part in parts(1) {
        let length = part.content.len();
        for at in [0, length / 3, length / 2, length - 1] {
            for bit in [0, 7] {
                let changed = played_with(1, |sent| {
                    if sent.step == part.step {
                        sent.content[at] ^= 1 << bit;
                    }
                });
                assert!(changed.is_err(), "step {} byte {at}", part.step);
            }
        }
    }
}

#[test]
fn parts_of_other_lengths_places_and_kinds_are_refused() {
    for step in parts(2).iter().map(|part| part.step) {
        let change = |change: fn(&mut VolePart)| {
            fault(played_with(2, |part| {
                if part.step == step {
                    change(part);
                }
            }))
        };
        let shorter = change(|part| part.content.truncate(part.content.len() - 1));
        assert!(matches!(shorter, Misbehaviour::Length { .. }));
        let empty = change(|part| part.content.clear());
        assert!(matches!(empty, Misbehaviour::Length { found: 0, .. }));
        let longer = change(|part| part.content.push(0));
        assert!(matches!(longer, Misbehaviour::Length { .. }));
        let later = change(|part| part.offset = 1);
        assert_eq!(
            later,
            Misbehaviour::Offset {
                expected: 0,
                found: 1
            }
        );
        let other = change(|part| part.direction = 1);
        assert_eq!(other, Misbehaviour::Direction);
        for found in [0, step + 1, step - 1, 99] {
            let wrong = fault(played_with(2, |part| {
                if part.step == step {
                    part.step = found;
                }
            }));
            assert_eq!(
                wrong,
                Misbehaviour::Step {
                    expected: step,
                    found
                }
            );
        }
    }
}

#[test]
fn a_part_again_or_after_the_end_is_refused() {
    let (mut receiver, mut sender) = pair(3);
    let first = sender.outgoing().unwrap();
    receiver.incoming(&first).unwrap();
    let error = receiver.incoming(&first).unwrap_err();
    assert_eq!(
        error,
        Misbehaviour::Step {
            expected: 9,
            found: 1
        }
        .into()
    );

    let (mut receiver, mut sender) = pair(3);
    play(&mut receiver, &mut sender).unwrap();
    for error in [receiver.incoming(&first), sender.incoming(&first)] {
        assert_eq!(error, Err(Misbehaviour::NothingDue { found: 1 }.into()));
    }
    // Nothing is to be had of a run that failed.
    assert!(receiver.finish().is_err() && sender.finish().is_err());
}

#[test]
fn a_failed_run_stays_failed_and_silent() {
    let (mut receiver, mut sender) = pair(4);
    receiver.incoming(&sender.outgoing().unwrap()).unwrap();
    let part = VolePart::default();
    assert!(receiver.incoming(&part).is_err() && sender.incoming(&part).is_err());
    assert!(receiver.outgoing().is_none() && sender.outgoing().is_none());
    assert_eq!(receiver.incoming(&part), Err(VoleError::Misuse));
    assert_eq!(sender.incoming(&part), Err(VoleError::Misuse));
    assert!(!receiver.is_finished() && !sender.is_finished());
    assert_eq!(receiver.finish().unwrap_err(), VoleError::Misuse);
    assert_eq!(sender.finish().unwrap_err(), VoleError::Misuse);
}

#[test]
fn nothing_is_to_be_had_before_the_end() {
    let (receiver, sender) = pair(5);
    assert!(!receiver.is_finished() && !sender.is_finished());
    assert!(receiver.finish().is_err() && sender.finish().is_err());
}

/// Whoever has its values still owes the peer the last step.
#[test]
fn nothing_is_to_be_had_while_a_step_is_to_be_sent() {
    let (mut receiver, mut sender) = pair(5);
    let mut step = 0;
    while step < 12 {
        let Some(part) = sender.outgoing() else {
            let part = receiver.outgoing().unwrap();
            sender.incoming(&part).unwrap();
            continue;
        };
        step = part.step;
        receiver.incoming(&part).unwrap();
    }
    assert!(!receiver.is_finished());
    assert!(receiver.finish().is_err());
}

/// A peer that plays an old run again, whichever side it is.
#[test]
fn a_run_played_again_is_refused() {
    let old = parts(6);
    let (mut receiver, mut sender) = pair(7);
    let of_sender = |part: &&VolePart| [1, 9, 10, 12].contains(&part.step);
    let replayed = old
        .iter()
        .filter(of_sender)
        .try_for_each(|part| receiver.incoming(part));
    assert_eq!(replayed, Err(Misbehaviour::Transcript.into()));
    let of_receiver = old.iter().filter(|part| !of_sender(part));
    let replayed = of_receiver
        .clone()
        .try_for_each(|part| sender.incoming(part));
    assert_eq!(replayed, Err(Misbehaviour::Transcript.into()));
}

#[test]
fn a_salt_other_than_the_one_committed_to_is_refused() {
    for step in [1, 9] {
        let changed = played_with(8, |part| {
            if part.step == step {
                part.content[5] ^= 1;
            }
        });
        assert_eq!(fault(changed), Misbehaviour::Commitment);
    }
}

#[test]
fn tags_of_one_id_and_bits_for_no_tag_are_refused() {
    let bytes = run(20, 30, REVEALS).tag_bytes();
    // All tags become that of an id which the receiver has, whichever it is.
    let repeated = (0..30).map(|place| {
        played_with(9, |part| {
            if part.step == 10 {
                let tag = part.content[place * bytes..][..bytes].to_vec();
                part.content = tag.repeat(30);
            }
        })
    });
    let faults: Vec<_> = repeated.map(fault).collect();
    let count = |fault| faults.iter().filter(|found| **found == fault).count();
    assert_eq!(count(Misbehaviour::RepeatedTag), 10);
    assert_eq!(count(Misbehaviour::Transcript), 20);

    let beyond = played_with(9, |part| {
        if part.step == 11 {
            *part.content.last_mut().unwrap() |= 0x40;
        }
    });
    assert_eq!(fault(beyond), Misbehaviour::MatchedBeyond);
}

/// Whatever the sides differ in, also where the steps have the same lengths.
#[test]
fn sides_with_other_terms_do_not_finish() {
    for reveals in [Reveals::Nothing, Reveals::OwnMatches] {
        let base = run(20, 30, reveals);
        let mut others = [base; 6];
        others[0].domain = Domain::from_digest([8; 32]);
        others[1].security = Security::Malicious;
        others[2].reveals = match reveals {
            Reveals::Nothing => Reveals::OwnMatches,
            Reveals::OwnMatches => Reveals::Nothing,
        };
        others[3].direction = Direction::Second;
        others[4].sender_items = 31;
        others[5].receiver_items = 21;
        for (place, other) in others.into_iter().enumerate() {
            let (mut receiver, _) = sides(base, 0..20, 10..40, 10);
            let y = 10..10 + other.sender_items;
            let (_, mut sender) = sides(other, 0..other.receiver_items, y, 10);
            let played = play(&mut receiver, &mut sender);
            assert!(
                played.is_err() && !receiver.is_finished(),
                "{place} {played:?}"
            );
        }
    }
}

#[test]
fn too_large_sets_and_other_ids_than_declared_are_refused() {
    let mut rng = rng(11);
    let error = VoleError::Param(ParamError::TooManyItems {
        found: MAX_ITEMS + 1,
    });
    for large in [
        run(MAX_ITEMS + 1, 1, REVEALS),
        run(1, MAX_ITEMS + 1, REVEALS),
    ] {
        assert_eq!(Receiver::new(large, &[], &mut rng).unwrap_err(), error);
        assert_eq!(Sender::new(large, &[], &mut rng).unwrap_err(), error);
        assert_eq!(VoleError::Param(large.bytes().unwrap_err()), error);
    }
    assert!(error.to_string().contains("4194304"), "{error}");
    let one = run(1, 1, REVEALS);
    assert_eq!(
        Receiver::new(one, &[], &mut rng).unwrap_err(),
        VoleError::Misuse
    );
    assert_eq!(
        Sender::new(one, &[], &mut rng).unwrap_err(),
        VoleError::Misuse
    );
}

/// Every step in which the vectors are made: its length is known, and a changed byte is
/// noticed before anything follows that the vectors hang on.
#[test]
fn changed_vectors_are_refused_before_the_store_leaves() {
    let one = run(1, 1, REVEALS);
    let lengths = one.vectors().unwrap().message_bytes();
    for step in 1..=7_u32 {
        for longer in [None, Some(step % 2 == 0)] {
            let (mut receiver, mut sender) = whole(one, 0..1, 0..1, 12);
            let mut past = false;
            let refused = loop {
                let from_sender = sender.outgoing();
                let Some(mut part) = from_sender.clone().or_else(|| receiver.outgoing()) else {
                    break Ok(());
                };
                past |= part.step > 7;
                let whole = lengths.get(part.step as usize - 1).copied().unwrap_or(0);
                if part.step == step && part.offset as usize + part.content.len() >= whole {
                    let at = part.content.len() / 2;
                    match longer {
                        None => part.content[at] ^= 1,
                        Some(true) => part.content.push(0),
                        Some(false) => part.content.truncate(part.content.len() - 1),
                    }
                }
                let taken = match from_sender {
                    Some(_) => receiver.incoming(&part),
                    None => sender.incoming(&part),
                };
                if taken.is_err() {
                    break taken;
                }
            };
            assert!(
                matches!(refused, Err(VoleError::Peer(_))),
                "{step} {longer:?} {refused:?}"
            );
            // Half of the corrections and of the sums are never looked at, which one a secret of
            // the other side: of those the digest at the end tells.
            let unseen = [2, 5].contains(&step) && longer.is_none();
            assert!(!past || unseen, "{step} {longer:?}");
        }
    }
}

/// Encodings that are no points, with their class.
fn no_points() -> Vec<(&'static str, [u8; 32])> {
    let (mut class, mut all) = ("identity", vec![("identity", [0; 32])]);
    for line in include_str!("../../../../group/vectors/rfc9496.txt").lines() {
        match line.strip_prefix("refuse ") {
            Some(hex) => all.push((class, hex::decode(hex).unwrap().try_into().unwrap())),
            None => class = line.strip_prefix("# ").unwrap_or(class),
        }
    }
    all
}

/// The points of both sides' transfers in the messages that carry them, one of each class at the
/// first and at the last place: refused by place, before anything is answered.
#[test]
fn points_of_transfers_that_are_none_are_refused_by_place() {
    let one = run(1, 1, Reveals::Nothing);
    let [first, second, ..] = one.vectors().unwrap().message_bytes();
    let mut classes: Vec<_> = no_points();
    assert_eq!(classes.len(), 30);
    classes.dedup_by_key(|(class, _)| *class);
    assert_eq!(classes.len(), 6);
    let (_, mut sender) = whole(one, 0..1, 0..1, 13);
    let step_1 = sender.outgoing().unwrap();
    let (mut receiver, _) = whole(one, 0..1, 0..1, 13);
    receiver.incoming(&step_1).unwrap();
    let step_2: Vec<_> = std::iter::from_fn(|| receiver.outgoing()).collect();
    assert_eq!(step_1.content.len(), DIGEST_BYTES + first);
    let of_step_2 = step_2.iter().map(|part| part.content.len());
    assert_eq!(of_step_2.sum::<usize>(), second);
    for (class, bytes) in classes {
        let fault = match class {
            "identity" => PointFault::Identity,
            _ => PointFault::Malformed,
        };
        // Step 1: a commitment, the points of the sender's choices, its own point.
        let last_choice = first / 32 - 2;
        for (at, index) in [(0, 0), (last_choice, last_choice), (last_choice + 1, 0)] {
            let (mut receiver, _) = whole(one, 0..1, 0..1, 13);
            let mut bad = step_1.clone();
            bad.content[DIGEST_BYTES + 32 * at..][..32].copy_from_slice(&bytes);
            let expected = PeerFault::Point { index, fault };
            assert_eq!(
                receiver.incoming(&bad),
                Err(expected.into()),
                "{class} at {at}"
            );
            assert!(receiver.outgoing().is_none(), "{class} at {at}");
        }
        // Step 2: the receiver's own point, the points of its choices.
        for (at, index) in [(0, 0), (1, 0), (9, 8)] {
            let (_, mut sender) = whole(one, 0..1, 0..1, 13);
            sender.outgoing().unwrap();
            let mut bad = step_2.clone();
            bad[0].content[32 * at..][..32].copy_from_slice(&bytes);
            let refused = bad.iter().try_for_each(|part| sender.incoming(part));
            let expected = PeerFault::Point { index, fault };
            assert_eq!(refused, Err(expected.into()), "{class} at {at}");
            assert!(sender.outgoing().is_none(), "{class} at {at}");
        }
    }
}
