//! What both parties must have in common, and what hangs on it.

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use incamera_group::{EncodedPoint, HashDomain, Scalar};
use incamera_types::{AgreementDigest, AgreementId, IdKind, MatchingEpoch, Pseudonym};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Misuse;

/// Starts the domain tag of `H`.
const HASH_LABEL: &str = "incamera-matching-hash/1";
/// Starts the label that a matching secret is widened under.
pub(crate) const SECRET_LABEL: &str = "incamera-matching-secret/1";
/// The salt of the pseudonym's HKDF.
const PSEUDONYM_LABEL: &str = "incamera-pseudonym/1";

/// A word of the agreement's `[matching]` that this build does not implement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this version matches with `{known}` only: a newer version of incamera may do more")]
pub struct TermsError {
    known: &'static str,
}

/// How identifiers are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Two parties raise each other's blinded points.
    Commutative,
}

/// What a party learns of the other's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reveals {
    /// The size of the other's set alone.
    Nothing,
}

macro_rules! words {
    ($($type:ident { $variant:ident = $word:literal })*) => {$(
        impl $type {
            /// The word of the agreement.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$variant => $word,
                }
            }
        }
        impl FromStr for $type {
            type Err = TermsError;
            fn from_str(text: &str) -> Result<Self, TermsError> {
                match text {
                    $word => Ok(Self::$variant),
                    _ => Err(TermsError { known: $word }),
                }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

words! {
    Method { Commutative = "commutative" }
    Reveals { Nothing = "nothing" }
}

/// What two parties agreed on about one kind of identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What pseudonyms hang on.
    pub agreement_id: AgreementId,
    /// The version at hand, which both sides must run.
    pub agreement_digest: AgreementDigest,
    /// Pseudonyms of different epochs do not join.
    pub epoch: MatchingEpoch,
    /// The kind of the identifiers.
    pub id_kind: IdKind,
    /// How they are matched.
    pub method: Method,
    /// What a party learns of the other's set.
    pub reveals: Reveals,
    /// The most distinct identifiers of one side.
    pub max_ids: u64,
}

impl Terms {
    /// `H`: identifiers to points, apart from every other agreement, epoch, kind, method and
    /// degree of revelation.
    pub(crate) fn hash_domain(&self) -> Result<HashDomain, Misuse> {
        HashDomain::new(&self.tagged(HASH_LABEL)).map_err(|_| Misuse::Terms)
    }

    /// `len(label) label`, then agreement id, epoch (4 bytes), id kind, method and reveals in
    /// the same way; lengths have one byte.
    pub(crate) fn tagged(&self, label: &str) -> Vec<u8> {
        let epoch = self.epoch.0.to_be_bytes();
        let fields: [&[u8]; 6] = [
            label.as_bytes(),
            self.agreement_id.as_ref(),
            &epoch,
            self.id_kind.as_str().as_bytes(),
            self.method.as_str().as_bytes(),
            self.reveals.as_str().as_bytes(),
        ];
        prefixed(&fields)
    }

    /// The pseudonym of a point `H(id)^(kA kB)`: the first 16 bytes of HKDF-SHA256 over its
    /// encoding, with agreement id, epoch and id kind as info.
    pub(crate) fn pseudonym(&self, point: &EncodedPoint) -> Pseudonym {
        let epoch = self.epoch.0.to_be_bytes();
        let info = prefixed(&[
            self.agreement_id.as_ref(),
            &epoch,
            self.id_kind.as_str().as_bytes(),
        ]);
        let kdf = Hkdf::<Sha256>::new(Some(PSEUDONYM_LABEL.as_bytes()), point.as_bytes());
        let mut bytes = [0; Pseudonym::BYTES];
        #[expect(
            clippy::expect_used,
            reason = "HKDF-SHA256 gives up to 8160 bytes, this asks for 16"
        )]
        kdf.expand(&info, &mut bytes).expect("16 bytes of HKDF");
        Pseudonym::from_bytes(bytes)
    }
}

/// Fields, each after its length in one byte. The longest is a name of 63 bytes.
fn prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let lengths = fields
        .iter()
        .map(|field| u8::try_from(field.len()).unwrap_or(u8::MAX));
    lengths
        .zip(fields)
        .flat_map(|(length, field)| [&[length], *field].concat())
        .collect()
}

/// A party's lasting secret of one agreement id, epoch, id kind, method and `reveals`.
///
/// The key ring holds a key for each such combination; the scalar is made from key and terms
/// together, so that even a ring that confused two of them would not link their pseudonyms.
pub struct MatchingSecret(Zeroizing<[u8; 32]>);

impl MatchingSecret {
    /// The secret that a key of the key ring stands for.
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    pub(crate) fn scalar(&self, terms: &Terms) -> Scalar {
        Scalar::from_secret(&terms.tagged(SECRET_LABEL), &self.0)
    }
}

impl fmt::Debug for MatchingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MatchingSecret(..)")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use incamera_types::Digest as _;

    pub(crate) fn terms() -> Terms {
        Terms {
            agreement_id: AgreementId::from_bytes([1; 32]),
            agreement_digest: AgreementDigest::from_bytes([2; 32]),
            epoch: MatchingEpoch(1),
            id_kind: "email".parse().unwrap(),
            method: Method::Commutative,
            reveals: Reveals::Nothing,
            max_ids: 1000,
        }
    }

    /// The same terms but for one field.
    fn altered() -> Vec<Terms> {
        vec![
            Terms {
                agreement_id: AgreementId::from_bytes([9; 32]),
                ..terms()
            },
            Terms {
                epoch: MatchingEpoch(2),
                ..terms()
            },
            Terms {
                id_kind: "phone".parse().unwrap(),
                ..terms()
            },
        ]
    }

    #[test]
    fn every_term_separates_hash_secret_and_pseudonym() {
        let point = |t: &Terms| t.hash_domain().unwrap().hash(b"a@b.example");
        let secret = MatchingSecret::from_key(&[3; 32]);
        let fixed = point(&terms());
        for other in altered() {
            assert_ne!(point(&other), fixed);
            let raised = |t: &Terms| fixed.multiply(&secret.scalar(t));
            assert_ne!(raised(&other), raised(&terms()));
            assert_ne!(
                other.pseudonym(&fixed.encode()),
                terms().pseudonym(&fixed.encode())
            );
        }
    }

    #[test]
    fn a_new_version_of_the_agreement_changes_no_pseudonym() {
        let next = Terms {
            agreement_digest: AgreementDigest::from_bytes([8; 32]),
            max_ids: 5,
            ..terms()
        };
        assert_eq!(next.tagged("x"), terms().tagged("x"));
    }

    #[test]
    fn the_longest_terms_fit_a_tag() {
        let longest = Terms {
            id_kind: "k".repeat(63).parse().unwrap(),
            ..terms()
        };
        assert!(longest.hash_domain().is_ok());
    }

    #[test]
    fn words_are_the_agreements() {
        assert_eq!("commutative".parse(), Ok(Method::Commutative));
        assert_eq!("nothing".parse(), Ok(Reveals::Nothing));
        let error = "vole".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("`commutative` only"), "{error}");
        assert!("own-matches".parse::<Reveals>().is_err());
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(
            format!("{:?}", MatchingSecret::from_key(&[3; 32])),
            "MatchingSecret(..)"
        );
    }
}
