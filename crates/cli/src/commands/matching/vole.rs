//! `match run` under `method = "vole"`: all ids in one go, new pseudonyms each time, no journal.

use std::time::{Duration, Instant};

use bytes::Bytes;
use incamera_matching::exchange::Agreed;
use incamera_matching::vole::{Outcome, Security, SetError, Setup, VoleRun, check_set};
use incamera_matching::{MatchError, Misuse, Mode, Seed};
use incamera_types::MatchRunDigest;
use indicatif::ProgressBar;
use tokio::task::block_in_place;
use tokio::time::{Instant as At, sleep_until};
use zeroize::Zeroizing;

use super::counting::Counting;
use super::drive::{MATCHING, match_failure};
use super::ingest::{Input, unsorted};
use super::link::{Broken, Link, Meeting, Messages, SILENCE_LIMIT, next_message};
use super::pair::{Pair, Talked};
use super::{Work, output};
use crate::args::MatchRun;
use crate::commands::block_on;
use crate::failure::{Context, Done, Failure};
use crate::printer::works;

/// What to do about a run that broke off.
const ANEW: &str = "nothing was written; run `match run` again on both sides: by method `vole` that is a new run, and counts as one";
/// The same where the run ended well for the other side.
const LOST: &str = "run `match run` again on both sides: what this run gave is lost here, and by method `vole` that is a new run, and counts as one";

/// Refuses what only methods with lasting keys do.
pub fn allowed(arguments: &MatchRun) -> Done {
    if arguments.append {
        return Err(Failure::usage(
            "by method `vole` nothing is appended: each run gives all ids new pseudonyms",
        )
        .hint(
            "leave `--append` out and match all ids again, or agree on method = \"commutative\"",
        ));
    }
    Ok(())
}

/// Matches all ids in a run of its own.
pub fn run(work: &Work<'_>, counting: &mut Counting, start: Instant) -> Done {
    let input = Input::read(work, &Seed::generate(&mut rand::rng()))?;
    input.enough_valid(work, work.printer)?;
    let fits = check_set(input.ordered.len(), work.terms.max_ids);
    fits.map_err(|error| too_many(&error))?;
    counting.allow_one()?;
    let bar = work.printer.progress("matching", Some(0));
    let ended = block_on(converse(work, &input, counting, &bar));
    bar.finish_and_clear();
    let Ended {
        outcome,
        run,
        talked,
    } = ended?;
    let finished = output::write_run(work, &input, &outcome, run);
    let finished = finished.map_err(not_written)?;
    Pair {
        work,
        input: &input,
        talked,
        finished: Some(finished),
        used: counting.used(&work.terms),
        start,
    }
    .show();
    Ok(())
}

fn too_many(error: &SetError) -> Failure {
    let hint = match error {
        SetError::Evaluations { evaluations, .. } => format!(
            "nothing was sent, and no run is used up: agree on `max_ids` of at least {evaluations}, or on method = \"commutative\", where `max_ids` is the number of ids itself"
        ),
        _ => "nothing was sent, and no run is used up: agree on method = \"commutative\", which takes sets of any size".to_owned(),
    };
    Failure::failed("the matching was not begun")
        .because(error)
        .hint(hint)
}

/// With room again the run is not gone on with, as those of other methods are.
fn not_written(failure: Failure) -> Failure {
    let hint = match &failure.hint {
        Some(mend) => format!("{mend}; {LOST}"),
        None => LOST.to_owned(),
    };
    failure.hint(hint)
}

/// What a run that ended well came to.
struct Ended {
    outcome: Outcome,
    run: MatchRunDigest,
    talked: Talked,
}

async fn converse(
    work: &Work<'_>,
    input: &Input,
    counting: &mut Counting,
    bar: &ProgressBar,
) -> Result<Ended, Failure> {
    let meeting = Meeting::of(work, work.arguments.patience(), bar);
    let mut link = meeting.meet().await.map_err(Broken::into_failure)?;
    let mut driver = Driver::new(work, input, counting, bar)?;
    match driver.drive(&mut link).await {
        Ok(()) => {
            // Hanging up any earlier could take the last message from the other side.
            link.part().await;
            driver.finish()
        }
        Err(broken) => {
            link.part().await;
            Err(match broken {
                Broken::Ended(failure) => failure,
                broken => broken.into_failure().hint(ANEW),
            })
        }
    }
}

/// Carries between a run, the link, the ids and the count of runs.
struct Driver<'a> {
    work: &'a Work<'a>,
    input: &'a Input,
    counting: &'a mut Counting,
    run: VoleRun,
    messages: Messages,
    /// When the peer was heard last.
    heard: At,
    bar: &'a ProgressBar,
}

impl<'a> Driver<'a> {
    fn new(
        work: &'a Work<'a>,
        input: &'a Input,
        counting: &'a mut Counting,
        bar: &'a ProgressBar,
    ) -> Result<Self, Failure> {
        let setup = Setup {
            terms: work.terms.clone(),
            security: security(work)?,
            me: work.folder.name().clone(),
            peer: work.peer.clone(),
            own: input.ordered.len(),
            alike: work.alike(),
            numbering: work.numbering().to_owned(),
        };
        let run = VoleRun::new(setup, &mut rand::rng());
        works(bar, MATCHING);
        Ok(Self {
            work,
            input,
            counting,
            run: run.map_err(|error| failure(&error))?,
            messages: Messages::default(),
            heard: At::now(),
            bar,
        })
    }

    /// Carries until the run is finished.
    async fn drive(&mut self, link: &mut Link) -> Result<(), Broken> {
        self.heard = At::now();
        loop {
            block_in_place(|| self.pump())?;
            if !self.messages.wait() && self.run.is_finished() {
                return Ok(());
            }
            let silent = self.heard + self.patience();
            // Never blocks on sending alone: the peer may be waiting to be read.
            tokio::select! {
                there = self.messages.send(&link.sender), if self.messages.wait() => if !there {
                    return Err(Broken::Lost(cut_off()));
                },
                message = next_message(&mut link.frames) => match message? {
                    Some(bytes) => block_in_place(|| self.receive(&bytes))?,
                    None => return Err(Broken::Left(hung_up())),
                },
                () = sleep_until(silent) => return Err(Broken::Lost(cut_off())),
            }
        }
    }

    /// Everything that can be done without waiting.
    fn pump(&mut self) -> Result<(), Failure> {
        if self.run.is_to_be_counted() {
            self.begin()?;
        }
        self.give()?;
        self.messages.take(|| self.run.outgoing());
        self.show();
        Ok(())
    }

    /// The run is counted before anything leaves that hangs on a key.
    fn begin(&mut self) -> Result<(), Failure> {
        let Some(agreed) = self.run.agreed().cloned() else {
            return Ok(());
        };
        let own = self.input.ordered.len();
        self.counting.allow(&agreed)?;
        self.counting.count(&agreed, own, Mode::Full)?;
        if let Some(theirs) = &agreed.other_numbering {
            self.work.warn_of_numbering(theirs);
        }
        self.run.begin().map_err(|error| failure(&error))
    }

    /// Gives the ids, hashed, once they are asked for.
    fn give(&mut self) -> Result<(), Failure> {
        let Some(hasher) = self.run.hasher() else {
            return Ok(());
        };
        let count = usize::try_from(self.input.ordered.len()).unwrap_or_default();
        let mut hashes = Zeroizing::new(Vec::with_capacity(count));
        let mut ids = (self.input.ordered.read_from(0)).map_err(|error| unsorted(&error))?;
        while let Some(entry) = ids.next().map_err(|error| unsorted(&error))? {
            hashes.push(hasher.hash(entry.id.as_bytes()));
        }
        let given = self.run.give(&hashes, &mut rand::rng());
        given.map_err(|error| failure(&error))
    }

    fn receive(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        let message = self.messages.read(bytes)?;
        let taken = self.run.incoming(message);
        self.heard = At::now();
        taken.map_err(|error| failure(&error))
    }

    /// How long the peer may be silent.
    fn patience(&self) -> Duration {
        match self.run.agreed() {
            Some(_) => SILENCE_LIMIT,
            None => SILENCE_LIMIT.max(self.work.arguments.patience()),
        }
    }

    /// Ids of both sides stand for the bytes of all steps: people know how many there are.
    fn show(&self) {
        let progress = self.run.progress();
        let peer = self.run.agreed().map_or(0, |agreed| agreed.peer_size);
        let ids = self.input.ordered.len() + peer;
        self.bar.set_length(ids);
        let done = progress.done.saturating_mul(ids);
        self.bar
            .set_position(done.checked_div(progress.total).unwrap_or_default());
    }

    fn finish(self) -> Result<Ended, Failure> {
        let Some(Agreed { run, peer_size, .. }) = self.run.agreed().cloned() else {
            return Err(failure(&Misuse::NotAgreed.into()));
        };
        let talked = Talked {
            run: Some(run.to_string()),
            peer_ids: peer_size,
            bytes_sent: self.messages.sent,
            bytes_received: self.messages.received,
            served: true,
            ..Talked::default()
        };
        let outcome = block_in_place(|| self.run.finish());
        Ok(Ended {
            outcome: outcome.map_err(|error| failure(&error))?,
            run,
            talked,
        })
    }
}

/// A run that the protocol ended.
fn failure(error: &MatchError) -> Failure {
    match error {
        // Nobody greeted alike: no run was counted, and another would end the same way.
        MatchError::PeerIncompatible { .. } => match_failure(error),
        _ => match_failure(error).hint(ANEW),
    }
}

fn security(work: &Work<'_>) -> Result<Security, Failure> {
    let agreed = work.agreement.agreement().matching.security;
    let parsed = agreed.to_string().parse();
    parsed.or_fail("the agreement's `security` is of another version")
}

fn cut_off() -> Failure {
    Failure::failed("the matching broke off").why("the other party is not heard any more")
}

fn hung_up() -> Failure {
    Failure::failed("the matching broke off").why("the other party hung up before it was done")
}
