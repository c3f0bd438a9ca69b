//! A long run, by hand: `cargo test -p incamera-seal --release -- --ignored --nocapture throughput`.

use std::fmt::Write as _;
use std::time::Instant;

use crate::world::{World, pseudonym, purchases};

#[test]
#[ignore = "a measurement; see the module"]
fn throughput_of_a_million_purchases() {
    let mut csv = "email,day,amount,category\n".to_owned();
    for n in 0..1_000_000u64 {
        let person = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000;
        let (day, amount) = (n % 28 + 1, n * 7_919 % 20_000);
        let category = ["food", "home", "toys"][(n % 3) as usize];
        let (whole, cents) = (amount / 100, amount % 100);
        writeln!(
            csv,
            "p{person}@example.com,2026-03-{day:02},{whole}.{cents:02},{category}"
        )
        .unwrap();
    }
    let scope = incamera_seal::CrosswalkScope {
        agreement_id: crate::world::agreement_id(),
        epoch: crate::world::EPOCH,
        id_kind: "email".parse().unwrap(),
    };
    let ids = (0..100_000).map(|n| format!("p{n}@example.com"));
    let rows = ids.map(|id| (id.clone(), pseudonym(&id).unwrap()));
    let crosswalk = incamera_seal::Crosswalk::new(scope, rows);
    let mut world = World::new();
    let source = incamera_seal::Source::of(&world.file("purchases.csv", csv)).unwrap();
    let start = Instant::now();
    let people = |id: &str| crosswalk.lookup(id);
    let report = world.seal_people(&purchases(), &source, &people).unwrap();
    let sealed = start.elapsed();
    assert_eq!(report.sealed, 1_000_000);
    let start = Instant::now();
    let read = world.read("purchases", "measurement", &["person", "day", "amount"]);
    assert_eq!(
        read.iter()
            .map(|(_, batch)| batch.num_rows())
            .sum::<usize>(),
        1_000_000
    );
    println!(
        "sealed in {sealed:?}, {} bytes, read back in {:?}",
        report.bytes,
        start.elapsed()
    );
}
