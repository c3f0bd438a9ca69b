//! Who a client is, by its headers and its token.

use incamera_agreement::{ActiveAgreement, Query};
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_release::{RequestRefusal, Token, TokenError};
use incamera_types::{PurposeName, UnixTime};
use tonic::metadata::MetadataMap;

use crate::run;

/// The name of the header that names the agreement.
const AGREEMENT: &str = "x-incamera-agreement";
/// The name of the header that names the purpose.
const PURPOSE: &str = "x-incamera-purpose";
/// What a token must have left: an answer takes a while, and may not be lost after the charge.
const MIN_LEFT_S: u64 = 60;

/// Who asks under which agreement, and what for. Proof that the token holds: only
/// [`Client::read`] makes one.
pub(crate) struct Client {
    agreement: ActiveAgreement,
    token: Token,
    purpose: PurposeName,
}

impl Client {
    /// Reads the headers of a call. Before the token holds, nothing is said of the agreement.
    pub(crate) fn read(
        metadata: &MetadataMap,
        agreement: ActiveAgreement,
        now: UnixTime,
    ) -> Result<Self, Problem> {
        let token = token(metadata)?;
        token.check(&agreement, now).map_err(|why| refused(&why))?;
        if token.expires() < now.plus(MIN_LEFT_S) {
            return Err(token_refused("the token ends within a minute".into()));
        }
        let named = header(metadata, AGREEMENT, "the agreement's digest or id")?;
        let ours = [agreement.digest.to_string(), agreement.id.to_string()];
        if !ours.contains(&named.to_lowercase()) {
            return Err(Problem::new(
                ProblemKind::Refused,
                "other-agreement",
                "the room works under another agreement, or another version of it",
            )
            .hint(format!("`{AGREEMENT}: {}`", agreement.digest)));
        }
        let purpose = header(metadata, PURPOSE, "the purpose that you ask for")?;
        let purpose = purpose.parse().map_err(|_| {
            let text = format!("`{PURPOSE}` holds no purpose");
            Problem::new(ProblemKind::Invalid, "malformed-header", text)
        })?;
        Ok(Self {
            agreement,
            token,
            purpose,
        })
    }

    pub(crate) fn agreement(&self) -> &ActiveAgreement {
        &self.agreement
    }
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }
    pub(crate) fn purpose(&self) -> &PurposeName {
        &self.purpose
    }

    /// The approved query that a text names, if the token covers it: by its name, or by its SQL
    /// where the token covers no other with the same.
    pub(crate) fn query(&self, text: &str) -> Result<&Query, Problem> {
        let text = text.trim().trim_end_matches(';').trim_end();
        let mut queries = self.agreement.queries.values();
        if let Some(query) = queries.find(|query| query.name.as_str() == text) {
            return self.covered(query);
        }
        let queries = self.agreement.queries.values();
        let mut same: Vec<&Query> = queries.filter(|query| query.sql.trim() == text).collect();
        if same.iter().any(|query| self.covers(query)) {
            same.retain(|query| self.covers(query));
        }
        match same.as_slice() {
            [query] => self.covered(query),
            [] => Err(self.no_query(
                "not-approved",
                "the agreement approves no such query: a statement is an approved query's name, or its SQL as the agreement has it",
            )),
            _ => Err(self.no_query(
                "several-approved",
                "several approved queries have this SQL: say the name of one",
            )),
        }
    }

    fn covers(&self, query: &Query) -> bool {
        self.token.queries().contains(&query.name)
    }

    fn covered<'a>(&self, query: &'a Query) -> Result<&'a Query, Problem> {
        if !self.covers(query) {
            let query = query.name.clone();
            return Err(token_refused(TokenError::Query { query }.to_string()));
        }
        run::bearer_receives(query, self.token.analyst())?;
        Ok(query)
    }

    fn no_query(&self, code: &str, why: &str) -> Problem {
        let names = self.token.queries().iter().map(ToString::to_string);
        let names: Vec<String> = names.collect();
        let hint = format!("the token covers {}", names.join(", "));
        Problem::new(ProblemKind::Refused, code, why).hint(hint)
    }
}

fn token(metadata: &MetadataMap) -> Result<Token, Problem> {
    let refused = |why: String| {
        Problem::new(ProblemKind::Refused, "no-token", why).hint(
            "send `authorization: Bearer TOKEN`; the analyst makes one with `incamera query token`",
        )
    };
    let header = metadata.get("authorization");
    let header = header.and_then(|header| header.to_str().ok());
    let header = header.ok_or_else(|| refused("nobody is named: there is no token".into()))?;
    let (scheme, text) = header.split_once(' ').unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("the room takes bearer tokens alone".into()));
    }
    Token::from_text(text).map_err(|error| refused(chain(&error)))
}

/// One text for everybody whose token no analyst signed: names are for those who have one.
fn refused(refusal: &RequestRefusal) -> Problem {
    token_refused(match refusal {
        RequestRefusal::UnknownAnalyst
        | RequestRefusal::Vouched
        | RequestRefusal::Token(TokenError::Signed(_)) => {
            "no analyst whom the agreement names signed the token".to_owned()
        }
        refusal => chain(refusal),
    })
}

fn token_refused(why: String) -> Problem {
    let hint = "`incamera query token` makes another";
    Problem::new(ProblemKind::Refused, "token-refused", why).hint(hint)
}

fn header<'a>(metadata: &'a MetadataMap, name: &str, what: &str) -> Result<&'a str, Problem> {
    let value = metadata.get(name).and_then(|value| value.to_str().ok());
    value.map(str::trim).ok_or_else(|| {
        let text = format!("the header `{name}` is missing");
        Problem::new(ProblemKind::Invalid, "missing-header", text)
            .hint(format!("say {what} in `{name}`"))
    })
}
