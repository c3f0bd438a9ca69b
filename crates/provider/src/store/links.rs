//! Links, as their sources sealed them.

use incamera_types::{Date, Digest as _, LinkLabel, PartyName, PurposeName};
use rusqlite::params;

use super::{Matter, Store, StoreError, int, name, number};

/// A link as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredLink {
    pub(crate) label: LinkLabel,
    pub(crate) purpose: PurposeName,
    pub(crate) expires: Date,
    pub(crate) source: PartyName,
    pub(crate) value: Vec<u8>,
}

/// How many links a source stores, for the provider's own people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLinks {
    /// Of what.
    pub matter: Matter,
    /// Whose.
    pub source: PartyName,
    /// How many.
    pub entries: u64,
}

/// More links than a source may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Store {
    /// Stores links of one source; what stood under a label of its own is replaced.
    pub(crate) fn put_links(
        &mut self,
        matter: &Matter,
        links: &[StoredLink],
        most: u64,
    ) -> Result<Result<(), TooMany>, StoreError> {
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let tx = self.begin()?;
        let mut insert = tx.prepare_cached(
            "INSERT INTO links (agreement_id, epoch, label, purpose, source, expires, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (agreement_id, epoch, label, source) DO UPDATE
             SET purpose = excluded.purpose, expires = excluded.expires, value = excluded.value",
        )?;
        for link in links {
            insert.execute(params![
                id,
                epoch,
                link.label.as_bytes(),
                link.purpose.as_str(),
                link.source.as_str(),
                link.expires.days(),
                link.value
            ])?;
        }
        drop(insert);
        if let Some(link) = links.first() {
            let stored: i64 = tx.query_row(
                "SELECT entries FROM link_counts
                 WHERE agreement_id = ?1 AND epoch = ?2 AND source = ?3",
                params![id, epoch, link.source.as_str()],
                |row| row.get(0),
            )?;
            if stored > int(most)? {
                return Ok(Err(TooMany));
            }
        }
        tx.commit()?;
        Ok(Ok(()))
    }

    /// The links under a label, one for each source, without those that are over.
    pub(crate) fn links(
        &self,
        matter: &Matter,
        label: &LinkLabel,
        today: Date,
    ) -> Result<Vec<StoredLink>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT purpose, expires, source, value FROM links
             WHERE agreement_id = ?1 AND epoch = ?2 AND label = ?3 AND expires >= ?4
             ORDER BY source",
        )?;
        let of = params![
            matter.agreement_id.as_bytes(),
            matter.epoch.0,
            label.as_bytes(),
            today.days()
        ];
        let found = select.query_map(of, |row| {
            Ok(StoredLink {
                label: *label,
                purpose: name(row, 0)?,
                expires: Date::from_days(row.get(1)?),
                source: name(row, 2)?,
                value: row.get(3)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Drops links of one source; gives how many were there.
    pub(crate) fn drop_links(
        &mut self,
        matter: &Matter,
        source: &PartyName,
        labels: &[LinkLabel],
    ) -> Result<u64, StoreError> {
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let tx = self.begin()?;
        let mut delete = tx.prepare_cached(
            "DELETE FROM links
             WHERE agreement_id = ?1 AND epoch = ?2 AND label = ?3 AND source = ?4",
        )?;
        let mut dropped = 0;
        for label in labels {
            let gone = delete.execute(params![id, epoch, label.as_bytes(), source.as_str()])?;
            dropped += gone as u64;
        }
        drop(delete);
        tx.commit()?;
        Ok(dropped)
    }

    /// Drops links and shares of epochs before this one: their key evaluates nothing any more, so
    /// nobody can look the links up, and no refresh reaches the shares, which as many copies of
    /// stores as the threshold would give the key away by.
    pub(crate) fn drop_earlier(&mut self, matter: &Matter) -> Result<(), StoreError> {
        let of = params![matter.agreement_id.as_bytes(), matter.epoch.0];
        let tx = self.begin()?;
        for table in ["links", "link_counts", "shares"] {
            let sql = format!("DELETE FROM {table} WHERE agreement_id = ?1 AND epoch < ?2");
            tx.execute(&sql, of)?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Drops what is over.
    pub(crate) fn drop_stale_links(&mut self, today: Date) -> Result<(), StoreError> {
        let tx = self.begin()?;
        tx.execute("DELETE FROM links WHERE expires < ?1", [today.days()])?;
        tx.commit()?;
        Ok(())
    }

    /// How many links each source stores.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stored_links(&self) -> Result<Vec<StoredLinks>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT agreement_id, epoch, source, count(*) FROM links
             GROUP BY agreement_id, epoch, source ORDER BY agreement_id, epoch, source",
        )?;
        let rows = select.query_map([], |row| {
            Ok(StoredLinks {
                matter: Matter {
                    agreement_id: incamera_types::AgreementId::from_bytes(row.get(0)?),
                    epoch: incamera_types::MatchingEpoch(row.get(1)?),
                },
                source: name(row, 2)?,
                entries: number(row, 3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
