//! The field of 2^128 elements, modulo `x^128 + x^7 + x^2 + x + 1`.
//!
//! The polynomial of AES-GCM with the bits in the other order: bit `i` of the number is the
//! coefficient of `x^i`, and bytes are little-endian. Addition is exclusive or, so that every
//! element is its own negative.
//!
//! Products are by PCLMULQDQ where the processor has it, which is found out at run time.
//!
//! # Time
//! Products, squares and inverses take the same time for all elements, but for the answer
//! that zero has no inverse. Comparing is not constant-time: compare secrets otherwise.

mod batch;
#[cfg(target_arch = "x86_64")]
mod clmul;
mod portable;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::{Add, AddAssign, Mul};

use rand_core::CryptoRng;
use zeroize::DefaultIsZeroes;

pub use batch::{add_polynomial, add_products, mul_add, power_sum};

use batch::{Multiply, Work};
#[cfg(target_arch = "x86_64")]
use clmul::Clmul;
use portable::Portable;

/// An element of the field of 2^128 elements.
///
/// `Debug` shows the kind alone: most elements are keys, masks or masked values.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Gf128(u128);

impl Gf128 {
    /// Bytes of an encoding.
    pub const BYTES: usize = 16;
    /// The neutral element of addition.
    pub const ZERO: Self = Self(0);
    /// The neutral element of multiplication.
    pub const ONE: Self = Self(1);

    /// The element whose coefficients are these bits, the lowest of `x^0`.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Its coefficients, that of `x^0` in the lowest bit.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The element of an encoding, little-endian. Every 16 bytes are one.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// Its encoding, little-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    /// A uniformly random element.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; Self::BYTES];
        rng.fill_bytes(&mut bytes);
        Self::from_bytes(bytes)
    }

    /// Its square.
    #[must_use]
    pub fn square(self) -> Self {
        Self(portable::square(self.0))
    }

    /// Its product with `x`.
    #[must_use]
    pub const fn mul_x(self) -> Self {
        Self(portable::mul_x(self.0))
    }

    /// The element that gives one when multiplied with this, by Fermat; none for zero.
    #[must_use]
    pub fn invert(self) -> Option<Self> {
        // a^(2^127 - 1), of which the square is a^(2^128 - 2).
        let ones = (1..127).fold(self, |power, _| power.square() * self);
        (self != Self::ZERO).then(|| ones.square())
    }
}

impl Add for Gf128 {
    type Output = Self;
    #[expect(
        clippy::suspicious_arithmetic_impl,
        reason = "addition of polynomials over two elements is exclusive or"
    )]
    fn add(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl AddAssign for Gf128 {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul for Gf128 {
    type Output = Self;
    #[inline]
    fn mul(self, other: Self) -> Self {
        Self(Instructions::best().mul(self.0, other.0))
    }
}

impl DefaultIsZeroes for Gf128 {}

impl fmt::Debug for Gf128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gf128(..)")
    }
}

/// A way to multiply that this processor has. All give the same elements.
#[derive(Clone, Copy)]
enum Instructions {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Clmul(Clmul),
}

impl Instructions {
    /// The fastest.
    #[inline]
    fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(clmul) = Clmul::detect() {
            return Self::Clmul(clmul);
        }
        Self::Portable(Portable)
    }

    #[inline]
    fn mul(self, a: u128, b: u128) -> u128 {
        match self {
            Self::Portable(portable) => portable.mul(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Clmul(clmul) => clmul.mul(a, b),
        }
    }

    fn enter<W: Work>(self, work: W) -> W::Out {
        match self {
            Self::Portable(portable) => portable.enter(work),
            #[cfg(target_arch = "x86_64")]
            Self::Clmul(clmul) => clmul.enter(work),
        }
    }
}
