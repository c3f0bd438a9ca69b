//! A scalar cut into the digits that all lanes share.

use curve25519_dalek::scalar::Scalar as Inner;
use zeroize::Zeroizing;

use crate::Scalar;

/// A scalar in radix 16 with digits from -8 to 7, the lowest first. Wiped when dropped.
///
/// In one place of the heap: an array that is moved leaves a copy behind on the stack.
pub(crate) struct Digits(Zeroizing<Vec<i8>>);

impl Digits {
    pub(crate) const COUNT: usize = 64;

    /// The whole scalar.
    pub(crate) fn of(scalar: &Scalar) -> Self {
        Self::new(scalar.inner())
    }

    /// Half the scalar: the encoding doubles.
    pub(crate) fn of_half(scalar: &Scalar) -> Self {
        Self::new(&scalar.half())
    }

    /// Cuts a reduced scalar, in the same time for each.
    fn new(scalar: &Inner) -> Self {
        let bytes = Zeroizing::new(scalar.to_bytes());
        let mut digits = Zeroizing::new(vec![0_i8; Self::COUNT]);
        let mut carry = 0;
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes.iter()) {
            for (digit, nibble) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                // From 0 to 16; from 8 on, 16 less and one more above. The scalar is below
                // 2^253: nothing is carried out of the top.
                let sum = nibble + carry;
                carry = (sum + 8) >> 4;
                *digit = (sum.wrapping_sub(carry << 4)).cast_signed();
            }
        }
        debug_assert_eq!(carry, 0, "the scalar is reduced");
        Self(digits)
    }

    /// The digits from below.
    pub(crate) fn upwards(&self) -> impl Iterator<Item = i8> {
        self.0.iter().copied()
    }

    /// The highest digit, and the others from above.
    pub(crate) fn downwards(&self) -> (i8, impl Iterator<Item = i8>) {
        let mut digits = self.0.iter().rev().copied();
        (digits.next().unwrap_or(0), digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_small_and_add_up() {
        let mut scalars: Vec<_> = (0..200)
            .map(|number| *Scalar::from_secret(b"digits", &[number; 32]).inner())
            .collect();
        scalars.extend([Inner::ZERO, Inner::ONE, -Inner::ONE, -Inner::from(8_u8)]);
        scalars.push(Inner::from_bytes_mod_order([0x88; 32]));
        scalars.push(Inner::from_bytes_mod_order([0x77; 32]));
        for scalar in scalars {
            let digits = Digits::new(&scalar);
            let (first, rest) = digits.downwards();
            let mut sum = Inner::ZERO;
            for digit in std::iter::once(first).chain(rest) {
                assert!((-8..=7).contains(&digit));
                let size = Inner::from(digit.unsigned_abs());
                sum = sum * Inner::from(16_u8) + if digit < 0 { -size } else { size };
            }
            assert_eq!(sum, scalar);
        }
    }
}
