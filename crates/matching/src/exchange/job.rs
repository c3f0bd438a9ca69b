//! The work on one chunk: pure, for one thread.

use std::fmt;
use std::sync::Arc;

use incamera_group::{Backend, EncodedPoint, HashDomain, PointError, Scalar};

use crate::terms::Tags;
use crate::{
    Fingerprints, MatchingSecret, Misbehaviour, Misuse, Pseudonyms, Reveals, RunKeys, Terms, Value,
};

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
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
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

/// Scalars and hashes of a run, shared by its jobs.
pub(super) struct Tools {
    backend: Backend,
    domain: HashDomain,
    /// `k`, which raises the peer's points.
    lasting: Scalar,
    reveals: Revealing,
}

/// What hangs on `reveals`.
enum Revealing {
    Nothing(Box<Blinding>),
    OwnMatches(Tags),
}

/// What `reveals = "nothing"` takes.
struct Blinding {
    /// `r`, which blinds our own points.
    blind: Scalar,
    /// `k/r`, which turns what comes back into points that last.
    finishing: Scalar,
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

    /// Whether step 2 answers with tags.
    pub(super) fn answers_are_tags(&self) -> bool {
        matches!(self.reveals, Revealing::OwnMatches(_))
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
    fn raise(&self, chunk: &Chunk) -> Result<(Answer, Vec<Value>), Misbehaviour> {
        match &self.reveals {
            Revealing::Nothing(blinding) => {
                let values = chunk.values(|point| blinding.fingerprints.of_point(point));
                chunk.unchanged(&values)?;
                let raised = self.multiply(chunk, &self.lasting)?;
                Ok((Answer::Points(EncodedPoint::join(&raised)), values))
            }
            Revealing::OwnMatches(tags) => {
                let raised = self.multiply(chunk, &self.lasting)?;
                let values: Vec<Value> = raised.iter().map(|point| tags.of_point(point)).collect();
                chunk.unchanged(&values)?;
                Ok((Answer::Tags(values.as_flattened().to_vec()), values))
            }
        }
    }

    /// Step 3.
    fn complete(&self, chunk: &Chunk) -> Result<Vec<Value>, Misbehaviour> {
        let Revealing::Nothing(blinding) = &self.reveals else {
            return Err(Misbehaviour::WrongAnswers);
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
        raised.map_err(|PointError { index, fault }| Misbehaviour::BadPoint {
            place: chunk.first + index as u64,
            fault,
        })
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
    Points(Vec<u8>),
    Tags(Vec<u8>),
}

/// The work on a chunk.
pub(super) enum Work {
    /// Step 1 of our ids from this place on.
    Blind(u64, Block),
    /// Step 2.
    Raise(Chunk),
    /// Step 3.
    Complete(Chunk),
}

impl Work {
    fn points(&self) -> u64 {
        match self {
            Self::Blind(_, ids) => ids.len() as u64,
            Self::Raise(chunk) | Self::Complete(chunk) => chunk.points.len() as u64,
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Blind(first, _) => *first,
            Self::Raise(chunk) | Self::Complete(chunk) => chunk.first,
        }
    }
}

/// Work for any thread; its result goes back to the [`Exchange`](super::Exchange) it is of.
pub struct Job {
    pub(super) work: Work,
    pub(super) tools: Arc<Tools>,
    /// Counts the links of the run: what was begun over one that was lost is not taken back.
    pub(super) link: u32,
}

impl Job {
    /// Does it, on the caller's thread.
    #[must_use]
    pub fn work(self) -> Done {
        let made = match &self.work {
            Work::Blind(_, ids) => Ok(Made::Blinded(EncodedPoint::join(&self.tools.blind(ids)))),
            Work::Raise(chunk) => {
                let raised = self.tools.raise(chunk);
                raised.map(|(answer, values)| Made::Raised(answer, values))
            }
            Work::Complete(chunk) => self.tools.complete(chunk).map(Made::Completed),
        };
        Done {
            link: self.link,
            first: self.work.first(),
            points: self.work.points(),
            made,
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
