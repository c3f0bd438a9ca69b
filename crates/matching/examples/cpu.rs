//! CPU time of a whole match of both parties in one process, from raw texts to crosswalks.
//!
//! `cargo run --release -p incamera-matching --example cpu [IDS]` prints one JSON object a
//! line; the processor time is the process's own, from `/proc/self/stat`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used
)]

use std::time::Instant;

use incamera_matching::{MatchingSecret, Method, Reveals, Run, Terms, ids};
use incamera_types::{AgreementDigest, AgreementId, Digest, IdKind, IdWriting, MatchingEpoch};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Clock ticks a second, the same on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;

fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / TICKS_PER_S
}

fn start(me: &str, peer: &str, key: u8, first: usize, count: usize) -> Run {
    let kind: IdKind = "email".parse().unwrap();
    let rows = (first..first + count).map(|n| format!("Person{n:06}@mail.example "));
    let normaliser = ids::Normaliser::of(&kind, &IdWriting::default()).unwrap();
    let prepared = ids::collect(rows, &normaliser);
    let terms = Terms {
        agreement_id: AgreementId::from_bytes([1; 32]),
        agreement_digest: AgreementDigest::from_bytes([1; 32]),
        epoch: MatchingEpoch(1),
        id_kind: kind,
        method: Method::Commutative,
        reveals: Reveals::Nothing,
        max_ids: count as u64,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(key));
    let secret = MatchingSecret::from_key(&[key; 32]);
    let (me, peer) = (me.parse().unwrap(), peer.parse().unwrap());
    Run::new(terms, me, peer, &secret, prepared.ids, &[], &mut rng).unwrap()
}

fn figure(name: &str, value: f64) {
    println!(r#"{{"figure": "{name}", "value": {value:.2}, "unit": "s"}}"#);
}

fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(1 << 16, |n| n.parse().unwrap());
    let (wall, cpu) = (Instant::now(), cpu_s());
    let mut a = start("mailer", "shop", 1, 0, count);
    let mut b = start("shop", "mailer", 2, count / 10, count);
    while !(a.is_finished() && b.is_finished()) {
        while let Some(message) = a.outgoing() {
            b.incoming(message).unwrap();
        }
        while let Some(message) = b.outgoing() {
            a.incoming(message).unwrap();
        }
    }
    let (a, b) = (a.finish().unwrap(), b.finish().unwrap());
    assert_eq!((a.len(), b.len()), (count, count));
    figure("matching_cpu_s", cpu_s() - cpu);
    figure("matching_wall_s", wall.elapsed().as_secs_f64());
}
