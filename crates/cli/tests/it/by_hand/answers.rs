//! An answer with its cost, read again later, and never written over.

use std::path::Path;

use incamera_party::PartyConfig;
use incamera_seal::SealLimits;
use incamera_testkit::stage::Outcome;

use crate::world::{AGREEMENT, WINDOW, World};

/// Asks, keeping the answer in a file of the world's folder.
fn ask(world: &World, out: &str, window: [&str; 2]) -> Outcome {
    let agreement = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let (key, out) = (world.path("mailer/analysts/ana"), world.path(out));
    let mut arguments = vec!["query", "run", "lift", "--agreement", &agreement];
    arguments.extend(["--as", "mailer/ana", "--key", &key, "--out", &out, "--yes"]);
    arguments.extend(window);
    world.stage.command(&arguments).unwrap()
}

fn bytes(world: &World, file: &str) -> Vec<u8> {
    std::fs::read(world.path(file)).unwrap()
}

fn show(world: &World, file: &str, more: &[&str]) -> String {
    let file = world.path(file);
    let shown = world.done(&[&["agreement", "show", &file], more].concat());
    let text = shown.text("/text");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line under an answer, `status` and `agreement show` say the same numbers.
#[test]
fn what_is_spent_and_left_is_the_same_everywhere() {
    let world = World::ready();
    let home = format!("shop/agreements/{AGREEMENT}.toml");
    assert!(show(&world, &home, &[]).contains("room for 61 runs of lift in all, 61 left"));
    let first = ask(&world, "a.release", WINDOW);
    assert_eq!(first.code, 0, "{}", first.failure());
    let (spent, left) = (first.text("/spent/0/epsilon"), first.number("/runs_left"));
    assert_eq!(left, 60);
    assert!(spent.starts_with("0.8"), "{spent}");
    let line = format!(
        "this run: epsilon 1.0 by itself (delta 1e-8; 0.944 by exact accounting), charged to mailer, shop; budget now, all runs together: mailer {spent} of 8 (delta 1e-6), shop {spent} of 8 (delta 1e-6); the agreement has room for some 60 such runs, an owner's own ceiling perhaps for fewer; the same again: free"
    );
    let table = first.text("/table");
    assert!(table.contains(&line), "{table}");
    // One line says it, and nothing else does.
    let other = |word: &str| table.lines().filter(|line| line.contains(word)).count();
    assert_eq!(
        [other("exact accounting"), other("zCDP")],
        [1, 0],
        "{table}"
    );
    for party in ["shop", "mailer"] {
        let status = world.done(&["status", "--party", &world.path(party)]);
        assert_eq!(status.text("/agreements/0/epsilon/epsilon"), spent);
        assert_eq!(status.number("/agreements/0/runs_left/lift"), left);
    }
    let shown = show(&world, &home, &[]);
    let known = format!("spent so far: epsilon {spent} of 8, all runs together");
    assert!(
        shown.contains(&known) && shown.contains("in all, 60 left"),
        "{shown}"
    );
    assert!(
        shown.contains("in all, ask mailer how many are left"),
        "{shown}"
    );
    // Who has no folder is told nothing that is not known.
    std::fs::copy(world.path(&home), world.path("copy.toml")).unwrap();
    let shown = show(&world, "copy.toml", &[]);
    assert!(
        !shown.contains("all, 6") && shown.contains("ask shop how many"),
        "{shown}"
    );
    assert!(shown.contains("NOT IN FORCE: signed by nobody"), "{shown}");
    let mailer = world.path("mailer");
    let shown = show(&world, "copy.toml", &["--party", &mailer]);
    assert!(
        shown.contains("60 left") && shown.contains("ask shop how many"),
        "{shown}"
    );
    repeat_says_so(&world, &spent);
}

fn repeat_says_so(world: &World, spent: &str) {
    let again = ask(world, "b.release", WINDOW).text("/table");
    let line = format!(
        "this run: nothing, it was asked before; budget now, all runs together: mailer {spent} of 8 (delta 1e-6)"
    );
    assert!(again.contains(&line), "{again}");
    let other = ask(world, "c.release", ["from=2026-03-02", "until=2026-05-30"]);
    assert_eq!(other.number("/runs_left"), 59);
    assert_ne!(other.text("/spent/0/epsilon"), spent);
}

#[test]
fn an_answer_is_read_again_and_never_written_over() {
    let world = World::ready();
    let first = ask(&world, "a.release", WINDOW);
    assert_eq!(first.code, 0, "{}", first.failure());
    kept_answer_is_shown(&world, &first);
    let (kept, spent) = (bytes(&world, "a.release"), world.spent("shop"));
    // The same request: the receipt that shows the charge stays.
    let again = ask(&world, "a.release", WINDOW);
    assert_eq!(again.code, 0, "{}", again.failure());
    assert_eq!(
        again.document.pointer("/answer"),
        first.document.pointer("/answer")
    );
    assert!(
        again.text("/table").contains("as it was"),
        "{}",
        again.text("/table")
    );
    assert_eq!(bytes(&world, "a.release"), kept);
    // Another question, and a file that is no answer: nothing is asked.
    std::fs::write(world.path("notes.txt"), "mine").unwrap();
    for (file, why) in [
        ("a.release", "it holds the answer to another question"),
        ("notes.txt", "it is no answer under this agreement"),
    ] {
        let before = bytes(&world, file);
        let refused = ask(&world, file, ["from=2026-03-02", "until=2026-05-30"]);
        assert_eq!(refused.code, 2, "{}", refused.document);
        assert!(refused.failure().contains(why), "{}", refused.failure());
        assert!(
            refused
                .text("/error/hint")
                .contains("`--out`: nothing was spent")
        );
        assert_eq!(bytes(&world, file), before);
    }
    assert_eq!(world.spent("shop"), spent, "a refusal was charged");
    assert!(!Path::new(&world.path("a-2.release")).exists());
}

/// Asks, and then reads the kept answer, with files for other tools: the same files both times,
/// none written over, and nothing spent where one could not be made.
#[test]
fn an_answer_is_written_for_other_tools() {
    let world = World::ready();
    let agreement = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let (key, release) = (world.path("mailer/analysts/ana"), world.path("a.release"));
    let files = |name: &str| {
        let file = |end: &str| world.path(&format!("{name}.{end}"));
        [
            "--csv",
            &file("csv"),
            "--parquet",
            &file("parquet"),
            "--html",
            &file("html"),
        ]
        .map(str::to_owned)
    };
    let ask = |files: &[String]| {
        let mut arguments = vec!["query", "run", "lift", "--agreement", &agreement];
        arguments.extend([
            "--as",
            "mailer/ana",
            "--key",
            &key,
            "--out",
            &release,
            "--yes",
        ]);
        arguments.extend(files.iter().map(String::as_str));
        arguments.extend(WINDOW);
        world.stage.command(&arguments).unwrap()
    };
    std::fs::write(world.path("mine.csv"), "mine").unwrap();
    let unspent = world.spent("shop");
    let refused = ask(&files("mine"));
    assert_eq!(refused.code, 2, "{}", refused.document);
    assert!(
        refused.failure().contains("there already"),
        "{}",
        refused.failure()
    );
    assert_eq!(bytes(&world, "mine.csv"), b"mine");
    assert!(!Path::new(&release).exists(), "it was asked nevertheless");
    let twice = world.path("./a.release");
    let refused = ask(&["--csv".to_owned(), twice]);
    assert_eq!(refused.code, 2, "{}", refused.document);
    let why = "two files of the answer have this name";
    assert!(refused.failure().contains(why), "{}", refused.failure());
    assert_eq!(world.spent("shop"), unspent);
    let asked = ask(&files("a"));
    assert_eq!(asked.code, 0, "{}", asked.failure());
    assert!(asked.text("/table").contains("also written: "));
    let again = files("b");
    let mut verify = vec!["verify", &release, "--agreement", &agreement];
    verify.extend(again.iter().map(String::as_str));
    world.done(&verify);
    for end in ["csv", "parquet"] {
        assert_eq!(
            bytes(&world, &format!("a.{end}")),
            bytes(&world, &format!("b.{end}")),
            "{end}"
        );
    }
    let page = String::from_utf8(bytes(&world, "a.html")).unwrap();
    assert!(
        page.contains("SIMULATED TEE") && page.contains("<circle"),
        "{page}"
    );
    let csv = String::from_utf8(bytes(&world, "a.csv")).unwrap();
    assert!(
        csv.starts_with("campaign_group,withheld,people,people_low"),
        "{csv}"
    );
    let parquet = bytes(&world, "a.parquet");
    assert!(memchr::memmem::find(&parquet, b"incamera.release").is_some());
}

/// A practice room asks nobody: the address that the agreement names hears nothing, no file but
/// those asked for is made, and everything is marked.
#[test]
fn practice_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let room = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    room.set_nonblocking(true).unwrap();
    let address = format!("https://{}", room.local_addr().unwrap());
    let text = include_str!("../../../../query/src/tests/agreement.toml");
    let text = text.replace("https://room.example:7443", &address);
    let query = r#"
[queries.spend]
purpose = "measurement"
analysts = ["mailer/ana"]
receivers = ["shop"]
reads = ["customers.person", "purchases.person", "purchases.amount"]
rows = { purchases = 4 }
per_person = { groups = 1, spend = [0, 400] }
epsilon = 1.0
delta = 1e-8
min_people = 50
sql = """
SELECT COUNT(DISTINCT customers.person) AS people, SUM(purchases.amount) AS spend
FROM customers JOIN purchases ON purchases.person = customers.person
"""
"#;
    std::fs::write(path("a.toml"), format!("{text}{query}")).unwrap();
    let (agreement, page) = (path("a.toml"), path("a.html"));
    let practised = |more: &[&str]| {
        let all = [
            "query",
            "run",
            "spend",
            "--agreement",
            &agreement,
            "--practice",
        ];
        crate::help::run(&[&all, more].concat())
    };
    let some = ["--people", "2000", "--json", "--html", &page];
    let output = practised(&some);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        crate::help::stderr(&output)
    );
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["practice"], true);
    assert_eq!(document["people"], 2_000);
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("PRACTICE: made-up rows")
    );
    let shown = crate::help::stdout(&practised(&["--people", "2000"]));
    assert!(
        shown.starts_with("PRACTICE") && shown.contains("nothing spent"),
        "{shown}"
    );
    let refused = practised(&["--out", &path("a.release")]);
    assert_eq!(refused.status.code(), Some(2));
    let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(files.len(), 2, "{:?}", files.pop());
    let heard = room.accept().map(|_| ()).unwrap_err();
    assert_eq!(heard.kind(), std::io::ErrorKind::WouldBlock);
    let worst = crate::help::run(&["query", "check", "spend", "--agreement", &agreement]);
    let worst = crate::help::stdout(&worst);
    assert!(
        worst.contains("odds about one person grow by a factor of"),
        "{worst}"
    );
}

/// `verify` shows the question, the table, and the receipt.
fn kept_answer_is_shown(world: &World, first: &Outcome) {
    let agreement = world.path(&format!("shop/agreements/{AGREEMENT}.toml"));
    let release = world.path("a.release");
    let arguments = ["verify", &release, "--agreement", &agreement];
    let verified = world.done(&arguments);
    assert_eq!(
        verified.document.pointer("/answer"),
        first.document.pointer("/answer")
    );
    assert!(
        verified
            .document
            .pointer("/answer/rows/0/cells/0/value")
            .is_some()
    );
    assert_eq!(verified.text("/parameters/from"), "2026-03-01");
    assert_eq!(verified.text("/parameters/until"), "2026-05-31");
    let said = std::process::Command::new(crate::world::PROGRAM)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let places = [
        "`lift` from=2026-03-01 until=2026-05-31",
        "not mailed",
        "ranges are of the noise alone",
        "the receipt holds",
        "  measurement ",
        "epsilon 1, delta 1e-8 (rho 0.017",
    ]
    .map(|part| said.find(part).unwrap_or_else(|| panic!("{part}: {said}")));
    assert!(places.is_sorted(), "{said}");
}

/// An owner's file with people whose sums are known: exact, at home, and nothing is left of it.
#[test]
fn an_owner_sees_what_clamps_hide() {
    let world = World::ready();
    let rows = "email,day,amount\n\
        p0@mail.example,2026-04-01,300.00\n\
        p0@mail.example,2026-04-02,150.50\n\
        p1@mail.example,2026-05-31,400.00\n\
        p2@mail.example,2026-02-28,499.00\n\
        p3@mail.example,2026-03-01,99.50\n\
        p9@mail.example,2026-04-01,499.00\n\
        stranger@mail.example,2026-04-01,499.00\n";
    std::fs::write(world.path("own.csv"), rows).unwrap();
    let shop = world.path("shop");
    // A handful of people, whose sums are known: as if each class were large enough.
    small_classes(&world);
    let asked = |dataset: &str, query: &str, file: &str| {
        let own = world.path(file);
        let mut arguments = vec!["data", "clipped", dataset, "--party", &shop];
        arguments.extend(["--data", &own, "--query", query]);
        arguments.extend(WINDOW);
        world.stage.command(&arguments).unwrap()
    };
    let before = files_of(&world);
    let clipped = asked("purchases", "lift", "own.csv");
    assert_eq!(clipped.code, 0, "{}", clipped.failure());
    let spend = |field: &str| clipped.text(&format!("/sums/0/{field}"));
    // p9 refuses `measurement`, the stranger matches nobody, p2 bought before the window.
    for (field, expected) in [
        ("name", "spend"),
        ("people", "3"),
        ("above", "1"),
        ("below", "0"),
        ("amount", "950.00"),
        ("hidden", "50.50"),
    ] {
        assert_eq!(spend(field), expected, "{field}: {}", clipped.document);
    }
    assert!(
        clipped.text("/applied/0").contains("purchases.day BETWEEN"),
        "{}",
        clipped.document
    );
    assert!(
        clipped.text("/left_out").contains("customers.person"),
        "{}",
        clipped.document
    );
    let refused = asked("customers", "lift", "data/customers.csv");
    assert_eq!(refused.code, 2, "{}", refused.document);
    assert!(
        refused.failure().contains("adds up no column"),
        "{}",
        refused.failure()
    );
    assert!(refused.text("/error/hint").contains("query explain"));
    assert_eq!(files_of(&world), before, "something was kept");
}

/// The files of the shop's folder and the lines of its log.
/// Takes the `#` of the lines that `init` writes away: they say what holds without them, and then
/// that every consent class is large enough.
fn small_classes(world: &World) {
    let config = world.path("shop/party.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let (before, lines) = text.split_once("# [sealing]").unwrap();
    let lines = format!("# [sealing]{lines}");
    let bare = lines.lines().map(|line| line.strip_prefix("# ").unwrap());
    let lines = bare.collect::<Vec<_>>().join("\n") + "\n";
    let spaced = |part: &str| part.split_whitespace().collect::<String>();
    let keys = lines
        .lines()
        .skip(1)
        .map(|line| spaced(line.split('=').next().unwrap()));
    assert_eq!(
        keys.collect::<Vec<_>>(),
        ["memory_mib", "part_rows", "class_people"]
    );
    std::fs::write(&config, format!("{before}{lines}")).unwrap();
    let loaded = PartyConfig::load(config.as_ref()).unwrap();
    assert_eq!(loaded.sealing.limits(), SealLimits::default());
    let one = lines.replace("class_people = 10 ", "class_people = 1 ");
    assert_ne!(one, lines);
    std::fs::write(&config, format!("{before}{one}")).unwrap();
}

fn files_of(world: &World) -> Vec<(std::path::PathBuf, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![world.root().join("shop"), world.root().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    let log = world.root().join("shop.log");
    files.push((log.clone(), std::fs::metadata(log).unwrap().len()));
    files.sort();
    files
}
