//! docs/trials.md, as a person would go through it; only where the data lie beside the checkout.

use serde_json::Value;

use super::person::Person;
use super::{repository, walk_through};

/// Six standard deviations of the noise, of which a range of 95 % is 1.96.
const FAR: f64 = 6.0 / 1.96;

/// Goes through the chapter of the page that begins so, with this file.
fn walked(chapter: &str, file: &str) -> Option<Person> {
    let name = file.split('/').next_back().unwrap();
    let data = repository().join("../shared/data").join(file);
    if !data.is_file() {
        eprintln!("SKIPPED: no ../shared/data/{file} beside the checkout");
        return None;
    }
    let mut person = Person::new();
    let link = |from, to: &str| std::os::unix::fs::symlink(from, person.path(to)).unwrap();
    link(data, name);
    link(repository().join("docs/examples"), "examples");
    let page = std::fs::read_to_string(repository().join("docs/trials.md")).unwrap();
    let mut chapters = page.split("\n## ");
    let chapter = chapters.find(|text| text.starts_with(chapter)).unwrap();
    walk_through(&mut person, chapter);
    Some(person)
}

/// The comparisons of a release, each within six deviations of the noise of what is known.
fn near(person: &Person, release: &str, agreement: &str, known: &[f64]) {
    let release = format!("@/{release}.release");
    let agreement = format!("@/{agreement}/agreements/trial.toml");
    let verified = person.json(&["verify", &release, "--agreement", &agreement]);
    let found = verified.document["answer"]["comparisons"]
        .as_array()
        .unwrap();
    assert_eq!(found.len(), known.len(), "{found:?}");
    for (found, known) in found.iter().zip(known) {
        let number = |value: &Value| value.as_f64().unwrap();
        let (low, high) = (number(&found["low"]), number(&found["high"]));
        // Odds ratios and lifts have the farther end above.
        let width = (high - low) / 2.0;
        let off = (number(&found["value"]) - known).abs();
        assert!(off < FAR * width * 1.2, "{found} is far from {known}");
        assert!(found["sampling"]["low"].is_number(), "{found}");
        let both = (
            number(&found["both"]["low"]),
            number(&found["both"]["high"]),
        );
        assert!(both.0 < low && high < both.1, "{found}");
    }
}

#[test]
fn the_walk_on_the_mailing_works_as_written() {
    let Some(person) = walked("An e-mail campaign", "hillstrom/hillstrom.csv") else {
        return;
    };
    let known = [7.66, 4.52, 0.6805, 0.3111, 72.14, 42.61];
    near(&person, "response", "mailer", &known);
    near(&person, "spend", "mailer", &[0.7698, 0.4244]);
    let said = person.heard("incamera query run spend");
    assert!(
        said.contains("difference of spend (Mens E-Mail less No E-Mail): +"),
        "{said}"
    );
    let page = std::fs::read_to_string(person.path("spend.html")).unwrap();
    assert!(page.contains("class=\"both\""));
    keep(&person, "spend.html");
}

#[test]
fn the_walk_on_the_trial_works_as_written() {
    let Some(person) = walked("A clinical trial", "actg175/actg175.csv") else {
        return;
    };
    near(&person, "endpoint", "laboratory", &[-14.29, -13.22, -11.21]);
    near(&person, "strata", "laboratory", &[0.4702, 0.4936, 0.5708]);
    near(&person, "cells", "laboratory", &[65.6, 35.3, 37.5]);
    keep(&person, "endpoint.html");
}

/// Leaves a page for somebody to look at, where they say so.
fn keep(person: &Person, page: &str) {
    if let Ok(folder) = std::env::var("INCAMERA_PAGES") {
        std::fs::copy(person.path(page), std::path::Path::new(&folder).join(page)).unwrap();
    }
}
