//! The room's service: evidence, pushes, manifests, runs.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures::{FutureExt as _, Stream};
use incamera_agreement::{ActiveAgreement, SignedAgreement, files};
use incamera_net::health;
use incamera_net::server::{self, caller};
use incamera_net::services::room_server::Room as RoomService;
use incamera_net::services::{
    AnswersEvent, AnswersRequest, AttestReply, AttestRequest, ManifestsReply, ManifestsRequest,
    PushFrame, PushReply, RunEvent, RunRequest,
};
use incamera_net::status::{Problem, ProblemKind};
use incamera_net::tls::{self, TlsError, TlsOptions};
use incamera_query::Limits;
use incamera_types::{DatasetName, Digest as _, RequestDigest};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::answers::Answers;
use crate::config::RoomConfig;
use crate::identity::{Identity, IdentityError, now};
use crate::machine::TooLittleMemory;
use crate::store::{Store, StoreError};
use crate::turns::Turns;
use crate::{flight, machine, push, run};

/// Events of a run that wait for the caller.
const EVENTS_UNDER_WAY: usize = 8;

/// Why a room does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The agreement is not in force.
    #[error("the room's agreement is not in force: check `agreement` in the configuration")]
    Agreement(#[from] files::FileError),
    /// No evidence can be given.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The storage cannot be opened.
    #[error("the storage cannot be opened: check `storage` in the configuration")]
    Store(#[from] StoreError),
    /// The address is taken, or not ours.
    #[error("the room cannot listen there: check `listen` and `health`")]
    Listen(#[from] io::Error),
    /// There is less memory than a query may use.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The health endpoint failed.
    #[error("the health endpoint failed")]
    Health(#[from] health::HealthError),
    /// The server failed.
    #[error("the server failed")]
    Server(#[from] server::ServeError),
}

/// What all handlers share.
pub(crate) struct State {
    pub(crate) agreement: SignedAgreement,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    pub(crate) simulated: bool,
    pub(crate) tls: TlsOptions,
}

impl State {
    fn open(config: &RoomConfig) -> Result<Self, ServeError> {
        machine::has(config.memory_bytes)?;
        let agreement = files::read_signed(&config.agreement)?;
        let digest = agreement.agreement().digest;
        Ok(Self {
            identity: Identity::new(digest, config.insecure_simulated_tee)?,
            agreement,
            store: Store::open(&config.storage)?,
            limits: Limits {
                memory_bytes: config.memory_bytes,
                ..Limits::default()
            },
            turns: Turns::new(),
            simulated: config.insecure_simulated_tee,
            tls: options(config),
        })
    }

    /// The agreement, if it has not expired.
    pub(crate) fn active(&self) -> Result<ActiveAgreement, Problem> {
        self.agreement.at(now()).map_err(|error| {
            Problem::new(ProblemKind::Expired, "agreement-expired", error.to_string())
                .hint("sign a new version with a later `expires`, and start the room with it")
        })
    }
}

/// Serves until `shutdown`; calls `ready` once every port is its own.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: RoomConfig,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let state = Arc::new(State::open(&config)?);
    let agreement = state.agreement.agreement();
    let hosts = [
        agreement.room.url.host().to_owned(),
        config.listen.ip().to_string(),
    ];
    let tls = tls::server_config(&state.identity.tls, &hosts, &state.tls)?;
    let listener = TcpListener::bind(config.listen).await?;
    let health = match config.health {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    if state.simulated {
        tracing::warn!("SIMULATED TEE: no hardware protects this room");
    }
    tracing::info!(agreement = %agreement.digest, listen = %config.listen, "the room is up");
    ready();
    let room = Room {
        state: state.clone(),
    };
    let shutdown = shutdown.shared();
    let serving = server::serve(
        listener,
        tls,
        Routes::new(server::room(room)).add_service(flight::service(state.clone())),
        shutdown.clone(),
    );
    let Some(health) = health else {
        return Ok(serving.await?);
    };
    let version = env!("CARGO_PKG_VERSION");
    let (served, answered) =
        tokio::join!(serving, health::serve(health, "room", version, shutdown));
    served?;
    Ok(answered?)
}

fn options(config: &RoomConfig) -> TlsOptions {
    #[cfg(feature = "simulated")]
    return TlsOptions {
        key_log: config.insecure_tls_key_log.clone(),
    };
    #[cfg(not(feature = "simulated"))]
    {
        let _ = config;
        TlsOptions::default()
    }
}

struct Room {
    state: Arc<State>,
}

#[tonic::async_trait]
impl RoomService for Room {
    async fn attest(
        &self,
        request: Request<AttestRequest>,
    ) -> Result<Response<AttestReply>, Status> {
        let challenge = request.into_inner().challenge.try_into().map_err(|_| {
            Problem::new(
                ProblemKind::Invalid,
                "malformed-challenge",
                "a challenge has 32 bytes",
            )
        })?;
        let evidence = self.state.identity.for_push(challenge);
        let evidence = evidence.map_err(|error| Status::from(Problem::internal(error)))?;
        Ok(Response::new(AttestReply {
            evidence: Some(evidence),
        }))
    }

    async fn push(
        &self,
        request: Request<Streaming<PushFrame>>,
    ) -> Result<Response<PushReply>, Status> {
        let caller = caller(&request);
        let agreement = self.state.active()?;
        let frames = request.into_inner();
        let reply = push::receive(&self.state.store, agreement.agreement(), caller, frames);
        Ok(Response::new(reply.await?))
    }

    async fn manifests(
        &self,
        request: Request<ManifestsRequest>,
    ) -> Result<Response<ManifestsReply>, Status> {
        let mut manifests = Vec::new();
        for name in &request.get_ref().datasets {
            let name: DatasetName = name.parse().map_err(|_| {
                Problem::new(
                    ProblemKind::Invalid,
                    "malformed-name",
                    "a data set's name is malformed",
                )
            })?;
            manifests.push(self.state.store.signed(&name).map_err(Problem::from)?);
        }
        Ok(Response::new(ManifestsReply { manifests }))
    }

    type RunStream = Pin<Box<dyn Stream<Item = Result<RunEvent, Status>> + Send>>;

    async fn run(&self, request: Request<RunRequest>) -> Result<Response<Self::RunStream>, Status> {
        let (events, receiver) = mpsc::channel(EVENTS_UNDER_WAY);
        let state = self.state.clone();
        let caller = caller(&request);
        let message = request.into_inner();
        tokio::spawn(async move {
            if let Err(problem) = run::run(&state, message, caller, &events).await {
                let _ = events.send(Err(problem.into())).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type AnswersStream = Pin<Box<dyn Stream<Item = Result<AnswersEvent, Status>> + Send>>;

    async fn answers(
        &self,
        request: Request<AnswersRequest>,
    ) -> Result<Response<Self::AnswersStream>, Status> {
        let agreement = self.state.agreement.agreement();
        let party = caller(&request).and_then(|key| agreement.party_of_service(&key));
        let party = party.ok_or_else(no_party)?.clone();
        let have = request.get_ref().have.iter();
        let have = have.filter_map(|digest| RequestDigest::from_slice(digest).ok());
        let (have, answers) = (have.collect(), self.state.store.answers());
        let (events, receiver) = mpsc::channel(1);
        // Disks are slow, and one answer at a time is in memory.
        tokio::task::spawn_blocking(move || match answers.of(&party, &have) {
            Ok(paths) => send(paths, &events),
            Err(error) => drop(events.blocking_send(Err(Problem::internal(error).into()))),
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn send(paths: Vec<PathBuf>, events: &mpsc::Sender<Result<AnswersEvent, Status>>) {
    for sealed in paths.iter().filter_map(|path| Answers::read(path)) {
        let event = AnswersEvent {
            sealed: Some(sealed),
        };
        if events.blocking_send(Ok(event)).is_err() {
            return;
        }
    }
}

fn no_party() -> Problem {
    Problem::new(
        ProblemKind::Refused,
        "not-a-party",
        "the caller's TLS key is not the service key of a party of this agreement",
    )
    .hint("fetch answers with the party's folder")
}
