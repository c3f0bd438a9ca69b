//! Pairs of ids out of files, with what their people agreed to and until when they count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use incamera_agreement::IdLink;
use incamera_matching::ids::{Counts, Leaves, Normaliser};
use incamera_seal::{Named, RowPlace, Source, named, read_columns};
use incamera_types::{Date, IdKind, IdWriting};

use super::super::super::ids::normaliser;
use super::super::consented::{Asking, declared};
use super::super::counted::FirstFew;
use super::super::ingest::{source_failure, unread};
use super::super::ring;
use super::Desk;
use crate::args::{LinksPut, WrittenForm};
use crate::clock::today;
use crate::failure::{Done, Failure};
use crate::words::counted;

/// What is said of a pair: of several rows, what all of them say.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// The leaves agreed to.
    pub agreed: u64,
    /// The day it was learnt of.
    pub recorded: Date,
    /// The last day it counts.
    pub expires: Date,
}

/// Pairs by their first id.
pub type Pairs = BTreeMap<String, BTreeMap<String, Said>>;

/// What became of rows and pairs.
#[derive(Debug, Default)]
pub struct Tally {
    pub rows: u64,
    /// Of the ids that are looked up.
    pub from: Counts,
    /// Of those that they lead to.
    pub to: Counts,
    pub duplicates: u64,
    pub without_consent: u64,
    /// Pairs whose people agreed to some of the purposes: they do not match by them.
    pub in_part: u64,
    pub over: u64,
    pub invalid: FirstFew,
}

/// What was read.
pub struct Read {
    pub pairs: Pairs,
    pub tally: Tally,
    pub consent: Option<String>,
    pub leaves: Leaves,
}

struct Taking<'a> {
    arguments: &'a LinksPut,
    from: Normaliser,
    to: Normaliser,
    asking: Asking,
    /// The last day of any pair, and today.
    until: Date,
    today: Date,
    pairs: Pairs,
    tally: Tally,
    unread: FirstFew,
}

/// Reads all pairs, which count until the day `until` at most.
pub fn read(
    desk: &Desk<'_>,
    link: &IdLink,
    arguments: &LinksPut,
    until: Date,
) -> Result<Read, Failure> {
    let matching = &desk.terms().matching;
    let phones = |kind: &IdKind, form: WrittenForm| {
        kind.as_str() == "phone" && form == WrittenForm::PlainText
    };
    let writing = |kind: &IdKind, form: WrittenForm| IdWriting {
        form: form.into(),
        region: arguments.region.filter(|_| phones(kind, form)),
        ..matching.id_writing(kind)
    };
    let of = |kind: &IdKind, form| normaliser(kind, &writing(kind, form));
    let consent = consents(desk, arguments)?;
    let mut taking = Taking {
        arguments,
        from: of(&link.from, arguments.from_form)?,
        to: of(&link.to, arguments.to_form)?,
        asking: Asking::by(desk.terms(), consent.clone())?,
        until,
        today: today(),
        pairs: Pairs::new(),
        tally: Tally::default(),
        unread: FirstFew::default(),
    };
    let bar = desk.printer.progress("reading pairs", None);
    let sources = ring::sources(&arguments.data, &desk.folder.ring()?, &desk.terms().id)?;
    for (path, source) in arguments.data.iter().zip(&sources) {
        taking.file(path, source, link, &|| bar.inc(1))?;
    }
    bar.finish_and_clear();
    taking.asking.all_understood(&arguments.data)?;
    taking.all_days_read()?;
    let leaves = Asking::leaves_of(desk.terms())?;
    let mut read = Read {
        pairs: taking.pairs,
        tally: taking.tally,
        consent,
        leaves,
    };
    read.leave_out(taking.today, desk);
    Ok(read)
}

/// The column of consents, unless everybody agreed.
fn consents(desk: &Desk<'_>, arguments: &LinksPut) -> Result<Option<String>, Failure> {
    if arguments.everyone_consented {
        return Ok(None);
    }
    let column = arguments.consent.clone();
    let column = column.or_else(|| declared(desk.terms(), desk.folder.name()));
    column.map(Some).ok_or_else(|| {
        Failure::failed("who agreed to be linked is not known")
            .why("no column is named that says it, and none of your data sets has one")
            .hint(LATER)
    })
}

const LATER: &str = "nothing was sent: name the column that has the purposes that each row's person agreed to with `--consent`, or say `--everyone-consented` if all of them agreed to be linked";

impl Taking<'_> {
    fn file(&mut self, path: &Path, source: &Source, link: &IdLink, progress: &dyn Fn()) -> Done {
        let arguments = self.arguments;
        let from = arguments.from_column.as_deref();
        let from = from.unwrap_or(link.from.as_str());
        let to = arguments.to_column.as_deref().unwrap_or(link.to.as_str());
        let consents = self.asking.column.clone();
        if let Some(column) = &consents {
            everywhere(path, source, column)?;
        }
        // A column that is not there is read as another, and not looked at.
        let or_from = |column: &Option<String>| column.clone().unwrap_or_else(|| from.to_owned());
        let (agreed, recorded, expires) = (
            or_from(&consents),
            or_from(&arguments.recorded),
            or_from(&arguments.expires),
        );
        let columns = [from, to, &agreed, &recorded, &expires];
        let read = read_columns(source, columns, &mut |at, row| {
            progress();
            self.row(at, row);
        });
        let flag = |name: &str| {
            let is = |column: &Option<String>| column.as_deref() == Some(name);
            match name {
                _ if is(&arguments.recorded) => "--recorded",
                _ if is(&arguments.expires) => "--expires",
                _ if name == from => "--from-column",
                _ => "--to-column",
            }
        };
        read.map(drop).map_err(|error| unread(path, &error, &flag))
    }

    fn row(&mut self, at: RowPlace<'_>, [from, to, agreed, recorded, expires]: [&str; 5]) {
        self.tally.rows += 1;
        let (mut one, mut other) = (String::new(), String::new());
        let from = self.from.normalise(from, &mut one);
        let to = self.to.normalise(to, &mut other);
        self.tally.from.row(&from);
        self.tally.to.row(&to);
        let (Ok(from), Ok(to)) = (from, to) else {
            self.tally.invalid.note(at);
            return;
        };
        let agreed = match self.asking.column.is_some() {
            true => self.asking.agreed(agreed, at),
            false => Leaves::EVERYTHING,
        };
        let recorded = day(self.arguments.recorded.is_some(), recorded, self.today);
        let expires = day(self.arguments.expires.is_some(), expires, self.until);
        let days = recorded.zip(expires);
        let Some((recorded, expires)) = days.filter(|(recorded, _)| *recorded <= self.today) else {
            self.unread.note(at);
            return;
        };
        let said = Said {
            agreed,
            recorded,
            expires: expires.min(self.until),
        };
        self.take(from, to, said);
    }

    fn take(&mut self, from: &str, to: &str, said: Said) {
        let of = self.pairs.entry(from.to_owned()).or_default();
        if let Some(before) = of.get_mut(to) {
            self.tally.duplicates += 1;
            before.agreed &= said.agreed;
            before.expires = before.expires.min(said.expires);
            before.recorded = before.recorded.max(said.recorded);
            return;
        }
        of.insert(to.to_owned(), said);
    }

    fn all_days_read(&self) -> Done {
        if self.unread.count == 0 {
            return Ok(());
        }
        Err(
            Failure::failed("since when and until when links count is not known")
                .why(format!(
                    "in {} there is no day, or one to come as the day it was learnt of: {}",
                    counted(self.unread.count, "row", "rows"),
                    self.unread.words(&self.arguments.data)
                ))
                .hint("nothing was sent: write days as in 2027-03-31, or leave them empty"),
        )
    }
}

/// A day where a column has one; what counts otherwise where it is empty.
fn day(named: bool, text: &str, otherwise: Date) -> Option<Date> {
    match (named, text.trim()) {
        (false, _) | (true, "") => Some(otherwise),
        (true, text) => text.parse().ok(),
    }
}

fn everywhere(path: &Path, source: &Source, column: &str) -> Done {
    let found = named(source, column).map_err(|error| source_failure(path, &error))?;
    match found {
        Named::Everywhere => Ok(()),
        _ => Err(Failure::failed("who agreed to be linked is not known")
            .why(format!(
                "`{}` has no column `{column}`, which says what a row's person agreed to",
                Source::shown(path).display()
            ))
            .hint(LATER)),
    }
}

impl Read {
    /// Leaves out who agreed to nothing and what is over; counts who agreed to a part.
    fn leave_out(&mut self, today: Date, desk: &Desk<'_>) {
        let all = desk.terms().leaf_purposes().len();
        let (tally, leaves) = (&mut self.tally, &self.leaves);
        for of in self.pairs.values_mut() {
            of.retain(|_, said| {
                let agreed = leaves.class(said.agreed).len();
                tally.without_consent += u64::from(agreed == 0);
                tally.over += u64::from(agreed > 0 && said.expires < today);
                let stays = agreed > 0 && said.expires >= today;
                tally.in_part += u64::from(stays && agreed < all);
                stays
            });
        }
    }

    /// Ids with a link.
    pub fn looked_up_ids(&self) -> Vec<String> {
        let linked = self.pairs.iter().filter(|(_, to)| !to.is_empty());
        linked.map(|(from, _)| from.clone()).collect()
    }

    /// Ids that links lead to.
    pub fn led_to_ids(&self) -> Vec<String> {
        let all: BTreeSet<_> = self.pairs.values().flat_map(BTreeMap::keys).collect();
        all.into_iter().cloned().collect()
    }
}
