//! Names, digests, pseudonyms, purposes, amounts of privacy loss and limits.
//!
//! The bottom of the house: every other crate speaks in these words. Each type has one
//! constructor that checks ("parse, don't validate"), so a value that exists is well formed.
//! Nothing here does IO, reads a clock or draws randomness.

mod digest;
mod highest;
mod ids;
pub mod limits;
mod names;
mod privacy;
mod pseudonym;
mod purpose;
mod schema;
mod shown;
mod time;
mod value;
mod zone;

pub use digest::{
    AgreementDigest, AgreementId, BatchDigest, CeremonyDigest, CommitmentsDigest, Digest,
    DigestError, EnvelopeDigest, EvaluateSessionDigest, EvidenceDigest, GrantDigest, KeyCommitment,
    LinkLabel, ManifestDigest, MatchInputDigest, MatchRunDigest, MatchTermsDigest, Measurement,
    PartDigest, ProposalDigest, ProviderKeyDigest, ReceiveKeyDigest, RequestDigest,
    ReservationsDigest, RoomKeyDigest, SeedCommitment, TokenDigest, Transcript,
};
pub use highest::Highest;
pub use ids::{IdForm, IdRules, IdSort, IdWriting, IdWritingError, RegionCode};
pub use names::{
    AnalystName, AnalystRef, ColumnName, DatasetName, IdKind, NameError, ParamName, PartyName,
    PurposeName, QueryName,
};
pub use privacy::{Budget, Delta, Epsilon, PrivacyError, PrivacyLoss, Rho};
pub use pseudonym::{FileId, MatchingEpoch, Pseudonym};
pub use purpose::{ConsentClass, PurposeSet};
pub use schema::{
    ColumnRef, ColumnSpec, ColumnType, DatasetSpec, MAX_PRECISION, OtherText, TypeError,
};
pub use shown::{and, is_deceptive, is_foul, printable, visible};
pub use time::{Date, Moment, MomentError, TimeError, UnixTime};
pub use value::{Decimal, ParamType, Params, Value, ValueError};
pub use zone::{ZoneError, ZoneName};
