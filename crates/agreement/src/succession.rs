//! What became of purposes that stood in an earlier version and are gone: renamed, split or
//! merged, as `replaces` says.

use std::collections::BTreeMap;
use std::fmt;

use incamera_types::{PurposeName, PurposeSet};

use crate::Terms;
use crate::providers::Providers;
use incamera_types::and;

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

    /// Purposes of this version or earlier ones by the names of this one: a leaf that was renamed
    /// by its new name, all else as it is.
    #[must_use]
    pub fn named_now(&self, purposes: &PurposeSet) -> PurposeSet {
        let names = self.renamed_purposes();
        let now = |name: &PurposeName| names.get(name).unwrap_or(name).clone();
        purposes.iter().map(now).collect()
    }

    /// What the version says of purposes that is not so, by the versions before it, and whether
    /// it changes inside a matching epoch how ids are written or matched, or who evaluates them:
    /// a clause each. `before` is the one that it follows, `earlier` are those before that one.
    ///
    /// A purpose that stood already cannot replace another: who agreed to the one has not
    /// agreed to the other. Nor can one that never stood be replaced, or one that another
    /// replaced already. And a name that is gone does not stand again: files and sealed data
    /// that say it would count for what it means now. What the version before said already was
    /// looked at then.
    #[must_use]
    pub fn false_successions<'a>(
        &self,
        before: &Terms,
        earlier: impl IntoIterator<Item = &'a Terms>,
    ) -> Vec<String> {
        let mut claims: Vec<String> = Vec::new();
        for (name, purpose) in &self.purposes {
            let of = |gone| self.false_claim(name, gone, before);
            claims.extend(purpose.replaces.iter().filter_map(of));
        }
        let mut all: Vec<&Terms> = earlier.into_iter().collect();
        all.push(before);
        let new = self.purposes.keys();
        for name in new.filter(|name| !before.purposes.contains_key(*name)) {
            let knew = |terms: &&&Terms| terms.purposes.contains_key(name) || terms.replaced(name);
            if let Some(knew) = all.iter().find(knew) {
                claims.push(format!(
                    "the name `{name}` is used again: version {} knows a purpose of that name, which is gone since, and who agreed to that one would count as having agreed to this; give it a new name",
                    knew.version
                ));
            }
        }
        claims.extend(self.same_epoch(before));
        claims.extend(self.same_key(before));
        claims
    }

    /// Why one matching epoch would hold two pseudonyms of one person: ids written by other
    /// rules, or matched under other keys.
    fn same_epoch(&self, before: &Terms) -> Option<String> {
        let (old, new) = (&before.matching, &self.matching);
        if new.epoch < old.epoch {
            return Some(format!(
                "the matching epoch goes back from that of version {}: an epoch that was has other pseudonyms; write epoch = {} or more",
                before.version, old.epoch.0
            ));
        }
        let what = if (old.method, old.reveals) != (new.method, new.reveals) {
            "people are matched otherwise (`method`, `reveals`), so under other keys,"
        } else if old.rules != new.rules || old.hashed != new.hashed {
            "ids are written by other rules"
        } else {
            return None;
        };
        (old.epoch >= new.epoch).then(|| {
            format!(
                "{what} than in version {}, and the matching epoch is not raised: one person would have two pseudonyms in it; write epoch = {}, and match and seal again",
                before.version,
                old.epoch.0.saturating_add(1)
            )
        })
    }

    /// Why the providers of one matching epoch would need two keys.
    fn same_key(&self, before: &Terms) -> Option<String> {
        let (old, new) = (&before.matching, &self.matching);
        let [before_key, key] =
            [old, new].map(|of| of.providers.as_ref().map(Providers::key_terms));
        // A statement names the service keys that sign it, and each of them has a share.
        let same = before_key == key && before.provider_keys() == self.provider_keys();
        (!same && old.epoch >= new.epoch).then(|| {
            format!(
                "`providers`, their service keys, `threshold` or `key_days` are not those of version {}, and the matching epoch is not raised: the key of an epoch stays with its holders; write epoch = {}, and match and seal again",
                before.version,
                old.epoch.0.saturating_add(1)
            )
        })
    }

    /// Why `name` cannot replace `gone`.
    fn false_claim(
        &self,
        name: &PurposeName,
        gone: &PurposeName,
        before: &Terms,
    ) -> Option<String> {
        let version = before.version;
        let told = before.succession(gone);
        let stood = before.purposes.get(name);
        if stood.is_some_and(|stood| stood.replaces.contains(gone)) {
            let now = self.succession(gone)?;
            let carries = now.renamed().is_some();
            return told.filter(|told| carries && told.renamed().is_none()).map(|told| {
                format!(
                    "purpose `{name}` is said to be `{gone}` under a new name, but {told}: nobody agreed to it by agreeing to `{gone}`; let `replaces` say what it said, or nothing"
                )
            });
        }
        if stood.is_some() {
            return Some(format!(
                "purpose `{name}` stood in version {version} already, so it cannot replace `{gone}`: who agreed to `{gone}` has not agreed to it; give what takes the place of both a new name"
            ));
        }
        if before.purposes.contains_key(gone) {
            return None;
        }
        let Some(told) = told else {
            return Some(format!(
                "purpose `{name}` is said to replace `{gone}`, which is no purpose of version {version}"
            ));
        };
        // Only what replaces all that took its place can go on from it.
        let takes_over = |heir: &PurposeName| {
            !self.purposes.contains_key(heir) && self.replaced_by(name).any(|one| one == heir)
        };
        (!told.successors.iter().all(takes_over)).then(|| {
            format!(
                "purpose `{name}` is said to replace `{gone}`, but {told}: who agreed to `{gone}` has not agreed to `{name}`; take `{gone}` out of its `replaces`"
            )
        })
    }

    fn replaced(&self, gone: &PurposeName) -> bool {
        let mut purposes = self.purposes.values();
        purposes.any(|purpose| purpose.replaces.contains(gone))
    }
}
