//! Purpose-bound encrypted Parquet, its manifest and the key ring.
//!
//! An owner's side: [`seal_dataset`] reads a CSV or Parquet file against the agreement,
//! splits its rows by consent class and pseudonym, and writes parts of ciphertext with a
//! signed manifest. The broker's side: [`unwrap_keys`] gives the keys of one purpose, or finds
//! that there are none. The room's side: [`check_part_file`] and [`read_part`].
//!
//! # What is bound to what
//! | thing | bound to | by |
//! |---|---|---|
//! | a page, a footer | agreement id, data set, file id, manifest version, consent class | AAD prefix of the file |
//! | a data key's wrap | agreement id, data set, key epoch, file id, column, **purpose** | AAD of the wrap, and a purpose key of its own |
//! | a data key | file id, column | a commitment in the manifest |
//! | parts, wraps, commitments | the owner | its service key's signature over the manifest |
//!
//! # Claim
//! Invariant I3: the only keys that open a column are wrapped for purposes that both the
//! agreement gives the column and the row's person agreed to. A wrong decision higher up finds
//! no wrap to hand out for another purpose: none was ever made. Not defended: an owner who seals false data, and
//! what sizes tell (see `SECURITY.md`).
//!
//! # Reference
//! Parquet Modular Encryption, `AES_GCM_V1` with an encrypted footer.

mod append;
mod bounds;
mod checked;
mod classify;
mod consents;
mod count;
mod crosswalk;
mod crosswalk_stream;
mod ends;
mod few;
mod folder;
mod guard;
mod inherited;
mod inspect;
mod keytools;
mod labels;
mod lanes;
mod local;
mod manifest;
mod merge;
mod order;
mod ordered;
mod own;
mod person;
mod plan;
mod propose;
mod reader;
mod repeats;
mod rewrite;
mod ring;
mod runs;
mod said;
mod sealing;
mod source;
mod spill;
mod stretch;
mod table;
mod tally;
mod unwrap;
mod writer;

pub use bounds::{Bound, Bounds};
pub use checked::{CheckedPart, open_part};
pub use consents::{Consents, consents_in};
pub use count::count_rows;
pub use crosswalk::{Crosswalk, CrosswalkScope};
pub use crosswalk_stream::{
    CrosswalkColumns, CrosswalkReader, CrosswalkRow, CrosswalkWriter, WholeCrosswalk, file_digest,
    keep_rows,
};
pub use few::SmallClasses;
pub use inherited::Inherited;
pub use inspect::{InspectedClass, InspectedColumn, Inspection, inspect};
pub use keytools::{
    KeyReference, MAX_METADATA_BYTES, MasterKeyError, MasterKeyId, MaterialError, OwnDataset,
    OwnKeyError, OwnKeys, ReferenceError, SourceKeyError, SourceKeys, SourceWrap, WrapError,
    check_metadata,
};
pub use local::LocalFileError;
pub use manifest::{
    Change, Manifest, ManifestError, MatchingRuns, Part, PastLastDay, Removal, RunsDiffer,
    SealedColumn, SealedKey, SignedManifest, Wrap, open_manifest, peek_manifest,
    read_manifest_file, same_runs,
};
pub use own::{OwnRows, own_rows};
pub use person::PersonKeys;
pub use propose::{Hints, Proposal, ProposeError, ProposedColumn, propose};
pub use reader::{
    PartFileError, PartReader, ReadError, check_part_file, read_part, read_part_within,
    read_public_part,
};
pub use repeats::Repeats;
pub use rewrite::{
    Anew, Counts, Coverage, Lacking, Movement, RewriteError, RewriteJob, RewritePlan, Rewritten,
    destroy_all, destroy_superseded, plan_rewrite, rewrite,
};
pub use ring::{
    AgeFile, Backend, BackendError, DEFAULT_WORK_FACTOR, KeptKey, KeyRing, MatchingSecret,
    MatchingSlot, PurposeSlot, RING_FORMAT, RingError, TOKEN_RING_FORMAT, TokenFile, UnwrapError,
    WRAPPED_BYTES,
};
#[cfg(feature = "pkcs11")]
pub use ring::{TokenError, TokenName, TokenPlace, TokenRing};
pub use said::Said;
pub use sealing::{
    Consent, Kinds, MANIFEST_FILE, Outline, PARTS_FOLDER, SealError, SealJob, SealLimits,
    SealReport, Step, no_kinds, part_path, seal_dataset, seal_dataset_if, seal_dataset_keeping,
};
pub use source::{
    AddressError, CellError, Named, ObjectError, Place, RefusedColumn, RefusedColumns, RowPlace,
    Source, SourceError, TagError, check_source, named, read_columns, read_texts,
};
pub use unwrap::{GrantedKey, KeyMismatch, NoKey, PartKeys, granted_parts, unwrap_keys};
pub use writer::PartError;
