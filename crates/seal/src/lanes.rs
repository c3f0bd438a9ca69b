//! Work on all cores whose results come in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// Items under way, for each thread.
const UNDER_WAY: u64 = 2;

/// Gives items, and takes what came of them in the same order. Both run on the thread that
/// called [`in_order`].
pub(crate) trait Feed {
    /// What is worked on.
    type Item: Send;
    /// What comes of it.
    type Done: Send;
    /// Why it goes no further.
    type Error;
    /// The next item; none at the end.
    fn next(&mut self) -> Result<Option<Self::Item>, Self::Error>;
    /// Takes what came of an item.
    fn take(&mut self, done: Self::Done) -> Result<(), Self::Error>;
}

/// How many threads work.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Has `work` done on every item of `feed`. Never more than two items a thread are under way,
/// those that wait for their turn included.
pub(crate) fn in_order<F: Feed>(
    feed: &mut F,
    work: impl Fn(F::Item) -> F::Done + Sync,
) -> Result<(), F::Error> {
    let (give, items) = mpsc::channel::<(u64, F::Item)>();
    let (hand_back, done) = mpsc::channel();
    let (items, work) = (&Mutex::new(items), &work);
    thread::scope(|scope| {
        for _ in 0..threads() {
            let hand_back = hand_back.clone();
            scope.spawn(move || {
                loop {
                    let next = items.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, item)) = next else { return };
                    let result = catch_unwind(AssertUnwindSafe(|| work(item)));
                    if hand_back.send((number, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(hand_back);
        drive(feed, give, &done)
    })
}

/// What came of an item, or the panic that ended the work on it.
type Numbered<T> = (u64, thread::Result<T>);

/// Gives items until there are none, or an error ends it; `give` then falls, and the threads end.
fn drive<F: Feed>(
    feed: &mut F,
    give: mpsc::Sender<(u64, F::Item)>,
    done: &mpsc::Receiver<Numbered<F::Done>>,
) -> Result<(), F::Error> {
    let most = UNDER_WAY * threads() as u64;
    let mut waiting = BTreeMap::new();
    let (mut given, mut taken, mut ended) = (0, 0, false);
    loop {
        while !ended && given - taken < most {
            match feed.next()? {
                Some(item) => {
                    // The threads receive for as long as this one gives.
                    let _ = give.send((given, item));
                    given += 1;
                }
                None => ended = true,
            }
        }
        if given == taken {
            return Ok(());
        }
        let Ok((number, result)) = done.recv() else {
            return Ok(());
        };
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&taken) {
            taken += 1;
            // A defect of the work is one here too.
            feed.take(result.unwrap_or_else(|panic| resume_unwind(panic)))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Numbers {
        next: u64,
        end: u64,
        taken: Vec<u64>,
        refused_at: u64,
    }

    impl Feed for Numbers {
        type Item = u64;
        type Done = u64;
        type Error = u64;
        fn next(&mut self) -> Result<Option<u64>, u64> {
            self.next += 1;
            assert!(self.next - self.taken.len() as u64 <= UNDER_WAY * threads() as u64 + 1);
            Ok((self.next <= self.end).then_some(self.next))
        }
        fn take(&mut self, done: u64) -> Result<(), u64> {
            self.taken.push(done);
            if done == self.refused_at {
                return Err(done);
            }
            Ok(())
        }
    }

    fn numbers(end: u64, refused_at: u64) -> Numbers {
        let (next, taken) = (0, Vec::new());
        Numbers {
            next,
            end,
            taken,
            refused_at,
        }
    }

    fn slowly(number: u64) -> u64 {
        thread::sleep(std::time::Duration::from_micros(number * 7919 % 500));
        number * 2
    }

    #[test]
    fn results_come_in_order() {
        let mut feed = numbers(200, 0);
        in_order(&mut feed, slowly).unwrap();
        let expected: Vec<u64> = (1..=200).map(|n| n * 2).collect();
        assert_eq!(feed.taken, expected);
        in_order(&mut numbers(0, 0), slowly).unwrap();
    }

    #[test]
    fn an_error_ends_it() {
        let mut feed = numbers(u64::MAX, 20);
        assert_eq!(in_order(&mut feed, slowly), Err(20));
        assert_eq!(feed.taken.len(), 10);
    }

    #[test]
    #[should_panic(expected = "a defect")]
    fn a_panic_is_passed_on() {
        let _ = in_order(&mut numbers(100, 0), |number| {
            assert!(number != 30, "a defect");
            number
        });
    }
}
