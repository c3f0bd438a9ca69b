//! Rows times a vector.

use incamera_group::{Gf128, add_polynomial};

use zeroize::Zeroizing;

use super::BinnedRows;
use crate::base::Elements;
use crate::hash::IdHash;

/// Rows whose dense parts are worked on at once.
const CHUNK: usize = 256;

/// Each row times the vector, in the order of [`BinnedRows`]; the vector need not be a store.
///
/// A vector of another length than the shape's gives zeros for what it lacks.
#[must_use]
pub fn decode(vector: &[Gf128], rows: &BinnedRows) -> Elements {
    let shape = rows.shape();
    let mut products = Zeroizing::new(Vec::with_capacity(rows.len()));
    let mut sums = Zeroizing::new([Gf128::ZERO; CHUNK]);
    let mut points = Zeroizing::new([Gf128::ZERO; CHUNK]);
    for (bin, part) in rows.bins().zip(vector.chunks_exact(shape.bin_len())) {
        let (columns, dense) = part.split_at(usize::from(shape.columns));
        for chunk in bin.chunks(CHUNK) {
            // Behind a short chunk stands what an earlier one left, which nobody takes.
            for ((sum, point), row) in sums.iter_mut().zip(&mut *points).zip(chunk) {
                (*sum, *point) = (sparse(row, shape.bins, columns), row.row);
            }
            add_polynomial(&mut *sums, &*points, dense);
            products.extend(sums.iter().take(chunk.len()));
        }
    }
    products.resize(rows.len(), Gf128::ZERO);
    products
}

fn sparse(row: &IdHash, bins: u32, columns: &[Gf128]) -> Gf128 {
    let (_, at) = row.place(bins, columns.len() as u16);
    let terms = at
        .iter()
        .filter_map(|column| columns.get(usize::from(*column)));
    terms.fold(Gf128::ZERO, |sum, term| sum + *term)
}
