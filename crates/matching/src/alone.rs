//! `method = "none"`: one party, whose ids become pseudonyms under a key of its own.
//!
//! Nobody else is asked and nothing is sent. A pseudonym is the first half of an HMAC-SHA256 of
//! the id, under a key made of the party's matching secret for agreement id, epoch and id kind:
//! whoever does not have the key ring can neither try ids nor tell two agreements' pseudonyms of
//! one person apart from those of two.

use std::fmt;

use hmac::{Hmac, Mac as _};
use incamera_keys::MatchingKey;
use incamera_types::{AgreementId, IdKind, MatchingEpoch, Pseudonym};
use sha2::Sha256;

use crate::terms::{first_16, hmac};

/// What the key of the pseudonyms is made for.
const LABEL: &str = "incamera-pseudonym-alone/1";

/// Makes the pseudonyms of a party alone.
#[derive(Clone)]
pub struct Alone(Hmac<Sha256>);

impl Alone {
    /// What the key of the ring makes of ids of this kind, in this epoch of this agreement.
    #[must_use]
    pub fn new(
        key: &MatchingKey,
        agreement_id: &AgreementId,
        epoch: MatchingEpoch,
        id_kind: &IdKind,
    ) -> Self {
        let epoch = epoch.0.to_be_bytes();
        let fields = [agreement_id.as_ref(), &epoch, id_kind.as_str().as_bytes()];
        Self(hmac(key.derive_for(LABEL, &fields).expose()))
    }

    /// The pseudonym of a normalised id.
    #[must_use]
    pub fn pseudonym(&self, id: &str) -> Pseudonym {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        Pseudonym::from_bytes(first_16(&mac.finalize().into_bytes().into()))
    }
}

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alone(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use incamera_keys::Secret32;
    use incamera_types::Digest as _;

    fn alone(key: u8, agreement: u8, epoch: u32, kind: &str) -> Alone {
        Alone::new(
            &MatchingKey::from(Secret32::from_bytes([key; 32])),
            &AgreementId::from_bytes([agreement; 32]),
            MatchingEpoch(epoch),
            &kind.parse().unwrap(),
        )
    }

    #[test]
    fn each_field_separates_pseudonyms() {
        let of = |alone: Alone| alone.pseudonym("a@b.example");
        let one = of(alone(1, 2, 3, "email"));
        assert_eq!(of(alone(1, 2, 3, "email")), one);
        assert_ne!(alone(1, 2, 3, "email").pseudonym("a@c.example"), one);
        for other in [
            alone(9, 2, 3, "email"),
            alone(1, 9, 3, "email"),
            alone(1, 2, 9, "email"),
            alone(1, 2, 3, "plain"),
        ] {
            assert_ne!(of(other), one);
        }
    }

    /// Made by `vectors/alone.py`.
    #[test]
    fn the_vectors_are_met() {
        let text = include_str!("../vectors/alone.txt");
        let (_, body) = text.split_once("\n\n").unwrap();
        for line in body.lines() {
            let [key, agreement, epoch, kind, id, pseudonym] =
                line.split('|').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            let alone = alone(
                key.parse().unwrap(),
                agreement.parse().unwrap(),
                epoch.parse().unwrap(),
                kind,
            );
            let found = hex::encode(alone.pseudonym(id).as_bytes());
            assert_eq!(found, pseudonym, "{line}");
        }
        assert_eq!(body.lines().count(), 5);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", alone(1, 2, 3, "email")), "Alone(..)");
    }
}
