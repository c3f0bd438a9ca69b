//! The loss of one mechanism on a grid, never below the true one.
//!
//! # Claim
//! For a bucket between neighbouring grid points u and v with P-mass p and Q-mass q inside,
//! mass a at u and p - a at v with `a = p (q e^v / p - 1) / (e^(v-u) - 1)` has the same p and q:
//! the hockey-stick curve then joins the true curve's dots on the grid by lines in e^epsilon,
//! and lies on or above it, because the true one is convex (Doroshenko, Ghazi, Kamath, Kumar,
//! Manurangsi 2022). A smaller a is above that again; so p is rounded up, q down and a down by
//! what they can be off, and what is out of reach counts as lost without bound.

use super::fft::UNIT_ROUNDOFF;
use super::mechanism::{Masses, Mechanism};

/// How far an atom's mass can be off, relatively: an exponent of at most (12 + 25)²/2, rounded
/// some times, in units of 10^-16.
const ATOM_ERROR: f64 = 1e-12;

/// Grid points are whole multiples of 2^-`0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grid(pub i32);

impl Grid {
    /// The distance of two points.
    pub fn step(self) -> f64 {
        2f64.powi(-self.0)
    }

    /// The point with this index.
    pub fn at(self, index: i64) -> f64 {
        index as f64 * self.step()
    }

    /// The index of the last point that is not above.
    #[allow(clippy::cast_possible_truncation)]
    pub fn below(self, loss: f64) -> i64 {
        (loss / self.step()).floor() as i64
    }
}

/// Which of two neighbours is P, the one that the loss is taken under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// P has the person, Q does not.
    Remove,
    /// Q has the person, P does not.
    Add,
}

impl Side {
    /// P-mass, Q-mass and their errors, from those of A and B.
    fn masses(self, sampled: f64, m: &Masses) -> (f64, f64, f64, f64) {
        let mix = |a: f64, b: f64| (1.0 - sampled) * b + sampled * a;
        let (with, with_error) = (mix(m.a, m.b), mix(m.a_error, m.b_error));
        let off = |mass: f64, error: f64| error + 4.0 * UNIT_ROUNDOFF * mass;
        match self {
            Self::Remove => (with, off(with, with_error), m.b, m.b_error),
            Self::Add => (m.b, m.b_error, with, off(with, with_error)),
        }
    }

    /// The loss under sampling, from the loss of A against B.
    fn loss(self, sampled: f64, loss: f64) -> f64 {
        let mixed = if sampled < 1.0 {
            libm::log1p(sampled * libm::expm1(loss))
        } else {
            loss
        };
        match self {
            Self::Remove => mixed,
            Self::Add => -mixed,
        }
    }

    /// The interval of A against B that falls into the bucket.
    fn source(self, sampled: f64, low: f64, high: f64) -> (f64, f64) {
        let back = |loss: f64| {
            if sampled >= 1.0 {
                return loss;
            }
            let ratio = libm::expm1(loss) / sampled;
            if ratio <= -1.0 {
                f64::NEG_INFINITY
            } else {
                libm::log1p(ratio)
            }
        };
        match self {
            Self::Remove => (back(low), back(high)),
            Self::Add => (back(-high), back(-low)),
        }
    }
}

/// Masses on consecutive grid points, and what is lost without bound.
#[derive(Clone, Debug)]
pub(super) struct Discrete {
    pub grid: Grid,
    /// The index of the first mass.
    pub first: i64,
    pub masses: Vec<f64>,
    pub infinity: f64,
}

impl Discrete {
    /// The loss of one mechanism.
    pub fn of(mechanism: &Mechanism, side: Side, grid: Grid) -> Self {
        let (low, high) = losses(mechanism, side);
        let mut made = Self {
            grid,
            first: grid.below(low) - 1,
            masses: Vec::new(),
            infinity: mechanism.infinity(),
        };
        let last = grid.below(high) + 2;
        let points = usize::try_from(last - made.first + 1).unwrap_or(1);
        made.masses.resize(points, 0.0);
        made.take_atoms(mechanism, side);
        if mechanism.noise.has_intervals() {
            made.take_intervals(mechanism, side, last);
        }
        made.trim();
        made
    }

    /// Drops masses of zero at both ends: what is first and last must weigh something.
    fn trim(&mut self) {
        while self.masses.pop_if(|mass| *mass == 0.0).is_some() {}
        let empty = self.masses.iter().take_while(|mass| **mass == 0.0).count();
        self.masses.drain(..empty);
        self.first += empty as i64;
        if self.masses.is_empty() {
            self.masses.push(f64::MIN_POSITIVE);
        }
    }

    fn take_atoms(&mut self, mechanism: &Mechanism, side: Side) {
        let sampled = mechanism.sampled;
        let grow = libm::expm1(self.grid.step());
        for atom in mechanism.noise.atoms() {
            let masses = Masses {
                a: atom.a,
                b: atom.b,
                a_error: ATOM_ERROR * atom.a,
                b_error: ATOM_ERROR * atom.b,
            };
            let (p, p_error, _, _) = side.masses(sampled, &masses);
            let loss = side.loss(sampled, atom.loss);
            let off = atom.error + 8.0 * UNIT_ROUNDOFF * (1.0 + loss.abs());
            self.split(p + p_error, loss + off, grow);
        }
    }

    /// Mass at one value of the loss; `grow` is e^step - 1.
    fn split(&mut self, mass: f64, loss: f64, grow: f64) {
        let index = self.grid.below(loss);
        let up = self.grid.at(index + 1) - loss;
        let share = libm::expm1(up) / grow;
        let low = mass * (share * (1.0 - 8.0 * UNIT_ROUNDOFF)).clamp(0.0, 1.0);
        self.put(index, low, mass - low);
    }

    fn put(&mut self, index: i64, low: f64, high: f64) {
        let at = usize::try_from(index - self.first).unwrap_or(0);
        for (mass, more) in self.masses.iter_mut().skip(at).zip([low, high]) {
            *mass += more;
        }
    }

    fn take_intervals(&mut self, mechanism: &Mechanism, side: Side, last: i64) {
        let grow = libm::expm1(self.grid.step());
        for index in self.first..last {
            let (low, high) = (self.grid.at(index), self.grid.at(index + 1));
            let (from, to) = side.source(mechanism.sampled, low, high);
            let masses = mechanism.noise.between(from, to);
            let (p, p_error, q, q_error) = side.masses(mechanism.sampled, &masses);
            let (p, q) = (p + p_error, (q - q_error).max(0.0));
            if p > 0.0 {
                let part = (q * libm::exp(high) * (1.0 - 8.0 * UNIT_ROUNDOFF) - p) / grow;
                let part = part.clamp(0.0, p);
                self.put(index, part, p - part);
            }
        }
    }

    /// The standard deviation of the loss, nearly.
    pub fn deviation(&self) -> f64 {
        let points = (self.first..).map(|index| self.grid.at(index));
        let (sum, squares) = points
            .zip(&self.masses)
            .fold((0.0, 0.0), |sums, (loss, mass)| {
                (sums.0 + mass * loss, sums.1 + mass * loss * loss)
            });
        (squares - sum * sum).max(0.0).sqrt()
    }

    /// ln of the expectation of exp(`order` * loss), what is lost without bound left out.
    pub fn cumulant(&self, order: f64) -> f64 {
        let shrink = libm::exp(-order.abs() * self.grid.step());
        let fold = |sum: f64, mass: &f64| sum * shrink + mass;
        let last = self.first + self.masses.len() as i64 - 1;
        let (sum, most) = if order >= 0.0 {
            (self.masses.iter().fold(0.0, fold), last)
        } else {
            (self.masses.iter().rev().fold(0.0, fold), self.first)
        };
        libm::log(sum) + order * self.grid.at(most)
    }
}

/// From the smallest to the largest loss of a mechanism on a side.
pub(super) fn losses(mechanism: &Mechanism, side: Side) -> (f64, f64) {
    let (low, high) = mechanism.noise.range();
    let ends = [low, high].map(|loss| side.loss(mechanism.sampled, loss));
    let [one, other] = ends;
    (one.min(other), one.max(other))
}
