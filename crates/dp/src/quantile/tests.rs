use num_traits::{One, Zero};
use proptest::prelude::*;

use super::exponential::{Piece, pick, pieces, weights};
use super::weights::{EXP_ERROR, Powers, exp_neg};
use super::*;
use crate::NoiseKey;

fn quantile(part: u32, whole: u32) -> Quantile {
    Quantile::new(part, whole).unwrap()
}

fn question(low: i128, high: i128, per_person: u32, wanted: &[(u32, u32)]) -> Quantiles {
    let wanted = wanted.iter().map(|&(part, whole)| quantile(part, whole));
    Quantiles::new(low, high, per_person, wanted.collect()).unwrap()
}

fn rho(text: &str) -> Rho {
    text.parse().unwrap()
}

fn streams(seed: u8) -> impl Fn(&str) -> NoiseStream {
    let key = NoiseKey::from_bytes([seed; 32]);
    move |label| key.stream(label, &["group"])
}

/// The distance by its definition, times the quantile's `whole`.
fn distance(values: &[i128], r: i128, q: &Quantile) -> u128 {
    let below = values.iter().filter(|&&v| v < r).count() as i128 * i128::from(q.whole);
    let upto = values.iter().filter(|&&v| v <= r).count() as i128 * i128::from(q.whole);
    let wanted = values.len() as i128 * i128::from(q.part);
    (below - wanted).max(wanted - upto).max(0) as u128
}

/// Masses of the mechanism over the whole domain, by the definition.
fn masses(values: &[i128], question: &Quantiles, q: &Quantile, epsilon: f64) -> Vec<f64> {
    let scale = 2.0 * f64::from(question.per_person) * f64::from(q.whole);
    let weight = |r| (-epsilon * distance(values, r, q) as f64 / scale).exp();
    let weights: Vec<f64> = (question.low..=question.high).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

#[test]
fn powers_are_within_their_error() {
    let shifted = |x: &Ratio, bits| (exp_neg(x, 400) >> (400 - bits), exp_neg(x, bits));
    for (n, d) in [
        (0u64, 1u64),
        (1, 3),
        (1, 1),
        (17, 2),
        (89, 1),
        (1, 1_000_000_007),
        (5000, 1),
    ] {
        let x = Ratio::new(n.into(), d.into()).unwrap();
        for bits in [8, 64, 192] {
            let (better, here) = shifted(&x, bits);
            let off = better.clone().max(here.clone()) - better.min(here.clone());
            assert!(off <= BigUint::from(EXP_ERROR + 1), "{n}/{d} {bits}: {off}");
        }
        let float = exp_neg(&x, 64).to_f64().unwrap() / 2f64.powi(64);
        assert!((float - (-x.to_f64()).exp()).abs() < 1e-15, "{n}/{d}");
    }
}

/// Every contribution of a person of at most `k` values over `0..width`.
fn contributions(width: i128, k: u32) -> Vec<Vec<i128>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..k {
        let longer = |one: &Vec<i128>| {
            (0..width)
                .map(|v| [one.as_slice(), &[v]].concat())
                .collect::<Vec<_>>()
        };
        last = last.iter().flat_map(longer).collect();
        all.extend(last.clone());
    }
    all
}

/// The largest and the smallest of ln P(r)/P'(r), over all neighbours that differ in one
/// person, with distances that count `per_person` values.
fn worst_range(k: u32, per_person: u32, epsilon: f64) -> (f64, f64) {
    let width = 4;
    let others: [&[i128]; 5] = [&[], &[0, 0], &[1, 2], &[3, 3, 3], &[0, 1, 3, 3]];
    let persons = contributions(width, k);
    let (mut most, mut spread) = (0f64, 0f64);
    for q in [
        quantile(1, 2),
        quantile(1, 10),
        quantile(0, 1),
        quantile(1, 1),
        quantile(2, 3),
    ] {
        let question = question(0, width - 1, per_person, &[(1, 2)]);
        for other in others {
            let of = |person: &Vec<i128>| masses(&[other, person].concat(), &question, &q, epsilon);
            let all: Vec<Vec<f64>> = persons.iter().map(of).collect();
            for (p, p2) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
                let ratios = p.iter().zip(p2).map(|(a, b)| (a / b).ln());
                let (low, high) =
                    ratios.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
                most = most.max(high);
                spread = spread.max(high - low);
            }
        }
    }
    (most, spread)
}

/// The zCDP of the module's head: at every order a, no divergence above a epsilon²/8.
#[test]
fn the_exponential_mechanism_costs_an_eighth_of_the_square() {
    let (question, epsilon) = (question(0, 3, 1, &[(1, 2)]), 1.0);
    let persons = contributions(4, 1);
    let mut worst = 0f64;
    for q in [quantile(1, 2), quantile(1, 4), quantile(1, 1)] {
        for other in [&[0, 3, 3][..], &[1, 1, 2, 3], &[0, 0, 0, 0, 3]] {
            let of = |person: &Vec<i128>| masses(&[other, person].concat(), &question, &q, epsilon);
            let all: Vec<Vec<f64>> = persons.iter().map(of).collect();
            for (p, p2) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
                for a in [1.001, 1.5, 3.0, 10.0, 100.0] {
                    let parts = p.iter().zip(p2).map(|(p, q)| p.powf(a) * q.powf(1.0 - a));
                    worst = worst.max(parts.sum::<f64>().ln() / (a - 1.0) / (a / 8.0));
                }
            }
        }
    }
    // No more than stated, and more than half of it: a sixteenth would be too little.
    assert!((0.55..=1.0 + 1e-9).contains(&worst), "{worst}");
}

/// The derivation of the module's head, by trying every neighbour on a small domain.
#[test]
fn no_neighbour_is_farther_than_derived() {
    for k in [1, 2] {
        let (most, spread) = worst_range(k, k, 1.0);
        assert!(
            most <= 1.0 + 1e-12 && spread <= 1.0 + 1e-12,
            "{k}: {most} {spread}"
        );
        // Nearly reached, so nothing is wasted.
        assert!(spread > 0.9, "{k}: {spread}");
    }
    // Counting one value a person where there are two is found out.
    let (most, spread) = worst_range(2, 1, 1.0);
    assert!(spread > 1.2, "{most} {spread}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The pieces have the distances of the definition and fill the domain.
    #[test]
    fn pieces_are_the_definition(mut values in prop::collection::vec(-6i128..6, 0..20), part in 0u32..=7, low in -9i128..=-6, high in 6i128..9) {
        values.sort_unstable();
        let (question, q) = (question(low, high, 1, &[(1, 2)]), quantile(part, 7));
        let pieces = pieces(&values, &question, &q);
        let mut next = low;
        for piece in &pieces {
            prop_assert_eq!(piece.low, next);
            next += i128::from(piece.size);
            for r in piece.low..next {
                prop_assert_eq!(piece.distance, distance(&values, r, &q));
            }
        }
        prop_assert_eq!(next, high + 1);
    }

    /// Whatever few bits and coarse weights decide, many decide too; often they decide nothing.
    #[test]
    fn bounds_never_decide_wrongly(mut values in prop::collection::vec(0i128..40, 1..30), units in 1_000u64..3_000_000) {
        values.sort_unstable();
        let (question, q) = (question(0, 39, 1, &[(1, 2)]), quantile(1, 2));
        let pieces = pieces(&values, &question, &q);
        let step = exponent(&question, &q, Epsilon::from_units(units));
        let weighed = |bits| weights(&pieces, Powers::new(step.clone(), bits));
        let (coarse, fine) = (weighed(10), weighed(256));
        for prefix in 0u64..1024 {
            let few = pick(&pieces, &coarse, &prefix.into(), 10);
            // The first and the last number that begins like this.
            for uniform in [prefix << 50, (prefix << 50) | ((1 << 50) - 1)] {
                let best: Option<&Piece> = pick(&pieces, &fine, &uniform.into(), 60);
                prop_assert!(few.is_none() || best.is_none() || few == best);
            }
        }
    }
}

#[test]
fn few_bits_decide_some_draws_and_leave_some_open() {
    let (question, q) = (question(0, 39, 1, &[(1, 2)]), quantile(1, 2));
    let pieces = pieces(&[3, 9, 9, 20], &question, &q);
    let step = exponent(&question, &q, Epsilon::from_units(500_000));
    let coarse = weights(&pieces, Powers::new(step, 10));
    let open = |prefix: &u64| pick(&pieces, &coarse, &(*prefix).into(), 10).is_none();
    let open = (0..1024).filter(open).count();
    assert!((10..950).contains(&open), "{open}");
}

/// 20,000 draws against the exact masses: chi-square, 11 degrees of freedom, quantile at
/// 1 - 1e-6 by Wilson and Hilferty 50.5; with the fixed seed it passes or fails for good.
fn chi_square(values: &[i128], q: (u32, u32), epsilon: &str, against: f64) -> f64 {
    let question = question(0, 11, 1, &[q]);
    let plan = QuantilePlan {
        question: question.clone(),
        method: Method::Exponential {
            epsilon: epsilon.parse().unwrap(),
        },
        ranks: 0.0,
    };
    let key = NoiseKey::from_bytes([8; 32]);
    let mut seen = [0f64; 12];
    for run in 0..20_000 {
        let stream = |label: &str| key.stream(label, &[format!("{run}")]);
        seen[plan.release(values.to_vec(), &stream)[0] as usize] += 1.0;
    }
    let masses = masses(values, &question, &quantile(q.0, q.1), against);
    masses
        .iter()
        .zip(seen)
        .map(|(m, s)| (s - m * 20_000.0).powi(2) / (m * 20_000.0))
        .sum()
}

#[test]
fn draws_have_the_exact_masses() {
    let values = [7, 3, 3, 3, 10, 0, 6];
    for q in [(1, 2), (1, 4), (9, 10)] {
        let statistic = chi_square(&values, q, "0.7", 0.7);
        assert!(statistic < 50.5, "{q:?}: {statistic}");
    }
    assert!(chi_square(&[], (1, 2), "0.7", 0.7) < 50.5);
    // A tenth more epsilon is noticed.
    assert!(chi_square(&values, (1, 2), "0.7", 0.6) > 50.5);
}

/// How many of 400 releases of a median and a 90 % quantile are within the stated ranks.
fn covered(values: &[i128], plan: &QuantilePlan, ranks: f64) -> usize {
    let wanted = [(1, 2), (9, 10)].map(|(part, whole)| quantile(part, whole));
    let within = |seed: u32| {
        let key = NoiseKey::from_bytes([6; 32]);
        let found = plan.release(values.to_vec(), &|label| {
            key.stream(label, &[seed.to_string()])
        });
        let off = |(r, q): (&i128, &Quantile)| distance(values, *r, q) as f64 / f64::from(q.whole);
        found
            .iter()
            .zip(&wanted)
            .map(off)
            .map(|off| usize::from(off <= ranks))
            .sum::<usize>()
    };
    (0..200).map(within).sum()
}

#[test]
fn ranks_are_covered() {
    let question = question(0, 99_999, 1, &[(1, 2), (9, 10)]);
    let spread: Vec<i128> = (0..5000).map(|i| i * i % 99_991).collect();
    let close: Vec<i128> = (0..5000).map(|i| 5000 + i % 7).collect();
    for values in [spread, close, vec![5; 10], Vec::new()] {
        for plan in [
            question.exponential(rho("0.005")),
            question.tree(rho("0.005")),
        ] {
            let plan = plan.unwrap();
            let all = covered(&values, &plan, plan.ranks_95());
            assert!(all >= 380, "{:?}: {all} of 400", plan.method());
        }
    }
    // The bounds can be missed: a twentieth of them is.
    let values: Vec<i128> = (0..5000).map(|i| i * 20).collect();
    for plan in [
        question.exponential(rho("0.005")),
        question.tree(rho("0.005")),
    ] {
        let plan = plan.unwrap();
        assert!(covered(&values, &plan, plan.ranks_95() / 20.0) < 380);
    }
}

#[test]
fn the_smaller_error_is_chosen() {
    let plan = |wanted: u32| {
        let wanted = (1..=wanted)
            .map(|part| quantile(part, wanted + 1))
            .collect();
        let question = Quantiles::new(0, 1_000_000, 1, wanted).unwrap();
        let plan = question.plan(rho("0.01")).unwrap();
        let best = question.exponential(rho("0.01")).unwrap().ranks_95();
        let best = best.min(question.tree(rho("0.01")).unwrap().ranks_95());
        assert_eq!(plan.ranks_95(), best);
        plan
    };
    assert!(matches!(plan(1).method(), Method::Exponential { .. }));
    assert!(matches!(plan(100).method(), Method::Tree { .. }));
}

#[test]
fn losses_are_within_rho() {
    let question = question(0, 1000, 3, &[(1, 2), (1, 4), (3, 4)]);
    let plan = question.exponential(rho("0.03")).unwrap();
    // sqrt(8 · 0.01), rounded down; three of epsilon²/8 are no more than rho.
    let Method::Exponential { epsilon } = plan.method() else {
        panic!()
    };
    assert_eq!(epsilon.units(), 282_842);
    assert!(3 * u128::from(epsilon.units()).pow(2) <= 8 * 30_000_000_000);
    let plan = question.tree(rho("0.03")).unwrap();
    let Method::Tree {
        noise: Noise::Gaussian { sigma2 },
    } = plan.method()
    else {
        panic!()
    };
    // Ten levels of 2·3² and a root of 3², over 2 rho.
    assert_eq!(
        sigma2,
        &Ratio::new((21u32 * 9 * 100).into(), 6u32.into()).unwrap()
    );
}

#[test]
fn much_budget_finds_the_quantiles() {
    let question = question(-50, 1_000_000, 1, &[(9, 10), (1, 2), (1, 4)]);
    let values: Vec<i128> = (1..=1000).rev().map(|i| i * 10).collect();
    for plan in [
        question.exponential(rho("1000000")),
        question.tree(rho("1000000")),
    ] {
        let found = plan.unwrap().release(values.clone(), &streams(1));
        let near = |found: i128, wanted: i128| (wanted - 10..=wanted + 10).contains(&found);
        assert!(
            near(found[0], 9000) && near(found[1], 5000) && near(found[2], 2500),
            "{found:?}"
        );
    }
}

#[test]
fn values_out_of_the_domain_are_clamped() {
    let question = question(0, 10, 1, &[(1, 2)]);
    let values = vec![i128::MAX, i128::MIN, i128::MAX, i128::MAX];
    let found = question
        .exponential(rho("1000"))
        .unwrap()
        .release(values, &streams(1));
    assert_eq!(found, [10]);
}

#[test]
fn quantiles_do_not_cross() {
    let question = question(0, 1000, 1, &[(3, 4), (1, 4), (1, 2), (2, 4)]);
    for seed in 0..20 {
        let plan = question.plan(rho("0.0001")).unwrap();
        let found = plan.release(vec![500; 4], &streams(seed));
        assert!(
            found[1] <= found[2] && found[2] <= found[3] && found[3] <= found[0],
            "{found:?}"
        );
    }
}

#[test]
fn i8_a_quantile_repeats() {
    let question = question(0, 1_000_000, 1, &[(1, 2), (9, 10)]);
    let values: Vec<i128> = (0..300).map(|i| i * 997 % 70_001).collect();
    // A change here changes every answer that was ever released: it breaks I8.
    let one = question
        .exponential(rho("0.01"))
        .unwrap()
        .release(values.clone(), &streams(5));
    let other = question
        .tree(rho("0.01"))
        .unwrap()
        .release(values, &streams(5));
    assert_eq!(
        (one, other),
        (vec![33_355, 610_898], vec![30_719, 1_000_000])
    );
}

#[test]
fn bad_questions_are_refused() {
    assert_eq!(Quantile::new(1, 0), Err(DpError::BadProbability));
    assert_eq!(Quantile::new(3, 2), Err(DpError::BadProbability));
    let new = |low, high, k, n| Quantiles::new(low, high, k, vec![quantile(1, 2); n]);
    assert_eq!(new(1, 0, 1, 1), Err(DpError::EmptyClamp));
    assert_eq!(new(i128::MIN, i128::MAX, 1, 1), Err(DpError::TooWide));
    assert_eq!(new(0, 1, 0, 1), Err(DpError::NoShare));
    assert_eq!(new(0, 1, 1, 0), Err(DpError::NoShare));
    assert_eq!(
        question(0, 1, 1, &[(1, 2)]).plan(Rho::ZERO),
        Err(DpError::NoShare)
    );
    assert!(
        exp_neg(&Ratio::whole(0u8), 8) == BigUint::one() << 8
            && exp_neg(&Ratio::whole(9u8), 8).is_zero()
    );
}
