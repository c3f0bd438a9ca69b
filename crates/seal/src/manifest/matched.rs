//! The matching runs that made a data set's pseudonyms, where each run makes others.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{ColumnType, DatasetName, DatasetSpec, Digest as _, IdKind, MatchRunDigest};
use incamera_wire::v1 as wire;

use super::Manifest;

/// By kind of id: the run whose pseudonyms these are, or the providers' key, by its digest. A kind
/// whose pseudonyms last over all runs of a matching epoch, by a secret of the parties', is not in
/// it.
pub type MatchingRuns = BTreeMap<IdKind, MatchRunDigest>;

/// Data sets of different runs, which nobody's rows would join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunsDiffer {
    /// Each names a run, and these are two.
    #[error(
        "`{one}` and `{other}` have pseudonyms of kind `{id_kind}` of different matching runs, or keys of providers, so nobody would be found in both"
    )]
    Runs {
        /// A data set.
        one: DatasetName,
        /// One that was sealed after another run.
        other: DatasetName,
        /// The kind of id.
        id_kind: IdKind,
    },
    /// One names a run, and the other names none.
    #[error(
        "the pseudonyms of kind `{id_kind}` in `{named}` are of one matching run, or key of providers, and `{unnamed}` does not say which run or key its own are of, so nobody may be found in both"
    )]
    Unnamed {
        /// Names its run.
        named: DatasetName,
        /// Has pseudonyms of the kind, and names no run.
        unnamed: DatasetName,
        /// The kind of id.
        id_kind: IdKind,
    },
}

impl RunsDiffer {
    /// What to do about it.
    pub const HINT: &'static str = "both owners seal all their data sets again, of the last run that ended well on both sides; if in doubt, run `match run` again on both first. Through providers compare the key's fingerprint, which `match run` tells, before you match again";
}

impl Manifest {
    /// The runs that made its pseudonyms, where each run makes others.
    #[must_use]
    pub fn matching_runs(&self) -> &MatchingRuns {
        &self.matching_runs
    }
}

/// A data set, and the run that it names.
type OfRun<'a> = (&'a DatasetName, Option<MatchRunDigest>);

/// Whether data sets that are read together have pseudonyms of the same runs. Those that name no
/// run go with others that name none: their pseudonyms last. `specs` says which kinds of id they
/// have pseudonyms of, as the agreement declares them.
///
/// # Errors
/// [`RunsDiffer`]: two of them that have not.
pub fn same_runs<'m>(
    specs: &BTreeMap<DatasetName, DatasetSpec>,
    manifests: impl IntoIterator<Item = &'m Manifest>,
) -> Result<(), RunsDiffer> {
    let mut known: BTreeMap<&IdKind, OfRun<'_>> = BTreeMap::new();
    for manifest in manifests {
        let name = manifest.dataset();
        let declared = specs.get(name).into_iter().flat_map(pseudonym_kinds);
        let kinds: BTreeSet<&IdKind> = declared.chain(manifest.matching_runs.keys()).collect();
        for id_kind in kinds {
            let run = manifest.matching_runs.get(id_kind).copied();
            let first = *known.entry(id_kind).or_insert((name, run));
            alike(id_kind, first, (name, run))?;
        }
    }
    Ok(())
}

fn pseudonym_kinds(spec: &DatasetSpec) -> impl Iterator<Item = &IdKind> {
    let columns = spec.columns.iter();
    let pseudonyms = columns.filter(|column| column.ty == ColumnType::Pseudonym);
    pseudonyms.filter_map(|column| column.id_kind.as_ref())
}

fn alike(id_kind: &IdKind, one: OfRun<'_>, other: OfRun<'_>) -> Result<(), RunsDiffer> {
    let id_kind = id_kind.clone();
    let unnamed = |named: &DatasetName, unnamed: &DatasetName, id_kind| RunsDiffer::Unnamed {
        named: named.clone(),
        unnamed: unnamed.clone(),
        id_kind,
    };
    match (one, other) {
        ((_, one), (_, other)) if one == other => Ok(()),
        ((one, Some(_)), (other, None)) => Err(unnamed(one, other, id_kind)),
        ((one, None), (other, _)) => Err(unnamed(other, one, id_kind)),
        ((one, _), (other, _)) => Err(RunsDiffer::Runs {
            one: one.clone(),
            other: other.clone(),
            id_kind,
        }),
    }
}

pub(crate) fn to_wire(runs: &MatchingRuns) -> Vec<wire::MatchingRun> {
    let one = |(id_kind, run): (&IdKind, &MatchRunDigest)| wire::MatchingRun {
        id_kind: id_kind.to_string(),
        run: run.as_bytes().to_vec(),
    };
    runs.iter().map(one).collect()
}
