//! The receipt of a release: made by the room, checked by anyone.

use std::collections::BTreeMap;

use incamera_agreement::{Expired, Query, SignedAgreement};
use incamera_attest::{AttestError, Binding, TeeKind};
use incamera_keys::hpke::RoomPublicKey;
use incamera_keys::{KeyError, PublicKey, SigningKey, open_signed, peek_signed, sign_message};
use incamera_seal::SignedManifest;
use incamera_types::{
    AgreementDigest, AgreementId, AnalystRef, DatasetName, Digest, EvidenceDigest, GrantDigest,
    ManifestDigest, Measurement, PartyName, PrivacyLoss, RequestDigest, ReservationsDigest,
    SeedCommitment, TokenDigest, Transcript, UnixTime,
};
use incamera_wire::v1::{
    Answer, BoundEvidence, DataVersion, Receipt, ReleaseFile, RoomKeys, Signed,
};
use incamera_wire::{Format, FormatError, decode, encode};
use rand_core::CryptoRng;

use crate::grant::{Expected, GrantFault, SignedGrant, grant_digest};
use crate::reservations::commitments_digest;
use crate::{OpenedGrants, Request, RequestRefusal, VerifiedRequest, verify_request};

const MAX_RECEIPT_BYTES: usize = 512 << 20;
const MAX_ANSWER_BYTES: usize = 64 << 20;
const SALT_BYTES: usize = 32;

/// Why no receipt could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The grants are of another request.
    #[error("the grants are of another request")]
    OtherRequest,
    /// A manifest that the request names is not at hand.
    #[error("a manifest that the request names is not at hand")]
    Manifest,
    /// The key could not sign.
    #[error("the receipt could not be signed")]
    Sign(#[from] KeyError),
}

/// What a receipt records, besides the answer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The request.
    pub request: &'a VerifiedRequest,
    /// The grants that it was answered with.
    pub grants: &'a OpenedGrants,
    /// The manifests that it names.
    pub manifests: &'a BTreeMap<DatasetName, SignedManifest>,
    /// The evidence given to each owner, in order of party name.
    pub evidence: &'a [BoundEvidence],
}

/// Makes the file that receivers get: answer, salt, and the receipt signed by the receipt key
/// that the evidence binds.
///
/// # Errors
/// [`IssueError`].
pub fn issue(
    record: &Record<'_>,
    answer: &Answer,
    receipt_key: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<ReleaseFile, IssueError> {
    let request = record.request;
    if record.grants.request() != request.digest() {
        return Err(IssueError::OtherRequest);
    }
    let answer = encode(answer);
    let mut salt = vec![0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let agreement = request.agreement();
    let receipt = Receipt {
        agreement_id: agreement.id.as_bytes().to_vec(),
        agreement_digest: agreement.digest.as_bytes().to_vec(),
        request_digest: request.digest().as_bytes().to_vec(),
        request: Some(request.signed().clone()),
        data: data_versions(record)?,
        evidence: record.evidence.to_vec(),
        grants: record.grants.grants().to_vec(),
        result_commitment: result_commitment(&salt, &answer).as_bytes().to_vec(),
        simulated: record.grants.simulated(),
    };
    Ok(ReleaseFile {
        format: Format::Release.as_str().to_owned(),
        answer,
        salt,
        receipt: Some(sign_message(receipt_key, Format::Receipt, &receipt)?),
    })
}

fn data_versions(record: &Record<'_>) -> Result<Vec<DataVersion>, IssueError> {
    let named = record.request.request().manifests().iter();
    named
        .map(|(dataset, digest)| {
            let manifest = record.manifests.get(dataset);
            let manifest = manifest.filter(|manifest| manifest.digest() == *digest);
            let manifest = manifest.ok_or(IssueError::Manifest)?;
            Ok(DataVersion {
                dataset: dataset.to_string(),
                version: manifest.version(),
                manifest: digest.as_bytes().to_vec(),
            })
        })
        .collect()
}

/// A salted commitment to the answer: who has just the receipt learns nothing of it.
fn result_commitment(salt: &[u8], answer: &[u8]) -> RequestDigest {
    Transcript::new("incamera-result/1")
        .field(salt)
        .field(answer)
        .finish()
}

/// Why a receipt does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a release file, or malformed.
    #[error("this is no release file that can be read")]
    Format(#[from] FormatError),
    /// The receipt is not signed by the key that its evidence binds.
    #[error("the receipt is not signed by the receipt key that its evidence binds")]
    Signature,
    /// Of another agreement.
    #[error("the receipt is of another agreement version: give the file with digest {found}")]
    OtherAgreement {
        /// The digest that the receipt names.
        found: AgreementDigest,
    },
    /// The agreement was over when keys were granted.
    #[error("keys were granted when the agreement was over")]
    Expired(#[from] Expired),
    /// The analyst's request does not hold.
    #[error("the request in the receipt does not hold")]
    Request(#[from] RequestRefusal),
    /// A part of the receipt contradicts another.
    #[error("the receipt's {what} does not fit the rest of it")]
    Inconsistent {
        /// The part.
        what: &'static str,
    },
    /// The evidence shown to an owner was not verified.
    #[error("the evidence shown to `{owner}` is not verified")]
    Evidence {
        /// The owner.
        owner: PartyName,
        /// Why.
        #[source]
        source: AttestError,
    },
    /// An owner's grant does not hold.
    #[error("the grant of `{owner}` does not hold")]
    Grant {
        /// The owner.
        owner: PartyName,
        /// Why.
        #[source]
        source: GrantFault,
    },
    /// The answer is not the one that the receipt commits to.
    #[error("the answer is not the one that the receipt commits to")]
    Answer,
}

fn inconsistent(what: &'static str) -> ReceiptError {
    ReceiptError::Inconsistent { what }
}

/// What a verified receipt says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceiptReport {
    /// The agreement id.
    pub agreement_id: AgreementId,
    /// The agreement version.
    pub agreement: AgreementDigest,
    /// The request digest.
    pub request_digest: RequestDigest,
    /// What was asked.
    pub request: Request,
    /// The query, the agreement's or a proposal's.
    pub query: Query,
    /// Who asked.
    pub analyst: AnalystRef,
    /// The token whose key signed the request, if the analyst's own did not.
    pub token: Option<TokenDigest>,
    /// The reason given.
    pub reason: String,
    /// The data sets read: the version as the room states it, and the manifest's digest, which
    /// the request names.
    pub data: Vec<(DatasetName, u64, ManifestDigest)>,
    /// What each owner read granted, in order of party name.
    pub grants: Vec<GrantReport>,
    /// The code that ran.
    pub measurement: Measurement,
    /// Whether a simulated TEE took part: then the evidence proves nothing (I10).
    pub simulated: bool,
    /// The answer.
    pub answer: Answer,
}

/// What a receipt says of one owner's grant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrantReport {
    /// The owner.
    pub owner: PartyName,
    /// The digest of its signed grant.
    pub grant: GrantDigest,
    /// The digest of the evidence shown to it.
    pub evidence: EvidenceDigest,
    /// The kind of TEE.
    pub kind: TeeKind,
    /// What was taken from its budget: nothing for a repeat.
    pub charge: PrivacyLoss,
    /// What the owner says it had spent under the agreement id then, this charge included.
    pub spent: Option<PrivacyLoss>,
    /// When.
    pub granted_at: UnixTime,
    /// The number of the entry in its log.
    pub log_index: u64,
}

/// Verifies a release file offline: the receipt's signature, agreement, request and analyst,
/// evidence and agreement at the times that the grants state, grants, charges, log entries with
/// their proofs and checkpoints, and the commitment to the answer.
///
/// # Errors
/// [`ReceiptError`].
pub fn verify_release(
    file: &ReleaseFile,
    agreement: &SignedAgreement,
) -> Result<ReceiptReport, ReceiptError> {
    Format::Release.expect(&file.format)?;
    let signed = file.receipt.as_ref();
    let signed = signed.ok_or(FormatError::Field { field: "receipt" })?;
    let (receipt, keys) = open_receipt(signed)?;
    check_agreement(&receipt, agreement)?;
    let checker = Checker::new(&receipt, keys, agreement)?;
    let (request, grants, measurement) = checker.check()?;
    let simulated = grants.iter().any(|grant| grant.kind == TeeKind::Simulated);
    if receipt.simulated != simulated {
        return Err(inconsistent("word on simulation"));
    }
    let answer = open_answer(file, &receipt)?;
    if answer.simulated != simulated || answer.query != request.request().query().as_str() {
        return Err(inconsistent("answer"));
    }
    Ok(ReceiptReport {
        agreement_id: agreement.id,
        agreement: agreement.digest,
        request_digest: request.digest(),
        analyst: request.analyst().clone(),
        token: request.token(),
        reason: request.reason().to_owned(),
        data: check_data(&receipt, &request)?,
        request: request.request().clone(),
        query: request.query().clone(),
        grants,
        measurement,
        simulated,
        answer,
    })
}

/// The receipt, once the key that all its evidence names signed it.
fn open_receipt(signed: &Signed) -> Result<(Receipt, RoomKeys), ReceiptError> {
    let malformed = |_| ReceiptError::Signature;
    let claimed = peek_signed::<Receipt>(signed, Format::Receipt, MAX_RECEIPT_BYTES);
    let claimed = claimed.map_err(malformed)?;
    let evidence = &claimed.unverified().evidence;
    let keys = evidence.first().and_then(|first| first.keys.clone());
    let keys = keys.ok_or(ReceiptError::Signature)?;
    if evidence
        .iter()
        .any(|bound| bound.keys.as_ref() != Some(&keys))
    {
        return Err(inconsistent("evidence"));
    }
    let key = PublicKey::from_bytes(&keys.receipt_key).map_err(|_| ReceiptError::Signature)?;
    let receipt = open_signed(signed, Format::Receipt, &key, MAX_RECEIPT_BYTES);
    Ok((receipt.map_err(malformed)?, keys))
}

fn check_agreement(receipt: &Receipt, agreement: &SignedAgreement) -> Result<(), ReceiptError> {
    let found = AgreementDigest::from_slice(&receipt.agreement_digest)
        .map_err(|_| inconsistent("agreement digest"))?;
    if found != agreement.digest {
        return Err(ReceiptError::OtherAgreement { found });
    }
    if receipt.agreement_id != agreement.id.as_bytes() {
        return Err(inconsistent("agreement id"));
    }
    Ok(())
}

fn open_answer(file: &ReleaseFile, receipt: &Receipt) -> Result<Answer, ReceiptError> {
    let commitment = result_commitment(&file.salt, &file.answer);
    if file.salt.len() != SALT_BYTES || receipt.result_commitment != commitment.as_bytes() {
        return Err(ReceiptError::Answer);
    }
    Ok(decode(&file.answer, MAX_ANSWER_BYTES)?)
}

fn check_data(
    receipt: &Receipt,
    request: &VerifiedRequest,
) -> Result<Vec<(DatasetName, u64, ManifestDigest)>, ReceiptError> {
    let named = request.request().manifests();
    let mut data = Vec::new();
    for ((dataset, digest), version) in named.iter().zip(&receipt.data) {
        if version.dataset != dataset.as_str() || version.manifest != digest.as_bytes() {
            return Err(inconsistent("list of data versions"));
        }
        data.push((dataset.clone(), version.version, *digest));
    }
    if data.len() != named.len() || data.len() != receipt.data.len() {
        return Err(inconsistent("list of data versions"));
    }
    Ok(data)
}

/// The grants of a receipt with what they must agree on.
struct Checker<'a> {
    receipt: &'a Receipt,
    agreement: &'a SignedAgreement,
    keys: RoomKeys,
    room_key: RoomPublicKey,
    grants: Vec<(PartyName, PublicKey, SignedGrant, &'a Signed)>,
}

impl<'a> Checker<'a> {
    fn new(
        receipt: &'a Receipt,
        keys: RoomKeys,
        agreement: &'a SignedAgreement,
    ) -> Result<Self, ReceiptError> {
        let room_key = RoomPublicKey::from_bytes(&keys.hpke_key);
        let room_key = room_key.map_err(|_| inconsistent("room key"))?;
        let mut grants = Vec::new();
        for signed in &receipt.grants {
            let claimed =
                peek_signed::<incamera_wire::v1::Grant>(signed, Format::Grant, MAX_RECEIPT_BYTES)
                    .map_err(|_| inconsistent("list of grants"))?;
            let owner: PartyName = claimed
                .unverified()
                .owner
                .parse()
                .map_err(|_| inconsistent("list of grants"))?;
            let key = agreement.service_key(&owner);
            let key = *key.ok_or_else(|| inconsistent("list of grants"))?;
            let grant = SignedGrant::open(signed, &key).map_err(|source| ReceiptError::Grant {
                owner: owner.clone(),
                source,
            })?;
            grants.push((owner, key, grant, signed));
        }
        Ok(Self {
            receipt,
            agreement,
            keys,
            room_key,
            grants,
        })
    }

    fn check(&self) -> Result<(VerifiedRequest, Vec<GrantReport>, Measurement), ReceiptError> {
        let commitments: BTreeMap<PartyName, SeedCommitment> = self
            .grants
            .iter()
            .map(|(owner, _, grant, _)| (owner.clone(), grant.place.seed_commitment))
            .collect();
        let (_, _, first, _) = self
            .grants
            .first()
            .ok_or_else(|| inconsistent("list of grants"))?;
        let request = self.request_at(first.place.granted_at)?;
        self.check_owners(&request)?;
        let mut reports = Vec::new();
        for at in 0..self.grants.len() {
            reports.push(self.check_one(at, &commitments, first.place.reservations)?);
        }
        let measurement = request.request().measurement();
        Ok((request, reports, measurement))
    }

    /// One grant of each owner read, in order of party name, and as much evidence.
    fn check_owners(&self, request: &VerifiedRequest) -> Result<(), ReceiptError> {
        let owners = self.agreement.owners_read(request.query());
        if !owners
            .iter()
            .eq(self.grants.iter().map(|(owner, ..)| owner))
        {
            return Err(inconsistent("list of grants"));
        }
        if self.receipt.evidence.len() != owners.len() {
            return Err(inconsistent("list of evidence"));
        }
        Ok(())
    }

    /// The request as it stood at a moment that a grant states.
    fn request_at(&self, now: UnixTime) -> Result<VerifiedRequest, ReceiptError> {
        let active = self.agreement.at(now)?;
        let signed = self.receipt.request.as_ref();
        let signed = signed.ok_or_else(|| inconsistent("request"))?;
        let request = verify_request(signed, &active, now)?;
        if self.receipt.request_digest != request.digest().as_bytes() {
            return Err(inconsistent("request digest"));
        }
        Ok(request)
    }

    fn check_one(
        &self,
        at: usize,
        commitments: &BTreeMap<PartyName, SeedCommitment>,
        reservations: ReservationsDigest,
    ) -> Result<GrantReport, ReceiptError> {
        let (owner, key, grant, signed) = self
            .grants
            .get(at)
            .ok_or_else(|| inconsistent("list of grants"))?;
        let bound = self.receipt.evidence.get(at);
        let bound = bound.ok_or_else(|| inconsistent("list of evidence"))?;
        let now = grant.place.granted_at;
        let request = self.request_at(now)?;
        let workload = self.workload(owner, bound, &request, now)?;
        let expected = Expected {
            reservations,
            commitments: commitments_digest(commitments),
            room_key: self.room_key.digest(),
            seed_commitment: grant.place.seed_commitment,
            simulated: workload.simulated(),
        };
        let checked = grant.check(&request, owner, key, &expected);
        checked.map_err(|source| ReceiptError::Grant {
            owner: owner.clone(),
            source,
        })?;
        Ok(GrantReport {
            owner: owner.clone(),
            grant: grant_digest(signed),
            evidence: workload.digest(),
            kind: workload.kind(),
            charge: grant.charge,
            spent: grant.spent,
            granted_at: now,
            log_index: grant.log.index,
        })
    }

    /// The evidence shown to an owner, verified at the time of its grant. The challenge is
    /// the one that the receipt states: that it was fresh is for the owner to know.
    fn workload(
        &self,
        owner: &PartyName,
        bound: &BoundEvidence,
        request: &VerifiedRequest,
        now: UnixTime,
    ) -> Result<incamera_attest::VerifiedWorkload, ReceiptError> {
        let claimed = Binding::claimed(bound)?;
        let evidence = bound.evidence.as_ref();
        let evidence = evidence.ok_or_else(|| inconsistent("evidence"))?;
        let (digest, challenge) = (request.digest(), *claimed.challenge());
        let binding =
            Binding::for_request(challenge, self.keys.clone(), self.agreement.digest, digest);
        let policy = &self.agreement.room.policy;
        let verified = incamera_attest::verify(evidence, policy, &binding, now);
        let workload = verified.map_err(|source| ReceiptError::Evidence {
            owner: owner.clone(),
            source,
        })?;
        if workload.measurement() != request.request().measurement() {
            return Err(inconsistent("measurement"));
        }
        Ok(workload)
    }
}
