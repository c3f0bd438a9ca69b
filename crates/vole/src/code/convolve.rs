//! The convolution: each element takes in what came out for the twenty-five before it.
//!
//! ```text
//! z_j = alpha (e_j + z_(j-25)) + sum over k = 1..24 of tap(j, k) z_(j-k)
//! ```
//!
//! in place, for ascending `j`; terms before the first element are left out. `tap(j, k)` is bit
//! `24 - k` of the three bytes, little-endian, that element `j` has of a stream of its own.
//!
//! `alpha` is outside every proper subfield. It stands with the last term and not with the
//! others, so that no scaling of the elements takes it out again: without it, or with a
//! constant that could be scaled away, the code would have coefficients 0 and 1 alone, and the
//! noise of up to 128 places, whatever their number is meant to be for, falls to linear algebra
//! over its bits (decision 0083, and the test beside [`super`]).
//!
//! # How
//! Twenty-four elements are multiplied by `alpha` at once, as none of them needs another. The
//! sums of taps are looked up: of each four elements that have come out there is a table of
//! all sixteen sums, so that seven look-ups do for twenty-four taps. The taps are public.

use incamera_group::{Gf128, mul_add};
use zeroize::Zeroizing;

use crate::prg::{Block, Prg};

/// Bytes of taps that an element has.
const TAP_BYTES: usize = 3;
/// Taps of an element, and elements that no other of them depends on.
const TAPS: usize = 8 * TAP_BYTES;
/// How far back the last term lies.
const REACH: usize = TAPS + 1;
/// Elements that share a table of sums.
const GROUP: usize = 4;
/// Tables in use, and one more so that their number is a power of two.
const TABLES: usize = 8;
/// Blocks of the stream that are made at once: taps of 1,024 elements.
const STREAM_BLOCKS: usize = 192;

/// Convolves in place.
#[expect(
    clippy::indexing_slicing,
    reason = "tables by masked numbers, taps by the place in a batch of constant size"
)]
pub(super) fn convolve<const LANES: usize>(z: &mut [[Gf128; LANES]], alpha: Gf128, taps: &mut Prg) {
    let mut tables = Zeroizing::new([[[Gf128::ZERO; LANES]; 1 << GROUP]; TABLES]);
    let mut stream = [[0; 16]; STREAM_BLOCKS];
    for start in (0..z.len()).step_by(TAPS) {
        let (before, rest) = z.split_at_mut(start);
        let (block, _) = rest.split_at_mut(TAPS.min(rest.len()));
        add_last_terms(before, block);
        let mut products = Zeroizing::new([[Gf128::ZERO; LANES]; TAPS]);
        let (products, _) = products.split_at_mut(block.len());
        mul_add(products.as_flattened_mut(), block.as_flattened(), alpha);
        block.copy_from_slice(products);
        for (j, element) in (start..).zip(block) {
            let place = j % (STREAM_BLOCKS * 16 / TAP_BYTES);
            if place == 0 {
                taps.fill(&mut stream);
            }
            let (group, inside) = (j / GROUP, j % GROUP);
            let bits = word(&stream, place) << inside;
            for nibble in 0..=TAPS / GROUP {
                let table = &tables[(group + 2 + nibble) % TABLES];
                add(element, &table[bits as usize >> (GROUP * nibble) & 0xf]);
            }
            let table = &mut tables[group % TABLES];
            for sum in 0..1 << inside {
                table[sum | 1 << inside] = table[sum];
                add(&mut table[sum | 1 << inside], element);
            }
        }
    }
}

/// Adds `z_(j-25)` to the elements of a block.
fn add_last_terms<const LANES: usize>(before: &[[Gf128; LANES]], block: &mut [[Gf128; LANES]]) {
    let without = REACH.saturating_sub(before.len());
    let first = (before.len() + without).saturating_sub(REACH);
    let last_terms = before.iter().skip(first);
    for (element, last) in block.iter_mut().skip(without).zip(last_terms) {
        add(element, last);
    }
}

/// The taps of the element at a place of the stream.
#[expect(clippy::indexing_slicing, reason = "the place is within the stream")]
fn word(stream: &[Block; STREAM_BLOCKS], place: usize) -> u32 {
    let bytes = &stream.as_flattened()[place * TAP_BYTES..][..TAP_BYTES];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// Adds in every lane.
#[inline]
pub(super) fn add<const LANES: usize>(to: &mut [Gf128; LANES], other: &[Gf128; LANES]) {
    for (to, other) in to.iter_mut().zip(other) {
        *to += *other;
    }
}
