//! Why a broker refuses, and of which kind the refusal is.

use incamera_attest::AttestError;
use incamera_keys::KeyError;
use incamera_keys::hpke::HpkeError;
use incamera_ledger::LedgerError;
use incamera_seal::{ManifestError, NoKey, PastLastDay, RunsDiffer};
use incamera_types::{DatasetName, Date};

use crate::{RequestRefusal, ReservationsError};

/// What kind of refusal it is: decides status and exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Agreement, request, data version or the owner's own rules: refused by policy.
    Policy,
    /// The room's evidence was not verified.
    Attestation,
    /// The budget does not suffice.
    Budget,
    /// Too much at once, or too late: try again.
    Retry,
    /// Something of the owner's own failed.
    Failed,
}

/// Why a broker grants nothing. Never depends on a row (I7).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not taken.
    #[error(transparent)]
    Request(#[from] RequestRefusal),
    /// Nothing of this owner is read.
    #[error("the query reads no data of this party: it is not to be asked")]
    NotRead,
    /// The request names another manifest than the newest, or none is known.
    #[error(
        "the request names another version of data set `{dataset}` than the newest: push the newest to the room and ask again"
    )]
    NotNewest {
        /// The data set.
        dataset: DatasetName,
    },
    /// The newest manifest does not fit the agreement.
    #[error("data set `{dataset}` is not sealed under this agreement version")]
    Data {
        /// The data set.
        dataset: DatasetName,
        /// Why.
        #[source]
        source: Box<ManifestError>,
    },
    /// This party's data sets have pseudonyms of different matching runs.
    #[error(transparent)]
    Runs(#[from] RunsDiffer),
    /// The pseudonyms of a data set count no more.
    #[error(transparent)]
    PastLastDay(#[from] PastLastDay),
    /// A data set was sealed by other consents than the newest.
    #[error(
        "the consents of people in data set `{dataset}` changed since those that it was sealed by: its owner seals `{dataset}` again and pushes it"
    )]
    ConsentsChanged {
        /// The data set.
        dataset: DatasetName,
    },
    /// The last day of a data set is over.
    #[error(
        "data set `{dataset}` was kept until the end of {day} (UTC), and no key of it is released any more: only a new version of the agreement can give it a later day"
    )]
    KeptUntil {
        /// The data set.
        dataset: DatasetName,
        /// Its last day.
        day: Date,
    },
    /// The data set that says who agreed to what is not known.
    #[error(
        "data set `{register}`, which says what people agreed to, is not known yet: its owner pushes it"
    )]
    NoConsents {
        /// The data set.
        register: DatasetName,
    },
    /// A challenge that is not ours, too old or used.
    #[error("the room's challenge is unknown, too old or used: ask for a new one")]
    Challenge,
    /// No evidence, or none that can be read.
    #[error("the room's evidence is missing or malformed")]
    NoEvidence,
    /// The evidence was not verified.
    #[error(transparent)]
    Attestation(#[from] AttestError),
    /// Genuine, accepted evidence of other code than the request names.
    #[error("the room's code is not the one that the request names: make the request anew")]
    OtherMeasurement,
    /// The room's key cannot be sealed to.
    #[error("the room's key is unusable")]
    RoomKey(#[source] HpkeError),
    /// The owner has paused all releases.
    #[error("this party has paused all releases: ask it when it goes on")]
    Paused,
    /// The owner does not grant to simulated TEEs.
    #[error(
        "this party grants nothing to a simulated TEE: run the room in a real one, or let the party accept simulation in its configuration"
    )]
    Simulated,
    /// The owner's own rules say no.
    #[error("this party's own rules do not permit this request")]
    NotPermitted,
    /// The owner permits no question by a token.
    #[error(
        "this party takes no questions by tokens: the analyst asks with the own key (`incamera query run`)"
    )]
    NoTokens,
    /// The owner does not permit this token.
    #[error(
        "this party does not permit this token: the analyst asks with the own key, or makes another token"
    )]
    RefusedToken,
    /// The owner has not approved the proposal, or has taken its approval back.
    #[error(
        "this party has not approved this proposal, or has taken its approval back: only its own people can approve it"
    )]
    NotApproved,
    /// There is no key.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The ledger refused or failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The agreement version that is in force is another one by now.
    #[error("another version of the agreement is in force by now: make the request anew")]
    OtherAgreement,
    /// The set of reservations is not that of the request.
    #[error(transparent)]
    Reservations(#[from] ReservationsError),
    /// Another reservation of this owner than the one that it made.
    #[error("the reservation of this party is not the one that it made: reserve again")]
    OtherReservation,
    /// The grant could not be sealed or signed.
    #[error("the grant could not be made; asking again costs nothing")]
    Grant,
}

impl Refusal {
    /// The kind of refusal.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Request(_)
            | Self::NotRead
            | Self::NotNewest { .. }
            | Self::Data { .. }
            | Self::Runs(_)
            | Self::PastLastDay(_)
            | Self::ConsentsChanged { .. }
            | Self::NoConsents { .. }
            | Self::KeptUntil { .. }
            | Self::Paused
            | Self::Simulated
            | Self::NotPermitted
            | Self::NoTokens
            | Self::RefusedToken
            | Self::NotApproved
            | Self::OtherAgreement
            | Self::NoKey(
                NoKey::NotWrapped { .. }
                | NoKey::NoColumn { .. }
                | NoKey::Revoked { .. }
                | NoKey::NoPurposeKey { .. },
            ) => RefusalKind::Policy,
            Self::Challenge
            | Self::NoEvidence
            | Self::Attestation(_)
            | Self::OtherMeasurement
            | Self::RoomKey(_) => RefusalKind::Attestation,
            Self::Ledger(error) => of_ledger(error),
            Self::Reservations(_) | Self::OtherReservation => RefusalKind::Retry,
            Self::NoKey(_) | Self::Grant => RefusalKind::Failed,
        }
    }
}

fn of_ledger(error: &LedgerError) -> RefusalKind {
    match error {
        LedgerError::BudgetExhausted { .. } => RefusalKind::Budget,
        LedgerError::ManifestNotNewest { .. } => RefusalKind::Policy,
        LedgerError::TooManyReservations { .. }
        | LedgerError::NoReservation
        | LedgerError::ChargedBefore => RefusalKind::Retry,
        _ => RefusalKind::Failed,
    }
}

impl From<KeyError> for Refusal {
    fn from(_: KeyError) -> Self {
        Self::Grant
    }
}
