//! `/healthz`: that the process answers, told to its own machine only.

use std::io;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;

/// Why there is no health endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The listener can be reached from elsewhere.
    #[error("the health endpoint has no TLS: listen on a loopback address, such as 127.0.0.1")]
    NotLoopback,
    /// The system's reason.
    #[error("the health endpoint stopped")]
    Io(#[from] io::Error),
}

/// Answers `GET /healthz` with 200 and `{"status":"ok","name":...,"version":...}` until
/// `shutdown`.
///
/// # Errors
/// [`HealthError::NotLoopback`] if `listener` can be reached from elsewhere.
pub async fn serve(
    listener: TcpListener,
    name: &str,
    version: &str,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), HealthError> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(HealthError::NotLoopback);
    }
    let body = serde_json::json!({ "status": "ok", "name": name, "version": version }).to_string();
    let answer = move || async move { ([(CONTENT_TYPE, "application/json")], body) };
    let routes = Router::new().route("/healthz", get(answer));
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown)
        .await?;
    Ok(())
}
