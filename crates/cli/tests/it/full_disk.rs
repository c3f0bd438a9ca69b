//! A disk that takes no more: what was there stays, the error says so, and with room again the
//! same command does it.
//!
//! A limit on the size of a file stands in for the disk: a write beyond it fails as a write to
//! a full disk does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use incamera_testkit::stage::{Outcome, Stage};

use crate::invariants::support::{Holdings, files_below};
use crate::world::{Data, PROGRAM, World};

/// A program that runs the built one and lets no file grow beyond `blocks` of 512 bytes.
fn cramped(world: &World, blocks: u32) -> Stage {
    Stage::new(cramped_program(world.root(), blocks))
}

/// Where that program is.
pub fn cramped_program(root: &Path, blocks: u32) -> PathBuf {
    let script = root.join(format!("cramped-{blocks}"));
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {blocks}\nexec '{PROGRAM}' \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    script
}

fn stored(world: &World) -> usize {
    let parts = Path::new(&world.path("room/storage/purchases/parts")).read_dir();
    parts.map_or(0, Iterator::count)
}

/// The data of the small world, and more purchases than a cramped disk holds.
fn larger() -> Data {
    let mut data = Data::small();
    for n in 0..2_000 {
        let (person, cents) = (n % 240, n * 37 % 100);
        data.purchases += &format!(
            "p{person}@mail.example,2026-04-{:02},{n}.{cents:02},food\n",
            n % 28 + 1
        );
    }
    data
}

#[test]
fn a_room_with_a_full_disk_keeps_what_it_has_and_says_so() {
    let world = World::ready();
    let first = world.query(&[]);
    assert_eq!(first.code, 0, "{}", first.errors);
    world.write_data(&larger());
    world.seal_one("shop", "purchases");
    world.stage.stop("room");
    let stage = cramped(&world, 4);
    let (config, log) = (
        world.path("room/room.toml"),
        world.root().join("cramped.log"),
    );
    let serve = ["room", "serve", "--config", &config];
    stage
        .start("room", &serve, &[], &log, world.room.listens)
        .unwrap();
    let before = stored(&world);
    let shop = world.path("shop");
    let push = ["data", "push", "--party", &shop];
    let refused = world.stage.command(&push).unwrap();
    assert_eq!(refused.code, 1, "{}", refused.document);
    let said = refused.failure();
    assert!(said.contains("the room's disk is full"), "{said}");
    // The room answers with the data that it has.
    assert!(stored(&world) >= before);
    stage.stop("room");
    drop(stage);
    world.start_room();
    let pushed = world.push_one("shop");
    assert_eq!(pushed.code, 0);
    let again = world.query(&[]);
    assert_eq!(again.code, 0, "{}", again.errors);
}

/// The manifests and parts of the shop's sealed data sets.
fn sealed(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(&world.root().join("shop/sealed")).into_iter();
    let named = files.filter(|file| {
        file.ends_with("manifest") || file.extension().is_some_and(|end| end == "parquet")
    });
    named
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect()
}

/// Runs a command with so many blocks of room, time and again until it is done. Gives the failures
/// before: each said why and what to do, and what was sealed was as it was.
fn with_ever_more_room(world: &World, room: &[u32], arguments: &[&str]) -> Vec<String> {
    let before = sealed(world);
    let mut failures = Vec::new();
    for blocks in room.iter().copied().chain([8192]) {
        let outcome = cramped(world, blocks).command(arguments).unwrap();
        if outcome.code == 0 {
            assert!(sealed(world) != before, "nothing was done");
            return failures;
        }
        is_full(&outcome);
        assert!(sealed(world) == before, "{blocks}: {}", outcome.failure());
        let left = files_below(&world.root().join("shop/sealed"));
        let spill = |file: &PathBuf| file.display().to_string().contains("/spill-");
        assert!(!left.iter().any(spill), "{left:?}");
        nothing_half_written(world);
        failures.push(outcome.failure());
    }
    panic!("it never had enough room");
}

/// Consents and crosswalks are written in clear: nothing of one is left that is not whole.
#[track_caller]
fn nothing_half_written(world: &World) {
    let mut files = files_below(&world.root().join("shop")).into_iter();
    let half = files.find(|file| file.extension().is_some_and(|end| end == "new"));
    assert_eq!(half, None);
}

#[track_caller]
fn is_full(outcome: &Outcome) {
    assert_eq!(outcome.code, 1, "{}", outcome.document);
    let text = format!("{} {}", outcome.failure(), outcome.text("/error/hint"));
    for words in ["File too large", "make room on the disk"] {
        assert!(
            text.to_lowercase().contains(&words.to_lowercase()),
            "{text}"
        );
    }
}

fn version(world: &World, dataset: &str) -> u64 {
    Holdings(world.root()).manifest("shop", dataset).version()
}

#[test]
fn an_owner_with_a_full_disk_keeps_what_is_sealed_and_hears_of_it() {
    let world = World::agreed();
    world.write_data(&larger());
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    world.match_people();
    world.seal();
    let shop = world.path("shop");

    let mut rows = "email,day,amount,category\n".to_owned();
    for n in 0..30_000 {
        let (person, day) = (n * 7_919 % 240, n % 28 + 1);
        writeln!(
            rows,
            "p{person}@mail.example,2026-04-{day:02},{}.25,food",
            n % 499
        )
        .unwrap();
    }
    let many = world.path("data/many.csv");
    fs::write(&many, rows).unwrap();
    let few = world.path("data/purchases.csv");
    for (more, file, room, at, done) in [
        (&["--append"][..], &few, &[1, 4][..], "/parts/", 2),
        (&["--replace"], &few, &[4], "/parts/", 3),
        (
            &["--replace", "--memory-mib", "1"],
            &many,
            &[16],
            "/spill-",
            4,
        ),
    ] {
        let seal = [
            "data",
            "seal",
            "purchases",
            "--party",
            &shop,
            "--data",
            file,
        ];
        let failures = with_ever_more_room(&world, room, &[&seal, more].concat());
        let there = failures.iter().any(|said| said.contains(at));
        assert!(there, "{more:?}: {failures:?}");
        assert_eq!(version(&world, "purchases"), done);
    }
    let customers = world.path("data/customers.csv");
    let register = [
        "data",
        "seal",
        "customers",
        "--party",
        &shop,
        "--data",
        &customers,
    ];
    let failures = with_ever_more_room(&world, &[4, 8], &register);
    let there = |at| failures.iter().any(|said| said.contains(at));
    assert!(there("/consents/") && there("/parts/"), "{failures:?}");
    let seal = [
        "data",
        "seal",
        "purchases",
        "--party",
        &shop,
        "--data",
        &few,
        "--yes",
    ];
    world.done(&seal);

    let ids = world.path("ids.txt");
    fs::write(&ids, "p1@mail.example\np2@mail.example\n").unwrap();
    let forget = ["data", "forget", "--party", &shop, "--ids", &ids, "--yes"];
    let before = sealed(&world);
    let outcome = cramped(&world, 4).command(&forget).unwrap();
    is_full(&outcome);
    assert!(sealed(&world) == before);
    nothing_half_written(&world);
    world.done(&forget);
    assert_eq!(version(&world, "purchases"), 6);
}
