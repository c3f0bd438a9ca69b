//! How much of anything one side takes from another.

/// The largest agreement file.
pub const MAX_AGREEMENT_BYTES: usize = 1 << 20;
/// The largest proposal: it travels inside each request for it.
pub const MAX_PROPOSAL_BYTES: usize = 128 << 10;
/// The largest signed manifest (about a million wraps).
pub const MAX_MANIFEST_BYTES: usize = 256 << 20;
/// Columns of one data set.
pub const MAX_COLUMNS: usize = 1_000;
/// Parts of one sealed data set.
pub const MAX_PARTS: usize = 65_536;
/// The largest sealed part.
pub const MAX_PART_BYTES: u64 = 4 << 30;
/// The largest evidence with its collateral.
pub const MAX_EVIDENCE_BYTES: usize = 1 << 20;
/// The largest signed request.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// The largest grant (the wrapped keys of one owner's parts).
pub const MAX_GRANT_BYTES: usize = 256 << 20;
/// One message on a stream: a chunk of points or of a part.
pub const CHUNK_BYTES: usize = 512 << 10;
/// The largest gRPC message that is read.
pub const MAX_MESSAGE_BYTES: usize = 256 << 20;
/// Parties in one agreement.
pub const MAX_PARTIES: usize = 64;
/// The last version of a sealed data set: a million a second for nine years.
pub const MAX_VERSION: u64 = 1 << 48;
/// The last generation of a data set's purpose keys. Beyond it stand marks of key rings.
pub const MAX_KEY_EPOCH: u32 = 1 << 30;
/// Slices of the pseudonym space.
pub const MAX_PARTITIONS: u32 = 4096;
/// How many times the people that its owner declares a data set may be about.
pub const PEOPLE_FACTOR: u64 = 2;
/// People that a slice may have beyond its share: of few, chance alone puts more into one.
pub const PEOPLE_SLACK: u64 = 1_000;
/// The longest text value that is kept, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The least `max_ids` of an agreement under `method = "vole"`: what a party of the smallest set
/// could have evaluated.
pub const MIN_VOLE_IDS: u64 = 600;
/// The greatest: what a party of 2^22 ids, the most of one run, could have evaluated.
pub const MAX_VOLE_IDS: u64 = 11_618_223;
