//! What a crash or a failed sealing leaves.

use std::fs;

use incamera_seal::{
    Consents, LocalFileError, MANIFEST_FILE, PARTS_FOLDER, SealError, Source, check_part_file,
    part_path,
};

use crate::world::{PURCHASES_CSV, World, contains, customers, files_below, pseudonym, purchases};

#[test]
fn a_failed_sealing_leaves_the_old_version_whole() {
    let mut world = World::sealed();
    let before = fs::read(world.out("purchases").join(MANIFEST_FILE)).unwrap();
    let bad = format!("{PURCHASES_CSV}all@x,2026-03-01,MARKED,food\n");
    let error = world.seal_csv(&purchases(), bad).unwrap_err();
    assert!(matches!(error, SealError::Source(_)));
    assert_eq!(
        fs::read(world.out("purchases").join(MANIFEST_FILE)).unwrap(),
        before
    );
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    let clear = |file: &std::path::PathBuf| contains(&fs::read(file).unwrap(), b"MARKED");
    assert!(!files_below(&world.out("purchases")).iter().any(clear));
}

/// The consents of a new register are kept before it takes the old one's place; if they cannot
/// be, the old one stays.
#[test]
fn i3_consents_are_kept_before_the_register_is_published() {
    let mut world = World::sealed();
    let manifest = world.out("customers").join(MANIFEST_FILE);
    let before = fs::read(&manifest).unwrap();
    let source = Source::of(&world.file("fewer.csv", "email,consent\na@x,ads\n")).unwrap();
    let mut kept = None;
    let full = LocalFileError::Form {
        path: "consents".into(),
        format: "test",
        reason: "the disk is full",
    };
    let refused = world.seal_keeping(&customers(), &source, &pseudonym, |_| true, |_| Err(full));
    assert!(matches!(refused, Err(SealError::File(_))));
    assert!(fs::read(&manifest).unwrap() == before);
    let keep = |consents: &Consents| {
        assert!(fs::read(&manifest).unwrap() == before, "published already");
        kept = Some(consents.len());
        Ok(())
    };
    let sealed = world.seal_keeping(&customers(), &source, &pseudonym, |_| true, keep);
    assert_eq!(sealed.unwrap().sealed, 1);
    assert_eq!(kept, Some(1));
    assert_eq!(world.manifest("customers").version(), 2);
}

#[test]
fn what_a_crash_left_disturbs_nothing_and_goes() {
    let mut world = World::sealed();
    let parts = world.out("purchases").join(PARTS_FOLDER);
    let left = parts.join(format!("{}.parquet", "ab".repeat(16)));
    fs::write(&left, b"PARE half a part").unwrap();
    let foreign = parts.join("notes.txt");
    fs::write(&foreign, b"not ours").unwrap();
    fs::write(
        world.out("purchases").join("manifest.new"),
        b"half a manifest",
    )
    .unwrap();
    // The old version reads as before.
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    let old = world.manifest("purchases");
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let new = world.manifest("purchases");
    assert_eq!(new.previous(), Some(old.digest()));
    assert_eq!((old.version(), new.version()), (1, 2));
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    assert!(!left.exists(), "unnamed ciphertext is removed");
    assert!(foreign.exists(), "other files are not touched");
    for part in old.parts() {
        assert!(!part_path(&world.out("purchases"), &part.file_id).exists());
    }
    for part in new.parts() {
        let path = part_path(&world.out("purchases"), &part.file_id);
        check_part_file(&path, &new, part).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_said() {
    let mut world = World::new();
    fs::create_dir_all(world.folder.path().join("sealed")).unwrap();
    fs::write(world.out("purchases"), b"a file, not a folder").unwrap();
    let error = world.seal_csv(&purchases(), PURCHASES_CSV).unwrap_err();
    assert!(matches!(error, SealError::File(_)), "{error}");
}

#[test]
fn the_same_rows_twice_have_nothing_in_common() {
    let mut world = World::sealed();
    let old = world.manifest("purchases");
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let new = world.manifest("purchases");
    for part in new.parts() {
        assert!(old.part(&part.file_id).is_none());
        assert!(old.parts().iter().all(|old| old.digest != part.digest));
        assert!(
            old.parts()
                .iter()
                .all(|old| old.keys[0].commitment != part.keys[0].commitment)
        );
    }
}
