//! Key rings of every kind, lost and found again, with the real programs: docs/keys.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::{AGREEMENT, Data, World};

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
fn a_lost_ring_ends_the_sealed_data_and_sealing_again_goes_on() {
    let world = World::ready();
    assert_eq!(world.query(&[]).code, 0);
    let once = world.spent("shop");
    assert!(once > 0);
    world.stage.stop("shop");
    let (shop, ring) = (world.path("shop"), world.path("shop/ring.age"));
    fs::remove_file(&ring).unwrap();
    let refused = world
        .stage
        .command(&["ring", "show", "--party", &shop])
        .unwrap();
    assert_eq!(refused.code, 1);

    let passphrase = world.path("shop/passphrase.txt");
    let new = [
        "ring",
        "new",
        "--out",
        &ring,
        "--passphrase-file",
        &passphrase,
    ];
    world.done(&new);
    assert_eq!(
        world.stage.command(&new).unwrap().code,
        1,
        "a ring was overwritten"
    );
    world.start_party("shop", &[]);
    // What was sealed under the old keys opens under nothing, and nothing is charged for it.
    let refused = world.query(&[]);
    assert_eq!(refused.code, 3, "{}", refused.failure());
    assert_eq!(world.spent("shop"), once);
    // The ids that were matched before have other pseudonyms under a new matching secret.
    let (customers, mailing) = (
        world.path("data/customers.csv"),
        world.path("data/mailing.csv"),
    );
    let mailer = world.path("mailer");
    let [ours, theirs] = std::thread::scope(|scope| {
        let run = |party: &str, data: &str| {
            let arguments = [
                "match", "run", "--party", party, "--data", data, "--wait", "20",
            ];
            world.stage.command(&arguments).unwrap()
        };
        let (shop, customers, mailer, mailing) = (&shop, &customers, &mailer, &mailing);
        let theirs = scope.spawn(move || run(mailer, mailing));
        [run(shop, customers), theirs.join().unwrap()]
    });
    assert_ne!((ours.code, theirs.code), (0, 0));
    assert!(
        [&ours, &theirs]
            .iter()
            .any(|run| run.failure().contains("earlier")),
        "{} {}",
        ours.failure(),
        theirs.failure()
    );

    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    let answered = world.query(&[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
    assert_eq!(world.spent("shop"), 2 * once, "charged anew");
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

/// Keys as `init` makes them, in a folder beside.
fn fresh_keys(world: &World, name: &str) -> String {
    let folder = world.path(name);
    world.done(&["init", &folder, "--name", name, "--analyst", "ana"]);
    folder
}

/// An agreement names the keys that speak for a party, so with another service key the old one
/// counts no more. A new agreement, matched and sealed anew, goes on; what was spent stays.
#[test]
fn a_lost_service_key_ends_its_agreements_and_a_new_one_goes_on() {
    let world = World::ready();
    assert_eq!(world.query(&[]).code, 0);
    let once = world.spent("shop");
    let fresh = fresh_keys(&world, "fresh");
    world.stage.stop("shop");
    for file in ["service_key", "service_key.pub"] {
        fs::copy(
            format!("{fresh}/{file}"),
            world.path(&format!("shop/{file}")),
        )
        .unwrap();
    }
    let service = |file: &str| {
        let text = fs::read_to_string(file).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("service"))
            .unwrap();
        (text.clone(), line.to_owned())
    };
    let (public, old) = service(&world.path("shop/public.toml"));
    let (_, new) = service(&format!("{fresh}/public.toml"));
    fs::write(world.path("shop/public.toml"), public.replace(&old, &new)).unwrap();
    world.start_party("shop", &[]);
    let refused = world.query(&[]);
    assert_ne!(refused.code, 0);
    assert_eq!(world.spent("shop"), once);

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
    let answered = world.query(&[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
    assert_eq!(world.spent("shop"), 2 * once);
}

/// An analyst whose key is lost has another in the next version, and the lost one asks no more.
#[test]
fn a_lost_analyst_key_is_replaced_by_the_next_version() {
    let world = World::ready();
    let fresh = fresh_keys(&world, "fresh");
    let first = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let digest = world.done(&["agreement", "check", &first]).text("/digest");
    let public = |folder: &str| {
        let file = format!("{folder}/analysts/ana.pub");
        let text = fs::read_to_string(file).unwrap();
        text.rsplit_once(' ').unwrap().0.to_owned()
    };
    let (old, new) = (public(&world.path("mailer")), public(&fresh));
    world.agree("second", |text| {
        let head = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
        let text = text.replacen("\"second\"", &format!("\"{AGREEMENT}\""), 1);
        assert!(text.contains(&old));
        text.replacen("version = 1", &head, 1).replace(&old, &new)
    });
    world.stage.stop("room");
    world.write_room("second");
    world.start_room();
    let refused = world.query_under("second", &[]);
    assert_ne!(refused.code, 0, "the lost key still asks");
    assert_eq!(world.spent("shop"), 0);
    fs::copy(
        format!("{fresh}/analysts/ana"),
        world.path("mailer/analysts/ana"),
    )
    .unwrap();
    let answered = world.query_under("second", &[]);
    assert_eq!(answered.code, 0, "{}", answered.failure());
}
