//! The small vector that a large one grows from: `a = b + c delta` for a few hundred elements.
//!
//! # Messages
//! The sender holds `delta` in GF(2^128) and, from 128 transfers in which it chose with the
//! bits of `delta`, one key of each pair; the receiver holds both and chooses `c`. With
//! `u(i, j)` for element `j` of the stream of key 0 of transfer `i`, and `v(i, j)` for key 1,
//!
//! | from → to         | message                                           | size              |
//! |-------------------|---------------------------------------------------|-------------------|
//! | receiver → sender | `corrections`: `u(i,j) + v(i,j) + x^i c_j`         | 2,048 B × elements |
//! | sender → receiver | `rho`, at random                                  | 16 B              |
//! | receiver → sender | `z`, `y`: see below                                | 32 B              |
//!
//! `a_j` is the sum of the `u(i, j)`, `b_j` of the streams that the sender has, with the
//! correction added where its bit is one.
//!
//! *Check 1.* The last element is a mask. With weights `rho, rho^2, ...` for the others and one
//! for the mask, `z` is the weighted sum of `c` and `y` that of `a`; the sender compares `y`
//! with its own sum of `b` plus `z delta`.
//!
//! # Claim
//! `c` is hidden by the streams that the sender lacks and stays so under the check by the mask;
//! `delta` by the transfers. A receiver that puts different vectors into the corrections of
//! different bits passes only if it guesses a combination of the bits of `delta` for each
//! dimension in which they differ: it learns `k` bits with probability `2^-k` and is caught
//! otherwise, up to `2^k elements / 2^128`: one polynomial of that degree for each combination.
//! Without the check it would learn any number of bits for
//! nothing, by comparing what the sender sends later. The idea of such a check and its leakage
//! is that of the reference's base protocol; its text was not at hand, and the argument above
//! is ours.
//!
//! # Time
//! No branch on `delta`.
//!
//! # Reference
//! Gilboa, *Two party RSA key generation* (1999); Weng, Yang, Katz, Wang, *Wolverine* (S&P
//! 2021, eprint 2020/925).

use incamera_group::Gf128;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::fault::{PeerFault, array, of_length};
use crate::prg::{Block, Prg};

/// Transfers: bits of `delta`.
pub(crate) const BITS: usize = 128;
/// Bytes of the answer to the challenge.
pub(crate) const ANSWER_BYTES: usize = 32;

/// Field elements that are wiped when dropped.
pub type Elements = Zeroizing<Vec<Gf128>>;

/// Bytes of the corrections of so many elements.
pub(crate) fn correction_bytes(elements: usize) -> usize {
    BITS * elements * Gf128::BYTES
}

/// The receiver's half for its `c`; the corrections are appended to `message`.
pub(crate) fn receive(keys: &[[Block; 2]], c: &[Gf128], message: &mut Vec<u8>) -> Elements {
    let mut a = Zeroizing::new(vec![Gf128::ZERO; c.len()]);
    let mut shifted = Zeroizing::new(c.to_vec());
    let mut corrections = Zeroizing::new(vec![Gf128::ZERO; c.len()]);
    for [zero, one] in keys {
        corrections.copy_from_slice(&shifted);
        add_stream(&mut a, zero);
        add_stream(&mut corrections, zero);
        add_stream(&mut corrections, one);
        message.extend(corrections.iter().flat_map(|element| element.to_bytes()));
        shifted.iter_mut().for_each(|c| *c = c.mul_x());
    }
    a
}

/// The sender's half.
///
/// # Errors
/// [`PeerFault::Length`].
pub(crate) fn send(
    keys: &[Block],
    delta: Gf128,
    elements: usize,
    corrections: &[u8],
) -> Result<Elements, PeerFault> {
    let expected = correction_bytes(elements);
    let corrections = of_length("corrections", corrections, expected)?;
    let mut b = Zeroizing::new(vec![Gf128::ZERO; elements]);
    let (corrections, _) = corrections.as_chunks::<{ Gf128::BYTES }>();
    let rows = corrections.chunks(elements);
    for ((bit, key), row) in (0..BITS).zip(keys).zip(rows) {
        add_stream(&mut b, key);
        let mask = 0_u128.wrapping_sub(delta.bits() >> bit & 1);
        for (b, correction) in b.iter_mut().zip(row) {
            let correction = Gf128::from_bytes(*correction).bits() & mask;
            *b += Gf128::from_bits(correction);
        }
    }
    Ok(b)
}

fn add_stream(to: &mut [Gf128], key: &Block) {
    let mut places = to.iter_mut();
    Prg::new(key).elements(places.len(), |_, element| {
        if let Some(place) = places.next() {
            *place += element;
        }
    });
}

/// The receiver's answer to check 1: `z` and `y`.
pub(crate) fn answer(rho: Gf128, c: &[Gf128], a: &[Gf128]) -> [u8; ANSWER_BYTES] {
    let sums = [weighted(rho, c), weighted(rho, a)];
    let mut answer = [0; ANSWER_BYTES];
    for (half, sum) in answer.as_chunks_mut().0.iter_mut().zip(sums) {
        *half = sum.to_bytes();
    }
    answer
}

/// Whether the answer fits the sender's half.
///
/// # Errors
/// [`PeerFault::Length`], [`PeerFault::Corrections`].
pub(crate) fn check(rho: Gf128, b: &[Gf128], delta: Gf128, answer: &[u8]) -> Result<(), PeerFault> {
    let answer: [u8; ANSWER_BYTES] = array("answer", answer)?;
    let (halves, _) = answer.as_chunks();
    let mut sums = halves.iter().copied().map(Gf128::from_bytes);
    let (z, y) = sums.next().zip(sums.next()).unwrap_or_default();
    let difference = y + weighted(rho, b) + z * delta;
    let fits = difference.to_bytes().ct_eq(&[0; Gf128::BYTES]);
    bool::from(fits).then_some(()).ok_or(PeerFault::Corrections)
}

/// The last element, plus the others times `rho, rho^2, ...`.
fn weighted(rho: Gf128, elements: &[Gf128]) -> Gf128 {
    let reversed = elements.iter().rev().skip(1);
    let others = reversed.fold(Gf128::ZERO, |sum, element| (sum + *element) * rho);
    others + elements.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Vectors;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use sha2::{Digest as _, Sha256};

    struct Sides {
        delta: Gf128,
        c: Vec<Gf128>,
        pairs: Vec<[Block; 2]>,
        chosen: Vec<Block>,
    }

    fn sides(elements: usize, delta: Gf128) -> Sides {
        let mut rng = ChaCha20Rng::seed_from_u64(12);
        let mut blocks = vec![[0; 16]; 2 * BITS];
        Prg::new(&[1; 16]).fill(&mut blocks);
        let pairs = blocks.as_chunks::<2>().0.to_vec();
        let bit = |i: usize| delta.bits() >> i & 1 == 1;
        let chosen = (0..BITS).map(|i| pairs[i][usize::from(bit(i))]).collect();
        let c = (0..elements).map(|_| Gf128::random(&mut rng)).collect();
        Sides {
            delta,
            c,
            pairs,
            chosen,
        }
    }

    fn deltas() -> [Gf128; 5] {
        let random = Gf128::random(&mut ChaCha20Rng::seed_from_u64(13));
        let last = Gf128::from_bits(1 << 127);
        [
            Gf128::ZERO,
            Gf128::ONE,
            last,
            Gf128::from_bits(u128::MAX),
            random,
        ]
    }

    #[test]
    fn the_halves_fit_for_every_delta() {
        for delta in deltas() {
            for elements in [1, 2, 65, 402] {
                let s = sides(elements, delta);
                let mut message = Vec::new();
                let a = receive(&s.pairs, &s.c, &mut message);
                assert_eq!(message.len(), correction_bytes(elements));
                let b = send(&s.chosen, delta, elements, &message).unwrap();
                for ((a, b), c) in a.iter().zip(&*b).zip(&s.c) {
                    assert!(*a == *b + *c * delta);
                }
                let rho = Gf128::from_bits(3);
                check(rho, &b, delta, &answer(rho, &s.c, &a)).unwrap();
            }
        }
    }

    /// Every bit of a correction counts where the bit of delta is one, and none elsewhere.
    #[test]
    fn changed_corrections_are_caught_where_delta_has_a_bit() {
        let (elements, rho) = (5, Gf128::from_bits(0x1234_5678_9abc));
        let s = sides(elements, deltas()[4]);
        let mut message = Vec::new();
        let a = receive(&s.pairs, &s.c, &mut message);
        let answer = answer(rho, &s.c, &a);
        for bit in (0..8 * message.len()).step_by(61) {
            let mut wrong = message.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let b = send(&s.chosen, s.delta, elements, &wrong).unwrap();
            let counts = s.delta.bits() >> (bit / 128 / elements) & 1 == 1;
            let caught = check(rho, &b, s.delta, &answer) == Err(PeerFault::Corrections);
            assert_eq!(caught, counts, "{bit}");
        }
    }

    #[test]
    fn changed_answers_are_caught() {
        let rho = Gf128::from_bits(77);
        let s = sides(3, deltas()[4]);
        let mut message = Vec::new();
        let a = receive(&s.pairs, &s.c, &mut message);
        let b = send(&s.chosen, s.delta, 3, &message).unwrap();
        let answer = answer(rho, &s.c, &a);
        for bit in 0..8 * ANSWER_BYTES {
            let mut wrong = answer;
            wrong[bit / 8] ^= 1 << (bit % 8);
            let caught = check(rho, &b, s.delta, &wrong);
            assert_eq!(caught, Err(PeerFault::Corrections), "{bit}");
        }
        assert!(check(Gf128::from_bits(78), &b, s.delta, &answer).is_err());
    }

    /// Against an implementation of its own: `vectors/silent.py`.
    #[test]
    fn the_halves_are_those_of_the_vectors() {
        let mut vectors = Vectors::new(include_str!("../vectors/v1/base.txt"));
        let mut blocks = vec![[0; 16]; 2 * BITS];
        Prg::new(&vectors.array("pairs")).fill(&mut blocks);
        let (pairs, _) = blocks.as_chunks::<2>();
        let delta = Gf128::from_bytes(vectors.array("delta"));
        let bit = |i: usize| (delta.bits() >> i & 1) as usize;
        let chosen: Vec<_> = (0..BITS).map(|i| pairs[i][bit(i)]).collect();
        let c = vectors.array::<48>("c");
        let c = c.as_chunks().0.iter().copied().map(Gf128::from_bytes);
        let c: Vec<_> = c.collect();
        let mut message = Vec::new();
        let a = receive(pairs, &c, &mut message);
        let b = send(&chosen, delta, c.len(), &message).unwrap();
        let bytes = |v: &[Gf128]| v.iter().flat_map(|e| e.to_bytes()).collect::<Vec<_>>();
        assert_eq!(
            Sha256::digest(&message).to_vec(),
            vectors.bytes("corrections")
        );
        assert_eq!(bytes(&a), vectors.bytes("a"));
        assert_eq!(bytes(&b), vectors.bytes("b"));
        let rho = Gf128::from_bytes(vectors.array("rho"));
        assert_eq!(answer(rho, &c, &a), vectors.array("answer"));
        vectors.end();
    }

    #[test]
    fn other_lengths_are_refused() {
        let s = sides(3, Gf128::ONE);
        for found in [0, 16, correction_bytes(3) - 1, correction_bytes(3) + 16] {
            let error = send(&s.chosen, s.delta, 3, &vec![0; found]).unwrap_err();
            assert!(matches!(error, PeerFault::Length { .. }), "{found}");
        }
        assert!(check(Gf128::ONE, &s.c, s.delta, &[0; 31]).is_err());
    }
}
