//! The work on one chunk: pure, for one thread.

use std::fmt;
use std::sync::Arc;

use incamera_group::{Backend, EncodedPoint, HashDomain, Point, PointError, Scalar};
use incamera_keys::Secret32;
use incamera_oprf::dleq::{Batch, Context, Proof, ProofError};
use incamera_types::{Digest as _, MatchRunDigest, PartyName};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::terms::Tags;
use crate::{
    Fingerprints, MatchingSecret, Misbehaviour, Misuse, Pseudonyms, Reveals, RunKeys, Terms, Value,
};

/// Label of what the proofs over one link are hedged with.
pub(super) const LINK_LABEL: &str = "incamera-match-link/1";
/// Label of what proofs' nonces are hedged with.
const PROOF_LABEL: &str = "incamera-match-proof/1";

/// Ids, one after the other.
#[derive(Default)]
pub struct Block {
    texts: Vec<u8>,
    ends: Vec<usize>,
}

impl Block {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an id.
    pub fn push(&mut self, id: &[u8]) {
        self.texts.extend_from_slice(id);
        self.ends.push(self.texts.len());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ids, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let ranges = starts.zip(&self.ends);
        ranges.map(|(start, end)| self.texts.get(*start..*end).unwrap_or_default())
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} ids)", self.len())
    }
}

/// What proves over one link that all rows are under one key, and checks that the peer's are.
pub(super) struct Proofs {
    /// The run's name: a proof holds for one run alone.
    pub(super) run: MatchRunDigest,
    pub(super) me: PartyName,
    pub(super) peer: PartyName,
    /// Our lasting secret times the generator.
    pub(super) ours: EncodedPoint,
    pub(super) theirs: EncodedPoint,
    /// What proofs' nonces are hedged with.
    pub(super) hedge: Secret32,
}

impl Proofs {
    fn context<'a>(&'a self, prover: &'a PartyName, first: u64) -> Context<'a> {
        Context {
            session: self.run.as_bytes(),
            role: prover.as_str(),
            first,
        }
    }

    /// The proof that we raised `chunk` to `raised` by our key.
    fn prove(
        &self,
        chunk: &Chunk,
        raised: &[EncodedPoint],
        tools: &Tools,
    ) -> Result<Proof, Misbehaviour> {
        let place = chunk.first.to_be_bytes();
        let seed = self.hedge.derive_for(PROOF_LABEL, &[&place]);
        let batch = Batch {
            context: self.context(&self.me, chunk.first),
            public_key: &self.ours,
            inputs: &chunk.points,
            outputs: raised,
        };
        let mut rng = ChaCha20Rng::from_seed(*seed.expose());
        let proof = batch.prove(tools.backend, &tools.lasting, &mut rng);
        // INVARIANT: `raised` was just made of these points, so there is nothing to refuse.
        proof.map_err(|_| Misbehaviour::UnfitProof)
    }

    /// Checks that the peer raised our points by the key that it greeted with.
    fn check(
        &self,
        chunk: &Chunk,
        claimed: &Claimed,
        backend: Backend,
    ) -> Result<(), Misbehaviour> {
        let batch = Batch {
            context: self.context(&self.peer, chunk.first),
            public_key: &self.theirs,
            inputs: &claimed.inputs,
            outputs: &chunk.points,
        };
        let checked = batch.verify(backend, &claimed.proof);
        checked.map_err(|error| match error {
            ProofError::Output(error) => chunk.bad_point(error),
            _ => Misbehaviour::WrongProof { first: chunk.first },
        })
    }
}

/// A proof that came with answers, and the points that they answer.
pub(super) struct Claimed {
    pub(super) inputs: Vec<EncodedPoint>,
    pub(super) proof: Proof,
}

/// Scalars and hashes of a run, shared by its jobs.
pub(super) struct Tools {
    backend: Backend,
    domain: HashDomain,
    /// `k`, which raises the peer's points.
    pub(super) lasting: Scalar,
    pub(super) reveals: Revealing,
}

/// What hangs on `reveals`.
pub(super) enum Revealing {
    Nothing(Box<Blinding>),
    OwnMatches(Tags),
}

/// What `reveals = "nothing"` takes.
pub(super) struct Blinding {
    /// `r`, which blinds our own points.
    pub(super) blind: Scalar,
    /// `k/r`, which turns what comes back into points that last.
    pub(super) finishing: Scalar,
    pseudonyms: Pseudonyms,
    fingerprints: Fingerprints,
}

impl Tools {
    pub(super) fn new(
        terms: &Terms,
        secret: &MatchingSecret,
        keys: &RunKeys,
        backend: Backend,
    ) -> Result<Self, Misuse> {
        let lasting = secret.scalar(terms);
        let reveals = match terms.reveals {
            Reveals::Nothing => {
                let blind = keys.blind(terms);
                Revealing::Nothing(Box::new(Blinding {
                    finishing: lasting.multiply(&blind.invert()),
                    blind,
                    pseudonyms: terms.pseudonyms(),
                    fingerprints: keys.fingerprints(),
                }))
            }
            Reveals::OwnMatches => Revealing::OwnMatches(terms.tags()),
        };
        Ok(Self {
            backend,
            domain: terms.hash_domain()?,
            lasting,
            reveals,
        })
    }

    /// Whether step 2 answers with tags, unless rows are proven.
    pub(super) fn answers_are_tags(&self) -> bool {
        matches!(self.reveals, Revealing::OwnMatches(_))
    }

    /// The lasting secret times the generator.
    pub(super) fn public_key(&self) -> EncodedPoint {
        Point::base_multiply(&self.lasting).encode()
    }

    /// Step 1.
    fn blind(&self, ids: &Block) -> Vec<EncodedPoint> {
        let scalar = match &self.reveals {
            Revealing::Nothing(blinding) => &blinding.blind,
            Revealing::OwnMatches(_) => &self.lasting,
        };
        let texts: Vec<&[u8]> = ids.iter().collect();
        self.backend.hash_and_multiply(&self.domain, &texts, scalar)
    }

    /// Step 2: the answer, and what is kept of each point.
    fn raise(
        &self,
        chunk: &Chunk,
        proofs: Option<&Proofs>,
    ) -> Result<(Answer, Vec<Value>), Misbehaviour> {
        match &self.reveals {
            Revealing::Nothing(blinding) => {
                let values = chunk.values(|point| blinding.fingerprints.of_point(point));
                chunk.unchanged(&values)?;
                let raised = self.multiply(chunk, &self.lasting)?;
                Ok((self.answer(chunk, &raised, proofs)?, values))
            }
            Revealing::OwnMatches(tags) => {
                let raised = self.multiply(chunk, &self.lasting)?;
                let values: Vec<Value> = raised.iter().map(|point| tags.of_point(point)).collect();
                chunk.unchanged(&values)?;
                let answer = match proofs {
                    Some(_) => self.answer(chunk, &raised, proofs)?,
                    None => Answer::Tags(values.as_flattened().to_vec()),
                };
                Ok((answer, values))
            }
        }
    }

    /// An answer of points, with a proof where there are any.
    fn answer(
        &self,
        chunk: &Chunk,
        raised: &[EncodedPoint],
        proofs: Option<&Proofs>,
    ) -> Result<Answer, Misbehaviour> {
        let proof = proofs.map(|proofs| proofs.prove(chunk, raised, self));
        Ok(Answer::Points(
            EncodedPoint::join(raised),
            proof.transpose()?,
        ))
    }

    /// Step 3.
    fn complete(&self, chunk: &Chunk) -> Result<Vec<Value>, Misbehaviour> {
        let blinding = match &self.reveals {
            Revealing::Nothing(blinding) => blinding,
            Revealing::OwnMatches(tags) => return Ok(chunk.values(|point| tags.of_point(point))),
        };
        let points = self.multiply(chunk, &blinding.finishing)?;
        let values = points.iter().map(|point| {
            let pseudonym = blinding.pseudonyms.of_point(point);
            *pseudonym.as_bytes()
        });
        Ok(values.collect())
    }

    fn multiply(&self, chunk: &Chunk, scalar: &Scalar) -> Result<Vec<EncodedPoint>, Misbehaviour> {
        let raised = self.backend.multiply(&chunk.points, scalar);
        raised.map_err(|error| chunk.bad_point(error))
    }
}

/// Points of the peer.
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) points: Vec<EncodedPoint>,
    /// What was kept of these places before the run was cut off.
    pub(super) before: Option<Vec<Value>>,
}

impl Chunk {
    fn values(&self, value: impl Fn(&EncodedPoint) -> Value) -> Vec<Value> {
        self.points.iter().map(value).collect()
    }

    fn bad_point(&self, PointError { index, fault }: PointError) -> Misbehaviour {
        Misbehaviour::BadPoint {
            place: self.first + index as u64,
            fault,
        }
    }

    /// Places that were answered before carry the points that they carried.
    fn unchanged(&self, values: &[Value]) -> Result<(), Misbehaviour> {
        let Some(before) = &self.before else {
            return Ok(());
        };
        match before.iter().zip(values).position(|(old, new)| old != new) {
            None => Ok(()),
            Some(at) => Err(Misbehaviour::ChangedPoint {
                place: self.first + at as u64,
            }),
        }
    }
}

/// What goes back for a chunk of the peer's points.
pub(super) enum Answer {
    Points(Vec<u8>, Option<Proof>),
    Tags(Vec<u8>),
}

/// The work on a chunk.
pub(super) enum Work {
    /// Step 1 of our ids from this place on.
    Blind(u64, Block),
    /// Step 2.
    Raise(Chunk),
    /// Step 3, behind a proof where there is one.
    Complete(Chunk, Option<Claimed>),
}

impl Work {
    fn points(&self) -> u64 {
        match self {
            Self::Blind(_, ids) => ids.len() as u64,
            Self::Raise(chunk) | Self::Complete(chunk, _) => chunk.points.len() as u64,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Blind(first, _) => *first,
            Self::Raise(chunk) | Self::Complete(chunk, _) => chunk.first,
        }
    }
}

/// Work for any thread; its result goes back to the [`Exchange`](super::Exchange) it is of.
pub struct Job {
    pub(super) work: Work,
    pub(super) tools: Arc<Tools>,
    pub(super) proofs: Option<Arc<Proofs>>,
    /// Counts the links of the run: what was begun over one that was lost is not taken back.
    pub(super) link: u32,
}

impl Job {
    /// Does it, on the caller's thread.
    #[must_use]
    pub fn work(self) -> Done {
        Done {
            link: self.link,
            first: self.work.first(),
            points: self.work.points(),
            made: self.made(),
        }
    }

    fn made(&self) -> Result<Made, Misbehaviour> {
        let (tools, proofs) = (&self.tools, self.proofs.as_deref());
        match &self.work {
            Work::Blind(_, ids) => Ok(Made::Blinded(EncodedPoint::join(&tools.blind(ids)))),
            Work::Raise(chunk) => {
                let (answer, values) = tools.raise(chunk, proofs)?;
                Ok(Made::Raised(answer, values))
            }
            Work::Complete(chunk, claimed) => {
                if let Some((proofs, claimed)) = proofs.zip(claimed.as_ref()) {
                    proofs.check(chunk, claimed, tools.backend)?;
                }
                tools.complete(chunk).map(Made::Completed)
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({} points)", self.work.points())
    }
}

/// What a [`Job`] made.
pub struct Done {
    pub(super) link: u32,
    pub(super) first: u64,
    pub(super) points: u64,
    pub(super) made: Result<Made, Misbehaviour>,
}

pub(super) enum Made {
    Blinded(Vec<u8>),
    Raised(Answer, Vec<Value>),
    Completed(Vec<Value>),
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Done({} points)", self.points)
    }
}
