//! A request: what is asked, and the digest that names it (invariant I8).

use std::collections::BTreeMap;
use std::fmt;

use incamera_agreement::{Agreement, ApprovedProposal, Query, Succession};
use incamera_keys::{KeyError, ReceivePublicKey, SigningKey, sign_message};
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{
    AgreementDigest, AnalystRef, DatasetName, Date, Decimal, Digest as _, ManifestDigest,
    Measurement, Moment, ParamName, ParamType, Params, ProposalDigest, PurposeName, QueryName,
    RequestDigest, Transcript, UnixTime, Value,
};
use incamera_wire::v1::parameter::Value as WireValue;
use incamera_wire::v1::{DecimalValue, Parameter, RequestEnvelope, Signed};
use incamera_wire::{Format, v1 as wire};
use rand_core::CryptoRng;

use crate::proposed;
use crate::token::Token;

/// How long a request may be good for.
pub const MAX_LIFETIME_S: u64 = 86_400;
/// The longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 1000;
pub(crate) const NONCE_BYTES: usize = 16;

/// Why a request cannot be made, or is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Made under another agreement version.
    #[error("the request was made under another version of the agreement: make it anew")]
    OtherAgreement,
    /// No such query.
    #[error("the agreement approves no query of this name: `incamera agreement show` lists them")]
    UnknownQuery,
    /// The query serves another purpose.
    #[error("the query `{query}` serves the purpose `{purpose}` and no other")]
    Purpose {
        /// The query.
        query: QueryName,
        /// Its purpose.
        purpose: PurposeName,
    },
    /// The purpose stood in an earlier version of the agreement, and has a successor.
    #[error("{0}: ask for what is approved now, which `incamera agreement show` lists")]
    Replaced(Box<Succession>),
    /// A parameter is missing.
    #[error("the parameter `{name}` is missing: give it a {ty}")]
    MissingParam {
        /// The parameter.
        name: ParamName,
        /// Its type.
        ty: ParamType,
    },
    /// A parameter of another type.
    #[error("the parameter `{name}` must be a {ty}")]
    ParamType {
        /// The parameter.
        name: ParamName,
        /// Its type.
        ty: ParamType,
    },
    /// A parameter outside the values that the agreement allows it.
    #[error("the parameter `{name}` must be a {allowed}: nothing was asked, and nothing spent")]
    ParamDomain {
        /// The parameter.
        name: ParamName,
        /// What the agreement allows.
        allowed: String,
    },
    /// A parameter that the query does not have.
    #[error("the query has no such parameter: give just the ones that the agreement names")]
    UnknownParam,
    /// Not one manifest for each data set that the query reads.
    #[error("the request must name one manifest for each data set that the query reads")]
    Manifests,
    /// A data set that nobody has sealed yet.
    #[error(
        "there is no sealed version of data set `{dataset}`: its owner seals and pushes it first"
    )]
    NotSealed {
        /// The data set.
        dataset: DatasetName,
    },
    /// Code that the agreement does not accept.
    #[error("the request names a room measurement that the agreement does not accept")]
    Measurement,
    /// A field is missing or malformed.
    #[error("the field `{field}` of the request is missing or malformed")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The key could not sign.
    #[error("the request could not be signed")]
    Sign(#[from] KeyError),
}

/// What is asked: the fields of the request digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    agreement: AgreementDigest,
    query: QueryName,
    /// What has the query, where the agreement has it not.
    proposed: Option<ApprovedProposal>,
    params: Params,
    purpose: PurposeName,
    manifests: Vec<(DatasetName, ManifestDigest)>,
    measurement: Measurement,
}

impl fmt::Debug for Request {
    /// Without the parameters' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.query, self.digest())
    }
}

impl Request {
    /// A request for an approved query, for the purpose that it serves.
    ///
    /// # Errors
    /// [`RequestError`] for an unknown query, parameters that are not just the query's, a data
    /// set without a manifest, a measurement that the agreement does not accept.
    pub fn new(
        agreement: &Agreement,
        query: &QueryName,
        params: Params,
        manifests: &BTreeMap<DatasetName, ManifestDigest>,
        measurement: Measurement,
    ) -> Result<Self, RequestError> {
        let approved = approved(agreement, query)?;
        Self::of(agreement, (approved, None), params, manifests, measurement)
    }

    /// A request for a proposed query, for the purpose that it serves.
    ///
    /// # Errors
    /// As [`Request::new`].
    pub fn proposed(
        proposed: &ApprovedProposal,
        params: Params,
        manifests: &BTreeMap<DatasetName, ManifestDigest>,
        measurement: Measurement,
    ) -> Result<Self, RequestError> {
        let agreement = proposed.proposal().agreement();
        let query = (proposed.query(), Some(proposed));
        Self::of(agreement, query, params, manifests, measurement)
    }

    fn of(
        agreement: &Agreement,
        (approved, proposed): (&Query, Option<&ApprovedProposal>),
        params: Params,
        manifests: &BTreeMap<DatasetName, ManifestDigest>,
        measurement: Measurement,
    ) -> Result<Self, RequestError> {
        check_params(approved, &params)?;
        let named = approved.datasets().into_iter().map(|dataset| {
            let dataset = dataset.clone();
            match manifests.get(&dataset) {
                Some(digest) => Ok((dataset, *digest)),
                None => Err(RequestError::NotSealed { dataset }),
            }
        });
        if !agreement.room.policy.names(&measurement) {
            return Err(RequestError::Measurement);
        }
        Ok(Self {
            agreement: agreement.digest,
            query: approved.name.clone(),
            proposed: proposed.cloned(),
            params,
            purpose: approved.purpose.clone(),
            manifests: named.collect::<Result<_, _>>()?,
            measurement,
        })
    }

    /// The same request for another purpose: refused wherever it is checked, and the way to
    /// show that.
    #[must_use]
    pub fn for_purpose(self, purpose: PurposeName) -> Self {
        Self { purpose, ..self }
    }

    /// The agreement version.
    #[must_use]
    pub fn agreement(&self) -> AgreementDigest {
        self.agreement
    }
    /// The approved query.
    #[must_use]
    pub fn query(&self) -> &QueryName {
        &self.query
    }
    /// The digest of the proposal that has the query, where the agreement has it not.
    #[must_use]
    pub fn proposal(&self) -> Option<ProposalDigest> {
        let proposed = self.proposed.as_ref();
        proposed.map(|proposed| proposed.proposal().digest())
    }
    /// The parameters: just the query's, each of its type.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }
    /// The purpose.
    #[must_use]
    pub fn purpose(&self) -> &PurposeName {
        &self.purpose
    }
    /// The manifest of each data set read, public ones included, in order of name.
    #[must_use]
    pub fn manifests(&self) -> &[(DatasetName, ManifestDigest)] {
        &self.manifests
    }
    /// The manifest of one data set.
    #[must_use]
    pub fn manifest(&self, dataset: &DatasetName) -> Option<ManifestDigest> {
        let named = self.manifests.iter().find(|(name, _)| name == dataset);
        named.map(|(_, digest)| *digest)
    }
    /// The room's code.
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        self.measurement
    }

    /// The request digest: everything that the raw answer depends on (I8).
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        let list = match self.proposal() {
            None => Transcript::new("incamera-request-digest/1")
                .field(self.agreement)
                .field(self.query.as_str()),
            Some(proposal) => Transcript::new("incamera-proposed-request-digest/1")
                .field(self.agreement)
                .field(proposal),
        };
        let mut list = list.number(self.params.len() as u64);
        for (name, value) in &self.params {
            list = list.field(name.as_str()).field(value.canonical());
        }
        list = list
            .field(self.purpose.as_str())
            .number(self.manifests.len() as u64);
        for (dataset, digest) in &self.manifests {
            list = list.field(dataset.as_str()).field(digest);
        }
        list.field(self.measurement).finish()
    }

    /// The message.
    #[must_use]
    pub fn to_wire(&self) -> wire::Request {
        let manifests = self.manifests.iter();
        wire::Request {
            agreement_digest: self.agreement.as_bytes().to_vec(),
            query: self.query.to_string(),
            params: self.params.iter().map(parameter).collect(),
            purpose: self.purpose.to_string(),
            manifests: manifests
                .map(|(_, digest)| digest.as_bytes().to_vec())
                .collect(),
            measurement: self.measurement.as_bytes().to_vec(),
            proposal: self
                .proposal()
                .map(|digest| digest.as_bytes().to_vec())
                .unwrap_or_default(),
        }
    }

    /// Reads a message under the agreement that it should be made under, with the proposal that
    /// comes with it.
    ///
    /// # Errors
    /// [`RequestError`], as [`Request::new`]; and [`RequestError::Purpose`].
    pub fn from_wire(
        message: &wire::Request,
        agreement: &Agreement,
        proposed: Option<&ApprovedProposal>,
    ) -> Result<Self, RequestError> {
        let field = |field| RequestError::Field { field };
        let made_under = AgreementDigest::from_slice(&message.agreement_digest)
            .map_err(|_| field("agreement_digest"))?;
        if made_under != agreement.digest {
            return Err(RequestError::OtherAgreement);
        }
        let query = asked(message, agreement, proposed)?;
        serves(agreement, query, &message.purpose)?;
        let measurement =
            Measurement::from_slice(&message.measurement).map_err(|_| field("measurement"))?;
        let params = read_params(&message.params, query)?;
        let manifests = read_manifests(&message.manifests, query)?;
        let query = (query, proposed);
        Self::of(agreement, query, params, &manifests, measurement)
    }

    /// Signs the request as `analyst`: what a room and the owners act on.
    ///
    /// # Errors
    /// [`RequestError::Sign`], [`RequestError::Field`] for a reason that is too long.
    pub fn sign(
        &self,
        analyst: &AnalystRef,
        reason: &str,
        expires: UnixTime,
        key: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Signed, RequestError> {
        check_reason(reason)?;
        let envelope = self.envelope(analyst, reason, expires, rng);
        Ok(sign_message(key, Format::Request, &envelope)?)
    }

    /// [`Request::sign`], and the analyst's answer is sealed to `reply`: a key for this one
    /// signed request, whose secret half the analyst's program keeps until the answer is here.
    ///
    /// # Errors
    /// As [`Request::sign`].
    pub fn sign_for_reply(
        &self,
        analyst: &AnalystRef,
        reason: &str,
        expires: UnixTime,
        (key, reply): (&SigningKey, &ReceivePublicKey),
        rng: &mut impl CryptoRng,
    ) -> Result<Signed, RequestError> {
        check_reason(reason)?;
        let envelope = RequestEnvelope {
            reply_key: reply.as_bytes().to_vec(),
            ..self.envelope(analyst, reason, expires, rng)
        };
        Ok(sign_message(key, Format::Request, &envelope)?)
    }

    /// Signs the request with a token's key, in its analyst's name and for its reason.
    ///
    /// # Errors
    /// [`RequestError::Sign`].
    pub fn sign_by_token(
        &self,
        token: &Token,
        expires: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Signed, RequestError> {
        let expires = expires.min(token.expires());
        let envelope = RequestEnvelope {
            token: Some(token.signed().clone()),
            ..self.envelope(token.analyst(), token.reason(), expires, rng)
        };
        Ok(sign_message(&token.key(), Format::Request, &envelope)?)
    }

    fn envelope(
        &self,
        analyst: &AnalystRef,
        reason: &str,
        expires: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> RequestEnvelope {
        let mut nonce = vec![0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        RequestEnvelope {
            request: Some(self.to_wire()),
            analyst: analyst.to_string(),
            reason: reason.to_owned(),
            nonce,
            expires: expires.0,
            token: None,
            reply_key: Vec::new(),
            proposed: self.proposed.as_ref().map(proposed::to_wire),
        }
    }
}

pub(crate) fn check_reason(reason: &str) -> Result<(), RequestError> {
    if reason.len() > MAX_REASON_BYTES || reason.contains(char::is_control) {
        return Err(RequestError::Field { field: "reason" });
    }
    Ok(())
}

fn approved<'a>(agreement: &'a Agreement, query: &QueryName) -> Result<&'a Query, RequestError> {
    agreement
        .queries
        .get(query)
        .ok_or(RequestError::UnknownQuery)
}

/// The query that a message names: the agreement's, or that of the very proposal that comes with
/// it. One that comes without being named, or is named and does not come, is neither.
fn asked<'a>(
    message: &wire::Request,
    agreement: &'a Agreement,
    proposed: Option<&'a ApprovedProposal>,
) -> Result<&'a Query, RequestError> {
    let name: QueryName = message
        .query
        .parse()
        .map_err(|_| RequestError::UnknownQuery)?;
    let query = match proposed {
        None if message.proposal.is_empty() => return approved(agreement, &name),
        Some(proposed) if message.proposal == proposed.proposal().digest().as_bytes() => {
            proposed.query()
        }
        _ => return Err(RequestError::Field { field: "proposal" }),
    };
    match query.name == name {
        true => Ok(query),
        false => Err(RequestError::UnknownQuery),
    }
}

/// A query serves one purpose; whoever asks for one that is gone is told its successor.
fn serves(agreement: &Agreement, query: &Query, purpose: &str) -> Result<(), RequestError> {
    if purpose == query.purpose.as_str() {
        return Ok(());
    }
    let gone = purpose.parse::<PurposeName>().ok();
    let succession = gone.and_then(|gone| agreement.succession(&gone));
    Err(succession.map_or_else(
        || RequestError::Purpose {
            query: query.name.clone(),
            purpose: query.purpose.clone(),
        },
        |succession| RequestError::Replaced(Box::new(succession)),
    ))
}

fn check_params(query: &Query, params: &Params) -> Result<(), RequestError> {
    for (name, param) in &query.params {
        let (name, ty) = (name.clone(), param.ty);
        match params.get(&name) {
            None => return Err(RequestError::MissingParam { name, ty }),
            Some(value) if !fits(value, ty) => return Err(RequestError::ParamType { name, ty }),
            Some(value) if !param.allows(value) => {
                let allowed = param.to_string();
                return Err(RequestError::ParamDomain { name, allowed });
            }
            Some(_) => {}
        }
    }
    if params.len() != query.params.len() {
        return Err(RequestError::UnknownParam);
    }
    Ok(())
}

fn fits(value: &Value, ty: ParamType) -> bool {
    let short = !matches!(value, Value::Text(text) if text.len() > MAX_TEXT_BYTES);
    value.ty() == ty && short
}

fn parameter((name, value): (&ParamName, &Value)) -> Parameter {
    let value = match value {
        Value::Bool(value) => Some(WireValue::Bool(*value)),
        Value::Int(value) => Some(WireValue::Int(*value)),
        Value::Decimal(value) => Some(WireValue::Decimal(DecimalValue {
            number: value.to_string(),
            scale: value.scale().into(),
        })),
        Value::Text(value) => Some(WireValue::Text(value.clone())),
        Value::Date(value) => Some(WireValue::Date(value.days())),
        Value::Timestamp(value) => Some(WireValue::Timestamp(value.micros())),
        // A kind of value that this version cannot write is read as a missing one.
        _ => None,
    };
    Parameter {
        name: name.to_string(),
        value,
    }
}

fn read_params(list: &[Parameter], query: &Query) -> Result<Params, RequestError> {
    let mut params = Params::new();
    for message in list {
        let name: ParamName = message
            .name
            .parse()
            .map_err(|_| RequestError::UnknownParam)?;
        let ty = query
            .params
            .get(&name)
            .ok_or(RequestError::UnknownParam)?
            .ty;
        let value = message.value.as_ref().and_then(read_value);
        let value = value.ok_or_else(|| RequestError::ParamType {
            name: name.clone(),
            ty,
        })?;
        if params.insert(name, value).is_some() {
            return Err(RequestError::UnknownParam);
        }
    }
    Ok(params)
}

fn read_value(value: &WireValue) -> Option<Value> {
    Some(match value {
        WireValue::Bool(value) => Value::Bool(*value),
        WireValue::Int(value) => Value::Int(*value),
        WireValue::Text(value) => Value::Text(value.clone()),
        WireValue::Date(days) => Value::Date(Date::from_days(*days)),
        WireValue::Timestamp(micros) => Value::Timestamp(Moment::from_micros(*micros)?),
        WireValue::Decimal(DecimalValue { number, scale }) => {
            let scale = u8::try_from(*scale).ok()?;
            Value::Decimal(Decimal::parse(number, scale).ok()?)
        }
    })
}

fn read_manifests(
    list: &[Vec<u8>],
    query: &Query,
) -> Result<BTreeMap<DatasetName, ManifestDigest>, RequestError> {
    let datasets = query.datasets();
    if list.len() != datasets.len() {
        return Err(RequestError::Manifests);
    }
    let digests = list.iter().map(|digest| ManifestDigest::from_slice(digest));
    datasets
        .into_iter()
        .zip(digests)
        .map(|(dataset, digest)| {
            Ok((
                dataset.clone(),
                digest.map_err(|_| RequestError::Manifests)?,
            ))
        })
        .collect()
}
