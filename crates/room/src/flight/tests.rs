//! The gate, tokens and parameters, through Arrow's own client over a socket. Data are never
//! here, so a question that gets through ends there.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{Criteria, Empty, FlightData, HandshakeRequest};
use incamera_keys::SigningKey;
use incamera_net::services::RunRequest;
use incamera_release::{Token, TokenTerms};
use incamera_types::{AnalystRef, UnixTime};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::*;
use crate::run::tests::Asking;
use crate::run::tests::world::name;

mod bound;

const SOON: u64 = 600;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// A room without data, behind a socket.
struct Served {
    asking: Asking,
    channel: Channel,
}

impl Served {
    async fn new() -> Self {
        let asking = Asking::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder().add_service(service(asking.state.clone()));
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self { asking, channel }
    }

    fn token_by(&self, key: &SigningKey, terms: &TokenTerms<'_>) -> Token {
        let agreement = self.asking.world.agreement.agreement();
        Token::new(agreement, terms, key, &mut rand::rng()).unwrap()
    }

    fn token_until(&self, queries: &[&str], expires: UnixTime) -> Token {
        let world = &self.asking.world;
        let terms = TokenTerms {
            analyst: &world.analyst,
            queries: &queries.iter().map(|query| name(query)).collect(),
            reason: "a test",
            expires,
        };
        self.token_by(&world.analysts[&world.analyst], &terms)
    }

    fn token(&self, queries: &[&str]) -> Token {
        self.token_until(queries, now().plus(SOON))
    }

    fn client(&self, token: &Token) -> FlightSqlServiceClient<Channel> {
        let mut client = FlightSqlServiceClient::new(self.channel.clone());
        let digest = self.asking.world.agreement.digest.to_string();
        client.set_token(token.to_text().to_string());
        client.set_header("x-incamera-agreement", digest);
        client.set_header("x-incamera-purpose", "measurement");
        client
    }

    fn raw(&self) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(self.channel.clone())
    }

    fn query(&self, query: &str) -> Query {
        self.asking.world.agreement.queries[query].clone()
    }
}

/// The problem behind a status.
fn problem(status: &Status) -> Problem {
    Problem::from_status(status)
}

/// The problem that a client of Flight SQL was told.
fn told_to<T>(answer: Result<T, FlightError>) -> Problem {
    match answer.err().expect("it was answered") {
        FlightError::Tonic(status) => problem(&status),
        other => panic!("{other:?}"),
    }
}

fn command(command: &impl arrow_flight::sql::ProstMessageExt) -> Vec<u8> {
    command.as_any().encode_to_vec()
}

/// What every call of Flight says to somebody with these headers. A call that sends never ends
/// its sending.
async fn every_call(served: &Served, headers: &[(&'static str, &str)]) -> Vec<Problem> {
    fn with<T>(message: T, headers: &[(&'static str, &str)]) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }
    let mut it = served.raw();
    let info = command(&CommandGetSqlInfo { info: vec![1] });
    let descriptor = FlightDescriptor::new_cmd(info.clone());
    let silent = futures::stream::pending::<FlightData>;
    let action = Action::new("CreatePreparedStatement", "");
    let calls: [Result<(), Status>; 10] = [
        it.handshake(with(
            futures::stream::pending::<HandshakeRequest>(),
            headers,
        ))
        .await
        .map(drop),
        it.list_flights(with(Criteria::default(), headers))
            .await
            .map(drop),
        it.get_flight_info(with(descriptor.clone(), headers))
            .await
            .map(drop),
        it.poll_flight_info(with(descriptor.clone(), headers))
            .await
            .map(drop),
        it.get_schema(with(descriptor, headers)).await.map(drop),
        it.do_get(with(Ticket::new(info), headers)).await.map(drop),
        it.do_put(with(silent(), headers)).await.map(drop),
        it.do_exchange(with(silent(), headers)).await.map(drop),
        it.do_action(with(action, headers)).await.map(drop),
        it.list_actions(with(Empty {}, headers)).await.map(drop),
    ];
    let refused = |call: Result<(), Status>| problem(&call.expect_err("it was answered"));
    calls.into_iter().map(refused).collect()
}

/// Nobody gets in without a token, whatever is called, and nothing that is sent is waited for.
#[tokio::test]
async fn i4_no_call_is_answered_without_a_token() {
    let served = Served::new().await;
    for headers in [
        &[][..],
        &[("authorization", "Bearer AAAA")],
        &[("authorization", "Basic AAAA")],
        &[("authorization", "Bearer")],
    ] {
        let all = tokio::time::timeout(LONG, every_call(&served, headers)).await;
        for problem in all.expect("a call waits for what is sent") {
            assert_eq!(problem.code(), "no-token");
        }
    }
}

/// A token that no analyst signed opens nothing, and shows nothing of the agreement: neither its
/// digest nor who is an analyst.
#[tokio::test]
async fn i4_a_token_that_no_analyst_signed_is_told_nothing() {
    let served = Served::new().await;
    let key = SigningKey::generate(&mut rand::rng());
    let mut said = BTreeSet::new();
    for analyst in ["mailer/ana", "mailer/eve", "nobody/eve"] {
        let terms = TokenTerms {
            analyst: &name::<AnalystRef>(analyst),
            queries: &BTreeSet::from([name("lift")]),
            reason: "",
            expires: now().plus(SOON),
        };
        let forged = served.token_by(&key, &terms);
        let bearer = format!("Bearer {}", forged.to_text().as_str());
        for problem in every_call(&served, &[("authorization", &bearer)]).await {
            assert_eq!(problem.code(), "token-refused");
            let hint = problem.hint_text().unwrap_or_default();
            said.insert(format!("{} {hint}", problem.message()));
        }
    }
    assert_eq!(said.len(), 1, "{said:?}");
    let digest = served.asking.world.agreement.digest.to_string();
    assert!(!said.first().unwrap().contains(&digest));
}

#[tokio::test]
async fn i4_a_token_that_is_over_or_nearly_opens_nothing() {
    let served = Served::new().await;
    let asks = async |expires| {
        let token = served.token_until(&["lift"], expires);
        let mut client = served.client(&token);
        client.prepare("lift".into(), None).await
    };
    for (expires, words) in [
        (UnixTime(now().0 - 1), "expired"),
        (now().plus(30), "within a minute"),
    ] {
        let problem = told_to(asks(expires).await);
        assert_eq!(problem.code(), "token-refused");
        assert!(problem.message().contains(words), "{problem}");
    }
    asks(now().plus(90)).await.unwrap();
    // Nor does it where it was good a moment before: a ticket is no right.
    let lift = command(&TicketStatementQuery {
        statement_handle: arguments::statement(&served.query("lift")).into(),
    });
    let mut late = served.client(&served.token_until(&["lift"], UnixTime(now().0 - 1)));
    let problem = told_to(late.do_get(Ticket::new(lift)).await);
    assert_eq!(problem.code(), "token-refused");
}

/// By name, by SQL, and with a handle that the room made for somebody else: at each step.
#[tokio::test]
async fn i4_a_token_for_another_query_asks_nothing() {
    let served = Served::new().await;
    let mut client = served.client(&served.token(&["baskets"]));
    let lift = served.query("lift");
    for text in ["lift", " lift; ", &lift.sql] {
        for problem in [
            told_to(client.prepare(text.to_owned(), None).await),
            told_to(client.execute(text.to_owned(), None).await),
        ] {
            assert_eq!(problem.code(), "token-refused");
            assert!(
                problem
                    .message()
                    .contains("does not cover the query `lift`")
            );
        }
    }
    let handle: Bytes = arguments::statement(&lift).into();
    let ticket = TicketStatementQuery {
        statement_handle: handle.clone(),
    };
    let prepared = CommandPreparedStatementQuery {
        prepared_statement_handle: handle,
    };
    for ticket in [command(&ticket), command(&prepared)] {
        let problem = told_to(client.do_get(Ticket::new(ticket)).await);
        assert_eq!(problem.code(), "token-refused");
    }
    let problem = told_to(client.prepare("SELECT 1".into(), None).await);
    assert_eq!(problem.code(), "not-approved");
    assert_eq!(problem.hint_text(), Some("the token covers baskets"));
    client.prepare("baskets".into(), None).await.unwrap();
}

/// Whose party is no receiver gets no answer through a token either.
#[tokio::test]
async fn i4_a_bearer_of_no_receiver_gets_nothing() {
    let mut served = Served::new().await;
    let token = served.token(&["buyers", "baskets"]);
    let mut client = served.client(&token);
    let problem = told_to(client.prepare("buyers".into(), None).await);
    assert_eq!(problem.code(), "not-a-receiver");
    assert!(problem.message().contains("`mailer`"), "{problem}");
    let (events, _answer) = mpsc::channel(8);
    let state = served.asking.state.clone();
    let lift = served.asking.world.request();
    for (query, code) in [("buyers", "not-a-receiver"), ("baskets", "data-missing")] {
        let agreement = served.asking.world.agreement.agreement();
        let digests = served.asking.world.digests();
        let measurement = lift.measurement();
        let request = Asked::new(
            agreement,
            &name(query),
            Params::new(),
            &digests,
            measurement,
        );
        let signed = request
            .unwrap()
            .sign_by_token(&token, now().plus(SOON), &mut rand::rng())
            .unwrap();
        let problem = run::run_for_bearer(&state, &signed, &events).await;
        assert_eq!(problem.unwrap_err().code(), code, "{query}");
    }
    // What the analyst signed is no bearer's.
    let signed = served.asking.world.sign(&lift);
    let problem = run::run_for_bearer(&state, &signed, &events).await;
    assert_eq!(problem.unwrap_err().code(), "not-a-receiver");
}

/// The room's own Run call with a request that a token's key signed: the token's key is no
/// caller's, and the answer goes to receivers as ever.
#[tokio::test]
async fn i4_a_tokens_request_over_run_is_for_receivers_alone() {
    let served = Served::new().await;
    let world = &served.asking.world;
    let token = served.token(&["lift", "baskets"]);
    let digests = world.digests();
    let of = |query: &str| {
        let agreement = world.agreement.agreement();
        let params = match query {
            "lift" => crate::run::tests::world::params("2026-03-01"),
            _ => Params::new(),
        };
        let measurement = crate::run::tests::world::measurement(1);
        let request = Asked::new(agreement, &name(query), params, &digests, measurement);
        request
            .unwrap()
            .sign_by_token(&token, now().plus(SOON), &mut rand::rng())
            .unwrap()
    };
    let text = decode_token(&token);
    let inner = SigningKey::from_seed(text.secret.as_slice().try_into().unwrap());
    let service = |party: &str| world.owners[party].signer.public();
    let ana = world.analysts[&world.analyst].public();
    let (none, past) = ("not-a-receiver", "data-missing");
    for (query, caller, code) in [
        ("lift", None, none),
        ("lift", Some(inner.public()), none),
        ("lift", Some(ana), past),
        ("lift", Some(service("mailer")), past),
        ("baskets", Some(service("shop")), none),
        ("baskets", Some(service("mailer")), past),
    ] {
        let (events, _answer) = mpsc::channel(8);
        let message = RunRequest {
            request: Some(of(query)),
        };
        let problem = run::run(&served.asking.state, message, caller, &events).await;
        let problem = problem.unwrap_err();
        assert_eq!(problem.code(), code, "{query}: {problem}");
    }
}

fn decode_token(token: &Token) -> incamera_wire::v1::TokenFile {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.to_text().as_bytes());
    let bytes = bytes.unwrap();
    decode(&bytes, bytes.len()).unwrap()
}

/// The other headers count once the token does.
#[tokio::test]
async fn headers_name_agreement_and_purpose() {
    let served = Served::new().await;
    let token = served.token(&["lift"]);
    let world = &served.asking.world;
    let (digest, id) = (
        world.agreement.digest.to_string(),
        world.agreement.id.to_string(),
    );
    let (other, purpose) = ("ab".repeat(32), "measurement");
    for (agreement, purpose, code) in [
        (Some(&digest), Some(purpose), None),
        (Some(&id), Some(purpose), None),
        (Some(&other), Some(purpose), Some("other-agreement")),
        (None, Some(purpose), Some("missing-header")),
        (Some(&digest), None, Some("missing-header")),
        (
            Some(&digest),
            Some("Not a purpose"),
            Some("malformed-header"),
        ),
    ] {
        let mut client = FlightSqlServiceClient::new(served.channel.clone());
        client.set_token(token.to_text().to_string());
        if let Some(agreement) = agreement {
            client.set_header("x-incamera-agreement", agreement);
        }
        if let Some(purpose) = purpose {
            client.set_header("x-incamera-purpose", purpose);
        }
        let prepared = client.prepare("lift".into(), None).await;
        match code {
            None => drop(prepared.unwrap()),
            Some(code) => assert_eq!(told_to(prepared).code(), code),
        }
    }
}
