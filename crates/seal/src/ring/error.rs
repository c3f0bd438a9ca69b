//! Why a key ring does not open, change or unwrap.

use std::path::{Path, PathBuf};

use super::age_file::MAX_WORK_FACTOR;
use super::backend::BackendError;
use crate::local::LocalFileError;

/// Why the key ring does not open or change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is a file already.
    #[error("there is a key ring at `{}` already; it is not overwritten, because its keys cannot be made again", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is not the ring's.
    #[error("the passphrase does not open the key ring `{}`", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The identity or key is not the ring's.
    #[error("this identity does not open the key ring `{}`", path.display())]
    WrongIdentity {
        /// The file.
        path: PathBuf,
    },
    /// A file that should hold an identity does not.
    #[error("this is not one age X25519 identity (`AGE-SECRET-KEY-1...`) or OpenSSH Ed25519 key")]
    Identity,
    /// A recovery recipient that is none.
    #[error(
        "a recovery recipient is an age X25519 public key (`age1...`) or an OpenSSH Ed25519 public key (`ssh-ed25519 AAAA...`)"
    )]
    Recipient,
    /// A ring of another kind would be left without its purpose keys.
    #[error("the purpose keys of the key ring `{}` cannot go from one kind of ring to another", path.display())]
    OtherKind {
        /// The ring that has them.
        path: PathBuf,
    },
    /// An age file of another kind, or damaged.
    #[error("`{}` is not a key ring, or it is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file that somebody else encrypted for the ring's public key.
    #[error("`{}` opens, but the holder of its identity did not write it: somebody else did, or it is a recovery file", path.display())]
    Forged {
        /// The file.
        path: PathBuf,
    },
    /// A recovery file lies where a new ring would write its own.
    #[error("there is a recovery file at `{}` already, of a ring that was here; it is not overwritten", path.display())]
    RecoveryExists {
        /// The file.
        path: PathBuf,
    },
    /// A name that recovery files have.
    #[error("`{}` is the name of a recovery file, not of a key ring", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Another version of the format.
    #[error("the key ring `{}` is `{found}`: a newer version of incamera may read it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// A work factor that is not accepted.
    #[error("a scrypt work factor is from 1 to {MAX_WORK_FACTOR}, not {found}")]
    WorkFactor {
        /// The one given.
        found: u8,
    },
    /// There is no purpose key of this slot.
    #[error("the key ring has no key of this data set, key epoch and purpose")]
    NoPurposeKey,
    /// There is no secret of this slot.
    #[error("the key ring has no matching secret of this agreement, epoch and method")]
    NoMatchingSecret,
    /// What keeps the keys did not do its part.
    #[error("the key ring `{}` failed", path.display())]
    Backend {
        /// The ring's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] LocalFileError),
}

impl RingError {
    /// What a back end says, about the ring at `path`.
    pub(super) fn of(path: &Path, error: BackendError) -> Self {
        let path = path.into();
        match error {
            BackendError::WrongPassphrase => Self::WrongPassphrase { path },
            BackendError::WrongIdentity => Self::WrongIdentity { path },
            BackendError::Version { found } => Self::Version { path, found },
            BackendError::Damaged => Self::Damaged { path },
            BackendError::Forged => Self::Forged { path },
            BackendError::NoKey => Self::NoPurposeKey,
            source => Self::Backend { path, source },
        }
    }
}

/// Why a wrapped key was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The ring has no purpose key of the slot.
    #[error("the key ring has no key of this data set, key epoch and purpose")]
    NoKey,
    /// The bytes do not open under the key of the slot.
    #[error("the wrapped key does not open: another key, another place, or it was changed")]
    Refused,
    /// The ring failed.
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl UnwrapError {
    pub(super) fn of(path: &Path, error: BackendError) -> Self {
        match error {
            BackendError::NoKey => Self::NoKey,
            BackendError::Refused => Self::Refused,
            other => Self::Ring(RingError::of(path, other)),
        }
    }
}
