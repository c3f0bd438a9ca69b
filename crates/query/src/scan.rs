//! Sealed parts as a table of the engine.
//!
//! A [`Slice`] reads only the columns that the plan asks for, brings every value into its
//! declared range, drops what the plan's conditions on it drop, cuts rows a person, and gives
//! no statistics: nothing is ever answered from metadata. It is rebuilt for every stretch of partitions, since people never span two.
//!
//! An engine reads as much as it needs: a join whose one side is empty does not look at the
//! other, so that damage would be found or not found by what the sides share. Therefore a
//! slice keeps hold of its rows, and [`Slice::drain`] reads what a plan left (I7). Conditions
//! leave row groups out by the request and their owner's own statistics; the pseudonyms of all
//! rows are read, checked and counted nevertheless.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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
use crate::public::Most;
use crate::source::{Batches, PartSource, SourceError};
use crate::tables::{field, schema_of, schema_read};

/// One data set's rows in a stretch of partitions (all of them if it is public).
#[derive(Clone)]
pub(crate) struct Slice {
    pub(crate) spec: Arc<DatasetSpec>,
    source: Arc<dyn PartSource>,
    partitions: Range<u32>,
    of: u32,
    /// Rows a person that are kept.
    cap: usize,
    /// People that there may be, or rows of a public data set.
    most: Most,
    key: Arc<NoiseKey>,
    /// The columns that are read: all that the query declares, until a plan says which.
    schema: SchemaRef,
    /// The plan's conditions on these rows.
    filter: Filter,
    tap: Arc<Tap>,
}

/// Where the rows of a slice run: the plan takes from it, and the drain takes the rest.
#[derive(Default)]
pub(crate) struct Tap(Mutex<Flow>);

#[derive(Default)]
struct Flow {
    /// The columns that the plan reads and its conditions, whether or not it comes to that.
    planned: Option<(SchemaRef, Filter)>,
    /// The rows, once somebody asked for some.
    rows: Option<Batches>,
    /// What was wrong with them: kept here, whatever an engine makes of an error.
    error: Option<SourceError>,
}

impl Tap {
    fn flow(&self) -> std::sync::MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next batch of `slice`'s rows.
    fn next(&self, slice: &Slice) -> Option<Result<RecordBatch, SourceError>> {
        let mut flow = self.flow();
        let next = flow.rows.get_or_insert_with(|| slice.rows()).next();
        if let Some(Err(error)) = &next {
            flow.error = Some(error.clone());
        }
        next
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({})", self.spec.name)
    }
}

#[async_trait]
impl TableProvider for Slice {
    fn schema(&self) -> SchemaRef {
        schema_of(&self.spec)
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
        let all = schema_of(&self.spec);
        let schema = match projection {
            Some(columns) => Arc::new(all.project(columns)?),
            None => all,
        };
        let filter = Filter::new(&self.spec, filters);
        self.tap.flow().planned = Some((Arc::clone(&schema), filter.clone()));
        let slice = self.reading(Arc::clone(&schema), filter);
        let exec =
            StreamingTableExec::try_new(schema, vec![Arc::new(slice)], None, [], false, None)?;
        Ok(Arc::new(exec))
    }
}

impl PartitionStream for Slice {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let slice = self.clone();
        let rows = std::iter::from_fn(move || slice.tap.next(&slice));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(rows.map(|batch| batch.map_err(external))),
        ))
    }
}

/// An error of the source, carried through the engine.
fn external(error: SourceError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
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
            most: if spec.public {
                Most::rows(checked, spec)
            } else {
                Most::people(checked, spec, share)
            },
            key,
            schema: schema_read(spec, &checked.query.reads),
            filter: Filter::default(),
            tap: Arc::default(),
        }
    }

    /// These columns of those rows that pass.
    fn reading(&self, schema: SchemaRef, filter: Filter) -> Self {
        let slice = self.clone();
        Self {
            schema,
            filter,
            ..slice
        }
    }

    /// Reads and checks every row that the plan has left, until `stop` says otherwise.
    ///
    /// # Errors
    /// The first error of all rows, whoever read them.
    pub(crate) fn drain(&self, stop: &dyn Fn() -> bool) -> Result<(), SourceError> {
        let planned = self.tap.flow().planned.clone();
        let all = || (Arc::clone(&self.schema), Filter::default());
        let (schema, filter) = planned.unwrap_or_else(all);
        let slice = self.reading(schema, filter);
        while !stop() && self.tap.next(&slice).is_some() {}
        self.tap.flow().error.clone().map_or(Ok(()), Err)
    }

    /// The rows, partition after partition.
    pub(crate) fn rows(&self) -> Batches {
        let most = self.most.afresh();
        let slice = Self {
            most,
            ..self.clone()
        };
        let (columns, unit) = slice.columns();
        let rows = self.partitions.clone().flat_map(move |partition| {
            let opened = slice.partition(partition, &columns, unit);
            let slice = slice.clone();
            let finish = move |batch: Result<RecordBatch, SourceError>| {
                batch.and_then(|batch| slice.finish(&batch))
            };
            opened
                .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
                .map(finish)
        });
        // After an error nothing more is read.
        Box::new(rows.scan(false, |failed, batch| {
            let last = std::mem::replace(failed, batch.is_err());
            (!last).then_some(batch)
        }))
    }

    /// The columns to read: those asked for, those that conditions read, and the pseudonym,
    /// which is checked in any case; with the pseudonym's place among them.
    fn columns(&self) -> (Vec<ColumnName>, Option<usize>) {
        let asked = |field: &Arc<arrow::datatypes::Field>| field.name().parse().ok();
        let mut columns: Vec<ColumnName> = self.schema.fields().iter().filter_map(asked).collect();
        let unit = self
            .spec
            .pseudonym_column()
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

    fn broken(&self) -> SourceError {
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
    fn finish(&self, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
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
