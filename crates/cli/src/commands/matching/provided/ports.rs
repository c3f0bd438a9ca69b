//! A session with each provider that is asked: a task carries it, and tells what comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use incamera_keys::{PublicKey, SigningKey};
use incamera_matching::provided::Asked;
use incamera_net::client;
use incamera_net::services::EvaluateFrame;
use incamera_net::services::evaluate_frame::Frame;
use incamera_net::status::Problem;
use incamera_net::tls::TlsOptions;
use incamera_oprf::lagrange::Place;
use incamera_types::PartyName;
use incamera_wire::encoded_bytes;
use incamera_wire::v1::{EvaluatedBatch, MatchPoints};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::super::super::room_client::options;
use super::evaluating::{Asker, BATCH_IDS, Event};
use super::refusals::Refusal;
use crate::failure::Failure;

/// The longest that a provider may be silent, beside what the agreed rate slows it down.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Batches of a party that a provider may have before it: of its other runs, too.
const BATCHES_BEFORE: u32 = 16;

/// What a provider said, or did not.
pub enum News {
    /// It takes batches.
    Ready,
    /// One batch.
    Answer(EvaluatedBatch),
    /// It is not there, or does not serve now: another may.
    Lost(String),
    /// It refuses what another would refuse too.
    Refused(Box<Refusal>),
}

struct Port {
    batches: UnboundedSender<EvaluateFrame>,
    ready: bool,
    task: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The sessions of one round.
pub struct Ports<'a> {
    asker: &'a Asker<'a>,
    told: UnboundedSender<Event>,
    round: Option<u64>,
    /// Bytes of batches.
    sent: u64,
    open: BTreeMap<Place, Port>,
}

impl<'a> Ports<'a> {
    /// None yet.
    pub fn new(asker: &'a Asker<'a>, told: UnboundedSender<Event>) -> Self {
        Self {
            asker,
            told,
            round: None,
            sent: 0,
            open: BTreeMap::new(),
        }
    }

    /// Greets the providers of this round, if they were not.
    pub fn ask(&mut self, asked: &Arc<Asked>) {
        if self.round == Some(asked.round()) {
            return;
        }
        self.round = Some(asked.round());
        self.open.clear();
        for (place, name) in asked.members() {
            let (batches, frames) = unbounded_channel();
            let hello = Frame::Hello(asked.hello().to_message());
            let _ = batches.send(EvaluateFrame { frame: Some(hello) });
            let dialled = Dialled::of(self.asker, name);
            let (told, round) = (self.told.clone(), asked.round());
            let task = tokio::spawn(async move {
                let tell = |news| {
                    let _ = told.send(Event::Port(round, place, news));
                };
                if let Err(news) = talk(dialled, frames, &tell).await {
                    tell(news);
                }
            });
            let port = Port {
                batches,
                ready: false,
                task,
            };
            self.open.insert(place, port);
        }
    }

    /// The provider takes batches.
    pub fn is_ready(&mut self, round: u64, place: Place) {
        let current = self.round == Some(round);
        if let Some(port) = self.open.get_mut(&place).filter(|_| current) {
            port.ready = true;
        }
    }

    /// Whether all do that are asked: one that refuses does so before another has evaluated an
    /// id.
    pub fn all_ready(&self) -> bool {
        self.open.values().all(|port| port.ready)
    }

    /// Sends a batch.
    pub fn send(&mut self, place: Place, points: MatchPoints) {
        if let Some(port) = self.open.get(&place) {
            self.sent += encoded_bytes(&points);
            let frame = Some(Frame::Points(points));
            let _ = port.batches.send(EvaluateFrame { frame });
        }
    }

    /// Bytes of all batches that were sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

/// What it takes to reach a provider.
struct Dialled {
    url: String,
    key: PublicKey,
    own: SigningKey,
    options: TlsOptions,
    patience: Duration,
}

impl Dialled {
    fn of(asker: &Asker<'_>, name: &PartyName) -> Result<Self, News> {
        let (folder, terms) = (asker.folder, asker.agreement.agreement());
        let party = terms.parties.get(name);
        let party = party.ok_or_else(|| News::Lost("it is no party".to_owned()))?;
        let own = folder.service_key();
        let unread = |failure: Failure| News::Lost(format!("your own key: {}", failure.what));
        let rate = terms.matching.providers.as_ref();
        let rate = rate.map_or(1, |providers| providers.rate.max(1));
        let batch = Duration::from_secs(BATCH_IDS) / rate;
        Ok(Self {
            url: party.url.as_str().to_owned(),
            key: party.service,
            own: own.map_err(unread)?,
            options: options(folder),
            patience: SILENCE_LIMIT.min(asker.patience) + batch * BATCHES_BEFORE,
        })
    }

    async fn channel(&self) -> Result<Channel, News> {
        let own = Some(&self.own);
        let channel = client::connect(&self.url, &self.key, own, &self.options).await;
        channel.map_err(|error| News::Lost(format!("it was not reached: {error}")))
    }
}

/// Greets, sends what comes from `frames`, and tells what is answered.
async fn talk(
    dialled: Result<Dialled, News>,
    frames: UnboundedReceiver<EvaluateFrame>,
    tell: &impl Fn(News),
) -> Result<(), News> {
    let dialled = dialled?;
    let patience = dialled.patience;
    let greeting = async {
        let channel = dialled.channel().await?;
        let frames = UnboundedReceiverStream::new(frames);
        let answers = client::provider(channel).evaluate(frames).await;
        let mut answers = answers.map_err(|status| said_no(&status))?.into_inner();
        match next(&mut answers).await? {
            Frame::Ready(_) => Ok(answers),
            _ => Err(News::Lost("it did not greet".to_owned())),
        }
    };
    let silent = || {
        let seconds = patience.as_secs();
        News::Lost(format!("it did not answer within {seconds} s"))
    };
    let greeted = timeout(patience, greeting).await;
    let mut answers = greeted.unwrap_or_else(|_| Err(silent()))?;
    tell(News::Ready);
    loop {
        let frame = timeout(patience, next(&mut answers)).await;
        match frame.unwrap_or_else(|_| Err(silent()))? {
            Frame::Evaluated(answer) => tell(News::Answer(answer)),
            _ => return Err(News::Lost("it sent what is no answer".to_owned())),
        }
    }
}

async fn next(answers: &mut Streaming<EvaluateFrame>) -> Result<Frame, News> {
    let frame = answers.message().await.map_err(|status| said_no(&status))?;
    let frame = frame.and_then(|frame| frame.frame);
    frame.ok_or_else(|| News::Lost("it hung up".to_owned()))
}

fn said_no(status: &Status) -> News {
    let problem = Problem::from_status(status);
    match Refusal::of(&problem) {
        Some(refusal) => News::Refused(Box::new(refusal)),
        None => News::Lost(problem.message().to_owned()),
    }
}
