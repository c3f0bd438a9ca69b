//! What a threshold takes of delta, ours against opendp's, whose fault is pinned here.

use incamera_dp::{Noise, Ratio, Threshold};
use incamera_types::Delta;
use opendp::domains::{AtomDomain, MapDomain};
use opendp::measurements::{make_gaussian_threshold, make_laplace_threshold};
use opendp::measures::{Approximate, MaxDivergence, ZeroConcentratedDivergence};
use opendp::metrics::{AbsoluteDistance, L0PInfDistance};

/// opendp's delta for a threshold.
fn theirs_laplace(scale: f64, l0: u32, linf: i64, tau: i64) -> f64 {
    let domain = MapDomain::new(AtomDomain::<bool>::default(), AtomDomain::<i64>::default());
    let metric = L0PInfDistance::<1, _>(AbsoluteDistance::<i64>::default());
    let made = make_laplace_threshold::<_, _, Approximate<MaxDivergence>>(
        domain, metric, scale, tau, None,
    );
    made.unwrap()
        .map(&(l0, linf * i64::from(l0), linf))
        .unwrap()
        .1
}

fn theirs_gaussian(sigma: f64, l0: u32, linf: i64, tau: i64) -> f64 {
    let domain = MapDomain::new(AtomDomain::<bool>::default(), AtomDomain::<i64>::default());
    let metric = L0PInfDistance::<2, _>(AbsoluteDistance::<i64>::default());
    let made = make_gaussian_threshold::<_, _, Approximate<ZeroConcentratedDivergence>>(
        domain, metric, sigma, tau, None,
    );
    made.unwrap()
        .map(&(l0, linf * i64::from(l0), linf))
        .unwrap()
        .1
}

/// The exact probability that one of `l0` keys is shown, by a sum over the masses.
fn exact(mass: impl Fn(f64) -> f64, l0: u32, linf: i64, tau: i64) -> f64 {
    let total: f64 = (-4000..=4000).map(|x| mass(f64::from(x))).sum();
    let from = i32::try_from(tau - linf).unwrap();
    let tail: f64 = (from..=4000).rev().map(|x| mass(f64::from(x))).sum();
    1.0 - (1.0 - tail / total).powi(l0 as i32)
}

const CASES: [(u64, u32, u64, f64); 4] = [
    (1, 1, 1, 1e-6),
    (5, 5, 1, 1e-6),
    (3, 1, 3, 1e-4),
    (10, 10, 2, 1e-3),
];

fn smallest(noise: &Noise, l0: u32, linf: u64, most: f64) -> (i64, f64) {
    let found = Threshold::smallest(noise, l0, linf, Delta::from_f64(most).unwrap()).unwrap();
    (found.tau().try_into().unwrap(), found.delta().to_f64())
}

#[test]
fn laplace_thresholds() {
    for (scale, l0, linf, most) in CASES {
        let b = scale as f64;
        let noise = Noise::Laplace {
            scale: Ratio::whole(scale),
        };
        let (tau, delta) = smallest(&noise, l0, linf, most);
        let linf = i64::try_from(linf).unwrap();
        let mass = |x: f64| (-x.abs() / b).exp();
        let truth = exact(mass, l0, linf, tau);
        assert!(
            (delta / truth - 1.0).abs() < 1e-6,
            "{scale}: {delta} {truth}"
        );
        let theirs = theirs_laplace(b, l0, linf, tau);
        // Version 0.16 shows a value that *equals* the threshold, and counts only those above.
        let above = exact(mass, l0, linf, tau + 1);
        assert!(
            theirs < truth,
            "{scale}: the fault is gone: {theirs} {truth}; say so in README.md"
        );
        assert!(
            (theirs / above - 1.0).abs() < 1e-6,
            "{scale}: {theirs} {above}"
        );
    }
}

#[test]
fn gaussian_thresholds() {
    for (sigma, l0, linf, most) in CASES {
        let s = sigma as f64;
        let noise = Noise::Gaussian {
            sigma2: Ratio::whole(sigma * sigma),
        };
        let (tau, delta) = smallest(&noise, l0, linf, most);
        let linf = i64::try_from(linf).unwrap();
        let mass = |x: f64| (-x * x / (2.0 * s * s)).exp();
        let truth = exact(mass, l0, linf, tau);
        assert!(
            (delta / truth - 1.0).abs() < 1e-6,
            "{sigma}: {delta} {truth}"
        );
        let theirs = theirs_gaussian(s, l0, linf, tau);
        assert!(
            theirs < truth,
            "{sigma}: the fault is gone: {theirs} {truth}; say so in README.md"
        );
    }
}
