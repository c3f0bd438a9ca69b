//! Bytes a little changed, the same for the same seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Lengths and numbers that parsers get wrong.
const TELLING: [u64; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Makes mutations of a set of seeds.
pub struct Mutator {
    rng: ChaCha20Rng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Self { rng, seeds }
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.rng.next_u64() % end.max(1) as u64) as usize
    }

    fn any(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds[at].clone()
    }

    /// One seed with one to eight changes.
    pub fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.any();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (at, end) = (self.below(bytes.len() + 1), bytes.len());
        let most = 1 << self.below(6);
        let until = (at + 1 + self.below(most)).min(end);
        match self.below(8) {
            0 | 1 if at < end => bytes[at] ^= 1 << self.below(8),
            2 if at < end => bytes[at] = self.rng.next_u64() as u8,
            3 => drop(bytes.drain(at.min(until)..until)),
            4 => {
                let again = bytes[at.min(until)..until].to_vec();
                drop(bytes.splice(at..at, again));
            }
            5 => {
                let number = TELLING[self.below(TELLING.len())].to_le_bytes();
                let width = (1 << self.below(4)).min(end - at);
                drop(bytes.splice(at..at + width, number[..width].iter().copied()));
            }
            6 => bytes.truncate(at),
            _ => {
                let other = self.any();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
