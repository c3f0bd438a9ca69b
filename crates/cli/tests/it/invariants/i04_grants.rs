//! I4: a running broker reserves and commits nothing that lacks a link of the chain.
//!
//! `crates/release` has the same of each check of the chain by itself, and of what types make
//! impossible; `crates/attest` of each way in which evidence fails.

use incamera_keys::{SigningKey, sign_message};
use incamera_net::status::ProblemKind;
use incamera_release::Request;
use incamera_types::{
    AgreementDigest, Digest as _, ManifestDigest, Measurement, RequestDigest, UnixTime,
};
use incamera_wire::v1::{Evidence, RequestEnvelope, Reservation, Signed};
use incamera_wire::{Format, decode, encode};
use tokio::runtime::Runtime;

use super::analyst::{Analyst, HostileRoom, now, refused};
use crate::world::{AGREEMENT, World};

const DAY: &str = "2026-05-31";

/// What a party's books say: what it spent, and how many entries its log has.
fn books(world: &World, party: &str) -> (u64, u64) {
    let status = world.done(&["status", "--party", &world.path(party)]);
    let entries = status.document["agreements"][0]["log_entries"]
        .as_u64()
        .unwrap();
    (status.number("/spent/rho"), entries)
}

/// One world for all: each refusal leaves it as it was, and the last step shows that, where
/// nothing is missing, the same brokers do grant.
#[test]
fn i4_nothing_is_granted_unless_the_chain_is_whole() {
    let world = World::ready();
    let analyst = Analyst::ana(&world);
    Runtime::new().unwrap().block_on(async {
        let room = HostileRoom::of(&analyst);
        requests(&room).await;
        evidence(&room).await;
        reservations(&room).await;
        own_rules(&world, &room).await;
        assert_eq!(
            (books(&world, "shop"), books(&world, "mailer")),
            ((0, 0), (0, 0))
        );
        whole(&room).await;
    });
    let (spent, entries) = books(&world, "shop");
    assert!(spent > 0);
    assert_eq!((books(&world, "mailer"), entries), ((spent, 1), 1));
}

/// The request altered after it was signed.
fn altered(signed: &Signed, change: impl FnOnce(&mut RequestEnvelope)) -> Signed {
    let mut envelope: RequestEnvelope = decode(&signed.body, usize::MAX).unwrap();
    change(&mut envelope);
    Signed {
        body: encode(&envelope),
        ..signed.clone()
    }
}

/// Requests that no analyst of the agreement made like this, each with evidence in order.
async fn requests(room: &HostileRoom<'_>) {
    let analyst = room.analyst;
    let (request, stranger) = (analyst.request(DAY), SigningKey::generate(&mut rand::rng()));
    let (signed, digest) = (analyst.sign(&request), request.digest());
    let soon = now().plus(600);
    let taken = "the request is not taken as it is";
    let unsigned = Signed {
        signature: Vec::new(),
        ..signed.clone()
    };
    let as_signed_by = |who, expires, key| analyst.sign_as(who, &request, expires, key);
    for (attempt, why) in [
        (unsigned, taken),
        (
            altered(&signed, |envelope| envelope.reason.push('!')),
            taken,
        ),
        (altered(&signed, |envelope| envelope.expires += 60), taken),
        (
            altered(&signed, |envelope| envelope.nonce = vec![0; 16]),
            taken,
        ),
        (as_signed_by("mailer/ana", soon, &stranger), taken),
        (
            as_signed_by("mailer/eve", soon, &stranger),
            "knows no such analyst",
        ),
        (
            as_signed_by("shop/ana", soon, &analyst.key),
            "knows no such analyst",
        ),
        (as_signed_by("mailer/ana", now(), &analyst.key), "expired"),
        (
            as_signed_by("mailer/ana", now().plus(90_000), &analyst.key),
            "is good for more than",
        ),
    ] {
        refused(
            room.reserve("shop", attempt, digest).await,
            ProblemKind::Refused,
            why,
        );
    }
    for (request, why) in other_requests(analyst) {
        let attempt = room
            .reserve("shop", analyst.sign(&request), request.digest())
            .await;
        refused(attempt, ProblemKind::Refused, why);
    }
    for (message, why) in other_messages(&request) {
        let envelope = RequestEnvelope {
            request: Some(message),
            analyst: "mailer/ana".into(),
            reason: String::new(),
            nonce: vec![1; 16],
            expires: soon.0,
            ..RequestEnvelope::default()
        };
        let attempt = sign_message(&analyst.key, Format::Request, &envelope).unwrap();
        refused(
            room.reserve("shop", attempt, digest).await,
            ProblemKind::Refused,
            why,
        );
    }
}

/// Well signed, but for data or a purpose that are not to be had.
fn other_requests(analyst: &Analyst) -> Vec<(Request, &'static str)> {
    let mut older = analyst.manifests.clone();
    older.insert(
        "purchases".parse().unwrap(),
        ManifestDigest::from_bytes([1; 32]),
    );
    let (lift, today) = ("lift".parse().unwrap(), analyst.request(DAY));
    let params = today.params().clone();
    let older = Request::new(
        &analyst.agreement,
        &lift,
        params,
        &older,
        analyst.measurement,
    )
    .unwrap();
    vec![
        (
            older,
            "names another version of data set `purchases` than the newest",
        ),
        (
            today.for_purpose("ads".parse().unwrap()),
            "serves the purpose `measurement` and no other",
        ),
    ]
}

/// Well signed, but nothing that the agreement allows: what [`Request::new`] does not make.
fn other_messages(request: &Request) -> Vec<(incamera_wire::v1::Request, &'static str)> {
    let message = request.to_wire();
    let with = |change: &dyn Fn(&mut incamera_wire::v1::Request)| {
        let mut message = message.clone();
        change(&mut message);
        message
    };
    vec![
        (
            with(&|message| message.measurement = vec![9; 32]),
            "measurement that the agreement does not accept",
        ),
        (
            with(&|message| message.agreement_digest = vec![9; 32]),
            "no agreement with digest",
        ),
        (
            with(&|message| message.query = "another".into()),
            "approves no query of this name",
        ),
        (
            with(&|message| drop(message.params.pop())),
            "parameter `until` is missing",
        ),
        (
            with(&|message| drop(message.manifests.pop())),
            "one manifest for each data set",
        ),
    ]
}

/// A request in order, with evidence that is not.
async fn evidence(room: &HostileRoom<'_>) {
    let analyst = room.analyst;
    let request = analyst.request(DAY);
    let (signed, digest, agreement) = (
        analyst.sign(&request),
        request.digest(),
        analyst.agreement.digest,
    );
    let other = RequestDigest::from_bytes([3; 32]);
    let bound = "not bound to this challenge, these keys, this agreement and this request";
    let of = |measurement, challenge, agreement, request, at| {
        room.evidence_of(measurement, challenge, agreement, request, at)
    };
    let code = Measurement::from_bytes([4; 32]);
    let fresh = || room.challenge("shop");
    let mut attempts = vec![
        (room.push_evidence(fresh().await), bound),
        (room.evidence(fresh().await, other), bound),
        (
            of(
                analyst.measurement,
                fresh().await,
                AgreementDigest::from_bytes([3; 32]),
                digest,
                now(),
            ),
            bound,
        ),
        (
            of(code, fresh().await, agreement, digest, now()),
            "the room's code measures",
        ),
        (
            of(
                analyst.measurement,
                fresh().await,
                agreement,
                digest,
                UnixTime(now().0 - 3600),
            ),
            "s old",
        ),
        (room.evidence([5; 32], digest), "challenge is unknown"),
        (
            room.evidence(room.challenge("mailer").await, digest),
            "challenge is unknown",
        ),
    ];
    let mut labelled = room.push_evidence(fresh().await);
    labelled.request_digest = digest.as_bytes().to_vec();
    attempts.push((labelled, bound));
    let mut swapped = room.evidence(fresh().await, digest);
    swapped.keys = HostileRoom::of(analyst)
        .evidence(fresh().await, digest)
        .keys;
    attempts.push((swapped, bound));
    for (kind, why) in [("sev-snp", "does not accept"), ("nonsense", "kind")] {
        let mut other_kind = room.evidence(fresh().await, digest);
        let body = other_kind.evidence.take().unwrap().body;
        other_kind.evidence = Some(Evidence {
            kind: kind.into(),
            body,
            collateral: Vec::new(),
        });
        attempts.push((other_kind, why));
    }
    let mut forged = room.evidence(fresh().await, digest);
    if let Some(byte) = forged
        .evidence
        .as_mut()
        .and_then(|evidence| evidence.body.last_mut())
    {
        *byte ^= 1;
    }
    attempts.push((forged, "genuine"));
    let mut none = room.evidence(fresh().await, digest);
    none.evidence = None;
    attempts.push((none, "missing or malformed"));
    for (evidence, why) in attempts {
        let attempt = room.reserve_with("shop", signed.clone(), evidence).await;
        refused(attempt, ProblemKind::Attestation, why);
    }
}

/// Reservations that are not all owners' for this request and room key.
async fn reservations(room: &HostileRoom<'_>) {
    let analyst = room.analyst;
    let (request, later) = (analyst.request(DAY), analyst.request("2026-06-30"));
    let (signed, digest) = (analyst.sign(&request), request.digest());
    let unknown = "no open reservation";
    refused(
        room.commit("shop", digest, &[]).await,
        ProblemKind::Conflict,
        unknown,
    );

    // A used challenge is no fresh one: the same request and evidence again.
    let evidence = room.evidence(room.challenge("shop").await, digest);
    let shop = room
        .reserve_with("shop", signed.clone(), evidence.clone())
        .await
        .unwrap();
    let replayed = room.reserve_with("shop", signed.clone(), evidence).await;
    refused(replayed, ProblemKind::Attestation, "challenge is unknown");

    let mailer = room
        .reserve("mailer", signed.clone(), digest)
        .await
        .unwrap();
    let for_later = room
        .reserve("mailer", analyst.sign(&later), later.digest())
        .await
        .unwrap();
    let other_room = HostileRoom::of(analyst);
    let for_other = other_room.reserve("mailer", signed, digest).await.unwrap();
    let forged = {
        let body: Reservation = decode(&mailer.body, usize::MAX).unwrap();
        sign_message(&analyst.key, Format::Reservation, &body).unwrap()
    };
    let longer = {
        let mut body: Reservation = decode(&mailer.body, usize::MAX).unwrap();
        body.expires += 60;
        Signed {
            body: encode(&body),
            ..mailer.clone()
        }
    };
    let all = "not every owner";
    for (reservations, why) in [
        (vec![shop.clone()], all),
        (vec![mailer.clone(), shop.clone(), shop.clone()], all),
        (
            vec![shop.clone(), mailer.clone()],
            "reservation of `mailer`",
        ),
        (
            vec![forged, shop.clone()],
            "reservation of `mailer` is not signed by its service key",
        ),
        (
            vec![longer, shop.clone()],
            "reservation of `mailer` is not signed by its service key",
        ),
        (
            vec![for_later, shop.clone()],
            "reservation of `mailer` is for another request",
        ),
        (
            vec![for_other, shop.clone()],
            "reservation of `mailer` is for another room key",
        ),
    ] {
        refused(
            room.commit("shop", digest, &reservations).await,
            ProblemKind::Conflict,
            why,
        );
    }
    // The other's alone, and a request that was not reserved here.
    refused(
        room.commit("shop", digest, std::slice::from_ref(&mailer))
            .await,
        ProblemKind::Conflict,
        unknown,
    );
    let both = [mailer, shop];
    refused(
        room.commit("shop", later.digest(), &both).await,
        ProblemKind::Conflict,
        unknown,
    );
}

/// Whatever the agreement allows, the owner's own configuration may not; a simulated TEE it
/// must allow in so many words (I10).
async fn own_rules(world: &World, room: &HostileRoom<'_>) {
    let (request, config) = (room.analyst.request(DAY), world.path("shop/party.toml"));
    let text = std::fs::read_to_string(&config).unwrap();
    let without = text.replace("insecure_accept_simulated = true", "");
    assert_ne!(text, without);
    for (text, line, why) in [
        (&without, "", "grants nothing to a simulated TEE"),
        (&text, "paused = true", "has paused all releases"),
        (
            &text,
            "refused_queries = [\"lift\"]",
            "own rules do not permit",
        ),
        (
            &text,
            "refused_analysts = [\"mailer/ana\"]",
            "own rules do not permit",
        ),
    ] {
        std::fs::write(&config, text).unwrap();
        world.configure("shop/party.toml", line);
        restart_shop(world);
        let attempt = room
            .reserve("shop", room.analyst.sign(&request), request.digest())
            .await;
        refused(attempt, ProblemKind::Refused, why);
    }
    let (token, digest) = (room.analyst.token(), request.digest());
    for (line, why) in [
        ("tokens = false".to_owned(), "takes no questions by tokens"),
        (
            format!("refused_tokens = [\"{}\"]", token.digest()),
            "does not permit this token",
        ),
    ] {
        std::fs::write(&config, &text).unwrap();
        world.configure("shop/party.toml", &line);
        restart_shop(world);
        let by_token = request.sign_by_token(&token, now().plus(600), &mut rand::rng());
        let attempt = room.reserve("shop", by_token.unwrap(), digest).await;
        refused(attempt, ProblemKind::Refused, why);
        let signed = room.analyst.sign(&request);
        room.reserve("shop", signed, digest).await.unwrap();
    }
    std::fs::write(&config, &text).unwrap();
    restart_shop(world);
}

fn restart_shop(world: &World) {
    world.stage.stop("shop");
    world.start_party("shop", &[]);
}

/// Nothing missing: both grant.
async fn whole(room: &HostileRoom<'_>) {
    let request = room.analyst.request(DAY);
    let (signed, digest) = (room.analyst.sign(&request), request.digest());
    let mut reservations = Vec::new();
    for party in ["mailer", "shop"] {
        reservations.push(room.reserve(party, signed.clone(), digest).await.unwrap());
    }
    for party in ["mailer", "shop"] {
        room.commit(party, digest, &reservations).await.unwrap();
    }
}

/// No newer version may be known, and all signatures must hold. Needs no data.
#[test]
fn i4_a_superseded_or_unsigned_agreement_grants_nothing() {
    let world = World::agreed();
    world.start_party("shop", &[]);
    let digests = ["customers", "purchases", "mailing"].map(|dataset| {
        (
            dataset.parse().unwrap(),
            ManifestDigest::from_bytes([1; 32]),
        )
    });
    let analyst = Analyst {
        agreement: super::support::Holdings(world.root()).agreement(),
        key: super::support::Holdings(world.root()).key("mailer/analysts/ana"),
        measurement: world
            .done(&["room", "measure"])
            .text("/measurement")
            .parse()
            .unwrap(),
        manifests: digests.into(),
    };
    let room = HostileRoom::of(&analyst);
    let request = analyst.request(DAY);
    let runtime = Runtime::new().unwrap();
    let ask = || {
        let (signed, digest) = (analyst.sign(&request), request.digest());
        runtime.block_on(async {
            let evidence = room.evidence([0; 32], digest);
            room.reserve_with("shop", signed, evidence).await
        })
    };
    // In force, only the data are not there: the chain went past the agreement.
    refused(
        ask(),
        ProblemKind::Refused,
        "names another version of data set",
    );

    let signature = world.path(&format!("shop/agreements/{AGREEMENT}.toml.mailer.sig"));
    let held = std::fs::read(&signature).unwrap();
    std::fs::remove_file(&signature).unwrap();
    refused(
        ask(),
        ProblemKind::Refused,
        "lacks a valid signature of `mailer`",
    );
    let theirs = world.path(&format!("shop/agreements/{AGREEMENT}.toml.shop.sig"));
    std::fs::copy(theirs, &signature).unwrap();
    refused(
        ask(),
        ProblemKind::Refused,
        "lacks a valid signature of `mailer`",
    );
    std::fs::write(&signature, held).unwrap();
    refused(
        ask(),
        ProblemKind::Refused,
        "names another version of data set",
    );

    world.second_at_parties(|text| text);
    refused(
        ask(),
        ProblemKind::Refused,
        "version 2 of this agreement is in force",
    );
}
