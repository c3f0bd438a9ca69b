//! Who calls the room decides what it does for them: a signed request is no secret, and a
//! large message costs the room before it is found to be worth nothing.

use incamera_keys::SigningKey;
use incamera_net::client;
use incamera_net::services::{AnswersRequest, PushFrame, push_frame::Frame};
use incamera_net::status::{Problem, ProblemKind};
use incamera_net::tls::TlsOptions;
use incamera_wire::v1::{SealedAnswer, Signed};
use tokio::runtime::Runtime;

use super::analyst::{Analyst, Answered, ask, asked, refused};
use super::support::Holdings;
use crate::world::{Data, World};

/// Every owner's broker is shown the analyst's signed request. One that is no receiver sends
/// it to the room itself, after the answer was paid for and when a repeat is free.
#[test]
fn an_owner_who_is_no_receiver_gets_no_answer_for_a_captured_request() {
    let world = World::agreed_as(|text| {
        let changed = text.replace("[\"mailer\", \"shop\"]", "[\"mailer\"]");
        assert_ne!(changed, text, "the template's receivers");
        changed
    });
    world.prepare(&Data::small());
    let (analyst, runtime) = (Analyst::ana(&world), Runtime::new().unwrap());
    let captured = analyst.sign(&analyst.request("2026-05-31"));
    let asked_by = |key| runtime.block_on(ask(world.room.listens, captured.clone(), key));
    let answer = asked_by(analyst.key.duplicate()).unwrap().answer;

    let holdings = Holdings(world.root());
    let owner = holdings.key("shop/service_key");
    let stranger = SigningKey::generate(&mut rand::rng());
    for key in [owner, stranger] {
        refused(asked_by(key), ProblemKind::Refused, "no receiver");
    }
    // A receiver's own service gets it, sealed to the party's key.
    let receiver = holdings.key("mailer/service_key");
    let sealed = runtime.block_on(asked(world.room.listens, captured.clone(), receiver));
    let sealed = sealed.unwrap();
    assert!(sealed.release.is_none());
    let opened = holdings.opened("mailer", &sealed.sealed.unwrap());
    assert_eq!(opened.unwrap().answer, answer);
}

/// What the room hands out of its kept answers to a caller.
async fn fetched(world: &World, key: &SigningKey) -> Answered<Vec<SealedAnswer>> {
    let (address, options) = (world.room.listens.to_string(), TlsOptions::default());
    let room = client::connect_unattested(&address, Some(key), &options).await?;
    let answers = client::room(room.channel())
        .answers(AnswersRequest::default())
        .await;
    let mut answers = answers.map_err(Problem::from)?.into_inner();
    let mut all = Vec::new();
    while let Some(event) = answers.message().await.map_err(Problem::from)? {
        all.extend(event.sealed);
    }
    Ok(all)
}

#[test]
fn i6_a_kept_answer_goes_to_its_receiver_alone_and_opens_for_it_alone() {
    let world = World::ready();
    let (analyst, runtime) = (Analyst::ana(&world), Runtime::new().unwrap());
    let signed = analyst.sign(&analyst.request("2026-05-31"));
    let answer = runtime.block_on(ask(world.room.listens, signed, analyst.key.duplicate()));
    let holdings = Holdings(world.root());
    for (party, other) in [("shop", "mailer"), ("mailer", "shop")] {
        let key = holdings.key(&format!("{party}/service_key"));
        let mut all = runtime.block_on(fetched(&world, &key)).unwrap();
        let sealed = all.pop().unwrap();
        assert!(all.is_empty());
        let opened = holdings.opened(party, &sealed).unwrap();
        assert_eq!(opened.answer, answer.as_ref().unwrap().answer);
        assert!(holdings.opened(other, &sealed).is_err());
    }
    for key in [
        analyst.key.duplicate(),
        SigningKey::generate(&mut rand::rng()),
    ] {
        let none = runtime.block_on(fetched(&world, &key));
        refused(none, ProblemKind::Refused, "service key of a party");
    }
}

/// Pushes something that is no manifest.
async fn push(world: &World, key: &SigningKey) -> Answered<()> {
    let (address, options) = (world.room.listens.to_string(), TlsOptions::default());
    let room = client::connect_unattested(&address, Some(key), &options).await?;
    let frame = PushFrame {
        frame: Some(Frame::Manifest(Signed::default())),
    };
    let reply = client::room(room.channel())
        .push(tokio_stream::iter([frame]))
        .await;
    reply.map(drop).map_err(Problem::from)
}

#[test]
fn a_push_is_read_from_owners_alone() {
    let world = World::agreed();
    world.start_room();
    let runtime = Runtime::new().unwrap();
    let stranger = SigningKey::generate(&mut rand::rng());
    let pushed = runtime.block_on(push(&world, &stranger));
    refused(
        pushed,
        ProblemKind::Refused,
        "not the service key of an owner",
    );
    let owner = Holdings(world.root()).key("shop/service_key");
    let pushed = runtime.block_on(push(&world, &owner));
    refused(pushed, ProblemKind::Invalid, "the manifest is malformed");
}
