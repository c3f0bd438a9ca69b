//! Rings under identities, and the recovery file beside a ring.

use std::fs;
use std::path::Path;

use age::secrecy::ExposeSecret as _;
use incamera_keys::{SecretString, SigningKey};
use incamera_seal::{AgeFile, KeyRing, RingError};
use tempfile::tempdir;

use crate::ring::{ensure, has, key_slot, matching_slot, opens, wrapped};
use crate::world::{contains, passphrase, rng};

fn identity() -> (String, String) {
    let identity = age::x25519::Identity::generate();
    let text = identity.to_string().expose_secret().to_owned();
    (text, identity.to_public().to_string())
}

fn weak() -> Box<AgeFile> {
    Box::new(AgeFile::passphrase_with_work_factor(&passphrase(), 1).unwrap())
}

fn ring_at(path: &Path) -> KeyRing {
    KeyRing::create_with_work_factor(path, &passphrase(), 1, &mut rng(1)).unwrap()
}

#[test]
fn an_age_identity_opens_its_ring_and_no_other() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let ads = key_slot(1, "ads");
    let (mine, _) = identity();
    let file = format!("# created: today\n# public key: age1...\n{mine}\n");
    let backend = || Box::new(AgeFile::identity(&file).unwrap());
    let mut ring = KeyRing::create_in(&path, backend(), &mut rng(1)).unwrap();
    ensure(&mut ring, &ads, 2).unwrap();
    let wrap = wrapped(&ring, &ads);
    let ring = KeyRing::open_in(&path, backend()).unwrap();
    assert!(opens(&ring, &ads, &wrap));
    assert_eq!(ring.kind(), "age file (age identity)");

    let (other, _) = identity();
    let wrong = KeyRing::open_in(&path, Box::new(AgeFile::identity(&other).unwrap()));
    assert!(matches!(wrong, Err(RingError::WrongIdentity { .. })));
    let wrong = KeyRing::open(&path, &passphrase());
    assert!(matches!(wrong, Err(RingError::WrongPassphrase { .. })));
    for none in [
        "",
        "# nothing\n",
        "AGE-SECRET-KEY-1",
        &format!("{mine}\n{other}"),
    ] {
        let refused = AgeFile::identity(none);
        assert!(matches!(refused, Err(RingError::Identity)));
    }
}

#[test]
fn an_openssh_key_opens_its_ring_and_no_other() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let ads = key_slot(1, "ads");
    let key = SigningKey::generate(&mut rng(3));
    let backend = || Box::new(AgeFile::ssh_key(&key).unwrap());
    let mut ring = KeyRing::create_in(&path, backend(), &mut rng(1)).unwrap();
    ensure(&mut ring, &ads, 2).unwrap();
    let wrap = wrapped(&ring, &ads);
    let ring = KeyRing::open_in(&path, backend()).unwrap();
    assert!(opens(&ring, &ads, &wrap));
    let other = AgeFile::ssh_key(&SigningKey::generate(&mut rng(4))).unwrap();
    let wrong = KeyRing::open_in(&path, Box::new(other));
    assert!(matches!(wrong, Err(RingError::WrongIdentity { .. })));
}

#[test]
fn a_lost_passphrase_is_made_good_by_a_recovery_identity() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let (ads, later) = (key_slot(1, "ads"), key_slot(2, "ads"));
    let (mine, public) = identity();
    let key = SigningKey::generate(&mut rng(3));
    let ssh = format!("{} keeper@vault", key.public());
    let mut ring = ring_at(&path);
    ensure(&mut ring, &ads, 2).unwrap();
    let slot = matching_slot("commutative");
    ring.matching_secret_or_new(&slot, &mut rng(4)).unwrap();
    assert!(!ring.recovery_file().exists());
    assert!(ring.add_recovery(&public).unwrap());
    assert!(!ring.add_recovery(&public).unwrap());
    assert!(ring.add_recovery(&ssh).unwrap());
    assert_eq!(
        ring.recovery_file(),
        folder.path().join("ring.recovery.age")
    );
    assert_eq!(
        ring.recovery_recipients(),
        [public.clone(), key.public().to_string()]
    );
    // Whatever is made later is in the file as well.
    ensure(&mut ring, &later, 5).unwrap();
    ring.count_matching_runs(&slot, 1).unwrap();
    let wraps = [wrapped(&ring, &ads), wrapped(&ring, &later)];

    let openers = [
        AgeFile::identity(&mine).unwrap(),
        AgeFile::ssh_key(&key).unwrap(),
    ];
    for (at, opener) in openers.into_iter().enumerate() {
        let new = folder.path().join(format!("ring-{at}.age"));
        let (found, lost) = KeyRing::recover(&ring.recovery_file(), opener, &new, weak()).unwrap();
        assert!(lost.is_empty());
        assert!(opens(&found, &ads, &wraps[0]) && opens(&found, &later, &wraps[1]));
        assert_eq!(found.seed_key().expose(), ring.seed_key().expose());
        assert_eq!(found.matching_secret(&slot).unwrap().runs(), 1);
        assert_eq!(found.recovery_recipients(), ring.recovery_recipients());
        KeyRing::open(&new, &passphrase()).unwrap();
    }
    let opener = || AgeFile::identity(&mine).unwrap();
    let again = KeyRing::recover(&ring.recovery_file(), opener(), &path, weak());
    assert!(matches!(again, Err(RingError::Exists { .. })));
    let (other, _) = identity();
    let stranger = AgeFile::identity(&other).unwrap();
    let new = folder.path().join("stranger.age");
    let refused = KeyRing::recover(&ring.recovery_file(), stranger, &new, weak());
    assert!(matches!(refused, Err(RingError::WrongIdentity { .. })));
    assert!(!new.exists());
}

#[test]
fn a_recipient_that_is_taken_away_opens_no_later_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let ((one, one_public), (_, two_public)) = (identity(), identity());
    let mut ring = ring_at(&path);
    ring.add_recovery(&one_public).unwrap();
    ring.add_recovery(&two_public).unwrap();
    assert!(ring.remove_recovery(&one_public).unwrap());
    assert!(!ring.remove_recovery(&one_public).unwrap());
    let opener = AgeFile::identity(&one).unwrap();
    let new = folder.path().join("new.age");
    let refused = KeyRing::recover(&ring.recovery_file(), opener, &new, weak());
    assert!(matches!(refused, Err(RingError::WrongIdentity { .. })));
    // With the last one the file goes, and what a crash left of it.
    let left = folder.path().join("ring.recovery.age.new");
    fs::copy(ring.recovery_file(), &left).unwrap();
    assert!(ring.remove_recovery(&two_public).unwrap());
    assert!(!ring.recovery_file().exists() && !left.exists());
}

/// With its identity and its file a thief has the ring of that day. Keys made once it is taken
/// away are not its own.
#[test]
fn a_stolen_recovery_identity_opens_what_was_and_nothing_later() {
    let folder = tempdir().unwrap();
    let (old, new) = (key_slot(1, "ads"), key_slot(2, "ads"));
    let ((thief, thief_public), (mine, public)) = (identity(), identity());
    let mut ring = ring_at(&folder.path().join("ring.age"));
    ensure(&mut ring, &old, 2).unwrap();
    ring.add_recovery(&thief_public).unwrap();
    let stolen = folder.path().join("stolen.age");
    let opener = || AgeFile::identity(&thief).unwrap();
    let (taken, _) = KeyRing::recover(&ring.recovery_file(), opener(), &stolen, weak()).unwrap();
    let was = wrapped(&ring, &old);
    assert!(opens(&taken, &old, &was));

    assert!(ring.remove_recovery(&thief_public).unwrap());
    ring.add_recovery(&public).unwrap();
    ensure(&mut ring, &new, 3).unwrap();
    ring.destroy_purpose_keys(|slot| slot.key_epoch == 1)
        .unwrap();
    assert!(!has(&taken, &new) && has(&taken, &old));
    let at = folder.path().join("again.age");
    let refused = KeyRing::recover(&ring.recovery_file(), opener(), &at, weak());
    assert!(matches!(refused, Err(RingError::WrongIdentity { .. })));
    let keeper = AgeFile::identity(&mine).unwrap();
    let (found, _) = KeyRing::recover(&ring.recovery_file(), keeper, &at, weak()).unwrap();
    assert!(has(&found, &new) && !has(&found, &old));
}

/// Whoever can write the recovery file may put one of its own there: it counts for whoever
/// recovers, and the recipients tell whose it is.
#[test]
fn a_recovery_file_of_somebody_else_counts_and_shows_its_recipients() {
    let folder = tempdir().unwrap();
    let ads = key_slot(1, "ads");
    let ((mine, public), (_, evil)) = (identity(), identity());
    let mut ring = ring_at(&folder.path().join("ring.age"));
    ring.add_recovery(&public).unwrap();
    ensure(&mut ring, &ads, 2).unwrap();
    let wrap = wrapped(&ring, &ads);
    let mut theirs = ring_at(&folder.path().join("theirs.age"));
    theirs.add_recovery(&evil).unwrap();
    theirs.add_recovery(&public).unwrap();
    ensure(&mut theirs, &ads, 3).unwrap();
    fs::copy(theirs.recovery_file(), ring.recovery_file()).unwrap();

    let opener = || AgeFile::identity(&mine).unwrap();
    let at = folder.path().join("found.age");
    let (found, _) = KeyRing::recover(&ring.recovery_file(), opener(), &at, weak()).unwrap();
    assert!(!opens(&found, &ads, &wrap));
    assert_eq!(found.recovery_recipients(), [evil, public.clone()]);
    // The ring is what it was, and its next change writes its own file again.
    ring.refresh().unwrap();
    ensure(&mut ring, &key_slot(2, "ads"), 4).unwrap();
    let at = folder.path().join("again.age");
    let (found, _) = KeyRing::recover(&ring.recovery_file(), opener(), &at, weak()).unwrap();
    assert!(opens(&found, &ads, &wrap));
    assert_eq!(found.recovery_recipients(), [public]);
}

#[test]
fn a_lost_recovery_file_is_written_by_the_next_change() {
    let folder = tempdir().unwrap();
    let ads = key_slot(1, "ads");
    let (mine, public) = identity();
    let mut ring = ring_at(&folder.path().join("ring.age"));
    ring.add_recovery(&public).unwrap();
    fs::remove_file(ring.recovery_file()).unwrap();
    ensure(&mut ring, &ads, 2).unwrap();
    let opener = AgeFile::identity(&mine).unwrap();
    let new = folder.path().join("new.age");
    let (found, _) = KeyRing::recover(&ring.recovery_file(), opener, &new, weak()).unwrap();
    assert!(has(&found, &ads));
}

#[test]
fn only_keys_that_age_can_encrypt_to_are_recipients() {
    let folder = tempdir().unwrap();
    let mut ring = ring_at(&folder.path().join("ring.age"));
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDDpguZYXHC7smWMlABn2yUx0NMzrBt8X2D9o9bhUcCnf/KnEfKAD4MNhpeuJv1hRaE02X/86o2nOiVnmatjEKNjqUjrnEtm9Znjss2tav4fQkUfwoNI5V+v5Q2IYJB8H8APLzW3HZLDMV5PD7aKhD6vBHAvhY49JywC4RzN5R0LBk1+yll5qmaRhPve4wXC0DtwrDz1vIdtoT2zPcinXWg5MMWjw5B/xGH6SctJiDOfrYq/JWfhkbFPm78I9VPb5Zv2FatIQITOUPeM6MVdrTL4GoPuOoIf2DdaOkRs/ywEbOqBl8EH6u9XbT3XYRPuDKYAXTI/VEMkOHIaaZAoGCf";
    for none in ["", "age1", "ssh-ed25519 AAAA", rsa, "correct horse"] {
        let refused = ring.add_recovery(none);
        assert!(matches!(refused, Err(RingError::Recipient)), "{none}");
    }
    assert!(!ring.recovery_file().exists());
}

#[test]
fn a_destroyed_key_is_in_no_recovery_file() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let (old, new) = (key_slot(1, "ads"), key_slot(2, "ads"));
    let (mine, public) = identity();
    let mut ring = ring_at(&path);
    ring.add_recovery(&public).unwrap();
    ensure(&mut ring, &old, 2).unwrap();
    ensure(&mut ring, &new, 3).unwrap();
    ring.destroy_purpose_keys(|slot| slot.key_epoch == 1)
        .unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read(&file).unwrap();
        assert!(!contains(&text, b"purchases"), "{}", file.display());
    }
    let opener = AgeFile::identity(&mine).unwrap();
    let at = folder.path().join("new.age");
    let (found, _) = KeyRing::recover(&ring.recovery_file(), opener, &at, weak()).unwrap();
    assert!(!has(&found, &old) && has(&found, &new));
}

/// The recovery file is written first: where it cannot be, the ring is as it was.
#[test]
fn without_its_recovery_file_a_ring_does_not_change() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let ads = key_slot(1, "ads");
    let (_, public) = identity();
    let mut ring = ring_at(&path);
    ring.add_recovery(&public).unwrap();
    let before = fs::read(&path).unwrap();
    fs::create_dir(folder.path().join("ring.recovery.age.new")).unwrap();
    assert!(matches!(
        ensure(&mut ring, &ads, 2),
        Err(RingError::File(_))
    ));
    assert!(!has(&ring, &ads));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A ring's recovery file is its own, whatever other rings lie beside it.
#[test]
fn no_ring_takes_the_recovery_file_of_another() {
    let folder = tempdir().unwrap();
    let (_, public) = identity();
    let names = [
        "ring.age",
        "ring.token",
        "ring",
        "ring.age.age",
        "ring2.age",
    ];
    let mut files = Vec::new();
    for name in names {
        let mut ring = ring_at(&folder.path().join(name));
        ring.add_recovery(&public).unwrap();
        let file = ring.recovery_file();
        let text = fs::read(&file).unwrap();
        files.push((file, text));
    }
    assert_eq!(files[0].0, folder.path().join("ring.recovery.age"));
    assert_eq!(files[1].0, folder.path().join("ring.token.recovery.age"));
    // Nor does one without recipients, and one that gives up its own.
    let mut bare = ring_at(&folder.path().join("ring.old"));
    ensure(&mut bare, &key_slot(1, "ads"), 2).unwrap();
    for (at, name) in names.into_iter().enumerate() {
        for (file, before) in &files[at..] {
            assert_eq!(&fs::read(file).unwrap(), before, "{}", file.display());
        }
        let mut ring = KeyRing::open(&folder.path().join(name), &passphrase()).unwrap();
        ring.remove_recovery(&public).unwrap();
        assert!(!files[at].0.exists());
    }
}

/// Where a ring was lost, its recovery file is all that is left of it.
#[test]
fn a_new_ring_keeps_the_recovery_file_of_a_lost_one() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let (mine, public) = identity();
    let ads = key_slot(1, "ads");
    let mut ring = ring_at(&path);
    ring.add_recovery(&public).unwrap();
    ensure(&mut ring, &ads, 2).unwrap();
    let file = ring.recovery_file();
    let elsewhere = folder.path().join("a copy");
    fs::copy(&file, &elsewhere).unwrap();
    fs::remove_file(&path).unwrap();
    let left = fs::read(&file).unwrap();

    let refused = KeyRing::create_in(&path, weak(), &mut rng(9));
    assert!(matches!(refused, Err(RingError::RecoveryExists { .. })));
    let opener = || AgeFile::identity(&mine).unwrap();
    let refused = KeyRing::recover(&elsewhere, opener(), &path, weak());
    assert!(matches!(refused, Err(RingError::RecoveryExists { .. })));
    assert!(!path.exists());
    assert_eq!(fs::read(&file).unwrap(), left);

    let (ring, _) = KeyRing::recover(&file, opener(), &path, weak()).unwrap();
    assert!(has(&ring, &ads));
    // And no ring is where another one's recovery file may come to lie.
    let taken = folder.path().join("other.age.recovery.age");
    let refused = KeyRing::create_in(&taken, weak(), &mut rng(9));
    assert!(matches!(refused, Err(RingError::Name { .. })));
}

/// The check at the end of what `own` opens in a ring's file.
fn check_of(path: &Path, own: &str) -> String {
    let own: age::x25519::Identity = own.parse().unwrap();
    let opened = age::decrypt(&own, &fs::read(path).unwrap()).unwrap();
    let (_, check) = std::str::from_utf8(&opened)
        .unwrap()
        .rsplit_once('\n')
        .unwrap();
    assert_eq!(check.len(), 64);
    check.to_owned()
}

/// Everybody can encrypt for a public key: a ring counts only if the holder of the private key
/// wrote it.
#[test]
fn a_ring_that_somebody_else_wrote_does_not_open() {
    let ((mine, public), (evil, evil_public)) = (identity(), identity());
    let key = SigningKey::generate(&mut rng(3));
    let to_identity: age::x25519::Recipient = public.parse().unwrap();
    let to_key: age::ssh::Recipient = key.public().to_string().parse().unwrap();
    for at in 0..2 {
        let encrypted = |text: String| match at {
            0 => age::encrypt(&to_identity, text.as_bytes()).unwrap(),
            _ => age::encrypt(&to_key, text.as_bytes()).unwrap(),
        };
        let backend = || match at {
            0 => Box::new(AgeFile::identity(&mine).unwrap()),
            _ => Box::new(AgeFile::ssh_key(&key).unwrap()),
        };
        let folder = tempdir().unwrap();
        let path = folder.path().join("ring.age");
        let ads = key_slot(1, "ads");
        let mut ring = KeyRing::create_in(&path, backend(), &mut rng(1)).unwrap();
        ring.add_recovery(&public).unwrap();
        let honest = fs::read(&path).unwrap();
        let own: age::x25519::Identity = mine.parse().unwrap();
        let document = age::decrypt(&own, &fs::read(ring.recovery_file()).unwrap()).unwrap();
        let document = String::from_utf8(document).unwrap();
        let forged = document.replace(&public, &evil_public);
        assert_ne!(forged, document);
        let mut forgeries = vec![
            // The recovery file in the ring's place is one, too.
            document,
            forged.clone(),
            format!("{forged}\n"),
            format!("{forged}\n{}", "00".repeat(32)),
        ];
        let other = folder.path().join("other.age");
        let theirs = Box::new(AgeFile::identity(&evil).unwrap());
        let mut ring_of_thief = KeyRing::create_in(&other, theirs, &mut rng(1)).unwrap();
        ring_of_thief.add_recovery(&evil_public).unwrap();
        forgeries.push(format!("{forged}\n{}", check_of(&other, &evil)));
        if at == 0 {
            forgeries.push(format!("{forged}\n{}", check_of(&path, &mine)));
        }
        for text in forgeries {
            fs::write(&path, encrypted(text)).unwrap();
            let refused = KeyRing::open_in(&path, backend());
            assert!(matches!(refused, Err(RingError::Forged { .. })));
            // Nor does a ring that is open take it over.
            assert!(matches!(ring.refresh(), Err(RingError::Forged { .. })));
            let changed = ensure(&mut ring, &ads, 2);
            assert!(matches!(changed, Err(RingError::Forged { .. })));
        }
        // What the holder wrote opens again, from wherever it is restored.
        fs::write(&path, &honest).unwrap();
        let mut ring = KeyRing::open_in(&path, backend()).unwrap();
        ensure(&mut ring, &ads, 2).unwrap();
        assert_eq!(ring.recovery_recipients(), std::slice::from_ref(&public));
    }
}

const KILLED: &str = "INCAMERA_RING_KILLED";

/// Changes a ring without end: a new key epoch, then the old one's key destroyed.
fn change_for_ever(path: &Path) {
    let mut ring = KeyRing::open(path, &passphrase()).unwrap();
    for epoch in 2.. {
        ensure(&mut ring, &key_slot(epoch, "ads"), epoch.into()).unwrap();
        ring.destroy_purpose_keys(|slot| slot.key_epoch < epoch)
            .unwrap();
    }
}

/// Killed at any moment, a ring is the old one or the new one, and so is its recovery file,
/// which is never behind; what the crash left beside them goes with the next change.
#[test]
fn a_ring_killed_while_it_changes_is_the_old_or_the_new() {
    if let Some(path) = std::env::var_os(KILLED) {
        return change_for_ever(Path::new(&path));
    }
    let (mine, public) = identity();
    let mut newest = 1;
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let mut ring = ring_at(&path);
    ring.add_recovery(&public).unwrap();
    ensure(&mut ring, &key_slot(1, "ads"), 1).unwrap();
    for round in 0..12 {
        let test = "recovery::a_ring_killed_while_it_changes_is_the_old_or_the_new";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(KILLED, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();

        ring.refresh().unwrap();
        let opener = AgeFile::identity(&mine).unwrap();
        let copy = folder.path().join(format!("copy-{round}"));
        let (copy, _) = KeyRing::recover(&ring.recovery_file(), opener, &copy, weak()).unwrap();
        let epochs = |ring: &KeyRing| -> Vec<u32> {
            ring.all_purpose_slots()
                .map(|slot| slot.key_epoch)
                .collect()
        };
        let (old, new) = (epochs(&ring), epochs(&copy));
        let steps = [
            new == old,
            old.len() == 1 && new == [old[0], old[0] + 1],
            old.len() == 2 && new == [old[1]],
        ];
        assert!(steps.contains(&true), "{old:?} {new:?}");
        newest = newest.max(old[old.len() - 1]);
        // The next change ends what was begun.
        ring.destroy_purpose_keys(|slot| slot.key_epoch < newest)
            .unwrap();
        fs::remove_file(copy.path()).unwrap();
        for left in ["ring.age.new", "ring.recovery.age.new"] {
            assert!(!folder.path().join(left).exists(), "{left}");
        }
        // The child begins where it always does.
        ring.destroy_purpose_keys(|_| true).unwrap();
        ensure(&mut ring, &key_slot(1, "ads"), 1).unwrap();
    }
    assert!(newest > 1, "no change was ever seen");
}

#[test]
fn a_ring_is_copied_under_other_protection() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("ring.age");
    let ads = key_slot(1, "ads");
    let mut ring = ring_at(&path);
    ensure(&mut ring, &ads, 2).unwrap();
    let slot = matching_slot("commutative");
    ring.matching_secret_or_new(&slot, &mut rng(4)).unwrap();
    let wrap = wrapped(&ring, &ads);
    let new = folder.path().join("ring2.age");
    let other = SecretString::from("battery staple");
    let backend = || Box::new(AgeFile::passphrase_with_work_factor(&other, 1).unwrap());
    let copy = ring.copy_to(&new, backend()).unwrap();
    assert!(opens(&copy, &ads, &wrap));
    let mut copy = KeyRing::open(&new, &other).unwrap();
    assert!(opens(&copy, &ads, &wrap));
    let key = |ring: &KeyRing| *ring.matching_secret(&slot).unwrap().key().expose();
    assert_eq!(key(&copy), key(&ring));
    assert!(matches!(
        ring.copy_to(&new, backend()),
        Err(RingError::Exists { .. })
    ));
    // The old ring opens as before, keeps what the new one destroys, and learns nothing later.
    ensure(&mut copy, &key_slot(2, "ads"), 5).unwrap();
    copy.destroy_purpose_keys(|slot| *slot == ads).unwrap();
    let old = KeyRing::open(&path, &passphrase()).unwrap();
    assert!(opens(&old, &ads, &wrap));
    assert!(!has(&old, &key_slot(2, "ads")) && !has(&copy, &ads));
}
