//! What a journal keeps, so that a run that is cut off goes on.

use std::collections::VecDeque;
use std::ops::Range;

use incamera_types::MatchRunDigest;

use crate::journal::MAX_VALUES;
use crate::{Misuse, Value};

/// Names what was handed out to be kept; later marks are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(u64);

/// Whose places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Those of our ids. A value is the pseudonym, or with `reveals = "own-matches"` the tag
    /// that the pseudonym and the join are made of.
    Own,
    /// Those of the peer's points. A value is the point's fingerprint, or with
    /// `reveals = "own-matches"` the tag that went back for it.
    Theirs,
}

/// Values of places that follow on the ones before of the same side: a record of the journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Keep {
    /// Names it.
    pub mark: Mark,
    /// Whose places.
    pub side: Side,
    /// The first place.
    pub first: u64,
    /// One value a place.
    pub values: Vec<Value>,
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (side, first, count) = (self.side, self.first, self.values.len());
        write!(f, "Keep({side:?} {first}+{count})")
    }
}

/// Values of the peer's places that are to be read back from the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// The link over which their points came again.
    pub(super) link: u32,
    /// The places.
    pub places: Range<u64>,
}

/// How far a run is that was cut off, out of its journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumable {
    /// What we greeted with.
    pub nonce: [u8; 32],
    /// The run's name.
    pub run: MatchRunDigest,
    /// Values kept of our own places, from 0 without a gap.
    pub received: u64,
    /// Values kept of the peer's places, from 0 without a gap.
    pub raised: u64,
}

/// What is to be kept, and what is on its way to the journal.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    marks: u64,
    queue: VecDeque<Keep>,
    handed: VecDeque<(Mark, Side, u64)>,
}

impl Keeping {
    /// Takes values, cut so that each part fits a record.
    pub(super) fn push(&mut self, side: Side, mut first: u64, values: &[Value]) {
        for part in values.chunks(MAX_VALUES) {
            self.marks += 1;
            let mark = Mark(self.marks);
            self.queue.push_back(Keep {
                mark,
                side,
                first,
                values: part.to_vec(),
            });
            first += part.len() as u64;
        }
    }

    pub(super) fn hand_out(&mut self) -> Option<Keep> {
        let keep = self.queue.pop_front()?;
        let end = keep.first + keep.values.len() as u64;
        self.handed.push_back((keep.mark, keep.side, end));
        Some(keep)
    }

    /// The next side of which values up to `mark` are kept, and up to which place.
    pub(super) fn kept(&mut self, mark: Mark) -> Option<(Side, u64)> {
        let entry = self.handed.pop_front_if(|(handed, ..)| *handed <= mark)?;
        Some((entry.1, entry.2))
    }

    pub(super) fn check(&self, mark: Mark) -> Result<(), Misuse> {
        let queued = self.queue.front().is_some_and(|keep| keep.mark <= mark);
        match queued || mark.0 > self.marks {
            true => Err(Misuse::Kept),
            false => Ok(()),
        }
    }

    pub(super) fn all_kept(&self) -> bool {
        self.handed.is_empty()
    }

    /// Forgets what was not handed out.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}
