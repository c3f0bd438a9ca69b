use std::fs;

use incamera_keys::{DataKey, SecretString};
use incamera_seal::{KeyRing, MatchingSlot, PurposeSlot, RingError, UnwrapError};
use incamera_types::{MatchingEpoch, PurposeSet};
use tempfile::tempdir;

use crate::world::{agreement_id, all_text, contains, passphrase, purpose, rng};

pub fn matching_slot(method: &str) -> MatchingSlot {
    MatchingSlot {
        agreement_id: agreement_id(),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        method: method.to_owned(),
        reveals: "nothing".to_owned(),
    }
}

pub fn key_slot(key_epoch: u32, leaf: &str) -> PurposeSlot {
    PurposeSlot {
        agreement_id: agreement_id(),
        dataset: "purchases".parse().unwrap(),
        key_epoch,
        purpose: purpose(leaf),
    }
}

pub fn ensure(ring: &mut KeyRing, slot: &PurposeSlot, seed: u64) -> Result<(), RingError> {
    let purposes: PurposeSet = std::iter::once(slot.purpose.clone()).collect();
    let (id, dataset) = (&slot.agreement_id, &slot.dataset);
    ring.ensure_purpose_keys(id, dataset, slot.key_epoch, &purposes, &mut rng(seed))
}

pub const AAD: &[u8] = b"a place";

/// A data key of sevens, wrapped: whoever opens it has the same purpose key.
pub fn wrapped(ring: &KeyRing, slot: &PurposeSlot) -> Vec<u8> {
    let key = DataKey::from_bytes([7; 32]);
    ring.wrap(slot, AAD, &key, &mut rng(99)).unwrap()
}

pub fn opens(ring: &KeyRing, slot: &PurposeSlot, wrapped: &[u8]) -> bool {
    match ring.unwrap(slot, AAD, wrapped) {
        Ok(key) => key.expose() == &[7; 32],
        Err(UnwrapError::Refused) => false,
        Err(error) => panic!("{error}"),
    }
}

pub fn has(ring: &KeyRing, slot: &PurposeSlot) -> bool {
    let slots = ring.purpose_slots(&slot.agreement_id, &slot.dataset);
    slots.contains(slot)
}

#[test]
fn keys_outlive_the_process() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let ads = key_slot(1, "ads");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    assert!(!has(&ring, &ads));
    ensure(&mut ring, &ads, 2).unwrap();
    let wrap = wrapped(&ring, &ads);
    assert_eq!(wrap.len(), incamera_seal::WRAPPED_BYTES);
    let secret = *ring
        .matching_secret_or_new(&matching_slot("commutative"), &mut rng(3))
        .unwrap()
        .key()
        .expose();
    for (told, known) in [(1, 1), (2, 2), (1, 2)] {
        let runs = ring.count_matching_runs(&matching_slot("commutative"), told);
        assert_eq!(runs.unwrap(), known);
    }
    let seed = *ring.seed_key().expose();
    drop(ring);

    let mut ring = KeyRing::open(&path, &passphrase()).unwrap();
    assert!(opens(&ring, &ads, &wrap));
    ensure(&mut ring, &ads, 4).unwrap();
    assert!(opens(&ring, &ads, &wrap));
    let matching = ring.matching_secret(&matching_slot("commutative")).unwrap();
    assert_eq!((matching.key().expose(), matching.runs()), (&secret, 2));
    assert_eq!(ring.seed_key().expose(), &seed);
    // Another epoch, data set, purpose or method is another slot.
    let customers = PurposeSlot {
        dataset: "customers".parse().unwrap(),
        ..ads.clone()
    };
    for other in [key_slot(2, "ads"), customers, key_slot(1, "safety")] {
        assert!(!has(&ring, &other));
        let none = ring.unwrap(&other, AAD, &wrap);
        assert!(matches!(none, Err(UnwrapError::NoKey)));
        let key = DataKey::from_bytes([7; 32]);
        let none = ring.wrap(&other, AAD, &key, &mut rng(5));
        assert!(matches!(none, Err(RingError::NoPurposeKey)));
        ensure(&mut ring, &other, 6).unwrap();
        assert!(!opens(&ring, &other, &wrap));
    }
    assert!(ring.matching_secret(&matching_slot("vole")).is_none());
    assert!(matches!(
        ring.count_matching_runs(&matching_slot("vole"), 2),
        Err(RingError::NoMatchingSecret)
    ));
}

/// A first run by a method without lasting pseudonyms writes no ring; the secret stays the same
/// once a count is written beside it, and in the ring's copies.
#[test]
fn a_derived_matching_secret_is_kept_with_the_first_count() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let (slot, other) = (matching_slot("vole"), matching_slot("other"));
    let before = std::fs::read(&path).unwrap();
    let derived = ring.matching_secret_or_derived(&slot);
    assert_eq!(derived.runs(), 0);
    let key = *derived.key().expose();
    assert_ne!(ring.matching_secret_or_derived(&other).key().expose(), &key);
    assert_ne!(ring.seed_key().expose(), &key);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let later = KeyRing::open(&path, &passphrase()).unwrap();
    assert_eq!(later.matching_secret_or_derived(&slot).key().expose(), &key);
    for (told, known) in [(2, 2), (1, 2)] {
        assert_eq!(ring.count_derived_runs(&slot, told).unwrap(), known);
    }
    let later = KeyRing::open(&path, &passphrase()).unwrap();
    let kept = later.matching_secret(&slot).unwrap();
    assert_eq!((kept.key().expose(), kept.runs()), (&key, 2));
    let kept = later.matching_secret_or_derived(&slot);
    assert_eq!((kept.key().expose(), kept.runs()), (&key, 2));
    // A secret that is there already is not replaced.
    let drawn = ring.matching_secret_or_new(&other, &mut rng(2)).unwrap();
    let drawn = *drawn.key().expose();
    ring.count_derived_runs(&other, 1).unwrap();
    assert_eq!(ring.matching_secret(&other).unwrap().key().expose(), &drawn);
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let error = KeyRing::open(&path, &SecretString::from("battery staple")).unwrap_err();
    assert!(
        matches!(error, RingError::WrongPassphrase { .. }),
        "{error}"
    );
    assert!(!all_text(&error).contains("battery"));

    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    assert!(matches!(
        KeyRing::open(&path, &passphrase()),
        Err(RingError::Damaged { .. })
    ));
    fs::write(&path, b"").unwrap();
    assert!(matches!(
        KeyRing::open(&path, &passphrase()),
        Err(RingError::Damaged { .. })
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        KeyRing::open(&path, &passphrase()),
        Err(RingError::File(_))
    ));
}

/// What each try at the passphrase of a stolen ring costs stands in the file's header.
#[test]
fn a_try_at_a_new_ring_s_passphrase_costs_two_to_the_sixteenth() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    KeyRing::create(&path, &passphrase(), &mut rng(1)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = String::from_utf8_lossy(&bytes[..200]).into_owned();
    let stanza = header.lines().nth(1).unwrap();
    let words: Vec<&str> = stanza.split(' ').collect();
    assert_eq!((words[1], words[3]), ("scrypt", "16"), "{stanza}");
}

#[test]
fn an_unknown_version_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut recipient = age::scrypt::Recipient::new("correct horse".to_owned().into());
    recipient.set_work_factor(1);
    let write = |json: &str| {
        fs::write(&path, age::encrypt(&recipient, json.as_bytes()).unwrap()).unwrap();
        KeyRing::open(&path, &passphrase()).unwrap_err()
    };
    let error = write(r#"{"format":"incamera-ring/3","future":1}"#);
    assert!(
        matches!(&error, RingError::Version { found, .. } if found == "incamera-ring/3"),
        "{error}"
    );
    let error = write(r#"{"format":"incamera-ring/1","surprise":1}"#);
    assert!(matches!(error, RingError::Damaged { .. }), "{error}");
}

#[test]
fn a_ring_is_not_overwritten() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let again = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(2));
    assert!(matches!(again, Err(RingError::Exists { .. })));
    let work =
        KeyRing::create_with_work_factor(&folder.path().join("b"), &passphrase(), 60, &mut rng(2));
    assert!(matches!(work, Err(RingError::WorkFactor { found: 60 })));
}

#[test]
fn two_holders_lose_no_keys_of_each_other() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let (ads, safety) = (key_slot(1, "ads"), key_slot(1, "safety"));
    let mut one = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let mut other = KeyRing::open(&path, &passphrase()).unwrap();
    ensure(&mut one, &ads, 2).unwrap();
    // The other has not seen the key, and makes one of the same slot and one of its own.
    ensure(&mut other, &ads, 3).unwrap();
    assert!(opens(&other, &ads, &wrapped(&one, &ads)));
    ensure(&mut other, &safety, 4).unwrap();
    assert!(!has(&one, &safety));
    assert!(one.refresh().unwrap());
    assert!(!one.refresh().unwrap());
    assert!(opens(&one, &safety, &wrapped(&other, &safety)));
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    std::thread::scope(|scope| {
        for epoch in 1..=8 {
            let path = &path;
            scope.spawn(move || {
                let mut ring = KeyRing::open(path, &passphrase()).unwrap();
                ensure(&mut ring, &key_slot(epoch, "ads"), epoch.into()).unwrap();
            });
        }
    });
    let ring = KeyRing::open(&path, &passphrase()).unwrap();
    assert!((1..=8).all(|epoch| has(&ring, &key_slot(epoch, "ads"))));
}

#[test]
fn a_failed_write_leaves_no_key_in_use() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let ads = key_slot(1, "ads");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    // The sibling that is written first cannot be made.
    fs::create_dir(folder.path().join("ring.new")).unwrap();
    let made = ensure(&mut ring, &ads, 2);
    assert!(matches!(made, Err(RingError::File(_))));
    assert!(!has(&ring, &ads));
}

#[test]
fn a_destroyed_key_opens_nothing_and_is_in_no_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let (old, new) = (key_slot(1, "ads"), key_slot(2, "ads"));
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    ensure(&mut ring, &old, 2).unwrap();
    ensure(&mut ring, &new, 3).unwrap();
    let (gone, stays) = (wrapped(&ring, &old), wrapped(&ring, &new));
    let mut elsewhere = KeyRing::open(&path, &passphrase()).unwrap();
    // What a crash left beside the ring, with the key in it.
    fs::copy(&path, folder.path().join("ring.new")).unwrap();

    let first_epoch = |slot: &PurposeSlot| slot.key_epoch == 1;
    assert_eq!(ring.destroy_purpose_keys(first_epoch).unwrap(), 1);
    assert_eq!(ring.destroy_purpose_keys(first_epoch).unwrap(), 0);
    assert_eq!(
        ring.purpose_slots(&old.agreement_id, &old.dataset),
        std::slice::from_ref(&new)
    );
    assert!(matches!(
        ring.unwrap(&old, AAD, &gone),
        Err(UnwrapError::NoKey)
    ));
    assert!(opens(&ring, &new, &stays));
    assert!(elsewhere.refresh().unwrap());
    assert!(!has(&elsewhere, &old));
    // A key made anew in the slot is another.
    ensure(&mut ring, &old, 4).unwrap();
    assert!(!opens(&ring, &old, &gone));
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["ring", "ring.lock"]);
}

#[test]
fn the_file_shows_nothing_and_is_private() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    ensure(&mut ring, &key_slot(1, "ads"), 2).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1"));
    assert!(!contains(&bytes, b"purchases"));
    assert!(!contains(
        &bytes,
        hex::encode(ring.seed_key().expose()).as_bytes()
    ));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

/// Two at once, each with the ring open since before: what one knows is not lost to the other.
#[test]
fn a_count_of_runs_never_goes_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let slot = matching_slot("commutative");
    ring.matching_secret_or_new(&slot, &mut rng(2)).unwrap();
    let start = std::sync::Barrier::new(8);
    let (slot_of, path_of, start_of) = (&slot, &path, &start);
    let run = |runs: u32| {
        let mut ring = KeyRing::open(path_of, &passphrase()).unwrap();
        assert_eq!(ring.matching_secret(slot_of).unwrap().runs(), 0);
        start_of.wait();
        ring.count_matching_runs(slot_of, runs).unwrap()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (1..=8)
            .map(|runs| (runs, scope.spawn(move || run(runs))))
            .collect();
        for (runs, known) in all {
            assert!((runs..=8).contains(&known.join().unwrap()));
        }
    });
    ring.refresh().unwrap();
    assert_eq!(ring.matching_secret(&slot).unwrap().runs(), 8);
}
