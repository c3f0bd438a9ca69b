//! A long run, by hand; `ROWS` and `MEMORY_MIB` say how long and in how much memory:
//! `ROWS=10000000 cargo test -p incamera-seal --release -- --ignored --nocapture throughput`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use incamera_seal::{
    Bound, Bounds, Crosswalk, CrosswalkScope, Part, Source, open_part, part_path, read_part_within,
};

use crate::world::{EPOCH, World, agreement_id, names, pseudonym, purchases};

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

fn write_csv(path: &Path, rows: u64, people: u64) {
    let mut csv = BufWriter::new(File::create(path).unwrap());
    writeln!(csv, "email,day,amount,category").unwrap();
    for n in 0..rows {
        let person = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % people;
        let (day, amount) = (n % 28 + 1, n * 7_919 % 20_000);
        let category = ["food", "home", "toys"][(n % 3) as usize];
        let (whole, cents) = (amount / 100, amount % 100);
        writeln!(
            csv,
            "p{person}@example.com,2026-03-{day:02},{whole}.{cents:02},{category}"
        )
        .unwrap();
    }
    csv.flush().unwrap();
}

/// A figure of this process, as Linux gives it.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.map_or(0, |number| number.parse().unwrap())
}

/// CPU seconds of all threads so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .map_or(0.0, |ticks| ticks.parse::<f64>().unwrap())
    };
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
#[ignore = "a measurement; see the module"]
fn throughput_of_purchases() {
    let rows = setting("ROWS", 1_000_000);
    let people = (rows / 10).max(1);
    let mut world = World::new();
    world.limits.memory_bytes = setting("MEMORY_MIB", 1024) << 20;
    let path = world.folder.path().join("purchases.csv");
    write_csv(&path, rows, people);
    let scope = CrosswalkScope {
        agreement_id: agreement_id(),
        epoch: EPOCH,
        id_kind: "email".parse().unwrap(),
        via: None,
    };
    let ids = (0..people).map(|n| format!("p{n}@example.com"));
    let crosswalk = Crosswalk::new(scope, ids.map(|id| (id.clone(), pseudonym(&id).unwrap())));
    let source = Source::of(&path).unwrap();
    println!("before: {} MiB resident", status("VmRSS:") / 1024);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let people = |id: &str| crosswalk.lookup(id);
    let report = world.seal_people(&purchases(), &source, &people).unwrap();
    println!(
        "sealed {rows} rows in {:?}, {:.2} CPU s, {} bytes; peak {} MiB resident",
        start.elapsed(),
        cpu_seconds() - cpu,
        report.bytes,
        status("VmHWM:") / 1024
    );
    assert_eq!(report.sealed, rows);
    let start = Instant::now();
    let read = world.read("purchases", "measurement", &["person", "day", "amount"]);
    let read: usize = read.iter().map(|(_, batch)| batch.num_rows()).sum();
    assert_eq!(read as u64, rows);
    println!("read back in {:?}", start.elapsed());
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
    let open = || {
        let open =
            |part: &Part| open_part(&part_path(&folder, &part.file_id), &manifest, part).unwrap();
        manifest.parts().iter().map(open).collect::<Vec<_>>()
    };
    let nothing = Bound::Numbers(Vec::new());
    let nothing: Bounds = [(columns[1].clone(), nothing)].into_iter().collect();
    let read = |bounds: &Bounds| {
        let mut rows = 0;
        for (part, file) in manifest.parts().iter().zip(open()) {
            let keys = &keys[&part.file_id];
            let reader = read_part_within(file, &manifest, part, keys, &columns, 8_192, bounds);
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
    of("hashed alone", &|| drop(open()));
    of("left out", &|| read(&nothing));
    of("read", &|| read(&Bounds::none()));
}
