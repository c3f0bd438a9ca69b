//! One of several values of one type.

use arrow::array::{Array, ArrayRef, BooleanArray, Datum};
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::compute::{is_not_null, is_null, nullif, or, prep_null_mask_filter};

use super::Args;
use super::Function::{self, *};

pub(super) fn run(function: Function, args: &Args<'_>) -> Option<ArrayRef> {
    let mut arrays = (0..args.values.len()).map(|at| args.array(at));
    let first = arrays.next()??;
    if function == NullIf {
        let equal = cmp::eq(&first, &arrays.next()??).ok()?;
        return nullif(&first, &equal).ok();
    }
    let mut best = first;
    for next in arrays {
        let next = next?;
        // Where the one so far stays.
        let stays = match function {
            Coalesce => is_not_null(&best).ok()?,
            Least => better(&best, &next, cmp::lt_eq)?,
            _ => better(&best, &next, cmp::gt_eq)?,
        };
        best = zip(&stays, &best, &next).ok()?;
    }
    Some(best)
}

type Compare = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, arrow::error::ArrowError>;

/// Where `a` is better than `b`, or `b` is null.
fn better(a: &ArrayRef, b: &ArrayRef, compare: Compare) -> Option<BooleanArray> {
    if a.data_type().is_null() {
        return is_null(b).ok();
    }
    let better = compare(a, b).ok()?;
    let better = match better.null_count() {
        0 => better,
        _ => prep_null_mask_filter(&better),
    };
    or(&better, &is_null(b).ok()?).ok()
}
