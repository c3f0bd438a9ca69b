//! Rows by consent class, partition and pseudonym.

use std::collections::BTreeSet;
use std::ops::Range;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use incamera_types::{ColumnSpec, ConsentClass, DatasetSpec, Pseudonym, PurposeSet};

use crate::consents::PersonClasses;
use crate::plan::{self, KeyPlan};
use crate::repeats::Repeats;
use crate::sealing::{Consent, SealJob};
use crate::source::{Counts, Table};
use crate::table;
use crate::writer::PartRows;

/// A row on its way to its part: class, person, place in the file. Sorted, it is the order in
/// which rows are written.
type Ordered = (u32, Pseudonym, u32);

/// A file's rows in the order in which they are written.
pub(crate) struct Classified {
    /// In the order of the stored columns; none for the pseudonym column.
    columns: Vec<Option<ArrayRef>>,
    classes: Vec<ClassFiles>,
    order: Vec<Ordered>,
    pub(crate) without_consent: u64,
    pub(crate) repeats: Repeats,
    pub(crate) counts: Counts,
    /// What the `purposes` column says, where there is one.
    pub(crate) consents: Option<PersonClasses>,
}

/// A consent class and the keys of its files.
struct ClassFiles {
    class: ConsentClass,
    keys: Vec<KeyPlan>,
    /// Whether rows of the class are written at all.
    written: bool,
}

impl ClassFiles {
    fn new(spec: &DatasetSpec, class: &ConsentClass) -> Self {
        let keys = if spec.public {
            Vec::new()
        } else {
            plan::class_keys(spec, class)
        };
        Self {
            class: class.clone(),
            written: spec.public || !keys.is_empty(),
            keys,
        }
    }
}

/// The rows of one part: a range of the order.
pub(crate) struct Slice {
    class: u32,
    partition: u32,
    rows: Range<usize>,
}

impl Classified {
    /// Gives each row the class of its person, and sorts.
    pub(crate) fn of(table: Table, job: &SealJob<'_>) -> Self {
        let opening = plan::without(job.spec.clone(), &job.inherits.revoked);
        let spec = &opening;
        let (people, row_classes) = (table.people, table.row_classes);
        let mut classified = Self {
            columns: table.columns,
            classes: Vec::new(),
            order: Vec::new(),
            without_consent: 0,
            repeats: Repeats::default(),
            counts: table.counts,
            consents: None,
        };
        match job.consent {
            _ if spec.public => {
                classified.classes = vec![ClassFiles::new(spec, &ConsentClass::default())];
                let rows =
                    std::iter::repeat_n(Pseudonym::from_bytes([0; Pseudonym::BYTES]), table.rows);
                classified.sort(rows, |_| Some(0));
            }
            Consent::Everyone => {
                classified.classes = vec![ClassFiles::new(spec, job.purposes)];
                classified.sort(people.into_iter(), |_| Some(0));
            }
            Consent::ByPerson(consents) => classified.sort_by(spec, people, consents.people()),
            Consent::Column => {
                let mut rows: Vec<_> = people.iter().copied().zip(row_classes).collect();
                rows.sort_unstable();
                classified.repeats = Repeats::of(&rows);
                let consents = PersonClasses::new(table.classes, rows);
                classified.sort_by(spec, people, &consents);
                classified.consents = Some(consents);
            }
        }
        classified
    }

    fn sort_by(&mut self, spec: &DatasetSpec, people: Vec<Pseudonym>, consents: &PersonClasses) {
        let classes = consents.classes().iter();
        self.classes = classes.map(|class| ClassFiles::new(spec, class)).collect();
        self.sort(people.into_iter(), |person| consents.number(person));
    }

    /// Orders the rows that some purpose opens, and counts the others.
    fn sort(
        &mut self,
        people: impl Iterator<Item = Pseudonym>,
        class: impl Fn(&Pseudonym) -> Option<u32>,
    ) {
        // INVARIANT: reading stops before there are more rows than 32 bits can number.
        for (row, person) in (0u32..).zip(people) {
            let class = class(&person).filter(|class| self.written(*class));
            match class {
                Some(class) => self.order.push((class, person, row)),
                None => self.without_consent += 1,
            }
        }
        self.order.sort_unstable();
    }

    fn class(&self, number: u32) -> Option<&ClassFiles> {
        self.classes.get(usize::try_from(number).ok()?)
    }

    fn written(&self, class: u32) -> bool {
        self.class(class).is_some_and(|class| class.written)
    }

    /// How many rows are written.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many people the written rows are about. A person has one class, so its rows lie
    /// together.
    pub(crate) fn people(&self) -> u64 {
        self.order.chunk_by(|one, other| one.1 == other.1).count() as u64
    }

    /// Every purpose that wraps some key.
    pub(crate) fn purposes(&self) -> PurposeSet {
        let used: BTreeSet<u32> = self.order.iter().map(|row| row.0).collect();
        used.iter()
            .filter_map(|class| self.class(*class)?.keys.first())
            .fold(PurposeSet::default(), |all, footer| {
                all.union(&footer.purposes)
            })
    }

    /// The parts: rows of one class and one partition, in order, none without rows.
    pub(crate) fn slices(&self, partitions: u32) -> Vec<Slice> {
        let place = |row: &Ordered| (row.0, row.1.partition(partitions));
        let mut slices: Vec<Slice> = Vec::new();
        for rows in self.order.chunk_by(|a, b| place(a) == place(b)) {
            let start = slices.last().map_or(0, |slice| slice.rows.end);
            let Some((class, partition)) = rows.first().map(place) else {
                continue;
            };
            let rows = start..start + rows.len();
            slices.push(Slice {
                class,
                partition,
                rows,
            });
        }
        slices
    }

    /// The rows of a part, as the columns that its keys name (all if public).
    pub(crate) fn part(
        &self,
        spec: &DatasetSpec,
        slice: &Slice,
    ) -> Result<PartRows<'_>, ArrowError> {
        let missing = || ArrowError::InvalidArgumentError("no such part".to_owned());
        let class = self.class(slice.class).ok_or_else(missing)?;
        let order = self.order.get(slice.rows.clone()).ok_or_else(missing)?;
        let rows = UInt32Array::from_iter_values(order.iter().map(|row| row.2));
        let mut specs: Vec<&ColumnSpec> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (column, values) in spec.stored_columns().zip(&self.columns) {
            if !class.stores(spec, column) {
                continue;
            }
            specs.push(column);
            arrays.push(match values {
                Some(values) => take(values, &rows, None)?,
                None => Arc::new(table::pseudonym_array(order.iter().map(|row| &row.1))?),
            });
        }
        let columns = specs
            .iter()
            .map(|column| (&column.name, column.ty, column.nullable));
        let options = RecordBatchOptions::new().with_row_count(Some(order.len()));
        let schema = plan::arrow_schema(columns);
        Ok(PartRows {
            class: &class.class,
            partition: slice.partition,
            keys: &class.keys,
            batch: RecordBatch::try_new_with_options(schema, arrays, &options)?,
        })
    }
}

impl ClassFiles {
    fn stores(&self, spec: &DatasetSpec, column: &ColumnSpec) -> bool {
        let named = |key: &KeyPlan| key.column.as_ref() == Some(&column.name);
        spec.public || self.keys.iter().any(named)
    }
}
