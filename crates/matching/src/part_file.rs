//! The rows of one part of the ids, as a file: normalised, with what their people agreed to, in
//! the order in which they were read. Whoever matches very many ids in parts reads all rows once,
//! into a file for each part, and not once for each part
//! (`docs/decisions/0111-parts-are-split-once-and-sealed.md`).
//!
//! # Format `incamera-match-part/1`
//! A file of sealed records, as `incamera-match-theirs/1` is, under the key of [`PartKey`]:
//!
//! | record | holds                                                                              |
//! |--------|------------------------------------------------------------------------------------|
//! | first  | 1, [`PartHead`] as JSON                                                            |
//! | rows   | 2, rows: `purposes (8) \| length (1) \| id`, a bit for each leaf purpose agreed to |
//! | last   | 3, [`PartTotals`] as JSON                                                          |
//!
//! A file that ends before its last record was not written to its end, or was damaged.

use std::io;
use std::path::PathBuf;

use incamera_keys::{MatchingKey, Secret32};
use incamera_types::{AgreementDigest, IdWriting, PartyName};
use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ids::{Counts, MAX_ID_BYTES};
use crate::journal::{JournalFile, slot_key};
use crate::sealed::{SealedError, SealedReader, SealedWriter};
use crate::{Partition, Terms};

/// Name and version.
pub const PART_NAME: &str = "incamera-match-part/1";
/// The most bytes of rows that are sealed together, but for the last of them.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;
/// Bytes of purposes and length before an id.
const ROW_HEAD_BYTES: usize = 9;
/// The most bytes of a record.
const MAX_RECORD_BYTES: usize = 1 + MAX_BLOCK_BYTES + ROW_HEAD_BYTES + MAX_ID_BYTES;

const FIRST: u8 = 1;
const ROWS: u8 = 2;
const LAST: u8 = 3;

/// Why the file of a part was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The file.
    #[error("the file of a part of the ids was not written or read")]
    File(#[from] io::Error),
    /// Something else, or newer.
    #[error("this is no file of the kind `{PART_NAME}`: a newer version of incamera may read it")]
    Unknown,
    /// A record does not open, does not follow on the ones before, or is not there.
    #[error(
        "record {record} of the file is damaged or missing, or the file is of another key ring, agreement or matching epoch"
    )]
    Damaged {
        /// Its number.
        record: u64,
    },
}

impl From<SealedError> for PartError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::File(error) => Self::File(error),
            SealedError::Unknown => Self::Unknown,
            SealedError::Damaged(record) => Self::Damaged { record },
        }
    }
}

/// What the files of parts of one slot with one peer are sealed under: made of the matching
/// secret, so that each machine with the party's key ring reads them, and nobody else.
pub struct PartKey(Secret32);

impl PartKey {
    /// The key for runs under `terms` with `peer`.
    #[must_use]
    pub fn of(secret: &MatchingKey, terms: &Terms, peer: &PartyName) -> Self {
        Self(slot_key(PART_NAME, secret, terms, peer))
    }
}

impl PartKey {
    fn copied(&self) -> Secret32 {
        Secret32::from_bytes(*self.0.expose())
    }
}

impl AsRef<Secret32> for PartKey {
    fn as_ref(&self) -> &Secret32 {
        &self.0
    }
}

/// What a part's rows are, and how they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// The version of the agreement by which they were read: its purposes, and its rules for ids.
    pub agreement: AgreementDigest,
    /// Which part.
    pub partition: Partition,
    /// How the party has its ids.
    pub writing: IdWriting,
    /// The column that they stood in.
    pub column: String,
    /// Whether the party said that everybody agreed.
    pub everyone_consented: bool,
}

/// Where a row stands whose id is not written as its kind is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidAt {
    /// Its file.
    pub file: PathBuf,
    /// Its line, from 1, in a text file.
    pub line: Option<u64>,
    /// Its number, from 1, in a table.
    pub row: Option<u64>,
}

/// What became of the rows of all parts, which each part's file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTotals {
    /// Rows in this file.
    pub here: u64,
    /// Of all rows that were read.
    pub counts: Counts,
    /// Where the first few invalid rows stand.
    pub invalid_first: Vec<InvalidAt>,
    /// The column that consents were read from.
    pub consent: Option<String>,
    /// Rows of files that do not say what people agreed to.
    pub unasked: u64,
}

/// [`PartHead`] as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    agreement: AgreementDigest,
    partition: Partition,
    rules: u32,
    hashed: bool,
    form: String,
    region: Option<String>,
    column: String,
    everyone_consented: bool,
}

impl Stored {
    fn of(head: &PartHead) -> Self {
        let IdWriting {
            rules,
            hashed,
            form,
            region,
        } = head.writing;
        Self {
            agreement: head.agreement,
            partition: head.partition,
            rules: rules.number(),
            hashed,
            form: form.to_string(),
            region: region.map(|region| region.to_string()),
            column: head.column.clone(),
            everyone_consented: head.everyone_consented,
        }
    }

    /// None where it says what nobody wrote.
    fn head(self) -> Option<PartHead> {
        let region = self.region.map(|region| region.parse()).transpose();
        Some(PartHead {
            agreement: self.agreement,
            partition: Partition::new(self.partition.number(), self.partition.of())?,
            writing: IdWriting {
                rules: self.rules.try_into().ok()?,
                hashed: self.hashed,
                form: self.form.parse().ok()?,
                region: region.ok()?,
            },
            column: self.column,
            everyone_consented: self.everyone_consented,
        })
    }
}

/// A record of JSON.
fn record_of(kind: u8, what: &impl Serialize) -> Result<Vec<u8>, PartError> {
    let mut record = vec![kind];
    serde_json::to_writer(&mut record, what).map_err(io::Error::from)?;
    Ok(record)
}

fn said<T: DeserializeOwned>(record: &[u8], kind: u8) -> Option<T> {
    let text = record.strip_prefix(&[kind])?;
    serde_json::from_slice(text).ok()
}

/// Writes a part's file.
pub struct PartWriter<F> {
    file: SealedWriter<F>,
    block_bytes: usize,
    /// The record at hand.
    record: Zeroizing<Vec<u8>>,
    count: u64,
}

impl<F: JournalFile> PartWriter<F> {
    /// Begins a file, of which nothing stays; rows are sealed together until they have
    /// `block_bytes`, [`MAX_BLOCK_BYTES`] at most.
    ///
    /// # Errors
    /// [`PartError::File`].
    pub fn create(
        file: F,
        key: &PartKey,
        head: &PartHead,
        block_bytes: usize,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, PartError> {
        let mut file = SealedWriter::create(file, key.copied(), PART_NAME)?;
        file.put(&record_of(FIRST, &Stored::of(head))?, rng)?;
        let block_bytes = block_bytes.min(MAX_BLOCK_BYTES);
        // All of it at once: nothing is left behind where it would have grown out of.
        let most = 1 + block_bytes + ROW_HEAD_BYTES + MAX_ID_BYTES;
        Ok(Self {
            file,
            block_bytes,
            record: Zeroizing::new(Vec::with_capacity(most)),
            count: 0,
        })
    }

    /// Adds a row: its normalised id, at most [`MAX_ID_BYTES`] long, and a bit for each purpose
    /// that its person agreed to.
    ///
    /// # Errors
    /// [`PartError::File`].
    pub fn push(
        &mut self,
        id: &str,
        purposes: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(), PartError> {
        let length = u8::try_from(id.len()).ok();
        let length = length.filter(|_| id.len() <= MAX_ID_BYTES);
        let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if self.record.is_empty() {
            self.record.push(ROWS);
        }
        self.record.extend_from_slice(&purposes.to_be_bytes());
        self.record.push(length);
        self.record.extend_from_slice(id.as_bytes());
        self.count += 1;
        match self.record.len() > self.block_bytes {
            true => self.put(rng),
            false => Ok(()),
        }
    }

    /// Ends the file, with what became of the rows of all parts (`here` is counted): durable when
    /// this returns.
    ///
    /// # Errors
    /// [`PartError::File`].
    pub fn finish(
        mut self,
        totals: &PartTotals,
        rng: &mut impl CryptoRng,
    ) -> Result<(), PartError> {
        if !self.record.is_empty() {
            self.put(rng)?;
        }
        let totals = PartTotals {
            here: self.count,
            ..totals.clone()
        };
        self.file.put(&record_of(LAST, &totals)?, rng)?;
        Ok(self.file.sync()?)
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.count
    }

    fn put(&mut self, rng: &mut impl CryptoRng) -> Result<(), PartError> {
        self.file.put(&self.record, rng)?;
        self.record.clear();
        Ok(())
    }
}

/// Reads a part's file, row by row.
pub struct PartReader<F> {
    file: SealedReader<F>,
    head: PartHead,
    /// The record at hand, and where its next row begins.
    record: Zeroizing<Vec<u8>>,
    next: usize,
    count: u64,
    totals: Option<PartTotals>,
}

/// A row: its normalised id, and a bit for each purpose agreed to.
pub type PartRow<'r> = (&'r str, u64);

impl<F: JournalFile> PartReader<F> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn open(file: F, key: &PartKey) -> Result<Self, PartError> {
        let mut file = SealedReader::open(file, key.copied(), PART_NAME, MAX_RECORD_BYTES)?;
        let stored = said::<Stored>(&file.record()?, FIRST);
        let head = stored.and_then(Stored::head);
        Ok(Self {
            head: head.ok_or(PartError::Damaged { record: 0 })?,
            file,
            record: Zeroizing::default(),
            next: 0,
            count: 0,
            totals: None,
        })
    }

    /// What its rows are.
    #[must_use]
    pub fn head(&self) -> &PartHead {
        &self.head
    }

    /// The next row; none behind the last.
    ///
    /// # Errors
    /// [`PartError`].
    #[expect(clippy::should_implement_trait, reason = "reading may fail")]
    pub fn next(&mut self) -> Result<Option<PartRow<'_>>, PartError> {
        while self.next == self.record.len() && self.totals.is_none() {
            self.record()?;
        }
        if self.totals.is_some() {
            return Ok(None);
        }
        let damaged = self.damaged();
        let rest = self.record.get(self.next..).unwrap_or_default();
        let (row, bytes) = first_row(rest).ok_or(damaged)?;
        self.next += bytes;
        self.count += 1;
        Ok(Some(row))
    }

    /// What became of the rows of all parts, once the last row was read.
    #[must_use]
    pub fn totals(&self) -> Option<&PartTotals> {
        self.totals.as_ref()
    }

    /// Goes on to the next record.
    fn record(&mut self) -> Result<(), PartError> {
        self.record = self.file.record()?;
        self.next = 1;
        match self.record.split_first() {
            Some((&ROWS, rest)) if !rest.is_empty() => Ok(()),
            Some((&LAST, _)) if self.file.is_at_end()? => {
                let totals = said::<PartTotals>(&self.record, LAST);
                let fits = |totals: &PartTotals| {
                    let valid = totals.counts.checked_valid();
                    totals.here == self.count && valid.is_some_and(|valid| valid >= self.count)
                };
                self.totals = Some(totals.filter(fits).ok_or(self.damaged())?);
                Ok(())
            }
            _ => Err(self.damaged()),
        }
    }

    /// The record at hand.
    fn damaged(&self) -> PartError {
        PartError::Damaged {
            record: self.file.last(),
        }
    }
}

/// The row that `rows` begins with, and its bytes.
fn first_row(rows: &[u8]) -> Option<(PartRow<'_>, usize)> {
    let (purposes, rest) = rows.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let id = rest.get(..usize::from(*length))?;
    let id = std::str::from_utf8(id).ok()?;
    let whole = (1..=MAX_ID_BYTES).contains(&id.len());
    whole.then_some(())?;
    Some((
        (id, u64::from_be_bytes(*purposes)),
        ROW_HEAD_BYTES + id.len(),
    ))
}

#[cfg(test)]
mod tests;
