use std::fmt;

use incamera_keys::note::NoteError;
use incamera_types::{DatasetName, PrivacyLoss};

/// Which ceiling a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CeilingKind {
    /// The owner's own ceiling over all agreements.
    Population,
    /// The ceiling inside one agreement.
    Agreement,
}

impl fmt::Display for CeilingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Population => "over all agreements",
            Self::Agreement => "of this agreement",
        })
    }
}

/// Which limit on open reservations is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opener {
    /// One analyst.
    Analyst,
    /// All analysts of one party.
    Counterparty,
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Analyst => "this analyst",
            Self::Counterparty => "this analyst's party",
        })
    }
}

/// A failure of the database itself. Opaque, so that the engine may change.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(#[from] rusqlite::Error);

/// Why the ledger refused or failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database could not be read or written.
    #[error("the ledger cannot be read or written: check its disk and its permissions")]
    Database(#[source] DatabaseError),
    /// The database does not keep what is written through a power loss.
    #[error("the database cannot be made durable: `{setting}` did not take effect")]
    NotDurable {
        /// The setting.
        setting: &'static str,
    },
    /// A schema from the future, or no ledger at all.
    #[error(
        "the ledger has schema version {found}, this program knows up to {known}: use a newer version of incamera"
    )]
    Schema {
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// The file is another database.
    #[error("the file is not a ledger of incamera: name another file")]
    NotALedger,
    /// The ledger of somebody else.
    #[error("the ledger belongs to another party: check the configuration")]
    OtherParty,
    /// A manifest below the newest version.
    #[error(
        "version {version} of data set `{dataset}` is not newer than version {newest}, which is known: seal again"
    )]
    ManifestOld {
        /// The data set.
        dataset: DatasetName,
        /// The version offered.
        version: u64,
        /// The newest version known.
        newest: u64,
    },
    /// Another manifest under a version that is taken.
    #[error("another version {version} of data set `{dataset}` is known already: seal again")]
    ManifestConflict {
        /// The data set.
        dataset: DatasetName,
        /// The version offered.
        version: u64,
    },
    /// The next version, made from another one than the newest.
    #[error(
        "version {version} of data set `{dataset}` follows another version {newest} than the one that is known: two machines have sealed it"
    )]
    ManifestFork {
        /// The data set.
        dataset: DatasetName,
        /// The version offered.
        version: u64,
        /// The newest version known.
        newest: u64,
    },
    /// A request names a manifest that is not the newest (or none is known).
    #[error(
        "the request names another version of data set `{dataset}` than the newest: push the newest to the room and ask again"
    )]
    ManifestNotNewest {
        /// The data set.
        dataset: DatasetName,
    },
    /// The budget does not suffice.
    #[error("the privacy budget {ceiling} is exhausted: this request costs more than is left")]
    BudgetExhausted {
        /// Which ceiling.
        ceiling: CeilingKind,
        /// What is left under it, open reservations counted as spent.
        left: PrivacyLoss,
        /// What the request costs.
        cost: PrivacyLoss,
    },
    /// The signed request was charged under other seeds.
    #[error(
        "this signed request was charged before, under other noise seeds: it is not charged twice, sign it anew"
    )]
    ChargedBefore,
    /// Too many requests at once.
    #[error("{opener} has {limit} open reservations, which is the limit: wait until some end")]
    TooManyReservations {
        /// Whose limit.
        opener: Opener,
        /// The limit.
        limit: u32,
    },
    /// The reservation expired, or its data were superseded.
    #[error("the reservation has ended: ask again")]
    NoReservation,
    /// A stored seed does not open.
    #[error(
        "a stored noise seed does not open with this key ring: restore the key ring that belongs to this ledger"
    )]
    Seed,
    /// A sum went out of range.
    #[error("an amount is out of range")]
    Range,
    /// The log does not read back as it was written.
    #[error("the log of this agreement is damaged: restore the ledger from a backup")]
    Log,
    /// The checkpoint could not be signed.
    #[error("the log's checkpoint could not be signed")]
    Checkpoint(#[from] NoteError),
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(DatabaseError(error))
    }
}
