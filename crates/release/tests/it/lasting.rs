//! I4: a data set whose pseudonyms count no more is read by no query: its owner releases no key,
//! and a room opens no grant. Each refusal of an owner costs nobody.

use incamera_release::{OpenFault, Refusal, RefusalKind};
use incamera_types::{DatasetName, Date, PrivacyLoss, UnixTime};

use crate::reserve::costs_nothing;
use crate::world::{CUSTOMERS, MAILING, NOW, PURCHASES, TEMPLATE, World, name};

/// The shop's purchases are sealed until this day, the rest without one.
fn lasting(day: &str) -> World {
    let mut world = World::new();
    world.last_day = Some(day.parse().unwrap());
    world.seal("purchases", PURCHASES);
    world.last_day = None;
    world
}

/// An agreement whose pseudonyms end with a key of providers.
fn provided() -> String {
    let method = "method = \"provider\"\nproviders = [\"alpha\"]\nthreshold = 1\nkey_days = 90";
    let alpha = "[parties.alpha]\nsigns = \"{alpha_signs}\"\nservice = \"{alpha_service}\"\nurl = \"https://alpha.example:7443\"\n\n[room]\n";
    let text = TEMPLATE.replacen("method = \"commutative\"", method, 1);
    text.replacen("[room]\n", alpha, 1)
}

/// All data sets last as long, and then the shop's purchases, unless they are alike.
fn lasting_by_key(all: Option<i32>, purchases: Option<i32>) -> World {
    let today = i32::try_from(NOW.0 / 86_400).unwrap();
    let on = |days: i32| Date::from_days(today + days);
    let mut world = World::agreed(&provided());
    world.last_day = all.map(on);
    for (dataset, rows) in [("customers", CUSTOMERS), ("mailing", MAILING)] {
        world.seal(dataset, rows);
    }
    world.last_day = purchases.map(on);
    world.seal("purchases", PURCHASES);
    world
}

/// Who leaves the day out, or names one that no key can reach, has it read by nobody.
#[test]
fn i4_pseudonyms_that_end_with_a_key_are_not_read_without_that_end() {
    for unfit in [None, Some(9_000)] {
        let mut world = lasting_by_key(Some(80), unfit);
        let mut session = world.session();
        let refusal = world.reserve(&mut session, "shop").unwrap_err();
        let Refusal::Data { source, .. } = &refusal else {
            panic!("{refusal:?}");
        };
        assert!(source.to_string().contains("last day"), "{source}");
        costs_nothing(&world);
    }
    // The room looks by itself: here its clock says that no key can reach that day yet, whatever
    // the owner says of when it sealed.
    let mut world = lasting_by_key(Some(80), Some(90));
    let session = world.granted();
    let refused = world.open_at(session, UnixTime(NOW.0 - 10 * 3_600));
    let fault = refused.unwrap_err();
    let of = |dataset: &DatasetName| dataset.as_str() == "purchases";
    assert!(
        matches!(fault.fault(), OpenFault::Manifest { dataset } if of(dataset)),
        "{fault:?}"
    );
    let session = world.granted();
    world.open_at(session, NOW).unwrap();
}

fn over(refusal: &Refusal) {
    assert_eq!(refusal.kind(), RefusalKind::Policy);
    assert!(matches!(refusal, Refusal::PastLastDay(_)), "{refusal:?}");
    let text = refusal.to_string();
    for part in [
        "`purchases` was sealed until the end of 2027-01-14",
        "`match run`",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// With a last day of the shop's purchases the shop refuses from the next day on, which is today,
/// and that costs nobody.
pub fn refused_past_the_day(until: impl Fn(&str) -> World, over: impl Fn(&Refusal)) {
    for (day, counts) in [("2027-01-14", false), ("2027-01-15", true)] {
        let mut world = until(day);
        let mut session = world.session();
        match (world.reserve(&mut session, "shop"), counts) {
            (Ok(()), true) => {}
            (Err(refusal), false) => {
                over(&refusal);
                costs_nothing(&world);
            }
            (other, _) => panic!("{day}: {other:?}"),
        }
        // Whom the data do not belong to has nothing to refuse.
        world.reserve(&mut session, "mailer").unwrap();
    }
}

/// The same where the day ends between reserving and committing.
pub fn refused_between_the_rounds(until: impl Fn(&str) -> World, over: impl Fn(&Refusal)) {
    let mut world = until("2027-01-14");
    let mut session = world.session();
    let evidence = world.evidence(&session, "shop");
    let day_before = UnixTime(NOW.0 - 86_400);
    let reserved = world
        .reserve_at(&session, "shop", &evidence, day_before)
        .unwrap();
    session.reservations.push(reserved.reservation().clone());
    session.reserved.insert(name("shop"), reserved);
    world.reserve(&mut session, "mailer").unwrap();
    over(&world.commit(&session, "shop").unwrap_err());
    assert_eq!(world.spent("shop"), PrivacyLoss::default());
}

#[test]
fn i4_past_its_last_day_an_owner_releases_no_key() {
    refused_past_the_day(lasting, over);
}

#[test]
fn i4_a_day_that_ends_between_the_rounds_releases_no_key() {
    refused_between_the_rounds(lasting, over);
}

#[test]
fn i4_a_day_that_ends_before_grants_are_opened_opens_none() {
    let day: Date = "2027-01-14".parse().unwrap();
    let mut world = lasting("2027-01-14");
    world.now = UnixTime(day.end().0 - 20);
    world.expires = day.end().plus(1800);
    let session = world.granted();
    let late = world.open_at(session, day.end().plus(1)).unwrap_err();
    assert!(
        matches!(late.fault(), OpenFault::PastLastDay(over) if over.day == day),
        "{late:?}"
    );
    let session = world.granted();
    world.open_at(session, day.end()).unwrap();
}
