//! All owners' reservations of one request: checked alike by each owner before it commits and
//! by the room before it opens grants.

use std::collections::BTreeMap;

use incamera_keys::{SignedError, open_signed};
use incamera_types::{
    CommitmentsDigest, Delta, Digest as _, PartyName, PrivacyLoss, ReservationsDigest, Rho,
    RoomKeyDigest, SeedCommitment, Transcript, UnixTime,
};
use incamera_wire::Format;
use incamera_wire::v1::{Loss, Reservation, Signed};

use crate::VerifiedRequest;

/// How long a reservation holds.
pub const RESERVATION_S: u64 = 120;
/// What every reservation must have left when an owner commits.
pub const MIN_LEFT_S: u64 = 30;
const MAX_RESERVATION_BYTES: usize = 4096;

/// Why a set of reservations is not that of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReservationsError {
    /// An owner read has not reserved, or one that is not read has, or not in order.
    #[error("not every owner whose data the query reads has reserved, in order of party name")]
    Incomplete,
    /// An owner's signature does not hold.
    #[error("the reservation of `{owner}` is not signed by its service key")]
    Signature {
        /// The owner.
        owner: PartyName,
        /// What is wrong with it.
        #[source]
        source: SignedError,
    },
    /// Made for another request, room key, agreement, or cost.
    #[error("the reservation of `{owner}` is for another {what}")]
    Other {
        /// The owner.
        owner: PartyName,
        /// What differs.
        what: &'static str,
    },
    /// Too little time is left.
    #[error("the reservation of `{owner}` ends too soon: reserve again")]
    EndsSoon {
        /// The owner.
        owner: PartyName,
    },
}

/// Proof that nobody is missing: the reservations of all owners whose data are read, each with
/// its owner's signature, agree on what is asked and on who gets the keys.
///
/// ```compile_fail
/// use incamera_release::AllReserved;
/// fn copy(all: AllReserved) -> AllReserved {
///     AllReserved { ..all } // private fields
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AllReserved {
    room_key: RoomKeyDigest,
    commitments: BTreeMap<PartyName, SeedCommitment>,
    reservations_digest: ReservationsDigest,
    commitments_digest: CommitmentsDigest,
}

impl AllReserved {
    /// Checks one reservation of each owner read, in order of party name, each with at least
    /// `min_left_s` seconds to go.
    ///
    /// # Errors
    /// [`ReservationsError`].
    pub fn check(
        request: &VerifiedRequest,
        room_key: RoomKeyDigest,
        signed: &[Signed],
        now: UnixTime,
        min_left_s: u64,
    ) -> Result<Self, ReservationsError> {
        let owners = request.agreement().owners_read(request.query());
        if owners.len() != signed.len() {
            return Err(ReservationsError::Incomplete);
        }
        let mut commitments = BTreeMap::new();
        for (owner, signed) in owners.iter().zip(signed) {
            let reservation = open(request, owner, signed)?;
            let commitment = check_one(request, room_key, owner, &reservation)?;
            if reservation.expires < now.plus(min_left_s).0 {
                let owner = owner.clone();
                return Err(ReservationsError::EndsSoon { owner });
            }
            commitments.insert(owner.clone(), commitment);
        }
        Ok(Self {
            room_key,
            reservations_digest: reservations_digest(signed),
            commitments_digest: commitments_digest(&commitments),
            commitments,
        })
    }

    /// The room's key of this request.
    #[must_use]
    pub fn room_key(&self) -> RoomKeyDigest {
        self.room_key
    }
    /// An owner's commitment to its seed.
    #[must_use]
    pub fn commitment(&self, owner: &PartyName) -> Option<SeedCommitment> {
        self.commitments.get(owner).copied()
    }
    /// The digest of all reservations.
    #[must_use]
    pub fn digest(&self) -> ReservationsDigest {
        self.reservations_digest
    }
    /// The digest of all seed commitments.
    #[must_use]
    pub fn commitments_digest(&self) -> CommitmentsDigest {
        self.commitments_digest
    }
}

fn open(
    request: &VerifiedRequest,
    owner: &PartyName,
    signed: &Signed,
) -> Result<Reservation, ReservationsError> {
    let key = request.agreement().service_key(owner);
    let key = key.ok_or(ReservationsError::Incomplete)?;
    open_signed(signed, Format::Reservation, key, MAX_RESERVATION_BYTES).map_err(|source| {
        let owner = owner.clone();
        ReservationsError::Signature { owner, source }
    })
}

fn check_one(
    request: &VerifiedRequest,
    room_key: RoomKeyDigest,
    owner: &PartyName,
    reservation: &Reservation,
) -> Result<SeedCommitment, ReservationsError> {
    let other = |what| ReservationsError::Other {
        owner: owner.clone(),
        what,
    };
    let agreement = request.agreement();
    let cost = agreement.cost(request.query());
    let same = [
        (reservation.owner == owner.as_str(), "owner"),
        (
            reservation.agreement_digest == agreement.digest.as_bytes(),
            "agreement",
        ),
        (
            reservation.request_digest == request.digest().as_bytes(),
            "request",
        ),
        (
            reservation.room_key_digest == room_key.as_bytes(),
            "room key",
        ),
        (read_loss(reservation.cost.as_ref()) == Some(cost), "cost"),
    ];
    if let Some((_, what)) = same.into_iter().find(|(same, _)| !same) {
        return Err(other(what));
    }
    SeedCommitment::from_slice(&reservation.seed_commitment).map_err(|_| other("commitment"))
}

/// A loss as it is read from a message.
pub(crate) fn read_loss(loss: Option<&Loss>) -> Option<PrivacyLoss> {
    loss.map(|loss| PrivacyLoss {
        rho: Rho::from_units(loss.rho),
        delta0: Delta::from_units(loss.delta0),
    })
}

fn reservations_digest(signed: &[Signed]) -> ReservationsDigest {
    Transcript::new("incamera-reservations/1")
        .list(signed.iter().map(|signed| &signed.body))
        .finish()
}

/// The digest of seed commitments, in order of party name.
pub(crate) fn commitments_digest(
    commitments: &BTreeMap<PartyName, SeedCommitment>,
) -> CommitmentsDigest {
    let list = Transcript::new("incamera-commitments/1").number(commitments.len() as u64);
    let all = commitments.iter();
    all.fold(list, |list, (owner, commitment)| {
        list.field(owner.as_str()).field(commitment)
    })
    .finish()
}
