//! Records in memory, to be sorted there.
//!
//! Sorting compares eight bytes of each key as a number, and those that are alike by their next
//! eight: a record is looked at once for every eight bytes that others share with it, and not at
//! each comparison. Ids that begin alike, as numbered ones do, would otherwise be looked at some
//! twenty times each, all over the memory.

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
///
/// Room for the most of either is taken with the first record, of which nothing is resident before
/// it is written: memory that grew by copies would leave holes of half its size behind.
pub(super) struct Arena {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The most bytes of records and entries.
    most: usize,
}

/// Bytes of a key that are compared at once.
const PREFIX_BYTES: usize = 8;
/// So many records that are alike so far are compared whole.
const FEW: usize = 4;

/// The first eight bytes of a key as a number that is ordered as they are.
pub(super) fn prefix(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; PREFIX_BYTES];
            first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(first)
        }
    }
}

/// The same of the bytes from `at` on, both parts of the key one behind the other.
fn prefix_at((first, second): (&[u8], &[u8]), at: usize) -> u64 {
    let rest = first.get(at..).unwrap_or_default();
    if rest.len() >= PREFIX_BYTES || second.is_empty() {
        return prefix(rest);
    }
    let behind = second.get(at.saturating_sub(first.len())..);
    let mut joined = [0; PREFIX_BYTES];
    let bytes = rest.iter().chain(behind.unwrap_or_default());
    joined
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(joined)
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
        let prefix = prefix_at(O::key(record), 0);
        self.take_room();
        self.bytes.extend_from_slice(record);
        self.entries.push(Entry {
            prefix,
            start,
            bytes,
        });
        Ok(())
    }

    fn take_room(&mut self) {
        if self.bytes.capacity() == 0 {
            // Where addresses are scarce, memory grows as it is needed.
            let _ = self.bytes.try_reserve_exact(self.most);
            let _ = self.entries.try_reserve_exact(self.most / ENTRY_BYTES);
        }
    }

    fn record(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        let end = start + entry.bytes as usize;
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The records in order.
    pub(super) fn sorted<O: Order>(mut self) -> SortedArena {
        let mut entries = std::mem::take(&mut self.entries);
        self.sort_from::<O>(&mut entries, 0);
        self.entries = entries;
        SortedArena {
            arena: self,
            next: 0,
        }
    }

    /// Sorts records whose keys are alike up to byte `at`, where their prefixes begin.
    fn sort_from<O: Order>(&self, entries: &mut [Entry], at: usize) {
        entries.sort_unstable_by_key(|entry| entry.prefix);
        for alike in entries.chunk_by_mut(|a, b| a.prefix == b.prefix) {
            let longest = |alike: &[Entry]| alike.iter().map(|entry| entry.bytes).max();
            let ends = longest(alike).is_none_or(|most| most as usize <= at + PREFIX_BYTES);
            if ends || alike.len() <= FEW {
                alike.sort_unstable_by(|a, b| O::key(self.record(a)).cmp(&O::key(self.record(b))));
                continue;
            }
            for entry in alike.iter_mut() {
                entry.prefix = prefix_at(O::key(self.record(entry)), at + PREFIX_BYTES);
            }
            self.sort_from::<O>(alike, at + PREFIX_BYTES);
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Whole;

    impl Order for Whole {
        fn key(record: &[u8]) -> (&[u8], &[u8]) {
            (record, &[])
        }
    }

    #[test]
    fn memory_is_taken_once() {
        let mut arena = Arena::new(1 << 16);
        assert_eq!(arena.bytes.capacity() + arena.entries.capacity(), 0);
        arena.push::<Whole>(&[7; 40]).unwrap();
        let first = (arena.bytes.as_ptr(), arena.entries.as_ptr());
        while arena.has_room(1) {
            arena.push::<Whole>(&[7]).unwrap();
        }
        let mut arena = arena.sorted::<Whole>().emptied();
        while arena.has_room(40) {
            arena.push::<Whole>(&[7; 40]).unwrap();
        }
        assert!(first == (arena.bytes.as_ptr(), arena.entries.as_ptr()));
    }
}
