//! What an agreement accepts as a room.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::Measurement;

use crate::TeeKind;

/// Why a list of accepted TEEs is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// No kind at all: an empty list would otherwise be read as "anything".
    #[error("no kind of TEE is accepted: name at least one with its measurements")]
    NoKinds,
    /// A kind without measurements.
    #[error("`{kind}` is accepted without a measurement: name the code that may open the data")]
    NoMeasurements {
        /// The kind.
        kind: TeeKind,
    },
    /// Two blocks of one kind.
    #[error("`{kind}` is accepted twice: put everything about it into one block")]
    Twice {
        /// The kind.
        kind: TeeKind,
    },
}

/// One accepted kind of TEE: one complete block of the agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The kind.
    pub kind: TeeKind,
    /// The code that may run: at least one measurement.
    pub measurements: Vec<Measurement>,
    /// The lowest accepted version of each component of the platform.
    pub min_tcb: BTreeMap<String, u64>,
}

/// The kinds of TEE that an agreement accepts. A kind that is not named is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    accepted: Vec<Accepted>,
}

impl Policy {
    /// A policy of at least one kind, each with at least one measurement.
    ///
    /// # Errors
    /// [`PolicyError`] for an empty list, an empty list of measurements, a kind named twice.
    pub fn new(accepted: Vec<Accepted>) -> Result<Self, PolicyError> {
        if accepted.is_empty() {
            return Err(PolicyError::NoKinds);
        }
        let mut kinds = BTreeSet::new();
        for Accepted {
            kind, measurements, ..
        } in &accepted
        {
            if measurements.is_empty() {
                return Err(PolicyError::NoMeasurements { kind: *kind });
            }
            if !kinds.insert(*kind) {
                return Err(PolicyError::Twice { kind: *kind });
            }
        }
        Ok(Self { accepted })
    }

    /// The accepted kinds, in the agreement's order.
    #[must_use]
    pub fn accepted(&self) -> &[Accepted] {
        &self.accepted
    }

    /// The block of this kind.
    #[must_use]
    pub fn of(&self, kind: TeeKind) -> Option<&Accepted> {
        self.accepted.iter().find(|block| block.kind == kind)
    }

    /// Whether this measurement is accepted for some kind.
    #[must_use]
    pub fn names(&self, measurement: &Measurement) -> bool {
        self.accepted
            .iter()
            .any(|block| block.measurements.contains(measurement))
    }

    /// Whether a simulated TEE is accepted: everybody concerned must be told (I10).
    #[must_use]
    pub fn accepts_simulated(&self) -> bool {
        self.of(TeeKind::Simulated).is_some()
    }
}

#[cfg(test)]
mod tests {
    use incamera_types::Digest as _;

    use super::*;

    fn block(kind: TeeKind, measurements: usize) -> Accepted {
        Accepted {
            kind,
            measurements: vec![Measurement::from_bytes([1; 32]); measurements],
            min_tcb: BTreeMap::new(),
        }
    }

    #[test]
    fn i4_an_empty_list_allows_nothing() {
        assert_eq!(Policy::new(vec![]), Err(PolicyError::NoKinds));
        let kind = TeeKind::SevSnp;
        assert_eq!(
            Policy::new(vec![block(kind, 0)]),
            Err(PolicyError::NoMeasurements { kind })
        );
        assert_eq!(
            Policy::new(vec![block(kind, 1), block(kind, 1)]),
            Err(PolicyError::Twice { kind })
        );
    }

    #[test]
    fn i10_a_policy_tells_that_it_accepts_simulation() {
        let real = Policy::new(vec![block(TeeKind::Tdx, 1)]).unwrap();
        assert!(!real.accepts_simulated());
        let both = vec![block(TeeKind::Tdx, 1), block(TeeKind::Simulated, 1)];
        assert!(Policy::new(both).unwrap().accepts_simulated());
    }
}
