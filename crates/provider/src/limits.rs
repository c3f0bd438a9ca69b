//! How fast a party is served, and how often at once. Kept in memory: what must outlive the
//! process is counted in the store.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may go through in one go when nothing did before.
const BURST: Duration = Duration::from_secs(1);
/// What the smallest message counts for: each costs a look at all agreements and a write that
/// reaches the disk, about what so many points cost. Where fewer a second are agreed, a second.
const LEAST: u32 = 64;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bucket of tokens for each asker.
pub(crate) struct Rates<K> {
    /// When all that was let through would be done at the agreed rate.
    done: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Rates<K> {
    pub(crate) fn new() -> Self {
        Self {
            done: Mutex::default(),
        }
    }

    /// When a message of `count` more may be done, at `rate` a second: now, or later. Small ones
    /// count as [`LEAST`].
    pub(crate) fn take(&self, asker: K, count: usize, rate: u32, now: Instant) -> Instant {
        let count = u32::try_from(count)
            .unwrap_or(u32::MAX)
            .max(LEAST.min(rate));
        let mut all = lock(&self.done);
        let done = all.entry(asker).or_insert(now);
        let from = (*done).max(now);
        *done = from + Duration::from_secs(1) * count / rate.max(1);
        from.checked_sub(BURST).unwrap_or(now).max(now)
    }
}

/// How many each asker has open.
pub(crate) struct Places<K> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of them; free again when dropped.
pub(crate) struct Taken<K: Eq + Hash> {
    asker: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// None if the asker has all that it may have.
    pub(crate) fn take(&self, asker: &K) -> Option<Taken<K>> {
        let mut all = lock(&self.taken);
        let taken = all.entry(asker.clone()).or_insert(0);
        if *taken >= self.most {
            return None;
        }
        *taken += 1;
        Some(Taken {
            asker: asker.clone(),
            taken: self.taken.clone(),
        })
    }
}

impl<K: Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        if let Some(taken) = lock(&self.taken).get_mut(&self.asker) {
            *taken = taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_is_served_at_the_agreed_rate_and_no_faster() {
        let rates = Rates::new();
        let start = Instant::now();
        let waits = |asker: &'static str, after: u64| {
            let now = start + Duration::from_secs(after);
            rates
                .take(asker, 1_000, 500, now)
                .duration_since(now)
                .as_secs()
        };
        // Each batch is two seconds' worth, and one second may be drawn beforehand.
        assert_eq!([waits("a", 0), waits("a", 0), waits("a", 0)], [0, 1, 3]);
        // Others do not wait for it.
        assert_eq!(waits("b", 0), 0);
        // Time that passed is not saved up beyond the burst.
        assert_eq!([waits("a", 100), waits("a", 100)], [0, 1]);
    }

    /// What a message costs here is more than its points.
    #[test]
    fn many_small_messages_wait_as_if_they_were_larger() {
        let (rates, now) = (Rates::new(), Instant::now());
        let mut last = now;
        for _ in 0..20 {
            last = rates.take("a", 1, LEAST, now);
        }
        // One second each, of which one may be drawn beforehand, and the last is not waited for.
        assert_eq!(last.duration_since(now).as_secs(), 18);
        let slow = |_| rates.take("b", 1, 2, now).duration_since(now).as_secs();
        assert_eq!([0; 3].map(slow), [0, 0, 1]);
    }

    #[test]
    fn a_party_has_so_many_places_and_gets_them_back() {
        let places = Places::new(2);
        let held = [places.take(&"a"), places.take(&"a")];
        assert!(held.iter().all(Option::is_some));
        assert!(places.take(&"a").is_none());
        assert!(places.take(&"b").is_some());
        drop(held);
        assert!(places.take(&"a").is_some());
    }
}
