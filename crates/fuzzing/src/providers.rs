//! What providers say to each other and to the parties.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use incamera_group::{Backend, EncodedPoint, Scalar};
use incamera_keys::SigningKey;
use incamera_matching::statement::{Agreed, KeyStatement};
use incamera_oprf::client::{Blinding, Quorum};
use incamera_oprf::dleq::{Context, Proof};
use incamera_oprf::keygen::{Ceremony, First, Made, Package, Second};
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::{Answer, Evaluator};
use incamera_oprf::shares::Share;
use incamera_types::{AgreementId, Digest as _, MatchingEpoch, PartyName, UnixTime};
use incamera_wire::v1::{ProviderKeys, ProviderKeysFile};
use incamera_wire::{Format, decode, encode};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::reach::reached;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

fn place(number: u16) -> Place {
    Place::new(number).unwrap()
}

fn places() -> Places {
    Places::new([1, 2, 3].map(place)).unwrap()
}

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A ceremony of three, of whom two can evaluate.
fn ceremony(number: u16, old: Option<(Share, &Made)>) -> Ceremony {
    let (id, own) = ([9; 32], place(number));
    match old {
        None => Ceremony::make(id, own, places(), 2).unwrap(),
        Some((share, made)) => {
            Ceremony::refresh(id, share, made.public().clone(), places()).unwrap()
        }
    }
}

/// Everybody's first step.
fn firsts(mut one: impl FnMut(u16) -> Ceremony) -> (Vec<First>, Vec<Package>) {
    let start = |number| First::start(one(number), &mut rng(number.into())).unwrap();
    [1, 2, 3].map(start).into_iter().unzip()
}

type Sent = Vec<(Place, Vec<u8>)>;

/// What the others than `number` sent to all, or to it.
fn to(number: u16, packages: &[(u16, Package)]) -> Sent {
    let others = packages.iter().filter(|(from, package)| {
        let receiver = package.receiver().map_or(number, Place::get);
        *from != number && receiver == number
    });
    others
        .map(|(from, package)| (place(*from), package.as_bytes().to_vec()))
        .collect()
}

fn numbered(packages: Vec<Package>) -> Vec<(u16, Package)> {
    (1..).zip(packages).collect()
}

/// Everybody's second step, and what each sends.
fn seconds(firsts: Vec<First>, packages: &[(u16, Package)]) -> (Vec<Second>, Vec<(u16, Package)>) {
    let mut all = (Vec::new(), Vec::new());
    for (number, first) in (1..).zip(firsts) {
        let (second, sent) = first.receive(&to(number, packages)).unwrap();
        all.0.push(second);
        all.1
            .extend(sent.into_iter().map(|package| (number, package)));
    }
    all
}

fn made(one: impl FnMut(u16) -> Ceremony) -> Vec<Made> {
    let (firsts, packages) = firsts(one);
    let (seconds, packages) = seconds(firsts, &numbered(packages));
    let ends = (1..).zip(seconds);
    ends.map(|(number, second)| second.receive(&to(number, &packages)).unwrap())
        .collect()
}

static MADE: LazyLock<Vec<Made>> = LazyLock::new(|| made(|number| ceremony(number, None)));
/// The shares of the same ceremony: a share is of one owner alone.
static SHARES: LazyLock<Vec<[u8; 32]>> = LazyLock::new(|| {
    let made = made(|number| ceremony(number, None));
    let shares = made.into_iter().map(Made::into_share);
    shares
        .map(|share| *share.secret().to_canonical_bytes())
        .collect()
});

pub(crate) fn share(number: u16) -> Share {
    let bytes = SHARES[usize::from(number) - 1];
    let secret = Scalar::from_canonical_bytes(bytes).unwrap();
    Share::new(place(number), secret)
}

/// A package of another holder in the place of the honest one: with a byte changed (an even
/// `how`), or any (an odd one).
pub(crate) fn instead(honest: &[u8], how: u8, rest: &[u8]) -> Vec<u8> {
    let mut package = honest.to_vec();
    match (how & 1, rest) {
        (0, [at, above, change, ..]) => {
            let at = usize::from(u16::from_be_bytes([*at, *above])) % package.len();
            package[at] ^= change;
            package
        }
        (0, _) => package,
        _ => rest.to_vec(),
    }
}

/// Without a key before it, or in its place.
fn begun(number: u16, refreshes: bool) -> Ceremony {
    match refreshes {
        true => ceremony(number, Some((share(number), &MADE[0]))),
        false => ceremony(number, None),
    }
}

/// What honest holders send in a ceremony, to all and to each.
struct Honest {
    firsts: Vec<(u16, Package)>,
    seconds: Vec<(u16, Package)>,
}

fn honest(refreshes: bool) -> &'static Honest {
    static BOTH: LazyLock<[Honest; 2]> = LazyLock::new(|| {
        [false, true].map(|refreshes| {
            let (started, packages) = firsts(|number| begun(number, refreshes));
            let firsts = numbered(packages);
            let seconds = seconds(started, &firsts).1;
            Honest { firsts, seconds }
        })
    });
    &BOTH[usize::from(refreshes)]
}

/// A ceremony in which the second holder sends what it likes to the first. What comes out is
/// one key, whose shares fit; the honest bytes alone give the honest one.
pub fn ceremony_package(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let refreshes = how & 4 != 0;
    let honest = honest(refreshes);
    let (first, _) = First::start(begun(1, refreshes), &mut rng(1)).unwrap();
    let mut sent = to(1, &honest.firsts);
    if how & 2 == 0 {
        sent[0].1 = instead(&sent[0].1, *how, rest);
        if first.receive(&sent).is_ok() {
            reached("first");
        }
        return;
    }
    let (second, _) = first.receive(&sent).unwrap();
    let mut sent = to(1, &honest.seconds);
    let value = sent[0].1.clone();
    sent[0].1 = instead(&value, *how, rest);
    if let Ok(made) = second.receive(&sent) {
        // The commitments leave one value, and one way to write it.
        assert!(sent[0].1 == value);
        assert!(!refreshes || made.public().key() == MADE[0].public().key());
        reached(if refreshes { "refreshed" } else { "made" });
    }
}

fn service_key(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed[..name.len()].copy_from_slice(name.as_bytes());
    SigningKey::from_seed(&seed)
}

fn agreed() -> Agreed {
    let key = |name: &str| (name.parse().unwrap(), service_key(name).public());
    Agreed {
        agreement_id: AgreementId::from_bytes([1; 32]),
        epoch: MatchingEpoch(3),
        threshold: 2,
        providers: NAMES.map(key).into_iter().collect(),
        valid_s: 86_400,
    }
}

pub(crate) fn honest_statement() -> KeyStatement {
    let holders = (1..).zip(NAMES);
    let holders: BTreeMap<Place, PartyName> = holders
        .map(|(number, name)| (place(number), name.parse().unwrap()))
        .collect();
    let (keys, digest) = (MADE[0].public().clone(), MADE[0].digest());
    KeyStatement::new(&agreed(), 1, keys, holders, digest, UnixTime(1_800_000_000)).unwrap()
}

/// A body, signed by all three whatever it says.
fn signed_by_all(body: &[u8]) -> Option<Vec<u8>> {
    let message: ProviderKeys = decode(body, body.len()).ok()?;
    let sign = |name: &str| {
        let key = service_key(name);
        incamera_keys::sign_message(&key, Format::ProviderKeys, &message).unwrap()
    };
    let signed = NAMES.map(sign);
    Some(encode(&ProviderKeysFile {
        format: Format::ProviderKeys.as_str().to_owned(),
        body: signed[0].body.clone(),
        signatures: signed.map(|signed| signed.signature).into(),
    }))
}

static AGREED: LazyLock<(Agreed, KeyStatement)> = LazyLock::new(|| (agreed(), honest_statement()));

/// A key statement as it came, and one of any content that all providers signed.
pub fn key_statement(data: &[u8]) {
    let (agreed, honest) = &*AGREED;
    if let Ok(statement) = KeyStatement::open(data, agreed) {
        // All signed it, and they signed nothing else.
        assert!(statement == *honest);
        reached("file");
    }
    let Some(file) = signed_by_all(data) else {
        return;
    };
    if let Ok(statement) = KeyStatement::open(&file, agreed) {
        assert_eq!(statement.keys().threshold(), 2);
        assert_eq!(statement.keys().shares().len(), statement.holders().len());
        assert!(statement.follows(&statement).is_ok());
        let _ = statement.check_time(UnixTime(1_800_000_000));
        let _ = statement.follows(honest);
        reached("body");
    }
}

/// The statement that all three signed: what the seeds are made of.
#[must_use]
pub fn signed_statement() -> Vec<u8> {
    let statement = honest_statement();
    let signatures = (1..).zip(NAMES).map(|(number, name)| {
        let made = (MADE[0].public(), MADE[0].digest());
        let signature = statement.sign(made, &service_key(name)).unwrap();
        (place(number), signature)
    });
    statement.file(&signatures.collect())
}

const IDS: [&str; 3] = ["ana@mail.example", "bo@mail.example", "cy@mail.example"];

fn context() -> Context<'static> {
    Context {
        session: b"a session",
        role: "alpha",
        first: 0,
    }
}

/// A party and a provider, up to what the provider answers.
struct Asked {
    quorum: Quorum,
    holder: Evaluator,
    blinded: Vec<EncodedPoint>,
    honest: Answer,
}

static ASKED: LazyLock<Asked> = LazyLock::new(|| {
    let backend = Backend::best();
    let set = Places::new([1, 2].map(place)).unwrap();
    let quorum = Quorum::new(backend, MADE[0].public(), &set).unwrap();
    let mut seven = [0; 32];
    seven[0] = 7;
    let blind = Scalar::from_canonical_bytes(seven).unwrap();
    let blinded = Blinding::new(backend, blind).blind(&IDS);
    let holder = Evaluator::new(backend, &share(1), &set).unwrap();
    let honest = holder.evaluate(context(), &blinded, &mut rng(4)).unwrap();
    Asked {
        quorum,
        holder,
        blinded,
        honest,
    }
});

/// What a provider answers to three blinded ids: a proof and points, after one byte that says
/// whether they stand in the place of the honest ones or change them. Only the honest points
/// have a proof.
pub fn evaluation(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let Asked {
        quorum,
        holder,
        blinded,
        honest,
    } = &*ASKED;
    let mut bytes = honest.proof.as_bytes().to_vec();
    bytes.extend(EncodedPoint::join(&honest.points));
    let bytes = instead(&bytes, *how, rest);
    let Some((proof, points)) = bytes.split_first_chunk::<64>() else {
        return;
    };
    let Some(points) = EncodedPoint::split(points) else {
        return;
    };
    let answer = Answer {
        points: points.clone(),
        proof: Proof::from_bytes(*proof),
    };
    let answered = quorum.check(place(1), context(), blinded, answer);
    assert!(answered.is_err() || points == honest.points);
    if answered.is_ok() {
        reached("checked");
    }
    let mut other = rng(5);
    if let Ok(again) = holder.evaluate(context(), &points, &mut other) {
        assert_eq!(again.points.len(), points.len());
    }
}
