//! Bad input: each a clear error with its exit code that says what, why and what to do;
//! nothing is lost (a good run works afterwards) and nothing leaks (the bad value stands in no
//! output and no log).
//!
//! A replayed or altered request, and replayed evidence, cannot be made with the command alone;
//! the library's tests do it: `incamera-release`, `tests/it`.
//!
//! A world takes seconds to make. Cases that leave it as it was share one: a case is a function
//! that gets the world, and all cases run even if one fails.

use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use incamera_testkit::stage::Outcome;

use crate::by_hand;
use crate::world::{AGREEMENT, Data, PROGRAM, WINDOW, World};

type Case = (&'static str, fn(&World));

/// Runs all cases, then fails if one did.
fn all(world: &World, cases: &[Case]) {
    let mut failed = Vec::new();
    for (name, case) in cases {
        if catch_unwind(AssertUnwindSafe(|| case(world))).is_err() {
            eprintln!("^^^ the case `{name}`");
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The failure has this exit code and says these words: what, why and what to do.
#[track_caller]
fn refused(outcome: &Outcome, code: i32, says: &[&str]) {
    let all = format!("{} | {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{all} {}", outcome.errors);
    assert_eq!(
        outcome.text("/format"),
        "incamera-failure/1",
        "{}",
        outcome.document
    );
    assert_eq!(outcome.number("/error/exit"), u64::try_from(code).unwrap());
    assert!(
        !outcome.text("/error/what").is_empty(),
        "no `what`: {}",
        outcome.document
    );
    for words in says {
        assert!(all.contains(words), "`{words}` is not said: {all}");
    }
    let advice = !outcome.text("/error/hint").is_empty() || outcome.failure().contains(": ");
    assert!(advice, "nothing says what to do: {all}");
    assert!(!all.contains('\n') && !all.contains("panicked"), "{all}");
}

/// `secret` is in nothing that the command said and in no service's log.
#[track_caller]
fn unspoken(world: &World, outcome: &Outcome, secret: &[u8]) {
    let holds = |text: &[u8]| text.windows(secret.len()).any(|part| part == secret);
    assert!(
        !holds(outcome.document.to_string().as_bytes()),
        "it is in the result"
    );
    assert!(!holds(outcome.errors.as_bytes()), "it is in standard error");
    for name in ["shop", "mailer", "room"] {
        let log = std::fs::read(world.root().join(format!("{name}.log"))).unwrap_or_default();
        assert!(!holds(&log), "it is in the log of {name}");
    }
}

fn run(world: &World, arguments: &[&str]) -> Outcome {
    world.stage.command(arguments).unwrap()
}

/// A file changed for the length of `work`, then put back; `None` takes it away.
fn with_file(path: &str, changed: Option<&[u8]>, work: impl FnOnce()) {
    let before = std::fs::read(path).unwrap();
    match changed {
        Some(bytes) => std::fs::write(path, bytes).unwrap(),
        None => std::fs::remove_file(path).unwrap(),
    }
    let done = catch_unwind(AssertUnwindSafe(work));
    std::fs::write(path, before).unwrap();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// A text file changed by `edit` for the length of `work`.
fn with_edit(path: &str, edit: impl FnOnce(&str) -> String, work: impl FnOnce()) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = edit(&text);
    assert_ne!(text, changed, "the edit changed nothing in {path}");
    with_file(path, Some(changed.as_bytes()), work);
}

/// A service that is away for the length of `work`.
fn without_service(world: &World, name: &str, work: impl FnOnce()) {
    world.stage.stop(name);
    let done = catch_unwind(AssertUnwindSafe(work));
    match name {
        "room" => world.start_room(),
        party => world.start_party(party, &[]),
    }
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

fn seal(world: &World, party: &str, dataset: &str, file: &str) -> Outcome {
    run(
        world,
        &[
            "data",
            "seal",
            dataset,
            "--party",
            &world.path(party),
            "--data",
            file,
        ],
    )
}

fn match_shop(world: &World, file: &str) -> Outcome {
    run(
        world,
        &[
            "match",
            "run",
            "--party",
            &world.path("shop"),
            "--data",
            file,
            "--wait",
            "1",
        ],
    )
}

/// A bad file of the shop.
fn bad_file(world: &World, name: &str, bytes: &[u8]) -> String {
    let path = world.path(&format!("data/{name}"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

/// Sealing `bytes` as `dataset` of the shop is refused with these words; what was sealed before
/// stays as it is, and nothing else is left there.
#[track_caller]
fn not_sealed(world: &World, dataset: &str, name: &str, bytes: &[u8], says: &[&str]) -> Outcome {
    let file = bad_file(world, name, bytes);
    let sealed = PathBuf::from(world.path("shop/sealed"));
    let before = files(&sealed);
    let outcome = seal(world, "shop", dataset, &file);
    refused(&outcome, 1, says);
    assert!(
        before == files(&sealed),
        "a refused file changed what was sealed"
    );
    outcome
}

fn charges(world: &World) -> (u64, u64) {
    (world.spent("shop"), world.spent("mailer"))
}

fn answer(outcome: &Outcome) -> serde_json::Value {
    assert_eq!(outcome.code, 0, "{} {}", outcome.failure(), outcome.errors);
    outcome.document.pointer("/answer").cloned().unwrap()
}

fn query_with(world: &World, arguments: &[&str]) -> Outcome {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let key = world.path("mailer/analysts/ana");
    let out = world.path("bad.release");
    let mut all = vec![
        "query",
        "run",
        "--agreement",
        &file,
        "--key",
        &key,
        "--out",
        &out,
        "--yes",
    ];
    all.extend(arguments);
    run(world, &all)
}

// ---------------------------------------------------------------------------------------------
// At home: files, keys, configuration, agreement.

#[test]
fn at_home() {
    let world = World::ready();
    all(
        &world,
        &[
            ("the search for leaks finds leaks", leaks_are_found),
            ("a file that cannot be read", unreadable_file),
            ("a missing column", missing_column),
            ("a value that does not fit", value_that_does_not_fit),
            (
                "a Parquet file that does not fit",
                parquet_that_does_not_fit,
            ),
            ("a field that is not UTF-8", not_utf8),
            ("a consent that nobody knows", unknown_purpose),
            ("wrong passphrase", wrong_passphrase),
            ("unknown keys in a configuration", unknown_configuration_key),
            ("a data set of somebody else", foreign_data_set),
            ("a changed agreement", changed_agreement),
            ("an agreement that cannot be read", unreadable_agreement),
            ("a missing signature", missing_signature),
            ("an expired agreement", expired_agreement),
            ("a version that is no longer in force", newer_version),
            ("a question that was not agreed", question_not_agreed),
            ("a wrong analyst", wrong_analyst),
            ("a changed release", changed_release),
            ("a peer that does not come", absent_peer),
            ("too many matching runs", too_many_runs),
            ("a party that is not there", absent_party),
            ("all is well afterwards", all_is_well),
        ],
    );
}

/// Parquet files say row and column.
fn parquet_that_does_not_fit(world: &World) {
    let file = world.path("data/bad.parquet");
    let texts = |text: &str| by_hand::texts([text.to_owned()].into_iter());
    let sealed = |day: &str, amount: ArrayRef| {
        let columns = vec![
            ("email", texts("p1@mail.example")),
            ("day", texts(day)),
            ("amount", amount),
        ];
        by_hand::write_parquet(Path::new(&file), columns);
        seal(world, "shop", "purchases", &file)
    };
    let outcome = sealed("31.4.7731", texts("1.00"));
    refused(
        &outcome,
        1,
        &["row 1", "column `day`", "not a date", "mend the file"],
    );
    unspoken(world, &outcome, b"7731");
    let outcome = sealed("2026-04-01", Arc::new(BooleanArray::from(vec![true])));
    refused(
        &outcome,
        1,
        &[
            "column `amount` is",
            "in the file and decimal(10,2) in the agreement",
        ],
    );
}

/// The other cases lean on this.
fn leaks_are_found(world: &World) {
    let outcome = run(world, &["status", "--party", &world.path("shop")]);
    for said in [
        "incamera-status/1",
        "\"party\"",
        "the party's service is up",
    ] {
        let search = || unspoken(world, &outcome, said.as_bytes());
        assert!(
            catch_unwind(AssertUnwindSafe(search)).is_err(),
            "`{said}` was not found"
        );
    }
}

fn unreadable_file(world: &World) {
    let absent = world.path("data/absent.csv");
    for outcome in [
        seal(world, "shop", "purchases", &absent),
        match_shop(world, &absent),
    ] {
        refused(&outcome, 1, &["absent.csv", "No such file"]);
    }
    std::fs::create_dir_all(world.path("data/folder.csv")).unwrap();
    refused(
        &seal(world, "shop", "purchases", &world.path("data/folder.csv")),
        1,
        &["folder.csv"],
    );
    let text = "is neither a .csv nor a .parquet file";
    not_sealed(
        world,
        "purchases",
        "purchases.txt",
        b"email,day,amount\n",
        &[text],
    );
    not_sealed(
        world,
        "purchases",
        "broken.parquet",
        b"PAR1 and no more",
        &["broken.parquet", "Parquet"],
    );
    let ragged =
        b"email,day,amount,category\na@b.example,2026-04-01,1,food\nc@d.example,2026-04-01\n";
    not_sealed(
        world,
        "purchases",
        "ragged.csv",
        ragged,
        &["line 3", "2 fields where the header has 4"],
    );
    not_sealed(
        world,
        "purchases",
        "empty.csv",
        b"",
        &["`email`", "first line"],
    );
}

fn missing_column(world: &World) {
    let file = b"email,day,price\na@b.example,2026-04-01,387.65\n";
    let says = ["`data/", "has no column `amount`", "must name every column"];
    let outcome = not_sealed(world, "purchases", "no-amount.csv", file, &says[1..]);
    unspoken(world, &outcome, b"a@b.example");
    let file = bad_file(world, "no-email.csv", b"mail\nsecret.person@mail.example\n");
    let outcome = match_shop(world, &file);
    refused(
        &outcome,
        1,
        &["has no column `email`", "name the column with `--column`"],
    );
    unspoken(world, &outcome, b"secret.person");
}

fn value_that_does_not_fit(world: &World) {
    let head = "email,day,amount\np1@mail.example,2026-04-01,12.50\n";
    for (row, secret, column) in [
        ("p2@mail.example,2026-04-01,12x7731", "12x7731", "amount"),
        ("p2@mail.example,31.04.2026x,12.50", "31.04.2026x", "day"),
        ("p2@mail.example,2026-04-01,7731.123", "7731.123", "amount"),
        (
            "p2@mail.example,2026-04-01,7731000000000000000000",
            "7731000",
            "amount",
        ),
        ("p2@mail.example,,12.50", "p2@mail", "day"),
    ] {
        let says = [
            "line 3",
            &format!("column `{column}`"),
            "purchases-bad.csv",
            "nothing was sealed",
            "mend the file",
        ];
        let text = format!("{head}{row}\n");
        let outcome = not_sealed(
            world,
            "purchases",
            "purchases-bad.csv",
            text.as_bytes(),
            &says,
        );
        unspoken(world, &outcome, secret.as_bytes());
        unspoken(world, &outcome, b"p2@mail");
    }
}

fn not_utf8(world: &World) {
    let says = [
        "line 3",
        "column `email`",
        "not UTF-8",
        "save the file as UTF-8",
    ];
    let bytes =
        b"email,day,amount\np1@mail.example,2026-04-01,1\nzw\xfflf7731@mail.example,2026-04-01,1\n";
    let outcome = not_sealed(world, "purchases", "latin.csv", bytes, &says);
    unspoken(world, &outcome, b"lf7731");
    let file = bad_file(
        world,
        "latin-ids.csv",
        b"email\np1@mail.example\nzw\xfflf7731@mail.example\n",
    );
    let outcome = match_shop(world, &file);
    refused(&outcome, 1, &says);
    unspoken(world, &outcome, b"lf7731");
}

fn unknown_purpose(world: &World) {
    let text = b"email,consent\np1@mail.example,ads\np2@mail.example,ads;secret7731\n";
    let says = [
        "line 3",
        "column `consent`",
        "purpose",
        "the agreement does not have",
    ];
    let outcome = not_sealed(world, "customers", "consents.csv", text, &says);
    unspoken(world, &outcome, b"secret7731");
}

fn wrong_passphrase(world: &World) {
    let secret = b"wrong-passphrase-7731";
    let purchases = world.path("data/purchases.csv");
    with_file(&world.path("shop/passphrase.txt"), Some(secret), || {
        let customers = world.path("data/customers.csv");
        let sealed = seal(world, "shop", "purchases", &purchases);
        for outcome in [sealed, match_shop(world, &customers)] {
            refused(
                &outcome,
                1,
                &["ring.age", "passphrase does not open", "passphrase_file"],
            );
            unspoken(world, &outcome, secret);
        }
        without_passphrase_no_service(world, secret);
    });
    with_file(&world.path("shop/passphrase.txt"), None, || {
        let outcome = seal(world, "shop", "purchases", &purchases);
        refused(
            &outcome,
            1,
            &["passphrase.txt", "No such file", "`passphrase_file`"],
        );
    });
}

fn without_passphrase_no_service(world: &World, secret: &[u8]) {
    let outcome = run(world, &["party", "serve", "--party", &world.path("shop")]);
    refused(&outcome, 1, &["key ring", "passphrase", "`[keys]`"]);
    unspoken(world, &outcome, secret);
}

fn unknown_configuration_key(world: &World) {
    for (file, command) in [
        ("shop/party.toml", vec!["status", "--party", "shop"]),
        ("shop/party.toml", vec!["party", "serve", "--party", "shop"]),
        (
            "room/room.toml",
            vec!["room", "serve", "--config", "room/room.toml"],
        ),
    ] {
        let mut arguments: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let last = arguments.pop().unwrap();
        arguments.push(world.path(&last));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let edit = |text: &str| text.replacen("listen", "lissen = 1\nlisten", 1);
        let text = std::fs::read_to_string(world.path(file)).unwrap();
        let line = edit(&text)
            .lines()
            .position(|line| line.starts_with("lissen"))
            .unwrap()
            + 1;
        with_edit(&world.path(file), edit, || {
            let place = format!("{file}:{line}:1");
            refused(
                &run(world, &arguments),
                1,
                &[&place, "unknown field `lissen`"],
            );
        });
        with_edit(
            &world.path(file),
            |text| text.replacen("/1\"", "/2\"", 1),
            || {
                refused(
                    &run(world, &arguments),
                    1,
                    &["/2`, not `incamera-", "newer version"],
                );
            },
        );
    }
}

fn foreign_data_set(world: &World) {
    let outcome = seal(
        world,
        "mailer",
        "purchases",
        &world.path("data/purchases.csv"),
    );
    refused(
        &outcome,
        2,
        &["`purchases` is no data set of `mailer`", "`mailing`"],
    );
}

/// Another agreement digest than the one that was signed.
fn changed_agreement(world: &World) {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let edits: [fn(&str) -> String; 2] = [
        |text| format!("{text}\n# one more line\n"),
        |text| text.replacen("epsilon = 1.0 ", "epsilon = 9.0 ", 1),
    ];
    for edit in edits {
        let before = charges(world);
        with_edit(&file, edit, || {
            for outcome in in_force(world) {
                refused(
                    &outcome,
                    3,
                    &[
                        "not in force",
                        "not over this file",
                        "`incamera agreement sign`",
                    ],
                );
            }
        });
        assert_eq!(charges(world), before);
    }
}

/// Everything that needs an agreement in force, as the mailer's people run it.
fn in_force(world: &World) -> Vec<Outcome> {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let (mailer, mailing) = (world.path("mailer"), world.path("data/mailing.csv"));
    vec![
        world.query(&[]),
        run(world, &["data", "push", "--party", &mailer]),
        run(
            world,
            &[
                "match", "run", "--party", &mailer, "--data", &mailing, "--wait", "1",
            ],
        ),
        run(world, &["verify", &file]),
    ]
}

/// Once all have signed version 2, version 1 opens nothing more; what was sealed and spent
/// under version 1 lives on.
fn newer_version(world: &World) {
    let first = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let digest = run(world, &["agreement", "check", &first]).text("/digest");
    world.agree("second", |text| {
        let head = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
        let text = text.replacen("\"second\"", &format!("\"{AGREEMENT}\""), 1);
        text.replacen("version = 1", &head, 1)
            .replacen("min_people = 50", "min_people = 60", 1)
    });
    let second = world.path("mailer/agreements/second.toml");
    let changes = run(world, &["agreement", "diff", &first, &second]);
    let changes = changes.text("/changes");
    assert!(
        changes.contains("version 2 follows version 1") && changes.contains("60"),
        "{changes}"
    );
    let before = charges(world);
    let outcome = world.query(&[]);
    refused(
        &outcome,
        3,
        &[
            "version 2 of this agreement is in force",
            "use the newest version",
        ],
    );
    assert_eq!(charges(world), before);
    without_service(world, "room", || {
        world.write_room("second");
        world.start_room();
        answer(&world.query_under("second", &[]));
        world.stage.stop("room");
        world.write_room(AGREEMENT);
    });
    assert!(
        charges(world) > before,
        "the new version's question was not charged beside the old"
    );
    forget(world, "second");
}

fn unreadable_agreement(world: &World) {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let edits: [(fn(&str) -> String, &str); 3] = [
        (|text| text.replacen("[room]", "[room", 1), "line "),
        (
            |text| text.replacen("min_people", "min_poeple", 1),
            "min_poeple",
        ),
        (
            |text| text.replacen("incamera-agreement/1", "incamera-agreement/9", 1),
            "reads incamera-agreement/1 and not this format",
        ),
    ];
    for (edit, says) in edits {
        with_edit(&file, edit, || {
            for verb in ["check", "show"] {
                let outcome = run(world, &["agreement", verb, &file]);
                refused(
                    &outcome,
                    1,
                    &["is not a valid agreement", "line ", "column ", says],
                );
            }
            refused(&world.query(&[]), 1, &["is not a valid agreement", says]);
        });
    }
}

/// One missing signature opens nothing, wherever it is missing.
fn missing_signature(world: &World) {
    let before = charges(world);
    let ours = world.path(&format!("mailer/agreements/{AGREEMENT}.toml.shop.sig"));
    with_file(&ours, None, || {
        for outcome in in_force(world) {
            refused(
                &outcome,
                3,
                &[
                    "not in force",
                    "no signature of `shop`",
                    "`incamera agreement sign`",
                ],
            );
        }
    });
    with_file(&ours, Some(b"no signature at all"), || {
        for outcome in in_force(world) {
            refused(
                &outcome,
                1,
                &["not in force", "is not an SSH signature", ".sig file"],
            );
        }
    });
    let theirs = world.path(&format!("shop/agreements/{AGREEMENT}.toml.mailer.sig"));
    with_file(&theirs, None, || {
        let outcome = world.query(&[]);
        refused(
            &outcome,
            3,
            &["lacks a valid signature of `mailer`", ".sig files"],
        );
    });
    assert_eq!(charges(world), before, "an unsigned agreement was charged");
    without_service(world, "room", || {
        with_file(
            &world.path(&format!("room/{AGREEMENT}.toml.shop.sig")),
            None,
            || {
                let config = world.path("room/room.toml");
                let outcome = run(world, &["room", "serve", "--config", &config]);
                assert_ne!(outcome.code, 0);
                let text = outcome.failure();
                assert!(text.contains("no signature of `shop`"), "{text}");
            },
        );
    });
}

fn expired_agreement(world: &World) {
    world.agree("over", |text| {
        let day = text
            .lines()
            .find(|line| line.starts_with("expires = "))
            .unwrap()
            .to_owned();
        text.replacen(&day, "expires = 2026-01-31", 1)
    });
    let file = world.path("mailer/agreements/over.toml");
    let (mailer, mailing) = (world.path("mailer"), world.path("data/mailing.csv"));
    let before = charges(world);
    for outcome in [
        world.query_under("over", &[]),
        run(
            world,
            &["data", "push", "--party", &mailer, "--agreement", &file],
        ),
        run(
            world,
            &[
                "match",
                "run",
                "--party",
                &mailer,
                "--agreement",
                &file,
                "--data",
                &mailing,
            ],
        ),
        run(world, &["verify", &file]),
    ] {
        refused(
            &outcome,
            3,
            &[
                "not in force",
                "expired at the end of 2026-01-31",
                "later `expires`",
            ],
        );
    }
    assert_eq!(charges(world), before);
    forget(world, "over");
}

/// Takes an agreement out of all folders, so that there is only one again.
fn forget(world: &World, name: &str) {
    for folder in ["shop/agreements", "mailer/agreements", "room"] {
        for (path, _) in files(Path::new(&world.path(folder))) {
            let file = path.file_name().unwrap().as_bytes();
            if file.starts_with(format!("{name}.toml").as_bytes()) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

fn question_not_agreed(world: &World) {
    let (ana, before) = ("mailer/ana", charges(world));
    let asked = |words: &[&str]| query_with(world, &[&["--as", ana], words].concat());
    let [from, until] = WINDOW;
    refused(
        &asked(&["gift", from, until]),
        2,
        &["no query `gift`", "`lift`"],
    );
    refused(
        &asked(&["lift", from, until, "day=2026-04-01"]),
        2,
        &["no parameter `day`", "`from`"],
    );
    refused(
        &asked(&["lift", from]),
        2,
        &["`until` is missing", "until=VALUE", "date"],
    );
    refused(
        &asked(&["lift", from, "until"]),
        2,
        &["is no parameter", "NAME=VALUE"],
    );
    let outcome = asked(&["lift", from, "until=31.5.2026-7731"]);
    refused(&outcome, 2, &["`until` has no valid value", "not a date"]);
    unspoken(world, &outcome, b"7731");
    let outcome = asked(&["lift", from, until, "--purpose", "ads"]);
    refused(
        &outcome,
        3,
        &["serves the purpose `measurement` and no other"],
    );
    let explained = run(
        world,
        &[
            "query",
            "explain",
            "lift",
            "--agreement",
            &world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
            from,
        ],
    );
    refused(&explained, 2, &["`until` is missing"]);
    assert_eq!(
        charges(world),
        before,
        "a question that was not agreed was charged"
    );
}

fn wrong_analyst(world: &World) {
    let before = charges(world);
    let [from, until] = WINDOW;
    let other = query_with(world, &["lift", from, until, "--as", "mailer/eve"]);
    refused(&other, 3, &["knows no such analyst"]);
    let stranger = world.path("shop/signing_key");
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let run_as = |key: &str| {
        run(
            world,
            &[
                "query",
                "run",
                "lift",
                "--agreement",
                &file,
                "--as",
                "mailer/ana",
                "--key",
                key,
                "--yes",
                from,
                until,
            ],
        )
    };
    refused(&run_as(&stranger), 3, &["signature"]);
    refused(
        &run_as(&world.path("absent")),
        1,
        &["absent", "was not read"],
    );
    refused(
        &run_as(&world.path("data/mailing.csv")),
        1,
        &["no OpenSSH private key", "ssh-keygen"],
    );
    assert_eq!(charges(world), before);
}

/// A receipt vouches for every byte of the answer.
fn changed_release(world: &World) {
    answer(&world.query(&[]));
    let (release, agreement) = (
        world.path("answer.release"),
        world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
    );
    let verify = || run(world, &["verify", &release, "--agreement", &agreement]);
    assert_eq!(verify().code, 0);
    let bytes = std::fs::read(&release).unwrap();
    let (mut held, step) = (Vec::new(), (bytes.len() / 25).max(1));
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        with_file(&release, Some(&changed), || {
            let outcome = verify();
            if outcome.code == 0 {
                held.push(at);
            }
        });
    }
    assert!(
        held.is_empty(),
        "changed bytes {held:?} of {} were not noticed",
        bytes.len()
    );
    with_file(&release, Some(&bytes[..bytes.len() / 2]), || {
        assert_ne!(verify().code, 0)
    });
    refused(
        &run(world, &["verify", &release]),
        2,
        &["which agreement", "--agreement"],
    );
}

fn absent_peer(world: &World) {
    for (party, file) in [("shop", "customers"), ("mailer", "mailing")] {
        let data = world.path(&format!("data/{file}.csv"));
        let folder = world.path(party);
        let crosswalks = PathBuf::from(world.path(&format!("{party}/crosswalks")));
        let before = files(&crosswalks);
        let outcome = run(
            world,
            &[
                "match", "run", "--party", &folder, "--data", &data, "--wait", "1",
            ],
        );
        refused(
            &outcome,
            1,
            &["did not come to match", "within 1 s", "--wait"],
        );
        assert!(
            before == files(&crosswalks),
            "the crosswalk of {party} was changed"
        );
    }
}

/// Only runs for which both came are counted.
fn too_many_runs(world: &World) {
    world.agree("few-runs", |text| {
        text.replacen("max_runs = 12", "max_runs = 1", 1)
    });
    let side = |party: &str, file: &str, wait: &str| {
        let (folder, data) = (world.path(party), world.path(&format!("data/{file}.csv")));
        let agreement = world.path(&format!("{party}/agreements/few-runs.toml"));
        run(
            world,
            &[
                "match",
                "run",
                "--party",
                &folder,
                "--agreement",
                &agreement,
                "--data",
                &data,
                "--wait",
                wait,
            ],
        )
    };
    for _ in 0..2 {
        refused(
            &side("mailer", "mailing", "0"),
            1,
            &["did not come to match"],
        );
    }
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| side("mailer", "mailing", "60"));
        let ours = side("shop", "customers", "60");
        for outcome in [ours, theirs.join().unwrap()] {
            assert_eq!(outcome.code, 0, "{}", outcome.failure());
        }
    });
    for (party, file) in [("shop", "customers"), ("mailer", "mailing")] {
        let outcome = side(party, file, "0");
        refused(
            &outcome,
            3,
            &["no more matching runs", "allows 1 runs", "`max_runs`"],
        );
    }
    forget(world, "few-runs");
}

fn absent_party(world: &World) {
    let customers = world.path("data/customers.csv");
    let before = charges(world);
    // A window that was not asked for yet: it would be charged.
    let window = ["from=2026-03-02", "until=2026-05-30"];
    without_service(world, "shop", || {
        refused(&world.query(&window), 1, &["`shop`"]);
        assert_eq!(
            world.spent("mailer"),
            before.1,
            "the mailer was charged for no answer"
        );
        let status = run(world, &["status", "--party", &world.path("shop")]);
        refused(&status, 1, &["not reached", "`incamera party serve`"]);
        let pushed = run(world, &["data", "push", "--party", &world.path("shop")]);
        refused(
            &pushed,
            1,
            &["`shop` was not reached", "`incamera party serve`"],
        );
    });
    without_service(world, "mailer", || {
        refused(&world.query(&window), 1, &["`mailer`"]);
        assert_eq!(
            world.spent("shop"),
            before.0,
            "the shop was charged for no answer"
        );
    });
    // The shop's people meet the mailer's at the shop, whose name comes later.
    without_service(world, "shop", || {
        let outcome = match_shop(world, &customers);
        refused(
            &outcome,
            1,
            &["`shop` was not reached", "is the service running"],
        );
    });
    without_service(world, "room", || {
        for outcome in [
            world.query(&[]),
            run(world, &["data", "push", "--party", &world.path("shop")]),
        ] {
            refused(
                &outcome,
                1,
                &["the room was not reached", "is the service running"],
            );
        }
    });
    assert_eq!(charges(world), before);
    answer(&world.query(&window));
}

/// After all of that: nothing was lost, and the runs that failed did not count as runs.
fn all_is_well(world: &World) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    assert_eq!(answer(&world.query(&[])), first);
    assert_eq!(charges(world), before);
    world.match_people();
    world.seal();
    world.push();
    answer(&world.query(&[]));
    assert_ne!(charges(world), before, "other data are another question");
}

// ---------------------------------------------------------------------------------------------
// In the room: its disk and its agreement are the operator's to change.

#[test]
fn in_the_room() {
    let world = World::ready();
    all(
        &world,
        &[
            ("a changed part", changed_part),
            ("a part that is gone", lost_part),
            ("a changed manifest", changed_manifest),
            ("an emptied disk", emptied_disk),
            ("an old version", old_version),
            (
                "a room under another agreement",
                room_under_another_agreement,
            ),
            ("another program in the room", other_measurement),
        ],
    );
}

fn parts(world: &World, dataset: &str) -> Vec<PathBuf> {
    let all = files(Path::new(
        &world.path(&format!("room/storage/{dataset}/parts")),
    ));
    all.into_iter().map(|(path, _)| path).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// `harm` is noticed and named, costs nothing, and one push of the owner mends it: the repeat
/// is free and the answer the same.
fn harmed_then_mended(world: &World, owner: &str, code: i32, says: &[&str], harm: impl FnOnce()) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    harm();
    refused(&world.query(&[]), code, says);
    assert_eq!(charges(world), before, "a refusal was charged");
    world.push_one(owner);
    assert_eq!(
        answer(&world.query(&[])),
        first,
        "another answer after mending"
    );
    assert_eq!(charges(world), before, "the repeat was charged");
}

fn changed_part(world: &World) {
    for (owner, dataset, at) in [("shop", "purchases", 700), ("mailer", "mailing", 5)] {
        let part = parts(world, dataset).pop().unwrap();
        let id = part.file_stem().unwrap().to_str().unwrap().to_owned();
        let says = [dataset, id.as_str(), "changed or cut off", "data push"];
        harmed_then_mended(world, owner, 1, &says, || flip(&part, at));
    }
}

fn lost_part(world: &World) {
    let part = parts(world, "customers").pop().unwrap();
    let id = part.file_stem().unwrap().to_str().unwrap().to_owned();
    let says = ["customers", id.as_str(), "data push"];
    harmed_then_mended(world, "shop", 1, &says, || {
        std::fs::remove_file(&part).unwrap()
    });
}

fn changed_manifest(world: &World) {
    let path = PathBuf::from(world.path("room/storage/purchases/manifest"));
    let length = std::fs::read(&path).unwrap().len();
    for at in [3, length / 2, length - 1] {
        let says = ["purchases", "not its owner's", "push"];
        harmed_then_mended(world, "shop", 1, &says, || flip(&path, at));
    }
    let says = ["purchases", "push"];
    harmed_then_mended(world, "shop", 1, &says, || {
        std::fs::write(&path, b"").unwrap()
    });
}

fn emptied_disk(world: &World) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    std::fs::remove_dir_all(world.path("room/storage")).unwrap();
    refused(
        &world.query(&[]),
        1,
        &["the room has no data set", "`incamera data push`"],
    );
    world.push();
    assert_eq!(answer(&world.query(&[])), first);
    assert_eq!(charges(world), before);
}

/// The operator puts an older version back: the owner's broker knows a newer one.
fn old_version(world: &World) {
    let storage = PathBuf::from(world.path("room/storage/purchases"));
    let old = files(&storage);
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    answer(&world.query(&[]));
    harmed_then_mended(world, "shop", 3, &["purchases", "newest", "push"], || {
        std::fs::remove_dir_all(&storage).unwrap();
        for (path, bytes) in &old {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    });
}

fn room_under_another_agreement(world: &World) {
    let before = charges(world);
    world.agree("other-campaign", |text| text);
    world.stage.stop("room");
    world.write_room("other-campaign");
    world.start_room();
    let mailer = world.path("mailer");
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    for outcome in [
        world.query(&[]),
        run(
            world,
            &["data", "push", "--party", &mailer, "--agreement", &file],
        ),
    ] {
        refused(
            &outcome,
            4,
            &[
                "evidence does not hold",
                "another agreement",
                "newest version",
            ],
        );
    }
    // Data sealed under one agreement are not taken under another.
    let sealed = PathBuf::from(world.path("mailer/sealed"));
    let mut entries = std::fs::read_dir(&sealed).unwrap();
    let first = entries.next().unwrap().unwrap().path();
    let id = run(
        world,
        &[
            "agreement",
            "check",
            &world.path("mailer/agreements/other-campaign.toml"),
        ],
    )
    .text("/id");
    let other = sealed.join(&id[..16]);
    std::fs::rename(&first, &other).unwrap();
    let file = world.path("mailer/agreements/other-campaign.toml");
    let outcome = run(
        world,
        &["data", "push", "--party", &mailer, "--agreement", &file],
    );
    std::fs::rename(&other, &first).unwrap();
    refused(&outcome, 3, &["agreement", "seal"]);
    world.stage.stop("room");
    world.write_room(AGREEMENT);
    world.start_room();
    forget(world, "other-campaign");
    assert_eq!(charges(world), before);
    answer(&world.query(&[]));
}

/// The same program with one byte more is another program: its evidence is not accepted.
fn other_measurement(world: &World) {
    let before = charges(world);
    let changed = world.root().join("changed-program");
    let mut bytes = std::fs::read(PROGRAM).unwrap();
    bytes.push(0);
    std::fs::write(&changed, bytes).unwrap();
    std::fs::set_permissions(&changed, std::fs::metadata(PROGRAM).unwrap().permissions()).unwrap();
    world.stage.stop("room");
    let stage = incamera_testkit::stage::Stage::new(changed);
    let (config, log) = (world.path("room/room.toml"), world.root().join("room.log"));
    stage
        .start(
            "room",
            &["room", "serve", "--config", &config],
            &[],
            &log,
            world.room.listens,
        )
        .unwrap();
    for outcome in [
        world.query(&[]),
        run(world, &["data", "push", "--party", &world.path("shop")]),
    ] {
        refused(
            &outcome,
            4,
            &["evidence does not hold", "`incamera room measure`"],
        );
    }
    stage.stop_all();
    world.start_room();
    assert_eq!(charges(world), before);
    answer(&world.query(&[]));
}

// ---------------------------------------------------------------------------------------------
// The budget.

/// The shop's ceiling in the agreement allows one run. Another question is refused and charged
/// to nobody; the first one stays free; the owner's own ceiling counts as well.
#[test]
fn an_exhausted_budget_stops_other_questions_only() {
    let world = World::agreed();
    forget(&world, AGREEMENT);
    world.agree("one-run", |text| {
        text.replacen("epsilon = 8.0", "epsilon = 1.0", 1)
    });
    world.write_room("one-run");
    world.prepare(&Data::small());
    let first = world.query_under("one-run", &[]);
    let table = answer(&first);
    let before = charges(&world);
    assert!(before.0 > 0 && before.1 > 0, "{before:?}");
    let other = ["from=2026-04-01", "until=2026-04-30"];
    let outcome = world.query_under("one-run", &other);
    refused(&outcome, 5, &["budget", "exhausted", "`shop`"]);
    assert!(
        !outcome.text("/error/hint").is_empty(),
        "no hint: {}",
        outcome.document
    );
    assert_eq!(charges(&world), before, "a refusal was charged");
    assert_eq!(
        answer(&world.query_under("one-run", &[])),
        table,
        "the repeat is another answer"
    );
    assert_eq!(charges(&world), before, "the repeat was charged");
    own_ceiling_counts(&world);
}

/// The mailer's agreement would allow more; its own configuration does not.
fn own_ceiling_counts(world: &World) {
    let before = charges(world);
    let config = world.path("mailer/party.toml");
    world.stage.stop("mailer");
    with_edit(
        &config,
        |text| text.replacen("epsilon = 20.0", "epsilon = 1.0", 1),
        || {
            world.start_party("mailer", &[]);
            let outcome = world.query_under("one-run", &["from=2026-04-01", "until=2026-04-29"]);
            refused(&outcome, 5, &["budget", "exhausted"]);
            assert_eq!(charges(world), before);
            assert_eq!(
                world.query_under("one-run", &[]).code,
                0,
                "a repeat needs no budget"
            );
        },
    );
}
