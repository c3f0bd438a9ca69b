//! The whole chain, as it should go.

use incamera_ledger::LedgerError;
use incamera_release::{Refusal, RefusalKind, Request, verify_request};
use incamera_seal::PartKeys;
use incamera_types::PrivacyLoss;

use crate::world::{NOW, World, measurement, name, noise};

/// All columns read of all parts that open for the purpose, and nothing else.
#[test]
fn every_owner_grants_what_the_query_reads() {
    let mut world = World::new();
    let session = world.granted();
    let opened = world.open(session).unwrap();
    for (dataset, columns) in [
        ("customers", vec!["person"]),
        ("purchases", vec!["amount", "day", "person"]),
        ("mailing", vec!["mailed", "person"]),
    ] {
        let manifest = &world.manifests[dataset];
        let mut open = 0;
        for part in manifest.parts() {
            let keys = opened.part_keys(&name(dataset), &part.file_id);
            assert_eq!(keys.is_some(), part.opens_for(&name("measurement")));
            let found = |keys: &PartKeys| -> Vec<String> {
                keys.columns().map(ToString::to_string).collect()
            };
            open += usize::from(keys.is_some());
            assert!(keys.is_none_or(|keys| found(keys) == columns), "{dataset}");
        }
        assert!(open > 0);
    }
    assert!(
        world.manifests["customers"]
            .parts()
            .iter()
            .any(|part| !part.opens_for(&name("measurement")))
    );
    assert_eq!(opened.loss(), world.cost());
    assert_eq!(opened.grants().len(), 2);
    assert!(opened.simulated());
    for party in ["shop", "mailer"] {
        assert_eq!(world.spent(party), world.cost());
    }
}

/// A query that reads one owner's data asks and charges that owner alone.
#[test]
fn owners_that_are_not_read_are_not_charged() {
    let mut world = World::new();
    let request = Request::new(
        world.agreement.agreement(),
        &name("buyers"),
        Default::default(),
        &world.digests(),
        measurement(1),
    )
    .unwrap();
    let signed = world.sign(&request);
    let verified = verify_request(&signed, &world.active(), NOW);
    let mut session = world.session_of(verified.unwrap());
    let refused = world.reserve(&mut session, "mailer").unwrap_err();
    assert!(matches!(refused, Refusal::NotRead));
    let session = world.grant(session);
    world.open(session).unwrap();
    assert_eq!(world.spent("mailer"), PrivacyLoss::default());
    assert_ne!(world.spent("shop"), PrivacyLoss::default());
}

/// Another room, another key, another signature of the same request: the same noise, free.
#[test]
fn i8_a_repeat_has_the_same_noise_and_is_free() {
    let mut world = World::new();
    let first = world.granted();
    let first = world.open(first).unwrap();
    let again = world.granted();
    assert!(again.reserved["shop"].repeat());
    let again = world.open(again).unwrap();
    assert_eq!(first.request(), again.request());
    assert_eq!(noise(&first), noise(&again));
    assert_eq!(world.spent("shop"), world.cost());
    let log = |party: &str| {
        world.owners[party]
            .ledger
            .log_size(&world.agreement.id)
            .unwrap()
    };
    assert_eq!((log("shop"), log("mailer")), (2, 2));
}

/// New data: another request, other noise, another charge.
#[test]
fn i8_new_data_have_new_noise() {
    let mut world = World::new();
    let first = world.granted();
    let first = world.open(first).unwrap();
    world.seal("mailing", "email,mailed\na@x,true\nb@x,true\n");
    let second = world.granted();
    let second = world.open(second).unwrap();
    assert_ne!(first.request(), second.request());
    assert_ne!(noise(&first), noise(&second));
    let twice = world.cost().checked_add(world.cost()).unwrap();
    assert_eq!(world.spent("shop"), twice);
}

/// An owner that lost its seed: the charge stays spent, the repeat is charged anew at every
/// owner, with other noise.
#[test]
fn i8_a_changed_seed_on_a_repeat_is_a_new_charge() {
    let mut world = World::new();
    let first = world.granted();
    let first = world.open(first).unwrap();
    world.new_ledger("shop");
    let again = world.granted();
    assert!(!again.reserved["shop"].repeat());
    assert!(again.reserved["mailer"].repeat());
    let again = world.open(again).unwrap();
    assert_ne!(noise(&first), noise(&again));
    let twice = world.cost().checked_add(world.cost()).unwrap();
    assert_eq!(world.spent("mailer"), twice);
}

/// The mailer changes its seed and sends an envelope again that it was given: the shop is not
/// charged for it a second time.
#[test]
fn i8_a_replayed_envelope_is_charged_once() {
    let mut world = World::new();
    let first = world.granted();
    let request = first.request.clone();
    world.new_ledger("mailer");
    let mut replayed = world.session_of(request);
    world.reserve_all(&mut replayed);
    let refused = world.commit(&replayed, "shop").unwrap_err();
    assert!(matches!(
        refused,
        Refusal::Ledger(LedgerError::ChargedBefore)
    ));
    assert_eq!(refused.kind(), RefusalKind::Retry);
    assert_eq!(world.spent("shop"), world.cost());
    // Signed anew it is charged anew.
    world.granted();
    let twice = world.cost().checked_add(world.cost()).unwrap();
    assert_eq!(world.spent("shop"), twice);
}

/// The mailer has new data: the shop forgets the seed of the question over the old, once the
/// mailer has promised for the new.
#[test]
fn seeds_over_superseded_data_of_others_are_erased() {
    let mut world = World::new();
    let old = world.granted();
    let reserve = |world: &mut World| {
        let mut session = world.session_of(old.request.clone());
        world.reserve(&mut session, "shop").unwrap();
        session.reserved["shop"].repeat()
    };
    assert!(reserve(&mut world));
    world.seal("mailing", "email,mailed\na@x,true\nb@x,true\n");
    world.granted();
    assert!(!reserve(&mut world));
}
