//! Links between ids of two kinds, as an encrypted multimap that providers store.
//!
//! A *source*, a party that has both ids of a person, stores that `x` of one kind goes with
//! `z` of another; whoever has `x` later finds the pseudonym of `z`. Labels and keys come of
//! `F(x)`, which takes an evaluation by a threshold of providers: what one of them stores
//! links nothing.
//!
//! | step | who      | does                                                                            |
//! |------|----------|---------------------------------------------------------------------------------|
//! | 1    | source   | for each purpose `p` that the person agreed to and each of its edges `j` of `x` under `p`: `label = H(agreement, epoch, both kinds, p, source, j, F(x))` |
//! | 2    | source   | value: pseudonym of `z` and day of recording, under a key made of `F(x)` and label; uploads all, in order of label |
//! | 3    | reader   | for each source, asks for `j = 0, 1, ..` until one is missing; what counts longest has the lowest number |
//! | 4    | reader   | opens what it gets; one pseudonym among all that are not over is a link, several are ambiguous |
//!
//! An edge has no entry under a purpose that its person did not agree to (invariant I3): what
//! is not there, no bug in a check can give away. Purpose, source and last day stand in clear
//! beside it, so that the store serves nothing that is over; the reader checks what was sealed.
//!
//! The value holds a pseudonym and not `F(z)`: from it leads no further step.
//! # What the store learns
//! How many entries, sources and purposes, and their last days; of each look-up the label, so
//! that two look-ups of one label are of one (unknown) id, and whether it is stored. To a party
//! with `x` of its own and an evaluation: the edges of `x`, as was meant.
//! # Claim
//! Against up to `t - 1` providers, and in the random oracle model: labels and values are
//! unrelated to each other and to ids. A source that stores false edges is not found out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hmac::Mac as _;
use incamera_keys::{Secret32, aead};
use incamera_oprf::suite::Output;
use incamera_types::{
    AgreementId, ConsentClass, Date, Digest as _, IdKind, LinkLabel, MatchingEpoch, PartyName,
    Pseudonym, PurposeName, PurposeSet, Transcript,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::terms::hmac;

#[cfg(test)]
mod tests;

/// What a link is stored under.
const LABEL: &str = "incamera-link-label/1";
/// Starts what the key of a value is made of.
const VALUE_LABEL: &str = "incamera-link-value/1";
/// The most edges of one id under one purpose and from one source.
pub const MAX_EDGES: usize = 8;
/// A value's length, sealed: nonce, plaintext and tag.
pub const VALUE_BYTES: usize = 96;
const PLAINTEXT_BYTES: usize = VALUE_BYTES - 12 - 16;

/// Which ids are linked to which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTerms {
    /// What labels hang on.
    pub agreement_id: AgreementId,
    /// With it.
    pub epoch: MatchingEpoch,
    /// The kind of the id that one has.
    pub from: IdKind,
    /// The kind of the id that one finds a pseudonym of.
    pub to: IdKind,
    /// The agreement's purposes: leaves.
    pub purposes: PurposeSet,
}

/// An edge, as its source knows it.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Of the other id.
    pub pseudonym: Pseudonym,
    /// The day the source learnt of it.
    pub recorded: Date,
    /// What the person agreed to.
    pub consent: ConsentClass,
    /// The last day it counts.
    pub expires: Date,
}

/// What is stored of one edge under one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is found by.
    pub label: LinkLabel,
    /// For what it may be used.
    pub purpose: PurposeName,
    /// Whose it is.
    pub source: PartyName,
    /// The last day it counts.
    pub expires: Date,
    /// Sealed: [`VALUE_BYTES`].
    pub value: Vec<u8>,
}

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Of the other id.
    pub pseudonym: Pseudonym,
    /// The day the source learnt of it.
    pub recorded: Date,
}

/// What all entries of one id come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// No entry that counts.
    None,
    /// All name one pseudonym.
    One(Pseudonym),
    /// Several are named: left out, and counted.
    Ambiguous,
}

/// Why a link is not made or not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// More edges of an id under one purpose than are ever asked for.
    #[error(
        "an id has {found} links for `{purpose}`, and at most {MAX_EDGES} are looked for: leave out the oldest"
    )]
    TooMany {
        /// The purpose.
        purpose: PurposeName,
        /// How many.
        found: usize,
    },
    /// An answer that nobody asked for.
    #[error("a link was answered that was not asked for")]
    NotAsked,
    /// A purpose that the agreement lacks.
    #[error("the agreement has no purpose `{purpose}`")]
    Purpose {
        /// The purpose.
        purpose: PurposeName,
    },
    /// The value does not open: it, its last day, purpose or source was changed, or the
    /// source made it wrongly.
    #[error("a link of `{from}` does not open: it was changed, or made wrongly")]
    Changed {
        /// Its source.
        from: PartyName,
    },
    /// It is over.
    #[error("a link was answered that is over since {expires}")]
    Expired {
        /// Its last day.
        expires: Date,
    },
}

impl LinkTerms {
    /// Step 1: what the `number`th edge (from 0) of an id is stored under.
    #[must_use]
    pub fn label(
        &self,
        evaluated: &Output,
        purpose: &PurposeName,
        source: &PartyName,
        number: u64,
    ) -> LinkLabel {
        Transcript::new(LABEL)
            .field(self.agreement_id)
            .number(self.epoch.0.into())
            .field(self.from.as_str())
            .field(self.to.as_str())
            .field(purpose.as_str())
            .field(source.as_str())
            .number(number)
            .field(evaluated.as_bytes())
            .finish()
    }

    /// Steps 1 and 2 for all edges of one id, given `F` of it. Those that count longest come
    /// first: when the store drops what is over, no number before a stored one is missing.
    ///
    /// # Errors
    /// [`LinkError::TooMany`].
    pub fn entries(
        &self,
        evaluated: &Output,
        source: &PartyName,
        edges: &[Edge],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Entry>, LinkError> {
        let mut edges: Vec<_> = edges.iter().collect();
        edges.sort_by_key(|edge| Reverse(edge.expires));
        let mut entries = Vec::new();
        for purpose in self.purposes.iter() {
            let agreed = edges.iter().filter(|edge| edge.consent.contains(purpose));
            let found = agreed.clone().count();
            if found > MAX_EDGES {
                let purpose = purpose.clone();
                return Err(LinkError::TooMany { purpose, found });
            }
            entries.extend(agreed.zip(0..).map(|(edge, number)| {
                let label = self.label(evaluated, purpose, source, number);
                Entry {
                    value: seal(evaluated, label, edge, rng),
                    label,
                    purpose: purpose.clone(),
                    source: source.clone(),
                    expires: edge.expires,
                }
            }));
        }
        Ok(entries)
    }

    /// Step 4 for one entry, which was asked for as the `number`th of an id, a purpose and a
    /// source.
    ///
    /// # Errors
    /// [`LinkError`], but not `TooMany`.
    pub fn open(
        &self,
        evaluated: &Output,
        (purpose, source, number): (&PurposeName, &PartyName, u64),
        entry: &Entry,
        today: Date,
    ) -> Result<Linked, LinkError> {
        if !self.purposes.contains(purpose) {
            let purpose = purpose.clone();
            return Err(LinkError::Purpose { purpose });
        }
        let label = self.label(evaluated, purpose, source, number);
        if (label, purpose, source) != (entry.label, &entry.purpose, &entry.source) {
            return Err(LinkError::NotAsked);
        }
        let from = source.clone();
        let opened = open(evaluated, entry).ok_or(LinkError::Changed { from })?;
        let expires = entry.expires;
        if expires < today {
            return Err(LinkError::Expired { expires });
        }
        Ok(opened)
    }
}

/// Step 2: what is uploaded stands in order of label, so that its order says nothing.
#[must_use]
pub fn upload(entries: impl IntoIterator<Item = Entry>) -> BTreeMap<LinkLabel, Entry> {
    let entries = entries.into_iter();
    entries.map(|entry| (entry.label, entry)).collect()
}

/// Step 4: what all entries of one id and purpose, from all sources, come to.
#[must_use]
pub fn resolve(found: &[Linked]) -> Resolved {
    match found {
        [] => Resolved::None,
        [first, others @ ..] => {
            let one = others
                .iter()
                .all(|other| other.pseudonym == first.pseudonym);
            if one {
                Resolved::One(first.pseudonym)
            } else {
                Resolved::Ambiguous
            }
        }
    }
}

/// HMAC-SHA256 under `F(x)`, of the label's name (its length in one byte in front) and the label.
fn value_key(evaluated: &Output, label: LinkLabel) -> Secret32 {
    let name = [&[VALUE_LABEL.len() as u8], VALUE_LABEL.as_bytes()].concat();
    let mac = hmac(evaluated.as_bytes())
        .chain_update(name)
        .chain_update(label);
    Secret32::from_bytes(mac.finalize().into_bytes().into())
}

/// The label, which purpose and source are in, and the last day.
fn bound(label: LinkLabel, expires: Date) -> Vec<u8> {
    [label.as_bytes().as_slice(), &expires.days().to_be_bytes()].concat()
}

fn seal(evaluated: &Output, label: LinkLabel, edge: &Edge, rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut plain = Zeroizing::new(edge.pseudonym.as_bytes().to_vec());
    plain.extend(edge.recorded.days().to_be_bytes());
    plain.resize(PLAINTEXT_BYTES, 0);
    let key = value_key(evaluated, label);
    aead::seal(&key, &bound(label, edge.expires), &plain, rng)
}

fn open(evaluated: &Output, entry: &Entry) -> Option<Linked> {
    let key = value_key(evaluated, entry.label);
    let bound = bound(entry.label, entry.expires);
    let plain = aead::open(&key, &bound, &entry.value).ok()?;
    let (pseudonym, rest) = plain.split_first_chunk()?;
    let (days, _) = rest.split_first_chunk()?;
    Some(Linked {
        pseudonym: Pseudonym::from_bytes(*pseudonym),
        recorded: Date::from_days(i32::from_be_bytes(*days)),
    })
}
