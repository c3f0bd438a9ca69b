//! Ids on their way in: out of files and the crosswalk, into their order.

use incamera_matching::finish::Row;
use incamera_matching::intake::{Choice, Intake, Ordered};
use incamera_matching::sort::SortError;
use incamera_matching::{MatchInput, Method, Mode, Part, Reveals, Seed};
use incamera_types::MatchInputDigest;

use super::super::ids::form_words;
use super::Work;
use super::counted::Rows;
use super::counting::Counting;
use super::files::FileStore;
use super::kept::Earlier;
use super::reading::Takes;
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

    /// Before anybody is dialled: a run without ids uses one up, and is more often a mistake than
    /// meant.
    pub fn enough_valid(&self, work: &Work<'_>, printer: &Printer) -> Done {
        let (kind, column) = (work.kind_of_ids(), work.column());
        // A part may have none of them: the peer's are answered.
        let none = self.ordered.taken.distinct == 0 && self.rows.elsewhere == 0;
        if none && work.mode() == Mode::Full && !work.arguments.allow_empty {
            return Err(self.rows.nobody(kind, column, &work.writing()));
        }
        if let Some(otherwise) = &self.otherwise {
            printer.warn(otherwise);
        }
        self.rows.warn(kind, column, printer);
        Ok(())
    }
}

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

/// Rows of the part on their way into the intake.
struct Taking<'a> {
    intake: &'a mut Intake<FileStore>,
    part: Part,
}

impl Takes for Taking<'_> {
    fn wants(&self, id: &str) -> bool {
        self.part.has(id)
    }

    fn take(&mut self, id: &str, purposes: u64) -> Done {
        let taken = self.intake.row(id, purposes);
        taken.map_err(|error| unsorted(&error))
    }
}

fn rows(work: &Work<'_>, intake: &mut Intake<FileStore>) -> Result<Rows, Failure> {
    let mut taking = Taking {
        intake,
        part: work.terms.part(work.partition),
    };
    match &work.split {
        Some(split) => split.rows(work.printer, &mut taking),
        None => work.reading().all("reading ids", &mut taking),
    }
}

/// What could not be sorted.
pub fn unsorted(error: &SortError) -> Failure {
    Failure::failed("the ids were not sorted")
        .because(error)
        .or_hint("see that the party's folder can be written, and run it again")
}
