//! A token: a key that asks in an analyst's name for a while.
//!
//! For programs that cannot sign requests themselves (database drivers): the analyst signs a
//! [`Token`](wire::Token) that names a fresh key, the queries that it may ask and an end, and
//! hands the key to the room with each question. The room signs the request with that key; it
//! and every owner check both signatures ([`verify_request`](crate::verify_request)).
//!
//! # What it can and cannot
//! Whoever has the text of a token can ask these queries in the analyst's name until its end,
//! and read the answers; nothing else: each question still takes every owner's rules, budget
//! and log, whose entries name the token ([`Token::digest`]). It cannot make another token. An
//! owner that refuses the token, all tokens or the analyst ends it at once
//! ([`OwnRules`](crate::OwnRules)).

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use incamera_agreement::Agreement;
use incamera_keys::{PublicKey, SignedError, SigningKey, open_signed, peek_signed, sign_message};
use incamera_types::limits::MAX_REQUEST_BYTES;
use incamera_types::{AnalystRef, Digest as _, QueryName, TokenDigest, Transcript, UnixTime};
use incamera_wire::v1::{Signed, TokenFile};
use incamera_wire::{Format, FormatError, decode, encode, v1 as wire};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::request::{NONCE_BYTES, RequestError, check_reason};
use crate::verified::{RequestRefusal, analyst_key};

/// How long a token may be good for: a week, and an hour by which clocks may differ.
pub const MAX_TOKEN_S: u64 = 7 * 86_400 + 3600;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not the text of a token.
    #[error("this is no token: `incamera query token` makes one")]
    Malformed,
    /// Another format, or the analyst's signature does not hold.
    #[error("the token is not taken as it is")]
    Signed(#[from] SignedError),
    /// A field is missing or malformed.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Made under another agreement version.
    #[error("the token was made under another version of the agreement: make another")]
    OtherAgreement,
    /// Of another analyst than the request.
    #[error("the token is another analyst's than the request")]
    OtherAnalyst,
    /// The token's secret key is not the one that the analyst signed.
    #[error("the token's key is not the one that the analyst signed")]
    OtherKey,
    /// The token does not cover the query.
    #[error("the token does not cover the query `{query}`: make one that does")]
    Query {
        /// The query.
        query: QueryName,
    },
    /// A query that the agreement has not.
    #[error("a token asks queries of the agreement: ask a proposed one with the analyst's own key")]
    Proposed,
    /// The token is over.
    #[error("the token expired {late_s} s ago: make another, and check both clocks")]
    Expired {
        /// How long ago.
        late_s: u64,
    },
    /// The token is good for too long.
    #[error("the token is good for more than {MAX_TOKEN_S} s: make another")]
    TooLong,
}

/// What an analyst lets a token do.
#[derive(Clone, Debug)]
pub struct TokenTerms<'a> {
    /// The analyst.
    pub analyst: &'a AnalystRef,
    /// The queries that may be asked.
    pub queries: &'a BTreeSet<QueryName>,
    /// Why; stands with each question in the owners' logs.
    pub reason: &'a str,
    /// Until when: at most [`MAX_TOKEN_S`] from now.
    pub expires: UnixTime,
}

/// A token with its secret key: a bearer's.
pub struct Token {
    seed: Zeroizing<[u8; 32]>,
    signed: Signed,
    claims: Claims,
}

impl fmt::Debug for Token {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.claims.analyst)
    }
}

/// What a token says.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    pub(crate) analyst: AnalystRef,
    pub(crate) key: PublicKey,
    pub(crate) queries: BTreeSet<QueryName>,
    pub(crate) reason: String,
    pub(crate) expires: UnixTime,
}

/// What names a token among all: over its body, which holds a nonce.
pub(crate) fn digest(signed: &Signed) -> TokenDigest {
    Transcript::new(Format::QueryToken.as_str())
        .field(&signed.body)
        .finish()
}

impl Token {
    /// Makes a token with a fresh key, signed by the analyst.
    ///
    /// # Errors
    /// [`RequestError`] for a reason that is too long, or a key that cannot sign.
    pub fn new(
        agreement: &Agreement,
        terms: &TokenTerms<'_>,
        analyst: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RequestError> {
        check_reason(terms.reason)?;
        let mut nonce = vec![0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        let claims = Claims {
            analyst: terms.analyst.clone(),
            key: SigningKey::from_seed(&seed).public(),
            queries: terms.queries.clone(),
            reason: terms.reason.to_owned(),
            expires: terms.expires,
        };
        let message = wire::Token {
            agreement_digest: agreement.digest.as_bytes().to_vec(),
            analyst: claims.analyst.to_string(),
            key: claims.key.as_bytes().to_vec(),
            queries: claims.queries.iter().map(ToString::to_string).collect(),
            reason: claims.reason.clone(),
            nonce,
            expires: claims.expires.0,
        };
        let signed = sign_message(analyst, Format::QueryToken, &message)?;
        Ok(Self {
            seed,
            signed,
            claims,
        })
    }

    /// The bearer's text: one line.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let file = TokenFile {
            format: Format::QueryToken.as_str().to_owned(),
            secret: self.seed.to_vec(),
            token: Some(self.signed.clone()),
        };
        Zeroizing::new(BASE64.encode(Zeroizing::new(encode(&file))))
    }

    /// Reads a bearer's text. Whose signature it bears is found out with each question.
    ///
    /// # Errors
    /// [`TokenError::Malformed`], [`TokenError::Signed`], [`TokenError::Format`],
    /// [`TokenError::OtherKey`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        if text.len() > 2 * MAX_REQUEST_BYTES {
            return Err(TokenError::Malformed);
        }
        let bytes = BASE64.decode(text.trim());
        let bytes = Zeroizing::new(bytes.map_err(|_| TokenError::Malformed)?);
        let file: TokenFile = decode(&bytes, bytes.len()).map_err(|_| TokenError::Malformed)?;
        Format::QueryToken.expect(&file.format)?;
        let secret = Zeroizing::new(file.secret);
        let seed = Zeroizing::new(
            <[u8; 32]>::try_from(secret.as_slice()).map_err(|_| TokenError::Malformed)?,
        );
        let signed = file.token.ok_or(TokenError::Malformed)?;
        let peeked = peek_signed::<wire::Token>(&signed, Format::QueryToken, MAX_REQUEST_BYTES)?;
        let claims = Claims::read(peeked.unverified())?;
        if claims.key != SigningKey::from_seed(&seed).public() {
            return Err(TokenError::OtherKey);
        }
        Ok(Self {
            seed,
            signed,
            claims,
        })
    }

    /// Checks, before anything is asked, that the agreement's analyst signed it and that it is
    /// in time.
    ///
    /// # Errors
    /// [`RequestRefusal`].
    pub fn check(&self, agreement: &Agreement, now: UnixTime) -> Result<(), RequestRefusal> {
        let key = analyst_key(agreement, self.analyst())?;
        Claims::verify(&self.signed, agreement, key, now)?;
        Ok(())
    }

    /// What names it in the owners' logs and rules.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        digest(&self.signed)
    }
    /// Whose it says it is.
    #[must_use]
    pub fn analyst(&self) -> &AnalystRef {
        &self.claims.analyst
    }
    /// The queries that it says it covers.
    #[must_use]
    pub fn queries(&self) -> &BTreeSet<QueryName> {
        &self.claims.queries
    }
    /// Why it says it was made.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.claims.reason
    }
    /// Until when it says it is good.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.claims.expires
    }
    pub(crate) fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.seed)
    }
    pub(crate) fn signed(&self) -> &Signed {
        &self.signed
    }
}

impl Claims {
    fn read(message: &wire::Token) -> Result<Self, TokenError> {
        let field = |field| FormatError::Field { field };
        let query = |name: &String| name.parse::<QueryName>().map_err(|_| field("queries"));
        if message.nonce.len() != NONCE_BYTES {
            return Err(field("nonce").into());
        }
        check_reason(&message.reason).map_err(|_| field("reason"))?;
        Ok(Self {
            analyst: message.analyst.parse().map_err(|_| field("analyst"))?,
            key: PublicKey::from_bytes(&message.key).map_err(|_| field("key"))?,
            queries: message
                .queries
                .iter()
                .map(query)
                .collect::<Result<_, _>>()?,
            reason: message.reason.clone(),
            expires: UnixTime(message.expires),
        })
    }

    /// What `signed` says, once `key` has signed it under this agreement and it is in time.
    pub(crate) fn verify(
        signed: &Signed,
        agreement: &Agreement,
        key: &PublicKey,
        now: UnixTime,
    ) -> Result<Self, TokenError> {
        let message: wire::Token = open_signed(signed, Format::QueryToken, key, MAX_REQUEST_BYTES)?;
        if message.agreement_digest != agreement.digest.as_bytes() {
            return Err(TokenError::OtherAgreement);
        }
        let claims = Self::read(&message)?;
        if claims.expires <= now {
            let late_s = now.since(claims.expires);
            return Err(TokenError::Expired { late_s });
        }
        if claims.expires > now.plus(MAX_TOKEN_S) {
            return Err(TokenError::TooLong);
        }
        Ok(claims)
    }
}
