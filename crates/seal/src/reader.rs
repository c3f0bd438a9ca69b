//! Opening a part in the room.
//!
//! # Claim
//! What comes out is what the owner sealed at this place: the footer and every page carry the
//! AAD prefix that the manifest says, each column opens with its own key and no other, and the
//! columns are those of the manifest. Rows are seen to be in order of pseudonym and inside the
//! part's slice, because the bound on a person's contribution rests on it: in every row group,
//! also in those that [`Bounds`] leave out, of which nothing but the pseudonyms is read.
//!
//! An owner who seals false rows is not found out. A file that the parser cannot cope with, and
//! even one that makes it panic, is one more [`ReadError`].

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use incamera_types::{ColumnName, DatasetName, Digest as _, FileId, PartDigest, Pseudonym};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use crate::bounds::Bounds;
use crate::ends::Ending;
use crate::guard::{Damaged, guarded};
use crate::labels::part_aad;
use crate::local;
use crate::manifest::{Manifest, Part};
use crate::source::Tags;
use crate::stretch::{Groups, Shared, Stretch};
use crate::unwrap::PartKeys;
use crate::writer::ENCRYPTED_MAGIC;

/// A part's file is not the one that the manifest names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartFileError {
    /// The file cannot be read.
    #[error("part `{file_id}` of `{dataset}` cannot be read")]
    Io {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another length or digest.
    #[error("part `{file_id}` of `{dataset}` was changed or cut off")]
    Changed {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
    },
}

/// A part does not open as its manifest says.
///
/// One error for a wrong key, a moved or changed part, a plaintext file, other columns, rows out
/// of order: what differs inside is nobody's business but the owner's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "part `{file_id}` of `{dataset}` does not open as its manifest says: its owner must seal and push the data set again"
)]
pub struct ReadError {
    dataset: DatasetName,
    file_id: FileId,
}

impl ReadError {
    fn of(manifest: &Manifest, part: &Part) -> Self {
        Self {
            dataset: manifest.dataset().clone(),
            file_id: part.file_id,
        }
    }

    /// The data set.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// The part.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file_id
    }
}

/// Checks length and SHA-256 of a part's file against its manifest.
///
/// # Errors
/// [`PartFileError`], which names the part.
pub fn check_part_file(path: &Path, manifest: &Manifest, part: &Part) -> Result<(), PartFileError> {
    let (dataset, file_id) = (manifest.dataset().clone(), part.file_id);
    match file_digest(path, part.bytes) {
        Ok(Some(digest)) if digest == part.digest => Ok(()),
        Ok(_) => Err(PartFileError::Changed { dataset, file_id }),
        Err(source) => Err(PartFileError::Io {
            dataset,
            file_id,
            source,
        }),
    }
}

/// The digest of a file that must have `bytes` bytes; none if it has not.
fn file_digest(path: &Path, bytes: u64) -> io::Result<Option<PartDigest>> {
    let file = File::open(path)?;
    if file.metadata()?.len() != bytes {
        return Ok(None);
    }
    let digest = local::digest(&mut file.take(bytes))?;
    Ok(Some(PartDigest::from_bytes(digest)))
}

/// The columns of one part, opened, batch by batch.
///
/// Batches of row groups that [`Bounds`] leave out have the pseudonyms alone.
pub struct PartReader {
    /// What is left to read, in order of rows.
    stretches: VecDeque<Stretch>,
    schema: SchemaRef,
    tags: Tags,
    rows: Option<RowCheck>,
    left_out_rows: u64,
    error: ReadError,
    ended: bool,
}

/// Sees to it that rows are in order and inside the part's slice.
struct RowCheck {
    partition: u32,
    partitions: u32,
    last: Pseudonym,
}

impl PartReader {
    /// The columns, in the order asked for.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// What the part says that its columns were collected for.
    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// How many rows lie in row groups that the bounds leave out.
    #[must_use]
    pub fn left_out_rows(&self) -> u64 {
        self.left_out_rows
    }

    /// The next batch of the stretch at hand or of the one after it.
    fn read(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while let Some(stretch) = self.stretches.front_mut() {
            if let Some(batch) = stretch.batches.next() {
                return batch.map(Some);
            }
            self.stretches.pop_front();
        }
        Ok(None)
    }

    fn take_in(&mut self, batch: &RecordBatch) -> Option<RecordBatch> {
        let stretch = self.stretches.front()?;
        let batch = batch.project(&stretch.order).ok()?;
        if let (Some(check), Some(people)) = (&mut self.rows, stretch.people) {
            check.batch(batch.columns().get(people)?)?;
        }
        // Without what a column's field may say besides: see `Tags`.
        let (schema, columns) = (stretch.schema.clone(), batch.columns().to_vec());
        let same = same_columns(&batch.schema(), &schema);
        same.then(|| RecordBatch::try_new(schema, columns).ok())
            .flatten()
    }
}

impl Iterator for PartReader {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = guarded(|| self.read());
        let batch = match next {
            Ok(batch) => batch.map(|batch| self.take_in(&batch)),
            Err(Damaged) => Some(None),
        };
        let item = batch.map(|batch| batch.ok_or_else(|| self.error.clone()));
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl std::fmt::Debug for PartReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartReader({})", self.error.file_id)
    }
}

impl RowCheck {
    fn batch(&mut self, people: &ArrayRef) -> Option<()> {
        let column: &FixedSizeBinaryArray = people.as_any().downcast_ref()?;
        let (people, rest) = column.value_data().as_chunks::<{ Pseudonym::BYTES }>();
        let (Some(first), Some(last)) = (people.first(), people.last()) else {
            return rest.is_empty().then_some(());
        };
        // Compared as numbers, which is faster.
        let number = |person: &[u8; Pseudonym::BYTES]| u128::from_be_bytes(*person);
        let sorted = people.is_sorted_by(|one, next| number(one) <= number(next));
        let (first, last) = (Pseudonym::from_bytes(*first), Pseudonym::from_bytes(*last));
        // Slices are prefixes: between two people of a slice stands nobody of another.
        let inside = |person: &Pseudonym| person.partition(self.partitions) == self.partition;
        let fits = rest.is_empty() && people.len() == column.len();
        let follows = self.last <= first && inside(&first) && inside(&last);
        (fits && sorted && follows).then_some(())?;
        self.last = last;
        Some(())
    }
}

/// Opens `columns` of a part, in batches of at most `batch_rows` rows, with the keys that were
/// checked for it; keys of other columns are not used.
///
/// # Errors
/// [`ReadError`], here or from the iterator. Without a column there is nothing to open: even
/// counting rows needs a column's key.
pub fn read_part(
    file: impl ChunkReader + 'static,
    manifest: &Manifest,
    part: &Part,
    keys: &PartKeys,
    columns: &[ColumnName],
    batch_rows: usize,
) -> Result<PartReader, ReadError> {
    let all = Bounds::none();
    read_part_within(file, manifest, part, keys, columns, batch_rows, &all)
}

/// As [`read_part`], but of row groups without a row within `bounds`, by the statistics of
/// these columns, it reads the pseudonyms alone (nothing, if they are not asked for). Which row
/// groups those are follows from the bounds and the part.
///
/// # Errors
/// As [`read_part`].
pub fn read_part_within(
    file: impl ChunkReader + 'static,
    manifest: &Manifest,
    part: &Part,
    keys: &PartKeys,
    columns: &[ColumnName],
    batch_rows: usize,
    bounds: &Bounds,
) -> Result<PartReader, ReadError> {
    let error = ReadError::of(manifest, part);
    let refused = || error.clone();
    if manifest.public() || keys.file_id() != part.file_id {
        return Err(refused());
    }
    let decryption = decryption(manifest, part, keys, columns).ok_or_else(refused)?;
    let file = encrypted(file).ok_or_else(refused)?;
    let options = ArrowReaderOptions::new().with_file_decryption_properties(decryption);
    let opening = Opening {
        manifest,
        part,
        columns,
        batch_rows,
        bounds,
    };
    opening.open(file, options, true).ok_or_else(refused)
}

/// Opens `columns` of a part of a public data set, which is sealed for nobody.
///
/// # Errors
/// As [`read_part`].
pub fn read_public_part(
    file: impl ChunkReader + 'static,
    manifest: &Manifest,
    part: &Part,
    columns: &[ColumnName],
    batch_rows: usize,
) -> Result<PartReader, ReadError> {
    let refused = || ReadError::of(manifest, part);
    if !manifest.public() {
        return Err(refused());
    }
    let opening = Opening {
        manifest,
        part,
        columns,
        batch_rows,
        bounds: &Bounds::none(),
    };
    opening
        .open(file, ArrowReaderOptions::new(), false)
        .ok_or_else(refused)
}

/// The footer's key and those of the columns, and the AAD prefix that the manifest says.
pub(crate) fn decryption(
    manifest: &Manifest,
    part: &Part,
    keys: &PartKeys,
    columns: &[ColumnName],
) -> Option<Arc<FileDecryptionProperties>> {
    let aad = part_aad(
        manifest.agreement_id(),
        manifest.dataset(),
        &part.file_id,
        part.version,
        &part.class,
    );
    let footer = keys.footer().expose().to_vec();
    let mut builder = FileDecryptionProperties::builder(footer).with_aad_prefix(aad);
    for column in columns {
        let key = keys.column(column)?.expose().to_vec();
        builder = builder.with_column_key(column.as_str(), key);
    }
    builder.build().ok()
}

/// The file, if it starts and ends like one with an encrypted footer.
fn encrypted<F: ChunkReader>(file: F) -> Option<F> {
    const BYTES: usize = ENCRYPTED_MAGIC.len();
    let last = file.len().checked_sub(BYTES as u64)?;
    let end = |start| Some(file.get_bytes(start, BYTES).ok()? == ENCRYPTED_MAGIC.as_slice());
    (end(0)? && end(last)?).then_some(file)
}

struct Opening<'a> {
    manifest: &'a Manifest,
    part: &'a Part,
    columns: &'a [ColumnName],
    batch_rows: usize,
    bounds: &'a Bounds,
}

impl Opening<'_> {
    fn open(
        &self,
        file: impl ChunkReader + 'static,
        options: ArrowReaderOptions,
        sealed: bool,
    ) -> Option<PartReader> {
        guarded(|| self.reader(Ending(file), options, sealed).ok_or(())).ok()
    }

    fn reader(
        &self,
        file: impl ChunkReader + 'static,
        options: ArrowReaderOptions,
        sealed: bool,
    ) -> Option<PartReader> {
        let metadata = ArrowReaderMetadata::load(&file, options).ok()?;
        let stored = self.manifest.part_schema(self.part);
        same_columns(metadata.schema(), &stored).then_some(())?;
        let mut wanted = Vec::new();
        for column in self.columns {
            wanted.push(stored.index_of(column.as_str()).ok()?);
        }
        if wanted.is_empty() || sealed && !own_keys(metadata.metadata(), &stored, &wanted) {
            return None;
        }
        let people = self
            .columns
            .iter()
            .position(|name| self.is_person_column(name));
        let may = self
            .bounds
            .may_hold(metadata.metadata(), &stored, self.columns);
        let tags = Tags::of(metadata.schema());
        let groups = Groups {
            file: Shared::new(file),
            stored: &stored,
            metadata,
            batch_rows: self.batch_rows.max(1),
        };
        Some(PartReader {
            stretches: groups.stretches(&may, &wanted, people)?,
            schema: Arc::new(stored.project(&wanted).ok()?),
            tags,
            rows: people.map(|_| self.row_check()),
            left_out_rows: groups.left_out_rows(&may),
            error: ReadError::of(self.manifest, self.part),
            ended: false,
        })
    }

    fn is_person_column(&self, name: &ColumnName) -> bool {
        self.manifest.is_person(name)
    }

    fn row_check(&self) -> RowCheck {
        RowCheck {
            partition: self.part.partition,
            partitions: self.manifest.partitions(),
            last: Pseudonym::from_bytes([0; Pseudonym::BYTES]),
        }
    }
}

/// Whether names, types and nullability are those of the manifest, in its order.
fn same_columns(found: &Schema, stored: &Schema) -> bool {
    let same = |(a, b): (&arrow::datatypes::FieldRef, &arrow::datatypes::FieldRef)| {
        a.name() == b.name() && a.data_type() == b.data_type() && a.is_nullable() == b.is_nullable()
    };
    found.fields().len() == stored.fields().len()
        && found.fields().iter().zip(stored.fields()).all(same)
}

/// Whether each of the columns is encrypted with a key of its own, in every row group
/// (invariant I3): not with the footer's, and not in clear.
fn own_keys(metadata: &ParquetMetaData, stored: &Schema, columns: &[usize]) -> bool {
    let own_key = |group: &parquet::file::metadata::RowGroupMetaData, at: &usize| {
        let name = stored.fields().get(*at).map(|field| field.name());
        match group
            .columns()
            .get(*at)
            .and_then(|column| column.crypto_metadata())
        {
            Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(key)) => {
                name.is_some_and(|name| key.path_in_schema == [name.as_str()])
            }
            _ => false,
        }
    };
    let groups = metadata.row_groups();
    groups
        .iter()
        .all(|group| columns.iter().all(|at| own_key(group, at)))
}
