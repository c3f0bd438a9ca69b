//! The asker: blinds inputs, checks answers, unblinds.
//!
//! # Parties and messages
//! | step | from → to         | message                                     | size               |
//! |------|-------------------|---------------------------------------------|--------------------|
//! | 1    | asker → holders   | `r H(x)` for every `x`, to each of a set `S` | 32 B an input each |
//! | 2    | holder → asker    | `lambda_i k_i r H(x)`, and a proof a batch   | 32 B an input, 64 B |
//! | 3    | asker             | sums over `S`, times `1/r`, hashed with `x`  |                    |
//!
//! # Claim
//! Against up to `t - 1` malicious holders: nothing is learnt of an input, of the key or of
//! another's input, and no wrong answer is taken (each is proved). Against a malicious asker:
//! it learns the function where it asks, and nothing elsewhere: one-more static
//! Diffie-Hellman, since points that it chooses are raised, each answer before the next
//! question. Such questions bring some six of the 126 bits of a discrete logarithm (Cheon,
//! 2006: the group's order plus and minus one have small divisors), which changes nothing.
//!
//! One `r` blinds all inputs of a run, where the RFC has one for each: what a holder sees is
//! then pseudorandom under DDH instead of uniform, and an inversion and a table for each
//! input are saved. A holder that is asked for one input twice in a run sees that; in two
//! runs it does not.
//! # What each party learns
//! Holders: how many points, when, from whom. The asker: `F(x)` of its inputs.
//! # Reference
//! RFC 9497; 2HashDH with shares: TOPPSS (Jarecki, Kiayias, Krawczyk, Xu, 2017, ePrint
//! 2017/363).

use std::fmt;

use incamera_group::{Backend, BatchError, EncodedPoint, Scalar};
use sha2::{Digest as _, Sha256};

use crate::dleq::{Batch, Context, ProofError};
use crate::lagrange::{Place, Places};
use crate::server::Answer;
use crate::shares::{PublicKeys, SharesError};
use crate::suite::{self, InputTooLong, Output};

/// The holders that a session asks, and the public key of each among them.
#[derive(Clone, Debug)]
pub struct Quorum {
    backend: Backend,
    members: Vec<(Place, EncodedPoint)>,
}

/// An answer whose proof holds, of one holder of a [`Quorum`].
#[derive(Clone, Debug)]
pub struct Checked {
    place: Place,
    /// SHA-256 of the points that it answers.
    asked: [u8; 32],
    public_key: EncodedPoint,
    points: Vec<EncodedPoint>,
}

/// One run's blinding. Wiped when dropped.
pub struct Blinding {
    backend: Backend,
    blind: Scalar,
}

/// Why answers do not come together to outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The holder is none of the session's.
    #[error("the holder of the share at place {place} was not asked")]
    NotAsked {
        /// Which.
        place: Place,
    },
    /// The holder's answer is refused.
    #[error("the holder of the share at place {place} answers wrongly")]
    Holder {
        /// Which.
        place: Place,
        /// Why.
        #[source]
        error: ProofError,
    },
    /// Not exactly one answer of each holder of the session to this batch.
    #[error("the answers are not one of each holder asked, to one batch")]
    Incomplete,
    /// Not as many answers as points, or inputs.
    #[error("there are not as many answers as inputs")]
    Lengths(#[source] BatchError),
    /// An input that the function has no value at.
    #[error(transparent)]
    Input(#[from] InputTooLong),
}

impl Quorum {
    /// The holders `set` of a key.
    ///
    /// # Errors
    /// [`SharesError`] unless the set has as many as the threshold, all of the key's.
    pub fn new(backend: Backend, keys: &PublicKeys, set: &Places) -> Result<Self, SharesError> {
        let members = set.iter().map(|place| {
            let key = keys.evaluation_key(set, place)?;
            Ok((place, key))
        });
        Ok(Self {
            backend,
            members: members.collect::<Result<_, SharesError>>()?,
        })
    }

    /// Checks a holder's answer to the blinded points.
    ///
    /// # Errors
    /// [`ClientError::NotAsked`], [`ClientError::Holder`].
    pub fn check(
        &self,
        place: Place,
        context: Context<'_>,
        blinded: &[EncodedPoint],
        answer: Answer,
    ) -> Result<Checked, ClientError> {
        let member = self.members.iter().find(|(member, _)| *member == place);
        let (_, public_key) = member.ok_or(ClientError::NotAsked { place })?;
        let batch = Batch {
            context,
            public_key,
            inputs: blinded,
            outputs: &answer.points,
        };
        let verified = batch.verify(self.backend, &answer.proof);
        verified.map_err(|error| ClientError::Holder { place, error })?;
        Ok(Checked {
            place,
            asked: digest(blinded),
            public_key: *public_key,
            points: answer.points,
        })
    }
}

impl Blinding {
    /// A blinding by a scalar that no holder may learn, new for each run.
    #[must_use]
    pub fn new(backend: Backend, blind: Scalar) -> Self {
        Self { backend, blind }
    }

    /// Step 1.
    #[must_use]
    pub fn blind<T: AsRef<[u8]>>(&self, inputs: &[T]) -> Vec<EncodedPoint> {
        let domain = suite::hash_domain();
        self.backend.hash_and_multiply(&domain, inputs, &self.blind)
    }

    /// Step 3 up to the hash: `k H(x)` of every input, in order, of the answers to `blinded`.
    /// Answers to another batch, of which a holder that took another's place may have some,
    /// would be those of other inputs.
    ///
    /// # Errors
    /// [`ClientError::Incomplete`], [`ClientError::Lengths`].
    pub fn unblind(
        &self,
        quorum: &Quorum,
        blinded: &[EncodedPoint],
        answers: &[Checked],
    ) -> Result<Vec<EncodedPoint>, ClientError> {
        let asked = digest(blinded);
        if answers.iter().any(|answer| answer.asked != asked) {
            return Err(ClientError::Incomplete);
        }
        let mut of: Vec<_> = answers.iter().map(|a| (a.place, a.public_key)).collect();
        of.sort_unstable();
        // A quorum's members are in order of place.
        if of != quorum.members {
            return Err(ClientError::Incomplete);
        }
        let lists: Vec<&[EncodedPoint]> = answers.iter().map(|a| a.points.as_slice()).collect();
        let sums = self.backend.sum_and_multiply(&lists, &self.blind.invert());
        sums.map_err(ClientError::Lengths)
    }

    /// Step 3: the outputs of every input, in order.
    ///
    /// # Errors
    /// [`ClientError::Incomplete`], [`ClientError::Lengths`], [`ClientError::Input`].
    pub fn finish<T: AsRef<[u8]>>(
        &self,
        quorum: &Quorum,
        blinded: &[EncodedPoint],
        answers: &[Checked],
        inputs: &[T],
    ) -> Result<Vec<Output>, ClientError> {
        let points = self.unblind(quorum, blinded, answers)?;
        let (expected, found) = (inputs.len(), points.len());
        if expected != found {
            let error = BatchError::Lengths { expected, found };
            return Err(ClientError::Lengths(error));
        }
        let pairs = inputs.iter().zip(&points);
        let outputs = pairs.map(|(input, point)| suite::finalize(input.as_ref(), point));
        Ok(outputs.collect::<Result<_, _>>()?)
    }
}

fn digest(blinded: &[EncodedPoint]) -> [u8; 32] {
    let points = blinded.iter();
    let digest = points.fold(Sha256::new(), |digest, point| {
        digest.chain_update(point.as_bytes())
    });
    digest.finalize().into()
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding(..)")
    }
}
