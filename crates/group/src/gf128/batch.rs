//! Many products at once: each loop is written once, and compiled for each way to multiply.

use super::{Gf128, Instructions};

/// A way to multiply.
pub(super) trait Multiply: Copy {
    /// The product.
    fn mul(self, a: u128, b: u128) -> u128;
    /// Does work compiled for this way.
    fn enter<W: Work>(self, work: W) -> W::Out;
}

/// A loop of products. Its `run` is `inline(always)`, so that the instructions are compiled
/// into it.
pub(super) trait Work {
    /// What comes of it.
    type Out;
    /// Does it.
    fn run(self, multiply: impl Multiply) -> Self::Out;
}

/// Adds to each element of `sums` its element of `terms` times `by`.
///
/// The longer slice's rest is left out.
pub fn mul_add(sums: &mut [Gf128], terms: &[Gf128], by: Gf128) {
    Instructions::best().enter(MulAdd { sums, terms, by });
}

/// Adds to each element of `sums` its element of `terms` times its element of `factors`.
///
/// The longer slices' rests are left out.
pub fn add_products(sums: &mut [Gf128], terms: &[Gf128], factors: &[Gf128]) {
    Instructions::best().enter(AddProducts {
        sums,
        terms,
        factors,
    });
}

/// The sum of the terms times powers of `x`: `x^(first + 1)` for the first of them.
#[must_use]
pub fn power_sum(x: Gf128, terms: &[Gf128], first: u64) -> Gf128 {
    let sum = Instructions::best().enter(PowerSum { x, terms });
    sum * power(x, first)
}

/// Adds to each element of `sums` the polynomial `k (c0 + k (c1 + ..))` at its element `k` of
/// `points`.
///
/// The longer slice's rest is left out.
pub fn add_polynomial(sums: &mut [Gf128], points: &[Gf128], coefficients: &[Gf128]) {
    Instructions::best().enter(AddPolynomial {
        sums,
        points,
        coefficients,
    });
}

/// `x` to a power that is no secret.
fn power(x: Gf128, exponent: u64) -> Gf128 {
    let bits = (0..u64::BITS).rev().map(|i| (exponent >> i) & 1 == 1);
    bits.fold(Gf128::ONE, |power, set| {
        let squared = power.square();
        if set { squared * x } else { squared }
    })
}

pub(super) struct MulAdd<'a> {
    pub(super) sums: &'a mut [Gf128],
    pub(super) terms: &'a [Gf128],
    pub(super) by: Gf128,
}

impl Work for MulAdd<'_> {
    type Out = ();
    #[inline(always)]
    fn run(self, multiply: impl Multiply) {
        for (sum, term) in self.sums.iter_mut().zip(self.terms) {
            sum.0 ^= multiply.mul(term.0, self.by.0);
        }
    }
}

pub(super) struct AddProducts<'a> {
    pub(super) sums: &'a mut [Gf128],
    pub(super) terms: &'a [Gf128],
    pub(super) factors: &'a [Gf128],
}

impl Work for AddProducts<'_> {
    type Out = ();
    #[inline(always)]
    fn run(self, multiply: impl Multiply) {
        let terms = self.terms.iter().zip(self.factors);
        for (sum, (term, factor)) in self.sums.iter_mut().zip(terms) {
            sum.0 ^= multiply.mul(term.0, factor.0);
        }
    }
}

pub(super) struct PowerSum<'a> {
    pub(super) x: Gf128,
    pub(super) terms: &'a [Gf128],
}

/// Terms whose products do not wait for one another.
const AHEAD: usize = 8;

impl Work for PowerSum<'_> {
    type Out = Gf128;
    #[inline(always)]
    fn run(self, multiply: impl Multiply) -> Gf128 {
        let mut powers = [self.x.0; AHEAD];
        let mut power = self.x.0;
        for next in powers.iter_mut().skip(1) {
            power = multiply.mul(power, self.x.0);
            *next = power;
        }
        let sum = self.terms.chunks(AHEAD).rev().fold(0, |sum, chunk| {
            let products = chunk.iter().zip(&powers);
            let products = products.map(|(term, power)| multiply.mul(term.0, *power));
            products.fold(multiply.mul(sum, power), |sum, product| sum ^ product)
        });
        Gf128(sum)
    }
}

pub(super) struct AddPolynomial<'a> {
    pub(super) sums: &'a mut [Gf128],
    pub(super) points: &'a [Gf128],
    pub(super) coefficients: &'a [Gf128],
}

impl Work for AddPolynomial<'_> {
    type Out = ();
    #[inline(always)]
    fn run(self, multiply: impl Multiply) {
        for (sum, point) in self.sums.iter_mut().zip(self.points) {
            let value = self
                .coefficients
                .iter()
                .rev()
                .fold(0, |value, coefficient| {
                    multiply.mul(value ^ coefficient.0, point.0)
                });
            sum.0 ^= value;
        }
    }
}
