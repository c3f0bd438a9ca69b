//! OpenSSH keys, SSHSIG, signed notes, HPKE and secrets.
//!
//! Every signature of the house is made here, and every secret key is a type of this crate
//! that shows nothing, cannot be copied by accident and is wiped when dropped. Nothing here
//! does IO; randomness is a parameter.
//!
//! | what | how |
//! |---|---|
//! | signatures | SSHSIG (SHA-512) with OpenSSH Ed25519 keys, a namespace per format: [`SigningKey`], [`PublicKey`], [`SshSig`] |
//! | signed messages | [`sign_message`], [`open_signed`], [`peek_signed`] |
//! | signed notes | C2SP signed-note, Ed25519: [`note`] |
//! | secret keys | 32 bytes and HKDF-SHA256: [`Secret32`] and its named kinds |
//! | sealing under a secret key | AES-256-GCM: [`aead`] |
//! | sealing to a room | HPKE (RFC 9180), X-Wing, HKDF-SHA256, AES-256-GCM: [`hpke`] |
//! | sealing to a receiver | the same: [`ReceivePublicKey`], [`ReceiveKey`] |

pub mod aead;
mod blob;
pub mod hpke;
pub mod note;
mod public;
mod receive;
mod secret;
mod signed;
mod signing;
mod sshsig;

pub use public::{PublicKey, PublicKeyError};
pub use receive::{ReceiveKey, ReceiveKeyError, ReceivePublicKey};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{DataKey, MatchingKey, NoiseSeed, PurposeKey, Secret32, SeedKey};
pub use signed::{SignedError, Unverified, open_signed, peek_signed, sign_message};
pub use signing::{KeyError, SigningKey};
pub use sshsig::{SignatureError, SshSig};
