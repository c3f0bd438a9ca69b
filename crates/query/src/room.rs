//! The room's sealed data sets, opened with the keys of every owner's grant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use incamera_release::OpenedGrants;
use incamera_seal::{Part, SignedManifest, load_part, read_part, read_public_part};
use incamera_types::{ColumnName, DatasetName, FileId};

use crate::check::CheckedQuery;
use crate::memory::{self, TooLarge};
use crate::released::{OtherRequest, Released, release_with};
use crate::run::{Limits, Noise, QueryError, RawAggregate, compute_over, most_threads};
use crate::source::{Batches, PartSource, SourceError};

/// Rows that are decrypted at a time.
const BATCH_ROWS: usize = 8_192;

/// The sealed data sets that a request names, as they lie in the room.
#[derive(Clone)]
pub struct RoomData {
    datasets: Arc<BTreeMap<DatasetName, Stored>>,
}

struct Stored {
    manifest: SignedManifest,
    paths: BTreeMap<FileId, PathBuf>,
}

impl RoomData {
    /// The data sets of these manifests, their parts where `path` says.
    #[must_use]
    pub fn new(
        manifests: &BTreeMap<DatasetName, SignedManifest>,
        path: &dyn Fn(&DatasetName, &FileId) -> PathBuf,
    ) -> Self {
        let stored = |(dataset, manifest): (&DatasetName, &SignedManifest)| {
            let ids = manifest.parts().iter().map(|part| part.file_id);
            let paths = ids.map(|id| (id, path(dataset, &id))).collect();
            (
                dataset.clone(),
                Stored {
                    manifest: manifest.clone(),
                    paths,
                },
            )
        };
        Self {
            datasets: Arc::new(manifests.iter().map(stored).collect()),
        }
    }

    /// Whether the room may use as much memory as a query can need: by what the agreement and
    /// the manifests say, never by rows. To be asked before an owner is.
    ///
    /// # Errors
    /// [`TooLarge`], with both numbers and what to do.
    pub fn fits(&self, checked: &CheckedQuery, limits: &Limits) -> Result<(), TooLarge> {
        let parts = |dataset: &DatasetName| self.largest_partition_bytes(dataset);
        let manifests = self.datasets.values().map(|stored| &stored.manifest);
        let partitions = manifests.map(|manifest| manifest.partitions()).max();
        let threads = limits.threads.min(most_threads(partitions.unwrap_or(1)));
        memory::fits(checked, &parts, threads as u64, limits.memory_bytes)
    }

    /// The bytes of the parts of the partition that has most.
    fn largest_partition_bytes(&self, dataset: &DatasetName) -> u64 {
        let mut bytes: BTreeMap<u32, u64> = BTreeMap::new();
        let stored = self.datasets.get(dataset);
        for part in stored
            .into_iter()
            .flat_map(|stored| stored.manifest.parts())
        {
            let sum = bytes.entry(part.partition).or_default();
            *sum = sum.saturating_add(part.bytes);
        }
        bytes.into_values().max().unwrap_or(0)
    }
}

/// Computes a checked query over the sealed data sets, with the keys of every owner's grant.
///
/// Runs on blocking threads of the current tokio runtime; dropping the future stops them.
///
/// # Errors
/// [`QueryError`]: a sealed part that is missing or was changed, or one text for all else.
pub async fn compute(
    checked: &CheckedQuery,
    data: &RoomData,
    grants: &Arc<OpenedGrants>,
    limits: &Limits,
) -> Result<RawAggregate, QueryError> {
    // The noise must not cost more than every owner was charged.
    if !checked.loss().within(&grants.loss()) {
        return Err(QueryError::Engine);
    }
    let source = Opened {
        data: data.clone(),
        grants: Arc::clone(grants),
    };
    compute_over(
        &Arc::new(checked.clone()),
        Arc::new(source),
        noise(grants),
        limits.threads,
    )
    .await
}

/// Adds the noise that every owner's seed has a share in, and withholds groups with too few
/// people by the noisy count.
///
/// # Errors
/// [`OtherRequest`] if the grants are of another request than the one that was computed: the
/// same noise would then stand on two answers.
pub fn release(raw: RawAggregate, grants: &OpenedGrants) -> Result<Released, OtherRequest> {
    release_with(raw, noise(grants), grants.simulated())
}

fn noise(grants: &OpenedGrants) -> Noise<'_> {
    Noise {
        request: grants.request(),
        key: grants.noise_key(),
    }
}

struct Opened {
    data: RoomData,
    grants: Arc<OpenedGrants>,
}

impl Opened {
    fn stored(&self, dataset: &DatasetName) -> Result<&Stored, SourceError> {
        let missing = || SourceError::Missing {
            dataset: dataset.clone(),
        };
        self.data.datasets.get(dataset).ok_or_else(missing)
    }

    fn part(&self, stored: &Stored, part: &Part, columns: &[ColumnName]) -> Option<Batches> {
        let manifest = &stored.manifest;
        let dataset = manifest.dataset();
        let file = load_part(stored.paths.get(&part.file_id)?, manifest, part).ok()?;
        let reader = if manifest.public() {
            read_public_part(file, manifest, part, columns, BATCH_ROWS)
        } else {
            let keys = self.grants.part_keys(dataset, &part.file_id)?;
            read_part(file, manifest, part, keys, columns, BATCH_ROWS)
        };
        let damaged = damaged(dataset, &part.file_id);
        let batches = reader
            .ok()?
            .map(move |batch| batch.map_err(|_| damaged.clone()));
        Some(Box::new(batches))
    }
}

fn damaged(dataset: &DatasetName, file_id: &FileId) -> SourceError {
    SourceError::Part {
        dataset: dataset.clone(),
        file_id: *file_id,
    }
}

impl PartSource for Opened {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        Ok(self.stored(dataset)?.manifest.partitions())
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
    ) -> Result<Vec<Batches>, SourceError> {
        let stored = self.stored(dataset)?;
        let public = stored.manifest.public();
        // A part without keys holds rows of people who did not consent to the purpose.
        let readable = |part: &&Part| {
            part.partition == partition
                && (public || self.grants.part_keys(dataset, &part.file_id).is_some())
        };
        let parts = stored.manifest.parts().iter().filter(readable);
        parts
            .map(|part| {
                self.part(stored, part, columns)
                    .ok_or_else(|| damaged(dataset, &part.file_id))
            })
            .collect()
    }
}
