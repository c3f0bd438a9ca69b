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
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::Channel;

use super::super::super::room_client::party_service;
use super::evaluating::Asker;
use super::{Found, LeftOut};
use crate::failure::Failure;

/// Labels of one message: every owner may have an entry under each.
const AT_ONCE: usize = 512;
/// The longest that a provider may take for a round, or to store or drop links.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What is said of one that takes longer.
pub const SILENT: &str = "it does not answer";
const SLOW: &str = "it answers so much later than the others that all would wait for it";

/// The providers that are asked.
pub struct Stores {
    open: Vec<(PartyName, ProviderClient<Channel>)>,
    hello: LinkFrame,
    needed: usize,
    /// The longest that a provider may take for a round, beside what the agreed rate slows it
    /// down, and that all rounds together are held up
    /// by those who are later than enough others, beside what these took.
    patience: Duration,
    /// Labels a second that each serves, as agreed.
    rate: u32,
    /// How long enough providers took, and how long was waited for others behind them.
    taken: Duration,
    held_up: Duration,
    /// Who is not asked, or no more, and why.
    pub left_out: LeftOut,
}

impl Stores {
    /// Reaches all providers but those that were left out before, so that these do not see what
    /// is asked for either; `needed` of them must answer.
    pub async fn open(asker: &Asker<'_>, found: &Found, needed: usize) -> Result<Self, Failure> {
        let agreement = asker.agreement.agreement();
        let providers = agreement.matching.providers.as_ref();
        let mut stores = Self {
            open: Vec::new(),
            hello: hello(asker.agreement, asker.folder.name()),
            needed,
            patience: PATIENCE.min(asker.patience),
            rate: providers.map_or(1, |providers| providers.rate.max(1)),
            taken: Duration::ZERO,
            held_up: Duration::ZERO,
            left_out: LeftOut::new(),
        };
        for name in providers.into_iter().flat_map(|providers| &providers.names) {
            match dialled(asker, found, name, stores.patience).await {
                Ok(channel) => stores.open.push((name.clone(), client::provider(channel))),
                Err(why) => stores.left_out.push((name.to_string(), why)),
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
    pub async fn find(&mut self, labels: Vec<LinkLabel>) -> Result<Answers, Failure> {
        let labels: Arc<[LinkLabel]> = labels.into();
        let at_rate = Duration::from_secs(labels.len() as u64) / self.rate;
        let mut asked = JoinSet::new();
        for (name, client) in &self.open {
            let (name, client) = (name.clone(), client.clone());
            let (hello, labels) = (self.hello.clone(), labels.clone());
            asked.spawn(async move { (name, ask(client, hello, labels).await) });
        }
        let answers = self.gathered(asked, at_rate).await?;
        self.enough()?;
        Ok(answers)
    }

    /// The answers of a round, which takes `at_rate` where it is as fast as agreed. Once enough have answered, the others have as long as all rounds
    /// may be held up, and are asked no more after that.
    async fn gathered(&mut self, mut asked: Asked, at_rate: Duration) -> Result<Answers, Failure> {
        let (start, mut enough, mut answers) = (Instant::now(), None, Answers::new());
        let mut until = start + self.patience + at_rate;
        loop {
            let answered = match timeout_at(until, asked.join_next()).await {
                Ok(None) => break,
                Ok(Some(answered)) => answered,
                Err(_) => {
                    self.drop_others(&answers, if enough.is_some() { SLOW } else { SILENT });
                    break;
                }
            };
            match answered {
                Ok((name, Ok(entries))) => answers.push((name, entries)),
                Ok((name, Err(why))) => self.leave_out(&name, &why),
                Err(_) => return Err(Failure::failed("links were not looked up")),
            }
            if answers.len() == self.needed && enough.is_none() {
                self.taken += start.elapsed();
                enough = Some(Instant::now());
                let left = (self.patience + self.taken).saturating_sub(self.held_up);
                until = until.min(Instant::now() + left);
            }
        }
        self.held_up += enough.map_or(Duration::ZERO, |enough| enough.elapsed());
        Ok(answers)
    }

    fn leave_out(&mut self, name: &PartyName, why: &str) {
        self.open.retain(|(open, _)| open != name);
        self.left_out.push((name.to_string(), why.to_owned()));
    }

    fn drop_others(&mut self, answers: &Answers, why: &str) {
        let names = self.open.iter().map(|(name, _)| name.clone());
        let names: Vec<_> = names.collect();
        for name in names {
            if !answers.iter().any(|(answered, _)| *answered == name) {
                self.leave_out(&name, why);
            }
        }
    }
}

/// What each provider has.
type Answers = Vec<(PartyName, Vec<Entry>)>;
/// Providers that are asked, each for what it has, or why it says nothing.
type Asked = JoinSet<(PartyName, Result<Vec<Entry>, String>)>;

async fn dialled(
    asker: &Asker<'_>,
    found: &Found,
    name: &PartyName,
    patience: Duration,
) -> Result<Channel, String> {
    if let Some((_, why)) = found.left_out.iter().find(|(left, _)| left == name) {
        return Err(why.clone());
    }
    let dialled = party_service(asker.folder, asker.agreement, name.as_str());
    match timeout(patience, dialled).await {
        Ok(dialled) => dialled.map_err(|failure| failure.causes.join(": ")),
        Err(_) => Err(SILENT.to_owned()),
    }
}

/// The first frame of any call that concerns links.
pub fn hello(agreement: &SignedAgreement, me: &PartyName) -> LinkFrame {
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

/// Labels that are looked up, or dropped.
pub fn labels_frame(labels: &[LinkLabel]) -> LinkFrame {
    let labels = labels.iter().flat_map(|label| *label.as_bytes()).collect();
    LinkFrame {
        frame: Some(Frame::Labels(LinkLabels { labels })),
    }
}

async fn ask(
    mut client: ProviderClient<Channel>,
    hello: LinkFrame,
    labels: Arc<[LinkLabel]>,
) -> Result<Vec<Entry>, String> {
    let wanted: Vec<_> = labels.chunks(AT_ONCE).map(labels_frame).collect();
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

#[cfg(test)]
mod tests {
    use tokio::time::sleep;
    use tonic::transport::Endpoint;

    use super::*;

    fn stores(patience_ms: u64) -> Stores {
        let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let open = ["alpha", "beta", "gamma"].map(|name| {
            let name: PartyName = name.parse().unwrap();
            (name, client::provider(channel()))
        });
        Stores {
            open: open.into(),
            hello: LinkFrame { frame: None },
            needed: 2,
            patience: Duration::from_millis(patience_ms),
            rate: 1,
            taken: Duration::ZERO,
            held_up: Duration::ZERO,
            left_out: LeftOut::new(),
        }
    }

    /// One round, of which each answers after so long; gives who did in time.
    async fn round(stores: &mut Stores, after_ms: [u64; 3]) -> usize {
        let mut asked = Asked::new();
        for ((name, _), after) in stores.open.iter().zip(after_ms) {
            let name = name.clone();
            asked.spawn(async move {
                sleep(Duration::from_millis(after)).await;
                (name, Ok(Vec::new()))
            });
        }
        stores.gathered(asked, Duration::ZERO).await.unwrap().len()
    }

    /// Rounds together are held up by one provider as long as one may be, whatever their number.
    #[tokio::test]
    async fn who_is_later_than_the_others_holds_up_all_rounds_once() {
        let mut stores = stores(1_000);
        let start = Instant::now();
        let mut answered = Vec::new();
        for _ in 0..20 {
            answered.push(round(&mut stores, [0, 0, 400]).await);
        }
        assert!(start.elapsed() < Duration::from_secs(4));
        assert_eq!((answered.first(), answered.last()), (Some(&3), Some(&2)));
        assert_eq!(stores.left_out, [("gamma".to_owned(), SLOW.to_owned())]);
        // Two are needed: the slower of them is waited for.
        assert_eq!(round(&mut stores, [0, 300, 0]).await, 2);
        assert_eq!(round(&mut stores, [0, 5_000, 0]).await, 1);
        assert!(stores.enough().is_err());
    }
}
