//! What a start has to begin with: the ids, and how far an earlier start came with them.

use incamera_matching::exchange::Agreed;
use incamera_matching::journal::Held;
use incamera_matching::{Mode, Seed};
use incamera_types::{Digest as _, MatchRunDigest};
use rand::Rng as _;
use serde_json::json;

use super::super::Work;
use super::super::counting::Counting;
use super::super::ingest::Input;
use super::super::keep::{Kept, Stage, begin_journal, interrupted};
use crate::failure::{Done, Exit, Failure};

/// The ids in order.
pub struct Prepared {
    pub input: Input,
    pub stage: Stage,
}

/// Why no provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// A run that was killed at its very end had all of these ids.
    WasDone,
    /// Every id has its pseudonym.
    IsNew,
}

/// Reads the ids; says whether anything is left to be done.
pub fn prepared(
    work: &Work<'_>,
    counting: &Counting,
) -> Result<(Prepared, Option<Nothing>), Failure> {
    let mut was_done = false;
    if let Some(kept) = interrupted(work)? {
        was_done = kept.held.written;
        if !was_done && let Some(prepared) = going_on(work, kept)? {
            return Ok((prepared, None));
        }
    }
    work.slot.remove_journal()?;
    let seed = Seed::generate(&mut rand::rng());
    let input = Input::read(work, &seed)?;
    input.enough_valid(work, work.printer)?;
    let prepared = Prepared {
        input,
        stage: Stage::New(seed),
    };
    let taken = &prepared.input.ordered.taken;
    let nothing = match taken.known == taken.distinct {
        true if was_done => Some(Nothing::WasDone),
        true if work.mode() == Mode::Append => Some(Nothing::IsNew),
        _ => None,
    };
    if nothing.is_none() {
        if was_done {
            work.printer
                .note("the run before was done when it was ended: this is a new one");
        }
        counting.allow_one()?;
        within_limit(work, &prepared.input)?;
    }
    Ok((prepared, nothing))
}

/// None where the ids or the agreement are others by now.
fn going_on(work: &Work<'_>, kept: Kept) -> Result<Option<Prepared>, Failure> {
    let input = Input::read(work, &kept.header.seed)?;
    let order = &input.ordered.order_digest;
    if kept.header.goes_on(&input.digest, order).is_ok() {
        work.printer.note("an interrupted run goes on where it was");
        let stage = Stage::Kept(kept);
        return Ok(Some(Prepared { input, stage }));
    }
    work.printer.note(
        "the ids or the agreement changed since a run was interrupted: this is a new run, and counts as one",
    );
    Ok(None)
}

/// Before anybody is asked: providers would refuse more.
pub fn within_limit(work: &Work<'_>, input: &Input) -> Done {
    let (size, most) = (input.ordered.len(), work.terms.max_ids);
    if size <= most {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "the ids were not matched")
        .why(format!(
            "there are {size} to match, and the agreement allows {most} a run"
        ))
        .hint("nothing was sent: match fewer, or agree on a new version with a higher `max_ids`"))
}

/// The run in its journal.
pub fn begun(work: &Work<'_>, input: &Input, stage: Stage) -> Result<Kept, Failure> {
    let seed = match stage {
        Stage::Kept(kept) => return Ok(kept),
        Stage::New(seed) => seed,
    };
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    let (journal, header) = begin_journal(work, input, seed, &alone(nonce))?;
    Ok(Kept {
        journal,
        header,
        held: Held::default(),
    })
}

/// What is agreed with nobody: nobody is greeted, and what names the run to the providers names
/// it.
fn alone(nonce: [u8; 32]) -> Agreed {
    Agreed {
        run: MatchRunDigest::from_bytes(nonce),
        nonce,
        greeting: [0; 32],
        goes_on: false,
        peer_size: 0,
        peer_mode: Mode::Full,
        other_numbering: None,
        peer_key: None,
        received: 0,
        answered: 0,
    }
}

impl Nothing {
    /// Tells that nobody was asked.
    pub fn show(self, work: &Work<'_>, input: &Input, counting: &Counting) {
        let (kind, distinct) = (&work.terms.id_kind, input.ordered.taken.distinct);
        let why = match self {
            Self::WasDone => "the run that was ended had its crosswalk written",
            Self::IsNew => "nothing is new",
        };
        let used = counting.used(&work.terms);
        let text = format!(
            "{why}: each of your {distinct} distinct ids of kind `{kind}` has a pseudonym; no provider was asked, and no run was counted\n  {}{}\n  {}\n  crosswalk (yours alone): {}",
            input.words(),
            input.beside(work),
            used.words(),
            work.crosswalk_path().display()
        );
        let more = json!({
            "peer": null, "run": null, "nothing_new": true, "used": used.document(),
            "crosswalk": work.crosswalk_path(),
        });
        let mut document = input.document(work);
        document.extend(more.as_object().cloned().unwrap_or_default());
        work.printer.result(text, "incamera-matched/2", &document);
    }
}
