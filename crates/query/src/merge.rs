//! Data sets side by side, in blocks of whole people.
//!
//! # Claim
//! Every row of every lane is in one block, and all rows of a person are in the same, whatever
//! lanes they come from. So a plan that joins and groups by person gives of the blocks, one
//! after the other, what it would give of everything: nobody's rows wait for another's. A block
//! has about [`block_rows`] rows, and holds besides the rows of one person, which the cut
//! bounds, and a batch a lane: memory does not grow with what is read.
//!
//! Lanes are sorted by pseudonym: the cut has checked it. The lane whose rows reach least far
//! is read next, so that no lane runs ahead by more than a batch.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use incamera_types::Pseudonym;

use crate::cut::{Person, most_given_rows, people_of};
use crate::run::{QueryError, worse};
use crate::source::Batches;

/// Batches of all lanes from which on a block is given: 32,768 rows, over which hash tables stay
/// in a core's own cache, or fewer where rows may be wide.
const BATCHES: u64 = 4;
/// Rows of a block for each row of a public data set: tables of those are made anew for each
/// block.
const ROWS_A_PUBLIC_ROW: u64 = 4;

/// About how many rows a block has, that meet so many public ones.
pub(crate) fn block_rows(public: u64, batch_rows: u64) -> u64 {
    public
        .saturating_mul(ROWS_A_PUBLIC_ROW)
        .max(BATCHES * batch_rows)
}

/// The most rows of one lane in a block of so many rows, where a person has at most so many:
/// the lane held less than a block, or one person's rows, when it was last read.
pub(crate) fn most_rows(block_rows: u64, person: u64, batch_rows: u64) -> u64 {
    let given = most_given_rows(batch_rows).saturating_add(person);
    block_rows.max(person).saturating_add(given)
}

/// Lanes of rows in order of person.
pub(crate) struct Merge {
    lanes: Vec<Lane>,
    block_rows: u64,
    /// What was wrong with rows, of all that was.
    worst: Option<QueryError>,
}

struct Lane {
    /// Nothing once it has ended.
    rest: Option<Batches>,
    /// Where the pseudonym stands.
    unit: usize,
    /// Rows not given yet; no batch is empty.
    held: VecDeque<RecordBatch>,
    rows: usize,
}

/// The rows of each lane that are in a block.
pub(crate) type Block = Vec<Vec<RecordBatch>>;

impl Merge {
    /// Lanes, with the pseudonym's place in each, and about how many rows a block has.
    pub(crate) fn new(lanes: impl Iterator<Item = (Batches, usize)>, block_rows: u64) -> Self {
        let lane = |(rest, unit)| Lane {
            rest: Some(rest),
            unit,
            held: VecDeque::new(),
            rows: 0,
        };
        Self {
            lanes: lanes.map(lane).collect(),
            block_rows,
            worst: None,
        }
    }

    /// The next block; nothing at the end.
    ///
    /// # Errors
    /// That of a lane: no more blocks are given then. [`QueryError::Engine`] once `stop` says so.
    pub(crate) fn block(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Block>, QueryError> {
        loop {
            self.fill(stop);
            if stop() {
                return Err(QueryError::Engine);
            }
            if let Some(error) = &self.worst {
                return Err(error.clone());
            }
            let open = self.lanes.iter().filter(|lane| lane.rest.is_some());
            let Some(bound) = open.map(Lane::last).min() else {
                let block: Block = self.lanes.iter_mut().map(Lane::all).collect();
                let any = block.iter().any(|rows| !rows.is_empty());
                return Ok(any.then_some(block));
            };
            if self.held() >= self.block_rows && self.lanes.iter().any(|lane| lane.first() < bound)
            {
                let below = self.lanes.iter_mut().map(|lane| lane.below(&bound));
                return Ok(Some(below.collect()));
            }
            self.read(&bound);
        }
    }

    /// How many rows are held.
    pub(crate) fn held(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.rows as u64).sum()
    }

    /// Reads all that is left, until `stop` says otherwise.
    ///
    /// # Errors
    /// The one to report of all errors of all lanes.
    pub(crate) fn drain(&mut self, stop: &dyn Fn() -> bool) -> Result<(), QueryError> {
        for lane in &mut self.lanes {
            lane.held.clear();
            while lane.rest.is_some() && !stop() {
                lane.read(&mut self.worst);
                lane.held.clear();
            }
        }
        self.worst.take().map_or(Ok(()), Err)
    }

    /// Sees to it that every lane holds a row or has ended.
    fn fill(&mut self, stop: &dyn Fn() -> bool) {
        for lane in &mut self.lanes {
            while lane.rest.is_some() && lane.held.is_empty() && !stop() {
                lane.read(&mut self.worst);
            }
        }
    }

    /// Reads on in the lanes whose rows end with this person.
    fn read(&mut self, bound: &Person) {
        for lane in &mut self.lanes {
            if lane.rest.is_some() && lane.last() == *bound {
                lane.read(&mut self.worst);
            }
        }
    }
}

impl Lane {
    /// Takes the next batch; after an error there is none.
    fn read(&mut self, worst: &mut Option<QueryError>) {
        let Some(rest) = &mut self.rest else { return };
        let next = catch_unwind(AssertUnwindSafe(|| rest.next()));
        match next {
            Ok(Some(Ok(batch))) if batch.num_rows() == 0 => {}
            Ok(Some(Ok(batch))) => {
                self.rows += batch.num_rows();
                self.held.push_back(batch);
            }
            Ok(None) => self.rest = None,
            Ok(Some(Err(error))) => {
                self.rest = None;
                *worst = Some(worse(worst.take(), error.into()));
            }
            Err(_) => {
                self.rest = None;
                *worst = Some(worse(worst.take(), QueryError::Engine));
            }
        }
    }

    fn people<'b>(&self, batch: &'b RecordBatch) -> &'b [Person] {
        let column = batch.columns().get(self.unit);
        let column = column.and_then(|column| column.as_fixed_size_binary_opt());
        column.map_or(&[], people_of)
    }

    /// The first person held; after everybody if there is none.
    fn first(&self) -> Person {
        let first = self.held.front();
        let person = first.and_then(|batch| self.people(batch).first());
        person.copied().unwrap_or([u8::MAX; Pseudonym::BYTES])
    }

    fn last(&self) -> Person {
        let last = self.held.back();
        let person = last.and_then(|batch| self.people(batch).last());
        person.copied().unwrap_or([u8::MAX; Pseudonym::BYTES])
    }

    /// Gives all that is held.
    fn all(&mut self) -> Vec<RecordBatch> {
        self.rows = 0;
        std::mem::take(&mut self.held).into()
    }

    /// Gives the rows of people before this one.
    fn below(&mut self, bound: &Person) -> Vec<RecordBatch> {
        let mut given = Vec::new();
        while let Some(batch) = self.held.front() {
            let rows = batch.num_rows();
            let below = self.people(batch).partition_point(|person| person < bound);
            if below == 0 {
                break;
            }
            self.rows = self.rows.saturating_sub(below);
            given.push(batch.slice(0, below));
            if below < rows {
                let rest = batch.slice(below, rows - below);
                if let Some(front) = self.held.front_mut() {
                    *front = rest;
                }
                break;
            }
            self.held.pop_front();
        }
        given
    }
}
