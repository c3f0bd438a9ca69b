//! Sealed parts as a table of the engine.
//!
//! A [`Slice`] reads only the columns that the plan asks for, cuts rows a person, clamps
//! numbers to their declared range, and gives no statistics: nothing is ever answered from
//! metadata. It is rebuilt for every stretch of partitions, since people never span two.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatchOptions};
use arrow::compute::{max, min};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, SchemaRef};
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
use incamera_types::{ColumnName, DatasetSpec};

use crate::clamp;
use crate::cut::{Cut, Rule};
use crate::source::{Batches, PartSource, SourceError};
use crate::tables::schema_of;

/// One data set's rows in a stretch of partitions (all of them if it is public).
#[derive(Clone)]
pub(crate) struct Slice {
    pub(crate) spec: Arc<DatasetSpec>,
    pub(crate) source: Arc<dyn PartSource>,
    pub(crate) partitions: Range<u32>,
    pub(crate) of: u32,
    /// Rows a person that are kept.
    pub(crate) cap: usize,
    pub(crate) key: Arc<NoiseKey>,
    pub(crate) schema: SchemaRef,
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
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let all = schema_of(&self.spec);
        let schema = match projection {
            Some(columns) => Arc::new(all.project(columns)?),
            None => all,
        };
        let slice = Self {
            schema: Arc::clone(&schema),
            ..self.clone()
        };
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
        let rows = self.rows().map(|batch| batch.map_err(external));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(rows),
        ))
    }
}

/// An error of the source, carried through the engine.
fn external(error: SourceError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Slice {
    /// The rows, partition after partition.
    fn rows(&self) -> impl Iterator<Item = Result<RecordBatch, SourceError>> + Send + use<> {
        let slice = self.clone();
        let (columns, unit) = slice.columns();
        let partitions = self.partitions.clone();
        let rows = partitions.flat_map(move |partition| {
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
        rows.scan(false, |failed, batch| {
            let last = std::mem::replace(failed, batch.is_err());
            (!last).then_some(batch)
        })
    }

    /// The columns to read: those asked for, and the pseudonym, which is checked in any case;
    /// with the pseudonym's place among them.
    fn columns(&self) -> (Vec<ColumnName>, Option<usize>) {
        let asked = |field: &Arc<arrow::datatypes::Field>| field.name().parse().ok();
        let mut columns: Vec<ColumnName> = self.schema.fields().iter().filter_map(asked).collect();
        let unit = self
            .spec
            .pseudonym_column()
            .filter(|_| !self.spec.public)
            .map(|unit| &unit.name);
        if let Some(unit) = unit
            && !columns.contains(unit)
        {
            columns.push(unit.clone());
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
        let parts = self.source.open(&self.spec.name, partition, columns)?;
        let Some(column) = unit else {
            return Ok(Box::new(parts.into_iter().flatten()));
        };
        let rule = Rule {
            dataset: self.spec.name.clone(),
            partition: (partition, self.of),
            cap: self.cap,
            column,
            key: Arc::clone(&self.key),
        };
        Ok(Box::new(Cut::new(rule, parts)?))
    }

    /// A batch as the engine takes it: the columns asked for, of the types declared, numbers
    /// in their declared range.
    fn finish(&self, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
        let broken = || SourceError::Unsealed {
            dataset: self.spec.name.clone(),
        };
        let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let array = batch
                .columns()
                .get(at)
                .filter(|array| array.data_type() == field.data_type());
            let spec = self
                .spec
                .columns
                .iter()
                .find(|column| column.name.as_str() == field.name());
            let (array, spec) = array.zip(spec).ok_or_else(broken)?;
            Ok(if spec.ty.is_number() {
                clamped(array, clamp::range(spec))
            } else {
                Arc::clone(array)
            })
        };
        let columns = self
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(column)
            .collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(|_| broken())
    }
}

/// Numbers in their range; as they are if they are in it already.
fn clamped(array: &ArrayRef, (low, high): (i128, i128)) -> ArrayRef {
    match array.data_type() {
        DataType::Int64 => {
            let numbers = array.as_primitive::<Int64Type>();
            let within = |number: Option<i64>| {
                number.is_none_or(|number| (low..=high).contains(&number.into()))
            };
            if within(min(numbers)) && within(max(numbers)) {
                return Arc::clone(array);
            }
            let bound =
                |number: i64| i64::try_from(i128::from(number).clamp(low, high)).unwrap_or(number);
            Arc::new(numbers.unary::<_, Int64Type>(bound))
        }
        DataType::Decimal128(..) => {
            let numbers = array.as_primitive::<Decimal128Type>();
            let within =
                |number: Option<i128>| number.is_none_or(|number| (low..=high).contains(&number));
            if within(min(numbers)) && within(max(numbers)) {
                return Arc::clone(array);
            }
            let clamped = numbers.unary::<_, Decimal128Type>(|number| number.clamp(low, high));
            Arc::new(clamped.with_data_type(array.data_type().clone()))
        }
        _ => Arc::clone(array),
    }
}
