//! A real server on a real socket.

use std::net::SocketAddr;
use std::time::Duration;

use incamera_keys::SigningKey;
use incamera_net::client;
use incamera_net::server::{self, caller};
use incamera_net::services::owner_client::OwnerClient;
use incamera_net::services::owner_server::Owner;
use incamera_net::services::{
    NewestManifestReply, NewestManifestRequest, RegisterManifestReply, RegisterManifestRequest,
    StatusReply, StatusRequest,
};
use incamera_net::status::{Problem, ProblemKind};
use incamera_net::tls::{self, TlsOptions};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// A caller with this key gets an answer that is too large.
pub const CHATTY: u8 = 77;

/// Says who calls; answers a manifest by the first byte of its body.
struct Echo;

#[tonic::async_trait]
impl Owner for Echo {
    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let party = match caller(&request) {
            Some(caller) if caller == key(CHATTY).public() => "x".repeat(2 << 20),
            Some(caller) => caller.to_string(),
            None => "nobody".to_owned(),
        };
        Ok(Response::new(StatusReply {
            party,
            ..Default::default()
        }))
    }

    async fn newest_manifest(
        &self,
        _: Request<NewestManifestRequest>,
    ) -> Result<Response<NewestManifestReply>, Status> {
        Ok(Response::new(NewestManifestReply::default()))
    }

    async fn register_manifest(
        &self,
        request: Request<RegisterManifestRequest>,
    ) -> Result<Response<RegisterManifestReply>, Status> {
        let body = request.into_inner().manifest.unwrap_or_default().body;
        match body.first() {
            Some(b'r') => return Err(refused().into()),
            Some(b'i') => return Err(Problem::internal("the detail of the fault").into()),
            Some(b's') => tokio::time::sleep(Duration::from_millis(300)).await,
            _ => {}
        }
        let version = body.len() as u64;
        Ok(Response::new(RegisterManifestReply { version }))
    }
}

pub fn refused() -> Problem {
    Problem::new(
        ProblemKind::Refused,
        "paused",
        "the owner has paused releases",
    )
    .hint("ask the owner to resume with `party pause --off`")
}

/// A server that is running; it ends when dropped or stopped.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(key: &SigningKey) -> Self {
        Self::start_at(key, "127.0.0.1:0".parse().unwrap(), &TlsOptions::default()).await
    }

    pub async fn start_at(key: &SigningKey, at: SocketAddr, options: &TlsOptions) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let tls = tls::server_config(key, &hosts, options).unwrap();
        let routes = Routes::new(server::owner(Echo));
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move {
            server::serve(listener, tls, routes, shutdown)
                .await
                .unwrap();
        });
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    /// A client with the given key of its own, pinned to the server's key.
    pub async fn client(
        &self,
        server: &SigningKey,
        me: Option<&SigningKey>,
    ) -> OwnerClient<Channel> {
        let options = TlsOptions::default();
        let channel = client::connect(&self.url(), &server.public(), me, &options).await;
        client::owner(channel.unwrap())
    }
}

/// Whom the server takes the client for.
pub async fn seen_as(client: &mut OwnerClient<Channel>) -> String {
    client
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner()
        .party
}

/// Sends a manifest with this body.
pub async fn register(client: &mut OwnerClient<Channel>, body: Vec<u8>) -> Result<u64, Status> {
    let manifest = incamera_wire::v1::Signed {
        body,
        ..Default::default()
    };
    let request = RegisterManifestRequest {
        manifest: Some(manifest),
    };
    let reply = client.register_manifest(request).await?;
    Ok(reply.into_inner().version)
}
