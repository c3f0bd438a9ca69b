//! `match run`: this party's side of a matching run.

mod kept;

use std::time::{Duration, Instant};

use incamera_agreement::{Agreement, MatchingMethod, Reveals, SignedAgreement};
use incamera_matching::{KNOWN_IDS, MatchError, MatchingSecret, Method, Run, Terms, ids};
use incamera_net::services::{MeetingFrame, MeetingHello, meeting_frame::Frame};
use incamera_net::{client, services};
use incamera_seal::{MatchingSlot, RingError, Source, SourceError, read_texts};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{Digest, IdKind, PartyName, Pseudonym};
use incamera_wire::v1::MatchMessage;
use incamera_wire::{decode, encode};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::block_on;
use super::room_client::{self, status_failure};
use super::seal::{ENCRYPTED, mend_address};
use crate::args::MatchRun;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use kept::Before;
pub use kept::crosswalk;

/// Messages to the peer under way.
const MESSAGES_UNDER_WAY: usize = 4;
/// How long to wait for the other side to hang up.
const PARTING_LIMIT: Duration = Duration::from_secs(10);
/// The largest message that is read: a chunk of points and what stands around it.
const MAX_MATCH_MESSAGE_BYTES: usize = 2 * CHUNK_BYTES;

/// Matches with the other party.
pub fn run(arguments: &MatchRun, printer: &Printer) -> Done {
    let start = Instant::now();
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = room_client::own_agreement(&folder, &file)?;
    let kind = id_kind(arguments, &agreement)?;
    let peer = peer(&agreement, folder.name())?;
    // Before the ids: whoever is forgotten from here on may still stand in what is read of them.
    let before = Before::read(&folder, agreement.agreement(), &kind)?;
    let prepared = read_ids(arguments, &folder, agreement.agreement(), &kind, printer)?;
    enough_valid(&prepared, arguments, &kind, printer)?;
    let pseudonyms = exchange(
        arguments,
        &folder,
        &agreement,
        &before,
        &peer,
        prepared.ids.clone(),
        printer,
    )?;
    let path = folder.crosswalk(&agreement.agreement().id, &kind);
    let peer_size = pseudonyms.peer_size;
    let mixed_in = pseudonyms.mixed_in();
    let forgotten = before.keep(&folder, pseudonyms.rows)?;
    let seconds = start.elapsed().as_secs_f64();
    let text = format!(
        "matched with `{peer}`: each of your {} distinct ids of kind `{kind}` has a pseudonym ({seconds:.1} s)\n  rows {}, empty {}, invalid {}, duplicates {}{}\n  `{peer}` sent {peer_size} ids{}; which of them are yours too, neither side learns\n  crosswalk (yours alone): {}",
        prepared.ids.len() - forgotten,
        prepared.rows,
        prepared.empty,
        prepared.invalid,
        prepared.duplicates,
        match forgotten {
            0 => String::new(),
            some => format!(", left out because they were forgotten meanwhile {some}"),
        },
        match mixed_in {
            0 => String::new(),
            some => format!(", up to {some} of them from its earlier runs"),
        },
        path.display()
    );
    let document = json!({
        "id_kind": kind, "peer": peer, "rows": prepared.rows, "empty": prepared.empty,
        "invalid": prepared.invalid, "duplicates": prepared.duplicates,
        "distinct": prepared.ids.len(), "forgotten_meanwhile": forgotten, "peer_ids": peer_size,
        "peer_ids_from_earlier_runs_at_most": mixed_in, "seconds": seconds,
        "crosswalk": path,
    });
    printer.result(text, "incamera-matched/1", &document);
    Ok(())
}

fn id_kind(arguments: &MatchRun, agreement: &Agreement) -> Result<IdKind, Failure> {
    let kinds = &agreement.matching.ids;
    let listed: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let chosen = match (&arguments.id, kinds.as_slice()) {
        (Some(named), _) => kinds.iter().find(|kind| *kind == named),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    chosen.cloned().ok_or_else(|| {
        Failure::usage("which kind of id is to be matched?").hint(format!(
            "name one with `--id`: the agreement matches {}",
            listed.join(", ")
        ))
    })
}

/// The other party of a two-party matching.
fn peer(agreement: &Agreement, me: &PartyName) -> Result<PartyName, Failure> {
    if !agreement.parties.contains_key(me) {
        return Err(Failure::usage(format!(
            "`{me}` is no party of this agreement"
        )));
    }
    let mut others = agreement.owners().into_iter().filter(|party| *party != me);
    match (others.next(), others.next()) {
        (Some(peer), None) => Ok(peer.clone()),
        _ => Err(Failure::usage("this agreement is not between two owners")
            .hint("matching by `commutative` takes exactly two")),
    }
}

fn read_ids(
    arguments: &MatchRun,
    folder: &Folder,
    agreement: &Agreement,
    kind: &IdKind,
    printer: &Printer,
) -> Result<ids::Prepared, Failure> {
    let normaliser = super::ids::normaliser(agreement, kind)?;
    let column = arguments.column.as_deref().unwrap_or(kind.as_str());
    let bar = printer.progress("reading ids", None);
    let mut raw = Vec::new();
    for path in &arguments.data {
        let what = format!(
            "the ids in `{}` were not read",
            Source::shown(path).display()
        );
        let failed = |error: SourceError| {
            let failure = Failure::failed(&what).because(&error);
            failure.hint(mend_and_match(&error))
        };
        let mut source = Source::of(path).map_err(failed)?;
        if source.is_parquet() {
            let unlocked = source.unlock(&folder.ring()?, &agreement.id, None);
            source = unlocked
                .or_fail(&what)
                .map_err(|failure| failure.hint(ENCRYPTED))?;
        }
        read_texts(&source, column, &mut |id| {
            raw.push(id.to_owned());
            bar.inc(1);
        })
        .map_err(failed)?;
    }
    bar.finish_and_clear();
    Ok(ids::collect(raw, &normaliser))
}

fn mend_and_match(error: &SourceError) -> &'static str {
    match error {
        SourceError::MissingColumns { .. } => {
            "name the column with `--column` if it is not called like the kind of id"
        }
        _ => mend_address(error).unwrap_or("nothing was sent: mend the file and run it again"),
    }
}

/// Before anybody is dialled: a run without ids would use one up for nothing.
fn enough_valid(
    prepared: &ids::Prepared,
    arguments: &MatchRun,
    kind: &IdKind,
    printer: &Printer,
) -> Done {
    let column = arguments.column.as_deref().unwrap_or(kind.as_str());
    let wrong = prepared.empty + prepared.invalid;
    if prepared.ids.is_empty() {
        let why = match prepared.rows {
            0 => "the data have no rows".to_owned(),
            rows => format!("of {rows} rows none has a valid `{kind}` in the column `{column}`"),
        };
        return Err(Failure::failed("there is nothing to match").why(why).hint(
            "nothing was sent, and no run is used up: name the column that holds the ids with `--column`, and the kind with `--id`",
        ));
    }
    if wrong > prepared.rows / 2 {
        printer.warn(format!(
            "{wrong} of {} rows have no valid `{kind}` in the column `{column}`: is it the right one?",
            prepared.rows
        ));
    }
    Ok(())
}

fn terms(agreement: &Agreement, kind: &IdKind) -> Result<Terms, Failure> {
    let matching = &agreement.matching;
    if matching.method != MatchingMethod::Commutative || matching.reveals != Reveals::Nothing {
        return Err(Failure::usage(
            "this version matches by `commutative` with reveals `nothing` only",
        ));
    }
    Ok(Terms {
        agreement_id: agreement.id,
        agreement_digest: agreement.digest,
        epoch: matching.epoch,
        id_kind: kind.clone(),
        method: Method::Commutative,
        reveals: incamera_matching::Reveals::Nothing,
        max_ids: matching.max_ids,
    })
}

/// What a run gives.
struct Matched {
    rows: Vec<(String, Pseudonym)>,
    peer_size: u64,
    /// Whether no run of this party came before: then none of the other one did either.
    first: bool,
}

impl Matched {
    /// At most so many of the peer's ids are from its earlier runs, mixed in to be compared.
    fn mixed_in(&self) -> u64 {
        match self.first {
            true => 0,
            false => self.peer_size.min(KNOWN_IDS as u64),
        }
    }
}

fn exchange(
    arguments: &MatchRun,
    folder: &Folder,
    agreement: &SignedAgreement,
    before: &Before,
    peer: &PartyName,
    ids: Vec<String>,
    printer: &Printer,
) -> Result<Matched, Failure> {
    let scope = before.scope();
    let slot = MatchingSlot {
        agreement_id: scope.agreement_id,
        epoch: scope.epoch,
        id_kind: scope.id_kind.clone(),
        method: Method::Commutative.to_string(),
        reveals: incamera_matching::Reveals::Nothing.to_string(),
    };
    let terms = terms(agreement.agreement(), &scope.id_kind)?;
    let mut ring = folder.ring()?;
    let mut rng = rand::rng();
    let secret = ring
        .matching_secret_or_new(&slot, &mut rng)
        .or_fail("the matching secret was not kept")?;
    let limit = agreement.agreement().matching.max_runs;
    let first = secret.runs() == 0;
    allow_run(secret.runs(), limit)?;
    let secret = MatchingSecret::from_key(secret.key().expose());
    let me = folder.name().clone();
    let run = Run::new(
        terms,
        me,
        peer.clone(),
        &secret,
        ids,
        before.known(),
        &mut rng,
    )
    .map_err(|error| match_failure(&error))?;
    let bar = printer.progress("matching", None);
    let mut count = || match ring.count_matching_run(&slot, limit) {
        Ok(_) => Ok(()),
        Err(RingError::NoRunsLeft { runs, limit }) => Err(no_runs_left(runs, limit)),
        Err(error) => Err(error).or_fail("the run was not counted"),
    };
    let talk = Talk {
        patience: arguments.patience(),
        kind: &scope.id_kind,
        bar: &bar,
    };
    let matched = block_on(converse(run, &talk, folder, agreement, &mut count));
    bar.finish_and_clear();
    matched.map(|matched| Matched { first, ..matched })
}

/// Before anybody is dialled; counted, and looked at again, once the other party is there.
fn allow_run(runs: u32, limit: u32) -> Done {
    match runs < limit {
        true => Ok(()),
        false => Err(no_runs_left(runs, limit)),
    }
}

fn no_runs_left(runs: u32, limit: u32) -> Failure {
    Failure::new(Exit::Refused, "no more matching runs are allowed")
        .because(&RingError::NoRunsLeft { runs, limit })
        .hint("agree on a new version with a higher `max_runs`, or start a new epoch")
}

fn match_failure(error: &MatchError) -> Failure {
    Failure::failed("the matching was not done")
        .because(error)
        .hint("nothing was written; once mended, both sides run `match run` again")
}

/// Dials the meeting point: the service of the party whose name comes later.
async fn dial(
    folder: &Folder,
    agreement: &SignedAgreement,
    peer: &str,
) -> Result<services::meeting_client::MeetingClient<tonic::transport::Channel>, Failure> {
    let me = folder.name().as_str();
    let host = if me > peer { me } else { peer };
    let channel = room_client::party_service(folder, agreement, host).await?;
    Ok(client::meeting(channel))
}

/// How to talk to the other party.
struct Talk<'a> {
    patience: Duration,
    kind: &'a IdKind,
    bar: &'a ProgressBar,
}

/// One run; `count` is told once the other party is there, before anything is sent.
async fn converse(
    mut run: Run,
    how: &Talk<'_>,
    folder: &Folder,
    agreement: &SignedAgreement,
    count: &mut dyn FnMut() -> Done,
) -> Result<Matched, Failure> {
    let peer = peer(agreement.agreement(), folder.name())?;
    let mut client = dial(folder, agreement, peer.as_str()).await?;
    let (sender, receiver) = mpsc::channel(MESSAGES_UNDER_WAY);
    let hello = MeetingHello {
        agreement_digest: agreement.agreement().digest.as_bytes().to_vec(),
        party: folder.name().to_string(),
        id_kind: how.kind.to_string(),
    };
    let _ = sender
        .send(MeetingFrame {
            frame: Some(Frame::Hello(hello)),
        })
        .await;
    let joined = client.join(ReceiverStream::new(receiver)).await;
    let joined = joined
        .map_err(|status| status_failure("the service that both meet at refused", &status))?;
    let mut frames = joined.into_inner();
    wait_for_peer(&mut frames, how.patience, peer.as_str(), how.bar).await?;
    tokio::task::block_in_place(count)?;
    talk(&mut run, &sender, &mut frames, how.bar).await?;
    part(sender, &mut frames).await;
    let peer_size = run.peer_size().unwrap_or_default();
    let rows = run.finish().map_err(|error| match_failure(&error))?;
    Ok(Matched {
        rows,
        peer_size,
        first: false,
    })
}

/// Hangs up, and waits until the other side has too: the last message is then delivered.
async fn part(sender: mpsc::Sender<MeetingFrame>, frames: &mut Streaming<MeetingFrame>) {
    drop(sender);
    let ended = async { while let Ok(Some(_)) = frames.message().await {} };
    let _ = tokio::time::timeout(PARTING_LIMIT, ended).await;
}

async fn wait_for_peer(
    frames: &mut Streaming<MeetingFrame>,
    patience: Duration,
    peer: &str,
    bar: &ProgressBar,
) -> Done {
    bar.set_message(format!("waiting for `{peer}` to run `match run`"));
    let first = tokio::time::timeout(patience, frames.message()).await;
    let first = first.map_err(|_| {
        Failure::failed(format!("`{peer}` did not come to match"))
            .why(format!(
                "it did not run `match run` within {} s",
                patience.as_secs()
            ))
            .hint("agree on a time, and run it on both sides; `--wait SECONDS` waits longer")
    })?;
    let first =
        first.map_err(|status| status_failure("the service that both meet at refused", &status))?;
    match first.and_then(|frame| frame.frame) {
        Some(Frame::Ready(_)) => Ok(()),
        _ => Err(Failure::failed("the matching was not begun")
            .why("this party's place was taken, or given up, before the other one came: another `match run` of this party may be waiting")
            .hint("let one `incamera match run` wait, and end the others; no run is used up")),
    }
}

/// Sends and receives until the run is finished.
async fn talk(
    run: &mut Run,
    sender: &mpsc::Sender<MeetingFrame>,
    frames: &mut Streaming<MeetingFrame>,
    bar: &ProgressBar,
) -> Done {
    bar.set_message("matching");
    let mut waiting: Option<MatchMessage> = None;
    loop {
        if waiting.is_none() {
            waiting = tokio::task::block_in_place(|| run.outgoing());
        }
        if waiting.is_none() && run.is_finished() {
            return Ok(());
        }
        let progress = run.progress();
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        // Never blocks on sending alone: the peer may be waiting to be read.
        tokio::select! {
            permit = sender.reserve(), if waiting.is_some() => {
                let Ok(permit) = permit else { return Err(hung_up()) };
                if let Some(message) = waiting.take() {
                    permit.send(MeetingFrame { frame: Some(Frame::Message(encode(&message).into())) });
                }
            }
            frame = frames.message() => {
                let message = received(frame)?;
                tokio::task::block_in_place(|| run.incoming(message))
                    .map_err(|error| match_failure(&error))?;
            }
        }
    }
}

fn received(frame: Result<Option<MeetingFrame>, tonic::Status>) -> Result<MatchMessage, Failure> {
    let frame = frame.map_err(|status| status_failure("the matching broke off", &status))?;
    match frame.and_then(|frame| frame.frame) {
        Some(Frame::Message(bytes)) => decode(&bytes, MAX_MATCH_MESSAGE_BYTES)
            .or_fail("the other party sent something that is no message of the matching"),
        Some(_) => Err(Failure::failed("the matching broke off")
            .why("the service that both meet at sent what is no message of the matching")
            .hint("run `match run` again on both sides")),
        None => Err(hung_up()),
    }
}

fn hung_up() -> Failure {
    Failure::failed("the matching broke off")
        .why("the other party hung up before it was done")
        .hint("run `match run` again on both sides")
}
