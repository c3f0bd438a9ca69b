//! How a session with one provider begins: who asks, in what matter, which providers together.
//!
//! The greeting's digest is what every proof of the session hangs on. A session that was cut off
//! goes on with the same greeting; where a provider is replaced, the greeting names the new set
//! under the nonce of before, and the providers count it as one run.

use incamera_types::{
    AgreementDigest, CeremonyDigest, Digest as _, EvaluateSessionDigest, IdKind, MatchingEpoch,
    PartyName, Transcript,
};
use incamera_wire::v1::{EvaluateHello, MatchPoints, MatchProof};
use incamera_wire::{Format, FormatError};

use crate::dleq::{Context, Proof};
use crate::lagrange::MAX_SHARES;
use incamera_group::EncodedPoint;

/// Digest of a greeting.
const LABEL: &str = "incamera-evaluate/1";
/// The most points of a batch: one message of 512 KiB.
pub const BATCH_POINTS: usize = 16_384;

/// The greeting of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which version of which agreement.
    pub agreement_digest: AgreementDigest,
    /// Who asks.
    pub party: PartyName,
    /// Ids of which kind.
    pub id_kind: IdKind,
    /// Under which epoch's key.
    pub epoch: MatchingEpoch,
    /// The key statement's number.
    pub number: u64,
    /// The providers asked together, in order of place.
    pub providers: Vec<PartyName>,
    /// New for each run, the same when it goes on.
    pub nonce: [u8; 32],
    /// Ids of the run.
    pub size: u64,
    /// The key statement's ceremony: two refreshes may have ended with one number.
    pub ceremony: CeremonyDigest,
}

impl Hello {
    /// The message.
    #[must_use]
    pub fn to_message(&self) -> EvaluateHello {
        EvaluateHello {
            format: Format::Evaluate.as_str().to_owned(),
            agreement_digest: self.agreement_digest.as_bytes().to_vec(),
            party: self.party.to_string(),
            id_kind: self.id_kind.to_string(),
            epoch: self.epoch.0,
            number: self.number,
            providers: self.providers.iter().map(ToString::to_string).collect(),
            nonce: self.nonce.to_vec(),
            size: self.size,
            ceremony: self.ceremony.as_bytes().to_vec(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`FormatError`] with the field that is malformed.
    pub fn from_message(message: &EvaluateHello) -> Result<Self, FormatError> {
        Format::Evaluate.expect(&message.format)?;
        let field = |field| FormatError::Field { field };
        let digest = AgreementDigest::from_slice(&message.agreement_digest);
        let ceremony = CeremonyDigest::from_slice(&message.ceremony);
        if message.providers.len() > usize::from(MAX_SHARES) {
            return Err(field("providers"));
        }
        let providers = message.providers.iter().map(|name| name.parse());
        let providers: Result<_, _> = providers.collect();
        Ok(Self {
            agreement_digest: digest.map_err(|_| field("agreement_digest"))?,
            party: message.party.parse().map_err(|_| field("party"))?,
            id_kind: message.id_kind.parse().map_err(|_| field("id_kind"))?,
            epoch: MatchingEpoch(message.epoch),
            number: message.number,
            providers: providers.map_err(|_| field("providers"))?,
            nonce: message
                .nonce
                .as_slice()
                .try_into()
                .map_err(|_| field("nonce"))?,
            size: message.size,
            ceremony: ceremony.map_err(|_| field("ceremony"))?,
        })
    }

    /// What tells the session from all others.
    #[must_use]
    pub fn session(&self) -> EvaluateSessionDigest {
        Transcript::new(LABEL)
            .field(self.agreement_digest)
            .field(self.party.as_str())
            .field(self.id_kind.as_str())
            .number(self.epoch.0.into())
            .number(self.number)
            .list(self.providers.iter().map(PartyName::as_str))
            .field(self.nonce)
            .number(self.size)
            .field(self.ceremony)
            .finish()
    }
}

/// Where a batch of a session belongs that one provider answers, and that begins at `first`.
#[must_use]
pub fn context<'a>(
    session: &'a EvaluateSessionDigest,
    provider: &'a PartyName,
    first: u64,
) -> Context<'a> {
    Context {
        session: session.as_bytes(),
        role: provider.as_str(),
        first,
    }
}

/// The points of a message, at least one and at most [`BATCH_POINTS`].
///
/// # Errors
/// [`FormatError::Field`].
pub fn read_points(message: &MatchPoints) -> Result<Vec<EncodedPoint>, FormatError> {
    let points = EncodedPoint::split(&message.points);
    points
        .filter(|points| (1..=BATCH_POINTS).contains(&points.len()))
        .ok_or(FormatError::Field { field: "points" })
}

/// Points as a message.
#[must_use]
pub fn write_points(first: u64, points: &[EncodedPoint]) -> MatchPoints {
    MatchPoints {
        first,
        points: points.iter().flat_map(|point| *point.as_bytes()).collect(),
    }
}

/// A proof as a message, with the batch that it is about.
#[must_use]
pub fn write_proof(first: u64, count: usize, proof: &Proof) -> MatchProof {
    let (halves, _) = proof.as_bytes().as_chunks::<32>();
    let mut halves = halves.iter().map(|half| half.to_vec());
    MatchProof {
        first,
        // At most `BATCH_POINTS`.
        count: count as u64,
        challenge: halves.next().unwrap_or_default(),
        response: halves.next().unwrap_or_default(),
    }
}

/// The proof of a message, if it is about the `count` points from `first` on.
///
/// # Errors
/// [`FormatError::Field`].
pub fn read_proof(message: &MatchProof, first: u64, count: usize) -> Result<Proof, FormatError> {
    let bytes = [message.challenge.as_slice(), &message.response].concat();
    let belongs = (message.first, message.count) == (first, count as u64);
    let halves = message.challenge.len() == message.response.len();
    bytes
        .as_slice()
        .try_into()
        .ok()
        .filter(|_| belongs && halves)
        .map(Proof::from_bytes)
        .ok_or(FormatError::Field { field: "proof" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            agreement_digest: AgreementDigest::from_bytes([1; 32]),
            party: "shop".parse().unwrap(),
            id_kind: "email".parse().unwrap(),
            epoch: MatchingEpoch(1),
            number: 2,
            providers: ["alpha", "beta"].map(|name| name.parse().unwrap()).into(),
            nonce: [3; 32],
            size: 4,
            ceremony: CeremonyDigest::from_bytes([5; 32]),
        }
    }

    #[test]
    fn a_greeting_is_read_as_it_was_written() {
        let message = hello().to_message();
        assert_eq!(Hello::from_message(&message), Ok(hello()));
        let refused = |message: EvaluateHello| Hello::from_message(&message).unwrap_err();
        for (field, broken) in [
            (
                "agreement_digest",
                EvaluateHello {
                    agreement_digest: vec![1; 31],
                    ..message.clone()
                },
            ),
            (
                "party",
                EvaluateHello {
                    party: "Not a name".into(),
                    ..message.clone()
                },
            ),
            (
                "id_kind",
                EvaluateHello {
                    id_kind: String::new(),
                    ..message.clone()
                },
            ),
            (
                "nonce",
                EvaluateHello {
                    nonce: vec![3; 33],
                    ..message.clone()
                },
            ),
            (
                "ceremony",
                EvaluateHello {
                    ceremony: Vec::new(),
                    ..message.clone()
                },
            ),
            (
                "providers",
                EvaluateHello {
                    providers: vec!["a".into(); 17],
                    ..message.clone()
                },
            ),
        ] {
            assert_eq!(refused(broken), FormatError::Field { field });
        }
        let other = EvaluateHello {
            format: "incamera-evaluate/2".into(),
            ..message
        };
        assert!(matches!(refused(other), FormatError::Unknown { .. }));
    }

    /// Every field counts: a proof of one session holds in no other.
    #[test]
    fn the_digest_hangs_on_every_field() {
        let changed = [
            Hello {
                agreement_digest: AgreementDigest::from_bytes([2; 32]),
                ..hello()
            },
            Hello {
                party: "shops".parse().unwrap(),
                ..hello()
            },
            Hello {
                id_kind: "phone".parse().unwrap(),
                ..hello()
            },
            Hello {
                epoch: MatchingEpoch(2),
                ..hello()
            },
            Hello {
                number: 3,
                ..hello()
            },
            Hello {
                providers: hello().providers[..1].into(),
                ..hello()
            },
            Hello {
                providers: ["alpha", "gamma"].map(|name| name.parse().unwrap()).into(),
                ..hello()
            },
            Hello {
                nonce: [4; 32],
                ..hello()
            },
            Hello { size: 5, ..hello() },
            Hello {
                ceremony: CeremonyDigest::from_bytes([6; 32]),
                ..hello()
            },
        ];
        let mut digests: Vec<_> = changed.iter().map(Hello::session).collect();
        digests.push(hello().session());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), changed.len() + 1);
    }

    #[test]
    fn points_and_proofs_are_read_as_they_were_written() {
        let points = vec![EncodedPoint::from_bytes([7; 32]); 3];
        let message = write_points(5, &points);
        assert_eq!(read_points(&message), Ok(points));
        for points in [vec![], vec![0; 33], vec![0; 32 * (BATCH_POINTS + 1)]] {
            let message = MatchPoints { first: 0, points };
            assert!(read_points(&message).is_err());
        }
        let proof = Proof::from_bytes(std::array::from_fn(|at| at as u8));
        let message = write_proof(5, 3, &proof);
        assert_eq!(read_proof(&message, 5, 3), Ok(proof));
        assert!(read_proof(&message, 5, 4).is_err());
        assert!(read_proof(&message, 6, 3).is_err());
        // 31 and 33 bytes are 64 too.
        let (challenge, response) = (vec![0; 31], vec![0; 33]);
        let shifted = MatchProof {
            challenge,
            response,
            ..message
        };
        assert!(read_proof(&shifted, 5, 3).is_err());
    }
}
