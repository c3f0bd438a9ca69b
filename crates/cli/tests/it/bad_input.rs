//! Bad input: each a clear error with its exit code that says what, why and what to do;
//! nothing is lost (a good run works afterwards) and nothing leaks (the bad value stands in no
//! output and no log).
//!
//! A replayed or altered request, and replayed evidence or grants, cannot be made with the
//! command alone. The tests of `incamera-release` make them: `i4_old_grants_and_requests_open_nothing`,
//! `i4_old_evidence_and_old_challenges_are_refused`, `i9_a_replayed_grant_opens_nothing`.
//!
//! A world takes seconds to make. Cases that leave it as it was share one: a case is a function
//! that gets the world, and all cases run even if one fails.

mod agreements;
mod files;
mod questions;
mod room;

use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use incamera_testkit::stage::Outcome;

use crate::world::{AGREEMENT, Data, World};

type Case = (&'static str, fn(&World));

/// Runs all cases, then fails if one did.
fn all(world: &World, cases: &[Case]) {
    let mut failed = Vec::new();
    for (name, case) in cases {
        if catch_unwind(AssertUnwindSafe(|| case(world))).is_err() {
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
            "--everyone-consented",
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
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
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
    let before = contents(&sealed);
    let outcome = seal(world, "shop", dataset, &file);
    refused(&outcome, 1, says);
    assert!(
        before == contents(&sealed),
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

/// Files, keys, agreements and questions of people at home.
#[test]
fn at_home() {
    let world = World::ready();
    all(
        &world,
        &[
            files::CASES,
            agreements::CASES,
            questions::CASES,
            agreements::LAST,
        ]
        .concat(),
    );
}

/// The room's disk, agreement and program are the operator's to change.
#[test]
fn in_the_room() {
    let world = World::ready();
    all(&world, room::CASES);
}

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

/// Takes an agreement out of all folders, so that there is only one again.
fn forget(world: &World, name: &str) {
    for folder in ["shop/agreements", "mailer/agreements", "room"] {
        for (path, _) in contents(Path::new(&world.path(folder))) {
            let file = path.file_name().unwrap().as_bytes();
            if file.starts_with(format!("{name}.toml").as_bytes()) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}
