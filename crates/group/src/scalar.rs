//! Secret exponents.

use std::fmt;

use std::ops::Mul as _;

use curve25519_dalek::scalar::Scalar as Inner;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

/// The inverse of two modulo the group's order: `(order + 1) / 2`, little-endian.
const HALF: [u8; 32] = [
    0xf7, 0xe9, 0x7a, 0x2e, 0x8d, 0x31, 0x09, 0x2c, 0x6b, 0xce, 0x7b, 0x51, 0xef, 0x7c, 0x6f, 0x0a,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08,
];

/// Why bytes are not a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the canonical encoding of a scalar other than zero")]
pub struct ScalarError;

/// A secret integer from 1 to the group's order less 1.
///
/// Wiped when dropped; no `Clone`; `Debug` shows the kind alone.
pub struct Scalar(Inner);

impl Scalar {
    /// A uniformly random scalar.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut wide = Zeroizing::new([0_u8; 64]);
        loop {
            rng.fill_bytes(wide.as_mut_slice());
            let scalar = Inner::from_bytes_mod_order_wide(&wide);
            if scalar != Inner::ZERO {
                return Self(scalar);
            }
        }
    }

    /// The scalar that hangs on a 32-byte secret and a label.
    ///
    /// `SHA-512(len(label) label secret n)` reduced modulo the order, where the length has
    /// eight bytes, big-endian, and `n` is the first byte from 0 that does not give zero.
    #[must_use]
    pub fn from_secret(label: &[u8], secret: &[u8; 32]) -> Self {
        let mut scalar = Inner::ONE;
        for attempt in 0..=u8::MAX {
            let wide = Zeroizing::new(widen(label, secret, attempt));
            scalar = Inner::from_bytes_mod_order_wide(&wide);
            if scalar != Inner::ZERO {
                break;
            }
        }
        Self(scalar)
    }

    /// A scalar from its canonical little-endian encoding.
    ///
    /// # Errors
    /// [`ScalarError`] for zero and for anything not below the order.
    pub fn from_canonical_bytes(bytes: [u8; 32]) -> Result<Self, ScalarError> {
        let scalar: Option<Inner> = Inner::from_canonical_bytes(bytes).into();
        scalar
            .filter(|s| *s != Inner::ZERO)
            .map(Self)
            .ok_or(ScalarError)
    }

    /// The scalar that undoes this one.
    #[must_use]
    pub fn invert(&self) -> Self {
        Self(self.0.invert())
    }

    /// The product: multiplying by it is multiplying by both.
    #[must_use]
    pub fn multiply(&self, other: &Self) -> Self {
        Self((&self.0).mul(&other.0))
    }

    /// Half of it: what a batch multiplies by before the encoding doubles.
    pub(crate) fn half(&self) -> Zeroizing<Inner> {
        Zeroizing::new((&self.0).mul(&Inner::from_bytes_mod_order(HALF)))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

fn widen(label: &[u8], secret: &[u8; 32], attempt: u8) -> [u8; 64] {
    let mut hash = Sha512::new();
    hash.update((label.len() as u64).to_be_bytes());
    hash.update(label);
    hash.update(secret);
    hash.update([attempt]);
    hash.finalize().into()
}

impl Drop for Scalar {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_the_inverse_of_two() {
        let half = Inner::from_canonical_bytes(HALF).unwrap();
        assert_eq!(half + half, Inner::ONE);
    }

    #[test]
    fn inversion_undoes() {
        let scalar = Scalar::from_secret(b"a", &[7; 32]);
        assert_eq!(scalar.multiply(&scalar.invert()).0, Inner::ONE);
    }

    #[test]
    fn labels_and_secrets_separate() {
        let base = Scalar::from_secret(b"a", &[7; 32]);
        assert_ne!(base.0, Scalar::from_secret(b"b", &[7; 32]).0);
        assert_ne!(base.0, Scalar::from_secret(b"a", &[8; 32]).0);
        assert_eq!(base.0, Scalar::from_secret(b"a", &[7; 32]).0);
    }

    #[test]
    fn zero_and_the_order_are_no_scalars() {
        assert!(Scalar::from_canonical_bytes([0; 32]).is_err());
        assert!(Scalar::from_canonical_bytes([0xff; 32]).is_err());
        let mut order = (-Inner::ONE).to_bytes();
        assert!(Scalar::from_canonical_bytes(order).is_ok());
        order[0] += 1;
        assert!(Scalar::from_canonical_bytes(order).is_err());
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(
            format!("{:?}", Scalar::from_secret(b"a", &[7; 32])),
            "Scalar(..)"
        );
    }
}
