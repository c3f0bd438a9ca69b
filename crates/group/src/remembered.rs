//! A [`Backend`] that works on nothing twice, for the fuzzer: whole runs of a protocol differ in
//! one message, and nearly all their points are those of the run before.
//!
//! What is remembered holds secrets, and how long a batch takes says whether it was worked on
//! before. Feature `remember`, which no other build has: without debug assertions none compiles.

use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::backend::{self, Part};
use crate::{BatchError, EncodedPoint, HashDomain, Point, PointError, Scalar};

/// More than this is not remembered: all is forgotten then.
const MOST: usize = 1 << 18;

/// What was worked on, and what came of it.
static KNOWN: LazyLock<Mutex<HashMap<Box<[u8]>, EncodedPoint>>> = LazyLock::new(Mutex::default);

/// What each item came to; `work` is asked for those that were not worked on before, and gets
/// them with their places. `name` says all that an item's result hangs on.
fn each<T, E>(
    items: &[T],
    name: impl Fn(&T) -> Vec<u8>,
    work: impl FnOnce(&[&T], &[usize]) -> Result<Vec<EncodedPoint>, E>,
) -> Result<Vec<EncodedPoint>, E> {
    let names: Vec<Box<[u8]>> = items.iter().map(|item| name(item).into()).collect();
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<_> = names.iter().map(|name| known.get(name).copied()).collect();
    drop(known);
    let missing = found.iter().zip(items).enumerate();
    let missing = missing.filter(|(_, (found, _))| found.is_none());
    let (places, asked): (Vec<_>, Vec<_>) = missing.map(|(at, (_, item))| (at, item)).unzip();
    if !asked.is_empty() {
        let done = work(&asked, &places)?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MOST {
            known.clear();
        }
        for (at, done) in places.into_iter().zip(done) {
            if let Some((found, name)) = found.get_mut(at).zip(names.get(at)) {
                *found = Some(done);
                known.insert(name.clone(), done);
            }
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// The error of a place among the missing, told of its place among all.
fn placed(error: PointError, places: &[usize]) -> PointError {
    let index = places.get(error.index).copied().unwrap_or(error.index);
    PointError { index, ..error }
}

fn certain(done: Result<Vec<EncodedPoint>, std::convert::Infallible>) -> Vec<EncodedPoint> {
    match done {
        Ok(done) => done,
    }
}

/// A name of parts: what is done, and each part after its length.
fn name(what: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + parts.iter().map(|part| 8 + part.len()).sum::<usize>());
    name.push(what);
    for part in parts {
        name.extend((part.len() as u64).to_le_bytes());
        name.extend_from_slice(part);
    }
    name
}

/// See [`backend::Backend`], whose functions these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(backend::Backend);

#[allow(missing_docs, reason = "each as in `backend`")]
#[allow(clippy::missing_errors_doc, reason = "each as in `backend`")]
impl Backend {
    #[must_use]
    pub fn best() -> Self {
        Self(backend::Backend::best())
    }

    pub fn all() -> impl Iterator<Item = Self> {
        backend::Backend::all().map(Self)
    }

    pub fn multiply(
        self,
        points: &[EncodedPoint],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        let own = scalar.to_canonical_bytes();
        let named = |point: &EncodedPoint| name(0, &[point.as_bytes(), own.as_slice()]);
        each(points, named, |missing, places| {
            let missing: Vec<_> = missing.iter().map(|point| **point).collect();
            let done = self.0.multiply(&missing, scalar);
            done.map_err(|error| placed(error, places))
        })
    }

    #[must_use]
    pub fn hash_and_multiply<T: AsRef<[u8]>>(
        self,
        domain: &HashDomain,
        texts: &[T],
        scalar: &Scalar,
    ) -> Vec<EncodedPoint> {
        let own = scalar.to_canonical_bytes();
        let named = |text: &T| name(1, &[domain.tag(), text.as_ref(), own.as_slice()]);
        certain(each(texts, named, |missing, _| {
            let missing: Vec<_> = missing.iter().map(|text| text.as_ref()).collect();
            Ok(self.0.hash_and_multiply(domain, &missing, scalar))
        }))
    }

    #[must_use]
    pub fn hash<T: AsRef<[u8]>>(self, domain: &HashDomain, texts: &[T]) -> Vec<EncodedPoint> {
        let named = |text: &T| name(2, &[domain.tag(), text.as_ref()]);
        certain(each(texts, named, |missing, _| {
            let missing: Vec<_> = missing.iter().map(|text| text.as_ref()).collect();
            Ok(self.0.hash(domain, &missing))
        }))
    }

    #[must_use]
    pub fn multiply_one(self, point: &Point, scalars: &[Scalar]) -> Vec<EncodedPoint> {
        // The same as many points by one scalar, of which each is remembered.
        let of = point.encode();
        let named = |by: &Scalar| name(0, &[of.as_bytes(), by.to_canonical_bytes().as_slice()]);
        certain(each(scalars, named, |missing, _| {
            let missing = missing.iter().map(|by| by.to_canonical_bytes());
            let missing = missing.filter_map(|by| Scalar::from_canonical_bytes(*by).ok());
            Ok(self.0.multiply_one(point, &missing.collect::<Vec<_>>()))
        }))
    }

    #[must_use]
    pub fn multiply_one_less_hash<T: AsRef<[u8]>>(
        self,
        point: &Point,
        domain: &HashDomain,
        pairs: &[(&Scalar, T)],
    ) -> Vec<EncodedPoint> {
        let of = point.encode();
        let named = |(by, text): &(&Scalar, T)| {
            let by = by.to_canonical_bytes();
            let parts = [of.as_bytes(), by.as_slice(), domain.tag(), text.as_ref()];
            name(3, &parts)
        };
        certain(each(pairs, named, |missing, _| {
            let missing = missing.iter().map(|(by, text)| (*by, text.as_ref()));
            let missing: Vec<_> = missing.collect();
            Ok(self.0.multiply_one_less_hash(point, domain, &missing))
        }))
    }

    pub fn combine(self, points: &[EncodedPoint], numbers: &[u128]) -> Result<Point, BatchError> {
        self.0.combine(points, numbers)
    }

    pub fn sum_and_multiply(
        self,
        lists: &[&[EncodedPoint]],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, BatchError> {
        self.0.sum_and_multiply(lists, scalar)
    }

    pub fn add_hash_and_multiply<T: AsRef<[u8]>>(
        self,
        domain: &HashDomain,
        pairs: &[(EncodedPoint, T)],
        scalar: &Scalar,
    ) -> Result<Vec<EncodedPoint>, PointError> {
        let own = scalar.to_canonical_bytes();
        let named = |(point, text): &(EncodedPoint, T)| {
            let parts = [
                point.as_bytes(),
                own.as_slice(),
                domain.tag(),
                text.as_ref(),
            ];
            name(4, &parts)
        };
        each(pairs, named, |missing, places| {
            let missing = missing.iter().map(|(point, text)| (*point, text.as_ref()));
            let missing: Vec<_> = missing.collect();
            let done = self.0.add_hash_and_multiply(domain, &missing, scalar);
            done.map_err(|error| placed(error, places))
        })
    }

    #[doc(hidden)]
    #[must_use]
    pub fn repeat(self, part: Part, times: usize, domain: &HashDomain, scalar: &Scalar) -> usize {
        self.0.repeat(part, times, domain, scalar)
    }

    #[cfg(test)]
    pub(crate) fn map_and_multiply<T>(
        self,
        items: &[T],
        uniform: impl Fn(&T) -> [u8; 64],
        scalar: &Scalar,
    ) -> Vec<EncodedPoint> {
        self.0.map_and_multiply(items, uniform, scalar)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_to_group;

    fn scalar(number: u8) -> Scalar {
        let mut bytes = [0; 32];
        bytes[0] = number;
        Scalar::from_canonical_bytes(bytes).unwrap()
    }

    fn points(from: u8) -> Vec<EncodedPoint> {
        let points = (from..from + 5).map(|at| hash_to_group(b"a tag", &[at]).unwrap());
        points.map(|point| point.encode()).collect()
    }

    /// Of each work what the plain backend makes of it, known or not, and in order.
    #[test]
    fn what_is_remembered_is_what_is_computed() {
        let (plain, domain) = (
            backend::Backend::best(),
            HashDomain::of_label(b"remembered"),
        );
        let (one, texts) = (Point::base(), ["a", "b", "a", "c"]);
        for (number, from) in [(3, 0), (3, 2), (4, 2), (3, 0)] {
            let (by, all) = (scalar(number), points(from));
            let own = Backend::best();
            assert_eq!(own.multiply(&all, &by), plain.multiply(&all, &by));
            assert_eq!(own.hash(&domain, &texts), plain.hash(&domain, &texts));
            assert_eq!(
                own.hash_and_multiply(&domain, &texts, &by),
                plain.hash_and_multiply(&domain, &texts, &by)
            );
            let many = [scalar(number), scalar(9), scalar(number + from)];
            assert_eq!(
                own.multiply_one(&one, &many),
                plain.multiply_one(&one, &many)
            );
            let pairs: Vec<_> = many.iter().zip(texts).collect();
            assert_eq!(
                own.multiply_one_less_hash(&one, &domain, &pairs),
                plain.multiply_one_less_hash(&one, &domain, &pairs)
            );
            let pairs: Vec<_> = all.iter().copied().zip(texts).collect();
            assert_eq!(
                own.add_hash_and_multiply(&domain, &pairs, &by),
                plain.add_hash_and_multiply(&domain, &pairs, &by)
            );
        }
    }

    #[test]
    fn an_error_is_told_of_its_place_among_all() {
        let (own, by) = (Backend::best(), scalar(5));
        let mut all = points(20);
        assert!(own.multiply(&all, &by).is_ok());
        all[3] = EncodedPoint::from_bytes([0xff; 32]);
        assert_eq!(own.multiply(&all, &by).unwrap_err().index, 3);
    }
}
