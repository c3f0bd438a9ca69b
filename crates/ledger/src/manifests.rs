//! The newest manifest of each data set.

use incamera_types::{
    AgreementDigest, AgreementId, DatasetName, Digest as _, ManifestDigest, UnixTime,
};
use incamera_wire::Format;
use incamera_wire::v1::LogEntry;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::store::{Ledger, begin, blob, digest, int, number};
use crate::{LedgerError, log};

/// A manifest to register.
#[derive(Clone, Copy, Debug)]
pub struct NewManifest<'a> {
    /// The agreement that it is sealed under.
    pub agreement: AgreementId,
    /// The data set.
    pub dataset: &'a DatasetName,
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: ManifestDigest,
    /// The digest of the version before, as it names it.
    pub previous: Option<ManifestDigest>,
    /// The signed message, as it came.
    pub signed: &'a [u8],
    /// The version of the agreement that counts at the owner now.
    pub agreement_digest: AgreementDigest,
    /// Which of the last versions took something away, the newest last.
    pub removals: &'a [Removed<'a>],
}

/// A version of a data set that took rows or keys away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed<'a> {
    /// The version.
    pub version: u64,
    /// What it did, in a word; never about whom.
    pub what: &'a str,
}

/// The newest manifest of a data set.
#[derive(Clone, PartialEq, Eq)]
pub struct NewestManifest {
    /// The data set.
    pub dataset: DatasetName,
    /// Its version.
    pub version: u64,
    /// Its digest.
    pub digest: ManifestDigest,
    /// The signed message.
    pub signed: Vec<u8>,
}

impl std::fmt::Debug for NewestManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewestManifest({}, {})", self.dataset, self.version)
    }
}

/// What registering did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// The manifest is the newest now; seeds of what it supersedes are erased.
    New,
    /// It was registered before: nothing changed.
    Known,
}

impl Ledger {
    /// Makes a manifest the newest of its data set. Seeds and reservations of requests that
    /// name the manifest before it are erased: its requests are refused from now on. What was
    /// taken away since that one, here or in versions that never came here, goes into the log.
    ///
    /// # Errors
    /// [`LedgerError::ManifestOld`], [`LedgerError::ManifestConflict`],
    /// [`LedgerError::ManifestFork`].
    pub fn register_manifest(
        &mut self,
        manifest: &NewManifest<'_>,
        now: UnixTime,
    ) -> Result<Registered, LedgerError> {
        let tx = begin(&mut self.connection)?;
        let newest = newest(&tx, &manifest.agreement, manifest.dataset)?;
        if let Some(newest) = &newest {
            if order(manifest, newest)? == Registered::Known {
                return Ok(Registered::Known);
            }
            tx.execute(
                "DELETE FROM seeds WHERE request IN
                 (SELECT request FROM seed_manifests WHERE manifest = ?1)",
                [blob(&newest.digest)],
            )?;
            log::note_all(&tx, &manifest.agreement, &deletions(manifest, newest, now))?;
        }
        put(&tx, manifest, now)?;
        tx.commit()?;
        Ok(Registered::New)
    }

    /// The newest manifest of a data set.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn newest_manifest(
        &self,
        agreement: &AgreementId,
        dataset: &DatasetName,
    ) -> Result<Option<NewestManifest>, LedgerError> {
        newest(&self.connection, agreement, dataset)
    }

    /// The newest manifests under an agreement, in order of data set name.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn newest_manifests(
        &self,
        agreement: &AgreementId,
    ) -> Result<Vec<NewestManifest>, LedgerError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT dataset FROM manifests WHERE agreement_id = ?1 ORDER BY dataset",
        )?;
        let names = statement.query_map([blob(agreement)], |row| row.get::<_, String>(0))?;
        let mut manifests = Vec::new();
        for name in names {
            let dataset = name?.parse().map_err(|_| LedgerError::NotALedger)?;
            manifests.extend(self.newest_manifest(agreement, &dataset)?);
        }
        Ok(manifests)
    }
}

fn order(offered: &NewManifest<'_>, newest: &NewestManifest) -> Result<Registered, LedgerError> {
    let dataset = offered.dataset.clone();
    let version = offered.version;
    if version < newest.version {
        let newest = newest.version;
        return Err(LedgerError::ManifestOld {
            dataset,
            version,
            newest,
        });
    }
    if version == newest.version.saturating_add(1) && offered.previous != Some(newest.digest) {
        let newest = newest.version;
        return Err(LedgerError::ManifestFork {
            dataset,
            version,
            newest,
        });
    }
    match (version == newest.version, offered.digest == newest.digest) {
        (true, true) => Ok(Registered::Known),
        (true, false) => Err(LedgerError::ManifestConflict { dataset, version }),
        _ => Ok(Registered::New),
    }
}

/// The entries of what versions after `newest` took away. They say which data set, and not a
/// word of whose rows or how many.
fn deletions(manifest: &NewManifest<'_>, newest: &NewestManifest, now: UnixTime) -> Vec<Vec<u8>> {
    let entry = |removed: &Removed<'_>| {
        incamera_wire::encode(&LogEntry {
            format: Format::LogEntry.as_str().to_owned(),
            event: log::DELETION.to_owned(),
            agreement_id: manifest.agreement.as_bytes().to_vec(),
            agreement_digest: manifest.agreement_digest.as_bytes().to_vec(),
            at: now.0,
            dataset: manifest.dataset.to_string(),
            manifest_before: newest.digest.as_bytes().to_vec(),
            manifest: manifest.digest.as_bytes().to_vec(),
            what: removed.what.to_owned(),
            ..LogEntry::default()
        })
    };
    let later = |removed: &&Removed<'_>| removed.version > newest.version;
    manifest.removals.iter().filter(later).map(entry).collect()
}

fn put(tx: &Transaction<'_>, manifest: &NewManifest<'_>, now: UnixTime) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT OR REPLACE INTO manifests
         (agreement_id, dataset, version, digest, signed, registered_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            blob(&manifest.agreement),
            manifest.dataset.as_str(),
            int(manifest.version)?,
            blob(&manifest.digest),
            manifest.signed,
            int(now.0)?,
        ],
    )?;
    Ok(())
}

pub(crate) fn newest(
    connection: &Connection,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<NewestManifest>, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT version, digest, signed FROM manifests
         WHERE agreement_id = ?1 AND dataset = ?2",
    )?;
    let row = statement.query_row(params![blob(agreement), dataset.as_str()], |row| {
        Ok(NewestManifest {
            dataset: dataset.clone(),
            version: number(row, 0)?,
            digest: digest(row, 1)?,
            signed: row.get(2)?,
        })
    });
    Ok(row.optional()?)
}
