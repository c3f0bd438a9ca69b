//! What a run costs by exact accounting, beside what it is charged.
//!
//! # Claim
//! With probability of all but delta, a run tells no more of one person than this epsilon says,
//! to anybody who sees one run alone: the composition of every draw that the bounded plan makes
//! in the groups that one person can change, by the accountant of [`incamera_dp::pld`].
//! It is for showing. What is charged and added up is zCDP, and the noise is made for that.
//!
//! | draw | one person changes |
//! |---|---|
//! | noise on a number | as many groups as there are, at most twice as many as count of a person |
//! | quantile | one draw in each of those groups |
//! | threshold | which groups are listed, with its own delta |

use incamera_dp::{DpError, Mechanism, Pld, Sensitivity};
use incamera_types::{Delta, Epsilon};

use crate::check::CheckedQuery;
use crate::fold::declared_cells;
use crate::measure::{Draw, Measure};

impl CheckedQuery {
    /// The epsilon of one run at the query's delta by exact accounting: never above the one
    /// that is charged, and that one where nothing smaller can be told. Without a delta, what
    /// is charged is exact already.
    #[must_use]
    pub fn accounted(&self) -> Epsilon {
        let charged = self.query.epsilon;
        if self.query.delta == Delta::ZERO {
            return charged;
        }
        let composed = self.composed();
        let exact = composed.and_then(|all| all.epsilon_at(self.query.delta));
        exact.map_or(charged, |exact| exact.min(charged))
    }

    /// Everything that one run draws.
    pub(crate) fn composed(&self) -> Result<Pld, DpError> {
        let none = Pld::default();
        let all = self.measures.iter().try_fold(none, |all, measure| {
            Ok::<_, DpError>(all.compose(&self.of_measure(measure)?))
        })?;
        match &self.threshold {
            None => Ok(all),
            Some(threshold) => {
                let listed = Mechanism::lost(threshold.delta().to_f64())?;
                Ok(all.compose(&Pld::of(&listed)))
            }
        }
    }

    fn of_measure(&self, measure: &Measure) -> Result<Pld, DpError> {
        let changed = self.changed();
        match &measure.draw {
            Draw::Quantile { plan, .. } => Ok(plan.loss()?.self_compose(changed)),
            Draw::Added(noise) => {
                let groups = self.query.per_person.groups;
                let clamp = Sensitivity::of_clamp(measure.low, measure.high, groups)?;
                noise.loss(&clamp.with_stability(self.stability()), self.cells(changed))
            }
        }
    }

    /// How many groups are changed where several joint persons are, of whom one changes so many.
    fn cells(&self, changed: u64) -> u64 {
        let all = changed.saturating_mul(self.stability().into());
        let cells = declared_cells(&self.query.groups).and_then(|cells| u64::try_from(cells).ok());
        cells.map_or(all, |cells| cells.max(1).min(all))
    }

    /// How many groups one person can change: those left and those entered.
    fn changed(&self) -> u64 {
        let groups = &self.query.groups;
        if groups.is_empty() {
            return 1;
        }
        let most = 2 * u64::from(self.query.per_person.groups);
        let cells = declared_cells(groups).and_then(|cells| u64::try_from(cells).ok());
        cells.map_or(most, |cells| cells.min(most))
    }
}

/// That epsilon as it is shown: three digits, rounded up.
pub(crate) fn shown(accounted: Epsilon) -> Epsilon {
    let thousandths = accounted.units().div_ceil(1000);
    Epsilon::from_units(thousandths * 1000)
}

/// That epsilon in words.
pub(crate) fn said(accounted: Epsilon) -> String {
    let shown = shown(accounted);
    format!(
        "by exact accounting, one run alone is worth epsilon {shown} at the same delta; the charge is what adds up over all runs"
    )
}
