//! Where rows come from: sealed parts, behind a seam that tests can stand in for.

#[cfg(test)]
use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use incamera_seal::Bounds;
use incamera_types::{ColumnName, DatasetName, FileId};

/// Batches of one part, sorted by pseudonym, with exactly the columns asked for; or with the
/// pseudonyms alone, of rows that are not within the bounds.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, SourceError>> + Send>;

/// Gives the rows of data sets, part by part.
///
/// Everything it gives is the owner's word: the scan checks order, partition and ranges.
pub(crate) trait PartSource: Send + Sync {
    /// Into how many slices of the pseudonym space a data set is cut.
    ///
    /// # Errors
    /// [`SourceError`] if the data set is not there.
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError>;

    /// Opens the parts of one slice, in a fixed order. Of rows that `bounds` rule out, only the
    /// pseudonyms need be there. Rows of parts that the query's purpose
    /// does not open are not there.
    ///
    /// # Errors
    /// [`SourceError`] if a part is missing or does not open.
    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError>;
}

/// Why rows cannot be had. Says nothing about any row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A sealed part is missing, changed or does not open.
    #[error(
        "part `{file_id}` of data set `{dataset}` is missing or was changed: let its owner push it again; the same request is then free"
    )]
    Part {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
    },
    /// A data set that the room does not have.
    #[error(
        "data set `{dataset}` is not in the room: let its owner push it; the same request is then free"
    )]
    Missing {
        /// The data set.
        dataset: DatasetName,
    },
    /// Rows that break what their owner signed: out of order, in the wrong slice.
    #[error("data set `{dataset}` is not sealed as agreed: let its owner seal and push it again")]
    Unsealed {
        /// The data set.
        dataset: DatasetName,
    },
    /// A public data set with more rows than agreed.
    #[error(
        "public data set `{dataset}` has more than the {most} rows that the query's `rows` allow it: how long a query takes would follow how many of them a person's row meets; let its owner push fewer, or sign a version of the agreement with a larger number"
    )]
    TooManyRows {
        /// The data set.
        dataset: DatasetName,
        /// What the agreement says.
        most: u64,
    },
    /// A public data set of which a person's row could meet several rows.
    #[error(
        "public data set `{dataset}` has several rows of the same {columns}, on which the query joins it: how long a query takes would follow how many of them a person's row meets; let its owner push one row for each"
    )]
    Twice {
        /// The data set.
        dataset: DatasetName,
        /// The columns that the join sets equal.
        columns: String,
    },
    /// A data set of more people than memory was counted for.
    #[error(
        "data set `{dataset}` is about more than twice as many people as its owner declares: sign a version of the agreement with a larger `people` (or `max_ids`, if it declares none)"
    )]
    TooManyPeople {
        /// The data set.
        dataset: DatasetName,
    },
}

/// Data sets in memory: one part a data set, for tests and for an owner's own figures.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) partitions: u32,
    /// Parts by data set and slice.
    pub(crate) parts: BTreeMap<(DatasetName, u32), Vec<Vec<RecordBatch>>>,
}

#[cfg(test)]
impl PartSource for Memory {
    fn partitions(&self, _: &DatasetName) -> Result<u32, SourceError> {
        Ok(self.partitions)
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        _: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let parts = self
            .parts
            .get(&(dataset.clone(), partition))
            .cloned()
            .unwrap_or_default();
        let columns = columns.to_vec();
        let pick = move |batch: RecordBatch| {
            let schema = batch.schema();
            let at: Vec<usize> = columns
                .iter()
                .map(|name| schema.index_of(name.as_str()).unwrap())
                .collect();
            Ok(batch.project(&at).unwrap())
        };
        let part =
            |batches: Vec<RecordBatch>| Box::new(batches.into_iter().map(pick.clone())) as Batches;
        Ok(parts.into_iter().map(part).collect())
    }
}
