//! Oblivious transfer of random keys: the sender gets pairs, the chooser one of each.
//!
//! # Messages
//! `G` is the generator of ristretto255, `H` hashes to the group. For transfer `i` the chooser
//! with choice `s` draws `b` and a random point `r_(1-s)`, and computes
//! `r_s = b G - H(i, s, r_(1-s))`. The sender draws one `a` for the batch.
//!
//! | from → to        | message                                | size             |
//! |------------------|----------------------------------------|------------------|
//! | sender → chooser | `A = a G`                              | 32 B             |
//! | chooser → sender | `r_0`, `r_1` of each transfer           | 64 B × transfers |
//!
//! Neither message hangs on the other, so that they may cross. Key `j` of transfer `i` is a
//! hash of `a (r_j + H(i, j, r_(1-j)))`, which for `j = s` is `b A`, under everything that both
//! sides saw of the transfer.
//!
//! # Claim
//! *Endemic* security (in the words of the reference): a malicious side may influence the keys
//! it gets itself; a sender learns nothing of the choices, whose points are uniform either way,
//! and a chooser has one key of a pair at most under the computational Diffie-Hellman
//! assumption, `H` and the hash of keys being random oracles. That is enough here: the keys are
//! pads and seeds of a two-party protocol whose caller checks what is made of them.
//!
//! The reference was read in its abstract, and libOTe's implementation in its source. The
//! theorem for one `a` over a batch was not read: the index in `H` and all public values in the
//! hash of the keys keep transfers apart, and `a` is used for nothing else. There is no
//! extension of transfers: few thousands are needed (decision 0082).
//!
//! Exponents are never zero, which is a distance of 2^-252 from the points of the reference.
//!
//! Refused: points that do not decode, the identity, the same point twice. Points of small
//! order do not exist in the group.
//!
//! # Time and memory
//! The choices are secret: both points are computed and placed without a branch on them. Exponents,
//! choices, keys and shared points are wiped. Not wiped: what the arithmetic has on the stack in
//! between and, where points are not worked on in lanes, lists of the library's own.
//!
//! # Reference
//! Masny and Rindal, *Endemic Oblivious Transfer* (CCS 2019, eprint 2019/706).

use incamera_group::{
    EncodedPoint, HashDomain, Point, PointError, Scalar, add_hash_and_multiply_batch, hash_batch,
    multiply_one_batch, multiply_one_less_hash_batch,
};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _};
use zeroize::Zeroizing;

use crate::fault::{PeerFault, array, of_length};
use crate::prg::Block;

/// The domain of `H`.
const HASH_LABEL: &[u8; 18] = b"incamera-vole-ot/1";
/// Starts the hash that a key is of.
const KEY_LABEL: &str = "incamera-vole-ot-key/1";
/// The domain of points whose logarithm nobody knows.
const RANDOM_LABEL: &[u8; 25] = b"incamera-vole-ot-random/1";
/// Bytes of the sender's message.
pub(crate) const BASE_BYTES: usize = EncodedPoint::BYTES;
/// Bytes of the chooser's message for one transfer.
pub(crate) const CHOICE_BYTES: usize = 2 * EncodedPoint::BYTES;
/// Bytes of what `H` hashes: context, index, which of the two, the other point.
const TEXT_BYTES: usize = 32 + 4 + 1 + 32;

/// A batch of transfers, apart from every other batch and run.
#[derive(Clone)]
pub(crate) struct Transfers {
    context: [u8; 32],
    hash: HashDomain,
    random: HashDomain,
}

impl Transfers {
    /// The batch of a number in the run of a context.
    pub(crate) fn new(context: &[u8; 32], batch: u8) -> Self {
        let context = Sha256::new()
            .chain_update(HASH_LABEL)
            .chain_update(context)
            .chain_update([batch]);
        Self {
            context: context.finalize().into(),
            hash: HashDomain::of_label(HASH_LABEL),
            random: HashDomain::of_label(RANDOM_LABEL),
        }
    }

    /// What `H` hashes for key `which` of a transfer, given the other key's point.
    fn text(&self, index: u32, which: u8, other: &EncodedPoint) -> [u8; TEXT_BYTES] {
        let mut text = [0; TEXT_BYTES];
        let parts = [
            self.context.as_slice(),
            &index.to_le_bytes(),
            &[which],
            other.as_bytes(),
        ];
        let bytes = parts.into_iter().flatten();
        text.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        text
    }

    /// The key that is made of a point which both sides reach.
    fn key(
        &self,
        base: &EncodedPoint,
        pair: &[EncodedPoint; 2],
        (index, which): (u32, u8),
        point: &EncodedPoint,
    ) -> Block {
        let [first, second] = pair;
        let hash = Sha256::new()
            .chain_update(KEY_LABEL)
            .chain_update(self.context)
            .chain_update(base)
            .chain_update(first)
            .chain_update(second)
            .chain_update(index.to_le_bytes())
            .chain_update([which])
            .chain_update(point);
        let digest = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// The side that chooses, waiting for the sender's point.
pub(crate) struct Chooser {
    transfers: Transfers,
    /// The choices, wiped as the secrets are.
    choices: Zeroizing<Vec<u8>>,
    secrets: Vec<Scalar>,
    pairs: Vec<[EncodedPoint; 2]>,
}

/// What a chooser draws.
#[derive(Default)]
struct Drawn {
    secrets: Vec<Scalar>,
    /// Of the points without known logarithm.
    seeds: Zeroizing<Vec<[u8; 64]>>,
}

impl Chooser {
    /// Makes the points of each choice; the second is the message.
    pub(crate) fn new(
        transfers: Transfers,
        choices: impl Iterator<Item = Choice>,
        rng: &mut impl CryptoRng,
    ) -> (Self, Vec<u8>) {
        let choices = Zeroizing::new(choices.map(|choice| choice.unwrap_u8()).collect::<Vec<_>>());
        let mut drawn = Drawn {
            secrets: Vec::with_capacity(choices.len()),
            seeds: Zeroizing::new(vec![[0; 64]; choices.len()]),
        };
        for seed in drawn.seeds.iter_mut() {
            drawn.secrets.push(Scalar::random(rng));
            rng.fill_bytes(seed);
        }
        Self::of(transfers, choices, drawn)
    }

    fn of(transfers: Transfers, choices: Zeroizing<Vec<u8>>, drawn: Drawn) -> (Self, Vec<u8>) {
        let Drawn { secrets, seeds } = drawn;
        let others = hash_batch(&transfers.random, seeds.as_slice());
        let both = (0..).zip(choices.iter()).zip(&others);
        let texts = both.map(|((index, which), other)| transfers.text(index, *which, other));
        let asked: Vec<_> = secrets.iter().zip(texts).collect();
        let own = multiply_one_less_hash_batch(&Point::base(), &transfers.hash, &asked);
        let placed = choices.iter().zip(&own).zip(&others);
        let placed =
            placed.map(|((which, own), other)| placed_by(Choice::from(*which), own, other));
        let pairs: Vec<_> = placed.collect();
        let message = EncodedPoint::join(pairs.as_flattened());
        let chooser = Self {
            transfers,
            choices,
            secrets,
            pairs,
        };
        (chooser, message)
    }

    /// The chosen key of each transfer, from the sender's message.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Point`].
    pub(crate) fn keys(self, base: &[u8]) -> Result<Zeroizing<Vec<Block>>, PeerFault> {
        let base = EncodedPoint::from_bytes(array("base", base)?);
        let point = base.decode();
        let point = point.map_err(|fault| PeerFault::Point { index: 0, fault })?;
        let shared = Zeroizing::new(multiply_one_batch(&point, &self.secrets));
        let chosen = (0..)
            .zip(self.choices.iter())
            .zip(&self.pairs)
            .zip(shared.iter());
        let keys = chosen.map(|(((index, which), pair), point)| {
            self.transfers.key(&base, pair, (index, *which), point)
        });
        Ok(Zeroizing::new(keys.collect()))
    }
}

/// `own` at the place of the choice, `other` at the other, without a branch on it.
fn placed_by(choice: Choice, own: &EncodedPoint, other: &EncodedPoint) -> [EncodedPoint; 2] {
    let pick = |a: &EncodedPoint, b: &EncodedPoint| {
        let mut bytes = *a.as_bytes();
        for (to, from) in bytes.iter_mut().zip(b.as_bytes()) {
            to.conditional_assign(from, choice);
        }
        EncodedPoint::from_bytes(bytes)
    };
    [pick(own, other), pick(other, own)]
}

/// The side that gets both keys of each pair, waiting for the chooser's points.
pub(crate) struct PairSender {
    transfers: Transfers,
    /// In one place while states are handed on.
    secret: Box<Scalar>,
    base: EncodedPoint,
}

impl PairSender {
    /// Draws the batch's exponent.
    pub(crate) fn new(transfers: Transfers, rng: &mut impl CryptoRng) -> Self {
        Self::of(transfers, Scalar::random(rng))
    }

    fn of(transfers: Transfers, secret: Scalar) -> Self {
        let base = Point::base_multiply(&secret).encode();
        Self {
            transfers,
            secret: Box::new(secret),
            base,
        }
    }

    /// The message.
    pub(crate) fn message(&self) -> &[u8; BASE_BYTES] {
        self.base.as_bytes()
    }

    /// The keys of `count` transfers, from the chooser's message.
    ///
    /// # Errors
    /// [`PeerFault::Length`], [`PeerFault::Point`], [`PeerFault::SamePoints`].
    pub(crate) fn keys(
        self,
        count: usize,
        choices: &[u8],
    ) -> Result<Zeroizing<Vec<[Block; 2]>>, PeerFault> {
        let choices = of_length("choices", choices, count * CHOICE_BYTES)?;
        let points = EncodedPoint::split(choices).unwrap_or_default();
        let (pairs, _) = points.as_chunks::<2>();
        if let Some(index) = pairs.iter().position(|[a, b]| a == b) {
            return Err(PeerFault::SamePoints { index });
        }
        let shared = self.shared(pairs)?;
        let (shared, _) = shared.as_chunks::<2>();
        let keys = (0..).zip(pairs).zip(shared).map(|((index, pair), shared)| {
            let mut keys = [[0; 16]; 2];
            for ((which, point), key) in (0..).zip(shared).zip(&mut keys) {
                *key = self.transfers.key(&self.base, pair, (index, which), point);
            }
            keys
        });
        Ok(Zeroizing::new(keys.collect()))
    }

    /// `a (r_j + H(i, j, r_(1-j)))` for both points of each pair, one after the other.
    fn shared(
        &self,
        pairs: &[[EncodedPoint; 2]],
    ) -> Result<Zeroizing<Vec<EncodedPoint>>, PeerFault> {
        let texts = (0..).zip(pairs).flat_map(|(index, [first, second])| {
            [
                (*first, self.transfers.text(index, 0, second)),
                (*second, self.transfers.text(index, 1, first)),
            ]
        });
        let texts: Vec<_> = texts.collect();
        let done = add_hash_and_multiply_batch(&self.transfers.hash, &texts, &self.secret);
        done.map(Zeroizing::new)
            .map_err(|PointError { index, fault }| PeerFault::Point { index, fault })
    }
}

#[cfg(test)]
mod tests;
