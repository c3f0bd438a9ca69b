//! Changes of the book, of which each provider is to be told.

use std::collections::BTreeMap;

use incamera_agreement::IdLink;
use incamera_matching::links::Entry;
use incamera_types::{Date, Digest as _, LinkLabel, PartyName, PurposeName, PurposeSet};
use rusqlite::{Transaction, params};

use super::LinkedId;
use crate::store::{Matter, StoreError, name};

/// A change of the book that providers are to be told of.
pub(super) struct Telling<'a> {
    pub(super) tx: &'a Transaction<'a>,
    pub(super) matter: &'a Matter,
    pub(super) providers: &'a [PartyName],
}

impl Telling<'_> {
    /// Notes a label for every provider. What one was to be told of as `gone`, and was not, it
    /// may have as long as it is told nothing.
    pub(super) fn due(&self, label: &LinkLabel, gone: bool) -> Result<(), StoreError> {
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

    fn edge(&self, link: &IdLink, id: &LinkedId, to: &str, under: &str) -> Result<(), StoreError> {
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO edges
             (agreement_id, epoch, from_kind, to_kind, from_id, to_id, expires, under)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
        )?;
        // As long as anything of it stands at providers, too.
        let stands = id.entries.iter().map(|entry| entry.expires);
        let until = stands.fold(id.until, Date::max);
        insert.execute(params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            id.from,
            to,
            until.days(),
            under
        ])?;
        Ok(())
    }

    pub(super) fn entry(
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
    pub(super) fn replace(
        &self,
        link: &IdLink,
        id: &LinkedId,
        under: &str,
    ) -> Result<(), StoreError> {
        let led_to = self.led_to(link, &id.from)?;
        let mut before = self.take_away(link, &id.from)?;
        // What leads to the same ones as long as before may stand until it comes anew; by days of
        // the same week, as the book has no others.
        let same = led_to == id.to && id.leads_alike(&before);
        for to in &id.to {
            self.edge(link, id, to, under)?;
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

    pub(super) fn take_out(&self, label: &LinkLabel) -> Result<(), StoreError> {
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

    /// Takes an id's links out of the book; gives the labels of its entries, and until when they
    /// stand.
    pub(super) fn take_away(
        &self,
        link: &IdLink,
        from: &str,
    ) -> Result<BTreeMap<LinkLabel, Date>, StoreError> {
        let of = params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            from
        ];
        let mut select = self.tx.prepare_cached(
            "SELECT label, expires FROM entries WHERE agreement_id = ?1 AND epoch = ?2
             AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5",
        )?;
        let rows = select.query_map(of, |row| {
            let until = Date::from_days(row.get(1)?);
            Ok((LinkLabel::from_bytes(row.get(0)?), until))
        })?;
        let taken: BTreeMap<_, _> = rows.collect::<Result<_, _>>()?;
        for label in taken.keys() {
            self.take_out(label)?;
        }
        self.tx
            .prepare_cached(
                "DELETE FROM edges WHERE agreement_id = ?1 AND epoch = ?2
                 AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5",
            )?
            .execute(of)?;
        Ok(taken)
    }

    /// Whether an id has an entry under one of these purposes.
    pub(super) fn stands_under(
        &self,
        link: &IdLink,
        from: &str,
        purposes: &PurposeSet,
    ) -> Result<bool, StoreError> {
        let mut select = self.tx.prepare_cached(
            "SELECT DISTINCT purpose FROM entries WHERE agreement_id = ?1 AND epoch = ?2
             AND from_kind = ?3 AND to_kind = ?4 AND from_id = ?5",
        )?;
        let of = params![
            self.matter.agreement_id.as_bytes(),
            self.matter.epoch.0,
            link.from.as_str(),
            link.to.as_str(),
            from
        ];
        let found = select.query_map(of, |row| name::<PurposeName>(row, 0))?;
        let found: Vec<_> = found.collect::<Result<_, _>>()?;
        Ok(found.iter().any(|purpose| purposes.contains(purpose)))
    }
}
