//! The count of runs: a line of the history for each, on the disk before the first point
//! leaves.

use incamera_group::EncodedPoint;
use incamera_keys::MatchingKey;
use incamera_matching::exchange::{Agreed, Base};
use incamera_matching::journal::{
    Before, Counted, Header, History, HistoryError, HistoryKey, JournalFile as _,
};
use incamera_matching::{Mode, Partition, Terms};
use incamera_types::MatchRunDigest;

use super::files::{LogFile, SlotFolder};
use super::used::Used;
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::printer::Printer;

/// The history of a slot, to which runs are added.
pub struct Counting {
    history: History,
    log: LogFile,
    partition: Partition,
    limit: u32,
}

impl Counting {
    /// Opens the history, or begins one; the key ring knows of `known` runs.
    pub fn open(
        slot: &SlotFolder,
        secret: &MatchingKey,
        partition: Partition,
        known: u32,
        limit: u32,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let what = "the history of the matching runs was not read";
        let text = slot.read_history().or_fail(what)?.unwrap_or_default();
        let found = match History::read(HistoryKey::of(secret), &text) {
            // As good as none: of a ring that was lost, say.
            Err(HistoryError::Changed { line: 1 }) => {
                let aside = slot.put_history_aside().or_fail(what)?;
                printer.warn(format!(
                    "the history of the matching runs is of another key ring, or damaged in its first line: it was put aside as `{}`, and the key ring's own count holds",
                    aside.display()
                ));
                None
            }
            found => found.map_err(|error| changed(slot, &error))?,
        };
        let mut log = slot.history().or_fail(what)?;
        let history = match found {
            Some((history, whole)) => {
                log.cut(whole).or_fail(what)?;
                history
            }
            None => {
                log.cut(0).or_fail(what)?;
                let (history, line) = History::begin(HistoryKey::of(secret), known);
                write(&mut log, &line)?;
                history
            }
        };
        let reaches = history.reaches(known);
        reaches.map_err(|error| changed(slot, &error))?;
        Ok(Self {
            history,
            log,
            partition,
            limit,
        })
    }

    /// Runs so far, of all parts.
    pub fn runs(&self) -> u32 {
        self.history.count()
    }

    /// Those of the part at hand.
    pub fn runs_here(&self) -> u32 {
        self.history.count_of(self.partition)
    }

    /// Whether one more run may begin.
    pub fn allow_one(&self) -> Done {
        let (runs, limit) = (self.runs_here(), self.limit);
        match runs < limit {
            true => Ok(()),
            false => Err(
                Failure::new(Exit::Refused, "no more matching runs are allowed")
                    .why(format!(
                        "the agreement allows {limit} runs in this epoch, and {runs} were made"
                    ))
                    .hint("agree on a new version with a higher `max_runs`, or start a new epoch"),
            ),
        }
    }

    /// Whether this run may begin, or was counted before.
    pub fn allow(&self, agreed: &Agreed) -> Done {
        match self.history.has(&agreed.run) {
            true => Ok(()),
            false => self.allow_one(),
        }
    }

    /// Counts a run, unless it was counted before.
    pub fn count(&mut self, agreed: &Agreed, own: u64, mode: Mode) -> Done {
        self.add(Counted {
            peer: agreed.peer_size,
            peer_append: agreed.peer_mode == Mode::Append,
            peer_key: agreed.peer_key,
            ..self.own(agreed.run, own, mode)
        })
    }

    /// Counts a run that nobody else has a part in, unless it was counted before.
    pub fn count_own(&mut self, run: MatchRunDigest, own: u64, mode: Mode) -> Done {
        self.add(self.own(run, own, mode))
    }

    fn own(&self, run: MatchRunDigest, own: u64, mode: Mode) -> Counted {
        Counted {
            run,
            at: now(),
            own,
            append: mode == Mode::Append,
            peer: 0,
            peer_append: false,
            partition: self.partition,
            peer_key: None,
        }
    }

    fn add(&mut self, counted: Counted) -> Done {
        if self.history.has(&counted.run) {
            return Ok(());
        }
        let line = self.history.add_run(counted);
        write(&mut self.log, &line)
    }

    /// How much of what the agreement allows is used.
    pub fn used(&self, terms: &Terms) -> Used {
        let parts = [self.partition];
        Used::of(
            &self.history,
            terms.method,
            &parts,
            (terms.max_ids, self.limit),
        )
    }

    /// Whether a run was counted.
    pub fn has(&self, run: &MatchRunDigest) -> bool {
        self.history.has(run)
    }

    /// What was counted before a run.
    pub fn before(&self, run: &MatchRunDigest) -> Before {
        self.history.before(run)
    }

    /// Which ids the peer sent in a run that was counted.
    pub fn peer_mode(&self, run: &MatchRunDigest) -> Option<Mode> {
        let counted = self.history.counted(run)?;
        Some(match counted.peer_append {
            true => Mode::Append,
            false => Mode::Full,
        })
    }

    /// What the peer brought in earlier runs than the one that goes on, if one does.
    pub fn base(&self, goes_on: Option<&Header>) -> Base {
        let base = self
            .history
            .peer_brought(self.partition, goes_on.map(|header| &header.run));
        Base {
            // A history that was put aside knows no key.
            public_key: base
                .public_key
                .or(goes_on.and_then(|header| header.peer_key)),
            ..base
        }
    }

    /// What this party brought in earlier runs.
    pub fn own_base(&self) -> Base {
        self.history.own_brought(self.partition, None)
    }

    /// Whether earlier runs were counted.
    pub fn is_first(&self) -> bool {
        self.runs_here() == 0
    }

    /// The peer's first points: refused if one came in another run, else kept to be
    /// recognised. An honest run has points of its own under `reveals = "nothing"`.
    pub fn first_points(&mut self, agreed: &Agreed, points: &[u8]) -> Done {
        let points = EncodedPoint::split(points).unwrap_or_default();
        if self.history.replayed(&agreed.run, &points) {
            return Err(Failure::failed("the matching was not done")
                .why("the other party sent points of an earlier run, which an honest run never does")
                .hint("its program, its machine's randomness or whoever stands in its place is at fault: find out before you match again"));
        }
        let Some(line) = self.history.add_points(&agreed.run, &points) else {
            return Ok(());
        };
        write(&mut self.log, &line)
    }
}

fn write(log: &mut LogFile, line: &str) -> Done {
    let end = log.bytes();
    let written = log.append(line.as_bytes()).and_then(|()| log.sync());
    if written.is_err() {
        // Part of a line would hide the next one.
        let _ = end.and_then(|end| log.cut(end));
    }
    written.or_fail("the run was not counted")
}

fn changed(slot: &SlotFolder, error: &HistoryError) -> Failure {
    let path = slot.history_path();
    Failure::new(Exit::Refused, "the matching was not begun")
        .because(error)
        .hint(format!(
            "put `{}` back from a backup, and find out who could write it; if it is lost, move it away: the key ring's count then holds",
            path.display()
        ))
}
