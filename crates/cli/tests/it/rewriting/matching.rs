//! People who are forgotten while a `match run` is under way, which read their ids before.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use incamera_seal::Crosswalk;
use incamera_testkit::stage::Outcome;
use incamera_testkit::wiretap::{Mark, search_folder};

use super::{consents, data, good, person, rows, run, write_ids};
use crate::invariants::support::{Holdings, only_entry};
use crate::world::World;

const FORGOTTEN: &str = "p1@mail.example";
const NEW: &str = "somebody.new@mail.example";

fn match_run(world: &World, party: &str, file: &str) -> Outcome {
    let (folder, file) = (world.path(party), world.path(&format!("data/{file}.csv")));
    let arguments = ["match", "run", "--party", &folder, "--data", &file];
    good(run(world, &[&arguments[..], &["--wait", "120"]].concat()))
}

/// How often a party has come to the meeting point so far.
fn joined(world: &World) -> usize {
    let log = fs::read_to_string(world.path("shop.log")).unwrap();
    let joined = |line: &&str| line.contains("joined the meeting point");
    log.lines().filter(joined).count()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody stands in the source whom no run before had.
fn somebody_new(world: &World) {
    let customers = world.path("data/customers.csv");
    let text = fs::read_to_string(&customers).unwrap();
    fs::write(customers, text + &format!("{NEW},ads;measurement\n")).unwrap();
}

fn crosswalk_file(world: &World) -> PathBuf {
    only_entry(&world.root().join("shop/crosswalks"))
}

#[test]
fn i3_a_match_run_under_way_brings_back_nobody_who_was_forgotten() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    let before = holdings.crosswalk("shop");
    let one = person(&before, FORGOTTEN);
    somebody_new(&world);
    let ids = write_ids(&world, &format!("{FORGOTTEN}\n"));
    assert_eq!(joined(&world), 2, "the log says who comes");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| match_run(&world, "shop", "customers"));
        until("at the meeting point", || joined(&world) > 2);
        good(data(&world, &["forget", "--ids", &ids, "--yes"]));
        assert!(holdings.crosswalk("shop").lookup(FORGOTTEN).is_none());
        match_run(&world, "mailer", "mailing");
        let told = waiting.join().unwrap();
        assert_eq!(told.number("/forgotten_meanwhile"), 1);
        assert_eq!(told.number("/distinct"), before.len() as u64 + 1);
    });
    let after = holdings.crosswalk("shop");
    assert!(after.lookup(FORGOTTEN).is_none());
    assert!(after.lookup(NEW).is_some() && after.lookup("p2@mail.example").is_some());
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|(_, pseudonym)| pseudonym != one));
    assert!(consents(&world).class(&one).is_none());
    for name in ["customers", "purchases"] {
        assert!(!rows(&world, name, "measurement").contains_key(one.as_bytes()));
    }
    let mark = Mark::text("the id", FORGOTTEN).and_bytes(one.as_bytes());
    let hits = search_folder(&world.root().join("shop"), &[mark]).unwrap();
    assert_eq!(hits, []);
}

/// What a run gives is added once whoever changes the crosswalk is done with it.
#[test]
fn i3_a_match_run_waits_for_whoever_changes_the_crosswalk() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    somebody_new(&world);
    let file = crosswalk_file(&world);
    let lock = holdings.path("shop/consents").join(
        file.file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.split('-').next())
            .map(|agreement| format!("{agreement}.lock"))
            .unwrap(),
    );
    let held = fs::File::options().write(true).open(lock).unwrap();
    std::thread::scope(|scope| {
        held.lock().unwrap();
        let read = Crosswalk::read(&file).unwrap();
        let ours = scope.spawn(|| match_run(&world, "shop", "customers"));
        match_run(&world, "mailer", "mailing");
        std::thread::sleep(Duration::from_secs(2));
        assert!(!ours.is_finished(), "it waited for nobody");
        let left = read.iter().filter(|(id, _)| *id != FORGOTTEN);
        let left = left.map(|(id, pseudonym)| (id.to_owned(), pseudonym));
        let left = Crosswalk::new(read.scope().clone(), left);
        left.write(&file).unwrap();
        held.unlock().unwrap();
        assert_eq!(ours.join().unwrap().number("/forgotten_meanwhile"), 1);
    });
    let after = holdings.crosswalk("shop");
    assert!(after.lookup(NEW).is_some() && after.lookup(FORGOTTEN).is_none());
}
