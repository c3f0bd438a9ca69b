//! Files of sealed records that are written whole, from the first record to the last, and read so.
//!
//! A line with the file's name and version, then records `len (4) | sealed (len)`, the length
//! big-endian. `sealed` is AES-256-GCM with a nonce drawn for each record; associated data: the
//! line, SHA-256 of the sealed first record (zeros for that one), the record's number (8) from 0.
//! So a record stands for its place in its file alone. Which record is the last is for the one
//! who reads them to say.

use std::io;

use incamera_keys::{Secret32, aead};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::journal::JournalFile;

/// What cannot be read.
#[derive(Debug)]
pub(crate) enum SealedError {
    /// The file.
    File(io::Error),
    /// It begins with another line.
    Unknown,
    /// The record with this number does not open, or is not there.
    Damaged(u64),
}

impl From<io::Error> for SealedError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

fn line(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\n"].concat()
}

/// Where a record stands: what its associated data are made of.
struct At {
    line: Vec<u8>,
    /// SHA-256 of the sealed first record; zeros before it.
    first: [u8; 32],
    number: u64,
}

impl At {
    fn new(name: &str) -> Self {
        Self {
            line: line(name),
            first: [0; 32],
            number: 0,
        }
    }

    fn associated(&self) -> Vec<u8> {
        [&self.line[..], &self.first, &self.number.to_be_bytes()].concat()
    }

    fn next(&mut self, sealed: &[u8]) {
        if self.number == 0 {
            self.first = Sha256::digest(sealed).into();
        }
        self.number += 1;
    }
}

/// Writes a file.
pub(crate) struct SealedWriter<F> {
    file: F,
    key: Secret32,
    at: At,
}

impl<F: JournalFile> SealedWriter<F> {
    /// Begins a file: nothing of what it had stays.
    pub(crate) fn create(mut file: F, key: Secret32, name: &str) -> io::Result<Self> {
        let at = At::new(name);
        file.cut(0)?;
        file.append(&at.line)?;
        Ok(Self { file, key, at })
    }

    /// Adds a record.
    pub(crate) fn put(&mut self, record: &[u8], rng: &mut impl CryptoRng) -> io::Result<()> {
        let sealed = aead::seal(&self.key, &self.at.associated(), record, rng);
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        let framed = [&length.to_be_bytes()[..], &sealed].concat();
        self.file.append(&framed)?;
        self.at.next(&sealed);
        Ok(())
    }

    /// Returns once all is on the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Reads a file, record by record.
pub(crate) struct SealedReader<F> {
    file: F,
    key: Secret32,
    at: At,
    /// The most bytes of a record in clear.
    most: usize,
    /// Where the next record begins.
    offset: u64,
}

impl<F: JournalFile> SealedReader<F> {
    /// Opens a file of this name, whose records have at most so many bytes.
    pub(crate) fn open(
        file: F,
        key: Secret32,
        name: &str,
        most: usize,
    ) -> Result<Self, SealedError> {
        let at = At::new(name);
        let offset = at.line.len() as u64;
        let mut found = vec![0; at.line.len()];
        if file.bytes()? < offset {
            return Err(SealedError::Unknown);
        }
        file.read(0, &mut found)?;
        match found == at.line {
            true => Ok(Self {
                file,
                key,
                at,
                most,
                offset,
            }),
            false => Err(SealedError::Unknown),
        }
    }

    /// The next record: there must be one.
    pub(crate) fn record(&mut self) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let damaged = SealedError::Damaged(self.at.number);
        let left = self.file.bytes()?.saturating_sub(self.offset);
        let mut length = [0; LENGTH_BYTES];
        if left < LENGTH_BYTES as u64 {
            return Err(damaged);
        }
        self.file.read(self.offset, &mut length)?;
        let bytes = u32::from_be_bytes(length) as usize;
        let whole = (LENGTH_BYTES + bytes) as u64;
        if bytes > self.most + aead::OVERHEAD_BYTES || whole > left {
            return Err(damaged);
        }
        let mut sealed = vec![0; bytes];
        let body = self.offset + LENGTH_BYTES as u64;
        self.file.read(body, &mut sealed)?;
        let plain = aead::open(&self.key, &self.at.associated(), &sealed);
        let plain = plain.map_err(|_| damaged)?;
        self.at.next(&sealed);
        self.offset += whole;
        Ok(plain)
    }

    /// Whether the last record was read.
    pub(crate) fn is_at_end(&self) -> io::Result<bool> {
        Ok(self.offset == self.file.bytes()?)
    }

    /// The number of the record that was read last.
    pub(crate) fn last(&self) -> u64 {
        self.at.number.saturating_sub(1)
    }
}
