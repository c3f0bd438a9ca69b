//! Both sides work at once: a clock of steps, one worker a side, and a link with a delay.

use std::collections::VecDeque;

use incamera_matching::Reveals;
use incamera_matching::exchange::{Done, Tuning};
use incamera_wire::v1::MatchMessage;

use crate::side::{Plan, Side, mailer, numbered, shop};

const CHUNKS: usize = 120;
const CHUNK: usize = 4;
/// Steps of the worker for one chunk.
const WORK: usize = 2;

/// Steps until both are done, with `delay` steps from one side to the other.
fn steps(a: &Plan, b: &Plan, delay: usize) -> usize {
    let mut sides: [Side; 2] = [a.start(), b.start()];
    let mut wires: [VecDeque<(usize, MatchMessage)>; 2] = Default::default();
    let mut workers: [Option<(usize, Done)>; 2] = [None, None];
    let mut now = 0;
    while !sides.iter().all(|side| side.exchange.is_finished()) {
        now += 1;
        for at in 0..2 {
            let side = &mut sides[at];
            while wires[at].front().is_some_and(|(due, _)| *due <= now) {
                let (_, message) = wires[at].pop_front().unwrap();
                side.exchange.incoming(message).unwrap();
            }
            if let Some((_, done)) = workers[at].take_if(|(end, _)| *end <= now) {
                side.exchange.done(done).unwrap();
            }
            side.begin();
            side.keep();
            side.feed();
            if workers[at].is_none() {
                let job = side.exchange.job();
                workers[at] = job.map(|job| (now + WORK, job.work()));
            }
            while let Some(message) = side.exchange.outgoing() {
                wires[1 - at].push_back((now + delay, message));
            }
        }
        assert!(now < 100_000, "both sides wait");
    }
    now
}

fn plans(reveals: Reveals, left: usize, right: usize) -> (Plan, Plan) {
    let (mut a, mut b) = (mailer(reveals, &[]), shop(reveals, &[]));
    a.ids = numbered(0..left * CHUNK);
    b.ids = numbered(0..right * CHUNK);
    a.tuning = Tuning::new(CHUNK, 40 * CHUNK).unwrap();
    b.tuning = a.tuning;
    (a, b)
}

/// While a chunk is at the peer, the next ones are blinded and the peer's are raised: a delay
/// of ten chunks' work costs its own length a few times, and not once a chunk or a phase.
#[test]
fn a_delay_costs_less_than_a_third() {
    for (reveals, jobs) in [(Reveals::Nothing, 3), (Reveals::OwnMatches, 2)] {
        let (a, b) = plans(reveals, CHUNKS, CHUNKS);
        let work = jobs * CHUNKS * WORK;
        let (near, far) = (steps(&a, &b, 1), steps(&a, &b, 10 * WORK));
        assert!(near * 100 < work * 110, "{near} steps for {work} of work");
        assert!(
            far * 100 < near * 130,
            "{far} steps with a delay, {near} without"
        );
    }
}

/// Neither side waits for the other's whole set: what one side does alone takes its own time.
#[test]
fn a_small_set_is_answered_while_a_large_one_goes_on() {
    let (a, b) = plans(Reveals::Nothing, CHUNKS, 2);
    let work = 2 * CHUNKS * WORK;
    let near = steps(&a, &b, 1);
    assert!(near * 100 < work * 115, "{near} steps for {work} of work");
    let mut few = b.start();
    let mut many = a.start();
    let mut messages = 0;
    while !few.exchange.has_all() {
        messages += 1;
        for _ in 0..2 {
            if let Some(message) = few.exchange.outgoing() {
                many.incoming(message).unwrap();
            }
            if let Some(message) = many.exchange.outgoing() {
                few.incoming(message).unwrap();
            }
        }
    }
    assert!(messages < 10, "the small set waited {messages} messages");
}
