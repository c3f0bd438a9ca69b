//! Sealed parts as tables of the engine.
//!
//! A [`Reading`] stands in a plan for one data set: it tells which columns and conditions the
//! plan wants of it, and holds the rows that the plan is run over. A [`Slice`] reads these in
//! a stretch of partitions: it reads only the columns that the plan asks for, brings every
//! value into its declared range, drops what the plan's conditions drop, cuts rows a person, and
//! gives no statistics: nothing is ever answered from metadata.
//!
//! An engine reads as much as it needs: a join whose one side is empty does not look at the
//! other, so that damage would be found or not found by what the sides share. Here rows are
//! read whether or not the plan looks at them (I7). Conditions leave row groups out by the
//! request and their owner's own statistics; the pseudonyms of all rows are read, checked and
//! counted nevertheless.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use incamera_dp::NoiseKey;
use incamera_types::{ColumnName, ColumnSpec, DatasetSpec};

use crate::check::CheckedQuery;
use crate::clamp;
use crate::cut::{Cut, Rule};
use crate::filter::Filter;
use crate::memory;
use crate::public::Most;
use crate::source::{Batches, PartSource, SourceError};
use crate::tables::{field, schema_of, schema_read};

/// A data set as a plan reads it.
pub(crate) struct Reading {
    pub(crate) spec: Arc<DatasetSpec>,
    /// What the plan wants of it; nothing if it does not come to that.
    wanted: Mutex<Option<Wanted>>,
    /// The rows that it is run over.
    rows: Mutex<Vec<RecordBatch>>,
}

/// Columns, and conditions on rows.
#[derive(Clone)]
struct Wanted {
    schema: SchemaRef,
    filter: Filter,
}

impl Reading {
    pub(crate) fn new(spec: &DatasetSpec) -> Arc<Self> {
        Arc::new(Self {
            spec: Arc::new(spec.clone()),
            wanted: Mutex::default(),
            rows: Mutex::default(),
        })
    }

    /// Whether a plan was made that reads it.
    pub(crate) fn is_wanted(&self) -> bool {
        held(&self.wanted).is_some()
    }

    /// How many rows it holds.
    pub(crate) fn rows(&self) -> u64 {
        let rows = held(&self.rows);
        rows.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// Gives the plan its rows.
    pub(crate) fn put(&self, rows: Vec<RecordBatch>) {
        *held(&self.rows) = rows;
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A [`Reading`] as a planner takes it.
pub(crate) struct Table(pub(crate) Arc<Reading>);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.0.spec.name)
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        schema_of(&self.0.spec)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let all = self.schema();
        let schema = match projection {
            Some(columns) => Arc::new(all.project(columns)?),
            None => all,
        };
        *held(&self.0.wanted) = Some(Wanted {
            schema: Arc::clone(&schema),
            filter: Filter::new(&self.0.spec, filters),
        });
        let rows = Rows {
            schema: Arc::clone(&schema),
            reading: Arc::clone(&self.0),
        };
        let exec =
            StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, None)?;
        Ok(Arc::new(exec))
    }
}

/// The rows that a [`Reading`] holds when a plan is run.
struct Rows {
    schema: SchemaRef,
    reading: Arc<Reading>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.reading.spec.name)
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = held(&self.reading.rows).clone();
        let rows = rows.into_iter().map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(rows),
        ))
    }
}

/// One data set's rows in a stretch of partitions (all of them if it is public).
#[derive(Clone)]
pub(crate) struct Slice {
    spec: Arc<DatasetSpec>,
    source: Arc<dyn PartSource>,
    partitions: Range<u32>,
    of: u32,
    /// Rows a person that are kept.
    cap: usize,
    /// Rows of a batch.
    batch_rows: usize,
    /// People that there may be, or rows of a public data set.
    most: Most,
    key: Arc<NoiseKey>,
    /// The columns that are read: all that the query declares, until a plan says which.
    schema: SchemaRef,
    /// The plan's conditions on these rows.
    filter: Filter,
}

impl Slice {
    /// The rows of these partitions of so many.
    pub(crate) fn new(
        checked: &CheckedQuery,
        spec: &DatasetSpec,
        source: Arc<dyn PartSource>,
        key: Arc<NoiseKey>,
        (partitions, of): (Range<u32>, u32),
    ) -> Self {
        let share = (partitions.end.saturating_sub(partitions.start), of);
        Self {
            spec: Arc::new(spec.clone()),
            source,
            partitions,
            of,
            cap: usize::try_from(checked.most_rows(&spec.name)).unwrap_or(usize::MAX),
            batch_rows: memory::batch_rows(checked),
            most: if spec.public {
                Most::rows(checked, spec)
            } else {
                Most::people(checked, spec, share)
            },
            key,
            schema: schema_read(spec, &checked.query.reads),
            filter: Filter::default(),
        }
    }

    /// These columns of all rows, of each person one.
    pub(crate) fn of_register(self, columns: &[ColumnName]) -> Self {
        let named = columns.iter().filter_map(|name| self.spec.column(name));
        Self {
            schema: Arc::new(Schema::new(named.map(field).collect::<Vec<_>>())),
            filter: Filter::default(),
            cap: 1,
            ..self
        }
    }

    /// Into how many partitions the data set is cut.
    pub(crate) fn of(&self) -> u32 {
        self.of
    }

    /// Rows of a batch.
    pub(crate) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// The same, as a plan wants it of a reading.
    pub(crate) fn wanted_by(self, reading: &Reading) -> Self {
        match held(&reading.wanted).clone() {
            Some(Wanted { schema, filter }) => Self {
                schema,
                filter,
                ..self
            },
            None => self,
        }
    }

    /// The rows as the plan takes them, partition after partition.
    pub(crate) fn rows(&self) -> Batches {
        let slice = self.clone();
        let (rows, _) = self.whole();
        Box::new(rows.map(move |batch| slice.finish(&batch?)))
    }

    /// The rows, partition after partition, with all columns that were read, those that the
    /// plan takes first; and where the pseudonym stands in them.
    pub(crate) fn whole(&self) -> (Batches, Option<usize>) {
        let most = self.most.afresh();
        let slice = Self {
            most,
            ..self.clone()
        };
        let (columns, unit) = slice.columns();
        let rows = self.partitions.clone().flat_map(move |partition| {
            let opened = slice.partition(partition, &columns, unit);
            opened.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
        });
        // After an error nothing more is read.
        let rows = rows.scan(false, |failed, batch| {
            let last = std::mem::replace(failed, batch.is_err());
            (!last).then_some(batch)
        });
        (Box::new(rows), unit)
    }

    /// The columns to read: those asked for, those that conditions read, and whose rows they are,
    /// which is checked in any case; with the pseudonym's place among them.
    fn columns(&self) -> (Vec<ColumnName>, Option<usize>) {
        let asked = |field: &Arc<arrow::datatypes::Field>| field.name().parse().ok();
        let mut columns: Vec<ColumnName> = self.schema.fields().iter().filter_map(asked).collect();
        let unit = self
            .spec
            .person_column()
            .filter(|_| !self.spec.public)
            .map(|unit| &unit.name);
        for more in self.filter.columns().iter().chain(unit) {
            if !columns.contains(more) {
                columns.push(more.clone());
            }
        }
        let at = unit.and_then(|unit| columns.iter().position(|column| column == unit));
        (columns, at)
    }

    fn partition(
        &self,
        partition: u32,
        columns: &[ColumnName],
        unit: Option<usize>,
    ) -> Result<Batches, SourceError> {
        let bounds = self.filter.bounds();
        let parts = self
            .source
            .open(&self.spec.name, partition, columns, bounds)?;
        let columns = self.specs(columns)?;
        let tamed = parts.into_iter().map(|part| self.tamed(part, &columns));
        let Some(column) = unit else {
            let most = self.most.clone();
            let counted = move |batch: RecordBatch| {
                most.add(batch.num_rows() as u64)?;
                Ok(batch)
            };
            let rows = tamed.collect::<Vec<_>>().into_iter().flatten();
            return Ok(Box::new(rows.map(move |batch| batch.and_then(&counted))));
        };
        let fields = columns.iter().map(field).collect::<Vec<_>>();
        let sieve = self.filter.over(&Arc::new(Schema::new(fields)));
        let rule = Rule {
            dataset: self.spec.name.clone(),
            partition: (partition, self.of),
            cap: self.cap,
            batch_rows: self.batch_rows,
            columns: columns.len(),
            column,
            sieve: sieve.map_err(|_| self.broken())?,
            most: self.most.clone(),
            key: Arc::clone(&self.key),
        };
        Ok(Box::new(Cut::new(rule, tamed.collect())?))
    }

    fn specs(&self, columns: &[ColumnName]) -> Result<Arc<[ColumnSpec]>, SourceError> {
        let column = |name: &ColumnName| self.spec.column(name).cloned();
        let columns = columns.iter().map(column).collect::<Option<_>>();
        columns.ok_or_else(|| self.broken())
    }

    /// What to say of rows that are not sealed as agreed.
    pub(crate) fn broken(&self) -> SourceError {
        SourceError::Unsealed {
            dataset: self.spec.name.clone(),
        }
    }

    /// A part's rows with every value in its range, before anything looks at them.
    fn tamed(&self, part: Batches, columns: &Arc<[ColumnSpec]>) -> Batches {
        let (columns, broken) = (Arc::clone(columns), self.broken());
        Box::new(part.map(move |batch| tame(batch?, &columns).ok_or_else(|| broken.clone())))
    }

    /// A batch as the engine takes it: the columns asked for.
    pub(crate) fn finish(&self, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
        let fields = self.schema.fields().len();
        let columns = batch.columns().get(..fields).ok_or_else(|| self.broken())?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.to_vec(), &rows)
            .map_err(|_| self.broken())
    }
}

/// A batch of these columns with every value in its range. Pseudonyms alone have none.
fn tame(batch: RecordBatch, columns: &[ColumnSpec]) -> Option<RecordBatch> {
    if batch.num_columns() < columns.len() {
        return Some(batch);
    }
    let arrays = batch.columns().iter().zip(columns);
    let arrays = arrays.map(|(array, column)| clamp::in_range(array, column));
    let arrays: Vec<_> = arrays.collect::<Option<_>>()?;
    let fields = columns.iter().map(field).collect::<Vec<_>>();
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &rows).ok()
}
