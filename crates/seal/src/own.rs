//! An owner's file as the room would see it: for the owner's own figures, at home.

use arrow::array::RecordBatch;
use incamera_types::PurposeName;

use crate::classify::Classified;
use crate::sealing::{Outline, SealError, SealJob, check_job, outline, read_table};
use crate::writer::PartError;

/// Rows of an owner's file, in clear.
pub struct OwnRows {
    /// What sealing would do with the file.
    pub outline: Outline,
    /// The rows that the purpose opens, as sealing would change them: a batch a consent class,
    /// with the columns that its people's consent opens, pseudonyms for ids.
    pub batches: Vec<RecordBatch>,
}

impl std::fmt::Debug for OwnRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnRows")
    }
}

/// Reads the file of a job as [`crate::seal_dataset`] would, and writes nothing.
///
/// # Errors
/// [`SealError`].
pub fn own_rows(mut job: SealJob<'_>, purpose: &PurposeName) -> Result<OwnRows, SealError> {
    check_job(&job)?;
    let table = read_table(&mut job)?;
    let rows = Classified::of(table, &job);
    let mut batches = Vec::new();
    for slice in rows.slices(1) {
        let part = rows.part(job.spec, &slice).map_err(|_| PartError::Encode)?;
        if job.spec.public || part.class.contains(purpose) {
            batches.push(part.batch);
        }
    }
    Ok(OwnRows {
        outline: outline(&rows),
        batches,
    })
}
