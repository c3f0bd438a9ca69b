//! Labels looked up at all providers together.

use std::sync::Arc;
use std::time::Duration;

use incamera_agreement::SignedAgreement;
use incamera_matching::links::Entry;
use incamera_net::client;
use incamera_net::services::link_frame::Frame;
use incamera_net::services::provider_client::ProviderClient;
use incamera_net::services::{LinkFrame, LinkHello, LinkLabels};
use incamera_net::status::Problem;
use incamera_types::{Date, Digest as _, LinkLabel, PartyName};
use incamera_wire::Format;
use incamera_wire::v1::LinkEntry;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::super::super::room_client::party_service;
use super::LeftOut;
use super::evaluating::Asker;
use crate::failure::Failure;

/// Labels of one message: every owner may have an entry under each.
const AT_ONCE: usize = 512;
/// How long a provider may take for a round.
const PATIENCE: Duration = Duration::from_secs(120);

/// The providers that are asked.
pub struct Stores {
    open: Vec<(PartyName, ProviderClient<Channel>)>,
    hello: LinkFrame,
    needed: usize,
    /// Who is not asked, or no more, and why.
    pub left_out: LeftOut,
}

impl Stores {
    /// Reaches all providers; `needed` of them must answer.
    pub async fn open(asker: &Asker<'_>, needed: usize) -> Result<Self, Failure> {
        let agreement = asker.agreement.agreement();
        let providers = agreement.matching.providers.as_ref();
        let mut stores = Self {
            open: Vec::new(),
            hello: hello(asker.agreement, asker.folder.name()),
            needed,
            left_out: LeftOut::new(),
        };
        for name in providers.into_iter().flat_map(|providers| &providers.names) {
            match party_service(asker.folder, asker.agreement, name.as_str()).await {
                Ok(channel) => stores.open.push((name.clone(), client::provider(channel))),
                Err(failure) => {
                    let why = failure.causes.join(": ");
                    stores.left_out.push((name.to_string(), why));
                }
            }
        }
        stores.enough()?;
        Ok(stores)
    }

    fn enough(&self) -> Result<(), Failure> {
        if self.open.len() >= self.needed {
            return Ok(());
        }
        let why = self.left_out.iter();
        let why: Vec<_> = why.map(|(name, why)| format!("`{name}`: {why}")).collect();
        Err(Failure::failed("links were not looked up")
            .why(format!(
                "{} of the providers answer, and {} are needed; {}",
                self.open.len(),
                self.needed,
                why.join("; ")
            ))
            .hint("ask them to start their services (`incamera provider serve`), and run `match run` again"))
    }

    /// What each has under these labels.
    pub async fn find(
        &mut self,
        labels: Vec<LinkLabel>,
    ) -> Result<Vec<(PartyName, Vec<Entry>)>, Failure> {
        let labels: Arc<[LinkLabel]> = labels.into();
        let mut asked = JoinSet::new();
        for (name, client) in &self.open {
            let (name, client) = (name.clone(), client.clone());
            let (hello, labels) = (self.hello.clone(), labels.clone());
            asked.spawn(async move {
                let found = timeout(PATIENCE, ask(client, hello, labels)).await;
                let silent = || Err("it does not answer".to_owned());
                (name, found.unwrap_or_else(|_| silent()))
            });
        }
        let mut answers = Vec::new();
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok((name, Ok(entries))) => answers.push((name, entries)),
                Ok((name, Err(why))) => {
                    self.open.retain(|(open, _)| *open != name);
                    self.left_out.push((name.to_string(), why));
                }
                Err(_) => return Err(Failure::failed("links were not looked up")),
            }
        }
        self.enough()?;
        Ok(answers)
    }
}

fn hello(agreement: &SignedAgreement, me: &PartyName) -> LinkFrame {
    let terms = agreement.agreement();
    let hello = LinkHello {
        format: Format::Links.as_str().to_owned(),
        agreement_digest: terms.digest.as_bytes().to_vec(),
        party: me.to_string(),
        epoch: terms.matching.epoch.0,
    };
    LinkFrame {
        frame: Some(Frame::Hello(hello)),
    }
}

async fn ask(
    mut client: ProviderClient<Channel>,
    hello: LinkFrame,
    labels: Arc<[LinkLabel]>,
) -> Result<Vec<Entry>, String> {
    let some = |labels: &[LinkLabel]| {
        let labels = labels.iter().flat_map(|label| *label.as_bytes()).collect();
        let frame = Some(Frame::Labels(LinkLabels { labels }));
        LinkFrame { frame }
    };
    let wanted: Vec<_> = labels.chunks(AT_ONCE).map(some).collect();
    let (mut due, frames) = (wanted.len(), [hello].into_iter().chain(wanted));
    let said = |status| Problem::from_status(&status).message().to_owned();
    let answers = client.get_links(tokio_stream::iter(frames)).await;
    let mut answers = answers.map_err(said)?.into_inner();
    let mut found = Vec::new();
    while due > 0 {
        due -= 1;
        let frame = answers.message().await.map_err(said)?;
        let Some(Frame::Entries(entries)) = frame.and_then(|frame| frame.frame) else {
            return Err("it sent what is no answer".to_owned());
        };
        let entries = entries.entries.into_iter().map(entry);
        let entries: Option<Vec<_>> = entries.collect();
        found.extend(entries.ok_or("it sent what is no link")?);
    }
    Ok(found)
}

fn entry(entry: LinkEntry) -> Option<Entry> {
    Some(Entry {
        label: LinkLabel::from_slice(&entry.label).ok()?,
        purpose: entry.purpose.parse().ok()?,
        source: entry.source.parse().ok()?,
        expires: Date::from_days(entry.expires),
        value: entry.value,
    })
}
