//! What a run leaves in its party's folder, and what is made of it.

use incamera_testkit::wiretap::{Mark, search_folder};

use super::*;

/// No id stands in clear in what a run writes while it is under way, and none of its files can
/// be read by others.
#[test]
fn i1_no_id_stands_in_spill_or_journal() {
    let world = world();
    write_ids(&world, "shop", 0..20_000);
    // Memory for a few thousand ids: the others are spilled.
    let small = ["--arena", "64"];
    let shop = Running::start(&world, "shop", &small);
    let mailer = Running::start(&world, "mailer", &small);
    until_under_way(&world, "shop");
    shop.signal("-STOP");
    let folder = slot(&world, "shop");
    let names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("spill-")),
        "{names:?}"
    );
    assert!(names.contains(&"journal".to_owned()), "{names:?}");
    let marks = [
        Mark::text("an id", "q77@mail.example"),
        Mark::text("a domain", "mail.example"),
    ];
    assert_eq!(search_folder(&folder, &marks).unwrap(), []);
    for name in &names {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    shop.signal("-CONT");
    shop.good();
    mailer.good();
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 2, "history and lock alone stay");
}

/// A killed process's spill opens for nobody; the next start removes it.
#[test]
fn a_killed_process_leaves_no_spill_for_long() {
    let world = world();
    let small = ["--arena", "64"];
    let shop = Running::start(&world, "shop", &small);
    let mailer = Running::start(&world, "mailer", &small);
    until_under_way(&world, "shop");
    let spilled = || {
        let names = fs::read_dir(slot(&world, "shop")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("spill-")).count()
    };
    assert!(shop.kill());
    assert!(spilled() > 0);
    Running::start(&world, "shop", &small).good();
    mailer.good();
    assert_eq!(spilled(), 0);
}

/// A second run of a slot is refused, and the first goes on.
#[test]
fn a_second_run_of_the_same_matching_is_refused() {
    let world = world();
    let first = Running::start(&world, "shop", &[]);
    until("begun", || world.root().join("shop/matching").exists());
    std::thread::sleep(Duration::from_millis(500));
    let (code, second) = Running::start_as(&world, "shop", "second", &[]).end();
    assert_eq!(code, 1, "{second:#}");
    assert!(
        second.to_string().contains("another `match run`"),
        "{second:#}"
    );
    Running::start(&world, "mailer", &[]).good();
    first.good();
}

/// A history that somebody changed is not believed; one that is gone begins at the ring's count.
#[test]
fn a_history_that_was_changed_is_refused() {
    let world = world();
    reference(&world);
    // The key ring learns of a run at the next start.
    reference(&world);
    let history = slot(&world, "shop").join("history");
    let text = fs::read_to_string(&history).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let cut = lines[..1].concat();
    let out = [&lines[..1], &lines[2..]].concat().concat();
    let edited = text.replacen("\"own\":6000", "\"own\":1", 1);
    for changed in [cut, out, edited] {
        fs::write(&history, changed).unwrap();
        let (code, refused) = Running::start(&world, "shop", &[]).end();
        assert_eq!(code, 3, "{refused:#}");
        assert!(refused.to_string().contains("history"), "{refused:#}");
    }
    fs::remove_file(&history).unwrap();
    reference(&world);
    let new = fs::read_to_string(&history).unwrap();
    assert!(new.contains("\"before\":1"), "{new}");
}

/// A journal that was changed in its middle is refused by name; `--anew` does without it.
#[test]
fn a_damaged_journal_is_refused_and_anew_begins_another_run() {
    let world = world();
    let wanted = reference(&world);
    let runs = ["shop", "mailer"].map(|party| Running::start(&world, party, &[]));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let journal = slot(&world, "shop").join("journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&journal, bytes).unwrap();
    let (code, refused) = Running::start(&world, "shop", &[]).end();
    assert_eq!(code, 1, "{refused:#}");
    assert!(refused.to_string().contains("damaged"), "{refused:#}");
    let shop = Running::start(&world, "shop", &["--anew"]);
    // The mailer's journal is of a run that the shop has not any more.
    Running::start(&world, "mailer", &[]).good();
    assert_eq!(number(&shop.good(), "/resumed_from"), 0);
    assert!(take_away(&world) == wanted);
}

/// New ids are added, and those that were matched before are not sent again.
#[test]
fn appending_adds_to_the_crosswalk() {
    let world = world();
    let wanted = reference(&world);
    write_ids(&world, "shop", 0..4_000);
    write_ids(&world, "mailer", 3_000..8_000);
    let shop = Running::start(&world, "shop", &[]);
    Running::start(&world, "mailer", &[]).good();
    shop.good();
    write_ids(&world, "shop", 0..6_000);
    let shop = Running::start(&world, "shop", &["--append"]);
    let mailer = Running::start(&world, "mailer", &["--append"]).good();
    let shop = shop.good();
    assert!(shop.get("matches").is_none(), "nothing is revealed");
    assert_eq!(number(&shop, "/new"), 2_000);
    assert_eq!(number(&shop, "/known"), 4_000);
    // 64 of the earlier ones are mixed in and compared.
    assert_eq!(number(&mailer, "/peer_ids"), 2_064);
    assert_eq!(number(&shop, "/peer_ids"), 64);
    assert_eq!(number(&shop, "/compared"), 64);
    assert!(take_away(&world) == wanted);
}
