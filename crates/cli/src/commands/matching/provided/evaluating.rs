//! Batches on their way: ids in, threads, providers, outputs in order.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use incamera_agreement::SignedAgreement;
use incamera_matching::exchange::Block;
use incamera_matching::provided::{
    Done as JobDone, Driver, Job, ProvidedError, Run, Session, Sets,
};
use incamera_matching::statement::KeyStatement;
use incamera_oprf::lagrange::Place;
use incamera_oprf::suite::Output;
use incamera_types::PartyName;
use incamera_wire::encoded_bytes;
use indicatif::ProgressBar;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::block_in_place;

use super::super::super::block_on;
use super::keys::{self, Found};
use super::ports::{News, Ports};
use super::refusals::{Refusal, Refusals};
use crate::failure::{Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// Ids of a batch.
pub const BATCH_IDS: u64 = 4096;
/// How often providers are asked whether a newer statement counts, and how long after each other.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What it took to have ids evaluated.
#[derive(Default)]
pub struct Evaluated {
    /// Providers whose answers were taken.
    pub by: Vec<String>,
    /// Providers that were not asked, or no more, and why.
    pub left_out: Vec<(String, String)>,
    /// Bytes of messages, without TLS.
    pub sent: u64,
    pub received: u64,
}

impl Evaluated {
    /// Who was left out, for people.
    pub fn not_asked(&self, goes_on: bool) -> impl Iterator<Item = String> {
        self.left_out.iter().map(move |(name, why)| {
            format!("`{name}` was {}: {why}", self.was_asked(name, goes_on))
        })
    }

    /// How far one that was left out was asked: whoever has answered got points, and so may one
    /// that was asked before this start, where a run goes on.
    pub fn was_asked(&self, name: &str, goes_on: bool) -> &'static str {
        match (self.by.iter().any(|by| by == name), goes_on) {
            (true, _) => "asked no more",
            (false, true) => "not asked at this start",
            (false, false) => "not asked",
        }
    }
}

/// Gives the ids of these places.
pub type ReadIds<'a> = dyn FnMut(Range<u64>) -> Result<Block, Failure> + 'a;

/// Takes the outputs of the places from this one on.
pub type KeepOutputs<'a> = dyn FnMut(u64, &[Output]) -> Done + 'a;

/// Counts the run, once a provider has: before the first id leaves.
pub type CountRun<'a> = dyn FnMut() -> Done + 'a;

/// Where a run's ids come from, and what becomes of its outputs.
pub struct Ways<'a, 'c> {
    pub read: &'a mut ReadIds<'c>,
    pub keep: &'a mut KeepOutputs<'c>,
    pub count: &'a mut CountRun<'c>,
}

/// Ids of a run, threads for its work, and who keeps its outputs.
struct Working<'w, 'a, 'c> {
    ways: &'w mut Ways<'a, 'c>,
    told: &'w UnboundedSender<Event>,
}

impl Driver for Working<'_, '_, '_> {
    type Error = Failure;

    fn keep(&mut self, first: u64, outputs: &[Output]) -> Done {
        block_in_place(|| (self.ways.keep)(first, outputs))
    }

    fn read(&mut self, places: Range<u64>) -> Result<Block, Failure> {
        block_in_place(|| (self.ways.read)(places))
    }

    fn work(&mut self, job: Job) {
        let told = self.told.clone();
        tokio::task::spawn_blocking(move || {
            let _ = told.send(Event::Done(job.work()));
        });
    }
}

/// Who asks.
pub struct Asker<'a> {
    pub folder: &'a Folder,
    pub agreement: &'a SignedAgreement,
    pub printer: &'a Printer,
    /// Where the newest key statement is remembered.
    pub statement: PathBuf,
    /// Who is not asked, as somebody said.
    pub without: &'a [PartyName],
    /// The longest that a provider may be silent.
    pub patience: Duration,
}

/// What comes to the run while it waits.
pub enum Event {
    /// A batch was worked on.
    Done(JobDone),
    /// Of a provider that was asked in this round.
    Port(u64, Place, News),
}

/// Has all ids of a run evaluated, but for those it has already. Where the providers refreshed
/// their shares meanwhile, it goes on by the statement that counts then: it is the same run. Each
/// is newer than the one before, and providers sign for few a day, so that there is an end.
pub fn evaluate(
    asker: &Asker<'_>,
    run: &Run<'_>,
    found: &mut Found,
    mut ways: Ways<'_, '_>,
) -> Result<Evaluated, Failure> {
    let bar = asker
        .printer
        .progress("asking providers about ids", Some(run.size));
    let mut so_far = SoFar {
        held: run.held,
        ..SoFar::default()
    };
    let carried = loop {
        let run = Run {
            held: so_far.held,
            ..*run
        };
        let ended = by_one_statement(asker, &run, found, &mut ways, (&mut so_far, &bar));
        match ended {
            Ok(()) => break Ok(()),
            Err(Ended::Failed(failure)) => break Err(failure),
            Err(Ended::Refreshed(failure)) => match newer(asker, &found.statement) {
                Some(newer) => *found = newer,
                None => break Err(failure),
            },
        }
        asker.printer.note(format!(
            "the providers refreshed their shares: the run goes on by key statement {}",
            found.statement.number()
        ));
    };
    bar.finish_and_clear();
    carried?;
    Ok(so_far.evaluated)
}

/// What is kept of a run from one key statement to the next.
#[derive(Default)]
struct SoFar {
    /// Ids that have their outputs.
    held: u64,
    evaluated: Evaluated,
    /// Who was lost, whatever statement counts.
    lost: Vec<(PartyName, String)>,
    /// Providers of whom it was told that they are asked no more.
    named: Vec<String>,
}

/// Why ids have no outputs yet.
enum Ended {
    /// Providers say that another statement counts.
    Refreshed(Failure),
    Failed(Failure),
}

/// Goes on with a run by one key statement.
fn by_one_statement(
    asker: &Asker<'_>,
    run: &Run<'_>,
    found: &Found,
    ways: &mut Ways<'_, '_>,
    (so_far, bar): (&mut SoFar, &ProgressBar),
) -> Result<(), Ended> {
    let mut sets = Sets::new(Arc::new(found.statement.clone()));
    for (name, why) in found.left_out.iter().chain(&so_far.lost) {
        sets.leave_out(name, why.clone());
    }
    let session = Session::new(run, sets).map_err(|error| Ended::Failed(failed(&error)))?;
    let (told, events) = unbounded_channel();
    let mut conductor = Conductor {
        ports: Ports::new(asker, told.clone()),
        printer: asker.printer,
        session,
        ways,
        events,
        told,
        named: std::mem::take(&mut so_far.named),
        received: 0,
        refusals: Refusals::new(found.statement.keys().threshold()),
        by_providers: false,
        bar,
    };
    let carried = block_on(conductor.carry());
    conductor.note(found, so_far);
    carried.map_err(|failure| {
        match conductor.by_providers && conductor.refusals.is_of_statement(None) {
            true => Ended::Refreshed(failure),
            false => Ended::Failed(failure),
        }
    })
}

/// What the providers show by now, if it is newer than what was gone by. A refresh reaches one
/// after the other: until enough have it they are asked again.
fn newer(asker: &Asker<'_>, than: &KeyStatement) -> Option<Found> {
    (0..ATTEMPTS).find_map(|attempt| {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        let found = block_on(keys::find(asker)).ok()?;
        (found.statement.order() > than.order()).then_some(found)
    })
}

/// What is under way.
struct Conductor<'a, 'b, 'c> {
    printer: &'a Printer,
    session: Session,
    ports: Ports<'a>,
    ways: &'a mut Ways<'b, 'c>,
    events: UnboundedReceiver<Event>,
    told: UnboundedSender<Event>,
    /// Providers of whom it was told that they are asked no more.
    named: Vec<String>,
    /// Bytes of answers.
    received: u64,
    refusals: Refusals,
    /// What ended the run is that providers refuse, or are not there: all outputs were kept.
    by_providers: bool,
    bar: &'a ProgressBar,
}

impl Conductor<'_, '_, '_> {
    /// What is kept of it, ended or not.
    fn note(&mut self, found: &Found, so_far: &mut SoFar) {
        so_far.held = self.session.progress();
        so_far.named = std::mem::take(&mut self.named);
        let evaluated = &mut so_far.evaluated;
        let by = self.session.evaluated_by().map(ToString::to_string);
        evaluated.by.extend(by);
        evaluated.by.sort_unstable();
        evaluated.by.dedup();
        let left_out = self.session.left_out();
        let left_out = left_out.map(|(name, why)| (name.to_string(), why.to_owned()));
        evaluated.left_out = left_out.collect();
        evaluated.sent += self.ports.sent();
        evaluated.received += self.received;
        let of_this_statement = |name: &PartyName| {
            let mut shown = found.left_out.iter();
            shown.any(|(one, _)| one == name) || self.refusals.is_of_statement(Some(name))
        };
        let lost = self.session.left_out();
        let lost = lost.filter(|(name, _)| !of_this_statement(name));
        so_far.lost = lost
            .map(|(name, why)| (name.clone(), why.to_owned()))
            .collect();
    }

    async fn carry(&mut self) -> Done {
        loop {
            self.pump()?;
            self.bar.set_position(self.session.progress());
            if self.session.is_finished() {
                return Ok(());
            }
            let Some(event) = self.events.recv().await else {
                return Ok(());
            };
            self.take(event)?;
            while let Ok(event) = self.events.try_recv() {
                self.take(event)?;
            }
        }
    }

    /// Everything that can be done without waiting.
    fn pump(&mut self) -> Done {
        self.session.turn(&mut Working {
            ways: &mut *self.ways,
            told: &self.told,
        })?;
        let asked = self.session.asked();
        self.ports.ask(&asked);
        let all_ready = self.ports.all_ready();
        for (place, _) in asked.members().filter(|_| all_ready) {
            while let Some(points) = self.session.outgoing(place) {
                self.ports.send(place, points);
            }
        }
        self.name(self.session.is_finished());
        Ok(())
    }

    fn take(&mut self, event: Event) -> Done {
        let taken = match event {
            Event::Done(done) => self.session.done(done),
            Event::Port(round, place, News::Ready) => {
                block_in_place(|| (self.ways.count)())?;
                self.ports.is_ready(round, place);
                Ok(())
            }
            Event::Port(round, place, News::Answer(answer)) => {
                self.received += encoded_bytes(&answer);
                self.session.answered(round, place, answer)
            }
            Event::Port(round, place, News::Lost(why)) => self.session.lost(round, place, why),
            Event::Port(round, place, News::Refused(refusal)) => {
                return self.refused(round, place, *refusal);
            }
        };
        taken.map_err(|error| self.explain(&error))
    }

    fn explain(&mut self, error: &ProvidedError) -> Failure {
        self.by_providers = matches!(error, ProvidedError::TooFew { .. });
        self.refusals.explain(error)
    }

    /// One provider's word holds nobody up; that of as many as the threshold is the agreement's.
    fn refused(&mut self, round: u64, place: Place, refusal: Refusal) -> Done {
        let asked = self.session.asked();
        let mut members = asked.members().filter(|(at, _)| *at == place);
        let Some((_, name)) = members.next().filter(|_| asked.round() == round) else {
            return Ok(()); // Somebody else is asked by now.
        };
        let why = format!("it refuses: {}", refusal.message);
        let added = self.refusals.add(name, refusal);
        self.by_providers = added.is_err();
        added?;
        let lost = self.session.lost(round, place, why);
        lost.map_err(|error| self.explain(&error))
    }

    /// Tells of providers that are asked no more. One that says that a limit is met, or that
    /// another statement counts, may be right, and then nobody is asked in its place: that is
    /// known at the end.
    fn name(&mut self, at_end: bool) {
        let refusals = &self.refusals;
        let left_out = self.session.left_out().filter(|(name, _)| {
            let known = self.named.iter().any(|named| named == name.as_str());
            let may_be_right = refusals.is_of_limit(name) || refusals.is_of_statement(Some(name));
            !known && (at_end || !may_be_right)
        });
        let (names, whys): (Vec<_>, Vec<_>) = left_out
            .map(|(name, why)| (name.to_string(), format!("`{name}` ({why})")))
            .unzip();
        if names.is_empty() {
            return;
        }
        self.named.extend(names);
        let whys = whys.join(" and ");
        self.printer
            .warn(format!("others are asked instead of {whys}"));
    }
}

impl From<ProvidedError> for Failure {
    fn from(error: ProvidedError) -> Self {
        failed(&error)
    }
}

/// A run that the protocol ended.
pub fn failed(error: &ProvidedError) -> Failure {
    let failure = Failure::failed("the ids were not evaluated").because(error);
    match error {
        ProvidedError::TooFew { .. } => failure.hint(
            "ask those providers to start their services (`incamera provider serve`) or to say what is wrong, or leave out fewer (`--without`), and run `match run` again: it goes on where it was",
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever got points is not said to have got none.
    #[test]
    fn who_answered_was_asked() {
        let left_out = [("alpha", "it was killed"), ("beta", "it is down")];
        let evaluated = Evaluated {
            by: ["alpha", "gamma"].map(str::to_owned).into(),
            left_out: left_out
                .map(|(name, why)| (name.to_owned(), why.to_owned()))
                .into(),
            ..Evaluated::default()
        };
        let lines = |goes_on| evaluated.not_asked(goes_on).collect::<Vec<_>>();
        let alpha = "`alpha` was asked no more: it was killed";
        assert_eq!(lines(false), [alpha, "`beta` was not asked: it is down"]);
        assert_eq!(
            lines(true),
            [alpha, "`beta` was not asked at this start: it is down"]
        );
    }
}
