//! Data sets that follow the register, and that a command does not name.

use incamera_seal::{PurposeSlot, SignedManifest};

use super::{bad, data, dataset, good, rows, under_second};
use crate::invariants::support::{Holdings, purpose};
use crate::world::World;

fn slots(world: &World, name: &str) -> Vec<PurposeSlot> {
    let holdings = Holdings(world.root());
    let id = holdings.agreement().id;
    let ring = holdings.ring("shop");
    ring.purpose_slots(&id, &name.parse().unwrap())
}

/// All but the version, and the register's that it names.
#[track_caller]
fn as_it_was(world: &World, before: &SignedManifest) {
    let holdings = Holdings(world.root());
    let now = holdings.manifest("shop", before.dataset().as_str());
    let register = holdings.manifest("shop", "customers");
    assert_eq!(now.register(), Some(register.digest()));
    assert_eq!(now.revoked(), before.revoked());
    assert_eq!(now.key_epoch(), before.key_epoch());
    assert_eq!(now.columns(), before.columns());
    assert_eq!(now.removals(), before.removals());
    assert_eq!(now.parts(), before.parts());
}

/// What is done to the register is done to it alone; what follows it says its new version.
#[test]
fn i3_what_is_done_to_one_data_set_is_done_to_no_other() {
    let world = World::ready();
    let holdings = Holdings(world.root());
    let before = holdings.manifest("shop", "purchases");
    let (opened, keys) = (
        rows(&world, "purchases", "measurement"),
        slots(&world, "purchases"),
    );
    let revoke = ["revoke", "measurement", "customers"];
    bad(&data(&world, &revoke), 2, &["`measurement` of `customers`"]);
    for verb in [
        &[&revoke[..], &["--yes"]].concat()[..],
        &["rotate", "customers", "--data-keys"],
    ] {
        let told = good(data(&world, verb));
        assert_eq!(dataset(&told, "purchases")["change"], "retagged");
        as_it_was(&world, &before);
        assert_eq!(slots(&world, "purchases"), keys, "{verb:?}");
        assert_eq!(rows(&world, "purchases", "measurement"), opened);
    }
    let register = holdings.manifest("shop", "customers");
    assert!(register.revoked().contains(&purpose("measurement")));
    assert!(register.key_epoch() > 1);
    good(data(&world, &["push"]));
}

/// New purposes of columns reach the data sets that are named.
#[test]
fn i3_purposes_of_one_data_set_follow_the_agreement_alone() {
    let world = World::ready();
    let before = Holdings(world.root()).manifest("shop", "purchases");
    world.second(|text| {
        let more = "max = 500, purposes = [\"ads\", \"measurement\"]";
        text.replacen("max = 500, purposes = [\"measurement\"]", more, 1)
    });
    good(under_second(&world, "shop", &["retag", "customers"]));
    as_it_was(&world, &before);
    good(under_second(&world, "shop", &["retag"]));
    let opened = rows(&world, "purchases", "measurement");
    assert_eq!(rows(&world, "purchases", "ads"), opened);
}
