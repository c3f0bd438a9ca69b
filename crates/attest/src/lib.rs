//! Evidence of what code runs, verified offline.
//!
//! [`verify`] is pure: evidence, policy, binding and time are inputs; it reads no clock and no
//! network. It is the only maker of a [`VerifiedWorkload`], which the release of keys demands.
//!
//! # Parties and messages
//! | step | from → to        | message                                        |
//! |------|------------------|------------------------------------------------|
//! | 1    | verifier → room  | challenge, 32 random bytes                     |
//! | 2    | room → its TEE   | [`Binding::report_data`]                       |
//! | 3    | room → verifier  | evidence and the room's keys (`BoundEvidence`) |
//!
//! The binding is one digest over a labelled, length-prefixed list: label, challenge, HPKE
//! key, TLS key, receipt key, agreement digest, and the request digest where there is one.
//! Evidence without a request has another label and no HPKE key; nothing is granted on it.
//!
//! # Where each kind places the digest
//! | kind                 | field                                | filled with              | verified here |
//! |----------------------|--------------------------------------|--------------------------|---------------|
//! | `simulated`          | `report_data`, 64 bytes              | digest, 32 zeros         | with the feature `simulated` |
//! | `sev-snp`            | `REPORT_DATA`, 64 bytes              | digest, 32 zeros         | not yet |
//! | `tdx`                | `REPORTDATA`, 64 bytes               | digest, 32 zeros         | not yet |
//! | `sgx`                | `REPORTDATA`, 64 bytes               | digest, 32 zeros         | not yet |
//! | `nitro`              | `user_data`                          | digest                   | not yet |
//! | `confidential-space` | `eat_nonce` of the token             | digest in hexadecimal    | not yet |
//! | `azure-vtpm`         | qualifying data of the vTPM quote    | digest                   | not yet |
//! | `tpm`                | qualifying data of the quote         | digest                   | not yet |
//!
//! # Claim
//! A verified workload ran the measured code, in hardware of an accepted kind, at most
//! [`MAX_AGE_S`] seconds ago, and held the private halves of the bound keys; relayed evidence
//! of another machine binds other keys. A simulated TEE proves nothing of this: it has a
//! published key.
//! # What each party learns
//! The verifier: the measurement, the platform's versions, the room's public keys.
//! # Reference
//! RATS architecture (RFC 9334); the key release follows RFC 9180.
//!
//! # Features
//! * `simulated` (not default): verifies and makes evidence of the kind `simulated`. A
//!   production build does not contain it.

mod binding;
mod kind;
mod policy;
#[cfg(feature = "simulated")]
pub mod simulated;
mod verify;

pub use binding::Binding;
pub use kind::{TeeKind, UnknownKind};
pub use policy::{Accepted, Policy, PolicyError};
pub use verify::{AttestError, MAX_AGE_S, MAX_AHEAD_S, VerifiedWorkload, evidence_digest, verify};
