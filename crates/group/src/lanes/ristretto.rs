//! RFC 9496 in lanes: decoding, encoding of doubles, the one-way map.
//!
//! Decoding and the map take one inverse square root a lane, the chain of squarings of two
//! vectors at once: one alone waits for itself. Encoding takes one inversion for a whole
//! [`Block`], by Montgomery's trick from vector to vector: the points are encoded *twice*
//! what they are (see [`EncodeDoubles`]).

use super::curve::Extended;
use super::{Kernel, MAX_LANES, Mask, Words, Work};

/// Vectors of points that share an inversion.
pub(crate) const VECTORS: usize = 16;

/// The points of a block.
pub(crate) type Block<K> = [Extended<K>; VECTORS];

const D: [u64; 4] = [
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
];
/// The square root of -1 that is not negative.
pub(super) const SQRT_M1: [u64; 4] = [
    0xc4ee_1b27_4a0e_a0b0,
    0x2f43_1806_ad2f_e478,
    0x2b4d_0099_3dfb_d7a7,
    0x2b83_2480_4fc1_df0b,
];
/// `1 - d^2`.
const ONE_MINUS_D_SQ: [u64; 4] = [
    0xe27c_09c1_945f_c176,
    0x2c81_a138_cd5e_350f,
    0x9994_abdd_be70_dfe4,
    0x0290_72a8_b2b3_e0d7,
];
/// `(d - 1)^2`.
const D_MINUS_ONE_SQ: [u64; 4] = [
    0x31ad_5aaa_44ed_4d20,
    0xd29e_4a2c_b01e_1999,
    0x4cdc_d32f_529b_4eeb,
    0x5968_b37a_f66c_2241,
];
/// A square root of `a d - 1`.
const SQRT_AD_MINUS_ONE: [u64; 4] = [
    0x7e97_f6a0_497b_2e1b,
    0xaf9d_8e0c_1b78_54bd,
    0x0f3c_fcc9_31f5_d1fd,
    0x3769_31bf_2b83_48ac,
];
/// `1 / sqrt(a - d)`.
const INVSQRT_A_MINUS_D: [u64; 4] = [
    0x99c8_fdaa_805d_40ea,
    0x9d2f_1617_5a41_72be,
    0x16c2_7b91_fe01_d840,
    0x786c_8905_cfaf_fca2,
];

#[inline(always)]
fn mul_each<K: Kernel, const M: usize>(
    k: K,
    a: &[K::Field; M],
    b: &[K::Field; M],
) -> [K::Field; M] {
    let mut product = *a;
    for (a, b) in product.iter_mut().zip(b) {
        *a = k.mul(a, b);
    }
    product
}

/// `a^(2^250 - 1)` and `a^11`, from which inverses and roots are a step away (the chain of
/// Bernstein's *Curve25519*, 2006).
#[inline(always)]
fn power<K: Kernel, const M: usize>(k: K, a: &[K::Field; M]) -> ([K::Field; M], [K::Field; M]) {
    let a2 = k.square_times(a, 1);
    let a9 = mul_each(k, &k.square_times(&a2, 2), a);
    let a11 = mul_each(k, &a9, &a2);
    // `ones_n` is the power of 2^n - 1.
    let ones_5 = mul_each(k, &k.square_times(&a11, 1), &a9);
    let ones_10 = mul_each(k, &k.square_times(&ones_5, 5), &ones_5);
    let ones_20 = mul_each(k, &k.square_times(&ones_10, 10), &ones_10);
    let ones_40 = mul_each(k, &k.square_times(&ones_20, 20), &ones_20);
    let ones_50 = mul_each(k, &k.square_times(&ones_40, 10), &ones_10);
    let ones_100 = mul_each(k, &k.square_times(&ones_50, 50), &ones_50);
    let ones_200 = mul_each(k, &k.square_times(&ones_100, 100), &ones_100);
    let ones_250 = mul_each(k, &k.square_times(&ones_200, 50), &ones_50);
    (ones_250, a11)
}

/// `1 / a`, and zero for zero: `a^(p - 2)`.
#[inline(always)]
fn invert<K: Kernel>(k: K, a: &K::Field) -> K::Field {
    let ([ones_250], [a11]) = power(k, &[*a]);
    let [shifted] = k.square_times(&[ones_250], 5);
    k.mul(&shifted, &a11)
}

/// `SQRT_RATIO_M1` of RFC 9496, section 4.2, of several vectors at once.
#[inline(always)]
fn sqrt_ratio<K: Kernel, const M: usize>(
    k: K,
    u: &[K::Field; M],
    v: &[K::Field; M],
) -> ([Mask; M], [K::Field; M]) {
    let v3 = mul_each(k, &k.square_times(v, 1), v);
    let v7 = mul_each(k, &k.square_times(&v3, 1), v);
    let uv7 = mul_each(k, u, &v7);
    // a^((p - 5) / 8) is a^(2^252 - 3).
    let (ones_250, _) = power(k, &uv7);
    let root = mul_each(k, &k.square_times(&ones_250, 2), &uv7);
    let mut roots = mul_each(k, &mul_each(k, u, &v3), &root);
    let squares = mul_each(k, v, &k.square_times(&roots, 1));
    let i = k.constant(SQRT_M1);
    let mut was_square = [0; M];
    for at in 0..M {
        let minus_u = k.sub(&k.nought(), &u[at]);
        let correct = k.equal(&squares[at], &u[at]);
        let flipped = k.equal(&squares[at], &minus_u);
        let flipped_i = k.equal(&squares[at], &k.mul(&minus_u, &i));
        let turned = k.mul(&roots[at], &i);
        roots[at] = k.abs(&k.select(flipped | flipped_i, &turned, &roots[at]));
        was_square[at] = correct | flipped;
    }
    (was_square, roots)
}

/// The points of canonical, non-negative numbers, by RFC 9496, section 4.3.1, and the lanes
/// whose number encodes no point. Those lanes hold no point of the group.
pub(crate) struct Decode<'a>(pub(crate) &'a [Words; 2]);

impl<K: Kernel> Work<K> for Decode<'_> {
    type Out = ([Extended<K>; 2], [Mask; 2]);

    #[inline(always)]
    fn run(self, k: K) -> Self::Out {
        decode(k, self.0)
    }
}

/// Not by `map`: its closure would stand outside of what is compiled for the processor.
#[inline(always)]
fn load_each<K: Kernel, const M: usize>(k: K, numbers: &[Words; M]) -> [K::Field; M] {
    let mut loaded = [k.nought(); M];
    for at in 0..M {
        loaded[at] = k.load(&numbers[at]);
    }
    loaded
}

#[inline(always)]
fn decode<K: Kernel, const M: usize>(k: K, numbers: &[Words; M]) -> ([Extended<K>; M], [Mask; M]) {
    let one = k.one();
    let s = load_each(k, numbers);
    let (mut u1, mut u2, mut v, mut vu2u2) = (s, s, s, s);
    for at in 0..M {
        let ss = k.square(&s[at]);
        u1[at] = k.sub(&one, &ss);
        u2[at] = k.add(&one, &ss);
        let u2u2 = k.square(&u2[at]);
        let du1u1 = k.mul(&k.constant(D), &k.square(&u1[at]));
        v[at] = k.sub(&k.nought(), &k.add(&du1u1, &u2u2));
        vu2u2[at] = k.mul(&v[at], &u2u2);
    }
    let (was_square, roots) = sqrt_ratio(k, &[one; M], &vu2u2);
    let mut points = [Extended::identity(k); M];
    let mut bad = [0; M];
    for at in 0..M {
        let den_x = k.mul(&roots[at], &u2[at]);
        let den_y = k.mul(&k.mul(&roots[at], &den_x), &v[at]);
        let x = k.abs(&k.mul(&k.add(&s[at], &s[at]), &den_x));
        let y = k.mul(&u1[at], &den_y);
        let t = k.mul(&x, &y);
        bad[at] = K::ALL & !was_square[at] | k.negative(&t) | k.zero(&y);
        points[at] = Extended { x, y, z: one, t };
    }
    (points, bad)
}

/// The one-way map of RFC 9496, section 4.3.4: `MAP` of both halves, added.
pub(crate) struct Map<'a>(pub(crate) &'a [Words; 2]);

impl<K: Kernel> Work<K> for Map<'_> {
    type Out = Extended<K>;

    #[inline(always)]
    fn run(self, k: K) -> Extended<K> {
        let [first, second] = map_halves(k, self.0);
        first.add(k, &second).extended(k)
    }
}

#[inline(always)]
fn map_halves<K: Kernel>(k: K, halves: &[Words; 2]) -> [Extended<K>; 2] {
    let (one, d) = (k.one(), k.constant(D));
    let minus_one = k.sub(&k.nought(), &one);
    let t = load_each(k, halves);
    let (mut r, mut u, mut v) = (t, t, t);
    for at in 0..2 {
        r[at] = k.mul(&k.constant(SQRT_M1), &k.square(&t[at]));
        u[at] = k.mul(&k.add(&r[at], &one), &k.constant(ONE_MINUS_D_SQ));
        let minus_one_less_rd = k.sub(&minus_one, &k.mul(&r[at], &d));
        v[at] = k.mul(&minus_one_less_rd, &k.add(&r[at], &d));
    }
    let (was_square, roots) = sqrt_ratio(k, &u, &v);
    let mut points = [Extended::identity(k); 2];
    for at in 0..2 {
        let other = k.sub(&k.nought(), &k.abs(&k.mul(&roots[at], &t[at])));
        let s = k.select(was_square[at], &roots[at], &other);
        let c = k.select(was_square[at], &minus_one, &r[at]);
        let c_r = k.mul(&c, &k.sub(&r[at], &one));
        let n = k.sub(&k.mul(&c_r, &k.constant(D_MINUS_ONE_SQ)), &v[at]);
        let ss = k.square(&s);
        let w0 = k.mul(&k.add(&s, &s), &v[at]);
        let w1 = k.mul(&n, &k.constant(SQRT_AD_MINUS_ONE));
        let (w2, w3) = (k.sub(&one, &ss), k.add(&one, &ss));
        points[at] = Extended {
            x: k.mul(&w0, &w3),
            y: k.mul(&w2, &w1),
            z: k.mul(&w1, &w3),
            t: k.mul(&w0, &w2),
        };
    }
    points
}

/// The doubled point `(EH : FG : FH : EG)` of a point, before its multiplications.
#[derive(Clone, Copy)]
struct Doubled<K: Kernel> {
    e: K::Field,
    f: K::Field,
    g: K::Field,
    h: K::Field,
    eg: K::Field,
    fh: K::Field,
}

#[inline(always)]
fn doubled<K: Kernel>(k: K, point: &Extended<K>) -> Doubled<K> {
    let zz = k.square(&point.z);
    let dtt = k.mul(&k.constant(D), &k.square(&point.t));
    let e = k.mul(&point.x, &k.add(&point.y, &point.y));
    let f = k.add(&zz, &dtt);
    let g = k.reduce(&k.wide_add(&k.wide_square(&point.y), &k.wide_square(&point.x)));
    let h = k.sub(&zz, &dtt);
    Doubled {
        e,
        f,
        g,
        h,
        eg: k.mul(&e, &g),
        fh: k.mul(&f, &h),
    }
}

/// Writes the encodings of the doubles of points, one vector of numbers each.
///
/// The square root in the encoding of RFC 9496, section 4.3.2, is of a known square when the
/// point is a double: the parts of the doubling formula give it, and what is left is an
/// inversion, which a block shares (Hamburg's *Decaf*, 2015; the formula is the one of
/// curve25519-dalek's `double_and_compress_batch`).
pub(crate) struct EncodeDoubles<'a, K: Kernel> {
    pub(crate) points: &'a [Extended<K>],
    pub(crate) out: &'a mut [Words],
}

impl<K: Kernel> Work<K> for EncodeDoubles<'_, K> {
    type Out = ();

    #[inline(always)]
    fn run(self, k: K) {
        let Self { points, out } = self;
        let one = k.one();
        // What stands before each vector's own product, and which lanes are zero there: the
        // identity's. One is put into their place, so that they spoil no other vector.
        let mut before = [(one, 0); VECTORS];
        let mut product = one;
        for (point, slot) in points.iter().zip(&mut before) {
            let double = doubled(k, point);
            let own = k.mul(&double.eg, &double.fh);
            let zero = k.zero(&own);
            *slot = (product, zero);
            product = k.mul(&product, &k.select(zero, &one, &own));
        }
        let mut inverse = invert(k, &product);
        let vectors = points.iter().zip(&before).zip(out.iter_mut());
        for ((point, (before, zero)), out) in vectors.rev() {
            let double = doubled(k, point);
            let own = k.mul(&double.eg, &double.fh);
            let own_inverse = k.select(*zero, &k.nought(), &k.mul(&inverse, before));
            inverse = k.mul(&inverse, &k.select(*zero, &one, &own));
            *out = k.store(&encode(k, &double, &own_inverse));
        }
    }
}

/// The number that encodes a doubled point, from `1 / EFGH`.
#[inline(always)]
fn encode<K: Kernel>(k: K, double: &Doubled<K>, inverse: &K::Field) -> K::Field {
    let i = k.constant(SQRT_M1);
    let z_inverse = k.mul(&double.eg, inverse);
    let t_inverse = k.mul(&double.fh, inverse);
    // Of the four points of a coset, the two with x y not negative.
    let rotate = k.negative(&k.mul(&double.eg, &z_inverse));
    let minus_e = k.sub(&k.nought(), &double.e);
    let e = k.select(rotate, &double.g, &double.e);
    let g = k.select(rotate, &minus_e, &double.g);
    let h = k.select(rotate, &k.mul(&double.f, &i), &double.h);
    let root = k.select(rotate, &i, &k.constant(INVSQRT_A_MINUS_D));
    // Of those two, the one with x not negative.
    let g = k.negate_where(k.negative(&k.mul(&k.mul(&h, &e), &z_inverse)), &g);
    let s = k.mul(&k.sub(&h, &g), &k.mul(&root, &k.mul(&g, &t_inverse)));
    k.abs(&s)
}

/// The numbers that encode points as they are, by RFC 9496, section 4.3.2: an inverse square root
/// a lane, where a double's encoding shares an inversion.
pub(crate) struct Encode<'a, K: Kernel>(pub(crate) &'a [Extended<K>; 2]);

impl<K: Kernel> Work<K> for Encode<'_, K> {
    type Out = [Words; 2];

    #[inline(always)]
    fn run(self, k: K) -> [Words; 2] {
        let (one, i) = (k.one(), k.constant(SQRT_M1));
        let (mut u1, mut u2, mut v) = ([one; 2], [one; 2], [one; 2]);
        for (at, point) in self.0.iter().enumerate() {
            u1[at] = k.mul(&k.add(&point.z, &point.y), &k.sub(&point.z, &point.y));
            u2[at] = k.mul(&point.x, &point.y);
            v[at] = k.mul(&u1[at], &k.square(&u2[at]));
        }
        let (_, roots) = sqrt_ratio(k, &[one; 2], &v);
        let mut out = [[[0; 4]; MAX_LANES]; 2];
        for (at, point) in self.0.iter().enumerate() {
            let den1 = k.mul(&roots[at], &u1[at]);
            let den2 = k.mul(&roots[at], &u2[at]);
            let z_inverse = k.mul(&k.mul(&den1, &den2), &point.t);
            // Of the four points of a coset, the two with x y not negative.
            let rotate = k.negative(&k.mul(&point.t, &z_inverse));
            let x = k.select(rotate, &k.mul(&point.y, &i), &point.x);
            let y = k.select(rotate, &k.mul(&point.x, &i), &point.y);
            let enchanted = k.mul(&den1, &k.constant(INVSQRT_A_MINUS_D));
            let den = k.select(rotate, &enchanted, &den2);
            // Of those two, the one with x not negative.
            let y = k.negate_where(k.negative(&k.mul(&x, &z_inverse)), &y);
            out[at] = k.store(&k.abs(&k.mul(&den, &k.sub(&point.z, &y))));
        }
        out
    }
}
