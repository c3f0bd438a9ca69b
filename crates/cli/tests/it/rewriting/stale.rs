//! Data sets of an earlier matching epoch beside a register of the newest: nothing can be done to
//! them but to seal them again, and they hold up nothing that is done to the others.

use std::fs;

use incamera_types::Pseudonym;

use super::{
    bad, consents, dataset, good, person, rows, run, sealed_bytes, under_second, write_ids,
};
use crate::invariants::support::Holdings;
use crate::world::World;

const STALE: &str = "sealed under another matching epoch";

/// A second version in a new matching epoch, and both parties matched anew.
fn new_epoch(world: &World) {
    world.second(|text| {
        let runs = "max_runs = 12";
        assert!(text.contains(runs));
        text.replacen(runs, &format!("epoch = 2\n{runs}"), 1)
    });
    let matched = |party: &str, data: &str| {
        let (folder, data) = (world.path(party), world.path(data));
        let file = world.path(&format!("{party}/agreements/second.toml"));
        let arguments = ["match", "run", "--party", &folder, "--agreement", &file];
        good(run(world, &[&arguments[..], &["--data", &data]].concat()));
    };
    std::thread::scope(|scope| {
        scope.spawn(|| matched("mailer", "data/mailing.csv"));
        matched("shop", "data/customers.csv");
    });
}

fn seal(world: &World, party: &str, name: &str) -> incamera_testkit::stage::Outcome {
    let source = world.path(&format!("data/{name}.csv"));
    under_second(world, party, &["seal", name, "--data", &source])
}

/// How many purpose keys the shop's ring has of the data set.
fn keys(world: &World, name: &str) -> usize {
    let holdings = Holdings(world.root());
    let slots = holdings.ring("shop");
    let slots = slots.purpose_slots(&holdings.agreement().id, &name.parse().unwrap());
    slots.len()
}

fn purchases(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = sealed_bytes(world).into_iter();
    let of = |path: &std::path::Path| path.components().any(|one| one.as_os_str() == "purchases");
    files.filter(|(path, _)| of(path)).collect()
}

#[test]
fn i3_data_of_another_matching_epoch_hold_up_nothing() {
    let world = World::ready();
    new_epoch(&world);
    let ids = write_ids(&world, "p1@mail.example\n");
    let forget = ["forget", "--ids", &ids, "--yes"];
    let all = sealed_bytes(&world);
    // The register first: by its old consents nobody would have agreed to anything.
    for verb in [&forget[..], &["rotate"], &["rotate", "customers"]] {
        let says = [
            "`customers` was left as it is",
            STALE,
            "data seal customers",
        ];
        bad(&under_second(&world, "shop", verb), 1, &says);
    }
    let says = [
        "`purchases` was not sealed",
        STALE,
        "seal `customers` first",
    ];
    bad(&seal(&world, "shop", "purchases"), 1, &says);
    assert!(sealed_bytes(&world) == all, "a refusal wrote something");
    good(seal(&world, "shop", "customers"));

    let before = (purchases(&world), keys(&world, "purchases"));
    let as_before = || (purchases(&world), keys(&world, "purchases")) == before;
    let told = good(under_second(&world, "shop", &["rotate", "customers"]));
    assert_eq!(told.document["datasets"].as_array().unwrap().len(), 1);
    let says = [
        "`purchases` was left as it is",
        STALE,
        "data seal purchases",
    ];
    bad(
        &under_second(&world, "shop", &["rotate", "purchases"]),
        1,
        &says,
    );
    for verb in [&["rotate"][..], &["revoke", "ads", "--yes"]] {
        let done = "waiting for `incamera data push`: `customers` version";
        let says = [&says[..], &[done]].concat();
        bad(&under_second(&world, "shop", verb), 1, &says);
    }
    assert!(as_before(), "what is to be sealed again was touched");
    people_are_taken_out(&world, &ids, before.1);
    sealed_again(&world);
}

/// Nobody can be taken out of data of an epoch whose pseudonyms nobody knows any more: their keys
/// are destroyed, and the question before it says so.
fn people_are_taken_out(world: &World, ids: &str, had: usize) {
    let one = person(&Holdings(world.root()).crosswalk("shop"), "p1@mail.example");
    let there = || rows(world, "customers", "measurement").contains_key(one.as_bytes());
    assert!(there() && had > 0);
    let consent = ["consent", "--remove", "measurement", "--ids", ids];
    let asked = under_second(world, "shop", &consent);
    bad(
        &asked,
        2,
        &["so will all keys of `purchases`", "another matching epoch"],
    );
    let dry = [&consent[..], &["--dry-run"]].concat();
    let dry = good(under_second(world, "shop", &dry));
    let dropped = |told: &incamera_testkit::stage::Outcome| {
        let dropped = &told.document["beside"]["dropped"];
        assert_eq!(dropped.as_array().unwrap().len(), 1, "{dropped}");
        assert_eq!(dropped[0]["dataset"], "purchases");
        dropped[0]["keys_destroyed"].as_u64().unwrap()
    };
    assert_eq!((dropped(&dry), keys(world, "purchases")), (had as u64, had));
    let told = good(under_second(
        world,
        "shop",
        &[&consent[..], &["--yes"]].concat(),
    ));
    assert_eq!((dropped(&told), keys(world, "purchases")), (had as u64, 0));
    assert_eq!(dataset(&told, "customers")["change"], "consent-removed");
    assert!(!there());
    // The keys are gone, and the files wait for whoever seals them again.
    let forget = ["forget", "--ids", ids, "--yes"];
    assert_eq!(dropped(&good(under_second(world, "shop", &forget))), 0);
    let left = Holdings(world.root()).crosswalk("shop");
    assert!(left.lookup("p1@mail.example").is_none());
    let agreed = |person: &Pseudonym| consents(world).class(person).is_some();
    assert!(!agreed(&one) && agreed(&person(&left, "p2@mail.example")));
}

fn sealed_again(world: &World) {
    let sealed = good(seal(world, "shop", "purchases"));
    assert_eq!(sealed.number("/without_pseudonym"), 1);
    assert!(keys(world, "purchases") > 0);
    let followed = good(under_second(world, "shop", &["rotate", "customers"]));
    assert_eq!(dataset(&followed, "purchases")["change"], "retagged");
    good(seal(world, "mailer", "mailing"));
    for party in ["shop", "mailer"] {
        good(under_second(world, party, &["push"]));
    }
    good(world.query_under("second", &[]));
    let folder = Holdings(world.root()).sealed("shop", "purchases");
    assert!(fs::exists(folder).unwrap());
}
