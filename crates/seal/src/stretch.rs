//! Readers of a part's row groups, in order: of all columns wanted, or of the pseudonyms alone.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Row groups that follow each other and of which the same columns are read.
pub(crate) struct Stretch {
    pub(crate) batches: ParquetRecordBatchReader,
    /// For each column wanted, its place among those read.
    pub(crate) order: Vec<usize>,
    pub(crate) schema: SchemaRef,
    /// Where the pseudonym stands among those wanted, if it is.
    pub(crate) people: Option<usize>,
}

/// The row groups of an opened part.
pub(crate) struct Groups<'a, F: ChunkReader> {
    pub(crate) file: Shared<F>,
    pub(crate) stored: &'a Schema,
    pub(crate) metadata: ArrowReaderMetadata,
    pub(crate) batch_rows: usize,
}

impl<F: ChunkReader + 'static> Groups<'_, F> {
    /// Readers of all row groups: of the columns wanted where a row may count, of the
    /// pseudonyms among them elsewhere.
    pub(crate) fn stretches(
        &self,
        may: &[bool],
        wanted: &[usize],
        people: Option<usize>,
    ) -> Option<VecDeque<Stretch>> {
        let mut stretches = VecDeque::new();
        let mut start = 0;
        for alike in may.chunk_by(|a, b| a == b) {
            let groups = (start..start + alike.len()).collect();
            start += alike.len();
            let stretch = match (alike.first(), people) {
                (Some(true), _) => self.stretch(groups, wanted, people)?,
                (_, Some(people)) => {
                    let column = wanted.get(people..=people)?;
                    self.stretch(groups, column, Some(0))?
                }
                (_, None) => continue,
            };
            stretches.push_back(stretch);
        }
        Some(stretches)
    }

    fn stretch(
        &self,
        groups: Vec<usize>,
        wanted: &[usize],
        people: Option<usize>,
    ) -> Option<Stretch> {
        let mut read = wanted.to_vec();
        read.sort_unstable();
        read.dedup();
        let order = wanted.iter().map(|at| read.binary_search(at).ok());
        let order: Vec<usize> = order.collect::<Option<_>>()?;
        let (file, metadata) = (self.file.clone(), self.metadata.clone());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let batches = builder
            .with_projection(mask)
            .with_row_groups(groups)
            .with_batch_size(self.batch_rows)
            .build()
            .ok()?;
        let schema = Arc::new(self.stored.project(wanted).ok()?);
        Some(Stretch {
            batches,
            order,
            schema,
            people,
        })
    }

    pub(crate) fn left_out_rows(&self, may: &[bool]) -> u64 {
        let groups = self.metadata.metadata().row_groups().iter().zip(may);
        let rows = groups.filter(|(_, may)| !**may);
        rows.map(|(group, _)| u64::try_from(group.num_rows()).unwrap_or(0))
            .sum()
    }
}

/// A file that several readers share: each knows where it reads.
pub(crate) struct Shared<F>(Arc<F>);

impl<F> Shared<F> {
    pub(crate) fn new(file: F) -> Self {
        Self(Arc::new(file))
    }
}

impl<F> Clone for Shared<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: ChunkReader> Length for Shared<F> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<F: ChunkReader> ChunkReader for Shared<F> {
    type T = F::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}
