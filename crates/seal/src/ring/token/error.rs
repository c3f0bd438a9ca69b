//! Why a token does not do its part.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};

use crate::ring::backend::BackendError;

/// Why a token does not do its part. Holds no PIN and no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The module is not there, or is none.
    #[error("the PKCS#11 module `{}` was not loaded: name the library that came with the token (`module`)", module.display())]
    Module {
        /// The library's file.
        module: PathBuf,
        /// Why.
        #[source]
        source: Error,
    },
    /// No slot has the token.
    #[error("no slot has the token `{token}`: plug it in, or mend `label` or `serial`")]
    NoToken {
        /// Its label or serial number.
        token: String,
    },
    /// Several slots have a token of this name.
    #[error("several tokens are called `{token}`: name one by `serial`")]
    SeveralTokens {
        /// Their label.
        token: String,
    },
    /// The token takes another PIN.
    #[error(
        "the token `{token}` refused the PIN; it is not tried again until this program is started anew, so that the token does not lock itself"
    )]
    WrongPin {
        /// Its label or serial number.
        token: String,
    },
    /// The next wrong PIN would lock the token.
    #[error(
        "the token `{token}` says that one wrong PIN more locks it: log in once with the token's own program, then go on"
    )]
    LastTry {
        /// Its label or serial number.
        token: String,
    },
    /// The token is locked, or has no user PIN.
    #[error(
        "the PIN of the token `{token}` is locked or was never set: the token's own program resets it, with the security officer's PIN"
    )]
    Locked {
        /// Its label or serial number.
        token: String,
    },
    /// The token lacks what a key ring needs.
    #[error("the token `{token}` cannot make AES-256 keys or encrypt with AES-GCM inside")]
    NotAble {
        /// Its label or serial number.
        token: String,
    },
    /// A key of the ring is not in the token.
    #[error("the token has no such key: it was destroyed, or this is another token")]
    NoKey,
    /// A key bears a name of the ring but could be read, or was brought from outside.
    #[error(
        "a key in the token bears a name of this ring but was not made inside, can be read out, or is there twice: it is not used"
    )]
    UnsafeKey,
    /// The token answered something unexpected.
    #[error("the token failed")]
    Call(#[source] Error),
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl TokenError {
    /// Whether the session may be gone, so that a new one may do.
    pub(super) fn session_lost(&self) -> bool {
        let Self::Call(Error::Pkcs11(code, _)) = self else {
            return false;
        };
        matches!(
            code,
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::OperationActive
        )
    }

    /// Whether a decryption was refused for its bytes; `None` if the code alone does not tell.
    pub(super) fn refuses_bytes(&self) -> Option<bool> {
        let Self::Call(Error::Pkcs11(code, _)) = self else {
            return Some(false);
        };
        match code {
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::SignatureInvalid
            | RvError::DataInvalid => Some(true),
            // SoftHSM and others say these for a wrong tag, and for a broken token too.
            RvError::GeneralError | RvError::FunctionFailed | RvError::ArgumentsBad => None,
            _ => Some(false),
        }
    }
}

impl From<TokenError> for BackendError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NoKey => Self::NoKey,
            TokenError::WrongPin { .. }
            | TokenError::LastTry { .. }
            | TokenError::Locked { .. }
            | TokenError::NotAble { .. }
            | TokenError::UnsafeKey => Self::Denied(Box::new(error)),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}
