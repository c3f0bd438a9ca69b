//! The expander: each element of the output takes in twenty-one of the input.
//!
//! ```text
//! out_i += sum over 11 places of z  +  rho_i (sum over 10 places of z)
//! ```
//!
//! The eleven come from eleven regions of the input, one each, so that no region is left out;
//! the ten from anywhere. Output `i` has 21 words of four bytes, little-endian, of one stream,
//! and `rho_i`, 16 bytes, of another. Word `r` of the first eleven, times the size of region `r`
//! and without the lowest 32 bits, is a place in region `r`, which goes from `r m / 11` to
//! `(r + 1) m / 11`; of the other words the same with the whole input of `m`. A place may come
//! twice and then cancels.
//!
//! # What the weights are for
//! Where the input is zero for the first thousand places, as it is before the first noise in its
//! half, an expander of coefficients 0 and 1 has as many sums of outputs in which no other
//! place is left: checks over *bits* on the noise in front, and 128 bits of a field element
//! are 128 such words with noise at the same places, which linear algebra finds (decision 0083,
//! and the test `window_of_binary_half`). A weight for a whole output would not help, as it goes
//! into the noise at that place, nor one for a place of the input. These stand with a part of
//! each output's sum: what cancels for both parts at once has `2 m` equations and not `m`, and
//! there is nothing.
//!
//! # How
//! The input does not fit into the processor's nearer memories, so that what counts is how
//! many loads are under way at once and how far apart they lie. Places are made for a batch
//! before anything is loaded; the ten from anywhere are added up in registers; those of a
//! region wait until many outputs can take them in one region after the other.

use incamera_group::{Gf128, add_products};
use zeroize::Zeroizing;

use super::convolve::add;
use crate::prg::Prg;

/// Elements of the input that an element of the output takes in.
const WEIGHT: usize = REGIONS + ANYWHERE;
/// Of these, one in each region of the input.
const REGIONS: usize = 11;
/// And from the whole of it.
const ANYWHERE: usize = 10;
/// Elements of the output whose words are made at once.
const BATCH: usize = 64;
/// Blocks of the stream for them.
const STREAM_BLOCKS: usize = BATCH * WEIGHT * 4 / 16;
/// Elements of the output that take in a region at once: a multiple of the batch.
const CHUNK: usize = 1 << 18;

/// Adds to each element of `out` its elements of `input`, which is as long. `weights` gives the
/// next `rho`.
pub(super) fn expand<const LANES: usize>(
    out: &mut [[Gf128; LANES]],
    input: &[[Gf128; LANES]],
    stream: &mut Prg,
    mut weights: impl FnMut(&mut [Gf128]),
) {
    let ranges = ranges(input.len() as u64);
    let whole = (0, input.len() as u64);
    let mut blocks = [[0; 16]; STREAM_BLOCKS];
    let mut anywhere = [[0; ANYWHERE]; BATCH];
    let mut rho = [Gf128::ZERO; BATCH];
    let mut regions: [Vec<u32>; REGIONS] = Default::default();
    for out in out.chunks_mut(CHUNK) {
        regions.iter_mut().for_each(Vec::clear);
        for out in out.chunks_mut(BATCH) {
            stream.fill(&mut blocks);
            let (words, _) = blocks.as_flattened().as_chunks::<{ 4 * WEIGHT }>();
            for (places, words) in anywhere.iter_mut().zip(words).take(out.len()) {
                let (words, _) = words.as_chunks();
                let (first, rest) = words.split_at(REGIONS);
                for ((region, word), range) in regions.iter_mut().zip(first).zip(&ranges) {
                    region.push(place(word, range));
                }
                for (at, word) in places.iter_mut().zip(rest) {
                    *at = place(word, &whole);
                }
            }
            weights(&mut rho);
            let mut sums = Zeroizing::new([[Gf128::ZERO; LANES]; BATCH]);
            for (sum, places) in sums.iter_mut().zip(&anywhere).take(out.len()) {
                add_places(sum, input, places);
            }
            let factors = rho.map(|rho| [rho; LANES]);
            add_products(
                out.as_flattened_mut(),
                sums.as_flattened(),
                factors.as_flattened(),
            );
        }
        for region in &regions {
            for (out, place) in out.iter_mut().zip(region) {
                add_places(out, input, &[*place]);
            }
        }
    }
}

/// The place in a range that a word stands for.
#[inline]
fn place(word: &[u8; 4], (first, size): &(u64, u64)) -> u32 {
    let word = u64::from(u32::from_le_bytes(*word));
    (first + ((word * size) >> 32)) as u32
}

/// Adds the elements at places.
#[expect(
    clippy::indexing_slicing,
    reason = "places are below the input's length by how they are made"
)]
#[inline]
fn add_places<const LANES: usize, const COUNT: usize>(
    out: &mut [Gf128; LANES],
    input: &[[Gf128; LANES]],
    places: &[u32; COUNT],
) {
    let mut sum = *out;
    for place in places {
        add(&mut sum, &input[*place as usize]);
    }
    *out = sum;
}

/// Where each region starts, and its size.
fn ranges(length: u64) -> [(u64, u64); REGIONS] {
    let mut ranges = [(0, 0); REGIONS];
    for (range, region) in ranges.iter_mut().zip(0..) {
        let [first, end] = [region, region + 1].map(|r| r * length / REGIONS as u64);
        *range = (first, end - first);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_cover_the_input_once() {
        for length in [11, 12, 16_400, 1_382_400] {
            let ranges = ranges(length);
            let mut next = 0;
            for (first, size) in &ranges {
                assert_eq!(*first, next);
                assert!(*size >= length / 11 && *size <= length / 11 + 1);
                next = first + size;
            }
            assert_eq!(next, length);
        }
    }
}
