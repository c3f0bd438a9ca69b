//! Pages whose examples are SQL with what is said of it, so that no page says what is not so.
//!
//! An example is a block of SQL, then a line `→ checked` or `→ refused, KIND: what`. The
//! agreement is made to fit: what the refusals ask to be declared is declared, until the rest
//! is what the SQL itself is refused for. Lines `-- with NAME = VALUE` are settings.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Refusal, RefusalKind, prove};

/// What an agreement declares so far.
#[derive(Default)]
struct Settings {
    reads: BTreeSet<String>,
    groups: BTreeSet<String>,
    measures: BTreeMap<String, usize>,
    given: Vec<(String, String)>,
}

/// Ways to bound a measure, in the order in which they are tried.
const BOUNDS: [&str; 3] = [
    "[0, 1000]",
    "{ value = [0, 1000], rows = 10 }",
    "{ distinct = 10 }",
];

impl Settings {
    fn of(sql: &str) -> Self {
        let given = sql.lines().filter_map(|line| line.strip_prefix("-- with "));
        let given = given.filter_map(|line| line.split_once(" = "));
        Self {
            given: given.map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
            ..Self::default()
        }
    }

    /// As the agreement has them. A register has a row a person, and is not cut.
    fn lines(&self, registers: &[&str], most: fn(&str) -> u64) -> Vec<(String, String)> {
        let reads: Vec<_> = self
            .reads
            .iter()
            .map(|read| format!("\"{read}\""))
            .collect();
        let datasets: BTreeSet<_> = self
            .reads
            .iter()
            .filter_map(|read| read.split('.').next())
            .collect();
        let cut = datasets.iter().filter(|name| !registers.contains(name));
        let rows: Vec<_> = cut.map(|name| format!("{name} = {}", most(name))).collect();
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|name| format!("{name} = \"discovered\""))
            .collect();
        let bounds = self.measures.iter();
        let bounds: String = bounds
            .map(|(name, at)| format!(", {name} = {}", BOUNDS[*at]))
            .collect();
        let mut lines = vec![
            ("reads".to_owned(), format!("[{}]", reads.join(", "))),
            ("rows".to_owned(), format!("{{ {} }}", rows.join(", "))),
            ("per_person".to_owned(), format!("{{ groups = 1{bounds} }}")),
        ];
        if !groups.is_empty() {
            lines.push(("groups".to_owned(), format!("{{ {} }}", groups.join(", "))));
        }
        lines.extend(self.given.iter().cloned());
        lines
    }

    /// Declares what a refusal asks for; says whether it did.
    fn fit(&mut self, refusal: &Refusal, public: &[&str]) -> bool {
        let name = refusal
            .what()
            .split('`')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        match refusal.kind() {
            RefusalKind::Reads if refusal.what().ends_with("is not read") => {
                self.reads.len() > 1 && self.reads.remove(&name)
            }
            RefusalKind::Reads => {
                let dataset = name.split('.').next().unwrap_or_default();
                let before = self.reads.len();
                if !public.contains(&dataset) {
                    self.reads.insert(format!("{dataset}.person"));
                }
                self.reads.insert(name);
                self.reads.len() > before
            }
            RefusalKind::Groups if refusal.what().starts_with("grouping by") => {
                self.groups.insert(name)
            }
            RefusalKind::Measures if refusal.what().ends_with("without bounds") => {
                self.measures.insert(name, 0).is_none()
            }
            RefusalKind::Measures if refusal.what().starts_with("the bounds of") => {
                let at = self.measures.entry(name).or_default();
                *at += 1;
                *at < BOUNDS.len()
            }
            _ => false,
        }
    }
}

/// The data sets that a page asks of.
pub(super) struct Base<'a> {
    pub(super) text: &'a str,
    pub(super) registers: &'a [&'a str],
    pub(super) public: &'a [&'a str],
    /// How many rows of a person count, or of a public data set there may be.
    pub(super) most: fn(&str) -> u64,
    /// A column to start with: something is always read.
    pub(super) first: &'a str,
}

/// What is said of a query, once all is declared that it needs.
pub(super) fn verdict(base: &Base<'_>, sql: &str) -> String {
    fitted(base, sql).map_or_else(|refused| refused, |_| "checked".to_owned())
}

/// The agreement with all that a query needs, or why it is refused.
pub(super) fn fitted(base: &Base<'_>, sql: &str) -> Result<Agreement, String> {
    let mut settings = Settings::of(sql);
    settings.reads.insert(base.first.to_owned());
    for _ in 0..100 {
        let lines = settings.lines(base.registers, base.most);
        let lines: Vec<_> = lines
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let agreement = agreement_of(base.text, sql, &lines);
        match prove(&agreement, query(&agreement)) {
            Ok(checked) => {
                words::are_of_the_plan(&agreement, &checked);
                return Ok(agreement);
            }
            Err(refusal) if settings.fit(&refusal, base.public) => {}
            Err(refusal) => {
                return Err(format!("refused, {}: {}", refusal.kind(), refusal.what()));
            }
        }
    }
    Err("refused, and asks for ever more".to_owned())
}

/// The examples of a page, each with its line and what the page says of it.
pub(super) fn examples(page: &str) -> Vec<(usize, String, String)> {
    let mut examples = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line != "```sql" {
            continue;
        }
        let inside = lines.by_ref().map(|(_, line)| line);
        let sql: Vec<_> = inside.take_while(|line| *line != "```").collect();
        let mut after = lines.by_ref().map(|(_, line)| line);
        let said = after.find(|line| !line.is_empty()).unwrap_or_default();
        let said = said.strip_prefix("→ ").unwrap_or_default();
        examples.push((at + 1, sql.join("\n"), said.to_owned()));
    }
    examples
}

/// Each example of a page is what the page says.
pub(super) fn holds(name: &str, page: &str, verdict: impl Fn(&str) -> String) -> usize {
    let examples = examples(page);
    let wrong = examples.iter().filter_map(|(line, sql, said)| {
        let found = verdict(sql);
        (found != *said).then(|| format!("{name}:{line}\n{sql}\nsaid  {said}\nfound {found}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    examples.len()
}
