//! Dishonest sides: what each check is for, seen to fail without it.

use super::tests::{CONTEXT, rng, some_delta};
use super::*;
use rand_core::Rng as _;

/// Bits of `delta` that the receiver aims at.
const BITS_AIMED_AT: usize = 8;

/// A run up to step 2 in which the receiver adds an error of its own to the last but one
/// element for each of the bits it aims at, and the errors.
fn split() -> (CorrectedReceiver, CheckingSender, Vec<Gf128>) {
    let shape = VoleShape::for_length(1);
    let mut rng = rng(20);
    let receiver = SilentReceiver::new(CONTEXT, shape, &mut rng);
    let (sender, message) = SilentSender::with_delta(CONTEXT, shape, some_delta(), &mut rng);
    let (receiver, mut message) = receiver.opened(&message, &mut rng).unwrap();
    let errors: Vec<_> = (0..BITS_AIMED_AT)
        .map(|_| Gf128::random(&mut rng))
        .collect();
    let first = message.len() - base::correction_bytes(BASE);
    for (row, error) in errors.iter().enumerate() {
        let place = first + 16 * (row * BASE + NOISE);
        let element = message[place..][..16].try_into().unwrap();
        let wrong = Gf128::from_bytes(element) + *error;
        message[place..][..16].copy_from_slice(&wrong.to_bytes());
    }
    let (sender, _) = sender.corrected(&message, &mut rng).unwrap();
    (receiver, sender, errors)
}

/// The sum of the errors at the bits of a guess.
fn of_guess(errors: &[Gf128], guess: usize) -> Gf128 {
    let errors = errors.iter().enumerate();
    let set = errors.filter(|(bit, _)| guess >> bit & 1 == 1);
    set.fold(Gf128::ZERO, |sum, (_, error)| sum + *error)
}

/// Different vectors for different bits: with check 1 the receiver passes by a right guess of
/// all of them alone; without it step 7 tells it the bits for 256 hashes.
#[test]
fn receiver_splits_delta() {
    let (receiver, sender, errors) = split();
    let bits = (some_delta().bits() & 0xff) as usize;
    assert!(bits.count_ones() > 1, "more than one bit to guess");
    let rho = sender.rho;
    // Where element `NOISE` stands in the weighted sum.
    let weight = power_of(rho, NOISE as u64 + 1);
    let (receiver, message) = receiver.challenged(&rho.to_bytes()).unwrap();
    let passed = |guess: &usize| {
        let mut answer = message.clone();
        let y = Gf128::from_bytes(answer[16..].try_into().unwrap());
        let y = y + weight * of_guess(&errors, *guess);
        answer[16..].copy_from_slice(&y.to_bytes());
        match sender.clone().answered(&answer, &mut rng(21)) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, PeerFault::Corrections);
                false
            }
        }
    };
    let passed: Vec<_> = (0..1 << BITS_AIMED_AT).filter(passed).collect();
    assert_eq!(passed, [bits]);
    // The control: no check 1.
    let (sender, message) = sender.grow(&mut rng(22));
    let (receiver, message) = receiver.grown(&message).unwrap();
    let (_, message) = sender.challenged(&message).unwrap();
    let told = |guess: &usize| {
        let sum = *receiver.sum + of_guess(&errors, *guess);
        check_digest(&CONTEXT, sum).as_slice() == message
    };
    let told: Vec<_> = (0..1 << BITS_AIMED_AT).filter(told).collect();
    assert_eq!(told, [bits]);
}

/// Chance alone decides whether a receiver that splits `delta` passes: 2^-8 for eight bits.
#[test]
fn receiver_is_caught_but_for_a_lucky_guess() {
    let (elements, runs) = (3, 4_000);
    let mut rng = rng(23);
    let mut passed = 0;
    for _ in 0..runs {
        let (delta, rho) = (Gf128::random(&mut rng), Gf128::random(&mut rng));
        let c: Vec<_> = (0..elements).map(|_| Gf128::random(&mut rng)).collect();
        let mut pairs = [[[0; 16]; 2]; BITS];
        pairs
            .as_flattened_mut()
            .iter_mut()
            .for_each(|key| rng.fill_bytes(key));
        let chosen = pairs.iter().enumerate();
        let chosen = chosen.map(|(i, pair)| pair[(delta.bits() >> i & 1) as usize]);
        let chosen: Vec<_> = chosen.collect();
        let mut message = Vec::new();
        let a = base::receive(&pairs, &c, &mut message);
        for row in 0..BITS_AIMED_AT {
            message[16 * row * elements] ^= 1 << row;
        }
        let b = base::send(&chosen, delta, elements, &message).unwrap();
        let answer = base::answer(rho, &c, &a);
        passed += usize::from(base::check(rho, &b, delta, &answer).is_ok());
    }
    // Fifteen and a half are expected; five standard deviations.
    assert!((1..=36).contains(&passed), "{passed}");
}

/// A sender that spoils one tree's `d` and answers check 2 for a guess of the place: only the
/// right one passes, and a receiver that refuses has given nothing of its vectors away.
#[test]
fn sender_guesses_noise() {
    let shape = VoleShape::for_length(1);
    let mut rng = rng(24);
    let receiver = SilentReceiver::new(CONTEXT, shape, &mut rng);
    let (sender, message) = SilentSender::new(CONTEXT, shape, &mut rng);
    let (receiver, message) = receiver.opened(&message, &mut rng).unwrap();
    let (sender, message) = sender.corrected(&message, &mut rng).unwrap();
    let tree = 5;
    let place = receiver.noise.places[tree];
    let (receiver, message) = receiver.challenged(&message).unwrap();
    let (sender, mut message) = sender.answered(&message, &mut rng).unwrap();
    let error = Gf128::random(&mut rng);
    let at = (tree + 1) * (shape.depth as usize * LEVEL_BYTES + 16) - 16;
    let d = Gf128::from_bytes(message[at..][..16].try_into().unwrap()) + error;
    message[at..][..16].copy_from_slice(&d.to_bytes());
    let (receiver, message) = receiver.grown(&message).unwrap();
    let chi = Gf128::from_bytes(message.as_slice().try_into().unwrap());
    let sum = power_sum(chi, sender.v.as_flattened(), 0) + *sender.sum;
    let passed = |guess: &usize| {
        let weight = power_of(chi, (tree * shape.block + guess) as u64 + 1);
        let answer = check_digest(&CONTEXT, sum + weight * error);
        match receiver.clone().answered(&answer) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, PeerFault::Sums);
                false
            }
        }
    };
    let passed: Vec<_> = (0..shape.block).filter(passed).collect();
    assert_eq!(passed, [place]);
    // The control: no check 2. The vectors differ by the error where the place is, and the
    // sender would see in what follows whether the guess of a place was right.
    let vectors = receiver.encode();
    let (sender, _) = sender.challenged(&chi.to_bytes()).unwrap();
    let fits = vectors.a[0] == sender.b[0] + vectors.c[0] * *sender.delta;
    let mut spoilt = vec![[Gf128::ZERO]; 400 * shape.block];
    spoilt[tree * shape.block + place] = [error];
    code::encode(&CONTEXT, &mut spoilt);
    assert_eq!(fits, spoilt[0][0] == Gf128::ZERO);
    assert!(vectors.a[0] == sender.b[0] + vectors.c[0] * *sender.delta + spoilt[0][0]);
}
