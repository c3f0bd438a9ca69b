//! What is left when a process ends in the middle: a child of this test is killed at chosen and
//! at random moments.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use incamera_keys::SigningKey;
use incamera_seal::{Anew, Change, KeyRing, Movement, check_part_file, part_path, unwrap_keys};
use incamera_types::{ConsentClass, Pseudonym, PurposeSet};

use super::{Want, people, remade, tagged};
use crate::world::{World, contains, files_below, names, passphrase, purchases, purpose, rng};

const CHILD: &str = "INCAMERA_TEST_REWRITING";

/// Rows of 200 people in 16 slices.
fn many() -> World {
    let mut world = World::new();
    world.partitions = 16;
    let register: String = (0..200)
        .map(|at| format!("p{at}@x,ads;measurement\n"))
        .collect();
    let report = world.seal_csv(
        &crate::world::customers(),
        format!("email,consent\n{register}"),
    );
    world.consents = report.unwrap().consents;
    world.seal_csv(&purchases(), many_purchases()).unwrap();
    world
}

fn many_purchases() -> String {
    let rows = (0..200).map(|at| format!("p{at}@x,2026-03-01,{at},food\n"));
    format!("email,day,amount,category\n{}", rows.collect::<String>())
}

/// What the child does, again and again, in the folder that it is given.
fn rewrite_for_ever(world: &mut World, what: &str) {
    if what == "seal" {
        loop {
            world.seal_csv(&purchases(), many_purchases()).unwrap();
        }
    }
    let forgotten: Vec<String> = (0..100).map(|at| format!("p{at}@x")).collect();
    for at in 0.. {
        let one = [forgotten[at % 100].as_str()];
        let among = people(&one);
        let gone = |_: &Pseudonym, class: &ConsentClass| match what {
            "forget" => Some(PurposeSet::default()),
            _ => Some(
                class
                    .iter()
                    .filter(|one| **one != purpose("ads"))
                    .cloned()
                    .collect(),
            ),
        };
        let purposes: &[&str] = match at % 2 {
            0 => &["ads", "measurement"],
            _ => &["measurement"],
        };
        let movement = Movement {
            among: Some(&among),
            class: &gone,
        };
        let want = match what {
            "retag" => Want {
                spec: Some(tagged("category", purposes)),
                ..Want::default()
            },
            "rotate" => Want {
                anew: Anew::DataKeys,
                change: Change::Rotated,
                ..Want::default()
            },
            "forget" => Want {
                movement: Some(movement),
                change: Change::Forgotten,
                ..Want::default()
            },
            _ => Want {
                movement: Some(movement),
                change: Change::ConsentRemoved,
                ..Want::default()
            },
        };
        remade(world, "purchases", &want).unwrap();
    }
}

/// The other half of the tests below; does nothing by itself.
#[test]
fn child() {
    let Ok(what) = env::var(CHILD) else { return };
    let (what, folder) = what.split_once(' ').unwrap();
    let key = fs::read_to_string(format!("{folder}/key")).unwrap();
    let temporary = tempfile::tempdir_in(folder).unwrap();
    let mut world = World {
        ring: KeyRing::open(Path::new(&format!("{folder}/ring.age")), &passphrase()).unwrap(),
        signer: SigningKey::from_openssh(&key, None).unwrap(),
        rng: rng(u64::from(std::process::id())),
        partitions: 16,
        limits: crate::world::limits(),
        append: false,
        runs: Default::default(),
        last_day: None,
        consents: None,
        folder: temporary,
    };
    // The world's folder is the parent's.
    fs::remove_dir(world.folder.path()).unwrap();
    std::os::unix::fs::symlink(folder, world.folder.path()).unwrap();
    rewrite_for_ever(&mut world, what);
}

fn killed(what: &str, kept_rows: std::ops::RangeInclusive<usize>) {
    let mut world = many();
    let folder = world.folder.path().to_owned();
    fs::write(
        folder.join("key"),
        &*world.signer.to_openssh("test").unwrap(),
    )
    .unwrap();
    // As long as the longest of these takes here; beside a start of its own.
    let all = Want {
        anew: Anew::DataKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    let start = Instant::now();
    remade(&mut world, "purchases", &all).unwrap();
    let (took, first) = (start.elapsed(), world.manifest("purchases").version());
    let mut versions = Vec::new();
    for round in 0..100u32 {
        // On a busy machine a child may not come to it in the time that it took here.
        let done = versions.last() > Some(&(first + 1));
        if round >= 25 && done {
            break;
        }
        let program = env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--exact", "rewriting::cut_short::child", "--nocapture"])
            .env(CHILD, format!("{what} {}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(
            Duration::from_millis(40) + took * (round * 7 % 25 + round / 25 * 16) / 8,
        );
        child.kill().unwrap();
        child.wait().unwrap();
        world.ring.refresh().unwrap();
        let manifest = world.manifest("purchases");
        for part in manifest.parts() {
            let path = part_path(&world.out("purchases"), &part.file_id);
            check_part_file(&path, &manifest, part).unwrap();
        }
        // All that it names opens, whatever is left in the ring.
        let rows = world.texts("purchases", "measurement", "amount").len();
        assert!(kept_rows.contains(&rows), "{what}: {rows}");
        assert!(
            unwrap_keys(
                &manifest,
                &purpose("measurement"),
                &names(&["person"]),
                &world.ring
            )
            .is_ok()
        );
        versions.push(manifest.version());
        for file in files_below(&world.out("purchases")) {
            let bytes = fs::read(&file).unwrap();
            assert!(
                !bytes.starts_with(b"PAR1") && !contains(&bytes, b"2026-03-01"),
                "{}",
                file.display()
            );
        }
    }
    assert!(
        versions.is_sorted() && versions.last() > Some(&(first + 1)),
        "{what}: nothing was done: {versions:?}"
    );
    // And it goes on from there.
    let want = Want {
        anew: Anew::PurposeKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    remade(&mut world, "purchases", &want).unwrap();
    super::whole(&world, "purchases");
    let (id, newest) = (crate::world::agreement_id(), world.manifest("purchases"));
    let slots = world.ring.purpose_slots(&id, newest.dataset());
    assert!(
        slots
            .iter()
            .all(|slot| slot.key_epoch == newest.key_epoch())
    );
}

#[test]
fn i3_killed_while_retagging() {
    killed("retag", 200..=200);
}

#[test]
fn i3_killed_while_forgetting() {
    killed("forget", 100..=200);
}

#[test]
fn i3_killed_while_consent_is_removed() {
    killed("consent", 200..=200);
}

#[test]
fn i3_killed_while_rotating() {
    killed("rotate", 200..=200);
}

#[test]
fn i3_killed_while_sealing_again() {
    killed("seal", 200..=200);
}
