//! `match links`: which of a party's ids of one kind goes with which of another, left with the
//! providers so that they cannot read it.
//!
//! | module  | holds                                                              |
//! |---------|--------------------------------------------------------------------|
//! | here    | the desk that all verbs work at; sending again                     |
//! | `remove` | taking links back                                                  |
//! | `put`   | pairs, evaluated and sealed                                        |
//! | `pairs` | pairs out of files, with what their people agreed to               |
//! | `readers` | who may have sealed data by links                              |
//! | `due`   | who is still to be told, and what to put anew, for `status`         |
//! | `tell`  | the book's changes to each provider                                |
//!
//! Everything goes through the party's book ([`LinkBook`]): a command that is killed, or does not
//! reach a provider, leaves there what is still to be told.

mod due;
mod pairs;
mod put;
mod readers;
mod remove;
mod tell;

use std::collections::BTreeSet;
use std::fs::File;

use incamera_agreement::{Agreement, IdLink, Providers, SignedAgreement};
use incamera_provider::{LinkBook, Matter, TakenBack};
use incamera_types::{IdKind, PartyName, PurposeSet};
use serde_json::json;

use super::super::room_client;
use super::agreed::owner;
use crate::args::{LinksSend, MatchLinks, PartyFolder, UnderAgreement};
use crate::clock::today;
use crate::failure::{Context as _, Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::counted;
pub use due::{LinksDue, links_due, links_to_put};
pub use put::link_terms;
use readers::Readers;
use tell::Told;

const NOT_KEPT: &str = "the book of links was not read or written";

/// A verb of `match links`.
pub fn run(verb: &MatchLinks, printer: &Printer) -> Done {
    match verb {
        MatchLinks::Put(arguments) => put::run(arguments, printer),
        MatchLinks::Remove(arguments) => remove::run(arguments, printer),
        MatchLinks::Send(arguments) => send(arguments, printer),
    }
}

/// What all verbs work with.
struct Desk<'a> {
    folder: &'a Folder,
    agreement: &'a SignedAgreement,
    printer: &'a Printer,
    book: LinkBook,
    _lock: File,
}

impl<'a> Desk<'a> {
    fn open(
        folder: &'a Folder,
        agreement: &'a SignedAgreement,
        printer: &'a Printer,
    ) -> Result<Self, Failure> {
        let lock = folder.links_lock()?;
        let mut book = LinkBook::open(&folder.links()).or_fail(NOT_KEPT)?;
        book.drop_over(today()).or_fail(NOT_KEPT)?;
        let mut desk = Self {
            folder,
            agreement,
            printer,
            book,
            _lock: lock,
        };
        let (matter, providers) = (desk.matter(), desk.providers());
        let purposes = desk.terms().leaf_purposes();
        let dropped = (desk.book).drop_other_purposes(&matter, &purposes, providers);
        dropped.or_fail(NOT_KEPT)?;
        Ok(desk)
    }

    fn terms(&self) -> &Agreement {
        self.agreement.agreement()
    }

    fn matter(&self) -> Matter {
        Matter {
            agreement_id: self.terms().id,
            epoch: self.terms().matching.epoch,
        }
    }

    fn providers(&self) -> &'a [PartyName] {
        let agreement: &'a Agreement = self.agreement.agreement();
        let providers = agreement.matching.providers.as_ref();
        providers.map_or(&[], |providers| &providers.names)
    }

    fn take_back(
        &mut self,
        kind: &IdKind,
        ids: &BTreeSet<String>,
        purposes: Option<&PurposeSet>,
    ) -> Result<TakenBack, Failure> {
        let (matter, providers) = (self.matter(), self.providers());
        let taken = self.book.take_back(&matter, kind, ids, purposes, providers);
        taken.or_fail(NOT_KEPT)
    }
}

/// The party's folder, and an agreement by which it may have links.
fn opened(
    party: &PartyFolder,
    under: &UnderAgreement,
) -> Result<(Folder, SignedAgreement), Failure> {
    let folder = Folder::open(&party.party)?;
    let file = folder.agreement_file(under.agreement.as_deref())?;
    let signed = room_client::own_agreement(&folder, &file)?;
    owner(signed.agreement(), folder.name())?;
    if links_of(signed.agreement()).is_empty() {
        return Err(Failure::usage("the agreement has no links between kinds of id")
            .hint("`links = [{ from = \"cookie\", to = \"email\" }]` under [matching] says which kinds are linked, with method provider"));
    }
    Ok((folder, signed))
}

/// The pairs of kinds that the agreement links.
pub fn links_of(agreement: &Agreement) -> &[IdLink] {
    let providers = agreement.matching.providers.as_ref();
    providers.map_or(&[], |providers| &providers.links)
}

/// How many providers must have an entry alike for it to count.
pub fn needed(agreement: &Agreement) -> usize {
    let providers = agreement.matching.providers.as_ref();
    providers.map_or(usize::MAX, Providers::alike)
}

/// Tells what could not be told before.
fn send(arguments: &LinksSend, printer: &Printer) -> Done {
    let (folder, agreement) = opened(&arguments.party, &arguments.under)?;
    let mut desk = Desk::open(&folder, &agreement, printer)?;
    let told = tell::all(&mut desk)?;
    all_told(&told, "not all providers were told of the links")?;
    let matter = desk.matter();
    let booked = desk.book.booked().or_fail(NOT_KEPT)?;
    let booked: Vec<_> = booked.iter().filter(|of| of.matter == matter).collect();
    let lines = booked.iter().map(|of| {
        let pairs = counted(of.edges, "pair", "pairs");
        format!("\n  {}: {pairs} of ids", of.link)
    });
    let text = told.words() + &lines.collect::<String>();
    let each = booked
        .iter()
        .map(|of| json!({ "from": of.link.from, "to": of.link.to, "pairs": of.edges }));
    let document = json!({
        "links": each.collect::<Vec<_>>(), "providers": told.document(),
    });
    printer.result(text.trim_start(), "incamera-links-sent/1", &document);
    Ok(())
}

const STILL_THERE: &str = "a provider still has links that were taken back";

fn all_told(told: &Told, what: &str) -> Done {
    match told.not_told.is_empty() {
        true => Ok(()),
        false => Err(told.failure(what)),
    }
}

/// Whether a party has told of links by this agreement; with ids, of links from these or to them.
pub fn has_any(
    folder: &Folder,
    agreement: &SignedAgreement,
    of: Option<(&IdKind, &BTreeSet<String>)>,
    printer: &Printer,
) -> Result<bool, Failure> {
    if !folder.links().exists() {
        return Ok(false);
    }
    let mut desk = Desk::open(folder, agreement, printer)?;
    let matter = desk.matter();
    let found = match of {
        Some((kind, ids)) => {
            (desk.book.unknown(&matter, kind, ids)).map(|unknown| unknown < ids.len() as u64)
        }
        None => desk.book.booked().map(|all| {
            let mut all = all.iter();
            all.any(|of| of.matter.agreement_id == matter.agreement_id)
        }),
    };
    found.or_fail(NOT_KEPT)
}

/// Takes back the links of people who are forgotten, or took a purpose back, wherever the party
/// has told of some. A provider that is not reached is told of by a warning, and by what is
/// returned, to end with once all else is done.
pub fn withdrawn(
    folder: &Folder,
    agreement: &SignedAgreement,
    (kind, ids): (&IdKind, &BTreeSet<String>),
    purposes: Option<&PurposeSet>,
    printer: &Printer,
) -> Result<Option<Failure>, Failure> {
    if !folder.links().exists() {
        return Ok(None);
    }
    let mut desk = Desk::open(folder, agreement, printer)?;
    let taken = desk.take_back(kind, ids, purposes)?;
    if taken == TakenBack::default() {
        return Ok(None);
    }
    let told = tell::all(&mut desk)?;
    printer.note(format!(
        "links of {} were taken back; {}",
        counted(taken.ids, "id", "ids"),
        Readers::of(desk.terms(), folder.name(), kind).words()
    ));
    for (name, why) in &told.not_told {
        printer.warn(format!(
            "`{name}` still has links that were taken back ({why}): run `incamera match links send` until it was told"
        ));
    }
    let failure = || told.failure(STILL_THERE);
    Ok((!told.not_told.is_empty()).then(failure))
}
