//! Where to look: tilt, grid and window for one composition.
//!
//! Nothing here decides whether the result is an upper bound. A bad plan gives a loose result.

use super::discrete::{Discrete, Grid, Side, losses};
use super::gather::{Parts, roughly};
use super::mechanism::Mechanism;
use crate::DpError;

/// The grid is this much finer than epsilon.
const FINER_THAN_EPSILON: f64 = 4000.0;
/// The part of epsilon that discretising may add.
const TOLERANCE: f64 = 2e-4;
/// Masses of a rough discretisation.
const ROUGH_POINTS: f64 = 2048.0;
const MAX_ROUGH_POINTS: f64 = 32_768.0;
/// The longest transform is 2^20.
const MAX_LOG_LENGTH: u32 = 20;
const MAX_LENGTH: f64 = 1_048_576.0;
const MIN_LOG_LENGTH: u32 = 8;
/// The most masses of one mechanism.
const MAX_POINTS: f64 = 2_097_152.0;
/// ln of what may be wrapped around from below the window, and of what may be above it, as a
/// part of delta.
const LN_WRAPPED: f64 = -28.0;
const LN_ABOVE: f64 = -21.0;
/// ln of a delta that an epsilon of interest is not far below.
const LN_COMMON: f64 = -2.0;
/// About what the roundings of a transform add to the sum of all masses, per mechanism; and ln
/// of the part of delta that they may make up.
const ROUNDING: f64 = 1e-12;
const LN_ROUNDING: f64 = -8.0;

/// Orders at which cumulants are known: geometric, both signs, and 0.
const NEGATIVE: i32 = 28;
const POSITIVE: i32 = 64;
const FIRST_ORDER: f64 = 0.01;
const FACTOR: f64 = 1.25;

fn order(at: i32) -> f64 {
    match at {
        0 => 0.0,
        _ if at < 0 => -FIRST_ORDER * FACTOR.powi(2 * (-at - 1)),
        _ => FIRST_ORDER * FACTOR.powi(at - 1),
    }
}

fn orders() -> impl Iterator<Item = f64> {
    (-NEGATIVE..=POSITIVE).map(order)
}

/// Cumulants of a loss at all [`orders`], nearly.
#[derive(Clone, Debug)]
pub(super) struct Cumulants {
    values: Vec<f64>,
    /// The widest range of loss that one mechanism has.
    widest: f64,
}

impl Cumulants {
    /// Of no mechanism at all.
    pub fn none() -> Self {
        Self {
            values: orders().map(|_| 0.0).collect(),
            widest: 0.0,
        }
    }

    /// Of one mechanism.
    pub fn of(mechanism: &Mechanism, side: Side) -> Self {
        let (low, high) = losses(mechanism, side);
        let widest = high - low;
        let mut points = ROUGH_POINTS;
        loop {
            let step = (widest / points).max(1e-9);
            let rough = Discrete::of(mechanism, side, grid_of(step));
            // A sample's loss is mostly near zero: the grid has to resolve that too.
            if step <= rough.deviation() / 2.0 || points >= MAX_ROUGH_POINTS {
                let values = orders().map(|order| rough.cumulant(order)).collect();
                return Self { values, widest };
            }
            points *= 4.0;
        }
    }

    /// Adds those of something that is run `count` times.
    pub fn add(&mut self, other: &Self, count: f64) {
        for (sum, more) in self.values.iter_mut().zip(&other.values) {
            *sum += more * count;
        }
        self.widest = self.widest.max(other.widest);
    }

    /// Adds those of mechanisms, of very many kinds nearly.
    pub fn add_all(&mut self, parts: &Parts, side: Side) {
        for (mechanism, count) in &roughly(parts) {
            self.add(&Self::of(mechanism, side), *count as f64);
        }
    }

    fn times(&self, factor: f64) -> Self {
        Self {
            values: self.values.iter().map(|value| value * factor).collect(),
            widest: self.widest,
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        orders().zip(self.values.iter().copied())
    }

    /// The smallest t with P(loss > t) <= e^ln_tail as far as orders from `least` on can
    /// tell, and the order that tells.
    fn top(&self, ln_tail: f64, least: f64) -> (f64, f64) {
        let tops = self
            .pairs()
            .filter(|&(order, _)| order >= least && order > 0.0);
        let tops = tops.map(|(order, cumulant)| ((cumulant - ln_tail) / order, order));
        tops.fold(
            (f64::INFINITY, FIRST_ORDER),
            |a, b| if b.0 < a.0 { b } else { a },
        )
    }

    /// The largest t with P(loss < t) <= e^ln_tail under a tilt.
    fn bottom(&self, ln_tail: f64, tilt: f64) -> f64 {
        let at_tilt = self.at(tilt);
        let lower = self.pairs().filter(|&(order, _)| order < tilt);
        let bottoms = lower.map(|(order, k)| (ln_tail + at_tilt - k) / (tilt - order));
        bottoms.fold(f64::NEG_INFINITY, f64::max)
    }

    fn at(&self, wanted: f64) -> f64 {
        let distance = |order: f64| (order - wanted).abs();
        let near = |a: (f64, f64), b: (f64, f64)| if distance(b.0) < distance(a.0) { b } else { a };
        self.pairs().fold((f64::INFINITY, 0.0), near).1
    }

    /// The smallest order at which ln of a mass at `epsilon`, beside all of the tilted mass, is
    /// at most `most`: a larger one would only move the mass away from where it is needed.
    fn tilt(&self, epsilon: f64, most: f64) -> Option<f64> {
        let mut orders = self.pairs().filter(|&(order, _)| order >= 0.0);
        let enough = orders.find(|&(order, cumulant)| cumulant - order * epsilon <= most);
        enough.map(|(order, _)| order)
    }

    /// The order at which P(loss > `epsilon`) is bounded best, and ln of that bound.
    fn saddle(&self, epsilon: f64) -> (f64, f64) {
        let bounds = self.pairs().filter(|&(order, _)| order >= 0.0);
        let bounds = bounds.map(|(order, cumulant)| (order, cumulant - order * epsilon));
        bounds.fold((0.0, f64::INFINITY), |a, b| if b.1 < a.1 { b } else { a })
    }
}

/// The coarsest grid whose step is not above `step`.
#[allow(clippy::cast_possible_truncation)]
fn grid_of(step: f64) -> Grid {
    Grid((-step.log2()).ceil() as i32)
}

/// What is asked of a composition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Question {
    /// The epsilon at this delta.
    Epsilon(f64),
    /// The delta at this epsilon.
    Delta(f64),
}

/// Tilt, grid and window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Where delta is expected to be what is asked for.
    pub epsilon: f64,
    pub grid: Grid,
    /// Masses are multiplied by exp(tilt * loss), so that rounding errors are small where
    /// delta is decided.
    pub tilt: f64,
    /// The order that bounds what is above the window.
    pub order_above: f64,
    /// The index of the window's lowest point.
    pub first: i64,
    /// The window has 2^this many points.
    pub log_length: u32,
}

/// A part of the epsilon that Chernoff's bound gives, which is near the true one unless the
/// loss has a long tail of small mass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Aim(f64);

/// An epsilon that nobody asks about, and the step of a grid that only such a one needs.
const NO_EPSILON: f64 = 5000.0;
const NO_STEP: f64 = 8.0;

impl Aim {
    /// What is tried first.
    pub const FIRST: Self = Self(0.95);
    /// An epsilon below this part of what was aimed at was not well aimed.
    const NEAR: f64 = 0.8;

    /// Where to aim after an epsilon that was found far below what a plan aimed at.
    pub fn again(self, plan: &Plan, found: f64) -> Option<Self> {
        let aimed = plan.epsilon;
        let far = found > 0.0 && found < Self::NEAR * aimed && self.0 > 0.05;
        far.then(|| Self(self.0 * found / aimed))
    }
}

/// What the question amounts to: an epsilon, and ln of a delta.
fn amounts(cumulants: &Cumulants, question: Question, aim: Aim) -> (f64, f64) {
    match question {
        Question::Epsilon(delta) => {
            let ln_delta = libm::log(delta);
            (cumulants.top(ln_delta, 0.0).0 * aim.0, ln_delta)
        }
        Question::Delta(epsilon) => {
            let ln_delta = cumulants.saddle(epsilon).1;
            (epsilon, ln_delta.min(0.0) - 7.0)
        }
    }
}

impl Plan {
    /// A plan for a composition of `count` mechanisms, with room to grow by a factor.
    ///
    /// # Errors
    /// [`DpError::TooLittleNoise`] for a composition that protects nobody.
    pub fn new(
        cumulants: &Cumulants,
        question: Question,
        aim: Aim,
        count: f64,
        growth: f64,
    ) -> Result<Self, DpError> {
        let grown = cumulants.times(growth);
        let (epsilon, ln_delta) = amounts(&grown, question, aim);
        let noise = libm::log(ROUNDING * count * growth);
        let tilt = grown.tilt(epsilon, ln_delta + LN_ROUNDING - noise);
        // Where the loss has an end at which delta drops to nothing, the best order is it.
        let tilt = tilt.unwrap_or_else(|| match question {
            Question::Epsilon(_) => grown.top(ln_delta, 0.0).1,
            Question::Delta(_) => grown.saddle(epsilon).0,
        });
        let size = epsilon.max(grown.top(LN_COMMON, 0.0).0).max(1e-6);
        let fine =
            (size / FINER_THAN_EPSILON).min((8.0 * TOLERANCE * size / (count * growth)).sqrt());
        let top = grown.top(ln_delta + LN_ABOVE, tilt).0.max(epsilon);
        let bottom = grown.bottom(LN_WRAPPED, tilt);
        let bottom = bottom.min(cumulants.bottom(LN_WRAPPED, tilt));
        let bottom = bottom.min(epsilon - 0.5 * size).max(-1e5);
        let step = fine.max(grown.widest / MAX_POINTS);
        let step = step.max((top - bottom) / MAX_LENGTH);
        if !(epsilon <= NO_EPSILON && step <= NO_STEP) {
            return Err(DpError::TooLittleNoise);
        }
        let mut grid = grid_of(step);
        let mut log_length = length_of(top - bottom, grid);
        while log_length > MAX_LOG_LENGTH {
            grid = Grid(grid.0 - 1);
            log_length = length_of(top - bottom, grid);
        }
        let mut plan = Self {
            epsilon,
            grid,
            tilt,
            order_above: 0.0,
            first: grid.below(bottom),
            log_length,
        };
        plan.order_above = grown.saddle(grid.at(plan.last())).0;
        Ok(plan)
    }

    /// The index of the window's highest point.
    pub fn last(&self) -> i64 {
        self.first + (1 << self.log_length) - 1
    }

    /// Whether the window still holds a composition that has grown.
    pub fn holds(&self, cumulants: &Cumulants, aim: Aim, delta: f64) -> bool {
        let (epsilon, ln_delta) = amounts(cumulants, Question::Epsilon(delta), aim);
        let (first, last) = (self.grid.at(self.first), self.grid.at(self.last()));
        let above = cumulants.at(self.order_above) - self.order_above * last;
        // What is wrapped around comes to lie at the top, and must be small beside delta there.
        let weight = cumulants.at(self.tilt) - self.tilt * epsilon;
        let wrapped = (ln_delta + LN_ROUNDING - weight).clamp(LN_WRAPPED + 2.0, LN_WRAPPED / 2.0);
        let bottom = cumulants.bottom(wrapped, self.tilt);
        above <= ln_delta + LN_ABOVE / 2.0 && epsilon <= last && bottom.min(epsilon) >= first
    }
}

fn length_of(width: f64, grid: Grid) -> u32 {
    let mut log_length = MIN_LOG_LENGTH;
    while log_length < 40 && 2f64.powi(log_length as i32) < width / grid.step() + 4.0 {
        log_length += 1;
    }
    log_length
}
