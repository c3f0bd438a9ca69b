//! Identity providers: parties that hold a matching key in shares and evaluate ids that they do
//! not see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use incamera_keys::PublicKey;
use incamera_types::{IdKind, PartyName};

use crate::model::Terms;

/// Who evaluates ids with `method = "provider"`, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Providers {
    /// Who they are, in the order of the text.
    pub names: Vec<PartyName>,
    /// How many of them together evaluate; fewer cannot.
    pub threshold: u16,
    /// For how many days a key is valid, and the pseudonyms made with it.
    pub key_days: u32,
    /// Evaluations a second that each of them does for a party.
    pub rate: u32,
    /// From which kinds of id to which others a party may tell edges.
    pub links: Vec<IdLink>,
}

/// Ids of one kind that stand for a person with an id of another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdLink {
    /// The kind of the ids that are looked up, such as `cookie`.
    pub from: IdKind,
    /// The kind whose pseudonym they get, such as `email`.
    pub to: IdKind,
}

impl fmt::Display for IdLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

impl Providers {
    /// How many ids a party can have evaluated at most in a matching epoch, whose runs come to
    /// so many ids in all: each provider counts for itself, so runs may be spread over different
    /// sets of them.
    #[must_use]
    pub fn most_evaluations(&self, ids: u64) -> u64 {
        let all = u128::from(ids) * self.names.len() as u128;
        let most = all.checked_div(u128::from(self.threshold));
        most.and_then(|most| u64::try_from(most).ok())
            .unwrap_or(u64::MAX)
    }

    /// How many of all providers must have a link alike for it to count: as many as the threshold,
    /// and more than half, so that of two things under one label one counts at most (decision 0107).
    #[must_use]
    pub fn alike(&self) -> usize {
        usize::from(self.threshold).max(self.names.len() / 2 + 1)
    }

    /// What the key hangs on: with others of these it is another key, of another epoch.
    pub(crate) fn key_terms(&self) -> (BTreeSet<&PartyName>, u16, u32) {
        (self.names.iter().collect(), self.threshold, self.key_days)
    }
}

impl Terms {
    /// The providers and their service keys; none where another method matches.
    #[must_use]
    pub fn provider_keys(&self) -> BTreeMap<PartyName, PublicKey> {
        let names = self.matching.providers.iter().flat_map(|p| &p.names);
        let keys = names.filter_map(|name| Some((name.clone(), *self.service_key(name)?)));
        keys.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two things under one label one counts at most, whatever the threshold.
    #[test]
    fn more_than_half_of_the_providers_have_a_link_alike() {
        let all = [
            (1, 1, 1),
            (2, 2, 2),
            (2, 3, 2),
            (2, 4, 3),
            (3, 5, 3),
            (2, 5, 3),
            (4, 4, 4),
            (2, 16, 9),
        ];
        for (threshold, count, wanted) in all {
            let names = (0..count).map(|n| format!("p{n}").parse().unwrap());
            let providers = Providers {
                names: names.collect(),
                threshold,
                key_days: 90,
                rate: 1,
                links: Vec::new(),
            };
            assert_eq!(providers.alike(), wanted, "{threshold} of {count}");
            assert!(2 * wanted > count && wanted >= usize::from(threshold));
        }
    }
}
