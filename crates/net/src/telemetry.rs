//! What a service tells its operator, and how the operator ends it.

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt};

/// The environment variable that says what is logged, such as `debug` or `incamera_net=trace`.
pub const LOG_VARIABLE: &str = "INCAMERA_LOG";
/// What is logged without it.
const DEFAULT: &str = "info,h2=warn,hyper=warn,tower=warn,rustls=warn";

/// Starts logging to standard error: text on a terminal, a JSON object a line otherwise.
///
/// Called again it does nothing. An unreadable [`LOG_VARIABLE`] is reported and left out.
pub fn init(terminal: bool) {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let parsed = EnvFilter::try_new(&wanted);
    let bad = parsed.is_err();
    let registry = Registry::default().with(parsed.unwrap_or_else(|_| EnvFilter::new(DEFAULT)));
    let layer = fmt::layer().with_writer(std::io::stderr);
    let started = if terminal {
        registry.with(layer.with_target(false)).try_init()
    } else {
        registry.with(layer.json().flatten_event(true)).try_init()
    };
    if started.is_ok() && bad {
        tracing::warn!("the variable {LOG_VARIABLE} is not understood and left out");
    }
}

/// Ends when the process is told to: by SIGINT (Ctrl-C) or SIGTERM.
pub async fn shutdown() {
    use tokio::signal::unix::{SignalKind, signal};
    match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stopping");
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(%error, "signals cannot be heard; the process can only be killed");
            std::future::pending::<()>().await;
        }
    }
}
