//! The highest version of each agreement that was ever in force here.

use incamera_types::AgreementId;
use rusqlite::{OptionalExtension as _, params};

use crate::LedgerError;
use crate::store::{Ledger, begin, blob, int, number};

impl Ledger {
    /// Remembers that version `seen` is in force, and gives the highest that ever was: an
    /// older one stays superseded though the newer file or a signature of it is gone.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn highest_version(
        &mut self,
        agreement: &AgreementId,
        seen: u64,
    ) -> Result<u64, LedgerError> {
        let known: Option<u64> = self
            .connection
            .prepare_cached("SELECT version FROM versions WHERE agreement_id = ?1")?
            .query_row([blob(agreement)], |row| number(row, 0))
            .optional()?;
        if let Some(known) = known.filter(|known| *known >= seen) {
            return Ok(known);
        }
        let tx = begin(&mut self.connection)?;
        tx.execute(
            "INSERT INTO versions (agreement_id, version) VALUES (?1, ?2)
             ON CONFLICT (agreement_id) DO UPDATE SET version = max(version, excluded.version)",
            params![blob(agreement), int(seen)?],
        )?;
        tx.commit()?;
        Ok(seen)
    }
}
