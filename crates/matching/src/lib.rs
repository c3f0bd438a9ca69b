//! Private matching of identities: bytes in, bytes out.
//!
//! Two parties each hold a set of identifiers. Afterwards each holds a *crosswalk*: for every
//! one of its own identifiers a 16-byte pseudonym, the same on both sides for the same
//! identifier and meaningless outside one agreement id, matching epoch and id kind.
//!
//! | module          | holds                                                             |
//! |-----------------|-------------------------------------------------------------------|
//! | [`ids`]         | what is done to an identifier before anything else                |
//! | [`commutative`] | the protocol with `reveals = "nothing"`: [`Run`]                  |
//! | [`journal`]     | what a killed run goes on with, and the history of counted runs   |
//!
//! A plain hash of an identifier never leaves a party: a dictionary undoes it. Nothing here
//! does IO, reads a clock or draws randomness of its own.

pub mod commutative;
mod error;
pub mod ids;
pub mod journal;
pub mod sort;
mod terms;

pub use commutative::{KNOWN_IDS, Progress, Run};
pub use error::{Incompatible, MatchError, Misbehaviour, Misuse};
pub use terms::{MatchingSecret, Method, Reveals, Terms, TermsError};
