//! What people are told: of what waits, of what they did wrong, and what to do about it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use incamera_testkit::stage::Outcome;
use serde_json::Value;

use crate::alone::{has_documented_fields, names_fields};
use crate::invariants::support::Holdings;
use crate::rewriting::rows;
use crate::ring_serve::sealed_folder;
use crate::world::{AGREEMENT, Data, PROGRAM, World};

fn data(world: &World, arguments: &[&str]) -> Outcome {
    let shop = world.path("shop");
    let all = [&["data"], arguments, &["--party", &shop]].concat();
    world.stage.command(&all).unwrap()
}

/// The failure says these words, and none of those.
#[track_caller]
fn failed(outcome: &Outcome, code: i32, says: &[&str], silent: &[&str]) {
    let text = format!("{} | {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{text}");
    for words in says {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    for words in silent {
        assert!(!text.contains(words), "`{words}`: {text}");
    }
}

/// Exit code, standard output and standard error, as a person has them.
fn typed(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What `status` says of a data set, to a program and to a person.
fn status(world: &World, dataset: &str) -> (Value, String) {
    let shop = world.path("shop");
    let document = world.done(&["status", "--party", &shop]).document;
    let agreement = &document["agreements"][0];
    let sets = agreement["data"].as_array().unwrap();
    has_documented_fields(&document);
    for object in sets.iter().chain([agreement]) {
        names_fields("incamera-status/1", object);
    }
    let set = sets.iter().find(|set| set["dataset"] == dataset).cloned();
    let (_, text, _) = typed(&["status", "--party", &shop]);
    let line = text
        .lines()
        .find(|line| line.contains(&format!("data set {dataset}:")));
    (set.unwrap_or_default(), line.unwrap_or_default().to_owned())
}

/// What opens nothing after a push, and what is said about it.
#[track_caller]
fn pushed(world: &World, datasets: &[&str]) -> Vec<(String, String)> {
    let outcome = data(world, &[&["push"], datasets].concat());
    assert_eq!(outcome.code, 0, "{} {}", outcome.failure(), outcome.errors);
    let behind = outcome.document["opens_nothing"].as_array().unwrap().iter();
    let text = |set: &Value, field: &str| set[field].as_str().unwrap().to_owned();
    let behind: Vec<_> = behind
        .map(|set| (text(set, "dataset"), text(set, "to_do")))
        .collect();
    for (dataset, _) in &behind {
        let warned = format!(
            "warning: `{dataset}` opens nothing: it was sealed by the consents of another version of `customers`"
        );
        assert!(outcome.errors.contains(&warned), "{}", outcome.errors);
    }
    behind
}

/// The owner's file knows that somebody withdrew consent to measurement.
fn agrees_to_less(world: &World, id: &str) {
    let file = world.path("data/customers.csv");
    let text = fs::read_to_string(&file).unwrap();
    let less = text.replacen(&format!("{id},ads;measurement"), &format!("{id},ads"), 1);
    assert_ne!(less, text);
    fs::write(file, less).unwrap();
}

/// A version that is sealed waits for its push, and data sets wait for one another: both are said.
#[test]
fn what_waits_is_said() {
    let world = World::agreed();
    world.write_data(&Data::small());
    world.start();
    world.match_people();
    world.seal_one("shop", "customers");
    let (set, line) = status(&world, "customers");
    assert_eq!((&set["version"], &set["sealed"]), (&Value::Null, &1.into()));
    assert!(
        line.contains(
            "not pushed; VERSION 1 IS SEALED and waits for `incamera data push customers`"
        ),
        "{line}"
    );
    assert_eq!(status(&world, "purchases").1, "");
    world.seal_one("shop", "purchases");
    world.seal_one("mailer", "mailing");
    world.push();
    let (set, line) = status(&world, "customers");
    assert_eq!(
        (&set["waits_for_push"], &set["sealed"]),
        (&false.into(), &1.into())
    );
    assert!(line.ends_with("data set customers: version 1"), "{line}");

    // The register alone, in which one person agrees to less: what follows it opens nothing.
    let one = Holdings(world.root())
        .crosswalk("shop")
        .lookup("p1@mail.example");
    let measured = |name| rows(&world, name, "measurement").contains_key(one.unwrap().as_bytes());
    assert!(measured("customers") && measured("purchases"));
    agrees_to_less(&world, "p1@mail.example");
    world.seal_one("shop", "customers");
    assert!(!measured("customers") && measured("purchases"));
    let (set, line) = status(&world, "customers");
    assert_eq!(
        (&set["waits_for_push"], &set["sealed"]),
        (&true.into(), &2.into())
    );
    assert!(line.contains("version 1; VERSION 2 IS SEALED"), "{line}");
    let behind = pushed(&world, &[]);
    assert_eq!(behind.len(), 1, "{behind:?}");
    assert!(
        behind[0].0 == "purchases" && behind[0].1.contains("`incamera data retag`"),
        "{behind:?}"
    );
    assert_eq!(world.query(&[]).code, 3, "it opens something");
    assert_eq!(data(&world, &["retag"]).code, 0);
    assert_eq!(status(&world, "purchases").0["waits_for_push"], true);
    // What is said to help helps, and takes from what follows what was taken from the register.
    assert!(!measured("purchases"));
    assert_eq!(pushed(&world, &[]), []);
    let answer = world.query(&[]);
    assert_eq!(answer.code, 0, "{}", answer.failure());

    // One of two.
    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
    for (pushes, waits) in [("customers", "purchases"), ("purchases", "customers")] {
        let behind = pushed(&world, &[pushes]);
        let push = format!("incamera data push {waits}`");
        match pushes {
            "customers" => assert!(behind[0].1.contains(&push), "{behind:?}"),
            _ => assert_eq!(behind, []),
        }
    }
    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
    let behind = pushed(&world, &["purchases"]);
    assert!(behind[0].1.contains("push `customers` too"), "{behind:?}");
    assert_eq!(pushed(&world, &["customers"]), []);

    let manifest = sealed_folder(&world, "purchases").join("manifest");
    fs::write(manifest, b"").unwrap();
    let (set, line) = status(&world, "purchases");
    assert_eq!(
        (&set["damaged"], &set["waits_for_push"]),
        (&true.into(), &false.into())
    );
    assert!(line.contains("does not read"), "{line}");
}

/// Ids that are not read: the words are those of this command, and say what to do.
#[test]
fn what_is_wrong_at_home_is_said_once_with_what_to_do() {
    let world = crate::ring_serve::sealed();
    ids_that_do_not_read(&world);
    damage(&world);
    rows_that_cannot_be_added(&world);
    recipients(&world);
    folder_of_consents(&world);
    inspection(&world);
    one_person(&world);
}

fn ids_that_do_not_read(world: &World) {
    let file = |name: &str, bytes: &[u8]| {
        let path = world.path(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let column = file("ids.csv", b"mail\np1@mail.example\n");
    let binary = file("ids.bin", &[0xff, 0xfe, 0x00, 0x81]);
    let (folder, nothing) = (world.path("room"), world.path("nothing.csv"));
    let forget = |path: &str| data(world, &["forget", "--ids", path, "--yes"]);
    let column = forget(&column);
    failed(
        &column,
        1,
        &["no column `email`", "`--column`", "nothing was done"],
        &["of the data set"],
    );
    for path in [&binary, &folder, &nothing] {
        failed(
            &forget(path),
            1,
            &[
                "were not read",
                "nothing was done: name a file with `--ids`",
            ],
            &[],
        );
    }
}

/// Of what is damaged at home one thing is advised.
fn damage(world: &World) {
    let folder = sealed_folder(world, "purchases");
    let parts = fs::read_dir(folder.join("parts")).unwrap();
    let part = parts.map(|part| part.unwrap().path()).min().unwrap();
    let whole = fs::read(&part).unwrap();
    let mut changed = whole.clone();
    changed[40] ^= 1;
    let says = ["put the sealed folder back from a backup, or seal the data set again"];
    fs::write(&part, changed).unwrap();
    let rotate = ["rotate", "--data-keys", "purchases"];
    failed(
        &data(world, &rotate),
        1,
        &says,
        &["push the data set again"],
    );
    fs::remove_file(&part).unwrap();
    failed(
        &data(world, &rotate),
        1,
        &says,
        &["push the data set again"],
    );
    fs::write(&part, whole).unwrap();
    let manifest = folder.join("manifest");
    let whole = fs::read(&manifest).unwrap();
    let inspect = || {
        world
            .stage
            .command(&["data", "inspect", &folder.display().to_string()])
            .unwrap()
    };
    for (bytes, why) in [
        (&whole[..0], "empty or damaged"),
        (&whole[..500], "well-formed"),
    ] {
        fs::write(&manifest, bytes).unwrap();
        failed(
            &inspect(),
            1,
            &[why, "put back from a backup"],
            &["newer version"],
        );
    }
    fs::write(&manifest, whole).unwrap();
}

fn rows_that_cannot_be_added(world: &World) {
    let customers = world.path("data/customers.csv");
    let outcome = data(
        world,
        &["seal", "customers", "--append", "--data", &customers],
    );
    let says = [
        "no rows can be added to `customers`",
        "seal all rows again",
        "without `--append`",
    ];
    failed(&outcome, 1, &says, &["run the command again"]);
}

fn recipients(world: &World) {
    const NOBODY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let shop = world.path("shop");
    let recipients = |how: &str, key: &str| {
        let arguments = ["ring", "recipients", "--party", &shop, how, key];
        world.stage.command(&arguments).unwrap()
    };
    let none = recipients("--remove", NOBODY);
    failed(
        &none,
        1,
        &["not changed", "is none of them", "lists them"],
        &[],
    );
    failed(&recipients("--add", "nonsense"), 2, &["age-keygen"], &[]);
    // Where the recovery file cannot be written.
    let way = PathBuf::from(world.path("shop/ring.recovery.age.new"));
    fs::create_dir(&way).unwrap();
    failed(
        &recipients("--add", NOBODY),
        1,
        &["can be written"],
        &["age-keygen"],
    );
    fs::remove_dir(&way).unwrap();
    assert_eq!(recipients("--add", NOBODY).code, 0);
    assert_eq!(recipients("--remove", NOBODY).code, 0);
}

/// A backup may leave out an empty folder, or lose it: sealing the register makes it.
fn folder_of_consents(world: &World) {
    let consents = world.path("shop/consents");
    fs::remove_dir_all(&consents).unwrap();
    let says = ["seal `customers` first"];
    failed(&data(world, &["rotate"]), 1, &says, &["was not locked"]);
    fs::remove_dir_all(&consents).unwrap();
    world.seal_one("shop", "customers");
    world.seal_one("shop", "purchases");
}

/// A pseudonym opens with what stands beside it: a column without purposes is not for nothing.
fn inspection(world: &World) {
    let folder = sealed_folder(world, "purchases").display().to_string();
    let (_, text, _) = typed(&["data", "inspect", &folder]);
    let person = text
        .lines()
        .find(|line| line.starts_with("column      person"));
    assert_eq!(
        person,
        Some("column      person pseudonym [for any purpose that a column of its class opens for]")
    );
    assert!(
        text.contains("column      day date [measurement]"),
        "{text}"
    );
}

/// Numbers read as they are spoken; and no is no: nothing is done, and nobody used it wrongly.
fn one_person(world: &World) {
    let (shop, ids) = (world.path("shop"), world.path("one.txt"));
    fs::write(&ids, "p1@mail.example\n").unwrap();
    let forget = data(world, &["forget", "--ids", &ids]);
    failed(
        &forget,
        2,
        &["1 person will be forgotten", "--yes"],
        &["1 people"],
    );
    let command = format!("{PROGRAM} data forget --party {shop} --ids {ids}");
    let mut script = Command::new("script");
    let script = script
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        eprintln!("SKIPPED: no `script` here to be a terminal");
        return;
    };
    let ring = fs::read(world.path("shop/ring.age")).unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("[y/N]") && said.contains("error: nothing was done"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(ring, fs::read(world.path("shop/ring.age")).unwrap());
}

/// Starting: what is to be named, the list of types once, and `--quiet`.
#[test]
fn who_starts_is_told_once() {
    let world = World::agreed();
    let (code, _, errors) = typed(&["agreement", "new"]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("--for <TEMPLATE>|--data <FILE|DIR>"),
        "{errors}"
    );
    let file = world.path("bad.toml");
    let text =
        fs::read_to_string(world.path(&format!("shop/agreements/{AGREEMENT}.toml"))).unwrap();
    fs::write(&file, text.replacen("\"decimal(10,2)\"", "\"money\"", 1)).unwrap();
    let (code, _, errors) = typed(&["agreement", "check", &file]);
    assert_eq!(code, 1);
    assert_eq!(
        errors.matches("pseudonym, person and purposes").count(),
        1,
        "{errors}"
    );
    assert!(
        errors.contains("cause: line ") && errors.contains("`money` is not a type"),
        "{errors}"
    );
    for (quiet, tells) in [(None, true), (Some("--quiet"), false)] {
        let folder = world.path(if tells { "one" } else { "two" });
        let arguments = [&["init", &folder, "--name", "one"], quiet.as_slice()].concat();
        let (code, said, _) = typed(&arguments);
        assert_eq!(code, 0);
        assert!(said.contains("is ready in"), "{said}");
        assert_eq!(
            said.contains("next  ") && said.contains("give the others"),
            tells,
            "{said}"
        );
    }
    let latin = world.path("latin.csv");
    fs::write(&latin, b"email,name\np1@mail.example,M\xfcller\n").unwrap();
    let (code, said, errors) = typed(&["agreement", "new", "--data", &latin]);
    assert_eq!((code, said.as_str()), (1, ""), "{errors}");
    assert!(
        errors.contains("line 2, column `name`: the value is not UTF-8"),
        "{errors}"
    );
}
