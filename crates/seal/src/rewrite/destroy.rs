//! Purpose keys that have had their time.

use incamera_types::{AgreementId, DatasetName};

use crate::manifest::Manifest;
use crate::ring::{KeyRing, PurposeSlot, RingError};

/// Destroys the purpose keys of a data set that its manifest `newest` has left behind: those of
/// earlier key epochs, and of purposes revoked. Gives how many.
///
/// Call it when the manifest is in its place, and again whenever the data set is worked on: a
/// crash in between leaves keys that the next call destroys. Keys of later epochs stay, because
/// a version under way may be wrapped with them.
///
/// # Errors
/// [`RingError`]; then call again.
pub fn destroy_superseded(ring: &mut KeyRing, newest: &Manifest) -> Result<usize, RingError> {
    let epoch = newest.key_epoch();
    destroy(ring, newest.agreement_id(), newest.dataset(), |slot| {
        slot.key_epoch < epoch
            || slot.key_epoch == epoch && newest.revoked().contains(&slot.purpose)
    })
}

/// [`destroy_superseded`], and keys of purposes revoked of later key epochs too: a version that
/// was never finished may have left them, and none is under way beside the one just made.
pub(super) fn destroy_left(ring: &mut KeyRing, newest: &Manifest) -> Result<usize, RingError> {
    let epoch = newest.key_epoch();
    destroy(ring, newest.agreement_id(), newest.dataset(), |slot| {
        slot.key_epoch < epoch || newest.revoked().contains(&slot.purpose)
    })
}

/// Destroys all purpose keys of a data set: its time is over. Gives how many.
///
/// # Errors
/// As [`destroy_superseded`].
pub fn destroy_all(
    ring: &mut KeyRing,
    agreement_id: &AgreementId,
    dataset: &DatasetName,
) -> Result<usize, RingError> {
    destroy(ring, agreement_id, dataset, |_| true)
}

fn destroy(
    ring: &mut KeyRing,
    agreement_id: &AgreementId,
    dataset: &DatasetName,
    which: impl Fn(&PurposeSlot) -> bool,
) -> Result<usize, RingError> {
    let slots = ring.purpose_slots(agreement_id, dataset);
    if !slots.iter().any(&which) {
        return Ok(0);
    }
    ring.destroy_purpose_keys(|slot| {
        slot.agreement_id == *agreement_id && slot.dataset == *dataset && which(slot)
    })
}
