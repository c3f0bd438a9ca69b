//! What the parts of a run cost, in CPU time over all threads. Prints one JSON object a line; of
//! each figure the least of some rounds.
//!
//! * *code_receiver_ns*, *code_sender_ns*: the code, an element of the output, for a run of
//!   2^20 ids; the receiver encodes two vectors side by side.
//! * *silent_receiver_s*, *silent_sender_s*: all of making the vectors of such a run.
//! * *ot_us*: a transfer, both sides. *pprf_ns*: a leaf, both sides.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::time::Duration;

use incamera_group::Gf128;
use incamera_vole::{SilentReceiver, SilentSender, VoleShape, parts};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 7;
/// Elements of the code's output at 2^20 ids, levels of a tree, transfers measured at once.
const ELEMENTS: usize = 1_382_400;
const DEPTH: u32 = 13;
const TRANSFERS: usize = 255;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

fn figure(name: &str, unit: &str, per: f64, mut work: impl FnMut()) {
    let round = || {
        let start = cpu_time();
        work();
        (cpu_time() - start).as_secs_f64()
    };
    let least = std::iter::repeat_with(round)
        .take(ROUNDS)
        .fold(f64::INFINITY, f64::min);
    let value = least * per;
    println!("{{\"figure\": \"{name}\", \"value\": {value:.2}, \"unit\": \"{unit}\"}}");
}

/// CPU seconds of the receiver and of the sender for a run of 2^20 ids.
fn silent(rng: &mut ChaCha20Rng) -> [f64; 2] {
    let (mut spent, mut last) = ([0.0; 2], cpu_time());
    let mut to = |side: usize| {
        let now = cpu_time();
        spent[side] += (now - last).as_secs_f64();
        last = now;
    };
    let shape = VoleShape::for_length(ELEMENTS);
    let (sender, message) = SilentSender::new([0; 32], shape, rng);
    to(1);
    let receiver = SilentReceiver::new([0; 32], shape, rng);
    let (receiver, message) = receiver.opened(&message, rng).unwrap();
    to(0);
    let (sender, message) = sender.corrected(&message, rng).unwrap();
    to(1);
    let (receiver, message) = receiver.challenged(&message).unwrap();
    to(0);
    let (sender, message) = sender.answered(&message, rng).unwrap();
    to(1);
    let (receiver, message) = receiver.grown(&message).unwrap();
    to(0);
    let (sender, message) = sender.challenged(&message).unwrap();
    to(1);
    let receiver = receiver.answered(&message).unwrap();
    to(0);
    drop((sender, receiver));
    spent
}

fn main() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut element = || Gf128::random(&mut rng);
    let mut vector: Vec<_> = (0..2 * ELEMENTS).map(|_| [element(), element()]).collect();
    let per_element = 1e9 / ELEMENTS as f64;
    figure("code_receiver_ns", "ns", per_element, || {
        parts::encode(&mut vector)
    });
    let mut vector: Vec<_> = vector.into_iter().map(|[one, _]| [one]).collect();
    figure("code_sender_ns", "ns", per_element, || {
        parts::encode(&mut vector)
    });
    figure("ot_us", "us", 1e6 / TRANSFERS as f64, || {
        parts::Transfer::new(TRANSFERS, &mut rng).finish().unwrap();
    });
    let spent: Vec<_> = (0..3).map(|_| silent(&mut rng)).collect();
    for (side, name) in ["silent_receiver_s", "silent_sender_s"].iter().enumerate() {
        let least = spent
            .iter()
            .map(|spent| spent[side])
            .fold(f64::INFINITY, f64::min);
        println!("{{\"figure\": \"{name}\", \"value\": {least:.3}, \"unit\": \"s\"}}");
    }
    let leaves = f64::from(1 << DEPTH);
    figure("pprf_ns", "ns", 1e9 / leaves, || parts::grow(DEPTH));
}
