//! Proof that every point of a batch was multiplied by the same secret key (batched DLEQ).
//!
//! # Parties and messages
//! The *prover* has a key `k`, with `K = k G` known to the *verifier*. Both have a batch of
//! inputs `P` and outputs `Q`, of which the prover says that `Q_i = k P_i` for each `i`.
//!
//! | step | who      | does                                                                      |
//! |------|----------|---------------------------------------------------------------------------|
//! | 1    | both     | `s` = digest of context, `K`, all `P`, all `Q`                            |
//! | 2    | both     | numbers `c_i` of 128 bits: the ChaCha20 stream under `s`, little-endian    |
//! | 3    | prover   | `M = sum c_i P_i`, `Z = k M`; verifier: also `Z = sum c_i Q_i`            |
//! | 4    | prover   | `c = H(s, M, Z, t G, t M)`, `r = t - c k`; sends `c` and `r`, 64 bytes    |
//! | 5    | verifier | accepts if `c = H(s, M, Z, r G + c K, r M + c Z)`                         |
//!
//! # Claim
//! Against a malicious prover, in the random oracle model: a batch with a wrong row passes
//! with probability about `2^-128` a try. The prover tries alone, by hashing: `2^q` tries pass
//! with `2^(q-128)`. The numbers have 128 bits and not the 253 of RFC 9497's batches for half
//! the additions; see docs/decisions/0079. Zero knowledge: the proof tells nothing of `k`.
//!
//! The nonce `t` hangs on key, batch and fresh randomness: neither a broken generator nor a
//! machine that was cloned gives one nonce to two batches, which would tell the key.
//!
//! Not claimed: that `K` is anybody's in particular. The verifier has it from somewhere that
//! binds it: a signed statement, or the first greeting of a run.
//! # What each party learns
//! The verifier: that the batch is right. The time that `verify` and `prove` take depends on
//! points and coefficients, which both know; what is done with `k` and `t` takes the same
//! time for all.
//! # Reference
//! Chaum and Pedersen (1992); batching as in RFC 9497, section 2.2.1, after Henry (2014).

use incamera_group::{Backend, BatchError, EncodedPoint, Point, PointError, PointFault, Scalar};
use incamera_types::{BatchDigest, Digest as _, Transcript};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Digest of what a proof is about.
const BATCH_LABEL: &str = "incamera-dleq/1";
/// Digest that the challenge is made of, and the label that it is widened under.
const CHALLENGE_LABEL: &str = "incamera-dleq-challenge/1";
/// Starts the info of the nonce's HKDF.
const NONCE_LABEL: &str = "incamera-dleq-nonce/1";

/// The most points of a batch.
pub const MAX_POINTS: usize = 65_536;

/// Where a batch belongs. A proof holds for one place alone.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// What tells one session or run from all others.
    pub session: &'a [u8],
    /// Who proves to whom, or what the batch is for.
    pub role: &'a str,
    /// The place of the batch's first point in its stream.
    pub first: u64,
}

/// What a proof is about.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where it belongs.
    pub context: Context<'a>,
    /// The prover's public key: the generator times the key.
    pub public_key: &'a EncodedPoint,
    /// What was multiplied.
    pub inputs: &'a [EncodedPoint],
    /// What came of it, in the same order.
    pub outputs: &'a [EncodedPoint],
}

/// A proof: challenge and response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof([u8; Self::BYTES]);

/// Why a batch is not believed, or cannot be proved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// No points, or too many.
    #[error("a proof is about 1 to {MAX_POINTS} points, this batch has {found}")]
    Size {
        /// Its points.
        found: usize,
    },
    /// There are not as many outputs as inputs.
    #[error("{outputs} points are no answer to {inputs}")]
    Lengths {
        /// Points asked.
        inputs: usize,
        /// Points answered.
        outputs: usize,
    },
    /// The public key is no key.
    #[error("the public key is refused")]
    PublicKey(#[source] PointFault),
    /// A point that was asked is none.
    #[error("an input is refused")]
    Input(#[source] PointError),
    /// A point that was answered is none.
    #[error("an output is refused")]
    Output(#[source] PointError),
    /// The bytes are no proof.
    #[error("the proof is malformed")]
    Malformed,
    /// Some output is not the input times the key, or the proof is of another batch.
    #[error("the proof does not hold: a point was not multiplied by the key")]
    Wrong,
}

impl Proof {
    /// A proof's length.
    pub const BYTES: usize = 64;

    /// Takes bytes for a proof; they are checked when used.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn new(challenge: &Scalar, response: &Scalar) -> Self {
        let mut bytes = [0; Self::BYTES];
        let (halves, _) = bytes.as_chunks_mut();
        for (half, scalar) in halves.iter_mut().zip([challenge, response]) {
            *half = *scalar.to_canonical_bytes();
        }
        Self(bytes)
    }

    /// Challenge and response.
    fn parts(&self) -> Result<(Scalar, Scalar), ProofError> {
        let scalar = |bytes: &[u8; 32]| {
            Scalar::from_canonical_bytes(*bytes).map_err(|_| ProofError::Malformed)
        };
        match self.0.as_chunks() {
            ([challenge, response], []) => Ok((scalar(challenge)?, scalar(response)?)),
            _ => Err(ProofError::Malformed),
        }
    }
}

impl Batch<'_> {
    /// Proves that the outputs are the inputs times `key`. Where they are not, or where the
    /// public key is another's, the proof does not hold.
    ///
    /// # Errors
    /// [`ProofError`], but neither `Malformed` nor `Wrong`.
    pub fn prove(
        &self,
        backend: Backend,
        key: &Scalar,
        rng: &mut impl CryptoRng,
    ) -> Result<Proof, ProofError> {
        let digest = self.digest()?;
        self.prove_with(backend, key, &digest, &self.numbers(&digest), rng)
    }

    /// Checks a proof.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, backend: Backend, proof: &Proof) -> Result<(), ProofError> {
        let digest = self.digest()?;
        self.verify_with(backend, proof, &digest, &self.numbers(&digest))
    }

    /// Step 1.
    fn digest(&self) -> Result<BatchDigest, ProofError> {
        let (inputs, outputs) = (self.inputs.len(), self.outputs.len());
        if inputs != outputs {
            return Err(ProofError::Lengths { inputs, outputs });
        }
        if inputs == 0 || inputs > MAX_POINTS {
            return Err(ProofError::Size { found: inputs });
        }
        Ok(Transcript::new(BATCH_LABEL)
            .field(self.context.session)
            .field(self.context.role)
            .number(self.context.first)
            .field(self.public_key)
            .field(EncodedPoint::join(self.inputs))
            .field(EncodedPoint::join(self.outputs))
            .finish())
    }

    /// Step 2.
    fn numbers(&self, digest: &BatchDigest) -> Vec<u128> {
        let mut stream = ChaCha20Rng::from_seed(*digest.as_bytes());
        let mut numbers = vec![[0; 16]; self.inputs.len()];
        stream.fill_bytes(numbers.as_flattened_mut());
        numbers.into_iter().map(u128::from_le_bytes).collect()
    }

    /// Steps 3 and 4.
    fn prove_with(
        &self,
        backend: Backend,
        key: &Scalar,
        digest: &BatchDigest,
        numbers: &[u128],
        rng: &mut impl CryptoRng,
    ) -> Result<Proof, ProofError> {
        let m = combine(backend, self.inputs, numbers).map_err(ProofError::Input)?;
        let z = m.multiply(key);
        loop {
            let nonce = nonce(key, digest, rng);
            let ends = [Point::base_multiply(&nonce), m.multiply(&nonce)];
            let challenge = challenge(digest, &m, &z, &ends);
            // A response of zero, which is no scalar here, comes once in 2^252 times.
            if let Ok(response) = nonce.subtract(&challenge.multiply(key)) {
                return Ok(Proof::new(&challenge, &response));
            }
        }
    }

    /// Steps 3 and 5.
    fn verify_with(
        &self,
        backend: Backend,
        proof: &Proof,
        digest: &BatchDigest,
        numbers: &[u128],
    ) -> Result<(), ProofError> {
        let public_key = self.public_key.decode().map_err(ProofError::PublicKey)?;
        let (claimed, response) = proof.parts()?;
        let m = combine(backend, self.inputs, numbers).map_err(ProofError::Input)?;
        let z = combine(backend, self.outputs, numbers).map_err(ProofError::Output)?;
        let ends = [
            &Point::base_multiply(&response) + &public_key.multiply(&claimed),
            &m.multiply(&response) + &z.multiply(&claimed),
        ];
        let found = challenge(digest, &m, &z, &ends);
        let holds = found.to_canonical_bytes() == claimed.to_canonical_bytes();
        holds.then_some(()).ok_or(ProofError::Wrong)
    }
}

fn combine(
    backend: Backend,
    points: &[EncodedPoint],
    numbers: &[u128],
) -> Result<Point, PointError> {
    backend
        .combine(points, numbers)
        .map_err(|error| match error {
            BatchError::Point { error, .. } => error,
            // `Batch::digest` has compared the lengths.
            _ => PointError {
                index: points.len(),
                fault: PointFault::Malformed,
            },
        })
}

/// `t`: HKDF-SHA256 over the key and 32 fresh bytes, widened to 64.
fn nonce(key: &Scalar, digest: &BatchDigest, rng: &mut impl CryptoRng) -> Scalar {
    let mut secret = Zeroizing::new([0; 64]);
    let (own, fresh) = secret.split_at_mut(32);
    own.copy_from_slice(key.to_canonical_bytes().as_slice());
    rng.fill_bytes(fresh);
    let kdf = hkdf::Hkdf::<sha2::Sha256>::new(Some(digest.as_ref()), secret.as_slice());
    let mut bytes = Zeroizing::new([0; 32]);
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA256 gives up to 8160 bytes, this asks for 32"
    )]
    kdf.expand(NONCE_LABEL.as_bytes(), bytes.as_mut_slice())
        .expect("32 bytes of HKDF");
    Scalar::from_secret(NONCE_LABEL.as_bytes(), &bytes)
}

/// `c`.
fn challenge(digest: &BatchDigest, m: &Point, z: &Point, ends: &[Point; 2]) -> Scalar {
    let [base, combined] = ends;
    let points = [m, z, base, combined].map(|point| point.encode());
    let transcript = Transcript::new(CHALLENGE_LABEL).field(digest);
    let all: BatchDigest = points.iter().fold(transcript, Transcript::field).finish();
    Scalar::from_secret(CHALLENGE_LABEL.as_bytes(), all.as_bytes())
}
