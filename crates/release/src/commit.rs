//! The owner's side, second round: charge, log, and only then grant.

use incamera_agreement::ActiveAgreement;
use incamera_keys::hpke;
use incamera_keys::{SigningKey, sign_message};
use incamera_ledger::{Charged, GrantRecord, Logged, to_wire};
use incamera_seal::GrantedKey;
use incamera_types::{Digest as _, PrivacyLoss, UnixTime};
use incamera_wire::Format;
use incamera_wire::v1::{Grant, Signed};
use rand_core::CryptoRng;

use crate::broker::{Broker, Reserved, ceilings, still_kept};
use crate::grant::{GRANT_S, Place, Secrets};
use crate::reservations::{AllReserved, MIN_LEFT_S};
use crate::{Refusal, RequestRefusal};

/// Charged and logged, with the keys at hand. Step 7 of the chain: what a grant is made of.
///
/// Only [`Reserved::commit`] makes one; there is no way from a reservation to a grant around
/// it:
///
/// ```compile_fail
/// use incamera_release::{Committed, Reserved};
/// fn skip(state: Reserved) -> Committed {
///     state.into()
/// }
/// ```
/// ```compile_fail
/// use incamera_release::Committed;
/// fn copy(state: Committed) -> Committed {
///     Committed { ..state } // private fields: made by the check alone
/// }
/// ```
#[derive(Debug)]
pub struct Committed<'a> {
    reserved: &'a Reserved,
    all: AllReserved,
    keys: Vec<GrantedKey>,
    charged: Charged,
    logged: Logged,
    spent: Option<PrivacyLoss>,
}

impl Reserved {
    /// Step 7: the agreement is still in force, the owner's rules still permit, its data are still
    /// kept and the newest, consents are those that were sealed under, every owner read has
    /// reserved for the same request and room key with time left, the keys unwrap; then, in one durable transaction, charge, seed and log entry. May be asked again until
    /// the reservation ends: a repeat is free.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was charged, unless an earlier call had charged.
    pub fn commit(
        &self,
        agreement: &ActiveAgreement,
        reservations: &[Signed],
        broker: &mut Broker<'_>,
        now: UnixTime,
    ) -> Result<Committed<'_>, Refusal> {
        let request = self.verified();
        if agreement.digest != request.agreement().digest {
            return Err(Refusal::OtherAgreement);
        }
        if request.expires() <= now {
            let late_s = now.since(request.expires());
            return Err(RequestRefusal::Expired { late_s }.into());
        }
        self.permit_again(broker.rules)?;
        still_kept(request, self.owner(), now)?;
        self.attested.current.still_newest(broker.ledger)?;
        self.attested.current.counts_at(now)?;
        self.attested.current.follow_consents(broker.ledger)?;
        let room_key = self.room_key();
        let all = AllReserved::check(request, room_key, reservations, now, MIN_LEFT_S)?;
        if all.commitment(self.owner()) != Some(self.held.commitment()) {
            return Err(Refusal::OtherReservation);
        }
        let keys = self.attested.current.unwrap(broker.ring)?;
        let record = self.record(&all);
        let ceilings = ceilings(request, self.owner(), broker.population);
        let ledger = &mut *broker.ledger;
        let (charged, logged) =
            ledger.commit(&self.held, &record, &ceilings, broker.signer, now)?;
        Ok(Committed {
            reserved: self,
            all,
            keys,
            charged,
            logged,
            // Only for showing: that it cannot be read is no reason to withhold a paid grant.
            spent: ledger.spent(&agreement.id).ok(),
        })
    }

    fn record<'a>(&'a self, all: &AllReserved) -> GrantRecord<'a> {
        let request = self.verified();
        GrantRecord {
            agreement: request.agreement().digest,
            reservations: all.digest(),
            commitments: all.commitments_digest(),
            envelope: request.envelope(),
            analyst: request.analyst(),
            token: request.token(),
            query: request.request().query(),
            proposal: request.request().proposal(),
            purpose: request.request().purpose(),
            reason: request.reason(),
            simulated: self.attested.workload.simulated(),
        }
    }
}

impl Committed<'_> {
    /// Step 8: seals seed and keys to the attested key, and signs.
    ///
    /// # Errors
    /// [`Refusal::Grant`]: the charge stands, and asking again is free.
    pub fn grant(self, signer: &SigningKey, rng: &mut impl CryptoRng) -> Result<Signed, Refusal> {
        let place = self.place();
        let secrets = Secrets::encode(self.charged.seed(), &self.keys);
        let room_key = &self.reserved.attested.room_key;
        let sealed = hpke::seal(room_key, &place.info(), &place.aad(), &secrets, rng);
        let sealed = sealed.map_err(|_| Refusal::Grant)?;
        let grant = self.message(&place, sealed);
        Ok(sign_message(signer, Format::Grant, &grant)?)
    }

    fn place(&self) -> Place {
        let request = self.reserved.verified();
        let granted_at = self.charged.at();
        Place {
            owner: self.reserved.owner().clone(),
            agreement: request.agreement().digest,
            request: self.charged.request(),
            purpose: request.request().purpose().clone(),
            reservations: self.all.digest(),
            commitments: self.charged.commitments(),
            room_key: self.all.room_key(),
            seed_commitment: self.reserved.held.commitment(),
            granted_at,
            expires: granted_at.plus(GRANT_S).min(request.expires()),
        }
    }

    fn message(&self, place: &Place, sealed: hpke::Sealed) -> Grant {
        Grant {
            owner: place.owner.to_string(),
            agreement_digest: place.agreement.as_bytes().to_vec(),
            request_digest: place.request.as_bytes().to_vec(),
            purpose: place.purpose.to_string(),
            reservations_digest: place.reservations.as_bytes().to_vec(),
            commitments_digest: place.commitments.as_bytes().to_vec(),
            room_key_digest: place.room_key.as_bytes().to_vec(),
            seed_commitment: place.seed_commitment.as_bytes().to_vec(),
            charge: Some(to_wire(self.charged.loss())),
            granted_at: place.granted_at.0,
            expires: place.expires.0,
            encapped_key: sealed.encapped_key,
            ciphertext: sealed.ciphertext,
            log: Some(self.logged.proof().clone()),
            spent: self.spent.map(to_wire),
        }
    }
}
