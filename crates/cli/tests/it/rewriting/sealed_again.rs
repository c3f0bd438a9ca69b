//! Data sets that are sealed again from their owner's files: what was taken away stays so.

use std::fs;

use incamera_seal::Change;

use super::{bad, consents, data, good, old_copy_is_shut, person, rows, write_ids};
use crate::invariants::support::{Holdings, copy_folder};
use crate::world::World;

/// Whoever kept parts and manifests opens nothing with the ring of today; queries wait for the
/// push, and are told so.
#[test]
fn i3_what_is_sealed_again_shuts_old_copies() {
    let world = World::ready();
    good(world.query(&[]));
    let old = tempfile::tempdir().unwrap();
    copy_folder(&world.root().join("shop"), &old.path().join("shop"));
    for name in ["customers", "purchases"] {
        let sealed = world.seal_one("shop", name);
        assert_eq!(sealed.number("/key_epoch"), 2);
        assert!(sealed.number("/keys_destroyed") > 0);
    }
    old_copy_is_shut(&world, old.path());
    bad(
        &world.query(&["from=2026-03-02", "until=2026-05-30"]),
        3,
        &["data push"],
    );
    good(data(&world, &["push"]));
    good(world.query(&["from=2026-03-02", "until=2026-05-30"]));
}

/// With the sealed folder lost, sealing goes on from what was pushed: from all that it hands on.
#[test]
fn i3_a_lost_folder_brings_nothing_back() {
    let world = World::ready();
    let ids = write_ids(&world, "p1@mail.example\n");
    let remove = ["consent", "--remove", "ads", "--ids", &ids, "--yes"];
    good(data(&world, &remove));
    good(data(
        &world,
        &["revoke", "measurement", "customers", "--yes"],
    ));
    good(data(&world, &["push"]));
    let before = Holdings(world.root()).manifest("shop", "customers");
    assert_eq!(before.removals().len(), 2);
    fs::remove_dir_all(Holdings(world.root()).sealed("shop", "customers")).unwrap();
    let customers = world.path("data/customers.csv");
    let seal = ["seal", "customers", "--data", &customers];
    // It knows who withdrew, from the consents kept here.
    bad(
        &data(&world, &seal),
        1,
        &["took consents away", "1 person", "--yes"],
    );
    good(data(&world, &[&seal[..], &["--yes"]].concat()));
    let after = Holdings(world.root()).manifest("shop", "customers");
    assert_eq!(
        (after.version(), after.previous()),
        (before.version() + 1, Some(before.digest()))
    );
    assert_eq!(
        (after.revoked(), after.removals()),
        (before.revoked(), before.removals())
    );
    assert_eq!(after.key_epoch(), before.key_epoch() + 1);
    good(data(&world, &["push", "customers"]));
}

/// A file that does not know who took consent back is not sealed unseen.
#[test]
fn i3_consents_taken_back_do_not_come_back_unseen() {
    let world = World::ready();
    let one = person(&Holdings(world.root()).crosswalk("shop"), "p1@mail.example");
    let ids = write_ids(&world, "p1@mail.example\n");
    let agrees = || consents(&world).class(&one).unwrap().to_string();
    let all = agrees();
    good(data(
        &world,
        &["consent", "--remove", "measurement", "--ids", &ids, "--yes"],
    ));
    let customers = world.path("data/customers.csv");
    let seal = ["seal", "customers", "--data", &customers];
    bad(
        &data(&world, &seal),
        1,
        &[
            "version 2 took consents away",
            "1 person",
            "make sure that the file knows",
            "--yes",
        ],
    );
    assert_eq!(agrees(), "ads", "a refusal wrote consents");
    assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
    // What is sealed by the consents kept here is not asked about.
    world.seal_one("shop", "purchases");
    assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));

    // A file that knows needs no word.
    let file = fs::read_to_string(&customers).unwrap();
    let knows = file
        .lines()
        .map(|line| match line.starts_with("p1@mail.example,") {
            true => line.replace("ads;measurement", "ads"),
            false => line.to_owned(),
        });
    let knowing = world.path("data/knowing.csv");
    fs::write(&knowing, knows.collect::<Vec<_>>().join("\n")).unwrap();
    good(data(&world, &["seal", "customers", "--data", &knowing]));
    assert_eq!(agrees(), "ads");
    let newest = Holdings(world.root()).manifest("shop", "customers");
    assert_eq!(
        (newest.change(), newest.removals().len()),
        (Change::Sealed, 1)
    );
    // Nor do later ones, which may have people who agree anew.
    good(data(&world, &seal));
    assert_eq!(agrees(), all);
}

/// An older folder put back is no version to go on from: what is sealed on it could never be
/// pushed.
#[test]
fn an_older_folder_put_back_is_told_from_the_newest() {
    let world = World::ready();
    let sealed = Holdings(world.root()).sealed("shop", "purchases");
    let old = fs::read(sealed.join("manifest")).unwrap();
    let purchases = world.path("data/purchases.csv");
    let seal = ["seal", "purchases", "--data", &purchases];
    good(data(&world, &seal));
    good(data(&world, &["push", "purchases"]));
    fs::write(sealed.join("manifest"), old).unwrap();
    bad(
        &data(&world, &seal),
        1,
        &["version 1 is sealed here", "version 2 was pushed", "--yes"],
    );
    good(data(&world, &[&seal[..], &["--yes"]].concat()));
    let newest = Holdings(world.root()).manifest("shop", "purchases");
    assert_eq!(newest.version(), 3);
    good(data(&world, &["push", "purchases"]));
}
