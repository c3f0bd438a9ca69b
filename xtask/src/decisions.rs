//! The index of decisions: each page has a line there with its number, and no two have one number.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

const FOLDER: &str = "docs/decisions";
const INDEX: &str = "README.md";

/// Lists pages that the index lacks, lines of pages that are gone, and numbers given twice.
pub fn check(root: &Path, wrong: &mut Vec<String>) -> Result<()> {
    let folder = root.join(FOLDER);
    let index = std::fs::read_to_string(folder.join(INDEX)).context("the index of decisions")?;
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        pages.extend(entry?.file_name().into_string());
    }
    pages.retain(|page| page != INDEX);
    pages.sort();
    wrong.extend(faults(&index, &pages).map(|fault| format!("{FOLDER}: {fault}")));
    Ok(())
}

fn faults(index: &str, pages: &[String]) -> impl Iterator<Item = String> {
    let lines: Vec<String> = index.lines().filter_map(listed).collect();
    let absent = pages.iter().filter(|page| !lines.contains(page));
    let absent =
        absent.map(|page| format!("{INDEX} has no line `* [{}]({page}) ...`", number(page)));
    let gone = lines.iter().filter(|line| !pages.contains(line));
    let gone = gone.map(|line| format!("{INDEX} names `{line}`, which is not there"));
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for page in pages {
        *numbers.entry(number(page)).or_default() += 1;
    }
    let twice = numbers.into_iter().filter(|(_, pages)| *pages > 1);
    let twice = twice.map(|(number, pages)| format!("{pages} pages have the number {number}"));
    absent
        .chain(gone)
        .chain(twice)
        .collect::<Vec<_>>()
        .into_iter()
}

fn number(page: &str) -> &str {
    page.split('-').next().unwrap_or(page)
}

/// The page that a line `* [0001](0001-page.md) What it says.` is of.
fn listed(line: &str) -> Option<String> {
    let (shown, rest) = line.strip_prefix("* [")?.split_once("](")?;
    let (page, words) = rest.split_once(") ")?;
    (shown == number(page) && !words.is_empty()).then(|| page.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX_OF_TWO: &str =
        "# Decisions\n\n* [0001](0001-a.md) What.\n* [0002](0002-b.md) Why.\n";

    fn said(pages: &[&str]) -> Vec<String> {
        let pages: Vec<String> = pages.iter().map(|page| (*page).to_owned()).collect();
        faults(INDEX_OF_TWO, &pages).collect()
    }

    #[test]
    fn pages_and_lines_that_lack_each_other_are_told() {
        let none: [&str; 0] = [];
        assert_eq!(said(&["0001-a.md", "0002-b.md"]), none);
        let says = |pages: &[&str], word: &str| {
            let said = said(pages);
            assert!(said.len() == 1 && said[0].contains(word), "{said:?}");
        };
        says(&["0001-a.md"], "names `0002-b.md`");
        says(
            &["0001-a.md", "0002-b.md", "0003-c.md"],
            "no line `* [0003](0003-c.md)",
        );
    }

    #[test]
    fn a_number_that_two_pages_have_is_told() {
        let said = said(&["0001-a.md", "0002-b.md", "0002-c.md"]);
        assert!(
            said.contains(&"2 pages have the number 0002".to_owned()),
            "{said:?}"
        );
    }

    #[test]
    fn a_line_says_something_under_the_pages_own_number() {
        for line in [
            "* [0001](0002-b.md) What.",
            "* [0001](0001-a.md) ",
            "0001-a.md",
            "",
        ] {
            assert_eq!(listed(line), None, "{line}");
        }
    }
}
