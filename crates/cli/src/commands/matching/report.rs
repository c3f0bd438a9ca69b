//! What a run came to, for people and programs.

use std::time::Instant;

use incamera_matching::exchange::Multiplied;
use incamera_matching::finish::Finished;
use incamera_net::traffic::Traffic;
use serde_json::{Map, Value, json};

use super::Work;
use super::ingest::Input;
use incamera_matching::{KNOWN_IDS, Method, Mode, Reveals};

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

/// What is told.
pub struct Report<'a> {
    pub work: &'a Work<'a>,
    pub input: &'a Input,
    pub talked: Talked,
    /// None where the peer only came for its answers of the run before.
    pub finished: Option<Finished>,
    pub start: Instant,
}

impl Report<'_> {
    /// Shows it.
    pub fn show(&self) {
        self.work
            .printer
            .result(self.text(), "incamera-matched/2", &self.document());
    }

    fn text(&self) -> String {
        match &self.finished {
            Some(finished) => self.matched(finished),
            None => self.answered(),
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

    fn matched(&self, finished: &Finished) -> String {
        let Self {
            work,
            input,
            talked,
            start,
            ..
        } = self;
        let (peer, kind) = (&work.peer, &work.terms.id_kind);
        let seconds = start.elapsed().as_secs_f64();
        let matched = self.matched_ids();
        let which = match work.mode() {
            Mode::Append => "new distinct ids",
            _ => "distinct ids",
        };
        let mut text = format!(
            "matched with `{peer}`: each of your {matched} {which} of kind `{kind}` has a pseudonym ({seconds:.1} s)\n  {}",
            input.words()
        );
        for (what, count) in [
            (
                "left out because they were forgotten meanwhile",
                finished.forgotten,
            ),
            (
                "left out because an earlier run matched them",
                input.known_left_out(work),
            ),
            (
                "with a pseudonym from before this start",
                talked.resumed_from,
            ),
        ] {
            if count > 0 {
                text += &format!(", {what} {count}");
            }
        }
        text += &input.beside(work);
        text += &format!("\n  `{peer}` sent {} ids", talked.peer_ids);
        if let some @ 1.. = self.mixed_in_at_most() {
            text += &format!(", up to {some} of them from its earlier runs");
        }
        text += &self.shared(finished);
        if talked.row_keys {
            text += &format!(
                "\n  `{peer}` proved that all answers were made with one key, and you did"
            );
        }
        if !talked.served {
            text += &format!(
                "\n  `{peer}` may still lack answers: run this again if it asks, and `{peer}` gets them"
            );
        }
        if work.terms.method == Method::Vole {
            text += &format!(
                "\n  these pseudonyms are of this run alone: seal all data sets again, as `{peer}` does"
            );
        }
        let path = work.crosswalk_path();
        text + &format!("\n  crosswalk (yours alone): {}", path.display())
    }

    /// What is learned of who is in both sets.
    fn shared(&self, finished: &Finished) -> String {
        match self.work.terms.reveals {
            Reveals::OwnMatches => format!(
                "\n  it has {} of the ids of your crosswalk too: those whose column `matched` is true",
                finished.matched
            ),
            _ => "; which of them are yours too, neither side learns".to_owned(),
        }
    }

    fn matched_ids(&self) -> u64 {
        let taken = &self.input.ordered.taken;
        let asked = taken.distinct - self.input.known_left_out(self.work);
        asked.saturating_sub(self.finished.unwrap_or_default().forgotten)
    }

    /// At most so many of the peer's ids are from its earlier runs, mixed in to be compared.
    fn mixed_in_at_most(&self) -> u64 {
        match self.talked.peer_came_before {
            true => self.talked.peer_ids.min(KNOWN_IDS as u64),
            false => 0,
        }
    }

    fn document(&self) -> Map<String, Value> {
        let Self {
            work,
            input,
            talked,
            finished,
            start,
        } = self;
        let nothing_new = finished.is_none();
        let finished = finished.unwrap_or_default();
        let taken = &input.ordered.taken;
        let seconds = start.elapsed().as_secs_f64();
        let usage = Usage::now();
        let traffic = Traffic::so_far();
        #[expect(clippy::cast_precision_loss, reason = "a rate that people read")]
        let rate = taken.distinct as f64 / seconds.max(1e-9);
        let mut document = input.document(work);
        let run = json!({
            "peer": work.peer, "method": work.terms.method.as_str(), "forgotten_meanwhile": finished.forgotten,
            "compared": finished.compared, "crosswalk_rows": finished.rows,
            "peer_ids": talked.peer_ids,
            "peer_ids_from_earlier_runs_at_most": self.mixed_in_at_most(),
            "peer_has_all": talked.served, "answered_only": nothing_new, "run": talked.run,
            "row_keys": talked.row_keys,
            "resumed_from": talked.resumed_from,
            "points_multiplied": {
                "blinded": talked.multiplied.blinded, "raised": talked.multiplied.raised,
                "completed": talked.multiplied.completed,
            },
            "seconds": seconds, "cpu_seconds": usage.cpu_seconds, "ids_per_second": rate,
            "bytes_sent": talked.bytes_sent, "bytes_received": talked.bytes_received,
            "link_bytes_sent": traffic.sent, "link_bytes_received": traffic.received,
            "peak_mib": usage.peak_mib, "crosswalk": work.crosswalk_path(),
        });
        document.extend(run.as_object().cloned().unwrap_or_default());
        if work.terms.reveals == Reveals::OwnMatches && !nothing_new {
            document.insert("matches".to_owned(), finished.matched.into());
        }
        document
    }
}

/// What this process has used.
struct Usage {
    cpu_seconds: Option<f64>,
    peak_mib: Option<f64>,
}

impl Usage {
    fn now() -> Self {
        Self {
            cpu_seconds: cpu_seconds(),
            peak_mib: peak_mib(),
        }
    }
}

/// Of all threads, by the system's clock of this process.
fn cpu_seconds() -> Option<f64> {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let whole = u32::try_from(spent.tv_sec).ok()?;
    let nanoseconds = u32::try_from(spent.tv_nsec).ok()?;
    Some(f64::from(whole) + f64::from(nanoseconds) / 1e9)
}

/// The most memory there was, where the system says so.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u32 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(f64::from(kib) / 1024.0)
}
