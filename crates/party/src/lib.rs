//! A party's service: broker, meeting point and manifests.
//!
//! Wiring only: the checks are `release`'s, the books are `ledger`'s, the keys are `seal`'s.
//! The service listens on one port for three kinds of callers, told apart by TLS key and by
//! what they sign: rooms (`broker`), the party's own people (`owner`) and the peer of a
//! matching run (`meeting`).

mod agreements;
mod approvals;
mod broker;
mod config;
mod keys;
mod meeting;
mod owner;
mod public;
mod retention;
mod service;

pub use approvals::proposal_files;
pub use config::{LedgerPath, PartyConfig, Sealing};
pub use keys::{KeyPaths, LockError, PinFile, RingLock, TokenId, TokenLock};
pub use public::PublicFile;
pub use service::{ServeError, serve};
