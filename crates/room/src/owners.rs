//! The owners' brokers, as the room asks them.
//!
//! A run holds the room's one turn while it asks, so no owner may keep it waiting: each call has
//! a limit from the first byte sent to the last one read. gRPC's own deadline ends with the
//! head of the reply, and the message may then never come.

use std::time::Duration;

use incamera_net::client;
use incamera_net::services::broker_client::BrokerClient;
use incamera_net::services::{
    ChallengeReply, ChallengeRequest, CommitReply, CommitRequest, ReserveReply, ReserveRequest,
};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::PartyName;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// How long an owner may take for one call.
const OWNER_LIMIT: Duration = Duration::from_secs(60);

/// One owner's broker.
pub(crate) struct Owner {
    pub(crate) name: PartyName,
    broker: BrokerClient<Channel>,
    limit: Duration,
}

impl Owner {
    pub(crate) fn new(name: PartyName, channel: Channel) -> Self {
        Self {
            name,
            broker: client::broker(channel),
            limit: OWNER_LIMIT,
        }
    }

    pub(crate) async fn challenge(
        &mut self,
        message: ChallengeRequest,
    ) -> Result<ChallengeReply, Problem> {
        in_time(&self.name, self.limit, self.broker.challenge(message)).await
    }

    pub(crate) async fn reserve(
        &mut self,
        message: ReserveRequest,
    ) -> Result<ReserveReply, Problem> {
        in_time(&self.name, self.limit, self.broker.reserve(message)).await
    }

    pub(crate) async fn commit(&mut self, message: CommitRequest) -> Result<CommitReply, Problem> {
        in_time(&self.name, self.limit, self.broker.commit(message)).await
    }
}

/// The whole reply to a call, or why there is none.
async fn in_time<T>(
    owner: &PartyName,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(of_owner(owner, &status)),
        Err(_) => Err(silent(owner, limit)),
    }
}

fn silent(owner: &PartyName, limit: Duration) -> Problem {
    let text = format!("`{owner}`: no whole answer within {} s", limit.as_secs());
    Problem::new(ProblemKind::Unavailable, "owner-silent", text)
        .hint("is that party's service well? the same request may be sent again")
}

/// What an owner answered instead, with its name.
fn of_owner(owner: &PartyName, status: &Status) -> Problem {
    let problem = Problem::from_status(status);
    let text = format!("`{owner}`: {}", problem.message());
    let named = Problem::new(problem.kind(), problem.code(), text);
    match problem.hint_text() {
        Some(hint) => named.hint(hint),
        None => named,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use futures::stream;
    use incamera_net::services::broker_server::SERVICE_NAME;
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::body::Body;
    use tonic::codec::{EncodeBody, EncodeBuf, Encoder};
    use tonic::codegen::{Service, http};
    use tonic::server::NamedService;
    use tonic::transport::{Endpoint, Server};

    use super::*;

    /// Sends the head of a reply at once, and then nothing.
    #[derive(Clone)]
    struct HeadOnly;

    struct Nothing;

    impl Encoder for Nothing {
        type Item = ();
        type Error = Status;

        fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
            Ok(())
        }
    }

    impl NamedService for HeadOnly {
        const NAME: &'static str = SERVICE_NAME;
    }

    impl Service<http::Request<Body>> for HeadOnly {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            let never = stream::pending::<Result<(), Status>>();
            let body = EncodeBody::new_server(Nothing, never, None, Default::default(), None);
            let reply = http::Response::builder().header("content-type", "application/grpc");
            ready(Ok(reply.body(Body::new(body)).unwrap()))
        }
    }

    async fn head_only() -> Owner {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder().add_service(HeadOnly);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let limit = Duration::from_millis(100);
        Owner {
            limit,
            ..Owner::new("shop".parse().unwrap(), channel)
        }
    }

    async fn ends<T>(call: impl Future<Output = Result<T, Problem>>) {
        let long = Duration::from_secs(10);
        let ended = tokio::time::timeout(long, call).await;
        let problem = ended.expect("the call has no limit").err().unwrap();
        assert_eq!(
            (problem.kind(), problem.code()),
            (ProblemKind::Unavailable, "owner-silent")
        );
        assert!(problem.message().contains("`shop`"), "{problem}");
    }

    #[tokio::test]
    async fn a_head_without_a_message_ends_every_call() {
        let mut owner = head_only().await;
        ends(owner.challenge(ChallengeRequest::default())).await;
        ends(owner.reserve(ReserveRequest::default())).await;
        ends(owner.commit(CommitRequest::default())).await;
    }
}
