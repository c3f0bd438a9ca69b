//! The way to the other party: over the service of the party whose name comes later.

use std::time::Duration;

use bytes::Bytes;
use incamera_agreement::SignedAgreement;
use incamera_matching::Partition;
use incamera_net::client;
use incamera_net::services::{MeetingFrame, MeetingHello, meeting_frame::Frame};
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{Digest as _, IdKind, PartyName};
use incamera_wire::v1::MatchMessage;
use incamera_wire::{decode, encode};
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::super::room_client::{self, status_failure};
use super::Work;
use crate::failure::{Context as _, Failure};
use crate::folder::Folder;
use crate::printer::waits;

/// Messages to the peer under way.
const MESSAGES_UNDER_WAY: usize = 4;
/// The largest message that is read: a chunk of points, or a part of a step, and what stands
/// around it.
const MAX_MESSAGE_BYTES: usize = 2 * CHUNK_BYTES;
/// A link over which nothing comes for so long, while something is due, is given up.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// How long to wait for the other side to hang up.
const PARTING_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before the meeting point is dialled again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Whom to meet, and how patiently.
pub struct Meeting<'a> {
    folder: &'a Folder,
    agreement: &'a SignedAgreement,
    kind: &'a IdKind,
    partition: Partition,
    peer: &'a PartyName,
    patience: Duration,
    bar: &'a ProgressBar,
}

impl<'a> Meeting<'a> {
    /// With the other party of a run.
    pub fn of(work: &'a Work<'a>, patience: Duration, bar: &'a ProgressBar) -> Self {
        Self {
            folder: work.folder,
            agreement: work.agreement,
            kind: &work.terms.id_kind,
            partition: work.partition,
            peer: &work.peer,
            patience,
            bar,
        }
    }
}

/// Why there is no link, or none any more.
pub enum Broken {
    /// It may come back.
    Lost(Failure),
    /// The other party hung up.
    Left(Failure),
    /// It will not.
    Ended(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Ended(failure)
    }
}

impl Broken {
    /// What to tell when nobody waits any longer.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Lost(failure) | Self::Left(failure) | Self::Ended(failure) => failure,
        }
    }
}

/// Both directions.
pub struct Link {
    pub sender: mpsc::Sender<MeetingFrame>,
    pub frames: Streaming<MeetingFrame>,
}

impl Meeting<'_> {
    /// Waits at the meeting point until the other party is there.
    pub async fn meet(&self) -> Result<Link, Broken> {
        let end = Instant::now() + self.patience;
        self.meet_once(end, &|| self.nobody_came()).await
    }

    /// What the other party has to run to come to this place: one of another kind, or of another
    /// part, waits elsewhere.
    fn theirs(&self) -> String {
        let kinds = &self.agreement.agreement().matching.ids;
        command(kinds, self.kind, self.partition)
    }

    /// The same after a link was lost: dials again and again until patience ends.
    pub async fn meet_again(&self) -> Result<Link, Broken> {
        let end = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.meet_once(end, &|| self.nobody_came_back()).await {
                Err(Broken::Lost(_)) if Instant::now() + pause < end => {}
                met => return met,
            }
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    async fn meet_once(
        &self,
        end: Instant,
        nobody: &(dyn Fn() -> Failure + Sync),
    ) -> Result<Link, Broken> {
        let (me, peer) = (self.folder.name(), self.peer);
        let host = me.max(peer).as_str();
        let channel = room_client::party_service(self.folder, self.agreement, host).await;
        let mut client = client::meeting(channel.map_err(Broken::Lost)?);
        let (sender, receiver) = mpsc::channel(MESSAGES_UNDER_WAY);
        let hello = MeetingHello {
            agreement_digest: self.agreement.agreement().digest.as_bytes().to_vec(),
            party: me.to_string(),
            id_kind: self.kind.to_string(),
            partition: self.partition.number(),
            partitions: self.partition.of(),
            agreement_id: self.agreement.agreement().id.as_bytes().to_vec(),
        };
        let hello = MeetingFrame {
            frame: Some(Frame::Hello(hello)),
        };
        let _ = sender.send(hello).await;
        let joined = client.join(ReceiverStream::new(receiver)).await;
        let joined = joined.map_err(|status| refused(&status))?;
        let mut frames = joined.into_inner();
        let there = timeout_at(end, self.wait(&mut frames)).await;
        there.map_err(|_| Broken::Lost(nobody()))??;
        Ok(Link { sender, frames })
    }

    async fn wait(&self, frames: &mut Streaming<MeetingFrame>) -> Result<(), Broken> {
        let (peer, theirs) = (self.peer, self.theirs());
        waits(self.bar, format!("waiting for `{peer}` to run `{theirs}`"));
        let first = frames.message().await;
        let first = first.map_err(|status| refused(&status))?;
        match first.and_then(|frame| frame.frame) {
            Some(Frame::Ready(_)) => Ok(()),
            _ => Err(Broken::Ended(Failure::failed("the matching was not begun")
                .why("this party's place was taken, or given up, before the other one came: another `match run` of this party may be waiting")
                .hint("let one `incamera match run` wait, and end the others; no run is used up"))),
        }
    }
}

/// What matches this part of the ids of a kind, where there are these.
fn command(kinds: &[IdKind], kind: &IdKind, partition: Partition) -> String {
    let mut command = "match run".to_owned();
    if kinds.len() > 1 {
        command += &format!(" --id {kind}");
    }
    if partition != Partition::WHOLE {
        command += &format!(" --partition {partition}");
    }
    command
}

impl Meeting<'_> {
    fn nobody_came(&self) -> Failure {
        let theirs = self.theirs();
        Failure::failed(format!("`{}` did not come to match", self.peer))
            .why(format!(
                "it did not run `{theirs}` within {} s",
                self.patience.as_secs()
            ))
            .hint(format!(
                "agree on a time, and run `{theirs}` on both sides; `--wait SECONDS` waits longer"
            ))
    }

    /// A link was there, and so may be a run that both sides keep.
    fn nobody_came_back(&self) -> Failure {
        Failure::failed("the matching broke off")
            .why(format!(
                "`{}` went away and did not come back within {} s",
                self.peer,
                self.patience.as_secs()
            ))
            .hint(format!(
                "run `{}` again on both sides: a run that was begun goes on where it was; `--wait SECONDS` waits longer",
                self.theirs()
            ))
    }
}

/// Messages on their way, and how many bytes they were.
#[derive(Default)]
pub struct Messages {
    /// The next one to the peer, until the link has room for it.
    waiting: Option<MeetingFrame>,
    pub sent: u64,
    pub received: u64,
}

impl Messages {
    /// Whether one waits for room.
    pub fn wait(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the next message, unless one waits.
    pub fn take(&mut self, next: impl FnOnce() -> Option<MatchMessage>) {
        if self.waiting.is_some() {
            return;
        }
        self.waiting = next().map(|message| {
            let bytes = encode(&message);
            self.sent += bytes.len() as u64;
            MeetingFrame {
                frame: Some(Frame::Message(bytes.into())),
            }
        });
    }

    /// Sends what waits, once there is room; tells whether the link still takes messages.
    /// Nothing is lost where nobody waits for this to end.
    pub async fn send(&mut self, sender: &mpsc::Sender<MeetingFrame>) -> bool {
        let Ok(permit) = sender.reserve().await else {
            return false;
        };
        if let Some(frame) = self.waiting.take() {
            permit.send(frame);
        }
        true
    }

    /// Forgets what waits: its link was lost.
    pub fn drop_waiting(&mut self) {
        self.waiting = None;
    }

    /// Reads a message of the peer.
    pub fn read(&mut self, bytes: &Bytes) -> Result<MatchMessage, Failure> {
        self.received += bytes.len() as u64;
        decode(bytes, MAX_MESSAGE_BYTES)
            .or_fail("the other party sent something that is no message of the matching")
    }
}

impl Link {
    /// Hangs up, and waits until the other side has too: the last message is then delivered.
    pub async fn part(self) {
        let mut frames = self.frames;
        drop(self.sender);
        let ended = async { while let Ok(Some(_)) = frames.message().await {} };
        let _ = timeout(PARTING_LIMIT, ended).await;
    }
}

/// The next message; none once the other party has hung up.
pub async fn next_message(frames: &mut Streaming<MeetingFrame>) -> Result<Option<Bytes>, Broken> {
    let frame = frames.message().await;
    let frame = frame.map_err(|status| broke_off(&status))?;
    match frame.map(|frame| frame.frame) {
        Some(Some(Frame::Message(bytes))) => Ok(Some(bytes)),
        None => Ok(None),
        Some(_) => Err(Broken::Ended(
            Failure::failed("the matching broke off")
                .why("the service that both meet at sent what is no message of the matching")
                .hint("run `match run` again on both sides"),
        )),
    }
}

/// What the meeting point says at the door.
fn refused(status: &Status) -> Broken {
    let failure = status_failure("the service that both meet at refused", status);
    may_come_back(status, failure)
}

/// What ended a link that was there.
fn broke_off(status: &Status) -> Broken {
    may_come_back(status, status_failure("the matching broke off", status))
}

/// A service that is stopped or a line that is cut comes back; a refusal stays one.
fn may_come_back(status: &Status, failure: Failure) -> Broken {
    let problem = Problem::from_status(status);
    match problem.kind() {
        ProblemKind::Refused | ProblemKind::Invalid => Broken::Ended(failure),
        _ => Broken::Lost(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sides of another kind or part wait for each other in vain: each is told for what.
    #[test]
    fn what_is_waited_for_names_kind_and_part() {
        let kinds = ["email", "phone"].map(|kind| kind.parse::<IdKind>().unwrap());
        let of = |kinds: &[IdKind], part| command(kinds, &kinds[kinds.len() - 1], part);
        let part = Partition::new(2, 4).unwrap();
        assert_eq!(of(&kinds[..1], Partition::WHOLE), "match run");
        assert_eq!(of(&kinds, Partition::WHOLE), "match run --id phone");
        assert_eq!(of(&kinds, part), "match run --id phone --partition 2/4");
        assert_eq!(of(&kinds[..1], part), "match run --partition 2/4");
    }
}
