//! Draws of ours against draws of opendp's: two samples, one distribution.
//!
//! Each comparison is a chi-square test of two samples at a false-failure probability of 1e-6.
//! Ours are seeded, opendp's are not: of the ten comparisons here, one run in 100,000 fails
//! without a reason.

use std::collections::BTreeMap;

use dashu::integer::IBig;
use dashu::rational::RBig;
use incamera_dp::{NoiseKey, NoiseStream, Ratio, discrete_gaussian, discrete_laplace};
use num_bigint::BigInt;
use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};

const DRAWS: usize = 20_000;

fn ours(name: &str, draw: impl Fn(&mut NoiseStream) -> BigInt) -> Vec<i64> {
    let mut stream = NoiseKey::from_bytes([17; 32]).stream("oracle", &[name]);
    let small = |draw: BigInt| i64::try_from(draw).unwrap();
    (0..DRAWS).map(|_| small(draw(&mut stream))).collect()
}

fn theirs(draw: impl Fn() -> IBig) -> Vec<i64> {
    (0..DRAWS).map(|_| i64::try_from(draw()).unwrap()).collect()
}

fn ratio(n: u64, d: u64) -> Ratio {
    Ratio::new(n.into(), d.into()).unwrap()
}

fn rational(n: u64, d: u64) -> RBig {
    RBig::from_parts(n.into(), d.into())
}

/// The statistic of two samples of one size, and its limit at 1 - 1e-6 (Wilson and Hilferty).
/// Neighbouring values are joined until both samples together have twenty in a cell.
fn apart(one: &[i64], other: &[i64]) -> (f64, f64) {
    let mut counts: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for value in one {
        counts.entry(*value).or_default().0 += 1.0;
    }
    for value in other {
        counts.entry(*value).or_default().1 += 1.0;
    }
    let (mut statistic, mut cells, mut cell) = (0.0, 0.0, (0.0, 0.0));
    for (a, b) in counts.into_values() {
        cell = (cell.0 + a, cell.1 + b);
        if cell.0 + cell.1 >= 20.0 {
            statistic += (cell.0 - cell.1).powi(2) / (cell.0 + cell.1);
            cells += 1.0;
            cell = (0.0, 0.0);
        }
    }
    let freedom = f64::max(cells - 1.0, 1.0);
    let k: f64 = 2.0 / (9.0 * freedom);
    (statistic, freedom * (1.0 - k + 4.7534 * k.sqrt()).powi(3))
}

fn low_bits(draws: &[i64]) -> Vec<i64> {
    draws.iter().map(|draw| draw.rem_euclid(8)).collect()
}

fn alike(name: &str, ours: &[i64], theirs: &[i64]) {
    for (what, one, other) in [
        ("values", ours.to_vec(), theirs.to_vec()),
        ("low bits", low_bits(ours), low_bits(theirs)),
    ] {
        let (statistic, limit) = apart(&one, &other);
        assert!(
            statistic < limit,
            "{name}, {what}: {statistic} over {limit}"
        );
    }
}

#[test]
fn laplace_draws_are_alike() {
    for (n, d) in [(1, 2), (7, 3), (1000, 7)] {
        let ours = ours("laplace", |s| discrete_laplace(&ratio(n, d), s));
        let theirs = theirs(|| sample_discrete_laplace(rational(n, d)).unwrap());
        alike(&format!("laplace {n}/{d}"), &ours, &theirs);
    }
}

#[test]
fn gaussian_draws_are_alike() {
    // Ours takes the square of what theirs takes.
    for (n, d) in [(2, 3), (7, 2)] {
        let ours = ours("gaussian", |s| discrete_gaussian(&ratio(n * n, d * d), s));
        let theirs = theirs(|| sample_discrete_gaussian(rational(n, d)).unwrap());
        alike(&format!("gaussian {n}/{d}"), &ours, &theirs);
    }
}

#[test]
fn another_scale_is_noticed() {
    let ours = ours("wrong", |s| discrete_laplace(&ratio(7, 3), s));
    let theirs = theirs(|| sample_discrete_laplace(rational(14, 5)).unwrap());
    let (statistic, limit) = apart(&ours, &theirs);
    assert!(statistic > limit);
}
