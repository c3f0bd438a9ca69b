//! One request, from the analyst's signature to the receipt.
//!
//! Two rounds with every owner read: all reserve, then all commit. A fresh key pair receives
//! the grants; it, the keys and the session end with this function, also when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use incamera_agreement::{Agreement, AnalystKey, Query};
use incamera_keys::hpke::RoomSecretKey;
use incamera_keys::{PublicKey, ReceivePublicKey};
use incamera_net::client;
use incamera_net::services::run_event::Event;
use incamera_net::services::{
    ChallengeRequest, CommitRequest, ReserveRequest, RunEvent, RunRequest, RunResult, RunStep,
};
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_query::{
    CheckedQuery, Deadline, QueryError, RoomData, check_request, compute, release,
};
use incamera_release::{
    Address, OpenedGrants, Opening, Receiver, Record, VerifiedRequest, issue, open_grants,
    seal_answer, verify_request,
};
use incamera_seal::{RunsDiffer, SignedManifest, same_runs};
use incamera_types::{AnalystRef, DatasetName, Digest as _, FileId, PartyName};
use incamera_wire::v1::{Answer, BoundEvidence, ReleaseFile, SealedAnswer, Signed};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use crate::identity::now;
use crate::owners::Owner;
use crate::service::State;
use crate::turns;

pub(crate) type Events = mpsc::Sender<Result<RunEvent, Status>>;
type Manifests = BTreeMap<DatasetName, SignedManifest>;

/// Answers a request.
pub(crate) async fn run(
    state: &Arc<State>,
    message: RunRequest,
    caller: Option<PublicKey>,
    events: &Events,
) -> Result<(), Problem> {
    let request = verified(state, &message.request.unwrap_or_default())?;
    let caller = may_receive(&request, caller)?;
    let release = answer_to(state, &request, events).await?;
    finish(events, handed_over(&request, &caller, release)?).await;
    Ok(())
}

/// The answer as the caller gets it: sealed, where there is a key of the caller's.
fn handed_over(
    request: &VerifiedRequest,
    caller: &Receiver,
    release: ReleaseFile,
) -> Result<RunResult, Problem> {
    let key = match caller {
        Receiver::Party(party) => request.agreement().receive_key(party),
        Receiver::Analyst(_) => request.reply_key(),
    };
    Ok(match key {
        Some(key) => RunResult {
            sealed: Some(sealed(request, caller, key, &release)?),
            release: None,
        },
        None => RunResult {
            release: Some(release),
            sealed: None,
        },
    })
}

fn sealed(
    request: &VerifiedRequest,
    receiver: &Receiver,
    key: &ReceivePublicKey,
    release: &ReleaseFile,
) -> Result<SealedAnswer, Problem> {
    let address = Address {
        agreement: request.agreement().digest,
        request: request.digest(),
        receiver: receiver.clone(),
    };
    seal_answer(release, key, &address, &mut rand::rng()).map_err(Problem::internal)
}

/// Keeps the answer for the receivers, sealed to each that has a key in the agreement. What the
/// disk does with it is no reason to withhold an answer that was charged.
async fn keep_for_receivers(
    state: &State,
    request: &VerifiedRequest,
    release: &ReleaseFile,
    events: &Events,
) -> Result<(), Problem> {
    let receivers = request.query().receivers.iter();
    let with_key = receivers.filter_map(|party| {
        let key = request.agreement().receive_key(party)?;
        Some((party.clone(), key))
    });
    let seal = |(party, key): (PartyName, &ReceivePublicKey)| {
        let answer = sealed(request, &Receiver::Party(party.clone()), key, release)?;
        Ok((party, answer))
    };
    let all: Vec<_> = with_key.map(seal).collect::<Result<_, Problem>>()?;
    if all.is_empty() {
        return Ok(());
    }
    let (answers, digest) = (state.store.answers(), request.digest());
    let kept = tokio::task::spawn_blocking(move || answers.keep(&digest, &all)).await;
    if let Err(error) = kept.map_err(Problem::internal)? {
        tracing::error!(%error, "sealed answers were not kept");
        step(events, "the room could not keep the answer for its receivers: ask again, for nothing, once it can").await;
    }
    Ok(())
}

/// The request, once its analyst (or a token of the analyst's) has signed it.
fn verified(state: &State, signed: &Signed) -> Result<VerifiedRequest, Problem> {
    let agreement = state.active()?;
    verify_request(signed, &agreement, now())
        .map_err(|refusal| Problem::new(ProblemKind::Refused, "request-refused", chain(&refusal)))
}

/// Answers a request that the room signed for the bearer of a token, who alone gets the answer:
/// as its analyst would.
pub(crate) async fn run_for_bearer(
    state: &Arc<State>,
    signed: &Signed,
    events: &Events,
) -> Result<ReleaseFile, Problem> {
    let request = verified(state, signed)?;
    if request.token().is_none() {
        return Err(not_a_receiver());
    }
    bearer_receives(request.query(), request.analyst())?;
    answer_to(state, &request, events).await
}

async fn answer_to(
    state: &Arc<State>,
    request: &VerifiedRequest,
    events: &Events,
) -> Result<ReleaseFile, Problem> {
    tracing::info!(request = %request.digest(), query = %request.request().query(), "asked");
    if state.turns.taken() {
        step(events, "waiting for a question before this one").await;
    }
    let _turn = state.turns.take(events.closed()).await?;
    let prepared = prepare(state, request).await?;
    step(events, "the owners check the request").await;
    let (grants, evidence) = grants(state, request, &prepared.manifests, events).await?;
    let grants = Arc::new(grants);
    step(events, "computing").await;
    let deadline = prepared.data.deadline(&prepared.checked, &state.limits);
    let released = async {
        let answer = answer(state, &prepared, &grants).await?;
        let record = Record {
            request,
            grants: &grants,
            manifests: &prepared.manifests,
            evidence: &evidence,
        };
        let issued = issue(&record, &answer, &state.identity.receipt, &mut rand::rng());
        issued.map_err(Problem::internal)
    };
    let release = at(&deadline, released).await?;
    tracing::info!(request = %request.digest(), "answered");
    keep_for_receivers(state, request, &release, events).await?;
    Ok(release)
}

/// What comes of the rows, an answer or an error, leaves at the deadline and not when it is
/// ready: how long rows took shows nobody what they are (I7).
async fn at<T>(
    deadline: &Deadline,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let begun = Instant::now();
    let done = tokio::time::timeout(deadline.last(), work).await;
    let leaves = deadline.leaves(begun.elapsed());
    tokio::time::sleep_until(begun + leaves).await;
    done.unwrap_or_else(|_| Err(failed(&QueryError::Engine)))
}

/// The answer goes to receivers alone: to the analyst who signed, if the analyst's party is
/// one, or to a receiver's own service. Whoever else holds the signed request (every owner's
/// broker does) gets nothing for it.
fn may_receive(request: &VerifiedRequest, caller: Option<PublicKey>) -> Result<Receiver, Problem> {
    let agreement = request.agreement().agreement();
    let receivers = &request.query().receivers;
    let analyst = match agreement.analyst_key(request.analyst()) {
        Some(AnalystKey::Key(key)) => receivers.contains(&request.analyst().party).then_some(*key),
        _ => None,
    };
    let party = caller.and_then(|key| agreement.party_of_service(&key));
    match party {
        _ if caller.is_some() && analyst == caller => {
            Ok(Receiver::Analyst(request.analyst().clone()))
        }
        Some(party) if receivers.contains(party) => Ok(Receiver::Party(party.clone())),
        _ => Err(not_a_receiver()),
    }
}

/// A bearer gets the answer in the analyst's place, if the analyst's party is to have it.
pub(crate) fn bearer_receives(query: &Query, analyst: &AnalystRef) -> Result<(), Problem> {
    if query.receivers.contains(&analyst.party) {
        return Ok(());
    }
    let why = format!(
        "`{}`, whose analyst signed the token, is no receiver of this query's answer",
        analyst.party
    );
    let problem = Problem::new(ProblemKind::Refused, "not-a-receiver", why);
    Err(problem.hint("`receivers` in the agreement names the parties that get answers"))
}

fn not_a_receiver() -> Problem {
    Problem::new(
        ProblemKind::Refused,
        "not-a-receiver",
        "the caller is no receiver of this query's answer: its TLS key is neither the analyst's nor a receiver's",
    )
    .hint("`receivers` in the agreement names the parties that get answers; ask with the analyst's own key")
}

async fn step(events: &Events, text: &str) {
    let step = RunStep {
        step: text.to_owned(),
    };
    let _ = events
        .send(Ok(RunEvent {
            event: Some(Event::Step(step)),
        }))
        .await;
}

async fn finish(events: &Events, result: RunResult) {
    let _ = events
        .send(Ok(RunEvent {
            event: Some(Event::Result(result)),
        }))
        .await;
}

/// What a request needs besides keys.
struct Prepared {
    checked: CheckedQuery,
    manifests: Manifests,
    data: RoomData,
}

/// Everything that can fail before an owner is asked: the plan is allowed, the data are here
/// and whole, and the room is large enough.
async fn prepare(state: &Arc<State>, request: &VerifiedRequest) -> Result<Prepared, Problem> {
    let (state, request) = (state.clone(), request.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let checked = check_request(&request).map_err(|refusal| {
            Problem::new(ProblemKind::Refused, "query-refused", refusal.to_string())
        })?;
        let manifests = manifests(&state, &request)?;
        let path = |dataset: &DatasetName, id: &FileId| state.store.part_path(dataset, id);
        let data = RoomData::new(&manifests, &path);
        data.fits(&checked, &state.limits).map_err(|error| {
            Problem::new(ProblemKind::Refused, "room-too-small", error.to_string())
                .hint("nothing was spent; the same question can be asked once the room has more")
        })?;
        data.check_public(&checked).map_err(|error| {
            Problem::new(ProblemKind::Refused, "public-data-unfit", error.to_string())
                .hint("nothing was spent; ask again once its owner has pushed other rows")
        })?;
        Ok(Prepared {
            checked,
            manifests,
            data,
        })
    });
    prepared.await.map_err(Problem::internal)?
}

fn manifests(state: &State, request: &VerifiedRequest) -> Result<Manifests, Problem> {
    let agreement = request.agreement().agreement();
    let mut manifests = Manifests::new();
    for (dataset, digest) in request.request().manifests() {
        let manifest = stored(state, agreement, dataset)?;
        if &manifest.digest() != digest {
            return Err(Problem::new(
                ProblemKind::Refused,
                "other-version",
                format!("the room has another version of `{dataset}` than the request names"),
            )
            .hint("ask again: the request then names the version that is in the room"));
        }
        fits(agreement, &manifest)?;
        state.store.check_parts(&manifest)?;
        manifests.insert(dataset.clone(), manifest);
    }
    let read = manifests.values().map(|manifest| &**manifest);
    same_runs(&agreement.datasets, read).map_err(|differ| {
        Problem::new(
            ProblemKind::Refused,
            "other-matching-run",
            differ.to_string(),
        )
        .hint(RunsDiffer::HINT)
    })?;
    let mut read = manifests.values();
    let over = read.try_for_each(|manifest| manifest.counts_at(now()));
    over.map_err(|over| {
        Problem::new(ProblemKind::Refused, "past-last-day", over.to_string())
            .hint("nothing was spent; ask again once its owner has pushed a newer version")
    })?;
    Ok(manifests)
}

/// The manifest of a data set in this room, its owner's signature checked.
pub(crate) fn stored(
    state: &State,
    agreement: &Agreement,
    dataset: &DatasetName,
) -> Result<SignedManifest, Problem> {
    let owner = agreement.datasets.get(dataset).map(|spec| &spec.owner);
    let key = owner.and_then(|owner| agreement.service_key(owner));
    let key = key.ok_or_else(|| Problem::internal("a data set without an owner"))?;
    Ok(state.store.manifest(dataset, key)?)
}

/// Found out here, before an owner is asked: afterwards it would cost everybody a charge.
fn fits(agreement: &Agreement, manifest: &SignedManifest) -> Result<(), Problem> {
    let spec = agreement.datasets.get(manifest.dataset());
    let spec = spec.ok_or_else(|| Problem::internal("a data set that the agreement has not"))?;
    let matching = &agreement.matching;
    let fit = manifest.fits(spec, &agreement.id, matching.epoch, matching.partitions);
    let fit = fit.and_then(|()| manifest.ends_with_key(matching.key_days(), now()));
    fit.map_err(|error| {
        Problem::new(ProblemKind::Refused, "manifest-unfit", error.to_string())
            .hint("its owner seals and pushes the data set again")
    })
}

async fn connect(state: &State, request: &VerifiedRequest) -> Result<Vec<Owner>, Problem> {
    let agreement = request.agreement().agreement();
    let owners = agreement.owners_read(request.query());
    let dial = owners.into_iter().map(async |name| {
        let party = agreement.parties.get(&name);
        let party = party.ok_or_else(|| Problem::internal("an owner that is no party"))?;
        let me = Some(&*state.identity.tls);
        let channel = client::connect(party.url.as_str(), &party.service, me, &state.tls).await;
        let channel = channel.map_err(|error| {
            Problem::new(
                ProblemKind::Unavailable,
                "owner-unreachable",
                format!("`{name}`: {error}"),
            )
            .hint("nothing was spent; ask again when that party's service runs")
        })?;
        Ok::<_, Problem>(Owner::new(name, channel))
    });
    try_join_all(dial).await
}

/// Both rounds, then the opening of all grants.
async fn grants(
    state: &Arc<State>,
    request: &VerifiedRequest,
    manifests: &Manifests,
    events: &Events,
) -> Result<(OpenedGrants, Vec<BoundEvidence>), Problem> {
    let secret = RoomSecretKey::generate(&mut rand::rng());
    let hpke_key = secret.public().as_bytes().to_vec();
    let reserved = reserved(state, request, &hpke_key);
    let (mut owners, reservations, evidence) = unless_gone(events, reserved).await?;
    step(events, "every owner has reserved; charging").await;
    let commit = owners
        .iter_mut()
        .map(|owner| commit(request, &reservations, owner));
    let granted = try_join_all(commit).await?;
    let opening = Opening {
        request,
        reservations: &reservations,
        grants: &granted,
        manifests,
        simulated: state.simulated,
    };
    let opened = open_grants(&opening, secret, now()).map_err(|error| {
        Problem::new(ProblemKind::Conflict, "grants-refused", error.to_string())
            .detail(error.fault())
    })?;
    Ok((opened, evidence))
}

/// What is asked before anything is charged ends once nobody waits for the answer: who has hung
/// up holds no turn. The commits go on: an owner may have charged already, and each must then
/// have its chance to, or asking again would find some that have and some that have not.
async fn unless_gone<T>(
    events: &Events,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::select! {
        biased;
        () = events.closed() => Err(turns::gone()),
        done = work => done,
    }
}

/// The first round: every owner, its reservation, and the evidence that it was shown.
async fn reserved(
    state: &State,
    request: &VerifiedRequest,
    hpke_key: &[u8],
) -> Result<(Vec<Owner>, Vec<Signed>, Vec<BoundEvidence>), Problem> {
    let mut owners = connect(state, request).await?;
    let reserve = owners
        .iter_mut()
        .map(|owner| reserve(state, request, hpke_key, owner));
    let reserved = try_join_all(reserve).await?;
    let (reservations, evidence) = reserved.into_iter().unzip();
    Ok((owners, reservations, evidence))
}

/// Challenge, evidence for it and for this request, reservation.
async fn reserve(
    state: &State,
    request: &VerifiedRequest,
    hpke_key: &[u8],
    owner: &mut Owner,
) -> Result<(Signed, BoundEvidence), Problem> {
    let digest = request.agreement().agreement().digest.as_bytes().to_vec();
    let challenge = ChallengeRequest {
        agreement_digest: digest,
    };
    let reply = owner.challenge(challenge).await?;
    let challenge = reply
        .challenge
        .try_into()
        .map_err(|_| Problem::internal(format!("`{}` gave a malformed challenge", owner.name)))?;
    let evidence = state
        .identity
        .for_request(challenge, hpke_key.to_vec(), request.digest());
    let evidence = evidence.map_err(Problem::internal)?;
    let message = ReserveRequest {
        request: Some(request.signed().clone()),
        evidence: Some(evidence.clone()),
    };
    let reply = owner.reserve(message).await?;
    Ok((reply.reservation.unwrap_or_default(), evidence))
}

async fn commit(
    request: &VerifiedRequest,
    reservations: &[Signed],
    owner: &mut Owner,
) -> Result<Signed, Problem> {
    let message = CommitRequest {
        request_digest: request.digest().as_bytes().to_vec(),
        agreement_digest: request.agreement().agreement().digest.as_bytes().to_vec(),
        reservations: reservations.to_vec(),
    };
    let reply = owner
        .commit(message)
        .await
        .map_err(|problem| problem.hint("ask again: what was charged is not charged twice"))?;
    Ok(reply.grant.unwrap_or_default())
}

/// Scan, bound, aggregate, noise. An error says nothing about rows (I7).
async fn answer(
    state: &State,
    prepared: &Prepared,
    grants: &Arc<OpenedGrants>,
) -> Result<Answer, Problem> {
    let Prepared { checked, data, .. } = prepared;
    let raw = compute(checked, data, grants, &state.limits)
        .await
        .map_err(|error| failed(&error))?;
    let released = release(raw, grants).map_err(Problem::internal)?;
    Ok(released.answer())
}

fn failed(error: &QueryError) -> Problem {
    Problem::new(ProblemKind::Internal, "query-failed", error.to_string())
        .hint("the charge stands, and asking again is free once the cause is gone")
}

#[cfg(test)]
#[cfg(feature = "simulated")]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
pub(crate) mod tests;
