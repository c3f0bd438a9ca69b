//! Points of the twisted Edwards curve `-x^2 + y^2 = 1 + d x^2 y^2` in lanes.
//!
//! Formulas of Hisil, Wong, Carter and Dawson, *Twisted Edwards curves revisited* (2008), for
//! `a = -1`: complete, so that no pair of points needs care. Doubling: four squarings and
//! three multiplications, one more where `T` is asked for. Addition of a point in *cached*
//! form: four multiplications to the *completed* point and three or four from there.

use std::hint::black_box;

use super::{Digits, Kernel, Mask, Work};

/// Twice the curve's `d`.
const D2: [u64; 4] = [
    0xebd6_9b94_26b2_f159,
    0x00e0_149a_8283_b156,
    0x198e_80f2_eef3_d130,
    0x2406_d9dc_56df_fce7,
];

/// `x = X/Z`, `y = Y/Z`.
#[derive(Clone, Copy)]
struct Projective<K: Kernel> {
    x: K::Field,
    y: K::Field,
    z: K::Field,
}

/// `x = X/Z`, `y = Y/Z`, `x y = T/Z`.
#[derive(Clone, Copy)]
pub(crate) struct Extended<K: Kernel> {
    pub(crate) x: K::Field,
    pub(crate) y: K::Field,
    pub(crate) z: K::Field,
    pub(crate) t: K::Field,
}

/// `x = E/G`, `y = H/F`: what a formula gives before its last multiplications.
#[derive(Clone, Copy)]
pub(crate) struct Completed<K: Kernel> {
    pub(crate) e: K::Field,
    pub(crate) f: K::Field,
    pub(crate) g: K::Field,
    pub(crate) h: K::Field,
}

/// `Y + X`, `Y - X`, `2 Z` and `2 d T`: the second summand.
#[derive(Clone, Copy)]
pub(crate) struct Cached<K: Kernel> {
    plus: K::Field,
    minus: K::Field,
    z2: K::Field,
    t2d: K::Field,
}

/// The product: inlined where that pays.
#[inline(always)]
fn mul<K: Kernel>(k: K, a: &K::Field, b: &K::Field) -> K::Field {
    if K::LONG {
        k.mul(a, b)
    } else {
        k.reduce(&k.wide_mul(a, b))
    }
}

#[inline(always)]
fn wide_mul<K: Kernel>(k: K, a: &K::Field, b: &K::Field) -> K::Wide {
    if K::LONG {
        k.enter(WideProduct(a, b))
    } else {
        k.wide_mul(a, b)
    }
}

#[inline(always)]
fn wide_square<K: Kernel>(k: K, a: &K::Field) -> K::Wide {
    if K::LONG {
        k.enter(WideSquare(a))
    } else {
        k.wide_square(a)
    }
}

struct WideProduct<'a, F>(&'a F, &'a F);

impl<K: Kernel> Work<K> for WideProduct<'_, K::Field> {
    type Out = K::Wide;

    #[inline(always)]
    fn run(self, k: K) -> K::Wide {
        k.wide_mul(self.0, self.1)
    }
}

struct WideSquare<'a, F>(&'a F);

impl<K: Kernel> Work<K> for WideSquare<'_, K::Field> {
    type Out = K::Wide;

    #[inline(always)]
    fn run(self, k: K) -> K::Wide {
        k.wide_square(self.0)
    }
}

impl<K: Kernel> Projective<K> {
    #[inline(always)]
    fn double(&self, k: K) -> Completed<K> {
        let xx = wide_square(k, &self.x);
        let yy = wide_square(k, &self.y);
        let zz = wide_square(k, &self.z);
        let sum = wide_square(k, &k.add(&self.x, &self.y));
        let h = k.wide_add(&xx, &yy);
        let twice_zz_and_xx = k.wide_add(&k.wide_add(&zz, &zz), &xx);
        Completed {
            e: k.reduce(&k.wide_sub(&sum, &h)),
            f: k.reduce(&k.wide_sub(&twice_zz_and_xx, &yy)),
            g: k.reduce(&k.wide_sub(&yy, &xx)),
            h: k.reduce(&h),
        }
    }
}

impl<K: Kernel> Completed<K> {
    #[inline(always)]
    fn projective(&self, k: K) -> Projective<K> {
        Projective {
            x: mul(k, &self.e, &self.f),
            y: mul(k, &self.g, &self.h),
            z: mul(k, &self.f, &self.g),
        }
    }

    #[inline(always)]
    pub(crate) fn extended(&self, k: K) -> Extended<K> {
        let Projective { x, y, z } = self.projective(k);
        let t = mul(k, &self.e, &self.h);
        Extended { x, y, z, t }
    }
}

impl<K: Kernel> Extended<K> {
    /// The neutral element in each lane.
    #[inline(always)]
    pub(crate) fn identity(k: K) -> Self {
        let (zero, one) = (k.nought(), k.one());
        Self {
            x: zero,
            y: one,
            z: one,
            t: zero,
        }
    }

    #[inline(always)]
    pub(crate) fn negated(&self, k: K) -> Self {
        let zero = k.nought();
        Self {
            x: k.sub(&zero, &self.x),
            t: k.sub(&zero, &self.t),
            ..*self
        }
    }

    #[inline(always)]
    fn cached(&self, k: K) -> Cached<K> {
        Cached {
            plus: k.add(&self.y, &self.x),
            minus: k.sub(&self.y, &self.x),
            z2: k.add(&self.z, &self.z),
            t2d: k.mul(&self.t, &k.constant(D2)),
        }
    }

    /// The sum, lane by lane.
    #[inline(always)]
    pub(crate) fn add(&self, k: K, other: &Self) -> Completed<K> {
        self.add_cached(k, &other.cached(k))
    }

    #[inline(always)]
    pub(crate) fn add_cached(&self, k: K, other: &Cached<K>) -> Completed<K> {
        let a = wide_mul(k, &k.sub(&self.y, &self.x), &other.minus);
        let b = wide_mul(k, &k.add(&self.y, &self.x), &other.plus);
        let c = wide_mul(k, &self.t, &other.t2d);
        let d = wide_mul(k, &self.z, &other.z2);
        Completed {
            e: k.reduce(&k.wide_sub(&b, &a)),
            f: k.reduce(&k.wide_sub(&d, &c)),
            g: k.reduce(&k.wide_add(&d, &c)),
            h: k.reduce(&k.wide_add(&b, &a)),
        }
    }
}

impl<K: Kernel> Cached<K> {
    /// The neutral element in each lane.
    #[inline(always)]
    pub(crate) fn identity(k: K) -> Self {
        let one = k.one();
        Self {
            plus: one,
            minus: one,
            z2: k.constant([2, 0, 0, 0]),
            t2d: k.nought(),
        }
    }

    /// The limbs of `self`, and in the lanes of the bits also those of `from`: with zeros there,
    /// these alone.
    #[inline(always)]
    fn merged(&self, k: K, from: &Self, bits: &K::Bits) -> Self {
        Self {
            plus: k.merge_lanes(&self.plus, &from.plus, bits),
            minus: k.merge_lanes(&self.minus, &from.minus, bits),
            z2: k.merge_lanes(&self.z2, &from.z2, bits),
            t2d: k.merge_lanes(&self.t2d, &from.t2d, bits),
        }
    }

    /// The negatives in the lanes of the mask.
    #[inline(always)]
    pub(crate) fn negate_where(&self, k: K, mask: Mask) -> Self {
        Self {
            plus: k.select(mask, &self.minus, &self.plus),
            minus: k.select(mask, &self.plus, &self.minus),
            z2: self.z2,
            t2d: k.negate_where(mask, &self.t2d),
        }
    }

    /// `x = (plus - minus) / z2`, `y = (plus + minus) / z2`.
    #[inline(always)]
    fn completed(&self, k: K) -> Completed<K> {
        Completed {
            e: k.sub(&self.plus, &self.minus),
            f: self.z2,
            g: self.z2,
            h: k.add(&self.plus, &self.minus),
        }
    }
}

/// One to eight times a point.
pub(crate) type Table<K> = [Cached<K>; 8];

#[inline(always)]
pub(crate) fn table<K: Kernel>(k: K, point: &Extended<K>) -> Table<K> {
    let first = point.cached(k);
    let mut table = [first; 8];
    let mut last = *point;
    for entry in &mut table[1..] {
        last = last.add_cached(k, &first).extended(k);
        *entry = last.cached(k);
    }
    table
}

/// All ones if `a` and `b` are the same, otherwise zero.
#[inline(always)]
fn same(a: u8, b: u8) -> u64 {
    let difference = u64::from(a ^ b);
    // The compiler must not learn that this is a condition and make a jump of it.
    black_box((difference.wrapping_sub(1) >> 63).wrapping_neg())
}

/// `digit` times the point, for a digit from -8 to 8: every entry of the table is read.
#[inline(always)]
fn look_up<K: Kernel>(k: K, table: &Table<K>, digit: i8) -> Cached<K> {
    let sign = (digit >> 7).cast_unsigned();
    let size = (digit.cast_unsigned() ^ sign).wrapping_sub(sign);
    let (zero, one) = (k.nought(), k.one());
    // The identity's cached form is (1, 1, 2, 0).
    let none = same(size, 0);
    let mut found: Cached<K> = Cached {
        plus: k.merge(&zero, &one, none),
        minus: k.merge(&zero, &one, none),
        z2: k.merge(&zero, &k.constant([2, 0, 0, 0]), none),
        t2d: zero,
    };
    for (entry, multiple) in table.iter().zip(1..) {
        let bits = same(size, multiple);
        found.plus = k.merge(&found.plus, &entry.plus, bits);
        found.minus = k.merge(&found.minus, &entry.minus, bits);
        found.z2 = k.merge(&found.z2, &entry.z2, bits);
        found.t2d = k.merge(&found.t2d, &entry.t2d, bits);
    }
    let negative = black_box(u64::from(sign & 1).wrapping_neg());
    let mask = (negative & 0xff) as u8;
    Cached {
        plus: k.select(mask, &found.minus, &found.plus),
        minus: k.select(mask, &found.plus, &found.minus),
        z2: found.z2,
        t2d: k.negate_factor(&found.t2d, negative),
    }
}

/// A one in each byte.
const ONES: u64 = u64::MAX / 0xff;

/// The bytes' highest bits, the first byte's in the lowest.
#[inline(always)]
fn highest_bits(bytes: u64) -> Mask {
    let bits = bytes >> 7 & ONES;
    // Each product of a bit that is not wanted lies outside the top byte, and none carries.
    (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) as Mask
}

/// The lanes whose byte of `sizes`, below 128, is `size`.
#[inline(always)]
fn lanes_of<K: Kernel>(k: K, sizes: u64, size: u64) -> K::Bits {
    // Bytes below 128 with 127 added have the highest bit if they are not zero.
    let others = (sizes ^ ONES.wrapping_mul(size)).wrapping_add(ONES.wrapping_mul(0x7f));
    k.spread(highest_bits(!others) & K::ALL)
}

/// In each lane the multiple that its own digit from -8 to 8 asks for, a byte of `digits`: every
/// entry of the table is read, and the masks come of sums and shifts of all digits at once.
#[inline(always)]
pub(crate) fn look_up_each<K: Kernel>(k: K, table: &Table<K>, digits: u64) -> Cached<K> {
    let signs = digits >> 7 & ONES;
    // Below zero a digit's bits turned, and one more.
    let sizes = (digits ^ signs.wrapping_mul(0xff)).wrapping_add(signs);
    let nought = k.nought();
    let none = Cached {
        plus: nought,
        minus: nought,
        z2: nought,
        t2d: nought,
    };
    let mut found = none.merged(k, &Cached::identity(k), &lanes_of(k, sizes, 0));
    for (entry, size) in table.iter().zip(1..) {
        found = found.merged(k, entry, &lanes_of(k, sizes, size));
    }
    found.negate_where(k, black_box(highest_bits(digits) & K::ALL))
}

/// Every lane's point times the one scalar.
///
/// # Time
/// The digits choose masks; every look-up reads the whole table in the same order, and digits
/// of zero are added as the identity. What was done to check that the compiler kept it so:
/// * memcheck with the scalar marked as never written finds no jump and no address that
///   depends on it, with AVX2 and portably; it knows no AVX-512
///   (`no_jump_and_no_address_depends_on_scalars_or_texts`);
/// * the times of sparse and dense scalars, and of equal and different texts, do not differ by
///   Welch's t, with all three (`sparse_and_dense_scalars_take_the_same_time`,
///   `equal_and_different_texts_take_the_same_time`); it cannot see a look-up in a table that
///   lies in the nearest cache;
/// * of the machine code with AVX-512 (rustc 1.95, optimised) all jumps were read: five, each
///   at the end of a loop and on that loop's counter (entries of the table made, entries read,
///   twice, doublings, digits); digits reach only mask registers, and each load and store is
///   at a fixed place or at one of those counters. `cargo rustc --release -p incamera-group --
///   --emit asm` shows it. The map of the hash, decoding and encoding were read likewise in the
///   same build: ten, ten and twelve conditional jumps, each on a loop's counter or on the flag
///   of a loop of two; of masks only that of malformed encodings leaves its register. The map of
///   the hash and the encodings load under masks that come of ids and points (two, eleven and
///   twenty times), all at fixed places of the stack and of constants.
pub(crate) struct Multiply<'a, K: Kernel> {
    pub(crate) point: &'a Extended<K>,
    pub(crate) digits: &'a Digits,
}

impl<K: Kernel> Work<K> for Multiply<'_, K> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        let table = table(k, self.point);
        let (first, rest) = self.digits.downwards();
        let mut sum = look_up(k, &table, first).completed(k);
        for digit in rest {
            let mut doubled = sum.projective(k);
            for _ in 0..3 {
                doubled = doubled.double(k).projective(k);
            }
            let sixteen_times = doubled.double(k).extended(k);
            sum = sixteen_times.add_cached(k, &look_up(k, &table, digit));
        }
        sum.extended(k)
    }
}
