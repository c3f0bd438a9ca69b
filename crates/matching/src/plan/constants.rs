//! What a step costs: microseconds of one core, bytes, memory. Measured figures stand in
//! `docs/benchmarks.md` under the names given here; the rest is computed, and said to be.

use super::Instructions;

/// Microseconds of one core for a point of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PointCosts {
    /// `hash_to_group_us`.
    pub hash: f64,
    /// `scalar_mul_us`.
    pub multiply: f64,
    /// `encode_us`.
    pub encode: f64,
    /// `decode_us`.
    pub decode: f64,
}

impl PointCosts {
    pub(super) fn of(instructions: Instructions) -> Self {
        let [hash, multiply, encode, decode] = match instructions {
            Instructions::Ifma => [0.94, 2.5, 0.17, 0.34],
            Instructions::Avx2 => [3.0, 19.4, 0.7, 1.5],
            Instructions::Portable => [8.5, 37.7, 1.8, 4.8],
        };
        Self {
            hash,
            multiply,
            encode,
            decode,
        }
    }

    /// An id of one's own becomes a blinded point.
    pub(super) fn blind(&self) -> f64 {
        self.hash + self.multiply + self.encode
    }

    /// A point that came is multiplied and sent on, or back.
    pub(super) fn raise(&self) -> f64 {
        self.decode + self.multiply + self.encode
    }
}

/// Everything but points, for an id of one's own: reading, order, journal, crosswalk, TLS in
/// both services. What `commutative_nothing_2e20_cpu_s`, 22.9, has beside its points.
pub(super) const OTHER_NOTHING_US: f64 = 1.3;
/// The same under `own-matches`: `commutative_own_2e20_cpu_s`, 17.3.
pub(super) const OTHER_OWN_US: f64 = 1.6;
/// Of these: what is done before the first point is sent, and by one core. Computed.
pub(super) const INTAKE_US: f64 = 0.55;
/// Protobuf, gRPC, HTTP/2 and TLS around points: bytes sent for a byte of points.
pub(super) const FRAMING: f64 = 1.0025;
/// A point.
pub(super) const POINT_BYTES: f64 = 32.0;
/// What stands for a point where both may see who matches.
pub(super) const TAG_BYTES: f64 = 16.0;
/// Points under way before an answer must have come.
pub(super) const WINDOW_POINTS: f64 = 16_384.0;
/// A process of `match run`, whatever the size: `commutative_2e20_peak_mib` is to stay below.
pub(super) const MEMORY_MIB: f64 = 96.0;
/// An id, as it stands in files; nobody's is the same.
pub(super) const ID_BYTES: f64 = 24.0;
/// What the journal and the order add to an id on disk.
pub(super) const RECORD_BYTES: f64 = 25.0;
/// The order and the sort by id stand on disk beside each other for a while.
pub(super) const DISK_FACTOR: f64 = 2.2;

/// VOLE, both parties together, for an id of each set, secure against parties that do anything, as
/// agreements have it unless they say otherwise: `vole_own_2e20_malicious_cpu_s` 2.6.
pub(super) const VOLE_OWN_US: f64 = 1.1;
/// The same with `reveals = "nothing"`: `vole_nothing_2e20_cpu_s` 3.3, and 0.5 at 2^16.
pub(super) const VOLE_NOTHING_US: f64 = 1.43;
/// What a run costs however few the ids, in seconds of both and in bytes.
pub(super) const VOLE_START_S: f64 = 0.3;
/// See [`VOLE_START_S`].
pub(super) const VOLE_START_BYTES: f64 = 1.1e6;
/// Bytes for an id of each set: 19.3 by `vole_own_2e20_malicious_cpu_s`, its start included.
pub(super) const VOLE_OWN_BYTES: f64 = 18.8;
/// The same with `reveals = "nothing"`: 22.4.
pub(super) const VOLE_NOTHING_BYTES: f64 = 21.9;
/// Bytes of memory for an id of the larger set: vectors, hashes and values. The peak of 251 MiB at
/// 2^20.
pub(super) const VOLE_OWN_ID_BYTES: f64 = 155.0;
/// The same with `reveals = "nothing"`: 329 MiB.
pub(super) const VOLE_NOTHING_ID_BYTES: f64 = 233.0;

/// At a provider, for an id: evaluated, with the proof of a batch: `provider_evaluations_per_s`
/// 278,000.
pub(super) const PROVIDER_US: f64 = 3.6;
/// At the party, for an id and each of the providers that it asks: two points are decoded, and
/// the proof is checked. Computed.
pub(super) const PROVIDER_CHECK_US: f64 = 1.8;
/// At the party, for an id: the last multiplication. Computed.
pub(super) const PROVIDER_FINISH_US: f64 = 2.7;
/// The evaluations a second and party that a provider gives where the agreement names no rate.
pub(super) const PROVIDER_RATE: f64 = 20_000.0;

/// The largest part of a set that one run is planned for where the set is split.
pub(super) const PART_IDS: u64 = 1 << 22;
/// A row that is looked at for its part: hashed. 130 s of 10^9 rows.
pub(super) const PART_HASH_US: f64 = 0.13;
/// And read out of its file and normalised before. Computed: splitting rows takes 0.33 us in all.
pub(super) const PART_READ_US: f64 = 0.15;
/// And sealed and written into the file of its part, where all rows are split once. Computed
/// likewise.
pub(super) const PART_WRITE_US: f64 = 0.05;
/// Sets up to here are matched in one run on one machine.
pub(super) const WHOLE_IDS: u64 = 1 << 24;
