//! Pairs of ids out of files, with what their people agreed to and until when they count.

use std::path::Path;

use incamera_agreement::IdLink;
use incamera_matching::ids::Leaves;
use incamera_matching::links::{self, Gathering, Pairs, Row, RowFault, Tally};
use incamera_seal::{Named, RowPlace, Source, named, read_columns};
use incamera_types::{Date, IdKind, IdWriting};

use super::super::super::ids::normaliser;
use super::super::consented::{Asking, declared};
use super::super::counted::FirstFew;
use super::super::reading::{source_failure, unread};
use super::super::ring;
use super::Desk;
use crate::args::{LinksPut, WrittenForm};
use crate::clock::today;
use crate::failure::{Done, Failure};
use crate::words::counted;

/// What was read.
pub struct Read {
    pub pairs: Pairs,
    pub tally: Tally,
    /// Rows with an id that is none.
    pub invalid: FirstFew,
    pub consent: Option<String>,
    pub leaves: Leaves,
}

struct Taking<'a> {
    arguments: &'a LinksPut,
    gathering: Gathering,
    asking: Asking,
    invalid: FirstFew,
    /// Rows with a day that is none.
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
    let phones =
        |kind: &IdKind, form: WrittenForm| kind.as_str() == "phone" && form == WrittenForm::Raw;
    let writing = |kind: &IdKind, form: WrittenForm| IdWriting {
        form: form.into(),
        region: arguments.region.filter(|_| phones(kind, form)),
        ..matching.id_writing(kind)
    };
    let of = |kind: &IdKind, form| normaliser(kind, &writing(kind, form));
    let consent = consents(desk, arguments)?;
    let (from, to) = (
        of(&link.from, arguments.from_form)?,
        of(&link.to, arguments.to_form)?,
    );
    let mut taking = Taking {
        arguments,
        gathering: Gathering::new(from, to, today(), until),
        asking: Asking::by(desk.terms(), consent.clone())?,
        invalid: FirstFew::default(),
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
    let (pairs, tally) = taking.gathering.finish(&leaves);
    Ok(Read {
        pairs,
        tally,
        invalid: taking.invalid,
        consent,
        leaves,
    })
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
        let row = Row {
            from,
            to,
            recorded: self.arguments.recorded.as_ref().map(|_| recorded),
            expires: self.arguments.expires.as_ref().map(|_| expires),
        };
        let asking = &mut self.asking;
        let agreed = || match asking.column.is_some() {
            true => asking.agreed(agreed, at),
            false => Leaves::EVERYTHING,
        };
        match self.gathering.row(row, agreed) {
            Ok(()) => {}
            Err(RowFault::Id) => self.invalid.note(at),
            Err(RowFault::Day) => self.unread.note(at),
        }
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
    /// Ids with a link.
    pub fn looked_up_ids(&self) -> Vec<String> {
        links::looked_up_ids(&self.pairs)
    }

    /// Ids that links lead to.
    pub fn led_to_ids(&self) -> Vec<String> {
        links::led_to_ids(&self.pairs)
    }
}
