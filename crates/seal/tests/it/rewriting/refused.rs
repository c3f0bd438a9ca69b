//! What gets no new version, and stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_seal::{
    Anew, Change, RewriteError, RewriteJob, SealedColumn, part_path, plan_rewrite, rewrite,
    unwrap_keys,
};
use incamera_types::PurposeSet;

use super::{NOW, Want, amounts, remade, tagged};
use crate::world::{
    PURCHASES_CSV, World, agreement_id, files_below, name, names, purchases, purpose,
};

fn unchanged(world: &World, dataset: &str, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let after = contents(&world.out(dataset));
    let named = |file: &&PathBuf| !file.to_string_lossy().ends_with(".lock");
    let of = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<PathBuf> {
        files.keys().filter(named).cloned().collect()
    };
    assert_eq!(of(&after), of(before));
    assert!(
        before
            .iter()
            .all(|(file, bytes)| after.get(file) == Some(bytes))
    );
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(folder).into_iter();
    files
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect()
}

#[test]
fn a_part_that_is_missing_or_changed_is_refused_and_nothing_changes() {
    let damage: [&dyn Fn(&Path); 3] = [
        &|path| fs::remove_file(path).unwrap(),
        &|path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        &|path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        },
    ];
    for damage in damage {
        let mut world = World::sealed();
        let manifest = world.manifest("purchases");
        for part in manifest.parts() {
            damage(&part_path(&world.out("purchases"), &part.file_id));
        }
        let before = contents(&world.out("purchases"));
        let want = Want {
            anew: Anew::DataKeys,
            change: Change::Rotated,
            ..Want::default()
        };
        let error = remade(&mut world, "purchases", &want).unwrap_err();
        assert!(matches!(error, RewriteError::PartFile(_)), "{error}");
        assert_eq!(world.manifest("purchases").version(), 1);
        unchanged(&world, "purchases", &before);
        // The old keys are still there.
        assert!(
            unwrap_keys(
                &manifest,
                &purpose("ads"),
                &names(&["category"]),
                &world.ring
            )
            .is_ok()
        );
    }
}

#[test]
fn a_ring_without_the_keys_is_refused() {
    let mut world = World::sealed();
    let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
    incamera_seal::destroy_all(&mut world.ring, &id, &dataset).unwrap();
    let before = contents(&world.out("purchases"));
    let specs = [
        Want {
            anew: Anew::DataKeys,
            ..Want::default()
        },
        Want {
            anew: Anew::PurposeKeys,
            ..Want::default()
        },
        Want {
            spec: Some(tagged("amount", &["ads", "measurement"])),
            ..Want::default()
        },
    ];
    for want in specs {
        let error = remade(&mut world, "purchases", &want).unwrap_err();
        assert!(
            matches!(error, RewriteError::NoPurposeKey { .. }),
            "{error}"
        );
        unchanged(&world, "purchases", &before);
    }
}

#[test]
fn declarations_that_need_sealing_again_are_refused() {
    let mut world = World::sealed();
    let mut other = purchases();
    other.columns[2].ty = "int".parse().unwrap();
    let mut nullable = purchases();
    nullable.columns[2].nullable = true;
    let mut moved = purchases();
    moved.columns.swap(2, 3);
    let mut public = purchases();
    public.public = true;
    let mut owner = purchases();
    owner.owner = "mailer".parse().unwrap();
    for spec in [other, nullable, moved, public, owner] {
        let want = Want {
            spec: Some(spec),
            ..Want::default()
        };
        let error = remade(&mut world, "purchases", &want).unwrap_err();
        assert!(matches!(error, RewriteError::Unfit { .. }), "{error}");
    }
    // A new column is no such thing: the parts lack it.
    let mut more = purchases();
    more.columns
        .push(crate::world::column("discount", "int", &["measurement"]));
    let want = Want {
        spec: Some(more),
        ..Want::default()
    };
    remade(&mut world, "purchases", &want).unwrap();
    let has = |column: &SealedColumn| column.name == name("discount");
    assert!(world.manifest("purchases").columns().iter().any(has));
    assert_eq!(amounts(&world, "measurement").len(), 3);
}

#[test]
fn a_version_sealed_meanwhile_is_not_overwritten() {
    let mut world = World::sealed();
    let manifest = world.manifest("purchases");
    let spec = tagged("amount", &["ads", "measurement"]);
    let folder = world.out("purchases");
    let job = RewriteJob {
        manifest: &manifest,
        folder: &folder,
        spec: &spec,
        revoked: PurposeSet::default(),
        renamed: BTreeMap::new(),
        register: manifest.register(),
        movement: None,
        anew: Anew::Nothing,
        class_people: 1,
        part_rows: u64::MAX,
        change: Change::Retagged,
        progress: &|_| {},
    };
    let plan = plan_rewrite(&job, &world.ring).unwrap();
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    let (ring, signer, rng) = (&mut world.ring, &world.signer, &mut world.rng);
    let error = rewrite(&job, &plan, ring, signer, NOW, rng, |_| Ok(())).unwrap_err();
    assert!(matches!(error, RewriteError::Overtaken { .. }));
    assert_eq!(world.manifest("purchases").version(), 2);
}
