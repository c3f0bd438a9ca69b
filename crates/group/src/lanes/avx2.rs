//! Four lanes by AVX2.
//!
//! Radix `2^25.5`: ten limbs of 26 and 25 bits in turn, limb `i` of all four elements in one
//! vector, in the low half of each 64 bits. The instruction multiplies those halves (Bernstein
//! and Schwabe, *NEON crypto*, 2012, for the radix; the columns are those of any
//! implementation with it).
//!
//! # Bounds
//! | value | even limbs | odd limbs |
//! |---|---|---|
//! | reduced | below `2^26` | below `2^25 + 2^19` |
//! | factor (reduced, or of `negate_factor`) | below `2^27` | below `2^26` |
//! | product of reduced elements | below `2^59` | below `2^59` |
//! | product with one factor | below `2^60` | below `2^60` |
//! | what is reduced | below `2^63` | below `2^63` |
//!
//! *Product*: the greatest even column is the first, `a0 b0` and, 19-fold, four products of
//! even limbs and five of odd limbs, which count twice: `1 + 19 (4 + 5/2) < 125` times `2^52`,
//! a little more for what odd limbs exceed. The greatest odd column is `2 + 19 * 8 = 154` times
//! `2^51`. A limb times 19 stays below `2^32`, which the instruction takes: so does an odd
//! limb twice.
//! *Reduction* carries along two chains at once, from limb 0 and from limb 4; what comes out
//! of limb 9 is below `2^39`, goes 19-fold into limb 0 and from there, below `2^18`, into
//! limb 1. Limb 5 gets a second carry, below `2^13`.
//! *Subtraction* of products adds `2^35 p` first, whose limbs are above two products':
//! `2^61 - 2^40` against `2^60`, and `2^60 - 2^35` against `154 * 2^52 < 2^59.3`.

#![expect(
    unsafe_code,
    reason = "instructions that the compiler does not know to be there"
)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_epi8, _mm256_castsi256_pd,
    _mm256_cmpeq_epi64, _mm256_movemask_pd, _mm256_mul_epu32, _mm256_mullo_epi32, _mm256_or_si256,
    _mm256_set_epi64x, _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_sub_epi64,
};
use std::hint::black_box;

use super::{Kernel, MAX_LANES, Mask, Words, Work};

const LANES: usize = 4;
/// The low 26 bits, and the low 25.
const LOW: [u64; 2] = [(1 << 26) - 1, (1 << 25) - 1];

type Limb = __m256i;

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

/// Ten limbs of four elements.
#[derive(Clone, Copy)]
pub(crate) struct Field(pub(super) [Limb; 10]);

/// Ten unreduced limbs of four products.
#[derive(Clone, Copy)]
pub(crate) struct Wide(pub(super) [Limb; 10]);

impl Avx2 {
    /// The proof, if it is so.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// One method for each instruction.
macro_rules! instructions {
    ($($name:ident($($arg:ident),*) = $intrinsic:path;)*) => {
        impl Avx2 {
            $(
                #[inline(always)]
                fn $name(self, $($arg: Limb),*) -> Limb {
                    // SAFETY: `self` exists, so `detect` found the feature that this
                    // instruction needs; it reads and writes no memory.
                    unsafe { $intrinsic($($arg),*) }
                }
            )*
        }
    };
}

instructions! {
    plus(a, b) = _mm256_add_epi64;
    minus(a, b) = _mm256_sub_epi64;
    times(a, b) = _mm256_mul_epu32;
    times_low(a, b) = _mm256_mullo_epi32;
    and(a, b) = _mm256_and_si256;
    or(a, b) = _mm256_or_si256;
    same(a, b) = _mm256_cmpeq_epi64;
    blend(clear, set, mask) = _mm256_blendv_epi8;
    up1(a) = _mm256_slli_epi64::<1>;
    up3(a) = _mm256_slli_epi64::<3>;
    to_sign(a) = _mm256_slli_epi64::<63>;
    down25(a) = _mm256_srli_epi64::<25>;
    down26(a) = _mm256_srli_epi64::<26>;
}

/// The body once for each limb, the number a constant: the compiler leaves two nested loops of
/// ten as loops, at many times the cost.
macro_rules! each_limb {
    ($at:ident => $body:block) => {
        each_limb!($at => $body, 0 1 2 3 4 5 6 7 8 9)
    };
    ($at:ident => $body:block, $($number:literal)*) => {
        $({
            const LIMB: usize = $number;
            let $at = LIMB;
            $body
        })*
    };
}

impl Avx2 {
    #[inline(always)]
    fn all(self, value: u64) -> Limb {
        // SAFETY: as for the other instructions.
        unsafe { _mm256_set1_epi64x(value.cast_signed()) }
    }

    #[inline(always)]
    fn each(self, v: [u64; LANES]) -> Limb {
        let [a, b, c, d] = v.map(u64::cast_signed);
        // SAFETY: as for the other instructions.
        unsafe { _mm256_set_epi64x(d, c, b, a) }
    }

    /// The lanes whose highest bit is set.
    #[inline(always)]
    fn signs(self, a: Limb) -> Mask {
        // SAFETY: as for the other instructions.
        let bits = unsafe { _mm256_movemask_pd(_mm256_castsi256_pd(a)) };
        bits as Mask
    }

    /// All ones in the lanes of the mask.
    #[inline(always)]
    fn widened(self, mask: Mask) -> Limb {
        let bits = self.each([1, 2, 4, 8]);
        self.same(self.and(self.all(u64::from(mask)), bits), bits)
    }

    /// What is carried out of limb `at`.
    #[inline(always)]
    fn carry_of(self, at: usize, limb: Limb) -> Limb {
        if at.is_multiple_of(2) {
            self.down26(limb)
        } else {
            self.down25(limb)
        }
    }

    #[inline(always)]
    fn times19(self, a: Limb) -> Limb {
        let nine = self.plus(a, self.up3(a));
        self.plus(a, self.up1(nine))
    }

    /// `19 a`, for `a` below `2^27`.
    #[inline(always)]
    fn low_times19(self, a: Limb) -> Limb {
        self.times_low(a, self.all(19))
    }

    /// Carries from limb `at` into the next.
    #[inline(always)]
    fn carry(self, limbs: &mut [Limb; 10], at: usize) {
        let carry = self.carry_of(at, limbs[at]);
        limbs[at] = self.and(limbs[at], self.all(LOW[at % 2]));
        if at == 9 {
            limbs[0] = self.plus(limbs[0], self.times19(carry));
        } else {
            limbs[at + 1] = self.plus(limbs[at + 1], carry);
        }
    }

    /// The canonical limbs, of 26 and 25 bits, together below `p`.
    #[inline(always)]
    fn canonical(self, a: &Field) -> [Limb; 10] {
        // The element is below 2p: with 19 added, it has the bit 255 if it is p or more.
        let mut quotient = self.all(19);
        for at in 0..10 {
            quotient = self.carry_of(at, self.plus(a.0[at], quotient));
        }
        let mut carry = self.times19(quotient);
        let mut limbs = a.0;
        for (at, limb) in limbs.iter_mut().enumerate() {
            let sum = self.plus(*limb, carry);
            carry = self.carry_of(at, sum);
            *limb = self.and(sum, self.all(LOW[at % 2]));
        }
        limbs
    }
}

impl Kernel for Avx2 {
    const LANES: usize = LANES;
    const LONG: bool = true;
    type Field = Field;
    type Wide = Wide;
    type Bits = Limb;

    #[inline(always)]
    fn enter<W: Work<Self>>(self, work: W) -> W::Out {
        #[target_feature(enable = "avx2")]
        #[inline(never)]
        fn entry<W: Work<Avx2>>(kernel: Avx2, work: W) -> W::Out {
            work.run(kernel)
        }
        // SAFETY: `self` exists, so `detect` found what `entry` is compiled for.
        unsafe { entry(self, work) }
    }

    #[inline(always)]
    fn constant(self, words: [u64; 4]) -> Field {
        let mut r = [self.all(0); 10];
        for (r, limb) in r.iter_mut().zip(limbs(words)) {
            *r = self.all(limb);
        }
        Field(r)
    }

    #[inline(always)]
    fn load(self, words: &Words) -> Field {
        let mut columns = [[0; LANES]; 10];
        for lane in 0..LANES {
            let limbs = limbs(words[lane]);
            for at in 0..10 {
                columns[at][lane] = limbs[at];
            }
        }
        let mut r = [self.all(0); 10];
        for at in 0..10 {
            r[at] = self.each(columns[at]);
        }
        Field(r)
    }

    #[inline(always)]
    fn store(self, a: &Field) -> Words {
        let canonical = self.canonical(a);
        let mut columns = [[0_u64; LANES]; 10];
        for at in 0..10 {
            // SAFETY: both are 32 bytes without padding, and any bits are a number.
            columns[at] = unsafe { std::mem::transmute::<Limb, [u64; LANES]>(canonical[at]) };
        }
        let mut words = [[0; 4]; MAX_LANES];
        for lane in 0..LANES {
            let [a, b, c, d, e, f, g, h, i, j] = columns.map(|column| column[lane]);
            words[lane] = [
                a | b << 26 | c << 51,
                c >> 13 | d << 13 | e << 38,
                f | g << 25 | h << 51,
                h >> 13 | i << 12 | j << 38,
            ];
        }
        words
    }

    #[inline(always)]
    fn add(self, a: &Field, b: &Field) -> Field {
        let mut r = a.0;
        for at in 0..10 {
            r[at] = self.plus(a.0[at], b.0[at]);
        }
        self.reduce(&Wide(r))
    }

    #[inline(always)]
    fn sub(self, a: &Field, b: &Field) -> Field {
        let mut r = a.0;
        for at in 0..10 {
            let twice_p = self.all(modulus(at) << 1);
            r[at] = self.minus(self.plus(a.0[at], twice_p), b.0[at]);
        }
        self.reduce(&Wide(r))
    }

    #[inline(always)]
    fn wide_mul(self, a: &Field, b: &Field) -> Wide {
        let (mut twice, mut b19) = (a.0, b.0);
        for at in 0..10 {
            twice[at] = self.plus(a.0[at], a.0[at]);
            b19[at] = self.low_times19(b.0[at]);
        }
        let mut r = [self.all(0); 10];
        each_limb!(i => {
            each_limb!(j => {
                // Two odd limbs stand half a bit each above where the radix has them.
                let left = if i % 2 == 1 && j % 2 == 1 { twice[i] } else { a.0[i] };
                let right = if i + j < 10 { b.0[j] } else { b19[j] };
                let product = self.times(left, right);
                r[(i + j) % 10] = self.plus(r[(i + j) % 10], product);
            });
        });
        Wide(r)
    }

    #[inline(always)]
    fn wide_square(self, a: &Field) -> Wide {
        let (mut twice, mut a19) = (a.0, a.0);
        for at in 0..10 {
            twice[at] = self.plus(a.0[at], a.0[at]);
            a19[at] = self.low_times19(a.0[at]);
        }
        let mut r = [self.all(0); 10];
        each_limb!(i => {
            each_limb!(j => {
                if i <= j {
                    let odd = i % 2 == 1 && j % 2 == 1;
                    let left = if i < j { twice[i] } else { a.0[i] };
                    let right = match (i + j < 10, odd) {
                        (true, false) => a.0[j],
                        (true, true) => twice[j],
                        (false, _) => a19[j],
                    };
                    let product = self.times(left, right);
                    // The 19-fold of an odd limb, twice, is too long for a factor.
                    let times = if i + j >= 10 && odd { 2 } else { 1 };
                    for _ in 0..times {
                        r[(i + j) % 10] = self.plus(r[(i + j) % 10], product);
                    }
                }
            });
        });
        Wide(r)
    }

    #[inline(always)]
    fn wide_add(self, a: &Wide, b: &Wide) -> Wide {
        let mut r = a.0;
        for at in 0..10 {
            r[at] = self.plus(a.0[at], b.0[at]);
        }
        Wide(r)
    }

    #[inline(always)]
    fn wide_sub(self, a: &Wide, b: &Wide) -> Wide {
        let mut r = a.0;
        for at in 0..10 {
            let bias = self.all(modulus(at) << 35);
            r[at] = self.minus(self.plus(a.0[at], bias), b.0[at]);
        }
        Wide(r)
    }

    #[inline(always)]
    fn reduce(self, a: &Wide) -> Field {
        let mut limbs = a.0;
        each_limb!(at => { self.carry(&mut limbs, at) }, 0 4 1 5 2 6 3 7 4 8 9 0);
        Field(limbs)
    }

    #[inline(always)]
    fn negative(self, a: &Field) -> Mask {
        self.signs(self.to_sign(self.canonical(a)[0]))
    }

    #[inline(always)]
    fn zero(self, a: &Field) -> Mask {
        let limbs = self.canonical(a);
        let mut any = limbs[0];
        for limb in &limbs[1..] {
            any = self.or(any, *limb);
        }
        self.signs(self.same(any, self.all(0)))
    }

    #[inline(always)]
    fn select(self, mask: Mask, set: &Field, clear: &Field) -> Field {
        let mask = self.widened(mask);
        let mut r = clear.0;
        for at in 0..10 {
            r[at] = self.blend(clear.0[at], set.0[at], mask);
        }
        Field(r)
    }

    #[inline(always)]
    fn merge(self, into: &Field, from: &Field, bits: u64) -> Field {
        self.merge_lanes(into, from, &self.all(bits))
    }

    #[inline(always)]
    fn spread(self, mask: Mask) -> Limb {
        black_box(self.widened(mask))
    }

    #[inline(always)]
    fn merge_lanes(self, into: &Field, from: &Field, bits: &Limb) -> Field {
        let mut r = into.0;
        for at in 0..10 {
            r[at] = self.or(into.0[at], self.and(from.0[at], *bits));
        }
        Field(r)
    }

    #[inline(always)]
    fn negate_factor(self, a: &Field, bits: u64) -> Field {
        let mask = self.all(bits);
        let mut r = a.0;
        for at in 0..10 {
            let twice_p = self.all(modulus(at) << 1);
            r[at] = self.blend(a.0[at], self.minus(twice_p, a.0[at]), mask);
        }
        Field(r)
    }
}

/// Limb `at` of `p`.
#[inline(always)]
fn modulus(at: usize) -> u64 {
    LOW[at % 2] - if at == 0 { 18 } else { 0 }
}

/// The limbs of a number, less its bit 255.
#[inline(always)]
fn limbs([a, b, c, d]: [u64; 4]) -> [u64; 10] {
    let [even, odd] = LOW;
    [
        a & even,
        (a >> 26) & odd,
        (a >> 51 | b << 13) & even,
        (b >> 13) & odd,
        b >> 38,
        c & odd,
        (c >> 25) & even,
        (c >> 51 | d << 13) & odd,
        (d >> 12) & even,
        (d >> 38) & odd,
    ]
}
