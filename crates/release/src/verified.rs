//! Step 1 of the chain, at the owners and in the room: the analyst's own signature.

use incamera_agreement::{
    ActiveAgreement, Agreement, AnalystKey, ApprovedProposal, ProposalError, Query,
};
use incamera_keys::{PublicKey, ReceivePublicKey, SignedError, open_signed, peek_signed};
use incamera_types::limits::MAX_REQUEST_BYTES;
use incamera_types::{
    AnalystRef, ColumnName, DatasetName, EnvelopeDigest, ManifestDigest, PartyName, RequestDigest,
    TokenDigest, Transcript, UnixTime,
};
use incamera_wire::Format;
use incamera_wire::v1::{RequestEnvelope, Signed};

use crate::request::{MAX_LIFETIME_S, NONCE_BYTES, Request, RequestError, check_reason};
use crate::token::{Claims, TokenError};
use crate::{proposed, token};

/// Why a signed request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestRefusal {
    /// Another format, malformed, or the analyst's signature does not hold.
    #[error("the request is not taken as it is")]
    Signed(#[from] SignedError),
    /// What is asked is not allowed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What has the query is no proposal that runs.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The agreement does not know the analyst.
    #[error("the agreement knows no such analyst: a party names its analysts and their keys there")]
    UnknownAnalyst,
    /// The analyst has no key in the agreement.
    #[error(
        "the analyst is vouched for by a party, which this version cannot check: name the analyst and the key in the agreement"
    )]
    Vouched,
    /// The analyst may not ask this query.
    #[error("the agreement does not let this analyst ask this query")]
    NotAllowed,
    /// The token whose key signed the request does not let it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The request is over.
    #[error("the request expired {late_s} s ago: make it anew, and check both clocks")]
    Expired {
        /// How long ago.
        late_s: u64,
    },
    /// The request is good for too long.
    #[error("the request is good for more than {MAX_LIFETIME_S} s: make it anew")]
    TooLong,
}

/// Proof that an analyst of the agreement signed the request, and that the agreement allows
/// it. Only [`verify_request`] makes one.
///
/// ```compile_fail
/// use incamera_release::VerifiedRequest;
/// fn copy(request: VerifiedRequest) -> VerifiedRequest {
///     VerifiedRequest { ..request } // private fields
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    agreement: ActiveAgreement,
    request: Request,
    digest: RequestDigest,
    query: Query,
    proposed: Option<ApprovedProposal>,
    analyst: AnalystRef,
    reason: String,
    expires: UnixTime,
    token: Option<TokenDigest>,
    reply_key: Option<ReceivePublicKey>,
    signed: Signed,
}

/// Checks a signed request against the agreement that is in force.
///
/// # Errors
/// [`RequestRefusal`]. It depends on the request, the agreement and the time; never on a row.
pub fn verify_request(
    signed: &Signed,
    agreement: &ActiveAgreement,
    now: UnixTime,
) -> Result<VerifiedRequest, RequestRefusal> {
    let (analyst, envelope, claims) = open(signed, agreement, now)?;
    check_reason(&envelope.reason)?;
    if envelope.nonce.len() != NONCE_BYTES {
        return Err(RequestError::Field { field: "nonce" }.into());
    }
    let expires = UnixTime(envelope.expires);
    if expires <= now {
        let late_s = now.since(expires);
        return Err(RequestRefusal::Expired { late_s });
    }
    if expires > now.plus(MAX_LIFETIME_S) {
        return Err(RequestRefusal::TooLong);
    }
    let field = RequestError::Field { field: "request" };
    let proposed = envelope.proposed.as_ref();
    let proposed = proposed.map(|proposed| proposed::open(proposed, agreement, now));
    let proposed = proposed.transpose()?;
    let message = envelope.request.ok_or(field)?;
    let request = Request::from_wire(&message, agreement, proposed.as_ref())?;
    let query = match &proposed {
        Some(proposed) => proposed.query(),
        None => agreement
            .queries
            .get(request.query())
            .ok_or(RequestError::UnknownQuery)?,
    };
    if claims.is_some() && proposed.is_some() {
        return Err(TokenError::Proposed.into());
    }
    if !query.analysts.contains(&analyst) {
        return Err(RequestRefusal::NotAllowed);
    }
    if let Some(claims) = &claims
        && !claims.queries.contains(&query.name)
    {
        let query = query.name.clone();
        return Err(TokenError::Query { query }.into());
    }
    // Whatever the envelope says: what hangs on a token or on a proposal ends with it.
    let token_ends = claims.as_ref().map(|claims| claims.expires);
    let proposal_ends = proposed.as_ref().map(|proposed| proposed.ends());
    let ends = [token_ends, proposal_ends].into_iter().flatten();
    Ok(VerifiedRequest {
        agreement: agreement.clone(),
        digest: request.digest(),
        request,
        query: query.clone(),
        proposed,
        analyst,
        reason: envelope.reason,
        expires: ends.fold(expires, UnixTime::min),
        token: envelope.token.as_ref().map(token::digest),
        reply_key: reply_key(&envelope.reply_key)?,
        signed: signed.clone(),
    })
}

/// What the analyst's answer is sealed to, if the request says so.
fn reply_key(bytes: &[u8]) -> Result<Option<ReceivePublicKey>, RequestError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = ReceivePublicKey::from_bytes(bytes);
    key.map(Some)
        .map_err(|_| RequestError::Field { field: "reply_key" })
}

/// The envelope, once the key that the agreement has for its analyst signed it, or signed the
/// token whose key did.
fn open(
    signed: &Signed,
    agreement: &ActiveAgreement,
    now: UnixTime,
) -> Result<(AnalystRef, RequestEnvelope, Option<Claims>), RequestRefusal> {
    let claimed = peek_signed::<RequestEnvelope>(signed, Format::Request, MAX_REQUEST_BYTES)?;
    let claimed = claimed.unverified();
    let analyst: AnalystRef = claimed
        .analyst
        .parse()
        .map_err(|_| RequestRefusal::UnknownAnalyst)?;
    let key = analyst_key(agreement, &analyst)?;
    let token = claimed.token.as_ref();
    let token = token.map(|token| Claims::verify(token, agreement, key, now));
    let token = token.transpose()?;
    if token.as_ref().is_some_and(|token| token.analyst != analyst) {
        return Err(TokenError::OtherAnalyst.into());
    }
    let key = token.as_ref().map_or(key, |token| &token.key);
    let envelope = open_signed(signed, Format::Request, key, MAX_REQUEST_BYTES)?;
    Ok((analyst, envelope, token))
}

/// The key that the agreement has for an analyst.
pub(crate) fn analyst_key<'a>(
    agreement: &'a Agreement,
    analyst: &AnalystRef,
) -> Result<&'a PublicKey, RequestRefusal> {
    match agreement.analyst_key(analyst) {
        Some(AnalystKey::Key(key)) => Ok(key),
        Some(AnalystKey::Vouched) => Err(RequestRefusal::Vouched),
        None => Err(RequestRefusal::UnknownAnalyst),
    }
}

impl VerifiedRequest {
    /// The agreement under which it was checked.
    #[must_use]
    pub fn agreement(&self) -> &ActiveAgreement {
        &self.agreement
    }
    /// What is asked.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }
    /// The request digest.
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        self.digest
    }
    /// The approved query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }
    /// What has the query, where the agreement has it not.
    #[must_use]
    pub fn proposed(&self) -> Option<&ApprovedProposal> {
        self.proposed.as_ref()
    }
    /// Who asks.
    #[must_use]
    pub fn analyst(&self) -> &AnalystRef {
        &self.analyst
    }
    /// The reason given.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
    /// Until when the request is good.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }
    /// The token whose key signed it, if the analyst's own did not.
    #[must_use]
    pub fn token(&self) -> Option<TokenDigest> {
        self.token
    }
    /// What the analyst's answer is sealed to, if the request says so.
    #[must_use]
    pub fn reply_key(&self) -> Option<&ReceivePublicKey> {
        self.reply_key.as_ref()
    }
    /// The signed message.
    #[must_use]
    pub fn signed(&self) -> &Signed {
        &self.signed
    }

    /// What names this signed request among all: over its body, which holds a nonce.
    #[must_use]
    pub fn envelope(&self) -> EnvelopeDigest {
        Transcript::new("incamera-envelope-digest/1")
            .field(&self.signed.body)
            .finish()
    }

    /// The manifests of all owners whose private data the query reads, in order of name.
    #[must_use]
    pub fn manifests_read(&self) -> Vec<(DatasetName, ManifestDigest)> {
        let owners = self.agreement.owners_read(&self.query);
        let of_owner = |name: &DatasetName| {
            let spec = self.agreement.dataset(name);
            spec.is_some_and(|spec| owners.contains(&spec.owner))
        };
        let named = self.request.manifests().iter();
        named.filter(|(name, _)| of_owner(name)).cloned().collect()
    }

    /// The data sets of `owner` that the query reads, each with whether it is public and the
    /// columns read, in order of name.
    #[must_use]
    pub fn reads_of(&self, owner: &PartyName) -> Vec<DatasetRead> {
        let datasets = self.query.datasets().into_iter();
        let specs = datasets.filter_map(|name| self.agreement.dataset(name));
        specs
            .filter(|spec| &spec.owner == owner)
            .map(|spec| DatasetRead {
                dataset: spec.name.clone(),
                public: spec.public,
                columns: self.columns_read(&spec.name),
            })
            .collect()
    }

    fn columns_read(&self, dataset: &DatasetName) -> Vec<ColumnName> {
        let reads = self.query.reads.iter();
        let of = reads.filter(|column| &column.dataset == dataset);
        of.map(|column| column.column.clone()).collect()
    }
}

/// A data set that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetRead {
    /// The data set.
    pub dataset: DatasetName,
    /// Whether it is sealed for nobody.
    pub public: bool,
    /// The columns read, in order of name.
    pub columns: Vec<ColumnName>,
}
