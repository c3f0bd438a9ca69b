//! What is left when sealing ends in the middle: a child of this test is killed at many moments
//! while it reads, spills, writes parts and publishes.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use incamera_keys::SigningKey;
use incamera_seal::{Consents, KeyRing, MANIFEST_FILE, PARTS_FOLDER, check_part_file, part_path};

use crate::world::{
    World, contains, customers, files_below, limits, passphrase, pseudonym, purchases, rng,
};

const CHILD: &str = "INCAMERA_TEST_SEALING";
/// Rows of one sealing: more than fit into the memory that it may use.
const ROWS: usize = 8_000;
const PEOPLE: usize = 200;
/// Stands in every row, and in no file but the owner's.
const MARK: &str = "MARKED-CATEGORY";

/// Rows that say which version they are of.
fn rows_of(version: u64) -> String {
    let mut csv = "email,day,amount,category\n".to_owned();
    for n in 0..ROWS {
        let person = n * 7_919 % PEOPLE;
        writeln!(csv, "p{person}@x,2026-03-01,{version},{MARK}-{}", n % 97).unwrap();
    }
    csv
}

fn next(world: &World) -> u64 {
    match world.out("purchases").join(MANIFEST_FILE).exists() {
        true => world.manifest("purchases").version() + 1,
        false => 1,
    }
}

fn seal_next(world: &mut World) {
    let rows = rows_of(next(world));
    world.seal_csv(&purchases(), rows).unwrap();
}

fn tiny(world: &mut World) {
    world.limits.memory_bytes = 1 << 16;
    world.limits.part_rows = 1_000;
}

/// The other half of the tests below; does nothing by itself.
#[test]
fn child() {
    let Ok(what) = env::var(CHILD) else { return };
    let (what, folder) = what.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let key = fs::read_to_string(folder.join("key")).unwrap();
    let temporary = tempfile::tempdir_in(folder).unwrap();
    let mut world = World {
        ring: KeyRing::open(&folder.join("ring.age"), &passphrase()).unwrap(),
        signer: SigningKey::from_openssh(&key, None).unwrap(),
        rng: rng(u64::from(std::process::id())),
        partitions: 4,
        limits: limits(),
        append: what == "append",
        runs: Default::default(),
        last_day: None,
        consents: Some(Consents::read(&folder.join("consents")).unwrap()),
        folder: temporary,
    };
    // The world's folder is the parent's.
    fs::remove_dir(world.folder.path()).unwrap();
    std::os::unix::fs::symlink(folder, world.folder.path()).unwrap();
    tiny(&mut world);
    loop {
        seal_next(&mut world);
    }
}

/// How many rows there are of each version.
fn counted(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for amount in world.texts("purchases", "measurement", "amount") {
        *counts.entry(amount).or_default() += 1;
    }
    counts
}

fn named(file: &Path, prefix: &str) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    name.starts_with(prefix)
}

/// What lies there is one version, whole; nothing of it is in clear. Gives the files that no
/// version names.
fn looked_at(world: &World, appended: bool) -> Vec<PathBuf> {
    let manifest = world.manifest("purchases");
    let out = world.out("purchases");
    let mut known: Vec<PathBuf> = vec![out.join(MANIFEST_FILE)];
    for part in manifest.parts() {
        let path = part_path(&out, &part.file_id);
        check_part_file(&path, &manifest, part).unwrap();
        known.push(path);
    }
    let counts = counted(world);
    let version = |version: u64| (format!("{version}.00"), ROWS);
    let expected: BTreeMap<String, usize> = match appended {
        true => (1..=manifest.version()).map(version).collect(),
        false => std::iter::once(version(manifest.version())).collect(),
    };
    assert_eq!(counts, expected, "a mixture");
    let person = *pseudonym("p0@x").unwrap().as_bytes();
    let mut unnamed = Vec::new();
    for file in files_below(&world.folder.path().join("sealed")) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.starts_with(b"PAR1"), "{}", file.display());
        for clear in [MARK.as_bytes(), b"p0@x", &person] {
            assert!(!contains(&bytes, clear), "{}", file.display());
        }
        if file.starts_with(&out) && !known.contains(&file) && !bytes.is_empty() {
            unnamed.push(file);
        }
    }
    unnamed
}

fn killed(what: &str) {
    let mut world = World::new();
    tiny(&mut world);
    let register: String = (0..PEOPLE).fold("email,consent\n".into(), |all, at| {
        let said = ["measurement", "ads;measurement"][at % 2];
        format!("{all}p{at}@x,{said}\n")
    });
    let consents = world.seal_csv(&customers(), register).unwrap().consents;
    let folder = world.folder.path().to_owned();
    consents
        .as_ref()
        .unwrap()
        .write(&folder.join("consents"))
        .unwrap();
    world.consents = consents;
    let key = world.signer.to_openssh("test").unwrap();
    fs::write(folder.join("key"), &*key).unwrap();
    let start = Instant::now();
    seal_next(&mut world);
    let (took, appended) = (start.elapsed(), what == "append");
    let (mut versions, mut spilling, mut writing) = (Vec::new(), 0, 0);
    for round in 0..90u32 {
        // On a busy machine a child may not come to it in the time that it took here.
        let done = versions.last() > Some(&2) && spilling > 1 && writing > 0;
        if round >= 18 && done {
            break;
        }
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "cut_short::child", "--nocapture"])
            .env(CHILD, format!("{what} {}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(
            Duration::from_millis(30) + took * (round * 7 % 18 + round / 18 * 9) / 9,
        );
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        world.ring.refresh().unwrap();
        let left = looked_at(&world, appended);
        spilling += usize::from(left.iter().any(|file| named(file, "spill-")));
        writing += usize::from(
            left.iter()
                .any(|file| file.parent().unwrap().ends_with(PARTS_FOLDER)),
        );
        versions.push(world.manifest("purchases").version());
    }
    assert!(
        versions.is_sorted() && versions.last() > Some(&2),
        "nothing was done: {versions:?}"
    );
    assert!(spilling > 1 && writing > 0, "{spilling} {writing}");
    // And it goes on from there; nothing is left.
    world.append = appended;
    seal_next(&mut world);
    assert_eq!(looked_at(&world, appended), [] as [PathBuf; 0]);
}

#[test]
fn i3_killed_while_sealing_and_spilling() {
    killed("seal");
}

#[test]
fn i3_killed_while_appending() {
    killed("append");
}
