//! Shares of keys: the one that counts, and those that wait for the signatures of all.

use incamera_matching::statement::fingerprint;
use incamera_oprf::lagrange::Place;
use incamera_types::{AgreementId, Digest as _, MatchingEpoch, UnixTime};
use incamera_wire::v1::{ProviderKeys, ProviderKeysFile};
use rusqlite::{OptionalExtension as _, params};

use super::{Matter, Store, StoreError, int, number};
use crate::sealed::ShareKey;

/// New shares of one key that a provider signs for within a day. Each ends the sessions under
/// way; failed attempts count, so that an honest refresh that is cut off can be held again.
const REFRESHES_A_DAY: u32 = 4;
const DAY_S: u64 = 24 * 60 * 60;

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

/// A key that the provider has a share of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Of what.
    pub matter: Matter,
    /// The number of the key statement.
    pub number: u64,
    /// How many providers evaluate together.
    pub threshold: u32,
    /// All that hold shares.
    pub providers: Vec<String>,
    /// The last second at which it is valid.
    pub valid_until: UnixTime,
    /// Whether the share is gone, because the key is over.
    pub erased: bool,
    /// What people compare of the key.
    pub fingerprint: String,
}

impl Store {
    /// The share that counts.
    pub(crate) fn share(&self, matter: &Matter) -> Result<Option<Kept>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT number, place, sealed, statement FROM shares
             WHERE agreement_id = ?1 AND epoch = ?2 AND waits = 0",
        )?;
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let kept = select.query_row(params![id, epoch], |row| {
            Ok(Kept {
                number: number(row, 0)?,
                place: row.get(1)?,
                sealed: row.get(2)?,
                statement: row.get(3)?,
            })
        });
        Ok(kept.optional()?)
    }

    /// How many shares wait.
    pub(crate) fn waiting(&self, matter: &Matter) -> Result<u64, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT count(*) FROM shares WHERE agreement_id = ?1 AND epoch = ?2 AND waits = 1",
        )?;
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        Ok(select.query_row(params![id, epoch], |row| number(row, 0))?)
    }

    /// From when on this provider may sign for new shares again, if not at `now`. Times that a
    /// clock gave which was a day ahead, or more, are passed over.
    pub(crate) fn next_refresh(
        &self,
        matter: &Matter,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT at FROM refreshes
             WHERE agreement_id = ?1 AND epoch = ?2 AND at > ?3 AND at < ?4
             ORDER BY at DESC LIMIT 1 OFFSET ?5",
        )?;
        let of = params![
            matter.agreement_id.as_bytes(),
            matter.epoch.0,
            int(now.0.saturating_sub(DAY_S))?,
            int(now.plus(DAY_S).0)?,
            REFRESHES_A_DAY - 1
        ];
        let last = select.query_row(of, |row| number(row, 0)).optional()?;
        Ok(last.map(|at| UnixTime(at).plus(DAY_S)))
    }

    /// Keeps a share beside the one that counts, and beside others that wait; one that is no first
    /// key's is noted as a refresh at `now`.
    pub(crate) fn keep_waiting(
        &mut self,
        matter: &Matter,
        kept: &Kept,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        let tx = self.begin()?;
        if kept.number > 1 {
            tx.execute(
                "INSERT INTO refreshes (agreement_id, epoch, at) VALUES (?1, ?2, ?3)",
                params![matter.agreement_id.as_bytes(), matter.epoch.0, int(now.0)?],
            )?;
        }
        tx.execute(
            "INSERT INTO shares (agreement_id, epoch, waits, number, place, sealed, statement)
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

    /// The share that waits for the statement with this `body` becomes the one that counts,
    /// under its `file`, which all have signed; false if none waits for it. The one before is
    /// overwritten, and with it those that wait for statements before this one in
    /// [`order`](incamera_matching::statement::KeyStatement::order), or for another first key.
    /// A later one may have been signed by all, and others may go by it: its share is kept.
    pub(crate) fn take_over(
        &mut self,
        matter: &Matter,
        body: &[u8],
        file: &[u8],
    ) -> Result<bool, StoreError> {
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let is_first = self.share(matter)?.is_none();
        let tx = self.begin()?;
        let waiting = "SELECT rowid, number FROM shares
             WHERE agreement_id = ?1 AND epoch = ?2 AND waits = 1 AND statement = ?3";
        let waiting = tx.query_row(waiting, params![id, epoch, body], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        let Some((row, number)) = waiting.optional()? else {
            return Ok(false);
        };
        tx.execute(
            "DELETE FROM shares WHERE agreement_id = ?1 AND epoch = ?2 AND rowid <> ?3
             AND (waits = 0 OR ?4 OR (number, statement) <= (?5, ?6))",
            params![id, epoch, row, is_first, number, body],
        )?;
        tx.execute(
            "UPDATE shares SET waits = 0, statement = ?2 WHERE rowid = ?1",
            params![row, file],
        )?;
        tx.commit()?;
        Ok(true)
    }

    /// The keys that this provider has shares of, for its own people.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn held(&self) -> Result<Vec<Held>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT agreement_id, epoch, statement, sealed = x'' FROM shares WHERE waits = 0
             ORDER BY agreement_id, epoch",
        )?;
        let rows = select.query_map([], |row| {
            let matter = Matter {
                agreement_id: AgreementId::from_bytes(row.get(0)?),
                epoch: MatchingEpoch(row.get(1)?),
            };
            let (file, erased): (Vec<u8>, bool) = (row.get(2)?, row.get(3)?);
            Ok((matter, file, erased))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let held = rows.iter();
        let held = held.map(|(matter, file, erased)| Held::read(*matter, file, *erased));
        held.collect::<Option<_>>().ok_or(StoreError::NotAStore)
    }

    /// Erases the shares of keys that are over: nothing is evaluated with them any more, and who
    /// copied the stores of as many providers as the threshold, whenever, would have the key. The
    /// statement of a share that counts stays: it says why nothing is evaluated, and that no other
    /// key is made in this epoch.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn erase_over(&mut self, now: UnixTime) -> Result<(), StoreError> {
        let tx = self.begin()?;
        let mut select = tx.prepare("SELECT rowid, waits, statement FROM shares")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let rows: Vec<(i64, bool, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        drop(select);
        for (row, waits, statement) in rows {
            let body = match waits {
                true => keys(&statement),
                false => keys_of_file(&statement),
            };
            // What does not say until when it is valid does not open anyway.
            if body.is_none_or(|keys| keys.valid_until >= now.0) {
                continue;
            }
            let erase = match waits {
                true => "DELETE FROM shares WHERE rowid = ?1",
                false => "UPDATE shares SET sealed = x'' WHERE rowid = ?1",
            };
            tx.execute(erase, [row])?;
        }
        tx.commit()?;
        Ok(())
    }
}

impl Store {
    /// Whether the share of a key opens under what its provider's key ring has: if not, the
    /// ring is another one, or the share was changed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn opens(&self, held: &Held, key: &ShareKey) -> Result<bool, StoreError> {
        let kept = self.share(&held.matter)?;
        let opened = kept.and_then(|kept| {
            let place = Place::new(kept.place).ok()?;
            key.open(&held.matter, kept.number, place, &kept.sealed)
        });
        Ok(opened.is_some())
    }
}

impl Held {
    /// What stands in a statement, which was checked when it was kept.
    fn read(matter: Matter, file: &[u8], erased: bool) -> Option<Self> {
        let keys = keys_of_file(file)?;
        let fingerprint = fingerprint(&keys);
        let shares = keys.shares.into_iter();
        Some(Self {
            matter,
            fingerprint,
            number: keys.number,
            threshold: keys.threshold,
            providers: shares.map(|share| share.provider).collect(),
            valid_until: UnixTime(keys.valid_until),
            erased,
        })
    }
}

/// The body of a statement.
fn keys(body: &[u8]) -> Option<ProviderKeys> {
    incamera_wire::decode(body, body.len()).ok()
}

fn keys_of_file(file: &[u8]) -> Option<ProviderKeys> {
    let file: ProviderKeysFile = incamera_wire::decode(file, file.len()).ok()?;
    keys(&file.body)
}
