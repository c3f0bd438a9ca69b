//! Quantiles read off a tree of noisy counts.

use num_bigint::BigInt;

use super::{Quantile, Quantiles};
use crate::{Noise, NoiseStream};

/// Levels below the root of a tree with a leaf for each of `width` numbers.
pub(super) fn levels(width: u64) -> u32 {
    u64::BITS - width.saturating_sub(1).leading_zeros()
}

/// From the root to the leaf that the wanted rank falls into; `values` are sorted.
pub(super) fn descend(
    values: &[i128],
    question: &Quantiles,
    quantile: &Quantile,
    noise: &Noise,
    streams: &impl Fn(&str) -> NoiseStream,
) -> i128 {
    let levels = levels(question.width());
    // Noise belongs to the node: another quantile that comes by sees the same count.
    let count = |level: u32, node: u64| {
        let size = 1i128 << (levels - level);
        let low = question.low + i128::from(node) * size;
        let below = |end: i128| values.partition_point(|&value| value < end);
        let inside = below(low + size) - below(low);
        noise.draw(&mut streams(&format!("node {level} {node}"))) + inside
    };
    let mut rank = count(0, 0) * quantile.part;
    let mut node = 0u64;
    for level in 1..=levels {
        let left = 2 * node;
        let counted: BigInt = count(level, left) * quantile.whole;
        if rank <= counted {
            node = left;
        } else {
            rank -= counted;
            node = left + 1;
        }
    }
    (question.low + i128::from(node)).min(question.high)
}
