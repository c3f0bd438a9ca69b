//! The range of a number column, which the scan enforces: plans rest on it.

use incamera_types::{ColumnSpec, ColumnType};

/// The least and the most of a number column, in units of its scale: as declared, and never
/// outside its type.
pub(crate) fn range(column: &ColumnSpec) -> (i128, i128) {
    let most = match column.ty {
        ColumnType::Decimal { precision, .. } => 10i128.pow(u32::from(precision).min(38)) - 1,
        _ => i128::from(i64::MAX),
    };
    let scale = column.ty.scale();
    let bound = |declared: Option<incamera_types::Decimal>, other: i128| {
        let declared = declared.and_then(|number| number.rescale(scale).ok());
        declared.map_or(other, |number| number.unscaled().clamp(-most, most))
    };
    let (low, high) = (bound(column.min, -most), bound(column.max, most));
    (low, high.max(low))
}
