//! Batches under way: no threads, no clock, no files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use incamera_group::Backend;
use incamera_oprf::lagrange::Place;
use incamera_oprf::session::{Hello, write_points};
use incamera_oprf::suite::Output;
use incamera_types::PartyName;
use incamera_wire::v1::{EvaluatedBatch, MatchPoints};

use super::{Asked, Batch, Client, Done, Fault, Job, Outcome, ProvidedError, Sets, What};
use crate::exchange::Block;
use crate::{RunKeys, Terms};

/// A run that begins or goes on.
pub struct Run<'a> {
    /// What is matched.
    pub terms: &'a Terms,
    /// Who asks.
    pub me: &'a PartyName,
    /// What tells the run from others: the same when it goes on.
    pub nonce: [u8; 32],
    /// How many ids it has.
    pub size: u64,
    /// How many of them have their outputs already.
    pub held: u64,
    /// The run's secrets.
    pub keys: &'a RunKeys,
    /// Ids of a batch.
    pub batch: u64,
    /// Batches under way at once.
    pub window: usize,
    /// What points are multiplied with.
    pub backend: Backend,
}

/// Where a session's ids come from, who works, and what becomes of its outputs.
pub trait Driver {
    /// Why ids were not read, or outputs not kept.
    type Error: From<ProvidedError>;

    /// Takes outputs, in order: from the place `first` on.
    ///
    /// # Errors
    /// They were not kept.
    fn keep(&mut self, first: u64, outputs: &[Output]) -> Result<(), Self::Error>;

    /// The ids of these places.
    ///
    /// # Errors
    /// They were not read.
    fn read(&mut self, places: Range<u64>) -> Result<Block, Self::Error>;

    /// Has somebody work on it; what comes of it goes to [`Session::done`].
    fn work(&mut self, job: Job);
}

/// A batch between its ids and its outputs.
#[derive(Default)]
struct UnderWay {
    /// None while it is being blinded.
    batch: Option<Arc<Batch>>,
    sent: BTreeSet<Place>,
    answers: BTreeMap<Place, EvaluatedBatch>,
    finished: Option<Vec<Output>>,
}

/// The party's side of a run.
pub struct Session {
    client: Arc<Client>,
    backend: Backend,
    sets: Sets,
    asked: Arc<Asked>,
    hello: Hello,
    size: u64,
    batch: u64,
    window: usize,
    /// The first id that no batch has yet.
    next: u64,
    /// The first id that has no output yet.
    done: u64,
    under_way: BTreeMap<u64, UnderWay>,
    /// What each provider was asked in this round and has not answered, in order.
    due: BTreeMap<Place, VecDeque<u64>>,
    jobs: VecDeque<What>,
    /// Whose answers outputs were made of.
    evaluated_by: BTreeSet<PartyName>,
}

impl Session {
    /// Begins, or goes on.
    ///
    /// # Errors
    /// [`ProvidedError::TooFew`], [`ProvidedError::Keys`].
    pub fn new(run: &Run<'_>, sets: Sets) -> Result<Self, ProvidedError> {
        let hello = Hello {
            agreement_digest: run.terms.agreement_digest,
            party: run.me.clone(),
            id_kind: run.terms.id_kind.clone(),
            epoch: run.terms.epoch,
            number: sets.statement().number(),
            providers: Vec::new(),
            nonce: run.nonce,
            size: run.size,
            ceremony: sets.statement().ceremony(),
        };
        Ok(Self {
            client: Arc::new(Client::new(run.backend, run.terms, run.keys)),
            backend: run.backend,
            asked: Arc::new(sets.ask(run.backend, 0, &hello)?),
            sets,
            hello,
            size: run.size,
            batch: run.batch.max(1),
            window: run.window.max(1),
            next: run.held,
            done: run.held,
            under_way: BTreeMap::new(),
            due: BTreeMap::new(),
            jobs: VecDeque::new(),
            evaluated_by: BTreeSet::new(),
        })
    }

    /// Whom to ask now.
    #[must_use]
    pub fn asked(&self) -> Arc<Asked> {
        self.asked.clone()
    }

    /// Who is asked no more, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&PartyName, &str)> {
        self.sets.left_out()
    }

    /// Whose answers were taken, one left out since included: not those of a run that this one
    /// goes on with.
    pub fn evaluated_by(&self) -> impl Iterator<Item = &PartyName> {
        self.evaluated_by.iter()
    }

    /// Everything that waits for nobody, but for what goes to providers.
    ///
    /// Outputs come first, since they make room for ids: where all batches that fit have theirs,
    /// nothing else is under way, and nobody would come to wake a driver that read ids before.
    ///
    /// # Errors
    /// The driver's.
    pub fn turn<D: Driver>(&mut self, driver: &mut D) -> Result<(), D::Error> {
        while let Some((first, outputs)) = self.finished() {
            driver.keep(first, &outputs)?;
        }
        while let Some(places) = self.wanted() {
            let first = places.start;
            self.give(first, driver.read(places)?)?;
        }
        while let Some(job) = self.job() {
            driver.work(job);
        }
        Ok(())
    }

    /// Ids that are due; none while enough is under way.
    fn wanted(&self) -> Option<Range<u64>> {
        let room = self.under_way.len() < self.window && self.next < self.size;
        room.then(|| self.next..self.size.min(self.next.saturating_add(self.batch)))
    }

    /// The ids that were due.
    ///
    /// # Errors
    /// [`ProvidedError::Misuse`] for others.
    fn give(&mut self, first: u64, ids: Block) -> Result<(), ProvidedError> {
        let wanted = self.wanted().ok_or(ProvidedError::Misuse)?;
        if first != wanted.start || ids.len() as u64 != wanted.end - wanted.start {
            return Err(ProvidedError::Misuse);
        }
        self.next = wanted.end;
        self.under_way.insert(first, UnderWay::default());
        self.jobs.push_back(What::Blind(first, ids));
        Ok(())
    }

    /// Work for a thread.
    fn job(&mut self) -> Option<Job> {
        let client = self.client.clone();
        self.jobs.pop_front().map(|what| Job { client, what })
    }

    /// What came of it.
    ///
    /// # Errors
    /// [`ProvidedError`].
    pub fn done(&mut self, done: Done) -> Result<(), ProvidedError> {
        match done.0 {
            Outcome::Blinded(batch) => {
                if let Some(under_way) = self.under_way.get_mut(&batch.first) {
                    under_way.batch = Some(Arc::new(batch));
                }
                Ok(())
            }
            // Right, whoever is asked by now.
            Outcome::Finished(first, outputs, by) => {
                let names = by.members().map(|(_, name)| name.clone());
                self.evaluated_by.extend(names);
                if let Some(under_way) = self.under_way.get_mut(&first) {
                    under_way.finished = Some(outputs);
                }
                Ok(())
            }
            Outcome::Provider(round, place, fault) => self.refused(round, place, &fault),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// The next batch for the provider at `place`.
    pub fn outgoing(&mut self, place: Place) -> Option<MatchPoints> {
        self.asked.name(place)?;
        let mut all = self.under_way.values_mut();
        // In order: one that is not blinded yet holds up those behind it.
        let due = all.find(|each| each.finished.is_none() && !each.sent.contains(&place))?;
        let batch = due.batch.as_ref()?;
        due.sent.insert(place);
        let asked = self.due.entry(place).or_default();
        asked.push_back(batch.first);
        Some(write_points(batch.first, &batch.points))
    }

    /// The answer of a provider that was asked in `round`.
    ///
    /// # Errors
    /// [`ProvidedError`] where nobody can take the place of one that answers wrongly.
    pub fn answered(
        &mut self,
        round: u64,
        place: Place,
        answer: EvaluatedBatch,
    ) -> Result<(), ProvidedError> {
        if round != self.asked.round {
            return Ok(());
        }
        let first = answer.points.as_ref().map(|points| points.first);
        let due = self.due.get_mut(&place).and_then(VecDeque::pop_front);
        let (Some(first), true) = (due, first == due) else {
            return self.refused(round, place, &Fault::NotAsked);
        };
        // Some may have their outputs by answers of an earlier round.
        let Some(asked) = self.under_way.get_mut(&first) else {
            return Ok(());
        };
        asked.answers.insert(place, answer);
        if asked.answers.len() == self.asked.members().count()
            && let Some(batch) = asked.batch.clone()
        {
            let answers = std::mem::take(&mut asked.answers).into_iter().collect();
            let finish = What::Finish(batch, self.asked.clone(), answers);
            self.jobs.push_back(finish);
        }
        Ok(())
    }

    fn refused(&mut self, round: u64, place: Place, fault: &Fault) -> Result<(), ProvidedError> {
        self.lost(round, place, fault.to_string())
    }

    /// A provider that was asked in `round` is gone, or does not serve: another set is asked.
    ///
    /// # Errors
    /// [`ProvidedError::TooFew`] where there is none.
    pub fn lost(
        &mut self,
        round: u64,
        place: Place,
        why: impl Into<String>,
    ) -> Result<(), ProvidedError> {
        let name = self.asked.name(place).cloned();
        let Some(name) = name.filter(|_| round == self.asked.round) else {
            return Ok(());
        };
        self.sets.leave_out(&name, why);
        let next = self.sets.ask(self.backend, round + 1, &self.hello)?;
        self.asked = Arc::new(next);
        self.due.clear();
        for each in self.under_way.values_mut() {
            each.sent.clear();
            each.answers.clear();
        }
        Ok(())
    }

    /// The outputs that come next in order, and the place of the first.
    fn finished(&mut self) -> Option<(u64, Vec<Output>)> {
        let mut first = self.under_way.first_entry()?;
        let outputs = first.get_mut().finished.take()?;
        let place = *first.key();
        first.remove();
        self.done = place.saturating_add(outputs.len() as u64);
        Some((place, outputs))
    }

    /// How many ids have their outputs.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.done
    }

    /// Whether all ids have theirs.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.done >= self.size
    }
}
