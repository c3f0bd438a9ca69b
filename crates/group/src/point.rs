//! Points, and points as they travel: 32 bytes each.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::{Identity, IsIdentity};
use zeroize::Zeroize;

use crate::Scalar;

/// A point of the group.
///
/// Not printable: an unblinded point of an identifier is as good as the identifier to whoever
/// holds a dictionary (design invariant I1).
#[derive(Clone, PartialEq, Eq)]
pub struct Point(pub(crate) RistrettoPoint);

impl Point {
    /// The group's generator.
    #[must_use]
    pub fn base() -> Self {
        Self(RISTRETTO_BASEPOINT_POINT)
    }

    /// The generator times a scalar, by a table of its multiples: faster than
    /// [`multiply`](Self::multiply).
    #[must_use]
    pub fn base_multiply(scalar: &Scalar) -> Self {
        Self(RistrettoPoint::mul_base(scalar.inner()))
    }

    /// The point times a scalar.
    #[must_use]
    pub fn multiply(&self, scalar: &Scalar) -> Self {
        Self(self.0 * scalar.inner())
    }

    /// Whether it is the group's neutral element, whose encoding no decoder here takes.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.0.is_identity()
    }

    /// Its canonical encoding.
    #[must_use]
    pub fn encode(&self) -> EncodedPoint {
        self.0.compress().into()
    }
}

impl Add for &Point {
    type Output = Point;

    fn add(self, other: Self) -> Point {
        Point(self.0 + other.0)
    }
}

impl Sub for &Point {
    type Output = Point;

    fn sub(self, other: Self) -> Point {
        Point(self.0 - other.0)
    }
}

/// The sum of none is the identity.
impl Sum for Point {
    fn sum<I: Iterator<Item = Self>>(points: I) -> Self {
        points.fold(Self(RistrettoPoint::identity()), |sum, point| &sum + &point)
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Point(..)")
    }
}

/// The canonical 32-byte encoding of a point, not yet checked.
///
/// `Debug` does not show it: whether it is blinded is not known here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodedPoint([u8; Self::BYTES]);

/// An encoding that both sides of an exchange reach is a secret.
impl Zeroize for EncodedPoint {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

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
    ///
    /// # Errors
    /// [`PointFault`].
    pub fn decode(&self) -> Result<Point, PointFault> {
        let point = CompressedRistretto(self.0).decompress().map(Point);
        point
            .filter(|point| !point.is_identity())
            .ok_or_else(|| PointFault::of_refused(self))
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

impl PointError {
    /// The same with `more` points before the batch.
    pub(crate) fn after(self, more: usize) -> Self {
        Self {
            index: more + self.index,
            ..self
        }
    }
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

    fn scalar(number: u8) -> Scalar {
        let mut bytes = [0; 32];
        bytes[0] = number;
        Scalar::from_canonical_bytes(bytes).unwrap()
    }

    /// RFC 9496, appendix A.1: sums, differences and multiples of the generator.
    #[test]
    fn small_multiples_add_up() {
        let multiple = |number| Point::base().multiply(&scalar(number));
        for number in 1..15 {
            assert_eq!(Point::base_multiply(&scalar(number)), multiple(number));
            assert_eq!(&multiple(number) + &Point::base(), multiple(number + 1));
            assert_eq!(&multiple(number + 1) - &Point::base(), multiple(number));
        }
        let encoded = (&Point::base() + &Point::base()).encode();
        assert_eq!(encoded.decode(), Ok(multiple(2)));
        assert_eq!(
            hex::encode(encoded),
            "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919"
        );
        assert_eq!((1..=4).map(multiple).sum::<Point>(), multiple(10));
    }

    #[test]
    fn the_identity_is_known_and_does_not_decode() {
        let identity = &Point::base() - &Point::base();
        assert!(identity.is_identity() && !Point::base().is_identity());
        assert_eq!(std::iter::empty::<Point>().sum::<Point>(), identity);
        assert_eq!(identity.encode().decode(), Err(PointFault::Identity));
        let malformed = EncodedPoint::from_bytes([0xff; 32]);
        assert_eq!(malformed.decode(), Err(PointFault::Malformed));
        assert_eq!(format!("{:?}", Point::base()), "Point(..)");
    }
}
