//! A purpose that was revoked comes back when its owner says so, and not because an older copy
//! of the sealed data was gone on from.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{bad, data, good};
use crate::invariants::support::{Holdings, copy_folder, purpose};
use crate::world::World;

fn revoked(world: &World) -> bool {
    let manifest = Holdings(world.root()).manifest("shop", "purchases");
    manifest.revoked().contains(&purpose("measurement"))
}

fn restored(world: &World) -> Option<u64> {
    let manifest = Holdings(world.root()).manifest("shop", "purchases");
    manifest.restored().get(&purpose("measurement")).copied()
}

fn seal(world: &World, more: &[&str]) {
    let source = world.path("data/purchases.csv");
    let seal = ["seal", "purchases", "--yes", "--data", &source];
    good(data(world, &[&seal[..], more].concat()));
}

fn kept_aside(folder: &Path) -> TempDir {
    let aside = tempfile::tempdir().unwrap();
    copy_folder(folder, &aside.path().join("purchases"));
    aside
}

/// Goes on from an older copy while the service cannot be asked, so that nothing tells of the
/// revocation, and pushes what comes of it.
#[track_caller]
fn goes_on_from(world: &World, folder: &Path, old: &TempDir) {
    world.stage.stop("shop");
    fs::remove_dir_all(folder).unwrap();
    copy_folder(&old.path().join("purchases"), folder);
    for _ in 0..3 {
        seal(world, &[]);
    }
    assert!(!revoked(world));
    world.start_party("shop", &[]);
    let refused = data(world, &["push", "purchases"]);
    bad(
        &refused,
        3,
        &["revoked", "given back", "`--restore PURPOSE`"],
    );

    // Sealed once more, it takes over what the service knows, and is taken.
    seal(world, &[]);
    assert!(revoked(world));
    good(data(world, &["push"]));
}

#[test]
fn i3_a_revoked_purpose_comes_back_by_no_older_copy() {
    let world = World::ready();
    let folder = Holdings(world.root()).sealed("shop", "purchases");
    let old = kept_aside(&folder);
    let revoke = ["revoke", "measurement", "purchases", "--yes"];
    good(data(&world, &revoke));
    good(data(&world, &["push"]));
    goes_on_from(&world, &folder, &old);

    // Given back, and several versions later pushed: the manifest still says so.
    seal(&world, &["--restore", "measurement"]);
    let at = restored(&world);
    assert!(at.is_some() && !revoked(&world));
    good(data(&world, &["rotate", "purchases"]));
    seal(&world, &[]);
    assert_eq!(restored(&world), at);
    good(data(&world, &["push"]));
    good(world.query(&[]));

    // Revoked once more: what was given back before says nothing of that.
    let given_back = kept_aside(&folder);
    good(data(&world, &revoke));
    assert_eq!(restored(&world), None);
    good(data(&world, &["push"]));
    goes_on_from(&world, &folder, &given_back);
}
