//! Grants that a dishonest owner, a replaying operator or a careless log would make. The room
//! opens all or nothing, with one text for every fault.

use incamera_keys::hpke::{self, Sealed};
use incamera_keys::{SigningKey, sign_message};
use incamera_release::{GRANT_S, GrantFault, GrantsError, OpenFault};
use incamera_types::Digest as _;
use incamera_types::{GrantDigest, Transcript};
use incamera_wire::v1::{Grant, GrantSecrets, LogEntry, Signed};
use incamera_wire::{Format, decode, encode};

use crate::world::{NOW, Session, World, name};

const SHOP: usize = 1;

fn read(signed: &Signed) -> Grant {
    decode(&signed.body, 1 << 20).unwrap()
}

/// What the grant is bound to, written down a second time from docs/formats.
fn bound(grant: &Grant) -> ([u8; 32], [u8; 32]) {
    let info: GrantDigest = Transcript::new("incamera-grant-info/1")
        .field(&grant.purpose)
        .field(&grant.request_digest)
        .field(&grant.agreement_digest)
        .field(&grant.reservations_digest)
        .field(&grant.owner)
        .field(grant.expires.to_be_bytes())
        .finish();
    let aad: GrantDigest = Transcript::new("incamera-grant-aad/1")
        .field(&grant.commitments_digest)
        .field(&grant.room_key_digest)
        .field(&grant.seed_commitment)
        .field(grant.granted_at.to_be_bytes())
        .finish();
    (*info.as_bytes(), *aad.as_bytes())
}

/// The shop's grant, opened, changed, sealed and signed again by the shop: what an owner that
/// does not keep to its program can do.
fn dishonest(
    world: &mut World,
    session: &mut Session,
    change: impl FnOnce(&mut GrantSecrets, &mut Grant),
) {
    let mut grant = read(&session.grants[SHOP]);
    let (info, aad) = bound(&grant);
    let sealed = Sealed {
        encapped_key: grant.encapped_key.clone(),
        ciphertext: grant.ciphertext.clone(),
    };
    let plaintext = hpke::open(&session.secret, &info, &aad, &sealed).unwrap();
    let mut secrets: GrantSecrets = decode(&plaintext, 1 << 20).unwrap();
    change(&mut secrets, &mut grant);
    let (info, aad) = bound(&grant);
    let public = session.secret.public();
    let sealed = hpke::seal(public, &info, &aad, &encode(&secrets), &mut world.rng).unwrap();
    grant.encapped_key = sealed.encapped_key;
    grant.ciphertext = sealed.ciphertext;
    session.grants[SHOP] = signed_by(&world.owners["shop"].signer, &grant);
}

fn signed_by(key: &SigningKey, grant: &Grant) -> Signed {
    sign_message(key, Format::Grant, grant).unwrap()
}

fn refused(world: &World, session: Session) -> GrantsError {
    world.open(session).unwrap_err()
}

/// Opens grants after a change to the session; gives what the room would log.
fn fault(change: impl FnOnce(&mut World, &mut Session)) -> OpenFault {
    let mut world = World::new();
    let mut session = world.granted();
    change(&mut world, &mut session);
    let error = refused(&world, session);
    assert!(
        error
            .to_string()
            .starts_with("the owners' grants do not open this request")
    );
    error.fault().clone()
}

fn of_shop(fault: OpenFault) -> GrantFault {
    match fault {
        OpenFault::Grant { owner, fault } if owner.as_str() == "shop" => fault,
        other => panic!("{other:?}"),
    }
}

/// The helper itself changes nothing: an honest grant sealed again opens.
#[test]
fn an_honest_grant_sealed_again_opens() {
    let mut world = World::new();
    let mut session = world.granted();
    dishonest(&mut world, &mut session, |_, _| {});
    world.open(session).unwrap();
}

#[test]
fn i8_an_owner_cannot_swap_its_seed() {
    let found = fault(|world, session| {
        dishonest(world, session, |secrets, _| secrets.seed[0] ^= 1);
    });
    assert_eq!(of_shop(found), GrantFault::Seed);
    // Nor by committing to another seed only in the grant.
    let found = fault(|world, session| {
        dishonest(world, session, |secrets, grant| {
            secrets.seed[0] ^= 1;
            grant.seed_commitment[0] ^= 1;
        });
    });
    assert_eq!(of_shop(found), GrantFault::Other("commitment"));
}

#[test]
fn i4_an_owner_cannot_withhold_add_or_swap_keys() {
    let purchases = || GrantFault::Keys {
        dataset: name("purchases"),
    };
    let at = |secrets: &GrantSecrets, column: &str| {
        secrets
            .keys
            .iter()
            .position(|key| key.column == column)
            .unwrap()
    };
    let withheld = fault(|world, session| {
        dishonest(world, session, |secrets, _| {
            let at = at(secrets, "amount");
            secrets.keys.remove(at);
        });
    });
    assert_eq!(of_shop(withheld), purchases());
    let swapped = fault(|world, session| {
        dishonest(world, session, |secrets, _| {
            let (amount, day) = (at(secrets, "amount"), at(secrets, "day"));
            let key = secrets.keys[amount].key.clone();
            secrets.keys[amount].key = std::mem::replace(&mut secrets.keys[day].key, key);
        });
    });
    assert_eq!(of_shop(swapped), purchases());
    let doubled = fault(|world, session| {
        dishonest(world, session, |secrets, _| {
            let twice = secrets.keys[at(secrets, "amount")].clone();
            secrets.keys.push(twice);
        });
    });
    assert_eq!(of_shop(doubled), purchases());
    // All keys of a part: as if nobody there had consented.
    let part = fault(|world, session| {
        dishonest(world, session, |secrets, _| {
            let file = secrets.keys[at(secrets, "amount")].file_id.clone();
            secrets.keys.retain(|key| key.file_id != file);
        });
    });
    assert_eq!(of_shop(part), purchases());
    let stranger = fault(|world, session| {
        dishonest(world, session, |secrets, _| {
            let mut extra = secrets.keys[0].clone();
            extra.file_id = vec![9; 16];
            secrets.keys.push(extra);
        });
    });
    assert_eq!(of_shop(stranger), GrantFault::ExtraKeys);
}

/// A key that the query does not read, though it is genuine, ends it too.
#[test]
fn i4_a_key_of_an_unread_column_is_refused() {
    let found = fault(|world, session| {
        let manifest = &world.manifests["purchases"];
        let columns = [name("category")];
        let ring = &world.owners["shop"].ring;
        let all = incamera_seal::unwrap_keys(manifest, &name("measurement"), &columns, ring);
        let extra = all
            .unwrap()
            .into_iter()
            .find(|key| key.column.is_some())
            .unwrap();
        dishonest(world, session, |secrets, _| {
            secrets.keys.push(incamera_wire::v1::GrantedKey {
                file_id: extra.file_id.as_bytes().to_vec(),
                column: "category".into(),
                key: extra.key.expose().to_vec(),
            });
        });
    });
    assert_eq!(
        of_shop(found),
        GrantFault::Keys {
            dataset: name("purchases")
        }
    );
}

/// Replayed, also the very grant of the same request: it was made for another room key.
#[test]
fn i9_a_replayed_grant_opens_nothing() {
    let found = fault(|world, session| {
        let old = world.granted();
        session.grants[SHOP] = old.grants[SHOP].clone();
    });
    assert!(matches!(of_shop(found), GrantFault::Other(_)));
    // With the old reservations as well: they name the old room key.
    let found = fault(|world, session| {
        let old = world.granted();
        session.grants = old.grants;
        session.reservations = old.reservations;
    });
    assert!(matches!(found, OpenFault::Reservations(_)));
    // With terms forged for the new key, the secrets still lie under the old one.
    let found = fault(|world, session| {
        let old = world.granted();
        let mut grant = read(&session.grants[SHOP]);
        let replayed = read(&old.grants[SHOP]);
        grant.encapped_key = replayed.encapped_key;
        grant.ciphertext = replayed.ciphertext;
        session.grants[SHOP] = signed_by(&world.owners["shop"].signer, &grant);
    });
    assert_eq!(of_shop(found), GrantFault::Sealed);
}

#[test]
fn i4_every_owner_must_have_granted() {
    let missing = fault(|_, session| drop(session.grants.pop()));
    assert_eq!(missing, OpenFault::Incomplete);
    let twice = fault(|_, session| session.grants[SHOP] = session.grants[0].clone());
    assert_eq!(of_shop(twice), GrantFault::Signature);
    let stranger = fault(|world, session| {
        let key = SigningKey::generate(&mut world.rng);
        session.grants[SHOP] = signed_by(&key, &read(&session.grants[SHOP]));
    });
    assert_eq!(of_shop(stranger), GrantFault::Signature);
}

#[test]
fn i4_grants_are_bound_to_their_terms() {
    let cases: [(&str, fn(&mut Grant)); 8] = [
        ("owner", |grant| grant.owner = "mailer".into()),
        ("agreement", |grant| grant.agreement_digest[0] ^= 1),
        ("request", |grant| grant.request_digest[0] ^= 1),
        ("purpose", |grant| grant.purpose = "ads".into()),
        ("set of reservations", |grant| {
            grant.reservations_digest[0] ^= 1
        }),
        ("set of commitments", |grant| {
            grant.commitments_digest[0] ^= 1
        }),
        ("room key", |grant| grant.room_key_digest[0] ^= 1),
        ("charge", |grant| grant.charge.as_mut().unwrap().rho -= 1),
    ];
    for (what, change) in cases {
        let found = fault(|world, session| {
            dishonest(world, session, |_, grant| change(grant));
        });
        assert_eq!(of_shop(found), GrantFault::Other(what));
    }
    // Terms that only the encryption is bound to.
    let expiry = fault(|world, session| {
        let mut grant = read(&session.grants[SHOP]);
        grant.expires += 1;
        session.grants[SHOP] = signed_by(&world.owners["shop"].signer, &grant);
    });
    assert_eq!(of_shop(expiry), GrantFault::Sealed);
}

/// An unlogged release is useless.
#[test]
fn i4_a_grant_must_be_logged() {
    let with_entry = |change: fn(&mut LogEntry)| {
        fault(|world, session| {
            dishonest(world, session, |_, grant| {
                let log = grant.log.as_mut().unwrap();
                let mut entry: LogEntry = decode(&log.entry, 1 << 16).unwrap();
                change(&mut entry);
                log.entry = encode(&entry);
            });
        })
    };
    let cases: [(&str, fn(&mut LogEntry)); 8] = [
        ("request", |entry| entry.request_digest[0] ^= 1),
        ("set of reservations", |entry| {
            entry.reservations_digest[0] ^= 1
        }),
        ("set of commitments", |entry| {
            entry.commitments_digest[0] ^= 1
        }),
        ("room key", |entry| entry.room_key_digest[0] ^= 1),
        ("charge", |entry| entry.charge.as_mut().unwrap().rho = 0),
        ("analyst", |entry| entry.analyst = "shop/sam".into()),
        ("purpose", |entry| entry.purpose = "ads".into()),
        ("word on simulation", |entry| entry.simulated = false),
    ];
    for (what, change) in cases {
        assert_eq!(of_shop(with_entry(change)), GrantFault::LogEntry(what));
    }
    let missing = fault(|world, session| {
        dishonest(world, session, |_, grant| grant.log = None);
    });
    assert_eq!(of_shop(missing), GrantFault::Signature);
    let other_place = fault(|world, session| {
        dishonest(world, session, |_, grant| {
            grant.log.as_mut().unwrap().index += 1
        });
    });
    assert_eq!(of_shop(other_place), GrantFault::NotLogged);
}

#[test]
fn i4_the_checkpoint_is_the_owners_own() {
    let foreign = fault(|world, session| {
        let mailer = read(&session.grants[0]).log.unwrap().checkpoint;
        dishonest(world, session, |_, grant| {
            grant.log.as_mut().unwrap().checkpoint = mailer
        });
    });
    assert_eq!(of_shop(foreign), GrantFault::Checkpoint);
    // An earlier checkpoint of the same log does not cover the entry.
    let rolled_back = fault(|world, session| {
        let old = read(&session.grants[SHOP]).log.unwrap().checkpoint;
        *session = world.granted();
        dishonest(world, session, |_, grant| {
            grant.log.as_mut().unwrap().checkpoint = old
        });
    });
    assert_eq!(of_shop(rolled_back), GrantFault::NotLogged);
}

#[test]
fn i4_old_grants_and_requests_open_nothing() {
    let mut world = World::new();
    let session = world.granted();
    let late = world.open_at(session, NOW.plus(GRANT_S)).unwrap_err();
    // (reservations end at the same moment: the grant is what is refused)
    assert!(
        matches!(
            late.fault(),
            OpenFault::Grant {
                fault: GrantFault::Time,
                ..
            }
        ),
        "{late:?}"
    );
    let session = world.granted();
    let over = world.open_at(session, world.expires).unwrap_err();
    assert_eq!(over.fault(), &OpenFault::Expired);
    let session = world.granted();
    let early = incamera_types::UnixTime(NOW.0 - 61);
    let early = world.open_at(session, early).unwrap_err();
    assert!(matches!(
        early.fault(),
        OpenFault::Grant {
            fault: GrantFault::Time,
            ..
        }
    ));
}

/// The room works with the manifests that the request names, or not at all.
#[test]
fn i4_the_rooms_manifests_are_those_of_the_request() {
    let other = fault(|world, _| world.seal("mailing", crate::world::MAILING));
    assert_eq!(
        other,
        OpenFault::Manifest {
            dataset: name("mailing")
        }
    );
    let missing = fault(|world, _| drop(world.manifests.remove("purchases")));
    assert_eq!(
        missing,
        OpenFault::Manifest {
            dataset: name("purchases")
        }
    );
}

#[test]
fn i7_every_fault_has_one_text() {
    let texts: std::collections::BTreeSet<String> = [
        (|_, session| drop(session.grants.pop())) as fn(&mut World, &mut Session),
        |world, session| dishonest(world, session, |secrets, _| secrets.seed[0] ^= 1),
        |_, session| session.reservations.reverse(),
    ]
    .into_iter()
    .map(|change| {
        let mut world = World::new();
        let mut session = world.granted();
        change(&mut world, &mut session);
        let error = refused(&world, session);
        assert!(std::error::Error::source(&error).is_none());
        error.to_string()
    })
    .collect();
    assert_eq!(texts.len(), 1);
}

#[test]
fn debug_shows_no_key() {
    let mut world = World::new();
    let session = world.granted();
    assert!(!format!("{:?}", session.reserved["shop"]).contains("expose"));
    let opened = world.open(session).unwrap();
    let shown = format!("{opened:?}");
    assert_eq!(shown, format!("OpenedGrants({})", opened.request()));
}
