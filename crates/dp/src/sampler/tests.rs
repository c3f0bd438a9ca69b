//! Goodness of fit against the exact mass, with fixed seeds.
//!
//! Each fit is a chi-square test and a test of the total variation, each at a false-failure
//! probability of 1e-6 had the seed been free: some thirty of them in this file, so one run in
//! 30,000. With the fixed seed they pass or fail for good.

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

/// The total variation between `draws` and `mass`, and what it exceeds with probability 1e-6 at
/// most: its mean is at most sqrt(cells/n)/2, and one draw moves it by 1/n (McDiarmid 1989).
fn variation(draws: &[i64], mass: impl Fn(i64) -> f64, reach: i64) -> (f64, f64) {
    let total: f64 = (-reach..=reach).map(&mass).sum();
    let n = draws.len() as f64;
    let mut seen = std::collections::BTreeMap::new();
    for draw in draws {
        *seen.entry(*draw).or_insert(0.0) += 1.0 / n;
    }
    // Up to a tail that is drawn less than once.
    let common = |x: &i64| mass(*x) / total * n >= 1.0;
    let cells: Vec<i64> = (-reach..=reach).filter(common).collect();
    let inside: f64 = cells.iter().map(|x| mass(*x) / total).sum();
    let seen_inside: f64 = cells.iter().filter_map(|x| seen.get(x)).sum();
    let apart = |x: &i64| (seen.get(x).unwrap_or(&0.0) - mass(*x) / total).abs();
    let apart = cells.iter().map(apart).sum::<f64>() + (inside - seen_inside).abs();
    let mean = ((cells.len() + 1) as f64 / n).sqrt() / 2.0;
    (apart / 2.0, mean + (6.0 * 10f64.ln() / (2.0 * n)).sqrt())
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
    let (statistic, freedom) = chi_square(&draws, &mass, reach);
    assert!(
        statistic < limit(freedom),
        "{name}: {statistic} over {freedom} degrees"
    );
    let (apart, most) = variation(&draws, &mass, reach);
    assert!(apart < most, "{name}: total variation {apart} over {most}");
}

/// The chi-square statistic of the lowest three bits of `draws`, 7 degrees of freedom.
fn low_bits(draws: &[BigInt], mass: impl Fn(i64) -> f64, reach: i64) -> f64 {
    let mut expected = [0.0; 8];
    for x in -reach..=reach {
        expected[x.rem_euclid(8) as usize] += mass(x);
    }
    let total: f64 = expected.iter().sum();
    let mut seen = [0.0; 8];
    for draw in draws {
        let eight = BigInt::from(8);
        seen[(((draw % &eight) + &eight) % &eight).to_usize().unwrap()] += 1.0;
    }
    let scale = draws.len() as f64 / total;
    let cells = seen.iter().zip(expected);
    cells
        .map(|(s, e)| (s - e * scale).powi(2) / (e * scale))
        .sum()
}

/// Floating-point samplers fail here: their scale shows in the low bits (Mironov 2012).
#[test]
fn low_bits_fit_their_mass() {
    let draws = |name: &str, draw: &dyn Fn(&mut NoiseStream) -> BigInt| -> Vec<BigInt> {
        let mut stream = NoiseKey::from_bytes([43; 32]).stream("low bits", &[name]);
        (0..40_000).map(|_| draw(&mut stream)).collect()
    };
    for (n, d) in [(3, 2), (26, 1), (1_000_003, 7)] {
        let (square, s2) = (ratio(n, d), n as f64 / d as f64);
        let reach = (12.0 * s2.sqrt()) as i64 + 2;
        let gaussian = |x: i64| (-(x * x) as f64 / (2.0 * s2)).exp();
        let drawn = draws("gaussian", &|s| discrete_gaussian(&square, s));
        assert!(low_bits(&drawn, gaussian, reach) < limit(7.0), "{n}/{d}");
    }
    for (n, d) in [(5, 3), (9, 1), (100_003, 11)] {
        let (scale, b) = (ratio(n, d), n as f64 / d as f64);
        let laplace = |x: i64| (-x.abs() as f64 / b).exp();
        let drawn = draws("laplace", &|s| discrete_laplace(&scale, s));
        assert!(
            low_bits(&drawn, laplace, (40.0 * b) as i64 + 2) < limit(7.0),
            "{n}/{d}"
        );
    }
    // A sampler that now and then rounds to even is noticed.
    let mut drawn = draws("rounded", &|s| discrete_laplace(&ratio(100, 1), s));
    for draw in drawn.iter_mut().step_by(20) {
        *draw = (&*draw >> 1u32) << 1u32;
    }
    let laplace = |x: i64| (-x.abs() as f64 / 100.0).exp();
    assert!(low_bits(&drawn, laplace, 4000) > limit(7.0));
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
    let (apart, most) = variation(&draws, |x| (-(x * x) as f64 / (2.0 * 12.0)).exp(), 60);
    assert!(apart > most);
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
