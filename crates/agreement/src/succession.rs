//! What became of purposes that stood in an earlier version and are gone: renamed, split or
//! merged, as `replaces` says.

use std::collections::BTreeMap;
use std::fmt;

use incamera_types::PurposeName;

use crate::Terms;
use crate::page::and;

/// What became of a purpose that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Succession {
    /// The purpose of an earlier version.
    pub gone: PurposeName,
    /// The purposes that say that they replace it, in order of name; at least one.
    pub successors: Vec<PurposeName>,
    /// What the successor replaces besides, where there is one successor.
    pub merged_with: Vec<PurposeName>,
    /// The version that says so.
    pub version: u64,
}

impl Succession {
    /// The one new name of the purpose, if nothing else about it changed.
    #[must_use]
    pub fn renamed(&self) -> Option<&PurposeName> {
        match (self.successors.as_slice(), self.merged_with.as_slice()) {
            ([only], []) => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for Succession {
    /// ``purpose `old` is now `new` since version 2``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |names: &[PurposeName]| and(names.iter().map(|name| format!("`{name}`")));
        let (gone, version) = (&self.gone, self.version);
        let successors = quoted(&self.successors);
        match (self.renamed(), self.merged_with.as_slice()) {
            (Some(_), _) => write!(f, "purpose `{gone}` is now {successors}")?,
            (None, []) => write!(f, "purpose `{gone}` is split into {successors}")?,
            (None, others) => {
                let others = quoted(others);
                write!(
                    f,
                    "purpose `{gone}` is merged with {others} into {successors}"
                )?;
            }
        }
        write!(f, " since version {version}")
    }
}

impl Terms {
    /// What became of a purpose that is gone; nothing for one that stands here, and for one that
    /// no purpose says it replaces.
    #[must_use]
    pub fn succession(&self, gone: &PurposeName) -> Option<Succession> {
        let of = |(name, purpose): (&PurposeName, &crate::Purpose)| {
            purpose.replaces.contains(gone).then(|| name.clone())
        };
        let successors: Vec<PurposeName> = self.purposes.iter().filter_map(of).collect();
        let merged_with = match successors.as_slice() {
            [] => return None,
            [only] => self
                .replaced_by(only)
                .filter(|name| *name != gone)
                .cloned()
                .collect(),
            _ => Vec::new(),
        };
        Some(Succession {
            gone: gone.clone(),
            successors,
            merged_with,
            version: self.version,
        })
    }

    fn replaced_by(&self, purpose: &PurposeName) -> impl Iterator<Item = &PurposeName> {
        let purpose = self.purposes.get(purpose).into_iter();
        purpose.flat_map(|purpose| purpose.replaces.iter())
    }

    /// Every name under which a file may say what a person agreed to, and the leaf that it
    /// counts for: each leaf by its own name, and by its old one if it was renamed and nothing
    /// else. To what was split or merged nobody has agreed yet, so its old name counts for
    /// nothing.
    #[must_use]
    pub fn consent_names(&self) -> BTreeMap<PurposeName, PurposeName> {
        let mut names = BTreeMap::new();
        for leaf in self.leaf_purposes().iter() {
            names.insert(leaf.clone(), leaf.clone());
            for gone in self.replaced_by(leaf) {
                let succession = self.succession(gone);
                if succession.is_some_and(|succession| succession.renamed().is_some()) {
                    names.insert(gone.clone(), leaf.clone());
                }
            }
        }
        names
    }

    /// The old names among [`Self::consent_names`].
    #[must_use]
    pub fn renamed_purposes(&self) -> BTreeMap<PurposeName, PurposeName> {
        let mut names = self.consent_names();
        names.retain(|old, new| old != new);
        names
    }

    /// What `replaces` says that is not so, of the version before: a clause each.
    ///
    /// A purpose that stood already cannot replace another: who agreed to the one has not
    /// agreed to the other. Nor can one that never stood be replaced. What the version before
    /// said already was looked at then.
    #[must_use]
    pub fn false_successions(&self, before: &Terms) -> Vec<String> {
        let mut claims = Vec::new();
        for (name, purpose) in &self.purposes {
            let stood = before.purposes.get(name);
            for gone in &purpose.replaces {
                if stood.is_some_and(|stood| stood.replaces.contains(gone)) {
                    continue;
                }
                let version = before.version;
                if stood.is_some() {
                    claims.push(format!(
                        "purpose `{name}` stood in version {version} already, so it cannot replace `{gone}`: who agreed to `{gone}` has not agreed to it; give what takes the place of both a new name"
                    ));
                } else if !before.purposes.contains_key(gone) && !before.replaced(gone) {
                    claims.push(format!(
                        "purpose `{name}` is said to replace `{gone}`, which is no purpose of version {version}"
                    ));
                }
            }
        }
        claims
    }

    fn replaced(&self, gone: &PurposeName) -> bool {
        let mut purposes = self.purposes.values();
        purposes.any(|purpose| purpose.replaces.contains(gone))
    }
}
