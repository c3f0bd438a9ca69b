//! A run through providers that answer what they like, or are gone.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use incamera_group::Backend;
use incamera_matching::exchange::Block;
use incamera_matching::provided::{Asked, Driver, Job, ProvidedError, Run, Session, Sets};
use incamera_matching::statement::KeyStatement;
use incamera_matching::{MatchInput, Method, Mode, Partition, Reveals, RunKeys, Seed, Terms};
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::Evaluator;
use incamera_oprf::session::{context, read_points, write_points, write_proof};
use incamera_oprf::suite::Output;
use incamera_types::{Digest as _, PartyName};
use incamera_wire::v1::{EvaluatedBatch, MatchPoints};
use incamera_wire::{decode, encode};

use crate::exchange::terms;
use crate::parts::{array, take};
use crate::providers::{honest_statement, rng, share};
use crate::reach::reached;

const IDS: [&str; 3] = ["ana@mail.example", "bo@mail.example", "cy@mail.example"];

struct Given {
    terms: Terms,
    me: PartyName,
    keys: RunKeys,
}

fn given() -> Given {
    let terms = Terms {
        method: Method::Provider,
        ..terms(Reveals::Nothing)
    };
    let (me, peer) = ("mailer".parse().unwrap(), "shop".parse().unwrap());
    let input = MatchInput {
        terms: &terms,
        rules: 2,
        mode: Mode::Full,
        partition: Partition::WHOLE,
        me: &me,
        peer: &peer,
        ids: [1; 32],
        crosswalk: [2; 32],
    };
    let keys = Seed::from_bytes([3; 32]).run(&input.digest());
    Given { terms, me, keys }
}

static GIVEN: LazyLock<Given> = LazyLock::new(given);
static STATEMENT: LazyLock<Arc<KeyStatement>> = LazyLock::new(|| Arc::new(honest_statement()));

/// A session before anything was asked.
fn session() -> Session {
    let run = Run {
        terms: &GIVEN.terms,
        me: &GIVEN.me,
        nonce: [7; 32],
        size: IDS.len() as u64,
        held: 0,
        keys: &GIVEN.keys,
        batch: 2,
        window: 2,
        backend: Backend::best(),
    };
    Session::new(&run, Sets::new(STATEMENT.clone())).unwrap()
}

/// What an honest provider was asked: in which session, at which place, which points.
type Question = ([u8; 32], Place, Vec<u8>);

/// What the honest provider at `place` answers: worked out once, as it is the same in every run.
fn honest(asked: &Asked, place: Place, points: &MatchPoints) -> EvaluatedBatch {
    static ANSWERS: Mutex<Option<HashMap<Question, EvaluatedBatch>>> = Mutex::new(None);
    let session = *asked.hello().session().as_bytes();
    let mut answers = ANSWERS.lock().unwrap();
    let answers = answers.get_or_insert_default();
    let answer = answers.entry((session, place, encode(points)));
    let answer = answer.or_insert_with(|| evaluated(asked, place, points));
    answer.clone()
}

fn evaluated(asked: &Asked, place: Place, points: &MatchPoints) -> EvaluatedBatch {
    let members: Vec<Place> = asked.members().map(|(place, _)| place).collect();
    let set = Places::new(members).unwrap();
    let evaluator = Evaluator::new(Backend::best(), &share(place.get()), &set).unwrap();
    let name = asked.members().find(|(member, _)| *member == place);
    let session = asked.hello().session();
    let context = context(&session, name.unwrap().1, points.first);
    let read = read_points(points).unwrap();
    let answer = evaluator.evaluate(context, &read, &mut rng(4)).unwrap();
    EvaluatedBatch {
        points: Some(write_points(points.first, &answer.points)),
        proof: Some(write_proof(points.first, read.len(), &answer.proof)),
    }
}

/// What an instruction makes of an honest answer; nothing: the provider is gone.
fn answer(rest: &mut &[u8], honest: impl FnOnce() -> EvaluatedBatch) -> Option<EvaluatedBatch> {
    let [kind] = array(rest);
    match kind % 4 {
        0 => Some(honest()),
        1 => {
            let [at, change] = array(rest);
            let mut bytes = encode(&honest());
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= change;
            decode(&bytes, bytes.len()).ok()
        }
        2 => {
            let bytes = take(rest)?;
            decode(bytes, bytes.len()).ok()
        }
        _ => None,
    }
}

/// Who has the ids, works, and keeps the outputs.
struct Party<'a> {
    outputs: &'a mut Vec<Vec<u8>>,
    jobs: Vec<Job>,
}

impl Driver for Party<'_> {
    type Error = ProvidedError;

    fn keep(&mut self, first: u64, outputs: &[Output]) -> Result<(), ProvidedError> {
        assert_eq!(first as usize, self.outputs.len());
        let bytes = outputs.iter().map(|output| output.as_bytes().to_vec());
        self.outputs.extend(bytes);
        Ok(())
    }

    fn read(&mut self, places: std::ops::Range<u64>) -> Result<Block, ProvidedError> {
        let mut ids = Block::new();
        let range = places.start as usize..places.end as usize;
        IDS[range].iter().for_each(|id| ids.push(id.as_bytes()));
        Ok(ids)
    }

    fn work(&mut self, job: Job) {
        self.jobs.push(job);
    }
}

/// One round of everything that is due: ids, work, answers. What comes of it is added.
fn go_on(
    session: &mut Session,
    rest: &mut &[u8],
    outputs: &mut Vec<Vec<u8>>,
) -> Result<(), ProvidedError> {
    let mut party = Party {
        outputs,
        jobs: Vec::new(),
    };
    session.turn(&mut party)?;
    for job in party.jobs {
        session.done(job.work())?;
    }
    let asked = session.asked();
    let members: Vec<Place> = asked.members().map(|(place, _)| place).collect();
    for place in members {
        // Whoever was left out has others asked in its place, from the beginning.
        while session.asked().round() == asked.round()
            && let Some(points) = session.outgoing(place)
        {
            match answer(rest, || honest(&asked, place, &points)) {
                Some(answer) => session.answered(asked.round(), place, answer)?,
                None => session.lost(asked.round(), place, "it is gone")?,
            }
        }
    }
    Ok(())
}

fn run(mut rest: &[u8]) -> (Vec<Vec<u8>>, Result<(), ProvidedError>, usize) {
    let (mut session, mut outputs) = (session(), Vec::new());
    while !session.is_finished() {
        if let Err(error) = go_on(&mut session, &mut rest, &mut outputs) {
            return (outputs, Err(error), session.left_out().count());
        }
    }
    (outputs, Ok(()), session.left_out().count())
}

static HONEST: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| run(&[]).0);

/// An instruction for each answer. Whatever providers do, what comes out is the function's
/// value; whoever answers wrongly is left out, and one of three may.
pub fn provided(data: &[u8]) {
    let (outputs, ended, left_out) = run(data);
    assert!(HONEST.len() == IDS.len() && HONEST.starts_with(&outputs));
    match ended {
        Ok(()) => {
            assert!(left_out < 2 && outputs.len() == IDS.len());
            reached(["all served", "one left out"][left_out]);
        }
        Err(ProvidedError::TooFew { .. }) => {
            assert_eq!(left_out, 2);
            reached("too few");
        }
        Err(error) => panic!("{error}"),
    }
}
