//! The matching protocol's formulas, written a second time from its description.
//!
//! Tests compare it with real crosswalks before they rely on it, so that it cannot go stale.

use hkdf::Hkdf;
use incamera_group::{EncodedPoint, Scalar, hash_to_group, multiply_batch};
use incamera_keys::Secret32;
use incamera_seal::{KeyRing, MatchingSlot};
use sha2::{Digest as _, Sha256};

/// What a party can compute under one agreement id, epoch and id kind.
pub struct Oracle(MatchingSlot);

impl Oracle {
    pub fn new(slot: MatchingSlot) -> Self {
        Self(slot)
    }

    /// Fields, each after its length in one byte.
    fn list(fields: &[&[u8]]) -> Vec<u8> {
        let prefixed = |field: &&[u8]| [&[u8::try_from(field.len()).unwrap()], *field].concat();
        fields.iter().flat_map(prefixed).collect()
    }

    fn tag(&self, label: &str) -> Vec<u8> {
        Self::list(&[
            label.as_bytes(),
            self.0.agreement_id.as_ref(),
            &self.0.epoch.0.to_be_bytes(),
            self.0.id_kind.as_str().as_bytes(),
            self.0.method.as_bytes(),
            self.0.reveals.as_bytes(),
        ])
    }

    /// `H(id)`.
    pub fn point(&self, id: &str) -> EncodedPoint {
        hash_to_group(&self.tag("incamera-matching-hash/1"), id.as_bytes())
            .unwrap()
            .encode()
    }

    /// A party's lasting secret.
    pub fn secret(&self, ring: &KeyRing) -> Scalar {
        let key = ring.matching_secret(&self.0).unwrap().key();
        Scalar::from_secret(&self.tag("incamera-matching-secret/1"), key.expose())
    }

    /// What own points go out under in a run with this seed over this input.
    pub fn blinding(&self, seed: &[u8; 32], input: &[u8]) -> Scalar {
        let label = "incamera-match-run/1";
        let keys = Secret32::from_bytes(*seed).derive_for(label, &[input]);
        Scalar::from_secret(&self.tag(label), keys.expose())
    }

    /// What a point stands for, were it `H(id)^(kA kB)`.
    pub fn pseudonym(&self, point: &EncodedPoint) -> [u8; 16] {
        self.derived(point.as_bytes())
    }

    /// What travels of such a point where own matches are revealed.
    pub fn match_tag(&self, point: &EncodedPoint) -> [u8; 16] {
        let fields = Self::list(&[
            b"incamera-matching-tag/1",
            self.0.agreement_id.as_ref(),
            &self.0.epoch.0.to_be_bytes(),
            self.0.id_kind.as_str().as_bytes(),
        ]);
        let hash = Sha256::new_with_prefix(fields).chain_update(point.as_bytes());
        *hash.finalize().first_chunk().unwrap()
    }

    /// What a point stands for there.
    pub fn revealing_pseudonym(&self, point: &EncodedPoint) -> [u8; 16] {
        self.derived(&self.match_tag(point))
    }

    fn derived(&self, material: &[u8]) -> [u8; 16] {
        let info = Self::list(&[
            self.0.agreement_id.as_ref(),
            &self.0.epoch.0.to_be_bytes(),
            self.0.id_kind.as_str().as_bytes(),
        ]);
        let kdf = Hkdf::<Sha256>::new(Some(b"incamera-pseudonym/1"), material);
        let mut bytes = [0; 16];
        kdf.expand(&info, &mut bytes).unwrap();
        bytes
    }
}

/// A point times a scalar; none if it is no point.
pub fn raise(point: &EncodedPoint, scalar: &Scalar) -> Option<EncodedPoint> {
    multiply_batch(&[*point], scalar).ok()?.first().copied()
}
