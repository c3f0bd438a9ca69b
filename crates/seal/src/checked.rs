//! A part's file that was checked and is read in pieces.
//!
//! # Claim
//! Every byte that a [`CheckedPart`] gives is the one that stood there when the whole file had
//! the digest that its manifest says, whatever becomes of the file afterwards (I8: an operator
//! who swaps a file between a check and its use would get the same noise over other rows).
//!
//! While the whole is hashed, the hash's state at the end of each piece is kept. A piece that is
//! read later must lead from the state before it to the state after it: otherwise the file up to
//! there has another SHA-256. So a part is never in memory as a whole; its states are a 290th
//! of it, and the pieces used last are kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use incamera_types::{Digest as _, PartDigest};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest as _, Sha256};

use crate::manifest::{Manifest, Part};
use crate::reader::PartFileError;

/// Of a file, what is checked together.
const PIECE_BYTES: u64 = 1 << 15;
/// Pieces that are kept: about one for each column that is being read.
const KEPT_PIECES: usize = 8;
/// What is in memory of a part while it is read: pieces, and pages of its columns.
const MOST_AT_HAND: u64 = 4 << 20;
/// Of the whole part, what its states and its footer come to at most.
const SHARE_OF_ALL: u64 = 64;

/// A part whose file was found to be the one that its manifest names.
pub struct CheckedPart(Arc<Checked>);

struct Checked {
    /// Opened for each piece: a slice may have more parts than a process may have open files.
    path: PathBuf,
    bytes: u64,
    /// Before the first piece, and after each.
    states: Vec<Sha256>,
    kept: Mutex<Kept>,
}

/// The pieces used last, the last one at the end.
#[derive(Default)]
struct Kept(VecDeque<(u64, Bytes)>);

impl Kept {
    fn take(&mut self, at: u64) -> Option<Bytes> {
        let place = self.0.iter().position(|(other, _)| *other == at)?;
        self.0.remove(place).map(|(_, piece)| piece)
    }

    fn put(&mut self, at: u64, piece: Bytes) {
        if self.0.len() >= KEPT_PIECES {
            self.0.pop_front();
        }
        self.0.push_back((at, piece));
    }
}

/// Checks length and SHA-256 of a part's file against its manifest, and gives what was checked.
/// The room reads parts in no other way.
///
/// # Errors
/// [`PartFileError`], which names the part.
pub fn open_part(
    path: &Path,
    manifest: &Manifest,
    part: &Part,
) -> Result<CheckedPart, PartFileError> {
    let (dataset, file_id) = (manifest.dataset().clone(), part.file_id);
    match Checked::open(path, part) {
        Ok(Some(checked)) => Ok(CheckedPart(Arc::new(checked))),
        Ok(None) => Err(PartFileError::Changed { dataset, file_id }),
        Err(source) => Err(PartFileError::Io {
            dataset,
            file_id,
            source,
        }),
    }
}

impl CheckedPart {
    /// The most memory that a part of so many bytes takes while it is read, before anything is
    /// decrypted.
    #[must_use]
    pub fn most_held(bytes: u64) -> u64 {
        bytes.min(MOST_AT_HAND).saturating_add(bytes / SHARE_OF_ALL)
    }
}

impl Checked {
    fn open(path: &Path, part: &Part) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        let bytes = part.bytes;
        if file.metadata()?.len() != bytes {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        let mut states = vec![hash.clone()];
        let mut kept = Kept::default();
        for at in 0..bytes.div_ceil(PIECE_BYTES) {
            let Some(piece) = read_piece(&mut file, length(at, bytes))? else {
                return Ok(None);
            };
            hash.update(&piece);
            states.push(hash.clone());
            kept.put(at, piece);
        }
        let right = PartDigest::from_bytes(hash.finalize().into()) == part.digest;
        Ok(right.then(|| Self {
            path: path.into(),
            bytes,
            states,
            kept: Mutex::new(kept),
        }))
    }

    /// A piece, as it was when the file was checked.
    fn piece(&self, at: u64) -> io::Result<Bytes> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = match kept.take(at) {
            Some(piece) => piece,
            None => self.read_again(at)?,
        };
        kept.put(at, piece.clone());
        Ok(piece)
    }

    fn read_again(&self, at: u64) -> io::Result<Bytes> {
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "changed after its check");
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at.saturating_mul(PIECE_BYTES)))?;
        let piece = read_piece(&mut file, length(at, self.bytes))?.ok_or_else(changed)?;
        let index = usize::try_from(at).map_err(|_| changed())?;
        let states = self.states.get(index..).unwrap_or_default();
        let [before, after, ..] = states else {
            return Err(changed());
        };
        let hash = before.clone().chain_update(&piece);
        match hash.finalize() == after.clone().finalize() {
            true => Ok(piece),
            false => Err(changed()),
        }
    }

    /// What follows a place in its piece; nothing at the end.
    fn rest(&self, start: u64) -> io::Result<Bytes> {
        if start >= self.bytes {
            return Ok(Bytes::new());
        }
        let mut piece = self.piece(start / PIECE_BYTES)?;
        let before = usize::try_from(start % PIECE_BYTES).unwrap_or(usize::MAX);
        piece.advance(before.min(piece.len()));
        Ok(piece)
    }
}

/// How long a piece is, of so many bytes.
fn length(at: u64, bytes: u64) -> u64 {
    let start = at.saturating_mul(PIECE_BYTES);
    bytes.saturating_sub(start).min(PIECE_BYTES)
}

/// The next bytes of a file; none if there are not as many.
fn read_piece(file: &mut File, length: u64) -> io::Result<Option<Bytes>> {
    let capacity = usize::try_from(length).map_err(io::Error::other)?;
    let mut piece = Vec::with_capacity(capacity);
    file.take(length).read_to_end(&mut piece)?;
    Ok((piece.len() == capacity).then(|| piece.into()))
}

impl Length for CheckedPart {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for CheckedPart {
    type T = Onward;

    fn get_read(&self, start: u64) -> Result<Onward, ParquetError> {
        Ok(Onward {
            part: Arc::clone(&self.0),
            at: start,
            here: Bytes::new(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let here = self.0.rest(start)?;
        if length <= here.len() {
            return Ok(here.slice(..length));
        }
        // What the file says of its pages must not make room for more than there is.
        let left = self.0.bytes.saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF("a page behind the file's end".into()));
        }
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a part from a place on.
pub struct Onward {
    part: Arc<Checked>,
    at: u64,
    /// What is left of the piece at hand.
    here: Bytes,
}

impl Read for Onward {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.here.is_empty() {
            self.here = self.part.rest(self.at)?;
        }
        let count = self.here.as_ref().read(out)?;
        self.here.advance(count);
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}
