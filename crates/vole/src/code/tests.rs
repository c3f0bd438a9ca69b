//! The code against its definition, and what its constants are for.

mod window;

use super::*;
use crate::vectors::Vectors;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

const CONTEXT: [u8; 32] = [6; 32];
/// Codes of other runs.
const CONTEXTS: [[u8; 32]; 3] = [CONTEXT, [61; 32], [200; 32]];

fn random(length: usize, seed: u64) -> Vec<Gf128> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..length).map(|_| Gf128::random(&mut rng)).collect()
}

fn encoded(alpha: Gf128, vector: &[Gf128]) -> Vec<Gf128> {
    encoded_with(alpha, vector, weights(&CONTEXT))
}

fn encoded_with(alpha: Gf128, vector: &[Gf128], weights: impl FnMut(&mut [Gf128])) -> Vec<Gf128> {
    encoded_of(&CONTEXT, alpha, vector, weights)
}

fn encoded_of(
    context: &[u8; 32],
    alpha: Gf128,
    vector: &[Gf128],
    weights: impl FnMut(&mut [Gf128]),
) -> Vec<Gf128> {
    let mut lanes: Vec<_> = vector.iter().map(|element| [*element]).collect();
    encode_with(alpha, context, &mut lanes, weights);
    lanes.as_flattened()[..vector.len() / 2].to_vec()
}

/// Bytes of a stream, from its beginning.
fn bytes(context: &[u8; 32], number: u8, count: usize) -> Vec<u8> {
    let mut blocks = vec![[0; 16]; count.div_ceil(16)];
    Prg::public(LABEL, context, number).fill(&mut blocks);
    blocks.into_flattened()
}

/// As the documents of the modules say it, one term after the other.
fn by_definition(vector: &[Gf128]) -> Vec<Gf128> {
    let m = vector.len() / 2;
    let mut z = vector[m..].to_vec();
    for pass in [0, 1] {
        let taps = bytes(&CONTEXT, pass, 3 * m);
        for j in 0..m {
            let mut sum = z[j];
            if j >= 25 {
                sum += z[j - 25];
            }
            sum = sum * ALPHA;
            for k in 1..=24.min(j) {
                let bit = 24 - k;
                if taps[3 * j + bit / 8] >> (bit % 8) & 1 == 1 {
                    sum += z[j - k];
                }
            }
            z[j] = sum;
        }
    }
    let (places, rho) = (places(&CONTEXT, m), bytes(&CONTEXT, 3, 16 * m));
    let rho = |i: usize| Gf128::from_bytes(rho[16 * i..][..16].try_into().unwrap());
    let sum = |places: &[usize]| places.iter().fold(Gf128::ZERO, |sum, at| sum + z[*at]);
    let out = places.iter().enumerate();
    out.map(|(i, places)| vector[i] + sum(&places[..11]) + rho(i) * sum(&places[11..]))
        .collect()
}

/// The places of the input that each output takes in.
fn places(context: &[u8; 32], m: usize) -> Vec<[usize; 21]> {
    let words = bytes(context, 2, 84 * m);
    let place = |i: usize, r: usize| {
        let word = u32::from_le_bytes(words[84 * i + 4 * r..][..4].try_into().unwrap()) as usize;
        let (first, end) = match r {
            0..11 => (r * m / 11, (r + 1) * m / 11),
            _ => (0, m),
        };
        first + ((word * (end - first)) >> 32)
    };
    (0..m)
        .map(|i| std::array::from_fn(|r| place(i, r)))
        .collect()
}

/// The last length is of more outputs than take in a region at once.
#[test]
fn the_code_is_as_defined() {
    for m in [
        11, 12, 24, 25, 26, 48, 50, 63, 64, 65, 512, 1023, 1024, 1025, 2100, 262_244,
    ] {
        let vector = random(2 * m, m as u64);
        assert!(encoded(ALPHA, &vector) == by_definition(&vector), "{m}");
    }
}

/// Against a dense matrix: `vectors/silent.py`.
#[test]
fn the_code_is_that_of_the_vectors() {
    let mut vectors = Vectors::new(include_str!("../../vectors/v1/code.txt"));
    let context = vectors.array("context");
    let mut blocks = vec![[0; 16]; vectors.number("length")];
    Prg::new(&vectors.array("vector")).fill(&mut blocks);
    let elements = blocks.iter().map(|block| [Gf128::from_bytes(*block)]);
    let mut lanes: Vec<_> = elements.collect();
    encode(&context, &mut lanes);
    let out = lanes[..blocks.len() / 2].as_flattened();
    let out: Vec<_> = out.iter().flat_map(|element| element.to_bytes()).collect();
    assert_eq!(out, vectors.bytes("out"));
    vectors.end();
}

#[test]
fn lanes_are_apart() {
    let (a, b) = (random(600, 1), random(600, 2));
    let mut both: Vec<_> = a.iter().zip(&b).map(|(a, b)| [*a, *b]).collect();
    encode(&CONTEXT, &mut both);
    let (a, b) = (encoded(ALPHA, &a), encoded(ALPHA, &b));
    for (both, (a, b)) in both.iter().zip(a.iter().zip(&b)) {
        assert!(*both == [*a, *b]);
    }
}

/// Over the whole field, not over bits alone.
#[test]
fn the_code_is_linear() {
    let (a, b, factor) = (random(400, 3), random(400, 4), random(1, 5)[0]);
    let mixed: Vec<_> = a.iter().zip(&b).map(|(a, b)| *a + *b * factor).collect();
    let (a, b) = (encoded(ALPHA, &a), encoded(ALPHA, &b));
    let expected: Vec<_> = a.iter().zip(&b).map(|(a, b)| *a + *b * factor).collect();
    assert!(encoded(ALPHA, &mixed) == expected);
}

#[test]
fn runs_have_codes_of_their_own() {
    let vector = random(400, 6);
    let mut lanes: Vec<_> = vector.iter().map(|element| [*element]).collect();
    encode(&[7; 32], &mut lanes);
    let same = lanes.iter().zip(encoded(ALPHA, &vector));
    assert_eq!(same.filter(|(a, b)| a[0] == *b).count(), 0);
}

/// The largest proper subfield has 2^64 elements; all others lie in it.
#[test]
fn alpha_is_what_it_says_and_in_no_subfield() {
    let digest = Sha256::digest(b"incamera-vole-alpha/1");
    assert!(ALPHA == Gf128::from_bytes(digest[..16].try_into().unwrap()));
    let power = (0..64).fold(ALPHA, |power, _| power.square());
    assert!(power != ALPHA);
    assert!((0..64).fold(power, |power, _| power.square()) == ALPHA);
}

/// Vectors over bits, reduced: by them it is seen whether another is a sum of them.
struct Span(Vec<(usize, Vec<bool>)>);

impl Span {
    /// What is left of a vector, and the place of its first bit.
    fn rest(&self, mut vector: Vec<bool>) -> Option<(usize, Vec<bool>)> {
        for (first, known) in &self.0 {
            if vector[*first] {
                vector.iter_mut().zip(known).for_each(|(v, k)| *v ^= k);
            }
        }
        Some((vector.iter().position(|bit| *bit)?, vector))
    }

    fn add(&mut self, vector: Vec<bool>) {
        self.0.extend(self.rest(vector));
    }
}

fn bit(of: &[Gf128], bit: usize) -> Vec<bool> {
    of.iter().map(|e| e.bits() >> bit & 1 == 1).collect()
}

/// Weights of one: an expander of coefficients 0 and 1.
fn ones(rho: &mut [Gf128]) {
    rho.fill(Gf128::ONE);
}

/// Places of the noise that the sums of the output's bits give away, of forty.
fn found_by_linear_algebra(alpha: Gf128) -> (usize, bool) {
    let (m, noise) = (512, 40);
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut vector = vec![Gf128::ZERO; 2 * m];
    let mut places = Vec::new();
    for block in 0..noise {
        let place = block * 25 + rng.next_u32() as usize % 25;
        vector[place] = Gf128::random(&mut rng);
        places.push(place);
    }
    let out = encoded_with(alpha, &vector, ones);
    let mut span = Span(Vec::new());
    (0..128).for_each(|i| span.add(bit(&out, i)));
    let given_away = |place: &usize| {
        let mut unit = vec![Gf128::ZERO; 2 * m];
        unit[*place] = Gf128::ONE;
        let column = encoded_with(alpha, &unit, ones);
        (0..128).all(|i| span.rest(bit(&column, i)).is_none())
    };
    let found: Vec<_> = (0..2 * m).filter(given_away).collect();
    (found.len(), found == places)
}

/// The attack that the constant is there against, here without the weights: noise in GF(2^128) is 128 vectors of bits
/// with noise at the same places, and a code with coefficients 0 and 1 alone leaves each of
/// them a sum of the same columns.
#[test]
fn rank_of_binary_code() {
    assert_eq!(found_by_linear_algebra(Gf128::ONE), (40, true));
    assert_eq!(found_by_linear_algebra(ALPHA), (0, false));
}
