//! The conductor of a run: owns the exchange, and carries between it, the link, the threads
//! that multiply, the journal and the ids.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use incamera_matching::exchange::{
    Agreed, Base, Block, Done, Mark, Progress, Recall, Resumable, Setup, Tuning,
};
use incamera_matching::intake::Ids;
use incamera_matching::journal::{Changed, Header, Held, JournalError};
use incamera_matching::{
    Exchange, MatchError, MatchingSecret, Mode, Reveals, RunKeys, Seed, Value,
};
use incamera_wire::v1::MatchMessage;
use incamera_wire::v1::match_message::Message;
use indicatif::ProgressBar;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::Work;
use super::counting::Counting;
use super::files::FileStore;
use super::ingest::Input;
use super::keep::{Keeper, Kept, Stage, begin_journal, journal_failure};
use super::link::{Broken, Link, Messages, SILENCE_LIMIT, next_message};
use super::pair::Talked;
use super::theirs::must_be_there;
use super::workers::Workers;
use crate::failure::{Context, Failure};
use crate::printer::works;

/// What stands beside the count of ids: both sides' stand in it.
pub const MATCHING: &str = "matching ids of both sides";
/// Points of a chunk.
const CHUNK_POINTS: usize = 4096;
/// What to do about a run that broke off.
const GOES_ON: &str = "run `match run` again on both sides: it goes on where it was";

/// What threads tell the conductor.
pub enum Event {
    /// A chunk was worked on.
    Done(Done),
    /// All up to the mark is in the journal.
    Kept(Mark),
    /// What the journal has of the peer's places.
    Recalled(Recall, Vec<Value>),
    /// The journal takes no more.
    NotKept(JournalError),
}

/// How a talk over a link ended well.
pub enum Step {
    /// Both sides have everything.
    Finished,
    /// The peer does not know the run that was to go on.
    Anew,
}

/// One run, over as many links as it takes.
pub struct Conductor<'a> {
    work: &'a Work<'a>,
    input: &'a Input,
    counting: &'a mut Counting,
    exchange: Exchange,
    /// What a new run is made from, until it is in a journal.
    seed: Option<Seed>,
    /// The run's, once it is in a journal, and what was done before this start.
    kept: Option<(Box<Header>, Held)>,
    keeper: Option<Keeper>,
    /// What was handed to the journal last, while it is not kept.
    unkept: Option<Mark>,
    /// The places whose values are being read back.
    recalling: Option<Recall>,
    /// Where the ids are read, once they are.
    ids: Option<Ids<FileStore>>,
    workers: Workers,
    /// Jobs that are given and not back.
    out: usize,
    events: UnboundedReceiver<Event>,
    told: UnboundedSender<Event>,
    messages: Messages,
    /// Whether the run has begun over this link.
    begun: bool,
    agreed: Option<Agreed>,
    /// Whether no run of this party came before: then none of the peer did either.
    first_run: bool,
    resumed_from: u64,
    /// When the peer was heard last.
    heard: Instant,
    bar: &'a ProgressBar,
}

impl<'a> Conductor<'a> {
    /// A run that is to begin, or to go on.
    pub fn new(
        work: &'a Work<'a>,
        input: &'a Input,
        counting: &'a mut Counting,
        stage: Stage,
        bar: &'a ProgressBar,
    ) -> Result<Self, Failure> {
        let (told, events) = unbounded_channel();
        let (first_run, resumed_from) = match &stage {
            Stage::New(_) => (counting.is_first(), 0),
            Stage::Kept(kept) => (counting.runs_here() <= 1, kept.held.own),
        };
        let exchange = match &stage {
            Stage::New(seed) => new_exchange(work, input, counting, seed)?,
            Stage::Kept(kept) => kept_exchange(work, counting, kept)?,
        };
        let (seed, kept, keeper) = match stage {
            Stage::New(seed) => (Some(seed), None, None),
            Stage::Kept(kept) => {
                let keeper = Keeper::start(kept.journal, told.clone());
                (None, Some((kept.header, kept.held)), Some(keeper))
            }
        };
        Ok(Self {
            work,
            input,
            counting,
            exchange,
            seed,
            kept,
            keeper,
            unkept: None,
            recalling: None,
            ids: None,
            workers: Workers::start(&told),
            out: 0,
            events,
            told,
            messages: Messages::default(),
            begun: false,
            agreed: None,
            first_run,
            resumed_from,
            heard: Instant::now(),
            bar,
        })
    }

    /// A greeting of the peer that came before this run was made.
    pub fn greeted(&mut self, hello: MatchMessage) -> Result<(), Failure> {
        self.on(|exchange| exchange.incoming(hello))
    }

    /// Whether all own ids have their pseudonyms.
    pub fn has_all(&self) -> bool {
        self.keeper.is_some() && self.exchange.has_all()
    }

    /// Carries until the run is finished, or the link is lost.
    pub async fn drive(&mut self, link: &mut Link) -> Result<Step, Broken> {
        self.heard = Instant::now();
        // Before the peer's greeting is read: if that is refused, it shall know why.
        self.pump()?;
        if self.messages.wait() {
            let _ = self.messages.send(&link.sender).await;
        }
        loop {
            self.pump()?;
            if self.exchange.must_start_anew() {
                return Ok(Step::Anew);
            }
            if !self.messages.wait() && self.exchange.is_finished() {
                return Ok(Step::Finished);
            }
            let silent = self.heard + self.patience();
            // Never blocks on sending alone: the peer may be waiting to be read.
            tokio::select! {
                there = self.messages.send(&link.sender), if self.messages.wait() => if !there {
                    return Err(Broken::Lost(cut_off()));
                },
                message = next_message(&mut link.frames) => {
                    self.heard = Instant::now();
                    match message? {
                        Some(bytes) => self.receive(&bytes)?,
                        None => return Err(Broken::Left(hung_up())),
                    }
                }
                Some(event) = self.events.recv() => {
                    self.take(event)?;
                    while let Ok(event) = self.events.try_recv() {
                        self.take(event)?;
                    }
                }
                () = sleep_until(silent), if self.is_idle() => return Err(Broken::Lost(cut_off())),
            }
        }
    }

    /// Goes back to what is kept, for another link.
    pub async fn rejoin(&mut self) -> Result<(), Failure> {
        while self.unkept.is_some() {
            let Some(event) = self.events.recv().await else {
                break;
            };
            self.take(event)?;
        }
        self.messages.drop_waiting();
        (self.recalling, self.begun) = (None, false);
        let rejoined = self.exchange.rejoin();
        rejoined.map_err(|error| match_failure(&error))
    }

    /// What was said so far.
    pub fn talked(&self) -> Talked {
        let progress = self.exchange.progress();
        let agreed = self.agreed.as_ref();
        Talked {
            run: agreed.map(|agreed| agreed.run.to_string()),
            peer_ids: agreed.map_or(0, |agreed| agreed.peer_size),
            peer_came_before: !self.first_run && self.peer_mixes_in(),
            resumed_from: self.resumed_from,
            multiplied: progress.multiplied,
            bytes_sent: self.messages.sent,
            bytes_received: self.messages.received,
            served: self.exchange.is_finished(),
            row_keys: agreed.is_some_and(|agreed| agreed.peer_key.is_some()),
        }
    }

    /// Whether a peer that came before adds earlier ids to those that it would send anyway.
    fn peer_mixes_in(&self) -> bool {
        let hides = self.work.terms.reveals == Reveals::Nothing;
        let mode = self.agreed.as_ref().map(|agreed| agreed.peer_mode);
        hides || mode == Some(Mode::Append)
    }

    /// What the journal has of the run; nothing where it has not begun.
    pub fn finish(self) -> Result<Option<Kept>, Failure> {
        let progress = self.exchange.progress();
        drop(self.workers);
        let Some((keeper, (header, held))) = self.keeper.zip(self.kept) else {
            return Ok(None);
        };
        let held = Held {
            own: progress.own,
            theirs: progress.theirs,
            ..held
        };
        Ok(Some(Kept {
            journal: keeper.finish()?,
            header,
            held,
        }))
    }

    /// The peer's greeting, if another run is to take it.
    pub fn start_anew(self) -> Option<MatchMessage> {
        self.exchange.start_anew()
    }

    /// Everything that can be done without waiting.
    fn pump(&mut self) -> Result<(), Failure> {
        self.begin()?;
        while let Some(places) = self.exchange.wanted() {
            let (first, block) = (places.start, self.read(places)?);
            self.on(|exchange| exchange.give(first, block))?;
        }
        self.recall();
        while self.out < self.workers.room() {
            let Some(job) = self.exchange.job() else {
                break;
            };
            self.workers.give(job);
            self.out += 1;
        }
        if let Some(keeper) = &self.keeper {
            while let Some(keep) = self.exchange.to_keep() {
                self.unkept = Some(keep.mark);
                keeper.keep(keep);
            }
        }
        self.messages.take(|| self.exchange.outgoing());
        self.show();
        Ok(())
    }

    /// Once both have greeted: the run is kept and counted, and points may travel.
    fn begin(&mut self) -> Result<(), Failure> {
        let Some(agreed) = self.exchange.agreed().filter(|_| !self.begun).cloned() else {
            return Ok(());
        };
        works(self.bar, MATCHING);
        self.counting.allow(&agreed)?;
        must_be_there(self.work, self.counting, &agreed)?;
        if let Some(seed) = self.seed.take() {
            let (journal, header) = begin_journal(self.work, self.input, seed, &agreed)?;
            self.keeper = Some(Keeper::start(journal, self.told.clone()));
            self.kept = Some((header, Held::default()));
        }
        let Progress { own_total, .. } = self.exchange.progress();
        self.counting.count(&agreed, own_total, self.mode())?;
        if let Some(theirs) = agreed
            .other_numbering
            .as_ref()
            .filter(|_| self.agreed.is_none())
        {
            self.work.warn_of_numbering(theirs);
        }
        self.agreed = Some(agreed);
        self.begun = true;
        self.on(Exchange::begin)
    }

    /// Ids of these places.
    fn read(&mut self, places: Range<u64>) -> Result<Block, Failure> {
        let what = "the ids were not read back";
        let mut ids = match self.ids.take().filter(|ids| ids.place() == places.start) {
            Some(ids) => ids,
            None => self.input.ordered.read_from(places.start).or_fail(what)?,
        };
        let mut block = Block::new();
        for _ in places {
            if let Some(entry) = ids.next().or_fail(what)? {
                block.push(entry.id.as_bytes());
            }
        }
        self.ids = Some(ids);
        Ok(block)
    }

    fn recall(&mut self) {
        let asked = self.exchange.recall();
        if asked == self.recalling {
            return;
        }
        self.recalling.clone_from(&asked);
        if let Some((keeper, asked)) = self.keeper.as_ref().zip(asked) {
            keeper.recall(asked);
        }
    }

    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Done(done) => {
                self.out -= 1;
                self.on(|exchange| exchange.done(done))
            }
            Event::Kept(mark) => {
                if self.unkept == Some(mark) {
                    self.unkept = None;
                }
                self.on(|exchange| exchange.kept(mark))
            }
            Event::Recalled(asked, values) => self.on(|exchange| exchange.recalled(&asked, values)),
            Event::NotKept(error) => Err(journal_failure(&error)),
        }
    }

    fn receive(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        let message = self.messages.read(bytes)?;
        if let Some(Message::Blinded(points)) = &message.message
            && points.first == 0
        {
            self.first_points(&points.points)?;
        }
        self.on(|exchange| exchange.incoming(message))
    }

    /// Under `own-matches` points last, and those of an earlier run come again.
    fn first_points(&mut self, points: &[u8]) -> Result<(), Failure> {
        let hides = self.work.terms.reveals == Reveals::Nothing;
        match self.agreed.as_ref().filter(|_| hides) {
            Some(agreed) => self.counting.first_points(agreed, points),
            None => Ok(()),
        }
    }

    /// Of the run, which may have been begun otherwise than this start asks for.
    fn mode(&self) -> Mode {
        let kept = self.kept.as_ref();
        kept.map_or(self.work.mode(), |(header, _)| header.mode)
    }

    fn on(
        &mut self,
        call: impl FnOnce(&mut Exchange) -> Result<(), MatchError>,
    ) -> Result<(), Failure> {
        let called = call(&mut self.exchange);
        called.map_err(|error| {
            if matches!(error, MatchError::PeerMisbehaved { .. }) {
                // Going on with this run would end the same way.
                let _ = self.work.slot.remove_journal();
            }
            match_failure(&error)
        })
    }

    /// Whether only the peer can bring the run on.
    fn is_idle(&self) -> bool {
        self.out == 0 && self.unkept.is_none()
    }

    /// How long the peer may be silent. Before the run begins it may read its ids again.
    fn patience(&self) -> Duration {
        match self.begun {
            true => SILENCE_LIMIT,
            false => SILENCE_LIMIT.max(self.work.arguments.patience()),
        }
    }

    /// Before it begins the peer is waited for.
    fn show(&self) {
        if !self.begun {
            return;
        }
        let Progress {
            own,
            own_total,
            theirs,
            theirs_total,
            ..
        } = self.exchange.progress();
        self.bar.set_length(own_total + theirs_total);
        self.bar.set_position(own + theirs);
    }
}

/// The exchange of a run that begins.
fn new_exchange(
    work: &Work<'_>,
    input: &Input,
    counting: &Counting,
    seed: &Seed,
) -> Result<Exchange, Failure> {
    exchange(
        work,
        Begun {
            keys: seed.run(&input.digest),
            own: input.ordered.len(),
            mode: work.mode(),
            row_keys: work.arguments.row_keys,
            base: counting.base(None),
            resume: None,
        },
    )
}

/// The exchange of a run that goes on.
fn kept_exchange(work: &Work<'_>, counting: &Counting, kept: &Kept) -> Result<Exchange, Failure> {
    let header = &kept.header;
    exchange(
        work,
        Begun {
            keys: header.seed.run(&header.input),
            own: header.own,
            mode: header.mode,
            row_keys: kept.is_proven(),
            base: counting.base(Some(header)),
            resume: Some(header.resumable(&kept.held)),
        },
    )
}

/// Whether this program greets as the one did that began the run: else the peer could not go on.
pub fn greets_as_before(
    work: &Work<'_>,
    counting: &Counting,
    kept: &Kept,
) -> Result<Result<(), Changed>, Failure> {
    let exchange = kept_exchange(work, counting, kept)?;
    Ok(kept.header.greets(&exchange.greeting()))
}

/// What one run is made from.
struct Begun {
    keys: RunKeys,
    own: u64,
    mode: Mode,
    row_keys: bool,
    base: Base,
    resume: Option<Resumable>,
}

fn exchange(work: &Work<'_>, begun: Begun) -> Result<Exchange, Failure> {
    let arguments = work.arguments;
    let tuning = Tuning::new(CHUNK_POINTS.min(arguments.window), arguments.window);
    let setup = Setup {
        terms: work.terms.clone(),
        me: work.folder.name().clone(),
        peer: work.peer.clone(),
        secret: &MatchingSecret::from_key(work.secret.expose()),
        keys: &begun.keys,
        own: begun.own,
        mode: begun.mode,
        alike: work.alike(),
        numbering: work.numbering().to_owned(),
        base: begun.base,
        row_keys: begun.row_keys,
        tuning: tuning.or_fail("points cannot be under way like this")?,
        backend: work.backend()?,
        resume: begun.resume,
    };
    Exchange::new(setup, &mut rand::rng()).map_err(|error| match_failure(&error))
}

/// A run that the protocol ended.
pub fn match_failure(error: &MatchError) -> Failure {
    let hint = match error {
        MatchError::GetsNowhere { .. } => GOES_ON,
        _ => "nothing was written; once mended, both sides run `match run` again",
    };
    Failure::failed("the matching was not done")
        .because(error)
        .hint(hint)
}

fn cut_off() -> Failure {
    Failure::failed("the matching broke off")
        .why("the other party is not heard any more")
        .hint(GOES_ON)
}

fn hung_up() -> Failure {
    Failure::failed("the matching broke off")
        .why("the other party hung up before it was done")
        .hint(GOES_ON)
}
