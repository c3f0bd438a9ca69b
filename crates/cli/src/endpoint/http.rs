//! HTTP in front of the endpoint: limits, the token, status codes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Asked, ENDPOINT_FORMAT, Endpoint, Entry, Refusal};

/// The largest body: a key or a wrap, and two names.
const MAX_BODY_BYTES: usize = 8 << 10;
/// How long a head, and then a body, may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at the same time; others wait.
const MAX_CONNECTIONS: usize = 64;
/// What a wrong token costs, one after the other: guesses are slow, and so is filling the log.
const WRONG_TOKEN: Duration = Duration::from_millis(100);

/// Answers on `listener` until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    endpoint: Arc<Endpoint>,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let guesses = Arc::new(Semaphore::new(1));
    let accepting = async {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (endpoint, guesses) = (Arc::clone(&endpoint), Arc::clone(&guesses));
                    tokio::spawn(connection(stream, endpoint, guesses, slot));
                }
                // Out of file descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(WRONG_TOKEN).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
}

async fn connection(
    stream: TcpStream,
    endpoint: Arc<Endpoint>,
    guesses: Arc<Semaphore>,
    _slot: OwnedSemaphorePermit,
) {
    // Without it answers are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (endpoint, guesses) = (Arc::clone(&endpoint), Arc::clone(&guesses));
        async move { Ok::<_, Infallible>(respond(endpoint, &guesses, request).await) }
    });
    // A client that goes away, or speaks no HTTP, ends its own connection alone.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(
    endpoint: Arc<Endpoint>,
    guesses: &Semaphore,
    request: Request<Incoming>,
) -> Response<Body> {
    let granted = match read(&endpoint, guesses, request).await {
        Ok((asked, body)) => {
            let work = move || endpoint.answer(asked, &body).map(|granted| json!(granted));
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|_| Err(Refusal::new(500, "the request was not worked on")))
        }
        Err(refusal) => {
            // What is refused here names nothing that there is; the log has it all the same.
            let note = move || endpoint.note::<Value>(Entry::of_nothing(), Err(refusal));
            let done = tokio::task::spawn_blocking(note).await;
            done.unwrap_or_else(|_| Err(Refusal::new(500, "the request was not worked on")))
        }
    };
    match granted {
        Ok(document) => response(200, document),
        Err(refusal) => response(refusal.status, refusal.document()),
    }
}

/// What a request asks for, once its token is right, and its body.
async fn read(
    endpoint: &Endpoint,
    guesses: &Semaphore,
    request: Request<Incoming>,
) -> Result<(Asked, Vec<u8>), Refusal> {
    let shown = request.headers().get(AUTHORIZATION);
    let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !shown.is_some_and(|shown| endpoint.token.is(shown)) {
        let _turn = guesses.acquire().await;
        tokio::time::sleep(WRONG_TOKEN).await;
        return Err(Refusal::new(
            401,
            "the token is not this endpoint's: read it from its file again",
        ));
    }
    let asked = match request.uri().path() {
        "/v1/unwrap" => Asked::Unwrap,
        "/v1/wrap" => Asked::Wrap,
        _ => return Err(Refusal::new(404, "there is `/v1/unwrap` and `/v1/wrap`")),
    };
    if request.method() != Method::POST {
        return Err(Refusal::new(405, "it is asked with POST"));
    }
    let body = to_bytes(Body::new(request.into_body()), MAX_BODY_BYTES);
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok((asked, body.to_vec())),
        Ok(Err(_)) => Err(Refusal::new(
            413,
            "the body is too large, or it was cut off",
        )),
        Err(_) => Err(Refusal::new(408, "the body took too long")),
    }
}

fn response(status: u16, mut document: Value) -> Response<Body> {
    if let Some(fields) = document.as_object_mut() {
        fields.insert("format".into(), json!(ENDPOINT_FORMAT));
    }
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, axum::http::HeaderValue::from_static(value));
    }
    response
}
