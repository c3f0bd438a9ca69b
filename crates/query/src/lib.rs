//! SQL to checked plan to bounded plan to a noisy answer.
//!
//! | step | type | module |
//! |---|---|---|
//! | the agreement's SQL keeps to the agreement | [`CheckedQuery`] | [`check()`], [`prove`] |
//! | what it will do, cost and be off by | [`Explanation`] | [`CheckedQuery::explain`] |
//! | what a run costs by exact accounting | an epsilon | [`CheckedQuery::accounted`] |
//! | what it reveals at worst | [`Reveals`] | [`CheckedQuery::reveals`] |
//! | the same over made-up rows | [`Practised`] | [`practice()`] |
//! | sealed parts, read and added up person by person | [`RawAggregate`] | [`compute`] |
//! | noise, and groups too small withheld | [`Released`] | [`release`] |
//! | what a person reads | [`Table`] | [`table()`] |
//! | what other tools read | a record batch of Arrow, files | [`frame()`], [`csv()`], [`parquet()`], [`page()`] |
//!
//! # Parties and messages
//! None: the room runs this with keys in hand. Rows exist only inside [`compute`].
//! # Claim
//! An answer is rho-zCDP for the query's rho, where inputs are neighbours that differ in what
//! a single person brought. Rows reach the outside through the noisy values and in no other
//! way, errors included (I7). Not defended: memory and access patterns; of
//! timing, what [`Deadline`] says.
//! # Reference
//! Canonne, Kamath, Steinke (2020); Wilson et al. (2020) for bounded contributions in SQL.

mod after;
mod check;
mod clamp;
mod clipped;
mod cut;
mod deadline;
mod exact;
mod explain;
mod export;
mod filter;
mod fold;
mod frame;
mod functions;
mod keys;
mod lineage;
mod link;
mod measure;
mod memory;
mod merge;
mod nested;
mod params;
mod person;
mod practice;
mod public;
mod refusal;
mod refused;
mod released;
mod reveals;
mod room;
mod run;
mod said;
mod scan;
mod shape;
mod source;
mod sql;
mod stack;
mod table;
mod tables;
mod ties;
mod unit;
mod whose;
mod window;
mod words;

pub use check::{CheckedQuery, check, check_request, prove};
pub use clipped::{Clipped, ClippedError, ClippedSum};
pub use deadline::Deadline;
pub use explain::{Choice, Clamps, Expected, Explanation, Needed, NoEpsilon, Runs};
pub use export::{Marks, PRACTICE, Page, csv, page, parquet};
pub use frame::frame;
pub use measure::{Kind, Measure};
pub use memory::{Memory, TooLarge};
pub use practice::{Practice, Practised, practice};
pub use refusal::{Refusal, RefusalKind};
pub use released::{OtherRequest, Released};
pub use reveals::{AllRuns, Odds, Reveals};
pub use room::{RoomData, compute, release};
pub use run::{Limits, QueryError, RawAggregate};
pub use source::SourceError;
pub use table::{Cell, Comparison, Row, Table, TableError, table};

#[cfg(test)]
mod tests;
