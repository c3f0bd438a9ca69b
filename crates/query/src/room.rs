//! The room's sealed data sets, opened with the keys of every owner's grant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use incamera_release::OpenedGrants;
use incamera_seal::{
    Bounds, CheckedPart, Part, PartKeys, PartReader, SignedManifest, open_part, read_part_within,
    read_public_part,
};
use incamera_types::{ColumnName, DatasetName, FileId};

use crate::check::CheckedQuery;
use crate::deadline::Deadline;
use crate::memory::{self, TooLarge};
use crate::public;
use crate::released::{OtherRequest, Released, release_with};
use crate::run::{Limits, Noise, QueryError, RawAggregate, compute_over, most_threads};
use crate::source::{Batches, PartSource, SourceError};

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
        self.threads(checked, limits).map(|_| ())
    }

    /// How many of its threads the room has memory for.
    fn threads(&self, checked: &CheckedQuery, limits: &Limits) -> Result<u64, TooLarge> {
        let parts = |dataset: &DatasetName| self.most_of_a_partition(dataset);
        let most = limits.threads.min(self.stretches()) as u64;
        memory::threads(checked, &parts, most, limits.memory_bytes)
    }

    /// How many threads have something to do.
    fn stretches(&self) -> usize {
        let manifests = self.datasets.values().map(|stored| &stored.manifest);
        let partitions = manifests.map(|manifest| manifest.partitions()).max();
        most_threads(partitions.unwrap_or(1))
    }

    /// When the answer to a query leaves, and at the latest its failure: by what the agreement
    /// and the manifests say, never by rows.
    #[must_use]
    pub fn deadline(&self, checked: &CheckedQuery, limits: &Limits) -> Deadline {
        let read = self.datasets.iter().map(|(dataset, stored)| {
            let bytes = stored.manifest.parts().iter().map(|part| part.bytes);
            let bytes = bytes.fold(0, u64::saturating_add);
            bytes.saturating_mul(memory::handled(checked, dataset))
        });
        let threads = self.threads(checked, limits).unwrap_or(1);
        let bytes = read.fold(0, u64::saturating_add);
        Deadline::of(checked, bytes, self.stretches() as u64, threads)
    }

    /// Whether the public data sets that a query reads have no more rows than the agreement
    /// says, and none twice of those that a join goes by. To be asked before an owner is, as
    /// `fits`: their owner could otherwise make the query as long and as large as it likes,
    /// by how many of its rows another's row meets.
    ///
    /// # Errors
    /// [`SourceError`], with what to do.
    pub fn check_public(&self, checked: &CheckedQuery) -> Result<(), SourceError> {
        let source: Arc<dyn PartSource> = Arc::new(Opened {
            data: self.clone(),
            grants: None,
            batch_rows: memory::batch_rows(checked),
        });
        public::check(checked, &source)
    }

    fn stored(&self, dataset: &DatasetName) -> Result<&Stored, SourceError> {
        let missing = || SourceError::Missing {
            dataset: dataset.clone(),
        };
        self.datasets.get(dataset).ok_or_else(missing)
    }

    /// What is in memory of the parts of a partition, of the one that has most.
    fn most_of_a_partition(&self, dataset: &DatasetName) -> u64 {
        let mut bytes: BTreeMap<u32, u64> = BTreeMap::new();
        let stored = self.datasets.get(dataset);
        for part in stored
            .into_iter()
            .flat_map(|stored| stored.manifest.parts())
        {
            let sum = bytes.entry(part.partition).or_default();
            *sum = sum.saturating_add(CheckedPart::most_held(part.bytes));
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
    if checked.request != Some(grants.request()) {
        return Err(OtherRequest.into());
    }
    // The noise must not cost more than every owner was charged.
    if !checked.loss().within(&grants.loss()) {
        return Err(QueryError::Engine);
    }
    // What does not fit is refused before anything is spent; a caller that did not ask gets one.
    let threads = data.threads(checked, limits).unwrap_or(1);
    let source = Opened {
        data: data.clone(),
        grants: Some(Arc::clone(grants)),
        batch_rows: memory::batch_rows(checked),
    };
    compute_over(
        &Arc::new(checked.clone()),
        Arc::new(source),
        noise(grants),
        usize::try_from(threads).unwrap_or(1),
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

/// Data sets with the keys that there are: without grants only public ones open.
pub(crate) struct Opened {
    pub(crate) data: RoomData,
    pub(crate) grants: Option<Arc<OpenedGrants>>,
    /// Rows that are decrypted at a time.
    pub(crate) batch_rows: usize,
}

impl Opened {
    fn keys(&self, dataset: &DatasetName, part: &Part) -> Option<&PartKeys> {
        self.grants.as_ref()?.part_keys(dataset, &part.file_id)
    }

    fn part(
        &self,
        stored: &Stored,
        part: &Part,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Option<PartReader> {
        let (manifest, rows) = (&stored.manifest, self.batch_rows);
        let file = || open_part(stored.paths.get(&part.file_id)?, manifest, part).ok();
        if manifest.public() {
            return read_public_part(file()?, manifest, part, columns, rows).ok();
        }
        let keys = self.keys(manifest.dataset(), part)?;
        read_part_within(file()?, manifest, part, keys, columns, rows, bounds).ok()
    }
}

impl Stored {
    /// The rows of a part, if it opens.
    fn batches(&self, part: &Part, opened: Option<PartReader>) -> Result<Batches, SourceError> {
        let damaged = SourceError::Part {
            dataset: self.manifest.dataset().clone(),
            file_id: part.file_id,
        };
        let rows = opened.ok_or_else(|| damaged.clone())?;
        Ok(Box::new(
            rows.map(move |batch| batch.map_err(|_| damaged.clone())),
        ))
    }
}

impl PartSource for Opened {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        Ok(self.data.stored(dataset)?.manifest.partitions())
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let stored = self.data.stored(dataset)?;
        let public = stored.manifest.public();
        // A part without keys holds rows of people who did not consent to the purpose.
        let readable = |part: &&Part| {
            part.partition == partition && (public || self.keys(dataset, part).is_some())
        };
        let parts = stored.manifest.parts().iter().filter(readable);
        parts
            .map(|part| stored.batches(part, self.part(stored, part, columns, bounds)))
            .collect()
    }
}
