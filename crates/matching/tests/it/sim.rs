//! Two sides, a link and workers whose order is drawn: what threads and networks may do, step by
//! step.

use std::collections::VecDeque;

use incamera_matching::exchange::{Job, Keep, Multiplied};
use incamera_matching::{MatchError, exchange};
use incamera_wire::v1::MatchMessage;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::side::{Journal, Plan, Side};

/// What one life of a side has in memory besides its exchange.
#[derive(Default)]
struct Life {
    jobs: Vec<Job>,
    keeps: VecDeque<Keep>,
}

pub struct World {
    pub sides: [Side; 2],
    /// Messages on the way to each side.
    wires: [VecDeque<MatchMessage>; 2],
    lives: [Life; 2],
    /// Points multiplied by earlier lives.
    before: [Multiplied; 2],
    rng: ChaCha20Rng,
}

impl World {
    pub fn new(a: &Plan, b: &Plan, seed: u64) -> Self {
        Self {
            sides: [a.start(), b.start()],
            wires: Default::default(),
            lives: Default::default(),
            before: Default::default(),
            rng: ChaCha20Rng::seed_from_u64(seed),
        }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    fn finished(&self) -> bool {
        self.sides.iter().all(|side| side.exchange.is_finished())
    }

    /// Lets both sides go on until the end, or for some steps. Whether anything is left to do.
    pub fn go(&mut self, steps: usize) -> Result<bool, MatchError> {
        let mut idle = 0;
        for _ in 0..steps {
            if self.finished() {
                return Ok(false);
            }
            let side = self.below(2);
            idle = if self.act(side)? { 0 } else { idle + 1 };
            assert!(idle < 500, "both sides wait");
        }
        Ok(!self.finished())
    }

    /// One of the things that a side may do now.
    fn act(&mut self, at: usize) -> Result<bool, MatchError> {
        let side = &mut self.sides[at];
        side.begin();
        side.feed();
        while let Some(job) = side.exchange.job() {
            self.lives[at].jobs.push(job);
        }
        match self.below(4) {
            0 => self.send(at),
            1 => self.receive(at),
            2 => self.work(at),
            _ => Ok(self.keep(at)),
        }
    }

    fn send(&mut self, at: usize) -> Result<bool, MatchError> {
        let message = self.sides[at].exchange.outgoing();
        let some = message.is_some();
        self.wires[1 - at].extend(message);
        Ok(some)
    }

    fn receive(&mut self, at: usize) -> Result<bool, MatchError> {
        let Some(message) = self.wires[at].pop_front() else {
            return Ok(false);
        };
        self.sides[at].exchange.incoming(message)?;
        if self.sides[at].exchange.must_start_anew() {
            self.anew(at)?;
        }
        Ok(true)
    }

    /// Any of the jobs under way ends.
    fn work(&mut self, at: usize) -> Result<bool, MatchError> {
        let jobs = self.lives[at].jobs.len();
        if jobs == 0 {
            return Ok(false);
        }
        let drawn = self.below(jobs);
        let job = self.lives[at].jobs.swap_remove(drawn);
        self.sides[at].exchange.done(job.work())?;
        Ok(true)
    }

    /// The journal takes what is there, or comes to the end of one write.
    fn keep(&mut self, at: usize) -> bool {
        let handed = self.sides[at].exchange.to_keep();
        let moved = handed.is_some();
        self.lives[at].keeps.extend(handed);
        if self.below(2) == 0 {
            return moved;
        }
        let written = self.lives[at].keeps.pop_front();
        let moved = moved || written.is_some();
        self.write(at, written);
        moved
    }

    fn write(&mut self, at: usize, keeps: impl IntoIterator<Item = Keep>) {
        for keep in keeps {
            self.sides[at].journal.take(&keep);
            self.sides[at].exchange.kept(keep.mark).unwrap();
        }
    }

    /// The peer does not know the run: everything of it goes, and a new one begins.
    fn anew(&mut self, at: usize) -> Result<(), MatchError> {
        let mut plan = self.sides[at].plan.clone();
        plan.seed = plan.seed.wrapping_add(7);
        plan.nonce += 1000;
        let counted = self.sides[at].counted;
        let old = std::mem::replace(&mut self.sides[at], plan.start());
        self.sides[at].counted = counted;
        self.lives[at] = Life::default();
        match old.exchange.start_anew() {
            Some(hello) => self.sides[at].exchange.incoming(hello),
            None => Ok(()),
        }
    }

    /// The link is lost; the other side notices and greets again once its journal is written.
    pub fn unplug(&mut self) {
        self.wires = Default::default();
    }

    pub fn rejoin(&mut self, at: usize) {
        let keeps = std::mem::take(&mut self.lives[at].keeps);
        self.write(at, keeps);
        self.sides[at].exchange.rejoin().unwrap();
    }

    /// The process dies: what is left is the journal. `lost` values of the ends of its own
    /// records never reached the disk.
    pub fn kill(&mut self, at: usize, lost: usize) {
        let side = &mut self.sides[at];
        let done = side.exchange.progress().multiplied;
        let sum = &mut self.before[at];
        sum.blinded += done.blinded;
        sum.raised += done.raised;
        sum.completed += done.completed;
        let mut journal = side.journal.clone();
        journal.own.truncate(journal.own.len().saturating_sub(lost));
        let (plan, counted) = (side.plan.clone(), side.counted);
        *side = plan.restart(journal);
        side.counted = counted;
        self.lives[at] = Life::default();
    }

    /// Points multiplied by all lives of a side.
    pub fn multiplied(&self, at: usize) -> Multiplied {
        let (before, now) = (
            self.before[at],
            self.sides[at].exchange.progress().multiplied,
        );
        Multiplied {
            blinded: before.blinded + now.blinded,
            raised: before.raised + now.raised,
            completed: before.completed + now.completed,
        }
    }
}

impl Journal {
    pub fn take(&mut self, keep: &Keep) {
        let values = match keep.side {
            exchange::Side::Own => &mut self.own,
            exchange::Side::Theirs => &mut self.theirs,
        };
        assert_eq!(values.len() as u64, keep.first, "a gap in what is kept");
        assert!(keep.values.len() <= incamera_matching::journal::MAX_VALUES);
        values.extend(&keep.values);
    }
}
