//! Private keys with a passphrase: `INCAMERA_KEY_PASSPHRASE_FILE`.

use std::process::{Command, Output, Stdio};

use crate::world::{AGREEMENT, PROGRAM, WINDOW, World};

const PASSPHRASE: &str = "a passphrase of nobody's";

/// Gives a key file a passphrase as a person would; false where there is no `ssh-keygen`.
fn protect(key: &str) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", key]);
    match command.stdout(Stdio::null()).status() {
        Ok(status) => status.success(),
        Err(_) => {
            eprintln!("SKIPPED: ssh-keygen is not installed, no key got a passphrase");
            false
        }
    }
}

fn run(arguments: &[&str], passphrase_file: Option<&str>) -> (Option<i32>, String) {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_remove("INCAMERA_KEY_PASSPHRASE_FILE");
    if let Some(file) = passphrase_file {
        command.env("INCAMERA_KEY_PASSPHRASE_FILE", file);
    }
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_key_with_a_passphrase_opens_with_its_file_alone() {
    let world = World::agreed();
    let (signing, analyst) = (
        world.path("shop/signing_key"),
        world.path("mailer/analysts/ana"),
    );
    if !(protect(&signing) && protect(&analyst)) {
        return;
    }
    for (name, text) in [("right", PASSPHRASE), ("wrong", "another passphrase")] {
        std::fs::write(world.path(name), format!("{text}\n")).unwrap();
    }
    let (right, wrong) = (world.path("right"), world.path("wrong"));
    let (shop, file) = (
        world.path("shop"),
        world.path(&format!("mailer/agreements/{AGREEMENT}.toml")),
    );
    let signature = world.path(&format!("mailer/agreements/{AGREEMENT}.toml.shop.sig"));
    std::fs::remove_file(&signature).unwrap();
    let sign = ["agreement", "sign", &file, "--party", &shop];
    let absent = world.path("absent");
    for (passphrase, says) in [
        (None, "`INCAMERA_KEY_PASSPHRASE_FILE`, a file that holds it"),
        (Some(wrong.as_str()), "passphrase"),
        (Some(absent.as_str()), "absent"),
    ] {
        let (code, said) = run(&sign, passphrase);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(says) && said.contains("hint: "), "{said}");
        assert!(!said.contains(PASSPHRASE), "{said}");
        assert!(
            !std::fs::exists(&signature).unwrap(),
            "it was signed all the same"
        );
    }
    let (code, said) = run(&sign, Some(&right));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.done(&["verify", &file]).code, 0);
    ask(&analyst, &file, &right);
}

/// The analyst's key: nothing runs here, so a key that opens comes as far as the room.
fn ask(analyst: &str, file: &str, right: &str) {
    let [from, until] = WINDOW;
    let query = [
        "query",
        "run",
        "lift",
        from,
        until,
        "--agreement",
        file,
        "--as",
        "mailer/ana",
        "--key",
        analyst,
        "--yes",
    ];
    let (code, said) = run(&query, None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("INCAMERA_KEY_PASSPHRASE_FILE"), "{said}");
    let (_, said) = run(&query, Some(right));
    assert!(said.contains("the room was not reached"), "{said}");
}
