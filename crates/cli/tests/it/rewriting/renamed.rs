//! What is taken away stays so under a purpose's new name.

use std::collections::BTreeMap;
use std::fs;

use incamera_seal::part_path;
use incamera_testkit::stage::Outcome;
use incamera_types::PurposeSet;

use super::{bad, consents, data, good, person, rows, sealed_bytes, under_second, write_ids};
use crate::invariants::support::{Holdings, purpose};
use crate::world::World;

/// A second version in which a purpose has another name.
fn rename(world: &World, old: &str, new: &str) {
    world.second(|text| {
        let text = text.replace(&format!("\"{old}\""), &format!("\"{new}\""));
        let (before, after) = (
            format!("\n{old} = {{"),
            format!("\n{new} = {{ replaces = [\"{old}\"],"),
        );
        assert!(text.contains(&before));
        text.replace(&before, &after)
    });
}

fn purposes(names: &[&str]) -> PurposeSet {
    names.iter().map(|name| purpose(name)).collect()
}

fn revoked(world: &World, name: &str) -> PurposeSet {
    let manifest = Holdings(world.root()).manifest("shop", name);
    manifest.revoked().clone()
}

/// The parts with a wrap for each purpose.
fn wraps(world: &World, name: &str) -> BTreeMap<String, usize> {
    let manifest = Holdings(world.root()).manifest("shop", name);
    let mut counts = BTreeMap::new();
    for part in manifest.parts() {
        let wraps = part.keys.iter().flat_map(|key| &key.wraps);
        let purposes: PurposeSet = wraps.map(|wrap| wrap.purpose.clone()).collect();
        for purpose in purposes.iter() {
            *counts.entry(purpose.to_string()).or_default() += 1;
        }
    }
    counts
}

#[track_caller]
fn done(world: &World, arguments: &[&str]) -> Outcome {
    good(under_second(world, "shop", arguments))
}

/// Sealed data and kept consents say the old name until they are retagged.
#[test]
fn i3_consent_withdrawn_under_a_new_name_is_withdrawn_at_once() {
    let world = World::ready();
    let one = person(&Holdings(world.root()).crosswalk("shop"), "p1@mail.example");
    let agreed = || {
        let kept = consents(&world);
        kept.class(&one).cloned()
    };
    assert_eq!(agreed(), Some(purposes(&["ads", "measurement"])));
    assert!(rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
    rename(&world, "measurement", "metrics");
    let ids = write_ids(&world, "p1@mail.example\n");
    let consent = ["consent", "--remove", "metrics", "--ids", &ids, "--yes"];
    let told = done(&world, &consent);
    assert!(told.document.to_string().contains("\"changes\":true"));
    assert_eq!(agreed(), Some(purposes(&["ads"])));
    assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
    done(&world, &["retag"]);
    assert_eq!(agreed(), Some(purposes(&["ads"])));
    let left = rows(&world, "purchases", "metrics");
    assert!(!left.is_empty() && !left.contains_key(one.as_bytes()));
    // Nor does sealing the followers by the consents kept bring the rows back.
    let source = world.path("data/purchases.csv");
    done(&world, &["seal", "purchases", "--yes", "--data", &source]);
    assert!(!rows(&world, "purchases", "metrics").contains_key(one.as_bytes()));
}

#[test]
fn i3_a_purpose_revoked_under_a_new_name_is_revoked_at_once() {
    let world = World::ready();
    rename(&world, "ads", "looks");
    assert!(wraps(&world, "customers").contains_key("ads"));
    done(&world, &["revoke", "looks", "--yes"]);
    assert!(!wraps(&world, "customers").contains_key("ads"));
    done(&world, &["retag"]);
    assert_eq!(revoked(&world, "customers"), purposes(&["looks"]));
    let left = wraps(&world, "customers");
    assert!(left.contains_key("measurement") && !left.contains_key("looks"));
}

#[test]
fn i3_a_revoked_purpose_stays_revoked_under_its_new_name() {
    let world = World::ready();
    good(data(&world, &["revoke", "ads", "--yes"]));
    good(data(&world, &["push"]));
    rename(&world, "ads", "looks");
    let shut = || {
        assert_eq!(revoked(&world, "customers"), purposes(&["looks"]));
        let left = wraps(&world, "customers");
        assert!(left.contains_key("measurement"), "{left:?}");
        assert!(!left.contains_key("looks"), "{left:?}");
    };
    done(&world, &["retag"]);
    shut();
    done(&world, &["push"]);
    let source = world.path("data/customers.csv");
    let customers = ["seal", "customers", "--yes", "--data", &source];
    done(&world, &customers);
    shut();
    // It comes back by its new name, and then stays.
    done(&world, &[&customers[..], &["--restore", "looks"]].concat());
    assert_eq!(revoked(&world, "customers"), purposes(&[]));
    done(&world, &["retag"]);
    assert!(wraps(&world, "customers").contains_key("looks"));
}

/// Sealed anew under the new version, and not retagged first.
#[test]
fn i3_sealing_anew_revokes_under_the_new_name_too() {
    let world = World::ready();
    good(data(&world, &["revoke", "ads", "customers", "--yes"]));
    rename(&world, "ads", "looks");
    let source = world.path("data/customers.csv");
    done(&world, &["seal", "customers", "--yes", "--data", &source]);
    assert_eq!(revoked(&world, "customers"), purposes(&["looks"]));
    let left = wraps(&world, "customers");
    assert!(left.contains_key("measurement"), "{left:?}");
    assert!(!left.contains_key("looks"), "{left:?}");
}

/// The register has the new name already, its follower not yet: consents that say the new name
/// would take every row of the old one away. `retag` does what is left; nothing else begins.
#[test]
fn i3_a_retag_cut_short_is_finished_before_anything_else() {
    let world = World::ready();
    rename(&world, "measurement", "metrics");
    let holdings = Holdings(world.root());
    let manifest = holdings.manifest("shop", "purchases");
    let file = &manifest.parts()[0].file_id;
    let part = part_path(&holdings.sealed("shop", "purchases"), file);
    fs::rename(&part, world.path("aside")).unwrap();
    let failed = under_second(&world, "shop", &["retag"]);
    // What is done already is said with what is not.
    let done = "waiting for `incamera data push`: `customers` version 2";
    bad(&failed, 1, &["`purchases` was left as it is", done]);
    fs::rename(world.path("aside"), &part).unwrap();
    let sealed = sealed_bytes(&world);
    let ids = write_ids(&world, "p1@mail.example\n");
    for verb in [
        &["consent", "--remove", "ads", "--ids", &ids, "--yes"][..],
        &["forget", "--ids", &ids, "--yes"],
        &["rotate"],
        &["rotate", "purchases"],
        &["revoke", "ads", "--yes"],
    ] {
        let refused = under_second(&world, "shop", verb);
        let words = [
            "nothing was done",
            "`purchases` still says `measurement`",
            "`metrics`",
            "run `incamera data retag` first",
        ];
        bad(&refused, 1, &words);
        assert!(sealed_bytes(&world) == sealed, "{verb:?}");
    }
    done_all(&world, &ids);
}

fn done_all(world: &World, ids: &str) {
    done(world, &["retag"]);
    let rows = || rows(world, "purchases", "metrics").len();
    let before = rows();
    done(
        world,
        &["consent", "--remove", "metrics", "--ids", ids, "--yes"],
    );
    assert_eq!(rows() + 1, before);
}

/// So many of those who agreed to both that they are no small class.
fn many() -> String {
    let people = (11..60).filter(|person| person % 10 != 9);
    people.map(|at| format!("p{at}@mail.example\n")).collect()
}

/// Whichever of them is retagged first: names of now and of before are one purpose.
#[test]
fn i3_consents_of_the_old_name_are_those_of_the_new() {
    let world = World::ready();
    let one = person(
        &Holdings(world.root()).crosswalk("shop"),
        "p11@mail.example",
    );
    let ids = write_ids(&world, &many());
    rename(&world, "measurement", "metrics");
    done(&world, &["retag", "purchases"]);
    let before = rows(&world, "purchases", "metrics");
    assert!(before.contains_key(one.as_bytes()));
    let consent = ["consent", "--remove", "ads", "--ids", &ids, "--yes"];
    // The register has its new version, and the other data set is to be looked through whole.
    let holdings = Holdings(world.root());
    let manifest = holdings.manifest("shop", "purchases");
    let part = part_path(
        &holdings.sealed("shop", "purchases"),
        &manifest.parts()[0].file_id,
    );
    fs::rename(&part, world.path("aside")).unwrap();
    bad(&under_second(&world, "shop", &consent), 1, &["`purchases`"]);
    fs::rename(world.path("aside"), &part).unwrap();
    done(&world, &consent);
    assert_eq!(rows(&world, "purchases", "metrics"), before);
    done(&world, &["retag"]);
    assert_eq!(rows(&world, "purchases", "metrics"), before);
    let kept = consents(&world);
    assert_eq!(kept.class(&one).cloned(), Some(purposes(&["metrics"])));
}

/// The register alone is retagged; what follows it keeps its rows under the name that it has.
#[test]
fn i3_a_register_with_the_new_name_takes_nothing_from_its_followers() {
    let world = World::ready();
    let one = person(
        &Holdings(world.root()).crosswalk("shop"),
        "p11@mail.example",
    );
    let ids = write_ids(&world, &many());
    let before = rows(&world, "purchases", "measurement");
    rename(&world, "measurement", "metrics");
    done(&world, &["retag", "customers"]);
    assert_eq!(rows(&world, "purchases", "measurement"), before);
    let consent = ["consent", "--remove", "ads", "--ids", &ids, "--yes"];
    done(&world, &consent);
    assert_eq!(rows(&world, "purchases", "measurement"), before);
    done(&world, &["retag"]);
    assert_eq!(rows(&world, "purchases", "metrics"), before);
    let kept = consents(&world);
    assert_eq!(kept.class(&one).cloned(), Some(purposes(&["metrics"])));
}
