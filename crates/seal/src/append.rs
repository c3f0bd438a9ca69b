//! Parts of the version before that stay beside new ones.

use std::collections::BTreeSet;

use incamera_types::limits::{MAX_MANIFEST_BYTES, MAX_PARTS};
use incamera_types::{ColumnSpec, ConsentClass};
use incamera_wire::v1 as wire;

use crate::manifest::{Part, SealedColumn, SignedManifest, sealed_column};
use crate::plan;
use crate::rewrite::keys::{in_ring, wrapped};
use crate::ring::KeyRing;
use crate::sealing::{Consent, SealError, SealJob, register};

/// The classes that the version before has: a few more rows of them say nothing new of anybody.
pub(crate) fn classes(job: &SealJob<'_>) -> BTreeSet<ConsentClass> {
    let parts = job.append_to.iter().flat_map(|before| before.parts());
    parts.map(|part| part.class.clone()).collect()
}

/// Whether rows can be added to the version before as it is.
pub(crate) fn check(job: &SealJob<'_>) -> Result<(), SealError> {
    let Some(before) = job.append_to else {
        return Ok(());
    };
    let spec = job.spec;
    let rules = [
        (
            !matches!(job.consent, Consent::Column) || spec.public,
            "it says its people's consents, and a person's new row may take back what an older one allows",
        ),
        (
            Some(before.digest()) == job.previous,
            "the version to add to is not the one before",
        ),
        (
            before.agreement_id() == &job.agreement_id
                && before.dataset() == &spec.name
                && before.owner() == &spec.owner,
            "the version before is of another agreement, owner or data set",
        ),
        (
            before.public() == spec.public,
            "`public` has changed since the version before",
        ),
        (
            before.key_epoch() == job.key_epoch,
            "the version before has another key epoch",
        ),
        (
            before.matching_epoch() == job.matching_epoch && before.partitions() == job.partitions,
            "the matching epoch or the number of partitions has changed since the version before",
        ),
        (
            before.matching_runs() == &job.matching_runs,
            "the pseudonyms are of another matching run than those of the version before, and each run makes others",
        ),
        (
            before.register() == register(job),
            "the consents have changed since the version before",
        ),
        (
            before.own_consents() == spec.purposes_column().is_some(),
            "the source of consents has changed since the version before",
        ),
        (
            before
                .columns()
                .iter()
                .all(|old| same(old, spec.column(&old.name))),
            "a column has another type or other purposes than in the version before, or is gone",
        ),
        (
            in_order(job, before),
            "the columns stand in another order than in the version before",
        ),
        (
            !spec.public || before.columns().len() == spec.stored_columns().count(),
            "a public data set has no columns that only some of its rows have",
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(not_added(job, reason)),
        None => Ok(()),
    }
}

/// Whether the ring has what the parts that stay are sealed under: a key that is made in the
/// place of a lost one would open none of them.
pub(crate) fn check_ring(job: &SealJob<'_>, ring: &KeyRing) -> Result<(), SealError> {
    let before = job.append_to.filter(|before| !before.public());
    let has = before.is_none_or(|before| {
        let wrapped = wrapped(before).difference(&job.inherits.revoked);
        in_ring(before, &wrapped, ring)
    });
    match has {
        true => Ok(()),
        false => Err(not_added(
            job,
            "the key ring lacks purpose keys of it: they were destroyed, or this is another ring, or an older one",
        )),
    }
}

fn not_added(job: &SealJob<'_>, reason: &'static str) -> SealError {
    SealError::NotAdded {
        dataset: job.spec.name.clone(),
        reason,
    }
}

/// Whether the columns of the version before stand in the same order.
fn in_order(job: &SealJob<'_>, before: &SignedManifest) -> bool {
    let kept = job.spec.stored_columns();
    let kept = kept.filter(|column| before.column(&column.name).is_some());
    kept.map(|column| &column.name)
        .eq(before.columns().iter().map(|column| &column.name))
}

/// Columns that the part does not have, and a part of its class that is written now would.
fn absent(job: &SealJob<'_>, part: &Part) -> Vec<String> {
    let opening = plan::without(job.spec.clone(), &job.inherits.revoked);
    let columns = opening.stored_columns();
    let lacks = |column: &&ColumnSpec| {
        !opening.openable(column, &part.class).is_empty() && part.key(Some(&column.name)).is_none()
    };
    columns
        .filter(lacks)
        .map(|column| column.name.to_string())
        .collect()
}

fn same(old: &SealedColumn, new: Option<&ColumnSpec>) -> bool {
    new.is_some_and(|new| *old == sealed_column(new))
}

/// The parts that the new manifest names: those that stay, then those that were written.
pub(crate) fn beside(
    job: &SealJob<'_>,
    written: Vec<wire::Part>,
) -> Result<Vec<wire::Part>, SealError> {
    let Some(before) = job.append_to else {
        return Ok(written);
    };
    let mut parts =
        parts_of(before).ok_or_else(|| not_added(job, "the version before does not read"))?;
    for (part, checked) in parts.iter_mut().zip(before.parts()) {
        if !job.spec.public {
            part.absent = absent(job, checked);
        }
    }
    parts.extend(written);
    if parts.len() > MAX_PARTS {
        let reason = "it would have more parts than a data set may";
        return Err(not_added(job, reason));
    }
    Ok(parts)
}

fn parts_of(manifest: &SignedManifest) -> Option<Vec<wire::Part>> {
    let body: Result<wire::Manifest, _> =
        incamera_wire::decode(&manifest.signed().body, MAX_MANIFEST_BYTES);
    body.ok().map(|body| body.parts)
}
