//! An answer as a file for other tools: CSV, Parquet, a page of HTML.
//!
//! # Claim
//! Post-processing of a released answer: nothing here sees a row. Texts of the answer (group
//! keys that data may have named, column names of the SQL) are data in each file and never
//! code: no cell of a CSV is a formula, and a page has no element that they made.

mod chart;
mod csv;
mod page;
mod parquet;

pub(crate) use csv::WARNING;
pub use csv::csv;
pub use page::{Page, page};
pub use parquet::parquet;

/// What must not be overlooked about an answer, wherever it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The room's TEE was simulated.
    pub simulated: bool,
    /// The rows were made up in a practice room.
    pub practice: bool,
}

/// Said of an answer from a simulated TEE.
pub(crate) const SIMULATED: &str =
    "SIMULATED TEE: nothing protected the data from the room's operator";

/// Said of an answer over rows that were made up.
pub const PRACTICE: &str =
    "PRACTICE: made-up rows, nobody's data; the numbers say nothing about anybody";

impl Marks {
    /// The warnings, a line each.
    pub(crate) fn lines(self) -> Vec<&'static str> {
        let practice = self.practice.then_some(PRACTICE);
        let simulated = self.simulated.then_some(SIMULATED);
        practice.into_iter().chain(simulated).collect()
    }
}
