use super::*;

fn values<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn examples(template: &QueryTemplate) -> Vec<(String, String)> {
    let blanks = template.blanks();
    let examples = blanks.iter().map(|blank| (blank.name, blank.example));
    values(&examples.collect::<Vec<_>>())
}

/// The example of one blank replaced.
fn with(template: &QueryTemplate, key: &str, value: &str) -> Result<FilledQuery, FillError> {
    let mut values = examples(template);
    let place = values.iter_mut().find(|(name, _)| name == key);
    place.unwrap().1 = value.to_owned();
    template.fill(&values, None)
}

#[test]
fn every_template_is_filled_in_with_its_examples() {
    let names: Vec<&str> = query_templates().map(|template| template.name).collect();
    let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len());
    for template in query_templates() {
        let filled = template.fill(&examples(template), None).unwrap();
        assert_eq!(filled.name.as_str(), template.name);
        assert!(filled.text.starts_with('#') && !filled.text.contains('@'));
        // A section, and nothing after it.
        let sections = filled.text.lines().filter(|line| line.starts_with('['));
        assert!(
            sections
                .into_iter()
                .all(|line| line.starts_with(&format!("[queries.{}", filled.name))),
            "{}",
            filled.text
        );
    }
}

/// All that is missing is told at once.
#[test]
fn blanks_that_are_not_filled_in_are_told() {
    for template in query_templates() {
        let Err(FillError::Missing(blanks)) = template.fill(&[], None) else {
            panic!("{}", template.name)
        };
        let needed = template.blanks().into_iter();
        let needed: Vec<Blank> = needed.filter(|blank| blank.default.is_none()).collect();
        assert_eq!(blanks, needed);
        assert!(
            blanks
                .iter()
                .all(|b| !b.means.is_empty() && !b.example.is_empty())
        );
    }
}

/// Nothing gets into SQL or TOML that is no name, number or plain text.
#[test]
fn foreign_text_is_refused() {
    let hostile = [
        "a; DROP TABLE b",
        "a'",
        "a''b",
        "x\"]\nsql = '''",
        "a\\",
        "a\nb",
        "a\u{0}",
        "a\u{7f}",
        "a`b",
    ];
    for template in query_templates() {
        for blank in template.blanks() {
            for text in hostile {
                let plain = matches!(
                    blank.kind,
                    BlankKind::Texts { .. } | BlankKind::Text | BlankKind::Groups
                );
                // In quotes a text may hold what a name may not.
                if plain && text == hostile[0] {
                    continue;
                }
                let found = with(template, blank.name, text);
                let Err(FillError::Value { blank: of, .. }) = found else {
                    panic!("{} of {}: {text:?}: {found:?}", blank.name, template.name)
                };
                assert_eq!(of.name, blank.name);
            }
        }
    }
}

/// A value that looks like a blank is a text.
#[test]
fn values_are_not_read_as_templates() {
    let template = query_template("reach").unwrap();
    let filled = with(template, "campaigns", "@epsilon,@each x").unwrap();
    assert!(
        filled.text.contains("[\"@epsilon\", \"@each x\"]"),
        "{}",
        filled.text
    );
}

#[test]
fn names_that_sql_keeps_are_quoted() {
    let template = query_template("reach").unwrap();
    let filled = with(template, "campaign", "order").unwrap();
    assert!(
        filled
            .text
            .contains("SELECT exposures.\"order\" AS campaign")
    );
    assert!(filled.text.contains("\"exposures.order\""));
    let filled = with(template, "exposures", "who-saw-what.person-id").unwrap();
    assert!(
        filled.text.contains("FROM \"who-saw-what\"\n"),
        "{}",
        filled.text
    );
    assert!(
        filled
            .text
            .contains("DISTINCT \"who-saw-what\".\"person-id\")")
    );
    assert!(filled.text.contains("who-saw-what = 100"));
}

#[test]
fn unknown_and_repeated_blanks_are_refused() {
    let template = query_template("reach").unwrap();
    let unknown = template.fill(&values(&[("colour", "red")]), None);
    assert!(matches!(unknown, Err(FillError::Unknown { name, .. }) if name == "colour"));
    let twice = template.fill(&values(&[("times", "3"), ("times", "4")]), None);
    assert_eq!(twice, Err(FillError::Twice("times".to_owned())));
    for (key, value) in [
        ("times", "0"),
        ("times", "x"),
        ("campaigns", "a,a"),
        ("campaigns", ""),
        ("campaign", "b.c"),
    ] {
        let found = with(template, key, value);
        assert!(
            matches!(found, Err(FillError::Value { .. })),
            "{key}={value}"
        );
    }
}
