//! The rows of one part or several, in order: the stretches of all runs, merged by person.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::ops::Range;

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use incamera_types::Pseudonym;

use crate::classify::Targets;
use crate::runs::{BATCH_ROWS, Lot, Lying, Rows, Stretch, gather};
use crate::sealing::SealError;
use crate::spill::Piece;
use crate::writer::PartError;

/// The rows that are written into one class, of one slice.
pub(crate) struct Merge<'a> {
    rows: &'a Rows,
    /// Who goes into which class.
    targets: &'a Targets,
    class: usize,
    columns: Vec<usize>,
    lanes: Vec<Lane>,
    /// The next row of each lane that has one: person, lane.
    heads: BinaryHeap<Reverse<(Pseudonym, usize)>>,
    opened: bool,
}

/// One stretch.
struct Lane {
    class: u32,
    rest: Rest,
    lot: Option<Lot>,
    at: usize,
}

/// What of a stretch is still to be read.
enum Rest {
    Memory(Range<usize>),
    Disk(File, std::vec::IntoIter<Piece>),
}

impl<'a> Merge<'a> {
    /// Of the values' columns, only `columns` are read.
    pub(crate) fn new(
        rows: &'a Rows,
        stretches: impl IntoIterator<Item = &'a Stretch>,
        targets: &'a Targets,
        class: usize,
        columns: Vec<usize>,
    ) -> Result<Self, SealError> {
        let mut lanes = Vec::new();
        for stretch in stretches {
            let rest = match (&stretch.at, rows) {
                (Lying::Memory(range), _) => Rest::Memory(range.clone()),
                (Lying::Disk(pieces), Rows::Disk(spill)) => {
                    Rest::Disk(spill.open()?, pieces.clone().into_iter())
                }
                (Lying::Disk(_), Rows::Memory(_)) => return Err(PartError::Encode.into()),
            };
            lanes.push(Lane {
                class: stretch.class,
                rest,
                lot: None,
                at: 0,
            });
        }
        Ok(Self {
            rows,
            targets,
            class,
            columns,
            lanes,
            heads: BinaryHeap::new(),
            opened: false,
        })
    }

    /// The next rows.
    pub(crate) fn next(&mut self) -> Result<Option<Lot>, SealError> {
        if !self.opened {
            self.opened = true;
            for number in 0..self.lanes.len() {
                self.refill(number)?;
            }
        }
        if let ([_], Some(_)) = (self.lanes.as_slice(), self.heads.peek()) {
            let lot = self.lanes.first_mut().and_then(|lane| lane.lot.take());
            self.heads.clear();
            self.refill(0)?;
            return Ok(lot);
        }
        let mut places = Vec::new();
        let mut people = Vec::new();
        let mut empty = None;
        while let Some(Reverse((person, number))) = self.heads.pop() {
            let Some(lane) = self.lanes.get_mut(number) else {
                continue;
            };
            places.push((number, lane.at));
            people.push(person);
            lane.at += 1;
            match lane.person() {
                Some(next) => self.heads.push(Reverse((next, number))),
                None => {
                    empty = Some(number);
                    break;
                }
            }
            if people.len() >= BATCH_ROWS {
                break;
            }
        }
        let lot = self.gathered(&places, people)?;
        if let Some(number) = empty {
            self.refill(number)?;
        }
        Ok(lot)
    }

    fn gathered(
        &self,
        places: &[(usize, usize)],
        people: Vec<Pseudonym>,
    ) -> Result<Option<Lot>, SealError> {
        if people.is_empty() {
            return Ok(None);
        }
        // Lanes without rows have no place, but must have a number.
        let lots = self.lanes.iter().map(|lane| lane.lot.as_ref());
        let some = lots.clone().flatten().next().ok_or(PartError::Encode)?;
        let schema: SchemaRef = some.values.schema();
        let batches: Vec<RecordBatch> =
            lots.map(|lot| lot.unwrap_or(some).values.clone()).collect();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let values = gather(&schema, &batches, places, &all).map_err(|_| PartError::Encode)?;
        Ok(Some(Lot { people, values }))
    }

    /// Reads on in a lane whose rows are all given.
    fn refill(&mut self, number: usize) -> Result<(), SealError> {
        let Some(lane) = self.lanes.get_mut(number) else {
            return Ok(());
        };
        loop {
            lane.lot = lane.rest.next(self.rows, &self.columns)?;
            lane.at = 0;
            let Some(lot) = &mut lane.lot else {
                return Ok(());
            };
            if !self.targets.moved.is_empty() {
                keep(lot, |person| {
                    self.targets.of(lane.class, person) == Some(self.class)
                })?;
            }
            if let Some(person) = lane.person() {
                self.heads.push(Reverse((person, number)));
                return Ok(());
            }
        }
    }
}

/// Keeps the rows about some people.
fn keep(lot: &mut Lot, wanted: impl Fn(&Pseudonym) -> bool) -> Result<(), SealError> {
    let mask: Vec<bool> = lot.people.iter().map(wanted).collect();
    if mask.iter().all(|wanted| *wanted) {
        return Ok(());
    }
    let mut each = mask.iter();
    lot.people
        .retain(|_| each.next().copied().unwrap_or_default());
    let mask = BooleanArray::from(mask);
    lot.values = filter_record_batch(&lot.values, &mask).map_err(|_| PartError::Encode)?;
    Ok(())
}

impl Lane {
    /// The person of the next row.
    fn person(&self) -> Option<Pseudonym> {
        self.lot.as_ref()?.people.get(self.at).copied()
    }
}

impl Rest {
    fn next(&mut self, rows: &Rows, columns: &[usize]) -> Result<Option<Lot>, SealError> {
        match (self, rows) {
            (Self::Memory(range), Rows::Memory(run)) => {
                if range.start >= range.end {
                    return Ok(None);
                }
                let lot = run
                    .lot(range.clone(), columns)
                    .map_err(|_| PartError::Encode)?;
                range.start += lot.people.len().max(1);
                Ok(Some(lot))
            }
            (Self::Disk(file, pieces), Rows::Disk(spill)) => {
                let Some(piece) = pieces.next() else {
                    return Ok(None);
                };
                Ok(Some(spill.read(file, piece, columns)?))
            }
            _ => Err(PartError::Encode.into()),
        }
    }
}

/// Rows of one class and slice, cut into parts.
pub(crate) struct Cutting<'a> {
    merge: Merge<'a>,
    /// Rows that belong to the next part.
    next: Option<Lot>,
    ended: bool,
    limit: PartLimit,
}

/// When a part has enough.
#[derive(Clone, Copy)]
pub(crate) struct PartLimit {
    /// Rows from which on the next person begins a new part.
    pub(crate) rows: u64,
    /// Bytes of columns in memory, likewise.
    pub(crate) bytes: u64,
}

impl PartLimit {
    /// Rows that no part goes beyond, even if a person has more: a quarter more than enough.
    fn most_rows(&self) -> u64 {
        self.rows.saturating_add(self.rows / 4).max(1)
    }
}

impl<'a> Cutting<'a> {
    pub(crate) fn new(merge: Merge<'a>, limit: PartLimit) -> Self {
        Self {
            merge,
            next: None,
            ended: false,
            limit,
        }
    }

    /// Whether there are more rows, for another part.
    pub(crate) fn more(&mut self) -> Result<bool, SealError> {
        if self.next.is_none() && !self.ended {
            self.next = self.merge.next()?;
            self.ended = self.next.is_none();
        }
        Ok(self.next.is_some())
    }

    /// The rows of the next part.
    pub(crate) fn part(&mut self) -> PartLots<'_, 'a> {
        PartLots {
            cutting: self,
            rows: 0,
            bytes: 0,
            last: None,
            full: false,
        }
    }
}

/// The rows of one part.
pub(crate) struct PartLots<'c, 'a> {
    cutting: &'c mut Cutting<'a>,
    rows: u64,
    bytes: u64,
    last: Option<Pseudonym>,
    full: bool,
}

impl PartLots<'_, '_> {
    /// How many of these rows belong to this part.
    fn fitting(&self, lot: &Lot) -> usize {
        let rows = lot.people.len();
        let full = self.bytes >= self.cutting.limit.bytes;
        let enough = match full {
            true => 0,
            false => self.cutting.limit.rows.saturating_sub(self.rows),
        };
        let most = self.cutting.limit.most_rows().saturating_sub(self.rows);
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(rows);
        let (enough, most) = (number(enough), number(most));
        let before = |at: usize| match at {
            0 => self.last,
            _ => lot.people.get(at - 1).copied(),
        };
        // A first row always belongs to its part.
        let border = |at: &usize| {
            *at < rows && before(*at).is_some_and(|last| lot.people.get(*at) != Some(&last))
        };
        (enough..most).find(border).unwrap_or(most)
    }

    fn next_lot(&mut self) -> Result<Option<Lot>, SealError> {
        if self.full || !self.cutting.more()? {
            return Ok(None);
        }
        let Some(mut lot) = self.cutting.next.take() else {
            return Ok(None);
        };
        let fitting = self.fitting(&lot);
        if fitting < lot.people.len() {
            self.full = true;
            let rest = lot.people.len() - fitting;
            self.cutting.next = Some(Lot {
                people: lot.people.split_off(fitting),
                values: lot.values.slice(fitting, rest),
            });
            lot.values = lot.values.slice(0, fitting);
        }
        self.rows += fitting as u64;
        self.bytes += bytes(&lot.values);
        self.last = lot.people.last().copied().or(self.last);
        Ok((fitting > 0).then_some(lot))
    }
}

/// Bytes of these rows alone.
fn bytes(values: &RecordBatch) -> u64 {
    let bytes = |column: &arrow::array::ArrayRef| column.to_data().get_slice_memory_size();
    let bytes = values.columns().iter().map(bytes);
    bytes.map(|bytes| bytes.unwrap_or_default() as u64).sum()
}

impl Iterator for PartLots<'_, '_> {
    type Item = Result<Lot, SealError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_lot().transpose()
    }
}
