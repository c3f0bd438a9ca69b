//! An exact draw from the exponential mechanism.
//!
//! Between two neighbouring values all numbers weigh the same, so there are at most twice as
//! many pieces as values. A uniform number picks a piece: its bits and the weights are taken in
//! fixed point with known bounds, and wherever those leave two pieces possible, both are taken
//! to more bits. What is drawn has exactly the mechanism's distribution; no float takes part.

use incamera_types::Epsilon;
use num_bigint::BigUint;
use num_traits::{One, Zero};

use super::weights::{Powers, Weight};
use super::{Quantile, Quantiles, exponent, number};
use crate::NoiseStream;

/// Bits of the first attempt; it fails once in some 2^70 draws.
const BITS: u64 = 192;

/// Consecutive numbers of the same distance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub low: i128,
    pub size: u64,
    /// The distance in ranks, times the quantile's `whole`.
    pub distance: u128,
}

/// The domain in pieces, in order; `values` are sorted and inside it.
pub(super) fn pieces(values: &[i128], question: &Quantiles, quantile: &Quantile) -> Vec<Piece> {
    let wanted = number(values.len()) * u128::from(quantile.part);
    let distance = |below: usize, upto: usize| {
        let scaled = |count: usize| number(count) * u128::from(quantile.whole);
        let over = scaled(below).saturating_sub(wanted);
        over.max(wanted.saturating_sub(scaled(upto)))
    };
    let mut pieces = Vec::new();
    let mut add = |low: i128, end: i128, distance: u128| {
        if let Ok(size @ 1..) = u64::try_from(end - low) {
            pieces.push(Piece {
                low,
                size,
                distance,
            });
        }
    };
    let (mut next, mut below) = (question.low, 0);
    for same in values.chunk_by(|a, b| a == b) {
        let Some(&value) = same.first() else { continue };
        let upto = below + same.len();
        add(next, value, distance(below, below));
        add(value, value + 1, distance(below, upto));
        (next, below) = (value + 1, upto);
    }
    add(next, question.high + 1, distance(below, below));
    pieces
}

/// One draw.
pub(super) fn draw(
    values: &[i128],
    question: &Quantiles,
    quantile: &Quantile,
    epsilon: Epsilon,
    stream: &mut NoiseStream,
) -> i128 {
    let pieces = pieces(values, question, quantile);
    let mut bits = BITS;
    let mut uniform = BigUint::zero();
    let mut known = 0;
    loop {
        while known < bits {
            uniform = (uniform << 64u32) + stream.bits();
            known += 64;
        }
        let step = exponent(question, quantile, epsilon);
        let weights = weights(&pieces, Powers::new(step, bits));
        if let Some(piece) = pick(&pieces, &weights, &uniform, known) {
            return piece.low + i128::from(stream.below_u64(piece.size));
        }
        bits *= 2;
    }
}

/// The pieces' weights, in the order of the pieces, relative to the heaviest.
///
/// Distances fall up to the quantile and rise from there.
pub(super) fn weights(pieces: &[Piece], mut powers: Powers) -> Vec<Weight> {
    let nearest = pieces
        .iter()
        .enumerate()
        .min_by_key(|(_, piece)| piece.distance);
    let centre = nearest.map_or(0, |(at, _)| at);
    let (left, right) = pieces.split_at(centre);
    let mut outwards = |pieces: &mut dyn Iterator<Item = &Piece>| {
        let mut weight = powers.one();
        let mut last = None;
        let mut made = Vec::new();
        for piece in pieces {
            let from = last.replace(piece.distance).unwrap_or(piece.distance);
            weight = powers.lighter(&weight, piece.distance.saturating_sub(from));
            made.push(weight.clone());
        }
        made
    };
    // Both ways start at the centre; on the left it is dropped again.
    let mut all = outwards(&mut right.first().into_iter().chain(left.iter().rev()));
    all.reverse();
    all.pop();
    all.extend(outwards(&mut right.iter()));
    all
}

/// The piece that a uniform number of `known` bits falls into, if the bounds leave one only.
pub(super) fn pick<'a>(
    pieces: &'a [Piece],
    weights: &[Weight],
    uniform: &BigUint,
    known: u64,
) -> Option<&'a Piece> {
    let sum = |of: fn(&Weight) -> BigUint| {
        let parts = pieces.iter().zip(weights).map(|(p, w)| of(w) * p.size);
        parts.fold(BigUint::zero(), |sum, part| sum + part)
    };
    let (total, error) = (sum(|w| w.value.clone()), sum(|w| w.error.into()));
    let low = (uniform * (&total - error.clone().min(total.clone()))) >> known;
    let high = (((uniform + 1u8) * (&total + &error)) >> known) + 1u8;
    let (mut end, mut off) = (BigUint::zero(), BigUint::zero());
    for (piece, weight) in pieces.iter().zip(weights) {
        // The piece begins at most here.
        let begin = &end + &off;
        end += &weight.value * piece.size;
        off += BigUint::from(weight.error) * piece.size;
        if high <= &end - off.clone().min(end.clone()) {
            return (begin <= low).then_some(piece);
        }
    }
    // The last piece ends where everything does.
    let last = pieces.last().zip(weights.last());
    last.and_then(|(piece, weight)| {
        let own = (&weight.value + BigUint::one() * weight.error) * piece.size;
        let begin = &end + &off - own.min(end.clone());
        (begin <= low).then_some(piece)
    })
}
