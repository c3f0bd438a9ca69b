//! SHA-256 digests, a type for each thing digested, and the one way to make them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why bytes or a text are not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Not 32 bytes long.
    #[error("a digest has 32 bytes, this has {found}")]
    Length {
        /// The bytes found.
        found: usize,
    },
    /// Not lower-case hexadecimal.
    #[error("a digest is written as 64 hexadecimal digits")]
    NotHex,
}

/// A SHA-256 digest of something.
pub trait Digest: Copy + Eq + Ord + fmt::Display {
    /// The digest's length in bytes.
    const BYTES: usize = 32;
    /// The 32 bytes.
    fn as_bytes(&self) -> &[u8; 32];
    /// A digest from its 32 bytes.
    fn from_bytes(bytes: [u8; 32]) -> Self;
    /// A digest from a slice that must be 32 bytes long.
    ///
    /// # Errors
    /// [`DigestError::Length`] for any other length.
    fn from_slice(bytes: &[u8]) -> Result<Self, DigestError> {
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| DigestError::Length { found: bytes.len() })?;
        Ok(Self::from_bytes(bytes))
    }
}

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl Digest for $name {
            fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }
        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                let bytes = hex::decode(text).map_err(|_| DigestError::NotHex)?;
                Self::from_slice(&bytes)
            }
        }
        impl TryFrom<String> for $name {
            type Error = DigestError;
            fn try_from(text: String) -> Result<Self, DigestError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(digest: $name) -> String {
                digest.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    )*};
}

digests! {
    /// SHA-256 of version 1 of an agreement: what pseudonyms, seals and ceilings hang on.
    AgreementId;
    /// SHA-256 of the agreement version at hand.
    AgreementDigest;
    /// Digest of a request's fields (design invariant I8).
    RequestDigest;
    /// SHA-256 of a proposal's file.
    ProposalDigest;
    /// Digest of one signed request, its nonce and end included.
    EnvelopeDigest;
    /// Digest of a token, as its analyst signed it (its body).
    TokenDigest;
    /// Digest of a data set's signed manifest (its body).
    ManifestDigest;
    /// SHA-256 of a sealed part, as it lies on disk.
    PartDigest;
    /// Commitment of an owner to its noise seed.
    SeedCommitment;
    /// Commitment of an owner to a data key.
    KeyCommitment;
    /// Digest of all reservations of a request, in order of party name.
    ReservationsDigest;
    /// Digest of all seed commitments of a request, in order of party name.
    CommitmentsDigest;
    /// Digest of the room's public key of one request.
    RoomKeyDigest;
    /// Digest of a receiver's public key.
    ReceiveKeyDigest;
    /// Digest of a signed grant.
    GrantDigest;
    /// Digest of both greetings of a matching run: the run's name.
    MatchRunDigest;
    /// Digest of what both sides of a matching run hold to.
    MatchTermsDigest;
    /// Digest of what a party takes into a matching run.
    MatchInputDigest;
    /// Digest of the greeting of a session with one provider: what its proofs hang on.
    EvaluateSessionDigest;
    /// Digest of evidence and collateral.
    EvidenceDigest;
    /// What a proof of correct evaluation is about.
    BatchDigest;
    /// What a link is stored and asked for under.
    LinkLabel;
    /// Digest of what every holder of a share broadcast while the key was made.
    CeremonyDigest;
    /// Digest of a key that providers hold together.
    ProviderKeyDigest;
    /// What a TEE says of the code it runs.
    Measurement;
}

/// A labelled list of length-prefixed fields under SHA-256: the one way digests are made.
///
/// The label names what is digested and its version, so that a digest of one kind never
/// equals one of another. Encoding: `len(label) label (len(field) field)*`, each length a
/// 64-bit big-endian integer.
///
/// ```
/// use incamera_types::{Digest, RequestDigest, Transcript};
/// let digest: RequestDigest = Transcript::new("example/1").field(b"a").field(b"bc").finish();
/// let other: RequestDigest = Transcript::new("example/1").field(b"ab").field(b"c").finish();
/// assert_ne!(digest, other);
/// ```
#[derive(Clone)]
pub struct Transcript(Sha256);

impl Transcript {
    /// An empty list under `label`.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self(Sha256::new()).field(label.as_bytes())
    }

    /// Appends one field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Appends a number as eight big-endian bytes.
    #[must_use]
    pub fn number(self, number: u64) -> Self {
        self.field(number.to_be_bytes())
    }

    /// Appends a list: its length, then each item.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(self, items: impl ExactSizeIterator<Item = T>) -> Self {
        let start = self.number(items.len() as u64);
        items.fold(start, Transcript::field)
    }

    /// The digest of the list.
    #[must_use]
    pub fn finish<D: Digest>(self) -> D {
        D::from_bytes(self.0.finalize().into())
    }
}

impl AgreementDigest {
    /// The digest of an agreement file: plain SHA-256 over its exact bytes, so that anybody
    /// can compute it with `sha256sum`.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl ProposalDigest {
    /// The digest of a proposal's file: plain SHA-256, as of an agreement's.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl From<AgreementDigest> for AgreementId {
    /// The id of an agreement is the digest of its first version.
    fn from(first: AgreementDigest) -> Self {
        Self(first.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let digest: RequestDigest = Transcript::new("t").finish();
        assert_eq!(digest.to_string().parse::<RequestDigest>(), Ok(digest));
        assert_eq!(
            "00".parse::<RequestDigest>(),
            Err(DigestError::Length { found: 1 })
        );
        assert_eq!("zz".parse::<RequestDigest>(), Err(DigestError::NotHex));
    }

    #[test]
    fn labels_separate() {
        let a: RequestDigest = Transcript::new("a").field(b"x").finish();
        let b: RequestDigest = Transcript::new("b").field(b"x").finish();
        assert_ne!(a, b);
    }

    #[test]
    fn agreement_digest_is_plain_sha256() {
        assert_eq!(
            AgreementDigest::of_file(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            ProposalDigest::of_file(b"abc").to_string(),
            AgreementDigest::of_file(b"abc").to_string()
        );
    }
}
