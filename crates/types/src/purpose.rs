//! Purposes and consent classes.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::PurposeName;

/// A set of leaf purposes, ordered by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PurposeSet(BTreeSet<PurposeName>);

/// The set of purposes that a row's person agreed to: rows of one class share files and keys.
pub type ConsentClass = PurposeSet;

impl PurposeSet {
    /// Whether `purpose` is in the set.
    #[must_use]
    pub fn contains(&self, purpose: &PurposeName) -> bool {
        self.0.contains(purpose)
    }

    /// The purposes in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.0.intersection(&other.0).cloned().collect()
    }

    /// The purposes in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.0.union(&other.0).cloned().collect()
    }

    /// The purposes of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.0.difference(&other.0).cloned().collect()
    }

    /// Whether every purpose of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether the set has no purpose.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many purposes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The purposes in order of name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &PurposeName> {
        self.0.iter()
    }
}

impl FromIterator<PurposeName> for PurposeSet {
    fn from_iter<I: IntoIterator<Item = PurposeName>>(purposes: I) -> Self {
        Self(purposes.into_iter().collect())
    }
}

impl fmt::Display for PurposeSet {
    /// Names joined by commas: the canonical text, used in digests and associated data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, purpose) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{purpose}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> PurposeSet {
        names.iter().map(|n| n.parse().unwrap()).collect()
    }

    #[test]
    fn text_is_ordered() {
        assert_eq!(set(&["measurement", "ads"]).to_string(), "ads,measurement");
        assert_eq!(set(&[]).to_string(), "");
    }

    #[test]
    fn intersections() {
        assert_eq!(
            set(&["ads", "safety"]).intersection(&set(&["ads"])),
            set(&["ads"])
        );
        assert!(set(&["ads"]).intersection(&set(&["safety"])).is_empty());
        assert_eq!(
            set(&["ads", "safety"]).difference(&set(&["ads", "x"])),
            set(&["safety"])
        );
    }
}
