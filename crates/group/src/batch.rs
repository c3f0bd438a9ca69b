//! Many points, one scalar; or one point, many scalars.

use std::convert::Infallible;
use std::num::NonZero;
use std::thread;

use zeroize::Zeroizing;

use crate::{Backend, EncodedPoint, HashDomain, Point, PointError, Scalar};

/// Fewer points than this are not worth a thread.
const MIN_PER_THREAD: usize = 256;
/// Slices are a multiple of this, so that the backends' blocks are full.
const BLOCK: usize = 128;
/// More threads than this one batch does not start.
const MAX_THREADS: usize = 16;

/// Why several lists are not worked on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Lists that belong together have different lengths.
    #[error("a list of {found} stands beside one of {expected}")]
    Lengths {
        /// Of the first list.
        expected: usize,
        /// Of another.
        found: usize,
    },
    /// A point is refused.
    #[error("list {list} is refused")]
    Point {
        /// The list's place, from 0.
        list: usize,
        /// Which point, and why.
        #[source]
        error: PointError,
    },
}

impl BatchError {
    pub(crate) fn in_list(list: usize, error: PointError) -> Self {
        Self::Point { list, error }
    }

    /// The length that all have; none at all have none.
    pub(crate) fn same(lengths: impl IntoIterator<Item = usize>) -> Result<usize, Self> {
        let mut lengths = lengths.into_iter();
        let expected = lengths.next().unwrap_or(0);
        match lengths.find(|length| *length != expected) {
            Some(found) => Err(Self::Lengths { expected, found }),
            None => Ok(expected),
        }
    }
}

/// Multiplies every point by `scalar`, keeping the order.
///
/// # Errors
/// [`PointError`] with the first place that holds the identity or no canonical encoding.
pub fn multiply_batch(
    points: &[EncodedPoint],
    scalar: &Scalar,
) -> Result<Vec<EncodedPoint>, PointError> {
    let backend = Backend::best();
    on_threads(points, &|first, slice: &[EncodedPoint]| {
        let done = backend.multiply(slice, scalar);
        done.map_err(|error| error.after(first))
    })
}

/// Hashes every text to the group and multiplies by `scalar`, keeping the order.
#[must_use]
pub fn hash_and_multiply_batch<T: AsRef<[u8]> + Sync>(
    domain: &HashDomain,
    texts: &[T],
    scalar: &Scalar,
) -> Vec<EncodedPoint> {
    let backend = Backend::best();
    certain(on_threads(texts, &|_, slice: &[T]| {
        Ok(backend.hash_and_multiply(domain, slice, scalar))
    }))
}

/// Adds to every point the hash of its text and multiplies the sum by `scalar`, keeping the
/// order.
///
/// # Errors
/// [`PointError`] with the first place that holds the identity or no canonical encoding.
pub fn add_hash_and_multiply_batch<T: AsRef<[u8]> + Sync>(
    domain: &HashDomain,
    pairs: &[(EncodedPoint, T)],
    scalar: &Scalar,
) -> Result<Vec<EncodedPoint>, PointError> {
    let backend = Backend::best();
    on_threads(pairs, &|first, slice: &[(EncodedPoint, T)]| {
        let done = backend.add_hash_and_multiply(domain, slice, scalar);
        done.map_err(|error| error.after(first))
    })
}

/// Hashes every text to the group, keeping the order.
#[must_use]
pub fn hash_batch<T: AsRef<[u8]> + Sync>(domain: &HashDomain, texts: &[T]) -> Vec<EncodedPoint> {
    let backend = Backend::best();
    certain(on_threads(texts, &|_, slice: &[T]| {
        Ok(backend.hash(domain, slice))
    }))
}

/// Multiplies the one point by every scalar, keeping the order: less work than as many points by
/// one scalar.
#[must_use]
pub fn multiply_one_batch(point: &Point, scalars: &[Scalar]) -> Vec<EncodedPoint> {
    let backend = Backend::best();
    certain(on_threads(scalars, &|_, slice: &[Scalar]| {
        Ok(backend.multiply_one(point, slice))
    }))
}

/// Multiplies the one point by the scalar of every pair and subtracts the hash of its text,
/// keeping the order.
#[must_use]
pub fn multiply_one_less_hash_batch<T: AsRef<[u8]> + Sync>(
    point: &Point,
    domain: &HashDomain,
    pairs: &[(&Scalar, T)],
) -> Vec<EncodedPoint> {
    let backend = Backend::best();
    certain(on_threads(pairs, &|_, slice: &[(&Scalar, T)]| {
        Ok(backend.multiply_one_less_hash(point, domain, slice))
    }))
}

/// What cannot fail.
fn certain<T>(done: Result<T, Infallible>) -> T {
    match done {
        Ok(done) => done,
    }
}

/// Cuts `items` into slices alike, works on them side by side and joins what comes out; of
/// several errors the one of the first slice counts. `work` gets the place of its slice. Of what
/// comes out, which may be the secret of two sides, no copy is left behind.
fn on_threads<T: Sync, E: Send>(
    items: &[T],
    work: &(impl Fn(usize, &[T]) -> Result<Vec<EncodedPoint>, E> + Sync),
) -> Result<Vec<EncodedPoint>, E> {
    let threads = threads_for(items.len());
    if threads == 1 {
        return work(0, items);
    }
    let size = items.len().div_ceil(threads).next_multiple_of(BLOCK);
    let slices = items.chunks(size).enumerate();
    thread::scope(|scope| {
        let started: Vec<_> = slices
            .map(|(at, slice)| scope.spawn(move || work(at * size, slice)))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for handle in started {
            match handle.join() {
                Ok(done) => all.extend(Zeroizing::new(done?).iter()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}

fn threads_for(items: usize) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors
        .min(MAX_THREADS)
        .min(items / MIN_PER_THREAD)
        .max(1)
}
