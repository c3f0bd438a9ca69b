//! Sealing again from the owner's files: what the version before opened, an old copy of it
//! opens no more.

use incamera_seal::{Manifest, SealError};

use super::{Kept, tagged};
use crate::world::{
    CUSTOMERS_CSV, PURCHASES_CSV, World, agreement_id, customers, pseudonym, purchases,
};

fn epochs(world: &World, manifest: &Manifest) -> Vec<u32> {
    let slots = (world.ring).purpose_slots(&agreement_id(), manifest.dataset());
    let mut epochs: Vec<u32> = slots.iter().map(|slot| slot.key_epoch).collect();
    epochs.dedup();
    epochs
}

#[test]
fn i3_what_is_sealed_again_shuts_old_copies() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    assert!(kept.opened_by(&world.ring) > 0);
    // The owner seals anew under a declaration that takes `ads` from the column.
    let spec = tagged("category", &["measurement"]);
    let report = world.seal_csv(&spec, PURCHASES_CSV).unwrap();
    assert_eq!(report.keys_destroyed, 2);
    let new = world.manifest("purchases");
    assert_eq!((new.version(), new.key_epoch()), (2, 2));
    assert_eq!(kept.opened_by(&world.ring), 0);
    assert!(kept.opened_by(&kept.ring()) > 0, "what was kept is whole");
    assert_eq!(epochs(&world, &new), [2]);
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    // The other data set's keys are as they were.
    assert_eq!(epochs(&world, &world.manifest("customers")), [1]);
}

#[test]
fn added_rows_keep_the_keys() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    let before = kept.opened_by(&world.ring);
    world.append = true;
    let report = world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    assert_eq!((report.parts_kept > 0, report.keys_destroyed), (true, 0));
    assert_eq!(world.manifest("purchases").key_epoch(), 1);
    assert_eq!(kept.opened_by(&world.ring), before);
}

/// Keys that were made for a version that never came may lie in a copy of the ring: they wrap
/// nothing.
#[test]
fn what_is_sealed_again_is_wrapped_under_keys_that_nobody_had_before() {
    let mut world = World::sealed();
    let dataset = purchases().name;
    let leaves = super::set(&["ads", "measurement"]);
    let (ring, rng) = (&mut world.ring, &mut world.rng);
    ring.ensure_purpose_keys(&agreement_id(), &dataset, 2, &leaves, rng)
        .unwrap();
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let new = world.manifest("purchases");
    assert_eq!((new.key_epoch(), epochs(&world, &new)), (3, vec![3]));
}

/// Until the new manifest is in its place, the keys of the version before are there.
#[test]
fn a_sealing_that_fails_destroys_nothing() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "customers");
    let before = kept.opened_by(&world.ring);
    let path = world.file("again.csv", CUSTOMERS_CSV);
    let source = incamera_seal::Source::of(&path).unwrap();
    let full = incamera_seal::LocalFileError::Form {
        path: "consents".into(),
        format: "test",
        reason: "the disk is full",
    };
    let refused = world.seal_keeping(&customers(), &source, &pseudonym, |_| true, |_| Err(full));
    assert!(matches!(refused, Err(SealError::File(_))), "{refused:?}");
    assert_eq!(kept.opened_by(&world.ring), before);
    assert!(!world.texts("customers", "ads", "person").is_empty());
}
