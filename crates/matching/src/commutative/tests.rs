//! I2, from inside: everything a party can make of what it holds, against the other's
//! pseudonyms.

use std::collections::HashSet;

use incamera_types::IdKind;
use rand_chacha::ChaCha20Rng;
use rand_core::{Infallible, SeedableRng, TryCryptoRng, TryRng};

use super::*;
use crate::terms::tests::terms;

/// Gives `r` as its first 64 bytes, then a seeded stream.
struct Scripted {
    first: Option<[u8; 64]>,
    rest: ChaCha20Rng,
}

impl TryRng for Scripted {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.rest.try_next_u32()
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.rest.try_next_u64()
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match self.first.take() {
            Some(first) if bytes.len() == 64 => bytes.copy_from_slice(&first),
            _ => self.rest.try_fill_bytes(bytes)?,
        }
        Ok(())
    }
}
impl TryCryptoRng for Scripted {}

/// One side: its run, what it received, and the scalars it knows.
struct Side {
    run: Run,
    received: Vec<MatchMessage>,
    scalars: Vec<Scalar>,
}

fn side(me: &str, peer: &str, key: u8, ids: &[&str], blind: Option<[u8; 64]>) -> Side {
    let secret = MatchingSecret::from_key(&[key; 32]);
    let mut rng = Scripted {
        first: blind,
        rest: ChaCha20Rng::seed_from_u64(u64::from(key)),
    };
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let names = (me.parse().unwrap(), peer.parse().unwrap());
    let run = Run::new(terms(), names.0, names.1, &secret, ids, &[], &mut rng).unwrap();
    let one = one();
    let basis = [
        run.lasting.multiply(&one),
        run.lasting.invert(),
        run.blind.multiply(&one),
        run.blind.invert(),
    ];
    let mut scalars: Vec<Scalar> = basis.iter().map(|scalar| scalar.multiply(&one)).collect();
    for a in &basis {
        scalars.extend(basis.iter().map(|b| a.multiply(b)));
    }
    Side {
        run,
        received: Vec::new(),
        scalars,
    }
}

fn one() -> Scalar {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    Scalar::from_canonical_bytes(bytes).unwrap()
}

fn exchange(a: &mut Side, b: &mut Side) {
    while !(a.run.is_finished() && b.run.is_finished()) {
        pass(a, b);
        pass(b, a);
    }
}

fn pass(from: &mut Side, to: &mut Side) {
    while let Some(message) = from.run.outgoing() {
        to.received.push(message.clone());
        to.run.incoming(message).unwrap();
    }
}

/// Every point that arrived, and every id of one's own as a point.
fn points_held(side: &Side, own: &[&str]) -> Vec<EncodedPoint> {
    let mut points: Vec<EncodedPoint> = Vec::new();
    for message in &side.received {
        if let Some(Message::Blinded(some) | Message::Raised(some)) = &message.message {
            points.extend(EncodedPoint::split(&some.points).unwrap());
        }
    }
    points.extend(
        own.iter()
            .map(|id| side.run.domain.hash(id.as_bytes()).encode()),
    );
    points
}

/// Whether a party that holds these bytes, points and scalars can compute one of `secrets`:
/// as bytes it got, as the KDF of a point it got, or of one that it raised to any product of
/// up to two of its scalars or their inverses.
fn reaches(side: &Side, own: &[&str], secrets: &HashSet<Pseudonym>) -> bool {
    let seen_in_bytes = side.received.iter().any(|message| {
        let bytes = incamera_wire::encode(message);
        bytes
            .windows(16)
            .any(|w| secrets.contains(&Pseudonym::from_bytes(w.try_into().unwrap())))
    });
    let held = points_held(side, own);
    let as_is = held
        .iter()
        .any(|point| secrets.contains(&terms().pseudonym(point)));
    let raised = side.scalars.iter().any(|scalar| {
        let raised = multiply_batch(&held, scalar).unwrap();
        raised
            .iter()
            .any(|point| secrets.contains(&terms().pseudonym(point)))
    });
    seen_in_bytes || as_is || raised
}

const A: [&str; 4] = [
    "both1@x.example",
    "both2@x.example",
    "a1@x.example",
    "a2@x.example",
];
const B: [&str; 4] = [
    "both1@x.example",
    "both2@x.example",
    "b1@x.example",
    "b2@x.example",
];

/// The pseudonyms of B that A does not have itself.
fn foreign(a: &HashSet<Pseudonym>, b: &HashSet<Pseudonym>) -> HashSet<Pseudonym> {
    b.difference(a).copied().collect()
}

fn pseudonyms(side: Side) -> HashSet<Pseudonym> {
    side.run
        .finish()
        .unwrap()
        .into_iter()
        .map(|(_, pseudonym)| pseudonym)
        .collect()
}

/// Runs the protocol, B blinding with `blind`; says whether A reaches a pseudonym of B's rows
/// outside A's own crosswalk, and B one of A's.
fn attack(blind: Option<[u8; 64]>) -> (bool, bool) {
    let mut a = side("mailer", "shop", 3, &A, None);
    let mut b = side("shop", "mailer", 4, &B, blind);
    exchange(&mut a, &mut b);
    let known = |s: &Side| s.run.pseudonyms.iter().copied().collect::<HashSet<_>>();
    let (of_a, of_b) = (known(&a), known(&b));
    assert_eq!(of_a.intersection(&of_b).count(), 2);
    let found = (
        reaches(&a, &A, &foreign(&of_a, &of_b)),
        reaches(&b, &B, &foreign(&of_b, &of_a)),
    );
    assert_eq!((pseudonyms(a), pseudonyms(b)), (of_a, of_b));
    found
}

#[test]
fn i2_nothing_a_party_receives_or_computes_is_a_pseudonym_of_the_others_rows() {
    assert_eq!(attack(None), (false, false));
}

/// The search above is able to find: where B blinds with its lasting secret (`r = kB`, the
/// textbook protocol), A raises B's points to its own and has B's pseudonyms.
#[test]
fn i2_the_search_finds_the_textbook_protocol() {
    use sha2::Digest as _;
    let label = terms().tagged(crate::terms::SECRET_LABEL);
    let wide = sha2::Sha512::new_with_prefix((label.len() as u64).to_be_bytes())
        .chain_update(&label)
        .chain_update([4; 32])
        .chain_update([0])
        .finalize();
    assert_eq!(attack(Some(wide.into())), (true, false));
}

/// A's view of B's set is new in every run: nothing links two of them.
#[test]
fn i2_blinded_points_do_not_repeat_between_runs() {
    let points = |seed: u64| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let secret = MatchingSecret::from_key(&[3; 32]);
        let ids = A.iter().map(|id| (*id).to_owned()).collect();
        let names: (PartyName, PartyName) = ("mailer".parse().unwrap(), "shop".parse().unwrap());
        let mut run = Run::new(terms(), names.0, names.1, &secret, ids, &[], &mut rng).unwrap();
        run.peer_size = Some(0);
        let Some(Message::Blinded(points)) = run.blinded() else {
            panic!("no points")
        };
        EncodedPoint::split(&points.points)
            .unwrap()
            .into_iter()
            .collect::<HashSet<_>>()
    };
    assert_eq!(points(1).len(), 4);
    assert!(points(1).is_disjoint(&points(2)));
}

/// An id of one kind is no id of another.
#[test]
fn the_domain_holds_the_kind() {
    let mut other = terms();
    other.id_kind = "phone".parse::<IdKind>().unwrap();
    let point = |t: &Terms| t.hash_domain().unwrap().hash(b"1").encode();
    assert_ne!(point(&terms()), point(&other));
}
