//! Where the constants of a plan come from.

use super::Situation;
use super::constants::{
    DISK_FACTOR, FRAMING, ID_BYTES, INTAKE_US, MEMORY_MIB, OTHER_NOTHING_US, OTHER_OWN_US,
    PART_HASH_US, PART_READ_US, PART_WRITE_US, PROVIDER_CHECK_US, PROVIDER_FINISH_US,
    PROVIDER_RATE, PROVIDER_US, PointCosts, RECORD_BYTES, VOLE_NOTHING_BYTES,
    VOLE_NOTHING_ID_BYTES, VOLE_NOTHING_US, VOLE_OWN_BYTES, VOLE_OWN_ID_BYTES, VOLE_OWN_US,
    VOLE_START_BYTES, VOLE_START_S,
};
use crate::Reveals;

/// When and on what the measured ones were measured.
pub const MEASURED_ON: &str = "November 2026, 2 cores of a shared x86-64 machine with Zen 5 cores (docs/benchmarks.md); an older \
     server with AVX-512 took twice as long";

/// A number that a plan is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// What it is.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// Whether it was measured ([`MEASURED_ON`]); else it was computed, or is a limit.
    pub measured: bool,
}

const fn measured(name: &'static str, value: f64, unit: &'static str) -> Constant {
    let measured = true;
    Constant {
        name,
        value,
        unit,
        measured,
    }
}

const fn computed(name: &'static str, value: f64, unit: &'static str) -> Constant {
    let measured = false;
    Constant {
        name,
        value,
        unit,
        measured,
    }
}

/// What a plan for this is computed from.
pub(super) fn constants(situation: &Situation) -> Vec<Constant> {
    let points = PointCosts::of(situation.instructions);
    let nothing = situation.reveals == Reveals::Nothing;
    let (other, vole, vole_bytes, vole_memory) = match nothing {
        true => (
            OTHER_NOTHING_US,
            VOLE_NOTHING_US,
            VOLE_NOTHING_BYTES,
            VOLE_NOTHING_ID_BYTES,
        ),
        false => (OTHER_OWN_US, VOLE_OWN_US, VOLE_OWN_BYTES, VOLE_OWN_ID_BYTES),
    };
    vec![
        measured("hash an id to the group", points.hash, "us"),
        measured("multiply a point", points.multiply, "us"),
        measured("encode a point", points.encode, "us"),
        measured("decode a point", points.decode, "us"),
        computed("all else for an own id", other, "us"),
        computed("of it, before the first point leaves", INTAKE_US, "us"),
        computed("read a row", PART_READ_US, "us"),
        measured("find out its part", PART_HASH_US, "us"),
        computed("write it into its part's file", PART_WRITE_US, "us"),
        computed("framing of messages", FRAMING, "times"),
        measured("memory of commutative", MEMORY_MIB, "MiB"),
        computed("an id in a file", ID_BYTES, "bytes"),
        computed("beside it on disk", RECORD_BYTES, "bytes"),
        computed("copies on disk", DISK_FACTOR, "times"),
        measured("an id of each set by vole", vole, "us"),
        measured("start of vole", VOLE_START_S, "s"),
        measured("bytes of an id by vole", vole_bytes, "bytes"),
        measured("bytes of vole's start", VOLE_START_BYTES, "bytes"),
        measured("memory of an id by vole", vole_memory, "bytes"),
        measured("an evaluation at a provider", PROVIDER_US, "us"),
        computed("a provider's answer checked", PROVIDER_CHECK_US, "us"),
        computed("an evaluated id finished", PROVIDER_FINISH_US, "us"),
        computed(
            "a provider's rate, unless agreed otherwise",
            PROVIDER_RATE,
            "a second",
        ),
    ]
}
