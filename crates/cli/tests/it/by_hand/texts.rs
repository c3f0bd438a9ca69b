//! README, documents and hints name only commands that there are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{readme, repository};
use crate::help::{commands, help_of};

/// The shell commands in the `sh` blocks of a text: continued lines are joined, a here-document
/// belongs to its command.
pub fn shell_commands(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "```sh" {
            continue;
        }
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .collect();
        all.extend(commands_of(&block));
    }
    all
}

fn commands_of(block: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let mut command = (*line).to_owned();
        while command.ends_with('\\') {
            // Between single quotes it is a character like any other.
            match command.matches('\'').count() % 2 {
                0 => drop(command.pop()),
                _ => command.push('\n'),
            }
            command += lines.next().unwrap();
        }
        if command.contains("<<'END'") {
            for line in lines.by_ref() {
                command += &format!("\n{line}");
                if *line == "END" {
                    break;
                }
            }
        }
        if !command.trim().is_empty() {
            all.push(command);
        }
    }
    all
}

/// The words of a command up to its comment, quotes taken off.
fn words(command: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in command.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            (None, c) => word.push(c),
        }
    }
    all
}

/// `incamera ...` in backticks: what prose, hints and error texts tell people to type.
fn mentions(text: &str) -> Vec<String> {
    let starts = text.match_indices("`incamera ").map(|(at, _)| at + 1);
    let ends = starts.filter_map(|at| {
        let rest = &text[at..];
        // Rust continues a string on the next line after a backslash.
        Some(rest[..rest.find('`')?].replace("\\\n", " "))
    });
    ends.collect()
}

/// Why a person who types this is told off, if so.
fn fault(command: &str, helps: &BTreeMap<String, String>) -> Option<String> {
    let words = words(command);
    let named: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let mut path = String::new();
    let mut rest = named.as_slice();
    while let Some((first, more)) = rest.split_first() {
        let longer = format!("{path} {first}").trim().to_owned();
        if !helps.contains_key(&longer) {
            break;
        }
        (path, rest) = (longer, more);
    }
    let help = &helps[&path];
    if path.is_empty() || (help.contains("\nCommands:\n") && !rest.is_empty()) {
        return Some(format!("`{command}`: no such command"));
    }
    let flags = rest
        .iter()
        .filter(|word| word.starts_with('-') && word.len() > 1);
    let flags = flags.map(|word| word.split(['=', '`']).next().unwrap_or_default());
    let known = |flag: &str| help.split([' ', ',', '\n']).any(|word| word == flag);
    let mut unknown = flags.filter(|flag| !known(flag));
    unknown
        .next()
        .map(|flag| format!("`{command}`: `{path}` has no `{flag}`"))
}

fn helps() -> BTreeMap<String, String> {
    commands()
        .into_iter()
        .map(|words| (words.join(" "), help_of(&words)))
        .collect()
}

#[test]
fn readme_names_only_commands_and_flags_that_exist() {
    let (readme, helps) = (readme(), helps());
    let all = shell_commands(&readme);
    let ours: Vec<&String> = all
        .iter()
        .filter(|line| line.starts_with("incamera "))
        .collect();
    assert!(
        ours.len() > 15,
        "only {} commands were found in the README",
        ours.len()
    );
    let faults: Vec<String> = ours
        .into_iter()
        .filter_map(|line| fault(line, &helps))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The check itself finds what is wrong.
    assert!(fault("incamera data seal customers --nonsense x", &helps).is_some());
    assert!(fault("incamera data nonsense", &helps).is_some());
    assert!(fault("incamera nonsense", &helps).is_some());
    assert_eq!(
        fault(
            "incamera data seal customers --data \"a b\"  # --nonsense",
            &helps
        ),
        None
    );
}

/// Hints and documents send people to commands; they must be there.
#[test]
fn hints_and_documents_name_only_commands_and_flags_that_exist() {
    let helps = helps();
    let mut files = Vec::new();
    for place in ["crates", "docs"] {
        files_below(&repository().join(place), &mut files);
    }
    files.extend(
        ["README.md", "ARCHITECTURE.md", "SECURITY.md"].map(|name| repository().join(name)),
    );
    let mut faults = String::new();
    let mut seen = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for command in mentions(&text) {
            seen += 1;
            if let Some(fault) = fault(&command, &helps) {
                writeln!(faults, "{}: {fault}", file.display()).unwrap();
            }
        }
    }
    assert!(seen > 20, "only {seen} mentions were found");
    assert!(faults.is_empty(), "{faults}");
}

/// Sources and documents; not tests, which name commands that must not be there.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "target"].contains(&name) {
            files_below(&path, files);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            files.push(path);
        }
    }
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let text = "a\n```sh\nincamera a \\\n  b  # c\n\ncat > x <<'END'\nk = 1\nEND\nlast\n```\n```toml\nno\n```\n";
    let commands = shell_commands(text);
    assert_eq!(
        commands,
        ["incamera a   b  # c", "cat > x <<'END'\nk = 1\nEND", "last"]
    );
    let quoted = shell_commands("```sh\nsed 's/a/b/; \\\n  s/c/d/' x\n```\n");
    assert_eq!(quoted, ["sed 's/a/b/; \\\n  s/c/d/' x"]);
    assert_eq!(
        words("incamera a 'b c' --d=\"e\" # f"),
        ["incamera", "a", "b c", "--d=e"]
    );
    assert_eq!(
        mentions("see `incamera a b` and `incamera c`"),
        ["incamera a b", "incamera c"]
    );
}
