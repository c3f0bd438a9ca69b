//! `incamera demo`: the whole story, without a terminal, twice, and interrupted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::help::{run, stderr, stdout};
use crate::world::PROGRAM;

const PEOPLE: &str = "2000";

/// Processes whose command line names something in `folder`.
fn processes_of(folder: &Path) -> Vec<String> {
    let mark = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        // What ends meanwhile reads as nothing.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&mark) {
            found.push(format!("{}: {line}", entry.path().display()));
        }
    }
    found
}

/// Everything that the demo promises to say, in this order.
const SAYS: [&str; 26] = [
    "SIMULATED TEE",
    "data ",
    "agree ",
    "incamera agreement show ",
    "start ",
    "match ",
    "hidden: who else has the same person",
    "seal ",
    "push ",
    "ask ",
    "hidden: rows",
    "people",
    "mailed",
    "this run: epsilon 1.0",
    "exact, known to the demo alone",
    "mailed",
    "Now the adversary:",
    "searches for one customer's e-mail: room's disk 0 hits",
    "0 hits; the shop's own CSV 1",
    "asks for purpose `ads` over measurement columns: refused (exit 3)",
    "the same question again: same answer, cost 0",
    "flips a byte of a sealed part: refused, part ",
    "pushed again, the repeat: same answer, cost 0",
    "restarts the room from a copy of its folder older than the first question, asks again: same answer, cost 0, budgets as before",
    "starts a room under another agreement: refused before anything was asked (exit 4)",
    "checks the shop's signature with ssh-keygen: ",
];

fn says_in_order(told: &str) {
    let mut rest = told;
    for words in SAYS {
        let at = rest
            .find(words)
            .unwrap_or_else(|| panic!("`{words}` is not told, or too early:\n{told}"));
        rest = &rest[at + words.len()..];
    }
    for words in ["Done in ", "SIMULATED TEE", "Everything lies in "] {
        assert!(
            rest.contains(words),
            "`{words}` is not told at the end:\n{told}"
        );
    }
}

/// The commands under "Try next", as words after `incamera`.
fn next_commands(told: &str) -> Vec<Vec<&str>> {
    let after = told.split("Try next:\n").nth(1).unwrap();
    let lines = after
        .lines()
        .filter_map(|line| line.strip_prefix("  incamera "));
    lines
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn the_demo_tells_the_whole_story_and_does_so_again() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("demo");
    let name = folder.display().to_string();
    let first = run(&["demo", &name, "--people", PEOPLE]);
    assert_eq!(
        first.status.code(),
        Some(0),
        "{}{}",
        stdout(&first),
        stderr(&first)
    );
    let told = stdout(&first);
    assert!(!told.contains('\u{1b}'), "colour without a terminal");
    says_in_order(&told);
    assert!(told.contains(&name), "the folder is not named");
    let next = next_commands(&told);
    assert!(next.len() >= 3, "{told}");
    for words in next {
        let output = run(&words);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            stderr(&output)
        );
        assert!(!stdout(&output).is_empty(), "{words:?}");
    }
    assert_eq!(
        processes_of(&folder),
        Vec::<String>::new(),
        "processes are left"
    );
    again(&folder);
}

/// A second run clears the folder of the first, and can be asked for JSON.
fn again(folder: &Path) {
    let stray = folder.join("stray.txt");
    std::fs::write(&stray, "of the first run").unwrap();
    let name = folder.display().to_string();
    let output = run(&["demo", &name, "--people", "400", "--seed", "2", "--json"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?}", stdout(&output)));
    assert_eq!(document["format"], "incamera-demo/1");
    assert_eq!(document["simulated"], true);
    assert_eq!(document["adversary"].as_array().map(Vec::len), Some(8));
    assert!(!stray.exists(), "the folder was not cleared");
    assert_eq!(
        processes_of(folder),
        Vec::<String>::new(),
        "processes are left"
    );
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("thesis.txt"), "years of work").unwrap();
    let output = run(&[
        "demo",
        &place.path().display().to_string(),
        "--people",
        PEOPLE,
    ]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let errors = stderr(&output);
    assert!(errors.contains("was not made by the demo"), "{errors}");
    assert!(errors.contains("hint: name another folder"), "{errors}");
    let left: Vec<_> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["thesis.txt"]);
    let text = std::fs::read_to_string(place.path().join("thesis.txt")).unwrap();
    assert_eq!(text, "years of work");
}

/// A running demo; ended for good if a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &["--people", PEOPLE])
    }

    fn start_with(folder: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .arg("demo")
            .arg(folder)
            .args(more)
            .env_remove("INCAMERA_PARTY");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Reads what is told until a line starts so; returns all of it.
    fn told_until(&mut self, start: &str) -> String {
        let mut told = String::new();
        for line in BufReader::new(self.0.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            told.push_str(&line);
            told.push('\n');
            if line.starts_with(start) {
                return told;
            }
        }
        panic!("the demo ended before it told of `{start}`:\n{told}");
    }

    /// Sent to the demo alone: its children hear of it from the demo or not at all.
    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn ends_within(&mut self, limit: Duration) -> i32 {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the demo did not end within {limit:?} of the signal");
    }
}

/// `--stay` leaves the room answering: the commands it names work, and Ctrl-C ends all of it.
#[test]
fn with_stay_everything_goes_on_until_ctrl_c() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = Running::start_with(place.path(), &["--people", "400", "--stay"]);
    let told = demo.told_until("  incamera status ");
    let next = next_commands(&told);
    assert!(
        next.iter().any(|words| words[..2] == ["query", "run"]),
        "{told}"
    );
    for words in next {
        let output = run(&words);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words:?}: {}",
            stderr(&output)
        );
    }
    assert!(
        demo.0.try_wait().unwrap().is_none(),
        "the demo did not stay"
    );
    demo.signal("-INT");
    assert_eq!(demo.ends_within(Duration::from_secs(20)), 0);
    assert_eq!(processes_of(place.path()), Vec::<String>::new());
}

/// Ctrl-C, or being told to end, while commands run and while services do: no process is left.
#[test]
fn ctrl_c_leaves_no_process_behind() {
    for (moment, signal) in [("agree", "-INT"), ("start", "-TERM"), ("match", "-INT")] {
        let place = tempfile::tempdir().unwrap();
        let mut demo = Running::start(place.path());
        demo.told_until(moment);
        let running = processes_of(place.path());
        assert!(
            !running.is_empty(),
            "the search for processes finds nothing"
        );
        demo.signal(signal);
        let code = demo.ends_within(Duration::from_secs(20));
        assert_eq!(code, 1, "{signal} after `{moment}`");
        let left = processes_of(place.path());
        assert_eq!(
            left,
            Vec::<String>::new(),
            "left by {signal} after `{moment}`"
        );
    }
}
