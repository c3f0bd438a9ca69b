//! Sizes that an owner declares, held to them: the rows of a public data set, the people of a
//! private one.
//!
//! # Claim
//! A row of a person meets no more public rows than the agreement says, and one at most of a
//! public data set that a join sets equal to it in some columns. So how long a query takes and
//! how much it holds follows from declared numbers, whatever the owner of a public data set
//! pushed (I7). Public rows are read before an owner is asked, and then the same bytes, by
//! their digest, when it runs.
//!
//! Of private data sets the people are counted while they are read, before any condition: what
//! was too many shows by their owner's rows alone, whatever an analyst asks.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use incamera_dp::NoiseKey;
use incamera_types::limits::{PEOPLE_FACTOR, PEOPLE_SLACK};
use incamera_types::{ColumnName, DatasetSpec};

use crate::check::CheckedQuery;
use crate::scan::Slice;
use crate::source::{PartSource, SourceError};

/// The most of something that may be read, and what was read so far.
#[derive(Clone)]
pub(crate) struct Most {
    most: u64,
    found: Arc<AtomicU64>,
    error: SourceError,
}

impl Most {
    /// Rows of a public data set.
    pub(crate) fn rows(checked: &CheckedQuery, spec: &DatasetSpec) -> Self {
        let (dataset, most) = (spec.name.clone(), checked.most_rows(&spec.name));
        Self::new(most, SourceError::TooManyRows { dataset, most })
    }

    /// People of a private data set, in so many partitions of all.
    pub(crate) fn people(checked: &CheckedQuery, spec: &DatasetSpec, share: (u32, u32)) -> Self {
        let declared = checked.declared.get(&spec.name).copied().unwrap_or(0);
        let (partitions, of) = (u128::from(share.0), u128::from(share.1.max(1)));
        let people = u128::from(declared) * u128::from(PEOPLE_FACTOR) * partitions / of;
        let people = u64::try_from(people).unwrap_or(u64::MAX);
        let dataset = spec.name.clone();
        let most = people.saturating_add(PEOPLE_SLACK);
        Self::new(most, SourceError::TooManyPeople { dataset })
    }

    fn new(most: u64, error: SourceError) -> Self {
        let found = Arc::default();
        Self { most, found, error }
    }

    /// The same, with nothing read yet.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.most, self.error.clone())
    }

    /// Counts what was read.
    ///
    /// # Errors
    /// If it is too much.
    pub(crate) fn add(&self, more: u64) -> Result<(), SourceError> {
        let before = self.found.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) <= self.most {
            return Ok(());
        }
        Err(self.error.clone())
    }
}

/// Reads the public data sets of a query: whether they have no more rows than agreed, and none
/// twice of those that a join goes by.
///
/// # Errors
/// [`SourceError`], of the first data set by name.
pub(crate) fn check(
    checked: &CheckedQuery,
    source: &Arc<dyn PartSource>,
) -> Result<(), SourceError> {
    for spec in checked.datasets.values().filter(|spec| spec.public) {
        let of = source.partitions(&spec.name)?;
        // Nothing is drawn for public rows.
        let key = Arc::new(NoiseKey::from_bytes([0; 32]));
        let slice = Slice::new(checked, spec, Arc::clone(source), key, (0..of, of));
        let mut seen = Seen::new(checked, spec);
        for batch in slice.rows() {
            seen.add(&batch?)?;
        }
    }
    Ok(())
}

/// What rows of a public data set have in the columns that joins go by.
struct Seen<'a> {
    spec: &'a DatasetSpec,
    joins: Vec<Joined<'a>>,
}

/// The columns that one join goes by.
struct Joined<'a> {
    columns: &'a BTreeSet<ColumnName>,
    rows: HashSet<Box<[u8]>>,
}

impl<'a> Seen<'a> {
    fn new(checked: &'a CheckedQuery, spec: &'a DatasetSpec) -> Self {
        let joins = checked.public_keys.get(&spec.name).into_iter().flatten();
        let joins = joins.filter(|columns| !columns.is_empty());
        let joins = joins.map(|columns| Joined {
            columns,
            rows: HashSet::new(),
        });
        Self {
            spec,
            joins: joins.collect(),
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        self.joins
            .iter_mut()
            .try_for_each(|join| join.add(batch, self.spec))
    }
}

impl Joined<'_> {
    fn add(&mut self, batch: &RecordBatch, spec: &DatasetSpec) -> Result<(), SourceError> {
        let column = |name: &ColumnName| batch.column_by_name(name.as_str()).cloned();
        let columns: Vec<ArrayRef> = self.columns.iter().filter_map(column).collect();
        let unsealed = SourceError::Unsealed {
            dataset: spec.name.clone(),
        };
        let fields = columns.iter().map(|column| column.data_type().clone());
        let converter = RowConverter::new(fields.map(SortField::new).collect());
        let rows = converter.and_then(|converter| converter.convert_columns(&columns));
        let rows = rows.map_err(|_| unsealed)?;
        for (at, row) in rows.iter().enumerate() {
            // What is null equals nothing.
            let null = columns.iter().any(|column| column.is_null(at));
            if !null && !self.rows.insert(row.data().into()) {
                return Err(self.twice(spec));
            }
        }
        Ok(())
    }

    fn twice(&self, spec: &DatasetSpec) -> SourceError {
        let columns = self.columns.iter().map(|column| format!("`{column}`"));
        SourceError::Twice {
            dataset: spec.name.clone(),
            columns: columns.collect::<Vec<_>>().join(" and "),
        }
    }
}
