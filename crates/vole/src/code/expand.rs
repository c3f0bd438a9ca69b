//! The expander: each element of the output takes in twenty-one of the input.
//!
//! Eleven come from eleven regions of the input, one each, so that no region is left out; ten
//! from anywhere. Output `i` has 21 words of four bytes, little-endian, of the stream. Word `r`
//! of the first eleven, times the size of region `r` and without the lowest 32 bits, is a place
//! in region `r`, which goes from `r m / 11` to `(r + 1) m / 11`; of the other words the same
//! with the whole input of `m`. A place may come twice and then cancels.
//!
//! # How
//! The input does not fit into the processor's nearer memories, so that what counts is how
//! many loads are under way at once and how far apart they lie. Places are made for a batch
//! before anything is loaded; the ten from anywhere are added up in registers; those of a
//! region wait until many outputs can take them in one region after the other.

use incamera_group::Gf128;

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

/// Adds to each element of `out` its elements of `input`, which is as long.
pub(super) fn expand<const LANES: usize>(
    out: &mut [[Gf128; LANES]],
    input: &[[Gf128; LANES]],
    stream: &mut Prg,
) {
    let ranges = ranges(input.len() as u64);
    let whole = (0, input.len() as u64);
    let mut blocks = [[0; 16]; STREAM_BLOCKS];
    let mut anywhere = [[0; ANYWHERE]; BATCH];
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
            for (out, places) in out.iter_mut().zip(&anywhere) {
                add_places(out, input, places);
            }
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
