//! `query receive`: a party fetches what the room sealed to it, and opens it.

use std::fs;
use std::path::PathBuf;

use incamera_testkit::stage::Outcome;
use incamera_wire::v1::SealedAnswer;
use incamera_wire::{decode, encode};

use crate::world::{AGREEMENT, Data, World};

fn receive(world: &World, party: &str, out: &str) -> Outcome {
    receive_under(world, party, AGREEMENT, out, &[])
}

fn receive_under(world: &World, party: &str, agreement: &str, out: &str, more: &[&str]) -> Outcome {
    let _ = fs::create_dir(world.path(out));
    let (folder, out) = (world.path(party), world.path(out));
    let file = world.path(&format!("{party}/agreements/{agreement}.toml"));
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
    world
        .stage
        .command(&[&arguments[..], more].concat())
        .unwrap()
}

/// The requests whose answers came, the newest first.
fn came(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    let answers = outcome.document["answers"].as_array().unwrap();
    let digest = |at| outcome.text(&format!("/answers/{at}/request_digest"));
    (0..answers.len()).map(digest).collect()
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
    let outcome = receive_under(&world, "shop", "second", "answers", &[]);
    assert_eq!(came(&outcome), [asked.text("/request_digest")]);
}

const PROPOSALS: &str = r#"
[proposals]
analysts = ["mailer/ana"]
purposes = ["measurement"]
epsilon = 1.0
delta = 1e-8
min_people = 50
"#;

/// Proposes a query whose answer goes to both parties, has both approve it, and asks it. The
/// proposal's digest, and what came of it.
fn ask_proposed(world: &World) -> (String, Outcome) {
    let draft = include_str!("../../../agreement/tests/proposals/reach.toml");
    let both = draft.replacen("[\"mailer\"]", "[\"mailer\", \"shop\"]", 1);
    assert_ne!(both, draft);
    let (file, out) = (world.path("draft.toml"), world.path("reach.proposal"));
    fs::write(&file, both).unwrap();
    let agreement = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let key = world.path("mailer/analysts/ana");
    let asks = [
        "--agreement",
        &agreement,
        "--as",
        "mailer/ana",
        "--key",
        &key,
    ];
    let propose = ["query", "propose", &file, "--out", &out];
    let proposed = world.done(&[&propose[..], &asks].concat());
    for party in ["shop", "mailer"] {
        let folder = world.path(party);
        world.done(&["query", "approve", &out, "--party", &folder, "--yes"]);
    }
    let release = world.path("reach.release");
    let run = [
        "query",
        "run",
        "reach",
        "--proposal",
        &out,
        "--out",
        &release,
    ];
    let asked = world.done(&[&run[..], &asks, &["--yes"]].concat());
    (proposed.text("/digest"), asked)
}

#[test]
fn the_answer_to_a_proposed_query_is_received_and_no_answer_holds_up_another() {
    let world = World::agreed_as(|text| text + PROPOSALS);
    world.prepare(&Data::small());
    let lift = world.query(&[]).text("/request_digest");
    let (proposal, asked) = ask_proposed(&world);
    let reach = asked.text("/request_digest");
    for party in ["shop", "mailer"] {
        let out = format!("{party}-answers");
        let outcome = receive(&world, party, &out);
        assert_eq!(came(&outcome), [reach.as_str(), lift.as_str()]);
        let file = outcome.text("/answers/0/release");
        assert!(file.contains("/reach-"), "{file}");
        let agreement = world.path(&format!("{party}/agreements/{AGREEMENT}.toml"));
        let verified = world.done(&["verify", &file, "--agreement", &agreement]);
        assert_eq!(verified.text("/proposal"), proposal);
        assert_eq!(
            fs::read(file).unwrap(),
            fs::read(world.path("reach.release")).unwrap()
        );
    }

    // What cannot be kept is said, and the older answer is kept all the same.
    let taken = world.path(&format!("full/reach-{}.release", &reach[..12]));
    fs::create_dir(world.path("full")).unwrap();
    fs::write(&taken, "something else").unwrap();
    let outcome = receive(&world, "shop", "full");
    refused(&outcome, &format!("was not written to `{taken}`"));
    let hint = outcome.text("/error/hint");
    assert!(hint.contains("mend what is named"), "{hint}");
    assert!(!hint.contains("whoever runs the room"), "{hint}");
    assert_eq!(fs::read(&taken).unwrap(), b"something else");
    assert_eq!(releases(&world, "full").len(), 2);
    fs::remove_file(&taken).unwrap();
    let outcome = receive(&world, "shop", "full");
    assert_eq!(came(&outcome), [reach]);
    assert_eq!(outcome.number("/had"), 1);
}

/// What the room kept under the version before is sealed to the key of that version: it opens
/// with that key, and without it nobody is accused.
#[test]
fn a_new_key_opens_new_answers_and_the_old_key_those_before() {
    let world = World::ready();
    let before = world.query(&[]).text("/request_digest");
    let (shop, old) = (world.path("shop"), world.path("old_key"));
    fs::rename(world.path("shop/receive_key"), &old).unwrap();
    world.done(&["init", &shop, "--name", "shop", "--receive-key"]);
    world.second(|text| text);
    let after = world.query_under("second", &[]).text("/request_digest");
    assert_ne!(before, after);

    let receive = |more: &[&str]| receive_under(&world, "shop", "second", "answers", more);
    let outcome = receive(&[]);
    assert_eq!(came(&outcome), [after.as_str()]);
    assert_eq!(outcome.number("/other_keys"), 1);
    // Another key of somebody's is no help, and no fault of the room's.
    let mailers = world.path("mailer/receive_key");
    let outcome = receive(&["--key", &mailers]);
    assert!(came(&outcome).is_empty());
    assert_eq!(outcome.number("/other_keys"), 1);
    let outcome = receive(&["--key", &mailers, "--key", &old]);
    assert_eq!(came(&outcome), [before.as_str()]);
    assert_eq!(outcome.number("/other_keys"), 0);
    let first = world.path(&format!("shop/agreements/{AGREEMENT}.toml"));
    let file = outcome.text("/answers/0/release");
    let verified = world.done(&["verify", &file, "--agreement", &first]);
    assert_eq!(verified.text("/request_digest"), before);

    // What was sealed to a key that we have and does not open is somebody's fault as before.
    let kept = kept(&world).into_iter();
    let mut older = kept.filter(|folder| folder.ends_with(&before));
    let path = older.next().unwrap().join("shop");
    let mut sealed: SealedAnswer = decode(&fs::read(&path).unwrap(), usize::MAX).unwrap();
    sealed.ciphertext[0] ^= 1;
    fs::write(&path, encode(&sealed)).unwrap();
    fs::remove_file(file).unwrap();
    refused(&receive(&["--key", &old]), "does not open with this key");

    // A key file that is none, and the folder's new key gone.
    let outcome = receive(&["--key", &first]);
    refused(&outcome, "was not read");
    fs::remove_file(world.path("shop/receive_key")).unwrap();
    refused(&receive(&["--key", &old]), "was not read");
}
