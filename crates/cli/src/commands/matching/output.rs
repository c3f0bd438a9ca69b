//! The end of a run: both sides' values are checked, and the crosswalk gets its rows.

use incamera_matching::alone::Alone;
use incamera_matching::check::{Check, CheckError, Match, Matches};
use incamera_matching::finish::{Finish, FinishError, Finished, Row};
use incamera_matching::intake::Ids;
use incamera_matching::journal::{Places, Reader, Record};
use incamera_matching::{MatchError, Misbehaviour, Pseudonyms, Reveals, Value};
use incamera_types::Pseudonym;

use super::Work;
use super::drive::match_failure;
use super::files::{FileStore, LogFile};
use super::ingest::{Input, unsorted};
use super::keep::{Kept, journal_failure};
use super::kept::{Earlier, NewCrosswalk};
use crate::failure::{Done, Failure};

/// Writes the crosswalk with what the run gave.
pub fn write(work: &Work<'_>, input: &Input, kept: &mut Kept) -> Result<Finished, Failure> {
    let finish = given(work, input, kept);
    let mut before = |digest| kept.note(&Record::Crosswalk(digest));
    let ended = finish.and_then(|finish| rows(work, finish, &mut before));
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
    let mut finish = Finish::new(None, false, &store, memory, &mut rand::rng());
    let mut ids = input
        .ordered
        .read_from(0)
        .map_err(|error| unsorted(&error))?;
    while let Some(entry) = ids.next().map_err(|error| unsorted(&error))? {
        let given = finish.give(&entry, &alone.pseudonym(entry.id), false);
        given.map_err(|error| unsorted(&error))?;
    }
    rows(work, finish, &mut |_| Ok(())).map_err(|end| match end {
        End::Failed(failure) => failure,
        End::Protocol(_) => Failure::failed("the crosswalk was not written")
            .why("ids of earlier runs get other pseudonyms now, so nothing would join: the key ring is not the one of the earlier runs")
            .hint("restore the right key ring, or agree on a new matching epoch"),
    })
}

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

/// Ids with their pseudonyms, brought together.
fn given(work: &Work<'_>, input: &Input, kept: &Kept) -> Result<Finish<FileStore>, End> {
    let mut matches = check(work, kept)?;
    let reveals_matches = work.terms.reveals == Reveals::OwnMatches;
    let (store, memory) = (work.slot.store(), work.memory());
    let mut finish = Finish::new(None, reveals_matches, &store, memory, &mut rand::rng());
    let mut giving = Giving {
        ids: input
            .ordered
            .read_from(0)
            .map_err(|error| unsorted(&error))?,
        pseudonyms: work.terms.pseudonyms(),
        reveals_matches,
        next: next_match(&mut matches)?,
        matches,
    };
    each_record(&mut kept.journal.records(), &mut |record| match record {
        Record::Own(places) => giving.give(&places, &mut finish),
        _ => Ok(()),
    })?;
    Ok(finish)
}

/// Nothing may come twice; what comes on both sides is a match, where that is revealed.
fn check(work: &Work<'_>, kept: &Kept) -> Result<Matches<FileStore>, End> {
    let mut check = Check::new(&work.slot.store(), work.memory(), &mut rand::rng());
    each_record(&mut kept.journal.records(), &mut |record| {
        let pushed = match &record {
            Record::Own(places) => {
                let mut places = (places.first..).zip(places.values());
                places.try_for_each(|(place, value)| check.own(place, &value))
            }
            Record::Theirs(places) => places.values().try_for_each(|value| check.theirs(&value)),
            _ => Ok(()),
        };
        pushed.map_err(|error| unsorted(&error).into())
    })?;
    let matches = check.finish::<CheckError>(&mut |_| Ok(()));
    matches.map_err(|error| match error {
        CheckError::Peer(source) => misbehaved(work, source),
        CheckError::Sort(error) => unsorted(&error).into(),
        _ => Failure::failed("the ids were not compared")
            .because(&error)
            .into(),
    })
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
                self.next = next_match(&mut self.matches)?;
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

    fn pseudonym(&self, value: &Value) -> Pseudonym {
        match self.reveals_matches {
            true => self.pseudonyms.of_tag(value),
            false => Pseudonym::from_bytes(*value),
        }
    }
}

fn next_match(matches: &mut Matches<FileStore>) -> Result<Option<u64>, End> {
    match matches.next().map_err(|error| unsorted(&error))? {
        Some(Match::Place(place)) => Ok(Some(place)),
        _ => Ok(None),
    }
}

/// What the run gave, joined with the crosswalk as it is by now. `before` is told SHA-256 of what
/// is about to take its place.
fn rows(
    work: &Work<'_>,
    finish: Finish<FileStore>,
    before: &mut dyn FnMut([u8; 32]) -> Done,
) -> Result<Finished, End> {
    // Whoever forgets people holds it from before the crosswalk is read until it is written.
    let _lock = work.folder.sealing_lock(&work.terms.agreement_id)?;
    let mut earlier = Earlier::open(work)?;
    let mut new = NewCrosswalk::create(work)?;
    let mut write = |row: &Row| new.push(row);
    let finished = match &mut earlier {
        Some(earlier) => finish.write(Some(&mut |row: &mut Row| earlier.fill(row)), &mut write),
        None => finish.write(None, &mut write),
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
