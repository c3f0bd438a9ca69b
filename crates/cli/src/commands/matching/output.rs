//! The end of a run: both sides' values are checked, and the crosswalk gets its rows.

use incamera_matching::alone::Alone;
use incamera_matching::check::{Check, CheckError, Match, Matches};
use incamera_matching::finish::{
    Finish, FinishError, Finished, Matched, NextRow, PutRow, Row, write_anew,
};
use incamera_matching::intake::Ids;
use incamera_matching::journal::{Places, Reader, Record};
use incamera_matching::vole::Outcome;
use incamera_matching::{MatchError, Misbehaviour, Mode, Pseudonyms, Reveals, Value};
use incamera_types::{MatchRunDigest, Pseudonym};

use super::Work;
use super::counting::Counting;
use super::drive::match_failure;
use super::files::{FileStore, LogFile};
use super::ingest::{Input, unsorted};
use super::keep::{Kept, journal_failure};
use super::kept::{Earlier, NewCrosswalk};
use super::theirs::{self, NewTheirs, not_read};
use crate::failure::{Done, Failure};

/// Writes the crosswalk with what the run gave.
pub fn write(
    work: &Work<'_>,
    input: &Input,
    kept: &mut Kept,
    counting: &Counting,
) -> Result<Finished, Failure> {
    let run = Run {
        work,
        input,
        kept,
        counting,
    };
    let given = run.given();
    let mut before = |digest| kept.note(&Record::Crosswalk(digest));
    let ended = given.and_then(|(finish, theirs)| {
        let finished = rows(work, None, &mut before, |earlier, put| {
            finish.write(earlier, put)
        })?;
        if let Some(theirs) = theirs {
            theirs.take_its_place(work)?;
        }
        Ok(finished)
    });
    ended.map_err(|end| match end {
        End::Failed(failure) => failure,
        End::Protocol(error) => {
            // Going on with this run would end the same way.
            let removed = work.slot.remove_journal();
            removed.err().unwrap_or_else(|| match_failure(&error))
        }
    })
}

/// Writes the crosswalk with pseudonyms that this party made alone.
pub fn write_alone(work: &Work<'_>, input: &Input, alone: &Alone) -> Result<Finished, Failure> {
    let (store, memory) = (work.slot.store(), work.memory());
    let mut finish = Finish::new(None, Matched::Hidden, &store, memory, &mut rand::rng());
    let mut ids = input
        .ordered
        .read_from(0)
        .map_err(|error| unsorted(&error))?;
    while let Some(entry) = ids.next().map_err(|error| unsorted(&error))? {
        let given = finish.give(&entry, &alone.pseudonym(entry.id), false);
        given.map_err(|error| unsorted(&error))?;
    }
    let written = rows(work, None, &mut |_| Ok(()), |earlier, put| {
        finish.write(earlier, put)
    });
    written.map_err(|end| match end {
        End::Failed(failure) => failure,
        End::Protocol(_) => Failure::failed("the crosswalk was not written")
            .why("ids of earlier runs get other pseudonyms now, so nothing would join: the key ring is not the one of the earlier runs")
            .hint("restore the right key ring, or agree on a new matching epoch"),
    })
}

/// Writes the crosswalk of a run that gave all ids new pseudonyms.
pub fn write_run(
    work: &Work<'_>,
    input: &Input,
    outcome: &Outcome,
    run: MatchRunDigest,
) -> Result<Finished, Failure> {
    let ids = input.ordered.read_from(0);
    let ids = ids.map_err(|error| unsorted(&error))?;
    let matched = outcome.matched.as_deref();
    let written = rows(work, Some(run), &mut |_| Ok(()), |earlier, put| {
        write_anew(ids, &outcome.pseudonyms, matched, earlier, put)
    });
    written.map_err(|end| match end {
        End::Failed(failure) => failure,
        End::Protocol(error) => match_failure(&error),
    })
}

/// Reads a crosswalk's rows, and takes them.
type Next<'a> = NextRow<'a, Failure>;
type Put<'a> = PutRow<'a, Failure>;

/// Why there is no crosswalk.
enum End {
    Failed(Failure),
    Protocol(MatchError),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A run that has everything.
struct Run<'a> {
    work: &'a Work<'a>,
    input: &'a Input,
    kept: &'a Kept,
    counting: &'a Counting,
}

impl Run<'_> {
    fn reveals_matches(&self) -> bool {
        self.work.terms.reveals == Reveals::OwnMatches
    }

    /// Which ids the peer sent.
    fn peer_mode(&self) -> Mode {
        let mode = self.counting.peer_mode(&self.kept.header.run);
        mode.unwrap_or(Mode::Append)
    }

    /// What rows say of who is in both sets.
    fn says(&self) -> Matched {
        match (self.reveals_matches(), self.peer_mode()) {
            (false, _) => Matched::Hidden,
            (true, Mode::Append) => Matched::More,
            (true, _) => Matched::Anew,
        }
    }

    /// Whether the crosswalk has rows that this run gives nothing for, whose matches are
    /// revealed.
    fn leaves_rows(&self) -> bool {
        let taken = &self.input.ordered.taken;
        let left = self.work.mode() == Mode::Append || taken.earlier > taken.known;
        self.reveals_matches() && left
    }

    /// Ids with their pseudonyms, brought together; and what is kept of the peer's rows, where
    /// matches are revealed.
    fn given(&self) -> Result<(Finish<FileStore>, Option<NewTheirs>), End> {
        let (matches, theirs) = self.check()?;
        let (store, memory) = (self.work.slot.store(), self.work.memory());
        let mut finish = Finish::new(None, self.says(), &store, memory, &mut rand::rng());
        let ids = self.input.ordered.read_from(0);
        let mut giving = Giving {
            ids: ids.map_err(|error| unsorted(&error))?,
            pseudonyms: self.work.terms.pseudonyms(),
            reveals_matches: self.reveals_matches(),
            matches,
            next: None,
        };
        giving.next_match(&mut finish)?;
        each_record(
            &mut self.kept.journal.records(),
            &mut |record| match record {
                Record::Own(places) => giving.give(&places, &mut finish),
                _ => Ok(()),
            },
        )?;
        Ok((finish, theirs))
    }

    /// Nothing may come twice; what comes on both sides is a match, where that is revealed.
    fn check(&self) -> Result<(Matches<FileStore>, Option<NewTheirs>), End> {
        let (work, store) = (self.work, self.work.slot.store());
        let mut check = Check::new(&store, work.memory(), &mut rand::rng());
        let names = self.leaves_rows().then(|| work.terms.pseudonyms());
        each_record(&mut self.kept.journal.records(), &mut |record| {
            let pushed = match &record {
                Record::Own(places) => {
                    let mut places = (places.first..).zip(places.values());
                    places.try_for_each(|(place, value)| check.own(place, &value))
                }
                Record::Theirs(places) => places.values().try_for_each(|value| {
                    check.theirs(&value)?;
                    names.as_ref().map_or(Ok(()), |names| {
                        check.theirs_named(names.of_tag(&value).as_bytes())
                    })
                }),
                _ => Ok(()),
            };
            pushed.map_err(|error| unsorted(&error).into())
        })?;
        self.earlier(&mut check)?;
        let run = &self.kept.header.run;
        let new = self.reveals_matches().then(|| NewTheirs::create(work, run));
        let mut new = new.transpose()?;
        let matches = check.finish(&mut |value| match &mut new {
            Some(new) => new.push(value).map_err(Checked::Failed),
            None => Ok(()),
        });
        match matches {
            Ok(matches) => Ok((matches, new)),
            Err(Checked::Failed(failure)) => Err(failure.into()),
            Err(Checked::Wrong(CheckError::Peer(source))) => Err(misbehaved(work, source)),
            Err(Checked::Wrong(CheckError::Sort(error))) => Err(unsorted(&error).into()),
            Err(Checked::Wrong(error)) => Err(Failure::failed("the ids were not compared")
                .because(&error)
                .into()),
        }
    }

    /// What earlier runs gave, where matches are revealed: rows of the crosswalk, and what is
    /// kept of a peer that sent its new ids alone.
    fn earlier(&self, check: &mut Check<FileStore>) -> Result<(), End> {
        let (mut crosswalk, mut row) = (None, Row::default());
        if self.leaves_rows() {
            crosswalk = Earlier::open(self.work)?;
        }
        while let Some(crosswalk) = &mut crosswalk
            && crosswalk.fill(&mut row)?
        {
            let pushed = check.own_earlier(&row.id, row.pseudonym.as_bytes());
            pushed.map_err(|error| unsorted(&error))?;
        }
        if self.says() != Matched::More {
            return Ok(());
        }
        let mut kept = theirs::earlier(self.work, self.counting, &self.kept.header.run)?;
        while let Some(kept) = &mut kept
            && let Some(tag) = kept.next().map_err(|error| not_read(self.work, &error))?
        {
            let pushed = check.theirs_earlier(&tag);
            pushed.map_err(|error| unsorted(&error))?;
        }
        Ok(())
    }
}

/// Why both sides' values were not brought together.
enum Checked {
    Wrong(CheckError),
    Failed(Failure),
}

impl From<CheckError> for Checked {
    fn from(error: CheckError) -> Self {
        Self::Wrong(error)
    }
}

fn each_record(
    records: &mut Reader<'_, LogFile>,
    each: &mut dyn FnMut(Record) -> Result<(), End>,
) -> Result<(), End> {
    while let Some(record) = records.next().map_err(|error| journal_failure(&error))? {
        each(record)?;
    }
    Ok(())
}

/// Ids beside what the journal has of their places.
struct Giving {
    ids: Ids<FileStore>,
    pseudonyms: Pseudonyms,
    reveals_matches: bool,
    matches: Matches<FileStore>,
    /// The next place that the peer has too.
    next: Option<u64>,
}

impl Giving {
    fn give(&mut self, places: &Places, finish: &mut Finish<FileStore>) -> Result<(), End> {
        for (place, value) in (places.first..).zip(places.values()) {
            let matched = self.next == Some(place);
            if matched {
                self.next_match(finish)?;
            }
            let pseudonym = self.pseudonym(&value);
            let entry = self.ids.next().map_err(|error| unsorted(&error))?;
            if let Some(entry) = entry {
                let given = finish.give(&entry, &pseudonym, matched);
                given.map_err(|error| unsorted(&error))?;
            }
        }
        Ok(())
    }

    /// Goes on to the next place that the peer has too; behind the last one come rows of the
    /// crosswalk.
    fn next_match(&mut self, finish: &mut Finish<FileStore>) -> Result<(), End> {
        self.next = None;
        while let Some(found) = self.matches.next().map_err(|error| unsorted(&error))? {
            match found {
                Match::Place(place) => {
                    self.next = Some(place);
                    break;
                }
                Match::Id(id) => finish.matched(id).map_err(|error| unsorted(&error))?,
            }
        }
        Ok(())
    }

    fn pseudonym(&self, value: &Value) -> Pseudonym {
        match self.reveals_matches {
            true => self.pseudonyms.of_tag(value),
            false => Pseudonym::from_bytes(*value),
        }
    }
}

/// What the run gave, joined by `join` with the crosswalk as it is by now. `before` is told SHA-256
/// of what is about to take its place.
fn rows(
    work: &Work<'_>,
    run: Option<MatchRunDigest>,
    before: &mut dyn FnMut([u8; 32]) -> Done,
    join: impl FnOnce(Option<&mut Next<'_>>, &mut Put<'_>) -> Result<Finished, FinishError<Failure>>,
) -> Result<Finished, End> {
    // Whoever forgets people holds it from before the crosswalk is read until it is written.
    let _lock = work.folder.sealing_lock(&work.terms.agreement_id)?;
    let mut earlier = Earlier::open(work)?;
    let mut new = NewCrosswalk::create(work, run)?;
    let mut write = |row: &Row| new.push(row);
    let finished = match &mut earlier {
        Some(earlier) => join(Some(&mut |row: &mut Row| earlier.fill(row)), &mut write),
        None => join(None, &mut write),
    };
    let finished = finished.map_err(|error| match error {
        FinishError::Rows(failure) => End::Failed(failure),
        FinishError::Sort(error) => unsorted(&error).into(),
        FinishError::Peer(source) => misbehaved(work, source),
        _ => End::Protocol(MatchError::SecretChanged {
            peer: work.peer.clone(),
            epoch: work.terms.epoch,
            id_kind: work.terms.id_kind.clone(),
        }),
    })?;
    new.finish(before)?;
    Ok(finished)
}

fn misbehaved(work: &Work<'_>, source: Misbehaviour) -> End {
    End::Protocol(MatchError::PeerMisbehaved {
        peer: work.peer.clone(),
        source,
    })
}
