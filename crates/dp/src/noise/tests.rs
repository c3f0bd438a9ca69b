use num_traits::Signed;
use proptest::prelude::*;

use super::*;
use crate::NoiseKey;

fn ratio(n: u64, d: u64) -> Ratio {
    Ratio::new(n.into(), d.into()).unwrap()
}

fn laplace(n: u64, d: u64) -> Noise {
    Noise::Laplace { scale: ratio(n, d) }
}

fn gaussian(n: u64, d: u64) -> Noise {
    Noise::Gaussian {
        sigma2: ratio(n, d),
    }
}

/// Masses from -reach to reach, by the definition.
fn masses(noise: &Noise, reach: i32) -> Vec<(i32, f64)> {
    let weight = |x: i32| match noise {
        Noise::Gaussian { sigma2 } => (-f64::from(x * x) / (2.0 * sigma2.to_f64())).exp(),
        Noise::Laplace { scale } => (-f64::from(x.abs()) / scale.to_f64()).exp(),
    };
    let total: f64 = (-reach..=reach).map(weight).sum();
    (-reach..=reach).map(|x| (x, weight(x) / total)).collect()
}

const SOME: [fn() -> Noise; 6] = [
    || laplace(1, 3),
    || laplace(2, 1),
    || laplace(15, 2),
    || gaussian(1, 5),
    || gaussian(9, 1),
    || gaussian(130, 1),
];

#[test]
fn widths_tails_and_deviations_are_those_of_the_masses() {
    for noise in SOME.map(|noise| noise()) {
        let masses = masses(&noise, 600);
        let tail = |at: i32| {
            masses
                .iter()
                .filter(|(x, _)| *x >= at)
                .map(|(_, m)| m)
                .sum::<f64>()
        };
        for at in [0, 1, 2, 7, 20, 40] {
            let (said, truth) = (noise.tail(at), tail(at as i32));
            assert!(
                (truth..=truth * (1.0 + 1e-8) + 1e-300).contains(&(said * (1.0 + 1e-12))),
                "{noise:?} {at}: {said} {truth}"
            );
        }
        let inside = |w: f64| {
            masses
                .iter()
                .filter(|(x, _)| f64::from(x.abs()) <= w)
                .map(|(_, m)| m)
                .sum::<f64>()
        };
        let width = noise.half_width_95();
        assert!(
            inside(width) >= 0.95 && (width == 0.0 || inside(width - 1.0) < 0.95),
            "{noise:?}"
        );
        let variance: f64 = masses.iter().map(|(x, m)| f64::from(x * x) * m).sum();
        // The Gaussian's parameter is a little above its deviation.
        let share = noise.deviation() / variance.sqrt();
        assert!((0.999_999..1.6).contains(&share), "{noise:?}: {share}");
    }
}

#[test]
fn a_tail_by_the_integral_is_hardly_above_one_by_a_sum() {
    let sigma = SUMMED_DEVIATION;
    for k in [0.0, 2.0 * sigma, 6.0 * sigma] {
        let (sum, integral) = (
            gaussian_tail(k, sigma),
            gaussian_tail(k, sigma * (1.0 + 1e-12)),
        );
        assert!(
            integral >= sum && integral < sum * 1.001,
            "{k}: {sum} {integral}"
        );
    }
}

#[test]
fn one_count_alone_has_laplace_noise_and_many_have_gaussian() {
    let (epsilon, delta): (Epsilon, Delta) = ("0.1".parse().unwrap(), "1e-8".parse().unwrap());
    let one = Sensitivity::of_clamp(0, 1, 1).unwrap();
    let alone = choose(&one, Allowance::Alone { epsilon, delta }).unwrap();
    assert_eq!(alone.noise, laplace(20, 1));
    assert_eq!(alone.cost, "0.005".parse().unwrap());
    // By the numbers: 3 · 20 against 1.96 · sqrt(1/rho).
    let zcdp = Allowance::Zcdp(rho_of(epsilon, delta, Delta::ZERO).unwrap());
    let shared = choose(&one, zcdp).unwrap();
    assert!(matches!(shared.noise, Noise::Gaussian { .. }));
    assert!(shared.noise.half_width_95() > 2.0 * alone.noise.half_width_95());
    assert!(shared.cost < alone.cost);

    let many = Sensitivity::of_clamp(0, 1, 100).unwrap();
    let many = choose(&many, Allowance::Alone { epsilon, delta }).unwrap();
    assert!(matches!(many.noise, Noise::Gaussian { .. }));
}

#[test]
fn without_delta_only_laplace_noise_is_private() {
    let epsilon: Epsilon = "1".parse().unwrap();
    let many = Sensitivity::of_clamp(0, 3, 1000).unwrap();
    let pure = Allowance::Alone {
        epsilon,
        delta: Delta::ZERO,
    };
    assert_eq!(choose(&many, pure).unwrap().noise, laplace(6000, 1));
}

#[test]
fn an_allowance_of_nothing_is_refused() {
    let one = Sensitivity::of_clamp(0, 1, 1).unwrap();
    assert_eq!(
        choose(&one, Allowance::Zcdp(Rho::ZERO)),
        Err(DpError::NoShare)
    );
    let nothing = Allowance::Alone {
        epsilon: Epsilon::ZERO,
        delta: Delta::ZERO,
    };
    assert_eq!(choose(&one, nothing), Err(DpError::NoShare));
}

#[test]
fn draws_are_of_the_noise_named() {
    let mut stream = NoiseKey::from_bytes([3; 32]).stream("noise", &["draw"]);
    let mut mean = |noise: &Noise| {
        let draws = (0..4000).map(|_| noise.draw(&mut stream).abs().to_f64().unwrap());
        draws.sum::<f64>() / 4000.0
    };
    // Mean sizes: scale, and sigma sqrt(2/pi); within 6 deviations of a mean of 4,000.
    assert!((mean(&laplace(1000, 1)) - 1000.0).abs() < 100.0);
    assert!((mean(&gaussian(1_000_000, 1)) - 797.9).abs() < 60.0);
}

#[test]
fn thresholds_are_the_smallest_that_keep_to_delta() {
    for noise in SOME.map(|noise| noise()) {
        for (l0, linf, most) in [(1, 1, 1e-6), (7, 1, 1e-9), (3, 20, 1e-4), (1, 0, 0.3)] {
            let most = Delta::from_f64(most).unwrap();
            let found = Threshold::smallest(&noise, l0, linf, most).unwrap();
            let masses = masses(&noise, 600);
            let shown = |tau: u64| {
                let passes = |x: i32| i64::from(x) + linf as i64 >= tau as i64;
                let p: f64 = masses
                    .iter()
                    .filter(|(x, _)| passes(*x))
                    .map(|(_, m)| m)
                    .sum();
                1.0 - (1.0 - p).powi(l0 as i32)
            };
            let tau = found.tau();
            assert!(shown(tau) <= most.to_f64(), "{noise:?} {l0} {linf}");
            let at_zero = tau == linf;
            assert!(
                at_zero || shown(tau - 1) > most.to_f64() * (1.0 - 1e-6),
                "{noise:?} {l0} {linf}"
            );
            assert!(found.delta() <= most);
            assert!((found.delta().to_f64() - shown(tau)).abs() <= 1e-6 * shown(tau) + 2e-15);
        }
    }
}

#[test]
fn what_is_shown_begins_at_tau() {
    let most: Delta = "1e-6".parse().unwrap();
    let threshold = Threshold::smallest(&laplace(1, 1), 1, 1, most).unwrap();
    assert!(threshold.shows(&threshold.tau().into()));
    assert!(!threshold.shows(&(threshold.tau() - 1).into()));
    assert!(!threshold.shows(&BigInt::from(-5)));
    assert_eq!(
        Threshold::smallest(&laplace(1, 1), 1, 1, Delta::ZERO),
        Err(DpError::NoDeltaLeft)
    );
}

/// The Rényi divergence of order `a` between noise around `d` and around zero, from the
/// logarithms of the masses: the largest orders look far out.
fn renyi(noise: &Noise, d: i32, a: f64) -> f64 {
    let weight = |x: i32| match noise {
        Noise::Gaussian { sigma2 } => -f64::from(x * x) / (2.0 * sigma2.to_f64()),
        Noise::Laplace { scale } => -f64::from(x.abs()) / scale.to_f64(),
    };
    let reach = (a * f64::from(d) + 40.0 * noise.deviation()) as i32;
    // The logarithm of a sum of exponentials.
    let sum = |of: &dyn Fn(i32) -> f64| {
        let most = (-reach..=reach).map(of).fold(f64::MIN, f64::max);
        let parts = (-reach..=reach).map(|x| (of(x) - most).exp());
        most + parts.sum::<f64>().ln()
    };
    let moved = sum(&|x| a * weight(x - d) - (a - 1.0) * weight(x));
    (moved - sum(&weight)) / (a - 1.0)
}

/// The costs of the module's head: at every order, no more than the order times rho, where a
/// change of `d` costs (d/scale)²/2.
#[test]
fn changes_cost_what_is_said() {
    let worst = |noise: &Noise, square: f64, d: i32| {
        let rho = f64::from(d * d) / (2.0 * square);
        let parts = [1.01, 1.5, 2.0, 4.0, 9.0, 30.0].map(|a| renyi(noise, d, a) / (a * rho));
        parts.into_iter().fold(0.0, f64::max)
    };
    for scale in [2u64, 5, 12] {
        for d in [1, 2, 6] {
            let square = (scale * scale) as f64;
            let laplace = worst(&laplace(scale, 1), square, d);
            assert!(laplace <= 1.0 + 1e-9, "{scale} {d}: {laplace}");
            let gaussian = worst(&gaussian(scale * scale, 1), square, d);
            assert!(
                (0.99..=1.0 + 1e-6).contains(&gaussian),
                "{scale} {d}: {gaussian}"
            );
        }
    }
    // Close to all of it, for small changes.
    assert!(worst(&laplace(12, 1), 144.0, 1) > 0.9);
}

#[test]
fn noise_has_its_mechanism() {
    let one = BigUint::one();
    let delta: Delta = "1e-9".parse().unwrap();
    let epsilon = |noise: &Noise| {
        let mechanism = noise.mechanism(&one).unwrap();
        crate::Pld::of(&mechanism)
            .epsilon_at(delta)
            .unwrap()
            .to_f64()
    };
    assert!((epsilon(&laplace(2, 1)) - 0.5).abs() < 1e-3);
    // Of sigma 10: between 0.5 and the zCDP conversion of rho = 0.005.
    let rho: Rho = "0.005".parse().unwrap();
    let most = crate::epsilon_of(rho, delta).to_f64();
    let here = epsilon(&gaussian(100, 1));
    assert!(here > 0.5 && here < most, "{here} {most}");
}

proptest! {
    /// Whatever is chosen keeps to the allowance: scales are at least what the claim's table
    /// asks for, exactly.
    #[test]
    fn the_choice_is_within_the_allowance(low in -1000i128..1000, width in 0i128..5000, groups in 1u32..50, units in 1_000u64..10_000_000_000_000) {
        let sensitivity = Sensitivity::of_clamp(low, low + width, groups).unwrap();
        let rho = Rho::from_units(units);
        let l2 = sensitivity.l2_squared() * Rho::UNITS_PER_ONE;
        for choice in [gaussian_choice(&sensitivity, rho), by_number(&sensitivity, rho).unwrap()] {
            let square = match &choice.noise {
                Noise::Gaussian { sigma2 } => sigma2.clone(),
                Noise::Laplace { scale } => {
                    let (n, d) = (scale.numerator(), scale.denominator());
                    Ratio::new(n * n, d * d).unwrap()
                }
            };
            // square >= L2² / (2 rho), and not by more than a part in 2^60.
            let left = square.numerator() * units * 2u8;
            let right = &l2 * square.denominator();
            prop_assert!(left >= right);
            prop_assert!(((left - &right) << 60u32) <= right);
        }
        prop_assert!(choose(&sensitivity, Allowance::Zcdp(rho)).unwrap().cost <= rho);
    }
}

fn gaussian_choice(sensitivity: &Sensitivity, rho: Rho) -> Choice {
    super::gaussian(sensitivity, rho).unwrap()
}
