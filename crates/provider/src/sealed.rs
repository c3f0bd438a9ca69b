//! Shares at rest: under a key that the provider's key ring has.

use incamera_group::Scalar;
use incamera_keys::{Secret32, aead};
use incamera_oprf::lagrange::Place;
use incamera_oprf::shares::Share;
use incamera_types::Digest as _;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::store::Matter;

/// What a share is sealed under, and bound to.
const LABEL: &str = "incamera-provider-share/1";

/// The key that shares are sealed under: of the provider's key ring.
pub struct ShareKey(Secret32);

impl ShareKey {
    /// Takes the secret that only the provider's key ring has.
    #[must_use]
    pub fn new(secret: Secret32) -> Self {
        Self(secret)
    }

    pub(crate) fn seal(
        &self,
        matter: &Matter,
        number: u64,
        share: &Share,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let (key, bound) = self.of(matter, number, share.place());
        let secret = share.secret().to_canonical_bytes();
        aead::seal(&key, &bound, secret.as_slice(), rng)
    }

    /// None if it is another share's, or was changed.
    pub(crate) fn open(
        &self,
        matter: &Matter,
        number: u64,
        place: Place,
        sealed: &[u8],
    ) -> Option<Share> {
        let (key, bound) = self.of(matter, number, place);
        let plain = aead::open(&key, &bound, sealed).ok()?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?);
        let secret = Scalar::from_canonical_bytes(*bytes).ok()?;
        Some(Share::new(place, secret))
    }

    fn of(&self, matter: &Matter, number: u64, place: Place) -> (Secret32, Vec<u8>) {
        let (epoch, number) = (matter.epoch.0.to_be_bytes(), number.to_be_bytes());
        let place = place.get().to_be_bytes();
        let id = matter.agreement_id.as_bytes();
        let fields: [&[u8]; 4] = [id, &epoch, &number, &place];
        let key = self.0.derive_for(LABEL, &fields);
        (
            key,
            [&[LABEL.as_bytes()], fields.as_slice()].concat().concat(),
        )
    }
}

impl std::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareKey(..)")
    }
}
