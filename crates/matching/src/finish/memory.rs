//! The whole way of a set, from rows to the crosswalk, in a process of its own: what it takes of
//! memory does not grow with the set.

use std::path::Path;
use std::process::Command;

use incamera_keys::Secret32;

use super::*;
use crate::Mode;
use crate::check::Check;
use crate::intake::{Choice, Intake};
use crate::sort::tests::{FolderStore, rng};

const IDS: &str = "INCAMERA_TEST_IDS";
const OUT: &str = "INCAMERA_TEST_OUT";
const MEMORY: Memory = Memory {
    arena_bytes: 1 << 20,
    block_bytes: 16 << 10,
    fan_in: 16,
    keeps_sequences: false,
};

fn id(n: u64) -> String {
    format!("user{n:09}@mail.example")
}

fn pseudonym(id: &str) -> Pseudonym {
    let mut bytes = [0; 16];
    let number: u64 = id[4..13].parse().unwrap();
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Pseudonym::from_bytes(bytes)
}

/// `ids` rows, each twice; a quarter of them known, and as many that are not in the data.
fn whole_way(ids: u64) -> Finished {
    let (store, key) = (FolderStore::new(), Secret32::from_bytes([1; 32]));
    let mut intake = Intake::new(&key, &key, &store, MEMORY, &mut rng());
    for n in (0..ids).chain((0..ids).rev()) {
        intake.row(&id(n), 1).unwrap();
    }
    let known = ids * 3 / 4..ids * 5 / 4;
    known.clone().for_each(|n| intake.known(&id(n)).unwrap());
    let choice = Choice {
        mode: Mode::Full,
        absent: true,
    };
    let ordered = intake.finish(choice).unwrap();
    let mut check = Check::new(&store, MEMORY, &mut rng());
    let mut finish = Finish::new(None, Matched::Anew, &store, MEMORY, &mut rng());
    let (mut reader, mut place) = (ordered.read_from(0).unwrap(), 0);
    while let Some(entry) = reader.next().unwrap() {
        let pseudonym = pseudonym(entry.id);
        check.own(place, pseudonym.as_bytes()).unwrap();
        finish.give(&entry, &pseudonym, false).unwrap();
        place += 1;
    }
    for n in ids / 2..ids * 3 / 2 {
        check.theirs(pseudonym(&id(n)).as_bytes()).unwrap();
    }
    let mut kept = 0;
    let matches = check.finish(&mut |_| -> Result<(), crate::check::CheckError> {
        kept += 1;
        Ok(())
    });
    let mut matches = matches.unwrap();
    while matches.next().unwrap().is_some() {}
    assert!(kept == ids && matches.count >= ids / 2);
    let mut known = known;
    let mut next = |row: &mut Row| {
        let found = known.next();
        row.id = found.map(id).unwrap_or_default();
        if found.is_some() {
            row.pseudonym = pseudonym(&row.id);
        }
        Ok::<_, std::convert::Infallible>(found.is_some())
    };
    finish.write(Some(&mut next), &mut |_| Ok(())).unwrap()
}

/// The most memory that this process had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[test]
#[ignore = "started by `memory_does_not_grow_with_the_set`"]
fn the_whole_way_of_so_many() {
    let ids: u64 = std::env::var(IDS).unwrap().parse().unwrap();
    let finished = whole_way(ids);
    assert_eq!(finished.rows, ids * 5 / 4);
    std::fs::write(std::env::var(OUT).unwrap(), peak_kib().to_string()).unwrap();
}

fn peak_of(ids: u64, out: &Path) -> u64 {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "finish::memory::the_whole_way_of_so_many",
        ])
        .env(IDS, ids.to_string())
        .env(OUT, out)
        .output()
        .unwrap();
    assert!(status.status.success());
    std::fs::read_to_string(out).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("peak");
    let (small, large) = (peak_of(1 << 15, &out), peak_of(1 << 18, &out));
    assert!(large < small + 4096, "{small} KiB, then {large} KiB");
}
