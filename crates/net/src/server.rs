//! A gRPC server behind pinned TLS.
//!
//! Handshakes run beside each other, each with a time limit, so neither garbage nor a stalled
//! client keeps others out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use incamera_keys::PublicKey;
use incamera_types::limits::{
    CHUNK_BYTES, MAX_EVIDENCE_BYTES, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;

use crate::peer::Peer;
use crate::services::broker_server::{Broker, BrokerServer};
use crate::services::meeting_server::{Meeting, MeetingServer};
use crate::services::owner_server::{Owner, OwnerServer};
use crate::services::provider_server::{Provider, ProviderServer};
use crate::services::room_server::{Room, RoomServer};
use crate::status::Problem;

/// A handshake that takes longer is given up.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long requests under way may take to end once the server is asked to stop.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Handshakes at the same time.
const MAX_HANDSHAKES: usize = 512;
/// Requests at the same time on one connection.
const MAX_STREAMS: u32 = 256;
/// What one stream may send before it is read: a few chunks, so that a transfer is not
/// stopped by the distance.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for a whole connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A silent connection is asked for a sign of life this often.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(20);
/// Room for what stands around the largest field of a message.
const FRAME_BYTES: usize = 64 << 10;

/// Who is at the other end: an extension of each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The key of the client's TLS leaf, if it showed one. That the client holds the secret
    /// key is proven; whether it may do what it asks is the handler's to say.
    pub key: Option<PublicKey>,
}

/// Serving failed.
#[derive(Debug, thiserror::Error)]
#[error("the server stopped")]
pub struct ServeError(#[from] tonic::transport::Error);

/// The key of the client that sent `request`, if it showed one.
#[must_use]
pub fn caller<T>(request: &tonic::Request<T>) -> Option<PublicKey> {
    request.extensions().get::<Caller>()?.key
}

/// Runs slow work (disks, key rings) away from the threads that serve others.
///
/// # Errors
/// Those of the work, as a status.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, tonic::Status> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| tonic::Status::from(Problem::internal(error)))??)
}

/// The broker's service with its size limits.
pub fn broker<T: Broker>(service: T) -> BrokerServer<T> {
    let limit = MAX_REQUEST_BYTES + MAX_EVIDENCE_BYTES + FRAME_BYTES;
    BrokerServer::new(service).max_decoding_message_size(limit)
}

/// The owner's service with its size limits.
pub fn owner<T: Owner>(service: T) -> OwnerServer<T> {
    OwnerServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES + FRAME_BYTES)
}

/// The meeting point with its size limits.
pub fn meeting<T: Meeting>(service: T) -> MeetingServer<T> {
    MeetingServer::new(service).max_decoding_message_size(2 * CHUNK_BYTES + FRAME_BYTES)
}

/// A matching provider's service with its size limits.
pub fn provider<T: Provider>(service: T) -> ProviderServer<T> {
    ProviderServer::new(service).max_decoding_message_size(CHUNK_BYTES + FRAME_BYTES)
}

/// The room's service with its size limits.
pub fn room<T: Room>(service: T) -> RoomServer<T> {
    RoomServer::new(service).max_decoding_message_size(MAX_MESSAGE_BYTES + FRAME_BYTES)
}

/// Serves `routes` on `listener` until `shutdown`, then lets requests under way end, for at
/// most [`DRAIN_LIMIT`].
///
/// # Errors
/// [`ServeError`] if the server cannot go on; a client's misbehaviour is never one.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    routes: Routes,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let shutdown = shutdown.shared();
    let (sender, peers) = mpsc::channel(1);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(tls), sender));
    let served = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(peers).map(Ok::<_, Infallible>),
            shutdown.clone(),
        );
    let out_of_time = async {
        shutdown.await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    let result = tokio::select! {
        result = served => result,
        () = out_of_time => {
            tracing::warn!("stopped with requests under way");
            Ok(())
        }
    };
    accepting.abort();
    Ok(result?)
}

/// Accepts connections until nobody takes them any more.
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, peers: mpsc::Sender<Peer>) {
    let slots = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = peers.closed() => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let peers = peers.clone();
                tokio::spawn(shake_hands(tcp, acceptor.clone(), peers, slot));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn shake_hands(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    peers: mpsc::Sender<Peer>,
    slot: OwnedSemaphorePermit,
) {
    // Without it answers are only slower.
    let _ = tcp.set_nodelay(true);
    let tls = match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::info!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::info!("a TLS handshake took too long");
            return;
        }
    };
    drop(slot);
    // Fails only when the server is ending.
    let _ = peers.send(Peer::new(tls)).await;
}
