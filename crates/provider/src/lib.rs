//! The service of a matching provider: it holds a share of a key, evaluates points of ids that
//! it does not see, counts them, and keeps links that it cannot read.
//!
//! | module       | holds                                                                     |
//! |--------------|---------------------------------------------------------------------------|
//! | `service`    | opens what is needed, listens, serves                                     |
//! | `admit`      | who calls, and by which agreement                                         |
//! | `evaluate`   | sessions: batches in, evaluated batches and proofs out                    |
//! | `limits`     | how fast a party is served, and how often at once                         |
//! | `ceremony`   | a provider's part in making and refreshing keys                           |
//! | [`make_keys`], [`refresh_keys`] | the command at one provider that asks all of them      |
//! | `links`      | links: stored, found, dropped                                             |
//! | [`LinkBook`] | a source's own: what it told providers of links, and what it is to tell them |
//! | [`Store`]    | one SQLite file: sealed shares, counts, links                             |
//!
//! # What is counted
//! A run of a party, when it opens; each batch, before it is answered. Both are durable by
//! then: a crash between count and answer loses an answer, never a count. A provider counts for
//! itself: a party that spreads its runs over different sets of providers gets more (the
//! agreement's words say how much).
//! # What the provider learns
//! Who asks, when, for how many ids of which kind; of links, what stands in clear beside them.
//! Nothing of ids: points are blinded, and no table and no log holds one.

mod admit;
mod book;
mod ceremony;
mod config;
mod coordinate;
mod evaluate;
mod limits;
mod links;
mod sealed;
mod service;
mod store;

pub use admit::agreed;
pub use book::{Booked, LinkBook, LinkedId, TakenBack};
pub use config::ProviderConfig;
pub use coordinate::{CeremonyError, Finished, finish_keys, make_keys, refresh_keys};
pub use sealed::ShareKey;
pub use service::{Own, ServeError, serve};
pub use store::{Counted, Held, Matter, Store, StoreError, StoredLinks};
