//! What one direction of a run costs, in CPU time. Prints one JSON object a line.
//!
//! * *gf_mul_ns*: a product in a loop of [`mul_add`]. *id_hash_ns*: an id of 24 bytes to its row
//!   and value. *bins_ns*, *okvs_encode_ns*, *okvs_decode_ns*: a row, of 2^20. Of each the least
//!   of some rounds.
//! * *receiver_cpu_s*, *sender_cpu_s*: a side of a run of 2^20 ids each, half in common, matches
//!   told, with ids hashed before; *run_bytes_per_id*: what goes across, without framing.
//!
//! With a number as an argument the run has that many ids; with `malicious` tags are as long as
//! that asks for, with `nothing` none are sent: one of the two directions of such a run.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use incamera_group::{Gf128, mul_add};
use incamera_vole::hash::{Domain, IdHash};
use incamera_vole::okvs::{BinnedRows, decode, encode};
use incamera_vole::oprf::{Direction, Receiver, Reveals, Run, Security, Sender};
use incamera_vole::params::OkvsShape;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 5;
const ITEMS: u64 = 1 << 20;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

fn show(figure: &str, value: f64, unit: &str) {
    println!("{{\"figure\": \"{figure}\", \"value\": {value:.3}, \"unit\": \"{unit}\"}}");
}

/// Nanoseconds an item.
fn measure<T>(figure: &str, items: u64, mut work: impl FnMut() -> T) {
    let round = || {
        let start = cpu_time();
        black_box(work());
        (cpu_time() - start).as_secs_f64()
    };
    let rounds = std::iter::repeat_with(round).take(ROUNDS);
    let least = rounds.fold(f64::INFINITY, f64::min);
    show(figure, least * 1e9 / items as f64, "ns");
}

fn asked(what: &str) -> bool {
    std::env::args().any(|argument| argument == what)
}

fn hashed(domain: &Domain, ids: std::ops::Range<u64>) -> Vec<IdHash> {
    let hasher = domain.id_hasher();
    ids.map(|id| hasher.hash(format!("person{id:06}@mail.example").as_bytes()))
        .collect()
}

fn parts(domain: &Domain) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let by = Gf128::random(&mut rng);
    let mut sums = vec![by; 1 << 16];
    let terms = sums.clone();
    measure("gf_mul_ns", 1 << 16, || mul_add(&mut sums, &terms, by));
    let hasher = domain.id_hasher();
    measure("id_hash_ns", 1 << 16, || {
        let mut text = [7_u8; 24];
        for id in 0..1_u64 << 16 {
            text.iter_mut()
                .zip(id.to_le_bytes())
                .for_each(|(to, from)| *to = from);
            black_box(hasher.hash(&text));
        }
    });
    let shape = OkvsShape::for_items(ITEMS).unwrap();
    let ids = hashed(domain, 0..ITEMS);
    measure("bins_ns", ITEMS, || BinnedRows::new(shape, &ids));
    let rows = BinnedRows::new(shape, &ids);
    measure("okvs_encode_ns", ITEMS, || encode(&rows).unwrap());
    let store = encode(&rows).unwrap();
    measure("okvs_decode_ns", ITEMS, || decode(&store, &rows));
}

fn run(domain: Domain, items: u64) {
    let run = Run {
        domain,
        direction: Direction::First,
        reveals: match asked("nothing") {
            true => Reveals::Nothing,
            false => Reveals::OwnMatches,
        },
        security: match asked("malicious") {
            true => Security::Malicious,
            false => Security::SemiHonest,
        },
        receiver_items: items,
        sender_items: items,
    };
    let (mut of_receiver, mut of_sender) = (Duration::ZERO, Duration::ZERO);
    let clocked = |spent: &mut Duration, work: &mut dyn FnMut()| {
        let start = cpu_time();
        work();
        *spent += cpu_time() - start;
    };
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (theirs, ours) = (
        hashed(&domain, 0..items),
        hashed(&domain, items / 2..items * 3 / 2),
    );
    let (mut receiver, mut sender) = (None, None);
    clocked(&mut of_receiver, &mut || {
        receiver = Receiver::new(run, &theirs, &mut rng).ok()
    });
    clocked(&mut of_sender, &mut || {
        sender = Sender::new(run, &ours, &mut rng).ok()
    });
    let (mut receiver, mut sender) = (receiver.unwrap(), sender.unwrap());
    let mut bytes = 0;
    let detailed = asked("steps");
    while !(receiver.is_finished() && sender.is_finished()) {
        let (mut part, before) = (None, (of_receiver, of_sender));
        clocked(&mut of_sender, &mut || part = sender.outgoing());
        if let Some(part) = part {
            bytes += part.content.len();
            clocked(&mut of_receiver, &mut || receiver.incoming(&part).unwrap());
            if detailed {
                println!("{} {:?}", part.step, of_receiver - before.0);
            }
            continue;
        }
        let mut part = None;
        clocked(&mut of_receiver, &mut || part = receiver.outgoing());
        let part = part.unwrap();
        bytes += part.content.len();
        clocked(&mut of_sender, &mut || sender.incoming(&part).unwrap());
        if detailed {
            println!("{} {:?}", part.step, of_sender - before.1);
        }
    }
    if let Some(matched) = receiver.finish().unwrap().matched {
        let common = matched.iter().filter(|matched| **matched).count();
        assert_eq!(common as u64, items.div_ceil(2));
    }
    show("receiver_cpu_s", of_receiver.as_secs_f64(), "s");
    show("sender_cpu_s", of_sender.as_secs_f64(), "s");
    show("run_bytes_per_id", bytes as f64 / items as f64, "bytes");
}

fn main() {
    let domain = Domain::from_digest([1; 32]);
    let items = std::env::args().find_map(|argument| argument.parse().ok());
    if items.is_none() {
        parts(&domain);
    }
    run(domain, items.unwrap_or(ITEMS));
}
