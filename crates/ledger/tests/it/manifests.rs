use incamera_ledger::{DELETION, LedgerError, NewManifest, Registered, Removed};
use incamera_types::{AgreementId, DatasetName, ManifestDigest};
use incamera_wire::v1::LogEntry;

use crate::fixture::{Fixture, NOW, Want, d};

#[test]
fn i4_versions_only_rise() {
    let mut owner = Fixture::new();
    assert_eq!(owner.register(1, 1, 50).unwrap(), Registered::Known);
    assert_eq!(owner.register(1, 3, 51).unwrap(), Registered::New);
    for version in [1, 2] {
        let old = owner.register(1, version, 52).unwrap_err();
        assert!(matches!(old, LedgerError::ManifestOld { newest: 3, .. }));
    }
    let conflict = owner.register(1, 3, 52).unwrap_err();
    assert!(matches!(
        conflict,
        LedgerError::ManifestConflict { version: 3, .. }
    ));
    let newest = owner.ledger.newest_manifests(&d(1)).unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(
        (newest[0].version, newest[0].digest),
        (3, d::<ManifestDigest>(51))
    );
    assert_eq!(newest[0].signed, b"signed manifest");
}

#[test]
fn i4_an_old_manifest_reserves_nothing() {
    let mut owner = Fixture::new();
    owner.register(1, 2, 51).unwrap();
    let old = owner.reserve(Want::default()).unwrap_err();
    assert!(matches!(old, LedgerError::ManifestNotNewest { .. }));
    owner.manifests = vec![("customers".parse().unwrap(), d(51))];
    owner.reserve(Want::default()).unwrap();
    owner.manifests = vec![("unknown".parse().unwrap(), d(51))];
    let unknown = owner.reserve(Want::default()).unwrap_err();
    assert!(matches!(unknown, LedgerError::ManifestNotNewest { .. }));
}

/// Two machines that each seal the next version do not take turns silently. That is all: a
/// version further up is taken whatever it follows, so that an owner whose sealed folder is
/// lost is not locked out.
#[test]
fn i4_version_n_plus_1_must_follow_version_n() {
    let mut owner = Fixture::new();
    owner.register(1, 2, 51).unwrap();
    let dataset = "customers".parse().unwrap();
    let mut offer = |version, previous| {
        let manifest = NewManifest {
            agreement: d(1),
            dataset: &dataset,
            version,
            digest: d(53),
            previous,
            signed: b"signed manifest",
            agreement_digest: d(7),
            removals: &[],
        };
        owner.ledger.register_manifest(&manifest, NOW)
    };
    for other in [None, Some(d(50)), Some(d(52))] {
        let fork = offer(3, other).unwrap_err();
        assert!(matches!(
            fork,
            LedgerError::ManifestFork {
                version: 3,
                newest: 2,
                ..
            }
        ));
    }
    assert_eq!(offer(3, Some(d(51))).unwrap(), Registered::New);
    assert_eq!(offer(5, Some(d(99))).unwrap(), Registered::New);
}

/// A manifest that arrives between the two rounds ends the reservation.
#[test]
fn i4_a_superseded_reservation_commits_nothing() {
    let mut owner = Fixture::new();
    let held = owner.reserve(Want::default()).unwrap();
    owner.register(1, 2, 51).unwrap();
    let refused = owner.commit(&held, 80);
    assert!(matches!(refused, Err(LedgerError::NoReservation)));
}

/// What was taken away goes into the log with the manifest that says so: also what versions did
/// that never came here, each once, and nothing of the first.
#[test]
fn a_removal_is_logged_once_with_both_manifests() {
    let mut owner = Fixture::new();
    let dataset: DatasetName = "purchases".parse().unwrap();
    let id = d::<AgreementId>(6);
    let mut register = |version: u64, digest: u8, removals: &[Removed<'_>]| {
        let manifest = NewManifest {
            agreement: id,
            dataset: &dataset,
            version,
            digest: d(digest),
            previous: (version == 2).then(|| d(40)),
            signed: b"signed manifest",
            agreement_digest: d(9),
            removals,
        };
        owner.ledger.register_manifest(&manifest, NOW).unwrap();
        owner.ledger.log_size(&id).unwrap()
    };
    let forgotten = |version| Removed {
        version,
        what: "forgotten",
    };
    let before = register(1, 40, &[forgotten(1)]);
    let size = register(2, 41, &[forgotten(1), forgotten(2)]);
    assert_eq!(size, before + 1, "version 1 had nothing before it here");
    assert_eq!(
        register(2, 41, &[forgotten(1), forgotten(2)]),
        size,
        "known"
    );
    // Versions 3 and 4 were never pushed.
    let revoked = Removed {
        version: 4,
        what: "revoked",
    };
    assert_eq!(
        register(5, 42, &[forgotten(2), forgotten(3), revoked]),
        size + 2
    );
    let entries = owner.ledger.log_entries(&id, before, 10).unwrap();
    let entries: Vec<LogEntry> = entries
        .iter()
        .map(|entry| incamera_wire::decode(entry, 1 << 16).unwrap())
        .collect();
    let told: Vec<(&str, u8, u8)> = entries
        .iter()
        .map(|entry| {
            (
                entry.what.as_str(),
                entry.manifest_before[0],
                entry.manifest[0],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("forgotten", 40, 41),
            ("forgotten", 41, 42),
            ("revoked", 41, 42)
        ]
    );
    for entry in &entries {
        assert_eq!((entry.event.as_str(), entry.at), (DELETION, NOW.0));
        assert_eq!(entry.dataset, "purchases");
    }
}
