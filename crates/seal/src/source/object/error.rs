//! Why an object is not read.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// Why an address is none that is read from. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another scheme.
    #[error(
        "it is not read from: give a path, `file:///...`, `s3://bucket/...`, `gs://bucket/...`, `az://container/...`, `abfss://container@account.dfs.core.windows.net/...` or `https://...`"
    )]
    Scheme,
    /// No address.
    #[error("it is no address: write it like `s3://bucket/folder/file.csv`")]
    Form,
    /// Over a network, in clear.
    #[error(
        "`http://` is read from this machine alone, as it would send the rows in clear: use `https://`"
    )]
    Clear,
    /// A name and a password.
    #[error(
        "it holds a name or a password: take them out, and give credentials in the environment"
    )]
    Credentials,
    /// `?` or `#` in the name of an object.
    #[error("a name of an object with `?` or `#` in it is written with `%3F` and `%23`")]
    Query,
    /// A folder of a web server.
    #[error(
        "a web server does not say what files it has: give the address of one .csv or .parquet file"
    )]
    Folder,
}

/// Why an object is not read. Holds no credential, and nothing that the object or its store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Not there.
    #[error("there is no such object, and none below that name")]
    NotFound,
    /// Not for these credentials.
    #[error(
        "the store does not let these credentials read it, or has no such object: both are often answered alike"
    )]
    Denied,
    /// No credentials, or wrong ones.
    #[error("the store does not know these credentials")]
    Unauthenticated,
    /// What the environment says of the store is missing or wrong.
    #[error("the store's settings in the environment are missing or wrong: {variables}")]
    Settings {
        /// Which are looked at.
        variables: &'static str,
    },
    /// Nobody answers.
    #[error(
        "the store cannot be reached, or has no certificate that this machine trusts: look at the address, the network and the store's settings in the environment (without credentials there, a cloud machine's own are asked for)"
    )]
    Unreachable,
    /// No answer in time.
    #[error("the store did not answer in time, also when asked again")]
    Slow,
    /// Cut off.
    #[error("the store broke its answer off, also when asked again")]
    CutOff,
    /// Another object has the name now.
    #[error("it was replaced while it was read, so nothing of it was used: read it again")]
    Changed,
    /// A server that gives whole files only.
    #[error(
        "the server does not give parts of a file, and rows are not kept on a disk in clear: use a server that answers `Range`, or give a path"
    )]
    NoRanges,
    /// A server that says neither which version of a file it gives nor of when.
    #[error(
        "the server gives neither `ETag` nor `Last-Modified`, so a file that is replaced while it is read would not be noticed: use another server, or give a path"
    )]
    NoVersion,
    /// More objects than anybody would seal as one data set.
    #[error("there are more than {most} objects below that name")]
    TooMany {
        /// The most that are read.
        most: usize,
    },
    /// Any other refusal.
    #[error("the store answered with an error of its own ({status})")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// Something else.
    #[error("the store's answer was not understood, or the object's name is none that is read")]
    Answer,
}

impl ObjectError {
    /// Why `error` came about, without its text: that can hold addresses with signatures and
    /// whatever the store wrote.
    pub(super) fn of(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } => Self::NotFound,
            E::PermissionDenied { .. } => Self::Denied,
            E::Unauthenticated { .. } => Self::Unauthenticated,
            E::Precondition { .. } | E::NotModified { .. } => Self::Changed,
            E::NotSupported { .. } => Self::NoRanges,
            _ => Self::within(error),
        }
    }

    /// The first cause that says more.
    fn within(error: &object_store::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(inner) = inner.downcast_ref::<object_store::Error>() {
                return Self::of(inner);
            }
            if let Some(http) = inner.downcast_ref::<HttpError>() {
                return Self::of_http(http.kind());
            }
            cause = inner.source();
        }
        // The library keeps its type with the status to itself.
        status(&error.to_string()).map_or(Self::Answer, |status| Self::Status { status })
    }

    fn of_http(kind: HttpErrorKind) -> Self {
        match kind {
            HttpErrorKind::Connect => Self::Unreachable,
            HttpErrorKind::Timeout => Self::Slow,
            HttpErrorKind::Request | HttpErrorKind::Interrupted | HttpErrorKind::Decode => {
                Self::CutOff
            }
            _ => Self::Unreachable,
        }
    }
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        Self::of(&error)
    }
}

/// The status that an error's text tells of.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}
