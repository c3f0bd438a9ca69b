//! `match run` where each party learns which of its own ids the other has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use incamera_seal::CrosswalkReader;
use serde_json::Value;

use crate::alone::has_figures;
use crate::by_hand::tables::{texts, write_parquet};
use crate::cut_off::{
    Running, WHOLE_JOURNAL, crosswalk, journal_bytes, number, reference, slot, take_away,
    until_under_way, world_as, write_ids,
};
use crate::help::stdout;
use crate::world::{Data, World};

const PARTIES: [&str; 2] = ["shop", "mailer"];

fn id(person: u32) -> String {
    format!("q{person}@mail.example")
}

/// Which ids a crosswalk says that the other has too, and which not.
fn told(world: &World, party: &str) -> BTreeMap<String, bool> {
    let mut reader = CrosswalkReader::open(&crosswalk(world, party)).unwrap();
    let mut rows = BTreeMap::new();
    while let Some(row) = reader.next().unwrap() {
        rows.insert(row.id.to_owned(), row.matched.unwrap());
    }
    rows
}

/// Both sides' runs, the shop's first.
fn both(world: &World, shop: &[&str], mailer: &[&str]) -> [Value; 2] {
    let ours = Running::start(world, "shop", shop);
    let theirs = Running::start(world, "mailer", mailer).good();
    [ours.good(), theirs]
}

/// A world with few ids, written anew before each run.
fn few() -> World {
    let world = world_as(World::revealing);
    write_ids(&world, "shop", 0..400);
    write_ids(&world, "mailer", 200..600);
    world
}

/// What a plain join of both sides' ids finds, whatever their sizes and how the files look.
#[test]
fn matches_are_what_a_join_finds() {
    let world = few();
    let sizes = [
        (0..600, 300..800),
        (0..50, 100..150),
        (0..120, 0..120),
        (7..8, 0..3000),
        (0..2000, 1999..2000),
    ];
    for (own, other) in sizes {
        // The shop's CSV has ids in capitals, twice, and others that are none.
        let mut text = String::from("email\nnobody\n");
        for person in own.clone() {
            text += &id(person).to_uppercase();
            text += &format!("\n{}\n\n", id(person));
        }
        fs::write(world.path("data/shop.csv"), text).unwrap();
        let parquet = world.root().join("data/mailer.parquet");
        write_parquet(&parquet, vec![("email", texts(other.clone().map(id)))]);
        let shop = Running::start(&world, "shop", &[]);
        let mailer = Running::start_on(&world, "mailer", "mailer", "data/mailer.parquet", &[]);
        let said = [shop.good(), mailer.good()];
        let joined = own.clone().filter(|person| other.contains(person)).count() as u64;
        for ((party, said), (all, of)) in PARTIES
            .iter()
            .zip(&said)
            .zip([(own.clone(), &other), (other.clone(), &own)])
        {
            let expected: BTreeMap<_, _> = all
                .map(|person| (id(person), of.contains(&person)))
                .collect();
            assert!(told(&world, party) == expected, "{own:?}, {other:?}");
            assert_eq!(number(said, "/matches"), joined);
            has_figures(said, "commutative", true);
        }
        take_away(&world);
    }
}

/// Matches are the same where both prove that they answer with one key, in a first run, with ids
/// that are appended, and in a run that was killed on both sides.
#[test]
fn matches_stand_beside_proofs_of_one_key() {
    let world = few();
    let proven = ["--row-keys"];
    let check = |said: [Value; 2], own: u32, first: u32, end: u32| {
        for (party, said) in PARTIES.iter().zip(&said) {
            assert_eq!(said["row_keys"], true, "{said:#}");
            assert_eq!(number(said, "/matches"), u64::from(own - first));
            let all = if *party == "shop" { 0..own } else { first..end };
            let both = first..own;
            let expected: BTreeMap<_, _> = all.map(|n| (id(n), both.contains(&n))).collect();
            assert!(told(&world, party) == expected, "{party}");
        }
    };
    check(both(&world, &proven, &proven), 400, 200, 600);
    write_ids(&world, "shop", 0..500);
    write_ids(&world, "mailer", 200..700);
    let appended = ["--row-keys", "--append"];
    check(both(&world, &appended, &appended), 500, 200, 700);
    take_away(&world);
    write_ids(&world, "shop", 0..6_000);
    write_ids(&world, "mailer", 3_000..8_000);
    let runs = PARTIES.map(|party| Running::start(&world, party, &proven));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let said = both(&world, &proven, &proven);
    assert!(said.iter().all(|said| number(said, "/resumed_from") > 0));
    check(said, 6_000, 3_000, 8_000);
}

/// A side without a single id is refused before anybody is dialled; with `--append` it answers.
#[test]
fn sets_may_be_empty_where_ids_are_appended() {
    let world = few();
    fs::write(world.path("data/shop.csv"), "email\n").unwrap();
    let (code, refused) = Running::start(&world, "shop", &[]).end();
    assert_eq!(code, 1, "{refused:#}");
    assert!(
        refused.to_string().contains("nothing to match"),
        "{refused:#}"
    );
    let [shop, mailer] = both(&world, &["--append"], &[]);
    assert_eq!(
        (number(&shop, "/matches"), number(&mailer, "/matches")),
        (0, 0)
    );
    assert!(told(&world, "shop").is_empty());
    assert_eq!(told(&world, "mailer").len(), 400);
    // What came of the mailer is kept: the shop's first ids meet it.
    write_ids(&world, "shop", 100..300);
    fs::write(world.path("data/mailer.csv"), "email\n").unwrap();
    let [shop, mailer] = both(&world, &["--append"], &["--append"]);
    assert_eq!(
        (number(&shop, "/matches"), number(&mailer, "/matches")),
        (100, 100)
    );
    assert_eq!(
        (number(&mailer, "/peer_ids"), number(&shop, "/peer_ids")),
        (200, 0)
    );
}

/// An empty set is matched where it is meant: the other side is answered, and the crosswalk gets
/// no rows.
#[test]
fn a_set_that_is_empty_on_purpose_is_matched() {
    let world = few();
    fs::write(world.path("data/shop.csv"), "email\n").unwrap();
    let [shop, mailer] = both(&world, &["--allow-empty"], &[]);
    assert_eq!(
        (number(&shop, "/matches"), number(&mailer, "/matches")),
        (0, 0)
    );
    assert_eq!(
        (number(&shop, "/peer_ids"), number(&mailer, "/peer_ids")),
        (400, 0)
    );
    assert!(told(&world, "shop").is_empty());
    assert_eq!(told(&world, "mailer").len(), 400);
    assert_eq!(number(&shop, "/used/runs"), 1);
    let world = few();
    fs::write(world.path("data/shop.csv"), "email\n").unwrap();
    fs::write(world.path("data/mailer.csv"), "email\n").unwrap();
    let empty = both(&world, &["--allow-empty"], &["--allow-empty"]);
    assert!(
        empty
            .iter()
            .all(|said| number(said, "/crosswalk_rows") == 0),
        "{empty:#?}"
    );
    assert!(PARTIES.iter().all(|party| told(&world, party).is_empty()));
}

/// What each side has and has sent, and a run of both after which each side's crosswalk says what
/// a join of the two finds.
struct Model {
    world: World,
    rows: [BTreeSet<u32>; 2],
    sent: [BTreeSet<u32>; 2],
}

type Ids = std::ops::Range<u32>;

impl Model {
    fn new() -> Self {
        Self {
            world: few(),
            rows: Default::default(),
            sent: Default::default(),
        }
    }

    /// Each side's ids, and whether it appends.
    #[track_caller]
    fn run(&mut self, sides: [(Ids, bool); 2]) -> [Value; 2] {
        let mut arguments: [&[&str]; 2] = [&[]; 2];
        for (at, (ids, append)) in sides.into_iter().enumerate() {
            write_ids(&self.world, PARTIES[at], ids.clone());
            if append {
                arguments[at] = &["--append"];
                let new = ids.clone().filter(|id| !self.rows[at].contains(id));
                self.sent[at].extend(new);
            } else {
                self.sent[at] = ids.clone().collect();
            }
            self.rows[at].extend(ids);
        }
        let said = both(&self.world, arguments[0], arguments[1]);
        for (at, said) in said.iter().enumerate() {
            let theirs = &self.sent[1 - at];
            let expected: BTreeMap<_, _> = self.rows[at]
                .iter()
                .map(|person| (id(*person), theirs.contains(person)))
                .collect();
            assert!(
                told(&self.world, PARTIES[at]) == expected,
                "{}",
                PARTIES[at]
            );
            let matches = expected.values().filter(|matched| **matched).count();
            assert_eq!(number(said, "/matches"), matches as u64);
        }
        said
    }
}

/// Rows of earlier runs meet what comes later, in either order; rows that matched stay matched,
/// also if they are not in the data any more; a full run of the peer begins anew.
#[test]
fn appended_ids_meet_what_came_before_and_the_other_way_about() {
    let mut model = Model::new();
    model.run([(0..400, false), (200..600, false)]);
    // New own ids against what is kept of the mailer; its rows against the shop's new ids.
    let [shop, mailer] = model.run([(100..650, true), (200..600, true)]);
    assert_eq!((number(&shop, "/new"), number(&mailer, "/new")), (250, 0));
    assert_eq!(number(&mailer, "/peer_ids"), 250 + 64);
    assert_eq!(number(&shop, "/compared"), 64);
    // The other way about, and none of the earlier ids stands in the file: none is mixed in.
    let [shop, mailer] = model.run([(0..650, true), (0..200, true)]);
    assert_eq!(number(&mailer, "/new"), 200);
    assert_eq!(number(&shop, "/peer_ids"), 200);
    assert_eq!(number(&mailer, "/compared"), 0);
    assert_eq!(number(&shop, "/peer_ids_from_earlier_runs_at_most"), 64);
    // Both at once.
    model.run([(700..740, true), (720..760, true)]);
    // One in full, the other not: what left the mailer's data is no match any more.
    let [shop, _] = model.run([(740..760, true), (300..500, false)]);
    assert_eq!(number(&shop, "/peer_ids_from_earlier_runs_at_most"), 0);
    model.run([(600..800, false), (780..790, true)]);
    // Both in full, with rows that are in nobody's data any more.
    model.run([(0..50, false), (40..60, false)]);
}

/// Without what is kept of the other side's rows, it has to send all of them again.
#[test]
fn what_is_kept_is_needed_where_the_other_appends() {
    let mut model = Model::new();
    model.run([(0..400, false), (200..600, false)]);
    let kept = slot(&model.world, "shop").join("theirs");
    let older = fs::read(&kept).unwrap();
    model.run([(0..410, true), (600..610, true)]);
    let mut damaged = fs::read(&kept).unwrap();
    damaged[1_000] ^= 1;
    for (bytes, why) in [
        (None, "not all that it sent before is kept"),
        (Some(damaged), "damaged"),
        (Some(older), "not all that it sent before is kept"),
    ] {
        match bytes {
            Some(bytes) => fs::write(&kept, bytes).unwrap(),
            None => fs::remove_file(&kept).unwrap(),
        }
        let runs = |party| {
            let history = fs::read_to_string(slot(&model.world, party).join("history")).unwrap();
            history.matches("\"run\":{").count()
        };
        let before = runs("shop");
        write_ids(&model.world, "mailer", 610..620);
        let shop = Running::start(&model.world, "shop", &[]);
        let mailer = Running::start(&model.world, "mailer", &["--append"]);
        let (code, refused) = shop.end();
        assert_eq!(code, 1, "{refused:#}");
        let text = refused.to_string();
        assert!(
            text.contains(why) && text.contains("without `--append`"),
            "{refused:#}"
        );
        assert_eq!(runs("shop"), before, "it was not counted");
        assert_eq!(mailer.end().0, 1);
    }
    // Its full run takes the place of all that, and it may append again.
    model.run([(0..410, false), (200..615, false)]);
    model.run([(410..420, true), (615..620, true)]);
}

/// Killed at several moments on either side or on both, a run goes on and comes to the bytes of
/// an undisturbed one; so does one that appends.
#[test]
fn killed_runs_come_to_the_same_matches() {
    let world = world_as(World::revealing);
    let wanted = reference(&world);
    for (attempt, killed) in [&[0][..], &[1], &[0, 1], &[0, 1]].into_iter().enumerate() {
        let mut runs = PARTIES.map(|party| Some(Running::start(&world, party, &[])));
        let moment = WHOLE_JOURNAL * (1 + attempt as u64) / 8;
        while journal_bytes(&world, "shop") < moment {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        for at in killed {
            assert!(runs[*at].take().unwrap().kill(), "attempt {attempt}");
        }
        for at in killed {
            runs[*at] = Some(Running::start(&world, PARTIES[*at], &[]));
        }
        for run in runs.into_iter().flatten() {
            assert_eq!(number(&run.good(), "/matches"), 3_000, "attempt {attempt}");
        }
        assert!(take_away(&world) == wanted, "attempt {attempt}");
    }
    // The same in two steps, the second killed.
    write_ids(&world, "shop", 0..2_000);
    write_ids(&world, "mailer", 3_000..5_000);
    both(&world, &[], &[]);
    write_ids(&world, "shop", 0..6_000);
    write_ids(&world, "mailer", 3_000..8_000);
    let runs = PARTIES.map(|party| Running::start(&world, party, &["--append"]));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let runs = PARTIES.map(|party| Running::start(&world, party, &["--append"]));
    for run in runs {
        let said = run.good();
        assert!(number(&said, "/resumed_from") > 0, "{said:#}");
        assert_eq!(number(&said, "/matches"), 3_000);
    }
    assert!(take_away(&world) == wanted);
}

/// A run that was given up may have given the other side answers: it has to send all again.
#[test]
fn after_a_run_that_was_given_up_the_other_side_sends_all() {
    let world = world_as(World::revealing);
    write_ids(&world, "shop", 0..1_000);
    both(&world, &[], &[]);
    write_ids(&world, "shop", 0..6_000);
    write_ids(&world, "mailer", 3_000..12_000);
    let runs = PARTIES.map(|party| Running::start(&world, party, &["--append"]));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    // Whichever refuses first hangs up on the other.
    let runs = PARTIES.map(|party| Running::start(&world, party, &["--append", "--anew"]));
    let ended = runs.map(Running::end);
    assert!(ended.iter().all(|(code, _)| *code == 1), "{ended:?}");
    assert!(
        ended
            .iter()
            .any(|(_, refused)| refused.to_string().contains("a run was given up")),
        "{ended:?}"
    );
    let [shop, mailer] = both(&world, &["--anew"], &["--anew"]);
    assert_eq!(
        (number(&shop, "/matches"), number(&mailer, "/matches")),
        (3_000, 3_000)
    );
}

/// Everything that comes after matching takes the column, and leaves it where it takes rows away.
#[test]
fn sealing_asking_and_forgetting_take_the_column() {
    let world = World::agreed_as(World::revealing);
    let mut data = Data::small();
    data.mailing += "somebody.else@mail.example,true\n";
    world.prepare(&data);
    let rows = told(&world, "mailer");
    assert_eq!(rows.len(), 241);
    let unmatched: Vec<_> = rows.iter().filter(|(_, matched)| !**matched).collect();
    assert_eq!(
        unmatched,
        [(&"somebody.else@mail.example".to_owned(), &false)]
    );
    assert_eq!(world.query(&[]).code, 0);
    let ids = world.path("forgotten.csv");
    fs::write(&ids, "email\np1@mail.example\n").unwrap();
    let mailer = world.path("mailer");
    world.done(&["data", "forget", "--party", &mailer, "--ids", &ids, "--yes"]);
    let mut left = rows;
    left.remove("p1@mail.example");
    assert_eq!(told(&world, "mailer"), left);
    world.push_one("mailer");
    assert_eq!(world.query(&[]).code, 0);
    // In words, for people.
    let (shop, customers) = (world.path("shop"), world.path("data/customers.csv"));
    let mailing = world.path("data/mailing.csv");
    let run = |folder: &str, data: &str| {
        crate::help::run(&["match", "run", "--party", folder, "--data", data])
    };
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&mailer, &mailing));
        let said = stdout(&run(&shop, &customers));
        assert!(said.contains("`mailer` sent 241 ids"), "{said}");
        assert!(
            said.contains("has 240 of the ids of your crosswalk too"),
            "{said}"
        );
        assert!(!said.contains("neither side learns"), "{said}");
        theirs.join().unwrap();
    });
}
