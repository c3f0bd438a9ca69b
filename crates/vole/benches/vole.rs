//! What the parts of a run cost, in CPU time of one thread. Prints one JSON object a line; of
//! each figure the least of some rounds.
//!
//! * *code_receiver_ns*, *code_sender_ns*: the code, an element of the output, for a run of
//!   2^20 ids; the receiver encodes two vectors side by side.
//! * *ot_us*: a transfer, both sides. *pprf_ns*: a leaf, both sides.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Duration;

use incamera_group::Gf128;
use incamera_vole::parts;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 7;
/// Elements of the code's output at 2^20 ids, levels of a tree, transfers measured at once.
const ELEMENTS: usize = 1_382_400;
const DEPTH: u32 = 13;
const TRANSFERS: usize = 255;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
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
    let leaves = f64::from(1 << DEPTH);
    figure("pprf_ns", "ns", 1e9 / leaves, || parts::grow(DEPTH));
}
