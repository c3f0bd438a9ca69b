//! Whole runs in one process, honest and not.

use super::*;
use incamera_group::PointFault;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

pub(super) const CONTEXT: [u8; 32] = [2; 32];

pub(super) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn fit(receiver: &VoleR, sender: &VoleS) -> bool {
    let terms = receiver.a.iter().zip(&*receiver.c).zip(&*sender.b);
    terms
        .into_iter()
        .all(|((a, c), b)| *a == *b + *c * *sender.delta)
}

/// A run in which `meddle` sees every message with its step, and may change it.
fn run_with(
    length: usize,
    delta: Gf128,
    mut meddle: impl FnMut(usize, &mut Vec<u8>),
) -> Result<(VoleR, VoleS), PeerFault> {
    let shape = VoleShape::for_length(length);
    let mut rng = rng(1);
    let mut pass = |step: usize, mut message: Vec<u8>| {
        assert_eq!(message.len(), shape.message_bytes()[step - 1], "{step}");
        meddle(step, &mut message);
        message
    };
    let receiver = SilentReceiver::new(CONTEXT, shape, &mut rng);
    let (sender, message) = SilentSender::with_delta(CONTEXT, shape, delta, &mut rng);
    let (receiver, message) = receiver.opened(&pass(1, message), &mut rng)?;
    let (sender, message) = sender.corrected(&pass(2, message), &mut rng)?;
    let (receiver, message) = receiver.challenged(&pass(3, message))?;
    let (sender, message) = sender.answered(&pass(4, message), &mut rng)?;
    let (receiver, message) = receiver.grown(&pass(5, message))?;
    let (sender, message) = sender.challenged(&pass(6, message))?;
    Ok((receiver.answered(&pass(7, message))?, sender))
}

pub(super) fn some_delta() -> Gf128 {
    Gf128::random(&mut rng(2))
}

/// Both sides after step 2, to go on from many times.
fn after_corrections() -> (CorrectedReceiver, CheckingSender) {
    let shape = VoleShape::for_length(1);
    let mut rng = rng(3);
    let receiver = SilentReceiver::new(CONTEXT, shape, &mut rng);
    let (sender, message) = SilentSender::new(CONTEXT, shape, &mut rng);
    let (receiver, message) = receiver.opened(&message, &mut rng).unwrap();
    let (sender, _) = sender.corrected(&message, &mut rng).unwrap();
    (receiver, sender)
}

#[test]
fn shapes_cut_the_code_into_blocks() {
    for (length, code, depth) in [
        (0, 16_400, 7),
        (1, 16_400, 7),
        (16_400, 16_400, 7),
        (16_401, 16_600, 7),
        (25_600, 25_600, 7),
        (25_601, 25_800, 8),
        (1_382_400, 1_382_400, 13),
    ] {
        let shape = VoleShape::for_length(length);
        assert_eq!(NOISE * shape.block, 2 * code, "{length}");
        assert_eq!(shape.depth, depth, "{length}");
        assert!(shape.block <= 1 << depth && shape.block > 1 << (depth - 1));
    }
    let bytes = VoleShape::for_length(1_382_400).message_bytes();
    assert_eq!(bytes, [8_224, 1_156_128, 16, 32, 172_800, 16, 32]);
}

#[test]
fn the_vectors_fit_whatever_their_length() {
    for length in [0, 1, 331, 16_400, 16_401, 20_011, 25_601, 65_536] {
        let (receiver, sender) = run_with(length, some_delta(), |_, _| ()).unwrap();
        for vector in [&receiver.a, &receiver.c, &sender.b] {
            assert_eq!(vector.len(), length);
            let mut bytes: Vec<_> = vector.iter().map(|e| e.bits()).collect();
            bytes.sort_unstable();
            bytes.dedup();
            assert_eq!(bytes.len(), length, "no element twice");
        }
        assert!(fit(&receiver, &sender), "{length}");
    }
}

/// The sender may take any factor: it is its own.
#[test]
fn chosen_factors_work() {
    for delta in [Gf128::ZERO, Gf128::ONE, Gf128::from_bits(u128::MAX)] {
        let (receiver, sender) = run_with(50, delta, |_, _| ()).unwrap();
        assert!(fit(&receiver, &sender));
        assert!(receiver.c.iter().all(|c| *c != Gf128::ZERO));
    }
}

#[test]
fn factors_are_drawn_anew() {
    let shape = VoleShape::for_length(1);
    let draw = |seed| *SilentSender::new(CONTEXT, shape, &mut rng(seed)).0.delta;
    assert!(draw(1) != draw(2));
}

#[test]
fn other_lengths_are_refused_in_every_step() {
    for step in 1..=7 {
        let changed = run_with(1, some_delta(), |at, message| {
            if at == step {
                // One less or one more.
                message.resize(message.len() - 1 + 2 * (step % 2), 0);
            }
        });
        let error = changed.err().unwrap();
        assert!(matches!(error, PeerFault::Length { .. }), "{step}: {error}");
    }
}

/// Whether a run with one bit of one message changed ends in a refusal. If it does not, the
/// vectors still fit: the bit was one that nobody reads.
fn caught(step: usize, bit: usize) -> bool {
    let changed = run_with(1, some_delta(), |at, message| {
        if at == step {
            message[bit / 8] ^= 1 << (bit % 8);
        }
    });
    match changed {
        Err(_) => true,
        Ok((receiver, sender)) => {
            assert!(fit(&receiver, &sender), "{step} {bit}");
            false
        }
    }
}

#[test]
fn a_changed_bit_of_the_points_is_caught() {
    let own = 8 * BITS * ot::CHOICE_BYTES;
    for bit in [0, 255, 256, 511, own / 2 + 3, own - 1, own, own + 255] {
        assert!(caught(1, bit), "{bit}");
    }
    let bytes = ot::BASE_BYTES + VoleShape::for_length(1).transfers() * ot::CHOICE_BYTES;
    for bit in [0, 255, 256, 511, 512, 4 * bytes + 5, 8 * bytes - 1] {
        assert!(caught(2, bit), "{bit}");
    }
}

/// Of the corrections those count at whose bit the factor has a one.
#[test]
fn a_changed_bit_of_the_corrections_is_caught() {
    let shape = VoleShape::for_length(1);
    let first = 8 * (ot::BASE_BYTES + shape.transfers() * ot::CHOICE_BYTES);
    for row in [0, 1, 2, 64, 126, 127] {
        let counts = some_delta().bits() >> row & 1 == 1;
        let bit = first + 128 * (row * BASE + 3 * row);
        assert_eq!(caught(2, bit + row), counts, "{row}");
    }
}

/// Every bit of the messages that are short, and some of the trees'.
#[test]
fn a_changed_bit_of_later_messages_is_caught() {
    let (receiver, sender) = after_corrections();
    let go = |step: usize, bit: usize| {
        let flip = |at: usize, message: &mut Vec<u8>| {
            if at == step {
                message[bit / 8] ^= 1 << (bit % 8);
            }
        };
        let mut message = sender.rho.to_bytes().to_vec();
        flip(3, &mut message);
        let (receiver, mut message) = receiver.clone().challenged(&message)?;
        flip(4, &mut message);
        let (sender, mut message) = sender.clone().answered(&message, &mut rng(4))?;
        flip(5, &mut message);
        let (receiver, mut message) = receiver.grown(&message)?;
        flip(6, &mut message);
        let (sender, mut message) = sender.challenged(&message)?;
        flip(7, &mut message);
        let receiver = receiver.answered(&message)?;
        assert!(fit(&receiver, &sender), "{step} {bit}");
        Ok(())
    };
    for bit in 0..128 {
        assert_eq!(go(3, bit), Err(PeerFault::Corrections), "{bit}");
    }
    for bit in 0..256 {
        assert_eq!(go(4, bit), Err(PeerFault::Corrections), "{bit}");
    }
    for bit in (0..128).step_by(13) {
        assert_eq!(go(6, bit), Err(PeerFault::Sums), "{bit}");
    }
    for bit in (0..256).step_by(17) {
        assert_eq!(go(7, bit), Err(PeerFault::Sums), "{bit}");
    }
    // Of a level's two sums the receiver reads one; `d` always.
    let shape = receiver.shape;
    let tree = 8 * (shape.depth as usize * LEVEL_BYTES + 16);
    for index in [0, 1, 250, 399] {
        for level in 0..shape.depth as usize {
            let place = receiver.noise.places[index];
            for side in [0, 1] {
                let bit = index * tree + 256 * level + 128 * side + 5 * index % 128;
                let read = place >> level & 1 != side;
                let expected = if read { Err(PeerFault::Sums) } else { Ok(()) };
                assert_eq!(go(5, bit), expected, "{index} {level} {side}");
            }
        }
        let last = (index + 1) * tree - 1;
        assert_eq!(go(5, last), Err(PeerFault::Sums), "{index}");
    }
    assert_eq!(go(8, 0), Ok(()));
}

#[test]
fn malformed_points_are_refused() {
    for (step, at) in [(1, 0), (1, BITS * 64), (2, 0), (2, 32)] {
        for (byte, fault) in [(0, PointFault::Identity), (0xff, PointFault::Malformed)] {
            let changed = run_with(1, some_delta(), |now, message| {
                if now == step {
                    message[at..at + 32].fill(byte);
                }
            });
            let error = changed.err().unwrap();
            assert_eq!(error, PeerFault::Point { index: 0, fault }, "{step} {at}");
        }
    }
    for (step, at) in [(1, 0), (2, 32)] {
        let changed = run_with(1, some_delta(), |now, message| {
            if now == step {
                message.copy_within(at..at + 32, at + 32);
            }
        });
        let error = changed.err().unwrap();
        assert_eq!(error, PeerFault::SamePoints { index: 0 }, "{step}");
    }
}

/// A run under another context, as of a replayed message, is refused.
#[test]
fn runs_do_not_mix() {
    let shape = VoleShape::for_length(1);
    let mut rng = rng(5);
    let receiver = SilentReceiver::new([3; 32], shape, &mut rng);
    let (sender, message) = SilentSender::new(CONTEXT, shape, &mut rng);
    let (receiver, message) = receiver.opened(&message, &mut rng).unwrap();
    let (sender, message) = sender.corrected(&message, &mut rng).unwrap();
    let (_, message) = receiver.challenged(&message).unwrap();
    let error = sender.answered(&message, &mut rng).err().unwrap();
    assert_eq!(error, PeerFault::Corrections);
}

/// What check 2 compares is of its run: one that is played again proves nothing.
#[test]
fn sums_are_compared_under_the_run() {
    let sum = some_delta();
    let digests = [CONTEXT, [3; 32]].map(|context| check_digest(&context, sum));
    assert_ne!(digests[0], digests[1]);
}

/// A path that ends beside the block's places, where the tree has leaves and the vector has
/// none, gives the receiver a vector without noise there, and not the sender's element.
#[test]
fn receiver_leaves_the_block() {
    let shape = VoleShape::for_length(1);
    let mut rng = rng(6);
    let mut receiver = SilentReceiver::new(CONTEXT, shape, &mut rng);
    let outside = shape.block;
    assert!(outside < 1 << shape.depth);
    receiver.noise.places[0] = outside;
    let (sender, message) = SilentSender::new(CONTEXT, shape, &mut rng);
    let (receiver, message) = receiver.opened(&message, &mut rng).unwrap();
    let (sender, message) = sender.corrected(&message, &mut rng).unwrap();
    let (receiver, message) = receiver.challenged(&message).unwrap();
    let b = sender.b[0];
    let (_, message) = sender.answered(&message, &mut rng).unwrap();
    let mut grower = Grower::new(&CONTEXT, shape.depth);
    let receiver = receiver.0;
    let levels = shape.depth as usize;
    let (sums, d) = message[..levels * LEVEL_BYTES + 16].split_at(levels * LEVEL_BYTES);
    grower.receive(outside, &receiver.keys[..levels], sums);
    // Every leaf of the block is known, and still their sum is not `d` less `b`.
    assert!(
        grower.leaves()[..outside]
            .iter()
            .all(|leaf| *leaf != [0; 16])
    );
    let d = Gf128::from_bytes(d.try_into().unwrap());
    let of_all_known = Gf128::from_bytes(pprf::sum(grower.leaves()));
    let of_block = Gf128::from_bytes(pprf::sum(&grower.leaves()[..outside]));
    assert!(d + of_all_known != b && d + of_block != b);
}
