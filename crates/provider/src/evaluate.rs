//! Sessions: batches in, evaluated batches and proofs out.

use std::sync::Arc;

use futures::StreamExt as _;
use incamera_group::EncodedPoint;
use incamera_keys::PublicKey;
use incamera_matching::statement::KeyStatement;
use incamera_net::agreements::now;
use incamera_net::server::blocking;
use incamera_net::services::evaluate_frame::Frame;
use incamera_net::services::{EvaluateFrame, EvaluateReady};
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::Evaluator;
use incamera_oprf::session::{self, Hello};
use incamera_types::{AgreementDigest, BatchDigest, EvaluateSessionDigest, PartyName, Transcript};
use incamera_wire::FormatError;
use incamera_wire::v1::{EvaluatedBatch, MatchPoints};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::admit::{Admitted, malformed};
use crate::limits::Taken;
use crate::service::{Answers, Asker, State, busy};
use crate::store::{Allowance, Limit, Run};

/// Batches under way in one session: bounds memory to a few megabytes.
const UNDER_WAY: usize = 8;
/// Digest that tells a batch of a run from its others.
const BATCH_LABEL: &str = "incamera-evaluate-batch/1";

/// A session that is open.
struct Session {
    state: Arc<State>,
    agreement: AgreementDigest,
    run: Run,
    allowed: Allowance,
    statement: KeyStatement,
    /// The file of it.
    file: Vec<u8>,
    evaluator: Evaluator,
    digest: EvaluateSessionDigest,
    rate: u32,
    _place: Taken<Asker>,
}

/// Opens a session, and serves it until the asker is done or anything is refused.
pub(crate) async fn session(
    state: Arc<State>,
    key: Option<PublicKey>,
    mut frames: Streaming<EvaluateFrame>,
) -> Result<Answers<EvaluateFrame>, Status> {
    let first = frames.message().await?.and_then(|frame| frame.frame);
    let Some(Frame::Hello(hello)) = first else {
        return Err(malformed("hello").into());
    };
    let hello = Hello::from_message(&hello).map_err(unread)?;
    let digest = hello.agreement_digest;
    let admitted = state.admit(digest.as_ref(), key).await?;
    let admitted = admitted.into_owner(&hello.party)?.at_epoch(hello.epoch)?;
    let (session, evaluated) = blocking(move || Session::open(state, &admitted, &hello)).await?;
    let (replies, receiver) = mpsc::channel(UNDER_WAY);
    let ready = frame(Frame::Ready(EvaluateReady { evaluated }));
    // The channel is empty: there is room.
    let _ = replies.try_send(tokio::spawn(async { Ok(ready) }));
    tokio::spawn(read(Arc::new(session), frames, replies));
    let answers = ReceiverStream::new(receiver).then(answer);
    Ok(Box::pin(answers))
}

/// The answers in the order asked, each when it is there.
async fn answer(work: JoinHandle<Result<EvaluateFrame, Status>>) -> Result<EvaluateFrame, Status> {
    work.await
        .unwrap_or_else(|error| Err(Problem::internal(error).into()))
}

type Replies = mpsc::Sender<JoinHandle<Result<EvaluateFrame, Status>>>;

/// Takes batches as long as there is room for their answers.
async fn read(session: Arc<Session>, mut frames: Streaming<EvaluateFrame>, replies: Replies) {
    loop {
        // Room first: what waits for it stays with the asker.
        let Ok(room) = replies.reserve().await else {
            return;
        };
        let next = match frames.message().await {
            Ok(Some(frame)) => frame.frame,
            Ok(None) | Err(_) => return,
        };
        let Some(Frame::Points(points)) = next else {
            room.send(tokio::spawn(async { Err(malformed("points").into()) }));
            return;
        };
        room.send(tokio::spawn(session.clone().batch(points)));
    }
}

fn frame(frame: Frame) -> EvaluateFrame {
    EvaluateFrame { frame: Some(frame) }
}

fn unread(error: FormatError) -> Problem {
    Problem::new(ProblemKind::Invalid, "malformed-message", error.to_string())
}

impl Session {
    /// Checks everything that the greeting says, and counts the run.
    fn open(state: Arc<State>, admitted: &Admitted, hello: &Hello) -> Result<(Self, u64), Problem> {
        let place = state.sessions.take(&asker(admitted)).ok_or_else(busy)?;
        let matter = admitted.matter();
        let matching = &admitted.agreement.agreement().matching;
        if !matching.ids.contains(&hello.id_kind) {
            let what = format!("the agreement matches no ids of kind `{}`", hello.id_kind);
            return Err(refused("other-kind", what));
        }
        let kept = state.store.lock().share(&matter)?.ok_or_else(no_key)?;
        let statement = KeyStatement::open(&kept.statement, &admitted.agreed);
        let statement = statement.map_err(|error| Problem::internal(chain(&error)))?;
        // Two statements may have one number: by another share the proof would not hold.
        if (statement.number(), statement.ceremony()) != (hello.number, hello.ceremony) {
            return Err(other_statement(statement.number()));
        }
        expired(&statement)?;
        let set = places(&statement, &hello.providers, &state.name)?;
        let place_of_share = Place::new(kept.place).map_err(Problem::internal)?;
        let share = state
            .shares
            .open(&matter, kept.number, place_of_share, &kept.sealed);
        let share = share.ok_or_else(|| {
            Problem::internal("a share does not open: another key ring, or it was changed")
        })?;
        let evaluator = Evaluator::new(state.backend, &share, &set);
        let run = Run {
            matter,
            party: admitted.party.clone(),
            kind: hello.id_kind.clone(),
            nonce: hello.nonce,
            size: hello.size,
        };
        let allowed = Allowance {
            max_ids: matching.max_ids,
            max_runs: matching.max_runs,
        };
        let opened = state.store.lock().open_run(&run, allowed)?;
        let evaluated = opened.map_err(|limit| met(limit, allowed))?;
        tracing::info!(party = %run.party, kind = %run.kind, size = run.size, evaluated, "a session was opened");
        let session = Self {
            rate: admitted.providers.rate,
            evaluator: evaluator.map_err(Problem::internal)?,
            agreement: hello.agreement_digest,
            digest: hello.session(),
            _place: place,
            state,
            run,
            allowed,
            statement,
            file: kept.statement,
        };
        Ok((session, evaluated))
    }

    /// Waits for its turn at the agreed rate, counts, evaluates. A session ends with its
    /// agreement: by then a newer version may give the party less, or nothing.
    async fn batch(self: Arc<Self>, message: MatchPoints) -> Result<EvaluateFrame, Status> {
        let points = session::read_points(&message).map_err(unread)?;
        let asker = (self.run.matter.agreement_id, self.run.party.clone());
        let turn = self
            .state
            .rates
            .take(asker, points.len(), self.rate, Instant::now());
        sleep_until(turn).await;
        self.state.agreements.active_aside(self.agreement).await?;
        let cores = self.state.cores.clone();
        let core = cores.acquire_owned().await.map_err(Problem::internal)?;
        let evaluated = blocking(move || {
            let _core = core;
            self.count(message.first, &points)?;
            self.evaluate(message.first, &points)
        });
        Ok(frame(Frame::Evaluated(evaluated.await?)))
    }

    /// Durable before anything is answered.
    fn count(&self, first: u64, points: &[EncodedPoint]) -> Result<(), Problem> {
        expired(&self.statement)?;
        let all: Vec<u8> = points.iter().flat_map(|point| *point.as_bytes()).collect();
        let digest: BatchDigest = Transcript::new(BATCH_LABEL)
            .number(first)
            .field(all)
            .finish();
        let batch = (&digest, points.len() as u64);
        let counted = self
            .state
            .store
            .lock()
            .count(&self.run, self.allowed, &self.file, batch)?;
        counted.map_err(|limit| met(limit, self.allowed))
    }

    fn evaluate(&self, first: u64, points: &[EncodedPoint]) -> Result<EvaluatedBatch, Problem> {
        let context = session::context(&self.digest, &self.state.name, first);
        let answer = self.evaluator.evaluate(context, points, &mut rand::rng());
        let answer = answer.map_err(|error| {
            let what = "a point of a batch is none";
            Problem::new(ProblemKind::Invalid, "not-a-point", what).detail(chain(&error))
        })?;
        Ok(EvaluatedBatch {
            points: Some(session::write_points(first, &answer.points)),
            proof: Some(session::write_proof(first, points.len(), &answer.proof)),
        })
    }
}

fn asker(admitted: &Admitted) -> Asker {
    (admitted.agreed.agreement_id, admitted.party.clone())
}

/// The places of those asked together: as many as the threshold, this provider among them.
fn places(
    statement: &KeyStatement,
    names: &[PartyName],
    me: &PartyName,
) -> Result<Places, Problem> {
    let unfit = |what: &str| refused("other-providers", what.to_owned());
    let of = |name: &PartyName| {
        let mut holders = statement.holders().iter();
        holders.find_map(|(place, holder)| (holder == name).then_some(*place))
    };
    let places: Option<Vec<Place>> = names.iter().map(of).collect();
    let places = places.ok_or_else(|| unfit("a session names somebody who holds no share"))?;
    if !places.is_sorted() {
        return Err(unfit("a session names providers in order of place"));
    }
    let threshold = statement.keys().threshold();
    if places.len() != threshold {
        return Err(unfit(&format!(
            "a session names {} providers, and {threshold} evaluate together",
            places.len()
        )));
    }
    if !names.contains(me) {
        return Err(unfit("a session names other providers than the one asked"));
    }
    Places::new(places).map_err(|_| unfit("a session names a provider twice"))
}

/// Refuses where the key is over, or not valid yet.
pub(crate) fn expired(statement: &KeyStatement) -> Result<(), Problem> {
    statement.check_time(now()).map_err(|error| {
        Problem::new(ProblemKind::Expired, "key-expired", error.to_string()).hint(
            "agree on a new version with a higher `epoch`, and let the providers make its key",
        )
    })
}

fn refused(code: &str, what: String) -> Problem {
    Problem::new(ProblemKind::Refused, code, what)
}

fn no_key() -> Problem {
    let what = "the providers have made no key for this agreement and matching epoch";
    Problem::new(ProblemKind::NotFound, "no-key", what)
        .hint("one of the providers runs `incamera provider keys make`")
}

fn other_statement(number: u64) -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        "other-key-statement",
        format!("key statement {number} counts here, and the session names another"),
    )
    .hint("read the key statement anew and open the session again")
}

/// Names the limit and what it is, and not how far others are.
fn met(limit: Limit, allowed: Allowance) -> Problem {
    let Allowance { max_ids, max_runs } = allowed;
    let (code, what) = match limit {
        Limit::Size => (
            "ids-limit",
            format!("a run has at most {max_ids} ids (`max_ids` under [matching])"),
        ),
        Limit::OtherSize => (
            "run-changed",
            "the run was opened with another number of ids".to_owned(),
        ),
        Limit::Runs => (
            "runs-limit",
            format!(
                "this party has had all its {max_runs} runs in this matching epoch (`max_runs` under [matching])"
            ),
        ),
        Limit::Run => (
            "run-limit",
            "the run has more points than it said when it was opened".to_owned(),
        ),
        Limit::Evaluations => (
            "evaluations-limit",
            format!(
                "this party has had all its evaluations in this matching epoch (`max_ids` x `max_runs`: {max_ids} x {max_runs})"
            ),
        ),
        Limit::Refreshed => return refreshed(),
    };
    let hint = match limit {
        Limit::Size => "match fewer ids, or agree on a new version with a higher `max_ids`",
        Limit::Runs | Limit::Evaluations => {
            "agree on a new version with a higher `max_runs`, or with the next `epoch` and so another key"
        }
        _ => "run `match run --anew`: it is another run, and counts as one",
    };
    refused(code, what).hint(hint)
}

fn refreshed() -> Problem {
    let what = "the providers refreshed their shares since the session was opened";
    Problem::new(ProblemKind::Conflict, "other-key-statement", what)
        .hint("read the key statement anew and open the session again")
}
