//! I4: what an owner demands before it holds anything. Each refusal costs nobody.

use incamera_attest::simulated::collect;
use incamera_attest::{AttestError, Binding};
use incamera_ledger::{Ledger, LedgerError};
use incamera_release::{Refusal, RefusalKind, Request, Reserved, verify_request};
use incamera_seal::{Consents, KeyRing, NoKey};
use incamera_types::{AgreementDigest, Digest as _, Params, PrivacyLoss, RequestDigest};
use incamera_wire::v1::BoundEvidence;

use crate::lasting::{refused_between_the_rounds, refused_past_the_day};
use crate::world::{
    CUSTOMERS, MAILING, NOW, PURCHASES, Session, TEMPLATE, World, measurement, name, pseudonym,
    signed,
};

fn refused(result: Result<impl std::fmt::Debug, Refusal>) -> Refusal {
    result.unwrap_err()
}

/// A refusal at the shop, after which nothing is held, charged or logged.
pub fn costs_nothing(world: &World) {
    let ledger = &world.owners["shop"].ledger;
    assert_eq!(ledger.held().unwrap(), PrivacyLoss::default());
    assert_eq!(ledger.spent_in_all().unwrap(), PrivacyLoss::default());
    assert_eq!(ledger.log_size(&world.agreement.id).unwrap(), 0);
}

/// Reserves at the shop with evidence that is made otherwise.
fn with_evidence(
    make: impl FnOnce(&mut World, &Session, BoundEvidence) -> BoundEvidence,
) -> Result<Reserved, Refusal> {
    let mut world = World::new();
    let session = world.session();
    let good = world.evidence(&session, "shop");
    let made = make(&mut world, &session, good);
    let result = world.reserve_with(&session, "shop", &made);
    if result.is_err() {
        costs_nothing(&world);
    }
    result
}

fn attest_error(result: Result<Reserved, Refusal>) -> AttestError {
    let refusal = refused(result);
    assert_eq!(refusal.kind(), RefusalKind::Attestation);
    match refusal {
        Refusal::Attestation(error) => error,
        other => panic!("{other:?}"),
    }
}

/// The same evidence, bound anew.
fn bound(
    session: &Session,
    good: &BoundEvidence,
    change: impl FnOnce(&mut Vec<u8>, &mut AgreementDigest, &mut RequestDigest, &mut [u8; 32]),
) -> BoundEvidence {
    let mut keys = session.keys.clone();
    let claimed = Binding::claimed(good).unwrap();
    let (mut agreement, mut request) = (claimed.agreement(), claimed.request().unwrap());
    let mut challenge = *claimed.challenge();
    change(
        &mut keys.hpke_key,
        &mut agreement,
        &mut request,
        &mut challenge,
    );
    let binding = Binding::for_request(challenge, keys, agreement, request);
    BoundEvidence {
        challenge: good.challenge.clone(),
        ..binding.with(collect(measurement(1), &binding, NOW).unwrap())
    }
}

#[test]
fn good_evidence_passes() {
    with_evidence(|_, _, good| good).unwrap();
}

#[test]
fn i4_evidence_is_bound_to_our_challenge_agreement_and_request() {
    let wrong = AttestError::WrongBinding;
    let agreement = with_evidence(|_, session, good| {
        bound(session, &good, |_, agreement, _, _| {
            *agreement = AgreementDigest::from_bytes([9; 32])
        })
    });
    assert_eq!(attest_error(agreement), wrong);
    let request = with_evidence(|_, session, good| {
        bound(session, &good, |_, _, request, _| {
            *request = RequestDigest::from_bytes([9; 32])
        })
    });
    assert_eq!(attest_error(request), wrong);
    let challenge = with_evidence(|_, session, good| {
        bound(session, &good, |_, _, _, challenge| challenge[0] ^= 1)
    });
    assert_eq!(attest_error(challenge), wrong);
}

/// Evidence of a good room, passed on by one that would like the keys for itself.
#[test]
fn i4_relayed_evidence_is_refused() {
    let relayed = with_evidence(|world, session, good| {
        let other = world.session_of(session.request.clone());
        BoundEvidence {
            keys: Some(other.keys),
            ..good
        }
    });
    assert_eq!(attest_error(relayed), AttestError::WrongBinding);
}

#[test]
fn i4_evidence_without_a_request_releases_nothing() {
    let push = with_evidence(|world, session, good| {
        let challenge = good.challenge.as_slice().try_into().unwrap();
        let digest = world.agreement.digest;
        let binding = Binding::for_push(challenge, session.keys.clone(), digest);
        BoundEvidence {
            keys: Some(session.keys.clone()),
            ..binding.with(collect(measurement(1), &binding, NOW).unwrap())
        }
    });
    assert_eq!(attest_error(push), AttestError::WrongBinding);
    let none = with_evidence(|_, _, good| BoundEvidence {
        evidence: None,
        ..good
    });
    assert!(matches!(refused(none), Refusal::NoEvidence));
    let keyless = with_evidence(|_, _, good| BoundEvidence { keys: None, ..good });
    assert!(matches!(refused(keyless), Refusal::NoEvidence));
}

#[test]
fn i4_other_code_is_refused() {
    let of = |of: u8| {
        with_evidence(move |world, session, good| {
            let challenge = good.challenge.as_slice().try_into().unwrap();
            let (agreement, request) = (world.agreement.digest, session.request.digest());
            let keys = session.keys.clone();
            let binding = Binding::for_request(challenge, keys, agreement, request);
            binding.with(collect(measurement(of), &binding, NOW).unwrap())
        })
    };
    let found = measurement(9);
    assert_eq!(attest_error(of(9)), AttestError::WrongMeasurement { found });
    // Accepted by the agreement, but not what the request names.
    assert!(matches!(refused(of(2)), Refusal::OtherMeasurement));
}

#[test]
fn i4_old_evidence_and_old_challenges_are_refused() {
    let stale = with_evidence(|world, session, good| {
        let binding = Binding::for_request(
            good.challenge.as_slice().try_into().unwrap(),
            session.keys.clone(),
            world.agreement.digest,
            session.request.digest(),
        );
        let before = incamera_types::UnixTime(NOW.0 - 3600);
        binding.with(collect(measurement(1), &binding, before).unwrap())
    });
    assert!(matches!(attest_error(stale), AttestError::Stale { .. }));
    // The same evidence twice: its challenge is used up.
    let mut world = World::new();
    let session = world.session();
    let evidence = world.evidence(&session, "shop");
    world.reserve_with(&session, "shop", &evidence).unwrap();
    let replayed = refused(world.reserve_with(&session, "shop", &evidence));
    assert!(matches!(replayed, Refusal::Challenge));
    // A challenge of another owner.
    let elsewhere = world.evidence(&session, "mailer");
    let refusal = refused(world.reserve_with(&session, "shop", &elsewhere));
    assert!(matches!(refusal, Refusal::Challenge));
}

#[test]
fn i4_changed_evidence_is_refused() {
    let changed = with_evidence(|_, _, mut good| {
        good.evidence.as_mut().unwrap().body[5] ^= 1;
        good
    });
    attest_error(changed);
}

/// A newer manifest supersedes every request that names the one before.
#[test]
fn i4_an_old_manifest_is_refused() {
    let mut world = World::new();
    let mut session = world.session();
    world.seal("purchases", crate::world::PURCHASES);
    let refusal = refused(world.reserve(&mut session, "shop"));
    match &refusal {
        Refusal::NotNewest { dataset } => assert_eq!(dataset.as_str(), "purchases"),
        other => panic!("{other:?}"),
    }
    assert_eq!(refusal.kind(), RefusalKind::Policy);
    costs_nothing(&world);
    // The mailer's own are still its newest: it does not judge the shop's.
    world.reserve(&mut session, "mailer").unwrap();
}

#[test]
fn i4_the_owners_own_rules_decide() {
    let rules: [(fn(&mut World), fn(&Refusal) -> bool); 4] = [
        (
            |world| world.owner("shop").rules.paused = true,
            |refusal| matches!(refusal, Refusal::Paused),
        ),
        (
            |world| world.owner("shop").rules.insecure_accept_simulated = false,
            |refusal| matches!(refusal, Refusal::Simulated),
        ),
        (
            |world| {
                let rules = &mut world.owner("shop").rules;
                rules.refused_queries.insert(name("lift"));
            },
            |refusal| matches!(refusal, Refusal::NotPermitted),
        ),
        (
            |world| {
                let rules = &mut world.owner("shop").rules;
                rules.refused_analysts.insert(name("mailer/ana"));
            },
            |refusal| matches!(refusal, Refusal::NotPermitted),
        ),
    ];
    for (rule, expected) in rules {
        let mut world = World::new();
        rule(&mut world);
        let mut session = world.session();
        let refusal = refused(world.reserve(&mut session, "shop"));
        assert!(expected(&refusal), "{refusal:?}");
        costs_nothing(&world);
    }
}

/// Simulation is refused unless an owner has said otherwise.
#[test]
fn i10_the_default_rules_refuse_simulation() {
    assert!(!incamera_release::OwnRules::default().insecure_accept_simulated);
}

/// Keys that do not exist are found missing before anything is held.
#[test]
fn i4_a_missing_key_costs_nobody() {
    let mut world = World::new();
    let mut session = world.session();
    let path = world.folder.path().join("other.age");
    let passphrase = incamera_keys::SecretString::from("another");
    let mut rng = world.rng.clone();
    world.owner("shop").ring =
        KeyRing::create_with_work_factor(&path, &passphrase, 1, &mut rng).unwrap();
    let refusal = refused(world.reserve(&mut session, "shop"));
    assert!(matches!(
        refusal,
        Refusal::NoKey(NoKey::NoPurposeKey { .. })
    ));
    // Told to whoever asks: an owner that took something away has yet to push.
    assert_eq!(refusal.kind(), RefusalKind::Policy);
    assert!(refusal.to_string().contains("data push"));
    costs_nothing(&world);
}

#[test]
fn i4_the_budget_must_suffice() {
    let mut world = World::new();
    world.owner("shop").population = PrivacyLoss::default();
    let mut session = world.session();
    let refusal = refused(world.reserve(&mut session, "shop"));
    assert!(matches!(
        refusal,
        Refusal::Ledger(LedgerError::BudgetExhausted { .. })
    ));
    assert_eq!(refusal.kind(), RefusalKind::Budget);
    costs_nothing(&world);
    // The other owner's budget is its own.
    world.reserve(&mut session, "mailer").unwrap();
}

/// The agreement's ceiling stops new requests; a repeat passes.
#[test]
fn i4_the_agreements_ceiling_stops_new_requests_but_no_repeat() {
    let mut world = World::new();
    for party in ["shop", "mailer"] {
        let ceiling = world.agreement.ceiling(&name(party)).unwrap();
        assert!(ceiling.within(&world.owners[party].population));
    }
    let mut runs = 0;
    let stopped = loop {
        let mut session = world.session();
        if let Err(refusal) = world.reserve(&mut session, "mailer") {
            break refusal;
        }
        world.reserve(&mut session, "shop").unwrap();
        world.commit(&session, "mailer").unwrap();
        world.commit(&session, "shop").unwrap();
        runs += 1;
        // The repeat is free, also when nothing is left.
        let repeat = world.granted();
        world.open(repeat).unwrap();
        world.seal("mailing", crate::world::MAILING);
    };
    assert_eq!(stopped.kind(), RefusalKind::Budget);
    assert!((2..10).contains(&runs), "{runs}");
}

/// A question about purchases alone: it names no version of the register.
fn baskets(world: &mut World) -> Session {
    let agreement = world.agreement.agreement().clone();
    let digests = world.digests();
    let query = name("baskets");
    let params = Params::default();
    let request = Request::new(&agreement, &query, params, &digests, measurement(1)).unwrap();
    let signed = world.sign(&request);
    let verified = verify_request(&signed, &world.active(), NOW).unwrap();
    world.session_of(verified)
}

/// Nobody agrees to measurement any more.
const WITHDRAWN: &str = "email,consent\na@x,ads\nb@x,\nc@x,ads\nd@x,\n";

fn sealed_by_other_consents(world: &mut World) {
    let mut session = baskets(world);
    let refusal = refused(world.reserve(&mut session, "shop"));
    assert!(
        matches!(refusal, Refusal::ConsentsChanged { .. }),
        "{refusal:?}"
    );
}

fn open_once_sealed_again(world: &mut World) {
    world.seal("purchases", PURCHASES);
    let mut session = baskets(world);
    world.reserve(&mut session, "shop").unwrap();
}

/// Consent is withdrawn in the register: what was sealed before opens no more, also where the
/// register itself is not read, until it is sealed again.
#[test]
fn i3_withdrawn_consent_stops_data_sealed_before() {
    let mut world = World::new();
    let mut session = baskets(&mut world);
    world.reserve(&mut session, "shop").unwrap();
    world.seal("customers", WITHDRAWN);
    let purchases = name("purchases");
    for mut session in [baskets(&mut world), world.session()] {
        let refusal = refused(world.reserve(&mut session, "shop"));
        assert_eq!(refusal.kind(), RefusalKind::Policy);
        match refusal {
            Refusal::ConsentsChanged { dataset } => assert_eq!(dataset, purchases),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.spent("shop"), PrivacyLoss::default());
    open_once_sealed_again(&mut world);
}

/// Data sealed by an older register's consents open nothing, however late that was: neither
/// machines nor clocks of the owner matter.
#[test]
fn i3_data_sealed_by_old_consents_are_refused() {
    let mut world = World::new();
    let old = world.owner("shop").consents.take();
    world.seal("customers", WITHDRAWN);
    let newest = std::mem::replace(&mut world.owner("shop").consents, old);
    world.sealing = NOW.plus(3600);
    world.seal("purchases", PURCHASES);
    sealed_by_other_consents(&mut world);
    // By the newest, though the clock was put back.
    world.owner("shop").consents = newest;
    world.sealing = NOW;
    open_once_sealed_again(&mut world);
}

/// Nor does data sealed by nobody's consents count where the agreement has a register.
#[test]
fn i3_data_sealed_without_consents_are_refused() {
    let mut world = World::new();
    let consents = world.owner("shop").consents.take();
    world.seal("purchases", PURCHASES);
    sealed_by_other_consents(&mut world);
    world.owner("shop").consents = consents;
    open_once_sealed_again(&mut world);
}

/// Consent withdrawn between the two rounds.
#[test]
fn i3_withdrawn_consent_stops_a_promise() {
    let mut world = World::new();
    let mut session = baskets(&mut world);
    world.reserve(&mut session, "shop").unwrap();
    world.seal("customers", WITHDRAWN);
    let refusal = world.commit(&session, "shop").unwrap_err();
    assert!(matches!(refusal, Refusal::ConsentsChanged { .. }));
    assert_eq!(world.spent("shop"), PrivacyLoss::default());
}

/// Data without the register that says who agreed to it open nothing.
#[test]
fn i3_data_without_their_register_are_refused() {
    let mut world = World::new();
    world.owner("shop").ledger = Ledger::in_memory(&name("shop")).unwrap();
    let customers = world.manifests.remove("customers").unwrap();
    world.register_again("shop");
    let mut session = baskets(&mut world);
    let refusal = refused(world.reserve(&mut session, "shop"));
    assert!(matches!(refusal, Refusal::NoConsents { .. }), "{refusal:?}");
    world.manifests.insert(name("customers"), customers);
    world.register_again("shop");
    world.reserve(&mut session, "shop").unwrap();
}

/// The register's data were sealed for every purpose while no column of it said who agreed; a
/// newer version of the agreement adds the column. What was sealed before opens no more.
#[test]
fn i3_a_register_sealed_before_it_had_consents_is_refused() {
    let rows = "rows = { customers = 1, purchases";
    let consent = "consent = { type = \"purposes\" }\n";
    let without = TEMPLATE.replacen(consent, "", 1);
    let mut world = World::agreed(&without.replacen("rows = { purchases", rows, 2));
    world.seal("customers", CUSTOMERS);
    world.seal("mailing", MAILING);
    world.seal("purchases", PURCHASES);
    let mut session = world.session();
    world.reserve(&mut session, "shop").unwrap();

    let first = world.agreement.digest;
    let text = String::from_utf8(world.agreement.bytes().to_vec()).unwrap();
    let version = format!("version = 2\nid = \"{first}\"\nfollows = \"{first}\"");
    let columns = "[datasets.customers.columns]\n";
    let text = text.replacen("version = 1", &version, 1).replacen(
        columns,
        &format!("{columns}{consent}"),
        1,
    );
    world.agreement = signed(&text, &world.signs);
    // The purchases follow the newest register that there is: it alone is at fault.
    let (id, register) = (world.agreement.id, world.manifests["customers"].digest());
    let all = [name("ads"), name("measurement")].into_iter().collect();
    let consents = Consents::new(
        id,
        world.agreement.matching.epoch,
        name("customers"),
        register,
        [(pseudonym("a@x").unwrap(), all)],
    );
    world.owner("shop").consents = Some(consents);
    world.seal("purchases", PURCHASES);
    let mut session = world.session();
    match refused(world.reserve(&mut session, "shop")) {
        Refusal::Data { dataset, source } => {
            assert_eq!(dataset, name("customers"));
            assert!(
                source.to_string().contains("source of consents"),
                "{source}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.spent("shop"), PrivacyLoss::default());

    world.seal("customers", CUSTOMERS);
    world.seal("purchases", PURCHASES);
    let mut session = world.session();
    world.reserve(&mut session, "shop").unwrap();
}

/// The test's agreement with a last day of the shop's purchases.
fn kept_until(day: &str) -> World {
    let owner = "[datasets.purchases]\nowner = \"shop\"";
    assert!(TEMPLATE.contains(owner));
    let kept = TEMPLATE.replace(owner, &format!("{owner}\nkeep_until = {day}"));
    World::sealed(&kept)
}

fn over(refusal: &Refusal) {
    assert_eq!(refusal.kind(), RefusalKind::Policy);
    let text = refusal.to_string();
    let Refusal::KeptUntil { dataset, day } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(
        (dataset.as_str(), day.to_string()),
        ("purchases", "2027-01-14".into())
    );
    assert!(
        text.contains("`purchases` was kept until the end of 2027-01-14"),
        "{text}"
    );
}

/// Nothing has expired, the data sets included: the test's day is 2027-01-15.
#[test]
fn i4_a_data_set_past_its_last_day_releases_no_key() {
    refused_past_the_day(kept_until, over);
}

/// A day that ends between the rounds counts.
#[test]
fn i4_a_last_day_that_ends_between_the_rounds_releases_no_key() {
    refused_between_the_rounds(kept_until, over);
}
