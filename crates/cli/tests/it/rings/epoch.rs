//! A new matching epoch from start to end: the secret of the one before is lost, or somebody
//! else has it.

use std::collections::BTreeSet;
use std::fs;

use incamera_seal::{Crosswalk, MatchingSlot};
use incamera_testkit::stage::Outcome;
use incamera_types::{MatchingEpoch, Pseudonym};
use serde_json::Value;

use super::{bad, edit_ring, good, matching_is_refused};
use crate::invariants::support::{Holdings, only_entry};
use crate::world::{MARKED, World};

/// A command of one party under version 2.
fn under_second(world: &World, party: &str, arguments: &[&str]) -> Outcome {
    let folder = world.path(party);
    let file = world.path(&format!("{party}/agreements/second.toml"));
    let more = ["--party", &folder, "--agreement", &file];
    world.stage.command(&[arguments, &more].concat()).unwrap()
}

fn seal(world: &World, party: &str, dataset: &str) -> Outcome {
    let data = world.path(&format!("data/{dataset}.csv"));
    under_second(world, party, &["data", "seal", dataset, "--data", &data])
}

fn seal_and_push(world: &World, party: &str, datasets: &[&str]) {
    for dataset in datasets {
        good(seal(world, party, dataset));
    }
    good(under_second(world, party, &["data", "push"]));
}

fn match_under_second(world: &World) {
    let run = |party: &str, data: &str| {
        let data = world.path(data);
        good(under_second(
            world,
            party,
            &["match", "run", "--data", &data],
        ))
    };
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run("mailer", "data/mailing.csv"));
        run("shop", "data/customers.csv");
        theirs.join().unwrap();
    });
}

fn pseudonyms(crosswalk: &Crosswalk) -> BTreeSet<Pseudonym> {
    crosswalk.iter().map(|(_, pseudonym)| pseudonym).collect()
}

#[test]
fn a_lost_matching_secret_is_refused_and_a_new_matching_epoch_goes_on() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    good(world.query(&[]));
    let once = world.spent("shop");
    // Whoever took copies before: of the ring, with its secret, and of the crosswalk.
    let (old, stolen) = (holdings.crosswalk("shop"), holdings.ring("shop"));
    let path = only_entry(&world.root().join("shop/crosswalks"));
    fs::copy(&path, world.path("crosswalk.old")).unwrap();
    edit_ring(&world, "shop", |ring| {
        ring["matching_secrets"] = Value::Array(Vec::new());
    });
    good(world.query(&[]));
    assert_eq!(world.spent("shop"), once, "what is sealed is as it was");
    matching_is_refused(&world);

    world.second(|text| {
        let runs = "max_runs = 12";
        assert!(text.contains(runs));
        text.replacen(runs, &format!("epoch = 2\n{runs}"), 1)
    });
    old_epoch_is_refused(&world, once);
    match_under_second(&world);
    let new = holdings.crosswalk("shop");
    assert_eq!(new.scope().epoch, MatchingEpoch(2));
    assert!(pseudonyms(&new).is_disjoint(&pseudonyms(&old)));
    assert_eq!(
        new.lookup(MARKED),
        holdings.crosswalk("mailer").lookup(MARKED)
    );
    let second = MatchingSlot {
        epoch: MatchingEpoch(2),
        ..holdings.matching_slot()
    };
    assert!(stolen.matching_secret(&holdings.matching_slot()).is_some());
    assert!(stolen.matching_secret(&second).is_none());
    assert!(holdings.ring("shop").matching_secret(&second).is_some());

    // As long as one owner's data are of the epoch before, nothing is asked of them.
    seal_and_push(&world, "shop", &["customers", "purchases"]);
    assert_ne!(world.query_under("second", &[]).code, 0);
    assert_eq!(world.spent("shop"), once);
    seal_and_push(&world, "mailer", &["mailing"]);
    let answered = good(world.query_under("second", &[]));
    let people = answered.document.pointer("/answer/rows/0/cells/0/value");
    let people = people.and_then(Value::as_f64).unwrap_or_default();
    assert!(people > 50.0, "nobody was joined: {}", answered.document);
    assert_eq!(world.spent("shop"), 2 * once, "charged anew");

    fs::copy(world.path("crosswalk.old"), &path).unwrap();
    bad(
        &seal(&world, "shop", "purchases"),
        1,
        "is of matching epoch 1, and the agreement is in epoch 2",
    );
}

/// Pseudonyms of the epoch before are neither sealed nor pushed, nor asked about.
fn old_epoch_is_refused(world: &World, once: u64) {
    for party in ["shop", "mailer"] {
        bad(
            &under_second(world, party, &["data", "push"]),
            3,
            "matching epoch",
        );
    }
    assert_ne!(world.query_under("second", &[]).code, 0);
    assert_eq!(world.spent("shop"), once);
    bad(
        &seal(world, "shop", "customers"),
        1,
        "is of matching epoch 1, and the agreement is in epoch 2",
    );
    fs::write(world.path("ids.txt"), "p1@mail.example\n").unwrap();
    let ids = world.path("ids.txt");
    let forget = ["data", "forget", "--ids", &ids, "--yes"];
    bad(&under_second(world, "shop", &forget), 1, "matching epoch");
}
