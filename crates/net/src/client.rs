//! Connecting to a service whose public key is known, or is to be learned by attesting.
//!
//! A channel reconnects by itself, and each connection is checked against the same key.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use incamera_keys::{PublicKey, SigningKey};
use incamera_types::limits::{CHUNK_BYTES, MAX_GRANT_BYTES, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::server::{CONNECTION_WINDOW_BYTES, KEEPALIVE, STREAM_WINDOW_BYTES};
use crate::services::broker_client::BrokerClient;
use crate::services::meeting_client::MeetingClient;
use crate::services::owner_client::OwnerClient;
use crate::services::provider_client::ProviderClient;
use crate::services::room_client::RoomClient;
use crate::tls::{self, OtherServerKey, ServerPin, TlsError, TlsOptions};
use crate::traffic::Counted;

/// A connection that takes longer to make is given up.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Room for what stands around the largest field of a message.
const FRAME_BYTES: usize = 64 << 10;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not an address.
    #[error("`{address}` is not an address: write https://host:port or host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// Nobody answers.
    #[error("cannot reach {address} ({reason}): is the service running, and the port open?")]
    Unreachable {
        /// Whom.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// Somebody is there but does not answer in time.
    #[error("{address} did not answer within {limit_s} s: is it the right port?")]
    TimedOut {
        /// Whom.
        address: String,
        /// The limit.
        limit_s: u64,
    },
    /// Another key than the one that was expected.
    #[error(
        "the service at {address} has the key {seen}, not the expected {expected}: \
         either the address or the agreement's key is wrong, or somebody stands in between"
    )]
    OtherKey {
        /// Whom.
        address: String,
        /// Fingerprint of the expected key.
        expected: String,
        /// Fingerprint of the key seen.
        seen: String,
    },
    /// No TLS 1.3 with an Ed25519 key.
    #[error("{address} does not speak TLS as a service of incamera does ({reason})")]
    Handshake {
        /// Whom.
        address: String,
        /// The library's reason.
        reason: String,
    },
    /// Our own side.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let refused = || ConnectError::Address {
            address: text.chars().filter(|c| !c.is_control()).take(128).collect(),
        };
        let bare = text.strip_prefix("https://").unwrap_or(text);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        let (host, port) = bare.rsplit_once(':').ok_or_else(refused)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = port.parse().map_err(|_| refused())?;
        let host = host.to_owned();
        let address = Self { host, port };
        address.server_name().ok_or_else(refused)?;
        Ok(address)
    }
}

impl Address {
    fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// The address as a URI; the channel's scheme is ours, what is said to the server is https.
    fn uri(&self, scheme: &str) -> Result<Uri, ConnectError> {
        let text = format!("{scheme}://{self}");
        text.parse()
            .map_err(|_| ConnectError::Address { address: text })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(host)) => write!(f, "[{host}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Connects to the service at `address` (`https://host:port` or `host:port`) if it has the key
/// `server`, showing `me` as the caller's key.
///
/// # Errors
/// [`ConnectError`], before any request is sent.
pub async fn connect(
    address: &str,
    server: &PublicKey,
    me: Option<&SigningKey>,
    options: &TlsOptions,
) -> Result<Channel, ConnectError> {
    dial(address, ServerPin::to(server), me, options).await
}

/// Connects to the service that has the key in `spki`, a DER `SubjectPublicKeyInfo` as
/// evidence names it.
///
/// # Errors
/// [`ConnectError`]; [`ConnectError::Handshake`] if `spki` is no Ed25519 key.
pub async fn connect_pinned_spki(
    address: &str,
    spki: &[u8],
    me: Option<&SigningKey>,
    options: &TlsOptions,
) -> Result<Channel, ConnectError> {
    let server = PublicKey::from_spki(spki).map_err(|error| ConnectError::Handshake {
        address: address.to_owned(),
        reason: error.to_string(),
    })?;
    connect(address, &server, me, options).await
}

/// A channel to a service of unknown identity: good for asking for evidence, no more.
pub struct Unattested {
    channel: Channel,
    key: PublicKey,
    leaf: Vec<u8>,
}

impl Unattested {
    /// The key that the service showed. Evidence must name it.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The leaf that it showed, a DER certificate: for programs that know servers by theirs.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// A channel to that key, whoever holds it.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Connects to whatever service is at `address`, to attest it. The channel stays with the key
/// of its first connection.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_unattested(
    address: &str,
    me: Option<&SigningKey>,
    options: &TlsOptions,
) -> Result<Unattested, ConnectError> {
    let pin = ServerPin::first();
    let channel = dial(address, Arc::clone(&pin), me, options).await?;
    let shown = pin.key().zip(pin.leaf());
    let (key, leaf) = shown.ok_or_else(|| ConnectError::Handshake {
        address: address.to_owned(),
        reason: "no key was shown".to_owned(),
    })?;
    Ok(Unattested { channel, key, leaf })
}

async fn dial(
    address: &str,
    pin: Arc<ServerPin>,
    me: Option<&SigningKey>,
    options: &TlsOptions,
) -> Result<Channel, ConnectError> {
    let address: Address = address.parse()?;
    let tls = tls::client_config(pin, me, options)?;
    let endpoint = Endpoint::from(address.uri("http")?)
        .origin(address.uri("https")?)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    let dial = Dial {
        address: address.clone(),
        tls,
    };
    endpoint
        .connect_with_connector(dial)
        .await
        .map_err(|error| {
            find_cause(&error).unwrap_or_else(|| ConnectError::Handshake {
                address: address.to_string(),
                reason: error.to_string(),
            })
        })
}

/// The [`ConnectError`] that an error of a channel came from, if any.
pub(crate) fn find_cause(error: &(dyn std::error::Error + 'static)) -> Option<ConnectError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<ConnectError>() {
            return Some(found.clone());
        }
        next = error.source();
    }
    None
}

/// Makes the connections of a channel.
#[derive(Clone)]
struct Dial {
    address: Address,
    tls: Arc<ClientConfig>,
}

impl tower::Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<Counted<TcpStream>>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.connect_in_time().await.map(TokioIo::new) })
    }
}

impl Dial {
    async fn connect_in_time(&self) -> Result<TlsStream<Counted<TcpStream>>, ConnectError> {
        tokio::time::timeout(CONNECT_LIMIT, self.connect())
            .await
            .map_err(|_| ConnectError::TimedOut {
                address: self.address.to_string(),
                limit_s: CONNECT_LIMIT.as_secs(),
            })?
    }

    async fn connect(&self) -> Result<TlsStream<Counted<TcpStream>>, ConnectError> {
        let unreachable = |error: std::io::Error| ConnectError::Unreachable {
            address: self.address.to_string(),
            reason: error.to_string(),
        };
        let target = (self.address.host.as_str(), self.address.port);
        let tcp = TcpStream::connect(target).await.map_err(unreachable)?;
        // Without it requests are only slower.
        let _ = tcp.set_nodelay(true);
        let name = self.address.server_name();
        let name = name.ok_or_else(|| ConnectError::Address {
            address: self.address.to_string(),
        })?;
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, Counted(tcp))
            .await
            .map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &std::io::Error) -> ConnectError {
        let address = self.address.to_string();
        match other_key(error) {
            Some(OtherServerKey { expected, seen }) => ConnectError::OtherKey {
                address,
                expected,
                seen,
            },
            None => ConnectError::Handshake {
                address,
                reason: error.to_string(),
            },
        }
    }
}

/// What our verifier said, dug out of what TLS made of it.
fn other_key(error: &std::io::Error) -> Option<OtherServerKey> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.downcast_ref::<OtherServerKey>().cloned()
        }
        _ => None,
    }
}

/// A broker's client with its size limits.
#[must_use]
pub fn broker(channel: Channel) -> BrokerClient<Channel> {
    BrokerClient::new(channel).max_decoding_message_size(MAX_GRANT_BYTES + FRAME_BYTES)
}

/// An owner's client with its size limits; its replies are small.
#[must_use]
pub fn owner(channel: Channel) -> OwnerClient<Channel> {
    OwnerClient::new(channel).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// An owner's client that takes a manifest.
#[must_use]
pub fn owner_of_manifests(channel: Channel) -> OwnerClient<Channel> {
    OwnerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES + FRAME_BYTES)
}

/// A meeting point's client with its size limits.
#[must_use]
pub fn meeting(channel: Channel) -> MeetingClient<Channel> {
    MeetingClient::new(channel).max_decoding_message_size(2 * CHUNK_BYTES + FRAME_BYTES)
}

/// A matching provider's client with its size limits.
#[must_use]
pub fn provider(channel: Channel) -> ProviderClient<Channel> {
    ProviderClient::new(channel).max_decoding_message_size(CHUNK_BYTES + FRAME_BYTES)
}

/// A room's client with its size limits; manifests come through it.
#[must_use]
pub fn room(channel: Channel) -> RoomClient<Channel> {
    RoomClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES + FRAME_BYTES)
}
