//! Rows in the order of their bins.

use std::fmt;

use zeroize::Zeroizing;

use super::OkvsShape;
use crate::hash::IdHash;

/// Hashed ids, those of a bin together and in their given order there. Wiped when dropped.
pub struct BinnedRows {
    shape: OkvsShape,
    /// Where each bin starts, and where the last ends.
    starts: Vec<usize>,
    rows: Zeroizing<Vec<IdHash>>,
    /// The given place of each row.
    places: Vec<u32>,
}

impl BinnedRows {
    /// Sorts rows into the bins of a shape, whichever number of rows it was made for.
    #[must_use]
    pub fn new(shape: OkvsShape, given: &[IdHash]) -> Self {
        let mut ends = vec![0_usize; shape.bins as usize];
        for row in given {
            if let Some(end) = ends.get_mut(row.bin(shape.bins) as usize) {
                *end += 1;
            }
        }
        let mut starts = vec![0];
        starts.extend(ends.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        let mut next = starts.clone();
        let mut places = vec![0_u32; given.len()];
        let mut rows = Zeroizing::new(vec![IdHash::default(); given.len()]);
        for (place, row) in (0..).zip(given) {
            let Some(next) = next.get_mut(row.bin(shape.bins) as usize) else {
                continue;
            };
            let slots = rows.get_mut(*next).zip(places.get_mut(*next));
            if let Some(slots) = slots {
                (*slots.0, *slots.1) = (*row, place);
            }
            *next += 1;
        }
        Self {
            shape,
            starts,
            rows,
            places,
        }
    }

    /// The shape that the rows were sorted for.
    #[must_use]
    pub fn shape(&self) -> OkvsShape {
        self.shape
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, bin after bin.
    pub(crate) fn rows(&self) -> &[IdHash] {
        &self.rows
    }

    /// The given place of each of [`rows`](Self::rows).
    pub(crate) fn places(&self) -> &[u32] {
        &self.places
    }

    /// The rows of each bin.
    pub(crate) fn bins(&self) -> impl Iterator<Item = &[IdHash]> {
        let ends = self.starts.iter().skip(1);
        let ranges = self.starts.iter().zip(ends);
        ranges.map(|(start, end)| self.rows.get(*start..*end).unwrap_or_default())
    }
}

impl fmt::Debug for BinnedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BinnedRows(..)")
    }
}
