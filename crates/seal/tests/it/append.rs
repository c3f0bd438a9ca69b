//! Rows that are added to a sealed data set: old parts stay, byte for byte.

use std::collections::BTreeMap;
use std::fs;

use incamera_seal::{Change, PARTS_FOLDER, PurposeSlot, SealError, SealReport};
use incamera_types::DatasetSpec;

use crate::world::{
    CUSTOMERS_CSV, PURCHASES_CSV, World, agreement_id, column, customers, files_below, purchases,
    purpose,
};

const MORE_CSV: &str = "email,day,amount,category\n\
    all@x,2026-04-01,1,food\n\
    measured@x,2026-04-02,2,home\n\
    ads@x,2026-04-03,3,toys\n";

fn parts(world: &World) -> BTreeMap<String, Vec<u8>> {
    let files = files_below(&world.out("purchases").join(PARTS_FOLDER)).into_iter();
    files
        .map(|file| (file.display().to_string(), fs::read(file).unwrap()))
        .collect()
}

fn append(world: &mut World, spec: &DatasetSpec, csv: &str) -> Result<SealReport, SealError> {
    world.append = true;
    let report = world.seal_csv(spec, csv);
    world.append = false;
    report
}

#[test]
fn new_parts_stand_beside_the_old_ones() {
    let mut world = World::sealed();
    let (before, old) = (world.manifest("purchases"), parts(&world));
    let report = append(&mut world, &purchases(), MORE_CSV).unwrap();
    assert_eq!((report.sealed, report.parts_kept), (3, old.len()));
    let (after, new) = (world.manifest("purchases"), parts(&world));
    assert_eq!(new.len(), old.len() + report.parts);
    for (file, content) in &old {
        assert!(new[file] == *content, "{file} was written again");
    }
    assert_eq!(after.parts()[..old.len()], before.parts()[..]);
    assert_eq!((after.version(), after.change()), (2, Change::Appended));
    assert_eq!(after.previous(), Some(before.digest()));
    assert!(
        after.parts()[old.len()..]
            .iter()
            .all(|part| part.version == 2)
    );
    assert_eq!(
        world.texts("purchases", "measurement", "amount"),
        ["1.00", "10.50", "2.00", "20.00", "40.00"]
    );
    // Once more; and in the place of all.
    append(&mut world, &purchases(), MORE_CSV).unwrap();
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 7);
    let report = world.seal_csv(&purchases(), MORE_CSV).unwrap();
    assert_eq!((report.parts_kept, parts(&world).len()), (0, report.parts));
    let manifest = world.manifest("purchases");
    assert_eq!((manifest.version(), manifest.change()), (4, Change::Sealed));
}

#[test]
fn old_parts_lack_new_columns() {
    let mut world = World::sealed();
    let mut spec = purchases();
    spec.columns
        .push(column("shop", "text", &["ads", "measurement"]));
    let csv = "email,day,amount,category,shop\nall@x,2026-04-01,1,food,north\n";
    let report = append(&mut world, &spec, csv).unwrap();
    let manifest = world.manifest("purchases");
    let lacking = manifest
        .parts()
        .iter()
        .filter(|part| !part.absent.is_empty());
    assert_eq!(lacking.count(), report.parts_kept);
    assert_eq!(world.texts("purchases", "ads", "shop"), ["north"]);
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 4);
    // And again, with what is absent already.
    append(&mut world, &spec, csv).unwrap();
    assert_eq!(world.texts("purchases", "ads", "shop"), ["north", "north"]);
}

/// What cannot be added is refused, says why, and changes nothing.
#[test]
fn what_would_change_old_parts_is_refused() {
    let mut world = World::sealed();
    let old = parts(&world);
    let mut changed: Vec<(DatasetSpec, &str)> = Vec::new();
    let mut spec = purchases();
    spec.columns[2].ty = "decimal(12,2)".parse().unwrap();
    changed.push((spec, "another type"));
    let mut spec = purchases();
    spec.columns[3].purposes = crate::world::set(&["measurement"]);
    changed.push((spec, "other purposes"));
    let mut spec = purchases();
    spec.columns.remove(3);
    changed.push((spec, "is gone"));
    let mut spec = purchases();
    spec.columns.swap(2, 3);
    changed.push((spec, "another order"));
    for (spec, why) in changed {
        let error = append(&mut world, &spec, MORE_CSV).unwrap_err();
        assert!(
            matches!(&error, SealError::NotAdded { reason, .. } if reason.contains(why)),
            "{error}"
        );
    }
    world.partitions = 8;
    let error = append(&mut world, &purchases(), MORE_CSV).unwrap_err();
    assert!(error.to_string().contains("partitions"), "{error}");
    world.partitions = 4;
    // A register says all of its people's consents.
    let consents = world.consents.take();
    let error = append(&mut world, &customers(), CUSTOMERS_CSV).unwrap_err();
    assert!(error.to_string().contains("consents"), "{error}");
    world.consents = consents;
    // The consents are those of another register now.
    let sealed = world.seal_csv(&customers(), CUSTOMERS_CSV).unwrap();
    world.consents = sealed.consents;
    let error = append(&mut world, &purchases(), PURCHASES_CSV).unwrap_err();
    assert!(
        error.to_string().contains("consents have changed"),
        "{error}"
    );
    assert!(parts(&world) == old);
    assert_eq!(world.manifest("purchases").version(), 1);
}

/// Rows of a class that is there already are no new rare one.
#[test]
fn few_rows_of_a_class_that_is_there_stay_in_it() {
    let mut world = World::sealed();
    world.limits.class_people = 5;
    let report = append(&mut world, &purchases(), MORE_CSV).unwrap();
    assert_eq!((report.sealed, report.small_classes.people_moved), (3, 0));
    let report = world.seal_csv(&purchases(), MORE_CSV).unwrap();
    assert_eq!(
        (report.sealed, report.small_classes.people_left_out),
        (0, 3)
    );
}

/// Rows are added under the keys that the others are sealed under, or not at all: new keys in
/// their place would open none of what is there.
#[test]
fn i3_without_the_keys_of_the_old_parts_nothing_is_added() {
    for lost in [&["ads", "measurement"][..], &["ads"]] {
        let mut world = World::sealed();
        let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
        let lost: Vec<_> = lost.iter().map(|one| purpose(one)).collect();
        let of_it = |slot: &PurposeSlot| slot.dataset == dataset && lost.contains(&slot.purpose);
        world.ring.destroy_purpose_keys(of_it).unwrap();
        let (slots, before) = (world.ring.purpose_slots(&id, &dataset), parts(&world));
        let manifest = world.manifest("purchases");
        let added = append(&mut world, &purchases(), MORE_CSV);
        assert!(
            matches!(added, Err(SealError::NotAdded { .. })),
            "{added:?}"
        );
        assert_eq!(world.ring.purpose_slots(&id, &dataset), slots);
        assert_eq!(parts(&world), before);
        assert_eq!(world.manifest("purchases").digest(), manifest.digest());
    }
}
