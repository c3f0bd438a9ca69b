//! The agreement: one TOML file that says who may learn what from which data, and the proofs
//! that every party has signed it.
//!
//! # From bytes to proof
//! | state               | made by                  | says                                    |
//! |---------------------|--------------------------|-----------------------------------------|
//! | [`Agreement`]       | [`Agreement::parse`]     | well formed, every reference resolves   |
//! | [`SignedAgreement`] | [`Agreement::verify`]    | each party's signature holds            |
//! | [`ActiveAgreement`] | [`SignedAgreement::at`]  | and it has not expired                  |
//!
//! Later steps take the last of these as an argument, so a skipped check does not compile.
//!
//! # Identity
//! The *digest* is the plain SHA-256 of the file's bytes. The *id* is the digest of version 1:
//! pseudonyms, seals and ceilings hang on it and outlive new versions.
//!
//! # What this crate does not do
//! It reads no clock and no network, and no files but in [`files`]. It does not parse SQL: that a query's SQL
//! keeps to its `reads`, groups and measures is proved by the crate `query`.

mod cost;
mod diff;
mod doubts;
mod error;
mod explain;
pub mod files;
mod impact;
mod matching;
mod model;
mod page;
mod param;
mod parse;
mod proposal;
mod providers;
mod query_template;
mod reader;
mod signatures;
mod standing;
mod succession;
mod template;
mod url;

pub use diff::{Differences, PurposeChange, diff};
pub use doubts::{doubts, doubts_of};
pub use error::{AgreementError, Problem, Span};
pub use explain::{explain, explain_with};
pub use impact::{DatasetImpact, Remedy, impact};
pub use model::{
    Agreement, AnalystKey, Analysts, Ceiling, Compare, CompareKind, Compared, ConsentSource,
    GroupKey, GroupValues, Linked, Linking, Matching, MatchingMethod, Party, PerPerson,
    PersonBounds, Purpose, Query, Ratio, Reveals, RoomTerms, Security, Terms,
};
pub use param::{Domain, Param};
pub use proposal::{
    APPROVED_NAMESPACE, ApprovedProposal, PROPOSAL_FORMAT, PROPOSED_NAMESPACE, Proposal,
    ProposalError, Proposals, ProposedQuery, approve, propose,
};
pub use providers::{IdLink, Providers};
pub use query_template::{
    Blank, BlankKind, FillError, FilledQuery, Most, QueryTemplate, TypeOf, query_template,
    query_templates,
};
pub use signatures::{ActiveAgreement, Expired, NAMESPACE, SignaturesError, SignedAgreement, sign};
pub use standing::{Spent, Standing, WHY_SO_MANY, concerns, left, no_rules, runs, shown, shown_at};
pub use succession::Succession;
pub use template::{
    AdMeasurement, OwnData, PartyInputs, RoomInputs, owner_ad_measurement, owner_own_data,
    template_ad_measurement, template_own_data,
};
pub use url::{ServiceUrl, UrlError};

/// The format line of the agreements that this version reads.
pub const FORMAT: &str = "incamera-agreement/1";
