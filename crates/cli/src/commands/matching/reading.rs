//! The rows of a party's files, as they are read: normalised, counted, and with what their people
//! agreed to. `match run` takes those of its part, `match split` all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use incamera_agreement::{Agreement, no_rules};
use incamera_matching::ids::{IdFault, Leaves, NUMBERING, Normaliser};
use incamera_seal::{Named, RowPlace, Source, SourceError, named, read_columns};
use incamera_types::{IdForm, IdKind, IdRules, IdSort, IdWriting, PartyName};
use indicatif::ProgressBar;

use super::super::ids::normaliser;
use super::super::seal::mend_source;
use super::consented::Asking;
use super::counted::Rows;
use crate::args::AskedConsents;
use crate::failure::{Done, Failure};
use crate::printer::Printer;
use crate::words::counted;

/// What is read, and how.
pub struct Reading<'a> {
    pub agreement: &'a Agreement,
    pub me: &'a PartyName,
    pub printer: &'a Printer,
    /// The kind of the ids in the data.
    pub kind: &'a IdKind,
    pub column: &'a str,
    pub writing: IdWriting,
    pub asked: &'a AskedConsents,
    pub data: &'a [PathBuf],
    pub sources: &'a [Source],
}

/// Takes rows that have an id.
pub trait Takes {
    /// Whether this id is asked for; what its person agreed to is not looked at otherwise.
    fn wants(&self, id: &str) -> bool;

    /// A row's id, and a bit for each purpose agreed to.
    fn take(&mut self, id: &str, purposes: u64) -> Done;
}

impl Reading<'_> {
    /// Hands every row to `taker`; `what` stands at the bar. What is said of them is complete but
    /// for rows that the taker did not want.
    pub fn all(&self, what: &str, taker: &mut dyn Takes) -> Result<Rows, Failure> {
        let bar = self.printer.progress(what, None);
        let mut taking = Taking {
            taker,
            normaliser: normaliser(self.kind, &self.writing)?,
            asking: Asking::of(self)?,
            id: String::new(),
            rows: Rows::default(),
            failed: None,
        };
        for (path, source) in self.data.iter().zip(self.sources) {
            taking.source(self, path, source, &bar)?;
        }
        bar.finish_and_clear();
        taking.asking.all_understood(self.data)?;
        let mut rows = taking.rows;
        rows.consent = taking
            .asking
            .column
            .filter(|_| rows.unasked < rows.counts.rows);
        Ok(rows)
    }
}

/// Rows on their way.
struct Taking<'a> {
    taker: &'a mut dyn Takes,
    normaliser: Normaliser,
    asking: Asking,
    id: String,
    rows: Rows,
    failed: Option<Failure>,
}

/// Rows between two looks at the clock, which a bar takes each time that it is told.
const ROWS_A_LOOK: u64 = 1024;

impl Taking<'_> {
    fn source(
        &mut self,
        reading: &Reading<'_>,
        path: &Path,
        source: &Source,
        bar: &ProgressBar,
    ) -> Done {
        let ids = reading.column;
        // First: in a file without ids the column of consents is not what is missing.
        has_column(path, source, ids)?;
        let consents = self.asking.column_in(reading, path, source)?;
        let read = match consents.map(str::to_owned) {
            Some(consents) => read_columns(source, [ids, &consents], &mut |at, [id, text]| {
                self.row(at, id, Some(text));
                self.show(bar);
            }),
            None => read_columns(source, [ids], &mut |at, [id]| {
                self.row(at, id, None);
                self.show(bar);
            }),
        };
        read.map_err(|error| source_failure(path, &error))?;
        self.failed.take().map_or(Ok(()), Err)
    }

    fn show(&self, bar: &ProgressBar) {
        let rows = self.rows.counts.rows;
        if rows.is_multiple_of(ROWS_A_LOOK) {
            bar.set_position(rows);
        }
    }

    /// A row, with what its column of consents says where there is one.
    fn row(&mut self, at: RowPlace<'_>, id: &str, consent: Option<&str>) {
        let normalised = self.normaliser.normalise(id, &mut self.id);
        self.rows.counts.row(&normalised);
        self.rows.unasked += u64::from(consent.is_none());
        if let Ok(id) = &normalised {
            self.rows.often.row(id);
        }
        match normalised {
            Ok(id) if !self.taker.wants(id) => self.rows.elsewhere += 1,
            Ok(id) => {
                let agreed = consent.map(|text| self.asking.agreed(text, at));
                let agreed = agreed.unwrap_or(Leaves::EVERYTHING);
                if self.failed.is_none() {
                    self.failed = self.taker.take(id, agreed).err();
                }
            }
            Err(IdFault::Empty) => {}
            Err(_) => self.rows.invalid.note(at),
        }
    }
}

impl Rows {
    /// Why nobody is left, where nobody is, and what to do about it.
    pub fn nobody(&self, kind: &IdKind, column: &str, writing: &IdWriting) -> Failure {
        let counts = &self.counts;
        let (why, hint) = match (counts.rows, counts.valid()) {
            (0, _) => ("the data have no rows".to_owned(), NO_ROWS),
            (rows, 0) => (
                match rows {
                    1 => format!("the only row has no valid `{kind}` in the column `{column}`"),
                    rows => {
                        format!("of {rows} rows none has a valid `{kind}` in the column `{column}`")
                    }
                },
                no_valid(kind, writing, counts.encoded_digits > 0),
            ),
            (_, valid) => (
                format!(
                    "nobody of the {} with a valid `{kind}` agreed to a purpose of the agreement",
                    counted(valid, "row", "rows")
                ),
                "nothing was sent, and no run is used up: name the column that says what people agreed to with `--consent`; `match run --allow-empty` matches nobody",
            ),
        };
        Failure::failed("there is nothing to match")
            .why(why)
            .hint(hint)
    }

    /// Says what looks like a mistake.
    pub fn warn(&self, kind: &IdKind, column: &str, printer: &Printer) {
        let counts = &self.counts;
        if let Some(warning) = no_rules(kind) {
            printer.warn(warning);
        }
        if counts.encoded_digits > 0 {
            printer.warn(format!(
                "not matched, since they are base64 of a hash's digits: {} of the column `{column}`; {ENCODED_WORDS}",
                counted(counts.encoded_digits, "row", "rows")
            ));
        }
        if self.often.is_there() {
            printer.warn(format!(
                "one id of the column `{column}` stands in more than a fiftieth of all rows: if it is a word for nobody, such as NULL, N/A or 0, leave these fields empty; such rows count as one person, and match the other party's"
            ));
        }
        if counts.empty + counts.invalid > counts.rows / 2 {
            printer.warn(format!(
                "{} of {} without a valid `{kind}` in the column `{column}`: is it the right one?",
                counts.empty + counts.invalid,
                counted(counts.rows, "row", "rows")
            ));
        }
    }
}

/// What may be the reason that no id is one of its kind.
fn no_valid(kind: &IdKind, writing: &IdWriting, encoded: bool) -> &'static str {
    match (encoded, writing.form, numbering(kind, writing)) {
        (true, ..) => ENCODED,
        (_, IdForm::Sha256, _) => NO_HASHES,
        _ if writing.hashed => PERHAPS_HASHES,
        (.., "") => ANOTHER_COLUMN,
        _ => ANOTHER_REGION,
    }
}

/// The numbering plans that ids are read by, if they are.
pub fn numbering(kind: &IdKind, writing: &IdWriting) -> &'static str {
    let read = writing.rules > IdRules::First && writing.form == IdForm::Raw;
    let plans = read && kind.sort() == IdSort::Phone;
    if plans { NUMBERING } else { "" }
}

const NO_HASHES: &str = "nothing was sent, and no run is used up: leave `--form` out if the column has ids as people write them, or name the column that has their SHA-256 with `--column`";
const PERHAPS_HASHES: &str = "nothing was sent, and no run is used up: say `--form sha256` if the column has hashes; or name the column that holds the ids with `--column`, and the kind with `--id`";
const ANOTHER_COLUMN: &str = "nothing was sent, and no run is used up: name the column that holds the ids with `--column`, and the kind with `--id`";
const ANOTHER_REGION: &str = "nothing was sent, and no run is used up: numbers without a country code are read by the country that `--region` names, such as `--region DE`; or name the column that holds the numbers with `--column`, and the kind with `--id`";
const NO_ROWS: &str = "nothing was sent, and no run is used up: see that the file is whole; `match run --allow-empty` matches without a row";
const ENCODED_WORDS: &str =
    "encode the 32 bytes of the hash, not its 64 digits, or give the digits as they are";
const ENCODED: &str = "nothing was sent, and no run is used up: the ids are base64 of a hash's digits; encode the 32 bytes of the hash, or give the digits as they are";

/// Refuses a source without the ids before anything else is asked of it.
fn has_column(path: &Path, source: &Source, ids: &str) -> Done {
    let found = named(source, ids).map_err(|error| source_failure(path, &error))?;
    if found == Named::Everywhere {
        return Ok(());
    }
    let read = read_columns(source, [ids], &mut |_, _| {});
    read.map_or_else(
        |error| Err(unread(path, &error, &|_| "--column")),
        |_| Ok(()),
    )
}

/// What could not be read of a file that has the column of ids, or was not looked at yet.
pub fn source_failure(path: &Path, error: &SourceError) -> Failure {
    unread(path, error, &|_| "--column")
}

/// What could not be read; a column that is not there can be named with its flag.
pub fn unread(path: &Path, error: &SourceError, flag: &dyn Fn(&str) -> &'static str) -> Failure {
    let what = format!(
        "the ids in `{}` were not read",
        Source::shown(path).display()
    );
    let hint = match error {
        SourceError::MissingColumns { names, .. } | SourceError::OtherCase { names, .. } => {
            let flags: BTreeSet<_> = names.iter().map(|name| flag(name)).collect();
            let flags: Vec<_> = flags.iter().map(|flag| format!("`{flag}`")).collect();
            format!(
                "nothing was sent: name the column with {} as the file has it",
                flags.join(" and ")
            )
        }
        _ => mend_source(error)
            .unwrap_or("nothing was sent: mend the file and run it again")
            .to_owned(),
    };
    Failure::failed(what).because(error).hint(hint)
}
