//! One side's own identifiers, shuffled, with earlier ones mixed in.

use std::collections::{HashMap, HashSet};

use incamera_types::Pseudonym;
use rand_core::CryptoRng;

use crate::{KNOWN_IDS, Misbehaviour, Misuse};

/// Identifiers in the order in which they travel.
pub(super) struct OwnSet {
    ids: Vec<String>,
    /// Places of ids that were only mixed in: nobody asked for their pseudonyms.
    mixed_in: HashSet<usize>,
    /// What ids matched before must come to, by place.
    expected: HashMap<usize, Pseudonym>,
}

impl OwnSet {
    pub(super) fn new(
        mut ids: Vec<String>,
        known: &[(String, Pseudonym)],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Misuse> {
        let asked: HashSet<&str> = ids.iter().map(String::as_str).collect();
        if asked.len() < ids.len() || asked.contains("") {
            return Err(Misuse::NotPrepared);
        }
        let expected: HashMap<&str, Pseudonym> = draw(known, rng);
        let mut extra: Vec<&str> = expected
            .keys()
            .filter(|id| !asked.contains(**id))
            .copied()
            .collect();
        extra.sort_unstable();
        let extra_set: HashSet<&str> = extra.iter().copied().collect();
        let extra_owned: Vec<String> = extra.iter().map(|id| (*id).to_owned()).collect();
        drop(asked);
        ids.extend(extra_owned);
        shuffle(&mut ids, rng);
        let places = |(place, id): (usize, &String)| Some((place, *expected.get(id.as_str())?));
        let mixed =
            |(place, id): (usize, &String)| extra_set.contains(id.as_str()).then_some(place);
        Ok(Self {
            mixed_in: ids.iter().enumerate().filter_map(mixed).collect(),
            expected: ids.iter().enumerate().filter_map(places).collect(),
            ids,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Up to `count` ids from place `first` on.
    pub(super) fn slice(&self, first: usize, count: usize) -> &[String] {
        let end = first.saturating_add(count).min(self.ids.len());
        self.ids.get(first..end).unwrap_or_default()
    }

    /// Whether the ids matched before keep their pseudonyms; an error if only some do.
    pub(super) fn check(&self, pseudonyms: &[Pseudonym]) -> Result<bool, Misbehaviour> {
        let kept = |(place, old): (&usize, &Pseudonym)| pseudonyms.get(*place) == Some(old);
        let same = self.expected.iter().filter(|entry| kept(*entry)).count();
        if same == self.expected.len() {
            return Ok(true);
        }
        if same == 0 {
            return Ok(false);
        }
        Err(Misbehaviour::Inconsistent)
    }

    /// The ids that were asked for, each with its pseudonym.
    pub(super) fn into_pairs(self, pseudonyms: Vec<Pseudonym>) -> Vec<(String, Pseudonym)> {
        let pairs = self.ids.into_iter().zip(pseudonyms).enumerate();
        let asked = pairs.filter(|(place, _)| !self.mixed_in.contains(place));
        asked.map(|(_, pair)| pair).collect()
    }
}

/// Up to [`KNOWN_IDS`] entries, each as likely as any other.
fn draw<'a>(
    known: &'a [(String, Pseudonym)],
    rng: &mut impl CryptoRng,
) -> HashMap<&'a str, Pseudonym> {
    let mut drawn: Vec<&(String, Pseudonym)> = Vec::with_capacity(KNOWN_IDS);
    for (seen, entry) in known.iter().enumerate() {
        if drawn.len() < KNOWN_IDS {
            drawn.push(entry);
        } else if let Some(slot) = drawn.get_mut(below(seen + 1, rng)) {
            *slot = entry;
        }
    }
    drawn
        .into_iter()
        .map(|(id, pseudonym)| (id.as_str(), *pseudonym))
        .collect()
}

/// Brings the items into a random order (Fisher and Yates, from the end).
fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last + 1, rng));
    }
}

/// A number below `bound`, off uniform by less than `bound / 2^64`.
fn below(bound: usize, rng: &mut impl CryptoRng) -> usize {
    let wide = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(wide >> 64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn known(count: u8) -> Vec<(String, Pseudonym)> {
        (0..count)
            .map(|n| (format!("known {n}"), Pseudonym::from_bytes([n; 16])))
            .collect()
    }

    fn set(ids: &[&str], known: &[(String, Pseudonym)], seed: u64) -> OwnSet {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        OwnSet::new(ids, known, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn up_to_64_earlier_ids_are_mixed_in() {
        assert_eq!(set(&["a", "b"], &known(200), 1).len(), 66);
        assert_eq!(set(&["a", "b"], &known(3), 1).len(), 5);
        assert_eq!(set(&["a", "known 1"], &known(3), 1).len(), 4);
    }

    #[test]
    fn only_what_was_asked_for_comes_out() {
        let set = set(&["a", "known 1"], &known(3), 1);
        let pseudonyms = vec![Pseudonym::from_bytes([0; 16]); 4];
        let mut ids: Vec<_> = set
            .into_pairs(pseudonyms)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        ids.sort();
        assert_eq!(ids, ["a", "known 1"]);
    }

    #[test]
    fn earlier_pseudonyms_are_compared() {
        let set = set(&["a"], &known(3), 1);
        let good: Vec<_> = set
            .ids
            .iter()
            .map(|id| id.strip_prefix("known ").map_or(99, |n| n.parse().unwrap()))
            .map(|n: u8| Pseudonym::from_bytes([n; 16]))
            .collect();
        assert_eq!(set.check(&good), Ok(true));
        let bad = vec![Pseudonym::from_bytes([77; 16]); 4];
        assert_eq!(set.check(&bad), Ok(false));
        let at = *set.expected.keys().next().unwrap();
        let mut mixed = good;
        mixed[at] = Pseudonym::from_bytes([77; 16]);
        assert_eq!(set.check(&mixed), Err(Misbehaviour::Inconsistent));
    }

    #[test]
    fn repeated_and_empty_ids_are_refused() {
        let new = |ids: &[&str]| {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            OwnSet::new(ids, &[], &mut ChaCha20Rng::seed_from_u64(1)).map(|_| ())
        };
        assert_eq!(new(&["a", "a"]), Err(Misuse::NotPrepared));
        assert_eq!(new(&["a", ""]), Err(Misuse::NotPrepared));
        assert_eq!(new(&["a", "b"]), Ok(()));
    }

    /// 4! orders of four ids, each seen about 1000 times in 24000: a deviation of 200 is more
    /// than six standard deviations.
    #[test]
    fn every_order_is_as_likely() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut seen: HashMap<[u8; 4], u32> = HashMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut items, &mut rng);
            *seen.entry(items).or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        assert!(seen.values().all(|count| count.abs_diff(1000) < 200));
    }
}
