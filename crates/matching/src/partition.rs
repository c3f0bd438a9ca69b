//! Parts of a set that is too large for one run: ids by a prefix of a hash that both sides make.
//!
//! Pseudonyms are of one epoch whatever the part, so any secret's holder raises any point in any
//! part's run. That a part holds its own ids alone is for honest sides: what others may bring is
//! bounded by the declared sizes of all parts together
//! ([decision 0096](../../../docs/decisions/0096-parts-of-a-matching-share-one-allowance.md)).

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::terms::hmac;

/// Starts the key that parts are told apart by.
pub(crate) const LABEL: &str = "incamera-match-partition/1";
/// What a part may have beyond its share and a twentieth of it.
const SLACK: u64 = 10_000;

/// A part of all identifiers, by their keyed hash. Both parties match the same part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    number: u32,
    of: u32,
}

impl Partition {
    /// All identifiers.
    pub const WHOLE: Self = Self { number: 0, of: 1 };

    /// Part `number`, from 0, of `of`; none if there is no such part.
    #[must_use]
    pub fn new(number: u32, of: u32) -> Option<Self> {
        (number < of).then_some(Self { number, of })
    }

    /// Its number, from 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether it is all there is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.of == 1
    }

    /// The most of `max_ids` that one part of a hash may have: its share, and more than chance
    /// ever adds.
    #[must_use]
    pub fn share(self, max_ids: u64) -> u64 {
        let share = max_ids / u64::from(self.of.max(1));
        match self.is_whole() {
            true => max_ids,
            false => (share + share / 20).saturating_add(SLACK).min(max_ids),
        }
    }
}

impl FromStr for Partition {
    type Err = PartitionError;
    fn from_str(text: &str) -> Result<Self, PartitionError> {
        let (number, of) = text.split_once('/').ok_or(PartitionError)?;
        let parsed = number.parse().ok().zip(of.parse().ok());
        let found = parsed.and_then(|(number, of)| Self::new(number, of));
        found.ok_or(PartitionError)
    }
}

/// No part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part is its number, from 0, and how many there are, as in 7/256")]
pub struct PartitionError;

/// Which part an id is in: HMAC-SHA256 of it under what both sides know, of which the first bytes
/// are scaled to the number of parts.
pub struct Parts {
    keyed: Hmac<Sha256>,
    of: u32,
}

impl Parts {
    pub(crate) fn new(key: &[u8], of: u32) -> Self {
        Self {
            keyed: hmac(key),
            of,
        }
    }

    /// The number of the part, from 0, that an id, normalised, is in.
    #[must_use]
    pub fn number(&self, id: &str) -> u32 {
        let mac = self.keyed.clone().chain_update(id).finalize().into_bytes();
        let first = mac
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first));
        let scaled = (u128::from(first) * u128::from(self.of)) >> 64;
        // INVARIANT: a fraction of `of`, which is a u32.
        u32::try_from(scaled).unwrap_or_default()
    }
}

/// Which ids belong to one part.
pub struct Part {
    parts: Parts,
    number: u32,
}

impl Part {
    pub(crate) fn new(parts: Parts, partition: Partition) -> Self {
        Self {
            parts,
            number: partition.number,
        }
    }

    /// Whether an id, normalised, belongs to it.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.parts.of == 1 || self.parts.number(id) == self.number
    }
}

impl Default for Partition {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::tests::terms;

    fn partition(text: &str) -> Partition {
        text.parse().unwrap()
    }

    /// Made by `vectors/partition.py`.
    #[test]
    fn parts_are_those_of_the_published_vectors() {
        let text = include_str!("../vectors/partition-1.txt");
        let mut seen = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (wanted, id) = line.split_once(' ').unwrap();
            assert!(terms().part(partition(wanted)).has(id), "{line}");
            seen += 1;
        }
        assert!(seen >= 8);
    }

    /// Each id is in one part, and no part is much larger than another.
    #[test]
    fn each_id_is_in_one_part() {
        for of in [1, 3, 16] {
            let parts: Vec<Part> = (0..of)
                .map(|number| terms().part(Partition::new(number, of).unwrap()))
                .collect();
            let mut sizes = vec![0_u32; parts.len()];
            for id in 0..3_000 {
                let id = format!("q{id}@mail.example");
                let found: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].has(&id)).collect();
                assert_eq!(found.len(), 1);
                assert_eq!(terms().parts(of).number(&id) as usize, found[0]);
                sizes[found[0]] += 1;
            }
            let fair = 3_000 / of;
            assert!(
                sizes.iter().all(|size| size.abs_diff(fair) < 120),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn a_part_is_written_as_it_is_read() {
        for good in ["0/1", "7/256", "4095/4096"] {
            assert_eq!(partition(good).to_string(), good);
        }
        for bad in [
            "", "7", "/", "1/1", "256/256", "-1/4", "0/0", "1/2/3", "a/b",
        ] {
            assert_eq!(bad.parse::<Partition>(), Err(PartitionError), "{bad}");
        }
    }

    #[test]
    fn a_share_is_more_than_chance_and_less_than_all() {
        assert_eq!(Partition::WHOLE.share(1_000), 1_000);
        assert_eq!(partition("0/4").share(1_000), 1_000);
        assert_eq!(partition("0/256").share(1_000_000_000), 4_111_562);
        assert_eq!(partition("0/4096").share(u64::MAX), 4_728_779_608_749_019);
    }
}
