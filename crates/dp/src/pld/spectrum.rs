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
//! A coefficient of the product whose bound has fallen to nothing is computed no further and
//! counted as an error: of a composition of many kinds hardly any frequency is left after the
//! first few, and each of the rest costs a short sum at those frequencies, no transform.
//!
//! The idea of tilting: Wilson and Keich 2016; of composing by transforms: Koskela, Jälkö,
//! Honkela 2020; Gopi, Lee, Wutschitz 2021.

use super::discrete::{Discrete, Grid, Side};
use super::fft::{Complex, Fft, UNIT_ROUNDOFF};
use super::gather::Parts;
use super::plan::Plan;

/// ln of a magnitude at which a coefficient counts as an error instead.
const LN_NOTHING: f64 = -45.0;

/// One coefficient of the product; that of the opposite frequency is its conjugate.
#[derive(Clone, Copy, Debug)]
struct Coefficient {
    frequency: usize,
    product: Complex,
    /// ln of what the magnitude can be at most, errors included.
    ln_most: f64,
    /// ln of what the magnitude is, at least.
    ln_least: f64,
}

/// A product of tilted transforms.
#[derive(Debug)]
pub(super) struct Spectrum {
    plan: Plan,
    fft: Fft,
    /// Those that are not nothing yet.
    live: Vec<Coefficient>,
    /// A bound on the sum of all other magnitudes, over e^`ln_growth`.
    dropped: f64,
    /// ln of what errors can have made any magnitude grow by.
    ln_growth: f64,
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
        let top = plan.grid.at(plan.last());
        let one = |frequency| Coefficient {
            frequency,
            product: Complex::ONE,
            ln_most: 0.0,
            ln_least: 0.0,
        };
        Self {
            plan,
            fft: Fft::new(plan.log_length),
            live: (0..=length(&plan) / 2).map(one).collect(),
            dropped: 0.0,
            ln_growth: 0.0,
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

    /// Multiplies by the losses of mechanisms.
    pub fn multiply_all(&mut self, parts: &Parts, side: Side) {
        for (mechanism, &count) in parts {
            self.multiply(&Discrete::of(mechanism, side, self.plan.grid), count);
        }
    }

    /// Multiplies by a loss, `count` times.
    fn multiply(&mut self, loss: &Discrete, count: u64) {
        let times = count as f64;
        let cumulant = loss.cumulant(self.plan.tilt);
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
        let (factors, off) = self.factors(loss, cumulant);
        let error = off + each;
        let ln_one = libm::log1p(error + summed);
        for (coefficient, f) in self.live.iter_mut().zip(factors) {
            let magnitude = f.magnitude();
            coefficient.product = coefficient.product * f.power(count);
            coefficient.ln_most += times * libm::log(magnitude + error).min(ln_one);
            coefficient.ln_least += times * libm::log(magnitude);
        }
        self.ln_growth += times * ln_one;
        self.drop_nothings();
    }

    /// A loss's coefficients at the live frequencies, and how far they can be off.
    fn factors(&self, loss: &Discrete, cumulant: f64) -> (Vec<Complex>, f64) {
        let tilted = self.tilted(loss, cumulant);
        let transform = length(&self.plan).saturating_mul(self.plan.log_length as usize);
        let frequencies = self.live.iter().map(|coefficient| coefficient.frequency);
        if self.live.len().saturating_mul(tilted.len()) < transform {
            let first = self.place(loss.first);
            let one = |frequency| self.fft.coefficient(&tilted, first, frequency);
            let off = Fft::coefficient_error(tilted.len());
            return (frequencies.map(one).collect(), off);
        }
        let mut data = self.folded(loss.first, &tilted);
        self.fft.forward(&mut data);
        let at = |frequency| data.get(self.reversed(frequency)).copied();
        let factors = frequencies.map(|frequency| at(frequency).unwrap_or_default());
        (factors.collect(), self.fft.error())
    }

    /// A loss's masses under the tilt.
    fn tilted(&self, loss: &Discrete, cumulant: f64) -> Vec<f64> {
        let tilted = |(index, mass): (i64, &f64)| {
            let exponent = self.plan.tilt * loss.grid.at(index) - cumulant;
            mass * libm::exp(exponent.min(700.0))
        };
        (loss.first..).zip(&loss.masses).map(tilted).collect()
    }

    /// Masses, each at its index modulo the window's length.
    fn folded(&self, first: i64, tilted: &[f64]) -> Vec<Complex> {
        let mut data = vec![Complex::default(); length(&self.plan)];
        for (index, mass) in (first..).zip(tilted) {
            if let Some(slot) = data.get_mut(self.place(index)) {
                slot.re += mass;
            }
        }
        data
    }

    /// An index modulo the window's length.
    fn place(&self, index: i64) -> usize {
        usize::try_from(index.rem_euclid(length(&self.plan) as i64)).unwrap_or(0)
    }

    /// Where the transform leaves a frequency.
    fn reversed(&self, frequency: usize) -> usize {
        frequency.reverse_bits() >> (usize::BITS - self.plan.log_length)
    }

    /// A frequency and its opposite, which is the same for the lowest and the highest.
    fn weight(&self, frequency: usize) -> f64 {
        if frequency == 0 || frequency == length(&self.plan) / 2 {
            1.0
        } else {
            2.0
        }
    }

    /// Coefficients that are too small to matter are an error from now on: no mechanism makes
    /// one larger but by its own error.
    fn drop_nothings(&mut self) {
        let mut live = std::mem::take(&mut self.live);
        live.retain(|coefficient| {
            let nothing = coefficient.ln_most < LN_NOTHING;
            if nothing {
                let most = libm::exp(coefficient.ln_most - self.ln_growth);
                self.dropped += self.weight(coefficient.frequency) * most;
            }
            !nothing
        });
        self.live = live;
    }

    /// The composed loss in the window.
    pub fn window(&self) -> Window<'_> {
        let mut masses = self.product();
        self.fft.back(&mut masses);
        let above = if self.largest <= self.plan.last() {
            0.0
        } else {
            libm::exp(self.ln_above.min(0.0))
        };
        Window {
            spectrum: self,
            masses,
            error: self.error(),
            infinity: (self.infinity + above) * (1.0 + 1e-9),
        }
    }

    /// All coefficients as the transform back takes them.
    fn product(&self) -> Vec<Complex> {
        let mut all = vec![Complex::default(); length(&self.plan)];
        for coefficient in &self.live {
            let opposite = self.place(-(coefficient.frequency as i64));
            let two = [
                (opposite, coefficient.product.conjugate()),
                (coefficient.frequency, coefficient.product),
            ];
            for (frequency, product) in two {
                if let Some(slot) = all.get_mut(self.reversed(frequency)) {
                    *slot = product;
                }
            }
        }
        all
    }

    /// How far a mass can be off after the transform back.
    fn error(&self) -> f64 {
        // The powers' own roundings stand in `roundings`, which is larger.
        let each = 2.0 * self.fft.error() + self.roundings;
        let one = |c: &Coefficient| {
            let powers = -libm::exp(c.ln_most) * libm::expm1((c.ln_least - c.ln_most).min(0.0));
            self.weight(c.frequency) * (powers + c.product.magnitude() * each)
        };
        let live: f64 = self.live.iter().map(one).sum();
        (live + self.dropped * libm::exp(self.ln_growth)) / length(&self.plan) as f64
    }
}

/// How many points a plan's window has.
fn length(plan: &Plan) -> usize {
    1 << plan.log_length
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
