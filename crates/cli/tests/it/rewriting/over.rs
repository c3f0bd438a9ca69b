//! Data sets that are kept no longer hold up nothing that is done to the others.

use std::fs;
use std::time::Duration;

use incamera_seal::KeyRing;

use super::{bad, consents, data, good, person, rows, under_second, write_ids};
use crate::invariants::support::{Holdings, purpose};
use crate::world::World;

/// A second version by which a data set of the shop is kept no longer.
pub fn no_longer_kept(world: &World, name: &str) {
    world.second(|text| {
        let head = format!("[datasets.{name}]\nowner = \"shop\"");
        assert!(text.contains(&head));
        text.replacen(&head, &format!("{head}\nkeep_until = 2020-02-29"), 1)
    });
}

fn held_up_by(over: &str, other: &str) {
    let world = World::ready();
    no_longer_kept(&world, over);
    let holdings = Holdings(world.root());
    let crosswalk = holdings.crosswalk("shop");
    let [one, two] = ["p1@mail.example", "p2@mail.example"].map(|id| person(&crosswalk, id));
    let ids = write_ids(&world, "p1@mail.example\n");
    let agreed = |person| consents(&world).class(person).map(ToString::to_string);
    let there = |person: &incamera_types::Pseudonym, to| {
        rows(&world, other, to).contains_key(person.as_bytes())
    };
    assert!(there(&one, "measurement") && there(&two, "measurement"));
    let remove = ["consent", "--remove", "measurement", "--ids", &ids, "--yes"];
    let told = good(under_second(&world, "shop", &remove));
    let beside = told.document["beside"].to_string();
    assert!(
        beside.contains(&format!("`{over}` is not kept any longer")),
        "{beside}"
    );
    assert!(!there(&one, "measurement") && there(&two, "measurement"));
    assert_eq!(agreed(&one).as_deref(), Some("ads"));

    let forget = ["forget", "--ids", &ids, "--yes"];
    good(under_second(&world, "shop", &forget));
    assert!(!there(&one, "measurement") && there(&two, "measurement"));
    assert_eq!((agreed(&one), agreed(&two).is_some()), (None, true));
    let left = holdings.crosswalk("shop");
    assert!(left.lookup("p1@mail.example").is_none());
    assert!(left.lookup("p2@mail.example").is_some());

    for verb in [
        &["retag"][..],
        &["rotate"],
        &["rotate", other],
        &["revoke", "ads", "--yes"],
    ] {
        good(under_second(&world, "shop", verb));
    }
    assert!(there(&two, "measurement"));
    let id = holdings.agreement().id;
    let slots = holdings
        .ring("shop")
        .purpose_slots(&id, &over.parse().unwrap());
    assert_eq!(slots, []);
    let named = under_second(&world, "shop", &["rotate", over]);
    bad(&named, 3, &["2020-02-29", "`keep_until`"]);
    if other == "purchases" {
        // Sealed by the consents that are left, also when the register's files are deleted.
        fs::remove_dir_all(holdings.sealed("shop", over)).unwrap();
        let source = world.path("data/purchases.csv");
        let seal = ["seal", other, "--yes", "--data", &source];
        good(under_second(&world, "shop", &seal));
        assert!(!there(&one, "measurement") && there(&two, "measurement"));
    }
}

#[test]
fn i3_a_data_set_kept_no_longer_holds_up_nothing() {
    held_up_by("purchases", "customers");
}

/// Its consents go on.
#[test]
fn i3_a_register_kept_no_longer_holds_up_nothing() {
    held_up_by("customers", "purchases");
}

/// The service destroys keys of data that are kept no longer when it starts, every command on data
/// does, and nothing seals such data.
#[test]
fn i3_data_kept_no_longer_lose_their_keys() {
    let world = World::ready();
    no_longer_kept(&world, "customers");
    let holdings = Holdings(world.root());
    let id = holdings.agreement().id;
    let keys = |name: &str| {
        holdings
            .ring("shop")
            .purpose_slots(&id, &name.parse().unwrap())
            .len()
    };
    assert!(keys("customers") > 0 && keys("purchases") > 0);
    world.stage.stop("shop");
    world.start_party("shop", &[]);
    for _ in 0..100 {
        if keys("customers") == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(keys("customers"), 0, "the service destroyed nothing");
    assert!(keys("purchases") > 0);
    // Back from a backup of the ring, say.
    let ads = std::iter::once(purpose("ads")).collect();
    let customers = "customers".parse().unwrap();
    let mut ring = holdings.ring("shop");
    let made = ring.ensure_purpose_keys(&id, &customers, 1, &ads, &mut rand::rng());
    made.unwrap();
    assert_eq!(keys("customers"), 1);
    let told = |verb: &[&str], says: &str| {
        let errors = good(under_second(&world, "shop", verb)).errors;
        assert!(errors.contains(says), "{errors}");
    };
    let dry = ["retag", "purchases", "--dry-run"];
    told(&dry, "not kept any longer: its purpose keys would be");
    assert_eq!(keys("customers"), 1, "a dry run destroyed keys");
    told(&dry[..2], "not kept any longer: its purpose keys were");
    assert_eq!(keys("customers"), 0, "the command destroyed nothing");
    let source = world.path("data/customers.csv");
    let sealed = under_second(&world, "shop", &["seal", "customers", "--data", &source]);
    bad(&sealed, 3, &["2020-02-29", "`keep_until`"]);
}

/// Keys that a command cut short has left are destroyed by the next, and not by a dry run.
#[test]
fn i3_superseded_keys_go_with_the_next_command() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    let id = holdings.agreement().id;
    let rotate = ["rotate", "purchases"];
    good(data(&world, &rotate));
    let purchases = "purchases".parse().unwrap();
    let old = |ring: KeyRing| {
        let slots = ring.purpose_slots(&id, &purchases).into_iter();
        slots.filter(|slot| slot.key_epoch == 1).count()
    };
    assert_eq!(old(holdings.ring("shop")), 0);
    let ads = std::iter::once(purpose("ads")).collect();
    let mut ring = holdings.ring("shop");
    let made = ring.ensure_purpose_keys(&id, &purchases, 1, &ads, &mut rand::rng());
    made.unwrap();
    let file = fs::read(world.path("shop/ring.age")).unwrap();
    for verb in ["rotate", "retag"] {
        good(data(&world, &[verb, "--dry-run"]));
        assert!(fs::read(world.path("shop/ring.age")).unwrap() == file);
    }
    good(data(&world, &["retag"]));
    assert_eq!(old(holdings.ring("shop")), 0);
}
