//! What the book of links changed, told to each provider.

use std::collections::BTreeSet;

use incamera_matching::links::Entry;
use incamera_net::client;
use incamera_net::services::link_frame::Frame;
use incamera_net::services::{LinkEntries, LinkFrame};
use incamera_net::status::Problem;
use incamera_provider::Due;
use incamera_types::{Digest as _, LinkLabel, PartyName};
use incamera_wire::v1::LinkEntry;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Status;

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
    let (matter, me) = (desk.matter(), desk.folder.name());
    loop {
        let due = desk.book.due(&matter, (me, name), AT_ONCE);
        let due = due.or_fail(NOT_KEPT)?;
        let labels: Vec<_> = labels(&due).copied().collect();
        if labels.is_empty() {
            return Ok(Ok(()));
        }
        // What was taken back goes before anything new comes.
        let mut client = client::provider(channel.clone());
        let hello = hello(desk.agreement, desk.folder.name());
        let given = async {
            if !due.drop.is_empty() {
                let frames = [hello.clone(), labels_frame(&due.drop)];
                client.drop_links(tokio_stream::iter(frames)).await?;
            }
            if !due.put.is_empty() {
                let frames = [hello, puts(due.put)];
                client.put_links(tokio_stream::iter(frames)).await?;
            }
            Ok::<_, Status>(())
        };
        match timeout(PATIENCE, given).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => return Ok(Err(Problem::from_status(&status).message().to_owned())),
            Err(_) => return Ok(Err(SILENT.to_owned())),
        }
        let told = desk.book.told(&matter, name, &labels);
        told.or_fail(NOT_KEPT)?;
        progress(labels.len() as u64);
    }
}

fn labels(due: &Due) -> impl Iterator<Item = &LinkLabel> {
    due.drop
        .iter()
        .chain(due.put.iter().map(|entry| &entry.label))
}

fn puts(entries: Vec<Entry>) -> LinkFrame {
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
