//! The history of a slot: which runs were counted, and what they are compared with.
//!
//! # Format `incamera-match-history/1`
//! Lines of JSON, `{"entry":...,"mac":"..."}`. `mac` is HMAC-SHA256 under the history's key
//! over the line before's `mac` (nothing for the first) and the text of `entry`. Entries:
//! `begins` (the name; runs that were counted before, by the key ring alone), `run` (one run
//! counted: id, time, sizes, who appended, which part where it
//! was one, the peer's public key where rows were proven),
//! `points` (what the peer's first points of a run
//! are recognised by).
//!
//! A line that a kill tore is cut off: its run had not begun. Whoever holds the key ring can
//! write any history; this one tells its owner that the file was changed by somebody else, or
//! by a damaged disk. Lines cut from the end are found because the key ring catches up with
//! the count at each start. Whoever cuts the newest line off before each start is not found: the
//! count is a party's own, on its own disk, and the peer counts for itself.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use incamera_group::EncodedPoint;
use incamera_keys::{MatchingKey, Secret32};
use incamera_types::{MatchRunDigest, UnixTime};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::Partition;
use crate::exchange::{Base, Declared};

/// Name and version.
pub const HISTORY_NAME: &str = "incamera-match-history/1";
/// The label of what points are recognised by: lasting, so that runs can be compared.
const REPLAY_LABEL: &str = "incamera-match-replay/1";
/// Points of a run that are kept to be recognised.
pub const REPLAY_POINTS: usize = 8;
/// Bytes kept of each.
const PRINT_BYTES: usize = 16;

/// Why a history is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Not a history, or a newer one.
    #[error(
        "this is no history of the kind `{HISTORY_NAME}`: a newer version of incamera may read it"
    )]
    Unknown,
    /// A line was changed, moved, or taken out.
    #[error(
        "line {line} of the history of matching runs was changed, or a line before it is missing, or the key ring is another one"
    )]
    Changed {
        /// Its number, from 1.
        line: usize,
    },
    /// The key ring knows of more runs.
    #[error(
        "the history of matching runs was cut: it has {found} runs, and the key ring knows of {known}"
    )]
    Cut {
        /// Runs of the history.
        found: u32,
        /// Runs of the ring.
        known: u32,
    },
}

/// What a history is bound and points are recognised by.
pub struct HistoryKey {
    lines: Secret32,
    replay: Secret32,
}

impl HistoryKey {
    /// Made of a slot's matching secret.
    #[must_use]
    pub fn of(secret: &MatchingKey) -> Self {
        Self {
            lines: secret.derive(HISTORY_NAME),
            replay: secret.derive(REPLAY_LABEL),
        }
    }

    /// HMAC-SHA256 over `parts`.
    fn mac(key: &Secret32, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = keyed(key);
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn print(&self, point: &EncodedPoint) -> String {
        let mac = Self::mac(&self.replay, &[point.as_bytes()]);
        hex::encode(mac.get(..PRINT_BYTES).unwrap_or_default())
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &Secret32) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.expose()).expect("a key of 32 bytes")
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Its name.
    pub run: MatchRunDigest,
    /// When it was counted.
    pub at: UnixTime,
    /// Ids of this side.
    pub own: u64,
    /// Whether this side matched new ids alone.
    pub append: bool,
    /// Ids of the peer.
    pub peer: u64,
    /// Whether the peer matched new ids alone.
    pub peer_append: bool,
    /// Which part of the ids.
    #[serde(default, skip_serializing_if = "Partition::is_whole")]
    pub partition: Partition,
    /// The public key of the peer's lasting secret, where its rows were proven.
    #[serde(default, with = "key", skip_serializing_if = "Option::is_none")]
    pub peer_key: Option<[u8; EncodedPoint::BYTES]>,
}

/// A public key in hexadecimal.
mod key {
    use incamera_group::EncodedPoint;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    type Key = Option<[u8; EncodedPoint::BYTES]>;

    pub fn serialize<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => serializer.serialize_str(&hex::encode(key)),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut key = [0; EncodedPoint::BYTES];
        hex::decode_to_slice(text, &mut key).map_err(D::Error::custom)?;
        Ok(Some(key))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Begins {
        format: String,
        before: u32,
    },
    Run(Counted),
    Points {
        run: MatchRunDigest,
        prints: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    entry: Entry,
    mac: String,
}

/// What was counted before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No run.
    Nothing,
    /// This one.
    Run(MatchRunDigest),
    /// Runs that the key ring alone knows of.
    Unknown,
}

/// The runs of one slot.
pub struct History {
    key: HistoryKey,
    before: u32,
    runs: Vec<Counted>,
    /// Run and what its points are recognised by.
    points: Vec<(MatchRunDigest, Vec<String>)>,
    /// The last line's, in hexadecimal.
    mac: String,
}

impl History {
    /// A new history, and its first line; `before` runs were counted without one.
    #[must_use]
    pub fn begin(key: HistoryKey, before: u32) -> (Self, String) {
        let mut history = Self::empty(key);
        let format = HISTORY_NAME.to_owned();
        let line = history.add(Entry::Begins { format, before });
        (history, line)
    }

    /// Reads a history: nothing where not even its first line is whole. The number is that of
    /// the bytes of whole lines: whatever stands behind them is to be cut off.
    ///
    /// # Errors
    /// [`HistoryError::Unknown`] or [`HistoryError::Changed`].
    pub fn read(key: HistoryKey, text: &[u8]) -> Result<Option<(Self, u64)>, HistoryError> {
        let whole = text.iter().rposition(|byte| *byte == b'\n');
        let Some(lines) = whole.and_then(|end| text.get(..end)) else {
            return Ok(None);
        };
        let mut history = Self::empty(key);
        for (at, line) in lines.split(|byte| *byte == b'\n').enumerate() {
            let changed = HistoryError::Changed { line: at + 1 };
            let entry = history.checked(line).ok_or(changed.clone())?;
            match &entry {
                Entry::Begins { format, .. } if format != HISTORY_NAME => {
                    return Err(HistoryError::Unknown);
                }
                Entry::Begins { .. } if at == 0 => {}
                Entry::Run(_) | Entry::Points { .. } if at > 0 => {}
                _ => return Err(changed),
            }
            history.add(entry);
        }
        Ok(Some((history, lines.len() as u64 + 1)))
    }

    /// What stands in a history, for showing alone: nothing is checked, and what is added to it
    /// no other reads. None where it is no history.
    #[must_use]
    pub fn unchecked(text: &[u8]) -> Option<Self> {
        let mut history = Self::empty(HistoryKey::of(&MatchingKey::from_bytes([0; 32])));
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: Line = serde_json::from_slice(line).ok()?;
            history.add(line.entry);
        }
        Some(history)
    }

    /// Ids of this side in all runs together.
    #[must_use]
    pub fn own_ids(&self) -> u64 {
        let runs = self.runs.iter();
        runs.fold(0, |sum: u64, run| sum.saturating_add(run.own))
    }

    /// Whether the key ring knows of no more runs than this history.
    ///
    /// # Errors
    /// [`HistoryError::Cut`].
    pub fn reaches(&self, known: u32) -> Result<(), HistoryError> {
        let found = self.count();
        match found < known {
            true => Err(HistoryError::Cut { found, known }),
            false => Ok(()),
        }
    }

    /// Runs counted, those before the history included.
    #[must_use]
    pub fn count(&self) -> u32 {
        let lines = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        self.before.saturating_add(lines)
    }

    /// Whether a run was counted: a resumed one is not counted again.
    #[must_use]
    pub fn has(&self, run: &MatchRunDigest) -> bool {
        self.runs.iter().any(|counted| counted.run == *run)
    }

    /// What stands of a run that was counted.
    #[must_use]
    pub fn counted(&self, run: &MatchRunDigest) -> Option<&Counted> {
        self.runs.iter().find(|counted| counted.run == *run)
    }

    /// The run that was counted before `run`, or the newest one where `run` was not counted.
    #[must_use]
    pub fn before(&self, run: &MatchRunDigest) -> Before {
        let at = self.runs.iter().position(|counted| counted.run == *run);
        let mut earlier = self.runs.iter().take(at.unwrap_or(self.runs.len()));
        match (earlier.next_back(), self.before) {
            (Some(counted), _) => Before::Run(counted.run),
            (None, 0) => Before::Nothing,
            (None, _) => Before::Unknown,
        }
    }

    /// Counts a run: the run may begin once the line is durable.
    #[must_use]
    pub fn add_run(&mut self, counted: Counted) -> String {
        self.add(Entry::Run(counted))
    }

    /// Keeps what the first points of the peer in `run` are recognised by, unless it is kept.
    #[must_use]
    pub fn add_points(&mut self, run: &MatchRunDigest, points: &[EncodedPoint]) -> Option<String> {
        if self.points.iter().any(|(kept, _)| kept == run) {
            return None;
        }
        let prints = points.iter().take(REPLAY_POINTS);
        let prints = prints.map(|point| self.key.print(point)).collect();
        Some(self.add(Entry::Points { run: *run, prints }))
    }

    /// Whether one of these points came in another run: under `nothing` every honest run has
    /// points of its own.
    #[must_use]
    pub fn replayed(&self, run: &MatchRunDigest, points: &[EncodedPoint]) -> bool {
        let others = self.points.iter().filter(|(other, _)| other != run);
        let seen: Vec<&String> = others.flat_map(|(_, prints)| prints).collect();
        let mut prints = points.iter().take(REPLAY_POINTS);
        prints.any(|point| seen.contains(&&self.key.print(point)))
    }

    /// What the peer has brought of a part up to now, and beside it of the others, without the run
    /// that is gone on with, if one is; nothing where no full run of it stands here.
    #[must_use]
    pub fn peer_brought(&self, partition: Partition, goes_on: Option<&MatchRunDigest>) -> Base {
        let sizes = |run: &Counted| (run.peer, run.peer_append);
        Base {
            public_key: self.runs.iter().rev().find_map(|run| run.peer_key),
            ..self.brought(partition, goes_on, sizes)
        }
    }

    /// What this side has brought, in the same way.
    #[must_use]
    pub fn own_brought(&self, partition: Partition, goes_on: Option<&MatchRunDigest>) -> Base {
        self.brought(partition, goes_on, |run| (run.own, run.append))
    }

    /// Runs of a part, those before the history included. Parts of another split, and the whole,
    /// count with the one of which there were most runs.
    #[must_use]
    pub fn count_of(&self, partition: Partition) -> u32 {
        let mut counts = BTreeMap::<Partition, u32>::new();
        for run in &self.runs {
            *counts.entry(run.partition).or_default() += 1;
        }
        let own = counts.get(&partition).copied().unwrap_or_default();
        let mut others = BTreeMap::<u32, u32>::new();
        for (other, runs) in counts {
            if other.of() != partition.of() {
                let most = others.entry(other.of()).or_default();
                *most = runs.max(*most);
            }
        }
        let others = others
            .values()
            .fold(0, |sum: u32, most| sum.saturating_add(*most));
        self.before.saturating_add(own).saturating_add(others)
    }

    /// The nth full run of each part, with what was appended to it, is one round; a full run of
    /// all ids, or of a part of another split, ends those before it.
    fn brought(
        &self,
        partition: Partition,
        goes_on: Option<&MatchRunDigest>,
        sizes: impl Fn(&Counted) -> (u64, bool),
    ) -> Base {
        let mut rounds = BTreeMap::<Partition, Vec<Declared>>::new();
        for run in self.runs.iter().filter(|run| Some(&run.run) != goes_on) {
            let (ids, append) = sizes(run);
            if run.partition.of() != partition.of() {
                if !append {
                    rounds.clear();
                }
                continue;
            }
            let list = rounds.entry(run.partition).or_default();
            match list.last_mut().filter(|_| append) {
                Some(last) => last.add(ids),
                None => list.push(Declared { ids, runs: 1 }),
            }
        }
        let own = rounds.remove(&partition).unwrap_or_default();
        let beside = |round: Option<usize>| {
            let mut sum = Declared::default();
            let others = rounds.values().filter_map(|list| list.get(round?));
            others.for_each(|one| {
                sum.ids = sum.ids.saturating_add(one.ids);
                sum.runs += one.runs;
            });
            sum
        };
        let last = own.last().copied().unwrap_or_default();
        Base {
            ids: last.ids,
            runs: last.runs,
            // A first run that appends is of the first round too.
            beside: beside(Some(own.len().saturating_sub(1))),
            beside_next: beside(Some(own.len())),
            public_key: None,
        }
    }

    fn empty(key: HistoryKey) -> Self {
        Self {
            key,
            before: 0,
            runs: Vec::new(),
            points: Vec::new(),
            mac: String::new(),
        }
    }

    /// The entry of a line that this program wrote as the next one.
    fn checked(&self, line: &[u8]) -> Option<Entry> {
        let parsed: Line = serde_json::from_slice(line).ok()?;
        let (written, _) = self.line(parsed.entry.clone());
        (written.as_bytes() == line).then_some(parsed.entry)
    }

    /// The line of an entry that comes next, and its `mac`.
    fn line(&self, entry: Entry) -> (String, String) {
        // INVARIANT: names, numbers and texts always have a JSON form.
        let text = serde_json::to_string(&entry).unwrap_or_default();
        let parts: [&[u8]; 2] = [self.mac.as_bytes(), text.as_bytes()];
        let mac = hex::encode(HistoryKey::mac(&self.key.lines, &parts));
        let line = Line { entry, mac };
        (serde_json::to_string(&line).unwrap_or_default(), line.mac)
    }

    fn add(&mut self, entry: Entry) -> String {
        let (text, mac) = self.line(entry.clone());
        self.mac = mac;
        match entry {
            Entry::Begins { before, .. } => self.before = before,
            Entry::Run(counted) => self.runs.push(counted),
            Entry::Points { run, prints } => self.points.push((run, prints)),
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests;
