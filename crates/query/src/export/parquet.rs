//! Parquet: the frame, plain, with what there is to say about it as metadata.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use super::Marks;

/// A [`frame`](crate::frame()) as a Parquet file. `said` goes into its metadata besides what the
/// frame says.
///
/// The metadata stand in the file's own key-value list as well as in the Arrow schema there, so
/// that tools which know nothing of Arrow find them.
///
/// # Errors
/// [`ParquetError`] if the frame could not be written.
pub fn parquet(
    frame: &RecordBatch,
    marks: Marks,
    said: HashMap<String, String>,
) -> Result<Vec<u8>, ParquetError> {
    let mut metadata = frame.schema().metadata().clone();
    metadata.extend(said);
    if marks.practice {
        metadata.insert("incamera.practice".into(), "true".into());
    }
    let schema = frame.schema().as_ref().clone().with_metadata(metadata);
    let schema = Arc::new(schema);
    let frame = frame.clone().with_schema(Arc::clone(&schema))?;
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), None)?;
    writer.write(&frame)?;
    let mut pairs: Vec<_> = schema.metadata().clone().into_iter().collect();
    pairs.sort();
    for (key, value) in pairs {
        writer.append_key_value_metadata(KeyValue::new(key, value));
    }
    writer.close()?;
    Ok(bytes)
}
