//! Small plain Parquet files in the owner's own folder.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use incamera_types::Pseudonym;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::ends::Ending;
use crate::guard::{Damaged, guarded};
use crate::local::{self, LocalFileError, io_error};

pub(crate) const FORMAT_KEY: &str = "incamera.format";
pub(crate) const AGREEMENT_ID: &str = "incamera.agreement_id";
pub(crate) const EPOCH: &str = "incamera.matching_epoch";
pub(crate) const RUN: &str = "incamera.matching_run";
pub(crate) const ID_KIND: &str = "incamera.id_kind";
pub(crate) const VIA: &str = "incamera.via";
pub(crate) const RULES: &str = "incamera.rules";
pub(crate) const HASHED: &str = "incamera.hashed";
pub(crate) const FORM: &str = "incamera.form";
pub(crate) const REGION: &str = "incamera.region";
pub(crate) const DATASET: &str = "incamera.dataset";
pub(crate) const REGISTER: &str = "incamera.register";
pub(crate) const FOLLOWS: &str = "incamera.follows";

pub(crate) fn form(path: &Path, format: &'static str, reason: &'static str) -> LocalFileError {
    LocalFileError::Form {
        path: path.into(),
        format,
        reason,
    }
}

/// Pseudonyms as an Arrow column.
pub(crate) fn pseudonym_array<'a>(
    pseudonyms: impl ExactSizeIterator<Item = &'a Pseudonym>,
) -> Result<FixedSizeBinaryArray, ArrowError> {
    let mut bytes = Vec::with_capacity(pseudonyms.len() * Pseudonym::BYTES);
    for pseudonym in pseudonyms {
        bytes.extend_from_slice(pseudonym.as_bytes());
    }
    let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
    FixedSizeBinaryArray::try_new(width, bytes.into(), None)
}

/// The pseudonyms in column `at` of a batch, if it has them.
pub(crate) fn pseudonyms(batch: &RecordBatch, at: usize) -> Option<&FixedSizeBinaryArray> {
    let column = batch.columns().get(at)?.as_any().downcast_ref();
    let width = i32::try_from(Pseudonym::BYTES).ok()?;
    column.filter(|people: &&FixedSizeBinaryArray| people.value_length() == width)
}

/// The pseudonym in row `at`; zeros where the column is not 16 bytes wide, which the schema
/// was checked for.
pub(crate) fn pseudonym(column: &FixedSizeBinaryArray, at: usize) -> Pseudonym {
    Pseudonym::from_bytes(column.value(at).try_into().unwrap_or_default())
}

pub(crate) fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// What a table of `format` says of itself.
pub(crate) fn key_values(
    format: &'static str,
    metadata: Vec<(&'static str, String)>,
) -> Vec<KeyValue> {
    let pairs = std::iter::once((FORMAT_KEY, format.to_owned())).chain(metadata);
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    pairs.collect()
}

/// Writes `batch` as `format`, privately and whole or not at all.
pub(crate) fn write(
    path: &Path,
    format: &'static str,
    metadata: Vec<(&'static str, String)>,
    batch: &RecordBatch,
) -> Result<(), LocalFileError> {
    let properties = WriterProperties::builder()
        .set_compression(zstd())
        .set_key_value_metadata(Some(key_values(format, metadata)))
        .build();
    local::replace(path, |file| {
        write_batch(file, properties, batch).map_err(not_written(path, format))
    })
}

/// Why a table was not written.
pub(crate) fn not_written(
    path: &Path,
    format: &'static str,
) -> impl FnOnce(ParquetError) -> LocalFileError {
    move |error| match error {
        ParquetError::External(source) => {
            let source = source
                .downcast()
                .map_or_else(io::Error::other, |source| *source);
            io_error("write", path)(source)
        }
        _ => form(path, format, "it could not be encoded"),
    }
}

fn write_batch(
    file: &mut File,
    properties: WriterProperties,
    batch: &RecordBatch,
) -> Result<(), ParquetError> {
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

/// What a table says of itself.
pub(crate) struct Metadata {
    pub(crate) path: PathBuf,
    /// The version that the file is of.
    pub(crate) format: &'static str,
    pairs: Vec<KeyValue>,
}

impl Metadata {
    /// Whether there is a value `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|pair| pair.key == key)
    }

    /// The value `key`, parsed.
    pub(crate) fn get<T: FromStr>(&self, key: &str) -> Result<T, LocalFileError> {
        let value = self.pairs.iter().find(|pair| pair.key == key);
        value
            .and_then(|pair| pair.value.as_ref()?.parse().ok())
            .ok_or_else(|| self.form("its metadata is missing or damaged"))
    }

    /// What is wrong with the file.
    pub(crate) fn form(&self, reason: &'static str) -> LocalFileError {
        form(&self.path, self.format, reason)
    }
}

/// Opens a file that must be one of `formats`, the newest of which is the last.
pub(crate) fn open(
    path: &Path,
    formats: &'static [&'static str],
) -> Result<(Metadata, ParquetRecordBatchReaderBuilder<Ending<File>>), LocalFileError> {
    let newest = formats.last().copied().unwrap_or_default();
    // Until it says so, nobody knows which version it is of.
    let family = newest.split('/').next().unwrap_or(newest);
    let damaged = |_: Damaged| form(path, family, "it is not a readable Parquet file");
    let file = File::open(path).map_err(io_error("read", path))?;
    let builder =
        guarded(|| ParquetRecordBatchReaderBuilder::try_new(Ending(file))).map_err(damaged)?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let mut metadata = Metadata {
        path: path.into(),
        format: family,
        pairs: pairs.cloned().unwrap_or_default(),
    };
    let found: String = metadata.get(FORMAT_KEY)?;
    let known = formats.iter().find(|format| **format == found);
    metadata.format = known.ok_or_else(|| LocalFileError::Version {
        path: path.into(),
        format: newest,
        found: found.chars().filter(|c| !c.is_control()).take(64).collect(),
    })?;
    Ok((metadata, builder))
}

/// A file read back: its batches and metadata.
pub(crate) struct LocalTable {
    pub(crate) metadata: Metadata,
    batches: Vec<RecordBatch>,
}

/// Reads a file that must be of `format`, alone in its list, and have `schema`.
pub(crate) fn read(
    path: &Path,
    format: &'static [&'static str; 1],
    schema: &SchemaRef,
) -> Result<LocalTable, LocalFileError> {
    let (metadata, builder) = open(path, format)?;
    if builder.schema().fields() != schema.fields() {
        return Err(metadata.form("its columns are others"));
    }
    let batches = guarded(|| builder.build()?.collect::<Result<_, _>>());
    let batches = batches.map_err(|_| metadata.form("it is damaged"))?;
    Ok(LocalTable { metadata, batches })
}

impl LocalTable {
    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Column `at` of `batch` as its array type.
    pub(crate) fn column<'a, A: Array + 'static>(
        &self,
        batch: &'a RecordBatch,
        at: usize,
    ) -> Result<&'a A, LocalFileError> {
        let column = batch.columns().get(at);
        column
            .and_then(|column| column.as_any().downcast_ref())
            .ok_or_else(|| self.metadata.form("its columns are others"))
    }
}
