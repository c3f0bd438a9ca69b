//! The composed loss inside a window, by a tilted Fourier transform with a bound on its error.
//!
//! # Claim
//! Let t be the masses of a mechanism times exp(tilt * loss - K), K the mechanism's cumulant
//! at the tilt, so that they sum to 1. The product of the transforms, each to the power of its
//! count, is the transform of the composition's masses, tilted and folded into the window.
//! Folding only adds mass to what the window holds itself; mass above the window is bounded by
//! Chernoff and counted as lost without bound. A computed transform is off by at most e per
//! coefficient ([`Fft::error`]), a product of powers by `prod (|f| + e)^n - prod |f|^n` and the
//! roundings of its products, the transform back by the mean of those errors and e times the
//! mean of the magnitudes. What comes out is added to every mass before the tilt is undone:
//! after that it is small beside delta, however small delta is. Hence delta is never below the
//! true one of the discretised mechanisms.
//!
//! The idea of tilting: Wilson and Keich 2016; of composing by transforms: Koskela, Jälkö,
//! Honkela 2020; Gopi, Lee, Wutschitz 2021.

use super::discrete::{Discrete, Grid};
use super::fft::{Complex, Fft, UNIT_ROUNDOFF};
use super::plan::Plan;

/// A product of tilted transforms.
#[derive(Debug)]
pub(super) struct Spectrum {
    plan: Plan,
    fft: Fft,
    /// In bit-reversed order.
    product: Vec<Complex>,
    /// ln of what each coefficient's magnitude can be at most, errors included.
    ln_most: Vec<f64>,
    /// ln of what its magnitude is, at least.
    ln_least: Vec<f64>,
    /// K of the composition.
    cumulant: f64,
    /// ln of a bound on P(loss above the window).
    ln_above: f64,
    /// The index of the largest loss there can be.
    largest: i64,
    infinity: f64,
    /// Relative roundings of all masses.
    roundings: f64,
}

impl Spectrum {
    /// The composition of nothing.
    pub fn new(plan: Plan) -> Self {
        let fft = Fft::new(plan.log_length);
        let length = 1usize << plan.log_length;
        let top = plan.grid.at(plan.last());
        Self {
            plan,
            fft,
            product: vec![Complex::ONE; length],
            ln_most: vec![0.0; length],
            ln_least: vec![0.0; length],
            cumulant: 0.0,
            ln_above: -plan.order_above * top,
            largest: 0,
            infinity: 0.0,
            roundings: 0.0,
        }
    }

    pub fn grid(&self) -> Grid {
        self.plan.grid
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Multiplies by a loss, `count` times.
    pub fn multiply(&mut self, loss: &Discrete, count: u64) {
        let times = count as f64;
        let cumulant = loss.cumulant(self.plan.tilt);
        let mut data = self.folded(loss, cumulant);
        self.fft.forward(&mut data);
        let last = loss.first + loss.masses.len() as i64 - 1;
        let runs = i64::try_from(count).unwrap_or(i64::MAX);
        self.largest = self.largest.saturating_add(last.saturating_mul(runs));
        let last = loss.grid.at(last);
        let size = loss.grid.at(loss.first).abs().max(last.abs());
        let each = UNIT_ROUNDOFF * (16.0 + 4.0 * self.plan.tilt * size);
        // Of a sum with as many terms as masses.
        let summed = 2.0 * UNIT_ROUNDOFF * loss.masses.len() as f64;
        self.roundings += times * each;
        self.cumulant += times * cumulant;
        self.ln_above += times * (loss.cumulant(self.plan.order_above) + summed);
        self.infinity += times * loss.infinity;
        let error = self.fft.error() + each;
        let all = data.iter().zip(&mut self.product);
        for ((f, product), (most, least)) in
            all.zip(self.ln_most.iter_mut().zip(&mut self.ln_least))
        {
            let magnitude = f.magnitude();
            *product = *product * f.power(count);
            *most += times * libm::log((magnitude + error).min(1.0 + error + summed));
            *least += times * libm::log(magnitude);
        }
    }

    /// A loss's tilted masses, each at its index modulo the window's length.
    fn folded(&self, loss: &Discrete, cumulant: f64) -> Vec<Complex> {
        let mut data = vec![Complex::default(); self.product.len()];
        let length = data.len() as i64;
        for (index, &mass) in (loss.first..).zip(&loss.masses) {
            let at = usize::try_from(index.rem_euclid(length)).ok();
            let exponent = self.plan.tilt * loss.grid.at(index) - cumulant;
            if let Some(slot) = at.and_then(|at| data.get_mut(at)) {
                slot.re += mass * libm::exp(exponent.min(700.0));
            }
        }
        data
    }

    /// The composed loss in the window.
    pub fn window(&self) -> Window<'_> {
        let mut masses = self.product.clone();
        let error = self.error(&masses);
        self.fft.back(&mut masses);
        let above = if self.largest <= self.plan.last() {
            0.0
        } else {
            libm::exp(self.ln_above.min(0.0))
        };
        Window {
            spectrum: self,
            masses,
            error,
            infinity: (self.infinity + above) * (1.0 + 1e-9),
        }
    }

    /// How far a mass can be off after the transform back.
    fn error(&self, product: &[Complex]) -> f64 {
        let bounds = self.ln_most.iter().zip(&self.ln_least);
        let powers: f64 = bounds
            .map(|(most, least)| -libm::exp(*most) * libm::expm1((least - most).min(0.0)))
            .sum();
        let magnitudes: f64 = product.iter().map(|c| c.magnitude()).sum();
        // The powers' own roundings stand in `roundings`, which is larger.
        let each = 2.0 * self.fft.error() + self.roundings;
        (powers + magnitudes * each) / product.len() as f64
    }
}

/// Masses of a composed loss on the points of a window, highest last.
#[derive(Debug)]
pub(super) struct Window<'a> {
    spectrum: &'a Spectrum,
    masses: Vec<Complex>,
    error: f64,
    infinity: f64,
}

/// What is known between a grid point and the next: the masses at and above the next, and the
/// hockey-stick value at the next, both without what is lost without bound.
#[derive(Clone, Copy, Debug)]
struct Step {
    index: i64,
    above: f64,
    at_next: f64,
}

impl Window<'_> {
    /// An upper bound of the mass at an index.
    fn mass(&self, index: i64) -> f64 {
        let spectrum = self.spectrum;
        let at = usize::try_from(index.rem_euclid(self.masses.len() as i64)).unwrap_or(0);
        let tilted = self.masses.get(at).map_or(0.0, |c| c.re).max(0.0) + self.error;
        let tilt = spectrum.plan.tilt * spectrum.grid().at(index);
        let exponent = spectrum.cumulant - tilt;
        let size = spectrum.cumulant.abs() + tilt.abs();
        let roundings = 1.0 + 4.0 * spectrum.roundings + 8.0 * UNIT_ROUNDOFF * size + 1e-9;
        tilted * libm::exp(exponent.min(700.0)) * roundings
    }

    /// From the highest point downwards.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let plan = &self.spectrum.plan;
        let step = plan.grid.step();
        let (shrink, rest) = (libm::exp(-step), -libm::expm1(-step));
        let (mut above, mut at_next) = (0.0, 0.0);
        (plan.first..plan.last()).rev().map(move |index| {
            at_next = shrink * at_next + rest * above;
            above += self.mass(index + 1);
            Step {
                index,
                above,
                at_next,
            }
        })
    }

    /// The smallest epsilon whose delta is not above `delta`; `None` if there is none.
    pub fn epsilon(&self, delta: f64) -> Option<f64> {
        let grid = self.spectrum.grid();
        let left = delta - self.infinity;
        if left <= 0.0 {
            return None;
        }
        let mut lowest = grid.at(self.spectrum.plan.last());
        for step in self.steps() {
            let (low, next) = (grid.at(step.index), grid.at(step.index + 1));
            // delta(epsilon) = above - e^(epsilon - next) (above - at_next) in between.
            let ratio = (step.above - left) / (step.above - step.at_next);
            if step.above > left && next + libm::log(ratio) > low {
                return Some((next + libm::log(ratio).min(0.0)).max(0.0));
            }
            if low <= 0.0 {
                return Some(0.0);
            }
            lowest = low;
        }
        Some(lowest)
    }

    /// An upper bound of delta at `epsilon`.
    pub fn delta(&self, epsilon: f64) -> f64 {
        let grid = self.spectrum.grid();
        let wanted = grid.below(epsilon);
        let mut lowest = self.infinity;
        if wanted >= self.spectrum.plan.last() {
            return lowest;
        }
        for step in self.steps() {
            let share = libm::exp(epsilon - grid.at(step.index + 1)).min(1.0);
            lowest = self.infinity + step.above * (1.0 - share) + step.at_next * share;
            if step.index <= wanted {
                return lowest.min(1.0);
            }
        }
        1.0
    }
}
