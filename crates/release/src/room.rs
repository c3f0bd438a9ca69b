//! The room's side: opening every owner's grant, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use incamera_dp::NoiseKey;
use incamera_keys::hpke::{self, RoomPublicKey, RoomSecretKey};
use incamera_keys::{NoiseSeed, PublicKey};
use incamera_ledger::seed_commitment;
use incamera_seal::{
    GrantedKey, PartKeys, PastLastDay, RunsDiffer, SignedManifest, granted_parts, open_manifest,
    same_runs,
};
use incamera_types::{DatasetName, FileId, PartyName, PrivacyLoss, RequestDigest, UnixTime};
use incamera_wire::v1::{RoomKeys, Signed};

use crate::VerifiedRequest;
use crate::grant::{Expected, GrantFault, Secrets, SignedGrant};
use crate::reservations::{AllReserved, ReservationsError};

/// How far an owner's clock may be ahead of the room's.
const MAX_AHEAD_S: u64 = 60;

/// What went wrong, for the room's own log. Holds no data and no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFault {
    /// The request is over.
    #[error("the request has expired")]
    Expired,
    /// A manifest that the request names is not at hand, or not its owner's.
    #[error("the manifest of data set `{dataset}` is not the one that the request names")]
    Manifest {
        /// The data set.
        dataset: DatasetName,
    },
    /// The data sets have pseudonyms of different matching runs.
    #[error(transparent)]
    Runs(#[from] RunsDiffer),
    /// The pseudonyms of a data set count no more.
    #[error(transparent)]
    PastLastDay(#[from] PastLastDay),
    /// The reservations are not those of the request.
    #[error(transparent)]
    Reservations(#[from] ReservationsError),
    /// Not one grant of each owner read, in order of party name.
    #[error("not every owner whose data the query reads has granted, in order of party name")]
    Incomplete,
    /// Something is wrong with an owner's grant.
    #[error("the grant of `{owner}` is refused: {fault}")]
    Grant {
        /// The owner.
        owner: PartyName,
        /// What.
        fault: GrantFault,
    },
}

/// The grants do not open. One text for whatever went wrong (I7); the room logs
/// [`GrantsError::fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the owners' grants do not open this request: ask again; if it persists, the room's log says more"
)]
pub struct GrantsError {
    fault: OpenFault,
}

impl GrantsError {
    /// What went wrong, for the room's log.
    #[must_use]
    pub fn fault(&self) -> &OpenFault {
        &self.fault
    }
}

impl From<OpenFault> for GrantsError {
    fn from(fault: OpenFault) -> Self {
        Self { fault }
    }
}

/// The keys that a room's evidence binds.
#[must_use]
pub fn room_keys(hpke: &RoomPublicKey, tls_spki: &[u8], receipt: &PublicKey) -> RoomKeys {
    RoomKeys {
        hpke_key: hpke.as_bytes().to_vec(),
        tls_key: tls_spki.to_vec(),
        receipt_key: receipt.as_bytes().to_vec(),
    }
}

/// What a room has at hand when all owners have answered.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The request.
    pub request: &'a VerifiedRequest,
    /// All owners' reservations, in order of party name.
    pub reservations: &'a [Signed],
    /// All owners' grants, in order of party name.
    pub grants: &'a [Signed],
    /// The manifests that the request names.
    pub manifests: &'a BTreeMap<DatasetName, SignedManifest>,
    /// Whether this room's TEE is simulated.
    pub simulated: bool,
}

/// Proof that every owner's grant was verified, and what they hold: keys of the columns read,
/// and the key of the noise. Wiped when dropped. Only [`open_grants`] makes one.
///
/// ```compile_fail
/// use incamera_release::OpenedGrants;
/// fn copy(grants: OpenedGrants) -> OpenedGrants {
///     OpenedGrants { ..grants } // private fields: made by the check alone
/// }
/// ```
pub struct OpenedGrants {
    request: RequestDigest,
    parts: BTreeMap<DatasetName, BTreeMap<FileId, PartKeys>>,
    noise_key: NoiseKey,
    loss: PrivacyLoss,
    simulated: bool,
    grants: Vec<Signed>,
}

impl fmt::Debug for OpenedGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedGrants({})", self.request)
    }
}

impl OpenedGrants {
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestDigest {
        self.request
    }
    /// The keys of one part; `None` for a part that does not open for the purpose.
    #[must_use]
    pub fn part_keys(&self, dataset: &DatasetName, file_id: &FileId) -> Option<&PartKeys> {
        self.parts.get(dataset)?.get(file_id)
    }
    /// Where all noise of the request comes from.
    #[must_use]
    pub fn noise_key(&self) -> &NoiseKey {
        &self.noise_key
    }
    /// What each owner was charged, now or before: what the noise must be worth.
    #[must_use]
    pub fn loss(&self) -> PrivacyLoss {
        self.loss
    }
    /// Whether the room's TEE is simulated.
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.simulated
    }
    /// The signed grants, in order of party name: for the receipt.
    #[must_use]
    pub fn grants(&self) -> &[Signed] {
        &self.grants
    }
}

/// A way around the checks, for tests and benchmarks of what computes with the keys.
#[cfg(feature = "test-util")]
impl OpenedGrants {
    /// Keys, noise and loss out of nowhere.
    #[must_use]
    pub fn for_tests(
        request: RequestDigest,
        parts: BTreeMap<DatasetName, BTreeMap<FileId, PartKeys>>,
        noise_key: NoiseKey,
        loss: PrivacyLoss,
    ) -> Self {
        Self {
            request,
            parts,
            noise_key,
            loss,
            simulated: true,
            grants: Vec::new(),
        }
    }
}

/// Opens one grant of each owner read: its signature, its terms, its log entry and proof, its
/// seed against the commitment, its keys against the manifests. All or nothing; the secret key
/// is wiped at the end in any case.
///
/// # Errors
/// [`GrantsError`]: the same text whatever went wrong.
pub fn open_grants(
    opening: &Opening<'_>,
    secret: RoomSecretKey,
    now: UnixTime,
) -> Result<OpenedGrants, GrantsError> {
    let request = opening.request;
    if request.expires() <= now {
        return Err(OpenFault::Expired.into());
    }
    check_manifests(opening, now)?;
    let room_key = secret.public().digest();
    let all = AllReserved::check(request, room_key, opening.reservations, now, 0);
    let all = all.map_err(OpenFault::from)?;
    let owners = request.agreement().owners_read(request.query());
    if owners.len() != opening.grants.len() {
        return Err(OpenFault::Incomplete.into());
    }
    let mut seeds = Vec::new();
    let mut parts = BTreeMap::new();
    for (owner, signed) in owners.iter().zip(opening.grants) {
        let refused = |fault| OpenFault::Grant {
            owner: owner.clone(),
            fault,
        };
        let key = request.agreement().service_key(owner);
        let key = key.ok_or(OpenFault::Incomplete)?;
        let one = OneGrant {
            opening,
            all: &all,
            owner,
            key,
        };
        let (seed, keys) = one.open(signed, &secret, now).map_err(refused)?;
        seeds.push(seed);
        parts.extend(keys);
    }
    let seeds: Vec<&[u8; 32]> = seeds.iter().map(NoiseSeed::expose).collect();
    Ok(OpenedGrants {
        request: request.digest(),
        parts,
        noise_key: NoiseKey::combine(&seeds, &request.digest()),
        loss: request.agreement().cost(request.query()),
        simulated: opening.simulated,
        grants: opening.grants.to_vec(),
    })
}

/// Every manifest that the request names is at hand, signed by its owner, fits, and
/// has pseudonyms that count at `now`.
fn check_manifests(opening: &Opening<'_>, now: UnixTime) -> Result<(), OpenFault> {
    let agreement = opening.request.agreement();
    for (dataset, digest) in opening.request.request().manifests() {
        let good = || {
            let spec = agreement.dataset(dataset)?;
            let key = agreement.service_key(&spec.owner)?;
            let signed = opening.manifests.get(dataset)?.signed();
            let manifest = open_manifest(signed, key).ok()?;
            let matching = &agreement.matching;
            manifest
                .fits(spec, &agreement.id, matching.epoch, matching.partitions)
                .and_then(|()| manifest.ends_with_key(matching.key_days(), now))
                .ok()?;
            (manifest.digest() == *digest).then_some(())
        };
        let dataset = dataset.clone();
        good().ok_or(OpenFault::Manifest { dataset })?;
    }
    let read = opening.request.request().manifests().iter();
    let read = read.filter_map(|(dataset, _)| opening.manifests.get(dataset));
    same_runs(
        &agreement.datasets,
        read.clone().map(|manifest| &**manifest),
    )?;
    let mut read = read;
    Ok(read.try_for_each(|manifest| manifest.counts_at(now))?)
}

type Parts = BTreeMap<DatasetName, BTreeMap<FileId, PartKeys>>;

struct OneGrant<'a> {
    opening: &'a Opening<'a>,
    all: &'a AllReserved,
    owner: &'a PartyName,
    key: &'a PublicKey,
}

impl OneGrant<'_> {
    fn open(
        &self,
        signed: &Signed,
        secret: &RoomSecretKey,
        now: UnixTime,
    ) -> Result<(NoiseSeed, Parts), GrantFault> {
        let request = self.opening.request;
        let grant = SignedGrant::open(signed, self.key)?;
        let commitment = self.all.commitment(self.owner);
        let commitment = commitment.ok_or(GrantFault::Other("commitment"))?;
        let expected = Expected {
            reservations: self.all.digest(),
            commitments: self.all.commitments_digest(),
            room_key: self.all.room_key(),
            seed_commitment: commitment,
            simulated: self.opening.simulated,
        };
        grant.check(request, self.owner, self.key, &expected)?;
        let place = &grant.place;
        if place.expires <= now || place.granted_at > now.plus(MAX_AHEAD_S) {
            return Err(GrantFault::Time);
        }
        let plaintext = hpke::open(secret, &place.info(), &place.aad(), &grant.sealed);
        let plaintext = plaintext.map_err(|_| GrantFault::Sealed)?;
        let secrets = Secrets::decode(&plaintext).ok_or(GrantFault::Sealed)?;
        let seed = secrets.seed().ok_or(GrantFault::Seed)?;
        if seed_commitment(self.owner, &request.digest(), &seed) != commitment {
            return Err(GrantFault::Seed);
        }
        let keys = secrets.keys().ok_or(GrantFault::Sealed)?;
        Ok((seed, self.parts(keys)?))
    }

    /// Exactly the parts and columns that the manifests wrap for the purpose.
    fn parts(&self, mut keys: Vec<GrantedKey>) -> Result<Parts, GrantFault> {
        let request = self.opening.request;
        let mut parts = BTreeMap::new();
        for read in request.reads_of(self.owner) {
            let dataset = read.dataset;
            if read.public {
                continue;
            }
            let mismatch = GrantFault::Keys {
                dataset: dataset.clone(),
            };
            let manifest = self.opening.manifests.get(&dataset);
            let manifest = manifest.ok_or_else(|| mismatch.clone())?;
            let ids: BTreeSet<FileId> = manifest.parts().iter().map(|part| part.file_id).collect();
            let (own, rest) = keys.into_iter().partition(|key| ids.contains(&key.file_id));
            let own: Vec<GrantedKey> = own;
            keys = rest;
            let purpose = request.request().purpose();
            let checked = granted_parts(manifest, purpose, &read.columns, own);
            parts.insert(dataset, checked.map_err(|_| mismatch)?);
        }
        if keys.is_empty() {
            Ok(parts)
        } else {
            Err(GrantFault::ExtraKeys)
        }
    }
}
