//! Quantiles of bounded whole numbers: by exponential mechanism, or by a noisy tree of counts.
//!
//! # How far a person can move a rank
//! Let n be the number of values, c(r) those below r and C(r) those at or below it. The value r
//! is off the quantile q by the distance `d(r) = max(0, c(r) - q n, q n - C(r))` in ranks.
//! A person has at most k values. Neighbours differ in what one person brought: i values
//! before, j after, both at most k, anywhere. Then c(r) changes by (j' - i'), with j' of the
//! j and i' of the i below r, and n by j - i:
//!
//! `j' - i' - q (j - i)` is largest for j' = j, i' = 0: j (1 - q) + q i, at most k; and smallest
//! for j' = 0, i' = i: -(i (1 - q) + q j), at least -k.
//!
//! The same holds for C(r), and the largest of three things that change by at most k changes by
//! at most k. So d(r) changes by at most k for every r: when values are replaced, when a person
//! comes or goes, and when n changes.
//! # Exponential mechanism
//! `P(r)` proportional to `exp(-epsilon d(r) / (2 k))` over all whole numbers of the domain. The
//! logarithm of `P(r)/P'(r)` then lies in a range of length epsilon, which is epsilon-privacy and
//! epsilon²/8-zCDP (Cesar and Rogers 2021). Of a share rho: epsilon = sqrt(8 rho), rounded down.
//! *Ranks*: some r has distance 0, so `P(d > t) <= width exp(-epsilon t / (2 k))`; at 5 % that is
//! t = (2 k / epsilon) ln(20 width). It follows from public parameters alone.
//! # Noisy tree
//! Counts of the domain, of its halves, of theirs, down to single numbers, each with noise of its
//! own drawn when it is looked at. On each of h levels below the root a person's counts change
//! by at most 2 k² in L2 squared (k values leave their nodes, k turn up elsewhere), at the root
//! by k². All quantiles are read off one tree: from the root to the child that the wanted rank
//! falls into.
//! *Ranks*: the rank of what is found is off by the noise of at most h + 1 counts; taken or
//! passed by depending on their own noise, they can be biased by 0.4 deviations each:
//! t = sigma (1.96 sqrt(h+1) + 0.4 (h+1)).
//! # Which
//! The one with the smaller t, from public parameters. The exponential mechanism shares rho among
//! its quantiles, the tree does not.
//! # References
//! McSherry and Talwar 2007; Smith 2011; Cesar and Rogers 2021; Chan, Shi, Song 2011 (trees).

mod exponential;
mod tree;
mod weights;

use incamera_types::{Epsilon, Rho};
use num_bigint::BigUint;
use num_traits::ToPrimitive;

use crate::{Allowance, DpError, Mechanism, Noise, NoiseStream, Pld, Ratio, Sensitivity, choose};

/// The quantile with `part` of `whole` values below: (1, 2) is the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    part: u32,
    whole: u32,
}

impl Quantile {
    /// A quantile.
    ///
    /// # Errors
    /// [`DpError::BadProbability`] unless 0 <= part <= whole and whole > 0.
    pub fn new(part: u32, whole: u32) -> Result<Self, DpError> {
        if whole == 0 || part > whole {
            return Err(DpError::BadProbability);
        }
        Ok(Self { part, whole })
    }
}

/// The public part of a question: from where to where, how many values a person has, what is
/// asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles {
    low: i128,
    high: i128,
    per_person: u32,
    wanted: Vec<Quantile>,
}

/// How quantiles are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// One exponential mechanism for each, of this epsilon.
    Exponential {
        /// exp(-epsilon d / (2 k)).
        epsilon: Epsilon,
    },
    /// One tree for all, with this noise on every count.
    Tree {
        /// The noise.
        noise: Noise,
    },
}

/// A question with a method.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantilePlan {
    question: Quantiles,
    method: Method,
    ranks: f64,
}

impl Quantiles {
    /// A question over the whole numbers from `low` to `high`, of which a person has at most
    /// `per_person`.
    ///
    /// # Errors
    /// [`DpError::EmptyClamp`] if `low` is above `high`; [`DpError::TooWide`] for more than 2^62
    /// numbers; [`DpError::NoShare`] if nothing is asked or a person has no values.
    pub fn new(
        low: i128,
        high: i128,
        per_person: u32,
        wanted: Vec<Quantile>,
    ) -> Result<Self, DpError> {
        if low > high {
            return Err(DpError::EmptyClamp);
        }
        if high.abs_diff(low) >= 1 << 62 {
            return Err(DpError::TooWide);
        }
        if wanted.is_empty() || per_person == 0 {
            return Err(DpError::NoShare);
        }
        Ok(Self {
            low,
            high,
            per_person,
            wanted,
        })
    }

    /// How many whole numbers there are.
    fn width(&self) -> u64 {
        u64::try_from(self.high.abs_diff(self.low)).map_or(u64::MAX, |width| width + 1)
    }

    /// The method with the smaller error in ranks, for `rho` of zCDP in all.
    ///
    /// # Errors
    /// [`DpError::NoShare`] if `rho` is too small to share.
    pub fn plan(&self, rho: Rho) -> Result<QuantilePlan, DpError> {
        let (one, other) = (self.exponential(rho)?, self.tree(rho)?);
        Ok(if one.ranks <= other.ranks { one } else { other })
    }

    /// An exponential mechanism for each quantile.
    ///
    /// # Errors
    /// [`DpError::NoShare`] if `rho` is too small to share.
    pub fn exponential(&self, rho: Rho) -> Result<QuantilePlan, DpError> {
        let share = u128::from(rho.units()) / self.wanted.len() as u128;
        // (10^-6)² is 10^-12, the unit of rho.
        let epsilon = u64::try_from((8 * share).isqrt()).unwrap_or(u64::MAX);
        let epsilon = Epsilon::from_units(epsilon);
        if epsilon == Epsilon::ZERO {
            return Err(DpError::NoShare);
        }
        let spread = libm::log(20.0 * self.width() as f64);
        let ranks = 2.0 * f64::from(self.per_person) / epsilon.to_f64() * spread;
        Ok(self.with(Method::Exponential { epsilon }, ranks))
    }

    /// How one person can change the counts of a tree.
    fn sensitivity(&self) -> Sensitivity {
        let levels = tree::levels(self.width());
        let (k, counts) = (BigUint::from(self.per_person), 2 * levels + 1);
        Sensitivity::of_vector(&k * counts, &k * &k * counts, k)
    }

    /// A noisy tree for all quantiles.
    ///
    /// # Errors
    /// [`DpError::NoShare`] for a `rho` of zero.
    pub fn tree(&self, rho: Rho) -> Result<QuantilePlan, DpError> {
        let levels = tree::levels(self.width());
        let noise = choose(&self.sensitivity(), Allowance::Zcdp(rho))?.noise;
        let read = f64::from(levels) + 1.0;
        let ranks = noise.deviation() * (1.96 * read.sqrt() + 0.4 * read);
        Ok(self.with(Method::Tree { noise }, ranks))
    }

    fn with(&self, method: Method, ranks: f64) -> QuantilePlan {
        QuantilePlan {
            question: self.clone(),
            method,
            ranks: ranks.ceil(),
        }
    }
}

impl QuantilePlan {
    /// How the quantiles are found.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// At 95 %, by how many ranks at most what is released is off the quantile, by the
    /// mechanism alone.
    #[must_use]
    pub fn ranks_95(&self) -> f64 {
        self.ranks
    }

    /// The loss of one release.
    ///
    /// # Errors
    /// [`DpError::TooLittleNoise`], [`DpError::BadScale`].
    pub fn loss(&self) -> Result<Pld, DpError> {
        let question = &self.question;
        match &self.method {
            Method::Exponential { epsilon } => {
                let one = Mechanism::exponential(epsilon.to_f64())?;
                Ok(Pld::of(&one).self_compose(question.wanted.len() as u64))
            }
            Method::Tree { noise } => {
                // The root, and on each level below it as many counts as values go and come.
                let (levels, k) = (tree::levels(question.width()), question.per_person);
                let changed = 1 + 2 * u64::from(levels) * u64::from(k);
                noise.loss(&question.sensitivity(), changed)
            }
        }
    }

    /// The quantiles, in the order asked for. Values out of the domain are clamped to it, in
    /// whatever order they come; `streams` gives the noise stream of a label, each label its own.
    #[must_use]
    pub fn release(
        &self,
        mut values: Vec<i128>,
        streams: &impl Fn(&str) -> NoiseStream,
    ) -> Vec<i128> {
        let question = &self.question;
        for value in &mut values {
            *value = (*value).clamp(question.low, question.high);
        }
        values.sort_unstable();
        let found = question.wanted.iter().enumerate().map(|(at, quantile)| {
            let one = |epsilon: Epsilon| {
                let mut stream = streams(&format!("quantile {at}"));
                exponential::draw(&values, question, quantile, epsilon, &mut stream)
            };
            match &self.method {
                Method::Exponential { epsilon } => one(*epsilon),
                Method::Tree { noise } => {
                    tree::descend(&values, question, quantile, noise, streams)
                }
            }
        });
        in_order(&question.wanted, found.collect())
    }
}

/// Noise can put a higher quantile below a lower one: sorted, each stays as good.
fn in_order(wanted: &[Quantile], mut found: Vec<i128>) -> Vec<i128> {
    let mut places: Vec<(usize, &Quantile)> = wanted.iter().enumerate().collect();
    let scaled = |a: &Quantile, b: &Quantile| u64::from(a.part) * u64::from(b.whole);
    places.sort_by(|(_, a), (_, b)| scaled(a, b).cmp(&scaled(b, a)));
    let mut sorted = found.clone();
    sorted.sort_unstable();
    for ((place, _), value) in places.into_iter().zip(sorted) {
        if let Some(slot) = found.get_mut(place) {
            *slot = value;
        }
    }
    found
}

/// `epsilon / (2 k whole)`: what one unit of `whole * d` takes from the exponent.
fn exponent(question: &Quantiles, quantile: &Quantile, epsilon: Epsilon) -> Ratio {
    let below = BigUint::from(2 * Epsilon::UNITS_PER_ONE) * question.per_person * quantile.whole;
    Ratio::new(epsilon.units().into(), below).unwrap_or_else(|| Ratio::whole(0u8))
}

/// A number of values, as what the arithmetic takes.
fn number(count: usize) -> u128 {
    count.to_u128().unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests;
