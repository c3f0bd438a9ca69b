//! A fast Fourier transform of our own, because its rounding error is part of what is claimed.
//!
//! Radix 2, powers of two: forward by decimation in frequency leaves the coefficients in
//! bit-reversed order, which products entry by entry do not mind, and back by decimation in
//! time takes them from there. Only the four operations and [`libm`]'s sine and cosine, so
//! the bits are the same on every machine.
//! # Error
//! Each output is a sum of inputs times at most log2 N twiddle factors, formed by log2 N
//! additions. A twiddle factor is off by at most 2u, a complex product adds at most sqrt(5) u
//! and an addition u, relatively, u = 2^-53 (Higham 2002, section 24.1; Brent, Percival,
//! Zimmermann 2007). So each output is off by at most ((1+u)(1+2u)(1+sqrt(5) u))^log2 N - 1
//! times the sum of the inputs' magnitudes, which [`Fft::error`] bounds by 8 u (log2 N + 2).

use std::ops::{Add, Mul, Sub};

/// Half of the distance from 1 to the next number.
pub(super) const UNIT_ROUNDOFF: f64 = f64::EPSILON / 2.0;

/// Sums that run side by side.
const LANES: usize = 4;

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Complex {
    pub re: f64,
    pub im: f64,
}

impl Complex {
    pub const ONE: Self = Self { re: 1.0, im: 0.0 };

    pub fn magnitude(self) -> f64 {
        (self.re * self.re + self.im * self.im).sqrt()
    }

    pub fn conjugate(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    /// By squaring; relative error at most 3 u `exponent`.
    pub fn power(self, mut exponent: u64) -> Self {
        let (mut square, mut product) = (self, Self::ONE);
        while exponent > 0 {
            if exponent & 1 == 1 {
                product = product * square;
            }
            square = square * square;
            exponent >>= 1;
        }
        product
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

/// The transform of one length.
#[derive(Clone, Debug)]
pub(super) struct Fft {
    /// exp(-2 pi i k / length) for k below length/2, lengths from the whole down to 2.
    stages: Vec<Vec<Complex>>,
}

impl Fft {
    /// The transform of 2^`log_length` numbers.
    pub fn new(log_length: u32) -> Self {
        let half = (1u64 << log_length) / 2;
        let angle = |k: u64| -core::f64::consts::PI * k as f64 / half as f64;
        let twiddle = |k: u64| Complex {
            re: libm::cos(angle(k)),
            im: libm::sin(angle(k)),
        };
        let first: Vec<Complex> = (0..half).map(twiddle).collect();
        let stage = |level: u32| first.iter().copied().step_by(1 << level).collect();
        Self {
            stages: (0..log_length).map(stage).collect(),
        }
    }

    /// How far an output can be off, per sum of the inputs' magnitudes.
    pub fn error(&self) -> f64 {
        8.0 * UNIT_ROUNDOFF * (self.stages.len() as f64 + 2.0)
    }

    /// One coefficient of values that stand at `first` and after, taken modulo the length.
    pub fn coefficient(&self, values: &[f64], first: usize, frequency: usize) -> Complex {
        let mask = (1usize << self.stages.len()) - 1;
        let mut at = first.wrapping_mul(frequency) & mask;
        let mut sums = [Complex::default(); LANES];
        for chunk in values.chunks(LANES) {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                let root = self.root(at);
                sum.re += value * root.re;
                sum.im += value * root.im;
                at = (at + frequency) & mask;
            }
        }
        sums.into_iter().fold(Complex::default(), Add::add)
    }

    /// How far [`Self::coefficient`] can be off, per sum of that many values' magnitudes: a
    /// root is off by 2u, a product by u, and each sum has a lane's share of the terms.
    pub fn coefficient_error(values: usize) -> f64 {
        2.0 * UNIT_ROUNDOFF * (values.div_ceil(LANES) as f64 + LANES as f64 + 4.0)
    }

    /// exp(-2 pi i k / length).
    fn root(&self, k: usize) -> Complex {
        let half = self.stages.first().map_or(1, Vec::len);
        let root = self
            .stages
            .first()
            .and_then(|stage| stage.get(k & (half - 1)));
        let root = root.copied().unwrap_or(Complex::ONE);
        if k < half {
            root
        } else {
            Complex::default() - root
        }
    }

    /// From values to coefficients in bit-reversed order, in place.
    pub fn forward(&self, data: &mut [Complex]) {
        for stage in &self.stages {
            for block in data.chunks_exact_mut(2 * stage.len()) {
                let (low, high) = block.split_at_mut(stage.len());
                for ((x, y), w) in low.iter_mut().zip(high).zip(stage) {
                    let (sum, difference) = (*x + *y, *x - *y);
                    *x = sum;
                    *y = difference * *w;
                }
            }
        }
    }

    /// From coefficients in bit-reversed order to values, in place.
    pub fn back(&self, data: &mut [Complex]) {
        for stage in self.stages.iter().rev() {
            for block in data.chunks_exact_mut(2 * stage.len()) {
                let (low, high) = block.split_at_mut(stage.len());
                for ((x, y), w) in low.iter_mut().zip(high).zip(stage) {
                    let turned = *y * w.conjugate();
                    (*x, *y) = (*x + turned, *x - turned);
                }
            }
        }
        let scale = 1.0 / data.len() as f64;
        for value in data {
            value.re *= scale;
            value.im *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(length: usize) -> Vec<Complex> {
        let value = |i: usize| Complex {
            re: ((i * i * 7 + 3) % 11) as f64 / 11.0,
            im: 0.0,
        };
        (0..length).map(value).collect()
    }

    #[test]
    fn there_and_back_within_the_stated_error() {
        for log_length in [0, 1, 5, 12] {
            let fft = Fft::new(log_length);
            let before = values(1 << log_length);
            let mut data = before.clone();
            fft.forward(&mut data);
            fft.back(&mut data);
            let sum: f64 = before.iter().map(|v| v.re).sum();
            for (a, b) in before.iter().zip(&data) {
                assert!((*a - *b).magnitude() <= 2.0 * fft.error() * sum);
            }
        }
    }

    #[test]
    fn one_coefficient_is_the_transforms() {
        let (fft, log_length) = (Fft::new(8), 8);
        for (first, length) in [(0, 3), (250, 17), (77, 256)] {
            let short: Vec<f64> = values(length).iter().map(|v| v.re).collect();
            let mut data = vec![Complex::default(); 256];
            for (at, value) in short.iter().enumerate() {
                data[(first + at) % 256].re += value;
            }
            fft.forward(&mut data);
            let error = (fft.error() + Fft::coefficient_error(length)) * short.iter().sum::<f64>();
            for frequency in 0..256usize {
                let there = data[frequency.reverse_bits() >> (usize::BITS - log_length)];
                let here = fft.coefficient(&short, first, frequency);
                assert!((there - here).magnitude() <= error, "{first} {frequency}");
            }
        }
    }

    #[test]
    fn a_product_of_coefficients_is_a_circular_convolution() {
        let fft = Fft::new(4);
        let input = values(16);
        let mut data = input.clone();
        fft.forward(&mut data);
        data.iter_mut().for_each(|c| *c = c.power(3));
        fft.back(&mut data);
        let fold = |a: &[Complex], b: &[Complex]| -> Vec<Complex> {
            let at = |k: usize| {
                (0..16).fold(Complex::default(), |sum, i| {
                    sum + a[i] * b[(16 + k - i) % 16]
                })
            };
            (0..16).map(at).collect()
        };
        let slow = fold(&fold(&input, &input), &input);
        for (a, b) in slow.iter().zip(&data) {
            assert!((*a - *b).magnitude() < 1e-11, "{a:?} {b:?}");
        }
    }
}
