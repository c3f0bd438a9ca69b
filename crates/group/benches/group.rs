//! What each part of a batch costs, in microseconds of CPU time a point on one core. Prints one
//! JSON object a line; of each figure the least of many rounds, in which the backends take turns.
//!
//! * *scalar_mul*: a point in memory times a secret scalar, neither decoding nor encoding.
//! * *hash_to_group*: a text of eight bytes to a point, hashing included.
//! * *encode*: a point to its 32 bytes, as batches do it. *decode*: the reverse.
//!
//! A figure without a suffix is of AVX-512 IFMA and is missing without it. With the argument
//! `portable` the portable backend alone is measured: it is curve25519-dalek, which takes
//! vector instructions too unless it is built without them, as `bench/run group` does.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::time::Duration;

use incamera_group::{Backend, HashDomain, Part, Scalar};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 60;
/// Blocks of points a measurement.
const TIMES: usize = 8;
const PARTS: [(&str, Part); 4] = [
    ("scalar_mul_us", Part::Multiply),
    ("hash_to_group_us", Part::Hash),
    ("encode_us", Part::Encode),
    ("decode_us", Part::Decode),
];

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
    let domain = HashDomain::new(b"bench").unwrap();
    let scalar = Scalar::from_secret(b"bench", &[7; 32]);
    let portable = std::env::args().any(|argument| argument == "portable");
    let backends: Vec<_> = Backend::all()
        .filter(|backend| portable == (backend.to_string() == "portable"))
        .collect();
    for (name, part) in PARTS {
        let mut least = vec![f64::INFINITY; backends.len()];
        for _ in 0..ROUNDS {
            for (backend, least) in backends.iter().zip(&mut least) {
                let start = cpu_time();
                let points = backend.repeat(part, TIMES, &domain, &scalar);
                let nanoseconds = (cpu_time() - start).as_nanos() as f64;
                *least = least.min(nanoseconds / 1e3 / points as f64);
            }
        }
        for (backend, value) in backends.iter().zip(least) {
            let figure = format!("{name}{}", suffix(*backend));
            println!("{{\"figure\": \"{figure}\", \"value\": {value:.3}, \"unit\": \"us\"}}");
        }
    }
}
