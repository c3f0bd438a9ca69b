//! `method = "vole"` with the built program: matched, sealed, asked, and what is refused.

mod cramped;
mod frames;
mod lines;

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use incamera_seal::{Crosswalk, CrosswalkReader};
use incamera_testkit::stage::Outcome;
use serde_json::Value;

use crate::alone::has_figures;
use crate::cut_off::Running;
use crate::invariants::support::only_entry;
use crate::world::{Data, PROGRAM, World};

const PARTIES: [&str; 2] = ["shop", "mailer"];

fn vole() -> World {
    World::agreed_as(by_vole)
}

fn by_vole(text: String) -> String {
    let method = "\"commutative\"";
    assert!(text.contains(method));
    text.replacen(method, "\"vole\"", 1)
}

#[track_caller]
fn bad(outcome: &Outcome, code: i32, says: &str) {
    let text = format!("{} {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{text}");
    assert!(text.contains(says), "`{says}`: {text}");
}

fn crosswalk(world: &World, party: &str) -> Crosswalk {
    Crosswalk::read(&only_entry(
        &world.root().join(format!("{party}/crosswalks")),
    ))
    .unwrap()
}

fn people(outcome: &Outcome) -> f64 {
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.failure(), outcome.errors);
    let people = outcome.document.pointer("/answer/rows/0/cells/0/value");
    people.and_then(Value::as_f64).unwrap_or_default()
}

fn match_run(world: &World, party: &str, data: &str, more: &[&str]) -> Outcome {
    let (folder, data) = (world.path(party), world.path(data));
    let arguments = ["match", "run", "--party", &folder, "--data", &data];
    let all = consented(party);
    world
        .stage
        .command(&[&arguments, all, more].concat())
        .unwrap()
}

/// The shop's agreement knows of consents, and files of ids alone say none.
fn consented(party: &str) -> &'static [&'static str] {
    match party {
        "shop" => &["--everyone-consented"],
        _ => &[],
    }
}

fn seal(world: &World, party: &str, dataset: &str, more: &[&str]) -> Outcome {
    let (folder, data) = (
        world.path(party),
        world.path(&format!("data/{dataset}.csv")),
    );
    let arguments = ["data", "seal", dataset, "--party", &folder, "--data", &data];
    world.stage.command(&[&arguments, more].concat()).unwrap()
}

#[test]
fn matched_by_vole_sealed_and_asked_and_data_of_two_runs_are_not() {
    let world = vole();
    world.write_data(&Data::small());
    world.start();
    let (shop, mailer) = world.match_people();
    for outcome in [&shop, &mailer] {
        assert_eq!(outcome.text("/method"), "vole");
        assert_eq!(outcome.number("/peer_ids"), 240);
        assert_eq!(outcome.number("/crosswalk_rows"), 240);
    }
    let run = shop.text("/run");
    assert!(!run.is_empty() && run == mailer.text("/run"));
    let [ours, theirs] = PARTIES.map(|party| crosswalk(&world, party));
    assert_eq!(ours.run().unwrap().to_string(), run);
    assert_eq!(theirs.run(), ours.run());
    assert!(
        ours.iter().eq(theirs.iter()),
        "the same ids have the same pseudonyms"
    );
    world.seal();
    world.push();
    let answered = people(&world.query(&[]));
    assert!(answered > 50.0, "{answered}");
    let once = world.spent("shop");

    another_run(&world, &ours);
    // The shop's data are of the new run now, the mailer's of the one before.
    let refused = world.query(&[]);
    assert_ne!(refused.code, 0);
    let text = format!("{} {}", refused.failure(), refused.text("/error/hint"));
    for part in [
        "of different matching runs",
        "`mailing`",
        "kind `email`",
        "seal all their data sets again",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(world.spent("shop"), once, "nothing was spent");
    world.seal_one("mailer", "mailing");
    world.push_one("mailer");
    assert!(people(&world.query(&[])) > 50.0);
}

/// Both match again; the shop seals its data of that run, and cannot do otherwise.
fn another_run(world: &World, before: &Crosswalk) {
    world.match_people();
    let after = crosswalk(world, "shop");
    assert_ne!(after.run(), before.run());
    let mut pairs = before.iter().zip(after.iter());
    assert!(pairs.all(|(old, new)| old.0 == new.0 && old.1 != new.1));

    bad(
        &seal(world, "shop", "purchases", &[]),
        1,
        "of another matching run",
    );
    bad(
        &seal(world, "mailer", "mailing", &["--append"]),
        1,
        "another matching run",
    );
    fs::write(world.path("ids.txt"), "p1@mail.example\n").unwrap();
    let (ids, folder) = (world.path("ids.txt"), world.path("shop"));
    let forget = ["data", "forget", "--party", &folder, "--ids", &ids, "--yes"];
    bad(
        &world.stage.command(&forget).unwrap(),
        1,
        "another matching run",
    );
    for dataset in ["customers", "purchases"] {
        let sealed = seal(world, "shop", dataset, &[]);
        assert_eq!(sealed.code, 0, "{}", sealed.failure());
    }
    world.push_one("shop");
}

fn write_ids(world: &World, name: &str, people: std::ops::Range<u32>) {
    fs::create_dir_all(world.path("data")).unwrap();
    let lines = people.map(|person| format!("q{person}@mail.example\n"));
    let text = String::from("email\n") + &lines.collect::<String>();
    fs::write(world.path(&format!("data/{name}.csv")), text).unwrap();
}

/// Both at once, each with its own ids.
fn match_both(world: &World) -> [Outcome; 2] {
    std::thread::scope(|scope| {
        let both = PARTIES.map(|party| {
            scope.spawn(move || match_run(world, party, &format!("data/{party}.csv"), &[]))
        });
        both.map(|one| one.join().unwrap())
    })
}

/// A run of both sides that ends well.
#[track_caller]
fn run_well(world: &World) {
    for run in PARTIES.map(|party| Running::start(world, party, &[])) {
        run.good();
    }
}

#[test]
fn own_matches_by_vole_are_told_and_runs_are_counted() {
    let world = World::agreed_as(|text| {
        let text = text.replacen("\"commutative\"", "\"vole\"\nsecurity = \"semi-honest\"", 1);
        let text = text.replacen("reveals = \"nothing\"", "reveals = \"own-matches\"", 1);
        text.replacen("max_runs = 12", "max_runs = 1", 1)
    });
    write_ids(&world, "shop", 0..300);
    write_ids(&world, "mailer", 250..260);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    let outcomes = match_both(&world);
    for (outcome, party) in outcomes.iter().zip(PARTIES) {
        assert_eq!(
            outcome.code,
            0,
            "{party}: {}\n{}",
            outcome.failure(),
            outcome.errors
        );
        assert_eq!(outcome.number("/matches"), 10);
        has_figures(&outcome.document, "vole", true);
        let path = only_entry(&world.root().join(format!("{party}/crosswalks")));
        let mut rows = CrosswalkReader::open(&path).unwrap();
        let mut matched = HashMap::new();
        while let Some(row) = rows.next().unwrap() {
            matched.insert(row.id.to_owned(), row.matched);
        }
        assert_eq!(matched.len(), if party == "shop" { 300 } else { 10 });
        for (id, matched) in matched {
            let number: u32 = id[1..].split('@').next().unwrap().parse().unwrap();
            assert_eq!(matched, Some((250..260).contains(&number)), "{id}");
        }
    }
    // Each set is sorted by itself: an id stands at another place on either side.
    let [ours, theirs] = PARTIES.map(|party| crosswalk(&world, party));
    assert_eq!((ours.len(), theirs.len()), (300, 10));
    let mut rows = theirs.iter();
    assert!(rows.all(|(id, pseudonym)| ours.lookup(id) == Some(pseudonym)));
    let again = match_run(&world, "shop", "data/shop.csv", &["--wait", "1"]);
    bad(
        &again,
        3,
        "the agreement allows 1 runs in this epoch, and 1 were made",
    );
}

/// A side may be empty where it is meant.
#[test]
fn a_set_that_is_empty_on_purpose_is_matched_by_vole() {
    let world = vole();
    write_ids(&world, "shop", 0..0);
    write_ids(&world, "mailer", 0..40);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    let [shop, mailer] = std::thread::scope(|scope| {
        let run = |party, more| {
            let data = format!("data/{party}.csv");
            let world = &world;
            scope.spawn(move || match_run(world, party, &data, more))
        };
        [run("shop", &["--allow-empty"][..]), run("mailer", &[])].map(|side| side.join().unwrap())
    });
    assert_eq!(
        (shop.code, mailer.code),
        (0, 0),
        "{} {}",
        shop.failure(),
        mailer.failure()
    );
    assert_eq!(shop.number("/peer_ids"), 40);
    let rows = [&shop, &mailer].map(|side| side.number("/crosswalk_rows"));
    assert_eq!(rows, [0, 40]);
}

#[test]
fn what_vole_does_not_match_is_refused_before_anybody_is_met() {
    let world = World::agreed_as(|text| {
        let text = text.replacen("\"commutative\"", "\"vole\"", 1);
        text.replacen("max_ids = 500_000", "max_ids = 1_000", 1)
    });
    write_ids(&world, "shop", 0..400);
    let many = match_run(&world, "shop", "data/shop.csv", &[]);
    bad(&many, 1, "may have up to 1676 evaluated");
    bad(&many, 1, "agree on `max_ids` of at least 1676");
    bad(&many, 1, "method = \"commutative\"");
    let append = match_run(&world, "shop", "data/shop.csv", &["--append"]);
    bad(&append, 2, "each run gives all ids new pseudonyms");
}

/// A `match run` under way.
fn start(world: &World, party: &str) -> Child {
    let (folder, data) = (world.path(party), world.path(&format!("data/{party}.csv")));
    let out = fs::File::create(world.root().join(format!("{party}.out"))).unwrap();
    Command::new(PROGRAM)
        .args([
            "--json", "match", "run", "--party", &folder, "--data", &data,
        ])
        .args(consented(party))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs that a party's history has.
fn counted(world: &World, party: &str) -> usize {
    let folder = world.root().join(format!("{party}/matching"));
    let Ok(mut slots) = fs::read_dir(folder) else {
        return 0;
    };
    let slot = slots
        .next()
        .map(|slot| slot.unwrap().path().join("history"));
    let history = slot.and_then(|history| fs::read_to_string(history).ok());
    history.map_or(0, |text| text.matches("\"run\":{").count())
}

#[test]
fn a_run_that_is_killed_is_begun_anew_and_counted_twice() {
    let world = vole();
    write_ids(&world, "shop", 0..20_000);
    write_ids(&world, "mailer", 10_000..30_000);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    let (mut shop, mut mailer) = (start(&world, "shop"), start(&world, "mailer"));
    let end = Instant::now() + Duration::from_secs(60);
    while counted(&world, "shop") == 0 {
        assert!(Instant::now() < end, "the run was not begun");
        assert!(shop.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    shop.kill().unwrap();
    shop.wait().unwrap();
    // The other side is told, and writes nothing.
    assert_eq!(mailer.wait().unwrap().code(), Some(1));
    let said = fs::read_to_string(world.path("mailer.out")).unwrap();
    assert!(said.contains("the matching broke off"), "{said}");
    assert!(
        said.contains("that is a new run, and counts as one"),
        "{said}"
    );
    assert!(
        !world
            .root()
            .join("mailer/crosswalks")
            .read_dir()
            .is_ok_and(|mut all| all.next().is_some())
    );
    assert_eq!(counted(&world, "shop"), 1);

    let outcomes = match_both(&world);
    for (outcome, party) in outcomes.iter().zip(PARTIES) {
        assert_eq!(outcome.code, 0, "{party}: {}", outcome.failure());
        assert_eq!(counted(&world, party), 2, "{party}");
    }
    let [ours, theirs] = PARTIES.map(|party| crosswalk(&world, party));
    let theirs: HashMap<&str, _> = theirs.iter().collect();
    let joined = ours.iter().filter(|(id, of)| theirs.get(id) == Some(of));
    assert_eq!(joined.count(), 10_000);
    let others: Vec<_> = ours
        .iter()
        .filter(|(id, _)| !theirs.contains_key(id))
        .collect();
    let known: std::collections::HashSet<_> = theirs.values().collect();
    assert!(others.iter().all(|(_, of)| !known.contains(of)));
}
