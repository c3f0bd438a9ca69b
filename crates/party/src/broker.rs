//! The broker: challenge, reserve, commit. The checks are `release`'s chain of types; here
//! they meet the ledger, the key ring and the clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use incamera_agreement::ActiveAgreement;
use incamera_ledger::LedgerError;
use incamera_net::agreements::now;
use incamera_net::server::blocking;
use incamera_net::services::broker_server::Broker as BrokerService;
use incamera_net::services::{
    ChallengeReply, ChallengeRequest, CommitReply, CommitRequest, ReserveReply, ReserveRequest,
};
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_release::{
    Broker as Books, CurrentData, Refusal, RefusalKind, Reserved, verify_request,
};
use incamera_types::limits::MAX_REQUEST_BYTES;
use incamera_types::{AgreementDigest, Digest as _, RequestDigest, UnixTime};
use incamera_wire::decode;
use incamera_wire::v1::{RequestEnvelope, Signed};
use tonic::{Request, Response, Status};
use tracing::field::display;

use crate::service::State;

/// Promises that wait for their commit. They end with the process; the ledger remembers the
/// amounts and seeds, so that reserving again gives the same.
type Promises = HashMap<RequestDigest, Vec<Reserved>>;

/// The broker's side.
pub(crate) struct Broker {
    state: Arc<State>,
    promises: Arc<Mutex<Promises>>,
}

impl Broker {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            promises: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl BrokerService for Broker {
    async fn challenge(
        &self,
        request: Request<ChallengeRequest>,
    ) -> Result<Response<ChallengeReply>, Status> {
        let digest = agreement_digest(&request.get_ref().agreement_digest)?;
        self.state.agreements.active_aside(digest).await?;
        let challenge = self.state.challenges().issue(now(), &mut rand::rng());
        Ok(Response::new(ChallengeReply {
            challenge: challenge.to_vec(),
        }))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveReply>, Status> {
        let (state, promises) = (self.state.clone(), self.promises.clone());
        let message = request.into_inner();
        let reservation = blocking(move || {
            let reserved = reserve(&state, message, now())?;
            let reservation = reserved.reservation().clone();
            keep(&mut lock(&promises), reserved);
            Ok(reservation)
        });
        Ok(Response::new(ReserveReply {
            reservation: Some(reservation.await?),
        }))
    }

    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitReply>, Status> {
        let (state, promises) = (self.state.clone(), self.promises.clone());
        let message = request.into_inner();
        let grant = blocking(move || commit(&state, &mut lock(&promises), &message, now()));
        Ok(Response::new(CommitReply {
            grant: Some(grant.await?),
        }))
    }
}

fn lock(promises: &Mutex<Promises>) -> MutexGuard<'_, Promises> {
    promises.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a promise until it ends. Promises that have ended go.
fn keep(promises: &mut Promises, reserved: Reserved) {
    let now = now();
    promises.retain(|_, kept| {
        kept.retain(|promise| promise.expires() > now);
        !kept.is_empty()
    });
    promises
        .entry(reserved.request())
        .or_default()
        .push(reserved);
}

/// The agreement that is in force under a digest that a caller names.
fn active(state: &State, digest: &[u8]) -> Result<ActiveAgreement, Problem> {
    state.agreements.active(&agreement_digest(digest)?)
}

fn agreement_digest(bytes: &[u8]) -> Result<AgreementDigest, Problem> {
    AgreementDigest::from_slice(bytes).map_err(|_| malformed("agreement_digest"))
}

fn malformed(field: &str) -> Problem {
    let text = format!("the field `{field}` is missing or malformed");
    Problem::new(ProblemKind::Invalid, "malformed-request", text)
}

/// The agreement that a signed request says it was made under; what it says is checked later.
fn named_agreement(signed: &Signed) -> Result<Vec<u8>, Problem> {
    let envelope: RequestEnvelope =
        decode(&signed.body, MAX_REQUEST_BYTES).map_err(|_| malformed("request"))?;
    let request = envelope.request.ok_or_else(|| malformed("request"))?;
    Ok(request.agreement_digest)
}

/// The first round: all of I4 up to the budget.
fn reserve(state: &State, message: ReserveRequest, now: UnixTime) -> Result<Reserved, Problem> {
    let signed = message.request.ok_or_else(|| malformed("request"))?;
    let evidence = message.evidence.ok_or_else(|| malformed("evidence"))?;
    let agreement = active(state, &named_agreement(&signed)?)?;
    let challenge = state.challenges().take(&evidence.challenge, now);
    let (ring, rules) = (state.ring()?, state.rules());
    let mut ledger = state.ledger();
    let reserved = (|| {
        let request = verify_request(&signed, &agreement, now)?;
        let current = CurrentData::check(request, &ledger, now)?;
        let challenge = challenge.ok_or(Refusal::Challenge)?;
        let attested = current.attested(challenge, &evidence, now)?;
        let openable = attested.permitted(&rules)?.openable(&ring)?;
        let mut books = Books {
            ledger: &mut ledger,
            ring: &ring,
            signer: &state.service,
            population: state.own_ceiling(),
            rules: &rules,
        };
        openable.reserve(&mut books, now, &mut rand::rng())
    })();
    let reserved = reserved.map_err(|refusal: Refusal| refused(&refusal))?;
    let token = reserved.token().map(display);
    tracing::info!(request = %reserved.request(), repeat = reserved.repeat(), token, "reserved");
    Ok(reserved)
}

/// The second round: charge and log, then grant.
fn commit(
    state: &State,
    promises: &mut Promises,
    message: &CommitRequest,
    now: UnixTime,
) -> Result<Signed, Problem> {
    let digest = RequestDigest::from_slice(&message.request_digest)
        .map_err(|_| malformed("request_digest"))?;
    let agreement = active(state, &message.agreement_digest)?;
    let kept = promises.get(&digest).map(Vec::as_slice).unwrap_or_default();
    let ours = |promise: &&Reserved| message.reservations.contains(promise.reservation());
    let promise = kept.iter().find(ours).ok_or_else(|| {
        Problem::new(
            ProblemKind::Conflict,
            "no-reservation",
            "this party has no open reservation of its own among those named",
        )
        .hint(
            "ask again: reserving anew costs nothing, and a charge that was made is not made twice",
        )
    })?;
    let (ring, rules) = (state.ring()?, state.rules());
    let mut ledger = state.ledger();
    let mut books = Books {
        ledger: &mut ledger,
        ring: &ring,
        signer: &state.service,
        population: state.own_ceiling(),
        rules: &rules,
    };
    let granted = promise
        .commit(&agreement, &message.reservations, &mut books, now)
        .and_then(|committed| committed.grant(&state.service, &mut rand::rng()));
    let grant = granted.map_err(|refusal| refused(&refusal))?;
    let token = promise.token().map(display);
    tracing::info!(request = %digest, token, "granted");
    Ok(grant)
}

/// What a refusal tells the caller. None depends on a row (I7).
fn refused(refusal: &Refusal) -> Problem {
    let (kind, code, hint) = match refusal.kind() {
        RefusalKind::Policy => (ProblemKind::Refused, "refused", None),
        RefusalKind::Attestation => (
            ProblemKind::Attestation,
            "attestation",
            Some(
                "compare `incamera room measure` on the room with `[[room.accept]]` in the agreement",
            ),
        ),
        RefusalKind::Budget => (
            ProblemKind::Budget,
            "budget-exhausted",
            Some(
                "questions asked before can be asked again for free; `incamera status` shows what is left",
            ),
        ),
        RefusalKind::Retry => (
            ProblemKind::Conflict,
            "try-again",
            Some("ask again in a minute"),
        ),
        _ => return Problem::internal(chain(refusal)),
    };
    let problem = Problem::new(kind, code, chain(refusal));
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// What the ledger's errors mean to the party's own people.
pub(crate) fn ledger_problem(error: &LedgerError) -> Problem {
    match error {
        LedgerError::ManifestOld { .. } | LedgerError::ManifestConflict { .. } => Problem::new(
            ProblemKind::Refused,
            "manifest-not-newest",
            error.to_string(),
        )
        .hint("seal the data set again; versions only go up"),
        LedgerError::ManifestFork { newest, .. } => Problem::new(
            ProblemKind::Refused,
            "manifest-fork",
            error.to_string(),
        )
        .hint(format!(
            "bring the `sealed` folder that holds version {newest} from the other machine, then seal and push again; if it is lost, seal once more: a version further up takes its place"
        )),
        other => Problem::internal(chain(other)),
    }
}
