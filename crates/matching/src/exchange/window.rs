//! How much is under way at once, and results back in order.

use std::collections::BTreeMap;

use incamera_group::EncodedPoint;
use incamera_types::limits::CHUNK_BYTES;

use crate::{Misbehaviour, Misuse};

/// Points of the largest chunk that is taken.
pub(super) const MAX_CHUNK: usize = CHUNK_BYTES / EncodedPoint::BYTES;
/// Points of the smallest chunk that is taken where its set does not end: each chunk is a record
/// of the journal, and one piece of work.
const MIN_CHUNK: usize = 256;
/// Points that any side may be ahead of the answers.
pub const MAX_WINDOW: usize = 65_536;

/// Points of a chunk, and points of its own that a side has under way.
///
/// What a kill makes a side do again is at most one window of each kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    chunk: usize,
    window: usize,
}

impl Tuning {
    /// Chunks of `chunk` points, at most `window` points under way.
    ///
    /// # Errors
    /// [`Misuse::Tuning`].
    pub fn new(chunk: usize, window: usize) -> Result<Self, Misuse> {
        let fits = (1..=MAX_CHUNK).contains(&chunk) && (chunk..=MAX_WINDOW).contains(&window);
        fits.then_some(Self { chunk, window })
            .ok_or(Misuse::Tuning {
                chunk: MAX_CHUNK,
                window: MAX_WINDOW,
            })
    }

    /// Points of a chunk.
    #[must_use]
    pub fn chunk(self) -> usize {
        self.chunk
    }

    /// Points of the smallest chunk that is taken: whoever works in smaller ones takes them too.
    pub(super) fn least(self) -> u64 {
        match self.chunk < MIN_CHUNK {
            true => 1,
            false => MIN_CHUNK as u64,
        }
    }

    /// Points of its own that a side has under way.
    #[must_use]
    pub fn window(self) -> usize {
        self.window
    }
}

impl Default for Tuning {
    /// 4,096 points a chunk (128 KiB), 16,384 a window.
    fn default() -> Self {
        Self {
            chunk: 4096,
            window: 4 * 4096,
        }
    }
}

/// Results that come in any order and leave in that of their places.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    waiting: BTreeMap<u64, (u64, T)>,
}

impl<T> InOrder<T> {
    pub(super) fn from(next: u64) -> Self {
        Self {
            next,
            waiting: BTreeMap::new(),
        }
    }

    /// The result for `count` places from `first` on.
    pub(super) fn put(&mut self, first: u64, count: u64, result: T) {
        self.waiting.insert(first, (count, result));
    }

    /// The result for the places that come next, with the first of them.
    pub(super) fn take(&mut self) -> Option<(u64, T)> {
        let (count, result) = self.waiting.remove(&self.next)?;
        let first = self.next;
        self.next += count;
        Some((first, result))
    }
}

/// A chunk of `bytes`, `each` for a place, from `first` on: the number of its places, if it
/// comes next and stays within `due`.
pub(super) fn places(
    bytes: usize,
    each: usize,
    first: u64,
    next: u64,
    due: u64,
) -> Result<u64, Misbehaviour> {
    if first != next {
        return Err(Misbehaviour::OutOfOrder {
            expected: next,
            found: first,
        });
    }
    let count = bytes / each;
    if count * each != bytes || !(1..=MAX_CHUNK).contains(&count) {
        return Err(Misbehaviour::ChunkSize { bytes });
    }
    if count as u64 > due.saturating_sub(next) {
        return Err(Misbehaviour::TooMany { expected: due });
    }
    Ok(count as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_leave_in_order() {
        let mut results = InOrder::from(5);
        results.put(8, 2, 'b');
        assert_eq!(results.take(), None);
        results.put(5, 3, 'a');
        assert_eq!(results.take(), Some((5, 'a')));
        assert_eq!(results.take(), Some((8, 'b')));
        assert_eq!(results.take(), None);
    }

    #[test]
    fn tunings_that_cannot_be() {
        assert!(Tuning::new(1, 1).is_ok());
        assert!(Tuning::new(MAX_CHUNK, MAX_WINDOW).is_ok());
        for (chunk, window) in [
            (0, 5),
            (5, 4),
            (MAX_CHUNK + 1, MAX_WINDOW),
            (1, MAX_WINDOW + 1),
        ] {
            assert!(Tuning::new(chunk, window).is_err(), "{chunk} {window}");
        }
    }
}
