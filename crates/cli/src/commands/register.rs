//! The register: the data set of an owner that says who agreed to what. Its other data sets
//! are sealed by it, and a broker opens none that is older than the register.

use incamera_agreement::{Agreement, ConsentSource};
use incamera_seal::Consents;
use incamera_types::{DatasetName, DatasetSpec, UnixTime};

use super::data::read_manifest;
use crate::clock::now;
use crate::failure::{Context, Failure};
use crate::folder::Folder;

/// The register that `spec` is sealed by; none if every purpose is open, or for public data.
fn register_of<'a>(agreement: &'a Agreement, spec: &DatasetSpec) -> Option<&'a DatasetSpec> {
    match agreement.consent_of(spec) {
        ConsentSource::Dataset(register) if !spec.public => Some(register),
        _ => None,
    }
}

/// The consents that the register held when it was sealed last.
pub fn consents(
    folder: &Folder,
    agreement: &Agreement,
    register: &DatasetSpec,
    spec: &DatasetSpec,
) -> Result<Consents, Failure> {
    let what = format!("`{}` was not sealed", spec.name);
    let first = format!(
        "seal `{}` first: it says what each person agreed to",
        register.name
    );
    let read = Consents::read(&folder.consents(&agreement.id)).or_fail(&what);
    let consents = read.map_err(|failure| failure.hint(&first))?;
    if consents.dataset() != &register.name {
        return Err(Failure::failed(what)
            .why(format!(
                "the consents kept here are those of `{}`, and the agreement's stand in `{}`",
                consents.dataset(),
                register.name
            ))
            .hint(first));
    }
    Ok(consents)
}

/// When `spec` counts as sealed. A register is later than what was sealed by its predecessor,
/// and what is sealed by it is no earlier: also within one second, and if the clock was put
/// back.
pub fn seal_time(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
) -> Result<UnixTime, Failure> {
    let sealed_at = |name: &DatasetName| {
        let manifest = read_manifest(folder, agreement, name)?;
        Ok(manifest.map(|manifest| manifest.sealed_at()))
    };
    let mut at = now();
    for name in sealed_by(agreement, spec) {
        at = at.max(sealed_at(name)?.map_or(at, |older| older.plus(1)));
    }
    if let Some(register) = register_of(agreement, spec) {
        at = at.max(sealed_at(&register.name)?.unwrap_or(at));
    }
    Ok(at)
}

/// The data sets that were sealed by the register `spec` as it was before: they open nothing
/// until they are sealed again.
pub fn to_seal_again(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
) -> Result<Vec<DatasetName>, Failure> {
    let mut again = Vec::new();
    for name in sealed_by(agreement, spec) {
        if read_manifest(folder, agreement, name)?.is_some() {
            again.push(name.clone());
        }
    }
    Ok(again)
}

/// The other data sets of the owner that are sealed by `spec`, if it is a register.
fn sealed_by<'a>(
    agreement: &'a Agreement,
    spec: &'a DatasetSpec,
) -> impl Iterator<Item = &'a DatasetName> {
    let by_it = |other: &&DatasetSpec| {
        let register = register_of(agreement, other);
        other.owner == spec.owner && register.is_some_and(|register| register.name == spec.name)
    };
    let others = agreement
        .datasets
        .values()
        .filter(|other| other.name != spec.name);
    others.filter(by_it).map(|other| &other.name)
}
