//! Rows in the order in which they are written: class, slice of the pseudonym space, person, and
//! then as in the file.
//!
//! # Memory
//! Rows are gathered as they come, as Arrow columns, until the memory that the owner allows is
//! used; then what is there is sorted and goes to the disk, encrypted, as a *run*. In the end
//! runs are merged. What fits into memory is sorted there, and never on a disk. Memory does not
//! hold more rows for a larger file; it does hold, as matching and consents do, some bytes for
//! each person: see [`crate::tally`].

use std::ops::Range;
use std::path::Path;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use incamera_types::Pseudonym;
use rand_chacha::ChaCha20Rng;

use crate::classify::Marked;
use crate::folder::Folder;
use crate::order::{Order, Picked, Places};
use crate::sealing::SealError;
use crate::spill::{Piece, Spill};
use crate::tally::Tally;
use crate::writer::PartError;

/// Rows that are handed on at once.
pub(crate) const BATCH_ROWS: usize = 16_384;
/// Bytes that a row needs besides its columns: person, class, place, and what sorting needs.
const ROW_BYTES: u64 = 64;

/// Rows that lie in memory, in order.
pub(crate) struct Run {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    order: Order,
}

/// Rows of one class and one slice, in one run.
pub(crate) struct Stretch {
    pub(crate) class: u32,
    pub(crate) partition: u32,
    pub(crate) rows: u64,
    pub(crate) at: Lying,
}

/// Where rows lie.
#[derive(Clone)]
pub(crate) enum Lying {
    Memory(Range<usize>),
    Disk(Vec<Piece>),
}

/// Some rows and the people they are about.
pub(crate) struct Lot {
    pub(crate) people: Vec<Pseudonym>,
    pub(crate) values: RecordBatch,
}

impl Run {
    fn new(schema: SchemaRef, gathered: Vec<Marked>, partitions: u32) -> (Self, Vec<Stretch>) {
        let (order, batches) = Order::of(gathered);
        let stretches = order.stretches(partitions);
        let run = Self {
            schema,
            batches,
            order,
        };
        (run, stretches)
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The first rows of `range`, at most [`BATCH_ROWS`], of the columns `columns`.
    pub(crate) fn lot(&self, range: Range<usize>, columns: &[usize]) -> Result<Lot, ArrowError> {
        let Picked { people, at } = self.order.first(range);
        let values = match at {
            Places::Together { batch, first } => self.slice(batch, first, people.len(), columns)?,
            Places::Apart(places) => gather(&self.schema, &self.batches, &places, columns)?,
        };
        Ok(Lot { people, values })
    }

    /// The rows `range`, all columns.
    pub(crate) fn exactly(&self, range: Range<usize>) -> Result<Lot, ArrowError> {
        let (people, places) = self.order.all(range);
        let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
        let values = gather(&self.schema, &self.batches, &places, &columns)?;
        Ok(Lot { people, values })
    }

    fn slice(
        &self,
        batch: usize,
        first: usize,
        rows: usize,
        columns: &[usize],
    ) -> Result<RecordBatch, ArrowError> {
        let gone = || ArrowError::InvalidArgumentError("no such row".to_owned());
        let batch = self.batches.get(batch).ok_or_else(gone)?;
        batch.slice(first, rows).project(columns)
    }
}

/// The rows `places` (batch, row) of `batches`, of the columns `columns`.
pub(crate) fn gather<'b>(
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = &'b RecordBatch> + Clone,
    places: &[(usize, usize)],
    columns: &[usize],
) -> Result<RecordBatch, ArrowError> {
    let column = |column: &usize| {
        let arrays = batches.clone().into_iter();
        let arrays: Option<Vec<&dyn Array>> = arrays
            .map(|batch| batch.columns().get(*column).map(AsRef::as_ref))
            .collect();
        let gone = || ArrowError::InvalidArgumentError("no such column".to_owned());
        interleave(&arrays.ok_or_else(gone)?, places)
    };
    let arrays: Vec<ArrayRef> = columns.iter().map(column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    let schema = std::sync::Arc::new(schema.project(columns)?);
    RecordBatch::try_new_with_options(schema, arrays, &options)
}

/// Where runs go that do not fit into memory.
pub(crate) struct Overflow<'a> {
    /// The folder of the sealed data set.
    pub(crate) out: &'a Path,
    /// The most bytes of rows in memory.
    pub(crate) memory_bytes: u64,
    /// For the key and the nonces.
    pub(crate) rng: ChaCha20Rng,
}

/// Rows on their way into order.
pub(crate) struct Gathering<'a> {
    schema: SchemaRef,
    partitions: u32,
    /// Whether rows say their classes themselves.
    own_classes: bool,
    overflow: Option<Overflow<'a>>,
    folder: Option<Folder>,
    gathered: Vec<Marked>,
    bytes: u64,
    tally: Tally,
    spill: Option<Spill>,
    stretches: Vec<Stretch>,
    without_consent: u64,
}

/// All rows, in order.
pub(crate) struct Sorted {
    pub(crate) rows: Rows,
    /// By run, and in each run in order.
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) tally: Tally,
    /// Rows left out because their own class opens no column.
    pub(crate) without_consent: u64,
    /// The folder, if it had to be opened.
    pub(crate) folder: Option<Folder>,
}

/// Where all rows are.
pub(crate) enum Rows {
    Memory(Run),
    Disk(Spill),
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(
        schema: SchemaRef,
        tally: Tally,
        partitions: u32,
        own_classes: bool,
        overflow: Option<Overflow<'a>>,
    ) -> Self {
        Self {
            schema,
            partitions,
            own_classes,
            overflow,
            folder: None,
            gathered: Vec::new(),
            bytes: 0,
            tally,
            spill: None,
            stretches: Vec::new(),
            without_consent: 0,
        }
    }

    /// Takes the rows of one block.
    pub(crate) fn add(&mut self, mut marked: Marked) -> Result<(), SealError> {
        self.without_consent += marked.without_consent;
        if self.own_classes {
            self.hear(&mut marked);
        }
        let rows = marked.people.len() as u64;
        self.bytes += marked.values.get_array_memory_size() as u64 + rows * ROW_BYTES;
        if rows > 0 {
            self.gathered.push(marked);
        }
        let most = self
            .overflow
            .as_ref()
            .map_or(u64::MAX, |overflow| overflow.memory_bytes);
        if self.bytes > most || self.gathered.len() >= u32::MAX as usize {
            self.spill()?;
        }
        Ok(())
    }

    /// What a `purposes` column says, and its classes by the numbers that they have here.
    fn hear(&mut self, marked: &mut Marked) {
        let numbers = self.tally.numbers(std::mem::take(&mut marked.own));
        let number = |own: u32| {
            let at = usize::try_from(own).unwrap_or(usize::MAX);
            numbers.get(at).copied().unwrap_or_default()
        };
        for class in &mut marked.classes {
            *class = number(*class);
        }
        // Those that are kept come in the same order.
        let mut kept = marked.people.iter().zip(&marked.classes).peekable();
        for (person, class) in std::mem::take(&mut marked.said) {
            let class = number(class);
            let is_kept = kept.next_if(|next| next == &(&person, &class)).is_some();
            self.tally.note(person, class, u64::from(is_kept));
        }
    }

    fn run(&mut self) -> (Run, Vec<Stretch>) {
        let gathered = std::mem::take(&mut self.gathered);
        self.bytes = 0;
        let (run, stretches) = Run::new(self.schema.clone(), gathered, self.partitions);
        if !self.own_classes {
            run.order.note(&mut self.tally);
        }
        (run, stretches)
    }

    /// Sorts what is in memory and puts it on the disk.
    fn spill(&mut self) -> Result<(), SealError> {
        let (run, stretches) = self.run();
        let Some(overflow) = &mut self.overflow else {
            return Ok(());
        };
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                self.folder = Some(Folder::open(overflow.out)?);
                let spill = Spill::create(overflow.out, &run, &mut overflow.rng)?;
                self.spill.insert(spill)
            }
        };
        let stretches = spill.add(&run, stretches, &mut overflow.rng)?;
        self.stretches.extend(stretches);
        Ok(())
    }

    /// All rows, once the last is added.
    pub(crate) fn finish(mut self) -> Result<Sorted, SealError> {
        let rows = if self.spill.is_some() {
            if !self.gathered.is_empty() {
                self.spill()?;
            }
            self.spill.take().map(Rows::Disk)
        } else {
            let (run, stretches) = self.run();
            self.stretches = stretches;
            Some(Rows::Memory(run))
        };
        Ok(Sorted {
            rows: rows.ok_or(PartError::Encode)?,
            stretches: self.stretches,
            tally: self.tally,
            without_consent: self.without_consent,
            folder: self.folder,
        })
    }
}
