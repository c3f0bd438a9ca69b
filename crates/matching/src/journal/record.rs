//! What stands in a journal: the header, and records of what is done.

use std::fmt;

use incamera_group::EncodedPoint;
use incamera_types::{Digest as _, MatchInputDigest, MatchRunDigest, UnixTime};
use zeroize::Zeroizing;

use super::JournalError;
use crate::exchange::Resumable;
use crate::{Mode, Seed, Value};

/// Bytes of one value: a pseudonym, a fingerprint, a tag.
pub(super) const VALUE_BYTES: usize = size_of::<Value>();
/// The most values of one record: more than a chunk has.
pub const MAX_VALUES: usize = 8192;

/// What a run hangs on; the first record.
#[derive(Debug)]
pub struct Header {
    /// What went into the run.
    pub input: MatchInputDigest,
    /// SHA-256 of the ids in the order in which they travel.
    pub order: [u8; 32],
    /// SHA-256 of what this side greeted with.
    pub greeting: [u8; 32],
    /// The public key of the peer's lasting secret, where rows are proven.
    pub peer_key: Option<[u8; EncodedPoint::BYTES]>,
    /// What the order of the ids and, with the input, the blinding are made of.
    pub seed: Seed,
    /// What this side greeted with.
    pub nonce: [u8; 32],
    /// The run's name.
    pub run: MatchRunDigest,
    /// Ids of this side.
    pub own: u64,
    /// Ids of the peer.
    pub peer: u64,
    /// Which ids of this side.
    pub mode: Mode,
    /// When the run began.
    pub made_at: UnixTime,
    /// From when on the run is not resumed.
    pub expires_at: UnixTime,
}

/// Why a run is not gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The ids, the crosswalk or the terms are others.
    Input,
    /// They are the same, and this program brings them into another order.
    Order,
    /// This program greets otherwise.
    Greeting,
}

/// Values of places that follow on each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Places {
    /// The place of the first value.
    pub first: u64,
    /// The values, 16 bytes each.
    pub bytes: Vec<u8>,
}

impl Places {
    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.bytes.len() / VALUE_BYTES) as u64
    }

    /// The values in order of place.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let (whole, _) = self.bytes.as_chunks::<VALUE_BYTES>();
        whole.iter().copied()
    }

    /// The place after the last value.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count())
    }
}

impl fmt::Debug for Places {
    /// Never a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({}+{})", self.first, self.count())
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Pseudonyms of own places: final.
    Own(Places),
    /// What tells the peer's points at these places from others, written before they are
    /// answered.
    Theirs(Places),
    /// The peer has all its answers, and said so.
    Served,
    /// SHA-256 of the file of the crosswalk that is about to take its place: a start that finds
    /// it there knows its own.
    Crosswalk([u8; 32]),
    /// The crosswalk with this run's pseudonyms is durable.
    Written,
}

const HEADER: u8 = 1;
const OWN: u8 = 2;
const THEIRS: u8 = 3;
const SERVED: u8 = 4;
const WRITTEN: u8 = 5;
const CROSSWALK: u8 = 6;

impl Header {
    /// Whether a start with this input, in this order, goes on with the run.
    ///
    /// # Errors
    /// [`Changed`].
    pub fn goes_on(&self, input: &MatchInputDigest, order: &[u8; 32]) -> Result<(), Changed> {
        match (self.input == *input, self.order == *order) {
            (true, true) => Ok(()),
            (true, false) => Err(Changed::Order),
            (false, _) => Err(Changed::Input),
        }
    }

    /// Whether a start that greets like this goes on with the run: its name hangs on the
    /// greeting, and the peer would take another one for a broken promise.
    ///
    /// # Errors
    /// [`Changed::Greeting`].
    pub fn greets(&self, greeting: &[u8; 32]) -> Result<(), Changed> {
        match self.greeting == *greeting {
            true => Ok(()),
            false => Err(Changed::Greeting),
        }
    }

    /// Where an exchange goes on that kept this much.
    #[must_use]
    pub fn resumable(&self, held: &super::Held) -> Resumable {
        Resumable {
            nonce: self.nonce,
            run: self.run,
            received: held.own,
            raised: held.theirs,
        }
    }

    /// The header as bytes, wiped when dropped: the seed is in them.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(512));
        out.push(HEADER);
        let (input, run) = (self.input.as_bytes(), self.run.as_bytes());
        let key = self.peer_key.unwrap_or_default();
        let (order, greeting) = (&self.order, &self.greeting);
        let fields = [input, order, self.seed.expose(), &self.nonce, run, greeting];
        for field in fields.into_iter().chain([&key]) {
            out.extend_from_slice(field);
        }
        out.push(u8::from(self.peer_key.is_some()));
        out.push(u8::from(self.mode == Mode::Append));
        for number in [self.own, self.peer, self.made_at.0, self.expires_at.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, JournalError> {
        let mut fields = Fields(bytes);
        if fields.byte()? != HEADER {
            return Err(JournalError::Damaged { record: 0 });
        }
        let header = Self {
            input: MatchInputDigest::from_bytes(fields.array()?),
            order: fields.array()?,
            seed: Seed::from_bytes(fields.array()?),
            nonce: fields.array()?,
            run: MatchRunDigest::from_bytes(fields.array()?),
            greeting: fields.array()?,
            peer_key: fields.key()?,
            mode: match fields.byte()? {
                0 => Mode::Full,
                _ => Mode::Append,
            },
            own: fields.number()?,
            peer: fields.number()?,
            made_at: UnixTime(fields.number()?),
            expires_at: UnixTime(fields.number()?),
        };
        fields.end()?;
        Ok(header)
    }
}

impl Record {
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let (kind, number, values): (u8, u64, &[u8]) = match self {
            Self::Own(places) => (OWN, places.first, &places.bytes),
            Self::Theirs(places) => (THEIRS, places.first, &places.bytes),
            Self::Served => (SERVED, 0, &[]),
            Self::Crosswalk(digest) => (CROSSWALK, 0, digest),
            Self::Written => (WRITTEN, 0, &[]),
        };
        let mut out = Zeroizing::new(Vec::with_capacity(9 + values.len()));
        out.push(kind);
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(values);
        out
    }

    /// The record of these bytes; nothing where no program of this version wrote them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (kind, number) = (fields.byte().ok()?, fields.number().ok()?);
        let rest = fields.0;
        match kind {
            OWN => places(number, rest).map(Self::Own),
            THEIRS => places(number, rest).map(Self::Theirs),
            SERVED if rest.is_empty() && number == 0 => Some(Self::Served),
            CROSSWALK if number == 0 => rest.try_into().ok().map(Self::Crosswalk),
            WRITTEN if rest.is_empty() && number == 0 => Some(Self::Written),
            _ => None,
        }
    }
}

/// At least one value, at most [`MAX_VALUES`], none in parts.
fn places(first: u64, bytes: &[u8]) -> Option<Places> {
    let whole = bytes.len().is_multiple_of(VALUE_BYTES);
    let few = bytes.len() <= MAX_VALUES * VALUE_BYTES;
    let values = || Places {
        first,
        bytes: bytes.to_vec(),
    };
    (!bytes.is_empty() && whole && few).then(values)
}

/// Fields from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], JournalError> {
        let damaged = JournalError::Damaged { record: 0 };
        let (array, rest) = self.0.split_first_chunk().ok_or(damaged)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A key, and whether there is one.
    fn key(&mut self) -> Result<Option<[u8; EncodedPoint::BYTES]>, JournalError> {
        let key = self.array()?;
        Ok((self.byte()? != 0).then_some(key))
    }

    fn byte(&mut self) -> Result<u8, JournalError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, JournalError> {
        self.array().map(u64::from_be_bytes)
    }

    fn end(&self) -> Result<(), JournalError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(JournalError::Damaged { record: 0 }),
        }
    }
}
