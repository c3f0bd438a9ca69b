//! `match run`: this party's side of a matching run.
//!
//! | pass     | where        | what                                                        |
//! |----------|--------------|-------------------------------------------------------------|
//! | terms    | `agreed`     | what the agreement says, and what it does not allow         |
//! | ring     | `ring`       | the key ring, once: secret, count of runs, keys of sources  |
//! | intake   | `ingest`     | ids out of files (`reading`, or `parted` after `split`) and the crosswalk, distinct, in their order; `consented` asks what people agreed to, `counted` counts |
//! | exchange | `drive`      | with the peer, over `link`; `workers` multiply, `keep` writes the journal |
//! | end      | `output`     | both sides checked, the crosswalk written                   |
//!
//! A party that matches with nobody goes the way of `alone`, one that matches through providers
//! that of `provided`, and `vole` has a talk of its own. `links` is `match links`.
//!
//! A run that is cut off, by a kill or the line, goes on with its journal
//! ([decision 0075](../../../../docs/decisions/0075-a-journal-before-the-answers.md)).

mod agreed;
mod alone;
mod consented;
mod counted;
mod counted_runs;
mod counting;
mod drive;
mod files;
mod ingest;
mod keep;
mod kept;
mod link;
pub mod links;
mod output;
mod pair;
mod parted;
mod provided;
mod reading;
mod report;
mod ring;
pub mod split;
mod theirs;
mod used;
mod vole;
mod workers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use incamera_agreement::{MatchingMethod, SignedAgreement};
use incamera_group::Backend;
use incamera_keys::MatchingKey;
use incamera_matching::exchange::Alike;
use incamera_matching::finish::Finished;
use incamera_matching::journal::{Changed, JournalKey, Record};
use incamera_matching::part_file::PartKey;
use incamera_matching::sort::Memory;
use incamera_matching::{Method, Mode, Partition, Seed, Terms};
use incamera_seal::{CrosswalkScope, Source};
use incamera_types::{IdKind, IdWriting, PartyName};
use incamera_wire::v1::MatchMessage;
use indicatif::ProgressBar;

use super::{block_on, room_client};
use crate::args::{Instructions, MatchRun};
use crate::failure::{Context, Done, Failure};
use crate::folder::Folder;
use crate::interrupt;
use crate::printer::Printer;
use agreed::{id_kind, owner, partition, peer, terms};
use counting::Counting;
use drive::{Conductor, Step, greets_as_before};
use files::SlotFolder;
use ingest::Input;
use keep::{Kept, Stage, interrupted};
use link::{Broken, Link, Meeting};
use pair::{Pair, Talked};
use parted::Parted;
use reading::Reading;

pub use kept::{MissingPart, crosswalk, crosswalk_there, is_of_another_run, kind_with_ids};
pub use links::{LinksDue, links_due, links_to_put};
pub use report::fields;
pub use used::{Used, used_under};

/// How long a peer may take to come for its last answers once the crosswalk is written. One that
/// still runs comes within seconds; any other gets them when both run `match run` again.
const LATER_LIMIT: Duration = Duration::from_secs(30);

/// Memory for sorting by method `vole`, which has all ids in memory anyhow: a few million.
const VOLE_ARENA_BYTES: usize = 256 << 20;

/// What all passes work with.
pub struct Work<'a> {
    arguments: &'a MatchRun,
    folder: &'a Folder,
    agreement: &'a SignedAgreement,
    printer: &'a Printer,
    terms: Terms,
    peer: PartyName,
    partition: Partition,
    slot: SlotFolder,
    secret: MatchingKey,
    sources: Vec<Source>,
    /// Where rows come from in the place of sources.
    split: Option<Parted>,
}

/// Matches with the other party.
pub fn run(arguments: &MatchRun, printer: &Printer) -> Done {
    let start = Instant::now();
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let signed = room_client::own_agreement(&folder, &file)?;
    let agreement = signed.agreement();
    let kind = id_kind(arguments.id.as_ref(), agreement)?;
    let peer = match agreement.matching.method {
        MatchingMethod::None => folder.name().clone(),
        MatchingMethod::Provider => owner(agreement, folder.name())?,
        _ => peer(agreement, folder.name())?,
    };
    let terms = terms(agreement, &kind)?;
    agreed::allowed(arguments, &terms)?;
    interrupt::say(*printer, interrupted_words(arguments, terms.method));
    agreed::without(arguments, agreement)?;
    remove_expired(&folder)?;
    let partition = partition(arguments, agreement)?;
    let of = |partition| folder.matching(&agreement.id, &kind, &peer, terms.epoch, partition);
    let slot = SlotFolder::take(of(Partition::WHOLE), of(partition))?;
    let runs = (partition, agreement.matching.max_runs);
    let opened = ring::open(&arguments.data, &folder, &terms, runs, &slot, printer)?;
    let split = arguments.split.as_deref().map(|split| {
        let key = PartKey::of(&opened.secret, &terms, &peer);
        Parted::open(split, key, partition, agreement)
    });
    let work = Work {
        arguments,
        folder: &folder,
        agreement: &signed,
        printer,
        terms,
        peer,
        partition,
        slot,
        secret: opened.secret,
        sources: opened.sources,
        split: split.transpose()?,
    };
    let mut counting = opened.counting;
    kept::adds_to_its_epoch(&work)?;
    match work.terms.method {
        Method::None => return alone::run(&work, start),
        Method::Vole => return vole::run(&work, &mut counting, start),
        _ => {}
    }
    work.backend()?;
    if work.terms.method == Method::Provider {
        kept::other_way(&work)?;
        return match work.arguments.via {
            Some(_) => provided::linked::run(&work, start),
            None => provided::run(&work, &mut counting, start),
        };
    }
    let (input, talked, finished) = matched(&work, &mut counting)?;
    Pair {
        work: &work,
        input: &input,
        talked,
        finished,
        used: counting.used(&work.terms),
        start,
    }
    .show();
    Ok(())
}

/// What whoever ends a run has to know.
fn interrupted_words(arguments: &MatchRun, method: Method) -> &'static str {
    match (method, &arguments.via) {
        (Method::None, _) => "interrupted: start it again",
        (Method::Vole, _) | (_, Some(_)) => {
            "interrupted: started again, it begins anew; a run that was under way is counted"
        }
        _ => {
            "interrupted: started again, it goes on where it was; a run that was under way is counted once"
        }
    }
}

/// From the ids to the crosswalk; no rows where the peer only came for its answers of the run
/// before.
fn matched(
    work: &Work<'_>,
    counting: &mut Counting,
) -> Result<(Input, Talked, Option<Finished>), Failure> {
    let Prepared {
        mut input,
        stage,
        spare,
    } = prepared(work, counting)?;
    input.enough_valid(work, work.printer)?;
    if matches!(stage, Stage::New(_)) {
        // A spare run may never be needed: the peer can be served though no more runs are left.
        counting.allow_one()?;
        input.within_limits(work, counting)?;
    }
    let (kept, mut talked) = match stage {
        // All answers are there: the crosswalk waits for nobody.
        Stage::Kept(kept) if kept.is_complete() && spare.is_none() => without_talk(kept),
        stage => talk(work, &mut input, counting, stage, Spare::Run(spare))?,
    };
    let Some(mut kept) = kept else {
        return Err(Failure::failed("the matching was not begun"));
    };
    if kept.held.written {
        if talked.served {
            work.slot.remove_journal()?;
        }
        return Ok((input, talked, None));
    }
    if talked.served {
        kept.note(&Record::Served)?;
    }
    let finished = output::write(work, &input, &mut kept, counting)?;
    kept.note(&Record::Written)?;
    if !kept.held.served {
        // The link was lost behind the last answer: the peer may come for its own.
        let later = talk(
            work,
            &mut input,
            counting,
            Stage::Kept(kept),
            Spare::Nothing,
        );
        if let Ok((_, later)) = later {
            talked.add(&later);
        }
    }
    if talked.served {
        work.slot.remove_journal()?;
    }
    Ok((input, talked, Some(finished)))
}

/// What a start has to begin with.
struct Prepared {
    input: Input,
    stage: Stage,
    /// What the input is in order by, where the run in the journal is over but for the peer's
    /// answers.
    spare: Option<Seed>,
}

/// The ids in order, and how far an earlier start came with them.
fn prepared(work: &Work<'_>, counting: &Counting) -> Result<Prepared, Failure> {
    let Some(kept) = interrupted(work)? else {
        return new_run(work);
    };
    same_proofs(work, &kept)?;
    if let Err(changed) = greets_as_before(work, counting, &kept)? {
        drop(kept);
        return another_run(work, changed);
    }
    if kept.held.written {
        let seed = Seed::generate(&mut rand::rng());
        return Ok(Prepared {
            input: Input::read(work, &seed)?,
            stage: Stage::Kept(kept),
            spare: Some(seed),
        });
    }
    let input = Input::read(work, &kept.header.seed)?;
    let goes_on = kept
        .header
        .goes_on(&input.digest, &input.ordered.order_digest);
    if let Err(changed) = goes_on {
        drop((input, kept));
        return another_run(work, changed);
    }
    work.printer.note("an interrupted run goes on where it was");
    Ok(Prepared {
        input,
        stage: Stage::Kept(kept),
        spare: None,
    })
}

/// Whether rows are proven belongs to a run: another word for it must not cost what was done.
fn same_proofs(work: &Work<'_>, kept: &Kept) -> Done {
    let (begun, how) = match (kept.is_proven(), work.arguments.row_keys) {
        (true, false) => ("with `--row-keys`", "say `--row-keys` again"),
        (false, true) => ("without `--row-keys`", "leave `--row-keys` out"),
        _ => return Ok(()),
    };
    Err(Failure::usage(format!("a run was begun {begun}, and is not over"))
        .why("it was interrupted, or the other party may still lack its answers")
        .hint(format!(
            "{how}, and it goes on where it was; `--anew` on both sides begins another run, which counts as one more"
        )))
}

/// A new run, since an interrupted one cannot be gone on with.
fn another_run(work: &Work<'_>, changed: Changed) -> Result<Prepared, Failure> {
    let what = match changed {
        Changed::Input => "the ids or the agreement",
        Changed::Order => "how this program brings ids into order",
        Changed::Greeting => "the agreement, or how this program greets the other one",
    };
    work.printer.note(format!(
        "{what} changed since a run was interrupted: this is a new run, and counts as one"
    ));
    new_run(work)
}

/// Removes what no run goes on with any more, of all matchings; how many there were.
pub fn remove_expired(folder: &Folder) -> Result<u32, Failure> {
    let removed = folder
        .matchings()
        .and_then(|slots| files::remove_expired(&slots));
    let removed = removed.or_fail("what interrupted matchings left was not removed");
    removed.map_err(|failure| {
        failure
            .or_hint("see that `matching` in the party's folder can be written, and run it again")
    })
}

/// Everything for a run that owes nothing to the one in the journal.
fn new_run(work: &Work<'_>) -> Result<Prepared, Failure> {
    work.slot.remove_journal()?;
    let seed = Seed::generate(&mut rand::rng());
    Ok(Prepared {
        input: Input::read(work, &seed)?,
        stage: Stage::New(seed),
        spare: None,
    })
}

/// What follows if the peer does not know the run in the journal.
enum Spare {
    /// Another run, over the input as it is in order, or read again.
    Run(Option<Seed>),
    /// Nothing: the peer could only have come for answers.
    Nothing,
}

/// Talks with the peer until both have everything, or this side has and the peer is gone.
fn talk(
    work: &Work<'_>,
    input: &mut Input,
    counting: &mut Counting,
    stage: Stage,
    spare: Spare,
) -> Result<(Option<Kept>, Talked), Failure> {
    let bar = work.printer.progress("matching", Some(0));
    let talked = block_on(converse(work, input, counting, stage, spare, &bar));
    bar.finish_and_clear();
    talked
}

/// What is known without the peer.
fn without_talk(kept: Kept) -> (Option<Kept>, Talked) {
    let talked = Talked {
        run: Some(kept.header.run.to_string()),
        peer_ids: kept.header.peer,
        resumed_from: kept.held.own,
        served: kept.held.served,
        row_keys: kept.is_proven(),
        ..Talked::default()
    };
    (Some(kept), talked)
}

async fn converse(
    work: &Work<'_>,
    input: &mut Input,
    counting: &mut Counting,
    mut stage: Stage,
    mut spare: Spare,
    bar: &ProgressBar,
) -> Result<(Option<Kept>, Talked), Failure> {
    let serves = matches!(spare, Spare::Nothing);
    let patience = match serves {
        true => work.arguments.patience().min(LATER_LIMIT),
        false => work.arguments.patience(),
    };
    let meeting = Meeting::of(work, patience, bar);
    let met = match serves {
        // The other side may be on its way back.
        true => meeting.meet_again().await,
        false => meeting.meet().await,
    };
    let mut link = met.map_err(Broken::into_failure)?;
    let mut greeting: Option<MatchMessage> = None;
    loop {
        let mut conductor = Conductor::new(work, input, counting, stage, bar)?;
        if let Some(greeting) = greeting.take() {
            conductor.greeted(greeting)?;
        }
        link = match carry(&mut conductor, &meeting, link, serves).await? {
            Some(link) => link,
            None => {
                let talked = conductor.talked();
                return Ok((conductor.finish()?, talked));
            }
        };
        let (new, seed) = match std::mem::replace(&mut spare, Spare::Run(None)) {
            Spare::Nothing => return Ok((None, Talked::default())),
            Spare::Run(seed) => (conductor.start_anew(), seed),
        };
        greeting = new;
        counting.allow_one()?;
        work.printer.note(format!(
            "`{}` does not know the run that was interrupted: this is a new run, and counts as one",
            work.peer
        ));
        stage = match seed {
            Some(seed) => {
                work.slot.remove_journal()?;
                Stage::New(seed)
            }
            None => {
                let prepared = tokio::task::block_in_place(|| new_run(work))?;
                *input = prepared.input;
                prepared.stage
            }
        };
    }
}

/// Carries a run to its end over as many links as it takes; gives the link back where the
/// peer does not know the run. Whoever only `serves` stays until the peer has its answers; else
/// what can be done without the peer comes first.
async fn carry(
    conductor: &mut Conductor<'_>,
    meeting: &Meeting<'_>,
    mut link: Link,
    serves: bool,
) -> Result<Option<Link>, Failure> {
    loop {
        match conductor.drive(&mut link).await {
            Ok(Step::Anew) => return Ok(Some(link)),
            Ok(Step::Finished) => {
                link.part().await;
                return Ok(None);
            }
            Err(Broken::Lost(_)) if serves => drop(link),
            Err(Broken::Lost(_) | Broken::Left(_)) if conductor.has_all() => return Ok(None),
            Err(Broken::Lost(_)) => drop(link),
            Err(Broken::Left(failure) | Broken::Ended(failure)) => {
                link.part().await;
                return Err(failure);
            }
        }
        conductor.rejoin().await?;
        link = match meeting.meet_again().await {
            Ok(link) => link,
            Err(_) if serves => return Ok(None),
            Err(broken) => return Err(broken.into_failure()),
        };
    }
}

impl Work<'_> {
    /// Which ids are asked for.
    fn mode(&self) -> Mode {
        match self.arguments.append {
            true => Mode::Append,
            false => Mode::Full,
        }
    }

    /// The kind of the ids in the data.
    fn kind_of_ids(&self) -> &IdKind {
        self.arguments.via.as_ref().unwrap_or(&self.terms.id_kind)
    }

    fn column(&self) -> &str {
        match &self.split {
            Some(split) => split.column(),
            None => self.arguments.ids.column(self.kind_of_ids()),
        }
    }

    /// Whether it was said that all agreed.
    fn everyone_consented(&self) -> bool {
        match &self.split {
            Some(split) => split.everyone_consented(),
            None => self.arguments.asked.everyone_consented,
        }
    }

    fn reading(&self) -> Reading<'_> {
        Reading {
            agreement: self.agreement.agreement(),
            me: self.folder.name(),
            printer: self.printer,
            kind: self.kind_of_ids(),
            column: self.column(),
            writing: self.writing(),
            asked: &self.arguments.asked,
            data: &self.arguments.data,
            sources: &self.sources,
        }
    }

    fn memory(&self) -> Memory {
        let memory = Memory {
            arena_bytes: self.arguments.arena << 10,
            ..Memory::default()
        };
        match self.terms.method {
            Method::Vole => Memory {
                arena_bytes: memory.arena_bytes.max(VOLE_ARENA_BYTES),
                keeps_sequences: true,
                ..memory
            },
            _ => memory,
        }
    }

    /// How this party has its ids, and what they are brought to.
    fn writing(&self) -> IdWriting {
        let matching = &self.agreement.agreement().matching;
        match &self.split {
            Some(split) => split.writing(),
            None => self
                .arguments
                .ids
                .writing(matching.id_writing(self.kind_of_ids())),
        }
    }

    fn alike(&self) -> Alike {
        Alike {
            rules: self.writing().rules.number(),
            partition: self.partition,
        }
    }

    /// The numbering plans that ids are read by, if they are.
    fn numbering(&self) -> &'static str {
        reading::numbering(self.kind_of_ids(), &self.writing())
    }

    /// Other plans know other numbers: a few ids may not meet.
    fn warn_of_numbering(&self, theirs: &str) {
        if theirs.is_empty() || self.numbering().is_empty() {
            return; // Who has hashes reads no numbers.
        }
        self.printer.warn(format!(
            "`{}` reads phone numbers by other tables ({}) than this program ({}): numbers of ranges that changed in between may not meet",
            self.peer,
            theirs.chars().filter(|c| !c.is_control()).take(64).collect::<String>(),
            self.numbering()
        ));
    }

    fn journal_key(&self) -> JournalKey {
        JournalKey::of(&self.secret, &self.terms, &self.peer)
    }

    fn scope(&self) -> CrosswalkScope {
        CrosswalkScope {
            via: self.arguments.via.clone(),
            ..kept::scope(self.agreement.agreement(), &self.terms.id_kind)
        }
    }

    fn crosswalk_path(&self) -> PathBuf {
        self.folder.crosswalk(
            &self.terms.agreement_id,
            &self.terms.id_kind,
            self.partition,
        )
    }

    /// What points are multiplied with.
    fn backend(&self) -> Result<Backend, Failure> {
        let Some(asked) = self.arguments.instructions else {
            return Ok(Backend::best());
        };
        let name = match asked {
            Instructions::Ifma => "ifma",
            Instructions::Avx2 => "avx2",
            Instructions::Portable => "portable",
        };
        let found = Backend::all().find(|backend| backend.to_string() == name);
        found.ok_or_else(|| {
            Failure::usage(format!("this processor has no instructions `{name}`"))
                .hint("leave `--instructions` out: the fastest that there are will be used")
        })
    }
}
