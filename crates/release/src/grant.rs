//! A grant: what it is bound to, what it holds, and how it is checked.
//!
//! The same checks serve the room, which opens the grant, and whoever verifies a receipt,
//! which nobody can open.

use incamera_keys::hpke::Sealed;
use incamera_keys::{DataKey, NoiseSeed, PublicKey, note, open_signed};
use incamera_ledger::{GRANT, origin};
use incamera_seal::GrantedKey;
use incamera_tlog::{Checkpoint, Hash, leaf_hash, verify_inclusion};
use incamera_types::limits::MAX_GRANT_BYTES;
use incamera_types::{
    AgreementDigest, CommitmentsDigest, DatasetName, Digest, FileId, GrantDigest, PartyName,
    PrivacyLoss, PurposeName, RequestDigest, ReservationsDigest, RoomKeyDigest, SeedCommitment,
    Transcript, UnixTime,
};
use incamera_wire::v1::{Grant, GrantSecrets, GrantedKey as WireKey, LogEntry, LogProof, Signed};
use incamera_wire::{Format, decode, encode};
use zeroize::{Zeroize as _, Zeroizing};

use crate::VerifiedRequest;
use crate::reservations::read_loss;

/// How long a grant opens anything.
pub const GRANT_S: u64 = 120;
const MAX_ENTRY_BYTES: usize = 1 << 16;

/// What is wrong with one owner's grant. For the room's log and for who verifies receipts;
/// holds no data and no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantFault {
    /// Not signed by the owner's service key, or malformed.
    #[error("the grant is not signed by the owner's service key, or malformed")]
    Signature,
    /// A field differs from what it must be.
    #[error("the grant is for another {0}")]
    Other(&'static str),
    /// Too old, or from the future.
    #[error("the grant is not good at this time")]
    Time,
    /// Sealed to another key, or for other terms.
    #[error("the grant does not open with the room's key")]
    Sealed,
    /// The seed is not the one committed to.
    #[error("the noise seed does not open its commitment")]
    Seed,
    /// A key is missing, extra or not the one committed to.
    #[error("the keys of data set `{dataset}` are not exactly those of its manifest")]
    Keys {
        /// The data set.
        dataset: DatasetName,
    },
    /// Keys of no data set that is read.
    #[error("the grant holds keys of no data set that the query reads")]
    ExtraKeys,
    /// The log entry says something else than the grant.
    #[error("the log entry has another {0}")]
    LogEntry(&'static str),
    /// The checkpoint is not the owner's.
    #[error("the log's checkpoint is not signed by the owner's service key, or of another log")]
    Checkpoint,
    /// The entry is not covered by the checkpoint.
    #[error("the log's checkpoint does not cover the entry")]
    NotLogged,
}

/// What a grant is bound to, besides keys and seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) owner: PartyName,
    pub(crate) agreement: AgreementDigest,
    pub(crate) request: RequestDigest,
    pub(crate) purpose: PurposeName,
    pub(crate) reservations: ReservationsDigest,
    pub(crate) commitments: CommitmentsDigest,
    pub(crate) room_key: RoomKeyDigest,
    pub(crate) seed_commitment: SeedCommitment,
    pub(crate) granted_at: UnixTime,
    pub(crate) expires: UnixTime,
}

impl Place {
    /// HPKE `info`: the digest of purpose, request digest, agreement digest, reservations
    /// digest, broker and expiry.
    pub(crate) fn info(&self) -> [u8; 32] {
        let digest: GrantDigest = Transcript::new("incamera-grant-info/1")
            .field(self.purpose.as_str())
            .field(self.request)
            .field(self.agreement)
            .field(self.reservations)
            .field(self.owner.as_str())
            .number(self.expires.0)
            .finish();
        *digest.as_bytes()
    }

    /// HPKE associated data: the digest of the other fields that the secrets belong to.
    pub(crate) fn aad(&self) -> [u8; 32] {
        let digest: GrantDigest = Transcript::new("incamera-grant-aad/1")
            .field(self.commitments)
            .field(self.room_key)
            .field(self.seed_commitment)
            .number(self.granted_at.0)
            .finish();
        *digest.as_bytes()
    }
}

/// A grant whose signature holds. Its terms are read, not yet compared with anything.
pub(crate) struct SignedGrant {
    pub(crate) place: Place,
    pub(crate) charge: PrivacyLoss,
    pub(crate) spent: Option<PrivacyLoss>,
    pub(crate) sealed: Sealed,
    pub(crate) log: LogProof,
}

/// What a grant must agree with.
pub(crate) struct Expected {
    pub(crate) reservations: ReservationsDigest,
    pub(crate) commitments: CommitmentsDigest,
    pub(crate) room_key: RoomKeyDigest,
    pub(crate) seed_commitment: SeedCommitment,
    pub(crate) simulated: bool,
}

impl SignedGrant {
    /// Checks the signature of `owner`'s service key and reads the terms.
    pub(crate) fn open(signed: &Signed, key: &PublicKey) -> Result<Self, GrantFault> {
        let opened = open_signed(signed, Format::Grant, key, MAX_GRANT_BYTES);
        let grant: Grant = opened.map_err(|_| GrantFault::Signature)?;
        Self::read(grant).ok_or(GrantFault::Signature)
    }

    fn read(grant: Grant) -> Option<Self> {
        Some(Self {
            place: Place {
                owner: grant.owner.parse().ok()?,
                agreement: digest(&grant.agreement_digest)?,
                request: digest(&grant.request_digest)?,
                purpose: grant.purpose.parse().ok()?,
                reservations: digest(&grant.reservations_digest)?,
                commitments: digest(&grant.commitments_digest)?,
                room_key: digest(&grant.room_key_digest)?,
                seed_commitment: digest(&grant.seed_commitment)?,
                granted_at: UnixTime(grant.granted_at),
                expires: UnixTime(grant.expires),
            },
            charge: read_loss(grant.charge.as_ref())?,
            spent: grant
                .spent
                .as_ref()
                .and_then(|spent| read_loss(Some(spent))),
            sealed: Sealed {
                encapped_key: grant.encapped_key,
                ciphertext: grant.ciphertext,
            },
            log: grant.log?,
        })
    }

    /// Checks that the grant is `owner`'s for just this request, and that it is logged.
    pub(crate) fn check(
        &self,
        request: &VerifiedRequest,
        owner: &PartyName,
        key: &PublicKey,
        expected: &Expected,
    ) -> Result<(), GrantFault> {
        let place = &self.place;
        let agreement = request.agreement();
        let cost = agreement.cost(request.query());
        let free = PrivacyLoss::default();
        let rules = [
            (&place.owner == owner, "owner"),
            (place.agreement == agreement.digest, "agreement"),
            (place.request == request.digest(), "request"),
            (&place.purpose == request.request().purpose(), "purpose"),
            (
                place.reservations == expected.reservations,
                "set of reservations",
            ),
            (
                place.commitments == expected.commitments,
                "set of commitments",
            ),
            (place.room_key == expected.room_key, "room key"),
            (
                place.seed_commitment == expected.seed_commitment,
                "commitment",
            ),
            (self.charge == cost || self.charge == free, "charge"),
        ];
        if let Some((_, what)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(GrantFault::Other(what));
        }
        self.check_entry(request, expected.simulated)?;
        self.check_logged(request, owner, key)
    }

    fn check_entry(&self, request: &VerifiedRequest, simulated: bool) -> Result<(), GrantFault> {
        let place = &self.place;
        let entry: LogEntry =
            decode(&self.log.entry, MAX_ENTRY_BYTES).map_err(|_| GrantFault::LogEntry("form"))?;
        let asked = request.request();
        let id = request.agreement().id;
        let rules = [
            (entry.format == Format::LogEntry.as_str(), "format"),
            (entry.event == GRANT, "event"),
            (entry.agreement_id == id.as_bytes(), "agreement id"),
            (
                entry.agreement_digest == place.agreement.as_bytes(),
                "agreement",
            ),
            (entry.request_digest == place.request.as_bytes(), "request"),
            (
                entry.reservations_digest == place.reservations.as_bytes(),
                "set of reservations",
            ),
            (
                entry.commitments_digest == place.commitments.as_bytes(),
                "set of commitments",
            ),
            (
                entry.room_key_digest == place.room_key.as_bytes(),
                "room key",
            ),
            (entry.analyst == request.analyst().to_string(), "analyst"),
            (entry.token == named(request.token()), "token"),
            (entry.query == asked.query().as_str(), "query"),
            (entry.proposal == named(asked.proposal()), "proposal"),
            (entry.purpose == asked.purpose().as_str(), "purpose"),
            (entry.reason == request.reason(), "reason"),
            (
                read_loss(entry.charge.as_ref()) == Some(self.charge),
                "charge",
            ),
            (entry.at == place.granted_at.0, "time"),
            (entry.simulated == simulated, "word on simulation"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(GrantFault::LogEntry(what)),
            None => Ok(()),
        }
    }

    fn check_logged(
        &self,
        request: &VerifiedRequest,
        owner: &PartyName,
        key: &PublicKey,
    ) -> Result<(), GrantFault> {
        let origin = origin(owner, &request.agreement().id);
        let text = note::verify(&self.log.checkpoint, &origin, key);
        let text = text.map_err(|_| GrantFault::Checkpoint)?;
        let checkpoint = Checkpoint::parse(&text).map_err(|_| GrantFault::Checkpoint)?;
        if checkpoint.origin() != origin {
            return Err(GrantFault::Checkpoint);
        }
        let path = self.log.inclusion.iter().map(|hash| Hash::from_slice(hash));
        let path: Vec<Hash> = path
            .collect::<Result<_, _>>()
            .map_err(|_| GrantFault::NotLogged)?;
        let leaf = leaf_hash(&self.log.entry);
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(&leaf, self.log.index, size, root, &path)
            .map_err(|_| GrantFault::NotLogged)
    }
}

/// A digest as a message has it where there is one.
fn named<D: Digest>(digest: Option<D>) -> Vec<u8> {
    digest
        .map(|digest| digest.as_bytes().to_vec())
        .unwrap_or_default()
}

fn digest<D: Digest>(bytes: &[u8]) -> Option<D> {
    D::from_slice(bytes).ok()
}

/// The digest of a signed grant.
pub(crate) fn grant_digest(signed: &Signed) -> GrantDigest {
    Transcript::new(Format::Grant.as_str())
        .field(&signed.body)
        .finish()
}

/// The plaintext of a grant: wiped when dropped.
pub(crate) struct Secrets(GrantSecrets);

impl Drop for Secrets {
    fn drop(&mut self) {
        self.0.seed.zeroize();
        for key in &mut self.0.keys {
            key.key.zeroize();
        }
    }
}

impl Secrets {
    pub(crate) fn encode(seed: &NoiseSeed, keys: &[GrantedKey]) -> Zeroizing<Vec<u8>> {
        let keys = keys.iter().map(|granted| WireKey {
            file_id: granted.file_id.as_bytes().to_vec(),
            column: granted
                .column
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            key: granted.key.expose().to_vec(),
        });
        let secrets = Self(GrantSecrets {
            seed: seed.expose().to_vec(),
            keys: keys.collect(),
        });
        Zeroizing::new(encode(&secrets.0))
    }

    pub(crate) fn decode(plaintext: &[u8]) -> Option<Self> {
        decode(plaintext, MAX_GRANT_BYTES).ok().map(Self)
    }

    pub(crate) fn seed(&self) -> Option<NoiseSeed> {
        NoiseSeed::from_slice(&self.0.seed)
    }

    pub(crate) fn keys(&self) -> Option<Vec<GrantedKey>> {
        self.0.keys.iter().map(read_key).collect()
    }
}

fn read_key(key: &WireKey) -> Option<GrantedKey> {
    let column = (!key.column.is_empty()).then_some(&key.column);
    Some(GrantedKey {
        file_id: FileId::from_slice(&key.file_id)?,
        column: column.map(|name| name.parse()).transpose().ok()?,
        key: DataKey::from_slice(&key.key)?,
    })
}
