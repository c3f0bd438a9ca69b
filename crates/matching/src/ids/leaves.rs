//! What a row's person agreed to, in a word: a bit for each leaf purpose of the agreement.
//!
//! Whoever agreed to none of them is not matched at all; of several rows with one id, what all
//! of them say counts, as everywhere. The words of several rows are joined by AND.

use incamera_types::{PurposeName, PurposeSet};

/// The leaf purposes of an agreement, a bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves(Vec<PurposeName>);

/// The agreement has more leaf purposes than bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agreement has {count} leaf purposes, and consents are read before matching for at most 64"
)]
pub struct TooManyLeaves {
    count: usize,
}

impl Leaves {
    /// Of a person whose consent nobody asks for.
    pub const EVERYTHING: u64 = u64::MAX;

    /// The agreement's leaf purposes.
    ///
    /// # Errors
    /// [`TooManyLeaves`].
    pub fn new(leaves: &PurposeSet) -> Result<Self, TooManyLeaves> {
        match leaves.len() {
            count if count > 64 => Err(TooManyLeaves { count }),
            _ => Ok(Self(leaves.iter().cloned().collect())),
        }
    }

    /// The leaves that were agreed to; what is no leaf counts for nothing.
    #[must_use]
    pub fn agreed(&self, to: &PurposeSet) -> u64 {
        let bits = (0u32..).zip(&self.0);
        let agreed = bits.filter(|(_, leaf)| to.contains(leaf));
        agreed.fold(0, |mask, (bit, _)| mask | 1u64.unbounded_shl(bit))
    }

    /// The leaves whose bits are set: [`Leaves::agreed`] backwards.
    #[must_use]
    pub fn class(&self, mask: u64) -> PurposeSet {
        let bits = (0u32..).zip(&self.0);
        let set = bits.filter(|(bit, _)| mask & 1u64.unbounded_shl(*bit) != 0);
        set.map(|(_, leaf)| leaf.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(names: impl IntoIterator<Item = usize>) -> PurposeSet {
        let name = |number: usize| format!("leaf-{number}").parse().unwrap();
        names.into_iter().map(name).collect()
    }

    #[test]
    fn sixty_four_leaves_have_a_bit_each() {
        let leaves = Leaves::new(&set(0..64)).unwrap();
        let masks: Vec<u64> = (0..64).map(|leaf| leaves.agreed(&set([leaf]))).collect();
        assert!(masks.iter().all(|mask| mask.count_ones() == 1));
        assert_eq!(masks.iter().fold(0, |all, mask| all | mask), u64::MAX);
        assert!(Leaves::new(&set(0..65)).is_err());
    }

    proptest! {
        /// Words joined by AND are the word of what both agreed to: none of it, no bit.
        #[test]
        fn joined_words_are_the_word_of_the_intersection(
            leaves in prop::collection::btree_set(0usize..80, 0..64),
            one in prop::collection::btree_set(0usize..80, 0..10),
            other in prop::collection::btree_set(0usize..80, 0..10),
        ) {
            let known = set(leaves.iter().copied());
            let (one, other) = (set(one), set(other));
            let leaves = Leaves::new(&known).unwrap();
            let both = one.intersection(&other);
            let joined = leaves.agreed(&one) & leaves.agreed(&other);
            prop_assert_eq!(joined, leaves.agreed(&both));
            prop_assert_eq!(joined == 0, both.intersection(&known).is_empty());
            prop_assert_eq!(Leaves::EVERYTHING & joined, joined);
            prop_assert_eq!(leaves.class(joined), both.intersection(&known));
            prop_assert_eq!(leaves.class(Leaves::EVERYTHING), known);
        }
    }
}
