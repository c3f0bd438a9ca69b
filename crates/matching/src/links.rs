//! Links between ids of two kinds, as an encrypted multimap that providers store.
//!
//! A *source*, a party that has both ids of a person, stores that `x` of one kind goes with
//! `z` of another; whoever has `x` later finds the pseudonym of `z`. Labels and keys come of
//! `F(x)`, which takes an evaluation by a threshold of providers: what one of them stores
//! links nothing.
//!
//! | step | who      | does                                                                            |
//! |------|----------|---------------------------------------------------------------------------------|
//! | 1    | source   | for each purpose `p` of the agreement and each edge `j` of `x` whose person agreed to all of them: `label = H(agreement, epoch, both kinds, p, source, j, F(x))` |
//! | 2    | source   | value: pseudonym of `z`, day of recording and last day, under a key made of `F(x)` and label; uploads all, with entries of nothing until each purpose and week has a multiple of [`PADDED_TO`], in order of label |
//! | 3    | reader   | asks in rounds ([`Lookups`]): `j = 0` of all its ids for all sources and purposes, shuffled, then `j = 1` where there was one, and so on; what counts longest has the lowest number |
//! | 4    | reader   | asks all providers, opens what as many of them as are needed have alike; one pseudonym that is not over and stands under all purposes of the agreement is a link, several are ambiguous |
//!
//! An edge has no entry at all if its person did not agree to every purpose of the agreement
//! (invariant I3): under one alone it would count for nobody, but its value has the pseudonym that
//! serves all, and what is not there, no bug in a check and no dishonest reader can use. Purpose, source and the week of the last day
//! stand in clear beside it, so that the store serves nothing that is long over; the day itself
//! is sealed, and the reader checks it.
//!
//! The value holds a pseudonym and not `F(z)`: from it leads no further step.
//! # What the store learns
//! How many entries a source has for each purpose and week, in steps of [`PADDED_TO`] an upload,
//! and what came in one upload. Of each look-up the label, so that two look-ups of one label
//! are of one (unknown) id, and whether it is stored; how many of a round were followed by one
//! more. It does not learn which labels of a round are of one id: whoever asks id by id, and
//! not in rounds, tells it. A party with `x` of its own and an evaluation learns the edges of
//! `x`, as was meant.
//! # Claim
//! Against up to `t - 1` providers, and in the random oracle model: labels and values are
//! unrelated to each other and to ids.
//!
//! An entry is known by agreement, epoch, label and source: what another owner stores under a
//! label that it can compute stands beside the source's own, and is passed over, like what does
//! not open. Of `n` providers, of whom `k` (the threshold, and more than half) must have an entry alike, `n - k + 1` must
//! withhold it to hide it (with `j = 0` all of an id's, with a later number one that makes an id
//! ambiguous). Once its source has told all of them that it took it away, `k` must keep it to bring
//! it back; until then those count as well that were not told.
//!
//! Not claimed: more than that of what stores give. A source that stores false edges is not
//! found out. Taking one edge of an id away leaves a gap behind which nothing is found: its
//! source takes all edges of that id away, or stores all of them again.

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

mod lookups;
mod pairs;
#[cfg(test)]
mod tests;

pub use lookups::{Lookups, Passed};
pub use pairs::{Gathering, Pairs, Row, RowFault, Said, Tally, led_to_ids, looked_up_ids};

/// What a link is stored under.
const LABEL: &str = "incamera-link-label/1";
/// Starts what the key of a value is made of.
const VALUE_LABEL: &str = "incamera-link-value/1";
/// The most edges of one id from one source.
pub const MAX_EDGES: usize = 8;
/// A value's length, sealed: nonce, plaintext and tag.
pub const VALUE_BYTES: usize = 96;
const PLAINTEXT_BYTES: usize = VALUE_BYTES - 12 - 16;
/// Entries of one purpose and week in an upload are a multiple of this.
pub const PADDED_TO: usize = 32;
/// The last days that stand in clear: every seventh.
const WEEK_DAYS: i32 = 7;

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
    /// The last day of the week in which it is over: the store keeps it no longer.
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
    /// The last day it counts.
    pub expires: Date,
}

/// What all entries of one id come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// No entry that counts.
    None,
    /// All name one pseudonym, which counts until this day.
    One(Pseudonym, Date),
    /// Several are named: left out, and counted.
    Ambiguous,
}

/// Why a link is not made or not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// More edges of an id than are ever asked for.
    #[error(
        "an id has {found} links, and at most {MAX_EDGES} are looked for: leave out the oldest"
    )]
    TooMany {
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

    /// Whether an edge counts for anybody: its person agreed to every purpose, all of which a
    /// pseudonym serves.
    #[must_use]
    pub fn counts(&self, edge: &Edge) -> bool {
        let mut all = self.purposes.iter();
        all.all(|purpose| edge.consent.contains(purpose))
    }

    /// Steps 1 and 2 for all edges of one id, given `F` of it. Those that count longest, by weeks,
    /// come first, and of one week in their order: when the store drops what is over, no number before a stored one is missing.
    /// Of an edge that does not [count](Self::counts) none is made.
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
        let counting = edges.iter().filter(|edge| self.counts(edge));
        let mut edges: Vec<_> = counting.collect();
        edges.sort_by_key(|edge| Reverse(end_of_week(edge.expires)));
        let found = edges.len();
        if found > MAX_EDGES {
            return Err(LinkError::TooMany { found });
        }
        let mut entries = Vec::new();
        for purpose in self.purposes.iter() {
            entries.extend(edges.iter().zip(0..).map(|(edge, number)| {
                let label = self.label(evaluated, purpose, source, number);
                Entry {
                    value: seal(evaluated, label, edge, rng),
                    label,
                    purpose: purpose.clone(),
                    source: source.clone(),
                    expires: end_of_week(edge.expires),
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
        let opened = open(evaluated, entry)
            .filter(|opened| entry.expires == end_of_week(opened.expires))
            .ok_or(LinkError::Changed { from })?;
        let expires = opened.expires;
        if expires < today {
            return Err(LinkError::Expired { expires });
        }
        Ok(opened)
    }
}

/// Step 2: what is uploaded stands in order of label, so that its order says nothing (it goes out
/// in that order, whatever an id had before), and under
/// each of the `purposes` in each week there are as many entries more, which nobody finds or
/// opens, as make a multiple of [`PADDED_TO`].
#[must_use]
pub fn upload(
    entries: impl IntoIterator<Item = Entry>,
    purposes: &PurposeSet,
    rng: &mut impl CryptoRng,
) -> BTreeMap<LinkLabel, Entry> {
    let mut all: BTreeMap<_, _> = entries.into_iter().map(|e| (e.label, e)).collect();
    let mut counts: BTreeMap<(PartyName, Date), BTreeMap<PurposeName, usize>> = BTreeMap::new();
    for entry in all.values() {
        let group = (entry.source.clone(), entry.expires);
        let of = counts.entry(group).or_default();
        *of.entry(entry.purpose.clone()).or_default() += 1;
    }
    for ((source, expires), counts) in counts {
        for purpose in purposes.iter() {
            let found = counts.get(purpose).copied().unwrap_or_default();
            let padded = found.max(1).next_multiple_of(PADDED_TO);
            for _ in found..padded {
                let nothing = Entry {
                    label: LinkLabel::from_bytes(random(rng)),
                    purpose: purpose.clone(),
                    source: source.clone(),
                    expires,
                    value: random::<VALUE_BYTES>(rng).to_vec(),
                };
                all.insert(nothing.label, nothing);
            }
        }
    }
    all
}

fn random<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// The last day of a week, which starts on a Thursday as days are counted from.
fn end_of_week(day: Date) -> Date {
    let into = day.days().rem_euclid(WEEK_DAYS);
    Date::from_days(day.days().saturating_add(WEEK_DAYS - 1 - into))
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
    plain.extend(edge.expires.days().to_be_bytes());
    plain.resize(PLAINTEXT_BYTES, 0);
    let key = value_key(evaluated, label);
    let bound = bound(label, end_of_week(edge.expires));
    aead::seal(&key, &bound, &plain, rng)
}

fn open(evaluated: &Output, entry: &Entry) -> Option<Linked> {
    let key = value_key(evaluated, entry.label);
    let bound = bound(entry.label, entry.expires);
    let plain = aead::open(&key, &bound, &entry.value).ok()?;
    let (pseudonym, rest) = plain.split_first_chunk()?;
    let (recorded, rest) = rest.split_first_chunk()?;
    let (expires, _) = rest.split_first_chunk()?;
    let day = |bytes: &[u8; 4]| Date::from_days(i32::from_be_bytes(*bytes));
    Some(Linked {
        pseudonym: Pseudonym::from_bytes(*pseudonym),
        recorded: day(recorded),
        expires: day(expires),
    })
}
