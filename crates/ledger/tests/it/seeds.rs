use incamera_keys::SeedKey;
use incamera_ledger::{Ledger, LedgerError, seed_commitment};
use incamera_types::RequestDigest;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::fixture::{Fixture, LIFETIME_S, NOW, Want, d, rho, shop};

#[test]
fn i8_one_seed_a_request() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 1,
        ..Want::default()
    };
    let first = owner.reserve(want).unwrap();
    let second = owner.reserve(Want { room: 21, ..want }).unwrap();
    let other = owner
        .reserve(Want {
            request: 11,
            ..want
        })
        .unwrap();
    assert_eq!(first.commitment(), second.commitment());
    assert_ne!(first.commitment(), other.commitment());
    assert_ne!(first.seed().expose(), other.seed().expose());
}

#[test]
fn commitments_name_owner_and_request() {
    let mut owner = Fixture::new();
    let held = owner.reserve(Want::default()).unwrap();
    let commit = |party: &str, request| {
        seed_commitment(
            &party.parse().unwrap(),
            &d::<RequestDigest>(request),
            held.seed(),
        )
    };
    assert_eq!(
        held.commitment(),
        seed_commitment(&shop(), &d(10), held.seed())
    );
    assert_ne!(held.commitment(), commit("mailer", 10));
    assert_ne!(held.commitment(), commit("shop", 11));
}

/// Seeds lie encrypted, and only the ring that made them opens them.
#[test]
fn seeds_are_encrypted_at_rest() {
    let mut owner = Fixture::on_disk();
    let (charged, _) = owner.spend(Want::default()).unwrap();
    let file = std::fs::read(owner.path()).unwrap();
    let seed = charged.seed().expose();
    assert!(!file.windows(32).any(|window| window == seed));
    owner.seed_key = SeedKey::generate(&mut owner.rng);
    let refused = owner.reserve(Want::default()).unwrap_err();
    assert!(matches!(refused, LedgerError::Seed));
}

/// An erased seed is gone from the file; its charge stays, and the seed's request is refused.
#[test]
fn superseded_seeds_are_erased() {
    let mut owner = Fixture::on_disk();
    owner.spend(Want::default()).unwrap();
    let sealed: Vec<u8> = rusqlite::Connection::open(owner.path())
        .unwrap()
        .query_row("SELECT sealed FROM seeds", [], |row| row.get(0))
        .unwrap();
    let in_file = |owner: &Fixture| {
        let file = std::fs::read(owner.path()).unwrap();
        file.windows(sealed.len()).any(|window| window == sealed)
    };
    assert!(in_file(&owner));
    owner.register(1, 2, 51).unwrap();
    assert!(!in_file(&owner));
    assert_eq!(owner.spent(), rho(100));
    assert!(owner.reserve(Want::default()).is_err());
}

/// With the seed key and a copy of the ledger a thief has the owner's share of the noise of past
/// answers. Once the data are sealed anew the ledger holds those seeds no more; those of later
/// answers lie under the same key.
#[test]
fn a_stolen_seed_key_opens_no_seed_of_data_that_were_sealed_anew() {
    let mut owner = Fixture::on_disk();
    let (charged, _) = owner.spend(Want::default()).unwrap();
    let stolen = |owner: &Fixture| {
        let copy = owner.path().with_file_name("copy.sqlite");
        std::fs::copy(owner.path(), &copy).unwrap();
        let mut thief = Fixture::new();
        thief.ledger = Ledger::open(&copy, &shop()).unwrap();
        thief.seed_key = SeedKey::from_bytes(*owner.seed_key.expose());
        thief.rng = ChaCha20Rng::seed_from_u64(8);
        thief.manifests.clone_from(&owner.manifests);
        let connection = rusqlite::Connection::open(copy).unwrap();
        let seeds = connection.query_row("SELECT count(*) FROM seeds", [], |row| row.get(0));
        (thief, seeds.unwrap())
    };
    let (mut thief, seeds): (_, i64) = stolen(&owner);
    let opened = thief.reserve(Want::default()).unwrap();
    assert_eq!(
        (opened.seed().expose(), seeds),
        (charged.seed().expose(), 1)
    );

    owner.register(1, 2, 51).unwrap();
    owner.manifests = vec![("customers".parse().unwrap(), d(51))];
    let (mut thief, seeds): (_, i64) = stolen(&owner);
    let anew = thief.reserve(Want::default()).unwrap();
    assert_ne!(anew.seed().expose(), charged.seed().expose());
    assert_eq!(seeds, 0);
    let later = Want {
        request: 11,
        ..Want::default()
    };
    let (charged, _) = owner.spend(later).unwrap();
    let opened = stolen(&owner).0.reserve(later).unwrap();
    assert_eq!(opened.seed().expose(), charged.seed().expose());
}

/// Another owner has newer data: seen when a request over them is committed, with that
/// owner's promise.
#[test]
fn seeds_superseded_by_another_owner_are_erased() {
    let mut owner = Fixture::new();
    let other = |of| vec![("mailing".parse().unwrap(), d(of))];
    let want = |request, at| Want {
        request,
        at,
        ..Want::default()
    };
    owner.others = other(90);
    owner.spend(want(10, NOW)).unwrap();
    let unrelated = Want {
        agreement: 2,
        ..want(12, NOW)
    };
    owner.spend(unrelated).unwrap();
    owner.others = other(91);
    let newer = owner.reserve(want(11, NOW)).unwrap();
    // A mere reservation tells nothing: that owner may not have promised.
    owner.others = other(90);
    assert!(owner.reserve(want(10, NOW)).unwrap().repeat());
    owner.commit(&newer, 80).unwrap();
    assert!(!owner.reserve(want(10, NOW)).unwrap().repeat());
    assert!(owner.reserve(unrelated).unwrap().repeat());
    owner.others = other(91);
    assert!(owner.reserve(want(11, NOW)).unwrap().repeat());
}

/// What was reserved before the newer data came erases nothing of theirs.
#[test]
fn a_late_commit_erases_no_newer_seed() {
    let mut owner = Fixture::new();
    let other = |of| vec![("mailing".parse().unwrap(), d(of))];
    owner.others = other(90);
    let old = owner.reserve(Want::default()).unwrap();
    owner.others = other(91);
    let later = Want {
        request: 11,
        at: NOW.plus(1),
        ..Want::default()
    };
    let newer = owner.reserve(later).unwrap();
    owner.commit_at(&old, 80, NOW.plus(2)).unwrap();
    owner.commit_at(&newer, 81, NOW.plus(3)).unwrap();
}

/// A promise that nobody took up is forgotten when its reservation ends.
#[test]
fn unused_seeds_are_forgotten() {
    let mut owner = Fixture::new();
    let first = owner.reserve(Want::default()).unwrap();
    let at = NOW.plus(LIFETIME_S);
    let later = owner
        .reserve(Want {
            at,
            ..Want::default()
        })
        .unwrap();
    assert_ne!(first.commitment(), later.commitment());
    // The reservation of the forgotten promise commits nothing.
    let refused = owner.commit_at(&first, 80, at);
    assert!(matches!(refused, Err(LedgerError::NoReservation)));
}

#[test]
fn debug_shows_no_seed() {
    let mut owner = Fixture::new();
    let held = owner.reserve(Want::default()).unwrap();
    let bytes = format!("{:?}", held.seed().expose());
    assert!(!format!("{held:?}").contains(&bytes));
    assert!(format!("{held:?}").contains("seed: NoiseSeed"));
}
