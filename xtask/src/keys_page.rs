//! What `docs/keys.md` says of lost and stolen keys and `docs/attacks.md` of known attacks is
//! shown by tests: each line of their tables has its line under "Tests", and each test named
//! there is one. Tests that other pages name in passing are there too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Headings of tables, and how the first cell of a line of "Tests" begins that shows a line of
/// them.
type Tables = &'static [(&'static str, &'static str)];

/// The pages, and their tables.
const PAGES: [(&str, Tables); 2] = [
    ("docs/keys.md", KEYS),
    ("docs/attacks.md", &[("## Classes", "")]),
];
const KEYS: Tables = &[
    ("## When one is lost", "lost: "),
    ("## When one is stolen", "stolen: "),
];

/// Pages that name tests wherever they claim something.
const CLAIMING: [&str; 2] = ["SECURITY.md", "docs/providers.md"];

/// Lists lines without a test, and tests that are not there.
pub fn check(root: &Path, sources: &[PathBuf], wrong: &mut Vec<String>) -> Result<()> {
    let mut crates: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for path in sources {
        let relative = path.strip_prefix(root).unwrap_or(path);
        let mut parts = relative.iter().filter_map(|part| part.to_str());
        if let (Some("crates"), Some(name)) = (parts.next(), parts.next()) {
            let modules = parts.map(|part| part.trim_end_matches(".rs").to_owned());
            let source = Source {
                modules: modules.collect(),
                text: std::fs::read_to_string(path)?,
            };
            crates.entry(name.to_owned()).or_default().push(source);
        }
    }
    for (name, tables) in PAGES {
        let page = std::fs::read_to_string(root.join(name)).context(name)?;
        let faults = faults(&page, tables, &crates);
        wrong.extend(faults.map(|fault| format!("{name}: {fault}")));
    }
    for name in CLAIMING {
        let page = std::fs::read_to_string(root.join(name)).context(name)?;
        wrong.extend(gone(&page, &crates).map(|test| format!("{name}: no test `{test}`")));
    }
    Ok(())
}

/// Names of tests in a page that are no tests of any crate.
fn gone<'a>(
    page: &'a str,
    crates: &'a BTreeMap<String, Vec<Source>>,
) -> impl Iterator<Item = &'a str> {
    let is_there = |test: &str| crates.values().flatten().any(|source| source.has(&[test]));
    let names = named(page).into_iter().filter(|word| is_long_name(word));
    names.filter(move |test| !is_there(test))
}

/// Whether a word is as long as names of tests are, and fields are not.
fn is_long_name(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    word.bytes().all(plain) && word.matches('_').count() > 2
}

/// A source file: where it lies below its crate, and what it holds.
struct Source {
    modules: Vec<String>,
    text: String,
}

impl Source {
    /// Whether it has the test `path`, whose modules are folders, the file, or modules in it.
    fn has(&self, path: &[&str]) -> bool {
        let Some((test, modules)) = path.split_last() else {
            return false;
        };
        let within = |module: &&str| {
            let file = self.modules.iter().any(|part| part == module);
            file || self.text.contains(&format!("mod {module} {{"))
        };
        modules.iter().all(within) && is_test(&self.text, test)
    }
}

/// Whether `text` has a function of this name with an attribute that makes it a test.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let functions = lines.iter().enumerate().filter(|(_, line)| {
        line.strip_prefix("async ")
            .unwrap_or(line)
            .starts_with(&head)
    });
    let mut functions = functions.map(|(at, _)| lines.get(..at).unwrap_or_default());
    functions.any(|above| {
        let attributes = above.iter().rev().take_while(|line| line.starts_with("#["));
        attributes
            .into_iter()
            .any(|line| line.starts_with("#[test]") || line.contains("::test"))
    })
}

fn faults<'a>(
    page: &'a str,
    tables: Tables,
    crates: &'a BTreeMap<String, Vec<Source>>,
) -> impl Iterator<Item = String> + 'a {
    let tests: Vec<(&str, &str)> = rows(page, "## Tests").collect();
    let shown: Vec<&str> = tests.iter().map(|(line, _)| *line).collect();
    let lines = tables.iter().flat_map(|(table, prefix)| {
        let none = rows(page, table).next().is_none();
        let none = none.then(|| format!("no table under `{table}`"));
        let lines = rows(page, table).map(move |(line, _)| format!("{prefix}{line}"));
        let bare = lines.filter(|line| !shown.contains(&line.as_str()));
        let bare = bare.map(|line| format!("no line under `## Tests` for `{line}`"));
        none.into_iter().chain(bare).collect::<Vec<_>>()
    });
    let named = tests.into_iter().flat_map(move |(line, cell)| {
        let missing = named(cell).into_iter().filter(|test| !exists(test, crates));
        let missing = missing.map(|test| format!("no test `{test}` (`crate module::test`)"));
        let none = named(cell).is_empty();
        let none = none.then(|| format!("the line `{line}` names no test"));
        missing.chain(none).collect::<Vec<_>>()
    });
    lines.collect::<Vec<_>>().into_iter().chain(named)
}

fn exists(test: &str, crates: &BTreeMap<String, Vec<Source>>) -> bool {
    let Some((name, path)) = test.split_once(' ') else {
        return false;
    };
    let path: Vec<&str> = path.split("::").collect();
    let sources = crates.get(name).map(Vec::as_slice).unwrap_or_default();
    path.len() > 1 && sources.iter().any(|source| source.has(&path))
}

/// What stands between backticks.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The first two cells of each line of the first table under a heading.
fn rows<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let heading = heading.to_owned();
    let lines = page
        .lines()
        .skip_while(move |line| *line != heading)
        .skip(1);
    let lines = lines.take_while(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| line.starts_with('|')).skip(2);
    lines.filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some((cells.next()?, cells.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "mod inner {\n    /// Why.\n    #[test]\n    fn it_holds() {}\n\n    fn helper() {}\n}\n\n#[tokio::test]\nasync fn later() {}\n";

    fn said(lost: &str, tests: &str) -> Vec<String> {
        let source = Source {
            modules: vec!["tests".into(), "it".into(), "ring".into()],
            text: FILE.to_owned(),
        };
        let crates = [("seal".to_owned(), vec![source])].into();
        let table = |rows: &str| format!("| a | b |\n|---|---|\n{rows}\n");
        let page = format!(
            "## When one is lost\n\n{}\n## When one is stolen\n\n{}\n## Tests\n\n{}",
            table(&format!("| {lost} | all |")),
            table("| a key | all |"),
            table(&format!("| stolen: a key | `seal ring::later` |\n{tests}"))
        );
        faults(&page, KEYS, &crates).collect()
    }

    #[test]
    fn a_test_that_a_page_names_and_that_is_gone_is_told() {
        let source = Source {
            modules: vec!["ring".into()],
            text: "#[test]\nfn it_holds_what_it_says() {}\nfn it_helps_who_it_can() {}\n".into(),
        };
        let crates = [("seal".to_owned(), vec![source])].into();
        let page = "Shown by `it_holds_what_it_says`, `a_field_name`, `Some_long_other_word`, \
            `it_held_what_it_said` and `it_helps_who_it_can`.";
        let found: Vec<&str> = gone(page, &crates).collect();
        assert_eq!(found, ["it_held_what_it_said", "it_helps_who_it_can"]);
    }

    #[test]
    fn lines_and_tests_that_are_there_are_found() {
        let none: [&str; 0] = [];
        let two = "| lost: a key | `seal ring::inner::it_holds`, `seal ring::later` |";
        assert_eq!(said("a key", two), none);
    }

    #[test]
    fn a_line_without_a_test_and_a_test_that_is_not_there_are_told() {
        let says = |lost: &str, tests: &str, word: &str| {
            let said = said(lost, tests);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(word), "{said:?}");
        };
        let good = "| lost: a key | `seal ring::later` |";
        says("another", good, "for `lost: another`");
        says("a key", "| lost: a key | by hand |", "names no test");
        for missing in [
            "seal ring::never",
            "seal ring::inner::helper",
            "seal token::later",
            "keys ring::later",
            "seal later",
            "later",
        ] {
            let line = format!("| lost: a key | `{missing}` |");
            says("a key", &line, &format!("no test `{missing}`"));
        }
    }
}
