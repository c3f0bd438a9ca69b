//! The owner's own data keys, opened by any purpose that opens them, and wrapped anew.

use std::collections::BTreeSet;

use incamera_keys::DataKey;
use incamera_types::{ColumnName, FileId, PurposeName, PurposeSet};
use incamera_wire::v1 as wire;
use rand_core::CryptoRng;

use super::RewriteError;
use crate::labels::WrapPlace;
use crate::manifest::{Manifest, Part, SealedKey, Wrap};
use crate::plan::KeyPlan;
use crate::ring::{KeyRing, UnwrapError};
use crate::unwrap::{GrantedKey, PartKeys, committed};

/// Opens the data keys of an own data set.
pub(super) struct Opener<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) ring: &'a KeyRing,
}

impl Opener<'_> {
    /// The key, by the first of its purposes that the ring has a key of; none if no purpose is
    /// left that opens it.
    fn key(&self, part: &Part, sealed: &SealedKey) -> Result<Option<DataKey>, RewriteError> {
        for wrap in &sealed.wraps {
            match self.unwrap(part, sealed, wrap) {
                Err(UnwrapError::NoKey) => {}
                Ok(key) if committed(part, sealed, &key) => return Ok(Some(key)),
                Ok(_) | Err(UnwrapError::Refused) => return Err(self.tampered(part)),
                Err(UnwrapError::Ring(error)) => return Err(error.into()),
            }
        }
        match sealed.wraps.is_empty() {
            true => Ok(None),
            false => Err(self.no_key()),
        }
    }

    fn unwrap(&self, part: &Part, sealed: &SealedKey, wrap: &Wrap) -> Result<DataKey, UnwrapError> {
        let epoch = self.manifest.key_epoch();
        let column = sealed.column.as_ref();
        let place = place(self.manifest, epoch, &part.file_id, column, &wrap.purpose);
        self.ring.unwrap(&place.slot(), &place.aad(), &wrap.wrapped)
    }

    /// Every key of the part that some purpose still opens: the footer's and those of columns.
    pub(super) fn part(&self, part: &Part) -> Result<PartKeys, RewriteError> {
        let mut keys = Vec::new();
        for sealed in &part.keys {
            let key = self.key(part, sealed)?;
            keys.extend(key.map(|key| GrantedKey {
                file_id: part.file_id,
                column: sealed.column.clone(),
                key,
            }));
        }
        PartKeys::check(part, keys).map_err(|_| self.tampered(part))
    }

    fn tampered(&self, part: &Part) -> RewriteError {
        RewriteError::Tampered {
            dataset: self.manifest.dataset().clone(),
            file_id: part.file_id,
        }
    }

    fn no_key(&self) -> RewriteError {
        RewriteError::NoPurposeKey {
            dataset: self.manifest.dataset().clone(),
            key_epoch: self.manifest.key_epoch(),
        }
    }

    /// Whether the ring has the keys of all `purposes` in the manifest's key epoch.
    pub(super) fn has(&self, purposes: &PurposeSet) -> Result<(), RewriteError> {
        match in_ring(self.manifest, purposes, self.ring) {
            true => Ok(()),
            false => Err(self.no_key()),
        }
    }

    /// The part as the next manifest names it, its file as it is: each key wrapped for the
    /// purposes of `plan`, under the purpose keys of `key_epoch`. Wraps that stay as they are,
    /// are kept.
    pub(super) fn rewrapped(
        &self,
        part: &Part,
        plan: &[KeyPlan],
        key_epoch: u32,
        rng: &mut impl CryptoRng,
    ) -> Result<wire::Part, RewriteError> {
        let nothing = PurposeSet::default();
        let mut keys = Vec::with_capacity(part.keys.len());
        for sealed in &part.keys {
            let planned = plan.iter().find(|planned| planned.column == sealed.column);
            let purposes = planned.map_or(&nothing, |planned| &planned.purposes);
            keys.push(SealedKey {
                wraps: self.wraps(part, sealed, purposes, key_epoch, rng)?,
                ..sealed.clone()
            });
        }
        Ok(wire::Part::from(&Part {
            keys,
            ..part.clone()
        }))
    }

    fn wraps(
        &self,
        part: &Part,
        sealed: &SealedKey,
        purposes: &PurposeSet,
        key_epoch: u32,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Wrap>, RewriteError> {
        let same = key_epoch == self.manifest.key_epoch();
        let before = |purpose: &PurposeName| {
            let mut wraps = sealed.wraps.iter().filter(|_| same);
            wraps.find(|wrap| &wrap.purpose == purpose).cloned()
        };
        let mut key = None;
        let mut wraps = Vec::with_capacity(purposes.len());
        for purpose in purposes.iter() {
            if let Some(wrap) = before(purpose) {
                wraps.push(wrap);
                continue;
            }
            if key.is_none() {
                key = self.key(part, sealed)?;
            }
            let opened = key.as_ref().ok_or_else(|| self.no_key())?;
            let column = sealed.column.as_ref();
            let place = place(self.manifest, key_epoch, &part.file_id, column, purpose);
            wraps.push(Wrap {
                purpose: purpose.clone(),
                wrapped: self.ring.wrap(&place.slot(), &place.aad(), opened, rng)?,
            });
        }
        Ok(wraps)
    }
}

/// Whether the ring has the keys of all `purposes` in the manifest's key epoch.
pub(crate) fn in_ring(manifest: &Manifest, purposes: &PurposeSet, ring: &KeyRing) -> bool {
    let slots = ring.purpose_slots(manifest.agreement_id(), manifest.dataset());
    let slots = slots.into_iter();
    let now = slots.filter(|slot| slot.key_epoch == manifest.key_epoch());
    let kept: PurposeSet = now.map(|slot| slot.purpose).collect();
    purposes.is_subset(&kept)
}

/// The purposes that something of the manifest's parts is wrapped for.
pub(crate) fn wrapped(manifest: &Manifest) -> PurposeSet {
    let footers = manifest.parts().iter().filter_map(|part| part.key(None));
    let mut purposes: BTreeSet<&PurposeName> = BTreeSet::new();
    for footer in footers {
        purposes.extend(footer.wraps.iter().map(|wrap| &wrap.purpose));
    }
    purposes.into_iter().cloned().collect()
}

fn place<'a>(
    manifest: &'a Manifest,
    key_epoch: u32,
    file_id: &'a FileId,
    column: Option<&'a ColumnName>,
    purpose: &'a PurposeName,
) -> WrapPlace<'a> {
    WrapPlace {
        agreement_id: manifest.agreement_id(),
        dataset: manifest.dataset(),
        key_epoch,
        file_id,
        column,
        purpose,
    }
}
