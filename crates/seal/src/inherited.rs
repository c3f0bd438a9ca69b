//! What a version takes over from the one before, besides rows.

use std::collections::BTreeMap;

use incamera_types::{PurposeName, PurposeSet};

use crate::manifest::{Manifest, Removal};

/// What a version takes over from the one before, besides rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Purposes that stay revoked.
    pub revoked: PurposeSet,
    /// Purposes that were revoked, and the version that gave each back.
    pub restored: BTreeMap<PurposeName, u64>,
    /// The versions that took something away.
    pub removals: Vec<Removal>,
}

impl Inherited {
    /// Gives these purposes back, in the version that `version` is.
    pub fn restore(&mut self, purposes: &[PurposeName], version: u64) {
        let left = self.revoked.iter().filter(|one| !purposes.contains(one));
        self.revoked = left.cloned().collect();
        let given = purposes.iter().map(|one| (one.clone(), version));
        self.restored.extend(given);
    }

    /// The same by the names that purposes have now: `now` gives them.
    #[must_use]
    pub fn named(mut self, now: impl Fn(&PurposeSet) -> PurposeSet) -> Self {
        self.revoked = now(&self.revoked);
        let mut restored = BTreeMap::new();
        for (old, version) in self.restored {
            for name in now(&std::iter::once(old).collect()).iter() {
                let at: &mut u64 = restored.entry(name.clone()).or_default();
                *at = version.max(*at);
            }
        }
        self.restored = restored;
        self
    }

    /// What was revoked by `version`, unless a later one gave it back, is revoked besides.
    #[must_use]
    pub fn beside(mut self, revoked: &PurposeSet, version: u64) -> Self {
        let back = self.restored.iter().filter(|(_, at)| **at > version);
        let back: PurposeSet = back.map(|(name, _)| name.clone()).collect();
        self.revoked = self.revoked.union(&revoked.difference(&back));
        self
    }

    /// All that `manifest` hands on.
    #[must_use]
    pub fn from(manifest: &Manifest) -> Self {
        Self {
            revoked: manifest.revoked().clone(),
            restored: manifest.restored().clone(),
            removals: manifest.removals().to_vec(),
        }
    }
}
