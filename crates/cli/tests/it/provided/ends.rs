//! Runs that were ended at their very end, and runs with nothing to do.

use std::time::Instant;

use super::*;
use crate::cut_off::endings::{CROSSWALK, EMPTY, record_bytes};
use crate::full_disk::cramped_program;

/// Killed with its crosswalk in place, before the journal says so: the next start says that all is
/// done, and nobody counts another run.
#[test]
fn a_run_that_is_killed_behind_its_crosswalk_was_one_run() {
    let world = World::ready_with("max_ids = 50\nkey_days = 90", 60);
    let data = world.ids("some", 0..50);
    let party = world.path("shop");
    let folder = PathBuf::from(&party);
    let slot = |name: &str| {
        let mut slots = fs::read_dir(folder.join("matching")).unwrap();
        slots.next().unwrap().unwrap().path().join(name)
    };
    for attempt in 1..30 {
        let mut child = spawn(&world.words(&party, &data, &[]));
        let start = Instant::now();
        while world.crosswalks("shop") == 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "{attempt}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = fs::read(slot("journal")).unwrap_or_default();
        let hit = !journal.is_empty() && record_bytes(&journal).last() == Some(&CROSSWALK);
        let written = !journal.is_empty() && record_bytes(&journal).last() == Some(&EMPTY);
        if hit || written {
            let before = world.counted("alpha", "shop");
            assert_eq!(before, (attempt, 50 * attempt));
            let again = world.matched("shop", &data, &[]);
            assert_eq!(again.code, 0, "{}", again.failure());
            assert_eq!(again.document["nothing_new"], true, "{hit}");
            assert_eq!(again.number("/used/runs"), attempt);
            assert_eq!(world.counted("alpha", "shop"), before);
            assert!(!slot("journal").exists());
        }
        if hit {
            return;
        }
        fs::remove_file(world.crosswalk_path("shop")).unwrap();
    }
    panic!("never killed between the two");
}

/// An empty set is refused, unless it is meant: then nobody is asked, and the crosswalk has no
/// rows.
#[test]
fn a_set_that_is_empty_on_purpose_asks_nobody() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("none", 0..0);
    let refused = world.matched("shop", &data, &[]);
    assert_eq!(refused.code, 1, "{}", refused.failure());
    assert_eq!(world.crosswalks("shop"), 0);
    let empty = world.matched("shop", &data, &["--allow-empty"]);
    assert_eq!(empty.code, 0, "{}", empty.failure());
    assert_eq!(empty.number("/crosswalk_rows"), 0);
    assert_eq!(empty.number("/used/runs"), 0);
    assert_eq!(world.counted("alpha", "shop"), (0, 0));
    assert_eq!(world.crosswalks("shop"), 1);
}

/// Nothing is new: nobody is asked, and nobody counts a run. What is new is counted alike by all.
#[test]
fn an_append_of_nothing_asks_nobody() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let first = world.matched("shop", &data, &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    let used = serde_json::json!({ "runs": 1, "max_runs": 9, "ids": 50, "ids_allowed": 900 });
    assert_eq!(first.document["used"], used);
    for name in PROVIDERS {
        world.stop(name);
    }
    let fewer = world.ids("fewer", 10..20);
    for data in [&data, &fewer] {
        let nothing = world.matched("shop", data, &["--append"]);
        assert_eq!(nothing.code, 0, "{}", nothing.failure());
        assert_eq!(nothing.document["nothing_new"], true);
        assert_eq!(nothing.document["used"], used);
    }
    for name in PROVIDERS {
        world.start(name);
    }
    let more = world.ids("more", 45..60);
    let added = world.matched("shop", &more, &["--append"]);
    assert_eq!(added.code, 0, "{}", added.failure());
    assert_eq!(added.document["nothing_new"], false);
    assert_eq!(added.number("/crosswalk_rows"), 60);
    let (runs, ids) = world.counted("alpha", "shop");
    let told = (added.number("/used/runs"), added.number("/used/ids"));
    assert_eq!((runs, ids), told);
    assert_eq!(runs, 2);
    // The text says it, too.
    let party = world.path("shop");
    let mut text = Command::new(PROGRAM);
    let text = text.args(world.words(&party, &more, &["--append"]));
    let text = String::from_utf8(text.output().unwrap().stdout).unwrap();
    assert!(text.contains("nothing is new"), "{text}");
    assert!(text.contains("2 of 9 runs"), "{text}");
}

/// The disk takes no more where the crosswalk is written: what was there stays, nothing is asked
/// again, and the next start ends well.
#[test]
fn a_disk_that_is_full_at_the_crosswalk_costs_no_run() {
    let world = World::ready("max_ids = 10_000\nkey_days = 90");
    let ids = |name: &str, people: std::ops::Range<u64>| {
        // Of no pattern, so that the crosswalk is of some size.
        let id = |n: u64| {
            format!(
                "{:016x}@example.net\n",
                n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            )
        };
        let rows: String = people.map(id).collect();
        let path = world.path(name);
        fs::write(&path, format!("email\n{rows}")).unwrap();
        path
    };
    let first = world.matched("shop", &ids("many.csv", 0..10_000), &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    let file = world.crosswalk_path("shop");
    let before = fs::read(&file).unwrap();
    // The largest file of a run that adds a few.
    let blocks = u32::try_from(before.len() / 512 - 8).unwrap();
    let cramped = cramped_program(world.folder.path(), blocks);
    let (party, data) = (world.path("shop"), ids("new.csv", 10_000..10_100));
    let words = world.words(&party, &data, &["--append"]);
    let full = Stage::new(cramped).command(&words).unwrap();
    assert_eq!(full.code, 1, "{}", full.failure());
    let said = full.failure().to_lowercase();
    assert!(said.contains("the crosswalk was not written"), "{said}");
    assert!(said.contains("file too large"), "{said}");
    assert!(full.text("/error/hint").contains("make room on the disk"));
    assert!(fs::read(&file).unwrap() == before);
    let counted = world.counted("alpha", "shop");
    assert_eq!(counted, (2, 10_100));
    let again = world.matched("shop", &data, &["--append"]);
    assert_eq!(again.code, 0, "{}", again.failure());
    assert_eq!(again.number("/resumed_from"), 100);
    assert_eq!(again.number("/used/runs"), 2);
    assert_eq!(again.number("/crosswalk_rows"), 10_100);
    assert_eq!(world.counted("alpha", "shop"), counted);
}
