//! The journal of a run: what a killed `match run` goes on with.
//!
//! # Format `incamera-match-journal/1`
//! A line with the name, the time from which on the run is not gone on with (8 bytes, so that
//! it can be removed without a key), then records `len (4) | number (8) | sealed (len)`, numbers
//! from 0. `sealed` is AES-256-GCM under the journal's key with a nonce drawn for each record, as in
//! [`incamera_keys::aead`]; associated data: the name, SHA-256 of the sealed header (zeros for
//! the header itself), the number. So a record stands for its place in its journal alone.
//!
//! | record       | holds                                                                   |
//! |--------------|-------------------------------------------------------------------------|
//! | 0, [`Header`]| digests of the input, of its order and of our greeting, the seed, nonce and name of the run, the peer's key, sizes, dates |
//! | own          | pseudonyms of own places                                                |
//! | theirs       | fingerprints (or tags) of the peer's points                             |
//! | served       | the peer has all its answers                                            |
//! | crosswalk    | SHA-256 of the crosswalk that is about to take its place                |
//! | written      | the crosswalk is durable                                                |
//!
//! # Why nonces are random
//! The key is the same for each journal of a slot, and a record that a kill tore is written
//! again under its number. A nonce made of the number would seal two texts alike.
//!
//! # What a kill leaves
//! The last record may be there in part, or, after a loss of power, some of the last ones as
//! zeros: what does not open *and* ends the file but for zeros, or would go on behind its end, is
//! cut off. None of it was synced, so no answer left for it. Whatever else does not open was damaged or changed, and the
//! journal is refused: nothing says what stood there.
//!
//! # Durability
//! [`Journal::append`] hands bytes to the file; they count once [`Journal::sync`] is through.
//! Records of the peer's points are synced before the answers leave
//! (`docs/decisions/0075-a-journal-before-the-answers.md`).

mod history;
mod memory;
mod read;
mod record;
#[cfg(test)]
pub(crate) mod tests;

use std::io;

use incamera_keys::{MatchingKey, Secret32, aead};
use incamera_types::{PartyName, UnixTime};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::Terms;

pub use history::{
    Before, Counted, HISTORY_NAME, History, HistoryError, HistoryKey, REPLAY_POINTS,
};
pub use read::{Held, Opened, Reader, expiry};
use record::VALUE_BYTES;
pub use record::{Changed, Header, MAX_VALUES, Places, Record};

/// Name and version.
pub const JOURNAL_NAME: &str = "incamera-match-journal/1";
/// The line that a journal begins with.
const NAME_LINE: &[u8] = b"incamera-match-journal/1\n";
/// Bytes before the first record: the line, and when the run expires.
const PREFIX_BYTES: usize = NAME_LINE.len() + 8;
/// Length and number before a sealed record.
const FRAME_BYTES: usize = 12;
/// The most bytes of one sealed record: the values of one, and room for a header.
const MAX_SEALED_BYTES: usize = MAX_VALUES * VALUE_BYTES + 1024;

/// Where a journal lies. Only ciphertext passes here.
pub trait JournalFile {
    /// Bytes there are.
    ///
    /// # Errors
    /// As the file's.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `into` with what stands at `at`.
    ///
    /// # Errors
    /// As the file's; also where it ends before.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
    /// Adds to the end.
    ///
    /// # Errors
    /// As the file's.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything appended is on the disk.
    ///
    /// # Errors
    /// As the file's.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `bytes`.
    ///
    /// # Errors
    /// As the file's.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// Why a journal was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file.
    #[error("the journal was not written or read")]
    File(#[from] io::Error),
    /// Not a journal, or a newer one.
    #[error(
        "this is no journal of the kind `{JOURNAL_NAME}`: a newer version of incamera may read it"
    )]
    Unknown,
    /// A record in the middle does not open, or does not follow on the ones before.
    #[error(
        "record {record} of the journal is damaged, or of another run, or the key ring is another one"
    )]
    Damaged {
        /// Its number.
        record: u64,
    },
    /// A record larger than any.
    #[error("{values} values are more than a record of the journal holds")]
    TooLarge {
        /// Values given.
        values: usize,
    },
    /// An earlier write failed, and what it left could not be cut off.
    #[error("the journal ended with an earlier error")]
    Ended,
}

/// What the journals of one slot with one peer are sealed under: made of the matching secret,
/// so whoever lacks the key ring reads nothing.
pub struct JournalKey(Secret32);

impl JournalKey {
    /// The key for runs under `terms` with `peer`.
    #[must_use]
    pub fn of(secret: &MatchingKey, terms: &Terms, peer: &PartyName) -> Self {
        Self(slot_key(JOURNAL_NAME, secret, terms, peer))
    }
}

/// The key for files of a kind, of runs under `terms` with `peer`.
pub(crate) fn slot_key(
    name: &str,
    secret: &MatchingKey,
    terms: &Terms,
    peer: &PartyName,
) -> Secret32 {
    let epoch = terms.epoch.0.to_be_bytes();
    let fields: [&[u8]; 6] = [
        terms.agreement_id.as_ref(),
        &epoch,
        terms.id_kind.as_str().as_bytes(),
        terms.method.as_str().as_bytes(),
        terms.reveals.as_str().as_bytes(),
        peer.as_str().as_bytes(),
    ];
    secret.derive_for(name, &fields)
}

impl AsRef<Secret32> for JournalKey {
    fn as_ref(&self) -> &Secret32 {
        &self.0
    }
}

/// A journal that is written to.
pub struct Journal<F> {
    file: F,
    key: JournalKey,
    /// SHA-256 of the sealed header.
    header: [u8; 32],
    /// The number of the next record.
    next: u64,
    /// Where the next record begins.
    end: u64,
    index: read::Index,
    /// Whether what a failed write left stands behind `end`.
    ended: bool,
}

impl<F: JournalFile> Journal<F> {
    /// Begins a journal: nothing of `file` stays. Durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn create(
        mut file: F,
        key: JournalKey,
        header: &Header,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, JournalError> {
        file.cut(0)?;
        let expires_at = header.expires_at.0.to_be_bytes();
        file.append(&[NAME_LINE, &expires_at].concat())?;
        let sealed = aead::seal(&key, &associated(&[0; 32], 0), &header.to_bytes(), rng);
        let mut journal = Self {
            file,
            key,
            header: Sha256::digest(&sealed).into(),
            next: 0,
            end: PREFIX_BYTES as u64,
            index: read::Index::default(),
            ended: false,
        };
        journal.put(&sealed)?;
        journal.sync()?;
        Ok(journal)
    }

    /// Adds a record; [`Journal::sync`] makes it durable. What a failed write left is cut off.
    ///
    /// # Errors
    /// [`JournalError::File`], [`JournalError::TooLarge`], [`JournalError::Ended`].
    pub fn append(
        &mut self,
        record: &Record,
        rng: &mut impl CryptoRng,
    ) -> Result<(), JournalError> {
        let plain = record.to_bytes();
        if plain.len() > MAX_VALUES * VALUE_BYTES + 9 {
            let values = plain.len() / VALUE_BYTES;
            return Err(JournalError::TooLarge { values });
        }
        let associated = associated(&self.header, self.next);
        let sealed = aead::seal(&self.key, &associated, &plain, rng);
        let place = (self.next, self.end);
        self.put(&sealed)?;
        self.index.note(record, place);
        Ok(())
    }

    /// Returns once all records are on the disk.
    ///
    /// # Errors
    /// [`JournalError::File`]. Nobody knows then which of them are: the journal takes no more.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.ended {
            return Err(JournalError::Ended);
        }
        self.file.sync().map_err(|error| {
            self.ended = true;
            JournalError::File(error)
        })
    }

    /// Reads from the header on, what is not synced yet included.
    #[must_use]
    pub fn records(&self) -> Reader<'_, F> {
        Reader::new(&self.file, &self.key, self.end)
    }

    fn put(&mut self, sealed: &[u8]) -> Result<(), JournalError> {
        if self.ended {
            return Err(JournalError::Ended);
        }
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        let number = self.next.to_be_bytes();
        let frame = [&length.to_be_bytes()[..], &number, sealed].concat();
        if let Err(error) = self.file.append(&frame) {
            self.ended = self.file.cut(self.end).is_err();
            return Err(error.into());
        }
        self.next += 1;
        self.end += frame.len() as u64;
        Ok(())
    }
}

/// Name, header and number: what binds a record to its place.
fn associated(header: &[u8; 32], number: u64) -> Vec<u8> {
    [NAME_LINE, header, &number.to_be_bytes()].concat()
}

/// Whether a run that a journal holds may still be resumed.
#[must_use]
pub fn is_expired(header: &Header, now: UnixTime) -> bool {
    header.expires_at <= now
}
