//! The row cut: at most so many rows a person of a data set, of those that pass the query's
//! conditions on it, in one streaming pass.
//!
//! # Claim
//! Which of a person's rows are kept depends on the key, the data set, the person, which of the
//! person's rows pass, and how many, never on other values or on other people, and not on how
//! rows are batched or left out by statistics. So whatever changes in one person's rows changes
//! at most so many kept rows of that person, and none of another's.
//! Memory holds one batch a part and the rows of one person, cut as they come: whenever some
//! rows or some bytes more than the cap wait.
//!
//! # Checks
//! Pseudonyms are not null, never fall, and lie in the slice that is read: an owner who sealed
//! otherwise could let one person count as several, so its rows are refused. All rows are
//! looked at, and their people counted, before conditions drop any: an error must not tell how
//! many rows pass (I7).
//!
//! # Several readings
//! A row's lot hangs on its place among all of the person's rows, also those that do not pass: a
//! query that reads a data set several times, each time under conditions of its own, keeps the
//! same rows wherever it can choose.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use incamera_dp::{NoiseKey, NoiseStream};
use incamera_types::{DatasetName, Pseudonym};

use crate::filter::Sieve;
use crate::public::Most;
use crate::source::{Batches, SourceError};

/// Rows of one person beyond the cap that are held before they are cut.
const SLACK_ROWS: usize = 65_536;
/// Rows that are gathered into one batch.
pub(crate) const BATCH_ROWS: usize = 8_192;
/// Bytes that a batch has at most, where rows may be wide, ...
const BATCH_BYTES: u64 = 4 << 20;
/// ... but for so many rows.
const LEAST_BATCH_ROWS: u64 = 256;
/// Rows from which on a batch without rows is given if few of them pass: whoever reads can stop
/// there.
const LOOKED_AT_ROWS: u64 = 16 * BATCH_ROWS as u64;
/// Bytes beyond those of a person's cap from which on they are cut.
const SLACK_BYTES: u64 = 8 << 20;

/// How many rows a batch has, where a row has at most so many bytes: by declared widths, so that
/// no text decides it.
pub(crate) fn batch_rows(row: u64) -> u64 {
    (BATCH_BYTES / row.max(1)).clamp(LEAST_BATCH_ROWS, BATCH_ROWS as u64)
}

/// The most bytes that wait beyond one person's cap, where a row has so many: what is cut later,
/// and two batches.
pub(crate) fn most_waiting_bytes(row: u64, batch_rows: u64) -> u64 {
    let rows = |rows: u64| rows.saturating_mul(row);
    let slack = SLACK_BYTES.saturating_add(rows(batch_rows));
    let waiting = rows(SLACK_ROWS as u64).min(slack);
    waiting.saturating_add(rows(2 * batch_rows))
}

/// The most rows beyond one person's cap that are given at a time.
pub(crate) fn most_given_rows(batch_rows: u64) -> u64 {
    2 * batch_rows
}

pub(crate) type Person = [u8; Pseudonym::BYTES];

/// What the cut of one data set and slice goes by.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) dataset: DatasetName,
    /// Which slice of how many.
    pub(crate) partition: (u32, u32),
    /// Rows a person that are kept.
    pub(crate) cap: usize,
    /// Rows of a batch.
    pub(crate) batch_rows: usize,
    /// How many columns batches have; fewer are pseudonyms alone, of rows that do not pass.
    pub(crate) columns: usize,
    /// Where the pseudonym stands in the batches.
    pub(crate) column: usize,
    /// The conditions, if there are any.
    pub(crate) sieve: Option<Sieve>,
    /// People that there may be.
    pub(crate) most: Most,
    pub(crate) key: Arc<NoiseKey>,
}

impl Rule {
    fn broken(&self) -> SourceError {
        SourceError::Unsealed {
            dataset: self.dataset.clone(),
        }
    }

    fn stream(&self, person: &Person) -> NoiseStream {
        self.key
            .stream("rows", &[self.dataset.as_str().as_bytes(), person])
    }
}

/// Merges the sorted parts of one slice by person, and cuts each person's rows.
pub(crate) struct Cut {
    rule: Rule,
    lanes: Vec<Lane>,
    /// Rows that are kept and not yet given.
    kept: Vec<RecordBatch>,
    kept_rows: usize,
}

impl Cut {
    pub(crate) fn new(rule: Rule, parts: Vec<Batches>) -> Result<Self, SourceError> {
        let mut lanes = Vec::new();
        for part in parts {
            lanes.extend(Lane::open(part, &rule)?);
        }
        Ok(Self {
            rule,
            lanes,
            kept: Vec::new(),
            kept_rows: 0,
        })
    }

    /// Keeps what one step gives: a stretch of one part where no other part interferes and
    /// nobody has too many rows, or else the rows of one person. Says how many rows it looked at.
    fn step(&mut self) -> Result<u64, SourceError> {
        if let [lane] = self.lanes.as_mut_slice()
            && let Some(Uncut { rows, people }) = lane.uncut(&self.rule)
        {
            self.rule.most.add(people)?;
            let stretch = lane.rows.slice(lane.at, rows);
            if lane.skip(rows, &self.rule)? {
                self.lanes.clear();
            }
            stretch.into_iter().for_each(|rows| self.keep(rows));
            return Ok(rows as u64);
        }
        let Some(person) = self.lanes.iter().map(Lane::person).min() else {
            return Ok(0);
        };
        self.rule.most.add(1)?;
        let mut run = Run::new(&self.rule, person);
        let mut at = 0;
        while let Some(lane) = self.lanes.get_mut(at) {
            if lane.drain(&mut run, &self.rule)? {
                self.lanes.remove(at);
            } else {
                at += 1;
            }
        }
        let seen = run.seen;
        for piece in run.finish()? {
            self.keep(piece);
        }
        Ok(seen)
    }

    fn keep(&mut self, rows: RecordBatch) {
        self.kept_rows += rows.num_rows();
        self.kept.push(rows);
    }

    fn give(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let kept = std::mem::take(&mut self.kept);
        self.kept_rows = 0;
        match kept.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            [first, ..] => concat_batches(first.schema_ref(), &kept)
                .map(Some)
                .map_err(|_| self.rule.broken()),
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let mut looked_at = 0;
        while self.kept_rows < self.rule.batch_rows && !self.lanes.is_empty() {
            if looked_at >= LOOKED_AT_ROWS {
                return Ok(Some(RecordBatch::new_empty(Arc::new(Schema::empty()))));
            }
            looked_at += self.step()?;
        }
        self.give()
    }
}

impl Iterator for Cut {
    type Item = Result<RecordBatch, SourceError>;
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.lanes.clear();
            self.kept.clear();
        }
        next.transpose()
    }
}

/// One part, at the next row to give.
struct Lane {
    rest: Batches,
    rows: Passing,
    /// Of all rows, whether or not they pass.
    people: FixedSizeBinaryArray,
    at: usize,
    last: Person,
}

impl Lane {
    /// A part at its first row; nothing for a part without rows.
    fn open(mut rest: Batches, rule: &Rule) -> Result<Option<Self>, SourceError> {
        let Some(batch) = next_batch(&mut rest)? else {
            return Ok(None);
        };
        let people = people(&batch, rule)?;
        let last = check_order(&people, None, rule)?;
        Ok(Some(Self {
            rest,
            rows: Passing::of(batch, rule)?,
            people,
            at: 0,
            last,
        }))
    }

    fn person(&self) -> Person {
        value(&self.people, self.at)
    }

    /// Moves on by `rows`; says whether the part has ended.
    fn skip(&mut self, rows: usize, rule: &Rule) -> Result<bool, SourceError> {
        self.at += rows;
        if self.at < self.people.len() {
            return Ok(false);
        }
        let Some(batch) = next_batch(&mut self.rest)? else {
            return Ok(true);
        };
        self.people = people(&batch, rule)?;
        self.last = check_order(&self.people, Some(self.last), rule)?;
        self.rows = Passing::of(batch, rule)?;
        self.at = 0;
        Ok(false)
    }

    /// How far it is to the last change of person in this batch, and no farther than a batch
    /// that is given, if nobody before it has more rows than the cap. The last person may go on
    /// in the next batch.
    fn uncut(&self, rule: &Rule) -> Option<Uncut> {
        let all = people_of(&self.people).get(self.at..)?;
        let (mut rows, mut people) = (0, 0);
        for one in all.chunk_by(|a, b| a == b) {
            let last = rows + one.len() == all.len();
            let full = rows > 0 && rows + one.len() > rule.batch_rows;
            if last || full || one.len() > rule.cap {
                break;
            }
            rows += one.len();
            people += 1;
        }
        (rows > 0).then_some(Uncut { rows, people })
    }

    /// Moves the rows of the run's person into it; says whether the part has ended.
    fn drain(&mut self, run: &mut Run<'_>, rule: &Rule) -> Result<bool, SourceError> {
        while self.person() == run.person {
            let start = self.at;
            let same =
                (start..self.people.len()).take_while(|&at| value(&self.people, at) == run.person);
            let rows = same.count();
            run.push(
                self.rows.slice(start, rows),
                self.rows.places(start, rows),
                rows,
            )?;
            if self.skip(rows, rule)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Rows of whole people, none of whom is cut.
struct Uncut {
    rows: usize,
    people: u64,
}

/// Those rows of a batch that pass the conditions.
struct Passing {
    /// Nothing if they were left out unread.
    batch: Option<RecordBatch>,
    /// How many rows pass before each row, and before the end; nothing if all pass.
    before: Option<Vec<usize>>,
}

impl Passing {
    fn of(batch: RecordBatch, rule: &Rule) -> Result<Self, SourceError> {
        if batch.num_columns() < rule.columns {
            let (batch, before) = (None, None);
            return Ok(Self { batch, before });
        }
        let passes = match &rule.sieve {
            Some(sieve) => sieve.passes(&batch).ok_or_else(|| rule.broken())?,
            None => return Ok(Self::all(batch)),
        };
        if passes.true_count() == batch.num_rows() {
            return Ok(Self::all(batch));
        }
        let mut before = Vec::with_capacity(batch.num_rows() + 1);
        let mut count = 0;
        before.push(count);
        before.extend(passes.values().iter().map(|passes| {
            count += usize::from(passes);
            count
        }));
        let batch = filter_record_batch(&batch, &passes).map_err(|_| rule.broken())?;
        Ok(Self {
            batch: Some(batch),
            before: Some(before),
        })
    }

    fn all(batch: RecordBatch) -> Self {
        Self {
            batch: Some(batch),
            before: None,
        }
    }

    /// Those of so many rows that pass, if any do.
    fn slice(&self, start: usize, rows: usize) -> Option<RecordBatch> {
        let batch = self.batch.as_ref()?;
        let place = |at: usize| match &self.before {
            Some(before) => before.get(at).copied(),
            None => Some(at),
        };
        let (start, end) = (place(start)?, place(start + rows)?);
        (end > start).then(|| batch.slice(start, end - start))
    }

    /// Which of so many rows pass, counted from the first.
    fn places(&self, start: usize, rows: usize) -> impl Iterator<Item = u64> {
        let passes = move |at: usize| {
            let Some(before) = &self.before else {
                return true;
            };
            before.get(start + at) < before.get(start + at + 1)
        };
        (0..rows).filter(move |at| passes(*at)).map(|at| at as u64)
    }
}

/// The next batch that has rows.
fn next_batch(rest: &mut Batches) -> Result<Option<RecordBatch>, SourceError> {
    rest.find(|batch| !matches!(batch, Ok(batch) if batch.num_rows() == 0))
        .transpose()
}

fn people(batch: &RecordBatch, rule: &Rule) -> Result<FixedSizeBinaryArray, SourceError> {
    let alone = batch.num_columns() < rule.columns;
    let column: Option<&ArrayRef> = match alone {
        true => batch.columns().first(),
        false => batch.columns().get(rule.column),
    };
    let people = column
        .and_then(|column| column.as_fixed_size_binary_opt())
        .ok_or_else(|| rule.broken())?;
    let sound = people.null_count() == 0 && people.value_size() == Pseudonym::BYTES;
    if sound {
        Ok(people.clone())
    } else {
        Err(rule.broken())
    }
}

/// Whose rows they are; nothing of a column that is not of pseudonyms.
pub(crate) fn people_of(column: &FixedSizeBinaryArray) -> &[Person] {
    let (people, rest) = column.value_data().as_chunks();
    match rest.is_empty() && people.len() == column.len() {
        true => people,
        false => &[],
    }
}

fn value(people: &FixedSizeBinaryArray, at: usize) -> Person {
    people_of(people).get(at).copied().unwrap_or_default()
}

/// Checks that pseudonyms never fall and lie in the slice; gives the last.
fn check_order(
    people: &FixedSizeBinaryArray,
    before: Option<Person>,
    rule: &Rule,
) -> Result<Person, SourceError> {
    let all = people_of(people);
    // Compared as numbers, which is faster.
    let number = |person: &Person| u128::from_be_bytes(*person);
    let sorted = all.is_sorted_by(|one, next| number(one) <= number(next));
    let (first, last) = (value(people, 0), value(people, all.len().saturating_sub(1)));
    let follows = before.is_none_or(|before| before <= first);
    let (partition, of) = rule.partition;
    let inside = [first, last]
        .iter()
        .all(|person| Pseudonym::from_bytes(*person).partition(of) == partition);
    if sorted && follows && inside && all.len() == people.len() {
        Ok(last)
    } else {
        Err(rule.broken())
    }
}

/// The rows of one person, cut as they come.
struct Run<'a> {
    rule: &'a Rule,
    person: Person,
    pieces: Vec<RecordBatch>,
    rows: usize,
    /// Bytes of the pieces, and how many of them are left of the last cut.
    bytes: u64,
    left: u64,
    /// How many rows there were so far, also those that do not pass, ...
    seen: u64,
    /// ... and the place among them of each row that is held.
    places: Vec<u64>,
    /// A random number for each row so far, once there are more than the cap: the smallest
    /// are kept.
    lots: Vec<u64>,
    /// How many numbers were drawn: one a place.
    drawn: u64,
    stream: Option<NoiseStream>,
}

impl<'a> Run<'a> {
    fn new(rule: &'a Rule, person: Person) -> Self {
        Self {
            rule,
            person,
            pieces: Vec::new(),
            rows: 0,
            bytes: 0,
            left: 0,
            seen: 0,
            places: Vec::new(),
            lots: Vec::new(),
            drawn: 0,
            stream: None,
        }
    }

    /// Takes those that pass of so many rows, with their places among these.
    fn push(
        &mut self,
        piece: Option<RecordBatch>,
        places: impl Iterator<Item = u64>,
        rows: usize,
    ) -> Result<(), SourceError> {
        if let Some(piece) = piece {
            self.rows += piece.num_rows();
            self.bytes = self.bytes.saturating_add(bytes_of(&piece));
            self.pieces.push(piece);
            self.places.extend(places.map(|at| self.seen + at));
        }
        self.seen += rows as u64;
        let cap = self.rule.cap;
        let many = self.rows > cap.saturating_add(SLACK_ROWS);
        let wide = self.rows > cap && self.bytes.saturating_sub(self.left) > SLACK_BYTES;
        if many || wide {
            self.cut()?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordBatch>, SourceError> {
        if self.rows > self.rule.cap {
            self.cut()?;
        }
        Ok(self.pieces)
    }

    /// Keeps the rows that drew the smallest lots, in their order.
    fn cut(&mut self) -> Result<(), SourceError> {
        let (rule, person) = (self.rule, self.person);
        let stream = self.stream.get_or_insert_with(|| rule.stream(&person));
        for place in self.places.iter().skip(self.lots.len()) {
            let mut lot = stream.bits();
            while self.drawn < *place {
                lot = stream.bits();
                self.drawn += 1;
            }
            self.drawn += 1;
            self.lots.push(lot);
        }
        let mut order: Vec<(u64, u64)> = self.lots.iter().copied().zip(0..).collect();
        order.sort_unstable();
        order.truncate(rule.cap);
        let mut kept: Vec<u64> = order.into_iter().map(|(_, at)| at).collect();
        kept.sort_unstable();
        let of = |all: &[u64]| -> Vec<u64> {
            let one = |at: &u64| all.get(usize::try_from(*at).ok()?).copied();
            kept.iter().filter_map(one).collect()
        };
        (self.lots, self.places) = (of(&self.lots), of(&self.places));
        self.rows = kept.len();
        let kept = UInt64Array::from(kept);
        let all = self
            .pieces
            .first()
            .map(|first| concat_batches(first.schema_ref(), &self.pieces));
        let cut = all.map(|all| all.and_then(|all| take_record_batch(&all, &kept)));
        self.pieces = cut
            .transpose()
            .map_err(|_| rule.broken())?
            .into_iter()
            .collect();
        self.bytes = self.pieces.iter().map(bytes_of).sum();
        self.left = self.bytes;
        Ok(())
    }
}

/// The bytes of the rows of a batch.
fn bytes_of(rows: &RecordBatch) -> u64 {
    let columns = rows.columns().iter();
    let bytes = columns.map(|column| {
        let bytes = column.to_data().get_slice_memory_size();
        bytes.unwrap_or_else(|_| column.get_array_memory_size()) as u64
    });
    bytes.sum()
}
