//! What made a version.

/// What made a version of a sealed data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// All rows were sealed, in place of those before.
    #[default]
    Sealed,
    /// Rows were added to those before.
    Appended,
    /// Its columns serve other purposes than before.
    Retagged,
    /// People withdrew consent.
    ConsentRemoved,
    /// People were forgotten.
    Forgotten,
    /// A purpose's key was destroyed.
    Revoked,
    /// Its keys were made anew.
    Rotated,
}

impl Change {
    pub(super) const ALL: [Self; 7] = [
        Self::Sealed,
        Self::Appended,
        Self::Retagged,
        Self::ConsentRemoved,
        Self::Forgotten,
        Self::Revoked,
        Self::Rotated,
    ];

    /// Its word in a manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Appended => "appended",
            Self::Retagged => "retagged",
            Self::ConsentRemoved => "consent-removed",
            Self::Forgotten => "forgotten",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
        }
    }
}

impl Change {
    /// Whether a version made so takes something away that the one before gave. Other purposes
    /// of columns do or do not: the manifest says.
    pub(crate) fn removes(self) -> Option<bool> {
        match self {
            Self::ConsentRemoved | Self::Forgotten | Self::Revoked => Some(true),
            Self::Sealed | Self::Appended | Self::Rotated => Some(false),
            Self::Retagged => None,
        }
    }
}

/// A version that took something away: rows, or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The version.
    pub version: u64,
    /// What made it.
    pub change: Change,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
