//! Sums of many points, each times a short public number of its own.
//!
//! Each point gets a table of its multiples from one to eight and adds one of them to each of
//! [`WINDOWS`] running sums, one for each digit's place; the places are put together once, at
//! the end (Straus' method turned around, so that a batch of any length shares the doublings).
//!
//! # Time
//! Depends on the number of points alone, as it happens; nothing here is secret and nothing
//! was done to check it.

use super::curve::{Extended, look_up_each, table};
use super::ristretto::EncodeDoubles;
use super::{Kernel, MAX_LANES, Words, Work};

/// Digits of a number below `2^128` in radix 16 from -8 to 7, the carry's place included.
const WINDOWS: usize = 33;
/// Eight in every place but the carry's: with it added, digits are nibbles less eight.
const EIGHTS: u128 = u128::MAX / 15 * 8;

/// A running sum for each digit's place and each lane.
pub(crate) struct Sums<K: Kernel>(Vec<Extended<K>>);

impl<K: Kernel> Sums<K> {
    /// Of nothing.
    pub(crate) fn new(k: K) -> Self {
        Self(vec![Extended::identity(k); WINDOWS])
    }

    /// Adds a vector's points, each times its lane's number.
    #[inline(always)]
    pub(crate) fn add(&mut self, k: K, point: &Extended<K>, numbers: &[u128]) {
        k.enter(AddMultiples {
            sums: &mut self.0,
            point,
            numbers: &Shifted::new(numbers),
        });
    }

    /// The encodings of the doubles of what each lane has come to.
    pub(crate) fn encoded_doubles(&self, k: K) -> Words {
        let mut out = [[[0; 4]; MAX_LANES]];
        let points = [k.enter(Join(&self.0))];
        k.enter(EncodeDoubles {
            points: &points,
            out: &mut out,
        });
        let [words] = out;
        words
    }
}

/// A number for each lane with its eights added, and the carry.
struct Shifted([(u128, bool); MAX_LANES]);

impl Shifted {
    /// Lanes without a number get zero.
    fn new(numbers: &[u128]) -> Self {
        let mut lanes = [(EIGHTS, false); MAX_LANES];
        for (lane, number) in lanes.iter_mut().zip(numbers) {
            *lane = number.overflowing_add(EIGHTS);
        }
        Self(lanes)
    }

    /// The digit at a place, a byte for each lane.
    #[inline(always)]
    fn digits(&self, place: usize) -> u64 {
        let carries = place == WINDOWS - 1;
        let digits = self.0.map(|(number, carry)| match carries {
            true => u8::from(carry),
            false => ((number >> (4 * place)) as u8 & 15).wrapping_sub(8),
        });
        u64::from_le_bytes(digits)
    }
}

struct AddMultiples<'a, K: Kernel> {
    sums: &'a mut [Extended<K>],
    point: &'a Extended<K>,
    numbers: &'a Shifted,
}

impl<K: Kernel> Work<K> for AddMultiples<'_, K> {
    type Out = ();

    #[inline(always)]
    fn run(self, k: K) {
        let table = table(k, self.point);
        for (place, sum) in self.sums.iter_mut().enumerate() {
            let multiple = look_up_each(k, &table, self.numbers.digits(place));
            *sum = sum.add_cached(k, &multiple).extended(k);
        }
    }
}

/// The sum of all places: each counts sixteen times the one below it.
struct Join<'a, K: Kernel>(&'a [Extended<K>]);

impl<K: Kernel> Work<K> for Join<'_, K> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        // A closure would be no part of the function that may use the instructions: each of them
        // would be called.
        let mut sum = Extended::identity(k);
        for place in self.0.iter().rev() {
            for _ in 0..4 {
                sum = sum.add(k, &sum).extended(k);
            }
            sum = sum.add(k, place).extended(k);
        }
        sum
    }
}
