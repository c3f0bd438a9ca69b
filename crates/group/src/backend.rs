//! Which instructions a batch is worked on with.

use std::fmt;
use std::hint::black_box;

use curve25519_dalek::ristretto::{RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar as Inner;
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use zeroize::Zeroizing;

use crate::batch::BatchError;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2, Blocks, Digits, Ifma};
use crate::{EncodedPoint, HashDomain, Point, PointError, Scalar};

/// A way to work on batches that this processor has. All give the same bytes.
///
/// Everything but tests and benchmarks takes the [best](Self::best).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma),
}

/// A part of the work on a batch.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// Texts of eight bytes to points.
    Hash,
    /// Encodings to points.
    Decode,
    /// Points times a scalar.
    Multiply,
    /// Points to encodings of their doubles.
    Encode,
}

impl Backend {
    /// The fastest.
    #[must_use]
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Self(Kind::Portable))
    }

    /// All that this processor has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let lanes = [
            Ifma::detect().map(Kind::Ifma),
            Avx2::detect().map(Kind::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let lanes: [Option<Kind>; 0] = [];
        let kinds = lanes.into_iter().flatten().chain([Kind::Portable]);
        kinds.map(Self)
    }

    /// [`multiply_batch`](crate::multiply_batch) on the caller's thread.
    ///
    /// # Errors
    /// [`PointError`] with the first place that holds the identity or no canonical encoding.
    pub fn multiply(
        self,
        points: &[EncodedPoint],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        match self.0 {
            Kind::Portable => Ok(raise(&decode(points)?, scalar)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => {
                Blocks::new(k, points.len()).multiply(points, &Digits::of_half(scalar))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => {
                Blocks::new(k, points.len()).multiply(points, &Digits::of_half(scalar))
            }
        }
    }

    /// [`hash_and_multiply_batch`](crate::hash_and_multiply_batch) on the caller's thread.
    #[must_use]
    pub fn hash_and_multiply<T: AsRef<[u8]>>(
        self,
        domain: &HashDomain,
        texts: &[T],
        scalar: &Scalar,
    ) -> Vec<EncodedPoint> {
        self.map_and_multiply(texts, |text| domain.expand(text.as_ref()), scalar)
    }

    /// [`hash_batch`](crate::hash_batch) on the caller's thread.
    #[must_use]
    pub fn hash<T: AsRef<[u8]>>(self, domain: &HashDomain, texts: &[T]) -> Vec<EncodedPoint> {
        let uniform = |text: &T| domain.expand(text.as_ref());
        match self.0 {
            Kind::Portable => {
                let texts = texts.iter();
                let points = texts.map(|text| domain.hash(text.as_ref()).encode());
                points.collect()
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => Blocks::new(k, texts.len()).map_and_encode(texts, uniform),
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => Blocks::new(k, texts.len()).map_and_encode(texts, uniform),
        }
    }

    /// [`multiply_one_batch`](crate::multiply_one_batch) on the caller's thread.
    #[must_use]
    pub fn multiply_one(self, point: &Point, scalars: &[Scalar]) -> Vec<EncodedPoint> {
        match self.0 {
            Kind::Portable => {
                let table = RistrettoBasepointTable::create(&point.0);
                let halves = scalars.iter().map(|scalar| &table * &*scalar.half());
                doubled(halves.collect())
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => {
                Blocks::new(k, scalars.len()).multiply_one(&point.encode(), &halves(scalars))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => {
                Blocks::new(k, scalars.len()).multiply_one(&point.encode(), &halves(scalars))
            }
        }
    }

    /// [`multiply_one_less_hash_batch`](crate::multiply_one_less_hash_batch) on the caller's
    /// thread.
    #[must_use]
    pub fn multiply_one_less_hash<T: AsRef<[u8]>>(
        self,
        point: &Point,
        domain: &HashDomain,
        pairs: &[(&Scalar, T)],
    ) -> Vec<EncodedPoint> {
        match self.0 {
            Kind::Portable => {
                let table = RistrettoBasepointTable::create(&point.0);
                let differences = pairs.iter().map(|(scalar, text)| {
                    let difference = &table * scalar.inner() - domain.hash(text.as_ref()).0;
                    difference.compress().into()
                });
                differences.collect()
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => {
                Blocks::new(k, pairs.len()).multiply_one_less_hash(&point.encode(), domain, pairs)
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => {
                Blocks::new(k, pairs.len()).multiply_one_less_hash(&point.encode(), domain, pairs)
            }
        }
    }

    /// The sum of all points, each times its own number.
    ///
    /// Takes a time that may depend on points and numbers: all must be public.
    ///
    /// # Errors
    /// [`BatchError::Lengths`] unless there are as many numbers as points;
    /// [`BatchError::Point`] with the first place that holds the identity or no canonical
    /// encoding.
    pub fn combine(self, points: &[EncodedPoint], numbers: &[u128]) -> Result<Point, BatchError> {
        BatchError::same([points.len(), numbers.len()])?;
        let sum = match self.0 {
            Kind::Portable => decode(points).map(|points| {
                let numbers = numbers.iter().map(|number| Inner::from(*number));
                RistrettoPoint::vartime_multiscalar_mul(numbers, points)
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => Blocks::new(k, 0).combine(points, numbers),
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => Blocks::new(k, 0).combine(points, numbers),
        };
        sum.map(Point)
            .map_err(|error| BatchError::in_list(0, error))
    }

    /// Adds the points of several lists, place by place, and multiplies every sum by `scalar`,
    /// keeping the order, on the caller's thread. A sum may be the identity: its encoding is
    /// all zeros.
    ///
    /// # Errors
    /// [`BatchError::Lengths`] unless all lists have one length; [`BatchError::Point`] with
    /// a place that holds the identity or no canonical encoding.
    pub fn sum_and_multiply(
        self,
        lists: &[&[EncodedPoint]],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, BatchError> {
        let count = BatchError::same(lists.iter().map(|list| list.len()))?;
        match self.0 {
            Kind::Portable => Ok(raise(&sum(lists, count)?, scalar)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => {
                Blocks::new(k, count).sum_and_multiply(lists, count, &Digits::of_half(scalar))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => {
                Blocks::new(k, count).sum_and_multiply(lists, count, &Digits::of_half(scalar))
            }
        }
    }

    /// [`add_hash_and_multiply_batch`](crate::add_hash_and_multiply_batch) on the caller's
    /// thread.
    ///
    /// # Errors
    /// [`PointError`] with the first place that holds the identity or no canonical encoding.
    pub fn add_hash_and_multiply<T: AsRef<[u8]>>(
        self,
        domain: &HashDomain,
        pairs: &[(EncodedPoint, T)],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        let uniform = |text: &T| domain.expand(text.as_ref());
        match self.0 {
            Kind::Portable => {
                let points: Vec<_> = pairs.iter().map(|(point, _)| *point).collect();
                let sums = decode(&points)?.into_iter().zip(pairs);
                let sums = sums.map(|(point, (_, text))| point + domain.hash(text.as_ref()).0);
                Ok(raise(&sums.collect::<Vec<_>>(), scalar))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => Blocks::new(k, pairs.len()).add_map_and_multiply(
                pairs,
                uniform,
                &Digits::of_half(scalar),
            ),
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => Blocks::new(k, pairs.len()).add_map_and_multiply(
                pairs,
                uniform,
                &Digits::of_half(scalar),
            ),
        }
    }

    /// Does one part over and over, for benchmarks; the number of points worked on.
    #[doc(hidden)]
    #[must_use]
    pub fn repeat(self, part: Part, times: usize, domain: &HashDomain, scalar: &Scalar) -> usize {
        match self.0 {
            Kind::Portable => repeat(part, times, domain, scalar),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => {
                Blocks::new(k, 0).repeat(part, times, domain, &Digits::of_half(scalar))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => {
                Blocks::new(k, 0).repeat(part, times, domain, &Digits::of_half(scalar))
            }
        }
    }

    /// The same from 64 uniform bytes for each item.
    pub(crate) fn map_and_multiply<T>(
        self,
        items: &[T],
        uniform: impl Fn(&T) -> [u8; 64],
        scalar: &Scalar,
    ) -> Vec<EncodedPoint> {
        match self.0 {
            Kind::Portable => {
                let map = |item| RistrettoPoint::from_uniform_bytes(&uniform(item));
                raise(&items.iter().map(map).collect::<Vec<_>>(), scalar)
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(k) => Blocks::new(k, items.len()).map_and_multiply(
                items,
                uniform,
                &Digits::of_half(scalar),
            ),
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(k) => Blocks::new(k, items.len()).map_and_multiply(
                items,
                uniform,
                &Digits::of_half(scalar),
            ),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(_) => "ifma",
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn halves(scalars: &[Scalar]) -> Vec<Digits> {
    scalars.iter().map(Digits::of_half).collect()
}

fn decode(points: &[EncodedPoint]) -> Result<Vec<RistrettoPoint>, PointError> {
    let decoded = points.iter().enumerate().map(|(index, point)| {
        let decoded = point.decode().map(|point| point.0);
        decoded.map_err(|fault| PointError { index, fault })
    });
    decoded.collect()
}

/// The sums of points at the same place.
fn sum(lists: &[&[EncodedPoint]], count: usize) -> Result<Vec<RistrettoPoint>, BatchError> {
    let mut sums = vec![RistrettoPoint::identity(); count];
    for (list, points) in lists.iter().enumerate() {
        let points = decode(points).map_err(|error| BatchError::in_list(list, error))?;
        for (sum, point) in sums.iter_mut().zip(points) {
            *sum += point;
        }
    }
    Ok(sums)
}

/// Multiplies by half and encodes the doubles, which costs one inversion a batch instead of
/// one inverse square root a point.
fn raise(points: &[RistrettoPoint], scalar: &Scalar) -> Vec<EncodedPoint> {
    let half: &Inner = &scalar.half();
    doubled(points.iter().map(|point| point * half).collect())
}

/// The encodings of the doubles; the points are wiped.
fn doubled(halves: Vec<RistrettoPoint>) -> Vec<EncodedPoint> {
    let halves = Zeroizing::new(halves);
    let doubles = RistrettoPoint::double_and_compress_batch(halves.iter());
    let doubles = Zeroizing::new(doubles);
    doubles.iter().copied().map(EncodedPoint::from).collect()
}

/// Points that the portable way works on at once in [`Backend::repeat`].
const REPEATED: u64 = 128;

fn repeat(part: Part, times: usize, domain: &HashDomain, scalar: &Scalar) -> usize {
    let half: &Inner = &scalar.half();
    let hash = || (0..REPEATED).map(|text| domain.hash(&text.to_le_bytes()).0);
    let mut points: Vec<_> = hash().collect();
    let mut encoded: Vec<_> = points.iter().map(|point| point.compress()).collect();
    for _ in 0..times {
        match part {
            Part::Hash => points = hash().collect(),
            Part::Decode => {
                let decoded = encoded.iter().map(|point| point.decompress());
                black_box(decoded.collect::<Option<Vec<_>>>());
            }
            Part::Multiply => points.iter_mut().for_each(|point| *point *= half),
            Part::Encode => encoded = RistrettoPoint::double_and_compress_batch(&points),
        }
        black_box((&mut points, &mut encoded));
    }
    points.len() * times
}
