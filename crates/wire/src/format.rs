//! Names and versions of what is written and signed.

use std::fmt;

use prost::Message;

/// A kind of file or message. Its text is a name and a version: `incamera-manifest/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Format {
    /// [`Manifest`](crate::v1::Manifest), signed by the owner's service key.
    Manifest,
    /// [`RequestEnvelope`](crate::v1::RequestEnvelope), signed by the analyst.
    Request,
    /// [`Token`](crate::v1::Token), signed by the analyst, and the file that holds it.
    QueryToken,
    /// [`Statement`](crate::v1::Statement), between the steps of Flight SQL.
    Statement,
    /// [`Reservation`](crate::v1::Reservation), signed by the owner's service key.
    Reservation,
    /// [`Grant`](crate::v1::Grant), signed by the owner's service key.
    Grant,
    /// [`Receipt`](crate::v1::Receipt), signed by the room's receipt key.
    Receipt,
    /// [`ReleaseFile`](crate::v1::ReleaseFile).
    Release,
    /// [`SealedAnswer`](crate::v1::SealedAnswer).
    SealedAnswer,
    /// [`LogEntry`](crate::v1::LogEntry).
    LogEntry,
    /// [`MatchHello`](crate::v1::MatchHello).
    Matching,
    /// [`MatchHello`](crate::v1::MatchHello) of a run whose steps are
    /// [`VolePart`](crate::v1::VolePart)s.
    Vole,
    /// [`ProviderKeys`](crate::v1::ProviderKeys), signed by the service key of each provider,
    /// and the file that holds them.
    ProviderKeys,
    /// [`EvaluateHello`](crate::v1::EvaluateHello).
    Evaluate,
    /// [`CeremonyPackage`](crate::v1::CeremonyPackage), signed by a provider's service key.
    Ceremony,
    /// [`LinkEntry`](crate::v1::LinkEntry), to and from providers.
    Links,
}

/// Why bytes are not what they are said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Another kind, or a version that this program does not know.
    #[error("this is `{found}`, not `{expected}`: a newer version of incamera may read it")]
    Unknown {
        /// The kind that was wanted.
        expected: Format,
        /// What the bytes say they are (cut to 64 characters).
        found: String,
    },
    /// Nothing says what it is.
    #[error("this does not say what it is, and `{expected}` does: it is empty or damaged")]
    Nameless {
        /// The kind that was wanted.
        expected: Format,
    },
    /// More bytes than this kind may have.
    #[error("{found} bytes are more than the {limit} that are read")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a protobuf message of this kind.
    #[error("the bytes are not a well-formed message")]
    Malformed,
    /// A field that must be there is not, or has the wrong length.
    #[error("the field `{field}` is missing or malformed")]
    Field {
        /// The field's name.
        field: &'static str,
    },
}

impl Format {
    /// Name and version.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "incamera-manifest/1",
            Self::Request => "incamera-request/1",
            Self::QueryToken => "incamera-query-token/1",
            Self::Statement => "incamera-statement/1",
            Self::Reservation => "incamera-reservation/1",
            Self::Grant => "incamera-grant/1",
            Self::Receipt => "incamera-receipt/1",
            Self::Release => "incamera-release/1",
            Self::SealedAnswer => "incamera-sealed-answer/1",
            Self::LogEntry => "incamera-log-entry/1",
            Self::Matching => "incamera-matching/2",
            Self::Vole => "incamera-vole/1",
            Self::ProviderKeys => "incamera-provider-keys/1",
            Self::Evaluate => "incamera-evaluate/1",
            Self::Ceremony => "incamera-ceremony/1",
            Self::Links => "incamera-links/1",
        }
    }

    /// The SSHSIG namespace of what is signed: the name without the version.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        let text = self.as_str();
        text.split_once('/').map_or(text, |(name, _)| name)
    }

    /// Accepts `found` if it names this kind and version.
    ///
    /// # Errors
    /// [`FormatError::Unknown`] or [`FormatError::Nameless`].
    pub fn expect(self, found: &str) -> Result<(), FormatError> {
        if found == self.as_str() {
            return Ok(());
        }
        if found.is_empty() {
            return Err(FormatError::Nameless { expected: self });
        }
        Err(FormatError::Unknown {
            expected: self,
            found: found.chars().filter(|c| !c.is_control()).take(64).collect(),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a message of at most `limit` bytes.
///
/// # Errors
/// [`FormatError::TooLarge`] or [`FormatError::Malformed`].
pub fn decode<M: Message + Default>(bytes: &[u8], limit: usize) -> Result<M, FormatError> {
    if bytes.len() > limit {
        return Err(FormatError::TooLarge {
            found: bytes.len(),
            limit,
        });
    }
    M::decode(bytes).map_err(|_| FormatError::Malformed)
}

/// Writes a message. Fields are in order of number, so equal messages give equal bytes.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// How many bytes [`encode`] would give.
#[must_use]
pub fn encoded_bytes<M: Message>(message: &M) -> u64 {
    message.encoded_len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Loss;

    #[test]
    fn unknown_versions_are_refused() {
        assert!(Format::Grant.expect("incamera-grant/1").is_ok());
        let error = Format::Grant.expect("incamera-grant/2").unwrap_err();
        assert!(error.to_string().contains("incamera-grant/2"));
        assert_eq!(Format::Grant.namespace(), "incamera-grant");
        // An empty file is no later version.
        let error = Format::Grant.expect("").unwrap_err().to_string();
        assert!(
            error.contains("empty or damaged") && !error.contains("newer"),
            "{error}"
        );
    }

    #[test]
    fn limits_hold() {
        let loss = Loss { rho: 5, delta0: 7 };
        let bytes = encode(&loss);
        assert_eq!(decode::<Loss>(&bytes, 100), Ok(loss));
        assert!(matches!(
            decode::<Loss>(&bytes, 1),
            Err(FormatError::TooLarge { .. })
        ));
        assert_eq!(decode::<Loss>(&[0xff; 3], 100), Err(FormatError::Malformed));
    }
}
