//! A command that is killed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{consents, data, good, person, rows, run, write_ids};
use crate::invariants::support::{Holdings, files_below};
use crate::world::{PROGRAM, World};

/// Killed at any moment, the old version or the new one is there, whole, and the same command
/// does the rest.
#[test]
fn i3_killed_at_any_moment_and_done_by_the_next() {
    let world = World::ready();
    let crosswalk = Holdings(world.root()).crosswalk("shop");
    let ids = write_ids(
        &world,
        "p1@mail.example\np2@mail.example\np6@mail.example\n",
    );
    let shop = world.path("shop");
    for (verb, more) in [
        ("consent", &["--remove", "ads"][..]),
        ("forget", &[]),
        ("rotate", &["--data-keys"]),
    ] {
        let mut arguments = vec!["data", verb, "--party", &shop];
        arguments.extend(more);
        if verb != "rotate" {
            arguments.extend(["--ids", &ids, "--yes"]);
        }
        let mut finished = 0;
        for wait in 0..24u64 {
            let child = Command::new(PROGRAM)
                .args(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut child = child.unwrap();
            std::thread::sleep(Duration::from_millis(60 * wait));
            let ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            whole(&world);
            if ended {
                finished += 1;
            }
            if finished > 1 {
                break;
            }
        }
        // The last one was killed: the register may be further than what follows it.
        if finished < 2 {
            good(run(&world, &arguments));
        }
        whole(&world);
    }
    for id in ["p1@mail.example", "p2@mail.example", "p6@mail.example"] {
        let one = person(&crosswalk, id);
        assert!(!rows(&world, "customers", "measurement").contains_key(one.as_bytes()));
        assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
        assert!(consents(&world).class(&one).is_none());
    }
    assert_eq!(
        Holdings(world.root()).crosswalk("shop").len() + 3,
        crosswalk.len()
    );
    good(data(&world, &["push"]));
    good(world.query(&[]));
}

/// Every data set's manifest opens, each part that it names is there and opens, and no file
/// holds plaintext.
fn whole(world: &World) {
    for name in ["customers", "purchases"] {
        assert!(!rows(world, name, "measurement").is_empty());
    }
    for file in files_below(&world.root().join("shop/sealed")) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.starts_with(b"PAR1"), "{}", file.display());
        assert!(memchr::memmem::find(&bytes, b"mail.example").is_none());
    }
}
