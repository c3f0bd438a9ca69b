//! I7: an answer leaves at its deadline, whatever its rows made the room do.
//!
//! One question over two files of the same size: in the one no purchase lies in the days asked
//! for; in the other all do, and each meets all of the same person. The room's CPU seconds, which
//! only its operator sees, tell the two apart; the clock of who asks does not.
//!
//! What a busy machine cannot break is asked: no answer is there before the deadline of its
//! sizes, and what the room does in all takes fewer CPU seconds than that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use incamera_query::{Limits, RoomData, check};
use incamera_testkit::cpu::cpu_seconds_of_process;
use tokio::runtime::Runtime;

use super::analyst::{Analyst, ask};
use super::support::Holdings;
use crate::world::{Data, World};

const AMOUNT: &str = "amount = { type = \"decimal(10,2)\", unit = \"EUR\", min = 0, max = 500, purposes = [\"measurement\"] }";
/// A column that no question reads: it makes parts, and so the deadline, large.
const NOTE: &str = "note = { type = \"text\", purposes = [\"ads\"] }";
/// Before the question's GROUP BY: each purchase meets all of the same person.
const MEETS: &str = "LEFT JOIN purchases AS again ON again.person = purchases.person\nGROUP BY 1";
const PEOPLE: u64 = 240;
const ROWS_EACH: u64 = 64;
/// How many answers are waited for.
const TIMES: usize = 3;

/// 800 letters that hardly compress.
fn note(stream: &mut u64) -> String {
    let letter = |_| {
        *stream ^= *stream << 13;
        *stream ^= *stream >> 7;
        *stream ^= *stream << 17;
        char::from(
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
                [(*stream >> 58) as usize],
        )
    };
    (0..800).map(letter).collect()
}

/// Purchases, all in one month.
fn purchases(month: &str) -> String {
    let mut text = String::from("email,day,amount,note\n");
    let mut stream = 0x1234_5678_9abc_def1;
    for row in 0..PEOPLE * ROWS_EACH {
        let (person, note) = (row % PEOPLE, note(&mut stream));
        let (day, amount) = (1 + stream % 28, stream % 40_000);
        text += &format!(
            "p{person}@mail.example,{month}-{day:02},{}.{:02},{note}\n",
            amount / 100,
            amount % 100
        );
    }
    text
}

/// Asks over the data as they are now, a few times, and finds no answer before the deadline;
/// gives the CPU seconds that the room had for one.
fn work(world: &World, leaves: Duration) -> f64 {
    let analyst = Analyst::ana(world);
    assert_eq!(deadline(world, &analyst), leaves);
    let room = world.stage.process("room").unwrap();
    let runtime = Runtime::new().unwrap();
    let answer = |_| {
        let request = analyst.sign(&analyst.request("2026-05-31"));
        let key = Holdings(world.root()).key("mailer/analysts/ana");
        let (begun, before) = (Instant::now(), cpu_seconds_of_process(room).unwrap());
        let answered = runtime.block_on(ask(world.room.listens, request, key));
        let (wall, after) = (begun.elapsed(), cpu_seconds_of_process(room).unwrap());
        answered.unwrap();
        assert!(wall >= leaves, "{wall:?} is before {leaves:?}");
        after - before
    };
    (0..TIMES).map(answer).fold(f64::MAX, f64::min)
}

/// When answers over the data as they are now leave, by what anybody can know of them.
fn deadline(world: &World, analyst: &Analyst) -> Duration {
    let holdings = Holdings(world.root());
    let sets = [
        ("shop", "customers"),
        ("shop", "purchases"),
        ("mailer", "mailing"),
    ];
    let manifests = sets.map(|(party, dataset)| {
        let manifest = holdings.manifest(party, dataset);
        (manifest.dataset().clone(), manifest)
    });
    let data = RoomData::new(&manifests.into(), &|_, _| PathBuf::new());
    let agreement = &analyst.agreement;
    let request = analyst.request("2026-05-31");
    let query = &agreement.queries["lift"];
    let checked = check(agreement, query, request.params()).unwrap();
    data.deadline(&checked, &Limits::default()).first()
}

#[test]
fn i7_answers_leave_at_the_deadline_whatever_their_rows_cost() {
    let world = World::agreed_as(|text| {
        text.replace(AMOUNT, &format!("{AMOUNT}\n{NOTE}"))
            .replace("purchases = 1_000", &format!("purchases = {ROWS_EACH}"))
            .replace("GROUP BY 1", MEETS)
    });
    world.prepare(&Data {
        purchases: purchases("2025-06"),
        ..Data::small()
    });
    let leaves = deadline(&world, &Analyst::ana(&world));
    let idle = work(&world, leaves);

    std::fs::write(world.path("data/purchases.csv"), purchases("2026-04")).unwrap();
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    let busy = work(&world, leaves);

    // The rows do make a difference, which a clock would show without a deadline; and neither
    // answer would have taken as long by itself.
    assert!(busy > 1.5 * idle && busy > idle + 0.1, "{idle} {busy}");
    assert!(leaves.as_secs_f64() > idle.max(busy / 2.0), "{idle} {busy}");
}
