//! `match links remove`: links of people are taken back, wherever they were told.

use std::collections::BTreeSet;
use std::time::Instant;

use incamera_agreement::{IdLink, SignedAgreement};
use incamera_matching::ids::Counts;
use incamera_provider::TakenBack;
use incamera_seal::read_columns;
use incamera_types::IdKind;
use serde_json::{Map, Value, json};

use super::super::super::ids::normaliser;
use super::super::counted::FirstFew;
use super::super::reading::source_failure;
use super::super::report::{Pace, fields};
use super::super::ring;
use super::readers::Readers;
use super::tell::{self, Told};
use super::{Desk, NOT_KEPT, STILL_THERE, all_told, links_of, opened};
use crate::args::LinksRemove;
use crate::failure::{Context as _, Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::counted;

/// Takes the links of people back.
pub fn run(arguments: &LinksRemove, printer: &Printer) -> Done {
    let start = Instant::now();
    let (folder, agreement) = opened(&arguments.party, &arguments.under)?;
    in_links(&arguments.id, links_of(agreement.agreement()))?;
    let named = Named::read(arguments, &folder, &agreement)?;
    let mut desk = Desk::open(&folder, &agreement, printer)?;
    let (matter, ids) = (desk.matter(), &named.ids);
    let unknown = desk.book.unknown(&matter, &arguments.id, ids);
    let unknown = unknown.or_fail(NOT_KEPT)?;
    let taken = desk.take_back(&arguments.id, ids, None)?;
    let told = tell::all(&mut desk)?;
    let report = Report {
        arguments,
        named: &named,
        unknown,
        taken,
        told: &told,
        readers: Readers::of(desk.terms(), folder.name(), &arguments.id),
        pace: Pace::of(named.ids.len() as u64, start),
        start,
    };
    all_told(&told, STILL_THERE)?;
    printer.result(
        report.text(),
        "incamera-links-removed/1",
        &report.document(),
    );
    Ok(())
}

/// Refuses a kind of id that no link is from or to.
fn in_links(kind: &IdKind, links: &[IdLink]) -> Done {
    let kinds: BTreeSet<&IdKind> = links
        .iter()
        .flat_map(|link| [&link.from, &link.to])
        .collect();
    match kinds.contains(kind) {
        true => Ok(()),
        false => {
            let known = kinds
                .iter()
                .map(|kind| format!("`{kind}`"))
                .collect::<Vec<_>>();
            Err(
                Failure::usage(format!("the agreement has no links of kind `{kind}`")).hint(
                    format!(
                        "name a kind that has them with `--id`: {}",
                        known.join(" or ")
                    ),
                ),
            )
        }
    }
}

/// Whose links are to go.
#[derive(Default)]
struct Named {
    ids: BTreeSet<String>,
    counts: Counts,
    duplicates: u64,
    invalid: FirstFew,
}

impl Named {
    fn read(
        arguments: &LinksRemove,
        folder: &Folder,
        agreement: &SignedAgreement,
    ) -> Result<Self, Failure> {
        let terms = agreement.agreement();
        let (kind, ids) = (&arguments.id, &arguments.ids);
        let writing = ids.writing(terms.matching.id_writing(kind));
        let (normaliser, column) = (normaliser(kind, &writing)?, ids.column(kind));
        let (mut named, mut id) = (Self::default(), String::new());
        let sources = ring::sources(&arguments.data, &folder.ring()?, &terms.id)?;
        for (path, source) in arguments.data.iter().zip(&sources) {
            let read = read_columns(source, [column], &mut |at, [text]| {
                let invalid = named.counts.invalid;
                let normalised = normaliser.normalise(text, &mut id);
                named.counts.row(&normalised);
                if named.counts.invalid > invalid {
                    named.invalid.note(at);
                }
                if let Ok(id) = normalised {
                    named.duplicates += u64::from(!named.ids.insert(id.to_owned()));
                }
            });
            read.map_err(|error| source_failure(path, &error))?;
        }
        match named.ids.is_empty() {
            false => Ok(named),
            true => Err(Failure::failed("no links were taken back")
                .why(format!(
                    "the data have no valid `{}` in the column `{column}`",
                    arguments.id
                ))
                .hint("name the column that holds the ids with `--column`")),
        }
    }
}

struct Report<'a> {
    arguments: &'a LinksRemove,
    named: &'a Named,
    /// Ids that the book has no link of.
    unknown: u64,
    taken: TakenBack,
    told: &'a Told,
    readers: Readers,
    pace: Pace,
    start: Instant,
}

impl Report<'_> {
    fn text(&self) -> String {
        let Named {
            ids,
            counts,
            duplicates,
            invalid,
        } = self.named;
        let mut text = format!(
            "the links of {} were taken back: {} ({:.1} s)\n  rows {}, empty {}, invalid {}, duplicates {duplicates}, distinct {}, without links {}",
            counted(self.taken.ids, "id", "ids"),
            counted(self.taken.entries, "entry", "entries"),
            self.start.elapsed().as_secs_f64(),
            counts.rows,
            counts.empty,
            counts.invalid,
            ids.len(),
            self.unknown,
        );
        if invalid.count > 0 {
            text += &format!("\n  invalid: {}", invalid.words(&self.arguments.data));
        }
        text + &format!(
            "\n  {}\n{}\n  {}",
            self.pace.words(),
            self.told.words(),
            self.readers.words()
        )
    }

    fn document(&self) -> Map<String, Value> {
        let (named, taken) = (self.named, self.taken);
        let mut document = fields(json!({
            "id_kind": self.arguments.id, "rows": named.counts.rows,
            "empty": named.counts.empty, "invalid": named.counts.invalid,
            "duplicates": named.duplicates, "ids": named.ids.len(),
            "without_links": self.unknown, "ids_that_lost_links": taken.ids,
            "entries": taken.entries, "seal_again": self.readers.document(),
            "providers": self.told.document(),
        }));
        document.extend(self.pace.fields());
        document
    }
}
