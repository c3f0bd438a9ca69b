//! One page of HTML: the answer for people. No script, nothing from elsewhere.

use std::fmt::Write as _;

use incamera_types::is_foul;

use super::{Marks, chart};
use crate::table::{Row, Table};

/// What stands on a page besides the table.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The heading: the query.
    pub title: String,
    /// What must not be overlooked.
    pub marks: Marks,
    /// Facts about the answer: what, and its text.
    pub facts: Vec<(String, String)>,
}

/// The page says to its reader's browser too that it loads and runs nothing.
const HEAD: &str = r#"<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
"#;

/// Letters of a number with its range that stand in one line.
const LINE: usize = 48;

const STYLE: &str = include_str!("page.css");

/// An answer as one self-contained page.
#[must_use]
pub fn page(table: &Table, page: &Page) -> String {
    let title = text(&page.title);
    let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n");
    out.push_str(HEAD);
    let marked = if page.marks.practice {
        "PRACTICE: "
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "<title>{marked}{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>"
    );
    for line in page.marks.lines() {
        let _ = writeln!(out, "<p class=\"mark\" role=\"alert\">{}</p>", text(line));
    }
    let _ = writeln!(out, "<h1><bdi>{title}</bdi></h1>");
    for comparison in &table.comparisons {
        let (what, between, over) = comparison.words();
        let _ = writeln!(
            out,
            "<p class=\"lead\">{what} <bdi>{}</bdi> (<bdi>{}</bdi> {between} <bdi>{}</bdi>{}): <strong>{}</strong></p>",
            text(&spaced(&comparison.of)),
            text(&comparison.group),
            text(&comparison.against),
            text(&over),
            text(&comparison.text)
        );
    }
    out.push_str(&chart::chart(table));
    rows(&mut out, table);
    notes(&mut out, table);
    facts(&mut out, page);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn rows(out: &mut String, table: &Table) {
    let keys = keys(table);
    out.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for (at, name) in table.columns.iter().enumerate() {
        let class = if at < keys { "" } else { " class=\"number\"" };
        let name = text(&spaced(name));
        let _ = write!(out, "<th scope=\"col\"{class}><bdi>{name}</bdi></th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str(if row.withheld {
            "<tr class=\"withheld\">"
        } else {
            "<tr>"
        });
        for key in &row.key {
            let _ = write!(out, "<th scope=\"row\"><bdi>{}</bdi></th>", text(key));
        }
        cells(out, row, table.columns.len().saturating_sub(keys));
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn cells(out: &mut String, row: &Row, columns: usize) {
    if row.withheld {
        let _ = write!(
            out,
            "<td colspan=\"{columns}\">withheld: too few people</td>"
        );
        return;
    }
    for cell in &row.cells {
        let long = match cell.text.chars().count() {
            0..=LINE => "",
            _ => " long",
        };
        let _ = write!(
            out,
            "<td class=\"number{long}\"><bdi>{}</bdi></td>",
            text(&cell.text)
        );
    }
}

fn notes(out: &mut String, table: &Table) {
    out.push_str("<ul class=\"notes\">\n");
    for note in &table.notes {
        let _ = writeln!(out, "<li>{}</li>", text(note));
    }
    out.push_str("</ul>\n");
}

fn facts(out: &mut String, page: &Page) {
    if page.facts.is_empty() {
        return;
    }
    out.push_str("<dl>\n");
    for (name, said) in &page.facts {
        let _ = writeln!(
            out,
            "<dt>{}</dt><dd><bdi>{}</bdi></dd>",
            text(name),
            text(said)
        );
    }
    out.push_str("</dl>\n");
}

/// How many of the columns are group keys.
pub(super) fn keys(table: &Table) -> usize {
    table.rows.first().map_or(0, |row| row.key.len())
}

pub(super) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// A text between tags or in an attribute in quotes. What steers a terminal or the direction of
/// writing shows as a mark: it could make one text look like another.
pub(super) fn text(raw: &str) -> String {
    let mut safe = String::with_capacity(raw.len());
    for letter in raw.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\r' | '\t' => safe.push(' '),
            steers if is_foul(steers) => safe.push('\u{fffd}'),
            plain => safe.push(plain),
        }
    }
    safe
}
