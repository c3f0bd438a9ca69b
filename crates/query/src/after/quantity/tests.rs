use incamera_dp::{NoiseKey, Ratio, discrete_gaussian, half_width_95};
use num_traits::ToPrimitive;

use super::*;

const SIGMA: f64 = 40.0;

fn observed(values: &[f64]) -> Vec<Observed> {
    let one = |value: &f64| Observed {
        value: *value,
        half_width: half_width_95(SIGMA),
        unit: None,
        ranks: None,
    };
    values.iter().map(one).collect()
}

fn within(quantity: &Quantity, totals: &[Observed]) -> Interval {
    match quantity.range(totals) {
        Range::Within(range) => range,
        other => panic!("{other:?}"),
    }
}

/// Adds noise to the truth so many times, and counts how often the range of `f` holds `truth`.
fn covered(truths: &[f64], truth: f64, f: impl Fn(&[Observed]) -> Option<Quantity>) -> usize {
    let sigma2 = Ratio::whole(1600u32);
    let mut stream = NoiseKey::from_bytes([5; 32]).stream("cover", &["after"]);
    let mut noise = || discrete_gaussian(&sigma2, &mut stream).to_f64().unwrap();
    let mut once = || {
        let noisy: Vec<f64> = truths.iter().map(|truth| truth + noise()).collect();
        let totals = observed(&noisy);
        let range = f(&totals).unwrap().range(&totals);
        match range {
            Range::Within(range) => range.holds(truth),
            // An open range holds everything.
            other => other == Range::Open,
        }
    };
    (0..2000).filter(|_| once()).count()
}

/// 95 % of 2,000 is 1,900; five standard deviations are 49 (a false failure in about 1e-6 of
/// free seeds).
const FAIR: std::ops::RangeInclusive<usize> = 1850..=1950;

#[test]
fn ranges_of_what_is_made_cover_in_95_of_100() {
    let truths = [3000.0, 5200.0, 900.0];
    let [a, b, c] = truths;
    let get = |totals: &[Observed]| [0, 1, 2].map(|at| Quantity::total(at, totals));
    let sums = covered(&truths, 2.0 * a - b + 7.0, |totals| {
        let [a, b, _] = get(totals);
        a.times(&Quantity::exact(2.0))?
            .minus(&b)?
            .plus(&Quantity::exact(7.0))
    });
    assert!(FAIR.contains(&sums), "{sums}");
    // Both numbers of the quotient have the same noise in them.
    let shared = covered(&truths, c / (a + c), |totals| {
        let [a, _, c] = get(totals);
        c.over(&a.plus(&c)?)
    });
    assert!(FAIR.contains(&shared), "{shared}");
    let of_one = covered(&truths, 100.0 * (a - c) / a, |totals| {
        let [a, _, c] = get(totals);
        Quantity::exact(100.0).times(&a.minus(&c)?.over(&a)?)
    });
    assert!(FAIR.contains(&of_one), "{of_one}");
    let rounded = covered(&truths, a.sqrt(), |totals| {
        get(totals)[0].in_order(totals, f64::sqrt)
    });
    assert!(FAIR.contains(&rounded), "{rounded}");
}

#[test]
fn variances_cover_in_95_of_100() {
    // 3,000 values around 4, and 450 where the count is just clear of its noise.
    for count in [3000.0, 450.0] {
        let (mean, square) = (0.5, 9.25);
        let truths = [count, count * mean, count * square];
        let truth = square - mean * mean;
        let found = covered(&truths, truth, |totals| variance([0, 1, 2], false, totals));
        assert!(FAIR.contains(&found), "{count}: {found}");
    }
    let totals = observed(&[300.0, 10.0, 4000.0]);
    let few = variance([0, 1, 2], false, &totals).unwrap();
    assert_eq!(few.range(&totals), Range::Open);
}

/// A quotient that came about in several steps is the one that it is in one.
#[test]
fn quotients_keep_their_form() {
    let totals = observed(&[3000.0, 5200.0, 900.0]);
    let [a, b, c] = [0, 1, 2].map(|at| Quantity::total(at, &totals));
    let exact = Quantity::exact;
    let rate = a.over(&b).unwrap();
    let plain = within(&rate, &totals);
    let same = [
        rate.times(&exact(2.0)).unwrap().over(&exact(2.0)),
        rate.plus(&exact(1.0)).unwrap().minus(&exact(1.0)),
        a.over(&c).unwrap().over(&b.over(&c).unwrap()),
        a.over(&c).unwrap().times(&c.over(&b).unwrap()),
        rate.plus(&c.over(&b).unwrap())
            .unwrap()
            .minus(&c.over(&b).unwrap()),
        exact(1.0).over(&b.over(&a).unwrap()),
    ];
    for other in same {
        let range = within(&other.unwrap(), &totals);
        assert!((range.low - plain.low).abs() < 1e-12);
        assert!((range.high - plain.high).abs() < 1e-12);
    }
    // The range of one total is that of its own noise, and of its negative.
    let minus = within(&a.negative().unwrap(), &totals);
    let width = half_width_95(SIGMA);
    assert_eq!((minus.low, minus.high), (-3000.0 - width, -3000.0 + width));
    let difference = a.minus(&a).unwrap();
    assert_eq!(
        (difference.value(), difference.range(&totals)),
        (0.0, Range::Exact)
    );
}

#[test]
fn no_range_is_claimed_that_is_none() {
    let totals = observed(&[3000.0, 5200.0, 900.0, 10.0]);
    let [a, b, c, few] = [0, 1, 2, 3].map(|at| Quantity::total(at, &totals));
    let unknown = [
        a.times(&b),
        a.over(&b).unwrap().plus(&b.over(&c).unwrap()),
        a.over(&b).unwrap().minus(&a),
        a.in_order(&totals, f64::sqrt).unwrap().plus(&b),
    ];
    for quantity in unknown {
        assert_eq!(quantity.unwrap().range(&totals), Range::Unknown);
    }
    assert_eq!(a.over(&few).unwrap().range(&totals), Range::Open);
    assert_eq!(a.over(&Quantity::exact(0.0)), None);
    assert_eq!(Quantity::exact(1e300).times(&Quantity::exact(1e300)), None);
}
