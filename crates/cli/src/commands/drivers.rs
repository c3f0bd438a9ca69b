//! `query token`, `evidence trust`: what database drivers need to ask a room.

use std::collections::BTreeSet;

use incamera_agreement::Agreement;
use incamera_release::{Token, TokenTerms};
use incamera_types::{AnalystRef, QueryName};
use serde_json::json;

use super::{block_on, parameters, room_client};
use crate::args::{EvidenceTrust, QueryToken};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::write_private;
use crate::printer::Printer;

/// The longest token that drivers can send: of 16 KiB of headers that servers read, half.
const MOST_TEXT: usize = 8 << 10;

/// Attests the room and writes its certificate.
pub fn trust(arguments: &EvidenceTrust, printer: &Printer) -> Done {
    let agreement = room_client::signed_agreement(&arguments.agreement)?;
    let room = block_on(room_client::attested(&agreement, None, printer))?;
    let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", room.leaf()));
    let path = arguments.out.display();
    std::fs::write(&arguments.out, certificate)
        .or_fail(format!("the certificate was not written to `{path}`"))?;
    let measurement = room.workload().measurement();
    let simulated = room.workload().simulated();
    let text = format!(
        "the room at {url} runs the code that the agreement accepts: {measurement}\n\
         its certificate, good until the room starts anew: {path}",
        url = agreement.agreement().room.url
    );
    let text = match simulated {
        true => format!("{text}\nSIMULATED TEE: nothing proves what runs on the room's machine"),
        false => text,
    };
    let document = json!({
        "certificate": arguments.out, "measurement": measurement.to_string(),
        "url": agreement.agreement().room.url.as_str(), "simulated": simulated,
    });
    printer.result(&text, "incamera-trust/1", &document);
    Ok(())
}

/// Makes a token, signed by the analyst.
pub fn token(arguments: &QueryToken, printer: &Printer) -> Done {
    let agreement = room_client::signed_agreement(&arguments.agreement)?;
    let terms = agreement.agreement();
    let key = room_client::analyst_key(terms, &arguments.analyst, &arguments.key)?;
    let queries = queries(terms, arguments)?;
    let expires = now().plus(arguments.hours * 3600);
    let says = TokenTerms {
        analyst: &arguments.analyst,
        queries: &queries,
        reason: &arguments.reason,
        expires,
    };
    let token = Token::new(terms, &says, &key, &mut rand::rng()).or_fail("no token was made")?;
    let path = arguments.out.display();
    let bearer = token.to_text();
    if bearer.len() > MOST_TEXT {
        return Err(Failure::usage(
            "the token is too long for a header: drivers could not send it",
        )
        .why(format!("it names {} queries", queries.len()))
        .hint("name fewer queries, and make a token for each group of them"));
    }
    write_private(&arguments.out, &bearer)?;
    let names: Vec<&str> = queries.iter().map(QueryName::as_str).collect();
    let text = format!(
        "a token for {names}, good for {hours} h: {path}\n\
         Whoever has it asks these queries in the name of {analyst}, and each new question is \
         charged. Keep it as you keep the key.\n\
         Owners' logs name it, and they can refuse it by its digest: {digest}",
        digest = token.digest(),
        names = names.join(", "),
        hours = arguments.hours,
        analyst = arguments.analyst
    );
    let document = json!({
        "token": arguments.out, "token_digest": token.digest(), "queries": names, "analyst": arguments.analyst.to_string(),
        "expires": expires.0, "agreement_digest": terms.digest.to_string(),
        "purposes": purposes(terms, &queries),
    });
    printer.result(&text, "incamera-token-made/1", &document);
    Ok(())
}

/// The queries that were named, or all that the analyst may ask.
fn queries(agreement: &Agreement, arguments: &QueryToken) -> Result<BTreeSet<QueryName>, Failure> {
    let may = |name: &QueryName, analyst: &AnalystRef| {
        let query = agreement.queries.get(name);
        query.is_some_and(|query| query.analysts.contains(analyst))
    };
    let analyst = &arguments.analyst;
    if arguments.queries.is_empty() {
        let all = agreement.queries.keys().filter(|name| may(name, analyst));
        let all: BTreeSet<QueryName> = all.cloned().collect();
        return match all.is_empty() {
            false => Ok(all),
            true => Err(not_allowed(analyst, "any query")),
        };
    }
    for name in &arguments.queries {
        parameters::query(agreement, name)?;
        if !may(name, analyst) {
            return Err(not_allowed(analyst, &format!("`{name}`")));
        }
    }
    Ok(arguments.queries.iter().cloned().collect())
}

fn not_allowed(analyst: &AnalystRef, what: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the agreement does not let {analyst} ask {what}"),
    )
    .hint("`analysts` of a query in the agreement names who may: agree on another version")
}

/// What each query is asked for: drivers say it in a header.
fn purposes(agreement: &Agreement, queries: &BTreeSet<QueryName>) -> serde_json::Value {
    let of = |name: &QueryName| {
        let query = agreement.queries.get(name)?;
        Some((name.to_string(), query.purpose.to_string().into()))
    };
    serde_json::Value::Object(queries.iter().filter_map(of).collect())
}
