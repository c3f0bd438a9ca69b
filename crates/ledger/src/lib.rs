//! Charges, budgets, seeds, manifests and log entries of one party, durable.
//!
//! One SQLite file. Every change is one transaction, synchronised to the disk before the call
//! returns. The ledger decides nothing about who may ask what; it holds amounts, and it makes
//! the two values without which no grant can be built: [`Charged`] and [`Logged`].
//!
//! # Steps
//! | step | call                  | in one transaction                                        |
//! |------|-----------------------|-----------------------------------------------------------|
//! | 0    | [`Ledger::register_manifest`] | newest manifest in, seeds of the one before erased, what was taken away logged |
//! | 1    | [`Ledger::reserve`]   | own manifests newest, limits, seed promised, amount held  |
//! | 2    | [`Ledger::commit`]    | charge (free for a repeat), seed kept, log entry; seeds of requests over older data of others erased |
//!
//! # Claim
//! Spent + held never exceeds a ceiling, whatever the order of calls, crashes and retries.
//! Whoever holds a [`Charged`] has been charged, or was before under the same commitments (I5,
//! I8). One signed request is charged once at most. Charges and log entries are never changed or
//! deleted. Erased seeds are overwritten in the file; the journal of that change is unlinked and
//! may stay on the disk's free blocks, with the seeds in it encrypted under the key ring.
//! Not defended: somebody who restores an older copy of the file (the cosigned log is what
//! finds that out), or who changes it with other tools.
//! # Reference
//! Budgets add up zCDP: Bun and Steinke (2016), lemma 2.3. Log: RFC 6962, C2SP tlog-checkpoint.
//!
//! # Features
//! * `failpoints` (not default): [`Failpoint`]s call a hook. For tests.

mod budget;
mod commit;
mod error;
mod failpoint;
mod log;
mod manifests;
mod reserve;
mod store;
mod versions;

pub use budget::Ceilings;
pub use commit::{Charged, GrantRecord, Logged, to_wire};
pub use error::{CeilingKind, DatabaseError, LedgerError, Opener};
pub use failpoint::Failpoint;
pub use log::{DELETION, GRANT, origin};
pub use manifests::{NewManifest, NewestManifest, Registered, Removed};
pub use reserve::{Ask, Held, MAX_OPEN_PER_ANALYST, MAX_OPEN_PER_COUNTERPARTY, seed_commitment};
pub use store::{Ledger, durable};
