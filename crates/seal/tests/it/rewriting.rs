//! New versions without the owner's files: other purposes, consent withdrawn, people forgotten,
//! purposes revoked, new keys.

mod anew;
mod cut_short;
mod left;
mod refused;
mod small;
mod stolen;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_seal::{
    Anew, Change, Consents, Counts, Coverage, KeyRing, MANIFEST_FILE, Manifest, Movement, NoKey,
    PARTS_FOLDER, RewriteError, RewriteJob, RewritePlan, Rewritten, SignedManifest,
    check_part_file, destroy_superseded, open_manifest, part_path, plan_rewrite,
    read_manifest_file, rewrite, unwrap_keys,
};
use incamera_types::{ConsentClass, DatasetSpec, ManifestDigest, Pseudonym, PurposeSet, UnixTime};

use crate::world::{
    World, agreement_id, files_below, name, names, passphrase, pseudonym, purchases, purpose, set,
};

const NOW: UnixTime = UnixTime(2_000);

/// What a test asks for; the rest is as it is.
pub struct Want<'a> {
    pub spec: Option<DatasetSpec>,
    pub revoked: &'a [&'a str],
    pub movement: Option<Movement<'a>>,
    pub anew: Anew,
    pub class_people: u64,
    pub part_rows: u64,
    pub change: Change,
    pub renamed: &'a [(&'a str, &'a str)],
    /// Another register than it had.
    pub register: Option<ManifestDigest>,
}

impl Default for Want<'_> {
    fn default() -> Self {
        Self {
            spec: None,
            revoked: &[],
            movement: None,
            anew: Anew::Nothing,
            class_people: 1,
            part_rows: u64::MAX,
            change: Change::Retagged,
            renamed: &[],
            register: None,
        }
    }
}

/// The job of a want.
fn job<'a>(
    manifest: &'a SignedManifest,
    folder: &'a Path,
    declared: &'a DatasetSpec,
    want: &'a Want<'_>,
) -> RewriteJob<'a> {
    let renamed = want.renamed.iter();
    RewriteJob {
        manifest,
        folder,
        spec: want.spec.as_ref().unwrap_or(declared),
        revoked: set(want.revoked),
        renamed: renamed
            .map(|(old, new)| (purpose(old), purpose(new)))
            .collect(),
        register: want.register.or(manifest.register()),
        movement: want.movement,
        anew: want.anew,
        class_people: want.class_people,
        part_rows: want.part_rows,
        change: want.change,
        progress: &|_| {},
    }
}

pub fn planned(
    world: &World,
    dataset: &str,
    want: &Want<'_>,
    then: impl FnOnce(&RewriteJob<'_>, Result<RewritePlan, RewriteError>),
) {
    let (manifest, folder) = (world.manifest(dataset), world.out(dataset));
    let declared = manifest.declared();
    let job = job(&manifest, &folder, &declared, want);
    let plan = plan_rewrite(&job, &world.ring);
    then(&job, plan);
}

/// Makes the next version; counts of the plan, and what came of it.
pub fn remade(
    world: &mut World,
    dataset: &str,
    want: &Want<'_>,
) -> Result<(Counts, Rewritten), RewriteError> {
    let (manifest, folder) = (world.manifest(dataset), world.out(dataset));
    let declared = manifest.declared();
    let job = job(&manifest, &folder, &declared, want);
    let plan = plan_rewrite(&job, &world.ring)?;
    let (ring, signer, rng) = (&mut world.ring, &world.signer, &mut world.rng);
    let done = rewrite(&job, &plan, ring, signer, NOW, rng, |_| Ok(()))?;
    Ok((plan.counts(), done))
}

/// The purchases with other purposes of a column.
fn tagged(column: &str, purposes: &[&str]) -> DatasetSpec {
    let mut spec = purchases();
    let mut columns = spec.columns.iter_mut();
    let found = columns.find(|one| one.name == name(column)).unwrap();
    found.purposes = set(purposes);
    spec
}

fn people(ids: &[&str]) -> BTreeSet<Pseudonym> {
    ids.iter().map(|id| pseudonym(id).unwrap()).collect()
}

/// A copy of all that somebody could have kept: files, manifest, and the ring.
struct Kept {
    folder: tempfile::TempDir,
    manifest: SignedManifest,
}

impl Kept {
    fn of(world: &World, dataset: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let from = world.out(dataset);
        for file in files_below(&from) {
            let to = folder.path().join(file.strip_prefix(&from).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file, to).unwrap();
        }
        fs::copy(world.ring.path(), folder.path().join("ring.age")).unwrap();
        Self {
            manifest: world.manifest(dataset),
            folder,
        }
    }

    fn ring(&self) -> KeyRing {
        KeyRing::open(&self.folder.path().join("ring.age"), &passphrase()).unwrap()
    }

    /// How many keys of the old manifest a ring unwraps, over every purpose and column.
    fn opened_by(&self, ring: &KeyRing) -> usize {
        let manifest = self.manifest.manifest();
        let signed = read_manifest_file(&self.folder.path().join(MANIFEST_FILE)).unwrap();
        assert_eq!(signed.body, self.manifest.signed().body);
        let mut opened = 0;
        for to in ["ads", "measurement", "safety"] {
            let columns = manifest
                .columns()
                .iter()
                .map(|column| vec![column.name.clone()]);
            for columns in columns.chain([vec![]]) {
                let keys = unwrap_keys(manifest, &purpose(to), &columns, ring);
                opened += keys.map_or(0, |keys| keys.len());
            }
        }
        opened
    }
}

fn amounts(world: &World, to: &str) -> Vec<String> {
    world.texts("purchases", to, "amount")
}

fn part_files(world: &World, dataset: &str) -> BTreeSet<PathBuf> {
    files_below(&world.out(dataset).join(PARTS_FOLDER))
        .into_iter()
        .collect()
}

/// Every part is there, whole, and named; nothing else lies beside them.
fn whole(world: &World, dataset: &str) {
    let manifest = world.manifest(dataset);
    let mut named = BTreeSet::new();
    for part in manifest.parts() {
        let path = part_path(&world.out(dataset), &part.file_id);
        check_part_file(&path, &manifest, part).unwrap();
        named.insert(path);
    }
    assert_eq!(named, part_files(world, dataset));
}

#[test]
fn i3_a_purpose_more_is_wrapped_and_no_part_is_written() {
    let mut world = World::sealed();
    let (old, files) = (world.manifest("purchases"), part_files(&world, "purchases"));
    let want = Want {
        spec: Some(tagged("amount", &["ads", "measurement"])),
        ..Want::default()
    };
    planned(&world, "purchases", &want, |_, plan| {
        let plan = plan.unwrap();
        // The person of class `ads` has a file without amounts.
        let without = Coverage { without: 1, of: 3 };
        assert_eq!(plan.lacking().get(&name("amount")), Some(&without));
        assert!(plan.changes() && !plan.removes());
    });
    let (counts, done) = remade(&mut world, "purchases", &want).unwrap();
    let new = world.manifest("purchases");
    assert_eq!(
        (counts.rewritten, done.parts_written, done.keys_destroyed),
        (0, 0, 0)
    );
    assert_eq!((new.version(), new.key_epoch()), (2, 1));
    assert_eq!(new.previous(), Some(old.digest()));
    assert_eq!((new.change(), new.removals()), (Change::Retagged, &[][..]));
    assert_eq!(files, part_files(&world, "purchases"));
    assert_eq!(amounts(&world, "ads"), ["10.50", "20.00"]);
    assert_eq!(amounts(&world, "measurement"), ["10.50", "20.00", "40.00"]);
    // Wraps that stay are kept as they are.
    for (old, new) in old
        .parts()
        .iter()
        .zip(new.parts().iter().filter(|new| new.absent.is_empty()))
    {
        let found = old.keys[0].wraps.iter().all(|wrap| {
            let same = |new: &incamera_seal::Part| new.keys[0].wraps.contains(wrap);
            new_parts_have(&world, &same)
        });
        assert!(found, "{:?}", new.class);
    }
    // The same again changes nothing.
    planned(&world, "purchases", &want, |_, plan| {
        assert!(!plan.unwrap().changes())
    });
}

fn new_parts_have(world: &World, same: &dyn Fn(&incamera_seal::Part) -> bool) -> bool {
    world.manifest("purchases").parts().iter().any(same)
}

#[test]
fn i3_after_a_purpose_is_taken_away_old_copies_open_under_nothing() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    let before = kept.opened_by(&world.ring);
    assert!(before > 10);
    let want = Want {
        spec: Some(tagged("category", &["measurement"])),
        ..Want::default()
    };
    let (counts, done) = remade(&mut world, "purchases", &want).unwrap();
    // `all` has both purposes and is written anew; `ads` opens nothing now; `measured` stays.
    assert_eq!(
        (counts.rewritten, counts.dropped, counts.rewrapped),
        (1, 1, 1)
    );
    assert_eq!((done.key_epoch, done.keys_destroyed), (2, 2));
    let new = world.manifest("purchases");
    assert_eq!(new.removals()[0].change, Change::Retagged);
    assert_eq!(amounts(&world, "measurement"), ["10.50", "20.00", "40.00"]);
    let none = unwrap_keys(&new, &purpose("ads"), &names(&["category"]), &world.ring);
    assert!(matches!(none, Err(NoKey::NotWrapped { .. })));
    whole(&world, "purchases");
    old_copies_are_shut(&world, &kept, before);
}

/// With what the owner has now, nothing of the old copy opens; with a copy of the ring, all.
fn old_copies_are_shut(world: &World, kept: &Kept, before: usize) {
    let mut now = KeyRing::open(world.ring.path(), &passphrase()).unwrap();
    now.refresh().unwrap();
    assert_eq!(kept.opened_by(&now), 0, "the ring's file");
    assert_eq!(kept.opened_by(&world.ring), 0, "the ring in memory");
    assert_eq!(kept.opened_by(&kept.ring()), before, "a backup of the ring");
    let slots = now.purpose_slots(&agreement_id(), kept.manifest.dataset());
    let newest = world.manifest(kept.manifest.dataset().as_str());
    assert!(
        slots
            .iter()
            .all(|slot| slot.key_epoch == newest.key_epoch())
    );
    // No data key goes on under another wrap either, unless its part's file did.
    let old = kept.manifest.parts();
    for part in newest.parts() {
        let same_file = old.iter().any(|old| old.file_id == part.file_id);
        let same_key = old.iter().flat_map(|old| &old.keys);
        let commitments: Vec<_> = same_key.map(|key| key.commitment).collect();
        let kept_key = part
            .keys
            .iter()
            .any(|key| commitments.contains(&key.commitment));
        assert_eq!(same_file, kept_key);
    }
}

#[test]
fn i3_a_forgotten_person_is_in_no_part_and_old_copies_open_under_nothing() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    let before = kept.opened_by(&world.ring);
    let among = people(&["all@x", "stranger@x"]);
    let forget = |_: &Pseudonym, _: &ConsentClass| Some(PurposeSet::default());
    let want = Want {
        movement: Some(Movement {
            among: Some(&among),
            class: &forget,
        }),
        change: Change::Forgotten,
        ..Want::default()
    };
    let (counts, done) = remade(&mut world, "purchases", &want).unwrap();
    assert_eq!((counts.rows_gone, counts.rows_moved), (2, 0));
    assert_eq!((counts.rewritten, counts.rewrapped), (1, 2));
    // Nobody else was of that class in that slice, so nothing was written in its place.
    assert_eq!(done.parts_written, 0);
    assert_eq!(amounts(&world, "measurement"), ["40.00"]);
    assert_eq!(world.texts("purchases", "ads", "category"), ["toys"]);
    let new = world.manifest("purchases");
    assert_eq!((new.change(), new.key_epoch()), (Change::Forgotten, 2));
    whole(&world, "purchases");
    old_copies_are_shut(&world, &kept, before);
}

#[test]
fn i3_consent_withdrawn_moves_rows_to_the_smaller_class() {
    // One slice, so that several people share parts.
    let mut world = World::new();
    world.partitions = 1;
    let register: String = (0..40)
        .map(|at| format!("p{at}@x,ads;measurement\n"))
        .collect();
    let register = format!("email,consent\n{register}");
    let report = world
        .seal_csv(&crate::world::customers(), register)
        .unwrap();
    world.consents = report.consents;
    let rows: String = (0..40)
        .map(|at| format!("p{at}@x,2026-03-01,{at},food\n"))
        .collect();
    world
        .seal_csv(&purchases(), format!("email,day,amount,category\n{rows}"))
        .unwrap();
    let kept = Kept::of(&world, "purchases");
    let before = kept.opened_by(&world.ring);
    let among = people(&["p3@x", "p17@x", "p29@x"]);
    let without = |_: &Pseudonym, class: &ConsentClass| {
        Some(
            class
                .iter()
                .filter(|one| **one != purpose("ads"))
                .cloned()
                .collect(),
        )
    };
    let want = Want {
        movement: Some(Movement {
            among: Some(&among),
            class: &without,
        }),
        change: Change::ConsentRemoved,
        ..Want::default()
    };
    let (counts, done) = remade(&mut world, "purchases", &want).unwrap();
    assert_eq!(
        (counts.rows_moved, counts.rows_gone, done.parts_written),
        (3, 0, 2)
    );
    assert_eq!(world.texts("purchases", "ads", "category").len(), 37);
    let mut all: Vec<i64> = amounts(&world, "measurement")
        .iter()
        .map(|text| text.parse::<f64>().unwrap() as i64)
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
    let new = world.manifest("purchases");
    let classes: Vec<usize> = new.parts().iter().map(|part| part.class.len()).collect();
    assert_eq!(classes.iter().filter(|len| **len == 1).count(), 1);
    whole(&world, "purchases");
    old_copies_are_shut(&world, &kept, before);
    // Once more finds nobody.
    planned(&world, "purchases", &want, |_, plan| {
        assert_eq!(plan.unwrap().counts().rows_moved, 0);
    });
}

#[test]
fn i3_a_revoked_purpose_opens_nothing_and_does_not_come_back_by_itself() {
    let mut world = World::sealed();
    let kept = Kept::of(&world, "purchases");
    let ads = || names(&["category"]);
    let want = Want {
        revoked: &["measurement"],
        change: Change::Revoked,
        ..Want::default()
    };
    let (counts, done) = remade(&mut world, "purchases", &want).unwrap();
    assert_eq!(
        (counts.rewritten, counts.dropped, done.key_epoch),
        (0, 1, 1)
    );
    assert_eq!(done.keys_destroyed, 1);
    let new = world.manifest("purchases");
    assert_eq!(*new.revoked(), set(&["measurement"]));
    let gone = unwrap_keys(&new, &purpose("measurement"), &ads(), &world.ring);
    assert!(matches!(gone, Err(NoKey::Revoked { .. })), "{gone:?}");
    let old = unwrap_keys(&kept.manifest, &purpose("measurement"), &ads(), &world.ring);
    assert!(matches!(old, Err(NoKey::NoPurposeKey { .. })), "{old:?}");
    assert_eq!(
        world.texts("purchases", "ads", "category"),
        ["food", "home", "toys"]
    );
    whole(&world, "purchases");
    // Other columns of the same parts are still there, and nothing opens them: so they are not
    // kept where a part is written anew.
    let rotated = Want {
        revoked: &["measurement"],
        anew: Anew::DataKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    remade(&mut world, "purchases", &rotated).unwrap();
    let columns = |manifest: &Manifest| manifest.parts().iter().map(|part| part.keys.len()).max();
    assert_eq!(
        (columns(&new), columns(&world.manifest("purchases"))),
        (Some(5), Some(3))
    );
    assert_eq!(
        world.texts("purchases", "ads", "category"),
        ["food", "home", "toys"]
    );
}

#[test]
fn new_keys_for_all() {
    for (anew, written) in [(Anew::PurposeKeys, 0), (Anew::DataKeys, 3)] {
        let mut world = World::sealed();
        let kept = Kept::of(&world, "purchases");
        let before = kept.opened_by(&world.ring);
        let want = Want {
            anew,
            change: Change::Rotated,
            ..Want::default()
        };
        let (_, done) = remade(&mut world, "purchases", &want).unwrap();
        assert_eq!((done.parts_written, done.key_epoch), (written, 2));
        assert_eq!(world.manifest("purchases").removals(), &[]);
        assert_eq!(amounts(&world, "measurement"), ["10.50", "20.00", "40.00"]);
        assert_eq!(
            world.texts("purchases", "ads", "category"),
            ["food", "home", "toys"]
        );
        whole(&world, "purchases");
        old_copies_are_shut(&world, &kept, before);
    }
}

/// A purpose with a new name takes its consents along.
#[test]
fn a_renamed_purpose_takes_its_consents_along() {
    let mut world = World::sealed();
    let mut spec = tagged("category", &["audiences", "measurement"]);
    spec.columns[0].purposes = PurposeSet::default();
    let want = Want {
        spec: Some(spec),
        renamed: &[("ads", "audiences")],
        ..Want::default()
    };
    remade(&mut world, "purchases", &want).unwrap();
    assert_eq!(
        world.texts("purchases", "audiences", "category"),
        ["food", "home", "toys"]
    );
    let new = world.manifest("purchases");
    let old = unwrap_keys(&new, &purpose("ads"), &names(&["category"]), &world.ring);
    assert!(matches!(old, Err(NoKey::NotWrapped { .. })));
}

/// What lies in the ring of a later key epoch may have wrapped something that is taken away now:
/// of a version that an older copy of the folder took the place of, say.
#[test]
fn i3_a_new_key_epoch_has_keys_that_wrapped_nothing() {
    let mut world = World::sealed();
    let newest = world.manifest("purchases");
    let (id, dataset) = (agreement_id(), newest.dataset().clone());
    let (ring, rng) = (&mut world.ring, &mut world.rng);
    ring.ensure_purpose_keys(&id, &dataset, 2, &set(&["ads"]), rng)
        .unwrap();
    let want = Want {
        anew: Anew::PurposeKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    let (_, done) = remade(&mut world, "purchases", &want).unwrap();
    assert_eq!(done.key_epoch, 3);
    let slots = world.ring.purpose_slots(&id, &dataset);
    assert!(slots.iter().all(|slot| slot.key_epoch == 3), "{slots:?}");
    assert_eq!(world.ring.next_key_epoch(&id, &dataset, u32::MAX - 1), None);
}

/// Keys that a crash left are destroyed by the next call, and keys of a version under way are
/// not.
#[test]
fn superseded_keys_are_destroyed_whenever_asked() {
    let mut world = World::sealed();
    let old_ring = Kept::of(&world, "purchases");
    let want = Want {
        anew: Anew::PurposeKeys,
        change: Change::Rotated,
        ..Want::default()
    };
    remade(&mut world, "purchases", &want).unwrap();
    // As if the process had ended before: the old keys are in the ring beside the new ones.
    let newest = world.manifest("purchases");
    let (id, dataset) = (agreement_id(), newest.dataset().clone());
    let (ring, rng) = (&mut world.ring, &mut world.rng);
    ring.ensure_purpose_keys(&id, &dataset, 1, &set(&["ads"]), rng)
        .unwrap();
    ring.ensure_purpose_keys(&id, &dataset, 3, &set(&["ads"]), rng)
        .unwrap();
    assert_eq!(destroy_superseded(ring, &newest).unwrap(), 1);
    assert_eq!(destroy_superseded(ring, &newest).unwrap(), 0);
    let epochs: BTreeSet<u32> = ring
        .purpose_slots(&id, &dataset)
        .iter()
        .map(|slot| slot.key_epoch)
        .collect();
    assert_eq!(epochs, BTreeSet::from([2, 3]));
    // The other data set's keys are untouched.
    assert!(
        !ring
            .purpose_slots(&id, &"customers".parse().unwrap())
            .is_empty()
    );
    drop(old_ring);
}

#[test]
fn consents_after_a_change_say_what_they_follow() {
    let world = World::sealed();
    let consents = world.consents.as_ref().unwrap();
    let (before, after) = (consents.register(), world.manifest("purchases").digest());
    let gone = pseudonym("all@x").unwrap();
    let changed = consents
        .changed(|person, class| (*person != gone).then(|| class.clone()))
        .sealed_with(after, before);
    let path = world.folder.path().join("consents.parquet");
    changed.write(&path).unwrap();
    let read = Consents::read(&path).unwrap();
    assert_eq!((read.register(), read.follows()), (after, Some(before)));
    assert_eq!(read.len() + 1, consents.len());
    assert_eq!(read.class(&gone), None);
    assert_eq!(
        read.class(&pseudonym("ads@x").unwrap()),
        Some(&set(&["ads"]))
    );
    let signed = read_manifest_file(&world.out("customers").join(MANIFEST_FILE)).unwrap();
    open_manifest(&signed, &world.signer.public()).unwrap();
}
