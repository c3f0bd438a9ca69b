//! What a run is charged, by the design's one conversion, and what measures share of it.

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
    /// What a run may cost, as the agreement says it.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget {
            epsilon: self.epsilon,
            delta: self.delta,
        }
    }

    /// The share of the loss that a measure gets: 1 unless the agreement says otherwise.
    #[must_use]
    pub fn weight(&self, measure: &str) -> u32 {
        self.weights.get(measure).copied().unwrap_or(1)
    }

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
