//! What a thief can do with which key, and what to do at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use incamera_keys::sign_message;
use incamera_net::client;
use incamera_net::services::AttestRequest;
use incamera_net::tls::TlsOptions;
use incamera_seal::{KeyRing, MANIFEST_FILE, Manifest, open_manifest, unwrap_keys};
use incamera_wire::Format;
use incamera_wire::v1::{self as wire, RoomKeys};

use super::{ELSEWHEN, agree_anew, bad, fresh_keys, good, take_over};
use crate::invariants::support::{Holdings, copy_folder, purpose};
use crate::world::World;

/// Keys of a manifest that a ring unwraps, for every purpose and column.
fn unwraps(manifest: &Manifest, ring: &KeyRing) -> usize {
    let mut opened = 0;
    for to in ["ads", "measurement"] {
        for column in manifest.columns() {
            let keys = unwrap_keys(
                manifest,
                &purpose(to),
                std::slice::from_ref(&column.name),
                ring,
            );
            opened += keys.map_or(0, |keys| keys.len());
        }
    }
    opened
}

/// Everything of the shop's, somewhere else.
fn copy_of(world: &World, name: &str) {
    copy_folder(&world.root().join("shop"), &world.root().join(name));
}

/// Until the owner's rules name the analyst, a thief asks until the budget is spent, and each
/// answer stands in the log.
#[test]
fn a_stolen_analyst_key_is_refused_by_the_owner_s_rules_at_once() {
    let world = World::ready();
    let entries = || {
        let status = world.done(&["status", "--party", &world.path("shop")]);
        status.number("/agreements/0/log_entries")
    };
    let before = entries();
    good(world.query(&[]));
    let once = world.spent("shop");
    assert_eq!(entries(), before + 1);
    world.stage.stop("shop");
    world.configure("shop/party.toml", "refused_analysts = [\"mailer/ana\"]");
    world.start_party("shop", &[]);
    // A new question, and the one that was paid for.
    for window in [&ELSEWHEN[..], &[]] {
        bad(&world.query(window), 3, "own rules do not permit");
    }
    assert_eq!((world.spent("shop"), entries()), (once, before + 1));
}

/// With the service key a thief is the party's service, wherever it is dialled: it signs
/// manifests and registers them. It opens nothing, because that needs the ring. A new agreement
/// under another key ends it.
#[test]
fn a_stolen_service_key_poses_as_the_party_and_opens_nothing() {
    let world = World::ready();
    let thief = world.path("thief");
    copy_of(&world, "thief");
    for own in [
        "ring.age",
        "passphrase.txt",
        "signing_key",
        "ledger.sqlite",
        "crosswalks",
        "consents",
    ] {
        let own = format!("{thief}/{own}");
        match Path::new(&own).is_dir() {
            true => fs::remove_dir_all(own).unwrap(),
            false => fs::remove_file(own).unwrap(),
        }
    }
    let (ring, passphrase) = (
        format!("{thief}/ring.age"),
        format!("{thief}/passphrase.txt"),
    );
    fs::write(&passphrase, "battery staple horse\n").unwrap();
    let new = [
        "ring",
        "new",
        "--out",
        &ring,
        "--passphrase-file",
        &passphrase,
    ];
    world.done(&new);
    let holdings = Holdings(world.root());
    let manifest = holdings.manifest("shop", "purchases");
    assert!(unwraps(&manifest, &holdings.ring("shop")) > 0);
    assert_eq!(unwraps(&manifest, &holdings.ring("thief")), 0);
    signs_another_manifest(&holdings);

    // It takes the shop's place: what it registers counts there, and no key can be granted.
    let (shop, mailer) = (world.spent("shop"), world.spent("mailer"));
    world.stage.stop("shop");
    let pose = || {
        let arguments = ["party", "serve", "--party", &thief];
        let log = world.root().join("thief.log");
        world
            .stage
            .start("thief", &arguments, &[], &log, world.shop.listens)
            .unwrap();
    };
    pose();
    good(
        world
            .stage
            .command(&["data", "push", "--party", &thief])
            .unwrap(),
    );
    bad(&world.query(&[]), 3, "key");
    assert_eq!(world.spent("mailer"), mailer);
    world.stage.stop("thief");

    take_over(&world, &fresh_keys(&world, "fresh"), "service");
    world.start_party("shop", &[]);
    agree_anew(&world);
    assert_eq!(world.spent("shop"), shop);
    good(world.query(&[]));
    world.stage.stop("shop");
    copy_folder(
        &world.root().join("shop/agreements"),
        &world.root().join("thief/agreements"),
    );
    pose();
    assert_ne!(world.query(&ELSEWHEN).code, 0, "the thief still poses");
}

/// A manifest that says something else, signed as the owner would.
fn signs_another_manifest(holdings: &Holdings<'_>) {
    let file = holdings.sealed("thief", "purchases").join(MANIFEST_FILE);
    let signed = incamera_seal::read_manifest_file(&file).unwrap();
    let key = holdings.key("thief/service_key");
    let mut body: wire::Manifest = incamera_wire::decode(&signed.body, usize::MAX).unwrap();
    body.sealed_at += 1;
    assert_ne!(incamera_wire::encode(&body), signed.body);
    let forged = sign_message(&key, Format::Manifest, &body).unwrap();
    let owner = holdings.key("shop/service_key").public();
    assert!(open_manifest(&forged, &owner).is_ok());
}

/// The whole folder was copied. What is sealed from then on, by either way, its keys open not.
#[test]
fn a_stolen_ring_opens_nothing_once_data_keys_are_new() {
    let world = World::ready();
    copy_of(&world, "thief");
    let holdings = Holdings(world.root());
    let stolen = holdings.ring("thief");
    let pushed = |name: &str| {
        let file = world
            .root()
            .join("room/storage")
            .join(name)
            .join("manifest");
        let signed = incamera_seal::read_manifest_file(&file).unwrap();
        let key = holdings.key("shop/service_key").public();
        open_manifest(&signed, &key).unwrap()
    };
    let files = |name: &str| -> BTreeSet<_> {
        let manifest = pushed(name);
        manifest.parts().iter().map(|part| part.file_id).collect()
    };
    let names = ["customers", "purchases"];
    let mut before = names.map(files);
    assert!(names.iter().all(|name| unwraps(&pushed(name), &stolen) > 0));
    let shop = world.path("shop");
    for (window, seal_again) in [
        (ELSEWHEN, false),
        (["from=2026-03-03", "until=2026-05-29"], true),
    ] {
        if seal_again {
            for name in names {
                world.seal_one("shop", name);
            }
        } else {
            world.done(&["data", "rotate", "--data-keys", "--party", &shop]);
        }
        world.push_one("shop");
        good(world.query(&window));
        for (name, before) in names.iter().zip(&mut before) {
            assert_eq!(unwraps(&pushed(name), &stolen), 0, "{name}");
            let new = files(name);
            assert!(new.is_disjoint(before), "{name}");
            *before = new;
        }
    }
    // `data rotate` alone keeps the parts, and so their data keys.
    world.done(&["data", "rotate", "--party", &shop]);
    world.push_one("shop");
    assert_eq!(names.map(files), before);
}

/// A room's keys are made when it starts, so that a thief of those of the one before has none.
#[test]
fn a_room_that_is_started_again_has_other_keys() {
    let world = World::agreed();
    world.start_room();
    let url = Holdings(world.root()).agreement().room.url.to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = || -> RoomKeys {
        runtime.block_on(async {
            let options = TlsOptions::default();
            let room = client::connect_unattested(&url, None, &options);
            let room = room.await.unwrap();
            let challenge = vec![7; 32];
            let mut room = client::room(room.channel());
            let reply = room.attest(AttestRequest { challenge }).await;
            let evidence = reply.unwrap().into_inner().evidence.unwrap();
            evidence.keys.unwrap()
        })
    };
    let first = keys();
    assert_eq!(keys(), first, "as long as it runs");
    world.stage.stop("room");
    world.start_room();
    let second = keys();
    assert_ne!(first.tls_key, second.tls_key);
    assert_ne!(first.receipt_key, second.receipt_key);
}
