//! New versions of a sealed data set that read no file of the owner's: other purposes, people
//! who withdraw consent or are forgotten, new keys.
//!
//! # Which parts are concerned
//! | asked for | parts rewritten, under new data keys and file ids | all other parts |
//! |---|---|---|
//! | a column serves one more purpose | none | wrapped for it too; a file without the column says so (`absent`) |
//! | a column serves a purpose no longer | those with a wrap that the new rules do not allow | wrapped anew |
//! | people withdraw consent, or are forgotten | those that have rows of them | wrapped anew |
//! | a purpose is revoked | none; parts that nothing else opens go | their wraps for it go |
//! | new keys | none, or all if the data keys are to be new | wrapped anew |
//!
//! Whatever takes rows or wraps away starts a new *key epoch*: the data keys that stay are
//! wrapped under new purpose keys, and the old purpose keys are destroyed. So whoever kept the
//! old files and the old manifest, with all its wraps, opens nothing with what the owner still
//! has. Copies of the key ring made before still open them.
//!
//! # Steps
//! 1. [`plan_rewrite`]: what becomes of each part. Reads pseudonyms where people are concerned,
//!    writes nothing.
//! 2. [`rewrite`]: makes missing purpose keys, durably; writes the new parts; signs the manifest;
//!    lets the caller keep what belongs to it (consents); renames it into its place; destroys
//!    the purpose keys that it left behind.
//!
//! # What a crash leaves
//! Until the manifest is renamed the folder is the old version, with some unnamed ciphertext
//! beside it; from then on it is the new one. Keys that were to be destroyed are destroyed by the
//! next command ([`destroy_superseded`]). No plaintext is ever written.

mod destroy;
mod few;
pub(crate) mod keys;
mod people;
mod plan;
mod rows;

use std::collections::BTreeMap;
use std::path::Path;

use incamera_keys::{KeyError, SigningKey, sign_message};
use incamera_types::{
    ColumnName, DatasetName, DatasetSpec, Date, Digest as _, FileId, ManifestDigest, PurposeName,
    PurposeSet, UnixTime,
};
use incamera_wire::{Format, v1 as wire};
use rand_core::CryptoRng;

pub use destroy::{destroy_all, destroy_superseded};
pub use people::Movement;
pub use plan::{Counts, RewritePlan, plan_rewrite};

use crate::folder::Folder;
use crate::local::LocalFileError;
use crate::manifest::{self, Change, Manifest, ManifestError, Removal, SignedManifest};
use crate::reader::{PartFileError, ReadError};
use crate::ring::{KeyRing, RingError};
use crate::writer::PartError;

/// What the next version of a sealed data set is to be.
pub struct RewriteJob<'a> {
    /// The version at hand.
    pub manifest: &'a SignedManifest,
    /// The folder of the sealed data set.
    pub folder: &'a Path,
    /// What the columns are from now on: the agreement's declaration, or
    /// [`Manifest::declared`] if they stay as they are.
    pub spec: &'a DatasetSpec,
    /// Purposes that open nothing from now on; those revoked before are among them.
    pub revoked: PurposeSet,
    /// Old names of purposes in consent classes, and the new ones.
    pub renamed: BTreeMap<PurposeName, PurposeName>,
    /// The register's manifest that the new version names.
    pub register: Option<ManifestDigest>,
    /// Whose rows change their consent class, or go.
    pub movement: Option<Movement<'a>>,
    /// Which keys are made anew, whether or not anything is taken away.
    pub anew: Anew,
    /// People that a consent class needs, where rows move or go: those of a smaller one are
    /// written in one with fewer purposes, as when they are sealed. 1 leaves classes as they are.
    pub class_people: u64,
    /// Rows that move into one class and partition from which on there is another part.
    pub part_rows: u64,
    /// What makes the version.
    pub change: Change,
    /// Hears how many parts were looked at or written so far.
    pub progress: &'a dyn Fn(u64),
}

/// Which keys are made anew in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// None.
    Nothing,
    /// Purpose keys: every data key is wrapped anew.
    PurposeKeys,
    /// Data keys too: every part is encrypted anew.
    DataKeys,
}

/// Why there is no new version. What was sealed before is as it was, unless said otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The sealed parts cannot be brought to the declaration.
    #[error("the parts of `{dataset}` cannot be brought to the declaration: {what}")]
    Unfit {
        /// The data set.
        dataset: DatasetName,
        /// What stands in the way.
        what: &'static str,
    },
    /// Another version took the place of the one at hand meanwhile.
    #[error("another version of `{dataset}` was sealed meanwhile")]
    Overtaken {
        /// The data set.
        dataset: DatasetName,
    },
    /// The key ring lacks purpose keys that the manifest's wraps need.
    #[error(
        "the key ring lacks purpose keys of `{dataset}` in key epoch {key_epoch}: they were destroyed, or this is another party's ring, or an older one"
    )]
    NoPurposeKey {
        /// The data set.
        dataset: DatasetName,
        /// The key epoch of the manifest.
        key_epoch: u32,
    },
    /// A wrap does not open, or its key is not the one committed to.
    #[error("a wrapped key of part `{file_id}` of `{dataset}` was changed or moved")]
    Tampered {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
    },
    /// A part's file is not there, or not the one that the manifest names.
    #[error(transparent)]
    PartFile(#[from] PartFileError),
    /// A part does not open.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A part was not written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The manifest would be one that nobody takes.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest was not signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The folder cannot be read or written.
    #[error(transparent)]
    File(#[from] LocalFileError),
    /// The new version is in its place, and the old purpose keys are still in the ring.
    #[error("the new version of `{dataset}` is in its place, but old purpose keys are still there")]
    NotDestroyed {
        /// The data set.
        dataset: DatasetName,
        /// Why.
        #[source]
        source: RingError,
    },
}

/// What came of it, for the owner's eyes only: it has exact counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewritten {
    /// The new version.
    pub version: u64,
    /// Its manifest's digest.
    pub manifest: ManifestDigest,
    /// Its key epoch.
    pub key_epoch: u32,
    /// Parts written.
    pub parts_written: usize,
    /// Purpose keys destroyed.
    pub keys_destroyed: usize,
}

/// Makes the version that `plan` is of. See the module for the steps. `keep` hears the new
/// manifest's digest before it takes its place.
///
/// # Errors
/// [`RewriteError`]; the folder then holds what it held, but for
/// [`RewriteError::NotDestroyed`].
pub fn rewrite(
    job: &RewriteJob<'_>,
    plan: &RewritePlan,
    ring: &mut KeyRing,
    signer: &SigningKey,
    now: UnixTime,
    rng: &mut impl CryptoRng,
    keep: impl FnOnce(ManifestDigest) -> Result<(), LocalFileError>,
) -> Result<Rewritten, RewriteError> {
    let old = job.manifest.manifest();
    let folder = Folder::open(job.folder)?;
    still_newest(job)?;
    let (id, epoch) = (old.agreement_id(), plan.key_epoch());
    ring.ensure_purpose_keys(id, old.dataset(), epoch, &plan.purposes(), rng)?;
    let mut writing = rows::Writing::new(job, plan, ring, folder.parts());
    let parts = writing.parts(rng)?;
    let parts_written = writing.written();
    let body = body(job, plan, parts, now);
    let signed = sign_message(signer, Format::Manifest, &body)?;
    // A manifest that its readers refuse never takes the place of one that they take.
    let new = Manifest::parse(&signed.body)?;
    keep(new.digest())?;
    folder.publish(&signed)?;
    let destroyed = destroy::destroy_left(ring, &new);
    let keys_destroyed = destroyed.map_err(|source| RewriteError::NotDestroyed {
        dataset: old.dataset().clone(),
        source,
    })?;
    Ok(Rewritten {
        version: new.version(),
        manifest: new.digest(),
        key_epoch: new.key_epoch(),
        parts_written,
        keys_destroyed,
    })
}

/// Whether the manifest at hand is still the one in the folder, which is locked.
fn still_newest(job: &RewriteJob<'_>) -> Result<(), RewriteError> {
    let path = job.folder.join(crate::sealing::MANIFEST_FILE);
    let signed = manifest::read_manifest_file(&path)?;
    match manifest::digest_of(&signed.body) == job.manifest.digest() {
        true => Ok(()),
        false => Err(RewriteError::Overtaken {
            dataset: job.manifest.dataset().clone(),
        }),
    }
}

fn body(
    job: &RewriteJob<'_>,
    plan: &RewritePlan,
    parts: Vec<wire::Part>,
    now: UnixTime,
) -> wire::Manifest {
    let old = job.manifest.manifest();
    let version = old.version() + 1;
    let columns = job.spec.stored_columns().map(manifest::sealed_column);
    wire::Manifest {
        agreement_id: old.agreement_id().as_bytes().to_vec(),
        owner: old.owner().to_string(),
        dataset: old.dataset().to_string(),
        version,
        key_epoch: plan.key_epoch(),
        matching_epoch: old.matching_epoch().0,
        matching_runs: manifest::to_wire(old.matching_runs()),
        last_day: old.last_day().map(Date::days),
        sealed_at: now.0,
        previous: old.digest().as_bytes().to_vec(),
        partitions: old.partitions(),
        public: false,
        columns: columns.map(|column| (&column).into()).collect(),
        parts,
        register: manifest::digest_bytes(job.register),
        own_consents: old.own_consents(),
        change: plan.change().to_string(),
        revoked: job.revoked.iter().map(ToString::to_string).collect(),
        removals: removals(job, plan, version)
            .iter()
            .map(Into::into)
            .collect(),
        restored: manifest::restorations(&restored(job), &job.revoked),
        agreement_digest: manifest::digest_bytes(old.agreement_digest()),
    }
}

/// Purposes given back, by the names that they have now.
fn restored(job: &RewriteJob<'_>) -> BTreeMap<PurposeName, u64> {
    let mut restored = BTreeMap::new();
    for (old, version) in job.manifest.restored() {
        let name = job.renamed.get(old).unwrap_or(old).clone();
        let at: &mut u64 = restored.entry(name).or_default();
        *at = (*version).max(*at);
    }
    restored
}

/// The removals so far, and this version where it is one.
fn removals(job: &RewriteJob<'_>, plan: &RewritePlan, version: u64) -> Vec<Removal> {
    let mut removals = job.manifest.removals().to_vec();
    let change = plan.change();
    if change.removes().unwrap_or(plan.removes()) {
        removals.push(Removal { version, change });
    }
    manifest::last_of(removals)
}

/// In how many parts a column is absent, of how many that could have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Parts without it.
    pub without: usize,
    /// Parts whose consent class could open it.
    pub of: usize,
}

/// Columns that are absent in some part.
pub type Lacking = BTreeMap<ColumnName, Coverage>;
