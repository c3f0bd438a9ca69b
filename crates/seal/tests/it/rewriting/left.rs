//! What commands before left: keys, folders, rows that are still to go.

use std::collections::BTreeSet;
use std::fs;

use incamera_seal::{Anew, Change, MANIFEST_FILE, Movement, PARTS_FOLDER, Removal, RewriteError};
use incamera_types::{ConsentClass, Pseudonym};

use super::{Want, remade, tagged};
use crate::world::{World, agreement_id, files_below, purpose, set};

fn revoke_ads() -> Want<'static> {
    Want {
        revoked: &["ads"],
        change: Change::Revoked,
        ..Want::default()
    }
}

/// A manifest from before a revocation, put back: the other purpose opens all of its keys, and
/// yet they are not wrapped for the one that was revoked again.
#[test]
fn i3_an_older_folder_brings_no_revoked_purpose_back() {
    for anew in [Anew::PurposeKeys, Anew::DataKeys, Anew::Nothing] {
        let mut world = World::sealed();
        let mut spec = tagged("category", &["ads", "measurement"]);
        for column in &mut spec.columns {
            if column.name.as_str() != "person" {
                column.purposes = set(&["ads", "measurement"]);
            }
        }
        world
            .seal_csv(
                &spec,
                "email,day,amount,category\nall@x,2026-03-01,1,food\n",
            )
            .unwrap();
        let out = world.out("purchases");
        let old = fs::read(out.join(MANIFEST_FILE)).unwrap();
        let parts = files_below(&out.join(PARTS_FOLDER));
        remade(&mut world, "purchases", &revoke_ads()).unwrap();
        fs::write(out.join(MANIFEST_FILE), old).unwrap();
        assert_eq!(files_below(&out.join(PARTS_FOLDER)), parts);
        let want = Want {
            anew,
            change: Change::Rotated,
            ..Want::default()
        };
        let made = remade(&mut world, "purchases", &want);
        assert!(
            matches!(made, Err(RewriteError::NoPurposeKey { .. })),
            "{made:?}"
        );
        let dataset = "purchases".parse().unwrap();
        let slots = world.ring.purpose_slots(&agreement_id(), &dataset);
        assert!(slots.iter().all(|slot| slot.purpose != purpose("ads")));
    }
}

/// Of a command that was killed: nothing that it wrapped under a revoked purpose opens later.
#[test]
fn i3_a_revoked_purpose_has_no_key_of_a_later_epoch_either() {
    let mut world = World::sealed();
    let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
    let both = set(&["ads", "measurement"]);
    let (ring, rng) = (&mut world.ring, &mut world.rng);
    ring.ensure_purpose_keys(&id, &dataset, 2, &both, rng)
        .unwrap();
    remade(&mut world, "purchases", &revoke_ads()).unwrap();
    let left = world.ring.purpose_slots(&id, &dataset);
    let epochs: Vec<u32> = left.iter().map(|slot| slot.key_epoch).collect();
    assert!(
        left.iter().all(|slot| slot.purpose != purpose("ads")),
        "{left:?}"
    );
    assert_eq!(epochs, [1, 2], "those of other purposes stay");
}

/// Whatever was asked for, a version without rows that somebody took back says so.
#[test]
fn i3_rows_that_consents_take_are_told_whatever_took_them() {
    let among = BTreeSet::from([crate::world::pseudonym("all@x").unwrap()]);
    let class = |_: &Pseudonym, class: &ConsentClass| Some(class.difference(&set(&["ads"])));
    let nobody = |_: &Pseudonym, _: &ConsentClass| None;
    for change in [Change::Rotated, Change::Retagged] {
        for takes in [true, false] {
            let mut world = World::sealed();
            let want = Want {
                movement: Some(Movement {
                    among: Some(&among),
                    class: if takes { &class } else { &nobody },
                }),
                anew: Anew::PurposeKeys,
                change,
                ..Want::default()
            };
            remade(&mut world, "purchases", &want).unwrap();
            let manifest = world.manifest("purchases");
            let removal = Removal {
                version: 2,
                change: Change::ConsentRemoved,
            };
            let expected = if takes { vec![removal] } else { Vec::new() };
            assert_eq!(manifest.removals(), expected);
            let made = if takes {
                Change::ConsentRemoved
            } else {
                change
            };
            assert_eq!(manifest.change(), made);
        }
    }
}
