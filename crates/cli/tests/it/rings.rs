//! Key rings of every kind, lost and found again, with the real programs: docs/keys.md.

mod epoch;
mod lost;
mod stolen;

use std::fs;
use std::path::Path;
use std::process::Command;

use incamera_testkit::stage::Outcome;
use serde_json::Value;

use crate::world::{AGREEMENT, Data, World};

/// The window of another question.
const ELSEWHEN: [&str; 2] = ["from=2026-03-02", "until=2026-05-30"];

#[track_caller]
fn good(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.failure(), outcome.errors);
    outcome
}

#[track_caller]
fn bad(outcome: &Outcome, code: i32, says: &str) {
    let text = format!("{} {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{text}");
    assert!(text.contains(says), "`{says}`: {text}");
}

/// Changes the document of a ring behind everybody's back: a part of it is lost.
fn edit_ring(world: &World, party: &str, edit: impl FnOnce(&mut Value)) {
    let path = world.path(&format!("{party}/ring.age"));
    let passphrase = fs::read_to_string(world.path(&format!("{party}/passphrase.txt"))).unwrap();
    let passphrase = || passphrase.trim_end().to_owned().into();
    let opened = age::decrypt(
        &age::scrypt::Identity::new(passphrase()),
        &fs::read(&path).unwrap(),
    );
    let mut document: Value = serde_json::from_slice(&opened.unwrap()).unwrap();
    edit(&mut document);
    let mut recipient = age::scrypt::Recipient::new(passphrase());
    recipient.set_work_factor(1);
    let sealed = age::encrypt(&recipient, document.to_string().as_bytes());
    fs::write(&path, sealed.unwrap()).unwrap();
}

/// Keys as `init` makes them, in a folder beside.
fn fresh_keys(world: &World, name: &str) -> String {
    let folder = world.path(name);
    world.done(&["init", &folder, "--name", name, "--analyst", "ana"]);
    folder
}

/// Puts a key of `fresh` (`service` or `signs`) in the place of the shop's own, and into the
/// files that name it.
fn take_over(world: &World, fresh: &str, key: &str) {
    let name = match key {
        "signs" => "signing_key",
        _ => "service_key",
    };
    for file in [name.to_owned(), format!("{name}.pub")] {
        let to = world.path(&format!("shop/{file}"));
        fs::copy(format!("{fresh}/{file}"), to).unwrap();
    }
    let line = |file: &str| -> Option<(String, String)> {
        let text = fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.starts_with(key))?.to_owned();
        Some((text, line))
    };
    for file in ["public.toml", "party.toml"] {
        let own = world.path(&format!("shop/{file}"));
        if let (Some((text, old)), Some((_, new))) = (line(&own), line(&format!("{fresh}/{file}")))
        {
            fs::write(&own, text.replace(&old, &new)).unwrap();
        }
    }
}

/// A new agreement in the place of the one before, up to pushed data; both services run.
fn agree_anew(world: &World) {
    world.stage.stop("room");
    for folder in ["shop/agreements", "mailer/agreements", "room"] {
        fs::remove_dir_all(world.path(folder)).unwrap();
        fs::create_dir(world.path(folder)).unwrap();
    }
    world.agree(AGREEMENT, |text| text);
    world.write_room(AGREEMENT);
    world.start_room();
    world.match_people();
    world.seal();
    world.push();
}

/// `match run` of both, of which each may fail.
fn match_both(world: &World) -> [Outcome; 2] {
    let run = |party: &str, data: &str| {
        let (party, data) = (world.path(party), world.path(data));
        let arguments = [
            "match", "run", "--party", &party, "--data", &data, "--wait", "20",
        ];
        world.stage.command(&arguments).unwrap()
    };
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run("mailer", "data/mailing.csv"));
        [run("shop", "data/customers.csv"), theirs.join().unwrap()]
    })
}

/// Another matching secret would give ids that were matched before other pseudonyms.
fn matching_is_refused(world: &World) {
    let both = match_both(world);
    assert!(both.iter().any(|run| run.code != 0));
    let said: Vec<String> = both.iter().map(Outcome::failure).collect();
    assert!(said.iter().any(|run| run.contains("earlier")), "{said:?}");
}

/// A pair of OpenSSH keys; none where there is no `ssh-keygen`.
fn ssh_key(world: &World, name: &str) -> Option<String> {
    let file = world.path(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f", &file]);
    if command.status().is_ok_and(|status| status.success()) {
        return Some(file);
    }
    eprintln!("SKIPPED: ssh-keygen is not installed");
    None
}

/// Puts other lines for the ring into `party.toml`, as `ring recover` says.
fn use_ring(world: &World, said: &str) {
    let file = world.path("shop/party.toml");
    let text = fs::read_to_string(&file).unwrap();
    let old = |line: &&str| !(line.starts_with("ring") || line.starts_with("passphrase_file"));
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| line.contains(" = "))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    let kept: Vec<&str> = text.lines().filter(old).collect();
    let keys = format!("[keys]\n{}", lines.join("\n"));
    fs::write(&file, kept.join("\n").replace("[keys]", &keys)).unwrap();
}

#[test]
fn a_lost_passphrase_is_recovered_with_an_openssh_key() {
    let world = World::agreed();
    let (Some(key), Some(other)) = (ssh_key(&world, "keeper"), ssh_key(&world, "stranger")) else {
        return;
    };
    let shop = world.path("shop");
    let public = fs::read_to_string(format!("{key}.pub")).unwrap();
    let show = ["ring", "show", "--party", &shop];
    assert_eq!(world.done(&show).text("/recovery_file"), "");
    world.done(&[
        "ring",
        "recipients",
        "--party",
        &shop,
        "--add",
        public.trim(),
    ]);
    let bad = world
        .stage
        .command(&["ring", "recipients", "--party", &shop, "--add", "age1"]);
    assert_eq!(bad.unwrap().code, 2);
    fs::remove_file(world.path("shop/passphrase.txt")).unwrap();
    let refused = world.stage.command(&show).unwrap();
    assert_eq!(refused.code, 1);
    let said = refused.document.to_string();
    assert!(said.contains("ring recover"), "{said}");

    let new = world.path("a new passphrase");
    fs::write(&new, "correct horse battery\n").unwrap();
    let out = world.path("shop/ring2.age");
    let recover = |key: &str, out: &str| {
        let arguments = [
            "ring",
            "recover",
            "--party",
            &shop,
            "--identity",
            key,
            "--out",
            out,
        ];
        let lock = ["--passphrase-file", &new];
        world
            .stage
            .command(&[&arguments[..], &lock[..]].concat())
            .unwrap()
    };
    let refused = recover(&other, &out);
    assert_eq!(refused.code, 1);
    assert!(!Path::new(&out).exists());
    assert_eq!(recover(&key, &out).code, 0);
    let again = recover(&key, &out);
    assert_eq!(again.code, 1, "a ring was overwritten");
    use_ring(
        &world,
        &format!("ring = {out:?}\npassphrase_file = {new:?}"),
    );
    let shown = world.done(&show);
    assert_eq!(shown.text("/kind"), "age file (passphrase)");
    // And under the key itself, from then on.
    let third = world.path("shop/ring3.age");
    let change = [
        "ring",
        "change",
        "--party",
        &shop,
        "--out",
        &third,
        "--ring-ssh-key",
        &key,
    ];
    let made = world.done(&change);
    assert_eq!(made.text("/old_ring"), out);
    assert_eq!(
        made.text("/old_recovery_file"),
        world.path("shop/ring2.age.recovery.age")
    );
    assert_eq!(
        world.stage.command(&change).unwrap().code,
        1,
        "a ring was overwritten"
    );
    use_ring(&world, &format!("ring = {third:?}\nring_ssh_key = {key:?}"));
    assert_eq!(world.done(&show).text("/kind"), "age file (OpenSSH key)");
    // What was only encrypted for that key, as its recovery file is, is no ring.
    fs::copy(world.path("shop/ring3.age.recovery.age"), &third).unwrap();
    let refused = world.stage.command(&show).unwrap();
    assert_eq!(refused.code, 1);
    let said = refused.document.to_string();
    assert!(said.contains("did not write it") && said.contains("from a backup"));
}

const INSIDE: &str = "INCAMERA_TOKEN_TEST";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// The shop's purpose keys never leave its token, and it takes part like any other. In a
/// process of its own, because the programs find SoftHSM's configuration by the environment.
#[test]
fn a_party_whose_ring_is_a_token_goes_all_the_way() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return all_the_way(Path::new(&folder));
    }
    if !Path::new(MODULE).exists() {
        eprintln!("SKIPPED, because SoftHSM is not here (apt-get install softhsm2)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\n", tokens.display());
    fs::write(&configuration, text).unwrap();
    fs::write(folder.path().join("pin"), "4711-horse\n").unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "shop"])
        .args(["--pin", "4711-horse", "--so-pin", "12345678"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let test = "rings::a_party_whose_ring_is_a_token_goes_all_the_way";
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
}

fn all_the_way(folder: &Path) {
    let pin = folder.join("pin").display().to_string();
    let token = [
        "--token-module",
        MODULE,
        "--token-label",
        "shop",
        "--token-pin-file",
        &pin,
    ];
    let world = World::agreed_in(&token);
    assert!(!Path::new(&world.path("shop/ring.age")).exists());
    assert!(!Path::new(&world.path("shop/passphrase.txt")).exists());
    // The service runs while another process makes keys in the token.
    world.prepare(&Data::small());
    let answered = world.query(&[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
    let once = world.spent("shop");
    assert_eq!(world.query(&[]).code, 0);
    assert_eq!(world.spent("shop"), once, "the same again is free");
    let shop = world.path("shop");
    let shown = world.done(&["ring", "show", "--party", &shop]);
    assert_eq!(shown.text("/kind"), "PKCS#11 token");
    let file = fs::read_to_string(world.path("shop/ring.token")).unwrap();
    assert!(file.contains("incamera-token-ring/1") && !file.contains("purchases"));

    // The token goes: no answer, no charge. It comes back: as before.
    let (tokens, away) = (folder.join("tokens"), folder.join("away"));
    world.stage.stop("shop");
    fs::rename(&tokens, &away).unwrap();
    fs::create_dir(&tokens).unwrap();
    let refused = world
        .stage
        .command(&["party", "serve", "--party", &shop])
        .unwrap();
    assert_eq!(refused.code, 1);
    assert!(
        refused.failure().contains("no slot has the token"),
        "{}",
        refused.failure()
    );
    fs::remove_dir(&tokens).unwrap();
    fs::rename(&away, &tokens).unwrap();
    world.start_party("shop", &[]);
    assert_eq!(world.query(&[]).code, 0);
    assert_eq!(world.spent("shop"), once);
}
