//! Who is refused, and why: by name.

use incamera_keys::SigningKey;
use incamera_matching::statement::KeyStatement;
use incamera_net::services::evaluate_frame::Frame;
use incamera_net::services::{CeremonyBegin, EvaluateReady, KeysRequest, ceremony_frame::Step};
use incamera_net::status::Problem;
use incamera_oprf::session::Hello;
use incamera_types::{AgreementDigest, Digest as _, MatchingEpoch, UnixTime};
use incamera_wire::v1::{ProviderKeys, ProviderKeysFile, Signed};

use crate::asking::{Session, hello, points};
use crate::world::{Client, Terms, World};

const SET: [&str; 2] = ["alpha", "beta"];

async fn refused(client: &mut Client, hello: &Hello) -> String {
    let refused = Session::open(client, hello).await.err().unwrap();
    refused.code().to_owned()
}

#[tokio::test]
async fn only_owners_of_data_are_evaluated_under_their_own_keys() {
    let world = World::with_key(Terms::default()).await;
    let greeting = hello(&world, &SET, 1);
    let named = |party: &str| Hello {
        party: party.parse().unwrap(),
        ..greeting.clone()
    };
    for (caller, claimed, code) in [
        ("agency", "agency", "not-the-party"),
        ("agency", "shop", "not-the-party"),
        ("shop", "mailer", "not-the-party"),
        ("alpha", "shop", "not-the-party"),
        ("beta", "beta", "not-the-party"),
    ] {
        let mut client = world.client("alpha", caller).await;
        assert_eq!(
            refused(&mut client, &named(claimed)).await,
            code,
            "{caller}"
        );
    }
    let stranger = SigningKey::generate(&mut rand::rng());
    for key in [Some(&stranger), None] {
        let mut client = world.client_with("alpha", key).await;
        assert_eq!(refused(&mut client, &greeting).await, "not-a-party");
        let request = KeysRequest {
            agreement_digest: world.digest(),
        };
        let keys = client.keys(request).await.unwrap_err();
        assert_eq!(Problem::from_status(&keys).code(), "not-a-party");
    }
    // The control.
    let mut client = world.client("alpha", "mailer").await;
    Session::open(&mut client, &named("mailer")).await.unwrap();
}

#[tokio::test]
async fn a_session_of_another_matter_is_refused() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let good = hello(&world, &SET, 1);
    let set = |names: &[&str]| Hello {
        providers: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..good.clone()
    };
    let digest = AgreementDigest::from_bytes([9; 32]);
    let cases = [
        (
            Hello {
                agreement_digest: digest,
                ..good.clone()
            },
            "agreement-unknown",
        ),
        (
            Hello {
                epoch: MatchingEpoch(9),
                ..good.clone()
            },
            "other-epoch",
        ),
        // Where the agreement was before.
        (
            Hello {
                epoch: MatchingEpoch(0),
                ..good.clone()
            },
            "other-epoch",
        ),
        (
            Hello {
                id_kind: "plain".parse().unwrap(),
                ..good.clone()
            },
            "other-kind",
        ),
        (
            Hello {
                number: 2,
                ..good.clone()
            },
            "other-key-statement",
        ),
        (
            Hello {
                number: 0,
                ..good.clone()
            },
            "other-key-statement",
        ),
        // Of two that evaluate together: one, three, two others, one twice, in another order,
        // one that holds no share.
        (set(&["alpha"]), "other-providers"),
        (set(&["alpha", "beta", "gamma"]), "other-providers"),
        (set(&["beta", "gamma"]), "other-providers"),
        (set(&["alpha", "alpha"]), "other-providers"),
        (set(&["beta", "alpha"]), "other-providers"),
        (set(&["alpha", "shop"]), "other-providers"),
        (set(&[]), "other-providers"),
    ];
    for (hello, code) in cases {
        assert_eq!(refused(&mut client, &hello).await, code, "{hello:?}");
    }
    let first = Frame::Ready(EvaluateReady::default());
    let no_hello = Session::greet(&mut client, first).await.err().unwrap();
    assert_eq!(no_hello.code(), "malformed-message");
    // Nothing of that was counted as a run.
    for _ in 0..world.terms.max_runs {
        let hello = Hello {
            nonce: rand::random(),
            ..good.clone()
        };
        Session::open(&mut client, &hello).await.unwrap();
    }
}

/// A newer version that all have signed may give a party less: what it opened under the one
/// before ends.
#[tokio::test]
async fn a_session_ends_with_the_version_that_it_was_opened_under() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let mut session = Session::open(&mut client, &hello(&world, &SET, 1))
        .await
        .unwrap();
    session.ask(0, &points(&["pia"])).await.unwrap();
    world.next_version("");
    let ended = session.ask(1, &points(&["zoe"])).await.unwrap_err();
    assert_eq!(ended.code(), "agreement-superseded");
}

#[tokio::test]
async fn without_a_key_nothing_is_evaluated() {
    let world = World::new(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    assert_eq!(
        refused(&mut client, &hello(&world, &SET, 1)).await,
        "no-key"
    );
    let refused = world.refresh().await.unwrap_err();
    assert_eq!(crate::ceremonies::refusal(refused).code(), "no-key");
}

/// The key's ninety days are over: the store says so, since a clock cannot be turned.
#[tokio::test]
async fn a_key_whose_time_is_over_evaluates_nothing() {
    let world = World::with_key(Terms {
        providers: &["alpha"],
        threshold: 1,
        ..Terms::default()
    })
    .await;
    let mut client = world.client("alpha", "shop").await;
    let hello = hello(&world, &["alpha"], 1);
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    let day = 24 * 60 * 60;
    let good = world.statement("alpha").await;
    for (moved, opens) in [(91 * day, false), (-day, false), (89 * day, true)] {
        set_statement(&world, &moved_back(&world, &good, moved));
        let opened = Session::open(&mut client, &hello).await;
        match opens {
            true => drop(opened.unwrap()),
            false => assert_eq!(opened.err().unwrap().code(), "key-expired"),
        }
    }
    // The session was opened when the key was good.
    set_statement(&world, &good);
    session.ask(0, &points(&["pia@example.net"])).await.unwrap();
    // One that is open when the time ends is at its end.
    set_statement(&world, &moved_back(&world, &good, 90 * day - 4));
    let mut last = Session::open(&mut client, &hello).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let over = last.ask(1, &points(&["pia@example.net"])).await;
    assert_eq!(over.unwrap_err().code(), "key-expired");
}

/// A party of the agreement that is none of its providers evaluates for nobody and makes no keys.
#[tokio::test]
async fn a_party_that_is_no_provider_serves_nobody() {
    let mut world = World::with_key(Terms::default()).await;
    world.start("agency").await;
    let mut client = world.client("agency", "shop").await;
    let code = refused(&mut client, &hello(&world, &SET, 1)).await;
    assert_eq!(code, "not-a-provider-here");
    let UnixTime(valid_from) = incamera_net::agreements::now();
    let begin = Step::Begin(CeremonyBegin { valid_from });
    let begun = world.step("beta", "agency", false, begin).await;
    assert_eq!(begun.unwrap_err().code(), "not-a-provider-here");
}

/// The statement as if it had been made so many seconds before.
pub fn moved_back(world: &World, file: &[u8], seconds: i64) -> Vec<u8> {
    let mut file: ProviderKeysFile = incamera_wire::decode(file, 1 << 20).unwrap();
    let mut body: ProviderKeys = incamera_wire::decode(&file.body, 1 << 20).unwrap();
    body.valid_from = body.valid_from.strict_sub_signed(seconds);
    body.valid_until = body.valid_until.strict_sub_signed(seconds);
    let format = incamera_wire::Format::ProviderKeys;
    let service = &world.parties["alpha"].service;
    let Signed {
        body, signature, ..
    } = incamera_keys::sign_message(service, format, &body).unwrap();
    file = ProviderKeysFile {
        body,
        signatures: vec![signature],
        ..file
    };
    let file = incamera_wire::encode(&file);
    KeyStatement::open(&file, &world.agreed()).unwrap();
    file
}

pub fn set_statement(world: &World, file: &[u8]) {
    let store = rusqlite::Connection::open(world.store("alpha")).unwrap();
    assert_eq!(
        store
            .execute("UPDATE shares SET statement = ?1", [file])
            .unwrap(),
        1
    );
}

/// Owners and strangers make no keys.
#[tokio::test]
async fn only_providers_hold_ceremonies() {
    let world = World::new(Terms::default()).await;
    let begin = |valid_from| Step::Begin(CeremonyBegin { valid_from });
    let UnixTime(now) = incamera_net::agreements::now();
    for caller in ["shop", "agency"] {
        let refused = world
            .step(caller, "alpha", false, begin(now))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "not-a-provider", "{caller}");
    }
    let refused = world
        .step("beta", "alpha", false, begin(now - 7_200))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "clocks-apart");
    world
        .step("beta", "alpha", false, begin(now))
        .await
        .unwrap();
    // What beta began, gamma does not go on with.
    let nonces = Step::Nonces(incamera_net::services::CeremonyNonces::default());
    let refused = world
        .step("gamma", "alpha", false, nonces)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "no-ceremony");
}
