//! The clean room: holds ciphertext, proves what it is, and computes for as long as owners
//! grant it keys.
//!
//! Wiring only: the plan is `query`'s, the chain of checks `release`'s, the format `seal`'s.
//! The room keeps no state that matters (invariant I9): its keys are made at start or for one
//! request, and its disk holds what owners can push again.

mod answers;
mod config;
mod flight;
mod identity;
mod machine;
mod owners;
mod push;
mod run;
mod service;
mod store;
mod turns;

pub use config::RoomConfig;
pub use flight::parameters;
pub use identity::{IdentityError, own_measurement};
pub use machine::TooLittleMemory;
pub use service::{ServeError, serve};
pub use store::{Receiving, Store, StoreError};
