//! The page on templates says what is so.

use super::*;

/// The commands of a page that fill in a template: its name, and the values.
pub(super) fn commands(page: &str) -> Vec<Vec<String>> {
    let joined = page.replace("\\\n", " ");
    let lines = joined.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("incamera query template "));
    let filled = commands.filter(|line| line.contains('='));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    filled.map(words).collect()
}

#[test]
fn the_page_on_templates_says_what_is_so() {
    let page = include_str!("../../../../../docs/templates.md");
    let commands = commands(page);
    for template in query_templates() {
        let heading = format!("\n## `{}`: ", template.name);
        assert!(page.contains(&heading), "no chapter {heading}");
        let of = commands.iter().filter(|words| words[0] == template.name);
        let mut filled = 0;
        for words in of {
            let values = words[1..].iter().map(String::as_str);
            let values: Vec<_> = values
                .filter(|word| word.contains('='))
                .chain(ASKED)
                .collect();
            let section = section(&base(), template.name, &values);
            accepted(&base(), &section);
            filled += 1;
        }
        assert!(filled > 0, "no example of `{}`", template.name);
    }
    for words in &commands {
        assert!(query_template(&words[0]).is_some(), "{words:?}");
    }
}

/// What is said to be needed is what has no default.
#[test]
fn the_page_on_templates_names_what_each_needs() {
    let page = include_str!("../../../../../docs/templates.md");
    for template in query_templates() {
        let (_, chapter) = page
            .split_once(&format!("\n## `{}`", template.name))
            .unwrap();
        let chapter = chapter.split("\n## ").next().unwrap();
        let common = ["purpose", "analysts", "receivers"];
        for blank in template.blanks() {
            let needed = blank.default.is_none() && !common.contains(&blank.name);
            let named = chapter.contains(&format!("`{}`", blank.name));
            assert!(named || !needed, "`{}` of `{}`", blank.name, template.name);
        }
    }
}
