//! What is kept of the peer's rows between runs that reveal own matches: its tags, so that ids
//! which are appended later meet them without being matched again.
//!
//! # Format `incamera-match-theirs/1`
//! A file of sealed records (`sealed`) under the key of [`TheirsKey`]:
//!
//! | record | holds                                                                        |
//! |--------|------------------------------------------------------------------------------|
//! | first  | 1, the name of the newest run that is in it                                  |
//! | values | 2, tags of 16 bytes in strictly ascending order, 4,096 or, in the last, fewer |
//! | last   | 3, the number of all tags                                                    |
//!
//! A file is written whole and then takes the place of the one before, so one that ends early
//! was damaged.
//!
//! # What it tells
//! Its owner could make each of these tags again from what came over the link; no id is in
//! them. Who was forgotten at the peer stays in it until the peer's next full run.

use std::io;

use incamera_keys::{MatchingKey, Secret32};
use incamera_types::{Digest as _, MatchRunDigest, PartyName};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::journal::{JournalFile, slot_key};
use crate::sealed::{SealedError, SealedReader, SealedWriter};
use crate::{Terms, Value};

/// Name and version.
pub const THEIRS_NAME: &str = "incamera-match-theirs/1";
/// Tags of a record.
const RECORD_VALUES: usize = 4096;
/// The most bytes of a record.
const MAX_RECORD_BYTES: usize = 1 + RECORD_VALUES * size_of::<Value>();

const FIRST: u8 = 1;
const VALUES: u8 = 2;
const LAST: u8 = 3;

/// Why what is kept of the peer's rows was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TheirsError {
    /// The file.
    #[error("what is kept of the other party's rows was not written or read")]
    File(#[from] io::Error),
    /// Something else, or newer.
    #[error("this is no file of the kind `{THEIRS_NAME}`: a newer version of incamera may read it")]
    Unknown,
    /// A record does not open, or does not follow on the ones before.
    #[error(
        "record {record} of what is kept of the other party's rows is damaged, or the key ring is another one"
    )]
    Damaged {
        /// Its number.
        record: u64,
    },
}

impl From<SealedError> for TheirsError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::File(error) => Self::File(error),
            SealedError::Unknown => Self::Unknown,
            SealedError::Damaged(record) => Self::Damaged { record },
        }
    }
}

/// What the file of one slot with one peer is sealed under: made of the matching secret.
pub struct TheirsKey(Secret32);

impl TheirsKey {
    /// The key for runs under `terms` with `peer`.
    #[must_use]
    pub fn of(secret: &MatchingKey, terms: &Terms, peer: &PartyName) -> Self {
        Self(slot_key(THEIRS_NAME, secret, terms, peer))
    }
}

impl AsRef<Secret32> for TheirsKey {
    fn as_ref(&self) -> &Secret32 {
        &self.0
    }
}

/// Writes a file.
pub struct TheirsWriter<F> {
    file: SealedWriter<F>,
    /// The record at hand.
    record: Vec<u8>,
    count: u64,
}

impl<F: JournalFile> TheirsWriter<F> {
    /// Begins a file that has what came up to `run`: nothing of `file` stays.
    ///
    /// # Errors
    /// [`TheirsError::File`].
    pub fn create(
        file: F,
        key: TheirsKey,
        run: &MatchRunDigest,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, TheirsError> {
        let mut writer = Self {
            file: SealedWriter::create(file, key.0, THEIRS_NAME)?,
            record: [&[FIRST], run.as_bytes().as_slice()].concat(),
            count: 0,
        };
        writer.put(rng)?;
        Ok(writer)
    }

    /// Adds a tag, which is greater than the one before.
    ///
    /// # Errors
    /// [`TheirsError::File`].
    pub fn push(&mut self, tag: &Value, rng: &mut impl CryptoRng) -> Result<(), TheirsError> {
        if self.record.is_empty() {
            self.record.push(VALUES);
        }
        self.record.extend_from_slice(tag);
        self.count += 1;
        match self.count % RECORD_VALUES as u64 {
            0 => self.put(rng),
            _ => Ok(()),
        }
    }

    /// Ends the file: durable when this returns.
    ///
    /// # Errors
    /// [`TheirsError::File`].
    pub fn finish(mut self, rng: &mut impl CryptoRng) -> Result<(), TheirsError> {
        if !self.record.is_empty() {
            self.put(rng)?;
        }
        self.record.push(LAST);
        self.record.extend_from_slice(&self.count.to_be_bytes());
        self.put(rng)?;
        Ok(self.file.sync()?)
    }

    /// Seals the record at hand.
    fn put(&mut self, rng: &mut impl CryptoRng) -> Result<(), TheirsError> {
        self.file.put(&self.record, rng)?;
        self.record.clear();
        Ok(())
    }
}

/// Reads a file, tag by tag.
pub struct TheirsReader<F> {
    file: SealedReader<F>,
    run: MatchRunDigest,
    /// The record at hand, and where its next tag begins.
    record: Zeroizing<Vec<u8>>,
    next: usize,
    before: Option<Value>,
    count: u64,
    ended: bool,
}

impl<F: JournalFile> TheirsReader<F> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`TheirsError`].
    pub fn open(file: F, key: TheirsKey) -> Result<Self, TheirsError> {
        let mut file = SealedReader::open(file, key.0, THEIRS_NAME, MAX_RECORD_BYTES)?;
        let first = file.record()?;
        let run = first.strip_prefix(&[FIRST]);
        let run = run.and_then(|run| <[u8; 32]>::try_from(run).ok());
        let run = run.ok_or(TheirsError::Damaged { record: 0 })?;
        Ok(Self {
            file,
            run: MatchRunDigest::from_bytes(run),
            record: Zeroizing::default(),
            next: 0,
            before: None,
            count: 0,
            ended: false,
        })
    }

    /// The newest run that is in it.
    #[must_use]
    pub fn run(&self) -> &MatchRunDigest {
        &self.run
    }

    /// The next tag; none behind the last.
    ///
    /// # Errors
    /// [`TheirsError`].
    #[expect(clippy::should_implement_trait, reason = "reading may fail")]
    pub fn next(&mut self) -> Result<Option<Value>, TheirsError> {
        while self.next == self.record.len() && !self.ended {
            self.record()?;
        }
        let left = self.record.get(self.next..).unwrap_or_default();
        let Some((tag, _)) = left.split_first_chunk().filter(|_| !self.ended) else {
            return Ok(None);
        };
        if self.before.is_some_and(|before| before >= *tag) {
            return Err(self.damaged());
        }
        self.before = Some(*tag);
        self.next += tag.len();
        self.count += 1;
        Ok(self.before)
    }

    /// Goes on to the next record.
    fn record(&mut self) -> Result<(), TheirsError> {
        self.record = self.file.record()?;
        self.next = 1;
        let (kind, rest) = self.record.split_first().ok_or(self.damaged())?;
        let ends = self.file.is_at_end()?;
        match *kind {
            VALUES if rest.len().is_multiple_of(size_of::<Value>()) && !rest.is_empty() => Ok(()),
            LAST if ends && rest == self.count.to_be_bytes() => {
                self.ended = true;
                Ok(())
            }
            _ => Err(self.damaged()),
        }
    }

    /// The record at hand.
    fn damaged(&self) -> TheirsError {
        TheirsError::Damaged {
            record: self.file.last(),
        }
    }
}

#[cfg(test)]
mod tests;
