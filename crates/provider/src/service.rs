//! The service: opens what it needs, listens, serves until it is told to stop.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::{FutureExt as _, Stream};
use incamera_group::Backend;
use incamera_keys::{PublicKey, ReceiveKey, SigningKey};
use incamera_net::agreements::{Agreements, now};
use incamera_net::health;
use incamera_net::server::{self, blocking, caller};
use incamera_net::services::provider_server::Provider;
use incamera_net::services::{
    CeremonyFrame, CeremonyReply, EvaluateFrame, KeysReply, KeysRequest, LinkFrame, LinkReply,
};
use incamera_net::status::Problem;
use incamera_net::tls::{self, TlsError, TlsOptions};
use incamera_types::{AgreementId, Date, PartyName, UnixTime};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::admit::{Admitted, admit, agreed};
use crate::ceremony::Ceremonies;
use crate::config::ProviderConfig;
use crate::limits::{Places, Rates};
use crate::sealed::ShareKey;
use crate::store::{Matter, Shared, Store, StoreError};
use crate::{evaluate, links};

/// How often what is over is dropped.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long after its end a key's share stays.
const DAY_S: u64 = 24 * 60 * 60;

/// Why a provider's service does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The store does not open.
    #[error("the provider's store does not open: check `store`")]
    Store(#[from] StoreError),
    /// The address is taken, or not ours.
    #[error("the service cannot listen there: check `listen` and `health`")]
    Listen(#[from] io::Error),
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

/// Whose service it is: what its party's folder holds.
pub struct Own {
    /// The party's name.
    pub name: PartyName,
    /// Its public signing key: agreements that give it another do not count.
    pub signs: PublicKey,
    /// Its service key.
    pub service: SigningKey,
    /// What shares from others are sealed to; one provider alone needs none.
    pub receive: Option<ReceiveKey>,
    /// The folder of agreements and their signatures.
    pub agreements: PathBuf,
    /// What shares are sealed under at rest.
    pub shares: ShareKey,
}

/// An asker: one party under one agreement.
pub(crate) type Asker = (AgreementId, PartyName);

/// What all handlers share.
pub(crate) struct State {
    pub(crate) name: PartyName,
    pub(crate) agreements: Arc<Agreements>,
    pub(crate) service: SigningKey,
    pub(crate) receive: Option<ReceiveKey>,
    pub(crate) shares: ShareKey,
    pub(crate) store: Shared,
    pub(crate) backend: Backend,
    pub(crate) sessions: Places<Asker>,
    pub(crate) rates: Rates<Asker>,
    /// One for each core: whoever evaluates holds one.
    pub(crate) cores: Arc<Semaphore>,
    pub(crate) ceremonies: Mutex<Ceremonies>,
}

impl State {
    fn open(config: &ProviderConfig, own: Own) -> Result<Self, StoreError> {
        let store = Shared::new(Store::open(&config.store, &own.name)?);
        let (name, service) = (own.name.clone(), own.service.public());
        let agreements = Agreements::new(&own.agreements, name, own.signs, service);
        let agreements = agreements.remembering(store.clone());
        if let Err(problem) = agreements.remember() {
            tracing::warn!(%problem, "agreement versions were not remembered");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            name: own.name,
            agreements: Arc::new(agreements),
            service: own.service,
            receive: own.receive,
            shares: own.shares,
            store,
            backend: Backend::best(),
            sessions: Places::new(config.sessions.get()),
            rates: Rates::new(),
            cores: Arc::new(Semaphore::new(cores)),
            ceremonies: Mutex::new(HashMap::new()),
        })
    }

    pub(crate) async fn admit(
        &self,
        digest: &[u8],
        key: Option<PublicKey>,
    ) -> Result<Admitted, Status> {
        admit(&self.agreements, &self.name, digest, key).await
    }

    /// Drops links whose last day is over, and links and shares of epochs that are.
    fn drop_over(&self) -> Result<(), StoreError> {
        self.store.lock().drop_stale_links(today())?;
        for (agreement, _) in self.agreements.all() {
            // Whoever has not signed yet may never do so: the version that is in force counts.
            let newest = self.agreements.newest(&agreement.id);
            let terms = newest.ok().flatten();
            if let Some(agreed) = terms.and_then(|newest| agreed(newest.agreement())) {
                let (agreement_id, epoch) = (agreed.agreement_id, agreed.epoch);
                let matter = Matter {
                    agreement_id,
                    epoch,
                };
                self.store.lock().drop_earlier(&matter)?;
            }
        }
        Ok(())
    }

    /// The hosts that agreements name this service by.
    fn hosts(&self, config: &ProviderConfig) -> Vec<String> {
        let mut hosts = vec![config.listen.ip().to_string(), "localhost".to_owned()];
        for (agreement, _) in self.agreements.all() {
            if let Some(party) = agreement.parties.get(&self.name) {
                hosts.push(party.url.host().to_owned());
            }
        }
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

/// The day that it is.
pub(crate) fn today() -> Date {
    let days = now().0 / (24 * 60 * 60);
    Date::from_days(i32::try_from(days).unwrap_or(i32::MAX))
}

/// Serves until `shutdown`; calls `ready` once every port is its own.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: ProviderConfig,
    own: Own,
    options: &TlsOptions,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let state = Arc::new(State::open(&config, own)?);
    state.drop_over()?;
    let tls = tls::server_config(&state.service, &state.hosts(&config), options)?;
    let listener = TcpListener::bind(config.listen).await?;
    let health = match config.health {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    let name = state.name.clone();
    let routes = Routes::new(server::provider(Handlers(state.clone())));
    tracing::info!(provider = %name, listen = %config.listen, "the provider's service is up");
    ready();
    let shutdown = shutdown.shared();
    tokio::spawn(keep_dropping(Arc::downgrade(&state), HOUR));
    let serving = server::serve(listener, tls, routes, shutdown.clone());
    let Some(health) = health else {
        return Ok(serving.await?);
    };
    let version = env!("CARGO_PKG_VERSION");
    let (served, answered) = tokio::join!(
        serving,
        health::serve(health, name.as_str(), version, shutdown)
    );
    served?;
    Ok(answered?)
}

/// Drops what is over now and then, as long as the service runs.
async fn keep_dropping(state: Weak<State>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(state) = state.upgrade() else {
            return;
        };
        let dropped = blocking(move || {
            state.drop_over()?;
            // Never at the start: a clock that is not set yet would take a share that is needed,
            // for good.
            Ok(state
                .store
                .lock()
                .erase_over(UnixTime(now().0.saturating_sub(DAY_S)))?)
        });
        let dropped = dropped.await;
        if let Err(status) = dropped {
            let problem = Problem::from_status(&status);
            tracing::warn!(%problem, "what is over was not dropped");
        }
    }
}

struct Handlers(Arc<State>);

/// What is streamed to a caller.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Provider for Handlers {
    type EvaluateStream = Answers<EvaluateFrame>;
    type GetLinksStream = Answers<LinkFrame>;

    async fn evaluate(
        &self,
        request: Request<Streaming<EvaluateFrame>>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        let key = caller(&request);
        let answers = evaluate::session(self.0.clone(), key, request.into_inner());
        Ok(Response::new(answers.await?))
    }

    async fn keys(&self, request: Request<KeysRequest>) -> Result<Response<KeysReply>, Status> {
        let key = caller(&request);
        let message = request.into_inner();
        let admitted = self.0.admit(&message.agreement_digest, key).await?;
        let state = self.0.clone();
        let share = blocking(move || Ok(state.store.lock().share(&admitted.matter())?));
        let statement = share.await?.map(|kept| kept.statement);
        Ok(Response::new(KeysReply {
            statement: statement.unwrap_or_default(),
        }))
    }

    async fn ceremony(
        &self,
        request: Request<CeremonyFrame>,
    ) -> Result<Response<CeremonyReply>, Status> {
        let key = caller(&request);
        let message = request.into_inner();
        let admitted = self.0.admit(&message.agreement_digest, key).await?;
        let admitted = admitted.into_provider()?;
        let state = self.0.clone();
        let reply = blocking(move || state.ceremony_step(&admitted, message));
        Ok(Response::new(reply.await?))
    }

    async fn put_links(
        &self,
        request: Request<Streaming<LinkFrame>>,
    ) -> Result<Response<LinkReply>, Status> {
        let key = caller(&request);
        let entries = links::put(&self.0, key, request.into_inner()).await?;
        Ok(Response::new(LinkReply { entries }))
    }

    async fn get_links(
        &self,
        request: Request<Streaming<LinkFrame>>,
    ) -> Result<Response<Self::GetLinksStream>, Status> {
        let key = caller(&request);
        let answers = links::get(self.0.clone(), key, request.into_inner());
        Ok(Response::new(answers.await?))
    }

    async fn drop_links(
        &self,
        request: Request<Streaming<LinkFrame>>,
    ) -> Result<Response<LinkReply>, Status> {
        let key = caller(&request);
        let entries = links::drop_some(&self.0, key, request.into_inner()).await?;
        Ok(Response::new(LinkReply { entries }))
    }
}

/// A party has as much open as it may have.
pub(crate) fn busy() -> Problem {
    use incamera_net::status::ProblemKind;
    Problem::new(
        ProblemKind::Unavailable,
        "sessions-at-once",
        "this party has as many sessions open here as it may have at once",
    )
    .hint("let one of them end, and ask again")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use incamera_keys::Secret32;
    use incamera_types::Digest as _;

    use super::*;
    use crate::store::Kept;

    fn state(folder: &std::path::Path) -> Arc<State> {
        let path = folder.join("provider.toml");
        let text = "format = \"incamera-provider/1\"\nlisten = \"127.0.0.1:1\"\n";
        std::fs::write(&path, text).unwrap();
        let signs = SigningKey::generate(&mut rand::rng());
        let own = Own {
            name: "alpha".parse().unwrap(),
            signs: signs.public(),
            service: signs,
            receive: None,
            agreements: folder.to_owned(),
            shares: ShareKey::new(Secret32::from_bytes([1; 32])),
        };
        Arc::new(State::open(&ProviderConfig::load(&path).unwrap(), own).unwrap())
    }

    /// A service runs for longer than a key.
    #[tokio::test]
    async fn what_is_over_is_dropped_while_the_service_runs() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        let matter = Matter {
            agreement_id: AgreementId::from_bytes([1; 32]),
            epoch: incamera_types::MatchingEpoch(1),
        };
        let keys = incamera_wire::v1::ProviderKeys {
            valid_until: now().0.strict_sub(DAY_S + 1),
            ..Default::default()
        };
        let kept = Kept {
            number: 1,
            place: 1,
            sealed: vec![1; 60],
            statement: incamera_wire::encode(&keys),
        };
        state
            .store
            .lock()
            .keep_waiting(&matter, &kept, now())
            .unwrap();
        let dropping = tokio::spawn(keep_dropping(
            Arc::downgrade(&state),
            Duration::from_millis(5),
        ));
        while state.store.lock().waiting(&matter).unwrap() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        drop(state);
        dropping.await.unwrap();
    }
}
