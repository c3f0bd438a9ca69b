//! Points side by side: one instruction works on a point in each lane.
//!
//! Everything below is written once, over a [`Kernel`]: the arithmetic of a vector of field
//! elements, one element a lane, modulo `p = 2^255 - 19`. The kernels are
//! [`Ifma`], eight lanes by AVX-512 IFMA, and [`Avx2`], four lanes.
//! Above them stand [`curve`] (extended twisted Edwards points, one scalar for all lanes) and
//! [`ristretto`] (the encodings and the map of RFC 9496).
//!
//! # How instructions and proofs go together
//! A kernel is a value without content that only its `detect` makes, and only on a processor
//! that has the instructions. All arithmetic is methods of that value, so that whoever can
//! call them may. Every function between an entry ([`Kernel::enter`]) and an instruction is
//! `inline(always)`: the entry alone names the processor's features, and the instructions are
//! compiled into it.
//!
//! # Time
//! No function here branches on, or indexes by, a digit of a scalar or a coordinate; whether an
//! encoding may be one is judged by branches, over bytes that the peer sent. See
//! [`curve::Multiply`] for what was done to check it.

#![allow(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "limbs, columns and lanes of several arrays at once: their lengths are constants"
)]

mod avx2;
mod blocks;
mod combine;
mod curve;
mod digits;
mod fixed;
mod ifma;
mod ristretto;
#[cfg(test)]
mod tests;

pub(crate) use avx2::Avx2;
pub(crate) use blocks::Blocks;
pub(crate) use digits::Digits;
pub(crate) use ifma::Ifma;

/// Lanes of the widest kernel.
pub(crate) const MAX_LANES: usize = 8;

/// One 256-bit number a lane, little-endian words; a kernel with fewer lanes takes the first.
pub(crate) type Words = [[u64; 4]; MAX_LANES];

/// One bit a lane, the first lane in the lowest.
pub(crate) type Mask = u8;

/// Arithmetic on vectors of field elements.
///
/// A `Field` is *reduced*: the bounds of its limbs stand with the kernel and every function
/// that gives one keeps them. A `Wide` is a product before its reduction, to which a few
/// others may be added first: at most four products, of which at most two are subtracted at
/// once by one [`Kernel::wide_sub`].
pub(crate) trait Kernel: Copy {
    /// Elements side by side.
    const LANES: usize;
    /// Whether a product is so long that inlining each would overflow the instruction cache.
    const LONG: bool;
    /// Every lane.
    const ALL: Mask = (u8::MAX as u16 >> (8 - Self::LANES)) as Mask;
    /// One reduced element a lane.
    type Field: Copy;
    /// One unreduced product a lane.
    type Wide: Copy;
    /// A word of all ones or zero a lane.
    type Bits: Copy;

    /// The same element, below `2^255`, in each lane.
    fn constant(self, words: [u64; 4]) -> Self::Field;
    /// Elements from numbers, of each of which the bit 255 is ignored.
    fn load(self, words: &Words) -> Self::Field;
    /// The canonical numbers of elements.
    fn store(self, a: &Self::Field) -> Words;

    /// The sum.
    fn add(self, a: &Self::Field, b: &Self::Field) -> Self::Field;
    /// The difference.
    fn sub(self, a: &Self::Field, b: &Self::Field) -> Self::Field;
    /// The product, unreduced.
    fn wide_mul(self, a: &Self::Field, b: &Self::Field) -> Self::Wide;
    /// The square, unreduced.
    fn wide_square(self, a: &Self::Field) -> Self::Wide;
    /// The sum of unreduced products.
    fn wide_add(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    /// The difference of unreduced products; `b` is at most the sum of two products of reduced
    /// elements, or one with a factor of [`Kernel::negate_factor`].
    fn wide_sub(self, a: &Self::Wide, b: &Self::Wide) -> Self::Wide;
    /// The reduced element.
    fn reduce(self, a: &Self::Wide) -> Self::Field;

    /// The lanes whose canonical number is odd: *negative* in the words of RFC 9496.
    fn negative(self, a: &Self::Field) -> Mask;
    /// The lanes that hold zero.
    fn zero(self, a: &Self::Field) -> Mask;
    /// `set` in the lanes of the mask, `clear` in the others.
    fn select(self, mask: Mask, set: &Self::Field, clear: &Self::Field) -> Self::Field;
    /// The limbs of `into`, and where `bits` are set also those of `from`, one over the other
    /// (or): a look-up in a table reads every entry. `bits` is all ones or zero.
    fn merge(self, into: &Self::Field, from: &Self::Field, bits: u64) -> Self::Field;
    /// All ones in the lanes of the mask. The compiler does not know of it that it was a mask.
    fn spread(self, mask: Mask) -> Self::Bits;
    /// [`merge`](Self::merge) with each lane's own bits.
    fn merge_lanes(self, into: &Self::Field, from: &Self::Field, bits: &Self::Bits) -> Self::Field;
    /// `-a` where `bits` (all ones or zero) are set, otherwise `a`; a factor for
    /// [`Kernel::wide_mul`], whose other factor is reduced, and for nothing else.
    fn negate_factor(self, a: &Self::Field, bits: u64) -> Self::Field;

    /// Does work in the kernel's instructions: a call, where all else here is inlined.
    fn enter<W: Work<Self>>(self, work: W) -> W::Out;

    /// The product.
    #[inline(always)]
    fn mul(self, a: &Self::Field, b: &Self::Field) -> Self::Field {
        self.enter(Product(a, b))
    }

    /// The square.
    #[inline(always)]
    fn square(self, a: &Self::Field) -> Self::Field {
        let [square] = self.square_times(&[*a], 1);
        square
    }

    /// Each element squared `n` times.
    #[inline(always)]
    fn square_times<const M: usize>(self, a: &[Self::Field; M], n: usize) -> [Self::Field; M] {
        self.enter(Squares(*a, n))
    }

    /// Zero in each lane.
    #[inline(always)]
    fn nought(self) -> Self::Field {
        self.constant([0; 4])
    }

    /// One in each lane.
    #[inline(always)]
    fn one(self) -> Self::Field {
        self.constant([1, 0, 0, 0])
    }

    /// `-a` in the lanes of the mask, `a` in the others.
    #[inline(always)]
    fn negate_where(self, mask: Mask, a: &Self::Field) -> Self::Field {
        self.select(mask, &self.sub(&self.nought(), a), a)
    }

    /// Of `a` and `-a` the one that is not negative.
    #[inline(always)]
    fn abs(self, a: &Self::Field) -> Self::Field {
        self.negate_where(self.negative(a), a)
    }

    /// The lanes where `a` and `b` are the same.
    #[inline(always)]
    fn equal(self, a: &Self::Field, b: &Self::Field) -> Mask {
        self.zero(&self.sub(a, b))
    }
}

/// Work that runs in the instructions of a kernel.
pub(crate) trait Work<K> {
    /// What comes out.
    type Out;
    /// Does it. Implementations are `inline(always)`.
    fn run(self, kernel: K) -> Self::Out;
}

struct Product<'a, F>(&'a F, &'a F);

impl<K: Kernel> Work<K> for Product<'_, K::Field> {
    type Out = K::Field;

    #[inline(always)]
    fn run(self, k: K) -> K::Field {
        k.reduce(&k.wide_mul(self.0, self.1))
    }
}

struct Squares<F, const M: usize>([F; M], usize);

impl<K: Kernel, const M: usize> Work<K> for Squares<K::Field, M> {
    type Out = [K::Field; M];

    #[inline(always)]
    fn run(self, k: K) -> [K::Field; M] {
        let Self(mut a, n) = self;
        for _ in 0..n {
            for at in 0..M {
                a[at] = k.reduce(&k.wide_square(&a[at]));
            }
        }
        a
    }
}
