//! What a run came to, for people and programs: the same figures whatever the method, and beside
//! them what the method has to tell.

use std::fmt::Write as _;
use std::time::Instant;

use incamera_matching::finish::Finished;
use incamera_matching::{Mode, Reveals};
use incamera_net::traffic::Traffic;
use serde_json::{Map, Value, json};

use super::Work;
use super::ingest::Input;
use super::used::Used;
use crate::words::bytes;

/// What one method tells beside what all do.
#[derive(Debug, Default)]
pub struct Told {
    /// Before the first sentence: with whom.
    pub with: String,
    /// Behind it: by whom, or under what.
    pub by: String,
    /// Lines of its own, without their indent.
    pub lines: Vec<String>,
    /// Fields of its own.
    pub fields: Map<String, Value>,
    /// Own ids that had their pseudonyms before this process began.
    pub resumed_from: u64,
    /// Bytes of messages, without TLS.
    pub sent: u64,
    pub received: u64,
    /// How much of what the agreement allows, where runs are counted.
    pub used: Option<Used>,
}

/// What is told.
pub struct Report<'a> {
    pub work: &'a Work<'a>,
    pub input: &'a Input,
    /// None where nothing new was matched.
    pub finished: Option<Finished>,
    pub told: Told,
    pub start: Instant,
}

impl Report<'_> {
    /// Shows it.
    pub fn show(&self) {
        self.show_as(self.text());
    }

    /// Shows the figures to programs, and this text to people.
    pub fn show_as(&self, text: String) {
        let printer = self.work.printer;
        printer.result(text, "incamera-matched/2", &self.document());
    }

    fn text(&self) -> String {
        let (work, told) = (self.work, &self.told);
        let which = match work.mode() {
            Mode::Append => "new distinct ids",
            _ => "distinct ids",
        };
        let mut text = format!(
            "{}each of your {} {which} of kind `{}` has a pseudonym{} ({:.1} s)\n  {}{}{}",
            told.with,
            self.matched_ids(),
            work.terms.id_kind,
            told.by,
            self.seconds(),
            self.input.words(),
            self.left_out(),
            self.input.beside(work),
        );
        for line in &told.lines {
            let _ = write!(text, "\n  {line}");
        }
        if let Some(used) = &told.used {
            let _ = write!(text, "\n  {}", used.words());
        }
        let _ = write!(
            text,
            "\n  {}\n  crosswalk (yours alone): {}",
            self.pace().words(),
            work.crosswalk_path().display()
        );
        text
    }

    /// Ids that this run gave no pseudonym, and why.
    fn left_out(&self) -> String {
        let finished = self.finished.unwrap_or_default();
        let mut text = String::new();
        for (what, count) in [
            (
                "left out because they were forgotten meanwhile",
                finished.forgotten,
            ),
            (
                "left out because an earlier run matched them",
                self.input.known_left_out(self.work),
            ),
            (
                "with a pseudonym from before this start",
                self.told.resumed_from,
            ),
        ] {
            if count > 0 {
                let _ = write!(text, ", {what} {count}");
            }
        }
        text
    }

    fn matched_ids(&self) -> u64 {
        let taken = &self.input.ordered.taken;
        let asked = taken.distinct - self.input.known_left_out(self.work);
        asked.saturating_sub(self.finished.unwrap_or_default().forgotten)
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Of the ids that were worked on since this start: neither those that an earlier run matched
    /// nor those that had their pseudonyms before.
    pub fn pace(&self) -> Pace {
        let worked_on = self.matched_ids().saturating_sub(self.told.resumed_from);
        Pace::of(worked_on, self.start)
    }

    fn document(&self) -> Map<String, Value> {
        let (work, told) = (self.work, &self.told);
        let finished = self.finished.unwrap_or_default();
        let usage = Usage::now();
        let run = json!({
            "method": work.terms.method.as_str(), "forgotten_meanwhile": finished.forgotten,
            "compared": finished.compared, "crosswalk_rows": finished.rows,
            "resumed_from": told.resumed_from,
            "used": told.used.map(|used| used.document()),
            "cpu_seconds": usage.cpu_seconds,
            "bytes_sent": told.sent, "bytes_received": told.received,
            "peak_mib": usage.peak_mib, "crosswalk": work.crosswalk_path(),
        });
        let mut document = self.input.document(work);
        document.extend(run.as_object().cloned().unwrap_or_default());
        document.extend(self.pace().fields());
        if work.terms.reveals == Reveals::OwnMatches && self.finished.is_some() {
            document.insert("matches".to_owned(), finished.matched.into());
        }
        document.extend(told.fields.clone());
        document
    }
}

/// How long a command took, how fast it was, and what it sent and got.
pub struct Pace {
    seconds: f64,
    ids_per_second: f64,
    traffic: Traffic,
}

impl Pace {
    /// Of so many ids since `start`; bytes are those of this process.
    pub fn of(ids: u64, start: Instant) -> Self {
        let seconds = start.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate that people read")]
        let ids = ids as f64;
        Self {
            seconds,
            ids_per_second: ids / seconds.max(1e-9),
            traffic: Traffic::so_far(),
        }
    }

    /// For people.
    pub fn words(&self) -> String {
        format!(
            "{:.0} ids a second; over the line, TLS included: {} sent, {} received",
            self.ids_per_second,
            bytes(self.traffic.sent),
            bytes(self.traffic.received)
        )
    }

    /// For programs.
    pub fn fields(&self) -> Map<String, Value> {
        fields(json!({
            "seconds": self.seconds, "ids_per_second": self.ids_per_second,
            "link_bytes_sent": self.traffic.sent, "link_bytes_received": self.traffic.received,
        }))
    }
}

/// Fields of a JSON object.
pub fn fields(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What this process has used.
pub struct Usage {
    pub cpu_seconds: Option<f64>,
    pub peak_mib: Option<f64>,
}

impl Usage {
    pub fn now() -> Self {
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
