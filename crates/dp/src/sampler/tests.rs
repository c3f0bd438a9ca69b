//! Goodness of fit against the exact mass, with fixed seeds.
//!
//! Each fit is a chi-square test at a false-failure probability of 1e-6 had the seed been
//! free; with the fixed seed it passes or fails for good.

use num_traits::ToPrimitive;

use super::*;
use crate::NoiseKey;

fn ratio(numerator: u64, denominator: u64) -> Ratio {
    Ratio::new(numerator.into(), denominator.into()).unwrap()
}

/// The chi-square statistic of `draws` against `mass`, cells with less than 10 expected
/// draws joined into the tails; gives the statistic and its degrees of freedom.
fn chi_square(draws: &[i64], mass: impl Fn(i64) -> f64, reach: i64) -> (f64, f64) {
    let total: f64 = (-reach..=reach).map(&mass).sum();
    let expected = |x: i64| mass(x) / total * draws.len() as f64;
    let mut edge = 0;
    while edge < reach && expected(edge + 1) >= 10.0 {
        edge += 1;
    }
    let (mut statistic, mut cells) = (0.0, 0.0);
    let mut cell = |seen: usize, expected: f64| {
        statistic += (seen as f64 - expected).powi(2) / expected;
        cells += 1.0;
    };
    for x in -edge..=edge {
        cell(draws.iter().filter(|&&d| d == x).count(), expected(x));
    }
    let tail: f64 = (edge + 1..=reach).map(expected).sum();
    if tail > 5.0 {
        cell(draws.iter().filter(|&&d| d > edge).count(), tail);
        cell(draws.iter().filter(|&&d| d < -edge).count(), tail);
    }
    (statistic, cells - 1.0)
}

/// The chi-square quantile at 1 - 1e-6 (Wilson and Hilferty; z = 4.7534).
fn limit(freedom: f64) -> f64 {
    let k = 2.0 / (9.0 * freedom);
    freedom * (1.0 - k + 4.7534 * k.sqrt()).powi(3)
}

fn fits(
    name: &str,
    count: usize,
    draw: impl Fn(&mut NoiseStream) -> i64,
    mass: impl Fn(i64) -> f64,
    reach: i64,
) {
    let key = NoiseKey::from_bytes([42; 32]);
    let mut stream = key.stream("fit", &[name]);
    let draws: Vec<i64> = (0..count).map(|_| draw(&mut stream)).collect();
    let (statistic, freedom) = chi_square(&draws, mass, reach);
    assert!(
        statistic < limit(freedom),
        "{name}: {statistic} over {freedom} degrees"
    );
}

#[test]
fn gaussian_fits_its_mass() {
    for (n, d) in [(1, 4), (1, 1), (3, 2), (10, 1), (100, 3), (2500, 1)] {
        let sigma2 = ratio(n, d);
        let s2 = sigma2.to_f64();
        let reach = (12.0 * s2.sqrt()) as i64 + 2;
        fits(
            &format!("gaussian {n}/{d}"),
            40_000,
            |s| discrete_gaussian(&sigma2, s).to_i64().unwrap(),
            |x| (-(x * x) as f64 / (2.0 * s2)).exp(),
            reach,
        );
    }
}

#[test]
fn laplace_fits_its_mass() {
    for (n, d) in [(1, 3), (1, 1), (7, 2), (20, 1)] {
        let scale = ratio(n, d);
        let b = scale.to_f64();
        fits(
            &format!("laplace {n}/{d}"),
            40_000,
            |s| discrete_laplace(&scale, s).to_i64().unwrap(),
            |x| (-x.abs() as f64 / b).exp(),
            (40.0 * b) as i64 + 2,
        );
    }
}

#[test]
fn a_wrong_variance_is_noticed() {
    let key = NoiseKey::from_bytes([42; 32]);
    let mut stream = key.stream("fit", &["wrong"]);
    let draws: Vec<i64> = (0..40_000)
        .map(|_| {
            discrete_gaussian(&ratio(10, 1), &mut stream)
                .to_i64()
                .unwrap()
        })
        .collect();
    let (statistic, freedom) = chi_square(&draws, |x| (-(x * x) as f64 / (2.0 * 10.6)).exp(), 60);
    assert!(statistic > limit(freedom));
}

#[test]
fn bernoulli_exp_has_its_probability() {
    // 40,000 draws: 5 standard deviations, false failure 6e-7 each.
    for (n, d) in [(0, 1), (1, 7), (1, 2), (1, 1), (5, 2), (9, 2)] {
        let x = ratio(n, d);
        let mut stream =
            NoiseKey::from_bytes([9; 32]).stream("coin", &[n.to_string(), d.to_string()]);
        let count = 40_000.0;
        let hits = (0..40_000).filter(|_| stream.bernoulli_exp(&x)).count() as f64;
        let p = (-x.to_f64()).exp();
        let sigma = (count * p * (1.0 - p)).sqrt();
        assert!((hits - count * p).abs() <= 5.0 * sigma, "{n}/{d}: {hits}");
    }
}

#[test]
fn a_tiny_variance_gives_zero() {
    let mut stream = NoiseKey::from_bytes([1; 32]).stream("edge", &["tiny"]);
    let tiny = Ratio::new(BigUint::one(), BigUint::one() << 200).unwrap();
    for _ in 0..100 {
        assert!(discrete_gaussian(&tiny, &mut stream).is_zero());
        assert!(discrete_gaussian(&ratio(0, 1), &mut stream).is_zero());
        assert!(discrete_laplace(&ratio(0, 1), &mut stream).is_zero());
    }
}

#[test]
fn a_huge_variance_fills_its_scale() {
    // sigma = 2^100: 1,000 draws, mean square within 5 standard deviations (sqrt(2/1000)).
    let sigma2 = Ratio::whole(BigUint::one() << 200);
    let mut stream = NoiseKey::from_bytes([1; 32]).stream("edge", &["huge"]);
    let scale = 2f64.powi(100);
    let mean: f64 = (0..1000)
        .map(|_| (discrete_gaussian(&sigma2, &mut stream).to_f64().unwrap() / scale).powi(2))
        .sum::<f64>()
        / 1000.0;
    assert!(
        (mean - 1.0).abs() < 5.0 * (2.0f64 / 1000.0).sqrt(),
        "{mean}"
    );
}

#[test]
fn i8_a_draw_repeats() {
    let draw = || {
        let mut stream = NoiseKey::from_bytes([5; 32]).stream("spend", &["mailed"]);
        discrete_gaussian(&ratio(1_000_000_007, 13), &mut stream)
    };
    assert_eq!(draw(), draw());
    // A change here changes every answer that was ever released: it breaks I8.
    assert_eq!(draw(), BigInt::from(14_912));
}
