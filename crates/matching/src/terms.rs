//! What both parties must have in common, and what hangs on it.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use incamera_group::{EncodedPoint, HashDomain, Scalar};
use incamera_oprf::suite::Output;
use incamera_types::{AgreementDigest, AgreementId, IdKind, MatchingEpoch, Pseudonym};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::Misuse;
use crate::partition::{LABEL as PART_LABEL, Part, Partition, Parts};

/// Earlier ids that a run mixes in, to see that they keep their pseudonyms.
pub const KNOWN_IDS: usize = 64;
/// Starts the domain tag of `H`.
const HASH_LABEL: &str = "incamera-matching-hash/1";
/// Starts the label that a matching secret is widened under.
pub(crate) const SECRET_LABEL: &str = "incamera-matching-secret/1";
/// The salt of the pseudonym's HKDF.
const PSEUDONYM_LABEL: &str = "incamera-pseudonym/1";
/// Starts what is hashed to a tag.
const TAG_LABEL: &str = "incamera-matching-tag/1";

/// A word of the agreement's `[matching]`, or of a peer, that this build does not implement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this version matches with {known} only: a newer version of incamera may do more")]
pub struct TermsError {
    known: &'static str,
}

/// How identifiers are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Two parties raise each other's blinded points.
    Commutative,
    /// Each evaluates the other's ids without seeing them: [`crate::vole`].
    Vole,
    /// Providers evaluate blinded points under a key that they hold in shares:
    /// [`crate::provided`].
    Provider,
    /// One party has its pseudonyms under its own key: [`crate::alone`].
    None,
}

/// What a party learns of the other's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reveals {
    /// The size of the other's set alone.
    Nothing,
    /// Which of its own identifiers the other has too.
    OwnMatches,
}

/// Against whom what shows matches is long enough, under `vole`. Every check is made either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// Any party: 16 bytes.
    #[default]
    Malicious,
    /// Parties that keep to the protocol: as many as keep a false match below 2^-40.
    SemiHonest,
}

/// Which identifiers a run matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// All of the set.
    Full,
    /// Those that no earlier run has matched.
    Append,
}

macro_rules! words {
    ($($type:ident ($known:literal) { $($variant:ident = $word:literal),* })*) => {$(
        impl $type {
            /// The word of the agreement, or of a message.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
        impl FromStr for $type {
            type Err = TermsError;
            fn from_str(text: &str) -> Result<Self, TermsError> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(TermsError { known: $known }),
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
    Method ("`commutative`, `vole`, `provider` or `none`") {
        Commutative = "commutative", Vole = "vole", Provider = "provider", None = "none"
    }
    Reveals ("`nothing` or `own-matches`") { Nothing = "nothing", OwnMatches = "own-matches" }
    Security ("`malicious` or `semi-honest`") {
        Malicious = "malicious", SemiHonest = "semi-honest"
    }
    Mode ("`full` or `append`") { Full = "full", Append = "append" }
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

    /// Which ids belong to a part.
    #[must_use]
    pub fn part(&self, partition: Partition) -> Part {
        Part::new(self.parts(partition.of()), partition)
    }

    /// Which of so many parts an id is in. Both sides sort theirs alike, so the key is no secret.
    #[must_use]
    pub fn parts(&self, of: u32) -> Parts {
        let epoch = self.epoch.0.to_be_bytes();
        let key = prefixed(&[
            PART_LABEL.as_bytes(),
            self.agreement_id.as_ref(),
            &epoch,
            self.id_kind.as_str().as_bytes(),
        ]);
        Parts::new(&key, of)
    }

    /// What makes pseudonyms under these terms.
    #[must_use]
    pub fn pseudonyms(&self) -> Pseudonyms {
        let epoch = self.epoch.0.to_be_bytes();
        let info = prefixed(&[
            self.agreement_id.as_ref(),
            &epoch,
            self.id_kind.as_str().as_bytes(),
        ]);
        let extract = hmac(PSEUDONYM_LABEL.as_bytes());
        Pseudonyms { extract, info }
    }

    /// What makes tags under these terms.
    pub(crate) fn tags(&self) -> Tags {
        let epoch = self.epoch.0.to_be_bytes();
        let fields = prefixed(&[
            TAG_LABEL.as_bytes(),
            self.agreement_id.as_ref(),
            &epoch,
            self.id_kind.as_str().as_bytes(),
        ]);
        Tags(Sha256::new_with_prefix(fields))
    }

    #[cfg(test)]
    pub(crate) fn pseudonym(&self, point: &EncodedPoint) -> Pseudonym {
        self.pseudonyms().of_point(point)
    }
}

/// An HMAC-SHA256 that has taken its key.
pub(crate) fn hmac(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    Hmac::new_from_slice(key).expect("a key of HMAC")
}

/// Makes pseudonyms: the first 16 bytes of HKDF-SHA256 over what two parties made of an id,
/// with agreement id, epoch and id kind as info. The salt's part is done once.
#[derive(Clone)]
pub struct Pseudonyms {
    extract: Hmac<Sha256>,
    info: Vec<u8>,
}

impl Pseudonyms {
    /// The pseudonym of a point `H(id)^(kA kB)`.
    pub(crate) fn of_point(&self, point: &EncodedPoint) -> Pseudonym {
        self.of(point.as_bytes())
    }

    /// The pseudonym of the tag of such a point (`reveals = "own-matches"`): what crosses the
    /// wire is not the pseudonym.
    #[must_use]
    pub fn of_tag(&self, tag: &Value) -> Pseudonym {
        self.of(tag)
    }

    /// The pseudonym of what the providers evaluated an id to.
    #[must_use]
    pub fn of_output(&self, output: &Output) -> Pseudonym {
        self.of(output.as_bytes())
    }

    fn of(&self, material: &[u8]) -> Pseudonym {
        let mut extract = self.extract.clone();
        extract.update(material);
        let mut expand = hmac(&extract.finalize().into_bytes());
        expand.update(&self.info);
        expand.update(&[1]);
        Pseudonym::from_bytes(first_16(&expand.finalize().into_bytes().into()))
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

/// 16 bytes about one place: a pseudonym, a tag or a fingerprint.
pub type Value = [u8; 16];

/// The first half of a SHA-256.
pub(crate) fn first_16(bytes: &[u8; 32]) -> Value {
    let mut value = [0; 16];
    value
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    value
}

/// Makes tags: the first 16 bytes of SHA-256 over label, agreement id, epoch and id kind, each
/// after its length in one byte, and a point.
///
/// At 16 bytes two of 2^20 by 2^20 points share a tag with probability 2^-88.
#[derive(Clone)]
pub(crate) struct Tags(Sha256);

impl Tags {
    pub(crate) fn of_point(&self, point: &EncodedPoint) -> Value {
        first_16(
            &self
                .0
                .clone()
                .chain_update(point.as_bytes())
                .finalize()
                .into(),
        )
    }
}

/// Fields, each after its length in one byte. The longest is a name of 63 bytes.
pub(crate) fn prefixed(fields: &[&[u8]]) -> Vec<u8> {
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
        assert_eq!("vole".parse(), Ok(Method::Vole));
        assert_eq!("provider".parse(), Ok(Method::Provider));
        let error = "hash".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("`provider` or `none` only"), "{error}");
        assert_eq!("own-matches".parse(), Ok(Reveals::OwnMatches));
        assert_eq!("append".parse(), Ok(Mode::Append));
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(
            format!("{:?}", MatchingSecret::from_key(&[3; 32])),
            "MatchingSecret(..)"
        );
    }

    /// An id of one kind is no id of another.
    #[test]
    fn the_domain_holds_the_kind() {
        let other = Terms {
            id_kind: "phone".parse().unwrap(),
            ..terms()
        };
        let point = |terms: &Terms| terms.hash_domain().unwrap().hash(b"1").encode();
        assert_ne!(point(&terms()), point(&other));
    }
}
