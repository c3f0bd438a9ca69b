//! Templates: the section is accepted, its exact totals are those of a plain loop over the same
//! rows, and what is no value is refused.

mod answers;
mod clamps;
mod data;
mod journey;
mod page;
mod trials;

use incamera_agreement::{FilledQuery, query_template, query_templates};

use super::*;
use crate::prove;

/// The parties, with data sets that the templates ask of.
fn base() -> String {
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    format!("{head}{}", include_str!("../templates.toml"))
}

/// `KEY=VALUE`, in the order of words.
fn pairs<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<(String, String)> {
    let pair = |word: &str| {
        let (key, value) = word.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    words.into_iter().map(pair).collect()
}

/// What every query says.
const ASKED: [&str; 3] = [
    "purpose=measurement",
    "analysts=mailer/ana",
    "receivers=shop",
];

/// A template with these values, filled in as for this agreement.
fn section(base: &str, template: &str, values: &[&str]) -> FilledQuery {
    let agreement = Agreement::parse(base.as_bytes()).unwrap();
    let values = pairs(values.iter().copied());
    let template = query_template(template).unwrap();
    let filled = template.fill(&values, Some(&*agreement));
    filled.unwrap_or_else(|error| panic!("{error}"))
}

/// An agreement with the section in it, whose query is proved to be accepted.
fn accepted(base: &str, filled: &FilledQuery) -> (Agreement, CheckedQuery) {
    let text = format!("{base}\n{}", filled.text);
    let agreement = Agreement::parse(text.as_bytes()).unwrap_or_else(|error| {
        let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
        panic!("{}\n{}", problems.join("\n"), filled.text)
    });
    let checked = prove(&agreement, &agreement.queries[&filled.name]);
    let checked = checked.unwrap_or_else(|refusal| panic!("{refusal}\n{}", filled.text));
    words::are_of_the_plan(&agreement, &checked);
    (agreement, checked)
}

/// Every template is accepted with its own examples.
#[test]
fn examples_of_blanks_are_accepted() {
    for template in query_templates() {
        let blanks = template.blanks();
        let examples: Vec<_> = blanks
            .iter()
            .map(|blank| format!("{}={}", blank.name, blank.example))
            .collect();
        let examples: Vec<_> = examples.iter().map(String::as_str).collect();
        let filled = section(&base(), template.name, &examples);
        accepted(&base(), &filled);
        assert!(!filled.text.contains('@'), "{}", filled.text);
    }
}

/// A room as it comes has the memory that a template's section needs as it is printed, where
/// 100,000 people are declared and no text is listed; with groups of its page, and with those
/// that the data name.
#[test]
fn every_template_fits_into_a_room_as_it_comes() {
    let mut refused = Vec::new();
    for template in query_templates() {
        // What has a default has it, but for the registers that the data sets here ask for.
        let blanks = template.blanks();
        let open = blanks
            .iter()
            .filter(|blank| blank.default.is_none() || blank.name == "registers");
        for discovered in [false, true] {
            let value = |blank: &incamera_agreement::Blank| {
                let groups = matches!(blank.name, "campaigns" | "cohorts");
                let value = match groups && discovered {
                    true => "discovered",
                    false => blank.example,
                };
                format!("{}={value}", blank.name)
            };
            let values: Vec<_> = open.clone().map(value).collect();
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let (_, checked) = accepted(&base(), &section(&base(), template.name, &values));
            // The mailer declares 90,000.
            let checked = CheckedQuery {
                most_people: 100_000,
                ..checked
            };
            let memory = checked.memory();
            println!("{} {discovered}: {memory}", template.name);
            refused.extend(
                memory
                    .warning()
                    .map(|why| format!("{}: {why}", template.name)),
            );
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
