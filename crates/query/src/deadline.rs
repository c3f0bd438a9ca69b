//! When what comes of a query leaves the room: not when it is ready.
//!
//! # Claim
//! [`Deadline`] follows from the agreement, the lengths of sealed parts that manifests state and
//! the number of threads. An answer and an error leave at its first moment; where the room was
//! not ready then, at the next of a few, each at least twice as far on; what is not ready at the
//! last ends in the one error that there is. So of the time that a query took, nothing shows
//! where the first moment sufficed, and otherwise only between which two it was.
//! # How long
//! The first moment is some times what a query of these sizes takes, rounded up to 1, 2 or 5 of
//! a decimal place. The last is far behind what the rows can take that the agreement allows
//! everybody: reaching it takes a room that is too slow, not rows that are odd.
//! # What remains
//! Whoever runs the machine sees when it works. A room without enough memory or cores for what
//! an agreement allows misses first moments; which of the next is met can then follow how
//! people's rows meet, some two bits a query.

use std::time::Duration;

use crate::check::CheckedQuery;
use crate::memory;

/// Whatever the sizes: parsing, opening, noise, signatures.
const BASE_NS: u64 = 100_000_000;
/// Planning a stretch of partitions and opening its files: some four times what is measured.
const STRETCH_NS: u64 = 8_000_000;
/// A byte of a sealed part, each time that it is read: 25 to 43 ns are measured, by query.
const BYTE_NS: u64 = 100;
/// A row that the agreement allows, at the last.
const ROW_NS: u64 = 10_000;
/// The least that is left for a slow machine.
const LEAST_LAST: Duration = Duration::from_secs(100);
/// No query is worth more than a day.
const MOST: Duration = Duration::from_secs(86_400);
/// The first step.
const STEP: Duration = Duration::from_millis(200);

/// When an answer leaves, counted from when its grants were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    first: Duration,
    last: Duration,
}

impl Deadline {
    /// Of a query that reads so many bytes in so many stretches, on so many threads.
    pub(crate) fn of(checked: &CheckedQuery, bytes: u64, stretches: u64, threads: u64) -> Self {
        let work = bytes.saturating_mul(BYTE_NS);
        let work = work.saturating_add(stretches.saturating_mul(STRETCH_NS)) / threads.max(1);
        let first = Duration::from_nanos(work.saturating_add(BASE_NS));
        let rows = Duration::from_nanos(memory::rows(checked).saturating_mul(ROW_NS));
        Self::between(first, rows.max(LEAST_LAST).max(first.saturating_mul(10)))
    }

    /// From the step at or after `first` to the one at or after `last`.
    #[must_use]
    pub fn between(first: Duration, last: Duration) -> Self {
        Self {
            first: step(first),
            last: step(last.max(first)),
        }
    }

    /// The first moment.
    #[must_use]
    pub fn first(&self) -> Duration {
        self.first
    }

    /// The last one: what is not ready then has failed.
    #[must_use]
    pub fn last(&self) -> Duration {
        self.last
    }

    /// When that leaves which took so long.
    #[must_use]
    pub fn leaves(&self, taken: Duration) -> Duration {
        step(taken.max(self.first)).min(self.last)
    }
}

/// The least of 0.2, 0.5, 1, 2, 5, 10 ... seconds that is not below this.
fn step(least: Duration) -> Duration {
    let mut step = STEP;
    // 2, 5, 10, 20, 50 ...: two and a half times, then twice, then twice.
    for times in [25, 20, 20].into_iter().cycle() {
        if step >= least || step >= MOST {
            break;
        }
        step = step * times / 10;
    }
    step.min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn i7_answers_leave_at_few_moments() {
        let steps = [
            0,
            200,
            201,
            500,
            501,
            1_001,
            2_001,
            5_001,
            10_001,
            4_000_000_000,
        ];
        let steps = steps.map(|at| step(ms(at)).as_millis());
        let expected = [
            200, 200, 500, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 86_400_000,
        ];
        assert_eq!(steps, expected);
        let deadline = Deadline::between(ms(300), ms(60_000));
        assert_eq!((deadline.first(), deadline.last()), (ms(500), ms(100_000)));
        let leaves = [0, 1, 499, 500, 501, 1_400, 99_999, 100_000, 1_000_000];
        let leaves = leaves.map(|at| deadline.leaves(ms(at)).as_millis());
        let expected = [500, 500, 500, 500, 1_000, 2_000, 100_000, 100_000, 100_000];
        assert_eq!(leaves, expected);
    }
}
