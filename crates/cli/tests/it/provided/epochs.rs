//! A crosswalk of another key.

use incamera_seal::{CrosswalkReader, CrosswalkWriter};

use super::*;

/// Under a version with the next epoch nothing is sealed by pseudonyms of the key before.
#[test]
fn rows_of_another_epoch_are_not_sealed() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let first = world.matched("shop", &data, &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    let text = world.second_version();
    let text = text.replacen("max_runs = 9", "epoch = 2\nmax_runs = 9", 1);
    world.sign_as(&text, "b.toml");
    let (party, second) = (world.path("shop"), world.path("shop/agreements/b.toml"));
    let rows = world.path("rows.csv");
    fs::write(&rows, "person,spend\nperson-1@example.net,7\n").unwrap();
    let seal = |agreement: &str| {
        let words = [
            "data", "seal", "of_shop", "--party", &party, "--data", &rows,
        ];
        let words = [&words[..], &["--agreement", agreement]].concat();
        world.stage.command(&words).unwrap()
    };
    refused(
        &seal(&second),
        1,
        "is of matching epoch 1, and the agreement is in epoch 2",
    );
    // New ids alone would take the place of everybody.
    let words = world.words(&party, &data, &["--agreement", &second, "--append"]);
    let alone = world.stage.command(&words).unwrap();
    refused(&alone, 2, "there is no run in epoch 2 yet");
    // The providers have no key of that epoch, and say so.
    let words = world.words(&party, &data, &["--agreement", &second]);
    let early = world.stage.command(&words).unwrap();
    refused(&early, 1, "it has no key yet");
}

/// The crosswalk as earlier programs wrote it, without a name of the key.
fn unnamed(path: &Path) {
    let mut named = CrosswalkReader::open(path).unwrap();
    let mut columns = named.columns();
    assert!(columns.run.take().is_some());
    let mut written = CrosswalkWriter::create(path, &named.scope().clone(), columns).unwrap();
    while let Some(row) = named.next().unwrap() {
        written.push(&row).unwrap();
    }
    written.finish().unwrap();
}

/// Data that were sealed before crosswalks named the key are of the epoch's one key all the same:
/// who is forgotten is taken out of them, and they keep their keys.
#[test]
fn data_that_do_not_name_the_key_are_not_of_another_run() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let run = world.matched("shop", &data, &[]);
    assert_eq!(run.code, 0, "{}", run.failure());
    let named = fs::read(world.crosswalk_path("shop")).unwrap();
    unnamed(&world.crosswalk_path("shop"));
    let (party, rows) = (world.path("shop"), world.path("rows.csv"));
    let two = "person-1@example.net,7\nperson-2@example.net,8\n";
    fs::write(&rows, format!("email,spend\n{two}")).unwrap();
    let seal = [
        "data", "seal", "of_shop", "--party", &party, "--data", &rows,
    ];
    let sealed = world.stage.command(&seal).unwrap();
    assert_eq!(sealed.code, 0, "{}", sealed.failure());
    fs::write(world.crosswalk_path("shop"), named).unwrap();
    let ids = world.path("ids.txt");
    fs::write(&ids, "person-1@example.net\n").unwrap();
    let forget = ["data", "forget", "--party", &party, "--ids", &ids, "--yes"];
    let forgotten = world.stage.command(&forget).unwrap();
    assert_eq!(forgotten.code, 0, "{}", forgotten.failure());
    assert_eq!(forgotten.number("/datasets/0/rows_gone"), 1);
    assert_eq!(
        forgotten.document["beside"]["dropped"],
        serde_json::json!([])
    );
}
