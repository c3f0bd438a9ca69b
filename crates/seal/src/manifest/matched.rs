//! The matching runs that made a data set's pseudonyms, where each run makes others.

use std::collections::BTreeMap;

use incamera_types::{DatasetName, Digest as _, IdKind, MatchRunDigest};
use incamera_wire::v1 as wire;

use super::Manifest;

/// By kind of id: the run whose pseudonyms these are. A kind whose pseudonyms last over all runs
/// of a matching epoch is not in it.
pub type MatchingRuns = BTreeMap<IdKind, MatchRunDigest>;

/// Data sets of different runs, which nobody's rows would join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{one}` and `{other}` have pseudonyms of kind `{id_kind}` of different matching runs, so nobody would be found in both"
)]
pub struct RunsDiffer {
    /// A data set.
    pub one: DatasetName,
    /// One that was sealed after another run.
    pub other: DatasetName,
    /// The kind of id.
    pub id_kind: IdKind,
}

impl RunsDiffer {
    /// What to do about it.
    pub const HINT: &'static str = "both owners seal all their data sets again, of the last run that ended well on both sides; if in doubt, run `match run` again on both first";
}

impl Manifest {
    /// The runs that made its pseudonyms, where each run makes others.
    #[must_use]
    pub fn matching_runs(&self) -> &MatchingRuns {
        &self.matching_runs
    }
}

/// Whether data sets that are read together have pseudonyms of the same runs.
///
/// # Errors
/// [`RunsDiffer`]: two of them that have not.
pub fn same_runs<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> Result<(), RunsDiffer> {
    let mut known: BTreeMap<&IdKind, (&DatasetName, MatchRunDigest)> = BTreeMap::new();
    for manifest in manifests {
        for (id_kind, run) in &manifest.matching_runs {
            let (one, first) = known.entry(id_kind).or_insert((manifest.dataset(), *run));
            if first != run {
                return Err(RunsDiffer {
                    one: (*one).clone(),
                    other: manifest.dataset().clone(),
                    id_kind: id_kind.clone(),
                });
            }
        }
    }
    Ok(())
}

pub(crate) fn to_wire(runs: &MatchingRuns) -> Vec<wire::MatchingRun> {
    let one = |(id_kind, run): (&IdKind, &MatchRunDigest)| wire::MatchingRun {
        id_kind: id_kind.to_string(),
        run: run.as_bytes().to_vec(),
    };
    runs.iter().map(one).collect()
}
