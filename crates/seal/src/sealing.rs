//! Sealing a data set: from an owner's file to a folder of ciphertext and a signed manifest.
//!
//! # Steps
//! 1. Read the file against the agreement; look up each row's pseudonym and consent class.
//! 2. Sort rows by class and pseudonym, and cut them at the partitions' fixed borders.
//! 3. Make missing purpose keys, durably.
//! 4. Write each part, encrypted, under a new random file id.
//! 5. Sign the manifest, have the consents kept, rename it into its place; then remove parts that it does not name.
//!
//! # What a crash leaves
//! The manifest is the one thing that is replaced, and it is replaced at once: before step 5
//! the folder is the old version with some unnamed ciphertext beside it, which the next sealing
//! removes. No plaintext is ever written.
//!
//! # Memory
//! The rows of one data set are held as Arrow columns, and those of the part being written a
//! second time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use incamera_keys::{KeyError, SigningKey, sign_message};
use incamera_types::limits::MAX_PARTITIONS;
use incamera_types::{
    AgreementId, ColumnName, ColumnType, DatasetSpec, Digest as _, FileId, ManifestDigest,
    MatchingEpoch, Pseudonym, PurposeSet, UnixTime,
};
use incamera_wire::{Format, v1 as wire};
use rand_core::CryptoRng;

use crate::classify::Classified;
use crate::consents::{Consents, PersonClasses};
use crate::folder::Folder;
use crate::local::LocalFileError;
use crate::manifest::{self, Change, Manifest, Removal};
use crate::repeats::Repeats;
use crate::ring::{KeyRing, RingError};
use crate::source::{self, Reading, Source, SourceError, Table};
use crate::writer::{self, PartError, PartScope};

/// The signed manifest in a sealed data set's folder.
pub const MANIFEST_FILE: &str = "manifest";
/// The folder of the parts in a sealed data set's folder.
pub const PARTS_FOLDER: &str = "parts";

/// Where the file of a part lies in a sealed data set's folder.
#[must_use]
pub fn part_path(folder: &Path, file_id: &FileId) -> PathBuf {
    folder.join(PARTS_FOLDER).join(writer::file_name(file_id))
}

/// Where a row's consent class comes from.
#[derive(Clone, Copy, Debug)]
pub enum Consent<'a> {
    /// The data set's own `purposes` column.
    Column,
    /// The owner's data set that has one; a person missing there has given none.
    ByPerson(&'a Consents),
    /// The owner has no such data set: every purpose for everybody.
    Everyone,
}

/// What a version takes over from the one before, besides rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Purposes that stay revoked.
    pub revoked: PurposeSet,
    /// The versions that took something away.
    pub removals: Vec<Removal>,
}

impl Inherited {
    /// All that `manifest` hands on.
    #[must_use]
    pub fn from(manifest: &Manifest) -> Self {
        Self {
            revoked: manifest.revoked().clone(),
            removals: manifest.removals().to_vec(),
        }
    }
}

/// What to seal, and how.
pub struct SealJob<'a> {
    /// The data set as the agreement declares it.
    pub spec: &'a DatasetSpec,
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The version to make, from 1.
    pub version: u64,
    /// The digest of the version before; none for version 1.
    pub previous: Option<ManifestDigest>,
    /// The generation of purpose keys to wrap with.
    pub key_epoch: u32,
    /// What the version before hands on.
    pub inherits: Inherited,
    /// The matching epoch of the pseudonyms.
    pub matching_epoch: MatchingEpoch,
    /// Slices of the pseudonym space.
    pub partitions: u32,
    /// Every leaf purpose of the agreement.
    pub purposes: &'a PurposeSet,
    /// The owner's file.
    pub source: &'a Source,
    /// The column with raw ids, where it is not named like the pseudonym column's id kind.
    pub id_column: Option<&'a str>,
    /// The pseudonym of a raw id. Normalises first, if the kind needs it.
    pub people: &'a dyn Fn(&str) -> Option<Pseudonym>,
    /// Where consent comes from; not asked for a public data set.
    pub consent: Consent<'a>,
    /// The folder of the sealed data set: new, or of the version before.
    pub out: &'a Path,
    /// Hears how many rows were read so far.
    pub progress: &'a mut dyn FnMut(u64),
}

/// What sealing did, for the owner's eyes only: it has exact counts.
#[derive(Debug)]
#[non_exhaustive]
pub struct SealReport {
    /// Rows in the file.
    pub rows: u64,
    /// Rows in the parts.
    pub sealed: u64,
    /// Rows left out because their id has no pseudonym.
    pub without_pseudonym: u64,
    /// Rows left out because their person's consent opens no column.
    pub without_consent: u64,
    /// People whom the register, where this is it, names more than once.
    pub repeats: Repeats,
    /// Numbers brought into the agreement's range, by column.
    pub clamped: BTreeMap<ColumnName, u64>,
    /// Texts outside the agreement's list, made null or replaced, by column.
    pub replaced: BTreeMap<ColumnName, u64>,
    /// Columns of the file that the agreement does not have.
    pub ignored: Vec<String>,
    /// Parts written.
    pub parts: usize,
    /// Bytes of all parts.
    pub bytes: u64,
    /// The new manifest's digest.
    pub manifest: ManifestDigest,
    /// The consents that the data set's `purposes` column holds, where it has one: for the
    /// owner's other data sets.
    pub consents: Option<Consents>,
}

/// What would come of a file, before anything is written. For the owner's eyes only: it has
/// exact counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outline {
    /// Rows in the file.
    pub rows: u64,
    /// Rows that would be sealed.
    pub sealed: u64,
    /// People whom these are about; one, if the data set is public.
    pub people: u64,
    /// Rows that would be left out because their id has no pseudonym.
    pub without_pseudonym: u64,
    /// Rows that would be left out because their person's consent opens no column.
    pub without_consent: u64,
}

/// Why a data set was not sealed. What was sealed before is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The job contradicts itself or the declaration.
    #[error("the data set `{dataset}` cannot be sealed so: {reason}")]
    Job {
        /// The data set.
        dataset: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The owner's file is refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A part was not written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The manifest was not signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The folder cannot be written.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// Whoever seals did not want what would come of it.
    #[error("what would be sealed of the file was not wanted")]
    Unwanted,
}

/// Seals a data set. See the module for the steps.
///
/// # Errors
/// [`SealError`]; the folder then still holds what it held.
pub fn seal_dataset(
    job: SealJob<'_>,
    ring: &mut KeyRing,
    signer: &SigningKey,
    now: UnixTime,
    rng: &mut impl CryptoRng,
) -> Result<SealReport, SealError> {
    seal_dataset_if(job, ring, signer, now, rng, |_| true)
}

/// [`seal_dataset`], if whoever seals wants what would come of the file: nothing is written,
/// and no key made, before `wanted` has said so.
///
/// # Errors
/// [`SealError`], [`SealError::Unwanted`] among them; the folder then still holds what it held.
pub fn seal_dataset_if(
    job: SealJob<'_>,
    ring: &mut KeyRing,
    signer: &SigningKey,
    now: UnixTime,
    rng: &mut impl CryptoRng,
    wanted: impl FnOnce(&Outline) -> bool,
) -> Result<SealReport, SealError> {
    seal_dataset_keeping(job, ring, signer, now, rng, wanted, |_| Ok(()))
}

/// [`seal_dataset_if`], which hands the consents of a `purposes` column to `keep` before the
/// manifest takes its place: whatever goes wrong in between, the owner's other data sets are
/// never sealed by older consents than the newest manifest's.
///
/// # Errors
/// [`SealError`], what `keep` answers among them; the folder then still holds what it held.
pub fn seal_dataset_keeping(
    mut job: SealJob<'_>,
    ring: &mut KeyRing,
    signer: &SigningKey,
    now: UnixTime,
    rng: &mut impl CryptoRng,
    wanted: impl FnOnce(&Outline) -> bool,
    keep: impl FnOnce(&Consents) -> Result<(), LocalFileError>,
) -> Result<SealReport, SealError> {
    check_job(&job)?;
    let table = read_table(&mut job)?;
    let mut rows = Classified::of(table, &job);
    if !wanted(&outline(&rows)) {
        return Err(SealError::Unwanted);
    }
    ring.ensure_purpose_keys(
        &job.agreement_id,
        &job.spec.name,
        job.key_epoch,
        &rows.purposes(),
        rng,
    )?;
    let folder = Folder::open(job.out)?;
    let parts = write_parts(&job, &rows, &folder, ring, rng)?;
    let body = manifest_body(&job, parts, now);
    let signed = sign_message(signer, Format::Manifest, &body)?;
    let digest = manifest::digest_of(&signed.body);
    let said = rows.consents.take();
    let consents = said.map(|people| consents_of(&job, digest, people));
    consents.as_ref().map(keep).transpose()?;
    folder.publish(&signed, &body.parts)?;
    Ok(report(rows, &body.parts, digest, consents))
}

/// The consents that a data set says, under the manifest that it is sealed with.
fn consents_of(job: &SealJob<'_>, register: ManifestDigest, people: PersonClasses) -> Consents {
    let (id, epoch) = (job.agreement_id, job.matching_epoch);
    Consents::of_people(id, epoch, job.spec.name.clone(), register, people)
}

/// The register whose consents decide what is sealed; none where none does.
fn register(job: &SealJob<'_>) -> Option<ManifestDigest> {
    match job.consent {
        Consent::ByPerson(consents) if !job.spec.public => Some(consents.register()),
        _ => None,
    }
}

fn write_parts(
    job: &SealJob<'_>,
    rows: &Classified,
    folder: &Folder,
    ring: &KeyRing,
    rng: &mut impl CryptoRng,
) -> Result<Vec<wire::Part>, SealError> {
    let scope = PartScope {
        agreement_id: &job.agreement_id,
        dataset: &job.spec.name,
        version: job.version,
        key_epoch: job.key_epoch,
        ring,
    };
    let mut parts = Vec::new();
    for slice in rows.slices(job.partitions) {
        let rows = rows.part(job.spec, &slice).map_err(|_| PartError::Encode)?;
        parts.push(writer::write_part(folder.parts(), &scope, &rows, rng)?);
    }
    Ok(parts)
}

fn manifest_body(job: &SealJob<'_>, parts: Vec<wire::Part>, now: UnixTime) -> wire::Manifest {
    let columns = job.spec.stored_columns().map(manifest::sealed_column);
    let bytes = |digest: Option<ManifestDigest>| {
        digest.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec())
    };
    wire::Manifest {
        agreement_id: job.agreement_id.as_bytes().to_vec(),
        owner: job.spec.owner.to_string(),
        dataset: job.spec.name.to_string(),
        version: job.version,
        key_epoch: job.key_epoch,
        matching_epoch: job.matching_epoch.0,
        sealed_at: now.0,
        previous: bytes(job.previous),
        partitions: job.partitions,
        public: job.spec.public,
        columns: columns.map(|column| (&column).into()).collect(),
        parts,
        register: bytes(register(job)),
        own_consents: !job.spec.public && matches!(job.consent, Consent::Column),
        change: Change::Sealed.to_string(),
        revoked: (job.inherits.revoked.iter())
            .map(ToString::to_string)
            .collect(),
        removals: job.inherits.removals.iter().map(Into::into).collect(),
    }
}

pub(crate) fn outline(rows: &Classified) -> Outline {
    Outline {
        rows: rows.counts.rows,
        sealed: rows.len() as u64,
        people: rows.people(),
        without_pseudonym: rows.counts.without_pseudonym,
        without_consent: rows.without_consent,
    }
}

fn report(
    rows: Classified,
    parts: &[wire::Part],
    manifest: ManifestDigest,
    consents: Option<Consents>,
) -> SealReport {
    SealReport {
        rows: rows.counts.rows,
        sealed: rows.len() as u64,
        without_pseudonym: rows.counts.without_pseudonym,
        without_consent: rows.without_consent,
        repeats: rows.repeats,
        clamped: rows.counts.clamped,
        replaced: rows.counts.replaced,
        ignored: rows.counts.ignored,
        parts: parts.len(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        manifest,
        consents,
    }
}

pub(crate) fn check_job(job: &SealJob<'_>) -> Result<(), SealError> {
    let count = |ty| {
        job.spec
            .columns
            .iter()
            .filter(|column| column.ty == ty)
            .count()
    };
    let pseudonyms = count(ColumnType::Pseudonym);
    let purposes = count(ColumnType::Purposes);
    let by_column = matches!(job.consent, Consent::Column);
    let rules = [
        (
            (1..=MAX_PARTITIONS).contains(&job.partitions),
            "the number of partitions is out of range",
        ),
        (
            job.version >= 1 && (job.version == 1) == job.previous.is_none(),
            "version 1 has no predecessor, every other version names one",
        ),
        (
            job.spec.public || pseudonyms == 1,
            "it needs one `pseudonym` column (several id kinds are not supported yet), or `public = true`",
        ),
        (
            !job.spec.public || pseudonyms == 0 && purposes == 0,
            "a public data set has no people: take out its pseudonym and purposes columns",
        ),
        (
            job.spec.public || by_column == (purposes == 1) && purposes <= 1,
            "its consent comes from its own `purposes` column if, and only if, it has one",
        ),
        (
            consents_fit(job),
            "the consents are of another agreement or matching epoch: seal the data set with the `purposes` column first",
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(job_error(job, reason)),
        None => Ok(()),
    }
}

fn job_error(job: &SealJob<'_>, reason: &'static str) -> SealError {
    SealError::Job {
        dataset: job.spec.name.to_string(),
        reason,
    }
}

fn consents_fit(job: &SealJob<'_>) -> bool {
    match job.consent {
        Consent::ByPerson(consents) => {
            consents.agreement_id() == &job.agreement_id && consents.epoch() == job.matching_epoch
        }
        _ => true,
    }
}

pub(crate) fn read_table(job: &mut SealJob<'_>) -> Result<Table, SourceError> {
    let reading = Reading {
        spec: job.spec,
        id_column: job.id_column,
        people: job.people,
        purposes: job.purposes,
    };
    source::read(job.source, &reading, job.progress)
}
