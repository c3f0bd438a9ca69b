//! The function over vectors that a test makes for both sides.

mod attacks;
mod memory;
mod refusals;
mod runs;
mod vectors;

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use super::receiver::Receiving;
use super::sender::Sending;
use super::*;
use crate::prg::Random;
use crate::silent::{Elements, Factor, VoleR, VoleS};

pub(super) fn rng(seed: u64) -> Random {
    Box::new(ChaCha20Rng::seed_from_u64(seed))
}

pub(super) fn run(receiver_items: u64, sender_items: u64, reveals: Reveals) -> Run {
    Run {
        domain: Domain::from_digest([7; 32]),
        direction: Direction::First,
        reveals,
        security: Security::SemiHonest,
        receiver_items,
        sender_items,
    }
}

pub(super) fn hashed(domain: &Domain, ids: std::ops::Range<u64>) -> Vec<IdHash> {
    let hasher = domain.id_hasher();
    ids.map(|id| hasher.hash(&id.to_le_bytes())).collect()
}

/// Both halves of vectors, as a dealer whom both trust would draw them.
pub(super) fn dealt(length: usize, rng: &mut Random) -> (VoleR, VoleS) {
    let delta = Gf128::random(rng);
    let mut draw = || (0..length).map(|_| Gf128::random(rng)).collect::<Vec<_>>();
    let (b, c) = (draw(), draw());
    let a = b.iter().zip(&c).map(|(b, c)| *b + *c * delta).collect();
    let receiver = VoleR {
        a: Zeroizing::new(a),
        c: Zeroizing::new(c),
    };
    (
        receiver,
        VoleS {
            b: Zeroizing::new(b),
            delta: Factor::new(delta),
        },
    )
}

/// Both sides of a run, at its beginning, with vectors of a dealer.
pub(super) fn sides(
    run: Run,
    receiver_ids: std::ops::Range<u64>,
    sender_ids: std::ops::Range<u64>,
    seed: u64,
) -> (Receiver, Sender) {
    let mut rng = rng(seed);
    let (of_receiver, of_sender) = dealt(run.shape().unwrap().len(), &mut rng);
    let (theirs, ours) = (
        hashed(&run.domain, receiver_ids),
        hashed(&run.domain, sender_ids),
    );
    let receiver = Receiver::with_vectors(run, &theirs, of_receiver, self::rng(seed)).unwrap();
    (
        receiver,
        Sender::with_vectors(run, &ours, of_sender, rng).unwrap(),
    )
}

/// Both sides of a run, at its beginning.
pub(super) fn whole(
    run: Run,
    receiver_ids: std::ops::Range<u64>,
    sender_ids: std::ops::Range<u64>,
    seed: u64,
) -> (Receiver, Sender) {
    let mut rng = rng(seed);
    let (theirs, ours) = (
        hashed(&run.domain, receiver_ids),
        hashed(&run.domain, sender_ids),
    );
    let receiver = Receiver::new(run, &theirs, &mut rng).unwrap();
    (receiver, Sender::new(run, &ours, &mut rng).unwrap())
}
