//! What a sealed data set consists of: the checked form of [`wire::Manifest`].
//!
//! A [`Manifest`] that exists is canonical: its wraps are exactly those that invariant I3
//! allows for its columns and classes, no more and no fewer.

mod change;
mod form;
mod matched;
mod usable;

pub use change::{Change, Removal};
pub(crate) use form::last_of;
pub(crate) use matched::to_wire;
pub use matched::{MatchingRuns, RunsDiffer, same_runs};
pub use usable::PastLastDay;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use incamera_keys::{PublicKey, SignedError, open_signed, peek_signed};
use incamera_types::limits::{
    MAX_COLUMNS, MAX_KEY_EPOCH, MAX_MANIFEST_BYTES, MAX_PART_BYTES, MAX_PARTITIONS, MAX_PARTS,
    MAX_VERSION,
};
use incamera_types::{
    AgreementDigest, AgreementId, ColumnName, ColumnSpec, ColumnType, ConsentClass, DatasetName,
    DatasetSpec, Date, Digest, FileId, KeyCommitment, ManifestDigest, MatchingEpoch, PartDigest,
    PartyName, PurposeName, PurposeSet, Transcript, UnixTime,
};
use incamera_wire::v1 as wire;
use incamera_wire::{Format, FormatError};

use crate::local::{self, LocalFileError};
use crate::plan::{self, KeyPlan};

/// Why a manifest is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Wrong format, size or signature.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// Not a well-formed message.
    #[error("the manifest does not read")]
    Format(#[from] FormatError),
    /// A field breaks a rule.
    #[error("the manifest is malformed: {reason}; seal the data set again")]
    Malformed {
        /// The rule.
        reason: &'static str,
    },
    /// More parts than a data set may have.
    #[error(
        "the manifest names more than {MAX_PARTS} parts: seal the data set again, with larger parts"
    )]
    TooManyParts,
    /// The manifest is of something else than what was asked for.
    #[error(
        "the manifest does not fit the agreement: its {what} is another; seal the data set again under this agreement"
    )]
    Unfit {
        /// What differs.
        what: &'static str,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] LocalFileError),
}

fn malformed(reason: &'static str) -> ManifestError {
    ManifestError::Malformed { reason }
}

/// A column as it stands in the sealed parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedColumn {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    pub ty: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// The leaf purposes that it serves.
    pub purposes: PurposeSet,
}

/// A data key under the purpose key of one purpose.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrap {
    /// The purpose.
    pub purpose: PurposeName,
    /// Nonce, ciphertext, tag.
    pub wrapped: Vec<u8>,
}

impl std::fmt::Debug for Wrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wrap({})", self.purpose)
    }
}

/// The key of one column of one part, or of its footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// The column; none for the footer.
    pub column: Option<ColumnName>,
    /// What the key must match.
    pub commitment: KeyCommitment,
    /// One wrap a purpose, in order of name.
    pub wraps: Vec<Wrap>,
}

/// One encrypted Parquet file: rows of one consent class and one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its random name.
    pub file_id: FileId,
    /// The consent class of its rows; empty in a public data set.
    pub class: ConsentClass,
    /// The slice of the pseudonym space that its rows lie in.
    pub partition: u32,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub digest: PartDigest,
    /// The manifest version that had it first; bound in its pages.
    pub version: u64,
    /// The footer's key, then one a column, in the columns' order; empty if public.
    pub keys: Vec<SealedKey>,
    /// Columns that its class could open and that the file does not have, in the columns'
    /// order: it was sealed before the data set had them, or before they served a purpose of
    /// the class.
    pub absent: Vec<ColumnName>,
}

impl Part {
    /// Whether no column of these is absent.
    #[must_use]
    pub fn has(&self, columns: &[ColumnName]) -> bool {
        !columns.iter().any(|column| self.absent.contains(column))
    }

    /// Whether a query for `purpose` that reads `columns` runs over this part: brokers give keys
    /// of just these parts, and the room takes keys of just these.
    #[must_use]
    pub fn serves(&self, purpose: &PurposeName, columns: &[ColumnName]) -> bool {
        self.opens_for(purpose) && self.has(columns)
    }

    /// The key of `column`, or of the footer.
    #[must_use]
    pub fn key(&self, column: Option<&ColumnName>) -> Option<&SealedKey> {
        self.keys.iter().find(|key| key.column.as_ref() == column)
    }

    /// Whether `purpose` opens the part's footer, and so some column of it.
    #[must_use]
    pub fn opens_for(&self, purpose: &PurposeName) -> bool {
        self.key(None)
            .is_some_and(|key| key.wraps.iter().any(|wrap| &wrap.purpose == purpose))
    }
}

/// What a sealed data set consists of. See the module for what holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    digest: ManifestDigest,
    agreement_id: AgreementId,
    owner: PartyName,
    version: u64,
    key_epoch: u32,
    matching_epoch: MatchingEpoch,
    matching_runs: MatchingRuns,
    last_day: Option<Date>,
    sealed_at: UnixTime,
    previous: Option<ManifestDigest>,
    register: Option<ManifestDigest>,
    own_consents: bool,
    change: Change,
    partitions: u32,
    /// The columns as they open: without the purposes revoked.
    spec: DatasetSpec,
    columns: Vec<SealedColumn>,
    revoked: PurposeSet,
    restored: BTreeMap<PurposeName, u64>,
    removals: Vec<Removal>,
    agreement_digest: Option<AgreementDigest>,
    parts: Vec<Part>,
}

impl Manifest {
    /// Reads and checks the body of a signed manifest.
    ///
    /// # Errors
    /// [`ManifestError::Format`] or [`ManifestError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, ManifestError> {
        let message: wire::Manifest = incamera_wire::decode(body, MAX_MANIFEST_BYTES)?;
        Self::from_wire(&message, digest_of(body))
    }

    fn from_wire(message: &wire::Manifest, digest: ManifestDigest) -> Result<Self, ManifestError> {
        if message.parts.len() > MAX_PARTS {
            return Err(ManifestError::TooManyParts);
        }
        if message.columns.len() > MAX_COLUMNS {
            return Err(malformed("it has more columns than any may have"));
        }
        let columns = form::columns(&message.columns)?;
        let revoked = form::revoked(message)?;
        let manifest = Self {
            digest,
            agreement_id: AgreementId::from_slice(&message.agreement_id)
                .map_err(|_| malformed("its agreement id has the wrong length"))?,
            owner: form::name(&message.owner)?,
            version: message.version,
            key_epoch: message.key_epoch,
            matching_epoch: MatchingEpoch(message.matching_epoch),
            matching_runs: form::matching_runs(message)?,
            last_day: form::last_day(message)?,
            sealed_at: UnixTime(message.sealed_at),
            previous: form::previous(message)?,
            register: form::register(message)?,
            own_consents: form::own_consents(message)?,
            change: form::change(message)?,
            partitions: message.partitions,
            spec: plan::without(form::spec(message, &columns)?, &revoked),
            columns,
            restored: form::restored(message, &revoked)?,
            revoked,
            agreement_digest: form::agreement_digest(message)?,
            removals: form::removals(message)?,
            parts: message
                .parts
                .iter()
                .map(form::part)
                .collect::<Result<_, _>>()?,
        };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !(1..=MAX_VERSION).contains(&self.version) {
            return Err(malformed("its version is out of range"));
        }
        if !(1..=MAX_KEY_EPOCH).contains(&self.key_epoch) {
            return Err(malformed("its key epoch is out of range"));
        }
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            return Err(malformed("its number of partitions is out of range"));
        }
        let mut ids = BTreeSet::new();
        if !self.parts.iter().all(|part| ids.insert(part.file_id)) {
            return Err(malformed("two parts have one file id"));
        }
        // Of thousands of parts there are few kinds.
        let mut plans: BTreeMap<(&ConsentClass, &[ColumnName]), Vec<KeyPlan>> = BTreeMap::new();
        self.parts.iter().try_for_each(|part| {
            let plan = match plans.entry((&part.class, &part.absent)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.key_plan(part)?),
            };
            self.check_part(part, plan)
        })
    }

    fn check_part(&self, part: &Part, expected: &[KeyPlan]) -> Result<(), ManifestError> {
        if part.partition >= self.partitions {
            return Err(malformed("a part lies outside the partitions"));
        }
        if part.bytes > MAX_PART_BYTES {
            return Err(malformed("a part is larger than any may be"));
        }
        if !(1..=self.version).contains(&part.version) {
            return Err(malformed("a part is newer than the manifest"));
        }
        let opened = part.keys.iter().filter(|key| !key.wraps.is_empty());
        let found: Vec<KeyPlan> = opened.map(key_plan).collect();
        if expected != found || !self.shut(part) {
            return Err(malformed("the wraps of a part are not those of its class"));
        }
        Ok(())
    }

    /// Whether keys without a wrap are of columns, in their order and once each, that nothing
    /// but revoked purposes would open.
    fn shut(&self, part: &Part) -> bool {
        if part.keys.iter().all(|key| !key.wraps.is_empty()) {
            return true;
        }
        let place = |key: &SealedKey| {
            let named = |column: &SealedColumn| Some(&column.name) == key.column.as_ref();
            self.columns.iter().position(named)
        };
        let revoked = |key: &SealedKey| {
            let column = place(key).and_then(|at| self.columns.get(at));
            column.is_some_and(|column| {
                let open = column.purposes.intersection(&part.class);
                !open.is_empty() && open.is_subset(&self.revoked)
            })
        };
        let shut = part.keys.iter().filter(|key| key.wraps.is_empty());
        part.keys.is_sorted_by(|a, b| place(a) < place(b)) && shut.into_iter().all(revoked)
    }

    fn key_plan(&self, part: &Part) -> Result<Vec<KeyPlan>, ManifestError> {
        if self.spec.public && part.absent.is_empty() {
            return Ok(Vec::new());
        }
        let plan = plan::part_keys(&self.spec, &part.class, &part.absent)
            .filter(|_| !self.spec.public)
            .ok_or_else(|| malformed("a part lacks columns that no part may lack"))?;
        match plan.is_empty() {
            true => Err(malformed("nothing opens a part")),
            false => Ok(plan),
        }
    }

    /// The digest of the manifest's body: what requests name.
    #[must_use]
    pub fn digest(&self) -> ManifestDigest {
        self.digest
    }
    /// The agreement's id.
    #[must_use]
    pub fn agreement_id(&self) -> &AgreementId {
        &self.agreement_id
    }
    /// The party that the data set belongs to.
    #[must_use]
    pub fn owner(&self) -> &PartyName {
        &self.owner
    }
    /// The data set.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        &self.spec.name
    }
    /// The version, from 1; the newest counts.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
    /// The key epoch whose purpose keys wrap the data keys.
    #[must_use]
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch
    }
    /// The matching epoch of its pseudonyms.
    #[must_use]
    pub fn matching_epoch(&self) -> MatchingEpoch {
        self.matching_epoch
    }
    /// When it was sealed.
    #[must_use]
    pub fn sealed_at(&self) -> UnixTime {
        self.sealed_at
    }
    /// The digest of the version before; none for version 1.
    #[must_use]
    pub fn previous(&self) -> Option<ManifestDigest> {
        self.previous
    }
    /// The manifest of the register whose consents it was sealed by; none if by none.
    #[must_use]
    pub fn register(&self) -> Option<ManifestDigest> {
        self.register
    }
    /// Whether it was sealed by the consents of its own `purposes` column.
    #[must_use]
    pub fn own_consents(&self) -> bool {
        self.own_consents
    }
    /// What made this version.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }
    /// Purposes that open nothing of it, whatever its columns serve: their keys were destroyed.
    #[must_use]
    pub fn revoked(&self) -> &PurposeSet {
        &self.revoked
    }
    /// Purposes that were revoked and that the owner gave back, with the version that did. One
    /// that was revoked again since is not among them.
    #[must_use]
    pub fn restored(&self) -> &BTreeMap<PurposeName, u64> {
        &self.restored
    }
    /// Purposes given back by versions later than `version`.
    #[must_use]
    pub fn restored_since(&self, version: u64) -> PurposeSet {
        let since = self.restored.iter().filter(|(_, at)| **at > version);
        since.map(|(purpose, _)| purpose.clone()).collect()
    }
    /// The agreement's version by which the oldest of its rows were sealed; none if it does not
    /// say.
    #[must_use]
    pub fn agreement_digest(&self) -> Option<AgreementDigest> {
        self.agreement_digest
    }
    /// The versions that took something away, the newest last. Of many the oldest are forgotten,
    /// but for the last of each kind.
    #[must_use]
    pub fn removals(&self) -> &[Removal] {
        &self.removals
    }
    /// How many slices the pseudonym space has.
    #[must_use]
    pub fn partitions(&self) -> u32 {
        self.partitions
    }
    /// Whether the data set is sealed for nobody.
    #[must_use]
    pub fn public(&self) -> bool {
        self.spec.public
    }
    /// The stored columns.
    #[must_use]
    pub fn columns(&self) -> &[SealedColumn] {
        &self.columns
    }
    /// The data set as the manifest declares it: its stored columns alone.
    #[must_use]
    pub fn declared(&self) -> DatasetSpec {
        let mut spec = self.spec.clone();
        for (column, sealed) in spec.columns.iter_mut().zip(&self.columns) {
            column.purposes = sealed.purposes.clone();
        }
        spec
    }
    /// Whether a column says whose row it is.
    #[must_use]
    pub fn is_person(&self, name: &ColumnName) -> bool {
        self.spec.is_person(name)
    }
    /// The column that says whose row it is; none in a public data set.
    #[must_use]
    pub fn person_column(&self) -> Option<&ColumnName> {
        self.spec.person_column().map(|column| &column.name)
    }
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &ColumnName) -> Option<&SealedColumn> {
        self.columns.iter().find(|column| &column.name == name)
    }
    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
    /// The part of this file id.
    #[must_use]
    pub fn part(&self, file_id: &FileId) -> Option<&Part> {
        self.parts.iter().find(|part| &part.file_id == file_id)
    }

    /// The Arrow schema of a part's file: the columns that it has keys of (all if public).
    #[must_use]
    pub fn part_schema(&self, part: &Part) -> SchemaRef {
        let stored =
            |column: &&SealedColumn| self.public() || part.key(Some(&column.name)).is_some();
        let columns = self.columns.iter().filter(stored);
        plan::arrow_schema(columns.map(|column| (&column.name, column.ty, column.nullable)))
    }
}

/// A manifest whose owner's signature was checked.
#[derive(Clone, Debug)]
pub struct SignedManifest {
    manifest: Manifest,
    signed: wire::Signed,
}

impl SignedManifest {
    /// The bytes that were signed, with the signature: what is passed on.
    #[must_use]
    pub fn signed(&self) -> &wire::Signed {
        &self.signed
    }

    /// The checked manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Deref for SignedManifest {
    type Target = Manifest;
    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

/// Opens a manifest that the owner's service key `key` must have signed.
///
/// # Errors
/// [`ManifestError`]: the signature is checked before the body is read.
pub fn open_manifest(
    signed: &wire::Signed,
    key: &PublicKey,
) -> Result<SignedManifest, ManifestError> {
    let message: wire::Manifest = open_signed(signed, Format::Manifest, key, MAX_MANIFEST_BYTES)?;
    Ok(SignedManifest {
        manifest: Manifest::from_wire(&message, digest_of(&signed.body))?,
        signed: signed.clone(),
    })
}

/// Reads a manifest without knowing whose signature it should be: to show it, or to find
/// the owner. Believe nothing in it.
///
/// # Errors
/// [`ManifestError`] for another format, size or form.
pub fn peek_manifest(signed: &wire::Signed) -> Result<Manifest, ManifestError> {
    let peeked = peek_signed::<wire::Manifest>(signed, Format::Manifest, MAX_MANIFEST_BYTES)?;
    Manifest::from_wire(peeked.unverified(), digest_of(&signed.body))
}

/// Reads the signed manifest in the file `path`.
///
/// # Errors
/// [`ManifestError::File`] or [`ManifestError::Format`].
pub fn read_manifest_file(path: &Path) -> Result<wire::Signed, ManifestError> {
    let bytes = local::read(path)?;
    // The frame adds a format's name and a signature.
    Ok(incamera_wire::decode(&bytes, MAX_MANIFEST_BYTES + 4096)?)
}

pub(crate) fn digest_of(body: &[u8]) -> ManifestDigest {
    Transcript::new(Format::Manifest.as_str())
        .field(body)
        .finish()
}

pub(crate) fn sealed_column(column: &ColumnSpec) -> SealedColumn {
    SealedColumn {
        name: column.name.clone(),
        ty: column.ty,
        nullable: column.nullable,
        purposes: column.purposes.clone(),
    }
}

/// What a manifest says of purposes given back; one that is revoked again is not.
pub(crate) fn restorations(
    restored: &BTreeMap<PurposeName, u64>,
    revoked: &PurposeSet,
) -> Vec<wire::Restoration> {
    let open = restored.iter().filter(|(one, _)| !revoked.contains(one));
    let said = open.map(|(purpose, version)| wire::Restoration {
        purpose: purpose.to_string(),
        version: *version,
    });
    said.collect()
}

/// A digest's bytes in a message; nothing where there is none.
pub(crate) fn digest_bytes(digest: Option<impl Digest>) -> Vec<u8> {
    digest.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec())
}

fn key_plan(key: &SealedKey) -> KeyPlan {
    KeyPlan {
        column: key.column.clone(),
        purposes: key.wraps.iter().map(|wrap| wrap.purpose.clone()).collect(),
    }
}
