//! An owner's own keys of its people, where these have several kinds of id.
//!
//! # What it is
//! `incamera-person/1`: the first 16 bytes of HMAC-SHA256 over the text by which the owner knows
//! a person (a customer number, say), as it stands in the owner's file. The HMAC's key is
//! HKDF-SHA256 with that label of a secret that the owner's key ring holds for this agreement
//! and matching epoch alone. So the keys mean nothing to others, and another agreement's are
//! others; nobody who has them and the numbers can tell which is which without the ring.

use hmac::{Hmac, KeyInit as _, Mac as _};
use incamera_keys::Secret32;
use incamera_types::{AgreementId, MatchingEpoch, Pseudonym};
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::ring::{KeyRing, MatchingSlot, RingError};

const LABEL: &str = "incamera-person/1";
/// In the place of a protocol's name and of the kind of id.
const SLOT: &str = "person";

/// What makes an owner's own keys of people.
#[derive(Debug)]
pub struct PersonKeys(Secret32);

impl PersonKeys {
    /// The key of whom the owner knows by this text.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<Pseudonym> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).ok()?;
        mac.update(id.as_bytes());
        let code = mac.finalize().into_bytes();
        let code = code.as_slice().get(..Pseudonym::BYTES)?;
        Some(Pseudonym::from_bytes(code.try_into().ok()?))
    }
}

impl KeyRing {
    /// What makes the owner's own keys of people for an agreement and epoch, made durably if
    /// there is none.
    ///
    /// # Errors
    /// As [`KeyRing::matching_secret_or_new`].
    pub fn person_keys_or_new(
        &mut self,
        agreement_id: AgreementId,
        epoch: MatchingEpoch,
        rng: &mut impl CryptoRng,
    ) -> Result<PersonKeys, RingError> {
        let slot = slot(agreement_id, epoch)?;
        let secret = self.matching_secret_or_new(&slot, rng)?;
        Ok(PersonKeys(secret.key().derive(LABEL)))
    }

    /// What made them, where there is one.
    #[must_use]
    pub fn person_keys(
        &self,
        agreement_id: AgreementId,
        epoch: MatchingEpoch,
    ) -> Option<PersonKeys> {
        let slot = slot(agreement_id, epoch).ok()?;
        let secret = self.matching_secret(&slot)?;
        Some(PersonKeys(secret.key().derive(LABEL)))
    }
}

fn slot(agreement_id: AgreementId, epoch: MatchingEpoch) -> Result<MatchingSlot, RingError> {
    Ok(MatchingSlot {
        agreement_id,
        epoch,
        id_kind: SLOT.parse().map_err(|_| RingError::NoMatchingSecret)?,
        method: SLOT.into(),
        reveals: SLOT.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_keys_are_of_the_secret_and_of_the_number() {
        let of = |secret: u8| PersonKeys(Secret32::from_bytes([secret; 32]));
        let key = of(1).key("A-17").unwrap();
        assert_eq!(of(1).key("A-17"), Some(key));
        assert_ne!(of(1).key("A-18"), Some(key));
        assert_ne!(of(2).key("A-17"), Some(key));
        // Python: hmac.new(bytes([1]) * 32, b"A-17", "sha256").hexdigest()[:32]
        assert_eq!(
            hex::encode(key.as_bytes()),
            "bb6e1c74f1a3092bdf3f0c731e1e5c7b"
        );
    }
}
