//! I4 and I5 in the second round: every other owner has promised the same, and the charge
//! comes before the grant.

use incamera_keys::{SigningKey, sign_message};
use incamera_release::{MIN_LEFT_S, RESERVATION_S, Refusal, RefusalKind, ReservationsError};
use incamera_types::{PartyName, PrivacyLoss};
use incamera_wire::v1::{Reservation, Signed};
use incamera_wire::{Format, decode};

use crate::world::{NOW, Session, World, name, signed};

/// What the shop answers when the set of reservations is made otherwise.
fn with_reservations(change: impl FnOnce(&mut World, &mut Session)) -> Refusal {
    let mut world = World::new();
    let mut session = world.session();
    world.reserve_all(&mut session);
    change(&mut world, &mut session);
    let refusal = world.commit(&session, "shop").unwrap_err();
    assert_eq!(world.spent("shop"), PrivacyLoss::default());
    assert_eq!(
        world.owners["shop"]
            .ledger
            .log_size(&world.agreement.id)
            .unwrap(),
        0
    );
    refusal
}

fn error(refusal: Refusal) -> ReservationsError {
    assert_eq!(refusal.kind(), RefusalKind::Retry);
    match refusal {
        Refusal::Reservations(error) => error,
        other => panic!("{other:?}"),
    }
}

fn mailer() -> PartyName {
    name("mailer")
}

/// The mailer's reservation with a change, signed by `key`.
fn changed(signed: &Signed, key: &SigningKey, change: impl FnOnce(&mut Reservation)) -> Signed {
    let mut reservation: Reservation = decode(&signed.body, 4096).unwrap();
    change(&mut reservation);
    sign_message(key, Format::Reservation, &reservation).unwrap()
}

#[test]
fn i4_every_owner_read_must_have_reserved() {
    let missing = with_reservations(|_, session| drop(session.reservations.remove(0)));
    assert_eq!(error(missing), ReservationsError::Incomplete);
    let twice = with_reservations(|_, session| {
        session.reservations[0] = session.reservations[1].clone();
    });
    assert!(matches!(error(twice), ReservationsError::Signature { .. }));
    let order = with_reservations(|_, session| session.reservations.reverse());
    assert!(matches!(error(order), ReservationsError::Signature { .. }));
}

#[test]
fn i4_reservations_are_signed_by_their_owners() {
    let forged = with_reservations(|world, session| {
        let stranger = SigningKey::generate(&mut world.rng);
        session.reservations[0] = changed(&session.reservations[0], &stranger, |_| {});
    });
    match error(forged) {
        ReservationsError::Signature { owner, .. } => assert_eq!(owner, mailer()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i4_reservations_are_for_the_same_request_room_key_and_cost() {
    let cases: [(&str, fn(&mut Reservation)); 5] = [
        ("owner", |reservation| reservation.owner = "shop".into()),
        ("agreement", |reservation| {
            reservation.agreement_digest[0] ^= 1
        }),
        ("request", |reservation| reservation.request_digest[0] ^= 1),
        ("room key", |reservation| {
            reservation.room_key_digest[0] ^= 1
        }),
        ("cost", |reservation| {
            reservation.cost.as_mut().unwrap().rho -= 1
        }),
    ];
    for (differs, change) in cases {
        let refusal = with_reservations(|world, session| {
            let key = world.owner("mailer").signer.duplicate();
            session.reservations[0] = changed(&session.reservations[0], &key, change);
        });
        let (owner, what) = (mailer(), differs);
        assert_eq!(error(refusal), ReservationsError::Other { owner, what });
    }
}

/// Reservations made for a cloned room with its own key do not mix.
#[test]
fn i4_a_reservation_for_another_room_is_refused() {
    let mixed = with_reservations(|world, session| {
        let mut other = world.session();
        world.reserve_all(&mut other);
        session.reservations[0] = other.reservations[0].clone();
    });
    let (owner, what) = (mailer(), "room key");
    assert_eq!(error(mixed), ReservationsError::Other { owner, what });
}

/// An owner that signs two commitments gets the others to sign none of them together.
#[test]
fn i4_our_own_reservation_is_the_one_that_we_made() {
    let replaced = with_reservations(|world, session| {
        let key = world.owner("shop").signer.duplicate();
        session.reservations[1] = changed(&session.reservations[1], &key, |reservation| {
            reservation.seed_commitment[0] ^= 1;
        });
    });
    assert!(matches!(replaced, Refusal::OtherReservation));
}

#[test]
fn i4_every_reservation_has_time_left() {
    let ends = |left_s: u64| {
        let mut world = World::new();
        let mut session = world.session();
        world.reserve_all(&mut session);
        world.commit_at(&session, "shop", NOW.plus(RESERVATION_S - left_s))
    };
    ends(MIN_LEFT_S).unwrap();
    let late = error(ends(MIN_LEFT_S - 1).unwrap_err());
    assert!(matches!(late, ReservationsError::EndsSoon { .. }));
}

/// What changed between the rounds counts.
#[test]
fn i4_the_second_round_looks_again() {
    let paused = with_reservations(|world, _| world.owner("shop").rules.paused = true);
    assert!(matches!(paused, Refusal::Paused));
    let sealed = with_reservations(|world, _| world.seal("purchases", crate::world::PURCHASES));
    assert!(matches!(sealed, Refusal::NotNewest { .. }), "{sealed:?}");
    assert_eq!(sealed.kind(), RefusalKind::Policy);
    let poor = with_reservations(|world, _| {
        world.owner("shop").population = PrivacyLoss::default();
    });
    assert_eq!(poor.kind(), RefusalKind::Budget);
    let superseded = with_reservations(|world, _| {
        let text = String::from_utf8(world.agreement.bytes().to_vec()).unwrap();
        let other = text.replace("spring-campaign", "summer-campaign");
        world.agreement = signed(&other, &world.signs);
    });
    // (the helper's log is looked up under the new id: it is empty all the same)
    assert!(matches!(superseded, Refusal::OtherAgreement));
}

#[test]
fn i4_a_request_that_ends_between_the_rounds_is_refused() {
    let mut world = World::new();
    world.expires = NOW.plus(10);
    let mut session = world.session();
    world.reserve_all(&mut session);
    let late = world.commit_at(&session, "shop", NOW.plus(10)).unwrap_err();
    assert!(matches!(late, Refusal::Request(_)), "{late:?}");
}

/// The charge is durable before anything that could be a grant exists.
#[test]
fn i5_a_charge_stands_though_no_grant_was_made() {
    let mut world = World::new();
    let mut session = world.session();
    world.reserve_all(&mut session);
    let active = world.active();
    let owner = world.owner("shop");
    let committed = session.reserved["shop"]
        .commit(&active, &session.reservations, &mut owner.broker(), NOW)
        .unwrap();
    drop(committed);
    assert_eq!(world.spent("shop"), world.cost());
    // The room asks again, for the same reservation or a new one: no second charge.
    world.commit(&session, "shop").unwrap();
    let again = world.granted();
    world.open(again).unwrap();
    assert_eq!(world.spent("shop"), world.cost());
}

/// A refusal at one owner's reserve costs the others nothing.
#[test]
fn i5_all_reserve_before_any_commits() {
    let mut world = World::new();
    world.owner("shop").rules.paused = true;
    let mut session = world.session();
    world.reserve(&mut session, "mailer").unwrap();
    world.reserve(&mut session, "shop").unwrap_err();
    let refusal = world.commit(&session, "mailer").unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Reservations(ReservationsError::Incomplete)
    ));
    assert_eq!(world.spent("mailer"), PrivacyLoss::default());
}
