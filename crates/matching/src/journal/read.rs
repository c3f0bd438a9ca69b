//! Reading a journal: what a killed run has done.

use std::ops::Range;

use incamera_keys::{Secret32, aead};
use incamera_types::UnixTime;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    FRAME_BYTES, Header, Journal, JournalError, JournalFile, JournalKey, MAX_SEALED_BYTES,
    NAME_LINE, PREFIX_BYTES, Record, associated,
};
use crate::Value;
use crate::marks::Marks;

/// What a journal holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Own places with a pseudonym: all below this one.
    pub own: u64,
    /// The peer's places that may have been answered: all below this one.
    pub theirs: u64,
    /// Whether the peer has all its answers.
    pub served: bool,
    /// SHA-256 of the crosswalk that was about to take its place.
    pub crosswalk: Option<[u8; 32]>,
    /// Whether the crosswalk has what this run gave.
    pub written: bool,
}

/// A journal that was there.
pub enum Opened<F> {
    /// Nothing was begun: the file is empty, or ends within its header.
    Nothing(F),
    /// A run that may go on.
    Run {
        /// To be written on.
        journal: Journal<F>,
        /// The first record.
        header: Box<Header>,
        /// What was done.
        held: Held,
    },
}

impl<F: JournalFile> Journal<F> {
    /// Opens a journal and reads all of it once; what a kill left of the last record is cut
    /// off.
    ///
    /// # Errors
    /// [`JournalError::Unknown`] for something else, [`JournalError::Damaged`] for a record in
    /// the middle that does not open or follow, [`JournalError::File`].
    pub fn open(mut file: F, key: JournalKey) -> Result<Opened<F>, JournalError> {
        let mut reader = Reader::new(&file, &key, file.bytes()?);
        let Some(header) = reader.header()? else {
            return Ok(Opened::Nothing(file));
        };
        let (mut held, mut index) = (Held::default(), Index::default());
        loop {
            let place = (reader.number, reader.at);
            let Some(record) = reader.next()? else { break };
            let follows = held.with(&record, &header);
            held = follows.ok_or(JournalError::Damaged { record: place.0 })?;
            index.note(&record, place);
        }
        let (end, next, digest) = (reader.at, reader.number, reader.digest);
        if end < reader.end {
            file.cut(end)?;
        }
        // What a killed process wrote may be read back before it is on the disk.
        file.sync()?;
        let journal = Self {
            file,
            key,
            header: digest,
            next,
            end,
            index,
            ended: false,
        };
        Ok(Opened::Run {
            journal,
            header: Box::new(header),
            held,
        })
    }
}

impl Held {
    /// After one more record; nothing where it does not follow on the ones before.
    fn with(self, record: &Record, header: &Header) -> Option<Self> {
        match record {
            Record::Own(places) => {
                (places.first == self.own && places.end() <= header.own).then(|| Self {
                    own: places.end(),
                    ..self
                })
            }
            Record::Theirs(places) => (places.first == self.theirs && places.end() <= header.peer)
                .then(|| Self {
                    theirs: places.end(),
                    ..self
                }),
            Record::Served => (self.theirs == header.peer).then_some(Self {
                served: true,
                ..self
            }),
            Record::Crosswalk(digest) => (self.own == header.own).then_some(Self {
                crosswalk: Some(*digest),
                ..self
            }),
            Record::Written => (self.own == header.own).then_some(Self {
                written: true,
                ..self
            }),
        }
    }
}

/// Where some records of the peer's points begin, and their numbers.
#[derive(Default)]
pub(super) struct Index(Marks<(u64, u64)>);

impl Index {
    /// Takes note of a record, and of its number and where it begins.
    pub(super) fn note(&mut self, record: &Record, place: (u64, u64)) {
        if let Record::Theirs(places) = record {
            self.0.note(places.first, place);
        }
    }

    /// Number and beginning of the record that has `place`, or of one before it.
    fn before(&self, place: u64) -> Option<(u64, u64)> {
        self.0.before(place).map(|(_, found)| found)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<F: JournalFile> Journal<F> {
    /// What is kept of the peer's points at these places; fewer where not all are.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn theirs(&self, places: Range<u64>) -> Result<Vec<Value>, JournalError> {
        let mut values = Vec::new();
        let Some((number, at)) = self.index.before(places.start) else {
            return Ok(values);
        };
        let mut reader = Reader {
            at,
            number,
            digest: self.header,
            ..self.records()
        };
        let mut next = places.start;
        while next < places.end {
            let Some(record) = reader.next()? else { break };
            let Record::Theirs(found) = record else {
                continue;
            };
            if found.end() <= next {
                continue;
            }
            let skipped = usize::try_from(next.saturating_sub(found.first)).unwrap_or(usize::MAX);
            let wanted = usize::try_from(places.end - next).unwrap_or(usize::MAX);
            values.extend(found.values().skip(skipped).take(wanted));
            next = found.end();
        }
        Ok(values)
    }
}

/// Reads one record after the other.
pub struct Reader<'a, F> {
    file: &'a F,
    key: &'a JournalKey,
    /// Where the next record begins.
    at: u64,
    /// The end of the file.
    end: u64,
    /// The number of the next record.
    number: u64,
    /// SHA-256 of the sealed header; zeros before it.
    digest: [u8; 32],
    buffer: Vec<u8>,
}

impl<'a, F: JournalFile> Reader<'a, F> {
    pub(super) fn new(file: &'a F, key: &'a JournalKey, end: u64) -> Self {
        Self {
            file,
            key,
            at: 0,
            end,
            number: 0,
            digest: [0; 32],
            buffer: Vec::new(),
        }
    }

    /// The first record; none where the file ends before it does.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn header(&mut self) -> Result<Option<Header>, JournalError> {
        let Some(expires_at) = self.prefix()? else {
            return Ok(None);
        };
        let Some(plain) = self.plain()? else {
            return Ok(None);
        };
        self.digest = Sha256::digest(&self.buffer).into();
        let header = Header::from_bytes(&plain)?;
        match header.expires_at == expires_at {
            true => Ok(Some(header)),
            false => Err(JournalError::Damaged { record: 0 }),
        }
    }

    /// The next record behind the header; none at the end, and where a kill tore the last one.
    ///
    /// # Errors
    /// As [`Journal::open`].
    #[expect(clippy::should_implement_trait, reason = "reading may fail")]
    pub fn next(&mut self) -> Result<Option<Record>, JournalError> {
        if self.number == 0 && self.header()?.is_none() {
            return Ok(None);
        }
        let number = self.number;
        let Some(plain) = self.plain()? else {
            return Ok(None);
        };
        match Record::from_bytes(&plain) {
            Some(record) => Ok(Some(record)),
            None => Err(JournalError::Damaged { record: number }),
        }
    }

    /// The day after which the run is not gone on with, as it stands in clear behind the name;
    /// none where the file ends before it does.
    fn prefix(&mut self) -> Result<Option<UnixTime>, JournalError> {
        let there = usize::try_from(self.end).unwrap_or(usize::MAX);
        let mut prefix = [0; PREFIX_BYTES];
        let found = prefix
            .get_mut(..there.min(PREFIX_BYTES))
            .unwrap_or_default();
        self.file.read(0, found)?;
        let whole = found.len() == PREFIX_BYTES;
        let name = found.get(..NAME_LINE.len()).unwrap_or(found);
        if !NAME_LINE.starts_with(name) {
            return Err(JournalError::Unknown);
        }
        self.at = PREFIX_BYTES as u64;
        let clear = prefix.last_chunk().copied().unwrap_or_default();
        Ok(whole.then(|| UnixTime(u64::from_be_bytes(clear))))
    }

    /// The next record opened, its sealed bytes left in the buffer.
    fn plain(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, JournalError> {
        let left = self.end.saturating_sub(self.at);
        let mut frame = [0; FRAME_BYTES];
        if left < FRAME_BYTES as u64 {
            return Ok(None);
        }
        self.file.read(self.at, &mut frame)?;
        let [a, b, c, d, number @ ..] = frame;
        let bytes = u32::from_be_bytes([a, b, c, d]) as usize;
        let record = self.number;
        if bytes > MAX_SEALED_BYTES || number != record.to_be_bytes() {
            return self.torn(FRAME_BYTES as u64);
        }
        let whole = (FRAME_BYTES + bytes) as u64;
        if whole > left {
            return Ok(None);
        }
        self.buffer.resize(bytes, 0);
        let body = self.at + FRAME_BYTES as u64;
        self.file.read(body, &mut self.buffer)?;
        match aead::open(self.key, &associated(&self.digest, record), &self.buffer) {
            Ok(plain) => {
                self.at += whole;
                self.number += 1;
                Ok(Some(plain))
            }
            Err(_) => self.torn(whole),
        }
    }

    /// What does not open and has `bytes` bytes is the end of the file as a kill or a loss of
    /// power left it, if nothing but zeros stands behind it: the disk may have got the length
    /// before the bytes, of more than one record. Else it was damaged.
    fn torn(&self, bytes: u64) -> Result<Option<Zeroizing<Vec<u8>>>, JournalError> {
        let damaged = JournalError::Damaged {
            record: self.number,
        };
        let mut at = self.at + bytes;
        if self.number == 0 && at >= self.end {
            // The header was durable before anything else: it is of another key.
            return Err(damaged);
        }
        let mut some = [0; 4096];
        while at < self.end {
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let part = some.get_mut(..left.min(4096)).unwrap_or_default();
            self.file.read(at, part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Err(damaged);
            }
            at += part.len() as u64;
        }
        Ok(None)
    }
}

/// From when on the run of a journal is not gone on with, which is read without a key; none where
/// nothing was begun.
///
/// # Errors
/// [`JournalError::Unknown`], [`JournalError::File`].
pub fn expiry<F: JournalFile>(file: &F) -> Result<Option<UnixTime>, JournalError> {
    let key = JournalKey(Secret32::from_bytes([0; 32]));
    Reader::new(file, &key, file.bytes()?).prefix()
}
