//! Ids on their way in: out of files and the crosswalk, into their order.

use std::collections::BTreeSet;
use std::path::Path;

use incamera_matching::finish::Row;
use incamera_matching::ids::{IdFault, Leaves, Normaliser};
use incamera_matching::intake::{Choice, Intake, Ordered};
use incamera_matching::sort::SortError;
use incamera_matching::{MatchInput, Method, Mode, Part, Reveals, Seed};
use incamera_seal::{Named, RowPlace, Source, SourceError, named, read_columns};
use incamera_types::{IdForm, MatchInputDigest};
use indicatif::ProgressBar;

use super::super::ids::{form_words, normaliser};
use super::super::seal::mend_source;
use super::Work;
use super::consented::Asking;
use super::counted::Rows;
use super::counting::Counting;
use super::files::FileStore;
use super::kept::Earlier;
use crate::failure::{Done, Exit, Failure};
use crate::printer::Printer;

/// Ids in the order in which they travel, and the digest of all that went in.
pub struct Input {
    pub ordered: Ordered<FileStore>,
    pub rows: Rows,
    pub digest: MatchInputDigest,
    /// What to tell where earlier runs read ids in another way, once it is known that this one
    /// does read them.
    otherwise: Option<String>,
}

impl Input {
    /// Reads everything, for a run with this seed.
    pub fn read(work: &Work<'_>, seed: &Seed) -> Result<Self, Failure> {
        let (store, memory, mut rng) = (work.slot.store(), work.memory(), rand::rng());
        let (order, known) = (seed.order_key(), seed.known_key());
        let mut intake = match work.terms.method {
            // Tags are shuffled later, and nothing else shows an order.
            Method::Vole => Intake::by_id(&store, memory, &mut rng),
            _ => Intake::new(&order, &known, &store, memory, &mut rng),
        };
        // Before the rows: whoever is forgotten from here on may still stand in them.
        let otherwise = earlier(work, &mut intake)?;
        let rows = rows(work, &mut intake)?;
        let choice = Choice {
            mode: work.mode(),
            // Providers prove what they do, and by `vole` nobody keeps a pseudonym: nothing is
            // matched again to be compared.
            absent: work.terms.reveals == Reveals::Nothing
                && !matches!(work.terms.method, Method::Provider | Method::Vole),
        };
        let ordered = intake.finish(choice).map_err(|error| unsorted(&error))?;
        let digest = MatchInput {
            terms: &work.terms,
            rules: work.alike().rules,
            mode: work.mode(),
            partition: work.partition,
            me: work.folder.name(),
            peer: &work.peer,
            ids: ordered.rows_digest,
            crosswalk: ordered.earlier_digest,
        }
        .digest();
        Ok(Self {
            ordered,
            rows,
            digest,
            otherwise,
        })
    }

    /// Before anybody is dialled: the other party would refuse more than the agreement allows.
    pub fn within_limits(&self, work: &Work<'_>, counting: &Counting) -> Done {
        let (own, allowed) = (self.ordered.len(), work.terms.max_ids);
        if own
            <= counting
                .own_base()
                .limit(work.mode(), allowed, work.partition)
        {
            return Ok(());
        }
        let (why, hint) = match work.mode() {
            Mode::Append => (
                format!(
                    "with {own} more, the ids since the last run with all of them are more than the {allowed} that the agreement allows"
                ),
                "match all ids in one run, without `--append`, or agree on a version with a larger `max_ids`",
            ),
            _ => (
                format!("{own} distinct ids are more than the {allowed} that the agreement allows"),
                "match fewer ids, or agree on a version with a larger `max_ids`",
            ),
        };
        Err(Failure::new(Exit::Refused, "these are too many ids")
            .why(why)
            .hint(hint))
    }

    /// Before anybody is dialled: a run without ids would use one up for nothing.
    pub fn enough_valid(&self, work: &Work<'_>, printer: &Printer) -> Done {
        let (kind, column) = (work.kind_of_ids(), work.column());
        let counts = &self.rows.counts;
        let (rows, valid) = (counts.rows, counts.valid());
        let encoded = counts.encoded_digits > 0;
        // A part may have none of them: the peer's are answered.
        let none = self.ordered.taken.distinct == 0 && self.rows.elsewhere == 0;
        if none && work.mode() == Mode::Full {
            let (why, hint) = match (rows, valid) {
                (0, _) => ("the data have no rows".to_owned(), NO_ROWS),
                (rows, 0) => (
                    format!("of {rows} rows none has a valid `{kind}` in the column `{column}`"),
                    no_valid(work, encoded),
                ),
                (_, valid) => (
                    format!(
                        "nobody of the {valid} rows with a valid `{kind}` agreed to a purpose of the agreement"
                    ),
                    "nothing was sent, and no run is used up: name the column that says what people agreed to with `--consent`",
                ),
            };
            return Err(Failure::failed("there is nothing to match")
                .why(why)
                .hint(hint));
        }
        if let Some(otherwise) = &self.otherwise {
            printer.warn(otherwise);
        }
        if encoded {
            printer.warn(format!(
                "{} rows of the column `{column}` are base64 of a hash's digits and are not matched: {ENCODED_WORDS}",
                counts.encoded_digits
            ));
        }
        if counts.empty + counts.invalid > rows / 2 {
            printer.warn(format!(
                "{} of {rows} rows have no valid `{kind}` in the column `{column}`: is it the right one?",
                counts.empty + counts.invalid
            ));
        }
        Ok(())
    }
}

/// What may be the reason that no id is one of its kind.
fn no_valid(work: &Work<'_>, encoded: bool) -> &'static str {
    let writing = work.writing();
    match (encoded, writing.form, work.numbering()) {
        (true, ..) => ENCODED,
        (_, IdForm::Sha256, _) => NO_HASHES,
        _ if writing.hashed => PERHAPS_HASHES,
        (.., "") => ANOTHER_COLUMN,
        _ => ANOTHER_REGION,
    }
}

const NO_HASHES: &str = "nothing was sent, and no run is used up: leave `--form` out if the column has ids as people write them, or name the column that has their SHA-256 with `--column`";
const PERHAPS_HASHES: &str = "nothing was sent, and no run is used up: say `--form sha256` if the column has hashes; or name the column that holds the ids with `--column`, and the kind with `--id`";
const ANOTHER_COLUMN: &str = "nothing was sent, and no run is used up: name the column that holds the ids with `--column`, and the kind with `--id`";
const ANOTHER_REGION: &str = "nothing was sent, and no run is used up: numbers without a country code are read by the country that `--region` names, such as `--region DE`; or name the column that holds the numbers with `--column`, and the kind with `--id`";
const NO_ROWS: &str = "nothing was sent, and no run is used up: see that the file is whole; a run needs at least one row";
const ENCODED_WORDS: &str =
    "encode the 32 bytes of the hash, not its 64 digits, or give the digits as they are";
const ENCODED: &str = "nothing was sent, and no run is used up: the ids are base64 of a hash's digits; encode the 32 bytes of the hash, or give the digits as they are";

/// The ids that have pseudonyms already; says so if earlier runs read ids in another way.
fn earlier(work: &Work<'_>, intake: &mut Intake<FileStore>) -> Result<Option<String>, Failure> {
    let Some(mut earlier) = Earlier::open(work)? else {
        return Ok(None);
    };
    let (before, now) = (earlier.writing(), work.writing());
    let otherwise = (before != now).then(|| {
        format!(
            "earlier runs read ids {}, this one {}: from now on `data seal` reads files as this run does",
            form_words(&before),
            form_words(&now)
        )
    });
    let mut row = Row::default();
    while earlier.fill(&mut row)? {
        intake.known(&row.id).map_err(|error| unsorted(&error))?;
    }
    Ok(otherwise)
}

/// Rows on their way into the intake.
struct Taking<'a> {
    intake: &'a mut Intake<FileStore>,
    normaliser: Normaliser,
    part: Part,
    asking: Asking,
    id: String,
    rows: Rows,
    failed: Option<SortError>,
}

/// Rows between two looks at the clock, which a bar takes each time that it is told.
const ROWS_A_LOOK: u64 = 1024;

impl Taking<'_> {
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
        match normalised {
            Ok(id) if !self.part.has(id) => self.rows.elsewhere += 1,
            Ok(id) => {
                let agreed = consent.map(|text| self.asking.agreed(text, at));
                let agreed = agreed.unwrap_or(Leaves::EVERYTHING);
                if self.failed.is_none() {
                    self.failed = self.intake.row(id, agreed).err();
                }
            }
            Err(IdFault::Empty) => {}
            Err(_) => self.rows.invalid.note(at),
        }
    }
}

fn rows(work: &Work<'_>, intake: &mut Intake<FileStore>) -> Result<Rows, Failure> {
    let bar = work.printer.progress("reading ids", None);
    let mut taking = Taking {
        intake,
        normaliser: normaliser(work.kind_of_ids(), &work.writing())?,
        part: work.terms.part(work.partition),
        asking: Asking::of(work)?,
        id: String::new(),
        rows: Rows::default(),
        failed: None,
    };
    let ids = work.column();
    for (path, source) in work.arguments.data.iter().zip(&work.sources) {
        // First: in a file without ids the column of consents is not what is missing.
        has_column(path, source, ids)?;
        let consents = taking.asking.column_in(work, path, source)?;
        let read = match consents.map(str::to_owned) {
            Some(consents) => read_columns(source, [ids, &consents], &mut |at, [id, text]| {
                taking.row(at, id, Some(text));
                taking.show(&bar);
            }),
            None => read_columns(source, [ids], &mut |at, [id]| {
                taking.row(at, id, None);
                taking.show(&bar);
            }),
        };
        read.map_err(|error| source_failure(path, &error))?;
        if let Some(error) = &taking.failed {
            return Err(unsorted(error));
        }
    }
    bar.finish_and_clear();
    taking.asking.all_understood(&work.arguments.data)?;
    let mut rows = taking.rows;
    rows.consent = taking
        .asking
        .column
        .filter(|_| rows.unasked < rows.counts.rows);
    Ok(rows)
}

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

/// What could not be sorted.
pub fn unsorted(error: &SortError) -> Failure {
    Failure::failed("the ids were not sorted")
        .because(error)
        .or_hint("see that the party's folder can be written, and run it again")
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
