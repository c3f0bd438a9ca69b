//! Two long vectors with `a = b + c delta` from a few short messages.
//!
//! The *receiver* ends with `a` and `c`, the *sender* with `b` and `delta`; all in GF(2^128),
//! `c` and `delta` at random.
//!
//! # Parties and messages
//! `t` = 400 blocks, trees of `depth` levels over each.
//!
//! | step | from → to         | message                                                    | size                 |
//! |------|-------------------|------------------------------------------------------------|----------------------|
//! | 1    | sender → receiver | points of 128 choices, by the bits of `delta` ([`ot`]); the point of the other transfers | 8,224 B |
//! | 2    | receiver → sender | the point for them; choices beside the paths; corrections ([`base`]) | 823,328 B + 64 B × `t depth` |
//! | 3    | sender → receiver | challenge `rho`                                             | 16 B                 |
//! | 4    | receiver → sender | its answer: check 1                                         | 32 B                 |
//! | 5    | sender → receiver | for each tree the sums of its levels ([`pprf`]) and `d`      | `t` × (32 B × `depth` + 16 B) |
//! | 6    | receiver → sender | challenge `chi`                                             | 16 B                 |
//! | 7    | sender → receiver | its answer: check 2                                         | 32 B                 |
//!
//! The receiver draws a place in each block and an element `c_j` for it. Base vectors give
//! `a_j = b_j + c_j delta`. The sender's leaves are `v`; its `d_j` is `b_j` plus the sum of tree
//! `j`'s leaves, from which the receiver, lacking one leaf, makes `w = v + e delta` with `e` the
//! vector that has `c_j` at the place in block `j` and zero elsewhere. Both sides encode
//! ([`code`]): `a` and `c` are of `w` and `e`, `b` of `v`.
//!
//! *Check 2.* `chi` is drawn at the beginning and shown in step 6. The base vectors have one
//! element more, for `c = sum of chi^(g_j + 1) c_j` over the places `g_j`: the sum of
//! `chi^(i + 1) v_i` over all places plus the sender's half of it is then the sum of
//! `chi^(i + 1) w_i` plus the receiver's. The sender answers with a hash of it.
//!
//! # Claim
//! Malicious security, with what each check leaves. A receiver learns `k` bits of `delta` with
//! probability `2^-k` and is otherwise refused in step 4, before it has seen anything that
//! hangs on `delta`; a wrong last element in the base vectors gives it a hash of an unknown
//! multiple of `delta`, which is worth `2^128` trials. A sender that sends sums which do not
//! fit makes `w` wrong depending on the place in that tree: it passes if it guesses which side
//! of a level the place is on and learns that, otherwise it is refused after step 7. The
//! receiver must let nothing follow that refusal that hangs on its vectors. `c` looks random
//! under the assumption that stands with [`code`].
//!
//! Both checks always run: they cost next to nothing.
//!
//! # What each party learns
//! Nothing beside its half.
//!
//! # Reference
//! Boyle et al. (CCS 2018, eprint 2019/273) and (CCS 2019, eprint 2019/1159); check 2 after
//! Yang et al., *Ferret* (CCS 2020, eprint 2020/924), in the form of libOTe's silent VOLE.

use std::ops::Deref;

use incamera_group::{Gf128, power_sum};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

pub use crate::base::Elements;
use crate::base::{self, ANSWER_BYTES, BITS};
use crate::code;
use crate::fault::{PeerFault, array, of_length};
use crate::ot::{self, Chooser, PairSender, Transfers};
use crate::pprf::{self, Grower, LEVEL_BYTES};
use crate::prg::Block;

/// Places of noise, and blocks: what [`code`] asks for. The fuzzer plays with vectors a fiftieth as
/// long, which hide nothing (decision 0104).
const NOISE: usize = if cfg!(fuzzing) { 8 } else { 400 };
#[cfg(all(fuzzing, not(debug_assertions)))]
compile_error!(
    "`--cfg fuzzing` makes vectors that hide nothing: it is for the fuzzer of `fuzz/` alone"
);
/// Elements of the base vectors: one a block, the sum of check 2, the mask of check 1.
const BASE: usize = NOISE + 2;
/// The shortest vector that is made: shorter ones are cut from it. Blocks have then 82 places.
const LEAST: usize = 41 * NOISE;
/// Starts the hash of check 2.
const CHECK_LABEL: &str = "incamera-vole-check/1";
/// Bytes of a challenge.
const CHALLENGE_BYTES: usize = Gf128::BYTES;
/// Bytes of the sender's answer.
const DIGEST_BYTES: usize = 32;

/// What both sides know of the vectors before they make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoleShape {
    /// Elements asked for.
    length: usize,
    /// Places of a block.
    block: usize,
    /// Levels of a tree: `2^depth` leaves do for a block.
    depth: u32,
}

impl VoleShape {
    /// For vectors of so many elements.
    #[must_use]
    pub fn for_length(length: usize) -> Self {
        // Twice the length of the code is cut into equal blocks without a rest.
        let code = length.max(LEAST).next_multiple_of(NOISE / 2);
        let block = 2 * code / NOISE;
        Self {
            length,
            block,
            depth: (block - 1).ilog2() + 1,
        }
    }

    /// Transfers in which the receiver chooses.
    fn transfers(self) -> usize {
        NOISE * self.depth as usize
    }

    /// Bytes of the message of each step, from 1 to 7.
    #[must_use]
    pub fn message_bytes(self) -> [usize; 7] {
        let levels = self.transfers();
        [
            BITS * ot::CHOICE_BYTES + ot::BASE_BYTES,
            ot::BASE_BYTES + levels * ot::CHOICE_BYTES + base::correction_bytes(BASE),
            CHALLENGE_BYTES,
            ANSWER_BYTES,
            levels * LEVEL_BYTES + NOISE * Gf128::BYTES,
            CHALLENGE_BYTES,
            DIGEST_BYTES,
        ]
    }
}

/// The receiver's vectors. Wiped when dropped.
pub struct VoleR {
    /// `b + c delta`.
    pub a: Elements,
    /// At random.
    pub c: Elements,
}

/// The sender's vector and factor. Wiped when dropped.
#[cfg_attr(test, derive(Clone))]
pub struct VoleS {
    /// At random.
    pub b: Elements,
    /// At random.
    pub delta: Factor,
}

/// The sender's factor. It stays in one place while states are handed on, and is wiped there.
#[cfg_attr(test, derive(Clone))]
pub struct Factor(Box<Gf128>);

impl Factor {
    /// Takes the element.
    #[must_use]
    pub fn new(element: Gf128) -> Self {
        Self(Box::new(element))
    }
}

impl Deref for Factor {
    type Target = Gf128;
    fn deref(&self) -> &Gf128 {
        &self.0
    }
}

impl Drop for Factor {
    fn drop(&mut self) {
        self.0.as_mut().zeroize();
    }
}

impl ZeroizeOnDrop for Factor {}

/// Batch 0, in which the sender chooses, and batch 1, in which the receiver does.
fn batches(context: &[u8; 32]) -> [Transfers; 2] {
    [0, 1].map(|batch| Transfers::new(context, batch))
}

/// What check 2 compares.
fn check_digest(context: &[u8; 32], sum: Gf128) -> [u8; DIGEST_BYTES] {
    let hash = Sha256::new()
        .chain_update(CHECK_LABEL)
        .chain_update(context)
        .chain_update(sum.to_bytes());
    hash.finalize().into()
}

/// The sender after step 1.
pub struct SilentSender {
    context: [u8; 32],
    shape: VoleShape,
    delta: Factor,
    chooser: Chooser,
    pairs: PairSender,
}

impl SilentSender {
    /// Draws `delta`; the second is the message of step 1. The context is of this run, and
    /// neither side chose it alone.
    pub fn new(context: [u8; 32], shape: VoleShape, rng: &mut impl CryptoRng) -> (Self, Vec<u8>) {
        let delta = Gf128::random(rng);
        Self::with_delta(context, shape, delta, rng)
    }

    fn with_delta(
        context: [u8; 32],
        shape: VoleShape,
        delta: Gf128,
        rng: &mut impl CryptoRng,
    ) -> (Self, Vec<u8>) {
        let [own, other] = batches(&context);
        let bits = (0..BITS).map(|bit| Choice::from((delta.bits() >> bit & 1) as u8));
        let (chooser, mut message) = Chooser::new(own, bits, rng);
        let pairs = PairSender::new(other, rng);
        message.extend(pairs.message());
        let sender = Self {
            context,
            shape,
            delta: Factor::new(delta),
            chooser,
            pairs,
        };
        (sender, message)
    }

    /// Takes the message of step 2; the second is the one of step 3.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Point`], [`PeerFault::SamePoints`].
    pub fn corrected(
        self,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(CheckingSender, Vec<u8>), PeerFault> {
        let [_, expected, ..] = self.shape.message_bytes();
        let message = of_length("2", message, expected)?;
        let (point, rest) = message.split_at(ot::BASE_BYTES);
        let (choices, corrections) = rest.split_at(self.shape.transfers() * ot::CHOICE_BYTES);
        let keys = self.chooser.keys(point)?;
        let pairs = self.pairs.keys(self.shape.transfers(), choices)?;
        let b = base::send(&keys, *self.delta, BASE, corrections)?;
        let rho = Gf128::random(rng);
        let next = CheckingSender {
            context: self.context,
            shape: self.shape,
            delta: self.delta,
            pairs,
            b,
            rho,
        };
        Ok((next, rho.to_bytes().to_vec()))
    }
}

/// The sender after step 3.
#[cfg_attr(test, derive(Clone))]
pub struct CheckingSender {
    context: [u8; 32],
    shape: VoleShape,
    delta: Factor,
    pairs: Zeroizing<Vec<[Block; 2]>>,
    b: Elements,
    rho: Gf128,
}

impl CheckingSender {
    /// Takes the message of step 4, check 1; the second is the one of step 5.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Corrections`].
    pub fn answered(
        self,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(GrownSender, Vec<u8>), PeerFault> {
        base::check(self.rho, &self.b, *self.delta, message)?;
        Ok(self.grow(rng))
    }

    fn grow(self, rng: &mut impl CryptoRng) -> (GrownSender, Vec<u8>) {
        let VoleShape { block, depth, .. } = self.shape;
        let [.., bytes, _, _] = self.shape.message_bytes();
        let mut message = Vec::with_capacity(bytes);
        let mut v = Zeroizing::new(Vec::with_capacity(NOISE * block));
        let mut grower = Grower::new(&self.context, depth);
        for (keys, b) in self.pairs.chunks(depth as usize).zip(&*self.b) {
            let mut root = Zeroizing::new([0; 16]);
            rng.fill_bytes(root.as_mut_slice());
            grower.send(&root, keys, &mut message);
            let sum = Gf128::from_bytes(pprf::sum(grower.leaves()));
            message.extend((*b + sum).to_bytes());
            let leaves = grower.leaves().iter().take(block);
            v.extend(leaves.map(|leaf| [Gf128::from_bytes(*leaf)]));
        }
        let next = GrownSender {
            context: self.context,
            shape: self.shape,
            delta: self.delta,
            sum: Zeroizing::new(self.b.get(NOISE).copied().unwrap_or_default()),
            v,
        };
        (next, message)
    }
}

/// The sender after step 5.
pub struct GrownSender {
    context: [u8; 32],
    shape: VoleShape,
    delta: Factor,
    sum: Zeroizing<Gf128>,
    v: Zeroizing<Vec<[Gf128; 1]>>,
}

impl GrownSender {
    /// Takes the message of step 6; the second is the one of step 7, the last.
    ///
    /// # Errors
    /// [`PeerFault::Length`].
    pub fn challenged(mut self, message: &[u8]) -> Result<(VoleS, Vec<u8>), PeerFault> {
        let chi = Gf128::from_bytes(array("6", message)?);
        let sum = power_sum(chi, self.v.as_flattened(), 0) + *self.sum;
        let digest = check_digest(&self.context, sum);
        code::encode(&self.context, &mut self.v);
        // In its place: what is behind the length is wiped with the rest.
        let mut b = Zeroizing::new(std::mem::take(&mut *self.v).into_flattened());
        b.truncate(self.shape.length);
        let vole = VoleS {
            b,
            delta: self.delta,
        };
        Ok((vole, digest.to_vec()))
    }
}

/// The receiver before step 1.
pub struct SilentReceiver {
    context: [u8; 32],
    shape: VoleShape,
    noise: Noise,
}

/// The receiver's secrets.
#[cfg_attr(test, derive(Clone))]
struct Noise {
    /// In each block.
    places: Zeroizing<Vec<usize>>,
    /// For each block, the sum of check 2, the mask of check 1.
    c: Elements,
    chi: Gf128,
}

impl Noise {
    fn new(shape: VoleShape, rng: &mut impl CryptoRng) -> Self {
        let chi = Gf128::random(rng);
        let mut places = Zeroizing::new(Vec::with_capacity(NOISE));
        let mut c = Zeroizing::new(Vec::with_capacity(BASE));
        let mut sum = Zeroizing::new(Gf128::ZERO);
        for first in (0..NOISE as u64).map(|block| block * shape.block as u64) {
            // The bias is below 2^-40.
            let place = (u128::from(rng.next_u64()) * shape.block as u128) >> 64;
            let element = Gf128::random(rng);
            places.push(place as usize);
            c.push(element);
            *sum += power_of(chi, first + place as u64 + 1) * element;
        }
        c.extend([*sum, Gf128::random(rng)]);
        Self { places, c, chi }
    }

    /// For each level of each tree whether the path takes the first child: the sum that the
    /// receiver may have is then the second.
    fn choices(&self, depth: u32) -> impl Iterator<Item = Choice> {
        let bits = move |place: &usize| {
            let place = *place;
            (0..depth).map(move |level| !Choice::from((place >> level & 1) as u8))
        };
        self.places.iter().flat_map(bits)
    }
}

/// A power, without a branch on the exponent.
fn power_of(x: Gf128, exponent: u64) -> Gf128 {
    let mut power = Gf128::ONE;
    for bit in (0..u64::BITS).rev() {
        let mask = 0_u128.wrapping_sub(u128::from(exponent >> bit & 1));
        let factor = Gf128::from_bits(x.bits() & mask | Gf128::ONE.bits() & !mask);
        power = power.square() * factor;
    }
    power
}

impl SilentReceiver {
    /// Draws the noise. The context is of this run, and neither side chose it alone.
    pub fn new(context: [u8; 32], shape: VoleShape, rng: &mut impl CryptoRng) -> Self {
        let noise = Noise::new(shape, rng);
        Self {
            context,
            shape,
            noise,
        }
    }

    /// Takes the message of step 1; the second is the one of step 2.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Point`], [`PeerFault::SamePoints`].
    pub fn opened(
        self,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(CorrectedReceiver, Vec<u8>), PeerFault> {
        let [expected, bytes, ..] = self.shape.message_bytes();
        let message = of_length("1", message, expected)?;
        let (choices, point) = message.split_at(BITS * ot::CHOICE_BYTES);
        let [other, own] = batches(&self.context);
        let sender = PairSender::new(other, rng);
        let mut answer = Vec::with_capacity(bytes);
        answer.extend(sender.message());
        let pairs = sender.keys(BITS, choices)?;
        let (chooser, points) = Chooser::new(own, self.noise.choices(self.shape.depth), rng);
        let keys = chooser.keys(point)?;
        answer.extend(points);
        let a = base::receive(&pairs, &self.noise.c, &mut answer);
        let next = CorrectedReceiver {
            context: self.context,
            shape: self.shape,
            noise: self.noise,
            keys,
            a,
        };
        Ok((next, answer))
    }
}

/// The receiver after step 2.
#[cfg_attr(test, derive(Clone))]
pub struct CorrectedReceiver {
    context: [u8; 32],
    shape: VoleShape,
    noise: Noise,
    keys: Zeroizing<Vec<Block>>,
    a: Elements,
}

impl CorrectedReceiver {
    /// Takes the message of step 3; the second is the one of step 4.
    ///
    /// # Errors
    /// [`PeerFault::Length`].
    pub fn challenged(self, message: &[u8]) -> Result<(AnsweredReceiver, Vec<u8>), PeerFault> {
        let rho = Gf128::from_bytes(array("3", message)?);
        let answer = base::answer(rho, &self.noise.c, &self.a);
        Ok((AnsweredReceiver(self), answer.to_vec()))
    }
}

/// The receiver after step 4. It answers one challenge only.
pub struct AnsweredReceiver(CorrectedReceiver);

impl AnsweredReceiver {
    /// Takes the message of step 5; the second is the one of step 6.
    ///
    /// # Errors
    /// [`PeerFault::Length`].
    pub fn grown(self, message: &[u8]) -> Result<(GrownReceiver, Vec<u8>), PeerFault> {
        let Self(CorrectedReceiver {
            context,
            shape,
            noise,
            keys,
            a,
        }) = self;
        let [.., expected, _, _] = shape.message_bytes();
        let message = of_length("5", message, expected)?;
        let levels = shape.depth as usize;
        let mut vectors = Zeroizing::new(Vec::with_capacity(NOISE * shape.block));
        let mut sum = Zeroizing::new(a.get(NOISE).copied().unwrap_or_default());
        let mut grower = Grower::new(&context, shape.depth);
        let mut w = Zeroizing::new(Vec::with_capacity(shape.block));
        let secrets = noise.places.iter().zip(&*noise.c).zip(&*a);
        let messages = message.chunks(levels * LEVEL_BYTES + Gf128::BYTES);
        for ((((place, c), a), keys), message) in secrets.zip(keys.chunks(levels)).zip(messages) {
            let (sums, d) = message.split_at(levels * LEVEL_BYTES);
            grower.receive(*place, keys, sums);
            let others = Gf128::from_bytes(pprf::sum(grower.leaves()));
            let at_place = Gf128::from_bytes(array("5", d)?) + *a + others;
            w.clear();
            let leaves = grower.leaves().iter().take(shape.block);
            w.extend(leaves.map(|leaf| Gf128::from_bytes(*leaf)));
            if let Some(w) = w.get_mut(*place) {
                *w = at_place;
            }
            let first = vectors.len();
            *sum += power_sum(noise.chi, &w, first as u64);
            vectors.extend(w.iter().map(|w| [*w, Gf128::ZERO]));
            if let Some([_, e]) = vectors.get_mut(first + place) {
                *e = *c;
            }
        }
        let next = GrownReceiver {
            context,
            shape,
            vectors,
            sum,
        };
        Ok((next, noise.chi.to_bytes().to_vec()))
    }
}

/// The receiver after step 6.
#[cfg_attr(test, derive(Clone))]
pub struct GrownReceiver {
    context: [u8; 32],
    shape: VoleShape,
    vectors: Zeroizing<Vec<[Gf128; 2]>>,
    sum: Zeroizing<Gf128>,
}

impl GrownReceiver {
    /// Takes the message of step 7, check 2.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Sums`].
    pub fn answered(self, message: &[u8]) -> Result<VoleR, PeerFault> {
        let digest: [u8; DIGEST_BYTES] = array("7", message)?;
        let expected = check_digest(&self.context, *self.sum);
        if !bool::from(digest.ct_eq(&expected)) {
            return Err(PeerFault::Sums);
        }
        Ok(self.encode())
    }

    fn encode(mut self) -> VoleR {
        code::encode(&self.context, &mut self.vectors);
        let vectors = self.vectors.iter().take(self.shape.length);
        VoleR {
            a: Zeroizing::new(vectors.clone().map(|[a, _]| *a).collect()),
            c: Zeroizing::new(vectors.map(|[_, c]| *c).collect()),
        }
    }
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
