//! Keys in shares: every set of enough holders gives the whole key's function, fewer give
//! nothing, and a holder that answers wrongly is named.

use incamera_group::{Backend, BatchError, EncodedPoint, PointFault, Scalar};
use incamera_oprf::client::{Blinding, Checked, ClientError, Quorum};
use incamera_oprf::dleq::{Context, ProofError};
use incamera_oprf::lagrange::Places;
use incamera_oprf::server::{Answer, Evaluator};
use incamera_oprf::shares::{PublicKeys, Share, SharesError};

use crate::common::{
    CONTEXT, Dealt, answer, copy, directly, evaluate, place, places, public_key, rng, subsets,
};

const INPUTS: [&[u8]; 3] = [b"one", b"", b"a third, longer one"];

#[test]
fn every_set_of_enough_holders_gives_the_function_of_the_key() {
    for (threshold, count) in [(2, 2), (2, 3), (3, 5), (4, 4)] {
        let dealt = Dealt::new(threshold, count, 1);
        assert_eq!(*dealt.public.key(), public_key(&dealt.key));
        let expected = INPUTS.map(|input| directly(&dealt.key, input));
        for set in subsets(count, threshold) {
            let found = evaluate(&dealt.shares, &dealt.public, &set, &INPUTS).unwrap();
            assert_eq!(found, expected, "{threshold} of {count}, {set:?}");
        }
    }
}

/// `t - 1` holders put their heads together: whatever set they take themselves for, they get
/// something else, and it differs from set to set.
#[test]
fn fewer_holders_than_the_threshold_get_something_else() {
    let dealt = Dealt::new(3, 5, 2);
    let expected = INPUTS.map(|input| directly(&dealt.key, input));
    let mut all = Vec::new();
    for set in subsets(5, 2) {
        let refused = Quorum::new(Backend::best(), &dealt.public, &places(&set));
        let (expected_size, found) = (3, 2);
        let size = SharesError::SetSize {
            expected: expected_size,
            found,
        };
        assert_eq!(refused.unwrap_err(), size);
        // Without our checks: a key "2 of 5" over their shares.
        let own = dealt
            .shares
            .iter()
            .filter(|s| set.contains(&s.place().get()));
        let own: Vec<_> = own
            .map(|s| Share::new(s.place(), copy(s.secret())))
            .collect();
        let keys = own.iter().map(|share| (share.place(), share.public_key()));
        let keys = PublicKeys::new(2, keys).unwrap();
        assert_ne!(keys.key(), dealt.public.key());
        let found = evaluate(&own, &keys, &set, &INPUTS).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_ne!(found, expected);
        }
        assert!(!all.contains(&found));
        all.push(found);
    }
}

/// The control of all that fewer holders cannot do: enough of them have the key, and then a
/// dictionary gives the output of every id.
#[test]
fn enough_holders_together_have_the_key() {
    let dealt = Dealt::new(3, 5, 3);
    let found = evaluate(
        &dealt.shares,
        &dealt.public,
        &[1, 3, 4],
        &[b"pia@example.net"],
    )
    .unwrap();
    // Each evaluates as in a session; with a blind of one, any text.
    let mut one = [0; 32];
    one[0] = 1;
    let set = places(&[1, 3, 4]);
    let unblinded = Blinding::new(Backend::best(), Scalar::from_canonical_bytes(one).unwrap());
    let names = ["ada", "ben", "pia", "zoe"].map(|name| format!("{name}@example.net"));
    let points = unblinded.blind(&names);
    let quorum = Quorum::new(Backend::best(), &dealt.public, &set).unwrap();
    let checked = set.iter().map(|place| {
        let share = &dealt.shares[usize::from(place.get()) - 1];
        let answer = answer(share, &set, &points);
        quorum.check(place, CONTEXT, &points, answer).unwrap()
    });
    let checked: Vec<_> = checked.collect();
    let outputs = unblinded
        .finish(&quorum, &points, &checked, &names)
        .unwrap();
    assert_eq!(outputs.iter().position(|o| *o == found[0]), Some(2));
}

/// A session with 2 of 3, of which the holder at place 2 does something else.
fn with_answer(wrong: impl Fn(&Dealt, &Places, &[EncodedPoint]) -> Answer) -> ClientError {
    let dealt = Dealt::new(2, 3, 4);
    let set = places(&[2, 3]);
    let blinding = Blinding::new(Backend::best(), Scalar::random(&mut rng(5)));
    let blinded = blinding.blind(&INPUTS);
    let quorum = Quorum::new(Backend::best(), &dealt.public, &set).unwrap();
    let wrong = wrong(&dealt, &set, &blinded);
    quorum
        .check(place(2), CONTEXT, &blinded, wrong)
        .unwrap_err()
}

#[test]
fn wrong_answers_are_refused_by_name_of_the_holder() {
    let by = |share: &Share, set: &Places, context, blinded: &[EncodedPoint]| {
        let evaluator = Evaluator::new(Backend::best(), share, set).unwrap();
        evaluator.evaluate(context, blinded, &mut rng(6)).unwrap()
    };
    let other_key = with_answer(|_, set, blinded| {
        let other = Share::new(place(2), Scalar::random(&mut rng(7)));
        by(&other, set, CONTEXT, blinded)
    });
    let other_set =
        with_answer(|dealt, _, blinded| by(&dealt.shares[1], &places(&[1, 2]), CONTEXT, blinded));
    let other_holder =
        with_answer(|dealt, set, blinded| by(&dealt.shares[2], set, CONTEXT, blinded));
    let other_session = with_answer(|dealt, set, blinded| {
        let context = Context {
            session: b"an earlier one",
            ..CONTEXT
        };
        by(&dealt.shares[1], set, context, blinded)
    });
    let one_row = with_answer(|dealt, set, blinded| {
        let mut answer = by(&dealt.shares[1], set, CONTEXT, blinded);
        answer.points[1] = answer.points[0];
        answer
    });
    for (name, error) in [
        ("other key", other_key),
        ("other lambda", other_set),
        ("other holder", other_holder),
        ("replayed", other_session),
        ("one row", one_row),
    ] {
        let (place, wrong) = (place(2), ProofError::Wrong);
        let expected = ClientError::Holder {
            place,
            error: wrong,
        };
        assert_eq!(error, expected, "{name}");
    }
    let short = with_answer(|dealt, set, blinded| {
        let mut answer = by(&dealt.shares[1], set, CONTEXT, blinded);
        answer.points.pop();
        answer
    });
    assert!(matches!(
        short,
        ClientError::Holder {
            error: ProofError::Lengths { .. },
            ..
        }
    ));
}

#[test]
fn answers_are_taken_once_of_each_holder_asked() {
    let dealt = Dealt::new(2, 3, 8);
    let backend = Backend::best();
    let blinding = Blinding::new(backend, Scalar::random(&mut rng(9)));
    let blinded = blinding.blind(&INPUTS);
    let checked = |set: &Places, number: u16, blinded: &[EncodedPoint]| -> Checked {
        let quorum = Quorum::new(backend, &dealt.public, set).unwrap();
        let share = &dealt.shares[usize::from(number) - 1];
        let answer = answer(share, set, blinded);
        quorum
            .check(place(number), CONTEXT, blinded, answer)
            .unwrap()
    };
    let (set, other) = (places(&[1, 2]), places(&[2, 3]));
    let quorum = Quorum::new(backend, &dealt.public, &set).unwrap();
    let (one, two) = (checked(&set, 1, &blinded), checked(&set, 2, &blinded));
    let three = checked(&other, 3, &blinded);
    // In any order.
    let found = blinding.finish(&quorum, &blinded, &[two.clone(), one.clone()], &INPUTS);
    assert_eq!(
        found.unwrap(),
        INPUTS.map(|input| directly(&dealt.key, input))
    );
    let mut swapped = blinded.clone();
    swapped.swap(0, 1);
    let incomplete: [&[Checked]; 7] = [
        &[],
        std::slice::from_ref(&one),
        &[one.clone(), one.clone()],
        &[one.clone(), two.clone(), three.clone()],
        // Of the right holder, for another set.
        &[one.clone(), checked(&other, 2, &blinded)],
        // Of the right holders, one of them to another batch.
        &[one.clone(), checked(&set, 2, &swapped)],
        &[one.clone(), checked(&set, 2, &blinded[..2])],
    ];
    for answers in incomplete {
        let refused = blinding.unblind(&quorum, &blinded, answers);
        assert_eq!(refused, Err(ClientError::Incomplete));
    }
    let not_asked = quorum.check(
        place(3),
        CONTEXT,
        &blinded,
        answer(&dealt.shares[2], &other, &blinded),
    );
    assert_eq!(
        not_asked.unwrap_err(),
        ClientError::NotAsked { place: place(3) }
    );
    // All of one batch, taken for that of another.
    let refused = blinding.unblind(&quorum, &swapped, &[one.clone(), two.clone()]);
    assert_eq!(refused, Err(ClientError::Incomplete));
    let refused = blinding.finish(&quorum, &blinded, &[one, two], &[b"one", b"two"]);
    let (expected, found) = (2, 3);
    let lengths = ClientError::Lengths(BatchError::Lengths { expected, found });
    assert_eq!(refused, Err(lengths));
}

#[test]
fn public_keys_that_do_not_fit_are_refused() {
    let dealt = Dealt::new(2, 4, 10);
    let keys: Vec<_> = dealt.public.shares().map(|(p, key)| (p, *key)).collect();
    assert_eq!(PublicKeys::new(2, keys.clone()), Ok(dealt.public.clone()));
    // A share of another key, and a threshold that is too low for the polynomial.
    let mut other = keys.clone();
    other[3].1 = public_key(&Scalar::random(&mut rng(11)));
    let misfit = |number| SharesError::Misfit {
        place: place(number),
    };
    assert_eq!(PublicKeys::new(2, other), Err(misfit(4)));
    let three = Dealt::new(3, 4, 12);
    let of_three = three.public.shares().map(|(p, key)| (p, *key));
    assert_eq!(PublicKeys::new(2, of_three), Err(misfit(3)));
    let mut identity = keys.clone();
    identity[1].1 = EncodedPoint::from_bytes([0; 32]);
    let (fault, refused) = (PointFault::Identity, place(2));
    assert_eq!(
        PublicKeys::new(2, identity),
        Err(SharesError::Point {
            place: refused,
            fault
        })
    );
    let shares = 4;
    for threshold in [0, 1, 5] {
        let refused = PublicKeys::new(threshold, keys.clone());
        assert_eq!(refused, Err(SharesError::Threshold { threshold, shares }));
    }
    // Shares at 1 and 2 that cancel at 0: 2 K_1 - K_2 = 0.
    let half = Scalar::random(&mut rng(13));
    let two = Scalar::from_number(2.try_into().unwrap());
    let cancel = [
        (place(1), public_key(&half)),
        (place(2), public_key(&half.multiply(&two))),
    ];
    assert_eq!(PublicKeys::new(2, cancel), Err(SharesError::NoKey));
    // Sets of other sizes, and of holders that the key does not have.
    let (expected, found) = (2, 3);
    assert_eq!(
        Quorum::new(Backend::best(), &dealt.public, &places(&[1, 2, 3])).unwrap_err(),
        SharesError::SetSize { expected, found }
    );
    assert_eq!(
        Quorum::new(Backend::best(), &dealt.public, &places(&[1, 5])).unwrap_err(),
        SharesError::Unknown { place: place(5) }
    );
    let not_there = Evaluator::new(Backend::best(), &dealt.shares[0], &places(&[2, 3]));
    assert_eq!(
        not_there.unwrap_err(),
        SharesError::Unknown { place: place(1) }
    );
}

#[test]
fn a_key_with_one_holder_needs_no_others() {
    let (share, public) = Share::alone(&mut rng(14));
    let expected = INPUTS.map(|input| directly(share.secret(), input));
    assert_eq!(format!("{share:?}"), "Share(1)");
    let found = evaluate(&[share], &public, &[1], &INPUTS).unwrap();
    assert_eq!(found, expected);
    let keys = public.shares().map(|(place, key)| (place, *key));
    assert_eq!(PublicKeys::new(1, keys), Ok(public.clone()));
}
