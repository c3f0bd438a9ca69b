//! Powers of exp(-step) in fixed point, with a bound on how far they are off.

use std::collections::HashMap;

use num_bigint::BigUint;
use num_traits::{One, Zero};

use crate::Ratio;

/// By how many units of the last place a value of [`exp_neg`] can be off.
pub(super) const EXP_ERROR: u32 = 2;

/// 2^`bits` exp(-`x`), off by at most [`EXP_ERROR`]; for up to 2^16 bits.
pub(super) fn exp_neg(x: &Ratio, bits: u64) -> BigUint {
    let whole = x.floor();
    if whole > BigUint::from(bits) {
        return BigUint::zero();
    }
    // exp(-x) = exp(-x/2^s)^(2^s), with x/2^s below 2^-8.
    let s = whole.bits() + 9;
    let precise = bits + s + 16;
    let y = (x.numerator() << (precise - s)) / x.denominator();
    let (mut term, mut n) = (BigUint::one() << precise, 0u32);
    let (mut plus, mut minus) = (term.clone(), BigUint::zero());
    while !term.is_zero() {
        n += 1;
        term = ((term * &y) >> precise) / n;
        if n.is_multiple_of(2) {
            plus += &term;
        } else {
            minus += &term;
        }
    }
    // Each of fewer than precise/8 terms is off by at most 2; each squaring doubles that and
    // adds 1: below 2^16 times 2^s in all.
    let mut power = plus - minus;
    for _ in 0..s {
        power = (&power * &power) >> precise;
    }
    power >> (s + 16)
}

/// Products of powers of exp(-step).
pub(super) struct Powers {
    step: Ratio,
    bits: u64,
    known: HashMap<u128, BigUint>,
}

/// A weight in fixed point, and by how many units of the last place it can be off.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub value: BigUint,
    pub error: u64,
}

impl Powers {
    pub fn new(step: Ratio, bits: u64) -> Self {
        Self {
            step,
            bits,
            known: HashMap::new(),
        }
    }

    /// The weight 1.
    pub fn one(&self) -> Weight {
        Weight {
            value: BigUint::one() << self.bits,
            error: 0,
        }
    }

    /// A weight times exp(-`by` * step).
    ///
    /// Both are at most 1, so errors add up, and rounding down is one more.
    pub fn lighter(&mut self, weight: &Weight, by: u128) -> Weight {
        if by == 0 {
            return weight.clone();
        }
        let (step, bits) = (&self.step, self.bits);
        let power = self.known.entry(by).or_insert_with(|| {
            let x = Ratio::new(step.numerator() * by, step.denominator().clone());
            x.map_or_else(BigUint::zero, |x| exp_neg(&x, bits))
        });
        Weight {
            value: (&weight.value * &*power) >> bits,
            error: weight.error + u64::from(EXP_ERROR) + 1,
        }
    }
}
