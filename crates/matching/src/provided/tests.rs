mod dictionary;
mod woken;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use incamera_group::{Point, Scalar};
use incamera_keys::{PublicKey, SigningKey};
use incamera_oprf::lagrange::Places;
use incamera_oprf::server::Evaluator;
use incamera_oprf::session::{Hello, write_proof};
use incamera_oprf::shares::{PublicKeys, Share};
use incamera_types::{CeremonyDigest, Digest as _, MatchInputDigest, Pseudonym, UnixTime};
use incamera_wire::v1::MatchPoints;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::statement::{Agreed, KeyStatement};
use crate::terms::tests::terms as commutative;
use crate::{MatchInput, Method, Mode, Partition, RunKeys, Seed};

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

fn terms() -> Terms {
    Terms {
        method: Method::Provider,
        ..commutative()
    }
}

fn name(text: &str) -> PartyName {
    text.parse().unwrap()
}

fn scalar(number: u8) -> Scalar {
    Scalar::from_secret(b"provided", &[number; 32])
}

/// `k + slope x`.
fn share(place: Place, slope: u8) -> Share {
    let x = Scalar::from_number(place.into());
    let secret = scalar(7).add(&scalar(slope).multiply(&x)).unwrap();
    Share::new(place, secret)
}

fn places() -> [Place; 3] {
    [1, 2, 3].map(|number| Place::new(number).unwrap())
}

fn statement(slope: u8, number: u64) -> Arc<KeyStatement> {
    let public =
        |name: &str| -> PublicKey { SigningKey::from_seed(&[name.len() as u8; 32]).public() };
    let agreed = Agreed {
        agreement_id: terms().agreement_id,
        epoch: terms().epoch,
        threshold: 2,
        providers: NAMES.iter().map(|n| (name(n), public(n))).collect(),
        valid_s: 90 * 86_400,
    };
    let keys = places().map(|place| (place, share(place, slope).public_key()));
    let keys = PublicKeys::new(2, keys).unwrap();
    let holders: BTreeMap<_, _> = places().into_iter().zip(NAMES.map(name)).collect();
    let ceremony = CeremonyDigest::from_bytes([1; 32]);
    let from = UnixTime(1_800_000_000);
    Arc::new(KeyStatement::new(&agreed, number, keys, holders, ceremony, from).unwrap())
}

/// What stands in for services: they answer with shares, or as a test wants.
struct Providers {
    slope: u8,
    asked: Vec<(Place, MatchPoints)>,
    seen: Vec<EncodedPoint>,
}

fn honest(slope: u8) -> Providers {
    Providers {
        slope,
        asked: Vec::new(),
        seen: Vec::new(),
    }
}

impl Providers {
    fn answer(&mut self, hello: &Hello, place: Place, asked: &MatchPoints) -> EvaluatedBatch {
        self.answer_with(share(place, self.slope), hello, place, asked)
    }

    fn answer_with(
        &mut self,
        share: Share,
        hello: &Hello,
        place: Place,
        asked: &MatchPoints,
    ) -> EvaluatedBatch {
        self.asked.push((place, asked.clone()));
        let points = read_points(asked).unwrap();
        self.seen.extend(&points);
        let of = |name: &PartyName| {
            let at = NAMES.iter().position(|n| *n == name.as_str()).unwrap();
            places()[at]
        };
        let set = Places::new(hello.providers.iter().map(of)).unwrap();
        let evaluator = Evaluator::new(Backend::best(), &share, &set).unwrap();
        let me = name(NAMES[usize::from(place.get()) - 1]);
        let (session, mut rng) = (hello.session(), ChaCha20Rng::seed_from_u64(1));
        let context = context(&session, &me, asked.first);
        let answer = evaluator.evaluate(context, &points, &mut rng).unwrap();
        EvaluatedBatch {
            points: Some(incamera_oprf::session::write_points(
                asked.first,
                &answer.points,
            )),
            proof: Some(write_proof(asked.first, points.len(), &answer.proof)),
        }
    }
}

fn ids(count: u64) -> Vec<String> {
    (0..count)
        .map(|n| format!("person-{n}@example.net"))
        .collect()
}

fn session(terms: &Terms, size: u64, held: u64, seed: u8, statement: Arc<KeyStatement>) -> Session {
    let seed = Seed::from_bytes([seed; 32]);
    let keys = seed.run(&MatchInputDigest::from_bytes([3; 32]));
    let shop = name("shop");
    let run = run(terms, &shop, (size, held), &keys);
    Session::new(&run, Sets::new(statement)).unwrap()
}

fn run<'a>(
    terms: &'a Terms,
    me: &'a PartyName,
    (size, held): (u64, u64),
    keys: &'a RunKeys,
) -> Run<'a> {
    Run {
        terms,
        me,
        nonce: [5; 32],
        size,
        held,
        keys,
        batch: 4,
        window: 3,
        backend: Backend::best(),
    }
}

/// Who has the ids, works, and keeps the outputs.
struct Party<'a> {
    all: &'a [String],
    outputs: Vec<Output>,
    jobs: Vec<Job>,
}

impl<'a> Party<'a> {
    fn new(all: &'a [String]) -> Self {
        Self {
            all,
            outputs: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// What one round of a session does without waiting: ids, jobs, questions.
    fn turn(&mut self, session: &mut Session) -> Vec<(Place, MatchPoints)> {
        session.turn(self).unwrap();
        for job in self.jobs.drain(..) {
            session.done(job.work()).unwrap();
        }
        let asked = session.asked();
        let mut questions = Vec::new();
        for (place, _) in asked.members() {
            while let Some(points) = session.outgoing(place) {
                questions.push((place, points));
            }
        }
        questions
    }

    fn pseudonyms(&self, terms: &Terms) -> Vec<Pseudonym> {
        let of = terms.pseudonyms();
        let outputs = self.outputs.iter();
        outputs.map(|output| of.of_output(output)).collect()
    }
}

impl Driver for Party<'_> {
    type Error = ProvidedError;

    fn keep(&mut self, first: u64, outputs: &[Output]) -> Result<(), ProvidedError> {
        assert_eq!(first, self.outputs.len() as u64);
        self.outputs.extend_from_slice(outputs);
        Ok(())
    }

    fn read(&mut self, places: Range<u64>) -> Result<Block, ProvidedError> {
        let mut block = Block::new();
        let range = places.start as usize..places.end as usize;
        self.all[range]
            .iter()
            .for_each(|id| block.push(id.as_bytes()));
        Ok(block)
    }

    fn work(&mut self, job: Job) {
        self.jobs.push(job);
    }
}

/// A round before any output.
fn turn(session: &mut Session, all: &[String]) -> Vec<(Place, MatchPoints)> {
    Party::new(all).turn(session)
}

/// Everything to the end; `answer` may lie.
fn carry(
    session: &mut Session,
    all: &[String],
    terms: &Terms,
    mut answer: impl FnMut(&mut Session, u64, &Hello, Place, &MatchPoints),
) -> Vec<Pseudonym> {
    let mut party = Party::new(all);
    for _ in 0..1000 {
        let questions = party.turn(session);
        let asked = session.asked();
        for (place, points) in questions {
            answer(session, asked.round(), asked.hello(), place, &points);
        }
        if session.is_finished() {
            return party.pseudonyms(terms);
        }
    }
    panic!("the session does not end");
}

fn honestly(slope: u8, seed: u8, terms: &Terms, all: &[String]) -> Vec<Pseudonym> {
    let mut providers = honest(slope);
    let size = all.len() as u64;
    let mut session = session(terms, size, 0, seed, statement(slope, 1));
    carry(
        &mut session,
        all,
        terms,
        |session, round, hello, place, points| {
            let answer = providers.answer(hello, place, points);
            session.answered(round, place, answer).unwrap();
        },
    )
}

/// What the function is of, over bytes written out here.
fn input(kind: &str, id: &str) -> Vec<u8> {
    let field = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
    [
        field(b"incamera-provider-input/1"),
        field(&[1; 32]),
        field(&[0, 0, 0, 1]),
        field(kind.as_bytes()),
        field(id.as_bytes()),
    ]
    .concat()
}

/// `F` of RFC 9497 with the key itself.
fn directly(kind: &str, id: &str) -> Pseudonym {
    let input = input(kind, id);
    let point: Point = suite::hash_domain().hash(&input).multiply(&scalar(7));
    let output = suite::finalize(&input, &point.encode()).unwrap();
    let terms = Terms {
        id_kind: kind.parse().unwrap(),
        ..terms()
    };
    terms.pseudonyms().of_output(&output)
}

#[test]
fn pseudonyms_hang_on_the_id_and_the_key_alone() {
    let all = ids(18);
    let found = honestly(8, 1, &terms(), &all);
    let expected: Vec<_> = all.iter().map(|id| directly("email", id)).collect();
    assert_eq!(found, expected);
    // Another party's run, in another blinding; after a refresh of shares.
    assert_eq!(honestly(8, 2, &terms(), &all), expected);
    assert_eq!(honestly(9, 1, &terms(), &all), expected);
    // Kinds are apart although the key is one.
    let phone = Terms {
        id_kind: "phone".parse().unwrap(),
        ..terms()
    };
    let other = honestly(8, 1, &phone, &all);
    assert!(other.iter().all(|one| !expected.contains(one)));
    assert_eq!(other[3], directly("phone", &all[3]));
    assert_eq!(honestly(8, 1, &terms(), &[]), []);
}

/// Beta answers with another share, in its third batch: it is named, gamma takes its place, and
/// nothing that has no output yet is lost or wrong.
#[test]
fn a_provider_that_answers_wrongly_is_named_and_replaced() {
    let all = ids(30);
    let terms = terms();
    let (mut providers, mut batches) = (honest(8), 0);
    let mut session = session(&terms, 30, 0, 1, statement(8, 1));
    let found = carry(
        &mut session,
        &all,
        &terms,
        |session, round, hello, place, points| {
            batches += u32::from(place.get() == 2);
            let answer = match place.get() {
                2 if batches > 2 => providers.answer_with(share(place, 9), hello, place, points),
                _ => providers.answer(hello, place, points),
            };
            session.answered(round, place, answer).unwrap();
        },
    );
    let expected: Vec<_> = all.iter().map(|id| directly("email", id)).collect();
    assert_eq!(found, expected);
    let left_out: Vec<_> = session
        .left_out()
        .map(|(n, why)| (n.as_str(), why))
        .collect();
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].0, "beta");
    assert!(
        left_out[0].1.contains("proof does not hold"),
        "{left_out:?}"
    );
    assert_eq!(
        session.asked().hello().providers,
        [name("alpha"), name("gamma")]
    );
    assert_eq!(session.asked().hello().nonce, [5; 32]);
    // Two of beta's batches were right.
    let by: Vec<_> = session.evaluated_by().collect();
    assert_eq!(by, [&name("alpha"), &name("beta"), &name("gamma")]);
    // What alpha was asked twice it was asked in the same words: it counts as one.
    let of_alpha = providers.asked.iter().filter(|(place, _)| place.get() == 1);
    let mut firsts: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for (_, points) in of_alpha {
        let same = firsts.entry(points.first).or_insert(points.points.clone());
        assert_eq!(*same, points.points);
    }
}

/// The same for answers that are none: out of order, twice, too short, of another batch.
#[test]
fn answers_that_were_not_asked_are_the_senders_fault() {
    type Bend = fn(&mut EvaluatedBatch);
    let bends: [(Bend, &str); 5] = [
        (
            |answer| answer.points.as_mut().unwrap().first += 4,
            "not asked",
        ),
        (|answer| answer.points = None, "not asked"),
        (|answer| answer.proof = None, "no answer"),
        (
            |answer| answer.points.as_mut().unwrap().points.truncate(96),
            "proof",
        ),
        (
            |answer| answer.proof.as_mut().unwrap().first += 4,
            "no answer",
        ),
    ];
    for (bend, told) in bends {
        replaced(9, bend, told);
    }
}

/// The first provider's answers are bent: it is named for it, and another takes its place.
fn replaced(size: u64, bend: impl Fn(&mut EvaluatedBatch), told: &str) {
    let (all, terms) = (ids(size), terms());
    let mut providers = honest(8);
    let mut session = session(&terms, size, 0, 1, statement(8, 1));
    let found = carry(
        &mut session,
        &all,
        &terms,
        |session, round, hello, place, points| {
            let mut answer = providers.answer(hello, place, points);
            if place.get() == 1 {
                bend(&mut answer);
            }
            session.answered(round, place, answer).unwrap();
        },
    );
    assert_eq!(found.len(), all.len());
    for (found, id) in found.iter().zip(&all) {
        assert_eq!(*found, directly("email", id));
    }
    let left_out: Vec<_> = session.left_out().collect();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    assert_eq!(left_out[0].0, &name("alpha"));
    assert!(left_out[0].1.contains(told), "{told}: {left_out:?}");
}

/// Answers of each class of bytes that are no points: whoever sends one is named and replaced.
#[test]
fn answers_that_are_no_points_are_the_senders_fault() {
    let refused = include_str!("../../../group/vectors/rfc9496.txt").lines();
    let refused = refused.filter_map(|line| line.strip_prefix("refuse "));
    let refused = refused.map(|hex| hex::decode(hex).unwrap());
    let points: Vec<Vec<u8>> = refused.chain([vec![0; 32]]).collect();
    assert_eq!(points.len(), 30);
    for bytes in points {
        let bend = |answer: &mut EvaluatedBatch| {
            let points = &mut answer.points.as_mut().unwrap().points;
            points[64..96].copy_from_slice(&bytes);
        };
        replaced(4, bend, "proof does not hold");
    }
}

#[test]
fn too_few_that_can_be_asked_end_the_run_with_their_names() {
    let (all, terms) = (ids(5), terms());
    let mut session = session(&terms, 5, 0, 1, statement(8, 1));
    turn(&mut session, &all);
    session.lost(0, places()[1], "it was not reached").unwrap();
    // Late news of the round before say nothing of this one.
    session.lost(0, places()[0], "late").unwrap();
    assert_eq!(
        session.asked().hello().providers,
        [name("alpha"), name("gamma")]
    );
    let error = session
        .lost(1, places()[0], "it hung up")
        .unwrap_err()
        .to_string();
    for part in [
        "1 of the 3 providers",
        "2 are needed",
        "`alpha`: it hung up",
        "`beta`: it was not reached",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

/// What came before a provider was replaced is asked again of the others, and what comes late of
/// it is nobody's fault.
#[test]
fn answers_of_an_earlier_round_are_of_no_use() {
    let (all, terms) = (ids(5), terms());
    let (mut providers, [alpha, beta, _]) = (honest(8), places());
    let mut session = session(&terms, 5, 0, 1, statement(8, 1));
    let mut party = Party::new(&all);
    let (questions, asked) = (party.turn(&mut session), session.asked());
    let of_alpha = questions.iter().filter(|(place, _)| *place == alpha);
    let answers: Vec<_> = of_alpha
        .map(|(place, points)| providers.answer(asked.hello(), *place, points))
        .collect();
    let [first, late] = answers.try_into().unwrap();
    session.answered(0, alpha, first).unwrap();
    session.lost(0, beta, "it hung up").unwrap();
    // Gamma before alpha, whose answer of before is of another set.
    let (mut questions, asked) = (party.turn(&mut session), session.asked());
    session.answered(0, alpha, late).unwrap();
    questions.sort_by_key(|(place, _)| *place == alpha);
    for (place, points) in questions {
        let answer = providers.answer(asked.hello(), place, &points);
        session.answered(asked.round(), place, answer).unwrap();
        party.turn(&mut session);
    }
    party.turn(&mut session);
    assert!(session.is_finished());
    let found = party.pseudonyms(&terms);
    let expected: Vec<_> = all.iter().map(|id| directly("email", id)).collect();
    assert_eq!(found, expected);
    let left_out: Vec<_> = session.left_out().map(|(name, _)| name).collect();
    assert_eq!(left_out, [&name("beta")]);
}

/// A run that was killed asks in the same words from where it was.
#[test]
fn a_run_goes_on_with_the_same_batches() {
    let (all, terms) = (ids(13), terms());
    let questions = |held| turn(&mut session(&terms, 13, held, 1, statement(8, 1)), &all);
    let (whole, rest) = (questions(0), questions(8));
    let of = |list: &[(Place, MatchPoints)], first| {
        let found = list.iter().find(|(_, points)| points.first == first);
        found.unwrap().1.points.clone()
    };
    assert_eq!(of(&whole, 8), of(&rest, 8));
    assert_eq!(rest[0].1.first, 8);
    let mut other = session(&terms, 13, 8, 2, statement(8, 1));
    assert_ne!(of(&turn(&mut other, &all), 8), of(&rest, 8));
}

/// Whether the points of two runs are related as they would be under numbers that are easily
/// made of each other: `r' = k r + j` for `k` and `j` from -2 to 2.
fn related(one: &[EncodedPoint], other: &[EncodedPoint], hashes: &[Point]) -> bool {
    let other: BTreeSet<_> = other.iter().map(|point| *point.as_bytes()).collect();
    let there = |point: &Point| other.contains(point.encode().as_bytes());
    let sum = |points: [&Point; 2]| points.into_iter().cloned().sum::<Point>();
    let small = |point: &Point| {
        let both = [point.clone(), sum([point, point])];
        let negative = both.each_ref().map(|point| point.multiply(&minus_one()));
        [both, negative].concat()
    };
    let multiples = one.iter().flat_map(|point| small(&point.decode().unwrap()));
    let shifts: Vec<Point> = hashes.iter().flat_map(small).collect();
    let shifted = |point: &Point| shifts.iter().any(|shift| there(&sum([point, shift])));
    let mut multiples = multiples.filter(|point| there(point) || shifted(point));
    multiples.next().is_some()
}

fn minus_one() -> Scalar {
    let [one, two] = [1_u64, 2].map(|number| Scalar::from_number(number.try_into().unwrap()));
    one.subtract(&two).unwrap()
}

/// What a provider sees of a run of these ids, in order of bytes.
fn seen(seed: u8, me: &str, ids_digest: u8, all: &[String]) -> Vec<EncodedPoint> {
    let (mut providers, terms, me) = (honest(8), terms(), name(me));
    let input = MatchInput {
        terms: &terms,
        rules: 1,
        mode: Mode::Full,
        partition: Partition::WHOLE,
        me: &me,
        peer: &name("alpha"),
        ids: [ids_digest; 32],
        crosswalk: [0; 32],
    };
    let keys = Seed::from_bytes([seed; 32]).run(&input.digest());
    let run = run(&terms, &me, (all.len() as u64, 0), &keys);
    let mut session = Session::new(&run, Sets::new(statement(8, 1))).unwrap();
    let answer = |session: &mut Session, round, hello: &Hello, place, points: &MatchPoints| {
        let answer = providers.answer(hello, place, points);
        session.answered(round, place, answer).unwrap();
    };
    carry(&mut session, all, &terms, answer);
    let seen: BTreeSet<_> = providers.seen.iter().map(|p| *p.as_bytes()).collect();
    seen.into_iter().map(EncodedPoint::from_bytes).collect()
}

/// Two runs over the same ids show a provider nothing in common: of one party with other ids
/// beside, or of two parties, even if one seed were both's.
#[test]
fn what_a_provider_sees_of_two_runs_has_nothing_in_common() {
    let all = ids(6);
    let hash = |id: &String| suite::hash_domain().hash(&input("email", id));
    let hashes: Vec<Point> = all.iter().map(hash).collect();
    let runs = [
        (1, "shop", 3),
        (1, "shop", 4),
        (1, "mailer", 3),
        (2, "shop", 3),
    ];
    let runs = runs.map(|(seed, me, digest)| seen(seed, me, digest, &all));
    for (at, one) in runs.iter().enumerate() {
        assert_eq!(one.len(), 6);
        assert!(hashes.iter().all(|hash| !one.contains(&hash.encode())));
        for other in &runs[at + 1..] {
            assert!(!related(one, other, &hashes));
        }
    }
    // The controls: the same run is the same points, and relations are found.
    assert_eq!(runs[0], seen(1, "shop", 3, &all));
    let r = scalar(9);
    let one = Scalar::from_number(1_u64.try_into().unwrap());
    let blinded = |by: &Scalar| -> Vec<_> {
        let points = hashes.iter().map(|hash| hash.multiply(by).encode());
        points.collect()
    };
    for near in [r.add(&one), r.add(&r), r.subtract(&one)] {
        assert!(related(&blinded(&r), &blinded(&near.unwrap()), &hashes));
    }
    assert!(!related(&blinded(&r), &blinded(&scalar(10)), &hashes));
}

#[test]
fn ids_that_no_length_byte_holds_are_refused() {
    let keys = Seed::from_bytes([1; 32]).run(&MatchInputDigest::from_bytes([3; 32]));
    let client = Client::new(Backend::best(), &terms(), &keys);
    assert!(client.input(&[b'x'; 255]).is_ok());
    assert!(matches!(client.input(&[b'x'; 256]), Err(ProvidedError::Id)));
}
