//! Sealing a data set: from an owner's files to a folder of ciphertext and a signed manifest.
//!
//! # Steps
//! 1. Read the files against the agreement, on all cores; look up each row's pseudonym and
//!    consent class.
//! 2. Sort rows by class and pseudonym; what does not fit into the memory that the owner allows
//!    goes to the disk, encrypted under a key that is nowhere else.
//! 3. Merge classes of few people into lower ones; ask whether what would come of it is wanted.
//! 4. Make missing purpose keys, durably.
//! 5. Write parts, several at once, cut at the partitions' fixed borders and at a stated size,
//!    each encrypted under a new random file id.
//! 6. Sign the manifest, have the consents kept, rename it into its place; then remove parts that
//!    it does not name, and destroy the purpose keys of key epochs before.
//!
//! # Keys
//! A sealing that takes the version before's place starts a new key epoch, whatever it takes
//! away or adds: an old copy of parts and manifest opens under nothing that the ring still has,
//! and keys that somebody took along wrap nothing of the new version. Only added rows are wrapped
//! under the keys at hand.
//!
//! # What a crash leaves
//! The manifest is the one thing that is replaced, and it is replaced at once: before step 6
//! the folder is the old version with some unnamed ciphertext beside it, which the next sealing
//! removes. No plaintext is ever written. Keys that were to be destroyed are destroyed by the
//! next command on the data set ([`destroy_superseded`]).
//!
//! # Appending
//! The parts of the version before stay as they are, byte for byte, and the new manifest names
//! them beside the new ones. Columns that the agreement has since are absent from them; anything
//! else that they would have to be written anew for is refused.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use incamera_keys::{KeyError, SigningKey, sign_message};
use incamera_types::limits::{MAX_PART_BYTES, MAX_PARTITIONS};
use incamera_types::{
    AgreementDigest, AgreementId, ColumnName, ColumnType, DatasetName, DatasetSpec, Date,
    Digest as _, FileId, IdKind, ManifestDigest, MatchingEpoch, Pseudonym, PurposeName, PurposeSet,
    UnixTime,
};
use incamera_wire::{Format, v1 as wire};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use zeroize::Zeroizing;

use crate::append;
use crate::consents::Consents;
use crate::few::SmallClasses;
use crate::folder::Folder;
use crate::inherited::Inherited;
use crate::lanes::{self, Feed};
use crate::local::LocalFileError;
use crate::manifest::{
    self, Change, Manifest, ManifestError, MatchingRuns, SignedManifest, digest_bytes,
};
use crate::merge::PartLimit;
use crate::ordered::{Ordered, Unit, read_in_order};
use crate::repeats::Repeats;
use crate::rewrite::destroy_superseded;
use crate::ring::{KeyRing, RingError};
use crate::said::Said;
use crate::source::{Source, SourceError};
use crate::writer::{self, PartError, PartScope, WrittenPart};

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

/// What to seal, and how.
pub struct SealJob<'a> {
    /// The data set as the agreement declares it.
    pub spec: &'a DatasetSpec,
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The digest of the agreement's version that `spec` is of.
    pub agreement_digest: AgreementDigest,
    /// The version to make, from 1.
    pub version: u64,
    /// The digest of the version before; none for version 1.
    pub previous: Option<ManifestDigest>,
    /// The version before, where its parts stay and what is sealed is added to them.
    pub append_to: Option<&'a SignedManifest>,
    /// The key epoch to wrap with. Where rows are not added to the version
    /// before but take its rows' place, the ring's next one if that is later: keys are new then.
    pub key_epoch: u32,
    /// What the version before hands on.
    pub inherits: Inherited,
    /// The matching epoch of the pseudonyms.
    pub matching_epoch: MatchingEpoch,
    /// The runs that made the pseudonyms, where each run makes others.
    pub matching_runs: MatchingRuns,
    /// The last day on which all of these pseudonyms count, where they have one.
    pub last_day: Option<Date>,
    /// Slices of the pseudonym space.
    pub partitions: u32,
    /// Every leaf purpose of the agreement.
    pub purposes: &'a PurposeSet,
    /// The leaves of each purpose that is none itself: for what files say of their columns.
    pub branches: &'a BTreeMap<PurposeName, PurposeSet>,
    /// Old names of purposes, and the leaves that consents to them count for.
    pub renamed: &'a BTreeMap<PurposeName, PurposeName>,
    /// The owner's files.
    pub source: &'a Source,
    /// The column with raw ids, where it is not named like the pseudonym column's id kind.
    pub id_column: Option<&'a str>,
    /// Whose row it is, by the raw id: the pseudonym, or the owner's own key. Normalises first,
    /// if the kind needs it.
    pub people: &'a (dyn Fn(&str) -> Option<Pseudonym> + Sync),
    /// The pseudonym of a raw id of a kind, where a register has several: [`no_kinds`] where it
    /// has not.
    pub kinds: Kinds<'a>,
    /// Where consent comes from; not asked for a public data set.
    pub consent: Consent<'a>,
    /// The folder of the sealed data set: new, or of the version before.
    pub out: &'a Path,
    /// How much memory, how large parts, how small classes.
    pub limits: SealLimits,
    /// Hears how far it is.
    pub progress: &'a mut dyn FnMut(Step),
}

/// Bytes of columns in memory from which on there is another part.
pub(crate) const ENOUGH_BYTES: u64 = MAX_PART_BYTES / 2;

/// How far sealing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// So many rows are read.
    Read(u64),
    /// So many rows of so many are sealed.
    Sealed(u64, u64),
}

/// How sealing goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealLimits {
    /// Bytes of rows that are held in memory; further rows go to the disk, encrypted.
    pub memory_bytes: u64,
    /// Rows of one class and partition from which on there is another part.
    pub part_rows: u64,
    /// People that a consent class needs: rows of a smaller one are sealed as one with fewer
    /// purposes. 1 leaves classes as they are.
    pub class_people: u64,
}

impl Default for SealLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            part_rows: 4_000_000,
            class_people: 10,
        }
    }
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
    /// What became of classes of few people.
    pub small_classes: SmallClasses,
    /// People whom the register, where this is it, names more than once.
    pub repeats: Repeats,
    /// Numbers brought into the agreement's range, by column.
    pub clamped: BTreeMap<ColumnName, u64>,
    /// Texts outside the agreement's list, made null or replaced, by column.
    pub replaced: BTreeMap<ColumnName, u64>,
    /// Readings of the clocks that came twice, when these were put back, by column: taken as the
    /// first time.
    pub twice: BTreeMap<ColumnName, u64>,
    /// Readings that never were, when clocks were put forward, by column: moved on by as much.
    pub skipped: BTreeMap<ColumnName, u64>,
    /// Columns of the file that the agreement does not have.
    pub ignored: Vec<String>,
    /// Parts that were there and stay.
    pub parts_kept: usize,
    /// Parts written.
    pub parts: usize,
    /// Bytes of the parts written.
    pub bytes: u64,
    /// Purpose keys of earlier key epochs destroyed.
    pub keys_destroyed: usize,
    /// The new version's key epoch.
    pub key_epoch: u32,
    /// The last day on which the new version is used, where it has one.
    pub last_day: Option<Date>,
    /// The new manifest's digest.
    pub manifest: ManifestDigest,
    /// The consents that the data set's `purposes` column holds, where it has one: for the
    /// owner's other data sets.
    pub consents: Option<Consents>,
}

/// What would come of a file, before anything is written. For the owner's eyes only: it has
/// exact counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What would become of classes of few people.
    pub small_classes: SmallClasses,
}

/// The pseudonyms of raw ids of several kinds.
pub type Kinds<'a> = &'a (dyn Fn(&IdKind, &str) -> Option<Pseudonym> + Sync);

/// Of a data set whose rows are of one kind's pseudonyms, or nobody's: nothing is asked for.
#[must_use]
pub fn no_kinds(_: &IdKind, _: &str) -> Option<Pseudonym> {
    None
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
    /// The rows cannot stand beside those of the version before.
    #[error("no rows can be added to `{dataset}` as it is sealed: {reason}")]
    NotAdded {
        /// The data set.
        dataset: DatasetName,
        /// What is in the way.
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
    /// What would have been published is no manifest; a defect of this program.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder cannot be written.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// The new version is in its place, and purpose keys of the one before are still in the ring.
    #[error("the new version of `{dataset}` is in its place, but old purpose keys are still there")]
    NotDestroyed {
        /// The data set.
        dataset: DatasetName,
        /// Why.
        #[source]
        source: RingError,
    },
    /// Whoever seals did not want what would come of it.
    #[error("what would be sealed of the file was not wanted")]
    Unwanted,
}

/// Seals a data set. See the module for the steps.
///
/// # Errors
/// [`SealError`]; the folder then still holds what it held, but for
/// [`SealError::NotDestroyed`].
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
    let wanted = |outline: &Outline, _: Said<'_>| wanted(outline);
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
    wanted: impl FnOnce(&Outline, Said<'_>) -> bool,
    keep: impl FnOnce(&Consents) -> Result<(), LocalFileError>,
) -> Result<SealReport, SealError> {
    check_job(&job)?;
    job.key_epoch = key_epoch(&job, ring)?;
    append::check(&job)?;
    append::check_ring(&job, ring)?;
    let seeds = ChaCha20Rng::from_seed(*seed(rng));
    let mut rows = read_in_order(&mut job, Some(seeds))?;
    if !wanted(rows.outline(), Said::new(&rows, job.renamed)) {
        return Err(SealError::Unwanted);
    }
    ring.ensure_purpose_keys(
        &job.agreement_id,
        &job.spec.name,
        job.key_epoch,
        &rows.purposes(),
        rng,
    )?;
    let folder = match rows.folder.take() {
        Some(folder) => folder,
        None => Folder::open(job.out)?,
    };
    let written = write_parts(&mut job, &rows, &folder, ring, rng)?;
    let count = written.len();
    let bytes = written.iter().map(|part| part.bytes).sum();
    let body = manifest_body(&job, append::beside(&job, written)?, now);
    let signed = sign_message(signer, Format::Manifest, &body)?;
    // What others would refuse takes nothing's place.
    let new = Manifest::parse(&signed.body)?;
    let digest = new.digest();
    let consents = rows.said().map(|people| {
        let (id, epoch) = (job.agreement_id, job.matching_epoch);
        Consents::of_people(id, epoch, job.spec.name.clone(), digest, people)
    });
    consents.as_ref().map(keep).transpose()?;
    folder.publish(&signed)?;
    let destroyed = destroy_superseded(ring, &new);
    let keys_destroyed = destroyed.map_err(|source| SealError::NotDestroyed {
        dataset: job.spec.name.clone(),
        source,
    })?;
    Ok(SealReport {
        keys_destroyed,
        key_epoch: new.key_epoch(),
        last_day: new.last_day(),
        parts_kept: body.parts.len() - count,
        parts: count,
        bytes,
        manifest: digest,
        consents,
        ..rows.report()
    })
}

/// The key epoch of the new version: what takes the place of other rows is wrapped under keys
/// that the ring does not have yet.
fn key_epoch(job: &SealJob<'_>, ring: &KeyRing) -> Result<u32, SealError> {
    if job.append_to.is_some() {
        return Ok(job.key_epoch);
    }
    let before = job.key_epoch.saturating_sub(1);
    ring.next_key_epoch(&job.agreement_id, &job.spec.name, before)
        .ok_or_else(|| job_error(job, "no key epoch is left"))
}

/// For work on another core.
fn seed(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    seed
}

/// The register whose consents decide what is sealed; none where none does.
pub(crate) fn register(job: &SealJob<'_>) -> Option<ManifestDigest> {
    match job.consent {
        Consent::ByPerson(consents) if !job.spec.public => Some(consents.register()),
        _ => None,
    }
}

/// Files are written on all cores, keys wrapped on this one: a ring may be a token.
fn write_parts(
    job: &mut SealJob<'_>,
    rows: &Ordered,
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
    let limit = PartLimit {
        rows: job.limits.part_rows.max(1),
        bytes: ENOUGH_BYTES,
    };
    let mut units = Units {
        left: rows.units().into_iter(),
        scope,
        rng,
        parts: Vec::new(),
        sealed: 0,
        of: rows.outline().sealed,
        progress: &mut *job.progress,
        rows: PhantomData,
    };
    lanes::in_order(&mut units, |(unit, seed): (Unit, Zeroizing<[u8; 32]>)| {
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let written = rows.write(folder.parts(), &unit, limit, &mut rng)?;
        Ok((written, unit.rows))
    })?;
    Ok(units.parts)
}

/// What is written, unit by unit. Files are of rows that live for `'w`.
struct Units<'u, 'w, R> {
    left: std::vec::IntoIter<Unit>,
    scope: PartScope<'u>,
    rng: &'u mut R,
    parts: Vec<wire::Part>,
    sealed: u64,
    of: u64,
    progress: &'u mut dyn FnMut(Step),
    rows: PhantomData<&'w ()>,
}

impl<'w, R: CryptoRng> Feed for Units<'_, 'w, R> {
    type Item = (Unit, Zeroizing<[u8; 32]>);
    type Done = Result<(Vec<WrittenPart<'w>>, u64), SealError>;
    type Error = SealError;

    fn next(&mut self) -> Result<Option<Self::Item>, SealError> {
        Ok(self.left.next().map(|unit| (unit, seed(self.rng))))
    }

    fn take(&mut self, done: Self::Done) -> Result<(), SealError> {
        let (written, rows) = done?;
        for part in written {
            self.parts.push(part.wrapped(&self.scope, self.rng)?);
        }
        self.sealed += rows;
        (self.progress)(Step::Sealed(self.sealed.min(self.of), self.of));
        Ok(())
    }
}

fn manifest_body(job: &SealJob<'_>, parts: Vec<wire::Part>, now: UnixTime) -> wire::Manifest {
    let columns = job.spec.stored_columns().map(manifest::sealed_column);
    let agreement_digest = match job.append_to {
        Some(before) => before.agreement_digest(),
        None => Some(job.agreement_digest),
    };
    wire::Manifest {
        agreement_id: job.agreement_id.as_bytes().to_vec(),
        owner: job.spec.owner.to_string(),
        dataset: job.spec.name.to_string(),
        version: job.version,
        key_epoch: job.key_epoch,
        matching_epoch: job.matching_epoch.0,
        matching_runs: manifest::to_wire(&job.matching_runs),
        last_day: last_day(job).map(Date::days),
        sealed_at: now.0,
        previous: digest_bytes(job.previous),
        partitions: job.partitions,
        public: job.spec.public,
        columns: columns.map(|column| (&column).into()).collect(),
        parts,
        register: digest_bytes(register(job)),
        own_consents: !job.spec.public && matches!(job.consent, Consent::Column),
        change: match job.append_to {
            Some(_) => Change::Appended.to_string(),
            None => Change::Sealed.to_string(),
        },
        revoked: (job.inherits.revoked.iter())
            .map(ToString::to_string)
            .collect(),
        removals: job.inherits.removals.iter().map(Into::into).collect(),
        restored: manifest::restorations(&job.inherits.restored, &job.inherits.revoked),
        agreement_digest: digest_bytes(agreement_digest),
    }
}

/// The day after which the new version is not used: the earlier, beside rows that stay.
fn last_day(job: &SealJob<'_>) -> Option<Date> {
    let before = job.append_to.and_then(|before| before.last_day());
    before.into_iter().chain(job.last_day).min()
}

pub(crate) fn check_job(job: &SealJob<'_>) -> Result<(), SealError> {
    let count = |ty| {
        job.spec
            .columns
            .iter()
            .filter(|column| column.ty == ty)
            .count()
    };
    let (pseudonyms, own) = (count(ColumnType::Pseudonym), count(ColumnType::Person));
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
            job.spec.public || own == 1 || own == 0 && pseudonyms == 1,
            "it needs one `person` column, or without one a `pseudonym` column, or `public = true`",
        ),
        (
            !job.spec.public || pseudonyms == 0 && own == 0 && purposes == 0,
            "a public data set has no people: take out its person, pseudonym and purposes columns",
        ),
        (
            job.spec.public || by_column == (purposes == 1) && purposes <= 1,
            "its consent comes from its own `purposes` column if, and only if, it has one",
        ),
        (
            !job.spec.public || job.last_day.is_none(),
            "a public data set has no people whose ids could end: it has no last day",
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

pub(crate) fn job_error(job: &SealJob<'_>, reason: &'static str) -> SealError {
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
