//! A running composition, to which one mechanism more is cheap to add.

use incamera_types::{Delta, Epsilon};

use super::discrete::Side;
use super::gather::{Parts, add, count, gathered};
use super::plan::{Aim, Cumulants, Plan, Question};
use super::spectrum::Spectrum;
use super::{Mechanism, epsilon_up, found, sides, some};
use crate::DpError;

/// A window is planned for a composition this much larger, and made anew when it is outgrown:
/// so a composition is transformed as a whole only some times for each doubling.
const GROWTH: f64 = 1.3;

/// The epsilon, at one delta, of everything added so far.
///
/// The result is an upper bound as [`super::Pld::epsilon_at`]'s is, and a little looser.
#[derive(Debug)]
pub struct Accountant {
    delta: Delta,
    parts: Parts,
    remove: Direction,
    add: Direction,
}

/// One direction's cumulants, and its product of transforms while that is worth anything.
#[derive(Debug)]
struct Direction {
    side: Side,
    cumulants: Cumulants,
    aim: Aim,
    spectrum: Option<Spectrum>,
    /// What stands in the cumulants and not yet in the spectrum.
    waiting: Parts,
}

impl Accountant {
    /// Of nothing yet.
    #[must_use]
    pub fn new(delta: Delta) -> Self {
        Self {
            delta,
            parts: Parts::new(),
            remove: Direction::new(Side::Remove),
            add: Direction::new(Side::Add),
        }
    }

    /// Adds a mechanism that is run `count` times.
    pub fn add(&mut self, mechanism: &Mechanism, count: u64) {
        if count > 0 {
            add(&mut self.parts, *mechanism, count);
            self.remove.add(mechanism, count);
            self.add.add(mechanism, count);
        }
    }

    /// The smallest epsilon that is sure, rounded up.
    ///
    /// # Errors
    /// [`DpError::NoDeltaLeft`] if what is lost without bound takes all of delta;
    /// [`DpError::TooLittleNoise`] if epsilon is out of range.
    pub fn epsilon(&mut self) -> Result<Epsilon, DpError> {
        some(self.delta)?;
        let mut worst = 0.0;
        for &side in sides(&self.parts) {
            let direction = match side {
                Side::Remove => &mut self.remove,
                Side::Add => &mut self.add,
            };
            let epsilon = direction.epsilon(&self.parts, self.delta.to_f64())?;
            worst = f64::max(worst, epsilon);
        }
        epsilon_up(worst)
    }
}

impl Direction {
    fn new(side: Side) -> Self {
        Self {
            side,
            cumulants: Cumulants::none(),
            aim: Aim::FIRST,
            spectrum: None,
            waiting: Parts::new(),
        }
    }

    fn add(&mut self, mechanism: &Mechanism, count: u64) {
        add(&mut self.waiting, *mechanism, count);
    }

    fn epsilon(&mut self, parts: &Parts, delta: f64) -> Result<f64, DpError> {
        loop {
            let spectrum = self.brought_up(parts, delta)?;
            let found = found(spectrum, delta);
            let plan = *spectrum.plan();
            match found
                .as_ref()
                .ok()
                .and_then(|&found| self.aim.again(&plan, found * GROWTH))
            {
                Some(nearer) => {
                    self.aim = nearer;
                    self.spectrum = None;
                }
                None => return found,
            }
        }
    }

    /// The product of everything.
    fn brought_up(&mut self, parts: &Parts, delta: f64) -> Result<&Spectrum, DpError> {
        let waiting = gathered(&std::mem::take(&mut self.waiting));
        self.cumulants.add_all(&waiting, self.side);
        let held = self.spectrum.take();
        let held = held.filter(|s| s.plan().holds(&self.cumulants, self.aim, delta));
        let spectrum = match held {
            Some(mut spectrum) => {
                spectrum.multiply_all(&waiting, self.side);
                spectrum
            }
            None => self.anew(&gathered(parts), delta)?,
        };
        Ok(self.spectrum.insert(spectrum))
    }

    fn anew(&self, parts: &Parts, delta: f64) -> Result<Spectrum, DpError> {
        let question = Question::Epsilon(delta);
        let plan = Plan::new(&self.cumulants, question, self.aim, count(parts), GROWTH)?;
        let mut spectrum = Spectrum::new(plan);
        spectrum.multiply_all(parts, self.side);
        Ok(spectrum)
    }
}
