//! The local endpoint of the key ring: what `ring serve` runs.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/unwrap` | `wrapped_key`, `master_key_id` as a Parquet file has them | `key`: base64 |
//! | `POST /v1/wrap` | `key` (base64), `master_key_id` | `wrapped_key` |
//!
//! A refusal has `error`, and a `kind` where a client that reads many parts may go on:
//! `not-for-purpose` or `replaced`.
//!
//! HTTP/1 and JSON on a loopback address, with a bearer token that is made at each start and
//! lies in a private file.
//!
//! # Why this is no way around I4
//! What it opens, the party can open anyway: its own data, with its own ring. Nobody else's
//! data are sealed under that ring, and a room is never given keys from here: it takes keys
//! from signed grants alone. The party's service, which is the broker, does not link this
//! module; it is a program of its own, started by hand for one purpose, and says in a log what
//! it gave. An insider with ring and passphrase is outside every log, as the design says; this
//! endpoint is for the honest one, who gets one purpose instead of all.
//!
//! # What is refused
//! A key that the newest manifest does not wrap for the purpose; a file that the newest version
//! does not have; data sealed by consents that were replaced. Wraps of sources are made and
//! never opened here: a source holds every purpose.

mod http;
mod log;

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_seal::{KeyReference, MasterKeyId, OwnKeyError, OwnKeys, SourceWrap};
use incamera_types::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use http::serve;
pub use log::{AccessLog, Entry};

/// Name and version of the file with address and token, and of the answers.
pub const ENDPOINT_FORMAT: &str = "incamera-ring-endpoint/1";

/// The secret that a program must show.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one, at random.
    pub fn generate() -> Self {
        let bytes = Zeroizing::new(rand::random::<[u8; 32]>());
        Self(Zeroizing::new(hex::encode(bytes.as_slice())))
    }

    /// The token as it is written into the private file.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is it, in a time that does not tell how much of it is right.
    fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

/// Why a request is not answered with a key.
struct Refusal {
    status: u16,
    why: String,
    /// A word for what a client may pass over.
    kind: Option<&'static str>,
}

impl Refusal {
    fn new(status: u16, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
            kind: None,
        }
    }

    /// What a client reads.
    fn document(&self) -> Value {
        let mut document = json!({ "error": self.why });
        if let (Some(kind), Some(fields)) = (self.kind, document.as_object_mut()) {
            fields.insert("kind".into(), json!(kind));
        }
        document
    }
}

impl From<OwnKeyError> for Refusal {
    fn from(error: OwnKeyError) -> Self {
        let status = if error.is_refusal() { 403 } else { 500 };
        let mut why = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            let text = cause.to_string();
            if !why.ends_with(&text) {
                why = format!("{why}: {text}");
            }
            next = cause.source();
        }
        let kind = match error {
            OwnKeyError::NotForPurpose { .. } => Some("not-for-purpose"),
            OwnKeyError::Replaced { .. } => Some("replaced"),
            _ => None,
        };
        Self { status, why, kind }
    }
}

/// What a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// A key of a sealed part.
    Unwrap,
    /// A wrap of a tool's own key.
    Wrap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnwrapRequest {
    wrapped_key: String,
    master_key_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrapRequest {
    key: String,
    master_key_id: String,
}

/// The answer to a request that is granted.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Granted {
    Key(String),
    WrappedKey(String),
}

/// The keys, the log and the token of one run.
pub struct Endpoint {
    token: Token,
    keys: Mutex<OwnKeys>,
    log: Mutex<AccessLog>,
    now: fn() -> UnixTime,
}

impl Endpoint {
    /// An endpoint for these keys.
    pub fn new(token: Token, keys: OwnKeys, log: AccessLog, now: fn() -> UnixTime) -> Arc<Self> {
        Arc::new(Self {
            token,
            keys: Mutex::new(keys),
            log: Mutex::new(log),
            now,
        })
    }

    /// Does what is asked, and sees to it that the log says so before anybody hears of it.
    fn answer(&self, asked: Asked, body: &[u8]) -> Result<Granted, Refusal> {
        let mut entry = Entry::of(asked);
        let done = match asked {
            Asked::Unwrap => self.unwrap(body, &mut entry),
            Asked::Wrap => self.wrap(body, &mut entry),
        };
        self.note(entry, done)
    }

    fn note<T>(&self, mut entry: Entry, done: Result<T, Refusal>) -> Result<T, Refusal> {
        entry.granted = done.is_ok();
        entry.why = done.as_ref().err().map(|refusal| refusal.why.clone());
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.write((self.now)(), &entry) {
            Ok(()) => done,
            Err(_) => Err(Refusal::new(
                500,
                "the access log cannot be written, and without it no key is given: is the disk full?",
            )),
        }
    }

    fn unwrap(&self, body: &[u8], entry: &mut Entry) -> Result<Granted, Refusal> {
        let request: UnwrapRequest = parse(body)?;
        let Ok(reference) = KeyReference::from_base64(&request.wrapped_key) else {
            return Err(match SourceWrap::from_base64(&request.wrapped_key) {
                Ok(_) => Refusal::new(
                    403,
                    "keys of a source are opened by `incamera data seal` alone, and not given for a purpose",
                ),
                Err(_) => Refusal::new(
                    400,
                    "the file's key is no key reference of a sealed part: it was encrypted with another key management",
                ),
            });
        };
        entry.of_part(&reference);
        if request.master_key_id != reference.dataset.as_str() {
            return Err(Refusal::new(400, "the file's key metadata was changed"));
        }
        let key = self.keys().open(&reference, (self.now)())?;
        Ok(Granted::Key(STANDARD.encode(key.expose())))
    }

    fn wrap(&self, body: &[u8], entry: &mut Entry) -> Result<Granted, Refusal> {
        let request: WrapRequest = parse(body)?;
        let master = request.master_key_id.parse::<MasterKeyId>();
        let master = master.map_err(|error| Refusal::new(400, error.to_string()))?;
        entry.of_source(&master);
        let text = Zeroizing::new(request.key);
        let key = STANDARD.decode(text.as_bytes());
        let key = Zeroizing::new(key.map_err(|_| Refusal::new(400, "`key` is not base64"))?);
        let wrap = self.keys().wrap(&master, &key, &mut rand::rng())?;
        Ok(Granted::WrappedKey(wrap.to_base64()))
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, OwnKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| {
        Refusal::new(
            400,
            "the body is not the JSON document that is asked for: `wrapped_key` and `master_key_id`, or `key` and `master_key_id`",
        )
    })
}
