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

use crate::store::{BUSY_TIMEOUT, Matter, StoreError, name, number};

#[cfg(test)]
mod tests;

/// Marks the file as a book of links ("ICLk").
const APPLICATION_ID: i64 = 0x4943_4c6b;
const SCHEMA: &str = include_str!("schema.sql");
/// The version of its tables.
const VERSION: i64 = 1;

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
        let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let found: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if (found, version) != (APPLICATION_ID, VERSION) {
            return Err(StoreError::NotAStore);
        }
        tx.commit()?;
        Ok(Self(connection))
    }

    /// Takes in the links of ids: what the book had of these ids goes. `nothing` are the entries
    /// that an upload is filled up with. All of it is due at the providers then.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put(
        &mut self,
        matter: &Matter,
        link: &IdLink,
        (ids, nothing): (&[LinkedId], &[Entry]),
        providers: &[PartyName],
    ) -> Result<(), StoreError> {
        let tx = self.0.transaction()?;
        let all = Telling {
            tx: &tx,
            matter,
            providers,
        };
        for id in ids {
            all.replace(link, id)?;
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
    /// what stands under these alone. Links of earlier epochs go from the book; providers drop
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
            back.ids += 1;
            for label in all.take_away(&link, &from, purposes)?.keys() {
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
        tx.execute(
            "DELETE FROM edges WHERE NOT EXISTS
             (SELECT 1 FROM entries WHERE entries.agreement_id = edges.agreement_id
              AND entries.epoch = edges.epoch AND entries.from_kind = edges.from_kind
              AND entries.to_kind = edges.to_kind AND entries.from_id = edges.from_id)",
            [],
        )?;
        Ok(tx.commit()?)
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

/// A change of the book that providers are to be told of.
struct Telling<'a> {
    tx: &'a Transaction<'a>,
    matter: &'a Matter,
    providers: &'a [PartyName],
}

impl Telling<'_> {
    /// Notes a label for every provider. What one was to be told of as `gone`, and was not, it
    /// may have as long as it is told nothing.
    fn due(&self, label: &LinkLabel, gone: bool) -> Result<(), StoreError> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO due (agreement_id, epoch, provider, label, gone)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (agreement_id, epoch, provider, label)
             DO UPDATE SET gone = max(gone, excluded.gone)",
        )?;
        for provider in self.providers {
            insert.execute(params![
                self.matter.agreement_id.as_bytes(),
                self.matter.epoch.0,
                provider.as_str(),
                label.as_bytes(),
                gone
            ])?;
        }
        Ok(())
    }

    fn edge(&self, link: &IdLink, from: &str, to: &str) -> Result<(), StoreError> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO edges (agreement_id, epoch, from_kind, to_kind, from_id, to_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?;
        insert.execute(params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            from,
            to
        ])?;
        Ok(())
    }

    fn entry(
        &self,
        link: &IdLink,
        from: Option<&str>,
        entry: &Entry,
        gone: bool,
    ) -> Result<(), StoreError> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO entries
             (agreement_id, epoch, label, from_kind, to_kind, from_id, purpose, expires, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        insert.execute(params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            entry.label.as_bytes(),
            link.from.as_str(),
            link.to.as_str(),
            from,
            entry.purpose.as_str(),
            entry.expires.days(),
            entry.value
        ])?;
        self.due(&entry.label, gone)
    }

    /// Puts what is said of an id now in the place of what was said of it before.
    fn replace(&self, link: &IdLink, id: &LinkedId) -> Result<(), StoreError> {
        let led_to = self.led_to(link, &id.from)?;
        let mut before = self.take_away(link, &id.from, None)?;
        // What leads to the same ones as long as before may stand until it comes anew; by days of
        // the same week, as the book has no others.
        let same = led_to == id.to && id.leads_alike(&before);
        for to in &id.to {
            self.edge(link, &id.from, to)?;
        }
        for entry in &id.entries {
            let stood = before.remove(&entry.label);
            let gone = stood.is_some_and(|until| !same || until > entry.expires);
            self.entry(link, Some(&id.from), entry, gone)?;
        }
        for label in before.keys() {
            self.due(label, true)?;
        }
        Ok(())
    }

    /// The ids that an id leads to.
    fn led_to(&self, link: &IdLink, from: &str) -> Result<Vec<String>, StoreError> {
        let mut select = self.tx.prepare_cached(
            "SELECT to_id FROM edges WHERE agreement_id = ?1 AND epoch = ?2
             AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5 ORDER BY to_id",
        )?;
        let of = params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            from
        ];
        let rows = select.query_map(of, |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn take_out(&self, label: &LinkLabel) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "DELETE FROM entries WHERE agreement_id = ?1 AND epoch = ?2 AND label = ?3",
            )?
            .execute(params![
                self.matter.agreement_id.as_bytes(),
                self.matter.epoch.0,
                label.as_bytes()
            ])?;
        Ok(())
    }

    /// Takes an id's entries out of the book, and its links where no purpose is named; gives
    /// their labels, and until when they stand.
    fn take_away(
        &self,
        link: &IdLink,
        from: &str,
        purposes: Option<&PurposeSet>,
    ) -> Result<BTreeMap<LinkLabel, Date>, StoreError> {
        let of = params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            from
        ];
        let mut select = self.tx.prepare_cached(
            "SELECT label, expires, purpose FROM entries WHERE agreement_id = ?1 AND epoch = ?2
             AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5",
        )?;
        let rows = select.query_map(of, |row| {
            let until = Date::from_days(row.get(1)?);
            Ok((LinkLabel::from_bytes(row.get(0)?), until, name(row, 2)?))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        let mut taken = BTreeMap::new();
        for (label, until, purpose) in rows {
            if purposes.is_some_and(|purposes| !purposes.contains(&purpose)) {
                continue;
            }
            self.take_out(&label)?;
            taken.insert(label, until);
        }
        if purposes.is_none() {
            self.tx
                .prepare_cached(
                    "DELETE FROM edges WHERE agreement_id = ?1 AND epoch = ?2
                     AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5",
                )?
                .execute(of)?;
        }
        Ok(taken)
    }
}
