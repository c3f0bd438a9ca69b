//! The journal's thread: all that waits is written, then synced once, then said to be kept.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use incamera_matching::exchange::{Agreed, Keep, Mark, Recall, Side};
use incamera_matching::journal::{
    Header, Held, Journal, JournalError, Opened, Places, Record, is_expired,
};
use incamera_matching::{Seed, Value};
use incamera_seal::file_digest;
use tokio::sync::mpsc::UnboundedSender;

use super::Work;
use super::drive::Event;
use super::files::LogFile;
use super::ingest::Input;
use crate::clock::now;
use crate::failure::{Context, Failure};

/// A run that is in its journal.
pub struct Kept {
    pub journal: Journal<LogFile>,
    pub header: Box<Header>,
    pub held: Held,
}

/// How far a run is.
pub enum Stage {
    /// Nothing is kept yet.
    New(Seed),
    /// It goes on.
    Kept(Kept),
}

/// What of an interrupted run is there.
pub fn interrupted(work: &Work<'_>) -> Result<Option<Kept>, Failure> {
    let what = "the journal of the matching was not read";
    if !work.slot.has_journal() {
        return Ok(None);
    }
    if work.arguments.anew {
        work.slot.remove_journal()?;
        return Ok(None);
    }
    let file = work.slot.journal().or_fail(what)?;
    let opened = Journal::open(file, work.journal_key());
    let Opened::Run {
        journal,
        header,
        held,
    } = opened.map_err(|error| journal_failure(&error))?
    else {
        return work.slot.remove_journal().map(|()| None);
    };
    let mut kept = Kept {
        journal,
        header,
        held,
    };
    kept.recognise_crosswalk(work)?;
    if kept.held.written && kept.held.served {
        // Killed with all done but to remove it.
        drop(kept);
        return work.slot.remove_journal().map(|()| None);
    }
    if is_expired(&kept.header, now()) {
        work.printer
            .note("an interrupted run is too old to be gone on with: this is a new one");
        drop(kept);
        return work.slot.remove_journal().map(|()| None);
    }
    Ok(Some(kept))
}

/// Begins the journal of a new run.
pub fn begin_journal(
    work: &Work<'_>,
    input: &Input,
    seed: Seed,
    agreed: &Agreed,
) -> Result<(Journal<LogFile>, Box<Header>), Failure> {
    let made_at = now();
    let header = Box::new(Header {
        input: input.digest,
        order: input.ordered.order_digest,
        greeting: agreed.greeting,
        peer_key: agreed.peer_key,
        seed,
        nonce: agreed.nonce,
        run: agreed.run,
        own: input.ordered.len(),
        peer: agreed.peer_size,
        mode: work.mode(),
        made_at,
        expires_at: made_at.plus(work.arguments.keep_journal * 3600),
    });
    let what = "the journal of the matching was not begun";
    let file = work.slot.journal().or_fail(what)?;
    let journal = Journal::create(file, work.journal_key(), &header, &mut rand::rng());
    Ok((journal.map_err(|error| journal_failure(&error))?, header))
}

impl Kept {
    /// Whether all own ids have their pseudonyms, and only the crosswalk is to be written.
    pub fn is_complete(&self) -> bool {
        self.held.own == self.header.own && !self.held.written
    }

    /// A run that was killed with its crosswalk in place, and before the journal said so, is as
    /// good as written: with the new crosswalk its input would look like another one.
    fn recognise_crosswalk(&mut self, work: &Work<'_>) -> Result<(), Failure> {
        let path = work.crosswalk_path();
        let Some(digest) = self.held.crosswalk.filter(|_| !self.held.written) else {
            return Ok(());
        };
        let there = path.exists();
        let found = there.then(|| file_digest(&path)).transpose();
        match found.or_fail("the crosswalk was not read")? == Some(digest) {
            true => self.note(&Record::Written),
            false => Ok(()),
        }
    }

    /// Whether rows are proven.
    pub fn is_proven(&self) -> bool {
        self.header.peer_key.is_some()
    }

    /// Notes what is done, durably.
    pub fn note(&mut self, record: &Record) -> Result<(), Failure> {
        let written = self.journal.append(record, &mut rand::rng());
        let synced = written.and_then(|()| self.journal.sync());
        synced.map_err(|error| journal_failure(&error))?;
        match record {
            Record::Served => self.held.served = true,
            Record::Crosswalk(digest) => self.held.crosswalk = Some(*digest),
            Record::Written => self.held.written = true,
            _ => {}
        }
        Ok(())
    }
}

enum Request {
    Keep(Keep),
    Recall(Recall),
}

/// Writes a journal on a thread of its own.
pub struct Keeper {
    requests: Sender<Request>,
    thread: JoinHandle<Journal<LogFile>>,
}

impl Keeper {
    /// Starts on `journal`; what is kept or read back goes to `events`.
    pub fn start(journal: Journal<LogFile>, events: UnboundedSender<Event>) -> Self {
        let (requests, queue) = channel();
        let thread = std::thread::spawn(move || {
            let mut journal = journal;
            let told = serve(&mut journal, &queue, &events);
            if let Err(error) = told {
                let _ = events.send(Event::NotKept(error));
            }
            journal
        });
        Self { requests, thread }
    }

    /// Has values written.
    pub fn keep(&self, keep: Keep) {
        let _ = self.requests.send(Request::Keep(keep));
    }

    /// Has values of the peer's places read back.
    pub fn recall(&self, asked: Recall) {
        let _ = self.requests.send(Request::Recall(asked));
    }

    /// The journal, once all is written.
    pub fn finish(self) -> Result<Journal<LogFile>, Failure> {
        drop(self.requests);
        let journal = self.thread.join();
        journal.map_err(|_| Failure::failed("the journal of the matching was not written"))
    }
}

fn serve(
    journal: &mut Journal<LogFile>,
    queue: &Receiver<Request>,
    events: &UnboundedSender<Event>,
) -> Result<(), JournalError> {
    let mut rng = rand::rng();
    while let Ok(first) = queue.recv() {
        let mut last: Option<Mark> = None;
        let mut recalls = Vec::new();
        for request in std::iter::once(first).chain(queue.try_iter()) {
            match request {
                Request::Keep(keep) => {
                    last = Some(keep.mark);
                    journal.append(&record(keep), &mut rng)?;
                }
                Request::Recall(asked) => recalls.push(asked),
            }
        }
        if let Some(mark) = last {
            journal.sync()?;
            let _ = events.send(Event::Kept(mark));
        }
        for asked in recalls {
            let values = journal.theirs(asked.places.clone())?;
            let _ = events.send(Event::Recalled(asked, values));
        }
    }
    Ok(())
}

fn record(keep: Keep) -> Record {
    let values: &[Value] = &keep.values;
    let places = Places {
        first: keep.first,
        bytes: values.as_flattened().to_vec(),
    };
    match keep.side {
        Side::Own => Record::Own(places),
        Side::Theirs => Record::Theirs(places),
    }
}

/// A journal that could not be read or written.
pub fn journal_failure(error: &JournalError) -> Failure {
    let failure = Failure::failed("the matching cannot be gone on with").because(error);
    match error {
        JournalError::Damaged { .. } | JournalError::Unknown => failure.hint(
            "restore the key ring if it is another one; else `match run --anew` begins anew, which counts as one more run",
        ),
        _ => failure.or_hint("see that the party's folder can be written, and run `match run` again: it goes on where it was"),
    }
}
