//! Pseudonyms: join keys that mean something only inside one agreement id and epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A 16-byte join key of one person inside one agreement id and matching epoch.
///
/// Pseudonymous, not anonymous: whoever holds a crosswalk can go back to the person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; Self::BYTES]);

impl Pseudonym {
    /// A pseudonym's length.
    pub const BYTES: usize = 16;

    /// A pseudonym from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Which of `partitions` equal slices of the pseudonym space this one lies in.
    ///
    /// The slices are fixed prefixes: `floor(first 32 bits * partitions / 2^32)`.
    #[must_use]
    pub fn partition(&self, partitions: u32) -> u32 {
        let [a, b, c, d, ..] = self.0;
        let prefix = u64::from(u32::from_be_bytes([a, b, c, d]));
        let slice = (prefix * u64::from(partitions)) >> 32;
        u32::try_from(slice).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Pseudonym {
    /// Never the value: a pseudonym is data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(..)")
    }
}

/// The number of a matching epoch; pseudonyms of different epochs do not join.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MatchingEpoch(pub u32);

impl fmt::Display for MatchingEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random name of one sealed part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId([u8; Self::BYTES]);

impl FileId {
    /// A file id's length.
    pub const BYTES: usize = 16;

    /// A file id from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// A file id from a slice, if it is 16 bytes long.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_prefixes() {
        let low = Pseudonym::from_bytes([0; 16]);
        let high = Pseudonym::from_bytes([0xff; 16]);
        assert_eq!(low.partition(4), 0);
        assert_eq!(high.partition(4), 3);
        assert_eq!(high.partition(1), 0);
        let mut middle = [0; 16];
        middle[0] = 0x80;
        assert_eq!(Pseudonym::from_bytes(middle).partition(4), 2);
        assert_eq!(Pseudonym::from_bytes(middle).partition(3), 1);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(
            format!("{:?}", Pseudonym::from_bytes([7; 16])),
            "Pseudonym(..)"
        );
    }
}
