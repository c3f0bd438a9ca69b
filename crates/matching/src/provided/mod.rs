//! Matching through providers: pseudonyms by an oblivious function whose key lies in shares.
//!
//! | module     | holds                                                        |
//! |------------|--------------------------------------------------------------|
//! | `mod`      | one run's blinding, and what is made of evaluated batches     |
//! | [`Sets`]   | who is asked together, and who is left out                   |
//! | [`Session`]| batches under way: asked, answered, checked, in order        |
//!
//! # Parties and messages
//! A *party* has ids; of `n` *providers* `t` are asked together.
//!
//! | step | from → to        | message                                                     | size            |
//! |------|------------------|-------------------------------------------------------------|-----------------|
//! | 1    | party → each of `t` | greeting: agreement, epoch, kind, key statement, the `t`, nonce, number of ids | |
//! | 2    | party → each     | a batch of `r H(x)`, in an order that hangs on the run alone | 32 B an id      |
//! | 3    | each → party     | the batch times `lambda_i k_i`, with a proof                 | 32 B an id, 64 B |
//! | 4    | party            | checks proofs, sums, takes `r` away, hashes: `F(x)`; pseudonym = HKDF of it | |
//!
//! `x` is the label `incamera-provider-input/1`, agreement id, epoch, kind and id, each after its
//! length in one byte: the key is the agreement's and the epoch's, kinds are kept apart by `x`.
//!
//! A provider whose proof does not hold, or who is gone, is left out by name; another set is
//! asked for every batch that has no answer yet, under the same nonce and blinding, so that it
//! is the same run to whoever had it.
//! # Claim
//! Against up to `t - 1` malicious providers: they learn nothing of ids, and no wrong pseudonym
//! is made. With `t` of them: they know the key, and a dictionary gives them pseudonyms; whose
//! batch held which id they still do not learn. Against a malicious party: it gets pseudonyms of
//! ids that it guesses, as many as the providers count; see [`incamera_oprf::client`].
//! # What each party learns
//! Providers: who asked, when, how many ids of which kind. Parties: their own pseudonyms, and
//! nothing of each other, not even how many ids there are.
//! # Reference
//! See [`incamera_oprf`]; docs/providers.md says what whose dishonesty brings.

mod session;
mod sets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use incamera_group::{Backend, EncodedPoint};
use incamera_oprf::client::{Blinding, ClientError};
use incamera_oprf::lagrange::Place;
use incamera_oprf::server::Answer;
use incamera_oprf::session::{context, read_points, read_proof};
use incamera_oprf::suite::{self, InputTooLong, Output};
use incamera_types::PartyName;
use incamera_wire::FormatError;
use incamera_wire::v1::EvaluatedBatch;

pub use session::{Driver, Run, Session};
pub use sets::{Asked, Sets};

use crate::exchange::Block;
use crate::terms::prefixed;
use crate::{RunKeys, Terms};

/// Starts every input of the function.
const INPUT_LABEL: &str = "incamera-provider-input/1";

/// Why a run through providers does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvidedError {
    /// There are not enough providers left.
    #[error(
        "{left} of the {all} providers can be asked, and {needed} are needed{}", told(.left_out)
    )]
    TooFew {
        /// Who can be asked.
        left: usize,
        /// All.
        all: usize,
        /// The threshold.
        needed: usize,
        /// Who cannot, and why.
        left_out: Vec<(PartyName, String)>,
    },
    /// The providers that are asked do not fit the key.
    #[error("the providers do not fit the key statement")]
    Keys(#[from] incamera_oprf::shares::SharesError),
    /// An id that is longer than any.
    #[error("an id is longer than 255 bytes")]
    Id,
    /// An input that the function has no value at.
    #[error(transparent)]
    Input(#[from] InputTooLong),
    /// This program called the run wrongly.
    #[error("the matching run was used wrongly")]
    Misuse,
}

fn told(left_out: &[(PartyName, String)]) -> String {
    let each = left_out.iter();
    each.map(|(name, why)| format!("; `{name}`: {why}"))
        .collect()
}

/// What a provider did that no correct program does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A message that is none.
    #[error("it sent what is no answer")]
    Message(#[from] FormatError),
    /// An answer to nothing that was asked.
    #[error("it answered what it was not asked")]
    NotAsked,
    /// The proof does not hold.
    #[error("it evaluates wrongly: its proof does not hold")]
    Wrong(#[source] ClientError),
}

/// What makes and opens the batches of one run.
pub struct Client {
    blinding: Blinding,
    prefix: Vec<u8>,
}

/// A blinded batch.
pub struct Batch {
    first: u64,
    inputs: Block,
    points: Vec<EncodedPoint>,
}

impl Client {
    /// For a run under `terms` with these secrets.
    #[must_use]
    pub fn new(backend: Backend, terms: &Terms, keys: &RunKeys) -> Self {
        let epoch = terms.epoch.0.to_be_bytes();
        let prefix = prefixed(&[
            INPUT_LABEL.as_bytes(),
            terms.agreement_id.as_ref(),
            &epoch,
            terms.id_kind.as_str().as_bytes(),
        ]);
        Self {
            blinding: Blinding::new(backend, keys.blind(terms)),
            prefix,
        }
    }

    /// What the function is evaluated at for an id.
    fn input(&self, id: &[u8]) -> Result<Vec<u8>, ProvidedError> {
        let length = u8::try_from(id.len()).map_err(|_| ProvidedError::Id)?;
        Ok([&self.prefix, [length].as_slice(), id].concat())
    }

    fn blind(&self, first: u64, ids: &Block) -> Result<Batch, ProvidedError> {
        let mut inputs = Block::new();
        for id in ids.iter() {
            inputs.push(&self.input(id)?);
        }
        let texts: Vec<&[u8]> = inputs.iter().collect();
        let points = self.blinding.blind(&texts);
        Ok(Batch {
            first,
            inputs,
            points,
        })
    }

    /// Checks all answers and makes the outputs; names who answered wrongly.
    fn finish(
        &self,
        batch: &Batch,
        asked: &Asked,
        answers: Vec<(Place, EvaluatedBatch)>,
    ) -> Result<Vec<Output>, Failed> {
        let mut checked = Vec::new();
        for (place, answer) in answers {
            let refused = |fault| Failed::Provider(place, fault);
            let answer = read(&answer, batch).map_err(|error| refused(error.into()))?;
            let provider = asked.name(place).ok_or(refused(Fault::NotAsked))?;
            let context = context(&asked.session, provider, batch.first);
            let answer = asked.quorum.check(place, context, &batch.points, answer);
            checked.push(answer.map_err(|error| refused(Fault::Wrong(error)))?);
        }
        let points = (self.blinding).unblind(&asked.quorum, &batch.points, &checked);
        let points = points.map_err(|_| Failed::Run(ProvidedError::Misuse))?;
        let pairs = batch.inputs.iter().zip(&points);
        let outputs = pairs.map(|(input, point)| suite::finalize(input, point));
        let outputs: Result<_, _> = outputs.collect();
        outputs.map_err(|error| Failed::Run(error.into()))
    }
}

enum Failed {
    Provider(Place, Fault),
    Run(ProvidedError),
}

fn read(answer: &EvaluatedBatch, batch: &Batch) -> Result<Answer, FormatError> {
    let field = |field| FormatError::Field { field };
    let points = answer.points.as_ref().ok_or(field("points"))?;
    let proof = answer.proof.as_ref().ok_or(field("proof"))?;
    Ok(Answer {
        points: read_points(points)?,
        proof: read_proof(proof, batch.first, batch.points.len())?,
    })
}

/// Work on one batch: pure, for one thread.
pub struct Job {
    client: Arc<Client>,
    what: What,
}

enum What {
    Blind(u64, Block),
    Finish(Arc<Batch>, Arc<Asked>, Vec<(Place, EvaluatedBatch)>),
}

/// What came of a [`Job`].
pub struct Done(Outcome);

enum Outcome {
    Blinded(Batch),
    Finished(u64, Vec<Output>, Arc<Asked>),
    Provider(u64, Place, Fault),
    Failed(ProvidedError),
}

impl Job {
    /// Does it.
    #[must_use]
    pub fn work(self) -> Done {
        let client = self.client;
        Done(match self.what {
            What::Blind(first, ids) => match client.blind(first, &ids) {
                Ok(batch) => Outcome::Blinded(batch),
                Err(error) => Outcome::Failed(error),
            },
            What::Finish(batch, asked, answers) => match client.finish(&batch, &asked, answers) {
                Ok(outputs) => Outcome::Finished(batch.first, outputs, asked),
                Err(Failed::Provider(place, fault)) => Outcome::Provider(asked.round, place, fault),
                Err(Failed::Run(error)) => Outcome::Failed(error),
            },
        })
    }
}
