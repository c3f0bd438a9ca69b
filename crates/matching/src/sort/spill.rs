//! Records on the disk: ciphertext.
//!
//! # Format
//! `incamera-match-spill/1`: a line with that name, then blocks: `length (4) | nonce (12) |
//! ciphertext | tag (16)`, where the length counts what stands behind it, big-endian. A block is
//! some records, each behind its length in two bytes, sealed by AES-256-GCM. Associated data: the
//! name and the block's number, from 0, in eight bytes. The key is drawn for the one file; it and
//! where runs begin are in the memory of the program that writes the file and nowhere else.

use incamera_keys::{Secret32, aead};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use zeroize::Zeroizing;

use super::{MAX_RECORD_BYTES, SortError, Store, StoreError};

const FORMAT: &str = "incamera-match-spill/1";
/// Bytes of a block's length.
const LENGTH_BYTES: usize = 4;
/// Bytes of a record's length.
const RECORD_LENGTH_BYTES: usize = 2;

/// A file of blocks, which goes when this does.
pub(super) struct Spill<S: Store> {
    store: S,
    /// There until the file is removed.
    file: Option<S::File>,
    key: Secret32,
    rng: ChaCha20Rng,
    block_bytes: usize,
    end: Position,
}

/// Where a block begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) offset: u64,
    pub(super) block: u64,
}

impl<S: Store> Drop for Spill<S> {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.store.remove(file);
        }
    }
}

impl<S: Store> Spill<S> {
    /// A new file.
    pub(super) fn create(
        store: &S,
        block_bytes: usize,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SortError> {
        let mut spill = Self {
            file: Some(store.create()?),
            store: store.clone(),
            key: Secret32::generate(rng),
            rng: ChaCha20Rng::from_rng(rng),
            block_bytes,
            end: Position::default(),
        };
        spill.append(format!("{FORMAT}\n").as_bytes())?;
        Ok(spill)
    }

    /// Where the next block will begin.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SortError> {
        let file = self.file.as_mut().ok_or(SortError::AfterFailure)?;
        self.store.append(file, bytes)?;
        self.end.offset += bytes.len() as u64;
        Ok(())
    }

    /// Seals the records of `block` and empties it.
    pub(super) fn write(&mut self, block: &mut Block) -> Result<(), SortError> {
        if block.0.is_empty() {
            return Ok(());
        }
        let aad = associated(self.end.block);
        let sealed = aead::seal(&self.key, &aad, &block.0, &mut self.rng);
        block.0.clear();
        let length = u32::try_from(sealed.len()).map_err(|_| SortError::TooLong)?;
        self.append(&[&length.to_be_bytes(), sealed.as_slice()].concat())?;
        self.end.block += 1;
        Ok(())
    }

    /// Adds a record to `block`, which is written once it is full.
    pub(super) fn add(&mut self, block: &mut Block, record: &[u8]) -> Result<(), SortError> {
        block.add(record)?;
        match block.0.len() < self.block_bytes {
            true => Ok(()),
            false => self.write(block),
        }
    }

    /// The records of the block at `at`, which moves on to the next.
    fn read(&self, at: &mut Position) -> Result<Zeroizing<Vec<u8>>, SortError> {
        let file = self.file.as_ref().ok_or(SortError::AfterFailure)?;
        let mut length = [0; LENGTH_BYTES];
        self.store.read(file, at.offset, &mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let most = self.block_bytes + RECORD_LENGTH_BYTES + MAX_RECORD_BYTES;
        if length > most + aead::OVERHEAD_BYTES {
            return Err(SortError::Damaged);
        }
        let mut sealed = vec![0; length];
        let body = at.offset + LENGTH_BYTES as u64;
        self.store.read(file, body, &mut sealed)?;
        let records = aead::open(&self.key, &associated(at.block), &sealed);
        let records = records.map_err(|_| SortError::Damaged)?;
        at.offset = body + length as u64;
        at.block += 1;
        Ok(records)
    }
}

fn associated(block: u64) -> Vec<u8> {
    [FORMAT.as_bytes(), &block.to_be_bytes()].concat()
}

/// Records on their way into a file, each behind its length.
#[derive(Default)]
pub(super) struct Block(Vec<u8>);

impl Block {
    pub(super) fn add(&mut self, record: &[u8]) -> Result<(), SortError> {
        if record.len() > MAX_RECORD_BYTES {
            return Err(SortError::TooLong);
        }
        let length = u16::try_from(record.len()).map_err(|_| SortError::TooLong)?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(record);
        Ok(())
    }

    /// The records that are not in the file yet.
    pub(super) fn records(&self) -> &[u8] {
        &self.0
    }
}

/// Takes the first record off `block`; none at its end.
pub(super) fn first_record<'b>(block: &mut &'b [u8]) -> Result<Option<&'b [u8]>, SortError> {
    if block.is_empty() {
        return Ok(None);
    }
    let (length, rest) = block.split_first_chunk().ok_or(SortError::Damaged)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (record, rest) = rest.split_at_checked(length).ok_or(SortError::Damaged)?;
    *block = rest;
    Ok(Some(record))
}

/// Reads the records of some blocks one after the other.
pub(super) struct Cursor {
    at: Position,
    /// The offset behind the last block.
    end: u64,
    block: Zeroizing<Vec<u8>>,
    /// How much of the block is read.
    read: usize,
}

impl Cursor {
    /// The records from `from` to the block that begins at `end`.
    pub(super) fn new(from: Position, end: Position) -> Self {
        Self {
            at: from,
            end: end.offset,
            block: Zeroizing::default(),
            read: 0,
        }
    }

    /// Puts the next record into `into`; tells whether there was one.
    pub(super) fn take<S: Store>(
        &mut self,
        spill: &Spill<S>,
        into: &mut Vec<u8>,
    ) -> Result<bool, SortError> {
        into.clear();
        loop {
            let mut rest = self.block.get(self.read..).unwrap_or_default();
            if let Some(record) = first_record(&mut rest)? {
                into.extend_from_slice(record);
                self.read = self.block.len() - rest.len();
                return Ok(true);
            }
            if self.at.offset >= self.end {
                return Ok(false);
            }
            self.block = spill.read(&mut self.at)?;
            self.read = 0;
        }
    }
}

impl From<StoreError> for SortError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
