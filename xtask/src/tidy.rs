//! `cargo xtask tidy`: rules of the house that no compiler knows.
//!
//! Arrows between crates point strictly down; files, tests too, stay under 600 lines; features
//! of dependencies are named in the root manifest alone; `unsafe` stands in `group` alone; each
//! invariant has a test that bears its number; each format's name and version stands in
//! docs/formats.md; each line of docs/keys.md has tests, and they are there; each decision
//! stands in their index; no unfinished marks and no placeholders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{decisions, keys_page};

/// The floors of design section 5, lowest first.
const FLOORS: &[&[&str]] = &[
    &["types", "wire", "group"],
    &["keys", "attest", "dp", "tlog", "vole", "oprf"],
    &["agreement", "seal", "ledger", "matching"],
    &["release", "net"],
    &["query", "learn"],
    &["party", "room", "provider"],
    &["console"],
    &["cli"],
];
/// Crates beside the house: anybody's tests may use them.
const ASIDE: &[&str] = &["testkit", "fuzzing", "xtask"];
const MAX_LINES: usize = 600;
const INVARIANTS: usize = 10;
/// The page that names every format.
const FORMATS: &str = "docs/formats.md";

/// Checks the work tree; lists everything that is wrong.
pub fn run(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    layers(root, &mut wrong)?;
    let mut sources = files(&root.join("crates"), ".rs")?;
    for folder in ["xtask/src", "fuzz/fuzz_targets", "oracles/src"] {
        sources.extend(files(&root.join(folder), ".rs")?);
    }
    for path in &sources {
        source(root, path, &mut wrong)?;
    }
    invariants(&sources, &mut wrong)?;
    formats(root, &sources, &mut wrong)?;
    keys_page::check(root, &sources, &mut wrong)?;
    decisions::check(root, &mut wrong)?;
    documents(root, &mut wrong);
    for path in files(root, ".md")? {
        let text = std::fs::read_to_string(&path)?;
        let placeholders = text.lines().filter(|line| is_placeholder(line.trim()));
        let shown = shown(root, &path);
        wrong.extend(placeholders.map(|line| format!("{shown}: a placeholder (`{line}`)")));
    }
    anyhow::ensure!(wrong.is_empty(), "tidy:\n  {}", wrong.join("\n  "));
    Ok(())
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn layers(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let manifest = folder.join("Cargo.toml");
        let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("crates/{name}/Cargo.toml"))?;
        let table: toml::Table = text.parse()?;
        arrows(name, &table, wrong);
        features(name, &table, wrong);
    }
    Ok(())
}

fn arrows(name: &str, manifest: &toml::Table, wrong: &mut Vec<String>) {
    if ASIDE.contains(&name) {
        return;
    }
    let Some(own) = floor(name) else {
        wrong.push(format!(
            "crates/{name}: on no floor of the house (xtask/src/tidy.rs)"
        ));
        return;
    };
    for below in dependencies(manifest, "dependencies") {
        let Some(below) = below.strip_prefix("incamera-") else {
            continue;
        };
        // The command plays the demo, which needs generated data and a wiretap.
        let demo = name == "cli" && ASIDE.contains(&below);
        if !demo && floor(below).is_none_or(|floor| floor >= own) {
            wrong.push(format!(
                "crates/{name}: the arrow to `{below}` does not point down"
            ));
        }
    }
}

fn dependencies(manifest: &toml::Table, section: &str) -> Vec<String> {
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table
        .map(|t| t.keys().cloned().collect())
        .unwrap_or_default()
}

fn features(name: &str, manifest: &toml::Table, wrong: &mut Vec<String>) {
    for section in ["dependencies", "dev-dependencies"] {
        let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else {
            continue;
        };
        for (dependency, value) in table {
            let own = dependency.starts_with("incamera-");
            let named = value.get("features").is_some();
            let inherited = value.get("workspace").is_some();
            if !inherited || (named && !own) {
                wrong.push(format!(
                    "crates/{name}: `{dependency}` takes its version and features from the root manifest"
                ));
            }
        }
    }
}

/// Every file below `folder` with this ending, but for what is made.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let made = matches!(name, "generated" | "target") || name.starts_with('.');
        if path.is_dir() && !made && !path.is_symlink() {
            found.extend(files(&path, ending)?);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    Ok(found)
}

/// A line of capitals and underscores alone: where somebody meant to write something.
fn is_placeholder(line: &str) -> bool {
    let capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    line.contains('_')
        && line.starts_with(|c: char| c.is_ascii_uppercase())
        && line.chars().all(capitals)
}

/// Every name and version (`incamera-NAME/N`) in `text`.
fn formats_in(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
    let words = text.split(|c| !word(c));
    let versioned = |word: &&str| {
        let parts = word
            .strip_prefix("incamera-")
            .and_then(|rest| rest.split_once('/'));
        parts.is_some_and(|(name, version)| !name.is_empty() && version.parse::<u32>().is_ok())
    };
    words.filter(versioned).collect()
}

/// Each format that the code writes, reads or signs stands in its page.
fn formats(root: &Path, sources: &[PathBuf], wrong: &mut Vec<String>) -> Result<()> {
    let page = std::fs::read_to_string(root.join(FORMATS)).unwrap_or_default();
    let known = formats_in(&page);
    for path in sources {
        let shown = shown(root, path);
        if is_test(&shown) {
            continue;
        }
        let text = std::fs::read_to_string(path)?;
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let missing = formats_in(code)
            .into_iter()
            .filter(|format| !known.contains(format));
        wrong.extend(missing.map(|format| format!("{shown}: `{format}` is not in {FORMATS}")));
    }
    Ok(())
}

fn shown(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative.display().to_string()
}

fn is_test(shown: &str) -> bool {
    shown.contains("/tests/") || shown.ends_with("/tests.rs")
}

fn source(root: &Path, path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let shown = shown(root, path);
    let lines = text.lines().count();
    if lines > MAX_LINES {
        wrong.push(format!("{shown}: {lines} lines, more than {MAX_LINES}"));
    }
    let code = |line: &&str| !line.trim_start().starts_with("//");
    if !shown.contains("crates/group/")
        && text
            .lines()
            .filter(code)
            .any(|l| l.contains(concat!("unsafe", " {")) || l.contains(concat!("unsafe", " fn")))
    {
        wrong.push(format!("{shown}: `unsafe` stands in `group` alone"));
    }
    for mark in [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("TO", "DO:"),
    ] {
        if text.contains(mark) {
            wrong.push(format!("{shown}: an unfinished mark (`{mark}`)"));
        }
    }
    Ok(())
}

fn invariants(sources: &[PathBuf], wrong: &mut Vec<String>) -> Result<()> {
    let mut all = String::new();
    for path in sources {
        all.push_str(&std::fs::read_to_string(path)?);
    }
    for number in 1..=INVARIANTS {
        if !all.contains(&format!("fn i{number}_")) {
            wrong.push(format!(
                "invariant I{number} has no test named `i{number}_...`"
            ));
        }
    }
    Ok(())
}

fn documents(root: &Path, wrong: &mut Vec<String>) {
    let needed = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/formats.md",
        "docs/benchmarks.md",
    ];
    for name in needed {
        if !root.join(name).is_file() {
            wrong.push(format!("{name} is missing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found() {
        for line in ["THE_RESULTS", "FIGURE_1_HERE"] {
            assert!(is_placeholder(line), "{line}");
        }
        for line in [
            "",
            "README",
            "SIMULATED TEE",
            "a CONSTANT_NAME",
            "_",
            "Not_this",
        ] {
            assert!(!is_placeholder(line), "{line}");
        }
    }

    #[test]
    fn formats_are_found_by_name_and_version() {
        let text = "`incamera-grant/1`, \"incamera-log-entry/12\n\" incamera-agreement/ \
                    incamera-/1 incamera/log/a incamera-a/b incamera-room/1.";
        let found: Vec<&str> = formats_in(text).into_iter().collect();
        let expected = [
            "incamera-grant/1",
            "incamera-log-entry/12",
            "incamera-room/1",
        ];
        assert_eq!(found, expected);
    }
}
