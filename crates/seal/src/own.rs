//! An owner's file as the room would see it: for the owner's own figures, at home.

use arrow::array::RecordBatch;
use incamera_types::PurposeName;

use crate::merge::PartLimit;
use crate::ordered::read_in_order;
use crate::sealing::{Outline, SealError, SealJob, check_job};

/// Rows of an owner's file, in clear.
pub struct OwnRows {
    /// What sealing would do with the file.
    pub outline: Outline,
    /// The rows that the purpose opens, as sealing would change them: batches of one
    /// consent class each, with the columns that its people's consent opens, pseudonyms for ids.
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
    // A class is one unit.
    job.partitions = 1;
    let rows = read_in_order(&mut job, None)?;
    let whole = PartLimit {
        rows: u64::MAX,
        bytes: u64::MAX,
    };
    let mut batches = Vec::new();
    for unit in rows.units() {
        if !job.spec.public && !rows.class(&unit)?.contains(purpose) {
            continue;
        }
        let (mut cutting, layout) = rows.rows(&unit, whole)?;
        for lot in cutting.part() {
            batches.push(layout.batch(lot?)?);
        }
    }
    Ok(OwnRows {
        outline: rows.outline().clone(),
        batches,
    })
}
