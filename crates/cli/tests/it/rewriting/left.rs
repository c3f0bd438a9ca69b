//! What lies beside the data sets of the newest agreement.

use incamera_types::{AgreementDigest, AgreementId, DatasetName};

use super::{bad, data, good, write_ids};
use crate::invariants::support::{Holdings, copy_folder, purpose};
use crate::world::World;

/// How many purpose keys the shop's ring has of a data set.
fn keys(world: &World, agreement: &AgreementId, name: &DatasetName) -> usize {
    let ring = Holdings(world.root()).ring("shop");
    ring.purpose_slots(agreement, name).len()
}

/// A data set that the agreement no longer has keeps no key that opens it, whoever is taken out
/// of the others; one of another agreement is left, and named.
#[test]
fn i3_data_that_the_agreement_no_longer_has_are_shut() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    let this = holdings.agreement().agreement().id;
    let other = AgreementDigest::of_file(b"another agreement").into();
    let returns: DatasetName = "returns".parse().unwrap();
    let sealed_before = || {
        let mut ring = holdings.ring("shop");
        for id in [&this, &other] {
            let purposes = [purpose("ads"), purpose("measurement")]
                .into_iter()
                .collect();
            let made = ring.ensure_purpose_keys(id, &returns, 1, &purposes, &mut rand::rng());
            made.unwrap();
        }
    };
    sealed_before();
    let folder = holdings.sealed("shop", "returns");
    copy_folder(&holdings.sealed("shop", "purchases"), &folder);
    let ids = write_ids(&world, "p1@mail.example\n");
    let consent = ["consent", "--remove", "ads", "--ids", &ids];
    bad(&data(&world, &consent), 2, &["all keys of `returns`"]);
    let dry = good(data(&world, &[&consent[..], &["--dry-run"]].concat()));
    assert_eq!(dry.document["beside"]["dropped"][0]["dataset"], "returns");
    // A command for one data set stays with it.
    good(data(&world, &["retag", "purchases"]));
    assert_eq!(keys(&world, &this, &returns), 2);

    let forget = ["forget", "--ids", &ids, "--yes"];
    for arguments in [
        &[&consent[..], &["--yes"]].concat()[..],
        &["retag"],
        &forget,
    ] {
        sealed_before();
        let told = good(data(&world, arguments));
        let beside = &told.document["beside"];
        let dropped = &beside["dropped"][0];
        assert_eq!(dropped["keys_destroyed"], 2, "{beside}");
        assert_eq!(dropped["folder"], folder.display().to_string());
        assert_eq!(keys(&world, &this, &returns), 0, "{arguments:?}");
        assert!(told.text("/backups").contains("ring.age"), "{beside}");
        assert_eq!(keys(&world, &other, &returns), 2);
        if arguments != ["retag"] {
            let named = beside["not_touched"].to_string();
            let short = &other.to_string()[..16];
            assert!(
                named.contains("`returns`") && named.contains(short),
                "{named}"
            );
        }
    }
    assert!(keys(&world, &this, &"purchases".parse().unwrap()) > 0);
}
