//! Eight lanes by AVX-512 IFMA.
//!
//! Radix `2^51`, five limbs, struct of arrays: limb `i` of all eight elements is one vector.
//! The instruction multiplies the low 52 bits of two limbs and adds the low or the high 52
//! bits of the product to an accumulator (Gueron and Krasnov 2016; for elliptic curves in
//! lanes Cheng, Fotiadis, Großschädl, Ryan and Rønne 2021).
//!
//! # Bounds
//! | value | bound of each limb |
//! |---|---|
//! | reduced | below `2^51 + 2^18` |
//! | factor (reduced, or of `negate_factor`) | below `2^52`, as the instruction ignores more |
//! | product of reduced elements | below `2^59` |
//! | product with one factor below `2^52` | below `2^60` |
//! | what is reduced | below `2^64` |
//!
//! *Product*: column `k` holds `z` low and `h` high parts, and as a high part weighs
//! `2^52 = 2 * 2^51`, it is counted twice; columns 5 to 9 come down 19-fold. A low part is
//! below `2^52`, a high part of reduced limbs below `2^50 + 2^18`, of a limb below `2^52` with
//! a reduced one below `2^51 + 2^18`. Limb 0 is the greatest: `1 + 19 (4 + 10/4) < 125` times
//! `2^52`, or `1 + 19 (4 + 10/2) = 172` times with the larger factor.
//! *Reduction*: a limb below `2^64` carries less than `2^13`, of which limb 0 gets 19-fold:
//! below `2^51 + 19 * 2^13`.
//! *Subtraction* of products adds `2^11 p` first, each limb of which is at least
//! `2^62 - 2^16`, more than two products.

#![expect(
    unsafe_code,
    reason = "instructions that the compiler does not know to be there"
)]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_mask_blend_epi64, _mm512_movm_epi64, _mm512_mullo_epi64, _mm512_or_si512,
    _mm512_set_epi64, _mm512_set1_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
    _mm512_ternarylogic_epi64, _mm512_test_epi64_mask, _mm512_testn_epi64_mask,
};
use std::hint::black_box;

use super::{Kernel, MAX_LANES, Mask, Words, Work};

/// The low 51 bits.
const LOW: u64 = (1 << 51) - 1;
/// `p`, the four limbs after the first alike.
const P: [u64; 2] = [LOW - 18, LOW];
/// `acc | (entry & bits)` for the three-way logic instruction.
const OR_AND: i32 = 0xf8;

type Limb = __m512i;

/// Proof that the processor has AVX-512 IFMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ifma(());

/// Five limbs of eight elements.
#[derive(Clone, Copy)]
pub(crate) struct Field(pub(super) [Limb; 5]);

/// Five unreduced limbs of eight products.
#[derive(Clone, Copy)]
pub(crate) struct Wide(pub(super) [Limb; 5]);

impl Ifma {
    /// The proof, if it is so.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512ifma"))
        .then_some(Self(()))
    }
}

/// One method for each instruction.
macro_rules! instructions {
    ($($name:ident($($arg:ident),*) = $intrinsic:path;)*) => {
        impl Ifma {
            $(
                #[inline(always)]
                fn $name(self, $($arg: Limb),*) -> Limb {
                    // SAFETY: `self` exists, so `detect` found the features that this
                    // instruction needs; it reads and writes no memory.
                    unsafe { $intrinsic($($arg),*) }
                }
            )*
        }
    };
}

instructions! {
    plus(a, b) = _mm512_add_epi64;
    minus(a, b) = _mm512_sub_epi64;
    and(a, b) = _mm512_and_si512;
    or(a, b) = _mm512_or_si512;
    low(sum, a, b) = _mm512_madd52lo_epu64;
    high(sum, a, b) = _mm512_madd52hi_epu64;
    or_and(a, b, c) = _mm512_ternarylogic_epi64::<OR_AND>;
    times(a, b) = _mm512_mullo_epi64;
    carry_of(a) = _mm512_srli_epi64::<51>;
}

impl Ifma {
    #[inline(always)]
    fn all(self, value: u64) -> Limb {
        // SAFETY: as for the other instructions.
        unsafe { _mm512_set1_epi64(value.cast_signed()) }
    }

    #[inline(always)]
    fn each(self, v: [u64; MAX_LANES]) -> Limb {
        let [a, b, c, d, e, f, g, h] = v.map(u64::cast_signed);
        // SAFETY: as for the other instructions.
        unsafe { _mm512_set_epi64(h, g, f, e, d, c, b, a) }
    }

    #[inline(always)]
    fn blend(self, mask: Mask, set: Limb, clear: Limb) -> Limb {
        // SAFETY: as for the other instructions.
        unsafe { _mm512_mask_blend_epi64(mask, clear, set) }
    }

    /// `19 a`, for `a` below `2^59`.
    #[inline(always)]
    fn times19(self, a: Limb) -> Limb {
        self.times(a, self.all(19))
    }

    /// Adds the columns 5 to 9 to the columns 0 to 4.
    #[inline(always)]
    fn fold(self, t: &[Limb; 10]) -> Wide {
        let mut r = [t[0]; 5];
        for k in 0..5 {
            r[k] = self.plus(t[k], self.times19(t[k + 5]));
        }
        Wide(r)
    }

    /// The canonical limbs, each below `2^51`, together below `p`.
    #[inline(always)]
    fn canonical(self, a: &Field) -> [Limb; 5] {
        // The element is below 2p: with 19 added, it has the bit 255 if it is p or more.
        let mut quotient = self.carry_of(self.plus(a.0[0], self.all(19)));
        for limb in &a.0[1..] {
            quotient = self.carry_of(self.plus(*limb, quotient));
        }
        let mut carry = self.times19(quotient);
        let mut limbs = a.0;
        for limb in &mut limbs {
            let sum = self.plus(*limb, carry);
            carry = self.carry_of(sum);
            *limb = self.and(sum, self.all(LOW));
        }
        limbs
    }
}

impl Kernel for Ifma {
    const LANES: usize = 8;
    const LONG: bool = false;
    type Field = Field;
    type Wide = Wide;
    type Bits = Limb;

    #[inline(always)]
    fn enter<W: Work<Self>>(self, work: W) -> W::Out {
        #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
        #[inline(never)]
        fn entry<W: Work<Ifma>>(kernel: Ifma, work: W) -> W::Out {
            work.run(kernel)
        }
        // SAFETY: `self` exists, so `detect` found what `entry` is compiled for.
        unsafe { entry(self, work) }
    }

    #[inline(always)]
    fn constant(self, words: [u64; 4]) -> Field {
        let mut r = [self.all(0); 5];
        for (r, limb) in r.iter_mut().zip(limbs(words)) {
            *r = self.all(limb);
        }
        Field(r)
    }

    #[inline(always)]
    fn load(self, words: &Words) -> Field {
        let mut columns = [[0; MAX_LANES]; 5];
        for lane in 0..MAX_LANES {
            let limbs = limbs(words[lane]);
            for k in 0..5 {
                columns[k][lane] = limbs[k];
            }
        }
        let mut r = [self.all(0); 5];
        for k in 0..5 {
            r[k] = self.each(columns[k]);
        }
        Field(r)
    }

    #[inline(always)]
    fn store(self, a: &Field) -> Words {
        let canonical = self.canonical(a);
        let mut words = [[0; 4]; MAX_LANES];
        let mut columns = [[0_u64; MAX_LANES]; 5];
        for k in 0..5 {
            // SAFETY: both are 64 bytes without padding, and any bits are a number.
            columns[k] = unsafe { std::mem::transmute::<Limb, [u64; MAX_LANES]>(canonical[k]) };
        }
        for lane in 0..MAX_LANES {
            let [a, b, c, d, e] = columns.map(|column| column[lane]);
            words[lane] = [
                a | b << 51,
                b >> 13 | c << 38,
                c >> 26 | d << 25,
                d >> 39 | e << 12,
            ];
        }
        words
    }

    #[inline(always)]
    fn add(self, a: &Field, b: &Field) -> Field {
        let mut r = a.0;
        for k in 0..5 {
            r[k] = self.plus(a.0[k], b.0[k]);
        }
        self.reduce(&Wide(r))
    }

    #[inline(always)]
    fn sub(self, a: &Field, b: &Field) -> Field {
        let mut r = a.0;
        for k in 0..5 {
            let twice_p = self.all(2 * P[k.min(1)]);
            r[k] = self.minus(self.plus(a.0[k], twice_p), b.0[k]);
        }
        self.reduce(&Wide(r))
    }

    #[inline(always)]
    fn wide_mul(self, a: &Field, b: &Field) -> Wide {
        let mut t = [self.all(0); 10];
        for i in 0..5 {
            for j in 0..5 {
                t[i + j + 1] = self.high(t[i + j + 1], a.0[i], b.0[j]);
            }
        }
        for column in &mut t[1..] {
            *column = self.plus(*column, *column);
        }
        for i in 0..5 {
            for j in 0..5 {
                t[i + j] = self.low(t[i + j], a.0[i], b.0[j]);
            }
        }
        self.fold(&t)
    }

    /// Each pair of different limbs once, doubled: high parts count 4 and 2 times, low parts 2
    /// times and once.
    #[inline(always)]
    fn wide_square(self, a: &Field) -> Wide {
        let mut t = [self.all(0); 10];
        for i in 0..5 {
            for j in i + 1..5 {
                t[i + j + 1] = self.high(t[i + j + 1], a.0[i], a.0[j]);
            }
        }
        for column in &mut t[2..9] {
            *column = self.plus(*column, *column);
        }
        for i in 0..5 {
            t[2 * i + 1] = self.high(t[2 * i + 1], a.0[i], a.0[i]);
            for j in i + 1..5 {
                t[i + j] = self.low(t[i + j], a.0[i], a.0[j]);
            }
        }
        for column in &mut t[1..] {
            *column = self.plus(*column, *column);
        }
        for i in 0..5 {
            t[2 * i] = self.low(t[2 * i], a.0[i], a.0[i]);
        }
        self.fold(&t)
    }

    #[inline(always)]
    fn wide_add(self, a: &Wide, b: &Wide) -> Wide {
        let mut r = a.0;
        for k in 0..5 {
            r[k] = self.plus(a.0[k], b.0[k]);
        }
        Wide(r)
    }

    #[inline(always)]
    fn wide_sub(self, a: &Wide, b: &Wide) -> Wide {
        let mut r = a.0;
        for k in 0..5 {
            let bias = self.all(P[k.min(1)] << 11);
            r[k] = self.minus(self.plus(a.0[k], bias), b.0[k]);
        }
        Wide(r)
    }

    #[inline(always)]
    fn reduce(self, a: &Wide) -> Field {
        let low = self.all(LOW);
        let mut r = a.0;
        for k in 0..5 {
            r[k] = self.and(r[k], low);
        }
        for k in 1..5 {
            r[k] = self.plus(r[k], self.carry_of(a.0[k - 1]));
        }
        r[0] = self.low(r[0], self.carry_of(a.0[4]), self.all(19));
        Field(r)
    }

    #[inline(always)]
    fn negative(self, a: &Field) -> Mask {
        let low = self.canonical(a)[0];
        // SAFETY: as for the other instructions.
        unsafe { _mm512_test_epi64_mask(low, self.all(1)) }
    }

    #[inline(always)]
    fn zero(self, a: &Field) -> Mask {
        let [a, b, c, d, e] = self.canonical(a);
        let any = self.or(self.or(self.or(a, b), self.or(c, d)), e);
        // SAFETY: as for the other instructions.
        unsafe { _mm512_testn_epi64_mask(any, any) }
    }

    #[inline(always)]
    fn select(self, mask: Mask, set: &Field, clear: &Field) -> Field {
        let mut r = clear.0;
        for k in 0..5 {
            r[k] = self.blend(mask, set.0[k], clear.0[k]);
        }
        Field(r)
    }

    #[inline(always)]
    fn merge(self, into: &Field, from: &Field, bits: u64) -> Field {
        self.merge_lanes(into, from, &self.all(bits))
    }

    #[inline(always)]
    fn spread(self, mask: Mask) -> Limb {
        // SAFETY: as for the other instructions.
        let bits = unsafe { _mm512_movm_epi64(mask) };
        // A load under a mask may leave memory alone where the mask is empty: none is to be made.
        black_box(bits)
    }

    #[inline(always)]
    fn merge_lanes(self, into: &Field, from: &Field, bits: &Limb) -> Field {
        let mut r = into.0;
        for k in 0..5 {
            r[k] = self.or_and(into.0[k], from.0[k], *bits);
        }
        Field(r)
    }

    #[inline(always)]
    fn negate_factor(self, a: &Field, bits: u64) -> Field {
        let mask = (bits & 0xff) as Mask;
        let mut r = a.0;
        for k in 0..5 {
            let twice_p = self.all(2 * P[k.min(1)]);
            r[k] = self.blend(mask, self.minus(twice_p, a.0[k]), a.0[k]);
        }
        Field(r)
    }
}

/// The limbs of a number, less its bit 255.
#[inline(always)]
fn limbs([a, b, c, d]: [u64; 4]) -> [u64; 5] {
    [
        a & LOW,
        (a >> 51 | b << 13) & LOW,
        (b >> 38 | c << 26) & LOW,
        (c >> 25 | d << 39) & LOW,
        (d >> 12) & LOW,
    ]
}
