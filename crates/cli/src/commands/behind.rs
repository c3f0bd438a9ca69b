//! After `data push`: data sets that open nothing, as they and the register that they are sealed
//! by do not name each other.

use incamera_agreement::Agreement;
use incamera_seal::SignedManifest;
use incamera_types::{DatasetName, DatasetSpec, ManifestDigest};
use serde_json::{Value, json};

use super::data::read_manifest;
use super::register::register_of;
use super::status;
use crate::folder::Folder;

/// A data set that opens nothing until something is done.
pub struct Behind {
    dataset: DatasetName,
    register: DatasetName,
    to_do: String,
}

impl Behind {
    /// For people.
    pub fn text(&self) -> String {
        let Self {
            dataset,
            register,
            to_do,
        } = self;
        format!(
            "`{dataset}` opens nothing: it was sealed by the consents of another version of `{register}` than the newest that was pushed; {to_do}"
        )
    }

    /// For programs.
    pub fn document(&self) -> Value {
        json!({ "dataset": self.dataset, "register": self.register, "to_do": self.to_do })
    }
}

/// The party's own data sets, as they are and as they were pushed.
struct Sets<'a> {
    folder: &'a Folder,
    agreement: &'a Agreement,
    pushed: &'a [SignedManifest],
}

/// Which of the party's data sets open nothing after `pushed` was pushed, of those that have to
/// do with it. What the service cannot be asked about is left out.
pub fn after_push(
    folder: &Folder,
    agreement: &Agreement,
    pushed: &[SignedManifest],
) -> Vec<Behind> {
    let sets = Sets {
        folder,
        agreement,
        pushed,
    };
    let own = agreement.datasets.values();
    let own = own.filter(|spec| &spec.owner == folder.name());
    own.filter_map(|spec| sets.behind(spec)).collect()
}

impl Sets<'_> {
    fn behind(&self, spec: &DatasetSpec) -> Option<Behind> {
        let register = register_of(self.agreement, spec)?;
        let concerned = [&spec.name, &register.name];
        if register.name == spec.name || !concerned.iter().any(|name| self.now(name).is_some()) {
            return None;
        }
        let (newest, consents) = (self.newest(&spec.name)?, self.newest(&register.name));
        let consents = consents.map(|consents| consents.digest());
        if consents.is_some() && newest.register() == consents {
            return None;
        }
        Some(Behind {
            dataset: spec.name.clone(),
            register: register.name.clone(),
            to_do: self.to_do(spec, register, consents),
        })
    }

    fn now(&self, name: &DatasetName) -> Option<&SignedManifest> {
        self.pushed.iter().find(|pushed| pushed.dataset() == name)
    }

    /// The newest version that the party's service knows.
    fn newest(&self, name: &DatasetName) -> Option<SignedManifest> {
        let known = || status::newest_manifest(self.folder, &self.agreement.id, name);
        self.now(name).cloned().or_else(|| known().ok().flatten())
    }

    fn to_do(
        &self,
        spec: &DatasetSpec,
        register: &DatasetSpec,
        consents: Option<ManifestDigest>,
    ) -> String {
        let here = |name| {
            read_manifest(self.folder, self.agreement, name)
                .ok()
                .flatten()
        };
        let by = here(&spec.name).and_then(|manifest| manifest.register());
        let beside = here(&register.name).map(|manifest| manifest.digest());
        if by.is_some() && by == consents {
            format!("push it too: `incamera data push {}`", spec.name)
        } else if by.is_some() && by == beside {
            format!("push `{0}` too: `incamera data push {0}`", register.name)
        } else {
            format!(
                "run `incamera data retag`, or seal it again, then `incamera data push {}`",
                spec.name
            )
        }
    }
}
