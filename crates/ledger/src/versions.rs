//! The highest version of each agreement that was ever in force here.

use incamera_types::{AgreementDigest, AgreementId, Digest as _, Highest};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::LedgerError;
use crate::store::{Ledger, begin, blob, int, number};

impl Ledger {
    /// Remembers that the file `digest`, version `seen`, is in force, and gives the highest
    /// that ever was: an older one stays superseded though the newer file or a signature of it
    /// is gone, and another file of that version does not take its place.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn highest_version(
        &mut self,
        agreement: &AgreementId,
        seen: u64,
        digest: &AgreementDigest,
    ) -> Result<Highest, LedgerError> {
        let settled = |known: &Highest| {
            known.version > seen || known.version == seen && known.digest.is_some()
        };
        if let Some(known) = read(&self.connection, agreement)?.filter(settled) {
            return Ok(known);
        }
        let tx = begin(&mut self.connection)?;
        tx.execute(
            "INSERT INTO versions (agreement_id, version, digest) VALUES (?1, ?2, ?3)
             ON CONFLICT (agreement_id) DO UPDATE
             SET version = excluded.version, digest = excluded.digest
             WHERE excluded.version > version OR excluded.version = version AND digest IS NULL",
            params![blob(agreement), int(seen)?, blob(digest)],
        )?;
        let highest = read(&tx, agreement)?;
        tx.commit()?;
        highest.ok_or(LedgerError::Range)
    }
}

fn read(connection: &Connection, agreement: &AgreementId) -> Result<Option<Highest>, LedgerError> {
    let highest = connection
        .prepare_cached("SELECT version, digest FROM versions WHERE agreement_id = ?1")?
        .query_row([blob(agreement)], |row| {
            let digest: Option<[u8; 32]> = row.get(1)?;
            Ok(Highest {
                version: number(row, 0)?,
                digest: digest.map(AgreementDigest::from_bytes),
            })
        });
    Ok(highest.optional()?)
}
