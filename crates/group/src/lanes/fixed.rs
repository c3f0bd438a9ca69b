//! One point in every lane, times a scalar of each lane's own.
//!
//! The point's multiples from one to eight are made once for each of the 64 places of a digit,
//! so that a multiplication is 64 additions and no doubling.
//!
//! # Time
//! The scalars are secret: every look-up reads the whole table in the same order, whatever the
//! lanes ask for. What was done to check that the compiler kept it so:
//! * memcheck, as for [`Multiply`](super::curve::Multiply), with AVX2 and portably;
//! * Welch's t of the times of sparse and dense scalars, with all three backends
//!   (`sparse_and_dense_scalars_of_one_point_take_the_same_time`);
//! * of the machine code with AVX-512 (rustc 1.95, optimised) the sum has three conditional
//!   jumps: whether there are places at all, the counter of the entries, that of the places.
//!   Digits go through shifts, sums and products of general registers into masks, from there into
//!   whole vectors, and the instruction that ands an entry with one reads it whole. (A blend
//!   became a load *under* the mask, and whether that touches memory for an empty mask is the
//!   processor's matter: [`spread`](super::Kernel::spread) keeps the compiler from it.) The sign
//!   alone stays a mask, between registers. The difference from a hash has no jump; the encoding
//!   that takes a root a lane has two, and two in its squarings, on counters or the flag of a loop
//!   of two, and addresses at fixed places and at those counters. What cuts and packs digits is
//!   the same code with AVX2, where memcheck followed it.

use super::curve::{Cached, Extended, Table, look_up_each, table};
use super::{Digits, Kernel, MAX_LANES, Work};
use zeroize::Zeroizing;

/// The multiples of a point for each digit's place, the lowest first.
pub(crate) struct Windows<K: Kernel>(Vec<Table<K>>);

impl<K: Kernel> Windows<K> {
    /// Of a point, the same in each lane.
    pub(crate) fn new(k: K, point: &Extended<K>) -> Self {
        let mut point = *point;
        let mut windows = Vec::with_capacity(Digits::COUNT);
        for _ in 0..Digits::COUNT {
            let window;
            (window, point) = k.enter(Window(&point));
            windows.push(window);
        }
        Self(windows)
    }

    /// In each lane the point times that lane's scalar.
    pub(crate) fn multiply(&self, k: K, digits: &LaneDigits) -> Extended<K> {
        k.enter(Multiples {
            windows: &self.0,
            digits,
        })
    }
}

/// The digits of a scalar for each lane: for each place one number, with a digit in every byte.
pub(crate) struct LaneDigits(Zeroizing<Vec<u64>>);

impl LaneDigits {
    /// Lanes without a scalar get zero.
    pub(crate) fn new<'a>(scalars: impl IntoIterator<Item = &'a Digits>) -> Self {
        let mut packed = Zeroizing::new(vec![0; Digits::COUNT]);
        for (lane, digits) in scalars.into_iter().take(MAX_LANES).enumerate() {
            for (packed, digit) in packed.iter_mut().zip(digits.upwards()) {
                *packed |= u64::from(digit.cast_unsigned()) << (8 * lane);
            }
        }
        Self(packed)
    }
}

/// The multiples of a point, and sixteen times the point.
struct Window<'a, K: Kernel>(&'a Extended<K>);

impl<K: Kernel> Work<K> for Window<'_, K> {
    type Out = (Table<K>, Extended<K>);

    #[inline(always)]
    fn run(self, k: K) -> Self::Out {
        let mut next = *self.0;
        for _ in 0..4 {
            next = next.add(k, &next).extended(k);
        }
        (table(k, self.0), next)
    }
}

struct Multiples<'a, K: Kernel> {
    windows: &'a [Table<K>],
    digits: &'a LaneDigits,
}

impl<K: Kernel> Work<K> for Multiples<'_, K> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        let mut sum = Extended::identity(k);
        for (table, digits) in self.windows.iter().zip(self.digits.0.iter()) {
            let multiple: Cached<K> = look_up_each(k, table, *digits);
            sum = sum.add_cached(k, &multiple).extended(k);
        }
        sum
    }
}
