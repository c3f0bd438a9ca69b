//! Keys that somebody else has had, of docs/keys.md: what the thief opens, and what no longer.

use std::fs::{self, File};

use incamera_seal::{
    AgeFile, Anew, Change, KeyRing, Manifest, NoKey, destroy_superseded, granted_parts, part_path,
    read_part, unwrap_keys,
};
use incamera_types::FileId;

use super::{Kept, Want, remade};
use crate::world::{PURCHASES_CSV, World, names, passphrase, purchases, purpose};

/// A thief with the ring and what opens it, who unwrapped every data key while it was good.
struct Thief {
    kept: Kept,
    ring: KeyRing,
}

impl Thief {
    fn of(world: &World) -> Self {
        let kept = Kept::of(world, "purchases");
        let ring = kept.ring();
        Self { kept, ring }
    }

    /// Rows of `amount` in the parts that lie at the owner's now, by the data keys that the
    /// thief took along.
    fn rows_by_old_keys(&self, world: &World) -> usize {
        let (then, columns) = (&self.kept.manifest, names(&["amount"]));
        let keys = unwrap_keys(then, &purpose("measurement"), &columns, &self.ring).unwrap();
        let keys = granted_parts(then, &purpose("measurement"), &columns, keys).unwrap();
        let now = world.manifest("purchases");
        let mut rows = 0;
        for part in now.parts() {
            let path = part_path(&world.out("purchases"), &part.file_id);
            // Of the same name or any other: every key that it has, as whatever part it may be.
            for (id, key) in &keys {
                let old = then.part(id).unwrap();
                let read = read_part(File::open(&path).unwrap(), then, old, key, &columns, 100);
                let Ok(read) = read else { continue };
                rows += read
                    .map_while(Result::ok)
                    .map(|batch| batch.num_rows())
                    .sum::<usize>();
            }
        }
        rows
    }

    /// Keys of a manifest that the stolen ring unwraps, for every purpose and column.
    fn unwraps(&self, manifest: &Manifest) -> usize {
        let mut opened = 0;
        for to in ["ads", "measurement", "safety"] {
            for column in manifest.columns() {
                let columns = [column.name.clone()];
                let keys = unwrap_keys(manifest, &purpose(to), &columns, &self.ring);
                opened += keys.map_or(0, |keys| keys.len());
            }
        }
        opened
    }
}

fn rotate(world: &mut World, anew: Anew) {
    let want = Want {
        anew,
        change: Change::Rotated,
        ..Want::default()
    };
    remade(world, "purchases", &want).unwrap();
}

fn seal_anew(world: &mut World) {
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
}

#[test]
fn a_stolen_ring_opens_nothing_that_has_new_data_keys() {
    let ways: [fn(&mut World); 2] = [|world| rotate(world, Anew::DataKeys), seal_anew];
    for way in ways {
        let mut world = World::sealed();
        let thief = Thief::of(&world);
        assert!(thief.unwraps(&thief.kept.manifest) > 0);
        assert_eq!(thief.rows_by_old_keys(&world), 3, "until then, all");
        way(&mut world);
        let new = world.manifest("purchases");
        assert_eq!(thief.unwraps(&new), 0);
        assert_eq!(thief.rows_by_old_keys(&world), 0);
        let ids = |manifest: &Manifest| -> Vec<FileId> {
            let parts = manifest.parts().iter();
            parts.map(|part| part.file_id).collect()
        };
        let old = ids(&thief.kept.manifest);
        assert!(ids(&new).iter().all(|id| !old.contains(id)));
        // The parts that the thief has kept stay open to it: nobody takes that back.
        assert!(thief.unwraps(&thief.kept.manifest) > 0);
        assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    }
}

/// `data rotate` alone wraps the same data keys anew, and the thief has those.
#[test]
fn a_rotation_without_data_keys_leaves_what_a_thief_unwrapped() {
    let mut world = World::sealed();
    let thief = Thief::of(&world);
    rotate(&mut world, Anew::PurposeKeys);
    assert_eq!(thief.unwraps(&world.manifest("purchases")), 0);
    assert_eq!(thief.rows_by_old_keys(&world), 3);
}

/// Whoever can write the ring's file alone may put an older copy there. It opens, with keys that
/// were destroyed since and without those that the data have now: nothing of today opens, the
/// next work on the data destroys the old keys again, and a backup brings back the rest.
#[test]
fn an_older_ring_in_the_ring_s_place_opens_old_data_alone() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    let before = kept.opened_by(&world.ring);
    rotate(&mut world, Anew::DataKeys);
    let path = world.ring.path().to_owned();
    let backup = fs::read(&path).unwrap();
    let old = kept.folder.path().join("ring.age");
    fs::copy(&old, &path).unwrap();

    assert!(world.ring.refresh().unwrap(), "a service takes it over");
    assert_eq!(
        kept.opened_by(&world.ring),
        before,
        "destroyed keys are back"
    );
    let new = world.manifest("purchases");
    let none = unwrap_keys(&new, &purpose("ads"), &names(&["category"]), &world.ring);
    assert!(matches!(none, Err(NoKey::NoPurposeKey { .. })), "{none:?}");
    assert!(destroy_superseded(&mut world.ring, &new).unwrap() > 0);
    assert_eq!(kept.opened_by(&world.ring), 0);
    assert_eq!(
        kept.opened_by(&KeyRing::open(&path, &passphrase()).unwrap()),
        0
    );

    fs::write(&path, backup).unwrap();
    world.ring.refresh().unwrap();
    assert_eq!(world.texts("purchases", "measurement", "amount").len(), 3);
    // A ring of somebody else's, under whatever they like, does not open.
    let theirs = incamera_keys::SecretString::from("battery staple");
    let foreign = path.with_file_name("theirs.age");
    let backend = AgeFile::passphrase_with_work_factor(&theirs, 1).unwrap();
    KeyRing::create_in(&foreign, Box::new(backend), &mut world.rng).unwrap();
    fs::copy(&foreign, &path).unwrap();
    assert!(world.ring.refresh().is_err());
    assert!(KeyRing::open(&path, &passphrase()).is_err());
}
