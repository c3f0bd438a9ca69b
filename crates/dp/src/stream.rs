//! Where noise comes from: a stream of bits that the owners' seeds and the request decide.
//!
//! # Claim
//! The same seeds and request give the same noise, wherever and however often (I8); whoever
//! misses one owner's seed cannot tell the noise from fresh randomness (HKDF-SHA256 and
//! ChaCha20 as pseudo-random functions).
//! # Derivation
//! | value | from |
//! |---|---|
//! | noise key | HKDF-Extract(salt: transcript(`incamera-noise-key/1`, request digest), seeds, each with its length, in order of owner) |
//! | stream key | HMAC-SHA256(noise key, transcript(`incamera-noise-stream/1`, use, aggregate, group key parts)) |
//! | bits | ChaCha20 under the stream key, from block 0 |
//!
//! Every measure of every group has its own stream, so that no noise depends on how many
//! groups there are or in which order they are drawn.
//! # Reference
//! RFC 5869; Bernstein (2008); design invariant I8.

use std::fmt;

use hkdf::Hkdf;
use incamera_types::{Digest, RequestDigest, Transcript};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::{One, ToPrimitive, Zero};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Ratio;

/// What all noise of one request is derived from. Secret: with it the noise can be taken off.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct NoiseKey([u8; 32]);

impl NoiseKey {
    /// A key from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of a request from all owners' seeds, which must be in order of owner name.
    #[must_use]
    pub fn combine(seeds: &[&[u8; 32]], request: &RequestDigest) -> Self {
        let salt: RequestDigest = Transcript::new("incamera-noise-key/1")
            .field(request)
            .finish();
        let mut material = Zeroizing::new(Vec::with_capacity(seeds.len() * 40));
        for seed in seeds {
            material.extend_from_slice(&(seed.len() as u64).to_be_bytes());
            material.extend_from_slice(seed.as_slice());
        }
        let (key, _) = Hkdf::<Sha256>::extract(Some(salt.as_bytes()), &material);
        Self(key.into())
    }

    /// The stream of one aggregate and group key.
    #[must_use]
    pub fn stream(&self, aggregate: &str, group_key: &[impl AsRef<[u8]>]) -> NoiseStream {
        let key = self.derive("noise", aggregate, group_key);
        NoiseStream(ChaCha20Rng::from_seed(*key))
    }

    /// A key for choices that must not depend on values, such as which rows a cut keeps.
    #[must_use]
    pub fn choice(&self, what: &str) -> Zeroizing<[u8; 32]> {
        self.derive("choice", what, &[] as &[&[u8]])
    }

    fn derive(&self, usage: &str, name: &str, parts: &[impl AsRef<[u8]>]) -> Zeroizing<[u8; 32]> {
        let info: RequestDigest = Transcript::new("incamera-noise-stream/1")
            .field(usage)
            .field(name)
            .list(parts.iter())
            .finish();
        // Extract is HMAC with its salt as the key.
        let (key, _) = Hkdf::<Sha256>::extract(Some(&self.0), info.as_bytes());
        Zeroizing::new(key.into())
    }
}

impl fmt::Debug for NoiseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseKey(..)")
    }
}

/// Uniform bits, for one draw of noise.
pub struct NoiseStream(ChaCha20Rng);

impl NoiseStream {
    /// A uniform number below `bound`; 0 for a bound of 0 or 1.
    pub fn below(&mut self, bound: &BigUint) -> BigUint {
        if let Some(small) = bound.to_u64() {
            return self.below_u64(small).into();
        }
        let bits = (bound - BigUint::one()).bits();
        let bytes = usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; bytes];
        loop {
            self.0.fill_bytes(&mut buffer);
            let number = BigUint::from_bytes_le(&buffer) & ((BigUint::one() << bits) - 1u8);
            if &number < bound {
                return number;
            }
        }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A uniform number below `bound`; 0 for a bound of 0 or 1.
    pub fn below_u64(&mut self, bound: u64) -> u64 {
        if bound <= 1 {
            return 0;
        }
        let mask = u64::MAX >> (bound - 1).leading_zeros();
        loop {
            let number = self.0.next_u64() & mask;
            if number < bound {
                return number;
            }
        }
    }

    /// True with probability `numerator / denominator` (at most 1).
    pub fn bernoulli(&mut self, numerator: &BigUint, denominator: &BigUint) -> bool {
        &self.below(denominator) < numerator
    }

    /// True with probability exactly exp(-`x`).
    ///
    /// Canonne, Kamath, Steinke (2020), algorithm 1.
    pub fn bernoulli_exp(&mut self, x: &Ratio) -> bool {
        let (mut whole, rest) = x.numerator().div_rem(x.denominator());
        while !whole.is_zero() {
            if !self.bernoulli_exp_unit(&BigUint::one(), &BigUint::one()) {
                return false;
            }
            whole -= 1u8;
        }
        self.bernoulli_exp_unit(&rest, x.denominator())
    }

    /// Algorithm 1 for a fraction of at most 1.
    fn bernoulli_exp_unit(&mut self, numerator: &BigUint, denominator: &BigUint) -> bool {
        let mut bound = denominator.clone();
        let mut odd = true;
        while self.bernoulli(numerator, &bound) {
            bound += denominator;
            odd = !odd;
        }
        odd
    }

    /// A fair coin.
    pub(crate) fn coin(&mut self) -> bool {
        self.below_u64(2) == 1
    }
}

impl fmt::Debug for NoiseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoiseStream(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(stream: &mut NoiseStream) -> u64 {
        stream.0.next_u64()
    }

    #[test]
    fn streams_are_separate_and_repeat() {
        let key = NoiseKey::from_bytes([7; 32]);
        let draw = |aggregate: &str, group: &[&str]| first(&mut key.stream(aggregate, group));
        assert_eq!(draw("spend", &["mailed"]), draw("spend", &["mailed"]));
        let all = [
            draw("spend", &["mailed"]),
            draw("people", &["mailed"]),
            draw("spend", &["not mailed"]),
            draw("spend", &[]),
            draw("spend", &["mail", "ed"]),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn i8_every_seed_and_the_request_decide_the_key() {
        let request = RequestDigest::from_bytes([1; 32]);
        let other = RequestDigest::from_bytes([2; 32]);
        let (a, b) = ([3; 32], [4; 32]);
        let key = |seeds: &[&[u8; 32]], request| NoiseKey::combine(seeds, request).0;
        assert_eq!(key(&[&a, &b], &request), key(&[&a, &b], &request));
        assert_ne!(key(&[&a, &b], &request), key(&[&b, &a], &request));
        assert_ne!(key(&[&a, &b], &request), key(&[&a], &request));
        assert_ne!(key(&[&a, &b], &request), key(&[&a, &b], &other));
    }

    #[test]
    fn secrets_do_not_show() {
        let key = NoiseKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), "NoiseKey(..)");
        assert_eq!(format!("{:?}", key.stream("a", &["b"])), "NoiseStream(..)");
    }

    #[test]
    fn below_stays_below() {
        let key = NoiseKey::from_bytes([1; 32]);
        let mut stream = key.stream("t", &["below"]);
        for bound in [1u128, 2, 3, 255, 256, 1 << 64, (1 << 64) + 1, u128::MAX] {
            let bound = BigUint::from(bound);
            for _ in 0..50 {
                assert!(stream.below(&bound) < bound);
            }
        }
        assert!(stream.below(&BigUint::zero()).is_zero());
    }
}
