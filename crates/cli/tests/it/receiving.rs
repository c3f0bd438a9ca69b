//! `query receive`: a party fetches what the room sealed to it, and opens it.

use std::fs;
use std::path::PathBuf;

use incamera_testkit::stage::Outcome;
use incamera_wire::v1::SealedAnswer;
use incamera_wire::{decode, encode};

use crate::world::{AGREEMENT, Data, World};

fn receive(world: &World, party: &str, out: &str) -> Outcome {
    let _ = fs::create_dir(world.path(out));
    let (folder, out) = (world.path(party), world.path(out));
    let file = world.path(&format!("{party}/agreements/{AGREEMENT}.toml"));
    let arguments = [
        "query",
        "receive",
        "--party",
        &folder,
        "--agreement",
        &file,
        "--out",
        &out,
    ];
    world.stage.command(&arguments).unwrap()
}

/// The folders of sealed answers on the room's disk, one a request.
fn kept(world: &World) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path("room/storage/.answers")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn releases(world: &World, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(world.path(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn refused(outcome: &Outcome, why: &str) {
    assert_eq!(outcome.code, 1, "{}", outcome.failure());
    assert!(outcome.failure().contains(why), "{}", outcome.failure());
}

#[test]
fn every_receiver_opens_its_own_answer_and_verifies_it() {
    let world = World::ready();
    let asked = world.query(&[]);
    assert_eq!(asked.code, 0, "{}", asked.failure());
    for party in ["shop", "mailer"] {
        let out = format!("{party}-answers");
        let outcome = receive(&world, party, &out);
        assert_eq!(outcome.code, 0, "{}", outcome.failure());
        let digest = asked.text("/request_digest");
        assert_eq!(outcome.text("/answers/0/request_digest"), digest);
        let file = outcome.text("/answers/0/release");
        let agreement = world.path(&format!("{party}/agreements/{AGREEMENT}.toml"));
        let verified = world.done(&["verify", &file, "--agreement", &agreement]);
        assert_eq!(verified.text("/request_digest"), digest);
        // The same file that the analyst has.
        assert_eq!(
            fs::read(file).unwrap(),
            fs::read(world.path("answer.release")).unwrap()
        );
        // What is here is not fetched again.
        let again = receive(&world, party, &out);
        assert_eq!(
            (again.code, again.number("/had")),
            (0, 1),
            "{}",
            again.failure()
        );
        assert_eq!(releases(&world, &out).len(), 1);
    }
}

#[test]
fn what_the_operator_does_to_sealed_answers_is_found_out() {
    let world = World::ready();
    assert_eq!(world.query(&[]).code, 0);
    let older = kept(&world).pop().unwrap();
    let other = world.query(&["from=2026-03-02", "until=2026-05-31"]);
    assert_eq!(other.code, 0, "{}", other.failure());
    let newer = kept(&world)
        .into_iter()
        .find(|path| *path != older)
        .unwrap();
    let honest = fs::read(newer.join("shop")).unwrap();

    // Another receiver's.
    fs::copy(newer.join("mailer"), newer.join("shop")).unwrap();
    let outcome = receive(&world, "shop", "swapped");
    refused(&outcome, "another receiver's");
    // Another receiver's under this one's name.
    let parse = |bytes: &[u8]| decode::<SealedAnswer>(bytes, bytes.len()).unwrap();
    let mailers = parse(&fs::read(newer.join("mailer")).unwrap());
    let renamed = SealedAnswer {
        receiver: "shop".into(),
        ..mailers
    };
    fs::write(newer.join("shop"), encode(&renamed)).unwrap();
    refused(
        &receive(&world, "shop", "renamed"),
        "does not open with this key",
    );
    // The older answer as the newer one's.
    let old = parse(&fs::read(older.join("shop")).unwrap());
    let replayed = SealedAnswer {
        request_digest: parse(&honest).request_digest,
        ..old
    };
    fs::write(newer.join("shop"), encode(&replayed)).unwrap();
    refused(
        &receive(&world, "shop", "replayed"),
        "does not open with this key",
    );
    // A changed byte.
    let mut changed = parse(&honest);
    let middle = changed.ciphertext.len() / 2;
    changed.ciphertext[middle] ^= 1;
    fs::write(newer.join("shop"), encode(&changed)).unwrap();
    let outcome = receive(&world, "shop", "changed");
    refused(&outcome, "does not open with this key");
    // The other answer was opened and kept all the same.
    assert_eq!(releases(&world, "changed").len(), 1);

    // Whatever becomes of the disk: the same question brings it back, for nothing.
    let spent = world.spent("shop");
    fs::remove_dir_all(world.path("room/storage/.answers")).unwrap();
    assert_eq!(receive(&world, "shop", "empty").number("/had"), 0);
    assert_eq!(
        world.query(&["from=2026-03-02", "until=2026-05-31"]).code,
        0
    );
    let outcome = receive(&world, "shop", "back");
    assert_eq!(
        outcome.text("/answers/0/request_digest"),
        other.text("/request_digest")
    );
    assert_eq!(world.spent("shop"), spent);
}

/// The text without the lines that name keys to receive with.
fn without_keys(text: String) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("receives = \""));
    let changed = lines.map(|line| format!("{line}\n")).collect::<String>();
    assert_ne!(changed, text, "the agreement names the keys");
    changed
}

#[test]
fn agreements_without_such_keys_work_as_they_did() {
    let world = World::agreed_as(without_keys);
    world.prepare(&Data::small());
    let file = world.path(&format!("shop/agreements/{AGREEMENT}.toml"));
    let checked = world.done(&["agreement", "check", &file]);
    assert_eq!(checked.text("/unsealed_receivers/0"), "mailer");
    let outcome = world.query(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    assert!(!PathBuf::from(world.path("room/storage/.answers")).exists());
    let outcome = receive(&world, "shop", "answers");
    assert_eq!(outcome.code, 3, "{}", outcome.failure());
    assert!(
        outcome.failure().contains("no `receives`"),
        "{}",
        outcome.failure()
    );

    // A folder of an earlier program gets its key, once; a new version names it.
    let shop = world.path("shop");
    let add = ["init", &shop, "--name", "shop", "--receive-key"];
    assert_eq!(world.stage.command(&add).unwrap().code, 2, "it has one");
    fs::remove_file(world.path("shop/receive_key")).unwrap();
    let key = world.done(&add).text("/receives");
    assert!(
        fs::read_to_string(world.path("shop/public.toml"))
            .unwrap()
            .contains(&key)
    );
    world.second(|text| {
        without_keys(text).replacen(
            "[parties.shop]\n",
            &format!("[parties.shop]\nreceives = \"{key}\"\n"),
            1,
        )
    });
    let asked = world.query_under("second", &[]);
    assert_eq!(asked.code, 0, "{}", asked.failure());
    let (folder, out) = (world.path("shop"), world.path("answers"));
    let file = world.path("shop/agreements/second.toml");
    let arguments = [
        "query",
        "receive",
        "--party",
        &folder,
        "--agreement",
        &file,
        "--out",
        &out,
    ];
    let outcome = world.stage.command(&arguments).unwrap();
    assert_eq!(
        outcome.text("/answers/0/request_digest"),
        asked.text("/request_digest")
    );
}
