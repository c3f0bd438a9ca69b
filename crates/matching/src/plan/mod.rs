//! `match plan`: what matching two sets takes, by each method, before anybody runs it.
//!
//! Pure arithmetic over constants that were measured or computed; each line carries its own, so
//! that whoever doubts it can follow. Times are of the slowest of four things: a party's cores,
//! the other's, the link, and waiting for answers.

mod advice;
mod constants;
mod origin;

use std::fmt;
use std::str::FromStr;

use incamera_vole::params::MAX_ITEMS;

use crate::Reveals;
pub use origin::{Constant, MEASURED_ON};

use constants::{
    DISK_FACTOR, FRAMING, ID_BYTES, INTAKE_US, MEMORY_MIB, OTHER_NOTHING_US, OTHER_OWN_US,
    PART_HASH_US, PART_IDS, PART_READ_US, PART_WRITE_US, POINT_BYTES, PROVIDER_CHECK_US,
    PROVIDER_FINISH_US, PROVIDER_RATE, PROVIDER_US, PointCosts, RECORD_BYTES, TAG_BYTES,
    VOLE_NOTHING_BYTES, VOLE_NOTHING_ID_BYTES, VOLE_NOTHING_US, VOLE_OWN_BYTES, VOLE_OWN_ID_BYTES,
    VOLE_OWN_US, VOLE_START_BYTES, VOLE_START_S, WHOLE_IDS, WINDOW_POINTS,
};

/// A method that the agreement's `[matching]` may name between parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlannedMethod {
    /// Points that both raise.
    Commutative,
    /// Vectors of correlated randomness.
    Vole,
    /// Identity providers.
    Provider,
}

impl PlannedMethod {
    const ALL: [Self; 3] = [Self::Commutative, Self::Vole, Self::Provider];

    /// The word of the agreement.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commutative => "commutative",
            Self::Vole => "vole",
            Self::Provider => "provider",
        }
    }

    /// Whether agreements may name it in this version, with what it is to reveal.
    #[must_use]
    pub fn is_available(self, reveals: Reveals) -> bool {
        match reveals {
            Reveals::Nothing => true,
            Reveals::OwnMatches => self != Self::Provider,
        }
    }
}

impl fmt::Display for PlannedMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What processors a side has for points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instructions {
    /// AVX-512 with 52-bit products.
    Ifma,
    /// AVX2.
    Avx2,
    /// Neither.
    Portable,
}

impl Instructions {
    const WORDS: [(&'static str, Self); 3] = [
        ("ifma", Self::Ifma),
        ("avx2", Self::Avx2),
        ("portable", Self::Portable),
    ];
}

/// No name of instructions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instructions are ifma, avx2 or portable")]
pub struct InstructionsError;

impl FromStr for Instructions {
    type Err = InstructionsError;
    fn from_str(text: &str) -> Result<Self, InstructionsError> {
        let mut words = Self::WORDS.into_iter();
        let found = words.find(|(word, _)| *word == text);
        found.map(|(_, known)| known).ok_or(InstructionsError)
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.into_iter().find(|(_, known)| known == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// What is to be matched, and with what. Both sides have the same machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// Distinct ids of this party.
    pub own: u64,
    /// Distinct ids of the other.
    pub peer: u64,
    /// Bits a second between the two, each way.
    pub link_bits_per_s: u64,
    /// From a question to its answer, in milliseconds.
    pub rtt_ms: u32,
    /// Cores of a machine.
    pub cores: u32,
    /// Machines of a side.
    pub machines: u32,
    /// What the processors have.
    pub instructions: Instructions,
    /// What may be revealed.
    pub reveals: Reveals,
    /// Parties that are to match with one another.
    pub parties: u32,
    /// Whether new ids are to be added later, to pseudonyms that stay.
    pub appends: bool,
    /// How many providers evaluate each id, where there are some.
    pub providers: u32,
}

/// What keeps a run from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// This party's cores.
    OwnCores,
    /// The other's.
    PeerCores,
    /// The link.
    Link,
    /// Waiting for answers.
    RoundTrips,
    /// The rate that providers allow.
    Rate,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnCores => "own cores",
            Self::PeerCores => "the other's cores",
            Self::Link => "the link",
            Self::RoundTrips => "waiting for answers",
            Self::Rate => "the providers' rate",
        })
    }
}

/// What one method takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The method.
    pub method: PlannedMethod,
    /// What it reveals.
    pub reveals: Reveals,
    /// Whether the steps that its CPU time hangs on were measured; else some were computed.
    pub measured: bool,
    /// Seconds until both have their crosswalks.
    pub seconds: f64,
    /// What that hangs on.
    pub bound: Bound,
    /// CPU seconds of this party.
    pub own_cpu_s: f64,
    /// CPU seconds of the other.
    pub peer_cpu_s: f64,
    /// Bytes that this party sends.
    pub sent: f64,
    /// Bytes that come to it.
    pub received: f64,
    /// MiB of memory of each process here.
    pub memory_mib: f64,
    /// Bytes on this party's disk while it runs.
    pub disk: f64,
    /// How it comes about, a step each.
    pub arithmetic: Vec<String>,
}

/// A split by a prefix of a hash of the ids, for many machines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// How many parts; a power of two.
    pub parts: u64,
    /// Ids of the larger set in a part, on average.
    pub ids: f64,
    /// By how many that varies (one standard deviation).
    pub deviation: f64,
    /// CPU seconds of both sides for one part, by commutative matching.
    pub part_cpu_s: f64,
    /// CPU seconds of both sides to look through all rows for those of one part.
    pub part_reading_cpu_s: f64,
    /// The same for all parts, where each reads files of all rows.
    pub all_reading_cpu_s: f64,
    /// CPU seconds of both sides to read all rows once, into a file for each part.
    pub splitting_cpu_s: f64,
}

/// Why a method does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// More than two parties.
    TwoParties,
    /// New ids are to be added later.
    Appends,
    /// A set above what one run takes.
    TooMany,
    /// What may be revealed is more than it shows.
    RevealsNothing,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoParties => f.write_str("matches two parties alone"),
            Self::Appends => f.write_str("appends nothing: each run is all ids anew"),
            Self::TooMany => write!(f, "takes at most 2^{} ids a side", MAX_ITEMS.ilog2()),
            Self::RevealsNothing => f.write_str("reveals nothing: write reveals = \"nothing\""),
        }
    }
}

/// What is foretold.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The quickest first; methods that do not fit are left out.
    pub lines: Vec<Line>,
    /// Those, and why.
    pub left_out: Vec<(PlannedMethod, Unfit)>,
    /// How the sets are split; none where one run on one machine does.
    pub split: Option<Split>,
    /// Which method, and why: a sentence each.
    pub advice: Vec<String>,
    /// What all of it is computed from.
    pub constants: Vec<Constant>,
}

/// What matching takes.
#[must_use]
pub fn plan(situation: &Situation) -> Plan {
    let (mut lines, mut left_out) = (Vec::new(), Vec::new());
    for method in PlannedMethod::ALL {
        match unfit(method, situation) {
            Some(why) => left_out.push((method, why)),
            None => lines.push(line(method, situation)),
        }
    }
    lines.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
    Plan {
        split: split(situation),
        advice: advice::advice(situation, &lines),
        constants: origin::constants(situation),
        lines,
        left_out,
    }
}

fn line(method: PlannedMethod, situation: &Situation) -> Line {
    match method {
        PlannedMethod::Commutative => commutative(situation),
        PlannedMethod::Vole => vole(situation),
        PlannedMethod::Provider => provider(situation),
    }
}

/// Why a method does not do what is asked; none where it does.
fn unfit(method: PlannedMethod, situation: &Situation) -> Option<Unfit> {
    let two = situation.parties == 2;
    match method {
        PlannedMethod::Provider => {
            (situation.reveals != Reveals::Nothing).then_some(Unfit::RevealsNothing)
        }
        _ if !two => Some(Unfit::TwoParties),
        PlannedMethod::Vole if situation.appends => Some(Unfit::Appends),
        PlannedMethod::Vole if situation.larger() > MAX_ITEMS => Some(Unfit::TooMany),
        _ => None,
    }
}

/// Counts as what they are in products.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts below 2^53, and figures that people read"
)]
fn count(number: u64) -> f64 {
    number as f64
}

/// What a method needs before it is known what it waits for.
struct Needs {
    own_cpu_s: f64,
    peer_cpu_s: f64,
    sent: f64,
    received: f64,
}

impl Situation {
    /// Machines of a side that are at work at once: ids are matched part by part by
    /// [`PlannedMethod::Commutative`] alone.
    fn machines(&self, method: PlannedMethod) -> f64 {
        let many = method == PlannedMethod::Commutative && has_parts(self);
        f64::from(if many { self.machines.max(1) } else { 1 })
    }

    fn side_cores(&self, method: PlannedMethod) -> f64 {
        f64::from(self.cores.max(1)) * self.machines(method)
    }

    fn larger(&self) -> u64 {
        self.own.max(self.peer)
    }

    /// The seconds, and what they hang on: the slowest of all, behind reading the ids.
    fn slowest(&self, method: PlannedMethod, needs: &Needs, more: &[(f64, Bound)]) -> (f64, Bound) {
        let (machines, cores) = (self.machines(method), self.side_cores(method));
        let link = count(self.link_bits_per_s.max(1));
        let direction = needs.sent.max(needs.received);
        let chunks = (count(self.larger()) / machines / WINDOW_POINTS).ceil();
        let all = [
            (needs.own_cpu_s / cores, Bound::OwnCores),
            (needs.peer_cpu_s / cores, Bound::PeerCores),
            (8.0 * direction / link, Bound::Link),
            (f64::from(self.rtt_ms) / 1e3 * chunks, Bound::RoundTrips),
        ];
        let all = all.iter().chain(more);
        let (seconds, bound) = all.fold((0.0, Bound::OwnCores), |most, one| {
            if one.0 > most.0 { *one } else { most }
        });
        let intake = count(self.own) * INTAKE_US / 1e6 / machines;
        (seconds + intake, bound)
    }

    fn line(&self, method: PlannedMethod, needs: Needs, more: &[(f64, Bound)]) -> Line {
        let (seconds, bound) = self.slowest(method, &needs, more);
        Line {
            method,
            reveals: self.reveals,
            measured: false,
            seconds,
            bound,
            own_cpu_s: needs.own_cpu_s,
            peer_cpu_s: needs.peer_cpu_s,
            sent: needs.sent,
            received: needs.received,
            memory_mib: MEMORY_MIB,
            disk: DISK_FACTOR * (ID_BYTES + RECORD_BYTES) * count(self.own),
            arithmetic: Vec::new(),
        }
    }
}

fn commutative(situation: &Situation) -> Line {
    let points = PointCosts::of(situation.instructions);
    let (blind, raise) = (points.blind(), points.raise());
    let (own, peer) = (count(situation.own), count(situation.peer));
    let nothing = situation.reveals == Reveals::Nothing;
    // Under `nothing` each id is multiplied a third time, to take the blinding off.
    let (complete, other, answer) = match nothing {
        true => (raise, OTHER_NOTHING_US, POINT_BYTES),
        false => (0.0, OTHER_OWN_US, TAG_BYTES),
    };
    let cpu = |mine: f64, theirs: f64| (mine * (blind + complete + other) + theirs * raise) / 1e6;
    let bytes = |mine: f64, theirs: f64| FRAMING * (mine * POINT_BYTES + theirs * answer);
    let needs = Needs {
        own_cpu_s: cpu(own, peer),
        peer_cpu_s: cpu(peer, own),
        sent: bytes(own, peer),
        received: bytes(peer, own),
    };
    let third = match nothing {
        true => format!(" + {raise:.2} to unblind"),
        false => String::new(),
    };
    let arithmetic = vec![
        format!(
            "an own id: {blind:.2} to blind{third} + {other:.1} for all else = {:.2} us; an id of the other: {raise:.2} us to raise",
            blind + complete + other
        ),
        format!(
            "CPU here: {} x {:.2} us + {} x {raise:.2} us = {:.1} s; of both: {:.1} s",
            situation.own,
            blind + complete + other,
            situation.peer,
            needs.own_cpu_s,
            needs.own_cpu_s + needs.peer_cpu_s
        ),
        format!(
            "sent: ({} x {POINT_BYTES:.0} + {} x {answer:.0}) bytes x {FRAMING}",
            situation.own, situation.peer
        ),
    ];
    Line {
        measured: true,
        arithmetic,
        ..situation.line(PlannedMethod::Commutative, needs, &[])
    }
}

fn vole(situation: &Situation) -> Line {
    let (own, peer) = (count(situation.own), count(situation.peer));
    let (cost, bytes, memory) = match situation.reveals {
        Reveals::Nothing => (VOLE_NOTHING_US, VOLE_NOTHING_BYTES, VOLE_NOTHING_ID_BYTES),
        Reveals::OwnMatches => (VOLE_OWN_US, VOLE_OWN_BYTES, VOLE_OWN_ID_BYTES),
    };
    // Both do about as much, one after the other and on one core.
    let both = VOLE_START_S + (own + peer) * cost / 1e6;
    let all = VOLE_START_BYTES + (own + peer) * bytes;
    let needs = Needs {
        own_cpu_s: both / 2.0,
        peer_cpu_s: both / 2.0,
        sent: all / 2.0,
        received: all / 2.0,
    };
    let arithmetic = vec![
        format!(
            "CPU of both: {VOLE_START_S} s + ({} + {}) x {cost:.2} us = {both:.1} s",
            situation.own, situation.peer
        ),
        format!(
            "bytes of both: {VOLE_START_BYTES:.0} + ({} + {}) x {bytes}",
            situation.own, situation.peer
        ),
    ];
    Line {
        measured: true,
        memory_mib: MEMORY_MIB + count(situation.larger()) * memory / f64::from(1 << 20),
        arithmetic,
        ..situation.line(PlannedMethod::Vole, needs, &[(both, Bound::OwnCores)])
    }
}

fn provider(situation: &Situation) -> Line {
    let points = PointCosts::of(situation.instructions);
    let asked = f64::from(situation.providers.max(1));
    let each = points.blind() + asked * PROVIDER_CHECK_US + PROVIDER_FINISH_US;
    let (own, peer) = (count(situation.own), count(situation.peer));
    let needs = Needs {
        own_cpu_s: own * each / 1e6,
        peer_cpu_s: peer * each / 1e6,
        sent: FRAMING * POINT_BYTES * asked * own,
        received: FRAMING * POINT_BYTES * asked * own,
    };
    let slower = count(situation.larger());
    let evaluating =
        (own + peer) * PROVIDER_US / 1e6 / situation.side_cores(PlannedMethod::Provider);
    let more = [
        (slower / PROVIDER_RATE, Bound::Rate),
        (evaluating, Bound::PeerCores),
    ];
    let arithmetic = vec![
        format!(
            "an own id: {:.2} to blind + {asked:.0} x {PROVIDER_CHECK_US} to check + {PROVIDER_FINISH_US} to finish = {each:.2} us; at each provider {PROVIDER_US} us",
            points.blind()
        ),
        format!(
            "at {PROVIDER_RATE:.0} evaluations a second and party: {:.0} s",
            slower / PROVIDER_RATE
        ),
    ];
    Line {
        arithmetic,
        ..situation.line(PlannedMethod::Provider, needs, &more)
    }
}

/// By the first bits of a keyed hash of the ids: as many parts as keep one at a size that was
/// tried, and no fewer than there are machines.
fn split(situation: &Situation) -> Option<Split> {
    if !wants_parts(situation) || !has_parts(situation) {
        return None;
    }
    let larger = situation.larger();
    let parts = larger
        .div_ceil(PART_IDS)
        .max(u64::from(situation.machines))
        .next_power_of_two();
    let share = 1.0 / count(parts);
    let ids = count(larger) * share;
    let line = commutative(situation);
    let rows = count(situation.own) + count(situation.peer);
    let reading = rows * (PART_READ_US + PART_HASH_US) / 1e6;
    Some(Split {
        parts,
        ids,
        deviation: (ids * (1.0 - share)).sqrt(),
        part_cpu_s: (line.own_cpu_s + line.peer_cpu_s) * share,
        part_reading_cpu_s: reading,
        all_reading_cpu_s: reading * count(parts),
        splitting_cpu_s: reading + rows * PART_WRITE_US / 1e6,
    })
}

/// Whether one run on one machine is too little.
fn wants_parts(situation: &Situation) -> bool {
    situation.machines > 1 || situation.larger() > WHOLE_IDS
}

/// Whether an agreement for this may say that ids are matched part by part.
fn has_parts(situation: &Situation) -> bool {
    situation.parties == 2 && situation.reveals == Reveals::Nothing
}

#[cfg(test)]
mod tests;
