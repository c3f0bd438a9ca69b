//! Records in memory, to be sorted there.

use super::merge::Take;
use super::{Order, SortError};

/// Bytes that a record needs beside its own.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Where a record lies, and how its key begins: mostly that decides.
#[derive(Clone, Copy)]
struct Entry {
    prefix: u64,
    start: u32,
    bytes: u32,
}

/// Records one behind the other.
pub(super) struct Arena {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The most bytes of records and entries.
    most: usize,
}

/// The first eight bytes of a key as a number that is ordered as they are.
pub(super) fn prefix(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

impl Arena {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(i32::MAX as usize);
        Self {
            bytes: Vec::new(),
            entries: Vec::new(),
            most,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether one more record of so many bytes keeps to the limit.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let entries = (self.entries.len() + 1) * ENTRY_BYTES;
        self.bytes.len() + bytes + entries <= self.most
    }

    pub(super) fn push<O: Order>(&mut self, record: &[u8]) -> Result<(), SortError> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| SortError::TooLong)?;
        let bytes = u32::try_from(record.len()).map_err(|_| SortError::TooLong)?;
        let prefix = prefix(O::key(record).0);
        self.bytes.extend_from_slice(record);
        self.entries.push(Entry {
            prefix,
            start,
            bytes,
        });
        Ok(())
    }

    fn record(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        let end = start + entry.bytes as usize;
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The records in order.
    pub(super) fn sorted<O: Order>(mut self) -> SortedArena {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| {
            let whole = || O::key(self.record(a)).cmp(&O::key(self.record(b)));
            a.prefix.cmp(&b.prefix).then_with(whole)
        });
        self.entries = entries;
        SortedArena {
            arena: self,
            next: 0,
        }
    }
}

/// Records in memory, in order.
pub(super) struct SortedArena {
    arena: Arena,
    next: usize,
}

impl SortedArena {
    /// The same memory, empty.
    pub(super) fn emptied(self) -> Arena {
        let mut arena = self.arena;
        arena.bytes.clear();
        arena.entries.clear();
        arena
    }
}

impl Take for SortedArena {
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool, SortError> {
        into.clear();
        let Some(entry) = self.arena.entries.get(self.next) else {
            return Ok(false);
        };
        into.extend_from_slice(self.arena.record(entry));
        self.next += 1;
        Ok(true)
    }
}
