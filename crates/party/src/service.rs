//! The service: opens what it needs, listens, serves until it is told to stop.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use incamera_dp::loss_of;
use incamera_keys::{PublicKey, SigningKey};
use incamera_ledger::{Ledger, LedgerError};
use incamera_net::agreements::Agreements;
use incamera_net::server;
use incamera_net::tls::{self, TlsError, TlsOptions};
use incamera_net::{health, status::Problem};
use incamera_release::{Challenges, OwnRules};
use incamera_seal::KeyRing;
use incamera_types::{PartyName, PrivacyLoss};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::agreements::LedgerMemory;
use crate::approvals;
use crate::broker::Broker;
use crate::config::PartyConfig;
use crate::meeting::Meeting;
use crate::owner::Owner;
use crate::retention;

/// Why a party's service does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The service key cannot be read.
    #[error("the service key `{path}` cannot be read: check `service` under `[keys]`")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The ledger does not open.
    #[error("the ledger does not open: check `path` under `[ledger]`")]
    Ledger(#[from] LedgerError),
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

/// What all handlers share.
pub(crate) struct State {
    pub(crate) name: PartyName,
    pub(crate) agreements: Arc<Agreements>,
    pub(crate) service: SigningKey,
    signs: PublicKey,
    rules: OwnRules,
    own_ceiling: PrivacyLoss,
    ledger: Arc<Mutex<Ledger>>,
    ring: Mutex<KeyRing>,
    challenges: Mutex<Challenges>,
}

impl State {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key ring, with what other processes of this party added since.
    pub(crate) fn ring(&self) -> Result<MutexGuard<'_, KeyRing>, Problem> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.refresh().map_err(Problem::internal)?;
        Ok(ring)
    }

    pub(crate) fn challenges(&self) -> MutexGuard<'_, Challenges> {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner's own rules, with what its folder says that it has approved at this moment.
    pub(crate) fn rules(&self) -> OwnRules {
        OwnRules {
            approved: approvals::approved(self.agreements.folder(), &self.name, &self.signs),
            ..self.rules.clone()
        }
    }

    /// The owner's own ceiling over everything.
    pub(crate) fn own_ceiling(&self) -> PrivacyLoss {
        self.own_ceiling
    }
}

/// Serves with the open key ring until `shutdown`; calls `ready` once every port is its own.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    config: PartyConfig,
    ring: KeyRing,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let state = Arc::new(open(&config, ring)?);
    let tls = tls::server_config(&state.service, &hosts(&config, &state), &options(&config))?;
    let listener = TcpListener::bind(config.listen).await?;
    let health = match config.health {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    let routes = Routes::new(server::broker(Broker::new(state.clone())))
        .add_service(server::owner(Owner::new(state.clone())))
        .add_service(server::meeting(Meeting::new(state.agreements.clone())));
    tracing::info!(party = %config.name, listen = %config.listen, "the party's service is up");
    let daily = tokio::spawn(retention::daily(state));
    ready();
    let shutdown = shutdown.shared();
    let serving = server::serve(listener, tls, routes, shutdown.clone());
    let serving = serving.inspect(|_| daily.abort());
    let Some(health) = health else {
        return Ok(serving.await?);
    };
    let version = env!("CARGO_PKG_VERSION");
    let (served, answered) = tokio::join!(
        serving,
        health::serve(health, config.name.as_str(), version, shutdown)
    );
    served?;
    Ok(answered?)
}

fn open(config: &PartyConfig, ring: KeyRing) -> Result<State, ServeError> {
    let service = service_key(config)?;
    let name = config.name.clone();
    let ledger = Arc::new(Mutex::new(open_ledger(config)?));
    let agreements = Agreements::new(&config.agreements, name, config.signs, service.public())
        .remembering(LedgerMemory(ledger.clone()));
    if let Err(problem) = agreements.remember() {
        tracing::warn!(%problem, "agreement versions were not remembered");
    }
    Ok(State {
        name: config.name.clone(),
        agreements: Arc::new(agreements),
        service,
        signs: config.signs,
        rules: rules(config),
        own_ceiling: loss_of(&config.budget),
        ledger,
        ring: Mutex::new(ring),
        challenges: Mutex::default(),
    })
}

/// The owner's own rules, beside the agreement's.
fn rules(config: &PartyConfig) -> OwnRules {
    OwnRules {
        insecure_accept_simulated: accepts_simulated(config),
        paused: config.paused,
        refused_queries: config.refused_queries.clone(),
        refused_analysts: config.refused_analysts.clone(),
        refuse_tokens: !config.tokens,
        refused_tokens: config.refused_tokens.clone(),
        ..OwnRules::default()
    }
}

#[cfg(feature = "simulated")]
fn accepts_simulated(config: &PartyConfig) -> bool {
    config.insecure_accept_simulated
}

#[cfg(not(feature = "simulated"))]
fn accepts_simulated(_config: &PartyConfig) -> bool {
    false
}

#[cfg(not(feature = "simulated"))]
fn open_ledger(config: &PartyConfig) -> Result<Ledger, LedgerError> {
    Ledger::open(&config.ledger.path, &config.name)
}

/// Ends the process at the failpoint that tests name in `INCAMERA_FAILPOINT`: `reserved`,
/// `charging` or `charged`. Not in a production build.
#[cfg(feature = "simulated")]
fn open_ledger(config: &PartyConfig) -> Result<Ledger, LedgerError> {
    let mut ledger = Ledger::open(&config.ledger.path, &config.name)?;
    if let Ok(wanted) = std::env::var("INCAMERA_FAILPOINT") {
        ledger.on_failpoint(move |point| {
            if format!("{point:?}").eq_ignore_ascii_case(&wanted) {
                std::process::abort();
            }
        });
    }
    Ok(ledger)
}

fn service_key(config: &PartyConfig) -> Result<SigningKey, ServeError> {
    let path = &config.keys.service;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ServeError::Key {
        path: path.clone(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.into()))?;
    SigningKey::from_openssh(&text, None).map_err(|error| failed(error.into()))
}

/// The hosts that agreements name this service by, and the address itself.
fn hosts(config: &PartyConfig, state: &State) -> Vec<String> {
    let mut hosts = vec![config.listen.ip().to_string(), "localhost".to_owned()];
    for (agreement, _) in state.agreements.all() {
        if let Some(party) = agreement.parties.get(&config.name) {
            hosts.push(party.url.host().to_owned());
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

fn options(config: &PartyConfig) -> TlsOptions {
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
