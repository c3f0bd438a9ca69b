//! Matching secrets in a key ring, and how often they were used.

use incamera_keys::{MatchingKey, SeedKey};
use incamera_types::{AgreementId, IdKind, MatchingEpoch};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::{KeyRing, RingError};

/// What a matching secret is for; in another slot there is another secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchingSlot {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The matching epoch.
    pub epoch: MatchingEpoch,
    /// The kind of identifier.
    pub id_kind: IdKind,
    /// The protocol, by the agreement's name for it.
    pub method: String,
    /// What it reveals, by the agreement's name for it.
    pub reveals: String,
}

/// A matching secret and how often it was used.
#[derive(Debug)]
pub struct MatchingSecret {
    pub(super) key: MatchingKey,
    pub(super) runs: u32,
}

/// What a secret is derived for that no file holds yet.
const DERIVED: &str = "incamera-ring-matching/1";

impl MatchingSecret {
    fn derived(seed_key: &SeedKey, slot: &MatchingSlot) -> Self {
        let epoch = slot.epoch.0.to_be_bytes();
        let fields: [&[u8]; 5] = [
            slot.agreement_id.as_ref(),
            &epoch,
            slot.id_kind.as_str().as_bytes(),
            slot.method.as_bytes(),
            slot.reveals.as_bytes(),
        ];
        let derived = seed_key.as_ref().derive_for(DERIVED, &fields);
        Self {
            key: MatchingKey::from_bytes(*derived.expose()),
            runs: 0,
        }
    }

    /// The secret.
    #[must_use]
    pub fn key(&self) -> &MatchingKey {
        &self.key
    }

    /// Runs counted so far.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.runs
    }
}

impl KeyRing {
    /// The matching secret of `slot`, where there is one.
    #[must_use]
    pub fn matching_secret(&self, slot: &MatchingSlot) -> Option<&MatchingSecret> {
        self.contents.matching.get(slot)
    }

    /// The matching secret of `slot`, made if there is none.
    ///
    /// # Errors
    /// As [`KeyRing::ensure_purpose_keys`].
    pub fn matching_secret_or_new(
        &mut self,
        slot: &MatchingSlot,
        rng: &mut impl CryptoRng,
    ) -> Result<&MatchingSecret, RingError> {
        if !self.contents.matching.contains_key(slot) {
            self.change(|contents, _| {
                let new = || MatchingSecret {
                    key: MatchingKey::generate(rng),
                    runs: 0,
                };
                contents.matching.entry(slot.clone()).or_insert_with(new);
                Ok(())
            })?;
        }
        self.matching_secret(slot)
            .ok_or(RingError::NoMatchingSecret)
    }

    /// The matching secret of `slot` and its runs; where there is none, one that hangs on the seed
    /// key, and none. For methods whose pseudonyms do not come of it: a first run then leaves the
    /// ring as it is, which takes less time than writing it.
    #[must_use]
    pub fn matching_secret_or_derived(&self, slot: &MatchingSlot) -> MatchingSecret {
        match self.contents.matching.get(slot) {
            Some(secret) => MatchingSecret {
                key: MatchingKey::from_bytes(*secret.key.expose()),
                runs: secret.runs,
            },
            None => MatchingSecret::derived(&self.contents.seed_key, slot),
        }
    }

    /// As [`KeyRing::count_matching_runs`] of the secret that
    /// [`KeyRing::matching_secret_or_derived`] gives, which is kept from now on.
    ///
    /// # Errors
    /// As [`KeyRing::ensure_purpose_keys`].
    pub fn count_derived_runs(&mut self, slot: &MatchingSlot, runs: u32) -> Result<u32, RingError> {
        self.change(|contents, _| {
            let derived = MatchingSecret::derived(&contents.seed_key, slot);
            let secret = contents.matching.entry(slot.clone()).or_insert(derived);
            secret.runs = secret.runs.max(runs);
            Ok(secret.runs)
        })
    }

    /// Takes note, durably, that at least `runs` runs were made with the secret of `slot`, and
    /// gives the runs known now. They are counted elsewhere as they begin: a ring that is
    /// written takes memory and time.
    ///
    /// # Errors
    /// [`RingError::NoMatchingSecret`], and as [`KeyRing::ensure_purpose_keys`].
    pub fn count_matching_runs(
        &mut self,
        slot: &MatchingSlot,
        runs: u32,
    ) -> Result<u32, RingError> {
        self.change(|contents, _| {
            let secret = contents.matching.get_mut(slot);
            let secret = secret.ok_or(RingError::NoMatchingSecret)?;
            secret.runs = secret.runs.max(runs);
            Ok(secret.runs)
        })
    }
}
