//! Secret exponents.

use std::fmt;
use std::num::NonZero;
use std::ops::{Add as _, Mul as _, Sub as _};

use curve25519_dalek::scalar::Scalar as Inner;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

/// The inverse of two modulo the group's order: `(order + 1) / 2`, little-endian.
pub(crate) const HALF: [u8; 32] = [
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
        Self::of(scalar.ok_or(ScalarError)?)
    }

    fn of(scalar: Inner) -> Result<Self, ScalarError> {
        let some = scalar != Inner::ZERO;
        some.then_some(Self(scalar)).ok_or(ScalarError)
    }

    /// A scalar from 64 uniform bytes, reduced modulo the order.
    ///
    /// # Errors
    /// [`ScalarError`] where they come to zero: never in practice.
    pub fn from_uniform_bytes(bytes: &[u8; 64]) -> Result<Self, ScalarError> {
        Self::of(Inner::from_bytes_mod_order_wide(bytes))
    }

    /// A small number.
    #[must_use]
    pub fn from_number(number: NonZero<u64>) -> Self {
        Self(number.get().into())
    }

    /// The canonical little-endian encoding.
    #[must_use]
    pub fn to_canonical_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The sum.
    ///
    /// # Errors
    /// [`ScalarError`] where it is zero, which is no scalar here.
    pub fn add(&self, other: &Self) -> Result<Self, ScalarError> {
        Self::of((&self.0).add(&other.0))
    }

    /// The difference.
    ///
    /// # Errors
    /// [`ScalarError`] where both are the same.
    pub fn subtract(&self, other: &Self) -> Result<Self, ScalarError> {
        Self::of((&self.0).sub(&other.0))
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
    fn sums_and_differences_are_never_zero() {
        let number = |n| Scalar::from_number(NonZero::new(n).unwrap());
        let (three, five) = (number(3), number(5));
        assert_eq!(three.add(&five).unwrap().0, number(8).0);
        assert_eq!(five.subtract(&three).unwrap().0, number(2).0);
        let minus_two = three.subtract(&five).unwrap();
        assert_eq!(minus_two.0, -Inner::from(2_u8));
        assert!(minus_two.add(&number(2)).is_err());
        assert!(three.subtract(&number(3)).is_err());
        assert_eq!(*five.to_canonical_bytes(), Inner::from(5_u8).to_bytes());
    }

    #[test]
    fn uniform_bytes_are_reduced() {
        let mut order = [0; 64];
        order[..32].copy_from_slice(&(-Inner::ONE).to_bytes());
        let most = Scalar::from_uniform_bytes(&order).unwrap();
        assert_eq!(most.0, -Inner::ONE);
        order[0] += 1;
        assert!(Scalar::from_uniform_bytes(&order).is_err());
        order[0] += 1;
        assert_eq!(Scalar::from_uniform_bytes(&order).unwrap().0, Inner::ONE);
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(
            format!("{:?}", Scalar::from_secret(b"a", &[7; 32])),
            "Scalar(..)"
        );
    }
}
