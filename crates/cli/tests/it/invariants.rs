//! What must always hold, shown on the built program: processes, sockets, files, crashes.
//!
//! The libraries have tests of their own under the same numbers; here stands what only whole
//! processes can break. `SECURITY.md` says how each was seen to fail.

mod i01_identifiers;
mod i02_own_matches;
mod i02_pseudonyms;
mod i03_purposes;
mod i03_table;
mod i04_grants;
mod i04_proposals;
mod i05_charges;
mod i06_released;
mod i07_deadline;
mod i07_rows;
mod i08_repeats;
mod i09_room_state;
mod i10_simulation;

mod analyst;
mod callers;
mod hardened;
mod marks;
pub mod oracle;
mod snapshot;
mod story;
pub mod support;
