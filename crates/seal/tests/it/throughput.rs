//! A long run, by hand: `cargo test -p incamera-seal --release -- --ignored --nocapture throughput`.

use std::fmt::Write as _;
use std::time::Instant;

use incamera_seal::{Bound, Bounds, Part, Source, load_part, part_path, read_part_within};

use crate::world::{World, names, pseudonym, purchases};

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

/// What a row costs that is hashed alone, left out, and read: conditions on days leave out the
/// parts of other days.
#[test]
#[ignore = "a measurement; see the module"]
fn throughput_of_rows_that_are_left_out() {
    const ROWS: u64 = 1_000_000;
    const COLUMNS: [&str; 3] = ["person", "day", "amount"];
    let mut csv = "email,day,amount,category\n".to_owned();
    for n in 0..ROWS {
        let (day, amount) = (n % 28 + 1, n * 7_919 % 20_000);
        let person = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000;
        writeln!(csv, "{person},2026-03-{day:02},{amount},food").unwrap();
    }
    let mut world = World::new();
    let source = Source::of(&world.file("purchases.csv", csv)).unwrap();
    world.seal(&purchases(), &source).unwrap();
    let manifest = world.manifest("purchases");
    let keys = world.keys(&manifest, "measurement", &COLUMNS);
    let folder = world.out("purchases");
    let columns = names(&COLUMNS);
    let load = || {
        let load =
            |part: &Part| load_part(&part_path(&folder, &part.file_id), &manifest, part).unwrap();
        manifest.parts().iter().map(load).collect::<Vec<_>>()
    };
    let nothing = Bound::Numbers(Vec::new());
    let nothing: Bounds = [(columns[1].clone(), nothing)].into_iter().collect();
    let read = |bounds: &Bounds| {
        let mut rows = 0;
        for (part, bytes) in manifest.parts().iter().zip(load()) {
            let keys = &keys[&part.file_id];
            let reader = read_part_within(bytes, &manifest, part, keys, &columns, 8_192, bounds);
            rows += reader
                .unwrap()
                .map(|batch| batch.unwrap().num_rows())
                .sum::<usize>();
        }
        assert_eq!(rows as u64, ROWS);
    };
    let of = |what: &str, run: &dyn Fn()| {
        run();
        let mut best = u128::MAX;
        for _ in 0..7 {
            let start = Instant::now();
            run();
            best = best.min(start.elapsed().as_nanos());
        }
        println!("{what}: {} ns a row", best / u128::from(ROWS));
    };
    of("hashed alone", &|| drop(load()));
    of("left out", &|| read(&nothing));
    of("read", &|| read(&Bounds::none()));
}
