//! A disk that takes no more: what was there stays, the error says so, and with room again the
//! same command does it.
//!
//! A limit on the size of a file stands in for the disk: a write beyond it fails as a write to
//! a full disk does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use incamera_testkit::stage::Stage;

use crate::world::{Data, PROGRAM, World};

/// A program that runs the built one and lets no file grow beyond `blocks` of 512 bytes.
fn cramped(world: &World, blocks: u32) -> Stage {
    let script = world.root().join(format!("cramped-{blocks}"));
    let text = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {blocks}\nexec '{PROGRAM}' \"$@\"\n");
    std::fs::write(&script, text).unwrap();
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&script, mode).unwrap();
    Stage::new(script)
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
