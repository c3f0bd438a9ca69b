//! Sorting of more records than memory holds.
//!
//! Records are bytes. They are gathered in memory; when that is full they are sorted and go to a
//! [`Store`] as a *run*, and in the end runs are merged. What fits into memory never leaves it.
//! Records with equal keys can be folded into one wherever two of them meet, so that a value that
//! comes a thousand million times takes no more room than in one run for each time that memory
//! fills.
//!
//! # Memory
//! [`Memory::arena_bytes`] while records are pushed; then a block for each run that is merged, at
//! most [`Memory::fan_in`] of them, and one that is written. Nothing grows with the number of
//! records but 32 bytes for each run.
//!
//! # What the disk sees
//! Ciphertext under a key that lives in memory alone: see [`Store`]. How many bytes there are, and
//! in which order they are read, it sees too; neither depends on more than sizes and the order
//! of the records, which is a random one wherever this crate sorts before it sends.

mod arena;
mod merge;
mod sequence;
mod spill;
mod store;
#[cfg(test)]
pub(crate) mod tests;

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};

use arena::{Arena, SortedArena};
use merge::{Folded, Merge, Run, Take};
use spill::{Block, Spill};

pub use sequence::{Sequence, SequenceReader, SequenceWriter};
pub use store::{Store, StoreError};

/// The longest record.
pub const MAX_RECORD_BYTES: usize = 1024;

/// How records are ordered, and what becomes of equal ones.
pub trait Order {
    /// What a record is sorted by: the first, and where these are equal the second. Either all
    /// records' first parts are of one length, or both parts are one text, cut.
    fn key(record: &[u8]) -> (&[u8], &[u8]);

    /// Takes `other`, whose key is the same, into `kept`, whose key must not change. `false`
    /// leaves both. In which order equal records meet is not said.
    fn fold(kept: &mut [u8], other: &[u8]) -> bool {
        let _ = (kept, other);
        false
    }
}

/// How much memory sorting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of records that are gathered before they are sorted.
    pub arena_bytes: usize,
    /// Bytes of records that are encrypted together.
    pub block_bytes: usize,
    /// Runs that are merged at once; at least 2.
    pub fan_in: usize,
    /// Whether a [`Sequence`] stays in memory whatever its length; else all but a block of it
    /// goes to the store.
    pub keeps_sequences: bool,
}

impl Default for Memory {
    /// 16 MiB, 64 KiB, 64 runs; sequences go to the store.
    fn default() -> Self {
        Self {
            arena_bytes: 16 << 20,
            block_bytes: 64 << 10,
            fan_in: 64,
            keeps_sequences: false,
        }
    }
}

/// Why records were not sorted or read back. Never holds a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SortError {
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// What comes back is not what was written.
    #[error("a temporary file of the matching was changed while it was used")]
    Damaged,
    /// A record is longer than [`MAX_RECORD_BYTES`].
    #[error("a record of the matching is longer than {MAX_RECORD_BYTES} bytes")]
    TooLong,
    /// A call after one that failed.
    #[error("sorting has failed before")]
    AfterFailure,
}

/// Takes records in any order.
pub struct Sorter<S: Store, O> {
    store: S,
    memory: Memory,
    rng: ChaCha20Rng,
    arena: Arena,
    spilled: Option<Spilled<S>>,
    failed: bool,
    order: std::marker::PhantomData<O>,
}

/// Runs of one file.
struct Spilled<S: Store> {
    spill: Spill<S>,
    runs: Vec<Run>,
}

impl<S: Store, O: Order> Sorter<S, O> {
    /// A sorter without records; `rng` is for keys and nonces of what goes to the store.
    pub fn new(store: &S, memory: Memory, rng: &mut impl CryptoRng) -> Self {
        Self {
            store: store.clone(),
            memory,
            rng: ChaCha20Rng::from_rng(rng),
            arena: Arena::new(memory.arena_bytes),
            spilled: None,
            failed: false,
            order: std::marker::PhantomData,
        }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// [`SortError`]: it is too long, or memory is full and the store fails. The sorter is of no
    /// use then.
    pub fn push(&mut self, record: &[u8]) -> Result<(), SortError> {
        if self.failed {
            return Err(SortError::AfterFailure);
        }
        if record.len() > MAX_RECORD_BYTES {
            return Err(SortError::TooLong);
        }
        if !self.arena.has_room(record.len()) && !self.arena.is_empty() {
            self.spill()?;
        }
        self.arena.push::<O>(record)
    }

    /// Sorts what is in memory and writes it as a run.
    fn spill(&mut self) -> Result<(), SortError> {
        self.failed = true;
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            None => self
                .spilled
                .insert(Spilled::create(&self.store, self.memory, &mut self.rng)?),
        };
        let arena = std::mem::replace(&mut self.arena, Arena::new(0));
        let sorted = spilled.write::<_, O>(arena.sorted::<O>())?;
        self.arena = sorted.emptied();
        self.failed = false;
        Ok(())
    }

    /// All records in order, once the last is pushed.
    ///
    /// # Errors
    /// [`SortError`], of the store alone or after another one.
    pub fn sorted(mut self) -> Result<Sorted<S, O>, SortError> {
        if self.failed {
            return Err(SortError::AfterFailure);
        }
        if self.spilled.is_some() && !self.arena.is_empty() {
            self.spill()?;
        }
        let source = match self.spilled.take() {
            None => Source::Memory(self.arena.sorted::<O>()),
            Some(spilled) => {
                // Its memory goes before the blocks of the runs come.
                drop(self.arena);
                let spilled = spilled.few::<O>(&self.store, self.memory, &mut self.rng)?;
                let Spilled { spill, runs } = spilled;
                Source::Disk(Box::new(Merge::new(spill, &runs)?))
            }
        };
        Ok(Sorted(Folded::new(source)))
    }
}

impl<S: Store> Spilled<S> {
    fn create(store: &S, memory: Memory, rng: &mut ChaCha20Rng) -> Result<Self, SortError> {
        Ok(Self {
            spill: Spill::create(store, memory.block_bytes, rng)?,
            runs: Vec::new(),
        })
    }

    /// Writes the records of `source` as a run, and gives it back.
    fn write<T: Take, O: Order>(&mut self, source: T) -> Result<T, SortError> {
        let start = self.spill.end();
        let mut block = Block::default();
        let mut records = Folded::<T, O>::new(source);
        while let Some(record) = records.next()? {
            self.spill.add(&mut block, record)?;
        }
        self.spill.write(&mut block)?;
        let end = self.spill.end();
        self.runs.push(Run { start, end });
        Ok(records.into_source())
    }

    /// The same records in no more runs than are merged at once.
    fn few<O: Order>(
        mut self,
        store: &S,
        memory: Memory,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, SortError> {
        let fan_in = memory.fan_in.max(2);
        while self.runs.len() > fan_in {
            let mut fewer = Self::create(store, memory, rng)?;
            for runs in self.runs.chunks(fan_in) {
                let merge = Merge::<S, O, _>::new(&self.spill, runs)?;
                fewer.write::<_, O>(merge)?;
            }
            self = fewer;
        }
        Ok(self)
    }
}

/// All records in order.
pub struct Sorted<S: Store, O>(Folded<Source<S, O>, O>);

enum Source<S: Store, O> {
    Memory(SortedArena),
    Disk(Box<Merge<S, O, Spill<S>>>),
}

impl<S: Store, O: Order> Take for Source<S, O> {
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool, SortError> {
        match self {
            Self::Memory(records) => records.take(into),
            Self::Disk(records) => records.take(into),
        }
    }
}

impl<S: Store, O: Order> Sorted<S, O> {
    /// The next record; none behind the last.
    ///
    /// # Errors
    /// [`SortError`]: the store failed, or gave other bytes back than it was given. Nothing more
    /// comes then.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its records"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, SortError> {
        self.0.next()
    }
}
