//! The book of a source of links: what it has told providers, and what they are still to be told.
//!
//! One SQLite file in the party's folder. A change is one transaction, which also notes for each
//! provider what it is to be told; so a command that was killed, or that did not reach a provider,
//! is gone on with by the next one, without another evaluation. Labels and values are ciphertext,
//! as providers get them; beside them stand the party's own ids, as in its crosswalk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use incamera_agreement::IdLink;
use incamera_ledger::durable;
use incamera_matching::links::Entry;
use incamera_types::{Date, Digest as _, IdKind, LinkLabel, PartyName, PurposeName, PurposeSet};
use rusqlite::{Connection, Transaction, params};

use crate::store::{BUSY_TIMEOUT, Matter, StoreError, int, name, number};

mod telling;
#[cfg(test)]
mod tests;

use telling::Telling;

/// Marks the file as a book of links ("ICLk").
const APPLICATION_ID: i64 = 0x4943_4c6b;
const SCHEMA: &str = include_str!("schema.sql");
/// The version of its tables.
const VERSION: i64 = 2;
/// What makes tables of version 1 those of 2.
const MIGRATION: &str = include_str!("schema_2.sql");

/// The book.
#[derive(Debug)]
pub struct LinkBook(Connection);

/// All links of one id.
#[derive(Clone, Debug)]
pub struct LinkedId {
    /// The id that is looked up.
    pub from: String,
    /// The ids whose pseudonyms it leads to, in order.
    pub to: Vec<String>,
    /// The last day that any of its pairs counts: the book keeps them as long, also those that
    /// nothing is stored of.
    pub until: Date,
    /// What is stored of it: under each purpose in the order of those, of one week.
    pub entries: Vec<Entry>,
}

impl LinkedId {
    /// Whether each label leads to the one that it led to `before`, if the ids are the same. Of
    /// several ids that is known where all stand under the same purposes and are over in the same
    /// week: their number under a purpose is their place then, and some old entries beside some
    /// new ones give all of them.
    fn leads_alike(&self, before: &BTreeMap<LinkLabel, Date>) -> bool {
        if self.to.len() <= 1 {
            return true;
        }
        let mut under: BTreeMap<&PurposeName, usize> = BTreeMap::new();
        for entry in &self.entries {
            *under.entry(&entry.purpose).or_default() += 1;
        }
        let all = under.values().all(|entries| *entries == self.to.len());
        let labels: BTreeSet<_> = self.entries.iter().map(|entry| &entry.label).collect();
        let week: BTreeSet<_> = self.entries.iter().map(|entry| entry.expires).collect();
        let week_before: BTreeSet<_> = before.values().collect();
        all && before.keys().eq(labels) && week.len() == 1 && week_before.len() == 1
    }
}

/// What was taken out of the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// Ids that lost links.
    pub ids: u64,
    /// Entries.
    pub entries: u64,
}

/// What the book holds of one pair of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Of what.
    pub matter: Matter,
    /// The kinds.
    pub link: IdLink,
    /// Pairs of ids.
    pub edges: u64,
}

impl LinkBook {
    /// Opens the book at `path`, and begins it if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        durable(&connection)?;
        let tx = connection.transaction()?;
        let tables: i64 =
            tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            tx.execute_batch(SCHEMA)?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        migrate(&tx)?;
        let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let found: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if (found, version) != (APPLICATION_ID, VERSION) {
            return Err(StoreError::NotAStore);
        }
        tx.commit()?;
        Ok(Self(connection))
    }

    /// Takes in the links of ids: what the book had of these ids goes. `nothing` are the entries
    /// that an upload is filled up with, and `purposes` those of the agreement. All of it is due at
    /// the providers then.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put(
        &mut self,
        matter: &Matter,
        link: &IdLink,
        (ids, nothing): (&[LinkedId], &[Entry]),
        purposes: &PurposeSet,
        providers: &[PartyName],
    ) -> Result<(), StoreError> {
        let tx = self.0.transaction()?;
        let all = Telling {
            tx: &tx,
            matter,
            providers,
        };
        let under = written(purposes);
        for id in ids {
            all.replace(link, id, &under)?;
        }
        for entry in nothing {
            all.entry(link, None, entry, false)?;
        }
        Ok(tx.commit()?)
    }

    /// Takes out of the book what stands under purposes that the agreement has no more, which
    /// providers refuse to store. What they have of it is to be dropped.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn drop_other_purposes(
        &mut self,
        matter: &Matter,
        purposes: &PurposeSet,
        providers: &[PartyName],
    ) -> Result<(), StoreError> {
        let tx = self.0.transaction()?;
        let all = Telling {
            tx: &tx,
            matter,
            providers,
        };
        let (id, epoch) = (matter.agreement_id.as_bytes(), matter.epoch.0);
        let mut select = tx.prepare_cached(
            "SELECT DISTINCT purpose FROM entries WHERE agreement_id = ?1 AND epoch = ?2",
        )?;
        let found = select.query_map(params![id, epoch], |row| name(row, 0))?;
        let found: Vec<PurposeName> = found.collect::<Result<_, _>>()?;
        drop(select);
        for gone in found.iter().filter(|found| !purposes.contains(found)) {
            let mut select = tx.prepare_cached(
                "SELECT label FROM entries WHERE agreement_id = ?1 AND epoch = ?2 AND purpose = ?3",
            )?;
            let of = params![id, epoch, gone.as_str()];
            let labels = select.query_map(of, |row| Ok(LinkLabel::from_bytes(row.get(0)?)))?;
            for label in labels.collect::<Result<Vec<_>, _>>()? {
                all.take_out(&label)?;
                all.due(&label, true)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Takes back the links of people, known by ids of one kind: from these ids, and to them. An
    /// id that loses one link loses all, since a gap hides what is behind it. With `purposes`,
    /// those of ids that have any under these: what does not stand under all purposes of the
    /// agreement counts for nobody. Links of earlier epochs go from the book; providers drop
    /// them when they are over.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn take_back(
        &mut self,
        matter: &Matter,
        kind: &IdKind,
        ids: &BTreeSet<String>,
        purposes: Option<&PurposeSet>,
        providers: &[PartyName],
    ) -> Result<TakenBack, StoreError> {
        let tx = self.0.transaction()?;
        let mut found = BTreeSet::new();
        for id in ids {
            found.extend(concerned(&tx, matter, kind, id)?);
        }
        let mut back = TakenBack::default();
        for (epoch, from_kind, to_kind, from) in found {
            let of = Matter {
                epoch: incamera_types::MatchingEpoch(epoch),
                ..*matter
            };
            let all = Telling {
                tx: &tx,
                matter: &of,
                providers: if of == *matter { providers } else { &[] },
            };
            let link = IdLink {
                from: from_kind,
                to: to_kind,
            };
            if let Some(purposes) = purposes
                && !all.stands_under(&link, &from, purposes)?
            {
                continue;
            }
            back.ids += 1;
            for label in all.take_away(&link, &from)?.keys() {
                all.due(label, true)?;
                back.entries += 1;
            }
        }
        tx.commit()?;
        Ok(back)
    }

    /// What a provider is still to drop, as much as `most`. All of it goes before anything that is
    /// to be stored.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn drops(
        &self,
        matter: &Matter,
        provider: &PartyName,
        most: usize,
    ) -> Result<Vec<LinkLabel>, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT label FROM due
             WHERE agreement_id = ?1 AND epoch = ?2 AND provider = ?3 AND gone = 1
             AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.agreement_id = due.agreement_id
                 AND entries.epoch = due.epoch AND entries.label = due.label)
             ORDER BY label LIMIT ?4",
        )?;
        let of = params![
            matter.agreement_id.as_bytes(),
            matter.epoch.0,
            provider.as_str(),
            i64::try_from(most).unwrap_or(i64::MAX)
        ];
        let found = select.query_map(of, |row| Ok(LinkLabel::from_bytes(row.get(0)?)))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// What a provider is still to store, as much as `most`: in one order of label, whatever was
    /// there before, so that the order tells nobody whose links changed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn puts(
        &self,
        matter: &Matter,
        (source, provider): (&PartyName, &PartyName),
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT label, purpose, expires, value FROM due
             CROSS JOIN entries USING (agreement_id, epoch, label)
             WHERE agreement_id = ?1 AND epoch = ?2 AND provider = ?3
             ORDER BY label LIMIT ?4",
        )?;
        let of = params![
            matter.agreement_id.as_bytes(),
            matter.epoch.0,
            provider.as_str(),
            i64::try_from(most).unwrap_or(i64::MAX)
        ];
        let found = select.query_map(of, |row| {
            Ok(Entry {
                label: LinkLabel::from_bytes(row.get(0)?),
                purpose: name(row, 1)?,
                source: source.clone(),
                expires: Date::from_days(row.get(2)?),
                value: row.get(3)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// Takes note that a provider was told.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn told<'l>(
        &mut self,
        matter: &Matter,
        provider: &PartyName,
        labels: impl IntoIterator<Item = &'l LinkLabel>,
    ) -> Result<(), StoreError> {
        let tx = self.0.transaction()?;
        let mut delete = tx.prepare_cached(
            "DELETE FROM due
             WHERE agreement_id = ?1 AND epoch = ?2 AND provider = ?3 AND label = ?4",
        )?;
        for label in labels {
            delete.execute(params![
                matter.agreement_id.as_bytes(),
                matter.epoch.0,
                provider.as_str(),
                label.as_bytes()
            ])?;
        }
        drop(delete);
        Ok(tx.commit()?)
    }

    /// Of how many entries each provider is still to be told.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn still_due(&self, matter: &Matter) -> Result<BTreeMap<PartyName, u64>, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT provider, count(*) FROM due WHERE agreement_id = ?1 AND epoch = ?2
             GROUP BY provider",
        )?;
        let of = params![matter.agreement_id.as_bytes(), matter.epoch.0];
        let rows = select.query_map(of, |row| Ok((name(row, 0)?, number(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The providers that may still have what must not count any more: what was taken back, or
    /// what an id led to before it was put again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn behind(&self, matter: &Matter) -> Result<BTreeSet<PartyName>, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT DISTINCT provider FROM due
             WHERE agreement_id = ?1 AND epoch = ?2 AND gone = 1",
        )?;
        let of = params![matter.agreement_id.as_bytes(), matter.epoch.0];
        let rows = select.query_map(of, |row| name(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Of how many of these ids the book has no link, from them or to them.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn unknown(
        &mut self,
        matter: &Matter,
        kind: &IdKind,
        ids: &BTreeSet<String>,
    ) -> Result<u64, StoreError> {
        let tx = self.0.transaction()?;
        let mut unknown = 0;
        for id in ids {
            unknown += u64::from(concerned(&tx, matter, kind, id)?.is_empty());
        }
        Ok(unknown)
    }

    /// Forgets what is over, and what is due of it: providers drop that by themselves. What was
    /// to take the place of something else leaves that to be dropped, which may count longer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn drop_over(&mut self, today: Date) -> Result<(), StoreError> {
        let tx = self.0.transaction()?;
        tx.execute(
            "DELETE FROM due WHERE gone = 0 AND (agreement_id, epoch, label) IN
             (SELECT agreement_id, epoch, label FROM entries WHERE expires < ?1)",
            [today.days()],
        )?;
        tx.execute("DELETE FROM entries WHERE expires < ?1", [today.days()])?;
        tx.execute("DELETE FROM edges WHERE expires < ?1", [today.days()])?;
        Ok(tx.commit()?)
    }

    /// How many pairs do not count as they stand, since the agreement had other purposes than
    /// these when they were put: nothing is stored of a pair whose people had not agreed to all of
    /// those, nor under one that came later.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn to_put_anew(&self, matter: &Matter, purposes: &PurposeSet) -> Result<u64, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT count(*) FROM edges WHERE agreement_id = ?1 AND epoch = ?2 AND under <> ?3
             AND ?4 > (SELECT count(DISTINCT purpose) FROM entries
                 WHERE entries.agreement_id = ?1 AND entries.epoch = ?2
                 AND entries.from_kind = edges.from_kind AND entries.to_kind = edges.to_kind
                 AND entries.from_id = edges.from_id AND instr(?3, ' ' || purpose || ' ') > 0)",
        )?;
        let of = params![
            matter.agreement_id.as_bytes(),
            matter.epoch.0,
            written(purposes),
            int(purposes.len() as u64)?
        ];
        Ok(select.query_row(of, |row| number(row, 0))?)
    }

    /// What the book holds.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn booked(&self) -> Result<Vec<Booked>, StoreError> {
        let mut select = self.0.prepare_cached(
            "SELECT agreement_id, epoch, from_kind, to_kind, count(*) FROM edges
             GROUP BY agreement_id, epoch, from_kind, to_kind",
        )?;
        let rows = select.query_map([], |row| {
            Ok(Booked {
                matter: Matter {
                    agreement_id: incamera_types::AgreementId::from_bytes(row.get(0)?),
                    epoch: incamera_types::MatchingEpoch(row.get(1)?),
                },
                link: IdLink {
                    from: name(row, 2)?,
                    to: name(row, 3)?,
                },
                edges: number(row, 4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Purposes as they stand beside pairs: each between two blanks.
fn written(purposes: &PurposeSet) -> String {
    let each = purposes.iter().map(|purpose| format!("{purpose} "));
    " ".to_owned() + &each.collect::<String>()
}

/// Brings tables of version 1 up to date.
fn migrate(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if (found, version) != (APPLICATION_ID, 1) {
        return Ok(());
    }
    tx.execute_batch(MIGRATION)?;
    Ok(tx.pragma_update(None, "user_version", VERSION)?)
}

type Concerned = (u32, IdKind, IdKind, String);

/// The ids whose links lead from an id, or to it.
fn concerned(
    tx: &Transaction<'_>,
    matter: &Matter,
    kind: &IdKind,
    id: &str,
) -> Result<Vec<Concerned>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT DISTINCT epoch, from_kind, to_kind, from_id FROM edges
         WHERE agreement_id = ?1
         AND ((from_kind = ?2 AND from_id = ?3) OR (to_kind = ?2 AND to_id = ?3))",
    )?;
    let of = params![matter.agreement_id.as_bytes(), kind.as_str(), id];
    let rows = select.query_map(of, |row| {
        Ok((row.get(0)?, name(row, 1)?, name(row, 2)?, row.get(3)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
