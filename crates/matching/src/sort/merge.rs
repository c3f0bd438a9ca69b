//! Runs that are each in order, as one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::marker::PhantomData;

use super::arena::prefix;
use super::spill::{Cursor, Position, Spill};
use super::{Order, SortError, Store};

/// Records in order, one at a time.
pub(super) trait Take {
    /// Puts the next record into `into`; tells whether there was one.
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool, SortError>;
}

/// Where a run lies.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) start: Position,
    pub(super) end: Position,
}

/// Several runs of one file as one; `B` has the file, or has it lent.
pub(super) struct Merge<S: Store, O, B> {
    spill: B,
    heads: BinaryHeap<Head<O>>,
    store: PhantomData<S>,
}

/// A run and the first of its records that are left.
struct Head<O> {
    prefix: u64,
    record: Vec<u8>,
    cursor: Cursor,
    order: PhantomData<O>,
}

impl<O: Order> Head<O> {
    /// Puts `next` here, and what was here there.
    fn replace(&mut self, next: &mut Vec<u8>) {
        std::mem::swap(&mut self.record, next);
        self.prefix = prefix(O::key(&self.record).0);
    }
}

impl<O: Order> Ord for Head<O> {
    /// The least record is the greatest: a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        let whole = || O::key(&other.record).cmp(&O::key(&self.record));
        other.prefix.cmp(&self.prefix).then_with(whole)
    }
}
impl<O: Order> PartialOrd for Head<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<O: Order> PartialEq for Head<O> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<O: Order> Eq for Head<O> {}

impl<S: Store, O: Order, B: Borrow<Spill<S>>> Merge<S, O, B> {
    pub(super) fn new(spill: B, runs: &[Run]) -> Result<Self, SortError> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for run in runs {
            let mut cursor = Cursor::new(run.start, run.end);
            let mut record = Vec::new();
            if cursor.take(spill.borrow(), &mut record)? {
                let mut head = Head {
                    prefix: 0,
                    record: Vec::new(),
                    cursor,
                    order: PhantomData,
                };
                head.replace(&mut record);
                heads.push(head);
            }
        }
        Ok(Self {
            spill,
            heads,
            store: PhantomData,
        })
    }
}

impl<S: Store, O: Order, B: Borrow<Spill<S>>> Take for Merge<S, O, B> {
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool, SortError> {
        into.clear();
        let Some(mut least) = self.heads.peek_mut() else {
            return Ok(false);
        };
        // What is in the heap stays a record whatever comes of this: it is compared.
        if least.cursor.take(self.spill.borrow(), into)? {
            least.replace(into);
        } else {
            *into = PeekMut::pop(least).record;
        }
        Ok(true)
    }
}

/// Records in order, equal ones folded into one where the order says so.
pub(super) struct Folded<T, O> {
    source: T,
    current: Vec<u8>,
    /// The record behind `current`, if `has_ahead`.
    ahead: Vec<u8>,
    has_ahead: Option<bool>,
    failed: bool,
    order: PhantomData<O>,
}

impl<T: Take, O: Order> Folded<T, O> {
    pub(super) fn new(source: T) -> Self {
        Self {
            source,
            current: Vec::new(),
            ahead: Vec::new(),
            has_ahead: None,
            failed: false,
            order: PhantomData,
        }
    }

    /// The next record. After an error there is none any more, and no end either.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, SortError> {
        if self.failed {
            return Err(SortError::AfterFailure);
        }
        self.failed = true;
        let found = self.step()?;
        self.failed = false;
        Ok(found.then_some(&self.current))
    }

    fn step(&mut self) -> Result<bool, SortError> {
        let found = match self.has_ahead {
            Some(found) => found,
            None => self.source.take(&mut self.ahead)?,
        };
        if !found {
            self.has_ahead = Some(false);
            return Ok(false);
        }
        std::mem::swap(&mut self.current, &mut self.ahead);
        loop {
            let found = self.source.take(&mut self.ahead)?;
            let equal = found && O::key(&self.current) == O::key(&self.ahead);
            if !equal || !O::fold(&mut self.current, &self.ahead) {
                self.has_ahead = Some(found);
                return Ok(true);
            }
        }
    }

    pub(super) fn into_source(self) -> T {
        self.source
    }
}
