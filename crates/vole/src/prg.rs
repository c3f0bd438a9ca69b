//! Random bytes: what a key of 16 bytes stretches to by AES-128 in counter mode, and the
//! generator that a side draws its secrets from.
//!
//! Block `n`, from zero, is the encryption of `n` as 16 bytes, little-endian. A key serves one
//! stream. AES in counter mode is taken for a pseudorandom generator; the instructions of the
//! processor do it where there are any, otherwise a form without look-ups.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use chacha20::ChaCha20Rng;
use incamera_group::Gf128;
use rand_core::{CryptoRng, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The generator of a side: whoever has it has every secret that was drawn from it, so that it
/// stays in one place and is wiped there after the last draw.
pub(crate) type Random = Box<ChaCha20Rng>;

/// A generator that hangs on 32 bytes of another.
pub(crate) fn random(rng: &mut impl CryptoRng) -> Random {
    Box::new(ChaCha20Rng::from_rng(rng))
}

/// A key, a seed of a tree, or 16 bytes of a stream.
pub(crate) type Block = [u8; 16];
/// Blocks that are encrypted at once.
const BATCH: usize = 64;

/// One stream.
pub(crate) struct Prg {
    cipher: Aes128Enc,
    next: u128,
}

impl Prg {
    /// The stream of a key.
    pub(crate) fn new(key: &Block) -> Self {
        let cipher = cipher(key);
        Self { cipher, next: 0 }
    }

    /// The stream of a key that both sides know: the first half of
    /// `SHA-256(label, context, number)`.
    pub(crate) fn public(label: &str, context: &[u8; 32], number: u8) -> Self {
        Self::new(&public_key(label, context, number))
    }

    /// The next blocks of the stream.
    pub(crate) fn fill(&mut self, blocks: &mut [Block]) {
        for block in blocks.iter_mut() {
            *block = self.next.to_le_bytes();
            self.next += 1;
        }
        self.cipher
            .encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    }

    /// Hands the next `count` blocks, as field elements, to `each` with their place.
    pub(crate) fn elements(&mut self, count: usize, mut each: impl FnMut(usize, Gf128)) {
        let mut batch = Zeroizing::new([[0; 16]; BATCH]);
        for first in (0..count).step_by(BATCH) {
            let (blocks, _) = batch.split_at_mut(BATCH.min(count - first));
            self.fill(blocks);
            for (at, block) in blocks.iter().enumerate() {
                each(first + at, Gf128::from_bytes(*block));
            }
        }
    }
}

/// The cipher under a key.
pub(crate) fn cipher(key: &Block) -> Aes128Enc {
    Aes128Enc::new(key.into())
}

/// See [`Prg::public`].
fn public_key(label: &str, context: &[u8; 32], number: u8) -> Block {
    let hash = Sha256::new()
        .chain_update(label)
        .chain_update(context)
        .chain_update([number]);
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197, appendix C.1: the cipher is AES-128.
    #[test]
    fn the_cipher_is_aes_128() {
        let key = std::array::from_fn(|i| i as u8);
        let mut block: Array<u8, _> = std::array::from_fn(|i| 0x11 * i as u8).into();
        cipher(&key).encrypt_block(&mut block);
        assert_eq!(hex::encode(block), "69c4e0d86a7b0430d8cdb78070b4c55a");
    }

    /// A promise of the crates that these come from, and of the features they are used with.
    #[test]
    fn generators_and_schedules_are_wiped() {
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<ChaCha20Rng>();
        wiped::<Aes128Enc>();
    }

    #[test]
    fn a_stream_goes_on_where_it_stopped() {
        let mut whole = [[0; 16]; 5];
        Prg::new(&[7; 16]).fill(&mut whole);
        let mut parts = [[0; 16]; 5];
        let (first, last) = parts.split_at_mut(2);
        let mut prg = Prg::new(&[7; 16]);
        prg.fill(first);
        prg.fill(last);
        assert_eq!(whole, parts);
        assert_ne!(whole[0], whole[1]);
    }

    #[test]
    fn elements_are_the_blocks() {
        let mut blocks = vec![[0; 16]; 3 * BATCH / 2];
        Prg::new(&[1; 16]).fill(&mut blocks);
        let mut seen = Vec::new();
        Prg::new(&[1; 16]).elements(blocks.len(), |at, element| {
            assert_eq!(at, seen.len());
            seen.push(element.to_bytes());
        });
        assert_eq!(seen, blocks);
    }
}
