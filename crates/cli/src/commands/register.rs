//! The register: the data set of an owner that says who agreed to what. Its other data sets
//! are sealed by it, and a broker opens none that was sealed by an older version of it.

use incamera_agreement::{Agreement, ConsentSource};
use incamera_seal::Consents;
use incamera_types::{DatasetName, DatasetSpec, ManifestDigest};

use super::data::read_manifest;
use super::{kept_until, matching};
use crate::failure::{Context, Failure};
use crate::folder::Folder;

/// The register that `spec` is sealed by; none if every purpose is open, or for public data.
pub fn register_of<'a>(agreement: &'a Agreement, spec: &DatasetSpec) -> Option<&'a DatasetSpec> {
    match agreement.consent_of(spec) {
        ConsentSource::Dataset(register) if !spec.public => Some(register),
        _ => None,
    }
}

/// The consents that the register held when it was sealed last. Older ones, back from a backup
/// or of another machine, are refused: what is sealed by them opens nothing.
pub fn consents(
    folder: &Folder,
    agreement: &Agreement,
    register: &DatasetSpec,
    spec: &DatasetSpec,
) -> Result<Consents, Failure> {
    let what = format!("`{}` was not sealed", spec.name);
    let kept = Kept::read(folder, agreement, register, &what)?;
    match kept.resumed {
        true => Err(Kept::other(&what, register)),
        false => Ok(kept.consents),
    }
}

/// The consents kept here, with the version of the register that is sealed here.
pub struct Kept {
    /// What people agreed to.
    pub consents: Consents,
    /// The register's manifest.
    pub newest: ManifestDigest,
    /// Whether a command that changed consents was cut short: they are those of the version that
    /// it did not come to.
    pub resumed: bool,
}

impl Kept {
    /// Reads them; `what` was not done where they do not count.
    pub fn read(
        folder: &Folder,
        agreement: &Agreement,
        register: &DatasetSpec,
        what: &str,
    ) -> Result<Self, Failure> {
        let read = Consents::read(&folder.consents(&agreement.id)).or_fail(what);
        let consents = read.map_err(|failure| failure.hint(first(register)))?;
        if consents.dataset() != &register.name {
            return Err(Failure::failed(what)
                .why(format!(
                    "the consents kept here are those of `{}`, and the agreement's stand in `{}`",
                    consents.dataset(),
                    register.name
                ))
                .hint(first(register)));
        }
        let sealed = read_manifest(folder, agreement, &register.name)?;
        let newest = sealed.as_ref().map(|newest| newest.digest());
        if kept_until::over(register) {
            return Ok(Self::last(consents, newest));
        }
        let follows = newest
            .filter(|newest| consents.register() == *newest || consents.follows() == Some(*newest));
        let newest = follows.ok_or_else(|| Self::other(what, register))?;
        let epoch = agreement.matching.epoch;
        if sealed
            .as_ref()
            .is_some_and(|sealed| sealed.matching_epoch() != epoch)
        {
            // Its pseudonyms are nobody's by now, so that nobody would seem to have agreed.
            return Err(Failure::failed(what)
                .why(format!(
                    "`{}` was sealed under another matching epoch than {epoch}, and so are the consents kept here",
                    register.name
                ))
                .hint(first(register)));
        }
        if let Some(sealed) = &sealed
            && matching::is_of_another_run(folder, agreement, register, sealed)
        {
            return Err(Failure::failed(what)
                .why(format!(
                    "`{}` was sealed with the pseudonyms of another matching run than the crosswalk has now, and so are the consents kept here",
                    register.name
                ))
                .hint(first(register)));
        }
        Ok(Self {
            resumed: consents.register() != newest,
            consents,
            newest,
        })
    }

    /// Those of a register that is kept no longer: no version follows, and its files may be gone.
    fn last(consents: Consents, newest: Option<ManifestDigest>) -> Self {
        let known = [Some(consents.register()), consents.follows()];
        let sealed = newest.filter(|newest| known.contains(&Some(*newest)));
        let newest = sealed.unwrap_or(consents.register());
        Self {
            consents: consents.sealed_with(newest, newest),
            newest,
            resumed: false,
        }
    }

    fn other(what: &str, register: &DatasetSpec) -> Failure {
        Failure::failed(what)
            .why(format!(
                "the consents kept here are not those of the version of `{}` that is sealed here",
                register.name
            ))
            .hint(first(register))
    }
}

fn first(register: &DatasetSpec) -> String {
    format!(
        "seal `{}` first: it says what each person agreed to",
        register.name
    )
}

/// The data sets that were sealed by the register `spec` as it was before: they open nothing
/// until they are sealed again.
pub fn to_seal_again(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
) -> Vec<DatasetName> {
    // One that cannot be read is to be sealed again too.
    let sealed = |name: &&DatasetName| !matches!(read_manifest(folder, agreement, name), Ok(None));
    sealed_by(agreement, spec).filter(sealed).cloned().collect()
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
