//! What went wrong, said once and carried through a gRPC status.
//!
//! # Format
//! The status' message is the problem's; its details are a protobuf message
//! `incamera-problem/1` with kind, code and hint. Another program sees a plain status.

use std::fmt;

use prost::Message as _;
use tonic::{Code, Status};

use crate::client::{ConnectError, find_cause};

const FORMAT: &str = "incamera-problem/1";
/// Longer texts are cut: a status travels in HTTP headers.
const MAX_TEXT_CHARS: usize = 1000;
/// Longer details are not looked at.
const MAX_DETAIL_BYTES: usize = 8192;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $exit:literal;)*) => {
        /// What kind of thing went wrong: what a program may act on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemKind { $($(#[$doc])* $name,)* }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The kind's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The exit code of a command that ends with it: 1 failed, 2 usage, 3 refused by
            /// policy, 4 attestation not verified, 5 budget exhausted.
            #[must_use]
            pub fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            fn grpc_code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }
        }
    };
}

kinds! {
    /// A policy says no: the agreement, the owner's rules, or who the caller is.
    Refused = "refused", PermissionDenied, 3;
    /// Evidence did not hold.
    Attestation = "attestation", FailedPrecondition, 4;
    /// Nothing is left of a budget.
    Budget = "budget", ResourceExhausted, 5;
    /// Something has expired.
    Expired = "expired", FailedPrecondition, 3;
    /// What was asked for is not there.
    NotFound = "not-found", NotFound, 1;
    /// What was sent is malformed, or not what it should be.
    Invalid = "invalid", InvalidArgument, 2;
    /// Something else is there already, or came in between.
    Conflict = "conflict", Aborted, 1;
    /// Somebody who is needed does not answer.
    Unavailable = "unavailable", Unavailable, 1;
    /// Our fault.
    Internal = "internal", Internal, 1;
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong, for a person (`message`, `hint`) and for a program (`kind`, `code`).
///
/// Never holds a row value, an identifier, a key, or a count below the release threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    kind: ProblemKind,
    code: String,
    message: String,
    hint: Option<String>,
    /// For the log only.
    detail: Option<String>,
}

/// The details of a status.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    format: String,
    #[prost(string, tag = "2")]
    kind: String,
    #[prost(string, tag = "3")]
    code: String,
    #[prost(string, tag = "4")]
    hint: String,
}

impl Problem {
    /// A problem; `code` is a stable name in kebab case for its cause.
    #[must_use]
    pub fn new(kind: ProblemKind, code: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            detail: None,
        }
    }

    /// A fault of ours: the client learns that, the log learns `detail`.
    #[must_use]
    pub fn internal(detail: impl fmt::Display) -> Self {
        let message = "an internal error; the service's log says more";
        let mut problem = Self::new(ProblemKind::Internal, "internal", message);
        problem.detail = Some(detail.to_string());
        problem
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem in other words.
    #[must_use]
    pub fn saying(self, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..self
        }
    }

    /// Adds what only the log may learn.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The stable name of the cause.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What went wrong and why.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do, if that is known.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// Reads what another service sent. Its texts are cut and cleaned; nothing in them is
    /// believed beyond being shown.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let source = std::error::Error::source(status);
        if let Some(error) = source.and_then(find_cause) {
            return error.into();
        }
        if source.is_some() {
            return Self::lost();
        }
        match read_detail(status.details()) {
            Some((kind, detail)) => Self {
                kind,
                code: clean(&detail.code, 64),
                message: clean(status.message(), MAX_TEXT_CHARS),
                hint: Some(clean(&detail.hint, MAX_TEXT_CHARS)).filter(|hint| !hint.is_empty()),
                detail: None,
            },
            None => Self::foreign(status),
        }
    }

    /// A status with a source was made on this side of the wire: the connection broke.
    fn lost() -> Self {
        let message = "the connection to the service was lost";
        Self::new(ProblemKind::Unavailable, "connection-lost", message)
            .hint("is the service still running? the same request may be sent again")
    }

    /// A status that no handler of ours made: the transport's, or another program's.
    fn foreign(status: &Status) -> Self {
        let kind = match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                ProblemKind::Unavailable
            }
            Code::NotFound => ProblemKind::NotFound,
            Code::PermissionDenied | Code::Unauthenticated => ProblemKind::Refused,
            Code::InvalidArgument | Code::OutOfRange => ProblemKind::Invalid,
            Code::Aborted | Code::AlreadyExists => ProblemKind::Conflict,
            _ => ProblemKind::Internal,
        };
        let message = clean(status.message(), MAX_TEXT_CHARS);
        let message = match message.as_str() {
            "" => status.code().description().to_owned(),
            _ => message,
        };
        let code = format!("grpc-{}", i32::from(status.code()));
        let problem = Self::new(kind, &code, message);
        match status.code() {
            Code::Unimplemented => problem.hint("is the service of the same version?"),
            _ => problem,
        }
    }

    fn write_log(&self) {
        let Self { kind, code, .. } = self;
        let message = &self.message;
        match &self.detail {
            Some(detail) => tracing::error!(%kind, code, detail, "{message}"),
            None => tracing::info!(%kind, code, "{message}"),
        }
    }
}

/// Logs the problem and makes the status that the client sees.
impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        problem.write_log();
        let detail = Detail {
            format: FORMAT.to_owned(),
            kind: problem.kind.as_str().to_owned(),
            code: problem.code,
            hint: clean(&problem.hint.unwrap_or_default(), MAX_TEXT_CHARS),
        };
        Status::with_details(
            problem.kind.grpc_code(),
            clean(&problem.message, MAX_TEXT_CHARS),
            detail.encode_to_vec().into(),
        )
    }
}

impl From<&Status> for Problem {
    fn from(status: &Status) -> Self {
        Self::from_status(status)
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        Self::from_status(&status)
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let (kind, code) = match &error {
            ConnectError::Address { .. } => (ProblemKind::Invalid, "bad-address"),
            ConnectError::Unreachable { .. } => (ProblemKind::Unavailable, "unreachable"),
            ConnectError::TimedOut { .. } => (ProblemKind::Unavailable, "timed-out"),
            ConnectError::OtherKey { .. } => (ProblemKind::Refused, "other-server-key"),
            ConnectError::Handshake { .. } => (ProblemKind::Unavailable, "tls-handshake"),
            ConnectError::Tls(_) => (ProblemKind::Invalid, "tls-setup"),
        };
        Self::new(kind, code, error.to_string())
    }
}

/// An error's text with those of its causes, each behind a colon.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

fn read_detail(bytes: &[u8]) -> Option<(ProblemKind, Detail)> {
    if bytes.len() > MAX_DETAIL_BYTES {
        return None;
    }
    let detail = Detail::decode(bytes).ok()?;
    let kind = ProblemKind::ALL
        .iter()
        .find(|kind| kind.as_str() == detail.kind)?;
    (detail.format == FORMAT).then_some((*kind, detail))
}

/// A text without control characters, cut to `most` characters.
fn clean(text: &str, most: usize) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(most).collect()
}
