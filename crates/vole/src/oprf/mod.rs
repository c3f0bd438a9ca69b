//! The function itself: one direction of a run.
//!
//! # Messages
//! The receiver has the ids, the sender the key. Sizes of both sets are known beforehand; `m` is
//! the length of the receiver's store ([`OkvsShape`]), `row` and
//! `value` the halves of an id's hash ([`IdHash`]).
//!
//! | step | from → to         | message                                             | size                |
//! |------|-------------------|-----------------------------------------------------|---------------------|
//! | 1    | sender → receiver | hash of the sender's half of the salt, then step 1 of the vectors (`silent`) | 32 B + its |
//! | 2 to 7 | in turn         | steps 2 to 7 of the vectors                         | theirs              |
//! | 8    | receiver → sender | `store`: the receiver's half of the salt; `c + P`   | 32 B + 16 B × m     |
//! | 9    | sender → receiver | `opened`: the sender's half of the salt             | 32 B                |
//! | 10   | sender → receiver | `tags` of the sender's ids, shuffled                | 5 to 16 B × set     |
//! | 11   | receiver → sender | `matched`: a bit for each tag                       | 1 bit × sender's set |
//! | 12, 13 | each in turn    | `done`: digest of all steps                         | 32 B                |
//!
//! Steps 10 and 11 only with [`Reveals::OwnMatches`].
//!
//! Before step 8 both have vectors `a = b + c delta`: the receiver `a` and `c`, the sender `b`
//! and `delta`. With the store `P` of its ids under the mask `c`, the sender computes
//! `b + (c + P) delta = a + P delta`, and for every id of the receiver both have
//!
//! ```text
//! row * a  =  row * (a + P delta) + value * delta
//! ```
//!
//! The function's value is SHA-256 of that and of `row` and `value`, under a digest of every
//! step up to 9. No other id has such an equation: its value needs `delta`.
//!
//! Where one of the sets is empty no message is sent and no key is made ([`Run::is_skipped`]).
//!
//! # Claim
//! *Semi-honest*: parties that keep to the protocol and later look at all they saw. *Malicious*:
//! parties that send what they like. Against both, neither learns more than stands below, the
//! hashes being random oracles: every check is always made, neither half of the salt hangs on
//! the other, so that the receiver cannot have asked the hash before its store was fixed, and
//! `value` has 128 bits in all modes. [`Security`] changes one thing, the length of tags. A value
//! has 256 bits, of which a tag shows at most half; a pseudonym is made of 128 that are never
//! shown and has 128 itself.
//!
//! Everything hangs on the direction's context, and that on every field of [`Run`]: sides that
//! differ in sizes or in what is revealed do not finish.
//!
//! *Over-fitting.* A malicious receiver may choose its store so that more ids than it declared
//! have such an equation: up to `m`, by solving a system of that many unknowns, which works.
//! [`evaluations_bound`](crate::params::evaluations_bound) is that number, and an agreement
//! counts it and not the declared one: 1.26 to 1.49 times from 2^10 ids on, 163 ids for any set
//! of up to 64. Its table in [`params`](crate::params) has what counting all stores gives, 2.5
//! times at 2^20 with 2^80 hashes during the run.
//!
//! *Every run is another choice.* A receiver chooses these ids anew in each run, and it has them
//! chosen when its store leaves ([`Side::counts`]): a limit on runs counts from there, whether
//! the run ends well, breaks off, or ends in a refusal of what came.
//!
//! Not defended:
//! * *A party that takes in ids which it does not have*, or leaves out its own. The receiver may
//!   say that it has ids which it has not, or the reverse (step 11); the sender may send tags of
//!   ids that it has not.
//! * *Right values.* A sender may tag or evaluate its own ids with another factor: its pseudonyms
//!   then match nobody's, and the run ends well. It could as well have brought other ids.
//! * *Fairness.* A receiver may stop after step 10 with its matches while the sender has none.
//!   Where two directions are played, a party may finish the one in which it receives and drop
//!   the other; it has values of one function then, which are no pseudonyms.
//!
//! A sender that sends one tag twice is refused before step 11 if, and only if, the receiver has
//! that id, which an honest step 11 would have told it too.
//!
//! # What each party learns
//! Both set sizes. With [`Reveals::Nothing`] the receiver learns the values of its ids, the
//! sender nothing. With [`Reveals::OwnMatches`] each learns which of its ids the other has. The
//! sender holds the key and can compute the value of *any* id, by itself, during the run; the
//! key is wiped at its end.
//!
//! # Time
//! No branch on `delta`; memory is read at places that hang on the party's own ids.
//!
//! # Reference
//! Rindal, Schoppmann: *VOLE-PSI* (Eurocrypt 2021, eprint 2021/266); Raghuraman, Rindal:
//! *Blazing Fast PSI from Improved OKVS and Subfield VOLE* (CCS 2022, eprint 2022/320),
//! Figure 4.

mod error;
mod making;
mod message;
mod receiver;
mod sender;
mod side;
mod tags;
#[cfg(test)]
mod tests;
mod values;

pub use error::{Misbehaviour, VoleError};
pub use message::PART_BYTES;
pub use receiver::Receiver;
pub use sender::Sender;
pub use side::Side;
pub use values::{Output, Pseudonyms, Value, Values};

use incamera_group::Gf128;

use crate::hash::{Domain, IdHash, digest};
use crate::okvs::BinnedRows;
use crate::params::{OkvsShape, ParamError};
use crate::silent::VoleShape;

/// The context of a direction.
const DIRECTION_LABEL: &[u8] = b"incamera-vole-direction/2";
/// What the sender's half of the salt is committed to by.
const SALT_LABEL: &[u8] = b"incamera-vole-salt/1";
/// Bytes of a half of the salt, of a commitment and of a digest.
pub(crate) const DIGEST_BYTES: usize = 32;
/// Bits that a false match of honest sides is less likely than.
const MATCH_BITS: u32 = 40;

/// Whose ids are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those of the party first by name.
    First,
    /// Those of the other.
    Second,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Second => 1,
        }
    }
}

/// What the parties learn of each other's sets besides their sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reveals {
    /// Nothing.
    Nothing = 0,
    /// Which of a party's own ids the other has.
    OwnMatches = 1,
}

/// Against whom tags are long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Security {
    /// Parties that keep to the protocol: tags as long as keeps a false match of theirs below
    /// 2^-40. A sender that does not may look for a tag that stands for several ids of a dictionary,
    /// and learn that the receiver has one of them where an honest tag says which.
    SemiHonest = 0,
    /// Any: tags of 16 bytes.
    Malicious = 1,
}

/// One direction of a run: what both sides know before its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What the whole run hangs on.
    pub domain: Domain,
    /// Whose ids are evaluated.
    pub direction: Direction,
    /// What is told beyond sizes.
    pub reveals: Reveals,
    /// How long tags are.
    pub security: Security,
    /// Ids of the receiver.
    pub receiver_items: u64,
    /// Ids of the sender.
    pub sender_items: u64,
}

impl Run {
    /// The shape of the receiver's store, once both sizes are found small enough.
    pub(crate) fn shape(&self) -> Result<OkvsShape, ParamError> {
        OkvsShape::for_items(self.sender_items)?;
        OkvsShape::for_items(self.receiver_items)
    }

    /// What transfers, code and transcript of this direction hang on: all of the run, so that
    /// sides which take it for another do not finish.
    pub(crate) fn context(&self) -> [u8; DIGEST_BYTES] {
        let kinds = [self.reveals as u8, self.security as u8];
        let sizes = [self.receiver_items, self.sender_items].map(u64::to_be_bytes);
        let direction = self.direction.number().to_be_bytes();
        digest(
            DIRECTION_LABEL,
            &[
                self.domain.as_bytes(),
                &direction,
                &kinds,
                sizes.as_flattened(),
            ],
        )
    }

    /// Bytes of a tag.
    #[must_use]
    pub fn tag_bytes(&self) -> usize {
        let pairs = self
            .receiver_items
            .max(1)
            .saturating_mul(self.sender_items.max(1));
        let bits = MATCH_BITS + u64::BITS - (pairs - 1).leading_zeros();
        match self.security {
            Security::SemiHonest => bits.div_ceil(8).min(16) as usize,
            Security::Malicious => 16,
        }
    }

    /// Ids by the bins of the receiver's store, once they are found as many as declared.
    fn rows(&self, items: u64, ids: &[IdHash]) -> Result<BinnedRows, VoleError> {
        let shape = self.shape()?;
        if ids.len() as u64 != items {
            return Err(VoleError::Misuse);
        }
        Ok(BinnedRows::new(shape, ids))
    }

    /// The shape of the vectors.
    pub(crate) fn vectors(&self) -> Result<VoleShape, ParamError> {
        Ok(VoleShape::for_length(self.shape()?.len()))
    }

    fn store_bytes(&self) -> Result<usize, ParamError> {
        Ok(DIGEST_BYTES + self.shape()?.len() * Gf128::BYTES)
    }

    fn tags_bytes(&self) -> usize {
        self.told() * self.tag_bytes()
    }

    fn matched_bytes(&self) -> usize {
        self.told().div_ceil(8)
    }

    /// Ids of the sender that tags are sent of.
    fn told(&self) -> usize {
        match self.reveals {
            Reveals::Nothing => 0,
            Reveals::OwnMatches => self.sender_items as usize,
        }
    }

    /// What is known of matches, where it is known.
    fn matched(&self, matched: Vec<bool>) -> Option<Vec<bool>> {
        match self.reveals {
            Reveals::Nothing => None,
            Reveals::OwnMatches => Some(matched),
        }
    }

    /// Whether a set is empty: nothing is sent then, as there is nothing to evaluate or nobody
    /// to compare with. Neither side makes a key, and each draws values for its ids that the
    /// other cannot compute.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.receiver_items == 0 || self.sender_items == 0
    }

    /// Bytes of all steps of this direction, both ways, without framing.
    ///
    /// # Errors
    /// [`ParamError`] for more ids than one run takes.
    pub fn bytes(&self) -> Result<u64, ParamError> {
        if self.is_skipped() {
            return self.shape().map(|_| 0);
        }
        let digests = 4 * DIGEST_BYTES;
        let vectors: usize = self.vectors()?.message_bytes().iter().sum();
        let told = self.tags_bytes() + self.matched_bytes();
        let bytes = vectors + self.store_bytes()? + told + digests;
        Ok(bytes as u64)
    }

    fn commitment(&self, salt: &[u8]) -> [u8; DIGEST_BYTES] {
        digest(SALT_LABEL, &[&self.context(), salt])
    }
}

/// How far a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes sent and received.
    pub done: u64,
    /// All bytes of the run.
    pub total: u64,
}
