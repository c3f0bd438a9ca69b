//! Why a matching run ended, and whose doing it was. Never an identifier, a point or a key.

use incamera_group::PointFault;
use incamera_types::{IdKind, MatchingEpoch, PartyName};
use incamera_wire::FormatError;

/// Why a matching run ended without pseudonyms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MatchError {
    /// The peer sent what no correct program sends.
    #[error("`{peer}` does not keep to the matching protocol")]
    PeerMisbehaved {
        /// The peer.
        peer: PartyName,
        /// What it did.
        #[source]
        source: Misbehaviour,
    },
    /// The peer is well, but matches something else.
    #[error("`{peer}` matches under other terms")]
    PeerIncompatible {
        /// The peer.
        peer: PartyName,
        /// What differs.
        #[source]
        source: Incompatible,
    },
    /// The stream of the peer ended before the run did.
    #[error("`{peer}` ended the run early: start it again")]
    EndedEarly {
        /// The peer.
        peer: PartyName,
    },
    /// Links were lost again and again with nothing done in between, or the peer wanted its
    /// answers again and again.
    #[error(
        "the run with `{peer}` gets nowhere: its link was lost, or answers were asked for again, too often"
    )]
    GetsNowhere {
        /// The peer.
        peer: PartyName,
    },
    /// Every id matched in an earlier run would get another pseudonym now.
    #[error(
        "ids of kind `{id_kind}` that were matched before in epoch {epoch} get other pseudonyms now, \
         so nothing would join: the matching secret in our key ring or in that of `{peer}` is not the \
         one of the earlier runs; restore the right key ring, or agree on a new matching epoch"
    )]
    SecretChanged {
        /// The peer.
        peer: PartyName,
        /// The epoch of the run.
        epoch: MatchingEpoch,
        /// The kind of the ids.
        id_kind: IdKind,
    },
    /// The ids of this run fit no store of it, as happens once in 2^40 runs.
    #[error("by chance, these ids cannot be matched in this run: another run will do")]
    Unlucky,
    /// This program called the run wrongly.
    #[error("the matching run was used wrongly")]
    Misuse(#[from] Misuse),
}

/// What a misbehaving peer did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// A message with nothing in it, or of a kind that this version does not know.
    #[error("an empty or unknown message")]
    EmptyMessage,
    /// Points or an end before the greeting.
    #[error("a message before the greeting")]
    BeforeHello,
    /// A second greeting, with the same set size or another.
    #[error("a second greeting")]
    SecondHello,
    /// A greeting with a field that no correct program sends.
    #[error("a greeting whose `{field}` is missing or malformed")]
    Hello {
        /// The field.
        field: &'static str,
    },
    /// It goes on with a run, but greets otherwise than when the run began.
    #[error("it goes on with an earlier run under another greeting than that run began with")]
    OtherHello,
    /// Its places in a run that goes on cannot be.
    #[error("it goes on with an earlier run from places that do not fit what was exchanged")]
    Places,
    /// A second `begin`, or one after points.
    #[error("a second begin")]
    SecondBegin,
    /// A `begin` of another run.
    #[error("it begins another run than the greetings name")]
    OtherRun,
    /// Points before the run has begun on both sides.
    #[error("points before the run has begun")]
    BeforeBegin,
    /// Tags where points are due, or the reverse.
    #[error("answers of the wrong kind")]
    WrongAnswers,
    /// A second nonce, or one where something else is due.
    #[error("a nonce where none is due")]
    Nonce,
    /// It does not keep to the steps of oblivious evaluation.
    #[error(transparent)]
    Vole(#[from] incamera_vole::oprf::Misbehaviour),
    /// A proof without answers, answers without a proof, or a proof of other answers.
    #[error("a proof and answers that do not belong together")]
    UnfitProof,
    /// A proof that does not hold.
    #[error(
        "the answers from place {first} on were not all made with the key that it greeted with"
    )]
    WrongProof {
        /// The first place that the proof is about.
        first: u64,
    },
    /// More points at once than any window allows.
    #[error("more than {limit} points ahead of the answers")]
    TooFarAhead {
        /// Points that may be unanswered.
        limit: u64,
    },
    /// Another point at a place that was answered before.
    #[error("another point at place {place} than before the run was cut off")]
    ChangedPoint {
        /// Its place in the set.
        place: u64,
    },
    /// Points that do not follow on the ones before.
    #[error("points from place {found}, where those from place {expected} come next")]
    OutOfOrder {
        /// The place that comes next.
        expected: u64,
        /// The place sent.
        found: u64,
    },
    /// A chunk without points, with too many, or with part of one.
    #[error(
        "a chunk of {bytes} bytes, which is no whole number of points from 1 to the chunk limit"
    )]
    ChunkSize {
        /// Bytes sent.
        bytes: usize,
    },
    /// A chunk that is small for no reason: each costs a record of the journal.
    #[error("a chunk of {points} points that ends neither its set nor what was kept before")]
    SmallChunk {
        /// Its points.
        points: u64,
    },
    /// More points than declared, or answers to points that were not sent.
    #[error("more than the {expected} points that were due")]
    TooMany {
        /// Points due so far.
        expected: u64,
    },
    /// A point that is the identity or none at all.
    #[error("point {place} is refused")]
    BadPoint {
        /// Its place in the set.
        place: u64,
        /// Why.
        #[source]
        fault: PointFault,
    },
    /// An end that does not fit what was exchanged.
    #[error("it reports {found} points received, after {expected} of its set")]
    WrongCount {
        /// The points it was due.
        expected: u64,
        /// The points it reports.
        found: u64,
    },
    /// Two of our ids came back as one point.
    #[error("it gave one point for two ids")]
    RepeatedPoint,
    /// Two of its points came to one.
    #[error("it sent one point twice")]
    SentTwice,
    /// Some ids matched before kept their pseudonym, others did not.
    #[error("it did not treat all points alike: some ids keep their pseudonym, others do not")]
    Inconsistent,
}

/// How the peer's terms differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Incompatible {
    /// Another protocol or version.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another version of the agreement, or another agreement.
    #[error("its agreement is not ours: compare the digests that `agreement show` prints")]
    Agreement,
    /// It calls itself by another name than the agreement gives this peer.
    #[error("it takes itself for another party than the agreement says it is")]
    Party,
    /// Another matching epoch.
    #[error("it matches epoch {theirs}, we match epoch {ours}")]
    Epoch {
        /// Our epoch.
        ours: MatchingEpoch,
        /// The peer's.
        theirs: MatchingEpoch,
    },
    /// Another kind of identifier.
    #[error("it matches ids of another kind than `{ours}`")]
    IdKind {
        /// Our kind.
        ours: IdKind,
    },
    /// Another method.
    #[error("it matches by another method than `{ours}`")]
    Method {
        /// Our method.
        ours: super::Method,
    },
    /// Another degree of revelation.
    #[error("it matches with another `reveals` than `{ours}`")]
    Reveals {
        /// Ours.
        ours: super::Reveals,
    },
    /// Other rules of normalising ids.
    #[error(
        "it normalises ids by rules {theirs}, we by rules {ours}: both must run one version of the agreement and a program that knows its rules"
    )]
    Rules {
        /// Our rules.
        ours: u32,
        /// The peer's.
        theirs: u32,
    },
    /// A mode that this version does not know.
    #[error("it matches in a mode that this version does not know")]
    Mode,
    /// Another part of the ids.
    #[error("it matches another part of the ids than `{ours}`")]
    Partition {
        /// Ours.
        ours: super::Partition,
    },
    /// One side wants proofs of one key for all rows, the other does not.
    #[error(
        "only one side asks for proofs that all rows are under one key: run both with `--row-keys` or neither"
    )]
    RowKeys,
    /// Another lasting secret than in an earlier run.
    #[error(
        "its matching secret is not the one of the earlier runs, so nothing would join: it restores the right key ring, or both agree on a new matching epoch"
    )]
    PublicKey,
    /// Other lengths of what shows matches.
    #[error("it matches with another `security` than `{ours}`")]
    Security {
        /// Ours.
        ours: crate::vole::Security,
    },
    /// A set that does not fit the method or the agreement.
    #[error(transparent)]
    Set(#[from] crate::vole::SetError),
    /// A set larger than the agreement allows.
    #[error("its set of {found} ids is larger than the {limit} that the agreement allows")]
    SetTooLarge {
        /// The size it declared.
        found: u64,
        /// `max_ids`, and the earlier ids that may be mixed in.
        limit: u64,
    },
}

/// How this program used a run wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// Both sides have one name.
    #[error("a party does not match with itself")]
    SameParty,
    /// More identifiers than the agreement allows.
    #[error("{found} ids are more than the {limit} that the agreement allows")]
    TooManyIds {
        /// Distinct ids.
        found: u64,
        /// `max_ids`.
        limit: u64,
    },
    /// A set that does not fit the method or the agreement.
    #[error(transparent)]
    Set(#[from] crate::vole::SetError),
    /// Chunks or windows that cannot be.
    #[error(
        "a chunk has 1 to {chunk} points and a window at least one chunk and at most {window} points"
    )]
    Tuning {
        /// Most points of a chunk.
        chunk: usize,
        /// Most points of a window.
        window: usize,
    },
    /// Ids, or values kept, from another place than was asked for.
    #[error("what was given is not what was asked for")]
    NotAsked,
    /// A beginning before both greetings.
    #[error("the run cannot begin yet, or has begun")]
    NotAgreed,
    /// The link was given up while values were on their way to the journal.
    #[error("the run goes on once everything that was handed out is kept")]
    NotKept,
    /// Something was kept that was not handed out, or a place that cannot be.
    #[error("what is said to be kept was not handed out")]
    Kept,
    /// Terms that cannot go into a domain tag.
    #[error("the terms are too long for a domain tag")]
    Terms,
    /// A call after the run had failed.
    #[error("the run has failed before")]
    AfterFailure,
}
