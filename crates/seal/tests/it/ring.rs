use std::fs;

use incamera_keys::SecretString;
use incamera_seal::{KeyRing, MatchingSlot, RingError};
use incamera_types::MatchingEpoch;
use tempfile::tempdir;

use crate::world::{agreement_id, all_text, contains, passphrase, purpose, rng};

fn slot(method: &str) -> MatchingSlot {
    MatchingSlot {
        agreement_id: agreement_id(),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        method: method.to_owned(),
        reveals: "nothing".to_owned(),
    }
}

#[test]
fn keys_outlive_the_process() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let (id, dataset, ads) = (agreement_id(), "purchases".parse().unwrap(), purpose("ads"));
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    assert!(ring.purpose_key(&id, &dataset, 1, &ads).is_none());
    let key = *ring
        .purpose_key_or_new(&id, &dataset, 1, &ads, &mut rng(2))
        .unwrap()
        .expose();
    let secret = *ring
        .matching_secret_or_new(&slot("commutative"), &mut rng(3))
        .unwrap()
        .key()
        .expose();
    assert_eq!(ring.count_matching_run(&slot("commutative"), 2).unwrap(), 1);
    assert_eq!(ring.count_matching_run(&slot("commutative"), 2).unwrap(), 2);
    let seed = *ring.seed_key().expose();
    drop(ring);

    let mut ring = KeyRing::open(&path, &passphrase()).unwrap();
    assert_eq!(
        ring.purpose_key(&id, &dataset, 1, &ads).unwrap().expose(),
        &key
    );
    assert_eq!(
        ring.purpose_key_or_new(&id, &dataset, 1, &ads, &mut rng(4))
            .unwrap()
            .expose(),
        &key
    );
    let matching = ring.matching_secret(&slot("commutative")).unwrap();
    assert_eq!((matching.key().expose(), matching.runs()), (&secret, 2));
    assert_eq!(ring.seed_key().expose(), &seed);
    // Another epoch, data set, purpose or method is another slot.
    assert!(ring.purpose_key(&id, &dataset, 2, &ads).is_none());
    assert!(
        ring.purpose_key(&id, &"customers".parse().unwrap(), 1, &ads)
            .is_none()
    );
    assert!(
        ring.purpose_key(&id, &dataset, 1, &purpose("safety"))
            .is_none()
    );
    assert!(ring.matching_secret(&slot("vole")).is_none());
    assert!(matches!(
        ring.count_matching_run(&slot("vole"), 2),
        Err(RingError::NoMatchingSecret)
    ));
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
    let error = write(r#"{"format":"incamera-ring/2","future":1}"#);
    assert!(
        matches!(&error, RingError::Version { found, .. } if found == "incamera-ring/2"),
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
    let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
    let mut one = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let mut other = KeyRing::open(&path, &passphrase()).unwrap();
    let ads = *one
        .purpose_key_or_new(&id, &dataset, 1, &purpose("ads"), &mut rng(2))
        .unwrap()
        .expose();
    // The other has not seen the key, and makes one of the same slot and one of its own.
    let same = *other
        .purpose_key_or_new(&id, &dataset, 1, &purpose("ads"), &mut rng(3))
        .unwrap()
        .expose();
    assert_eq!(ads, same);
    let safety = *other
        .purpose_key_or_new(&id, &dataset, 1, &purpose("safety"), &mut rng(4))
        .unwrap()
        .expose();
    assert!(
        one.purpose_key(&id, &dataset, 1, &purpose("safety"))
            .is_none()
    );
    assert!(one.refresh().unwrap());
    assert!(!one.refresh().unwrap());
    assert_eq!(
        one.purpose_key(&id, &dataset, 1, &purpose("safety"))
            .unwrap()
            .expose(),
        &safety
    );
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
    std::thread::scope(|scope| {
        for epoch in 1..=8 {
            let (path, id, dataset) = (&path, &id, &dataset);
            scope.spawn(move || {
                let mut ring = KeyRing::open(path, &passphrase()).unwrap();
                ring.purpose_key_or_new(
                    id,
                    dataset,
                    epoch,
                    &purpose("ads"),
                    &mut rng(epoch.into()),
                )
                .unwrap();
            });
        }
    });
    let ring = KeyRing::open(&path, &passphrase()).unwrap();
    assert!((1..=8).all(|epoch| {
        ring.purpose_key(&id, &dataset, epoch, &purpose("ads"))
            .is_some()
    }));
}

#[test]
fn a_failed_write_leaves_no_key_in_use() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let (id, dataset) = (agreement_id(), "purchases".parse().unwrap());
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    // The sibling that is written first cannot be made.
    fs::create_dir(folder.path().join("ring.new")).unwrap();
    let made = ring.purpose_key_or_new(&id, &dataset, 1, &purpose("ads"), &mut rng(2));
    assert!(matches!(made, Err(RingError::File(_))));
    assert!(
        ring.purpose_key(&id, &dataset, 1, &purpose("ads"))
            .is_none()
    );
}

#[test]
fn the_file_shows_nothing_and_is_private() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let dataset = "purchases".parse().unwrap();
    ring.purpose_key_or_new(&agreement_id(), &dataset, 1, &purpose("ads"), &mut rng(2))
        .unwrap();
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

/// Two runs at once, each with the ring open since before: the limit holds.
#[test]
fn parallel_runs_do_not_pass_the_limit() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring");
    let mut ring = KeyRing::create_with_work_factor(&path, &passphrase(), 1, &mut rng(1)).unwrap();
    let slot = slot("commutative");
    ring.matching_secret_or_new(&slot, &mut rng(2)).unwrap();
    let start = std::sync::Barrier::new(8);
    let run = || {
        let mut ring = KeyRing::open(&path, &passphrase()).unwrap();
        assert_eq!(ring.matching_secret(&slot).unwrap().runs(), 0);
        start.wait();
        ring.count_matching_run(&slot, 3)
    };
    let counted: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let mut made: Vec<u32> = counted.iter().flatten().copied().collect();
    made.sort_unstable();
    assert_eq!(made, [1, 2, 3]);
    let refused = |result: &Result<u32, RingError>| {
        matches!(result, Err(RingError::NoRunsLeft { runs: 3, limit: 3 }))
    };
    assert_eq!(counted.iter().filter(|result| refused(result)).count(), 5);
    ring.refresh().unwrap();
    assert_eq!(ring.matching_secret(&slot).unwrap().runs(), 3);
    assert_eq!(ring.count_matching_run(&slot, 4).unwrap(), 4);
}
