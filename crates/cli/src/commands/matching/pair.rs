//! What a run with another party came to.

use std::time::Instant;

use incamera_matching::exchange::Multiplied;
use incamera_matching::finish::Finished;
use incamera_matching::{KNOWN_IDS, Method, Reveals};
use serde_json::{Map, Value, json};

use super::Work;
use super::ingest::Input;
use super::report::{Report, Told, fields};
use super::used::Used;
use crate::words::counted;

/// What the exchange came to.
#[derive(Clone, Debug, Default)]
pub struct Talked {
    /// The run's name; none if the peer was not met.
    pub run: Option<String>,
    /// Ids that the peer sent.
    pub peer_ids: u64,
    /// Whether the peer may have mixed in earlier ids.
    pub peer_came_before: bool,
    /// Own ids that had their pseudonyms before this process began.
    pub resumed_from: u64,
    pub multiplied: Multiplied,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Whether the peer said that it has everything.
    pub served: bool,
    /// Whether both sides proved that all rows are under one key.
    pub row_keys: bool,
}

impl Talked {
    /// What was said later, over another link.
    pub fn add(&mut self, later: &Self) {
        let Multiplied {
            blinded,
            raised,
            completed,
        } = later.multiplied;
        self.multiplied.blinded += blinded;
        self.multiplied.raised += raised;
        self.multiplied.completed += completed;
        self.bytes_sent += later.bytes_sent;
        self.bytes_received += later.bytes_received;
        self.served |= later.served;
    }
}

/// A run of two parties.
pub struct Pair<'a> {
    pub work: &'a Work<'a>,
    pub input: &'a Input,
    pub talked: Talked,
    /// None where the peer only came for its answers of the run before.
    pub finished: Option<Finished>,
    /// How much of what the agreement allows.
    pub used: Used,
    pub start: Instant,
}

impl Pair<'_> {
    /// Tells it.
    pub fn show(&self) {
        let report = Report {
            work: self.work,
            input: self.input,
            finished: self.finished,
            told: self.told(),
            start: self.start,
        };
        match self.finished {
            Some(_) => report.show(),
            None => report.show_as(self.answered()),
        }
    }

    fn told(&self) -> Told {
        let talked = &self.talked;
        let lines = self.finished.as_ref();
        Told {
            with: format!("matched with `{}`: ", self.work.peer),
            by: String::new(),
            lines: lines.map_or_else(Vec::new, |finished| self.lines(finished)),
            fields: self.fields(),
            resumed_from: talked.resumed_from,
            sent: talked.bytes_sent,
            received: talked.bytes_received,
            used: Some(self.used),
        }
    }

    /// The peer came for its answers of the run before, or did not come.
    fn answered(&self) -> String {
        let peer = &self.work.peer;
        match self.talked.served {
            true => format!(
                "`{peer}` has all its answers of the run before; nothing new was matched\n  to match what is new since, run it again on both sides"
            ),
            false => format!(
                "`{peer}` went before it had all its answers of the run before; nothing new was matched\n  run it again when it comes back"
            ),
        }
    }

    fn lines(&self, finished: &Finished) -> Vec<String> {
        let (work, talked, peer) = (self.work, &self.talked, &self.work.peer);
        let mixed_in = match self.mixed_in_at_most() {
            0 => String::new(),
            1 => ", maybe from its earlier runs".to_owned(),
            some => format!(", up to {some} of them from its earlier runs"),
        };
        let ids = counted(talked.peer_ids, "id", "ids");
        let sent = format!("`{peer}` sent {ids}{mixed_in}");
        let mut lines = match work.terms.reveals {
            Reveals::OwnMatches => vec![
                sent,
                format!(
                    "it has {} of the ids of your crosswalk too: those whose column `matched` is true",
                    finished.matched
                ),
            ],
            _ => vec![format!(
                "{sent}; which of them are yours too, neither side learns"
            )],
        };
        if talked.row_keys {
            lines.push(format!(
                "`{peer}` proved that all answers were made with one key, and you did"
            ));
        }
        if !talked.served {
            lines.push(format!(
                "`{peer}` may still lack answers: run this again if it asks, and `{peer}` gets them"
            ));
        }
        if work.terms.method == Method::Vole {
            lines.push(format!(
                "these pseudonyms are of this run alone: seal all data sets again, as `{peer}` does"
            ));
        }
        lines
    }

    /// At most so many of the peer's ids are from its earlier runs, mixed in to be compared.
    fn mixed_in_at_most(&self) -> u64 {
        match self.talked.peer_came_before {
            true => self.talked.peer_ids.min(KNOWN_IDS as u64),
            false => 0,
        }
    }

    fn fields(&self) -> Map<String, Value> {
        let talked = &self.talked;
        fields(json!({
            "peer": self.work.peer, "peer_ids": talked.peer_ids,
            "peer_ids_from_earlier_runs_at_most": self.mixed_in_at_most(),
            "peer_has_all": talked.served, "answered_only": self.finished.is_none(),
            "run": talked.run, "row_keys": talked.row_keys,
            "points_multiplied": {
                "blinded": talked.multiplied.blinded, "raised": talked.multiplied.raised,
                "completed": talked.multiplied.completed,
            },
        }))
    }
}
