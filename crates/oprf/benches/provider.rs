//! How many blinded points a provider evaluates and proves in a second of CPU time of one core.
//! Prints one JSON object a line; of each figure the best of some rounds, in which the backends
//! take turns. Suffixes and the argument `portable` are those of `incamera-group`'s benchmark.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Duration;

use incamera_group::{Backend, Scalar};
use incamera_oprf::client::Blinding;
use incamera_oprf::dleq::Context;
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::Evaluator;
use incamera_oprf::shares::Share;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 10;
/// Points under one proof, as `match run` asks.
const BATCH: u64 = 16_384;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

fn suffix(backend: Backend) -> String {
    match backend.to_string().as_str() {
        "ifma" => String::new(),
        other => format!("_{other}"),
    }
}

fn main() {
    let portable = std::env::args().any(|argument| argument == "portable");
    let backends = Backend::all().filter(|b| portable == (b.to_string() == "portable"));
    let backends: Vec<_> = backends.collect();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let texts: Vec<_> = (0..BATCH).map(u64::to_le_bytes).collect();
    let blinded = Blinding::new(Backend::best(), Scalar::random(&mut rng)).blind(&texts);
    // As in any session of 2 of 3: the share, times what it counts in its set.
    let set = Places::new([1, 3].map(|place| Place::new(place).unwrap())).unwrap();
    let share = Share::new(Place::FIRST, Scalar::random(&mut rng));
    let mut best = vec![0.0_f64; backends.len()];
    for _ in 0..ROUNDS {
        for (backend, best) in backends.iter().zip(&mut best) {
            let evaluator = Evaluator::new(*backend, &share, &set).unwrap();
            let context = Context {
                session: &[7; 32],
                role: "bench",
                first: 0,
            };
            let start = cpu_time();
            let answer = evaluator.evaluate(context, &blinded, &mut rng);
            let seconds = (cpu_time() - start).as_secs_f64();
            *best = best.max(answer.unwrap().points.len() as f64 / seconds);
        }
    }
    for (backend, value) in backends.iter().zip(best) {
        let figure = format!("provider_evaluations_per_s{}", suffix(*backend));
        println!("{{\"figure\": \"{figure}\", \"value\": {value:.0}, \"unit\": \"1/s\"}}");
    }
}
