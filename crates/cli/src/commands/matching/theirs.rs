//! What is kept of the peer's rows between runs, where the agreement reveals own matches: ids
//! that are appended later meet them.

use incamera_matching::exchange::Agreed;
use incamera_matching::journal::Before;
use incamera_matching::theirs::{TheirsError, TheirsKey, TheirsReader, TheirsWriter};
use incamera_matching::{Mode, Reveals, Value};
use incamera_types::MatchRunDigest;
use rand::rngs::ThreadRng;

use super::Work;
use super::counting::Counting;
use super::files::LogFile;
use crate::failure::{Context, Done, Failure};

const NOT_KEPT: &str = "what is kept of the other party's rows was not written";

/// Before a run is counted: its peer may send its new ids alone only where all that it sent
/// before is here, and can be read to its end.
pub fn must_be_there(work: &Work<'_>, counting: &Counting, agreed: &Agreed) -> Done {
    let reveals = work.terms.reveals == Reveals::OwnMatches;
    match agreed.peer_mode {
        Mode::Append if reveals && !counting.has(&agreed.run) => {
            let mut kept = earlier(work, counting, &agreed.run)?;
            while let Some(kept) = &mut kept
                && kept
                    .next()
                    .map_err(|error| not_read(work, &error))?
                    .is_some()
            {}
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What the runs before `run` gave of the peer's rows, or these and `run` itself, which was
/// interrupted at its end; none where there were no runs.
pub fn earlier(
    work: &Work<'_>,
    counting: &Counting,
    run: &MatchRunDigest,
) -> Result<Option<TheirsReader<LogFile>>, Failure> {
    let before = match counting.before(run) {
        Before::Nothing => return Ok(None),
        Before::Run(before) => before,
        _ => return Err(missing(work)),
    };
    let file = work.slot.theirs().or_fail(NOT_READ)?;
    let reader = TheirsReader::open(file.ok_or_else(|| missing(work))?, key(work));
    let reader = reader.map_err(|error| not_read(work, &error))?;
    match *reader.run() == before || reader.run() == run {
        true => Ok(Some(reader)),
        false => Err(missing(work)),
    }
}

const NOT_READ: &str = "what is kept of the other party's rows was not read";

/// The file is not there, or an interrupted run that was given up is not in it.
fn missing(work: &Work<'_>) -> Failure {
    let peer = &work.peer;
    Failure::failed("the matching was not done")
        .why(format!(
            "`{peer}` sends its new ids alone, and not all that it sent before is kept here: a run was given up, or a file was removed"
        ))
        .hint(mend(work))
}

/// What could not be read.
pub fn not_read(work: &Work<'_>, error: &TheirsError) -> Failure {
    Failure::failed(NOT_READ).because(error).hint(mend(work))
}

fn mend(work: &Work<'_>) -> String {
    format!(
        "ask `{}` to run it without `--append`: then all of its ids come, and take the place of what is kept",
        work.peer
    )
}

fn key(work: &Work<'_>) -> TheirsKey {
    TheirsKey::of(&work.secret, &work.terms, &work.peer)
}

/// What takes the place of what was kept, once the crosswalk has its rows.
pub struct NewTheirs {
    writer: TheirsWriter<LogFile>,
    rng: ThreadRng,
}

impl NewTheirs {
    /// With what came up to `run`.
    pub fn create(work: &Work<'_>, run: &MatchRunDigest) -> Result<Self, Failure> {
        let mut rng = rand::rng();
        let file = work.slot.new_theirs().or_fail(NOT_KEPT)?;
        let writer = TheirsWriter::create(file, key(work), run, &mut rng);
        let writer = writer.or_fail(NOT_KEPT)?;
        Ok(Self { writer, rng })
    }

    /// Tags come in order.
    pub fn push(&mut self, tag: &Value) -> Done {
        self.writer.push(tag, &mut self.rng).or_fail(NOT_KEPT)
    }

    /// Durable when this returns. Whoever is killed before it with the crosswalk written has to
    /// ask for a full run of the peer later; the other way about, matches would be missing.
    pub fn take_its_place(mut self, work: &Work<'_>) -> Done {
        self.writer.finish(&mut self.rng).or_fail(NOT_KEPT)?;
        work.slot.keep_new_theirs().or_fail(NOT_KEPT)
    }
}
