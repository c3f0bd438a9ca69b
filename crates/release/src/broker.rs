//! The owner's side, first round: from a verified request to a signed reservation.

use std::collections::BTreeSet;

use incamera_agreement::{Agreement, ConsentSource};
use incamera_attest::{Binding, VerifiedWorkload};
use incamera_keys::hpke::RoomPublicKey;
use incamera_keys::{SigningKey, sign_message};
use incamera_ledger::{Ask, Ceilings, Held, Ledger, NewestManifest, to_wire};
use incamera_seal::{
    GrantedKey, KeyRing, ManifestError, SignedManifest, open_manifest, same_runs, unwrap_keys,
};
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_types::{
    AnalystRef, DatasetName, DatasetSpec, Digest as _, ManifestDigest, PartyName, PrivacyLoss,
    ProposalDigest, QueryName, RequestDigest, RoomKeyDigest, TokenDigest, UnixTime,
};
use incamera_wire::v1::{BoundEvidence, Reservation, Signed};
use incamera_wire::{Format, decode};
use rand_core::CryptoRng;

use crate::challenge::FreshChallenge;
use crate::reservations::RESERVATION_S;
use crate::verified::DatasetRead;
use crate::{Refusal, VerifiedRequest};

/// What of an owner's the broker works with.
pub struct Broker<'a> {
    /// The owner's ledger.
    pub ledger: &'a mut Ledger,
    /// The owner's key ring.
    pub ring: &'a KeyRing,
    /// The owner's service key.
    pub signer: &'a SigningKey,
    /// The owner's ceiling over all agreements.
    pub population: PrivacyLoss,
    /// The owner's own rules.
    pub rules: &'a OwnRules,
}

/// The owner's own rules, beside the agreement. The default permits everything but a
/// simulated TEE.
#[derive(Clone, Debug, Default)]
pub struct OwnRules {
    /// All releases are paused.
    pub paused: bool,
    /// Grant to simulated TEEs, where the agreement accepts them (I10).
    pub insecure_accept_simulated: bool,
    /// Queries that the owner does not permit.
    pub refused_queries: BTreeSet<QueryName>,
    /// Analysts whom the owner does not permit.
    pub refused_analysts: BTreeSet<AnalystRef>,
    /// What a token's key signed is not granted, whoever signed the token.
    pub refuse_tokens: bool,
    /// Tokens that the owner does not permit.
    pub refused_tokens: BTreeSet<TokenDigest>,
    /// Proposals that the owner has approved and not taken back, as it knows itself: an approval
    /// that a request brings along stays with whoever once had it.
    pub approved: BTreeSet<ProposalDigest>,
}

impl OwnRules {
    fn permit(&self, request: &VerifiedRequest, simulated: bool) -> Result<(), Refusal> {
        if self.paused {
            return Err(Refusal::Paused);
        }
        if simulated && !self.insecure_accept_simulated {
            return Err(Refusal::Simulated);
        }
        if self.refused_queries.contains(request.request().query())
            || self.refused_analysts.contains(request.analyst())
        {
            return Err(Refusal::NotPermitted);
        }
        self.permit_token(request.token())?;
        let proposal = request.request().proposal();
        if proposal.is_some_and(|proposal| !self.approved.contains(&proposal)) {
            return Err(Refusal::NotApproved);
        }
        Ok(())
    }

    fn permit_token(&self, token: Option<TokenDigest>) -> Result<(), Refusal> {
        match token {
            Some(_) if self.refuse_tokens => Err(Refusal::NoTokens),
            Some(token) if self.refused_tokens.contains(&token) => Err(Refusal::RefusedToken),
            _ => Ok(()),
        }
    }
}

/// A verified request whose manifests of this owner are its newest. Step 2 of the chain.
///
/// ```compile_fail
/// use incamera_release::CurrentData;
/// fn copy(state: CurrentData) -> CurrentData {
///     CurrentData { ..state } // private fields: made by the check alone
/// }
/// ```
#[derive(Debug)]
pub struct CurrentData {
    pub(crate) request: VerifiedRequest,
    pub(crate) owner: PartyName,
    pub(crate) data: Vec<OwnData>,
}

/// One data set of the owner that the query reads.
#[derive(Debug)]
pub(crate) struct OwnData {
    read: DatasetRead,
    manifest: SignedManifest,
}

impl CurrentData {
    /// Step 2: every data set of this owner in the request is still kept; every manifest is its
    /// newest, by its ledger, with pseudonyms that still count, and sealed by the newest consents of its people.
    ///
    /// # Errors
    /// [`Refusal::NotRead`], [`Refusal::KeptUntil`], [`Refusal::NotNewest`], [`Refusal::Data`],
    /// [`Refusal::PastLastDay`], [`Refusal::ConsentsChanged`], [`Refusal::NoConsents`].
    pub fn check(
        request: VerifiedRequest,
        ledger: &Ledger,
        now: UnixTime,
    ) -> Result<Self, Refusal> {
        let owner = ledger.party().clone();
        if !request
            .agreement()
            .owners_read(request.query())
            .contains(&owner)
        {
            return Err(Refusal::NotRead);
        }
        still_kept(&request, &owner, now)?;
        let reads = request.reads_of(&owner).into_iter();
        let data = reads.map(|read| newest(&request, &owner, read, ledger, now));
        let data: Vec<OwnData> = data.collect::<Result<_, _>>()?;
        let specs = &request.agreement().agreement().datasets;
        same_runs(specs, data.iter().map(|own| &*own.manifest))?;
        let current = Self {
            data,
            request,
            owner,
        };
        current.counts_at(now)?;
        current.follow_consents(ledger)?;
        Ok(current)
    }

    /// What was the newest in the first round still is: a version that was replaced between the
    /// rounds may have lost its keys, and is refused for what it is.
    pub(crate) fn still_newest(&self, ledger: &Ledger) -> Result<(), Refusal> {
        let agreement = &self.request.agreement().id;
        for OwnData { read, manifest } in &self.data {
            let newest = ledger.newest_manifest(agreement, &read.dataset)?;
            if newest.is_none_or(|newest| newest.digest != manifest.digest()) {
                return Err(not_newest(read));
            }
        }
        Ok(())
    }

    /// A link that is over, or a key of providers that is, joins nobody's rows any more.
    pub(crate) fn counts_at(&self, now: UnixTime) -> Result<(), Refusal> {
        let mut manifests = self.data.iter().map(|own| &own.manifest);
        Ok(manifests.try_for_each(|manifest| manifest.counts_at(now))?)
    }

    /// Whoever withdrew consent in the register may still have keys in what was sealed by its
    /// older versions: that opens no more until it is sealed by the newest.
    pub(crate) fn follow_consents(&self, ledger: &Ledger) -> Result<(), Refusal> {
        let private = self.data.iter().filter(|own| !own.read.public);
        for OwnData { read, manifest } in private {
            let agreement = self.request.agreement();
            let spec = agreement.dataset(&read.dataset);
            let Some(ConsentSource::Dataset(register)) = spec.map(|own| agreement.consent_of(own))
            else {
                continue;
            };
            let newest = newest_consents(agreement, register, ledger)?;
            // INVARIANT: the register itself was sealed by its `purposes` column, everything else
            // by the register's newest version.
            let follows = match register.name == read.dataset {
                true => manifest.own_consents(),
                false => manifest.register() == Some(newest),
            };
            if !follows {
                let dataset = read.dataset.clone();
                return Err(Refusal::ConsentsChanged { dataset });
            }
        }
        Ok(())
    }

    /// Step 3: the evidence is genuine, fresh, accepted by the agreement, of the code that the
    /// request names, and bound to our challenge, the room's keys, the agreement and this
    /// request.
    ///
    /// # Errors
    /// [`Refusal::NoEvidence`], [`Refusal::Attestation`], [`Refusal::OtherMeasurement`],
    /// [`Refusal::RoomKey`].
    pub fn attested(
        self,
        challenge: FreshChallenge,
        evidence: &BoundEvidence,
        now: UnixTime,
    ) -> Result<Attested, Refusal> {
        let keys = evidence.keys.clone().ok_or(Refusal::NoEvidence)?;
        let bytes = evidence.evidence.as_ref().ok_or(Refusal::NoEvidence)?;
        let agreement = self.request.agreement();
        let digest = self.request.digest();
        let binding = Binding::for_request(challenge.bytes(), keys, agreement.digest, digest);
        let workload = incamera_attest::verify(bytes, &agreement.room.policy, &binding, now)?;
        // INVARIANT: evidence without a request releases nothing.
        if workload.for_request() != Some(digest) {
            return Err(Refusal::NoEvidence);
        }
        if workload.measurement() != self.request.request().measurement() {
            return Err(Refusal::OtherMeasurement);
        }
        let room_key = RoomPublicKey::from_bytes(workload.binding().hpke_key());
        Ok(Attested {
            room_key: room_key.map_err(Refusal::RoomKey)?,
            current: self,
            workload,
        })
    }

    /// Unwraps the keys of just the columns read, of just this owner's data sets.
    pub(crate) fn unwrap(&self, ring: &KeyRing) -> Result<Vec<GrantedKey>, Refusal> {
        let purpose = self.request.request().purpose();
        let mut keys = Vec::new();
        for OwnData { read, manifest } in &self.data {
            keys.extend(unwrap_keys(manifest, purpose, &read.columns, ring)?);
        }
        Ok(keys)
    }

    fn manifests(&self) -> Vec<(DatasetName, ManifestDigest)> {
        let data = self.data.iter();
        data.map(|own| (own.read.dataset.clone(), own.manifest.digest()))
            .collect()
    }
}

/// No key of a data set is released after its last day.
pub(crate) fn still_kept(
    request: &VerifiedRequest,
    owner: &PartyName,
    now: UnixTime,
) -> Result<(), Refusal> {
    let reads = request.reads_of(owner).into_iter();
    let mut specs = reads.filter_map(|read| request.agreement().dataset(&read.dataset));
    let over = specs.find_map(|spec| {
        let day = spec.keep_until.filter(|day| day.end() < now)?;
        let dataset = spec.name.clone();
        Some(Refusal::KeptUntil { dataset, day })
    });
    over.map_or(Ok(()), Err)
}

fn newest(
    request: &VerifiedRequest,
    owner: &PartyName,
    read: DatasetRead,
    ledger: &Ledger,
    now: UnixTime,
) -> Result<OwnData, Refusal> {
    let agreement = request.agreement();
    let not_newest = || not_newest(&read);
    let newest = ledger.newest_manifest(&agreement.id, &read.dataset)?;
    let newest = newest.ok_or_else(not_newest)?;
    if request.request().manifest(&read.dataset) != Some(newest.digest) {
        return Err(not_newest());
    }
    let manifest = opened(agreement, owner, &newest)?;
    let unfit = |source| unfit(&read.dataset, source);
    let spec = agreement.dataset(&read.dataset).ok_or_else(not_newest)?;
    let matching = &agreement.matching;
    manifest
        .fits(spec, &agreement.id, matching.epoch, matching.partitions)
        .and_then(|()| manifest.ends_with_key(matching.key_days(), now))
        .map_err(unfit)?;
    if manifest.digest() != newest.digest {
        return Err(not_newest());
    }
    Ok(OwnData { read, manifest })
}

/// A manifest as the ledger keeps it, its signature checked again.
fn opened(
    agreement: &Agreement,
    owner: &PartyName,
    newest: &NewestManifest,
) -> Result<SignedManifest, Refusal> {
    let key = agreement.service_key(owner).ok_or(Refusal::NotRead)?;
    let signed: Signed = decode(&newest.signed, MAX_MANIFEST_BYTES)
        .map_err(|error| unfit(&newest.dataset, error.into()))?;
    open_manifest(&signed, key).map_err(|error| unfit(&newest.dataset, error))
}

fn not_newest(read: &DatasetRead) -> Refusal {
    Refusal::NotNewest {
        dataset: read.dataset.clone(),
    }
}

fn unfit(dataset: &DatasetName, source: ManifestError) -> Refusal {
    Refusal::Data {
        dataset: dataset.clone(),
        source: Box::new(source),
    }
}

/// The newest version of a register of consents.
fn newest_consents(
    agreement: &Agreement,
    register: &DatasetSpec,
    ledger: &Ledger,
) -> Result<ManifestDigest, Refusal> {
    let newest = ledger.newest_manifest(&agreement.id, &register.name)?;
    let newest = newest.ok_or_else(|| Refusal::NoConsents {
        register: register.name.clone(),
    })?;
    Ok(newest.digest)
}

/// A request from an attested room. Step 3 of the chain.
///
/// ```compile_fail
/// use incamera_release::Attested;
/// fn copy(state: Attested) -> Attested {
///     Attested { ..state } // private fields: made by the check alone
/// }
/// ```
#[derive(Debug)]
pub struct Attested {
    pub(crate) current: CurrentData,
    pub(crate) workload: VerifiedWorkload,
    pub(crate) room_key: RoomPublicKey,
}

impl Attested {
    /// Step 4: the owner's own rules permit.
    ///
    /// # Errors
    /// [`Refusal::Paused`], [`Refusal::Simulated`], [`Refusal::NotPermitted`],
    /// [`Refusal::NoTokens`], [`Refusal::RefusedToken`], [`Refusal::NotApproved`].
    pub fn permitted(self, rules: &OwnRules) -> Result<Permitted, Refusal> {
        rules.permit(&self.current.request, self.workload.simulated())?;
        Ok(Permitted(self))
    }
}

/// A request that the owner's own rules permit. Step 4 of the chain.
#[derive(Debug)]
pub struct Permitted(Attested);

impl Permitted {
    /// Step 5: there is a key of each column read for the purpose. Found out before anything is
    /// held, so that a key that does not exist costs nobody.
    ///
    /// # Errors
    /// [`Refusal::NoKey`].
    pub fn openable(self, ring: &KeyRing) -> Result<Openable, Refusal> {
        drop(self.0.current.unwrap(ring)?);
        Ok(Openable(self.0))
    }
}

/// A request whose keys exist. Step 5 of the chain.
#[derive(Debug)]
pub struct Openable(Attested);

impl Openable {
    /// Step 6: the budget suffices, and the cost is held. Gives the promise and, signed, the
    /// reservation for the room to pass to all owners.
    ///
    /// # Errors
    /// [`Refusal::Ledger`].
    pub fn reserve(
        self,
        broker: &mut Broker<'_>,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Reserved, Refusal> {
        let current = &self.0.current;
        let request = &current.request;
        let ask = Ask {
            agreement: request.agreement().id,
            request: request.digest(),
            room_key: self.0.room_key.digest(),
            analyst: request.analyst(),
            manifests: &current.manifests(),
            reads: &request.manifests_read(),
            cost: request.agreement().cost(request.query()),
            // So that no owner commits just before the request is over for another.
            expires: now.plus(RESERVATION_S).min(request.expires()),
        };
        let ceilings = ceilings(request, &current.owner, broker.population);
        let seed_key = broker.ring.seed_key();
        let held = broker.ledger.reserve(&ask, &ceilings, seed_key, now, rng)?;
        let message = message(current, &held);
        let reservation = sign_message(broker.signer, Format::Reservation, &message)?;
        Ok(Reserved {
            attested: self.0,
            held,
            reservation,
        })
    }
}

/// The ceilings that apply; where the agreement has none for the owner, its own alone.
pub(crate) fn ceilings(
    request: &VerifiedRequest,
    owner: &PartyName,
    population: PrivacyLoss,
) -> Ceilings {
    let agreement = request.agreement().ceiling(owner);
    Ceilings {
        population,
        agreement: agreement.unwrap_or(population),
    }
}

fn message(current: &CurrentData, held: &Held) -> Reservation {
    Reservation {
        owner: current.owner.to_string(),
        agreement_digest: current.request.agreement().digest.as_bytes().to_vec(),
        request_digest: held.request().as_bytes().to_vec(),
        room_key_digest: held.room_key().as_bytes().to_vec(),
        seed_commitment: held.commitment().as_bytes().to_vec(),
        cost: Some(to_wire(held.cost())),
        expires: held.expires().0,
        repeat: held.repeat(),
    }
}

/// A promise to commit. Step 6 of the chain, and the end of the first round.
///
/// ```compile_fail
/// use incamera_release::Reserved;
/// fn copy(state: Reserved) -> Reserved {
///     Reserved { ..state } // private fields: made by the check alone
/// }
/// ```
#[derive(Debug)]
pub struct Reserved {
    pub(crate) attested: Attested,
    pub(crate) held: Held,
    pub(crate) reservation: Signed,
}

impl Reserved {
    /// The signed reservation, for the room.
    #[must_use]
    pub fn reservation(&self) -> &Signed {
        &self.reservation
    }
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestDigest {
        self.held.request()
    }
    /// The room's key of this request.
    #[must_use]
    pub fn room_key(&self) -> RoomKeyDigest {
        self.held.room_key()
    }
    /// When the promise ends.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.held.expires()
    }
    /// Whether the request was charged before.
    #[must_use]
    pub fn repeat(&self) -> bool {
        self.held.repeat()
    }
    /// The token whose key signed the request, if the analyst's own did not.
    #[must_use]
    pub fn token(&self) -> Option<TokenDigest> {
        self.verified().token()
    }

    pub(crate) fn verified(&self) -> &VerifiedRequest {
        &self.attested.current.request
    }
    pub(crate) fn owner(&self) -> &PartyName {
        &self.attested.current.owner
    }
    pub(crate) fn permit_again(&self, rules: &OwnRules) -> Result<(), Refusal> {
        rules.permit(self.verified(), self.attested.workload.simulated())
    }
}
