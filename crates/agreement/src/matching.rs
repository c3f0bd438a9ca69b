//! How ids become pseudonyms.

use std::collections::BTreeSet;
use std::fmt;

use incamera_types::{IdKind, IdRules, IdSort, IdWriting, MatchingEpoch};

use crate::providers::Providers;

/// How ids become pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Matching {
    /// The protocol.
    pub method: MatchingMethod,
    /// The kinds of id, in order of preference.
    pub ids: Vec<IdKind>,
    /// By which rules ids are brought to one way of writing.
    pub rules: IdRules,
    /// The kinds whose ids stand as their SHA-256.
    pub hashed: BTreeSet<IdKind>,
    /// What each party learns about its own rows.
    pub reveals: Reveals,
    /// Against whom what shows matches is long enough, with method `vole`.
    pub security: Security,
    /// The most ids of a party in one run; with method `vole`, the most that it can have
    /// evaluated.
    pub max_ids: u64,
    /// The most runs of a party.
    pub max_runs: u32,
    /// Into how many parts, by a hash, ids are split that are matched part by part; 1: not.
    pub match_partitions: u32,
    /// Slices of the pseudonym space that sealed parts are cut into.
    pub partitions: u32,
    /// The matching epoch: raising it starts anew, with other pseudonyms.
    pub epoch: MatchingEpoch,
    /// How people of two owners are linked who have several kinds of id; none: by the
    /// pseudonym of one kind.
    pub link: Option<Linking>,
    /// Who evaluates ids, with the method of that name; none with another.
    pub providers: Option<Providers>,
}

impl Matching {
    /// For how many days pseudonyms count at most: as long as a key of the providers, and without
    /// end (none) by every other method.
    #[must_use]
    pub fn key_days(&self) -> Option<u32> {
        let providers = self.providers.as_ref();
        providers.map(|providers| providers.key_days)
    }

    /// How ids of this kind are brought to one way of writing, at a party that has them raw.
    #[must_use]
    pub fn id_writing(&self, kind: &IdKind) -> IdWriting {
        IdWriting {
            rules: self.rules,
            hashed: self.hashed.contains(kind),
            ..IdWriting::default()
        }
    }

    /// In words, how ids of each kind are written alike before they are matched: `email in lower
    /// case`.
    pub fn written(&self) -> impl Iterator<Item = String> {
        self.ids
            .iter()
            .map(|kind| format!("{kind} {}", rule_words(self.rules, kind.sort())))
    }
}

/// What rules do with ids of a sort.
fn rule_words(rules: IdRules, sort: IdSort) -> &'static str {
    match (rules, sort) {
        (IdRules::First, IdSort::Email) => "in lower case",
        (_, IdSort::Email) => "in lower case, and at gmail.com without dots and tags",
        (IdRules::First, IdSort::Phone) => "with the country's code, without signs between digits",
        (_, IdSort::Phone) => "with the country's code, in digits alone",
        _ => "as it stands, upper and lower case apart: no rules hold for a kind of this name",
    }
}

/// The rule by which the room finds who of two owners' people is who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linking {
    /// Kind by kind: of each value that both owners have, the first person of each who is not
    /// linked yet is linked.
    Waterfall,
}

impl Linking {
    /// How many joint persons somebody can change who comes or goes at either owner or at both,
    /// where there are so many kinds of id; what other ids of one owner's person change is no
    /// more.
    #[must_use]
    pub fn stability(&self, kinds: usize) -> u32 {
        match self {
            // One more than there are kinds at each owner.
            Self::Waterfall => {
                let kinds = u32::try_from(kinds).unwrap_or(u32::MAX);
                kinds.saturating_add(1).saturating_mul(2)
            }
        }
    }
}

impl fmt::Display for Linking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waterfall => "waterfall",
        })
    }
}

/// The protocol that makes pseudonyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatchingMethod {
    /// Double blinding between two parties.
    Commutative,
    /// Oblivious pseudorandom functions from vector OLE, between two parties.
    Vole,
    /// Identity providers, any number of parties.
    Provider,
    /// One party: keyed pseudonyms.
    None,
}

impl fmt::Display for MatchingMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commutative => "commutative",
            Self::Vole => "vole",
            Self::Provider => "provider",
            Self::None => "none",
        })
    }
}

/// Against whom what shows matches is long enough, with method `vole`. Every check is made either
/// way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Any party.
    #[default]
    Malicious,
    /// Parties that keep to the protocol.
    SemiHonest,
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malicious => "malicious",
            Self::SemiHonest => "semi-honest",
        })
    }
}

/// What matching shows a party about its own rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reveals {
    /// Nothing but set sizes.
    Nothing,
    /// Which of its own ids the other party has too.
    OwnMatches,
}

impl fmt::Display for Reveals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::OwnMatches => "own-matches",
        })
    }
}
