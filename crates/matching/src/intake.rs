//! A party's ids, made distinct and brought into a random order, at constant memory.
//!
//! Ids come in normalised, each with a mask of the purposes that its person agreed to, and so
//! do the ids that earlier runs gave pseudonyms. One sort by a keyed hash of the id takes
//! repeats away and puts what is left into an order that is uniform over the whole set
//! (`docs/decisions/0071-one-sort-dedups-and-shuffles.md`). The same ids under the same keys are
//! in the same order, whatever the order in which they came: a run that was cut off goes on.
//!
//! Where no order of ids leaves the party, as by method `vole`, they are sorted
//! [by themselves](Intake::by_id): as a crosswalk has them, so that one sort is enough.
//!
//! # Records
//! | bytes | what                                                    | of equal ids |
//! |-------|---------------------------------------------------------|--------------|
//! | 16    | HMAC-SHA256 of the id under the order key, its first half; or the id's first bytes, and zeros | the same |
//! | 8     | purposes, a bit each                                    | AND          |
//! | 1     | in the set now, in an earlier run                       | OR           |
//! | rest  | the id                                                  | the same     |
//!
//! They are sorted by the first 16 bytes and then by the id, so two ids with one hash stay two.

use std::collections::{BinaryHeap, HashSet};

use hmac::{Hmac, Mac as _};
use incamera_keys::Secret32;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::sort::{
    Memory, Order, Sequence, SequenceReader, SequenceWriter, SortError, Sorted, Sorter, Store,
};
use crate::terms::{first_16, hmac};
use crate::{KNOWN_IDS, Mode, Value};

/// Bytes of a keyed hash.
const HASH_BYTES: usize = 16;
/// Where purposes, flags and id begin.
const MASK_AT: usize = HASH_BYTES;
const FLAGS_AT: usize = MASK_AT + 8;
const ID_AT: usize = FLAGS_AT + 1;

/// The id stands in the party's data now, with consent to something.
const NOW: u8 = 1;
/// An earlier run gave the id a pseudonym.
const KNOWN: u8 = 2;

/// Which of the ids a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// All of them, or those that no earlier run had.
    pub mode: Mode,
    /// Earlier ids that are not in the data any more may be among those that are matched again
    /// to be compared, where too few are in the data. With `reveals = "own-matches"` they must
    /// not: to the peer such an id would look like one of today's.
    pub absent: bool,
}

/// What became of what came in. Shown to the owner of the data alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Rows with an id that was there already.
    pub duplicates: u64,
    /// Distinct ids whose person agreed to nothing.
    pub without_consent: u64,
    /// Distinct ids with consent.
    pub distinct: u64,
    /// Of these: ids that an earlier run had.
    pub known: u64,
    /// Ids of earlier runs, whether in the data or not.
    pub earlier: u64,
    /// Ids that are matched again only to be compared.
    pub mixed_in: u64,
}

/// Takes a party's ids.
pub struct Intake<S: Store> {
    store: S,
    memory: Memory,
    rng: ChaCha20Rng,
    /// None where ids are sorted by themselves.
    shuffle: Option<Shuffle>,
    sorter: Sorter<S, ByHash>,
    record: Vec<u8>,
    rows: u64,
    earlier: u64,
}

/// What a random order is made with, and what says that a run goes on in it.
struct Shuffle {
    order: Hmac<Sha256>,
    known_key: Secret32,
    row_digest: Sha256,
    earlier_digest: Sha256,
}

/// Ids in the order in which they travel. Digests are zero where ids are sorted by themselves:
/// no run goes on with those.
pub struct Ordered<S: Store> {
    ids: Sequence<S>,
    /// Counts.
    pub taken: Taken,
    /// SHA-256 of all ids and purposes, as they came.
    pub rows_digest: [u8; 32],
    /// SHA-256 of the ids that travel, in their order, and of what is known of each: another
    /// program may bring the same input into another one.
    pub order_digest: [u8; 32],
    /// SHA-256 of the ids of earlier runs, as they came.
    pub earlier_digest: [u8; 32],
}

struct ByHash;

impl Order for ByHash {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        let hash = record.get(..HASH_BYTES).unwrap_or(record);
        (hash, record.get(ID_AT..).unwrap_or_default())
    }

    fn fold(kept: &mut [u8], other: &[u8]) -> bool {
        let and = |(kept, other): (&mut u8, &u8)| *kept &= other;
        let or = |(kept, other): (&mut u8, &u8)| *kept |= other;
        let (mask, flags) = (MASK_AT..FLAGS_AT, FLAGS_AT..ID_AT);
        let pairs =
            |kept: &mut [u8], range: std::ops::Range<usize>, fold: &dyn Fn((&mut u8, &u8))| {
                let kept = kept.get_mut(range.clone()).unwrap_or_default();
                let other = other.get(range).unwrap_or_default();
                kept.iter_mut().zip(other).for_each(fold);
            };
        pairs(kept, mask, &and);
        pairs(kept, flags, &or);
        true
    }
}

impl<S: Store> Intake<S> {
    /// Nothing taken yet. `order` and `known` are keys of this run alone; `rng` is for keys and
    /// nonces of what goes to the store.
    pub fn new(
        order: &Secret32,
        known: &Secret32,
        store: &S,
        memory: Memory,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let shuffle = Shuffle {
            order: hmac(order.expose()),
            known_key: Secret32::from_bytes(*known.expose()),
            row_digest: Sha256::new(),
            earlier_digest: Sha256::new(),
        };
        Self {
            shuffle: Some(shuffle),
            ..Self::by_id(store, memory, rng)
        }
    }

    /// The same for a run that shows no order of ids: they come out sorted by themselves, and
    /// none of earlier runs is mixed in.
    pub fn by_id(store: &S, memory: Memory, rng: &mut impl CryptoRng) -> Self {
        Self {
            store: store.clone(),
            memory,
            shuffle: None,
            sorter: Sorter::new(store, memory, rng),
            rng: ChaCha20Rng::from_rng(rng),
            record: Vec::new(),
            rows: 0,
            earlier: 0,
        }
    }

    /// Takes the normalised id of a row. Bits of `purposes` say what its person agreed to; where
    /// nobody is asked all are set.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn row(&mut self, id: &str, purposes: u64) -> Result<(), SortError> {
        self.rows += 1;
        if let Some(Shuffle { row_digest, .. }) = &mut self.shuffle {
            row_digest.update((id.len() as u64).to_be_bytes());
            row_digest.update(id);
            row_digest.update(purposes.to_be_bytes());
        }
        self.push(id, purposes, NOW)
    }

    /// Takes an id that an earlier run gave a pseudonym.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn known(&mut self, id: &str) -> Result<(), SortError> {
        self.earlier += 1;
        if let Some(Shuffle { earlier_digest, .. }) = &mut self.shuffle {
            earlier_digest.update((id.len() as u64).to_be_bytes());
            earlier_digest.update(id);
        }
        self.push(id, u64::MAX, KNOWN)
    }

    fn push(&mut self, id: &str, purposes: u64, flags: u8) -> Result<(), SortError> {
        let order = self.shuffle.as_ref().map(|shuffle| &shuffle.order);
        let hash = order.map_or_else(|| head(id), |key| hash(key, id));
        self.record.clear();
        self.record.extend_from_slice(&hash);
        self.record.extend_from_slice(&purposes.to_be_bytes());
        self.record.push(flags);
        self.record.extend_from_slice(id.as_bytes());
        self.sorter.push(&self.record)
    }

    /// The chosen ids in their order, once the last is taken.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn finish(self, choice: Choice) -> Result<Ordered<S>, SortError> {
        let draws = self.shuffle.as_ref().map(Draws::new);
        let mut sieve = Sieve {
            ids: Travelling::new(&self.store, self.memory, draws.is_some()),
            choice,
            draws,
            absent: 0,
            taken: Taken {
                earlier: self.earlier,
                ..Taken::default()
            },
            rng: self.rng,
        };
        let mut sorted = self.sorter.sorted()?;
        sieve.take_all(&mut sorted)?;
        drop(sorted);
        let mut taken = sieve.taken;
        taken.duplicates = self.rows - taken.distinct - taken.without_consent;
        let ((ids, order_digest), mixed_in) = sieve.chosen(&self.store, self.memory)?;
        taken.mixed_in = mixed_in;
        let [rows_digest, earlier_digest] = self.shuffle.map(Shuffle::digests).unwrap_or_default();
        Ok(Ordered {
            ids,
            taken,
            order_digest,
            rows_digest,
            earlier_digest,
        })
    }
}

impl Shuffle {
    fn digests(self) -> [[u8; 32]; 2] {
        [self.row_digest, self.earlier_digest].map(|digest| digest.finalize().into())
    }
}

/// How an id begins: with the id behind it, it is ordered as the id is.
fn head(id: &str) -> Value {
    let mut head = [0; HASH_BYTES];
    let bytes = head.iter_mut().zip(id.as_bytes());
    bytes.for_each(|(to, from)| *to = *from);
    head
}

/// The first half of a keyed hash.
fn hash(key: &Hmac<Sha256>, id: &str) -> Value {
    let mut mac = key.clone();
    mac.update(id.as_bytes());
    first_16(&mac.finalize().into_bytes().into())
}

/// Draws ids: those with the least keyed hashes, which is a uniform sample that does not depend
/// on the order in which they are offered.
struct Draw {
    key: Hmac<Sha256>,
    least: BinaryHeap<(Value, String)>,
}

impl Draw {
    fn new(key: &Secret32) -> Self {
        Self {
            key: hmac(key.expose()),
            least: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, id: &str) {
        let hash = hash(&self.key, id);
        let full = self.is_full();
        if full && self.least.peek().is_some_and(|(most, _)| *most <= hash) {
            return;
        }
        self.least.push((hash, id.to_owned()));
        if full {
            self.least.pop();
        }
    }

    fn is_full(&self) -> bool {
        self.least.len() >= KNOWN_IDS
    }

    fn drawn(self) -> HashSet<String> {
        self.least.into_iter().map(|(_, id)| id).collect()
    }
}

/// Who is matched again to be compared.
struct Draws {
    /// Of the ids of earlier runs that are in the data now.
    present: Draw,
    /// Of all ids of earlier runs but those whose person takes every consent back.
    any: Draw,
}

impl Draws {
    fn new(shuffle: &Shuffle) -> Self {
        let [present, any] = [(); 2].map(|()| Draw::new(&shuffle.known_key));
        Self { present, any }
    }
}

/// Ids in the order in which they travel, while they are chosen.
struct Travelling<S: Store> {
    ids: SequenceWriter<S>,
    digest: Option<Sha256>,
}

impl<S: Store> Travelling<S> {
    fn new(store: &S, memory: Memory, digested: bool) -> Self {
        Self {
            ids: SequenceWriter::new(store, memory),
            digest: digested.then(Sha256::new),
        }
    }

    fn push(&mut self, entry: &[u8], rng: &mut ChaCha20Rng) -> Result<(), SortError> {
        if let Some(digest) = &mut self.digest {
            digest.update((entry.len() as u64).to_be_bytes());
            digest.update(entry);
        }
        self.ids.push(entry, rng)
    }

    fn finish(self) -> Chosen<S> {
        let digest = self.digest.map(|digest| digest.finalize().into());
        (self.ids.finish(), digest.unwrap_or_default())
    }
}

/// Chooses among distinct ids.
struct Sieve<S: Store> {
    ids: Travelling<S>,
    choice: Choice,
    /// None where ids are sorted by themselves: nobody is drawn then.
    draws: Option<Draws>,
    /// Ids of earlier runs that are not in the data now, and may travel.
    absent: u64,
    taken: Taken,
    rng: ChaCha20Rng,
}

/// The ids that travel, and SHA-256 of them in their order.
type Chosen<S> = (Sequence<S>, [u8; 32]);

impl<S: Store> Sieve<S> {
    fn take_all(&mut self, sorted: &mut Sorted<S, ByHash>) -> Result<(), SortError> {
        let mut entry = Vec::new();
        while let Some(record) = sorted.next()? {
            let parsed = record.split_at_checked(ID_AT);
            let (head, id) = parsed.ok_or(SortError::Damaged)?;
            let id = std::str::from_utf8(id).map_err(|_| SortError::Damaged)?;
            let agreed = head.get(MASK_AT..FLAGS_AT);
            let agreed = agreed.is_some_and(|mask| mask.iter().any(|byte| *byte != 0));
            let flags = self.count(head.last().copied().unwrap_or_default(), agreed);
            if self.may_travel(flags, id) {
                entry.clear();
                entry.push(flags);
                entry.extend_from_slice(id.as_bytes());
                self.ids.push(&entry, &mut self.rng)?;
            }
        }
        Ok(())
    }

    /// Counts an id; without consent it is nothing, not even one of an earlier run.
    fn count(&mut self, flags: u8, agreed: bool) -> u8 {
        if flags & NOW == 0 {
            return flags;
        }
        if !agreed {
            self.taken.without_consent += 1;
            return 0;
        }
        self.taken.distinct += 1;
        self.taken.known += u64::from(flags & KNOWN != 0);
        flags
    }

    /// Whether the id may be sent, as far as can be said before all are seen.
    fn may_travel(&mut self, flags: u8, id: &str) -> bool {
        let (now, known) = (flags & NOW != 0, flags & KNOWN != 0);
        let drawn = self.draws.as_mut().filter(|_| known);
        if let Some(Draws { present, any }) = drawn {
            any.offer(id);
            if now {
                present.offer(id);
            }
        }
        match (now, known) {
            (true, _) => true,
            (false, true) if self.choice.absent && self.draws.is_some() => {
                self.absent += 1;
                true
            }
            _ => false,
        }
    }

    /// The ids that travel, and how many of them only to be compared. Of ids in the data, if
    /// there are enough: whom else to compare is nobody's who may want to be left alone.
    fn chosen(self, store: &S, memory: Memory) -> Result<(Chosen<S>, u64), SortError> {
        let digested = self.draws.is_some();
        let (ids, digest) = self.ids.finish();
        let append = self.choice.mode == Mode::Append;
        let asked = match append {
            true => self.taken.distinct - self.taken.known,
            false => self.taken.distinct,
        };
        if self.absent == 0 && !append {
            return Ok(((ids, digest), 0));
        }
        let drawn = self.draws.map(|Draws { present, any }| {
            let of_present = present.is_full() || !self.choice.absent;
            if of_present { present } else { any }.drawn()
        });
        let drawn = drawn.unwrap_or_default();
        let mut rng = self.rng;
        let mut chosen = Travelling::new(store, memory, digested);
        let mut reader = ids.read_from(0)?;
        while let Some(record) = reader.next()? {
            let entry = Entry::of(record)?;
            let is_asked = entry.now() && !(append && entry.known());
            if is_asked || drawn.contains(entry.id) {
                chosen.push(record, &mut rng)?;
            }
        }
        let chosen = chosen.finish();
        let mixed_in = chosen.0.len() - asked;
        Ok((chosen, mixed_in))
    }
}

impl<S: Store> Ordered<S> {
    /// How many ids travel.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ids.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Reads the ids from place `first` on.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn read_from(&self, first: u64) -> Result<Ids<S>, SortError> {
        self.ids.read_from(first).map(Ids)
    }
}

/// Reads ids in the order in which they travel.
pub struct Ids<S: Store>(SequenceReader<S>);

impl<S: Store> Ids<S> {
    /// The place of the id that comes next.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.0.place()
    }

    /// The next id; none behind the last.
    ///
    /// # Errors
    /// [`SortError`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its ids"
    )]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, SortError> {
        self.0.next()?.map(Entry::of).transpose()
    }
}

/// An id that travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The id, normalised.
    pub id: &'a str,
    flags: u8,
}

impl<'a> Entry<'a> {
    fn of(record: &'a [u8]) -> Result<Self, SortError> {
        let (flags, id) = record.split_first().ok_or(SortError::Damaged)?;
        let id = std::str::from_utf8(id).map_err(|_| SortError::Damaged)?;
        Ok(Self { id, flags: *flags })
    }

    #[cfg(test)]
    pub(crate) fn for_test(id: &'a str, now: bool, known: bool) -> Self {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(now, NOW) | flag(known, KNOWN);
        Self { id, flags }
    }

    /// Whether it stands in the data now, with consent.
    #[must_use]
    pub fn now(&self) -> bool {
        self.flags & NOW != 0
    }

    /// Whether an earlier run gave it a pseudonym.
    #[must_use]
    pub fn known(&self) -> bool {
        self.flags & KNOWN != 0
    }
}

impl std::fmt::Debug for Entry<'_> {
    /// Never the id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (now, known) = (self.now(), self.known());
        write!(f, "Entry(now: {now}, known: {known})")
    }
}

#[cfg(test)]
mod tests;
