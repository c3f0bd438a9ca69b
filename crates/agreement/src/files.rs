//! An agreement on disk: `NAME.toml`, and beside it `NAME.toml.PARTY.sig` of each party.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use incamera_keys::SshSig;
use incamera_types::PartyName;
use incamera_types::limits::MAX_AGREEMENT_BYTES;

use crate::{Agreement, AgreementError, SignaturesError, SignedAgreement};

/// Why an agreement on disk is not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("`{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is larger than an agreement may be.
    #[error("`{path}` is larger than the {most} bytes that it may have")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bytes that it may have.
        most: usize,
    },
    /// The file is not an agreement.
    #[error("`{path}` is not a valid agreement")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: AgreementError,
    },
    /// A signature file is not an SSH signature.
    #[error("`{path}` is not an SSH signature")]
    NotASignature {
        /// The file.
        path: PathBuf,
    },
    /// Signatures are missing or do not hold.
    #[error("`{path}` is not signed by all parties")]
    Unsigned {
        /// The file.
        path: PathBuf,
        /// Whose.
        #[source]
        source: SignaturesError,
    },
}

/// Where a party's signature of an agreement, or its approval of a proposal, lies.
#[must_use]
pub fn signature_path(agreement: &Path, party: &PartyName) -> PathBuf {
    let mut name = agreement.as_os_str().to_owned();
    name.push(format!(".{party}.sig"));
    name.into()
}

/// Reads and checks an agreement.
///
/// # Errors
/// [`FileError::Read`], [`FileError::TooLarge`] or [`FileError::Invalid`].
pub fn read(path: &Path) -> Result<Agreement, FileError> {
    let bytes = read_bytes(path, MAX_AGREEMENT_BYTES)?;
    Agreement::parse(&bytes).map_err(|source| FileError::Invalid {
        path: path.to_owned(),
        source,
    })
}

/// The bytes of a file, if there are no more than `most`.
///
/// # Errors
/// [`FileError::Read`] or [`FileError::TooLarge`].
pub fn read_bytes(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let limit = most as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            most,
        });
    }
    Ok(bytes)
}

/// Reads the signatures that lie beside an agreement.
///
/// # Errors
/// [`FileError::Read`] or [`FileError::NotASignature`]; a signature that is not there is no error here.
pub fn read_signatures(
    path: &Path,
    agreement: &Agreement,
) -> Result<BTreeMap<PartyName, SshSig>, FileError> {
    let mut signatures = BTreeMap::new();
    for party in agreement.parties.keys() {
        if let Some(signature) = read_signature(&signature_path(path, party))? {
            signatures.insert(party.clone(), signature);
        }
    }
    Ok(signatures)
}

/// Reads one signature; `None` where there is no such file.
///
/// # Errors
/// [`FileError::Read`] or [`FileError::NotASignature`].
pub fn read_signature(path: &Path) -> Result<Option<SshSig>, FileError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(FileError::Read { path, source }),
    };
    let signature = SshSig::from_armor(&text).map_err(|_| FileError::NotASignature { path })?;
    Ok(Some(signature))
}

/// Where the signature of a proposal's analyst lies. Those of owners lie where
/// [`signature_path`] says.
#[must_use]
pub fn proposed_path(proposal: &Path) -> PathBuf {
    let mut name = proposal.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Reads an agreement that all parties have signed.
///
/// # Errors
/// [`FileError`].
pub fn read_signed(path: &Path) -> Result<SignedAgreement, FileError> {
    let agreement = read(path)?;
    let signatures = read_signatures(path, &agreement)?;
    agreement
        .verify(&signatures)
        .map_err(|source| FileError::Unsigned {
            path: path.to_owned(),
            source,
        })
}
