//! Against closed forms and against slow sums over every outcome.
//!
//! What is reported must be at least the true value and little more. That these comparisons
//! can fail is itself tested: with a grid rounded down, with a smaller sensitivity, with one
//! direction of sampling only.

use num_bigint::BigUint;
use proptest::prelude::*;

use super::*;
use crate::Ratio;

fn epsilon(value: f64) -> Epsilon {
    Epsilon::from_f64(value).unwrap()
}

fn delta(value: f64) -> Delta {
    Delta::from_f64(value).unwrap()
}

fn whole(number: u64) -> BigUint {
    BigUint::from(number)
}

fn ratio(n: u64, d: u64) -> Ratio {
    Ratio::new(n.into(), d.into()).unwrap()
}

fn gaussian(sigma: f64) -> Mechanism {
    Mechanism::gaussian(sigma, 1.0).unwrap()
}

/// A sample of all but one in 10^13: the closed forms hold, and it is not added up beforehand.
fn apart(sigma: f64) -> Mechanism {
    gaussian(sigma).sampled(1.0 - 1e-13).unwrap()
}

fn laplace(scale: f64) -> Mechanism {
    Mechanism::laplace(scale, 1.0).unwrap()
}

fn normal(z: f64) -> f64 {
    libm::erfc(-z / 2f64.sqrt()) / 2.0
}

/// Balle and Wang 2018: delta of Gaussian noise, `r` the sensitivity over sigma.
fn gaussian_delta(r: f64, epsilon: f64) -> f64 {
    normal(r / 2.0 - epsilon / r) - epsilon.exp() * normal(-r / 2.0 - epsilon / r)
}

/// Whether a delta is at least the true one, and at most 1/200 more.
fn is_tight(reported: Delta, truth: f64) -> bool {
    let reported = reported.to_f64();
    (truth * (1.0 - 1e-9)..=truth * 1.005 + 2e-18).contains(&reported)
}

#[test]
fn gaussians_have_their_closed_form() {
    for sigma in [0.5, 1.0, 3.0, 40.0] {
        for count in [1u64, 7, 1000] {
            // So many runs are one with a larger sensitivity.
            let r = (count as f64).sqrt() / sigma;
            for at in [0.5, 2.0, 4.0] {
                let at = r * at + r * r / 2.0;
                let truth = gaussian_delta(r, at);
                if at > 100.0 || truth < 1e-14 {
                    continue;
                }
                let truth = gaussian_delta(r, epsilon(at).to_f64());
                for one in [gaussian(sigma), apart(sigma)] {
                    let all = Pld::of(&one).self_compose(count);
                    let reported = all.delta_at(epsilon(at));
                    assert!(
                        is_tight(reported, truth),
                        "{sigma} {count} {at}: {reported} {truth}"
                    );
                }
            }
        }
    }
}

#[test]
fn small_deltas_are_as_exact_as_large_ones() {
    for power in [4, 8, 12, 15] {
        let wanted = 10f64.powi(-power);
        let all = Pld::of(&apart(50.0)).self_compose(10_000);
        let reported = all.epsilon_at(delta(wanted)).unwrap().to_f64();
        assert!(gaussian_delta(2.0, reported) <= wanted, "{power}");
        assert!(gaussian_delta(2.0, reported * 0.999) > wanted, "{power}");
    }
}

#[test]
fn one_laplace_has_its_closed_form() {
    for scale in [0.3f64, 1.0, 7.0] {
        let most = 1.0 / scale;
        for part in [0.0, 0.3, 0.9] {
            let at = epsilon(most * part);
            let truth = 1.0 - ((at.to_f64() - most) / 2.0).exp();
            let reported = Pld::of(&laplace(scale)).delta_at(at);
            assert!(
                is_tight(reported, truth),
                "{scale} {part}: {reported} {truth}"
            );
        }
        let sure = Pld::of(&laplace(scale))
            .epsilon_at(delta(1e-15))
            .unwrap()
            .to_f64();
        assert!(
            (most - 1e-5..most * 1.001).contains(&sure),
            "{scale}: {sure}"
        );
    }
}

#[test]
fn pure_mechanisms_compose_to_their_sum_and_no_more() {
    let one = Pld::of(&Mechanism::pure(0.25).unwrap());
    let all = one
        .self_compose(8)
        .epsilon_at(delta(1e-15))
        .unwrap()
        .to_f64();
    assert!((1.99..=2.002).contains(&all), "{all}");
    assert!(
        one.self_compose(100)
            .epsilon_at(delta(1e-6))
            .unwrap()
            .to_f64()
            < 17.0
    );
}

/// The worst range of losses, at every epsilon: randomised response with losses t, t - epsilon.
#[test]
fn an_exponential_mechanism_is_as_bad_as_the_worst_range() {
    for size in [0.1f64, 1.0, 3.0] {
        let one = Pld::of(&Mechanism::exponential(size).unwrap());
        for part in [0.0, 0.2, 0.5, 0.9] {
            let at = epsilon(size * part);
            let worst = |x: f64| {
                let of = |t: f64| {
                    let p = (size.exp() - t.exp()) / (size.exp() - 1.0);
                    p * (1.0 - (x - t).exp())
                };
                (0..=100_000)
                    .map(|i| of(size * f64::from(i) / 1e5))
                    .fold(0.0, f64::max)
            };
            let reported = one.delta_at(at).to_f64();
            let truth = worst(at.to_f64());
            assert!(
                (truth..=truth * 1.005 + 1e-12).contains(&reported),
                "{size} {part}: {reported} {truth}"
            );
        }
        // Less than what anything that is epsilon-private may cost.
        let (ranged, pure) = (
            one.self_compose(30),
            Pld::of(&Mechanism::pure(size).unwrap()),
        );
        if size < 1.0 {
            let cost = |all: &Pld| all.epsilon_at(delta(1e-6)).unwrap();
            assert!(cost(&ranged) < cost(&pure.self_compose(30)));
        }
    }
    let nothing = Pld::of(&Mechanism::exponential(0.0).unwrap());
    assert!(nothing.epsilon_at(delta(1e-9)).unwrap() <= epsilon(1e-6));
}

#[test]
fn a_vector_of_whole_numbers_costs_what_its_length_does() {
    let sigma2 = Ratio::whole(whole(1_000_000));
    let all = Pld::of_vector(&sigma2, &whole(250_000), 2).unwrap();
    let truth = gaussian_delta(0.5, epsilon(1.0).to_f64());
    let reported = all.delta_at(epsilon(1.0));
    assert!(is_tight(reported, truth), "{reported} {truth}");
    // Never below the numbers one by one, in whatever way the length is shared.
    for (one, other) in [(500u64, 0u64), (400, 300), (353, 353)] {
        let part = |d: u64| Pld::of(&Mechanism::discrete_gaussian(&sigma2, &whole(d)).unwrap());
        assert!(part(one).compose(&part(other)).delta_at(epsilon(1.0)) <= reported);
    }
    let few = Pld::of_vector(&ratio(100, 1), &whole(2), 2);
    assert_eq!(few, Err(DpError::TooLittleNoise));
}

/// Delta of a composition of discrete mechanisms by a sum over every outcome: each is a list of
/// masses under P and under Q.
fn slow_delta(parts: &[Vec<(f64, f64)>], epsilon: f64) -> f64 {
    let mut joint = vec![(1.0, 1.0)];
    for part in parts {
        let pairs = joint
            .iter()
            .flat_map(|&(p, q)| part.iter().map(move |&(a, b)| (p * a, q * b)));
        joint = pairs.collect();
    }
    let excess = |&(p, q): &(f64, f64)| (p - epsilon.exp() * q).max(0.0);
    joint.iter().map(excess).sum()
}

/// Masses of discrete noise around the sensitivity and around zero, mixed with probability `q`.
fn outcomes(mass: impl Fn(f64) -> f64, sensitivity: i32, reach: i32, q: f64) -> Vec<(f64, f64)> {
    let total: f64 = (-reach..=reach).map(|x| mass(f64::from(x))).sum();
    let pair = |x: i32| {
        let (a, b) = (mass(f64::from(x - sensitivity)), mass(f64::from(x)));
        (((1.0 - q) * b + q * a) / total, b / total)
    };
    (-reach..=reach + sensitivity).map(pair).collect()
}

fn swapped(pairs: &[(f64, f64)]) -> Vec<(f64, f64)> {
    pairs.iter().map(|&(p, q)| (q, p)).collect()
}

fn discrete_laplace(b: u64, sensitivity: u64, q: f64) -> (Mechanism, Vec<(f64, f64)>) {
    let mechanism = Mechanism::discrete_laplace(&ratio(b, 2), &whole(sensitivity)).unwrap();
    let b = b as f64 / 2.0;
    let reach = (b * 40.0) as i32;
    let pairs = outcomes(|x| (-x.abs() / b).exp(), sensitivity as i32, reach, q);
    (mechanism.sampled(q).unwrap(), pairs)
}

fn discrete_gaussian(sigma2: u64, sensitivity: u64, q: f64) -> (Mechanism, Vec<(f64, f64)>) {
    let mechanism = Mechanism::discrete_gaussian(&ratio(sigma2, 1), &whole(sensitivity)).unwrap();
    let s2 = sigma2 as f64;
    let reach = (s2.sqrt() * 12.0) as i32 + 2;
    let pairs = outcomes(
        |x| (-x * x / (2.0 * s2)).exp(),
        sensitivity as i32,
        reach,
        q,
    );
    (mechanism.sampled(q).unwrap(), pairs)
}

#[test]
fn discrete_mechanisms_agree_with_a_sum_over_every_outcome() {
    for q in [1.0, 0.2] {
        let (one, one_pairs) = discrete_laplace(5, 3, q);
        let (other, other_pairs) = discrete_gaussian(4, 2, q);
        let both = Pld::of(&one).compose(&Pld::of(&other));
        for at in [0.0, 0.1, 0.7, 1.5, 2.5] {
            let there = slow_delta(&[one_pairs.clone(), other_pairs.clone()], at);
            let back = slow_delta(&[swapped(&one_pairs), swapped(&other_pairs)], at);
            let reported = both.delta_at(epsilon(at));
            assert!(
                is_tight(reported, there.max(back)),
                "{q} {at}: {reported} {there} {back}"
            );
        }
    }
}

#[test]
fn wide_discrete_gaussians_are_like_continuous_ones() {
    // Too many values to be taken one by one.
    let sigma = 1u64 << 20;
    let sigma2 = Ratio::whole(whole(sigma) * sigma);
    let discrete = Mechanism::discrete_gaussian(&sigma2, &whole(sigma)).unwrap();
    for count in [1, 50] {
        let r = (count as f64).sqrt();
        let at = epsilon(3.0 * r + r * r / 2.0);
        let reported = Pld::of(&discrete).self_compose(count).delta_at(at);
        assert!(
            is_tight(reported, gaussian_delta(r, at.to_f64())),
            "{count}"
        );
    }
}

/// Delta of one sampled Gaussian by the trapezoid rule, person removed and person added.
fn sampled_delta(sigma: f64, q: f64, epsilon: f64) -> (f64, f64) {
    let density =
        |x: f64| (-x * x / (2.0 * sigma * sigma)).exp() / (sigma * std::f64::consts::TAU.sqrt());
    let step = sigma / 2000.0;
    let mut sums = (0.0, 0.0);
    for i in -30_000..32_000 {
        let x = f64::from(i) * step;
        let without = density(x);
        let with = (1.0 - q) * without + q * density(x - 1.0);
        sums.0 += (with - epsilon.exp() * without).max(0.0) * step;
        sums.1 += (without - epsilon.exp() * with).max(0.0) * step;
    }
    sums
}

#[test]
fn a_sampled_gaussian_agrees_with_an_integral_in_the_worse_direction() {
    for (sigma, q, at) in [
        (1.0, 0.01, 0.05),
        (2.0, 0.3, 0.2),
        (0.7, 0.5, 1.0),
        (1.0, 0.9, 0.5),
    ] {
        let (removed, added) = sampled_delta(sigma, q, at);
        let mechanism = gaussian(sigma).sampled(q).unwrap();
        let reported = Pld::of(&mechanism).delta_at(epsilon(at)).to_f64();
        let truth = removed.max(added);
        // The trapezoid rule is good to some 1e-7.
        assert!(
            (truth * 0.9999..truth * 1.001).contains(&reported),
            "{reported} {truth}"
        );
        assert!(
            added < removed * 0.99,
            "the directions do not differ: {added} {removed}"
        );
    }
}

/// Neither direction is always the worse (Lebeda, Regehr, Kamath, Steinke 2024): of two sampled
/// randomised responses, it is the added person's.
#[test]
fn an_added_person_can_be_the_worse_direction() {
    let (size, q, at) = (0.5f64, 0.2, epsilon(0.05));
    let (a, b) = (size.exp() / (1.0 + size.exp()), 1.0 / (1.0 + size.exp()));
    let pairs = vec![((1.0 - q) * b + q * a, b), ((1.0 - q) * a + q * b, a)];
    let removed = slow_delta(&[pairs.clone(), pairs.clone()], at.to_f64());
    let added = slow_delta(&[swapped(&pairs), swapped(&pairs)], at.to_f64());
    assert!(added > 1.2 * removed);
    let one = Mechanism::pure(size).unwrap().sampled(q).unwrap();
    let reported = Pld::of(&one).self_compose(2).delta_at(at);
    assert!(is_tight(reported, added), "{reported} {added}");
}

#[test]
fn order_does_not_matter() {
    let parts = [
        gaussian(10.0),
        laplace(9.0),
        gaussian(20.0).sampled(0.1).unwrap(),
    ];
    let compose = |order: [usize; 3]| {
        let all = order
            .iter()
            .fold(Pld::default(), |all, &at| all.compose(&Pld::of(&parts[at])));
        all.epsilon_at(delta(1e-6)).unwrap().units()
    };
    let one = compose([0, 1, 2]);
    for order in [[2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        assert!(compose(order).abs_diff(one) <= 1);
    }
    let twice = Pld::of(&parts[0]).compose(&Pld::of(&parts[0]));
    assert_eq!(twice, Pld::of(&parts[0]).self_compose(2));
}

#[test]
fn what_is_lost_without_bound_takes_delta() {
    let lost = Mechanism::lost(1e-6).unwrap();
    let all = Pld::of(&lost).compose(&Pld::of(&gaussian(5.0)));
    assert_eq!(all.epsilon_at(delta(1e-6)), Err(DpError::NoDeltaLeft));
    let with = all.epsilon_at(delta(2e-6)).unwrap();
    let without = Pld::of(&gaussian(5.0)).epsilon_at(delta(1e-6)).unwrap();
    assert!(with >= without && with.units() <= without.units() + without.units() / 1000);
    assert!(all.delta_at(epsilon(50.0)) >= delta(1e-6));
    let everything = Pld::of(&Mechanism::lost(1.0).unwrap());
    assert_eq!(everything.epsilon_at(delta(0.5)), Err(DpError::NoDeltaLeft));
    assert_eq!(everything.delta_at(epsilon(1.0)), delta(1.0));
}

#[test]
fn nothing_costs_nothing() {
    assert_eq!(Pld::default().epsilon_at(delta(1e-9)), Ok(Epsilon::ZERO));
    let none = [
        Mechanism::gaussian(1.0, 0.0),
        Mechanism::laplace(1.0, 0.0),
        Mechanism::pure(0.0),
        Mechanism::discrete_laplace(&ratio(1, 2), &whole(0)),
        Mechanism::discrete_gaussian(&ratio(1, 2), &whole(0)),
    ];
    for mechanism in none {
        let all = Pld::of(&mechanism.unwrap()).self_compose(5);
        assert!(all.epsilon_at(delta(1e-9)).unwrap() <= epsilon(1e-6));
    }
}

#[test]
fn bad_parameters_are_refused() {
    assert_eq!(Mechanism::gaussian(0.0, 1.0), Err(DpError::BadScale));
    assert_eq!(Mechanism::gaussian(f64::NAN, 1.0), Err(DpError::BadScale));
    assert_eq!(Mechanism::laplace(1.0, -1.0), Err(DpError::BadScale));
    assert_eq!(Mechanism::gaussian(0.01, 1.0), Err(DpError::TooLittleNoise));
    assert_eq!(Mechanism::lost(1.1), Err(DpError::BadProbability));
    assert_eq!(gaussian(1.0).sampled(0.0), Err(DpError::BadProbability));
    let sampled = gaussian(1.0).sampled(0.5).unwrap();
    assert_eq!(sampled.sampled(0.5), Err(DpError::BadProbability));
}

#[test]
fn extremes_are_answered() {
    for count in [1000, u64::MAX] {
        let much = Pld::of(&gaussian(0.05)).self_compose(count);
        assert_eq!(much.epsilon_at(delta(1e-6)), Err(DpError::TooLittleNoise));
        assert_eq!(much.delta_at(epsilon(1.0)), delta(1.0));
        let mut running = Accountant::new(delta(1e-6));
        running.add(&gaussian(0.05), count);
        assert_eq!(running.epsilon(), Err(DpError::TooLittleNoise));
    }
    let one = Pld::of(&gaussian(1.0));
    assert_eq!(one.epsilon_at(Delta::ZERO), Err(DpError::NoDeltaLeft));
    assert_eq!(
        Accountant::new(Delta::ZERO).epsilon(),
        Err(DpError::NoDeltaLeft)
    );
    assert_eq!(one.delta_at(epsilon(1000.0)), Delta::from_units(1));
    // A part of a millionth of the people, and hardly any noise: epsilon is small all the same.
    let rare = gaussian(0.05).sampled(1e-6).unwrap();
    assert!(Pld::of(&rare).epsilon_at(delta(1e-5)).unwrap() <= epsilon(1e-5));
    assert!(Pld::of(&rare).epsilon_at(delta(1e-7)).unwrap() > epsilon(100.0));
    // A million runs with little loss each: sigma 2,000 of a million is one of 2.
    let many = Pld::of(&gaussian(2000.0)).self_compose(1_000_000);
    let at = many.epsilon_at(delta(1e-6)).unwrap().to_f64();
    assert!(
        gaussian_delta(0.5, at) <= 1e-6 && gaussian_delta(0.5, at * 0.99) > 1e-6,
        "{at}"
    );
}

/// The comparisons above notice an accountant that rounds the loss down by a hundredth, one
/// that takes the sensitivity for 1 % smaller, and one that looks at one direction only.
#[test]
fn unsound_accountants_are_noticed() {
    let truth = gaussian_delta(1.0, 1.0);
    let less_sensitive = Mechanism::gaussian(1.0, 0.99).unwrap();
    assert!(!is_tight(
        Pld::of(&less_sensitive).delta_at(epsilon(1.0)),
        truth
    ));
    assert!(!is_tight(
        Pld::of(&gaussian(1.0)).delta_at(epsilon(1.01)),
        truth
    ));
    let sampled = gaussian(1.0).sampled(0.3).unwrap();
    let (removed, added) = sampled_delta(1.0, 0.3, 0.2);
    let spectrum = Pld::of(&sampled)
        .spectrum(Side::Add, Question::Delta(0.2), Aim::FIRST)
        .unwrap();
    let one_side = spectrum.window().delta(0.2);
    assert!((added * 0.999..added * 1.001).contains(&one_side));
    assert!(one_side < removed * 0.99);
}

/// Laplace scales from 100 to 200, each another.
fn distinct(count: u32) -> impl Iterator<Item = Mechanism> {
    (0..count).map(move |at| laplace(100.0 + 100.0 * f64::from(at) / f64::from(count)))
}

fn all(mechanisms: impl Iterator<Item = Mechanism>) -> Pld {
    mechanisms.fold(Pld::default(), |all, one| all.compose(&Pld::of(&one)))
}

/// Of very many kinds, each is rounded: never below, and at most by what the rounding can do.
#[test]
fn very_many_kinds_cost_little_more_than_they_do() {
    // As many as are taken as they are, each twice, and three times as many once or twice.
    let few = all(distinct(1500)).self_compose(2);
    let many = all(distinct(3000));
    let at = delta(1e-8);
    let (few, many) = (few.epsilon_at(at).unwrap(), many.epsilon_at(at).unwrap());
    let ratio = many.to_f64() / few.to_f64();
    assert!((1.0..1.004).contains(&ratio), "{ratio}");
    let mut running = Accountant::new(at);
    distinct(3000).for_each(|one| running.add(&one, 1));
    let running = running.epsilon().unwrap().to_f64() / few.to_f64();
    assert!((1.0..1.004).contains(&running), "{running}");
}

#[test]
fn a_rounded_mechanism_costs_no_less() {
    let discrete = Mechanism::discrete_laplace(&ratio(1234, 100), &whole(3)).unwrap();
    let pure = Mechanism::pure(0.1234).unwrap();
    let ranged = Mechanism::exponential(0.1234).unwrap();
    for one in [apart(3.21), laplace(3.21), discrete, pure, ranged] {
        for sampled in [one, one.sampled(0.1234).unwrap_or(one)] {
            let coarse = sampled.coarser(7.0);
            assert_ne!(coarse, sampled);
            let cost = |m: &Mechanism| Pld::of(m).self_compose(5).epsilon_at(delta(1e-6)).unwrap();
            assert!(cost(&coarse) > cost(&sampled), "{sampled:?}");
        }
    }
    let narrow = Mechanism::discrete_gaussian(&ratio(10, 1), &whole(3)).unwrap();
    assert_eq!(narrow.coarser(7.0), narrow);
}

/// One Gaussian for many, of whatever sort, and no number of runs too large for it.
#[test]
fn gaussians_are_added_up() {
    let sigma = 1u64 << 20;
    let sigma2 = Ratio::whole(whole(sigma) * sigma);
    let discrete = Mechanism::discrete_gaussian(&sigma2, &whole(sigma / 4)).unwrap();
    let both = all([gaussian(4.0), apart(4.0), discrete].into_iter()).self_compose(3);
    let parts = gathered(&both.parts);
    assert_eq!(parts.len(), 3, "{parts:?}");
    for at in [0.1, 1.0, 3.0] {
        let truth = gaussian_delta(0.75, epsilon(at).to_f64());
        assert!(is_tight(both.delta_at(epsilon(at)), truth), "{at}");
    }
    let parts = gathered(&Pld::of(&gaussian(0.05)).self_compose(1000).parts);
    let (one, count) = parts.first_key_value().unwrap();
    let (ratio, _) = one.as_gaussian().unwrap();
    assert!(ratio <= 25.1 && ratio * ratio * *count as f64 >= 400_000.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// More noise costs less, more runs and a smaller delta cost more.
    #[test]
    fn monotone(sigma in 2.0f64..50.0, count in 1u64..200, power in 4i32..12) {
        let cost = |sigma: f64, count, power: i32| {
            let all = Pld::of(&apart(sigma)).self_compose(count);
            all.epsilon_at(delta(10f64.powi(-power))).unwrap().units()
        };
        let here = cost(sigma, count, power);
        prop_assert!(cost(sigma * 1.05, count, power) <= here);
        prop_assert!(cost(sigma, count + 1 + count / 20, power) >= here);
        prop_assert!(cost(sigma, count, power + 1) >= here);
    }

    /// Any two discrete mechanisms, against the sum over every outcome.
    #[test]
    fn never_below_the_truth(b in 1u64..8, d in 1u64..5, s2 in 1u64..20, e in 0u64..3000, q in 0.05f64..1.0) {
        let (one, one_pairs) = discrete_laplace(b, d, q);
        let (other, other_pairs) = discrete_gaussian(s2, d, 1.0);
        let at = epsilon(e as f64 / 1000.0);
        let parts = [one_pairs, other_pairs];
        let there = slow_delta(&parts, at.to_f64());
        let back = slow_delta(&parts.map(|pairs| swapped(&pairs)), at.to_f64());
        let truth = there.max(back);
        let reported = Pld::of(&one).compose(&Pld::of(&other)).delta_at(at).to_f64();
        prop_assert!(reported >= truth * (1.0 - 1e-9), "{} {}", reported, truth);
        prop_assert!(reported <= truth * 1.01 + 1e-15, "{} {}", reported, truth);
    }

    /// The running accountant says what the whole composition costs.
    #[test]
    fn a_running_composition_is_the_composition(sigmas in prop::collection::vec(3.0f64..60.0, 1..12)) {
        running_is_tight(&sigmas);
    }
}

/// Adds Gaussians three at a time; each epsilon is at most 0.5 % above the true one.
fn running_is_tight(sigmas: &[f64]) {
    let mut running = Accountant::new(delta(1e-7));
    let mut square = 0.0;
    for sigma in sigmas {
        running.add(&apart(*sigma), 3);
        square += 3.0 / (sigma * sigma);
        let r = f64::sqrt(square);
        let reported = running.epsilon().unwrap().to_f64();
        assert!(gaussian_delta(r, reported) <= 1e-7, "{sigmas:?}");
        assert!(gaussian_delta(r, reported * 0.995) > 1e-7, "{sigmas:?}");
    }
}

/// What a held window wraps around has to stay small beside delta: here it once did not.
#[test]
fn a_held_window_stays_tight() {
    running_is_tight(&[50.6, 26.7, 33.0, 24.7, 57.7, 25.3, 26.5, 14.6]);
}
