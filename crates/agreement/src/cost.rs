//! What a run is charged: the design's one conversion.

use incamera_dp::DpError;
use incamera_types::{Budget, Delta, Epsilon, PrivacyLoss};

use crate::model::Query;

/// What a run at this epsilon and delta is charged. A part of delta is for the threshold of
/// discovered groups, where there are some.
pub(crate) fn loss_of(budget: Budget, discovers: bool) -> Result<PrivacyLoss, DpError> {
    let delta0 = match discovers {
        true => incamera_dp::for_thresholds(budget.delta),
        false => Delta::ZERO,
    };
    let rho = incamera_dp::rho_of(budget.epsilon, budget.delta, delta0)?;
    Ok(PrivacyLoss { rho, delta0 })
}

impl Query {
    /// The same question at another epsilon, which no party has signed: to foretell what it
    /// would cost and be off by.
    ///
    /// # Errors
    /// [`DpError`] if so small an epsilon leaves nothing to spend.
    pub fn at_epsilon(&self, epsilon: Epsilon) -> Result<Self, DpError> {
        let delta = self.delta;
        let loss = loss_of(Budget { epsilon, delta }, self.discovers())?;
        Ok(Self {
            epsilon,
            loss,
            ..self.clone()
        })
    }
}
