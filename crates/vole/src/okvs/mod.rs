//! A store that gives a value for each row put in, and hides which rows those are.
//!
//! An *oblivious key-value store*: a vector `P` such that every id's row, times `P`, is the
//! id's value. A row has three ones among its bin's sparse columns, and powers of the row's
//! hash `k` in the dense ones:
//!
//! ```text
//! P[c0] + P[c1] + P[c2] + k D[0] + k^2 D[1] + .. + k^d D[d-1] = value
//! ```
//!
//! # Encoding, bin by bin
//! 1. *Peel*: a column that only one row touches settles that row; take both away, and again.
//! 2. What no column settles is a core; a row of it goes to the *gap*, and peeling goes on.
//!    More gap rows than dense columns are [`OkvsFailure`], and so is a bin above its capacity:
//!    2^-40 together ([`params`](crate::params)).
//! 3. Without a gap, which is nearly always, the dense columns stay zero, and the settled rows,
//!    the last first, each give their column its value.
//! 4. With a gap, the sparse columns are affine in the dense ones: solved once with the values
//!    and once for each dense column, they leave one linear equation a gap row.
//!
//! Columns that nothing settles stay zero. So a store by itself shows its ids: it leaves the
//! receiver only under a mask of uniformly random elements.
//!
//! # Time
//! Encoding and decoding read memory at places that hang on the party's own ids. That is seen
//! by other programs on the party's own machine at most, as with a table of ids.
//!
//! # Reference
//! Raghuraman, Rindal: *Blazing Fast PSI from Improved OKVS and Subfield VOLE*, CCS 2022
//! (eprint 2022/320), sections 2 and 3.2.

mod bins;
mod decode;
mod peel;
mod solve;
#[cfg(test)]
mod tests;

use incamera_group::Gf128;
use zeroize::Zeroizing;

pub use bins::BinnedRows;
pub use decode::decode;
#[cfg(test)]
pub(crate) use solve::{eliminate, power};

use crate::base::Elements;
use crate::params::OkvsShape;
use peel::Peeled;

/// No store was found for these ids under this run's random bytes. Another run's will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ids fit no store under this run's random bytes: start the run again")]
pub struct OkvsFailure;

/// The store of the rows.
///
/// # Errors
/// [`OkvsFailure`], with a probability of 2^-40 for at most as many ids as the shape is for;
/// always where equal rows have different values, which hashes of ids do not have.
pub fn encode(rows: &BinnedRows) -> Result<Elements, OkvsFailure> {
    let shape = rows.shape();
    let mut store = Zeroizing::new(vec![Gf128::ZERO; shape.len()]);
    for (bin, part) in rows.bins().zip(store.chunks_exact_mut(shape.bin_len())) {
        if bin.len() > shape.capacity as usize {
            return Err(OkvsFailure);
        }
        let places = bin.iter();
        let places = places.map(|row| row.place(shape.bins, shape.columns).1);
        let sparse: Zeroizing<Vec<_>> = Zeroizing::new(places.collect());
        let peeled = Peeled::new(
            &sparse,
            usize::from(shape.columns),
            usize::from(shape.dense),
        )?;
        solve::solve(&shape, bin, &sparse, &peeled, part)?;
    }
    Ok(store)
}
