//! Two sides of a run of `vole`, message by message.

mod sent;

use std::collections::{HashMap, VecDeque};

use incamera_matching::exchange::Alike;
use incamera_matching::vole::{
    Outcome, Security, SetError, Setup, VoleRun, check_set, evaluations,
};
use incamera_matching::{
    Incompatible, MatchError, Method, Misbehaviour, Misuse, Partition, Reveals, Terms,
};
use incamera_types::limits::{MAX_VOLE_IDS, MIN_VOLE_IDS};
use incamera_types::{AgreementDigest, AgreementId, Digest as _, MatchingEpoch, Pseudonym};
use incamera_vole::hash::IdHash;
use incamera_vole::oprf;
use incamera_vole::params::MAX_ITEMS;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchDone, MatchMessage, MatchNonce, VolePart};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

fn setup(me: &str, own: u64, reveals: Reveals, security: Security) -> Setup {
    let peer = if me == "mailer" { "shop" } else { "mailer" };
    Setup {
        terms: Terms {
            agreement_id: AgreementId::from_bytes([1; 32]),
            agreement_digest: AgreementDigest::from_bytes([2; 32]),
            epoch: MatchingEpoch(1),
            id_kind: "email".parse().unwrap(),
            method: Method::Vole,
            reveals,
            max_ids: 100_000,
        },
        security,
        me: me.parse().unwrap(),
        peer: peer.parse().unwrap(),
        own,
        alike: Alike {
            rules: 1,
            partition: Partition::WHOLE,
        },
        numbering: String::new(),
    }
}

/// A side with its ids.
struct Side {
    run: VoleRun,
    ids: Vec<String>,
    rng: ChaCha20Rng,
    /// What it was sent.
    seen: Vec<MatchMessage>,
}

fn ids(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("person{n}@mail.example")).collect()
}

impl Side {
    fn new(setup: impl FnOnce(u64) -> Setup, ids: Vec<String>, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self {
            run: VoleRun::new(setup(ids.len() as u64), &mut rng).unwrap(),
            ids,
            rng,
            seen: Vec::new(),
        }
    }

    /// What a driver does without waiting.
    fn pump(&mut self) {
        if self.run.is_to_be_counted() {
            self.run.begin().unwrap();
        }
        if let Some(hasher) = self.run.hasher() {
            let hashes: Vec<IdHash> = (self.ids.iter())
                .map(|id| hasher.hash(id.as_bytes()))
                .collect();
            self.run.give(&hashes, &mut self.rng).unwrap();
        }
    }

    fn take(&mut self, message: MatchMessage) -> Result<(), MatchError> {
        self.pump();
        self.seen.push(message.clone());
        let taken = self.run.incoming(message);
        if taken.is_ok() {
            self.pump();
        }
        taken
    }
}

/// The party first by name, and the other.
fn sides(
    first: Vec<String>,
    second: Vec<String>,
    reveals: Reveals,
    security: Security,
    seed: u64,
) -> [Side; 2] {
    let setup = |me: &'static str| move |own| setup(me, own, reveals, security);
    [
        Side::new(setup("mailer"), first, 2 * seed),
        Side::new(setup("shop"), second, 2 * seed + 1),
    ]
}

/// Carries all, in an order that is drawn; `change` sees what the first side sends.
fn carry(
    sides: &mut [Side; 2],
    seed: u64,
    change: &mut dyn FnMut(MatchMessage) -> Vec<MatchMessage>,
) -> Result<(), MatchError> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut wires: [VecDeque<MatchMessage>; 2] = Default::default();
    let mut idle = 0;
    while idle < 100 {
        let at = (rng.next_u32() % 2) as usize;
        idle += 1;
        if rng.next_u32().is_multiple_of(2) {
            sides[at].pump();
            if let Some(message) = sides[at].run.outgoing() {
                let sent = if at == 0 {
                    change(message)
                } else {
                    vec![message]
                };
                wires[1 - at].extend(sent);
                idle = 0;
            }
        } else if let Some(message) = wires[at].pop_front() {
            sides[at].take(message)?;
            idle = 0;
        }
    }
    Ok(())
}

fn whole(mut sides: [Side; 2], seed: u64) -> [(Vec<String>, Outcome); 2] {
    carry(&mut sides, seed, &mut |message| vec![message]).unwrap();
    sides.map(|side| {
        assert!(side.run.is_finished());
        (side.ids, side.run.finish().unwrap())
    })
}

fn crosswalk(side: &(Vec<String>, Outcome)) -> HashMap<&String, Pseudonym> {
    side.0
        .iter()
        .zip(side.1.pseudonyms.iter().copied())
        .collect()
}

/// Pseudonyms join just as ids do, and matches are told where they are to be.
fn assert_joined(sides: &[(Vec<String>, Outcome); 2], reveals: Reveals) {
    let [first, second] = sides;
    for (one, other) in [(first, second), (second, first)] {
        let (own, theirs) = (crosswalk(one), crosswalk(other));
        for (id, pseudonym) in &own {
            let joined: Vec<_> = theirs.iter().filter(|(_, p)| *p == pseudonym).collect();
            let expected = theirs.get_key_value(id);
            assert_eq!(joined.len(), usize::from(expected.is_some()));
            assert_eq!(
                joined.first().map(|(id, _)| **id),
                expected.map(|(id, _)| *id)
            );
        }
        let told = (one.1.matched.iter().flatten()).zip(&one.0);
        for (matched, id) in told {
            assert_eq!(*matched, theirs.contains_key(id));
        }
        assert_eq!(one.1.matched.is_some(), reveals == Reveals::OwnMatches);
        assert_eq!(one.1.pseudonyms.len(), one.0.len());
    }
}

const BOTH: [Reveals; 2] = [Reveals::Nothing, Reveals::OwnMatches];

#[test]
fn pseudonyms_join_as_ids_do() {
    for reveals in BOTH {
        for (security, seed) in [(Security::Malicious, 1), (Security::SemiHonest, 2)] {
            let sides = sides(ids(0..150), ids(100..300), reveals, security, seed);
            assert_joined(&whole(sides, seed), reveals);
        }
    }
}

#[test]
fn sets_of_any_size_join() {
    let sizes = [
        (0..0, 0..0),
        (0..0, 0..3),
        (0..3, 0..0),
        (0..1, 0..1),
        (0..1, 1..2),
        (0..1, 0..90),
    ];
    for reveals in BOTH {
        for (first, second) in &sizes {
            let sides = sides(
                ids(first.clone()),
                ids(second.clone()),
                reveals,
                Security::Malicious,
                3,
            );
            assert_joined(&whole(sides, 3), reveals);
        }
    }
}

#[test]
fn an_empty_set_has_nothing_evaluated() {
    for reveals in BOTH {
        let mut sides = sides(ids(0..0), ids(0..5), reveals, Security::Malicious, 4);
        carry(&mut sides, 4, &mut |message| vec![message]).unwrap();
        for side in &sides {
            let parts = side.seen.iter();
            let mut parts = parts.filter_map(|message| message.message.as_ref());
            assert!(!parts.any(|message| matches!(message, Message::Vole(_))));
        }
    }
}

#[test]
fn each_run_has_a_name_and_pseudonyms_of_its_own() {
    let run = |seed| {
        let mut sides = sides(
            ids(0..5),
            ids(0..5),
            Reveals::Nothing,
            Security::Malicious,
            seed,
        );
        carry(&mut sides, 5, &mut |message| vec![message]).unwrap();
        let names: Vec<_> = sides
            .iter()
            .map(|side| side.run.agreed().unwrap().run)
            .collect();
        assert_eq!(names[0], names[1]);
        let [first, _] = sides;
        (names[0], first.run.finish().unwrap().pseudonyms)
    };
    let (one, other, again) = (run(6), run(7), run(6));
    assert_ne!(one.0, other.0);
    assert!(one.1.iter().all(|pseudonym| !other.1.contains(pseudonym)));
    assert_eq!(one, again);
}

#[test]
fn nothing_but_the_greeting_leaves_before_the_run_is_counted() {
    let [mut first, mut second] = sides(
        ids(0..5),
        ids(0..5),
        Reveals::Nothing,
        Security::Malicious,
        8,
    );
    let greeting = first.run.outgoing().unwrap();
    assert!(first.run.outgoing().is_none());
    second.run.incoming(greeting).unwrap();
    assert!(second.run.is_to_be_counted() && second.run.hasher().is_none());
    assert!(matches!(
        second.run.outgoing().unwrap().message,
        Some(Message::Hello(_))
    ));
    assert!(second.run.outgoing().is_none());
    second.run.begin().unwrap();
    assert!(matches!(
        second.run.outgoing().unwrap().message,
        Some(Message::Nonce(_))
    ));
}

/// What a side of other terms is told.
fn refused(change: impl Fn(&mut Setup)) -> [Incompatible; 2] {
    let with = |me: &'static str, change: &dyn Fn(&mut Setup)| {
        let mut setup = setup(me, 3, Reveals::Nothing, Security::Malicious);
        change(&mut setup);
        VoleRun::new(setup, &mut ChaCha20Rng::seed_from_u64(9)).unwrap()
    };
    let mut sides = [with("mailer", &|_| ()), with("shop", &change)];
    let hellos = [0, 1].map(|at: usize| sides[at].outgoing().unwrap());
    let [of_first, of_second] = hellos;
    [(0, of_second), (1, of_first)].map(|(at, hello): (usize, _)| {
        match sides[at].incoming(hello).unwrap_err() {
            MatchError::PeerIncompatible { source, .. } => source,
            error => panic!("{error}"),
        }
    })
}

#[test]
fn other_terms_are_refused_by_both() {
    type Change = fn(&mut Setup);
    let cases: [(Change, &str); 8] = [
        (
            |s| s.terms.agreement_digest = AgreementDigest::from_bytes([9; 32]),
            "its agreement is not ours",
        ),
        (|s| s.terms.epoch = MatchingEpoch(2), "epoch"),
        (
            |s| s.terms.id_kind = "phone".parse().unwrap(),
            "another kind",
        ),
        (
            |s| s.terms.reveals = Reveals::OwnMatches,
            "another `reveals`",
        ),
        (|s| s.security = Security::SemiHonest, "another `security`"),
        (|s| s.terms.method = Method::Commutative, "another method"),
        (|s| s.alike.rules = 2, "by rules"),
        (
            |s| s.alike.partition = Partition::new(1, 2).unwrap(),
            "another part",
        ),
    ];
    for (change, text) in cases {
        for error in refused(change) {
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}

#[test]
fn max_ids_bounds_what_a_party_can_have_evaluated() {
    assert_eq!(evaluations(1), MIN_VOLE_IDS);
    assert_eq!(evaluations(MAX_ITEMS), MAX_VOLE_IDS);
    // By hand, of the store's columns: 713 + 5 for 400 ids; of the ids themselves from 2^14 on.
    assert_eq!(evaluations(400), 1_676);
    assert_eq!(evaluations(1 << 14), 45_384);
    assert_eq!(evaluations(1 << 20), 2_904_556);
    // Counted apart from this code, with 2^80 hashes, where two bins begin: 2.76 times.
    assert!(evaluations((1 << 15) + 1) >= 90_443);
    assert_eq!(check_set(MAX_ITEMS, MAX_VOLE_IDS), Ok(()));
    let found = MAX_ITEMS + 1;
    assert_eq!(check_set(found, u64::MAX), Err(SetError::TooMany { found }));
    // As a greeting: of a set of 1,000 more could be evaluated than 1,500.
    let small = |setup: &mut Setup| setup.terms.max_ids = 1_500;
    let mut setups =
        ["mailer", "shop"].map(|me| setup(me, 1_000, Reveals::Nothing, Security::Malicious));
    small(&mut setups[0]);
    let error = |setup| VoleRun::new(setup, &mut ChaCha20Rng::seed_from_u64(1)).unwrap_err();
    let [mut own, theirs] = setups;
    own.own = 300;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut side = VoleRun::new(own, &mut rng).unwrap();
    let hello = VoleRun::new(theirs, &mut rng).unwrap().outgoing().unwrap();
    let MatchError::PeerIncompatible {
        source: Incompatible::Set(source),
        ..
    } = side.incoming(hello).unwrap_err()
    else {
        panic!("it was taken")
    };
    assert!(matches!(
        source,
        SetError::Evaluations {
            found: 1_000,
            limit: 1_500,
            ..
        }
    ));
    let mut own = setup("mailer", 1_000, Reveals::Nothing, Security::Malicious);
    small(&mut own);
    assert!(matches!(error(own), MatchError::Misuse(Misuse::Set(_))));
}

/// What either side finds, where messages of the first are changed on their way.
fn misbehaved(
    reveals: Reveals,
    mut change: impl FnMut(MatchMessage) -> Vec<MatchMessage>,
) -> Option<Misbehaviour> {
    let mut sides = sides(ids(0..70), ids(10..40), reveals, Security::Malicious, 10);
    match carry(&mut sides, 10, &mut change) {
        Ok(()) => None,
        Err(MatchError::PeerMisbehaved { source, .. }) => Some(source),
        Err(error) => panic!("{error}"),
    }
}

fn message(message: Message) -> MatchMessage {
    MatchMessage {
        message: Some(message),
    }
}

fn part(message: &MatchMessage, step: u32) -> Option<&VolePart> {
    match &message.message {
        Some(Message::Vole(part)) if part.step == step => Some(part),
        _ => None,
    }
}

fn is_nonce(message: &MatchMessage) -> bool {
    matches!(message.message, Some(Message::Nonce(_)))
}

#[test]
fn greetings_and_nonces_come_once_and_in_order() {
    let twice = |is: fn(&MatchMessage) -> bool| {
        misbehaved(Reveals::Nothing, move |message| match is(&message) {
            true => vec![message.clone(), message],
            false => vec![message],
        })
    };
    let hello = |message: &MatchMessage| matches!(message.message, Some(Message::Hello(_)));
    assert_eq!(twice(hello), Some(Misbehaviour::SecondHello));
    assert_eq!(twice(is_nonce), Some(Misbehaviour::Nonce));
    let other = |nonce: Vec<u8>| {
        misbehaved(Reveals::Nothing, move |sent| match is_nonce(&sent) {
            true => vec![message(Message::Nonce(MatchNonce {
                nonce: nonce.clone(),
            }))],
            false => vec![sent],
        })
    };
    assert_eq!(other(vec![1; 31]), Some(Misbehaviour::Nonce));
    let opened = oprf::Misbehaviour::Commitment;
    assert_eq!(other(vec![1; 32]), Some(Misbehaviour::Vole(opened)));
    let without_hello = misbehaved(Reveals::Nothing, |sent| match is_nonce(&sent) {
        true => vec![message(Message::Done(MatchDone { received: 0 }))],
        false => vec![sent],
    });
    assert_eq!(without_hello, Some(Misbehaviour::EmptyMessage));
    let empty = misbehaved(Reveals::Nothing, |_| vec![MatchMessage { message: None }]);
    assert_eq!(empty, Some(Misbehaviour::EmptyMessage));
    let before = misbehaved(Reveals::Nothing, |_| {
        vec![message(Message::Nonce(MatchNonce { nonce: vec![0; 32] }))]
    });
    assert_eq!(before, Some(Misbehaviour::BeforeHello));
}

/// The first party's steps with `nothing`: those of both directions.
#[test]
fn steps_that_are_short_twice_changed_or_of_nobody_are_refused() {
    use oprf::Misbehaviour as Vole;
    let at = |reveals, step: u32, edit: fn(VolePart) -> Vec<VolePart>| {
        let found = misbehaved(reveals, move |sent| match part(&sent, step) {
            Some(part) => {
                let parts = edit(part.clone()).into_iter();
                parts.map(|part| message(Message::Vole(part))).collect()
            }
            None => vec![sent],
        });
        match found {
            Some(Misbehaviour::Vole(found)) => Some(found),
            None => None,
            Some(other) => panic!("{other}"),
        }
    };
    let short = |mut part: VolePart| {
        part.content.pop();
        vec![part]
    };
    let long = |mut part: VolePart| {
        part.content.push(0);
        vec![part]
    };
    let twice = |part: VolePart| vec![part.clone(), part];
    let flipped = |mut part: VolePart| {
        part.content[40] ^= 1;
        vec![part]
    };
    let astray = |mut part: VolePart| {
        part.direction = 7;
        vec![part]
    };
    for reveals in BOTH {
        // Step 8: the store.
        assert!(matches!(at(reveals, 8, short), Some(Vole::Length { .. })));
        assert!(matches!(at(reveals, 8, long), Some(Vole::Length { .. })));
        let again = at(reveals, 8, twice);
        assert!(matches!(again, Some(Vole::Step { .. })), "{again:?}");
        assert!(at(reveals, 8, astray).is_some());
        // A store that came otherwise than it was sent: the last digests differ.
        let changed = at(reveals, 8, flipped);
        assert!(changed.is_some(), "{changed:?}");
        // Left out, nothing goes on.
        assert_eq!(at(reveals, 8, |_| Vec::new()), None);
    }
    let matched = at(Reveals::OwnMatches, 11, flipped_first);
    assert_eq!(matched, Some(Vole::Transcript));
}

fn flipped_first(mut part: VolePart) -> Vec<VolePart> {
    part.content[0] ^= 1;
    vec![part]
}

#[test]
fn a_finished_run_takes_no_more() {
    let mut sides = sides(
        ids(0..5),
        ids(0..5),
        Reveals::Nothing,
        Security::Malicious,
        11,
    );
    carry(&mut sides, 11, &mut |message| vec![message]).unwrap();
    let last = sides[0].seen.last().cloned().unwrap();
    let error = sides[0].run.incoming(last).unwrap_err();
    let nothing = |source: &Misbehaviour| {
        matches!(
            source,
            Misbehaviour::Vole(oprf::Misbehaviour::NothingDue { .. })
        )
    };
    assert!(
        matches!(&error, MatchError::PeerMisbehaved { source, .. } if nothing(source)),
        "{error}"
    );
    // And no more after that.
    let after = sides[0].run.incoming(MatchMessage { message: None });
    assert!(after.is_err() && !sides[0].run.is_finished());
}

#[test]
fn a_run_that_ended_early_gives_nothing() {
    let mut sides = sides(
        ids(0..5),
        ids(0..5),
        Reveals::Nothing,
        Security::Malicious,
        12,
    );
    carry(&mut sides, 12, &mut |sent| match part(&sent, 13) {
        Some(_) => Vec::new(),
        None => vec![sent],
    })
    .unwrap();
    let [_, second] = sides;
    assert!(!second.run.is_finished());
    assert!(second.run.finish().is_err());
}

#[test]
fn debug_shows_no_content() {
    let [first, _] = sides(
        ids(0..5),
        ids(0..5),
        Reveals::Nothing,
        Security::Malicious,
        13,
    );
    assert_eq!(format!("{:?}", first.run), "VoleRun(..)");
}
