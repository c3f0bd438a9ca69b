//! An object that is read in windows.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes, BytesMut};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::Object;
use super::error::ObjectError;
use super::line::Answer;

/// The most bytes of a window.
const WINDOW_BYTES: u64 = 4 << 20;
/// The fewest, of a table with many columns.
const LEAST_BYTES: u64 = 256 << 10;
/// Bytes of all windows of a table, roughly: two for each column that is read.
const ALL_BYTES: u64 = 128 << 20;
/// What is fetched of the end of a file of which nothing is known: a Parquet footer, mostly.
const END_BYTES: u64 = 64 << 10;

/// An object that is open. Its copies share what was fetched.
#[derive(Clone)]
pub(crate) struct ObjectReader(Arc<Shared>);

struct Shared {
    object: Arc<Object>,
    size: u64,
    windows: Mutex<Windows>,
    /// What went wrong first: parsers do not hand on why they could not read.
    failed: Mutex<Option<ObjectError>>,
}

/// What was fetched, the latest used first.
struct Windows {
    /// The ranges that will be read from beginning to end, in order; nothing is fetched ahead
    /// beyond their ends.
    through: Vec<Range<u64>>,
    bytes: u64,
    most: usize,
    recent: VecDeque<Window>,
}

struct Window {
    range: Range<u64>,
    bytes: Fetched,
}

enum Fetched {
    Here(Bytes),
    Coming(Answer<Bytes>),
}

impl ObjectReader {
    pub(super) fn new(object: Arc<Object>, size: u64) -> Self {
        Self(Arc::new(Shared {
            object,
            size,
            windows: Mutex::new(Windows {
                through: Vec::new(),
                bytes: END_BYTES,
                most: 4,
                recent: VecDeque::new(),
            }),
            failed: Mutex::default(),
        }))
    }

    /// All of it, from the beginning to the end.
    pub(crate) fn through(self) -> ObjectBytes {
        self.expect(std::iter::once(0..self.0.size).collect(), 1);
        self.from(0)
    }

    /// Says what will be read: `ranges`, in as many places at once as there are `streams`.
    pub(crate) fn expect(&self, mut ranges: Vec<Range<u64>>, streams: usize) {
        ranges.sort_by_key(|range| range.start);
        let mut through: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match through.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => through.push(range),
            }
        }
        let mut windows = self.windows();
        let each = ALL_BYTES / (2 * streams.max(1) as u64);
        windows.bytes = each.clamp(LEAST_BYTES, WINDOW_BYTES);
        windows.most = 2 * streams + 2;
        windows.through = through;
    }

    /// What went wrong first, if anything did.
    pub(crate) fn failed(&self) -> Option<ObjectError> {
        *self.0.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn from(&self, at: u64) -> ObjectBytes {
        ObjectBytes {
            reader: self.clone(),
            at,
            rest: Bytes::new(),
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0
            .windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes from `at` on: as many as a window has, of at most `wanted` where nothing is known of
    /// what will be read; none at the end.
    fn bytes(&self, at: u64, wanted: u64) -> Result<Bytes, ObjectError> {
        if at >= self.0.size {
            return Ok(Bytes::new());
        }
        let found = self.windows().bytes(&self.0, at, wanted);
        if let Err(why) = &found {
            let mut failed = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(*why);
        }
        found
    }
}

impl Windows {
    fn bytes(&mut self, shared: &Shared, at: u64, wanted: u64) -> Result<Bytes, ObjectError> {
        let known = self
            .recent
            .iter()
            .position(|window| window.range.contains(&at));
        let window = match known.and_then(|known| self.recent.remove(known)) {
            Some(window) => window,
            None => self.fetch(shared, self.around(at, wanted, shared.size))?,
        };
        let range = window.range.clone();
        let bytes = match window.bytes {
            Fetched::Here(bytes) => bytes,
            Fetched::Coming(answer) => {
                self.fetch_behind(shared, range.end)?;
                answer.wait()?
            }
        };
        let rest = bytes.slice(usize::try_from(at - range.start).unwrap_or(usize::MAX)..);
        self.keep(Window {
            range,
            bytes: Fetched::Here(bytes),
        });
        Ok(rest)
    }

    fn fetch(&self, shared: &Shared, range: Range<u64>) -> Result<Window, ObjectError> {
        let answer = shared.object.fetch(range.clone())?;
        let bytes = Fetched::Coming(answer);
        Ok(Window { range, bytes })
    }

    /// The window to fetch for what is at `at`.
    fn around(&self, at: u64, wanted: u64, size: u64) -> Range<u64> {
        if let Some(through) = self.through_at(at) {
            return at..through.end.min(at + self.bytes).min(size);
        }
        match size - at <= END_BYTES {
            true => size.saturating_sub(END_BYTES)..size,
            false => at..size.min(at.saturating_add(wanted.max(1))),
        }
    }

    fn through_at(&self, at: u64) -> Option<&Range<u64>> {
        let ranges = self.through.partition_point(|range| range.end <= at);
        self.through.get(ranges).filter(|range| range.contains(&at))
    }

    /// Begins to fetch what comes after a window, if that will be read.
    fn fetch_behind(&mut self, shared: &Shared, at: u64) -> Result<(), ObjectError> {
        let known = self.recent.iter().any(|window| window.range.contains(&at));
        if known || self.through_at(at).is_none() {
            return Ok(());
        }
        let window = self.fetch(shared, self.around(at, 0, shared.size))?;
        self.keep(window);
        Ok(())
    }

    fn keep(&mut self, window: Window) {
        self.recent.push_front(window);
        self.recent.truncate(self.most);
    }
}

impl Length for ObjectReader {
    fn len(&self) -> u64 {
        self.0.size
    }
}

impl ChunkReader for ObjectReader {
    type T = ObjectBytes;

    fn get_read(&self, start: u64) -> Result<ObjectBytes, ParquetError> {
        Ok(self.from(start))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.0.size) {
            return Err(ParquetError::EOF("a range beyond the end".to_owned()));
        }
        let foreign = |why: ObjectError| ParquetError::External(Box::new(why));
        let first = self.bytes(start, length as u64).map_err(foreign)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut all = BytesMut::with_capacity(length);
        all.extend_from_slice(&first);
        while all.len() < length {
            let rest = length - all.len();
            let more = self
                .bytes(start + all.len() as u64, rest as u64)
                .map_err(foreign)?;
            all.extend_from_slice(more.get(..rest).unwrap_or(&more));
        }
        Ok(all.freeze())
    }
}

/// The bytes of an object from some place on.
pub(crate) struct ObjectBytes {
    reader: ObjectReader,
    at: u64,
    rest: Bytes,
}

impl Read for ObjectBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self
                .reader
                .bytes(self.at, END_BYTES)
                .map_err(io::Error::other)?;
        }
        let count = self.rest.len().min(into.len());
        let (some, _) = into.split_at_mut(count);
        self.rest.copy_to_slice(some);
        self.at += count as u64;
        Ok(count)
    }
}
