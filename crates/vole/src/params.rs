//! Sizes that both sides derive from the number of ids alone.
//!
//! # The store of the receiver's ids
//! [`OkvsShape`] follows Raghuraman and Rindal, *Blazing Fast PSI from Improved OKVS and
//! Subfield VOLE* (CCS 2022, eprint 2022/320), section 3.2, with rows of weight three. For `n`
//! rows in `e n` columns their fit is
//!
//! ```text
//! log2 slope = 0.555 log2 n + 0.093 w^3 - 1.01 w^2 + 2.925 w - 0.133,   w = log2 3
//! failure    = 2^-(slope (e - 1.223) - 9.2)
//! dense      = floor(failure bits / log2(e n))
//! ```
//!
//! `EXPANSION` and `DENSE` below are its values for a failure of 2^-52 a bin. With at most
//! [`MAX_ITEMS`] ids, 128 bins, that is 2^-45 for all bins together. A bin takes 8.25 standard
//! deviations more rows than its share: that one of them overflows is 2^-46 at most (2^-102 of
//! two bins; exact binomial tails). Together 2^-44.4 at [`MAX_ITEMS`], where 2^-40 is asked of
//! the *whole* encoding: a failure of 2^-40 a bin would be 2^-33 for 128 of them.
//!
//! The fit was made where failures can be counted, and 2^-52 lies on its line beyond; the
//! tests of [`okvs`](crate::okvs) measure the line at 8 and 12 bits, where they find between a
//! quarter of it and all of it.
//!
//! # More ids than declared
//! A receiver that does not keep to the protocol may choose its store so that more ids than it
//! declared have values. [`evaluations_bound`] says how many it can solve for, which is what an
//! agreement's limit should count. Counting all stores that there are, and not only those that
//! somebody can find, gives more: with the chance of 2^-40 one of them fits so many of the ids
//! that were hashed during the run.
//!
//! | declared  | solved        | counted, 2^64 hashes | 2^80      | 2^100     |
//! |-----------|---------------|----------------------|-----------|-----------|
//! | 1 to 64   | 163 ids       | 295 ids              | 379 ids   | 584 ids   |
//! | 2^10      | 1.49 times    | 2.57 times           | 3.27      | 4.90      |
//! | 2^14      | 1.28          | 2.11                 | 2.64      | 3.85      |
//! | 2^16      | 1.32          | 2.12                 | 2.64      | 3.79      |
//! | 2^20      | 1.32          | 2.02                 | 2.49      | 3.49      |
//!
//! Between 2^10 and 2^22 ids it is 1.26 to 1.49 times by solving. Nothing is sent for a set of
//! none. For small sets the store is large and the making of vectors costs more than the method
//! with two exponentiations an id: whoever offers this method refuses it there.
//!
//! All arithmetic is of integers: a size must not hang on how a machine rounds.

/// The most ids of one set in a run.
pub const MAX_ITEMS: u64 = 1 << 22;
/// Rows that a bin holds on the average, at most. More would need indices of more than 16 bits.
const BIN_ITEMS: u64 = 1 << 15;
/// The smallest set that the fit holds for: smaller ones take its sizes.
const LEAST_ITEMS: u64 = 1 << 6;
/// Variance per expected row that a bin's capacity leaves room for: 8.25 standard deviations.
const SPARE: u64 = 68;
/// Sparse columns a row, in units of 2^-20, for capacities from 2^6, 2^7, ... 2^16 on.
const EXPANSION: [u64; 11] = [
    2_546_250, 2_142_651, 1_867_939, 1_680_954, 1_553_681, 1_467_053, 1_408_088, 1_367_953,
    1_340_635, 1_322_041, 1_309_385,
];
/// Dense columns, for the same capacities.
const DENSE: [u8; 11] = [7, 6, 5, 5, 4, 4, 4, 3, 3, 3, 3];

/// Why a run cannot be made for these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// More ids than one run takes.
    #[error(
        "{found} ids are more than the {MAX_ITEMS} of one VOLE run: match commutatively, or \
         agree on smaller sets"
    )]
    TooManyItems {
        /// Ids asked for.
        found: u64,
    },
}

/// The shape of a store: bins of equal size, each with its own sparse and dense columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OkvsShape {
    pub(crate) bins: u32,
    /// The most rows of a bin.
    pub(crate) capacity: u32,
    /// Sparse columns of a bin.
    pub(crate) columns: u16,
    /// Dense columns of a bin.
    pub(crate) dense: u8,
}

impl OkvsShape {
    /// The shape for this many ids.
    ///
    /// # Errors
    /// [`ParamError::TooManyItems`] above [`MAX_ITEMS`].
    pub fn for_items(items: u64) -> Result<Self, ParamError> {
        let error = ParamError::TooManyItems { found: items };
        if items > MAX_ITEMS {
            return Err(error);
        }
        let bins = items.div_ceil(BIN_ITEMS).max(1);
        let capacity = if bins == 1 {
            items.max(LEAST_ITEMS)
        } else {
            let share = items.div_ceil(bins);
            share + root_above(SPARE * share)
        };
        let step = (capacity.ilog2() - LEAST_ITEMS.ilog2()) as usize;
        let (expansion, dense) = EXPANSION.get(step).zip(DENSE.get(step)).ok_or(error)?;
        let columns = (capacity * expansion).div_ceil(1 << 20);
        Ok(Self {
            bins: u32::try_from(bins).map_err(|_| error)?,
            capacity: u32::try_from(capacity).map_err(|_| error)?,
            columns: u16::try_from(columns).map_err(|_| error)?,
            dense: *dense,
        })
    }

    /// Elements of a store: the columns of all bins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bins as usize * self.bin_len()
    }

    /// Never: a shape has columns whatever the number of ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of a store.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        16 * self.len() as u64
    }

    /// Elements of a bin.
    pub(crate) fn bin_len(&self) -> usize {
        usize::from(self.columns) + usize::from(self.dense)
    }
}

/// How many ids a receiver that declared so many can have evaluated, by solving for its store:
/// its columns, or none where there are no ids. An honest one has those that it declared.
///
/// # Errors
/// [`ParamError::TooManyItems`] above [`MAX_ITEMS`].
pub fn evaluations_bound(declared: u64) -> Result<u64, ParamError> {
    let shape = OkvsShape::for_items(declared)?;
    Ok(if declared == 0 { 0 } else { shape.len() as u64 })
}

/// The least integer whose square is not below `value`.
fn root_above(value: u64) -> u64 {
    let root = value.isqrt();
    root + u64::from(root * root < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart from this code, with floats, from the formula of the module's doc.
    #[test]
    fn shapes_are_those_of_the_formula() {
        for (items, bins, capacity, columns, dense) in [
            (0, 1, 64, 156, 7),
            (1, 1, 64, 156, 7),
            (64, 1, 64, 156, 7),
            (65, 1, 65, 158, 7),
            (1 << 10, 1, 1 << 10, 1_518, 4),
            (1 << 14, 1, 1 << 14, 20_948, 3),
            (1 << 15, 1, 1 << 15, 41_314, 3),
            ((1 << 15) + 1, 2, 17_441, 22_299, 3),
            (1 << 20, 32, 34_261, 43_197, 3),
            (MAX_ITEMS, 128, 34_261, 43_197, 3),
        ] {
            let shape = OkvsShape::for_items(items).unwrap();
            let found = (shape.bins, shape.capacity, shape.columns, shape.dense);
            assert_eq!(found, (bins, capacity, columns, dense), "{items}");
        }
    }

    #[test]
    fn a_million_ids_take_21_bytes_each() {
        let shape = OkvsShape::for_items(1 << 20).unwrap();
        assert_eq!(shape.len(), 1_382_400);
        assert_eq!(shape.bytes(), 22_118_400);
    }

    #[test]
    fn more_than_the_most_are_refused() {
        let found = MAX_ITEMS + 1;
        let error = OkvsShape::for_items(found).unwrap_err();
        assert_eq!(error, ParamError::TooManyItems { found });
        assert!(error.to_string().contains("4194304"), "{error}");
        assert!(OkvsShape::for_items(u64::MAX).is_err());
    }

    #[test]
    fn a_declared_size_buys_the_columns_of_its_store() {
        let bounds = [0, 1, 64, 1 << 10, 1 << 20].map(|n| evaluations_bound(n).unwrap());
        assert_eq!(bounds, [0, 163, 163, 1_522, 1_382_400]);
        assert!(evaluations_bound(MAX_ITEMS + 1).is_err());
        // Nowhere less than what was declared, and beyond 2^10 nowhere half as much again.
        for items in (1 << 10..MAX_ITEMS).step_by(997) {
            let bound = evaluations_bound(items).unwrap();
            assert!(items < bound && 2 * bound < 3 * items, "{items} {bound}");
        }
    }

    #[test]
    fn roots_are_rounded_up() {
        for (value, root) in [(0, 0), (1, 1), (2, 2), (4, 2), (5, 3), (2_228_224, 1_493)] {
            assert_eq!(root_above(value), root, "{value}");
        }
    }
}
