//! Private matching of identities: bytes in, bytes out.
//!
//! Two parties each hold a set of identifiers. Afterwards each holds a *crosswalk*: for every
//! one of its own identifiers a 16-byte pseudonym, the same on both sides for the same
//! identifier and meaningless outside one agreement id, matching epoch and id kind.
//!
//! | module         | holds                                                             |
//! |----------------|-------------------------------------------------------------------|
//! | `terms`        | what both must have in common: method, epoch, kind, the secret    |
//! | `partition`    | which part of a very large set an id is in                        |
//! | [`ids`]        | what is done to an identifier before anything else                |
//! | [`intake`]     | ids made distinct and brought into a random order                 |
//! | [`alone`]      | one party: pseudonyms under its own key                           |
//! | [`exchange`]   | the commutative protocol at constant memory: [`Exchange`]         |
//! | [`vole`]       | matching by vector oblivious linear evaluation: [`vole::VoleRun`] |
//! | [`run_keys`]   | the secrets of one run, made from a seed and the input            |
//! | [`journal`]    | what a killed run goes on with, and the history of counted runs   |
//! | [`check`]      | repeats and matches among what was made of both sets              |
//! | [`finish`]     | pseudonyms beside ids, in order, with those of earlier runs       |
//! | [`part_file`]  | the rows of one part of the ids, ready to be matched              |
//! | `marks`        | where a long file is entered: some places, at constant memory     |
//! | [`theirs`]     | what is kept of the peer's rows, for ids that are appended later  |
//! | [`sort`]       | sorting of more records than memory holds                         |
//! | [`links`]      | edges between ids of two kinds, for a store that cannot read them |
//! | `sealed`       | files of sealed records that are written and read whole           |
//! | [`provided`]   | through providers: who is asked together, batches under way       |
//! | [`statement`]  | what providers sign of the key that they hold in shares           |
//! | [`plan`]       | what matching takes, before anybody runs it                       |
//!
//! A plain hash of an identifier never leaves a party: a dictionary undoes it. Nothing here
//! does IO, reads a clock or draws randomness of its own.

pub mod alone;
pub mod check;
mod error;
pub mod exchange;
pub mod finish;
pub mod ids;
pub mod intake;
pub mod journal;
pub mod links;
mod marks;
pub mod part_file;
mod partition;
pub mod plan;
pub mod provided;
pub mod run_keys;
mod sealed;
pub mod sort;
pub mod statement;
mod terms;
pub mod theirs;
pub mod vole;

pub use error::{Incompatible, MatchError, Misbehaviour, Misuse};
pub use exchange::Exchange;
pub use partition::{Part, Partition, PartitionError, Parts};
pub use run_keys::{Fingerprints, MatchInput, RunKeys, Seed};
pub use terms::{
    KNOWN_IDS, MatchingSecret, Method, Mode, Pseudonyms, Reveals, Terms, TermsError, Value,
};
