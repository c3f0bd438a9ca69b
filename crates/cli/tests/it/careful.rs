//! What is said is true, and what cannot help is refused before it costs anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use incamera_testkit::stage::Outcome;

use crate::world::{AGREEMENT, Data, PROGRAM, World};

fn run(world: &World, arguments: &[&str]) -> Outcome {
    world.stage.command(arguments).unwrap()
}

#[track_caller]
fn refused(outcome: &Outcome, code: i32, says: &[&str]) {
    let all = format!("{} | {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{all} {}", outcome.errors);
    for words in says {
        assert!(all.contains(words), "`{words}` is not said: {all}");
    }
}

/// What a command says to a person.
fn said(arguments: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

fn day_of(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("expires"));
    line.unwrap().to_owned()
}

/// Agreements that are over, or that a newer version replaced, are nowhere "in force".
#[test]
fn only_what_is_in_force_is_said_to_be() {
    let world = World::agreed();
    let shop = world.path("shop");
    let file = |name: &str| world.path(&format!("shop/agreements/{name}.toml"));
    let first = file(AGREEMENT);
    world.start_party("shop", &[]);
    let status = || {
        let words = said(&["status", "--party", &shop]);
        (words, world.done(&["status", "--party", &shop]))
    };
    let (words, document) = status();
    assert!(words.contains("spring-campaign version 1: in force until the end of 20"));
    assert_eq!(document.text("/agreements/0/in_force"), "true");
    assert_eq!(document.number("/agreements/0/runs_left/lift"), 61);
    assert_eq!(run(&world, &["verify", &first]).code, 0);

    world.agree("over", |text| {
        text.replacen(&day_of(&text), "expires = 2026-01-31", 1)
    });
    world.second_at_parties(|text| text);
    let (words, document) = status();
    for line in [
        "agreement over version 1: EXPIRED",
        "agreement spring-campaign version 1: superseded: version 2 of this agreement is in force",
        "agreement spring-campaign version 2: in force until",
    ] {
        assert!(words.contains(line), "{line}: {words}");
    }
    assert_eq!(words.matches("in force until").count(), 1, "{words}");
    assert_eq!(words.matches("room for").count(), 1, "{words}");
    let agreements = document.document["agreements"].as_array().unwrap();
    for known in agreements {
        let runs = known["runs_left"]["lift"].as_u64().unwrap();
        assert_eq!(runs > 0, known["in_force"] == true, "{known}");
        assert!(known["state"].is_string() && known["expires"].is_string());
    }
    // `show` asks the service; without it, the files beside tell.
    for step in ["with the service", "without"] {
        let shown = run(&world, &["agreement", "show", &first]).text("/text");
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            shown.contains("State: NOT IN FORCE: version 2"),
            "{step}: {shown}"
        );
        assert!(!shown.contains("; in force until"), "{step}: {shown}");
        world.stage.stop("shop");
    }
    let says = ["not in force", "version 2", "took its place"];
    refused(&run(&world, &["verify", &first]), 3, &says);
    // Without a name the newest version is meant, where there are versions of one agreement alone.
    let seal = |more: &[&str]| {
        let seal = ["data", "seal", "customers", "--party", &shop, "--data"];
        run(&world, &[&seal[..], &["absent.csv"], more].concat())
    };
    refused(&seal(&[]), 2, &["which agreement", "--agreement"]);
    for (from, to) in [("toml", "away"), ("away", "toml")] {
        std::fs::rename(
            world.path(&format!("shop/agreements/over.{from}")),
            world.path(&format!("shop/agreements/over.{to}")),
        )
        .unwrap();
        if to == "away" {
            refused(&seal(&["--agreement", &first]), 3, &says);
            let newest = seal(&[]);
            assert!(
                newest.failure().contains("has no crosswalk"),
                "{}",
                newest.document
            );
        }
    }
    assert_eq!(run(&world, &["verify", &file("second")]).code, 0);
    // A room that could serve nobody does not start.
    world.write_room("over");
    let config = world.path("room/room.toml");
    let room = run(&world, &["room", "serve", "--config", &config]);
    refused(&room, 3, &["not started", "expired", "newest version"]);
}

/// Data sets stand once under their agreement, however many versions of it there are; a
/// second service does not start on the same folder.
#[test]
fn a_party_is_shown_once_and_served_once() {
    let world = World::ready();
    let shop = world.path("shop");
    world.second_at_parties(|text| text);
    let words = said(&["status", "--party", &shop]);
    assert_eq!(words.matches("data set customers").count(), 1, "{words}");
    let document = world.done(&["status", "--party", &shop]);
    assert_eq!(document.document["data"].as_array().unwrap().len(), 2);

    let folder = Path::new(&shop);
    let text = std::fs::read_to_string(folder.join("party.toml")).unwrap();
    let other = incamera_testkit::stage::free_address().unwrap().to_string();
    let elsewhere = text.replacen(&world.shop.listens.to_string(), &other, 1);
    assert_ne!(text, elsewhere);
    std::fs::write(folder.join("party.toml"), elsewhere).unwrap();
    let second = run(&world, &["party", "serve", "--party", &shop]);
    refused(&second, 1, &["not started", "another one runs"]);
}

/// A version that a newer one replaced seals, pushes and matches nothing: what it made would
/// obey its terms, not those that count.
#[test]
fn i3_a_replaced_version_seals_nothing() {
    let world = World::ready();
    let (shop, first) = (
        world.path("shop"),
        world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
    );
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for entry in std::fs::read_dir(world.path("shop/agreements")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), Path::new(&elsewhere).join(entry.file_name())).unwrap();
    }
    let copy = format!("{elsewhere}/{AGREEMENT}.toml");
    let data = world.path("data/customers.csv");
    let seal = |file: &str| {
        let to = ["data", "seal", "customers", "--party", &shop];
        run(
            &world,
            &[&to[..], &["--data", &data, "--agreement", file]].concat(),
        )
    };
    assert_eq!(seal(&copy).code, 0);
    world.second_at_parties(|text| text);
    let says = [
        "not in force",
        "version 2",
        "took its place",
        "newest version",
    ];
    for file in [&first, &copy] {
        refused(&seal(file), 3, &says);
        let push = ["data", "push", "--party", &shop, "--agreement", file];
        refused(&run(&world, &push), 3, &says);
    }
    let second = world.path("shop/agreements/second.toml");
    assert_eq!(seal(&second).code, 0);
}

/// Nothing is spent on a question that can only be answered by noise, or that is unclear.
#[test]
fn unclear_questions_cost_nothing() {
    let world = World::ready();
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let spent = || (world.spent("shop"), world.spent("mailer"));
    let before = spent();
    let reversed = ["from=2026-05-31", "until=2026-03-01"];
    let twice = ["from=2026-03-01", "from=2026-04-01", "until=2026-05-31"];
    let says: [(&[&str], &[&str]); 2] = [
        (&reversed, &["range of `day` is empty", "nothing spent"]),
        (&twice, &["`from` is given twice", "nothing spent"]),
    ];
    for (params, says) in says {
        refused(&world.query(params), 2, says);
        let explain = ["query", "explain", "lift", "--agreement", &file];
        refused(&run(&world, &[&explain[..], params].concat()), 2, says);
    }
    assert_eq!(spent(), before);
    // The right way round it is answered, and charged.
    assert_eq!(world.query(&[]).code, 0);
    assert!(spent() > before);
    appended_bytes_do_not_hold(&world, &file);
}

fn appended_bytes_do_not_hold(world: &World, agreement: &str) {
    let release = world.path("answer.release");
    let verify = || run(world, &["verify", &release, "--agreement", agreement]);
    assert_eq!(verify().code, 0);
    let mut bytes = std::fs::read(&release).unwrap();
    // A field that nobody knows: readers of the format skip it.
    bytes.extend([0xfa, 0x7f, 1, b'x']);
    std::fs::write(&release, bytes).unwrap();
    refused(&verify(), 1, &["does not hold", "no part of it"]);
}

/// A part that is damaged at home is found there, before the service or the room hear of it.
#[test]
fn damaged_at_home_is_mended_at_home() {
    let world = World::ready();
    let shop = world.path("shop");
    let again = |more: &[&str]| {
        let data = world.path("data/purchases.csv");
        let seal = [
            "data",
            "seal",
            "purchases",
            "--party",
            &shop,
            "--data",
            &data,
        ];
        run(&world, &[&seal[..], more].concat())
    };
    let push = || run(&world, &["data", "push", "--party", &shop]);
    let version = || {
        let status = world.done(&["status", "--party", &shop]);
        let data = status.document["data"].as_array().unwrap();
        let purchases = data.iter().find(|data| data["dataset"] == "purchases");
        purchases.unwrap()["version"].as_u64().unwrap()
    };
    assert_eq!(again(&[]).code, 0);
    let sealed = sealed_folder(Path::new(&shop), "purchases");
    let part = largest(&sealed.join("parts"), &sealed);
    flip(&part);
    let says = [
        "damaged here",
        "nothing was pushed",
        "was changed or cut off",
        "seal the data set again",
    ];
    refused(&push(), 1, &says);
    assert_eq!(version(), 1, "what cannot be pushed was registered");

    // A damaged manifest: said what to do, and one sealing suffices.
    assert_eq!(again(&[]).code, 0);
    flip(&sealed.join("manifest"));
    for outcome in [again(&[]), push()] {
        refused(
            &outcome,
            1,
            &["manifest of `purchases` was not read", "`--yes`"],
        );
    }
    assert_eq!(again(&["--yes"]).number("/version"), 2);
    assert_eq!(push().code, 0);
    assert_eq!(version(), 2);
    // The folder is lost: the service knows what comes next.
    std::fs::remove_dir_all(&sealed).unwrap();
    let sealed = again(&[]);
    assert_eq!(sealed.number("/version"), 3, "{}", sealed.errors);
    assert_eq!(sealed.number("/replaces/version"), 2);
    assert_eq!(push().code, 0, "one sealing did not suffice");
    assert_eq!(world.query(&[]).code, 0);
}

fn sealed_folder(party: &Path, dataset: &str) -> PathBuf {
    let mut agreements = std::fs::read_dir(party.join("sealed")).unwrap();
    agreements.next().unwrap().unwrap().path().join(dataset)
}

/// The largest file there, or in the folder above it.
fn largest(folder: &Path, above: &Path) -> PathBuf {
    let folder = if folder.is_dir() { folder } else { above };
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let parts = files.filter(|file| file.is_file() && !file.ends_with("manifest"));
    parts
        .max_by_key(|file| file.metadata().unwrap().len())
        .unwrap()
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// A register that names a person twice says so, and which consents then count.
#[test]
fn a_register_that_repeats_itself_says_so() {
    let world = World::agreed();
    let mut data = Data::small();
    world.write_data(&data);
    world.start();
    world.match_people();
    let once = world.seal_one("shop", "customers");
    assert_eq!(once.number("/people_named_again"), 0);
    // One the same again, one that allows less.
    data.customers += "p1@mail.example,ads;measurement\np2@mail.example,\n";
    world.write_data(&data);
    let again = world.seal_one("shop", "customers");
    assert_eq!(again.number("/people_named_again"), 2);
    assert_eq!(again.number("/people_with_different_consents"), 1);
}

/// Matching without ids uses up no run; the other's number is what it sent, and that is said.
#[test]
fn matching_says_what_was_matched() {
    let world = World::agreed();
    world.write_data(&Data::small());
    world.start();
    let shop = world.path("shop");
    let purchases = world.path("data/purchases.csv");
    let column = [
        "--data",
        &purchases,
        "--column",
        "amount",
        "--everyone-consented",
    ];
    let empty = || {
        run(
            &world,
            &[&["match", "run", "--party", &shop][..], &column].concat(),
        )
    };
    refused(
        &empty(),
        1,
        &["nothing to match", "`amount`", "no run is used up"],
    );

    let (first, _) = world.match_people();
    assert_eq!(first.number("/peer_ids"), 240);
    assert_eq!(first.number("/peer_ids_from_earlier_runs_at_most"), 0);
    // The mailer names other people: old ones are mixed in, and the shop is told.
    let few = "email,mailed\nnew1@mail.example,true\nnew2@mail.example,false\n";
    std::fs::write(world.path("data/mailing.csv"), few).unwrap();
    let (second, _) = world.match_people();
    assert_eq!(second.number("/peer_ids"), 66);
    assert_eq!(second.number("/peer_ids_from_earlier_runs_at_most"), 64);

    // A damaged crosswalk is moved away, and known ids keep their pseudonyms.
    let crosswalk = second.text("/crosswalk");
    let before = std::fs::read(&crosswalk).unwrap();
    std::fs::write(&crosswalk, &before[..before.len() / 2]).unwrap();
    let customers = world.path("data/customers.csv");
    let arguments = ["match", "run", "--party", &shop, "--data", &customers];
    refused(&run(&world, &arguments), 1, &["was not read", "move `"]);
    let seal = [
        "data",
        "seal",
        "customers",
        "--party",
        &shop,
        "--data",
        &customers,
    ];
    refused(&run(&world, &seal), 1, &["no crosswalk", "move `"]);
    std::fs::remove_file(&crosswalk).unwrap();
    world.match_people();
    assert!(
        std::fs::read(&crosswalk).unwrap() == before,
        "other pseudonyms"
    );
}

/// Output that cannot be written is no success.
#[test]
fn a_result_that_is_lost_is_an_error() {
    let ended = |json: bool| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = Command::new(PROGRAM);
        command
            .args(["room", "measure"])
            .args(json.then_some("--json"));
        let output = command
            .stdout(full.unwrap())
            .stderr(Stdio::piped())
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for json in [false, true] {
        let (code, errors) = ended(json);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("the result was not written"), "{errors}");
    }
    // A reader that went away is none.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(PROGRAM);
    let status = command.args(["room", "measure"]).stdout(writer).status();
    assert_eq!(status.unwrap().code(), Some(0));
}

/// Who signs hears of signatures over other bytes, and who checks of numbers that protect nobody.
#[test]
fn signing_and_checking_warn() {
    let world = World::agreed();
    let (shop, file) = (
        world.path("shop"),
        world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
    );
    let sign = || run(&world, &["agreement", "sign", &file, "--party", &shop]).errors;
    let check = || run(&world, &["agreement", "check", &file]).text("/warnings");
    assert!(!sign().contains("warning"), "{}", sign());
    assert!(!check().contains("delta"), "{}", check());
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text
        .replacen("delta = 1e-8", "delta = 0.5", 1)
        .replacen("min_people = 50", "min_people = 1", 1)
        .replacen("epsilon = 8.0", "epsilon = 80.0", 1);
    std::fs::write(&file, changed).unwrap();
    let said = sign();
    assert!(said.contains("was over another text"), "{said}");
    assert!(
        said.contains("the signature of `mailer` beside it is not over"),
        "{said}"
    );
    let warned = check();
    for words in [
        "lift has delta 0.5",
        "well below 1 in 240",
        "from 1 people on",
        "epsilon 80",
    ] {
        assert!(warned.contains(words), "{words}: {warned}");
    }
}
