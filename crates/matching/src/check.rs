//! What was made of both sides' sets, brought together: nothing may come twice, and with
//! `reveals = "own-matches"` what comes on both sides is a match.
//!
//! Values are 16 bytes: pseudonyms, or fingerprints of the peer's points. Under
//! `reveals = "nothing"` those of the two sides have nothing to do with each other; they are
//! looked through for repeats alone.
//!
//! | side                | repeats                                          | reported where the peer has it |
//! |---------------------|--------------------------------------------------|--------------------------------|
//! | own, by place       | refused: the peer gave one answer for two ids    | by place                       |
//! | own, of earlier runs| none inside; again among the places is well      | by id                          |
//! | the peer's          | refused: it sent one point twice                 |                                |
//! | the peer's, earlier | again is well: it mixes earlier ids in           |                                |
//! | the peer's, named   | as the peer's                                    |                                |
//!
//! Under `own-matches` a run gives tags, and what is kept of the peer's rows are tags, while the
//! crosswalk has pseudonyms. So that rows of the crosswalk meet the peer's new ids, each of these
//! comes a second time, by the name that a crosswalk would have for it.

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};

use crate::sort::{Memory, Order, SortError, Sorted, Sorter, Store};
use crate::{Misbehaviour, Value};

/// Sides, in the order in which equal values stand.
const THEIRS: u8 = 0;
const THEIRS_EARLIER: u8 = 1;
const THEIRS_NAMED: u8 = 2;
const OWN: u8 = 3;
const OWN_EARLIER: u8 = 4;

/// Why the two sides' values do not hold together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The values were not sorted.
    #[error(transparent)]
    Sort(#[from] SortError),
    /// The peer does not keep to the protocol.
    #[error(transparent)]
    Peer(#[from] Misbehaviour),
}

/// Takes the values of both sides.
pub struct Check<S: Store> {
    store: S,
    memory: Memory,
    rng: ChaCha20Rng,
    sorter: Sorter<S, Whole>,
    record: Vec<u8>,
}

/// By all bytes, nothing folded.
struct Whole;

impl Order for Whole {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        (record, &[])
    }
}

/// Own rows that the peer has too: places in order, then ids of earlier runs in order.
pub struct Matches<S: Store> {
    sorted: Sorted<S, Whole>,
    /// How many there are.
    pub count: u64,
}

/// An own row that the peer has too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Match<'a> {
    /// The id at this place of the run.
    Place(u64),
    /// An id of an earlier run.
    Id(&'a str),
}

impl std::fmt::Debug for Match<'_> {
    /// Never which.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Match(..)")
    }
}

impl<S: Store> Check<S> {
    /// Without values; `rng` is for keys and nonces of what goes to the store.
    pub fn new(store: &S, memory: Memory, rng: &mut impl CryptoRng) -> Self {
        Self {
            store: store.clone(),
            memory,
            sorter: Sorter::new(store, memory, rng),
            rng: ChaCha20Rng::from_rng(rng),
            record: Vec::new(),
        }
    }

    /// What was made of the id at `place`.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn own(&mut self, place: u64, value: &Value) -> Result<(), SortError> {
        self.push(value, OWN, &place.to_be_bytes())
    }

    /// What an earlier run made of `id`.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn own_earlier(&mut self, id: &str, value: &Value) -> Result<(), SortError> {
        self.push(value, OWN_EARLIER, id.as_bytes())
    }

    /// What was made of one of the peer's points.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn theirs(&mut self, value: &Value) -> Result<(), SortError> {
        self.push(value, THEIRS, &[])
    }

    /// What earlier runs made of one of the peer's points.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn theirs_earlier(&mut self, value: &Value) -> Result<(), SortError> {
        self.push(value, THEIRS_EARLIER, &[])
    }

    /// The pseudonym of one of the peer's points, by which ids of earlier runs meet it.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn theirs_named(&mut self, pseudonym: &Value) -> Result<(), SortError> {
        self.push(pseudonym, THEIRS_NAMED, &[])
    }

    fn push(&mut self, value: &Value, side: u8, who: &[u8]) -> Result<(), SortError> {
        self.record.clear();
        self.record.extend_from_slice(value);
        self.record.push(side);
        self.record.extend_from_slice(who);
        self.sorter.push(&self.record)
    }

    /// Looks through all values; `theirs` is told each value of the peer's, old or new, once and
    /// in order: what is kept of them for the next run.
    ///
    /// # Errors
    /// [`CheckError`]; what `theirs` gives.
    pub fn finish<E: From<CheckError>>(
        mut self,
        theirs: &mut dyn FnMut(&Value) -> Result<(), E>,
    ) -> Result<Matches<S>, E> {
        let mut matches = Sorter::new(&self.store, self.memory, &mut self.rng);
        let mut count = 0;
        let mut values = self.sorter.sorted().map_err(CheckError::from)?;
        let mut group = Group::default();
        while let Some(record) = values.next().map_err(CheckError::from)? {
            let parts = record.split_first_chunk().and_then(|(value, rest)| {
                let (side, who) = rest.split_first()?;
                Some((value, *side, who))
            });
            let (value, side, who) = parts.ok_or(CheckError::Sort(SortError::Damaged))?;
            let new_to_us = group.add(value, side).map_err(CheckError::from)?;
            match side {
                THEIRS | THEIRS_EARLIER if new_to_us => theirs(value)?,
                OWN | OWN_EARLIER if group.theirs => {
                    let matched = [&[side], who].concat();
                    matches.push(&matched).map_err(CheckError::from)?;
                    count += 1;
                }
                _ => {}
            }
        }
        drop(values);
        let sorted = matches.sorted().map_err(CheckError::from)?;
        Ok(Matches { sorted, count })
    }
}

/// Equal values so far.
#[derive(Default)]
struct Group {
    value: Option<Value>,
    side: u8,
    /// Whether the peer has it.
    theirs: bool,
}

impl Group {
    /// Takes the next value in order; tells whether it is the first of its kind.
    fn add(&mut self, value: &Value, side: u8) -> Result<bool, Misbehaviour> {
        let again = self.value.as_ref() == Some(value);
        if again && side == self.side {
            match side {
                OWN => return Err(Misbehaviour::RepeatedPoint),
                THEIRS => return Err(Misbehaviour::SentTwice),
                _ => {}
            }
        }
        let theirs = matches!(side, THEIRS | THEIRS_EARLIER | THEIRS_NAMED);
        *self = Self {
            value: Some(*value),
            side,
            theirs: theirs || (again && self.theirs),
        };
        Ok(!again)
    }
}

impl<S: Store> Matches<S> {
    /// The next one; none behind the last.
    ///
    /// # Errors
    /// [`SortError`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its ids"
    )]
    pub fn next(&mut self) -> Result<Option<Match<'_>>, SortError> {
        let Some(record) = self.sorted.next()? else {
            return Ok(None);
        };
        let (side, who) = record.split_first().ok_or(SortError::Damaged)?;
        if *side == OWN {
            let place = who.try_into().map_err(|_| SortError::Damaged)?;
            return Ok(Some(Match::Place(u64::from_be_bytes(place))));
        }
        let id = std::str::from_utf8(who).map_err(|_| SortError::Damaged)?;
        Ok(Some(Match::Id(id)))
    }
}

#[cfg(test)]
mod tests;
