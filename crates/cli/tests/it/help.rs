//! What the command says about itself, and how it fails when it is used wrongly.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::PROGRAM;

/// Runs the program as a script would: no terminal, nothing of the caller's environment that
/// changes texts. `TERM` promises colours, so that their absence means something.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env_remove("INCAMERA_PARTY")
        .env_remove("INCAMERA_KEY_PASSPHRASE_FILE")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The text of `--help` for a command such as `["data", "seal"]`.
pub fn help_of(command: &[String]) -> String {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push("--help");
    let output = run(&arguments);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{arguments:?}: {}",
        stderr(&output)
    );
    assert_eq!(stderr(&output), "", "{arguments:?}");
    stdout(&output)
}

/// The words under `Commands:` in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Continued descriptions are indented further than names.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command, the program itself (an empty list of words) first.
pub fn commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while let Some(command) = all.get(at).cloned() {
        for name in subcommands(&help_of(&command)) {
            all.push([command.clone(), vec![name]].concat());
        }
        at += 1;
    }
    all
}

#[test]
fn every_help_is_as_reviewed() {
    let all = commands();
    assert!(all.len() > 20, "only {} commands were found", all.len());
    for command in all {
        let help = help_of(&command);
        assert!(
            !help.contains('\u{1b}'),
            "colour without a terminal: {command:?}"
        );
        let name = match command.as_slice() {
            [] => "incamera".to_owned(),
            words => words.join("-"),
        };
        insta::with_settings!({ description => format!("incamera {} --help", command.join(" ")) }, {
            insta::assert_snapshot!(format!("help-{name}"), help);
        });
    }
}

#[test]
fn the_commands_are_those_of_the_design() {
    let found: BTreeSet<String> = commands().iter().map(|words| words.join(" ")).collect();
    for wanted in [
        "init",
        "demo",
        "verify",
        "status",
        "agreement new",
        "agreement check",
        "agreement show",
        "agreement sign",
        "agreement diff",
        "party serve",
        "room serve",
        "match run",
        "ring show",
        "ring recipients",
        "ring new",
        "ring recover",
        "ring change",
        "data seal",
        "data push",
        "data inspect",
        "query explain",
        "query run",
        "query template",
    ] {
        assert!(found.contains(wanted), "there is no `incamera {wanted}`");
    }
}

#[test]
fn help_of_the_program_lists_the_exit_codes() {
    let help = help_of(&[]);
    for code in [
        "0 done",
        "1 failed",
        "2 wrong usage",
        "3 refused by policy",
        "4 attestation",
        "5 budget",
        "130 `match run`",
    ] {
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(code), "`{code}` is not in:\n{help}");
    }
}

#[test]
fn version_is_one_line() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        format!("incamera {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// Wrong use that the parser of arguments finds.
const MISUSES: [&[&str]; 9] = [
    &[],
    &["agreement"],
    &["nonsense"],
    &["agreement", "nonsense", "a.toml"],
    &["status", "--nonsense"],
    &["init", "folder"],
    &["init", "folder", "--name", "Not A Name"],
    &["agreement", "new", "--for", "nonsense"],
    &["match", "run"],
];

/// Wrong use that a command finds; `@` stands for an empty folder.
const MISTAKES: [&[&str]; 8] = [
    &["status", "--party", "@"],
    &["party", "serve", "--party", "@"],
    &["match", "run", "--party", "@", "--data", "@/a.csv"],
    &[
        "data",
        "seal",
        "customers",
        "--party",
        "@",
        "--data",
        "@/a.csv",
    ],
    &["data", "push", "--party", "@"],
    &["verify", "@/notes.txt"],
    &["verify", "@/notes.txt", "--agreement", "@/notes.txt"],
    &[
        "init",
        "@/new",
        "--name",
        "shop",
        "--passphrase-file",
        "@/short.txt",
    ],
];

fn mistakes(folder: &Path) -> Vec<Vec<String>> {
    std::fs::write(folder.join("notes.txt"), "nothing of ours\n").unwrap();
    std::fs::write(folder.join("short.txt"), "short\n").unwrap();
    let here = folder.display().to_string();
    let placed = MISTAKES
        .iter()
        .map(|words| words.iter().map(|word| word.replace('@', &here)));
    placed.map(Iterator::collect).collect()
}

#[test]
fn wrong_use_ends_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let placed = mistakes(folder.path());
    let placed = placed
        .iter()
        .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    for words in MISUSES.iter().map(|words| words.to_vec()).chain(placed) {
        let output = run(&words);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "", "{words:?} writes a result");
        let errors = stderr(&output);
        assert!(
            !errors.is_empty() && !errors.contains('\u{1b}'),
            "{words:?}: {errors}"
        );
    }
    assert!(
        !folder.path().join("new/signing_key").exists(),
        "a short passphrase made keys"
    );
}

/// With `--json` a failure is one document on standard output, whoever found it.
#[test]
fn a_failure_as_json_is_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let placed = mistakes(folder.path());
    let placed = placed
        .iter()
        .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    for mut words in MISUSES.iter().map(|words| words.to_vec()).chain(placed) {
        words.push("--json");
        let output = run(&words);
        let text = stdout(&output);
        let document: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {text:?} {}", stderr(&output)));
        assert_eq!(document["format"], "incamera-failure/1", "{words:?}");
        assert_eq!(document["error"]["exit"], 2, "{words:?}");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let what = document["error"]["what"].as_str().unwrap();
        assert!(
            !what.is_empty() && !what.contains('\n'),
            "{words:?}: {what:?}"
        );
        assert!(document["error"]["why"].is_array(), "{words:?}");
        assert_eq!(stderr(&output), "", "{words:?} says it twice");
    }
}

/// `--help` and `--version` are no failures, and text even where JSON is asked for.
#[test]
fn help_stays_text_beside_json() {
    for words in [["--json", "--help"], ["--json", "--version"]] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(
            stdout(&output).starts_with(|first: char| first.is_alphabetic()),
            "{words:?}"
        );
    }
}

/// An agreement with faults: what, why, the place drawn into the text, what to do; no colour.
#[test]
fn a_faulty_agreement_is_drawn_without_colour() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("draft.toml");
    let name = file.display().to_string();
    let made = run(&[
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--out",
        &name,
    ]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    for verb in ["check", "show"] {
        let output = run(&["agreement", verb, &name]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        let errors = stderr(&output);
        assert!(errors.starts_with("error: "), "{errors}");
        assert!(errors.contains("\n  cause: line "), "{errors}");
        assert!(
            errors.contains("FILL IN"),
            "the text is not drawn: {errors}"
        );
        assert!(errors.contains("\n  hint: "), "{errors}");
        assert!(!errors.contains('\u{1b}'), "{errors:?}");
    }
}

#[test]
fn prose_of_failures_is_as_reviewed() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = String::new();
    for words in mistakes(folder.path()) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = format!("$ incamera {}\n{}\n", words.join(" "), stderr(&run(&words)));
        shown += &text.replace(&folder.path().display().to_string(), "FOLDER");
    }
    insta::assert_snapshot!("mistakes", shown);
}

/// Nothing is overwritten: neither a party's folder nor an agreement.
#[test]
fn nothing_is_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let party = folder.path().join("shop").display().to_string();
    let draft = folder.path().join("draft.toml").display().to_string();
    let init: &[&str] = &["init", &party, "--name", "shop"];
    let new: &[&str] = &[
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--out",
        &draft,
    ];
    for words in [init, new] {
        assert_eq!(run(words).status.code(), Some(0), "{words:?}");
    }
    let ring = folder.path().join("shop/ring.age");
    let before = (
        std::fs::read(&ring).unwrap(),
        std::fs::read(&draft).unwrap(),
    );
    for words in [init, new] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(
            stderr(&output).contains("overwritten"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(
        before,
        (
            std::fs::read(&ring).unwrap(),
            std::fs::read(&draft).unwrap()
        )
    );
}

/// A reader that went away is no error.
#[test]
fn a_closed_pipe_is_no_error() {
    for words in [
        &["--help"][..],
        &["agreement", "new", "--for", "ad-measurement"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(PROGRAM);
        let output = command
            .args(words)
            .stdin(Stdio::null())
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            stderr(&output)
        );
        assert_eq!(stderr(&output), "", "{words:?}");
    }
}
