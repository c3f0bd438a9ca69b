//! The key statement: what all providers signed, and never one older than was known.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use incamera_matching::statement::{KeyStatement, StatementError};
use incamera_net::client;
use incamera_net::services::KeysRequest;
use incamera_net::status::Problem;
use incamera_types::{Digest as _, PartyName};
use tokio::time::timeout;

use super::super::super::room_client::party_service;
use super::evaluating::Asker;
use crate::clock::now;
use crate::failure::{Context as _, Exit, Failure};

/// How long a provider may take to say its statement.
const PATIENCE: Duration = Duration::from_secs(20);

/// The statement to match by, and who need not be asked.
pub struct Found {
    pub statement: KeyStatement,
    /// Providers that did not say it, and why.
    pub left_out: Vec<(PartyName, String)>,
}

/// Asks all providers, and takes the newest statement that all of them signed.
pub async fn find(asker: &Asker<'_>) -> Result<Found, Failure> {
    let what = "the providers' key was not found out";
    let agreed = incamera_provider::agreed(asker.agreement.agreement());
    let agreed =
        agreed.ok_or_else(|| Failure::failed(what).why("the agreement names no providers"))?;
    let (mut left_out, mut said) = (Vec::new(), Vec::new());
    let mut known = remembered(&asker.statement).or_fail(what)?;
    let mut newest = match &known {
        Some(file) => KeyStatement::open(file, &agreed).ok(),
        None => None,
    };
    for name in agreed.providers.keys() {
        let file = match ask(asker, name).await {
            Ok(file) if file.is_empty() => {
                left_out.push((name.clone(), "it has no key yet".to_owned()));
                continue;
            }
            Ok(file) => file,
            Err(why) => {
                left_out.push((name.clone(), why));
                continue;
            }
        };
        let statement = KeyStatement::open(&file, &agreed).and_then(|statement| {
            match newest.as_ref().map(|newest| statement.follows(newest)) {
                Some(Err(error)) => Err(error),
                _ => Ok(statement),
            }
        });
        match statement {
            Ok(statement) => {
                newest = Some(statement.clone());
                known = Some(file);
                said.push((name.clone(), statement));
            }
            Err(error @ StatementError::Contradiction { .. }) => {
                return Err(Failure::new(Exit::Refused, what).because(&error).hint(
                    "the providers do not hold one key: ask them what happened before anything is matched",
                ));
            }
            Err(error) => left_out.push((name.clone(), error.to_string())),
        }
    }
    let Some(statement) = newest.filter(|_| !said.is_empty()) else {
        return Err(none(what, &left_out));
    };
    // Whoever was asked before a newer statement was seen may hold older shares.
    for (name, theirs) in said {
        if theirs.number() != statement.number() {
            let why = "it holds shares from before they were refreshed";
            left_out.push((name, why.to_owned()));
        }
    }
    statement.check_time(now()).map_err(|error| {
        Failure::new(Exit::Refused, "the ids were not evaluated")
            .because(&error)
            .hint(
                "agree on a new version with a higher `epoch`, and let the providers make its key",
            )
    })?;
    if let Some(file) = known {
        let written = remember(&asker.statement, &file);
        written.or_fail("the key statement was not kept")?;
    }
    Ok(Found {
        statement,
        left_out,
    })
}

fn none(what: &str, left_out: &[(PartyName, String)]) -> Failure {
    let why = left_out
        .iter()
        .map(|(name, why)| format!("`{name}`: {why}"));
    let why: Vec<_> = why.collect();
    let mut failure = Failure::failed(what).why(why.join("; "));
    if left_out.iter().any(|(_, why)| why == "it has no key yet") {
        failure = failure
            .hint("one of the providers runs `incamera provider keys make`, with all of them up");
    }
    failure.or_hint("ask them to start their services: `incamera provider serve`")
}

async fn ask(asker: &Asker<'_>, name: &PartyName) -> Result<Vec<u8>, String> {
    let asked = async {
        let channel = party_service(asker.folder, asker.agreement, name.as_str()).await;
        let channel = channel.map_err(|failure| failure.causes.join(": "))?;
        let request = KeysRequest {
            agreement_digest: asker.agreement.agreement().digest.as_bytes().to_vec(),
        };
        let reply = client::provider(channel).keys(request).await;
        let reply = reply.map_err(|status| Problem::from_status(&status).message().to_owned())?;
        Ok(reply.into_inner().statement)
    };
    let asked = timeout(PATIENCE, asked).await;
    asked.unwrap_or_else(|_| Err("it does not answer".to_owned()))
}

/// The newest key statement that was known.
fn remembered(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remember(path: &Path, file: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, file)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, path)
}
