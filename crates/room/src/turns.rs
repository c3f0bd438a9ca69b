//! One run at a time: what a query may need is compared with the whole of `memory_bytes`, so
//! two at once could need twice that.

use incamera_net::status::{Problem, ProblemKind};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many requests may wait for their turn.
const MOST_WAITING: usize = 16;

/// Who runs, and who waits.
pub(crate) struct Turns {
    /// A place for the one that runs, and for each that waits.
    places: Semaphore,
    running: Semaphore,
}

/// The right to run, until it is dropped.
pub(crate) struct Turn<'a> {
    _running: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            places: Semaphore::new(MOST_WAITING + 1),
            running: Semaphore::new(1),
        }
    }

    /// Whether somebody runs.
    pub(crate) fn taken(&self) -> bool {
        self.running.available_permits() == 0
    }

    /// Waits for a turn, in order of arrival, unless the caller has `gone`.
    pub(crate) async fn take(&self, gone: impl Future<Output = ()>) -> Result<Turn<'_>, Problem> {
        let place = self.places.try_acquire().map_err(|_| full())?;
        let running = tokio::select! {
            biased;
            running = self.running.acquire() => running.map_err(Problem::internal)?,
            () = gone => return Err(self::gone()),
        };
        Ok(Turn {
            _running: running,
            _place: place,
        })
    }
}

/// The caller has hung up: for the log, since nobody reads it.
pub(crate) fn gone() -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        "caller-gone",
        "nobody waits for the answer any more",
    )
}

fn full() -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        "room-busy",
        format!("the room answers one request at a time, and {MOST_WAITING} wait already"),
    )
    .hint("nothing was spent; ask again in a minute")
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn one_runs_and_a_bounded_number_waits() {
        let turns = Turns::new();
        assert!(!turns.taken());
        let first = turns.take(pending()).await.unwrap();
        assert!(turns.taken());
        let mut second = pin!(turns.take(pending()));
        assert!(poll!(&mut second).is_pending(), "two at once");
        let mut others = Vec::new();
        for _ in 1..MOST_WAITING {
            let mut other = Box::pin(turns.take(pending()));
            assert!(poll!(&mut other).is_pending());
            others.push(other);
        }
        let refused = turns.take(pending()).await.err().unwrap();
        assert_eq!(refused.code(), "room-busy");
        // Who hangs up leaves its place.
        assert!(poll!(others.pop().unwrap().as_mut()).is_pending());
        assert!(poll!(pin!(turns.take(pending()))).is_pending());
        drop(first);
        let second = second.await.unwrap();
        assert!(poll!(others.first_mut().unwrap().as_mut()).is_pending());
        drop(second);
        others.first_mut().unwrap().as_mut().await.unwrap();
    }

    #[tokio::test]
    async fn who_has_gone_does_not_wait() {
        let turns = Turns::new();
        let first = turns.take(ready(())).await.unwrap();
        for _ in 0..3 * MOST_WAITING {
            assert!(turns.take(ready(())).await.is_err());
        }
        drop(first);
        assert!(turns.take(pending()).await.is_ok());
    }
}
