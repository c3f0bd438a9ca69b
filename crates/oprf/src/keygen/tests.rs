//! Ceremonies in one process: honest ones, and with a liar at each step.

use incamera_group::{Backend, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::client::{Blinding, ClientError, Quorum};
use crate::dleq::{Context, ProofError};
use crate::server::Evaluator;
use crate::suite::{Output, finalize, hash_domain};

mod refreshed;

const ID: CeremonyId = [7; 32];
const TEXTS: [&str; 2] = ["pia@example.net", "zoe@example.net"];
const CONTEXT: Context<'_> = Context {
    session: b"session",
    role: "alpha",
    first: 0,
};
/// Bytes in front of a package's body.
const HEADER: usize = 20 + 32 + 2 + 4;

type Sent = Vec<(Place, Vec<u8>)>;

fn place(number: u16) -> Place {
    Place::new(number).unwrap()
}

fn places(numbers: impl IntoIterator<Item = u16>) -> Places {
    Places::new(numbers.into_iter().map(place)).unwrap()
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn copy(share: &Share) -> Share {
    let bytes = share.secret().to_canonical_bytes();
    Share::new(share.place(), Scalar::from_canonical_bytes(*bytes).unwrap())
}

/// Holders 1 to `count`.
fn make(threshold: usize, count: u16) -> Vec<Ceremony> {
    let holders = 1..=count;
    holders
        .map(|own| Ceremony::make(ID, place(own), places(1..=count), threshold).unwrap())
        .collect()
}

/// New shares for the holders at `numbers`.
fn refresh(shares: &[Share], public: &PublicKeys, numbers: &[u16]) -> Vec<Ceremony> {
    let taking_part = shares.iter().filter(|s| numbers.contains(&s.place().get()));
    taking_part
        .map(|share| {
            let all = places(numbers.iter().copied());
            Ceremony::refresh([8; 32], copy(share), public.clone(), all).unwrap()
        })
        .collect()
}

fn start(ceremonies: Vec<Ceremony>, seed: u64) -> (Vec<First>, Sent) {
    let mut rng = rng(seed);
    let started = ceremonies.into_iter().map(|ceremony| {
        let own = ceremony.own;
        let (first, package) = First::start(ceremony, &mut rng).unwrap();
        assert!(package.receiver().is_none());
        (first, (own, package.as_bytes().to_vec()))
    });
    started.unzip()
}

fn but(sent: &Sent, own: Place) -> Sent {
    let others = sent.iter().filter(|(place, _)| *place != own);
    others.cloned().collect()
}

/// Sender, receiver, bytes.
type Values = Vec<(Place, Place, Vec<u8>)>;

fn go_on(firsts: Vec<First>, sent: &Sent) -> (Vec<Second>, Values) {
    let mut values = Values::new();
    let mut seconds = Vec::new();
    for first in firsts {
        let own = first.ceremony.own;
        let (second, packages) = first.receive(&but(sent, own)).unwrap();
        values.extend(packages.iter().map(|package| {
            let receiver = package.receiver().unwrap();
            (own, receiver, package.as_bytes().to_vec())
        }));
        seconds.push(second);
    }
    (seconds, values)
}

fn to(values: &Values, own: Place) -> Sent {
    let mine = values.iter().filter(|(_, receiver, _)| *receiver == own);
    mine.map(|(sender, _, bytes)| (*sender, bytes.clone()))
        .collect()
}

fn end(seconds: Vec<Second>, values: &Values) -> Vec<Made> {
    let made = seconds.into_iter().map(|second| {
        let own = second.ceremony.own;
        second.receive(&to(values, own)).unwrap()
    });
    made.collect()
}

/// A whole ceremony without liars; all see the same.
fn hold(ceremonies: Vec<Ceremony>, seed: u64) -> (Vec<Share>, PublicKeys) {
    let (firsts, sent) = start(ceremonies, seed);
    let (seconds, values) = go_on(firsts, &sent);
    let made = end(seconds, &values);
    let (public, digest) = (made[0].public().clone(), made[0].digest());
    for other in &made {
        assert_eq!((other.public(), other.digest()), (&public, digest));
    }
    (made.into_iter().map(Made::into_share).collect(), public)
}

/// What these holders would take for the key, and so its function.
fn interpolated(shares: &[&Share]) -> Scalar {
    let set = Places::new(shares.iter().map(|share| share.place())).unwrap();
    let terms = shares
        .iter()
        .map(|share| share.secret().multiply(&set.coefficient(share.place(), 0)));
    terms.reduce(|sum, term| sum.add(&term).unwrap()).unwrap()
}

fn function(key: &Scalar) -> Vec<Output> {
    let points = TEXTS.map(|text| hash_domain().hash(text.as_bytes()).multiply(key));
    let pairs = TEXTS.iter().zip(points);
    pairs
        .map(|(text, point)| finalize(text.as_bytes(), &point.encode()).unwrap())
        .collect()
}

fn evaluate(shares: &[&Share], public: &PublicKeys) -> Result<Vec<Output>, ClientError> {
    let backend = Backend::best();
    let set = Places::new(shares.iter().map(|share| share.place())).unwrap();
    let quorum = Quorum::new(backend, public, &set).unwrap();
    let blinding = Blinding::new(backend, Scalar::random(&mut rng(1)));
    let blinded = blinding.blind(&TEXTS);
    let checked = shares.iter().map(|share| {
        let evaluator = Evaluator::new(backend, share, &set).unwrap();
        let answer = evaluator.evaluate(CONTEXT, &blinded, &mut rng(2)).unwrap();
        quorum.check(share.place(), CONTEXT, &blinded, answer)
    });
    let checked: Vec<_> = checked.collect::<Result<_, _>>()?;
    blinding.finish(&quorum, &blinded, &checked, &TEXTS)
}

/// All choices of `size` shares.
fn choices(shares: &[Share], size: usize) -> Vec<Vec<&Share>> {
    let all = (0_u32..1 << shares.len()).filter(|set| set.count_ones() as usize == size);
    let chosen = |set: u32| {
        let shares = shares.iter().enumerate();
        shares
            .filter(move |(at, _)| set >> at & 1 == 1)
            .map(|(_, share)| share)
    };
    all.map(|set| chosen(set).collect()).collect()
}

#[test]
fn every_threshold_of_holders_has_one_key_and_no_fewer() {
    for (threshold, count) in [(2, 2), (2, 3), (3, 5)] {
        let (shares, public) = hold(make(threshold, count), 3);
        assert_eq!(
            (public.threshold(), public.shares().len()),
            (threshold, usize::from(count))
        );
        let all = choices(&shares, threshold);
        let key = interpolated(&all[0]);
        let expected = function(&key);
        assert_eq!(Share::new(place(1), key).public_key(), *public.key());
        for chosen in &all {
            assert_eq!(evaluate(chosen, &public).as_ref(), Ok(&expected));
        }
        for fewer in choices(&shares, threshold - 1) {
            let key = interpolated(&fewer);
            assert_ne!(function(&key), expected);
            assert_ne!(Share::new(place(1), key).public_key(), *public.key());
        }
    }
}

#[test]
fn packages_are_as_long_as_the_page_says() {
    let (firsts, sent) = start(make(3, 4), 4);
    let (_, values) = go_on(firsts, &sent);
    assert!(
        sent.iter()
            .all(|(_, bytes)| bytes.len() == HEADER + 3 * 32 + 64)
    );
    assert!(values.iter().all(|(.., bytes)| bytes.len() == HEADER + 32));
    assert_eq!(values.len(), 4 * 3);
    let (shares, public) = hold(make(3, 4), 4);
    let (_, sent) = start(refresh(&shares, &public, &[1, 2, 3, 4]), 5);
    assert!(
        sent.iter()
            .all(|(_, bytes)| bytes.len() == HEADER + 2 * 32 + 64)
    );
}

#[test]
fn a_refresh_changes_shares_and_no_output() {
    let (old, public) = hold(make(2, 3), 6);
    let (new, refreshed) = hold(refresh(&old, &public, &[1, 2, 3]), 7);
    assert_eq!(refreshed.key(), public.key());
    let expected = evaluate(&[&old[0], &old[1]], &public).unwrap();
    for chosen in choices(&new, 2) {
        assert_eq!(evaluate(&chosen, &refreshed).as_ref(), Ok(&expected));
    }
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(old.public_key(), new.public_key());
    }
    // One old and one new share are no two shares, whichever statement is believed.
    for (one, other) in [(&old[0], &new[1]), (&new[2], &old[1])] {
        let wrong = |share: &Share| ClientError::Holder {
            place: share.place(),
            error: ProofError::Wrong,
        };
        let (stale, fresh) = if one.public_key() == old[0].public_key() {
            (one, other)
        } else {
            (other, one)
        };
        assert_eq!(evaluate(&[one, other], &refreshed), Err(wrong(stale)));
        assert_eq!(evaluate(&[one, other], &public), Err(wrong(fresh)));
        assert_ne!(function(&interpolated(&[one, other])), expected);
    }
}

#[test]
fn a_holder_that_was_left_out_has_a_share_of_nothing() {
    let (old, public) = hold(make(3, 5), 8);
    let (new, refreshed) = hold(refresh(&old, &public, &[1, 2, 4, 5]), 9);
    assert_eq!(refreshed.key(), public.key());
    assert_eq!(refreshed.shares().len(), 4);
    let expected = function(&interpolated(&[&old[0], &old[1], &old[2]]));
    for chosen in choices(&new, 3) {
        assert_eq!(evaluate(&chosen, &refreshed).as_ref(), Ok(&expected));
    }
    for others in choices(&new, 2) {
        let key = interpolated(&[&old[2], others[0], others[1]]);
        assert_ne!(function(&key), expected);
    }
    let set = places([1, 3, 4]);
    let unknown = SharesError::Unknown { place: place(3) };
    assert_eq!(
        Quorum::new(Backend::best(), &refreshed, &set).unwrap_err(),
        unknown
    );
    // As long as the others keep their old shares, it is not: docs/providers.md says so.
    let kept = evaluate(&[&old[2], &old[0], &old[4]], &public);
    assert_eq!(kept, Ok(expected));
}

fn faulty(error: KeygenError) -> (u16, Fault) {
    match error {
        KeygenError::Holder { place, fault } => (place.get(), fault),
        other => panic!("{other}"),
    }
}

/// What holder 1 of a ceremony says when holder 2's first package is changed.
fn first_changed(ceremonies: Vec<Ceremony>, change: impl Fn(&mut Sent)) -> KeygenError {
    let (mut firsts, sent) = start(ceremonies, 10);
    let mut sent = but(&sent, place(1));
    change(&mut sent);
    firsts.swap_remove(0).receive(&sent).map(drop).unwrap_err()
}

/// And when its value for holder 1 is changed.
fn value_changed(ceremonies: Vec<Ceremony>, change: impl Fn(&mut Sent)) -> KeygenError {
    let (firsts, sent) = start(ceremonies, 11);
    let (mut seconds, values) = go_on(firsts, &sent);
    let mut mine = to(&values, place(1));
    change(&mut mine);
    seconds.swap_remove(0).receive(&mine).map(drop).unwrap_err()
}

fn both_kinds() -> [Vec<Ceremony>; 2] {
    let (shares, public) = hold(make(3, 4), 12);
    [make(3, 4), refresh(&shares, &public, &[1, 2, 3, 4])]
}

#[test]
fn a_wrong_value_ends_the_ceremony_with_its_senders_name() {
    for ceremonies in both_kinds() {
        let error = value_changed(ceremonies, |sent| sent[1].1[HEADER] ^= 1);
        assert_eq!(faulty(error), (3, Fault::Value));
    }
    // Another's good value in one's own package.
    for ceremonies in both_kinds() {
        let error = value_changed(ceremonies, |sent| {
            let other = sent[2].1[HEADER..].to_vec();
            sent[0].1.splice(HEADER.., other);
        });
        assert_eq!(faulty(error), (2, Fault::Value));
    }
}

#[test]
fn who_does_not_know_its_polynomial_is_named() {
    // Holder 2 commits to what holder 3 committed to, or to the difference of a key that it
    // would like: it cannot prove it.
    let error = first_changed(make(3, 4), |sent| {
        let other = sent[1].1[HEADER..].to_vec();
        sent[0].1.splice(HEADER.., other);
    });
    assert_eq!(faulty(error), (2, Fault::Proof));
    let error = first_changed(make(3, 4), |sent| {
        let other = sent[1].1[HEADER..HEADER + 32].to_vec();
        sent[0].1.splice(HEADER..HEADER + 32, other);
    });
    assert_eq!(faulty(error), (2, Fault::Proof));
}

#[test]
fn polynomials_of_another_degree_are_refused() {
    let (shares, public) = hold(make(3, 4), 12);
    for other in [make(2, 4), make(4, 4)] {
        let (_, theirs) = start(other, 13);
        let error = first_changed(make(3, 4), |sent| sent[0] = theirs[1].clone());
        assert_eq!(faulty(error), (2, Fault::Malformed));
    }
    // A constant in a refresh would change the key.
    let (_, making) = start(make(3, 4), 13);
    let ceremonies = refresh(&shares, &public, &[1, 2, 3, 4]);
    let error = first_changed(ceremonies, |sent| {
        sent[0].1.splice(HEADER.., making[1].1[HEADER..].to_vec());
    });
    assert_eq!(faulty(error), (2, Fault::Malformed));
}

#[test]
fn packages_of_elsewhere_are_refused_by_name() {
    let (_, theirs) = start(make(3, 4), 14);
    let other = Ceremony::make([9; 32], place(2), places(1..=4), 3).unwrap();
    let (_, of_other) = start(vec![other], 15);
    let (shares, public) = hold(make(3, 4), 12);
    let old = refresh(&shares, &public, &[1, 2, 3, 4]).swap_remove(1);
    let same_id = Ceremony { id: ID, ..old };
    let (_, of_refresh) = start(vec![same_id], 16);
    let (firsts, sent) = start(make(3, 4), 10);
    let (_, values) = go_on(firsts, &sent);
    let value = to(&values, place(1))[0].1.clone();
    let for_another = to(&values, place(3))[1].1.clone();
    for (package, fault) in [
        (&of_other[0].1, Fault::OtherCeremony),
        (&of_refresh[0].1, Fault::OtherStep),
        (&value, Fault::OtherStep),
        (&theirs[2].1, Fault::OtherSender),
        (&vec![], Fault::Malformed),
    ] {
        let error = first_changed(make(3, 4), |sent| sent[0].1.clone_from(package));
        assert_eq!(faulty(error), (2, fault));
    }
    for (package, fault) in [
        (&for_another, Fault::OtherReceiver),
        (&theirs[1].1, Fault::OtherStep),
        (&vec![1; 90], Fault::Malformed),
    ] {
        let error = value_changed(make(3, 4), |sent| sent[0].1.clone_from(package));
        assert_eq!(faulty(error), (2, fault));
    }
}

/// Any truncation, and any byte more.
#[test]
fn packages_of_other_lengths_are_refused() {
    let (_, sent) = start(make(3, 4), 10);
    for length in 0..sent[1].1.len() {
        let error = first_changed(make(3, 4), |sent| sent[0].1.truncate(length));
        assert_eq!(faulty(error), (2, Fault::Malformed), "{length}");
    }
    let error = first_changed(make(3, 4), |sent| sent[0].1.push(0));
    assert_eq!(faulty(error), (2, Fault::Malformed));
    let shorter = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    let longer = |bytes: &mut Vec<u8>| bytes.push(0);
    for change in [shorter, longer] {
        let error = value_changed(make(3, 4), |sent| change(&mut sent[0].1));
        assert_eq!(faulty(error), (2, Fault::Malformed));
    }
}

#[test]
fn a_ceremony_needs_one_package_of_each() {
    let missing = |number| KeygenError::Missing {
        place: place(number),
    };
    for at in 0..3 {
        let number = u16::try_from(at).unwrap() + 2;
        let error = first_changed(make(3, 4), |sent| drop(sent.remove(at)));
        assert_eq!(error, missing(number));
        let error = value_changed(make(3, 4), |sent| drop(sent.remove(at)));
        assert_eq!(error, missing(number));
        let error = first_changed(make(3, 4), |sent| sent.push(sent[at].clone()));
        assert_eq!(faulty(error), (number, Fault::Twice));
    }
    for stranger in [1, 5] {
        let error = first_changed(make(3, 4), |sent| sent[0].0 = place(stranger));
        assert_eq!(faulty(error), (stranger, Fault::Stranger));
    }
}

/// As if signed by the sender: its place in front.
fn envelopes(sent: &Sent) -> Broadcasts {
    let sent = sent.iter();
    sent.map(|(place, bytes)| {
        (
            *place,
            [&place.get().to_be_bytes(), bytes.as_slice()].concat(),
        )
    })
    .collect()
}

fn opened(place: Place, envelope: &[u8]) -> Option<Vec<u8>> {
    let body = envelope.strip_prefix(&place.get().to_be_bytes());
    body.map(<[u8]>::to_vec)
}

/// Holder 3 reports of holder 2 what it never broadcast.
#[test]
fn who_reports_falsely_of_another_names_nobody() {
    let (firsts, sent) = start(make(2, 3), 20);
    let (_, other) = start(make(2, 3), 21);
    let elsewhere = Ceremony::make([9; 32], place(2), places(1..=3), 2).unwrap();
    let (_, of_elsewhere) = start(vec![elsewhere], 22);
    let (seconds, values) = go_on(firsts, &sent);
    let made = &end(seconds, &values)[0];
    let heard = envelopes(&sent);
    let of_two = |bytes: &[u8]| [&2_u16.to_be_bytes(), bytes].concat();
    let value = &values
        .iter()
        .find(|(from, ..)| *from == place(2))
        .unwrap()
        .2;
    let named = |envelope: Vec<u8>| {
        let mut reported = heard.clone();
        reported.insert(place(2), envelope);
        made.equivocators(&heard, &reported, opened)
    };
    // The control: two broadcasts under its signature.
    assert_eq!(named(of_two(&other[1].1)), [place(2)]);
    // Not under its signature; of another ceremony; of another step; another's; none.
    assert!(named([&3_u16.to_be_bytes(), other[1].1.as_slice()].concat()).is_empty());
    assert!(named(of_two(&of_elsewhere[0].1)).is_empty());
    assert!(named(of_two(value)).is_empty());
    assert!(named(of_two(&other[2].1)).is_empty());
    assert!(named(Vec::new()).is_empty());
}

/// Holder 3 speaks last in a refresh: it commits to minus what the others committed to, and
/// with their values for it can tell each of them a fitting one. No share changes.
#[test]
fn a_refresh_that_is_undone_is_refused() {
    let (shares, public) = hold(make(2, 3), 23);
    let (firsts, sent) = start(refresh(&shares, &public, &[1, 2, 3]), 24);
    let point = |bytes: &[u8]| {
        let bytes: [u8; 32] = bytes[HEADER..HEADER + 32].try_into().unwrap();
        incamera_group::EncodedPoint::from_bytes(bytes)
            .decode()
            .unwrap()
    };
    let minus_one = Scalar::from_number(1.try_into().unwrap())
        .subtract(&Scalar::from_number(2.try_into().unwrap()))
        .unwrap();
    let undone = [0, 1]
        .map(|at: usize| point(&sent[at].1))
        .into_iter()
        .sum::<incamera_group::Point>();
    let mut changed = sent.clone();
    let undone = undone.multiply(&minus_one).encode();
    changed[2].1.splice(HEADER..HEADER + 32, *undone.as_bytes());
    let mut honest = firsts.into_iter().take(2);
    let receive = |first: First| {
        let own = first.ceremony.own;
        let (second, packages) = first.receive(&but(&changed, own)).unwrap();
        let value = |number| {
            let package = packages
                .iter()
                .find(|p| p.receiver() == Some(place(number)));
            package.unwrap().as_bytes().to_vec()
        };
        (
            second,
            [1, 2, 3].map(|n| (place(n) != own).then(|| value(n))),
        )
    };
    let (one, values_of_one) = receive(honest.next().unwrap());
    let (_, values_of_two) = receive(honest.next().unwrap());
    // The sum of both at place 3 gives the sum at place 1: constants are zero, degree is one.
    let scalar = |package: &Option<Vec<u8>>| {
        let bytes: [u8; 32] = package.as_ref().unwrap()[HEADER..].try_into().unwrap();
        Scalar::from_canonical_bytes(bytes).unwrap()
    };
    let sum_at_three = scalar(&values_of_one[2])
        .add(&scalar(&values_of_two[2]))
        .unwrap();
    let third = Scalar::from_number(3.try_into().unwrap()).invert();
    let lie = sum_at_three.multiply(&third).multiply(&minus_one);
    let mut from_three = values_of_two[0].clone().unwrap();
    from_three[HEADER - 4..HEADER - 2].copy_from_slice(&3_u16.to_be_bytes());
    from_three.splice(HEADER.., *lie.to_canonical_bytes());
    let to_one = vec![
        (place(2), values_of_two[0].clone().unwrap()),
        (place(3), from_three),
    ];
    assert_eq!(
        one.receive(&to_one).map(drop),
        Err(KeygenError::NotRefreshed)
    );
}

/// Holder 2 tells holder 1 and holder 3 different things, each with fitting values: both end
/// with keys, of which nothing works; the digests, which all sign, tell.
#[test]
fn who_broadcasts_two_things_is_found_by_the_digest() {
    let (mut firsts, sent) = start(make(2, 3), 17);
    let (mut twins, other) = start(make(2, 3), 18);
    let mut for_three = sent.clone();
    for_three[1] = other[1].clone();
    let (two, twin) = (firsts.remove(1), twins.remove(1));
    let (second_two, values_of_two) = go_on(vec![two], &sent);
    let (_, values_of_twin) = go_on(vec![twin], &for_three);
    let (second_three, values_of_three) = go_on(vec![firsts.remove(1)], &for_three);
    let (second_one, values_of_one) = go_on(firsts, &sent);
    let to_one = [values_of_two.clone(), values_of_three.clone()].concat();
    let to_three = [values_of_twin, values_of_one.clone()].concat();
    let one = &end(second_one, &to_one)[0];
    let three = &end(second_three, &to_three)[0];
    assert_ne!(one.digest(), three.digest());
    assert_ne!(one.public(), three.public());
    let (told_one, told_three) = (envelopes(&sent), envelopes(&for_three));
    let named = one.equivocators(&told_one, &told_three, opened);
    assert_eq!(named, [place(2)]);
    assert!(one.equivocators(&told_one, &told_one, opened).is_empty());
    // Its own first story agrees with holder 1's, and then not with holder 3's.
    let to_two = [values_of_one, values_of_three].concat();
    let two = &end(second_two, &to_two)[0];
    assert_eq!(two.digest(), one.digest());
}

#[test]
fn ceremonies_that_make_nothing_are_not_started() {
    let all = || places(1..=3);
    for (threshold, shares) in [(0, 3), (1, 3), (4, 3)] {
        let refused = Ceremony::make(ID, place(1), all(), threshold).unwrap_err();
        assert_eq!(refused, SharesError::Threshold { threshold, shares });
    }
    let alone = Ceremony::make(ID, place(1), places([1]), 1).unwrap_err();
    let (threshold, shares) = (1, 1);
    assert_eq!(alone, SharesError::Threshold { threshold, shares });
    let unknown = |number| SharesError::Unknown {
        place: place(number),
    };
    let stranger = Ceremony::make(ID, place(4), all(), 2).unwrap_err();
    assert_eq!(stranger, unknown(4));
    let (shares, public) = hold(make(3, 4), 12);
    let refused = |numbers: &[u16]| {
        let all = places(numbers.iter().copied());
        Ceremony::refresh(ID, copy(&shares[0]), public.clone(), all).unwrap_err()
    };
    let (threshold, few) = (3, 2);
    assert_eq!(
        refused(&[1, 2]),
        SharesError::Threshold {
            threshold,
            shares: few
        }
    );
    assert_eq!(refused(&[1, 2, 5]), unknown(5));
    assert_eq!(refused(&[2, 3, 4]), unknown(1));
}

#[test]
fn nothing_secret_is_shown() {
    let (firsts, sent) = start(make(2, 2), 19);
    assert_eq!(format!("{:?}", firsts[0]), "First(..)");
    assert_eq!(format!("{:?}", firsts[0].own), "Package(..)");
    assert_eq!(format!("{:?}", firsts[0].ceremony), "Ceremony(..)");
    let (seconds, values) = go_on(firsts, &sent);
    assert_eq!(format!("{:?}", seconds[0]), "Second(..)");
    let made = end(seconds, &values);
    assert_eq!(format!("{:?}", made[0]), "Made(..)");
}
