//! Batches cut into blocks of points that share an inversion.

use std::hint::black_box;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar as Inner;

use super::combine::Sums;
use super::curve::{Extended, Multiply};
use super::fixed::{LaneDigits, Windows};
use super::ristretto::{Block, Decode, Encode, EncodeDoubles, Map, VECTORS};
use super::{Digits, Kernel, MAX_LANES, Words, Work};
use crate::backend::Part;
use crate::batch::BatchError;
use crate::scalar::HALF;
use crate::{EncodedPoint, HashDomain, PointError, PointFault, Scalar};

/// The modulus.
const P: [u64; 4] = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];
/// A number for each lane, where no point is due: zero, which encodes the identity.
const NONE: Words = [[0; 4]; MAX_LANES];

/// A batch in the kernel's blocks.
pub(crate) struct Blocks<K: Kernel> {
    k: K,
    block: Block<K>,
    done: Vec<EncodedPoint>,
}

impl<K: Kernel> Blocks<K> {
    /// For `count` points.
    pub(crate) fn new(k: K, count: usize) -> Self {
        Self {
            k,
            block: [Extended::identity(k); VECTORS],
            done: Vec::with_capacity(count),
        }
    }

    /// Decodes, multiplies by twice `half` and encodes.
    ///
    /// # Errors
    /// [`PointError`] with the first place that holds the identity or no canonical encoding.
    pub(crate) fn multiply(
        mut self,
        points: &[EncodedPoint],
        half: &Digits,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        for points in points.chunks(K::LANES * VECTORS) {
            self.decode(points)
                .map_err(|error| error.after(self.done.len()))?;
            self.multiply_block(points.len(), half);
            self.encode(points.len());
        }
        Ok(self.done)
    }

    /// Maps 64 uniform bytes for each item to the group, multiplies by twice `half` and encodes.
    pub(crate) fn map_and_multiply<T>(
        mut self,
        items: &[T],
        uniform: impl Fn(&T) -> [u8; 64],
        half: &Digits,
    ) -> Vec<EncodedPoint> {
        for items in items.chunks(K::LANES * VECTORS) {
            self.map(items, &uniform);
            self.multiply_block(items.len(), half);
            self.encode(items.len());
        }
        self.done
    }

    /// Maps 64 uniform bytes for each item to the group and encodes.
    pub(crate) fn map_and_encode<T>(
        mut self,
        items: &[T],
        uniform: impl Fn(&T) -> [u8; 64],
    ) -> Vec<EncodedPoint> {
        for items in items.chunks(K::LANES * VECTORS) {
            self.map(items, &uniform);
            self.encode_as_they_are(items.len());
        }
        self.done
    }

    /// Multiplies the one point by twice each of `halves` and encodes.
    pub(crate) fn multiply_one(
        mut self,
        point: &EncodedPoint,
        halves: &[Digits],
    ) -> Vec<EncodedPoint> {
        let windows = self.windows(point);
        for halves in halves.chunks(K::LANES * VECTORS) {
            self.multiples(&windows, halves);
            self.encode(halves.len());
        }
        self.done
    }

    /// Multiplies the one point by the scalar of each pair, subtracts the hash of its text and
    /// encodes.
    pub(crate) fn multiply_one_less_hash<T: AsRef<[u8]>>(
        mut self,
        point: &EncodedPoint,
        domain: &HashDomain,
        pairs: &[(&Scalar, T)],
    ) -> Vec<EncodedPoint> {
        let windows = self.windows(point);
        for pairs in pairs.chunks(K::LANES * VECTORS) {
            let scalars: Vec<_> = pairs.iter().map(|(scalar, _)| Digits::of(scalar)).collect();
            self.multiples(&windows, &scalars);
            let multiples = self.block;
            self.map(pairs, |(_, text)| domain.expand(text.as_ref()));
            for (difference, multiple) in self.block.iter_mut().zip(&multiples) {
                *difference = self.k.enter(Less(multiple, difference));
            }
            self.encode_as_they_are(pairs.len());
        }
        self.done
    }

    /// The sum of the points, each times its number; zip: the lists are of one length.
    ///
    /// # Errors
    /// [`PointError`] with the first place that holds the identity or no canonical encoding.
    pub(crate) fn combine(
        mut self,
        points: &[EncodedPoint],
        numbers: &[u128],
    ) -> Result<RistrettoPoint, PointError> {
        let mut sums = Sums::new(self.k);
        let size = K::LANES * VECTORS;
        let chunks = points.chunks(size).zip(numbers.chunks(size));
        for (chunk, (points, numbers)) in chunks.enumerate() {
            let decoded = self.decode(points);
            decoded.map_err(|error| error.after(chunk * size))?;
            for (point, numbers) in self.block.iter().zip(numbers.chunks(K::LANES)) {
                sums.add(self.k, point, numbers);
            }
        }
        let doubles = sums.encoded_doubles(self.k);
        // What was encoded here decodes, the identity too.
        let doubles = doubles[..K::LANES]
            .iter()
            .filter_map(|number| CompressedRistretto(bytes(number)).decompress());
        Ok(doubles.sum::<RistrettoPoint>() * Inner::from_bytes_mod_order(HALF))
    }

    /// Adds the points of all lists place by place, multiplies by twice `half` and encodes.
    ///
    /// # Errors
    /// [`BatchError::Point`] with a place that holds the identity or no canonical encoding.
    pub(crate) fn sum_and_multiply(
        mut self,
        lists: &[&[EncodedPoint]],
        count: usize,
        half: &Digits,
    ) -> Result<Vec<EncodedPoint>, BatchError> {
        let size = K::LANES * VECTORS;
        for first in (0..count).step_by(size) {
            let chunk = first..count.min(first + size);
            let mut sum = [Extended::identity(self.k); VECTORS];
            for (list, points) in lists.iter().enumerate() {
                self.decode(&points[chunk.clone()])
                    .map_err(|error| BatchError::in_list(list, error.after(first)))?;
                for (sum, point) in sum.iter_mut().zip(&self.block) {
                    *sum = self.k.enter(Add(sum, point));
                }
            }
            self.block = sum;
            self.multiply_block(chunk.len(), half);
            self.encode(chunk.len());
        }
        Ok(self.done)
    }

    /// Decodes the first of each pair, adds the point that 64 uniform bytes for the second map
    /// to, multiplies by twice `half` and encodes.
    ///
    /// # Errors
    /// [`PointError`] with the first place that holds the identity or no canonical encoding.
    pub(crate) fn add_map_and_multiply<T>(
        mut self,
        pairs: &[(EncodedPoint, T)],
        uniform: impl Fn(&T) -> [u8; 64],
        half: &Digits,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        let size = K::LANES * VECTORS;
        // One list for all blocks: nothing is allocated for each.
        let mut points = Vec::with_capacity(size);
        for pairs in pairs.chunks(size) {
            points.clear();
            points.extend(pairs.iter().map(|(point, _)| *point));
            let before = self.done.len();
            self.decode(&points).map_err(|error| error.after(before))?;
            let decoded = self.block;
            self.map(pairs, |(_, item)| uniform(item));
            for (sum, point) in self.block.iter_mut().zip(&decoded) {
                *sum = self.k.enter(Add(sum, point));
            }
            self.multiply_block(pairs.len(), half);
            self.encode(pairs.len());
        }
        Ok(self.done)
    }

    /// One part, many times over the same full block; the number of points worked on.
    pub(crate) fn repeat(
        mut self,
        part: Part,
        times: usize,
        domain: &HashDomain,
        half: &Digits,
    ) -> usize {
        let texts: Vec<usize> = (0..K::LANES * VECTORS).collect();
        let uniform = |text: &usize| domain.expand(&text.to_le_bytes());
        self.map(&texts, uniform);
        self.encode(texts.len());
        let encoded = self.done.clone();
        for _ in 0..times {
            self.done.clear();
            match part {
                Part::Hash => self.map(&texts, uniform),
                Part::Decode => drop(black_box(self.decode(&encoded))),
                Part::Multiply => self.multiply_block(texts.len(), half),
                Part::Encode => self.encode(texts.len()),
            }
        }
        texts.len() * times
    }

    /// The multiples of a point that is known to decode, or is the identity.
    fn windows(&self, point: &EncodedPoint) -> Windows<K> {
        let numbers = [[words(point.as_bytes()); MAX_LANES]; 2];
        let ([point, _], _) = self.k.enter(Decode(&numbers));
        Windows::new(self.k, &point)
    }

    /// The one point times each scalar, into the first lanes of the block.
    fn multiples(&mut self, windows: &Windows<K>, scalars: &[Digits]) {
        for (scalars, slot) in scalars.chunks(K::LANES).zip(&mut self.block) {
            *slot = windows.multiply(self.k, &LaneDigits::new(scalars));
        }
    }

    /// Decodes into the first lanes of the block.
    fn decode(&mut self, points: &[EncodedPoint]) -> Result<(), PointError> {
        let pairs = points.chunks(2 * K::LANES);
        for (pair, (points, slots)) in pairs.zip(self.block.as_chunks_mut().0).enumerate() {
            let mut numbers = [NONE; 2];
            // One bit a point, of both vectors.
            let mut refused = 0_u32;
            for (at, point) in points.iter().enumerate() {
                let number = words(point.as_bytes());
                refused |= u32::from(!may_encode(&number)) << at;
                numbers[at / K::LANES][at % K::LANES] = number;
            }
            let bad;
            (*slots, bad) = self.k.enter(Decode(&numbers));
            refused |= u32::from(bad[0]) | u32::from(bad[1]) << K::LANES;
            let first = refused.trailing_zeros() as usize;
            if let Some(point) = points.get(first) {
                return Err(PointError {
                    index: pair * 2 * K::LANES + first,
                    fault: PointFault::of_refused(point),
                });
            }
        }
        Ok(())
    }

    /// Maps 64 uniform bytes for each item to a point, into the first lanes of the block.
    fn map<T>(&mut self, items: &[T], uniform: impl Fn(&T) -> [u8; 64]) {
        for (items, slot) in items.chunks(K::LANES).zip(&mut self.block) {
            let mut halves = [NONE; 2];
            for (at, item) in items.iter().enumerate() {
                let bytes = uniform(item);
                let (numbers, _) = bytes.as_chunks();
                for (half, number) in halves.iter_mut().zip(numbers) {
                    half[at] = words(number);
                }
            }
            *slot = self.k.enter(Map(&halves));
        }
    }

    /// Multiplies the first `count` points of the block.
    fn multiply_block(&mut self, count: usize, digits: &Digits) {
        for point in &mut self.block[..count.div_ceil(K::LANES)] {
            *point = self.k.enter(Multiply { point, digits });
        }
    }

    /// Appends the encodings of the first `count` points of the block.
    fn encode_as_they_are(&mut self, count: usize) {
        let mut left = count;
        for pair in self.block.as_chunks().0 {
            if left == 0 {
                return;
            }
            let numbers = self.k.enter(Encode(pair));
            let lanes = numbers.iter().flat_map(|vector| &vector[..K::LANES]);
            let encoded = lanes.take(left).map(bytes);
            self.done.extend(encoded.map(EncodedPoint::from_bytes));
            left = left.saturating_sub(2 * K::LANES);
        }
    }

    /// Appends the encodings of the doubles of the first `count` points of the block.
    fn encode(&mut self, count: usize) {
        let mut numbers = [NONE; VECTORS];
        let vectors = count.div_ceil(K::LANES);
        let points = &self.block[..vectors];
        let out = &mut numbers[..vectors];
        self.k.enter(EncodeDoubles { points, out });
        let lanes = numbers.iter().flat_map(|vector| &vector[..K::LANES]);
        let encoded = lanes.take(count).map(bytes);
        self.done.extend(encoded.map(EncodedPoint::from_bytes));
    }
}

struct Less<'a, K: Kernel>(&'a Extended<K>, &'a Extended<K>);

impl<K: Kernel> Work<K> for Less<'_, K> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        self.0.add(k, &self.1.negated(k)).extended(k)
    }
}

struct Add<'a, K: Kernel>(&'a Extended<K>, &'a Extended<K>);

impl<K: Kernel> Work<K> for Add<'_, K> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        self.0.add(k, self.1).extended(k)
    }
}

fn bytes(number: &[u64; 4]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(number) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks();
    [words[0], words[1], words[2], words[3]].map(u64::from_le_bytes)
}

/// Whether a number is below `p`, even, and not zero, which is the identity's.
fn may_encode(number: &[u64; 4]) -> bool {
    let below_p = number.iter().rev().lt(P.iter().rev());
    below_p && number[0] & 1 == 0 && *number != [0; 4]
}
