//! One point in every lane, times a scalar of each lane's own.
//!
//! The point's multiples from one to eight are made once for each of the 64 places of a digit,
//! so that a multiplication is 64 additions and no doubling.

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
