//! Other tools: key metadata by the key-tools convention (`PKMT1`) of Parquet's encryption.
//!
//! # Our parts, read by others
//! The metadata of a key in a sealed part is a [`KeyReference`]: it says which key of which
//! file it is, in a field where other programs put a wrapped key, and opens nothing. Whoever
//! reads the part hands the reference to the owner's own endpoint (`incamera ring serve`),
//! which finds the key's wrap in the newest manifest, for one purpose. So a purpose that was
//! taken away, and a part that was replaced, end here too: nothing in a file outlives them.
//! Our own reader asks nothing of the metadata.
//!
//! # Others' files, read by us
//! A file that an owner encrypted elsewhere holds real wraps, made by the same endpoint
//! ([`SourceWrap`]); sealing unwraps them with the ring ([`crate::Source::unlock`]). They stand
//! under a key of the data set that serves no purpose, and the endpoint makes such wraps and
//! opens none: a key for `ads` is no way to a source that holds everything.
//!
//! # Claim
//! Nothing here decides who may have a key: a reference leads to the wraps of the manifest, and
//! without one for the purpose there is no key (invariant I3). Key metadata is foreign input:
//! its size is limited, and what it says is never printed.

mod material;
mod own;
mod reference;
mod source;
mod wrap;

pub(crate) use material::key_metadata;
pub use material::{MAX_METADATA_BYTES, MaterialError, check_metadata};
pub use own::{OwnDataset, OwnKeyError, OwnKeys};
pub use reference::{KeyReference, ReferenceError};
pub(crate) use source::has_locked_columns;
pub use source::{SourceKeyError, SourceKeys};
pub(crate) use wrap::SOURCE_WRAP;
pub use wrap::{MasterKeyError, MasterKeyId, SourceWrap, WrapError};
