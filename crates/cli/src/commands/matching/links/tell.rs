//! What the book of links changed, told to each provider.

use std::collections::BTreeSet;

use incamera_matching::links::Entry;
use incamera_net::client;
use incamera_net::services::link_frame::Frame;
use incamera_net::services::provider_client::ProviderClient;
use incamera_net::services::{LinkEntries, LinkFrame};
use incamera_net::status::Problem;
use incamera_types::{Digest as _, LinkLabel, PartyName};
use incamera_wire::v1::LinkEntry;
use serde_json::{Value, json};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Channel;

use super::super::super::{block_on, room_client::party_service};
use super::super::provided::lookup::{PATIENCE, SILENT, hello, labels_frame};
use super::{Desk, NOT_KEPT};
use crate::failure::{Context as _, Failure};

/// Entries of one message.
const AT_ONCE: usize = 2048;

/// Who was told, and who was not.
#[derive(Debug, Default)]
pub struct Told {
    /// Who has all now.
    pub told: Vec<PartyName>,
    /// Who has not, and why.
    pub not_told: Vec<(PartyName, String)>,
    /// Of these, who may still have what must not count any more.
    pub behind: BTreeSet<PartyName>,
}

impl Told {
    /// For people.
    pub fn words(&self) -> String {
        let names: Vec<_> = self.told.iter().map(|name| format!("`{name}`")).collect();
        let mut text = match names.as_slice() {
            [] => String::new(),
            names => format!("  told: {}", names.join(", ")),
        };
        for (name, why) in &self.not_told {
            text += &format!(
                "\n  `{name}` was not told: {why}; `incamera match links send` tells it later"
            );
        }
        text
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let not = self.not_told.iter();
        let not: Vec<_> = not
            .map(|(name, why)| json!({ "name": name, "why": why }))
            .collect();
        json!({ "told": self.told, "not_told": not, "behind": self.behind })
    }

    /// That not all were.
    pub fn failure(&self, what: &str) -> Failure {
        let why = self.not_told.iter();
        let why: Vec<_> = why.map(|(name, why)| format!("`{name}`: {why}")).collect();
        Failure::failed(what).why(why.join("; ")).hint(
            "nothing is lost: once that is mended, `incamera match links send` tells them what they lack, without evaluating anything again",
        )
    }
}

/// Tells every provider what is due, one after the other.
pub fn all(desk: &mut Desk<'_>) -> Result<Told, Failure> {
    let due = desk.book.still_due(&desk.matter()).or_fail(NOT_KEPT)?;
    let bar = desk
        .printer
        .progress("telling providers", Some(due.values().sum()));
    let mut told = Told::default();
    for name in desk.providers() {
        let one = match due.contains_key(name) {
            true => block_on(one(desk, name, &|count| bar.inc(count)))?,
            false => Ok(()),
        };
        match one {
            Ok(()) => told.told.push(name.clone()),
            Err(why) => told.not_told.push((name.clone(), why)),
        }
    }
    bar.finish_and_clear();
    let mut behind = desk.book.behind(&desk.matter()).or_fail(NOT_KEPT)?;
    behind.retain(|name| desk.providers().contains(name));
    told.behind = behind;
    Ok(told)
}

/// Tells one provider; or says why it was not told.
async fn one(
    desk: &mut Desk<'_>,
    name: &PartyName,
    progress: &impl Fn(u64),
) -> Result<Result<(), String>, Failure> {
    let dialled = timeout(
        PATIENCE,
        party_service(desk.folder, desk.agreement, name.as_str()),
    );
    let channel = match dialled.await {
        Ok(Ok(channel)) => channel,
        Ok(Err(failure)) => return Ok(Err(failure.causes.join(": "))),
        Err(_) => return Ok(Err(SILENT.to_owned())),
    };
    let client = client::provider(channel);
    // What was taken back goes before anything new comes.
    while let Some(labels) = drops(desk, name)? {
        let given = dropped(desk, client.clone(), &labels).await;
        if let Err(why) = noted(desk, name, &labels, given, progress)? {
            return Ok(Err(why));
        }
    }
    while let Some(entries) = puts(desk, name)? {
        let labels: Vec<_> = entries.iter().map(|entry| entry.label).collect();
        let given = stored(desk, client.clone(), entries).await;
        if let Err(why) = noted(desk, name, &labels, given, progress)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

/// What is to be dropped next; none where all is told.
fn drops(desk: &Desk<'_>, name: &PartyName) -> Result<Option<Vec<LinkLabel>>, Failure> {
    let drops = desk.book.drops(&desk.matter(), name, AT_ONCE);
    Ok(Some(drops.or_fail(NOT_KEPT)?).filter(|labels| !labels.is_empty()))
}

/// What is to be stored next.
fn puts(desk: &Desk<'_>, name: &PartyName) -> Result<Option<Vec<Entry>>, Failure> {
    let by = (desk.folder.name(), name);
    let puts = desk.book.puts(&desk.matter(), by, AT_ONCE);
    Ok(Some(puts.or_fail(NOT_KEPT)?).filter(|entries| !entries.is_empty()))
}

type Client = ProviderClient<Channel>;
type Given = Result<Result<(), Status>, Elapsed>;

async fn dropped(desk: &Desk<'_>, mut client: Client, labels: &[LinkLabel]) -> Given {
    let frames = [
        hello(desk.agreement, desk.folder.name()),
        labels_frame(labels),
    ];
    let given = timeout(PATIENCE, client.drop_links(tokio_stream::iter(frames))).await;
    given.map(|reply| reply.map(drop))
}

async fn stored(desk: &Desk<'_>, mut client: Client, entries: Vec<Entry>) -> Given {
    let frames = [
        hello(desk.agreement, desk.folder.name()),
        put_frame(entries),
    ];
    let given = timeout(PATIENCE, client.put_links(tokio_stream::iter(frames))).await;
    given.map(|reply| reply.map(drop))
}

/// Takes note of what a provider was told; or says why it was not.
fn noted(
    desk: &mut Desk<'_>,
    name: &PartyName,
    labels: &[LinkLabel],
    given: Given,
    progress: &impl Fn(u64),
) -> Result<Result<(), String>, Failure> {
    match given {
        Ok(Ok(())) => {}
        Ok(Err(status)) => return Ok(Err(Problem::from_status(&status).message().to_owned())),
        Err(_) => return Ok(Err(SILENT.to_owned())),
    }
    let told = desk.book.told(&desk.matter(), name, labels);
    told.or_fail(NOT_KEPT)?;
    progress(labels.len() as u64);
    Ok(Ok(()))
}

fn put_frame(entries: Vec<Entry>) -> LinkFrame {
    let entry = |entry: Entry| LinkEntry {
        label: entry.label.as_bytes().to_vec(),
        purpose: entry.purpose.to_string(),
        // Whose it is says the key of the caller.
        source: String::new(),
        expires: entry.expires.days(),
        value: entry.value,
    };
    let entries = entries.into_iter().map(entry).collect();
    LinkFrame {
        frame: Some(Frame::Entries(LinkEntries { entries })),
    }
}
