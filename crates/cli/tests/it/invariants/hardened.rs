//! I1 in a crash: a service's memory holds keys and rows, and goes to no file.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use incamera_testkit::stage::Stage;

use crate::world::{PROGRAM, World};

/// Runs what follows it with core dumps allowed.
const ALLOWED: &str = "ulimit -c unlimited && exec \"$0\" \"$@\"";

/// Soft and hard limit of core dumps, of a process's `limits`.
fn core_limits(limits: &str) -> [&str; 2] {
    let mut lines = limits.lines();
    let core = lines.find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    [words[4], words[5]]
}

#[test]
fn i1_a_service_leaves_no_core_dump() {
    let allowed = Command::new("sh")
        .args(["-c", ALLOWED, "cat", "/proc/self/limits"])
        .output()
        .unwrap();
    if !allowed.status.success() {
        eprintln!(
            "SKIPPED: core dumps are forbidden here already, and this user may not allow them"
        );
        return;
    }
    let limits = String::from_utf8(allowed.stdout).unwrap();
    assert_eq!(core_limits(&limits), ["unlimited"; 2], "without a service");
    let world = World::agreed();
    let stage = Stage::new("sh".into());
    for (name, what, flag, file, listens) in [
        ("shop", "party", "--party", "shop", world.shop.listens),
        ("mailer", "party", "--party", "mailer", world.mailer.listens),
        (
            "room",
            "room",
            "--config",
            "room/room.toml",
            world.room.listens,
        ),
    ] {
        let (file, log) = (world.path(file), world.root().join(format!("{name}.log")));
        let arguments = ["-c", ALLOWED, PROGRAM, what, "serve", flag, &file];
        stage.start(name, &arguments, &[], &log, listens).unwrap();
        let process = format!("/proc/{}", stage.process(name).unwrap());
        let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
        assert_eq!(
            core_limits(&limits),
            ["0"; 2],
            "{name}: soft and hard limit"
        );
        // A dump that goes to a program heeds what also keeps others of the user out; whom
        // nothing keeps out, root, cannot see it.
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            let environment = std::fs::read(format!("{process}/environ"));
            assert!(environment.is_err(), "{name}: can be inspected");
        }
    }
}
