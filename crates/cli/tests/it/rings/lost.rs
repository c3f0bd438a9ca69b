//! What is lost with which key, and how to go on.

use std::fs;

use super::{
    ELSEWHEN, agree_anew, bad, edit_ring, fresh_keys, good, matching_is_refused, take_over,
};
use crate::world::{AGREEMENT, World};

#[test]
fn a_lost_ring_ends_the_sealed_data_and_sealing_again_goes_on() {
    let world = World::ready();
    assert_eq!(world.query(&[]).code, 0);
    let once = world.spent("shop");
    assert!(once > 0);
    world.stage.stop("shop");
    let (shop, ring) = (world.path("shop"), world.path("shop/ring.age"));
    fs::remove_file(&ring).unwrap();
    let refused = world
        .stage
        .command(&["ring", "show", "--party", &shop])
        .unwrap();
    assert_eq!(refused.code, 1);

    let passphrase = world.path("shop/passphrase.txt");
    let new = [
        "ring",
        "new",
        "--out",
        &ring,
        "--passphrase-file",
        &passphrase,
    ];
    world.done(&new);
    assert_eq!(
        world.stage.command(&new).unwrap().code,
        1,
        "a ring was overwritten"
    );
    world.start_party("shop", &[]);
    // What was sealed under the old keys opens under nothing, and nothing is charged for it.
    let refused = world.query(&[]);
    assert_eq!(refused.code, 3, "{}", refused.failure());
    assert_eq!(world.spent("shop"), once);
    // The ids that were matched before have other pseudonyms under a new matching secret.
    matching_is_refused(&world);

    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    let answered = world.query(&[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
    assert_eq!(world.spent("shop"), 2 * once, "charged anew");
}

/// With the seed key alone lost nobody is told an answer anew for nothing: the question is
/// refused until its data are sealed anew, and then it is charged.
#[test]
fn a_lost_seed_key_ends_what_was_answered_and_sealing_again_goes_on() {
    let world = World::ready();
    good(world.query(&[]));
    let once = world.spent("shop");
    world.stage.stop("shop");
    edit_ring(&world, "shop", |ring| {
        let key = ring["seed_key"].as_str().unwrap().to_owned();
        ring["seed_key"] = key.chars().rev().collect::<String>().into();
    });
    world.start_party("shop", &[]);
    let refused = world.query(&[]);
    assert_ne!(refused.code, 0);
    assert_eq!(world.spent("shop"), once);
    // Another question has a seed under the new key.
    good(world.query(&ELSEWHEN));
    good(world.query(&ELSEWHEN));
    assert_eq!(world.spent("shop"), 2 * once);

    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    good(world.query(&[]));
    assert_eq!(world.spent("shop"), 3 * once, "charged anew");
    good(world.query(&[]));
    assert_eq!(world.spent("shop"), 3 * once, "the same again is free");
}

/// The signing key may lie offline, so that what is in force does not need it. What is signed
/// with another does not count under the agreements that name the lost one; a new agreement
/// does.
#[test]
fn a_lost_signing_key_ends_nothing_in_force_and_a_new_agreement_goes_on() {
    let world = World::ready();
    good(world.query(&[]));
    let once = world.spent("shop");
    world.stage.stop("shop");
    fs::remove_file(world.path("shop/signing_key")).unwrap();
    world.start_party("shop", &[]);
    good(world.query(&ELSEWHEN));
    assert_eq!(world.spent("shop"), 2 * once);
    let (file, shop) = (
        world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
        world.path("shop"),
    );
    let sign = ["agreement", "sign", &file, "--party", &shop];
    bad(&world.stage.command(&sign).unwrap(), 1, "signing_key");

    world.stage.stop("shop");
    take_over(&world, &fresh_keys(&world, "fresh"), "signs");
    bad(
        &world.stage.command(&sign).unwrap(),
        3,
        "does not name this folder's signing key",
    );
    world.start_party("shop", &[]);
    assert_ne!(world.query(&[]).code, 0, "it names another key than ours");
    agree_anew(&world);
    good(world.query(&[]));
    assert_eq!(world.spent("shop"), 3 * once, "what was spent stays spent");
}

/// An agreement names the keys that speak for a party, so with another service key the old one
/// counts no more. A new agreement, matched and sealed anew, goes on; what was spent stays.
#[test]
fn a_lost_service_key_ends_its_agreements_and_a_new_one_goes_on() {
    let world = World::ready();
    assert_eq!(world.query(&[]).code, 0);
    let once = world.spent("shop");
    let fresh = fresh_keys(&world, "fresh");
    world.stage.stop("shop");
    take_over(&world, &fresh, "service");
    world.start_party("shop", &[]);
    let refused = world.query(&[]);
    assert_ne!(refused.code, 0);
    assert_eq!(world.spent("shop"), once);

    agree_anew(&world);
    let answered = world.query(&[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
    assert_eq!(world.spent("shop"), 2 * once);
}

/// An analyst whose key is lost has another in the next version, and the lost one asks no more.
#[test]
fn a_lost_analyst_key_is_replaced_by_the_next_version() {
    let world = World::ready();
    let fresh = fresh_keys(&world, "fresh");
    let public = |folder: &str| {
        let file = format!("{folder}/analysts/ana.pub");
        let text = fs::read_to_string(file).unwrap();
        text.rsplit_once(' ').unwrap().0.to_owned()
    };
    let (old, new) = (public(&world.path("mailer")), public(&fresh));
    world.second(|text| {
        assert!(text.contains(&old));
        text.replace(&old, &new)
    });
    let refused = world.query_under("second", &[]);
    assert_ne!(refused.code, 0, "the lost key still asks");
    assert_eq!(world.spent("shop"), 0);
    fs::copy(
        format!("{fresh}/analysts/ana"),
        world.path("mailer/analysts/ana"),
    )
    .unwrap();
    let answered = world.query_under("second", &[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
}
