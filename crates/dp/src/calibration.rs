//! How much one person can change a sum, and how much noise hides that.
//!
//! # Neighbours
//! Two inputs are neighbours if they differ in what a single person brought, in one data set or
//! in several: rows added, taken away or altered. A person can so leave one group and turn up
//! in another. With values of one person and group clamped to [lo, hi], at
//! most g groups a person, and m = max(|lo|, |hi|):
//!
//! | | bound |
//! |---|---|
//! | L2 squared | g · max((hi-lo)², 2·m²) |
//! | L1 | 2·g·m |
//! | one value | max(hi-lo, m) |
//!
//! *Why*: over the groups, a person is two vectors with at most g entries in [lo, hi] each and
//! 0 elsewhere. A group in both changes by at most hi-lo; a group in one changes by at most
//! m, and takes up one of the g entries of its side. So s shared and 2(g-s) single groups
//! give s(hi-lo)² + 2(g-s)m², which is largest at s = 0 or s = g. In L1, hi-lo is at most 2m.
//! # Rounding
//! The bounds are integers, in units of the measure's scale; the variance is the exact
//! quotient; shares of rho are rounded down. Nothing is rounded in the unsafe direction.
//! # Precondition that the caller checks
//! Values are clamped as stated, and integers: 128-bit, never floats.

use incamera_types::Rho;
use num_bigint::BigUint;

use crate::{DpError, Ratio};

/// How much one person can change the values of one measure, over all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    l1: BigUint,
    l2_squared: BigUint,
    linf: BigUint,
}

impl Sensitivity {
    /// The bounds for a clamp and a number of groups a person.
    ///
    /// # Errors
    /// [`DpError::EmptyClamp`] if `low` is above `high`.
    pub fn of_clamp(low: i128, high: i128, groups: u32) -> Result<Self, DpError> {
        if low > high {
            return Err(DpError::EmptyClamp);
        }
        let range = BigUint::from(high.abs_diff(low));
        let most = BigUint::from(low.unsigned_abs().max(high.unsigned_abs()));
        let moved = &most * &most * 2u8;
        let l2_squared = (&range * &range).max(moved) * groups;
        let linf = if groups == 0 {
            BigUint::ZERO
        } else {
            range.max(most.clone())
        };
        Ok(Self {
            l1: most * 2u8 * groups,
            l2_squared,
            linf,
        })
    }

    /// The same where one person's coming or going changes what up to `people` bring, as a rule
    /// that links several people's rows can have it: each of those changes by what one person
    /// can, and changes add up, in every norm.
    #[must_use]
    pub fn with_stability(self, people: u32) -> Self {
        Self {
            l1: self.l1 * people,
            l2_squared: self.l2_squared * people * people,
            linf: self.linf * people,
        }
    }

    /// Bounds that were derived elsewhere: of the sum of all changes, of the sum of their
    /// squares, and of the largest change.
    #[must_use]
    pub fn of_vector(l1: BigUint, l2_squared: BigUint, linf: BigUint) -> Self {
        Self {
            l1,
            l2_squared,
            linf,
        }
    }

    /// The L1 sensitivity.
    #[must_use]
    pub fn l1(&self) -> &BigUint {
        &self.l1
    }

    /// The square of the L2 sensitivity.
    #[must_use]
    pub fn l2_squared(&self) -> &BigUint {
        &self.l2_squared
    }

    /// How much one value can change.
    #[must_use]
    pub fn linf(&self) -> &BigUint {
        &self.linf
    }
}

/// The noise of one measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calibration {
    sigma2: Ratio,
}

impl Calibration {
    /// The discrete Gaussian whose zCDP loss is exactly `share`: sigma² = L2² / (2 rho).
    ///
    /// # Errors
    /// [`DpError::NoShare`] for a share of zero.
    pub fn gaussian(sensitivity: &Sensitivity, share: Rho) -> Result<Self, DpError> {
        let numerator = &sensitivity.l2_squared * Rho::UNITS_PER_ONE;
        let denominator = BigUint::from(2u8) * share.units();
        let sigma2 = Ratio::new(numerator, denominator).ok_or(DpError::NoShare)?;
        Ok(Self { sigma2 })
    }

    /// The variance (of the continuous Gaussian of the same parameter; the discrete one's is
    /// never larger).
    #[must_use]
    pub fn sigma2(&self) -> &Ratio {
        &self.sigma2
    }

    /// The standard deviation, for showing.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        self.sigma2.to_f64().sqrt()
    }
}

/// Splits `rho` by integer weights, each share rounded down: the sum is never more.
///
/// # Errors
/// [`DpError::NoShare`] if a share comes to zero.
pub fn split(rho: Rho, weights: &[u32]) -> Result<Vec<Rho>, DpError> {
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let share = |&weight: &u32| {
        let units = u128::from(rho.units()) * u128::from(weight) / total.max(1);
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        if units == 0 {
            Err(DpError::NoShare)
        } else {
            Ok(Rho::from_units(units))
        }
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_and_spend() {
        let people = Sensitivity::of_clamp(0, 1, 1).unwrap();
        assert_eq!(
            (people.l1().clone(), people.l2_squared().clone()),
            (2u8.into(), 2u8.into())
        );
        let spend = Sensitivity::of_clamp(0, 40_000, 1).unwrap();
        assert_eq!(spend.l2_squared(), &BigUint::from(2 * 40_000u64 * 40_000));
        // A clamp around zero: the range decides.
        let gain = Sensitivity::of_clamp(-10, 10, 3).unwrap();
        assert_eq!(gain.l2_squared(), &BigUint::from(3u32 * 400));
        assert_eq!(Sensitivity::of_clamp(1, 0, 1), Err(DpError::EmptyClamp));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = Sensitivity::of_clamp(i128::MIN, i128::MAX, u32::MAX).unwrap();
        assert!(all.l2_squared().bits() > 256);
    }

    #[test]
    fn variance_is_exact() {
        let people = Sensitivity::of_clamp(0, 1, 1).unwrap();
        let half = Calibration::gaussian(&people, Rho::from_units(500_000_000_000)).unwrap();
        assert_eq!(half.sigma2(), &Ratio::whole(2u8));
        assert!(Calibration::gaussian(&people, Rho::ZERO).is_err());
    }

    /// Every pair of neighbouring contributions of a person over three groups.
    fn worst(low: i128, high: i128, groups: usize) -> (u128, u128, u128) {
        let sides: Vec<[i128; 3]> = (0..27)
            .map(|code| {
                let digit = |at: u32| match code / 3u32.pow(at) % 3 {
                    0 => (0, 0),
                    1 => (low, 1),
                    _ => (high, 1),
                };
                [digit(0), digit(1), digit(2)]
            })
            .filter(|side| side.iter().map(|(_, used)| used).sum::<usize>() <= groups)
            .map(|side| side.map(|(value, _)| value))
            .collect();
        let mut most = (0, 0, 0);
        for a in &sides {
            for b in &sides {
                let changes = || a.iter().zip(b).map(|(x, y)| x.abs_diff(*y));
                most.0 = most.0.max(changes().sum());
                most.1 = most.1.max(changes().map(|d| d * d).sum());
                most.2 = most.2.max(changes().max().unwrap_or(0));
            }
        }
        most
    }

    proptest! {
        /// The formulas bound every neighbour, and L2 is reached where there is room to move.
        #[test]
        fn no_neighbour_is_farther(a in -50i128..50, b in -50i128..50, groups in 1usize..=3) {
            let (low, high) = (a.min(b), a.max(b));
            let bound = Sensitivity::of_clamp(low, high, groups as u32).unwrap();
            let (l1, l2_squared, linf) = worst(low, high, groups);
            prop_assert!(BigUint::from(l1) <= bound.l1);
            prop_assert!(BigUint::from(l2_squared) <= bound.l2_squared);
            prop_assert_eq!(BigUint::from(linf), bound.linf);
            if groups == 1 {
                prop_assert_eq!(BigUint::from(l2_squared), bound.l2_squared);
            }
        }

        /// Two people who change at once: no farther than the bounds of two, which are met.
        #[test]
        fn two_people_are_no_farther_than_the_bounds_of_two(a in -9i128..9, b in -9i128..9) {
            let (low, high) = (a.min(b), a.max(b));
            let one = Sensitivity::of_clamp(low, high, 1).unwrap();
            let two = one.clone().with_stability(2);
            let sides = || [[0, 0], [low, 0], [high, 0], [0, low], [0, high]].into_iter();
            let changes = || sides().flat_map(|from| sides().map(move |to| [to[0] - from[0], to[1] - from[1]]));
            let (mut l1, mut l2_squared, mut linf) = (0u128, 0u128, 0u128);
            for x in changes() {
                for y in changes() {
                    let both = [(x[0] + y[0]).unsigned_abs(), (x[1] + y[1]).unsigned_abs()];
                    l1 = l1.max(both[0] + both[1]);
                    l2_squared = l2_squared.max(both[0] * both[0] + both[1] * both[1]);
                    linf = linf.max(both[0].max(both[1]));
                }
            }
            prop_assert!(BigUint::from(l1) <= two.l1);
            prop_assert_eq!(BigUint::from(l2_squared), two.l2_squared.clone());
            prop_assert_eq!(BigUint::from(linf), two.linf);
            prop_assert_eq!(one.l2_squared() * 4u8, two.l2_squared);
        }

        #[test]
        fn shares_never_sum_to_more(rho in 1_000_000u64.., weights in prop::collection::vec(1u32..100, 1..6)) {
            let shares = split(Rho::from_units(rho), &weights).unwrap();
            let sum: u128 = shares.iter().map(|share| u128::from(share.units())).sum();
            prop_assert!(sum <= u128::from(rho));
            prop_assert!(u128::from(rho) - sum < weights.len() as u128);
        }
    }

    #[test]
    fn no_share_is_an_error() {
        assert_eq!(split(Rho::from_units(10), &[1, 0]), Err(DpError::NoShare));
        assert_eq!(split(Rho::from_units(1), &[1, 1]), Err(DpError::NoShare));
        assert_eq!(split(Rho::from_units(10), &[]), Ok(vec![]));
    }
}
