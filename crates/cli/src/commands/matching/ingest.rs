//! Ids on their way in: out of files and the crosswalk, into their order.

use std::path::Path;

use incamera_matching::finish::Row;
use incamera_matching::ids::IdFault;
use incamera_matching::intake::{Choice, Intake, Ordered};
use incamera_matching::sort::SortError;
use incamera_matching::{MatchInput, Mode, Partition, Reveals, Seed};
use incamera_seal::{Source, SourceError, read_texts};
use incamera_types::MatchInputDigest;

use super::super::ids::normaliser;
use super::super::seal::mend_address;
use super::Work;
use super::files::FileStore;
use super::kept::Earlier;
use crate::failure::{Done, Failure};
use crate::printer::Printer;

/// What the rows of the files were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    pub rows: u64,
    pub empty: u64,
    pub invalid: u64,
}

/// Ids in the order in which they travel, and the digest of all that went in.
pub struct Input {
    pub ordered: Ordered<FileStore>,
    pub rows: Rows,
    pub digest: MatchInputDigest,
}

impl Input {
    /// Reads everything, for a run with this seed.
    pub fn read(work: &Work<'_>, seed: &Seed) -> Result<Self, Failure> {
        let mut rng = rand::rng();
        let (order, known) = (seed.order_key(), seed.known_key());
        let mut intake = Intake::new(&order, &known, &work.slot.store(), work.memory(), &mut rng);
        // Before the rows: whoever is forgotten from here on may still stand in them.
        earlier(work, &mut intake)?;
        let rows = rows(work, &mut intake)?;
        let choice = Choice {
            mode: work.mode(),
            absent: work.terms.reveals == Reveals::Nothing,
        };
        let ordered = intake.finish(choice).map_err(|error| unsorted(&error))?;
        let digest = MatchInput {
            terms: &work.terms,
            rules: work.alike().rules,
            mode: work.mode(),
            partition: Partition::WHOLE,
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
        })
    }

    /// Before anybody is dialled: a run without ids would use one up for nothing.
    pub fn enough_valid(&self, work: &Work<'_>, printer: &Printer) -> Done {
        let (kind, column) = (&work.terms.id_kind, work.column());
        let Rows {
            rows,
            empty,
            invalid,
        } = self.rows;
        let valid = rows - empty - invalid;
        if valid == 0 && work.mode() == Mode::Full {
            let why = match rows {
                0 => "the data have no rows".to_owned(),
                rows => {
                    format!("of {rows} rows none has a valid `{kind}` in the column `{column}`")
                }
            };
            return Err(Failure::failed("there is nothing to match").why(why).hint(
                "nothing was sent, and no run is used up: name the column that holds the ids with `--column`, and the kind with `--id`",
            ));
        }
        if empty + invalid > rows / 2 {
            printer.warn(format!(
                "{} of {rows} rows have no valid `{kind}` in the column `{column}`: is it the right one?",
                empty + invalid
            ));
        }
        Ok(())
    }
}

/// The ids that have pseudonyms already.
fn earlier(work: &Work<'_>, intake: &mut Intake<FileStore>) -> Done {
    let Some(mut earlier) = Earlier::open(work)? else {
        return Ok(());
    };
    let mut row = Row::default();
    while earlier.fill(&mut row)? {
        intake.known(&row.id).map_err(|error| unsorted(&error))?;
    }
    Ok(())
}

fn rows(work: &Work<'_>, intake: &mut Intake<FileStore>) -> Result<Rows, Failure> {
    let bar = work.printer.progress("reading ids", None);
    let (kind, column) = (&work.terms.id_kind, work.column());
    let normaliser = normaliser(work.agreement.agreement(), kind)?;
    let mut id = String::new();
    let mut rows = Rows::default();
    let mut failed: Option<SortError> = None;
    for (path, source) in work.arguments.data.iter().zip(&work.sources) {
        let mut each = |text: &str| {
            rows.rows += 1;
            bar.inc(1);
            match normaliser.normalise(text, &mut id) {
                Ok(id) if failed.is_none() => failed = intake.row(id, u64::MAX).err(),
                Ok(_) => {}
                Err(IdFault::Empty) => rows.empty += 1,
                Err(_) => rows.invalid += 1,
            }
        };
        read_texts(source, column, &mut each).map_err(|error| source_failure(path, &error))?;
        if let Some(error) = &failed {
            return Err(unsorted(error));
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// What could not be sorted.
pub fn unsorted(error: &SortError) -> Failure {
    Failure::failed("the ids were not sorted")
        .because(error)
        .or_hint("see that the party's folder can be written, and run it again: nothing is lost")
}

/// What could not be read.
pub fn source_failure(path: &Path, error: &SourceError) -> Failure {
    let what = format!(
        "the ids in `{}` were not read",
        Source::shown(path).display()
    );
    let hint = match error {
        SourceError::MissingColumns { .. } => {
            "name the column with `--column` if it is not called like the kind of id"
        }
        _ => mend_address(error).unwrap_or("nothing was sent: mend the file and run it again"),
    };
    Failure::failed(what).because(error).hint(hint)
}
