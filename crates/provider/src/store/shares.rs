//! Shares of keys: the one that counts, and one that waits until all have signed.

use incamera_types::Digest as _;
use rusqlite::{OptionalExtension as _, params};

use super::{Matter, Store, StoreError, int, number};

/// A share as it is kept: sealed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The number of its key statement.
    pub(crate) number: u64,
    pub(crate) place: u16,
    pub(crate) sealed: Vec<u8>,
    /// The key statement: the file with all signatures, or, of a share that waits, its body.
    pub(crate) statement: Vec<u8>,
}

impl Store {
    /// The share that counts.
    pub(crate) fn share(&self, matter: &Matter) -> Result<Option<Kept>, StoreError> {
        self.kept(matter, false)
    }

    /// The share whose statement not all have signed.
    pub(crate) fn waiting_share(&self, matter: &Matter) -> Result<Option<Kept>, StoreError> {
        self.kept(matter, true)
    }

    fn kept(&self, matter: &Matter, waits: bool) -> Result<Option<Kept>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT number, place, sealed, statement FROM shares
             WHERE agreement_id = ?1 AND epoch = ?2 AND waits = ?3",
        )?;
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let kept = select.query_row(params![id, epoch, waits], |row| {
            Ok(Kept {
                number: number(row, 0)?,
                place: row.get(1)?,
                sealed: row.get(2)?,
                statement: row.get(3)?,
            })
        });
        Ok(kept.optional()?)
    }

    /// Keeps a share beside the one that counts; one that waited before is overwritten.
    pub(crate) fn keep_waiting(&mut self, matter: &Matter, kept: &Kept) -> Result<(), StoreError> {
        let tx = self.begin()?;
        tx.execute(
            "INSERT OR REPLACE INTO shares
             (agreement_id, epoch, waits, number, place, sealed, statement)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6)",
            params![
                matter.agreement_id.as_bytes(),
                matter.epoch.0,
                int(kept.number)?,
                kept.place,
                kept.sealed,
                kept.statement
            ],
        )?;
        tx.commit()?;
        Ok(())
    }

    /// The share that waits becomes the one that counts, under the statement that all have
    /// signed; the one before is overwritten.
    pub(crate) fn take_over(&mut self, matter: &Matter, file: &[u8]) -> Result<(), StoreError> {
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let tx = self.begin()?;
        tx.execute(
            "DELETE FROM shares WHERE agreement_id = ?1 AND epoch = ?2 AND waits = 0",
            params![id, epoch],
        )?;
        tx.execute(
            "UPDATE shares SET waits = 0, statement = ?3
             WHERE agreement_id = ?1 AND epoch = ?2 AND waits = 1",
            params![id, epoch, file],
        )?;
        tx.commit()?;
        Ok(())
    }

    /// The statements of all keys that count, with what they are of.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn statements(&self) -> Result<Vec<(Matter, Vec<u8>)>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT agreement_id, epoch, statement FROM shares WHERE waits = 0
             ORDER BY agreement_id, epoch",
        )?;
        let rows = select.query_map([], |row| {
            let matter = Matter {
                agreement_id: incamera_types::AgreementId::from_bytes(row.get(0)?),
                epoch: incamera_types::MatchingEpoch(row.get(1)?),
            };
            Ok((matter, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
