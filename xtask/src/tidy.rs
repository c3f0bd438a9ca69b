//! `cargo xtask tidy`: rules of the house that no compiler knows.
//!
//! Arrows between crates point strictly down; files stay under 600 lines; features of
//! dependencies are named in the root manifest alone; `unsafe` stands in `group` alone; each
//! invariant has a test that bears its number; no unfinished marks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

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
const ASIDE: &[&str] = &["testkit", "xtask"];
const MAX_LINES: usize = 600;
const INVARIANTS: usize = 10;

/// Checks the work tree; lists everything that is wrong.
pub fn run(root: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    layers(root, &mut wrong)?;
    let sources = rust_files(&root.join("crates"))?;
    for path in &sources {
        source(root, path, &mut wrong)?;
    }
    invariants(&sources, &mut wrong)?;
    documents(root, &mut wrong);
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

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if path.is_dir() && name != "generated" && name != "target" {
            files.extend(rust_files(&path)?);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn source(root: &Path, path: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let shown = path
        .strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string();
    let test = shown.contains("/tests/") || shown.ends_with("/tests.rs");
    let lines = text.lines().count();
    if !test && lines > MAX_LINES {
        wrong.push(format!("{shown}: {lines} lines, more than {MAX_LINES}"));
    }
    let code = |line: &&str| !line.trim_start().starts_with("//");
    if !shown.contains("crates/group/")
        && text
            .lines()
            .filter(code)
            .any(|l| l.contains("unsafe {") || l.contains("unsafe fn"))
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
