//! Registers are read, and one owner's rows get the keys of the joint persons.
//!
//! # Claim
//! A joint person's key is that of the owner whose rows stay, for a pair and for its own people
//! alone, and the other owner's own for the other's people alone. Both are HMACs under secrets
//! of their owners, so that no two people have one. Of a register one row a person counts, by
//! the cut's lot; who has none is linked to nobody.
//!
//! Rows are cut by person before they get other keys, so that what is held is bounded by
//! declared people and rows ([`memory`](crate::memory)), and which of them are kept does not
//! hang on who is linked to whom. Held are the rows that the plan wants, once for each time that
//! it reads them, in order of their new keys and cut into the same slices.
//!
//! # Errors
//! Whatever is wrong with a register or with rows is found by their owner's rows alone, and all
//! data sets are read to the end nevertheless (I7).

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array as _, ArrayRef, AsArray as _, FixedSizeBinaryArray};
use arrow::compute::interleave_record_batch;
use arrow::record_batch::RecordBatch;
use incamera_types::Pseudonym;

use super::greedy::{self, Key};
use crate::cut::people_of;
use crate::run::{QueryError, worse};
use crate::scan::Slice;
use crate::source::Batches;

/// Made once, by whichever thread comes first.
type Once<T> = OnceLock<Result<Arc<T>, QueryError>>;

/// What all threads of a run share.
#[derive(Default)]
pub(crate) struct Linking {
    joint: Once<Joint>,
    /// One for each reading of the plan; empty for those whose rows stay.
    moved: Vec<Once<Moved>>,
}

/// Of the people of a register whose rows move, in order, the keys of their joint persons.
struct Joint {
    people: Vec<Key>,
    linked: Vec<Option<Key>>,
}

/// A reading's rows by slice, each in order of their joint persons.
pub(crate) struct Moved {
    slices: Vec<Vec<RecordBatch>>,
    /// Where the key stands.
    unit: usize,
}

impl Linking {
    /// For so many readings.
    pub(crate) fn new(readings: usize) -> Self {
        Self {
            joint: OnceLock::new(),
            moved: (0..readings).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The rows of reading `at`, which `rows` reads whole, with the keys of the joint persons
    /// that the two registers make. `stop` ends it.
    ///
    /// # Errors
    /// What is wrong with a register or the rows.
    pub(crate) fn moved(
        &self,
        at: usize,
        rows: &Slice,
        registers: &[Slice; 2],
        stop: &dyn Fn() -> bool,
    ) -> Result<Arc<Moved>, QueryError> {
        let joint = once(&self.joint, || Joint::read(registers, stop))?;
        let place = self.moved.get(at).ok_or(QueryError::Engine)?;
        once(place, || Moved::read(rows, &joint, stop))
    }
}

fn once<T>(
    place: &Once<T>,
    make: impl FnOnce() -> Result<T, QueryError>,
) -> Result<Arc<T>, QueryError> {
    let made = || {
        let made = catch_unwind(AssertUnwindSafe(make));
        made.unwrap_or(Err(QueryError::Engine)).map(Arc::new)
    };
    place.get_or_init(made).clone()
}

impl Joint {
    /// Reads both registers, that whose people stay first, and links them.
    fn read(registers: &[Slice; 2], stop: &dyn Fn() -> bool) -> Result<Self, QueryError> {
        let [stays, moves] = registers;
        match (register(stays, stop), register(moves, stop)) {
            (Ok(stays), Ok(moves)) => Ok(Self {
                linked: greedy::link(&stays, &moves),
                people: moves.into_people(),
            }),
            (Err(one), Err(other)) => Err(worse(Some(one), other)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        }
    }

    /// Whose row it is.
    fn of(&self, person: &Key) -> Key {
        let at = self.people.binary_search(person).ok();
        let linked = at.and_then(|at| *self.linked.get(at)?);
        linked.unwrap_or(*person)
    }
}

/// The people of a register: their keys stand first, then a column of each kind.
fn register(slice: &Slice, stop: &dyn Fn() -> bool) -> Result<greedy::Register, QueryError> {
    let mut found: Option<greedy::Register> = None;
    let (batches, _) = slice.whole();
    for batch in batches {
        let batch = batch?;
        if stop() {
            return Err(QueryError::Engine);
        }
        if batch.num_rows() == 0 {
            continue;
        }
        let columns = batch.columns().iter().map(keys).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or(QueryError::Engine)?;
        let (people, kinds) = columns.split_first().ok_or(QueryError::Engine)?;
        let found = found.get_or_insert_with(|| greedy::Register::new(kinds.len()));
        for (at, person) in people_of(people).iter().enumerate() {
            let value = |kind: &&FixedSizeBinaryArray| {
                let value = people_of(kind).get(at).filter(|_| kind.is_valid(at));
                value.copied()
            };
            if !found.push(*person, kinds.iter().map(value)) {
                return Err(slice.broken().into());
            }
        }
    }
    Ok(found.unwrap_or_else(|| greedy::Register::new(0)))
}

fn keys(column: &ArrayRef) -> Option<&FixedSizeBinaryArray> {
    let width = i32::try_from(Pseudonym::BYTES).ok();
    let keys = column.as_fixed_size_binary_opt();
    keys.filter(|keys| Some(keys.value_length()) == width)
}

/// A row's joint person, and where it stands.
type Place = (Key, u32, u32);

impl Moved {
    fn read(slice: &Slice, joint: &Joint, stop: &dyn Fn() -> bool) -> Result<Self, QueryError> {
        let (rows, unit) = slice.whole();
        let unit = unit.ok_or(QueryError::Engine)?;
        let (mut batches, mut places) = (Vec::new(), Vec::<Place>::new());
        for batch in rows {
            let batch = batch?;
            if stop() {
                return Err(QueryError::Engine);
            }
            if batch.num_rows() == 0 {
                continue;
            }
            let number = u32::try_from(batches.len()).map_err(|_| QueryError::Engine)?;
            let people = batch.columns().get(unit).and_then(keys);
            let mut last: Option<(Key, Key)> = None;
            for (row, person) in (0u32..).zip(people_of(people.ok_or(QueryError::Engine)?)) {
                let known = last.filter(|(known, _)| known == person);
                let (_, joint) = known.unwrap_or_else(|| (*person, joint.of(person)));
                last = Some((*person, joint));
                places.push((joint, number, row));
            }
            batches.push(batch);
        }
        // By batch and row in the end, so that a person's rows stay in their order.
        places.sort_unstable();
        let (of, batch_rows) = (slice.of(), slice.batch_rows());
        let slice_of = |place: &Place| Pseudonym::from_bytes(place.0).partition(of);
        let mut slices = vec![Vec::new(); usize::try_from(of).unwrap_or(0)];
        for places in places.chunk_by(|a, b| slice_of(a) == slice_of(b)) {
            let at = places.first().map(slice_of).unwrap_or_default();
            let at = usize::try_from(at).ok().and_then(|at| slices.get_mut(at));
            let at = at.ok_or(QueryError::Engine)?;
            for places in places.chunks(batch_rows.max(1)) {
                at.push(gathered(&batches, places, unit).ok_or(QueryError::Engine)?);
            }
        }
        Ok(Self { slices, unit })
    }

    /// The rows of these slices, in order, and where the key stands in them.
    pub(crate) fn lane(self: &Arc<Self>, partitions: &Range<u32>) -> (Batches, usize) {
        let moved = Arc::clone(self);
        let batches = partitions.clone().flat_map(move |partition| {
            let at = usize::try_from(partition).unwrap_or(usize::MAX);
            moved.slices.get(at).cloned().unwrap_or_default()
        });
        (Box::new(batches.map(Ok)), self.unit)
    }
}

/// The rows of these places, with the keys of their joint persons.
fn gathered(batches: &[RecordBatch], places: &[Place], unit: usize) -> Option<RecordBatch> {
    let from: Vec<&RecordBatch> = batches.iter().collect();
    let at = |place: &Place| {
        Some((
            usize::try_from(place.1).ok()?,
            usize::try_from(place.2).ok()?,
        ))
    };
    let at: Vec<(usize, usize)> = places.iter().map(at).collect::<Option<_>>()?;
    let rows = interleave_record_batch(&from, &at).ok()?;
    let joint = places.iter().map(|place| place.0);
    let joint = FixedSizeBinaryArray::try_from_iter(joint).ok()?;
    let mut columns = rows.columns().to_vec();
    *columns.get_mut(unit)? = Arc::new(joint);
    RecordBatch::try_new(rows.schema(), columns).ok()
}
