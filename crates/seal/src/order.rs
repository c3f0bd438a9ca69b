//! The order in which the rows of a run are written: class, slice of the pseudonym space, person,
//! and then as in the file.

use std::ops::Range;
use std::thread;

use arrow::array::RecordBatch;
use incamera_types::Pseudonym;

use crate::classify::Marked;
use crate::lanes;
use crate::runs::{BATCH_ROWS, Lying, Stretch};
use crate::tally::Tally;

/// Rows that lie together, from which on they are not copied.
const STRETCH_ROWS: usize = 1_024;
/// Rows from which on sorting them is worth a second thread.
const PARALLEL_ROWS: usize = 1 << 16;

/// A row: sorted, it is the order in which rows are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    class: u32,
    person: Pseudonym,
    batch: u32,
    row: u32,
}

/// The order of the rows of some batches.
pub(crate) enum Order {
    /// That of the batches. Files that are exported in order of the pseudonym come so; an entry
    /// for each row would cost more than all else that is done here.
    AsRead(AsRead),
    Sorted(Sorted),
}

/// Some rows that follow each other in the order.
pub(crate) struct Picked {
    pub(crate) people: Vec<Pseudonym>,
    pub(crate) at: Places,
}

/// Where rows lie in the batches.
pub(crate) enum Places {
    /// In one batch, one after the other.
    Together { batch: usize, first: usize },
    /// Each by batch and row.
    Apart(Vec<(usize, usize)>),
}

impl Order {
    /// Of rows that were gathered; gives their batches too.
    pub(crate) fn of(mut gathered: Vec<Marked>) -> (Self, Vec<RecordBatch>) {
        let order = match AsRead::of(&mut gathered) {
            Some(rows) => Self::AsRead(rows),
            None => Self::Sorted(Sorted::of(&gathered)),
        };
        let batches = gathered.into_iter().map(|marked| marked.values);
        (order, batches.collect())
    }

    /// The rows of each class and slice.
    pub(crate) fn stretches(&self, partitions: u32) -> Vec<Stretch> {
        match self {
            Self::AsRead(rows) => rows.stretches(partitions),
            Self::Sorted(rows) => rows.stretches(partitions),
        }
    }

    /// Tells `tally` of every person.
    pub(crate) fn note(&self, tally: &mut Tally) {
        match self {
            Self::AsRead(rows) => rows.note(tally),
            Self::Sorted(rows) => rows.note(tally),
        }
    }

    /// The first rows of `range`, at most [`BATCH_ROWS`]; no more than lie together, if these
    /// are many.
    pub(crate) fn first(&self, range: Range<usize>) -> Picked {
        match self {
            Self::AsRead(rows) => rows.first(range),
            Self::Sorted(rows) => rows.first(range),
        }
    }

    /// People and places (batch, row) of the rows `range`.
    pub(crate) fn all(&self, range: Range<usize>) -> (Vec<Pseudonym>, Vec<(usize, usize)>) {
        match self {
            Self::AsRead(rows) => rows.all(range),
            Self::Sorted(rows) => places(rows.range(range)),
        }
    }
}

/// Rows of one class whose people are in order.
pub(crate) struct AsRead {
    class: u32,
    /// Of each batch.
    people: Vec<Vec<Pseudonym>>,
    /// For each batch, how many rows it has with those before it.
    ends: Vec<usize>,
}

impl AsRead {
    /// The people of these rows, if that is how they are.
    fn of(gathered: &mut [Marked]) -> Option<Self> {
        let class = *gathered.first()?.classes.first()?;
        let mut last = Pseudonym::from_bytes([0; Pseudonym::BYTES]);
        let (mut ends, mut rows) = (Vec::with_capacity(gathered.len()), 0);
        for Marked {
            people, classes, ..
        } in &*gathered
        {
            let follows = people.first().is_none_or(|first| last <= *first);
            if !follows || !people.is_sorted() || classes.iter().any(|other| *other != class) {
                return None;
            }
            last = people.last().copied().unwrap_or(last);
            rows += people.len();
            ends.push(rows);
        }
        // Small batches are better copied into larger ones.
        (rows >= gathered.len() * STRETCH_ROWS).then_some(())?;
        let people = gathered
            .iter_mut()
            .map(|marked| std::mem::take(&mut marked.people));
        Some(Self {
            class,
            people: people.collect(),
            ends,
        })
    }

    fn stretches(&self, partitions: u32) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut start = 0;
        for mut rest in self.people.iter().map(Vec::as_slice) {
            while let Some(partition) = rest.first().map(|person| person.partition(partitions)) {
                // Slices are prefixes: people in order come slice by slice.
                let here = |person: &Pseudonym| person.partition(partitions) == partition;
                let rows = rest.partition_point(here);
                rest = rest.get(rows..).unwrap_or_default();
                let before = stretches
                    .pop_if(|last| last.partition == partition)
                    .map_or(0, |last| last.rows);
                let first = start - usize::try_from(before).unwrap_or_default();
                start += rows;
                stretches.push(Stretch {
                    class: self.class,
                    partition,
                    rows: before + rows as u64,
                    at: Lying::Memory(first..start),
                });
            }
        }
        stretches
    }

    /// A person at the end of a batch may be noted twice, which the tally adds up.
    fn note(&self, tally: &mut Tally) {
        for people in &self.people {
            for rows in people.chunk_by(|a, b| a == b) {
                if let Some(first) = rows.first() {
                    tally.note(*first, self.class, rows.len() as u64);
                }
            }
        }
    }

    /// The rows of `range` that lie in the batch of the first: batch, place there, people.
    fn piece(&self, range: &Range<usize>) -> (usize, usize, &[Pseudonym]) {
        let batch = self.ends.partition_point(|end| *end <= range.start);
        let people = self.people.get(batch).map_or(&[][..], Vec::as_slice);
        let end = self.ends.get(batch).copied().unwrap_or_default();
        let first = (range.start + people.len()).saturating_sub(end);
        let rows = people.get(first..).unwrap_or_default();
        let most = rows.len().min(range.len());
        (batch, first, rows.get(..most).unwrap_or_default())
    }

    fn first(&self, range: Range<usize>) -> Picked {
        let (batch, first, people) = self.piece(&range);
        Picked {
            people: people.iter().take(BATCH_ROWS).copied().collect(),
            at: Places::Together { batch, first },
        }
    }

    fn all(&self, mut range: Range<usize>) -> (Vec<Pseudonym>, Vec<(usize, usize)>) {
        let (mut all, mut places) = (Vec::new(), Vec::new());
        while let (batch, first, people @ [_, ..]) = self.piece(&range) {
            all.extend_from_slice(people);
            places.extend((first..first + people.len()).map(|row| (batch, row)));
            range.start += people.len();
        }
        (all, places)
    }
}

/// Rows that were sorted.
pub(crate) struct Sorted(Vec<Entry>);

impl Sorted {
    fn of(gathered: &[Marked]) -> Self {
        let rows = gathered.iter().map(|marked| marked.people.len()).sum();
        let mut order = Vec::with_capacity(rows);
        for (batch, marked) in (0u32..).zip(gathered) {
            let rows = marked.people.iter().zip(&marked.classes);
            order.extend((0u32..).zip(rows).map(|(row, (person, class))| Entry {
                class: *class,
                person: *person,
                batch,
                row,
            }));
        }
        sort(&mut order);
        Self(order)
    }

    fn stretches(&self, partitions: u32) -> Vec<Stretch> {
        let place = |row: &Entry| (row.class, row.person.partition(partitions));
        let mut stretches = Vec::new();
        let mut start = 0;
        for rows in self.0.chunk_by(|a, b| place(a) == place(b)) {
            let Some((class, partition)) = rows.first().map(place) else {
                continue;
            };
            let end = start + rows.len();
            stretches.push(Stretch {
                class,
                partition,
                rows: rows.len() as u64,
                at: Lying::Memory(start..end),
            });
            start = end;
        }
        stretches
    }

    fn note(&self, tally: &mut Tally) {
        let same = |a: &Entry, b: &Entry| (a.class, a.person) == (b.class, b.person);
        for rows in self.0.chunk_by(same) {
            if let Some(first) = rows.first() {
                tally.note(first.person, first.class, rows.len() as u64);
            }
        }
    }

    fn range(&self, range: Range<usize>) -> &[Entry] {
        self.0.get(range).unwrap_or_default()
    }

    fn first(&self, range: Range<usize>) -> Picked {
        let rows = self.range(range);
        let next = |a: &Entry, b: &Entry| a.batch == b.batch && b.row == a.row.wrapping_add(1);
        let together = rows.chunk_by(next).next().map_or(0, <[Entry]>::len);
        let most = match together {
            STRETCH_ROWS.. => together,
            _ => rows.len(),
        };
        let rows = rows.get(..most.min(BATCH_ROWS)).unwrap_or(rows);
        let (people, places) = places(rows);
        let at = match places.first() {
            Some((batch, first)) if together >= STRETCH_ROWS => Places::Together {
                batch: *batch,
                first: *first,
            },
            _ => Places::Apart(places),
        };
        Picked { people, at }
    }
}

/// People and places (batch, row).
fn places(rows: &[Entry]) -> (Vec<Pseudonym>, Vec<(usize, usize)>) {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let place = |row: &Entry| (row.person, (number(row.batch), number(row.row)));
    rows.iter().map(place).unzip()
}

/// Sorts on all cores: pieces first, which the stable sort then merges.
fn sort(order: &mut [Entry]) {
    if order.is_sorted() {
        return;
    }
    if order.len() < PARALLEL_ROWS {
        return order.sort_unstable();
    }
    let piece = order.len().div_ceil(lanes::threads());
    thread::scope(|scope| {
        for piece in order.chunks_mut(piece) {
            scope.spawn(|| piece.sort_unstable());
        }
    });
    order.sort();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatchOptions;
    use arrow::datatypes::Schema;
    use incamera_types::{ConsentClass, DatasetSpec};
    use proptest::prelude::*;

    use super::*;
    use crate::classify::Size;
    use crate::repeats::Repeats;

    /// Batches of some rows each, about these people one after the other.
    fn gathered(batches: &[usize], people: &[u8]) -> Vec<Marked> {
        let mut people = people.iter().cycle();
        let marked = |rows: &usize| {
            let options = RecordBatchOptions::new().with_row_count(Some(*rows));
            let schema = Arc::new(Schema::empty());
            let here = people.by_ref().take(*rows);
            Marked {
                values: RecordBatch::try_new_with_options(schema, Vec::new(), &options).unwrap(),
                people: here
                    .map(|first| Pseudonym::from_bytes([*first; 16]))
                    .collect(),
                classes: vec![7; *rows],
                said: Vec::new(),
                own: Vec::new(),
                without_consent: 0,
            }
        };
        batches.iter().map(marked).collect()
    }

    fn in_order(batches: &[usize], seed: &[u8]) -> Vec<Marked> {
        let rows = batches.iter().sum();
        let mut people: Vec<u8> = seed.iter().cycle().take(rows).copied().collect();
        people.sort_unstable();
        gathered(batches, &people)
    }

    type Tallied = (Vec<Size>, Repeats);

    /// All that is said of an order: stretches, what is picked from each, and the tally.
    fn said(order: &Order, partitions: u32) -> (Vec<String>, Tallied) {
        let mut lines = Vec::new();
        for stretch in order.stretches(partitions) {
            let Lying::Memory(range) = stretch.at else {
                panic!("in memory")
            };
            let (class, partition) = (stretch.class, stretch.partition);
            lines.push(format!("{class} {partition} {} {range:?}", stretch.rows));
            let (mut people, mut places) = (Vec::new(), Vec::new());
            let mut rest = range.clone();
            while !rest.is_empty() {
                let picked = order.first(rest.clone());
                assert!((1..=BATCH_ROWS).contains(&picked.people.len()));
                rest.start += picked.people.len();
                match picked.at {
                    Places::Apart(apart) => places.extend(apart),
                    Places::Together { batch, first } => {
                        let rows = first..first + picked.people.len();
                        places.extend(rows.map(|row| (batch, row)));
                    }
                }
                people.extend(picked.people);
            }
            assert_eq!(order.all(range.clone()), (people, places.clone()));
            // A piece of a stretch too, as the disk takes them.
            let half = range.start + range.len() / 2..range.end;
            assert_eq!(order.all(half).1, places[range.len() / 2..]);
            lines.extend(places.iter().map(|place| format!("{place:?}")));
        }
        let mut tally = Tally::new(&[]);
        let classes = "abcdefgh".chars().map(|name| {
            let names = [name.to_string().parse().unwrap()];
            names.into_iter().collect::<ConsentClass>()
        });
        tally.numbers(classes.collect());
        order.note(&mut tally);
        let people = tally.finish();
        (lines, (people.sizes(&public()), people.repeats()))
    }

    fn public() -> DatasetSpec {
        DatasetSpec {
            name: "d".parse().unwrap(),
            owner: "o".parse().unwrap(),
            public: true,
            keep_until: None,
            columns: Vec::new(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// What is taken as it comes is what sorting it would give.
        #[test]
        fn rows_in_order_are_as_if_sorted(
            batches in prop::collection::vec(STRETCH_ROWS..3 * STRETCH_ROWS, 1..4),
            seed in prop::collection::vec(any::<u8>(), 1..300),
            partitions in 1u32..40,
        ) {
            let rows = in_order(&batches, &seed);
            let sorted = Order::Sorted(Sorted::of(&rows));
            let (order, values) = Order::of(rows);
            prop_assert!(matches!(order, Order::AsRead(_)));
            prop_assert_eq!(values.len(), batches.len());
            prop_assert_eq!(said(&order, partitions), said(&sorted, partitions));
        }

        /// One row out of its place is enough.
        #[test]
        fn rows_in_no_order_are_sorted(at in 0usize..4 * STRETCH_ROWS, class in any::<bool>()) {
            let mut rows = in_order(&[2 * STRETCH_ROWS; 2], &[1, 2, 3]);
            let marked = &mut rows[at / (2 * STRETCH_ROWS)];
            let at = at % (2 * STRETCH_ROWS);
            match class {
                true => marked.classes[at] = 6,
                false if at == 0 => marked.people[at] = Pseudonym::from_bytes([9; 16]),
                false => marked.people[at] = Pseudonym::from_bytes([0; 16]),
            }
            prop_assert!(matches!(Order::of(rows).0, Order::Sorted(_)));
        }
    }

    #[test]
    fn batches_in_no_order_are_sorted() {
        let mut rows = in_order(&[STRETCH_ROWS; 2], &[1, 2]);
        rows.swap(0, 1);
        assert!(matches!(Order::of(rows).0, Order::Sorted(_)));
        // Small ones are copied together.
        let rows = in_order(&[STRETCH_ROWS, 10], &[1]);
        assert!(matches!(Order::of(rows).0, Order::Sorted(_)));
        assert!(matches!(Order::of(Vec::new()).0, Order::Sorted(_)));
    }
}
