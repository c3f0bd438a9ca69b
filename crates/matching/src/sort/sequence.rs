//! Records in the order in which they come, to be read from any place, more than once.

use std::sync::Arc;

use rand_core::CryptoRng;

use super::spill::{Block, Cursor, Position, Spill, first_record};
use super::{Memory, SortError, Store};
use crate::marks::Marks;

/// Takes the records of a [`Sequence`].
pub struct SequenceWriter<S: Store>(Records<S>);

/// Records in the order in which they came. A clone stands for the same ones; the file goes with
/// the last of the clones and readers.
pub struct Sequence<S: Store>(Arc<Records<S>>);

impl<S: Store> Clone for Sequence<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Records<S: Store> {
    store: S,
    memory: Memory,
    count: u64,
    /// Once there is more than a block.
    spill: Option<Spill<S>>,
    /// The records behind those in the file.
    last: Block,
    /// How many records are in the file.
    written: u64,
    marks: Marks<Position>,
}

impl<S: Store> SequenceWriter<S> {
    /// A sequence without records.
    pub fn new(store: &S, memory: Memory) -> Self {
        Self(Records {
            store: store.clone(),
            memory,
            count: 0,
            spill: None,
            last: Block::default(),
            written: 0,
            marks: Marks::default(),
        })
    }

    /// Takes a record; `rng` is for key and nonces of what goes to the store.
    ///
    /// # Errors
    /// [`SortError`]: it is too long, or the store fails. The sequence is of no use then.
    pub fn push(&mut self, record: &[u8], rng: &mut impl CryptoRng) -> Result<(), SortError> {
        self.0.push(record, rng)
    }

    /// The sequence, once the last record is pushed.
    #[must_use]
    pub fn finish(self) -> Sequence<S> {
        Sequence(Arc::new(self.0))
    }
}

impl<S: Store> Records<S> {
    fn push(&mut self, record: &[u8], rng: &mut impl CryptoRng) -> Result<(), SortError> {
        self.last.add(record)?;
        self.count += 1;
        if self.memory.keeps_sequences || self.last.records().len() < self.memory.block_bytes {
            return Ok(());
        }
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                let spill = Spill::create(&self.store, self.memory.block_bytes, rng)?;
                self.spill.insert(spill)
            }
        };
        self.marks.note(self.written, spill.end());
        spill.write(&mut self.last)?;
        self.written = self.count;
        Ok(())
    }
}

impl<S: Store> Sequence<S> {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the records from number `first` on, which counts from 0.
    ///
    /// # Errors
    /// [`SortError`]: the store failed, or gave other bytes back than it was given.
    pub fn read_from(&self, first: u64) -> Result<SequenceReader<S>, SortError> {
        let records = &self.0;
        let begin = records.marks.before(first);
        let end = records.spill.as_ref().map(Spill::end);
        let (at, begin) = begin.unwrap_or_default();
        let mut reader = SequenceReader {
            cursor: end.map(|end| Cursor::new(begin, end)),
            last: 0,
            next: at,
            current: Vec::new(),
            records: records.clone(),
        };
        if first >= records.written {
            (reader.cursor, reader.next) = (None, records.written);
        }
        while reader.next < first.min(records.count) {
            reader.next()?;
        }
        Ok(reader)
    }
}

/// Reads a [`Sequence`].
pub struct SequenceReader<S: Store> {
    records: Arc<Records<S>>,
    /// There until the file is read.
    cursor: Option<Cursor>,
    /// How many bytes behind the file are read.
    last: usize,
    /// The number of the record that comes next.
    next: u64,
    current: Vec<u8>,
}

impl<S: Store> SequenceReader<S> {
    /// The number of the record that comes next.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.next
    }

    /// The next record; none behind the last.
    ///
    /// # Errors
    /// [`SortError`]: the store failed, or gave other bytes back than it was given.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its records"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, SortError> {
        if !self.take()? {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(&self.current))
    }

    fn take(&mut self) -> Result<bool, SortError> {
        if let (Some(cursor), Some(spill)) = (&mut self.cursor, &self.records.spill) {
            if cursor.take(spill, &mut self.current)? {
                return Ok(true);
            }
            self.cursor = None;
        }
        let mut rest = self.records.last.records();
        rest = rest.get(self.last..).unwrap_or_default();
        let Some(record) = first_record(&mut rest)? else {
            return Ok(false);
        };
        self.current.clear();
        self.current.extend_from_slice(record);
        self.last = self.records.last.records().len() - rest.len();
        Ok(true)
    }
}

#[cfg(test)]
pub(super) fn marks_of<S: Store>(sequence: &Sequence<S>) -> usize {
    sequence.0.marks.len()
}
