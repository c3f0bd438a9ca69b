//! What evidence is bound to.

use incamera_types::{AgreementDigest, Digest as _, RequestDigest, Transcript};
use incamera_wire::FormatError;
use incamera_wire::v1::{BoundEvidence, Evidence, RoomKeys};

const FOR_REQUEST: &str = "incamera-binding-request/1";
const FOR_PUSH: &str = "incamera-binding-push/1";

/// The list whose digest a TEE signs: fresh challenge, the room's keys, the agreement and,
/// for a release, the request.
///
/// Whoever verifies builds it from the challenge, agreement and request that it knows
/// itself; only the keys come from the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    challenge: [u8; 32],
    hpke_key: Vec<u8>,
    tls_key: Vec<u8>,
    receipt_key: Vec<u8>,
    agreement: AgreementDigest,
    request: Option<RequestDigest>,
}

impl Binding {
    /// The binding of evidence made for one request.
    #[must_use]
    pub fn for_request(
        challenge: [u8; 32],
        keys: RoomKeys,
        agreement: AgreementDigest,
        request: RequestDigest,
    ) -> Self {
        Self {
            challenge,
            hpke_key: keys.hpke_key,
            tls_key: keys.tls_key,
            receipt_key: keys.receipt_key,
            agreement,
            request: Some(request),
        }
    }

    /// The binding of evidence without a request: for `data push` and for connecting. It has
    /// another label, takes no HPKE key, and no broker grants on it.
    #[must_use]
    pub fn for_push(challenge: [u8; 32], keys: RoomKeys, agreement: AgreementDigest) -> Self {
        Self {
            challenge,
            hpke_key: Vec::new(),
            tls_key: keys.tls_key,
            receipt_key: keys.receipt_key,
            agreement,
            request: None,
        }
    }

    /// The binding that a room claims. The caller compares every part that it knows itself.
    ///
    /// # Errors
    /// [`FormatError::Field`] for a missing part or a wrong length.
    pub fn claimed(bound: &BoundEvidence) -> Result<Self, FormatError> {
        let field = |field| FormatError::Field { field };
        let keys = bound.keys.clone().ok_or(field("keys"))?;
        let challenge = bound.challenge.as_slice();
        let challenge = challenge.try_into().map_err(|_| field("challenge"))?;
        let agreement = AgreementDigest::from_slice(&bound.agreement_digest)
            .map_err(|_| field("agreement_digest"))?;
        if bound.request_digest.is_empty() {
            return Ok(Self::for_push(challenge, keys, agreement));
        }
        let request = RequestDigest::from_slice(&bound.request_digest)
            .map_err(|_| field("request_digest"))?;
        Ok(Self::for_request(challenge, keys, agreement, request))
    }

    /// Evidence together with this binding, to send or to keep.
    #[must_use]
    pub fn with(&self, evidence: Evidence) -> BoundEvidence {
        let request = self.request.map(|digest| digest.as_bytes().to_vec());
        BoundEvidence {
            evidence: Some(evidence),
            keys: Some(self.keys()),
            challenge: self.challenge.to_vec(),
            agreement_digest: self.agreement.as_bytes().to_vec(),
            request_digest: request.unwrap_or_default(),
        }
    }

    /// The room's keys.
    #[must_use]
    pub fn keys(&self) -> RoomKeys {
        RoomKeys {
            hpke_key: self.hpke_key.clone(),
            tls_key: self.tls_key.clone(),
            receipt_key: self.receipt_key.clone(),
        }
    }

    /// The verifier's fresh challenge.
    #[must_use]
    pub fn challenge(&self) -> &[u8; 32] {
        &self.challenge
    }

    /// The room's public key of one request; empty without a request.
    #[must_use]
    pub fn hpke_key(&self) -> &[u8] {
        &self.hpke_key
    }

    /// The room's TLS key, as SubjectPublicKeyInfo.
    #[must_use]
    pub fn tls_key(&self) -> &[u8] {
        &self.tls_key
    }

    /// The key that signs the room's receipts.
    #[must_use]
    pub fn receipt_key(&self) -> &[u8] {
        &self.receipt_key
    }

    /// The agreement version that the room runs under.
    #[must_use]
    pub fn agreement(&self) -> AgreementDigest {
        self.agreement
    }

    /// The request that the evidence was made for.
    #[must_use]
    pub fn request(&self) -> Option<RequestDigest> {
        self.request
    }

    /// The digest that the TEE signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let label = if self.request.is_some() {
            FOR_REQUEST
        } else {
            FOR_PUSH
        };
        let mut list = Transcript::new(label)
            .field(self.challenge)
            .field(&self.hpke_key)
            .field(&self.tls_key)
            .field(&self.receipt_key)
            .field(self.agreement);
        if let Some(request) = self.request {
            list = list.field(request);
        }
        *list.finish::<RequestDigest>().as_bytes()
    }

    /// The digest as 64 bytes of report data: the digest, then zeros.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        let mut data = [0; 64];
        for (to, from) in data.iter_mut().zip(self.digest()) {
            *to = from;
        }
        data
    }
}
