//! The holder of a share: evaluates blinded points and proves that it did.
//!
//! # Time
//! What is done with the share takes the same time for every share and every point; what is
//! done for the proof with points and coefficients alone does not, and they are public.

use std::fmt;

use incamera_group::{Backend, EncodedPoint, Point, Scalar};
use rand_core::CryptoRng;

use crate::dleq::{Batch, Context, MAX_POINTS, Proof, ProofError};
use crate::lagrange::{Place, Places};
use crate::shares::{Share, SharesError};

/// A share as it counts in one set of holders.
pub struct Evaluator {
    backend: Backend,
    place: Place,
    key: Scalar,
    public_key: EncodedPoint,
}

/// What a holder answers to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The points times `lambda_i k_i`, in the order asked.
    pub points: Vec<EncodedPoint>,
    /// That they all are.
    pub proof: Proof,
}

impl Evaluator {
    /// For sessions with the holders `set`, of which the share's is one. That the set has as
    /// many as the key's threshold is not checked here, and need not be: what a share counts
    /// in a set is public, so whoever has an answer for one set has it for every set. What is
    /// counted must therefore hang on the points alone and never on the set.
    ///
    /// # Errors
    /// [`SharesError::Unknown`].
    pub fn new(backend: Backend, share: &Share, set: &Places) -> Result<Self, SharesError> {
        let place = share.place();
        if !set.contains(place) {
            return Err(SharesError::Unknown { place });
        }
        let key = share.secret().multiply(&set.coefficient(place, 0));
        Ok(Self {
            backend,
            place,
            public_key: Point::base_multiply(&key).encode(),
            key,
        })
    }

    /// The share's place.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Evaluates a batch, on the caller's thread.
    ///
    /// # Errors
    /// [`ProofError::Size`]; [`ProofError::Input`] with the first point that is none.
    pub fn evaluate(
        &self,
        context: Context<'_>,
        points: &[EncodedPoint],
        rng: &mut impl CryptoRng,
    ) -> Result<Answer, ProofError> {
        let found = points.len();
        if found > MAX_POINTS {
            return Err(ProofError::Size { found });
        }
        let outputs = self.backend.multiply(points, &self.key);
        let outputs = outputs.map_err(ProofError::Input)?;
        let batch = Batch {
            context,
            public_key: &self.public_key,
            inputs: points,
            outputs: &outputs,
        };
        let proof = batch.prove(self.backend, &self.key, rng)?;
        Ok(Answer {
            points: outputs,
            proof,
        })
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Evaluator({})", self.place)
    }
}
