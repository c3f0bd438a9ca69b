//! The end of a run: the crosswalk in its place, the last answers, what goes when it is too old.

use super::*;

/// The kinds of records of a journal, by the lengths that anybody can read.
pub fn record_bytes(journal: &[u8]) -> Vec<usize> {
    let mut rest = journal
        .get("incamera-match-journal/1\n".len() + 8..)
        .unwrap();
    let mut lengths = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        lengths.push(length);
        rest = behind.get(8 + length..).unwrap_or_default();
    }
    lengths
}

/// A digest of the crosswalk, sealed; and a record that holds nothing.
pub const CROSSWALK: usize = 12 + 16 + 9 + 32;
pub const EMPTY: usize = 12 + 16 + 9;

/// The shop has all its answers and the mailer, killed, lacks its own.
fn shop_writes_alone(world: &World) -> Running {
    let shop = Running::start(world, "shop", &[]);
    let mailer = Running::start(world, "mailer", &[]);
    until_under_way(world, "mailer");
    assert!(mailer.kill());
    shop
}

fn is_in_place(world: &World) -> bool {
    let crosswalks = fs::read_dir(world.root().join("shop/crosswalks"));
    let mut paths = crosswalks.into_iter().flatten();
    paths.any(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|end| end == "parquet")
    })
}

fn runs(world: &World, party: &str) -> usize {
    let history = fs::read_to_string(slot(world, party).join("history")).unwrap();
    history.matches("\"run\":{").count()
}

/// Killed when its crosswalk is in place and the journal does not say so yet: the next start knows
/// its own crosswalk, serves the peer, and counts no other run.
#[test]
fn killed_between_the_crosswalk_and_the_journals_word() {
    let world = world();
    write_ids(&world, "shop", 2_900..3_100);
    write_ids(&world, "mailer", 3_000..11_000);
    let wanted = reference(&world);
    let mut hits = 0;
    for attempt in 0..30 {
        let before = ["shop", "mailer"].map(|party| runs(&world, party));
        let shop = shop_writes_alone(&world);
        let start = Instant::now();
        while !is_in_place(&world) {
            assert!(start.elapsed() < Duration::from_secs(60), "{attempt}");
        }
        assert!(shop.kill());
        let journal = fs::read(slot(&world, "shop").join("journal")).unwrap();
        let lengths = record_bytes(&journal);
        let hit = lengths.last() == Some(&CROSSWALK);
        assert!(hit || lengths.last() == Some(&EMPTY), "{lengths:?}");
        hits += u32::from(hit);
        let [shop, mailer] = ["shop", "mailer"].map(|party| Running::start(&world, party, &[]));
        let (shop, mailer) = (shop.good(), mailer.good());
        assert_eq!(shop["answered_only"], true, "{shop:#}");
        assert!(number(&mailer, "/resumed_from") > 0, "{mailer:#}");
        assert!(take_away(&world) == wanted);
        let after = ["shop", "mailer"].map(|party| runs(&world, party));
        assert_eq!(after, before.map(|runs| runs + 1));
        assert_eq!(journal_bytes(&world, "shop"), 0);
        if hits > 0 {
            return;
        }
    }
    panic!("never killed between the two");
}

/// The last run that the agreement allows: its answers are given all the same.
#[test]
fn the_last_run_is_served_too() {
    let world = world_with(1);
    write_ids(&world, "shop", 2_900..3_100);
    write_ids(&world, "mailer", 3_000..11_000);
    let shop = shop_writes_alone(&world);
    until("written", || is_in_place(&world));
    shop.kill();
    let [shop, mailer] = ["shop", "mailer"].map(|party| Running::start(&world, party, &[]));
    assert_eq!(shop.good()["answered_only"], true);
    assert!(number(&mailer.good(), "/resumed_from") > 0);
    // There is no other one.
    let (code, refused) = Running::start(&world, "shop", &[]).end();
    assert_eq!(code, 3, "{refused:#}");
    assert_eq!(["shop", "mailer"].map(|party| runs(&world, party)), [1, 1]);
    // It is told how much is used.
    let told = world.done(&["status", "--party", &world.path("shop")]);
    let used = &told.document["agreements"][0]["matching_used"]["email"];
    let expected =
        serde_json::json!({ "runs": 1, "max_runs": 1, "ids": 200, "ids_allowed": 500_000 });
    assert_eq!(*used, expected);
}

/// An append that was killed near the limit is not measured against itself.
#[test]
fn an_append_near_the_limit_goes_on() {
    let world = world_of(|text| {
        let lines = text
            .lines()
            .map(|line| match line.starts_with("max_ids =") {
                true => "max_ids = 10_000",
                false => line,
            });
        let text = lines.collect::<Vec<_>>().join("\n");
        text + "\n"
    });
    write_ids(&world, "shop", 0..6_000);
    reference_kept(&world);
    write_ids(&world, "shop", 0..9_990);
    let append = ["--append"];
    let runs = ["shop", "mailer"].map(|party| Running::start(&world, party, &append));
    let before = journal_bytes(&world, "mailer");
    until("under way", || {
        journal_bytes(&world, "mailer") > before + 20_000
    });
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let [shop, mailer] = ["shop", "mailer"].map(|party| Running::start(&world, party, &append));
    assert!(number(&shop.good(), "/resumed_from") > 0);
    mailer.good();
    // One that is over it is refused at home, before anybody is dialled.
    write_ids(&world, "shop", 0..10_300);
    let (code, refused) = Running::start(&world, "shop", &append).end();
    assert_eq!(code, 3, "{refused:#}");
    assert!(
        refused.to_string().contains("without `--append`"),
        "{refused:#}"
    );
}

/// What is too old to be gone on with goes with `status`, and with a run of any other kind; what
/// a run is at stays.
#[test]
fn expired_journals_are_removed_by_status() {
    let world = world();
    let keep = ["--keep-journal", "1"];
    let runs = ["shop", "mailer"].map(|party| Running::start(&world, party, &keep));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let status = || {
        let told = world.done(&["status", "--party", &world.path("shop")]);
        number(&told.document, "/match_journals_removed")
    };
    assert_eq!(status(), 0);
    assert!(journal_bytes(&world, "shop") > 0);
    // An hour ago, as it stands in clear behind the name.
    let path = slot(&world, "shop").join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let at = "incamera-match-journal/1\n".len();
    let until = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    bytes[at..at + 8].copy_from_slice(&(until - 7_200).to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let lock = fs::File::open(slot(&world, "shop").join("lock")).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(status(), 0, "a run is at it");
    lock.unlock().unwrap();
    assert_eq!(status(), 1);
    assert_eq!(journal_bytes(&world, "shop"), 0);
    assert_eq!(status(), 0);
}
