//! Parts that lack columns, what made a version, and how many parts there may be.

use incamera_seal::{Change, Manifest, ManifestError, Part, granted_parts, unwrap_keys};
use incamera_types::PartDigest;
use incamera_types::limits::MAX_PARTS;
use incamera_wire::v1 as wire;

use crate::world::{World, name, names, purpose};

/// The manifest of the purchases in which the first part that has `category` lacks it, with the
/// key that it had there kept or not.
fn lacking(world: &World, key_kept: bool) -> Result<Manifest, ManifestError> {
    let mut message: wire::Manifest =
        incamera_wire::decode(&world.manifest("purchases").signed().body, usize::MAX).unwrap();
    let has = |part: &&mut wire::Part| part.keys.iter().any(|key| key.column == "category");
    let part = message.parts.iter_mut().find(has).unwrap();
    part.absent = vec!["category".to_owned()];
    if !key_kept {
        part.keys.retain(|key| key.column != "category");
    }
    Manifest::parse(&incamera_wire::encode(&message))
}

fn malformed(parsed: &Result<Manifest, ManifestError>) -> bool {
    matches!(parsed, Err(ManifestError::Malformed { .. }))
}

#[test]
fn i3_a_column_is_absent_or_has_its_keys() {
    let world = World::sealed();
    assert!(malformed(&lacking(&world, true)), "absent, and with a key");
    let whole = world.manifest("purchases");
    let has = |part: &&Part| part.key(Some(&name("category"))).is_some();
    let first = whole.parts().iter().find(has).unwrap();
    // Without it, fewer purposes open the part, and its footer and pseudonyms.
    assert!(first.opens_for(&purpose("ads")));
    assert!(
        malformed(&lacking(&world, false)),
        "keys of a footer that nothing opens"
    );
}

#[test]
fn a_query_runs_over_the_parts_that_have_its_columns() {
    let world = World::sealed();
    let lacks = |part: &wire::Part| part.class.len() > 1 && part.keys.len() > 3;
    let manifest = world.resigned("purchases", |message| {
        let part = message.parts.iter_mut().find(|part| lacks(part)).unwrap();
        part.absent = vec!["category".to_owned()];
        part.keys.retain(|key| key.column != "category");
        // Nothing else of the part serves ads: so neither do its footer and its pseudonyms.
        for key in &mut part.keys {
            key.wraps.retain(|wrap| wrap.purpose == "measurement");
        }
    });
    let (measurement, both) = (purpose("measurement"), names(&["person", "category"]));
    let part = manifest.parts().iter().find(|part| !part.absent.is_empty());
    let part = part.unwrap().file_id;
    let given = |columns: &[_]| {
        let keys = unwrap_keys(&manifest, &measurement, columns, &world.ring).unwrap();
        granted_parts(&manifest, &measurement, columns, keys).unwrap()
    };
    let (all, some) = (given(&names(&["person", "amount"])), given(&both));
    assert!(all.contains_key(&part) && !some.contains_key(&part));
    assert_eq!(some.len() + 1, all.len());
    // A room that was given keys of such a part takes none.
    let keys = unwrap_keys(&manifest, &measurement, &names(&["person"]), &world.ring).unwrap();
    assert!(granted_parts(&manifest, &measurement, &both, keys).is_err());
}

#[test]
fn what_a_part_may_not_lack() {
    let world = World::sealed();
    let absent = |list: &[&str]| {
        let mut message: wire::Manifest =
            incamera_wire::decode(&world.manifest("purchases").signed().body, usize::MAX).unwrap();
        let ads = |part: &&mut wire::Part| part.class == ["ads"];
        let part = message.parts.iter_mut().find(ads).unwrap();
        part.absent = list.iter().map(ToString::to_string).collect();
        part.keys.retain(|key| !list.contains(&key.column.as_str()));
        Manifest::parse(&incamera_wire::encode(&message))
    };
    for list in [
        &["person"][..],
        &["nothing"],
        &["category", "category"],
        // Not of this class: no purpose of it opens the column, so it could not be there.
        &["amount"],
    ] {
        assert!(malformed(&absent(list)), "{list:?}");
    }
}

#[test]
fn what_made_a_version_is_one_of_seven_words() {
    let world = World::sealed();
    assert_eq!(world.manifest("purchases").change(), Change::Sealed);
    let said = |word: &str| {
        world
            .resigned("purchases", |message| message.change = word.to_owned())
            .change()
    };
    assert_eq!(said("rotated"), Change::Rotated);
    // As versions before the field have it.
    assert_eq!(said(""), Change::Sealed);
    let mut message: wire::Manifest =
        incamera_wire::decode(&world.manifest("purchases").signed().body, usize::MAX).unwrap();
    message.change = "mislaid".to_owned();
    assert!(malformed(&Manifest::parse(&incamera_wire::encode(
        &message
    ))));
}

/// A version that takes something away says so in the list that the owner's broker logs from,
/// and no other version does.
#[test]
fn removals_are_those_of_the_versions() {
    let world = World::sealed();
    let parsed = |change: &str, removals: &[(u64, &str)]| {
        let mut message: wire::Manifest =
            incamera_wire::decode(&world.manifest("purchases").signed().body, usize::MAX).unwrap();
        message.version = 5;
        message.previous = vec![1; 32];
        message.change = change.to_owned();
        let removal = |(version, change): &(u64, &str)| wire::Removal {
            version: *version,
            change: (*change).to_owned(),
        };
        message.removals = removals.iter().map(removal).collect();
        Manifest::parse(&incamera_wire::encode(&message))
    };
    let good: [(&str, &[(u64, &str)]); 5] = [
        ("sealed", &[]),
        ("sealed", &[(2, "forgotten"), (3, "retagged")]),
        ("forgotten", &[(2, "revoked"), (5, "forgotten")]),
        ("retagged", &[]),
        ("retagged", &[(5, "retagged")]),
    ];
    for (change, removals) in good {
        let manifest = parsed(change, removals).unwrap();
        assert_eq!(manifest.removals().len(), removals.len());
    }
    let bad: [(&str, &[(u64, &str)]); 7] = [
        ("forgotten", &[]),
        ("forgotten", &[(5, "revoked")]),
        ("sealed", &[(5, "forgotten")]),
        ("sealed", &[(6, "forgotten")]),
        ("sealed", &[(3, "forgotten"), (2, "forgotten")]),
        ("sealed", &[(2, "sealed")]),
        ("consent-removed", &[(4, "consent-removed")]),
    ];
    for (change, removals) in bad {
        assert!(
            malformed(&parsed(change, removals)),
            "{change} {removals:?}"
        );
    }
}

#[test]
fn a_manifest_of_a_million_parts_is_refused() {
    let message = |parts: usize| wire::Manifest {
        agreement_id: vec![0; 32],
        owner: "shop".to_owned(),
        dataset: "places".to_owned(),
        version: 1,
        key_epoch: 1,
        partitions: 1,
        public: true,
        columns: vec![wire::SealedColumn {
            name: "place".to_owned(),
            r#type: "text".to_owned(),
            ..wire::SealedColumn::default()
        }],
        parts: (0..parts as u128).map(public_part).collect(),
        ..wire::Manifest::default()
    };
    let parse = |parts| Manifest::parse(&incamera_wire::encode(&message(parts)));
    assert_eq!(parse(MAX_PARTS).unwrap().parts().len(), MAX_PARTS);
    let error = parse(1_000_000).unwrap_err();
    assert!(matches!(error, ManifestError::TooManyParts), "{error:?}");
    assert!(error.to_string().contains("seal the data set again"));
}

fn public_part(number: u128) -> wire::Part {
    wire::Part {
        file_id: number.to_be_bytes().to_vec(),
        digest: vec![0; std::mem::size_of::<PartDigest>()],
        version: 1,
        ..wire::Part::default()
    }
}

/// The body of the purchases' manifest, changed.
fn changed(
    world: &World,
    change: impl FnOnce(&mut wire::Manifest),
) -> Result<Manifest, incamera_seal::ManifestError> {
    let mut message: wire::Manifest =
        incamera_wire::decode(&world.manifest("purchases").signed().body, usize::MAX).unwrap();
    change(&mut message);
    Manifest::parse(&incamera_wire::encode(&message))
}

/// Numbers that anything is added to have a bound, and key epochs stay off the rings' marks.
#[test]
fn numbers_of_a_manifest_are_bounded() {
    use incamera_types::limits::{MAX_KEY_EPOCH, MAX_VERSION};
    let world = World::sealed();
    let epoch = |epoch| changed(&world, |message| message.key_epoch = epoch);
    for good in [1, 2, MAX_KEY_EPOCH] {
        assert_eq!(epoch(good).unwrap().key_epoch(), good);
    }
    for bad in [0, MAX_KEY_EPOCH + 1, u32::MAX] {
        assert!(malformed(&epoch(bad)), "{bad}");
    }
    let version = |version| {
        changed(&world, |message| {
            message.version = version;
            message.previous = vec![1; 32];
        })
    };
    assert_eq!(version(MAX_VERSION).unwrap().version(), MAX_VERSION);
    for bad in [0, MAX_VERSION + 1, u64::MAX] {
        assert!(malformed(&version(bad)), "{bad}");
    }
    // The ring makes no key of an epoch beyond.
    let (id, dataset) = (crate::world::agreement_id(), "purchases".parse().unwrap());
    let next = |newest| world.ring.next_key_epoch(&id, &dataset, newest);
    assert_eq!(next(MAX_KEY_EPOCH - 1), Some(MAX_KEY_EPOCH));
    assert_eq!(next(MAX_KEY_EPOCH), None);
    assert_eq!(next(u32::MAX), None);
}

/// What made a version, what is revoked in it, and what was given back, by which versions.
type RestoredBy<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, u64)]);

/// A purpose given back is named with the version that did it, which sealed.
#[test]
fn i3_restored_purposes_are_those_of_the_versions() {
    let world = World::sealed();
    let parsed = |change: &str, revoked: &[&str], restored: &[(&str, u64)]| {
        changed(&world, |message| {
            message.version = 5;
            message.previous = vec![1; 32];
            message.change = change.to_owned();
            message.revoked = revoked.iter().map(ToString::to_string).collect();
            let one = |(purpose, version): &(&str, u64)| wire::Restoration {
                purpose: (*purpose).to_owned(),
                version: *version,
            };
            message.restored = restored.iter().map(one).collect();
        })
    };
    let manifest = parsed("sealed", &[], &[("ads", 3), ("safety", 5)]).unwrap();
    assert_eq!(manifest.restored().len(), 2);
    assert_eq!(manifest.restored_since(3), crate::world::set(&["safety"]));
    assert_eq!(
        manifest.restored_since(2),
        crate::world::set(&["ads", "safety"])
    );
    parsed("rotated", &[], &[("ads", 4)]).unwrap();
    parsed("appended", &[], &[("ads", 5)]).unwrap();
    let bad: [RestoredBy<'_>; 7] = [
        ("sealed", &[], &[("safety", 5), ("ads", 3)]),
        ("sealed", &[], &[("ads", 3), ("ads", 4)]),
        ("sealed", &[], &[("ads", 6)]),
        ("sealed", &[], &[("ads", 1)]),
        ("sealed", &[], &[("no name", 3)]),
        ("rotated", &[], &[("ads", 5)]),
        ("sealed", &["safety"], &[("safety", 3)]),
    ];
    for (change, revoked, restored) in bad {
        let parsed = parsed(change, revoked, restored);
        assert!(malformed(&parsed), "{change} {revoked:?} {restored:?}");
    }
    let length = changed(&world, |message| message.agreement_digest = vec![1; 31]);
    assert!(malformed(&length));
    assert_eq!(
        world.manifest("purchases").agreement_digest(),
        Some(crate::world::agreement_digest())
    );
}
