//! Points as they travel: 32 bytes each.

use std::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::IsIdentity;

/// The canonical 32-byte encoding of a point, not yet checked.
///
/// `Debug` does not show it: whether it is blinded is not known here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedPoint([u8; Self::BYTES]);

impl EncodedPoint {
    /// An encoded point's length.
    pub const BYTES: usize = 32;

    /// Takes 32 bytes for an encoding; they are checked when used.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Cuts bytes into encodings; none if the length is no multiple of 32.
    #[must_use]
    pub fn split(bytes: &[u8]) -> Option<Vec<Self>> {
        let (chunks, rest) = bytes.as_chunks::<{ Self::BYTES }>();
        rest.is_empty()
            .then(|| chunks.iter().map(|c| Self(*c)).collect())
    }

    /// Joins encodings, one after the other.
    #[must_use]
    pub fn join(points: &[Self]) -> Vec<u8> {
        points.iter().flat_map(|point| point.0).collect()
    }

    /// The point, if this is the canonical encoding of one other than the identity.
    pub(crate) fn decode(self) -> Result<RistrettoPoint, PointFault> {
        let point = CompressedRistretto(self.0).decompress();
        point
            .filter(|point| !point.is_identity())
            .ok_or_else(|| PointFault::of_refused(&self))
    }
}

impl From<CompressedRistretto> for EncodedPoint {
    fn from(point: CompressedRistretto) -> Self {
        Self(point.0)
    }
}

impl AsRef<[u8]> for EncodedPoint {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncodedPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncodedPoint(..)")
    }
}

/// What is wrong with an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointFault {
    /// Not the canonical encoding of any point.
    #[error("not the canonical encoding of a point")]
    Malformed,
    /// The identity, which any scalar maps to itself.
    #[error("the identity, which no honest sender sends")]
    Identity,
}

impl PointFault {
    /// What is wrong with a point that was refused: the identity has one encoding.
    pub(crate) fn of_refused(point: &EncodedPoint) -> Self {
        if point.0 == [0; EncodedPoint::BYTES] {
            Self::Identity
        } else {
            Self::Malformed
        }
    }
}

/// The first point of a batch that was refused. Never holds the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("point {index} of the batch is refused")]
pub struct PointError {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    #[source]
    pub fault: PointFault,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_split_and_join() {
        let bytes: Vec<u8> = (0..64).collect();
        let points = EncodedPoint::split(&bytes).unwrap();
        assert_eq!(points.len(), 2);
        assert_eq!(EncodedPoint::join(&points), bytes);
        assert_eq!(EncodedPoint::split(&[]), Some(Vec::new()));
        assert_eq!(EncodedPoint::split(&bytes[..63]), None);
        assert_eq!(format!("{:?}", points[0]), "EncodedPoint(..)");
    }
}
