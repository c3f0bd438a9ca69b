//! How far an agreement has come.

use crate::AgreementDigest;

/// The highest version of an agreement that was ever in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Highest {
    /// The version.
    pub version: u64,
    /// The file; unknown if an earlier program saw it, and nobody since.
    pub digest: Option<AgreementDigest>,
}

impl Highest {
    /// Whether a file of this version and digest may count: of two files of the highest version
    /// only the one that came first does.
    #[must_use]
    pub fn admits(&self, version: u64, digest: &AgreementDigest) -> bool {
        self.version != version || self.digest.is_none_or(|first| first == *digest)
    }
}
