//! The key statement: what all providers signed and enough of them show, and never one older than
//! was known.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use incamera_matching::provided::ProvidedError;
use incamera_matching::statement::{Agreed, ChoiceError, Chosen, KeyStatement};
use incamera_net::client;
use incamera_net::services::KeysRequest;
use incamera_net::status::Problem;
use incamera_types::{Digest as _, PartyName};
use tokio::time::timeout;

use super::super::super::room_client::party_service;
use super::super::files::KEY_STATEMENT;
use super::evaluating::{Asker, failed};
use crate::clock::now;
use crate::failure::{Context as _, Done, Exit, Failure};

/// The longest that a provider may take to say its statement.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is said of a provider that is left out by `--without`.
const WITHOUT: &str = "you left it out (`--without`)";
const NO_KEY: &str = "it has no key yet";
/// What there is to do where two keys were made.
const TWO_KEYS: &str = "nothing was sent: somebody made two keys, and pseudonyms by the one join with none by the other. Ask the people of each provider for the key's fingerprint (`incamera provider status`), and the other owners for theirs (`match run` says it). Only if all owners see the same one provider alone with another key than everybody else, match by `--without` that one; otherwise agree on a new version with the next `epoch`, whose key all compare before anybody matches";
const WHAT: &str = "the providers' key was not found out";

/// The statement to match by, and who need not be asked.
pub struct Found {
    pub statement: KeyStatement,
    /// Providers that are not asked, and why.
    pub left_out: Vec<(PartyName, String)>,
}

/// What a provider said, or why it is left out.
type Said = Result<(KeyStatement, Vec<u8>), String>;

/// Asks all providers at once, and takes the newest statement that as many of them as the
/// threshold show: what one shows that others do not have counts for nothing.
pub async fn find(asker: &Asker<'_>) -> Result<Found, Failure> {
    let agreed = incamera_provider::agreed(asker.agreement.agreement());
    let agreed =
        agreed.ok_or_else(|| Failure::failed(WHAT).why("the agreement names no providers"))?;
    let known = remembered(asker, &agreed).or_fail(WHAT)?;
    let asked = agreed
        .providers
        .keys()
        .map(|name| say(asker, &agreed, name));
    let said = agreed.providers.keys().cloned().zip(join_all(asked).await);
    let (mut left_out, mut shown) = (Vec::new(), Vec::new());
    for (name, said) in said {
        match said {
            Ok((statement, file)) => shown.push((name, statement, file)),
            Err(why) => left_out.push((name, why)),
        }
    }
    if shown.is_empty() {
        return Err(none(&left_out));
    }
    let statements = shown
        .iter()
        .map(|(name, said, _)| (name.clone(), said.clone()));
    let chosen = Chosen::of(statements, known.as_ref(), agreed.threshold);
    let chosen = chosen.map_err(|error| not_chosen(asker, &agreed, error, &left_out))?;
    let others = chosen.others.into_iter();
    left_out.extend(others.map(|(name, how)| (name, how.to_string())));
    let statement = chosen.statement;
    in_time(&statement)?;
    let mut files = shown.iter().filter(|(_, said, _)| *said == statement);
    if let Some((_, _, file)) = files.next() {
        let written = remember(&asker.statement, file);
        written.or_fail("the key statement was not kept")?;
    }
    Ok(Found {
        statement,
        left_out,
    })
}

fn in_time(statement: &KeyStatement) -> Done {
    statement.check_time(now()).map_err(|error| {
        Failure::new(Exit::Refused, "the ids were not evaluated")
            .because(&error)
            .hint(
                "agree on a new version with a higher `epoch`, and let the providers make its key",
            )
    })
}

/// What there is to say where no statement counts.
fn not_chosen(
    asker: &Asker<'_>,
    agreed: &Agreed,
    error: ChoiceError,
    left_out: &[(PartyName, String)],
) -> Failure {
    let ChoiceError::TooFew {
        together,
        needed,
        others,
    } = error
    else {
        let hint = match error {
            ChoiceError::TwoKeys { .. } => TWO_KEYS.to_owned(),
            _ => format!(
                "nothing was sent: ask these providers what happened, and match by `--without NAME` once you know whose word does not count; what this party knew lies in `{}`",
                asker.statement.display()
            ),
        };
        return Failure::new(Exit::Refused, WHAT).because(&error).hint(hint);
    };
    let others = others.into_iter();
    let others = others.map(|(name, how)| (name, how.to_string()));
    failed(&ProvidedError::TooFew {
        left: together,
        all: agreed.providers.len(),
        needed,
        left_out: left_out.iter().cloned().chain(others).collect(),
    })
}

fn none(left_out: &[(PartyName, String)]) -> Failure {
    let why = left_out
        .iter()
        .map(|(name, why)| format!("`{name}`: {why}"));
    let why: Vec<_> = why.collect();
    let mut failure = Failure::failed(WHAT).why(why.join("; "));
    if left_out.iter().any(|(_, why)| why == NO_KEY) {
        failure = failure
            .hint("one of the providers runs `incamera provider keys make`, with all of them up");
    }
    failure.or_hint("ask them to start their services: `incamera provider serve`")
}

async fn say(asker: &Asker<'_>, agreed: &Agreed, name: &PartyName) -> Said {
    if asker.without.contains(name) {
        return Err(WITHOUT.to_owned());
    }
    let patience = PATIENCE.min(asker.patience);
    let asked = timeout(patience, ask(asker, name)).await;
    let file = asked
        .unwrap_or_else(|_| Err(format!("it did not answer within {} s", patience.as_secs())))?;
    if file.is_empty() {
        return Err(NO_KEY.to_owned());
    }
    let statement = KeyStatement::open(&file, agreed);
    Ok((statement.map_err(|error| error.to_string())?, file))
}

async fn ask(asker: &Asker<'_>, name: &PartyName) -> Result<Vec<u8>, String> {
    let channel = party_service(asker.folder, asker.agreement, name.as_str()).await;
    let channel = channel.map_err(|failure| failure.causes.join(": "))?;
    let request = KeysRequest {
        agreement_digest: asker.agreement.agreement().digest.as_bytes().to_vec(),
    };
    let reply = client::provider(channel).keys(request).await;
    let reply = reply.map_err(|status| Problem::from_status(&status).message().to_owned())?;
    Ok(reply.into_inner().statement)
}

/// The newest key statement that was known of this agreement and epoch: the key is one, whatever
/// kinds of id were matched by it.
fn remembered(asker: &Asker<'_>, agreed: &Agreed) -> io::Result<Option<KeyStatement>> {
    let others = asker.folder.matchings()?.into_iter();
    let others = others.map(|folder| folder.join(KEY_STATEMENT));
    let mut known: Option<KeyStatement> = None;
    for path in others.chain([asker.statement.clone()]) {
        let file = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let statement = KeyStatement::open(&file, agreed).ok();
        let newer = |one: &KeyStatement| {
            known
                .as_ref()
                .is_none_or(|known| one.order() > known.order())
        };
        if let Some(statement) = statement.filter(newer) {
            known = Some(statement);
        }
    }
    Ok(known)
}

fn remember(path: &Path, file: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, file)?;
    fs::File::open(&new)?.sync_all()?;
    fs::rename(new, path)
}
