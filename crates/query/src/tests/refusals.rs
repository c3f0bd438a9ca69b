//! SQL in files: each query with what is said of it.
//!
//! A file has cases, each from a line `query` to an empty line: settings of the agreement
//! (`with NAME = VALUE`), the SQL, `----`, then `accepted` or `refused KIND: what`, and
//! perhaps `at TEXT`, the piece of SQL that is pointed at.

use super::*;
use crate::{RefusalKind, prove};

struct Case {
    place: String,
    settings: Vec<(String, String)>,
    sql: String,
    expected: String,
    at: Option<String>,
}

fn cases(file: &str, text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        assert_eq!(line, "query", "{file}:{}", number + 1);
        let mut case = Case {
            place: format!("{file}:{}", number + 1),
            settings: Vec::new(),
            sql: String::new(),
            expected: String::new(),
            at: None,
        };
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "----") {
            match line
                .strip_prefix("with ")
                .and_then(|rest| rest.split_once(" = "))
            {
                Some((name, value)) => case.settings.push((name.into(), value.into())),
                None => case.sql += &format!("{line}\n"),
            }
        }
        for (_, line) in lines.by_ref().take_while(|(_, line)| !line.is_empty()) {
            match line.strip_prefix("at ") {
                Some(text) => case.at = Some(text.into()),
                None => case.expected = line.into(),
            }
        }
        cases.push(case);
    }
    cases
}

fn run(file: &str, text: &str) {
    let mut wrong = Vec::new();
    for case in cases(file, text) {
        let settings: Vec<_> = case
            .settings
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let agreement = agreement(case.sql.trim_end(), &settings);
        let (said, at, why) = match prove(&agreement, query(&agreement)) {
            Ok(checked) => {
                words::are_of_the_plan(&agreement, &checked);
                ("accepted".to_owned(), None, String::new())
            }
            Err(refusal) => {
                let at = refusal
                    .span()
                    .map(|span| query(&agreement).sql[span].to_owned());
                assert!(!refusal.why().is_empty() && !refusal.instead().is_empty());
                (
                    format!("refused {}: {}", refusal.kind(), refusal.what()),
                    at,
                    refusal.why().to_owned(),
                )
            }
        };
        let place_wrong = case.at.is_some() && at != case.at;
        if said != case.expected || place_wrong {
            wrong.push(format!(
                "{}\n{}expected {} {:?}\nfound    {said} {at:?} {why}",
                case.place, case.sql, case.expected, case.at
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

macro_rules! files {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!("tests/sql/", stringify!($name), ".slt");
            run(file, include_str!(concat!("../../tests/sql/", stringify!($name), ".slt")));
        }
    )*};
}

files! { accepted clauses joins expressions answers nested }

#[test]
fn kinds_have_distinct_words() {
    let kinds = [
        RefusalKind::Syntax,
        RefusalKind::NotOneSelect,
        RefusalKind::Clause,
        RefusalKind::Expression,
        RefusalKind::Numbers,
        RefusalKind::Join,
        RefusalKind::UnitLost,
        RefusalKind::Reads,
        RefusalKind::Groups,
        RefusalKind::Measures,
        RefusalKind::Params,
        RefusalKind::Privacy,
    ];
    let words: std::collections::BTreeSet<_> = kinds.iter().map(|kind| kind.word()).collect();
    assert_eq!(words.len(), kinds.len());
}

/// What is listed are names that could be meant, and no others.
#[test]
fn names_that_are_not_there_are_answered_with_those_that_are() {
    let instead = |sql: &str| {
        let agreement = agreement(sql, &[]);
        prove(&agreement, query(&agreement))
            .unwrap_err()
            .instead()
            .to_owned()
    };
    assert_eq!(
        instead("SELECT COUNT(DISTINCT person) AS people FROM purchase"),
        "name one of its data sets: customers, mailing, purchases, regions"
    );
    assert_eq!(
        instead(
            "SELECT COUNT(DISTINCT customers.persn) AS people FROM customers JOIN mailing ON mailing.person = customers.person"
        ),
        "name one of these: customers.person"
    );
    assert_eq!(
        instead("SELECT COUNT(DISTINCT person) AS people FROM mailing WHERE maild"),
        "name one of these: mailing.person, mailing.mailed, mailing.campaign"
    );
    let day =
        instead("SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE day >= 2026-03-01");
    assert!(day.contains("DATE '2026-03-01'"), "{day}");
}
