//! The expander: each element of the output takes in twenty-one of the input.
//!
//! Eleven come from eleven regions of the input, one each, so that no region is left out; ten
//! from anywhere. Output `i` has 21 words of four bytes, little-endian, of the stream. Word `r`
//! of the first eleven, times the size of region `r` and without the lowest 32 bits, is a place
//! in region `r`, which goes from `r m / 11` to `(r + 1) m / 11`; of the other words the same
//! with the whole input of `m`. A place may come twice and then cancels.

use incamera_group::Gf128;

use super::convolve::add;
use crate::prg::Prg;

/// Elements of the input that an element of the output takes in.
pub(super) const WEIGHT: usize = REGIONS + 10;
/// Regions of the input.
const REGIONS: usize = 11;
/// Elements of the output whose places are made at once.
const BATCH: usize = 64;
/// Blocks of the stream for them.
const STREAM_BLOCKS: usize = BATCH * WEIGHT * 4 / 16;

/// Adds to each element of `out` its elements of `input`, which is as long.
pub(super) fn expand<const LANES: usize>(
    out: &mut [[Gf128; LANES]],
    input: &[[Gf128; LANES]],
    stream: &mut Prg,
) {
    let ranges = ranges(input.len() as u64);
    let mut blocks = [[0; 16]; STREAM_BLOCKS];
    let mut places = [[0; WEIGHT]; BATCH];
    for out in out.chunks_mut(BATCH) {
        stream.fill(&mut blocks);
        let (words, _) = blocks.as_flattened().as_chunks();
        for (places, words) in places.iter_mut().zip(words) {
            *places = places_of(words, &ranges);
        }
        for (out, places) in out.iter_mut().zip(&places) {
            add_places(out, input, places);
        }
    }
}

/// The places that an element of the output takes in, by its words.
#[inline]
fn places_of(words: &[u8; 4 * WEIGHT], ranges: &[(u64, u64); WEIGHT]) -> [u32; WEIGHT] {
    let mut places = [0; WEIGHT];
    let (words, _) = words.as_chunks();
    for ((place, word), (first, size)) in places.iter_mut().zip(words).zip(ranges) {
        let word = u64::from(u32::from_le_bytes(*word));
        *place = (first + ((word * size) >> 32)) as u32;
    }
    places
}

/// Nothing but loads and additions, so that many loads are under way at once.
#[expect(
    clippy::indexing_slicing,
    reason = "places are below the input's length by how they are made"
)]
#[inline]
fn add_places<const LANES: usize>(
    out: &mut [Gf128; LANES],
    input: &[[Gf128; LANES]],
    places: &[u32; WEIGHT],
) {
    let mut sum = *out;
    for place in places {
        add(&mut sum, &input[*place as usize]);
    }
    *out = sum;
}

/// Where the input's elements of an output start, and among how many they are.
fn ranges(length: u64) -> [(u64, u64); WEIGHT] {
    let mut ranges = [(0, length); WEIGHT];
    for (range, region) in ranges.iter_mut().take(REGIONS).zip(0..) {
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
            for (first, size) in &ranges[..REGIONS] {
                assert_eq!(*first, next);
                assert!(*size >= length / 11 && *size <= length / 11 + 1);
                next = first + size;
            }
            assert_eq!(next, length);
            assert!(ranges[REGIONS..].iter().all(|range| *range == (0, length)));
        }
    }
}
