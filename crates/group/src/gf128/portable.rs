//! Products without instructions made for them.
//!
//! A carry-less product of words comes of integer products of words with three zeros between
//! any two of their bits, where the zeros take up the carries (BearSSL, `ghash_ctmul64`).
//! Integer multiplication takes constant time on the processors this runs on.

use super::batch::{Multiply, Work};

/// Integer instructions, which every processor has.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Multiply for Portable {
    fn mul(self, a: u128, b: u128) -> u128 {
        mul(a, b)
    }

    fn enter<W: Work>(self, work: W) -> W::Out {
        work.run(self)
    }
}

/// `x^7 + x^2 + x + 1`: what `x^128` is.
const FOLD: u128 = 0x87;
/// Each fourth bit.
const FOURTHS: u64 = 0x1111_1111_1111_1111;

pub(super) const fn mul_x(a: u128) -> u128 {
    (a << 1) ^ (FOLD & (a >> 127).wrapping_neg())
}

pub(super) fn mul(a: u128, b: u128) -> u128 {
    let (a0, a1, b0, b1) = (low(a), high(a), low(b), high(b));
    let (bottom, top) = (clmul(a0, b0), clmul(a1, b1));
    let middle = clmul(a0 ^ a1, b0 ^ b1) ^ bottom ^ top;
    reduce(bottom ^ (middle << 64), top ^ (middle >> 64))
}

pub(super) fn square(a: u128) -> u128 {
    reduce(spread(low(a)), spread(high(a)))
}

fn low(a: u128) -> u64 {
    a as u64
}

fn high(a: u128) -> u64 {
    (a >> 64) as u64
}

/// The remainder of `high x^128 + low`.
fn reduce(low: u128, high: u128) -> u128 {
    // What x^7, x^2 and x shift out at the top comes in again at the bottom.
    let over = (high >> 127) ^ (high >> 126) ^ (high >> 121);
    let folded = high ^ over;
    low ^ folded ^ (folded << 1) ^ (folded << 2) ^ (folded << 7)
}

fn clmul(a: u64, b: u64) -> u128 {
    // The low half of the mirrored product is the mirrored high half, one place off.
    let top = clmul_low(a.reverse_bits(), b.reverse_bits()).reverse_bits() >> 1;
    (u128::from(top) << 64) | u128::from(clmul_low(a, b))
}

/// The lowest 64 coefficients. At most 16 products meet in a bit: those carry into the next
/// one that counts only at the very top, where it falls off.
fn clmul_low(a: u64, b: u64) -> u64 {
    let part = |word: u64, i: u32| word & (FOURTHS << i);
    let sum = |i: u32| {
        let products = (0..4).map(|j| part(a, j).wrapping_mul(part(b, (4 + i - j) % 4)));
        part(products.fold(0, |sum, product| sum ^ product), i)
    };
    sum(0) | sum(1) | sum(2) | sum(3)
}

/// A zero above each bit: the square of a polynomial over two elements.
fn spread(a: u64) -> u128 {
    let steps = [
        (32, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (16, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333_3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555_5555_5555_5555_5555_u128),
    ];
    let apart = |bits: u128, (shift, mask): (u32, u128)| (bits | (bits << shift)) & mask;
    steps.into_iter().fold(u128::from(a), apart)
}
