//! What a client says of itself, in headers.

use incamera_agreement::Agreement;
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_release::Token;
use incamera_types::PurposeName;
use tonic::metadata::MetadataMap;

/// The name of the header that names the agreement.
pub(crate) const AGREEMENT: &str = "x-incamera-agreement";
/// The name of the header that names the purpose.
pub(crate) const PURPOSE: &str = "x-incamera-purpose";

/// Who asks, and what for. Whether the token holds is found out when it is used.
pub(crate) struct Headers {
    pub(crate) token: Token,
    pub(crate) purpose: PurposeName,
}

impl Headers {
    /// Reads the headers of a call under the room's agreement.
    pub(crate) fn read(metadata: &MetadataMap, agreement: &Agreement) -> Result<Self, Problem> {
        let token = token(metadata)?;
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
        Ok(Self { token, purpose })
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

fn header<'a>(metadata: &'a MetadataMap, name: &str, what: &str) -> Result<&'a str, Problem> {
    let value = metadata.get(name).and_then(|value| value.to_str().ok());
    value.map(str::trim).ok_or_else(|| {
        let text = format!("the header `{name}` is missing");
        Problem::new(ProblemKind::Invalid, "missing-header", text)
            .hint(format!("say {what} in `{name}`"))
    })
}
