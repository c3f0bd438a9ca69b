//! Ids matched part by part: all parts together are what one run gives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_seal::Crosswalk;
use incamera_testkit::stage::Outcome;
use incamera_types::Pseudonym;

use crate::invariants::support::only_entry;
use crate::world::{Data, World};

pub const PARTS: u32 = 3;

pub type Rows = BTreeMap<String, Pseudonym>;

pub fn rows(path: &Path) -> Rows {
    let crosswalk = Crosswalk::read(path).unwrap();
    let rows = crosswalk.iter();
    rows.map(|(id, pseudonym)| (id.to_owned(), pseudonym))
        .collect()
}

pub fn part_paths(world: &World, party: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(world.path(&format!("{party}/crosswalks"))).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let ending = format!("of{PARTS}.parquet");
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.display().to_string().ends_with(&ending))
        .collect();
    paths.sort();
    paths
}

/// A command of one party under the version that has parts.
pub fn under_second(world: &World, party: &str, arguments: &[&str]) -> Outcome {
    let folder = world.path(party);
    let file = world.path(&format!("{party}/agreements/second.toml"));
    let more = ["--party", &folder, "--agreement", &file];
    world.stage.command(&[arguments, &more].concat()).unwrap()
}

fn run(world: &World, party: &str, more: &[&str]) -> Outcome {
    let data = match party {
        "shop" => world.path("data/customers.csv"),
        _ => world.path("data/mailing.csv"),
    };
    let run = ["match", "run", "--data", &data];
    under_second(world, party, &[&run, more].concat())
}

#[track_caller]
pub fn good(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{}", outcome.errors);
    outcome
}

/// Both sides match one part.
fn match_part(world: &World, number: u32) -> [Outcome; 2] {
    let named = format!("{number}/{PARTS}");
    let part = ["--partition", named.as_str(), "--wait", "60"];
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| good(run(world, "mailer", &part)));
        let ours = good(run(world, "shop", &part));
        [ours, theirs.join().unwrap()]
    })
}

/// Matched in one run under version 1; version 2 has ids matched in parts.
pub fn with_parts() -> (World, [Rows; 2]) {
    let world = World::agreed();
    world.write_data(&Data::small());
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    world.match_people();
    let wholes = ["shop", "mailer"].map(|party| {
        let path = only_entry(&world.root().join(party).join("crosswalks"));
        let whole = rows(&path);
        // Away, so that nothing can be taken from it.
        fs::rename(path, world.path(&format!("{party}-whole"))).unwrap();
        whole
    });
    world.second_at_parties(|text| {
        text.replacen(
            "max_runs = 12",
            &format!("max_runs = 12\nmatch_partitions = {PARTS}"),
            1,
        )
    });
    (world, wholes)
}

/// Every id is in one part, and has there the pseudonym that one run gives it; sealing reads all
/// parts, and no fewer; who is forgotten leaves its part.
#[test]
fn all_parts_together_are_what_one_run_gives() {
    let (world, wholes) = with_parts();
    let customers = world.path("data/customers.csv");
    let seal = ["data", "seal", "customers", "--data", &customers];
    let mut sizes = 0;
    for number in 0..PARTS {
        let refused = under_second(&world, "shop", &seal);
        assert_eq!(refused.code, 1, "{}", refused.document);
        let hint = refused.text("/error/hint");
        assert!(hint.contains("for all 3 parts"), "{}", refused.document);
        let [shop, mailer] = match_part(&world, number);
        assert_eq!(shop.text("/partition"), format!("{number}/{PARTS}"));
        assert_eq!(
            shop.number("/distinct") + shop.number("/rows_of_other_parts"),
            240
        );
        assert_eq!(shop.number("/distinct"), mailer.number("/peer_ids"));
        sizes += shop.number("/distinct");
    }
    assert_eq!(sizes, 240);
    for (party, whole) in ["shop", "mailer"].into_iter().zip(&wholes) {
        let parts = part_paths(&world, party);
        assert_eq!(parts.len(), PARTS as usize);
        let all: Vec<(String, Pseudonym)> = parts.iter().flat_map(|path| rows(path)).collect();
        assert_eq!(all.len(), whole.len(), "no id is in two parts");
        assert!(all.into_iter().collect::<Rows>() == *whole);
    }
    good(under_second(&world, "shop", &seal));

    // An earlier split leaves its file, and people stand in it.
    let one = part_paths(&world, "shop").swap_remove(0);
    let (stem, _) = one.to_str().unwrap().rsplit_once(".p").unwrap();
    let (stem, _) = stem.rsplit_once(".p").unwrap();
    let whole = PathBuf::from(format!("{stem}.parquet"));
    fs::rename(world.path("shop-whole"), &whole).unwrap();
    assert!(rows(&whole).contains_key("p1@mail.example"));

    let ids = world.path("ids.txt");
    fs::write(&ids, "p1@mail.example\np2@mail.example\n").unwrap();
    let forget = ["data", "forget", "--ids", &ids, "--yes"];
    good(under_second(&world, "shop", &forget));
    let kept = rows(&whole);
    assert!(kept.len() == 238 && !kept.contains_key("p1@mail.example"));
    fs::remove_file(whole).unwrap();
    let left: Rows = part_paths(&world, "shop")
        .iter()
        .flat_map(|path| rows(path))
        .collect();
    assert_eq!(left.len(), 238);
    assert!(!left.contains_key("p1@mail.example"));
    forgotten_part_by_part(&world);
}

/// With the file of one part missing, people of the others are forgotten, and those of the
/// missing one once it is back; until then the command says that it is not done.
fn forgotten_part_by_part(world: &World) {
    let [missing, there, _] = part_paths(world, "shop").try_into().unwrap();
    let some = |path: &Path, at: usize| rows(path).into_keys().nth(at).unwrap();
    let (here, other, gone) = (some(&there, 0), some(&there, 1), some(&missing, 0));
    let away = world.path("shop-part");
    fs::rename(&missing, &away).unwrap();
    let file = world.path("ids.txt");
    let forget = |ids: &[&String]| {
        let lines: Vec<String> = ids.iter().map(|id| format!("{id}\n")).collect();
        fs::write(&file, lines.concat()).unwrap();
        let forget = ["data", "forget", "--ids", &file, "--yes"];
        under_second(world, "shop", &forget)
    };
    // Whoever is of another part is forgotten as ever; that a file is missing is said.
    let done = good(forget(&[&here]));
    assert!(
        done.errors
            .contains("nobody who is named here is of that part"),
        "{}",
        done.errors
    );
    assert!(!rows(&there).contains_key(&here));

    let undone = forget(&[&other, &gone]);
    assert_eq!(undone.code, 1, "{}", undone.document);
    let told = undone.document.to_string();
    for part in [
        "not everybody could be looked up",
        ".p0of3.parquet",
        "made already, and waiting for `incamera data push`",
        "--partition 0/3",
        "run this command again with the same file of ids",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!rows(&there).contains_key(&other));
    let undone = forget(&[&other, &gone]);
    assert_eq!(
        undone.code, 1,
        "nobody more is found, and that is not the end"
    );
    assert!(undone.document.to_string().contains("--partition 0/3"));

    fs::rename(&away, &missing).unwrap();
    assert!(rows(&missing).contains_key(&gone));
    let done = good(forget(&[&other, &gone]));
    assert_eq!(done.number("/people/known"), 1);
    assert!(!rows(&missing).contains_key(&gone));
}

/// Whoever names no part, or one that there is not, is told which there are; no run is used up.
#[test]
fn parts_that_there_are_not_are_refused() {
    let (world, _) = with_parts();
    for more in [
        &[][..],
        &["--partition", "0/1"],
        &["--partition", "1/4"],
        &["--partition", "3/3"],
    ] {
        let refused = run(&world, "shop", more);
        assert_eq!(refused.code, 2, "{more:?}: {}", refused.document);
        let text = refused.document.to_string();
        assert!(text.contains("/3") || text.contains("7/256"), "{text}");
    }
    assert!(part_paths(&world, "shop").is_empty());
}

/// Runs are counted for each part, and every part has as many as are allowed.
#[test]
fn each_part_has_its_runs() {
    let (world, _) = with_parts();
    // One run of all ids came before.
    for _ in 0..2 {
        match_part(&world, 1);
    }
    let history = fs::read_dir(world.path("shop/matching")).unwrap();
    let history = history
        .map(|entry| entry.unwrap().path().join("history"))
        .find(|path| path.exists());
    let text = fs::read_to_string(history.unwrap()).unwrap();
    assert_eq!(
        text.matches("\"partition\":{\"number\":1,\"of\":3}")
            .count(),
        2
    );
    assert_eq!(text.matches("\"run\":{").count(), 3);
}
